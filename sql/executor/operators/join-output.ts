/** Collects pairs of rows into output batches; side rows of -1 give NULLs. */
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch, type Vector } from '../batch.js';
import { anyVector, readVector } from '../vectors.js';

export class JoinOutput {
  private columns: Datum[][];
  count = 0;

  /** `innerWidth` 0 for semi and anti joins, which yield outer rows only. */
  constructor(private readonly outerWidth: number, private readonly innerWidth: number) {
    this.columns = this.fresh();
  }

  private fresh(): Datum[][] {
    return Array.from({ length: this.outerWidth + this.innerWidth }, () => []);
  }

  get full(): boolean {
    return this.count >= MAX_BATCH_ROWS;
  }

  add(outer: readonly Vector[], outerRow: number, inner: readonly Vector[], innerRow: number): void {
    const { columns, outerWidth } = this;
    if (outerRow < 0) for (let c = 0; c < outerWidth; c++) columns[c]!.push(null);
    else for (let c = 0; c < outerWidth; c++) columns[c]!.push(readVector(outer[c]!, outerRow));
    if (innerRow < 0) for (let c = 0; c < this.innerWidth; c++) columns[outerWidth + c]!.push(null);
    else for (let c = 0; c < this.innerWidth; c++) columns[outerWidth + c]!.push(readVector(inner[c]!, innerRow));
    this.count++;
  }

  /** What was collected, null if nothing; starts anew. */
  take(): Batch | null {
    if (this.count === 0) return null;
    const batch: Batch = { columns: this.columns.map(anyVector), length: this.count, selection: null };
    this.columns = this.fresh();
    this.count = 0;
    return batch;
  }
}

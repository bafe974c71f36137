/** Computes a list of expressions over batches. Columns that the input has are passed on as they are. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { Datum } from '../types/datum.js';
import type { Batch, Vector } from './batch.js';
import type { ExecState } from './exec-state.js';
import { compile } from './expressions/compile.js';
import { Frame, type Scalar, type WaitingScalar } from './expressions/frame.js';
import type { CompileScope } from './expressions/scope.js';
import { compileWaiting, mayWait } from './expressions/waiting.js';
import type { OutputLayout } from './layout.js';
import { anyVector, gather } from './vectors.js';

type Column = { readonly pass: number } | { readonly scalar: Scalar } | { readonly waiting: WaitingScalar };

export class Projection {
  private readonly anyWaiting: boolean;
  readonly width: number;

  constructor(private readonly columns: readonly Column[]) {
    this.anyWaiting = columns.some((column) => 'waiting' in column);
    this.width = columns.length;
  }

  /** A batch of the results, without a selection. */
  *apply(batch: Batch, state: ExecState): Generator<Pending, Batch> {
    if (!this.anyWaiting) return this.applyNow(batch, state);
    const frame = new Frame(state).batch(batch);
    const out: Datum[][] = this.columns.map(() => []);
    for (let i = 0; i < batch.length; i++) {
      const row = batch.selection === null ? i : batch.selection[i]!;
      for (let c = 0; c < this.columns.length; c++) {
        const column = this.columns[c]!;
        frame.row = row;
        if ('waiting' in column) out[c]!.push(yield* column.waiting(frame));
        else if ('scalar' in column) out[c]!.push(column.scalar(frame));
      }
    }
    return { columns: this.columns.map((column, c) => ('pass' in column ? this.pass(batch, column.pass) : anyVector(out[c]!))), length: batch.length, selection: null };
  }

  /** As apply, for expressions that cannot wait. */
  applyNow(batch: Batch, state: ExecState): Batch {
    const { length, selection } = batch;
    const columns: Vector[] = [];
    let frame: Frame | null = null;
    for (const column of this.columns) {
      if ('pass' in column) {
        columns.push(this.pass(batch, column.pass));
        continue;
      }
      const { scalar } = column as { scalar: Scalar };
      frame ??= new Frame(state).batch(batch);
      const data = new Array<Datum>(length);
      for (let i = 0; i < length; i++) {
        frame.row = selection === null ? i : selection[i]!;
        data[i] = scalar(frame);
      }
      columns.push(anyVector(data));
    }
    return { columns, length, selection: null };
  }

  private pass(batch: Batch, index: number): Vector {
    const vector = batch.columns[index]!;
    return batch.selection === null ? vector : gather(vector, batch.selection, batch.length);
  }
}

export function compileProjection(exprs: readonly Expr[], scope: CompileScope, layout: OutputLayout): Projection {
  return new Projection(exprs.map((expr) => {
    const index = layout.indexOf(expr);
    if (index >= 0) return { pass: index };
    if (mayWait(expr, scope)) return { waiting: compileWaiting(expr, scope) };
    return { scalar: compile(expr, scope) };
  }));
}

/** Columns of unknown length that kernels write: hash table rows, group keys, results. */
import type { ValueKind } from './value.js';

export type GrowableData = Int32Array | Float64Array | Uint8Array | unknown[];

export class GrowableColumn {
  data: GrowableData;
  nulls: Uint8Array | null = null;

  constructor(readonly kind: ValueKind, nullable: boolean, capacity: number, private readonly narrow = false) {
    this.data = allocate(kind, capacity, narrow);
    if (nullable && kind !== 'any') this.nulls = new Uint8Array(capacity);
  }

  grow(capacity: number): void {
    if (this.kind === 'any') return;
    const data = allocate(this.kind, capacity, this.narrow) as Float64Array;
    data.set(this.data as Float64Array);
    this.data = data;
    if (this.nulls) {
      const nulls = new Uint8Array(capacity);
      nulls.set(this.nulls);
      this.nulls = nulls;
    }
  }
}

function allocate(kind: ValueKind, capacity: number, narrow: boolean): GrowableData {
  if (kind === 'any') return [];
  if (kind === 'bool') return new Uint8Array(capacity);
  if (kind === 'ref' || narrow) return new Int32Array(capacity);
  return new Float64Array(capacity);
}

/** Whether a range fits an Int32Array. */
export function isNarrow(min: number, max: number): boolean {
  return min >= -2147483648 && max <= 2147483647;
}

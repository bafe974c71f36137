/** Columns of unknown length that kernels write: hash table rows, group keys, results. */
import type { ArrayLease } from './array-lease.js';
import type { ValueKind } from './value.js';

export type GrowableData = Int32Array | Float64Array | Uint8Array | unknown[];

export class GrowableColumn {
  data: GrowableData;
  nulls: Uint8Array | null = null;

  /** `counts`: cells are added to before they are written, so they begin at zero. */
  constructor(private readonly lease: ArrayLease, readonly kind: ValueKind, nullable: boolean, capacity: number, readonly narrow = false, private readonly counts = true) {
    this.data = this.allocate(capacity);
    if (nullable && kind !== 'any') this.nulls = lease.uint8(capacity);
  }

  grow(capacity: number): void {
    if (this.kind === 'any') return;
    const data = this.allocate(capacity) as Float64Array;
    data.set(this.data as Float64Array);
    this.data = data;
    if (this.nulls) {
      const nulls = this.lease.uint8(capacity);
      nulls.set(this.nulls);
      this.nulls = nulls;
    }
  }

  /** New arrays, what was in the old ones forgotten. */
  empty(capacity: number): void {
    this.data = this.allocate(capacity);
    if (this.nulls) this.nulls = this.lease.uint8(capacity);
  }

  private allocate(capacity: number): GrowableData {
    const { kind, lease, counts } = this;
    if (kind === 'any') return [];
    if (kind === 'bool') return lease.uint8(capacity);
    if (kind === 'ref' || this.narrow) return counts ? lease.int32(capacity) : lease.dirtyInt32(capacity);
    return counts ? lease.float64(capacity) : lease.dirtyFloat64(capacity);
  }
}

/** Whether a range fits an Int32Array. */
export function isNarrow(min: number, max: number): boolean {
  return min >= -2147483648 && max <= 2147483647;
}

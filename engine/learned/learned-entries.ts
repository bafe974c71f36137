/** Entries of an index as of one moment, found by a model. */
import type { LearnedArrays, RowArray } from './entry-collector.js';
import type { KeyClass, KeyValue } from './key-class.js';
import { NarrowKeys } from './narrow-keys.js';
import { WideKeys } from './wide-keys.js';

export class LearnedEntries {
  readonly class: KeyClass;
  readonly keys: NarrowKeys | WideKeys;
  readonly rows: RowArray;
  readonly error: number;
  private readonly starts: Uint32Array | null;

  constructor({ class: of, error, keys, starts, rows, levels }: LearnedArrays) {
    this.class = of;
    this.error = error;
    this.keys = 'high' in keys ? new WideKeys(keys, levels, error) : new NarrowKeys(keys, levels, error);
    this.rows = rows;
    this.starts = starts;
  }

  /** Pieces over the keys, and levels of pieces. */
  get pieces(): number {
    return this.keys.levels[0]?.slopes.length ?? 0;
  }

  get levels(): number {
    return this.keys.levels.length;
  }

  get bytes(): number {
    return this.keys.bytes + this.rows.byteLength + (this.starts?.byteLength ?? 0);
  }

  /** Where the rows of the key at a position begin; of the position behind the last: where all end. */
  firstRow(position: number): number {
    return this.starts ? this.starts[position]! : position;
  }

  /** The position of a key, -1 without it. */
  find(value: KeyValue): number {
    const { keys } = this;
    if (keys instanceof WideKeys) return keys.find(value);
    return typeof value === 'bigint' ? -1 : keys.find(value);
  }

  /** The first position whose key is at or above the value. */
  lowerBound(value: KeyValue): number {
    const { keys } = this;
    if (keys instanceof WideKeys) return keys.lowerBound(value);
    // No key of these is beyond 2^53 but the ends of the type.
    if (typeof value === 'bigint') return keys.lowerBound(value < 0n ? -(2 ** 53) : Infinity);
    return keys.lowerBound(value);
  }

  /** The first position whose key is above the value. */
  upperBound(value: KeyValue): number {
    const at = this.lowerBound(value);
    return at < this.keys.length && this.find(value) === at ? at + 1 : at;
  }

  /** Positions of many keys at once: `values[i]`, or `beyond` where that has i. -1: no such key, or `skip[i]`. */
  findMany(values: Float64Array, beyond: ReadonlyMap<number, bigint> | null, skip: Uint8Array, count: number, into: Int32Array): void {
    const { keys } = this;
    if (keys instanceof NarrowKeys) {
      keys.findMany(values, skip, count, into);
      if (beyond) for (const i of beyond.keys()) into[i] = -1;
      return;
    }
    for (let i = 0; i < count; i++) into[i] = skip[i] !== 0 ? -1 : keys.find(beyond?.get(i) ?? values[i]!);
  }
}

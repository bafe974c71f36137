/**
 * Keys that doubles hold exactly, each once, ascending (NaN last, as PostgreSQL orders it), and look-ups by the model. What is
 * not finite stands at the ends and is no part of the model:
 *
 *     -Infinity | finite keys: levels of pieces | Infinity | NaN
 */
import type { KeyOrder, Level } from './pieces.js';
import { levelBytes } from './pieces.js';

export type NarrowArray = Int32Array | Float64Array;

/** The part of the keys that is finite. */
export function finiteRange(keys: NarrowArray): { first: number; end: number } {
  let first = 0;
  let end = keys.length;
  while (end > 0 && !(keys[end - 1]! < Infinity)) end--;
  while (first < end && keys[first] === -Infinity) first++;
  return { first, end };
}

export function narrowOrder(keys: NarrowArray, first: number, end: number): KeyOrder {
  return { length: end - first, distance: (base, i) => keys[first + i]! - keys[first + base]! };
}

export class NarrowKeys {
  private readonly first: number;
  private readonly end: number;
  /** Per level, the first key of each piece. */
  private readonly firsts: readonly Float64Array[];
  /** Look-ups that the model's bound did not hold for: a fault of ours, if there ever is one. */
  misses = 0;

  constructor(readonly keys: NarrowArray, readonly levels: readonly Level[], private readonly error: number) {
    const { first, end } = finiteRange(keys);
    this.first = first;
    this.end = end;
    const firsts: Float64Array[] = [];
    let below: Float64Array | NarrowArray = keys.subarray(first, end);
    for (const { slopes, starts } of levels) {
      const own = new Float64Array(slopes.length);
      for (let p = 0; p < own.length; p++) own[p] = below[starts[p]!]!;
      firsts.push(own);
      below = own;
    }
    this.firsts = firsts;
  }

  get length(): number {
    return this.keys.length;
  }

  get bytes(): number {
    return this.keys.byteLength + levelBytes(this.levels) + this.firsts.reduce((sum, one) => sum + one.byteLength, 0);
  }

  keyAt(i: number): number {
    return this.keys[i]!;
  }

  /** The first position whose key is at or above `x`. */
  lowerBound(x: number): number {
    const { keys } = this;
    if (x !== x) return keys.length - (keys.length > 0 && keys[keys.length - 1]! !== keys[keys.length - 1]! ? 1 : 0);
    if (x === Infinity) return this.end;
    if (x === -Infinity) return 0;
    return this.search(x);
  }

  /** The position of the key, -1 without it. */
  find(x: number): number {
    const at = this.lowerBound(x);
    if (at === this.keys.length) return -1;
    const key = this.keys[at]!;
    return key === x || (key !== key && x !== x) ? at : -1;
  }

  /** Positions of many keys, -1 where there is none or `skip` is set. */
  findMany(queries: Float64Array, skip: Uint8Array, count: number, into: Int32Array): void {
    const { keys, end } = this;
    for (let i = 0; i < count; i++) {
      if (skip[i] !== 0) {
        into[i] = -1;
        continue;
      }
      const x = queries[i]!;
      if (x - x !== 0) {
        into[i] = this.find(x);
        continue;
      }
      const at = this.search(x);
      into[i] = at < end && keys[at] === x ? at : -1;
    }
  }

  /** As lowerBound, of what is finite. */
  private search(x: number): number {
    const { keys, first, end, levels, firsts, error } = this;
    if (first === end || x <= keys[first]!) return first;
    let piece = lastAtOrBelow(firsts[levels.length - 1]!, x);
    for (let l = levels.length - 1; l > 0; l--) {
      const { slopes, intercepts } = levels[l]!;
      const below = firsts[l - 1]!;
      let at = Math.floor(intercepts[piece]! + slopes[piece]! * (x - firsts[l]![piece]!));
      const last = below.length - 1;
      at = at > 0 ? (at < last ? at : last) : 0;
      while (at < last && below[at + 1]! <= x) at++;
      while (below[at]! > x) at--;
      piece = at;
    }
    const { starts, slopes, intercepts } = levels[0]!;
    const from = first + starts[piece]!;
    const to = first + starts[piece + 1]!;
    const predicted = first + Math.floor(intercepts[piece]! + slopes[piece]! * (x - firsts[0]![piece]!));
    let low = predicted - error - 1;
    let high = predicted + error + 2;
    if (!(low > from)) low = from;
    else if (low > to) low = to;
    if (!(high < to)) high = to;
    else if (high < low) high = low;
    let base = low;
    for (let n = high - low; n > 0; ) {
      const half = n >> 1;
      if (keys[base + half]! < x) {
        base += half + 1;
        n -= half + 1;
      } else n = half;
    }
    if ((base === low && low > from && keys[low - 1]! >= x) || (base === high && high < to && keys[high]! < x)) {
      this.misses++;
      return this.bisect(x, from, to);
    }
    return base;
  }

  private bisect(x: number, from: number, to: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.keys[middle]! < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The last of a few ascending numbers that is at or below x; the first is. */
function lastAtOrBelow(of: Float64Array, x: number): number {
  let low = 0;
  for (let n = of.length; n > 1; ) {
    const half = n >> 1;
    if (of[low + half]! <= x) low += half;
    n -= half;
  }
  return low;
}

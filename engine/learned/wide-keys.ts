/**
 * 64-bit integers of which some are beyond 2^53: two halves each, compared exactly. Distances within a piece are doubles, exact
 * while they are below 2^53; where they are not, pieces.ts ends the piece as soon as that costs more than the bound.
 */
import type { KeyOrder, Level } from './pieces.js';
import { levelBytes } from './pieces.js';

const HALF = 0x100000000;

export interface Halves { readonly high: Int32Array; readonly low: Uint32Array }

export function wideOrder({ high, low }: Halves): KeyOrder {
  return { length: high.length, distance: (base, i) => (high[i]! - high[base]!) * HALF + (low[i]! - low[base]!) };
}

export class WideKeys {
  /** Per level, where each piece's first key is. */
  private readonly firsts: readonly Uint32Array[];
  misses = 0;
  private wantedHigh = 0;
  private wantedLow = 0;

  constructor(readonly halves: Halves, readonly levels: readonly Level[], private readonly error: number) {
    const firsts: Uint32Array[] = [];
    let below: Uint32Array | null = null;
    for (const { slopes, starts } of levels) {
      const own = new Uint32Array(slopes.length);
      for (let p = 0; p < own.length; p++) own[p] = below ? below[starts[p]!]! : starts[p]!;
      firsts.push(own);
      below = own;
    }
    this.firsts = firsts;
  }

  get length(): number {
    return this.halves.high.length;
  }

  get bytes(): number {
    return this.length * 8 + levelBytes(this.levels) + this.firsts.reduce((sum, one) => sum + one.byteLength, 0);
  }

  /** A number while that is exact. */
  keyAt(i: number): number | bigint {
    const high = this.halves.high[i]!;
    const low = this.halves.low[i]!;
    const near = high * HALF + low;
    return Number.isSafeInteger(near) ? near : (BigInt(high) << 32n) | BigInt(low);
  }

  lowerBound(x: number | bigint): number {
    if (typeof x === 'bigint') {
      this.wantedHigh = Number(x >> 32n);
      this.wantedLow = Number(x & 0xffffffffn);
    } else {
      // The ends of the type, as narrow keys have them.
      if (x === -Infinity) return 0;
      if (x === Infinity) return this.lowerBound(0x7fffffffffffffffn);
      this.wantedHigh = Math.floor(x / HALF);
      this.wantedLow = x - this.wantedHigh * HALF;
    }
    return this.search();
  }

  find(x: number | bigint): number {
    const at = this.lowerBound(x === -Infinity ? -0x8000000000000000n : x);
    return at < this.length && this.halves.high[at] === this.wantedHigh && this.halves.low[at] === this.wantedLow ? at : -1;
  }

  private below(i: number): boolean {
    const high = this.halves.high[i]!;
    return high < this.wantedHigh || (high === this.wantedHigh && this.halves.low[i]! < this.wantedLow);
  }

  private atOrBelow(i: number): boolean {
    const high = this.halves.high[i]!;
    return high < this.wantedHigh || (high === this.wantedHigh && this.halves.low[i]! <= this.wantedLow);
  }

  private predict(level: Level, piece: number, firstKey: number): number {
    const { high, low } = this.halves;
    return Math.floor(level.intercepts[piece]! + level.slopes[piece]! * ((this.wantedHigh - high[firstKey]!) * HALF + (this.wantedLow - low[firstKey]!)));
  }

  private search(): number {
    const { levels, firsts, error } = this;
    if (this.length === 0 || !this.below(0)) return 0;
    let piece = 0;
    const top = firsts[levels.length - 1]!;
    for (let n = top.length; n > 1; ) {
      const half = n >> 1;
      if (this.atOrBelow(top[piece + half]!)) piece += half;
      n -= half;
    }
    for (let l = levels.length - 1; l > 0; l--) {
      const below = firsts[l - 1]!;
      const last = below.length - 1;
      const predicted = this.predict(levels[l]!, piece, firsts[l]![piece]!);
      let at = predicted > 0 ? (predicted < last ? predicted : last) : 0;
      while (at < last && this.atOrBelow(below[at + 1]!)) at++;
      while (!this.atOrBelow(below[at]!)) at--;
      piece = at;
    }
    const { starts } = levels[0]!;
    const from = starts[piece]!;
    const to = starts[piece + 1]!;
    const predicted = this.predict(levels[0]!, piece, firsts[0]![piece]!);
    const low = Math.min(to, Math.max(from, predicted - error - 1));
    const high = Math.max(low, Math.min(to, predicted + error + 2));
    const found = this.bisect(low, high);
    if ((found === low && low > from && !this.below(low - 1)) || (found === high && high < to && this.below(high))) {
      this.misses++;
      return this.bisect(from, to);
    }
    return found;
  }

  private bisect(from: number, to: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.below(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

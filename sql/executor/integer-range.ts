/** Integer keys are compared with values of wider integer types: what does not fit cannot be encoded as a key. */
import type { Datum } from '../types/datum.js';

export type IntegerRange = readonly [number, number];

/** By type: int2 and int4. */
export const INTEGER_RANGES: Readonly<Record<number, IntegerRange>> = { 21: [-32768, 32767], 23: [-2147483648, 2147483647] };

/** -1 below the range, 1 above it, 0 within. */
export function outside(value: Datum, range: IntegerRange): -1 | 0 | 1 {
  const number = value as number | bigint;
  return number < range[0] ? -1 : number > range[1] ? 1 : 0;
}

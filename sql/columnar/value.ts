/**
 * A value in a kernel: JavaScript source of an expression over numbers, and what is known of it.
 *
 *     int      exact integer in a double (int2..int8, dates, timestamps)
 *     decimal  exact integer in a double, divided by 10^scale
 *     float    float4, float8
 *     bool     0 or 1
 *     ref      number of a text in the execution's dictionary (interner.ts)
 *     any      a datum as sql/types/datum.ts has it; NULL is null, so `isNull` is a test of the code
 *
 * `isNull` is source that says whether it is NULL (null: never); `code` may have any value then,
 * but never throws. Ranges of ints and decimals are of the stored integer.
 */
import type { Datum } from '../types/datum.js';

export type ValueKind = 'int' | 'decimal' | 'float' | 'bool' | 'ref' | 'any';

export interface Value {
  readonly kind: ValueKind;
  readonly code: string;
  readonly isNull: string | null;
  readonly scale: number;
  readonly min: number;
  readonly max: number;
  /** OID of the SQL type. */
  readonly type: number;
  /** Source of the scale that the value shows, where rows differ in it (CASE with branches 0 and 1.50). */
  readonly shownScale?: string;
  /** Of a bpchar: equal values have equal texts (all are padded to one length). */
  readonly padded?: boolean;
  /** Of a ref that stands in a large dictionary: source of its place (interner.ts). `code` costs more, and is written when it is first asked for. */
  readonly place?: string;
  /** Of an int8 of which some are beyond 2^53 (kind any): sources of its upper and lower 32 bits. `code` makes a datum of it, and costs more. */
  readonly halves?: Halves;
  /** Where it is a column as it stands in a source: lets expressions over it be computed per dictionary entry. */
  readonly column?: ColumnOrigin;
}

/** A value that can be had later by the position of its row in the source: `row` is source of that number. */
export interface Deferred { readonly row: string; readonly datum: (row: number) => Datum }

export interface Halves { readonly high: string; readonly low: string }

/** A column of a source that the running kernel reads. */
export interface ColumnOrigin { readonly source: number; readonly column: number }

/** Largest integer whose sums and differences by one are still told apart. */
export const EXACT = Number.MAX_SAFE_INTEGER;

export function intValue(code: string, isNull: string | null, type: number, min: number, max: number): Value {
  return { kind: 'int', code, isNull, scale: 0, min, max, type };
}

/** The value with other properties; its code is still written only when asked for. */
export function changed(value: Value, changes: Partial<Pick<Value, 'isNull' | 'type'>>): Value {
  if (value.kind !== 'ref' && !value.halves) return { ...value, ...changes };
  const { kind, isNull, scale, min, max, type, padded, place, halves, column } = value;
  return {
    kind, scale, min, max, isNull, type, ...(place === undefined ? {} : { place }), ...(halves ? { halves } : {}), ...(padded ? { padded } : {}), ...(column ? { column } : {}), ...changes,
    get code() {
      return value.code;
    },
  };
}

/** A text by its number, not by its place: what keys compare. */
export function numbered(value: Value): Value {
  if (value.place === undefined) return value;
  const { place: _place, ...rest } = value;
  return rest;
}

export function boolValue(code: string, isNull: string | null): Value {
  return { kind: 'bool', code, isNull, scale: 0, min: 0, max: 1, type: 16 };
}

export function anyValue(code: string, type: number): Value {
  return { kind: 'any', code, isNull: `${code} === null`, scale: 0, min: -Infinity, max: Infinity, type };
}

/** The integer as a datum: a number where it is exact. */
export function joinHalves(high: number, low: number): number | bigint {
  const number = high * 4294967296 + (low >>> 0);
  return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) | BigInt(low >>> 0);
}

/** The halves of a 64-bit integer that a kernel has in one way or the other. */
export function halvesOf(value: Value): Halves | null {
  if (value.halves) return value.halves;
  return value.kind === 'int' ? { high: `Math.floor(${value.code} / 4294967296)`, low: `(${value.code} | 0)` } : null;
}

/** Whether every value is an exact integer in a double. */
export function isExact(min: number, max: number): boolean {
  return min >= -EXACT && max <= EXACT;
}

/** Tests joined by ||; null when there is none. */
export function anyOf(...tests: readonly (string | null)[]): string | null {
  const present = [...new Set(tests.filter((test): test is string => test !== null))];
  if (present.length === 0) return null;
  return present.length === 1 ? present[0]! : `(${present.join(' || ')})`;
}

export function rangeOf(corners: readonly number[]): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (const corner of corners) {
    // 0 * Infinity: an unbounded range times zero.
    const value = Number.isNaN(corner) ? 0 : corner;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

/**
 * Batches of typed column vectors: what operators pass to each other.
 */
import type { Datum } from '../types/datum.js';
import type { Pending } from '../../engine/pending.js';

export const MAX_BATCH_ROWS = 1024;
export const FIRST_BATCH_ROWS = 8;

/** `nulls[i] === 1` is NULL; `nulls === null` says there is none. data at a null position is unspecified. */
export type Vector =
  | { readonly kind: 'bool'; readonly data: Uint8Array; nulls: Uint8Array | null }
  | { readonly kind: 'int32'; readonly data: Int32Array; nulls: Uint8Array | null }
  /** float4/8, and int8, oid, timestamps, dates as long as every value in it is exact. */
  | { readonly kind: 'float64'; readonly data: Float64Array; nulls: Uint8Array | null }
  /** Any datum; NULL is null in data itself and `nulls` stays null. */
  | { readonly kind: 'any'; readonly data: Datum[]; readonly nulls: null };

export interface Batch {
  /** Rows in it; vectors may be longer. Never 0 for a batch that next() returns. */
  length: number;
  columns: Vector[];
  /** Positions of the live rows, ascending, `length` of them; null means 0..length-1. */
  selection: Int32Array | null;
}

/** One running operator. State is beside the read-only plan; next() after Pending resumes. */
export interface Operator {
  next(): Batch | null | Pending;
  close(): void;
}

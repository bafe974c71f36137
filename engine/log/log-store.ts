/**
 * Where the commit log lives. The interface knows positions and terms, not files, so that a
 * replicated store can stand behind it. Failures that a store survives are values; an exception
 * means that the store cannot be trusted any more and the process must end.
 */
import type { Lsn } from '../ids.js';

/** What a new leader starts from. */
export interface Lead {
  /** Fencing token: appends under an older one are refused. */
  readonly term: number;
  /** Position after the last whole batch. */
  readonly tail: Lsn;
  /** Hash of that batch; zeros for an empty log. */
  readonly tailHash: Uint8Array;
  /** The log was not closed by who led before. */
  readonly unclean?: boolean;
}

export type AppendResult =
  | { readonly kind: 'appended'; readonly durable: Lsn }
  /** Somebody else leads. Nothing was written. */
  | { readonly kind: 'fenced' }
  /** Not known whether it was written: the same (lsn, id) again is idempotent. */
  | { readonly kind: 'unknown' };

export type Tail =
  | { readonly kind: 'batches'; readonly batches: AsyncIterable<Uint8Array> }
  /** Gone from here: read the archive up to `oldest`. */
  | { readonly kind: 'trimmed'; readonly oldest: Lsn };

export interface LogStoreStats {
  readonly fsyncCount: number;
  readonly fsyncMsTotal: number;
  readonly fsyncMsMax: number;
  readonly fsyncBuckets: readonly { readonly leMs: number; readonly count: number }[];
}

export interface LogStore {
  /** Takes the lead: cuts a torn tail, reports corruption by an exception. */
  lead(node: string, ttlMs: number): Promise<Lead>;
  /**
   * Appends `batch`, whose first LSN must be `previousLsn` (the tail), and makes it durable. One
   * outstanding at a time. `lone`: nobody else is waiting, so the store may answer synchronously.
   */
  append(term: number, previousLsn: Lsn, batch: Uint8Array, id: number, lone: boolean): AppendResult | Promise<AppendResult>;
  /** Whether `bytes` more can be appended without needing space that might not be there. */
  hasRoom(bytes: number): boolean;
  /** Read barrier: the tail, after making sure that `term` still leads. */
  confirm(term: number): Promise<Lsn>;
  /** Whole batches from the one that begins at or holds `from`, in order, up to the tail. */
  tail(from: Lsn): Promise<Tail>;
  /** Batches that end at or before `upTo` may go. */
  trim(term: number, upTo: Lsn): Promise<void>;
  stats(): LogStoreStats;
  close(): Promise<void>;
}

export const NO_HASH = new Uint8Array(16);

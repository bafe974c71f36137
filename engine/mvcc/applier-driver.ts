/** How the engine hands durable batches to the applier, wherever it runs. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { StateMark, StateSums } from './state-mark.js';

export interface ApplierDriver {
  /** LSN of the last record that this thread's reads of the key-value store see applied. */
  readonly applied: Lsn;
  /** Bytes of batches fed and not yet applied. */
  readonly queuedBytes: number;
  /** The disk is full: batches wait, and are tried again. */
  readonly stalled: boolean;
  readonly versionsInHistory: number;
  readonly versionsCollected: number;
  /** After reads see `applied`: the overlay may be trimmed to it. */
  onApplied: (applied: Lsn) => void;
  /** Counts and hash sums that changed, every `SUMS_EVERY_BYTES` of log and every so often. */
  onSums: (sums: StateSums) => void;
  /** The state cannot be brought further: the process must end. */
  onFailure: (error: unknown) => void;
  rowCount(storage: StorageId): number;
  byteSize(storage: StorageId): number;
  feed(batch: Uint8Array): void;
  /** Somebody waits for what was fed: no more leisure. */
  hurry(): void;
  /** Resolves when everything fed is applied. */
  drain(): Promise<void>;
  /** Resolves when at most so much of what was fed is not applied. */
  drainTo(bytes: number): Promise<void>;
  /** Makes what is applied durable in the key-value store. Resolves with the position from which the log is needed. */
  sync(): Promise<Lsn>;
  /** Collects everything below the horizon, in slices; asks for it anew before each. */
  collect(horizon: () => Lsn): Promise<{ versions: number; entries: number }>;
  /** Removes what an aborted bulk load left behind. */
  sweep(xid: Xid): Promise<void>;
  /** The state between two records, once everything fed so far is applied. */
  mark(): Promise<StateMark>;
  /** Stops between two key-value transactions, whatever waits; nothing is applied afterwards. */
  halt(): Promise<void>;
  close(): Promise<void>;
}

/** Log between two reports of sums. */
export const SUMS_EVERY_BYTES = 16 << 20;
export const SUMS_EVERY_MS = 10_000;

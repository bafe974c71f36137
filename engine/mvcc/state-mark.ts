/** What the applier tells others of the state: counts and hash sums, and all that is not rows or entries. */
import type { Lsn, StorageId, Xid } from '../ids.js';

/** A record of a transaction whose end has not come. */
export interface StagedPart {
  readonly batch: Uint8Array;
  readonly offset: number;
  readonly lsn: Lsn;
}

/** Live rows of a storage and the sum of their hashes. */
export interface StorageSum {
  readonly storage: StorageId;
  readonly count: number;
  readonly hash: Uint32Array;
}

/** Sums as of the record at `at`: what the log carries for whoever restores. */
export interface StateSums {
  readonly at: Lsn;
  readonly storages: readonly StorageSum[];
}

export interface StateMark {
  readonly at: Lsn;
  readonly replayFrom: Lsn;
  readonly lastCommitMicros: number;
  /** Records of the `storages` keyspace. */
  readonly storages: readonly { readonly id: StorageId; readonly record: Uint8Array }[];
  /** Entries of the meta keyspace. */
  readonly sequences: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly reserve: Uint8Array | undefined;
  /** Dropped and not yet removed. */
  readonly dropped: readonly StorageId[];
  /** Transactions that the log began and did not end. */
  readonly open: readonly Xid[];
  /** Those among them that wrote ahead into the state, from records that need not be in the log any more, and the first of these; 0: unknown. */
  readonly ahead: readonly { readonly xid: Xid; readonly first: Lsn }[];
}

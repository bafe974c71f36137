/**
 * What sql/ sees of the engine: transactions over versioned rows and index entries, all bytes.
 * The engine knows neither SQL nor types; whoever writes a row also hands over the index entries
 * that follow from it.
 */
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from './ids.js';
import type { Pending } from './pending.js';

export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable';

export interface TransactionOptions {
  isolation?: IsolationLevel;
  readOnly?: boolean;
  deferrable?: boolean;
}

export interface Storage {
  /** Starts a transaction. Costs nothing until it reads or writes. */
  begin(options?: TransactionOptions): Transaction;
  /** A storage id never used before. Its rows become real with the transaction that writes them. */
  allocateStorageId(): StorageId;
  readonly sequences: SequenceStore;
  readonly watermarks: { readonly assigned: Lsn; readonly durable: Lsn; readonly applied: Lsn };
  /** Live rows in the storage as of the last applied batch; the planner's and count(*)'s source. */
  rowCount(storage: StorageId): number;
  /** Approximate bytes of the storage's rows, for pg_relation_size. */
  byteSize(storage: StorageId): number;
  /** Collects versions below the horizon now (VACUUM). Returns what it removed. */
  vacuum(storage?: StorageId): { versionsRemoved: number; indexEntriesRemoved: number };
  /** Forces the applier to the durable watermark and LMDB to disk (CHECKPOINT). */
  checkpoint(): Promise<void>;
  /** Called for every commit after it is durable, in LSN order: cache invalidation, NOTIFY, feeds. */
  onCommit(listener: (commit: CommitNotice) => void): void;
  close(): Promise<void>;
}

export interface CommitNotice {
  readonly lsn: Lsn;
  readonly xid: Xid;
  readonly commitMicros: number;
  readonly messages: readonly Message[];
}

/** A transactional message in the log (NOTIFY, logical messages, catalog invalidation). */
export interface Message {
  readonly prefix: string;
  readonly content: Uint8Array;
}

export type SnapshotKind = 'at' | 'latest' | 'dirty';

/**
 * What a statement can see. `at`: everything durable at `lsn` plus the transaction's own writes of
 * commands before `command`. `latest`: newest committed (foreign keys, EPQ). `dirty` is used only
 * inside unique checks. Hold one as long as a scan lives, then release it: it pins versions.
 */
export interface Snapshot {
  readonly kind: SnapshotKind;
  readonly lsn: Lsn;
  readonly command: CommandId;
  release(): void;
}

/** LockTupleMode, weakest first. */
export type RowLockStrength = 'key share' | 'share' | 'no key update' | 'update';
export type WaitPolicy = 'wait' | 'nowait' | 'skip';

/** The eight table lock modes, weakest first. */
export type TableLockMode =
  | 'AccessShareLock' | 'RowShareLock' | 'RowExclusiveLock' | 'ShareUpdateExclusiveLock'
  | 'ShareLock' | 'ShareRowExclusiveLock' | 'ExclusiveLock' | 'AccessExclusiveLock';

export interface RowVersion {
  readonly rowId: RowId;
  /** The tuple's bytes as they were written. Valid until the next engine call unless copied. */
  readonly tuple: Uint8Array;
  readonly xmin: Xid;
  /** Command that wrote it if this transaction did, else 0. */
  readonly command: CommandId;
}

/** Result of locking a row for a write or FOR UPDATE/SHARE. */
export type RowLockResult =
  | { kind: 'locked' }
  /** A newer committed version exists than the snapshot sees; it is locked now. READ COMMITTED rechecks it (EPQ), others raise 40001. */
  | { kind: 'updated'; version: RowVersion }
  /** Deleted by a committed rival. READ COMMITTED skips it, others raise 40001. */
  | { kind: 'deleted' }
  /** Already changed or deleted by this transaction in this same or a later command (a join met the row twice). */
  | { kind: 'self-modified' }
  /** Policy 'skip' and somebody holds it. */
  | { kind: 'skipped' };

/** Rows filled by a cursor: parallel arrays, `length` entries valid. The arrays are reused by the next fill. */
export interface RowBlock {
  length: number;
  rowIds: number[];
  /** Buffers owned by the block: safe to keep until the next fill. */
  tuples: Uint8Array[];
  xmins: number[];
}

export interface RowCursor {
  /** Fills at most `max` rows in row id order; 0 means the end. Keeps no LMDB iterator between calls. */
  fill(block: RowBlock, max: number): number | Pending;
  close(): void;
}

/** Bounds are encoded keys (sql/access makes them); `undefined` is open. */
export interface KeyRange {
  lower?: Uint8Array;
  lowerInclusive?: boolean;
  upper?: Uint8Array;
  upperInclusive?: boolean;
  reverse?: boolean;
}

export interface IndexBlock {
  length: number;
  keys: Uint8Array[];
  rowIds: number[];
  /** What the writer stored beside the key (INCLUDE columns, datums of lossy keys). */
  payloads: Uint8Array[];
}

export interface IndexCursor {
  fill(block: IndexBlock, max: number): number | Pending;
  close(): void;
}

export interface Transaction {
  /** Local number of the transaction, unique while the process lives (virtual xid). */
  readonly virtualId: number;
  readonly isolation: IsolationLevel;
  readonly readOnly: boolean;
  /** 0 until the first write. */
  readonly xid: Xid;
  assignXid(): Xid;
  /** READ COMMITTED: a new snapshot. Otherwise the transaction's, with the current command. */
  takeSnapshot(): Snapshot;
  latestSnapshot(): Snapshot;
  /** CommandCounterIncrement: later snapshots see what was written so far. */
  advanceCommand(): void;

  get(storage: StorageId, rowId: RowId, snapshot: Snapshot): RowVersion | undefined | Pending;
  scan(storage: StorageId, snapshot: Snapshot, range?: { from?: RowId; to?: RowId }): RowCursor;
  /** Entries visible to the snapshot, each exactly: born at or before it and not dead by then. No heap recheck needed. */
  scanIndex(index: StorageId, snapshot: Snapshot, range: KeyRange): IndexCursor;

  insert(storage: StorageId, tuple: Uint8Array): RowId;
  /** The caller has locked the row (`lockRow`) first. */
  update(storage: StorageId, rowId: RowId, tuple: Uint8Array): void;
  delete(storage: StorageId, rowId: RowId): void;
  putIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array): void;
  deleteIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId): void;
  /**
   * Before inserting `key` into a unique index: locks (index, key) and looks with a dirty snapshot.
   * 'free', the row that has it (committed, or written by this transaction), or Pending while a
   * rival that wrote or deleted it is undecided; call again afterwards.
   */
  probeUnique(index: StorageId, key: Uint8Array): 'free' | { rowId: RowId } | Pending;

  lockRow(storage: StorageId, rowId: RowId, strength: RowLockStrength, policy: WaitPolicy, snapshot: Snapshot): RowLockResult | Pending;
  /** True when held; false for 'nowait' and somebody holds a conflicting one. `lockId` is a relation's OID-based id. */
  lockTable(lockId: number, mode: TableLockMode, policy: 'wait' | 'nowait'): boolean | Pending;
  /** Advisory locks; `session` ones survive the transaction and belong to `owner`. */
  lockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive', scope: 'transaction' | 'session', policy: 'wait' | 'nowait'): boolean | Pending;
  unlockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive'): boolean;

  /** The storage goes away when this commits and no snapshot needs it. */
  dropStorage(storage: StorageId): void;
  addMessage(message: Message): void;

  readonly currentSub: SubId;
  savepoint(): SubId;
  /** Undoes everything since the savepoint, which stays. Locks taken since are released. */
  rollbackTo(sub: SubId): void;
  release(sub: SubId): void;

  /** Resolves when durable (or at once with synchronous: false, or when nothing was written and no floor must be waited for). Rejects with the DatabaseError that undid it. */
  commit(options?: { synchronous?: boolean }): Promise<Lsn>;
  rollback(): void;
  readonly state: 'active' | 'committing' | 'committed' | 'aborted';
}

export interface SequenceState {
  readonly lastValue: bigint;
  readonly isCalled: boolean;
  /** Values logged ahead and not handed out yet (pg_sequences' log_cnt). */
  readonly logCount: number;
}

/** Sequence values live outside transactions; a commit that used one is behind it in the log. */
export interface SequenceStore {
  get(sequence: StorageId): SequenceState | undefined;
  /** In memory at once. `log: true` writes the state ahead into the log before any later commit. */
  set(sequence: StorageId, state: SequenceState, options: { log: boolean }): void;
}

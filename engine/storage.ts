/**
 * What sql/ sees of the engine: transactions over versioned rows and index entries, all bytes.
 * The engine knows neither SQL nor types; whoever writes a row also hands over the index entries
 * that follow from it.
 */
import type { DatabaseError } from './errors.js';
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from './ids.js';
import type { StateMark } from './mvcc/state-mark.js';
import type { Pending } from './pending.js';
import type { Runtime } from './runtime.js';
import type { Findings } from './verify/findings.js';
import type { WalkHooks, WalkTotals } from './verify/state-walk.js';

export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable';

export interface TransactionOptions {
  isolation?: IsolationLevel;
  readOnly?: boolean;
  deferrable?: boolean;
  /** Reads at a snapshot that another transaction holds until this one has begun (not 'read committed'). */
  snapshotLsn?: Lsn;
  /** Reads the past as of this LSN (`Storage.past`): read-only, not 'read committed'. 72000 when it is too old. */
  asOf?: Lsn;
  /** The session that runs it (`Storage.openSession`); without one the transaction is a session of its own. */
  session?: EngineSession;
}

/**
 * One client's identity towards the engine: what its transactions' locks and its session-level
 * advisory locks belong to, and its durability floor (what it saw that is not durable yet).
 */
export interface EngineSession {
  /** As pg_locks and deadlock reports show it. */
  readonly processId: number;
  /** How long this session waits before it looks for a deadlock; by default `Storage.deadlockTimeoutMs`. */
  deadlockTimeoutMs: (() => number) | undefined;
  /** Releases every session-level advisory lock (pg_advisory_unlock_all, DISCARD ALL). */
  unlockAllAdvisory(): void;
  /** Releases its locks. Its transaction must have ended. */
  close(): void;
}

/** What is locked or waited for, for pg_locks. */
export interface LockListing {
  readonly kind: 'table' | 'row' | 'unique key' | 'advisory' | 'transaction' | 'read of relation' | 'read of range' | 'read of row';
  /** lockId of a table, storage id of a row or key, high 32 bits of an advisory key. */
  readonly objectId: number;
  /** Row id; low 32 bits of an advisory key; virtual id of a transaction. */
  readonly subId: number;
  /** Advisory: 1 for a bigint key, 2 for a pair of integers. */
  readonly keyKind: number;
  readonly mode: string;
  readonly granted: boolean;
  readonly processId: number;
  readonly virtualId: number;
  readonly xid: Xid;
  /** Waiting for a row or a key: the transaction that has it. */
  readonly blockerXid: Xid;
  /** Wall clock microseconds when the wait began; 0 when granted. */
  readonly waitStartMicros: number;
}

export interface EngineStats {
  readonly logBytes: number;
  readonly logBatches: number;
  readonly commits: number;
  readonly fsyncCount: number;
  readonly fsyncMsTotal: number;
  readonly fsyncMsMax: number;
  /** Upper bounds in ms and counts of fsync durations, for a histogram. */
  readonly fsyncBuckets: readonly { readonly leMs: number; readonly count: number }[];
  /** Bytes of log between durable and applied. */
  readonly applierLagBytes: number;
  /** What the start had to replay of the log, and how long that took. */
  readonly replayedBytes: number;
  readonly replayMs: number;
  /** The last process ended in order, or there was none. */
  readonly cleanStart: boolean;
  readonly keyValueBytes: number;
  readonly versionsInHistory: number;
  readonly versionsCollected: number;
  /** Snapshots ended because they held back too many old versions. */
  readonly snapshotsExpired: number;
  readonly overlayRows: number;
  readonly activeTransactions: number;
  readonly locksHeld: number;
  readonly locksWaiting: number;
  readonly deadlocks: number;
  /** Oldest moment that can be read (microseconds since the Unix epoch); 0 when only the present can. */
  readonly pastOldestMicros: number;
  /** Oldest LSN that a snapshot still needs. */
  readonly horizon: Lsn;
}

export interface Storage {
  /** Registers a client. `processId` is what others see in lock listings; advisory locks are per `databaseId`. */
  openSession(processId: number, databaseId?: number): EngineSession;
  /** Starts a transaction. Costs nothing until it reads or writes. */
  begin(options?: TransactionOptions): Transaction;
  /**
   * A storage id never used before. Its rows become real with the transaction that writes them.
   * For a new relation prefer `Transaction.createStorage`, which knows that nobody else can see it.
   */
  allocateStorageId(): StorageId;
  /** A storage for one session's temporary relation: the same calls afterwards, but never in the log or on disk. */
  allocateTemporaryStorageId(): StorageId;
  isTemporary(storage: StorageId): boolean;
  /** A transaction that is not decided has written to the storage ahead of its end: a load, mostly. */
  isWrittenAhead(storage: StorageId): boolean;
  /** Forgets a temporary storage at once (end of session). */
  discardTemporaryStorage(storage: StorageId): void;
  readonly sequences: SequenceStore;
  readonly past: Past;
  readonly watermarks: { readonly assigned: Lsn; readonly durable: Lsn; readonly applied: Lsn };
  /** Live rows in the storage as of the last applied batch; the planner's and count(*)'s source. */
  rowCount(storage: StorageId): number;
  /** Rows that `snapshot` sees, own writes aside; undefined when that is not known without reading them. */
  exactCount(storage: StorageId, snapshot: Snapshot): number | undefined;
  /** Approximate bytes of the storage's rows, for pg_relation_size. */
  byteSize(storage: StorageId): number;
  /** Collects versions below the horizon now (VACUUM), in slices. Resolves with what it removed. */
  vacuum(storage?: StorageId): Promise<{ versionsRemoved: number; indexEntriesRemoved: number }>;
  /** Forces the applier to the durable watermark and LMDB to disk (CHECKPOINT). */
  checkpoint(): Promise<void>;
  /**
   * COMMIT PREPARED and ROLLBACK PREPARED: by anyone, before or after a restart. Resolves when durable.
   * Raises 42704 for an unknown gid. Who is allowed to is the caller's question (`PreparedTransaction.info`).
   */
  /** What a prepared transaction does to rows of storages with fixed ids. */
  preparedRows(gid: string): PreparedRow[];
  /** Its place in the order of commits is taken when the call returns, unless it fails. */
  commitPrepared(gid: string): Promise<Lsn>;
  rollbackPrepared(gid: string): Promise<Lsn>;
  /** Those that are prepared, in the order they were. */
  preparedTransactions(): PreparedTransaction[];
  /** Called for every commit after it is durable, in LSN order: cache invalidation, NOTIFY, feeds. */
  onCommit(listener: (commit: CommitNotice) => void): void;
  /** The last commits in LSN order are found here by xid (pg_xact_status, txid_status); undefined when too old to know. */
  xidStatus(xid: Xid): 'in progress' | 'committed' | 'aborted' | undefined;
  /** Where what was written ahead under the xid was committed; undefined while it is not. */
  stagedCommit(xid: Xid): Lsn | undefined;
  /** Whether a transaction that is not over wrote rows of the block ahead of its commit. */
  hasRowsAhead(storage: StorageId, block: number): boolean;
  /** The row id that the next row of the storage gets. */
  nextRow(storage: StorageId): RowId;
  /** Smallest xid never assigned yet, and the oldest in progress (txid_current_snapshot). */
  xidBounds(): { next: Xid; oldestActive: Xid; active: Xid[] };
  /** Undefined when `lsn` is durable already. */
  whenDurable(lsn: Lsn): Promise<void> | undefined;
  /** Where other threads may read the state for themselves; undefined where only this process' memory has it. */
  readonly stateReader: StateReader | undefined;
  /** Watches which rows of a storage commits change (engine/mvcc/change-watch.ts); the same watch for all who ask. */
  watchChanges(storage: StorageId): ChangeWatch;
  unwatchChanges(storage: StorageId): void;
  /** Tells of the keys of an index whose entries commits put or delete after `since`. */
  watchEntries(index: StorageId, listener: EntryListener): { readonly since: Lsn; stop(): void };
  listLocks(): LockListing[];
  /** Process ids that `processId` waits for (pg_blocking_pids). */
  blockingProcesses(processId: number): number[];
  /** Process ids of the writers for which `processId`, READ ONLY DEFERRABLE, waits (pg_safe_snapshot_blocking_pids). */
  safeSnapshotBlockers(processId: number): number[];
  /** Text for a table lock in deadlock reports; by default "relation N of database M". */
  describeTableLock: (lockId: number, databaseId: number) => string;
  /** Milliseconds of waiting before a deadlock is looked for. */
  deadlockTimeoutMs: number;
  stats(): EngineStats;
  /** What backups and the archive ask of a running engine. */
  readonly maintenance: Maintenance;
  /** Looks at every entry of the state, in chunks with turns between, and names what is damaged (engine/verify). */
  walkState(findings: Findings, hooks: WalkHooks): Promise<WalkTotals>;
  /**
   * Before the process ends without `close`: brings the engine's threads to where they can end. Node waits for them,
   * and one that is inside a transaction of the state would wait for that transaction's own lock.
   */
  abandon(): Promise<void>;
  /** Called once when the engine cannot go on (log write error, applier death): the process must exit. */
  onFatal(listener: (error: unknown) => void): void;
  close(): Promise<void>;
}

/** The moments before now that can be read. */
export interface Past {
  /** How long old versions are kept; 0: only while a snapshot needs them. */
  readonly retentionMs: number;
  /** The LSN whose state is what was committed at or before a moment (wall clock microseconds since the Unix epoch). 72000: too old; 22023: in the future. */
  lsnAt(micros: number): Lsn;
  /** Raises 72000 when the state at `lsn` is not kept, 22023 when the log has not come so far. */
  check(lsn: Lsn): void;
  /** The oldest moment that can be read, as microseconds since the Unix epoch; undefined when nothing is kept. */
  oldestMicros(): number | undefined;
}

/** Keeps something from `lsn` on until it is released. May be moved forward by whoever holds it. */
export interface Hold {
  lsn: Lsn;
  release(): void;
}

export interface Maintenance {
  /** The data directory; undefined in memory. */
  readonly directory: string | undefined;
  /** One f64 in shared memory, for other threads: everything before this LSN is durable. */
  readonly durableCell: SharedArrayBuffer;
  /** Whole batches of the log from the one that begins at or holds `from`, up to its end now; undefined when they are trimmed. */
  readLog(from: Lsn): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** The log from `lsn` on is not trimmed. */
  holdLog(lsn: Lsn): Hold;
  /** Versions that a snapshot at `lsn` (by default: now) or later sees are not collected. */
  pinHorizon(lsn?: Lsn): Hold;
  /** What the state is, at one LSN, once everything durable now is applied. */
  mark(): Promise<StateMark>;
  /** A named record in the log that a restore can stop at. Resolves with its LSN when durable. */
  createRestorePoint(name: string): Promise<Lsn>;
  /** While set, commits that write are refused with it. */
  refuseCommits: DatabaseError | undefined;
}

/** What a thread of its own needs to read committed rows (engine/mvcc/block-reader.ts). */
export interface StateReader {
  readonly path: string;
  readonly runtime: Runtime;
  /** Undefined: all that commits did to the storage so far can be read there. */
  whenApplied(storage: StorageId): Promise<void> | undefined;
  /** Undefined: the record at `lsn` can be read there. */
  whenAppliedTo(lsn: Lsn): Promise<void> | undefined;
  /** False: rows at `s` are to be found in ways that only the engine knows (deleted since, or by transactions whose fate is open). */
  plain(storage: StorageId, s: Lsn): boolean;
}

/** Rows per block of a ChangeWatch. */
export const WATCH_BLOCK_ROWS = 65536;

/** Rows that commits changed, by blocks of row ids. */
export interface ChangeWatch {
  /** Nothing is known about commits at or before this LSN. */
  readonly since: Lsn;
  /** The storage was dropped. */
  readonly gone: boolean;
  /** Whether a commit after `lsn` changed rows of the block without marking them all. */
  unlistedAfter(block: number, lsn: Lsn): boolean;
  /** How many such commits there were. */
  unlistedCount(block: number): number;
  /** Whether a row of the block changed, or may have changed, after `lsn`. */
  changedAfter(block: number, lsn: Lsn): boolean;
  /** From now on `marks[row id % 65536]` is set to 1 when a commit changes the row. */
  addMarks(block: number, marks: Uint8Array): void;
  removeMarks(block: number, marks: Uint8Array): void;
}

/** Who hears of changed entries of an index. It is told when a commit takes its place in the order: no snapshot that sees the change is older. */
export interface EntryListener {
  /** The key is valid during the call. */
  changed(key: Uint8Array): void;
  /** A commit changed entries without listing them, or the index is gone: no more is told. */
  lost(): void;
}

export interface CommitNotice {
  readonly lsn: Lsn;
  readonly xid: Xid;
  readonly commitMicros: number;
  readonly messages: readonly Message[];
}

/** A transaction between PREPARE TRANSACTION and its end (pg_prepared_xacts). */
/** A row of a storage with a fixed id as a prepared transaction leaves it; without a tuple it is deleted. */
export interface PreparedRow {
  readonly storage: StorageId;
  readonly rowId: RowId;
  readonly tuple: Uint8Array | undefined;
}

export interface PreparedTransaction {
  readonly gid: string;
  readonly xid: Xid;
  /** Wall clock microseconds since the Unix epoch. */
  readonly preparedMicros: number;
  /** What `Transaction.prepare` was given: owner, database, whatever the caller needs to end it. */
  readonly info: Uint8Array;
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
  /** As fill, without copies: calls back for the next rows where they lie. Undefined, with nothing done, where rows have to be put together: ask `fill`. */
  visit(max: number, each: RowVisitor): number | undefined;
  close(): void;
}

/** A row where it lies: `bytes` [start, end), and the same bytes as `view`. Valid during the call, which may read and not scan. */
export interface RowVisitor {
  (rowId: RowId, xmin: Xid, bytes: Uint8Array, view: DataView, start: number, end: number): void;
}

/**
 * Bounds are encoded keys or prefixes of keys over leading columns (sql/access makes them);
 * `undefined` is open. A bound stands for every key that starts with it: an inclusive upper bound
 * takes them all in, an exclusive lower bound leaves them all out.
 */
/** Where a stored row lies. */
export interface RowPlace {
  bytes: Uint8Array;
  start: number;
  end: number;
}

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

/**
 * Reads values that are stored out of line: they never change, so no snapshot is asked. Whoever
 * reads must hold a snapshot that sees a row that refers to the value.
 */
export interface LargeValueReader {
  /** Bytes [offset, offset + length) of the value, as the caller's own. XX001 when it is not there. */
  read(storage: StorageId, id: number, offset: number, length: number): Uint8Array;
}

/** Writes one value out of line, ahead of the row that will refer to it. */
export interface LargeValueWriter {
  /** Adds bytes (copied). A Pending asks to wait before more is written. */
  write(bytes: Uint8Array): Pending | undefined;
  /** The value's id, and its length in bytes. */
  finish(): { id: number; length: number };
}

/** Index entries in order, of row ids that ascend under equal keys. */
export interface SortedKeys {
  cursor(): KeyCursor;
  /** Whether one of them has this key. */
  has(key: Uint8Array): boolean;
}

/** One of them: its key is bytes [start, start + length), and so many of payload stand behind it. */
export interface KeyCursor {
  next(): boolean;
  bytes: Uint8Array;
  start: number;
  length: number;
  payloadLength: number;
  rowId: number;
}

/**
 * Writes many rows and entries past the write set, for statements that read nothing of what they write (COPY, CREATE INDEX).
 * Until `finish` the transaction sees nothing of it. Bytes handed over are copied at once.
 */
export interface BulkLoader {
  /**
   * Claims the keys of a unique index, against rivals too, until `release` or the transaction's end; answers the least row id of those that are taken. What is claimed has to be `put`
   * and `finish`ed, or the transaction aborted, before it is released. `exempt`: rows whose key may repeat.
   */
  claim(index: StorageId, keys: SortedKeys, exempt: (rowId: number) => boolean, host: { wait(pending: Pending): Promise<void>; turn(): Promise<void> | undefined }): Promise<RowId | undefined>;
  /** Everything claimed is in the state, or never will be. */
  release(): void;
  insert(storage: StorageId, bytes: Uint8Array, length: number): RowId;
  /** The key is bytes [start, start + length) of `keys`. Of a unique index only when this transaction made it, or claimed the key; its caller sees to uniqueness. */
  put(index: StorageId, keys: Uint8Array, start: number, length: number, rowId: RowId, payload: Uint8Array): void;
  /** Ask now and then: the wait that the log and the applier need before there is more. */
  pending(): Pending | undefined;
  /** Called when rows up to one of a storage are in the log, as of a record, under an xid that may be a subtransaction's. */
  onRows: ((storage: StorageId, upTo: RowId, lsn: Lsn, xid: Xid) => void) | undefined;
  /** Before the statement ends: all of it is in the state then. */
  finish(): Promise<void>;
}

export interface Transaction {
  /** Inside a savepoint. */
  readonly inSavepoint: boolean;
  /** Local number of the transaction, unique while the process lives (virtual xid). */
  readonly virtualId: number;
  readonly isolation: IsolationLevel;
  readonly readOnly: boolean;
  /** The moment of the past that it reads; undefined: now. */
  readonly asOf: Lsn | undefined;
  /** 0 until the first write. */
  readonly xid: Xid;
  assignXid(): Xid;
  /** Which xids were running, and the next one, when the snapshot was taken that the whole transaction reads at; undefined before, and at READ COMMITTED. */
  readonly snapshotXids: { readonly next: Xid; readonly active: readonly Xid[] } | undefined;
  /** READ COMMITTED: a new snapshot. Otherwise the transaction's, with the current command. */
  takeSnapshot(): Snapshot;
  latestSnapshot(): Snapshot;
  /** As takeSnapshot, for what is read before anything else can happen: it pins nothing and needs no release. */
  instantSnapshot(): Snapshot;
  /** CommandCounterIncrement: later snapshots see what was written so far. */
  advanceCommand(): void;

  /**
   * READ ONLY DEFERRABLE at SERIALIZABLE, before its first snapshot: the wait until there is one that
   * can be part of no anomaly. Call again after it; undefined: go on.
   */
  safeSnapshotPending(): Pending | undefined;
  /**
   * Rows of the storage are read in another way than by `get`, `scan` and `scanIndex` (column
   * segments, counts): at SERIALIZABLE all of it counts as read. Costs nothing at other levels.
   */
  noteRead(storage: StorageId, snapshot: Snapshot): void;
  /** SERIALIZABLE: a row was to be inserted and must not be, for its key; raises 40001 when a read by a rival is the true reason. */
  noteInsertion(storage: StorageId, index: StorageId, key: Uint8Array): void;
  /** SERIALIZABLE: what anybody read of `from` counts from now on as all of `to`: the rows moved there, or `from` was its index. */
  noteReplaced(from: StorageId, to: StorageId): void;
  /** Whether this transaction itself changed rows of the storage. */
  changed(storage: StorageId): boolean;
  /** By how many rows its own writes change what the snapshot counts; undefined: not known without reading. */
  ownCount(storage: StorageId, snapshot: Snapshot): number | undefined;
  get(storage: StorageId, rowId: RowId, snapshot: Snapshot, keep?: boolean): RowVersion | undefined | Pending;
  /** As `get`, for a row asked for by its key: it may be kept in memory. */
  getOne(storage: StorageId, rowId: RowId, snapshot: Snapshot): RowVersion | undefined | Pending;
  /** As `getOne`, without an object per row: false where there is none. The place is valid until the next read. */
  placeOf(storage: StorageId, rowId: RowId, snapshot: Snapshot, place: RowPlace): boolean;
  /** Row ids of a short index range in its order, at most `max`, for which `into` has room, of entries visible to the snapshot: how many. -1: only `scanIndex` can say. */
  rowIdsOf(index: StorageId, snapshot: Snapshot, range: KeyRange, max: number, into: Float64Array): number;
  scan(storage: StorageId, snapshot: Snapshot, range?: { from?: RowId; to?: RowId }): RowCursor;
  /**
   * The row that the visible entry with exactly this key of a unique index leads to (a whole key, not cut for its length, and
   * an 'at' snapshot); 0 for none. -1: only a scan can say.
   */
  lookup(index: StorageId, key: Uint8Array, snapshot: Snapshot): RowId | 0 | -1;
  /** Entries visible to the snapshot, each exactly: born at or before it and not dead by then. No heap recheck needed. */
  scanIndex(index: StorageId, snapshot: Snapshot, range: KeyRange): IndexCursor;

  /**
   * A storage born in this transaction (CREATE TABLE or INDEX, TRUNCATE, a rewrite): gone by itself
   * if the transaction or the current savepoint rolls back; bulk loads into it are streamed.
   */
  createStorage(): StorageId;

  /** Tuples, keys and payloads handed over belong to the engine from then on: do not change them afterwards. */
  insert(storage: StorageId, tuple: Uint8Array): RowId;
  /** One of many rows of a statement: the first `length` bytes, copied at once, and kept as bytes until somebody reads the storage. */
  insertOfMany(storage: StorageId, bytes: Uint8Array, length: number): RowId;
  putEntryOfMany(index: StorageId, key: Uint8Array, length: number, rowId: RowId, payload: Uint8Array): void;
  /** The caller has locked the row (`lockRow`) first. */
  update(storage: StorageId, rowId: RowId, tuple: Uint8Array): void;
  delete(storage: StorageId, rowId: RowId): void;
  putIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array): void;
  deleteIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId): void;
  /**
   * Before inserting `key` into a unique index: locks (index, key) and looks with a dirty snapshot.
   * 'free', the row that has it (committed, or written by this transaction), or Pending while a
   * rival that wrote or deleted it is undecided; call again afterwards. Entries of the row `except`
   * do not count (rechecks of deferred constraints).
   */
  probeUnique(index: StorageId, key: Uint8Array, except?: RowId): 'free' | { rowId: RowId } | Pending;

  /** Undefined for temporary storages, and at SERIALIZABLE, where each write is registered. */
  bulkLoader(storage: StorageId): BulkLoader | undefined;
  /** Whether the storage was made by this transaction, so that nobody else can see it. */
  isNew(storage: StorageId): boolean;

  /**
   * For a value too large for its row. A row that refers to values carries the mark and the list of
   * `engine/mvcc/row-format.ts` (`appendLargeIds`): by it the engine knows when a value is not
   * needed any more. Undefined for temporary storages, whose values stay in the row.
   */
  writeValue(storage: StorageId): LargeValueWriter | undefined;
  readonly largeValues: LargeValueReader;

  lockRow(storage: StorageId, rowId: RowId, strength: RowLockStrength, policy: WaitPolicy, snapshot: Snapshot): RowLockResult | Pending;
  /** True when held; false for 'nowait' and somebody holds a conflicting one. `lockId` is a relation's OID-based id. */
  lockTable(lockId: number, mode: TableLockMode, policy: 'wait' | 'nowait'): boolean | Pending;
  /** Advisory locks; `session` ones survive the transaction and belong to its session. */
  lockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive', scope: 'transaction' | 'session', policy: 'wait' | 'nowait'): boolean | Pending;
  unlockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive'): boolean;

  /**
   * Ends a wait of this transaction, if it is in one: its Pending rejects with `error` (query
   * cancel, statement_timeout, lock_timeout). Returns whether there was one.
   */
  cancelWaits(error: Error): boolean;
  /** Nothing that was read may leave the server before this is over: undefined, or the wait until what was seen is durable. */
  floorPending(): Pending | undefined;
  /** For whoever inserts in bulk (COPY, INSERT ... SELECT), between batches: the wait until the applier has caught up. */
  loadPending(): Pending | undefined;
  /** What this transaction's answer depends on (the log position `SequenceStore.set` returned). */
  raiseFloor(lsn: Lsn): void;

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
  /** Commits if that takes no waiting at all (nothing to write, nothing seen that is not durable). False: nothing was done, call `commit`. */
  commitNow(): boolean;
  rollback(): void;
  /**
   * PREPARE TRANSACTION: its writes, messages and every lock it holds go to the log, and from then
   * on it belongs to no session; only `Storage.commitPrepared` and `rollbackPrepared` end it, also
   * after a restart. Resolves when that is durable. Raises 42710 when `gid` is in use, 0A000 when it
   * wrote temporary storages; a failure rolls it back. Session-level advisory locks stay with the session.
   */
  prepare(gid: string, info?: Uint8Array): Promise<void>;
  readonly state: 'active' | 'committing' | 'prepared' | 'committed' | 'aborted';
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
  /** As it was logged at `lsn`: up to 32 values ahead of what had been handed out. */
  getAt(sequence: StorageId, lsn: Lsn): SequenceState | undefined;
  /**
   * In memory at once. `log: true` puts `logged` (the state 32 values ahead, as a restart shall
   * find it; by default `state`) into the log before any later commit. Returns the log position
   * for `Transaction.raiseFloor`, 0 when nothing was logged.
   */
  set(sequence: StorageId, state: SequenceState, options: { log: boolean; logged?: SequenceState }): Lsn;
}

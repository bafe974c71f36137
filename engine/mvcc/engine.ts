/**
 * The storage engine: transactions over the commit log, the overlay and the key-value state.
 *
 *     commit --> record in the open batch (assigned) --> overlay, locks released
 *            --> append + sync (durable)             --> visible to new snapshots, acknowledged
 *            --> applier (applied)                   --> overlay trimmed
 */
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { LogStore } from '../log/log-store.js';
import { LockManager } from '../locks/lock-manager.js';
import type { Runtime } from '../runtime.js';
import type { Findings } from '../verify/findings.js';
import { StateWalk } from '../verify/state-walk.js';
import type { StatePin, WalkHooks, WalkTotals } from '../verify/state-walk.js';
import { SerializableTransactions } from '../serializable/serializable.js';
import type { ChangeWatch, CommitNotice, EngineSession, EngineStats, EntryListener, LockListing, Maintenance, PreparedRow, PreparedTransaction, Snapshot, StateReader, Storage, Transaction, TransactionOptions } from '../storage.js';
import type { StateSums } from './state-mark.js';
import type { ApplierDriver } from './applier-driver.js';
import { BulkLoad } from './bulk-load.js';
import { ChangeWatches } from './change-watch.js';
import { Committer } from './committer.js';
import { Housekeeping } from './housekeeping.js';
import { KeyCeilings } from './key-ceilings.js';
import { KeyClaims } from './key-claims.js';
import { LargeValues } from './large-values.js';
import { listLocks } from './lock-listing.js';
import { RangeRows } from './range-rows.js';
import { Staging } from './staging.js';
import { PreparedTransactions } from './prepared.js';
import type { RecoveredPrepared } from './prepared.js';
import { Holds, engineMaintenance } from './maintenance.js';
import { Retention } from './retention.js';
import { Sequences } from './sequences.js';
import { StorageInfo } from './storage-info.js';
import { SessionState } from './session.js';
import { logAbort, logSums } from './system-records.js';
import { TemporaryStore } from './temporary-store.js';
import { EngineTransaction } from './transaction.js';
import { TransactionTable } from './transaction-table.js';
import { VersionStore } from './version-store.js';
import type { Write } from './write.js';
import type { StorageWrites } from './write-set.js';

export interface EngineOptions {
  /** Where the state lies, to watch the free space; undefined in memory. */
  readonly directory: string | undefined;
  /** Bytes one transaction may keep in memory. */
  readonly transactionMemory: number;
  /** Bytes of writes from which on inserts are written ahead of the commit. */
  readonly bulkThreshold: number;
  /** Collects garbage this often; 0: only when asked. */
  readonly collectEveryMs: number;
  /** Old row versions kept for snapshots; beyond, the oldest snapshot is ended. */
  readonly maxVersions: number;
  /** Bytes of log after which the state is synced and the log behind it trimmed. */
  readonly trimEveryBytes: number;
  /** Old versions are kept so long for whoever reads the past; 0: only while snapshots need them. */
  readonly retentionMs: number;
}

/** What recovery found out. */
export interface Recovered {
  readonly nextXid: number;
  readonly nextStorageId: number;
  readonly lastCommitMicros: number;
  readonly nextRowIds: Map<StorageId, number>;
  /** Transactions that were loading in bulk when the server went down. */
  readonly unfinished: readonly { readonly xid: Xid; readonly storages: readonly StorageId[]; readonly first: Lsn }[];
  readonly prepared: readonly RecoveredPrepared[];
  readonly replayedBytes: number;
  readonly replayMs: number;
  /** The last process closed the log; or there was none. */
  readonly cleanStart: boolean;
  /** Snapshots before this may miss versions. */
  readonly collected: Lsn;
}

/** Temporary storages have ids from here on. */
const TEMPORARY_BASE = 2 ** 47;

export class Engine implements Storage {
  readonly locks: LockManager;
  readonly store: VersionStore;
  readonly temporary = new TemporaryStore();
  /** Short index ranges. */
  readonly ranges: RangeRows;
  readonly sequences: Sequences;
  readonly staging: Staging;
  readonly prepared: PreparedTransactions;
  readonly largeValues: LargeValues;
  readonly ceilings: KeyCeilings;
  readonly claims = new KeyClaims();
  readonly past: Retention;
  readonly serializable = new SerializableTransactions(() => this.visible);
  readonly maintenance: Maintenance;
  readonly transactions: TransactionTable;
  readonly committer: Committer;
  private readonly housekeeping: Housekeeping;
  /** Who needs old versions, and old log, besides snapshots and recovery. */
  readonly pins = new Holds();
  readonly logHolds = new Holds();
  private readonly durableCell = new Float64Array(new SharedArrayBuffer(8));
  private readonly watches = new ChangeWatches();
  /** The last commit whose rows the overlay does not hold. */
  private lastProvisional = 0 as Lsn;
  /** Snapshots see everything at or before this: durable, or assigned by an asynchronous commit. */
  private visible: Lsn;
  private temporaryCounter = TEMPORARY_BASE;
  private virtualCounter = 1;
  private groupCounter = 1;
  private readonly rowCounters: Map<StorageId, number>;
  private readonly listeners: ((commit: CommitNotice) => void)[] = [];
  private readonly fatalListeners: ((error: unknown) => void)[] = [];
  private notices: CommitNotice[] = [];
  private fatal = false;
  private closing = false;
  private appliedWaiters: { readonly lsn: Lsn; resolve(): void }[] = [];

  constructor(
    private readonly runtime: Runtime,
    readonly options: EngineOptions,
    readonly kv: KeyValueStore,
    private readonly logStore: LogStore,
    readonly log: GroupCommit,
    private readonly applier: ApplierDriver,
    store: VersionStore,
    private readonly recovered: Recovered,
    private readonly onClose: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.store = store;
    this.locks = new LockManager(runtime.clock);
    this.visible = log.durable;
    store.fed = log.durable;
    this.ranges = new RangeRows(store);
    this.transactions = new TransactionTable(log, recovered.nextXid, recovered.nextStorageId);
    this.rowCounters = recovered.nextRowIds;
    this.committer = new Committer(this, runtime, applier, this.watches, recovered.lastCommitMicros);
    this.housekeeping = new Housekeeping(this, runtime, applier, logStore);
    this.sequences = new Sequences(kv, log);
    this.prepared = new PreparedTransactions(this);
    this.durableCell[0] = log.durable;
    this.maintenance = engineMaintenance(this, applier, this.durableCell.buffer as SharedArrayBuffer);
    this.ceilings = new KeyCeilings(kv, (index) => this.writesOf(index));
    this.largeValues = new LargeValues(kv, log, applier);
    this.past = new Retention(kv, runtime.clock, options.retentionMs, recovered.collected, () => this.watermarks);
    log.activeCount = () => (this.committer.lone ? this.transactions.active.size - this.prepared.size : Infinity);
    log.onDurable = (batch, durable) => this.becameDurable(batch, durable);
    log.onFailure = (error) => this.fail(error);
    this.staging = new Staging(this, applier);
    applier.onApplied = (applied) => {
      this.store.overlay.trim(applied);
      this.staging.trim(applied);
      this.largeValues.trim(applied);
      this.past.trim(applied);
      this.sequences.trim(applied);
      this.wakeApplied(applied);
    };
    applier.onFailure = (error) => this.fail(error);
    applier.onSums = (sums) => this.writeSums(sums);
    for (const prepared of recovered.prepared) this.restorePrepared(prepared);
    for (const { xid, storages, first } of recovered.unfinished) this.staging.abortXid(xid, storages, first);
    this.housekeeping.start();
  }

  // ---- transactions

  openSession(processId: number, databaseId = 0): EngineSession {
    return new SessionState(this.locks, this.groupCounter++, processId, databaseId);
  }

  begin(options: TransactionOptions = {}): Transaction {
    const session = (options.session as SessionState | undefined) ?? new SessionState(this.locks, this.groupCounter++, 0, 0);
    return new EngineTransaction(this, session, this.virtualCounter++, options);
  }

  newSession(): SessionState {
    return new SessionState(this.locks, this.groupCounter++, 0, 0);
  }

  private restorePrepared(found: RecoveredPrepared): void {
    const transaction = new EngineTransaction(this, this.newSession(), this.virtualCounter++, {});
    transaction.xid = found.xid;
    this.transactions.restore(transaction);
    this.prepared.restore(transaction, found);
  }

  get visibleLsn(): Lsn {
    return this.visible;
  }

  /** Snapshots see an asynchronous commit before it is durable. */
  showUpTo(lsn: Lsn): void {
    if (lsn > this.visible) this.visible = lsn;
  }

  /** A new snapshot sees what is durable, or what this session saw already. */
  snapshotLsn(session: SessionState): Lsn {
    return session.floor > this.visible ? session.floor : this.visible;
  }

  // ---- storages

  allocateStorageId(): StorageId {
    return this.transactions.allocateStorageId();
  }

  allocateTemporaryStorageId(): StorageId {
    return this.temporaryCounter++ as StorageId;
  }

  isWrittenAhead(storage: StorageId): boolean {
    return this.store.hasOpenDeath(storage);
  }

  isTemporary(storage: StorageId): boolean {
    return storage >= TEMPORARY_BASE;
  }

  discardTemporaryStorage(storage: StorageId): void {
    this.temporary.discard(storage);
  }

  storeOf(storage: StorageId): VersionStore {
    return storage >= TEMPORARY_BASE ? this.temporary.store : this.store;
  }

  nextRowId(storage: StorageId): RowId {
    const next = this.rowCounters.get(storage) ?? 1;
    this.rowCounters.set(storage, next + 1);
    return next as RowId;
  }

  /** A row id below the counter is taken. */
  rowIdUsed(storage: StorageId, rowId: RowId): void {
    if (rowId >= (this.rowCounters.get(storage) ?? 1)) this.rowCounters.set(storage, rowId + 1);
  }

  exactCount(storage: StorageId, snapshot: Snapshot): number | undefined {
    const { applied } = this.applier;
    // The applier's count is of `applied`: nothing between that and the snapshot may have touched the storage.
    if (storage >= TEMPORARY_BASE || snapshot.lsn < applied || this.lastProvisional > applied || this.store.overlay.has(storage)) return undefined;
    return this.applier.rowCount(storage);
  }

  rowCount(storage: StorageId): number {
    return storage >= TEMPORARY_BASE ? this.temporary.rowCount(storage) : this.applier.rowCount(storage);
  }

  byteSize(storage: StorageId): number {
    return storage >= TEMPORARY_BASE ? this.temporary.byteSize(storage) : this.applier.byteSize(storage);
  }

  get stateReader(): StateReader | undefined {
    const { directory } = this.options;
    if (directory === undefined) return undefined;
    return { path: `${directory}/state.mdb`, runtime: this.runtime, whenApplied: (storage) => this.whenStorageApplied(storage), whenAppliedTo: (lsn) => this.whenApplied(lsn), plain: (storage, s) => !this.store.mayMergeDead(storage, s) };
  }

  /** A transaction wrote rows from..to ahead of its commit. */
  noteAhead(storage: StorageId, from: number, to: number): void {
    this.watches.noteAhead(storage, from, to);
  }

  stagedCommit(xid: Xid): Lsn | undefined {
    return this.store.staged.get(xid);
  }

  hasRowsAhead(storage: StorageId, block: number): boolean {
    return this.staging.hasRows(storage, block);
  }

  async readLog(from: Lsn): Promise<AsyncIterable<Uint8Array> | undefined> {
    const tail = await this.logStore.tail(from);
    return tail.kind === 'batches' ? tail.batches : undefined;
  }

  nextRow(storage: StorageId): RowId {
    return (this.rowCounters.get(storage) ?? 1) as RowId;
  }

  private whenStorageApplied(storage: StorageId): Promise<void> | undefined {
    if (this.lastProvisional <= this.applier.applied && !this.store.overlay.has(storage)) return undefined;
    return this.log.drain().then(() => this.applier.drain());
  }

  watchChanges(storage: StorageId): ChangeWatch {
    return this.watches.watch(storage, this.log.assigned);
  }

  unwatchChanges(storage: StorageId): void {
    this.watches.unwatch(storage);
  }

  watchEntries(index: StorageId, listener: EntryListener): { readonly since: Lsn; stop(): void } {
    return { since: this.log.assigned, stop: this.watches.listen(index, listener) };
  }

  // ---- commit

  applyTemporary(writes: readonly Write[]): void {
    if (writes.length > 0) this.temporary.apply(writes, this.log.assigned);
  }

  /** A commit whose rows the overlay does not hold. */
  noteProvisional(lsn: Lsn): void {
    this.lastProvisional = lsn;
  }

  /** Listeners hear of a commit when it is durable. */
  notify(notice: CommitNotice): void {
    if (this.listeners.length > 0) this.notices.push(notice);
  }

  /** A turn for others. */
  turn(): Promise<void> {
    return this.runtime.clock.turn();
  }

  monotonicMs(): number {
    return this.runtime.clock.monotonicMs();
  }

  nowMicros(): number {
    return this.runtime.clock.nowMicros();
  }

  preparedRows(gid: string): PreparedRow[] {
    return this.prepared.fixedRows(gid);
  }

  commitPrepared(gid: string): Promise<Lsn> {
    return this.prepared.commit(gid);
  }

  rollbackPrepared(gid: string): Promise<Lsn> {
    return this.prepared.rollback(gid);
  }

  preparedTransactions(): PreparedTransaction[] {
    return this.prepared.list();
  }

  bulkLoad(transaction: EngineTransaction): BulkLoad {
    return new BulkLoad(this, this.applier, transaction);
  }

  /** Resolves when the record at `lsn` is in the state, for all to read. */
  whenApplied(lsn: Lsn): Promise<void> | undefined {
    if (lsn <= this.applier.applied) return undefined;
    const durable = this.log.whenDurable(lsn);
    const applied = new Promise<void>((resolve) => this.appliedWaiters.push({ lsn, resolve }));
    if (!durable) {
      this.applier.hurry();
      return applied;
    }
    return durable.then(() => {
      this.applier.hurry();
      return applied;
    });
  }

  private wakeApplied(applied: Lsn): void {
    if (this.appliedWaiters.length === 0) return;
    this.appliedWaiters = this.appliedWaiters.filter((waiter) => {
      if (waiter.lsn > applied) return true;
      waiter.resolve();
      return false;
    });
  }

  /** What is kept of a storage that is dropped. */
  forget(storage: StorageId): void {
    this.watches.forget(storage);
    this.rowCounters.delete(storage);
    this.sequences.forget(storage);
    this.ceilings.forget(storage);
  }

  /** What running transactions and the overlay have of an index. */
  private *writesOf(index: StorageId): Iterable<StorageWrites> {
    const committed = this.store.overlay.find(index);
    if (committed) yield committed;
    for (const transaction of this.transactions.active) {
      const own = transaction.writes.find(index);
      if (own) yield own;
    }
  }

  /** Says that what was loaded ahead under `xid` will never be true. */
  writeAbort(xid: Xid): Lsn {
    return logAbort(this.log, xid);
  }

  /** The state's counts and hash sums as of an LSN before: a restore compares when it gets there. */
  private writeSums(sums: StateSums): void {
    if (this.log.failed || this.closing) return;
    logSums(this.log, sums);
  }

  private becameDurable(batch: Uint8Array, durable: Lsn): void {
    this.showUpTo(durable);
    this.durableCell[0] = durable;
    this.store.fed = durable;
    this.applier.feed(batch);
    this.housekeeping.logGrew(batch.length);
    if (this.notices.length === 0) return;
    let sent = 0;
    while (sent < this.notices.length && this.notices[sent]!.lsn < durable) sent++;
    for (const notice of this.notices.splice(0, sent)) for (const listener of this.listeners) listener(notice);
  }

  // ---- horizon and collection

  vacuum(): Promise<{ versionsRemoved: number; indexEntriesRemoved: number }> {
    return this.housekeeping.vacuum();
  }

  checkpoint(): Promise<void> {
    return this.housekeeping.checkpoint();
  }

  /** The state at one LSN, held until it is released: what a walk of the state compares with. */
  private async pinState(): Promise<StatePin> {
    const transaction = this.begin({ isolation: 'repeatable read', readOnly: true }) as EngineTransaction;
    const snapshot = transaction.takeSnapshot();
    await this.log.drain();
    const mark = await this.applier.mark();
    return {
      at: mark.at,
      storages: new Map(mark.storages.map(({ id, record }) => [id, StorageInfo.decode(id, record)])),
      dropped: new Set(mark.dropped),
      valid: () => !transaction.expired,
      release: () => {
        snapshot.release();
        transaction.rollback();
      },
    };
  }

  walkState(findings: Findings, hooks: WalkHooks): Promise<WalkTotals> {
    return new StateWalk({ kv: this.kv, findings, pin: () => this.pinState(), now: () => this.runtime.clock.monotonicMs(), ...hooks }).run();
  }

  // ---- information

  get watermarks(): { readonly assigned: Lsn; readonly durable: Lsn; readonly applied: Lsn } {
    return { assigned: this.log.assigned, durable: this.log.durable, applied: this.applier.applied };
  }

  whenDurable(lsn: Lsn): Promise<void> | undefined {
    return this.log.whenDurable(lsn);
  }

  onCommit(listener: (commit: CommitNotice) => void): void {
    this.listeners.push(listener);
  }

  onFatal(listener: (error: unknown) => void): void {
    this.fatalListeners.push(listener);
  }

  fail(error: unknown): void {
    if (this.fatal) return;
    this.fatal = true;
    for (const listener of this.fatalListeners) listener(error);
  }

  xidStatus(xid: Xid): 'in progress' | 'committed' | 'aborted' | undefined {
    return this.transactions.status(xid);
  }

  xidBounds(): { next: Xid; oldestActive: Xid; active: Xid[] } {
    return this.transactions.bounds();
  }

  get describeTableLock(): (lockId: number, databaseId: number) => string {
    return this.locks.describeTable;
  }

  set describeTableLock(describe: (lockId: number, databaseId: number) => string) {
    this.locks.describeTable = describe;
  }

  get deadlockTimeoutMs(): number {
    return this.locks.deadlockTimeoutMs;
  }

  set deadlockTimeoutMs(ms: number) {
    this.locks.deadlockTimeoutMs = ms;
  }

  blockingProcesses(processId: number): number[] {
    return this.locks.blockingProcesses(processId);
  }

  safeSnapshotBlockers(processId: number): number[] {
    return this.serializable.blocking(processId);
  }

  listLocks(): LockListing[] {
    return listLocks(this.locks, this.transactions.byXid, this.serializable);
  }

  stats(): EngineStats {
    const log = this.logStore.stats();
    return {
      logBytes: this.log.bytes,
      logBatches: this.log.batches,
      commits: this.committer.commits,
      fsyncCount: log.fsyncCount,
      fsyncMsTotal: log.fsyncMsTotal,
      fsyncMsMax: log.fsyncMsMax,
      fsyncBuckets: log.fsyncBuckets,
      applierLagBytes: this.applier.queuedBytes,
      replayedBytes: this.recovered.replayedBytes,
      replayMs: this.recovered.replayMs,
      cleanStart: this.recovered.cleanStart,
      keyValueBytes: this.kv.byteSize(),
      versionsInHistory: this.applier.versionsInHistory,
      versionsCollected: this.applier.versionsCollected,
      snapshotsExpired: this.housekeeping.snapshotsExpired,
      overlayRows: this.store.overlay.rowCount,
      activeTransactions: this.transactions.active.size,
      locksHeld: this.locks.table.size,
      locksWaiting: this.locks.waitCount,
      deadlocks: this.locks.deadlocks,
      pastOldestMicros: this.past.oldestMicros() ?? 0,
      horizon: this.housekeeping.horizon(),
    };
  }

  abandon(): Promise<void> {
    return this.applier.halt();
  }

  /** Rolls back what is running, makes everything durable and applied, and lets go of the directory. */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.housekeeping.stop();
    for (const transaction of [...this.transactions.active]) transaction.rollback();
    if (!this.fatal) {
      this.sequences.settle();
      await this.log.drain();
      await this.applier.close();
    }
    await this.logStore.close();
    this.kv.close();
    await this.onClose();
  }
}

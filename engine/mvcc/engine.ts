/**
 * The storage engine: transactions over the commit log, the overlay and the key-value state.
 *
 *     commit --> record in the open batch (assigned) --> overlay, locks released
 *            --> append + sync (durable)             --> visible to new snapshots, acknowledged
 *            --> applier (applied)                   --> overlay trimmed
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { readUint48 } from '../keycode.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { RecordKind } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { LogStore } from '../log/log-store.js';
import { LockManager } from '../locks/lock-manager.js';
import type { Runtime } from '../runtime.js';
import type { Findings } from '../verify/findings.js';
import { StateWalk } from '../verify/state-walk.js';
import type { StatePin, WalkHooks, WalkTotals } from '../verify/state-walk.js';
import { SerializableTransactions } from '../serializable/serializable.js';
import type { ChangeWatch, CommitNotice, EngineSession, EngineStats, LockListing, Maintenance, PreparedRow, PreparedTransaction, Snapshot, StateReader, Storage, Transaction, TransactionOptions } from '../storage.js';
import type { StateSums } from './applier.js';
import type { ApplierDriver } from './applier-driver.js';
import { BulkLoad } from './bulk-load.js';
import { ChangeWatches } from './change-watch.js';
import { SINGLE_RECORD_MAX, writeCommit, writeParts } from './commit-encoder.js';
import { KeyCeilings } from './key-ceilings.js';
import { LargeValues } from './large-values.js';
import { listLocks } from './lock-listing.js';
import { Staging } from './staging.js';
import { PreparedTransactions } from './prepared.js';
import type { RecoveredPrepared } from './prepared.js';
import { Holds, engineMaintenance } from './maintenance.js';
import { Flag } from './row-format.js';
import { Retention } from './retention.js';
import { Sequences } from './sequences.js';
import { StorageInfo } from './storage-info.js';
import { SessionState } from './session.js';
import { logAbort, logReserve, logSums } from './system-records.js';
import { TemporaryStore } from './temporary-store.js';
import { EngineTransaction } from './transaction.js';
import { VersionStore } from './version-store.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import type { Write } from './write.js';
import type { StorageWrites } from './write-set.js';

export interface EngineOptions {
  /** Where the state lies, to watch the free space; undefined in memory. */
  readonly directory: string | undefined;
  /** Bytes one transaction may keep in memory. */
  readonly transactionMemory: number;
  /** Collects garbage this often; 0: only when asked. */
  /** Bytes of writes from which on inserts are written ahead of the commit. */
  readonly bulkThreshold: number;
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
/** How many xids and storage ids one reserve record covers. */
const XID_RESERVE = 1 << 16;
const STORAGE_RESERVE = 1 << 12;
/** Parts of a large transaction wait for the log this often. */
const PARTS_IN_FLIGHT = 8;
/** A session that committed so often while nobody else did is alone: it is synced on this thread, which is the shortest way. */
const LONE_AFTER = 3;
/** With a full disk, commits go on until this much waits to be applied. */
const STALLED_MAX = 16 << 20;
/** With a slow applier, committers wait while this much does. */
const LAG_MAX = 32 << 20;
/** Free space that commits leave to the applier. */
const RESERVED_BYTES = 40 << 20;
const DISK_CHECK_MS = 20;

export class Engine implements Storage {
  readonly locks: LockManager;
  readonly store: VersionStore;
  readonly temporary = new TemporaryStore();
  readonly sequences: Sequences;
  readonly staging: Staging;
  readonly prepared: PreparedTransactions;
  readonly largeValues: LargeValues;
  readonly ceilings: KeyCeilings;
  readonly past: Retention;
  readonly serializable = new SerializableTransactions(() => this.visible);
  readonly maintenance: Maintenance;
  /** Who needs old versions, and old log, besides snapshots and recovery. */
  readonly pins = new Holds();
  readonly logHolds = new Holds();
  private readonly durableCell = new Float64Array(new SharedArrayBuffer(8));
  private readonly watches = new ChangeWatches();
  /** The last commit whose rows the overlay does not hold. */
  private lastProvisional = 0 as Lsn;
  /** Snapshots see everything at or before this: durable, or assigned by an asynchronous commit. */
  private visible: Lsn;
  private readonly active = new Set<EngineTransaction>();
  private readonly byXid = new Map<Xid, EngineTransaction>();
  private readonly aborted = new Set<Xid>();
  private readonly firstXid: number;
  private xidCounter: number;
  private xidReserved: number;
  private storageCounter: number;
  private storageReserved: number;
  private temporaryCounter = TEMPORARY_BASE;
  private virtualCounter = 1;
  private groupCounter = 1;
  private readonly rowCounters: Map<StorageId, number>;
  private lastCommitMicros: number;
  private readonly listeners: ((commit: CommitNotice) => void)[] = [];
  private readonly fatalListeners: ((error: unknown) => void)[] = [];
  private notices: CommitNotice[] = [];
  private commits = 0;
  private snapshotsExpired = 0;
  private lastCommitter: SessionState | null = null;
  /** Commits of one session since another one committed. */
  private sameCommitter = 0;
  private fatal = false;
  private stopCollecting: (() => void) | undefined;
  private closing = false;
  private appliedWaiters: { readonly lsn: Lsn; resolve(): void }[] = [];
  private trimming = false;
  private sinceTrim = 0;
  private diskCheckedMs = -Infinity;
  private diskLow = false;

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
    this.firstXid = this.xidCounter = this.xidReserved = recovered.nextXid;
    this.storageCounter = this.storageReserved = recovered.nextStorageId;
    this.rowCounters = recovered.nextRowIds;
    this.lastCommitMicros = recovered.lastCommitMicros;
    this.sequences = new Sequences(kv, log);
    this.prepared = new PreparedTransactions(this);
    this.durableCell[0] = log.durable;
    this.maintenance = engineMaintenance(this, applier, this.durableCell.buffer as SharedArrayBuffer);
    this.ceilings = new KeyCeilings(kv, (index) => this.writesOf(index));
    this.largeValues = new LargeValues(kv, log, applier);
    this.past = new Retention(kv, runtime.clock, options.retentionMs, recovered.collected, () => this.watermarks);
    log.activeCount = () => (this.sameCommitter < LONE_AFTER ? Infinity : this.active.size - this.prepared.size);
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
    this.scheduleCollection();
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
    this.byXid.set(found.xid, transaction);
    this.active.add(transaction);
    this.prepared.restore(transaction, found);
  }

  adoptXids(transaction: EngineTransaction, xids: readonly Xid[]): void {
    for (const xid of xids) this.byXid.set(xid, transaction);
  }

  join(transaction: EngineTransaction): void {
    this.active.add(transaction);
  }

  leave(transaction: EngineTransaction): void {
    this.active.delete(transaction);
    if (transaction.xid === 0) return;
    this.byXid.delete(transaction.xid);
    for (const xid of transaction.staged?.subXids() ?? []) this.byXid.delete(xid);
    if (transaction.state !== 'aborted') return;
    this.aborted.add(transaction.xid);
    if (this.aborted.size > 100_000) for (const oldest of this.aborted) {
      this.aborted.delete(oldest);
      break;
    }
  }

  nextXid(transaction: EngineTransaction): Xid {
    const xid = this.xidCounter++ as Xid;
    if (xid + XID_RESERVE / 2 >= this.xidReserved) this.reserve();
    this.byXid.set(xid, transaction);
    this.active.add(transaction);
    return xid;
  }

  get visibleLsn(): Lsn {
    return this.visible;
  }

  /** A new snapshot sees what is durable, or what this session saw already. */
  snapshotLsn(session: SessionState): Lsn {
    return session.floor > this.visible ? session.floor : this.visible;
  }

  /** Transactions that started reading or writing. */
  get activeTransactions(): ReadonlySet<EngineTransaction> {
    return this.active;
  }

  /** Logs, ahead of their use, how far xids and storage ids may be handed out. */
  private reserve(): void {
    this.xidReserved = this.xidCounter + XID_RESERVE;
    this.storageReserved = this.storageCounter + STORAGE_RESERVE;
    logReserve(this.log, this.xidReserved, this.storageReserved);
  }

  // ---- storages

  allocateStorageId(): StorageId {
    const id = this.storageCounter++ as StorageId;
    if (id + STORAGE_RESERVE / 2 >= this.storageReserved) this.reserve();
    return id;
  }

  allocateTemporaryStorageId(): StorageId {
    return this.temporaryCounter++ as StorageId;
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
    return { path: `${directory}/state.mdb`, runtime: this.runtime, whenApplied: (storage) => this.whenStorageApplied(storage), plain: (storage, s) => !this.store.mergesDead(storage, s) };
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

  // ---- commit

  applyTemporary(writes: readonly Write[]): void {
    if (writes.length > 0) this.temporary.apply(writes, this.log.assigned);
  }

  commit(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    this.checkRoom(transaction);
    if (transaction.staged && transaction.state === 'committing') return this.commitStaged(transaction, final, temporary, synchronous);
    if (transaction.writes.logBytes > SINGLE_RECORD_MAX || messageBytes(transaction) > SINGLE_RECORD_MAX)
      return this.commitInParts(transaction, final, temporary, synchronous);
    return this.finishCommit(transaction, final, temporary, synchronous, false);
  }

  /** Raises 53100 unless the log and the state have room for what the transaction says. */
  checkRoom(transaction: EngineTransaction): void {
    if (this.maintenance.refuseCommits) throw this.maintenance.refuseCommits;
    this.log.checkRoom(Math.min(transaction.writes.bytes, 4 << 20));
    if ((this.applier.stalled && this.applier.queuedBytes > STALLED_MAX) || this.diskIsLow())
      throw new DatabaseError('53100', 'could not extend the state file: No space left on device', { hint: 'Check free disk space.' });
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

  /** Whether there is less room than what was acknowledged and not applied may need. Looked up every few milliseconds. */
  private diskIsLow(): boolean {
    const { directory } = this.options;
    if (directory === undefined) return false;
    const now = this.runtime.clock.monotonicMs();
    if (now - this.diskCheckedMs > DISK_CHECK_MS) {
      this.diskCheckedMs = now;
      this.diskLow = this.runtime.files.freeBytes(directory) < RESERVED_BYTES;
    }
    return this.diskLow;
  }

  private async commitStaged(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    try {
      await this.staging.finish(transaction);
    } catch (error) {
      transaction.abort();
      throw error;
    }
    const unwritten = (write: Change): boolean => !write.streamed;
    const left = final.filter(unwritten).flatMap((write) => transaction.writes.finalOf(write)).filter(unwritten);
    return this.commitInParts(transaction, left, temporary, synchronous);
  }

  private async commitInParts(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    try {
      let inFlight = 0;
      for (const lsn of writeParts(this.log, RecordKind.part, transaction.assignXid(), final, transaction.messages)) {
        if (++inFlight < PARTS_IN_FLIGHT) continue;
        inFlight = 0;
        this.log.checkRoom(4 << 20);
        await this.log.whenDurable(lsn);
      }
      return await this.finishCommit(transaction, final, temporary, synchronous, true);
    } catch (error) {
      if (transaction.state === 'committing') {
        // The applier holds the parts until it hears what became of them.
        if (!transaction.provisional && transaction.values.size === 0 && !this.log.failed) this.writeAbort(transaction.xid);
        transaction.abort();
      }
      throw error;
    }
  }

  /** The one synchronous step in which a commit gets its place in the order. */
  finishCommit(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean, parts: boolean): Promise<Lsn> {
    const serializable = transaction.serializable?.safe ? undefined : transaction.serializable;
    if (serializable) this.serializable.preCommit(serializable);
    const { xid, messages, drops } = transaction;
    const micros = this.nextCommitMicros();
    const { provisional } = transaction;
    const lsn = writeCommit(this.log, { xid, writes: final, messages, drops, provisional, stagedXids: transaction.staged?.subXids() ?? [], unused: transaction.unusedValues(final) }, micros, parts);
    this.past.noteCommit(lsn, micros);
    if (provisional) {
      // What it wrote ahead is not in the overlay.
      this.store.cache.clear();
    }
    for (const write of final) {
      if (write instanceof WriteBatch) continue;
      if (write.isRow) {
        if (!write.born) this.noteRowDeath(write, lsn);
      } else if (!write.born) this.store.noteDeath(write.index, lsn);
    }
    const writes = provisional ? [...this.staging.unapplied(transaction), ...final] : final;
    for (const write of writes) write.xid = xid;
    this.store.overlay.add(lsn, writes);
    this.watches.note(lsn, writes);
    if (provisional) {
      this.lastProvisional = lsn;
      if (transaction.staged) this.watches.noteUnlisted(lsn, transaction.staged.storages);
      this.staging.committed(transaction, lsn);
    }
    for (const storage of drops) this.forget(storage);
    this.applyTemporary(temporary);
    this.commits++;
    if (this.listeners.length > 0) this.notices.push({ lsn, xid, commitMicros: micros, messages });
    const { session } = transaction;
    this.sameCommitter = session === this.lastCommitter ? this.sameCommitter + 1 : 0;
    this.lastCommitter = session;
    // An asynchronous commit owes nobody its durability.
    if (synchronous && lsn > session.floor) session.floor = lsn;
    if (serializable) this.serializable.committed(serializable, lsn, true);
    transaction.end('committed');
    if (!synchronous) {
      if (lsn > this.visible) this.visible = lsn;
      this.log.flushSoon();
      return Promise.resolve(lsn);
    }
    const until = this.log.whenDurable(lsn);
    // A writer faster than the applier waits for it: the overlay is memory.
    if (this.applier.queuedBytes > LAG_MAX) return Promise.resolve(until).then(() => this.applier.drain()).then(() => lsn);
    return until ? until.then(() => lsn) : Promise.resolve(lsn);
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

  /** The time that a record made now carries: never before an earlier one's. */
  nextCommitMicros(): number {
    return (this.lastCommitMicros = Math.max(this.runtime.clock.nowMicros(), this.lastCommitMicros));
  }

  private noteRowDeath(write: Write & { isRow: true }, lsn: Lsn): void {
    if (!write.tuple) this.store.noteDeath(write.storage, lsn);
  }

  private forget(storage: StorageId): void {
    this.watches.unwatch(storage);
    this.rowCounters.delete(storage);
    this.sequences.forget(storage);
    this.ceilings.forget(storage);
  }

  /** What running transactions and the overlay have of an index. */
  private *writesOf(index: StorageId): Iterable<StorageWrites> {
    const committed = this.store.overlay.find(index);
    if (committed) yield committed;
    for (const transaction of this.active) {
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
    if (durable > this.visible) this.visible = durable;
    this.durableCell[0] = durable;
    this.applier.feed(batch);
    this.sinceTrim += batch.length;
    if (this.sinceTrim >= this.options.trimEveryBytes) this.trimSoon();
    if (this.notices.length === 0) return;
    let sent = 0;
    while (sent < this.notices.length && this.notices[sent]!.lsn < durable) sent++;
    for (const notice of this.notices.splice(0, sent)) for (const listener of this.listeners) listener(notice);
  }

  // ---- what unique checks ask

  /** A running transaction, other than `asking`, that deleted this index entry. */
  deleterOf(asking: EngineTransaction, index: StorageId, entry: Uint8Array): EngineTransaction | undefined {
    for (const transaction of this.active) {
      if (transaction === asking) continue;
      const writes = transaction.writes.peek(index);
      if (!writes?.hasEntries) continue;
      const write = writes.entries.get(entry);
      if (write && !write.payload) return transaction;
    }
    return undefined;
  }

  /** Whose xid (or subtransaction's) this is, while it runs. */
  running(xid: Xid): EngineTransaction | undefined {
    return this.byXid.get(xid);
  }

  /** A subtransaction is over. */
  forgetXid(xid: Xid): void {
    this.byXid.delete(xid);
    this.aborted.add(xid);
  }

  /** The running transaction, other than `asking`, that wrote this stored entry ahead. */
  undecidedLoader(value: Uint8Array, asking: EngineTransaction): EngineTransaction | undefined {
    if (!(value[0]! & Flag.provisional)) return undefined;
    const transaction = this.byXid.get(readUint48(value, 1) as Xid);
    return transaction === asking ? undefined : transaction;
  }

  // ---- horizon and collection

  /** The oldest LSN that any snapshot reads at, or will. */
  horizon(): Lsn {
    const { keepFrom } = this.past;
    let oldest = Math.min(keepFrom, this.visible, this.pins.oldest) as Lsn;
    for (const transaction of this.active) {
      const lsn = transaction.oldestSnapshot();
      if (lsn < oldest) oldest = lsn;
    }
    return this.staging.hold(oldest);
  }

  /** The horizon, and from now on nobody reads before it. */
  private readonly collectTo = (): Lsn => {
    const horizon = this.horizon();
    if (horizon > this.past.collected) this.past.collected = horizon;
    return horizon;
  };

  async vacuum(): Promise<{ versionsRemoved: number; indexEntriesRemoved: number }> {
    await this.log.drain();
    await this.applier.drain();
    await this.staging.idle();
    this.past.tick();
    const { versions, entries } = await this.applier.collect(this.collectTo);
    return { versionsRemoved: versions, indexEntriesRemoved: entries };
  }

  /** Too many old versions: the transaction whose snapshot holds back most of them loses it. */
  private boundVersions(): void {
    if (this.applier.versionsInHistory <= this.options.maxVersions) return;
    let oldest: EngineTransaction | undefined;
    for (const transaction of this.active)
      if (transaction.oldestSnapshot() < (oldest?.oldestSnapshot() ?? this.visible)) oldest = transaction;
    if (this.past.keepFrom < (oldest?.oldestSnapshot() ?? this.visible)) {
      this.past.shorten();
      return;
    }
    if (!oldest) return;
    oldest.expire();
    this.snapshotsExpired++;
  }

  private scheduleCollection(): void {
    const every = this.options.collectEveryMs;
    if (every <= 0 || this.closing) return;
    this.stopCollecting = this.runtime.clock.after(every, () => {
      this.past.tick();
      this.boundVersions();
      this.applier
        .collect(this.collectTo)
        .catch((error: unknown) => this.fail(error))
        .finally(() => this.scheduleCollection());
    });
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

  async checkpoint(): Promise<void> {
    await this.log.drain();
    await this.applier.drain();
    await this.trimLog();
  }

  /** Lets go of the log that no restart needs any more: what the synced state has applied. */
  private async trimLog(): Promise<void> {
    const needed = await this.applier.sync();
    if (needed > 0) await this.logStore.trim(this.log.term, Math.min(needed, this.logHolds.oldest) as Lsn);
  }

  private trimSoon(): void {
    if (this.trimming) return;
    this.trimming = true;
    this.sinceTrim = 0;
    this.trimLog()
      .catch((error: unknown) => this.fail(error))
      .finally(() => (this.trimming = false));
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

  private fail(error: unknown): void {
    if (this.fatal) return;
    this.fatal = true;
    for (const listener of this.fatalListeners) listener(error);
  }

  xidStatus(xid: Xid): 'in progress' | 'committed' | 'aborted' | undefined {
    if (this.byXid.has(xid)) return 'in progress';
    if (xid < this.firstXid || xid >= this.xidCounter) return undefined;
    return this.aborted.has(xid) ? 'aborted' : 'committed';
  }

  xidBounds(): { next: Xid; oldestActive: Xid; active: Xid[] } {
    const active = [...this.byXid.keys()].sort((a, b) => a - b);
    const next = this.xidCounter as Xid;
    return { next, oldestActive: active[0] ?? next, active };
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
    return listLocks(this.locks, this.byXid, this.serializable);
  }

  stats(): EngineStats {
    const log = this.logStore.stats();
    return {
      logBytes: this.log.bytes,
      logBatches: this.log.batches,
      commits: this.commits,
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
      snapshotsExpired: this.snapshotsExpired,
      overlayRows: this.store.overlay.rowCount,
      activeTransactions: this.active.size,
      locksHeld: this.locks.table.size,
      locksWaiting: this.locks.waitCount,
      deadlocks: this.locks.deadlocks,
      pastOldestMicros: this.past.oldestMicros() ?? 0,
      horizon: this.horizon(),
    };
  }

  abandon(): Promise<void> {
    return this.applier.halt();
  }

  /** Rolls back what is running, makes everything durable and applied, and lets go of the directory. */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.stopCollecting?.();
    for (const transaction of [...this.active]) transaction.rollback();
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

function messageBytes(transaction: EngineTransaction): number {
  let bytes = 0;
  for (const message of transaction.messages) bytes += message.content.length + message.prefix.length + 10;
  return bytes;
}

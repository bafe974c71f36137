/**
 * A transaction: snapshots, write set, locks, savepoints, commit. See ../README.md for how a
 * commit travels. Everything but waiting for durability is synchronous.
 */
import { DatabaseError, assert } from '../errors.js';
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';
import { FIXED_STORAGE_START, NO_XID } from '../ids.js';
import { LONG_KEY } from '../keycode.js';
import { NONE } from '../locks/lock-table.js';
import type { LockOwner, Upgrade, Wait } from '../locks/lock-manager.js';
import { EXCLUSIVE, LockClass, SHARED, TABLE_MODE } from '../locks/modes.js';
import { Pending } from '../pending.js';
import type {
  BulkLoader, IndexCursor, IsolationLevel, KeyRange, LargeValueReader, LargeValueWriter, Message, RowCursor, RowLockResult, RowLockStrength, RowPlace, RowVersion, Snapshot,
  TableLockMode, Transaction, TransactionOptions, WaitPolicy,
} from '../storage.js';
import type { Staged } from './staging.js';
import { lockRow } from './row-lock.js';
import { Savepoints } from './savepoints.js';
import { Snapshots } from './snapshots.js';
import { lookupOwn, probeUnique } from './unique-probe.js';
import type { Engine } from './engine.js';
import { HeapScan } from './heap-scan.js';
import type { RowResolver } from './heap-scan.js';
import { IndexScan } from './index-scan.js';
import { UNTOLD } from './range-rows.js';
import { entryKey, hasLarge, largeIds } from './row-format.js';
import type { Serializable } from '../serializable/serializable.js';
import { TrackedIndexScan } from '../serializable/tracked-index-scan.js';
import type { SessionState } from './session.js';
import { FOREVER, Hit } from './version-store.js';
import type { OwnVersions, VersionStore } from './version-store.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import { WriteSet } from './write-set.js';
import type { Write } from './write.js';

const NO_VALUES: ReadonlyMap<number, StorageId> = new Map();
/** Larger rows and entries are single writes also where there are many. */
const BATCHED_MAX = 8 << 10;

const tooLong = (length: number): DatabaseError => new DatabaseError('54000', `index key of ${length} bytes exceeds the maximum of ${LONG_KEY}`);

export class EngineTransaction implements Transaction, LockOwner, RowResolver {
  readonly isolation: IsolationLevel;
  readonly readOnly: boolean;
  readonly deferrable: boolean;
  readonly asOf: Lsn | undefined;
  /** What SERIALIZABLE keeps of it; undefined at the other levels, and when it can be part of no anomaly. */
  serializable: Serializable | undefined;
  xid: Xid = NO_XID;
  /** Where it stands among those that run (transaction-table.ts); -1: nowhere. */
  activePlace = -1;
  state: Transaction['state'] = 'active';
  // LockOwner
  number = -1;
  lastLock = NONE;
  wait: Wait | undefined;
  upgrades: Upgrade[] | undefined;
  group: number;
  processId: number;

  readonly writes = new WriteSet();
  readonly messages: Message[] = [];
  /** Large values written by this transaction. */
  values: ReadonlyMap<number, StorageId> = NO_VALUES;
  readonly drops: StorageId[] = [];
  readonly created: StorageId[] = [];
  /** What it wrote ahead of its commit. */
  staged: Staged | undefined;
  /** It wrote provisional versions: its commit record must say so. */
  provisional = false;
  /** Bytes of writes at which memory is to be relieved. */
  relieveAt: number;
  private command = 1 as CommandId;
  private readonly snapshots: Snapshots;
  private readonly savepoints: Savepoints;
  private readonly hit = new Hit();

  constructor(
    private readonly engine: Engine,
    public session: SessionState,
    readonly virtualId: number,
    options: TransactionOptions,
  ) {
    this.snapshots = new Snapshots(engine, this);
    this.savepoints = new Savepoints(engine, this);
    this.relieveAt = engine.options.bulkThreshold;
    this.isolation = options.isolation ?? 'read committed';
    this.readOnly = options.readOnly ?? false;
    this.deferrable = options.deferrable ?? false;
    this.asOf = options.asOf;
    this.group = session.group;
    this.processId = session.processId;
    if (options.asOf !== undefined) {
      assert(this.readOnly && this.isolation !== 'read committed', 'the past is read-only, at one snapshot');
      engine.past.check(options.asOf);
      this.snapshots.importedLsn = options.asOf;
      // What it reads may not be durable yet.
      this.sawVersion(options.asOf);
      engine.transactions.join(this);
    } else if (options.snapshotLsn !== undefined && this.isolation !== 'read committed') {
      this.snapshots.importedLsn = options.snapshotLsn;
      engine.transactions.join(this);
    }
  }

  /** See Transaction. */
  snapshotXids: { readonly next: Xid; readonly active: readonly Xid[] } | undefined;

  get inSavepoint(): boolean {
    return this.savepoints.depth > 0;
  }

  get databaseId(): number {
    return this.session.databaseId;
  }

  get deadlockTimeoutMs(): (() => number) | undefined {
    return this.session.deadlockTimeoutMs;
  }

  // ---- snapshots

  takeSnapshot(): Snapshot {
    this.active();
    return this.snapshots.take();
  }

  instantSnapshot(): Snapshot {
    this.active();
    return this.snapshots.instant();
  }

  latestSnapshot(): Snapshot {
    this.active();
    return this.snapshots.latest();
  }

  safeSnapshotPending(): Pending | undefined {
    return this.snapshots.safeSnapshotPending();
  }

  expire(): void {
    this.snapshots.expire();
  }

  get expired(): boolean {
    return this.snapshots.expired;
  }

  checkAge(): void {
    this.snapshots.checkAge();
  }

  oldestSnapshot(): Lsn {
    return this.snapshots.oldest();
  }

  oldestCommand(): CommandId {
    return this.snapshots.oldestCommand();
  }

  assignXid(): Xid {
    if (this.xid === NO_XID) {
      this.active();
      this.xid = this.engine.transactions.nextXid(this);
    }
    return this.xid;
  }

  advanceCommand(): void {
    this.command = (this.command + 1) as CommandId;
  }

  // ---- reads

  private storeOf(storage: StorageId): VersionStore {
    return this.engine.storeOf(storage);
  }

  /** Temporary storages have one version, seen by one session. */
  private lsnFor(storage: StorageId, snapshot: Snapshot): Lsn {
    return this.engine.isTemporary(storage) ? FOREVER : snapshot.lsn;
  }

  changed(storage: StorageId): boolean {
    return this.writes.has(storage) || this.staged?.storages.has(storage) === true;
  }

  ownCount(storage: StorageId, snapshot: Snapshot): number | undefined {
    if (this.staged?.storages.has(storage)) return undefined;
    let count = 0;
    for (const newest of this.writes.find(storage)?.rows.values() ?? []) {
      let own: typeof newest | undefined = newest;
      while (own && own.command >= snapshot.command) own = own.older;
      if (own?.tuple && own.born) count++;
      else if (own && !own.tuple && !own.born) count--;
    }
    return count;
  }

  /** Whether reads of the storage by this snapshot are registered: not catalogs, not temporary tables. */
  private tracks(storage: StorageId, snapshot: Snapshot): boolean {
    return snapshot.kind === 'at' && storage < FIXED_STORAGE_START && !this.serializable!.safe;
  }

  noteRead(storage: StorageId, snapshot: Snapshot): void {
    if (this.serializable && this.tracks(storage, snapshot)) this.engine.serializable.readWhole(this.serializable, storage);
  }

  noteInsertion(storage: StorageId, index: StorageId, key: Uint8Array): void {
    if (this.serializable && this.tracksWrites(storage)) this.engine.serializable.insertion(this.serializable, storage, index, key);
  }

  /** LSN of the row's newest committed version. */
  private newestStamp(storage: StorageId, rowId: RowId): Lsn {
    this.storeOf(storage).read(storage, rowId, FOREVER, undefined, this.hit);
    return this.hit.stamp;
  }

  noteReplaced(from: StorageId, to: StorageId): void {
    this.engine.serializable.promote(from, to);
  }

  /** Writes of the storage are registered. */
  private tracksWrites(storage: StorageId): boolean {
    return storage < FIXED_STORAGE_START && !this.serializable!.safe;
  }

  get(storage: StorageId, rowId: RowId, snapshot: Snapshot, keep = false): RowVersion | undefined {
    if (this.serializable && this.tracks(storage, snapshot)) this.engine.serializable.readRow(this.serializable, storage, rowId);
    return this.resolveRow(storage, rowId, snapshot, this.lsnFor(storage, snapshot), keep);
  }

  getOne(storage: StorageId, rowId: RowId, snapshot: Snapshot): RowVersion | undefined {
    return this.resolveRow(storage, rowId, snapshot, this.lsnFor(storage, snapshot), true);
  }

  placeOf(storage: StorageId, rowId: RowId, snapshot: Snapshot, place: RowPlace): boolean {
    // What is tracked, written by itself, or not 'at' an LSN has more to it.
    if (snapshot.kind === 'at' && !this.serializable && !this.provisional && !this.writes.has(storage) && !this.engine.isTemporary(storage))
      return this.engine.store.readPlace(storage, rowId, snapshot.lsn, this.hit, place);
    const found = this.getOne(storage, rowId, snapshot);
    if (!found) return false;
    place.bytes = found.tuple;
    place.start = 0;
    place.end = found.tuple.length;
    return true;
  }

  rowIdsOf(index: StorageId, snapshot: Snapshot, range: KeyRange, max: number, into: Float64Array): number {
    if (snapshot.kind !== 'at' || this.serializable || this.provisional || this.engine.isTemporary(index)) return UNTOLD;
    this.checkAge();
    return this.engine.ranges.read(index, snapshot.lsn, this.writes.find(index), range, max, into);
  }

  resolveRow(storage: StorageId, rowId: RowId, snapshot: Snapshot, s: Lsn, keep = false): RowVersion | undefined {
    let own = this.writes.findRow(storage, rowId);
    while (own && own.command >= snapshot.command) own = own.older;
    if (own) return own.tuple ? { rowId, tuple: own.tuple, xmin: this.xid, command: own.command } : undefined;
    this.checkAge();
    const { hit } = this;
    const found = this.storeOf(storage).read(storage, rowId, s, this.ownVersions(snapshot), hit, keep);
    if (snapshot.kind !== 'at') this.sawVersion(hit.stamp);
    if (!found) return undefined;
    return { rowId, tuple: hit.tuple, xmin: hit.xid, command: 0 as CommandId };
  }

  ownVersions(snapshot: Snapshot): OwnVersions | undefined {
    return this.staged?.asOf(snapshot.command);
  }

  /** Something newer than what every snapshot sees was met: what depends on it waits until it is durable. */
  sawVersion(lsn: Lsn): void {
    if (lsn > this.session.floor && lsn > this.engine.visibleLsn) this.session.floor = lsn;
  }

  raiseFloor(lsn: Lsn): void {
    if (lsn > this.session.floor) this.session.floor = lsn;
  }

  floorPending(): Pending | undefined {
    if (this.session.floor === 0) return undefined;
    const until = this.engine.log.whenDurable(this.session.floor);
    return until && new Pending(until, 'IO', 'WALSync');
  }

  loadPending(): Pending | undefined {
    return this.engine.staging.pending(this);
  }

  scan(storage: StorageId, snapshot: Snapshot, range?: { from?: RowId; to?: RowId }): RowCursor {
    const own = this.writes.find(storage);
    this.noteRead(storage, snapshot);
    return new HeapScan(this, this.storeOf(storage), storage, snapshot, this.snapshots.scanLsn(storage, snapshot), own, range?.from ?? 0, range?.to ?? Infinity);
  }

  scanIndex(index: StorageId, snapshot: Snapshot, range: KeyRange): IndexCursor {
    const scan = new IndexScan(this, this.storeOf(index), index, snapshot, this.snapshots.scanLsn(index, snapshot), this.writes.find(index), range);
    return this.serializable && this.tracks(index, snapshot) ? new TrackedIndexScan(scan, this.engine.serializable, this.serializable, index, range) : scan;
  }

  lookup(index: StorageId, key: Uint8Array, snapshot: Snapshot): RowId | 0 | -1 {
    if (this.serializable && this.tracks(index, snapshot)) this.engine.serializable.readPrefix(this.serializable, index, key);
    const own = this.writes.findKey(index, key);
    if (snapshot.kind !== 'at' || this.provisional) return -1;
    // An older snapshot may see the row that had the key before, too.
    if (own?.hasEntries && own.entries.hasPrefix(key)) return this.isolation === 'read committed' ? lookupOwn(own, key, snapshot.command) : -1;
    return this.storeOf(index).lookup(index, key, this.lsnFor(index, snapshot));
  }

  // ---- writes

  private active(): void {
    if (this.state !== 'active') throw new Error(`transaction is ${this.state}`);
  }

  private beforeWrite(): void {
    this.active();
    if (this.xid === NO_XID) this.assignXid();
    if (this.writes.bytes > this.relieveAt) this.engine.staging.relieve(this);
  }

  get currentCommand(): CommandId {
    return this.command;
  }

  createStorage(): StorageId {
    this.active();
    const storage = this.engine.allocateStorageId();
    this.created.push(storage);
    return storage;
  }

  insert(storage: StorageId, tuple: Uint8Array): RowId {
    this.beforeWrite();
    const rowId = this.engine.nextRowId(storage);
    if (this.serializable && this.tracksWrites(storage)) this.engine.serializable.insertedRow(this.serializable, storage, rowId);
    this.writes.row(storage, rowId, tuple, this.command, this.savepoints.current, true);
    return rowId;
  }

  insertOfMany(storage: StorageId, bytes: Uint8Array, length: number): RowId {
    if (!this.takesBatches(storage, length)) return this.insert(storage, bytes.slice(0, length));
    this.beforeWrite();
    const rowId = this.engine.nextRowId(storage);
    this.writes.manyRows(storage, rowId, bytes, length, this.command, this.savepoints.current);
    return rowId;
  }

  putEntryOfMany(index: StorageId, key: Uint8Array, length: number, rowId: RowId, payload: Uint8Array): void {
    if (!this.takesBatches(index, length + payload.length)) {
      this.putIndexEntry(index, key.slice(0, length), rowId, payload);
      return;
    }
    if (length > LONG_KEY) throw tooLong(length);
    this.beforeWrite();
    this.engine.ceilings.note(index, key, length);
    this.writes.manyEntries(index, key, length, rowId, payload, this.command, this.savepoints.current);
  }

  private takesBatches(storage: StorageId, bytes: number): boolean {
    return bytes <= BATCHED_MAX && this.isolation !== 'serializable' && this.savepoints.depth === 0 && !this.engine.isTemporary(storage);
  }

  update(storage: StorageId, rowId: RowId, tuple: Uint8Array): void {
    this.beforeWrite();
    if (this.serializable && this.tracksWrites(storage)) this.engine.serializable.wroteRow(this.serializable, storage, rowId, () => this.newestStamp(storage, rowId));
    this.writes.row(storage, rowId, tuple, this.command, this.savepoints.current, false);
  }

  delete(storage: StorageId, rowId: RowId): void {
    this.beforeWrite();
    if (this.serializable && this.tracksWrites(storage)) this.engine.serializable.wroteRow(this.serializable, storage, rowId, () => this.newestStamp(storage, rowId));
    this.writes.row(storage, rowId, undefined, this.command, this.savepoints.current, false);
  }

  putIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array): void {
    if (key.length > LONG_KEY) throw tooLong(key.length);
    this.beforeWrite();
    const entry = entryKey(key, rowId);
    if (this.serializable && this.tracksWrites(index)) this.engine.serializable.wroteEntry(this.serializable, index, entry);
    this.engine.ceilings.note(index, key, key.length);
    this.writes.entry(index, entry, rowId, payload, this.command, this.savepoints.current);
  }

  deleteIndexEntry(index: StorageId, key: Uint8Array, rowId: RowId): void {
    this.beforeWrite();
    const entry = entryKey(key, rowId);
    if (this.serializable && this.tracksWrites(index)) this.engine.serializable.wroteEntry(this.serializable, index, entry);
    this.writes.entry(index, entry, rowId, undefined, this.command, this.savepoints.current);
  }

  bulkLoader(storage: StorageId): BulkLoader | undefined {
    this.active();
    return this.engine.isTemporary(storage) || this.isolation === 'serializable' ? undefined : this.engine.bulkLoad(this);
  }

  isNew(storage: StorageId): boolean {
    return this.created.includes(storage);
  }

  writeValue(storage: StorageId): LargeValueWriter | undefined {
    this.active();
    return this.engine.isTemporary(storage) ? undefined : this.engine.largeValues.open(this, storage);
  }

  /** It wrote a large value. */
  noteValue(id: number, storage: StorageId): void {
    if (this.values === NO_VALUES) this.values = new Map();
    (this.values as Map<number, StorageId>).set(id, storage);
  }

  get largeValues(): LargeValueReader {
    return this.engine.largeValues;
  }

  /** Large values that no row refers to after all: overwritten or rolled back to a savepoint. */
  unusedValues(final: readonly Change[]): ReadonlyMap<number, StorageId> {
    if (this.values.size === 0) return this.values;
    // What was streamed ahead is not at hand to be asked.
    if (this.provisional) return new Map();
    const unused = new Map(this.values);
    const keep = (write: Change): void => {
      if (!(write instanceof WriteBatch) && write.isRow && write.tuple && hasLarge(write.tuple)) for (const id of largeIds(write.tuple)) unused.delete(id);
    };
    for (const write of final) keep(write);
    return unused;
  }

  addMessage(message: Message): void {
    this.active();
    this.messages.push(message);
  }

  dropStorage(storage: StorageId): void {
    this.active();
    if (this.serializable && this.tracksWrites(storage)) this.engine.serializable.wroteWhole(this.serializable, storage);
    this.drops.push(storage);
  }

  // ---- locks

  /** The lock manager knows a transaction from its first lock on. */
  lockOwner(): this {
    if (this.number < 0) {
      assert(this.state === 'active' || this.state === 'prepared', `transaction is ${this.state}`);
      this.engine.transactions.join(this);
      this.engine.locks.register((number) => {
        this.number = number;
        return this;
      });
    }
    return this;
  }

  lockRow(storage: StorageId, rowId: RowId, strength: RowLockStrength, policy: WaitPolicy, snapshot: Snapshot): RowLockResult | Pending {
    return lockRow(this.engine, this, storage, rowId, strength, policy, snapshot);
  }

  probeUnique(index: StorageId, key: Uint8Array, except?: RowId): 'free' | { rowId: RowId } | Pending {
    return probeUnique(this.engine, this, index, key, except);
  }

  lockTable(lockId: number, mode: TableLockMode, policy: 'wait' | 'nowait'): boolean | Pending {
    return this.engine.locks.acquire(this.lockOwner(), lockId * 8 + LockClass.table, 0, TABLE_MODE[mode], policy === 'wait');
  }

  lockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive', scope: 'transaction' | 'session', policy: 'wait' | 'nowait'): boolean | Pending {
    const [tagA, tagB] = this.session.advisoryTag(key);
    const wanted = mode === 'shared' ? SHARED : EXCLUSIVE;
    if (scope === 'session') return this.session.lockAdvisory(tagA, tagB, wanted, policy === 'wait');
    return this.engine.locks.acquire(this.lockOwner(), tagA, tagB, wanted, policy === 'wait');
  }

  unlockAdvisory(key: bigint | readonly [number, number], mode: 'shared' | 'exclusive'): boolean {
    const [tagA, tagB] = this.session.advisoryTag(key);
    return this.session.unlockAdvisory(tagA, tagB, mode === 'shared' ? SHARED : EXCLUSIVE);
  }

  cancelWaits(error: Error): boolean {
    const mine = this.engine.locks.cancelWait(this, error);
    return this.session.cancelWait(error) || mine;
  }

  // ---- savepoints

  get currentSub(): SubId {
    return this.savepoints.current;
  }

  get savepointDepth(): number {
    return this.savepoints.depth;
  }

  writesRemoved(places: readonly number[]): void {
    this.savepoints.writesRemoved(places);
  }

  savepoint(): SubId {
    this.active();
    return this.savepoints.begin();
  }

  rollbackTo(sub: SubId): void {
    this.active();
    this.savepoints.rollbackTo(sub);
  }

  release(sub: SubId): void {
    this.active();
    this.savepoints.release(sub);
  }

  // ---- end

  commit(options?: { synchronous?: boolean }): Promise<Lsn> {
    try {
      this.active();
      const final: Change[] = [];
      const temporary: Write[] = [];
      for (const write of this.writes.final()) {
        write.xid = this.xid;
        if (!(write instanceof WriteBatch) && this.engine.isTemporary(write.isRow ? write.storage : write.index)) temporary.push(write);
        else final.push(write);
      }
      if (final.length === 0 && this.messages.length === 0 && this.drops.length === 0 && !this.provisional && this.values.size === 0) {
        this.commitReadsOnly();
        this.engine.applyTemporary(temporary);
        this.end('committed');
        return this.afterFloor();
      }
      this.state = 'committing';
      return this.engine.committer.commit(this, final, temporary, options?.synchronous !== false);
    } catch (error) {
      if (this.state === 'active' || this.state === 'committing') this.abort();
      return Promise.reject(error as Error);
    }
  }

  commitNow(): boolean {
    if (this.state !== 'active' || !this.wroteNothing()) return false;
    const { floor } = this.session;
    if (floor !== 0 && !this.engine.log.isDurable(floor)) return false;
    if (this.serializable) this.commitReadsOnly();
    this.end('committed');
    return true;
  }

  private commitReadsOnly(): void {
    const me = this.serializable;
    if (!me || me.safe) return;
    this.engine.serializable.preCommit(me);
    this.engine.serializable.committed(me, this.engine.log.assigned, false);
  }

  private wroteNothing(): boolean {
    return this.writes.empty && this.messages.length === 0 && this.drops.length === 0 && !this.provisional;
  }

  /** Nothing was written; but what was read may have to become durable first. */
  private afterFloor(): Promise<Lsn> {
    const { floor } = this.session;
    const until = floor === 0 ? undefined : this.engine.log.whenDurable(floor);
    return until ? until.then(() => floor) : Promise.resolve(this.engine.log.durable);
  }

  rollback(): void {
    if (this.state === 'active') this.abort();
  }

  async prepare(gid: string, info: Uint8Array = new Uint8Array(0)): Promise<void> {
    try {
      this.active();
      this.writes.flatten();
      const final = this.writes.order.filter((write) => this.writes.isFinal(write));
      if (final.some((write) => this.engine.isTemporary(write.isRow ? write.storage : write.index)))
        throw new DatabaseError('0A000', 'cannot PREPARE a transaction that has operated on temporary objects');
      const fixed = (storage: StorageId): boolean => storage >= FIXED_STORAGE_START;
      if (this.provisional && (final.some((write) => write.isRow && fixed(write.storage)) || [...(this.staged?.storages ?? [])].some(fixed)))
        throw new DatabaseError('0A000', 'PREPARE TRANSACTION after changes of the catalog is not supported in a transaction that wrote more than memory holds, or in bulk');
      if (this.serializable && !this.serializable.safe) this.engine.serializable.preCommit(this.serializable);
      this.state = 'committing';
      await this.engine.prepared.prepare(this, final, gid, info);
    } catch (error) {
      if (this.state === 'active' || this.state === 'committing') this.abort();
      throw error;
    }
  }

  /** Prepared: it belongs to no client any more, and reads nothing. */
  detach(session: SessionState): void {
    this.state = 'prepared';
    this.session = session;
    this.group = session.group;
    this.processId = session.processId;
    this.snapshots.clear();
    this.savepoints.clear();
  }

  abort(): void {
    for (const storage of this.created) this.engine.staging.discard(this, storage);
    this.engine.staging.abort(this);
    this.end('aborted');
  }

  /** Releases everything. Called at assigned for a commit: a hot row must not wait for the disk. */
  end(state: 'committed' | 'aborted'): void {
    this.state = state;
    this.snapshots.clear();
    if (this.serializable && state === 'aborted') this.engine.serializable.aborted(this.serializable);
    if (this.number >= 0) {
      this.engine.locks.unregister(this);
      this.number = -1;
    }
    this.engine.claims.drop(this);
    this.engine.transactions.leave(this);
  }
}

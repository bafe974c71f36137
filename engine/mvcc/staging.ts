/**
 * Transactions that write more than fits in memory. Above a bound, writes leave the write set for the
 * log as provisional records and are applied at once, marked with an xid: readers ask what became of it
 * (version-store.ts). COMMIT is one small record; ROLLBACK is one, too, and what was written is undone
 * lazily (undo.ts). The mark is the row's lock and the unique key's: once it is in the store, the
 * locks in memory go.
 *
 *     write set --relieve--> log (provisional) --> applier --> heap, index: marked; superseded: history, dead
 *          |                                          |
 *          +--- until applied, reads find it here  <--+ trim: forget it, release its locks
 *
 * At commit, what is not applied yet joins the overlay. So there is no moment in which a row is nowhere.
 *
 * A record holds writes of one command: the LSN of a version tells which of the transaction's own
 * snapshots see it. Writes under a savepoint go out under an xid of their own, which its rollback aborts.
 *
 * From its first record on the transaction holds the horizon, until no snapshot precedes its commit, or
 * until it is undone: what it superseded stands in history under the LSNs of its records, not of its commit.
 */
import { DatabaseError } from '../errors.js';
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';
import { LockClass } from '../locks/modes.js';
import { RecordKind } from '../log/batch.js';
import { Pending } from '../pending.js';
import type { ApplierDriver } from './applier-driver.js';
import { writeParts } from './commit-encoder.js';
import { logDropped } from './system-records.js';
import type { Engine } from './engine.js';
import { sliceMs } from '../turns.js';
import { hashKey } from './key-hash.js';
import type { EngineTransaction } from './transaction.js';
import type { OwnVersions } from './version-store.js';
import { WATCH_BLOCK_ROWS } from '../storage.js';
import { writeBytes } from './write.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import type { Write } from './write.js';

/** Log written by one relief, at most: it happens inside a write, in one turn. */
const RELIEF_MAX = 64 << 10;
/** Written by the transaction between two reliefs, at least: they follow a bound that memory has long passed one by one, not in a row. */
const BETWEEN_RELIEFS = 8 << 10;
/** A value that is longer goes out at commit, in pieces with pauses. */
const VALUE_MAX = 128 << 10;
/** Beyond this much unapplied, `pending` asks the writer to wait until the applier has caught up with half of it: a commit waits for all. */
const UNAPPLIED_MAX = 128 << 10;
/** Writes let go of between two looks at the clock. */
const SETTLE_SLICE = 40;
/** What a transaction that writes ahead keeps in memory: little, so that its objects die young. */
const KEPT_BYTES = 256 << 10;

/** A snapshot of this command sees all of its transaction's writes. */
export const ALL_COMMANDS = Number.MAX_SAFE_INTEGER as CommandId;

const NO_BLOCKS: ReadonlySet<number> = new Set();

interface Streamed {
  readonly lsn: Lsn;
  readonly writes: readonly Change[];
  /** So many of them memory has let go of. */
  settled: number;
}

/** What one transaction wrote ahead. */
export class Staged {
  /** Its records that are not applied yet. */
  readonly streamed: Streamed[] = [];
  /** Those that are, and that memory has not let go of yet. */
  readonly applied: Streamed[] = [];
  readonly storages = new Set<StorageId>();
  /** Blocks of row ids in which it wrote rows; undefined: not known since a restart. */
  private blocks: Map<StorageId, Set<number>> | undefined = new Map();
  /** By subtransaction, the xid of its records. */
  readonly xids = new Map<SubId, Xid>();
  private readonly xidSet = new Set<Xid>();
  /** From which LSN on which command's records stand. */
  private readonly marks: { readonly lsn: Lsn; readonly command: CommandId }[] = [];
  private readonly all: OwnVersions = { xids: this.xidSet, sees: () => true };
  private view: { readonly command: CommandId; readonly own: OwnVersions } | undefined;

  constructor(readonly xid: Xid, readonly first: Lsn) {
    this.addXid(1 as SubId, xid);
  }

  /** It wrote rows from..to ahead. */
  noteRows(storage: StorageId, from: number, to: number): void {
    if (!this.blocks) return;
    let found = this.blocks.get(storage);
    if (!found) this.blocks.set(storage, (found = new Set()));
    for (let block = Math.floor(from / WATCH_BLOCK_ROWS); block * WATCH_BLOCK_ROWS <= to; block++) found.add(block);
  }

  blocksOf(storage: StorageId): ReadonlySet<number> | undefined {
    return this.blocks && (this.blocks.get(storage) ?? NO_BLOCKS);
  }

  /** It was written before the restart. */
  forgetBlocks(): void {
    this.blocks = undefined;
  }

  addXid(sub: SubId, xid: Xid): void {
    this.xids.set(sub, xid);
    this.xidSet.add(xid);
  }

  forgetXid(xid: Xid): void {
    this.xidSet.delete(xid);
  }

  /** `oldest`: no snapshot of the transaction is of an earlier command. */
  mark(lsn: Lsn, command: CommandId, oldest: CommandId): void {
    if (this.marks.at(-1)?.command === command) return;
    this.marks.push({ lsn, command });
    while (this.marks.length > 1 && this.marks[0]!.command < oldest) this.marks.shift();
  }

  /** What a snapshot of `command` sees of it. */
  asOf(command: CommandId): OwnVersions {
    if (command === ALL_COMMANDS) return this.all;
    if (this.view?.command !== command) this.view = { command, own: { xids: this.xidSet, sees: (lsn) => this.commandAt(lsn) < command } };
    return this.view.own;
  }

  /** Commands do not always go out in their order: what a former version held back comes later. */
  private commandAt(lsn: Lsn): number {
    for (let i = this.marks.length - 1; i >= 0; i--) if (this.marks[i]!.lsn <= lsn) return this.marks[i]!.command;
    return 0;
  }

  /** Subtransactions other than the top. */
  subXids(): Xid[] {
    return [...this.xids.values()].filter((xid) => xid !== this.xid);
  }
}

/** How long a staged transaction holds the horizon. */
interface Span {
  readonly first: Lsn;
  /** Its commit; Infinity while it is open or not undone. */
  until: number;
}

export class Staging {
  private readonly loading = new Set<EngineTransaction>();
  private readonly spans = new Map<Xid, Span>();
  private readonly undoing = new Set<Promise<void>>();
  private settling = false;

  constructor(private readonly engine: Engine, private readonly applier: ApplierDriver) {}

  /** Called when the write set has grown beyond `relieveAt`. */
  relieve(transaction: EngineTransaction): void {
    const { writes } = transaction;
    if (this.relieveBatches(transaction)) return;
    writes.flatten();
    const picked: Write[] = [];
    const kept: Write[] = [];
    let bytes = 0;
    const relief = Math.min(RELIEF_MAX, this.engine.options.bulkThreshold / 4);
    let looked = 0;
    const oldest = transaction.oldestCommand();
    const gone: number[] = [];
    for (; looked < writes.order.length && bytes < relief; looked++) {
      const write = writes.order[looked]!;
      if (write.streamed) {
        // Overwritten by the transaction itself, and nobody could see it any more.
        writes.bytes -= writeBytes(write);
        gone.push(looked);
      } else if (this.canStream(transaction, write, oldest)) {
        picked.push(write);
        bytes += writeBytes(write);
        gone.push(looked);
      } else kept.push(write);
    }
    if (bytes < relief / 2) this.allowMore(transaction);
    else this.relieveAgain(transaction, writes.bytes - bytes);
    if (picked.length === 0 && gone.length === 0) return;
    transaction.writesRemoved(gone);
    // In place: there may be tens of thousands behind them.
    if (kept.length === 0) writes.order.splice(0, looked);
    else writes.order = kept.concat(writes.order.slice(looked));
    if (picked.length === 0) return;
    this.engine.log.checkRoom(2 * relief);
    this.write(transaction, picked, oldest);
    writes.bytes -= bytes;
  }

  private relieveAgain(transaction: EngineTransaction, bytes: number): void {
    transaction.relieveAt = Math.max(Math.min(KEPT_BYTES, this.engine.options.bulkThreshold), bytes + Math.min(BETWEEN_RELIEFS, this.engine.options.bulkThreshold / 8));
  }

  /** Batches that nobody looked into go as they are. False: there are none. */
  private relieveBatches(transaction: EngineTransaction): boolean {
    const { writes } = transaction;
    const batch = writes.takeClosed();
    if (!batch) return false;
    this.engine.log.checkRoom(2 * RELIEF_MAX);
    this.relieveAgain(transaction, writes.bytes);
    this.write(transaction, [batch], transaction.oldestCommand());
    return true;
  }

  private write(transaction: EngineTransaction, picked: Change[], oldest: CommandId): void {
    const { log } = this.engine;
    const staged = this.stagedOf(transaction);
    for (let from = 0; from < picked.length; ) {
      const { command, sub } = picked[from]!;
      let to = from + 1;
      while (to < picked.length && picked[to]!.command === command && picked[to]!.sub === sub) to++;
      const group = picked.slice(from, to);
      let first: Lsn | undefined;
      let last = 0 as Lsn;
      for (const lsn of writeParts(log, RecordKind.provisional, this.xidOf(transaction, staged, sub), group, [])) {
        first ??= lsn;
        last = lsn;
      }
      staged.mark(first!, command, oldest);
      staged.streamed.push({ lsn: last, writes: group, settled: 0 });
      from = to;
    }
    for (const write of picked) {
      write.streamed = true;
      this.touch(staged, write instanceof WriteBatch || write.isRow ? write.storage : write.index);
      if (!write.isRow) continue;
      if (write instanceof WriteBatch) this.wroteRows(staged, write.storage, ...write.rowRange);
      else this.wroteRows(staged, write.storage, write.rowId, write.rowId);
    }
    log.flushSoon();
  }

  /** Whether an open transaction wrote rows of the block ahead. */
  hasRows(storage: StorageId, block: number): boolean {
    for (const { staged } of this.loading) {
      const blocks = staged!.blocksOf(storage);
      if (!blocks || blocks.has(block)) return true;
    }
    return false;
  }

  private wroteRows(staged: Staged, storage: StorageId, from: number, to: number): void {
    staged.noteRows(storage, from, to);
    this.engine.noteAhead(storage, from, to);
  }

  /** A bulk load wrote rows from..to, some of which may be others'. */
  loadedRows(transaction: EngineTransaction, storage: StorageId, from: RowId, to: RowId): void {
    this.wroteRows(this.stagedOf(transaction), storage, from, to);
  }

  private stagedOf(transaction: EngineTransaction): Staged {
    if (transaction.staged) return transaction.staged;
    const staged = new Staged(transaction.assignXid(), (this.engine.log.assigned + 1) as Lsn);
    transaction.staged = staged;
    transaction.provisional = true;
    this.loading.add(transaction);
    this.spans.set(staged.xid, { first: staged.first, until: Infinity });
    return staged;
  }

  /** A bulk load is about to write a record of `command` that touches `storages`: the xid for it. */
  adoptLoad(transaction: EngineTransaction, storages: ReadonlySet<StorageId>, command: CommandId): Xid {
    const staged = this.stagedOf(transaction);
    for (const storage of storages) this.touch(staged, storage);
    const xid = this.xidOf(transaction, staged, transaction.currentSub);
    staged.mark((this.engine.log.assigned + 1) as Lsn, command, transaction.oldestCommand());
    return xid;
  }

  private touch(staged: Staged, storage: StorageId): void {
    if (staged.storages.has(storage)) return;
    staged.storages.add(storage);
    this.engine.store.openDeath(storage);
  }

  private xidOf(transaction: EngineTransaction, staged: Staged, sub: SubId): Xid {
    let xid = staged.xids.get(sub);
    if (xid === undefined) staged.addXid(sub, (xid = this.engine.transactions.nextXid(transaction)));
    return xid;
  }

  private allowMore(transaction: EngineTransaction): void {
    const { transactionMemory } = this.engine.options;
    if (transaction.writes.bytes > transactionMemory)
      throw new DatabaseError('53200', 'out of memory', {
        detail: `The transaction holds ${transaction.writes.bytes} bytes of uncommitted changes.`,
        hint: 'Commit in smaller pieces.',
      });
    transaction.relieveAt = Math.min(transactionMemory, transaction.relieveAt * 2);
  }

  private canStream(transaction: EngineTransaction, write: Write, oldest: CommandId): boolean {
    if (write.isRow && write.tuple && write.tuple.length > VALUE_MAX) return false;
    if (this.engine.isTemporary(write.isRow ? write.storage : write.index) || !transaction.writes.isFinal(write)) return false;
    const { older } = write;
    if (!older || older.streamed) return true;
    // An older version in memory is still wanted: by an own snapshot before this command, or by a savepoint.
    if (write.command >= oldest || transaction.savepointDepth > 0) return false;
    for (let below: Write | undefined = older; below && !below.streamed; below = below.older) below.streamed = true;
    write.older = undefined;
    return true;
  }

  /** The wait that a writer owes the applier before it goes on. */
  pending(transaction: EngineTransaction): Pending | undefined {
    if (!transaction.staged || transaction.staged.streamed.length === 0 || this.applier.queuedBytes + this.engine.log.queuedBytes < UNAPPLIED_MAX) return undefined;
    // The applier's answers come in one turn of the event loop however many there are: whoever goes on takes a turn like others.
    const until = this.engine.log.drain().then(() => this.applier.drainTo(UNAPPLIED_MAX / 2)).then(() => this.engine.turn());
    return new Pending(until, 'IO', 'WALWrite');
  }

  /** Before the commit of a transaction that wrote ahead: the rest goes the same way, so that the commit itself is small. */
  async finish(transaction: EngineTransaction): Promise<void> {
    const { writes } = transaction;
    for (let before = -1; writes.pieces > 0 && writes.pieces !== before; ) {
      before = writes.pieces;
      this.relieve(transaction);
      await this.pending(transaction)?.until;
      await this.engine.turn();
    }
    await this.engine.log.drain();
    await this.applier.drain();
  }

  /** Forgets what reads now find in the key-value store, and the locks that its marks stand for. */
  trim(applied: Lsn): void {
    for (const transaction of this.loading) {
      const { streamed } = transaction.staged!;
      let done = 0;
      while (done < streamed.length && streamed[done]!.lsn <= applied) done++;
      if (done === 0) continue;
      transaction.staged!.applied.push(...streamed.splice(0, done));
      this.settleSoon();
    }
  }

  /** In slices: nothing depends on when it is done. */
  private settleSoon(): void {
    if (this.settling) return;
    this.settling = true;
    void this.engine.turn().then(() => {
      this.settling = false;
      const { engine } = this;
      const end = engine.monotonicMs() + sliceMs();
      for (const transaction of this.loading) {
        const { applied } = transaction.staged!;
        let done = 0;
        while (done < applied.length && engine.monotonicMs() < end) if (this.settle(transaction, applied[done]!)) done++;
        applied.splice(0, done);
        if (applied.length > 0) this.settleSoon();
      }
    });
  }

  /** Lets go of some of a record's writes, and of their locks; true when that was all of it. */
  private settle(transaction: EngineTransaction, part: Streamed): boolean {
    const { writes } = part;
    const end = Math.min(writes.length, part.settled + SETTLE_SLICE);
    // A savepoint's place in the chain of locks must not go.
    const releases = transaction.savepointDepth === 0 && transaction.number >= 0;
    const { locks } = this.engine;
    for (; part.settled < end; part.settled++) {
      const write = writes[part.settled]!;
      transaction.writes.settle(write);
      if (!releases) continue;
      if (write instanceof WriteBatch) {
        // What was inserted in many was locked by its unique keys alone.
        if (!write.isRow) write.forEachEntry((key) => locks.release(transaction, write.storage * 8 + LockClass.uniqueKey, hashKey(key)));
      } else if (write.isRow) locks.release(transaction, write.storage * 8 + LockClass.row, write.rowId);
      else if (write.payload) locks.release(transaction, write.index * 8 + LockClass.uniqueKey, hashKey(write.entry, write.keyLength));
    }
    return end === writes.length;
  }

  /** At commit: what is not applied yet, for the overlay. */
  unapplied(transaction: EngineTransaction): Change[] {
    const { staged } = transaction;
    return staged ? staged.streamed.flatMap((part) => part.writes.flatMap((change) => transaction.writes.finalOf(change))) : [];
  }

  committed(transaction: EngineTransaction, lsn: Lsn): void {
    this.loading.delete(transaction);
    const { staged } = transaction;
    if (!staged) return;
    for (const xid of staged.xids.values()) this.engine.store.staged.set(xid, lsn);
    for (const storage of staged.storages) {
      this.engine.store.noteDeath(storage, lsn, true);
      this.engine.store.closeDeath(storage);
    }
    const span = this.spans.get(staged.xid);
    if (span) span.until = lsn;
  }

  /** A created storage rolled back, with or before its transaction. */
  discard(transaction: EngineTransaction, storage: StorageId): void {
    const { staged } = transaction;
    if (!staged?.storages.delete(storage)) return;
    this.engine.store.closeDeath(storage);
    transaction.writes.forget(storage);
    // A log that failed takes nothing more, and the next start drops what no commit made.
    if (!this.engine.log.failed) logDropped(this.engine.log, storage);
  }

  /** Takes back what was written ahead since the savepoint `sub`. */
  rollbackTo(transaction: EngineTransaction, sub: SubId): void {
    const { staged } = transaction;
    if (!staged) return;
    for (const { writes } of [...staged.applied, ...staged.streamed].reverse()) {
      for (let w = writes.length - 1; w >= 0; w--) {
        const write = writes[w]!;
        // There are no batches of a savepoint's.
        if (write.sub >= sub && !(write instanceof WriteBatch)) transaction.writes.unwrite(write);
      }
    }
    for (const [of, xid] of [...staged.xids]) {
      if (of < sub || xid === staged.xid) continue;
      staged.xids.delete(of);
      // The xid stays among the transaction's own no more: its versions are nobody's.
      staged.forgetXid(xid);
      this.engine.transactions.forgetXid(xid);
      this.abortXid(xid, [...staged.storages], staged.first);
    }
  }

  abort(transaction: EngineTransaction): void {
    this.loading.delete(transaction);
    const { staged } = transaction;
    if (!staged) {
      // Large values written ahead: the abort record has the applier free them.
      if ((transaction.provisional || transaction.values.size > 0) && !this.engine.log.failed) this.engine.writeAbort(transaction.xid);
      if (transaction.provisional) this.undone(transaction.xid, []);
      return;
    }
    const storages = [...staged.storages];
    for (const xid of staged.xids.values()) {
      if (xid !== staged.xid) this.engine.transactions.forgetXid(xid);
      this.abortXid(xid, storages, staged.first);
    }
    for (const storage of storages) this.engine.store.closeDeath(storage);
  }

  /** What a former process or transaction left of `xid` is aborted and undone; until then it holds the horizon. */
  abortXid(xid: Xid, storages: readonly StorageId[], first: Lsn): void {
    if (!this.engine.log.failed) this.engine.writeAbort(xid);
    for (const storage of storages) this.engine.store.openDeath(storage);
    this.spans.set(xid, { first, until: Infinity });
    this.undone(xid, storages);
  }

  /** A prepared transaction that had written ahead, made anew. */
  restored(xids: readonly Xid[], storages: readonly StorageId[], first: Lsn): void {
    for (const storage of storages) this.engine.store.openDeath(storage);
    for (const xid of xids) this.spans.set(xid, { first, until: Infinity });
  }

  /** Has the applier undo, once the abort record is applied. */
  private undone(xid: Xid, storages: readonly StorageId[]): void {
    const done = this.engine.log
      .drain()
      .then(() => this.applier.drain())
      .then(() => this.applier.sweep(xid))
      .then(() => {
        this.spans.delete(xid);
        for (const storage of storages) this.engine.store.closeDeath(storage);
      })
      .catch(() => undefined)
      .finally(() => this.undoing.delete(done));
    this.undoing.add(done);
  }

  /** Resolves when everything aborted so far is undone. */
  async idle(): Promise<void> {
    await Promise.all(this.undoing);
  }

  /** `oldest`, the oldest LSN that snapshots read at, lowered to what staged transactions need. */
  hold(oldest: Lsn): Lsn {
    let held = oldest;
    for (const [xid, { first, until }] of this.spans) {
      if (oldest >= until) this.spans.delete(xid);
      else if (held >= first) held = (first - 1) as Lsn;
    }
    return held;
  }
}

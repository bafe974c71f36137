/**
 * Serializable snapshot isolation (Cahill; Ports and Grittner), with the rules of PostgreSQL's
 * predicate.c. An rw-conflict R -> W stands for "R read what W, concurrent with it, overwrote". Every
 * anomaly under snapshots holds two of them in a row, T0 -> pivot -> T2, with T2 the first of the
 * three to commit; so whoever would complete such a pair is made to fail with 40001.
 *
 * Conflicts are noticed at reads (against writes registered so far) and at writes (against reads
 * registered so far); the rest is decided in the step that takes the commit's LSN. What a committed
 * transaction read and wrote is kept while a transaction lives whose snapshot does not see it, and
 * summarised into one stand-in beyond a bound: that can only cause more failures, never an anomaly.
 *
 * A snapshot here is what is durable, so that it may miss commits that took their place already:
 * "committed before the snapshot" is therefore asked of LSNs, "committed before that commit" of the
 * order in which commits took their place.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { Write } from '../mvcc/write.js';
import type { PredicateReads } from './predicate-codec.js';
import { PredicateTrack } from './predicate-track.js';
import type { PredicateRead, RangeRead, Tracks } from './predicate-track.js';

/** Committed transactions kept one by one. */
const MAX_FINISHED = 1024;
/** Registered reads and writes of everybody. */
const MAX_REGISTERED = 1_000_000;
const NEVER = Number.MAX_SAFE_INTEGER;

/** What a conflict is told of. */
export interface SerializableOwner {
  readonly xid: Xid;
  readonly processId: number;
  readonly virtualId: number;
  /** True while a savepoint may be rolled back to. */
  readonly savepointDepth: number;
}

export class Serializable {
  readonly tracks: Tracks<Serializable> = new Map();
  /** Who read what this one overwrote, and who overwrote what this one read. */
  readonly in = new Set<Serializable>();
  readonly out = new Set<Serializable>();
  /** Of a READ ONLY one: writers that could still make its snapshot unsafe. Of a writer: the READ ONLY ones it could. */
  readonly possiblyUnsafe = new Set<Serializable>();
  didWrite = false;
  prepared = false;
  committed = false;
  doomed = false;
  /** READ ONLY: its snapshot can be part of no anomaly, or may be. */
  safe = false;
  unsafe = false;
  summaryIn = false;
  summaryOut = false;
  /** It committed with a conflict out to one that had committed before it. */
  conflictOut = false;
  /** The LSN of the first such one. */
  earliestOut = NEVER;
  /** Places in the order of commits. */
  prepareOrder = NEVER;
  commitOrder = NEVER;
  /** Of its commit record; NEVER without one. */
  commitLsn = NEVER;
  /** Snapshots at or after this are not concurrent with it. */
  endLsn = NEVER;
  /** Waiting for a safe snapshot (READ ONLY DEFERRABLE). */
  decided: (() => void) | undefined;
  xid = 0 as Xid;

  constructor(
    readonly owner: SerializableOwner,
    readonly snapshotLsn: Lsn,
    /** Declared READ ONLY; also said of what committed without a write. */
    public readOnly: boolean,
  ) {}
}

function failure(reason: string): DatabaseError {
  return new DatabaseError('40001', 'could not serialize access due to read/write dependencies among transactions', {
    detail: `Reason code: ${reason}.`,
    hint: 'The transaction might succeed if retried.',
  });
}

export class SerializableTransactions {
  private readonly track = new PredicateTrack<Serializable>();
  private readonly active = new Set<Serializable>();
  /** Committed, oldest first. */
  private readonly finished: Serializable[] = [];
  private commits = 0;
  private writers = 0;
  /** Stands for committed transactions that are no longer kept one by one. */
  private readonly old: Serializable;
  /** What they wrote: the last commit, and the first conflict out that any of them had, per storage. */
  private readonly oldWrites = new Map<StorageId, { last: Lsn; earliestOut: number }>();

  /** `visible`: the oldest LSN that a new snapshot may have. It may miss commits that took their place already. */
  constructor(private readonly visible: () => Lsn) {
    this.old = new Serializable({ xid: 0 as Xid, processId: 0, virtualId: 0, savepointDepth: 0 }, 0 as Lsn, false);
    this.old.committed = this.old.prepared = this.old.didWrite = true;
    this.old.prepareOrder = this.old.commitOrder = this.old.endLsn = this.old.commitLsn = 0;
  }

  /** A transaction takes its snapshot. Undefined: READ ONLY, and safe from the start. */
  begin(owner: SerializableOwner, snapshotLsn: Lsn, readOnly: boolean): Serializable | undefined {
    const me = new Serializable(owner, snapshotLsn, readOnly);
    if (this.active.size === 0) this.forgetFinished();
    if (readOnly) {
      for (const other of this.active) {
        if (other.readOnly || other.doomed) continue;
        me.possiblyUnsafe.add(other);
      }
      // Committed, but not in this snapshot.
      for (const other of this.finished) if (endangers(other, me)) me.unsafe = true;
      if (this.old.endLsn > snapshotLsn) me.unsafe = true;
      if (me.possiblyUnsafe.size === 0 && !me.unsafe) return undefined;
      if (me.unsafe) me.possiblyUnsafe.clear();
      for (const other of me.possiblyUnsafe) other.possiblyUnsafe.add(me);
    } else this.writers++;
    this.active.add(me);
    return me;
  }

  /** What a prepared transaction has read, for the log. */
  reads(me: Serializable): Iterable<PredicateReads> {
    return this.track.registered(me);
  }

  /**
   * A prepared transaction made anew after a restart. What it was in conflict with is not known any more, so it counts as being in
   * conflict both ways, as in PostgreSQL. `written`: rows, entries, and storages of which it may have written anything.
   */
  restore(owner: SerializableOwner, snapshotLsn: Lsn, reads: readonly PredicateReads[], written: readonly Write[], storages: Iterable<StorageId>): Serializable {
    const me = new Serializable(owner, snapshotLsn, false);
    me.prepared = me.didWrite = me.summaryIn = me.summaryOut = true;
    me.prepareOrder = ++this.commits;
    this.writers++;
    this.active.add(me);
    const nobody = (): void => undefined;
    for (const read of reads) this.track.adopt(me, read);
    for (const write of written) {
      if (write.isRow) this.track.wroteRow(me, write.storage, write.rowId, undefined, nobody);
      else this.track.wroteEntry(me, write.index, write.entry, nobody);
    }
    for (const storage of storages) this.track.wroteWhole(me, storage, nobody);
    return me;
  }

  /** READ ONLY DEFERRABLE: resolves when its snapshot is known to be safe or not; undefined when it is. */
  whenDecided(me: Serializable): Promise<void> | undefined {
    if (me.safe || me.unsafe) return undefined;
    return new Promise((resolve) => (me.decided = resolve));
  }

  /** Process ids of the writers that a deferrable transaction waits for. */
  blocking(processId: number): number[] {
    for (const me of this.active) if (me.decided && me.owner.processId === processId) return [...me.possiblyUnsafe].map((other) => other.owner.processId);
    return [];
  }

  // ---- reads

  readRow(me: Serializable, storage: StorageId, rowId: RowId): void {
    this.beforeRead(me);
    this.track.readRow(me, storage, rowId, (writer) => this.conflictOut(me, writer));
    this.checkOldWrites(me, storage);
  }

  readWhole(me: Serializable, storage: StorageId): void {
    this.beforeRead(me);
    this.track.readWhole(me, storage, (writer) => this.conflictOut(me, writer));
    this.checkOldWrites(me, storage);
  }

  readPrefix(me: Serializable, index: StorageId, prefix: Uint8Array): void {
    this.beforeRead(me);
    this.track.readPrefix(me, index, prefix, (writer) => this.conflictOut(me, writer));
    this.checkOldWrites(me, index);
  }

  beginRange(me: Serializable, index: StorageId, lower: Uint8Array, upper: Uint8Array | undefined): RangeRead<Serializable> | undefined {
    this.beforeRead(me);
    const range = this.track.beginRange(me, index, lower, upper, (writer) => this.conflictOut(me, writer));
    this.checkOldWrites(me, index);
    return range;
  }

  extendRange(me: Serializable, index: StorageId, range: RangeRead<Serializable>, bound: Uint8Array | undefined, reverse: boolean): void {
    this.beforeRead(me);
    this.track.extendRange(index, range, bound, reverse, (writer) => this.conflictOut(me, writer));
  }

  private beforeRead(me: Serializable): void {
    if (me.doomed) throw failure('Canceled on identification as a pivot, during conflict out checking');
    if (this.track.size > MAX_REGISTERED) this.relieve();
  }

  private conflictOut(me: Serializable, writer: Serializable): void {
    if (writer === me || writer.doomed) return;
    if (writer.summaryOut) {
      if (writer.prepared) throw failure('Canceled on conflict out to old pivot');
      writer.doomed = true;
      return;
    }
    if (me.readOnly && writer.committed && (!writer.conflictOut || me.snapshotLsn < writer.earliestOut)) return;
    // Its writes are in the snapshot.
    if (writer.committed && writer.commitLsn <= me.snapshotLsn) return;
    if (me.out.has(writer)) return;
    this.flag(me, writer, me);
  }

  private checkOldWrites(me: Serializable, storage: StorageId): void {
    if (this.oldWrites.size === 0) return;
    const old = this.oldWrites.get(storage);
    if (!old || old.last <= me.snapshotLsn) return;
    if (old.earliestOut !== NEVER && (!me.readOnly || old.earliestOut <= me.snapshotLsn)) throw failure('Canceled on conflict out to old pivot');
    if (me.summaryIn || me.in.size > 0) throw failure('Canceled on identification as a pivot, with conflict out to old committed transaction');
    me.summaryOut = true;
  }

  // ---- writes

  insertedRow(me: Serializable, storage: StorageId, rowId: RowId): void {
    this.beforeWrite(me);
    this.track.wroteRow(me, storage, rowId, undefined, (reader) => this.conflictIn(me, reader));
  }

  /** `overwritten`: LSN of the version that is overwritten. Who read an older one is in conflict with its writer, not with this one. */
  wroteRow(me: Serializable, storage: StorageId, rowId: RowId, overwritten: () => Lsn): void {
    this.beforeWrite(me);
    if (me.owner.savepointDepth === 0) this.track.forgetRowRead(me, storage, rowId);
    const readRow = (reader: Serializable): void => {
      if (reader !== me && overwritten() <= reader.snapshotLsn) this.conflictIn(me, reader);
    };
    this.track.wroteRow(me, storage, rowId, readRow, (reader) => this.conflictIn(me, reader));
  }

  wroteEntry(me: Serializable, index: StorageId, entry: Uint8Array): void {
    this.beforeWrite(me);
    this.track.wroteEntry(me, index, entry, (reader) => this.conflictIn(me, reader));
  }

  wroteWhole(me: Serializable, storage: StorageId): void {
    this.beforeWrite(me);
    this.track.wroteWhole(me, storage, (reader) => this.conflictIn(me, reader));
  }

  /** Before a unique violation is reported: whoever read that the key was free may be the true reason. */
  insertion(me: Serializable, storage: StorageId, index: StorageId, key: Uint8Array): void {
    this.beforeWrite(me);
    this.track.readersOfAll(storage, (reader) => this.conflictIn(me, reader));
    this.track.readersOf(index, key, (reader) => this.conflictIn(me, reader), true);
  }

  unwroteRow(me: Serializable, storage: StorageId, rowId: RowId): void {
    this.track.unwroteRow(me, storage, rowId);
  }

  unwroteEntry(me: Serializable, index: StorageId, entry: Uint8Array): void {
    this.track.unwroteEntry(me, index, entry);
  }

  promote(from: StorageId, to: StorageId): void {
    this.track.promote(from, to);
  }

  private beforeWrite(me: Serializable): void {
    if (me.doomed) throw failure('Canceled on identification as a pivot, during conflict in checking');
    me.didWrite = true;
    if (this.track.size > MAX_REGISTERED) this.relieve();
  }

  private conflictIn(me: Serializable, reader: Serializable): void {
    if (reader === me || reader.doomed) return;
    if (reader.committed && reader.endLsn <= me.snapshotLsn) return;
    if (reader.out.has(me)) return;
    this.flag(reader, me, me);
  }

  // ---- conflicts

  /** Notes reader -> writer; `me` is the one that runs. */
  private flag(reader: Serializable, writer: Serializable, me: Serializable): void {
    this.checkConflict(reader, writer, me);
    if (reader === this.old) writer.summaryIn = true;
    else if (writer === this.old) reader.summaryOut = true;
    else {
      reader.out.add(writer);
      writer.in.add(reader);
    }
  }

  private checkConflict(reader: Serializable, writer: Serializable, me: Serializable): void {
    if (!completesStructure(reader, writer)) return;
    // Whoever runs fails if it is the writer; else the writer fails when it wants to commit, unless it is too late for that.
    if (me === writer) throw failure('Canceled on identification as a pivot, during write');
    if (writer.prepared) throw failure(`Canceled on conflict out to pivot ${xidOf(writer)}, during read`);
    writer.doomed = true;
  }

  // ---- ends

  /** In the step that takes the LSN, before it: raises 40001, or gives the commit its place. */
  preCommit(me: Serializable): void {
    if (me.prepared) return;
    if (me.doomed) throw failure('Canceled on identification as a pivot, during commit attempt');
    for (const pivot of me.in) {
      if (pivot.committed || pivot.doomed) continue;
      for (const far of pivot.in) {
        if (far !== me && (far.committed || far.readOnly || far.doomed)) continue;
        if (pivot.prepared) throw failure('Canceled on commit attempt with conflict in from prepared pivot');
        pivot.doomed = true;
        break;
      }
    }
    me.prepareOrder = ++this.commits;
    me.prepared = true;
  }

  /** It committed: at `lsn`, or without a record when the log stood there. */
  committed(me: Serializable, lsn: Lsn, wrote: boolean): void {
    me.committed = true;
    me.xid = me.owner.xid;
    me.commitOrder = ++this.commits;
    me.endLsn = lsn;
    if (wrote) me.commitLsn = lsn;
    const declaredReadOnly = me.readOnly;
    if (!me.didWrite) me.readOnly = true;
    if (!me.readOnly && me.summaryOut) {
      me.earliestOut = 0;
      me.conflictOut = true;
    }
    for (const writer of me.out) {
      if (!writer.committed) continue;
      if (!me.readOnly) {
        me.conflictOut = true;
        me.earliestOut = Math.min(me.earliestOut, writer.commitLsn);
      }
      unlink(me, writer);
    }
    for (const reader of me.in) if (reader.committed || reader.readOnly) unlink(reader, me);
    this.leave(me, declaredReadOnly);
    this.finished.push(me);
    this.forgetFinished();
    if (this.finished.length > MAX_FINISHED) this.summarise(this.finished.shift()!);
  }

  aborted(me: Serializable): void {
    if (!this.active.has(me)) return;
    me.doomed = true;
    for (const writer of me.out) unlink(me, writer);
    for (const reader of me.in) unlink(reader, me);
    this.leave(me, me.readOnly);
    this.track.release(me);
    this.forgetFinished();
  }

  private leave(me: Serializable, declaredReadOnly: boolean): void {
    this.active.delete(me);
    if (declaredReadOnly) {
      for (const other of me.possiblyUnsafe) other.possiblyUnsafe.delete(me);
      me.possiblyUnsafe.clear();
      return;
    }
    this.writers--;
    for (const reader of [...me.possiblyUnsafe]) {
      if (me.committed && endangers(me, reader)) {
        reader.unsafe = true;
        for (const other of reader.possiblyUnsafe) other.possiblyUnsafe.delete(reader);
        reader.possiblyUnsafe.clear();
        reader.decided?.();
        reader.decided = undefined;
      } else {
        reader.possiblyUnsafe.delete(me);
        me.possiblyUnsafe.delete(reader);
        if (reader.possiblyUnsafe.size === 0) this.becomeSafe(reader);
      }
    }
  }

  /** A READ ONLY transaction that can be part of no anomaly needs no tracking any more. */
  private becomeSafe(me: Serializable): void {
    me.safe = true;
    for (const writer of me.out) unlink(me, writer);
    this.active.delete(me);
    this.track.release(me);
    me.decided?.();
    me.decided = undefined;
  }

  /** Lets go of committed transactions that the snapshot of every one running, and yet to come, sees. */
  private forgetFinished(): void {
    if (this.finished.length === 0 && this.old.endLsn === 0) return;
    let oldest: number = this.visible();
    for (const other of this.active) if (other.snapshotLsn < oldest) oldest = other.snapshotLsn;
    let done = 0;
    while (done < this.finished.length && this.finished[done]!.endLsn <= oldest) this.forget(this.finished[done++]!);
    if (done > 0) this.finished.splice(0, done);
    if (this.old.endLsn <= oldest) {
      if (this.old.tracks.size > 0) this.track.release(this.old);
      this.oldWrites.clear();
      this.old.endLsn = 0;
    }
  }

  private forget(me: Serializable): void {
    for (const writer of me.out) unlink(me, writer);
    for (const reader of me.in) unlink(reader, me);
    this.track.release(me);
  }

  private summarise(me: Serializable): void {
    for (const writer of me.out) {
      writer.summaryIn = true;
      unlink(me, writer);
    }
    for (const reader of me.in) {
      reader.summaryOut = true;
      unlink(reader, me);
    }
    this.old.endLsn = Math.max(this.old.endLsn, me.endLsn);
    this.old.commitOrder = this.old.prepareOrder = Math.max(this.old.commitOrder, me.commitOrder);
    this.track.handOver(me, this.old, (storage) => {
      const former = this.oldWrites.get(storage);
      this.oldWrites.set(storage, { last: Math.max(former?.last ?? 0, me.commitLsn) as Lsn, earliestOut: Math.min(former?.earliestOut ?? NEVER, me.earliestOut) });
    });
  }

  /** Too much is registered: the oldest half of the committed goes into the stand-in. */
  private relieve(): void {
    for (const me of this.finished.splice(0, (this.finished.length >> 1) + 1)) this.summarise(me);
  }

  /** Whether nothing has to be registered for anybody. */
  get idle(): boolean {
    return this.active.size === 0;
  }

  /** Reads that are registered, for pg_locks. */
  forEachRead(visit: (owner: SerializableOwner, xid: Xid, read: PredicateRead) => void): void {
    for (const me of [...this.active, ...this.finished]) for (const read of this.track.readsOf(me)) visit(me.owner, me.owner.xid, read);
  }

  get counts(): { readonly active: number; readonly kept: number; readonly registered: number } {
    return { active: this.active.size, kept: this.finished.length, registered: this.track.size };
  }
}

function unlink(reader: Serializable, writer: Serializable): void {
  reader.out.delete(writer);
  writer.in.delete(reader);
}

/** Whether a committed writer makes the snapshot of a READ ONLY transaction unsafe. */
function endangers(writer: Serializable, reader: Serializable): boolean {
  return !writer.readOnly && writer.conflictOut && writer.commitLsn > reader.snapshotLsn && writer.earliestOut <= reader.snapshotLsn;
}

/** OnConflict_CheckForSerializationFailure: would reader -> writer complete a dangerous structure? */
function completesStructure(reader: Serializable, writer: Serializable): boolean {
  // reader -> writer -> T2, the writer has committed after T2
  if (writer.committed && (writer.conflictOut || writer.summaryOut)) return true;
  if (writer.summaryOut) return true;
  // reader -> writer -> T2, T2 committed first
  for (const t2 of writer.out) {
    if (!t2.prepared) continue;
    if (reader.committed && t2.prepareOrder > reader.commitOrder) continue;
    if (writer.committed && t2.prepareOrder > writer.commitOrder) continue;
    if (reader.readOnly && !(t2.committed && t2.commitLsn <= reader.snapshotLsn)) continue;
    return true;
  }
  // T0 -> reader -> writer, the writer committed first
  if (!writer.prepared || reader.readOnly) return false;
  if (reader.summaryIn) return true;
  for (const t0 of reader.in) {
    if (t0.doomed) continue;
    if (t0.committed && t0.commitOrder < writer.prepareOrder) continue;
    if (t0.readOnly && !(writer.committed && writer.commitLsn <= t0.snapshotLsn)) continue;
    return true;
  }
  return false;
}

function xidOf(writer: Serializable): Xid {
  return writer.committed ? writer.xid : writer.owner.xid;
}

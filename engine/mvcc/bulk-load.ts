/**
 * Transactions that insert more than fits in memory. Above a bound, inserted rows and index entries
 * leave the write set for the log as provisional records and are applied at once, marked with the
 * transaction's xid: readers ask what became of that xid. COMMIT is one small record; an abort drops
 * the storages that the transaction created and has the others swept.
 *
 * Until they are applied, the writes also stay where the transaction finds them; at commit, what is
 * not applied yet joins the overlay. So there is no moment in which a row is nowhere.
 *
 * Updates and deletes of committed rows stay in memory; when they alone exceed the bound: 53200.
 */
import { DatabaseError } from '../errors.js';
import type { CommandId, Lsn, StorageId, Xid } from '../ids.js';
import { RecordKind } from '../log/batch.js';
import { Pending } from '../pending.js';
import type { ApplierDriver } from './applier-driver.js';
import { writeDrops, writeParts } from './commit-encoder.js';
import type { Engine } from './engine.js';
import type { EngineTransaction } from './transaction.js';
import { writeBytes } from './write-set.js';
import type { Write } from './write-set.js';

/** Log written by one relief, at most: it happens inside an insert. */
const RELIEF_MAX = 4 << 20;
/** Beyond this much unapplied load, `pending` asks the loader to wait. */
const UNAPPLIED_MAX = 16 << 20;

export interface Streamed {
  readonly lsn: Lsn;
  readonly writes: readonly Write[];
}

export class BulkLoad {
  private readonly loading = new Set<EngineTransaction>();

  constructor(private readonly engine: Engine, private readonly applier: ApplierDriver) {}

  /** Called when the write set has grown beyond `relieveAt`. */
  relieve(transaction: EngineTransaction): void {
    const { writes } = transaction;
    const picked: Write[] = [];
    const kept: Write[] = [];
    let bytes = 0;
    const relief = Math.min(RELIEF_MAX, this.engine.options.bulkThreshold / 4);
    let looked = 0;
    for (; looked < writes.order.length && bytes < relief; looked++) {
      const write = writes.order[looked]!;
      if (this.canStream(transaction, write) && noteBound(transaction, write)) {
        picked.push(write);
        bytes += writeBytes(write);
      } else kept.push(write);
    }
    if (bytes < relief / 2) {
      this.allowMore(transaction);
      return;
    }
    this.engine.log.checkRoom(2 * relief);
    let lsn = 0 as Lsn;
    for (const part of writeParts(this.engine.log, RecordKind.provisional, transaction.xid, picked, [])) lsn = part;
    this.engine.log.flushSoon();
    for (const write of picked) write.streamed = true;
    writes.order = kept.length === 0 ? writes.order.slice(looked) : kept.concat(writes.order.slice(looked));
    writes.bytes -= bytes;
    transaction.streamed.push({ lsn, writes: picked });
    this.loading.add(transaction);
    transaction.provisional = true;
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

  private canStream(transaction: EngineTransaction, write: Write): boolean {
    if (!write.born || write.older || !(write.isRow ? write.tuple : write.payload)) return false;
    // A huge value goes out at commit, in pieces with pauses.
    if (write.isRow && write.tuple!.length > RELIEF_MAX) return false;
    const storage = write.isRow ? write.storage : write.index;
    if (this.engine.isTemporary(storage) || !transaction.writes.isFinal(write)) return false;
    // What a savepoint may undo stays, unless it goes with its storage.
    return transaction.savepointDepth === 0 || transaction.created.indexOf(storage, transaction.createdBeforeSavepoint) >= 0;
  }

  /** The wait that a loader owes the applier before it goes on. */
  pending(transaction: EngineTransaction): Pending | undefined {
    if (transaction.streamed.length === 0 || this.applier.queuedBytes + this.engine.log.queuedBytes < UNAPPLIED_MAX) return undefined;
    const until = this.engine.log.drain().then(() => this.applier.drain());
    return new Pending(until, 'IO', 'WALWrite');
  }

  /** Forgets what reads now find in the key-value store. */
  trim(applied: Lsn): void {
    for (const transaction of this.loading) {
      const { streamed } = transaction;
      let done = 0;
      for (; done < streamed.length && streamed[done]!.lsn <= applied; done++)
        for (const write of streamed[done]!.writes) transaction.writes.settle(write);
      if (done > 0) streamed.splice(0, done);
    }
  }

  /** At commit: what is not applied yet, for the overlay. */
  unapplied(transaction: EngineTransaction): Write[] {
    this.loading.delete(transaction);
    return transaction.streamed.flatMap((part) => part.writes.filter((write) => transaction.writes.isFinal(write)));
  }

  /** A created storage rolled back, with or before its transaction. */
  discard(transaction: EngineTransaction, storage: StorageId): void {
    if (!transaction.loaded.delete(storage)) return;
    transaction.writes.forget(storage);
    const { log } = this.engine;
    const builder = log.open();
    const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
    writeDrops(builder, [storage]);
    builder.endRecord();
    log.wrote(lsn);
    log.flushSoon();
  }

  abort(transaction: EngineTransaction): void {
    this.loading.delete(transaction);
    if (!transaction.provisional) {
      // Written ahead: the abort record has the applier free them.
      if (transaction.values.size > 0 && !this.engine.log.failed) this.engine.writeAbort(transaction.xid);
      return;
    }
    const { xid } = transaction;
    this.engine.writeAbort(xid);
    this.sweep(xid);
  }

  /** Has the applier remove what an aborted transaction left, once its last record is applied. */
  sweep(xid: Xid): void {
    void this.engine.log
      .drain()
      .then(() => this.applier.drain())
      .then(() => this.applier.sweep(xid))
      .catch(() => undefined);
  }
}

/** Per storage: from which row id on each command's inserts begin, so that earlier snapshots of the transaction miss them. */
export class LoadBounds {
  private readonly bounds: { readonly command: CommandId; from: number }[] = [];
  private maxBefore = -1;
  private max = -1;

  /** False: the row id does not lie behind those of earlier commands, so the write must stay in memory. */
  note(command: CommandId, rowId: number): boolean {
    const last = this.bounds.at(-1);
    if (!last || last.command < command) {
      if (rowId <= this.max) return false;
      this.maxBefore = this.max;
      this.bounds.push({ command, from: rowId });
    } else {
      if (rowId <= this.maxBefore) return false;
      if (rowId < last.from) last.from = rowId;
    }
    if (rowId > this.max) this.max = rowId;
    return true;
  }

  /** Row ids from here on are not for a snapshot of `command`. */
  boundFor(command: CommandId): number {
    for (const bound of this.bounds) if (bound.command >= command) return bound.from;
    return Infinity;
  }
}

function noteBound(transaction: EngineTransaction, write: Write): boolean {
  const storage = write.isRow ? write.storage : write.index;
  let bounds = transaction.loaded.get(storage);
  if (!bounds) transaction.loaded.set(storage, (bounds = new LoadBounds()));
  return bounds.note(write.command, write.rowId);
}

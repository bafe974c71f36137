/**
 * Commit: a transaction's changes become a record in the log and, in the same synchronous step, committed versions in the overlay
 * with their place in the order. Large ones go in parts ahead of it.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { RecordKind } from '../log/batch.js';
import type { Runtime } from '../runtime.js';
import type { ApplierDriver } from './applier-driver.js';
import type { ChangeWatches } from './change-watch.js';
import { SINGLE_RECORD_MAX, writeCommit, writeParts } from './commit-encoder.js';
import type { Engine } from './engine.js';
import type { SessionState } from './session.js';
import type { EngineTransaction } from './transaction.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import type { Write } from './write.js';

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

export class Committer {
  #commits = 0;
  #lastCommitMicros: number;
  #lastCommitter: SessionState | null = null;
  /** Commits of one session since another one committed. */
  #sameCommitter = 0;
  #diskCheckedMs = -Infinity;
  #diskLow = false;

  constructor(
    private readonly engine: Engine,
    private readonly runtime: Runtime,
    private readonly applier: ApplierDriver,
    private readonly watches: ChangeWatches,
    lastCommitMicros: number,
  ) {
    this.#lastCommitMicros = lastCommitMicros;
  }

  get commits(): number {
    return this.#commits;
  }

  /** The last commits were all of one session. */
  get lone(): boolean {
    return this.#sameCommitter >= LONE_AFTER;
  }

  commit(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    this.checkRoom(transaction);
    if (transaction.staged && transaction.state === 'committing') return this.#commitStaged(transaction, final, temporary, synchronous);
    if (transaction.writes.logBytes > SINGLE_RECORD_MAX || messageBytes(transaction) > SINGLE_RECORD_MAX)
      return this.#commitInParts(transaction, final, temporary, synchronous);
    return this.finish(transaction, final, temporary, synchronous, false);
  }

  /** Raises 53100 unless the log and the state have room for what the transaction says. */
  checkRoom(transaction: EngineTransaction): void {
    if (this.engine.maintenance.refuseCommits) throw this.engine.maintenance.refuseCommits;
    this.engine.log.checkRoom(Math.min(transaction.writes.bytes, 4 << 20));
    if ((this.applier.stalled && this.applier.queuedBytes > STALLED_MAX) || this.#diskIsLow())
      throw new DatabaseError('53100', 'could not extend the state file: No space left on device', { hint: 'Check free disk space.' });
  }

  /** Whether there is less room than what was acknowledged and not applied may need. Looked up every few milliseconds. */
  #diskIsLow(): boolean {
    const { directory } = this.engine.options;
    if (directory === undefined) return false;
    const now = this.runtime.clock.monotonicMs();
    if (now - this.#diskCheckedMs > DISK_CHECK_MS) {
      this.#diskCheckedMs = now;
      this.#diskLow = this.runtime.files.freeBytes(directory) < RESERVED_BYTES;
    }
    return this.#diskLow;
  }

  async #commitStaged(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    try {
      await this.engine.staging.finish(transaction);
    } catch (error) {
      transaction.abort();
      throw error;
    }
    const unwritten = (write: Change): boolean => !write.streamed;
    const left = final.filter(unwritten).flatMap((write) => transaction.writes.finalOf(write)).filter(unwritten);
    return this.#commitInParts(transaction, left, temporary, synchronous);
  }

  async #commitInParts(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean): Promise<Lsn> {
    try {
      let inFlight = 0;
      for (const lsn of writeParts(this.engine.log, RecordKind.part, transaction.assignXid(), final, transaction.messages)) {
        if (++inFlight < PARTS_IN_FLIGHT) continue;
        inFlight = 0;
        this.engine.log.checkRoom(4 << 20);
        await this.engine.log.whenDurable(lsn);
      }
      return await this.finish(transaction, final, temporary, synchronous, true);
    } catch (error) {
      if (transaction.state === 'committing') {
        // The applier holds the parts until it hears what became of them.
        if (!transaction.provisional && transaction.values.size === 0 && !this.engine.log.failed) this.engine.writeAbort(transaction.xid);
        transaction.abort();
      }
      throw error;
    }
  }

  /** The one synchronous step in which a commit gets its place in the order. */
  finish(transaction: EngineTransaction, final: Change[], temporary: Write[], synchronous: boolean, parts: boolean): Promise<Lsn> {
    const serializable = transaction.serializable?.safe ? undefined : transaction.serializable;
    if (serializable) this.engine.serializable.preCommit(serializable);
    const { xid, messages, drops } = transaction;
    const micros = this.nextCommitMicros();
    const { provisional } = transaction;
    const lsn = writeCommit(this.engine.log, { xid, writes: final, messages, drops, provisional, stagedXids: transaction.staged?.subXids() ?? [], unused: transaction.unusedValues(final) }, micros, parts);
    this.engine.past.noteCommit(lsn, micros);
    if (provisional) {
      // What it wrote ahead is not in the overlay.
      this.engine.store.cache.clear();
    }
    for (const write of final) {
      if (write instanceof WriteBatch) continue;
      if (write.isRow) {
        if (!write.born) this.#noteRowDeath(write, lsn);
      } else if (!write.born) this.engine.store.noteDeath(write.index, lsn);
    }
    const writes = provisional ? [...this.engine.staging.unapplied(transaction), ...final] : final;
    for (const write of writes) write.xid = xid;
    this.engine.store.overlay.add(lsn, writes);
    this.watches.note(lsn, writes);
    if (provisional) {
      this.engine.noteProvisional(lsn);
      const { staged } = transaction;
      if (staged) this.watches.noteUnlisted(lsn, staged.storages, (storage) => staged.blocksOf(storage));
      this.engine.staging.committed(transaction, lsn);
    }
    for (const storage of drops) this.engine.forget(storage);
    this.engine.applyTemporary(temporary);
    this.#commits++;
    this.engine.notify({ lsn, xid, commitMicros: micros, messages });
    const { session } = transaction;
    this.#sameCommitter = session === this.#lastCommitter ? this.#sameCommitter + 1 : 0;
    this.#lastCommitter = session;
    // An asynchronous commit owes nobody its durability.
    if (synchronous && lsn > session.floor) session.floor = lsn;
    if (serializable) this.engine.serializable.committed(serializable, lsn, true);
    transaction.end('committed');
    if (!synchronous) {
      this.engine.showUpTo(lsn);
      this.engine.log.flushSoon();
      return Promise.resolve(lsn);
    }
    const until = this.engine.log.whenDurable(lsn);
    // A writer faster than the applier waits for it: the overlay is memory.
    if (this.applier.queuedBytes > LAG_MAX) return Promise.resolve(until).then(() => this.applier.drain()).then(() => lsn);
    return until ? until.then(() => lsn) : Promise.resolve(lsn);
  }

  /** The time that a record made now carries: never before an earlier one's. */
  nextCommitMicros(): number {
    return (this.#lastCommitMicros = Math.max(this.runtime.clock.nowMicros(), this.#lastCommitMicros));
  }

  #noteRowDeath(write: Write & { isRow: true }, lsn: Lsn): void {
    if (!write.tuple) this.engine.store.noteDeath(write.storage, lsn);
  }
}

function messageBytes(transaction: EngineTransaction): number {
  let bytes = 0;
  for (const message of transaction.messages) bytes += message.content.length + message.prefix.length + 10;
  return bytes;
}

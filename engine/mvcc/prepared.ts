/**
 * Two-phase commit. PREPARE writes the transaction to the log as parts (writes, messages, locks)
 * and a prepare record; the applier keeps the parts until a commit or abort record of the same
 * xid comes, and the log is not trimmed beyond them. So COMMIT PREPARED is the same small commit
 * record that ends any transaction that was written in parts.
 *
 * Meanwhile the transaction lives on in memory, without a session, and holds its locks. A restart
 * finds parts and prepare record in the log and makes it anew, before anybody is let in.
 */
import { DatabaseError, assert } from '../errors.js';
import { FIXED_STORAGE_START } from '../ids.js';
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';
import { IndexOp, Op, RecordKind, RecordReader, Section } from '../log/batch.js';
import type { BatchBuilder, IndexVisitor, RowVisitor } from '../log/batch.js';
import type { Message, PreparedRow, PreparedTransaction } from '../storage.js';
import type { StagedPart } from './state-mark.js';
import { readPredicates, writePredicates, type PredicateReads } from '../serializable/predicate-codec.js';
import { writeDrops, writeLocks, writeParts, writeXids } from './commit-encoder.js';
import type { HeldLock } from './commit-encoder.js';
import type { Engine } from './engine.js';
import { entryKey } from './row-format.js';
import { Staged } from './staging.js';
import type { EngineTransaction } from './transaction.js';
import { IndexWrite, RowWrite } from './write.js';
import type { Write } from './write.js';

const NOTHING = new Uint8Array(0);
const FIRST_COMMAND = 1 as CommandId;
const TOP = 1 as SubId;
/** Parts wait for the log this often. */
const PARTS_IN_FLIGHT = 8;

interface Prepared extends PreparedTransaction {
  readonly transaction: EngineTransaction;
  /** Being ended: nobody else may. */
  ending: boolean;
}

/** A prepared transaction as recovery finds it in the log. */
export interface RecoveredPrepared {
  readonly xid: Xid;
  readonly parts: readonly StagedPart[];
  /** It had written provisional versions, too. */
  readonly staged: { readonly first: Lsn; readonly storages: readonly StorageId[] } | undefined;
}

/** Xids of subtransactions that a prepared transaction wrote ahead under. */
export function stagedXids(parts: readonly StagedPart[]): Xid[] {
  const reader = new PartsReader();
  for (const part of parts) reader.read(part);
  return reader.xids;
}

export class PreparedTransactions {
  private readonly byGid = new Map<string, Prepared>();

  constructor(private readonly engine: Engine) {}

  get size(): number {
    return this.byGid.size;
  }

  list(): PreparedTransaction[] {
    return [...this.byGid.values()].map(({ gid, xid, preparedMicros, info }) => ({ gid, xid, preparedMicros, info }));
  }

  /** What a prepared transaction does to rows of storages with fixed ids (the catalogs). */
  fixedRows(gid: string): PreparedRow[] {
    const rows: PreparedRow[] = [];
    const transaction = this.byGid.get(gid)?.transaction;
    for (const write of transaction?.writes.order ?? [])
      if (write.isRow && write.storage >= FIXED_STORAGE_START && transaction!.writes.isFinal(write)) rows.push({ storage: write.storage, rowId: write.rowId, tuple: write.tuple });
    return rows;
  }

  async prepare(transaction: EngineTransaction, final: readonly Write[], gid: string, info: Uint8Array): Promise<void> {
    const { engine } = this;
    if (this.byGid.has(gid)) throw new DatabaseError('42710', `transaction identifier "${gid}" is already in use`);
    const xid = transaction.assignXid();
    const preparedMicros = engine.nowMicros();
    const prepared: Prepared = { gid, xid, preparedMicros, info, transaction, ending: true };
    this.byGid.set(gid, prepared);
    try {
      engine.committer.checkRoom(transaction);
      let inFlight = 0;
      for (const lsn of writeParts(engine.log, RecordKind.part, xid, final, transaction.messages)) {
        if (++inFlight < PARTS_IN_FLIGHT) continue;
        inFlight = 0;
        await engine.log.whenDurable(lsn);
      }
      // Locks are listed when nothing more can be taken: a transaction that prepares runs nothing.
      writeLocks(engine.log, xid, engine.locks.heldBy(transaction));
      this.writeReads(transaction);
      const builder = engine.log.open();
      const lsn = builder.beginRecord(RecordKind.prepare, 0, xid);
      writeXids(builder, transaction.staged?.subXids() ?? []);
      builder.time(preparedMicros);
      writeGid(builder, gid, info);
      writeDrops(builder, transaction.drops);
      builder.endRecord();
      engine.log.wrote(lsn);
      await engine.log.whenDurable(lsn);
    } catch (error) {
      this.byGid.delete(gid);
      if (!engine.log.failed) engine.writeAbort(xid);
      throw error;
    }
    prepared.ending = false;
    transaction.detach(engine.newSession());
  }

  /** SERIALIZABLE: what it read, as parts. */
  private writeReads(transaction: EngineTransaction): void {
    const { log, serializable } = this.engine;
    const me = transaction.serializable;
    if (!me || me.safe) return;
    const write = (reads?: PredicateReads): void => {
      const builder = log.open();
      const lsn = builder.beginRecord(RecordKind.part, 0, transaction.xid);
      if (reads) writePredicates(builder, reads);
      else {
        // That it is serializable, when it has read nothing.
        builder.beginSection(Section.predicates);
        builder.endSection();
      }
      builder.endRecord();
      log.wrote(lsn);
    };
    write();
    for (const reads of serializable.reads(me)) write(reads);
  }

  /** Makes a prepared transaction anew from the log. */
  restore(transaction: EngineTransaction, { parts, staged }: RecoveredPrepared): void {
    const collected = new PartsReader();
    for (const part of parts) collected.read(part);
    assert(collected.gid !== undefined, 'prepared transaction without its prepare record');
    for (const write of collected.writes) {
      transaction.writes.adopt(write);
      if (write.isRow) this.engine.rowIdUsed(write.storage, write.rowId);
    }
    transaction.messages.push(...collected.messages);
    transaction.drops.push(...collected.drops);
    if (staged) {
      transaction.provisional = true;
      transaction.staged = new Staged(transaction.xid, staged.first);
      collected.xids.forEach((xid, i) => transaction.staged!.addXid((i + 2) as SubId, xid));
      for (const storage of staged.storages) transaction.staged.storages.add(storage);
      transaction.staged.forgetBlocks();
      this.engine.staging.restored([transaction.xid], staged.storages, staged.first);
      this.engine.transactions.adoptXids(transaction, collected.xids);
    }
    transaction.detach(this.engine.newSession());
    for (const { tagA, tagB, mask } of collected.locks) this.engine.locks.adopt(transaction.lockOwner(), tagA, tagB, mask);
    if (collected.reads) transaction.serializable = this.engine.serializable.restore(transaction, this.engine.log.durable, collected.reads, collected.writes, staged?.storages ?? []);
    this.byGid.set(collected.gid, { gid: collected.gid, xid: transaction.xid, preparedMicros: collected.micros, info: collected.info, transaction, ending: false });
  }

  async commit(gid: string): Promise<Lsn> {
    const { transaction } = this.take(gid);
    try {
      this.engine.committer.checkRoom(transaction);
    } catch (error) {
      this.byGid.get(gid)!.ending = false;
      throw error;
    }
    this.byGid.delete(gid);
    const final = transaction.writes.order.filter((write) => transaction.writes.isFinal(write));
    return this.engine.committer.finish(transaction, final, [], true, true);
  }

  async rollback(gid: string): Promise<Lsn> {
    const { transaction, xid } = this.take(gid);
    this.byGid.delete(gid);
    const lsn = this.engine.writeAbort(xid);
    transaction.abort();
    await this.engine.log.whenDurable(lsn);
    return lsn;
  }

  private take(gid: string): Prepared {
    const prepared = this.byGid.get(gid);
    if (!prepared) throw new DatabaseError('42704', `prepared transaction with identifier "${gid}" does not exist`);
    if (prepared.ending) throw new DatabaseError('55000', `prepared transaction with identifier "${gid}" is busy`);
    prepared.ending = true;
    return prepared;
  }
}

function writeGid(builder: BatchBuilder, gid: string, info: Uint8Array): void {
  const name = Buffer.from(gid, 'utf8');
  builder.beginSection(Section.prepared);
  builder.uint16(name.length);
  builder.bytes(name);
  builder.bytes(info);
  builder.endSection();
}

/** The parts of one transaction as write set, locks and the rest. */
class PartsReader implements RowVisitor, IndexVisitor {
  readonly writes: Write[] = [];
  readonly locks: HeldLock[] = [];
  readonly messages: Message[] = [];
  readonly drops: StorageId[] = [];
  readonly xids: Xid[] = [];
  /** Of a SERIALIZABLE one. */
  reads: PredicateReads[] | undefined;
  gid: string | undefined;
  info: Uint8Array = NOTHING;
  micros = 0;
  private readonly reader = new RecordReader();
  private pieces: Uint8Array[] = [];

  read(part: StagedPart): void {
    const { reader } = this;
    reader.open(part.batch, part.offset);
    reader.nextRecord();
    while (reader.nextSection()) {
      const { sectionStart: start, sectionEnd: end } = reader;
      switch (reader.tag) {
        case Section.rows:
          reader.rows(this);
          break;
        case Section.derived:
          reader.derived(this);
          break;
        case Section.message:
          this.messages.push(reader.message());
          break;
        case Section.drops:
          for (let at = start; at < end; at += 6) this.drops.push(reader.uint48(at) as StorageId);
          break;
        case Section.xids:
          for (let at = start; at < end; at += 6) this.xids.push(reader.uint48(at) as Xid);
          break;
        case Section.locks:
          for (let at = start; at < end; at += 17) this.locks.push({ tagA: reader.float64(at), tagB: reader.float64(at + 8), mask: reader.uint8(at + 16) });
          break;
        case Section.predicates:
          this.reads ??= [];
          if (end > start) this.reads.push(readPredicates(reader));
          break;
        case Section.time:
          this.micros = reader.time();
          break;
        case Section.prepared: {
          const length = reader.uint16(start);
          this.gid = Buffer.from(reader.bytes(start + 2, start + 2 + length)).toString('utf8');
          this.info = reader.bytes(start + 2 + length, end).slice();
          break;
        }
        default:
          break;
      }
    }
  }

  piece(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }

  row(op: number, storage: StorageId, rowId: RowId, tuple: Uint8Array | undefined, pieces: boolean): void {
    let bytes = tuple?.slice();
    if (pieces) {
      bytes = Buffer.concat(this.pieces);
      this.pieces = [];
    }
    this.writes.push(new RowWrite(storage, rowId, bytes, FIRST_COMMAND, TOP, op === Op.insert, undefined));
  }

  index(op: number, index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array | undefined): void {
    this.writes.push(new IndexWrite(index, entryKey(key, rowId), rowId, payload?.slice(), FIRST_COMMAND, TOP, op === IndexOp.put, undefined));
  }
}

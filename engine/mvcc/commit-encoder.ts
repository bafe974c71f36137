/**
 * Write sets as log records. A transaction that fits one record is that record; a larger one is
 * written ahead in parts, and only its commit record makes them true.
 */
import type { Lsn, StorageId, Xid } from '../ids.js';
import { COMMIT_HAS_PARTS, COMMIT_HAS_PROVISIONAL, IndexOp, Op, RECORD_TARGET, RecordKind, Section } from '../log/batch.js';
import type { BatchBuilder } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { Message } from '../storage.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import type { IndexWrite, RowWrite } from './write.js';

/** Write sets above this go out in parts. */
export const SINGLE_RECORD_MAX = 200 << 10;

export interface CommitContent {
  readonly xid: Xid;
  readonly writes: readonly Change[];
  readonly messages: readonly Message[];
  readonly drops: readonly StorageId[];
  readonly provisional: boolean;
  /** Subtransactions' xids under which it wrote ahead. */
  readonly stagedXids: readonly Xid[];
  /** Large values written ahead that no row refers to. */
  readonly unused: ReadonlyMap<number, StorageId>;
}

const LOCKS_PER_PART = 12_000;
const NO_WRITES: readonly Change[] = [];

/** Writes the commit record; `parts` were written before it. Returns its LSN. */
export function writeCommit(log: GroupCommit, content: CommitContent, commitMicros: number, parts: boolean): Lsn {
  const builder = log.open();
  const flags = (parts ? COMMIT_HAS_PARTS : 0) | (content.provisional ? COMMIT_HAS_PROVISIONAL : 0);
  const lsn = builder.beginRecord(RecordKind.commit, flags, content.xid);
  writeXids(builder, content.stagedXids);
  builder.time(commitMicros);
  const writes = parts ? NO_WRITES : content.writes;
  writeRows(builder, writes);
  writeEntries(builder, writes);
  writeDrops(builder, content.drops);
  if (content.unused.size > 0) {
    builder.beginSection(Section.free);
    for (const [id, storage] of content.unused) {
      builder.uint48(storage);
      builder.uint48(id);
    }
    builder.endSection();
  }
  if (!parts) for (const message of content.messages) builder.message(message.prefix, message.content);
  builder.endRecord();
  log.wrote(lsn);
  return lsn;
}

export function writeDrops(builder: BatchBuilder, drops: readonly StorageId[]): void {
  if (drops.length === 0) return;
  builder.beginSection(Section.drops);
  for (const storage of drops) builder.uint48(storage);
  builder.endSection();
}

export function writeXids(builder: BatchBuilder, xids: readonly Xid[]): void {
  if (xids.length === 0) return;
  builder.beginSection(Section.xids);
  for (const xid of xids) builder.uint48(xid);
  builder.endSection();
}

/** A lock as the log keeps it for a prepared transaction: tags of locks/lock-table.ts, a bit per mode. */
export interface HeldLock {
  readonly tagA: number;
  readonly tagB: number;
  readonly mask: number;
}

/** Writes locks as parts of `xid`. */
export function writeLocks(log: GroupCommit, xid: Xid, locks: readonly HeldLock[]): void {
  for (let at = 0; at < locks.length; at += LOCKS_PER_PART) {
    const builder = log.open();
    const lsn = builder.beginRecord(RecordKind.part, 0, xid);
    builder.beginSection(Section.locks);
    for (const { tagA, tagB, mask } of locks.slice(at, at + LOCKS_PER_PART)) {
      builder.float64(tagA);
      builder.float64(tagB);
      builder.uint8(mask);
    }
    builder.endSection();
    builder.endRecord();
    log.wrote(lsn);
  }
}

function writeRows(builder: BatchBuilder, writes: readonly Change[]): void {
  let storage = -1;
  for (const write of writes) {
    if (!write.isRow) continue;
    if (storage < 0) builder.beginSection(Section.rows);
    if (write instanceof WriteBatch) {
      builder.bytes(write.bytes);
      storage = write.storage;
      continue;
    }
    if (write.storage !== storage) builder.storage(Op.storage, (storage = write.storage) as StorageId);
    writeRow(builder, write, false);
  }
  if (storage >= 0) builder.endSection();
}

function writeRow(builder: BatchBuilder, write: RowWrite, pieces: boolean): void {
  builder.row(write.tuple ? (write.born ? Op.insert : Op.update) : Op.delete, write.rowId, write.tuple, pieces);
}

function writeEntries(builder: BatchBuilder, writes: readonly Change[]): void {
  let index = -1;
  for (const write of writes) {
    if (write.isRow) continue;
    if (index < 0) builder.beginSection(Section.derived);
    if (write instanceof WriteBatch) {
      builder.bytes(write.bytes);
      index = write.storage;
      continue;
    }
    if (write.index !== index) builder.storage(IndexOp.storage, (index = write.index) as StorageId);
    writeEntry(builder, write);
  }
  if (index >= 0) builder.endSection();
}

function writeEntry(builder: BatchBuilder, write: IndexWrite): void {
  if (write.payload) builder.indexPut(write.born ? IndexOp.put : IndexOp.replace, write.rowId, write.entry, write.keyLength, write.payload);
  else builder.indexDelete(write.rowId, write.entry, write.keyLength);
}

/**
 * Writes `writes` as records of `kind` (parts, or provisional ones), yielding the LSN of each so
 * that the caller can wait for the log in between.
 */
export function* writeParts(
  log: GroupCommit,
  kind: number,
  xid: Xid,
  writes: Iterable<Change>,
  messages: readonly Message[],
): Generator<Lsn> {
  const part = new PartWriter(log, kind, xid);
  for (const write of writes) {
    if (write instanceof WriteBatch) {
      part.section(write.isRow ? Section.rows : Section.derived, write.storage);
      part.builder!.bytes(write.bytes);
    } else if (write.isRow && write.tuple && write.tuple.length > RECORD_TARGET) {
      for (let at = 0; at < write.tuple.length; at += RECORD_TARGET) {
        part.section(Section.rows);
        part.builder!.piece(write.tuple.subarray(at, at + RECORD_TARGET));
        yield part.end();
      }
      part.section(Section.rows, write.storage);
      writeRow(part.builder!, write, true);
    } else if (write.isRow) {
      part.section(Section.rows, write.storage);
      writeRow(part.builder!, write, false);
    } else {
      part.section(Section.derived, write.index);
      writeEntry(part.builder!, write);
    }
    if (part.full) yield part.end();
  }
  for (const message of messages) {
    part.plain();
    part.builder!.message(message.prefix, message.content);
    if (part.full) yield part.end();
  }
  if (part.builder) yield part.end();
}

class PartWriter {
  builder: BatchBuilder | undefined;
  private tag = 0;
  private storage = -1;
  private lsn = 0 as Lsn;

  constructor(
    private readonly log: GroupCommit,
    private readonly kind: number,
    private readonly xid: Xid,
  ) {}

  get full(): boolean {
    return this.builder !== undefined && this.builder.recordLength > RECORD_TARGET;
  }

  private begin(): BatchBuilder {
    if (this.builder) return this.builder;
    const builder = this.log.open();
    this.lsn = builder.beginRecord(this.kind, 0, this.xid);
    return (this.builder = builder);
  }

  /** Makes the next operation one on `storage` in a section `tag`. */
  section(tag: number, storage?: StorageId): void {
    const builder = this.begin();
    if (this.tag !== tag) {
      this.closeSection();
      builder.beginSection(tag);
      this.tag = tag;
      this.storage = -1;
    }
    if (storage !== undefined && this.storage !== storage) {
      builder.storage(tag === Section.rows ? Op.storage : IndexOp.storage, storage);
      this.storage = storage;
    }
  }

  /** Outside any section: for things that are sections themselves. */
  plain(): void {
    this.begin();
    this.closeSection();
  }

  private closeSection(): void {
    if (this.tag !== 0) this.builder!.endSection();
    this.tag = 0;
  }

  end(): Lsn {
    this.closeSection();
    this.builder!.endRecord();
    this.builder = undefined;
    this.log.wrote(this.lsn);
    return this.lsn;
  }
}

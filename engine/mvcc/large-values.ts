/**
 * Values too large for a row: cut into chunks under (storage, value id, chunk) and written to the log
 * ahead of the commit, so that a row of 100 MB never is one long turn of the event loop. A value never
 * changes; rows refer to it by id, versions that leave it alone share it, and the log carries it once.
 *
 *     writer --> records of kind `values`, about 240 kB each --> log --> applier --> keyspace `values`
 *            --> `recent`, where readers find it until it is applied
 *
 * The id is the LSN of the value's first record: unique for ever, without a counter. A row that
 * refers to values says so by a bit of its second byte and lists their ids at its end (row-format.ts).
 *
 * Who frees it: the applier, when a version that has it is superseded by one that has not (through
 * the history, so that old snapshots keep it); an abort; a commit whose rows do not refer to it after all.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId } from '../ids.js';
import { writeUint48 } from '../keycode.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { RecordKind, Section } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import { Pending } from '../pending.js';
import type { LargeValueReader, LargeValueWriter } from '../storage.js';
import type { ApplierDriver } from './applier-driver.js';
import { VALUE_CHUNK, VALUE_HEADER, VALUE_KEY, valueKey, verifyChunk } from './row-format.js';
import type { EngineTransaction } from './transaction.js';

/** Bytes per log record: whole chunks. */
const PIECE = 15 * VALUE_CHUNK;
/** Beyond this much written and not applied, the writer has to wait. */
const UNAPPLIED_MAX = 16 << 20;

interface Recent {
  readonly pieces: { readonly from: number; readonly bytes: Uint8Array }[];
}

export class LargeValues implements LargeValueReader {
  /** Values, or what of them, that the key-value store may not have yet. */
  private readonly recent = new Map<number, Recent>();
  private queue: { readonly id: number; readonly lsn: Lsn }[] = [];
  private readonly key = new Uint8Array(VALUE_KEY);

  constructor(
    private readonly kv: KeyValueStore,
    private readonly log: GroupCommit,
    private readonly applier: ApplierDriver,
  ) {}

  open(transaction: EngineTransaction, storage: StorageId): LargeValueWriter {
    return new Writer(this, transaction, storage);
  }

  /** Bytes [offset, offset + length) of a value. */
  read(storage: StorageId, id: number, offset: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    const recent = this.recent.get(id);
    for (let at = 0; at < length; ) {
      const position = offset + at;
      const piece = recent?.pieces.find(({ from, bytes }) => position >= from && position < from + bytes.length);
      let part: Uint8Array;
      if (piece) part = piece.bytes.subarray(position - piece.from, position - piece.from + length - at);
      else {
        const chunk = Math.floor(position / VALUE_CHUNK);
        const start = VALUE_HEADER + position - chunk * VALUE_CHUNK;
        part = this.chunk(storage, id, chunk).subarray(start, start + length - at);
      }
      if (part.length === 0) throw missing(storage, id);
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  private chunk(storage: StorageId, id: number, chunk: number): Uint8Array {
    const key = valueKey(this.key, storage, id, chunk);
    const found = this.kv.get('values', key);
    if (!found) throw missing(storage, id);
    verifyChunk(found, key);
    return found;
  }

  /** Writes one piece to the log; the first one gives the value its id. */
  append(transaction: EngineTransaction, storage: StorageId, id: number, from: number, bytes: Uint8Array): number {
    this.log.checkRoom(bytes.length + (2 << 20));
    const builder = this.log.open();
    const lsn = builder.beginRecord(RecordKind.values, 0, transaction.assignXid());
    const valueId = id || lsn;
    builder.beginSection(Section.value);
    builder.uint48(storage);
    builder.uint48(valueId);
    builder.uint32(from / VALUE_CHUNK);
    builder.bytes(bytes);
    builder.endSection();
    builder.endRecord();
    this.log.wrote(lsn);
    this.log.flushSoon();
    transaction.noteValue(valueId, storage);
    let recent = this.recent.get(valueId);
    if (!recent) this.recent.set(valueId, (recent = { pieces: [] }));
    recent.pieces.push({ from, bytes });
    this.queue.push({ id: valueId, lsn });
    return valueId;
  }

  /** What the key-value store has by now is forgotten here. */
  trim(applied: Lsn): void {
    let done = 0;
    for (; done < this.queue.length && this.queue[done]!.lsn <= applied; done++) {
      const { id } = this.queue[done]!;
      const recent = this.recent.get(id)!;
      recent.pieces.shift();
      if (recent.pieces.length === 0) this.recent.delete(id);
    }
    if (done > 0) this.queue = this.queue.slice(done);
  }

  /** The wait that a writer owes log and applier. */
  pending(): Pending | undefined {
    if (this.applier.queuedBytes + this.log.queuedBytes < UNAPPLIED_MAX) return undefined;
    return new Pending(this.log.drain().then(() => this.applier.drain()), 'IO', 'WALWrite');
  }
}

class Writer implements LargeValueWriter {
  private buffer = new Uint8Array(PIECE);
  private used = 0;
  private flushed = 0;
  private id = 0;

  constructor(
    private readonly values: LargeValues,
    private readonly transaction: EngineTransaction,
    private readonly storage: StorageId,
  ) {}

  write(bytes: Uint8Array): Pending | undefined {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + PIECE - this.used);
      this.buffer.set(part, this.used);
      this.used += part.length;
      at += part.length;
      if (this.used === PIECE) this.flush();
    }
    return this.values.pending();
  }

  finish(): { id: number; length: number } {
    if (this.used > 0 || this.id === 0) this.flush();
    return { id: this.id, length: this.flushed };
  }

  private flush(): void {
    this.id = this.values.append(this.transaction, this.storage, this.id, this.flushed, this.buffer.subarray(0, this.used));
    this.flushed += this.used;
    this.buffer = new Uint8Array(PIECE);
    this.used = 0;
  }
}

function missing(storage: StorageId, id: number): DatabaseError {
  const key = new Uint8Array(12);
  writeUint48(key, 0, storage);
  writeUint48(key, 6, id);
  return new DatabaseError('XX001', 'part of a large value is missing', {
    detail: `Key ${Buffer.from(key).toString('hex')}.`,
    hint: 'The state file is damaged. It can be made anew from the log or a backup.',
  });
}

/**
 * The bytes of the commit log. The log is a stream of batches; an LSN is a position in that stream
 * (bytes of encoded log before the record), the same on every store. All numbers little-endian,
 * except 48-bit ones (u48), which are big-endian as everywhere on disk.
 *
 *     batch header, 64 bytes                       record
 *      0  u32  magic "OXB1"                          0  u32  length, this header included
 *      4  u16  format (2)                            4  u8   kind (RecordKind)
 *      6  u16  flags (0)                             5  u8   flags (commit: 1 = parts precede it)
 *      8  u48  term                                  6  u48  xid
 *     14  u48  LSN of the batch                     12       sections, one after the other:
 *     20  u32  length, this header included                  u8 tag, u32 length, bytes
 *     24  u32  records
 *     28  u48  LSN known durable when written      sections
 *     34  16B  hash of the previous batch            time      f64 microseconds
 *     50  u64  id: (LSN, id) again is idempotent     rows      row operations
 *     58  u16  reserved (0)                          derived   index operations (feeds skip them)
 *     60  u32  CRC-32 of the batch, this field 0     drops     u48 storage ids
 *                                                    prepared  u16 gid length, gid, info
 *                                                    locks     f64 tagA, f64 tagB, u8 modes (locks/lock-table.ts)
 *                                                    value     u48 storage, u48 value id, u32 first chunk, bytes
 *                                                    free      u48 storage, u48 value id: values nothing refers to
 *                                                    xids      u48: subtransactions that wrote ahead and commit with it
 *                                                    message   u16 prefix length, prefix, content
 *     row operations                                 sequence  u48 id, i64 last, u8 called, u32 ahead
 *     1 insert  u48 row, u32 n, n bytes              reserve   u48 next xid, u48 next storage id
 *     2 update  u48 row, u32 n, n bytes              sums      u48 LSN they are of, then per storage
 *     3 delete  u48 row                                        u48 id, f64 count, 4 u32 hash sum
 *     4 storage u48 (of the operations after it)
 *     5 piece   u32 n, n bytes: more of a value too large for one record; the insert or update
 *               that follows in the same transaction has n = 0xFFFFFFFF and takes the pieces
 *
 *     index operations
 *     1 put     u48 row, u16 n, key, u32 m, payload
 *     2 replace likewise: the entry was there before the transaction with another payload
 *     3 delete  u48 row, u16 n, key
 *     4 storage u48
 *     5 packed  u16 length, a block of keys (engine/packed/block.ts): a put without payload of each. Format 1 has none
 */
import * as crypto from 'node:crypto';
import { createHash } from 'node:crypto';
import { assert } from '../errors.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import { forEachPacked } from '../packed/block.js';
import { crc32 } from './checksum.js';

export const BATCH_MAGIC = 0x3142584f;
export const BATCH_FORMAT = 2;
/** The oldest that is read. */
const OLDEST_FORMAT = 1;
export const BATCH_HEADER = 64;
export const RECORD_HEADER = 12;
/** A batch never exceeds this (etcd takes 1.5 MB). */
export const BATCH_MAX = 1 << 20;
/** From here on the whole buffer is taken at once. */
const LARGE_BATCH = 160 << 10;
/** Records are kept below this, so that several fit a batch. */
export const RECORD_TARGET = 256 << 10;
export const PIECES = 0xffffffff;
/** Up to here a loop is faster than the native copy. */
const COPY_LOOP_MAX = 64;
/** The first LSN of a new log: leaves 0 as "none", and looks like PostgreSQL's 0/1000000. */
export const FIRST_LSN = 0x1000000 as Lsn;

export const RecordKind = { commit: 1, part: 2, provisional: 3, abort: 4, system: 5, prepare: 6, values: 7 } as const;
export const Section = { time: 1, rows: 2, derived: 3, drops: 4, message: 5, sequence: 6, reserve: 7, sums: 8, prepared: 9, locks: 10, value: 11, free: 12, xids: 13, predicates: 14 } as const;
export const Op = { insert: 1, update: 2, delete: 3, storage: 4, piece: 5 } as const;
export const IndexOp = { put: 1, replace: 2, delete: 3, storage: 4, packed: 5 } as const;
export const COMMIT_HAS_PARTS = 1;
export const COMMIT_HAS_PROVISIONAL = 2;

/** Without a Hash object, where Node has it (20.12, 21.7): half the time for a small batch. */
const hashAtOnce = (crypto as { hash?: (algorithm: string, data: Uint8Array, encoding: 'buffer') => Buffer }).hash;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A batch begins with room for so much, a small commit. */
const SMALL_BATCH = 2 << 10;

/** Writes records into one growing buffer that becomes a batch. */
export class BatchBuilder {
  private buffer: Uint8Array;
  private view: DataView;
  private position = BATCH_HEADER;
  private recordStart = -1;
  private sectionStart = -1;
  records = 0;

  /** `firstLsn` is where the batch will stand in the log; `bytes`: how long it may become, by the one before. */
  constructor(public firstLsn: Lsn, bytes = 0) {
    // Every byte of it will be written: small ones are cut from Node's pool, uncleared.
    const taken = Buffer.allocUnsafe(Math.min(Math.max(SMALL_BATCH, bytes + (bytes >> 1)), LARGE_BATCH));
    // No Buffer, whose slice would be a view.
    this.buffer = new Uint8Array(taken.buffer, taken.byteOffset, taken.length);
    this.view = viewOf(this.buffer);
  }

  get byteLength(): number {
    return this.position;
  }

  get empty(): boolean {
    return this.records === 0;
  }

  /** LSN after the batch as it is now. */
  get endLsn(): Lsn {
    return (this.firstLsn + this.position) as Lsn;
  }

  /** Bytes in the record being written. */
  get recordLength(): number {
    return this.position - this.recordStart;
  }

  beginRecord(kind: number, flags: number, xid: Xid): Lsn {
    this.reserve(RECORD_HEADER);
    this.recordStart = this.position;
    this.view.setUint8(this.position + 4, kind);
    this.view.setUint8(this.position + 5, flags);
    writeUint48(this.buffer, this.position + 6, xid);
    this.position += RECORD_HEADER;
    return (this.firstLsn + this.recordStart) as Lsn;
  }

  endRecord(): void {
    this.view.setUint32(this.recordStart, this.position - this.recordStart, true);
    this.recordStart = -1;
    this.records++;
  }

  beginSection(tag: number): void {
    this.reserve(5);
    this.buffer[this.position] = tag;
    this.sectionStart = this.position + 1;
    this.position += 5;
  }

  endSection(): void {
    this.view.setUint32(this.sectionStart, this.position - this.sectionStart - 4, true);
  }

  time(micros: number): void {
    this.beginSection(Section.time);
    this.float64(micros);
    this.endSection();
  }

  storage(op: number, storage: StorageId): void {
    this.reserve(7);
    this.buffer[this.position] = op;
    writeUint48(this.buffer, this.position + 1, storage);
    this.position += 7;
  }

  row(op: number, rowId: RowId, tuple: Uint8Array | undefined, pieces: boolean): void {
    this.reserve(11 + (tuple ? tuple.length : 0));
    this.buffer[this.position] = op;
    writeUint48(this.buffer, this.position + 1, rowId);
    this.position += 7;
    if (op === Op.delete) return;
    if (pieces) {
      this.uint32(PIECES);
      return;
    }
    this.view.setUint32(this.position, tuple!.length, true);
    this.buffer.set(tuple!, this.position + 4);
    this.position += 4 + tuple!.length;
  }

  piece(bytes: Uint8Array): void {
    this.reserve(5 + bytes.length);
    this.buffer[this.position++] = Op.piece;
    this.uint32(bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** The key is the first `length` bytes of `key`. */
  indexPut(op: number, rowId: RowId, key: Uint8Array, length: number, payload: Uint8Array): void {
    this.reserve(13 + length + payload.length);
    this.indexKey(op, rowId, key, length);
    this.view.setUint32(this.position, payload.length, true);
    this.buffer.set(payload, this.position + 4);
    this.position += 4 + payload.length;
  }

  indexDelete(rowId: RowId, key: Uint8Array, length: number): void {
    this.reserve(9 + length);
    this.indexKey(IndexOp.delete, rowId, key, length);
  }

  private indexKey(op: number, rowId: RowId, key: Uint8Array, length: number): void {
    this.buffer[this.position] = op;
    writeUint48(this.buffer, this.position + 1, rowId);
    this.view.setUint16(this.position + 7, length, true);
    const { buffer } = this;
    const at = this.position + 9;
    if (length <= COPY_LOOP_MAX) for (let i = 0; i < length; i++) buffer[at + i] = key[i]!;
    else buffer.set(key.length === length ? key : key.subarray(0, length), at);
    this.position = at + length;
  }

  message(prefix: string, content: Uint8Array): void {
    const name = encoder.encode(prefix);
    this.beginSection(Section.message);
    this.reserve(2 + name.length + content.length);
    this.view.setUint16(this.position, name.length, true);
    this.buffer.set(name, this.position + 2);
    this.buffer.set(content, this.position + 2 + name.length);
    this.position += 2 + name.length + content.length;
    this.endSection();
  }

  uint48(value: number): void {
    this.reserve(6);
    writeUint48(this.buffer, this.position, value);
    this.position += 6;
  }

  uint16(value: number): void {
    this.reserve(2);
    this.view.setUint16(this.position, value, true);
    this.position += 2;
  }

  uint32(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.position, value, true);
    this.position += 4;
  }

  uint8(value: number): void {
    this.reserve(1);
    this.buffer[this.position++] = value;
  }

  int64(value: bigint): void {
    this.reserve(8);
    this.view.setBigInt64(this.position, value, true);
    this.position += 8;
  }

  float64(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.position, value, true);
    this.position += 8;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  /** Completes the header. The batch is a view into the builder's buffer, which is not used again. */
  finish(term: number, durable: Lsn, previousHash: Uint8Array, id: number): Uint8Array {
    assert(this.position <= BATCH_MAX, `batch of ${this.position} bytes`);
    const { buffer, view } = this;
    view.setUint32(0, BATCH_MAGIC, true);
    view.setUint16(4, BATCH_FORMAT, true);
    view.setUint16(6, 0, true);
    writeUint48(buffer, 8, term);
    writeUint48(buffer, 14, this.firstLsn);
    view.setUint32(20, this.position, true);
    view.setUint32(24, this.records, true);
    writeUint48(buffer, 28, durable);
    buffer.set(previousHash, 34);
    view.setUint32(50, id >>> 0, true);
    view.setUint32(54, Math.floor(id / 2 ** 32), true);
    view.setUint16(58, 0, true);
    view.setUint32(60, 0, true);
    const batch = buffer.subarray(0, this.position);
    view.setUint32(60, crc32(batch), true);
    return batch;
  }

  private reserve(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.buffer.length) return;
    // A batch that grows this far is of a load, and will be as long as a batch can be: it is copied once.
    const grown = new Uint8Array(Math.max(needed, needed > LARGE_BATCH ? BATCH_MAX : this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.position));
    this.buffer = grown;
    this.view = viewOf(grown);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export interface BatchHeader {
  readonly term: number;
  readonly firstLsn: Lsn;
  readonly byteLength: number;
  readonly records: number;
  readonly durable: Lsn;
  readonly previousHash: Uint8Array;
  readonly id: number;
}

const isKnown = (format: number): boolean => format >= OLDEST_FORMAT && format <= BATCH_FORMAT;

/** Reads and verifies the batch at `offset`; undefined when there is no whole, valid one. */
export function readBatchHeader(bytes: Uint8Array, offset = 0): BatchHeader | undefined {
  if (bytes.length - offset < BATCH_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, bytes.length - offset);
  if (view.getUint32(0, true) !== BATCH_MAGIC || !isKnown(view.getUint16(4, true))) return undefined;
  const byteLength = view.getUint32(20, true);
  if (byteLength < BATCH_HEADER || byteLength > BATCH_MAX || byteLength > bytes.length - offset) return undefined;
  // A Buffer's slice would be a view.
  const copy = Uint8Array.prototype.slice.call(bytes, offset, offset + byteLength) as Uint8Array;
  new DataView(copy.buffer, copy.byteOffset).setUint32(60, 0, true);
  if (crc32(copy) !== view.getUint32(60, true)) return undefined;
  return {
    term: readUint48(copy, 8),
    firstLsn: readUint48(copy, 14) as Lsn,
    byteLength,
    records: view.getUint32(24, true),
    durable: readUint48(copy, 28) as Lsn,
    previousHash: copy.slice(34, 50),
    id: view.getUint32(50, true) + view.getUint32(54, true) * 2 ** 32,
  };
}

/** What the next batch's header carries. */
export function batchHash(batch: Uint8Array): Uint8Array {
  return (hashAtOnce ? hashAtOnce('sha256', batch, 'buffer') : createHash('sha256').update(batch).digest()).subarray(0, 16);
}

export function batchFirstLsn(batch: Uint8Array): Lsn {
  return readUint48(batch, 14) as Lsn;
}

/** A position in a batch that steps from record to record and from section to section, without allocation. */
export class RecordReader {
  private view: DataView = new DataView(new ArrayBuffer(0));
  private batch: Uint8Array = new Uint8Array(0);
  private next = 0;
  private batchLsn = 0;
  lsn = 0 as Lsn;
  kind = 0;
  flags = 0;
  xid = 0 as Xid;
  /** Bounds of the record's sections in the batch. */
  start = 0;
  end = 0;
  /** The current section. */
  tag = 0;
  sectionStart = 0;
  sectionEnd = 0;

  /** Positions before the record at `offset` (by default the first). */
  open(batch: Uint8Array, offset = BATCH_HEADER): this {
    this.batch = batch;
    this.view = new DataView(batch.buffer, batch.byteOffset, batch.length);
    this.batchLsn = readUint48(batch, 14);
    this.next = offset;
    return this;
  }

  /** Where the next record begins: `open` with it resumes there. */
  get nextOffset(): number {
    return this.next;
  }

  nextRecord(): boolean {
    if (this.next >= this.batch.length) return false;
    const at = this.next;
    const length = this.view.getUint32(at, true);
    assert(length >= RECORD_HEADER && at + length <= this.batch.length, 'log record out of bounds');
    this.lsn = (this.batchLsn + at) as Lsn;
    this.kind = this.batch[at + 4]!;
    this.flags = this.batch[at + 5]!;
    this.xid = readUint48(this.batch, at + 6) as Xid;
    this.start = at + RECORD_HEADER;
    this.end = at + length;
    this.next = this.end;
    this.sectionEnd = this.start;
    return true;
  }

  nextSection(): boolean {
    const at = this.sectionEnd;
    if (at >= this.end) return false;
    this.tag = this.batch[at]!;
    this.sectionStart = at + 5;
    this.sectionEnd = this.sectionStart + this.view.getUint32(at + 1, true);
    return true;
  }

  time(): number {
    return this.view.getFloat64(this.sectionStart, true);
  }

  message(): { prefix: string; content: Uint8Array } {
    const length = this.view.getUint16(this.sectionStart, true);
    const at = this.sectionStart + 2;
    return { prefix: decoder.decode(this.batch.subarray(at, at + length)), content: this.batch.slice(at + length, this.sectionEnd) };
  }

  uint48(offset: number): number {
    return readUint48(this.batch, offset);
  }

  bytes(start: number, end: number): Uint8Array {
    return this.batch.subarray(start, end);
  }

  uint32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  uint16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  float64(offset: number): number {
    return this.view.getFloat64(offset, true);
  }

  int64(offset: number): bigint {
    return this.view.getBigInt64(offset, true);
  }

  uint8(offset: number): number {
    return this.batch[offset]!;
  }

  /** Calls back for each row operation of the current section. `pieces` true: the tuple is what `piece` calls gave before. */
  rows(visit: RowVisitor): void {
    const { batch, view } = this;
    let at = this.sectionStart;
    let storage = 0 as StorageId;
    while (at < this.sectionEnd) {
      const op = batch[at]!;
      if (op === Op.storage) {
        storage = readUint48(batch, at + 1) as StorageId;
        at += 7;
      } else if (op === Op.piece) {
        const length = view.getUint32(at + 1, true);
        visit.piece(batch.subarray(at + 5, at + 5 + length));
        at += 5 + length;
      } else {
        const rowId = readUint48(batch, at + 1) as RowId;
        at += 7;
        if (op === Op.delete) visit.row(op, storage, rowId, undefined, false);
        else {
          const length = view.getUint32(at, true);
          at += 4;
          if (length === PIECES) visit.row(op, storage, rowId, undefined, true);
          else {
            if (op === Op.insert && visit.insertAt) visit.insertAt(storage, rowId, batch, view, at, at + length);
            else visit.row(op, storage, rowId, batch.subarray(at, at + length), false);
            at += length;
          }
        }
      }
    }
  }

  /** Calls back for each index operation of the current section; `payload` undefined is a delete. */
  derived(visit: IndexVisitor): void {
    const { batch, view } = this;
    let at = this.sectionStart;
    let index = 0 as StorageId;
    while (at < this.sectionEnd) {
      const op = batch[at]!;
      if (op === IndexOp.storage) {
        index = readUint48(batch, at + 1) as StorageId;
        at += 7;
        continue;
      }
      if (op === IndexOp.packed) {
        const start = at + 3;
        at = start + view.getUint16(at + 1, true);
        if (visit.packed) visit.packed(index, batch.subarray(start, at));
        else forEachPacked(batch.subarray(start, at), (key, rowId) => visit.index(IndexOp.put, index, key, rowId as RowId, NO_PAYLOAD));
        continue;
      }
      const rowId = readUint48(batch, at + 1) as RowId;
      const keyEnd = at + 9 + view.getUint16(at + 7, true);
      const key = batch.subarray(at + 9, keyEnd);
      at = keyEnd;
      if (op === IndexOp.delete) visit.index(op, index, key, rowId, undefined);
      else {
        const end = at + 4 + view.getUint32(at, true);
        visit.index(op, index, key, rowId, batch.subarray(at + 4, end));
        at = end;
      }
    }
  }
}

export interface RowVisitor {
  row(op: number, storage: StorageId, rowId: RowId, tuple: Uint8Array | undefined, pieces: boolean): void;
  /** An inserted row where its tuple lies, [start, end) of `bytes`, of which `view` is a view; where this is missing, `row` is called. */
  insertAt?(storage: StorageId, rowId: RowId, bytes: Uint8Array, view: DataView, start: number, end: number): void;
  piece(bytes: Uint8Array): void;
}

export interface IndexVisitor {
  index(op: number, index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array | undefined): void;
  /** Many puts without payload, as a block of keys; where this is missing, `index` is called for each. */
  packed?(index: StorageId, keys: Uint8Array): void;
}

const NO_PAYLOAD = new Uint8Array(0);

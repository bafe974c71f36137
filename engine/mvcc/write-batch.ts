/**
 * Rows or entries that one statement adds to one storage, kept as the bytes that the log will have: no object per row, in the
 * write set, at commit, or in the overlay. Whoever reads the storage meanwhile has it taken apart into single writes
 * (`apart`), which is what it would have been without; most batches are never read before they are applied.
 */
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import { IndexOp, Op } from '../log/batch.js';
import { entryKey } from './row-format.js';
import { IndexWrite, RowWrite, WRITE_OVERHEAD } from './write.js';
import type { Write } from './write.js';

const FIRST_BYTES = 1 << 10;
const FULL_BYTES = 48 << 10;
const FIRST_HASHES = 256;
/** Where the first operation's row id stands, behind the storage. */
const FIRST_ROW = 8;

/** Operations of one section, encoded as engine/log/batch.ts draws them. */
export class Operations {
  private view: DataView;
  length = 0;
  storage = -1;

  constructor(public buffer: Uint8Array) {
    this.view = new DataView(buffer.buffer);
  }

  clear(): void {
    this.length = 0;
    this.storage = -1;
  }

  private reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.length + bytes, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }

  private of(op: number, storage: StorageId): void {
    if (this.storage === storage) return;
    this.storage = storage;
    this.buffer[this.length] = op;
    writeUint48(this.buffer, this.length + 1, storage);
    this.length += 7;
  }

  row(storage: StorageId, rowId: RowId, bytes: Uint8Array, length: number): void {
    this.reserve(18 + length);
    this.of(Op.storage, storage);
    const at = this.length;
    this.buffer[at] = Op.insert;
    writeUint48(this.buffer, at + 1, rowId);
    this.view.setUint32(at + 7, length, true);
    copy(bytes, 0, this.buffer, at + 11, length);
    this.length = at + 11 + length;
  }

  entry(index: StorageId, keys: Uint8Array, start: number, length: number, rowId: RowId, payload: Uint8Array): void {
    this.reserve(20 + length + payload.length);
    this.of(IndexOp.storage, index);
    const at = this.length;
    this.buffer[at] = IndexOp.put;
    writeUint48(this.buffer, at + 1, rowId);
    this.view.setUint16(at + 7, length, true);
    copy(keys, start, this.buffer, at + 9, length);
    this.view.setUint32(at + 9 + length, payload.length, true);
    copy(payload, 0, this.buffer, at + 13 + length, payload.length);
    this.length = at + 13 + length + payload.length;
  }

  /** `block`: keys as engine/packed/block.ts has them. */
  packed(index: StorageId, block: Uint8Array, length: number): void {
    this.reserve(10 + length);
    this.of(IndexOp.storage, index);
    const at = this.length;
    this.buffer[at] = IndexOp.packed;
    this.view.setUint16(at + 1, length, true);
    copy(block, 0, this.buffer, at + 3, length);
    this.length = at + 3 + length;
  }
}

/** A loop for what is short: a native call, and the view that it needs, cost as much as 120 bytes of it. */
function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, length: number): void {
  if (length <= 128) for (let i = 0; i < length; i++) to[at + i] = from[start + i]!;
  else to.set(start === 0 && length === from.length ? from : from.subarray(start, start + length), at);
}

/** A write, or many. */
export type Change = Write | WriteBatch;

export class WriteBatch {
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  count = 0;
  /** What its writes would take in memory, one by one. */
  cost = 0;
  private readonly operations = new Operations(new Uint8Array(FIRST_BYTES));
  private singles: Write[] | undefined;
  private sealed = false;
  /** Written to the log ahead of the commit (staging.ts). */
  streamed = false;
  private lastRow = 0;
  /** Hashes of its keys, for who asks about one: open addressing, 0 is free. */
  private hashes: Int32Array | undefined;
  private hashed = 0;

  constructor(readonly storage: StorageId, readonly isRow: boolean, readonly command: CommandId, readonly sub: SubId) {}

  /** As a section of the log has it, the storage included. */
  get bytes(): Uint8Array {
    return this.operations.buffer.subarray(0, this.operations.length);
  }

  get length(): number {
    return this.operations.length;
  }

  /** It takes no more. */
  get full(): boolean {
    return this.sealed || this.operations.length > FULL_BYTES;
  }

  seal(): void {
    this.sealed = true;
  }

  /** What it adds to `cost`. */
  row(rowId: RowId, bytes: Uint8Array, length: number): number {
    this.operations.row(this.storage, rowId, bytes, length);
    this.lastRow = rowId;
    return this.added(WRITE_OVERHEAD + length);
  }

  entry(key: Uint8Array, length: number, rowId: RowId, payload: Uint8Array): number {
    this.operations.entry(this.storage, key, 0, length, rowId, payload);
    if (this.hashes) this.noteKey(key, length);
    return this.added(WRITE_OVERHEAD + length + 6 + payload.length);
  }

  private added(cost: number): number {
    this.count++;
    this.cost += cost;
    return cost;
  }

  /** Ids of the first and the last row; they ascend. */
  get rowRange(): readonly [RowId, RowId] {
    return [readUint48(this.operations.buffer, FIRST_ROW) as RowId, this.lastRow as RowId];
  }

  /** False: the row is not among its rows. Their ids ascend. */
  mayHaveRow(rowId: RowId): boolean {
    return rowId <= this.lastRow && rowId >= readUint48(this.operations.buffer, FIRST_ROW);
  }

  /** False: no entry of it has this key. */
  mayHaveKey(key: Uint8Array): boolean {
    if (!this.hashes) {
      this.hashes = new Int32Array(FIRST_HASHES);
      this.forEachEntry((own) => this.noteKey(own, own.length));
    }
    const { hashes } = this;
    const mask = hashes.length - 1;
    const hash = hashKey(key, key.length);
    for (let slot = hash & mask; hashes[slot] !== 0; slot = (slot + 1) & mask) if (hashes[slot] === hash) return true;
    return false;
  }

  private noteKey(key: Uint8Array, length: number): void {
    if (++this.hashed * 2 > this.hashes!.length) {
      const old = this.hashes!;
      this.hashes = new Int32Array(old.length * 4);
      for (const hash of old) if (hash !== 0) this.noteHash(hash);
    }
    this.noteHash(hashKey(key, length));
  }

  private noteHash(hash: number): void {
    const hashes = this.hashes!;
    const mask = hashes.length - 1;
    let slot = hash & mask;
    while (hashes[slot] !== 0) slot = (slot + 1) & mask;
    hashes[slot] = hash;
  }

  /** Its single writes, made when it is first taken apart; undefined until then. */
  get writes(): readonly Write[] | undefined {
    return this.singles;
  }

  apart(): readonly Write[] {
    if (this.singles) return this.singles;
    const singles: Write[] = [];
    const { storage, command, sub, lsn, xid, streamed } = this;
    const add = (write: Write): void => {
      write.lsn = lsn;
      write.xid = xid;
      write.streamed = streamed;
      singles.push(write);
    };
    if (this.isRow) this.forEachRow((rowId, tuple) => add(new RowWrite(storage, rowId, tuple, command, sub, true, undefined)));
    else this.forEachEntry((key, rowId, payload) => add(new IndexWrite(storage, entryKey(key, rowId), rowId, payload, command, sub, true, undefined)));
    return (this.singles = singles);
  }

  forEachRow(visit: (rowId: RowId, tuple: Uint8Array) => void): void {
    const { bytes } = this;
    const view = new DataView(bytes.buffer, 0, bytes.length);
    for (let at = 7; at < bytes.length; ) {
      const length = view.getUint32(at + 7, true);
      visit(readUint48(bytes, at + 1) as RowId, bytes.subarray(at + 11, at + 11 + length));
      at += 11 + length;
    }
  }

  forEachEntry(visit: (key: Uint8Array, rowId: RowId, payload: Uint8Array) => void): void {
    const { bytes } = this;
    const view = new DataView(bytes.buffer, 0, bytes.length);
    for (let at = 7; at < bytes.length; ) {
      const key = view.getUint16(at + 7, true);
      const payload = view.getUint32(at + 9 + key, true);
      const end = at + 13 + key + payload;
      visit(bytes.subarray(at + 9, at + 9 + key), readUint48(bytes, at + 1) as RowId, bytes.subarray(at + 13 + key, end));
      at = end;
    }
  }
}

/** Never 0. */
function hashKey(key: Uint8Array, length: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < length; i++) h = Math.imul(h ^ key[i]!, 0x01000193);
  h ^= h >>> 15;
  return h === 0 ? 1 : h;
}

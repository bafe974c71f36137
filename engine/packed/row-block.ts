/**
 * A block of rows where it is stored: rows of one load whose ids differ in their last three bits only. It stands in `heap` behind the
 * place of the last of them, under a key that can be told from any row's id, so that a row is found with one look-up and no search:
 *
 *     heap   (storage, row 16) (storage, row 18) (storage, row 16 | 7, 255) -> block of some of 17, 19 ... 23
 *
 * What stands in a block is drawn in engine/mvcc/row-format.ts. Its rows are all alike but for their tuples: as inserted, without a past.
 */
import { writeUint48 } from '../keycode.js';
import { Flag, HEAP_KEY, ROW_BLOCK_HEADER, ROW_HEADER, checkRowBlock, readUint32, sealRow, writeUint32 } from '../mvcc/row-format.js';
import { slabCopy } from '../slab.js';

/** Rows of a block at most: a group of row ids. */
export const GROUP_ROWS = 8;
export const BLOCK_KEY = HEAP_KEY + 1;
/** So long a block is at most: three to a page of 4 kB. */
export const ROW_BLOCK_MAX = 1334;
/** Fewer rows are better off alone. */
export const ROW_BLOCK_LEAST = 3;
const BEHIND = 255;

/** The key of the block that a row may be in: the row's key is at `start`. */
export function rowBlockKey(into: Uint8Array, key: Uint8Array, start = 0): Uint8Array {
  for (let i = 0; i < HEAP_KEY; i++) into[i] = key[start + i]!;
  into[HEAP_KEY - 1]! |= GROUP_ROWS - 1;
  into[HEAP_KEY] = BEHIND;
  return into;
}

/** Whether two keys of rows, or blocks of rows, are of one group. */
export function sameGroup(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): boolean {
  if ((a[aStart + HEAP_KEY - 1]! | (GROUP_ROWS - 1)) !== (b[bStart + HEAP_KEY - 1]! | (GROUP_ROWS - 1))) return false;
  for (let i = HEAP_KEY - 2; i >= 0; i--) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

const scratch = new Uint8Array(HEAP_KEY + ROW_BLOCK_MAX);
const scratchView = new DataView(scratch.buffer);

/** A block, opened where it lies. */
export class RowBlockView {
  private bytes: Uint8Array = new Uint8Array(0);
  private start = 0;
  private readonly key = new Uint8Array(HEAP_KEY);
  /** Bit i: the group's row i is in it. */
  rows = 0;
  private tuples = 0;
  private view = new DataView(this.bytes.buffer);

  /** False: it is damaged. */
  open(keys: Uint8Array, keyStart: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start <= ROW_BLOCK_HEADER || readUint32(bytes, start + 13) !== checkRowBlock(bytes, start, end, keys, keyStart, keyStart + BLOCK_KEY)) return false;
    if (bytes.buffer !== this.bytes.buffer || bytes.byteOffset !== this.bytes.byteOffset || bytes.length !== this.bytes.length) this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.bytes = bytes;
    this.start = start;
    this.rows = bytes[start + ROW_HEADER]!;
    for (let i = 0; i < HEAP_KEY; i++) this.key[i] = keys[keyStart + i]!;
    this.tuples = start + ROW_BLOCK_HEADER + 2 * countBits(this.rows);
    return this.tuples + this.endOf(countBits(this.rows) - 1) === end;
  }

  /** Where the nth tuple ends, from the first one's beginning. */
  private endOf(n: number): number {
    if (n < 0) return 0;
    const at = this.start + ROW_BLOCK_HEADER + 2 * n;
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  has(row: number): boolean {
    return (this.rows & (1 << row)) !== 0;
  }

  /** Writes a row's key and, behind it, its value, as if it stood alone; returns where it ends. */
  into(row: number, out: Uint8Array, outView: DataView, at: number): number {
    const { bytes, start } = this;
    const n = countBits(this.rows & ((1 << row) - 1));
    const value = at + HEAP_KEY;
    for (let i = 0; i < HEAP_KEY; i++) out[at + i] = this.key[i]!;
    out[value - 1] = (this.key[HEAP_KEY - 1]! & ~(GROUP_ROWS - 1)) | row;
    for (let i = 0; i < 13; i++) out[value + i] = bytes[start + i]!;
    out[value] = bytes[start]! & ~Flag.block;
    return sealRow(out, outView, at, value, this.view, this.tuples + this.endOf(n - 1), this.tuples + this.endOf(n));
  }

  /** As `into` at the beginning of `out`, without the row's check: the block's was right. */
  copyInto(row: number, out: Uint8Array, outView: DataView): number {
    const { bytes, start, view } = this;
    const n = countBits(this.rows & ((1 << row) - 1));
    for (let i = 0; i < HEAP_KEY; i++) out[i] = this.key[i]!;
    out[HEAP_KEY - 1] = (this.key[HEAP_KEY - 1]! & ~(GROUP_ROWS - 1)) | row;
    for (let i = 0; i < 13; i++) out[HEAP_KEY + i] = bytes[start + i]!;
    out[HEAP_KEY] = bytes[start]! & ~Flag.block;
    let to = HEAP_KEY + ROW_HEADER;
    let from = this.tuples + this.endOf(n - 1);
    const end = this.tuples + this.endOf(n);
    for (const last = end - 3; from < last; from += 4, to += 4) outView.setInt32(to, view.getInt32(from, true), true);
    for (; from < end; from++, to++) out[to] = bytes[from]!;
    return to;
  }

  /** A row's key and value, as copies. */
  entry(row: number): { key: Uint8Array; value: Uint8Array } {
    const end = this.into(row, scratch, scratchView, 0);
    return { key: slabCopy(scratch, 0, HEAP_KEY), value: slabCopy(scratch, HEAP_KEY, end) };
  }

  valueOf(row: number): Uint8Array {
    return slabCopy(scratch, HEAP_KEY, this.into(row, scratch, scratchView, 0));
  }

  /** The block without what is not in `rows`, as a value under its key. */
  keeping(rows: number): Uint8Array {
    const { bytes, start } = this;
    const kept: [number, number][] = [];
    for (let row = 0, n = 0; row < GROUP_ROWS; row++) {
      if (!this.has(row)) continue;
      if (rows & (1 << row)) kept.push([this.tuples + this.endOf(n - 1), this.tuples + this.endOf(n)]);
      n++;
    }
    const value = new Uint8Array(ROW_BLOCK_HEADER + 2 * kept.length + kept.reduce((sum, [from, to]) => sum + to - from, 0));
    value.set(bytes.subarray(start, start + ROW_BLOCK_HEADER));
    let end = 0;
    let at = ROW_BLOCK_HEADER + 2 * kept.length;
    kept.forEach(([from, to], n) => {
      end += to - from;
      value[ROW_BLOCK_HEADER + 2 * n] = end >>> 8;
      value[ROW_BLOCK_HEADER + 2 * n + 1] = end;
      value.set(bytes.subarray(from, to), at);
      at += to - from;
    });
    value[ROW_HEADER] = rows & this.rows;
    const key = new Uint8Array(BLOCK_KEY);
    rowBlockKey(key, this.key);
    writeUint32(value, 13, checkRowBlock(value, 0, value.length, key, 0, BLOCK_KEY));
    return value;
  }
}

/** Gathers rows of one group, of one record. */
export class RowGatherer {
  private readonly tuples = new Uint8Array(ROW_BLOCK_MAX);
  private readonly value = new Uint8Array(ROW_BLOCK_MAX);
  private readonly ends = new Uint16Array(GROUP_ROWS);
  private readonly key = new Uint8Array(BLOCK_KEY);
  storage = -1;
  private group = -1;
  private last = -1;
  private used = 0;
  count = 0;
  private rows = 0;

  /** Whether the row belongs behind those gathered. */
  continues(storage: number, rowId: number): boolean {
    return this.group === Math.floor(rowId / GROUP_ROWS) && this.storage === storage && rowId > this.last;
  }

  begin(storage: number, rowId: number): void {
    this.storage = storage;
    this.group = Math.floor(rowId / GROUP_ROWS);
    this.used = this.count = this.rows = 0;
    this.last = -1;
  }

  /** False: it does not fit. Ids ascend. */
  add(rowId: number, bytes: Uint8Array, start: number, end: number): boolean {
    this.last = rowId;
    const length = end - start;
    if (ROW_BLOCK_HEADER + 2 * (this.count + 1) + this.used + length > ROW_BLOCK_MAX) return false;
    this.tuples.set(bytes.subarray(start, end), this.used);
    this.used += length;
    this.ends[this.count++] = this.used;
    this.rows |= 1 << (rowId - this.group * GROUP_ROWS);
    return true;
  }

  /** Hands out the rows one by one. */
  forEach(visit: (rowId: number, tuple: Uint8Array) => void): void {
    for (let row = 0, n = 0; row < GROUP_ROWS; row++) {
      if (!(this.rows & (1 << row))) continue;
      visit(this.group * GROUP_ROWS + row, this.tuples.subarray(n === 0 ? 0 : this.ends[n - 1]!, this.ends[n]!));
      n++;
    }
  }

  /** The block's key and value, valid until the next. */
  finish(flags: number, stamp: number, xid: number): { key: Uint8Array; value: Uint8Array } {
    const { value, key, count, ends } = this;
    writeUint48(key, 0, this.storage);
    writeUint48(key, 6, this.group * GROUP_ROWS + GROUP_ROWS - 1);
    key[HEAP_KEY] = BEHIND;
    value[0] = flags | Flag.block;
    writeUint48(value, 1, stamp);
    writeUint48(value, 7, xid);
    value[ROW_HEADER] = this.rows;
    let at = ROW_BLOCK_HEADER;
    for (let n = 0; n < count; n++) {
      value[at++] = ends[n]! >>> 8;
      value[at++] = ends[n]!;
    }
    value.set(this.tuples.subarray(0, this.used), at);
    const end = at + this.used;
    writeUint32(value, 13, checkRowBlock(value, 0, end, key, 0, BLOCK_KEY));
    return { key, value: value.subarray(0, end) };
  }

  clear(): void {
    this.group = this.storage = -1;
    this.count = this.used = this.rows = 0;
  }
}

export function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Which of its group a row is. */
export const rowInGroup = (key: Uint8Array, start = 0): number => key[start + HEAP_KEY - 1]! & (GROUP_ROWS - 1);

/**
 * Many keys of one index in a block of bytes, in ascending order and found by binary search: nothing is decoded but what is
 * looked at. A key here is what stands behind the index's id in the keyspace `index`: the index key and the row id (u48).
 *
 *     u8   shape: 0 all keys are equally long, 1 they are not
 *     u16  number of keys, at least 1
 *     u16  length of the prefix that all of them share
 *
 *     shape 0: u8 bytes of a suffix, u8 bytes of a row id's distance, u48 least row id,
 *              prefix, the suffixes, the distances of the row ids from the least one
 *     shape 1: prefix, per key u16 where its rest ends, the rests (suffix and row id)
 *
 * The same bytes stand in the log (engine/log/batch.ts) and, behind a head, in the state (store.ts).
 */
import { DatabaseError } from '../errors.js';
import { readUint48, writeUint48 } from '../keycode.js';

/** So long a block is at most: four to a page of 4 kB, and a look-up checks all of it. */
export const BLOCK_MAX = 940;
/** Longer keys (row id included) are better off alone. */
export const PACKED_KEY_MAX = 128;
/** Fewer keys are better off alone. */
export const BLOCK_LEAST = 4;

const FIXED = 0;
const VARIED = 1;
const HEAD = 5;
const FIXED_HEAD = HEAD + 8;
const ROW_ID = 6;

/** Gathers keys that ascend into blocks. Bytes handed over are copied. */
export class BlockPacker {
  count = 0;
  /** The block that `finish` made; valid until the next. */
  readonly bytes = new Uint8Array(BLOCK_MAX);
  private keys = new Uint8Array(8 << 10);
  private used = 0;
  private rowIds = new Float64Array(1024);
  private ends = new Uint32Array(1024);
  /** Length of the first key, and whether the others have it, too. */
  private keyLength = 0;
  private fixed = true;
  private prefix = 0;
  private leastRow = 0;
  private greatestRow = 0;
  /** Lengths of all keys. */
  private total = 0;

  /** Takes the key (without row id) at `keys[start, start + length)`. False, with nothing done: it has no place in this block any more, or does not come behind the last. */
  add(keys: Uint8Array, start: number, length: number, rowId: number): boolean {
    if (this.count === 0) {
      if (length + ROW_ID > PACKED_KEY_MAX) return false;
      this.keyLength = this.prefix = length;
      this.fixed = true;
      this.leastRow = this.greatestRow = rowId;
      this.total = 0;
      this.used = 0;
    } else if (!this.fits(keys, start, length, rowId)) return false;
    if (this.used + length > this.keys.length) {
      const grown = new Uint8Array(this.keys.length * 2);
      grown.set(this.keys.subarray(0, this.used));
      this.keys = grown;
    }
    const own = this.keys;
    for (let i = 0, at = this.used; i < length; i++) own[at + i] = keys[start + i]!;
    this.used += length;
    this.total += length;
    this.rowIds[this.count] = rowId;
    this.ends[this.count++] = this.used;
    return true;
  }

  private fits(keys: Uint8Array, start: number, length: number, rowId: number): boolean {
    const { keys: own, count } = this;
    if (count === this.ends.length || length + ROW_ID > PACKED_KEY_MAX) return false;
    const before = count === 1 ? 0 : this.ends[count - 2]!;
    const lastLength = this.used - before;
    const common = Math.min(length, lastLength);
    let i = 0;
    while (i < common && own[before + i] === keys[start + i]) i++;
    // A key that begins with another one is not told from it by the row id's bytes alone: those stay apart.
    if (i < common) {
      if (own[before + i]! > keys[start + i]!) return false;
    } else if (length !== lastLength || this.rowIds[count - 1]! >= rowId) return false;
    const prefix = Math.min(this.prefix, i);
    const fixed = this.fixed && length === this.keyLength;
    const least = Math.min(this.leastRow, rowId);
    const greatest = Math.max(this.greatestRow, rowId);
    const size = fixed
      ? FIXED_HEAD + prefix + (count + 1) * (length - prefix + bytesFor(greatest - least))
      : HEAD + prefix + this.total + length + (count + 1) * (2 + ROW_ID - prefix);
    if (size > BLOCK_MAX) return false;
    this.prefix = prefix;
    this.fixed = fixed;
    this.leastRow = least;
    this.greatestRow = greatest;
    return true;
  }

  /** Makes the block of what was added, in `bytes`; returns its length. The next key begins another one. */
  finish(): number {
    const { bytes, keys, count, prefix, fixed } = this;
    bytes[0] = fixed ? FIXED : VARIED;
    bytes[1] = count >>> 8;
    bytes[2] = count;
    bytes[3] = prefix >>> 8;
    bytes[4] = prefix;
    let at = fixed ? FIXED_HEAD : HEAD;
    for (let i = 0; i < prefix; i++) bytes[at++] = keys[i]!;
    at = fixed ? this.finishFixed(at) : this.finishVaried(at + 2 * count, at);
    this.count = 0;
    return at;
  }

  private finishFixed(start: number): number {
    const { bytes, keys, rowIds, count, prefix, keyLength, leastRow } = this;
    const width = keyLength - prefix;
    const rowWidth = bytesFor(this.greatestRow - leastRow);
    bytes[HEAD] = width;
    bytes[HEAD + 1] = rowWidth;
    writeUint48(bytes, HEAD + 2, leastRow);
    let at = start;
    for (let i = 0, from = prefix; i < count; i++, from += keyLength) for (let n = 0; n < width; n++) bytes[at++] = keys[from + n]!;
    for (let i = 0; i < count; i++) {
      let distance = rowIds[i]! - leastRow;
      for (let n = rowWidth - 1; n >= 0; n--) {
        bytes[at + n] = distance & 0xff;
        distance = n > 0 ? Math.floor(distance / 256) : 0;
      }
      at += rowWidth;
    }
    return at;
  }

  private finishVaried(start: number, ends: number): number {
    const { bytes, keys, rowIds, count, prefix } = this;
    let at = start;
    for (let i = 0, from = 0; i < count; i++) {
      const end = this.ends[i]!;
      for (let n = from + prefix; n < end; n++) bytes[at++] = keys[n]!;
      writeUint48(bytes, at, rowIds[i]!);
      at += ROW_ID;
      const rest = at - start;
      bytes[ends + 2 * i] = rest >>> 8;
      bytes[ends + 2 * i + 1] = rest;
      from = end;
    }
    return at;
  }
}

/** A block where it lies. `open` before anything else. */
export class BlockView {
  count = 0;
  bytes: Uint8Array = new Uint8Array(0);
  private shape = 0;
  private prefix = 0;
  private prefixAt = 0;
  private width = 0;
  private rowWidth = 0;
  private leastRow = 0;
  /** Shape 0: the suffixes and the distances; shape 1: where rests end, and the rests. */
  private suffixes = 0;
  private rows = 0;
  /** Length of the longest key that it can have. */
  keyMax = 0;

  /** Throws XX001 when the bytes are no block. */
  open(bytes: Uint8Array, start: number, end: number): this {
    this.bytes = bytes;
    if (end - start < HEAD) throw damagedBlock();
    this.shape = bytes[start]!;
    const count = (this.count = (bytes[start + 1]! << 8) | bytes[start + 2]!);
    const prefix = (this.prefix = (bytes[start + 3]! << 8) | bytes[start + 4]!);
    if (count === 0) throw damagedBlock();
    if (this.shape === FIXED) {
      if (end - start < FIXED_HEAD) throw damagedBlock();
      this.width = bytes[start + HEAD]!;
      this.rowWidth = bytes[start + HEAD + 1]!;
      this.leastRow = readUint48(bytes, start + HEAD + 2);
      this.prefixAt = start + FIXED_HEAD;
      this.suffixes = this.prefixAt + prefix;
      this.rows = this.suffixes + count * this.width;
      this.keyMax = prefix + this.width + ROW_ID;
      if (this.rowWidth > ROW_ID || this.rows + count * this.rowWidth !== end) throw damagedBlock();
    } else {
      this.prefixAt = start + HEAD;
      this.suffixes = this.prefixAt + prefix;
      this.rows = this.suffixes + 2 * count;
      if (this.shape !== VARIED || this.rows > end || this.rows + this.restEnd(count - 1) !== end) throw damagedBlock();
      for (let i = 0, from = 0; i < count; i++) {
        const to = this.restEnd(i);
        if (to - from < ROW_ID) throw damagedBlock();
        from = to;
      }
      this.keyMax = prefix + (end - this.rows);
    }
    return this;
  }

  private restEnd(i: number): number {
    return (this.bytes[this.suffixes + 2 * i]! << 8) | this.bytes[this.suffixes + 2 * i + 1]!;
  }

  /** Length of key `i`, row id included. */
  keyLength(i: number): number {
    return this.shape === FIXED ? this.prefix + this.width + ROW_ID : this.prefix + this.restEnd(i) - (i === 0 ? 0 : this.restEnd(i - 1));
  }

  rowId(i: number): number {
    const { bytes } = this;
    if (this.shape !== FIXED) return readUint48(bytes, this.rows + this.restEnd(i) - ROW_ID);
    let distance = 0;
    for (let at = this.rows + i * this.rowWidth, end = at + this.rowWidth; at < end; at++) distance = distance * 256 + bytes[at]!;
    return this.leastRow + distance;
  }

  /** Writes key `i` (row id included) into `into` at `at`; returns where it ends. */
  key(i: number, into: Uint8Array, at: number): number {
    const { bytes, prefix, prefixAt } = this;
    for (let n = 0; n < prefix; n++) into[at + n] = bytes[prefixAt + n]!;
    let to = at + prefix;
    if (this.shape === FIXED) {
      for (let from = this.suffixes + i * this.width, end = from + this.width; from < end; ) into[to++] = bytes[from++]!;
      writeUint48(into, to, this.rowId(i));
      return to + ROW_ID;
    }
    for (let from = this.rows + (i === 0 ? 0 : this.restEnd(i - 1)), end = this.rows + this.restEnd(i); from < end; ) into[to++] = bytes[from++]!;
    return to;
  }

  /** Writes a block of the keys [from, to) without the one at `without` into `into`; returns its end. It is not longer than this one. */
  cut(from: number, to: number, without: number, into: Uint8Array, start: number): number {
    const { bytes, shape, prefix, prefixAt, width, rowWidth, suffixes, rows } = this;
    const left = without >= from && without < to ? without : to;
    const right = Math.min(left + 1, to);
    const count = left - from + to - right;
    const head = shape === FIXED ? FIXED_HEAD : HEAD;
    let at = copyRange(bytes, prefixAt - head, prefixAt + prefix, into, start);
    into[start + 1] = count >>> 8;
    into[start + 2] = count;
    if (shape === FIXED) {
      at = copyRange(bytes, suffixes + from * width, suffixes + left * width, into, at);
      at = copyRange(bytes, suffixes + right * width, suffixes + to * width, into, at);
      at = copyRange(bytes, rows + from * rowWidth, rows + left * rowWidth, into, at);
      return copyRange(bytes, rows + right * rowWidth, rows + to * rowWidth, into, at);
    }
    const rest = (i: number): number => (i === 0 ? 0 : this.restEnd(i - 1));
    let end = 0;
    for (let i = from; i < to; i++) {
      if (i === without) continue;
      end += this.restEnd(i) - rest(i);
      into[at++] = end >>> 8;
      into[at++] = end;
    }
    at = copyRange(bytes, rows + rest(from), rows + rest(left), into, at);
    return right < to ? copyRange(bytes, rows + rest(right), rows + rest(to), into, at) : at;
  }

  /** Key `i` against `key[from, ...)`: negative, 0 or positive. */
  compare(i: number, key: Uint8Array, from: number): number {
    const shared = this.comparePrefix(key, from);
    return shared !== 0 ? shared : this.compareRest(i, key, from + this.prefix);
  }

  /** The first key at or behind `key[from, ...)`; `count` when all are before it. */
  lowerBound(key: Uint8Array, from: number): number {
    const shared = this.comparePrefix(key, from);
    if (shared !== 0) return shared > 0 ? 0 : this.count;
    const rest = from + this.prefix;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compareRest(middle, key, rest) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private comparePrefix(key: Uint8Array, from: number): number {
    return compareAt(this.bytes, this.prefixAt, this.prefixAt + this.prefix, key, from, Math.min(key.length, from + this.prefix));
  }

  /** Behind the prefix, which is known to be equal. */
  private compareRest(i: number, key: Uint8Array, from: number): number {
    const { bytes, rows } = this;
    if (this.shape !== FIXED) return compareAt(bytes, rows + (i === 0 ? 0 : this.restEnd(i - 1)), rows + this.restEnd(i), key, from, key.length);
    const start = this.suffixes + i * this.width;
    const rowAt = from + this.width;
    const suffix = compareAt(bytes, start, start + this.width, key, from, Math.min(key.length, rowAt));
    if (suffix !== 0) return suffix;
    if (key.length - rowAt >= ROW_ID) {
      const difference = this.rowId(i) - readUint48(key, rowAt);
      return difference !== 0 ? difference : rowAt + ROW_ID - key.length;
    }
    writeUint48(rowScratch, 0, this.rowId(i));
    return compareAt(rowScratch, 0, ROW_ID, key, rowAt, key.length);
  }
}

/** Every key of the block, without the row id, and that; the key is valid during the call. */
export function forEachPacked(bytes: Uint8Array, visit: (key: Uint8Array, rowId: number) => void): void {
  const view = new BlockView().open(bytes, 0, bytes.length);
  const scratch = new Uint8Array(view.keyMax);
  for (let i = 0; i < view.count; i++) visit(scratch.subarray(0, view.key(i, scratch, 0) - ROW_ID), view.rowId(i));
}

/** Returns where it ends in `to`. */
function copyRange(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  if (end - start > 64) to.set(new Uint8Array(from.buffer, from.byteOffset + start, end - start), at);
  else for (let i = start, n = at; i < end; i++, n++) to[n] = from[i]!;
  return at + Math.max(0, end - start);
}

const rowScratch = new Uint8Array(ROW_ID);

function compareAt(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}

function bytesFor(distance: number): number {
  return distance < 0x100 ? (distance === 0 ? 0 : 1) : distance < 0x10000 ? 2 : distance < 0x1000000 ? 3 : distance < 0x100000000 ? 4 : distance < 0x10000000000 ? 5 : 6;
}

function damagedBlock(): DatabaseError {
  return new DatabaseError('XX001', 'a block of index entries is damaged');
}

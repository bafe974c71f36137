/**
 * Keys and values in the key-value store, byte by byte (u48 = 6 bytes, big-endian).
 *
 *     heap      u48 storage, u48 row id            -> row value: the newest version
 *               u48 storage, u48 row id | 7, u8 255 -> block of rows, in place of up to eight of them
 *               u48 storage                    -> u8 16, u32 check: the storage has (or had) blocks of rows
 *     history   u48 LSN that superseded it, u48 storage, u48 row id -> row value as it was
 *               u48 LSN, u48 sequence, u48 0       -> a sequence's state (13 bytes, as in meta) as a row value
 *               u48 LSN, u48 0, u48 n              -> dead list: what to remove with it: u16 length and a key in
 *                                                     `dead`; or u16 0x8000, u48 storage, u48 value id;
 *                                                     first u16 0x8001, u48 xid: only if that committed; then u32 check
 *     deleted   u48 storage, u48 row id            -> u48 LSN of death, u48 xid; u8 1 when the death is provisional
 *     index     u48 index, key, u48 row id         -> entry value; or a block of many entries under the key of its last
 *               u48 index                          -> u8 16, u32 check: the index has (or had) blocks
 *     dead      u48 index, key, u48 row id, u48 LSN of death -> entry value as it was
 *     values    u48 storage, u48 value id, u32 chunk -> u32 check, at most 16,352 bytes of the value
 *     storages  u48 storage                        -> see storage-info.ts
 *     meta      see applier.ts
 *
 *     row value                                    entry value
 *      0  u8   flags                                0  u8   flags
 *      1  u48  stamp: LSN of the commit             1  u48  birth: LSN (PROVISIONAL: xid)
 *      7  u48  xid                                  7  u32  check
 *     13  u32  check                               11       payload
 *     17       tuple
 *                                                  block of entries without payload, made and taken apart by engine/packed
 *                                                   0  u8   flags: 16, and 4 when they are provisional
 *                                                   1  u48  birth, of all of them
 *                                                   7  u32  check
 *                                                  11  u48  LSN of the record, when they are provisional; else 0
 *                                                  17       keys (engine/packed/block.ts)
 *
 *                                                  block of rows without a past, of one record (engine/packed/row-block.ts)
 *                                                   0  u8   flags: 16, and 4 when they are provisional
 *                                                   1  u48  stamp, u48 xid: of all of them
 *                                                  13  u32  check
 *                                                  17  u8   bit i: row (row id & ~7) + i is in it
 *                                                  18       u16 where each tuple ends, the tuples
 *
 * flags: 1 HAS_PREVIOUS: an older version is in `history` under (this stamp, storage, row id)
 *        2 DEATH (in history only): the version was ended by a delete, so `deleted` names the row
 *        4 PROVISIONAL: written before its transaction's fate was known; the xid decides. Stamp and LSN of death
 *          are then the LSN of the record that said so; an entry has it before its payload: u48
 *       16 BLOCK (in index and heap): see there
 *        8 DOOMED (entries in dead only): killed provisionally; the killer's xid stands before the payload: u48
 *
 * The check is a 32-bit hash of key, length and the whole value (beyond 64 kB by zlib's CRC, which is
 * fast): a value that LMDB hands out under a wrong key, or with a flipped bit, is noticed.
 *
 * A tuple is sql's, but for one thing: bit 7 of its second byte says that it refers to large values
 * (large-values.ts), whose ids are then its last bytes: u48 ids, u16 how many (little-endian).
 */
import { crc32 } from '../log/checksum.js';
import { DatabaseError } from '../errors.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { slabTake } from '../slab.js';

export const ROW_HEADER = 17;
export const ENTRY_HEADER = 11;
export const Flag = { hasPrevious: 1, death: 2, provisional: 4, doomed: 8, block: 16 } as const;

/** What of a value is hashed here; the rest is left to the CRC. */
const CHECKED_BYTES = 64 << 10;
/** Keys up to here are cut from slabs. */
const SMALL_KEY = 256;

export const HEAP_KEY = 12;
export const HISTORY_KEY = 18;

export function heapKey(into: Uint8Array, storage: StorageId, rowId: RowId): Uint8Array {
  writeUint48(into, 0, storage);
  writeUint48(into, 6, rowId);
  return into;
}

export function historyKey(into: Uint8Array, lsn: Lsn, storage: number, rowId: number): Uint8Array {
  writeUint48(into, 0, lsn);
  writeUint48(into, 6, storage);
  writeUint48(into, 12, rowId);
  return into;
}

/** index, key, row id; `key` is a stored key. Returns a view of `scratch`. */
export function indexKey(scratch: Uint8Array, index: StorageId, key: Uint8Array, rowId: RowId): Uint8Array {
  writeUint48(scratch, 0, index);
  scratch.set(key, 6);
  writeUint48(scratch, 6 + key.length, rowId);
  return scratch.subarray(0, 12 + key.length);
}

/** key, row id: how the overlay and write sets order an index's entries. */
export function entryKey(key: Uint8Array, rowId: RowId): Uint8Array {
  const { length } = key;
  const out = length <= SMALL_KEY ? slabTake(length + 6) : new Uint8Array(length + 6);
  if (length <= SMALL_KEY) for (let i = 0; i < length; i++) out[i] = key[i]!;
  else out.set(key);
  writeUint48(out, length, rowId);
  return out;
}

export function storagePrefix(storage: number): Uint8Array {
  const out = new Uint8Array(6);
  writeUint48(out, 0, storage);
  return out;
}

export const stampOf = (value: Uint8Array): Lsn => readUint48(value, 1) as Lsn;
export const xidOf = (value: Uint8Array): Xid => readUint48(value, 7) as Xid;

/** Writes a row value into `into` (grown by the caller) and returns its length. */
export function writeRowValue(into: Uint8Array, flags: number, stamp: Lsn, xid: Xid, tuple: Uint8Array, key: Uint8Array): number {
  into[0] = flags;
  writeUint48(into, 1, stamp);
  writeUint48(into, 7, xid);
  into.set(tuple, ROW_HEADER);
  const length = ROW_HEADER + tuple.length;
  writeUint32(into, 13, checkRow(into, length, key));
  return length;
}

/** `stage`: LSN of the record, for a provisional entry. */
export function writeEntryValue(into: Uint8Array, flags: number, birth: number, payload: Uint8Array, key: Uint8Array, stage = 0): number {
  into[0] = flags;
  writeUint48(into, 1, birth);
  let length = ENTRY_HEADER;
  if (flags & Flag.provisional) {
    writeUint48(into, length, stage);
    length += 6;
  }
  into.set(payload, length);
  length += payload.length;
  writeUint32(into, 7, checkEntry(into, length, key));
  return length;
}

/** Bytes before an entry's payload. */
export const entryHeader = (value: Uint8Array): number => ENTRY_HEADER + (value[0]! & Flag.provisional ? 6 : 0) + (value[0]! & Flag.doomed ? 6 : 0);
/** LSN of the record that put a provisional entry. */
export const stageOf = (value: Uint8Array): Lsn => readUint48(value, ENTRY_HEADER) as Lsn;
/** Who killed a doomed entry. */
export const killerOf = (value: Uint8Array): Xid => readUint48(value, entryHeader(value) - 6) as Xid;

/** The entry as it stands in `dead` while its killer's fate is open; `key` is its key in the index. */
export function doomed(value: Uint8Array, killer: Xid, key: Uint8Array): Uint8Array {
  const at = entryHeader(value);
  const out = new Uint8Array(value.length + 6);
  out.set(value.subarray(0, at));
  writeUint48(out, at, killer);
  out.set(value.subarray(at), at + 6);
  out[0]! |= Flag.doomed;
  writeUint32(out, 7, checkEntry(out, out.length, key));
  return out;
}

export function undoomed(value: Uint8Array, key: Uint8Array): Uint8Array {
  const at = entryHeader(value);
  const out = new Uint8Array(value.length - 6);
  out.set(value.subarray(0, at - 6));
  out.set(value.subarray(at), at - 6);
  out[0]! &= ~Flag.doomed;
  writeUint32(out, 7, checkEntry(out, out.length, key));
  return out;
}

/** Bytes of a block before its keys. */
export const BLOCK_HEADER = 17;

/** Fills in the head of the block of keys that stands in `value[BLOCK_HEADER, length)`; `key`: of its last entry, under which it is stored. */
export function sealBlock(value: Uint8Array, length: number, provisional: number, birth: number, stage: number, key: Uint8Array): void {
  value[0] = Flag.block | provisional;
  writeUint48(value, 1, birth);
  writeUint48(value, ENTRY_HEADER, stage);
  writeUint32(value, 7, checkBlock(value, 0, length, key, 0, key.length));
}

/** Whether the block at [start, end) of `values`, stored under the key at [keyStart, keyEnd) of `keys`, is whole. */
export function isBlock(values: Uint8Array, start: number, end: number, keys: Uint8Array, keyStart: number, keyEnd: number): boolean {
  return end - start > BLOCK_HEADER && readUint32(values, start + 7) === checkBlock(values, start, end, keys, keyStart, keyEnd);
}

function checkBlock(values: Uint8Array, start: number, end: number, keys: Uint8Array, keyStart: number, keyEnd: number): number {
  let h = hashBytes(0x3c6ef372 ^ values[start]!, keys, keyStart, keyEnd);
  h = hashBytes(h ^ (end - start), values, start + 1, start + 7);
  // A view with its true length: what LMDB hands out may have a forged one.
  return (h ^ crc32(new Uint8Array(values.buffer, values.byteOffset + start + ENTRY_HEADER, end - start - ENTRY_HEADER))) >>> 0;
}

/** What says that an index has blocks. */
export function blocksMark(key: Uint8Array): Uint8Array {
  const value = new Uint8Array(5);
  value[0] = Flag.block;
  writeUint32(value, 1, hashBytes(0x5be0cd19, key, 0, key.length) >>> 0);
  return value;
}

export const isProvisionalDeath = (value: Uint8Array): boolean => value.length === 13 && value[12] === 1;

/** Bytes of a stored state: i64 last value, u8 is called, u32 logged ahead; behind them stands the LSN it was set at. */
export const SEQUENCE_STATE = 13;

/** LSN that a stored state was set at; 0 when it was stored without one. */
export function sequenceStamp(stored: Uint8Array): Lsn {
  return (stored.length > SEQUENCE_STATE ? readUint48(stored, SEQUENCE_STATE) : 0) as Lsn;
}

/** The row id under which a sequence's former states stand in history. */
export const SEQUENCE_ROW = 0 as RowId;

/** The version goes into history because of a delete. */
export function markDeath(value: Uint8Array): void {
  if (value[0]! & Flag.death) return;
  value[0]! |= Flag.death;
  writeUint32(value, 13, (readUint32(value, 13) ^ DEATH_CHECK) >>> 0);
}

export function clearDeath(value: Uint8Array): void {
  if ((value[0]! & Flag.death) === 0) return;
  value[0]! &= ~Flag.death;
  writeUint32(value, 13, (readUint32(value, 13) ^ DEATH_CHECK) >>> 0);
}

/** A dead list with its check. */
export function sealDeadList(list: Uint8Array, key: Uint8Array): Uint8Array {
  const out = new Uint8Array(list.length + DEAD_LIST_CHECK);
  out.set(list);
  writeUint32(out, list.length, checkDeadList(list, key));
  return out;
}

/** The list without its check; undefined when that does not match. */
export function unsealDeadList(value: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  const length = value.length - DEAD_LIST_CHECK;
  if (length < 0) return undefined;
  const list = value.subarray(0, length);
  return readUint32(value, length) === checkDeadList(list, key) ? list : undefined;
}

/** Throws XX001 when a row value does not belong to its key or was damaged. */
export function verifyRow(value: Uint8Array, key: Uint8Array): void {
  if (readUint32(value, 13) !== checkRow(value, value.length, key)) throw damaged('row', key);
}

export function verifyEntry(value: Uint8Array, key: Uint8Array): void {
  if (readUint32(value, 7) !== checkEntry(value, value.length, key)) throw damaged('index entry', key);
}

/** As verifyRow, of bytes where they lie: a row value of at most 64 kB and its key in one buffer. */
export function isRow(view: DataView, keyStart: number, keyEnd: number, start: number, end: number): boolean {
  return end - start >= ROW_HEADER && view.getUint32(start + 13) === checkRowAt(view, view.getUint8(start), keyStart, keyEnd, start, end);
}

/** As verifyEntry, of bytes where they lie. */
export function isEntry(view: DataView, keyStart: number, keyEnd: number, start: number, end: number): boolean {
  return end - start >= ENTRY_HEADER && view.getUint32(start + 7) === checkEntryAt(view, keyStart, keyEnd, start, end);
}

/** Bytes of a block of rows before its tuples' ends. */
export const ROW_BLOCK_HEADER = ROW_HEADER + 1;

/** Binds a block of rows to its key. */
export function checkRowBlock(values: Uint8Array, start: number, end: number, keys: Uint8Array, keyStart: number, keyEnd: number): number {
  let h = hashBytes(0x4cf5ad43 ^ values[start]!, keys, keyStart, keyEnd);
  h = hashBytes(h ^ (end - start), values, start + 1, start + 13);
  return (h ^ crc32(new Uint8Array(values.buffer, values.byteOffset + start + ROW_HEADER, end - start - ROW_HEADER))) >>> 0;
}

/**
 * Completes a row value at `at` of `into` (of which `view` is a view), whose flags, stamp and xid stand there and whose key at `keyStart`: copies the tuple
 * [start, end) of `source` and writes the check, in one pass. Returns where it ends.
 */
export function sealRow(into: Uint8Array, view: DataView, keyStart: number, at: number, source: DataView, start: number, end: number): number {
  const length = ROW_HEADER + end - start;
  let h = hashWords(0x9747b28c ^ (into[at]! & ~Flag.death), view, keyStart, keyStart + HEAP_KEY);
  h = hashWords(h ^ length, view, at + 1, at + 13);
  let to = at + ROW_HEADER;
  let from = start;
  for (const last = end - 3; from < last; from += 4, to += 4) {
    const word = source.getInt32(from, true);
    view.setInt32(to, word, true);
    let k = Math.imul(word, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let shift = 0; from < end; from++, to++, shift += 8) {
    const byte = source.getUint8(from);
    into[to] = byte;
    k |= byte << shift;
  }
  h ^= Math.imul(k, 0x1b873593) ^ (end - start);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h ^= h >>> 13;
  writeUint32(into, at + 13, (h ^ (into[at]! & Flag.death ? DEATH_CHECK : 0)) >>> 0);
  return to;
}

/** Makes the row value at [start, end) of `view`, whose key stands right before it, a decided one without a past. */
export function settleRow(view: DataView, keyStart: number, start: number, end: number, stamp: number): void {
  view.setUint8(start, 0);
  setUint48(view, start + 1, stamp);
  view.setUint32(start + 13, checkRowAt(view, 0, keyStart, start, start, end));
}

/** As settleRow, of an index entry (without the LSN of a provisional one). */
export function settleEntry(view: DataView, keyStart: number, start: number, end: number, birth: number): void {
  view.setUint8(start, 0);
  setUint48(view, start + 1, birth);
  view.setUint32(start + 7, checkEntryAt(view, keyStart, start, start, end));
}

/** Bytes of a provisional entry before its payload. */
export const PROVISIONAL_ENTRY_HEADER = ENTRY_HEADER + 6;

function setUint48(view: DataView, at: number, value: number): void {
  view.setUint16(at, value / 0x100000000);
  view.setUint32(at + 2, value % 0x100000000);
}

function checkEntryAt(view: DataView, keyStart: number, keyEnd: number, start: number, end: number): number {
  let h = hashWords(0x85ebca6b ^ view.getUint8(start), view, keyStart, keyEnd);
  h = hashWords(h ^ (end - start), view, start + 1, start + 7);
  return hashWords(h, view, start + ENTRY_HEADER, end) >>> 0;
}

function checkRowAt(view: DataView, flags: number, keyStart: number, keyEnd: number, start: number, end: number): number {
  let h = hashWords(0x9747b28c ^ (flags & ~Flag.death), view, keyStart, keyEnd);
  h = hashWords(h ^ (end - start), view, start + 1, start + 13);
  return (hashWords(h, view, start + ROW_HEADER, end) ^ (flags & Flag.death ? DEATH_CHECK : 0)) >>> 0;
}

export function damaged(what: 'row' | 'index entry' | 'large value', key: Uint8Array): DatabaseError {
  return new DatabaseError('XX001', `stored ${what} does not match its checksum`, {
    detail: `Key ${Buffer.from(key).toString('hex')}.`,
    hint: 'The state file is damaged. It can be made anew from the log or a backup.',
  });
}

/** What DEATH adds to a row's check: it is set and cleared without hashing the row anew. */
const DEATH_CHECK = 0x5bd1e995;
const DEAD_LIST_CHECK = 4;

const checkDeadList = (list: Uint8Array, key: Uint8Array): number => (hashBytes(0x165667b1, key, 0, key.length) ^ crc32(list)) >>> 0;

function checkRow(value: Uint8Array, length: number, key: Uint8Array): number {
  const flags = value[0]!;
  let h = hashBytes(0x9747b28c ^ (flags & ~Flag.death), key, 0, key.length);
  h = hashBytes(h ^ length, value, 1, 13);
  h = hashBytes(h, value, ROW_HEADER, Math.min(length, CHECKED_BYTES)) ^ (flags & Flag.death ? DEATH_CHECK : 0);
  return (length > CHECKED_BYTES ? h ^ crc32(value.subarray(CHECKED_BYTES, length)) : h) >>> 0;
}

function checkEntry(value: Uint8Array, length: number, key: Uint8Array): number {
  let h = hashBytes(0x85ebca6b ^ value[0]!, key, 0, key.length);
  h = hashBytes(h ^ length, value, 1, 7);
  h = hashBytes(h, value, ENTRY_HEADER, Math.min(length, CHECKED_BYTES));
  return (length > CHECKED_BYTES ? h ^ crc32(value.subarray(CHECKED_BYTES, length)) : h) >>> 0;
}

/** Bytes of a large value per chunk: with its header and LMDB's page header, four pages of 4 kB. */
export const VALUE_CHUNK = 16_352;
export const VALUE_HEADER = 4;
export const VALUE_KEY = 16;
/** In a tuple's second byte: values of it stand elsewhere. */
export const LARGE_MARK = 0x80;

export function valueKey(into: Uint8Array, storage: number, id: number, chunk: number): Uint8Array {
  writeUint48(into, 0, storage);
  writeUint48(into, 6, id);
  writeUint32(into, 12, chunk);
  return into;
}

/** Writes the check of the chunk whose bytes stand in `value` behind the header. */
export function sealChunk(value: Uint8Array, key: Uint8Array): void {
  writeUint32(value, 0, checkChunk(value, key));
}

export function verifyChunk(value: Uint8Array, key: Uint8Array): void {
  if (readUint32(value, 0) !== checkChunk(value, key)) throw damaged('large value', key);
}

function checkChunk(value: Uint8Array, key: Uint8Array): number {
  return (hashBytes(0x27d4eb2f ^ value.length, key, 0, key.length) ^ crc32(value.subarray(VALUE_HEADER))) >>> 0;
}

/** Whether the tuple refers to large values. */
export function hasLarge(tuple: Uint8Array): boolean {
  return tuple.length > 1 && (tuple[1]! & LARGE_MARK) !== 0;
}

/** Ids of the large values that the tuple refers to. */
export function largeIds(tuple: Uint8Array): number[] {
  if (!hasLarge(tuple)) return [];
  const end = tuple.length;
  const count = tuple[end - 2]! | (tuple[end - 1]! << 8);
  return Array.from({ length: count }, (_, i) => readUint48(tuple, end - 2 - 6 * (count - i)));
}

/** Bytes that `appendLargeIds` needs. */
export const largeIdsLength = (count: number): number => 6 * count + 2;

/** Marks the tuple, whose bytes end at `end`, as one that refers to `ids`; returns its new end. */
export function appendLargeIds(tuple: Uint8Array, end: number, ids: readonly number[]): number {
  tuple[1]! |= LARGE_MARK;
  let at = end;
  for (const id of ids) {
    writeUint48(tuple, at, id);
    at += 6;
  }
  tuple[at] = ids.length & 0xff;
  tuple[at + 1] = ids.length >> 8;
  return at + 2;
}

/** Murmur3's mixing over little-endian words; one lane. */
function hashBytes(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let h = seed;
  let i = start;
  for (const last = end - 3; i < last; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let shift = 0; i < end; i++, shift += 8) k |= bytes[i]! << shift;
  h ^= Math.imul(k, 0x1b873593) ^ (end - start);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return h ^ (h >>> 13);
}

/** The same hash, word by word: twice as fast where a view is at hand. */
function hashWords(seed: number, view: DataView, start: number, end: number): number {
  let h = seed;
  let i = start;
  for (const last = end - 3; i < last; i += 4) {
    let k = Math.imul(view.getInt32(i, true), 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let shift = 0; i < end; i++, shift += 8) k |= view.getUint8(i) << shift;
  h ^= Math.imul(k, 0x1b873593) ^ (end - start);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return h ^ (h >>> 13);
}

/**
 * 128-bit hash of a row's canonical bytes (row id and tuple: no stamp, no xid), as four words into
 * `out`: MurmurHash3 x86 128 with the row id as seed. One pass over the bytes.
 */
export function hashRow(out: Uint32Array, rowId: RowId, tuple: Uint8Array, start = 0, end = tuple.length): void {
  const low = rowId | 0;
  const high = Math.floor(rowId / 0x100000000);
  const length = end - start;
  let h1 = low;
  let h2 = Math.imul(low, 0x9e3779b1) ^ high;
  let h3 = low ^ 0x2c1b3c6d;
  let h4 = Math.imul(high + 1, 0x27d4eb2f) ^ low;
  let i = start;
  for (const last = end - 15; i < last; i += 16) {
    let k1 = tuple[i]! | (tuple[i + 1]! << 8) | (tuple[i + 2]! << 16) | (tuple[i + 3]! << 24);
    let k2 = tuple[i + 4]! | (tuple[i + 5]! << 8) | (tuple[i + 6]! << 16) | (tuple[i + 7]! << 24);
    let k3 = tuple[i + 8]! | (tuple[i + 9]! << 8) | (tuple[i + 10]! << 16) | (tuple[i + 11]! << 24);
    let k4 = tuple[i + 12]! | (tuple[i + 13]! << 8) | (tuple[i + 14]! << 16) | (tuple[i + 15]! << 24);
    k1 = Math.imul(k1, C1);
    h1 ^= Math.imul((k1 << 15) | (k1 >>> 17), C2);
    h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0;
    k2 = Math.imul(k2, C2);
    h2 ^= Math.imul((k2 << 16) | (k2 >>> 16), C3);
    h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0;
    k3 = Math.imul(k3, C3);
    h3 ^= Math.imul((k3 << 17) | (k3 >>> 15), C4);
    h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0;
    k4 = Math.imul(k4, C4);
    h4 ^= Math.imul((k4 << 18) | (k4 >>> 14), C1);
    h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0;
  }
  for (let shift = 0; i < end; i++, shift = (shift + 8) & 31) {
    const k = Math.imul((tuple[i]! << shift) + 1, C1);
    h1 = (Math.imul(h1 ^ ((k << 15) | (k >>> 17)), C2) + h2) | 0;
    h2 = (h2 ^ Math.imul(h1, C3)) | 0;
  }
  finishHash(out, h1 ^ length, h2 ^ length, h3 ^ length, h4 ^ length);
}

/** The same hash of the bytes [start, end) of a view, word by word. */
export function hashRowAt(out: Uint32Array, rowId: RowId, view: DataView, start: number, end: number): void {
  const low = rowId | 0;
  const high = Math.floor(rowId / 0x100000000);
  const length = end - start;
  let h1 = low;
  let h2 = Math.imul(low, 0x9e3779b1) ^ high;
  let h3 = low ^ 0x2c1b3c6d;
  let h4 = Math.imul(high + 1, 0x27d4eb2f) ^ low;
  let i = start;
  for (const last = end - 15; i < last; i += 16) {
    const k1 = Math.imul(view.getInt32(i, true), C1);
    const k2 = Math.imul(view.getInt32(i + 4, true), C2);
    const k3 = Math.imul(view.getInt32(i + 8, true), C3);
    const k4 = Math.imul(view.getInt32(i + 12, true), C4);
    h1 ^= Math.imul((k1 << 15) | (k1 >>> 17), C2);
    h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul((k2 << 16) | (k2 >>> 16), C3);
    h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul((k3 << 17) | (k3 >>> 15), C4);
    h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul((k4 << 18) | (k4 >>> 14), C1);
    h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0;
  }
  for (let shift = 0; i < end; i++, shift = (shift + 8) & 31) {
    const k = Math.imul((view.getUint8(i) << shift) + 1, C1);
    h1 = (Math.imul(h1 ^ ((k << 15) | (k >>> 17)), C2) + h2) | 0;
    h2 = (h2 ^ Math.imul(h1, C3)) | 0;
  }
  finishHash(out, h1 ^ length, h2 ^ length, h3 ^ length, h4 ^ length);
}

function finishHash(out: Uint32Array, h1: number, h2: number, h3: number, h4: number): void {
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0; h3 = (h3 + h1) | 0; h4 = (h4 + h1) | 0;
  h1 = finalMix(h1); h2 = finalMix(h2); h3 = finalMix(h3); h4 = finalMix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  out[0] = h1;
  out[1] = h2 + h1;
  out[2] = h3 + h1;
  out[3] = h4 + h1;
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;

function finalMix(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** sum += sign * addend, as 128-bit little-endian numbers of four words. */
export function addHash(sum: Uint32Array, addend: Uint32Array, sign: 1 | -1): void {
  let carry = 0;
  for (let i = 0; i < 4; i++) {
    const total = sum[i]! + sign * addend[i]! + carry;
    sum[i] = total;
    carry = total > 0xffffffff ? 1 : total < 0 ? -1 : 0;
  }
}

export function writeUint32(buffer: Uint8Array, position: number, value: number): void {
  buffer[position] = value >>> 24;
  buffer[position + 1] = value >>> 16;
  buffer[position + 2] = value >>> 8;
  buffer[position + 3] = value;
}

export function readUint32(buffer: Uint8Array, position: number): number {
  return ((buffer[position]! << 24) | (buffer[position + 1]! << 16) | (buffer[position + 2]! << 8) | buffer[position + 3]!) >>> 0;
}


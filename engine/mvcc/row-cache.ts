/**
 * Rows and unique keys that were looked up one by one, kept in this thread's memory: two walks down LMDB's trees cost 5 us,
 * a look here less than one. Holds committed versions only, each with its stamp; a snapshot older than the
 * stamp does not find it here and goes the long way.
 *
 * Nothing stale is ever found, because
 * - every commit that touches a row or an index entry drops it here in the step that puts it into the overlay,
 * - it comes back only from a read that found nothing of it in the overlay, when the key-value store's
 *   state in this thread has it (the overlay is trimmed after `refresh`),
 * - a commit that made provisional versions true, which are not in the overlay, empties the cache.
 *
 * One block of memory outside the heap, written around like a ring: the oldest goes first. Records of whole 8-byte words:
 *
 *     0  i32 words of the record, i32 hash     3  stamp (of a key: its birth)
 *     1  storage or index                      4  xid; -1 says that this is a key
 *     2  row id                                5  length of the bytes, which follow: tuple or key
 *
 * and a hash table of (hash, record) pairs, linear probing, deletion by shifting back.
 */
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { RowPlace } from '../storage.js';

const HEADER_WORDS = 6;
/** Larger rows are not kept. */
const MAX_BYTES = 8 << 10;
const KEY = -1;

export class RowCache {
  private readonly words: Float64Array;
  private readonly halves: Int32Array;
  private readonly bytes: Uint8Array;
  /** Pairs: hash, record + 1 (0: free). */
  private readonly table: Int32Array;
  private readonly mask: number;
  private readonly capacity: number;
  /** Next record goes here. */
  private head = 0;
  /** Records of the round before lie in [oldest, limit). */
  private oldest = 0;
  private limit = 0;
  private used = 0;

  /** 0 bytes: keeps nothing. */
  constructor(maxBytes: number) {
    this.capacity = Math.floor(maxBytes / 8);
    const memory = new ArrayBuffer(this.capacity * 8);
    this.words = new Float64Array(memory);
    this.halves = new Int32Array(memory);
    this.bytes = new Uint8Array(memory);
    let slots = 64;
    while (slots < maxBytes / 64) slots *= 2;
    this.table = new Int32Array(slots * 2);
    this.mask = slots - 1;
  }

  /** The row's record, -1 without one. Valid until the next `put`. */
  findRow(storage: StorageId, rowId: RowId): number {
    const { table, words, mask } = this;
    const hash = hashRow(storage, rowId);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const record = table[slot * 2 + 1]! - 1;
      if (record < 0) return -1;
      if (table[slot * 2] === hash && words[record + 2] === rowId && words[record + 1] === storage && words[record + 4] !== KEY) return record;
    }
  }

  stamp(record: number): Lsn {
    return this.words[record + 3] as Lsn;
  }

  xid(record: number): Xid {
    return this.words[record + 4] as Xid;
  }

  rowId(record: number): RowId {
    return this.words[record + 2] as RowId;
  }

  tuple(record: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, (record + HEADER_WORDS) * 8, this.words[record + 5]);
  }

  /** As `tuple`, without a view of its own. */
  place(record: number, place: RowPlace): void {
    place.bytes = this.bytes;
    place.start = (record + HEADER_WORDS) * 8;
    place.end = place.start + this.words[record + 5]!;
  }

  /** The record of a unique key's entry, -1 without one. */
  findKey(index: StorageId, key: Uint8Array): number {
    const slot = this.keySlot(index, key, hashKey(index, key));
    return slot < 0 ? -1 : this.table[slot * 2 + 1]! - 1;
  }

  private keySlot(index: StorageId, key: Uint8Array, hash: number): number {
    const { table, words, mask } = this;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const record = table[slot * 2 + 1]! - 1;
      if (record < 0) return -1;
      if (table[slot * 2] === hash && words[record + 1] === index && words[record + 4] === KEY && words[record + 5] === key.length && this.sameBytes(record, key)) return slot;
    }
  }

  private sameBytes(record: number, key: Uint8Array): boolean {
    const { bytes } = this;
    const start = (record + HEADER_WORDS) * 8;
    for (let i = 0; i < key.length; i++) if (bytes[start + i] !== key[i]) return false;
    return true;
  }

  putRow(storage: StorageId, rowId: RowId, stamp: Lsn, xid: Xid, tuple: Uint8Array): void {
    this.dropRow(storage, rowId);
    this.put(hashRow(storage, rowId), storage, rowId, stamp, xid, tuple);
  }

  putKey(index: StorageId, key: Uint8Array, rowId: RowId, birth: Lsn): void {
    this.dropKey(index, key);
    this.put(hashKey(index, key), index, rowId, birth, KEY, key);
  }

  dropRow(storage: StorageId, rowId: RowId): void {
    if (this.used === 0) return;
    const record = this.findRow(storage, rowId);
    if (record >= 0) this.free(record);
  }

  dropKey(index: StorageId, key: Uint8Array): void {
    if (this.used === 0) return;
    const slot = this.keySlot(index, key, hashKey(index, key));
    if (slot >= 0) this.freeSlot(slot);
  }

  get empty(): boolean {
    return this.used === 0;
  }

  clear(): void {
    if (this.used > 0) this.table.fill(0);
    this.used = 0;
    this.head = 0;
    this.oldest = 0;
    this.limit = 0;
  }

  private put(hash: number, id: number, rowId: number, stamp: number, xid: number, bytes: Uint8Array): void {
    const size = HEADER_WORDS + ((bytes.length + 7) >> 3);
    if (bytes.length > MAX_BYTES || size > this.capacity) return;
    if (this.head + size > this.capacity) {
      this.makeRoom(this.capacity);
      this.limit = this.head;
      this.head = 0;
      this.oldest = 0;
    }
    this.makeRoom(this.head + size);
    const record = this.head;
    this.head += size;
    const { words, table, mask } = this;
    this.halves[record * 2] = size;
    this.halves[record * 2 + 1] = hash;
    words[record + 1] = id;
    words[record + 2] = rowId;
    words[record + 3] = stamp;
    words[record + 4] = xid;
    words[record + 5] = bytes.length;
    this.bytes.set(bytes, (record + HEADER_WORDS) * 8);
    let slot = hash & mask;
    while (table[slot * 2 + 1] !== 0) slot = (slot + 1) & mask;
    table[slot * 2] = hash;
    table[slot * 2 + 1] = record + 1;
    // The table is at most three quarters full: beyond that the oldest go although there is memory.
    if (++this.used > mask - (mask >> 2)) this.makeRoomInTable();
  }

  /** Lets the records of the round before go that begin before `end`. */
  private makeRoom(end: number): void {
    while (this.oldest < end && this.oldest < this.limit) {
      this.free(this.oldest);
      this.oldest += this.halves[this.oldest * 2]!;
    }
  }

  private makeRoomInTable(): void {
    // Many small records: begin a new round early.
    if (this.oldest >= this.limit) {
      this.limit = this.head;
      this.head = 0;
      this.oldest = 0;
    }
    for (let i = 0; i < 64 && this.oldest < this.limit; i++) this.makeRoom(this.oldest + 1);
  }

  private free(record: number): void {
    const { table, mask } = this;
    for (let slot = this.halves[record * 2 + 1]! & mask; ; slot = (slot + 1) & mask) {
      const found = table[slot * 2 + 1]!;
      if (found === 0) return;
      if (found === record + 1) {
        this.freeSlot(slot);
        return;
      }
    }
  }

  private freeSlot(slot: number): void {
    const { table, mask } = this;
    let hole = slot;
    for (let next = (slot + 1) & mask; table[next * 2 + 1] !== 0; next = (next + 1) & mask) {
      const home = table[next * 2]! & mask;
      // It stays where it is when its home lies behind the hole.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      table[hole * 2] = table[next * 2]!;
      table[hole * 2 + 1] = table[next * 2 + 1]!;
      hole = next;
    }
    table[hole * 2 + 1] = 0;
    this.used--;
  }
}

function hashRow(storage: number, rowId: number): number {
  let h = Math.imul(rowId | 0, 0x9e3779b1) ^ Math.imul(storage | 0, 0x85ebca6b) ^ Math.imul((rowId / 0x100000000) | 0, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

function hashKey(index: number, key: Uint8Array): number {
  let h = Math.imul(index | 0, 0xc2b2ae35) ^ key.length;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key[i]!, 0x01000193) ^ (h >>> 17);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

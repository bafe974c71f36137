/**
 * Row ids of a short range of an index, read where its entries lie (a held cursor, engine/kv/lmdb-held.ts), single ones and blocks,
 * without making a key or a value for any of them. What needs more than an entry's birth to judge (entries of
 * transactions that wrote ahead, damaged ones) is left to scans: -1.
 *
 * Entries that somebody else has (the overlay) are named as stops: how many of the row ids come before each is
 * noted, and a stored entry that equals one does not count.
 */
import { readUint48 } from '../keycode.js';
import type { HeldCursor, IndexRows } from '../kv/key-value-store.js';
import { compareRange } from '../kv/lmdb-pages.js';
import { BLOCK_HEADER, Flag, isBlock, isEntry } from '../mvcc/row-format.js';
import { INDEX_ID, StoredBlock } from './stored-block.js';

const ROW_ID = 6;
const OTHERS = -1;

/** LSN from which on an entry is there; Infinity for what was written ahead and is not committed. */
const bornAt = (flags: number, birth: number, { fates }: IndexRows): number => (flags & Flag.provisional ? (fates.get(birth) ?? Infinity) : birth);

export class IndexRowsReader {
  private readonly block = new StoredBlock();
  private count = 0;
  private stop = 0;

  /** Row ids of entries of [lower, upper) born at or before `s`, in order or reversed, at most `max`: how many. Bounds begin with the index's id. */
  read(cursor: HeldCursor, lower: Uint8Array, upper: Uint8Array, reverse: boolean, s: number, max: number, into: IndexRows): number {
    this.count = 0;
    this.stop = 0;
    into.before.length = 0;
    const whole = reverse ? this.down(cursor, lower, upper, s, max, into) : this.up(cursor, lower, upper, s, max, into);
    if (!whole) return OTHERS;
    // As far as was read; what lies behind that is not asked for.
    if (this.count < max) while (this.stop < into.stops.length) into.before[this.stop++] = this.count;
    return this.count;
  }

  private up(cursor: HeldCursor, lower: Uint8Array, upper: Uint8Array, s: number, max: number, into: IndexRows): boolean {
    for (let there = cursor.seek(lower); there && this.count < max; there = cursor.next()) {
      const beyond = compareRange(cursor.bytes, cursor.keyStart, cursor.keyEnd, upper) >= 0;
      // Behind the range may stand a block that begins in it.
      if (beyond && !this.sameIndex(cursor, lower)) return true;
      if (cursor.elsewhere) return false;
      if (cursor.bytes[cursor.valueStart]! & Flag.block) {
        if (cursor.keyEnd - cursor.keyStart > INDEX_ID && !this.blockUp(cursor, lower, upper, s, max, into)) return false;
      } else if (!beyond && !this.single(cursor, s, 1, into)) return false;
      if (beyond) return true;
    }
    return true;
  }

  private down(cursor: HeldCursor, lower: Uint8Array, upper: Uint8Array, s: number, max: number, into: IndexRows): boolean {
    const there = cursor.seek(upper);
    if (there && this.sameIndex(cursor, lower)) {
      if (cursor.elsewhere) return false;
      if (cursor.bytes[cursor.valueStart]! & Flag.block && cursor.keyEnd - cursor.keyStart > INDEX_ID && !this.blockDown(cursor, lower, upper, s, max, into)) return false;
    }
    while (this.count < max && cursor.previous()) {
      if (compareRange(cursor.bytes, cursor.keyStart, cursor.keyEnd, lower) < 0) return true;
      if (cursor.elsewhere) return false;
      if (cursor.bytes[cursor.valueStart]! & Flag.block) {
        if (cursor.keyEnd - cursor.keyStart > INDEX_ID && !this.blockDown(cursor, lower, upper, s, max, into)) return false;
      } else if (!this.single(cursor, s, -1, into)) return false;
    }
    return true;
  }

  private sameIndex({ bytes, keyStart, keyEnd }: HeldCursor, bound: Uint8Array): boolean {
    if (keyEnd - keyStart < INDEX_ID) return false;
    for (let i = 0; i < INDEX_ID; i++) if (bytes[keyStart + i] !== bound[i]) return false;
    return true;
  }

  private single(cursor: HeldCursor, s: number, direction: number, into: IndexRows): boolean {
    const { bytes, keyStart, keyEnd, valueStart } = cursor;
    const flags = bytes[valueStart]!;
    if (flags & ~Flag.provisional || !isEntry(cursor.view, keyStart, keyEnd, valueStart, cursor.valueEnd)) return false;
    const { stops, before } = into;
    while (this.stop < stops.length) {
      const order = compareRange(bytes, keyStart, keyEnd, stops[this.stop]!) * direction;
      if (order < 0) break;
      before[this.stop++] = this.count;
      if (order === 0) return true;
    }
    if (bornAt(flags, readUint48(bytes, valueStart + 1), into) <= s) into.rowIds[this.count++] = readUint48(bytes, keyEnd - ROW_ID);
    return true;
  }

  /** The block where the cursor stands, checked; undefined where only a scan can tell. */
  private opened({ bytes, keyStart, keyEnd, valueStart, valueEnd }: HeldCursor): StoredBlock | undefined {
    if (bytes[valueStart]! & ~(Flag.block | Flag.provisional) || valueEnd - valueStart <= BLOCK_HEADER || !isBlock(bytes, valueStart, valueEnd, bytes, keyStart, keyEnd)) return undefined;
    return this.block.open(bytes, keyStart, bytes, valueStart, valueEnd);
  }

  private blockUp(cursor: HeldCursor, lower: Uint8Array, upper: Uint8Array, s: number, max: number, into: IndexRows): boolean {
    const block = this.opened(cursor);
    if (!block) return false;
    if (bornAt(block.provisional, block.birth, into) > s) return into.stops.length === 0;
    const { view } = block;
    const end = Math.min(block.lowerBound(upper), block.count);
    const { rowIds, stops, before } = into;
    for (let i = block.lowerBound(lower); i < end && this.count < max; i++) {
      if (this.stop < stops.length && this.passes(block, i, 1, stops, before)) continue;
      rowIds[this.count++] = view.rowId(i);
    }
    return true;
  }

  private blockDown(cursor: HeldCursor, lower: Uint8Array, upper: Uint8Array, s: number, max: number, into: IndexRows): boolean {
    const block = this.opened(cursor);
    if (!block) return false;
    if (bornAt(block.provisional, block.birth, into) > s) return into.stops.length === 0;
    const { view } = block;
    const first = block.lowerBound(lower);
    const { rowIds, stops, before } = into;
    for (let i = Math.min(block.lowerBound(upper), block.count) - 1; i >= first && this.count < max; i--) {
      if (this.stop < stops.length && this.passes(block, i, -1, stops, before)) continue;
      rowIds[this.count++] = view.rowId(i);
    }
    return true;
  }

  /** Notes the stops before entry `i`; true: it is one itself. */
  private passes(block: StoredBlock, i: number, direction: number, stops: readonly Uint8Array[], before: number[]): boolean {
    while (this.stop < stops.length) {
      const order = block.view.compare(i, stops[this.stop]!, INDEX_ID) * direction;
      if (order < 0) return false;
      before[this.stop++] = this.count;
      if (order === 0) return true;
    }
    return false;
  }
}


/**
 * The keyspace `heap` with rows of loads in blocks: to whoever reads or writes, single rows. Where a row may be is known from its id
 * (row-block.ts), so nothing is searched: it stands alone, or in its group's block. A row that changes leaves the block.
 *
 * In a write transaction the block that was changed last is kept until another one is, or until its end. A storage that has blocks has a
 * mark under its id alone, so that writing to others costs one look-up in a transaction; readers remember that they met one.
 */
import { compareBytes, readUint48 } from '../keycode.js';
import { nextKey } from '../kv/key-value-store.js';
import type { Chunk, Entry, EntryVisitor, KeyValueReader, KeyValueWriter, Walker } from '../kv/key-value-store.js';
import { HEAP_KEY, blocksMark, damaged, storagePrefix } from '../mvcc/row-format.js';
import { slabCopy } from '../slab.js';
import { BLOCK_KEY, GROUP_ROWS, ROW_BLOCK_MAX, RowBlockView, countBits, rowBlockKey, rowInGroup, sameGroup } from './row-block.js';

const MARK = 6;
/** Enough to remember which storages have blocks. */
const MOST_SEEN = 10_000;
const ALL = new Uint8Array(HEAP_KEY).fill(0xff);

export class RowBlocks {
  private readonly block = new RowBlockView();
  private readonly blockKey = new Uint8Array(BLOCK_KEY);
  /** Storages in which blocks were met: there a row is looked for in one first. */
  private readonly seen = new Set<number>();
  /** In a write transaction: whether a storage has blocks. */
  private readonly marked = new Map<number, boolean>();
  /** In a write transaction: the group that was asked for last. */
  private readonly openKey = new Uint8Array(BLOCK_KEY);
  private readonly openBlock = new RowBlockView();
  private isOpen = false;
  /** Whether it has a block, and which of that one's rows are left. */
  private hasOpen = false;
  private openRows = 0;

  /** `reader`: of the transaction in progress, or of the newest state. `damage`: told of what is damaged; unset: it raises. */
  constructor(private readonly reader: () => KeyValueReader, private readonly writer: () => KeyValueWriter | undefined, private readonly damage: (key: Uint8Array) => boolean) {}

  /** The block of this row's group, in `block`. */
  private blockOf(key: Uint8Array, start = 0): boolean {
    const value = this.reader().get('heap', rowBlockKey(this.blockKey, key, start));
    return value !== undefined && this.open(this.block, this.blockKey, 0, value, 0, value.length);
  }

  /** False: it is damaged, and that was told. */
  private open(block: RowBlockView, keys: Uint8Array, keyStart: number, values: Uint8Array, start: number, end: number): boolean {
    if (block.open(keys, keyStart, values, start, end)) {
      if (this.seen.size < MOST_SEEN) this.seen.add(readUint48(keys, keyStart));
      return true;
    }
    const key = keys.slice(keyStart, keyStart + BLOCK_KEY);
    if (!this.damage(key)) throw damaged('row', key);
    return false;
  }

  // ---- reading

  get(key: Uint8Array): Uint8Array | undefined {
    if (key.length !== HEAP_KEY) return undefined;
    const row = rowInGroup(key);
    if (this.isOpen && sameGroup(key, 0, this.openKey, 0)) return this.openRows & (1 << row) ? this.openBlock.valueOf(row) : this.reader().get('heap', key);
    if (this.seen.has(readUint48(key, 0))) {
      if (this.blockOf(key) && this.block.has(row)) return this.block.valueOf(row);
      return this.reader().get('heap', key);
    }
    const alone = this.reader().get('heap', key);
    if (alone) return alone;
    return this.blockOf(key) && this.block.has(row) ? this.block.valueOf(row) : undefined;
  }

  seek(lower: Uint8Array, into: Entry): boolean {
    const chunk: Chunk = { keys: [], values: [] };
    if (this.scan(lower, ALL, false, 1, chunk) === 0) return false;
    into.key = chunk.keys[0]!;
    into.value = chunk.values[0]!;
    return true;
  }

  run(key: Uint8Array, max: number, values: Uint8Array[]): number {
    this.settle();
    let count = 0;
    if (!this.seen.has(readUint48(key, 0))) {
      count = this.reader().run('heap', key, max, values);
      if (count === max || !this.blockOf(key)) return count;
    }
    let inBlock = this.blockOf(key);
    for (; count < max; count++, nextKey(key)) {
      const row = rowInGroup(key);
      if (row === 0) inBlock = this.blockOf(key);
      if (inBlock && this.block.has(row)) {
        values.push(this.block.valueOf(row));
        continue;
      }
      // Another look-up: what was lent is gone.
      inBlock = false;
      const value = this.reader().get('heap', key);
      const found = value ? slabCopy(value, 0, value.length) : this.get(key);
      if (!found) break;
      values.push(found);
    }
    return count;
  }

  scan(lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk): number {
    this.settle();
    return reverse ? this.scanDown(lower, upper, max, into) : this.scanUp(lower, upper, max, into);
  }

  /** So many stored values are asked for, for so many rows. */
  private want(lower: Uint8Array, rows: number): number {
    return rows !== Infinity && lower.length >= MARK && this.seen.has(readUint48(lower, 0)) ? Math.ceil(rows / GROUP_ROWS) + 1 : rows;
  }

  private scanUp(lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    const stored: Chunk = { keys: [], values: [] };
    let count = 0;
    for (let from = lower; count < max; ) {
      stored.keys.length = stored.values.length = 0;
      const want = this.want(from, max - count);
      const got = this.reader().scan('heap', from, upper, false, want, stored);
      const { keys, values } = stored;
      let i = 0;
      while (i < got && count < max) {
        const key = keys[i]!;
        if (key.length === MARK) {
          i++;
          continue;
        }
        if (key.length !== HEAP_KEY && key.length !== BLOCK_KEY) {
          // Of a damaged page: whoever knows what keys look like says so.
          count += pushAll(stored, i, ++i, max - count, into);
          continue;
        }
        let end = i;
        while (end < got && keys[end]!.length === HEAP_KEY && sameGroup(key, 0, keys[end]!, 0)) end++;
        const whole = end < got;
        const hasBlock = whole && keys[end]!.length === BLOCK_KEY && sameGroup(key, 0, keys[end]!, 0);
        // What follows the last ones is not known, or lies behind the range.
        const block = hasBlock ? this.open(this.block, keys[end]!, 0, values[end]!, 0, values[end]!.length) : !whole && this.blockOf(key);
        count += block ? this.merge(from, !whole && got === want ? keys[end - 1]! : upper, !whole && got === want, stored, i, end, max - count, into) : pushAll(stored, i, end, max - count, into);
        i = hasBlock ? end + 1 : end;
      }
      if (got < want) {
        // The range may end within a group of which nothing stands alone.
        const last = keys[got - 1];
        if (count < max && upper.length >= HEAP_KEY && !(last && last.length >= HEAP_KEY && sameGroup(last, 0, upper, 0)) && this.blockOf(upper)) count += this.merge(from, upper, false, stored, 0, 0, max - count, into);
        break;
      }
      const next = successor(keys[got - 1]!);
      if (compareBytes(next, from) <= 0) throw damaged('row', keys[got - 1]!);
      from = next;
    }
    return count;
  }

  /** The rows of `block` and those alone, [from, to) of `stored`, within [lower, upper) (or up to `upper` itself), in order. */
  private merge(lower: Uint8Array, upper: Uint8Array, inclusive: boolean, stored: Chunk, from: number, to: number, max: number, into: Chunk): number {
    const { block } = this;
    let count = 0;
    let next = from;
    for (let row = 0; row < GROUP_ROWS && count < max; row++) {
      if (next < to && rowInGroup(stored.keys[next]!) === row) {
        into.keys.push(stored.keys[next]!);
        into.values.push(stored.values[next]!);
        next++;
        count++;
      } else if (block.has(row)) {
        const { key, value } = block.entry(row);
        const order = compareBytes(key, upper);
        if (compareBytes(key, lower) < 0 || order > 0 || (order === 0 && !inclusive)) continue;
        into.keys.push(key);
        into.values.push(value);
        count++;
      }
    }
    return count;
  }

  /** Group by group: rarely more than one row is asked for. */
  private scanDown(lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    let count = 0;
    for (let to = upper; count < max && compareBytes(lower, to) < 0; ) {
      let group = to;
      if (to.length < HEAP_KEY || compareBytes(groupStart(to), to) >= 0 || !this.blockOf(to)) {
        const stored: Chunk = { keys: [], values: [] };
        if (this.reader().scan('heap', lower, to, true, 1, stored) === 0) break;
        group = stored.keys[0]!;
        if (group.length === MARK) {
          to = group;
          continue;
        }
      }
      const first = groupStart(group);
      const rows: Chunk = { keys: [], values: [] };
      this.scanUp(compareBytes(first, lower) > 0 ? first : lower, to, Infinity, rows);
      for (let i = rows.keys.length - 1; i >= 0 && count < max; i--, count++) {
        into.keys.push(rows.keys[i]!);
        into.values.push(rows.values[i]!);
      }
      to = first;
    }
    return count;
  }

  walk(walker: Walker, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor, trusts = false): boolean {
    const pending = new PendingRows(visit);
    const scratch = new Uint8Array(HEAP_KEY + ROW_BLOCK_MAX);
    const scratchView = new DataView(scratch.buffer);
    const block = new RowBlockView();
    const bound = new Uint8Array(HEAP_KEY);
    let storage = -1;
    let packed = false;
    /** Rows of the block at hand may lie outside of the range. */
    let atEdge = true;
    /** Rows of the block and those that wait, in order; true: no more. */
    const emit = (): boolean => {
      for (let row = 0; row < GROUP_ROWS; row++) {
        if (pending.take(row)) {
          if (pending.visit()) return true;
        } else if (block.has(row)) {
          const end = trusts ? block.copyInto(row, scratch, scratchView) : block.into(row, scratch, scratchView, 0);
          if (atEdge) {
            for (let i = 0; i < HEAP_KEY; i++) bound[i] = scratch[i]!;
            if (compareBytes(bound, lower) < 0 || compareBytes(bound, upper) >= 0) continue;
          }
          if (visit(scratch, 0, HEAP_KEY, scratch, HEAP_KEY, end, trusts)) return true;
        }
      }
      pending.clear();
      return false;
    };
    const done = walker.walk('heap', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      const length = keyEnd - keyStart;
      if (readUint48(keys, keyStart) !== storage) {
        if (pending.count > 0 && pending.flush()) return true;
        storage = readUint48(keys, keyStart);
        packed = length === MARK || this.reader().get('heap', storagePrefix(storage)) !== undefined;
      }
      if (length === MARK) return false;
      if (!packed) return visit(keys, keyStart, keyEnd, values, valueStart, valueEnd);
      if (length !== HEAP_KEY && length !== BLOCK_KEY) return (pending.count > 0 && pending.flush()) || visit(keys, keyStart, keyEnd, values, valueStart, valueEnd);
      if (pending.count > 0 && !pending.isOf(keys, keyStart) && pending.flush()) return true;
      if (length === HEAP_KEY) {
        pending.add(keys, keyStart, values, valueStart, valueEnd);
        return false;
      }
      if (this.open(block, keys, keyStart, values, valueStart, valueEnd)) {
        const more = !emit();
        // Those that follow are within the range: its end is looked at below.
        atEdge = false;
        return !more;
      }
      return pending.flush();
    });
    if (!done) return false;
    // The block of a group in which the range ends stands behind it.
    if (upper.length >= HEAP_KEY) {
      if (pending.count > 0 && !pending.isOf(upper, 0) && pending.flush()) return false;
      const value = this.reader().get('heap', rowBlockKey(this.blockKey, upper));
      if (value && compareBytes(this.blockKey, upper) >= 0) {
        const copy = slabCopy(value, 0, value.length);
        atEdge = true;
        if (this.open(block, this.blockKey.slice(), 0, copy, 0, copy.length)) return !emit();
      }
    }
    return pending.count === 0 || !pending.flush();
  }

  // ---- writing

  begin(): void {
    this.marked.clear();
    this.isOpen = false;
  }

  private hasBlocks(key: Uint8Array): boolean {
    const storage = readUint48(key, 0);
    let known = this.marked.get(storage);
    if (known === undefined) this.marked.set(storage, (known = this.writer()!.get('heap', storagePrefix(storage)) !== undefined));
    return known;
  }

  /** Takes the row out of its block; false: it is in none. */
  private takeOut(key: Uint8Array): boolean {
    if (!this.hasBlocks(key)) return false;
    if (!this.isOpen || !sameGroup(key, 0, this.openKey, 0)) {
      this.settle();
      rowBlockKey(this.openKey, key);
      const value = this.writer()!.get('heap', this.openKey);
      this.isOpen = true;
      this.openRows = 0;
      const copy = value && slabCopy(value, 0, value.length);
      this.hasOpen = copy !== undefined && this.open(this.openBlock, this.openKey, 0, copy, 0, copy.length);
      if (this.hasOpen) this.openRows = this.openBlock.rows;
    }
    const bit = 1 << rowInGroup(key);
    if (!(this.openRows & bit)) return false;
    this.openRows &= ~bit;
    return true;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    if (key.length === HEAP_KEY) this.takeOut(key);
    this.writer()!.put('heap', key, value);
  }

  delete(key: Uint8Array): boolean {
    return (key.length === HEAP_KEY && this.takeOut(key)) || this.writer()!.delete('heap', key);
  }

  /** Writes what is left of the block that was changed last. */
  settle(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { openBlock, openRows } = this;
    const writer = this.writer();
    if (!writer || !this.hasOpen || openBlock.rows === openRows) return;
    if (openRows === 0) writer.delete('heap', this.openKey);
    else writer.put('heap', this.openKey, openBlock.keeping(openRows));
  }

  /** Of a transaction that failed. */
  forget(): void {
    this.isOpen = false;
  }

  /** Puts a block of new rows; false: their group has one. */
  putBlock(key: Uint8Array, value: Uint8Array): boolean {
    const writer = this.writer()!;
    if (!writer.append('heap', key, value)) {
      this.settle();
      if (writer.get('heap', key)) return false;
      writer.put('heap', key, value);
    }
    this.isOpen &&= !sameGroup(key, 0, this.openKey, 0);
    this.mark(key);
    return true;
  }

  private mark(key: Uint8Array): void {
    if (this.hasBlocks(key)) return;
    const mark = storagePrefix(readUint48(key, 0));
    this.writer()!.put('heap', mark, blocksMark(mark));
    this.marked.set(readUint48(key, 0), true);
  }

  /** Of the keyspace's entries, those that can be read. */
  entryCount(walker: Walker): { stored: number; rows: number } {
    let stored = 0;
    let rows = 0;
    const block = new RowBlockView();
    walker.walk('heap', new Uint8Array(0), ALL, (keys, keyStart, keyEnd, values, start, end) => {
      stored++;
      if (keyEnd - keyStart === HEAP_KEY) rows++;
      else if (keyEnd - keyStart === BLOCK_KEY) rows += block.open(keys, keyStart, values, start, end) ? countBits(block.rows) : 1;
      return false;
    });
    return { stored, rows };
  }
}

/** Rows of a group that stand alone, until it is known whether it has a block. */
class PendingRows {
  private readonly keys: Uint8Array[] = [];
  private readonly values: Uint8Array[] = [];
  private next = 0;

  constructor(private readonly visitor: EntryVisitor) {}

  get count(): number {
    return this.keys.length;
  }

  add(keys: Uint8Array, keyStart: number, values: Uint8Array, start: number, end: number): void {
    this.keys.push(slabCopy(new Uint8Array(keys.buffer, keys.byteOffset, keys.length), keyStart, keyStart + HEAP_KEY));
    this.values.push(slabCopy(values, start, end));
  }

  isOf(keys: Uint8Array, start: number): boolean {
    return sameGroup(this.keys[0]!, 0, keys, start);
  }

  /** Whether this row of the group is the next of them. */
  take(row: number): boolean {
    return this.next < this.keys.length && rowInGroup(this.keys[this.next]!) === row;
  }

  visit(): boolean {
    const key = this.keys[this.next]!;
    const value = this.values[this.next++]!;
    return this.visitor(key, 0, key.length, value, 0, value.length);
  }

  /** There is no block; true: no more is wanted. */
  flush(): boolean {
    while (this.next < this.keys.length) if (this.visit()) return true;
    this.clear();
    return false;
  }

  clear(): void {
    this.keys.length = this.values.length = this.next = 0;
  }
}

/** The first key of a key's group. */
function groupStart(key: Uint8Array): Uint8Array {
  const first = key.slice(0, HEAP_KEY);
  first[HEAP_KEY - 1]! &= ~(GROUP_ROWS - 1);
  return first;
}

function pushAll(stored: Chunk, from: number, to: number, max: number, into: Chunk): number {
  const end = Math.min(to, from + max);
  for (let i = from; i < end; i++) {
    into.keys.push(stored.keys[i]!);
    into.values.push(stored.values[i]!);
  }
  return end - from;
}

function successor(key: Uint8Array): Uint8Array {
  const out = new Uint8Array(key.length + 1);
  out.set(key);
  return out;
}

/**
 * A KeyValueStore over another one that keeps many index entries in one value. Above it nothing of that shows: entries are read
 * and changed one by one; only `putPacked` (the applier, for records of loads) makes blocks.
 *
 *     state   index | a b | c d e f ... | q | r s t ... |        single entries and blocks, in one order
 *                       b            p     q           z          a block stands under the key of its last entry
 *
 * - No stored key lies between a block's first and last. So a seek finds the block that covers a key, if there is one; a range ends
 *   with a look at what stands behind it, which may be a block that begins before its end.
 * - What changes inside a block takes the entry out of it: it is written anew without it (delete), or as two (put), once, at the end of
 *   the write transaction (open-blocks.ts).
 * - An index that ever had blocks has a mark under its id alone (6 bytes), so that writing to others costs nothing more.
 * - A block has a check bound to its key. A damaged one raises XX001, or is named to `onDamage` and left out.
 * - An entry's value, with its own check, is made when it is read: readers do not know where it came from.
 */
import { compareBytes, readUint48, writeUint48 } from '../keycode.js';
import { nextKey } from '../kv/key-value-store.js';
import type { Builder, Capabilities, Chunk, Entry, EntryVisitor, IndexRows, KeyValueReader, KeyValueStore, KeyValueWriter, Keyspace, RowKeyspace, Walker } from '../kv/key-value-store.js';
import { BLOCK_HEADER, ENTRY_HEADER, Flag, PROVISIONAL_ENTRY_HEADER, blocksMark, damaged, isBlock, storagePrefix, writeEntryValue } from '../mvcc/row-format.js';
import { slabCopy } from '../slab.js';
import { BLOCK_LEAST, BLOCK_MAX, BlockView } from './block.js';
import { IndexRowsReader } from './index-rows.js';
import { BlockWriter, OpenBlocks } from './open-blocks.js';
import type { OpenBlock } from './open-blocks.js';
import { RowBlocks } from './row-blocks.js';
import { INDEX_ID, StoredBlock } from './stored-block.js';

const NO_PAYLOAD = new Uint8Array(0);
const LAST = new Uint8Array(INDEX_ID).fill(0xff);
const KEY_MAX = 2048;
/** Entries that a block has at least, mostly: how many are read at once follows. */
const EXPECTED_ENTRIES = 64;

const isMark = (key: Uint8Array): boolean => key.length === INDEX_ID;
const indexOf = (key: Uint8Array): number => readUint48(key, 0);

function successor(key: Uint8Array): Uint8Array {
  const out = new Uint8Array(key.length + 1);
  out.set(key);
  return out;
}

export class PackedKeyValueStore implements KeyValueStore, KeyValueWriter {
  readonly capabilities: Capabilities;
  private writer: KeyValueWriter | undefined;
  private readonly found: Entry = { key: NO_PAYLOAD, value: NO_PAYLOAD };
  private readonly block = new StoredBlock();
  private readonly rowIds = new IndexRowsReader();
  private readonly valueScratch = new Uint8Array(PROVISIONAL_ENTRY_HEADER);
  private readonly blocks = new BlockWriter();
  /** In a write transaction: blocks that it changes. */
  private readonly opens = new OpenBlocks(this.blocks);
  /** Indexes in which blocks were seen: how much is read at once follows, nothing else. */
  private readonly seen = new Set<number>();
  /** In a write transaction: whether an index has blocks. */
  private readonly marked = new Map<number, boolean>();
  /** In a write transaction: no block lies from the one key to the other. */
  private gap: { readonly from: Uint8Array; readonly to: Uint8Array } | undefined;
  /** The keyspace `heap`. */
  private readonly rows = new RowBlocks(
    () => this.reader,
    () => this.writer,
    (key) => {
      this.damage?.('heap', key);
      return this.damage !== undefined;
    },
  );
  private damage: ((space: Keyspace, key: Uint8Array) => void) | undefined;

  constructor(readonly base: KeyValueStore) {
    this.capabilities = base.capabilities;
  }

  get onDamage(): ((space: Keyspace, key: Uint8Array) => void) | undefined {
    return this.damage;
  }

  set onDamage(told: ((space: Keyspace, key: Uint8Array) => void) | undefined) {
    this.damage = told;
    this.base.onDamage = told;
  }

  private get reader(): KeyValueReader {
    return this.writer ?? this.base;
  }

  // ---- blocks

  /** The block at this place, checked; undefined when it is damaged and that was told. */
  private opened(key: Uint8Array, value: Uint8Array): StoredBlock | undefined {
    return this.openedAt(this.block, key, 0, key.length, value, 0, value.length);
  }

  private openedAt(block: StoredBlock, keys: Uint8Array, keyStart: number, keyEnd: number, values: Uint8Array, start: number, end: number): StoredBlock | undefined {
    if (isBlock(values, start, end, keys, keyStart, keyEnd)) return block.open(keys, keyStart, values, start, end);
    const key = keys.slice(keyStart, keyEnd);
    if (!this.damage) throw damaged('index entry', key);
    this.damage('index', key);
    return undefined;
  }

  /** The first stored entry or block at or behind `key`, in `found`. */
  private seekStored(key: Uint8Array): boolean {
    let from = key;
    while (this.reader.seek('index', from, this.found)) {
      if (!isMark(this.found.key)) return true;
      from = successor(this.found.key);
    }
    return false;
  }

  /** The block whose range has `key`. What was found else is in `found`, as far as `there` says so. */
  private covering(key: Uint8Array): { block: StoredBlock | undefined; there: boolean } {
    const there = this.seekStored(key);
    if (!there || !isPacked(this.found.value) || indexOf(this.found.key) !== indexOf(key)) return { block: undefined, there };
    const block = this.opened(this.found.key, this.found.value);
    return { block: block && block.view.compare(0, key, INDEX_ID) <= 0 ? block : undefined, there };
  }

  // ---- reading

  /** Ranges are read as they are stored. */
  private settle(): void {
    if (this.opens.any) this.opens.closeAll();
  }

  get(space: Keyspace, key: Uint8Array): Uint8Array | undefined {
    if (space === 'heap') return this.rows.get(key);
    if (space !== 'index') return this.reader.get(space, key);
    if (this.writer && !isMark(key) && this.hasBlocks(key)) {
      const open = this.openCovering(key);
      return open ? open.get(key) : this.writer.get('index', key);
    }
    const value = this.reader.get(space, key);
    if (value && !isPacked(value)) return value;
    if (isMark(key)) return undefined;
    if (value) {
      const block = this.opened(key, value);
      return block && block.valueInto(this.valueScratch.subarray(0, block.valueLength), key);
    }
    if (key.length <= INDEX_ID) return undefined;
    const { block } = this.covering(key);
    if (!block || !block.is(block.lowerBound(key), key)) return undefined;
    return block.valueInto(this.valueScratch.subarray(0, block.valueLength), key);
  }

  seek(space: Keyspace, lower: Uint8Array, into: Entry): boolean {
    if (space === 'heap') return this.rows.seek(lower, into);
    if (space !== 'index') return this.reader.seek(space, lower, into);
    this.settle();
    for (let from = lower; this.seekStored(from); from = successor(this.found.key)) {
      const { key, value } = this.found;
      if (!isPacked(value)) {
        into.key = key;
        into.value = value;
        return true;
      }
      const block = this.opened(key, value);
      if (!block) continue;
      into.key = block.keyOf(block.lowerBound(from));
      into.value = block.valueOf(into.key);
      return true;
    }
    return false;
  }

  scan(space: Keyspace, lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk, past?: boolean): number {
    if (space === 'heap') return this.rows.scan(lower, upper, reverse, max, into);
    if (space !== 'index') return this.reader.scan(space, lower, upper, reverse, max, into, past);
    this.settle();
    return reverse ? this.scanDown(lower, upper, max, into) : this.scanUp(lower, upper, max, into);
  }

  /** As `opened`, for a block that a scan came to. */
  private met(key: Uint8Array, value: Uint8Array): StoredBlock | undefined {
    if (this.seen.size < MOST_SEEN) this.seen.add(indexOf(key));
    return this.opened(key, value);
  }

  /** So many stored values are asked for, for so many entries. */
  private want(lower: Uint8Array, entries: number): number {
    if (entries === Infinity || lower.length < INDEX_ID || !this.seen.has(indexOf(lower))) return entries;
    return Math.min(entries, 1 + Math.ceil(entries / EXPECTED_ENTRIES));
  }

  private scanUp(lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    const { keys, values } = into;
    let count = 0;
    for (let from = lower; count < max; ) {
      const start = keys.length;
      const want = this.want(lower, max - count);
      const got = this.reader.scan('index', from, upper, false, want, into, true);
      if (!anyPacked(values, start)) {
        keys.length = values.length = start + got;
        count += got;
        if (got > 0) this.lastStored = keys[start + got - 1]!;
      } else count += this.unpackUp(start, from, upper, max - count, into);
      if (got < want || count >= max) return count;
      from = successor(this.lastStored);
    }
    return count;
  }

  private lastStored: Uint8Array = NO_PAYLOAD;

  /** Takes apart what stands in `into` from `start` on: the entries of [lower, upper), at most `max`. */
  private unpackUp(start: number, lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    const storedKeys = into.keys.splice(start);
    const storedValues = into.values.splice(start);
    this.lastStored = storedKeys.at(-1)!;
    let count = 0;
    for (let n = 0; n < storedKeys.length && count < max; n++) {
      const key = storedKeys[n]!;
      const value = storedValues[n]!;
      if (isMark(key)) continue;
      if (!isPacked(value)) {
        if (compareBytes(key, upper) >= 0) break;
        into.keys.push(key);
        into.values.push(value);
        count++;
        continue;
      }
      const block = this.met(key, value);
      if (!block) continue;
      const end = Math.min(compareBytes(key, upper) < 0 ? block.count : block.lowerBound(upper), block.count);
      for (let i = block.lowerBound(lower); i < end && count < max; i++, count++) push(block, i, into);
    }
    return count;
  }

  private scanDown(lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    let count = 0;
    // No block reaches from one storage into another.
    if (upper.length > INDEX_ID && max > 0 && this.seekStored(upper) && isPacked(this.found.value)) {
      const block = this.opened(this.found.key, this.found.value);
      if (block) count = this.pushDown(block, lower, block.lowerBound(upper), max, into);
    }
    const stored: Chunk = { keys: [], values: [] };
    for (let to = upper; count < max; ) {
      stored.keys.length = stored.values.length = 0;
      const want = this.want(lower, max - count);
      const got = this.reader.scan('index', lower, to, true, want, stored);
      for (let n = 0; n < got && count < max; n++) {
        const key = stored.keys[n]!;
        const value = stored.values[n]!;
        if (isMark(key)) continue;
        if (!isPacked(value)) {
          into.keys.push(key);
          into.values.push(value);
          count++;
          continue;
        }
        const block = this.met(key, value);
        if (block) count += this.pushDown(block, lower, block.count, max - count, into);
      }
      if (got < want) break;
      to = stored.keys[got - 1]!;
    }
    return count;
  }

  private pushDown(block: StoredBlock, lower: Uint8Array, end: number, max: number, into: Chunk): number {
    const first = block.lowerBound(lower);
    let count = 0;
    for (let i = end - 1; i >= first && count < max; i--, count++) push(block, i, into);
    return count;
  }

  run(space: RowKeyspace, key: Uint8Array, max: number, values: Uint8Array[]): number {
    if (space === 'heap') return this.rows.run(key, max, values);
    let count = 0;
    for (; count < max; count++) {
      const value = this.get(space, key);
      if (!value) break;
      values.push(slabCopy(value, 0, value.length));
      nextKey(key);
    }
    return count;
  }

  indexRows(lower: Uint8Array, upper: Uint8Array, reverse: boolean, s: number, max: number, into: IndexRows): number {
    const cursor = this.writer ? undefined : this.base.held?.('index');
    return cursor ? this.rowIds.read(cursor, lower, upper, reverse, s, max, into) : -1;
  }

  bulk<T>(action: (walker: Walker) => T): T {
    return this.base.bulk((walker) =>
      action({
        walk: (space, lower, upper, visit, trusts) =>
          space === 'index' ? this.walkIndex(walker, lower, upper, visit) : space === 'heap' ? this.rows.walk(walker, lower, upper, visit, trusts) : walker.walk(space, lower, upper, visit),
      }),
    );
  }

  private walkIndex(walker: Walker, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor): boolean {
    const scratch = new Uint8Array(KEY_MAX + PROVISIONAL_ENTRY_HEADER);
    // Its own: the visitor may read.
    const block = new StoredBlock();
    let ended = false;
    const each: EntryVisitor = (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      if (keyEnd - keyStart === INDEX_ID) return false;
      if (valueEnd - valueStart < BLOCK_HEADER || !(values[valueStart]! & Flag.block)) return visit(keys, keyStart, keyEnd, values, valueStart, valueEnd);
      // What the pages' window holds is read over by nobody while its visitor runs.
      if (!this.openedAt(block, keys, keyStart, keyEnd, values, valueStart, valueEnd)) return false;
      const end = block.lowerBound(upper);
      for (let i = block.lowerBound(lower); i < end; i++) {
        const length = block.keyInto(i, scratch);
        const valueLength = block.valueLength;
        block.valueInto(scratch.subarray(length, length + valueLength), scratch.subarray(0, length));
        if (visit(scratch, 0, length, scratch, length, length + valueLength)) return true;
      }
      return false;
    };
    if (!walker.walk('index', lower, upper, each)) return false;
    if (upper.length <= INDEX_ID) return true;
    walker.walk('index', upper, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      if (keyEnd - keyStart > INDEX_ID && values[valueStart]! & Flag.block) ended = each(keys, keyStart, keyEnd, values, valueStart, valueEnd);
      return true;
    });
    return !ended;
  }

  // ---- writing

  write(action: (writer: KeyValueWriter) => void): void {
    this.base.write((writer) => {
      this.writer = this.blocks.writer = writer;
      this.marked.clear();
      this.gap = undefined;
      try {
        this.rows.begin();
        const result = action(this);
        this.opens.closeAll();
        this.rows.settle();
        // What it returns is judged below.
        return result;
      } finally {
        this.opens.forget();
        this.rows.forget();
        this.writer = undefined;
      }
    });
  }

  private hasBlocks(key: Uint8Array): boolean {
    const index = indexOf(key);
    let known = this.marked.get(index);
    if (known === undefined) this.marked.set(index, (known = this.writer!.get('index', storagePrefix(index)) !== undefined));
    return known;
  }

  put(space: Keyspace, key: Uint8Array, value: Uint8Array): void {
    if (space === 'heap') {
      this.rows.put(key, value);
      return;
    }
    const open = space === 'index' && this.hasBlocks(key) ? this.openCovering(key) : undefined;
    if (!open) {
      this.writer!.put(space, key, value);
      return;
    }
    open.put(key, value);
    if (open.full) this.opens.close(open);
  }

  append(space: RowKeyspace, key: Uint8Array, value: Uint8Array): boolean {
    // Behind all stored keys is behind all entries.
    return this.writer!.append(space, key, value);
  }

  delete(space: Keyspace, key: Uint8Array): boolean {
    if (space === 'heap') return this.rows.delete(key);
    if (space !== 'index' || !this.hasBlocks(key)) return this.writer!.delete(space, key);
    const open = this.openCovering(key);
    return open ? open.delete(key) : this.writer!.delete('index', key);
  }

  /** The block whose range has `key`, open; undefined when none has it: then it is stored by itself, or not at all. */
  private openCovering(key: Uint8Array): OpenBlock | undefined {
    const open = this.opens.covering(key);
    if (open) return open;
    const { gap } = this;
    if (gap && compareBytes(gap.from, key) <= 0 && compareBytes(key, gap.to) < 0) return undefined;
    const { block, there } = this.covering(key);
    // What was found stays: seeks give copies.
    if (block) return this.opens.add(new StoredBlock().open(block.key, 0, block.value, 0, block.value.length));
    const to = !there ? LAST : isPacked(this.found.value) ? this.firstKey(this.found.key, this.found.value) : this.found.key;
    if (to) this.gap = { from: key.slice(), to };
    return undefined;
  }

  private firstKey(key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
    return this.opened(key, value)?.keyOf(0);
  }

  putRowBlock(key: Uint8Array, value: Uint8Array): boolean {
    return this.rows.putBlock(key, value);
  }

  putPacked(index: number, keys: Uint8Array, provisional: number, birth: number, stage: number): void {
    const view = new BlockView().open(keys, 0, keys.length);
    const scratch = new Uint8Array(INDEX_ID + view.keyMax);
    writeUint48(scratch, 0, index);
    const first = scratch.slice(0, view.key(0, scratch, INDEX_ID));
    const last = scratch.slice(0, view.key(view.count - 1, scratch, INDEX_ID));
    if (view.count >= BLOCK_LEAST && keys.length <= BLOCK_MAX) {
      const behind = this.seekStored(first);
      if (!behind || this.isFree(last)) {
        this.mark(index);
        this.gap = undefined;
        this.blocks.block(last, keys, keys.length, provisional, birth, stage, !behind);
        return;
      }
    }
    for (let i = 0; i < view.count; i++) {
      const key = scratch.slice(0, view.key(i, scratch, INDEX_ID));
      const value = new Uint8Array(provisional ? PROVISIONAL_ENTRY_HEADER : ENTRY_HEADER);
      writeEntryValue(value, provisional, birth, NO_PAYLOAD, key, stage);
      this.put('index', key, value);
    }
  }

  /** What was found lies behind `last`, all of it. */
  private isFree(last: Uint8Array): boolean {
    const { key, value } = this.found;
    if (compareBytes(key, last) <= 0) return false;
    if (!isPacked(value) || indexOf(key) !== indexOf(last)) return true;
    const behind = this.firstKey(key, value);
    return behind !== undefined && compareBytes(behind, last) > 0;
  }

  private mark(index: number): void {
    if (this.marked.get(index) === true) return;
    const key = storagePrefix(index);
    if (!this.hasBlocks(key)) this.writer!.put('index', key, blocksMark(key));
    this.marked.set(index, true);
  }

  clear(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean {
    this.settle();
    this.rows.settle();
    this.rows.begin();
    this.marked.clear();
    this.gap = undefined;
    return this.writer!.clear(space, lower, upper, max);
  }

  // ---- the rest is the store's below

  refresh(): void {
    this.base.refresh();
  }

  async fill(action: (builder: Builder) => Promise<void>): Promise<boolean> {
    return (await this.base.fill?.(action)) ?? false;
  }

  sync(): Promise<void> {
    return this.base.sync();
  }

  /** Of `heap` and `index` as many as can be read, and those besides that the store below counts and nobody reads. */
  entryCount(space: Keyspace): number {
    const kept = this.base.entryCount(space);
    if (space === 'heap') {
      const { stored, rows } = this.base.bulk((walker) => this.rows.entryCount(walker));
      return rows + kept - stored;
    }
    if (space !== 'index') return kept;
    let stored = 0;
    let entries = 0;
    const view = new BlockView();
    this.base.bulk((walker) =>
      walker.walk('index', NO_PAYLOAD, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
        stored++;
        if (keyEnd - keyStart === INDEX_ID) return false;
        const block = (values[valueStart]! & Flag.block) !== 0 && isBlock(values, valueStart, valueEnd, keys, keyStart, keyEnd);
        entries += block ? view.open(values, valueStart + BLOCK_HEADER, valueEnd).count : 1;
        return false;
      }),
    );
    return entries + kept - stored;
  }

  byteSize(): number {
    return this.base.byteSize();
  }

  close(): void {
    this.base.close();
  }
}

/** Enough to remember which indexes have blocks. */
const MOST_SEEN = 10_000;

function isPacked(value: Uint8Array): boolean {
  return (value[0]! & Flag.block) !== 0;
}

function anyPacked(values: readonly Uint8Array[], from: number): boolean {
  for (let i = from; i < values.length; i++) if (values[i]![0]! & Flag.block) return true;
  return false;
}

function push(block: StoredBlock, i: number, into: Chunk): void {
  const key = block.keyOf(i);
  into.keys.push(key);
  into.values.push(block.valueOf(key));
}

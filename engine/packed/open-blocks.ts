/**
 * Blocks that a write transaction changes stay open until its end: what goes and what comes is noted here, and the block is written
 * once. What was put between its keys meanwhile becomes blocks again where it has one birth, as an UPDATE of a whole column has.
 *
 *     stored    | c d e f g h |        open: c . e f . h  +  e' (place 3)
 *                                      closed: | c e | e' | f h |     slices, single entries, new blocks
 *
 * The block remains stored as it was until it is closed, so that a seek for any key of its range still comes to it. Nothing else of
 * its range is stored: all of it is here.
 */
import { compareBytes, readUint48 } from '../keycode.js';
import type { KeyValueWriter } from '../kv/key-value-store.js';
import { BLOCK_HEADER, ENTRY_HEADER, Flag, PROVISIONAL_ENTRY_HEADER, sealBlock } from '../mvcc/row-format.js';
import { slabCopy } from '../slab.js';
import { BLOCK_LEAST, BLOCK_MAX, BlockPacker } from './block.js';
import { INDEX_ID, StoredBlock } from './stored-block.js';

const ROW_ID = 6;
/** A block with so many entries beside its own is closed. */
const MOST_BESIDE = 512;
/** All are closed when there are so many. */
const MOST_OPEN = 4096;

/** Writes blocks, and pieces of them, to the store below. */
export class BlockWriter {
  writer!: KeyValueWriter;
  private readonly keyScratch = new Uint8Array(2048);
  private readonly valueScratch = new Uint8Array(PROVISIONAL_ENTRY_HEADER);
  private readonly blockScratch = new Uint8Array(BLOCK_HEADER + BLOCK_MAX);
  private readonly packer = new BlockPacker();

  /** Writes a block of these keys; `key` is the last one. */
  block(key: Uint8Array, keys: Uint8Array, length: number, provisional: number, birth: number, stage: number, behindAll = false): void {
    this.blockScratch.set(keys.length === length ? keys : keys.subarray(0, length), BLOCK_HEADER);
    this.seal(key, BLOCK_HEADER + length, provisional, birth, stage, behindAll);
  }

  /** The keys stand in `blockScratch` behind the head. */
  private seal(key: Uint8Array, end: number, provisional: number, birth: number, stage: number, behindAll: boolean): void {
    const { blockScratch: value } = this;
    sealBlock(value, end, provisional, birth, stage, key);
    const whole = value.subarray(0, end);
    if (!behindAll || !this.writer.append('index', key, whole)) this.writer.put('index', key, whole);
  }

  /** Writes the entries [from, to) of a block that are alive, as blocks or, where they are few, one by one. */
  slice(block: StoredBlock, from: number, to: number, dead: Uint8Array | undefined): void {
    let start = from;
    let end = to;
    let gone = 0;
    let without = -1;
    if (dead) {
      while (start < end && dead[start]) start++;
      while (start < end && dead[end - 1]) end--;
      for (let i = start; i < end; i++) {
        if (!dead[i]) continue;
        gone++;
        without = i;
      }
    }
    const entries = end - start - gone;
    if (entries < BLOCK_LEAST) for (let i = start; i < end; i++) { if (!dead?.[i]) this.single(block, i); }
    else if (gone > 1) this.repack(block, start, end, dead!);
    else {
      const length = block.view.cut(start, end, without, this.blockScratch, BLOCK_HEADER);
      this.seal(this.keyOf(block, end - 1), length, block.provisional, block.birth, block.stage, false);
    }
  }

  private keyOf(block: StoredBlock, i: number): Uint8Array {
    return this.keyScratch.subarray(0, block.keyInto(i, this.keyScratch));
  }

  private single(block: StoredBlock, i: number): void {
    const key = this.keyOf(block, i);
    this.writer.put('index', key, block.valueInto(this.valueScratch.subarray(0, block.valueLength), key));
  }

  /** There are enough of them for a block, and they fit into one: they were in one. */
  private repack(block: StoredBlock, from: number, to: number, dead: Uint8Array): void {
    const { packer } = this;
    let last = from;
    for (let i = from; i < to; i++) {
      if (dead[i]) continue;
      last = i;
      const key = this.keyOf(block, i);
      packer.add(key, INDEX_ID, key.length - INDEX_ID - ROW_ID, readUint48(key, key.length - ROW_ID));
    }
    const length = packer.finish();
    this.block(this.keyOf(block, last), packer.bytes, length, block.provisional, block.birth, block.stage);
  }

  /** Writes entries [from, to) of these, between which nothing is stored. Those of one birth go together. */
  entries(keys: readonly Uint8Array[], values: readonly Uint8Array[], from: number, to: number): void {
    for (let i = from; i < to; ) {
      let end = i + 1;
      if (isBare(values[i]!)) while (end < to && sameHead(values[i]!, values[end]!)) end++;
      if (end - i < BLOCK_LEAST) for (; i < end; i++) this.writer.put('index', keys[i]!, values[i]!);
      else {
        this.pack(keys, values, i, end);
        i = end;
      }
    }
  }

  private pack(keys: readonly Uint8Array[], values: readonly Uint8Array[], from: number, to: number): void {
    const { packer } = this;
    let first = from;
    for (let i = from; i < to; i++) {
      if (this.add(keys[i]!)) continue;
      this.endPack(keys, values, first, i);
      first = i;
      if (this.add(keys[i]!)) continue;
      this.writer.put('index', keys[i]!, values[i]!);
      first = i + 1;
    }
    if (packer.count > 0) this.endPack(keys, values, first, to);
  }

  private add(key: Uint8Array): boolean {
    return this.packer.add(key, INDEX_ID, key.length - INDEX_ID - ROW_ID, readUint48(key, key.length - ROW_ID));
  }

  private endPack(keys: readonly Uint8Array[], values: readonly Uint8Array[], from: number, to: number): void {
    const { packer } = this;
    if (from === to) return;
    const length = packer.finish();
    if (to - from < BLOCK_LEAST) {
      for (let i = from; i < to; i++) this.writer.put('index', keys[i]!, values[i]!);
      return;
    }
    const value = values[from]!;
    const provisional = value[0]! & Flag.provisional;
    this.block(keys[to - 1]!, packer.bytes, length, provisional, readUint48(value, 1), provisional ? readUint48(value, ENTRY_HEADER) : 0);
  }
}

/** An entry's value without payload. */
const isBare = (value: Uint8Array): boolean => (value[0] === 0 && value.length === ENTRY_HEADER) || (value[0] === Flag.provisional && value.length === PROVISIONAL_ENTRY_HEADER);

/** Of values without payload: they could stand in one block. */
function sameHead(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < 7; i++) if (a[i] !== b[i]) return false;
  for (let i = ENTRY_HEADER; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** One of them. */
export class OpenBlock {
  readonly first: Uint8Array;
  private dead: Uint8Array | undefined;
  /** Entries beside the block's own, in order, and before which of its entries each stands. */
  private readonly keys: Uint8Array[] = [];
  private readonly values: Uint8Array[] = [];
  private readonly places: number[] = [];

  constructor(private readonly block: StoredBlock) {
    this.first = block.keyOf(0);
  }

  get key(): Uint8Array {
    return this.block.key;
  }

  get full(): boolean {
    return this.keys.length >= MOST_BESIDE;
  }

  covers(key: Uint8Array): boolean {
    return compareBytes(this.first, key) <= 0 && compareBytes(key, this.block.key) <= 0;
  }

  /** The first of `keys` at or behind `key`. */
  private search(key: Uint8Array): number {
    const { keys } = this;
    let low = 0;
    let high = keys.length;
    // Most come behind the last.
    if (high > 0 && compareBytes(keys[high - 1]!, key) < 0) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(keys[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private has(at: number, key: Uint8Array): boolean {
    return at < this.keys.length && compareBytes(this.keys[at]!, key) === 0;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const at = this.search(key);
    if (this.has(at, key)) return this.values[at];
    const { block } = this;
    const i = block.lowerBound(key);
    return block.is(i, key) && !this.dead?.[i] ? block.valueOf(key) : undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const at = this.search(key);
    if (this.has(at, key)) {
      this.values[at] = slabCopy(value, 0, value.length);
      return;
    }
    const { block } = this;
    const place = block.lowerBound(key);
    if (block.is(place, key)) this.kill(place);
    this.keys.splice(at, 0, slabCopy(key, 0, key.length));
    this.values.splice(at, 0, slabCopy(value, 0, value.length));
    this.places.splice(at, 0, place);
  }

  delete(key: Uint8Array): boolean {
    const at = this.search(key);
    if (this.has(at, key)) {
      for (const list of [this.keys, this.values, this.places]) list.splice(at, 1);
      return true;
    }
    const { block } = this;
    const i = block.lowerBound(key);
    if (!block.is(i, key) || this.dead?.[i]) return false;
    this.kill(i);
    return true;
  }

  private kill(i: number): void {
    (this.dead ??= new Uint8Array(this.block.count))[i] = 1;
  }

  private anyAlive(from: number, to: number): boolean {
    const { dead } = this;
    if (!dead) return from < to;
    for (let i = from; i < to; i++) if (!dead[i]) return true;
    return false;
  }

  /** Writes what has become of it. */
  close(out: BlockWriter): void {
    const { block, dead, keys, values, places } = this;
    if (!dead && keys.length === 0) return;
    const { count } = block;
    if (dead?.[count - 1]) out.writer.delete('index', block.key);
    let from = 0;
    for (let s = 0; s < keys.length; ) {
      out.slice(block, from, places[s]!, dead);
      let end = s + 1;
      while (end < keys.length && !this.anyAlive(places[end - 1]!, places[end]!)) end++;
      out.entries(keys, values, s, end);
      from = places[end - 1]!;
      s = end;
    }
    out.slice(block, from, count, dead);
  }
}

/** All of a write transaction, in order. */
export class OpenBlocks {
  private readonly open: OpenBlock[] = [];
  /** The one that was asked for last. */
  private current: OpenBlock | undefined;

  constructor(private readonly out: BlockWriter) {}

  get any(): boolean {
    return this.open.length > 0;
  }

  /** The open one whose range has `key`. */
  covering(key: Uint8Array): OpenBlock | undefined {
    const { current, open } = this;
    if (open.length === 0) return undefined;
    if (current?.covers(key)) return current;
    const at = this.behind(key) - 1;
    const found = at >= 0 && compareBytes(key, open[at]!.key) <= 0 ? open[at] : undefined;
    if (found) this.current = found;
    return found;
  }

  /** The first that begins behind `key`. */
  private behind(key: Uint8Array): number {
    const { open } = this;
    let low = 0;
    let high = open.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(open[middle]!.first, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Opens what is stored at `block`, which stays valid. */
  add(block: StoredBlock): OpenBlock {
    if (this.open.length >= MOST_OPEN) this.closeAll();
    const opened = new OpenBlock(block);
    this.open.splice(this.behind(opened.first), 0, opened);
    return (this.current = opened);
  }

  close(block: OpenBlock): void {
    this.open.splice(this.open.indexOf(block), 1);
    if (this.current === block) this.current = undefined;
    block.close(this.out);
  }

  closeAll(): void {
    for (const block of this.open) block.close(this.out);
    this.forget();
  }

  /** Of a transaction that failed. */
  forget(): void {
    this.open.length = 0;
    this.current = undefined;
  }
}

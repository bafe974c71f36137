/**
 * LMDB's pages for short ranges: a state that stays held between two refreshes, and pages of it that are kept as they were read. A range of
 * hundred entries costs a cursor of lmdb-js 60 us (calls, copies and objects for each entry); here nothing is made for an entry.
 *
 * The layout is that of lmdb-pages.ts; that the pages stay what they are is up to the caller (lmdb.ts), who holds a read transaction
 * of the same state. Every place that a page names is checked against its bounds: a damaged page raises XX001.
 */
import type { FileHandle } from '../runtime.js';
import type { HeldCursor } from './key-value-store.js';
import { NODE_HEADER, NodeFlag, PAGE_HEADER, PageFlag, compareRange, damaged } from './lmdb-pages.js';
import type { Tree } from './lmdb-pages.js';

/** So many pages are kept, and those of one walk; so many are allocated at once. */
const MOST_PAGES = 2048;
const ARENA_PAGES = 32;
const MAX_DEPTH = 32;
/** All that tells kinds of pages apart. */
const KIND = 0xff;

interface Page {
  readonly bytes: Uint8Array;
  readonly buffer: Buffer;
  readonly view: DataView;
  /** Entries or children. */
  count: number;
  leaf: boolean;
}

/** Pages of one state, read when they are asked for. */
export class HeldPages {
  private readonly known = new Map<number, Page>();
  private readonly free: Page[] = [];

  constructor(private readonly file: FileHandle, readonly pageSize: number) {}

  /** Another state: nothing that was read is taken for its pages. */
  forget(): void {
    for (const page of this.known.values()) this.free.push(page);
    this.known.clear();
  }

  page(number: number, tree: Tree): Page {
    const known = this.known.get(number);
    if (known) return known;
    if (number < 2 || number >= tree.pages) throw damaged(`there is no page ${number}`);
    const page = this.unused();
    try {
      this.read(page, number, tree);
    } catch (error) {
      this.free.push(page);
      throw error;
    }
    this.known.set(number, page);
    return page;
  }

  private read(page: Page, number: number, tree: Tree): void {
    const { pageSize } = this;
    const { buffer } = page;
    if (this.file.readSync(buffer, number * pageSize) !== pageSize) throw damaged(`page ${number} lies beyond the file's end`);
    const kind = buffer[18]! & KIND;
    page.leaf = kind === PageFlag.leaf;
    if (readNumber(buffer, 0) !== number || (kind !== PageFlag.leaf && kind !== PageFlag.branch)) throw damaged(`page ${number} is not the one that belongs there`);
    if (readNumber(buffer, 8) > tree.transaction) throw damaged(`page ${number} is of a later transaction than the state it belongs to`);
    page.count = buffer.readUInt16LE(20) >>> 1;
    if (PAGE_HEADER + 2 * page.count > pageSize || (page.count === 0 && !page.leaf)) throw damaged(`page ${number} names ${page.count} entries`);
  }

  /** Between two walks: when many are kept, all go. */
  makeRoom(): void {
    if (this.known.size >= MOST_PAGES) this.forget();
  }

  private unused(): Page {
    if (this.free.length === 0) {
      const arena = new ArrayBuffer(this.pageSize * ARENA_PAGES);
      for (let i = 0; i < ARENA_PAGES; i++) {
        const start = i * this.pageSize;
        this.free.push({ bytes: new Uint8Array(arena, start, this.pageSize), buffer: Buffer.from(arena, start, this.pageSize), view: new DataView(arena, start, this.pageSize), count: 0, leaf: true });
      }
    }
    return this.free.pop()!;
  }
}

/** A place in one tree of a held state. No page goes while it moves: they do when a walk begins, and when the state is let go. */
export class TreeCursor implements HeldCursor {
  private readonly path: Page[] = [];
  private readonly places: number[] = [];
  private leaf: Page | undefined;
  private at = 0;
  private steps = 0;
  bytes: Uint8Array = NOTHING;
  view: DataView = NO_VIEW;
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  elsewhere = false;

  constructor(private readonly pages: HeldPages, private readonly tree: Tree) {}

  seek(key: Uint8Array): boolean {
    const { tree, path, places } = this;
    this.leaf = undefined;
    this.steps = 0;
    this.pages.makeRoom();
    if (tree.depth === 0) return false;
    if (tree.depth > MAX_DEPTH) throw damaged(`a tree is ${tree.depth} pages deep`);
    let number = tree.root;
    for (let depth = 0; depth < tree.depth - 1; depth++) {
      const page = this.branch(number);
      const place = childFor(page, key);
      path[depth] = page;
      places[depth] = place;
      number = childOf(page, place);
    }
    const leaf = (this.leaf = this.leafPage(number));
    let low = 0;
    let high = leaf.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const node = nodeOf(leaf, middle);
      if (compareRange(leaf.bytes, node + NODE_HEADER, keyEndOf(leaf, node), key) < 0) low = middle + 1;
      else high = middle;
    }
    this.at = low;
    return low < leaf.count ? this.stand() : this.nextLeaf();
  }

  next(): boolean {
    if (!this.leaf) return false;
    if (this.at < this.leaf.count) this.at++;
    return this.at < this.leaf.count ? this.stand() : this.nextLeaf();
  }

  previous(): boolean {
    if (!this.leaf) return false;
    if (this.at >= 0) this.at--;
    return this.at >= 0 ? this.stand() : this.previousLeaf();
  }

  private nextLeaf(): boolean {
    const { path, places, tree } = this;
    const leaf = this.leaf!;
    let depth = tree.depth - 2;
    while (depth >= 0 && places[depth]! + 1 >= path[depth]!.count) depth--;
    if (depth < 0) {
      // Behind the last entry: `previous` comes to it.
      this.at = leaf.count;
      return false;
    }
    places[depth]!++;
    return this.descend(depth, false);
  }

  private previousLeaf(): boolean {
    const { places, tree } = this;
    let depth = tree.depth - 2;
    while (depth >= 0 && places[depth] === 0) depth--;
    if (depth < 0) {
      this.at = -1;
      return false;
    }
    places[depth]!--;
    return this.descend(depth, true);
  }

  /** Down from a branch whose place is set, to the first or the last entry of the leaf. */
  private descend(from: number, last: boolean): boolean {
    const { path, places, tree } = this;
    // Damage can lead in circles.
    if (++this.steps > tree.leaves) throw damaged('a tree has more leaves than it says');
    let number = childOf(path[from]!, places[from]!);
    for (let depth = from + 1; depth < tree.depth - 1; depth++) {
      const page = (path[depth] = this.branch(number));
      places[depth] = last ? page.count - 1 : 0;
      number = childOf(page, places[depth]!);
    }
    const leaf = (this.leaf = this.leafPage(number));
    if (leaf.count === 0) throw damaged(`page ${number} is empty`);
    this.at = last ? leaf.count - 1 : 0;
    return this.stand();
  }

  private branch(number: number): Page {
    const page = this.pages.page(number, this.tree);
    if (page.leaf) throw damaged(`page ${number} is not the one that belongs there`);
    return page;
  }

  private leafPage(number: number): Page {
    const page = this.pages.page(number, this.tree);
    if (!page.leaf) throw damaged(`page ${number} is not the one that belongs there`);
    return page;
  }

  private stand(): boolean {
    const leaf = this.leaf!;
    const { bytes } = leaf;
    const node = nodeOf(leaf, this.at);
    const keyEnd = keyEndOf(leaf, node);
    const flags = bytes[node + 4]! | (bytes[node + 5]! << 8);
    const length = (bytes[node]! | (bytes[node + 1]! << 8) | (bytes[node + 2]! << 16) | (bytes[node + 3]! << 24)) >>> 0;
    this.bytes = bytes;
    this.view = leaf.view;
    this.keyStart = node + NODE_HEADER;
    this.keyEnd = keyEnd;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + length;
    this.elsewhere = flags !== 0;
    if (flags !== 0 ? flags !== NodeFlag.big : this.valueEnd > bytes.length) throw damaged('a page has a value beyond its end');
    return true;
  }
}

const NOTHING = new Uint8Array(0);
const NO_VIEW = new DataView(new ArrayBuffer(0));

function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x100000000;
}

function nodeOf({ bytes }: Page, i: number): number {
  const at = PAGE_HEADER + 2 * i;
  const node = PAGE_HEADER + (bytes[at]! | (bytes[at + 1]! << 8));
  if (node + NODE_HEADER > bytes.length) throw damaged('a page has an entry beyond its end');
  return node;
}

function keyEndOf({ bytes }: Page, node: number): number {
  const end = node + NODE_HEADER + (bytes[node + 6]! | (bytes[node + 7]! << 8));
  if (end > bytes.length) throw damaged('a page has a key beyond its end');
  return end;
}

function childOf(page: Page, i: number): number {
  return page.buffer.readUIntLE(nodeOf(page, i), 6);
}

/** The last child whose first key is not greater. */
function childFor(page: Page, key: Uint8Array): number {
  let low = 0;
  let high = page.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const node = nodeOf(page, middle);
    if (compareRange(page.bytes, node + NODE_HEADER, keyEndOf(page, node), key) <= 0) low = middle;
    else high = middle - 1;
  }
  return low;
}

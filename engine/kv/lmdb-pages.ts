/**
 * LMDB's pages read straight from the file: entries of whole key ranges at a tenth of what a cursor costs, because
 * nothing is copied or allocated for an entry. Only the layout is known here; that the pages stay what they are is up to the
 * caller (lmdb.ts), who holds a read transaction of the same state: pages that a held state can reach are not used again.
 *
 * The layout is that of LMDB's mdb.c with 64-bit page numbers, little-endian, data version 2 (what lmdb-js builds);
 * `open` answers undefined for any other, and the caller then reads with cursors.
 *
 *     page    u64 own number, u64 transaction that wrote it, u16 0, u16 flags, u16 lower, u16 upper (overflow: u32 pages)
 *             then u16 places of nodes, counted from byte 24; lower / 2 is how many
 *     node    branch: u48 page of the child, u16 key length, key (that of the first node counts as lowest)
 *             leaf:   u32 value length, u16 flags, u16 key length, key, value; or (flag 1) u64 first overflow page, u64, u64
 *     meta    pages 0 and 1: magic, version, address, map size, the trees of free pages and of names, last page, transaction
 *     tree    u32 pad (of the free pages: the page size), u16 flags, u16 depth, u64 branch, leaf and overflow pages, u64 entries, u64 root
 *
 * Every place that a page names is checked against the bounds: a damaged page raises XX001.
 */
import { DatabaseError, assert } from '../errors.js';
import type { FileHandle } from '../runtime.js';
import type { EntryVisitor } from './key-value-store.js';

export const PAGE_HEADER = 24;
export const NODE_HEADER = 8;
export const META = PAGE_HEADER;
export const META_BYTES = 144;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
export const FREE_TREE = META + 24;
export const NAMES_TREE = FREE_TREE + 48;
export const LAST_PAGE = NAMES_TREE + 48;
export const TRANSACTION = LAST_PAGE + 8;
export const TREE_BYTES = 48;
export const PageFlag = { branch: 1, leaf: 2, overflow: 4, meta: 8 } as const;
/** All that tells kinds of pages apart. */
const KIND = 0xff;
export const NodeFlag = { big: 1, tree: 2, duplicates: 4 } as const;
export const OVERFLOW_NODE = 24;
const MAX_DEPTH = 32;
/** Neighbouring leaves are read together, at most so many bytes. */
const WINDOW_BYTES = 128 << 10;
/** Pages between two wanted ones that are read along rather than with a call of their own. */
const GAP_PAGES = 2;

/** One committed state. */
export interface PageState {
  readonly transaction: number;
  /** The meta page's bytes: another state has others. */
  readonly meta: Uint8Array;
}

export interface Tree {
  readonly transaction: number;
  /** Pages in the state's file. */
  readonly pages: number;
  readonly root: number;
  readonly depth: number;
  readonly leaves: number;
  readonly entries: number;
}

interface Level {
  readonly page: Buffer;
  count: number;
  at: number;
}

export class LmdbPages {
  private readonly levels: Level[] = [];
  private readonly window: Buffer;
  /** The same bytes for visitors: a Buffer's `slice` would not copy. */
  private readonly windowBytes: Uint8Array;
  private windowFirst = 0;
  private windowPages = 0;
  private overflow: Buffer = Buffer.alloc(0);
  private overflowBytes = new Uint8Array(0);
  private walking = false;

  private constructor(private readonly file: FileHandle, readonly pageSize: number) {
    this.windowBytes = new Uint8Array(Math.max(WINDOW_BYTES, pageSize));
    this.window = Buffer.from(this.windowBytes.buffer);
  }

  /** Undefined when the file has another layout than the one known here. */
  static open(file: FileHandle): LmdbPages | undefined {
    const page = Buffer.alloc(META + META_BYTES);
    if (file.readSync(page, 0) !== page.length || !isMeta(page)) return undefined;
    const pageSize = page.readUInt32LE(FREE_TREE);
    return pageSize >= 512 && pageSize <= 65536 && (pageSize & (pageSize - 1)) === 0 ? new LmdbPages(file, pageSize) : undefined;
  }

  /** The newest committed state; undefined while it cannot be told. */
  newest(): PageState | undefined {
    let newest: PageState | undefined;
    for (let i = 0; i < 2; i++) {
      const meta = Buffer.allocUnsafe(META + META_BYTES);
      if (this.file.readSync(meta, i * this.pageSize) !== meta.length || !isMeta(meta)) return undefined;
      const transaction = readNumber(meta, TRANSACTION);
      if (!newest || transaction > newest.transaction) newest = { transaction, meta };
    }
    return newest;
  }

  /** The trees that have names. */
  trees({ transaction, meta }: PageState): Map<string, Tree> {
    const found = new Map<string, Tree>();
    const pages = readNumber(meta as Buffer, LAST_PAGE) + 1;
    this.walkTree(treeAt(meta as Buffer, NAMES_TREE, transaction, pages), NOTHING, undefined, NodeFlag.tree, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      if (valueEnd - valueStart !== TREE_BYTES) throw damaged('a tree has a wrong length');
      // lmdb-js stores names with a zero byte behind them.
      const name = Buffer.from(keys.buffer, keys.byteOffset + keyStart, keyEnd - keyStart).toString('latin1').replace(/\0$/, '');
      found.set(name, treeAt(Buffer.from(values.buffer, values.byteOffset + valueStart, TREE_BYTES), 0, transaction, pages));
      return false;
    });
    return found;
  }

  /** Calls back for the entries of [lower, upper) in order until the visitor wants no more; true: that was all. */
  walk(tree: Tree, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor): boolean {
    return this.walkTree(tree, lower, upper, 0, visit);
  }

  /** What was read of another state is not taken for this one's. */
  forget(): void {
    this.windowPages = 0;
  }

  private walkTree(tree: Tree, lower: Uint8Array, upper: Uint8Array | undefined, kind: number, visit: EntryVisitor): boolean {
    if (tree.depth === 0) return true;
    assert(!this.walking, 'walks over one store do not nest');
    this.walking = true;
    try {
      return this.walkLevels(tree, lower, upper, kind, visit);
    } finally {
      this.walking = false;
    }
  }

  private walkLevels(tree: Tree, lower: Uint8Array, upper: Uint8Array | undefined, kind: number, visit: EntryVisitor): boolean {
    const { levels } = this;
    const branches = tree.depth - 1;
    if (tree.depth > MAX_DEPTH) throw damaged(`a tree is ${tree.depth} pages deep`);
    while (levels.length < branches) levels.push({ page: Buffer.allocUnsafe(this.pageSize), count: 0, at: 0 });
    // Down to the leaf that would hold `lower`.
    let number = tree.root;
    for (let depth = 0; depth < branches; depth++) {
      const level = levels[depth]!;
      this.readBranch(level, number, tree);
      level.at = childFor(level, this.pageSize, lower);
      number = childOf(level, this.pageSize, level.at);
    }
    let first = true;
    for (let leaves = 0; ; leaves++) {
      // Damage can lead in circles.
      if (leaves > tree.leaves) throw damaged('a tree has more leaves than it says');
      const start = this.leaf(number, branches > 0 ? levels[branches - 1] : undefined, tree);
      if (!this.visitLeaf(start, number, first ? lower : undefined, upper, kind, tree, visit)) return this.atEnd;
      first = false;
      let depth = branches - 1;
      while (depth >= 0 && levels[depth]!.at + 1 >= levels[depth]!.count) depth--;
      if (depth < 0) return true;
      levels[depth]!.at++;
      number = childOf(levels[depth]!, this.pageSize, levels[depth]!.at);
      for (depth++; depth < branches; depth++) {
        const level = levels[depth]!;
        this.readBranch(level, number, tree);
        level.at = 0;
        number = childOf(level, this.pageSize, 0);
      }
    }
  }

  /** Why `visitLeaf` said false: the range has ended (or the visitor wanted no more). */
  private atEnd = false;

  private visitLeaf(start: number, number: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined, kind: number, tree: Tree, visit: EntryVisitor): boolean {
    const { windowBytes: bytes, pageSize } = this;
    const nodes = start + PAGE_HEADER;
    const end = start + pageSize;
    const count = (bytes[start + 20]! | (bytes[start + 21]! << 8)) >>> 1;
    if (nodes + 2 * count > end) throw damaged(`page ${number} names too many entries`);
    // The last entry tells whether the range ends in this page.
    let check = upper;
    if (upper && count > 0) {
      const node = nodes + (bytes[nodes + 2 * count - 2]! | (bytes[nodes + 2 * count - 1]! << 8));
      if (node + NODE_HEADER <= end) {
        const keyEnd = node + NODE_HEADER + (bytes[node + 6]! | (bytes[node + 7]! << 8));
        if (keyEnd <= end && compareRange(bytes, node + NODE_HEADER, keyEnd, upper) < 0) check = undefined;
      }
    }
    for (let i = 0; i < count; i++) {
      const node = nodes + (bytes[nodes + 2 * i]! | (bytes[nodes + 2 * i + 1]! << 8));
      const key = node + NODE_HEADER;
      if (key > end) throw damaged(`page ${number} has an entry beyond its end`);
      const value = key + (bytes[node + 6]! | (bytes[node + 7]! << 8));
      const flags = bytes[node + 4]! | (bytes[node + 5]! << 8);
      const length = (bytes[node]! | (bytes[node + 1]! << 8) | (bytes[node + 2]! << 16) | (bytes[node + 3]! << 24)) >>> 0;
      if (value > end) throw damaged(`page ${number} has a key beyond its end`);
      if (lower) {
        if (compareRange(bytes, key, value, lower) < 0) continue;
        lower = undefined;
      }
      if (check && compareRange(bytes, key, value, check) >= 0) {
        this.atEnd = true;
        return false;
      }
      let stop: boolean;
      if (flags === kind) {
        if (value + length > end) throw damaged(`page ${number} has a value beyond its end`);
        stop = visit(bytes, key, value, bytes, value, value + length);
      } else {
        if (flags !== NodeFlag.big || value + OVERFLOW_NODE > end) throw damaged(`page ${number} has an entry of another kind`);
        this.readOverflow(readNumber(this.window, value), length, tree);
        stop = visit(bytes, key, value, this.overflowBytes, PAGE_HEADER, PAGE_HEADER + length);
      }
      if (stop) {
        this.atEnd = false;
        return false;
      }
    }
    return true;
  }

  private readBranch(level: Level, number: number, tree: Tree): void {
    const { page } = level;
    this.readPages(page, number, 1, tree);
    this.checkPage(page, 0, number, PageFlag.branch, tree);
    level.count = page.readUInt16LE(20) >>> 1;
    if (level.count === 0 || PAGE_HEADER + 2 * level.count > this.pageSize) throw damaged(`page ${number} has ${level.count} children`);
  }

  /** Has the leaf in the window, with the neighbours that come next; returns where it starts there. */
  private leaf(number: number, parent: Level | undefined, tree: Tree): number {
    const { pageSize } = this;
    if (number < this.windowFirst || number >= this.windowFirst + this.windowPages) {
      let end = number + 1;
      if (parent) {
        const most = number + Math.floor(this.window.length / pageSize);
        for (let i = parent.at + 1; i < parent.count; i++) {
          const next = childOf(parent, pageSize, i);
          if (next < end || next > end + GAP_PAGES || next >= most) break;
          end = next + 1;
        }
      }
      // Not complete should the read fail.
      this.windowPages = 0;
      this.readPages(this.window, number, end - number, tree);
      this.windowFirst = number;
      this.windowPages = end - number;
    }
    const start = (number - this.windowFirst) * pageSize;
    this.checkPage(this.window, start, number, PageFlag.leaf, tree);
    return start;
  }

  private readOverflow(number: number, length: number, tree: Tree): void {
    const pages = Math.ceil((PAGE_HEADER + length) / this.pageSize);
    const bytes = pages * this.pageSize;
    if (number + pages > tree.pages) throw damaged(`page ${number} begins a value of ${length} bytes`);
    if (this.overflow.length < bytes) {
      this.overflowBytes = new Uint8Array(bytes * 2);
      this.overflow = Buffer.from(this.overflowBytes.buffer);
    }
    this.readPages(this.overflow, number, pages, tree);
    this.checkPage(this.overflow, 0, number, PageFlag.overflow, tree);
    if (this.overflow.readUInt32LE(20) < pages) throw damaged(`page ${number} has fewer pages than its value needs`);
  }

  private readPages(into: Buffer, number: number, count: number, tree: Tree): void {
    const bytes = count * this.pageSize;
    if (number < 2 || number + count > tree.pages) throw damaged(`there is no page ${number}`);
    if (this.file.readSync(into.length === bytes ? into : into.subarray(0, bytes), number * this.pageSize) !== bytes) throw damaged(`page ${number} lies beyond the file's end`);
  }

  private checkPage(bytes: Buffer, start: number, number: number, flag: number, tree: Tree): void {
    if (readNumber(bytes, start) !== number || (bytes[start + 18]! & KIND) !== flag) throw damaged(`page ${number} is not the one that belongs there`);
    if (readNumber(bytes, start + 8) > tree.transaction) throw damaged(`page ${number} is of a later transaction than the state it belongs to`);
  }
}

const NOTHING = new Uint8Array(0);

function isMeta(page: Buffer): boolean {
  return (page.readUInt16LE(18) & PageFlag.meta) !== 0 && page.readUInt32LE(META) === MAGIC && (page.readUInt32LE(META + 4) & 0xffff) === DATA_VERSION;
}

function treeAt(bytes: Buffer, at: number, transaction: number, pages: number): Tree {
  return { transaction, pages, depth: bytes.readUInt16LE(at + 6), leaves: readNumber(bytes, at + 16), entries: readNumber(bytes, at + 32), root: readNumber(bytes, at + 40) };
}

/** A u64; beyond 2^53 only approximately, which no bound lets through. */
function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x100000000;
}

function nodeOf({ page }: Level, pageSize: number, i: number): number {
  const node = PAGE_HEADER + page.readUInt16LE(PAGE_HEADER + 2 * i);
  if (node + NODE_HEADER > pageSize) throw damaged('a branch page has a child beyond its end');
  return node;
}

function childOf(level: Level, pageSize: number, i: number): number {
  return level.page.readUIntLE(nodeOf(level, pageSize, i), 6);
}

/** The last child whose first key is not greater. */
function childFor(level: Level, pageSize: number, key: Uint8Array): number {
  let low = 0;
  let high = level.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const node = nodeOf(level, pageSize, middle);
    const end = node + NODE_HEADER + level.page.readUInt16LE(node + 6);
    if (end > pageSize) throw damaged('a branch page has a key beyond its end');
    if (compareRange(level.page, node + NODE_HEADER, end, key) <= 0) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function compareRange(bytes: Uint8Array, start: number, end: number, other: Uint8Array): number {
  const length = Math.min(end - start, other.length);
  for (let i = 0; i < length; i++) {
    const difference = bytes[start + i]! - other[i]!;
    if (difference !== 0) return difference;
  }
  return end - start - other.length;
}

export function damaged(detail: string): DatabaseError {
  return new DatabaseError('XX001', `the state file is damaged: ${detail}`, { hint: 'It can be made anew from the log or a backup.' });
}

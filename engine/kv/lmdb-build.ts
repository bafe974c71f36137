/**
 * LMDB's trees written page by page from entries that come in order: several times as fast as putting them, and every page
 * full. For a file that is not open and whose trees of that name are empty; the layout is drawn in lmdb-pages.ts.
 *
 * Pages go behind the file's last one, in the order in which they are complete: a page gets its number then, since nobody has
 * referred to it before. Nothing of it counts until `finish`, which syncs the pages, and then writes and syncs the meta pages.
 */
import { DatabaseError, assert } from '../errors.js';
import type { FileHandle } from '../runtime.js';
import type { Builder } from './key-value-store.js';
import { META_BYTES, LAST_PAGE, LmdbPages, META, NAMES_TREE, NODE_HEADER, NodeFlag, OVERFLOW_NODE, PAGE_HEADER, PageFlag, TRANSACTION, TREE_BYTES, FREE_TREE } from './lmdb-pages.js';
import type { PageState } from './lmdb-pages.js';

const OUTPUT_BYTES = 1 << 20;
/** Node that does not fit two to a page: its value goes to pages of its own. */
const nodeMax = (pageSize: number): number => (((pageSize - PAGE_HEADER) >> 1) & -2) - 2;
/** lmdb-js's flag of a state whose pages are not synced yet; in the meta page's flags. */
const UNSYNCED = 0x1000;
/** What the synced meta page in the middle of page 0 lacks: magic and version. */
const META_CONTENT = META + 16;
/** Longer runs are copied by the library. */
const COPIED_HERE = 96;

const even = (length: number): number => (length + 1) & ~1;

/** A page in the making, and what its parent has to know. */
class OpenPage {
  readonly bytes: Buffer;
  readonly view: DataView;
  count = 0;
  upper = 0;
  /** Key of its first entry or child. */
  first = new Uint8Array(0);
  /** Of a branch: its last child, in case that moves to the next page. */
  lastKey = new Uint8Array(0);
  lastChild = 0;

  constructor(private readonly pageSize: number, private readonly flag: number) {
    this.bytes = Buffer.alloc(pageSize);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, pageSize);
    this.clear();
  }

  clear(): void {
    this.count = 0;
    this.upper = this.pageSize;
  }

  fits(node: number): boolean {
    return PAGE_HEADER + 2 * this.count + 2 + even(node) <= this.upper;
  }

  /** Room for a node of so many bytes; returns where it stands. */
  place(node: number): number {
    this.upper -= even(node);
    this.view.setUint16(PAGE_HEADER + 2 * this.count++, this.upper - PAGE_HEADER, true);
    return this.upper;
  }

  /** Fills in the head; unused bytes in the middle are made zero. */
  seal(number: number, transaction: number): Buffer {
    writeHead(this.view, 0, number, transaction, this.flag);
    const lower = PAGE_HEADER + 2 * this.count;
    this.view.setUint16(20, lower - PAGE_HEADER, true);
    this.view.setUint16(22, this.upper - PAGE_HEADER, true);
    this.bytes.fill(0, lower, this.upper);
    return this.bytes;
  }
}

interface BuiltTree {
  readonly depth: number;
  readonly branches: number;
  readonly leaves: number;
  readonly overflow: number;
  readonly entries: number;
  readonly root: number;
}

export class LmdbBuilder implements Builder {
  private readonly pageSize: number;
  private readonly transaction: number;
  private readonly output = Buffer.allocUnsafe(OUTPUT_BYTES);
  private readonly outputView = new DataView(this.output.buffer, this.output.byteOffset, OUTPUT_BYTES);
  private outputUsed = 0;
  /** Number of the next page. */
  private next: number;
  private readonly leaf: OpenPage;
  private levels: OpenPage[] = [];
  private readonly nodeMax: number;
  private last = new Uint8Array(0);
  private lastLength = -1;
  private space = '';
  private leaves = 0;
  private branches = 0;
  private overflow = 0;
  private entries = 0;
  private readonly built = new Map<string, BuiltTree>();
  private source: Uint8Array = new Uint8Array(0);
  private sourceView: DataView = new DataView(this.source.buffer);

  /** `file`: open for reading and writing. */
  constructor(private readonly file: FileHandle, pages: LmdbPages, private readonly state: PageState) {
    this.pageSize = pages.pageSize;
    this.transaction = state.transaction + 1;
    this.next = Number((state.meta as Buffer).readBigUInt64LE(LAST_PAGE)) + 1;
    this.leaf = new OpenPage(this.pageSize, PageFlag.leaf);
    this.nodeMax = nodeMax(this.pageSize);
  }

  begin(space: string): void {
    this.endTree();
    if (this.built.has(space)) throw unordered(`entries of "${space}" come twice`);
    this.space = space;
  }

  add(bytes: Uint8Array, keyStart: number, valueStart: number, valueEnd: number): void {
    assert(this.space !== '', 'an entry of no keyspace');
    this.checkOrder(bytes, keyStart, valueStart);
    if (bytes !== this.source) {
      this.source = bytes;
      this.sourceView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const { leaf } = this;
    const keyLength = valueStart - keyStart;
    const valueLength = valueEnd - valueStart;
    const whole = NODE_HEADER + keyLength + valueLength;
    const large = whole > this.nodeMax;
    const node = large ? NODE_HEADER + keyLength + OVERFLOW_NODE : whole;
    if (!leaf.fits(node)) this.endLeaf();
    if (leaf.count === 0) leaf.first = Uint8Array.prototype.slice.call(bytes, keyStart, valueStart);
    const at = leaf.place(node);
    const { view } = leaf;
    view.setUint32(at, valueLength, true);
    view.setUint16(at + 4, large ? NodeFlag.big : 0, true);
    view.setUint16(at + 6, keyLength, true);
    this.copy(leaf, at + NODE_HEADER, keyStart, large ? valueStart : valueEnd);
    if (large) {
      const count = Math.ceil((PAGE_HEADER + valueLength) / this.pageSize);
      const place = at + NODE_HEADER + keyLength;
      view.setBigUint64(place, BigInt(this.next), true);
      view.setBigUint64(place + 8, BigInt(this.transaction), true);
      view.setBigUint64(place + 16, BigInt(count), true);
      this.writeOverflow(bytes.subarray(valueStart, valueEnd), count);
    }
    this.entries++;
  }

  private copy(page: OpenPage, at: number, start: number, end: number): void {
    const { source, sourceView } = this;
    const length = end - start;
    if (length > COPIED_HERE) {
      page.bytes.set(source.subarray(start, end), at);
      return;
    }
    const { view, bytes } = page;
    let i = 0;
    for (const last = length - 3; i < last; i += 4) view.setInt32(at + i, sourceView.getInt32(start + i, true), true);
    for (; i < length; i++) bytes[at + i] = source[start + i]!;
  }

  private checkOrder(bytes: Uint8Array, start: number, end: number): void {
    const { last, lastLength } = this;
    const length = end - start;
    if (length === 0) throw unordered('a key is empty');
    let i = 0;
    const common = Math.min(length, lastLength);
    while (i < common && bytes[start + i] === last[i]) i++;
    const ascends = lastLength < 0 || (i < common ? bytes[start + i]! > last[i]! : length > lastLength);
    if (!ascends) throw unordered('keys do not ascend');
    if (last.length < length) {
      this.last = new Uint8Array(Math.max(64, 2 * length));
      i = 0;
    }
    for (const kept = this.last; i < length; i++) kept[i] = bytes[start + i]!;
    this.lastLength = length;
  }

  private endLeaf(): void {
    const { leaf } = this;
    const number = this.write(leaf);
    this.leaves++;
    this.addChild(0, leaf.first, number);
    leaf.clear();
  }

  private addChild(depth: number, key: Uint8Array<ArrayBuffer>, child: number): void {
    const level = (this.levels[depth] ??= new OpenPage(this.pageSize, PageFlag.branch));
    if (level.count > 0 && !level.fits(NODE_HEADER + key.length)) {
      // A branch page needs two children: the last one goes along.
      const { lastKey, lastChild } = level;
      level.count--;
      level.upper += even(NODE_HEADER + lastKey.length);
      this.endBranch(depth);
      this.putChild(level, lastKey, lastChild);
    }
    this.putChild(level, key, child);
  }

  private putChild(level: OpenPage, key: Uint8Array<ArrayBuffer>, child: number): void {
    const stored = level.count === 0 ? 0 : key.length;
    if (level.count === 0) level.first = key;
    const at = level.place(NODE_HEADER + stored);
    level.bytes.writeUIntLE(child, at, 6);
    level.view.setUint16(at + 6, stored, true);
    if (stored > 0) level.bytes.set(key, at + NODE_HEADER);
    level.lastKey = key;
    level.lastChild = child;
  }

  /** Returns its number. */
  private endBranch(depth: number, isRoot = false): number {
    const level = this.levels[depth]!;
    const number = this.write(level);
    this.branches++;
    if (!isRoot) this.addChild(depth + 1, level.first, number);
    level.clear();
    return number;
  }

  private endTree(): void {
    if (this.entries > 0) {
      let root: number;
      if (this.levels.length === 0) {
        root = this.write(this.leaf);
        this.leaves++;
        this.leaf.clear();
      } else {
        this.endLeaf();
        let depth = 0;
        while (depth < this.levels.length - 1) this.endBranch(depth++);
        root = this.endBranch(depth, true);
      }
      this.built.set(this.space, { depth: this.levels.length + 1, branches: this.branches, leaves: this.leaves, overflow: this.overflow, entries: this.entries, root });
    }
    this.levels = [];
    this.lastLength = -1;
    this.leaves = this.branches = this.overflow = this.entries = 0;
    this.space = '';
  }

  private write(page: OpenPage): number {
    const number = this.next;
    if (this.outputUsed + this.pageSize > OUTPUT_BYTES) this.flush();
    page.seal(number, this.transaction).copy(this.output, this.outputUsed);
    this.outputUsed += this.pageSize;
    this.next++;
    return number;
  }

  private writeOverflow(value: Uint8Array, pages: number): void {
    const bytes = pages * this.pageSize;
    if (this.outputUsed + bytes > OUTPUT_BYTES) this.flush();
    const fits = bytes <= OUTPUT_BYTES;
    const into = fits ? this.output : Buffer.alloc(bytes);
    const view = fits ? this.outputView : new DataView(into.buffer, into.byteOffset, bytes);
    const at = fits ? this.outputUsed : 0;
    writeHead(view, at, this.next, this.transaction, PageFlag.overflow);
    view.setUint32(at + 20, pages, true);
    into.set(value, at + PAGE_HEADER);
    into.fill(0, at + PAGE_HEADER + value.length, at + bytes);
    if (fits) this.outputUsed += bytes;
    else writeWhole(this.file, into, this.next * this.pageSize);
    this.next += pages;
    this.overflow += pages;
  }

  /** Writes what is complete; the pages before `next` are then in the file. */
  private flush(): void {
    if (this.outputUsed === 0) return;
    writeWhole(this.file, this.output.subarray(0, this.outputUsed), this.next * this.pageSize - this.outputUsed);
    this.outputUsed = 0;
  }

  /** Makes what was added the file's newest state. */
  async finish(): Promise<void> {
    this.endTree();
    const names = this.names();
    this.flush();
    await this.file.dataSync();
    const meta = Buffer.from(this.state.meta);
    meta.writeUInt16LE(meta.readUInt16LE(FREE_TREE + 4) & ~UNSYNCED, FREE_TREE + 4);
    meta.writeBigUInt64LE(BigInt(names), NAMES_TREE + 40);
    meta.writeBigUInt64LE(BigInt(this.next - 1), LAST_PAGE);
    meta.fill(0, 0, PAGE_HEADER);
    meta.writeUInt16LE(PageFlag.meta, 18);
    // Both meta pages, and the synced one in the middle of page 0: no former state is to be gone back to.
    for (const transaction of [this.transaction - 1, this.transaction]) {
      const page = transaction & 1;
      meta.writeBigUInt64LE(BigInt(transaction), TRANSACTION);
      meta.writeBigUInt64LE(BigInt(page), 0);
      writeWhole(this.file, meta, page * this.pageSize);
    }
    writeWhole(this.file, meta.subarray(META_CONTENT, META + META_BYTES), (this.pageSize >> 1) + META_CONTENT);
    await this.file.dataSync();
  }

  /** The leaf with the trees' names, the new ones in it. */
  private names(): number {
    const main = Buffer.alloc(this.pageSize);
    const number = Number((this.state.meta as Buffer).readBigUInt64LE(NAMES_TREE + 40));
    if ((this.state.meta as Buffer).readUInt16LE(NAMES_TREE + 6) !== 1 || this.file.readSync(main, number * this.pageSize) !== main.length) throw unordered('the file has an unknown form');
    let found = 0;
    for (let i = 0; i < main.readUInt16LE(20) >>> 1; i++) {
      const node = PAGE_HEADER + main.readUInt16LE(PAGE_HEADER + 2 * i);
      const value = node + NODE_HEADER + main.readUInt16LE(node + 6);
      const tree = this.built.get(main.toString('latin1', node + NODE_HEADER, value).replace(/\0$/, ''));
      if (!tree) continue;
      found++;
      if (main.readUInt32LE(node) !== TREE_BYTES || main.readUInt16LE(value + 6) !== 0) throw unordered('a tree is not empty');
      main.writeUInt16LE(tree.depth, value + 6);
      for (const [i64, count] of [tree.branches, tree.leaves, tree.overflow, tree.entries, tree.root].entries()) main.writeBigUInt64LE(BigInt(count), value + 8 + 8 * i64);
    }
    if (found !== this.built.size) throw unordered('a tree is not in the file');
    if (this.outputUsed + this.pageSize > OUTPUT_BYTES) this.flush();
    const at = this.outputUsed;
    main.copy(this.output, at);
    writeHead(this.outputView, at, this.next, this.transaction, PageFlag.leaf);
    this.outputUsed += this.pageSize;
    return this.next++;
  }
}

function writeHead(view: DataView, at: number, number: number, transaction: number, flag: number): void {
  view.setBigUint64(at, BigInt(number), true);
  view.setBigUint64(at + 8, BigInt(transaction), true);
  view.setUint16(at + 16, 0, true);
  view.setUint16(at + 18, flag, true);
}

function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) done += file.writeSync(bytes.subarray(done), position + done);
}

/** What was added cannot be built from; it can be put. */
export class CannotBuild extends DatabaseError {}

function unordered(why: string): CannotBuild {
  return new CannotBuild('XX001', `a state cannot be built: ${why}`);
}

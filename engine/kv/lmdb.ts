/**
 * KeyValueStore on LMDB (lmdb-js), the only file that imports it. What lmdb-js does that loses data
 * or crashes is made unreachable here:
 *
 * - opened with overlappingSync and safeRestore, never noSync: a power cut leaves the last synced
 *   transaction; the log replays the rest;
 * - one explicit flag for every write transaction (no nesting by default flags), only synchronous
 *   puts inside, and a callback that returns something (a promise, say) is refused;
 * - values backed by shared memory are copied before a put (LMDB's binding crashes on them);
 * - the buffer that a get returns has a forged length: it is wrapped anew with the true one;
 * - the keyspaces are a fixed list opened before the first write, so that no open blocks later;
 * - a transaction that fails (a full disk) is aborted and may be tried again; when LMDB itself is in
 *   doubt, it refuses every later one, and the process must end and replay;
 * - no iterator survives a call; `refresh` ends this thread's read transaction;
 * - a damaged page can hand out wrong bytes: values carry a check bound to their key. Those of heap, history, index,
 *   dead and values bring their own (mvcc/row-format.ts); those of the other keyspaces get one here, behind them;
 * - the map is sized once, sparse and large; the environment is left open until the process ends
 *   unless `close` is asked for after a sync;
 * - lmdb-js would close it in a thread that exits, below a sync of that thread which waits for its turn in libuv's pool,
 *   and which then has no environment (SIGSEGV): it is kept from that, and `close` waits for syncs.
 */
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import { DatabaseError, assert } from '../errors.js';
import { crc32 } from '../log/checksum.js';
import { compareBytes } from '../keycode.js';
import type { FileHandle } from '../runtime.js';
import { slabCopy } from '../slab.js';
import { nodeRuntime } from '../runtime-node.js';
import { KEYSPACES, clearByScan, nextKey } from './key-value-store.js';
import type { Builder, Capabilities, Chunk, Entry, EntryVisitor, HeldCursor, KeyValueStore, KeyValueWriter, Keyspace, RowKeyspace, Walker } from './key-value-store.js';
import { CannotBuild, LmdbBuilder } from './lmdb-build.js';
import { HeldPages, TreeCursor } from './lmdb-held.js';
import { LmdbPages } from './lmdb-pages.js';
import type { PageState, Tree } from './lmdb-pages.js';
import { walkByScans } from './walk-by-scans.js';

type Binary = Database<Uint8Array, Uint8Array>;

/** Synchronous commit, flushed by another thread afterwards; not abortable by nesting. */
const TRANSACTION_FLAGS = 0x10002 as TransactionFlags;
// lmdb-js declares only some of its flags.
type TransactionFlags = NonNullable<Parameters<RootDatabase['transactionSync']>[1]>;
/** The most that the file can grow to: address space, not memory. Systems with little of it (39-bit kernels, emulators) say how much. */
const MAP_SIZE = Math.max(1, Number(process.env.OXBOW_MAP_SIZE_GB) || 1024) * 2 ** 30;
/** Of new files; 4096 to 65536, a power of two. */
const PAGE_SIZE = Number(process.env.OXBOW_PAGE_SIZE) || undefined;
const APPEND = { append: true };

export interface LmdbOptions {
  /** The file; its directory must exist. A lock file stands beside it. */
  readonly path: string;
  /** Of a new file: 4096 to 65536, a power of two; undefined: the system's. */
  readonly pageSize?: number;
}

/** Keyspaces whose values are sealed here. */
const SEALED: ReadonlySet<Keyspace> = new Set(['meta', 'storages', 'deleted']);
const SEAL_BYTES = 4;

export class LmdbKeyValueStore implements KeyValueStore, KeyValueWriter {
  readonly capabilities: Capabilities = { synchronous: true, maxKeyBytes: 1978, maxValueBytes: 2 ** 31 };
  private root!: RootDatabase<Uint8Array, Uint8Array>;
  private spaces!: Record<Keyspace, Binary>;
  private seeks!: Record<Keyspace, Seek>;
  private pages: LmdbPages | undefined | 'unread' = 'unread';
  private trees: Map<string, Tree> | undefined;
  private writing = false;
  /** Syncs that have not been answered. */
  private syncs = 0;
  private closing = false;
  /** The state's file, for reading pages. */
  private file: FileHandle | undefined;
  private kept: KeptState | undefined;
  private keptPages: HeldPages | undefined;
  onDamage: ((space: Keyspace, key: Uint8Array) => void) | undefined;

  constructor(private readonly options: LmdbOptions) {
    this.open();
  }

  private open(): void {
    const { options } = this;
    const pageSize = options.pageSize ?? PAGE_SIZE;
    const settings = {
      path: options.path,
      noSubdir: true,
      mapSize: MAP_SIZE,
      maxDbs: KEYSPACES.length + 1,
      maxReaders: 512,
      overlappingSync: true,
      safeRestore: true,
      encoding: 'binary' as const,
      keyEncoding: 'binary' as const,
      cache: false,
      ...(pageSize === undefined ? {} : { pageSize }),
    };
    this.root = withoutExitHook(() => open<Uint8Array, Uint8Array>(settings));
    this.spaces = Object.fromEntries(
      KEYSPACES.map((space) => [space, this.root.openDB<Uint8Array, Uint8Array>({ name: space, encoding: 'binary', keyEncoding: 'binary', cache: false })]),
    ) as Record<Keyspace, Binary>;
    for (const space of KEYSPACES) copyIntoSlabs(this.spaces[space]);
    this.seeks = Object.fromEntries(KEYSPACES.map((space) => [space, makeSeek(this.spaces[space])])) as Record<Keyspace, Seek>;
  }

  get(space: Keyspace, key: Uint8Array): Uint8Array | undefined {
    const found = this.spaces[space].getBinaryFast(key);
    if (!found) return undefined;
    const value = new Uint8Array(found.buffer, found.byteOffset, found.length);
    return SEALED.has(space) ? this.unseal(space, key, value) : value;
  }

  scan(space: Keyspace, lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk, past = false): number {
    if (past && !reverse) return this.scanPast(space, lower, upper, max, into);
    // An empty key is not allowed in LMDB; no key of ours is smaller than one zero byte.
    const low = lower.length === 0 ? LOWEST : lower;
    const range = reverse
      ? { start: upper, exclusiveStart: true, end: low, inclusiveEnd: true, reverse: true, limit: max }
      : { start: low, end: upper, limit: max };
    if (max === Infinity) delete (range as { limit?: number }).limit;
    let count = 0;
    const sealed = SEALED.has(space);
    for (const { key, value } of this.spaces[space].getRange(range)) {
      const content = sealed ? this.unseal(space, key, value) : value;
      if (!content) continue;
      into.keys.push(key);
      into.values.push(content);
      count++;
    }
    return count;
  }

  /** LMDB would look for the bound itself, and not say what stands there. */
  private scanPast(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number, into: Chunk): number {
    const range = { start: lower.length === 0 ? LOWEST : lower, limit: max };
    if (max === Infinity) delete (range as { limit?: number }).limit;
    let count = 0;
    for (const { key, value } of this.spaces[space].getRange(range)) {
      into.keys.push(key);
      into.values.push(value);
      if (compareBytes(key, upper) >= 0) break;
      count++;
    }
    return count;
  }

  run(space: RowKeyspace, key: Uint8Array, max: number, values: Uint8Array[]): number {
    const store = this.spaces[space];
    let count = 0;
    for (; count < max; count++) {
      const found = store.getBinaryFast(key);
      if (!found) break;
      values.push(slabCopy(found, 0, found.length));
      nextKey(key);
    }
    return count;
  }

  seek(space: Keyspace, lower: Uint8Array, into: Entry): boolean {
    const { range, options } = this.seeks[space];
    options.start = lower;
    const iterator = range[Symbol.iterator]();
    const { done, value } = iterator.next();
    if (done) return false;
    iterator.return!();
    const content = SEALED.has(space) ? this.unseal(space, value.key, value.value) : value.value;
    if (!content) return false;
    into.key = value.key;
    into.value = content;
    return true;
  }

  /** The value without its check; undefined (or XX001) when that does not match. */
  private unseal(space: Keyspace, key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
    const length = value.length - SEAL_BYTES;
    if (length >= 0) {
      const content = value.subarray(0, length);
      if (new DataView(value.buffer, value.byteOffset + length, SEAL_BYTES).getUint32(0) === seal(key, content)) return content;
    }
    if (!this.onDamage) throw damagedValue(space, key);
    this.onDamage(space, key.slice());
    return undefined;
  }

  refresh(): void {
    this.letGo();
    this.root.resetReadTxn();
  }

  held(space: RowKeyspace): HeldCursor | undefined {
    if (this.writing || this.trees) return undefined;
    return (this.kept ??= this.keep()).cursors?.[space];
  }

  /** Holds the newest state until the next refresh. */
  private keep(): KeptState {
    const held = this.hold();
    // Not tried again before then.
    if (!held) return { transaction: undefined, cursors: undefined };
    const { transaction, state, pages } = held;
    const former = this.keptPages;
    const own = (this.keptPages = former?.pageSize === pages.pageSize ? former : new HeldPages(this.stateFile(), pages.pageSize));
    own.forget();
    const trees = pages.trees(state);
    const heap = trees.get('heap');
    const index = trees.get('index');
    return { transaction, cursors: heap && index && { heap: new TreeCursor(own, heap), index: new TreeCursor(own, index) } };
  }

  private letGo(): void {
    this.kept?.transaction?.done();
    this.kept = undefined;
  }

  bulk<T>(action: (walker: Walker) => T): T {
    assert(!this.writing && !this.trees, 'bulk reads do not nest, nor in a write transaction');
    const held = this.hold();
    if (!held) {
      this.refresh();
      return action({ walk: (space, lower, upper, visit) => walkByScans(this, space, lower, upper, visit) });
    }
    try {
      this.trees = held.pages.trees(held.state);
      return action({ walk: (space, lower, upper, visit) => this.walkPages(held.pages, space, lower, upper, visit) });
    } finally {
      this.trees = undefined;
      held.transaction.done();
    }
  }

  /** Whether bulk reads know the file's layout; false: they are scans. */
  get readsPages(): boolean {
    return (this.pages === 'unread' ? this.openPages() : this.pages) !== undefined;
  }

  private stateFile(): FileHandle {
    return (this.file ??= nodeRuntime().files.open(this.options.path, 'read'));
  }

  private openPages(): LmdbPages | undefined {
    return (this.pages = LmdbPages.open(this.stateFile()));
  }

  /**
   * Holds this thread's read transaction of the newest state, and finds that state's pages in the file. Undefined when that cannot be
   * done for certain: another layout, or writers that were quicker each time.
   */
  private hold(): { transaction: HeldTransaction; state: PageState; pages: LmdbPages } | undefined {
    const pages = this.pages === 'unread' ? this.openPages() : this.pages;
    if (!pages) return undefined;
    const root = this.root as unknown as { useReadTransaction(): HeldTransaction; resetReadTxn(): void };
    root.resetReadTxn();
    for (let i = 0; i < HOLD_TRIES; i++) {
      const transaction = root.useReadTransaction();
      const before = pages.newest();
      // Asked for the newest transaction again, lmdb-js gives this one if, and only if, its number is that of the newest meta page.
      root.resetReadTxn();
      const again = root.useReadTransaction();
      again.done();
      const after = pages.newest();
      if (again === transaction && before && after && Buffer.compare(before.meta, after.meta) === 0) {
        pages.forget();
        return { transaction, state: before, pages };
      }
      transaction.done();
    }
    return undefined;
  }

  private walkPages(pages: LmdbPages, space: Keyspace, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor): boolean {
    const tree = this.trees?.get(space);
    if (!tree) throw new DatabaseError('XX001', `the state file is damaged: it has no "${space}"`);
    if (!SEALED.has(space)) return pages.walk(tree, lower, upper, visit);
    return pages.walk(tree, lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      const content = this.unseal(space, keys.subarray(keyStart, keyEnd), values.subarray(valueStart, valueEnd));
      return content ? visit(keys, keyStart, keyEnd, values, valueStart, valueEnd - SEAL_BYTES) : false;
    });
  }

  async fill(action: (builder: Builder) => Promise<void>): Promise<boolean> {
    if ((['heap', 'index', 'values'] as const).some((space) => this.entryCount(space) > 0) || !this.readsPages) return false;
    await this.sync();
    this.letGo();
    this.root.resetReadTxn();
    await this.root.close();
    const file = nodeRuntime().files.open(this.options.path, 'readwrite');
    try {
      const pages = LmdbPages.open(file);
      const state = pages?.newest();
      if (!pages || !state) return false;
      const builder = new LmdbBuilder(file, pages, state);
      await action(builder);
      await builder.finish();
      return true;
    } catch (error) {
      if (error instanceof CannotBuild) return false;
      throw error;
    } finally {
      file.close();
      this.open();
    }
  }

  write(action: (writer: KeyValueWriter) => void): void {
    assert(!this.writing, 'write transactions do not nest');
    this.writing = true;
    try {
      this.root.transactionSync(() => {
        const result = action(this) as unknown;
        assert(result === undefined, 'a write action must be synchronous and return nothing');
      }, TRANSACTION_FLAGS);
    } finally {
      this.writing = false;
      this.letGo();
    }
  }

  put(space: Keyspace, key: Uint8Array, value: Uint8Array): void {
    assert(this.writing, 'put outside a write transaction');
    if (SEALED.has(space)) {
      const sealed = new Uint8Array(value.length + SEAL_BYTES);
      sealed.set(value);
      new DataView(sealed.buffer).setUint32(value.length, seal(key, value));
      this.spaces[space].putSync(key, sealed);
    } else this.spaces[space].putSync(key, value.buffer instanceof SharedArrayBuffer ? value.slice() : value);
  }

  append(space: RowKeyspace, key: Uint8Array, value: Uint8Array): boolean {
    assert(this.writing, 'put outside a write transaction');
    // Declared without its result: whether it was done.
    return this.spaces[space].putSync(key, value.buffer instanceof SharedArrayBuffer ? value.slice() : value, APPEND) as unknown as boolean;
  }

  delete(space: Keyspace, key: Uint8Array): boolean {
    assert(this.writing, 'delete outside a write transaction');
    return this.spaces[space].removeSync(key);
  }

  clear(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean {
    return clearByScan(this, space, lower, upper, max);
  }

  async sync(): Promise<void> {
    this.syncs++;
    try {
      await new Promise<void>((resolve, reject) => {
        (this.root as unknown as { sync(callback: (error: unknown) => void): void }).sync((error) => (error ? reject(error as Error) : resolve()));
      });
    } finally {
      this.syncs--;
      if (this.closing) this.close();
    }
  }

  entryCount(space: Keyspace): number {
    return (this.spaces[space].getStats() as { entryCount: number }).entryCount;
  }

  byteSize(): number {
    const { pageSize, lastPageNumber } = this.root.getStats() as { pageSize: number; lastPageNumber: number };
    return pageSize * lastPageNumber;
  }

  close(): void {
    this.closing = this.syncs > 0;
    if (this.closing) return;
    // Closing while a read transaction is open crashes the process: end it first, and let the exit do the rest.
    this.letGo();
    this.root.resetReadTxn();
    void this.root.close();
  }
}

/** A state held for `held`, undefined where that cannot be. */
interface KeptState {
  readonly transaction: HeldTransaction | undefined;
  readonly cursors: Readonly<Record<RowKeyspace, TreeCursor>> | undefined;
}

/** A read transaction of lmdb-js that stays at its state until it is done with. */
interface HeldTransaction {
  done(): void;
}

const HOLD_TRIES = 10;

/**
 * lmdb-js closes its environments when this thread emits 'exit', whatever libuv's pool does with them at that moment. Without that the
 * thread's end does it, after what it has in the pool; and the process's end leaves it to the system.
 */
function withoutExitHook<T>(action: () => T): T {
  const before = process.listeners('exit');
  const result = action();
  for (const listener of process.listeners('exit')) if (!before.includes(listener)) process.off('exit', listener);
  return result;
}

const seal = (key: Uint8Array, value: Uint8Array): number => crc32(value, crc32(key));

function damagedValue(space: Keyspace, key: Uint8Array): DatabaseError {
  return new DatabaseError('XX001', `stored value in "${space}" does not match its checksum`, {
    detail: `Key ${Buffer.from(key).toString('hex')}.`,
    hint: 'The state file is damaged. It can be made anew from the log or a backup.',
  });
}

/** A range that is made once and started anew for each seek: lmdb-js reads `start` when the iteration begins. */
interface Seek {
  readonly range: Iterable<{ key: Uint8Array; value: Uint8Array }>;
  readonly options: { start: Uint8Array; readonly limit: number };
}

function makeSeek(store: Binary): Seek {
  const options = { start: LOWEST, limit: 1 };
  return { range: store.getRange(options), options };
}

const LOWEST = Uint8Array.of(0);

/** Has lmdb-js's iterators copy keys and values our way. Not part of its declared interface: without effect if it changes. */
function copyIntoSlabs(store: Binary): void {
  const hooks = store as unknown as {
    readKey(target: Uint8Array, start: number, end: number): Uint8Array;
    decoder: { decode(bytes: Uint8Array, length: number): Uint8Array };
    decoderCopies: boolean;
  };
  hooks.readKey = slabCopy;
  hooks.decoder = { decode: (bytes, length) => slabCopy(bytes, 0, length) };
  hooks.decoderCopies = true;
}

/**
 * Walks every keyspace of the state and looks at each entry: its key's shape and place in the order, its
 * check, that a look-up finds what the walk found, that what it refers to is there; and per storage the
 * count, bytes and hash sum of the live rows against those that the applier keeps.
 *
 * It works in chunks, each a synchronous stretch (so of one state), with a turn for others between. Beside a
 * running applier a storage's rows are those of a pinned LSN; the pin holds the horizon, and is renewed often.
 *
 *     heap + deleted   by storage: rows visible at the pin -> sums; older version, large values there?
 *     history          rows and dead lists; each row's older version
 *     index, dead      entries; values: chunks without a gap; meta, storages: shapes
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { compareBytes, readUint48 } from '../keycode.js';
import type { Chunk, KeyValueStore, Keyspace } from '../kv/key-value-store.js';
import {
  Flag, HEAP_KEY, HISTORY_KEY, VALUE_CHUNK, VALUE_HEADER, VALUE_KEY, addHash, hashRow, heapKey, historyKey, largeIds, readUint32, stampOf, storagePrefix,
  unsealDeadList, valueKey, verifyChunk, verifyEntry, verifyRow, ROW_HEADER, writeUint32,
} from '../mvcc/row-format.js';
import { STORAGE_RECORD } from '../mvcc/storage-info.js';
import { Hit, VersionStore } from '../mvcc/version-store.js';
import { hex } from './findings.js';
import type { Findings } from './findings.js';

/** What a storage's live rows came to, as the applier counted. */
export interface ExpectedSums {
  readonly count: number;
  readonly bytes: number;
  readonly hash: Uint32Array;
}

/** The state at one LSN: nothing that it shows is collected until `release`. */
export interface StatePin {
  readonly at: Lsn;
  readonly storages: ReadonlyMap<StorageId, ExpectedSums>;
  /** Dropped, and perhaps half removed. */
  readonly dropped: ReadonlySet<StorageId>;
  /** False: it was held too long and versions may be gone. */
  valid(): boolean;
  release(): void;
}

export interface WalkHooks {
  /** After each chunk. */
  turn(): Promise<void> | undefined;
  /** It waited for something else. */
  resumed?(): void;
  progress?(what: Keyspace, entries: number): void;
}

export interface WalkOptions extends WalkHooks {
  readonly kv: KeyValueStore;
  readonly findings: Findings;
  pin(): Promise<StatePin>;
  now(): number;
  /** Nobody writes meanwhile: the numbers of entries that the store itself keeps must be those that are found. */
  readonly still?: boolean;
}

export interface WalkTotals {
  entries: number;
  rows: number;
  storages: number;
}

const CHUNK = 128;
/** Entries of a slice when pages are read. */
const PAGED = 2048;
/** No key is longer. */
const MAX_KEY = 4096;
/** A pin serves several storages for so long. */
const PIN_MS = 2000;
const LAST_ROW = 2 ** 48 - 1;
const LOWEST = Uint8Array.of(0);
const HIGHEST = new Uint8Array(12).fill(0xff);

export class StateWalk {
  readonly totals: WalkTotals = { entries: 0, rows: 0, storages: 0 };
  private readonly kv: KeyValueStore;
  private readonly findings: Findings;
  private readonly chunk: Chunk = { keys: [], values: [] };
  private readonly versions: VersionStore;
  private readonly hit = new Hit();
  private readonly historyScratch = new Uint8Array(HISTORY_KEY);
  private readonly valueScratch = new Uint8Array(VALUE_KEY);
  private readonly hash = new Uint32Array(4);
  private heapEntries = 0;

  constructor(private readonly options: WalkOptions) {
    this.kv = options.kv;
    this.findings = options.findings;
    this.versions = new VersionStore(options.kv);
  }

  async run(): Promise<WalkTotals> {
    await this.guarded('meta', () => this.walkSpace('meta', (key, value) => this.checkMeta(key, value)));
    await this.guarded('storages', () => this.walkSpace('storages', (key, value) => void this.expect(key.length === 6 && value.length === STORAGE_RECORD, 'storages', key, 'has a wrong length')));
    await this.guarded('heap', () => this.walkRows());
    await this.guarded('deleted', () => this.walkSpace('deleted', (key, value) => this.checkDeleted(key, value)));
    await this.guarded('history', () => this.walkSpace('history', (key, value) => this.checkHistory(key, value)));
    await this.guarded('index', () => this.walkSpace('index', (key, value) => this.checkEntry('index', key, key, value)));
    await this.guarded('dead', () => this.walkSpace('dead', (key, value) => this.checkEntry('dead', key, key.subarray(0, key.length - 6), value)));
    await this.guarded('values', () => this.walkSpace('values', (key, value) => this.checkValue(key, value)));
    return this.totals;
  }

  /** The store itself may refuse to read a damaged page: the keyspace is then given up, with its name. */
  private async guarded(space: Keyspace, walk: () => Promise<void>): Promise<void> {
    try {
      await walk();
      await this.walkPages(space);
    } catch (error) {
      if (error instanceof DatabaseError && error.sqlstate !== 'XX001') throw error;
      this.findings.add({ part: 'state', message: `${space} cannot be read to its end: ${(error as Error).message}` });
    }
  }

  /** Long scans and backups read the file's pages by themselves, and check of them what LMDB does not: what they would refuse must be found here. */
  private async walkPages(space: Keyspace): Promise<void> {
    const seen = new Uint8Array(MAX_KEY);
    let length = 0;
    for (let from: Uint8Array = LOWEST; ; from = successor(seen.subarray(0, length))) {
      let left = PAGED;
      try {
        const all = this.kv.bulk((walker) => walker.walk(space, from, HIGHEST, (keys, start, end) => {
          length = end - start;
          for (let i = 0; i < length; i++) seen[i] = keys[start + i]!;
          return --left === 0;
        }));
        if (all) return;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.sqlstate !== 'XX001') throw error;
        this.damage(space, length > 0 ? seen.slice(0, length) : from, error.message);
        return;
      }
      const wait = this.options.turn();
      if (wait) await wait;
    }
  }

  private damage(space: Keyspace, key: Uint8Array, message: string): void {
    this.findings.add({ part: 'state', message, where: `${space} ${hex(key)}`, ...storageOf(space, key) });
  }

  private expect(holds: boolean, space: Keyspace, key: Uint8Array, message: string): boolean {
    if (!holds) this.damage(space, key, `a value ${message}`);
    return holds;
  }

  /** One scan; values of sealed keyspaces that do not match their check are named and left out. */
  private read(space: Keyspace, from: Uint8Array, to: Uint8Array): { full: boolean } {
    const { kv, chunk } = this;
    chunk.keys.length = 0;
    chunk.values.length = 0;
    kv.refresh();
    let damaged = 0;
    kv.onDamage = (_, key) => {
      damaged++;
      this.damage(space, key, 'a value does not match its checksum');
      // The walk goes on behind it.
      chunk.keys.push(key);
      chunk.values.push(NO_VALUE);
    };
    try {
      const count = kv.scan(space, from, to, false, CHUNK, chunk);
      return { full: count + damaged >= CHUNK };
    } finally {
      kv.onDamage = undefined;
    }
  }

  private async walkSpace(space: Keyspace, check: (key: Uint8Array, value: Uint8Array) => void): Promise<void> {
    let from: Uint8Array = LOWEST;
    let previous: Uint8Array | undefined;
    let entries = 0;
    for (;;) {
      const { full } = this.read(space, from, HIGHEST);
      const { keys, values } = this.chunk;
      if (!this.inOrder(space, keys, previous)) return;
      for (let i = 0; i < keys.length; i++) {
        if (values[i] === NO_VALUE) continue;
        this.lookUp(space, keys[i]!, values[i]!);
        check(keys[i]!, values[i]!);
      }
      entries += keys.length;
      this.totals.entries += keys.length;
      this.options.progress?.(space, entries);
      if (!full) return this.compareCount(space, entries);
      previous = keys.at(-1)!;
      from = successor(previous);
      const wait = this.options.turn();
      if (wait) await wait;
    }
  }

  private compareCount(space: Keyspace, found: number): void {
    if (!this.options.still) return;
    const kept = this.kv.entryCount(space);
    if (kept !== found) this.findings.add({ part: 'state', message: `${found} entries are found in ${space} where the store counts ${kept}` });
  }

  /** False: the order is broken, and going on could go round for ever. */
  private inOrder(space: Keyspace, keys: readonly Uint8Array[], before: Uint8Array | undefined): boolean {
    let previous = before;
    for (const key of keys) {
      if (previous && compareBytes(previous, key) >= 0) {
        this.damage(space, key, `the order of keys is broken after ${hex(previous)}; the rest of the keyspace was not walked`);
        return false;
      }
      previous = key;
    }
    return true;
  }

  /** A look-up goes down the tree another way than a walk: a damaged branch shows. */
  private lookUp(space: Keyspace, key: Uint8Array, value: Uint8Array): void {
    const found = this.kv.get(space, key);
    if (!found) this.damage(space, key, 'an entry is found by a walk and not by its key');
    else if (found.length !== value.length) this.damage(space, key, 'an entry has one value by a walk and another by its key');
  }

  private checked(space: Keyspace, key: Uint8Array, verify: () => void): boolean {
    try {
      verify();
      return true;
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.sqlstate !== 'XX001') throw error;
      this.damage(space, key, error.message);
      return false;
    }
  }

  /** The oldest key in history: what is behind it must be there. */
  private oldestHistory(): Uint8Array | undefined {
    const found: Chunk = { keys: [], values: [] };
    this.kv.scan('history', LOWEST, HIGHEST, false, 1, found);
    return found.keys[0];
  }

  /** The version that `value` says precedes it. */
  private checkPrevious(space: Keyspace, key: Uint8Array, value: Uint8Array, storage: StorageId, rowId: RowId): void {
    if (!(value[0]! & Flag.hasPrevious)) return;
    const previous = historyKey(this.historyScratch, stampOf(value), storage, rowId);
    if (this.kv.get('history', previous)) return;
    const oldest = this.oldestHistory();
    if (oldest && compareBytes(oldest, previous) < 0) this.damage(space, key, 'the older version of a row is missing from its chain');
  }

  // ---- rows

  private async walkRows(): Promise<void> {
    let pin = await this.pin();
    let pinned = this.options.now();
    const seen = new Set<StorageId>();
    try {
      for (let from: Uint8Array = LOWEST; ; ) {
        this.kv.refresh();
        const storage = this.nextStorage(from);
        if (storage === undefined) break;
        if (this.options.now() - pinned > PIN_MS || !pin.valid()) {
          pin.release();
          pin = await this.pin();
          pinned = this.options.now();
        }
        seen.add(storage);
        await this.walkStorage(storage, pin);
        from = storagePrefix(storage + 1);
      }
      // Those of which nothing was found at all.
      pin.release();
      pin = await this.pin();
      for (const [storage, { count }] of pin.storages) if (count > 0 && !seen.has(storage)) await this.walkStorage(storage, pin);
    } finally {
      pin.release();
    }
    this.totals.storages = seen.size;
    this.compareCount('heap', this.heapEntries);
  }

  private async pin(): Promise<StatePin> {
    const pin = await this.options.pin();
    this.options.resumed?.();
    this.kv.refresh();
    this.versions.staged.clear();
    const { keys, values } = this.chunk;
    let from: Uint8Array = Uint8Array.of(0x78);
    for (let full = true; full; ) {
      ({ full } = this.read('meta', from, Uint8Array.of(0x79)));
      keys.forEach((key, i) => {
        const lsn = values[i] === NO_VALUE ? 0 : readUint48(values[i]!, 0);
        if (lsn > 0) this.versions.staged.set(readUint48(key, 1) as Xid, lsn as Lsn);
      });
      if (full) from = successor(keys.at(-1)!);
    }
    return pin;
  }

  private nextStorage(from: Uint8Array): StorageId | undefined {
    let next: number | undefined;
    for (const space of ['heap', 'deleted'] as const) {
      const found: Chunk = { keys: [], values: [] };
      this.kv.onDamage = (_, key) => found.keys.push(key);
      this.kv.scan(space, from, HIGHEST, false, 1, found);
      this.kv.onDamage = undefined;
      const key = found.keys[0];
      if (!key || key.length < 6) continue;
      const storage = readUint48(key, 0);
      if (next === undefined || storage < next) next = storage;
    }
    return next as StorageId | undefined;
  }

  private async walkStorage(storage: StorageId, pin: StatePin): Promise<void> {
    const found = { count: 0, bytes: 0, hash: new Uint32Array(4) };
    const before = this.findings.total;
    let previous: Uint8Array | undefined;
    const upper = storagePrefix(storage + 1);
    for (let next = 0; next <= LAST_ROW; ) {
      const { full } = this.read('heap', heapKey(new Uint8Array(HEAP_KEY), storage, next as RowId), upper);
      const keys = [...this.chunk.keys];
      const values = [...this.chunk.values];
      if (!this.inOrder('heap', keys, previous)) return;
      let bound = full ? readUint48(keys.at(-1)!, 6) : LAST_ROW;
      const dead = this.read('deleted', heapKey(new Uint8Array(HEAP_KEY), storage, next as RowId), upper);
      if (dead.full) bound = Math.min(bound, readUint48(this.chunk.keys.at(-1)!, 6));
      for (let i = 0; i < keys.length && readUint48(keys[i]!, 6) <= bound; i++) {
        previous = keys[i]!;
        this.totals.entries++;
        this.heapEntries++;
        this.checkHeapRow(storage, keys[i]!, values[i]!, pin.at, found);
      }
      for (let i = 0; i < this.chunk.keys.length; i++) {
        const key = this.chunk.keys[i]!;
        const death = this.chunk.values[i]!;
        const rowId = readUint48(key, 6) as RowId;
        if (rowId > bound || death === NO_VALUE) continue;
        this.checked('deleted', key, () => {
          if (this.versions.readDead(storage, rowId, death, pin.at, undefined, this.hit)) this.add(rowId, found);
        });
      }
      this.options.progress?.('heap', this.totals.entries);
      next = bound + 1;
      const wait = this.options.turn();
      if (wait) await wait;
    }
    this.totals.rows += found.count;
    if (!pin.valid() || pin.dropped.has(storage)) return;
    const expected = pin.storages.get(storage) ?? { count: 0, bytes: 0, hash: new Uint32Array(4) };
    if (found.count !== expected.count)
      this.findings.add({ part: 'state', storage, message: `${found.count} rows are found where the log's commits come to ${expected.count}` });
    else if (found.bytes !== expected.bytes || found.hash.some((word, i) => word !== expected.hash[i]))
      this.findings.add({ part: 'state', storage, message: `the rows are not those that the log's commits come to (hash sum)${this.findings.total > before ? '' : ', though each matches its checksum'}` });
  }

  private add(rowId: RowId, into: { count: number; bytes: number; hash: Uint32Array }): void {
    const { tuple } = this.hit;
    into.count++;
    into.bytes += tuple.length;
    hashRow(this.hash, rowId, tuple);
    addHash(into.hash, this.hash, 1);
  }

  private checkHeapRow(storage: StorageId, key: Uint8Array, value: Uint8Array, at: Lsn, into: { count: number; bytes: number; hash: Uint32Array }): void {
    if (!this.expect(key.length === HEAP_KEY && value.length >= ROW_HEADER, 'heap', key, 'has a wrong length')) return;
    this.lookUp('heap', key, value);
    if (!this.checked('heap', key, () => verifyRow(value, key))) return;
    const rowId = readUint48(key, 6) as RowId;
    this.checkPrevious('heap', key, value, storage, rowId);
    for (const id of largeIds(value.subarray(ROW_HEADER)))
      if (!this.kv.get('values', valueKey(this.valueScratch, storage, id, 0))) this.damage('heap', key, 'a row refers to a large value that is missing');
    this.checked('heap', key, () => {
      if (this.versions.readChain(storage, rowId, value, at, undefined, this.hit)) this.add(rowId, into);
    });
  }

  private checkDeleted(key: Uint8Array, value: Uint8Array): void {
    if (!this.expect(key.length === HEAP_KEY && (value.length === 12 || value.length === 13), 'deleted', key, 'has a wrong length')) return;
    if (this.kv.get('heap', key)) this.damage('deleted', key, 'a deleted row is still in the heap');
    const last = historyKey(this.historyScratch, readUint48(value, 0) as Lsn, readUint48(key, 0), readUint48(key, 6));
    if (this.kv.get('history', last)) return;
    const oldest = this.oldestHistory();
    if (oldest && compareBytes(oldest, last) < 0) this.damage('deleted', key, 'the last version of a deleted row is missing');
  }

  private checkHistory(key: Uint8Array, value: Uint8Array): void {
    if (!this.expect(key.length === HISTORY_KEY, 'history', key, 'has a key of a wrong length')) return;
    if (readUint48(key, 6) === 0) {
      if (!unsealDeadList(value, key)) this.damage('history', key, 'a list of dead entries does not match its checksum');
      return;
    }
    if (!this.expect(value.length >= ROW_HEADER, 'history', key, 'has a wrong length')) return;
    const rowKey = key.subarray(6);
    if (!this.checked('history', key, () => verifyRow(value, rowKey))) return;
    if (stampOf(value) >= readUint48(key, 0)) this.damage('history', key, 'a version is newer than the one that superseded it');
    this.checkPrevious('history', key, value, readUint48(rowKey, 0) as StorageId, readUint48(rowKey, 6) as RowId);
  }

  private checkEntry(space: 'index' | 'dead', key: Uint8Array, living: Uint8Array, value: Uint8Array): void {
    if (!this.expect(living.length >= 12 && value.length >= 11, space, key, 'has a wrong length')) return;
    this.checked(space, key, () => verifyEntry(value, living));
  }

  private checkValue(key: Uint8Array, value: Uint8Array): void {
    if (!this.expect(key.length === VALUE_KEY && value.length > VALUE_HEADER, 'values', key, 'has a wrong length')) return;
    if (!this.checked('values', key, () => verifyChunk(value, key))) return;
    const chunk = readUint32(key, 12);
    if (chunk === 0) return;
    this.valueScratch.set(key);
    writeUint32(this.valueScratch, 12, chunk - 1);
    const before = this.kv.get('values', this.valueScratch);
    if (!before || before.length !== VALUE_HEADER + VALUE_CHUNK) this.damage('values', key, 'the part of a large value before this one is missing');
  }

  private checkMeta(key: Uint8Array, value: Uint8Array): void {
    const letter = String.fromCharCode(key[0]!);
    const known = letter === 's' ? value.length >= 13 : letter === 'x' ? value.length >= 12 : letter === 'v' ? value.length % 12 === 0 : true;
    this.expect(known, 'meta', key, 'has a wrong length');
  }
}

const NO_VALUE = new Uint8Array(0);

function successor(key: Uint8Array): Uint8Array {
  const out = new Uint8Array(key.length + 1);
  out.set(key);
  return out;
}

function storageOf(space: Keyspace, key: Uint8Array): { storage?: StorageId } {
  if (space === 'meta') return {};
  const at = space === 'history' ? 6 : 0;
  const storage = key.length >= at + 6 ? readUint48(key, at) : 0;
  return storage === 0 ? {} : { storage: storage as StorageId };
}

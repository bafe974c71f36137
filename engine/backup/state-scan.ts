/**
 * The state as of one LSN, entry by entry in key order, from the store alone: the LSN is applied and
 * pinned, so heap, history, deleted rows and dead index entries have all of it. Each call is one
 * short read; between calls only a cursor is kept, so a scan may go on after a restart.
 *
 * A row comes out as its version at that LSN without its past (no HAS_PREVIOUS). Rows and entries of
 * transactions undecided then are left out: a restore takes them from the log. Chunks of large values
 * come last, also some that no row refers to any more: a restore leaves those out.
 */
import { readUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { KEYSPACES } from '../kv/key-value-store.js';
import type { Chunk, KeyValueStore, Walker } from '../kv/key-value-store.js';
import { metaKey } from '../mvcc/meta.js';
import { Flag, ENTRY_HEADER, PROVISIONAL_ENTRY_HEADER, ROW_HEADER, VALUE_KEY, damaged, isEntry, isRow, readUint32, settleEntry, settleRow, undoomed, valueKey, verifyChunk, writeEntryValue, writeRowValue } from '../mvcc/row-format.js';
import { Hit, NEVER, VersionStore } from '../mvcc/version-store.js';
import { DeadAhead } from './dead-ahead.js';
import { ENTRY_HEAD, EntryWriter, readEntries } from './entries.js';

const HEAP = KEYSPACES.indexOf('heap');
const INDEX = KEYSPACES.indexOf('index');
const VALUE_ENTRY = ENTRY_HEAD + VALUE_KEY;
const LAST = new Uint8Array(7).fill(0xff);
/** What the last entry of a part may go beyond its size without another allocation. */
const SPARE_BYTES = 64 << 10;

export interface ScanCursor {
  readonly space: 'heap' | 'index' | 'values';
  /** Everything before this key is done. */
  readonly key: Uint8Array;
}

const LOWEST = Uint8Array.of(0);

export const SCAN_START: ScanCursor = { space: 'heap', key: LOWEST };

export interface ScanPart {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly entries: number;
  /** Undefined: that was all. */
  readonly next: ScanCursor | undefined;
}

export interface LookedUp {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly entries: number;
  readonly done: number;
  readonly chunk: number;
}

export class StateScan {
  private readonly store: VersionStore;
  private readonly hit = new Hit();
  private readonly dead = new DeadAhead();
  private viewed: Uint8Array = LOWEST;
  private view: DataView = new DataView(LOWEST.buffer);
  private lastStorage = -1;
  private lastDropped = false;
  private lastXid = -1;
  private lastFate = NEVER;
  private scratch = new Uint8Array(32 << 10);

  constructor(private readonly kv: KeyValueStore, private readonly s: Lsn, private readonly dropped: ReadonlySet<StorageId>) {
    kv.refresh();
    this.store = new VersionStore(kv);
    const fates: Chunk = { keys: [], values: [] };
    kv.scan('meta', metaKey('x', 0), metaKey('y', 0), false, Infinity, fates);
    fates.keys.forEach((key, i) => {
      const lsn = readUint48(fates.values[i]!, 0) as Lsn;
      if (lsn > 0) this.store.staged.set(readUint48(key, 1) as Xid, lsn);
    });
  }

  /** Entries from `cursor` on, about `maxBytes` of them. */
  read(cursor: ScanCursor, maxBytes: number): ScanPart {
    const out = new EntryWriter(maxBytes + SPARE_BYTES);
    let at: ScanCursor | undefined = cursor;
    this.kv.bulk((walker) => {
      while (at && out.byteLength < maxBytes) at = this[at.space](walker, at.key, maxBytes, out);
    });
    return { bytes: out.take(), entries: out.entries, next: at };
  }

  /**
   * The entries with these keys (entries without values) as of the LSN; a key without a visible one comes
   * out as removed. Stops at about `maxBytes`: `done` bytes of the list are answered, and of a large value
   * that follows the chunks before `chunk`.
   */
  lookup(keys: Uint8Array, maxBytes: number): LookedUp {
    this.kv.refresh();
    const out = new EntryWriter(maxBytes + SPARE_BYTES);
    let done = 0;
    let chunk = 0;
    while (done < keys.length && out.byteLength < maxBytes && chunk === 0)
      done = readEntries(keys, done, (space, key) => {
        if (space === 'heap') this.heapAt(key, out);
        else if (space === 'index') this.indexAt(key, out);
        else chunk = this.valueAt(key, maxBytes, out);
      }, done + 1);
    // Not all of the last value went in: its key counts again.
    return { bytes: out.take(), entries: out.entries, done: chunk > 0 ? done - VALUE_ENTRY : done, chunk };
  }

  private heapAt(key: Uint8Array, out: EntryWriter): void {
    const { store, s, hit } = this;
    const storage = readUint48(key, 0) as StorageId;
    const rowId = readUint48(key, 6) as RowId;
    if (this.dropped.has(storage)) return;
    const value = this.kv.get('heap', key)?.slice();
    const death = value ? undefined : this.kv.get('deleted', key)?.slice();
    if (value ? store.readChain(storage, rowId, value, s, undefined, hit) : death && store.readDead(storage, rowId, death, s, undefined, hit)) this.version(key, out);
    else out.put('heap', key, undefined);
  }

  private indexAt(key: Uint8Array, out: EntryWriter): void {
    if (this.dropped.has(readUint48(key, 0) as StorageId)) return;
    const before = out.entries;
    const value = this.kv.get('index', key)?.slice();
    if (value) this.entry(key, value, NEVER, out);
    if (out.entries > before) return;
    const dead: Chunk = { keys: [], values: [] };
    const upper = new Uint8Array(key.length + 7);
    upper.set(key);
    upper.fill(0xff, key.length);
    this.kv.scan('dead', key, upper, false, Infinity, dead);
    for (let i = 0; i < dead.keys.length && out.entries === before; i++)
      // A longer key may begin with this one.
      if (dead.keys[i]!.length === key.length + 6) this.entry(key, dead.values[i]!, readUint48(dead.keys[i]!, key.length), out);
    if (out.entries === before) out.put('index', key, undefined);
  }

  /** Returns the chunk to go on from; 0: the value is complete. */
  private valueAt(key: Uint8Array, maxBytes: number, out: EntryWriter): number {
    const storage = readUint48(key, 0) as StorageId;
    const id = readUint48(key, 6);
    if (id > this.s || this.dropped.has(storage)) return 0;
    const at = new Uint8Array(VALUE_KEY);
    for (let chunk = readUint32(key, 12); ; chunk++) {
      if (out.byteLength >= maxBytes) return chunk;
      const value = this.kv.get('values', valueKey(at, storage, id, chunk))?.slice();
      if (!value) return 0;
      verifyChunk(value, at);
      out.put('values', at, value);
    }
  }

  /** A view of `bytes`, kept as long as the next ones are the same: a walker reads into one buffer. */
  private viewOf(bytes: Uint8Array): DataView {
    if (bytes !== this.viewed) {
      this.viewed = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return this.view;
  }

  /** Whether the storage was dropped; asked for entry by entry, which mostly are of the same. */
  private isDropped(storage: number): boolean {
    if (storage !== this.lastStorage) {
      this.lastStorage = storage;
      this.lastDropped = this.dropped.has(storage as StorageId);
    }
    return this.lastDropped;
  }

  /** LSN at which a transaction that wrote ahead committed; NEVER if it had not. */
  private fate(xid: number): number {
    if (xid !== this.lastXid) {
      this.lastXid = xid;
      this.lastFate = this.store.staged.get(xid as Xid) ?? NEVER;
    }
    return this.lastFate;
  }

  private heap(walker: Walker, from: Uint8Array, maxBytes: number, out: EntryWriter): ScanCursor | undefined {
    const { dead, s } = this;
    dead.start(this.kv, 'deleted', from);
    let stop: Uint8Array | undefined;
    const all = walker.walk('heap', from, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      while (dead.key && dead.order(keys, keyStart, keyEnd) < 0 && out.byteLength < maxBytes) this.nextDeleted(out);
      if (out.byteLength >= maxBytes) {
        stop = dead.order(keys, keyStart, keyEnd) < 0 ? dead.key : keys.slice(keyStart, keyEnd);
        return true;
      }
      const view = this.viewOf(keys);
      const storage = uint48(view, keyStart);
      if (this.isDropped(storage)) return false;
      if (values === keys) {
        const flags = view.getUint8(valueStart);
        const stamp = flags & Flag.provisional ? this.fate(uint48(view, valueStart + 7)) : uint48(view, valueStart + 1);
        if (stamp <= s) {
          if (!isRow(view, keyStart, keyEnd, valueStart, valueEnd)) throw damaged('row', keys.slice(keyStart, keyEnd));
          const at = out.copy(HEAP, keys, view, keyStart, valueStart, valueEnd);
          if (flags !== 0) settleRow(out.target, at, at + keyEnd - keyStart, at + valueEnd - keyStart, stamp);
          return false;
        }
      }
      const key = keys.slice(keyStart, keyEnd);
      const value = values.subarray(valueStart, valueEnd);
      if (this.store.readChain(storage as StorageId, readUint48(key, 6) as RowId, value, s, undefined, this.hit)) this.version(key, out);
      return false;
    });
    while (all && dead.key && out.byteLength < maxBytes) this.nextDeleted(out);
    if (all) stop = dead.key;
    return stop ? { space: 'heap', key: stop } : { space: 'index', key: LOWEST };
  }

  private nextDeleted(out: EntryWriter): void {
    const { dead } = this;
    const key = dead.key!;
    const storage = readUint48(key, 0) as StorageId;
    if (!this.isDropped(storage) && this.store.readDead(storage, readUint48(key, 6) as RowId, dead.value!, this.s, undefined, this.hit)) this.version(key, out);
    dead.advance();
  }

  /** The version that `hit` found, as if it had no past. */
  private version(key: Uint8Array, out: EntryWriter): void {
    const { tuple, stamp, xid } = this.hit;
    if (tuple.length + ROW_HEADER > this.scratch.length) this.scratch = new Uint8Array((tuple.length + ROW_HEADER) * 2);
    const length = writeRowValue(this.scratch, 0, stamp, xid, tuple, key);
    out.put('heap', key, this.scratch.subarray(0, length));
  }

  private index(walker: Walker, from: Uint8Array, maxBytes: number, out: EntryWriter): ScanCursor | undefined {
    const { dead, s } = this;
    dead.start(this.kv, 'dead', from);
    let stop: Uint8Array | undefined;
    const all = walker.walk('index', from, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      while (dead.key && dead.order(keys, keyStart, keyEnd) < 0 && out.byteLength < maxBytes) this.nextDead(out);
      if (out.byteLength >= maxBytes) {
        stop = dead.order(keys, keyStart, keyEnd) < 0 ? dead.living : keys.slice(keyStart, keyEnd);
        return true;
      }
      if (dead.key && dead.order(keys, keyStart, keyEnd) === 0) this.nextDead(out);
      const view = this.viewOf(keys);
      if (this.isDropped(uint48(view, keyStart))) return false;
      const flags = view.getUint8(valueStart);
      if (values === keys && (flags & ~Flag.provisional) === 0) {
        if (!isEntry(view, keyStart, keyEnd, valueStart, valueEnd)) throw damaged('index entry', keys.slice(keyStart, keyEnd));
        const provisional = (flags & Flag.provisional) !== 0;
        const birth = provisional ? this.fate(uint48(view, valueStart + 1)) : uint48(view, valueStart + 1);
        if (birth > s) return false;
        if (!provisional) out.copy(INDEX, keys, view, keyStart, valueStart, valueEnd);
        else {
          const at = out.copy(INDEX, keys, view, keyStart, valueStart, valueEnd, valueStart + ENTRY_HEADER, PROVISIONAL_ENTRY_HEADER - ENTRY_HEADER);
          settleEntry(out.target, at, at + keyEnd - keyStart, at + valueEnd - keyStart - (PROVISIONAL_ENTRY_HEADER - ENTRY_HEADER), birth);
        }
        return false;
      }
      this.entry(keys.slice(keyStart, keyEnd), values.slice(valueStart, valueEnd), NEVER, out);
      return false;
    });
    while (all && dead.key && out.byteLength < maxBytes) this.nextDead(out);
    if (all) stop = dead.living;
    return stop ? { space: 'index', key: stop } : { space: 'values', key: LOWEST };
  }

  /** All that died under the next key, so that a part never ends between them. */
  private nextDead(out: EntryWriter): void {
    const { dead } = this;
    const key = dead.living!;
    do {
      this.entry(key, dead.value!, readUint48(dead.key!, key.length), out);
      dead.advance();
    } while (dead.key && dead.order(key, 0, key.length) === 0);
  }

  private values(walker: Walker, from: Uint8Array, maxBytes: number, out: EntryWriter): ScanCursor | undefined {
    let stop: Uint8Array | undefined;
    const all = walker.walk('values', from, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      const key = keys.subarray(keyStart, keyEnd);
      if (out.byteLength >= maxBytes) {
        stop = key.slice();
        return true;
      }
      // A value's id is the LSN of its first record.
      if (readUint48(key, 6) > this.s || this.isDropped(readUint48(key, 0))) return false;
      const value = values.subarray(valueStart, valueEnd);
      verifyChunk(value, key);
      out.put('values', key, value);
      return false;
    });
    return all ? undefined : { space: 'values', key: stop! };
  }

  private entry(key: Uint8Array, value: Uint8Array, death: number, out: EntryWriter): void {
    if (this.dropped.has(readUint48(key, 0) as StorageId) || !this.store.entryVisible(key, value, death, this.s, undefined)) return;
    // Its killer had not committed by then.
    if (value[0]! & Flag.doomed) value = undoomed(value, key);
    if (value[0]! & Flag.provisional) {
      const birth = this.store.staged.get(readUint48(value, 1) as Xid)!;
      const payload = this.store.payload(value);
      const made = new Uint8Array(value.length);
      const length = writeEntryValue(made, 0, birth, payload, key);
      out.put('index', key, made.subarray(0, length));
      return;
    }
    out.put('index', key, value);
  }
}

function uint48(view: DataView, at: number): number {
  return view.getUint16(at) * 0x100000000 + view.getUint32(at + 2);
}

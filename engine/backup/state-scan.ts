/**
 * The state as of one LSN, entry by entry in key order, from the store alone: the LSN is applied and
 * pinned, so heap, history, deleted rows and dead index entries have all of it. Each call is one
 * short read; between calls only a cursor is kept, so a scan may go on after a restart.
 *
 * A row comes out as its version at that LSN without its past (no HAS_PREVIOUS). Rows and entries of
 * transactions undecided then are left out: a restore takes them from the log. Chunks of large values
 * come last, also some that no row refers to any more: a restore leaves those out.
 */
import { compareBytes, readUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { Chunk, KeyValueStore } from '../kv/key-value-store.js';
import { metaKey } from '../mvcc/meta.js';
import { Flag, ROW_HEADER, VALUE_KEY, readUint32, stampOf, undoomed, valueKey, verifyChunk, verifyRow, writeEntryValue, writeRowValue, xidOf } from '../mvcc/row-format.js';
import { Hit, NEVER, VersionStore } from '../mvcc/version-store.js';
import { ENTRY_HEAD, EntryWriter, readEntries } from './entries.js';

const CHUNK_ENTRIES = 512;
const VALUE_ENTRY = ENTRY_HEAD + VALUE_KEY;
const LAST = new Uint8Array(7).fill(0xff);

export interface ScanCursor {
  readonly space: 'heap' | 'index' | 'values';
  /** Everything before this key is done. */
  readonly key: Uint8Array;
}

export const SCAN_START: ScanCursor = { space: 'heap', key: Uint8Array.of(0) };

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
  private readonly chunk: Chunk = { keys: [], values: [] };
  private readonly dead: Chunk = { keys: [], values: [] };
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
    const out = new EntryWriter(maxBytes + (64 << 10));
    let at: ScanCursor | undefined = cursor;
    while (at && out.byteLength < maxBytes) {
      this.kv.refresh();
      at = this[at.space](at.key, out);
    }
    return { bytes: out.take(), entries: out.entries, next: at };
  }

  /**
   * The entries with these keys (entries without values) as of the LSN; a key without a visible one comes
   * out as removed. Stops at about `maxBytes`: `done` bytes of the list are answered, and of a large value
   * that follows the chunks before `chunk`.
   */
  lookup(keys: Uint8Array, maxBytes: number): LookedUp {
    this.kv.refresh();
    const out = new EntryWriter(maxBytes + (64 << 10));
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
    const { dead } = this;
    dead.keys.length = dead.values.length = 0;
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

  private fill(space: ScanCursor['space'], from: Uint8Array): number {
    this.chunk.keys.length = this.chunk.values.length = this.dead.keys.length = this.dead.values.length = 0;
    return this.kv.scan(space, from, LAST, false, CHUNK_ENTRIES, this.chunk);
  }

  private heap(from: Uint8Array, out: EntryWriter): ScanCursor | undefined {
    const { chunk, dead, s } = this;
    const count = this.fill('heap', from);
    const next = count < CHUNK_ENTRIES ? undefined : successor(chunk.keys[count - 1]!);
    this.kv.scan('deleted', from, next ?? LAST, false, Infinity, dead);
    let d = 0;
    for (let i = 0; i <= count; i++) {
      const key = chunk.keys[i];
      for (; d < dead.keys.length && (!key || compareBytes(dead.keys[d]!, key) < 0); d++) this.deleted(dead.keys[d]!, dead.values[d]!, out);
      if (!key) break;
      if (this.dropped.has(readUint48(key, 0) as StorageId)) continue;
      const value = chunk.values[i]!;
      if ((value[0]! & Flag.provisional) === 0 && stampOf(value) <= s) {
        verifyRow(value, key);
        if (value[0] !== 0) this.put(key, value.subarray(ROW_HEADER), stampOf(value), xidOf(value), out);
        else out.put('heap', key, value);
      } else if (this.store.readChain(readUint48(key, 0) as StorageId, readUint48(key, 6) as RowId, value, s, undefined, this.hit)) this.version(key, out);
    }
    return next ? { space: 'heap', key: next } : { space: 'index', key: Uint8Array.of(0) };
  }

  private deleted(key: Uint8Array, death: Uint8Array, out: EntryWriter): void {
    const storage = readUint48(key, 0) as StorageId;
    if (this.dropped.has(storage)) return;
    if (this.store.readDead(storage, readUint48(key, 6) as RowId, death, this.s, undefined, this.hit)) this.version(key, out);
  }

  /** The version that `hit` found, as if it had no past. */
  private version(key: Uint8Array, out: EntryWriter): void {
    const { tuple, stamp, xid } = this.hit;
    this.put(key, tuple, stamp, xid, out);
  }

  private put(key: Uint8Array, tuple: Uint8Array, stamp: Lsn, xid: Xid, out: EntryWriter): void {
    if (tuple.length + ROW_HEADER > this.scratch.length) this.scratch = new Uint8Array((tuple.length + ROW_HEADER) * 2);
    const length = writeRowValue(this.scratch, 0, stamp, xid, tuple, key);
    out.put('heap', key, this.scratch.subarray(0, length));
  }

  private index(from: Uint8Array, out: EntryWriter): ScanCursor | undefined {
    const { chunk, dead } = this;
    const count = this.fill('index', from);
    const next = count < CHUNK_ENTRIES ? undefined : successor(chunk.keys[count - 1]!);
    this.kv.scan('dead', from, next ?? LAST, false, Infinity, dead);
    let d = 0;
    for (let i = 0; i <= count; i++) {
      const key = chunk.keys[i];
      for (; d < dead.keys.length; d++) {
        const living = dead.keys[d]!.subarray(0, dead.keys[d]!.length - 6);
        if (key && compareBytes(living, key) > 0) break;
        this.entry(living, dead.values[d]!, readUint48(dead.keys[d]!, living.length), out);
      }
      if (key) this.entry(key, chunk.values[i]!, NEVER, out);
    }
    return next ? { space: 'index', key: next } : { space: 'values', key: Uint8Array.of(0) };
  }

  private values(from: Uint8Array, out: EntryWriter): ScanCursor | undefined {
    const { chunk } = this;
    const count = this.fill('values', from);
    for (let i = 0; i < count; i++) {
      const key = chunk.keys[i]!;
      // A value's id is the LSN of its first record.
      if (readUint48(key, 6) > this.s || this.dropped.has(readUint48(key, 0) as StorageId)) continue;
      verifyChunk(chunk.values[i]!, key);
      out.put('values', key, chunk.values[i]!);
    }
    return count < CHUNK_ENTRIES ? undefined : { space: 'values', key: successor(chunk.keys[count - 1]!) };
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

/** The smallest key after `key`. */
function successor(key: Uint8Array): Uint8Array {
  const out = new Uint8Array(key.length + 1);
  out.set(key);
  return out;
}

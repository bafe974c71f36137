/**
 * Who read and who wrote what, per storage, among serializable transactions: rows, key ranges of an
 * index, or all of it. Both sides register here and find each other in whatever order they come.
 *
 *     rows        row id -> transactions                    reads by `get`, writes of the row
 *     prefixes    bytes that an equality search asked for -> transactions, looked up by each length in use
 *     ranges      [lower, upper) of entries, grown as a scan goes on
 *     entries     (key, row id) written, in order, so that a range finds them
 *     whole       everything in the storage
 *
 * Memory is bounded: what one transaction registers in one storage becomes `whole` beyond a limit.
 */
import type { RowId, StorageId } from '../ids.js';
import { compareBytes, prefixSuccessor } from '../keycode.js';
import { OrderedMap } from '../kv/ordered-map.js';
import type { PredicateReads } from './predicate-codec.js';

const MAX_ROWS = 2048;
const MAX_PREFIXES = 1024;
const MAX_RANGES = 64;
const MAX_WRITES = 8192;
const COLLECT = 64;
const ROW_ID_BYTES = 6;

/** One holder, or several. */
type Holders<T> = T | Set<T>;

function add<T extends object>(holders: Holders<T> | undefined, holder: T): Holders<T> {
  if (holders === undefined || holders === holder) return holder;
  if (holders instanceof Set) return holders.add(holder);
  return new Set([holders, holder]);
}

/** Undefined when nobody is left. */
function without<T extends object>(holders: Holders<T> | undefined, holder: T): Holders<T> | undefined {
  if (holders === undefined || holders === holder) return undefined;
  if (!(holders instanceof Set)) return holders;
  holders.delete(holder);
  return holders.size === 0 ? undefined : holders;
}

function each<T extends object>(holders: Holders<T> | undefined, visit: (holder: T) => void): void {
  if (holders === undefined) return;
  if (holders instanceof Set) for (const holder of [...holders]) visit(holder);
  else visit(holders);
}

/** Part of an index that a scan has read so far: entries from `lower` to before `upper`. */
export class RangeRead<T> {
  constructor(
    readonly owner: T,
    public lower: Uint8Array,
    public upper: Uint8Array | undefined,
  ) {}

  holds(entry: Uint8Array): boolean {
    return compareBytes(entry, this.lower) >= 0 && (this.upper === undefined || compareBytes(entry, this.upper) < 0);
  }
}

/** One storage: readers and writers of all transactions. */
class StorageTrack<T extends object> {
  readonly readers = new Set<T>();
  readonly rows = new Map<RowId, Holders<T>>();
  readonly prefixes = new Map<string, Holders<T>>();
  readonly prefixLengths = new Map<number, number>();
  readonly ranges = new Set<RangeRead<T>>();
  readonly writers = new Set<T>();
  readonly wholeWriters = new Set<T>();
  readonly writtenRows = new Map<RowId, Holders<T>>();
  readonly writtenEntries = new OrderedMap<Holders<T>>();
  /** Transactions that registered anything here. */
  users = 0;
}

/** What one transaction registered in one storage. */
class OwnTrack<T> {
  whole = false;
  readonly rows = new Set<RowId>();
  readonly prefixes = new Set<string>();
  readonly ranges: RangeRead<T>[] = [];
  wroteWhole = false;
  readonly writtenRows = new Set<RowId>();
  /** The very objects that the write set holds. */
  readonly writtenEntries = new Set<Uint8Array>();

  get size(): number {
    return this.rows.size + this.prefixes.size + this.ranges.length + this.writtenRows.size + this.writtenEntries.size;
  }
}

/** What is registered of a transaction, for pg_locks. */
export interface PredicateRead {
  readonly storage: StorageId;
  readonly kind: 'relation' | 'range' | 'row';
  readonly rowId: number;
}

export type Tracks<T> = Map<StorageId, OwnTrack<T>>;

const text = (bytes: Uint8Array, length = bytes.length): string => Buffer.from(bytes.buffer, bytes.byteOffset, length).latin1Slice();

export class PredicateTrack<T extends { readonly tracks: Tracks<T> }> {
  private readonly storages = new Map<StorageId, StorageTrack<T>>();
  /** Entries registered by everybody. */
  size = 0;

  private own(who: T, storage: StorageId): OwnTrack<T> {
    let own = who.tracks.get(storage);
    if (!own) {
      who.tracks.set(storage, (own = new OwnTrack<T>()));
      this.of(storage).users++;
    }
    return own;
  }

  private of(storage: StorageId): StorageTrack<T> {
    let track = this.storages.get(storage);
    if (!track) this.storages.set(storage, (track = new StorageTrack<T>()));
    return track;
  }

  // ---- reads: register, and tell of whoever wrote it

  readRow(who: T, storage: StorageId, rowId: RowId, found: (writer: T) => void): void {
    const own = this.own(who, storage);
    if (own.whole || own.rows.has(rowId)) return;
    const track = this.of(storage);
    if (own.rows.size >= MAX_ROWS) {
      this.readWhole(who, storage, found);
      return;
    }
    own.rows.add(rowId);
    this.size++;
    track.rows.set(rowId, add(track.rows.get(rowId), who));
    if (track.writers.size === 0) return;
    each(track.writtenRows.get(rowId), found);
    if (track.wholeWriters.size > 0) for (const writer of [...track.wholeWriters]) found(writer);
  }

  readWhole(who: T, storage: StorageId, found: (writer: T) => void): void {
    const own = this.own(who, storage);
    if (own.whole) return;
    const track = this.of(storage);
    this.forgetReads(who, own, track);
    own.whole = true;
    track.readers.add(who);
    for (const writer of [...track.writers]) found(writer);
  }

  /** Every entry that starts with `prefix`. */
  readPrefix(who: T, storage: StorageId, prefix: Uint8Array, found: (writer: T) => void): void {
    const own = this.own(who, storage);
    if (own.whole) return;
    const name = text(prefix);
    if (own.prefixes.has(name)) return;
    if (own.prefixes.size >= MAX_PREFIXES) {
      this.readWhole(who, storage, found);
      return;
    }
    const track = this.of(storage);
    own.prefixes.add(name);
    this.size++;
    if (!track.prefixes.has(name)) track.prefixLengths.set(prefix.length, (track.prefixLengths.get(prefix.length) ?? 0) + 1);
    track.prefixes.set(name, add(track.prefixes.get(name), who));
    this.writersOf(track, prefix, prefixSuccessor(prefix), found);
  }

  /** Begins a range at which a scan stands; undefined when all of the storage is registered anyhow. */
  beginRange(who: T, storage: StorageId, lower: Uint8Array, upper: Uint8Array | undefined, found: (writer: T) => void): RangeRead<T> | undefined {
    const own = this.own(who, storage);
    if (own.whole) return undefined;
    if (own.ranges.length >= MAX_RANGES) {
      this.readWhole(who, storage, found);
      return undefined;
    }
    const range = new RangeRead(who, lower, upper);
    own.ranges.push(range);
    this.size++;
    this.of(storage).ranges.add(range);
    this.writersOf(this.of(storage), lower, upper, found);
    return range;
  }

  /** The scan went on to `bound`. */
  extendRange(storage: StorageId, range: RangeRead<T>, bound: Uint8Array | undefined, reverse: boolean, found: (writer: T) => void): void {
    const track = this.of(storage);
    if (reverse) {
      const before = range.lower;
      range.lower = bound ?? new Uint8Array(0);
      this.writersOf(track, range.lower, before, found);
    } else {
      const before = range.upper;
      range.upper = bound;
      this.writersOf(track, before ?? range.lower, bound, found);
    }
  }

  private writersOf(track: StorageTrack<T>, lower: Uint8Array, upper: Uint8Array | undefined, found: (writer: T) => void): void {
    if (track.writers.size === 0) return;
    for (const writer of [...track.wholeWriters]) found(writer);
    const keys: Uint8Array[] = [];
    const values: Holders<T>[] = [];
    for (let from = lower; ; ) {
      keys.length = values.length = 0;
      const count = track.writtenEntries.collect(from, upper, false, COLLECT, keys, values);
      for (const holders of values) each(holders, found);
      if (count < COLLECT) return;
      const last = keys[count - 1]!;
      from = new Uint8Array(last.length + 1);
      from.set(last);
    }
  }

  // ---- writes: register, and tell of whoever read it

  /** `foundRow` is told of readers of the row, `found` of those who read all of the storage. */
  wroteRow(who: T, storage: StorageId, rowId: RowId, foundRow: ((reader: T) => void) | undefined, found: (reader: T) => void): void {
    const own = this.own(who, storage);
    const track = this.of(storage);
    if (!own.wroteWhole && !own.writtenRows.has(rowId)) {
      if (own.writtenRows.size >= MAX_WRITES) this.markWholeWriter(who, own, track);
      else {
        own.writtenRows.add(rowId);
        this.size++;
        track.writers.add(who);
        track.writtenRows.set(rowId, add(track.writtenRows.get(rowId), who));
      }
    }
    if (foundRow) each(track.rows.get(rowId), foundRow);
    if (track.readers.size > 0) for (const reader of [...track.readers]) found(reader);
  }

  /** Whoever writes a row holds a stronger lock than having read it. */
  forgetRowRead(who: T, storage: StorageId, rowId: RowId): void {
    const own = who.tracks.get(storage);
    if (!own?.rows.delete(rowId)) return;
    this.size--;
    dropFrom(this.of(storage).rows, rowId, who);
  }

  wroteEntry(who: T, storage: StorageId, entry: Uint8Array, found: (reader: T) => void): void {
    const own = this.own(who, storage);
    const track = this.of(storage);
    if (!own.wroteWhole) {
      if (own.writtenEntries.size >= MAX_WRITES) this.markWholeWriter(who, own, track);
      else {
        own.writtenEntries.add(entry);
        this.size++;
        track.writers.add(who);
        track.writtenEntries.set(entry, add(track.writtenEntries.get(entry), who));
      }
    }
    this.readersOf(storage, entry, found);
  }

  readersOfAll(storage: StorageId, found: (reader: T) => void): void {
    const track = this.storages.get(storage);
    if (track && track.readers.size > 0) for (const reader of [...track.readers]) found(reader);
  }

  /** Readers of an entry, or of a bare key (which has no row id behind it). */
  readersOf(storage: StorageId, entry: Uint8Array, found: (reader: T) => void, bareKey = false): void {
    const track = this.storages.get(storage);
    if (!track) return;
    for (const reader of [...track.readers]) found(reader);
    if (track.prefixes.size > 0) {
      const longest = bareKey ? entry.length : entry.length - ROW_ID_BYTES;
      for (const length of track.prefixLengths.keys()) if (length <= longest) each(track.prefixes.get(text(entry, length)), found);
    }
    for (const range of [...track.ranges]) if (range.holds(entry)) found(range.owner);
  }

  /** Everything in the storage is written: it goes away, or is loaded in bulk. */
  wroteWhole(who: T, storage: StorageId, found: (reader: T) => void): void {
    const own = this.own(who, storage);
    const track = this.of(storage);
    this.markWholeWriter(who, own, track);
    for (const reader of [...track.readers]) found(reader);
    for (const holders of [...track.rows.values(), ...track.prefixes.values()]) each(holders, found);
    for (const range of [...track.ranges]) found(range.owner);
  }

  private markWholeWriter(who: T, own: OwnTrack<T>, track: StorageTrack<T>): void {
    this.forgetWrites(who, own, track);
    own.wroteWhole = true;
    track.writers.add(who);
    track.wholeWriters.add(who);
  }

  /** A savepoint undid the only write of a row. */
  unwroteRow(who: T, storage: StorageId, rowId: RowId): void {
    const own = who.tracks.get(storage);
    if (!own?.writtenRows.delete(rowId)) return;
    this.size--;
    const track = this.of(storage);
    dropFrom(track.writtenRows, rowId, who);
    if (!wrote(own)) track.writers.delete(who);
  }

  unwroteEntry(who: T, storage: StorageId, entry: Uint8Array): void {
    const own = who.tracks.get(storage);
    if (!own?.writtenEntries.delete(entry)) return;
    this.size--;
    const track = this.of(storage);
    dropEntry(track.writtenEntries, entry, who);
    if (!wrote(own)) track.writers.delete(who);
  }

  // ---- ends

  private forgetReads(who: T, own: OwnTrack<T>, track: StorageTrack<T>): void {
    for (const rowId of own.rows) dropFrom(track.rows, rowId, who);
    for (const name of own.prefixes) {
      if (dropFrom(track.prefixes, name, who)) continue;
      const left = track.prefixLengths.get(name.length)! - 1;
      if (left === 0) track.prefixLengths.delete(name.length);
      else track.prefixLengths.set(name.length, left);
    }
    for (const range of own.ranges) track.ranges.delete(range);
    this.size -= own.rows.size + own.prefixes.size + own.ranges.length;
    own.rows.clear();
    own.prefixes.clear();
    own.ranges.length = 0;
    own.whole = false;
    track.readers.delete(who);
  }

  private forgetWrites(who: T, own: OwnTrack<T>, track: StorageTrack<T>): void {
    for (const rowId of own.writtenRows) dropFrom(track.writtenRows, rowId, who);
    for (const entry of own.writtenEntries) dropEntry(track.writtenEntries, entry, who);
    this.size -= own.writtenRows.size + own.writtenEntries.size;
    own.writtenRows.clear();
    own.writtenEntries.clear();
    own.wroteWhole = false;
    track.writers.delete(who);
    track.wholeWriters.delete(who);
  }

  /** Forgets everything of a transaction. */
  release(who: T): void {
    for (const [storage, own] of who.tracks) {
      const track = this.storages.get(storage)!;
      this.forgetReads(who, own, track);
      this.forgetWrites(who, own, track);
      if (--track.users === 0) this.storages.delete(storage);
    }
    who.tracks.clear();
  }

  /** Makes what `from` read and wrote count as whole storages of `to`. */
  handOver(from: T, to: T, told: (storage: StorageId) => void): void {
    for (const [storage, own] of [...from.tracks]) {
      const track = this.storages.get(storage)!;
      if (own.whole || own.rows.size + own.prefixes.size + own.ranges.length > 0) {
        this.own(to, storage).whole = true;
        track.readers.add(to);
      }
      if (wrote(own)) told(storage);
    }
    this.release(from);
  }

  /** What was read of one storage counts as all of another from now on: it was rewritten, or its index is gone. */
  promote(from: StorageId, to: StorageId): void {
    const track = this.storages.get(from);
    if (!track) return;
    const readers = new Set<T>(track.readers);
    for (const holders of [...track.rows.values(), ...track.prefixes.values()]) each(holders, (reader) => readers.add(reader));
    for (const range of track.ranges) readers.add(range.owner);
    for (const reader of readers) this.readWhole(reader, to, () => undefined);
  }

  /** All that a transaction has read. */
  *registered(who: T): Iterable<PredicateReads> {
    for (const [storage, { whole, rows, prefixes, ranges }] of who.tracks)
      if (whole || rows.size + prefixes.size + ranges.length > 0) yield { storage, whole, rows, prefixes: [...prefixes].map((prefix) => Buffer.from(prefix, 'latin1')), ranges };
  }

  /** Registers reads that nobody running can be in conflict with yet. */
  adopt(who: T, { storage, whole, rows, prefixes, ranges }: PredicateReads): void {
    const nobody = (): void => undefined;
    if (whole) this.readWhole(who, storage, nobody);
    for (const row of rows) this.readRow(who, storage, row, nobody);
    for (const prefix of prefixes) this.readPrefix(who, storage, prefix, nobody);
    for (const { lower, upper } of ranges) this.beginRange(who, storage, lower, upper, nobody);
  }

  *readsOf(who: T): Iterable<PredicateRead> {
    for (const [storage, own] of who.tracks) {
      if (own.whole) yield { storage, kind: 'relation', rowId: 0 };
      for (const rowId of own.rows) yield { storage, kind: 'row', rowId };
      for (let i = 0; i < own.prefixes.size + own.ranges.length; i++) yield { storage, kind: 'range', rowId: i };
    }
  }
}

function wrote<T>(own: OwnTrack<T>): boolean {
  return own.wroteWhole || own.writtenRows.size + own.writtenEntries.size > 0;
}

function dropEntry<T extends object>(map: OrderedMap<Holders<T>>, entry: Uint8Array, who: T): void {
  const left = without(map.get(entry), who);
  if (left) map.set(entry, left);
  else map.delete(entry);
}

/** True while somebody is left under the key. */
function dropFrom<K, T extends object>(map: Map<K, Holders<T>>, key: K, who: T): boolean {
  const left = without(map.get(key), who);
  if (left === undefined) map.delete(key);
  else map.set(key, left);
  return left !== undefined;
}

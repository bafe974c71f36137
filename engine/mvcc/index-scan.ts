/**
 * A scan of an index range in key order (or reversed). Four sources are merged by (key, row id):
 * the stored index, entries dead since the snapshot, the overlay, and the transaction's own. Each
 * fill reads a chunk of each anew; between fills only the position is kept.
 */
import type { Lsn, RowId, StorageId } from '../ids.js';
import { compareBytes, prefixSuccessor, readUint48 } from '../keycode.js';
import type { IndexBlock, IndexCursor, KeyRange, Snapshot } from '../storage.js';
import type { RowResolver } from './heap-scan.js';
import { storagePrefix } from './row-format.js';
import { NEVER } from './version-store.js';
import type { VersionStore } from './version-store.js';
import type { IndexWrite } from './write.js';
import type { StorageWrites } from './write-set.js';

const EMPTY = new Uint8Array(0);

/** One source's chunk: entry keys (key, row id) in scan order, what stands beside them, and how far it reaches. */
interface Source<V> {
  keys: Uint8Array[];
  values: V[];
  at: number;
  /** True when there may be more behind the last entry. */
  full: boolean;
}

const source = <V>(): Source<V> => ({ keys: [], values: [], at: 0, full: false });

/** The entries of a range as [lower, upper); undefined when there can be none. */
export function entryBounds(range: KeyRange): { lower: Uint8Array; upper: Uint8Array | undefined } | undefined {
  let lower: Uint8Array = EMPTY;
  if (range.lower) {
    const from = range.lowerInclusive !== false ? range.lower : prefixSuccessor(range.lower);
    if (!from) return undefined;
    lower = from;
  }
  return { lower, upper: range.upper && (range.upperInclusive !== false ? prefixSuccessor(range.upper) : range.upper) };
}

export class IndexScan implements IndexCursor {
  private lower: Uint8Array;
  private upper: Uint8Array | undefined;
  private readonly prefix: Uint8Array;
  private readonly end: Uint8Array;
  private done = false;
  private readonly stored = source<Uint8Array>();
  private readonly dead = source<Uint8Array>();
  private readonly recent = source<IndexWrite>();
  private readonly mine = source<IndexWrite>();

  constructor(
    private readonly resolver: RowResolver,
    private readonly store: VersionStore,
    private readonly index: StorageId,
    private readonly snapshot: Snapshot,
    private readonly s: Lsn,
    private readonly own: StorageWrites | undefined,
    range: KeyRange,
  ) {
    this.prefix = storagePrefix(index);
    this.end = storagePrefix(index + 1);
    this.reverse = range.reverse === true;
    const bounds = entryBounds(range);
    this.lower = bounds?.lower ?? EMPTY;
    this.upper = bounds?.upper;
    if (!bounds) this.done = true;
  }

  private readonly reverse: boolean;

  fill(block: IndexBlock, max: number): number {
    this.resolver.checkAge();
    block.length = 0;
    let chunk = Math.min(max, 1024);
    while (block.length === 0 && !this.done) {
      if (!this.fillOnce(block, max, chunk)) chunk *= 2;
    }
    return block.length;
  }

  close(): void {
    this.done = true;
  }

  private bounded(bound: Uint8Array): Uint8Array {
    const out = new Uint8Array(6 + bound.length);
    out.set(this.prefix);
    out.set(bound, 6);
    return out;
  }

  /** Reads a chunk of every source and merges as far as all of them reach. False: no progress, larger chunks are needed. */
  private fillOnce(block: IndexBlock, max: number, chunk: number): boolean {
    const from = this.bounded(this.lower);
    const to = this.upper ? this.bounded(this.upper) : this.end;
    this.readStored(from, to, chunk);
    const recent = this.store.overlay.find(this.index);
    readTree(this.recent, recent?.hasEntries ? recent : undefined, this.lower, this.upper, this.reverse, chunk);
    readTree(this.mine, this.own?.hasEntries ? this.own : undefined, this.lower, this.upper, this.reverse, chunk);
    this.readDead(from, to, chunk);
    if (this.recent.keys.length === 0 && this.mine.keys.length === 0 && this.dead.keys.length === 0) return this.emitStoredOnly(block, max);
    return this.merge(block, max);
  }

  private readStored(from: Uint8Array, to: Uint8Array, chunk: number): void {
    const { stored } = this;
    reset(stored);
    const count = this.store.kv.scan('index', from, to, this.reverse, chunk, stored);
    stored.full = count === chunk;
  }

  private readDead(from: Uint8Array, to: Uint8Array, chunk: number): void {
    const { dead } = this;
    reset(dead);
    if (!this.store.mergesDead(this.index, this.s)) return;
    dead.full = this.store.kv.scan('dead', from, to, this.reverse, chunk, dead) === chunk;
    if (!dead.full) return;
    // The last entry's other deaths may lie beyond the chunk: leave all of it for the next.
    const last = dead.keys.at(-1)!;
    let keep = dead.keys.length;
    while (keep > 0 && sameEntry(dead.keys[keep - 1]!, last)) keep--;
    if (keep === 0) {
      dead.keys.length = 0;
      this.stuck = true;
      return;
    }
    dead.keys.length = keep;
    dead.values.length = keep;
  }

  private stuck = false;

  private emitStoredOnly(block: IndexBlock, max: number): boolean {
    if (this.stuck) {
      this.stuck = false;
      return false;
    }
    const { keys, values, full } = this.stored;
    let i = 0;
    for (; i < keys.length && block.length < max; i++) this.emitIfVisible(block, keys[i]!, values[i]!, NEVER);
    if (i < keys.length || full) this.advance(keys[i - 1]!.subarray(6));
    else this.done = true;
    return true;
  }

  private emitIfVisible(block: IndexBlock, key: Uint8Array, value: Uint8Array, deathLsn: number): boolean {
    // A dead entry's value is bound to the key it had while alive.
    const living = deathLsn === NEVER ? key : key.subarray(0, key.length - 6);
    if (!this.store.entryVisible(living, value, deathLsn, this.s, this.resolver.ownVersions(this.snapshot))) return false;
    const rowId = readUint48(living, living.length - 6) as RowId;
    push(block, living.subarray(6, living.length - 6), rowId, this.store.payload(value));
    return true;
  }

  private merge(block: IndexBlock, max: number): boolean {
    if (this.stuck) {
      this.stuck = false;
      return false;
    }
    const direction = this.reverse ? -1 : 1;
    // Entries behind the nearest end of a full chunk wait for the next.
    let limit: Uint8Array | undefined;
    const consider = (entry: Uint8Array): void => {
      if (!limit || compareBytes(entry, limit) * direction < 0) limit = entry;
    };
    if (this.stored.full) consider(this.stored.keys.at(-1)!.subarray(6));
    if (this.dead.full) consider(deadEntry(this.dead.keys.at(-1)!));
    if (this.recent.full) consider(this.recent.keys.at(-1)!);
    if (this.mine.full) consider(this.mine.keys.at(-1)!);
    let last: Uint8Array | undefined;
    while (block.length < max) {
      const entry = this.smallest(direction);
      if (!entry || (limit && compareBytes(entry, limit) * direction > 0)) {
        if (!limit) this.done = true;
        else this.advance(limit);
        return true;
      }
      this.resolve(block, entry);
      last = entry;
    }
    if (last) this.advance(last);
    return true;
  }

  private smallest(direction: number): Uint8Array | undefined {
    let best: Uint8Array | undefined;
    const { stored, dead, recent, mine } = this;
    if (stored.at < stored.keys.length) best = stored.keys[stored.at]!.subarray(6);
    if (dead.at < dead.keys.length) best = nearer(best, deadEntry(dead.keys[dead.at]!), direction);
    if (recent.at < recent.keys.length) best = nearer(best, recent.keys[recent.at]!, direction);
    if (mine.at < mine.keys.length) best = nearer(best, mine.keys[mine.at]!, direction);
    return best;
  }

  /** Takes `entry` off every source and adds it if the snapshot sees it. */
  private resolve(block: IndexBlock, entry: Uint8Array): void {
    const { stored, dead, recent, mine } = this;
    let decided = false;
    if (mine.at < mine.keys.length && compareBytes(mine.keys[mine.at]!, entry) === 0) {
      let write: IndexWrite | undefined = mine.values[mine.at++]!;
      while (write && write.command >= this.snapshot.command) write = write.older;
      if (write) decided = this.emitWrite(block, entry, write);
    }
    if (recent.at < recent.keys.length && compareBytes(recent.keys[recent.at]!, entry) === 0) {
      let write: IndexWrite | undefined = recent.values[recent.at++]!;
      while (write && write.lsn > this.s) write = write.older;
      if (write && this.snapshot.kind !== 'at') this.resolver.sawVersion(write.lsn);
      if (write && !decided) decided = this.emitWrite(block, entry, write);
    }
    if (stored.at < stored.keys.length && compareBytes(stored.keys[stored.at]!.subarray(6), entry) === 0) {
      const at = stored.at++;
      if (!decided) decided = this.emitIfVisible(block, stored.keys[at]!, stored.values[at]!, NEVER);
    }
    while (dead.at < dead.keys.length && compareBytes(deadEntry(dead.keys[dead.at]!), entry) === 0) {
      const at = dead.at++;
      const key = dead.keys[at]!;
      if (!decided) decided = this.emitIfVisible(block, key, dead.values[at]!, readUint48(key, key.length - 6));
    }
  }

  private emitWrite(block: IndexBlock, entry: Uint8Array, write: IndexWrite): boolean {
    if (write.payload) push(block, entry.subarray(0, entry.length - 6), write.rowId, write.payload);
    return true;
  }

  /** The next chunk begins behind `entry`. */
  private advance(entry: Uint8Array): void {
    if (this.reverse) this.upper = entry.slice();
    else {
      // Behind its deaths too, whose keys begin with the entry.
      const after = prefixSuccessor(entry);
      if (after) this.lower = after;
      else this.done = true;
    }
  }
}

function reset<V>(s: Source<V>): void {
  s.keys.length = 0;
  s.values.length = 0;
  s.at = 0;
  s.full = false;
}

function readTree(into: Source<IndexWrite>, from: StorageWrites | undefined, lower: Uint8Array, upper: Uint8Array | undefined, reverse: boolean, chunk: number): void {
  reset(into);
  if (from) into.full = from.entries.collect(lower, upper, reverse, chunk, into.keys, into.values) === chunk;
}

function nearer(a: Uint8Array | undefined, b: Uint8Array, direction: number): Uint8Array {
  return a && compareBytes(a, b) * direction <= 0 ? a : b;
}

/** (key, row id) of a key in `dead`: without the index before and the LSN of death behind. */
function deadEntry(key: Uint8Array): Uint8Array {
  return key.subarray(6, key.length - 6);
}

function sameEntry(a: Uint8Array, b: Uint8Array): boolean {
  return compareBytes(deadEntry(a), deadEntry(b)) === 0;
}

function push(block: IndexBlock, key: Uint8Array, rowId: RowId, payload: Uint8Array): void {
  const at = block.length++;
  block.keys[at] = key;
  block.rowIds[at] = rowId;
  block.payloads[at] = payload;
}

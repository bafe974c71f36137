/**
 * Committed versions as a snapshot sees them: the overlay over the key-value store. Everything
 * here answers for one LSN `s`: the newest version whose stamp is at or before it.
 */
import { prefixSuccessor, readUint48, writeUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { Chunk, Entry, KeyValueStore } from '../kv/key-value-store.js';
import type { OrderedMap } from '../kv/ordered-map.js';
import type { RowPlace } from '../storage.js';
import { Overlay } from './overlay.js';
import { RowCache } from './row-cache.js';
import { Flag, HEAP_KEY, HISTORY_KEY, ROW_HEADER, entryHeader, heapKey, historyKey, isProvisionalDeath, killerOf, stageOf, stampOf, verifyEntry, verifyRow, xidOf } from './row-format.js';
import type { IndexWrite } from './write.js';

/** A snapshot that sees everything. */
export const FOREVER = (2 ** 48 - 1) as Lsn;
/** The stamp of what is not committed. */
export const NEVER = 2 ** 49;

/** Where a version was found; one object is reused by its owner. */
export class Hit {
  tuple: Uint8Array = EMPTY;
  stamp: Lsn = 0 as Lsn;
  xid: Xid = 0 as Xid;
  /** A transaction whose fate is open (or aborted and not undone) and whose version is newer than what was found; 0: none. */
  undecided: Xid = 0 as Xid;
  /** The version (or death) is the reader's own, written ahead; `stamp` is then the LSN of its record. */
  mine = false;
}

/** What a transaction wrote ahead, as one of its snapshots sees it. */
export interface OwnVersions {
  readonly xids: ReadonlySet<Xid>;
  /** Whether what the record at this LSN said is of a command that the snapshot sees. */
  sees(lsn: Lsn): boolean;
}

const EMPTY = new Uint8Array(0);
/** Versions that a read steps over before it looks for a shortcut, and entries of history looked at at once. */
const CHAIN_STEPS = 64;
const CHAIN_CHUNK = 128;
const HISTORY_END = new Uint8Array(HISTORY_KEY).fill(0xff);

export class VersionStore {
  readonly cache: RowCache;
  readonly overlay: Overlay;
  /** Fate of staged transactions: commit LSN; absent while in progress or when aborted. */
  readonly staged = new Map<Xid, Lsn>();
  /** LSN of the last death per storage or index, as of what is assigned. */
  readonly lastDeath = new Map<StorageId, Lsn>();
  /** The same of transactions that wrote ahead: their deaths may be applied before they commit. */
  private readonly aheadDeaths = new Map<StorageId, Lsn>();
  /** Nothing at or behind this has been handed to the applier: other deaths behind it are in the overlay alone. */
  fed = FOREVER;
  /** Storages with deaths of transactions whose fate is open, or that are not undone: how many such transactions. */
  private readonly openDeaths = new Map<StorageId, number>();
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly oldKey = new Uint8Array(HISTORY_KEY);
  private readonly sought: Entry = { key: EMPTY, value: EMPTY };

  /** `cacheBytes`: what rows and keys looked up one by one may take in memory. */
  constructor(readonly kv: KeyValueStore, cacheBytes = 0) {
    this.cache = new RowCache(cacheBytes);
    this.overlay = new Overlay(this.cache);
  }

  /** LSN that decides a stored value's visibility: its stamp, or its staged transaction's commit. */
  decidedStamp(value: Uint8Array): number {
    return this.decidedStampAt(value, 0);
  }

  /** The same of a row value that begins at `at`. */
  decidedStampAt(bytes: Uint8Array, at: number): number {
    return bytes[at]! & Flag.provisional ? (this.staged.get(readUint48(bytes, at + 7) as Xid) ?? NEVER) : readUint48(bytes, at + 1);
  }

  /**
   * The version of the row at `s`. `own`: staged versions of this transaction count as visible.
   * The tuple is valid until the next read unless it came from the overlay. `keep`: it may be asked for again.
   */
  read(storage: StorageId, rowId: RowId, s: Lsn, own: OwnVersions | undefined, hit: Hit, keep = false): boolean {
    hit.stamp = 0 as Lsn;
    hit.undecided = 0 as Xid;
    hit.mine = false;
    const committed = this.overlay.findRow(storage, rowId);
    for (let version = committed; version; version = version.older) {
      if (version.lsn > s) continue;
      if (!version.tuple) {
        hit.stamp = version.lsn;
        hit.xid = version.xid;
        return false;
      }
      hit.tuple = version.tuple;
      hit.stamp = version.lsn;
      hit.xid = version.xid;
      return true;
    }
    // Who asks for the newest must learn of rivals that wrote ahead.
    if (!committed && !own && (s !== FOREVER || this.openDeaths.size === 0)) {
      const { cache } = this;
      const record = cache.findRow(storage, rowId);
      if (record >= 0 && cache.stamp(record) <= s) {
        hit.tuple = cache.tuple(record);
        hit.stamp = cache.stamp(record);
        hit.xid = cache.xid(record);
        return true;
      }
    }
    const value = this.kv.get('heap', heapKey(this.rowKey, storage, rowId));
    if (value) {
      const newest = this.decidedStamp(value);
      if (!this.readChain(storage, rowId, value, s, own, hit)) return false;
      // Only what is in no overlay: the overlay's newer versions would be hidden, or a former state kept.
      if (keep && !committed && hit.stamp === newest) this.cache.putRow(storage, rowId, hit.stamp, hit.xid, hit.tuple);
      return true;
    }
    return this.readDeleted(storage, rowId, s, own, hit);
  }

  /** As `read` with `keep`, without an object: false where there is no row. The place is valid until the next read. */
  readPlace(storage: StorageId, rowId: RowId, s: Lsn, hit: Hit, place: RowPlace): boolean {
    if (!this.overlay.findRow(storage, rowId)) {
      const { cache } = this;
      const record = cache.findRow(storage, rowId);
      if (record >= 0 && cache.stamp(record) <= s) {
        cache.place(record, place);
        return true;
      }
    }
    if (!this.read(storage, rowId, s, undefined, hit, true)) return false;
    place.bytes = hit.tuple;
    place.start = 0;
    place.end = hit.tuple.length;
    return true;
  }

  /** From a heap value on, back through history. */
  readChain(storage: StorageId, rowId: RowId, newest: Uint8Array, s: Lsn, own: OwnVersions | undefined, hit: Hit): boolean {
    let value: Uint8Array | undefined = newest;
    const key = heapKey(this.rowKey, storage, rowId);
    let steps = 0;
    let patience = CHAIN_STEPS;
    while (value) {
      verifyRow(value, key);
      const flags = value[0]!;
      const stamp = this.decidedStamp(value);
      const mine = (flags & Flag.provisional) !== 0 && own !== undefined && own.xids.has(xidOf(value));
      if (mine ? own.sees(stampOf(value)) : stamp <= s) {
        hit.tuple = value.subarray(ROW_HEADER);
        hit.stamp = (mine ? stampOf(value) : stamp) as Lsn;
        hit.xid = xidOf(value);
        hit.mine = mine;
        return true;
      }
      if (stamp === NEVER && !mine && hit.undecided === 0) hit.undecided = xidOf(value);
      if (!(flags & Flag.hasPrevious)) return false;
      // The value is lent until the next read.
      const supersededBy = stampOf(value);
      if (++steps === patience && !own && s !== FOREVER) {
        const from = this.firstSuperseded(key, s, patience * 2);
        patience *= 4;
        if (from) {
          value = from;
          continue;
        }
      }
      value = this.kv.get('history', historyKey(this.oldKey, supersededBy, storage, rowId));
    }
    return false;
  }

  /**
   * A shortcut down a long chain: the row's version that was superseded first after `s`, which is the one that `s` sees
   * or newer. History is in the order of LSNs, so of a row that changes all the time it stands not far behind `s`, however
   * many versions there are since. Undefined when it is not among the next `max` entries.
   */
  private firstSuperseded(key: Uint8Array, s: Lsn, max: number): Uint8Array | undefined {
    let from = historyKey(new Uint8Array(HISTORY_KEY), (s + 1) as Lsn, 0, 0);
    for (let looked = 0; looked < max; looked += CHAIN_CHUNK) {
      const chunk: Chunk = { keys: [], values: [] };
      const count = this.kv.scan('history', from, HISTORY_END, false, CHAIN_CHUNK, chunk);
      for (let i = 0; i < count; i++) if (endsWith(chunk.keys[i]!, key)) return chunk.values[i]!;
      if (count < CHAIN_CHUNK) return undefined;
      from = chunk.keys[count - 1]!;
      from = Uint8Array.of(...from, 0);
    }
    return undefined;
  }

  /** A row that is no longer in the heap, for snapshots from before its death. */
  private readDeleted(storage: StorageId, rowId: RowId, s: Lsn, own: OwnVersions | undefined, hit: Hit): boolean {
    if (!this.mergesDead(storage, s) && (s !== FOREVER || !this.lastDeath.has(storage))) return false;
    const death = this.kv.get('deleted', heapKey(this.rowKey, storage, rowId));
    return death !== undefined && this.readDead(storage, rowId, death, s, own, hit);
  }

  /** Row `rowId`, whose entry in `deleted` is `death`, as `s` sees it. */
  readDead(storage: StorageId, rowId: RowId, death: Uint8Array, s: Lsn, own: OwnVersions | undefined, hit: Hit): boolean {
    hit.undecided = 0 as Xid;
    hit.mine = false;
    const deathLsn = readUint48(death, 0) as Lsn;
    const xid = readUint48(death, 6) as Xid;
    hit.xid = xid;
    hit.stamp = deathLsn;
    if (!isProvisionalDeath(death)) {
      if (deathLsn <= s) return false;
    } else if (own?.xids.has(xid)) {
      hit.mine = true;
      if (own.sees(deathLsn)) return false;
    } else {
      const decided = this.staged.get(xid) ?? NEVER;
      if (decided <= s) {
        hit.stamp = decided as Lsn;
        return false;
      }
      if (decided === NEVER) hit.undecided = xid;
    }
    hit.mine = false;
    const value = this.kv.get('history', historyKey(this.oldKey, deathLsn, storage, rowId));
    return value !== undefined && this.readChain(storage, rowId, value, s, own, hit);
  }

  /** Whether a stored index entry (live, or dead since `deathLsn`) is visible at `s`. */
  entryVisible(key: Uint8Array, value: Uint8Array, deathLsn: number, s: Lsn, own: OwnVersions | undefined): boolean {
    verifyEntry(value, key);
    const flags = value[0]!;
    if (flags & Flag.doomed) {
      const killer = killerOf(value);
      if (own?.xids.has(killer) ? own.sees(deathLsn as Lsn) : (this.staged.get(killer) ?? NEVER) <= s) return false;
    } else if (deathLsn <= s) return false;
    const birth = readUint48(value, 1);
    if (!(flags & Flag.provisional)) return birth <= s;
    if (own?.xids.has(birth as Xid)) return own.sees(stageOf(value));
    return (this.staged.get(birth as Xid) ?? NEVER) <= s;
  }

  /** See Transaction.lookup; own writes are the caller's. */
  lookup(index: StorageId, key: Uint8Array, s: Lsn): RowId | 0 | -1 {
    if (this.mergesDead(index, s)) return -1;
    const recent = this.overlay.findKey(index, key);
    if (recent?.hasEntries && recent.entries.hasPrefix(key)) return lookupRecent(recent.entries, key, s);
    const known = this.cache.findKey(index, key);
    if (known >= 0 && this.cache.stamp(known) <= s) return this.cache.rowId(known);
    const { sought } = this;
    const lower = this.boundedKey(index, key);
    if (!this.kv.seek('index', lower, sought) || !startsWith(sought.key, lower)) return 0;
    if (!this.entryVisible(sought.key, sought.value, NEVER, s, undefined)) return -1;
    const rowId = readUint48(sought.key, sought.key.length - 6) as RowId;
    const birth = this.birthOf(sought.value);
    if (birth < NEVER) this.cache.putKey(index, key, rowId, birth as Lsn);
    return rowId;
  }

  /** LSN from which on an entry is visible; NEVER for what is not committed. */
  private birthOf(value: Uint8Array): number {
    const birth = readUint48(value, 1);
    return value[0]! & Flag.provisional ? (this.staged.get(birth as Xid) ?? NEVER) : birth;
  }

  private boundedKey(index: StorageId, key: Uint8Array): Uint8Array {
    const bounded = new Uint8Array(6 + key.length);
    writeUint48(bounded, 0, index);
    bounded.set(key, 6);
    return bounded;
  }

  payload(value: Uint8Array): Uint8Array {
    const at = entryHeader(value);
    return value.length === at ? EMPTY : value.subarray(at);
  }

  /** Whether a snapshot at `s` must look for what is dead in the storage or index: in what is applied by now. */
  mergesDead(storage: StorageId, s: Lsn): boolean {
    return this.mayMergeDead(storage, s) && (s < this.fed || this.openDeaths.has(storage) || s < (this.aheadDeaths.get(storage) ?? 0));
  }

  /** The same, also for whoever reads later, when more is applied. */
  mayMergeDead(storage: StorageId, s: Lsn): boolean {
    if (this.openDeaths.size > 0 && this.openDeaths.has(storage)) return true;
    const death = this.lastDeath.get(storage);
    return death !== undefined && s < death;
  }

  /** A transaction that writes ahead has (or may have) ended versions in the storage, until `closeDeaths`. */
  openDeath(storage: StorageId): void {
    this.openDeaths.set(storage, (this.openDeaths.get(storage) ?? 0) + 1);
  }

  hasOpenDeath(storage: StorageId): boolean {
    return this.openDeaths.has(storage);
  }

  closeDeath(storage: StorageId): void {
    const count = (this.openDeaths.get(storage) ?? 0) - 1;
    if (count > 0) this.openDeaths.set(storage, count);
    else this.openDeaths.delete(storage);
  }

  /** `ahead`: of a transaction that wrote ahead. */
  noteDeath(storage: StorageId, lsn: Lsn, ahead = false): void {
    if ((this.lastDeath.get(storage) ?? 0) < lsn) this.lastDeath.set(storage, lsn);
    if (ahead && (this.aheadDeaths.get(storage) ?? 0) < lsn) this.aheadDeaths.set(storage, lsn);
  }
}

/** The one entry of the overlay with this key, when the snapshot sees its newest version. */
function lookupRecent(entries: OrderedMap<IndexWrite>, key: Uint8Array, s: Lsn): RowId | -1 {
  const found: IndexWrite[] = [];
  if (entries.collect(key, prefixSuccessor(key), false, 2, [], found) !== 1) return -1;
  const [write] = found;
  return write!.lsn <= s && write!.payload ? write!.rowId : -1;
}

function endsWith(bytes: Uint8Array, end: Uint8Array): boolean {
  const from = bytes.length - end.length;
  for (let i = 0; i < end.length; i++) if (bytes[from + i] !== end[i]) return false;
  return true;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}

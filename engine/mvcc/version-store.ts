/**
 * Committed versions as a snapshot sees them: the overlay over the key-value store. Everything
 * here answers for one LSN `s`: the newest version whose stamp is at or before it.
 */
import { readUint48, writeUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { Entry, KeyValueStore } from '../kv/key-value-store.js';
import { Overlay } from './overlay.js';
import { RowCache } from './row-cache.js';
import { ENTRY_HEADER, Flag, HEAP_KEY, HISTORY_KEY, ROW_HEADER, heapKey, historyKey, stampOf, verifyEntry, verifyRow, xidOf } from './row-format.js';

/** A snapshot that sees everything. */
export const FOREVER = (2 ** 48 - 1) as Lsn;
/** The stamp of what is not committed. */
export const NEVER = 2 ** 49;

/** Where a version was found; one object is reused by its owner. */
export class Hit {
  tuple: Uint8Array = EMPTY;
  stamp: Lsn = 0 as Lsn;
  xid: Xid = 0 as Xid;
}

const EMPTY = new Uint8Array(0);

export class VersionStore {
  readonly cache: RowCache;
  readonly overlay: Overlay;
  /** Fate of staged transactions: commit LSN; absent while in progress or when aborted. */
  readonly staged = new Map<Xid, Lsn>();
  /** LSN of the last death per storage or index, as of what is assigned. */
  readonly lastDeath = new Map<StorageId, Lsn>();
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly oldKey = new Uint8Array(HISTORY_KEY);
  private readonly sought: Entry = { key: EMPTY, value: EMPTY };

  /** `cacheBytes`: what rows and keys looked up one by one may take in memory. */
  constructor(readonly kv: KeyValueStore, cacheBytes = 0) {
    this.cache = new RowCache(cacheBytes);
    this.overlay = new Overlay(this.cache);
  }

  /** LSN that decides a stored value's visibility: its stamp, or its staged transaction's commit. */
  private decidedStamp(value: Uint8Array): number {
    return value[0]! & Flag.provisional ? (this.staged.get(xidOf(value)) ?? NEVER) : stampOf(value);
  }

  /**
   * The version of the row at `s`. `own`: staged versions of this transaction count as visible.
   * The tuple is valid until the next read unless it came from the overlay. `keep`: it may be asked for again.
   */
  read(storage: StorageId, rowId: RowId, s: Lsn, own: Xid, hit: Hit, keep = false): boolean {
    hit.stamp = 0 as Lsn;
    const committed = this.overlay.find(storage)?.rows.get(rowId);
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
    if (!committed) {
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

  /** From a heap value on, back through history. */
  readChain(storage: StorageId, rowId: RowId, newest: Uint8Array, s: Lsn, own: Xid, hit: Hit): boolean {
    let value: Uint8Array | undefined = newest;
    const key = heapKey(this.rowKey, storage, rowId);
    while (value) {
      verifyRow(value, key);
      const flags = value[0]!;
      const stamp = this.decidedStamp(value);
      const mine = own !== 0 && (flags & Flag.provisional) !== 0 && xidOf(value) === own;
      if (stamp <= s || mine) {
        hit.tuple = value.subarray(ROW_HEADER);
        hit.stamp = (mine ? stampOf(value) : stamp) as Lsn;
        hit.xid = xidOf(value);
        return true;
      }
      if (!(flags & Flag.hasPrevious)) return false;
      value = this.kv.get('history', historyKey(this.oldKey, stampOf(value), storage, rowId));
    }
    return false;
  }

  /** A row that is no longer in the heap, for snapshots from before its death. */
  private readDeleted(storage: StorageId, rowId: RowId, s: Lsn, own: Xid, hit: Hit): boolean {
    const lastDeath = this.lastDeath.get(storage);
    if (lastDeath === undefined) return false;
    if (s >= lastDeath && s !== FOREVER) return false;
    const death = this.kv.get('deleted', heapKey(this.rowKey, storage, rowId));
    if (!death) return false;
    const deathLsn = readUint48(death, 0) as Lsn;
    hit.stamp = deathLsn;
    hit.xid = readUint48(death, 6) as Xid;
    if (deathLsn <= s) return false;
    const value = this.kv.get('history', historyKey(this.oldKey, deathLsn, storage, rowId));
    return value !== undefined && this.readChain(storage, rowId, value, s, own, hit);
  }

  /** Row `rowId` whose death is at `deathLsn`, as `s` (before it) saw it. */
  readDead(storage: StorageId, rowId: RowId, deathLsn: Lsn, s: Lsn, own: Xid, hit: Hit): boolean {
    const value = this.kv.get('history', historyKey(this.oldKey, deathLsn, storage, rowId));
    return value !== undefined && this.readChain(storage, rowId, value, s, own, hit);
  }

  /** Whether a stored index entry (live, or dead since `deathLsn`) is visible at `s`. */
  entryVisible(key: Uint8Array, value: Uint8Array, deathLsn: number, s: Lsn, own: Xid): boolean {
    verifyEntry(value, key);
    if (deathLsn <= s) return false;
    const birth = readUint48(value, 1);
    if (!(value[0]! & Flag.provisional)) return birth <= s;
    return (own !== 0 && birth === own) || (this.staged.get(birth as Xid) ?? NEVER) <= s;
  }

  /** See Transaction.lookup; own writes are the caller's. */
  lookup(index: StorageId, key: Uint8Array, s: Lsn, own: Xid): RowId | 0 | -1 {
    const death = this.lastDeath.get(index);
    if (death !== undefined && s < death) return -1;
    const recent = this.overlay.find(index);
    if (recent?.hasEntries && recent.entries.hasPrefix(key)) return -1;
    const known = this.cache.findKey(index, key);
    if (known >= 0 && this.cache.stamp(known) <= s) return this.cache.rowId(known);
    const { sought } = this;
    const lower = this.boundedKey(index, key);
    if (!this.kv.seek('index', lower, sought) || !startsWith(sought.key, lower)) return 0;
    if (!this.entryVisible(sought.key, sought.value, NEVER, s, own)) return -1;
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
    return value.length === ENTRY_HEADER ? EMPTY : value.subarray(ENTRY_HEADER);
  }

  noteDeath(storage: StorageId, lsn: Lsn): void {
    if ((this.lastDeath.get(storage) ?? 0) < lsn) this.lastDeath.set(storage, lsn);
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}

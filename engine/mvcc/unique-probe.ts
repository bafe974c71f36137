/** Who has a unique key now: looked for in the own writes, the overlay, the state, and among the dead whose killer may abort. */
import type { CommandId, RowId, StorageId } from '../ids.js';
import { NO_XID } from '../ids.js';
import { compareBytes, prefixSuccessor, readUint48 } from '../keycode.js';
import type { Chunk, Entry } from '../kv/key-value-store.js';
import { EXCLUSIVE, LockClass } from '../locks/modes.js';
import { Pending } from '../pending.js';
import { hashKey } from './key-hash.js';
import type { Engine } from './engine.js';
import { Flag, killerOf, storagePrefix } from './row-format.js';
import { ALL_COMMANDS } from './staging.js';
import type { EngineTransaction } from './transaction.js';
import { FOREVER, NEVER } from './version-store.js';
import type { OwnVersions, VersionStore } from './version-store.js';
import type { StorageWrites } from './write-set.js';
import type { IndexWrite } from './write.js';

/** Entries with one key that are looked at, at most: more would be entries of rows that are all gone. */
const MOST_ENTRIES = 64;
const sought: Entry = { key: new Uint8Array(0), value: new Uint8Array(0) };

/** The row that has `key`, own writes included (`except` does not count); Pending while a rival that deletes it, or wrote it ahead, is undecided. */
export function findLive(engine: Engine, transaction: EngineTransaction, index: StorageId, key: Uint8Array, except: RowId | undefined): { rowId: RowId } | Pending | undefined {
  return new UniqueProbe(engine, transaction, index, key, except).find();
}

class UniqueProbe {
  private readonly checked = new Set<number>();
  private readonly store: VersionStore;
  private readonly staged: OwnVersions | undefined;
  /** The first rival met that must be waited for. */
  private wait: Pending | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly transaction: EngineTransaction,
    private readonly index: StorageId,
    private readonly key: Uint8Array,
    private readonly except: RowId | undefined,
  ) {
    this.store = engine.storeOf(index);
    this.staged = transaction.staged?.asOf(ALL_COMMANDS);
  }

  find(): { rowId: RowId } | Pending | undefined {
    return this.inMemory() ?? this.inState() ?? this.wait;
  }

  /** `entry`: key and row id. */
  private consider(entry: Uint8Array, live: boolean): { rowId: RowId } | undefined {
    const rowId = readUint48(entry, entry.length - 6) as RowId;
    if (this.checked.has(rowId)) return undefined;
    this.checked.add(rowId);
    if (!live || rowId === this.except) return undefined;
    const rival = this.engine.transactions.deleterOf(this.transaction, this.index, entry);
    if (!rival) return { rowId };
    this.awaitRival(rival);
    return undefined;
  }

  private awaitRival(rival: EngineTransaction): void {
    this.wait ??= this.engine.locks.awaitOwner(this.transaction.lockOwner(), rival.lockOwner());
  }

  private inMemory(): { rowId: RowId } | undefined {
    const { transaction, index, key, store } = this;
    const upper = prefixSuccessor(key);
    const own = transaction.writes.findKey(index, key);
    for (const tree of [own, store.overlay.findKey(index, key)]) {
      if (!tree?.hasEntries) continue;
      const keys: Uint8Array[] = [];
      const values: IndexWrite[] = [];
      tree.entries.collect(key, upper, false, Infinity, keys, values);
      for (let i = 0; i < keys.length; i++) {
        const found = this.consider(keys[i]!, values[i]!.payload !== undefined);
        if (!found) continue;
        if (tree !== own) transaction.sawVersion(values[i]!.lsn);
        return found;
      }
    }
    return undefined;
  }

  private inState(): { rowId: RowId } | undefined {
    const { engine, transaction, index, key, store } = this;
    const prefix = storagePrefix(index);
    const upper = prefixSuccessor(key);
    const from = Buffer.concat([prefix, key]);
    const end = upper ? Buffer.concat([prefix, upper]) : storagePrefix(index + 1);
    const chunk: Chunk = { keys: [], values: [] };
    // Mostly there is none: a seek costs less than a scan.
    if (store.kv.seek('index', from, sought) && compareBytes(sought.key, end) < 0) store.kv.scan('index', from, end, false, MOST_ENTRIES, chunk);
    for (let i = 0; i < chunk.keys.length; i++) {
      const rival = engine.transactions.undecidedLoader(chunk.values[i]!, transaction);
      if (rival) {
        this.awaitRival(rival);
        continue;
      }
      const found = this.consider(chunk.keys[i]!.subarray(6), store.entryVisible(chunk.keys[i]!, chunk.values[i]!, NEVER, FOREVER, this.staged));
      if (found) return found;
    }
    return store.mergesDead(index, FOREVER) ? this.amongDoomed(from, end) : undefined;
  }

  /** Entries that a transaction killed ahead of its end: live if it aborted, to be waited for while it runs. */
  private amongDoomed(from: Uint8Array, end: Uint8Array): { rowId: RowId } | undefined {
    const { engine, transaction, store } = this;
    const chunk: Chunk = { keys: [], values: [] };
    store.kv.scan('dead', from, end, false, MOST_ENTRIES, chunk);
    for (let i = 0; i < chunk.keys.length; i++) {
      const value = chunk.values[i]!;
      const dead = chunk.keys[i]!;
      const rival = (value[0]! & Flag.doomed) === 0 ? undefined : engine.transactions.running(killerOf(value));
      const full = dead.subarray(0, dead.length - 6);
      if (!store.entryVisible(full, value, readUint48(dead, dead.length - 6), FOREVER, this.staged)) continue;
      if (rival && rival !== transaction) {
        this.awaitRival(rival);
        continue;
      }
      const found = this.consider(full.subarray(6), true);
      if (found) return found;
    }
    return undefined;
  }
}

/** See Transaction.probeUnique. */
export function probeUnique(engine: Engine, transaction: EngineTransaction, index: StorageId, key: Uint8Array, except?: RowId): 'free' | { rowId: RowId } | Pending {
  if (transaction.xid === NO_XID) transaction.assignXid();
  // Nobody else can see a temporary index, or one that this transaction made.
  const { ceilings } = engine;
  if (engine.isTemporary(index)) return findLive(engine, transaction, index, key, except) ?? 'free';
  if (transaction.created.includes(index)) return ceilings.isBeyond(index, key) ? 'free' : (findLive(engine, transaction, index, key, except) ?? 'free');
  const owner = transaction.lockOwner();
  const tagA = index * 8 + LockClass.uniqueKey;
  const tagB = hashKey(key);
  const held = engine.locks.acquire(owner, tagA, tagB, EXCLUSIVE, true);
  if (held instanceof Pending) return held;
  const loader = engine.claims.holder(index, key, transaction);
  const wait = loader && engine.locks.awaitOwner(owner, loader.lockOwner());
  if (wait) {
    // The load may ask for the key's lock itself.
    if (!wroteKey(transaction, index, key)) engine.locks.release(owner, tagA, tagB);
    return wait;
  }
  if (ceilings.isBeyond(index, key)) return 'free';
  const found = findLive(engine, transaction, index, key, except);
  if (!found) return 'free';
  // Only who inserted the key keeps it locked: whoever waits for a rival, or failed, must not block it.
  if (!wroteKey(transaction, index, key)) engine.locks.release(owner, tagA, tagB);
  return found;
}

function wroteKey(transaction: EngineTransaction, index: StorageId, key: Uint8Array): boolean {
  const own = transaction.writes.findKey(index, key);
  if (!own?.hasEntries) return false;
  const values: IndexWrite[] = [];
  own.entries.collect(key, prefixSuccessor(key), false, Infinity, [], values);
  return values.some((write) => write.payload !== undefined);
}

/** The row that has a unique key of which this transaction wrote an entry, as its command sees it: then nobody else can have it. */
export function lookupOwn(own: StorageWrites, key: Uint8Array, command: CommandId): RowId | 0 | -1 {
  const found: IndexWrite[] = [];
  own.entries.collect(key, prefixSuccessor(key), false, Infinity, [], found);
  let rowId: RowId | 0 = 0;
  for (const newest of found) {
    let write: IndexWrite | undefined = newest;
    while (write && write.command >= command) write = write.older;
    // What was there before the command is in the state.
    if (!write || (write.payload && rowId !== 0)) return -1;
    if (write.payload) rowId = write.rowId;
  }
  return rowId;
}

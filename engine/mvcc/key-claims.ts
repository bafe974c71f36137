/**
 * Unique keys of bulk loads. A load gathers its entries and hands them over sorted, past the write set: between its log records and
 * the state nobody would find them. So it claims its keys first, all in one step, and gives them up once the state has them:
 *
 *     gather, sort --claim--> check --> records --> state: marked entries, which rivals wait for as for any that was written ahead
 *                    |                                |
 *                    +--- a rival's probe asks here --+
 *
 * Who had a key before the claim is looked for then: in memory, in the state, and among the locks of rivals that have probed and not
 * committed. Who comes after it finds the claim, and waits for the load's transaction. Keys that are still being gathered are
 * nobody's: a rival that commits one of them wins.
 */
import type { RowId, StorageId } from '../ids.js';
import { compareBytes, writeUint48 } from '../keycode.js';
import type { Chunk } from '../kv/key-value-store.js';
import { EXCLUSIVE, LockClass } from '../locks/modes.js';
import { Pending } from '../pending.js';
import type { KeyCursor, SortedKeys } from '../storage.js';
import type { Engine } from './engine.js';
import { hashKey } from './key-hash.js';
import { storagePrefix } from './row-format.js';
import type { EngineTransaction } from './transaction.js';
import { FOREVER } from './version-store.js';
import { findLive } from './unique-probe.js';

interface Claim {
  readonly transaction: EngineTransaction;
  readonly keys: SortedKeys;
}

export class KeyClaims {
  private readonly byIndex = new Map<StorageId, Claim[]>();

  /** Another transaction that is about to have this key, and claimed it before `asking` did. */
  holder(index: StorageId, key: Uint8Array, asking: EngineTransaction): EngineTransaction | undefined {
    if (this.byIndex.size === 0) return undefined;
    for (const { transaction, keys } of this.byIndex.get(index) ?? []) {
      if (transaction === asking) break;
      if (keys.has(key)) return transaction;
    }
    return undefined;
  }

  /** Whether others than `asking` claim keys of the index. */
  rivals(index: StorageId, asking: EngineTransaction): boolean {
    return this.byIndex.get(index)?.some((claim) => claim.transaction !== asking) ?? false;
  }

  /** The transaction is over: what it claimed is in the state, or never will be. */
  drop(transaction: EngineTransaction): void {
    if (this.byIndex.size === 0) return;
    for (const [index, claims] of this.byIndex) {
      const left = claims.filter((claim) => claim.transaction !== transaction);
      if (left.length === 0) this.byIndex.delete(index);
      else if (left.length < claims.length) this.byIndex.set(index, left);
    }
  }

  /** The keys are the transaction's until the function answered is called, or its end. */
  claim(index: StorageId, transaction: EngineTransaction, keys: SortedKeys): () => void {
    const claim = { transaction, keys };
    this.byIndex.set(index, [...(this.byIndex.get(index) ?? []), claim]);
    return () => {
      const left = (this.byIndex.get(index) ?? []).filter((other) => other !== claim);
      if (left.length > 0) this.byIndex.set(index, left);
      else this.byIndex.delete(index);
    };
  }
}

/** Keys looked at in one step. */
const STEP_KEYS = 1024;
/** Entries of the state read at once: more where most of them are needed. */
const LEAST_READ = 4;
const MOST_READ = 512;

export interface KeyCheckHost {
  wait(pending: Pending): Promise<void>;
  /** Between two steps. */
  turn(): Promise<void> | undefined;
}

/**
 * Looks for claimed keys that repeat, or that somebody has. Waits for whoever may yet have one. Answers the least of the row ids whose
 * keys are taken; undefined without one. `exempt`: rows whose key may repeat.
 */
export async function findTaken(engine: Engine, transaction: EngineTransaction, index: StorageId, keys: SortedKeys, exempt: (rowId: number) => boolean, host: KeyCheckHost): Promise<RowId | undefined> {
  return new KeyCheck(engine, transaction, index, keys, exempt, host).run();
}

class KeyCheck {
  private readonly cursor: KeyCursor;
  /** Hashes of keys that rivals have locked. */
  private readonly locked: ReadonlySet<number>;
  private readonly mine: boolean;
  private beyond = false;
  private taken = Infinity;
  private previous = new Uint8Array(64);
  private previousLength = -1;
  private previousRow = 0;
  private read = LEAST_READ;
  /** Keys that were compared with what was read last. */
  private used = 0;
  /** What was read of the state, in this step, and how far it was compared. */
  private readonly chunk: Chunk = { keys: [], values: [] };
  private at = 0;
  private ended = false;
  private deadToo = false;

  constructor(
    private readonly engine: Engine,
    private readonly transaction: EngineTransaction,
    private readonly index: StorageId,
    keys: SortedKeys,
    private readonly exempt: (rowId: number) => boolean,
    private readonly host: KeyCheckHost,
  ) {
    this.cursor = keys.cursor();
    this.mine = transaction.created.includes(index);
    this.locked = this.mine ? new Set() : this.lockedByRivals();
  }

  private lockedByRivals(): Set<number> {
    const hashes = new Set<number>();
    const tag = this.index * 8 + LockClass.uniqueKey;
    const own = this.transaction.lockOwner();
    this.engine.locks.forEachHeld((owner, tagA, tagB) => {
      if (tagA === tag && owner !== own) hashes.add(tagB);
    });
    return hashes;
  }

  async run(): Promise<RowId | undefined> {
    const { cursor, host } = this;
    const claimed = !this.mine && this.engine.claims.rivals(this.index, this.transaction);
    for (let more = cursor.next(); more; ) {
      this.beginStep();
      for (let n = 0; more && n < STEP_KEYS; n++) {
        if (this.repeats()) this.taken = Math.min(this.taken, Math.max(cursor.rowId, this.previousRow));
        else if (!this.beyond || this.locked.size > 0 || claimed) {
          const suspect = this.suspect(claimed);
          if (suspect && !this.exempt(cursor.rowId)) {
            await this.resolve(suspect);
            this.beginStep();
          }
        }
        this.remember();
        more = cursor.next();
      }
      const turn = host.turn();
      if (turn) await turn;
    }
    return this.taken === Infinity ? undefined : (this.taken as RowId);
  }

  /** What was read is of one moment: the overlay may give to the state in between. */
  private beginStep(): void {
    this.ended = false;
    this.at = this.chunk.keys.length = this.chunk.values.length = 0;
    this.deadToo = this.engine.storeOf(this.index).mergesDead(this.index, FOREVER);
  }

  private repeats(): boolean {
    const { previous, previousLength, cursor } = this;
    if (cursor.length !== previousLength) return false;
    for (let i = 0; i < previousLength; i++) if (previous[i] !== cursor.bytes[cursor.start + i]) return false;
    return !this.exempt(cursor.rowId) && !this.exempt(this.previousRow);
  }

  private remember(): void {
    const { cursor } = this;
    if (cursor.length > this.previous.length) this.previous = new Uint8Array(cursor.length * 2);
    for (let i = 0; i < cursor.length; i++) this.previous[i] = cursor.bytes[cursor.start + i]!;
    this.previousLength = cursor.length;
    this.previousRow = cursor.rowId;
  }

  /** The key, when somebody may have it: then it is looked at closely. */
  private suspect(claimed: boolean): Uint8Array | undefined {
    const { engine, transaction, index, cursor } = this;
    const key = cursor.bytes.subarray(cursor.start, cursor.start + cursor.length);
    if (this.locked.size > 0 && this.locked.has(hashKey(key))) return key.slice();
    if (claimed && engine.claims.holder(index, key, transaction)) return key.slice();
    if (this.beyond || (this.beyond = engine.ceilings.isBeyond(index, key))) return undefined;
    if (this.deadToo || this.inMemory(key) || this.inState(key)) return key.slice();
    return undefined;
  }

  private inMemory(key: Uint8Array): boolean {
    const { transaction, index } = this;
    const own = transaction.writes.findKey(index, key);
    if (own?.hasEntries && own.entries.hasPrefix(key)) return true;
    const committed = this.engine.storeOf(index).overlay.findKey(index, key);
    return committed?.hasEntries === true && committed.entries.hasPrefix(key);
  }

  /** Whether the state has an entry with this key, of whomever. Keys come in order. */
  private inState(key: Uint8Array): boolean {
    const { chunk } = this;
    this.used++;
    for (;;) {
      for (; this.at < chunk.keys.length; this.at++) {
        const order = compareKey(chunk.keys[this.at]!, key);
        if (order === 0) return true;
        if (order > 0) return false;
      }
      if (this.ended) return false;
      this.readOn(key);
    }
  }

  private readOn(key: Uint8Array): void {
    const { chunk, index } = this;
    // Where most of what is read lies between two keys, less is read at once.
    this.read = this.used * 2 >= chunk.keys.length ? Math.min(MOST_READ, this.read * 2) : Math.max(LEAST_READ, this.read >> 1);
    this.used = 0;
    const lower = new Uint8Array(6 + key.length);
    writeUint48(lower, 0, index);
    lower.set(key, 6);
    chunk.keys.length = chunk.values.length = this.at = 0;
    const { kv } = this.engine.storeOf(index);
    this.ended = kv.scan('index', lower, storagePrefix(index + 1), false, this.read, chunk) < this.read;
  }

  private async resolve(key: Uint8Array): Promise<void> {
    const { engine, transaction, index, host } = this;
    const { rowId } = this.cursor;
    for (;;) {
      const wait = this.mine ? undefined : this.rival(key);
      const found = wait ?? findLive(engine, transaction, index, key, undefined);
      if (found instanceof Pending) {
        await host.wait(found);
        continue;
      }
      if (found) this.taken = Math.min(this.taken, rowId);
      return;
    }
  }

  /** The wait for a rival that has locked the key or claims it. */
  private rival(key: Uint8Array): Pending | undefined {
    const { engine, transaction, index } = this;
    const owner = transaction.lockOwner();
    const tag = index * 8 + LockClass.uniqueKey;
    const hash = hashKey(key);
    if (!engine.locks.holds(owner, tag, hash, EXCLUSIVE)) {
      const held = engine.locks.acquire(owner, tag, hash, EXCLUSIVE, true);
      if (held instanceof Pending) return held;
      engine.locks.release(owner, tag, hash);
    }
    const holder = engine.claims.holder(index, key, transaction);
    return holder && engine.locks.awaitOwner(owner, holder.lockOwner());
  }
}

/** An entry's key in the state (index id before it, row id behind it) against a key. */
function compareKey(full: Uint8Array, key: Uint8Array): number {
  return compareBytes(full.subarray(6, full.length - 6), key);
}

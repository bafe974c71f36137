/**
 * The transactions that run, by object and by xid; the counters of xids and storage ids, which a reserve record in the log
 * keeps ahead of their use.
 */
import type { StorageId, Xid } from '../ids.js';
import { readUint48 } from '../keycode.js';
import type { GroupCommit } from '../log/group-commit.js';
import { Flag } from './row-format.js';
import { logReserve } from './system-records.js';
import type { EngineTransaction } from './transaction.js';

/** How many xids and storage ids one reserve record covers. */
const XID_RESERVE = 1 << 16;
const STORAGE_RESERVE = 1 << 12;
/** So many aborted xids are remembered, the last ones. */
const ABORTED_KEPT = 100_000;

/** A set that costs nothing to be in: each transaction knows its place. */
class ActiveTransactions implements Iterable<EngineTransaction> {
  readonly #list: EngineTransaction[] = [];

  get size(): number {
    return this.#list.length;
  }

  add(transaction: EngineTransaction): void {
    if (transaction.activePlace >= 0) return;
    transaction.activePlace = this.#list.length;
    this.#list.push(transaction);
  }

  delete(transaction: EngineTransaction): void {
    const at = transaction.activePlace;
    if (at < 0) return;
    transaction.activePlace = -1;
    const last = this.#list.pop()!;
    if (last === transaction) return;
    this.#list[at] = last;
    last.activePlace = at;
  }

  /** Of those that are in it now, whatever becomes of them meanwhile. */
  [Symbol.iterator](): Iterator<EngineTransaction> {
    return this.#list.slice()[Symbol.iterator]();
  }
}

export class TransactionTable {
  /** Transactions that started reading or writing. */
  readonly active = new ActiveTransactions();
  /** Subtransactions' xids too. */
  readonly byXid = new Map<Xid, EngineTransaction>();
  readonly #aborted = new Set<Xid>();
  readonly #firstXid: number;
  #xidCounter: number;
  #xidReserved: number;
  #storageCounter: number;
  #storageReserved: number;

  constructor(private readonly log: GroupCommit, nextXid: number, nextStorageId: number) {
    this.#firstXid = this.#xidCounter = this.#xidReserved = nextXid;
    this.#storageCounter = this.#storageReserved = nextStorageId;
  }

  /** A prepared transaction that the last process left. */
  restore(transaction: EngineTransaction): void {
    this.byXid.set(transaction.xid, transaction);
    this.active.add(transaction);
  }

  adoptXids(transaction: EngineTransaction, xids: readonly Xid[]): void {
    for (const xid of xids) this.byXid.set(xid, transaction);
  }

  join(transaction: EngineTransaction): void {
    this.active.add(transaction);
  }

  leave(transaction: EngineTransaction): void {
    this.active.delete(transaction);
    if (transaction.xid === 0) return;
    this.byXid.delete(transaction.xid);
    for (const xid of transaction.staged?.subXids() ?? []) this.byXid.delete(xid);
    if (transaction.state !== 'aborted') return;
    this.#aborted.add(transaction.xid);
    if (this.#aborted.size > ABORTED_KEPT) for (const oldest of this.#aborted) {
      this.#aborted.delete(oldest);
      break;
    }
  }

  nextXid(transaction: EngineTransaction): Xid {
    const xid = this.#xidCounter++ as Xid;
    if (xid + XID_RESERVE / 2 >= this.#xidReserved) this.#reserve();
    this.byXid.set(xid, transaction);
    this.active.add(transaction);
    return xid;
  }

  /** Logs, ahead of their use, how far xids and storage ids may be handed out. */
  #reserve(): void {
    this.#xidReserved = this.#xidCounter + XID_RESERVE;
    this.#storageReserved = this.#storageCounter + STORAGE_RESERVE;
    logReserve(this.log, this.#xidReserved, this.#storageReserved);
  }

  allocateStorageId(): StorageId {
    const id = this.#storageCounter++ as StorageId;
    if (id + STORAGE_RESERVE / 2 >= this.#storageReserved) this.#reserve();
    return id;
  }

  /** A running transaction, other than `asking`, that deleted this index entry. */
  deleterOf(asking: EngineTransaction, index: StorageId, entry: Uint8Array): EngineTransaction | undefined {
    for (const transaction of this.active) {
      if (transaction === asking) continue;
      const writes = transaction.writes.peek(index);
      if (!writes?.hasEntries) continue;
      const write = writes.entries.get(entry);
      if (write && !write.payload) return transaction;
    }
    return undefined;
  }

  /** Whose xid (or subtransaction's) this is, while it runs. */
  running(xid: Xid): EngineTransaction | undefined {
    return this.byXid.get(xid);
  }

  /** A subtransaction is over. */
  forgetXid(xid: Xid): void {
    this.byXid.delete(xid);
    this.#aborted.add(xid);
  }

  /** The running transaction, other than `asking`, that wrote this stored entry ahead. */
  undecidedLoader(value: Uint8Array, asking: EngineTransaction): EngineTransaction | undefined {
    if (!(value[0]! & Flag.provisional)) return undefined;
    const transaction = this.byXid.get(readUint48(value, 1) as Xid);
    return transaction === asking ? undefined : transaction;
  }

  status(xid: Xid): 'in progress' | 'committed' | 'aborted' | undefined {
    if (this.byXid.has(xid)) return 'in progress';
    if (xid < this.#firstXid || xid >= this.#xidCounter) return undefined;
    return this.#aborted.has(xid) ? 'aborted' : 'committed';
  }

  bounds(): { next: Xid; oldestActive: Xid; active: Xid[] } {
    const active = [...this.byXid.keys()].sort((a, b) => a - b);
    const next = this.#xidCounter as Xid;
    return { next, oldestActive: active[0] ?? next, active };
  }
}

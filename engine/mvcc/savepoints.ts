/** The savepoints of one transaction: what each remembers, and what going back to it undoes. */
import { assert } from '../errors.js';
import type { SubId } from '../ids.js';
import type { Serializable } from '../serializable/serializable.js';
import type { Engine } from './engine.js';
import type { EngineTransaction } from './transaction.js';

interface Savepoint {
  readonly sub: SubId;
  writes: number;
  readonly lock: number;
  readonly upgrades: number;
  readonly messages: number;
  readonly drops: number;
  readonly created: number;
}

export class Savepoints {
  readonly #stack: Savepoint[] = [];
  #next = 2;

  constructor(
    private readonly engine: Engine,
    private readonly transaction: EngineTransaction,
  ) {}

  clear(): void {
    this.#stack.length = 0;
  }

  /** Writes at these places of the order (ascending) are gone from it. */
  writesRemoved(places: readonly number[]): void {
    for (const savepoint of this.#stack) {
      let before = 0;
      while (before < places.length && places[before]! < savepoint.writes) before++;
      savepoint.writes -= before;
    }
  }

  get current(): SubId {
    return this.#stack.length === 0 ? (1 as SubId) : this.#stack[this.#stack.length - 1]!.sub;
  }

  get depth(): number {
    return this.#stack.length;
  }

  begin(): SubId {
    const sub = this.#next++ as SubId;
    this.transaction.writes.flatten();
    this.#stack.push({
      sub,
      writes: this.transaction.writes.order.length,
      lock: this.transaction.lastLock,
      upgrades: (this.transaction.upgrades ??= []).length,
      messages: this.transaction.messages.length,
      drops: this.transaction.drops.length,
      created: this.transaction.created.length,
    });
    return sub;
  }

  #at(sub: SubId): number {
    let at = this.#stack.length - 1;
    while (at >= 0 && this.#stack[at]!.sub !== sub) at--;
    assert(at >= 0, `no savepoint ${sub}`);
    return at;
  }

  rollbackTo(sub: SubId): void {
    const at = this.#at(sub);
    const { writes, lock, upgrades, messages, drops, created } = this.#stack[at]!;
    this.#stack.length = at + 1;
    if (this.transaction.serializable) this.#unregisterWrites(this.transaction.serializable, writes);
    this.transaction.writes.undoTo(writes);
    this.transaction.messages.length = messages;
    this.transaction.drops.length = drops;
    for (const storage of this.transaction.created.splice(created)) this.engine.staging.discard(this.transaction, storage);
    this.engine.staging.rollbackTo(this.transaction, sub);
    if (this.transaction.number < 0) return;
    this.engine.locks.releaseTo(this.transaction, lock);
    this.engine.locks.undoUpgrades(this.transaction, upgrades);
  }

  /** What was first written after the first `length` writes is not written any more. */
  #unregisterWrites(me: Serializable, length: number): void {
    const { order } = this.transaction.writes;
    for (let i = length; i < order.length; i++) {
      const write = order[i]!;
      if (write.older) continue;
      if (write.isRow) this.engine.serializable.unwroteRow(me, write.storage, write.rowId);
      else this.engine.serializable.unwroteEntry(me, write.index, write.entry);
    }
  }

  release(sub: SubId): void {
    this.#stack.length = this.#at(sub);
  }
}

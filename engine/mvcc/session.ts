/** A client as the engine knows it: a lock owner for session-level advisory locks, and a durability floor. */
import type { Lsn } from '../ids.js';
import { NONE } from '../locks/lock-table.js';
import type { LockManager, LockOwner, Wait } from '../locks/lock-manager.js';
import { EXCLUSIVE, LockClass, SHARED } from '../locks/modes.js';
import { Pending } from '../pending.js';
import type { EngineSession } from '../storage.js';

interface AdvisoryCount {
  readonly tagA: number;
  readonly tagB: number;
  /** How often it was taken, shared and exclusive. */
  readonly held: [number, number];
}

export class SessionState implements EngineSession, LockOwner {
  number = -1;
  readonly xid = 0;
  readonly virtualId = 0;
  lastLock = NONE;
  wait: Wait | undefined;
  /** Nothing may be acknowledged to this client before this LSN is durable. */
  floor = 0 as Lsn;
  deadlockTimeoutMs: (() => number) | undefined;
  private readonly advisory = new Map<string, AdvisoryCount>();

  constructor(
    private readonly locks: LockManager,
    readonly group: number,
    readonly processId: number,
    readonly databaseId: number,
  ) {}

  /** Advisory keys are the database's own: its number is the upper part of the second tag. */
  advisoryTag(key: bigint | readonly [number, number]): [number, number] {
    const space = (this.databaseId & 0xfffff) * 0x100000000;
    if (typeof key !== 'bigint') return [(key[0] >>> 0) * 8 + LockClass.advisoryPair, space + (key[1] >>> 0)];
    const bits = BigInt.asUintN(64, key);
    return [Number(bits >> 32n) * 8 + LockClass.advisory, space + Number(bits & 0xffffffffn)];
  }

  lockAdvisory(tagA: number, tagB: number, mode: number, wait: boolean): boolean | Pending {
    if (this.number < 0)
      this.locks.register((number) => {
        this.number = number;
        return this;
      });
    const held = this.locks.acquire(this, tagA, tagB, mode, wait);
    if (held !== true) return held;
    const name = `${tagA}/${tagB}`;
    let count = this.advisory.get(name);
    if (!count) this.advisory.set(name, (count = { tagA, tagB, held: [0, 0] }));
    count.held[mode]!++;
    return true;
  }

  unlockAdvisory(tagA: number, tagB: number, mode: number): boolean {
    const name = `${tagA}/${tagB}`;
    const count = this.advisory.get(name);
    if (!count || count.held[mode] === 0) return false;
    count.held[mode]!--;
    if (count.held[SHARED] === 0 && count.held[EXCLUSIVE] === 0) {
      this.advisory.delete(name);
      this.locks.release(this, tagA, tagB);
    } else if (count.held[mode] === 0) this.locks.reduce(this, tagA, tagB, 1 << (mode === SHARED ? EXCLUSIVE : SHARED));
    return true;
  }

  cancelWait(error: Error): boolean {
    return this.locks.cancelWait(this, error);
  }

  unlockAllAdvisory(): void {
    this.advisory.clear();
    if (this.number >= 0) this.locks.releaseTo(this, NONE);
  }

  close(): void {
    this.advisory.clear();
    if (this.number < 0) return;
    this.locks.unregister(this);
    this.number = -1;
  }
}

/**
 * Heavyweight locks: who holds what (LockTable), who waits for it (queues here), and when waiting
 * would never end (deadlock detection).
 *
 * A request that conflicts with another owner's lock, or with an earlier request in the queue,
 * waits at the queue's end: first come, first served, so a stream of readers cannot starve a
 * writer. When a lock goes, the queue is walked in order and every request that nothing before it
 * blocks is granted on the waiter's behalf; its Pending resolves, the caller calls again and finds
 * the lock held. An owner has at most one wait at a time.
 *
 * After `deadlockTimeoutMs` of waiting the graph of waits is searched for a cycle through this
 * waiter; if there is one, this waiter's Pending rejects with 40P01.
 */
import { DatabaseError } from '../errors.js';
import { Pending } from '../pending.js';
import type { Clock } from '../runtime.js';
import { LockTable, NONE } from './lock-table.js';
import { CONFLICTS, EXCLUSIVE, LockClass, SHARED, modeName } from './modes.js';

/** Whoever holds locks: a transaction or a session. Owners with the same group never block each other. */
export interface LockOwner {
  readonly number: number;
  readonly group: number;
  readonly processId: number;
  /** Shown in reports: "ShareLock on transaction N". */
  readonly xid: number;
  readonly virtualId: number;
  /** Newest entry in the LockTable. */
  lastLock: number;
  wait: Wait | undefined;
  /** Whose relations and advisory keys it locks. */
  readonly databaseId: number;
  readonly deadlockTimeoutMs?: (() => number) | undefined;
  /** What locks were before they were strengthened; recorded while there are savepoints to go back to. */
  upgrades?: Upgrade[] | undefined;
}

export interface Upgrade {
  readonly tagA: number;
  readonly tagB: number;
  readonly mask: number;
}

export interface Wait {
  readonly owner: LockOwner;
  readonly tagA: number;
  readonly tagB: number;
  readonly mode: number;
  readonly pending: Pending;
  readonly startMicros: number;
  resolve(): void;
  reject(error: unknown): void;
  cancelTimer(): void;
}

type Queue = Wait[];

export class LockManager {
  readonly table: LockTable;
  private readonly owners: (LockOwner | undefined)[] = [];
  private readonly freeNumbers: number[] = [];
  private readonly queues = new Map<number, Map<number, Queue>>();
  private waiting = 0;
  deadlocks = 0;
  deadlockTimeoutMs = 1000;
  describeTable: (lockId: number, databaseId: number) => string = (lockId, databaseId) => `relation ${lockId} of database ${databaseId}`;

  constructor(private readonly clock: Clock, maxEntries?: number) {
    this.table = new LockTable(maxEntries);
  }

  get waitCount(): number {
    return this.waiting;
  }

  /** Registers an owner under the number that `make` receives. */
  register<T extends LockOwner>(make: (number: number) => T): T {
    const number = this.freeNumbers.pop() ?? this.owners.length;
    const owner = make(number);
    this.owners[number] = owner;
    return owner;
  }

  unregister(owner: LockOwner): void {
    this.releaseTo(owner, NONE);
    this.owners[owner.number] = undefined;
    this.freeNumbers.push(owner.number);
  }

  ownerOf(entry: number): LockOwner {
    return this.owners[this.table.owner[entry]!]!;
  }

  holds(owner: LockOwner, tagA: number, tagB: number, mode: number): boolean {
    const entry = this.table.find(tagA, tagB, owner.number);
    return entry !== NONE && (this.table.mask[entry]! >> mode) !== 0 && covers(tagA, this.table.mask[entry]!, mode);
  }

  /** True: held now. False: would have to wait and `wait` is false. Pending: queued. */
  acquire(owner: LockOwner, tagA: number, tagB: number, mode: number, wait: boolean): boolean | Pending {
    const { table } = this;
    const own = table.find(tagA, tagB, owner.number);
    if (own !== NONE && covers(tagA, table.mask[own]!, mode)) return true;
    const waiting = owner.wait;
    if (waiting) {
      if (waiting.tagA === tagA && waiting.tagB === tagB && waiting.mode === mode) return waiting.pending;
      // The former wait was given up by whoever asked for it.
      this.leaveQueue(waiting);
      waiting.resolve();
    }
    const queue = this.waiting === 0 ? undefined : this.queues.get(tagA)?.get(tagB);
    if (!this.blockedByHolder(owner, tagA, tagB, mode) && !(queue && own === NONE && this.blockedByQueue(owner, queue, queue.length, tagA, mode))) {
      this.grant(owner, tagA, tagB, mode, own);
      return true;
    }
    if (!wait) return false;
    return this.enqueue(owner, tagA, tagB, mode, own !== NONE);
  }

  /** Waits until `rival` (a transaction) ends: the rival is given an exclusive lock on itself, and `owner` asks to share it. */
  awaitOwner(owner: LockOwner, rival: LockOwner): Pending | undefined {
    const tagA = LockClass.transaction;
    const tagB = rival.virtualId;
    if (this.table.find(tagA, tagB, rival.number) === NONE) this.grant(rival, tagA, tagB, EXCLUSIVE, NONE);
    const result = this.acquire(owner, tagA, tagB, SHARED, true);
    return result instanceof Pending ? result : undefined;
  }

  /** The first other owner whose lock on the tag conflicts with `mode`. */
  rivalOf(owner: LockOwner, tagA: number, tagB: number, mode: number): LockOwner | undefined {
    const conflicts = CONFLICTS[tagA % 8]![mode]!;
    for (let e = this.table.firstHolder(tagA, tagB); e !== NONE; e = this.table.nextHolder(e))
      if ((this.table.mask[e]! & conflicts) !== 0) {
        const holder = this.ownerOf(e);
        if (holder.group !== owner.group) return holder;
      }
    return undefined;
  }

  /** Releases one lock of the owner. */
  release(owner: LockOwner, tagA: number, tagB: number): boolean {
    const entry = this.table.find(tagA, tagB, owner.number);
    if (entry === NONE) return false;
    owner.lastLock = this.table.unlink(entry, owner.lastLock);
    this.table.remove(entry);
    if (this.waiting > 0) this.wake(tagA, tagB);
    return true;
  }

  /** Gives up one of the modes held under a tag (an upgrade undone), keeping the others. */
  reduce(owner: LockOwner, tagA: number, tagB: number, mask: number): void {
    const entry = this.table.find(tagA, tagB, owner.number);
    if (entry === NONE) return;
    this.table.mask[entry] = mask;
    if (this.waiting > 0) this.wake(tagA, tagB);
  }

  /** Takes back what was strengthened after the first `count` upgrades. */
  undoUpgrades(owner: LockOwner, count: number): void {
    const { upgrades } = owner;
    while (upgrades && upgrades.length > count) {
      const { tagA, tagB, mask } = upgrades.pop()!;
      this.reduce(owner, tagA, tagB, mask);
    }
  }

  /** Releases the owner's locks newer than `mark` (a former `lastLock`; NONE: all). */
  releaseTo(owner: LockOwner, mark: number): void {
    if (owner.wait) {
      const { wait } = owner;
      this.leaveQueue(wait);
      wait.resolve();
    }
    const { table } = this;
    while (owner.lastLock !== mark && owner.lastLock !== NONE) {
      const entry = owner.lastLock;
      const tagA = table.tagA[entry]!;
      const tagB = table.tagB[entry]!;
      owner.lastLock = table.older[entry]!;
      table.remove(entry);
      if (this.waiting > 0) this.wake(tagA, tagB);
    }
  }

  cancelWait(owner: LockOwner, error: unknown): boolean {
    const { wait } = owner;
    if (!wait) return false;
    this.leaveQueue(wait);
    wait.reject(error);
    return true;
  }

  private blockedByHolder(owner: LockOwner, tagA: number, tagB: number, mode: number): boolean {
    return this.rivalOf(owner, tagA, tagB, mode) !== undefined;
  }

  private blockedByQueue(owner: LockOwner, queue: Queue, before: number, tagA: number, mode: number): boolean {
    const conflicts = CONFLICTS[tagA % 8]![mode]!;
    for (let i = 0; i < before; i++) {
      const other = queue[i]!;
      if (other.owner.group !== owner.group && (conflicts >> other.mode) & 1) return true;
    }
    return false;
  }

  private grant(owner: LockOwner, tagA: number, tagB: number, mode: number, own: number): void {
    if (own !== NONE) {
      owner.upgrades?.push({ tagA, tagB, mask: this.table.mask[own]! });
      this.table.mask[own]! |= 1 << mode;
    } else owner.lastLock = this.table.add(tagA, tagB, owner.number, 1 << mode, owner.lastLock);
  }

  private enqueue(owner: LockOwner, tagA: number, tagB: number, mode: number, upgrade: boolean): Pending {
    let byTag = this.queues.get(tagA);
    if (!byTag) this.queues.set(tagA, (byTag = new Map()));
    let queue = byTag.get(tagB);
    if (!queue) byTag.set(tagB, (queue = []));
    let resolve!: () => void;
    let reject!: (error: unknown) => void;
    const until = new Promise<void>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    // A wait that is cancelled while nobody awaits it is not an unhandled rejection.
    until.catch(() => undefined);
    const wait: Wait = {
      owner, tagA, tagB, mode, resolve, reject,
      pending: new Pending(until, 'Lock', WAIT_EVENTS[tagA % 8]!),
      startMicros: this.clock.nowMicros(),
      cancelTimer: this.clock.after(owner.deadlockTimeoutMs?.() ?? this.deadlockTimeoutMs, () => this.checkDeadlock(wait)),
    };
    // Who holds the lock already and wants more goes first: behind others it could only deadlock with them.
    if (upgrade) queue.unshift(wait);
    else queue.push(wait);
    owner.wait = wait;
    this.waiting++;
    return wait.pending;
  }

  private leaveQueue(wait: Wait): void {
    const byTag = this.queues.get(wait.tagA);
    const queue = byTag?.get(wait.tagB);
    if (queue) {
      const at = queue.indexOf(wait);
      if (at >= 0) queue.splice(at, 1);
      if (queue.length === 0) {
        byTag!.delete(wait.tagB);
        if (byTag!.size === 0) this.queues.delete(wait.tagA);
      }
    }
    wait.cancelTimer();
    wait.owner.wait = undefined;
    this.waiting--;
    if (queue && queue.length > 0) this.wake(wait.tagA, wait.tagB);
  }

  /** Grants what can be granted, in the queue's order. */
  private wake(tagA: number, tagB: number): void {
    const queue = this.queues.get(tagA)?.get(tagB);
    if (!queue) return;
    for (let i = 0; i < queue.length; ) {
      const wait = queue[i]!;
      if (this.blockedByHolder(wait.owner, tagA, tagB, wait.mode) || this.blockedByQueue(wait.owner, queue, i, tagA, wait.mode)) {
        i++;
        continue;
      }
      queue.splice(i, 1);
      wait.cancelTimer();
      wait.owner.wait = undefined;
      this.waiting--;
      this.grant(wait.owner, tagA, tagB, wait.mode, this.table.find(tagA, tagB, wait.owner.number));
      wait.resolve();
    }
    if (queue.length === 0) {
      const byTag = this.queues.get(tagA);
      byTag?.delete(tagB);
      if (byTag?.size === 0) this.queues.delete(tagA);
    }
  }

  /** Owners that `wait` waits for: conflicting holders, then conflicting requests ahead of it. */
  private blockersOf(wait: Wait): LockOwner[] {
    const blockers: LockOwner[] = [];
    const { tagA, tagB, owner } = wait;
    const conflicts = CONFLICTS[tagA % 8]![wait.mode]!;
    for (let e = this.table.firstHolder(tagA, tagB); e !== NONE; e = this.table.nextHolder(e)) {
      if ((this.table.mask[e]! & conflicts) === 0) continue;
      const holder = this.ownerOf(e);
      if (holder.group !== owner.group) blockers.push(holder);
    }
    for (const other of this.queues.get(tagA)?.get(tagB) ?? []) {
      if (other === wait) break;
      if (other.owner.group !== owner.group && (conflicts >> other.mode) & 1) blockers.push(other.owner);
    }
    return blockers;
  }

  /** Who stands first in a wait's way. */
  firstBlocker(wait: Wait): LockOwner | undefined {
    return this.blockersOf(wait)[0];
  }

  blockingProcesses(processId: number): number[] {
    const found = new Set<number>();
    for (const owner of this.owners)
      if (owner?.wait && owner.processId === processId) for (const blocker of this.blockersOf(owner.wait)) found.add(blocker.processId);
    return [...found];
  }

  private checkDeadlock(wait: Wait): void {
    const cycle = this.findCycle(wait);
    if (!cycle) return;
    this.deadlocks++;
    const lines = cycle.map((w, i) => {
      const blocker = cycle[(i + 1) % cycle.length]!.owner;
      return `Process ${w.owner.processId} waits for ${this.describeWait(w, blocker)}; blocked by process ${blocker.processId}.`;
    });
    this.leaveQueue(wait);
    wait.reject(new DatabaseError('40P01', 'deadlock detected', { detail: lines.join('\n'), hint: 'See server log for query details.' }));
  }

  /** Depth-first search from `start` along waits; a session's waits are its group's. Iterative: chains can be long. */
  private findCycle(start: Wait): Wait[] | undefined {
    const waitsByGroup = new Map<number, Wait>();
    for (const owner of this.owners) if (owner?.wait) waitsByGroup.set(owner.group, owner.wait);
    const path: Wait[] = [start];
    const pendingBlockers: LockOwner[][] = [this.blockersOf(start)];
    const visited = new Set<number>([start.owner.group]);
    while (path.length > 0) {
      const blocker = pendingBlockers.at(-1)!.pop();
      if (!blocker) {
        path.pop();
        pendingBlockers.pop();
        continue;
      }
      if (blocker.group === start.owner.group) return path;
      if (visited.has(blocker.group)) continue;
      visited.add(blocker.group);
      const wait = waitsByGroup.get(blocker.group);
      if (!wait) continue;
      path.push(wait);
      pendingBlockers.push(this.blockersOf(wait));
    }
    return undefined;
  }

  private describeWait(wait: Wait, blocker: LockOwner): string {
    const lockClass = wait.tagA % 8;
    const object = Math.floor(wait.tagA / 8);
    switch (lockClass) {
      case LockClass.table:
        return `${modeName(lockClass, wait.mode)} on ${this.describeTable(object, wait.owner.databaseId)}`;
      case LockClass.advisory:
      case LockClass.advisoryPair:
        return `${modeName(lockClass, wait.mode)} on advisory lock [${Math.floor(wait.tagB / 0x100000000)},${object},${wait.tagB % 0x100000000},${lockClass === LockClass.advisory ? 1 : 2}]`;
      default:
        // Rows and keys are waited for through the transaction that holds them, as in PostgreSQL.
        return `ShareLock on transaction ${blocker.xid}`;
    }
  }

  /** Locks of `owner` that outlive a restart when it is prepared: oldest first, its lock on itself left out. */
  heldBy(owner: LockOwner): { tagA: number; tagB: number; mask: number }[] {
    const { table } = this;
    const held: { tagA: number; tagB: number; mask: number }[] = [];
    for (let entry = owner.lastLock; entry !== NONE; entry = table.older[entry]!)
      if (table.tagA[entry]! % 8 !== LockClass.transaction) held.push({ tagA: table.tagA[entry]!, tagB: table.tagB[entry]!, mask: table.mask[entry]! });
    return held.reverse();
  }

  /** Gives `owner` a lock that it had before a restart. */
  adopt(owner: LockOwner, tagA: number, tagB: number, mask: number): void {
    owner.lastLock = this.table.add(tagA, tagB, owner.number, mask, owner.lastLock);
  }

  forEachHeld(visit: (owner: LockOwner, tagA: number, tagB: number, mode: number) => void): void {
    const { table } = this;
    table.forEach((entry) => {
      for (let mode = 0; mode < 8; mode++)
        if ((table.mask[entry]! >> mode) & 1) visit(this.ownerOf(entry), table.tagA[entry]!, table.tagB[entry]!, mode);
    });
  }

  forEachWait(visit: (wait: Wait) => void): void {
    for (const owner of this.owners) if (owner?.wait) visit(owner.wait);
  }
}

const WAIT_EVENTS: readonly string[] = ['transactionid', 'transactionid', 'relation', 'advisory', 'advisory', 'transactionid'];

/** Whether a mask of held modes makes asking for `mode` unnecessary. */
function covers(tagA: number, mask: number, mode: number): boolean {
  if ((mask >> mode) & 1) return true;
  // Row strengths are totally ordered; table modes are not, and advisory modes are held (and given back) one by one.
  const lockClass = tagA % 8;
  return (lockClass === LockClass.row || lockClass === LockClass.uniqueKey || lockClass === LockClass.transaction) && mask >> mode !== 0;
}

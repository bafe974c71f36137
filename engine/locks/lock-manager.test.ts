import { describe, expect, it } from 'vitest';
import { Pending } from '../pending.js';
import { nodeRuntime } from '../runtime-node.js';
import { LockManager } from './lock-manager.js';
import type { LockOwner } from './lock-manager.js';
import { LockTable, NONE } from './lock-table.js';
import { LockClass, ROW_MODE, TABLE_MODE } from './modes.js';

const TABLE = 7 * 8 + LockClass.table;
const ROW = 9 * 8 + LockClass.row;

function setUp(count: number): { locks: LockManager; owners: LockOwner[] } {
  const locks = new LockManager(nodeRuntime().clock);
  const owners = Array.from({ length: count }, (_, i) =>
    locks.register((number): LockOwner => ({ number, group: i, processId: 100 + i, xid: i, virtualId: i, lastLock: NONE, wait: undefined, databaseId: 0 })),
  );
  return { locks, owners };
}

describe('locks', () => {
  it('follow PostgreSQL\'s table of row strengths', () => {
    const conflicts = { 'key share': ['update'], share: ['no key update', 'update'], 'no key update': ['share', 'no key update', 'update'], update: ['key share', 'share', 'no key update', 'update'] };
    for (const held of Object.keys(ROW_MODE) as (keyof typeof ROW_MODE)[])
      for (const wanted of Object.keys(ROW_MODE) as (keyof typeof ROW_MODE)[]) {
        const { locks, owners } = setUp(2);
        locks.acquire(owners[0]!, ROW, 1, ROW_MODE[held], false);
        expect(locks.acquire(owners[1]!, ROW, 1, ROW_MODE[wanted], false), `${wanted} against ${held}`).toBe(!conflicts[wanted].includes(held));
      }
  });

  it('are granted in order: a reader behind a waiting writer waits', async () => {
    const { locks, owners } = setUp(3);
    const [reader, writer, late] = owners as [LockOwner, LockOwner, LockOwner];
    expect(locks.acquire(reader, TABLE, 0, TABLE_MODE.AccessShareLock, true)).toBe(true);
    const first = locks.acquire(writer, TABLE, 0, TABLE_MODE.AccessExclusiveLock, true) as Pending;
    const second = locks.acquire(late, TABLE, 0, TABLE_MODE.AccessShareLock, true) as Pending;
    expect(second).toBeInstanceOf(Pending);
    expect(locks.acquire(late, TABLE, 0, TABLE_MODE.AccessShareLock, true)).toBe(second);
    // Who holds it already is not held up by the queue.
    expect(locks.acquire(reader, TABLE, 0, TABLE_MODE.RowShareLock, true)).toBe(true);
    locks.releaseTo(reader, NONE);
    await first.until;
    expect(locks.acquire(writer, TABLE, 0, TABLE_MODE.AccessExclusiveLock, true)).toBe(true);
    locks.unregister(writer);
    await second.until;
    expect(locks.holds(late, TABLE, 0, TABLE_MODE.AccessShareLock)).toBe(true);
    locks.unregister(late);
    expect(locks.table.size).toBe(0);
    expect(locks.waitCount).toBe(0);
  });

  it('let later ones through when a wait is cancelled or given up', async () => {
    const { locks, owners } = setUp(3);
    const [a, b, c] = owners as [LockOwner, LockOwner, LockOwner];
    locks.acquire(a, TABLE, 0, TABLE_MODE.ShareLock, true);
    const writer = locks.acquire(b, TABLE, 0, TABLE_MODE.AccessExclusiveLock, true) as Pending;
    const sharer = locks.acquire(c, TABLE, 0, TABLE_MODE.ShareLock, true) as Pending;
    expect(locks.cancelWait(b, new Error('statement timeout'))).toBe(true);
    await expect(writer.until).rejects.toThrow('statement timeout');
    await sharer.until;
    expect(locks.holds(c, TABLE, 0, TABLE_MODE.ShareLock)).toBe(true);
  });

  it('release back to a mark', () => {
    const { locks, owners } = setUp(1);
    const [owner] = owners as [LockOwner];
    locks.acquire(owner, ROW, 1, ROW_MODE.share, true);
    const mark = owner.lastLock;
    for (let row = 2; row < 5000; row++) locks.acquire(owner, ROW, row, ROW_MODE.update, true);
    locks.releaseTo(owner, mark);
    expect(locks.table.size).toBe(1);
    expect(locks.holds(owner, ROW, 1, ROW_MODE['key share'])).toBe(true);
    expect(locks.holds(owner, ROW, 1, ROW_MODE.update)).toBe(false);
  });

  it('release one by one in any order, and to a mark below', () => {
    const { locks, owners } = setUp(2);
    const [owner, other] = owners as [LockOwner, LockOwner];
    locks.acquire(owner, TABLE, 0, TABLE_MODE.AccessShareLock, true);
    const mark = owner.lastLock;
    const rows = Array.from({ length: 300 }, (_, row) => row + 1);
    for (const row of rows) {
      locks.acquire(owner, ROW, row, ROW_MODE.update, true);
      locks.acquire(other, ROW, 1000 + row, ROW_MODE.update, true);
    }
    const order = rows.map((row) => (row * 37) % 301);
    for (const row of order.slice(0, 200)) expect(locks.release(owner, ROW, row)).toBe(true);
    expect(locks.release(owner, ROW, order[0]!)).toBe(false);
    for (const row of order.slice(200)) expect(locks.holds(owner, ROW, row, ROW_MODE.update)).toBe(true);
    // What was freed is taken again, and the chain still leads back to the mark.
    for (const row of order.slice(0, 50)) locks.acquire(owner, ROW, row, ROW_MODE.update, true);
    expect(locks.table.size).toBe(1 + 300 + 150);
    locks.releaseTo(owner, mark);
    expect(locks.table.size).toBe(1 + 300);
    expect(locks.holds(owner, TABLE, 0, TABLE_MODE.AccessShareLock)).toBe(true);
    locks.releaseTo(other, NONE);
    expect(locks.table.size).toBe(1);
  });

  it('end in 53200 when there are too many', () => {
    const table = new LockTable(2048);
    expect(() => {
      for (let row = 0; row < 5000; row++) table.add(ROW, row, 0, 1, NONE);
    }).toThrow('out of shared memory');
  });
});

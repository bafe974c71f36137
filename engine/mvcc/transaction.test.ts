import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { KeyWriter } from '../keycode.js';
import { openEngine } from '../open.js';
import { Pending } from '../pending.js';
import { nodeRuntime } from '../runtime-node.js';
import type { IndexBlock, KeyRange, RowBlock, RowLockResult, RowVersion, Snapshot, Storage, Transaction } from '../storage.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (tuple: Uint8Array | undefined): string | undefined => tuple && Buffer.from(tuple).toString();
const key = (n: number): Uint8Array => new KeyWriter().int32(n).copy();
const EMPTY = new Uint8Array(0);

function rows(tx: Transaction, storage: StorageId, snapshot: Snapshot = tx.takeSnapshot()): string[] {
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const cursor = tx.scan(storage, snapshot);
  const found: string[] = [];
  while ((cursor.fill(block, 3) as number) > 0) for (let i = 0; i < block.length; i++) found.push(`${block.rowIds[i]}:${text(block.tuples[i])}`);
  snapshot.release();
  return found;
}

function entries(tx: Transaction, index: StorageId, range: KeyRange = {}, snapshot: Snapshot = tx.takeSnapshot()): string[] {
  const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  const cursor = tx.scanIndex(index, snapshot, range);
  const found: string[] = [];
  while ((cursor.fill(block, 2) as number) > 0)
    for (let i = 0; i < block.length; i++) found.push(`${new DataView(block.keys[i]!.slice().buffer).getUint32(0) - 0x80000000}:${block.rowIds[i]}`);
  snapshot.release();
  return found;
}

describe('transactions', () => {
  let engine: Storage;
  let table: StorageId;
  let index: StorageId;

  beforeEach(async () => {
    engine = await openEngine(nodeRuntime(), { memory: true });
    table = engine.allocateStorageId();
    index = engine.allocateStorageId();
  });
  afterEach(() => engine.close());

  async function load(...values: string[]): Promise<RowId[]> {
    const tx = engine.begin();
    const ids = values.map((value, i) => {
      const id = tx.insert(table, bytes(value));
      tx.putIndexEntry(index, key(i), id, EMPTY);
      return id;
    });
    await tx.commit();
    return ids;
  }

  it('shows own writes of earlier commands only, and others only after commit', async () => {
    const tx = engine.begin();
    const first = tx.takeSnapshot();
    tx.insert(table, bytes('a'));
    expect(rows(tx, table, first)).toEqual([]);
    tx.advanceCommand();
    expect(rows(tx, table)).toEqual(['1:a']);
    const other = engine.begin();
    expect(rows(other, table)).toEqual([]);
    await tx.commit();
    expect(rows(other, table)).toEqual(['1:a']);
    await other.commit();
    expect(engine.stats().activeTransactions).toBe(0);
  });

  it('keeps old versions for old snapshots through update, delete and application', async () => {
    const [a, b] = await load('a', 'b');
    const old = engine.begin({ isolation: 'repeatable read' });
    expect(rows(old, table)).toEqual(['1:a', '2:b']);
    for (const value of ['a2', 'a3']) {
      const tx = engine.begin();
      expect(tx.lockRow(table, a!, 'no key update', 'wait', tx.takeSnapshot())).toEqual({ kind: 'locked' });
      tx.update(table, a!, bytes(value));
      await tx.commit();
      await engine.checkpoint();
    }
    const killer = engine.begin();
    killer.delete(table, b!);
    killer.deleteIndexEntry(index, key(1), b!);
    await killer.commit();
    for (let i = 0; i < 2; i++) {
      expect(rows(old, table)).toEqual(['1:a', '2:b']);
      expect(entries(old, index)).toEqual(['0:1', '1:2']);
      const now = engine.begin();
      expect(rows(now, table)).toEqual(['1:a3']);
      expect(entries(now, index)).toEqual(['0:1']);
      expect(text((now.get(table, a!, now.takeSnapshot()) as { tuple: Uint8Array }).tuple)).toBe('a3');
      await now.commit();
      await engine.checkpoint();
    }
    expect((await engine.vacuum()).versionsRemoved).toBe(0);
    await old.commit();
    expect(await engine.vacuum()).toEqual({ versionsRemoved: 3, indexEntriesRemoved: 1 });
    expect(engine.rowCount(table)).toBe(1);
    expect(engine.byteSize(table)).toBe(2);
  });

  it('undoes to savepoints, nested deep, without quadratic cost', async () => {
    const tx = engine.begin();
    tx.insert(table, bytes('kept'));
    const outer = tx.savepoint();
    for (let i = 0; i < 10_000; i++) {
      tx.savepoint();
      tx.insert(table, bytes('gone'));
      tx.putIndexEntry(index, key(i), 1 as RowId, EMPTY);
    }
    tx.rollbackTo(outer);
    tx.advanceCommand();
    expect(rows(tx, table)).toEqual(['1:kept']);
    tx.release(outer);
    expect(tx.currentSub).toBe(1);
    for (let i = 0; i < 10_000; i++) tx.savepoint();
    tx.update(table, 1 as RowId, bytes('new'));
    await tx.commit();
    const check = engine.begin();
    expect(rows(check, table)).toEqual(['1:new']);
    expect(entries(check, index)).toEqual([]);
  });

  it('makes a rival wait for the row and then shows it the new version', async () => {
    const [a] = await load('a');
    const first = engine.begin();
    const second = engine.begin();
    const snapshot = second.takeSnapshot();
    first.lockRow(table, a!, 'update', 'wait', first.takeSnapshot());
    first.update(table, a!, bytes('b'));
    expect(second.lockRow(table, a!, 'key share', 'skip', snapshot)).toEqual({ kind: 'skipped' });
    expect(() => second.lockRow(table, a!, 'update', 'nowait', snapshot)).toThrow('could not obtain lock');
    const pending = second.lockRow(table, a!, 'update', 'wait', snapshot);
    expect(pending).toBeInstanceOf(Pending);
    const done = first.commit();
    await (pending as Pending).until;
    const result = second.lockRow(table, a!, 'update', 'wait', snapshot) as Extract<RowLockResult, { kind: 'updated' }>;
    expect(result.kind).toBe('updated');
    expect(text(result.version.tuple)).toBe('b');
    await done;
    second.rollback();
  });

  it('gives locks back with a savepoint, strengthened ones too', async () => {
    const [a, b] = await load('a', 'b');
    const holder = engine.begin();
    const lock = (tx: Transaction, row: RowId, strength: 'share' | 'update', policy: 'wait' | 'skip' = 'skip'): string =>
      (tx.lockRow(table, row, strength, policy, tx.latestSnapshot()) as { kind: string }).kind;
    lock(holder, a!, 'share');
    const sub = holder.savepoint();
    lock(holder, a!, 'update');
    lock(holder, b!, 'update');
    const rival = engine.begin();
    expect([lock(rival, a!, 'share'), lock(rival, b!, 'share')]).toEqual(['skipped', 'skipped']);
    const wait = rival.lockRow(table, a!, 'share', 'wait', rival.latestSnapshot()) as Pending;
    holder.rollbackTo(sub);
    await wait.until;
    expect([lock(rival, a!, 'share'), lock(rival, b!, 'update')]).toEqual(['locked', 'locked']);
    expect(lock(rival, a!, 'update')).toBe('skipped');
    rival.rollback();
    holder.rollback();
  });

  it('reports self-modified and deleted rows', async () => {
    const [a] = await load('a');
    const tx = engine.begin();
    const snapshot = tx.takeSnapshot();
    tx.lockRow(table, a!, 'update', 'wait', snapshot);
    tx.delete(table, a!);
    expect(tx.lockRow(table, a!, 'update', 'wait', snapshot)).toEqual({ kind: 'self-modified' });
    const late = engine.begin();
    const lateSnapshot = late.takeSnapshot();
    await tx.commit();
    expect(late.lockRow(table, a!, 'update', 'wait', lateSnapshot)).toEqual({ kind: 'deleted' });
  });

  it('checks unique keys against rivals', async () => {
    const [a] = await load('a');
    const one = engine.begin();
    const two = engine.begin();
    expect(one.probeUnique(index, key(0))).toEqual({ rowId: a });
    expect(one.probeUnique(index, key(0), a)).toBe('free');
    one.rollback();
    const three = engine.begin();
    expect(three.probeUnique(index, key(7))).toBe('free');
    const id = three.insert(table, bytes('x'));
    three.putIndexEntry(index, key(7), id, EMPTY);
    expect(three.probeUnique(index, key(7))).toEqual({ rowId: id });
    const pending = two.probeUnique(index, key(7));
    expect(pending).toBeInstanceOf(Pending);
    await three.commit();
    await (pending as Pending).until;
    expect(two.probeUnique(index, key(7))).toEqual({ rowId: id });
    // A rival that deletes the entry must be waited for; when it rolls back, the key is taken.
    const deleter = engine.begin();
    deleter.deleteIndexEntry(index, key(7), id);
    const wait = two.probeUnique(index, key(7));
    expect(wait).toBeInstanceOf(Pending);
    expect(deleter.probeUnique(index, key(7))).toBe('free');
    deleter.rollback();
    await (wait as Pending).until;
    expect(two.probeUnique(index, key(7))).toEqual({ rowId: id });
    two.rollback();
    expect(engine.stats().locksHeld).toBe(0);
  });

  it('holds back what depends on a commit that is not durable yet', async () => {
    const [a] = await load('a');
    const writer = engine.begin();
    writer.update(table, a!, bytes('b'));
    const done = writer.commit();
    // Assigned, not durable: invisible to a new snapshot, but its lock is free.
    const next = engine.begin({ session: engine.openSession(7) });
    const snapshot = next.takeSnapshot();
    expect(rows(next, table)).toEqual(['1:a']);
    expect(next.floorPending()).toBeUndefined();
    expect((next.lockRow(table, a!, 'update', 'wait', snapshot) as { kind: string }).kind).toBe('updated');
    expect(rows(next, table)).toEqual(['1:b']);
    const wait = next.floorPending();
    expect(wait).toBeInstanceOf(Pending);
    await wait!.until;
    expect(next.floorPending()).toBeUndefined();
    await done;
    await next.commit();
  });

  it('shows an asynchronous commit at once, to everybody, and makes nobody wait', async () => {
    const session = engine.openSession(8);
    const writer = engine.begin({ session });
    writer.insert(table, bytes('fast'));
    await writer.commit({ synchronous: false });
    expect(engine.watermarks.durable).toBeLessThan(engine.watermarks.assigned);
    for (const options of [{ session }, {}]) {
      const reader = engine.begin(options);
      expect(rows(reader, table)).toEqual(['1:fast']);
      expect(reader.floorPending()).toBeUndefined();
      reader.rollback();
    }
    await engine.whenDurable(engine.watermarks.assigned);
    expect(engine.watermarks.durable).toBeGreaterThan(engine.watermarks.assigned);
  });

  it('sweeps what an aborted bulk load left, in new and old storages', async () => {
    await engine.close();
    engine = await openEngine(nodeRuntime(), { memory: true, bulkThreshold: 20_000 });
    table = engine.allocateStorageId();
    index = engine.allocateStorageId();
    const own = engine.begin();
    const fresh = own.createStorage();
    const fill = (tx: Transaction): void => {
      for (let i = 0; i < 500; i++) {
        const id = tx.insert(i % 2 ? table : fresh, bytes('x'.repeat(50)));
        tx.putIndexEntry(index, key(i), id, EMPTY);
      }
    };
    fill(own);
    own.advanceCommand();
    await engine.whenDurable(engine.watermarks.assigned);
    await engine.checkpoint();
    expect(rows(own, table).length).toBe(250);
    expect(entries(own, index).length).toBe(500);
    const other = engine.begin();
    expect(rows(other, table)).toEqual([]);
    expect(other.probeUnique(index, key(3))).toBeInstanceOf(Pending);
    own.rollback();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(other.probeUnique(index, key(3))).toBe('free');
    other.rollback();
    await engine.vacuum();
    expect(engine.stats().keyValueBytes).toBeLessThan(1000);
    const again = engine.begin();
    const kept = again.createStorage();
    for (let i = 0; i < 500; i++) again.insert(kept, bytes('y'));
    again.update(kept, 1 as RowId, bytes('z'));
    again.delete(kept, 2 as RowId);
    const sub = again.savepoint();
    const gone = again.createStorage();
    for (let i = 0; i < 500; i++) again.insert(gone, bytes('y'));
    again.rollbackTo(sub);
    await again.commit();
    await engine.checkpoint();
    const check = engine.begin();
    expect(rows(check, kept).slice(0, 2)).toEqual(['1:z', '3:y']);
    expect(engine.rowCount(kept)).toBe(499);
    // Nobody knows the storage any more; the collector takes its rows.
    await engine.vacuum();
    expect(rows(check, gone)).toEqual([]);
  });

  it('finds deadlocks and lets a wait be cancelled', async () => {
    engine.deadlockTimeoutMs = 20;
    const [a, b] = await load('a', 'b');
    const sessions = [engine.openSession(101), engine.openSession(102)];
    const [one, two] = sessions.map((session) => engine.begin({ session })) as [Transaction, Transaction];
    one.lockRow(table, a!, 'update', 'wait', one.takeSnapshot());
    two.lockRow(table, b!, 'update', 'wait', two.takeSnapshot());
    const first = one.lockRow(table, b!, 'update', 'wait', one.takeSnapshot()) as Pending;
    const second = two.lockRow(table, a!, 'update', 'wait', two.takeSnapshot()) as Pending;
    const outcome = await Promise.race([first.until.catch((e: unknown) => [one, e]), second.until.catch((e: unknown) => [two, e])]);
    const [victim, error] = outcome as unknown as [Transaction, { sqlstate: string; detail: string }];
    expect(error.sqlstate).toBe('40P01');
    expect(error.detail).toMatch(/^Process 10[12] waits for ShareLock on transaction \d+; blocked by process 10[12]\.\nProcess 10[12] waits/);
    expect(engine.blockingProcesses(victim === one ? 102 : 101)).toEqual([victim === one ? 101 : 102]);
    const survivor = victim === one ? two : one;
    expect(survivor.cancelWaits(new Error('canceled'))).toBe(true);
    await expect((victim === one ? second : first).until).rejects.toThrow('canceled');
    one.rollback();
    two.rollback();
    expect(engine.stats().locksHeld).toBe(0);
  });

  it('scans indexes by range, backwards too, over state, overlay and own writes', async () => {
    await load('a', 'b', 'c', 'd', 'e');
    await engine.checkpoint();
    const other = engine.begin();
    other.putIndexEntry(index, key(10), 99 as RowId, EMPTY);
    other.deleteIndexEntry(index, key(1), 2 as RowId);
    await other.commit();
    const tx = engine.begin();
    tx.putIndexEntry(index, key(3), 50 as RowId, EMPTY);
    tx.deleteIndexEntry(index, key(4), 5 as RowId);
    tx.advanceCommand();
    expect(entries(tx, index)).toEqual(['0:1', '2:3', '3:4', '3:50', '10:99']);
    expect(entries(tx, index, { reverse: true })).toEqual(['10:99', '3:50', '3:4', '2:3', '0:1']);
    expect(entries(tx, index, { lower: key(2), upper: key(3) })).toEqual(['2:3', '3:4', '3:50']);
    expect(entries(tx, index, { lower: key(2), lowerInclusive: false, upper: key(10), upperInclusive: false })).toEqual(['3:4', '3:50']);
    expect(entries(tx, index, { lower: key(0), upper: key(2), reverse: true })).toEqual(['2:3', '0:1']);
  });

  it('keeps temporary storages to themselves', async () => {
    const temporary = engine.allocateTemporaryStorageId();
    const tx = engine.begin();
    const id = tx.insert(temporary, bytes('t'));
    tx.advanceCommand();
    expect(rows(tx, temporary)).toEqual(['1:t']);
    await tx.commit();
    const next = engine.begin();
    next.update(temporary, id, bytes('u'));
    next.advanceCommand();
    expect(rows(next, temporary)).toEqual(['1:u']);
    next.rollback();
    const last = engine.begin();
    expect(rows(last, temporary)).toEqual(['1:t']);
    expect(engine.rowCount(temporary)).toBe(1);
    engine.discardTemporaryStorage(temporary);
    expect(rows(last, temporary)).toEqual([]);
  });

  it('writes large values and large transactions in parts', async () => {
    const tx = engine.begin();
    const big = new Uint8Array(3_000_000).fill(7);
    const id = tx.insert(table, big);
    for (let i = 0; i < 20_000; i++) {
      const row = tx.insert(table, bytes(`row ${i}`));
      tx.putIndexEntry(index, key(i), row, EMPTY);
    }
    await tx.commit();
    await engine.checkpoint();
    const check = engine.begin();
    const version = check.get(table, id, check.takeSnapshot()) as { tuple: Uint8Array };
    expect(Buffer.compare(version.tuple, big)).toBe(0);
    expect(rows(check, table).length).toBe(20_001);
    expect(engine.rowCount(table)).toBe(20_001);
    expect(entries(check, index).length).toBe(20_000);
    expect(engine.stats().overlayRows).toBe(0);
  });

  it('drops storages in chunks once no snapshot needs them', async () => {
    await load('a', 'b');
    const reader = engine.begin({ isolation: 'repeatable read' });
    expect(rows(reader, table).length).toBe(2);
    const tx = engine.begin();
    tx.dropStorage(table);
    await tx.commit();
    await engine.vacuum();
    expect(rows(reader, table).length).toBe(2);
    await reader.commit();
    await engine.vacuum();
    const check = engine.begin();
    expect(rows(check, table)).toEqual([]);
  });

  it('holds sequences, advisory locks and commit notices', async () => {
    const notices: string[] = [];
    engine.onCommit((commit) => notices.push(...commit.messages.map((message) => message.prefix)));
    const sequence = engine.allocateStorageId();
    engine.sequences.set(sequence, { lastValue: 5n, isCalled: true, logCount: 0 }, { log: true, logged: { lastValue: 37n, isCalled: true, logCount: 0 } });
    expect(engine.sequences.get(sequence)?.lastValue).toBe(5n);
    const session = engine.openSession(1);
    const tx = engine.begin({ session });
    tx.addMessage({ prefix: 'hello', content: EMPTY });
    expect(tx.lockAdvisory(42n, 'exclusive', 'session', 'wait')).toBe(true);
    expect(tx.lockAdvisory(42n, 'exclusive', 'transaction', 'wait')).toBe(true);
    await tx.commit();
    expect(notices).toEqual(['hello']);
    const other = engine.begin({ session: engine.openSession(2) });
    expect(other.lockAdvisory(42n, 'shared', 'session', 'nowait')).toBe(false);
    const wait = other.lockAdvisory(42n, 'shared', 'transaction', 'wait') as Pending;
    const again = engine.begin({ session });
    expect(again.unlockAdvisory(42n, 'exclusive')).toBe(true);
    expect(again.unlockAdvisory(42n, 'exclusive')).toBe(false);
    await wait.until;
    expect(other.lockAdvisory(42n, 'shared', 'transaction', 'wait')).toBe(true);
    expect(engine.listLocks().filter((lock) => lock.kind === 'advisory')).toMatchObject([{ objectId: 0, subId: 42, mode: 'ShareLock', granted: true, processId: 2 }]);
  });

  it('ends the oldest snapshot when it holds back more versions than are kept', async () => {
    await engine.close();
    engine = await openEngine(nodeRuntime(), { memory: true, maxVersions: 50, collectEveryMs: 5 });
    const [id] = await load('a');
    const reader = engine.begin({ isolation: 'repeatable read' });
    const snapshot = reader.takeSnapshot();
    expect(text((reader.get(table, id!, snapshot) as RowVersion).tuple)).toBe('a');
    for (let i = 0; i < 60; i++) {
      const tx = engine.begin();
      const own = tx.takeSnapshot();
      tx.lockRow(table, id!, 'update', 'wait', own);
      tx.update(table, id!, bytes(`v${i}`));
      own.release();
      await tx.commit();
    }
    for (let i = 0; i < 200 && engine.stats().versionsInHistory > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(engine.stats()).toMatchObject({ versionsInHistory: 0, snapshotsExpired: 1 });
    expect(() => reader.get(table, id!, snapshot)).toThrow('snapshot too old');
    reader.rollback();
    const after = engine.begin();
    expect(rows(after, table)).toEqual([`${id}:v59`]);
    after.rollback();
  });
});

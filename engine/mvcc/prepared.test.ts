import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { KeyWriter } from '../keycode.js';
import { openEngine } from '../open.js';
import { Pending } from '../pending.js';
import { nodeRuntime } from '../runtime-node.js';
import type { RowLockResult, Storage } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-prepared-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const key = (n: number): Uint8Array => new KeyWriter().int32(n).copy();
const EMPTY = new Uint8Array(0);

function read(engine: Storage, table: StorageId, row: RowId): string | undefined {
  const tx = engine.begin();
  const snapshot = tx.takeSnapshot();
  const found = tx.get(table, row, snapshot);
  const text = found && !(found instanceof Pending) ? Buffer.from(found.tuple).toString() : undefined;
  snapshot.release();
  tx.rollback();
  return text;
}

describe.each(['thread', 'inline'] as const)('two-phase commit, applier %s', (applier) => {
  const open = (name: string): Promise<Storage> => openEngine(nodeRuntime(), { directory: join(base, `${applier}-${name}`), applier });

  async function prepareOne(engine: Storage, gid: string): Promise<{ table: StorageId; index: StorageId; updated: RowId; deleted: RowId; inserted: RowId }> {
    const setup = engine.begin();
    const table = engine.allocateStorageId();
    const index = engine.allocateStorageId();
    const updated = setup.insert(table, bytes('old'));
    const deleted = setup.insert(table, bytes('gone'));
    await setup.commit();
    const tx = engine.begin({ session: engine.openSession(7) });
    const snapshot = tx.takeSnapshot();
    expect((tx.lockRow(table, updated, 'update', 'wait', snapshot) as RowLockResult).kind).toBe('locked');
    tx.update(table, updated, bytes('new'));
    tx.lockRow(table, deleted, 'update', 'wait', snapshot);
    tx.delete(table, deleted);
    expect(tx.probeUnique(index, key(1))).toBe('free');
    const inserted = tx.insert(table, bytes('x'.repeat(700_000)));
    tx.putIndexEntry(index, key(1), inserted, EMPTY);
    snapshot.release();
    await tx.prepare(gid, bytes('owner'));
    expect(tx.state).toBe('prepared');
    return { table, index, updated, deleted, inserted };
  }

  it('commits after a restart, with everything it wrote and its locks in between', async () => {
    let engine = await open('commit');
    const { table, index, updated, deleted, inserted } = await prepareOne(engine, 'a');
    await engine.checkpoint();
    await engine.close();
    engine = await open('commit');
    expect(engine.preparedTransactions().map(({ gid, info }) => [gid, Buffer.from(info).toString()])).toEqual([['a', 'owner']]);
    expect([read(engine, table, updated), read(engine, table, deleted), read(engine, table, inserted)]).toEqual(['old', 'gone', undefined]);
    const rival = engine.begin();
    expect(() => rival.lockRow(table, updated, 'update', 'nowait', rival.takeSnapshot())).toThrow('could not obtain lock on row');
    rival.rollback();
    await expect(engine.commitPrepared('b')).rejects.toMatchObject({ sqlstate: '42704' });
    await engine.commitPrepared('a');
    expect([read(engine, table, updated), read(engine, table, deleted), read(engine, table, inserted)?.length]).toEqual(['new', undefined, 700_000]);
    expect(engine.preparedTransactions()).toEqual([]);
    await engine.close();
    engine = await open('commit');
    expect([read(engine, table, updated), read(engine, table, deleted), read(engine, table, inserted)?.length]).toEqual(['new', undefined, 700_000]);
    const after = engine.begin();
    expect(after.probeUnique(index, key(1))).toEqual({ rowId: inserted });
    expect(after.insert(table, bytes('next'))).toBeGreaterThan(inserted);
    after.rollback();
    await engine.close();
  });

  it('holds row and key locks, and gives them back when rolled back', async () => {
    let engine = await open('rollback');
    const { table, index, updated } = await prepareOne(engine, 'g');
    await expect(engine.begin().prepare('g')).rejects.toMatchObject({ sqlstate: '42710' });
    await engine.close();
    engine = await open('rollback');
    const rival = engine.begin();
    const snapshot = rival.takeSnapshot();
    const waits = rival.lockRow(table, updated, 'update', 'wait', snapshot);
    expect(waits).toBeInstanceOf(Pending);
    const other = engine.begin();
    expect(other.probeUnique(index, key(1))).toBeInstanceOf(Pending);
    await engine.rollbackPrepared('g');
    await (waits as Pending).until;
    expect((rival.lockRow(table, updated, 'update', 'wait', snapshot) as RowLockResult).kind).toBe('locked');
    expect(other.probeUnique(index, key(1))).toBe('free');
    rival.rollback();
    other.rollback();
    expect(read(engine, table, updated)).toBe('old');
    await engine.close();
    engine = await open('rollback');
    expect(engine.preparedTransactions()).toEqual([]);
    expect(read(engine, table, updated)).toBe('old');
    await engine.close();
  });

  it('keeps what was written ahead, by savepoints too, over a restart: committed once, rolled back once', async () => {
    for (const commits of [true, false]) {
      const name = `staged-${commits}`;
      const reopen = (): Promise<Storage> => openEngine(nodeRuntime(), { directory: join(base, `${applier}-${name}`), applier, bulkThreshold: 20_000 });
      let engine = await reopen();
      const table = engine.allocateStorageId();
      const index = engine.allocateStorageId();
      const setup = engine.begin();
      const rowIds = Array.from({ length: 300 }, (_, i) => {
        const row = setup.insert(table, bytes(`old ${i}`));
        setup.putIndexEntry(index, key(i), row, EMPTY);
        return row;
      });
      await setup.commit();
      const tx = engine.begin();
      const change = (from: number, to: number, value: string | undefined): void => {
        const snapshot = tx.takeSnapshot();
        for (let i = from; i < to; i++) {
          expect((tx.lockRow(table, rowIds[i]!, 'update', 'wait', snapshot) as RowLockResult).kind).toBe('locked');
          tx.deleteIndexEntry(index, key(i), rowIds[i]!);
          if (value === undefined) tx.delete(table, rowIds[i]!);
          else {
            tx.update(table, rowIds[i]!, bytes(`${value} ${i}`.padEnd(200)));
            tx.putIndexEntry(index, key(i + 1000), rowIds[i]!, EMPTY);
          }
        }
        snapshot.release();
        tx.advanceCommand();
      };
      change(0, 100, 'new');
      tx.savepoint();
      change(100, 200, 'sub');
      const undone = tx.savepoint();
      change(200, 300, 'never');
      tx.rollbackTo(undone);
      change(200, 250, undefined);
      await tx.prepare('huge');
      await engine.close();
      engine = await reopen();
      const seen = (): (string | undefined)[] => [0, 99, 100, 199, 200, 249, 250, 299].map((i) => read(engine, table, rowIds[i]!)?.trim());
      const before = ['old 0', 'old 99', 'old 100', 'old 199', 'old 200', 'old 249', 'old 250', 'old 299'];
      expect(seen()).toEqual(before);
      const rival = engine.begin();
      for (const i of [0, 150, 220]) expect(() => rival.lockRow(table, rowIds[i]!, 'update', 'nowait', rival.takeSnapshot())).toThrow('could not obtain lock on row');
      expect((rival.lockRow(table, rowIds[270]!, 'update', 'nowait', rival.takeSnapshot()) as RowLockResult).kind).toBe('locked');
      rival.rollback();
      const after = ['new 0', 'new 99', 'sub 100', 'sub 199', undefined, undefined, 'old 250', 'old 299'];
      if (commits) await engine.commitPrepared('huge');
      else await engine.rollbackPrepared('huge');
      for (let round = 0; round < 2; round++) {
        expect(seen()).toEqual(commits ? after : before);
        await engine.vacuum();
        expect(seen()).toEqual(commits ? after : before);
        const unique = engine.begin();
        for (const i of [0, 150, 220]) expect(unique.probeUnique(index, key(i))).toEqual(commits ? 'free' : { rowId: rowIds[i] });
        for (const i of [1000, 1150]) expect(unique.probeUnique(index, key(i))).toEqual(commits ? { rowId: rowIds[i - 1000] } : 'free');
        unique.rollback();
        await engine.close();
        engine = await reopen();
      }
      expect(engine.preparedTransactions()).toEqual([]);
      await engine.close();
    }
  });
});

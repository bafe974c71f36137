import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RowId, StorageId } from './ids.js';
import { KeyWriter } from './keycode.js';
import { openEngine } from './open.js';
import { nodeRuntime } from './runtime-node.js';
import type { RowBlock, Storage } from './storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-open-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const options = (name: string) => ({ directory: join(base, name), segmentBytes: 3 << 20 });

function contents(engine: Storage, table: StorageId): string[] {
  const tx = engine.begin();
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const cursor = tx.scan(table, tx.takeSnapshot());
  const found: string[] = [];
  while ((cursor.fill(block, 100) as number) > 0) for (let i = 0; i < block.length; i++) found.push(Buffer.from(block.tuples[i]!).toString());
  tx.rollback();
  return found;
}

describe('a data directory', () => {
  it('keeps rows, sequences and counters over restarts, and trims its log', async () => {
    let engine = await openEngine(nodeRuntime(), options('a'));
    const table = engine.allocateStorageId();
    const sequence = engine.allocateStorageId();
    let xid = 0;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 200; i++) {
        const tx = engine.begin();
        if (round === 0 && i === 0) tx.insert(table, Buffer.from('x'));
        else tx.update(table, 1 as RowId, Buffer.from(`round ${round}, update ${i}`.padEnd(20_000)));
        await tx.commit();
        expect(tx.xid).toBeGreaterThan(xid);
        xid = tx.xid;
      }
      engine.sequences.set(sequence, { lastValue: BigInt(round), isCalled: true, logCount: 3 }, { log: true });
      await engine.checkpoint();
      const before = contents(engine, table);
      expect(readdirSync(join(base, 'a', 'log')).filter((name) => name.endsWith('.log')).length).toBeLessThan(3);
      await engine.close();
      engine = await openEngine(nodeRuntime(), options('a'));
      expect(contents(engine, table)).toEqual(before);
      expect(engine.sequences.get(sequence)).toEqual({ lastValue: BigInt(round), isCalled: true, logCount: 0 });
      expect(engine.allocateStorageId()).toBeGreaterThan(sequence + 1000);
      expect(engine.rowCount(table)).toBe(1);
    }
    await engine.close();
  });

  it('leaves no gap in a sequence over a clean stop, and never repeats a value over a crash', async () => {
    let engine = await openEngine(nodeRuntime(), options('sequence'));
    const sequence = engine.allocateStorageId();
    // One value used, 32 more logged ahead.
    engine.sequences.set(sequence, { lastValue: 1n, isCalled: true, logCount: 32 }, { log: true, logged: { lastValue: 33n, isCalled: true, logCount: 0 } });
    await engine.close();
    engine = await openEngine(nodeRuntime(), options('sequence'));
    expect(engine.sequences.get(sequence)).toMatchObject({ lastValue: 1n, isCalled: true });
    await engine.close();
  });

  it('refuses a second server, another format and strange directories', async () => {
    const engine = await openEngine(nodeRuntime(), options('b'));
    await expect(openEngine(nodeRuntime(), options('b'))).rejects.toMatchObject({ sqlstate: 'F0001', message: expect.stringContaining('in use by another server') as string });
    await engine.close();
    // A lock left by a process that died is no obstacle.
    writeFileSync(join(base, 'b', 'LOCK'), '999999999 1 -');
    await (await openEngine(nodeRuntime(), options('b'))).close();
    writeFileSync(join(base, 'b', 'FORMAT'), 'oxbow data directory, format 99\n');
    await expect(openEngine(nodeRuntime(), options('b'))).rejects.toThrow('has format 99, this server reads format 6');
    // What the last format has, this one has.
    const former = await openEngine(nodeRuntime(), options('former'));
    await former.close();
    writeFileSync(join(base, 'former', 'FORMAT'), 'oxbow data directory, format 5\n');
    await (await openEngine(nodeRuntime(), options('former'))).close();
    expect(readFileSync(join(base, 'former', 'FORMAT'), 'utf8')).toBe('oxbow data directory, format 6\n');
    await expect(openEngine(nodeRuntime(), { directory: base })).rejects.toThrow('is not empty');
    expect(readFileSync(join(base, 'b', 'FORMAT'), 'utf8')).toContain('99');
  });

  it('finds index entries and old versions after a restart', async () => {
    let engine = await openEngine(nodeRuntime(), options('c'));
    const index = engine.allocateStorageId();
    const key = new KeyWriter().int32(5).copy();
    const tx = engine.begin();
    tx.putIndexEntry(index, key, 1 as RowId, Buffer.from('payload'));
    await tx.commit();
    await engine.close();
    engine = await openEngine(nodeRuntime(), options('c'));
    const probe = engine.begin();
    expect(probe.probeUnique(index, key)).toEqual({ rowId: 1 });
    probe.deleteIndexEntry(index, key, 1 as RowId);
    await probe.commit();
    expect(engine.begin().probeUnique(index, key)).toBe('free');
    await engine.close();
  });
});

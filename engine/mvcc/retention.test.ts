/** The past through the engine: moments, the bound on versions, restarts that leave no history. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Lsn, RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { Pending } from '../pending.js';
import { nodeRuntime } from '../runtime-node.js';
import type { Storage } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-retention-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const runtime = nodeRuntime();
const HOUR = 3_600_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function write(engine: Storage, storage: StorageId, row: RowId | undefined, text: string): Promise<{ row: RowId; lsn: Lsn; micros: number }> {
  const tx = engine.begin();
  let written = row;
  if (row === undefined) written = tx.insert(storage, Buffer.from(text));
  else {
    const snapshot = tx.takeSnapshot();
    tx.lockRow(storage, row, 'update', 'wait', snapshot);
    snapshot.release();
    tx.update(storage, row, Buffer.from(text));
  }
  const lsn = await tx.commit();
  const micros = runtime.clock.nowMicros();
  await pause(2);
  return { row: written!, lsn, micros };
}

function readAt(engine: Storage, storage: StorageId, row: RowId, asOf: Lsn): string | undefined {
  const tx = engine.begin({ isolation: 'repeatable read', readOnly: true, asOf });
  const snapshot = tx.takeSnapshot();
  const found = tx.get(storage, row, snapshot);
  const text = found && !(found instanceof Pending) ? Buffer.from(found.tuple).toString() : undefined;
  snapshot.release();
  tx.rollback();
  return text;
}

test('a moment reads the last commit at or before it, applied or not', async () => {
  const engine = await openEngine(runtime, { memory: true, retentionMs: HOUR });
  const storage = engine.allocateStorageId();
  const before = runtime.clock.nowMicros() - 1000;
  const versions = [await write(engine, storage, undefined, '0')];
  for (let i = 1; i < 6; i++) versions.push(await write(engine, storage, versions[0]!.row, String(i)));
  for (const [i, { row, lsn, micros }] of versions.entries()) {
    expect(readAt(engine, storage, row, engine.past.lsnAt(micros))).toBe(String(i));
    expect(readAt(engine, storage, row, lsn)).toBe(String(i));
  }
  await engine.checkpoint();
  await engine.vacuum();
  for (const [i, { row, micros }] of versions.entries()) expect(readAt(engine, storage, row, engine.past.lsnAt(micros))).toBe(String(i));
  expect(() => engine.past.lsnAt(runtime.clock.nowMicros() + 1_000_000)).toThrow('cannot read the future');
  expect(() => engine.past.lsnAt(before - 60_000_000)).toThrow('snapshot too old');
  await engine.close();
});

test('more versions than are kept shorten the past before they end a snapshot', async () => {
  const engine = await openEngine(runtime, { memory: true, retentionMs: HOUR, maxVersions: 40, collectEveryMs: 5 });
  const storage = engine.allocateStorageId();
  const first = await write(engine, storage, undefined, 'first');
  let last = first;
  for (let i = 0; i < 120; i++) last = await write(engine, storage, first.row, String(i));
  for (let i = 0; i < 400 && engine.stats().versionsInHistory > 40; i++) await pause(5);
  expect(engine.stats().versionsInHistory).toBeLessThanOrEqual(40);
  expect(engine.stats().snapshotsExpired).toBe(0);
  expect(() => engine.past.lsnAt(first.micros)).toThrow('snapshot too old');
  expect(engine.stats().pastOldestMicros).toBeGreaterThan(first.micros);
  expect(readAt(engine, storage, first.row, engine.past.lsnAt(last.micros))).toBe('119');
  await engine.close();
});

test('a replay without a retention leaves no past, and says so to the next start with one', async () => {
  const directory = join(base, 'replayed');
  let engine = await openEngine(runtime, { directory, retentionMs: HOUR, applier: 'inline' });
  const storage = engine.allocateStorageId();
  const first = await write(engine, storage, undefined, 'first');
  await write(engine, storage, first.row, 'second');
  await engine.checkpoint();
  await engine.close();
  engine = await openEngine(runtime, { directory, retentionMs: HOUR });
  expect(readAt(engine, storage, first.row, engine.past.lsnAt(first.micros))).toBe('first');
  await engine.close();
  engine = await openEngine(runtime, { directory });
  const third = await write(engine, storage, first.row, 'third');
  await engine.vacuum();
  await engine.close();
  engine = await openEngine(runtime, { directory, retentionMs: HOUR });
  expect(() => engine.past.lsnAt(first.micros)).toThrow('snapshot too old');
  expect(readAt(engine, storage, first.row, engine.past.lsnAt(third.micros))).toBe('third');
  await engine.close();
});

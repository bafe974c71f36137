import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { StorageId } from '../ids.js';
import type { LmdbKeyValueStore } from '../kv/lmdb.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { Storage, Transaction } from '../storage.js';
import type { Engine } from './engine.js';
import { appendLargeIds, largeIds, largeIdsLength } from './row-format.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-large-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A tuple that refers to `ids`, the way sql's do. */
function tupleOf(...ids: number[]): Uint8Array {
  const tuple = new Uint8Array(2 + largeIdsLength(ids.length));
  appendLargeIds(tuple, 2, ids);
  expect(largeIds(tuple)).toEqual(ids);
  return tuple;
}

async function write(tx: Transaction, storage: StorageId, bytes: Uint8Array): Promise<{ id: number; length: number }> {
  const writer = tx.writeValue(storage)!;
  for (let at = 0; at < bytes.length; at += 100_000) await writer.write(bytes.subarray(at, at + 100_000))?.until;
  return writer.finish();
}

const noise = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 13);
/** Chunks in the store, once everything is applied and collected. */
async function chunks(engine: Storage): Promise<number> {
  await engine.vacuum();
  const found = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
  const { kv } = engine as Engine;
  kv.refresh();
  return (kv as LmdbKeyValueStore).scan('values', new Uint8Array(0), Uint8Array.of(255), false, Infinity, found);
}

describe.each(['thread', 'inline'] as const)('large values, applier %s', (applier) => {
  const open = (name: string): Promise<Storage> => openEngine(nodeRuntime(), { directory: join(base, `${applier}-${name}`), applier });

  it('reads what was written before, while and after it is applied, and after a restart', async () => {
    let engine = await open('read');
    const table = engine.allocateStorageId();
    const bytes = noise(3_000_001);
    const tx = engine.begin();
    const value = await write(tx, table, bytes);
    expect(value.length).toBe(bytes.length);
    tx.insert(table, tupleOf(value.id));
    const check = (): void => {
      for (const [offset, length] of [[0, 100], [16_350, 5], [1_000_000, 700_000], [2_999_000, 1001]] as const)
        expect(Buffer.compare(tx.largeValues.read(table, value.id, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
    };
    check();
    await tx.commit();
    check();
    await engine.checkpoint();
    check();
    expect(() => tx.largeValues.read(table, value.id, 2_999_000, 1002)).toThrow('part of a large value is missing');
    await engine.close();
    engine = await open('read');
    expect(Buffer.compare(engine.begin().largeValues.read(table, value.id, 0, bytes.length), bytes)).toBe(0);
    await engine.close();
  });

  it('frees values with the last version that has them, with a rollback, a savepoint and a crash', async () => {
    let engine = await open('free');
    const table = engine.allocateStorageId();
    const first = engine.begin();
    const [kept, dropped, unused] = [await write(first, table, noise(50_000)), await write(first, table, noise(50_000)), await write(first, table, noise(50_000))];
    expect(new Set([kept.id, dropped.id, unused.id]).size).toBe(3);
    const row = first.insert(table, tupleOf(kept.id, dropped.id));
    await first.commit();
    expect(await chunks(engine)).toBe(8);
    const reader = engine.begin({ isolation: 'repeatable read' });
    const snapshot = reader.takeSnapshot();
    const second = engine.begin();
    second.lockRow(table, row, 'update', 'wait', second.takeSnapshot());
    second.update(table, row, tupleOf(kept.id));
    await second.commit();
    expect(await chunks(engine)).toBe(8);
    expect(reader.largeValues.read(table, dropped.id, 0, 9).length).toBe(9);
    snapshot.release();
    reader.rollback();
    expect(await chunks(engine)).toBe(4);
    const third = engine.begin();
    await write(third, table, noise(50_000));
    third.rollback();
    await engine.checkpoint();
    expect(await chunks(engine)).toBe(4);
    // What a server that is gone wrote without an end.
    const lost = engine.begin();
    await write(lost, table, noise(50_000));
    await engine.checkpoint();
    (lost as unknown as { abort(): void }).abort = () => undefined;
    await engine.close();
    engine = await open('free');
    await engine.checkpoint();
    expect(await chunks(engine)).toBe(4);
    const last = engine.begin();
    last.lockRow(table, row, 'update', 'wait', last.takeSnapshot());
    last.delete(table, row);
    await last.commit();
    expect(await chunks(engine)).toBe(0);
    await engine.close();
  });
});

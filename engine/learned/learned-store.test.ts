/** What is learned of indexes: as of when, what ends it, and how much of it is kept; in memory and from a state on disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { Storage } from '../storage.js';
import { keyBytes } from './key-class.js';
import { LearnedStore, type Generation } from './learned-store.js';

const OPTIONS = { class: 'int32', error: 8 } as const;
const NOTHING = new Uint8Array(0);
const runtime = nodeRuntime();

async function put(storage: Storage, index: StorageId, from: number, count: number): Promise<void> {
  const transaction = storage.begin();
  for (let i = from; i < from + count; i++) transaction.putIndexEntry(index, keyBytes('int32', i * 3), (i + 1) as RowId, NOTHING);
  await transaction.commit();
}

async function learn(store: LearnedStore, index: StorageId, bound = Infinity): Promise<Generation | undefined> {
  store.use(index, OPTIONS, bound);
  await store.ready(index);
  return store.peek(index);
}

const rowOf = ({ entries }: Generation, value: number): number => {
  const at = entries.find(value);
  return at < 0 ? 0 : entries.rows[entries.firstRow(at)]!;
};

test.each(['memory', 'disk'])('entries as of a moment, keys that changed since, and what ends it (%s)', async (where) => {
  const directory = where === 'disk' ? mkdtempSync(join(tmpdir(), 'oxbow-learned-')) : undefined;
  const storage = await openEngine(runtime, directory === undefined ? { memory: true } : { directory });
  const store = new LearnedStore(storage, runtime.clock);
  try {
    const index = storage.allocateStorageId();
    await put(storage, index, 0, 3000);
    const generation = (await learn(store, index))!;
    expect(generation.entries.rows.length).toBe(3000);
    expect([rowOf(generation, 0), rowOf(generation, 300), rowOf(generation, 301), rowOf(generation, 8997)]).toEqual([1, 101, 0, 3000]);
    expect(storage.watermarks.assigned).toBeGreaterThanOrEqual(generation.since);

    const transaction = storage.begin();
    transaction.deleteIndexEntry(index, keyBytes('int32', 300), 101 as RowId);
    transaction.putIndexEntry(index, keyBytes('int32', 301), 101 as RowId, NOTHING);
    expect(generation.changed.size).toBe(0);
    const committed = transaction.commit();
    // When the commit has its place, before anybody can see it.
    expect([...generation.changed.values].sort()).toEqual([300, 301]);
    await committed;
    const undone = storage.begin();
    undone.deleteIndexEntry(index, keyBytes('int32', 600), 201 as RowId);
    undone.rollback();
    expect(generation.changed.size).toBe(2);
    expect(generation.changed.within(301, 900)).toEqual([301]);

    // Many changes: it is made anew, and says what holds then.
    await put(storage, index, 10_000, 2500);
    expect(store.use(index, OPTIONS, Infinity)).toBe(generation);
    await store.ready(index);
    const next = store.peek(index)!;
    expect(next).not.toBe(generation);
    expect([next.changed.size, next.entries.rows.length, rowOf(next, 300), rowOf(next, 301), rowOf(next, 30_000)]).toEqual([0, 5500, 0, 101, 10_001]);

    const dropping = storage.begin();
    dropping.dropStorage(index);
    await dropping.commit();
    expect(next.valid).toBe(false);
    expect([store.peek(index), store.bytes]).toEqual([undefined, 0]);
  } finally {
    store.close();
    await storage.close();
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  }
});

test('what was used longest ago goes first, and what alone is too much is not kept', async () => {
  const storage = await openEngine(runtime, { memory: true });
  const store = new LearnedStore(storage, runtime.clock);
  try {
    const indexes = [0, 1, 2].map(() => storage.allocateStorageId());
    for (const index of indexes) await put(storage, index, 0, 2000);
    const [a, b, c] = indexes as [StorageId, StorageId, StorageId];
    const one = (await learn(store, a))!.bytes;
    await learn(store, b, one * 2.5);
    store.use(a, OPTIONS, one * 2.5);
    await learn(store, c, one * 2.5);
    expect([a, b, c].map((index) => store.peek(index) !== undefined)).toEqual([true, false, true]);
    expect(store.bytes).toBeLessThanOrEqual(one * 2.5);
    expect(await learn(store, b, one / 2)).toBeUndefined();
    store.use(a, OPTIONS, 0);
    expect(store.bytes).toBe(0);
  } finally {
    store.close();
    await storage.close();
  }
});

test('keys that are none of its class are not learned', async () => {
  const storage = await openEngine(runtime, { memory: true });
  const store = new LearnedStore(storage, runtime.clock);
  try {
    const index = storage.allocateStorageId();
    const transaction = storage.begin();
    transaction.putIndexEntry(index, keyBytes('int64', 5), 1 as RowId, NOTHING);
    await transaction.commit();
    expect(await learn(store, index)).toBeUndefined();
    // NULLs are left out.
    const nulls = storage.allocateStorageId();
    const second = storage.begin();
    second.putIndexEntry(nulls, Uint8Array.of(3), 1 as RowId, NOTHING);
    second.putIndexEntry(nulls, keyBytes('int32', 7), 2 as RowId, NOTHING);
    await second.commit();
    expect([...(await learn(store, nulls))!.entries.rows]).toEqual([2]);
  } finally {
    store.close();
    await storage.close();
  }
});

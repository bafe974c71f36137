import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { Transaction } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-ceilings-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const EMPTY = new Uint8Array(0);
const keyOf = (n: number): Uint8Array => Uint8Array.of(2, n >>> 8, n);

it.each([1, 2])('a key is free exactly when no row has it: inserts at the end and elsewhere, deletes, rollbacks, loads, restarts (seed %i)', async (seed) => {
  let state = seed;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
  const directory = join(base, String(seed));
  const open = (): ReturnType<typeof openEngine> => openEngine(nodeRuntime(), { directory, bulkThreshold: 2000, transactionMemory: 1 << 20 });
  let engine = await open();
  const table = 70_000 as StorageId;
  const index = 70_001 as StorageId;
  const rows = new Map<number, RowId>();
  let next = 1;
  const tryInsert = (tx: Transaction, model: Map<number, RowId>, n: number): void => {
    const found = tx.probeUnique(index, keyOf(n));
    expect(found).toEqual(model.has(n) ? { rowId: model.get(n) } : 'free');
    if (found !== 'free') return;
    const id = tx.insert(table, keyOf(n));
    tx.putIndexEntry(index, keyOf(n), id, EMPTY);
    model.set(n, id);
  };
  for (let round = 0; round < 60; round++) {
    const tx = engine.begin();
    const model = new Map(rows);
    for (let step = below(30); step >= 0; step--) {
      const action = below(10);
      if (action < 5) tryInsert(tx, model, next++);
      else if (action < 8) tryInsert(tx, model, below(next + 3));
      else {
        const [n, id] = [...model][below(Math.max(1, model.size))] ?? [];
        if (n === undefined || id === undefined) continue;
        const snapshot = tx.takeSnapshot();
        tx.advanceCommand();
        tx.lockRow(table, id, 'update', 'wait', tx.takeSnapshot());
        tx.delete(table, id);
        tx.deleteIndexEntry(index, keyOf(n), id);
        model.delete(n);
        snapshot.release();
      }
      tx.advanceCommand();
    }
    if (below(3) === 0) tx.rollback();
    else {
      await tx.commit();
      rows.clear();
      for (const [n, id] of model) rows.set(n, id);
    }
    const after = below(16);
    if (after === 0) await engine.checkpoint();
    if (after === 1) await engine.vacuum();
    if (after === 2) {
      await engine.close();
      engine = await open();
    }
  }
  // A load into an index that was asked about before.
  const tx = engine.begin();
  const own = tx.createStorage();
  expect(tx.probeUnique(own, keyOf(1))).toBe('free');
  const loader = tx.bulkLoader(own)!;
  loader.put(own, keyOf(500), 0, 3, 7 as RowId, EMPTY);
  await loader.finish();
  tx.advanceCommand();
  expect(tx.probeUnique(own, keyOf(500))).toEqual({ rowId: 7 });
  expect(tx.probeUnique(own, keyOf(501))).toBe('free');
  await tx.commit();
  expect(engine.begin().probeUnique(own, keyOf(500))).toEqual({ rowId: 7 });
  await engine.close();
}, 60_000);

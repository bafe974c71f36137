import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { IndexBlock, RowBlock, Snapshot, Transaction } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-batch-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const EMPTY = new Uint8Array(0);
const table = 70_000 as StorageId;
const index = 70_001 as StorageId;
const keyOf = (n: number): Uint8Array => Uint8Array.of(2, n >>> 16, n >>> 8, n);
const tupleOf = (n: number): Uint8Array => Uint8Array.from({ length: 10 + (n % 40) }, (_, i) => (i === 1 ? 0 : n + i));

/** Rows and entries as a snapshot sees them. */
function seen(tx: Transaction, snapshot: Snapshot): { rows: Map<RowId, string>; entries: [string, RowId][] } {
  const rows = new Map<RowId, string>();
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const scan = tx.scan(table, snapshot);
  while ((scan.fill(block, 100) as number) > 0) for (let i = 0; i < block.length; i++) rows.set(block.rowIds[i]! as RowId, Buffer.from(block.tuples[i]!).toString('hex'));
  const entries: [string, RowId][] = [];
  const found: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  const cursor = tx.scanIndex(index, snapshot, {});
  while ((cursor.fill(found, 100) as number) > 0) for (let i = 0; i < found.length; i++) entries.push([Buffer.from(found.keys[i]!).toString('hex'), found.rowIds[i]! as RowId]);
  return { rows, entries };
}

type Model = Map<RowId, { n: number; key: number }>;

function expectSeen(tx: Transaction, snapshot: Snapshot, model: Model): void {
  const { rows, entries } = seen(tx, snapshot);
  expect(rows).toEqual(new Map([...model].map(([id, { n }]) => [id, Buffer.from(tupleOf(n)).toString('hex')])));
  const wanted = [...model].map(([id, { key }]) => [Buffer.from(keyOf(key)).toString('hex'), id] as [string, RowId]);
  expect(entries).toEqual(wanted.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x - y)));
}

it.each(['thread', 'inline'] as const)('rows written in many read as rows written one by one: changes, savepoints, rivals, huge transactions, restarts (%s)', async (applier) => {
  const seed = 7;
  let state = seed;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
  const open = (): ReturnType<typeof openEngine> => openEngine(nodeRuntime(), { directory: join(base, applier), applier, bulkThreshold: 300_000 });
  let engine = await open();
  const committed: Model = new Map();
  const scratch = new Uint8Array(64);
  let next = 1;
  const addMany = (tx: Transaction, model: Model, count: number): void => {
    for (let i = 0; i < count; i++) {
      const n = next++;
      const key = below(3) === 0 ? below(1 << 20) : n;
      const tuple = tupleOf(n);
      scratch.set(tuple);
      const id = tx.insertOfMany(table, scratch, tuple.length);
      scratch.set(keyOf(key));
      tx.putEntryOfMany(index, scratch, 4, id, EMPTY);
      scratch.fill(255);
      model.set(id, { n, key });
    }
  };
  const change = (tx: Transaction, model: Model): void => {
    const ids = [...model.keys()];
    const id = ids[below(ids.length)];
    if (id === undefined) return;
    const old = model.get(id)!;
    const snapshot = tx.takeSnapshot();
    expect(tx.lockRow(table, id, 'update', 'wait', snapshot)).toEqual({ kind: 'locked' });
    snapshot.release();
    tx.deleteIndexEntry(index, keyOf(old.key), id);
    if (below(2) === 0) {
      tx.delete(table, id);
      model.delete(id);
      return;
    }
    const now = { n: next++, key: old.key };
    tx.update(table, id, tupleOf(now.n));
    tx.putIndexEntry(index, keyOf(now.key), id, EMPTY);
    model.set(id, now);
  };
  for (let round = 0; round < 20; round++) {
    const before = engine.begin({ isolation: 'repeatable read' });
    const held = before.takeSnapshot();
    const then: Model = new Map(committed);
    const tx = engine.begin();
    let model: Model = new Map(committed);
    for (let step = below(6); step >= 0; step--) {
      const action = below(12);
      if (action < 6) addMany(tx, model, below(action === 0 ? 3000 : 60));
      else if (action < 8) change(tx, model);
      else if (action === 8) {
        const id = tx.insert(table, tupleOf(next));
        tx.putIndexEntry(index, keyOf(next), id, EMPTY);
        model.set(id, { n: next, key: next++ });
      } else if (action === 9) {
        const sub = tx.savepoint();
        const kept: Model = new Map(model);
        addMany(tx, model, below(30));
        change(tx, model);
        tx.advanceCommand();
        if (below(2) === 0) {
          tx.rollbackTo(sub);
          model = kept;
        }
        tx.release(sub);
      } else if (action === 10) {
        // A rival looks for a key of this transaction's.
        const rival = engine.begin();
        expect(rival.lookup(index, keyOf(next + 1), rival.takeSnapshot())).toBeLessThanOrEqual(0);
        rival.rollback();
      }
      tx.advanceCommand();
      await tx.loadPending()?.until;
      if (below(3) === 0) {
        const snapshot = tx.takeSnapshot();
        expectSeen(tx, snapshot, model);
        snapshot.release();
      }
    }
    if (below(4) === 0) tx.rollback();
    else {
      const done = tx.commit();
      committed.clear();
      for (const [id, row] of model) committed.set(id, row);
      await done;
      if (below(3) === 0) {
        const reader = engine.begin();
        expectSeen(reader, reader.takeSnapshot(), committed);
        reader.rollback();
      }
    }
    if (below(4) === 0) expectSeen(before, held, then);
    before.rollback();
    const after = below(20);
    if (after === 0) await engine.checkpoint();
    if (after === 1) await engine.vacuum();
    if (after === 2) {
      await engine.close();
      engine = await open();
    }
  }
  await engine.checkpoint();
  const reader = engine.begin();
  expectSeen(reader, reader.takeSnapshot(), committed);
  expect(engine.rowCount(table)).toBe(committed.size);
  reader.rollback();
  await engine.close();
}, 120_000);

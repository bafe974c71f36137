/** Old snapshots of rows that were changed many times since: right, and without a walk over all that came after. */
import { expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { MemoryKeyValueStore } from '../kv/memory.js';
import { MemoryLogStore } from '../log/memory.js';
import { openParts } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { RowVersion, Storage, Transaction } from '../storage.js';

class CountingStore extends MemoryKeyValueStore {
  reads = 0;

  override get(...given: Parameters<MemoryKeyValueStore['get']>): Uint8Array | undefined {
    this.reads++;
    return super.get(...given);
  }

  override scan(...given: Parameters<MemoryKeyValueStore['scan']>): number {
    const count = super.scan(...given);
    this.reads += count;
    return count;
  }
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (version: unknown): string | undefined => (version ? Buffer.from((version as RowVersion).tuple).toString() : undefined);

async function change(engine: Storage, table: StorageId, rowId: RowId, value: string | undefined): Promise<void> {
  const tx = engine.begin();
  const snapshot = tx.takeSnapshot();
  expect(tx.lockRow(table, rowId, 'update', 'wait', snapshot)).toEqual({ kind: 'locked' });
  if (value === undefined) tx.delete(table, rowId);
  else tx.update(table, rowId, bytes(value));
  snapshot.release();
  await tx.commit({ synchronous: false });
}

it('a hot row under an old snapshot', async () => {
  const kv = new CountingStore();
  const engine = await openParts(nodeRuntime(), { kv, log: new MemoryLogStore({ keep: false }) }, { collectEveryMs: 0 });
  const table = engine.allocateStorageId();
  const first = engine.begin();
  const rowId = first.insert(table, bytes('v0'));
  await first.commit();
  const old = engine.begin({ isolation: 'repeatable read' });
  const snapshot = old.takeSnapshot();
  expect(text(old.get(table, rowId, snapshot))).toBe('v0');
  for (let i = 1; i <= 5000; i++) await change(engine, table, rowId, `v${i}`);
  await engine.checkpoint();
  kv.reads = 0;
  expect(text(old.get(table, rowId, snapshot))).toBe('v0');
  expect(kv.reads).toBeLessThan(500);
  old.rollback();
  await engine.close();
}, 30_000);

it('many snapshots of many rows (seeded)', async () => {
  let state = 4711;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const engine = await openParts(nodeRuntime(), { kv: new MemoryKeyValueStore(), log: new MemoryLogStore({ keep: false }) }, { collectEveryMs: 0 });
  const table = engine.allocateStorageId();
  const now = new Map<RowId, string | undefined>();
  const begin = engine.begin();
  for (let i = 0; i < 8; i++) now.set(begin.insert(table, bytes(`r${i}`)), `r${i}`);
  await begin.commit();
  const rows = [...now.keys()];
  const held: { tx: Transaction; snapshot: ReturnType<Transaction['takeSnapshot']>; expected: Map<RowId, string | undefined> }[] = [];
  for (let i = 0; i < 6000; i++) {
    if (i % 400 === 0) {
      const tx = engine.begin({ isolation: 'repeatable read' });
      held.push({ tx, snapshot: tx.takeSnapshot(), expected: new Map(now) });
    }
    // One row gets most of it; some go for good late on.
    const rowId = rows[below(3) > 0 ? 0 : below(rows.length)]!;
    if (now.get(rowId) === undefined) continue;
    const value = i > 5000 && below(200) === 0 ? undefined : `v${i}`;
    await change(engine, table, rowId, value);
    now.set(rowId, value);
  }
  await engine.checkpoint();
  for (const { tx, snapshot, expected } of held) {
    for (const rowId of rows) expect(text(tx.get(table, rowId, snapshot))).toBe(expected.get(rowId));
    tx.rollback();
  }
  await engine.close();
}, 60_000);

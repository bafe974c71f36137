import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { BulkLoader, IndexBlock, RowBlock, Snapshot, Storage, Transaction } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-load-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const EMPTY = new Uint8Array(0);
const tupleOf = (n: number): Uint8Array => Uint8Array.from({ length: 20 + (n % 90) }, (_, i) => (i < 4 ? n >>> (8 * i) : n + i));
const keyOf = (n: number): Uint8Array => Uint8Array.of(2, n >>> 24, n >>> 16, n >>> 8, n);

function rows(tx: Transaction, storage: StorageId, snapshot: Snapshot = tx.takeSnapshot()): number[] {
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const cursor = tx.scan(storage, snapshot);
  const found: number[] = [];
  while ((cursor.fill(block, 700) as number) > 0)
    for (let i = 0; i < block.length; i++) {
      const tuple = block.tuples[i]!;
      const n = tuple[0]! | (tuple[1]! << 8) | (tuple[2]! << 16);
      expect(Buffer.compare(tuple, tupleOf(n))).toBe(0);
      found.push(n);
    }
  snapshot.release();
  return found;
}

function entries(tx: Transaction, index: StorageId): [number, number][] {
  const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  const snapshot = tx.takeSnapshot();
  const cursor = tx.scanIndex(index, snapshot, {});
  const found: [number, number][] = [];
  while ((cursor.fill(block, 700) as number) > 0)
    for (let i = 0; i < block.length; i++) found.push([new DataView(block.keys[i]!.slice().buffer).getUint32(1), block.rowIds[i]!]);
  snapshot.release();
  return found;
}

async function loadRows(loader: BulkLoader, table: StorageId, from: number, to: number): Promise<RowId[]> {
  const ids: RowId[] = [];
  const scratch = new Uint8Array(200);
  for (let n = from; n < to; n++) {
    const tuple = tupleOf(n);
    scratch.set(tuple);
    ids.push(loader.insert(table, scratch, tuple.length));
    scratch.fill(255);
    await loader.pending()?.until;
  }
  return ids;
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe.each(['thread', 'inline', 'memory'] as const)('bulk loads, %s', (kind) => {
  const open = (name: string): Promise<Storage> => openEngine(nodeRuntime(), kind === 'memory' ? { memory: true } : { directory: join(base, `${kind}-${name}`), applier: kind });

  it('are seen by their transaction after finish, by others after the commit, and after a restart', async () => {
    let engine = await open('seen');
    const tx = engine.begin();
    const table = tx.createStorage();
    const index = tx.createStorage();
    const before = tx.takeSnapshot();
    const loader = tx.bulkLoader(table)!;
    const ids = await loadRows(loader, table, 0, 10_000);
    for (let n = 0; n < 10_000; n++) loader.put(index, keyOf(n), 0, 5, ids[n]!, EMPTY);
    await loader.finish();
    tx.advanceCommand();
    expect(rows(tx, table, before)).toEqual([]);
    expect(rows(tx, table)).toEqual(upTo(10_000));
    expect(entries(tx, index)).toEqual(ids.map((id, n) => [n, id]));
    const other = engine.begin();
    expect(rows(other, table)).toEqual([]);
    const held = other.takeSnapshot();
    // What follows in the same transaction goes the usual way.
    tx.lockRow(table, ids[5]!, 'update', 'wait', tx.takeSnapshot());
    tx.delete(table, ids[5]!);
    tx.deleteIndexEntry(index, keyOf(5), ids[5]!);
    tx.insert(table, tupleOf(10_000));
    await tx.commit();
    expect(rows(other, table, held)).toEqual([]);
    const expected = [...upTo(10_001)].filter((n) => n !== 5);
    const check = (): void => {
      const reader = engine.begin();
      expect(rows(reader, table)).toEqual(expected);
      expect(entries(reader, index)).toEqual(ids.map((id, n) => [n, id] as [number, number]).filter(([n]) => n !== 5));
      reader.rollback();
    };
    check();
    other.rollback();
    await engine.checkpoint();
    check();
    expect(engine.rowCount(table)).toBe(10_000);
    await engine.close();
    if (kind === 'memory') return;
    engine = await open('seen');
    check();
    await engine.close();
  });

  it('leave nothing behind when they are rolled back, whole or to a savepoint', async () => {
    const engine = await open('undone');
    const table = engine.allocateStorageId();
    const first = engine.begin();
    first.insert(table, tupleOf(0));
    await first.commit();
    const tx = engine.begin();
    let loader = tx.bulkLoader(table)!;
    await loadRows(loader, table, 1, 5000);
    tx.rollback();
    const partly = engine.begin();
    loader = partly.bulkLoader(table)!;
    await loadRows(loader, table, 1, 3000);
    await loader.finish();
    partly.advanceCommand();
    const sub = partly.savepoint();
    loader = partly.bulkLoader(table)!;
    await loadRows(loader, table, 3000, 9000);
    await loader.finish();
    partly.advanceCommand();
    expect(rows(partly, table)).toEqual(upTo(9000));
    partly.rollbackTo(sub);
    expect(rows(partly, table)).toEqual(upTo(3000));
    await partly.commit();
    expect(rows(engine.begin(), table)).toEqual(upTo(3000));
    await engine.vacuum();
    expect(rows(engine.begin(), table)).toEqual(upTo(3000));
    expect(engine.rowCount(table)).toBe(3000);
    await engine.close();
  });

  it('are refused where each write is registered or nothing is logged', async () => {
    const engine = await open('refused');
    expect(engine.begin({ isolation: 'serializable' }).bulkLoader(engine.allocateStorageId())).toBeUndefined();
    expect(engine.begin().bulkLoader(engine.allocateTemporaryStorageId())).toBeUndefined();
    await engine.close();
  });
});

it('a transaction that loaded into its own table can be given up when the log has failed', async () => {
  const storage = await openEngine(nodeRuntime(), { memory: true });
  const tx = storage.begin();
  const table = tx.createStorage();
  const loader = tx.bulkLoader(table)!;
  await loadRows(loader, table, 0, 3000);
  await loader.finish();
  // Once, the drop's own record was refused, the connection's end failed with it, and the process ended before it had said why.
  (storage as unknown as { log: { fail(cause: unknown): void } }).log.fail(new Error('EIO'));
  expect(() => tx.rollback()).not.toThrow();
  expect(tx.state).toBe('aborted');
});

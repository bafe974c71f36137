/** Look-ups of single rows and keys, cached or not, must say what scans say, for new and old snapshots alike. */
import { expect, test } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { IndexBlock, RowBlock, Snapshot, Storage, Transaction } from '../storage.js';

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
}

const KEYS = 40;
const keyOf = (n: number): Uint8Array => Uint8Array.of(1, n, 255 - n);

class Model {
  readonly table: StorageId;
  readonly index: StorageId;
  constructor(readonly storage: Storage) {
    this.table = storage.allocateStorageId();
    this.index = storage.allocateStorageId();
  }

  /** What a scan of the index says. */
  scanned(transaction: Transaction, snapshot: Snapshot, key: Uint8Array): number {
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    const cursor = transaction.scanIndex(this.index, snapshot, { lower: key, upper: key });
    const filled = cursor.fill(block, 4);
    cursor.close();
    expect(filled).toBeLessThan(2);
    return filled === 0 ? 0 : block.rowIds[0]!;
  }

  /** What a scan of the table says. */
  row(transaction: Transaction, snapshot: Snapshot, rowId: RowId): number[] | undefined {
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    const cursor = transaction.scan(this.table, snapshot, { from: rowId, to: rowId });
    const filled = cursor.fill(block, 1);
    cursor.close();
    return filled === 0 ? undefined : [...block.tuples[0]!];
  }

  check(transaction: Transaction, snapshot: Snapshot, n: number): number {
    const key = keyOf(n);
    const expected = this.scanned(transaction, snapshot, key);
    const found = transaction.lookup(this.index, key, snapshot);
    if (found !== -1) expect(found).toBe(expected);
    if (expected === 0) return 0;
    const version = transaction.getOne(this.table, expected as RowId, snapshot) as { tuple: Uint8Array } | undefined;
    expect(version && [...version.tuple]).toEqual(this.row(transaction, snapshot, expected as RowId));
    return found;
  }
}

test.each([1, 2, 3, 4])('seed %i', async (seed) => {
  const pick = random(seed);
  const storage = await openEngine(nodeRuntime(), { memory: true, applier: 'inline', cacheBytes: pick(2) === 0 ? 3000 : 1 << 20, collectEveryMs: 0 });
  const model = new Model(storage);
  const old: { transaction: Transaction; snapshot: Snapshot }[] = [];
  let direct = 0;
  try {
    for (let step = 0; step < 1500; step++) {
      const transaction = storage.begin();
      const snapshot = transaction.takeSnapshot();
      for (let i = 0; i < 3; i++) if (model.check(transaction, snapshot, pick(KEYS)) > 0) direct++;
      for (let writes = pick(3); writes > 0; writes--) {
        const n = pick(KEYS);
        const now = transaction.takeSnapshot();
        const rowId = model.scanned(transaction, now, keyOf(n)) as RowId;
        if (rowId === 0) {
          transaction.putIndexEntry(model.index, keyOf(n), transaction.insert(model.table, Uint8Array.of(n, step & 255)), new Uint8Array(0));
        } else if (pick(3) === 0) {
          transaction.delete(model.table, rowId);
          transaction.deleteIndexEntry(model.index, keyOf(n), rowId);
        } else transaction.update(model.table, rowId, Uint8Array.of(n, step & 255, 1));
        transaction.advanceCommand();
        model.check(transaction, transaction.takeSnapshot(), n);
        now.release();
      }
      snapshot.release();
      if (pick(5) === 0) transaction.rollback();
      else await transaction.commit();
      if (pick(20) === 0) {
        const reader = storage.begin({ isolation: 'repeatable read' });
        old.push({ transaction: reader, snapshot: reader.takeSnapshot() });
      }
      for (const reader of old) model.check(reader.transaction, reader.snapshot, pick(KEYS));
      if (old.length > 5) old.shift()!.transaction.rollback();
      if (pick(50) === 0) await storage.checkpoint();
      if (pick(100) === 0) await storage.vacuum();
    }
    expect(direct).toBeGreaterThan(200);
  } finally {
    for (const { transaction } of old) transaction.rollback();
    await storage.close();
  }
});

/**
 * Row ids of short ranges, read from LMDB's pages and the overlay, must be those that a scan gives, for new and old snapshots, in both directions, over
 * single entries and blocks, beside an applier that moves what is committed from the one to the other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { IndexBlock, KeyRange, RowPlace, Snapshot, Storage, Transaction } from '../storage.js';

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
}

const EMPTY = new Uint8Array(0);
const KEYS = 1500;
const keyOf = (n: number): Uint8Array => Uint8Array.of(7, n >> 8, n & 255);

interface Reader { readonly transaction: Transaction; readonly snapshot: Snapshot }

class Model {
  readonly table: StorageId;
  readonly index: StorageId;
  told = 0;
  untold = 0;
  private readonly rowIds = new Float64Array(300);
  private readonly place: RowPlace = { bytes: EMPTY, start: 0, end: 0 };

  constructor(storage: Storage, private readonly pick: (below: number) => number) {
    this.table = storage.allocateStorageId();
    this.index = storage.allocateStorageId();
  }

  scanned(transaction: Transaction, snapshot: Snapshot, range: KeyRange, max: number): number[] {
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    const cursor = transaction.scanIndex(this.index, snapshot, range);
    const found: number[] = [];
    while (found.length < max) {
      const filled = cursor.fill(block, max - found.length) as number;
      if (filled === 0) break;
      found.push(...block.rowIds.slice(0, filled));
    }
    cursor.close();
    return found;
  }

  check({ transaction, snapshot }: Reader): void {
    const { pick, rowIds, place } = this;
    const low = pick(KEYS);
    const range: KeyRange = { reverse: pick(2) === 0 };
    if (pick(8) > 0) Object.assign(range, { lower: keyOf(low), lowerInclusive: pick(2) === 0 });
    if (pick(8) > 0) Object.assign(range, { upper: keyOf(low + pick(150)), upperInclusive: pick(2) === 0 });
    const max = pick(3) === 0 ? 1 + pick(10) : 300;
    const count = transaction.rowIdsOf(this.index, snapshot, range, max, rowIds);
    if (count < 0) {
      this.untold++;
      return;
    }
    this.told++;
    const expected = this.scanned(transaction, snapshot, range, max);
    expect([...rowIds.subarray(0, count)]).toEqual(expected);
    for (const rowId of expected.slice(0, 5)) {
      const version = transaction.get(this.table, rowId as RowId, snapshot) as { tuple: Uint8Array };
      const tuple = [...version.tuple];
      expect(transaction.placeOf(this.table, rowId as RowId, snapshot, place)).toBe(true);
      expect([...place.bytes.subarray(place.start, place.end)]).toEqual(tuple);
    }
  }
}

test.each([1, 2, 3])('seed %i', async (seed) => {
  const pick = random(seed);
  const directory = mkdtempSync(join(tmpdir(), 'oxbow-ranges-'));
  const storage = await openEngine(nodeRuntime(), { directory, applier: seed % 2 === 0 ? 'inline' : 'thread', sync: false, cacheBytes: pick(2) === 0 ? 30_000 : 1 << 20, collectEveryMs: 0 });
  const model = new Model(storage, pick);
  const old: Reader[] = [];
  const live = new Map<number, RowId>();
  try {
    // Blocks first, with gaps; what comes later stands between them and takes them apart.
    const loading = storage.begin();
    const bulk = loading.bulkLoader(model.table)!;
    for (let n = 0; n < KEYS; n += 2) {
      const rowId = bulk.insert(model.table, Uint8Array.of(n & 255, n >> 8), 2);
      live.set(n, rowId);
      bulk.put(model.index, keyOf(n), 0, 3, rowId, EMPTY);
    }
    await bulk.finish();
    await loading.commit();
    for (let step = 0; step < 150; step++) {
      const transaction = storage.begin();
      const changed = new Map<number, RowId | undefined>();
      for (let writes = pick(4); writes > 0; writes--) {
        const n = pick(KEYS);
        const rowId = changed.has(n) ? changed.get(n) : live.get(n);
        if (rowId === undefined) {
          const inserted = transaction.insert(model.table, Uint8Array.of(n & 255, n >> 8, step & 255));
          transaction.putIndexEntry(model.index, keyOf(n), inserted, EMPTY);
          changed.set(n, inserted);
        } else if (pick(2) === 0) {
          transaction.delete(model.table, rowId);
          transaction.deleteIndexEntry(model.index, keyOf(n), rowId);
          changed.set(n, undefined);
        } else transaction.update(model.table, rowId, Uint8Array.of(n & 255, n >> 8, step & 255, 1));
        transaction.advanceCommand();
      }
      const snapshot = transaction.takeSnapshot();
      for (let i = 0; i < 2; i++) model.check({ transaction, snapshot });
      snapshot.release();
      if (pick(6) === 0) transaction.rollback();
      else {
        const committing = transaction.commit();
        // Before it is durable, and after.
        const rival = storage.begin();
        model.check({ transaction: rival, snapshot: rival.instantSnapshot() });
        await committing;
        model.check({ transaction: rival, snapshot: rival.instantSnapshot() });
        rival.rollback();
        for (const [n, rowId] of changed) {
          if (rowId === undefined) live.delete(n);
          else live.set(n, rowId);
        }
      }
      if (pick(20) === 0) {
        const reader = storage.begin({ isolation: 'repeatable read' });
        old.push({ transaction: reader, snapshot: reader.takeSnapshot() });
      }
      for (const reader of old) model.check(reader);
      if (old.length > 4) old.shift()!.transaction.rollback();
      if (pick(25) === 0) await storage.checkpoint();
      if (pick(60) === 0) await storage.vacuum();
    }
    expect(model.told).toBeGreaterThan(300);
  } finally {
    for (const { transaction } of old) transaction.rollback();
    await storage.close();
    rmSync(directory, { recursive: true });
  }
});

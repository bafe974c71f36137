import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../mvcc/engine.js';
import type { RowId, StorageId } from '../ids.js';
import { KeyWriter } from '../keycode.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { IndexBlock, KeyRange, RowBlock, Transaction } from '../storage.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const key = (n: number): Uint8Array => new KeyWriter().int32(n).copy();
const EMPTY = new Uint8Array(0);

describe('serializable transactions', () => {
  let engine: Engine;
  let table: StorageId;
  let index: StorageId;
  let ids: RowId[];

  beforeEach(async () => {
    engine = (await openEngine(nodeRuntime(), { memory: true })) as Engine;
    table = engine.allocateStorageId();
    index = engine.allocateStorageId();
    const tx = engine.begin();
    ids = Array.from({ length: 100 }, (_, i) => {
      const id = tx.insert(table, bytes('0'));
      tx.putIndexEntry(index, key(i), id, EMPTY);
      return id;
    });
    await tx.commit();
  });
  afterEach(() => engine.close());

  const begin = (readOnly = false): Transaction => engine.begin({ isolation: 'serializable', readOnly });
  const read = (tx: Transaction, i: number): void => {
    const snapshot = tx.takeSnapshot();
    void tx.get(table, ids[i]!, snapshot);
    snapshot.release();
  };
  const write = (tx: Transaction, i: number): void => {
    const snapshot = tx.takeSnapshot();
    expect(tx.lockRow(table, ids[i]!, 'no key update', 'wait', snapshot)).toEqual({ kind: 'locked' });
    tx.update(table, ids[i]!, bytes('1'));
    snapshot.release();
  };
  const scan = (tx: Transaction, range: KeyRange, max: number): number => {
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    const snapshot = tx.takeSnapshot();
    const cursor = tx.scanIndex(index, snapshot, range);
    const filled = cursor.fill(block, max) as number;
    cursor.close();
    snapshot.release();
    return filled;
  };
  const insert = (tx: Transaction, k: number): void => {
    const id = tx.insert(table, bytes('new'));
    tx.putIndexEntry(index, key(k), id, EMPTY);
  };
  const fate = (tx: Transaction): Promise<string> => tx.commit().then(() => 'committed', (error: { sqlstate: string }) => error.sqlstate);

  it('fails one of two that each wrote what the other read', async () => {
    const [a, b] = [begin(), begin()];
    read(a, 1);
    read(b, 2);
    write(a, 2);
    write(b, 1);
    expect(await fate(a)).toBe('committed');
    expect(await fate(b)).toBe('40001');
  });

  it('a range counts as far as the scan has come', async () => {
    const [a, b] = [begin(), begin()];
    // both come to about key 10 of the range from 0 to 90
    scan(a, { lower: key(0), upper: key(90) }, 10);
    scan(b, { lower: key(0), upper: key(90) }, 10);
    insert(a, 50);
    insert(b, 60);
    expect([await fate(a), await fate(b)]).toEqual(['committed', 'committed']);
    const [c, d] = [begin(), begin()];
    scan(c, { lower: key(0), upper: key(90), reverse: true }, 10);
    scan(d, { lower: key(0), upper: key(90), reverse: true }, 10);
    insert(c, 85);
    insert(d, 86);
    expect([await fate(c), await fate(d)].sort()).toEqual(['40001', 'committed']);
  });

  it('keeps a bounded number of committed transactions, and what was summarised still counts', async () => {
    const long = begin();
    read(long, 0);
    for (let i = 0; i < 3000; i++) {
      const tx = begin();
      read(tx, 1 + (i % 50));
      write(tx, 50 + (i % 49));
      expect(await fate(tx)).toBe('committed');
    }
    expect(engine.serializable.counts.kept).toBeLessThanOrEqual(1024);
    // it reads, of its old snapshot, what a summarised one overwrote, and overwrites what that one read
    let error = '';
    try {
      read(long, 50);
      write(long, 1);
      error = await fate(long);
    } catch (caught) {
      error = (caught as { sqlstate: string }).sqlstate;
      long.rollback();
    }
    expect(error).toBe('40001');
    const next = begin();
    read(next, 0);
    await fate(next);
    expect(engine.serializable.counts).toEqual({ active: 0, kept: 0, registered: 0 });
  });

  it('many rows read become the whole storage, many written too', async () => {
    const big = engine.allocateStorageId();
    const load = engine.begin();
    const rows = Array.from({ length: 5000 }, () => load.insert(big, bytes('x')));
    await load.commit();
    const [a, b] = [begin(), begin()];
    const snapshot = a.takeSnapshot();
    for (const id of rows) void a.get(big, id, snapshot);
    expect(engine.serializable.counts.registered).toBeLessThan(3000);
    read(b, 3);
    write(a, 3);
    b.insert(big, bytes('y'));
    expect([await fate(a), await fate(b)].sort()).toEqual(['40001', 'committed']);
  });

  it('registers nothing at lower levels, and nothing for a READ ONLY one that is alone', async () => {
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    for (const tx of [engine.begin(), engine.begin({ isolation: 'repeatable read' }), begin(true)]) {
      const snapshot = tx.takeSnapshot();
      tx.scan(table, snapshot).fill(block, 10);
      read(tx, 4);
      expect(engine.serializable.counts.registered).toBe(0);
      await tx.commit();
    }
  });
});

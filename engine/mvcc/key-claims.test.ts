/** Unique keys of bulk loads: who has a key already is found, wherever it stands; who wants one meanwhile waits for the load. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { Pending } from '../pending.js';
import { nodeRuntime } from '../runtime-node.js';
import type { BulkLoader, KeyCursor, SortedKeys, Storage, Transaction } from '../storage.js';

const base = mkdtempSync(join(tmpdir(), 'oxbow-claims-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const EMPTY = new Uint8Array(0);
const keyOf = (n: number): Uint8Array => Uint8Array.of(2, n >>> 24, n >>> 16, n >>> 8, n);

/** Keys of these numbers, sorted; the nth number's row id is `first` and n. */
function keysOf(numbers: readonly number[], first: number): SortedKeys {
  const entries = numbers.map((n, i) => ({ n, rowId: first + i })).sort((a, b) => a.n - b.n || a.rowId - b.rowId);
  const bytes = new Uint8Array(Buffer.concat(entries.map(({ n }) => keyOf(n))));
  return {
    has: (key) => entries.some(({ n }) => Buffer.compare(keyOf(n), key) === 0),
    cursor: () => {
      let at = -1;
      const cursor: KeyCursor = {
        bytes, start: 0, length: 5, payloadLength: 0, rowId: 0,
        next() {
          if (++at >= entries.length) return false;
          cursor.start = 5 * at;
          cursor.rowId = entries[at]!.rowId;
          return true;
        },
      };
      return cursor;
    },
  };
}

describe.each(['thread', 'inline', 'memory'] as const)('keys of loads, %s', (kind) => {
  let engine: Storage;
  let table: StorageId;
  let index: StorageId;
  let opened = 0;
  beforeEach(async () => {
    engine = await openEngine(nodeRuntime(), kind === 'memory' ? { memory: true } : { directory: join(base, `${kind}-${++opened}`), applier: kind });
    table = engine.allocateStorageId();
    index = engine.allocateStorageId();
    return () => engine.close();
  });

  const waits: Pending[] = [];
  const host = {
    wait: async (pending: Pending): Promise<void> => {
      waits.push(pending);
      await pending.until;
    },
    turn: () => undefined,
  };

  function insert(tx: Transaction, n: number): Pending | 'free' | { rowId: RowId } {
    const probed = tx.probeUnique(index, keyOf(n));
    if (probed === 'free') tx.putIndexEntry(index, keyOf(n), tx.insert(table, keyOf(n)), EMPTY);
    return probed;
  }

  /** Loads the rows and claims their keys; `finish` puts them. */
  async function load(tx: Transaction, numbers: readonly number[]): Promise<{ loader: BulkLoader; first: number; taken: Promise<RowId | undefined>; finish(): Promise<void> }> {
    const loader = tx.bulkLoader(table)!;
    const ids = numbers.map((n) => loader.insert(table, keyOf(n), 5));
    const keys = keysOf(numbers, ids[0]!);
    return {
      loader, first: ids[0]!,
      taken: loader.claim(index, keys, () => false, host),
      finish: async () => {
        for (const cursor = keys.cursor(); cursor.next(); ) loader.put(index, cursor.bytes, cursor.start, cursor.length, cursor.rowId as RowId, EMPTY);
        await loader.finish();
        loader.release();
      },
    };
  }

  const many = (from: number, count: number, step = 1): number[] => Array.from({ length: count }, (_, i) => from + i * step);

  it('that repeat, that the state has, and that were committed a moment ago', async () => {
    const first = engine.begin();
    const loaded = await load(first, many(0, 3000, 2));
    expect(await loaded.taken).toBeUndefined();
    await loaded.finish();
    await first.commit();
    // In the state by now, among thousands.
    let tx = engine.begin();
    let next = await load(tx, [...many(10_001, 2000), 777, 776, 1]);
    expect(await next.taken).toBe(next.first + 2001);
    next.loader.release();
    tx.rollback();
    tx = engine.begin();
    next = await load(tx, [...many(1, 3000, 2), 5001, 7]);
    expect(await next.taken).toBe(next.first + 3000);
    next.loader.release();
    tx.rollback();
    // Not applied yet.
    const single = engine.begin();
    expect(insert(single, 501)).toBe('free');
    await single.commit();
    tx = engine.begin();
    next = await load(tx, many(1, 3000, 2));
    expect(await next.taken).toBe(next.first + 250);
    next.loader.release();
    tx.rollback();
    // Free again once what was there is deleted.
    const remover = engine.begin();
    const found = remover.probeUnique(index, keyOf(4));
    if (found === 'free' || found instanceof Pending) throw new Error('4 is not there');
    remover.lockRow(table, found.rowId, 'update', 'wait', remover.takeSnapshot());
    remover.deleteIndexEntry(index, keyOf(4), found.rowId);
    remover.delete(table, found.rowId);
    await remover.commit();
    tx = engine.begin();
    next = await load(tx, [4, 9]);
    expect(await next.taken).toBeUndefined();
    await next.finish();
    await tx.commit();
  });

  it('of its own transaction, written before', async () => {
    const tx = engine.begin();
    expect(insert(tx, 5)).toBe('free');
    const next = await load(tx, [4, 5, 6]);
    expect(await next.taken).toBe(next.first + 1);
    next.loader.release();
    tx.rollback();
  });

  it.each(['commit', 'rollback'] as const)('that a rival has inserted and not decided: %s', async (end) => {
    const rival = engine.begin();
    expect(insert(rival, 50)).toBe('free');
    const tx = engine.begin();
    waits.length = 0;
    const next = await load(tx, many(0, 100));
    let done = false;
    void next.taken.then(() => (done = true));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(waits.length).toBeGreaterThan(0);
    expect(done).toBe(false);
    if (end === 'commit') await rival.commit();
    else rival.rollback();
    expect(await next.taken).toBe(end === 'commit' ? next.first + 50 : undefined);
    if (end === 'rollback') await next.finish();
    next.loader.release();
    await (end === 'commit' ? tx.rollback() : tx.commit());
  });

  it.each(['commit', 'rollback'] as const)('make rivals wait until their transaction ends: %s', async (end) => {
    const tx = engine.begin();
    const next = await load(tx, many(0, 100));
    expect(await next.taken).toBeUndefined();
    const rival = engine.begin();
    expect(insert(rival, 500)).toBe('free');
    // Claimed, on the way, in the state: at no time free.
    expect(insert(rival, 50)).toBeInstanceOf(Pending);
    const finished = next.finish();
    expect(insert(rival, 50)).toBeInstanceOf(Pending);
    await finished;
    const wait = insert(rival, 50);
    expect(wait).toBeInstanceOf(Pending);
    if (end === 'commit') await tx.commit();
    else tx.rollback();
    await (wait as Pending).until;
    const after = insert(rival, 50);
    if (end === 'commit') expect(after).toEqual({ rowId: next.first + 50 });
    else expect(after).toBe('free');
    await rival.commit();
  });

  it('that another load claims are waited for, in both orders of finishing', async () => {
    const [a, b] = [engine.begin(), engine.begin()];
    const one = await load(a, many(0, 100));
    expect(await one.taken).toBeUndefined();
    const other = await load(b, many(99, 100));
    let done = false;
    void other.taken.then(() => (done = true));
    await one.finish();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).toBe(false);
    await a.commit();
    expect(await other.taken).toBe(other.first);
    other.loader.release();
    b.rollback();
  });
});

import { expect, test } from 'vitest';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { RowCache } from './row-cache.js';

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
}

interface Kept { readonly stamp: number; readonly bytes: Uint8Array }

test.each([[1, 20_000], [2, 4_000], [3, 300_000], [4, 700]])('what it finds is what was put last, whatever was pushed out (seed %i, %i bytes)', (seed, size) => {
  const pick = random(seed);
  const cache = new RowCache(size);
  const rows = new Map<number, Kept>();
  const keys = new Map<number, Kept>();
  const keyOf = (n: number): Uint8Array => Uint8Array.of(1, n >> 8, n & 255, ...new Array<number>(n % 5).fill(7));
  let found = 0;
  for (let step = 0; step < 40_000; step++) {
    const n = 1 + pick(200);
    const stamp = step as Lsn;
    switch (pick(6)) {
      case 0: {
        const bytes = new Uint8Array(pick(120)).fill(step & 255);
        cache.putRow(5 as StorageId, n as RowId, stamp, 9 as Xid, bytes);
        rows.set(n, { stamp, bytes });
        break;
      }
      case 1:
        cache.putKey(6 as StorageId, keyOf(n), (n * 3) as RowId, stamp);
        keys.set(n, { stamp, bytes: keyOf(n) });
        break;
      case 2:
        cache.dropRow(5 as StorageId, n as RowId);
        rows.delete(n);
        break;
      case 3:
        cache.dropKey(6 as StorageId, keyOf(n));
        keys.delete(n);
        break;
      case 4: {
        const record = cache.findRow(5 as StorageId, n as RowId);
        if (record < 0) break;
        found++;
        expect(cache.stamp(record)).toBe(rows.get(n)?.stamp);
        expect(cache.tuple(record)).toEqual(rows.get(n)?.bytes);
        expect(cache.xid(record)).toBe(9);
        break;
      }
      default: {
        const record = cache.findKey(6 as StorageId, keyOf(n));
        if (record < 0) break;
        found++;
        expect(cache.stamp(record)).toBe(keys.get(n)?.stamp);
        expect(cache.rowId(record)).toBe(n * 3);
      }
    }
    expect(cache.findRow(6 as StorageId, n as RowId)).toBe(-1);
  }
  expect(found).toBeGreaterThan(size > 1000 ? 1000 : 20);
  cache.clear();
  for (let n = 1; n <= 200; n++) expect(cache.findRow(5 as StorageId, n as RowId)).toBe(-1);
});

test('with room for all nothing is lost', () => {
  const cache = new RowCache(1 << 20);
  for (let n = 1; n <= 3000; n++) cache.putRow(1 as StorageId, n as RowId, 1 as Lsn, 2 as Xid, Uint8Array.of(n & 255));
  for (let n = 1; n <= 3000; n++) expect(cache.tuple(cache.findRow(1 as StorageId, n as RowId))).toEqual(Uint8Array.of(n & 255));
});

test('with no room it keeps nothing', () => {
  const cache = new RowCache(0);
  cache.putRow(1 as StorageId, 1 as RowId, 1 as Lsn, 2 as Xid, Uint8Array.of(1));
  expect(cache.findRow(1 as StorageId, 1 as RowId)).toBe(-1);
});

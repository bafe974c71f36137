/** Rows in blocks against rows in a plain map: whatever is put, packed, changed and deleted, every way to read gives the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { compareBytes, readUint48 } from '../keycode.js';
import type { Chunk, Entry, KeyValueStore, KeyValueWriter } from '../kv/key-value-store.js';
import { LmdbKeyValueStore } from '../kv/lmdb.js';
import { MemoryKeyValueStore } from '../kv/memory.js';
import { Flag, heapKey, storagePrefix, verifyRow, writeRowValue } from '../mvcc/row-format.js';
import { BLOCK_KEY, GROUP_ROWS, ROW_BLOCK_MAX, RowGatherer } from './row-block.js';
import { PackedKeyValueStore } from './store.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-rows-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');
const STORAGES = [5, 6, 9] as const;
const HIGHEST = new Uint8Array(12).fill(0xff);
const key = (storage: number, row: number): Uint8Array => heapKey(new Uint8Array(12), storage as StorageId, row as RowId);

function valueOf(storage: number, row: number, flags: number, stamp: number, xid: number, tuple: Uint8Array): Uint8Array {
  const value = new Uint8Array(17 + tuple.length);
  writeRowValue(value, flags, stamp as Lsn, xid as Xid, tuple, key(storage, row));
  return value;
}

/** As the applier does it: groups that fit become blocks, the rest is put. */
function load(writer: KeyValueWriter, storage: number, rows: readonly { row: number; tuple: Uint8Array }[], flags: number, stamp: number, xid: number): number {
  const gathered = new RowGatherer();
  let blocks = 0;
  const put = (row: number, tuple: Uint8Array): void => writer.put('heap', key(storage, row), valueOf(storage, row, flags, stamp, xid, tuple));
  const end = (): void => {
    if (gathered.count === 0) return;
    const made = gathered.count > 2 && gathered.finish(flags, stamp, xid);
    if (made && writer.putRowBlock!(made.key, made.value)) blocks++;
    else gathered.forEach(put);
    gathered.clear();
  };
  for (const { row, tuple } of rows) {
    if (!gathered.continues(storage, row)) {
      end();
      gathered.begin(storage, row);
    }
    const padded = Buffer.concat([Uint8Array.of(1, 2), tuple, Uint8Array.of(3)]);
    if (!gathered.add(row, padded, 2, 2 + tuple.length)) put(row, tuple);
  }
  end();
  return blocks;
}

describe.each(['memory', 'lmdb'])('blocks of rows over %s', (kind) => {
  const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

  it(`are single rows to whoever reads (OXBOW_SEED=${seed})`, () => {
    let state = seed;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return Math.floor(((state >>> 8) / 2 ** 24) * n);
    };
    let blocks = 0;
    for (let round = 0; round < 3; round++) {
      const base = kind === 'memory' ? new MemoryKeyValueStore() : new LmdbKeyValueStore({ path: join(directory, `${round}.mdb`) });
      const store = new PackedKeyValueStore(base);
      const model = new Map<string, string>();
      const next = new Map<number, number>(STORAGES.map((storage) => [storage, storage === 9 ? 2 ** 40 + 5 : 0]));
      const someRow = (storage: number): number => Math.max(0, next.get(storage)! - below(60) + 3);
      for (let step = 0; step < 50; step++) {
        const former = new Map(model);
        const formerNext = new Map(next);
        const fails = below(10) === 0;
        try {
          store.write((writer) => {
            for (let n = 1 + below(4); n > 0; n--) {
              const storage = STORAGES[below(3)]!;
              const action = below(10);
              if (action < 4) {
                const rows: { row: number; tuple: Uint8Array }[] = [];
                for (let count = below(40); count > 0; count--) {
                  const row = next.get(storage)!;
                  next.set(storage, row + 1 + (below(6) === 0 ? below(10) : 0));
                  rows.push({ row, tuple: new Uint8Array(below(8) === 0 ? below(900) : below(60)).fill(row) });
                }
                // A record's rows come in any order.
                if (below(4) === 0) rows.sort((a, b) => (a.row % 3) - (b.row % 3));
                const flags = below(2) === 0 ? Flag.provisional : 0;
                blocks += load(writer, storage, rows, flags, 1000 + step, 70 + step);
                for (const { row, tuple } of rows) model.set(hex(key(storage, row))!, hex(valueOf(storage, row, flags, 1000 + step, 70 + step, tuple))!);
              } else if (action < 7) {
                for (let count = below(20); count > 0; count--) {
                  const row = someRow(storage);
                  const value = valueOf(storage, row, Flag.hasPrevious, 2000 + step, 9, new Uint8Array(below(50)).fill(7));
                  if (next.get(storage)! <= row) next.set(storage, row + 1);
                  writer.put('heap', key(storage, row), value);
                  model.set(hex(key(storage, row))!, hex(value)!);
                  expect(hex(writer.get('heap', key(storage, row)))).toBe(hex(value));
                }
              } else if (action < 9) {
                for (let count = below(30), row = someRow(storage); count > 0; count--, row += 1 + below(2)) {
                  expect(writer.delete('heap', key(storage, row))).toBe(model.delete(hex(key(storage, row))!));
                  expect(writer.get('heap', key(storage, row))).toBeUndefined();
                  const other = key(storage, row + 1);
                  expect(hex(writer.get('heap', other))).toBe(model.get(hex(other)!));
                }
                const chunk: Chunk = { keys: [], values: [] };
                writer.scan('heap', storagePrefix(storage), storagePrefix(storage + 1), false, Infinity, chunk);
                expect(chunk.keys.map((one) => hex(one))).toEqual([...model.keys()].filter((name) => readUint48(Buffer.from(name, 'hex'), 0) === storage).sort());
              } else if (below(5) === 0) {
                while (writer.clear('heap', storagePrefix(storage), storagePrefix(storage + 1), 1 + below(20)));
                for (const name of [...model.keys()]) if (readUint48(Buffer.from(name, 'hex'), 0) === storage) model.delete(name);
              }
            }
            if (fails) throw new Error('undone');
          });
        } catch (error) {
          if ((error as Error).message !== 'undone') throw error;
          model.clear();
          for (const [name, value] of former) model.set(name, value);
          for (const [storage, row] of formerNext) next.set(storage, row);
        }
        store.refresh();
        compare(store, model, below, someRow);
      }
      store.close();
    }
    expect(blocks).toBeGreaterThan(50);
  });

  it('is damaged as a whole, and named', () => {
    const base = kind === 'memory' ? new MemoryKeyValueStore() : new LmdbKeyValueStore({ path: join(directory, 'damage.mdb') });
    const store = new PackedKeyValueStore(base);
    const rows = Array.from({ length: 400 }, (_, row) => ({ row, tuple: new Uint8Array(40).fill(row) }));
    store.write((writer) => {
      expect(load(writer, 5, rows, Flag.provisional, 10, 11)).toBe(50);
    });
    store.refresh();
    expect(base.entryCount('heap')).toBe(51);
    const stored: Chunk = { keys: [], values: [] };
    base.scan('heap', storagePrefix(5), storagePrefix(6), false, Infinity, stored);
    for (let n = 0; n < 200; n++) {
      const at = 1 + (n % 50);
      const bad = stored.values[at]!.slice();
      bad[(n * 7919) % bad.length]! ^= 1 << (n & 7);
      expect(stored.keys[at]!.length).toBe(BLOCK_KEY);
      base.write((writer) => writer.put('heap', stored.keys[at]!, bad));
      store.refresh();
      const row = (at - 1) * GROUP_ROWS + 3;
      const chunk: Chunk = { keys: [], values: [] };
      expect(() => store.get('heap', key(5, row))).toThrow('does not match its checksum');
      expect(() => store.scan('heap', storagePrefix(5), storagePrefix(6), false, Infinity, chunk)).toThrow('does not match its checksum');
      const told: string[] = [];
      store.onDamage = (_, damaged) => told.push(hex(damaged)!);
      chunk.keys.length = chunk.values.length = 0;
      store.scan('heap', storagePrefix(5), storagePrefix(6), false, Infinity, chunk);
      expect(told).toEqual([hex(stored.keys[at]!)]);
      expect(chunk.keys.length).toBe(392);
      store.onDamage = undefined;
      base.write((writer) => writer.put('heap', stored.keys[at]!, stored.values[at]!));
    }
    // A damaged page may show keys that are neither of rows nor of blocks (a scan that waited for the one or the other never ended):
    // they come as they are, for `oxbow verify` to name.
    for (const odd of [key(5, 100).slice(0, 9), Uint8Array.of(...key(5, 207), 255, 7)]) {
      base.write((writer) => writer.put('heap', odd, Uint8Array.of(1, 2, 3)));
      store.refresh();
      for (const max of [7, Infinity]) {
        const names: string[] = [];
        for (let from = storagePrefix(5); ; ) {
          const chunk: Chunk = { keys: [], values: [] };
          const got = store.scan('heap', from, storagePrefix(6), false, max, chunk);
          names.push(...chunk.keys.map((one) => hex(one)!));
          if (got < max) break;
          from = Uint8Array.of(...chunk.keys.at(-1)!, 0);
        }
        expect(names.length).toBe(401);
        expect(names.filter((name) => name === hex(odd))).toHaveLength(1);
      }
      let walked = 0;
      store.bulk((walker) => walker.walk('heap', storagePrefix(5), storagePrefix(6), () => ++walked < 0));
      expect(walked).toBe(401);
      base.write((writer) => void writer.delete('heap', odd));
    }
    // Under another block's key it is as bad.
    base.write((writer) => writer.put('heap', stored.keys[1]!, stored.values[2]!));
    store.refresh();
    expect(() => store.get('heap', key(5, 1))).toThrow('does not match its checksum');
    store.close();
  });
});

it('a block is as long as it may be, no longer', () => {
  const gathered = new RowGatherer();
  gathered.begin(3, 8);
  let row = 8;
  while (row < 16 && gathered.add(row, new Uint8Array(300), 0, 300)) row++;
  expect(row).toBe(12);
  expect(gathered.finish(0, 1, 2).value.length).toBeLessThanOrEqual(ROW_BLOCK_MAX);
});

function compare(store: KeyValueStore, model: ReadonlyMap<string, string>, below: (n: number) => number, someRow: (storage: number) => number): void {
  const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
  const range = (lower: Uint8Array, upper: Uint8Array): [string, string][] => sorted.filter(([name]) => name >= hex(lower)! && name < hex(upper)!);
  const bound = (): Uint8Array => {
    const storage = STORAGES[below(3)]!;
    return below(4) === 0 ? storagePrefix(storage + below(2)) : key(storage, someRow(storage));
  };
  for (let n = 0; n < 8; n++) {
    const [a, b] = [bound(), n === 0 ? HIGHEST : bound()];
    const [lower, upper] = compareBytes(a, b) <= 0 ? [a, b] : [b, a];
    const expected = range(lower, upper);
    for (const reverse of [false, true]) {
      const max = below(2) === 0 ? 1 + below(30) : 2000;
      const chunk: Chunk = { keys: [], values: [] };
      expect(store.scan('heap', lower, upper, reverse, max, chunk)).toBe(chunk.keys.length);
      const wanted = (reverse ? [...expected].reverse() : expected).slice(0, max);
      expect(chunk.keys.map((one, i) => [hex(one), hex(chunk.values[i])])).toEqual(wanted);
      chunk.keys.forEach((one, i) => verifyRow(chunk.values[i]!, one));
    }
    const entry: Entry = { key: new Uint8Array(0), value: new Uint8Array(0) };
    const first = range(lower, HIGHEST)[0];
    expect(store.seek('heap', lower, entry) ? [hex(entry.key), hex(entry.value)] : undefined).toEqual(first);
    const walked: unknown[] = [];
    const most = below(3) === 0 ? below(20) : Infinity;
    const all = store.bulk((walker) =>
      walker.walk('heap', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
        if (walked.length >= most) return true;
        walked.push([hex(keys.slice(keyStart, keyEnd)), hex(values.slice(valueStart, valueEnd))]);
        return false;
      }),
    );
    expect(walked).toEqual(expected.slice(0, most));
    expect(all).toBe(expected.length <= most);
    // A run is as long as there are no gaps.
    const storage = STORAGES[below(3)]!;
    const from = someRow(storage);
    const longest = 1 + below(40);
    const run: string[] = [];
    for (let row = from; run.length < longest; row++) {
      const value = model.get(hex(key(storage, row))!);
      if (value === undefined) break;
      run.push(value);
    }
    const values: Uint8Array[] = [];
    expect(store.run('heap', key(storage, from), longest, values)).toBe(run.length);
    expect(values.map((value) => hex(value))).toEqual(run);
  }
  for (let n = 0; n < 20; n++) {
    const storage = STORAGES[below(3)]!;
    const one = key(storage, someRow(storage));
    expect(hex(store.get('heap', one))).toBe(model.get(hex(one)!));
  }
  expect(store.entryCount('heap')).toBe(model.size);
}

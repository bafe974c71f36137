/** Entries in blocks against entries in a plain map: whatever is put, packed, deleted and cleared, every way to read gives the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compareBytes, readUint48, writeUint48 } from '../keycode.js';
import type { Chunk, Entry, KeyValueStore } from '../kv/key-value-store.js';
import { LmdbKeyValueStore } from '../kv/lmdb.js';
import { MemoryKeyValueStore } from '../kv/memory.js';
import { Flag, storagePrefix, verifyEntry, writeEntryValue } from '../mvcc/row-format.js';
import { BLOCK_MAX, BlockPacker, BlockView } from './block.js';
import { PackedKeyValueStore } from './store.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-packed-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

class Random {
  constructor(private state: number) {}

  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }
}

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');
const INDEXES = [5, 6, 9];
const HIGHEST = new Uint8Array(12).fill(0xff);

/** Keys of one index: numbers, texts of any length, or long ones; the row ids near each other or not. */
function someKey(random: Random, index: number): { key: Uint8Array; rowId: number } {
  const rowId = random.below(5) === 0 ? 2 ** 40 + random.below(1000) : random.below(3000);
  if (index === 5) {
    const key = new Uint8Array(5);
    key[0] = 2;
    new DataView(key.buffer).setUint32(1, random.below(4) === 0 ? random.below(2 ** 32) : random.below(2000));
    return { key, rowId };
  }
  // 0 ends a text, as in keycode.ts: none is another's beginning.
  const length = index === 9 && random.below(10) === 0 ? 90 + random.below(60) : random.below(7);
  return { key: Uint8Array.from({ length: length + 1 }, (_, i) => (i === length ? 0 : 97 + random.below(3))), rowId };
}

function fullKey(index: number, { key, rowId }: { key: Uint8Array; rowId: number }): Uint8Array {
  const full = new Uint8Array(12 + key.length);
  writeUint48(full, 0, index);
  full.set(key, 6);
  writeUint48(full, 6 + key.length, rowId);
  return full;
}

/** The map that it all has to look like. */
class Model {
  readonly entries = new Map<string, string>();
  private sorted: readonly [string, string][] = [];

  /** Nothing changes until the next call. */
  freeze(): void {
    this.sorted = [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.entries.set(hex(key)!, hex(value)!);
  }

  range(lower: Uint8Array, upper: Uint8Array): [string, string][] {
    const [from, to] = [hex(lower)!, hex(upper)!];
    return this.sorted.filter(([key]) => key >= from && key < to);
  }
}

function valueFor(key: Uint8Array, provisional: boolean, birth: number, stage: number, payload = new Uint8Array(0)): Uint8Array {
  const value = new Uint8Array(64);
  return value.slice(0, writeEntryValue(value, provisional ? Flag.provisional : 0, birth, payload, key, stage));
}

function compare(store: KeyValueStore, model: Model, random: Random): void {
  model.freeze();
  const bound = (): Uint8Array => {
    const kind = random.below(5);
    const index = INDEXES[random.below(3)]!;
    if (kind === 0) return storagePrefix(index + random.below(2));
    const full = fullKey(index, someKey(random, index));
    return kind === 1 ? full.slice(0, 6 + random.below(full.length - 6)) : full;
  };
  for (let n = 0; n < 6; n++) {
    const [a, b] = [bound(), n === 0 ? HIGHEST : bound()];
    const [lower, upper] = compareBytes(a, b) <= 0 ? [a, b] : [b, a];
    const expected = model.range(lower, upper);
    for (const reverse of [false, true]) {
      const max = random.below(2) === 0 ? 1 + random.below(40) : 1000;
      const chunk: Chunk = { keys: [], values: [] };
      expect(store.scan('index', lower, upper, reverse, max, chunk)).toBe(chunk.keys.length);
      const wanted = (reverse ? [...expected].reverse() : expected).slice(0, max);
      expect(chunk.keys.map((key, i) => [hex(key), hex(chunk.values[i])])).toEqual(wanted);
      chunk.keys.forEach((key, i) => verifyEntry(chunk.values[i]!, key));
    }
    const entry: Entry = { key: new Uint8Array(0), value: new Uint8Array(0) };
    const first = model.range(lower, HIGHEST)[0];
    expect(store.seek('index', lower, entry) ? [hex(entry.key), hex(entry.value)] : undefined).toEqual(first);
    const walked: unknown[] = [];
    const most = random.below(3) === 0 ? random.below(20) : Infinity;
    const all = store.bulk((walker) =>
      walker.walk('index', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
        if (walked.length >= most) return true;
        walked.push([hex(keys.slice(keyStart, keyEnd)), hex(values.slice(valueStart, valueEnd))]);
        return false;
      }),
    );
    expect(walked).toEqual(expected.slice(0, most));
    expect(all).toBe(expected.length <= most);
  }
  const keys = [...model.entries.keys()];
  for (let n = 0; n < 10; n++) {
    const key = n < 5 && keys.length > 0 ? Buffer.from(keys[random.below(keys.length)]!, 'hex') : fullKey(5, someKey(random, 5));
    expect(hex(store.get('index', key))).toBe(model.entries.get(hex(key)!));
  }
}

/** A load's sorted keys, as blocks; returns its entries. */
function pack(random: Random, index: number, count: number): { blocks: Uint8Array[]; keys: Uint8Array[] } {
  const made = Array.from({ length: count }, () => someKey(random, index));
  const sorted = made.map((one) => ({ ...one, full: fullKey(index, one) })).sort((a, b) => compareBytes(a.full, b.full)).filter((one, i, all) => i === 0 || compareBytes(one.full, all[i - 1]!.full) !== 0);
  const packer = new BlockPacker();
  const blocks: Uint8Array[] = [];
  const keys: Uint8Array[] = [];
  const finish = (): void => {
    if (packer.count > 0) blocks.push(packer.bytes.slice(0, packer.finish()));
  };
  for (const { key, rowId, full } of sorted) {
    if (!packer.add(key, 0, key.length, rowId)) {
      finish();
      if (!packer.add(key, 0, key.length, rowId)) continue;
    }
    keys.push(full);
  }
  finish();
  return { blocks, keys };
}

describe.each(['memory', 'lmdb'])('blocks over %s', (kind) => {
  const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

  it(`is a plain map to whoever reads (OXBOW_SEED=${seed})`, () => {
    const random = new Random(seed);
    for (let round = 0; round < 2; round++) {
      const base = kind === 'memory' ? new MemoryKeyValueStore() : new LmdbKeyValueStore({ path: join(directory, `${round}.mdb`) });
      const store = new PackedKeyValueStore(base);
      const model = new Model();
      let blocks = 0;
      for (let step = 0; step < 45; step++) {
        const former = new Map(model.entries);
        const fails = random.below(12) === 0;
        try {
          store.write((writer) => {
            for (let n = 1 + random.below(4); n > 0; n--) {
              const index = INDEXES[random.below(3)]!;
              const action = random.below(10);
              const lsn = 1000 + step;
              if (action < 3) {
                const load = pack(random, index, random.below(3) === 0 ? 400 : random.below(30));
                // As the applier does it: entries of a load are of one transaction and record.
                const provisional = random.below(4) > 0;
                for (const block of load.blocks) writer.putPacked!(index, block, provisional ? Flag.provisional : 0, 70 + step, provisional ? lsn : 0);
                for (const key of load.keys) model.set(key, valueFor(key, provisional, 70 + step, lsn));
                blocks += load.blocks.length;
              } else if (action < 7) {
                for (let i = random.below(30); i > 0; i--) {
                  const keys = [...model.entries.keys()];
                  const key = random.below(3) === 0 && keys.length > 0 ? new Uint8Array(Buffer.from(keys[random.below(keys.length)]!, 'hex')) : fullKey(index, someKey(random, index));
                  const value = valueFor(key, false, lsn, 0, new Uint8Array(random.below(3)));
                  writer.put('index', key, value);
                  model.set(key, value);
                  expect(hex(writer.get('index', key))).toBe(hex(value));
                }
              } else if (action < 9) {
                const keys = [...model.entries.keys()].sort();
                const from = random.below(keys.length + 1);
                for (const name of [...keys.slice(from, from + random.below(60)), hex(fullKey(index, someKey(random, index)))!]) {
                  expect(writer.delete('index', new Uint8Array(Buffer.from(name, 'hex')))).toBe(model.entries.delete(name));
                }
              } else if (random.below(4) === 0) {
                while (writer.clear('index', storagePrefix(index), storagePrefix(index + 1), 1 + random.below(50)));
                for (const name of [...model.entries.keys()]) if (readUint48(Buffer.from(name, 'hex'), 0) === index) model.entries.delete(name);
              } else {
                const key = fullKey(12, { key: Uint8Array.of(step), rowId: n });
                const value = valueFor(key, false, lsn, 0);
                model.freeze();
                const behind = model.range(key, HIGHEST).length === 0;
                expect(writer.append('index', key, value)).toBe(behind);
                if (behind) model.set(key, value);
              }
            }
            if (fails) throw new Error('undone');
          });
        } catch (error) {
          if ((error as Error).message !== 'undone') throw error;
          model.entries.clear();
          for (const [key, value] of former) model.entries.set(key, value);
        }
        store.refresh();
        compare(store, model, random);
        expect(store.entryCount('index')).toBe(model.entries.size);
      }
      expect(blocks).toBeGreaterThan(10);
      store.close();
    }
  });

  it('holds a sorted load in few values, and takes it apart where it changes', () => {
    const base = kind === 'memory' ? new MemoryKeyValueStore() : new LmdbKeyValueStore({ path: join(directory, 'few.mdb') });
    const store = new PackedKeyValueStore(base);
    const packer = new BlockPacker();
    const key = new Uint8Array(5);
    const blocks: Uint8Array[] = [];
    for (let i = 0; i < 20_000; i++) {
      new DataView(key.buffer).setUint32(1, i);
      if (packer.add(key, 0, 5, i)) continue;
      blocks.push(packer.bytes.slice(0, packer.finish()));
      packer.add(key, 0, 5, i);
    }
    blocks.push(packer.bytes.slice(0, packer.finish()));
    store.write((writer) => blocks.forEach((block) => writer.putPacked!(7, block, Flag.provisional, 9, 10)));
    store.refresh();
    expect(store.entryCount('index')).toBe(20_000);
    expect(base.entryCount('index')).toBeLessThan(110);
    const before = base.entryCount('index');
    new DataView(key.buffer).setUint32(1, 10_000);
    const middle = fullKey(7, { key, rowId: 10_000 });
    store.write((writer) => {
      expect(writer.delete('index', middle)).toBe(true);
      writer.put('index', middle, valueFor(middle, false, 11, 0));
    });
    store.refresh();
    expect(base.entryCount('index')).toBe(before + 2);
    expect(store.entryCount('index')).toBe(20_000);
    store.close();
  });

  it('a damaged block is named and nothing of it is served', () => {
    const seeded = new Random(seed + 1);
    const base = kind === 'memory' ? new MemoryKeyValueStore() : new LmdbKeyValueStore({ path: join(directory, 'damage.mdb') });
    const store = new PackedKeyValueStore(base);
    const load = pack(seeded, 5, 3000);
    store.write((writer) => load.blocks.forEach((block) => writer.putPacked!(5, block, Flag.provisional, 9, 10)));
    store.refresh();
    const stored: Chunk = { keys: [], values: [] };
    base.scan('index', storagePrefix(5), storagePrefix(6), false, Infinity, stored);
    // Behind the mark.
    for (let n = 0; n < 60; n++) {
      const at = 1 + seeded.below(stored.keys.length - 1);
      const bad = stored.values[at]!.slice();
      bad[seeded.below(bad.length)]! ^= 1 << seeded.below(8);
      // Without its flag it is a single entry, with a check of another kind.
      if (!(bad[0]! & stored.values[at]![0]! & Flag.block)) continue;
      base.write((writer) => writer.put('index', stored.keys[at]!, bad));
      store.refresh();
      const chunk: Chunk = { keys: [], values: [] };
      expect(() => store.scan('index', storagePrefix(5), storagePrefix(6), false, Infinity, chunk)).toThrow('does not match its checksum');
      expect(() => store.get('index', stored.keys[at]!)).toThrow('does not match its checksum');
      const told: string[] = [];
      store.onDamage = (_, key) => told.push(hex(key)!);
      chunk.keys.length = chunk.values.length = 0;
      store.scan('index', storagePrefix(5), storagePrefix(6), false, Infinity, chunk);
      expect(told).toEqual([hex(stored.keys[at]!)]);
      const lost = new BlockView().open(stored.values[at]!, 17, stored.values[at]!.length).count;
      expect(chunk.keys.length).toBe(load.keys.length - lost);
      store.onDamage = undefined;
      base.write((writer) => writer.put('index', stored.keys[at]!, stored.values[at]!));
    }
    // Under another block's key it is as bad.
    base.write((writer) => writer.put('index', stored.keys[1]!, stored.values[2]!));
    store.refresh();
    expect(() => store.get('index', stored.keys[1]!)).toThrow('does not match its checksum');
    store.close();
  });
});

describe('a block of keys', () => {
  const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

  it(`gives back what was packed, by place and by search (OXBOW_SEED=${seed})`, () => {
    const random = new Random(seed);
    for (let round = 0; round < 100; round++) {
      const index = INDEXES[random.below(3)]!;
      const { blocks, keys } = pack(random, index, 1 + random.below(600));
      const found: string[] = [];
      const scratch = new Uint8Array(300);
      for (const block of blocks) {
        expect(block.length).toBeLessThanOrEqual(BLOCK_MAX);
        const view = new BlockView().open(block, 0, block.length);
        const own: Uint8Array[] = [];
        for (let i = 0; i < view.count; i++) {
          const key = scratch.slice(0, view.key(i, scratch, 0));
          expect(key.length).toBe(view.keyLength(i));
          expect(readUint48(key, key.length - 6)).toBe(view.rowId(i));
          own.push(key);
          found.push(hex(key)!);
        }
        for (let n = 0; n < 20; n++) {
          const sought = n < 10 ? own[random.below(own.length)]! : fullKey(0, someKey(random, index)).slice(6);
          const cut = n % 3 === 0 ? sought.slice(0, random.below(sought.length + 1)) : sought;
          const expected = own.findIndex((key) => compareBytes(key, cut) >= 0);
          expect(view.lowerBound(cut, 0)).toBe(expected < 0 ? own.length : expected);
        }
      }
      expect(found).toEqual(keys.map((key) => hex(key.slice(6))));
    }
  });

  it('takes no key that does not come behind the last', () => {
    const packer = new BlockPacker();
    expect(packer.add(Uint8Array.of(5, 5), 0, 2, 10)).toBe(true);
    expect(packer.add(Uint8Array.of(5, 4), 0, 2, 11)).toBe(false);
    expect(packer.add(Uint8Array.of(5, 5), 0, 2, 10)).toBe(false);
    expect(packer.add(Uint8Array.of(5, 5, 5), 0, 3, 11)).toBe(false);
    expect(packer.add(Uint8Array.of(5), 0, 1, 11)).toBe(false);
    expect(packer.add(Uint8Array.of(5, 5), 0, 2, 11)).toBe(true);
    expect(packer.add(Uint8Array.of(5, 6), 0, 2, 1)).toBe(true);
    expect(packer.count).toBe(3);
  });

  it('bytes that are no block are refused', () => {
    for (const bytes of [[], [0, 0, 1], [0, 0, 0, 0, 0], [7, 0, 1, 0, 0, 1, 1], [0, 0, 9, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1], [1, 0, 2, 0, 1, 9, 0, 3, 0, 9, 1]])
      expect(() => new BlockView().open(Uint8Array.from(bytes), 0, bytes.length)).toThrow('is damaged');
  });
});

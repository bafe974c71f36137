import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Builder, Chunk, Keyspace } from './key-value-store.js';
import { LmdbKeyValueStore } from './lmdb.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-build-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const seed = Number(process.env.OXBOW_SEED ?? 31);
let state = seed;
function below(n: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

const LAST = new Uint8Array(1100).fill(0xff);
const SPACES = ['heap', 'index', 'values'] as const;
type Model = Map<string, Uint8Array>;

function someKey(): Uint8Array {
  return Uint8Array.from({ length: 1 + below(below(6) === 0 ? 1012 : 12) }, () => below(200));
}

const someValue = (): Uint8Array => Uint8Array.from({ length: below(25) === 0 ? below(30_000) : below(150) }, () => below(256));

function sorted(model: Model): [Uint8Array, Uint8Array][] {
  return [...model].map(([key, value]): [Uint8Array, Uint8Array] => [Buffer.from(key, 'hex'), value]).sort(([a], [b]) => Buffer.compare(a, b));
}

function addAll(builder: Builder, space: Keyspace, entries: readonly (readonly [Uint8Array, Uint8Array])[]): void {
  builder.begin(space);
  for (const [key, value] of entries) {
    const bytes = Buffer.concat([Buffer.alloc(3), key, value]);
    builder.add(bytes, 3, 3 + key.length, bytes.length);
  }
}

function check(kv: LmdbKeyValueStore, space: Keyspace, model: Model): void {
  const expected = sorted(model).map(([key, value]) => `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('base64')}`);
  const chunk: Chunk = { keys: [], values: [] };
  kv.scan(space, new Uint8Array(0), LAST, false, Infinity, chunk);
  expect(chunk.keys.map((key, i) => `${Buffer.from(key).toString('hex')} ${Buffer.from(chunk.values[i]!).toString('base64')}`)).toEqual(expected);
  const walked: string[] = [];
  kv.bulk((walker) =>
    walker.walk(space, new Uint8Array(0), LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      walked.push(`${Buffer.from(keys.subarray(keyStart, keyEnd)).toString('hex')} ${Buffer.from(values.subarray(valueStart, valueEnd)).toString('base64')}`);
      return false;
    }),
  );
  expect(walked).toEqual(expected);
  expect(kv.entryCount(space)).toBe(expected.length);
}

describe(`trees built page by page (seed ${seed})`, () => {
  for (const [pageSize, entries] of [[4096, 0], [4096, 1], [4096, 40], [4096, 4000], [4096, 10_000], [8192, 3000], [16384, 5000]] as const)
    it(`are LMDB's own: ${entries} entries, pages of ${pageSize} bytes`, async () => {
      const path = join(directory, `${pageSize}-${entries}.mdb`);
      const kv = new LmdbKeyValueStore({ path, pageSize });
      kv.write((writer) => writer.put('meta', Uint8Array.of(1), Uint8Array.of(2)));
      const models = SPACES.map((space): Model => new Map(Array.from({ length: space === 'values' ? entries >> 4 : entries }, () => [Buffer.from(someKey()).toString('hex'), someValue()])));
      expect(await kv.fill(async (builder) => SPACES.forEach((space, i) => addAll(builder, space, sorted(models[i]!))))).toBe(true);
      SPACES.forEach((space, i) => check(kv, space, models[i]!));
      expect(kv.get('meta', Uint8Array.of(1))).toEqual(Uint8Array.of(2));
      // LMDB works on with them: splits, merges, freed pages.
      for (let round = 0; round < 8; round++) {
        kv.write((writer) => {
          for (let i = 0; i < 300; i++) {
            const model = models[below(3)]!;
            const space = SPACES[models.indexOf(model)]!;
            const known = [...model.keys()];
            const key = below(2) === 0 && known.length > 0 ? Buffer.from(known[below(known.length)]!, 'hex') : someKey();
            if (below(2) === 0) {
              writer.delete(space, key);
              model.delete(Buffer.from(key).toString('hex'));
            } else {
              const value = someValue();
              writer.put(space, key, value);
              model.set(Buffer.from(key).toString('hex'), value);
            }
          }
        });
        kv.refresh();
      }
      SPACES.forEach((space, i) => check(kv, space, models[i]!));
      await kv.sync();
      kv.close();
      const again = new LmdbKeyValueStore({ path });
      SPACES.forEach((space, i) => check(again, space, models[i]!));
      // There is something now: it is not filled.
      if (entries > 1) expect(await again.fill(() => Promise.reject(new Error('not called')))).toBe(false);
      again.close();
    }, 60_000);

  it('do not take what is out of order, and leave the store as it was', async () => {
    const kv = new LmdbKeyValueStore({ path: join(directory, 'order.mdb') });
    kv.write((writer) => writer.put('meta', Uint8Array.of(1), Uint8Array.of(2)));
    const pair = (n: number): readonly [Uint8Array, Uint8Array] => [Uint8Array.of(n), Uint8Array.of(n)];
    expect(await kv.fill(async (builder) => addAll(builder, 'heap', [pair(1), pair(3), pair(2)]))).toBe(false);
    expect(await kv.fill(async (builder) => addAll(builder, 'heap', [pair(1), pair(1)]))).toBe(false);
    await expect(kv.fill(async (builder) => {
      addAll(builder, 'heap', [pair(1)]);
      throw new Error('mine');
    })).rejects.toThrow('mine');
    check(kv, 'heap', new Map());
    expect(kv.get('meta', Uint8Array.of(1))).toEqual(Uint8Array.of(2));
    kv.write((writer) => writer.put('heap', Uint8Array.of(7), Uint8Array.of(8)));
    check(kv, 'heap', new Map([['07', Uint8Array.of(8)]]));
    kv.close();
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Chunk, KeyValueStore } from './key-value-store.js';
import { LmdbKeyValueStore } from './lmdb.js';
import { MemoryKeyValueStore } from './memory.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-kv-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function seeded(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const hex = (list: Uint8Array[]): string[] => list.map((bytes) => Buffer.from(bytes).toString('hex'));

describe('LMDB against the memory model', () => {
  const seed = Number(process.env.OXBOW_SEED ?? 77);
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const someKey = (): Uint8Array => Uint8Array.from({ length: 1 + below(4) }, () => [0, 1, 97, 255][below(4)]!);

  it(`reads, scans and undoes alike (seed ${seed})`, () => {
    const lmdb = new LmdbKeyValueStore({ path: join(directory, 'a.mdb') });
    const memory = new MemoryKeyValueStore();
    for (let round = 0; round < 300; round++) {
      const operations = Array.from({ length: below(20) }, () => ({ key: someKey(), value: random() < 0.3 ? undefined : new Uint8Array(below(3) === 0 ? below(20_000) : below(30)).fill(below(256)) }));
      for (const store of [lmdb, memory] as KeyValueStore[])
        store.write((writer) => {
          for (const { key, value } of operations) {
            if (value) writer.put('heap', key, value);
            else writer.delete('heap', key);
            expect(writer.get('heap', key)?.length).toBe(value?.length);
          }
        });
      lmdb.refresh();
      const key = someKey();
      const both = [lmdb.get('heap', key), memory.get('heap', key)] as const;
      expect(both[0] && Buffer.from(both[0]).toString('hex')).toBe(both[1] && Buffer.from(both[1]).toString('hex'));
      const [lower, upper] = [someKey(), someKey()];
      const max = 1 + below(10);
      const reverse = random() < 0.5;
      const chunks = [lmdb, memory].map((store) => {
        const chunk: Chunk = { keys: [], values: [] };
        const count = Buffer.compare(lower, upper) < 0 ? store.scan('heap', lower, upper, reverse, max, chunk) : 0;
        expect(count).toBe(chunk.keys.length);
        return chunk;
      }) as [Chunk, Chunk];
      // Copies must survive later reads.
      lmdb.get('heap', someKey());
      expect(hex(chunks[0].keys)).toEqual(hex(chunks[1].keys));
      expect(hex(chunks[0].values)).toEqual(hex(chunks[1].values));
    }
    lmdb.close();
  });

  it('takes shared memory, empty values and values beyond the read buffer', async () => {
    const store = new LmdbKeyValueStore({ path: join(directory, 'b.mdb') });
    const shared = new Uint8Array(new SharedArrayBuffer(100)).fill(3);
    const large = new Uint8Array(5_000_000).fill(9);
    store.write((writer) => {
      writer.put('heap', Uint8Array.of(1), shared);
      writer.put('heap', Uint8Array.of(2), new Uint8Array(0));
      writer.put('heap', Uint8Array.of(3), large);
    });
    await store.sync();
    expect(store.get('heap', Uint8Array.of(1))).toEqual(new Uint8Array(100).fill(3));
    expect(store.get('heap', Uint8Array.of(2))?.length).toBe(0);
    expect(Buffer.compare(store.get('heap', Uint8Array.of(3))!, large)).toBe(0);
    expect(store.get('heap', Uint8Array.of(1))!.length).toBe(100);
    expect(() => store.write((() => Promise.resolve()) as unknown as () => void)).toThrow('must be synchronous');
    store.close();
  });
});

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { DatabaseError } from '../errors.js';
import { crc32 } from '../log/checksum.js';
import type { FileHandle } from '../runtime.js';
import type { Chunk, Keyspace } from './key-value-store.js';
import { LmdbPages } from './lmdb-pages.js';
import { LmdbKeyValueStore } from './lmdb.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-pages-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const seed = Number(process.env.OXBOW_SEED ?? 4711);
let state = seed;
function below(n: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

const LOWEST = new Uint8Array(0);
const LAST = new Uint8Array(20).fill(0xff);
const someKey = (): Uint8Array => Uint8Array.from({ length: 1 + below(below(8) === 0 ? 900 : 5) }, () => below(4) * 80);

function walked(kv: LmdbKeyValueStore, space: Keyspace, lower: Uint8Array, upper: Uint8Array, max = Infinity): { entries: string[]; all: boolean } {
  const entries: string[] = [];
  const all = kv.bulk((walker) =>
    walker.walk(space, lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      entries.push(`${Buffer.from(keys.subarray(keyStart, keyEnd)).toString('hex')} ${Buffer.from(values.subarray(valueStart, valueEnd)).toString('base64')}`);
      return entries.length >= max;
    }),
  );
  return { entries, all };
}

function scanned(kv: LmdbKeyValueStore, space: Keyspace, lower: Uint8Array, upper: Uint8Array): string[] {
  const chunk: Chunk = { keys: [], values: [] };
  kv.scan(space, lower, upper, false, Infinity, chunk);
  return chunk.keys.map((key, i) => `${Buffer.from(key).toString('hex')} ${Buffer.from(chunk.values[i]!).toString('base64')}`);
}

describe(`pages read from the file (seed ${seed})`, () => {
  for (const pageSize of [4096, 8192, 16384])
    it(`hold what scans find, in pages of ${pageSize} bytes`, () => {
      const kv = new LmdbKeyValueStore({ path: join(directory, `p${pageSize}.mdb`), pageSize });
      expect(kv.readsPages).toBe(true);
      for (const space of ['heap', 'deleted'] as const) expect(walked(kv, space, LOWEST, LAST)).toEqual({ entries: [], all: true });
      for (let round = 0; round < 60; round++) {
        kv.write((writer) => {
          for (let i = below(400); i >= 0; i--) {
            const space = (['heap', 'deleted', 'values'] as const)[below(3)]!;
            if (below(4) === 0) writer.delete(space, someKey());
            else writer.put(space, someKey(), new Uint8Array(below(20) === 0 ? below(40_000) : below(200)).fill(below(256)));
          }
        });
        for (const space of ['heap', 'deleted', 'values'] as const) {
          let [lower, upper] = below(4) === 0 ? [LOWEST, LAST] : [someKey(), someKey()];
          if (Buffer.compare(lower, upper) > 0) [lower, upper] = [upper, lower];
          const expected = scanned(kv, space, lower, upper);
          expect(walked(kv, space, lower, upper)).toEqual({ entries: expected, all: true });
          const max = 1 + below(10);
          const some = walked(kv, space, lower, upper, max);
          expect(some.entries).toEqual(expected.slice(0, max));
          expect(some.all).toBe(expected.length < max);
        }
      }
      kv.close();
    });

  it('see exactly the state that other reads see, beside a writer', async () => {
    const path = join(directory, 'written.mdb');
    const kv = new LmdbKeyValueStore({ path });
    const entry = fileURLToPath(new URL('../../dist/test/harness/kv-writer.js', import.meta.url)).replace('/dist/dist/', '/dist/');
    const writer = spawn(process.execPath, [entry, path, String(seed)], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => writer.stdout.once('data', resolve));
      const states = new Set<string>();
      const until = performance.now() + 4000;
      while (performance.now() < until) {
        kv.bulk((walker) => {
          const said = Buffer.from(kv.get('meta', Uint8Array.of(1))?.slice() ?? Buffer.from('[]')).toString();
          states.add(said);
          const found = (['heap', 'index', 'deleted'] as const).map((space) => {
            let [count, sum] = [0, 0];
            walker.walk(space, LOWEST, LAST, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
              count++;
              sum += crc32(values.subarray(valueStart, valueEnd), crc32(keys.subarray(keyStart, keyEnd)));
              return false;
            });
            return [count, sum];
          });
          if (said !== '[]') expect(JSON.stringify(found)).toBe(said);
        });
        await new Promise((resolve) => setTimeout(resolve, below(5)));
      }
      // The writer went on meanwhile.
      expect(states.size).toBeGreaterThan(10);
    } finally {
      writer.stdin.end();
      await new Promise((resolve) => writer.once('exit', resolve));
      kv.close();
    }
  }, 20_000);

  it('are either read or refused when they are damaged', async () => {
    const path = join(directory, 'damaged.mdb');
    const kv = new LmdbKeyValueStore({ path });
    for (let round = 0; round < 10; round++)
      kv.write((writer) => {
        for (let i = 0; i < 500; i++) writer.put('heap', someKey(), new Uint8Array(below(20) === 0 ? below(20_000) : below(200)));
      });
    await kv.sync();
    kv.close();
    const whole = readFileSync(path);
    const pages = whole.length / 4096;
    let refused = 0;
    let other = 0;
    const read = (bytes: Buffer): number => {
      const reader = LmdbPages.open(memoryFile(bytes));
      const newest = reader?.newest();
      if (!reader || !newest) return -1;
      const heap = reader.trees(newest).get('heap');
      let count = 0;
      if (heap) reader.walk(heap, LOWEST, LAST, () => (count++, false));
      return count;
    };
    const expected = read(whole);
    expect(expected).toBeGreaterThan(1000);
    for (let i = 0; i < 3000; i++) {
      const bytes = Buffer.from(whole);
      // Mostly in page heads and the places of their nodes, where the structure is.
      for (let flips = 1 + below(3); flips > 0; flips--) bytes[below(pages) * 4096 + below(below(2) === 0 ? 64 : 4096)]! ^= 1 << below(8);
      const cut = below(20) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
      try {
        if (read(cut) !== expected) other++;
      } catch (error) {
        expect(error).toBeInstanceOf(DatabaseError);
        expect((error as DatabaseError).sqlstate).toBe('XX001');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
    // Entries that go missing are found by whoever counts them; here they must only be rare.
    expect(other).toBeLessThan(refused);
  }, 60_000);
});

function memoryFile(bytes: Buffer): FileHandle {
  const file: Partial<FileHandle> = { readSync: (buffer, position) => (position >= bytes.length ? 0 : bytes.copy(buffer, 0, position, position + buffer.length)) };
  return file as FileHandle;
}

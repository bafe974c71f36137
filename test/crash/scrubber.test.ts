/** The scrubber in a running server: beside writers it finds nothing, damage it names, and statements on what is damaged fail. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, it } from 'vitest';
import { readUint48 } from '../../engine/keycode.js';
import type { Chunk } from '../../engine/kv/key-value-store.js';
import { openStateFile } from '../../engine/packed/open.js';
import { runCommand } from '../harness/command.js';
import { mainEntry } from '../harness/entry.js';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-scrub-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function connect(server: TestServer): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

// The harness' server takes a free ops port only when told; a fixed one is asked of the system here.
async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

async function start(args: string[] = []): Promise<{ server: TestServer; ops: string }> {
  const port = await freePort();
  const server = await startTestServer({ directory, args: ['--ops-port', String(port), ...args] });
  return { server, ops: `http://127.0.0.1:${port}` };
}

const verify = (ops: string): ReturnType<typeof runCommand> => runCommand(process.execPath, [mainEntry, 'verify', '--url', ops]);
const metric = async (ops: string, name: string): Promise<number> => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await (await fetch(`${ops}/metrics`)).text())?.[1]);

it('checks beside writers, after a crash by itself, and keeps damage from being served', async () => {
  let { server, ops } = await start();
  let client = await connect(server);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, n int, v text); CREATE INDEX t_n ON t (n); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 500)');
  await client.query("INSERT INTO t SELECT g, g % 50, repeat('x', g % 100) FROM generate_series(1, 20000) g");
  let running = true;
  const writers = [1, 2, 3].map(async (seed) => {
    const writer = await connect(server);
    for (let i = 0; running; i++) {
      const id = 1 + ((i * 7919 * seed) % 25000);
      await writer.query('INSERT INTO t VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v', [id, i % 50, `w${i}`]);
      if (i % 5 === 0) await writer.query('DELETE FROM t WHERE id = $1', [1 + ((i * 104729) % 25000)]);
      if (i % 50 === 0) await writer.query('VACUUM t');
    }
    await writer.end();
  });
  for (let round = 0; round < 2; round++) {
    const { code, stdout, stderr } = await verify(ops);
    if (code !== 0) console.log(server.log(), server.process.signalCode);
    expect({ stdout: stdout.trim().split('\n').at(-1), code, stderr }).toEqual({ stdout: 'sound', code: 0, stderr: '' });
  }
  running = false;
  await Promise.all(writers);
  // A slice is 1.5 ms and a chunk of entries more at most: the bound is for machines that are busy with other things.
  expect(await metric(ops, 'oxbow_scrub_slice_seconds_max')).toBeLessThan(0.4);
  await client.end();
  await server.kill();

  // A pass comes by itself after the crash.
  ({ server, ops } = await start());
  for (let waited = 0; (await metric(ops, 'oxbow_scrub_passes_total')) < 1; waited += 100) {
    expect(waited).toBeLessThan(40_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(server.log()).toContain('the last stop was not in order');
  expect(server.log()).toContain('scrubbed: sound');
  await server.stop();

  // A stop in the middle of a pass is no damage.
  for (let round = 0; round < 6; round++) {
    ({ server, ops } = await start());
    const asked = verify(ops);
    await new Promise((resolve) => setTimeout(resolve, 150 + round * 150));
    await server.stop();
    await asked;
    expect(JSON.parse(readFileSync(join(directory, 'scrub.json'), 'utf8'))).toMatchObject({ damaged: [] });
  }

  // An index entry vanishes.
  const kv = openStateFile({ path: join(directory, 'state.mdb') });
  const chunk: Chunk = { keys: [], values: [] };
  kv.scan('index', Uint8Array.of(0), new Uint8Array(1978).fill(0xff), false, Infinity, chunk);
  const counts = new Map<number, number>();
  for (const key of chunk.keys) counts.set(readUint48(key, 0), (counts.get(readUint48(key, 0)) ?? 0) + 1);
  const [, byN] = [...counts].filter(([, count]) => count > 10_000).map(([id]) => id).sort((a, b) => a - b);
  kv.write((writer) => void writer.delete('index', chunk.keys.filter((key) => readUint48(key, 0) === byN)[100]!));
  await kv.sync();

  ({ server, ops } = await start());
  const { code, stdout } = await verify(ops);
  expect(stdout).toMatch(/index "t_n" of table "public.t" in database "postgres": row \(\d+,\d+\) has no entry/);
  expect(code).toBe(1);
  expect(await metric(ops, 'oxbow_damaged_storages')).toBe(1);
  client = await connect(server);
  await expect(client.query('SELECT count(*) FROM t')).rejects.toMatchObject({ code: 'XX001', message: 'index "t_n" of relation "t" is damaged' });
  await expect(client.query('UPDATE t SET n = 1 WHERE id = 1')).rejects.toMatchObject({ code: 'XX001' });
  expect((await client.query('SELECT count(*)::int FROM other')).rows).toEqual([{ count: 500 }]);
  await client.query('SET oxbow.read_damaged = on');
  const { rows } = await client.query<{ count: number }>('SELECT count(*)::int FROM t');
  await client.query('RESET oxbow.read_damaged');
  await client.end();
  await server.stop();

  // It is remembered, and a new index is a sound one.
  expect(JSON.parse(readFileSync(join(directory, 'scrub.json'), 'utf8'))).toMatchObject({ damaged: [[byN, expect.stringContaining('t_n')]] });
  ({ server, ops } = await start());
  client = await connect(server);
  await expect(client.query('SELECT count(*) FROM t')).rejects.toMatchObject({ code: 'XX001' });
  await client.query('REINDEX INDEX t_n');
  expect((await client.query('SELECT count(*)::int FROM t')).rows).toEqual(rows);
  expect((await verify(ops)).code).toBe(0);
  await client.end();
  await server.stop();
}, 120_000);

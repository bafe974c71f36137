/** `oxbow rebuild`: a state destroyed beyond use is made anew, from the log alone and from a backup, the archive and the log; nothing is lost. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, it } from 'vitest';
import { oxbow, runOxbow } from '../backup/oxbow.js';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';

const work = mkdtempSync(join(tmpdir(), 'oxbow-rebuild-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function connect(server: TestServer): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function load(client: pg.Client, from: number): Promise<void> {
  await client.query(`INSERT INTO t SELECT g, 'v' || g, repeat('0123456789', g % 50) FROM generate_series(${from}, ${from + 2999}) g`);
  await client.query(`UPDATE t SET v = v || 'u' WHERE id % 3 = 0 AND id >= ${from}`);
  await client.query(`DELETE FROM t WHERE id % 10 = 9 AND id >= ${from}`);
  await client.query(`INSERT INTO large VALUES (${from}, repeat('abcdefghij', 50000))`);
  await client.query("SELECT nextval('s')");
}

const CONTENT = "SELECT (SELECT count(*)::int FROM t) AS rows, (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t) AS t, (SELECT md5(string_agg(large::text, ',' ORDER BY id)) FROM large) AS large";
const content = async (client: pg.Client): Promise<unknown> => (await client.query<object>(CONTENT)).rows[0];

/** Zeros over the middle of the file, where its pages are. */
function destroy(directory: string): void {
  const file = openSync(join(directory, 'state.mdb'), 'r+');
  writeSync(file, Buffer.alloc(256 << 10), 0, 256 << 10, 16 << 10);
  closeSync(file);
}

async function startsWith(directory: string, expected: unknown, sequence: number, args: string[] = []): Promise<void> {
  expect(await oxbow('verify', '--data', directory)).toMatch(/^sound$/m);
  const server = await startTestServer({ directory, args });
  const client = await connect(server);
  expect(await content(client)).toEqual(expected);
  // After a crash a sequence may skip values, and must not give one again.
  expect((await client.query<{ n: number }>("SELECT nextval('s')::int AS n")).rows[0]!.n).toBeGreaterThan(sequence);
  await client.query("INSERT INTO t VALUES (-1, 'after', '')");
  await client.end();
  await server.stop();
}

it('from the log alone', async () => {
  const directory = join(work, 'log-only');
  const server = await startTestServer({ directory });
  const client = await connect(server);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text, w text); CREATE INDEX ON t (v); CREATE TABLE large (id int PRIMARY KEY, t text); CREATE SEQUENCE s');
  await load(client, 1);
  const before = await content(client);
  await client.end();
  await server.kill();
  destroy(directory);
  const damaged = await runOxbow(['verify', '--data', directory]);
  expect(damaged.code).toBe(1);
  expect(await oxbow('rebuild', '--data', directory)).toMatch(/^rebuilt /);
  await startsWith(directory, before, 1);
}, 60_000);

it('from a backup, the archived log and the log', async () => {
  const directory = join(work, 'archived');
  const target = join(work, 'target');
  const args = ['--archive', target, '--archive-timeout', '100ms'];
  const server = await startTestServer({ directory, args });
  const client = await connect(server);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text, w text); CREATE INDEX ON t (v); CREATE TABLE large (id int PRIMARY KEY, t text); CREATE SEQUENCE s');
  await load(client, 1);
  await oxbow('backup', '--url', `postgresql://postgres@127.0.0.1:${server.port}/postgres`, '--to', target);
  // Enough log for the first segments to be trimmed.
  for (let i = 0; i < 10; i++) await client.query(`INSERT INTO large VALUES (${-1 - i}, repeat('0123456789', 500000))`);
  await load(client, 10_000);
  await client.query('DELETE FROM large WHERE id < 0');
  for (let i = 0; i < 3; i++) await client.query('CHECKPOINT');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await client.query('CHECKPOINT');
  await load(client, 20_000);
  const before = await content(client);
  await client.end();
  await server.kill();
  destroy(directory);
  const alone = await runOxbow(['rebuild', '--data', directory]);
  expect(alone.stderr).toContain('what was before is in backups only');
  expect(alone.code).toBe(1);
  expect(await oxbow('rebuild', '--data', directory, '--from', target)).toMatch(/^rebuilt .*: backup .*, log to LSN/);
  await startsWith(directory, before, 3, args);
}, 90_000);

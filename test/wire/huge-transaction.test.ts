/**
 * Transactions that write more than memory holds: every row updated, deleted, inserted again, in one
 * transaction each, committed and rolled back, under a small heap. A bystander reads on meanwhile.
 *
 * OXBOW_HUGE_ROWS (40,000) makes it as large as wanted: the promise is 5,000,000 under
 * --max-old-space-size=512, COMMIT and ROLLBACK in under a second.
 */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBystander, type Bystander } from '../harness/bystander.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const ROWS = Number(process.env.OXBOW_HUGE_ROWS ?? 40_000);
const RSS_MB = Number(process.env.OXBOW_HUGE_RSS_MB ?? 1500);
const PATIENCE_MS = 60_000 + ROWS * 2;

let server: TestServer;
let client: pg.Client;
let bystander: Bystander;
const connect = async (): Promise<pg.Client> => {
  const made = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  await made.connect();
  return made;
};
beforeAll(async () => {
  server = await startTestServer({ env: { NODE_OPTIONS: '--max-old-space-size=512' }, keep: true });
  client = await connect();
  await client.query('CREATE TABLE h (id int PRIMARY KEY, n int, t text)');
  await client.query('CREATE INDEX h_n ON h (n)');
  await client.query('CREATE TABLE small (id int PRIMARY KEY, t text)');
  await client.query("INSERT INTO small SELECT g, 'x' FROM generate_series(1, 1000) g");
  bystander = await startBystander(server.port, 'SELECT t FROM small WHERE id = $1', 1000);
}, 60_000);
afterAll(async () => {
  bystander?.stop();
  await client?.end().catch(() => undefined);
  await server?.kill();
});

const peakMb = (): number => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))![1]) / 1024;
async function timed(name: string, sql: string): Promise<number> {
  await bystander.since();
  const began = performance.now();
  await client.query(sql);
  const tookMs = performance.now() - began;
  const { p50, p99, max } = await bystander.since();
  console.log(`${name.padEnd(34)} ${tookMs.toFixed(0).padStart(7)} ms   others: p50 ${p50}, p99 ${p99}, max ${max} ms   peak RSS ${peakMb().toFixed(0)} MB`);
  return tookMs;
}
const row = async (who: pg.Client, sql: string): Promise<unknown> => (await who.query<unknown[]>({ text: sql, rowMode: 'array' })).rows[0]!;
const SUMS = 'SELECT count(*)::int, coalesce(sum(n), 0)::float8, coalesce(sum(id), 0)::float8 FROM h';
/** Through the index on n, whatever the planner thinks. */
async function indexAgrees(): Promise<void> {
  await client.query('SET enable_seqscan = off');
  const byIndex = await row(client, 'SELECT count(*)::int, coalesce(sum(n), 0)::float8 FROM h WHERE n > -2000000000');
  await client.query('RESET enable_seqscan');
  expect(byIndex).toEqual(((await row(client, SUMS)) as unknown[]).slice(0, 2));
}

test('inserts, updates in random order, and deletes in one transaction each', async () => {
  await timed('idle', 'SELECT pg_sleep(1)');
  const ids = (ROWS * (ROWS + 1)) / 2;
  await client.query('BEGIN');
  await timed(`INSERT ... SELECT ${ROWS} rows`, `INSERT INTO h SELECT g, g, 'row ' || g FROM generate_series(1, ${ROWS}) g`);
  expect(await timed('COMMIT', 'COMMIT')).toBeLessThan(3000);
  expect(await row(client, SUMS)).toEqual([ROWS, ids, ids]);

  const old = await connect();
  await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  expect(await row(old, SUMS)).toEqual([ROWS, ids, ids]);

  await client.query('BEGIN');
  await timed('UPDATE of all', 'UPDATE h SET n = n + 1');
  expect(await row(client, SUMS)).toEqual([ROWS, ids + ROWS, ids]);
  await indexAgrees();
  expect(await timed('ROLLBACK', 'ROLLBACK')).toBeLessThan(3000);
  expect(await row(client, SUMS)).toEqual([ROWS, ids, ids]);
  await indexAgrees();

  await client.query('BEGIN');
  await timed('UPDATE in random key order', 'UPDATE h SET n = h.n + 1 FROM (SELECT id FROM h ORDER BY (id * 7919::bigint) % 1000003) r WHERE h.id = r.id');
  // A rival waits for a row that is written ahead, and goes on with the new version.
  const rival = await connect();
  let waited = true;
  const waiting = rival.query('UPDATE h SET n = n + 10 WHERE id = 5').then(() => (waited = false));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(waited).toBe(true);
  expect(await timed('COMMIT', 'COMMIT')).toBeLessThan(3000);
  await waiting;
  expect(await row(client, SUMS)).toEqual([ROWS, ids + ROWS + 10, ids]);
  expect(await row(old, SUMS)).toEqual([ROWS, ids, ids]);
  await indexAgrees();

  await client.query('BEGIN');
  await client.query('SAVEPOINT s');
  await timed('DELETE of all under a savepoint', 'DELETE FROM h');
  expect(await row(client, SUMS)).toEqual([0, 0, 0]);
  await timed('ROLLBACK TO', 'ROLLBACK TO s');
  expect(await row(client, SUMS)).toEqual([ROWS, ids + ROWS + 10, ids]);
  await client.query('DELETE FROM h WHERE id = 1');
  await client.query('COMMIT');
  expect(await row(client, SUMS)).toEqual([ROWS - 1, ids + ROWS + 10 - 2, ids - 1]);

  await client.query('BEGIN');
  await timed('DELETE of all', 'DELETE FROM h');
  await client.query("INSERT INTO h VALUES (7, 7, 'again')");
  expect(await timed('COMMIT', 'COMMIT')).toBeLessThan(3000);
  expect(await row(client, SUMS)).toEqual([1, 7, 7]);
  expect(await row(old, SUMS)).toEqual([ROWS, ids, ids]);
  await old.query('COMMIT');
  await old.end();
  await rival.end();
  await indexAgrees();
  expect(peakMb()).toBeLessThan(RSS_MB);
}, 30 * PATIENCE_MS);

test('a kill in the middle of one leaves nothing of it', async () => {
  await client.query('DELETE FROM h');
  await client.query(`INSERT INTO h SELECT g, g, 'row ' || g FROM generate_series(1, ${ROWS}) g`);
  const before = await row(client, SUMS);
  await client.query('BEGIN');
  await client.query('UPDATE h SET n = -n');
  await client.query('SELECT pg_sleep(0.3)');
  client.on('error', () => undefined);
  bystander.stop();
  await server.kill();
  server = await startTestServer({ directory: server.directory });
  client = await connect();
  expect(await row(client, SUMS)).toEqual(before);
  await indexAgrees();
  await client.query('UPDATE h SET n = n + 1 WHERE id <= 1000');
  await client.query('VACUUM');
  await indexAgrees();
}, 10 * PATIENCE_MS);

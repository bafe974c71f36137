/**
 * How long the server's event loop is held up while old versions are collected: all rows of a table are updated, the
 * collector removes what that left by itself, then VACUUM, ANALYZE, CREATE INDEX and VACUUM FULL by command.
 *
 *     node dist/bench/vacuum/run.js [rows]      default 1000000
 *
 * Each line: how long it took, the longest time that the server's main thread worked without a look at its sockets and timers
 * (bench/client/held-loop.ts: processor time, so other work on the machine does not count), how often that was beyond 20 ms, and what
 * point reads beside it took.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startBystander } from '../../test/harness/bystander.js';
import { startTestServer } from '../../test/harness/server.js';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const scratch = mkdtempSync(join(tmpdir(), 'oxbow-vacuum-'));
const heldFile = join(scratch, 'held');
const preload = fileURLToPath(new URL('../client/held-loop.js', import.meta.url));
const server = await startTestServer({ env: { NODE_OPTIONS: `--import ${preload}`, OXBOW_HELD_FILE: heldFile } });
const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
await client.connect();
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What was measured since the last call. */
let lines = 0;
async function held(): Promise<{ longest: number; beyond: number }> {
  server.process.kill('SIGUSR2');
  for (;;) {
    const found = existsSync(heldFile) ? readFileSync(heldFile, 'utf8').trimEnd().split('\n') : [];
    if (found.length > lines) {
      lines = found.length;
      return JSON.parse(found.at(-1)!) as { longest: number; beyond: number };
    }
    await pause(5);
  }
}


await client.query('CREATE TABLE t (id int PRIMARY KEY, n int, v text); CREATE INDEX t_n ON t (n)');
await client.query("CREATE TABLE small (id int PRIMARY KEY, t text); INSERT INTO small SELECT g, 'x' FROM generate_series(1, 1000) g");
const bystander = await startBystander(server.port, 'SELECT t FROM small WHERE id = $1', 1000);

async function step(name: string, work: () => Promise<unknown>): Promise<void> {
  await bystander.since();
  await held();
  const began = performance.now();
  await work();
  const tookMs = performance.now() - began;
  const { longest, beyond } = await held();
  const { p50, p99, max } = await bystander.since();
  console.log(`| ${name} | ${tookMs.toFixed(0)} ms | ${longest.toFixed(1)} | ${beyond} | ${p50} | ${p99} | ${max} |`);
}

console.log('| | time | held at most, ms | beyond 20 ms | reads p50 | p99 | worst |\n|---|---|---|---|---|---|---|');
await step('idle', () => pause(3000));
await step(`INSERT of ${ROWS} rows`, () => client.query(`INSERT INTO t SELECT g, g % 1000, md5(g::text) FROM generate_series(1, ${ROWS}) g`));
await step('UPDATE of all', () => client.query('UPDATE t SET n = n + 1'));
await step('after it, 10 s (the collector)', () => pause(10_000));
await step('UPDATE of half', () => client.query('UPDATE t SET n = n + 1 WHERE id % 2 = 0'));
await step('VACUUM', () => client.query('VACUUM t'));
await step('ANALYZE', () => client.query('ANALYZE t'));
await step('UPDATE in random order', () => client.query('UPDATE t SET n = t.n + 1 FROM (SELECT id FROM t ORDER BY v) r WHERE t.id = r.id'));
await step('CREATE INDEX', () => client.query('CREATE INDEX t_v ON t (v)'));
await step('VACUUM FULL', () => client.query('VACUUM FULL t'));
bystander.stop();
await client.end();
await server.stop();
rmSync(scratch, { recursive: true, force: true });

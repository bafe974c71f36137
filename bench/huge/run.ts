/**
 * Transactions larger than memory, and what others notice of them: all rows inserted from a select, updated, updated in
 * random order of their keys, and deleted, each in one transaction that is rolled back and in one that commits, on a server with
 * --max-old-space-size=512. A bystander in a process of its own reads by key meanwhile.
 *
 *     npm run bench:huge -- [--rows 1000000] [--only update,delete]
 *
 * Each line: how long it took; the bystander's p50, p99 and worst, in ms; the most memory meanwhile, in MB: anonymous
 * (heap, buffers), shared, and file pages that the process has mapped (LMDB's cache, which the kernel takes back as it likes).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startBystander } from '../../test/harness/bystander.js';
import { startTestServer } from '../../test/harness/server.js';

const argument = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : process.argv[at + 1]!;
};
const ROWS = Number(argument('--rows', '1000000'));
const ONLY = argument('--only', 'insert,update,random,delete').split(',');
const AFTER_MS = 3000;

const directory = mkdtempSync(join(tmpdir(), 'oxbow-huge-'));
const server = await startTestServer({ directory, keep: true, env: { NODE_OPTIONS: '--max-old-space-size=512' } });
const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
client.on('error', () => console.log(`the server ended: ${server.log().slice(-4000)}`));
await client.connect();
await client.query('CREATE TABLE h (id int PRIMARY KEY, n int, t text); CREATE INDEX h_n ON h (n)');
await client.query("CREATE TABLE small (id int PRIMARY KEY, t text); INSERT INTO small SELECT g, 'x' FROM generate_series(1, 1000) g");
const bystander = await startBystander(server.port, 'SELECT t FROM small WHERE id = $1', 1000);

const most = { RssAnon: 0, RssShmem: 0, RssFile: 0 };
const kinds = Object.keys(most) as (keyof typeof most)[];
const sample = (): void => {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  for (const kind of kinds) most[kind] = Math.max(most[kind], Number(new RegExp(`${kind}:\\s+(\\d+)`).exec(status)![1]) / 1024);
};
const sampler = setInterval(sample, 100);

async function step(name: string, work: () => Promise<unknown>): Promise<void> {
  for (const kind of kinds) most[kind] = 0;
  await bystander.since();
  const began = performance.now();
  await work();
  const tookMs = performance.now() - began;
  sample();
  const { reads, p50, p99, max } = await bystander.since();
  console.log(`| ${name} | ${tookMs < 1000 ? `${tookMs.toFixed(0)} ms` : `${(tookMs / 1000).toFixed(1)} s`} | ${reads} | ${p50} | ${p99} | ${max} | ${most.RssAnon.toFixed(0)} | ${most.RssShmem.toFixed(0)} | ${most.RssFile.toFixed(0)} |`);
}
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, AFTER_MS));

const INSERT = `INSERT INTO h SELECT g, g, 'row ' || g FROM generate_series(1, ${ROWS}) g`;
const STATEMENTS: readonly { readonly name: string; readonly title: string; readonly sql: string; readonly rows: number; readonly sum: number }[] = [
  { name: 'insert', title: 'INSERT ... SELECT', sql: INSERT, rows: ROWS, sum: 0 },
  { name: 'update', title: 'UPDATE of all', sql: 'UPDATE h SET n = n + 1', rows: ROWS, sum: 1 },
  { name: 'random', title: 'UPDATE in random order', sql: 'UPDATE h SET n = h.n + 1 FROM (SELECT id FROM h ORDER BY (id * 7919::bigint) % 1000003) r WHERE h.id = r.id', rows: ROWS, sum: 1 },
  { name: 'delete', title: 'DELETE of all', sql: 'DELETE FROM h', rows: 0, sum: 0 },
];

/** How many rows there are, and by how much their sum is beyond that of their ids. */
async function contents(): Promise<string> {
  const { rows } = await client.query<{ count: string; beyond: string }>('SELECT count(*)::text AS count, coalesce(sum(n - id), 0)::text AS beyond FROM h');
  return `${rows[0]!.count} rows, ${rows[0]!.beyond}`;
}

try {
  console.log(`${ROWS} rows\n\n| | time | reads | p50 | p99 | worst | anonymous | shared | file |\n|---|---|---|---|---|---|---|---|---|`);
  await pause();
  await step('idle', pause);
  if (!ONLY.includes('insert')) await client.query(INSERT);
  let beyond = 0;
  for (const { name, title, sql, rows, sum } of STATEMENTS) {
    if (!ONLY.includes(name)) continue;
    const before = await contents();
    await client.query('BEGIN');
    await step(title, () => client.query(sql));
    await step('ROLLBACK', () => client.query('ROLLBACK'));
    await step('after it', pause);
    const back = await contents();
    if (back !== before) throw new Error(`rolled back, there were ${before} and are ${back}`);
    await client.query('BEGIN');
    await step(title, () => client.query(sql));
    await step('COMMIT', () => client.query('COMMIT'));
    await step('after it', pause);
    beyond = rows === 0 ? 0 : beyond + sum * ROWS;
    const wanted = `${rows} rows, ${beyond}`;
    const found = await contents();
    if (found !== wanted) throw new Error(`expected ${wanted}, found ${found}`);
  }
  clearInterval(sampler);
  bystander.stop();
  await client.end();
  await server.stop();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

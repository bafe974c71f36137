/**
 * Operators whose rows do not fit into work_mem write them to files: with 64 kB the answers are those of 1 GB, over random
 * data of awkward types; EXPLAIN ANALYZE says so; the files go with the statement, also when it is cancelled or
 * the server is killed.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { connect, run } from '../harness/compare.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);
const ROWS = 20_000;

/** Random by the seed, with NULLs, many equal keys, and types of every storage form. */
const SCHEMA = `
select setseed(${(seed % 1000) / 1000});
create table facts as select i as id, (random() * 3000)::int as k, case when random() < 0.1 then null else (random() * 200)::int end as few,
    case when random() < 0.1 then null else (random() * 100000)::numeric(12, 3) end as price, random() as ratio,
    case when random() < 0.2 then null else 'text ' || (random() * 5000)::int || repeat('é', (random() * 20)::int) end as label,
    timestamp '2020-01-01' + random() * interval '900 days' as at, array[(random() * 9)::int, null, i % 5] as list, i % 3 = 0 as flag,
    ('{"n": ' || i % 7 || '}')::jsonb as doc, (i % 4000)::int8 * 2305843009213693 as wide
  from generate_series(1, ${ROWS}) i;
create table dims as select i as id, case when i % 11 = 0 then null else i / 2 end as k, 'dim ' || i as name, random() * 100 as weight from generate_series(1, 9000) i;
analyze facts;
analyze dims;
`;

const QUERIES = [
  'select * from facts order by label desc nulls last, price, id',
  'select * from facts order by few nulls first, ratio desc',
  'select id, list, doc, wide from facts order by list, doc desc, id desc',
  'select at, label from facts order by at limit 9000 offset 30',
  'select label, count(*), sum(price), min(at), max(ratio), count(distinct few) from facts group by label',
  'select id, label, count(*), array_agg(k) from facts group by id, label',
  'select k, few, sum(price) from facts group by grouping sets ((k, few), (id), ())',
  'select distinct label, few, flag from facts',
  'select f.id, d.id, d.name from facts f join dims d on d.k = f.k where d.weight < 90',
  'select f.id, d.id, d.weight from facts f left join dims d on d.k = f.k and d.weight < 20',
  'select f.id, d.id, f.label from facts f right join dims d on d.k = f.k and f.flag',
  'select f.id, d.id from facts f full join dims d on d.k = f.few and d.id % 2 = 0',
  'select f.id, f.label from facts f where exists (select from dims d where d.k = f.k and d.weight > 50)',
  'select f.id, f.label from facts f where not exists (select from dims d where d.k = f.k and d.weight > 50)',
  'select a.id, b.id from facts a join facts b on a.label = b.label and a.wide = b.wide',
  'select id, row_number() over (partition by few order by ratio), sum(price) over (partition by few order by ratio) from facts',
  'select label from facts union select name from dims',
];

let directory: string;
let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'oxbow-spill-'));
  server = await startTestServer({ directory });
  client = await connect(server.port);
  await client.query(SCHEMA);
  await client.query('set oxbow.columns = off; set enable_mergejoin = off; set enable_nestloop = off; set jit = off');
}, 120_000);

afterAll(async () => {
  await client.end();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

function temporaryFiles(): string[] {
  const folder = join(directory, 'temp');
  return existsSync(folder) ? readdirSync(folder) : [];
}

async function explained(sql: string): Promise<string> {
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain (analyze, costs off, timing off) ${sql}`);
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

test(`with little memory the answers are the same (seed ${seed})`, async () => {
  for (const query of QUERIES) {
    await client.query("set work_mem = '1GB'");
    const wanted = await run(client, query);
    await client.query("set work_mem = '64kB'");
    const found = await run(client, query);
    const ordered = /order by [^()]*$/.test(query);
    const form = (rows: readonly unknown[]): string[] => {
      const texts = rows.map((row) => JSON.stringify(row));
      return ordered ? texts : texts.sort();
    };
    expect({ query, error: found.error }).toEqual({ query, error: wanted.error });
    expect(found.rows.length, query).toBeGreaterThan(100);
    expect(form(found.rows), query).toEqual(form(wanted.rows));
  }
  expect(temporaryFiles()).toEqual([]);
}, 180_000);

test('EXPLAIN ANALYZE says where the rows were', async () => {
  await client.query("set work_mem = '64kB'");
  expect(await explained('select * from facts order by ratio')).toMatch(/Sort Method: external merge {2}Disk: \d{3,}kB/);
  expect(await explained('select id, count(*) from facts group by id')).toMatch(/Batches: (?:[2-9]|\d\d+) {2}Memory Usage: \d+kB {2}Disk Usage: \d+kB/);
  expect(await explained('select count(*) from facts f join dims d on d.k = f.k')).toMatch(/Batches: (?:[2-9]|\d\d+) {2}Memory Usage: \d+kB/);
  const { rows } = await client.query<{ 'QUERY PLAN': string }>('explain (analyze, format json) select * from facts order by ratio');
  const [{ Plan: plan }] = JSON.parse(rows[0]!['QUERY PLAN']) as [{ Plan: Record<string, unknown> }];
  expect(plan).toMatchObject({ 'Sort Method': 'external merge', 'Sort Space Type': 'Disk' });
  await client.query("set work_mem = '1GB'");
  expect(await explained('select * from facts order by ratio')).toMatch(/Sort Method: quicksort {2}Memory/);
  expect(await explained('select id, count(*) from facts group by id')).not.toMatch(/Disk/);
});

test('temp_file_limit ends the statement, and its files go', async () => {
  await client.query("set work_mem = '64kB'; set temp_file_limit = '100kB'");
  expect((await run(client, 'select * from facts order by ratio')).error).toMatchObject({ code: '53400', message: 'temporary file size exceeds temp_file_limit (100kB)' });
  await client.query('reset temp_file_limit');
  expect(temporaryFiles()).toEqual([]);
});

test('files of a cancelled statement and of a closed cursor go at once, those of a killed server at its start', async () => {
  await client.query("set work_mem = '64kB'");
  await client.query('begin; declare c cursor for select * from facts order by ratio; fetch 5 from c');
  expect(temporaryFiles().length).toBeGreaterThan(0);
  await client.query('close c; commit');
  expect(temporaryFiles()).toEqual([]);

  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const other = await connect(server.port);
  const running = run(client, 'select count(*) from (select a.id from facts a, facts b order by b.ratio, a.ratio offset 0) s');
  for (let tries = 0; temporaryFiles().length === 0 && tries < 400; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
  expect(temporaryFiles().length).toBeGreaterThan(0);
  await other.query('select pg_cancel_backend($1)', [rows[0]!.pid]);
  expect((await running).error).toMatchObject({ code: '57014' });
  expect(temporaryFiles()).toEqual([]);

  await other.query("set work_mem = '64kB'; set oxbow.columns = off; begin; declare c cursor for select * from facts order by ratio; fetch 5 from c");
  expect(temporaryFiles().length).toBeGreaterThan(0);
  const ended = Promise.all([client, other].map((one) => new Promise<void>((resolve) => {
    one.on('error', () => undefined);
    one.on('end', () => resolve());
  })));
  await server.kill();
  await ended;
  expect(temporaryFiles().length).toBeGreaterThan(0);
  server = await startTestServer({ directory });
  expect(temporaryFiles()).toEqual([]);
  client = await connect(server.port);
}, 120_000);

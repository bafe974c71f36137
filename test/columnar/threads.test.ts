/**
 * Kernels on threads: the answers are those of one thread and of rows, a statement that ends stops its threads at once, what
 * they raise reaches the client, and the death of a thread fails one statement.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import type { FaultCommand } from '../crash/fault-points.js';
import { connect, run } from '../harness/compare.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const ROWS = 150_000;
const SCHEMA = `
create table readings (id int primary key, sensor int not null, kind char(2) not null, amount numeric(12,2), ratio float8, at date not null, label text, wide int8);
create table sensors (id int primary key, name text not null, area int);
insert into readings select i, i % 97, (array['aa', 'b', 'cc'])[1 + i % 3], case when i % 7 = 0 then null else (i % 100003) / 100.0 end, i / 3.0, date '2001-01-01' + i % 900,
    'label ' || i % 30, case when i % 5 = 0 then i::int8 * 2305843009213 else i end
  from generate_series(1, ${ROWS}) i;
insert into sensors select i, 'sensor ' || i % 50, case when i % 3 = 0 then null else i % 10 end from generate_series(0, 1500) i;
analyze readings;
analyze sensors;
`;

const QUERIES = [
  'select count(*), count(amount), sum(amount), avg(amount), min(amount), max(at), sum(wide), avg(wide) from readings',
  'select kind, count(*), sum(amount * (1 + amount)), min(ratio), max(ratio), sum(wide) from readings where at < date \'2002-06-01\' group by kind order by kind',
  'select sensor, label, count(*), sum(amount), max(id) from readings group by sensor, label order by sensor, label limit 50',
  'select id + 1, count(*) from readings group by 1 order by 1 desc limit 20',
  'select sum(ratio), avg(ratio) from readings where kind <> \'b\'',
  'select count(distinct sensor), count(distinct label) from readings where amount > 100',
  'select s.area, count(*), sum(r.amount), min(r.at) from readings r join sensors s on s.id = r.sensor group by 1 order by 1 nulls first',
  'select s.name, count(*), count(r.id), sum(r.id) from sensors s left join readings r on r.id = s.id * 7 group by 1 order by 1',
  'select count(*), sum(a.id) from readings a join readings b on a.id = b.id + 30 and a.label = b.label',
  'select count(*), sum(a.ratio) from readings a join readings b on a.id = b.id * 2',
  'select s.id, r.id from readings r full join sensors s on r.id = s.id + 149000 where r.id > 149900 or s.id > 1400 order by 1 nulls first, 2 limit 90',
  'select kind, count(*) from readings r where exists (select from readings q where q.id = r.sensor and q.sensor <> r.id) group by 1 order by 1',
  'select kind, count(*) from readings r where not exists (select from readings q where q.id = r.id + 100000) group by 1 order by 1',
  'select case when label = \'label 3\' then 1 else 0 end as three, extract(year from at) as y, count(*) from readings group by 1, 2 order by 1, 2',
  'select wide, count(*) as n from readings group by wide order by n desc, wide limit 10',
  'select n, count(*) from (select sensor, count(*) as n from readings where kind = \'aa\' group by sensor) s group by n order by n',
  'select id, amount, label from readings where kind = \'aa\' order by amount desc nulls last, id limit 40',
  'select amount, id from readings order by amount nulls first, id desc limit 15 offset 3',
  'select amount, id from readings order by amount desc, id desc limit 25000 offset 20000',
  'select at, id from readings where sensor < 50 order by at desc, id limit 1000',
  'select id, at, note from (select id, at, label || kind as note from readings where id % 30 = 0) s order by at, id',
  'select count(*), max(n), sum(n) from (select id, row_number() over (partition by sensor order by at, id) as n from readings) s',
  'select kind, label, count(*), sum(amount) from readings group by rollup (kind, label) order by 1 nulls first, 2 nulls first',
  'select count(*) from (select sensor, label from readings where id < 100000 except select sensor, label from readings where id % 7 = 0) s',
  'select distinct on (sensor) sensor, id, at from readings order by sensor, at desc, id limit 60',
];

/** Of these nothing, or only a small part, leaves the sessions' thread. */
const STAYING = /note/;

let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer({ faulty: true });
  client = await connect(server.port);
  await client.query('set debug_parallel_query = on');
  await client.query(SCHEMA);
}, 120_000);

afterAll(async () => {
  await client.end();
  await server.stop();
});

async function explained(sql: string): Promise<string> {
  return (await run(client, `explain (analyze, costs off, timing off, summary off) ${sql}`)).rows.map(([line]) => String(line)).join('\n');
}

test('answers are the same on rows, on the sessions\' thread, on one thread and on two', async () => {
  for (const query of QUERIES) {
    await client.query('set oxbow.columns = off');
    let expected = await run(client, query);
    expect(expected.error).toBeNull();
    await client.query('reset oxbow.columns');
    for (const workers of [0, 1, 2]) {
      await client.query(`set max_parallel_workers_per_gather = ${workers}`);
      const found = await run(client, query);
      // A float8 sum over a join has the order of the plan; threads change nothing of it.
      if (workers === 0 && query.includes('sum(a.ratio)')) expected = found;
      expect({ query, workers, ...found }).toEqual({ query, workers, ...expected });
    }
    await client.query('reset max_parallel_workers_per_gather');
  }
}, 180_000);

test('EXPLAIN ANALYZE says how many threads there were, and settings bound them', async () => {
  for (const query of QUERIES.filter((one) => !STAYING.test(one))) expect(await explained(query), query).toMatch(/Workers Launched: [12]/);
  const sql = 'select kind, sum(amount) from readings group by kind';
  expect(await explained(sql)).toMatch(/Workers Planned: \d+\n\s*Workers Launched: \d/);
  await client.query('set max_parallel_workers_per_gather = 0');
  expect(await explained(sql)).not.toContain('Workers');
  await client.query('set max_parallel_workers_per_gather = 2; set max_parallel_workers = 1');
  expect(await explained(sql)).toMatch(/Workers Planned: 1\n\s*Workers Launched: 1/);
  await client.query('reset max_parallel_workers_per_gather; reset max_parallel_workers');
  // A float8 sum is made in row order.
  expect(await explained('select sum(ratio) from readings')).toContain('Workers Launched: 1');
}, 60_000);

/** Some 230 million pairs. */
const LONG = 'select count(*), sum(a.id - b.id) from readings a join readings b on a.sensor = b.sensor and a.id + b.id > 0';

test('a cancel and a timeout reach the threads, which then serve others', async () => {
  await client.query("set statement_timeout = '150ms'");
  const began = performance.now();
  await expect(client.query(LONG)).rejects.toMatchObject({ code: '57014' });
  const elapsed = performance.now() - began;
  await client.query('reset statement_timeout');
  expect(elapsed).toBeLessThan(1500);
  const other = await connect(server.port);
  const { rows: [{ pid }] } = await other.query<{ pid: number }>('select pg_backend_pid() as pid');
  const running = expect(other.query(LONG)).rejects.toMatchObject({ code: '57014' });
  await new Promise((resolve) => setTimeout(resolve, 150));
  await client.query('select pg_cancel_backend($1)', [pid]);
  await running;
  await other.end();
  expect((await client.query<{ n: string }>('select count(*) as n from readings where sensor < 5')).rows[0]!.n).toBe(String(Array.from({ length: ROWS }, (_, i) => i + 1).filter((i) => i % 97 < 5).length));
}, 60_000);

test('errors of rows come from the threads with their SQLSTATE', async () => {
  expect(await explained('select sum(id * 2) from readings')).toContain('Workers Launched');
  await expect(client.query('select sum(id * 100000) from readings')).rejects.toMatchObject({ code: '22003', message: 'integer out of range' });
}, 30_000);

test('beyond its memory a statement goes on with rows', async () => {
  const sql = 'select count(*), sum(n) from (select id, count(*) as n from readings group by id) s';
  await client.query("set work_mem = '64kB'; set oxbow.column_memory = '1MB'");
  const found = await client.query(sql);
  await client.query('reset work_mem; reset oxbow.column_memory');
  expect(found.rows).toEqual([{ count: String(ROWS), sum: String(ROWS) }]);
}, 60_000);

test('the death of a thread fails the statements that use it, and no others', async () => {
  const other = await connect(server.port);
  // Columns first: they went with the memory.
  await other.query('select count(*), sum(id), sum(sensor) from readings');
  const lost = expect(other.query(LONG)).rejects.toMatchObject({ code: 'XX000', message: 'lost connection to parallel worker' });
  await new Promise((resolve) => setTimeout(resolve, 150));
  await server.command({ endKernelThreads: true } satisfies FaultCommand);
  await lost;
  expect((await other.query('select 1 as one')).rows).toEqual([{ one: '1' }]);
  await other.end();
  const again = await client.query<{ n: string }>('select count(*) as n from readings where sensor = 3 and amount is not null');
  expect(Number(again.rows[0]!.n)).toBeGreaterThan(0);
  expect(await explained('select kind, sum(amount) from readings group by kind')).toContain('Workers Launched');
}, 60_000);

/**
 * Windows, DISTINCT, DISTINCT ON, set operations and grouping sets by kernels: the same answers as by rows and as PostgreSQL's,
 * also with little memory and beside writers. Every query says its order completely, so that there is one right answer.
 */
import { expect, test } from 'vitest';
import { expectSame } from './expect-same.js';
import { besideOracle } from '../harness/beside-oracle.js';
import { connect, run } from '../harness/compare.js';
import { MADE_DATA, randomFrom } from './made-data.js';

const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

/** Each with what must run by kernels: a node of the plan that says so. */
const QUERIES: readonly string[] = [
  // windows: ranks
  'select id, row_number() over (partition by kind order by id), rank() over (partition by kind order by small), dense_rank() over (partition by kind order by small) from facts where dim < 30 order by id',
  'select kind, count(*), max(r), sum(d), max(p), min(c) from (select kind, rank() over w as r, dense_rank() over w as d, percent_rank() over w as p, cume_dist() over w as c from facts window w as (partition by kind order by day)) s group by kind order by kind',
  'select id, ntile(7) over (order by id), ntile(3) over (partition by small order by id), ntile(100000) over (partition by dim order by id) from facts where id % 11 = 0 order by id',
  'select * from (select id, small, label, row_number() over (partition by label order by price desc, id) as n from facts) s where n <= 2 order by label nulls first, n',
  'select n, count(*) from (select row_number() over (partition by note order by id) as n from facts) s group by n order by n',
  // windows: other rows
  "select id, lag(price) over w, lead(price, 2) over w, lag(label, 1, 'none') over w, lead(day, 3, '2000-01-01') over w, lag(flag) over w, lag(rate, 2) over w from facts where dim = 7 window w as (partition by kind order by id) order by id",
  "select id, first_value(note) over w, last_value(small) over w, nth_value(label, 3) over w, first_value(ratio) over w from facts where dim in (3, 4) window w as (partition by dim order by day, id) order by id",
  'select id, last_value(id) over (partition by small order by id rows between unbounded preceding and unbounded following), first_value(label) over (partition by small order by id rows between 3 preceding and 1 preceding) from facts where id < 20000 order by id',
  'select id, lag(id, null) over (order by id), lag(small, 0) over (order by id), nth_value(id, null) over (order by id), lag(wide, 5, -1::int8) over (order by id), lead(price, 2, 0.55) over (order by id) from facts where dim < 20 order by id',
  'select sum(gap), min(gap), max(gap) from (select at - lag(at) over (order by at, id) as gap from facts) s',
  // windows: aggregates
  'select id, sum(small) over w, count(small) over w, avg(small) over w, min(small) over w, max(small) over w, count(*) over w from facts where dim < 20 window w as (partition by kind order by id) order by id',
  'select id, sum(price) over (partition by kind), avg(price) over (partition by flag), count(*) over () , max(day) over (partition by label), min(rate) over (partition by label) from facts where id % 7 = 3 order by id',
  'select id, sum(price) over w, avg(rate) over w, max(price) over w, min(at) over w, count(label) over w from facts where id between 20000 and 26000 window w as (partition by small order by id rows between 2 preceding and 2 following) order by id',
  'select id, sum(wide) over (order by id rows between 10 preceding and current row), sum(wide) over (order by id rows between current row and 3 following), max(dim) over (order by id rows between 1 following and 4 following), sum(small) over (order by id rows between 5 preceding and 3 preceding), count(*) over (order by id rows between 3 following and 1 following) from facts where dim < 30 order by id',
  'select day, sum(price) over (order by day), count(*) over (order by day), sum(small) over (order by day range between current row and unbounded following), count(*) over (order by day groups between unbounded preceding and current row) from facts where id % 50 = 1 order by day, price, small',
  'select id, sum(ratio) over (partition by kind order by id), avg(ratio) over (partition by dim), min(ratio) over (partition by kind order by id), max(ratio) over (partition by flag order by id desc) from facts where id % 1009 <> 0 and id % 5 = 2 order by id',
  'select id, max(ratio) over (order by id rows between 4 preceding and current row), min(ratio) over (order by id rows between 4 preceding and current row) from facts where id % 1009 < 30 order by id',
  "select id, sum(price) filter (where flag) over w, count(*) filter (where label like '%1%') over w, max(small) filter (where small > 100) over w from facts where dim = 11 window w as (order by id) order by id",
  'select kind, label, sum(price) as total, rank() over (partition by kind order by sum(price) desc), sum(sum(price)) over (partition by kind) from facts group by kind, label order by kind, total desc, label',
  'select id, row_number() over (order by ratio desc nulls last, id), rank() over (order by flag nulls first), dense_rank() over (order by kind desc), rank() over (partition by kind, flag order by label nulls first) from facts where dim < 12 order by id',
  'select count(*), sum(r) from (select rank() over (partition by ratio order by id) as r from facts) s',
  'select f.id, d.name, sum(f.price) over (partition by d.name order by f.id) from facts f join dims d on d.id = f.dim where f.dim < 9 order by f.id',
  'select id, price - avg(price) over (partition by kind, small) as away from facts where price > 900 order by 2 desc, 1 limit 20',
  'select wide, other, row_number() over (partition by other order by wide nulls first, id) as n from wides where id < 4000 order by other, n',
  "select x.id, x.n, d.area from (select id, dim, row_number() over (partition by dim order by price desc, id) as n from facts) x join dims d on d.id = x.dim where x.n = 1 and d.area like 'area 3%' order by x.id",
  'select id, sum(n) over (order by id) from (select id, count(*) over (partition by small order by id) as n from facts where id < 9000) s where n % 7 = 0 order by id',
  // windows: frames by keys and by peer groups
  'select id, sum(price) over w, count(*) over w, min(id) over w, max(rate) over w from facts where dim < 20 window w as (partition by kind order by small range between 10 preceding and 5 following) order by id',
  'select id, count(*) over w, sum(dim) over w, last_value(id) over w from facts where dim < 12 window w as (partition by flag order by small desc nulls last, id range between unbounded preceding and current row) order by id',
  'select id, count(*) over w, first_value(small) over w, sum(id) over w from facts where dim < 15 window w as (partition by kind order by small desc range between 20 preceding and 3 preceding) order by id',
  'select id, count(*) over (order by price range between 0.125 preceding and 1.5 following), sum(id) over (order by rate nulls first range between 0.001 following and 0.01 following) from facts where dim < 8 order by id',
  "select id, count(*) over (order by day range between interval '3 days' preceding and interval '36 hours' following), sum(small) over (order by day desc range between interval '10 days' preceding and interval '2 days' preceding) from facts where dim < 20 order by id",
  "select id, count(*) over w, max(price) over w, min(id) over w from facts where dim < 15 window w as (partition by flag order by at range between interval '1 day 2 hours' preceding and interval '90 minutes' following) order by id",
  'select id, sum(price) over w, count(*) over w, max(small) over w from facts where dim < 20 window w as (partition by kind order by day groups between 2 preceding and 1 following) order by id',
  'select id, sum(price) over w, count(*) over w, first_value(small) over w from facts where dim < 20 window w as (partition by flag order by small nulls first groups between 5 following and 8 following) order by id',
  'select avg(m) from (select max(price) over (partition by kind order by day, id rows between 100 preceding and 100 following) as m from facts) s',
  // distinct
  'select distinct kind, flag from facts order by 1, 2 nulls first',
  'select distinct label, small % 3 from facts order by 1 nulls first, 2 nulls first',
  'select count(*) from (select distinct note, day from facts) s',
  'select distinct on (kind) kind, id, price from facts order by kind, price desc, id',
  'select distinct on (label, flag) label, flag, note, at from facts order by label nulls last, flag desc nulls last, id desc',
  'select distinct on (small) small, dim, ratio from facts where id > 100 order by small desc nulls first, ratio desc nulls last, id',
  'select distinct on (ratio) ratio, id from facts where id < 5000 order by ratio, id desc',
  'select count(*), sum(id) from (select distinct on (dim, kind) id from facts order by dim, kind, price, id) s',
  'select distinct on (kind) kind, count(*) as n, label from facts group by kind, label order by kind, n desc, label nulls first',
  'select distinct wide from wides order by 1 nulls first limit 500',
  // set operations
  'select small from facts union select dim from facts order by 1 nulls first',
  "select kind, label from facts where flag union select 'ZZ', name from dims order by 1, 2 nulls first",
  'select count(*), sum(x), min(y), max(z) from (select small as x, label as y, price as z from facts union all select id, name, weight from dims) s',
  'select x, count(*) from (select kind as x from facts union all select area from dims) s group by x order by x nulls first',
  'select y, count(*), sum(x) from (select price as x, day as y from facts where dim = 3 union all select rate, day from facts where dim = 4 union all select null, null from dims where id < 5) s group by y order by y nulls last',
  'select * from (select id, note as t from facts where small < 30 union all select id, name from dims where id < 60) s order by t, id limit 50',
  'select small from facts intersect select dim from facts order by 1 nulls first',
  'select small from facts except select dim from facts where dim > 100 order by 1 nulls first',
  'select small, kind from facts where flag intersect all select dim, kind from facts where not flag order by 1 nulls first, 2',
  'select small from facts except all select dim from facts where id % 2 = 0 order by 1 nulls first',
  'select count(*) from (select note, day from facts where id < 60000 intersect select note, day from facts where id > 10) s',
  'select label, rate from facts except select label, rate from facts where id % 3 = 0 order by 1 nulls first, 2 nulls first limit 400',
  'select price from facts union select weight from dims order by 1 nulls first limit 300',
  'select wide from wides except select other from wides where id % 2 = 0 order by 1 nulls first limit 100',
  "select kind::text from facts union select label from facts union all select name from dims where id < 4 order by 1 nulls first",
  'select d.name, count(*) from dims d join (select dim from facts where flag union all select small from facts) u on u.dim = d.id group by 1 order by 2 desc, 1 limit 20',
  "select id, row_number() over (order by id, what) from (select id, 'f' as what from facts where id < 3000 union all select id, 'd' from dims where id < 3000) s order by 2",
  // grouping sets
  'select kind, flag, count(*), sum(price), grouping(kind, flag) from facts group by rollup (kind, flag) order by 1 nulls last, 2 nulls last, 5',
  'select kind, small % 4 as m, label, count(*), avg(price), max(note), grouping(kind, label) from facts where dim < 40 group by cube (kind, small % 4, label) order by 7, 1 nulls last, 2 nulls last, 3 nulls last, 4',
  'select day, dim, sum(small), count(distinct label) from facts where id % 9 = 0 group by grouping sets ((day), (dim), ()) order by 1 nulls last, 2 nulls last, 3 nulls last, 4',
  'select label, day, count(*) as n from facts group by rollup (label, day) having count(*) > 40 order by 1 nulls last, 2 nulls last, 3',
  'select grouping(kind), kind, rank() over (partition by grouping(kind) order by sum(price)) from facts group by rollup (kind) order by 1, 2',
  'select kind, count(*) from facts where price < 0 group by grouping sets ((kind), ()) order by 1',
];

const both = besideOracle(MADE_DATA);

test('kernels, rows and PostgreSQL give the same answers', async () => {
  for (const [n, query] of QUERIES.entries()) {
    // Rows take long; the other tests ask for more of them.
    await expectSame(both, query, n % 4 === 0);
  }
}, 300_000);

test('the operators do run as kernels', async () => {
  const onRows: string[] = [];
  for (const query of QUERIES) {
    const { rows } = await run(both.client, `explain (analyze, costs off, timing off) ${query}`);
    const text = rows.map((row) => String(row[0])).join('\n');
    // A DISTINCT is a grouping, which reads the scan's segments itself.
    if (!text.includes('Columns: kernels') && !(query.includes('distinct') && text.includes('Columns:'))) onRows.push(`${query}\n${text}`);
  }
  // Values beyond 2^53: the row operators.
  expect(onRows.length, onRows.join('\n\n')).toBeLessThanOrEqual(2);
}, 120_000);

test('what is wrong is said as by rows', async () => {
  for (const query of ['select ntile(0) over (order by id) from facts', 'select nth_value(id, 0) over (order by id) from facts', 'select sum(id) over (order by id rows between -1 preceding and current row) from facts', 'select sum(id) over (order by dim range between -1 preceding and current row) from facts', "select sum(id) over (order by day range between interval '-1 day' preceding and current row) from facts", 'select sum(id) over (order by dim groups between null preceding and current row) from facts', 'select sum(small * 32767 * 32767) over (order by id) from facts', 'select small from facts union select label::int from facts']) {
    expect({ query, ...(await run(both.client, query)) }).toEqual({ query, ...(await run(both.other, query)) });
  }
}, 60_000);

test('with little memory the answers are the same', async () => {
  await both.client.query("set work_mem = '64kB'; set oxbow.column_memory = '400kB'");
  for (const query of QUERIES.filter((_, n) => n % 9 === 1)) expect({ query, ...(await run(both.client, query)) }).toEqual({ query, ...(await run(both.other, query)) });
  await both.client.query('reset work_mem; reset oxbow.column_memory');
}, 120_000);

const OF_B = 'min(b.note), max(b.at), count(b.label), sum(b.price), sum(b.rate), sum(b.small), sum(b.wide), max(b.day), sum(b.dim), count(b.flag)';

/** What takes more than a quarter of 12 MB, as groups or as the inner side of a join. */
const LARGE: readonly string[] = [
  'select count(*), sum(n), max(s), min(c), max(d), sum(e), min(g), sum(h) from (select id, day, count(*) as n, sum(price) as s, min(rate) as c, max(at) as d, sum(small) as e, max(wide) as g, count(label) as h from facts group by id, day) x',
  'select id, note, count(*), sum(price), min(at), max(small), avg(rate), sum(wide), max(day) from facts group by id, note order by id limit 1000',
  `select count(*), ${OF_B} from facts a join facts b on a.id = b.id`,
  `select a.kind, count(*), ${OF_B} from facts a right join facts b on a.id = b.id + 5 and b.flag group by a.kind order by 1 nulls last`,
  `select count(*), count(a.id), ${OF_B} from facts a full join facts b on a.wide = b.wide and a.id = b.id`,
  "select count(*), sum(a.price) from facts a where not exists (select from facts b where b.wide = a.wide and (b.note < a.label or b.at > a.day or b.price + b.rate + b.small + b.dim < a.price or b.label > 'l' or b.flag) and b.price <> a.price)",
  `select a.label, count(*), ${OF_B} from facts a join facts b on a.note = b.note and a.day = b.day group by a.label order by 1 nulls last`,
  `select d.area, count(*), ${OF_B} from facts a join facts b on a.id = b.id left join dims d on d.id = b.dim group by d.area order by 1 nulls last`,
];

test('groups and joins beyond their memory run part by part', async () => {
  await both.client.query("set work_mem = '64kB'; set oxbow.column_memory = '12MB'; set max_parallel_workers_per_gather = 0");
  let inParts = 0;
  for (const query of LARGE) {
    expect({ query, ...(await run(both.client, query)) }).toEqual({ query, ...(await run(both.other, query)) });
    const { rows } = await run(both.client, `explain (analyze, costs off, timing off) ${query}`);
    const text = rows.map((row) => String(row[0])).join('\n');
    if (/Batches: ([2-9]|\d\d)/.test(text) && !text.includes('Disk Usage: 1')) inParts++;
  }
  await both.client.query('reset work_mem; reset oxbow.column_memory; reset max_parallel_workers_per_gather');
  expect(inParts).toBeGreaterThan(LARGE.length - 3);
}, 120_000);

test(`at random moments beside writers (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  const writer = await connect(both.server.port);
  let going = true;
  let commits = 0;
  const write = async (): Promise<void> => {
    for (let key = 2_000_000; going; key++) {
      const id = 1 + Math.floor(random() * 70000);
      const what = random();
      if (what < 0.6) await writer.query('update facts set price = price + 1, label = $2, small = $3, dim = $4 where id = $1', [id, `label ${id % 50}`, id % 200, id % 40]);
      else if (what < 0.7) await writer.query('delete from facts where id = $1', [id]);
      else await writer.query("insert into facts (id, price, day, kind, dim, rate) values ($1, 10.25, '1995-05-05', 'NEW', 3, 0.5)", [key]);
      commits++;
    }
  };
  const writing = write();
  const started = Date.now();
  for (let round = 0; round < 16 && Date.now() - started < 60_000; round++) {
    const query = QUERIES[Math.floor(random() * QUERIES.length)]!;
    await both.client.query('begin isolation level repeatable read');
    const columns = await run(both.client, query);
    await both.client.query('set local oxbow.columns = off');
    const rows = await run(both.client, query);
    await both.client.query('commit');
    expect({ round, query, ...columns }, `seed ${seed}`).toEqual({ round, query, ...rows });
  }
  going = false;
  await writing;
  await writer.end();
  expect(commits).toBeGreaterThan(10);
}, 180_000);

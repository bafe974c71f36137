/**
 * Columns answer what rows answer. Every query runs twice in one transaction, with the column segments
 * and without (`oxbow.columns`), at the same snapshot: over made data of every class, and while others
 * insert, update, delete, roll back and load. The first kind is compared with PostgreSQL too.
 */
import { expect, test } from 'vitest';
import type pg from 'pg';
import { expectSame } from './expect-same.js';
import { besideOracle } from '../harness/beside-oracle.js';
import { connect, run } from '../harness/compare.js';
import { MADE_DATA, randomFrom } from './made-data.js';

const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

const QUERIES = [
  'select count(*), count(small), count(label), sum(small), sum(wide), sum(price), sum(rate), avg(price), avg(rate), avg(wide), avg(small) from facts',
  'select min(small), max(small), min(wide), max(wide), min(price), max(rate), min(ratio), max(ratio), min(day), max(day), min(at), max(at), min(label), max(note), min(kind) from facts',
  'select kind, flag, count(*), sum(price * (1 - rate)), sum(price * (1 - rate) * (1 + rate)) from facts group by kind, flag order by kind, flag nulls first',
  "select sum(case when kind = 'AA' then price * rate else 0 end), sum(case when kind = 'nope' then price * rate else 0 end), sum(case when flag then 1 else 0 end) from facts",
  "select extract(year from day) as y, count(*), sum(wide) from facts where day between '1993-03-01' and date '1993-03-01' + interval '2 years' group by y order by y",
  "select label, count(distinct dim), count(*) filter (where flag), count(*) filter (where not flag) from facts where label like 'label 1%' group by label order by label",
  "select count(*) from facts where note like '%99%' and label is not null and kind <> 'B'",
  "select count(*) from facts where not (flag and small > 100) or label is null",
  "select count(*) from facts where (flag or small > 100) is true and (label <> 'label 3') is not false",
  'select count(*) from facts where ratio > 20 or ratio = \'NaN\'',
  "select substring(label from 1 for 7) as s, upper(kind) as k, count(*), stddev(small), string_agg(distinct kind, '') from facts group by 1, 2 order by 1 nulls first, 2",
  'select small % 10 as d, count(*), bool_and(flag), bool_or(flag), sum(small + 1), sum(small * 2 - dim) from facts group by 1 order by 1 nulls last',
  "select count(*), sum(length(label)), max(length(note)), avg(length(label)) from facts where length(note) > 20",
  "select date_trunc('month', at) as m, count(*) from facts group by 1 order by 1 nulls last limit 20",
  "select count(*) from facts where at < date '2020-01-10' or day >= timestamp '1998-01-01 12:00'",
  "select count(*) from facts where small in (1, 2, 3, null) or price in (1.50, 99.99) or kind in ('AA', 'C')",
  "select coalesce(label, 'none') as l, nullif(kind, 'B') as k, greatest(small, dim) > 100 as g, count(*) from facts group by 1, 2, 3 order by 1, 2 nulls first, 3 nulls first",
  'select f.kind, d.area, count(*), sum(f.price * d.weight) from facts f join dims d on f.dim = d.id group by 1, 2 order by 1, 2 nulls first',
  'select count(*), count(d.id), count(d.name), sum(d.weight) from facts f left join dims d on f.dim = d.id and d.weight > 20',
  'select count(*), count(f.id), count(d.id) from facts f right join dims d on f.dim = d.id and f.flag',
  'select count(*), count(f.id), count(d.id), sum(f.small) from facts f full join dims d on f.dim = d.id and d.id % 2 = 0',
  'select kind, count(*) from facts f where exists (select from dims d where d.id = f.dim and d.area is not null) group by 1 order by 1',
  'select kind, count(*) from facts f where not exists (select from dims d where d.id = f.dim and d.weight <> f.price) group by 1 order by 1',
  'select count(*) from facts f where dim in (select id from dims where area like \'area 3%\')',
  'select d.name, count(*) from dims d join facts f on f.label = \'label \' || d.id group by 1 order by 2 desc, 1 limit 10',
  'select a.kind, count(*) from facts a join facts b on a.id = b.id and a.label = b.label where b.flag group by 1 order by 1',
  'select count(*) from facts a join dims d on a.wide = d.id * 1000003',
  'select f.id, f.price, d.name from facts f join dims d on f.dim = d.id where f.price > 998 and d.weight < 30 order by f.id',
  'select id, kind, note, rate, ratio, at, flag from facts where price between 500 and 500.05 order by id',
  'select x, count(*) from (select dim, sum(price) as x from facts group by dim having sum(price) > 70000) s group by x order by 1 desc limit 5',
  'select sum(f.price) from facts f join dims d on d.id = f.dim where f.id < 300 and f.rate < (select 0.5 * avg(g.rate) from facts g where g.dim = d.id)',
  'select day, sum(price) as total from facts group by day having sum(price) > (select avg(price) * 30 from facts) order by total desc, day limit 7',
  "select count(*) from facts where (kind = 'AA' and price > 100 and dim = 3) or (kind = 'C' and price < 50 and dim = 3)",
  'select small::int8 * 2147483647, count(*) from facts where small > 290 group by 1 order by 1',
  'select sum(wide * 1000), avg(wide * wide) from facts',
  'select kind, sum(ratio), avg(ratio) from facts where ratio < 1000 group by 1 order by 1',
  'select f.kind, f.flag, d.area, count(*), sum(f.small), count(f.price) from facts f right join dims d on f.dim = d.id group by 1, 2, 3 order by 1 nulls first, 2 nulls first, 3 nulls first',
  'select f.id, d.id, f.label from facts f full join dims d on f.id = d.id + 69000 where f.id > 69900 or d.id > 19990 order by 1 nulls first, 2',
  "select kind, label, flag, small, count(*), sum(price) from facts where dim = 7 group by 1, 2, 3, 4 order by 1, 2 nulls last, 3 nulls last, 4 nulls last",
  'select id, kind, label, note, count(*), max(price) from facts where dim < 4 group by id order by id',
  'select f.id, f.note, count(d.name) from facts f left join dims d on d.id = f.small and d.area is null where f.id % 50 = 0 group by f.id order by f.id',
  'select day, count(*), count(label), count(dim), avg(price), sum(wide) from facts group by day order by day limit 40',
  'select kind, count(*) from facts f where dim in (select small from facts) group by 1 order by 1',
  'select kind, count(*) from facts f where not exists (select from facts g where g.small = f.dim and g.flag) group by 1 order by 1',
  'select d.area, count(*), count(f.id) from dims d left join facts f on f.id = d.id group by 1 order by 1 nulls last',
  'select count(*), sum(price) from facts where dim not in (select small from facts where small > 250)',
  'select count(*) from facts where small not in (select id from dims where area is null and id < 200) and kind in (select area from dims)',
  'select count(*) from facts where dim not in (select dim from facts where id < 500) or label not in (select name from dims)',
  'select count(*) from facts where not (note in (select note from facts where id % 1000 = 1 and id < 60000)) and id not in (select id from dims where id < 0)',
  "select count(*) from facts where note like 'note number 1%'",
  "select count(*) from facts where note not like '%number%77%é😀' and label like '%'",
  "select count(*) from facts where note like '%7 é😀' or note like 'note number 12'",
  "select count(*) from facts where note like '%9%8%7%' or note like 'note%5%3%' or note like '%mber 4_ %'",
  "select upper(substring(note from 1 for 14)) as u, count(*) from facts where id < 30000 group by 1 order by 2 desc, 1 limit 12",
  'select kind, count(*) from facts a where exists (select from facts b where b.dim = a.dim and b.small <> a.small) group by 1 order by 1',
  'select kind, count(*) from facts a where not exists (select from facts b where b.small = a.dim and b.id < a.id and b.flag) group by 1 order by 1',
  'select count(*) from facts a where exists (select from facts b where b.dim = a.dim and a.day > b.day) and not exists (select from dims d where d.id = a.id and d.id >= a.small)',
  'select count(*), sum(f.price) from facts f join dims d on f.dim = d.id and f.rate = d.weight',
  'select count(*) from facts f join dims d on f.price = d.weight',
  'select count(*) from facts f where price in (select sum(weight) from dims group by name)',
  'select d.name, s.n, s.total, s.average, s.least from dims d join (select dim, count(*) as n, sum(price) as total, avg(price) as average, min(label) as least from facts group by dim having count(*) > 120) s on s.dim = d.id order by d.id',
  'select n, count(*), min(total) from (select dim, count(small) as n, sum(rate) as total from facts group by dim) s group by n order by n',
  'select f.note, d.name, max(f.id) from facts f join dims d on d.id = f.dim where f.small = 17 group by f.note, d.name order by 1, 2 limit 15',
  'select d.id, f.note, f.label from dims d left join facts f on f.id = d.id and f.flag where d.id between 100 and 130 order by d.id',
  'select d.name, count(*), sum(s.total) from dims d join (select dim, sum(price) as total, max(day) as last from facts group by dim) s on s.dim = d.id where d.id < 12 group by 1 order by 1',
  'select count(*) from (select * from facts where id < 60) a left join (select small, label, count(*) as n from facts group by small, label) b on a.small = b.small and a.label = b.label',
  'select a.id, a.note from facts a where a.id < 40 and not exists (select from facts b where b.dim = a.dim and b.kind = a.kind and b.id > 500) order by 1',
  'select a.id, b.note from (select id, dim, label from facts where id < 25) a join facts b on b.dim = a.dim and b.label = a.label where b.id > 60000 order by 1, 2',
  'select a.id, count(b.id) from (select id, small from facts where id between 100 and 140) a left join facts b on b.small = a.small and b.flag group by 1 order by 1',
  'select count(*), count(wide), min(wide), max(wide), sum(wide), avg(other), count(distinct wide), count(distinct other) from wides',
  'select wide, count(*), sum(other), max(other) from wides group by wide order by 2 desc, 1 limit 8',
  'select other, count(wide) from wides where wide is not null and wide <> 2305843009213693 and id > 30 group by other order by other limit 9',
  'select w.id, w.wide, f.kind from wides w join facts f on f.id = w.wide where w.id < 100 order by 1',
  'select a.other, count(*) from wides a join wides b on a.wide = b.wide and b.id < 200 group by 1 order by 1',
  'select wide from wides where wide = 9220942174825557207 or other = -9223372036854775808 + 3 and id < 300 order by 1 nulls first',
  'select id, small, kind from facts where small < 40 order by small desc, kind, id limit 25',
  'select small, label, id from facts where id % 3 = 0 order by small nulls first, label desc nulls last, id desc limit 30 offset 5',
  'select ratio, id from facts where id > 50000 order by ratio desc, id limit 40',
  'select ratio, flag, id from facts where dim < 40 order by ratio nulls first, flag desc nulls last, id',
  'select price, rate, at, id from facts where flag order by rate desc nulls last, price, id limit 50',
  'select note, id from facts where small = 7 order by note desc limit 12',
  'select label, kind, count(*) as n, sum(price) as total from facts group by 1, 2 order by total desc, label, kind limit 10',
  'select dim, small, count(*) as n, avg(price) as mean from facts group by 1, 2 order by n desc, mean desc, dim, small limit 10',
  'select day, count(*) as n from facts group by day order by n, day desc limit 15',
  'select kind, day, id from facts where id > 2000 order by kind, day, id limit 20',
  'select f.id, d.name, d.area from facts f join dims d on d.id = f.dim where f.small > 250 order by d.area nulls first, d.name, f.id limit 33',
  'select f.id, d.id, f.label from facts f full join dims d on f.id = d.id + 65000 where f.id > 60000 or d.id > 4000 order by f.id nulls first, d.id limit 20',
  'select f.id, d.id from facts f full join dims d on f.id = d.id + 65000 where f.id > 60000 or d.id > 4000 order by f.id desc nulls last, d.id limit 20',
  'select wide, other, count(*), sum(wide), avg(wide), count(distinct other) from wides group by wide, other order by 3 desc, 1 nulls first, 2 limit 20',
  'select id % 5, wide, count(*), count(distinct wide) from wides where id < 9000 group by 1, 2 order by 1, 2 nulls last limit 300',
  'select id % 50 as m, count(distinct wide), sum(wide), sum(other), avg(other), sum(-wide) from wides group by 1 order by 1',
  'select count(*), sum(wide) from wides where wide > 9000000000000000000 or wide < 5000',
  'select count(*) from wides where wide >= 2305843009213693 and wide <> 4611686018427386 and other < -9223372036854775800',
  'select count(*) from wides where wide <= other or other >= -9223372036854775770 and wide > id',
  'select count(*) from wides where wide = id or wide < -1 or wide is null',
  "select * from facts where label like '%7%' order by price desc, id limit 11",
  "select * from facts where id % 2 = 0 order by at nulls first, id limit 25",
  'select id, dim, count(*) as n, sum(price), avg(price), avg(small), max(note) from facts group by id, dim order by n desc, id limit 10',
  'select * from wides order by other, id desc limit 40',
  'select x.kind, x.total, x.mean, x.label from (select kind, label, day, sum(price) as total, avg(rate) as mean from facts group by kind, label, day) x where x.total > 3 order by x.total desc, x.kind, x.label, x.mean limit 17',
  'select note, id from facts order by note limit 7',
  'select note from facts where id % 2 = 1 order by note desc limit 9',
  'select label, id from facts order by label desc nulls last, id limit 10',
  'select label, note from facts where id > 100 order by label nulls first, note desc limit 2000',
  'select note, count(*) as n from facts group by note order by note desc limit 5',
  'select wide, id from wides where id > 100 order by wide desc nulls last, id limit 10',
  'select at, day, id from facts where id % 2 = 0 order by at desc nulls first, day, id limit 10',
  'select id, note, d.name, label, f.price, at from facts f left join dims d on d.id = f.small where f.id % 3 = 1 order by price desc, id limit 8',
  'select count(*) from facts where 1000 / nullif(small, 0) > 10',
  'select count(*) from facts where small <> 0 and case when small = 0 then false else 1000 / small > 10 end',
];

const both = besideOracle(MADE_DATA);

test('columns, rows and PostgreSQL give the same answers', async () => {
  for (const query of QUERIES) {
    await expectSame(both, query, true);
  }
}, 300_000);

test('the queries above do run on columns', async () => {
  let served = 0;
  for (const query of QUERIES) {
    const { rows } = await run(both.client, `explain (analyze, costs off, timing off) ${query}`);
    if (rows.some((row) => String(row[0]).includes('Columns:'))) served++;
  }
  // Not those that only ask an index or whose values do not fit (a product of large integers).
  expect(served).toBeGreaterThan(QUERIES.length * 0.9);
}, 120_000);

test('an error that only a row may raise is raised when a row does, and only then', async () => {
  await expect(both.client.query('select count(*) from facts where 1000 / small > 10')).rejects.toMatchObject({ code: '22012' });
  await expect(both.client.query('select sum(small * 32767 * 32767) from facts')).rejects.toMatchObject({ code: '22003' });
  await expect(both.client.query("select count(*) from facts where label::int > 3")).rejects.toMatchObject({ code: '22P02' });
}, 60_000);

test('with little memory for segments the answers are the same', async () => {
  await both.client.query("set oxbow.column_memory = '100kB'");
  for (const query of QUERIES.filter((_, n) => n % 7 === 0)) expect({ query, ...(await run(both.client, query)) }).toEqual({ query, ...(await run(both.other, query)) });
  await both.client.query('reset oxbow.column_memory');
}, 120_000);

test('count(*) of a whole table is exact beside own and foreign changes', async () => {
  const count = async (of: pg.Client): Promise<number> => Number((await of.query<{ n: string }>('select count(*) as n from facts')).rows[0]!.n);
  const writer = await connect(both.server.port);
  expect(await count(both.client)).toBe(70000);
  await both.client.query('begin isolation level repeatable read');
  expect(await count(both.client)).toBe(70000);
  await writer.query('begin');
  await writer.query('delete from facts where id <= 100');
  expect(await count(writer)).toBe(69900);
  await writer.query("insert into facts (id, price, day, kind) select 500000 + g, 1, date '2000-01-01', 'OWN' from generate_series(1, 50) g");
  await writer.query('savepoint s');
  await writer.query('update facts set price = price + 1 where id > 500020');
  await writer.query('delete from facts where id > 500040 or id = 101');
  expect(await count(writer)).toBe(69939);
  await writer.query('rollback to s');
  expect(await count(writer)).toBe(69950);
  await writer.query('update facts set small = 3 where id > 500010');
  await writer.query('delete from facts where id > 500000');
  expect(await count(writer)).toBe(69900);
  expect(await count(both.client)).toBe(70000);
  await writer.query('commit');
  expect(await count(writer)).toBe(69900);
  expect(await count(both.client)).toBe(70000);
  await both.client.query('commit');
  expect(await count(both.client)).toBe(69900);
  await writer.end();
}, 60_000);

test(`at random moments beside writers (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  const writers = await Promise.all(Array.from({ length: 3 }, () => connect(both.server.port)));
  let going = true;
  let commits = 0;
  let key = 1_000_000;
  const write = async (writer: pg.Client): Promise<void> => {
    while (going) {
      try {
        await writer.query('begin');
        const n = 1 + Math.floor(random() * 5);
        for (let i = 0; i < n; i++) {
          const id = 1 + Math.floor(random() * 70000);
          const what = random();
          if (what < 0.5) await writer.query('update facts set price = price + 1, label = $2, small = $3 where id = $1', [id, `label ${id % 50}`, id % 200]);
          else if (what < 0.65) await writer.query('delete from facts where id = $1', [id]);
          else if (what < 0.9) await writer.query("insert into facts (id, price, day, kind, dim, rate) values ($1, 10.25, '1995-05-05', 'NEW', 3, 0.5)", [++key]);
          else await writer.query("insert into facts (id, price, day, kind) select $1::int + g, 1.00, date '1996-06-06', 'BULK' from generate_series(1, 2000) g", [(key += 3000) - 2500]);
        }
        if (random() < 0.2) await writer.query('rollback');
        else {
          await writer.query('commit');
          commits++;
        }
      } catch (error) {
        // Two writers may delete and update in opposite order.
        await writer.query('rollback');
        if ((error as { code?: string }).code !== '40P01') throw error;
      }
    }
  };
  const running = writers.map(write);
  const checks = QUERIES.filter((_, n) => [0, 2, 5, 7, 17, 18, 22, 27, 30].includes(n));
  for (let round = 0; round < 24; round++) {
    const query = checks[round % checks.length]!;
    await both.client.query('begin isolation level repeatable read');
    const columns = await run(both.client, query);
    await both.client.query('set local oxbow.columns = off');
    const rows = await run(both.client, query);
    await both.client.query('commit');
    expect({ round, query, ...columns }, `seed ${seed}`).toEqual({ round, query, ...rows });
  }
  going = false;
  await Promise.all(running);
  for (const writer of writers) await writer.end();
  expect(commits).toBeGreaterThan(20);
}, 180_000);

/** Row estimates with statistics objects are PostgreSQL's: conditions on several columns, groups by several, expressions. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { besideOracle } from '../harness/beside-oracle.js';

const SCHEMA = `
create table st (a int, b int, c text, d numeric, e date, f bool);
insert into st select i % 100, (i % 100) / 10, 'v' || (i % 20), (i % 7) / 2.0, date '2020-01-01' + i % 50, i % 4 = 0 from generate_series(1, 10000) i;
create statistics st_ab (dependencies) on a, b from st;
create statistics st_nd (ndistinct) on a, b, c from st;
create statistics st_ex on (a + b), (lower(c)), b from st;
create statistics on (a % 10) from st;
create statistics st_fm (mcv) on d, c from st;
alter statistics st_fm set statistics 200;
create statistics st_ef on e, f, c from st;
analyze st;
`;

const QUERIES = [
  'select * from st where a = 1 and b = 0', 'select * from st where a = 1 and b = 5', 'select * from st where a < 10 and b = 0', 'select * from st where a in (1, 2, 3) and b = 0',
  "select * from st where d = 1.5 and c = 'v3'", "select * from st where d = 1.5 and c in ('v3', 'v4')", "select * from st where d > 1 and c <> 'v3'", 'select * from st where d is null and c is not null',
  'select a, b from st group by a, b', 'select a, b, c from st group by a, b, c', 'select distinct a, b from st', 'select a, b, d from st group by a, b, d',
  'select * from st where a % 10 = 3', "select * from st where lower(c) = 'v3'", 'select a + b from st group by a + b', 'select lower(c), b from st group by 1, 2',
  'select * from st where (a = 1 or a = 2) and b = 0', "select * from st where a = 3 and b = 0 and c = 'v3'", "select * from st where lower(c) = 'v3' and a + b = 3",
  "select * from st where f and e = '2020-01-05'", "select * from st where f and e = '2020-01-05' and c = 'v4'", "select * from st where not f and e < '2020-01-10'", 'select * from st where (f or a = 1) and b = 0',
];

const both = besideOracle(SCHEMA);

async function estimated(of: pg.Client, sql: string): Promise<number> {
  const { rows } = await of.query<string[]>({ text: `EXPLAIN ${sql}`, rowMode: 'array' });
  return Number(/rows=(\d+)/.exec(rows[0]![0]!)![1]);
}

test.each(QUERIES)('%s', async (sql) => {
  expect(await estimated(both.client, sql)).toBe(await estimated(both.other, sql));
});

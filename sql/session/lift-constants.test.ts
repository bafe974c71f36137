import { expect, test } from 'vitest';
import { liftConstants } from './lift-constants.js';

test.each([
  ['SELECT abalance FROM pgbench_accounts WHERE aid = 17;', 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;', [23], ['17']],
  ['UPDATE t1 SET a = a + -5, "b 2" = \'it\'\'s 7\' WHERE id=9999999999', 'UPDATE t1 SET a = a + $1, "b 2" = $2 WHERE id=$3', [23, 0, 20], ['-5', 'it\'s 7', '9999999999']],
  ['INSERT INTO t VALUES (1.50, \'\', \'längst\\n\', 2147483647, 2147483648)', 'INSERT INTO t VALUES ($1, $2, $3, $4, $5)', [1700, 0, 0, 23, 20], ['1.50', '', 'längst\\n', '2147483647', '2147483648']],
  ['UPDATE t SET a = a -5, b = -6::int2, c = (-7), d = 3 - -8', 'UPDATE t SET a = a -$1, b = -$2::int2, c = ($3), d = $4 - -$5', [23, 23, 23, 23, 23], ['5', '6', '-7', '3', '8']],
  ['delete from x1y2 where k=\'a;b\'', 'delete from x1y2 where k=$1', [0], ['a;b']],
])('%s', (sql, text, types, values) => {
  expect(liftConstants(sql)).toMatchObject({ text, types, values });
});

test.each([
  'SELECT 1; SELECT 2', 'SELECT E\'a\'', 'SELECT U&\'a\'', 'SELECT b\'1\'', 'SELECT $1, 5', 'SELECT $$a$$, 5', 'SELECT 5 -- a', 'SELECT 5 /* a */', 'SELECT 1e5', 'SELECT .5', 'SELECT 5.',
  'SELECT 1a', 'SELECT x FROM t WHERE id = 5 ORDER BY 1', 'SELECT DISTINCT ON (1) x FROM t WHERE id = 5', 'SELECT x', 'WITH a AS (SELECT 1) SELECT 2', 'EXPLAIN SELECT 5', 'SELECT \'open', 'SELECT 99999999999999999999',
  'SELECT 0x1F', 'SELECT 1_000',
])('left alone: %s', (sql) => {
  expect(liftConstants(sql)).toBeNull();
});

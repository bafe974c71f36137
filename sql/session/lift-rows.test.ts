import { expect, test } from 'vitest';
import { liftRows } from './lift-rows.js';

test.each([
  ['INSERT INTO t VALUES (1, \'a\'), (2,\'b\')', 'INSERT INTO t VALUES ($1, $2)', [23, 0], ['1', 'a', '2', 'b']],
  ['insert into "S x".t_1 (a, "b 2")\n values(-5,null) , ( 5000000000 , \'it\'\'s\' ) ;', 'insert into "S x".t_1 (a, "b 2")\n values($1, $2)', [20, 0], ['-5', null, '5000000000', 'it\'s']],
  ['INSERT INTO t VALUES (NULL, TRUE, 1), (1.50, false, 2147483648), (7, null, 3)', 'INSERT INTO t VALUES ($1, $2, $3)', [1700, 16, 20], [null, 'true', '1', '1.50', 'false', '2147483648', '7', null, '3']],
  ['INSERT INTO t VALUES (NULL), (NULL)', 'INSERT INTO t VALUES ($1)', [0], [null, null]],
])('%s', (sql, text, types, values) => {
  expect(liftRows(sql)).toMatchObject({ text, types, values });
});

test.each([
  'INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (1), (2, 3)', 'INSERT INTO t VALUES (1, 2), (3)', 'INSERT INTO t VALUES (1), (\'a\')', 'INSERT INTO t VALUES (true), (1)',
  'INSERT INTO t VALUES (1), (DEFAULT)', 'INSERT INTO t VALUES (1), (2) RETURNING a', 'INSERT INTO t VALUES (1), (2) ON CONFLICT DO NOTHING', 'INSERT INTO t VALUES (1), (2); SELECT 3',
  'INSERT INTO t VALUES (1), (2+3)', 'INSERT INTO t VALUES (1), (-\'2\')', 'INSERT INTO t VALUES (1), (2), ', 'INSERT INTO t VALUES (1), (\'open', 'INSERT INTO t VALUES (1), (E\'a\')', 'INSERT INTO t VALUES (1), (1e5)',
  'INSERT INTO t VALUES (1), (2 -- x\n)', 'INSERT INTO t VALUES (1), (2)) ', 'INSERT INTO t SELECT 1', 'INSERT INTO t AS u VALUES (1), (2)', 'INSERT INTO t VALUES (1), (--2)', 'INSERT INTO t VALUES (1), (99999999999999999999)',
  'INSERT INTO t VALUES ()', 'INSERT INTO t VALUES (1), (2::text)', 'INSERT INTO t VALUES (0x1F), (1_0)', 'INSERT INTO t VALUES (1)(2)',
])('left alone: %s', (sql) => {
  expect(liftRows(sql)).toBeNull();
});

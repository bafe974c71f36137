/**
 * Statements that touch one row by its key take a path of their own (sql/executor/short). Random ones, with literals and with
 * parameters, in and out of transaction blocks, on PostgreSQL and on Oxbow: answers and the tables afterwards
 * must be the same. The seed is in the test's name.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let oracle: Oracle;
let server: TestServer;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

const SETUP = [
  'CREATE TABLE plain (id int PRIMARY KEY, n int, big int8, t text, r numeric(8,2))',
  'CREATE TABLE checked (id int8 PRIMARY KEY, n int NOT NULL CHECK (n < 900), twice int GENERATED ALWAYS AS (n * 2) STORED, u int UNIQUE)',
  'CREATE TABLE pairs (a int2, b varchar(5), v float8 DEFAULT 1.5, at timestamp DEFAULT \'2020-01-01\', PRIMARY KEY (a, b))',
  'CREATE TABLE parent (a int, b int, t text, n int UNIQUE, PRIMARY KEY (a, b))',
  'CREATE TABLE child (id serial PRIMARY KEY, a int, b int, n int REFERENCES parent (n), t text, FOREIGN KEY (b, a) REFERENCES parent (b, a))',
  'INSERT INTO parent SELECT i % 5, i / 5, \'p\', i FROM generate_series(1, 20) i',
  'CREATE TABLE indexed (id int PRIMARY KEY, n int, t text); CREATE INDEX ON indexed (n); CREATE INDEX ON indexed (t) WHERE n > 5',
  'INSERT INTO plain SELECT i, i, i, \'row \' || i, i FROM generate_series(1, 20) i',
  'ALTER TABLE plain ADD COLUMN late int DEFAULT 7',
  'CREATE TABLE notes (id int PRIMARY KEY, c char(6), v varchar(9), k int, d numeric, f float8)',
  `INSERT INTO notes SELECT i, (ARRAY['ab', 'ab ', 'b', 'längst', NULL, 'ab c'])[1 + i * 7 % 6], (ARRAY['x', 'x ', '', NULL, 'é', 'xy', '𐀀', '~'])[1 + i * 5 % 8], nullif(i * 13 % 11, 4), i % 4 / 2.0, i % 5 FROM generate_series(1, 400) i`,
  'ALTER TABLE notes ADD COLUMN late varchar(5) DEFAULT \'dflt\'',
];

/** mulberry32 */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Statement { readonly text: string; readonly values?: string[] }

function statement(pick: (below: number) => number): Statement {
  const id = String(pick(30));
  const n = pick(8) === 0 ? 'NULL' : String(pick(1000) - 20);
  const word = ['\'\'', '\'a\'', '\'ab\'', '\'längst\'', 'NULL', '\'abcdefgh\''][pick(6)];
  const choices = [
    `SELECT * FROM plain WHERE id = ${id}`,
    `SELECT t, n + 1, upper(t) FROM plain WHERE id = ${id} AND n > 3`,
    `UPDATE plain SET n = n + ${n} WHERE id = ${id}`,
    `UPDATE plain SET n = ${n}, t = ${word}, r = r * 1.1 WHERE id = ${id} RETURNING *`,
    `UPDATE plain SET late = late + 1 WHERE id = ${id} AND t LIKE 'r%' RETURNING id, late`,
    `UPDATE plain SET big = big * 100000000 WHERE id = ${id}`,
    `INSERT INTO plain (id, n, t) VALUES (${id}, ${n}, ${word}) RETURNING id, late`,
    `DELETE FROM plain WHERE id = ${id} RETURNING n`,
    `UPDATE plain SET id = id + 1 WHERE id = ${id}`,
    `UPDATE plain SET n = 1 / ${pick(3)} WHERE id = ${id}`,
    `INSERT INTO checked (id, n, u) VALUES (${id}, ${n}, ${id} % 10)`,
    `UPDATE checked SET n = n + ${n} WHERE id = ${id} RETURNING *`,
    `UPDATE checked SET u = ${pick(12)} WHERE id = ${id}`,
    `SELECT * FROM checked WHERE id = ${id}`,
    `DELETE FROM checked WHERE id = ${id}`,
    `INSERT INTO pairs VALUES (${pick(4)}, ${word})`,
    `INSERT INTO plain VALUES (${id}, ${n}, 7, ${word}, 1.5), (${pick(60)}, 3, NULL, 'two', 200), (${pick(200)}, NULL, 5000000000, NULL, -1)`,
    `INSERT INTO checked (id, n, u) VALUES (${id}, ${n}, NULL), (${pick(99)}, 4, ${pick(99)})`,
    `INSERT INTO indexed (t, id, n) VALUES (${word}, ${id}, ${n}), ${Array.from({ length: 30 }, (_, i) => `('m', ${pick(9) * 1000 + 100 + i}, ${i})`).join(', ')}`,
    `INSERT INTO indexed SELECT i, i % 7, 's' FROM generate_series(${pick(20) * 500 + 50}, ${pick(20) * 500 + 50}) i`,
    `UPDATE pairs SET v = v / 3, at = at + interval '1 hour' WHERE a = ${pick(4)} AND b = ${word}`,
    `SELECT * FROM pairs WHERE a = ${pick(4)} AND b = ${word}`,
    `DELETE FROM pairs WHERE b = ${word} AND a = ${pick(4)}`,
    `INSERT INTO indexed VALUES (${id}, ${n}, ${word})`,
    `INSERT INTO child (a, b, n, t) VALUES (${pick(6)}, ${pick(5)}, ${pick(25)}, ${word}) RETURNING id`,
    `INSERT INTO child (a, b, n) VALUES (${pick(5)}, ${pick(4)}, NULL)`,
    `INSERT INTO child (a, n) VALUES (${pick(5)}, ${pick(25)})`,
    `INSERT INTO child (a, b) VALUES (${pick(5)}, ${pick(4)}), (${pick(6)}, 1)`,
    `UPDATE child SET t = ${word} WHERE id = ${id}`,
    `UPDATE child SET b = ${pick(5)} WHERE id = ${id} RETURNING a, b`,
    `DELETE FROM child WHERE id = ${id}`,
    `INSERT INTO parent VALUES (${pick(6)}, ${pick(6)}, ${word}, ${pick(40)})`,
    `UPDATE parent SET t = ${word} WHERE a = ${pick(6)} AND b = ${pick(5)} RETURNING t`,
    `UPDATE parent SET n = n + 20 WHERE a = ${pick(6)} AND b = ${pick(5)}`,
    `DELETE FROM parent WHERE a = ${pick(6)} AND b = ${pick(5)}`,
    `UPDATE indexed SET n = n + 1 WHERE id = ${id} RETURNING n`,
    `UPDATE indexed SET t = ${word} WHERE id = ${id}`,
    `DELETE FROM indexed WHERE id = ${id} AND n < 500`,
    `SELECT n FROM plain WHERE id = 99999999999`,
    `SELECT id, n, upper(t) FROM plain WHERE id = ${id} FOR UPDATE`,
    `SELECT * FROM plain WHERE id = ${id} AND n > 3 FOR SHARE NOWAIT`,
    `SELECT n + ${n}, t FROM indexed WHERE id = ${id} FOR NO KEY UPDATE SKIP LOCKED`,
    `SELECT v FROM pairs WHERE a = ${pick(4)} AND b = ${word} FOR KEY SHARE`,
    // Inner sides of nested loops that look up a whole unique key.
    `SELECT c.id, p.t, p.n FROM child c LEFT JOIN parent p ON p.a = c.a AND p.b = c.b AND p.n > ${pick(20)} WHERE c.id = ${id}`,
    `SELECT a.id, a.big, b.t, b.late FROM plain a JOIN plain b ON b.id = a.big WHERE a.id = ${id}`,
    `SELECT a.id, b FROM plain a LEFT JOIN checked b ON b.id = a.n AND b.twice < ${n} WHERE a.id = ${id}`,
    `SELECT id, t FROM indexed i WHERE id = ${id} AND NOT EXISTS (SELECT 1 FROM plain p WHERE p.id = i.n AND p.t = i.t)`,
    `UPDATE child SET t = p.t FROM parent p WHERE p.n = child.n AND child.id = ${id} RETURNING child.id, child.t`,
    `SELECT id, t, n, r, late FROM plain WHERE id >= ${id} ORDER BY id LIMIT ${pick(6)}`,
    `SELECT id, t || '!' AS loud FROM plain WHERE id > ${id} AND id < ${pick(40)} ORDER BY id DESC`,
    `SELECT * FROM plain WHERE id BETWEEN ${id} AND ${pick(40)} AND n > 3 ORDER BY id LIMIT 4`,
    `SELECT id FROM plain WHERE id > ${id} ORDER BY id LIMIT ${pick(4) - 1}`,
    `SELECT 10 / (id - ${pick(20)}), t FROM plain WHERE id > ${id} ORDER BY id`,
    `SELECT b, v FROM pairs WHERE a = ${pick(4)} ORDER BY b`,
    `SELECT a, b FROM pairs WHERE a = ${pick(4)} AND b >= ${word} ORDER BY b LIMIT 2`,
    `SELECT id, t, n FROM indexed WHERE n BETWEEN ${pick(900)} AND ${pick(1000)} ORDER BY n, id`,
    `SELECT t FROM indexed WHERE id IN (${id}, ${pick(30)}, 3) ORDER BY id`,
    `SELECT sum(k), count(*), count(c), min(v), max(d), avg(f) FROM notes WHERE id BETWEEN ${id} AND ${pick(90)}`,
    `SELECT sum(k) + ${n}, count(DISTINCT c) FILTER (WHERE k > 2), string_agg(v, ',' ORDER BY id DESC) FROM notes WHERE id > ${id} AND id <= ${pick(60)} AND k <> 3`,
    `SELECT count(*) FROM notes WHERE id BETWEEN ${id} AND ${pick(400)}`,
    `SELECT c FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY c`,
    `SELECT v, id, d FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY v DESC, d DESC NULLS LAST, id`,
    `SELECT k, id FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY k ${['DESC', 'NULLS FIRST', 'DESC NULLS LAST', ''][pick(4)]}, id LIMIT ${pick(9)}`,
    `SELECT DISTINCT c FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY c`,
    `SELECT DISTINCT v, k FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY k DESC, v LIMIT ${1 + pick(9)}`,
    `SELECT DISTINCT late, d FROM notes WHERE id BETWEEN ${id} AND ${pick(90)} ORDER BY d, late`,
    `SELECT late, v FROM notes WHERE id BETWEEN ${id} AND ${pick(400)} ORDER BY late, v, id`,
    `SELECT 100 / sum(k - 3) FROM notes WHERE id BETWEEN ${id} AND ${pick(20)}`,
    `UPDATE notes SET k = k + 1, v = ${word} WHERE id = ${id}`,
    `DELETE FROM notes WHERE id = ${id}`,
    `INSERT INTO notes (id, c, v) VALUES (${id}, 'new', ${word})`,
    `INSERT INTO plain (id, n, t) VALUES (${id}, ${n}, ${word}) ON CONFLICT (id) DO UPDATE SET n = plain.n + 1, t = excluded.t || plain.t WHERE plain.n < 500 RETURNING *`,
    `INSERT INTO plain (id, n, t) VALUES (${id}, ${n}, ${word}) ON CONFLICT DO NOTHING RETURNING id, late`,
    `INSERT INTO checked (id, n, u) VALUES (${id}, ${n}, ${pick(12)}) ON CONFLICT (u) DO UPDATE SET n = checked.n + excluded.n, id = excluded.id + 100 RETURNING *`,
    `INSERT INTO checked (id, n, u) VALUES (${id}, ${n}, ${pick(12)}) ON CONFLICT (id) DO UPDATE SET u = ${pick(12)}, n = 1000 / ${pick(3)}`,
    `INSERT INTO pairs (a, b) VALUES (${pick(4)}, ${word}) ON CONFLICT (b, a) DO UPDATE SET v = pairs.v * 2, at = excluded.at RETURNING v`,
    `INSERT INTO parent VALUES (${pick(6)}, ${pick(6)}, ${word}, ${pick(40)}) ON CONFLICT (n) DO UPDATE SET t = excluded.t`,
    `INSERT INTO parent VALUES (${pick(6)}, ${pick(6)}, ${word}, ${pick(40)}) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n`,
    `INSERT INTO notes (id, c, v) VALUES (${id}, ${word}, 'v'), (${id}, 'two', 'w') ON CONFLICT (id) DO UPDATE SET c = excluded.c`,
    'BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s',
  ];
  const text = choices[pick(choices.length)];
  if (pick(2) === 0 || !/ id (=|BETWEEN) \d+/.test(text)) return { text };
  const values: string[] = [];
  return { text: text.replace(/ id (=|BETWEEN) (\d+)/, (_, how: string, value: string) => ` id ${how} $${values.push(value)}`), values };
}

const names = new Map<string, string>();

/** The same text has the same name: it is prepared once. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (!name) names.set(text, (name = `s${names.size}`));
  return name;
}

/** What a client sees of it, in a form to compare. */
async function outcome(client: pg.Client, { text, values }: Statement): Promise<unknown> {
  if (!values) return run(client, text);
  try {
    const { rows, rowCount, fields } = await client.query({ text, values, rowMode: 'array', name: nameOf(text) });
    return { rows, rowCount, fields: fields.map((field) => [field.name, field.dataTypeID]) };
  } catch (error) {
    const { code, message, detail, constraint } = error as Record<string, unknown>;
    return { code, message, detail, constraint };
  }
}

test.each([1, 2, 3])('seed %i', async (seed) => {
  const clients = [await connect(oracle.port), await connect(server.port)] as const;
  try {
    for (const client of clients) {
      await client.query('DROP TABLE IF EXISTS notes, plain, checked, pairs, indexed, child, parent');
      for (const sql of SETUP) await client.query(sql);
      // so few rows are otherwise read by scans, of which there is no short path
      await client.query('SET enable_seqscan = off; SET enable_bitmapscan = off');
    }
    const pick = random(seed);
    for (let i = 0; i < 500; i++) {
      const next = statement(pick);
      const [expected, found] = await Promise.all(clients.map((client) => outcome(client, next)));
      expect(found, `statement ${i}: ${next.text} ${String(next.values ?? '')}`).toEqual(expected);
    }
    for (const client of clients) await client.query('ROLLBACK');
    for (const sql of ['SELECT * FROM plain ORDER BY id', 'SELECT * FROM checked ORDER BY id', 'SELECT * FROM pairs ORDER BY a, b', 'SELECT * FROM indexed ORDER BY id', 'SELECT * FROM child ORDER BY id', 'SELECT * FROM parent ORDER BY a, b', 'SELECT * FROM notes ORDER BY id', 'SELECT id FROM indexed WHERE n = 7 ORDER BY id']) {
      const [expected, found] = await Promise.all(clients.map((client) => run(client, sql)));
      expect(found).toEqual(expected);
    }
  } finally {
    for (const client of clients) await client.end();
  }
}, 60_000);

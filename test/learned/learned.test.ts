/**
 * Indexes USING learned answer what btrees answer: the same statements on PostgreSQL with btrees, every type of key, joins of
 * all kinds; and in one snapshot of Oxbow the same join by the model, by the tree and without an index, while others write.
 * The seed is in the messages.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);

function random(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

let oracle: Oracle;
let server: TestServer;
let there: pg.Client;
let here: pg.Client;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
  there = await connect(oracle.port);
  here = await connect(server.port);
  for (const client of [there, here]) await run(client, 'SET statement_timeout = \'25s\'');
}, 60_000);
afterAll(async () => {
  await there?.end();
  await here?.end();
  await server?.stop();
  await oracle?.stop();
});

const ONLY_LOOPS = 'SET enable_hashjoin = off; SET enable_mergejoin = off';

async function explain(client: pg.Client, sql: string, analyze = false): Promise<string> {
  const { rows, error } = await run(client, `EXPLAIN (COSTS OFF${analyze ? ', ANALYZE, TIMING OFF, SUMMARY OFF' : ''}) ${sql}`);
  expect(error).toBeNull();
  return rows.map(([line]) => line).join('\n');
}

/** Until the index's model is in memory. */
async function learned(client: pg.Client, sql: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    await run(client, sql);
    if (/Learned: error <= \d+, \d+ piece/.test(await explain(client, sql))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not learned:\n${await explain(client, sql)}`);
}

describe('definitions', () => {
  test('what pg_get_indexdef, the catalogs and errors say', async () => {
    await run(here, 'CREATE TABLE defs (a int, b bigint, c text, d numeric, e float8)');
    const one = async (sql: string): Promise<unknown> => (await run(here, sql)).rows[0]?.[0];
    expect((await run(here, 'CREATE INDEX defs_a ON defs USING learned (a)')).error).toBeNull();
    expect((await run(here, 'CREATE UNIQUE INDEX defs_b ON defs USING learned (b) WITH (epsilon = 32) WHERE a > 5')).error).toBeNull();
    expect((await run(here, 'CREATE INDEX defs_e ON defs USING learned ((e * 2))')).error).toBeNull();
    expect(await one(`SELECT pg_get_indexdef('defs_a'::regclass)`)).toBe('CREATE INDEX defs_a ON public.defs USING learned (a)');
    expect(await one(`SELECT pg_get_indexdef('defs_b'::regclass)`)).toBe(`CREATE UNIQUE INDEX defs_b ON public.defs USING learned (b) WITH (epsilon='32') WHERE (a > 5)`);
    expect(await one(`SELECT pg_get_indexdef('defs_e'::regclass)`)).toBe(`CREATE INDEX defs_e ON public.defs USING learned (((e * (2)::double precision)))`);
    expect(await one(`SELECT reloptions FROM pg_class WHERE relname = 'defs_b'`)).toBe('{epsilon=32}');
    expect((await run(here, `SELECT amname, amhandler, amtype, am.oid < 16384 FROM pg_class c JOIN pg_am am ON am.oid = c.relam WHERE relname = 'defs_a'`)).rows).toEqual([['learned', 'learnedhandler', 'i', 't']]);
    expect((await run(here, `SELECT opcname, opcintype::regtype FROM pg_opclass c JOIN pg_am am ON am.oid = opcmethod WHERE amname = 'learned' ORDER BY 1`)).rows).toEqual([
      ['date_ops', 'date'], ['float8_ops', 'double precision'], ['int2_ops', 'smallint'], ['int4_ops', 'integer'], ['int8_ops', 'bigint'], ['oid_ops', 'oid'],
      ['timestamp_ops', 'timestamp without time zone'], ['timestamptz_ops', 'timestamp with time zone'],
    ]);
    expect(Number(await one(`SELECT count(*) FROM pg_amop JOIN pg_am am ON am.oid = amopmethod WHERE amname = 'learned'`))).toBe(100);
    const fails = async (sql: string): Promise<string> => {
      const { error } = await run(here, sql);
      return `${error?.code} ${error?.message}`;
    };
    expect(await fails('CREATE INDEX ON defs USING learned (c)')).toBe('0A000 an index using learned on type text is not supported');
    expect(await fails('CREATE INDEX ON defs USING learned (d)')).toBe('0A000 an index using learned on type numeric is not supported');
    expect(await fails('CREATE INDEX ON defs USING learned (a, b)')).toBe('0A000 access method "learned" does not support multicolumn indexes');
    expect(await fails('CREATE INDEX ON defs USING learned (a) INCLUDE (b)')).toBe('0A000 access method "learned" does not support included columns');
    expect(await fails('CREATE INDEX ON defs USING learned (a DESC)')).toBe('0A000 access method "learned" does not support ASC/DESC options');
    expect(await fails('CREATE INDEX ON defs USING learned (a NULLS FIRST)')).toBe('0A000 access method "learned" does not support NULLS FIRST/LAST options');
    expect(await fails('CREATE INDEX ON defs USING learned (a) WITH (epsilon = 1)')).toBe('22023 value 1 out of bounds for option "epsilon"');
    expect(await fails('CREATE INDEX ON defs USING learned (a) WITH (epsilon = much)')).toBe('22023 invalid value for integer option "epsilon": much');
    expect(await fails('CREATE INDEX ON defs USING learned (a) WITH (fillfactor = 70)')).toBe('22023 unrecognized parameter "fillfactor"');
    expect(await fails('ALTER INDEX defs_a SET (epsilon = 100000)')).toBe('22023 value 100000 out of bounds for option "epsilon"');
    expect(await fails('CREATE UNIQUE INDEX defs_u ON defs USING learned (b); ALTER TABLE defs ADD UNIQUE USING INDEX defs_u')).toBe('42809 index "defs_u" is not a btree');
    expect((await run(here, 'ALTER INDEX defs_a SET (epsilon = 64)')).error).toBeNull();
    await run(here, 'SET enable_seqscan = off');
    expect(await explain(here, 'SELECT * FROM defs WHERE a IN (1, 2, 3)')).toContain('Learned: error <= 64');
    await run(here, 'RESET enable_seqscan');
    await run(here, 'CREATE TABLE defs_like (LIKE defs INCLUDING INDEXES)');
    expect((await run(here, `SELECT indexdef FROM pg_indexes WHERE tablename = 'defs_like' ORDER BY 1`)).rows.map(([text]) => text)).toEqual([
      'CREATE INDEX defs_like_a_idx ON public.defs_like USING learned (a) WITH (epsilon=\'64\')',
      'CREATE INDEX defs_like_expr_idx ON public.defs_like USING learned (((e * (2)::double precision)))',
      'CREATE UNIQUE INDEX defs_like_b_idx ON public.defs_like USING learned (b) WITH (epsilon=\'32\') WHERE (a > 5)',
    ]);
  });

  test('chosen by cost: for many keys and ranges before a btree on the same column, for one key the btree', async () => {
    for (const sql of [
      'CREATE TABLE chosen (k int8 PRIMARY KEY, v int); INSERT INTO chosen SELECT i * 3, i FROM generate_series(1, 100000) i; CREATE INDEX chosen_l ON chosen USING learned (k)',
      'CREATE TABLE few AS SELECT (i * 17 % 300000)::int8 AS k, i FROM generate_series(1, 2000) i', 'ANALYZE chosen', 'ANALYZE few',
    ]) expect((await run(here, sql)).error).toBeNull();
    expect(await explain(here, 'SELECT sum(v) FROM few JOIN chosen USING (k) WHERE i < 50')).toContain('Index Scan using chosen_l on chosen');
    expect(await explain(here, 'SELECT few.i, v FROM few LEFT JOIN chosen USING (k) WHERE i < 100')).toContain('Index Scan using chosen_l on chosen');
    expect(await explain(here, 'SELECT * FROM chosen WHERE k BETWEEN 100 AND 400')).toContain('Index Scan using chosen_l on chosen');
    expect(await explain(here, 'SELECT * FROM chosen WHERE k = 300')).toContain('Index Scan using chosen_pkey on chosen');
    expect(await explain(here, 'SELECT sum(v) FROM few JOIN chosen USING (k)')).toContain('Hash Join');
  });

  test('a unique one refuses repeated keys, also in another transaction', async () => {
    await run(here, 'CREATE TABLE once (a int8); CREATE UNIQUE INDEX once_a ON once USING learned (a); INSERT INTO once VALUES (1), (2), (NULL), (NULL)');
    expect((await run(here, 'INSERT INTO once VALUES (2)')).error).toMatchObject({ code: '23505', message: 'duplicate key value violates unique constraint "once_a"', detail: 'Key (a)=(2) already exists.' });
    expect((await run(here, 'INSERT INTO once VALUES (2), (3) ON CONFLICT (a) DO NOTHING')).tag).toBe('INSERT 1');
    expect((await run(here, 'INSERT INTO once VALUES (5), (5)')).error?.code).toBe('23505');
    await run(here, 'CREATE TABLE twice (a int8); INSERT INTO twice VALUES (7), (7)');
    expect((await run(here, 'CREATE UNIQUE INDEX ON twice USING learned (a)')).error).toMatchObject({ code: '23505', message: 'could not create unique index "twice_a_idx"' });
  });
});

describe('the same answers as PostgreSQL with btrees', () => {
  const KEYS: readonly (readonly [string, string])[] = [
    ['k2', '(i * 7 % 3000)::int2'], ['k4', '(i * 7919 % 100003 - 50000)::int4'],
    ['k8', `CASE WHEN i % 97 = 0 THEN 9223372036854775807 - i % 5 WHEN i % 89 = 0 THEN -9223372036854775808 + i % 3 WHEN i % 3 = 0 THEN i::int8 * 1000003 * 90071992 ELSE i * 3 END`],
    ['n8', `CASE WHEN i % 997 = 0 THEN 9223372036854775807 WHEN i % 991 = 0 THEN -9223372036854775808 ELSE i::int8 * 11 END`],
    ['o', `((i::int8 * 429497) % 4294967296)::oid`], ['f', `CASE i % 101 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN '-0' WHEN 4 THEN '0' ELSE i / 7.0 - 500 END::float8`],
    ['d', `CASE i % 103 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE date '2000-01-01' + i % 4000 END`],
    ['ts', `CASE i % 107 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE timestamp '1990-01-01' + i * interval '17 minutes' END`],
    ['tz', `timestamptz '2010-01-01 00:00+00' + (i % 5000) * interval '1 second'`],
  ];
  const columns = KEYS.map(([name]) => name);

  beforeAll(async () => {
    const types: Readonly<Record<string, string>> = { k2: 'int2', k4: 'int4', k8: 'int8', n8: 'int8', o: 'oid', f: 'float8', d: 'date', ts: 'timestamp', tz: 'timestamptz' };
    for (const client of [there, here]) {
      const using = client === here ? 'learned' : 'btree';
      for (const sql of [
        `CREATE TABLE inn (id int PRIMARY KEY, ${columns.map((name) => `${name} ${types[name]}`).join(', ')}, v text, note text)`,
        `INSERT INTO inn SELECT i, ${KEYS.map(([, text], n) => `CASE WHEN i % ${31 + n} = 0 THEN NULL ELSE ${text} END`).join(', ')}, 'row ' || i, CASE WHEN i % 50 = 0 THEN repeat('x', 9000) END FROM generate_series(1, 12000) i`,
        ...columns.map((name, n) => `CREATE INDEX inn_${name} ON inn USING ${using} (${name})${client === here && n % 3 === 1 ? ' WITH (epsilon = 3)' : ''}`),
        `CREATE INDEX inn_partial ON inn USING ${using} (k4) WHERE v IS NOT NULL`,
        `CREATE INDEX inn_expr ON inn USING ${using} ((k4 / 10))`,
        `CREATE TABLE out (n int, ${columns.map((name) => `${name} ${types[name]}`).join(', ')}, w int8)`,
        `INSERT INTO out SELECT i, ${columns.map((name) => (name === 'f' || name === 'd' || name === 'ts' ? name : `CASE WHEN i % 4 = 0 THEN NULL ELSE ${name} END`)).join(', ')}, CASE i % 3 WHEN 0 THEN 99999999999999 WHEN 1 THEN k4 ELSE k8 END FROM inn, LATERAL (SELECT id AS i) x WHERE id % 9 = 2`,
        `INSERT INTO out SELECT 100000 + i, 1, -60000 + i, 5, 6, 7, 0.5, '1999-01-01', '1989-01-01', '2009-01-01', 3 FROM generate_series(1, 50) i`,
        'ANALYZE inn; ANALYZE out',
      ]) {
        const { error } = await run(client, sql);
        expect(error, sql).toBeNull();
      }
    }
    // Columns of the rows, which look-ups read too.
    await run(here, `SELECT sum(id), max(v), ${columns.map((name) => `count(${name})`).join(', ')} FROM inn WHERE id > 0`);
    await run(here, ONLY_LOOPS);
    for (const name of columns) await learned(here, `SELECT count(i.v) FROM out o JOIN inn i ON i.${name} = o.${name} AND o.n < 2`);
  }, 60_000);

  const compare = async (sql: string): Promise<void> => {
    const [a, b] = await Promise.all([run(there, sql), run(here, sql)]);
    expect(b, sql).toEqual(a);
  };

  test.each(columns)('joins on %s', async (name) => {
    const join = `out o JOIN inn i ON i.${name} = o.${name}`;
    expect(await explain(here, `SELECT count(i.v) FROM ${join}`, true)).toMatch(new RegExp(`using inn_${name} on inn i[^]*Learned: error <= \\d+, \\d+ pieces?, levels \\d[^]*Learned Lookups: \\d+ {2}Hit Rate: 100.0%`));
    await compare(`SELECT count(*), sum(i.id), sum(o.n), max(i.v), count(i.note) FROM ${join}`);
    await compare(`SELECT o.n, i.id, i.v, i.n8, i.d, i.f, i.k8 FROM ${join} WHERE o.n < 2500 ORDER BY o.n, i.id`);
    await run(here, 'SET oxbow.columns = off');
    await compare(`SELECT o.n, i.id, i.v, i.n8, i.d, i.f, i.k8 FROM ${join} WHERE o.n < 2500 ORDER BY o.n, i.id`);
    await run(here, 'SET oxbow.columns = on');
    await compare(`SELECT o.n, i.id, i.${name}, o.${name} = i.${name} FROM ${join} WHERE o.n < 700 ORDER BY o.n, i.id`);
    await compare(`SELECT count(*), count(i.id), sum(i.id) FROM out o LEFT JOIN inn i ON i.${name} = o.${name} AND i.id % 3 = 0`);
    await compare(`SELECT o.n, i.id FROM out o LEFT JOIN inn i ON i.${name} = o.${name} AND i.id % 5 < o.n % 5 ORDER BY o.n, i.id LIMIT 400`);
    await compare(`SELECT count(*), sum(o.n) FROM out o WHERE EXISTS (SELECT FROM inn i WHERE i.${name} = o.${name})`);
    await compare(`SELECT count(*), sum(o.n) FROM out o WHERE NOT EXISTS (SELECT FROM inn i WHERE i.${name} = o.${name})`);
    await compare(`SELECT count(*), sum(o.n) FROM out o WHERE EXISTS (SELECT FROM inn i WHERE i.${name} = o.${name} AND i.id > o.n)`);
    await compare(`SELECT count(*), sum(o.n) FROM out o WHERE NOT EXISTS (SELECT FROM inn i WHERE i.${name} = o.${name} AND i.v LIKE '%3%')`);
  });

  test.each(columns)('scans on %s', async (name) => {
    await run(here, 'SET enable_seqscan = off');
    expect(await explain(here, `SELECT count(*), sum(id) FROM inn WHERE ${name} = ANY (ARRAY(SELECT ${name} FROM inn WHERE id % 100 = 7))`)).toContain(`using inn_${name} on inn`);
    for (const bounds of [`i.${name} > o.${name}`, `i.${name} <= o.${name}`, `i.${name} >= o.${name} AND i.${name} < p.${name}`, `i.${name} BETWEEN o.${name} AND p.${name}`]) {
      const [low, high] = [`(SELECT ${name} FROM inn WHERE id = 4000)`, `(SELECT ${name} FROM inn WHERE id = 4500)`];
      await compare(`SELECT count(*), sum(id), min(id), max(v) FROM inn i WHERE ${bounds.replaceAll(`o.${name}`, low).replaceAll(`p.${name}`, high)}`);
    }
    await compare(`SELECT count(*), sum(id) FROM inn WHERE ${name} IN (SELECT ${name} FROM inn WHERE id IN (5, 6, 7, 200, 202, 303))`);
    await compare(`SELECT count(*), sum(id) FROM inn WHERE ${name} = ANY (ARRAY(SELECT ${name} FROM inn WHERE id % 100 = 7))`);
    await compare(`SELECT count(*), sum(id) FROM inn WHERE ${name} IS NULL`);
    await run(here, 'SET enable_seqscan = on');
  });

  test('odd keys', async () => {
    await compare(`SELECT id FROM inn WHERE f = 'NaN' ORDER BY id LIMIT 5`);
    await compare(`SELECT count(*) FROM inn WHERE f > 'Infinity'`);
    await compare(`SELECT count(*) FROM inn WHERE f >= 1e308`);
    await compare(`SELECT f, count(*) FROM inn WHERE f IN ('0', 'Infinity') GROUP BY f ORDER BY f`);
    await compare(`SELECT count(*) FROM inn WHERE f = '-0'`);
    await compare(`SELECT count(*), sum(id) FROM inn WHERE k8 BETWEEN 9223372036854775803 AND 9223372036854775807`);
    await compare(`SELECT k8, count(*) FROM inn WHERE k8 < -9223372036854775806 GROUP BY k8 ORDER BY k8`);
    await compare(`SELECT count(*) FROM inn WHERE k4 > 9000000000 OR k4 = 12`);
    await compare(`SELECT count(*) FROM inn WHERE k4 IN (1, 99999999999, -5, NULL)`);
    await compare(`SELECT count(*), sum(i.id) FROM out o JOIN inn i ON i.k4 = o.w`);
    await compare(`SELECT count(*), sum(i.id) FROM out o JOIN inn i ON i.k2 = o.w`);
    await compare(`SELECT count(*), sum(i.id) FROM out o JOIN inn i ON i.k4 / 10 = o.n`);
    await compare(`SELECT count(*), sum(i.id) FROM out o JOIN inn i ON i.k4 = o.k4 + 1 WHERE i.v IS NOT NULL`);
    await compare(`SELECT count(*) FROM inn WHERE d = 'infinity' OR d < '-infinity'`);
    await compare(`SELECT o.n, x.id FROM out o, LATERAL (SELECT id FROM inn i WHERE i.k4 = o.k4 ORDER BY id LIMIT 1) x WHERE o.n < 300 ORDER BY 1`);
    await compare(`SELECT i.ctid IS NOT NULL, i.tableoid::regclass, i FROM out o JOIN inn i ON i.k4 = o.k4 WHERE o.n < 40 ORDER BY i.id`);
    await compare(`UPDATE inn SET v = v || '!' FROM out o WHERE inn.k4 = o.k4 AND o.n < 500`);
    await compare(`DELETE FROM inn USING out o WHERE inn.k8 = o.k8 AND o.n BETWEEN 600 AND 700`);
    await compare(`SELECT count(*), sum(id), max(v) FROM inn`);
    await compare(`SELECT o.n, i.v FROM out o JOIN inn i ON i.k8 = o.k8 WHERE o.n < 800 ORDER BY o.n, i.id FOR UPDATE OF i`);
  });

  test('own writes, savepoints, rollback, TRUNCATE, REINDEX', async () => {
    const both = async (sql: string): Promise<void> => compare(sql);
    const look = 'SELECT count(*), sum(i.id), max(i.v) FROM out o JOIN inn i ON i.k4 = o.k4';
    for (const sql of [
      'BEGIN', 'UPDATE inn SET k4 = k4 + 1 WHERE id % 10 = 2', look, 'SAVEPOINT a', 'DELETE FROM inn WHERE id % 10 = 3', look, 'ROLLBACK TO a', look, 'ROLLBACK', look,
      'BEGIN', 'INSERT INTO inn (id, k4, v) SELECT 20000 + n, k4, \'new\' FROM out WHERE n < 900', look, 'COMMIT', look,
      'UPDATE inn SET k4 = NULL WHERE id > 20500', look, 'REINDEX INDEX inn_k4', look, 'ALTER TABLE inn ALTER COLUMN k4 TYPE int8', look,
      'BEGIN', 'TRUNCATE inn', look, 'INSERT INTO inn (id, k4, v) VALUES (1, 5, \'x\')', look, 'ROLLBACK', look,
    ]) await both(sql);
    expect(await explain(here, look)).toContain('using inn_k4');
  });
});

test('in one snapshot the index and a scan without it say the same, while others write', async () => {
  const pick = random(seed);
  await run(here, 'RESET ALL');
  const setUp = `
    CREATE TABLE busy (id int PRIMARY KEY, k int, u int8, v int);
    INSERT INTO busy SELECT i, i * 7 % 5000, i, 0 FROM generate_series(1, 20000) i;
    CREATE INDEX busy_k ON busy USING learned (k);
    CREATE UNIQUE INDEX busy_u ON busy USING learned (u) WITH (epsilon = 4);
    CREATE TABLE probe AS SELECT i AS n, i * 13 % 5200 AS k, (i * 37 % 21000)::int8 AS u FROM generate_series(1, 1500) i;
    ANALYZE busy; ANALYZE probe`;
  for (const sql of setUp.split(';')) expect((await run(here, sql)).error).toBeNull();
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(server.port)));
  const [reader, ...writers] = clients as [pg.Client, ...pg.Client[]];
  await run(reader, ONLY_LOOPS);
  await learned(reader, 'SELECT count(b.v) FROM probe p JOIN busy b ON b.k = p.k');
  await learned(reader, 'SELECT count(b.v) FROM probe p JOIN busy b ON b.u = p.u');
  let over = false;
  let nextId = 20001;
  const writing = writers.map(async (writer) => {
    while (!over) {
      const from = pick(20000);
      const count = 1 + pick(40);
      const sql = [
        `UPDATE busy SET k = k + 1 WHERE id BETWEEN ${from} AND ${from + count}`,
        `UPDATE busy SET v = v + 1 WHERE id BETWEEN ${from} AND ${from + count}`,
        `DELETE FROM busy WHERE id BETWEEN ${from} AND ${from + (count >> 3)}`,
        `INSERT INTO busy SELECT i, i % 5000, i, 1 FROM generate_series(${nextId}, ${nextId + count}) i`,
        `UPDATE busy SET u = -u WHERE id BETWEEN ${from} AND ${from + 3}`,
        `COPY`,
      ][pick(6)]!;
      if (sql.startsWith('INSERT')) nextId += count + 1;
      if (sql === 'COPY') {
        // Enough rows to go past the write set: such a commit lists nothing.
        if (pick(12) > 0) continue;
        const first = nextId;
        nextId += 9000;
        await run(writer, `INSERT INTO busy SELECT i, i % 5000, i, 2 FROM generate_series(${first}, ${first + 8999}) i`);
        await run(writer, `DELETE FROM busy WHERE id BETWEEN ${first} AND ${first + 8999}`);
        continue;
      }
      if (pick(3) > 0) await run(writer, sql);
      else {
        await run(writer, 'BEGIN');
        await run(writer, sql);
        await run(writer, `UPDATE busy SET k = k + 2 WHERE id = ${pick(20000)}`);
        await run(writer, pick(2) === 0 ? 'ROLLBACK' : 'COMMIT');
      }
    }
  });
  let hits = 0;
  const end = Date.now() + 12_000;
  try {
    for (let round = 0; round < 60 && Date.now() < end; round++) {
      await run(reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
      for (let again = 0; again < 2; again++) {
        for (const key of ['k', 'u']) {
          const sql = `SELECT count(*), sum(b.id), sum(b.v), sum(p.n) FROM probe p JOIN busy b ON b.${key} = p.${key}`;
          const range = `SELECT count(*), sum(id), sum(v) FROM busy WHERE ${key} BETWEEN ${pick(3000)} AND ${3000 + pick(3000)}`;
          const byModel = await run(reader, sql);
          await run(reader, 'SET LOCAL enable_seqscan = off');
          const rangeByModel = await run(reader, range);
          await run(reader, 'SET LOCAL enable_seqscan = on');
          const plan = await explain(reader, sql, true);
          hits += /Hit Rate: ([1-9]|0\.[1-9])/.test(plan) ? 1 : 0;
          await run(reader, 'SET LOCAL enable_hashjoin = on; SET LOCAL enable_nestloop = off; SET LOCAL enable_indexscan = off');
          const plain = await run(reader, sql);
          const rangePlain = await run(reader, range);
          await run(reader, 'SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = on; SET LOCAL enable_indexscan = on');
          expect(byModel.error).toBeNull();
          expect(byModel.rows, `seed ${seed}, round ${round}: ${sql}\n${plan}`).toEqual(plain.rows);
          expect(rangeByModel.rows, `seed ${seed}, round ${round}: ${range}`).toEqual(rangePlain.rows);
        }
        await new Promise((resolve) => setTimeout(resolve, pick(60)));
      }
      await run(reader, pick(2) === 0 ? 'COMMIT' : 'ROLLBACK');
    }
  } finally {
    over = true;
    await Promise.all(writing);
    await run(reader, 'ROLLBACK');
  }
  // How often a model is at hand beside four writers depends on the machine; once they rest it answers everything.
  expect(hits, `seed ${seed}: the model answered nothing`).toBeGreaterThan(0);
  for (const key of ['k', 'u']) {
    const sql = `SELECT count(*), sum(b.id), sum(b.v) FROM probe p JOIN busy b ON b.${key} = p.${key}`;
    await expect.poll(() => explain(reader, sql, true), { timeout: 20_000, message: `seed ${seed}` }).toContain('Hit Rate: 100.0%');
    const byModel = await run(reader, sql);
    await run(reader, 'SET enable_hashjoin = on; SET enable_nestloop = off');
    expect(byModel.rows, `seed ${seed}: ${sql}`).toEqual((await run(reader, sql)).rows);
    await run(reader, 'SET enable_hashjoin = off; SET enable_nestloop = on');
  }
  await Promise.all(clients.map((client) => client.end()));
}, 90_000);

test('SERIALIZABLE sees reads by such an index, and the past is read as it was', async () => {
  const own = await startTestServer({ args: ['--retention', '1h'] });
  const [one, two] = await Promise.all([connect(own.port), connect(own.port)]);
  await run(one, 'CREATE TABLE skew (k int, v int); INSERT INTO skew SELECT i, 1 FROM generate_series(1, 5000) i; CREATE INDEX skew_k ON skew USING learned (k)');
  await run(one, 'CREATE TABLE wanted AS SELECT 6000 + i AS k FROM generate_series(1, 50) i; ANALYZE skew; ANALYZE wanted');
  const sql = 'SELECT count(*), sum(s.v) FROM wanted w JOIN skew s USING (k)';
  for (const client of [one, two]) await run(client, ONLY_LOOPS);
  await learned(one, sql);
  for (const client of [one, two]) {
    await run(client, 'BEGIN ISOLATION LEVEL SERIALIZABLE');
    expect((await run(client, sql)).rows).toEqual([['0', null]]);
  }
  await run(one, 'INSERT INTO skew VALUES (6010, 1)');
  await run(two, 'INSERT INTO skew VALUES (6020, 1)');
  const ends = [await run(one, 'COMMIT'), await run(two, 'COMMIT')];
  expect(ends.map(({ error }) => error?.code ?? 'committed')).toEqual(['committed', '40001']);
  expect((await run(two, sql)).rows).toEqual([['1', '1']]);
  const [[moment]] = (await run(one, 'SELECT pg_current_wal_lsn()')).rows as [[string]];
  await run(one, 'UPDATE skew SET k = k + 1 WHERE k = 6010; DELETE FROM skew WHERE k < 4000');
  await learned(one, sql);
  await run(two, `SET oxbow.as_of = '${moment}'`);
  expect((await run(two, sql)).rows).toEqual([['1', '1']]);
  expect((await run(two, 'SELECT count(*) FROM skew WHERE k BETWEEN 3000 AND 6010')).rows).toEqual([['2002']]);
  await Promise.all([one.end(), two.end()]);
  await own.stop();
}, 60_000);

test('its memory is bounded, and after a restart it is made again', async () => {
  const own = await startTestServer({ keep: true });
  const client = await connect(own.port);
  await run(client, 'CREATE TABLE kept (k int8, v int); INSERT INTO kept SELECT i * 5, i FROM generate_series(1, 50000) i; CREATE INDEX kept_k ON kept USING learned (k)');
  await run(client, 'CREATE TABLE asked AS SELECT i * 10 AS k FROM generate_series(1, 1000) i; ANALYZE kept; ANALYZE asked');
  const sql = 'SELECT count(*), sum(v) FROM asked a JOIN kept USING (k)';
  await run(client, ONLY_LOOPS);
  const rows = [['1000', '1001000']];
  await learned(client, sql);
  expect((await run(client, sql)).rows).toEqual(rows);
  await run(client, 'SET oxbow.learned_memory = 0');
  expect((await run(client, sql)).rows).toEqual(rows);
  expect((await run(client, sql)).rows).toEqual(rows);
  expect(await explain(client, sql)).toContain('not in memory');
  await client.end();
  await own.stop();
  const again = await startTestServer({ directory: own.directory });
  const second = await connect(again.port);
  await run(second, ONLY_LOOPS);
  expect(await explain(second, sql)).toContain('not in memory');
  expect((await run(second, sql)).rows).toEqual(rows);
  await learned(second, sql);
  expect((await run(second, sql)).rows).toEqual(rows);
  expect(await explain(second, sql, true)).toContain('Hit Rate: 100.0%');
  await second.end();
  await again.stop();
  (await import('node:fs')).rmSync(own.directory, { recursive: true, force: true });
}, 60_000);

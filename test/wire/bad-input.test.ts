/** Bad input of every kind: PostgreSQL's SQLSTATE comes back and the session goes on. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let oracle: Oracle;
let server: TestServer;
let postgres: pg.Client;
let oxbow: pg.Client;
beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
  [postgres, oxbow] = [await connect(oracle.port), await connect(server.port)];
  for (const client of [postgres, oxbow]) await client.query('CREATE TABLE victim (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), u text UNIQUE, r int REFERENCES victim)');
});
afterAll(async () => {
  await postgres?.end();
  await oxbow?.end();
  await server?.stop();
  await oracle?.stop();
});

const INPUTS: readonly (readonly [string, string])[] = [
  ['a syntax error', 'SELECT FROM WHERE'],
  ['an unknown table', 'SELECT * FROM nowhere'],
  ['an unknown column', 'SELECT nothing FROM victim'],
  ['an unknown function', 'SELECT nofunc(1)'],
  ['an unknown type', 'SELECT 1::notype'],
  ['a type mismatch', 'SELECT 1 + true'],
  ['text that is no number', "SELECT 'x'::int"],
  ['int4 overflow', 'SELECT 2147483647 + id FROM (VALUES (1)) v(id)'],
  ['int8 overflow', 'SELECT 9223372036854775807 + id FROM (VALUES (1)) v(id)'],
  ['numeric overflow', 'SELECT 123456::numeric(4,2)'],
  ['float overflow', "SELECT '1e400'::float8"],
  ['division by zero', 'SELECT 1 / (id - 1) FROM (VALUES (1)) v(id)'],
  ['a date out of range', "SELECT '10000000-01-01'::date"],
  ['a NUL byte in a literal', "SELECT E'a\\000b'"],
  ['NULL where none may be', 'INSERT INTO victim VALUES (1, NULL)'],
  ['a check violation', 'INSERT INTO victim VALUES (1, -1)'],
  ['a missing parent', 'INSERT INTO victim VALUES (1, 1, NULL, 99)'],
  ['a duplicate in one statement', "INSERT INTO victim VALUES (1, 1, 'a'), (1, 1, 'b')"],
  ['too many parameters', 'SELECT $1'],
  ['an ambiguous column', 'SELECT id FROM victim a, victim b'],
  ['an ungrouped column', 'SELECT id, count(*) FROM victim GROUP BY n'],
  ['a subquery with two rows', 'SELECT (SELECT x FROM (VALUES (1), (2)) v(x))'],
  ['a bad LIMIT', 'SELECT 1 LIMIT -1'],
  ['a bad regular expression', "SELECT 'a' ~ '('"],
  ['a bad interval', "SELECT 'one fortnight'::interval"],
  ['bad json', "SELECT '{\"a\":'::json"],
  ['a bad array', "SELECT '{1,2'::int[]"],
  ['a bad uuid', "SELECT 'xyz'::uuid"],
  ['a bad bytea', "SELECT '\\x1'::bytea"],
  ['varchar too long', "CREATE TEMP TABLE tiny (v varchar(2)); INSERT INTO tiny VALUES ('abc')"],
  ['a missing savepoint', 'ROLLBACK TO nowhere'],
  ['1,601 columns', `CREATE TABLE wide (${Array.from({ length: 1601 }, (_, i) => `c${i} int`).join(', ')})`],
];

describe('SQLSTATE and message as PostgreSQL', () => {
  for (const [name, sql] of INPUTS) {
    test(name, async () => {
      const [left, right] = [await run(postgres, sql), await run(oxbow, sql)];
      expect({ code: right.error?.code, message: right.error?.message, position: right.error?.position }).toEqual({ code: left.error?.code, message: left.error?.message, position: left.error?.position });
      expect((await run(oxbow, 'SELECT 1')).rows).toEqual([['1']]);
    });
  }
});

describe('sizes', () => {
  test('1,600 columns', async () => {
    const columns = Array.from({ length: 1600 }, (_, i) => `c${i} int DEFAULT ${i}`);
    expect((await run(oxbow, `CREATE TABLE wide (${columns.join(', ')})`)).error).toBeNull();
    expect((await run(oxbow, 'INSERT INTO wide DEFAULT VALUES')).error).toBeNull();
    expect((await run(oxbow, 'SELECT c0, c1599 FROM wide')).rows).toEqual([['0', '1599']]);
  });

  test('5,000 nested parentheses and 5,000 terms answer with a result or 54001, and the session goes on', async () => {
    for (const sql of [`SELECT ${'('.repeat(5000)}1${')'.repeat(5000)}`, `SELECT ${Array(5000).fill('1').join('+')}`]) {
      const outcome = await run(oxbow, sql);
      if (outcome.error) expect(outcome.error.code).toBe('54001');
      expect((await run(oxbow, 'SELECT 1')).rows).toEqual([['1']]);
    }
  });

  test('10 MB of SQL', async () => {
    await run(oxbow, 'CREATE TABLE bulk (i int, t text)');
    const values = Array.from({ length: 100_000 }, (_, i) => `(${i}, 'a text that makes this statement about ten megabytes long, ${'x'.repeat(30)}')`);
    expect((await run(oxbow, `INSERT INTO bulk VALUES ${values.join(',')}`)).tag).toBe('INSERT 100000');
    expect((await run(oxbow, 'SELECT count(*), sum(i) FROM bulk')).rows).toEqual([['100000', '4999950000']]);
  });

  test('keys longer than the store allows: kept up to 2,704 bytes, 54000 beyond', async () => {
    await run(oxbow, 'CREATE TABLE keys (k text PRIMARY KEY)');
    expect((await run(oxbow, `INSERT INTO keys VALUES (repeat('x', 2000) || 'a'), (repeat('x', 2000) || 'b')`)).error).toBeNull();
    expect((await run(oxbow, `INSERT INTO keys VALUES (repeat('x', 2000) || 'a')`)).error?.code).toBe('23505');
    expect((await run(oxbow, `SELECT right(k, 1) FROM keys WHERE k = repeat('x', 2000) || 'b'`)).rows).toEqual([['b']]);
    expect((await run(oxbow, `INSERT INTO keys SELECT string_agg(md5(g::text), '') FROM generate_series(1, 300) g`)).error?.code).toBe('54000');
  });

  test('a row of 100 MB, while others read on', async () => {
    await run(oxbow, 'CREATE TABLE big (id int PRIMARY KEY, t text)');
    await run(oxbow, 'CREATE TABLE small (id int PRIMARY KEY, t text)');
    await run(oxbow, "INSERT INTO small SELECT g, 'x' FROM generate_series(1, 1000) g");
    const reader = await connect(server.port);
    let slowestMs = 0;
    let reading = true;
    const reads = (async () => {
      for (let i = 0; reading; i++) {
        const began = performance.now();
        await reader.query({ name: 'point', text: 'SELECT t FROM small WHERE id = $1', values: [1 + (i % 1000)] });
        slowestMs = Math.max(slowestMs, performance.now() - began);
      }
    })();
    const outcome = await run(oxbow, "INSERT INTO big SELECT 1, repeat('0123456789', 10000000)");
    expect(outcome.error).toBeNull();
    expect((await run(oxbow, 'SELECT length(t) FROM big')).rows).toEqual([['100000000']]);
    reading = false;
    await reads;
    await reader.end();
    console.log(`slowest point read beside a 100 MB row: ${slowestMs.toFixed(0)} ms`);
    expect((await run(oxbow, 'SELECT 1')).rows).toEqual([['1']]);
  });
});

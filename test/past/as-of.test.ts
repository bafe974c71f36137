/**
 * Reading the past: while tables and their definitions change, the states that a session saw are noted
 * with their moments; later each is read again with oxbow.as_of, also after restarts and kills.
 */
import { randomInt } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { random as seeded } from '../history/workload.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let server: TestServer;
const clients: pg.Client[] = [];

async function connect(options = ''): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres', options });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

const value = async (client: pg.Client, sql: string): Promise<unknown> => Object.values((await client.query(sql)).rows[0] as object)[0];
/** Between two commits, so that a time names one state. */
const moment = async (client: pg.Client): Promise<string> => (await value(client, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'")) as string;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  server = await startTestServer({ args: ['--retention', '1h'], keep: true });
});

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await server.stop();
});

test('a moment is one state: rows, their definitions, sequences, dropped and truncated tables', async () => {
  const client = await connect();
  await client.query('CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE INDEX t_v ON t (v)');
  await client.query("INSERT INTO t (v) SELECT 'row ' || g FROM generate_series(1, 500) g");
  await pause(2);
  const first = await moment(client);
  await pause(2);
  await client.query("UPDATE t SET v = 'changed' WHERE id % 2 = 0; DELETE FROM t WHERE id % 5 = 0");
  const position = (await value(client, 'SELECT pg_current_wal_lsn()')) as string;
  await client.query("ALTER TABLE t ADD COLUMN extra int DEFAULT 7; ALTER TABLE t RENAME COLUMN v TO text; INSERT INTO t (text) VALUES ('late')");
  await pause(2);
  const second = await moment(client);
  await pause(2);
  await client.query('TRUNCATE t; DROP INDEX t_v; CREATE VIEW seen AS SELECT * FROM t');
  await pause(2);
  const third = await moment(client);
  await pause(2);
  await client.query('DROP TABLE t CASCADE');

  const check = async (): Promise<void> => {
    const reader = await connect();
    await reader.query(`SET oxbow.as_of = '${first}'`);
    expect(await value(reader, 'SHOW oxbow.as_of')).toBe(first);
    expect((await reader.query('SELECT count(*)::int, count(DISTINCT v)::int AS d FROM t')).rows).toEqual([{ count: 500, d: 500 }]);
    expect((await reader.query("SELECT id FROM t WHERE v = 'row 10'")).rows).toEqual([{ id: 10 }]);
    expect((await reader.query('SELECT v FROM t WHERE id = 10')).rows).toEqual([{ v: 'row 10' }]);
    await expect(reader.query('SELECT extra FROM t')).rejects.toMatchObject({ code: '42703' });
    expect(Number(await value(reader, 'SELECT last_value FROM t_id_seq'))).toBeGreaterThanOrEqual(500);
    await reader.query(`SET oxbow.as_of = '${position}'`);
    expect((await reader.query("SELECT count(*)::int, sum((v = 'changed')::int)::int AS changed FROM t")).rows).toEqual([{ count: 400, changed: 200 }]);
    expect((await reader.query("SELECT id FROM t WHERE v = 'row 10'")).rows).toEqual([]);
    await reader.query(`SET oxbow.as_of = '${second}'`);
    expect((await reader.query('SELECT count(*)::int, sum(extra)::int AS extra FROM t')).rows).toEqual([{ count: 401, extra: 401 * 7 }]);
    expect((await reader.query("SELECT indexname FROM pg_indexes WHERE tablename = 't' ORDER BY 1")).rows).toEqual([{ indexname: 't_pkey' }, { indexname: 't_v' }]);
    await reader.query(`SET oxbow.as_of = '${third}'`);
    expect((await reader.query('SELECT * FROM seen')).rows).toEqual([]);
    await reader.query('RESET oxbow.as_of');
    await expect(reader.query('SELECT * FROM t')).rejects.toMatchObject({ code: '42P01' });
    await reader.end();
  };
  await check();
  await server.stop();
  server = await startTestServer({ args: ['--retention', '1h'], directory: server.directory });
  await check();
  await server.kill();
  server = await startTestServer({ args: ['--retention', '1h'], directory: server.directory });
  await check();
});

test('transactions in the past: read-only, one moment, chosen before anything is read; also at the start of a session', async () => {
  const client = await connect();
  await client.query('CREATE TABLE p (a int); INSERT INTO p VALUES (1)');
  await pause(2);
  const then = await moment(client);
  await pause(2);
  await client.query('UPDATE p SET a = 2');
  await client.query('BEGIN');
  await client.query(`SET LOCAL oxbow.as_of = '${then}'`);
  expect(await value(client, 'SELECT a FROM p')).toBe(1);
  expect(await value(client, 'SHOW transaction_read_only')).toBe('on');
  await expect(client.query('UPDATE p SET a = 3')).rejects.toMatchObject({ code: '25006' });
  await client.query('ROLLBACK');
  expect(await value(client, 'SELECT a FROM p')).toBe(2);
  await client.query('BEGIN; SELECT 1 FROM p');
  await expect(client.query(`SET LOCAL oxbow.as_of = '${then}'`)).rejects.toMatchObject({ code: '25001' });
  await client.query('ROLLBACK');
  await client.query(`SET oxbow.as_of = '${then}'`);
  await expect(client.query('BEGIN READ WRITE; CREATE TABLE q (a int)')).rejects.toMatchObject({ code: '25006' });
  await client.query('ROLLBACK');
  await expect(client.query('CREATE TEMP TABLE q (a int)')).rejects.toMatchObject({ code: '25006' });
  await client.query('RESET ALL');
  expect(await value(client, 'SELECT a FROM p')).toBe(2);
  const started = await connect(`-c oxbow.as_of=${then.replace(' ', '\\ ')}`);
  expect(await value(started, 'SELECT a FROM p')).toBe(1);
  expect(await value(started, 'SELECT a FROM p WHERE a = 1')).toBe(1);
});

test('moments that cannot be read are refused, and so is who may not read everything', async () => {
  const client = await connect();
  await expect(client.query("SET oxbow.as_of = '2999-01-01'")).rejects.toMatchObject({ code: '22023' });
  await expect(client.query("SET oxbow.as_of = '1 month ago'")).rejects.toMatchObject({ code: '22023' });
  await expect(client.query("SET oxbow.as_of = '2000-01-01'")).rejects.toMatchObject({ code: '72000' });
  await expect(client.query("SET oxbow.as_of = 'FFFF/0'")).rejects.toMatchObject({ code: '22023' });
  await expect(client.query("SET oxbow.as_of = '0/1'")).rejects.toMatchObject({ code: '72000' });
  await expect(client.query("SET oxbow.as_of = 'some day'")).rejects.toMatchObject({ code: '22007' });
  expect(await value(client, 'SHOW oxbow.as_of')).toBe('');
  await client.query("CREATE ROLE reader LOGIN; GRANT SELECT ON p TO reader; SET ROLE reader");
  await expect(client.query("SET oxbow.as_of = '-1 ms'")).rejects.toMatchObject({ code: '42501' });
  await client.query('RESET ROLE; GRANT pg_read_all_data TO reader; SET ROLE reader');
  await client.query("SET oxbow.as_of = '-1 ms'");
  await client.query('RESET oxbow.as_of; RESET ROLE; DROP OWNED BY reader; DROP ROLE reader');
});

test('every state of a random history can be read again, while it goes on and after a kill', async () => {
  const seed = Number(process.env.OXBOW_SEED ?? randomInt(2 ** 31));
  console.log(`as-of history: OXBOW_SEED=${seed}`);
  const random = { int: seeded(seed) };
  const client = await connect();
  await client.query('CREATE TABLE h (id int PRIMARY KEY, v int, pad text); CREATE INDEX h_v ON h (v)');
  const digest = "SELECT count(*)::int AS n, coalesce(sum(v), 0)::int AS s, coalesce(md5(string_agg(id || ':' || v, ',' ORDER BY id)), '') AS m FROM h";
  const byIndex = 'SELECT count(*)::int AS n FROM h WHERE v BETWEEN 100 AND 500';
  const states: { moment: string; position: string; rows: unknown; index: unknown }[] = [];
  for (let step = 0; step < 120; step++) {
    const n = random.int(1000);
    const kind = random.int(12);
    if (kind < 4) await client.query('INSERT INTO h SELECT g, $1, repeat(\'x\', $2) FROM generate_series($3::int, $3::int + 20) g ON CONFLICT (id) DO UPDATE SET v = excluded.v', [n, random.int(40_000) < 200 ? 40_000 : 10, n]);
    else if (kind < 8) await client.query('UPDATE h SET v = v + $1 WHERE id % 7 = $2', [random.int(50), random.int(7)]);
    else if (kind < 10) await client.query('DELETE FROM h WHERE id % 11 = $1', [random.int(11)]);
    else if (kind === 10) await client.query('VACUUM h');
    else await client.query('BEGIN; UPDATE h SET v = -1; ROLLBACK');
    if (random.int(60) === 0) await client.query('TRUNCATE h');
    await pause(2);
    const rows = (await client.query(digest)).rows;
    const index = (await client.query(byIndex)).rows;
    states.push({ moment: await moment(client), position: (await value(client, 'SELECT pg_current_wal_lsn()')) as string, rows, index });
    await pause(2);
    if (step % 10 === 9) await check(random.int(states.length));
  }
  async function check(at: number): Promise<void> {
    const { moment: when, position, rows, index } = states[at]!;
    const reader = await connect();
    for (const asOf of [when, position]) {
      await reader.query(`SET oxbow.as_of = '${asOf}'`);
      expect({ at, asOf, rows: (await reader.query(digest)).rows }).toEqual({ at, asOf, rows });
      await reader.query('SET enable_seqscan = off');
      expect({ at, asOf, rows: (await reader.query(byIndex)).rows }).toEqual({ at, asOf, rows: index });
      await reader.query('RESET enable_seqscan');
    }
    await reader.end();
  }
  for (let at = 0; at < states.length; at += 7) await check(at);
  await server.kill();
  server = await startTestServer({ args: ['--retention', '1h'], directory: server.directory });
  for (let at = 0; at < states.length; at += 3) await check(at);
});

test('what the retention lets go is refused, and versions behind it are collected', async () => {
  const short = await startTestServer({ args: ['--retention', '1s'] });
  try {
    const client = new pg.Client({ host: '127.0.0.1', port: short.port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('CREATE TABLE r (a int); INSERT INTO r VALUES (0)');
    await pause(5);
    const old = await moment(client);
    await pause(5);
    for (let i = 1; i <= 20; i++) await client.query('UPDATE r SET a = $1', [i]);
    await client.query(`SET oxbow.as_of = '${old}'`);
    expect(await value(client, 'SELECT a FROM r')).toBe(0);
    await client.query('RESET oxbow.as_of');
    await pause(2500);
    await client.query('UPDATE r SET a = 100');
    await client.query('VACUUM');
    await expect(client.query(`SET oxbow.as_of = '${old}'`)).rejects.toMatchObject({ code: '72000', detail: expect.stringContaining('keeps old row versions from') as string });
    expect(await value(client, 'SELECT a FROM r')).toBe(100);
    // A quiet time reads as the state that has held since.
    await client.query("SET oxbow.as_of = '-1 ms'");
    expect(await value(client, 'SELECT a FROM r')).toBe(100);
    await client.end();
  } finally {
    await short.stop();
  }
});

test('without a retention the past is refused with what to do', async () => {
  const none = await startTestServer();
  try {
    const client = new pg.Client({ host: '127.0.0.1', port: none.port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('CREATE TABLE r (a int)');
    await pause(1500);
    await expect(client.query("SET oxbow.as_of = '-1600 ms'")).rejects.toMatchObject({ code: '72000', hint: expect.stringContaining('--retention') as string });
    await client.end();
  } finally {
    await none.stop();
  }
});

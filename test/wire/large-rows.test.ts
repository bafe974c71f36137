/**
 * Rows of 100 MB and statements of 10 MB, and what others notice of them: a bystander's point
 * reads go on in a process of their own. The bound that is promised is 50 ms; measured figures are
 * printed, and the test fails at several times as much at the worst read. What exceeds it is done
 * again, up to three times: a busy machine is busy at random, a long turn of the event loop is there
 * every time.
 */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startBystander, type Bystander } from '../harness/bystander.js';
import { RawClient, serialize } from '../harness/raw-client.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const MAX_MS = Number(process.env.OXBOW_STALL_MS ?? 400);

let server: TestServer;
let client: pg.Client;
let bystander: Bystander;
beforeAll(async () => {
  server = await startTestServer();
  client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query('CREATE TABLE big (id int PRIMARY KEY, n int, t text)');
  await client.query('CREATE TABLE bytes (id int PRIMARY KEY, b bytea)');
  await client.query('CREATE TABLE bulk (i int CHECK (i >= 0), t text)');
  await client.query('CREATE TABLE small (id int PRIMARY KEY, t text)');
  await client.query("INSERT INTO small SELECT g, 'x' FROM generate_series(1, 1000) g");
  bystander = await startBystander(server.port, 'SELECT t FROM small WHERE id = $1', 1000);
}, 60_000);
afterAll(async () => {
  bystander?.stop();
  await client?.end();
  await server?.stop();
});

/** Runs `work` while the bystander reads; answers what work did. */
async function beside<T>(name: string, work: () => Promise<T>): Promise<T> {
  await bystander.since();
  const began = performance.now();
  const result = await work();
  const tookMs = performance.now() - began;
  const { reads, p50, p99, max } = await bystander.since();
  console.log(`${name.padEnd(44)} ${tookMs.toFixed(0).padStart(5)} ms   others: ${reads} reads, p50 ${p50}, p99 ${p99}, max ${max} ms`);
  worst.set(name, Math.min(worst.get(name) ?? Infinity, max));
  return result;
}

/** By step, the best of its runs' worst reads. */
const worst = new Map<string, number>();
const tooLong = (): string[] => [...worst].filter(([, max]) => max > MAX_MS).map(([name, max]) => `${name}: ${max} ms`);

/** Runs a scenario until no step of it made others wait too long, at most three times. */
async function withPatience(scenario: () => Promise<void>): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    await scenario();
    if (tooLong().length === 0) return;
  }
  expect(tooLong()).toEqual([]);
}

const query = async (text: string, values?: unknown[]): Promise<unknown[][]> => (await client.query({ text, values, rowMode: 'array' })).rows as unknown[][];
const TEXT = 'räksmörgås 0123456789 '.repeat(100_000_000 / 25);

describe('a row of 100 MB', () => {
  test('is written, changed, read and deleted while others go on', () => withPatience(async () => {
    await query('TRUNCATE big, bytes');
    await beside('insert made by the server', () => query("INSERT INTO big SELECT 1, 1, repeat('0123456789', 10000000)"));
    await beside('update of another column', () => query('UPDATE big SET n = n + 1 WHERE id = 1'));
    expect(await beside('select of other columns', () => query('SELECT id, n FROM big WHERE id = 1'))).toEqual([[1, 2]]);
    expect(await beside('select of its length', () => query('SELECT length(t) FROM big WHERE id = 1'))).toEqual([[100_000_000]]);
    await beside('insert as a parameter', () => query('INSERT INTO big VALUES (2, 1, $1)', [TEXT]));
    const [row] = await beside('select of the value', () => query('SELECT t FROM big WHERE id = 2'));
    expect(row![0] === TEXT).toBe(true);
    await beside('copy into another row', () => query('INSERT INTO big SELECT 3, n, t FROM big WHERE id = 2'));
    await beside('update of the value', () => query("UPDATE big SET t = t || '!' WHERE id = 2"));
    const [changed] = await query('SELECT length(t), right(t, 3) FROM big WHERE id = 2');
    expect(changed).toEqual([TEXT.length + 1, '9 !']);
    await beside('update rolled back', () => query("BEGIN; UPDATE big SET t = t || 'xyz' WHERE id = 3; ROLLBACK"));
    expect(((await query('SELECT t FROM big WHERE id = 3'))[0]![0] as string) === TEXT).toBe(true);
    const blob = Buffer.alloc(100_000_000, 'binary');
    await beside('insert of bytea as a parameter', () => query('INSERT INTO bytes VALUES (1, $1)', [blob]));
    expect(await query('SELECT octet_length(b), substr(b, 99999995) FROM bytes')).toEqual([[100_000_000, blob.subarray(99_999_994)]]);
    await beside('delete', () => query('DELETE FROM big'));
    await beside('vacuum', () => query('VACUUM'));
    expect(await query('SELECT count(*) FROM big')).toEqual([['0']]);
  }), 240_000);

  test('values that are long but not huge keep their place in rows, indexes, constraints and errors', async () => {
    await query('CREATE TABLE docs (id int PRIMARY KEY, t text NOT NULL, u text UNIQUE, c int CHECK (c > 0), g int GENERATED ALWAYS AS (length(t)) STORED)');
    await query("INSERT INTO docs SELECT g, repeat(chr(64 + g), 100000 * g), g::text, g FROM generate_series(1, 20) g");
    expect(await query('SELECT count(*), sum(length(t)), sum(g) FROM docs')).toEqual([['20', '21000000', '21000000']]);
    await query("UPDATE docs SET c = c + 1, u = u || 'x' WHERE id > 10");
    expect(await query("SELECT id, left(t, 2), g, u FROM docs WHERE id IN (3, 13) ORDER BY 1")).toEqual([[3, 'CC', 300_000, '3'], [13, 'MM', 1_300_000, '13x']]);
    await expect(query('UPDATE docs SET c = -1 WHERE id = 20')).rejects.toMatchObject({ code: '23514' });
    await expect(query('UPDATE docs SET u = 5 WHERE id = 20')).rejects.toMatchObject({ code: '23505' });
    await query('CREATE TABLE plain (id int, t text, n int NOT NULL)');
    await query("INSERT INTO plain VALUES (1, repeat('a', 5000000), 1)");
    await expect(query('UPDATE plain SET n = NULL')).rejects.toMatchObject({ code: '23502', detail: expect.stringContaining('Failing row contains (1, aaaa') });
    expect(await query("UPDATE docs SET t = t || 'z' WHERE id = 1 RETURNING length(t), g")).toEqual([[100_001, 100_001]]);
    await query('ALTER TABLE docs ALTER COLUMN c TYPE bigint');
    expect(await query('SELECT sum(length(t)) FROM docs WHERE id <= 10')).toEqual([['5500001']]);
    await query('BEGIN');
    await query("SAVEPOINT s");
    await query("UPDATE docs SET t = repeat('q', 3000000) WHERE id = 2");
    await query('ROLLBACK TO s');
    await query('COMMIT');
    expect(await query('SELECT length(t) FROM docs WHERE id = 2')).toEqual([[200_000]]);
  }, 60_000);

  test('checks and rewrites of a table that nobody has read yet', async () => {
    await query('CREATE TABLE kept (id int PRIMARY KEY, t text, b bytea)');
    await query("INSERT INTO kept SELECT g, repeat(chr(64 + g), 50000 * g), decode(repeat('ab', 50000), 'hex') FROM generate_series(1, 8) g");
    await query("INSERT INTO kept VALUES (9, repeat('long', 2000000), NULL)");
    const contents = (): Promise<unknown[][]> => query("SELECT count(*), sum(length(t)), sum(length(b)), md5(string_agg(md5(t), '' ORDER BY id)) FROM kept");
    const before = await contents();
    // Each ALTER makes the table another object, whose rows are first looked at by the next one.
    for (const change of ['ADD COLUMN n int', 'ADD CHECK (length(t) > 10)', 'ADD COLUMN m int', 'ALTER t TYPE varchar', 'ADD COLUMN g int GENERATED ALWAYS AS (length(t)) STORED']) await query(`ALTER TABLE kept ${change}`);
    await query('ALTER TABLE kept DROP COLUMN m');
    await query('VACUUM FULL kept');
    await query('ALTER TABLE kept DROP COLUMN n');
    await query('CREATE INDEX ON kept (md5(t))');
    expect(await contents()).toEqual(before);
    expect(await query('SELECT sum(g) FROM kept')).toEqual([[before[0]![1]]]);
    await query('ALTER TABLE kept ADD COLUMN o int');
    await expect(query('ALTER TABLE kept ADD CHECK (length(t) < 1000000)')).rejects.toMatchObject({ code: '23514' });
  }, 60_000);
});

describe('10 MB of SQL', () => {
  const rows = (count: number, from = 0): string =>
    Array.from({ length: count }, (_, i) => `(${i + from}, 'a text that makes this statement about ten megabytes long, ${'x'.repeat(30)}')`).join(',');

  test('is parsed and run while others go on', () => withPatience(async () => {
    await beside('INSERT of 100,000 rows', () => query(`INSERT INTO bulk VALUES ${rows(100_000)}`));
    expect(await query('SELECT count(*), sum(i) FROM bulk')).toEqual([['100000', '4999950000']]);
    await beside('a constant of 10 MB', () => query(`INSERT INTO bulk VALUES (1, '${'é'.repeat(5_000_000)}')`));
    expect(await query("SELECT length(t) FROM bulk WHERE t LIKE 'é%'")).toEqual([[5_000_000]]);
    await query('TRUNCATE bulk');
  }), 120_000);

  test('a failure in the last row undoes all of it, and positions are right', async () => {
    await expect(query(`INSERT INTO bulk VALUES ${rows(20_000)}, (-1, 'x')`)).rejects.toMatchObject({ code: '23514' });
    const text = `INSERT INTO bulk VALUES ${rows(20_000)}, (1, 'x', 2)`;
    await expect(query(text)).rejects.toMatchObject({ code: '42601' });
    await expect(query(`${text.slice(0, -10)} oops`)).rejects.toMatchObject({ code: '42601' });
    expect(await query('SELECT count(*) FROM bulk')).toEqual([['0']]);
    await query('CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree)');
    await query(`INSERT INTO tree VALUES ${Array.from({ length: 30_000 }, (_, i) => `(${i}, ${(i + 29_999) % 30_000})`).join(',')}`);
    expect(await query('SELECT count(*) FROM tree')).toEqual([['30000']]);
    expect(await query(`INSERT INTO bulk VALUES ${rows(5_000)} RETURNING 1`)).toHaveLength(5_000);
    expect(await query(`SELECT count(*) FROM (VALUES ${rows(5_000)}) v`)).toEqual([['5000']]);
  }, 60_000);
});

test('COPY of a line of 50 MB in small messages', async () => {
  const raw = await RawClient.start(server.port);
  raw.send(serialize.query('COPY big (id, t) FROM STDIN'));
  await raw.until('copyInResponse');
  const line = Buffer.concat([Buffer.from('77\t'), Buffer.alloc(50_000_000, 'abc'), Buffer.from('\n')]);
  for (let at = 0; at < line.length; at += 8192) raw.socket.write(serialize.copyData(line.subarray(at, at + 8192)));
  raw.send(serialize.copyDone());
  await raw.until('readyForQuery', 60_000);
  raw.end();
  expect(await query('SELECT length(t) FROM big WHERE id = 77')).toEqual([[50_000_000]]);
}, 90_000);

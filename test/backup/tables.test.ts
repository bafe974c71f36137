/** Tables of a past moment come into a running server, with what belongs to them, and nothing there is touched. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';
import { oxbow, runOxbow } from './oxbow.js';

const scratch = mkdtempSync(join(tmpdir(), 'oxbow-tables-test-'));
const target = join(scratch, 'target');
let server: TestServer;
let client: pg.Client;
let url: string;

beforeAll(async () => {
  server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '100ms'] });
  url = `postgresql://postgres@127.0.0.1:${server.port}/postgres`;
  client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const text of [
    'CREATE SCHEMA shop',
    `CREATE TABLE shop.customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL CHECK (name <> ''), code varchar(8) COLLATE "C" UNIQUE)`,
    `CREATE TABLE shop."Order" (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES shop.customer (id) ON DELETE CASCADE, region int, total numeric(12,2) DEFAULT 1.50,
       twice numeric GENERATED ALWAYS AS (total * 2) STORED, note text, at timestamptz DEFAULT '2026-01-01 00:00:00+00', FOREIGN KEY (region) REFERENCES shop.region (id))`,
    'CREATE INDEX order_note ON shop."Order" (lower(note) DESC) WHERE note IS NOT NULL',
    'CREATE UNIQUE INDEX order_pair ON shop."Order" (customer, id) INCLUDE (total)',
    `COMMENT ON TABLE shop.customer IS 'who buys, isn''t it'`,
    `COMMENT ON COLUMN shop."Order".note IS 'what was said'`,
    `COMMENT ON INDEX shop.order_note IS 'by word'`,
    `INSERT INTO shop.customer (name, code) SELECT 'customer ' || i, i FROM generate_series(1, 500) i`,
    `INSERT INTO shop.region VALUES (1)`,
    `INSERT INTO shop."Order" (customer, region, total, note) SELECT 1 + i % 500, 1, i, CASE WHEN i % 3 > 0 THEN 'Note ' || i || E'\\t\\\\ ' END FROM generate_series(1, 3000) i`,
    `GRANT SELECT ON shop.customer TO PUBLIC`,
    `CREATE VIEW shop.rich AS SELECT * FROM shop.customer WHERE id < 10`,
  ]) {
    if (text.includes('CREATE TABLE shop."Order"')) await client.query('CREATE TABLE shop.region (id int PRIMARY KEY)');
    await client.query(text);
  }
  await oxbow('backup', '--url', url, '--to', target);
  await client.query(`INSERT INTO shop.customer (name) VALUES ('one more')`);
}, 60_000);

afterAll(async () => {
  await client.end();
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const rowsOf = async (text: string): Promise<unknown[]> => (await client.query(text)).rows as unknown[];

test('dropped tables come back under another schema with keys, indexes, sequences and comments', async () => {
  const customers = await rowsOf('SELECT * FROM shop.customer ORDER BY id');
  const orders = await rowsOf('SELECT * FROM shop."Order" ORDER BY id');
  await client.query(`SELECT pg_create_restore_point('before the accident')`);
  await client.query('DROP TABLE shop."Order"');
  await client.query('DROP VIEW shop.rich');
  await client.query(`UPDATE shop.customer SET name = 'ruined'`);
  // The archive has it once the server has said so; then the tables are asked for by name.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const printed = await oxbow('restore', '--from', target, '--tables', 'shop.customer,shop."Order"', '--url', url, '--into-schema', 'back', '--to-name', 'before the accident', '--scratch', scratch);
  expect(printed).toContain('"shop"."customer" -> "back"."customer": 501 rows');
  expect(printed).toContain('"shop"."Order" -> "back"."Order": 3000 rows');
  expect(printed).toMatch(/left out: foreign key \S+ of "shop"."Order" to shop.region, which is not restored/);
  expect(printed).toContain('left out: privileges on "shop"."customer"');
  expect(printed).toContain('left out: view shop.rich on "shop"."customer"');
  expect(await rowsOf('SELECT * FROM back.customer ORDER BY id')).toEqual(customers);
  expect(await rowsOf('SELECT * FROM back."Order" ORDER BY id')).toEqual(orders);
  expect(await rowsOf(`SELECT indexname FROM pg_indexes WHERE schemaname = 'back' ORDER BY 1`)).toEqual(['Order_pkey', 'customer_code_key', 'customer_pkey', 'order_note', 'order_pair'].map((indexname) => ({ indexname })));
  expect(await rowsOf(`SELECT obj_description('back.customer'::regclass) AS c, col_description('back."Order"'::regclass, 6) AS n, obj_description('back.order_note'::regclass) AS i`)).toEqual([{ c: "who buys, isn't it", n: 'what was said', i: 'by word' }]);
  // The log has sequences up to 32 numbers ahead, as PostgreSQL's does.
  const [added] = (await rowsOf(`INSERT INTO back.customer (name) VALUES ('next') RETURNING id`)) as { id: number }[];
  expect(added!.id).toBeGreaterThan(501);
  expect(added!.id).toBeLessThan(540);
  const [next] = (await rowsOf(`INSERT INTO back."Order" (customer) VALUES (${added!.id}) RETURNING id, total, twice`)) as { id: string; total: string; twice: string }[];
  expect(Number(next!.id)).toBeGreaterThan(3000);
  expect(next).toMatchObject({ total: '1.50', twice: '3.00' });
  await expect(client.query(`INSERT INTO back."Order" (customer) VALUES (99999)`)).rejects.toThrow('foreign key');
  await expect(client.query(`INSERT INTO back.customer (name) VALUES ('')`)).rejects.toThrow('check constraint');
  await client.query('DELETE FROM back.customer WHERE id > 501');
  expect(await rowsOf(`SELECT count(*)::int AS n FROM shop.customer WHERE name = 'ruined'`)).toEqual([{ n: 501 }]);
}, 90_000);

test('one table under another name; what exists is not overwritten, and a failure leaves nothing', async () => {
  const printed = await oxbow('restore', '--from', target, '--tables', 'shop.customer', '--url', url, '--as', 'customer_before', '--to-name', 'before the accident', '--scratch', scratch);
  expect(printed).toContain('"shop"."customer" -> "shop"."customer_before": 501 rows');
  expect(await rowsOf(`SELECT count(*)::int AS n FROM shop.customer_before WHERE name LIKE 'customer %'`)).toEqual([{ n: 500 }]);
  const again = await runOxbow(['restore', '--from', target, '--tables', 'shop.customer', '--url', url, '--as', 'customer_before', '--scratch', scratch]);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('relation "customer_before" already exists');
  const unknown = await runOxbow(['restore', '--from', target, '--tables', 'shop.nothing', '--url', url, '--into-schema', 'elsewhere', '--scratch', scratch]);
  expect(unknown.stderr).toContain('does not exist in the restored state');
  expect(await rowsOf(`SELECT nspname FROM pg_namespace WHERE nspname = 'elsewhere'`)).toEqual([]);
}, 90_000);

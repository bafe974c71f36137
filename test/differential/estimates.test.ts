/** Row estimates of joins that once came out as 1 and made plans of nested loops: within a factor of 5 of what comes. */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../harness/compare.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = await connect(server.port);
  await client.query('CREATE TABLE stock (part int, supplier int, available int, cost numeric(12,2), PRIMARY KEY (part, supplier))');
  await client.query('CREATE TABLE item (part int, supplier int, quantity numeric(12,2))');
  await client.query('INSERT INTO stock SELECT p, (p + s * 37) % 100, (p * 31 + s * 7) % 1000, ((p * 7919 + s * 104729) % 100000) / 100.0 FROM generate_series(1, 2000) p, generate_series(1, 4) s');
  await client.query('INSERT INTO item SELECT part, supplier, (part * 13 + n * 17) % 1000 FROM stock, generate_series(1, 5) n');
  await client.query('ANALYZE');
});

afterAll(async () => {
  await client.end();
  await server.stop();
});

async function estimated(sql: string): Promise<number> {
  const { rows } = await client.query<string[]>({ text: `EXPLAIN ${sql}`, rowMode: 'array' });
  return Number(/rows=(\d+)/.exec(rows[0]![0]!)![1]);
}

test.each([
  ['a column under a cast beside another table\'s', 'SELECT 1 FROM stock s JOIN item i ON i.part = s.part AND i.supplier = s.supplier AND s.available > i.quantity'],
  ['a column and the sum of its group', 'SELECT 1 FROM stock s WHERE available < (SELECT 2 * sum(quantity) FROM item i WHERE i.part = s.part AND i.supplier = s.supplier)'],
  ['a column and the least of its group', 'SELECT 1 FROM stock s WHERE cost = (SELECT min(cost) FROM stock t WHERE t.part = s.part)'],
])('%s', async (_, sql) => {
  const guess = await estimated(sql);
  const { rows } = await client.query<string[]>({ text: `SELECT count(*) FROM (${sql}) q`, rowMode: 'array' });
  const actual = Number(rows[0]![0]);
  expect(guess).toBeGreaterThan(actual / 5);
  expect(guess).toBeLessThan(actual * 5);
});

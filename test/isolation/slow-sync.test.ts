/** 50 clients on one hot row while each sync of the log takes long: they share syncs, for a row's lock is released before its commit is on disk. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FaultCommand } from '../crash/fault-points.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const SLOW_MS = 100;
const CLIENTS = 50;
const EACH = 4;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ faulty: true });
}, 30_000);
afterAll(() => server?.kill());

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const UPDATE = 'UPDATE hot SET v = v + 1 WHERE id = 1';
/** Without RETURNING, with it in the simple protocol, in the extended one, and as a statement without a short path. */
const WAYS: readonly { readonly name: string; readonly query: pg.QueryConfig; readonly returns: boolean }[] = [
  { name: 'plain', query: { text: UPDATE }, returns: false },
  { name: 'RETURNING', query: { text: `${UPDATE} RETURNING v` }, returns: true },
  { name: 'RETURNING, prepared', query: { name: 'change', text: 'UPDATE hot SET v = v + $1 WHERE id = 1 RETURNING v', values: [1] }, returns: true },
  { name: 'RETURNING, in a WITH', query: { text: `WITH changed AS (${UPDATE} RETURNING v) SELECT v FROM changed` }, returns: true },
];

test.each(WAYS)('50 clients on one hot row with a slow fsync: $name', { timeout: 60_000 }, async ({ name, query, returns }) => {
  const setup = await connect();
  await setup.query('DROP TABLE IF EXISTS hot; CREATE TABLE hot (id int PRIMARY KEY, v int); INSERT INTO hot VALUES (1, 0)');
  const clients = await Promise.all(Array.from({ length: CLIENTS }, connect));
  await server.command({ slowSyncMs: SLOW_MS } satisfies FaultCommand);
  const started = performance.now();
  const seen: number[] = [];
  let updated = 0;
  await Promise.all(clients.map(async (client) => {
    for (let i = 0; i < EACH; i++) {
      const { rows, rowCount } = await client.query<{ v: number }>(query);
      updated += rowCount!;
      for (const { v } of rows) seen.push(v);
    }
  }));
  const tookMs = performance.now() - started;
  await server.command({ slowSyncMs: 0 } satisfies FaultCommand);
  expect(updated).toBe(CLIENTS * EACH);
  expect((await setup.query('SELECT v FROM hot')).rows).toEqual([{ v: CLIENTS * EACH }]);
  // Each saw its own value, and none before its change was on disk.
  if (returns) expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: CLIENTS * EACH }, (_, i) => i + 1));
  // One sync a commit would be 200 * 100 ms.
  expect(tookMs).toBeLessThan((CLIENTS * EACH * SLOW_MS) / 4);
  console.log(`${name}: ${CLIENTS * EACH} updates of one row in ${Math.round(tookMs)} ms with syncs of ${SLOW_MS} ms`);
  await Promise.all(clients.map((client) => client.end()));
  await setup.end();
});

test('synchronous_commit is each transaction\'s own choice: off acknowledges before the sync, and others see it', { timeout: 60_000 }, async () => {
  const syncMs = 1500;
  const [client, other] = [await connect(), await connect()];
  await client.query('DROP TABLE IF EXISTS own; CREATE TABLE own (id int PRIMARY KEY, v int); INSERT INTO own VALUES (1, 0)');
  await server.command({ slowSyncMs: syncMs } satisfies FaultCommand);
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  const transaction = (setting: string) => async (): Promise<void> => {
    await client.query('BEGIN');
    await client.query(`SET LOCAL synchronous_commit = ${setting}`);
    await client.query('UPDATE own SET v = v + 1');
    await client.query('COMMIT');
  };
  try {
    const off = await timed(transaction('off'));
    const { rows } = await other.query<{ v: number }>('SELECT v FROM own');
    const on = await timed(transaction('on'));
    // SET LOCAL ended with its transaction.
    const again = await timed(() => client.query('UPDATE own SET v = v + 1'));
    expect(rows).toEqual([{ v: 1 }]);
    expect(off).toBeLessThan(syncMs);
    expect(on).toBeGreaterThanOrEqual(syncMs - 50);
    expect(again).toBeGreaterThanOrEqual(syncMs - 50);
  } finally {
    await server.command({ slowSyncMs: 0 } satisfies FaultCommand);
  }
  expect((await other.query<{ v: number }>('SELECT v FROM own')).rows).toEqual([{ v: 3 }]);
  await Promise.all([client.end(), other.end()]);
});

/** xmin as a row version: an UPDATE that compares it never loses another's update. */
import { expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { bothServers, testSpecs } from './compare-servers.js';

const SETUP = ['DROP TABLE IF EXISTS doc', 'CREATE TABLE doc (id int PRIMARY KEY, v int, seen xid)', 'INSERT INTO doc VALUES (1, 0)', 'UPDATE doc SET seen = (SELECT xmin FROM doc)', 'UPDATE doc SET v = 1, seen = pg_current_xact_id()::xid'];
const COMPARE = 'UPDATE doc SET v = v + 10, seen = pg_current_xact_id()::xid WHERE id = 1 AND xmin = seen RETURNING v';

const servers = bothServers();
testSpecs([
  {
    name: 'a compare that waited for a rival has zero rows or fails', setup: SETUP,
    sessions: {
      a: { steps: { ab: 'BEGIN', aw: 'UPDATE doc SET v = 5 WHERE id = 1', ac: 'COMMIT', ar: 'ROLLBACK' } },
      b: { steps: { rc: 'BEGIN', rr: 'BEGIN ISOLATION LEVEL REPEATABLE READ', s: 'BEGIN ISOLATION LEVEL SERIALIZABLE', see: 'SELECT v, xmin = seen AS same FROM doc', bw: COMPARE, bc: 'COMMIT' } },
    },
    permutations: ['rc see ab aw bw ac bc', 'rc see ab aw ac bw bc', 'rr see ab aw bw ac bc', 'rr see ab aw ac bw bc', 's see ab aw bw ac bc', 'rc see ab aw bw ar bc', 'rr see ab aw bw ar bc', 'rc see bw see bc'],
  },
], servers);

test('20 clients that increment by compare-and-set lose nothing', { timeout: 30_000 }, async () => {
  const setup = await connect(servers.server.port);
  for (const sql of ['DROP TABLE IF EXISTS counter', 'CREATE TABLE counter (id int PRIMARY KEY, v int)', 'INSERT INTO counter VALUES (1, 0)']) await setup.query(sql);
  let done = 0;
  await Promise.all(Array.from({ length: 20 }, async (_, number) => {
    const client = await connect(servers.server.port);
    for (let i = 0; i < 10; ) {
      if (number % 2 === 1) await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      const [[v, xmin]] = (await run(client, 'SELECT v, xmin FROM counter WHERE id = 1')).rows as unknown as [[string, string]];
      const changed = await run(client, `UPDATE counter SET v = ${Number(v) + 1} WHERE id = 1 AND xmin = '${xmin}'`);
      expect([undefined, '40001']).toContain(changed.error?.code);
      if (number % 2 === 1) await client.query(changed.error ? 'ROLLBACK' : 'COMMIT');
      if (changed.tag !== 'UPDATE 1') continue;
      i++;
      done++;
    }
    await client.end();
  }));
  expect((await run(setup, 'SELECT v FROM counter')).rows).toEqual([[String(done)]]);
  expect(done).toBe(200);
  await setup.end();
});

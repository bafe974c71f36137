/**
 * Concurrent sessions, step by step, on PostgreSQL 16 and on Oxbow: the outcome of every step is the
 * same, blocking included. A step is `session: sql`; what has not answered after a while is noted as
 * waiting, and its outcome when it comes.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, run, type Outcome } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

interface Spec { readonly name: string; readonly setup: readonly string[]; readonly steps: readonly string[] }

/** Long enough for an answer, short enough to wait for. */
const BLOCKED_AFTER_MS = 400;

const ACCOUNTS = ['DROP TABLE IF EXISTS kid, acc CASCADE', 'CREATE TABLE acc (id int PRIMARY KEY, v int, u int UNIQUE)', 'INSERT INTO acc VALUES (1, 100, 1), (2, 200, 2), (3, 300, 3)'];

const SPECS: readonly Spec[] = [
  { name: 'G0 and lost update: the second writer waits and sees the first one\'s row', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: UPDATE acc SET v = v + 1 WHERE id = 1', 'b: UPDATE acc SET v = v * 2 WHERE id = 1', 'a: COMMIT', 'b: COMMIT', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'G1a: nobody reads what is rolled back', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: UPDATE acc SET v = 0 WHERE id = 1', 'b: SELECT v FROM acc WHERE id = 1', 'a: ROLLBACK', 'b: SELECT v FROM acc WHERE id = 1', 'b: COMMIT'] },
  { name: 'READ COMMITTED rechecks the row after a wait', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: UPDATE acc SET v = 999 WHERE id = 1', 'b: DELETE FROM acc WHERE v < 250', 'a: COMMIT', 'b: COMMIT', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'the recheck reads the joined row as it was, the locked one as it is', setup: [...ACCOUNTS, 'DROP TABLE IF EXISTS other', 'CREATE TABLE other (id int PRIMARY KEY, lim int)', 'INSERT INTO other VALUES (1, 150), (2, 150)'], steps: ['a: BEGIN', 'b: BEGIN', 'a: UPDATE acc SET v = 120 WHERE id = 2', 'b: UPDATE acc SET v = v + 1 FROM other o WHERE o.id = acc.id AND acc.v < o.lim + 60 RETURNING acc.id, acc.v', 'a: COMMIT', 'b: COMMIT', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'by key: a row whose key changed meanwhile is no longer the row', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: UPDATE acc SET id = 77 WHERE id = 1', 'b: UPDATE acc SET v = 5 WHERE id = 1 RETURNING *', 'a: COMMIT', 'b: UPDATE acc SET v = v + 1 WHERE id = 77 RETURNING *', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'by key: three writers of one row, the condition tested again', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: UPDATE acc SET v = v + 1 WHERE id = 1', 'b: UPDATE acc SET v = v * 2 WHERE id = 1 AND v < 150 RETURNING v', 'a: COMMIT', 'b: BEGIN', 'b: UPDATE acc SET v = 1000 WHERE id = 1', 'a: UPDATE acc SET v = v * 2 WHERE id = 1 AND v < 900 RETURNING v', 'b: COMMIT', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'by key: one INSERT waits for another of the same key', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: INSERT INTO acc VALUES (50, 1, 1)', 'b: INSERT INTO acc VALUES (50, 2, 2) RETURNING v', 'a: ROLLBACK', 'a: INSERT INTO acc VALUES (50, 3, 3)', 'a: SELECT * FROM acc ORDER BY id'] },
  { name: 'a row deleted meanwhile is skipped', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: DELETE FROM acc WHERE id = 1', 'b: UPDATE acc SET v = 5 WHERE id = 1', 'a: COMMIT', 'b: COMMIT', 'a: SELECT count(*) FROM acc'] },
  { name: 'REPEATABLE READ: a changed row is 40001', setup: ACCOUNTS, steps: ['a: BEGIN ISOLATION LEVEL REPEATABLE READ', 'b: BEGIN ISOLATION LEVEL REPEATABLE READ', 'a: SELECT sum(v) FROM acc', 'b: SELECT sum(v) FROM acc', 'a: UPDATE acc SET v = 1 WHERE id = 1', 'b: UPDATE acc SET v = 2 WHERE id = 1', 'a: COMMIT', 'b: COMMIT', 'a: SELECT v FROM acc WHERE id = 1'] },
  { name: 'REPEATABLE READ keeps its snapshot, phantoms included', setup: ACCOUNTS, steps: ['a: BEGIN ISOLATION LEVEL REPEATABLE READ', 'a: SELECT count(*), sum(v) FROM acc WHERE v > 150', 'b: INSERT INTO acc VALUES (4, 400, 4)', 'b: UPDATE acc SET v = 0 WHERE id = 3', 'a: SELECT count(*), sum(v) FROM acc WHERE v > 150', 'a: COMMIT', 'a: SELECT count(*), sum(v) FROM acc WHERE v > 150'] },
  { name: 'unique keys: the second inserter waits, then fails', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: INSERT INTO acc VALUES (9, 1, 9)', 'b: INSERT INTO acc VALUES (9, 2, 10)', 'a: COMMIT', 'b: ROLLBACK'] },
  { name: 'unique keys: the second inserter waits, then goes on after a rollback', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: INSERT INTO acc VALUES (9, 1, 9)', 'b: INSERT INTO acc VALUES (9, 2, 10)', 'a: ROLLBACK', 'b: COMMIT', 'a: SELECT * FROM acc WHERE id = 9'] },
  { name: 'ON CONFLICT waits for an uncommitted rival and updates what it left', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: INSERT INTO acc VALUES (9, 1, 9)', 'b: INSERT INTO acc VALUES (9, 7, 9) ON CONFLICT (id) DO UPDATE SET v = acc.v + excluded.v RETURNING *', 'a: COMMIT', 'a: SELECT * FROM acc WHERE id = 9'] },
  { name: 'FOR UPDATE waits, NOWAIT fails, SKIP LOCKED skips', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: SELECT id FROM acc WHERE id = 1 FOR UPDATE', 'b: SELECT id FROM acc ORDER BY id FOR UPDATE NOWAIT', 'b: SELECT id FROM acc ORDER BY id FOR UPDATE SKIP LOCKED', 'b: SELECT id FROM acc WHERE id = 1 FOR UPDATE', 'a: COMMIT', 'b: SELECT 1'] },
  { name: 'FOR SHARE is shared, and blocks writers', setup: ACCOUNTS, steps: ['a: BEGIN', 'b: BEGIN', 'a: SELECT v FROM acc WHERE id = 1 FOR SHARE', 'b: SELECT v FROM acc WHERE id = 1 FOR SHARE', 'a: UPDATE acc SET v = 1 WHERE id = 1', 'b: COMMIT', 'a: COMMIT'] },
  { name: 'a foreign key locks its parent: KEY SHARE lets non-key updates through, deletes wait', setup: [...ACCOUNTS, 'CREATE TABLE kid (id int, p int REFERENCES acc)'], steps: ['a: BEGIN', 'a: INSERT INTO kid VALUES (1, 1)', 'b: UPDATE acc SET v = 5 WHERE id = 1', 'b: DELETE FROM acc WHERE id = 1', 'a: COMMIT', 'b: SELECT count(*) FROM acc'] },
  { name: 'rollback to a savepoint gives up the locks taken since', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: SAVEPOINT s', 'a: UPDATE acc SET v = 1 WHERE id = 1', 'b: UPDATE acc SET v = 2 WHERE id = 1', 'a: ROLLBACK TO s', 'a: COMMIT', 'a: SELECT v FROM acc WHERE id = 1'] },
  { name: 'DDL waits for readers of the table, and readers for DDL', setup: ACCOUNTS, steps: ['a: BEGIN', 'a: SELECT count(*) FROM acc', 'b: ALTER TABLE acc ADD COLUMN extra int DEFAULT 7', 'a: COMMIT', 'a: SELECT extra FROM acc WHERE id = 1'] },
];

let oracle: Oracle;
let server: TestServer;
beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

function shown(outcome: Outcome): unknown {
  return outcome.error ? { error: outcome.error.code, message: outcome.error.message } : { tag: outcome.tag, rows: outcome.rows };
}

async function play(port: number, spec: Spec): Promise<unknown[]> {
  const sessions = new Map<string, pg.Client>();
  const log: unknown[] = [];
  const waiting = new Map<string, { readonly step: string; readonly outcome: Promise<Outcome> }>();
  const setup = await connect(port);
  for (const sql of spec.setup) await setup.query(sql);
  await setup.end();
  const arrived = async (): Promise<void> => {
    for (const [name, { step, outcome }] of waiting) {
      const answer = await Promise.race([outcome, new Promise<null>((resolve) => setTimeout(() => resolve(null), BLOCKED_AFTER_MS))]);
      if (answer === null) continue;
      waiting.delete(name);
      log.push([`(${step})`, shown(answer)]);
    }
  };
  try {
    for (const step of spec.steps) {
      const [, name, sql] = /^(\w+): (.*)$/s.exec(step)!;
      if (!sessions.has(name)) sessions.set(name, await connect(port));
      const blocked = waiting.get(name);
      if (blocked) {
        log.push([`(${blocked.step})`, shown(await blocked.outcome)]);
        waiting.delete(name);
      }
      const outcome = run(sessions.get(name)!, sql);
      const answer = await Promise.race([outcome, new Promise<null>((resolve) => setTimeout(() => resolve(null), BLOCKED_AFTER_MS))]);
      if (answer === null) {
        log.push([step, 'waiting']);
        waiting.set(name, { step, outcome });
      } else log.push([step, shown(answer)]);
      await arrived();
    }
    for (const { step, outcome } of waiting.values()) log.push([`(${step})`, shown(await outcome)]);
    return log;
  } finally {
    for (const client of sessions.values()) await client.end();
  }
}

describe('isolation', () => {
  for (const spec of SPECS) {
    test(spec.name, async () => {
      const [postgres, oxbow] = await Promise.all([play(oracle.port, spec), play(server.port, spec)]);
      expect(oxbow).toEqual(postgres);
    });
  }

  test('deadlock: one of the two gets 40P01, the other goes on', async () => {
    const [a, b] = [await connect(server.port), await connect(server.port)];
    for (const sql of ACCOUNTS) await a.query(sql);
    await a.query('BEGIN');
    await b.query('BEGIN');
    await a.query('UPDATE acc SET v = 1 WHERE id = 1');
    await b.query('UPDATE acc SET v = 2 WHERE id = 2');
    const outcomes = await Promise.all([run(a, 'UPDATE acc SET v = 1 WHERE id = 2'), run(b, 'UPDATE acc SET v = 2 WHERE id = 1')]);
    expect(outcomes.map((o) => o.error?.code).filter((code) => code !== undefined)).toEqual(['40P01']);
    expect(outcomes.find((o) => o.error)!.error!.detail).toMatch(/Process \d+ waits for ShareLock on transaction \d+; blocked by process \d+\./);
    await a.end();
    await b.end();
  });
});

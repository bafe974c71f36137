/** Locks beside PostgreSQL, and what only a count can show: depth of savepoints, a hot row. */
import { expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { bothServers, testSpecs } from './compare-servers.js';
import { LOCK_SPECS } from './lock-specs.js';

const servers = bothServers();
testSpecs(LOCK_SPECS, servers);

test('savepoints nested 10,000 deep', { timeout: 60_000 }, async () => {
  const client = await connect(servers.server.port);
  for (const sql of ['DROP TABLE IF EXISTS deep', 'CREATE TABLE deep (id int PRIMARY KEY, v int)', 'INSERT INTO deep VALUES (0, 0)', 'BEGIN']) await client.query(sql);
  const depth = 10_000;
  const started = Date.now();
  for (let at = 0; at < depth; at += 500) {
    const statements: string[] = [];
    for (let i = at; i < at + 500; i++) statements.push(`SAVEPOINT s${i}`, `INSERT INTO deep VALUES (${i + 1}, 1)`, ...(i % 100 === 0 ? ['UPDATE deep SET v = v + 1 WHERE id = 0'] : []));
    await client.query(statements.join(';'));
  }
  expect((await run(client, 'SELECT count(*), (SELECT v FROM deep WHERE id = 0) FROM deep')).rows).toEqual([['10001', '100']]);
  await client.query('ROLLBACK TO s9000');
  expect((await run(client, 'SELECT count(*), (SELECT v FROM deep WHERE id = 0) FROM deep')).rows).toEqual([['9001', '90']]);
  for (let i = 9000; i > 8000; i--) await client.query(`RELEASE s${i}`);
  expect((await run(client, 'ROLLBACK TO s8500')).error?.code).toBe('3B001');
  await client.query('ROLLBACK TO s8000');
  await client.query('ROLLBACK TO s10');
  await client.query('RELEASE s0');
  await client.query('COMMIT');
  expect((await run(client, 'SELECT count(*), (SELECT v FROM deep WHERE id = 0) FROM deep')).rows).toEqual([['11', '1']]);
  console.log(`10,000 savepoints with a row each: ${Date.now() - started} ms`);
  await client.end();
});

test('50 clients on one hot row: every increment counts, in order of arrival', { timeout: 60_000 }, async () => {
  const setup = await connect(servers.server.port);
  for (const sql of ['DROP TABLE IF EXISTS hot', 'CREATE TABLE hot (id int PRIMARY KEY, v int)', 'INSERT INTO hot VALUES (1, 0)']) await setup.query(sql);
  const started = Date.now();
  const seen: number[] = [];
  await Promise.all(Array.from({ length: 50 }, async (_, number) => {
    const client = await connect(servers.server.port);
    if (number % 5 === 0) await client.query('SET synchronous_commit = off');
    for (let i = 0; i < 20; i++) seen.push(Number((await run(client, 'UPDATE hot SET v = v + 1 WHERE id = 1 RETURNING v')).rows[0]![0]));
    await client.end();
  }));
  expect((await run(setup, 'SELECT v FROM hot')).rows).toEqual([['1000']]);
  expect(new Set(seen).size).toBe(1000);
  console.log(`50 clients, one row: ${Math.round(1_000_000 / (Date.now() - started))} updates a second`);
  await setup.end();
});

test('idle_in_transaction_session_timeout and pg_terminate_backend end the session with its locks', { timeout: 30_000 }, async () => {
  for (const port of [servers.oracle.port, servers.server.port]) {
    const [idle, other] = [await connect(port), await connect(port)];
    for (const sql of ['DROP TABLE IF EXISTS held', 'CREATE TABLE held (id int PRIMARY KEY)', 'INSERT INTO held VALUES (1)']) await other.query(sql);
    for (const how of ['timeout', 'terminate']) {
      const victim = how === 'timeout' ? idle : await connect(port);
      const ended = new Promise<{ code?: string }>((resolve) => victim.on('error', (error) => resolve(error as { code?: string })));
      const pid = (await run(victim, 'SELECT pg_backend_pid()')).rows[0]![0];
      if (how === 'timeout') await victim.query("SET idle_in_transaction_session_timeout = '100ms'");
      await victim.query('BEGIN');
      await victim.query('DELETE FROM held');
      const waiting = run(other, 'SELECT id FROM held FOR UPDATE');
      if (how === 'terminate') {
        const killer = await connect(port);
        expect((await run(killer, `SELECT pg_terminate_backend(${pid})`)).rows).toEqual([['t']]);
        await killer.end();
      }
      expect((await ended).code).toBe(how === 'timeout' ? '25P03' : '57P01');
      expect((await waiting).rows).toEqual([['1']]);
    }
    await other.end();
  }
});

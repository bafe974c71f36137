/**
 * A backup taken while huge transactions are open, whose rows stand in the state before their fate is known:
 * none of what was open is in the backup, all of it comes from the log, and only what committed by the target is there.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startTestServer } from '../harness/server.js';
import { oxbow } from './oxbow.js';

const scratch = mkdtempSync(join(tmpdir(), 'oxbow-open-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const ROWS = 30_000;

test('huge transactions open during a backup', async () => {
  const target = join(scratch, 'target');
  const server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '100ms', '--set', 'max_prepared_transactions=5'] });
  const url = `postgresql://postgres@127.0.0.1:${server.port}/postgres`;
  const clients: pg.Client[] = [];
  const connect = async (port = server.port): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const admin = await connect();
  await admin.query('CREATE TABLE t (who text, i int, filler text)');
  await admin.query('CREATE INDEX ON t (who, i)');
  await admin.query(`INSERT INTO t SELECT 'base', i, repeat('b', 600) FROM generate_series(1, 2000) i`);
  const fill = (client: pg.Client, who: string): Promise<unknown> => client.query(`INSERT INTO t SELECT $1, i, repeat('x', 600) FROM generate_series(1, ${ROWS}) i`, [who]);

  const [early, late, undone, prepared] = await Promise.all([connect(), connect(), connect(), connect()]);
  await early.query('BEGIN');
  await fill(early, 'early');
  await prepared.query('BEGIN');
  await fill(prepared, 'prepared');
  await prepared.query(`PREPARE TRANSACTION 'huge'`);
  await late.query('BEGIN');
  await fill(late, 'late');
  await late.query('SAVEPOINT s');
  await fill(late, 'late, rolled back');
  await late.query('ROLLBACK TO s');
  await late.query(`UPDATE t SET filler = 'changed by late' WHERE who = 'base' AND i <= 100`);
  await late.query(`DELETE FROM t WHERE who = 'base' AND i > 1900`);
  await undone.query('BEGIN');
  await fill(undone, 'undone');
  await undone.query(`DELETE FROM t WHERE who = 'base' AND i BETWEEN 500 AND 600`);
  // It waits for none of them: the log still has all that they wrote.
  expect(await oxbow('backup', '--url', url, '--to', target)).toContain('complete');
  await early.query('COMMIT');
  const count = async (client: pg.Client): Promise<Record<string, number>> => {
    const { rows } = await client.query<{ who: string; n: number }>('SELECT who, count(*)::int AS n FROM t GROUP BY who');
    return Object.fromEntries(rows.map(({ who, n }) => [who, n]));
  };
  const restored = async <T>(flags: readonly string[], ask: (client: pg.Client) => Promise<T>): Promise<T> => {
    const directory = mkdtempSync(join(scratch, 'restored-'));
    await oxbow('restore', '--from', target, '--data', directory, ...flags);
    expect(await oxbow('verify', '--data', directory)).toContain('sound');
    const other = await startTestServer({ directory, args: ['--set', 'max_prepared_transactions=5'] });
    const client = await connect(other.port);
    try {
      return await ask(client);
    } finally {
      await client.end();
      await other.stop();
      rmSync(directory, { recursive: true });
    }
  };
  const atBackup = { base: 2000, early: ROWS };
  expect(await count(admin)).toEqual(atBackup);
  await admin.query(`SELECT pg_create_restore_point('all open')`);
  await undone.query('ROLLBACK');
  await late.query('COMMIT');
  const after = { base: 1900, early: ROWS, late: ROWS };
  expect(await count(admin)).toEqual(after);
  await admin.query(`SELECT pg_create_restore_point('late is there')`);
  await admin.query(`COMMIT PREPARED 'huge'`);
  await admin.query(`SELECT pg_create_restore_point('end')`);
  await new Promise((resolve) => setTimeout(resolve, 2500));

  expect(await restored(['--to-name', 'all open'], count)).toEqual(atBackup);
  expect(await restored(['--to-name', 'late is there'], async (client) => {
    expect((await client.query(`SELECT count(*)::int AS n FROM t WHERE filler = 'changed by late'`)).rows).toEqual([{ n: 100 }]);
    expect(await count(client)).toEqual(after);
    await client.query(`COMMIT PREPARED 'huge'`);
    return count(client);
  })).toEqual({ ...after, prepared: ROWS });
  expect(await restored(['--to-name', 'end'], count)).toEqual({ ...after, prepared: ROWS });
  expect(await oxbow('verify', '--from', target, '--restore', '--scratch', scratch)).toContain('proven at');
  for (const client of clients) await client.end().catch(() => undefined);
  await server.stop();
}, 480_000);

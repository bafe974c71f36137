/** The thread from a running server to a restored one: archive, backup, restore to a target, verification. */
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';
import { oxbow, runOxbow } from './oxbow.js';

const scratch = mkdtempSync(join(tmpdir(), 'oxbow-restore-'));
const target = join(scratch, 'target');
let server: TestServer;
let client: pg.Client;

const urlOf = ({ port }: TestServer): string => `postgresql://postgres@127.0.0.1:${port}/postgres`;

async function connect(to: TestServer): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: urlOf(to) });
  await made.connect();
  return made;
}

const one = async (on: pg.Client, text: string): Promise<string> => String(Object.values((await on.query<Record<string, unknown>>(text)).rows[0]!)[0]);

/** Restores with `flags`, and asks the restored server. */
async function restored<T>(flags: readonly string[], ask: (client: pg.Client) => Promise<T>, args: readonly string[] = []): Promise<T> {
  const directory = mkdtempSync(join(scratch, 'restored-'));
  await oxbow('restore', '--from', target, '--data', directory, ...flags);
  const other = await startTestServer({ directory, args: [...args, '--set', 'max_prepared_transactions=10'] });
  try {
    const asked = await connect(other);
    try {
      return await ask(asked);
    } finally {
      await asked.end();
    }
  } finally {
    await other.stop();
  }
}

const digest = (on: pg.Client): Promise<string> => one(on, "SELECT count(*) || ' ' || coalesce(sum(id), 0) || ' ' || coalesce(md5(string_agg(id || coalesce(v, '-') || coalesce(length(b), 0), ',' ORDER BY id)), '') FROM t");

beforeAll(async () => {
  server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '200ms', '--set', 'max_prepared_transactions=10'] });
  client = await connect(server);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text, b bytea)');
  await client.query("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 5000) i");
  await client.query("UPDATE t SET v = 'changed' WHERE id % 3 = 0");
  await client.query('DELETE FROM t WHERE id % 7 = 0');
  await client.query('CREATE INDEX ON t (v)');
  await client.query("INSERT INTO t (id, b) VALUES (100000, convert_to(repeat('abc', 50000), 'utf8'))");
}, 60_000);

afterAll(async () => {
  await client.end();
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Waits until everything durable now is in the archive. */
async function archived(): Promise<void> {
  const lsn = await one(client, 'SELECT pg_current_wal_lsn()');
  for (let i = 0; i < 100; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const newest = readdirSync(join(target, 'log'), { recursive: true }).map((name) => /-([0-9a-f]{12})-[0-9a-f]{8}$/.exec(String(name))?.[1] ?? '0').map((hex) => parseInt(hex, 16));
    const [high, low] = lsn.split('/').map((part) => parseInt(part, 16));
    if (Math.max(...newest) > high! * 2 ** 32 + low!) return;
  }
  throw new Error('the archive does not follow');
}

test('a state between a backup and its ruin comes back by time, LSN and xid, inclusive and exclusive', async () => {
  // A transaction that is open while the backup is taken, and one that is prepared.
  const open = await connect(server);
  await open.query('BEGIN');
  await open.query("INSERT INTO t VALUES (200001, 'open during the backup')");
  await client.query('BEGIN');
  await client.query("INSERT INTO t VALUES (300001, 'prepared')");
  await client.query("PREPARE TRANSACTION 'waiting'");
  const atBackup = await digest(client);
  const printed = await oxbow('backup', '--url', urlOf(server), '--to', target);
  expect(printed).toMatch(/^backup \S+F complete: LSN 0\/[0-9A-F]+, \d+ rows/);
  await open.query('COMMIT');
  await open.end();
  await client.query("INSERT INTO t SELECT i, 'late ' || i FROM generate_series(30001, 31000) i");
  const wanted = await digest(client);
  const lsn = await one(client, 'SELECT pg_current_wal_lsn()');
  const time = await one(client, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  await client.query('BEGIN');
  const xid = await one(client, 'SELECT txid_current()');
  await client.query("UPDATE t SET v = 'ruined'");
  await client.query('COMMIT');
  const ruined = await digest(client);
  expect(ruined).not.toBe(wanted);
  await archived();
  expect(await restored(['--to-time', time], digest)).toBe(wanted);
  expect(await restored(['--to-lsn', lsn], digest)).toBe(wanted);
  expect(await restored(['--to-xid', xid, '--exclusive'], digest)).toBe(wanted);
  expect(await restored(['--to-xid', xid], digest)).toBe(ruined);
  const withPrepared = await restored([], async (on) => {
    expect(await digest(on)).toBe(ruined);
    expect(await one(on, 'SELECT gid FROM pg_prepared_xacts')).toBe('waiting');
    await on.query("COMMIT PREPARED 'waiting'");
    return one(on, 'SELECT v FROM t WHERE id = 300001');
  });
  expect(withPrepared).toBe('prepared');
  expect(atBackup).not.toBe(wanted);
  await client.query("ROLLBACK PREPARED 'waiting'");
}, 120_000);

test('verification restores and compares every relation, and the list says so', async () => {
  await archived();
  const printed = await oxbow('verify', '--from', target, '--restore');
  expect(printed).toMatch(/newest restorable point: LSN/);
  expect(printed).toMatch(/index entries read; \d+ comparisons with the server's sums .* proven at/);
  const [backup] = JSON.parse(await oxbow('backups', '--from', target, '--json')) as { proven: string | null; state: string }[];
  expect(backup).toMatchObject({ state: 'complete', proven: expect.stringMatching(/^2/) as string });
}, 60_000);

test('a restored server archives a lineage of its own into the same target', async () => {
  const marked = await restored([], async (on) => {
    await on.query("INSERT INTO t VALUES (7, 'written after the restore')");
    return digest(on);
  }, ['--archive', target]);
  expect(await restored([], digest)).toBe(marked);
  const [, original] = /lineage (\S+)/.exec(await oxbow('verify', '--from', target))!;
  const roots = readdirSync(join(target, 'log')).filter((name) => name !== original);
  expect(await restored(['--lineage', roots[0]!], digest)).toBe(await digest(client));
}, 60_000);

test('what cannot be restored says why, and nothing is overwritten', async () => {
  const used = join(scratch, 'used');
  mkdirSync(used);
  writeFileSync(join(used, 'keep'), 'mine');
  const overwriting = await runOxbow(['restore', '--from', target, '--data', used]);
  expect(overwriting.code).toBe(1);
  expect(overwriting.stderr).toContain('is not empty');
  expect(readdirSync(used)).toEqual(['keep']);
  const fresh = join(scratch, 'fresh');
  for (const [flags, message] of [
    [['--to-time', '2001-01-01T00:00:00Z'], 'the target is before the oldest backup'],
    [['--to-time', '2101-01-01T00:00:00Z'], 'the log ends before 2101-01-01T00:00:00.000000Z'],
    [['--to-xid', '99999999'], 'the log ends before the end of transaction 99999999'],
    [['--to-name', 'nowhere'], 'the log ends before restore point "nowhere"'],
    [['--to-time', 'yesterday'], 'is not a time'],
    [['--to-lsn', 'x', '--to-xid', '1'], 'give one of'],
  ] as const) {
    const failed = await runOxbow(['restore', '--from', target, '--data', fresh, ...flags]);
    expect(failed.stderr).toContain(message);
    expect(failed.code).toBe(1);
    expect(readdirSync(scratch)).not.toContain('fresh');
  }
}, 60_000);

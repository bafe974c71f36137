/** What operators do with backups: keys, interruptions, retention, two servers on one archive, an archive that is away. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ask } from '../harness/ask.js';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';
import { oxbow, runOxbow } from './oxbow.js';

const scratch = mkdtempSync(join(tmpdir(), 'oxbow-operations-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const urlOf = ({ port }: TestServer): string => `postgresql://postgres@127.0.0.1:${port}/postgres`;

const query = (server: TestServer, text: string): Promise<string> => ask(server.port, text);

async function restoredValue(target: string, text: string, ...flags: string[]): Promise<string> {
  const directory = join(scratch, `restored-${Math.random().toString(36).slice(2)}`);
  await oxbow('restore', '--from', target, '--data', directory, ...flags);
  const server = await startTestServer({ directory });
  try {
    return await query(server, text);
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true });
  }
}

async function metric(server: TestServer, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.opsPort}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);
}

async function opsPort(): Promise<string[]> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return ['--ops-port', String(port)];
}

async function until(what: string, met: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await met())) {
    if (Date.now() > end) throw new Error(`${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('an encrypted backup opens with its key only, and its names and bytes say nothing', async () => {
  const target = join(scratch, 'encrypted');
  const keyFile = join(scratch, 'key');
  writeFileSync(keyFile, `${'5a'.repeat(32)}\n`);
  const server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '100ms', '--backup-key-file', keyFile] });
  await query(server, "CREATE TABLE secret AS SELECT 'hush-hush-' || i AS word FROM generate_series(1, 2000) i");
  await oxbow('backup', '--url', urlOf(server), '--to', target, '--key-file', keyFile);
  await query(server, "INSERT INTO secret VALUES ('later')");
  await server.stop();
  for (const name of readdirSync(target, { recursive: true }).map(String).filter((name) => /data-|-0000/.test(name) && !name.endsWith('owner'))) {
    const path = join(target, name);
    if (!existsSync(path) || name.includes('backups') === name.includes('log')) continue;
    try {
      expect(readFileSync(path).includes('hush')).toBe(false);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EISDIR') throw error;
    }
  }
  expect(await restoredValue(target, 'SELECT count(*) FROM secret', '--key-command', `cat ${keyFile}`)).toBe('2001');
  const directory = join(scratch, 'no-key');
  const without = await runOxbow(['restore', '--from', target, '--data', directory]);
  expect(without.stderr).toMatch(/is encrypted and no key was given/);
  writeFileSync(`${keyFile}-other`, '66'.repeat(32));
  const wrong = await runOxbow(['restore', '--from', target, '--data', directory, '--key-file', `${keyFile}-other`]);
  expect(wrong.stderr).toMatch(/cannot be decrypted with this key/);
  expect(existsSync(directory)).toBe(false);
}, 90_000);

test('a backup that was killed goes on where it was, at the same LSN, and keeps to its rate', async () => {
  const target = join(scratch, 'resumed');
  const server = await startTestServer();
  await query(server, "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS v FROM generate_series(1, 40000) i");
  const began = Date.now();
  const killed = await runOxbow(['backup', '--url', urlOf(server), '--to', target, '--max-rate', '5'], { killAfterMs: 4000 });
  expect(killed.signal).toBe('SIGKILL');
  await until('the first objects', () => readdirSync(target, { recursive: true }).some((name) => String(name).includes('data-')));
  const [unfinished] = JSON.parse(await oxbow('backups', '--from', target, '--json')) as { id: string; state: string }[];
  expect(unfinished!.state).toBe('unfinished');
  const nothing = await runOxbow(['restore', '--from', target, '--data', join(scratch, 'nothing')]);
  expect(nothing.stderr).toContain('there is no complete backup');
  await query(server, 'DELETE FROM t WHERE i > 100');
  const { stdout, stderr } = await runOxbow(['backup', '--url', urlOf(server), '--to', target, '--max-rate', '5']);
  expect(stderr).toMatch(/going on with backup \S+ after [1-9]\d* objects/);
  expect(stdout).toContain(`backup ${unfinished!.id} complete`);
  expect(Date.now() - began).toBeGreaterThan(25_000_000 / 5e6 * 1000 * 0.5);
  expect(await restoredValue(target, 'SELECT count(*) FROM t')).toBe('40000');
  await server.stop();
}, 120_000);

test('retention keeps what kept restores need', async () => {
  const target = join(scratch, 'retained');
  const server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '100ms'] });
  await query(server, 'CREATE TABLE t (i int)');
  const at: string[] = [];
  const step = async (...flags: string[]): Promise<void> => {
    await query(server, `INSERT INTO t VALUES (${at.length})`);
    await oxbow('backup', '--url', urlOf(server), '--to', target, ...flags);
    await query(server, `INSERT INTO t VALUES (${at.length + 100})`);
    at.push(await query(server, 'SELECT pg_current_wal_flush_lsn()'));
  };
  await step();
  await step('--incremental');
  await step();
  await step('--incremental');
  await step('--incremental');
  const before = JSON.parse(await oxbow('backups', '--from', target, '--json')) as { kind: string }[];
  expect(before.map(({ kind }) => kind)).toEqual(['full', 'incremental', 'full', 'incremental', 'incremental']);
  expect((JSON.parse(await oxbow('backups', '--from', target, '--json', '--keep-days', '1')) as unknown[])).toHaveLength(5);
  const kept = JSON.parse(await oxbow('backups', '--from', target, '--json', '--keep-full', '1')) as { kind: string }[];
  expect(kept.map(({ kind }) => kind)).toEqual(['full', 'incremental', 'incremental']);
  await server.stop();
  expect(await restoredValue(target, 'SELECT count(*) FROM t', '--to-lsn', at[2]!)).toBe('6');
  expect(await restoredValue(target, 'SELECT count(*) FROM t', '--to-lsn', at[3]!)).toBe('8');
  expect(await restoredValue(target, 'SELECT count(*) FROM t')).toBe('10');
  const gone = await runOxbow(['restore', '--from', target, '--data', join(scratch, 'gone'), '--to-lsn', at[1]!]);
  expect(gone.stderr).toContain('the target is before the oldest backup');
  expect(await oxbow('verify', '--from', target)).toContain('3 backups');
}, 120_000);

test('of two servers on copies of one directory one stops archiving and says so, and the archive stays one history', async () => {
  const target = join(scratch, 'fenced');
  const directory = join(scratch, 'first');
  const args = ['--archive', target, '--archive-timeout', '100ms'];
  const first = await startTestServer({ directory, args });
  await query(first, 'CREATE TABLE t (i int)');
  await oxbow('backup', '--url', urlOf(first), '--to', target);
  // A copy of the stopped directory is started elsewhere; then the first one comes back as well.
  await first.stop();
  cpSync(directory, join(scratch, 'second'), { recursive: true });
  const again = await startTestServer({ directory, args: [...args, ...(await opsPort())] });
  await query(again, 'INSERT INTO t VALUES (1)');
  await until('the archive', async () => (await metric(again, 'oxbow_archive_lag_bytes')) === 0);
  const second = await startTestServer({ directory: join(scratch, 'second'), args: [...args, ...(await opsPort())] });
  await query(second, 'INSERT INTO t VALUES (2), (3)');
  await until('fencing', async () => (await metric(second, 'oxbow_archive_alert')) === 1);
  expect(second.log()).toContain('archiving has stopped');
  await query(again, 'INSERT INTO t VALUES (4)');
  await again.stop();
  await second.stop();
  // One history is there, whole.
  const counted = await restoredValue(target, "SELECT string_agg(i::text, ',' ORDER BY i) FROM t");
  expect(['1', '1,4']).toContain(counted);
  expect(await oxbow('verify', '--from', target)).not.toContain('PROBLEM');
}, 90_000);

test.each(['drop', 'refuse'] as const)('an archive that is away: the log is bounded, the alert comes first, policy %s', async (policy) => {
  const parent = join(scratch, `away-${policy}`);
  mkdirSync(parent);
  const target = join(parent, 'target');
  const server = await startTestServer({ args: ['--archive', target, '--archive-timeout', '100ms', '--archive-max-lag', '40MB', '--archive-policy', policy, ...(await opsPort())] });
  await query(server, 'CREATE TABLE t (i int, v text)');
  await oxbow('backup', '--url', urlOf(server), '--to', target);
  await until('the archive', async () => (await metric(server, 'oxbow_archive_lag_bytes')) === 0);
  renameSync(parent, `${parent}-hidden`);
  writeFileSync(parent, 'no directory');
  let alerted = -1;
  let refused = '';
  let done = 0;
  const largest = (): number => readdirSync(join(server.directory, 'log')).filter((name) => name.endsWith('.log')).length;
  let most = 0;
  for (; done < 30 && refused === ''; done++) {
    try {
      await query(server, "INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 1500) i");
    } catch (error) {
      refused = (error as Error).message;
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    most = Math.max(most, largest());
    if (alerted < 0 && (await metric(server, 'oxbow_archive_alert')) === 1) alerted = done;
  }
  expect(alerted).toBeGreaterThanOrEqual(0);
  expect(server.log()).toContain('archiving failed');
  if (policy === 'refuse') {
    expect(refused).toContain('too much of the log waits for the archive');
    expect(alerted).toBeLessThan(done);
  } else {
    expect(refused).toBe('');
    // 40 MB, what recovery needs besides, and the segment being written: 16 MB each.
    expect(most).toBeLessThanOrEqual(6);
  }
  rmSync(parent);
  renameSync(`${parent}-hidden`, parent);
  await until('the archive to come back', async () => (await metric(server, 'oxbow_archive_lag_bytes')) === 0);
  await until('commits', () => query(server, "INSERT INTO t VALUES (0, 'after')").then(() => true, () => false));
  if (policy === 'drop') {
    expect(await metric(server, 'oxbow_archive_gaps_total')).toBeGreaterThanOrEqual(1);
    const checked = await runOxbow(['verify', '--from', target]);
    expect(checked.stdout).toMatch(/PROBLEM log: the archived log has a gap from 0\/[0-9A-F]+ to 0\/[0-9A-F]+/);
    expect(checked.code).toBe(1);
    await oxbow('backup', '--url', urlOf(server), '--to', target);
  }
  const count = await query(server, 'SELECT count(*) FROM t');
  await server.stop();
  expect(await restoredValue(target, 'SELECT count(*) FROM t')).toBe(count);
}, 120_000);

test('a schedule takes full and incremental backups, removes old ones, and proves that they restore', async () => {
  const target = join(scratch, 'scheduled');
  const server = await startTestServer({
    args: ['--archive', target, '--archive-timeout', '200ms', '--backup-every', '1s', '--backup-full-every', '4s', '--backup-keep-full', '2', '--self-check-every', '2s', '--self-check-dir', scratch, ...(await opsPort())],
  });
  await query(server, 'CREATE TABLE t (i int)');
  const listed = async (): Promise<{ kind: string; state: string; proven: string | null }[]> => JSON.parse(await oxbow('backups', '--from', target, '--json')) as { kind: string; state: string; proven: string | null }[];
  await until('a proof', async () => (await query(server, 'INSERT INTO t VALUES (1)')) === '' && (await metric(server, 'oxbow_backup_last_proven_restorable_seconds')) > Date.now() / 1000 - 60);
  await until('both kinds', async () => (await query(server, 'INSERT INTO t VALUES (1)')) === '' && new Set((await listed()).map(({ kind }) => kind)).size >= 2);
  await until('retention', () => server.log().includes('old backups removed'));
  expect(await metric(server, 'oxbow_backup_failures_total')).toBe(0);
  expect(await metric(server, 'oxbow_backup_last_seconds')).toBeGreaterThan(Date.now() / 1000 - 60);
  const count = await query(server, 'SELECT count(*) FROM t');
  await server.stop();
  expect(await restoredValue(target, 'SELECT count(*) FROM t')).toBe(count);
  expect((await listed()).some(({ proven }) => proven !== null)).toBe(true);
}, 90_000);

test('incremental backups carry drops, truncations, large values and sequences; they need no archive while the log is there', async () => {
  const target = join(scratch, 'incremental');
  const server = await startTestServer();
  const backup = (...flags: string[]): Promise<string> => oxbow('backup', '--url', urlOf(server), '--to', target, ...flags);
  const refused = await runOxbow(['backup', '--url', urlOf(server), '--to', target, '--incremental']);
  expect(refused.stderr).toContain('there is no backup to build on');
  for (const text of [
    'CREATE TABLE kept (id serial PRIMARY KEY, v text)',
    `INSERT INTO kept (v) SELECT repeat(md5(i::text), 2000) FROM generate_series(1, 20) i`,
    `INSERT INTO kept (v) SELECT 'small ' || i FROM generate_series(1, 5000) i`,
    'CREATE TABLE dropped AS SELECT i FROM generate_series(1, 3000) i',
    'CREATE TABLE emptied AS SELECT i FROM generate_series(1, 3000) i',
    'CREATE INDEX gone ON kept (v) WHERE length(v) < 100',
  ]) await query(server, text);
  const full = await backup();
  for (const text of [
    'DROP TABLE dropped', 'TRUNCATE emptied', 'INSERT INTO emptied VALUES (7)', 'DROP INDEX gone', 'ALTER TABLE kept ADD COLUMN extra int DEFAULT 5', 'CREATE INDEX added ON kept (extra, id)',
    'DELETE FROM kept WHERE id <= 5', `UPDATE kept SET v = repeat('new', 30000) WHERE id = 6`, `UPDATE kept SET extra = 6 WHERE id = 7`, `UPDATE kept SET v = 'short now' WHERE id = 8`,
    `INSERT INTO kept (v) VALUES ('one more'), (repeat('big', 40000))`, 'CREATE TABLE born (b bytea)', `INSERT INTO born VALUES (convert_to(repeat('z', 70000), 'utf8'))`,
  ]) await query(server, text);
  const first = await backup('--incremental');
  await query(server, `UPDATE kept SET v = v || '!' WHERE id BETWEEN 100 AND 110`);
  await query(server, 'DELETE FROM born');
  await backup('--incremental');
  const nothing = await backup('--incremental');
  const bytes = (printed: string): number => {
    const [, number, unit] = /, ([\d.]+) (kB|MB) stored/.exec(printed)!;
    return Number(number) * (unit === 'MB' ? 1024 : 1);
  };
  expect(bytes(first)).toBeLessThan(bytes(full));
  expect(bytes(nothing)).toBeLessThan(20);
  const digest = `SELECT (SELECT md5(string_agg(id || v || extra, ',' ORDER BY id)) || count(*) FROM kept) || (SELECT count(*) FROM emptied) || (SELECT count(*) FROM born) || (SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public')`;
  const expected = await query(server, digest);
  const directory = join(scratch, 'incremental-restored');
  await oxbow('restore', '--from', target, '--data', directory);
  expect(await oxbow('verify', '--data', directory)).toContain('sound');
  await server.stop();
  expect(await restoredValue(target, digest)).toBe(expected);
  expect(await restoredValue(target, `INSERT INTO kept (v) VALUES ('next') RETURNING (id > 5022)::text`)).toBe('true');
  const manifest = readdirSync(join(target, 'backups')).sort()[1]!;
  rmSync(join(target, 'backups', manifest, 'manifest'));
  const broken = await runOxbow(['verify', '--from', target]);
  expect(broken.stdout).toContain('a backup that it builds on is missing');
}, 120_000);

test('an archive that was never there since the start: the log is bounded too, and the alert is raised', async () => {
  const parent = join(scratch, 'never');
  writeFileSync(parent, 'no directory');
  const server = await startTestServer({ args: ['--archive', join(parent, 'target'), '--archive-timeout', '100ms', '--archive-max-lag', '20MB', ...(await opsPort())] });
  await query(server, 'CREATE TABLE t (i int, v text)');
  for (let i = 0; i < 25; i++) await query(server, "INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 1500) i");
  await until('the alert', async () => (await metric(server, 'oxbow_archive_alert')) === 1);
  await query(server, 'CHECKPOINT');
  await until('the log to be let go', async () => {
    await query(server, 'CHECKPOINT');
    return readdirSync(join(server.directory, 'log')).filter((name) => name.endsWith('.log')).length <= 4;
  });
  await server.stop();
}, 90_000);

test('of two backups at once into one target at most one completes, and what is complete is whole', async () => {
  const target = join(scratch, 'twice');
  const server = await startTestServer();
  await query(server, 'CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS v FROM generate_series(1, 30000) i');
  const first = runOxbow(['backup', '--url', urlOf(server), '--to', target, '--max-rate', '4']);
  await until('the first to begin', () => existsSync(join(target, 'backups')) && readdirSync(target, { recursive: true }).some((name) => String(name).includes('data-')));
  const second = runOxbow(['backup', '--url', urlOf(server), '--to', target, '--max-rate', '4']);
  const ended = await Promise.all([first, second]);
  expect(ended.filter(({ code }) => code === 0).length).toBeLessThanOrEqual(1);
  await oxbow('backup', '--url', urlOf(server), '--to', target);
  expect(await oxbow('verify', '--from', target)).not.toContain('PROBLEM');
  expect(await restoredValue(target, 'SELECT count(*) FROM t')).toBe('30000');
  await server.stop();
}, 90_000);

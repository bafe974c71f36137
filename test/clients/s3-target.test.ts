/** Archive and backups in an S3 store: a real server's, which goes away and comes back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect as connectTo } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { S3Target } from '../../engine/backup/s3-target.js';
import { runOxbow } from '../backup/oxbow.js';
import { startTestServer } from '../harness/server.js';
import { startS3Server } from './s3-server.js';
import type { S3Server } from './s3-server.js';

let store: S3Server;
const scratch = mkdtempSync(join(tmpdir(), 'oxbow-s3-'));

beforeAll(async () => {
  store = await startS3Server('backups');
}, 180_000);

afterAll(async () => {
  await store.stop();
  rmSync(scratch, { recursive: true, force: true });
});

test('of two writers of one name exactly one stores it; long lists come whole; names are encoded', async () => {
  const target = S3Target.open('s3://backups/raced/here', store.environment);
  for (let i = 0; i < 10; i++) {
    const outcomes = await Promise.all([1, 2, 3, 4].map((writer) => target.putIfAbsent(`name ${i}+&`, Buffer.from(`by ${writer}`))));
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
    const winner = outcomes.indexOf('stored') + 1;
    expect(Buffer.from((await target.get(`name ${i}+&`))!).toString()).toBe(`by ${winner}`);
  }
  await Promise.all(Array.from({ length: 1100 }, (_, i) => target.putIfAbsent(`many/${String(i).padStart(5, '0')}`, Buffer.from('x'))));
  const listed = await target.list('many/');
  expect(listed.map(({ name }) => name)).toEqual(Array.from({ length: 1100 }, (_, i) => `many/${String(i).padStart(5, '0')}`));
  expect(listed[0]!.bytes).toBe(1);
  expect(await target.get('absent')).toBeUndefined();
  await target.delete('many/00000');
  await target.delete('many/00000');
  expect(await target.list('many/')).toHaveLength(1099);
  const stranger = S3Target.open('s3://nowhere/x', store.environment);
  await expect(stranger.putIfAbsent('a', Buffer.from('b'))).rejects.toThrow('NoSuchBucket');
}, 120_000);

test('archive, backup, verification and restore; the archive goes on after the store was away', async () => {
  // Connections pass through a door that can be shut.
  let open = true;
  const sockets = new Set<Socket>();
  const door = createServer((socket) => {
    if (!open) return void socket.destroy();
    const onward = connectTo(Number(new URL(store.url).port), '127.0.0.1');
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on('error', () => undefined);
      end.on('close', () => {
        sockets.delete(end);
        socket.destroy();
        onward.destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const env = { ...store.environment, AWS_ENDPOINT_URL: `http://127.0.0.1:${(door.address() as AddressInfo).port}` };
  const server = await startTestServer({ args: ['--archive', 's3://backups/server-1', '--archive-timeout', '200ms'], env });
  const url = `postgresql://postgres@127.0.0.1:${server.port}/postgres`;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i');
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runOxbow(args, { env });
    expect(code, stderr).toBe(0);
    return stdout;
  };
  await run('backup', '--url', url, '--to', 's3://backups/server-1');
  await client.query('DELETE FROM t WHERE i % 2 = 0');
  open = false;
  for (const socket of sockets) socket.destroy();
  await client.query('INSERT INTO t SELECT i, NULL FROM generate_series(100001, 100100) i');
  for (let i = 0; i < 200 && !server.log().includes('archiving failed'); i++) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(server.log()).toContain('archiving failed');
  open = true;
  const { rows } = await client.query<{ digest: string }>("SELECT count(*) || md5(string_agg(i || coalesce(v, '-'), ',' ORDER BY i)) AS digest FROM t");
  await client.end();
  expect(await server.stop()).toBe(0);
  expect(await run('verify', '--from', 's3://backups/server-1', '--restore', '--scratch', scratch)).toContain('proven at');
  const directory = join(scratch, 'restored');
  await run('restore', '--from', 's3://backups/server-1', '--data', directory);
  const other = await startTestServer({ directory });
  const asked = new pg.Client({ connectionString: `postgresql://postgres@127.0.0.1:${other.port}/postgres` });
  await asked.connect();
  const again = await asked.query<{ digest: string }>("SELECT count(*) || md5(string_agg(i || coalesce(v, '-'), ',' ORDER BY i)) AS digest FROM t");
  expect(again.rows).toEqual(rows);
  await asked.end();
  await other.stop();
  door.close();
}, 120_000);

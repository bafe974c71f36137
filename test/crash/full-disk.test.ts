/**
 * A full disk under the whole server: statements fail with 53100, what was acknowledged stays, reads
 * go on, and when space returns so does everything. Once over a file layer that refuses to grow
 * files (everywhere), once on a small tmpfs that is really full (as root), where LMDB meets it too.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness/server.js';

const connect = async (port: number): Promise<pg.Client> => {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
};

/** Inserts until a statement fails; answers the last id acknowledged and the error's code. */
async function insertUntilFull(client: pg.Client, from: number): Promise<{ last: number; code: string | undefined }> {
  for (let id = from; id < from + 3000; id++) {
    try {
      await client.query('INSERT INTO t VALUES ($1, $2)', [id, 'x'.repeat(60_000)]);
    } catch (error) {
      return { last: id - 1, code: (error as { code?: string }).code };
    }
  }
  return { last: from + 2999, code: undefined };
}

async function scenario(start: () => Promise<TestServer>, restart: () => Promise<TestServer>, fill: (server: TestServer) => Promise<void>, free: (server: TestServer) => Promise<void>): Promise<void> {
  let server = await start();
  try {
    let client = await connect(server.port);
    await client.query('CREATE TABLE t (id int PRIMARY KEY, t text)');
    await client.query("INSERT INTO t SELECT g, 'before' FROM generate_series(1, 1000) g");
    await fill(server);
    const { last, code } = await insertUntilFull(client, 2000);
    expect(code).toBe('53100');
    const count = 1000 + last - 1999;
    const reader = await connect(server.port);
    for (const one of [client, reader]) {
      expect((await one.query("SELECT count(*)::int AS n FROM t")).rows).toEqual([{ n: count }]);
      expect((await one.query('SELECT length(t) AS n FROM t WHERE id = 7')).rows).toEqual([{ n: 6 }]);
    }
    await reader.query('BEGIN');
    await expect(reader.query("INSERT INTO t SELECT g, repeat('y', 60000) FROM generate_series(10000, 12000) g").then(() => reader.query('COMMIT'))).rejects.toMatchObject({ code: '53100' });
    await reader.query('ROLLBACK');
    expect((await reader.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: count }]);
    await free(server);
    let back = 0;
    for (let attempt = 0; attempt < 100 && back === 0; attempt++) {
      back = await client.query("INSERT INTO t VALUES (9000, 'after')").then(() => 1, () => new Promise<number>((resolve) => setTimeout(() => resolve(0), 100)));
    }
    expect(back).toBe(1);
    await client.end();
    await reader.end();
    await server.kill();
    server = await restart();
    client = await connect(server.port);
    expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: count + 1 }]);
    expect((await client.query('SELECT count(*)::int AS n FROM t WHERE id BETWEEN 2000 AND $1', [last])).rows).toEqual([{ n: last - 1999 }]);
    await client.end();
  } finally {
    await server.kill();
  }
}

describe('a full disk', () => {
  test('as the file layer says', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-full-'));
    try {
      await scenario(
        () => startTestServer({ directory, faulty: true }), () => startTestServer({ directory }),
        (server) => server.command({ full: true }), (server) => server.command({ full: false }),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);

  const mountPoint = mkdtempSync(join(tmpdir(), 'oxbow-tmpfs-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', mountPoint]).status === 0;
  if (!mounted) {
    rmSync(mountPoint, { recursive: true, force: true });
    console.log('no tmpfs can be mounted here (it takes root): the full disk is played by the file layer only');
  }
  test.runIf(mounted)('on a file system that is really full', async () => {
    const directory = join(mountPoint, 'data');
    mkdirSync(directory);
    const filler = join(mountPoint, 'filler');
    try {
      await scenario(
        () => startTestServer({ directory }), () => startTestServer({ directory }),
        () => {
          const { bavail, bsize } = statfsSync(mountPoint);
          writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - (64 << 20))));
          return Promise.resolve();
        },
        () => Promise.resolve(rmSync(filler)),
      );
    } finally {
      spawnSync('umount', ['-l', mountPoint]);
      rmSync(mountPoint, { recursive: true, force: true });
    }
  }, 60_000);
});

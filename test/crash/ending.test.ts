/**
 * The end of a server that cannot go on, whatever its threads do at that moment: exit code 70, not a signal. Once, a thread closed
 * LMDB's environment as it ended, and its own sync, which waited in libuv's pool, then read a null pointer.
 *
 * OXBOW_ENDING_ROUNDS (3) makes it longer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { runCommand } from '../harness/command.js';
import { compiledEntry } from '../harness/entry.js';
import { startTestServer } from '../harness/server.js';
import type { FaultCommand } from './fault-points.js';

const ROUNDS = Number(process.env.OXBOW_ENDING_ROUNDS ?? 3);
const directory = mkdtempSync(join(tmpdir(), 'oxbow-ending-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('threads and the process end below syncs that have not begun', async () => {
  const { code, stderr } = await runCommand(process.execPath, [compiledEntry('test/crash/ending-child.js'), join(directory, 'state.mdb'), '10']);
  expect({ code, stderr }).toEqual({ code: 70, stderr: '' });
});

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Everything that has threads or LMDB busy, until the server is gone. */
function startLoad(port: number, ops: string): Promise<unknown> {
  const loop = async (work: (client: pg.Client, turn: number) => Promise<unknown>): Promise<void> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    try {
      await client.connect();
      for (let turn = 0; ; turn++) await work(client, turn);
    } catch {
      // the server's end
    }
  };
  const scrub = (async () => {
    try {
      for (;;) await (await fetch(`${ops}/verify`, { method: 'POST' })).text();
    } catch {
      // the server's end
    }
  })();
  return Promise.all([
    scrub,
    ...[1, 2, 3].map(() => loop((client) => client.query('CHECKPOINT'))),
    loop((client) => client.query('VACUUM t')),
    ...[1, 2].map(() => loop((client, turn) => client.query('UPDATE t SET n = n + 1 WHERE id % 300 = $1', [turn % 300]))),
    loop((client) => client.query('INSERT INTO mark SELECT coalesce(max(id), 0) + 1 FROM mark')),
    loop((client) => client.query('SELECT n % 10, count(*), sum(id), min(v) FROM t GROUP BY 1')),
    loop(async (client) => {
      await client.query('CREATE INDEX made ON t (v)');
      await client.query('DROP INDEX made');
    }),
  ]);
}

test('a server whose log fails ends with its exit code while everything is busy', async () => {
  const POINTS = ['log written', 'log synced', 'log sync'] as const;
  const outcomes: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const opsPort = await freePort();
    // With one thread in the pool a sync of the state waits behind the log's.
    const env = { UV_THREADPOOL_SIZE: round % 2 === 0 ? '1' : '4' };
    const server = await startTestServer({ directory: join(directory, 'data'), keep: true, faulty: true, args: ['--ops-port', String(opsPort)], env });
    const exited = new Promise<string>((resolve) => server.process.once('exit', (code, signal) => resolve(signal ?? `code ${code}`)));
    const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('DROP INDEX IF EXISTS made; CREATE TABLE IF NOT EXISTS mark (id int PRIMARY KEY); CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, n int, v text)');
    await client.query("INSERT INTO t SELECT g, g % 1000, md5(g::text) FROM generate_series(1, 40000) g ON CONFLICT DO NOTHING");
    const { rows } = await client.query<{ marks: number; highest: number }>('SELECT count(*)::int AS marks, coalesce(max(id), 0) AS highest FROM mark');
    expect(rows[0]!.marks).toBe(rows[0]!.highest);
    const load = startLoad(server.port, `http://127.0.0.1:${opsPort}`);
    await new Promise((resolve) => setTimeout(resolve, 700 + 137 * round));
    await server.command({ busyPool: true } satisfies FaultCommand);
    await server.command({ at: POINTS[round % POINTS.length]!, count: 1 + 7 * round, action: 'EIO' } satisfies FaultCommand);
    const outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('lived'), 20_000))]);
    if (outcome !== 'code 70') console.log(server.log().slice(-4000));
    outcomes.push(outcome);
    await server.kill();
    await load;
    await client.end().catch(() => undefined);
  }
  expect(outcomes).toEqual(outcomes.map(() => 'code 70'));
}, 30_000 * ROUNDS);

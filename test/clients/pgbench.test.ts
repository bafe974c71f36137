/** pgbench: initialisation, the built-in scripts in every protocol mode, the TPC-B sums, and kill -9 under load. */
import pg from 'pg';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../harness/command.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const SCALE = Number(process.env.OXBOW_PGBENCH_SCALE ?? 1);
const KILLS = Number(process.env.OXBOW_KILLS ?? 5);
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.stop();
});

function pgbench(port: number, args: readonly string[]): ReturnType<typeof runCommand> {
  return runCommand('pgbench', ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, 'postgres'], { timeoutMs: 240_000 });
}

async function scalar(port: number, sql: string): Promise<string> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    return String(Object.values((await client.query(sql)).rows[0] as object)[0]);
  } finally {
    await client.end();
  }
}

/** Accounts, tellers, branches and history agree. */
async function sumsAgree(port: number): Promise<void> {
  const accounts = await scalar(port, 'SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts');
  expect(await scalar(port, 'SELECT coalesce(sum(tbalance), 0) FROM pgbench_tellers')).toBe(accounts);
  expect(await scalar(port, 'SELECT coalesce(sum(bbalance), 0) FROM pgbench_branches')).toBe(accounts);
  expect(await scalar(port, 'SELECT coalesce(sum(delta), 0) FROM pgbench_history')).toBe(accounts);
}

describe('pgbench', () => {
  for (const steps of ['dtGvpf', 'dtgvp']) {
    test(`-i -I ${steps}`, async () => {
      const made = await pgbench(server.port, ['-i', '-I', steps, '-s', String(SCALE), '-q']);
      expect(made.stderr).not.toMatch(/ERROR|FATAL/);
      expect(made.code).toBe(0);
      expect(await scalar(server.port, 'SELECT count(*) FROM pgbench_accounts')).toBe(String(100_000 * SCALE));
    });
  }

  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const script of ['tpcb-like', 'simple-update', 'select-only']) {
      test(`${script}, ${mode}, 1, 8 and 32 clients`, async () => {
        for (const clients of [1, 8, 32]) {
          const ran = await pgbench(server.port, ['-n', '-b', script, '-M', mode, '-c', String(clients), '-j', '1', '-T', '1']);
          expect(ran.stderr).not.toMatch(/ERROR|FATAL|aborted/);
          expect(ran.code).toBe(0);
        }
      });
    }
  }

  test('the TPC-B sums agree', async () => {
    // simple-update changes accounts and history only: reset, then run the whole transaction
    expect((await pgbench(server.port, ['-i', '-s', String(SCALE), '-q'])).code).toBe(0);
    expect((await pgbench(server.port, ['-n', '-b', 'tpcb-like', '-M', 'prepared', '-c', '8', '-j', '1', '-T', '2'])).code).toBe(0);
    await sumsAgree(server.port);
  });
});

describe('kill -9', () => {
  test(`${KILLS} times under load: every acknowledged commit is there, none is half there`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-kill-'));
    let running = await startTestServer({ directory });
    try {
      expect((await pgbench(running.port, ['-i', '-s', '1', '-q'])).code).toBe(0);
      const acknowledged: string[] = [];
      for (let round = 0; round < KILLS; round++) {
        const clients = Array.from({ length: 8 }, (_, i) => writer(running.port, `${round}-${i}`, acknowledged));
        await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 1200));
        await running.kill();
        await Promise.all(clients);
        const began = Date.now();
        running = await startTestServer({ directory });
        await scalar(running.port, 'SELECT 1');
        const recoveryMs = Date.now() - began;
        expect(recoveryMs).toBeLessThan(10_000);
        const present = new Set((await rows(running.port, 'SELECT filler FROM pgbench_history')).map((text) => text.trim()));
        expect(acknowledged.filter((id) => !present.has(id))).toEqual([]);
        await sumsAgree(running.port);
      }
      expect(acknowledged.length).toBeGreaterThan(KILLS);
    } finally {
      await running.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

async function rows(port: number, sql: string): Promise<string[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.map((row) => String(row[0]));
  } finally {
    await client.end();
  }
}

/** TPC-B transactions, each with its own mark; a mark is noted when its COMMIT was answered. Ends with the connection. */
async function writer(port: number, name: string, acknowledged: string[]): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    for (let n = 0; ; n++) {
      const mark = `${name}-${n}`.slice(0, 22);
      const delta = Math.floor(Math.random() * 10_000) - 5000;
      const [account, teller] = [1 + Math.floor(Math.random() * 100_000), 1 + Math.floor(Math.random() * 10)];
      await client.query('BEGIN');
      await client.query('UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2', [delta, account]);
      await client.query('UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2', [delta, teller]);
      await client.query('UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = 1', [delta]);
      await client.query('INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler) VALUES ($1, 1, $2, $3, CURRENT_TIMESTAMP, $4)', [teller, account, delta, mark]);
      await client.query('COMMIT');
      acknowledged.push(mark);
    }
  } catch {
    // the server was killed
  } finally {
    await client.end().catch(() => undefined);
  }
}

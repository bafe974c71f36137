/** pgbench: initialisation, the built-in scripts in every protocol mode, the TPC-B sums, and kill -9 under load. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness/server.js';
import { Acknowledgements, describeReplay, expectSumsAgree, pgbench, runWriters, scalar } from '../harness/tpcb.js';

const SCALE = Number(process.env.OXBOW_PGBENCH_SCALE ?? 1);
const KILLS = Number(process.env.OXBOW_KILLS ?? 5);
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.stop();
});

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
    await expectSumsAgree(server.port);
  });
});

describe('kill -9', () => {
  test(`${KILLS} times under load: every acknowledged commit is there, none is half there`, { timeout: 120_000 + KILLS * 30_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-kill-'));
    let running = await startTestServer({ directory });
    try {
      expect((await pgbench(running.port, ['-i', '-s', String(SCALE), '-q'])).code).toBe(0);
      const acknowledged = new Acknowledgements();
      const recoveries: number[] = [];
      for (let round = 0; round < KILLS; round++) {
        const before = acknowledged.marks.length;
        const writers = runWriters(running.port, 8, round, SCALE, acknowledged);
        await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 1200));
        await running.kill();
        await writers;
        const began = Date.now();
        running = await startTestServer({ directory });
        await scalar(running.port, 'SELECT 1');
        const recoveryMs = Date.now() - began;
        recoveries.push(recoveryMs);
        process.stdout.write(`kill ${round}: ${acknowledged.marks.length - before} acknowledged, first query ${recoveryMs} ms after start, ${describeReplay(running)}\n`);
        expect(recoveryMs).toBeLessThan(10_000);
        await acknowledged.expectPresent(running.port);
        await expectSumsAgree(running.port);
      }
      recoveries.sort((a, b) => a - b);
      process.stdout.write(`first query after start, ms: median ${recoveries[recoveries.length >> 1]}, worst ${recoveries.at(-1)}\n`);
      expect(acknowledged.marks.length).toBeGreaterThan(KILLS);
    } finally {
      await running.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

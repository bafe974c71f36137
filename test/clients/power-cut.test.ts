/**
 * The power cut under the whole server: its data on a disk of its own that forgets what was not fsynced, eight clients with
 * TPC-B, the cut at a random moment, a restart, and every acknowledged transaction must be there, whole.
 *
 * OXBOW_POWER_CUTS (3) makes it longer. Without loop devices it says so; a simulated disk (test/crash/model.test.ts,
 * which `npm test` runs) stands in then, and is run here instead.
 */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runCommand } from '../harness/command.js';
import { lossyDiskObstacle, makeLossyDisk } from '../harness/lossy-disk.js';
import { startTestServer } from '../harness/server.js';
import { Acknowledgements, describeReplay, expectSumsAgree, pgbench, runWriters, scalar } from '../harness/tpcb.js';

const CUTS = Number(process.env.OXBOW_POWER_CUTS ?? 3);
const why = lossyDiskObstacle();
if (why) process.stdout.write(`power cut not played for real: ${why}; the engine's model test plays it on a simulated disk instead\n`);

if (why === undefined) describe('power cut on a disk of its own', () => {
  test(`${CUTS} times under load: every acknowledged commit is there, none is half there`, { timeout: 120_000 + CUTS * 30_000 }, async () => {
    const disk = makeLossyDisk(1500);
    let server = await startTestServer({ directory: disk.directory });
    try {
      expect((await pgbench(server.port, ['-i', '-s', '1', '-q'])).code).toBe(0);
      const acknowledged = new Acknowledgements();
      for (let round = 0; round < CUTS; round++) {
        const before = acknowledged.marks.length;
        const writers = runWriters(server.port, 8, round, 1, acknowledged);
        await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 1500));
        disk.cutPower();
        acknowledged.close();
        await server.kill();
        await writers;
        disk.restorePower();
        const began = Date.now();
        server = await startTestServer({ directory: disk.directory });
        await scalar(server.port, 'SELECT 1');
        const recoveryMs = Date.now() - began;
        await acknowledged.expectPresent(server.port);
        await expectSumsAgree(server.port);
        process.stdout.write(`cut ${round}: ${acknowledged.marks.length - before} acknowledged, first query after ${recoveryMs} ms, ${describeReplay(server)}\n`);
        acknowledged.reopen();
      }
      expect(acknowledged.marks.length).toBeGreaterThan(CUTS);
    } finally {
      await server.kill();
      disk.remove();
    }
  });
});

else describe('power cut on a simulated disk', () => {
  test('the model test holds', async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const ran = await runCommand('npx', ['vitest', 'run', '--root', root, 'test/crash/model.test.ts', '-t', 'power cuts']);
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  });
});

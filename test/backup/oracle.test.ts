/**
 * Restores to random targets against an oracle: while clients write and the server is killed once, full and
 * incremental backups are taken; then states at random times, LSNs, transactions and restore points are
 * restored and compared with what the clients were told, to the row.
 *
 * OXBOW_RESTORE_TARGETS says how many (4); OXBOW_SEED replays.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startTestServer } from '../harness/server.js';
import { oxbow } from './oxbow.js';
import { Workload, seeded, stateOf } from './workload.js';

const targets = Number(process.env.OXBOW_RESTORE_TARGETS ?? 4);
const seed = Number(process.env.OXBOW_SEED ?? Math.floor(Math.random() * 1e8));
const loadMs = Math.min(60_000, 4000 + targets * 150);
const scratch = mkdtempSync(join(tmpdir(), 'oxbow-oracle-'));

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test(`restored states are the oracle's (OXBOW_SEED=${seed}, ${targets} targets)`, async () => {
  const random = seeded(seed);
  const target = join(scratch, 'target');
  const directory = join(scratch, 'data');
  const args = ['--archive', target, '--archive-timeout', '300ms'];
  let server = await startTestServer({ directory, args });
  const url = (): string => `postgresql://postgres@127.0.0.1:${server.port}/postgres`;
  const admin = new pg.Client({ connectionString: url() });
  await admin.connect();
  await Workload.prepare(admin);
  await admin.end();
  const workload = new Workload(() => server.port, random);
  workload.start(4);
  await pause(300);
  await oxbow('backup', '--url', url(), '--to', target);
  const first = workload.committed;
  await pause(loadMs / 4);
  await oxbow('backup', '--url', url(), '--to', target, '--incremental');
  await pause(loadMs / 4);
  await server.kill();
  server = await startTestServer({ directory, args });
  await pause(loadMs / 4);
  await oxbow('backup', '--url', url(), '--to', target, '--incremental');
  await pause(loadMs / 8);
  await oxbow('backup', '--url', url(), '--to', target);
  await pause(loadMs / 8);
  await workload.stop();
  const present = await stateOf(server.port);
  expect(await server.stop()).toBe(0);
  const model = workload.stateAt(present.number);
  expect(present.items).toEqual(model.items);
  process.stderr.write(`${present.number} transactions, ${workload.marks.length} marks; seed ${seed}\n`);

  // Behind the last commit there is no telling that a time was reached.
  const marks = workload.marks.filter(({ atLeast, atMost }) => atLeast > first && atMost < present.number);
  for (let i = 0; i < targets; i++) {
    const restored = join(scratch, `restored-${i}`);
    let flags: string[];
    let atLeast: number;
    let atMost: number;
    if (i % 4 === 3) {
      const number = first + 1 + Math.floor(random() * (present.number - first));
      const exclusive = random() < 0.5;
      flags = ['--to-xid', String(workload.written.get(number)!.xid), ...(exclusive ? ['--exclusive'] : [])];
      atLeast = atMost = exclusive ? number - 1 : number;
    } else {
      const wanted = (['time', 'lsn', 'name'] as const)[i % 4]!;
      const candidates = marks.filter(({ kind }) => kind === wanted);
      const mark = candidates[Math.floor(random() * candidates.length)]!;
      flags = [`--to-${mark.kind}`, mark.value];
      ({ atLeast, atMost } = mark);
    }
    const told = await oxbow('restore', '--from', target, '--data', restored, ...flags);
    const other = await startTestServer({ directory: restored });
    const state = await stateOf(other.port);
    await other.stop();
    const context = `${flags.join(' ')}: ${told}`;
    expect(state.number, context).toBeGreaterThanOrEqual(atLeast);
    expect(state.number, context).toBeLessThanOrEqual(atMost);
    const expected = workload.stateAt(state.number);
    expect(state.items, context).toEqual(expected.items);
    expect(state.bulk, context).toBe(expected.bulk);
    expect(state.journal, context).toBe(state.number);
    rmSync(restored, { recursive: true, force: true });
  }
  expect(await oxbow('verify', '--from', target, '--restore', '--scratch', scratch)).toContain('proven at');
}, 120_000 + targets * 10_000);

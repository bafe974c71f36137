/**
 * Backups that are cut, truncated, flipped, emptied, exchanged and deleted, object by object: each damage is named, a
 * restore never gives a wrong state, and the newest restorable point that verification states can be restored.
 * Servers, archivers and restores are killed on the way. OXBOW_SEED replays.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer } from '../harness/server.js';
import { oxbow, runOxbow } from './oxbow.js';
import { Workload, seeded, stateOf } from './workload.js';

const seed = Number(process.env.OXBOW_SEED ?? Math.floor(Math.random() * 1e8));
const rounds = Number(process.env.OXBOW_DAMAGES ?? 5);
const random = seeded(seed);
const scratch = mkdtempSync(join(tmpdir(), 'oxbow-damage-'));
const target = join(scratch, 'target');
let workload: Workload;

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  const directory = join(scratch, 'data');
  const args = ['--archive', target, '--archive-timeout', '200ms'];
  let server = await startTestServer({ directory, args });
  const url = (): string => `postgresql://postgres@127.0.0.1:${server.port}/postgres`;
  const admin = new pg.Client({ connectionString: url() });
  await admin.connect();
  await Workload.prepare(admin);
  await admin.end();
  workload = new Workload(() => server.port, random);
  workload.start(2);
  await oxbow('backup', '--url', url(), '--to', target);
  await pause(1000);
  // The server dies with whatever the archiver had under way.
  for (let i = 0; i < 3; i++) {
    await server.kill();
    server = await startTestServer({ directory, args });
    await pause(200 + random() * 600);
  }
  await oxbow('backup', '--url', url(), '--to', target, '--incremental');
  await pause(500);
  await oxbow('backup', '--url', url(), '--to', target);
  await pause(1500);
  await workload.stop();
  await server.stop();
}, 120_000);

test('the archive is whole after its server was killed again and again', async () => {
  expect(await oxbow('verify', '--from', target, '--restore', '--scratch', scratch)).toContain('proven at');
}, 60_000);

function objectsOf(root: string): string[] {
  return readdirSync(root, { recursive: true }).map(String).filter((name) => statSync(join(root, name)).isFile() && !/owner|proven|begun|lineage$/.test(name)).sort();
}

/** Where a piece of the log begins and ends. */
function rangeOf(name: string): [number, number] {
  const [, from, to] = /\/([0-9a-f]{12})-([0-9a-f]{12})-/.exec(name)!;
  return [parseInt(from!, 16), parseInt(to!, 16)];
}

/** What of a piece of the log no other one holds; null: nothing. The server and its backups both bring log, in pieces of their own. */
function missingWithout(name: string, objects: readonly string[]): [number, number] | null {
  const [begin, end] = rangeOf(name);
  const others = objects.filter((other) => other !== name && other.startsWith('log/')).map(rangeOf).sort((a, b) => a[0] - b[0]);
  let from = begin;
  for (const [start, to] of others) if (start <= from && to > from) from = to;
  return from >= end ? null : [from, Math.min(end, ...others.map(([start]) => start).filter((start) => start > from))];
}

const DAMAGES: Readonly<Record<string, (path: string, other: string) => void>> = {
  flip(path) {
    const bytes = readFileSync(path);
    bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
    writeFileSync(path, bytes);
  },
  cut(path) {
    writeFileSync(path, readFileSync(path).subarray(0, Math.floor(random() * statSync(path).size)));
  },
  empty(path) {
    writeFileSync(path, '');
  },
  exchange(path, other) {
    writeFileSync(path, readFileSync(other));
  },
  delete(path) {
    rmSync(path);
  },
};

test(`damage is named, and what verification says can be restored can be (OXBOW_SEED=${seed})`, async () => {
  const objects = objectsOf(target);
  const kinds = Object.keys(DAMAGES);
  for (let round = 0; round < rounds; round++) {
    const damaged = join(scratch, `damaged-${round}`);
    cpSync(target, damaged, { recursive: true });
    const kind = kinds[round % kinds.length]!;
    const name = objects[Math.floor(random() * objects.length)]!;
    const others = objects.filter((other) => other !== name && statSync(join(target, other)).size > 0);
    DAMAGES[kind]!(join(damaged, name), join(damaged, others[Math.floor(random() * others.length)]!));
    const context = `${kind} ${name}`;
    const { code, stdout } = await runOxbow(['verify', '--from', damaged]);
    const newestPiece = objects.filter((object) => object.startsWith('log/')).sort().at(-1);
    if (kind === 'delete' && (name === newestPiece || name.endsWith('manifest') || (name.startsWith('log/') && missingWithout(name, objects) === null))) {
      // The end of the log that never was, and a backup that was never finished, look the same; what stands elsewhere too is not missed.
      expect(code, context).toBeLessThanOrEqual(1);
    } else {
      expect(code, `${context}\n${stdout}`).toBe(1);
      if (kind === 'delete' && name.startsWith('log/')) {
        const lsn = (at: number): string => `${Math.floor(at / 2 ** 32).toString(16).toUpperCase()}/${(at % 2 ** 32).toString(16).toUpperCase()}`;
        const [from, to] = missingWithout(name, objects)!;
        expect(stdout, context).toContain(`gap from ${lsn(from)} to ${lsn(to)}`);
      } else expect(stdout, context).toContain(name);
    }
    const stated = /newest restorable point: LSN (\S+),/.exec(stdout);
    expect(stated, stdout).not.toBeNull();
    const restored = join(scratch, `restored-${round}`);
    await oxbow('restore', '--from', damaged, '--data', restored, '--to-lsn', stated![1]!);
    const server = await startTestServer({ directory: restored });
    const state = await stateOf(server.port);
    await server.stop();
    const expected = workload.stateAt(state.number);
    expect(state.items, context).toEqual(expected.items);
    expect(state.bulk, context).toBe(expected.bulk);
    rmSync(restored, { recursive: true });
    rmSync(damaged, { recursive: true });
  }
}, 240_000);

test('a restore that is killed leaves a directory that no server opens and no restore overwrites', async () => {
  for (const ms of [150, 250, 400, 600]) {
    const directory = join(scratch, `killed-${ms}`);
    const { signal } = await runOxbow(['restore', '--from', target, '--data', directory], { killAfterMs: ms });
    if (signal === null || !existsSync(directory) || readdirSync(directory).length === 0) continue;
    if (readdirSync(directory).includes('FORMAT')) continue;
    await expect(startTestServer({ directory })).rejects.toThrow('not a data directory');
    const again = await runOxbow(['restore', '--from', target, '--data', directory]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('a restore may have been cut short there');
  }
}, 90_000);

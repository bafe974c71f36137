/**
 * Random bits of every file of a data directory are flipped. The log: always found and named, unless the bit is in a
 * part of a file that holds nothing. The state: found by `oxbow verify`, or without effect on any row; never a
 * wrong row without a word, and a crash of the reader is the checking process', not the command's.
 *
 * OXBOW_SEED replays a run; OXBOW_FLIPS sets how many flips of each kind.
 */
import { closeSync, cpSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, readdirSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { BATCH_HEADER, readBatchHeader } from '../../engine/log/batch.js';
import { SEGMENT_HEADER } from '../../engine/log/segment.js';
import { Findings } from '../../engine/verify/findings.js';
import { walkLog } from '../../engine/verify/log-walk.js';
import { runOxbow } from '../backup/oxbow.js';
import { startTestServer } from '../harness/server.js';
import { seededRandom } from './simulated-runtime.js';

const SEED = Number(process.env.OXBOW_SEED ?? Math.floor(Math.random() * 1e9));
const FLIPS = Number(process.env.OXBOW_FLIPS ?? 8);
const work = mkdtempSync(join(tmpdir(), 'oxbow-flips-'));
const whole = join(work, 'whole');
const random = seededRandom(SEED);
const below = (n: number): number => Math.floor(random() * n);
let content = '';

const CONTENT = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) AS t, count(*)::int AS n, sum(n)::int AS sum, (SELECT count(*)::int FROM t WHERE n = 7) AS by_index FROM t";

async function read(port: number): Promise<string> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return JSON.stringify((await client.query<object>(CONTENT)).rows[0]);
  } finally {
    await client.end().catch(() => undefined);
  }
}

beforeAll(async () => {
  console.log(`bit flips: seed ${SEED}, ${FLIPS} of each kind`);
  const server = await startTestServer({ directory: whole, args: ['--retention', '1h'] });
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query('CREATE TABLE t (id int PRIMARY KEY, n int, v text); CREATE TABLE large (id int, t text)');
  for (let i = 0; i < 20; i++) await client.query(`INSERT INTO t SELECT g, g % 100, repeat(md5(g::text), g % 5) FROM generate_series(${i * 500 + 1}, ${i * 500 + 500}) g`);
  // Its entries stand in blocks (engine/packed), until those that are updated are taken out.
  await client.query('CREATE INDEX t_n ON t (n)');
  await client.query("UPDATE t SET n = n + 1 WHERE id % 5 = 0; DELETE FROM t WHERE id % 11 = 0; INSERT INTO large SELECT g, repeat('0123456789', 10000) FROM generate_series(1, 10) g");
  await client.end();
  content = await read(server.port);
  await server.stop();
}, 60_000);

afterAll(() => rmSync(work, { recursive: true, force: true }));

function flip(path: string, position: number, bit: number): void {
  const file = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, position);
  byte[0]! ^= 1 << bit;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
}

/** Where a segment holds something: its header, and its batches. */
function usedRanges(path: string): [number, number][] {
  const bytes = new Uint8Array(readFileSync(path));
  let at = SEGMENT_HEADER;
  for (let header = readBatchHeader(bytes, at); header && at + BATCH_HEADER <= bytes.length; header = readBatchHeader(bytes, at)) at += header.byteLength;
  return [[0, 48], [SEGMENT_HEADER, at]];
}

it(`the log: each is named (seed ${SEED})`, async () => {
  const segments = readdirSync(join(whole, 'log')).filter((name) => name.endsWith('.log'));
  expect(segments.length).toBeGreaterThan(0);
  const check = async (directory: string): Promise<string[]> => {
    const findings = new Findings();
    await walkLog(nodeRuntime(), directory, findings, Infinity as never, () => undefined);
    return findings.list.map(({ message }) => message);
  };
  expect(await check(join(whole, 'log'))).toEqual([]);
  const directory = join(work, 'log');
  cpSync(join(whole, 'log'), directory, { recursive: true });
  for (let i = 0; i < FLIPS * 6; i++) {
    const name = segments[below(segments.length)]!;
    const path = join(directory, name);
    const ranges = usedRanges(join(whole, 'log', name));
    const [from, to] = ranges[random() < 0.1 ? 0 : 1]!;
    const [position, bit] = [from + below(to - from), below(8)];
    flip(path, position, bit);
    const found = await check(directory);
    expect({ name, position, bit, found: found.length > 0 && found.every((message) => message.includes(name) || message.includes('log/')) }).toEqual({ name, position, bit, found: true });
    flip(path, position, bit);
  }
  for (let i = 0; i < FLIPS; i++) {
    const path = join(directory, 'term');
    const [position, bit] = [below(statSync(path).size), below(8)];
    flip(path, position, bit);
    expect({ position, bit, found: await check(directory) }).toEqual({ position, bit, found: ['log/term is damaged'] });
    flip(path, position, bit);
  }
  expect(await check(directory)).toEqual([]);
}, 60_000);

it(`the log's last batches, and a server that is started on them (seed ${SEED})`, async () => {
  const name = readdirSync(join(whole, 'log')).filter((file) => file.endsWith('.log')).sort().at(-1)!;
  const directory = join(work, 'tail');
  cpSync(whole, directory, { recursive: true });
  const [, [, end]] = usedRanges(join(whole, 'log', name)) as [unknown, [number, number]];
  flip(join(directory, 'log', name), end - 1 - below(20), below(8));
  await expect(startTestServer({ directory })).rejects.toThrow(/the commit log is damaged/);
}, 30_000);

it(`FORMAT and what else lies there (seed ${SEED})`, async () => {
  const directory = join(work, 'small');
  cpSync(whole, directory, { recursive: true });
  const size = statSync(join(directory, 'FORMAT')).size;
  for (let i = 0; i < 4; i++) {
    const [position, bit] = [below(size), below(8)];
    flip(join(directory, 'FORMAT'), position, bit);
    const { code, stderr } = await runOxbow(['verify', '--data', directory]);
    expect({ position, bit, code, named: stderr.includes('format') }).toEqual({ position, bit, code: 2, named: true });
    flip(join(directory, 'FORMAT'), position, bit);
  }
  // Memory of the scrubber: damaged, it is as if there were none.
  if (existsSync(join(directory, 'scrub.json'))) writeFileSync(join(directory, 'scrub.json'), '{"finishedMicros":');
  const server = await startTestServer({ directory });
  expect(await read(server.port)).toBe(content);
  await server.stop();
}, 60_000);

it('a page that bears the number of another: LMDB does not look, long scans do, and so does verify', async () => {
  const directory = join(work, 'numbers');
  cpSync(whole, directory, { recursive: true });
  const path = join(directory, 'state.mdb');
  const pages = statSync(path).size / 4096;
  let named = 0;
  // Pages that are free do no harm.
  for (let i = 0; i < 100 && named === 0; i++) {
    const page = 2 + below(pages - 2);
    flip(path, page * 4096 + 1, 4);
    const { code, stdout, stderr } = await runOxbow(['verify', '--data', directory]);
    if (stdout.includes('is not the one that belongs there')) named++;
    expect({ page, ended: code === 0 || code === 1, stderr }).toEqual({ page, ended: true, stderr: '' });
    flip(path, page * 4096 + 1, 4);
  }
  expect(named).toBe(1);
}, 240_000);

it(`the state: found, or without effect (seed ${SEED})`, async () => {
  const directory = join(work, 'state');
  cpSync(whole, directory, { recursive: true });
  const path = join(directory, 'state.mdb');
  const size = statSync(path).size;
  const pages = size / 4096;
  const outcomes = new Map<string, number>();
  for (let i = 0; i < FLIPS; i++) {
    // Half of them in heads of pages, where they do the most harm.
    const position = i % 2 === 0 ? below(size) : (2 + below(pages - 2)) * 4096 + below(64);
    const bit = below(8);
    flip(path, position, bit);
    const { code, signal, stdout, stderr } = await runOxbow(['verify', '--data', directory], { killAfterMs: 60_000 });
    // A reader that dies may leave words on stderr; the command still says whether all is sound.
    const ended = code === 0 || code === 1;
    expect({ position, bit, signal, ended, stderr: ended ? '' : stderr }).toEqual({ position, bit, signal: null, ended: true, stderr: '' });
    if (code === 0) {
      expect(stdout).toMatch(/^sound$/m);
      // What verify calls sound answers as before.
      const copy = join(work, 'started');
      rmSync(copy, { recursive: true, force: true });
      cpSync(directory, copy, { recursive: true });
      const server = await startTestServer({ directory: copy, args: ['--scrub-every', '0s'] });
      expect({ position, bit, content: await read(server.port) }).toEqual({ position, bit, content });
      await server.kill();
    }
    const outcome = code === 0 ? 'no effect' : stdout.includes('ended the checking process') ? 'crash of the checking process, named' : 'named';
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    flip(path, position, bit);
  }
  console.log(`  state: ${[...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', ')}`);
}, 60_000 + FLIPS * 15_000);

/** deploy/runbook.md: each scenario's accident is played, and its commands are run exactly as they stand there. */
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { oxbow } from '../backup/oxbow.js';
import { ask } from '../harness/ask.js';
import { mainEntry } from '../harness/entry.js';
import { startTestServer } from '../harness/server.js';
import type { TestServer } from '../harness/server.js';

const runbook = readFileSync(fileURLToPath(new URL('../../deploy/runbook.md', import.meta.url)), 'utf8');
const scratch = mkdtempSync(join(tmpdir(), 'oxbow-runbook-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

mkdirSync(join(scratch, 'bin'));
writeFileSync(join(scratch, 'bin', 'oxbow'), `#!/bin/sh\nexec "${process.execPath}" "${mainEntry}" "$@"\n`);
chmodSync(join(scratch, 'bin', 'oxbow'), 0o755);

/** The commands below a heading. */
function commandsOf(heading: string): string {
  const section = runbook.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  const blocks = [...(section ?? '').matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
  expect(blocks.length, heading).toBeGreaterThan(0);
  return blocks.join('');
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

interface Scene {
  readonly archive: string;
  readonly data: string;
  readonly server: TestServer;
  readonly before: string;
}

const SUM = 'SELECT count(*) || $$ $$ || sum(balance) AS value FROM account';

async function stage(name: string): Promise<Scene> {
  const archive = join(scratch, name, 'archive');
  const data = join(scratch, name, 'data');
  mkdirSync(join(scratch, name));
  const server = await startTestServer({ directory: data, args: ['--archive', archive, '--archive-timeout', '200ms'] });
  await ask(server.port, 'CREATE TABLE account (id int PRIMARY KEY, balance numeric(12,2) NOT NULL)');
  await ask(server.port, 'INSERT INTO account SELECT i, i FROM generate_series(1, 3000) i');
  await oxbow('backup', '--url', `postgresql://postgres@127.0.0.1:${server.port}/postgres`, '--to', archive);
  await ask(server.port, 'UPDATE account SET balance = balance + 1 WHERE id <= 1000');
  const before = await ask(server.port, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  return { archive, data, server, before };
}

const EXPECTED = `3000 ${((3000 * 3001) / 2 + 1000).toFixed(2)}`;
const archived = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1500));

/** Runs the commands; `check` is asked while what they started runs. */
async function follow(heading: string, scene: Scene, port: number, check: (port: number) => Promise<void>): Promise<void> {
  const commands = commandsOf(heading);
  const env = {
    ...process.env, PATH: `${join(scratch, 'bin')}:${process.env.PATH}`, ARCHIVE: scene.archive, DATA: scene.data, BEFORE: scene.before, TMPDIR: scratch,
    PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres', PGDATABASE: 'postgres', URL: `postgresql://postgres@127.0.0.1:${port}/postgres`, OXBOW_OPS_PORT: '0',
  };
  const output = join(scratch, 'output');
  const fd = openSync(output, 'w');
  const child = spawn('bash', ['-euo', 'pipefail', '-c', commands], { env, stdio: ['ignore', fd, fd], detached: true });
  closeSync(fd);
  try {
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect(code, readFileSync(output, 'utf8')).toBe(0);
    await check(port);
  } finally {
    // What runs in the background is of the same process group.
    try {
      process.kill(-child.pid!, 'SIGTERM');
    } catch {
      // Nothing is left of it.
    }
    await archived();
  }
}

test('lost machine', async () => {
  const scene = await stage('machine');
  await archived();
  await scene.server.kill();
  rmSync(scene.data, { recursive: true });
  await follow('Lost machine', scene, await freePort(), async (port) => expect(await ask(port, SUM)).toBe(EXPECTED));
}, 120_000);

test('lost disk', async () => {
  const scene = await stage('disk');
  await archived();
  rmSync(scene.data, { recursive: true });
  await scene.server.kill();
  mkdirSync(scene.data, { recursive: true });
  await follow('Lost disk', scene, await freePort(), async (port) => expect(await ask(port, SUM)).toBe(EXPECTED));
}, 120_000);

test('dropped table', async () => {
  const scene = await stage('dropped');
  await ask(scene.server.port, 'DROP TABLE account');
  await archived();
  await follow('Dropped table', scene, scene.server.port, async (port) => {
    expect(await ask(port, SUM)).toBe(EXPECTED);
    await expect(ask(port, 'INSERT INTO account VALUES (1, 1)')).rejects.toThrow('duplicate key');
  });
  await scene.server.stop();
}, 120_000);

test('wrong UPDATE an hour ago', async () => {
  const scene = await stage('update');
  await ask(scene.server.port, 'UPDATE account SET balance = 0');
  await ask(scene.server.port, 'INSERT INTO account VALUES (9999, 5)');
  await archived();
  await follow('Wrong UPDATE an hour ago', scene, scene.server.port, async (port) => expect(await ask(port, `${SUM} WHERE id < 9999`)).toBe(EXPECTED));
  await scene.server.stop();
}, 120_000);

test('corrupted file', async () => {
  const scene = await stage('corrupted');
  await archived();
  await scene.server.stop();
  const path = join(scene.data, 'state.mdb');
  const fd = openSync(path, 'r+');
  // Every page but the first ones gets a byte changed.
  for (let at = 16_384 + 700; at < statSync(path).size; at += 4096) writeSync(fd, Buffer.from([0x5a]), 0, 1, at);
  closeSync(fd);
  await follow('Corrupted file', scene, await freePort(), async (port) => expect(await ask(port, SUM)).toBe(EXPECTED));
}, 120_000);

/** A backup knows nothing of the pages it came from: taken at one page size, restored at another, and back. */
import { mkdtempSync, openSync, readSync, rmSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ask } from '../harness/ask.js';
import { startTestServer } from '../harness/server.js';
import { oxbow, runOxbow } from './oxbow.js';

const scratch = mkdtempSync(join(tmpdir(), 'oxbow-portable-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function pageSizeOf(directory: string): number {
  const bytes = Buffer.alloc(4);
  const fd = openSync(join(directory, 'state.mdb'), 'r');
  readSync(fd, bytes, 0, 4, 48);
  closeSync(fd);
  return bytes.readUInt32LE(0);
}

const FACTS = `SELECT count(*) || ' ' || sum(i) || ' ' || md5(string_agg(filler, ',' ORDER BY i)) FROM t`;

test('page sizes', async () => {
  const urlOf = (port: number): string => `postgresql://postgres@127.0.0.1:${port}/postgres`;
  const first = await startTestServer({});
  await ask(first.port, 'CREATE TABLE t (i int PRIMARY KEY, filler text)');
  await ask(first.port, `INSERT INTO t SELECT i, repeat(md5(i::text), 1 + i % 7) || CASE WHEN i % 500 = 0 THEN repeat('large', 20000) ELSE '' END FROM generate_series(1, 5000) i`);
  await ask(first.port, 'UPDATE t SET filler = filler || i WHERE i % 3 = 0');
  await ask(first.port, 'DELETE FROM t WHERE i % 11 = 0');
  const facts = await ask(first.port, FACTS);
  const [small, large] = [join(scratch, 'small'), join(scratch, 'large')];
  await oxbow('backup', '--url', urlOf(first.port), '--to', small);
  await first.stop();

  const directory = join(scratch, 'pages of 16 kB');
  const restored = await runOxbow(['restore', '--from', small, '--data', directory], { env: { OXBOW_PAGE_SIZE: '16384' } });
  expect(restored.stderr).toBe('');
  expect(pageSizeOf(directory)).toBe(16384);
  expect(await oxbow('verify', '--data', directory)).toContain('sound');
  const second = await startTestServer({ directory });
  expect(await ask(second.port, FACTS)).toBe(facts);
  await ask(second.port, `INSERT INTO t SELECT i, 'more' FROM generate_series(10001, 12000) i`);
  const more = await ask(second.port, FACTS);
  await oxbow('backup', '--url', urlOf(second.port), '--to', large);
  await second.stop();

  const back = join(scratch, 'pages of 4 kB');
  expect((await runOxbow(['restore', '--from', large, '--data', back], { env: { OXBOW_PAGE_SIZE: '4096' } })).code).toBe(0);
  expect(pageSizeOf(back)).toBe(4096);
  expect(await oxbow('verify', '--data', back)).toContain('sound');
  const third = await startTestServer({ directory: back });
  expect(await ask(third.port, FACTS)).toBe(more);
  await third.stop();
}, 120_000);

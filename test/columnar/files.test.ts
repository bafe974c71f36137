/**
 * Column segments in files: after a restart they are read instead of being built, what the log changed since is read from rows, and
 * whatever happens to the files costs time only. Answers are compared with those of the row operators at the same snapshot.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { runCommand } from '../harness/command.js';
import { mainEntry } from '../harness/entry.js';
import { startTestServer, type TestServer } from '../harness/server.js';
import { randomFrom } from './made-data.js';

const seed = Number(process.env.OXBOW_SEED ?? Date.now() % 1_000_000);
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oxbow-columns-'));
  folders.push(folder);
  return folder;
}

const ROWS = 140_000;
const SCHEMA = `
create table facts (id int primary key, small smallint, wide bigint, price numeric(12,2), ratio float8, flag boolean, day date, at timestamp, kind char(4), note varchar(60));
insert into facts select i, i % 300, case when i % 11 = 0 then null else i::bigint * 1000003 end, (i % 100000) / 100.0, case when i % 1009 = 0 then 'NaN' when i % 1013 = 0 then 'Infinity' else i / 8.0 end,
    case i % 3 when 0 then true when 1 then false end, date '1999-11-01' + i % 2500, timestamp '2020-01-01' + i * interval '37 seconds', (array['AA', 'B', 'C', 'DDDD'])[1 + i % 4],
    case when i % 13 = 0 then null else 'note number ' || i || ' é😀' end
  from generate_series(1, ${ROWS}) i`;

const QUERIES = [
  'select count(*), sum(id), sum(small), sum(wide), sum(price), min(day), max(at), count(flag) from facts',
  'select kind, flag, count(*), sum(price), min(ratio), max(day) from facts group by 1, 2 order by 1, 2',
  "select count(*), min(note), max(note) from facts where note like '%77%' and small < 200",
  'select day, count(*), sum(wide) from facts where at > \'2020-01-20\' group by 1 order by 1 limit 50',
];

async function expectRows(client: pg.Client, what: string): Promise<void> {
  for (const query of QUERIES) {
    await client.query('begin isolation level repeatable read');
    const columns = await run(client, query);
    await client.query('set local oxbow.columns = off');
    const rows = await run(client, query);
    await client.query('commit');
    expect({ what, query, ...columns }).toEqual({ what, query, ...rows });
  }
}

interface Figures { blocks: string; ready: string; columns: string; memory_bytes: string; disk_bytes: string; reads: string; builds: string }

async function figures(client: pg.Client, relation = 'facts'): Promise<Figures | undefined> {
  return (await client.query<Figures>('select * from oxbow_stat_columns() where relname = $1', [relation])).rows[0];
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within 15 s`);
}

/** All columns of all segments are in files, and listed. */
async function written(client: pg.Client, server: TestServer): Promise<void> {
  let before = '';
  await until('files are written', async () => {
    const now = await figures(client);
    const manifest = join(server.directory, 'columns/manifest');
    const listed = existsSync(manifest) ? readFileSync(manifest, 'utf8') : '';
    const state = `${now?.disk_bytes} ${listed.length}`;
    const same = Number(now?.disk_bytes ?? 0) > 0 && now!.ready === now!.blocks && state === before && listed.includes('"segments"') && (listed.match(/"block"/g) ?? []).length === Number(now!.ready);
    before = state;
    if (!same) await new Promise((resolve) => setTimeout(resolve, 500));
    return same;
  });
}

function columnFiles(server: TestServer): string[] {
  const folder = join(server.directory, 'columns');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.col')).map((name) => join(folder, name)).sort();
}

/** One of the files that are still there. */
function existing(files: readonly string[], n: number, random: () => number): string {
  const left = files.slice(n).filter((path) => existsSync(path));
  return left[Math.floor(random() * left.length)]!;
}

async function start(directory: string): Promise<{ server: TestServer; client: pg.Client }> {
  const server = await startTestServer({ directory });
  return { server, client: await connect(server.port) };
}

async function loaded(): Promise<{ server: TestServer; client: pg.Client }> {
  const { server, client } = await start(newFolder());
  await client.query(SCHEMA);
  await expectRows(client, 'after the load');
  await written(client, server);
  return { server, client };
}

test('a restart reads columns from files, and rows that changed since from rows', async () => {
  let { server, client } = await loaded();
  await client.end();
  expect(await server.stop()).toBe(0);

  ({ server, client } = await start(server.directory));
  await expectRows(client, 'after a stop');
  const after = (await figures(client))!;
  expect(Number(after.reads)).toBeGreaterThan(20);
  expect(Number(after.builds)).toBe(0);

  // Changes that no list of files knows of.
  await client.query('update facts set price = price + 1, note = \'changed\' where id % 1000 = 7');
  await client.query('delete from facts where id % 1000 = 8');
  await client.query(`insert into facts select * from (select ${ROWS} + i, i, i, i / 100.0, i, true, date '2001-01-01', timestamp '2020-06-01', 'NEW', 'new ' || i from generate_series(1, 5000) i) x`);
  await client.query('begin; update facts set small = 5 where id < 100; rollback');
  await expectRows(client, 'after changes');
  await client.end();
  await server.kill();

  ({ server, client } = await start(server.directory));
  await expectRows(client, 'after kill -9');
  // Of the blocks that were not built anew for all that changed in them.
  expect(Number((await figures(client))!.reads)).toBeGreaterThanOrEqual(10);
  await client.end();
  await server.stop();
}, 120_000);

test(`files that are damaged, cut, deleted or of others cost only time (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  let { server, client } = await loaded();
  for (const how of ['files', 'manifest', 'all'] as const) {
    await client.end();
    await server.stop();
    const files = columnFiles(server);
    expect(files.length, how).toBeGreaterThan(10);
    const manifest = join(server.directory, 'columns/manifest');
    for (const [n, path] of how === 'files' ? files.entries() : []) {
      const bytes = readFileSync(path);
      const what = random();
      if (what < 0.3) {
        bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
        writeFileSync(path, bytes);
      } else if (what < 0.45) writeFileSync(path, bytes.subarray(0, Math.floor(random() * bytes.length)));
      else if (what < 0.6) unlinkSync(path);
      else if (what < 0.75) writeFileSync(path, readFileSync(existing(files, n, random)));
    }
    if (how === 'manifest') {
      const bytes = readFileSync(manifest);
      bytes[Math.floor(random() * bytes.length)]! ^= 4;
      writeFileSync(manifest, bytes);
    } else if (how === 'all') rmSync(join(server.directory, 'columns'), { recursive: true });
    ({ server, client } = await start(server.directory));
    await expectRows(client, how);
    await written(client, server);
  }
  // While the server runs, too; columns that memory let go of are asked for again.
  rmSync(join(server.directory, 'columns'), { recursive: true });
  await client.query("set oxbow.column_memory = '1MB'");
  await expectRows(client, 'deleted while it runs');
  await client.query('reset oxbow.column_memory');
  await expectRows(client, 'deleted while it runs');
  await client.end();
  await server.stop();
  const { code, stdout, stderr } = await runCommand(process.execPath, [mainEntry, 'verify', '--data', server.directory], { timeoutMs: 60_000 });
  expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
}, 240_000);

test('columns beyond the memory are let go of and read back; files go with their relation, and keep within their bound', async () => {
  const { server, client } = await loaded();
  await client.query("set oxbow.column_memory = '2MB'");
  const before = (await figures(client))!;
  await expectRows(client, 'little memory');
  await expectRows(client, 'little memory, again');
  const after = (await figures(client))!;
  expect(Number(after.reads)).toBeGreaterThan(Number(before.reads) + 20);
  expect(Number(after.builds)).toBe(Number(before.builds));
  expect(Number(after.memory_bytes)).toBeLessThan(2 << 20);
  await client.query("set oxbow.column_disk = '3MB'");
  await client.query('create table more as select * from facts');
  expect((await client.query('select sum(price), max(note), min(at), count(wide) from more')).rows).toEqual((await client.query('select sum(price), max(note), min(at), count(wide) from facts')).rows);
  await until('files keep within 3 MB', async () => {
    const bytes = columnFiles(server).reduce((sum, path) => sum + (existsSync(path) ? statSync(path).size : 0), 0);
    return bytes <= 3 << 20;
  });
  await client.query('reset oxbow.column_disk');
  await client.query('drop table facts; drop table more');
  await until('files are removed', async () => columnFiles(server).length === 0);
  await client.end();
  await server.stop();
}, 120_000);

test(`killed again and again while it loads, changes and writes files (seed ${seed})`, async () => {
  const random = randomFrom(seed + 1);
  let { server, client } = await start(newFolder());
  await client.query(SCHEMA);
  let key = 1_000_000;
  for (let round = 0; round < 4; round++) {
    await client.query(`set oxbow.column_memory = '${random() < 0.5 ? '3MB' : '1GB'}'`);
    const working = (async () => {
      for (;;) {
        const what = random();
        const id = Math.floor(random() * ROWS);
        if (what < 0.4) await client.query(`update facts set price = price + 1, note = 'round ${round} ' || id, small = 7 where id between ${id} and ${id + 50}`);
        else if (what < 0.5) await client.query(`delete from facts where id between ${id} and ${id + 9}`);
        else if (what < 0.6) await client.query(`insert into facts select ${(key += 40_000)} + i, 1, 2, 3.5, 4, true, date '2002-02-02', timestamp '2021-01-01', 'K', 'bulk' from generate_series(1, 20000) i`);
        else if (what < 0.7) await client.query(`begin; insert into facts select ${(key += 40_000)} + i, 1, 2, 3.5, 4, true, date '2002-02-02', timestamp '2021-01-01', 'K', 'gone' from generate_series(1, 3000) i; rollback`);
        else await client.query(QUERIES[Math.floor(random() * QUERIES.length)]!);
      }
    })().catch(() => undefined);
    client.on('error', () => undefined);
    await new Promise((resolve) => setTimeout(resolve, 300 + random() * 3500));
    await server.kill();
    await working;
    ({ server, client } = await start(server.directory));
    await expectRows(client, `round ${round}`);
  }
  await client.end();
  await server.stop();
}, 180_000);

/**
 * Columns are built while rows are loaded: after COPY and INSERT ... SELECT they are there without anybody having asked, and they answer
 * what rows answer, whatever else the loading transaction and others did meanwhile.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { connect, run } from '../harness/compare.js';
import { runCommand } from '../harness/command.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let server: TestServer;
let client: pg.Client;
const directory = mkdtempSync(join(tmpdir(), 'oxbow-loads-'));

beforeAll(async () => {
  server = await startTestServer({ directory, args: ['--set', 'max_prepared_transactions=4'] });
  client = await connect(server.port);
});

afterAll(async () => {
  await client.end();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const TABLE = '(id int, amount numeric(10,2), day date, kind text, note text)';
const rowsOf = (from: number, to: number, kind: string): string => `select i, i / 100.0, date '1995-01-01' + i % 3000, '${kind}' || i % 3, 'note ' || i from generate_series(${from}, ${to}) i`;

interface Figures { blocks: number; ready: number; builds: number; hits: number }

async function figures(table: string): Promise<Figures> {
  const { rows } = await client.query<Record<keyof Figures, string>>('select blocks, ready, builds, hits from oxbow_stat_columns() where relname = $1', [table]);
  const [row] = rows;
  return { blocks: Number(row?.blocks ?? 0), ready: Number(row?.ready ?? 0), builds: Number(row?.builds ?? 0), hits: Number(row?.hits ?? 0) };
}

async function ready(table: string, blocks: number): Promise<Figures> {
  for (let tries = 0; ; tries++) {
    const now = await figures(table);
    if (now.ready >= blocks) return now;
    if (tries > 200) throw new Error(`${table}: ${JSON.stringify(now)} after 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function expectRows(table: string): Promise<void> {
  for (const query of [`select count(*), sum(id), sum(amount), min(day), max(day), count(note) from ${table}`, `select kind, count(*), sum(amount), max(note) from ${table} group by 1 order by 1`]) {
    await client.query('begin isolation level repeatable read');
    const columns = await run(client, query);
    await client.query('set local oxbow.columns = off');
    const rows = await run(client, query);
    await client.query('commit');
    expect({ query, ...columns }).toEqual({ query, ...rows });
  }
}

test('after COPY and INSERT ... SELECT the columns are there, nobody having asked', async () => {
  await client.query(`create table copied ${TABLE}; create table selected ${TABLE}`);
  const lines = Array.from({ length: 150_000 }, (_, i) => `${i}\t${(i / 100).toFixed(2)}\t1995-01-0${1 + (i % 9)}\tk${i % 3}\tnote ${i}\n`).join('');
  const { code, stderr } = await runCommand('psql', ['-X', '-q', '-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', '-c', 'copy copied from stdin'], { input: lines });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(await ready('copied', 3)).toMatchObject({ blocks: 3, ready: 3, hits: 0 });
  await client.query(`insert into selected ${rowsOf(1, 150_000, 'k')}`);
  const { builds } = await ready('selected', 3);
  // Asked for now: nothing of it is built from rows but the texts.
  expect((await client.query('select sum(amount), count(day), min(kind) from selected')).rows).toEqual([{ sum: '112500750.00', count: '150000', min: 'k0' }]);
  expect(await figures('selected')).toMatchObject({ builds });
  await expectRows('copied');
  await expectRows('selected');
}, 60_000);

test('a load leaves the segments of other blocks as they are', async () => {
  await client.query(`create table growing ${TABLE}; insert into growing ${rowsOf(1, 140_000, 'a')}`);
  await ready('growing', 3);
  await client.query('select count(*), sum(amount) from growing where amount > 3');
  const before = await figures('growing');
  await client.query(`insert into growing ${rowsOf(200_001, 330_000, 'b')}`);
  await ready('growing', 5);
  await expectRows('growing');
  const after = await figures('growing');
  // The third block was half full; two more, and the texts of note.
  expect(after.builds - before.builds).toBeLessThan(12);
}, 60_000);

test('what the loading transaction itself does to its rows counts', async () => {
  await client.query(`create table own ${TABLE}`);
  await client.query('begin');
  await client.query(`insert into own ${rowsOf(1, 140_000, 'a')}`);
  await client.query("update own set amount = 0, note = 'changed' where id between 1000 and 3000");
  await client.query('delete from own where id between 60000 and 70000');
  await client.query(`insert into own ${rowsOf(200_001, 260_000, 'b')}`);
  await client.query("update own set kind = 'many' where id % 3 = 0");
  await client.query('commit');
  await ready('own', 4);
  await expectRows('own');
  expect((await client.query("select count(*) as n from own where kind = 'many' and amount >= 0")).rows).toEqual((await client.query('select count(*) as n from own where id % 3 = 0')).rows);
}, 60_000);

test('savepoints that are rolled back, and loads that are', async () => {
  await client.query(`create table undone ${TABLE}`);
  await client.query('begin');
  await client.query(`insert into undone ${rowsOf(1, 70_000, 'a')}`);
  await client.query('savepoint s');
  await client.query(`insert into undone ${rowsOf(300_001, 370_000, 'gone')}`);
  await client.query('rollback to s');
  await client.query(`insert into undone ${rowsOf(500_001, 570_000, 'b')}`);
  await client.query('commit');
  await client.query(`begin; insert into undone ${rowsOf(700_001, 770_000, 'never')}; rollback`);
  await expectRows('undone');
  await client.query(`begin; insert into undone ${rowsOf(900_001, 970_000, 'prepared')}; prepare transaction 'p'`);
  await expectRows('undone');
  await client.query("commit prepared 'p'");
  await expectRows('undone');
  expect((await client.query('select count(*) as n, min(kind) as least from undone')).rows).toEqual([{ n: '210000', least: 'a0' }]);
}, 60_000);

test('two loads and small changes at once into one table', async () => {
  await client.query(`create table shared ${TABLE}; insert into shared ${rowsOf(1, 70_000, 'old')}`);
  await ready('shared', 2);
  const others = await Promise.all([0, 1, 2].map(() => connect(server.port)));
  let going = true;
  const changing = (async () => {
    for (let n = 0; going; n++) {
      await others[2]!.query(`update shared set amount = amount + 1 where id between ${(n * 317) % 70_000} and ${((n * 317) % 70_000) + 20}`);
      await others[2]!.query(`insert into shared ${rowsOf(5_000_000 + n * 10, 5_000_005 + n * 10, 'small')}`);
      await others[2]!.query(`delete from shared where id = ${5_000_000 + n * 10}`);
    }
  })();
  const loads = Promise.all([0, 1].map((n) => others[n]!.query(`insert into shared ${rowsOf(1_000_000 * (n + 1), 1_000_000 * (n + 1) + 90_000, `load${n}-`)}`)));
  let over = false;
  void loads.then(() => (over = true));
  while (!over) await expectRows('shared');
  going = false;
  await changing;
  await expectRows('shared');
  await new Promise((resolve) => setTimeout(resolve, 500));
  await expectRows('shared');
  for (const other of others) await other.end();
}, 90_000);

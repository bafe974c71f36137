/**
 * pg_dump and pg_restore 16 in both directions: a database of Oxbow's restored into PostgreSQL and the
 * other way round, in plain, custom and directory format (with -j), is dumped again as it was before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../harness/command.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';
import { postgres16Tools } from './postgres-16-tools.js';

const chinook = fileURLToPath(new URL('../data/chinook.sql', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'oxbow-dump-'));
let oracle: Oracle;
let server: TestServer;
let ports: { readonly oxbow: number; readonly postgres: number };

const RICH = `
create schema app; create role app_user;
create table app.parent (id int generated always as identity primary key, name varchar(40) not null unique, created timestamptz default '2026-01-01 00:00Z', tags text[] default '{}', doc jsonb,
  amount numeric(10,2) check (amount >= 0), constraint named check (length(name) > 1));
create table app.child (id bigserial, parent_id int references app.parent (id) on delete cascade on update set null deferrable initially deferred, v text collate "C", primary key (id),
  total int generated always as (id::int * 2) stored);
create unique index child_lower on app.child (lower(v)) where v is not null;
create index child_inc on app.child (parent_id desc nulls last) include (v);
create view app.v as select p.id, p.name, count(c.id) as n from app.parent p left join app.child c on c.parent_id = p.id group by p.id, p.name;
create materialized view app.mv as select id, name from app.parent;
create sequence app.seq increment 5 start 100 cache 10;
comment on table app.parent is 'parents'; comment on column app.parent.name is 'the name';
grant select on app.parent to app_user; grant usage on schema app to app_user;
create type app.mood as enum ('sad', 'ok', 'happy'); create domain app.posint as int check (value > 0); create type app.pair as (a int, b text);
create table app.kinds (m app.mood, p app.posint, q app.pair, u uuid, b bytea, d date, t time, i interval, f float8, r real, bo bool, c char(3), j json, arr int[], tz timestamptz, n numeric);
insert into app.parent (name, tags, doc, amount) values ('one', '{a,b}', '{"x": 1}', 1.5), ('two', '{}', null, null);
insert into app.child (parent_id, v) values (1, 'Abc'), (2, E'tab\\there\\\\n and "quotes"');
insert into app.kinds values ('ok', 3, row(1, 'x'), '00000000-0000-0000-0000-000000000001', '\\x00ff', '2020-01-01', '12:00', '1 day 02:00', 1e300, 1.5, true, 'ab', '{"a": 1}', '{1,2,NULL}', '2020-02-02 10:00Z', 123456789012345678901234567890.5);
refresh materialized view app.mv;
create table plain (a int); alter table plain replica identity full; alter table plain alter a set statistics 50; alter table plain alter a set not null;
select setval('app.seq', 333);
`;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
  ports = { oxbow: server.port, postgres: oracle.port };
  for (const port of Object.values(ports)) {
    await tool('psql', port, ['-q', '-v', 'ON_ERROR_STOP=1', '-f', chinook], 'postgres');
    await tool('psql', port, ['-q', '-c', 'create database rich'], 'postgres');
    await tool('psql', port, ['-q', '-v', 'ON_ERROR_STOP=1', '-c', RICH], 'rich');
  }
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function tool(name: string, port: number, args: readonly string[], database: string): Promise<string> {
  const path = name === 'psql' ? 'psql' : join(postgres16Tools(), name);
  const ran = await runCommand(path, ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', database, ...(name === 'psql' ? ['-X'] : []), ...args], { timeoutMs: 120_000 });
  if (ran.code !== 0) throw new Error(`${name} ${args.join(' ')} on port ${port}:\n${ran.stderr}`);
  return ran.stdout;
}

const dump = (port: number, database: string): Promise<string> => tool('pg_dump', port, [], database);
/** Rows stand in the order of their insertion here and of pages there. */
const sorted = (text: string): string[] => text.split('\n').sort();

test('both dump the same schema and the same rows', async () => {
  expect(await dump(ports.oxbow, 'rich')).toBe(await dump(ports.postgres, 'rich'));
  expect(sorted(await dump(ports.oxbow, 'chinook'))).toEqual(sorted(await dump(ports.postgres, 'chinook')));
});

test('dumps of either restore into either, in every format', async () => {
  for (const from of ['oxbow', 'postgres'] as const) {
    for (const database of ['rich', 'chinook']) {
      const original = sorted(await dump(ports[from], database));
      const plain = join(directory, `${from}-${database}.sql`);
      await tool('pg_dump', ports[from], ['-f', plain], database);
      await tool('pg_dump', ports[from], ['-Fc', '-f', join(directory, `${from}-${database}.custom`)], database);
      await tool('pg_dump', ports[from], ['-Fd', '-j', '2', '-f', join(directory, `${from}-${database}.directory`)], database);
      for (const to of ['oxbow', 'postgres'] as const) {
        for (const format of ['sql', 'custom', 'directory']) {
          const target = `from_${from}_${database}_${format}`;
          await tool('psql', ports[to], ['-q', '-c', `create database ${target}`], 'postgres');
          const file = join(directory, `${from}-${database}.${format}`);
          if (format === 'sql') await tool('psql', ports[to], ['-q', '-v', 'ON_ERROR_STOP=1', '-f', file], target);
          else await tool('pg_restore', ports[to], ['-j', '2', '--exit-on-error', file], target);
          expect(sorted(await dump(ports[to], target)), `${from} to ${to}, ${database}, ${format}`).toEqual(original);
        }
      }
    }
  }
});

test('pg_dumpall writes the roles', async () => {
  const roles = async (port: number): Promise<string> => (await runCommand(join(postgres16Tools(), 'pg_dumpall'), ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '--globals-only'], {})).stdout;
  expect(await roles(ports.oxbow)).toBe(await roles(ports.postgres));
});

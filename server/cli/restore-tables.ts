/**
 * `oxbow restore --tables`: tables of a past moment into a running server, beside what it has. The state is
 * restored into a scratch directory and served from there on a port of its own; then the tables are made
 * again in the running server, in one transaction, under another schema or name. Nothing that exists is
 * touched; what does not come along is said.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import pg from 'pg';
import type { RecoveryTarget } from '../../engine/backup/recovery-target.js';
import { restore } from '../../engine/backup/restore.js';
import { DatabaseError } from '../../engine/errors.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { ProgressBar } from './progress.js';
import { copyBetween } from './table-copy.js';
import { describeTable, qualified } from './table-definition.js';
import type { TableDefinition, TableName } from './table-definition.js';
import type { Opened } from './target-options.js';

export interface TablesRequest {
  /** As in SQL: `orders`, `shop.orders`, `"Shop"."Orders"`. */
  readonly tables: readonly string[];
  /** The running server, and its database that is also the one to take the tables from. */
  readonly url: string;
  readonly intoSchema: string | undefined;
  /** New name of a single table in its own schema. */
  readonly as: string | undefined;
  readonly recoveryTarget: RecoveryTarget;
  readonly exclusive: boolean;
  readonly lineage: string | undefined;
  readonly scratch: string | undefined;
}

export async function restoreTables({ runtime, target, key }: Opened, request: TablesRequest, bar: ProgressBar): Promise<string[]> {
  const names = request.tables.map(parseName);
  if (names.length === 0) throw new DatabaseError('22023', '--tables: no table is named');
  if ((request.intoSchema === undefined) === (request.as === undefined)) throw new DatabaseError('22023', 'give --into-schema for the schema to restore into, or --as for the new name of one table');
  if (request.as !== undefined && names.length > 1) throw new DatabaseError('22023', '--as names one table; use --into-schema for several');
  const running = new pg.Client({ connectionString: request.url, application_name: 'oxbow restore' });
  await running.connect();
  const directory = `${request.scratch ?? tmpdir()}/oxbow-tables-${Buffer.from(runtime.random.bytes(6)).toString('hex')}`;
  try {
    await restore(runtime, target, {
      directory, key, recoveryTarget: request.recoveryTarget, exclusive: request.exclusive, lineage: request.lineage,
      progress: (phase, done, total) => bar.update(phase, done, total), note: (text) => bar.note(text),
    });
    const served = await serveScratch(directory);
    try {
      const past = new pg.Client({ host: '127.0.0.1', port: served.port, user: 'postgres', database: running.database });
      await past.connect();
      try {
        return await transfer(past, running, names, request);
      } finally {
        await past.end();
      }
    } finally {
      await served.stop();
    }
  } finally {
    await running.end();
    runtime.files.remove(directory);
  }
}

async function transfer(past: pg.Client, running: pg.Client, names: readonly TableName[], { intoSchema, as }: TablesRequest): Promise<string[]> {
  await past.query("SELECT set_config('search_path', '', false)");
  const rename = new Map(names.map((name) => [qualified(name), { schema: intoSchema ?? name.schema, name: as ?? name.name }]));
  const tables: TableDefinition[] = [];
  for (const name of names) tables.push(await describeTable(past, name, rename, intoSchema !== undefined));
  const report: string[] = [];
  await running.query('BEGIN');
  try {
    await running.query("SELECT set_config('search_path', '', true)");
    if (intoSchema !== undefined) await running.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(intoSchema)}`);
    for (const { create } of tables) for (const text of create) await running.query(text);
    for (const { from, to, columns } of tables) {
      const list = columns.join(', ');
      if (columns.length > 0) await copyBetween(past, `COPY ${from} (${list}) TO STDOUT`, running, `COPY ${to} (${list}) FROM STDIN`);
    }
    for (const { finish } of tables) for (const text of finish) await running.query(text);
    for (const { foreignKeys } of tables) for (const text of foreignKeys) await running.query(text);
    for (const { comments } of tables) for (const text of comments) await running.query(text);
    for (const { sequences } of tables)
      for (const { from, to } of sequences) {
        const { rows } = await past.query<{ last_value: string; is_called: boolean }>(`SELECT last_value::text, is_called FROM ${from}`);
        await running.query(`SELECT pg_catalog.setval((${to})::regclass, $1::bigint, $2)`, [rows[0]!.last_value, rows[0]!.is_called]);
      }
    for (const { from, to, columns, sequences, finish, foreignKeys, comments, leftOut } of tables) {
      const { rows } = await running.query<{ n: string }>(`SELECT count(*) AS n FROM ${to}`);
      const before = await past.query<{ n: string }>(`SELECT count(*) AS n FROM ${from}`);
      if (rows[0]!.n !== before.rows[0]!.n) throw new DatabaseError('XX000', `${to} has ${rows[0]!.n} rows, but ${from} had ${before.rows[0]!.n}`);
      report.push(`${from} -> ${to}: ${rows[0]!.n} rows, ${columns.length} columns, ${finish.length} keys, checks and indexes, ${foreignKeys.length} foreign keys, ${sequences.length} sequences, ${comments.length} comments`);
      for (const what of leftOut) report.push(`left out: ${what}`);
    }
    await running.query('COMMIT');
  } catch (error) {
    await running.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
  return report;
}

/** `schema.table`, each part bare (folded to lower case) or quoted; without a schema it is public. */
export function parseName(text: string): TableName {
  const match = /^(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)$/.exec(text.trim());
  if (!match) throw new DatabaseError('42602', `"${text}" is not the name of a table`);
  const part = (name: string): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase());
  return { schema: match[1] === undefined ? 'public' : part(match[1]), name: part(match[2]!) };
}

async function serveScratch(directory: string): Promise<{ port: number; stop(): Promise<void> }> {
  const entry = fileURLToPath(compiledModule('server/cli/main.js', import.meta.url));
  const child = spawn(process.execPath, [entry, 'serve', '--data', directory, '--host', '127.0.0.1', '--port', '0', '--ops-port', '0', '--log-level', 'error', '--archive-timeout', '10s'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // The restored copy must not archive, listen elsewhere or ask for passwords as the server here does.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OXBOW_'))),
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      const match = /^oxbow ready postgresql:\/\/\S+?:(\d+)\//m.exec(printed);
      if (match) resolve(Number(match[1]));
    });
    void exited.then(() => reject(new DatabaseError('58000', 'the restored state could not be served')));
  });
  return {
    port,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** TPC-H's data, from PyPI's tpchgen-cli, and its schema and queries, from bench/tpch. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../engine/runtime-node.js';
import { runCommand } from './command.js';
import { programsFromPypi } from './pypi.js';

const folder = join(fileURLToPath(projectRoot(import.meta.url)), 'bench', 'tpch');
export const TPCH_TABLES = ['region', 'nation', 'part', 'supplier', 'partsupp', 'customer', 'orders', 'lineitem'] as const;

/** One of bench/tpch's files: schema.sql, indexes.sql, queries/01.sql. */
export function tpchScript(name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

/** Queries 1 to 22. */
export function tpchQueries(): { readonly query: number; readonly sql: string }[] {
  return Array.from({ length: 22 }, (_, i) => ({ query: i + 1, sql: tpchScript(join('queries', `${String(i + 1).padStart(2, '0')}.sql`)) }));
}

/** Writes the tables' files into `directory`. Scale 1: 6,000,000 lineitems. */
export function makeTpchData(scale: number, directory: string): void {
  const programs = programsFromPypi('tpchgen-cli==4.0.0', 'tpchgen_cli-4.0.0.data/scripts');
  execFileSync(join(programs, 'tpchgen-cli'), ['-s', String(scale), `--output-dir=${directory}`], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Loads one table by psql's COPY. Lines of the files end with a delimiter that COPY does not want. */
export async function loadTpchTable(port: number, table: string, directory: string): Promise<void> {
  const ran = await runCommand('bash', ['-c', `sed 's/|$//' '${join(directory, `${table}.tbl`)}' | psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p ${port} -U postgres -c "copy ${table} from stdin with (delimiter '|')"`], { timeoutMs: 3_600_000 });
  if (ran.code !== 0) throw new Error(`loading ${table} failed:\n${ran.stderr}`);
}

/** Loads all of them. */
export async function loadTpchData(port: number, directory: string): Promise<void> {
  for (const table of TPCH_TABLES) await loadTpchTable(port, table, directory);
}

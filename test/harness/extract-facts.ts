/**
 * `npm run facts`: reads what PostgreSQL 16 is born with off a running one and writes it to
 * sql/catalog/data/*.json. Nobody edits those files by hand.
 *
 * A catalog table's file is {"oid", "schema", "name", "columns": [[name, type], ...], "rows": [...]}
 * with one row a line in the order of a sequential scan (initdb's, which is always the same: clients see it
 * where they ask for no order), every column in attnum order. Values: OIDs and all reg*
 * types are numbers, arrays and vectors are JSON arrays, pg_node_tree is the SQL text that
 * pg_get_expr gives (proargdefaults: an array of texts; pg_rewrite.ev_action: null, the view's text
 * stands in system-views.json), everything else as in JSON.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { oracleInstallation, startOracle } from './oracle.js';

const target = fileURLToPath(new URL('../../../sql/catalog/data/', import.meta.url));

/** Statistics depend on the run; the rest of pg_catalog is the same for every initdb. */
const LEFT_OUT = new Set(['pg_statistic', 'pg_statistic_ext_data']);

/** Rows that depend on the machine's locales. */
const WHERE: Record<string, string> = {
  pg_collation: `collprovider in ('d', 'c') and (collname in ('default', 'C', 'POSIX') or collname ilike 'c.utf%8') or collname in ('ucs_basic', 'unicode')`,
  pg_description: `not (classoid = 'pg_collation'::regclass and objoid >= 12000)`,
};

const NODE_TREES: Record<string, string> = {
  'pg_attrdef.adbin': 'pg_get_expr(adbin, adrelid)',
  'pg_constraint.conbin': 'pg_get_expr(conbin, conrelid)',
  'pg_index.indexprs': 'pg_get_expr(indexprs, indrelid)',
  'pg_index.indpred': 'pg_get_expr(indpred, indrelid)',
  'pg_type.typdefaultbin': 'pg_get_expr(typdefaultbin, 0)',
  'pg_proc.prosqlbody': 'pg_get_function_sqlbody(oid)',
  'pg_proc.proargdefaults': `(select array_agg(pg_get_function_arg_default(oid, n) order by n) from generate_series(pronargs - pronargdefaults + 1, pronargs) n)`,
  'pg_rewrite.ev_qual': 'null',
  'pg_rewrite.ev_action': 'null',
};

function selectExpression(table: string, column: string, type: string): string {
  const name = `"${column}"`;
  if (type === 'pg_node_tree') return NODE_TREES[`${table}.${column}`] ?? 'null';
  if (type === 'oidvector' || type === 'int2vector') return `string_to_array(nullif(${name}::text, ''), ' ')::int8[]`;
  if (type === 'regproc' || type === 'regtype' || type === 'regclass' || type === 'oid') return `${name}::oid::int8`;
  if (type === 'xid') return `${name}::text::int8`;
  if (type === '_oid') return `${name}::int8[]`;
  if (type.startsWith('_') || type === 'anyarray') return type === 'anyarray' ? 'null' : `${name}::text[]`;
  if (['int2', 'int4', 'int8', 'float4', 'float8', 'bool'].includes(type)) return name;
  return `${name}::text`;
}

function write(file: string, head: Record<string, unknown>, rows: readonly string[]): void {
  const opening = JSON.stringify(head).slice(0, -1);
  writeFileSync(join(target, file), `${opening}${opening === '{' ? '' : ','}"rows":[\n${rows.join(',\n')}\n]}\n`);
  console.log(`${file}: ${rows.length} rows`);
}

async function writeTable(client: pg.Client, oid: number, schema: string, table: string): Promise<void> {
  const { rows: columns } = await client.query<{ attname: string; typname: string }>(
    `select attname, typname from pg_attribute a join pg_type t on t.oid = a.atttypid
     where attrelid = $1 and attnum > 0 and not attisdropped order by attnum`, [oid]);
  const expressions = columns.map((c) => selectExpression(table, c.attname, c.typname));
  const { rows } = await client.query<{ line: string }>(
    `select json_build_array(${expressions.join(', ')})::text as line from "${schema}"."${table}"
     ${WHERE[table] ? `where ${WHERE[table]}` : ''} order by ctid`);
  write(`${table}.json`, { oid, schema, name: table, columns: columns.map((c) => [c.attname, c.typname]) },
    rows.map((row) => JSON.stringify(JSON.parse(row.line))));
}

/** A query's result in the same shape, for what is no table. */
async function writeQuery(client: pg.Client, file: string, text: string): Promise<void> {
  const result = await client.query<Record<string, unknown>>(text);
  write(file, { columns: result.fields.map((f) => f.name) }, result.rows.map((row) => JSON.stringify(result.fields.map((f) => row[f.name]))));
}

/** errcodes.txt: sqlstate, E/W/S, errcode macro, spec name (condition name; absent for a few). */
function writeErrorCodes(): void {
  const text = readFileSync(join(oracleInstallation(), 'share', 'postgresql', 'errcodes.txt'), 'utf8');
  const rows: string[] = [];
  let section = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || line.trim() === '') continue;
    if (line.startsWith('Section:')) { section = line.slice(8).trim(); continue; }
    const [sqlstate, kind, macro, condition] = line.trim().split(/\s+/);
    rows.push(JSON.stringify([sqlstate, kind, macro, condition ?? null, section]));
  }
  write('errcodes.json', { columns: ['sqlstate', 'kind', 'macro', 'condition', 'section'] }, rows);
}

async function main(): Promise<void> {
  mkdirSync(target, { recursive: true });
  const oracle = await startOracle();
  try {
    const client = await oracle.connect({ database: 'template1' });
    const { rows: tables } = await client.query<{ oid: number; nspname: string; relname: string }>(
      `select c.oid::int4, nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace
       where relkind = 'r' and nspname in ('pg_catalog', 'information_schema') order by relname`);
    for (const table of tables) {
      if (!LEFT_OUT.has(table.relname)) await writeTable(client, table.oid, table.nspname, table.relname);
    }
    await writeQuery(client, 'system-views.json',
      `select c.oid::int4, nspname as schema, relname as name, pg_get_viewdef(c.oid) as sql from pg_class c
       join pg_namespace n on n.oid = relnamespace where relkind = 'v' order by c.oid`);
    await writeQuery(client, 'settings.json',
      `select name, category, short_desc, extra_desc, context, vartype, unit, min_val, max_val, enumvals, boot_val,
              pg_settings_get_flags(name) as flags from pg_settings order by name`);
    await writeQuery(client, 'keywords.json', `select word, catcode, barelabel, catdesc, baredesc from pg_get_keywords() order by word`);
    await writeQuery(client, 'timezone-names.json', `select name from pg_timezone_names where name !~ '^posix/|^localtime' order by name collate "C"`);
    await writeQuery(client, 'timezone-abbrevs.json',
      `select abbrev, extract(epoch from utc_offset)::int4 as offset_seconds, is_dst from pg_timezone_abbrevs order by abbrev collate "C"`);
    await client.end();
    writeErrorCodes();
  } finally {
    await oracle.stop();
  }
}

await main();

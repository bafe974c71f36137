/**
 * What a table is made of, asked from the catalogs of a server (with an empty search_path, so that every
 * name comes qualified), as statements that make it again under another name.
 */
import pg from 'pg';
import { DatabaseError, notSupported } from '../../engine/errors.js';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface SequenceState {
  readonly from: string;
  readonly to: string;
}

export interface TableDefinition {
  readonly source: TableName;
  /** Quoted and qualified. */
  readonly from: string;
  readonly to: string;
  readonly columns: readonly string[];
  /** Before the rows: sequences and the table. */
  readonly create: readonly string[];
  /** Behind the rows: keys and checks, indexes; then, when all tables are there, foreign keys; comments. */
  readonly finish: readonly string[];
  readonly foreignKeys: readonly string[];
  readonly comments: readonly string[];
  readonly sequences: readonly SequenceState[];
  /** In words: what was not taken along. */
  readonly leftOut: readonly string[];
}

const quote = (name: string): string => pg.escapeIdentifier(name);
export const qualified = ({ schema, name }: TableName): string => `${quote(schema)}.${quote(name)}`;

interface Column {
  readonly attname: string;
  readonly type: string;
  readonly attnotnull: boolean;
  readonly attidentity: string;
  readonly attgenerated: string;
  readonly expression: string | null;
  readonly collation: string | null;
  readonly comment: string | null;
  readonly attnum: number;
}

interface Named {
  readonly name: string;
  readonly definition: string;
  readonly comment: string | null;
  readonly kind: string;
  readonly foreign: string | null;
}

/** `rename`: the new name of every table that is taken along, by its qualified old one. `keepNames`: keys and indexes keep their names. */
export async function describeTable(client: pg.Client, source: TableName, rename: ReadonlyMap<string, TableName>, keepNames: boolean): Promise<TableDefinition> {
  const from = qualified(source);
  const target = rename.get(from)!;
  const to = qualified(target);
  const { rows: found } = await client.query<{ oid: number; relkind: string; comment: string | null; relhasrules: boolean; relrowsecurity: boolean; acl: boolean }>(
    "SELECT c.oid::int8::int AS oid, relkind, obj_description(c.oid, 'pg_class') AS comment, relhasrules, relrowsecurity, relacl IS NOT NULL AS acl FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relname = $2",
    [source.schema, source.name],
  );
  const table = found[0];
  if (!table) throw new DatabaseError('42P01', `table ${from} does not exist in the restored state`);
  if (table.relkind !== 'r') throw notSupported(`the restore of ${from}, which is not an ordinary table,`);
  const { rows: columns } = await client.query<Column>(
    `SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull, attidentity::text, attgenerated::text, attnum::int,
            pg_get_expr(adbin, adrelid) AS expression, col_description(attrelid, attnum) AS comment,
            CASE WHEN attcollation <> typcollation THEN (SELECT quote_ident(nspname) || '.' || quote_ident(collname) FROM pg_catalog.pg_collation k JOIN pg_catalog.pg_namespace kn ON kn.oid = collnamespace WHERE k.oid = attcollation) END AS collation
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = atttypid LEFT JOIN pg_catalog.pg_attrdef d ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table.oid],
  );
  const create: string[] = [];
  const finish: string[] = [];
  const foreignKeys: string[] = [];
  const comments: string[] = [];
  const leftOut: string[] = [];
  const sequences = await ownedSequences(client, table.oid, target, keepNames);
  const lines = columns.map((column) => {
    let line = `${quote(column.attname)} ${column.type}`;
    if (column.collation) line += ` COLLATE ${column.collation}`;
    if (column.attgenerated === 's') line += ` GENERATED ALWAYS AS (${column.expression}) STORED`;
    else if (column.attidentity !== '') line += ` GENERATED ${column.attidentity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY`;
    else if (column.expression !== null) {
      let expression = column.expression;
      for (const sequence of sequences) expression = expression.replaceAll(`'${sequence.printed}'`, `'${sequence.to.replaceAll("'", "''")}'`);
      line += ` DEFAULT ${expression}`;
    }
    if (column.comment !== null) comments.push(`COMMENT ON COLUMN ${to}.${quote(column.attname)} IS ${pg.escapeLiteral(column.comment)}`);
    return column.attnotnull ? `${line} NOT NULL` : line;
  });
  for (const sequence of sequences) if (!sequence.identity) create.push(`CREATE SEQUENCE ${sequence.to} AS ${sequence.options}`);
  create.push(`CREATE TABLE ${to} (\n  ${lines.join(',\n  ')}\n)`);
  for (const { identity, to: sequence, column } of sequences) if (!identity) create.push(`ALTER SEQUENCE ${sequence} OWNED BY ${to}.${quote(column)}`);
  if (table.comment !== null) comments.push(`COMMENT ON TABLE ${to} IS ${pg.escapeLiteral(table.comment)}`);

  const { rows: constraints } = await client.query<Named>(
    `SELECT conname AS name, pg_get_constraintdef(o.oid) AS definition, obj_description(o.oid, 'pg_constraint') AS comment, contype::text AS kind,
            (SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_catalog.pg_class f JOIN pg_catalog.pg_namespace fn ON fn.oid = relnamespace WHERE f.oid = confrelid) AS "foreign"
     FROM pg_catalog.pg_constraint o WHERE conrelid = $1 ORDER BY contype = 'f', contype <> 'p', conname`,
    [table.oid],
  );
  for (const { name, definition, comment, kind, foreign } of constraints) {
    let text = definition;
    if (kind === 'f') {
      const referred = [...rename].find(([old]) => unquoted(old) === unquoted(foreign!))?.[1];
      if (!referred) {
        leftOut.push(`foreign key ${name} of ${from} to ${foreign!}, which is not restored`);
        continue;
      }
      text = definition.replace(` REFERENCES ${foreign!}(`, ` REFERENCES ${qualified(referred)}(`);
    }
    (kind === 'f' ? foreignKeys : finish).push(`ALTER TABLE ${to} ADD ${keepNames ? `CONSTRAINT ${quote(name)} ` : ''}${text}`);
    if (comment !== null && keepNames) comments.push(`COMMENT ON CONSTRAINT ${quote(name)} ON ${to} IS ${pg.escapeLiteral(comment)}`);
  }
  const { rows: indexes } = await client.query<Named>(
    `SELECT relname AS name, pg_get_indexdef(indexrelid) AS definition, obj_description(indexrelid, 'pg_class') AS comment FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indexrelid
     WHERE indrelid = $1 AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x')) ORDER BY relname`,
    [table.oid],
  );
  for (const { name, definition, comment } of indexes) {
    const using = definition.indexOf(' USING ');
    const unique = definition.startsWith('CREATE UNIQUE ') ? 'UNIQUE ' : '';
    finish.push(`CREATE ${unique}INDEX ${keepNames ? `${quote(name)} ` : ''}ON ${to}${definition.slice(using)}`);
    if (comment !== null && keepNames) comments.push(`COMMENT ON INDEX ${quote(target.schema)}.${quote(name)} IS ${pg.escapeLiteral(comment)}`);
  }
  leftOut.push(...(await leftBehind(client, table.oid, from, table)));
  return {
    source, from, to, create, finish, foreignKeys, comments, leftOut,
    columns: columns.filter(({ attgenerated }) => attgenerated === '').map(({ attname }) => quote(attname)),
    sequences: sequences.map(({ from: old, to: made, identity, column }) => ({ from: old, to: identity ? `pg_get_serial_sequence(${pg.escapeLiteral(to)}, ${pg.escapeLiteral(column)})` : pg.escapeLiteral(made) })),
  };
}

const unquoted = (name: string): string => name.replaceAll('"', '');

interface OwnedSequence {
  /** Qualified as in SQL, and as regclass prints it. */
  readonly from: string;
  readonly printed: string;
  readonly to: string;
  readonly column: string;
  readonly identity: boolean;
  readonly options: string;
}

async function ownedSequences(client: pg.Client, table: number, target: TableName, keepNames: boolean): Promise<OwnedSequence[]> {
  const { rows } = await client.query<{ schema: string; name: string; printed: string; column: string; identity: boolean; options: string }>(
    `SELECT nspname AS schema, c.relname AS name, c.oid::regclass::text AS printed, attname AS column, deptype = 'i' AS identity,
            format_type(seqtypid, NULL) || ' INCREMENT ' || seqincrement || ' MINVALUE ' || seqmin || ' MAXVALUE ' || seqmax || ' START ' || seqstart || ' CACHE ' || seqcache || CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END AS options
     FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = objid AND relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
     JOIN pg_catalog.pg_sequence s ON seqrelid = c.oid JOIN pg_catalog.pg_attribute a ON attrelid = refobjid AND attnum = refobjsubid
     WHERE refobjid = $1 AND refclassid = 'pg_catalog.pg_class'::regclass AND classid = 'pg_catalog.pg_class'::regclass AND deptype IN ('a', 'i')`,
    [table],
  );
  return rows.map(({ schema, name, printed, column, identity, options }) => ({
    from: qualified({ schema, name }), printed, column, identity, options,
    to: qualified({ schema: target.schema, name: keepNames ? name : `${target.name}_${column}_seq` }),
  }));
}

/** Everything about the table that is not taken along. */
async function leftBehind(client: pg.Client, table: number, from: string, { relhasrules, relrowsecurity, acl }: { relhasrules: boolean; relrowsecurity: boolean; acl: boolean }): Promise<string[]> {
  const out: string[] = [];
  const { rows } = await client.query<{ what: string; n: number }>(
    `SELECT 'trigger ' || tgname AS what FROM pg_catalog.pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal
     UNION ALL SELECT 'foreign key ' || conname || ' from ' || conrelid::regclass FROM pg_catalog.pg_constraint WHERE confrelid = $1 AND conrelid <> $1
     UNION ALL SELECT 'view ' || (SELECT ev_class::regclass::text FROM pg_catalog.pg_rewrite r WHERE r.oid = objid) FROM pg_catalog.pg_depend WHERE refobjid = $1 AND classid = 'pg_catalog.pg_rewrite'::regclass AND deptype = 'n' GROUP BY objid`,
    [table],
  );
  for (const { what } of rows) out.push(`${what} on ${from}`);
  if (relhasrules) out.push(`rules of ${from}`);
  if (relrowsecurity) out.push(`row security of ${from}`);
  if (acl) out.push(`privileges on ${from}`);
  return out;
}

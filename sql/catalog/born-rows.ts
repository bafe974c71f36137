/**
 * The rows that PostgreSQL 16 is born with, from data/*.json (see test/harness/extract-facts.ts for their
 * form), as datums, and behind them a few of Oxbow's own (own-rows.ts). Shared by all databases and never changed: what differs from them stands in
 * the engine as overrides (layers.ts).
 */
import { loadFacts } from '../types/facts.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import { ownRows } from './own-rows.js';

export type Row = readonly Datum[];

/** A catalog table's shape. Column positions by name, so that nobody counts. */
export interface CatalogTableDef {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly position: Readonly<Record<string, number>>;
  /** One for the whole cluster instead of one per database. */
  readonly shared: boolean;
}

export interface BornTable {
  readonly def: CatalogTableDef;
  readonly rows: readonly Row[];
}

const DATA = 'sql/catalog/data/';

interface TableFile { oid: number; schema: string; name: string; columns: [string, string][]; rows: unknown[][] }
interface ListFile { columns: string[]; rows: unknown[][] }

/** Element type OIDs of the array types that catalogs use. */
const ELEMENT_TYPES: Readonly<Record<string, number>> = {
  _text: 25, _oid: 26, _name: 19, _char: 18, _aclitem: 1033, _int2: 21, _float4: 700, _regtype: 2206, _float8: 701,
  oidvector: 26, int2vector: 21,
};

export function arrayOf(elementType: number, elements: readonly Datum[], lowerBound = 1): ArrayValue {
  return elements.length === 0
    ? { elementType, dimensions: [], lowerBounds: [], elements }
    : { elementType, dimensions: [elements.length], lowerBounds: [lowerBound], elements };
}

/** A JSON value of a column as a datum. Inverse of `toJson` in row-json.ts, which also knows anyarray. */
export function fromJson(type: string, value: unknown): Datum {
  if (value === null || value === undefined) return type === 'oidvector' || type === 'int2vector' ? arrayOf(ELEMENT_TYPES[type]!, [], 0) : null;
  if (type === 'pg_node_tree') return Array.isArray(value) ? JSON.stringify(value) : (value as string);
  if (Array.isArray(value)) {
    const vector = type === 'oidvector' || type === 'int2vector';
    return arrayOf(ELEMENT_TYPES[type] ?? 25, value as Datum[], vector ? 0 : 1);
  }
  return value as Datum;
}

const SHARED = new Set([
  'pg_authid', 'pg_auth_members', 'pg_database', 'pg_db_role_setting', 'pg_parameter_acl', 'pg_replication_origin',
  'pg_shdepend', 'pg_shdescription', 'pg_shseclabel', 'pg_subscription', 'pg_tablespace',
]);

function load(name: string): BornTable {
  const file = loadFacts<TableFile>(`${DATA}${name}.json`);
  const columns = file.columns.map(([column, type]) => ({ name: column, type }));
  const position = Object.fromEntries(columns.map((column, i) => [column.name, i]));
  const converted = columns.map((column, i) => [i, column.type] as const).filter(([, type]) => type.startsWith('_') || type.endsWith('vector') || type === 'pg_node_tree');
  for (const row of file.rows) for (const [i, type] of converted) row[i] = fromJson(type, row[i]);
  const rows = file.rows as Row[];
  return { def: { oid: file.oid, schema: file.schema, name, columns, position, shared: SHARED.has(name) }, rows: [...rows, ...ownRows(name, rows)] };
}

const byName = new Map<string, BornTable>();
let namesByOid: Map<number, string> | undefined;

/** Name of the catalog table with this OID; undefined for anything else. */
export function catalogTableName(oid: number): string | undefined {
  if (!namesByOid) {
    const { def, rows } = bornTable('pg_class');
    namesByOid = new Map();
    for (const row of rows) {
      if (row[def.position.relkind!] === 'r') namesByOid.set(row[0] as number, row[def.position.relname!] as string);
    }
  }
  return namesByOid.get(oid);
}

/** The born rows and the shape of one catalog table. Loads its file on first use. */
export function bornTable(name: string): BornTable {
  let table = byName.get(name);
  if (!table) {
    table = name === 'pg_statistic' || name === 'pg_statistic_ext_data' ? emptyTable(name) : load(name);
    byName.set(name, table);
  }
  return table;
}

/** A table without a file: its shape from pg_attribute. */
function emptyTable(name: string): BornTable {
  const classes = bornTable('pg_class');
  const types = bornTable('pg_type');
  const attributes = bornTable('pg_attribute');
  const at = attributes.def.position;
  const oid = classes.rows.find((row) => row[1] === name)![0] as number;
  const typeNames = new Map(types.rows.map((row) => [row[0], row[1] as string]));
  const columns = attributes.rows
    .filter((row) => row[at.attrelid!] === oid && (row[at.attnum!] as number) > 0)
    .sort((a, b) => (a[at.attnum!] as number) - (b[at.attnum!] as number))
    .map((row) => ({ name: row[at.attname!] as string, type: typeNames.get(row[at.atttypid!]!)! }));
  const position = Object.fromEntries(columns.map((column, i) => [column.name, i]));
  return { def: { oid, schema: 'pg_catalog', name, columns, position, shared: false }, rows: [] };
}

let views: Map<number, string> | undefined;

/** SELECT text of a system view by its OID. */
export function systemViewText(oid: number): string | undefined {
  if (!views) {
    const file = loadFacts<ListFile>(`${DATA}system-views.json`);
    views = new Map(file.rows.map((row) => [row[0] as number, row[3] as string]));
  }
  return views.get(oid);
}

/** Facts that are no table: settings, keywords, errcodes, timezone-names, timezone-abbrevs. */
export function factList(name: 'settings' | 'keywords' | 'errcodes' | 'timezone-names' | 'timezone-abbrevs'): { columns: readonly string[]; rows: readonly (readonly unknown[])[] } {
  return loadFacts<ListFile>(`${DATA}${name}.json`);
}

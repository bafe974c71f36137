/**
 * Looking up names along the search path: relations, types, functions, operators. After
 * namespace.c and parse_type.c. Raises PostgreSQL's "does not exist" errors.
 */
import type { Node, RangeVar, TypeName } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, Oid, PgType, Relation } from '../catalog/catalog.js';
import { TypeOid } from '../catalog/type-oids.js';
import type { EvalContext } from '../functions/context.js';
import type { SourceText } from '../parser/parse.js';

export interface NameEnvironment {
  readonly catalog: Catalog;
  readonly context: EvalContext;
  readonly source: SourceText;
}

export function stringOf(node: Node | undefined): string {
  const wrapped = node as { String?: { sval?: string } } | undefined;
  return wrapped?.String?.sval ?? '';
}

export function namesOf(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map(stringOf);
}

function fail(env: NameEnvironment, sqlstate: string, message: string, location?: number, fields: { hint?: string; detail?: string } = {}): DatabaseError {
  return new DatabaseError(sqlstate, message, { ...fields, position: env.source.position(location ?? -1) });
}

/** Splits schema.name; the database part, where given, must be the current one. */
export function splitQualifiedName(env: NameEnvironment, names: readonly string[], location?: number): { schema: string | null; name: string } {
  if (names.length === 1) return { schema: null, name: names[0] };
  if (names.length === 2) return { schema: names[0], name: names[1] };
  if (names.length === 3) {
    if (names[0] !== env.context.session.databaseName)
      throw fail(env, '0A000', `cross-database references are not implemented: ${names.join('.')}`, location);
    return { schema: names[1], name: names[2] };
  }
  throw fail(env, '42601', `improper qualified name (too many dotted names): ${names.join('.')}`, location);
}

/** OID of a schema that must exist (3F000). pg_temp names the session's own temporary schema. */
export function lookupNamespace(env: NameEnvironment, name: string, location?: number): Oid {
  const resolved = name === 'pg_temp' ? temporaryNamespaceName(env.context.session.pid) : name;
  const namespace = env.catalog.namespaceNamed(resolved);
  if (!namespace) throw fail(env, '3F000', `schema "${name}" does not exist`, location);
  return namespace.oid;
}

/** Each session's temporary schema is named by its backend pid. */
export function temporaryNamespaceName(pid: number): string {
  return `pg_temp_${pid}`;
}

/** Effective search path with the session's temporary schema, which comes first for relations and types. */
export function relationSearchPath(env: Pick<NameEnvironment, 'catalog' | 'context'>): readonly Oid[] {
  const path = env.context.session.searchPathOids;
  const temporary = env.catalog.namespaceNamed(temporaryNamespaceName(env.context.session.pid));
  return temporary && !path.includes(temporary.oid) ? [temporary.oid, ...path] : path;
}

export function findRelation(env: NameEnvironment, schema: string | null, name: string): Relation | undefined {
  if (schema !== null) {
    const resolved = schema === 'pg_temp' ? temporaryNamespaceName(env.context.session.pid) : schema;
    const namespace = env.catalog.namespaceNamed(resolved);
    return namespace && env.catalog.relationNamed(namespace.oid, name);
  }
  for (const oid of relationSearchPath(env)) {
    const relation = env.catalog.relationNamed(oid, name);
    if (relation) return relation;
  }
  return undefined;
}

/** The relation a RangeVar names, or 42P01. */
export function lookupRelation(env: NameEnvironment, range: RangeVar): Relation {
  const schema = range.schemaname ?? null;
  const name = range.relname ?? '';
  if (range.catalogname) splitQualifiedName(env, [range.catalogname, schema ?? '', name], range.location);
  const relation = findRelation(env, schema, name);
  if (relation) return relation;
  throw fail(env, '42P01', `relation "${schema === null ? name : `${schema}.${name}`}" does not exist`, range.location);
}

/** Names that the grammar itself writes for its type keywords: pg_catalog ones always. */
export function findType(env: NameEnvironment, schema: string | null, name: string): PgType | undefined {
  if (schema !== null) {
    const resolved = schema === 'pg_temp' ? temporaryNamespaceName(env.context.session.pid) : schema;
    const namespace = env.catalog.namespaceNamed(resolved);
    return namespace && env.catalog.typeNamed(namespace.oid, name);
  }
  for (const oid of relationSearchPath(env)) {
    const type = env.catalog.typeNamed(oid, name);
    if (type) return type;
  }
  return undefined;
}

export interface ResolvedType {
  readonly type: PgType;
  readonly typmod: number;
}

/** A type name of the grammar: dotted name, typmods, array bounds, %TYPE. Raises 42704 as PostgreSQL. */
export function resolveTypeName(env: NameEnvironment, typeName: TypeName): ResolvedType {
  const location = typeName.location ?? -1;
  const names = namesOf(typeName.names);
  let type: PgType | undefined;
  if (typeName.pct_type) {
    return resolvePercentType(env, names, location);
  } else if (names.length === 0) {
    type = env.catalog.type(typeName.typeOid ?? 0);
  } else {
    const { schema, name } = splitQualifiedName(env, names, location);
    if (schema !== null) lookupNamespace(env, schema, location);
    type = findType(env, schema, name);
  }
  const bounds = typeName.arrayBounds ?? [];
  if (!type) throw fail(env, '42704', `type "${names.join('.')}${bounds.length ? '[]' : ''}" does not exist`, location);
  const typmod = resolveTypmod(env, typeName, type, location);
  if (bounds.length === 0) {
    if (!type.typisdefined) throw fail(env, '42704', `type "${names.join('.')}" is only a shell`, location);
    return { type, typmod };
  }
  const array = type.typarray ? env.catalog.type(type.typarray) : undefined;
  if (!array) throw fail(env, '42704', `type "${names.join('.')}[]" does not exist`, location);
  return { type: array, typmod };
}

function resolvePercentType(env: NameEnvironment, names: string[], location: number): ResolvedType {
  if (names.length < 2) throw fail(env, '42601', `improper %TYPE reference (too few dotted names): ${names.join('.')}`, location);
  const column = names[names.length - 1];
  const { schema, name } = splitQualifiedName(env, names.slice(0, -1), location);
  const relation = findRelation(env, schema, name);
  if (!relation) throw fail(env, '42P01', `relation "${names.slice(0, -1).join('.')}" does not exist`, location);
  const attribute = relation.attributes.find((a) => a.attname === column && !a.attisdropped);
  if (!attribute) throw fail(env, '42703', `column "${column}" of relation "${name}" does not exist`, location);
  const type = env.catalog.type(attribute.atttypid);
  if (!type) throw new DatabaseError('XX000', `cache lookup failed for type ${attribute.atttypid}`);
  return { type, typmod: attribute.atttypmod };
}

function resolveTypmod(env: NameEnvironment, typeName: TypeName, type: PgType, location: number): number {
  const given = typeName.typmods ?? [];
  if (given.length === 0) return typeName.typemod ?? -1;
  const modifiers = given.map((node) => typmodText(env, node, location));
  const behaviour = env.catalog.dataType(type.oid);
  if (!behaviour.typmodIn) throw fail(env, '42601', `type modifier is not allowed for type "${type.typname}"`, location);
  try {
    return behaviour.typmodIn(modifiers);
  } catch (error) {
    if (error instanceof DatabaseError && error.position === undefined) error.position = env.source.position(location);
    throw error;
  }
}

function typmodText(env: NameEnvironment, node: Node, location: number): string {
  const wrapped = node as {
    A_Const?: { ival?: { ival?: number }; fval?: { fval?: string }; sval?: { sval?: string } };
    ColumnRef?: { fields?: Node[] };
  };
  const constant = wrapped.A_Const;
  if (constant?.ival) return String(constant.ival.ival ?? 0);
  if (constant?.fval) return constant.fval.fval ?? '';
  if (constant?.sval) return constant.sval.sval ?? '';
  const fields = wrapped.ColumnRef?.fields;
  if (fields?.length === 1) return stringOf(fields[0]);
  throw fail(env, '42601', 'type modifiers must be simple constants or identifiers', location);
}

/** Functions visible under a possibly qualified name, nearest schema first for equal signatures. */
export function functionsNamed(env: NameEnvironment, names: readonly string[], location?: number) {
  const { schema, name } = splitQualifiedName(env, names, location);
  if (schema !== null) {
    const namespace = lookupNamespace(env, schema, location);
    return env.catalog.procsNamed(name).filter((proc) => proc.pronamespace === namespace);
  }
  return alongPath(env.context.session.searchPathOids, env.catalog.procsNamed(name), (proc) => proc.pronamespace, (proc) => proc.proargtypes.join());
}

export function operatorsNamed(env: NameEnvironment, names: readonly string[], location?: number) {
  const { schema, name } = splitQualifiedName(env, names, location);
  if (schema !== null) {
    const namespace = lookupNamespace(env, schema, location);
    return env.catalog.operatorsNamed(name).filter((operator) => operator.oprnamespace === namespace);
  }
  return alongPath(env.context.session.searchPathOids, env.catalog.operatorsNamed(name), (o) => o.oprnamespace, (o) => `${o.oprleft},${o.oprright}`);
}

/** Keeps what the path shows; of equal signatures only the one in the earlier schema. */
function alongPath<T>(path: readonly Oid[], all: readonly T[], namespaceOf: (item: T) => Oid, signatureOf: (item: T) => string): readonly T[] {
  if (all.length <= 1) return all.filter((item) => path.includes(namespaceOf(item)));
  const first = namespaceOf(all[0]);
  if (all.every((item) => namespaceOf(item) === first)) return path.includes(first) ? all : [];
  const best = new Map<string, { item: T; rank: number }>();
  for (const item of all) {
    const rank = path.indexOf(namespaceOf(item));
    if (rank < 0) continue;
    const signature = signatureOf(item);
    const seen = best.get(signature);
    if (!seen || rank < seen.rank) best.set(signature, { item, rank });
  }
  return [...best.values()].map((entry) => entry.item);
}

/** format_type: the SQL spelling of a type, as error messages and psql show it. */
export function formatType(catalog: Catalog, oid: Oid, typmod: number | null = null): string {
  const type = catalog.type(oid);
  if (!type) return oid === 0 ? '-' : '???';
  if (type.typelem !== 0 && type.typsubscript !== 0 && catalog.type(type.typelem)?.typarray === oid)
    return `${formatType(catalog, type.typelem, typmod)}[]`;
  const modifier = typmod !== null && typmod >= 0 ? (catalog.dataType(oid).typmodOut?.(typmod) ?? '') : '';
  const sql = SQL_SPELLINGS[oid];
  if (sql !== undefined) {
    if (oid === TypeOid.bpchar && typmod === -1) return 'bpchar';
    if (oid === TypeOid.bit && typmod === -1) return '"bit"';
    // the precision stands before "with time zone"
    const zone = sql.indexOf(' with');
    return zone > 0 ? sql.slice(0, zone) + modifier + sql.slice(zone) : sql + modifier;
  }
  const visible = type.typnamespace === 11;
  const name = quoteIdentifier(type.typname) + modifier;
  return visible ? name : qualifyType(catalog, type, name);
}

function qualifyType(catalog: Catalog, type: PgType, name: string): string {
  // visibility by search path is added by callers that have a session (format_type function)
  const namespace = catalog.namespace(type.typnamespace);
  return namespace && namespace.nspname !== 'public' ? `${quoteIdentifier(namespace.nspname)}.${name}` : name;
}

const SQL_SPELLINGS: Readonly<Record<number, string>> = {
  [TypeOid.bool]: 'boolean', [TypeOid.bpchar]: 'character', [TypeOid.char]: '"char"', [TypeOid.varchar]: 'character varying',
  [TypeOid.float4]: 'real', [TypeOid.float8]: 'double precision', [TypeOid.int2]: 'smallint', [TypeOid.int4]: 'integer', [TypeOid.int8]: 'bigint',
  [TypeOid.numeric]: 'numeric', [TypeOid.time]: 'time without time zone', [TypeOid.timetz]: 'time with time zone',
  [TypeOid.timestamp]: 'timestamp without time zone', [TypeOid.timestamptz]: 'timestamp with time zone', [TypeOid.interval]: 'interval',
  [TypeOid.bit]: 'bit', [TypeOid.varbit]: 'bit varying',
};

let reserved: ReadonlySet<string> = new Set();
/** Keywords that force quotes (all but unreserved), read from the keyword facts at start. */
export function setQuotedKeywords(words: Iterable<string>): void {
  reserved = new Set(words);
}

/** quote_ident. */
export function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !reserved.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

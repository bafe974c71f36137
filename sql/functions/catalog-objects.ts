/** Catalog functions about names: visibility, comments, users, descriptions of objects, encodings. */
import { LEARNED_AM } from '../catalog/own-rows.js';
import { formatType, relationSearchPath, temporaryNamespaceName } from '../analyzer/names.js';
import { catalogTableName, factList } from '../catalog/born-rows.js';
import type { Catalog, Oid } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import { address } from '../catalog/dependency.js';
import { describeCatalogObject } from '../catalog/describe-object.js';
import { quoteIdentifier, quoteQualified } from '../catalog/identifiers.js';
import type { Datum } from '../types/datum.js';
import type { EvalContext } from './context.js';
import { f, fc, set, setc } from './define.js';
import type { SqlFunction } from './function.js';

function rowsOf(context: EvalContext): CatalogView['rows'] {
  return (context.catalog as CatalogView).rows;
}

/** Is the first object of this name along the path this one? null when there is no such object. */
function visible(context: EvalContext, table: string, nameColumn: number, namespaceColumn: number, oid: Oid, same: (candidate: readonly Datum[], row: readonly Datum[]) => boolean, index: string): boolean | null {
  const rows = rowsOf(context);
  const row = rows.one(table, 'oid', oid);
  if (!row) return null;
  const namespace = row[namespaceColumn] as Oid;
  const path = table === 'pg_class' || table === 'pg_type' ? relationSearchPath({ catalog: context.catalog, context }) : context.session.searchPathOids;
  if (!path.includes(namespace)) return false;
  const rivals = index === '' ? [...rows.all(table)].map((entry) => entry.values!).filter((candidate) => candidate[nameColumn] === row[nameColumn]) : rows.rows(table, index, row[nameColumn]!);
  for (const schema of path) {
    if (schema === namespace) return true;
    if (rivals.some((candidate) => candidate[namespaceColumn] === schema && same(candidate, row))) return false;
  }
  return false;
}

const always = (): boolean => true;
const sameElements = (a: Datum, b: Datum): boolean => (a as { elements: readonly Datum[] }).elements.join() === (b as { elements: readonly Datum[] }).elements.join();

/** pg_X_is_visible: table, name and namespace columns, what else must be equal to hide it. */
const VISIBILITY: readonly (readonly [string, string, number, number, string, (a: readonly Datum[], b: readonly Datum[]) => boolean])[] = [
  ['pg_table_is_visible', 'pg_class', 1, 2, 'relname', always],
  ['pg_type_is_visible', 'pg_type', 1, 2, 'typname', always],
  ['pg_function_is_visible', 'pg_proc', 1, 2, 'proname', (a, b) => sameElements(a[19]!, b[19]!)],
  ['pg_operator_is_visible', 'pg_operator', 1, 2, 'oprname', (a, b) => a[7] === b[7] && a[8] === b[8]],
  ['pg_opclass_is_visible', 'pg_opclass', 2, 3, 'opcname', (a, b) => a[1] === b[1]],
  ['pg_opfamily_is_visible', 'pg_opfamily', 2, 3, '', (a, b) => a[1] === b[1]],
  ['pg_collation_is_visible', 'pg_collation', 1, 2, 'collname', always],
  ['pg_conversion_is_visible', 'pg_conversion', 1, 2, '', always],
  ['pg_ts_config_is_visible', 'pg_ts_config', 1, 2, '', always],
  ['pg_ts_dict_is_visible', 'pg_ts_dict', 1, 2, '', always],
  ['pg_ts_parser_is_visible', 'pg_ts_parser', 1, 2, '', always],
  ['pg_ts_template_is_visible', 'pg_ts_template', 1, 2, '', always],
  ['pg_statistics_obj_is_visible', 'pg_statistic_ext', 2, 3, '', always],
];

/** Encodings by their number in PostgreSQL. */
const ENCODINGS = [
  'SQL_ASCII', 'EUC_JP', 'EUC_CN', 'EUC_KR', 'EUC_TW', 'EUC_JIS_2004', 'UTF8', 'MULE_INTERNAL', 'LATIN1', 'LATIN2', 'LATIN3', 'LATIN4', 'LATIN5', 'LATIN6', 'LATIN7', 'LATIN8',
  'LATIN9', 'LATIN10', 'WIN1256', 'WIN1258', 'WIN866', 'WIN874', 'KOI8R', 'WIN1251', 'WIN1252', 'ISO_8859_5', 'ISO_8859_6', 'ISO_8859_7', 'ISO_8859_8', 'WIN1250', 'WIN1253',
  'WIN1254', 'WIN1255', 'WIN1257', 'KOI8U', 'SJIS', 'BIG5', 'GBK', 'UHC', 'GB18030', 'JOHAB', 'SHIFT_JIS_2004',
];

/** Comment of an object in the catalog named, as obj_description(oid, name) finds it. */
function objectComment(context: EvalContext, oid: Oid, catalogName: string, subId: number): string | null {
  const classRow = rowsOf(context).rows('pg_class', 'relname', catalogName).find((row) => row[2] === 11);
  if (!classRow) return null;
  const row = rowsOf(context).rows('pg_description', 'objoid,classoid', oid, classRow[0]!).find((candidate) => candidate[2] === subId);
  return (row?.[3] as string | undefined) ?? null;
}

/** format_type as a session sees it: types outside the path are qualified. */
export function formatTypeVisible(context: EvalContext, oid: Oid, typmod: number | null): string {
  const { catalog } = context;
  const type = catalog.type(oid);
  if (type && type.typelem !== 0 && type.typlen === -1 && catalog.type(type.typelem)?.typarray === oid) return `${formatTypeVisible(context, type.typelem, typmod)}[]`;
  if (!type || type.typnamespace === 11) return formatType(catalog, oid, typmod);
  const modifier = typmod !== null && typmod >= 0 ? (catalog.dataType(oid).typmodOut?.(typmod) ?? '') : '';
  const seen = visible(context, 'pg_type', 1, 2, oid, always, 'typname');
  return (seen ? quoteIdentifier(type.typname) : quoteQualified(catalog.namespace(type.typnamespace)?.nspname ?? null, type.typname)) + modifier;
}

function identify(context: EvalContext, classId: Oid, oid: Oid, subId: number): Datum[] | null {
  const text = describeCatalogObject(context.catalog as CatalogView, relationSearchPath({ catalog: context.catalog, context }), address(classId, oid, subId));
  if (text === null) return null;
  const rows = rowsOf(context);
  const table = catalogTableName(classId);
  const row = table ? rows.one(table, 'oid', oid) : undefined;
  const namespaced = ['pg_class', 'pg_type', 'pg_proc', 'pg_operator', 'pg_collation', 'pg_constraint'].includes(table ?? '');
  const schema = namespaced && row ? (context.catalog.namespace(row[2] as Oid)?.nspname ?? null) : null;
  const name = row && (namespaced || table === 'pg_namespace') ? (row[1] as string) : null;
  const kind = text.split(' ')[0]!;
  return [subId ? `${kind} column` : kind, schema, name === null ? null : quoteIdentifier(name), name === null ? text : quoteQualified(schema, name)];
}

export const catalogObjectFunctions: readonly SqlFunction[] = [
  ...VISIBILITY.map(([name, table, nameColumn, namespaceColumn, index, same]) =>
    fc(`${name}(oid)`, ((oid: number, context: EvalContext) => visible(context, table, nameColumn, namespaceColumn, oid, same, index)) as never)),
  fc('pg_get_userbyid(oid)', (oid: number, context: EvalContext) => context.catalog.role(oid)?.rolname ?? `unknown (OID=${oid})`),
  { kind: 'scalar', signature: 'format_type(oid,int4)', needsContext: true, evaluate: ((oid: number | null, typmod: number | null, context: EvalContext) => (oid === null ? null : formatTypeVisible(context, oid, typmod))) as never },
  fc('obj_description(oid,name)', (oid: number, name: string, context: EvalContext) => objectComment(context, oid, name, 0)),
  fc('obj_description(oid)', (oid: number, context: EvalContext) => {
    for (const entry of rowsOf(context).all('pg_description')) if (entry.values![0] === oid && entry.values![2] === 0) return entry.values![3]!;
    return null;
  }),
  fc('col_description(oid,int4)', (oid: number, attnum: number, context: EvalContext) => objectComment(context, oid, 'pg_class', attnum)),
  fc('shobj_description(oid,name)', (oid: number, name: string, context: EvalContext) => {
    const classRow = rowsOf(context).rows('pg_class', 'relname', name).find((row) => row[2] === 11);
    return classRow ? (rowsOf(context).one('pg_shdescription', 'objoid,classoid', oid, classRow[0]!)?.[2] ?? null) : null;
  }),
  f('pg_encoding_to_char(int4)', (encoding: number) => ENCODINGS[encoding] ?? ''),
  f('pg_char_to_encoding(name)', (name: string) => ENCODINGS.indexOf(name.toUpperCase().replace(/^UTF-8$|^UNICODE$/, 'UTF8'))),
  f('pg_encoding_max_length(int4)', (encoding: number) => (encoding === 6 ? 4 : encoding < 0 || encoding >= ENCODINGS.length ? null : encoding === 0 || (encoding >= 8 && encoding <= 34) ? 1 : 4)),
  f('getdatabaseencoding()', () => 'UTF8'),
  fc('pg_client_encoding()', (context: EvalContext) => context.settings.get('client_encoding') ?? 'UTF8'),
  fc('pg_my_temp_schema()', (context: EvalContext) => context.catalog.namespaceNamed(temporaryNamespaceName(context.session.pid))?.oid ?? 0),
  fc('pg_is_other_temp_schema(oid)', (oid: number, context: EvalContext) => {
    const name = context.catalog.namespace(oid)?.nspname ?? '';
    return name.startsWith('pg_temp_') && name !== temporaryNamespaceName(context.session.pid);
  }),
  fc('pg_describe_object(oid,oid,int4)', (classId: number, oid: number, subId: number, context: EvalContext) =>
    describeCatalogObject(context.catalog as CatalogView, relationSearchPath({ catalog: context.catalog, context }), address(classId, oid, subId))),
  fc('pg_identify_object(oid,oid,int4)', (classId: number, oid: number, subId: number, context: EvalContext) => {
    const values = identify(context, classId, oid, subId);
    return values && { typeOid: 2249, types: [25, 25, 25, 25], values };
  }),
  set('pg_get_keywords()', () => factList('keywords').rows as readonly (readonly Datum[])[]),
  f('pg_tablespace_location(oid)', () => ''),
  setc('pg_tablespace_databases(oid)', (oid: number, context: EvalContext) =>
    [...rowsOf(context).all('pg_database')].filter((entry) => entry.values![10] === oid).map((entry) => entry.values![0]!)),
  fc('pg_collation_actual_version(oid)', () => null),
  fc('pg_database_collation_actual_version(oid)', () => null),
  fc('pg_relation_filenode(regclass)', (oid: number, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    return relation && !['v', 'c', 'f'].includes(relation.relkind) ? relation.storage || oid : null;
  }),
  fc('pg_relation_filepath(regclass)', (oid: number, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    return relation && !['v', 'c', 'f'].includes(relation.relkind) ? `base/${context.session.databaseOid}/${relation.storage || oid}` : null;
  }),
  fc('pg_filenode_relation(oid,oid)', (_tablespace: number, node: number, context: EvalContext) => {
    for (const entry of rowsOf(context).all('pg_class')) if (entry.values![7] === node && node !== 0) return entry.values![0]!;
    return null;
  }),
  fc('pg_relation_is_publishable(regclass)', (oid: number, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    return relation ? relation.relkind === 'r' && oid >= 16384 && relation.relpersistence === 'p' : null;
  }),
  fc('pg_relation_is_updatable(regclass,bool)', (oid: number, _triggers: boolean, context: EvalContext) => (context.catalog.relation(oid)?.relkind === 'r' ? 28 : 0)),
  fc('pg_column_is_updatable(regclass,int2,bool)', (oid: number, attnum: number, _triggers: boolean, context: EvalContext) => context.catalog.relation(oid)?.relkind === 'r' && attnum > 0),
  fc('pg_get_replica_identity_index(regclass)', (oid: number, context: EvalContext) => context.catalog.relation(oid)?.indexes.find((index) => index.primary)?.oid ?? null),
  setc('pg_partition_tree(regclass)', (oid: number, context: EvalContext) => {
    const kind = context.catalog.relation(oid)?.relkind;
    return kind === 'p' || kind === 'I' ? [[oid, null, true, 0]] : [];
  }),
  setc('pg_partition_ancestors(regclass)', () => []),
  fc('pg_partition_root(regclass)', () => null),
  fc('row_security_active(oid)', () => false),
  fc('row_security_active(text)', () => false),
  set('pg_available_extensions()', () => [['plpgsql', '1.0', 'PL/pgSQL procedural language']]),
  set('pg_available_extension_versions()', () => [['plpgsql', '1.0', true, true, false, 'pg_catalog', null, 'PL/pgSQL procedural language']]),
  f('pg_indexam_has_property(oid,text)', (oid: number, property: string) => amProperty(oid, property)),
  fc('pg_index_has_property(regclass,text)', (oid: number, property: string, context: EvalContext) => {
    if (!context.catalog.index(oid)) return null;
    const known: Readonly<Record<string, boolean>> = { clusterable: true, index_scan: true, bitmap_scan: true, backward_scan: true };
    return known[property.toLowerCase()] ?? null;
  }),
  fc('pg_index_column_has_property(regclass,int4,text)', (oid: number, column: number, property: string, context: EvalContext) => columnProperty(context.catalog, oid, column, property)),
  fc('pg_indexam_progress_phasename(oid,int8)', () => null),
];

function amProperty(oid: Oid, property: string): boolean | null {
  if (oid === LEARNED_AM) return ({ can_order: false, can_unique: true, can_multi_col: false, can_exclude: false, can_include: false } as Record<string, boolean>)[property.toLowerCase()] ?? null;
  if (oid !== 403 && oid !== 405) return null;
  const btree = oid === 403;
  const known: Readonly<Record<string, boolean>> = { can_order: btree, can_unique: btree, can_multi_col: btree, can_exclude: true, can_include: btree };
  return known[property.toLowerCase()] ?? null;
}

function columnProperty(catalog: Catalog, oid: Oid, column: number, property: string): boolean | null {
  const index = catalog.index(oid);
  if (!index || column < 1 || column > index.keyColumns.length + index.includeColumns.length) return null;
  const key = index.keyColumns[column - 1];
  const btree = index.accessMethod === 403;
  switch (property.toLowerCase()) {
    case 'asc': return key && btree ? !key.descending : key ? false : null;
    case 'desc': return key && btree ? key.descending : key ? false : null;
    case 'nulls_first': return key && btree ? key.nullsFirst : key ? false : null;
    case 'nulls_last': return key && btree ? !key.nullsFirst : key ? false : null;
    case 'orderable': return key !== undefined && btree;
    case 'distance_orderable': return false;
    case 'returnable': return btree || index.accessMethod === LEARNED_AM;
    case 'search_array': case 'search_nulls': return key ? btree || index.accessMethod === LEARNED_AM : null;
    default: return null;
  }
}

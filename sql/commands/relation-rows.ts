/** Writes the catalog rows of a new relation: pg_class, pg_attribute, its row type and array type. After heap.c. */
import { DatabaseError } from '../../engine/errors.js';
import type { StorageId } from '../../engine/ids.js';
import type { Datum } from '../types/datum.js';
import { aclArray, aclItems, grantPrivileges, parseAclItem } from '../catalog/acl.js';
import { arrayOf, type Row } from '../catalog/born-rows.js';
import type { Oid, PgType } from '../catalog/catalog.js';
import type { CatalogEntry } from '../catalog/layers.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, isPinned, recordDependency, recordSharedDependency } from '../catalog/dependency.js';
import type { CommandContext } from './command.js';

export interface NewColumn {
  readonly name: string;
  readonly type: Oid;
  readonly typmod: number;
  readonly collation: Oid;
  readonly notNull?: boolean;
  readonly ndims?: number;
  readonly identity?: '' | 'a' | 'd';
  readonly generated?: '' | 's';
}

export interface NewRelation {
  readonly name: string;
  readonly namespace: Oid;
  readonly kind: 'r' | 'i' | 'S' | 'v' | 'm' | 'c';
  readonly persistence: 'p' | 'u' | 't';
  readonly owner: Oid;
  readonly columns: readonly NewColumn[];
  readonly storage: StorageId | 0;
  readonly accessMethod: Oid;
  readonly options?: readonly string[];
  /** pg_attribute of an index: names and types are made by the caller. */
  readonly withRowType: boolean;
}

const HEAP_AM = 2;
const MAX_COLUMNS = 1600;

/** System columns as every table has them: name, type, length, number, by value, alignment. */
const SYSTEM_COLUMNS: readonly (readonly [string, Oid, number, number, boolean, string])[] = [
  ['ctid', 27, 6, -1, false, 's'], ['xmin', 28, 4, -2, true, 'i'], ['cmin', 29, 4, -3, true, 'i'],
  ['xmax', 28, 4, -4, true, 'i'], ['cmax', 29, 4, -5, true, 'i'], ['tableoid', 26, 4, -6, true, 'i'],
];

const SYSTEM_NAMES = new Set(SYSTEM_COLUMNS.map(([name]) => name));

/** A storage for a new relation, temporary or not. */
export function newStorage(context: CommandContext, persistence: 'p' | 'u' | 't'): StorageId {
  return persistence === 't' ? context.eval.storage.allocateTemporaryStorageId() : context.transaction.createStorage();
}

/** 42701 for a column named like a system column. */
export function refuseSystemName(name: string): void {
  if (SYSTEM_NAMES.has(name)) throw new DatabaseError('42701', `column name "${name}" conflicts with a system column name`);
}

/** Column names must differ from each other and from system columns; at most 1,600. */
export function checkColumns(columns: readonly NewColumn[], kind: string): void {
  if (columns.length > MAX_COLUMNS) throw new DatabaseError('54011', `tables can have at most ${MAX_COLUMNS} columns`);
  const seen = new Set<string>();
  for (const column of columns) {
    if (kind !== 'v' && kind !== 'c') refuseSystemName(column.name);
    if (seen.has(column.name)) throw new DatabaseError('42701', `column "${column.name}" specified more than once`);
    seen.add(column.name);
  }
}

/** Pseudo-types cannot be stored. */
export function checkColumnType(context: CommandContext, column: NewColumn): void {
  const type = context.catalog.type(column.type);
  if (type?.typtype === 'p' && column.type !== 2249) {
    throw new DatabaseError('42P16', `column "${column.name}" has pseudo-type ${type.typname}`);
  }
  if (column.type === 2249) throw new DatabaseError('42P16', `column "${column.name}" has pseudo-type record`);
}

export function attributeValues(context: CommandContext, relation: Oid, attnum: number, column: NewColumn): Record<string, Datum> {
  const type = context.catalog.type(column.type)!;
  const row = context.catalog.rows.one('pg_type', 'oid', column.type)!;
  return {
    attrelid: relation, attname: column.name, atttypid: column.type, attlen: type.typlen, attnum, attcacheoff: -1, atttypmod: column.typmod,
    attndims: column.ndims ?? 0, attbyval: type.typbyval, attalign: row[22]!, attstorage: row[23]!, attnotnull: column.notNull ?? false,
    attidentity: column.identity ?? '', attgenerated: column.generated ?? '', attislocal: true, attstattarget: -1, attcollation: column.collation,
  };
}

/** Adds a relation with everything that belongs to it and returns its OID. */
export function addRelation(context: CommandContext, relation: NewRelation): Oid {
  const { changes } = context;
  checkColumns(relation.columns, relation.kind);
  if (relation.kind !== 'i') for (const column of relation.columns) checkColumnType(context, column);
  const oid = changes.newOid();
  const rowType = relation.withRowType ? changes.newOid() : 0;
  const stored = relation.kind === 'r' || relation.kind === 'm';
  changes.insert('pg_class', {
    oid, relname: relation.name, relnamespace: relation.namespace, reltype: rowType, relowner: relation.owner,
    relam: relation.accessMethod || (stored ? HEAP_AM : 0), relfilenode: relation.storage, relpages: 0,
    reltuples: relation.kind === 'S' ? 1 : relation.kind === 'i' ? 0 : stored ? -1 : relation.kind === 'v' ? -1 : 0,
    relpersistence: relation.persistence, relkind: relation.kind, relnatts: relation.columns.length,
    relhasrules: relation.kind === 'v' || relation.kind === 'm', relispopulated: true, relreplident: stored ? 'd' : 'n',
    relfrozenxid: stored ? 722 : 0, relminmxid: stored ? 1 : 0, relacl: defaultRelationAcl(context, relation),
    reloptions: relation.options && relation.options.length > 0 ? arrayOf(25, relation.options) : null,
  });
  if (relation.kind === 'r' || relation.kind === 'm') {
    for (const [name, type, length, attnum, byValue, align] of SYSTEM_COLUMNS) {
      changes.insert('pg_attribute', {
        attrelid: oid, attname: name, atttypid: type, attlen: length, attnum, attcacheoff: -1, atttypmod: -1, attbyval: byValue, attalign: align,
        attstorage: 'p', attnotnull: true, attislocal: true, attstattarget: 0,
      });
    }
  }
  relation.columns.forEach((column, i) => {
    changes.insert('pg_attribute', attributeValues(context, oid, i + 1, column));
    if (relation.kind !== 'i') recordColumnDependencies(context, oid, i + 1, column);
  });
  const object = address(ClassOid.pg_class, oid);
  if (relation.kind !== 'i') {
    recordDependency(changes, object, address(ClassOid.pg_namespace, relation.namespace), 'n');
    recordSharedDependency(changes, object, ClassOid.pg_authid, relation.owner, 'o');
  }
  if (rowType) addRowType(context, oid, rowType, relation);
  return oid;
}

/** A column needs its type and collation. */
export function recordColumnDependencies(context: CommandContext, relation: Oid, attnum: number, column: Pick<NewColumn, 'type' | 'collation'>): void {
  const object = address(ClassOid.pg_class, relation, attnum);
  recordDependency(context.changes, object, address(ClassOid.pg_type, column.type), 'n');
  if (column.collation && !isPinned(address(ClassOid.pg_collation, column.collation))) {
    recordDependency(context.changes, object, address(ClassOid.pg_collation, column.collation), 'n');
  }
}

function addRowType(context: CommandContext, relationOid: Oid, rowType: Oid, relation: NewRelation): void {
  const arrayType = context.changes.newOid();
  addType(context, {
    oid: rowType, name: relation.name, namespace: relation.namespace, owner: relation.owner, length: -1, byValue: false, kind: 'c', category: 'C',
    relation: relationOid, array: arrayType, input: 2290, output: 2291, receive: 2402, send: 2403, align: 'd', storage: 'x',
  });
  addArrayType(context, arrayType, rowType, relation.name, relation.namespace, relation.owner, 'd');
  // A composite type's relation depends on the type; a table's row type on the table.
  const type = address(ClassOid.pg_type, rowType);
  const table = address(ClassOid.pg_class, relationOid);
  if (relation.kind === 'c') recordDependency(context.changes, table, type, 'i');
  else recordDependency(context.changes, type, table, 'i');
  recordDependency(context.changes, address(ClassOid.pg_type, arrayType), type, 'i');
}

export interface NewType {
  oid: Oid; name: string; namespace: Oid; owner: Oid; length: number; byValue: boolean; kind: PgType['typtype']; category: string;
  relation?: Oid; element?: Oid; array?: Oid; input: Oid; output: Oid; receive: Oid; send: Oid; align: string; storage: string;
  subscript?: Oid; analyze?: Oid; base?: Oid; typmod?: number; notNull?: boolean; ndims?: number; collation?: Oid;
  modIn?: Oid; modOut?: Oid; default?: string | null; defaultExpression?: string | null; delimiter?: string; preferred?: boolean;
}

export function addType(context: CommandContext, type: NewType): void {
  context.changes.insert('pg_type', {
    oid: type.oid, typname: type.name, typnamespace: type.namespace, typowner: type.owner, typlen: type.length, typbyval: type.byValue,
    typtype: type.kind, typcategory: type.category, typispreferred: type.preferred ?? false, typisdefined: true, typdelim: type.delimiter ?? ',',
    typrelid: type.relation ?? 0, typsubscript: type.subscript ?? 0, typelem: type.element ?? 0, typarray: type.array ?? 0,
    typinput: type.input, typoutput: type.output, typreceive: type.receive, typsend: type.send, typmodin: type.modIn ?? 0, typmodout: type.modOut ?? 0,
    typanalyze: type.analyze ?? 0, typalign: type.align, typstorage: type.storage, typnotnull: type.notNull ?? false, typbasetype: type.base ?? 0,
    typtypmod: type.typmod ?? -1, typndims: type.ndims ?? 0, typcollation: type.collation ?? 0,
    typdefaultbin: type.defaultExpression ?? null, typdefault: type.default ?? null,
  });
}

/** _name, with more underscores while taken. */
export function addArrayType(context: CommandContext, oid: Oid, element: Oid, elementName: string, namespace: Oid, owner: Oid, align: string, modIn = 0, modOut = 0): void {
  let name = `_${elementName}`;
  while (Buffer.byteLength(name) > 63) name = name.slice(0, -1);
  while (context.catalog.typeNamed(namespace, name)) name = `_${name}`.slice(0, 63);
  addType(context, {
    oid, name, namespace, owner, length: -1, byValue: false, kind: 'b', category: 'A', element, input: 750, output: 751, receive: 2400, send: 2401,
    align, storage: 'x', subscript: 6179, analyze: 3816, modIn, modOut,
  });
}

/** ALTER DEFAULT PRIVILEGES for tables and sequences. */
function defaultRelationAcl(context: CommandContext, relation: NewRelation): Datum {
  const objectType = relation.kind === 'S' ? 'S' : relation.kind === 'i' || relation.kind === 'c' ? null : 'r';
  if (objectType === null) return null;
  let items: ReturnType<typeof aclItems> | null = null;
  const owner = context.catalog.role(relation.owner)!.rolname;
  const kind = relation.kind === 'S' ? 'sequence' : 'table';
  for (const entry of context.catalog.rows.all('pg_default_acl')) {
    const [, role, namespace, type, acl] = entry.values!;
    if (role !== relation.owner || type !== objectType || (namespace !== 0 && namespace !== relation.namespace)) continue;
    items ??= aclItems(null, kind, owner);
    for (const text of (acl as { elements: string[] }).elements) {
      const item = parseAclItem(text);
      items = grantPrivileges(items, item.grantee, owner, item.privileges, item.grantable !== '');
    }
  }
  return items === null ? null : aclArray(items);
}

/** pg_class entry of a relation, for updates. */
export function classEntry(context: CommandContext, oid: Oid): CatalogEntry {
  const entry = context.catalog.rows.find('pg_class', 'oid', oid)[0];
  if (!entry) throw new DatabaseError('XX000', `cache lookup failed for relation ${oid}`);
  return entry;
}

export function attributeEntry(context: CommandContext, relation: Oid, attnum: number): CatalogEntry {
  const entry = context.catalog.rows.find('pg_attribute', 'attrelid', relation).find((candidate) => candidate.values![4] === attnum);
  if (!entry) throw new DatabaseError('XX000', `cache lookup failed for attribute ${attnum} of relation ${relation}`);
  return entry;
}

export function updateClass(context: CommandContext, oid: Oid, values: Record<string, Datum>): Row {
  return context.changes.update('pg_class', classEntry(context, oid), values);
}

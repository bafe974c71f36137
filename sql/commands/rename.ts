/** ALTER ... RENAME and ALTER ... SET SCHEMA. Stored expressions that mention a renamed column are deparsed anew. */
import type { AlterObjectSchemaStmt, Node, RenameStmt, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { resolveTypeName } from '../analyzer/names.js';
import { mustBeOwner, ownsAs, parseAclItem, aclArray } from '../catalog/acl.js';
import type { ArrayValue } from '../types/datum.js';
import { bornTable } from '../catalog/born-rows.js';
import type { Constraint, Oid, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteDependenciesOf, dependentsOf, recordDependency } from '../catalog/dependency.js';
import type { Expr } from '../analyzer/query-tree.js';
import { refuseTransactionBlock, type CommandContext } from './command.js';
import { current, findColumn } from './constraints.js';
import { checkOwner, creationNamespaceNamed, currentUser, isSuper, nameEnvironment, nameList, openRelationIfExists, qualifiedName, refuseCatalog, reserveRelationName } from './names.js';
import { attributeEntry, refuseSystemName, updateClass } from './relation-rows.js';
import { moveStatistics, renameStatistics, statisticsExpressions } from './statistics-command.js';

const RELATION_TAGS: Readonly<Record<string, string>> = {
  OBJECT_TABLE: 'ALTER TABLE', OBJECT_VIEW: 'ALTER VIEW', OBJECT_INDEX: 'ALTER INDEX', OBJECT_SEQUENCE: 'ALTER SEQUENCE', OBJECT_MATVIEW: 'ALTER MATERIALIZED VIEW',
};

export async function rename(statement: RenameStmt, context: CommandContext): Promise<string> {
  const newName = statement.newname!;
  switch (statement.renameType) {
    case 'OBJECT_TABLE': case 'OBJECT_VIEW': case 'OBJECT_INDEX': case 'OBJECT_SEQUENCE': case 'OBJECT_MATVIEW':
      return renameRelation(statement, context, newName);
    case 'OBJECT_COLUMN': case 'OBJECT_ATTRIBUTE': return renameColumn(statement, context, newName);
    case 'OBJECT_TABCONSTRAINT': return renameConstraint(statement, context, newName);
    case 'OBJECT_SCHEMA': {
      const namespace = context.catalog.namespaceNamed(statement.subname!);
      if (!namespace) throw new DatabaseError('3F000', `schema "${statement.subname}" does not exist`);
      if (context.catalog.namespaceNamed(newName)) throw new DatabaseError('42P06', `schema "${newName}" already exists`);
      if (!ownsAs(context.catalog, currentUser(context).oid, namespace.nspowner)) throw mustBeOwner('schema', namespace.nspname);
      if (newName.startsWith('pg_')) throw new DatabaseError('42939', `unacceptable schema name "${newName}"`, { detail: 'The prefix "pg_" is reserved for system schemas.' });
      context.changes.update('pg_namespace', context.catalog.rows.find('pg_namespace', 'oid', namespace.oid)[0]!, { nspname: newName });
      return 'ALTER SCHEMA';
    }
    case 'OBJECT_DATABASE': {
      refuseTransactionBlock(context, 'ALTER DATABASE RENAME');
      const database = context.catalog.databaseNamed(statement.subname!);
      if (!database) throw new DatabaseError('3D000', `database "${statement.subname}" does not exist`);
      if (!ownsAs(context.catalog, currentUser(context).oid, database.datdba)) throw mustBeOwner('database', database.datname);
      if (context.catalog.databaseNamed(newName)) throw new DatabaseError('42P04', `database "${newName}" already exists`);
      if (database.oid === context.changes.databaseOid) throw new DatabaseError('0A000', 'current database cannot be renamed');
      if (context.otherSessions(database.oid) > 0) throw new DatabaseError('55006', `database "${database.datname}" is being accessed by other users`);
      context.changes.update('pg_database', context.catalog.rows.find('pg_database', 'oid', database.oid)[0]!, { datname: newName });
      return 'ALTER DATABASE';
    }
    case 'OBJECT_STATISTIC_EXT': return renameStatistics(context, nameList(statement.object), newName);
    case 'OBJECT_ROLE': return renameRole(statement, context, newName);
    case 'OBJECT_TYPE': case 'OBJECT_DOMAIN': {
      const { type } = resolveTypeName(nameEnvironment(context), { names: (statement.object as { List: { items: Node[] } }).List.items, typemod: -1 } as TypeName);
      if (type.typrelid && current(context, type.typrelid).relkind !== 'c') {
        throw new DatabaseError('42809', `${type.typname} is a table's row type`, { hint: 'Use ALTER TABLE instead.' });
      }
      if (context.catalog.typeNamed(type.typnamespace, newName)) throw new DatabaseError('42710', `type "${newName}" already exists`);
      renameType(context, type.oid, newName);
      if (type.typrelid) updateClass(context, type.typrelid, { relname: newName });
      return statement.renameType === 'OBJECT_TYPE' ? 'ALTER TYPE' : 'ALTER DOMAIN';
    }
    default: throw notSupported(`ALTER ${String(statement.renameType).replace('OBJECT_', '')} RENAME`);
  }
}

async function openForRename(statement: { relation?: RenameStmt['relation']; missing_ok?: boolean }, context: CommandContext): Promise<Relation | null> {
  const range = statement.relation!;
  const relation = await openRelationIfExists(context, range, 'AccessExclusiveLock');
  if (!relation) {
    if (!statement.missing_ok) throw new DatabaseError('42P01', `relation "${qualifiedName(range)}" does not exist`);
    context.notice('NOTICE', `relation "${range.relname}" does not exist, skipping`, { sqlstate: '00000' });
    return null;
  }
  refuseCatalog(relation);
  checkOwner(context, relation);
  return relation;
}

async function renameRelation(statement: RenameStmt, context: CommandContext, newName: string): Promise<string> {
  const tag = RELATION_TAGS[statement.renameType!]!;
  const relation = await openForRename(statement, context);
  if (!relation) return tag;
  const kind = statement.renameType;
  const wrong = (kind === 'OBJECT_VIEW' && relation.relkind !== 'v' && 'a view') || (kind === 'OBJECT_SEQUENCE' && relation.relkind !== 'S' && 'a sequence')
    || (kind === 'OBJECT_MATVIEW' && relation.relkind !== 'm' && 'a materialized view');
  if (wrong) throw new DatabaseError('42809', `"${relation.relname}" is not ${wrong}`);
  await renameRelationTo(context, relation, newName);
  if (relation.relkind === 'i') {
    // An index of a constraint takes the constraint along.
    for (const entry of context.catalog.rows.find('pg_constraint', 'conindid', relation.oid)) {
      if (entry.values![3] !== 'f') context.changes.update('pg_constraint', entry, { conname: newName });
    }
  }
  return tag;
}

async function renameRelationTo(context: CommandContext, relation: Relation, newName: string): Promise<void> {
  await reserveRelationName(context, relation.relnamespace, newName);
  if (context.catalog.relationOid(relation.relnamespace, newName) !== undefined) throw new DatabaseError('42P07', `relation "${newName}" already exists`);
  const views = viewsOver(context, relation.oid, 0).map((oid) => ({ oid, query: analyzeViewNow(context, oid) }));
  const defaults = relation.relkind === 'S' ? defaultsUsing(context, relation.oid) : [];
  updateClass(context, relation.oid, { relname: newName });
  if (relation.reltype) renameType(context, relation.reltype, newName);
  for (const { oid, query } of views) storeViewText(context, oid, query);
  for (const { table, expr, store } of defaults) store(context.hooks.deparse(expr, current(context, table), context.eval));
}

function renameType(context: CommandContext, oid: Oid, newName: string): void {
  const entry = context.catalog.rows.find('pg_type', 'oid', oid)[0]!;
  const namespace = entry.values![2] as Oid;
  const arrayOid = entry.values![14] as Oid;
  context.changes.update('pg_type', entry, { typname: newName });
  if (!arrayOid) return;
  let arrayName = `_${newName}`.slice(0, 63);
  while (context.catalog.typeNamed(namespace, arrayName)) arrayName = `_${arrayName}`.slice(0, 63);
  context.changes.update('pg_type', context.catalog.rows.find('pg_type', 'oid', arrayOid)[0]!, { typname: arrayName });
}

/** Expressions of a relation, analyzed while its old names hold, to be deparsed with the new ones. */
interface StoredExpression { readonly expr: Expr; store(text: string): void }

function storedExpressions(context: CommandContext, relation: Relation): StoredExpression[] {
  const { catalog, changes, hooks } = context;
  const found: StoredExpression[] = [];
  for (const attribute of relation.attributes) {
    if (attribute.defaultText === null || attribute.attgenerated === '') continue;
    const expr = hooks.analyzeExpressionText(attribute.defaultText, { kind: 'generated column', relation, target: { type: attribute.atttypid, typmod: attribute.atttypmod } }, context.eval);
    found.push({ expr, store: (text) => {
      const entry = catalog.rows.find('pg_attrdef', 'adrelid', relation.oid).find((candidate) => candidate.values![2] === attribute.attnum)!;
      changes.update('pg_attrdef', entry, { adbin: text });
    } });
  }
  for (const constraint of relation.constraints) {
    if (constraint.contype !== 'c') continue;
    const expr = hooks.analyzeExpressionText(constraint.expressionText!, { kind: 'check constraint', relation, target: { type: 16, typmod: -1 } }, context.eval);
    found.push({ expr, store: (text) => changes.update('pg_constraint', context.catalog.rows.find('pg_constraint', 'oid', constraint.oid)[0]!, { conbin: text }) });
  }
  for (const index of relation.indexes) {
    const entry = (): ReturnType<typeof catalog.rows.find>[number] => context.catalog.rows.find('pg_index', 'indexrelid', index.oid)[0]!;
    const texts = index.keyColumns.filter((column) => column.expressionText !== null).map((column) => column.expressionText!);
    texts.forEach((text, i) => {
      const expr = hooks.analyzeExpressionText(text, { kind: 'index expression', relation }, context.eval);
      found.push({ expr, store: (fresh) => {
        texts[i] = fresh;
        changes.update('pg_index', entry(), { indexprs: JSON.stringify(texts) });
      } });
    });
    if (index.predicateText !== null) {
      const expr = hooks.analyzeExpressionText(index.predicateText, { kind: 'index predicate', relation, target: { type: 16, typmod: -1 } }, context.eval);
      found.push({ expr, store: (text) => changes.update('pg_index', entry(), { indpred: text }) });
    }
  }
  found.push(...statisticsExpressions(context, relation));
  return found;
}

async function renameColumn(statement: RenameStmt, context: CommandContext, newName: string): Promise<string> {
  const tag = statement.relationType && RELATION_TAGS[statement.relationType] ? RELATION_TAGS[statement.relationType]! : 'ALTER TABLE';
  const relation = await openForRename(statement, context);
  if (!relation) return tag;
  const column = findColumn(relation, statement.subname!);
  if (!column) throw new DatabaseError('42703', `column "${statement.subname}" does not exist`);
  if (findColumn(relation, newName)) throw new DatabaseError('42701', `column "${newName}" of relation "${relation.relname}" already exists`);
  if (relation.relkind === 'r') refuseSystemName(newName);
  const expressions = storedExpressions(context, relation);
  const views = viewsOver(context, relation.oid, column.attnum);
  const queries = views.map((oid) => ({ oid, query: analyzeViewNow(context, oid) }));
  context.changes.update('pg_attribute', attributeEntry(context, relation.oid, column.attnum), { attname: newName });
  const renamed = current(context, relation.oid);
  for (const { expr, store } of expressions) store(context.hooks.deparse(expr, renamed, context.eval));
  for (const index of relation.indexes) renameIndexColumns(context, relation, index.oid, column.attnum, newName);
  for (const { oid, query } of queries) storeViewText(context, oid, query);
  return tag;
}

function renameIndexColumns(context: CommandContext, relation: Relation, indexOid: Oid, attnum: number, newName: string): void {
  const index = relation.indexes.find((candidate) => candidate.oid === indexOid)!;
  const numbers = [...index.keyColumns.map((column) => column.attnum), ...index.includeColumns];
  numbers.forEach((number, i) => {
    if (number === attnum) context.changes.update('pg_attribute', attributeEntry(context, indexOid, i + 1), { attname: newName });
  });
}

/** Views whose query reads the relation (or one column of it). */
function viewsOver(context: CommandContext, relation: Oid, attnum: number): Oid[] {
  const rules = dependentsOf(context.catalog.rows, address(ClassOid.pg_class, relation, attnum)).filter((dependency) => dependency.dependent.classId === ClassOid.pg_rewrite && dependency.kind === 'n');
  return [...new Set(rules.map((dependency) => context.catalog.rows.one('pg_rewrite', 'oid', dependency.dependent.objectId)![2] as Oid))];
}

type ViewQuery = { text: (renamed: CommandContext) => string };

/** A view's query is stored as text: it must be read before names change and written after. */
function analyzeViewNow(context: CommandContext, oid: Oid): ViewQuery {
  const text = context.catalog.relation(oid)!.viewText!;
  const redo = context.hooks.viewDeparser?.(text, context.eval);
  if (!redo) throw notSupported('renaming something that a view uses');
  return { text: (later) => redo(later.eval) };
}

function storeViewText(context: CommandContext, oid: Oid, query: ViewQuery): void {
  const entry = context.catalog.rows.find('pg_rewrite', 'ev_class', oid).find((candidate) => candidate.values![1] === '_RETURN')!;
  context.changes.update('pg_rewrite', entry, { ev_action: query.text(context) });
}

async function renameConstraint(statement: RenameStmt, context: CommandContext, newName: string): Promise<string> {
  const relation = await openForRename(statement, context);
  if (!relation) return 'ALTER TABLE';
  const constraint: Constraint | undefined = relation.constraints.find((candidate) => candidate.conname === statement.subname);
  if (!constraint) throw new DatabaseError('42704', `constraint "${statement.subname}" for table "${relation.relname}" does not exist`);
  if (relation.constraints.some((candidate) => candidate.conname === newName)) {
    throw new DatabaseError('42710', `constraint "${newName}" for relation "${relation.relname}" already exists`);
  }
  if ((constraint.contype === 'p' || constraint.contype === 'u') && constraint.conindid) {
    await renameRelationTo(context, current(context, constraint.conindid), newName);
  }
  context.changes.update('pg_constraint', context.catalog.rows.find('pg_constraint', 'oid', constraint.oid)[0]!, { conname: newName });
  return 'ALTER TABLE';
}

/** ACLs hold names: every one that mentions the role is rewritten. */
function renameRole(statement: RenameStmt, context: CommandContext, newName: string): string {
  const role = context.catalog.roleNamed(statement.subname!);
  if (!role) throw new DatabaseError('42704', `role "${statement.subname}" does not exist`);
  if (role.oid === context.eval.session.sessionUser.oid) throw new DatabaseError('0A000', 'session user cannot be renamed');
  if (context.catalog.roleNamed(newName)) throw new DatabaseError('42710', `role "${newName}" already exists`);
  if (newName.startsWith('pg_')) throw new DatabaseError('42939', `role name "${newName}" is reserved`, { detail: 'Role names starting with "pg_" are reserved.' });
  if (!isSuper(context) && !context.catalog.role(currentUser(context).oid)?.rolcreaterole) throw new DatabaseError('42501', 'permission denied to rename role');
  const entry = context.catalog.rows.find('pg_authid', 'oid', role.oid)[0]!;
  context.changes.update('pg_authid', entry, { rolname: newName });
  const swap = (name: string): string => (name === role.rolname ? newName : name);
  for (const table of ['pg_class', 'pg_attribute', 'pg_namespace', 'pg_database', 'pg_proc', 'pg_type', 'pg_default_acl'] as const) {
    const { def } = bornTable(table);
    const column = def.columns.find((candidate) => candidate.type === '_aclitem')!.name;
    const position = def.position[column]!;
    for (const row of [...context.catalog.rows.all(table)]) {
      const acl = row.values![position] as ArrayValue | null;
      if (!acl) continue;
      const items = (acl.elements as string[]).map(parseAclItem);
      if (!items.some((item) => item.grantee === role.rolname || item.grantor === role.rolname)) continue;
      context.changes.update(table, row, { [column]: aclArray(items.map((item) => ({ ...item, grantee: swap(item.grantee), grantor: swap(item.grantor) }))) });
    }
  }
  return 'ALTER ROLE';
}

export async function setSchema(statement: AlterObjectSchemaStmt, context: CommandContext): Promise<string> {
  if (statement.objectType === 'OBJECT_STATISTIC_EXT') {
    const { oid, before, after } = moveStatistics(context, nameList(statement.object), statement.newschema!);
    moveDependency(context, ClassOid.pg_statistic_ext, oid, before, after);
    return 'ALTER STATISTICS';
  }
  if (statement.objectType === 'OBJECT_TYPE' || statement.objectType === 'OBJECT_DOMAIN') {
    const { type } = resolveTypeName(nameEnvironment(context), { names: (statement.object as { List: { items: Node[] } }).List.items, typemod: -1 } as TypeName);
    const namespace = creationNamespaceNamed(context, statement.newschema).oid;
    if (context.catalog.typeNamed(namespace, type.typname)) throw new DatabaseError('42710', `type "${type.typname}" already exists in schema "${statement.newschema}"`);
    moveType(context, type.oid, namespace);
    if (type.typrelid) updateClass(context, type.typrelid, { relnamespace: namespace });
    moveDependency(context, ClassOid.pg_type, type.oid, type.typnamespace, namespace);
    return statement.objectType === 'OBJECT_TYPE' ? 'ALTER TYPE' : 'ALTER DOMAIN';
  }
  const tag = RELATION_TAGS[statement.objectType!];
  if (!tag) throw notSupported(`ALTER ${String(statement.objectType).replace('OBJECT_', '')} SET SCHEMA`);
  const relation = await openForRename(statement, context);
  if (!relation) return tag;
  const namespace = creationNamespaceNamed(context, statement.newschema).oid;
  if (namespace === relation.relnamespace) return tag;
  if (context.catalog.rows.rows('pg_depend', 'classid,objid', ClassOid.pg_class, relation.oid).some((row) => relation.relkind === 'S' && (row[5] as number) > 0)) {
    throw new DatabaseError('0A000', 'cannot move an owned sequence into another schema', { detail: `Sequence "${relation.relname}" is linked to a table.` });
  }
  const views = viewsOver(context, relation.oid, 0).map((oid) => ({ oid, query: analyzeViewNow(context, oid) }));
  await moveRelation(context, relation, namespace, statement.newschema!);
  for (const { oid, query } of views) storeViewText(context, oid, query);
  return tag;
}

async function moveRelation(context: CommandContext, relation: Relation, namespace: Oid, schema: string): Promise<void> {
  await reserveRelationName(context, namespace, relation.relname);
  if (context.catalog.relationOid(namespace, relation.relname) !== undefined) throw new DatabaseError('42P07', `relation "${relation.relname}" already exists in schema "${schema}"`);
  updateClass(context, relation.oid, { relnamespace: namespace });
  moveDependency(context, ClassOid.pg_class, relation.oid, relation.relnamespace, namespace);
  if (relation.reltype) moveType(context, relation.reltype, namespace);
  for (const index of relation.indexes) updateClass(context, index.oid, { relnamespace: namespace });
  for (const constraint of relation.constraints) context.changes.update('pg_constraint', context.catalog.rows.find('pg_constraint', 'oid', constraint.oid)[0]!, { connamespace: namespace });
  const owned = context.catalog.rows.rows('pg_depend', 'refclassid,refobjid', ClassOid.pg_class, relation.oid).filter((row) => row[0] === ClassOid.pg_class && (row[5] as number) > 0);
  for (const row of owned) {
    const other = context.catalog.relation(row[1] as Oid);
    if (other?.relkind !== 'S' || other.relnamespace === namespace) continue;
    const expressions = defaultsUsing(context, other.oid);
    await moveRelation(context, other, namespace, schema);
    for (const { table, expr, store } of expressions) store(context.hooks.deparse(expr, current(context, table), context.eval));
  }
}

/** Defaults of any table that call nextval on a sequence which is about to move or be renamed. */
function defaultsUsing(context: CommandContext, sequence: Oid): (StoredExpression & { table: Oid })[] {
  const found: (StoredExpression & { table: Oid })[] = [];
  for (const dependency of dependentsOf(context.catalog.rows, address(ClassOid.pg_class, sequence))) {
    if (dependency.dependent.classId !== ClassOid.pg_attrdef) continue;
    const entry = context.catalog.rows.find('pg_attrdef', 'oid', dependency.dependent.objectId)[0];
    if (!entry) continue;
    const table = entry.values![1] as Oid;
    const relation = current(context, table);
    const attribute = relation.attributes[(entry.values![2] as number) - 1]!;
    const expr = context.hooks.analyzeExpressionText(entry.values![3] as string, { kind: 'column default', relation, target: { type: attribute.atttypid, typmod: attribute.atttypmod } }, context.eval);
    found.push({ table, expr, store: (text) => context.changes.update('pg_attrdef', context.catalog.rows.find('pg_attrdef', 'oid', entry.values![0]!)[0]!, { adbin: text }) });
  }
  return found;
}

function moveType(context: CommandContext, oid: Oid, namespace: Oid): void {
  const entry = context.catalog.rows.find('pg_type', 'oid', oid)[0]!;
  context.changes.update('pg_type', entry, { typnamespace: namespace });
  const array = context.catalog.rows.find('pg_type', 'oid', entry.values![14]!)[0];
  if (array) context.changes.update('pg_type', array, { typnamespace: namespace });
}

function moveDependency(context: CommandContext, classId: Oid, oid: Oid, from: Oid, to: Oid): void {
  const object = address(classId, oid);
  deleteDependenciesOf(context.changes, object, (dependency) => dependency.referenced.classId === ClassOid.pg_namespace && dependency.referenced.objectId === from);
  recordDependency(context.changes, object, address(ClassOid.pg_namespace, to), 'n');
}

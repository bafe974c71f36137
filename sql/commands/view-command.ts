/** CREATE VIEW and REPLACE; materialized views' definition. */
import type { Node, ViewStmt } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { Query } from '../analyzer/query-tree.js';
import { formatType, stringOf } from '../analyzer/names.js';
import { arrayOf } from '../catalog/born-rows.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteDependenciesOf, recordDependency } from '../catalog/dependency.js';
import type { AnalyzedQuery, CommandContext } from './command.js';
import { storageOptions } from './define-index.js';
import { references } from './expression-references.js';
import { checkOwner, creationNamespace, currentUser, KIND_NAMES, lockRelation, reserveRelationName } from './names.js';
import { addRelation, attributeValues, checkColumnType, recordColumnDependencies, updateClass, type NewColumn } from './relation-rows.js';

export async function createView(statement: ViewStmt, context: CommandContext): Promise<string> {
  const range = statement.view!;
  if ((statement.query as { SelectStmt?: { intoClause?: unknown } }).SelectStmt?.intoClause) throw new DatabaseError('0A000', 'views must not contain SELECT INTO');
  const analyzed = context.hooks.analyzeQuery(statement.query!, context.eval, context.source);
  if (analyzed.query.commandType !== 'select') throw new DatabaseError('42601', 'views must be defined by a SELECT');
  const aliases = (statement.aliases ?? []).map((node) => stringOf(node as Node));
  if (aliases.length > analyzed.columns.length) throw new DatabaseError('42601', 'CREATE VIEW specifies more column names than columns');
  const columns: NewColumn[] = analyzed.columns.map((column, i) => ({
    name: aliases[i] ?? column.name, type: column.type === 705 ? 25 : column.type, typmod: column.typmod, collation: column.collation,
  }));
  const usesTemporary = analyzed.query.permissions.some((permission) => context.catalog.relation(permission.relation)?.relpersistence === 't');
  if (usesTemporary && range.relpersistence !== 't') {
    context.notice('NOTICE', `view "${range.relname}" will be a temporary view`, { sqlstate: '00000' });
  }
  const namespace = await creationNamespace(context, usesTemporary ? { ...range, relpersistence: 't' } : range);
  await reserveRelationName(context, namespace.oid, range.relname!);
  const options = storageOptions(statement.options as Node[] | undefined);
  if (statement.withCheckOption === 'LOCAL_CHECK_OPTION' || statement.withCheckOption === 'CASCADED_CHECK_OPTION') throw notSupported('WITH CHECK OPTION');
  const existing = context.catalog.relationOid(namespace.oid, range.relname!);
  if (existing !== undefined) {
    const relation = context.catalog.relation(existing)!;
    if (!statement.replace) throw new DatabaseError('42P07', `relation "${range.relname}" already exists`);
    if (relation.relkind !== 'v') throw new DatabaseError('42809', `"${range.relname}" is not a view`, { detail: `It is a ${KIND_NAMES[relation.relkind]}.` });
    checkOwner(context, relation);
    await lockRelation(context, existing, 'AccessExclusiveLock');
    replaceColumns(context, relation, columns);
    updateClass(context, existing, { reloptions: options.length > 0 ? arrayOf(25, options) : null });
    setViewQuery(context, existing, analyzed);
    return 'CREATE VIEW';
  }
  const oid = addRelation(context, {
    name: range.relname!, namespace: namespace.oid, kind: 'v', persistence: namespace.temporary ? 't' : 'p', owner: currentUser(context).oid, columns,
    storage: 0, accessMethod: 0, withRowType: true, options,
  });
  setViewQuery(context, oid, analyzed);
  return 'CREATE VIEW';
}

/** OR REPLACE may only add columns at the end. */
function replaceColumns(context: CommandContext, relation: Relation, columns: readonly NewColumn[]): void {
  const { catalog } = context;
  if (columns.length < relation.attributes.length) throw new DatabaseError('42P16', 'cannot drop columns from view');
  relation.attributes.forEach((attribute, i) => {
    const column = columns[i]!;
    if (attribute.attname !== column.name) {
      throw new DatabaseError('42P16', `cannot change name of view column "${attribute.attname}" to "${column.name}"`, { hint: `Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.` });
    }
    if (attribute.atttypid !== column.type || attribute.atttypmod !== column.typmod) {
      throw new DatabaseError('42P16', `cannot change data type of view column "${attribute.attname}" from ${formatType(catalog, attribute.atttypid, attribute.atttypmod)} to ${formatType(catalog, column.type, column.typmod)}`);
    }
  });
  for (let i = relation.attributes.length; i < columns.length; i++) {
    checkColumnType(context, columns[i]!);
    context.changes.insert('pg_attribute', attributeValues(context, relation.oid, i + 1, columns[i]!));
    recordColumnDependencies(context, relation.oid, i + 1, columns[i]!);
  }
  if (columns.length > relation.attributes.length) updateClass(context, relation.oid, { relnatts: columns.length });
}

/** The view's rule with its query's text, and what the query needs. */
export function setViewQuery(context: CommandContext, oid: Oid, analyzed: AnalyzedQuery): void {
  const { text } = analyzed;
  const existing = context.catalog.rows.find('pg_rewrite', 'ev_class', oid).find((entry) => entry.values![1] === '_RETURN');
  let rule: Oid;
  if (existing) {
    rule = existing.values![0] as Oid;
    context.changes.update('pg_rewrite', existing, { ev_action: text });
    deleteDependenciesOf(context.changes, address(ClassOid.pg_rewrite, rule));
  } else {
    rule = context.changes.newOid();
    context.changes.insert('pg_rewrite', { oid: rule, rulename: '_RETURN', ev_class: oid, ev_type: '1', ev_enabled: 'O', is_instead: true, ev_qual: '<>', ev_action: text });
  }
  const object = address(ClassOid.pg_rewrite, rule);
  recordDependency(context.changes, object, address(ClassOid.pg_class, oid), 'i');
  recordQueryDependencies(context, rule, analyzed.query);
}

/** Relations with the columns that are read, functions and types. */
export function recordQueryDependencies(context: CommandContext, rule: Oid, query: Query): void {
  const object = address(ClassOid.pg_rewrite, rule);
  const seen = new Set<string>();
  const record = (classId: Oid, objectId: Oid, subId: number): void => {
    const key = `${classId}:${objectId}:${subId}`;
    if (seen.has(key)) return;
    seen.add(key);
    recordDependency(context.changes, object, address(classId, objectId, subId), 'n');
  };
  for (const permission of query.permissions) {
    if (permission.checkAsUser !== 0) continue;
    const columns = permission.selected.filter((attnum) => attnum > 0);
    if (columns.length === 0) record(ClassOid.pg_class, permission.relation, 0);
    for (const attnum of columns) record(ClassOid.pg_class, permission.relation, attnum);
  }
  for (const target of query.targetList) {
    for (const found of references(target.expr).objects) record(found.classId, found.objectId, found.subId);
  }
}

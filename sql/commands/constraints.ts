/** Constraints and defaults: their catalog rows, and the validation of rows that exist already. */
import type { Constraint, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { Expr } from '../analyzer/query-tree.js';
import { formatType } from '../analyzer/names.js';
import { hasColumnPrivilege, permissionDenied } from '../catalog/acl.js';
import { arrayOf } from '../catalog/born-rows.js';
import { BTREE_AM, type Constraint as CatalogConstraint, type Index, type Oid, type Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteDependenciesOf, recordDependency } from '../catalog/dependency.js';
import { quoteIdentifier, quoteQualified } from '../catalog/identifiers.js';
import type { Datum } from '../types/datum.js';
import { positionOf, type CommandContext } from './command.js';
import { constraintNameUsed, defaultOpclass, defineIndex, joinColumnNames } from './define-index.js';
import { columnLocation, isImmutable, recordExpressionDependencies, references } from './expression-references.js';
import { chooseName, currentUser, lockRelation, nameList, openRelation } from './names.js';
import { attributeEntry, updateClass } from './relation-rows.js';
import { forEachRow } from './row-scan.js';

export function findColumn(relation: Relation, name: string): Relation['attributes'][number] | undefined {
  return relation.attributes.find((attribute) => attribute.attname === name && !attribute.attisdropped);
}

/** The live relation after own changes. */
export function current(context: CommandContext, oid: Oid): Relation {
  return context.catalog.relation(oid)!;
}

/** Sets or replaces a column's default or generation expression. */
export function setDefault(context: CommandContext, relation: Relation, attnum: number, node: Node, generated: boolean): Expr {
  const attribute = relation.attributes[attnum - 1]!;
  const analyzed = context.hooks.analyzeExpression(node, {
    kind: generated ? 'generated column' : 'column default', relation,
    target: { type: attribute.atttypid, typmod: attribute.atttypmod, columnName: attribute.attname },
  }, context.eval, context.source);
  if (generated) {
    if (!isImmutable(context.catalog, analyzed.expr)) throw new DatabaseError('42P17', 'generation expression is not immutable');
    for (const used of references(analyzed.expr).columns) {
      if (used > 0 && relation.attributes[used - 1]!.attgenerated !== '') {
        throw new DatabaseError('42P17', `cannot use generated column "${relation.attributes[used - 1]!.attname}" in column generation expression`, {
          detail: 'A generated column cannot reference another generated column.', position: positionOf(context, columnLocation(analyzed.expr, used)),
        });
      }
    }
  }
  storeDefault(context, relation.oid, attnum, analyzed.text, analyzed.expr, generated);
  return analyzed.expr;
}

/** pg_attrdef's row with its dependencies. `text` must be canonical. */
export function storeDefault(context: CommandContext, relation: Oid, attnum: number, text: string, expr: Expr, generated: boolean): void {
  dropDefault(context, relation, attnum);
  const oid = context.changes.newOid();
  context.changes.insert('pg_attrdef', { oid, adrelid: relation, adnum: attnum, adbin: text });
  context.changes.update('pg_attribute', attributeEntry(context, relation, attnum), { atthasdef: true });
  const object = address(ClassOid.pg_attrdef, oid);
  const column = address(ClassOid.pg_class, relation, attnum);
  if (generated) {
    recordDependency(context.changes, object, column, 'i');
    recordExpressionDependencies(context.changes, column, expr, relation, 'a');
  } else {
    recordDependency(context.changes, object, column, 'a');
    recordExpressionDependencies(context.changes, object, expr, relation, 'n');
  }
}

export function dropDefault(context: CommandContext, relation: Oid, attnum: number): boolean {
  for (const entry of context.catalog.rows.find('pg_attrdef', 'adrelid', relation)) {
    if (entry.values![2] !== attnum) continue;
    deleteDependenciesOf(context.changes, address(ClassOid.pg_attrdef, entry.values![0] as Oid));
    context.changes.delete('pg_attrdef', entry);
    context.changes.update('pg_attribute', attributeEntry(context, relation, attnum), { atthasdef: false });
    return true;
  }
  return false;
}

function insertConstraint(context: CommandContext, values: Record<string, Datum>): Oid {
  const oid = context.changes.newOid();
  context.changes.insert('pg_constraint', { confupdtype: ' ', confdeltype: ' ', confmatchtype: ' ', conislocal: true, convalidated: true, ...values, oid });
  return oid;
}

function checkConstraintName(context: CommandContext, relation: Relation, name: string): void {
  if (relation.constraints.some((constraint) => constraint.conname === name)) {
    throw new DatabaseError('42710', `constraint "${name}" for relation "${relation.relname}" already exists`);
  }
}

/** Adds any table constraint to a locked relation. `fresh`: the table has no rows, so nothing is validated. */
export async function addConstraint(context: CommandContext, relation: Relation, node: Constraint, column: string | null, fresh: boolean): Promise<void> {
  switch (node.contype) {
    case 'CONSTR_CHECK': return addCheck(context, relation, node, column, fresh);
    case 'CONSTR_PRIMARY': case 'CONSTR_UNIQUE': return addKey(context, relation, node, column, fresh);
    case 'CONSTR_FOREIGN': return addForeignKey(context, relation, node, fresh);
    case 'CONSTR_EXCLUSION': throw notSupported('EXCLUDE constraint');
    default: throw notSupported(`constraint ${String(node.contype)}`);
  }
}

async function addCheck(context: CommandContext, relation: Relation, node: Constraint, column: string | null, fresh: boolean): Promise<void> {
  const analyzed = context.hooks.analyzeExpression(node.raw_expr!, { kind: 'check constraint', relation, target: { type: 16, typmod: -1 } }, context.eval, context.source);
  const used = [...references(analyzed.expr).columns].filter((attnum) => attnum > 0).sort((a, b) => a - b);
  let name = node.conname;
  if (name && fresh && relation.constraints.some((constraint) => constraint.conname === name)) throw new DatabaseError('42710', `check constraint "${name}" already exists`);
  if (name) checkConstraintName(context, relation, name);
  else {
    const only = used.length === 1 ? relation.attributes[used[0]! - 1]!.attname : null;
    name = chooseName(relation.relname, column ?? only, 'check', (candidate) => constraintNameUsed(context, relation.relnamespace, candidate));
  }
  const oid = insertConstraint(context, {
    conname: name, connamespace: relation.relnamespace, contype: 'c', conrelid: relation.oid, connoinherit: node.is_no_inherit ?? false,
    convalidated: !node.skip_validation || fresh, conkey: used.length > 0 ? arrayOf(21, used) : null, conbin: analyzed.text,
  });
  const object = address(ClassOid.pg_constraint, oid);
  if (used.length === 0) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid), 'a');
  for (const attnum of used) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid, attnum), 'a');
  recordExpressionDependencies(context.changes, object, withoutColumns(analyzed.expr), relation.oid, 'n');
  updateClass(context, relation.oid, { relchecks: current(context, relation.oid).constraints.filter((constraint) => constraint.contype === 'c').length });
  if (!fresh && !node.skip_validation) await validateCheck(context, relation.oid, oid);
}

/** Only the objects of an expression count where its columns were recorded already. */
function withoutColumns(expr: Expr): Expr {
  return { ...expr, kind: expr.kind === 'Var' ? 'Const' : expr.kind } as Expr;
}

/** Every row must pass a check constraint that was just added or is being validated. */
export async function validateCheck(context: CommandContext, relationOid: Oid, constraintOid: Oid): Promise<void> {
  const relation = current(context, relationOid);
  const constraint = context.catalog.constraint(constraintOid)!;
  const expr = context.hooks.analyzeExpressionText(constraint.expressionText!, { kind: 'check constraint', relation, target: { type: 16, typmod: -1 } }, context.eval);
  const evaluate = context.hooks.compileRow(relation, expr, context.eval);
  await forEachRow(context, relation, (values) => {
    if (evaluate(values) === false) {
      throw new DatabaseError('23514', `check constraint "${constraint.conname}" of relation "${relation.relname}" is violated by some row`, {
        schema: context.catalog.namespace(relation.relnamespace)?.nspname, table: relation.relname, constraint: constraint.conname,
      });
    }
  });
}

/** SET NOT NULL over existing rows. */
export async function validateNotNull(context: CommandContext, relation: Relation, attnums: readonly number[]): Promise<void> {
  if (attnums.length === 0) return;
  await forEachRow(context, relation, (values) => {
    for (const attnum of attnums) {
      if (values[attnum - 1] !== null) continue;
      const column = relation.attributes[attnum - 1]!.attname;
      throw new DatabaseError('23502', `column "${column}" of relation "${relation.relname}" contains null values`, {
        schema: context.catalog.namespace(relation.relnamespace)?.nspname, table: relation.relname, column,
      });
    }
  }, new Set(attnums));
}

async function addKey(context: CommandContext, relation: Relation, node: Constraint, column: string | null, fresh: boolean): Promise<void> {
  const primary = node.contype === 'CONSTR_PRIMARY';
  if (primary && relation.constraints.some((constraint) => constraint.contype === 'p')) {
    throw new DatabaseError('42P16', `multiple primary keys for table "${relation.relname}" are not allowed`, fresh ? { position: positionOf(context, node.location) } : {});
  }
  if (node.indexname) return addKeyUsingIndex(context, relation, node, primary);
  const names = column !== null && !node.keys?.length ? [column] : nameList((node.keys ?? []) as Node[]);
  const included = nameList((node.including ?? []) as Node[]);
  names.forEach((name, i) => {
    if (!findColumn(relation, name)) throw new DatabaseError('42703', `column "${name}" named in key does not exist`, { position: positionOf(context, node.location) });
    if (names.indexOf(name) !== i) {
      throw new DatabaseError('42701', `column "${name}" appears twice in ${primary ? 'primary key' : 'unique'} constraint`, { position: positionOf(context, node.location) });
    }
  });
  if (node.conname) checkConstraintName(context, relation, node.conname);
  const attnums = names.map((name) => findColumn(relation, name)!.attnum);
  if (primary) await setKeyNotNull(context, relation, attnums, fresh);
  const element = (name: string): Node => ({ IndexElem: { name, ordering: 'SORTBY_DEFAULT', nulls_ordering: 'SORTBY_NULLS_DEFAULT' } });
  const indexOid = await defineIndex(context, current(context, relation.oid), {
    name: node.conname ?? null, constraint: primary ? 'p' : 'u', deferrable: node.deferrable ?? false, initiallyDeferred: node.initdeferred ?? false,
    statement: {
      accessMethod: 'btree', indexParams: names.map(element), indexIncludingParams: included.map(element), unique: true,
      nulls_not_distinct: node.nulls_not_distinct ?? false, options: node.options as Node[] | undefined,
    },
  });
  recordKeyConstraint(context, relation, indexOid, primary, [...attnums, ...included.map((name) => findColumn(relation, name)!.attnum)], attnums.length, node);
}

async function setKeyNotNull(context: CommandContext, relation: Relation, attnums: readonly number[], fresh: boolean): Promise<void> {
  const nullable = attnums.filter((attnum) => !relation.attributes[attnum - 1]!.attnotnull);
  for (const attnum of nullable) context.changes.update('pg_attribute', attributeEntry(context, relation.oid, attnum), { attnotnull: true });
  if (!fresh) await validateNotNull(context, relation, nullable);
}

function recordKeyConstraint(context: CommandContext, relation: Relation, indexOid: Oid, primary: boolean, attnums: readonly number[], keys: number, node: Constraint): void {
  const index = context.catalog.index(indexOid)!;
  const oid = insertConstraint(context, {
    conname: index.name, connamespace: relation.relnamespace, contype: primary ? 'p' : 'u', condeferrable: node.deferrable ?? false,
    condeferred: node.initdeferred ?? false, conrelid: relation.oid, conindid: indexOid, conkey: arrayOf(21, attnums.slice(0, keys)), connoinherit: true,
  });
  const object = address(ClassOid.pg_constraint, oid);
  for (const attnum of attnums) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid, attnum), 'a');
  recordDependency(context.changes, address(ClassOid.pg_class, indexOid), object, 'i');
}

/** ALTER TABLE ... ADD PRIMARY KEY | UNIQUE USING INDEX. */
async function addKeyUsingIndex(context: CommandContext, relation: Relation, node: Constraint, primary: boolean): Promise<void> {
  const index = relation.indexes.find((candidate) => candidate.name === node.indexname);
  if (!index) {
    const exists = context.catalog.relationOid(relation.relnamespace, node.indexname!);
    if (exists !== undefined) throw new DatabaseError('55000', `index "${node.indexname}" does not belong to table "${relation.relname}"`);
    throw new DatabaseError('42704', `index "${node.indexname}" does not exist`);
  }
  if (relation.constraints.some((constraint) => constraint.conindid === index.oid)) {
    throw new DatabaseError('55000', `index "${index.name}" is already associated with a constraint`);
  }
  const refuse = (why: string): DatabaseError => new DatabaseError('42809', `"${index.name}" is not a unique index`, { detail: why });
  if (!index.unique) throw refuse('Cannot create a primary key or unique constraint using such an index.');
  if (index.accessMethod !== BTREE_AM) throw new DatabaseError('42809', `index "${index.name}" is not a btree`);
  if (index.predicateText !== null) throw new DatabaseError('42809', `"${index.name}" is a partial index`, { detail: 'Cannot create a primary key or unique constraint using such an index.' });
  if (index.keyColumns.some((column) => column.attnum === 0)) throw new DatabaseError('42809', `index "${index.name}" contains expressions`, { detail: 'Cannot create a primary key or unique constraint using such an index.' });
  const attnums = index.keyColumns.map((column) => column.attnum);
  if (primary) await setKeyNotNull(context, relation, attnums, false);
  if (node.conname && node.conname !== index.name) {
    context.notice('NOTICE', `ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index "${index.name}" to "${node.conname}"`);
    updateClass(context, index.oid, { relname: node.conname });
  }
  const entry = context.catalog.rows.find('pg_index', 'indexrelid', index.oid)[0]!;
  context.changes.update('pg_index', entry, { indisprimary: primary, indimmediate: !(node.deferrable ?? false) });
  deleteDependenciesOf(context.changes, address(ClassOid.pg_class, index.oid));
  recordKeyConstraint(context, relation, index.oid, primary, [...attnums, ...index.includeColumns], attnums.length, node);
}

/** The unique index that a foreign key stands on, with the order of its columns. */
function referencedKey(context: CommandContext, target: Relation, columns: readonly number[] | null): { index: Index; attnums: readonly number[] } {
  if (columns === null) {
    const primary = target.indexes.find((index) => index.primary);
    if (!primary) throw new DatabaseError('42704', `there is no primary key for referenced table "${target.relname}"`);
    if (!primary.immediate) throw new DatabaseError('55000', `cannot use a deferrable primary key for referenced table "${target.relname}"`);
    return { index: primary, attnums: primary.keyColumns.map((column) => column.attnum) };
  }
  let deferrable = false;
  for (const index of target.indexes) {
    if (!index.unique || index.predicateText !== null || !index.valid || index.keyColumns.some((column) => column.attnum === 0)) continue;
    const keys = index.keyColumns.map((column) => column.attnum);
    if (keys.length !== columns.length || !columns.every((attnum) => keys.includes(attnum))) continue;
    if (index.immediate) return { index, attnums: columns };
    deferrable = true;
  }
  if (deferrable) throw new DatabaseError('55000', `cannot use a deferrable unique constraint for referenced table "${target.relname}"`);
  throw new DatabaseError('42830', `there is no unique constraint matching given keys for referenced table "${target.relname}"`);
}

function keyAttnums(relation: Relation, names: readonly string[]): number[] {
  return names.map((name) => {
    const attribute = findColumn(relation, name);
    if (!attribute) throw new DatabaseError('42703', `column "${name}" referenced in foreign key constraint does not exist`);
    return attribute.attnum;
  });
}

async function addForeignKey(context: CommandContext, relation: Relation, node: Constraint, fresh: boolean): Promise<void> {
  const { catalog } = context;
  const target = await openRelation(context, node.pktable!, 'ShareRowExclusiveLock');
  if (target.relkind !== 'r' && target.relkind !== 'p') throw new DatabaseError('42809', `referenced relation "${target.relname}" is not a table`);
  if (target.oid < 16384) throw new DatabaseError('42501', `permission denied: "${target.relname}" is a system catalog`);
  if (relation.relpersistence !== target.relpersistence) {
    if (relation.relpersistence === 'p') throw new DatabaseError('42P16', 'constraints on permanent tables may reference only permanent tables');
    if (relation.relpersistence === 't') throw new DatabaseError('42P16', 'constraints on temporary tables may reference only temporary tables');
    if (target.relpersistence === 't') throw new DatabaseError('42P16', 'constraints on unlogged tables may reference only permanent or unlogged tables');
  }
  const from = keyAttnums(relation, nameList((node.fk_attrs ?? []) as Node[]));
  const written = nameList((node.pk_attrs ?? []) as Node[]);
  const { index, attnums: to } = referencedKey(context, target, written.length > 0 ? keyAttnums(target, written) : null);
  if (from.length !== to.length) throw new DatabaseError('42830', 'number of referencing and referenced columns for foreign key disagree');
  const user = currentUser(context).oid;
  for (const attnum of to) if (!hasColumnPrivilege(catalog, user, target, attnum, 'x')) throw permissionDenied('table', target.relname);
  if (node.fk_matchtype === 'p') throw notSupported('MATCH PARTIAL');
  const names = nameList((node.fk_attrs ?? []) as Node[]);
  let name = node.conname;
  if (name) checkConstraintName(context, relation, name);
  else name = chooseName(relation.relname, joinColumnNames(names), 'fkey', (candidate) => constraintNameUsed(context, relation.relnamespace, candidate));
  checkForeignKeyActions(relation, from, node);
  const operators = from.map((attnum, i) => keyOperators(context, relation, attnum, target, to[i]!, index, name!));
  const setColumns = nameList((node.fk_del_set_cols ?? []) as Node[]).map((columnName) => {
    const attnum = keyAttnums(relation, [columnName])[0]!;
    if (!from.includes(attnum)) throw new DatabaseError('42P10', `column "${columnName}" referenced in ON DELETE SET action must be part of foreign key`);
    return attnum;
  });
  const oid = insertConstraint(context, {
    conname: name, connamespace: relation.relnamespace, contype: 'f', condeferrable: node.deferrable ?? false, condeferred: node.initdeferred ?? false,
    convalidated: fresh || !node.skip_validation, conrelid: relation.oid, conindid: index.oid, confrelid: target.oid,
    confupdtype: node.fk_upd_action || 'a', confdeltype: node.fk_del_action || 'a', confmatchtype: node.fk_matchtype || 's', connoinherit: true,
    conkey: arrayOf(21, from), confkey: arrayOf(21, to), conpfeqop: arrayOf(26, operators.map((op) => op.pf)), conppeqop: arrayOf(26, operators.map((op) => op.pp)),
    conffeqop: arrayOf(26, operators.map((op) => op.ff)), confdelsetcols: setColumns.length > 0 ? arrayOf(21, setColumns) : null,
  });
  const object = address(ClassOid.pg_constraint, oid);
  for (const attnum of from) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid, attnum), 'a');
  for (const attnum of to) recordDependency(context.changes, object, address(ClassOid.pg_class, target.oid, attnum), 'n');
  recordDependency(context.changes, object, address(ClassOid.pg_class, index.oid), 'n');
  updateClass(context, relation.oid, { relhastriggers: true });
  if (target.oid !== relation.oid) updateClass(context, target.oid, { relhastriggers: true });
  if (!fresh && !node.skip_validation) await validateForeignKey(context, context.catalog.constraint(oid)!);
}

function checkForeignKeyActions(relation: Relation, from: readonly number[], node: Constraint): void {
  for (const attnum of from) {
    if (relation.attributes[attnum - 1]!.attgenerated === '') continue;
    for (const [action, clause] of [[node.fk_upd_action, 'ON UPDATE'], [node.fk_del_action, 'ON DELETE']] as const) {
      if (action === 'n' || action === 'd' || (action === 'c' && clause === 'ON UPDATE')) {
        throw new DatabaseError('42601', `invalid ${clause} action for foreign key constraint containing generated column`);
      }
    }
  }
}

/** Equality operators pk = fk, pk = pk, fk = fk of one column pair. */
function keyOperators(context: CommandContext, relation: Relation, from: number, target: Relation, to: number, index: Index, name: string): { pf: Oid; pp: Oid; ff: Oid } {
  const { catalog } = context;
  const column = index.keyColumns.find((candidate) => candidate.attnum === to)!;
  const opclass = catalog.opclass(column.opclass)!;
  const input = opclass.opcintype;
  const fkType = baseType(context, relation.attributes[from - 1]!.atttypid);
  const pkType = target.attributes[to - 1]!.atttypid;
  const pp = catalog.amop(opclass.opcfamily, input, input, 3)?.amopopr ?? 0;
  let pf = catalog.amop(opclass.opcfamily, input, fkType, 3)?.amopopr ?? 0;
  let ff = catalog.amop(opclass.opcfamily, fkType, fkType, 3)?.amopopr ?? 0;
  if (!pf || !ff) {
    if (fkType === input || fkType === baseType(context, pkType) || coercesImplicitly(context, fkType, input)) {
      pf = pp;
      ff = pp;
    }
  }
  if (!pf || !ff) {
    const fkName = relation.attributes[from - 1]!.attname;
    const pkName = target.attributes[to - 1]!.attname;
    throw new DatabaseError('42804', `foreign key constraint "${name}" cannot be implemented`, {
      detail: `Key columns "${fkName}" and "${pkName}" are of incompatible types: ${formatType(catalog, relation.attributes[from - 1]!.atttypid, relation.attributes[from - 1]!.atttypmod)} and ${formatType(catalog, pkType, target.attributes[to - 1]!.atttypmod)}.`,
    });
  }
  return { pf, pp, ff };
}

function baseType(context: CommandContext, oid: Oid): Oid {
  const type = context.catalog.type(oid);
  return type?.typtype === 'd' ? baseType(context, type.typbasetype) : oid;
}

function coercesImplicitly(context: CommandContext, from: Oid, to: Oid): boolean {
  if (from === to) return true;
  if (to === 2277 || to === 3500) return defaultOpclass(context, BTREE_AM, from)?.opcintype === to;
  return context.catalog.cast(from, to)?.castcontext === 'i';
}

/** Every row must have its parent: 23503 for the first one that has not. */
export async function validateForeignKey(context: CommandContext, constraint: CatalogConstraint): Promise<void> {
  const { catalog } = context;
  const relation = catalog.relation(constraint.conrelid)!;
  const target = catalog.relation(constraint.confrelid)!;
  const name = (table: Relation): string => quoteQualified(catalog.namespace(table.relnamespace)!.nspname, table.relname);
  const from = constraint.conkey.map((attnum) => relation.attributes[attnum - 1]!.attname);
  const to = constraint.confkey.map((attnum) => target.attributes[attnum - 1]!.attname);
  const join = from.map((column, i) => `pk.${quoteIdentifier(to[i]!)} = fk.${quoteIdentifier(column)}`).join(' AND ');
  const some = constraint.confmatchtype === 'f' ? ' OR ' : ' AND ';
  const filled = from.map((column) => `fk.${quoteIdentifier(column)} IS NOT NULL`).join(some);
  const text = `SELECT ${from.map((column) => `fk.${quoteIdentifier(column)}`).join(', ')} FROM ONLY ${name(relation)} fk LEFT OUTER JOIN ONLY ${name(target)} pk ON (${join}) WHERE pk.${quoteIdentifier(to[0]!)} IS NULL AND (${filled}) LIMIT 1`;
  context.transaction.advanceCommand();
  await context.hooks.runQuery(text, context.eval, null, (row) => {
    const fields = { schema: catalog.namespace(relation.relnamespace)?.nspname, table: relation.relname, constraint: constraint.conname };
    const message = `insert or update on table "${relation.relname}" violates foreign key constraint "${constraint.conname}"`;
    if (row.includes(null)) throw new DatabaseError('23503', message, { ...fields, detail: 'MATCH FULL does not allow mixing of null and nonnull key values.' });
    const values = row.map((value, i) => catalog.dataType(relation.attributes[constraint.conkey[i]! - 1]!.atttypid).output(value, context.eval));
    throw new DatabaseError('23503', message, { ...fields, detail: `Key (${from.join(', ')})=(${values.join(', ')}) is not present in table "${target.relname}".` });
  });
}

/** Locks the other side of a constraint before it is dropped or validated. */
export async function lockReferenced(context: CommandContext, constraint: CatalogConstraint): Promise<void> {
  if (constraint.confrelid && constraint.confrelid !== constraint.conrelid) await lockRelation(context, constraint.confrelid, 'RowShareLock');
}


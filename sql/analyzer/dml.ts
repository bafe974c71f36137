/** INSERT, UPDATE, DELETE. After analyze.c, parse_target.c and the default handling of rewriteHandler.c. */
import type { DeleteStmt, InsertStmt, Node, OnConflictClause, ResTarget, SelectStmt, UpdateStmt, RangeVar } from '@pgsql/types';
import type { Attribute, Index, Relation } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { parseExpression } from '../parser/parse.js';
import { analyzeSubquery, emptyQuery, fromState, whereClause } from './analyze.js';
import { coerceToTargetType, coerceToCommonType, selectCommonType } from './coerce.js';
import { transformWithClause } from './cte.js';
import { locationOf, transformExpression } from './expression.js';
import { aliasColumns, itemFor, relationColumns, transformFromClause } from './from-clause.js';
import { base, makeNull, makeTargetEntry, makeVar } from './make-nodes.js';
import { formatType, lookupRelation } from './names.js';
import { ParseState } from './parse-state.js';
import type { Expr, OnConflict, Query, TargetEntry } from './query-tree.js';
import { shiftQuery } from './shift-levels.js';
import { assignToColumn, insertTargetColumns, resolveTargetUnknowns, transformTargetList } from './target-list.js';
import { equalExpr } from './tree-walk.js';

/** Opens the target and puts it into the range table. */
function targetRelation(state: ParseState, range: RangeVar, verb: 'insert into' | 'update' | 'delete from'): { relation: Relation; rtindex: number } {
  const relation = lookupRelation(state.env, range);
  if (relation.relkind === 'v') {
    const participle = verb === 'insert into' ? 'insert into' : verb;
    throw state.error('0A000', `cannot ${participle} view "${relation.relname}": updatable views are not supported`, range.location);
  }
  if (relation.relkind === 'S') throw state.error('42809', `cannot change sequence "${relation.relname}"`, range.location);
  if (relation.relkind === 'm') throw state.error('42809', `cannot change materialized view "${relation.relname}"`, range.location);
  if (relation.relkind !== 'r' && relation.relkind !== 'p') {
    throw state.error('42809', `cannot open relation "${relation.relname}"`, range.location, { detail: relation.relkind === 'i' ? 'This operation is not supported for indexes.' : 'This operation is not supported for composite types.' });
  }
  if (relation.isCatalog) throw state.error('42501', `permission denied: "${relation.relname}" is a system catalog`, -1);
  const name = range.alias?.aliasname ?? relation.relname;
  const rtindex = state.addRangeTableEntry({
    kind: 'relation', name, aliased: range.alias !== undefined, columns: aliasColumns(state, relationColumns(relation), range.alias, name), lateral: false, relation: relation.oid,
    relkind: relation.relkind, only: false, sample: null,
  });
  state.resultRelation = rtindex;
  return { relation, rtindex };
}

/** The default of a column as an expression of its type; null where there is none. Generated columns have none. */
export function columnDefault(state: ParseState, relation: Relation, attribute: Attribute): Expr | null {
  if (attribute.attidentity !== '') {
    const sequence = identitySequence(state, relation, attribute);
    return { kind: 'NextValueExpr', sequence, ...base(attribute.atttypid, -1, 0) };
  }
  if (attribute.defaultText !== null && attribute.attgenerated === '') {
    const inner = new ParseState(state.env, null);
    inner.exprKind = 'column default';
    const expr = transformExpression(inner, parseExpression(attribute.defaultText));
    const coerced = coerceToTargetType(inner, expr, attribute.atttypid, attribute.atttypmod, 'assignment', 'implicit cast', -1);
    if (!coerced) throw state.error('42804', `column "${attribute.attname}" is of type ${formatType(state.catalog, attribute.atttypid)} but default expression is of type ${formatType(state.catalog, expr.type)}`);
    return coerced;
  }
  return domainDefault(state, attribute);
}

function domainDefault(state: ParseState, attribute: Attribute): Expr | null {
  const type = state.catalog.type(attribute.atttypid);
  if (type?.typtype !== 'd' || type.typdefault === null) return null;
  const expr = transformExpression(new ParseState(state.env, null), parseExpression(type.typdefault));
  return coerceToTargetType(state, expr, attribute.atttypid, attribute.atttypmod, 'assignment', 'implicit cast', -1);
}

/** Sequence behind an identity column: found by its dependency, which the catalog keeps as defaultText nextval('...'). */
function identitySequence(state: ParseState, relation: Relation, attribute: Attribute): number {
  const oid = state.catalog.identitySequence(relation.oid, attribute.attnum);
  if (!oid) throw state.error('XX000', `no owned sequence found for identity column "${attribute.attname}"`);
  return oid;
}

function defaultOrNull(state: ParseState, relation: Relation, attribute: Attribute): Expr {
  return columnDefault(state, relation, attribute) ?? nullFor(state, attribute);
}

/** A missing value: NULL of the column's type, checked against its domain where it has one. */
function nullFor(state: ParseState, attribute: Attribute): Expr {
  const expr = makeNull(state.catalog, T.unknown);
  return state.catalog.type(attribute.atttypid)?.typtype === 'd'
    ? coerceToTargetType(state, expr, attribute.atttypid, -1, 'implicit', 'implicit cast', -1)!
    : makeNull(state.catalog, attribute.atttypid, attribute.atttypmod);
}

export function analyzeInsert(state: ParseState, node: InsertStmt): Query {
  transformWithClause(state, node.withClause);
  const { relation, rtindex } = targetRelation(state, node.relation!, 'insert into');
  state.permission(relation.oid, 'insert');
  const override = node.override === 'OVERRIDING_USER_VALUE' ? 'user' : node.override === 'OVERRIDING_SYSTEM_VALUE' ? 'system' : 'none';
  const targets = insertTargetColumns(state, relation, node.cols);
  const select = (node.selectStmt as { SelectStmt?: SelectStmt } | undefined)?.SelectStmt;
  const explicit = node.cols !== undefined && node.cols.length > 0;

  const assigned = new Map<number, Expr>();
  let from: Query['jointree']['from'] = [];
  /** Rows of a VALUES list need defaults inside the list. */
  if (select) {
    const source = insertSource(state, select, targets, relation, explicit, override);
    from = source.from;
    source.values.forEach((expr, i) => {
      const { attribute, target } = targets[i];
      const before = assigned.get(attribute.attnum) ?? null;
      const value = assignToColumn(state, expr, relation, attribute, target?.indirection, targets[i].location, before);
      assigned.set(attribute.attnum, value);
      state.permission(relation.oid, 'insert', attribute.attnum);
    });
  }

  const targetList: TargetEntry[] = [];
  for (const attribute of relation.attributes) {
    if (attribute.attisdropped) continue;
    let expr = assigned.get(attribute.attnum);
    const given = expr !== undefined && expr.kind !== 'SetToDefault';
    if (attribute.attgenerated !== '') {
      if (given && !alwaysDefault.has(expr!)) throw generatedError(state, attribute);
      continue;
    }
    if (attribute.attidentity === 'a' && given && !alwaysDefault.has(expr!)) {
      if (override === 'none') {
        throw state.error('428C9', `cannot insert a non-DEFAULT value into column "${attribute.attname}"`, -1, {
          detail: `Column "${attribute.attname}" is an identity column defined as GENERATED ALWAYS.`,
          hint: 'Use OVERRIDING SYSTEM VALUE to override.',
        });
      }
    }
    if (attribute.attidentity !== '' && override === 'user') expr = undefined;
    if (expr === undefined || expr.kind === 'SetToDefault') expr = defaultOrNull(state, relation, attribute);
    targetList.push(makeTargetEntry(expr, attribute.attnum, attribute.attname));
  }

  let onConflict: OnConflict | null = null;
  if (node.onConflictClause) onConflict = analyzeOnConflict(state, node.onConflictClause, relation, rtindex);
  const returning = returningList(state, node.returningList, rtindex, relation, []);
  return {
    ...emptyQuery('insert'), jointree: { kind: 'fromExpr', from, quals: null }, targetList, resultRelation: rtindex, returning, onConflict, override, ...fromState(state),
  };
}

/** Expressions that came from a VALUES column whose every row says DEFAULT. */
const alwaysDefault = new WeakSet<Expr>();

function generatedError(state: ParseState, attribute: Attribute) {
  return state.error('428C9', `cannot insert a non-DEFAULT value into column "${attribute.attname}"`, -1, { detail: `Column "${attribute.attname}" is a generated column.` });
}

type InsertTargets = ReturnType<typeof insertTargetColumns>;

/** The expressions a SELECT or VALUES source gives for the target columns, in order. */
function insertSource(state: ParseState, select: SelectStmt, targets: InsertTargets, relation: Relation, explicit: boolean, override: Query['override']): { values: Expr[]; from: Query['jointree']['from'] } {
  const lists = select.valuesLists ?? [];
  const checkCount = (count: number, location: number): void => {
    if (count > targets.length) throw state.error('42601', 'INSERT has more expressions than target columns', location);
    if (explicit && count < targets.length) throw state.error('42601', 'INSERT has more target columns than expressions', targets[count].location);
  };
  const bare = !select.sortClause?.length && !select.limitCount && !select.limitOffset && !select.withClause && !select.lockingClause?.length;
  if (lists.length === 1 && bare) {
    const items = (lists[0] as { List: { items?: Node[] } }).List.items ?? [];
    if (items.length > targets.length) checkCount(items.length, locationOf(items[targets.length]));
    checkCount(items.length, -1);
    const values = state.withKind('values single', () => items.map((item) => transformExpression(state, item)));
    return { values, from: [] };
  }
  if (lists.length > 1 && bare) return insertValuesLists(state, lists, targets, relation, checkCount, override);
  const query = analyzeSubquery(state, { SelectStmt: select } as Node, true, true);
  const live = query.targetList.filter((t) => !t.junk);
  if (live.length > targets.length) checkCount(live.length, live[targets.length].expr.location);
  checkCount(live.length, -1);
  // literals of the select list keep their unknown type until the column gives it one
  const columns = live.map((t) => ({ name: t.name ?? '?column?', type: t.expr.type, typmod: t.expr.typmod, collation: t.expr.collation }));
  const rtindex = state.addRangeTableEntry({ kind: 'subquery', name: '*SELECT*', aliased: true, columns, lateral: false, query, view: 0 });
  const entry = state.rangeTable[rtindex - 1];
  const values = live.map((t, i): Expr => ((t.expr.kind === 'Const' || t.expr.kind === 'Param') && t.expr.type === T.unknown ? t.expr : makeVar(rtindex, entry, i + 1, 0, t.expr.location)));
  return { values, from: [{ kind: 'rangeTableRef', rtindex }] };
}

function insertValuesLists(state: ParseState, lists: readonly Node[], targets: InsertTargets, relation: Relation, checkCount: (count: number, location: number) => void, override: Query['override']): { values: Expr[]; from: Query['jointree']['from'] } {
  const rows = lists.map((list) => (list as { List: { items?: Node[] } }).List.items ?? []);
  const width = rows[0].length;
  const columnExprs: Expr[][] = Array.from({ length: width }, () => []);
  rows.forEach((items) => {
    if (items.length !== width) throw state.error('42601', 'VALUES lists must all be the same length', items.length ? locationOf(items[0]) : -1);
    if (items.length > targets.length) checkCount(items.length, locationOf(items[targets.length]));
    checkCount(items.length, -1);
    state.withKind('values', () => items.forEach((item, i) => {
      const { attribute, target } = targets[i];
      const expr = transformExpression(state, item);
      // each row is converted to the column's type by itself
      const value = target?.indirection ? expr : assignToColumn(state, expr, relation, attribute, undefined, locationOf(item), null);
      columnExprs[i].push(value);
    }));
  });
  const values: Expr[] = [];
  const converted = columnExprs.map((cells, i) => {
    const { attribute, target } = targets[i];
    const allDefault = cells.every((cell) => cell.kind === 'SetToDefault');
    if ((attribute.attgenerated !== '' || (attribute.attidentity === 'a' && override === 'none')) && !allDefault && cells.some((cell) => cell.kind !== 'SetToDefault')) {
      if (attribute.attgenerated !== '') throw generatedError(state, attribute);
      throw state.error('428C9', `cannot insert a non-DEFAULT value into column "${attribute.attname}"`, -1, {
        detail: `Column "${attribute.attname}" is an identity column defined as GENERATED ALWAYS.`, hint: 'Use OVERRIDING SYSTEM VALUE to override.',
      });
    }
    const filled = cells.map((cell) => (cell.kind === 'SetToDefault' ? (attribute.attgenerated !== '' ? makeNull(state.catalog, attribute.atttypid) : defaultOrNull(state, relation, attribute)) : cell));
    if (!target?.indirection) return { cells: filled, allDefault };
    const type = selectCommonType(state, filled, 'VALUES');
    return { cells: filled.map((cell) => coerceToCommonType(state, cell, type, 'VALUES')), allDefault };
  });
  const columns = converted.map(({ cells }, i) => ({ name: `column${i + 1}`, type: cells[0].type, typmod: cells.every((c) => c.typmod === cells[0].typmod) ? cells[0].typmod : -1, collation: cells[0].collation }));
  const rtindex = state.addRangeTableEntry({
    kind: 'values', name: '*VALUES*', aliased: true, columns, lateral: false, rows: rows.map((_, r) => converted.map(({ cells }) => cells[r])),
  });
  const entry = state.rangeTable[rtindex - 1];
  converted.forEach(({ allDefault }, i) => {
    const value = makeVar(rtindex, entry, i + 1);
    if (allDefault) alwaysDefault.add(value);
    values.push(value);
  });
  return { values, from: [{ kind: 'rangeTableRef', rtindex }] };
}

function analyzeOnConflict(state: ParseState, clause: OnConflictClause, relation: Relation, rtindex: number): OnConflict {
  const action = clause.action === 'ONCONFLICT_UPDATE' ? 'update' : 'nothing';
  const infer = clause.infer;
  if (action === 'update' && !infer) {
    throw state.error('42601', 'ON CONFLICT DO UPDATE requires inference specification or constraint name', clause.location ?? -1, { hint: 'For example, ON CONFLICT (column_name).' });
  }
  const excludedRtindex = state.addRangeTableEntry({ kind: 'result', name: 'excluded', aliased: true, columns: relationColumns(relation), lateral: false });
  const targetItem = itemFor(state, rtindex, relation.oid);
  const saved = state.namespace;
  state.namespace = [targetItem];
  const arbiterIndexes = infer ? inferArbiters(state, infer, relation, rtindex) : [];
  state.namespace = [targetItem, itemFor(state, excludedRtindex)];
  let set: TargetEntry[] = [];
  let where: Expr | null = null;
  if (action === 'update') {
    state.permission(relation.oid, 'update');
    set = updateTargets(state, clause.targetList, relation, rtindex);
    where = whereClause(state, clause.whereClause);
  }
  state.namespace = saved;
  return { action, arbiterIndexes, set, where, excludedRtindex };
}

/** infer_arbiter_indexes: unique indexes over exactly the named columns. */
function inferArbiters(state: ParseState, infer: NonNullable<OnConflictClause['infer']>, relation: Relation, rtindex: number): number[] {
  if (infer.conname) {
    const constraint = relation.constraints.find((c) => c.conname === infer.conname);
    if (!constraint) throw state.error('42704', `constraint "${infer.conname}" for table "${relation.relname}" does not exist`, infer.location ?? -1);
    if (!constraint.conindid) throw state.error('42809', 'constraint in ON CONFLICT clause has no associated index', infer.location ?? -1);
    if (constraint.condeferrable) throw state.error('55000', 'ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters', -1);
    return [constraint.conindid];
  }
  const exprs = (infer.indexElems ?? []).map((node) => {
    const element = (node as { IndexElem: { name?: string; expr?: Node } }).IndexElem;
    return element.name
      ? state.withKind('index expression', () => transformExpression(state, { ColumnRef: { fields: [{ String: { sval: element.name } }], location: infer.location } } as Node))
      : state.withKind('index expression', () => transformExpression(state, element.expr as Node));
  });
  const where = infer.whereClause ? state.withKind('index predicate', () => transformExpression(state, infer.whereClause as Node)) : null;
  const matches = relation.indexes.filter((index) => {
    if (!index.unique || !index.immediate || !index.valid || index.keyColumns.length !== new Set(exprs.map((e) => JSON.stringify(e, skipLocation))).size) return false;
    const keys = index.keyColumns.map((column) => indexColumnExpr(state, relation, rtindex, column));
    if (!exprs.every((expr) => keys.some((key) => equalExpr(key, expr)))) return false;
    if (!keys.every((key) => exprs.some((expr) => equalExpr(key, expr)))) return false;
    if (index.predicateText === null) return true;
    if (where === null) return false;
    const predicate = state.withKind('index predicate', () => transformExpression(state, parseExpression(index.predicateText!)));
    return equalExpr(predicate, where);
  });
  if (matches.length === 0) throw state.error('42P10', 'there is no unique or exclusion constraint matching the ON CONFLICT specification', -1);
  return matches.map((index) => index.oid);
}

function skipLocation(key: string, value: unknown): unknown {
  return key === 'location' ? undefined : typeof value === 'bigint' ? String(value) : value;
}

/** Key column of an index as an expression over the relation at `rtindex`. */
export function indexColumnExpr(state: ParseState, relation: Relation, rtindex: number, column: Index['keyColumns'][number]): Expr {
  if (column.attnum > 0) return makeVar(rtindex, state.rangeTable[rtindex - 1], column.attnum);
  return state.withKind('index expression', () => transformExpression(state, parseExpression(column.expressionText ?? '')));
}

export function analyzeUpdate(state: ParseState, node: UpdateStmt): Query {
  transformWithClause(state, node.withClause);
  const { relation, rtindex } = targetRelation(state, node.relation!, 'update');
  state.permission(relation.oid, 'update');
  const item = itemFor(state, rtindex, node.relation!.alias ? 0 : relation.oid);
  state.namespace = [{ ...item, lateralOnly: true, lateralOk: false }];
  const from = transformFromClause(state, node.fromClause);
  const fromItems = state.namespace.slice(1);
  state.namespace.forEach((visible) => {
    visible.lateralOnly = false;
    visible.lateralOk = true;
  });
  const quals = whereClause(state, node.whereClause);
  const targetList = updateTargets(state, node.targetList, relation, rtindex);
  const returning = returningList(state, node.returningList, rtindex, relation, fromItems);
  return {
    ...emptyQuery('update'), jointree: { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex }, ...from], quals }, targetList, resultRelation: rtindex, returning, ...fromState(state),
  };
}

export function analyzeDelete(state: ParseState, node: DeleteStmt): Query {
  transformWithClause(state, node.withClause);
  const { relation, rtindex } = targetRelation(state, node.relation!, 'delete from');
  state.permission(relation.oid, 'delete');
  const item = itemFor(state, rtindex, node.relation!.alias ? 0 : relation.oid);
  state.namespace = [{ ...item, lateralOnly: true, lateralOk: false }];
  const using = transformFromClause(state, node.usingClause);
  const usingItems = state.namespace.slice(1);
  state.namespace.forEach((visible) => {
    visible.lateralOnly = false;
    visible.lateralOk = true;
  });
  const quals = whereClause(state, node.whereClause);
  const returning = returningList(state, node.returningList, rtindex, relation, usingItems);
  return {
    ...emptyQuery('delete'), jointree: { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex }, ...using], quals }, resultRelation: rtindex, returning, ...fromState(state),
  };
}

function returningList(state: ParseState, nodes: readonly Node[] | undefined, rtindex: number, relation: Relation, others: ParseState['namespace']): TargetEntry[] {
  if (!nodes || nodes.length === 0) return [];
  const saved = state.namespace;
  const entry = state.rangeTable[rtindex - 1];
  state.namespace = [itemFor(state, rtindex, entry.aliased ? 0 : relation.oid), ...others];
  state.permission(relation.oid, 'select');
  const list = resolveTargetUnknowns(state, transformTargetList(state, nodes, 'returning'));
  state.namespace = saved;
  return list;
}

/** SET clauses: single columns, row assignments, DEFAULT. */
function updateTargets(state: ParseState, nodes: readonly Node[] | undefined, relation: Relation, rtindex: number): TargetEntry[] {
  const assigned = new Map<number, { expr: Expr; indirection: boolean }>();
  const rowSources = new Map<unknown, Expr[]>();
  const entry = state.rangeTable[rtindex - 1];
  let lastMulti: Expr[] | null = null;
  for (const node of nodes ?? []) {
    const target = (node as { ResTarget: ResTarget }).ResTarget;
    const name = target.name ?? '';
    const location = target.location ?? -1;
    const attribute = relation.attributes.find((a) => a.attname === name && !a.attisdropped);
    if (!attribute) throw state.error('42703', `column "${name}" of relation "${relation.relname}" does not exist`, location, systemHint(name, entry.name));
    const multi = (target.val as { MultiAssignRef?: { source?: Node; colno?: number; ncolumns?: number } }).MultiAssignRef;
    let value: Expr;
    if (multi) {
      if ((multi.colno ?? 1) === 1) lastMulti = rowAssignment(state, multi.source as Node, multi.ncolumns ?? 1, rowSources);
      value = lastMulti![(multi.colno ?? 1) - 1];
    } else {
      value = state.withKind('update source', () => transformExpression(state, target.val as Node));
    }
    const before = assigned.get(attribute.attnum);
    const indirection = target.indirection && target.indirection.length > 0;
    if (before && !(before.indirection && indirection)) throw state.error('42601', `multiple assignments to same column "${name}"`, -1);
    const current = before?.expr ?? makeVar(rtindex, entry, attribute.attnum);
    let expr = assignToColumn(state, value, relation, attribute, target.indirection, location, current);
    if (expr.kind === 'SetToDefault') {
      if (attribute.attgenerated !== '') continue;
      expr = defaultOrNull(state, relation, attribute);
    } else {
      if (attribute.attgenerated !== '') {
        throw state.error('428C9', `column "${name}" can only be updated to DEFAULT`, -1, { detail: `Column "${name}" is a generated column.` });
      }
      if (attribute.attidentity === 'a') {
        throw state.error('428C9', `column "${name}" can only be updated to DEFAULT`, -1, { detail: `Column "${name}" is an identity column defined as GENERATED ALWAYS.` });
      }
    }
    assigned.set(attribute.attnum, { expr, indirection: indirection ?? false });
    state.permission(relation.oid, 'update', attribute.attnum);
  }
  return [...assigned].sort((a, b) => a[0] - b[0]).map(([attnum, { expr }]) => makeTargetEntry(expr, attnum, relation.attributes[attnum - 1].attname));
}

function systemHint(name: string, table: string): { hint?: string } {
  return name === table ? { hint: 'SET target columns cannot be qualified with the relation name.' } : {};
}

/** (a, b) = (x, y) | ROW(...) | (SELECT ...) */
function rowAssignment(state: ParseState, source: Node, columns: number, seen: Map<unknown, Expr[]>): Expr[] {
  const known = seen.get(source);
  if (known) return known;
  const link = (source as { SubLink?: { subLinkType?: string; subselect?: Node; location?: number } }).SubLink;
  let out: Expr[];
  if (link && link.subLinkType === 'EXPR_SUBLINK') {
    const query = state.withKind('update source', () => analyzeSubquery(state, link.subselect as Node, false));
    const live = query.targetList.filter((t) => !t.junk);
    if (live.length !== columns) throw state.error('42601', 'number of columns does not match number of values', link.location ?? -1);
    state.hasSubLinks = true;
    // one sublink that yields the row; each column selects its field
    const subLink: Expr = { kind: 'SubLink', subLinkType: 'expr', testExpr: null, operatorName: null, subquery: asRowQuery(state, query), id: 0, ...base(T.record, -1, 0, link.location ?? -1) };
    out = live.map((t, i): Expr => ({ kind: 'FieldSelect', arg: subLink, fieldNumber: i + 1, ...base(t.expr.type, t.expr.typmod, t.expr.collation, link.location ?? -1) }));
  } else {
    const row = (source as { RowExpr?: { args?: Node[]; location?: number } }).RowExpr;
    if (!row) throw state.error('0A000', 'source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression', locationOf(source));
    const args = row.args ?? [];
    if (args.length !== columns) throw state.error('42601', 'number of columns does not match number of values', row.location ?? -1);
    out = state.withKind('update source', () => args.map((arg) => transformExpression(state, arg)));
  }
  seen.set(source, out);
  return out;
}

/** The same query yielding one column: the row of its columns. */
function asRowQuery(state: ParseState, query: Query): Query {
  const wrapper = new ParseState(state.env, state);
  const live = query.targetList.filter((t) => !t.junk);
  const columns = live.map((t) => ({ name: t.name ?? '?column?', type: t.expr.type, typmod: t.expr.typmod, collation: t.expr.collation }));
  const rtindex = wrapper.addRangeTableEntry({ kind: 'subquery', name: '*SELECT*', aliased: true, columns, lateral: false, query: shiftQuery(query, 1), view: 0 });
  const entry = wrapper.rangeTable[rtindex - 1];
  const row: Expr = { kind: 'RowExpr', args: live.map((_, i) => makeVar(rtindex, entry, i + 1)), fieldNames: columns.map((c) => c.name), form: 'implicit cast', ...base(T.record) };
  return { ...emptyQuery('select'), ...fromState(wrapper), jointree: { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex }], quals: null }, targetList: [makeTargetEntry(row, 1, 'row')] };
}

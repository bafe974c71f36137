/** FROM: tables, subqueries, functions, joins, and what names they make visible. After parse_clause.c and parse_relation.c. */
import type { Alias, JoinExpr, Node, RangeFunction, RangeSubselect, RangeVar } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import type { Relation } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { analyzeSubquery, analyzeView } from './analyze.js';
import { baseType, coerceToBoolean, coerceToCommonType, coerceToSpecificType, selectCommonType, selectCommonTypmod } from './coerce.js';
import { findCte } from './cte.js';
import { transformExpression } from './expression.js';
import { functionResultColumns } from './function-call.js';
import { base, makeVar, resultCollation, makeAnd, typeCollation } from './make-nodes.js';
import { findRelation, formatType, lookupRelation, namesOf, resolveTypeName } from './names.js';
import { makeOperator } from './operator-expression.js';
import { columnName } from './target-list.js';
import type { NamespaceColumn, NamespaceItem, ParseState } from './parse-state.js';
import type { ColumnInfo, Expr, FuncExpr, JoinTreeNode, JoinType, RangeTableEntry } from './query-tree.js';
import { contains } from './tree-walk.js';

/** Transforms a FROM list; afterwards state.namespace shows all its items. */
export function transformFromClause(state: ParseState, nodes: readonly Node[] | undefined): JoinTreeNode[] {
  const out: JoinTreeNode[] = [];
  for (const node of nodes ?? []) {
    const { tree, namespace } = transformFromItem(state, node);
    checkNameConflicts(state, state.namespace, namespace);
    for (const item of namespace) {
      item.lateralOnly = true;
      item.lateralOk = true;
    }
    state.namespace = [...state.namespace, ...namespace];
    out.push(tree);
  }
  for (const item of state.namespace) {
    item.lateralOnly = false;
    item.lateralOk = true;
  }
  return out;
}

interface FromItem { readonly tree: JoinTreeNode; readonly namespace: NamespaceItem[] }

function transformFromItem(state: ParseState, node: Node): FromItem {
  if ('RangeVar' in node) return rangeVar(state, node.RangeVar as RangeVar);
  if ('RangeSubselect' in node) return rangeSubselect(state, node.RangeSubselect as RangeSubselect);
  if ('RangeFunction' in node) return rangeFunction(state, node.RangeFunction as RangeFunction);
  if ('JoinExpr' in node) return joinExpr(state, node.JoinExpr as JoinExpr);
  if ('RangeTableSample' in node) return tableSample(state, node.RangeTableSample as { relation?: Node; method?: Node[]; args?: Node[]; repeatable?: Node; location?: number });
  throw notSupported('this kind of FROM item');
}

/** An item for a range table entry, all columns visible. */
export function itemFor(state: ParseState, rtindex: number, relationOid = 0): NamespaceItem {
  const entry = state.rangeTable[rtindex - 1];
  return {
    name: entry.name, rtindex, relationOid,
    columns: entry.columns.map((column, i): NamespaceColumn => ({ ...column, expr: makeVar(rtindex, entry, i + 1) })),
    relationVisible: true, columnsVisible: true, lateralOnly: false, lateralOk: true,
  };
}

function single(state: ParseState, entry: RangeTableEntry, relationOid = 0): FromItem {
  const rtindex = state.addRangeTableEntry(entry);
  return { tree: { kind: 'rangeTableRef', rtindex }, namespace: [itemFor(state, rtindex, relationOid)] };
}

/** Column names after an alias's column list; a longer list is an error. */
export function aliasColumns(state: ParseState, columns: readonly ColumnInfo[], alias: Alias | undefined, name: string, location = -1): ColumnInfo[] {
  const given = namesOf(alias?.colnames);
  const live = columns.filter((c) => c.name !== '').length;
  if (given.length > live) throw state.error('42P10', `table "${name}" has ${live} columns available but ${given.length} columns specified`, location);
  let next = 0;
  return columns.map((column) => (column.name === '' || next >= given.length ? column : { ...column, name: given[next++] }));
}

export function relationColumns(relation: Relation): ColumnInfo[] {
  return relation.attributes.map((a) => ({ name: a.attisdropped ? '' : a.attname, type: a.atttypid, typmod: a.atttypmod, collation: a.attcollation }));
}

/** A range table entry for a relation as it is in the catalog (also one that is only being created). */
export function relationEntry(relation: Relation): RangeTableEntry {
  return { kind: 'relation', name: relation.relname, aliased: false, columns: relationColumns(relation), lateral: false, relation: relation.oid, relkind: relation.relkind, only: true, sample: null };
}

function rangeVar(state: ParseState, range: RangeVar): FromItem {
  const name = range.relname ?? '';
  if (!range.schemaname) {
    const cte = findCte(state, name);
    if (cte) {
      cte.visible.recursiveAllowed(range.location ?? -1);
      cte.visible.refCount++;
      const columns = aliasColumns(state, cte.visible.columns(), range.alias, range.alias?.aliasname ?? name, range.location);
      return single(state, {
        kind: 'cte', name: range.alias?.aliasname ?? name, aliased: range.alias !== undefined, columns, lateral: false,
        cteName: name, levelsUp: cte.levelsUp, selfReference: cte.visible.selfReference(),
      });
    }
    if (!findRelation(state.env, null, name)) {
      for (let level: ParseState | null = state; level; level = level.parent) {
        if (level.futureCtes.includes(name)) {
          throw state.error('42P01', `relation "${name}" does not exist`, range.location, {
            detail: `There is a WITH item named "${name}", but it cannot be referenced from this part of the query.`,
            hint: 'Use WITH RECURSIVE, or re-order the WITH items to remove forward references.',
          });
        }
      }
    }
  }
  const relation = lookupRelation(state.env, range);
  return relationItem(state, relation, range);
}

export function relationItem(state: ParseState, relation: Relation, range: RangeVar): FromItem {
  if (relation.relkind === 'i' || relation.relkind === 'I') {
    throw state.error('42809', `cannot open relation "${relation.relname}"`, range.location, { detail: 'This operation is not supported for indexes.' });
  }
  if (relation.relkind === 'c') throw state.error('42809', `cannot open relation "${relation.relname}"`, range.location, { detail: 'This operation is not supported for composite types.' });
  const name = range.alias?.aliasname ?? relation.relname;
  const columns = aliasColumns(state, relationColumns(relation), range.alias, name, range.location);
  const shared = { name, aliased: range.alias !== undefined, columns, lateral: false } as const;
  state.permission(relation.oid, 'select');
  if (relation.relkind === 'v') {
    const query = analyzeView(state, relation);
    return single(state, { kind: 'subquery', ...shared, query, view: relation.oid }, range.alias ? 0 : relation.oid);
  }
  return single(state, { kind: 'relation', ...shared, relation: relation.oid, relkind: relation.relkind, only: range.inh === false || range.inh === undefined, sample: null }, range.alias ? 0 : relation.oid);
}

function rangeSubselect(state: ParseState, range: RangeSubselect): FromItem {
  const saved = state.lateralActive;
  state.lateralActive = range.lateral ?? false;
  const query = state.withKind('from subselect', () => analyzeSubquery(state, range.subquery as Node, true));
  state.lateralActive = saved;
  const name = range.alias?.aliasname ?? 'unnamed_subquery';
  const columns: ColumnInfo[] = query.targetList.filter((t) => !t.junk).map((t) => ({ name: t.name ?? '?column?', type: t.expr.type, typmod: t.expr.typmod, collation: t.expr.collation }));
  const item = single(state, { kind: 'subquery', name, aliased: true, columns: aliasColumns(state, columns, range.alias, name), lateral: range.lateral ?? false, query, view: 0 });
  if (!range.alias) item.namespace[0].relationVisible = false;
  return item;
}

function rangeFunction(state: ParseState, range: RangeFunction): FromItem {
  const saved = state.lateralActive;
  state.lateralActive = true;
  const functions: Expr[] = [];
  const columnCounts: number[] = [];
  const columns: ColumnInfo[] = [];
  const entries: { call: Node; definitions: Node[]; name: string }[] = [];
  for (const wrapped of range.functions ?? []) {
    const items = (wrapped as { List: { items?: Node[] } }).List.items ?? [];
    const call = items[0];
    const definitions = (items[1] as { List?: { items?: Node[] } } | undefined)?.List?.items ?? [];
    const funcCall = (call as { FuncCall?: { funcname?: Node[]; args?: Node[]; agg_order?: Node[] } }).FuncCall;
    // unnest(a, b, ...) in FROM is ROWS FROM (unnest(a), unnest(b), ...)
    if (funcCall && namesOf(funcCall.funcname).at(-1) === 'unnest' && (funcCall.args?.length ?? 0) > 1 && definitions.length === 0) {
      for (const arg of funcCall.args ?? []) {
        const one = { FuncCall: { ...funcCall, funcname: [{ String: { sval: 'pg_catalog' } }, { String: { sval: 'unnest' } }], args: [arg] } } as Node;
        entries.push({ call: one, definitions: [], name: 'unnest' });
      }
    } else entries.push({ call, definitions, name: columnName(call) });
  }
  const columnDefinitions = range.coldeflist ?? [];
  const rowsFrom = (range.is_rowsfrom ?? false) || entries.length > 1;
  for (const { call, definitions, name } of entries) {
    const expr = state.withKind('from function', () => transformExpression(state, call));
    const defs = definitions.length > 0 ? definitions : entries.length === 1 ? columnDefinitions : [];
    const own = functionColumns(state, expr, name, defs, entries.length === 1 && !rowsFrom ? range.alias?.aliasname : undefined);
    const named = defs.length > 0 && expr.kind === 'FuncExpr';
    functions.push(named ? { ...expr, columnDefinitions: own.map((column) => ({ name: column.name, typeOid: column.type, typmod: column.typmod })) } : expr);
    columnCounts.push(own.length);
    columns.push(...own);
  }
  state.lateralActive = saved;
  const ordinality = range.ordinality ?? false;
  if (ordinality) columns.push({ name: 'ordinality', type: T.int8, typmod: -1, collation: 0 });
  const name = range.alias?.aliasname ?? entries[0].name;
  const lateral = (range.lateral ?? false) || functions.some((f) => contains(f, (n) => n.kind === 'Var' && n.levelsUp === 0));
  return single(state, { kind: 'function', name, aliased: range.alias !== undefined, columns: aliasColumns(state, columns, range.alias, name), lateral, functions, columnCounts, ordinality });
}

/** Columns of one function in FROM. A scalar function's column is called like the alias, or the function. */
function functionColumns(state: ParseState, expr: Expr, name: string, definitions: readonly Node[], alias: string | undefined): ColumnInfo[] {
  const { catalog } = state;
  if (definitions.length > 0) {
    if (expr.type !== T.record) throw state.error('42601', 'a column definition list is only allowed for functions returning "record"', expr.location);
    return definitions.map((node) => {
      const definition = (node as { ColumnDef: { colname?: string; typeName?: never } }).ColumnDef;
      const { type, typmod } = resolveTypeName(state.env, definition.typeName!);
      return { name: definition.colname ?? '', type: type.oid, typmod, collation: type.typcollation };
    });
  }
  if (expr.kind === 'FuncExpr') {
    const outs = functionResultColumns(state, expr as FuncExpr);
    if (outs) return outs.map((out) => ({ name: out.name, type: out.type, typmod: -1, collation: typeCollation(catalog, out.type) }));
    // one OUT parameter names the column
    const proc = catalog.proc(expr.func);
    const outIndex = proc?.proargmodes?.findIndex((mode) => mode === 'o' || mode === 't' || mode === 'b') ?? -1;
    const outName = outIndex >= 0 ? proc?.proargnames?.[outIndex] : undefined;
    if (expr.type === T.record) {
      throw state.error('42601', 'a column definition list is required for functions returning "record"', expr.location);
    }
    return [{ name: alias ?? (outName || name), type: expr.type, typmod: expr.typmod, collation: expr.collation }];
  }
  if (catalog.type(baseType(catalog, expr.type))?.typtype === 'p' && expr.type !== T.void) throw state.error('42804', `function "${name}" in FROM has unsupported return type ${formatType(catalog, expr.type)}`, expr.location);
  return [{ name: alias ?? name, type: expr.type, typmod: expr.typmod, collation: expr.collation }];
}

function tableSample(state: ParseState, sample: { relation?: Node; method?: Node[]; args?: Node[]; repeatable?: Node; location?: number }): FromItem {
  const item = transformFromItem(state, sample.relation as Node);
  const index = item.namespace[0].rtindex - 1;
  const entry = state.rangeTable[index];
  if (entry.kind !== 'relation') throw state.error('42809', 'TABLESAMPLE clause can only be applied to tables and materialized views', sample.location ?? -1);
  const method = namesOf(sample.method).at(-1) ?? '';
  if (method !== 'bernoulli' && method !== 'system') throw state.error('42704', `tablesample method ${method} does not exist`, sample.location ?? -1);
  const args = (sample.args ?? []).map((arg) => coerceToSpecificType(state, transformExpression(state, arg), T.float4, 'TABLESAMPLE'));
  if (args.length !== 1) throw state.error('2202H', `tablesample method ${method} requires 1 argument, not ${args.length}`, sample.location ?? -1);
  const repeatable = sample.repeatable ? coerceToSpecificType(state, transformExpression(state, sample.repeatable), T.float8, 'REPEATABLE') : null;
  state.rangeTable[index] = { ...entry, sample: { method, args, repeatable } };
  return item;
}

const JOIN_TYPES: Readonly<Record<string, JoinType>> = { JOIN_INNER: 'inner', JOIN_LEFT: 'left', JOIN_RIGHT: 'right', JOIN_FULL: 'full' };

function joinExpr(state: ParseState, join: JoinExpr): FromItem {
  const joinType = JOIN_TYPES[join.jointype ?? 'JOIN_INNER'];
  const left = transformFromItem(state, join.larg as Node);
  // the right side may refer laterally to the left one, but not through RIGHT and FULL joins
  const lateralOk = joinType === 'inner' || joinType === 'left';
  for (const item of left.namespace) {
    item.lateralOnly = true;
    item.lateralOk = lateralOk;
  }
  const saved = state.namespace;
  state.namespace = [...saved, ...left.namespace];
  const right = transformFromItem(state, join.rarg as Node);
  state.namespace = saved;
  checkNameConflicts(state, left.namespace, right.namespace);

  const leftColumns = visibleColumns(left.namespace);
  const rightColumns = visibleColumns(right.namespace);
  let using = namesOf(join.usingClause);
  if (join.isNatural) {
    const rightNames = new Set(rightColumns.map((c) => c.name));
    using = leftColumns.map((c) => c.name).filter((name) => name !== '' && rightNames.has(name));
  }

  let quals: Expr | null = null;
  let columns: NamespaceColumn[];
  let merged = 0;
  const mergedNames: string[] = [];
  if (using.length > 0 || join.usingClause) {
    const comparisons: Expr[] = [];
    const mergedColumns: NamespaceColumn[] = [];
    for (const name of using) {
      if (mergedNames.includes(name)) throw state.error('42701', `column name "${name}" appears more than once in USING clause`);
      mergedNames.push(name);
      const l = uniqueColumn(state, leftColumns, name, 'left');
      const r = uniqueColumn(state, rightColumns, name, 'right');
      notePair(state, l.expr, r.expr);
      comparisons.push(coerceToBoolean(state, makeOperator(state, ['='], l.expr, r.expr, -1), 'JOIN/USING'));
      mergedColumns.push(mergeColumns(state, joinType, name, l, r));
    }
    merged = mergedColumns.length;
    quals = makeAnd(comparisons);
    columns = [...mergedColumns, ...leftColumns.filter((c) => !mergedNames.includes(c.name)), ...rightColumns.filter((c) => !mergedNames.includes(c.name))];
  } else {
    columns = [...leftColumns, ...rightColumns];
  }
  if (join.quals) {
    const visible = [...left.namespace, ...right.namespace];
    const flags = visible.map((item) => [item.lateralOnly, item.lateralOk] as const);
    visible.forEach((item) => {
      item.lateralOnly = false;
      item.lateralOk = true;
    });
    const outer = state.namespace;
    state.namespace = [...outer.filter((item) => item.lateralOnly), ...visible];
    quals = state.withKind('join on', () => coerceToBoolean(state, transformExpression(state, join.quals as Node), 'JOIN/ON'));
    state.namespace = outer;
    visible.forEach((item, i) => ([item.lateralOnly, item.lateralOk] = flags[i]));
  }

  const alias = join.alias;
  if (alias) columns = aliasColumns(state, columns, alias, alias.aliasname ?? '') as NamespaceColumn[];
  const rtindex = state.addRangeTableEntry({
    kind: 'join', name: alias?.aliasname ?? 'unnamed_join', aliased: alias !== undefined, lateral: false, joinType, mergedColumns: merged,
    columns: columns.map(({ name, type, typmod, collation }) => ({ name, type, typmod, collation })), aliasVars: columns.map((c) => c.expr),
  });

  const namespace: NamespaceItem[] = [];
  const usingAlias = join.join_using_alias;
  if (alias) {
    namespace.push({ name: alias.aliasname ?? '', rtindex, relationOid: 0, columns, relationVisible: true, columnsVisible: true, lateralOnly: false, lateralOk: true });
  } else {
    // inner items stay visible by qualified name; unqualified columns come from the join
    for (const item of [...left.namespace, ...right.namespace]) namespace.push({ ...item, columnsVisible: false, lateralOnly: false, lateralOk: true });
    if (usingAlias) {
      namespace.push({ name: usingAlias.aliasname ?? '', rtindex: 0, relationOid: 0, columns: columns.slice(0, merged), relationVisible: true, columnsVisible: false, lateralOnly: false, lateralOk: true });
    }
    namespace.push({ name: '', rtindex, relationOid: 0, columns, relationVisible: false, columnsVisible: true, lateralOnly: false, lateralOk: true });
  }
  return { tree: { kind: 'joinExpr', joinType, left: left.tree, right: right.tree, quals, rtindex }, namespace };
}

function visibleColumns(namespace: readonly NamespaceItem[]): NamespaceColumn[] {
  return namespace.filter((item) => item.columnsVisible).flatMap((item) => item.columns.filter((c) => c.name !== ''));
}

function uniqueColumn(state: ParseState, columns: readonly NamespaceColumn[], name: string, side: 'left' | 'right'): NamespaceColumn {
  const found = columns.filter((column) => column.name === name);
  if (found.length === 0) throw state.error('42703', `column "${name}" specified in USING clause does not exist in ${side} table`);
  if (found.length > 1) throw state.error('42702', `common column name "${name}" appears more than once in ${side} table`);
  return found[0];
}

function notePair(state: ParseState, ...exprs: Expr[]): void {
  for (const expr of exprs) {
    if (expr.kind !== 'Var') continue;
    const entry = state.rangeTable[expr.varno - 1];
    if (entry.kind === 'relation') state.permission(entry.relation, 'select', expr.attno);
  }
}

/** The one column a USING name stands for (buildMergedJoinVar). */
function mergeColumns(state: ParseState, joinType: JoinType, name: string, left: NamespaceColumn, right: NamespaceColumn): NamespaceColumn {
  const pair = [left.expr, right.expr];
  const type = selectCommonType(state, pair, 'JOIN/USING');
  const typmod = selectCommonTypmod(pair, type);
  const l = coerceToCommonType(state, left.expr, type, 'JOIN/USING');
  const r = coerceToCommonType(state, right.expr, type, 'JOIN/USING');
  const collation = resultCollation(state.catalog, type, [l, r]);
  let expr: Expr;
  if (joinType === 'inner') expr = l.kind === 'Var' ? l : r.kind === 'Var' ? r : l;
  else if (joinType === 'left') expr = l;
  else if (joinType === 'right') expr = r;
  else expr = { kind: 'CoalesceExpr', args: [l, r], ...base(type, typmod, collation) };
  return { name, type, typmod, collation, expr };
}

/** Two items of one FROM may not have the same name, unless both are different relations without alias. */
function checkNameConflicts(state: ParseState, left: readonly NamespaceItem[], right: readonly NamespaceItem[]): void {
  for (const a of left) {
    if (!a.relationVisible) continue;
    for (const b of right) {
      if (!b.relationVisible || a.name !== b.name) continue;
      if (a.relationOid !== 0 && b.relationOid !== 0 && a.relationOid !== b.relationOid) continue;
      throw state.error('42712', `table name "${a.name}" specified more than once`);
    }
  }
}

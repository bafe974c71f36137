/** UNION, INTERSECT, EXCEPT. After transformSetOperationStmt (analyze.c). Each leaf is a subquery in the range table. */
import type { Node, SelectStmt } from '@pgsql/types';
import type { Oid } from '../catalog/catalog.js';
import { analyzeIn, emptyQuery, fromState, limits, withLocking } from './analyze.js';
import { canCoerceTypes, coerceToCommonType, selectCommonType, selectCommonTypmod } from './coerce.js';
import { outputColumns, recursiveOwner, transformWithClause } from './cte.js';
import { locationOf } from './expression.js';
import { itemFor } from './from-clause.js';
import { base, makeTargetEntry, makeVar, resultCollation } from './make-nodes.js';
import { formatType } from './names.js';
import { sortOperators } from './overloads.js';
import { ParseState } from './parse-state.js';
import type { ColumnInfo, Expr, Query, SetOperationNode, SortGroupClause, TargetEntry } from './query-tree.js';
import { shiftQuery } from './shift-levels.js';
import { transformSortClause } from './sort-clause.js';

interface Branch {
  readonly node: SetOperationNode;
  /** Output expressions for type resolution: literals stay visible so that unknowns can be resolved. */
  readonly columns: readonly Expr[];
  readonly names: readonly string[];
  /** Its parse tree, to analyze it again as a leaf when its types must change. */
  readonly source: SelectStmt;
}

const OPS = { SETOP_UNION: 'union', SETOP_INTERSECT: 'intersect', SETOP_EXCEPT: 'except' } as const;

export function analyzeSetOperation(state: ParseState, node: SelectStmt): Query {
  transformWithClause(state, node.withClause);
  const { withClause: _with, sortClause: sortNodes, limitCount: _lc, limitOffset: _lo, lockingClause: locking, ...bare } = node;
  const top = branch(state, bare as SelectStmt, true);
  if (top.node.kind !== 'setOperation') throw state.error('XX000', 'set operation expected');
  const leftmost = leftmostLeaf(top.node);
  // the output refers to the leftmost leaf, with the types of the whole
  const leaf = state.rangeTable[leftmost - 1]!;
  const sources = leaf.kind === 'subquery' ? leaf.query.targetList : [];
  let targetList: TargetEntry[] = top.node.columns.map((column, i) => {
    const expr: Expr = { kind: 'Var', varno: leftmost, attno: i + 1, levelsUp: 0, ...base(column.type, column.typmod, column.collation, sources[i]?.expr.location ?? -1) };
    return makeTargetEntry(expr, i + 1, top.names[i]);
  });
  // ORDER BY may name output columns only
  const sortState = new ParseState(state.env, state.parent);
  sortState.visibleCtes = state.visibleCtes;
  sortState.rangeTable.push(...state.rangeTable);
  sortState.rangeTable[leftmost - 1] = { ...state.rangeTable[leftmost - 1], columns: top.node.columns.map((c, i) => ({ ...c, name: top.names[i] })) };
  sortState.namespace = [{ ...itemFor(sortState, leftmost), relationVisible: false }];
  const width = targetList.length;
  const sortClause = transformSortClause(sortState, sortNodes, targetList, 'set operation');
  if (targetList.length > width) {
    throw state.error('0A000', 'invalid UNION/INTERSECT/EXCEPT ORDER BY clause', locationOf(targetListSource(sortNodes, targetList.length - width)), {
      detail: 'Only result column names can be used, not expressions or functions.',
      hint: 'Add the expression/function to every SELECT, or move the UNION into a FROM clause.',
    });
  }
  const bounds = limits(state, node, sortClause);
  targetList = targetList.map((t) => t);
  const query: Query = { ...emptyQuery('select'), jointree: { kind: 'fromExpr', from: [], quals: null }, targetList, setOperations: top.node, sortClause, ...bounds, ...fromState(state) };
  return withLocking(state, query, { lockingClause: locking } as SelectStmt);
}

function targetListSource(nodes: readonly Node[] | undefined, _extra: number): Node {
  return ((nodes?.[0] as { SortBy?: { node?: Node } } | undefined)?.SortBy?.node ?? { A_Const: {} }) as Node;
}

function leftmostLeaf(node: SetOperationNode): number {
  return node.kind === 'rangeTableRef' ? node.rtindex : leftmostLeaf(node.left);
}

function isLeaf(node: SelectStmt): boolean {
  return !node.op || node.op === 'SETOP_NONE' || (node.sortClause?.length ?? 0) > 0 || node.limitCount !== undefined || node.limitOffset !== undefined || (node.lockingClause?.length ?? 0) > 0 || node.withClause !== undefined;
}

function branch(state: ParseState, node: SelectStmt, isTop: boolean): Branch {
  if (isLeaf(node)) return leaf(state, node);
  const op = OPS[node.op as keyof typeof OPS];
  const context = op === 'union' ? 'UNION' : op === 'intersect' ? 'INTERSECT' : 'EXCEPT';
  const left = branch(state, node.larg as SelectStmt, false);
  const owner = isTop ? recursiveOwner(state) : undefined;
  if (owner) {
    owner.inNonRecursiveTerm = false;
    owner.setColumns(left.columns.map((expr, i) => ({ name: left.names[i], type: expr.type === 705 ? 25 : expr.type, typmod: expr.typmod, collation: expr.collation })));
  }
  const right = branch(state, node.rarg as SelectStmt, false);
  if (left.columns.length !== right.columns.length) {
    throw state.error('42601', `each ${context} query must have the same number of columns`, right.columns[0]?.location ?? -1);
  }
  const columns: ColumnInfo[] = [];
  const common: Expr[] = [];
  left.columns.forEach((l, i) => {
    const r = right.columns[i];
    const type = selectCommonType(state, [l, r], context);
    for (const side of [l, r]) {
      if (side.type !== type && !canCoerceTypes(state.catalog, [side.type], [type], 'implicit'))
        throw state.error('42846', `${context} could not convert type ${formatType(state.catalog, side.type)} to ${formatType(state.catalog, type)}`, side.location);
    }
    const typmod = selectCommonTypmod([l, r], type);
    const collation = resultCollation(state.catalog, type, [l, r]);
    columns.push({ name: left.names[i], type, typmod, collation });
    common.push({ kind: 'Const', value: null, ...base(type, typmod, collation, l.location) });
  });
  if (owner) {
    columns.forEach((column, i) => {
      const before = left.columns[i].type === 705 ? 25 : left.columns[i].type;
      if (before !== column.type) {
        throw state.error('42804', `recursive query "${owner.name}" column ${i + 1} has type ${formatType(state.catalog, before)} in non-recursive term but type ${formatType(state.catalog, column.type)} overall`, left.columns[i].location, {
          hint: 'Cast the output of the non-recursive term to the correct type.',
        });
      }
    });
  }
  const types = columns.map((c) => c.type);
  const leftNode = coerceBranch(state, left, types, columns, context);
  const rightNode = coerceBranch(state, right, types, columns, context);
  const groupClauses: SortGroupClause[] = node.all && op === 'union' ? [] : columns.map((column, i) => {
    const operators = sortOperators(state.catalog, column.type);
    if (!operators) throw state.error('42883', `could not identify an equality operator for type ${formatType(state.catalog, column.type)}`, left.columns[i].location);
    return { ref: i + 1, equalityOperator: operators.equals, sortOperator: operators.lessThan, descending: false, nullsFirst: false, hashable: operators.hashable };
  });
  return { node: { kind: 'setOperation', op, all: node.all ?? false, left: leftNode, right: rightNode, columns, groupClauses }, columns: common, names: left.names, source: node };
}

function leaf(state: ParseState, node: SelectStmt): Branch {
  const inner = new ParseState(state.env, state);
  inner.resolveUnknowns = false;
  const query = analyzeIn(inner, { SelectStmt: node } as Node);
  const list = query.targetList.filter((t) => !t.junk);
  const rtindex = addLeaf(state, query);
  return { node: { kind: 'rangeTableRef', rtindex }, columns: list.map((t) => t.expr), names: list.map((t) => t.name ?? '?column?'), source: node };
}

function addLeaf(state: ParseState, query: Query): number {
  return state.addRangeTableEntry({ kind: 'subquery', name: `*SELECT* ${state.rangeTable.length + 1}`, aliased: true, columns: outputColumns(query), lateral: false, query, view: 0 });
}

/** Makes a branch produce exactly `types`. */
function coerceBranch(state: ParseState, side: Branch, types: readonly Oid[], columns: readonly ColumnInfo[], context: string): SetOperationNode {
  if (side.node.kind === 'setOperation') {
    if (side.node.columns.every((c, i) => c.type === types[i])) return side.node;
    // analyzed again as a query of its own, whose output can be converted
    const again = leaf(state, side.source);
    return coerceBranch(state, again, types, columns, context);
  }
  const { rtindex } = side.node;
  const entry = state.rangeTable[rtindex - 1];
  if (entry.kind !== 'subquery') return side.node;
  const live = entry.query.targetList.filter((t) => !t.junk);
  if (live.every((t, i) => t.expr.type === types[i])) return side.node;
  let query = entry.query;
  if (isSimple(query)) {
    const map = new Map(live.map((t, i) => [t, types[i]]));
    query = { ...query, targetList: query.targetList.map((t) => (map.has(t) ? { ...t, expr: coerceToCommonType(state, t.expr, map.get(t)!, context) } : t)) };
  } else {
    const wrapper = new ParseState(state.env, state);
    const inner = addLeaf(wrapper, query);
    const innerEntry = wrapper.rangeTable[inner - 1];
    query = {
      ...emptyQuery('select'), ...fromState(wrapper), jointree: { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex: inner }], quals: null },
      targetList: live.map((t, i) => makeTargetEntry(coerceToCommonType(state, makeVar(inner, innerEntry, i + 1), types[i], context), i + 1, t.name)),
    };
    query = shiftedDown(query);
  }
  state.rangeTable[rtindex - 1] = { ...entry, query, columns: outputColumns(query) };
  return side.node;
}

/** Wrapping puts the old query one level further down; outer references in it must follow. */
function shiftedDown(query: Query): Query {
  const entry = query.rangeTable[0];
  if (entry.kind !== 'subquery') return query;
  return { ...query, rangeTable: [{ ...entry, query: shiftQuery(entry.query, 1) }] };
}

function isSimple(query: Query): boolean {
  return !query.setOperations && query.sortClause.length === 0 && query.distinctClause.length === 0 && query.groupClause.length === 0 && query.groupingSets === null;
}


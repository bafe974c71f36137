/**
 * Brings an analyzed query into the planner's form: one global range table, Vars with absolute varno,
 * join alias Vars replaced by what they stand for, WITH references resolved, sublinks numbered.
 */
import type { Expr, FromExpr, JoinTreeNode, Query, RangeTableEntry, SetOperationNode, TargetEntry } from '../analyzer/query-tree.js';
import { mapChildren, walkQuery } from '../analyzer/tree-walk.js';
import { functionOf } from './logical.js';
import type { ParamBinding } from './plan-node.js';
import type { CteInfo, Planner } from './planner-state.js';

interface Level {
  readonly offset: number;
  readonly raw: readonly RangeTableEntry[];
  readonly ctes: Map<string, CteInfo>;
  /** Bindings of the sublink that is being descended into from this level. */
  bindings: ParamBinding[] | null;
}

export function globalise(query: Query, planner: Planner, outer: readonly Level[] = []): Query {
  const level: Level = { offset: planner.rangeTable.length, raw: query.rangeTable, ctes: new Map(), bindings: null };
  const levels = [...outer, level];
  // Placeholders first: nested queries take numbers after them.
  for (const entry of query.rangeTable) planner.rangeTable.push(entry);
  const map = (expr: Expr): Expr => globaliseExpr(expr, planner, levels);
  const optional = (expr: Expr | null): Expr | null => expr && map(expr);
  const targets = (list: readonly TargetEntry[]): TargetEntry[] => list.map((entry) => ({ ...entry, expr: map(entry.expr) }));
  for (const cte of query.ctes) {
    const info: CteInfo = { id: planner.newCteId(), cte, query: cte.query, resolved: false, copy: () => globalise(cte.query, planner, levels), planned: null, rows: 1 };
    level.ctes.set(cte.name, info);
    planner.cteInfos.set(cte, info);
    // Modifying queries run whether anything reads them or not.
    if (cte.query.commandType !== 'select') resolve(info);
  }
  query.rangeTable.forEach((entry, i) => {
    const varno = level.offset + i + 1;
    planner.rangeTable[varno - 1] = globaliseEntry(entry, varno, planner, levels, map);
  });
  return {
    ...query,
    rangeTable: [],
    jointree: treeOf(query.jointree, level.offset, map) as FromExpr,
    targetList: targets(query.targetList),
    resultRelation: query.resultRelation === 0 ? 0 : query.resultRelation + level.offset,
    having: optional(query.having),
    limitOffset: optional(query.limitOffset),
    limitCount: optional(query.limitCount),
    windowClause: query.windowClause.map((clause) => ({ ...clause, frame: { ...clause.frame, startOffset: optional(clause.frame.startOffset), endOffset: optional(clause.frame.endOffset) } })),
    rowMarks: query.rowMarks.map((mark) => ({ ...mark, rtindex: mark.rtindex + level.offset })),
    setOperations: query.setOperations && setOperation(query.setOperations, level.offset),
    returning: targets(query.returning),
    onConflict: query.onConflict && {
      ...query.onConflict, set: targets(query.onConflict.set), where: optional(query.onConflict.where), excludedRtindex: query.onConflict.excludedRtindex + level.offset,
    },
    mergeActions: query.mergeActions.map((action) => ({ ...action, condition: optional(action.condition), targetList: targets(action.targetList) })),
    ctes: query.ctes,
  };
}

function resolve(info: CteInfo): void {
  if (info.resolved) return;
  info.resolved = true;
  info.query = info.copy();
}

/** WITH queries that are read once, or said to be NOT MATERIALIZED, take the place of their reference. */
function mayInline({ cte }: CteInfo, planner: Planner): boolean {
  if (cte.recursive || cte.materialized === 'always' || (cte.materialized === 'default' && cte.refCount !== 1)) return false;
  if (cte.query.commandType !== 'select' || cte.query.rowMarks.length > 0) return false;
  let plain = true;
  walkQuery(cte.query, (expr) => {
    const func = functionOf(expr, planner.catalog);
    if (expr.kind === 'NextValueExpr' || (func !== 0 && planner.catalog.proc(func)?.provolatile === 'v')) plain = false;
  });
  return plain;
}

function globaliseEntry(entry: RangeTableEntry, varno: number, planner: Planner, levels: readonly Level[], map: (expr: Expr) => Expr): RangeTableEntry {
  switch (entry.kind) {
    case 'subquery':
      return { ...entry, query: globalise(entry.query, planner, levels) };
    case 'function':
      return { ...entry, functions: entry.functions.map(map) };
    case 'values':
      return { ...entry, rows: entry.rows.map((row) => row.map(map)) };
    case 'cte': {
      const owner = levels[levels.length - 1 - entry.levelsUp];
      const info = owner?.ctes.get(entry.cteName);
      if (!info) throw new Error(`WITH query ${entry.cteName} not found`);
      if (!entry.selfReference && mayInline(info, planner)) return { kind: 'subquery', name: entry.name, aliased: entry.aliased, columns: entry.columns, lateral: false, view: 0, query: info.copy() };
      planner.cteOf.set(varno, info);
      if (!entry.selfReference) resolve(info);
      return entry;
    }
    case 'relation':
      return entry.sample ? { ...entry, sample: { ...entry.sample, args: entry.sample.args.map(map), repeatable: entry.sample.repeatable && map(entry.sample.repeatable) } } : entry;
    case 'join': case 'result':
      return entry;
  }
}

function treeOf(node: JoinTreeNode, offset: number, map: (expr: Expr) => Expr): JoinTreeNode {
  switch (node.kind) {
    case 'rangeTableRef':
      return { kind: 'rangeTableRef', rtindex: node.rtindex + offset };
    case 'joinExpr':
      return { ...node, left: treeOf(node.left, offset, map), right: treeOf(node.right, offset, map), quals: node.quals && map(node.quals), rtindex: node.rtindex === 0 ? 0 : node.rtindex + offset };
    case 'fromExpr':
      return { kind: 'fromExpr', from: node.from.map((item) => treeOf(item, offset, map)), quals: node.quals && map(node.quals) };
  }
}

function setOperation(node: SetOperationNode, offset: number): SetOperationNode {
  if (node.kind === 'rangeTableRef') return { kind: 'rangeTableRef', rtindex: node.rtindex + offset };
  return { ...node, left: setOperation(node.left, offset), right: setOperation(node.right, offset) };
}

function globaliseExpr(expr: Expr, planner: Planner, levels: readonly Level[]): Expr {
  switch (expr.kind) {
    case 'Var': {
      const at = levels.length - 1 - expr.levelsUp;
      const level = levels[at]!;
      const entry = level.raw[expr.varno - 1]!;
      if (entry.kind === 'join') {
        const within = levels.slice(0, at + 1);
        if (expr.attno > 0) return globaliseExpr(entry.aliasVars[expr.attno - 1]!, planner, within);
        return {
          kind: 'RowExpr', args: entry.aliasVars.map((alias) => globaliseExpr(alias, planner, within)), fieldNames: entry.columns.map((column) => column.name), form: 'implicit cast',
          type: expr.type, typmod: expr.typmod, collation: expr.collation, location: expr.location,
        };
      }
      return { ...expr, varno: level.offset + expr.varno, levelsUp: 0 };
    }
    case 'CurrentOfExpr':
      return { ...expr, varno: expr.varno + levels[levels.length - 1]!.offset };
    case 'SubLink': {
      const level = levels[levels.length - 1]!;
      const id = planner.newSublinkId();
      const saved = level.bindings;
      const bindings: ParamBinding[] = [];
      level.bindings = bindings;
      const subquery = globalise(expr.subquery, planner, levels);
      level.bindings = saved;
      if (bindings.length > 0) planner.linkBindings.set(id, bindings);
      return { ...expr, id, subquery, testExpr: expr.testExpr && globaliseExpr(expr.testExpr, planner, levels) };
    }
    case 'Aggref': case 'GroupingFunc': {
      if (expr.levelsUp === 0) return mapChildren(expr, (child) => globaliseExpr(child, planner, levels));
      const at = levels.length - 1 - expr.levelsUp;
      // Arguments are at the inner level numbering: their Vars' levelsUp already reach the owner.
      const own = { ...mapChildren(expr, (child) => globaliseExpr(child, planner, levels)), levelsUp: 0 } as Expr;
      const param = planner.newParam(own);
      levels[at]!.bindings?.push({ id: param.id, expr: own });
      return param;
    }
    default:
      return mapChildren(expr, (child) => globaliseExpr(child, planner, levels));
  }
}

/** Adds to the levelsUp of references that leave a query or expression (IncrementVarSublevelsUp). */
import type { CommonTableExpr, Expr, JoinTreeNode, Query, RangeTableEntry, TargetEntry } from './query-tree.js';
import { mapChildren } from './tree-walk.js';

/** References out of `expr` at `depth` levels or more above it move `by` levels. */
export function shiftExpr(expr: Expr, by: number, depth = 0): Expr {
  if ((expr.kind === 'Var' || expr.kind === 'Aggref' || expr.kind === 'GroupingFunc') && expr.levelsUp >= depth) {
    const moved = { ...expr, levelsUp: expr.levelsUp + by } as Expr;
    return expr.kind === 'Var' ? moved : mapChildren(moved, (child) => shiftExpr(child, by, depth));
  }
  if (expr.kind === 'SubLink') {
    const mapped = mapChildren(expr, (child) => shiftExpr(child, by, depth)) as Extract<Expr, { kind: 'SubLink' }>;
    return { ...mapped, subquery: shiftQuery(expr.subquery, by, depth + 1) };
  }
  return mapChildren(expr, (child) => shiftExpr(child, by, depth));
}

/** The same for a whole query; `depth` 1 means references that leave the query. */
export function shiftQuery(query: Query, by: number, depth = 1): Query {
  const one = (expr: Expr): Expr => shiftExpr(expr, by, depth);
  const maybe = (expr: Expr | null): Expr | null => expr && one(expr);
  const targets = (list: readonly TargetEntry[]): TargetEntry[] => list.map((t) => ({ ...t, expr: one(t.expr) }));
  const joins = <N extends JoinTreeNode>(node: N): N => {
    if (node.kind === 'joinExpr') return { ...node, left: joins(node.left), right: joins(node.right), quals: maybe(node.quals) };
    if (node.kind === 'fromExpr') return { ...node, from: node.from.map(joins), quals: maybe(node.quals) };
    return node;
  };
  const entry = (rte: RangeTableEntry): RangeTableEntry => {
    switch (rte.kind) {
      case 'subquery': return { ...rte, query: shiftQuery(rte.query, by, depth + 1) };
      case 'function': return { ...rte, functions: rte.functions.map(one) };
      case 'values': return { ...rte, rows: rte.rows.map((row) => row.map(one)) };
      case 'join': return { ...rte, aliasVars: rte.aliasVars.map(one) };
      case 'cte': return rte.levelsUp >= depth ? { ...rte, levelsUp: rte.levelsUp + by } : rte;
      default: return rte;
    }
  };
  const cte = (item: CommonTableExpr): CommonTableExpr => ({ ...item, query: shiftQuery(item.query, by, depth + 1) });
  return {
    ...query, rangeTable: query.rangeTable.map(entry), jointree: joins(query.jointree), targetList: targets(query.targetList), having: maybe(query.having),
    limitOffset: maybe(query.limitOffset), limitCount: maybe(query.limitCount), returning: targets(query.returning), ctes: query.ctes.map(cte),
    windowClause: query.windowClause.map((w) => ({ ...w, frame: { ...w.frame, startOffset: maybe(w.frame.startOffset), endOffset: maybe(w.frame.endOffset) } })),
  };
}

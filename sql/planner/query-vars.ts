/** Which range table entries queries and expressions use; mapping expressions through nested queries. */
import type { Expr, JoinTreeNode, Query, RangeTableEntry, SetOperationNode, TargetEntry, Var } from '../analyzer/query-tree.js';
import { childrenOf, mapChildren } from '../analyzer/tree-walk.js';
import type { Planner } from './planner-state.js';

/** Range table entries of a query itself. */
export function ownVarnos(query: Query): number[] {
  const out: number[] = [];
  const visit = (node: JoinTreeNode): void => {
    if (node.kind === 'rangeTableRef') out.push(node.rtindex);
    else if (node.kind === 'joinExpr') {
      visit(node.left);
      visit(node.right);
      if (node.rtindex) out.push(node.rtindex);
    } else node.from.forEach(visit);
  };
  visit(query.jointree);
  const sets = (node: SetOperationNode): void => {
    if (node.kind === 'rangeTableRef') out.push(node.rtindex);
    else {
      sets(node.left);
      sets(node.right);
    }
  };
  if (query.setOperations) sets(query.setOperations);
  if (query.resultRelation) out.push(query.resultRelation);
  if (query.onConflict) out.push(query.onConflict.excludedRtindex);
  return out;
}

function entryExpressions(entry: RangeTableEntry): readonly Expr[] {
  if (entry.kind === 'function') return entry.functions;
  if (entry.kind === 'values') return entry.rows.flat();
  return [];
}

/** Expressions standing directly in a query of the planner's form, its range table entries included. */
function directExpressions(query: Query, planner: Planner): Expr[] {
  const out: Expr[] = [];
  const push = (expr: Expr | null): void => void (expr && out.push(expr));
  query.targetList.forEach((t) => push(t.expr));
  query.returning.forEach((t) => push(t.expr));
  const visit = (node: JoinTreeNode): void => {
    if (node.kind === 'joinExpr') {
      visit(node.left);
      visit(node.right);
      push(node.quals);
    } else if (node.kind === 'fromExpr') {
      node.from.forEach(visit);
      push(node.quals);
    }
  };
  visit(query.jointree);
  push(query.having);
  push(query.limitCount);
  push(query.limitOffset);
  query.windowClause.forEach((w) => {
    push(w.frame.startOffset);
    push(w.frame.endOffset);
  });
  if (query.onConflict) {
    query.onConflict.set.forEach((t) => push(t.expr));
    push(query.onConflict.where);
  }
  query.mergeActions.forEach((action) => {
    push(action.condition);
    action.targetList.forEach((t) => push(t.expr));
  });
  for (const varno of ownVarnos(query)) out.push(...entryExpressions(planner.entry(varno)));
  return out;
}

/** Vars anywhere in the expression, nested queries included. */
export function walkVars(expr: Expr, planner: Planner, visit: (node: Var) => void): void {
  if (expr.kind === 'Var') visit(expr);
  if (expr.kind === 'SubLink') {
    walkQueryVars(expr.subquery, planner, visit);
    planner.linkBindings.get(expr.id)?.forEach((binding) => walkVars(binding.expr, planner, visit));
    // A planned sublink reads outer columns through parameters only (its range table entries were rewritten).
    planner.subPlans.get(expr.id)?.params.forEach((binding) => walkVars(binding.expr, planner, visit));
  }
  for (const child of childrenOf(expr)) walkVars(child, planner, visit);
}

export function walkQueryVars(query: Query, planner: Planner, visit: (node: Var) => void): void {
  for (const expr of directExpressions(query, planner)) walkVars(expr, planner, visit);
  for (const varno of ownVarnos(query)) {
    const entry = planner.entry(varno);
    if (entry.kind === 'subquery') walkQueryVars(entry.query, planner, visit);
    const cte = planner.cteOf.get(varno);
    if (cte && query.ctes.includes(cte.cte)) walkQueryVars(cte.query, planner, visit);
  }
}

/** Every range table entry of the query and of all queries in it. */
export function deepVarnos(query: Query, planner: Planner, into = new Set<number>()): Set<number> {
  for (const varno of ownVarnos(query)) {
    into.add(varno);
    const entry = planner.entry(varno);
    if (entry.kind === 'subquery') deepVarnos(entry.query, planner, into);
    const cte = planner.cteOf.get(varno);
    if (cte && !into.has(-cte.id)) {
      into.add(-cte.id);
      deepVarnos(cte.query, planner, into);
    }
  }
  for (const expr of directExpressions(query, planner)) deepExprVarnos(expr, planner, into);
  return into;
}

function deepExprVarnos(expr: Expr, planner: Planner, into: Set<number>): void {
  if (expr.kind === 'SubLink') deepVarnos(expr.subquery, planner, into);
  for (const child of childrenOf(expr)) deepExprVarnos(child, planner, into);
}

/** Vars of the query that belong to queries around it. */
export function freeVars(query: Query, planner: Planner): Var[] {
  const own = deepVarnos(query, planner);
  const found: Var[] = [];
  walkQueryVars(query, planner, (node) => {
    if (!own.has(node.varno) && !found.some((other) => other.varno === node.varno && other.attno === node.attno)) found.push(node);
  });
  return found;
}

/** Range table entries that an expression reads, free Vars of its sublinks included. */
export function exprVarnos(expr: Expr, planner: Planner): Set<number> {
  const inner = new Set<number>();
  deepExprVarnos(expr, planner, inner);
  const out = new Set<number>();
  walkVars(expr, planner, (node) => {
    if (!inner.has(node.varno)) out.add(node.varno);
  });
  return out;
}

/** Replaces nodes bottom-up where `replace` answers one, inside nested queries too. */
export function mapDeep(expr: Expr, planner: Planner, replace: (node: Expr) => Expr | undefined): Expr {
  const replaced = replace(expr);
  if (replaced !== undefined) return replaced;
  if (expr.kind === 'SubLink') {
    const bindings = planner.linkBindings.get(expr.id);
    if (bindings) planner.linkBindings.set(expr.id, bindings.map((binding) => ({ id: binding.id, expr: mapDeep(binding.expr, planner, replace) })));
    const subquery = mapQuery(expr.subquery, planner, replace);
    const testExpr = expr.testExpr && mapDeep(expr.testExpr, planner, replace);
    return subquery === expr.subquery && testExpr === expr.testExpr ? expr : { ...expr, subquery, testExpr };
  }
  return mapChildren(expr, (child) => mapDeep(child, planner, replace));
}

/** The query with all its expressions mapped; range table entries are changed in place. */
export function mapQuery(query: Query, planner: Planner, replace: (node: Expr) => Expr | undefined): Query {
  const map = (expr: Expr): Expr => mapDeep(expr, planner, replace);
  const optional = (expr: Expr | null): Expr | null => expr && map(expr);
  const targets = (list: readonly TargetEntry[]): TargetEntry[] => list.map((entry) => ({ ...entry, expr: map(entry.expr) }));
  const tree = (node: JoinTreeNode): JoinTreeNode => {
    if (node.kind === 'rangeTableRef') return node;
    if (node.kind === 'joinExpr') return { ...node, left: tree(node.left), right: tree(node.right), quals: optional(node.quals) };
    return { kind: 'fromExpr', from: node.from.map(tree), quals: optional(node.quals) };
  };
  for (const varno of ownVarnos(query)) {
    mapEntry(varno, planner, replace);
    const cte = planner.cteOf.get(varno);
    if (cte && query.ctes.includes(cte.cte) && !cte.planned) cte.query = mapQuery(cte.query, planner, replace);
  }
  return {
    ...query, jointree: tree(query.jointree) as Query['jointree'], targetList: targets(query.targetList), having: optional(query.having),
    limitCount: optional(query.limitCount), limitOffset: optional(query.limitOffset), returning: targets(query.returning),
    windowClause: query.windowClause.map((clause) => ({ ...clause, frame: { ...clause.frame, startOffset: optional(clause.frame.startOffset), endOffset: optional(clause.frame.endOffset) } })),
    onConflict: query.onConflict && { ...query.onConflict, set: targets(query.onConflict.set), where: optional(query.onConflict.where) },
  };
}

/** Maps what a range table entry computes. */
export function mapEntry(varno: number, planner: Planner, replace: (node: Expr) => Expr | undefined): void {
  const entry = planner.entry(varno);
  const map = (expr: Expr): Expr => mapDeep(expr, planner, replace);
  if (entry.kind === 'function') planner.rangeTable[varno - 1] = { ...entry, functions: entry.functions.map(map) };
  else if (entry.kind === 'values') planner.rangeTable[varno - 1] = { ...entry, rows: entry.rows.map((row) => row.map(map)) };
  else if (entry.kind === 'subquery') planner.rangeTable[varno - 1] = { ...entry, query: mapQuery(entry.query, planner, replace) };
}

/** The logical form that rewrite rules work on: a query whose join tree has semi and anti joins and lists of conjuncts. */
import type { Expr, JoinTreeNode, Query, TargetEntry } from '../analyzer/query-tree.js';
import { contains } from '../analyzer/tree-walk.js';
import type { Catalog } from '../catalog/catalog.js';
import type { PlanJoinType } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { exprVarnos, mapDeep, mapEntry } from './query-vars.js';

export type Tree =
  | { readonly kind: 'rel'; readonly varno: number }
  | { readonly kind: 'join'; readonly type: PlanJoinType; readonly left: Tree; readonly right: Tree; readonly quals: readonly Expr[] }
  | { readonly kind: 'from'; readonly items: readonly Tree[]; readonly quals: readonly Expr[] };

export interface Logical {
  readonly query: Query;
  readonly tree: Tree;
}

export function toLogical(query: Query): Logical {
  return { query, tree: toTree(query.jointree) };
}

function toTree(node: JoinTreeNode): Tree {
  switch (node.kind) {
    case 'rangeTableRef': return { kind: 'rel', varno: node.rtindex };
    case 'joinExpr': return { kind: 'join', type: node.joinType, left: toTree(node.left), right: toTree(node.right), quals: conjuncts(node.quals) };
    case 'fromExpr': return { kind: 'from', items: node.from.map(toTree), quals: conjuncts(node.quals) };
  }
}

/** The members of an AND, flattened. */
export function conjuncts(expr: Expr | null): Expr[] {
  if (expr === null) return [];
  if (expr.kind === 'BoolExpr' && expr.op === 'and') return expr.args.flatMap(conjuncts);
  return [expr];
}

export function treeVarnos(tree: Tree, into: number[] = []): number[] {
  if (tree.kind === 'rel') into.push(tree.varno);
  else if (tree.kind === 'join') {
    treeVarnos(tree.left, into);
    treeVarnos(tree.right, into);
  } else tree.items.forEach((item) => treeVarnos(item, into));
  return into;
}

export function mapTree(tree: Tree, map: (expr: Expr) => Expr): Tree {
  if (tree.kind === 'rel') return tree;
  const quals = tree.quals.flatMap((qual) => conjuncts(map(qual)));
  if (tree.kind === 'join') return { ...tree, left: mapTree(tree.left, map), right: mapTree(tree.right, map), quals };
  return { ...tree, items: tree.items.map((item) => mapTree(item, map)), quals };
}

/** Replaces nodes in every expression of the query, nested queries and range table entries included. */
export function mapLogical(logical: Logical, planner: Planner, replace: (node: Expr) => Expr | undefined): Logical {
  const map = (expr: Expr): Expr => mapDeep(expr, planner, replace);
  const optional = (expr: Expr | null): Expr | null => expr && map(expr);
  const targets = (list: readonly TargetEntry[]): TargetEntry[] => list.map((entry) => ({ ...entry, expr: map(entry.expr) }));
  const { query } = logical;
  for (const varno of treeVarnos(logical.tree)) mapEntry(varno, planner, replace);
  return {
    tree: mapTree(logical.tree, map),
    query: {
      ...query, targetList: targets(query.targetList), having: optional(query.having), limitCount: optional(query.limitCount), limitOffset: optional(query.limitOffset),
      returning: targets(query.returning),
      windowClause: query.windowClause.map((clause) => ({ ...clause, frame: { ...clause.frame, startOffset: optional(clause.frame.startOffset), endOffset: optional(clause.frame.endOffset) } })),
      onConflict: query.onConflict && { ...query.onConflict, set: targets(query.onConflict.set), where: optional(query.onConflict.where) },
    },
  };
}

/** Maps only what the query itself evaluates, once per expression (constant folding). */
export function mapExpressions(logical: Logical, map: (expr: Expr) => Expr): Logical {
  const optional = (expr: Expr | null): Expr | null => expr && map(expr);
  const targets = (list: readonly TargetEntry[]): TargetEntry[] => list.map((entry) => {
    const expr = map(entry.expr);
    return expr === entry.expr ? entry : { ...entry, expr };
  });
  const { query } = logical;
  return {
    tree: mapTree(logical.tree, map),
    query: {
      ...query, targetList: targets(query.targetList), having: optional(query.having), limitCount: optional(query.limitCount), limitOffset: optional(query.limitOffset),
      returning: targets(query.returning),
      onConflict: query.onConflict && { ...query.onConflict, set: targets(query.onConflict.set), where: optional(query.onConflict.where) },
    },
  };
}

export function isVolatile(expr: Expr, catalog: Catalog): boolean {
  return contains(expr, (node) => {
    if (node.kind === 'NextValueExpr') return true;
    const func = functionOf(node, catalog);
    return func !== 0 && catalog.proc(func)?.provolatile === 'v';
  });
}

/** The function a node calls, 0 if none. */
export function functionOf(node: Expr, catalog: Catalog): number {
  switch (node.kind) {
    case 'FuncExpr': return node.func;
    case 'OpExpr': case 'DistinctExpr': case 'NullIfExpr': case 'ScalarArrayOpExpr': return node.func || (catalog.operator(node.operator)?.oprcode ?? 0);
    default: return 0;
  }
}

export function hasSublink(expr: Expr): boolean {
  return contains(expr, (node) => node.kind === 'SubLink');
}

export function hasSet(expr: Expr): boolean {
  return contains(expr, (node) => node.kind === 'FuncExpr' && node.returnsSet);
}

export { exprVarnos };

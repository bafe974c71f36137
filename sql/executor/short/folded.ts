/**
 * What of a plan PostgreSQL would have computed when it planned the statement, had its parameters been constants in the
 * text: expressions of parameters alone. An error in one (1 / 0, a text too long for its column) is raised even if
 * no row is found, so they are computed first.
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { childrenOf, contains } from '../../analyzer/tree-walk.js';
import type { Catalog } from '../../catalog/catalog.js';
import type { PhysicalPlan, PlanNode } from '../../planner/plan-node.js';
import { compile } from '../expressions/compile.js';
import type { Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT } from '../expressions/scope.js';

/** null: there is one that would not have been folded (not immutable), and must not be computed twice or early. */
export function foldedExpressions({ root }: PhysicalPlan, catalog: Catalog): readonly Scalar[] | null {
  const exprs: Expr[] = [...root.output];
  let scan: PlanNode | null = root.kind === 'ModifyTable' ? root.child : root;
  while (scan?.kind === 'Project' || scan?.kind === 'Limit' || scan?.kind === 'Sort' || scan?.kind === 'Unique' || scan?.kind === 'Agg') {
    if (scan.kind === 'Limit') exprs.push(...[scan.count, scan.offset].filter((expr) => expr !== null));
    scan = scan.child;
    exprs.push(...scan.output);
  }
  // The values of an INSERT are computed always.
  if (root.kind === 'ModifyTable') exprs.push(...root.set.map(({ expr }) => expr));
  if (root.kind === 'ModifyTable' && root.onConflict) exprs.push(...root.onConflict.set.map(({ expr }) => expr), ...(root.onConflict.where ? [root.onConflict.where] : []));
  if (scan?.kind === 'IndexScan') exprs.push(...scan.filter, ...scan.conditions.flatMap(({ value }) => (value ? [value] : [])));
  const found: Expr[] = [];
  for (const expr of exprs) collect(expr, found);
  if (found.some((expr) => contains(expr, (inner) => !isFoldable(inner, catalog)))) return null;
  return found.map((expr) => compile(expr, { catalog, layout: EMPTY_LAYOUT, subLinks: null }));
}

/** Computed from parameters and constants, alike each time. */
export function isFolded(expr: Expr | null, catalog: Catalog): boolean {
  return expr === null || !contains(expr, (inner) => !isFoldable(inner, catalog));
}

/** The largest expressions of parameters and constants alone. */
function collect(expr: Expr, found: Expr[]): void {
  if (expr.kind === 'Param' || expr.kind === 'Var' || expr.kind === 'Const') return;
  if (contains(expr, (inner) => inner.kind === 'Param') && !contains(expr, (inner) => inner.kind === 'Var')) found.push(expr);
  else for (const child of childrenOf(expr)) collect(child, found);
}

function isFoldable(expr: Expr, catalog: Catalog): boolean {
  switch (expr.kind) {
    case 'Param': case 'Const': case 'RelabelType': case 'BoolExpr': case 'CaseExpr': case 'CoalesceExpr': case 'NullTest':
      return true;
    case 'FuncExpr': case 'OpExpr':
      return catalog.proc(expr.func)?.provolatile === 'i';
    default:
      return false;
  }
}

/** Plans of the sublinks that stay expressions: parameters for what they read outside, hashing where it fits. */
import type { Expr, Query, SubLink } from '../analyzer/query-tree.js';
import { contains, walk } from '../analyzer/tree-walk.js';
import { treeVarnos, type Logical, type Tree } from './logical.js';
import type { ParamBinding, SubPlan } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { freeVars, mapQuery } from './query-vars.js';
import { planSelect } from './select.js';

/** Plans every sublink of the query level that has no plan yet. */
export function planSublinks(logical: Logical, planner: Planner): void {
  const visit = (expr: Expr | null): void => {
    if (expr) planExprSublinks(expr, planner);
  };
  const { query } = logical;
  query.targetList.forEach((entry) => visit(entry.expr));
  query.returning.forEach((entry) => visit(entry.expr));
  visit(query.having);
  visit(query.limitCount);
  visit(query.limitOffset);
  query.windowClause.forEach((clause) => {
    visit(clause.frame.startOffset);
    visit(clause.frame.endOffset);
  });
  if (query.onConflict) {
    query.onConflict.set.forEach((entry) => visit(entry.expr));
    visit(query.onConflict.where);
  }
  for (const varno of treeVarnos(logical.tree)) {
    const entry = planner.entry(varno);
    if (entry.kind === 'function') entry.functions.forEach(visit);
    if (entry.kind === 'values') entry.rows.forEach((row) => row.forEach(visit));
  }
  const tree = (node: Tree): void => {
    if (node.kind === 'rel') return;
    node.quals.forEach(visit);
    if (node.kind === 'join') {
      tree(node.left);
      tree(node.right);
    } else node.items.forEach(tree);
  };
  tree(logical.tree);
}

export function planExprSublinks(expr: Expr, planner: Planner): void {
  walk(expr, (node) => {
    if (node.kind === 'SubLink') {
      planSublink(node, planner);
      planner.linkBindings.get(node.id)?.forEach((binding) => planExprSublinks(binding.expr, planner));
    }
  });
}

function planSublink(link: SubLink, planner: Planner): void {
  if (planner.subPlans.has(link.id)) return;
  const outer = freeVars(link.subquery, planner);
  const params: ParamBinding[] = outer.map((node) => ({ id: planner.newParam(node).id, expr: node }));
  const bound = outer.length === 0 ? link.subquery : mapQuery(link.subquery, planner, (node) => {
    if (node.kind !== 'Var') return undefined;
    const at = outer.findIndex((other) => other.varno === node.varno && other.attno === node.attno);
    return at < 0 ? undefined : { kind: 'Param', paramKind: 'exec', id: params[at]!.id, type: node.type, typmod: node.typmod, collation: node.collation, location: -1 };
  });
  const query = link.subLinkType === 'exists' ? existence(bound) : bound;
  const planned = planSelect(query, planner, link.subLinkType === 'exists' ? 1e-9 : 1);
  const bindings = [...params, ...(planner.linkBindings.get(link.id) ?? [])];
  const subPlan: SubPlan = {
    id: link.id, number: planner.nextSubPlanNumber(), kind: link.subLinkType, plan: planned.node, params: bindings,
    testExpr: link.testExpr, hashed: bindings.length === 0 && link.subLinkType === 'any' ? hashable(link.testExpr!, planner) : null,
  };
  planner.subPlans.set(link.id, subPlan);
}

/** EXISTS asks for a row only: its columns and order do not matter. */
function existence(query: Query): Query {
  const plain = !query.hasAggs && query.groupClause.length === 0 && !query.having && !query.setOperations && !query.hasTargetSRFs && query.distinctClause.length === 0 && !query.hasWindowFuncs && !query.limitCount && !query.limitOffset;
  return plain ? { ...query, targetList: [], sortClause: [] } : query;
}

/** `(a, b) = ANY (subquery)` by hashable operators. */
function hashable(test: Expr, planner: Planner): { left: Expr[]; operators: number[] } | null {
  const parts = test.kind === 'BoolExpr' && test.op === 'and' ? test.args : [test];
  const left: Expr[] = [];
  const operators: number[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part.kind !== 'OpExpr' || part.args.length !== 2) return null;
    const [own, column] = part.args as [Expr, Expr];
    if (column.kind !== 'SubLinkParam' || column.column !== i + 1 || contains(own, (node) => node.kind === 'SubLinkParam')) return null;
    const operator = planner.catalog.operator(part.operator);
    const integers = [20, 21, 23];
    const sameKind = own.type === column.type || (integers.includes(own.type) && integers.includes(column.type));
    if (!operator?.oprcanhash || operator.oprname !== '=' || !sameKind) return null;
    left.push(own);
    operators.push(part.operator);
  }
  return { left, operators };
}

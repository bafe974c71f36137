/**
 * Sublinks inside sort keys, group keys, aggregate arguments and assignments are computed as columns
 * below, where the awaiting evaluator runs them: they can then be interrupted and may wait.
 */
import type { Expr } from '../analyzer/query-tree.js';
import { walk } from '../analyzer/tree-walk.js';
import { exprsCost, makeCost, widthOf } from './cost.js';
import type { PlanNode } from './plan-node.js';
import type { Planner } from './planner-state.js';

/** The node with a column for each sublink of the expressions; itself when there are none. */
export function withSublinkColumns(node: PlanNode, exprs: readonly Expr[], planner: Planner): PlanNode {
  const found: Expr[] = [];
  for (const expr of exprs) {
    walk(expr, (inner) => {
      if (inner.kind !== 'SubLink') return inner.kind === 'CaseExpr' || inner.kind === 'CoalesceExpr';
      if (!found.includes(inner) && !node.output.includes(inner)) found.push(inner);
      return true;
    });
  }
  if (found.length === 0) return node;
  const output = [...node.output, ...found];
  const { cost } = node;
  return { kind: 'Project', child: node, output, cost: makeCost(cost.startup, cost.total + exprsCost(found, planner) * cost.rows, cost.rows, widthOf(output, planner)) };
}

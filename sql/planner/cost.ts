/** Cost formulas, after costsize.c, with PostgreSQL's parameters. */
import type { Expr } from '../analyzer/query-tree.js';
import { childrenOf } from '../analyzer/tree-walk.js';
import { rowOperatorCost } from './column-costs.js';
import type { Cost, PlanNode } from './plan-node.js';
import type { Planner } from './planner-state.js';

export function makeCost(startup: number, total: number, rows: number, width: number): Cost {
  return { startup, total, rows: Math.max(1, Math.round(rows)), width };
}

/** Bytes of an average row of these columns. */
export function widthOf(output: readonly Expr[], planner: Planner): number {
  let width = 0;
  for (const expr of output) {
    if (expr.kind === 'Var') {
      const relation = planner.relationOf(expr.varno);
      const known = relation && expr.attno > 0 ? relation.statistics(expr.attno)?.averageWidth : undefined;
      if (known) {
        width += known;
        continue;
      }
    }
    const type = planner.catalog.type(expr.type);
    if (type && type.typlen > 0) width += type.typlen;
    else if ((expr.type === 1043 || expr.type === 1042) && expr.typmod > 4) width += Math.min(32, expr.typmod - 4);
    else width += 32;
  }
  return width;
}

/** CPU cost of evaluating an expression once. */
export function exprCost(expr: Expr, planner: Planner): number {
  let own = 0;
  switch (expr.kind) {
    case 'FuncExpr': case 'OpExpr': case 'DistinctExpr': case 'NullIfExpr': case 'MinMaxExpr': case 'RowCompareExpr': case 'CoerceViaIO':
      own = planner.cost.cpuOperator;
      break;
    case 'ScalarArrayOpExpr':
      own = planner.cost.cpuOperator * 5;
      break;
    case 'SubLink': {
      const plan = planner.subPlans.get(expr.id);
      if (plan && plan.params.length > 0) own = plan.kind === 'exists' ? plan.plan.cost.startup + (plan.plan.cost.total - plan.plan.cost.startup) / Math.max(1, plan.plan.cost.rows) : plan.plan.cost.total;
      else own = planner.cost.cpuOperator;
      break;
    }
    default:
      break;
  }
  for (const child of childrenOf(expr)) own += exprCost(child, planner);
  return own;
}

export function exprsCost(exprs: readonly Expr[], planner: Planner): number {
  return exprs.reduce((sum, expr) => sum + exprCost(expr, planner), 0);
}

export function sortCost(input: Cost, keys: number, bound: number | null, planner: Planner): Cost {
  const { cpuOperator } = planner.cost;
  const rows = Math.max(2, input.rows);
  const compare = 2 * cpuOperator;
  const output = bound !== null && bound < rows ? bound : rows;
  const comparisons = bound !== null && output * 2 < rows ? rows * Math.log2(2 * Math.max(1, output)) : rows * Math.log2(rows);
  void keys;
  const startup = input.total + compare * comparisons + rowOperatorCost(input.rows, planner) + planner.cost.penalty('enable_sort');
  return makeCost(startup, startup + cpuOperator * rows, input.rows, input.width);
}

/** Total cost when only a fraction of the rows is fetched. */
export function fractionalCost(cost: Cost, fraction: number): number {
  return cost.startup + fraction * (cost.total - cost.startup);
}

export function materialized(node: PlanNode, planner: Planner): PlanNode {
  if (node.kind === 'Materialize' || node.kind === 'Sort') return node;
  const { cost } = node;
  return { kind: 'Materialize', child: node, output: node.output, cost: makeCost(cost.startup, cost.total + 2 * planner.cost.cpuOperator * cost.rows, cost.rows, cost.width) };
}

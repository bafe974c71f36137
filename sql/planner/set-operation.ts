/** UNION, INTERSECT, EXCEPT: the branches' plans appended, made distinct or counted; then ORDER BY and LIMIT. */
import { notSupported } from '../../engine/errors.js';
import type { ColumnInfo, Expr, Query, SetOperationNode } from '../analyzer/query-tree.js';
import { makeCost, widthOf } from './cost.js';
import { foldConstants } from './fold.js';
import { planExprSublinks } from './sublinks.js';
import type { PlanNode, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { planSelect, project, sortNode, type PlannedSelect } from './select.js';

export function planSetOperation(query: Query, planner: Planner): PlannedSelect {
  const top = query.setOperations!;
  for (const bound of [query.limitCount, query.limitOffset]) if (bound) planExprSublinks(bound, planner);
  const columns: Expr[] = query.targetList.filter((entry) => !entry.junk).map((entry) => entry.expr);
  let node = branch(top, planner, columns);
  let order: SortKey[] = [];
  if (query.sortClause.length > 0) {
    order = query.sortClause.map((clause) => {
      const position = query.targetList.findIndex((entry) => entry.sortGroupRef === clause.ref);
      if (position < 0) throw notSupported('ORDER BY of an expression over a set operation');
      return { expr: columns[position]!, descending: clause.descending, nullsFirst: clause.nullsFirst, sortOperator: clause.sortOperator };
    });
    node = sortNode(node, order, null, planner);
  }
  if (query.limitCount || query.limitOffset) {
    const count = query.limitCount && foldConstants(query.limitCount, planner);
    const { cost } = node;
    const rows = count?.kind === 'Const' && count.value !== null ? Math.min(cost.rows, Number(count.value as number)) : cost.rows;
    node = { kind: 'Limit', child: node, offset: query.limitOffset, count: query.limitCount, tieKeys: query.withTies ? order : null, output: node.output, cost: makeCost(cost.startup, cost.startup + ((cost.total - cost.startup) * rows) / Math.max(1, cost.rows), rows, cost.width) };
  }
  return { node: project(node, columns, planner), columns, order };
}

/** Its rows under the Vars of the whole operation's first leaf. */
function branch(node: SetOperationNode, planner: Planner, output: readonly Expr[]): PlanNode {
  if (node.kind === 'rangeTableRef') {
    const entry = planner.entry(node.rtindex);
    if (entry.kind !== 'subquery') throw new Error('leaf of a set operation is no subquery');
    return renamed(planSelect(entry.query, planner).node, output, planner);
  }
  const types = node.columns.map((column: ColumnInfo) => column.type);
  if (node.op === 'union') {
    const children = unionBranches(node, node.all).map((child) => branch(child, planner, output));
    const rows = children.reduce((sum, child) => sum + child.cost.rows, 0);
    const append: PlanNode = {
      kind: 'Append', children, output,
      cost: makeCost(children[0]!.cost.startup, children.reduce((sum, child) => sum + child.cost.total, 0) + rows * planner.cost.cpuTuple * 0.5, rows, widthOf(output, planner)),
    };
    if (node.all) return append;
    const { cost } = append;
    const total = cost.total + planner.cost.cpuOperator * types.length * rows;
    return {
      kind: 'Agg', strategy: 'hashed', child: append, groups: output, groupingSets: null, groupRefs: [], aggs: [], filter: [], output,
      cost: makeCost(total, total + planner.cost.cpuTuple * rows, rows, cost.width),
    };
  }
  const left = branch(node.left, planner, output);
  const right = branch(node.right, planner, output);
  const rows = node.op === 'except' ? left.cost.rows : Math.min(left.cost.rows, right.cost.rows);
  const total = left.cost.total + right.cost.total + (left.cost.rows + right.cost.rows) * planner.cost.cpuOperator * types.length;
  return { kind: 'SetOp', op: node.op, all: node.all, left, right, types, output, cost: makeCost(total, total, rows, widthOf(output, planner)) };
}

/** a UNION b UNION c of one kind is one list; under a distinct UNION an inner ALL does not matter. */
function unionBranches(node: SetOperationNode, all: boolean): SetOperationNode[] {
  if (node.kind === 'setOperation' && node.op === 'union' && (node.all === all || !all)) return [...unionBranches(node.left, all), ...unionBranches(node.right, all)];
  return [node];
}

/** The same rows with other output expressions, column by column. */
export function renamed(child: PlanNode, output: readonly Expr[], planner: Planner): PlanNode {
  const { cost } = child;
  void planner;
  return { kind: 'SubqueryScan', varno: 0, child, filter: [], columns: output.map((_, i) => i), output, cost };
}

/** Window functions: for each window a sort by its partition and order, then the functions over it. */
import type { Expr, Query, WindowClause, WindowFunc } from '../analyzer/query-tree.js';
import { equalExpr, walk } from '../analyzer/tree-walk.js';
import { makeCost, widthOf } from './cost.js';
import { cheapest, satisfies, type Path, type SameValue } from './path.js';
import type { PlanNode, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { sortKeys, sortNode } from './select.js';

export function planWindows(query: Query, paths: readonly Path[], same: SameValue, planner: Planner): readonly Path[] {
  if (!query.hasWindowFuncs) return paths;
  const functions = collect(query);
  const windows = query.windowClause.filter((window) => functions.some((func) => func.winref === window.winref));
  // Longer orders first, so that shorter ones find their rows sorted already.
  const keysOf = (window: WindowClause): SortKey[] => sortKeys([...window.partitionBy, ...window.orderBy], query).filter((key, i, all) => all.findIndex((other) => equalExpr(other.expr, key.expr)) === i);
  const ordered = [...windows].sort((a, b) => keysOf(b).length - keysOf(a).length);
  let path: Path | null = null;
  for (const window of ordered) {
    const keys = keysOf(window);
    const sorted = (candidate: Path): PlanNode => (keys.length === 0 || satisfies(candidate.order, keys, same) ? candidate.node : sortNode(candidate.node, keys, null, planner));
    const input: Path = path ?? paths.filter((candidate) => candidate.required === 0).reduce((best, candidate) => (sorted(candidate).cost.total < sorted(best).cost.total ? candidate : best), cheapest(paths)!);
    const child = sorted(input);
    const own = functions.filter((func) => func.winref === window.winref);
    const output: Expr[] = [...child.output, ...own];
    const { cost } = child;
    path = {
      ...input, order: child === input.node ? input.order : keys,
      node: {
        kind: 'WindowAgg', child, functions: own, partition: sortKeys(window.partitionBy, query).map((key) => key.expr), order: sortKeys(window.orderBy, query), frame: window.frame, output,
        cost: makeCost(cost.startup, cost.total + cost.rows * (planner.cost.cpuTuple + planner.cost.cpuOperator * (own.length + keys.length)), cost.rows, widthOf(output, planner)),
      },
    };
  }
  return path ? [path] : paths;
}

function collect(query: Query): WindowFunc[] {
  const found: WindowFunc[] = [];
  query.targetList.forEach((entry) => walk(entry.expr, (node) => {
    if (node.kind !== 'WindowFunc') return false;
    if (!found.some((other) => equalExpr(other, node))) found.push(node);
    return true;
  }));
  return found;
}

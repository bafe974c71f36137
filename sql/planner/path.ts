/** A way to compute a set of relations: a plan with what else matters for choosing it. */
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import type { Clause } from './join-problem.js';
import type { ParamBinding, PlanNode, SortKey } from './plan-node.js';

export interface Path {
  readonly node: PlanNode;
  /** The order of its rows. */
  readonly order: readonly SortKey[];
  /** Relations (mask) whose values must be given as parameters by a nested loop outside. */
  readonly required: number;
  readonly params: readonly ParamBinding[];
  /** Join clauses that the parameterized path has applied inside. */
  readonly enforced: readonly Clause[];
}

/** Says whether two expressions are known to be equal in every row (equivalence classes). */
export type SameValue = (a: Expr, b: Expr) => boolean;

export function sameKey(a: SortKey, b: SortKey, same: SameValue = equalExpr): boolean {
  return a.descending === b.descending && a.nullsFirst === b.nullsFirst && same(a.expr, b.expr);
}

/** Does the order begin with `wanted`? */
export function satisfies(order: readonly SortKey[], wanted: readonly SortKey[], same: SameValue = equalExpr): boolean {
  return wanted.length <= order.length && wanted.every((key, i) => sameKey(order[i]!, key, same));
}

/** Adds a path unless another is at least as good in all respects; drops those that it beats. */
export function addPath(paths: Path[], path: Path): void {
  const better = (a: Path, b: Path): boolean => a.node.cost.total <= b.node.cost.total * 1.01 && a.node.cost.startup <= b.node.cost.startup * 1.01
    && (a.required & ~b.required) === 0 && satisfies(a.order, b.order) && a.node.cost.rows <= b.node.cost.rows;
  if (paths.some((other) => better(other, path))) return;
  for (let i = paths.length - 1; i >= 0; i--) if (better(path, paths[i]!)) paths.splice(i, 1);
  paths.push(path);
}

export function cheapest(paths: readonly Path[], fraction = 1): Path | undefined {
  let best: Path | undefined;
  let bestCost = Infinity;
  for (const path of paths) {
    if (path.required !== 0) continue;
    const cost = path.node.cost.startup + fraction * (path.node.cost.total - path.node.cost.startup);
    if (cost < bestCost) {
      best = path;
      bestCost = cost;
    }
  }
  return best;
}

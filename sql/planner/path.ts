/** A way to compute a set of relations: a plan with what else matters for choosing it. */
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { DISABLED_COST } from './cost-settings.js';
import type { Clause } from './join-problem.js';
import type { Cost, ParamBinding, PlanNode, SortKey } from './plan-node.js';

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

/** What decides whether a path is kept; all that has to be known of it before its node is made. */
export interface PathClaim {
  readonly cost: Cost;
  readonly order: readonly SortKey[];
  readonly required: number;
}

const claimOf = ({ node, order, required }: Path): PathClaim => ({ cost: node.cost, order, required });

/** Costs so close to each other count as equal. */
const FUZZ = 1.01;

/** Not more than the other, but for fuzz. Of what switched-off methods cost, which both have, the fuzz would hide everything else. */
function noDearer(a: number, b: number): boolean {
  const common = Math.floor(Math.min(a, b) / DISABLED_COST) * DISABLED_COST;
  return a - common <= (b - common) * FUZZ;
}

/** At least as good in all respects. */
function better(a: PathClaim, b: PathClaim, same: SameValue): boolean {
  return noDearer(a.cost.total, b.cost.total) && noDearer(a.cost.startup, b.cost.startup) && (a.required & ~b.required) === 0 && a.cost.rows <= b.cost.rows && satisfies(a.order, b.order, same);
}

/** Adds the path that `claim` promises unless another is at least as good; drops those that it beats. Most are not kept: `make` is called for those that are. */
export function offerPath(paths: Path[], claim: PathClaim, make: () => Path, same: SameValue): void {
  if (paths.some((other) => better(claimOf(other), claim, same))) return;
  for (let i = paths.length - 1; i >= 0; i--) if (better(claim, claimOf(paths[i]!), same)) paths.splice(i, 1);
  paths.push(make());
}

/** Adds a path unless another is at least as good in all respects; drops those that it beats. */
export function addPath(paths: Path[], path: Path): void {
  offerPath(paths, claimOf(path), () => path, equalExpr);
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

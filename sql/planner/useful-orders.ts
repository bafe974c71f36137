/**
 * Of the order of a join's rows, the part that anything above can use: a merge join that is still to come, or the statement's own ORDER BY,
 * GROUP BY, DISTINCT or windows. Paths that differ in nothing else are one path. After pathkeys.c.
 */
import type { Expr } from '../analyzer/query-tree.js';
import type { JoinProblem } from './join-problem.js';
import type { SameValue } from './path.js';
import type { SortKey } from './plan-node.js';

export class UsefulOrders {
  private readonly known = new Map<number, Map<readonly SortKey[], readonly SortKey[]>>();

  constructor(private readonly problem: JoinProblem, private readonly same: SameValue, private readonly wanted: readonly (readonly SortKey[])[]) {}

  /** The leading keys of `order` that are of use to whoever joins or reads the relations of `mask`. */
  of(order: readonly SortKey[], mask: number): readonly SortKey[] {
    if (order.length === 0) return order;
    let ofMask = this.known.get(mask);
    if (!ofMask) this.known.set(mask, (ofMask = new Map()));
    let useful = ofMask.get(order);
    if (!useful) ofMask.set(order, (useful = this.leading(order, mask)));
    return useful;
  }

  private leading(order: readonly SortKey[], mask: number): readonly SortKey[] {
    let most = 0;
    while (most < order.length && this.merges(order[most]!.expr, mask)) most++;
    for (const keys of this.wanted) {
      let n = 0;
      while (n < keys.length && n < order.length && keys[n]!.descending === order[n]!.descending && keys[n]!.nullsFirst === order[n]!.nullsFirst && this.same(keys[n]!.expr, order[n]!.expr)) n++;
      most = Math.max(most, n);
    }
    return most === order.length ? order : order.slice(0, most);
  }

  /** A clause compares it with something outside. */
  private merges(expr: Expr, mask: number): boolean {
    return this.problem.clauses.some(({ binary, mask: of }) => binary !== null && (of & ~mask) !== 0 && (of & mask) !== 0 && (this.same(binary.left, expr) || this.same(binary.right, expr)));
  }
}

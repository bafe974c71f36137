/**
 * The best join order: dynamic programming over sets of relations, bottom up by size; beyond
 * DP_LIMIT relations greedily, always making the join with the fewest rows.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Clause, JoinProblem, SpecialJoin } from './join-problem.js';
import { addJoinPaths, type JoinRel } from './join-paths.js';
import { cheapest, type SameValue } from './path.js';
import { joinSelectivityOf } from './join-selectivity.js';
import { selectivityOf } from './selectivity.js';
import type { UsefulOrders } from './useful-orders.js';

const DP_LIMIT = 10;

export function searchJoins(problem: JoinProblem, same: SameValue, orders: UsefulOrders): JoinRel {
  const singles: JoinRel[] = problem.rels.map((rel) => ({ mask: rel.bit, rows: rel.rows, paths: rel.paths }));
  if (singles.length === 1) return singles[0]!;
  const result = singles.length <= DP_LIMIT ? dynamic(problem, same, orders, singles) : greedy(problem, same, orders, singles);
  if (!result || !cheapest(result.paths)) {
    if (problem.joins.some((join) => join.type === 'full')) throw new DatabaseError('0A000', 'FULL JOIN is only supported with merge-joinable or hash-joinable join conditions');
    throw new DatabaseError('XX000', 'failed to build any join of the relations');
  }
  return result;
}

function dynamic(problem: JoinProblem, same: SameValue, orders: UsefulOrders, singles: readonly JoinRel[]): JoinRel | undefined {
  const n = singles.length;
  const table = new Map<number, JoinRel>(singles.map((rel) => [rel.mask, rel]));
  const levels: JoinRel[][] = [[], [...singles]];
  for (let size = 2; size <= n; size++) {
    levels[size] = [];
    // Pairs without a connecting clause only where nothing else makes progress.
    for (const cartesian of [false, true]) {
      for (let left = size - 1; left >= size - left; left--) {
        const right = size - left;
        for (const a of levels[left]!) {
          for (const b of levels[right]!) {
            if ((a.mask & b.mask) !== 0 || (left === right && a.mask > b.mask)) continue;
            if (!cartesian && !connected(problem, a.mask, b.mask)) continue;
            if (cartesian && (connected(problem, a.mask, b.mask) || !needsCartesian(problem, a.mask, b.mask))) continue;
            join(problem, same, orders, a, b, table, levels[size]!);
          }
        }
      }
      if (levels[size]!.length > 0) break;
    }
    if (levels[size]!.length === 0) {
      // Nothing allowed yet at this size: let every legal pair in.
      for (let left = size - 1; left >= size - left; left--) {
        for (const a of levels[left]!) for (const b of levels[size - left]!) if ((a.mask & b.mask) === 0) join(problem, same, orders, a, b, table, levels[size]!);
      }
    }
  }
  return table.get(problem.all);
}

function needsCartesian(problem: JoinProblem, a: number, b: number): boolean {
  const free = (mask: number): boolean => !problem.clauses.some((clause) => (clause.mask & mask) !== 0 && (clause.mask & ~mask) !== 0);
  return free(a) || free(b) || problem.joins.some((join) => (join.minLeft & ~a) === 0 && (join.minRight & ~b) === 0);
}

function connected(problem: JoinProblem, a: number, b: number): boolean {
  if (problem.clauses.some((clause) => (clause.mask & a) !== 0 && (clause.mask & b) !== 0)) return true;
  if (problem.rels.some((rel) => ((rel.bit & a) !== 0 && (rel.lateral & b) !== 0) || ((rel.bit & b) !== 0 && (rel.lateral & a) !== 0))) return true;
  return problem.joins.some((join) => ((join.minLeft & ~a) === 0 && (join.minRight & ~b) === 0) || ((join.minLeft & ~b) === 0 && (join.minRight & ~a) === 0));
}

function greedy(problem: JoinProblem, same: SameValue, orders: UsefulOrders, singles: readonly JoinRel[]): JoinRel | undefined {
  let current = [...singles];
  while (current.length > 1) {
    let best: { joined: JoinRel; a: JoinRel; b: JoinRel } | null = null;
    for (const linked of [true, false]) {
      for (let i = 0; i < current.length; i++) {
        for (let j = i + 1; j < current.length; j++) {
          const a = current[i]!;
          const b = current[j]!;
          if (linked && !connected(problem, a.mask, b.mask)) continue;
          const found: JoinRel[] = [];
          join(problem, same, orders, a, b, new Map(), found);
          const [joined] = found;
          if (!joined || !cheapest(joined.paths)) continue;
          const cost = cheapest(joined.paths)!.node.cost.total;
          if (!best || joined.rows < best.joined.rows || (joined.rows === best.joined.rows && cost < cheapest(best.joined.paths)!.node.cost.total)) best = { joined, a, b };
        }
      }
      if (best) break;
    }
    if (!best) return undefined;
    const { a, b, joined } = best;
    current = [...current.filter((rel) => rel !== a && rel !== b), joined];
  }
  return current[0];
}

/** The clauses to test at this join: available now and not before. One per equivalence class. */
function clausesAt(problem: JoinProblem, a: number, b: number): Clause[] {
  const both = a | b;
  const seen = new Set<number>();
  return problem.clauses.filter((clause) => {
    const need = clause.required | clause.mask;
    if ((need & ~both) !== 0 || (need & ~a) === 0 || (need & ~b) === 0) return false;
    if (clause.ec < 0) return true;
    if (seen.has(clause.ec)) return false;
    seen.add(clause.ec);
    return true;
  });
}

function join(problem: JoinProblem, same: SameValue, orders: UsefulOrders, a: JoinRel, b: JoinRel, table: Map<number, JoinRel>, level: JoinRel[]): void {
  const legal = problem.legal(a.mask, b.mask);
  if (!legal) return;
  const mask = a.mask | b.mask;
  const special: SpecialJoin | null = legal.join;
  const [left, right] = legal.swapped ? [b, a] : [a, b];
  const clauses = clausesAt(problem, a.mask, b.mask);
  let rel = table.get(mask);
  const fresh = !rel;
  if (!rel) rel = { mask, rows: joinRows(problem, left, right, special, clauses), paths: [] };
  if (special) {
    addJoinPaths(rel.paths, problem, same, orders, left, right, special, clauses, rel.rows);
  } else {
    addJoinPaths(rel.paths, problem, same, orders, left, right, null, clauses, rel.rows);
    addJoinPaths(rel.paths, problem, same, orders, right, left, null, clauses, rel.rows);
  }
  if (rel.paths.length > 0 && fresh) {
    table.set(mask, rel);
    level.push(rel);
  }
}

function joinRows(problem: JoinProblem, left: JoinRel, right: JoinRel, special: SpecialJoin | null, clauses: readonly Clause[]): number {
  const { planner } = problem;
  const own = joinSelectivityOf(clauses.filter((clause) => clause.of === special || special === null).map((clause) => clause.expr), planner);
  const filtered = special ? selectivityOf(clauses.filter((clause) => clause.of !== special).map((clause) => clause.expr), planner) : 1;
  const pairs = left.rows * right.rows * own;
  switch (special?.type) {
    case undefined: return Math.max(1, pairs);
    case 'left': return Math.max(1, Math.max(pairs, left.rows) * filtered);
    case 'full': return Math.max(1, Math.max(pairs, left.rows, right.rows) * filtered);
    case 'semi': return Math.max(1, left.rows * Math.min(1, right.rows * own || 0.5));
    case 'anti': {
      // Conditions beside equalities say little about how many rows have no partner at all.
      const least = clauses.some((clause) => clause.of === special && clause.binary !== null && planner.catalog.operator(clause.binary.operator)?.oprname !== '=') ? 0.1 : 0.01;
      return Math.max(1, left.rows * Math.max(least, 1 - Math.min(1, right.rows * own)) * filtered);
    }
  }
}

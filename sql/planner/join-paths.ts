/** All ways to join two sets of relations by nested loop, hash or merge. After joinpath.c. */
import type { Expr } from '../analyzer/query-tree.js';
import { asksPerRow, hashingShare, rowOperatorCost } from './column-costs.js';
import { exprsCost, makeCost, materialized, sortCost, widthOf } from './cost.js';
import type { BinaryClause, Clause, JoinProblem, SpecialJoin } from './join-problem.js';
import { cheapest, offerPath, satisfies, type Path, type SameValue } from './path.js';
import type { Cost, JoinKey, PlanJoinType, PlanNode, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import type { UsefulOrders } from './useful-orders.js';

export interface JoinRel {
  readonly mask: number;
  readonly rows: number;
  readonly paths: Path[];
}

interface JoinContext {
  readonly problem: JoinProblem;
  readonly planner: Planner;
  readonly same: SameValue;
  readonly type: PlanJoinType;
  readonly outer: JoinRel;
  readonly inner: JoinRel;
  /** Decide what matches. */
  readonly joinClauses: readonly Clause[];
  /** Tested on the result (outer joins only; otherwise they are join clauses). */
  readonly filters: readonly Expr[];
  readonly rows: number;
  readonly orders: UsefulOrders;
}

const INTEGERS = new Set([20, 21, 23]);
const FLOATS = new Set([700, 701]);

export function addJoinPaths(into: Path[], problem: JoinProblem, same: SameValue, orders: UsefulOrders, outer: JoinRel, inner: JoinRel, join: SpecialJoin | null, clauses: readonly Clause[], rows: number): void {
  const { planner } = problem;
  const type: PlanJoinType = join ? join.type : 'inner';
  const isOuter = type === 'left' || type === 'full' || type === 'anti';
  const joinClauses = clauses.filter((clause) => !isOuter || clause.of === join);
  const filters = isOuter ? clauses.filter((clause) => clause.of !== join).map((clause) => clause.expr) : [];
  const context: JoinContext = { problem, planner, same, type, outer, inner, joinClauses, filters, rows, orders };
  if (type !== 'full') nestLoops(into, context);
  hashJoins(into, context);
  mergeJoins(into, context);
  // The mirrored forms of left joins: the smaller side may be the one to hash.
  if (type === 'left') hashJoins(into, { ...context, type: 'right', outer: inner, inner: outer });
  if (into.length === 0 && type === 'full') fullWithoutKeys(into, context);
}

function outputOf(context: JoinContext, outer: PlanNode, inner: PlanNode): Expr[] {
  return context.type === 'semi' || context.type === 'anti' ? [...outer.output] : [...outer.output, ...inner.output];
}

/** Offers a join's path. */
function offer(into: Path[], context: JoinContext, order: readonly SortKey[], startup: number, total: number, outer: PlanNode, inner: PlanNode, make: (output: Expr[], cost: Cost) => PlanNode): void {
  const { planner, same, rows } = context;
  // A row has the same width in each path of the join.
  const cost = makeCost(startup, total, rows, into[0]?.node.cost.width ?? widthOf(outputOf(context, outer, inner), planner));
  const kept = context.orders.of(order, context.outer.mask | context.inner.mask);
  offerPath(into, { cost, order: kept, required: 0 }, () => ({ node: make(outputOf(context, outer, inner), cost), order: kept, required: 0, params: [], enforced: [] }), same);
}

function nestLoops(into: Path[], context: JoinContext): void {
  const { planner, outer, inner, type, joinClauses, filters, rows } = context;
  const bestInner = cheapest(inner.paths);
  const candidates: Path[] = [];
  if (bestInner) {
    candidates.push(bestInner);
    if (type !== 'semi' || bestInner.node.cost.rows > 1) candidates.push({ ...bestInner, node: materialized(bestInner.node, planner) });
  }
  candidates.push(...inner.paths.filter((path) => path.required !== 0 && (path.required & ~outer.mask) === 0));
  const inners = candidates.map((path) => {
    const enforced = new Set(path.enforced);
    const classes = new Set(path.enforced.filter((clause) => clause.ec >= 0).map((clause) => clause.ec));
    const quals = joinClauses.filter((clause) => !enforced.has(clause) && !(clause.ec >= 0 && classes.has(clause.ec))).map((clause) => clause.expr);
    const cost = path.node.cost;
    const again = path.node.kind === 'Materialize' ? { startup: 0, total: planner.cost.cpuOperator * cost.rows } : cost;
    const stops = type === 'semi' || type === 'anti';
    const fraction = stops && quals.length === 0 ? Math.min(1, 1 / Math.max(1, cost.rows)) : stops ? 0.6 : 1;
    // What comes before the first row is paid for even where no further one is asked for.
    const rescan = again.startup + (again.total - again.startup) * fraction;
    return { path, quals, cost, rescan, fraction, pair: planner.cost.cpuTuple + exprsCost(quals, planner) };
  });
  const penalty = planner.cost.penalty('enable_nestloop');
  const filtering = rows * exprsCost(filters, planner);
  for (const outerPath of outer.paths) {
    if (outerPath.required !== 0) continue;
    const o = outerPath.node.cost;
    for (const { path, quals, cost: i, rescan, fraction, pair } of inners) {
      const pairs = o.rows * i.rows * fraction;
      const total = o.total + i.total + Math.max(0, o.rows - 1) * rescan + pairs * pair + filtering + rowOperatorCost(o.rows + pairs / 4, planner) + penalty;
      offer(into, context, outerPath.order, o.startup + i.startup + penalty, total, outerPath.node, path.node, (output, cost) =>
        ({ kind: 'NestLoop', joinType: type, outer: outerPath.node, inner: path.node, joinQuals: quals, filter: filters, params: path.params, innerUnique: false, output, cost }));
    }
  }
}

/** Clauses that compare the two sides by a hashable or mergeable operator. */
function keysOf(context: JoinContext, property: 'oprcanhash' | 'oprcanmerge'): { keys: JoinKey[]; rest: Clause[]; used: Clause[] } {
  const { planner, outer, inner } = context;
  const keys: JoinKey[] = [];
  const rest: Clause[] = [];
  const used: Clause[] = [];
  for (const clause of context.joinClauses) {
    const key = clause.binary && keyOf(clause.binary, clause.expr, outer.mask, inner.mask);
    const operator = key && planner.catalog.operator(key.operator);
    if (key && operator?.[property] && operator.oprname === '=' && sameFamily(key.outer.type, key.inner.type)) {
      keys.push(key);
      used.push(clause);
    } else rest.push(clause);
  }
  return { keys, rest, used };
}

function keyOf(binary: BinaryClause, original: Expr, outer: number, inner: number): JoinKey | null {
  if ((binary.leftMask & ~outer) === 0 && (binary.rightMask & ~inner) === 0) return { outer: binary.left, inner: binary.right, operator: binary.operator, original };
  if ((binary.leftMask & ~inner) === 0 && (binary.rightMask & ~outer) === 0) return { outer: binary.right, inner: binary.left, operator: binary.commutator || binary.operator, original };
  return null;
}

/** Values that are equal have the same representation and compare by one function. */
function sameFamily(a: number, b: number): boolean {
  return a === b || (INTEGERS.has(a) && INTEGERS.has(b)) || (FLOATS.has(a) && FLOATS.has(b));
}

function hashJoins(into: Path[], context: JoinContext): void {
  const { planner, outer, inner, type, filters, rows } = context;
  const { keys, rest } = keysOf(context, 'oprcanhash');
  if (keys.length === 0) return;
  const innerPath = cheapest(inner.paths);
  if (!innerPath) return;
  const quals = rest.map((clause) => clause.expr);
  const cheapestTotal = cheapest(outer.paths);
  const cheapestStartup = cheapest(outer.paths, 0);
  for (const outerPath of new Set([cheapestTotal, cheapestStartup])) {
    if (!outerPath) continue;
    const o = outerPath.node.cost;
    const i = innerPath.node.cost;
    const { cpuOperator, cpuTuple } = planner.cost;
    const penalty = planner.cost.penalty('enable_hashjoin');
    const ofKeys = exprsCost(keys.map((key) => key.outer), planner) * o.rows + exprsCost(keys.map((key) => key.inner), planner) * i.rows;
    const onRows = asksPerRow(quals, planner) || asksPerRow(filters, planner);
    const share = onRows ? 1 : hashingShare(planner);
    const startup = i.total + share * (cpuOperator * keys.length + cpuTuple) * i.rows + o.startup + ofKeys + penalty;
    const total = startup + (o.total - o.startup) + share * (1.5 * cpuOperator * keys.length * o.rows + rows * (cpuTuple + exprsCost(quals, planner) + exprsCost(filters, planner))) + (onRows ? rowOperatorCost(o.rows + i.rows, planner) : 0);
    // Probing keeps the outer order, except for inner rows added at the end.
    offer(into, context, type === 'right' || type === 'full' ? [] : outerPath.order, startup, total, outerPath.node, innerPath.node, (output, cost) =>
      ({ kind: 'HashJoin', joinType: type, outer: outerPath.node, inner: innerPath.node, keys, joinQuals: quals, filter: filters, innerUnique: false, output, cost }));
  }
}

function mergeJoins(into: Path[], context: JoinContext): void {
  const { planner, outer, inner, type, filters, rows, same } = context;
  const { keys, rest } = keysOf(context, 'oprcanmerge');
  if (keys.length === 0) return;
  const quals = rest.map((clause) => clause.expr);
  const orders: { keys: readonly JoinKey[]; descending: boolean[]; nullsFirst: boolean[] }[] = [{ keys, descending: keys.map(() => false), nullsFirst: keys.map(() => false) }];
  // An outer path that is sorted by some of the keys gives another order to try.
  for (const path of outer.paths) {
    const matched: JoinKey[] = [];
    const descending: boolean[] = [];
    const nullsFirst: boolean[] = [];
    for (const sortKey of path.order) {
      const key = keys.find((candidate) => !matched.includes(candidate) && same(candidate.outer, sortKey.expr));
      if (!key) break;
      matched.push(key);
      descending.push(sortKey.descending);
      nullsFirst.push(sortKey.nullsFirst);
    }
    if (matched.length === keys.length) orders.push({ keys: matched, descending, nullsFirst });
  }
  for (const order of orders) {
    const wanted = (side: 'outer' | 'inner'): SortKey[] => order.keys.map((key, k) => ({ expr: key[side], descending: order.descending[k]!, nullsFirst: order.nullsFirst[k]!, sortOperator: 0 }));
    const outerPath = sortedPath(outer, wanted('outer'), context);
    const innerPath = sortedPath(inner, wanted('inner'), context);
    if (!outerPath || !innerPath) continue;
    const o = outerPath.node.cost;
    const i = innerPath.node.cost;
    const { cpuOperator, cpuTuple } = planner.cost;
    const penalty = planner.cost.penalty('enable_mergejoin');
    const total = o.total + i.total + cpuOperator * keys.length * (o.rows + i.rows) + rows * (cpuTuple + exprsCost(quals, planner) + exprsCost(filters, planner)) + rowOperatorCost(o.rows + i.rows, planner) + penalty;
    offer(into, context, type === 'full' ? [] : outerPath.order, o.startup + i.startup + penalty, total, outerPath.node, innerPath.node, (output, cost) => ({
      kind: 'MergeJoin', joinType: type, outer: outerPath.node, inner: innerPath.node, keys: order.keys, descending: order.descending, nullsFirst: order.nullsFirst,
      joinQuals: quals, filter: filters, innerUnique: false, output, cost,
    }));
  }
}

function sortedPath(rel: JoinRel, wanted: readonly SortKey[], context: JoinContext): Path | null {
  const { planner, same } = context;
  let best: Path | null = null;
  for (const path of rel.paths) {
    if (path.required !== 0 || !satisfies(path.order, wanted, same)) continue;
    if (!best || path.node.cost.total < best.node.cost.total) best = path;
  }
  const unsorted = cheapest(rel.paths);
  if (unsorted) {
    const cost = sortCost(unsorted.node.cost, wanted.length, null, planner);
    if (!best || cost.total < best.node.cost.total) {
      best = { ...unsorted, order: wanted, node: { kind: 'Sort', child: unsorted.node, keys: wanted, bound: null, output: unsorted.node.output, cost } };
    }
  }
  return best;
}

/** FULL JOIN ON a constant condition: every pair matches or none does. */
function fullWithoutKeys(into: Path[], context: JoinContext): void {
  const { planner, outer, inner, joinClauses, filters, rows } = context;
  if (joinClauses.some((clause) => clause.mask !== 0)) return;
  const o = cheapest(outer.paths);
  const i = cheapest(inner.paths);
  if (!o || !i) return;
  const output = outputOf(context, o.node, i.node);
  into.push({
    node: {
      kind: 'HashJoin', joinType: 'full', outer: o.node, inner: i.node, keys: [], joinQuals: joinClauses.map((clause) => clause.expr), filter: filters, innerUnique: false, output,
      cost: makeCost(i.node.cost.total, o.node.cost.total + i.node.cost.total + o.node.cost.rows * i.node.cost.rows * planner.cost.cpuTuple, rows, widthOf(output, planner)),
    },
    order: [], required: 0, params: [], enforced: [],
  });
}


/**
 * A SELECT: joins, then grouping, windows, set-returning targets, DISTINCT, ORDER BY, row locks and
 * LIMIT, in SQL's order. Sorting comes before the target list where nothing forbids it, so that
 * LIMIT keeps targets from being computed for rows nobody sees. After grouping_planner (planner.c).
 */
import type { Expr, Query, SortGroupClause, TargetEntry } from '../analyzer/query-tree.js';
import { contains, walk } from '../analyzer/tree-walk.js';
import { exprsCost, makeCost, sortCost, widthOf } from './cost.js';
import { planGrouping } from './grouping.js';
import { planLevel, prepare } from './level.js';
import { hasSet, treeVarnos } from './logical.js';
import { minMaxByIndex } from './min-max.js';
import { cheapest, satisfies, type Path, type SameValue } from './path.js';
import type { PlanNode, PlannedRowMark, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { planSetOperation } from './set-operation.js';
import { distinctCombinations } from './selectivity.js';
import { functionRows } from './level.js';
import { withSublinkColumns } from './sublink-columns.js';
import { planWindows } from './windows.js';

export interface PlannedSelect {
  /** Output: the visible targets in order. */
  readonly node: PlanNode;
  readonly columns: readonly Expr[];
  readonly order: readonly SortKey[];
}

export function targetByRef(query: Query, ref: number): TargetEntry {
  const entry = query.targetList.find((target) => target.sortGroupRef === ref);
  if (!entry) throw new Error(`no target with reference ${ref}`);
  return entry;
}

export function sortKeys(clauses: readonly SortGroupClause[], query: Query): SortKey[] {
  return clauses.map((clause) => ({ expr: targetByRef(query, clause.ref).expr, descending: clause.descending, nullsFirst: clause.nullsFirst, sortOperator: clause.sortOperator }));
}

/** `fraction` of the rows that will be fetched, 1 for all. */
export function planSelect(query: Query, planner: Planner, fraction = 1): PlannedSelect {
  if (query.setOperations) return planSetOperation(query, planner);
  const logical = prepare(query, planner);
  const minMax = planner.ruleEnabled('min-max-by-index') ? minMaxByIndex(logical, planner) : null;
  if (minMax) return finish(minMax.query, [minMax.path], (a, b) => a === b, planner, fraction);
  const marks = rowMarks(logical.query, planner);
  const rowIdsOf = marks.length > 0 ? treeVarnos(logical.tree).filter((varno) => planner.entry(varno).kind === 'relation') : [];
  const level = planLevel(logical, planner, { rowIdsOf, wanted: wantedOrders });
  const grouped = planGrouping(level, planner);
  return finish(grouped.query, grouped.paths, level.same, planner, fraction, marks);
}

/** Orders that would save a sort. */
function wantedOrders(query: Query): SortKey[][] {
  const orders = [query.groupClause, query.distinctClause, query.sortClause].filter((clauses) => clauses.length > 0).map((clauses) => sortKeys(clauses, query));
  for (const window of query.windowClause) orders.push(sortKeys([...window.partitionBy, ...window.orderBy], query));
  return orders;
}

function rowMarks(query: Query, planner: Planner): PlannedRowMark[] {
  return query.rowMarks.flatMap((mark): PlannedRowMark[] => {
    const entry = planner.entry(mark.rtindex);
    if (entry.kind !== 'relation') return [];
    planner.useRelation(entry.relation, 'RowShareLock');
    planner.locksRows = true;
    return [{ mark, varno: mark.rtindex, relation: entry.relation }];
  });
}

/** LIMIT and OFFSET as far as they are constants: how many rows are wanted, -1 unknown. */
function limitRows(query: Query): number {
  const number = (expr: Expr | null, otherwise: number): number => {
    if (expr === null) return otherwise;
    return expr.kind === 'Const' ? (expr.value === null ? otherwise : Number(expr.value as number)) : NaN;
  };
  const count = number(query.limitCount, Infinity) + number(query.limitOffset, 0);
  return Number.isNaN(count) ? -1 : count;
}

function finish(query: Query, paths: readonly Path[], same: SameValue, planner: Planner, fraction: number, marks: readonly PlannedRowMark[] = []): PlannedSelect {
  const wanted = sortKeys(query.sortClause, query);
  const limit = limitRows(query);
  const windowed = planWindows(query, paths, same, planner);
  const targets = query.targetList.map((entry) => entry.expr);
  const visible = query.targetList.filter((entry) => !entry.junk).map((entry) => entry.expr);
  const early = query.distinctClause.length > 0 || targets.some(hasSet);
  const cheapestRows = cheapest(windowed)!.node.cost.rows;
  const share = limit >= 0 && Number.isFinite(limit) ? Math.min(1, Math.max(limit, 1) / cheapestRows) : query.limitCount && limit < 0 ? 0.1 : fraction;
  if (!early) {
    let path = sorted(windowed, wanted, same, planner, share, Number.isFinite(limit) && limit >= 0 && !query.withTies && marks.length === 0 ? limit : null);
    path = locked(path, marks, planner);
    path = limited(path, query, limit, planner);
    return { node: project(path.node, visible, planner), columns: visible, order: path.order };
  }
  let path = computed(cheapestFor(windowed, wanted, same, planner, share), targets, planner);
  path = distinct(path, query, wanted, same, planner);
  path = sorted([path], wanted, same, planner, share, Number.isFinite(limit) && limit >= 0 && !query.withTies ? limit : null);
  path = limited(path, query, limit, planner);
  return { node: project(path.node, visible, planner), columns: visible, order: path.order };
}

function cheapestFor(paths: readonly Path[], wanted: readonly SortKey[], same: SameValue, planner: Planner, share: number): Path {
  return wanted.length > 0 ? sortedChoice(paths, wanted, same, planner, share, null).unsorted : cheapest(paths, share)!;
}

/** The cheapest way to have the rows in the wanted order. */
function sortedChoice(paths: readonly Path[], wanted: readonly SortKey[], same: SameValue, planner: Planner, share: number, bound: number | null): { path: Path; unsorted: Path } {
  let best: { path: Path; unsorted: Path; cost: number } | null = null;
  for (const path of paths) {
    if (path.required !== 0) continue;
    const ordered = satisfies(path.order, wanted, same);
    const result: Path = ordered ? path : { ...path, order: wanted, node: sortNode(path.node, wanted, bound, planner) };
    const cost = result.node.cost.startup + share * (result.node.cost.total - result.node.cost.startup);
    if (!best || cost < best.cost) best = { path: result, unsorted: path, cost };
  }
  return best!;
}

export function sortNode(input: PlanNode, keys: readonly SortKey[], bound: number | null, planner: Planner): PlanNode {
  const child = withSublinkColumns(input, keys.map((key) => key.expr), planner);
  return { kind: 'Sort', child, keys, bound, output: child.output, cost: sortCost(child.cost, keys.length, bound, planner) };
}

function sorted(paths: readonly Path[], wanted: readonly SortKey[], same: SameValue, planner: Planner, share: number, bound: number | null): Path {
  const keys = wanted.filter((key) => key.expr.kind !== 'Const');
  if (keys.length === 0) return cheapest(paths, share)!;
  return sortedChoice(paths, keys, same, planner, share, bound).path;
}

function locked(path: Path, marks: readonly PlannedRowMark[], planner: Planner): Path {
  if (marks.length === 0) return path;
  const { cost } = path.node;
  return { ...path, node: { kind: 'LockRows', child: path.node, marks, output: path.node.output, cost: makeCost(cost.startup, cost.total + planner.cost.cpuTuple * cost.rows, cost.rows, cost.width) } };
}

function limited(path: Path, query: Query, limit: number, planner: Planner): Path {
  if (!query.limitCount && !query.limitOffset) return path;
  const { cost } = path.node;
  const constant = (expr: Expr | null): boolean => expr?.kind === 'Const' && (expr.value === null || Number(expr.value as number) === 0);
  if (query.limitCount?.kind === 'Const' && query.limitCount.value === null && (!query.limitOffset || constant(query.limitOffset))) return path;
  const rows = limit < 0 ? Math.max(1, cost.rows * 0.1) : Math.min(cost.rows, limit);
  const total = cost.startup + (cost.total - cost.startup) * Math.min(1, rows / Math.max(1, cost.rows));
  const tieKeys = query.withTies ? sortKeys(query.sortClause, query) : null;
  void planner;
  return { ...path, node: { kind: 'Limit', child: path.node, offset: query.limitOffset, count: query.limitCount, tieKeys, output: path.node.output, cost: makeCost(cost.startup, total, rows, cost.width) } };
}

/** Targets computed, set-returning functions run: innermost first. */
function computed(path: Path, targets: readonly Expr[], planner: Planner): Path {
  let { node } = path;
  const done = new Set<Expr>();
  for (;;) {
    const next: Expr[] = [];
    for (const target of targets) {
      walk(target, (expr) => {
        if (done.has(expr)) return true;
        if (expr.kind === 'FuncExpr' && expr.returnsSet && !expr.args.some((arg) => contains(arg, (inner) => inner.kind === 'FuncExpr' && inner.returnsSet && !done.has(inner)))) {
          if (!next.includes(expr)) next.push(expr);
          return true;
        }
        return false;
      });
    }
    if (next.length === 0) break;
    const output = [...node.output, ...next];
    const rows = node.cost.rows * Math.max(...next.map((expr) => functionRows(expr, planner)));
    node = { kind: 'ProjectSet', child: node, output, cost: makeCost(node.cost.startup, node.cost.total + rows * planner.cost.cpuTuple, rows, widthOf(output, planner)) };
    next.forEach((expr) => done.add(expr));
  }
  return { ...path, order: done.size > 0 ? [] : path.order, node: project(node, targets, planner) };
}

export function project(node: PlanNode, output: readonly Expr[], planner: Planner): PlanNode {
  if (output.length === node.output.length && output.every((expr, i) => expr === node.output[i])) return node;
  const { cost } = node;
  const width = widthOf(output, planner);
  if (node.kind === 'Result' && node.child === null && node.output.length === 0) return { ...node, output, cost: makeCost(cost.startup, cost.total + exprsCost(output, planner), node.empty ? 0 : 1, width) };
  return { kind: 'Project', child: node, output, cost: makeCost(cost.startup, cost.total + exprsCost(output, planner) * cost.rows, cost.rows, width) };
}

/** DISTINCT by hash, or by order where ORDER BY or DISTINCT ON ask for it. */
function distinct(path: Path, query: Query, wanted: readonly SortKey[], same: SameValue, planner: Planner): Path {
  if (query.distinctClause.length === 0) return path;
  const { node } = path;
  const keys = sortKeys(query.distinctClause, query);
  const exprs = keys.map((key) => key.expr);
  const groups = distinctCombinations(exprs, planner, node.cost.rows);
  if (query.hasDistinctOn) {
    // ORDER BY begins with the DISTINCT ON expressions (the analyzer saw to it).
    const order = wanted.length >= keys.length ? wanted : keys;
    const input = satisfies(path.order, order, same) ? node : sortNode(node, order, null, planner);
    return { ...path, order, node: { kind: 'Unique', child: input, keys: exprs, output: input.output, cost: makeCost(input.cost.startup, input.cost.total + input.cost.rows * planner.cost.cpuOperator, groups, input.cost.width) } };
  }
  if (satisfies(path.order, keys, same)) {
    return { ...path, node: { kind: 'Unique', child: node, keys: exprs, output: node.output, cost: makeCost(node.cost.startup, node.cost.total + node.cost.rows * planner.cost.cpuOperator, groups, node.cost.width) } };
  }
  const hashedTotal = node.cost.total + node.cost.rows * planner.cost.cpuOperator * keys.length;
  const hashed: PlanNode = {
    kind: 'Agg', strategy: 'hashed', child: node, groups: node.output, groupingSets: null, groupRefs: [], aggs: [], filter: [], output: node.output,
    cost: makeCost(hashedTotal, hashedTotal + groups * planner.cost.cpuTuple, groups, node.cost.width),
  };
  return { ...path, order: [], node: hashed };
}


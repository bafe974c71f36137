/**
 * One query level up to its joins: rewrites, sublinks, the relations' own paths, the join order.
 * What comes after (grouping, windows, sorting, ...) builds on its `Path`s.
 */
import type { Expr, Query, RangeTableEntry, Var } from '../analyzer/query-tree.js';
import { walk } from '../analyzer/tree-walk.js';
import { bindOuter, relationPaths } from './base-paths.js';
import { exprsCost, makeCost, widthOf } from './cost.js';
import { buildEquivalences } from './equivalence.js';
import { isConst } from './fold.js';
import { conjuncts, toLogical, treeVarnos, type Logical, type Tree } from './logical.js';
import { JoinProblem, type Rel } from './join-problem.js';
import { searchJoins } from './join-search.js';
import { addPath, type Path, type SameValue } from './path.js';
import { UsefulOrders } from './useful-orders.js';
import type { ParamBinding, PlanNode, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { planCte } from './plan-cte.js';
import { planSelect } from './select.js';
import { planSublinks } from './sublinks.js';
import { exprVarnos, freeVars, mapQuery, walkQueryVars, walkVars } from './query-vars.js';
import { rewrite } from './rules/index.js';
import { selectivityOf } from './selectivity.js';

export interface Level {
  readonly logical: Logical;
  readonly query: Query;
  readonly paths: readonly Path[];
  readonly rows: number;
  readonly same: SameValue;
}

export interface LevelOptions {
  /** Row ids of these entries must come with the rows (row locks, modifications). */
  readonly rowIdsOf?: readonly number[];
  /** Orders that later steps would like. */
  readonly wanted?: (query: Query) => readonly (readonly SortKey[])[];
}

/** Rewrites a query of the planner's form. HAVING conditions without aggregates move to WHERE. */
export function prepare(query: Query, planner: Planner): Logical {
  let logical = rewrite(toLogical(query), planner);
  const { having, groupClause, groupingSets } = logical.query;
  if (having && groupClause.length > 0 && groupingSets === null && logical.tree.kind === 'from') {
    const parts = conjuncts(having);
    const moved = parts.filter((part) => !hasAggregate(part) && !containsSublink(part));
    if (moved.length > 0) {
      const rest = parts.filter((part) => !moved.includes(part));
      logical = { tree: { ...logical.tree, quals: [...logical.tree.quals, ...moved] }, query: { ...logical.query, having: andAll(rest) } };
      logical = rewrite(logical, planner);
    }
  }
  planSublinks(logical, planner);
  return logical;
}

export function andAll(parts: readonly Expr[]): Expr | null {
  if (parts.length === 0) return null;
  return parts.length === 1 ? parts[0]! : { kind: 'BoolExpr', op: 'and', args: parts, type: 16, typmod: -1, collation: 0, location: -1 };
}

function hasAggregate(expr: Expr): boolean {
  let found = false;
  walk(expr, (node) => {
    if (node.kind === 'Aggref' || node.kind === 'GroupingFunc') found = true;
    return found;
  });
  return found;
}

function containsSublink(expr: Expr): boolean {
  let found = false;
  walk(expr, (node) => {
    if (node.kind === 'SubLink') found = true;
    return found;
  });
  return found;
}

export function planLevel(logical: Logical, planner: Planner, options: LevelOptions = {}): Level {
  const { query, tree } = logical;
  const varnos = treeVarnos(tree);
  if (varnos.length === 0) return { logical, query, paths: [emptyFrom(tree, planner)], rows: 1, same: (a, b) => a === b };
  const problem = new JoinProblem(tree, planner);
  const same = buildEquivalences(problem);
  const needed = neededColumns(logical, varnos, planner, options.rowIdsOf ?? []);
  const ofQuery = options.wanted?.(query) ?? [];
  const wanted = [...ofQuery, ...mergeOrders(problem)];
  for (const rel of problem.rels) basePaths(rel, needed.get(rel.varno) ?? [], problem, wanted, same, planner);
  const joined = searchJoins(problem, same, new UsefulOrders(problem, same, ofQuery));
  let { paths } = joined;
  if (problem.pseudoconstants.length > 0) paths = paths.map((path) => gated(path, problem.pseudoconstants));
  return { logical, query, paths, rows: joined.rows, same };
}

/** Orders that merge joins could use. */
function mergeOrders(problem: JoinProblem): SortKey[][] {
  return problem.clauses.flatMap((clause) => (clause.binary ? [[key(clause.binary.left)], [key(clause.binary.right)]] : []));
}

function key(expr: Expr): SortKey {
  return { expr, descending: false, nullsFirst: false, sortOperator: 0 };
}

function emptyFrom(tree: Tree, planner: Planner): Path {
  const quals = tree.kind === 'from' ? tree.quals : [];
  const never = quals.some((qual) => isConst(qual, false) || isConst(qual, null));
  const node: PlanNode = { kind: 'Result', child: null, oneTimeFilter: quals, empty: never, output: [], cost: makeCost(0, planner.cost.cpuTuple, 1, 0) };
  return { node, order: [], required: 0, params: [], enforced: [] };
}

/** One-time conditions before the whole join. */
function gated(path: Path, quals: readonly Expr[]): Path {
  const constant = quals.find((qual) => isConst(qual, false) || isConst(qual, null));
  const { node } = path;
  const gate: PlanNode = { kind: 'Result', child: constant ? null : node, oneTimeFilter: quals, empty: constant !== undefined, output: node.output, cost: constant ? makeCost(0, 0, 1, node.cost.width) : node.cost };
  return { ...path, node: gate };
}

/** Columns of each relation that anything at this level or below reads. */
function neededColumns(logical: Logical, varnos: readonly number[], planner: Planner, rowIdsOf: readonly number[]): Map<number, Var[]> {
  const needed = new Map<number, Map<number, Var>>(varnos.map((varno) => [varno, new Map()]));
  const note = (node: Var): void => void needed.get(node.varno)?.set(node.attno, { ...node, location: -1 });
  const { query } = logical;
  const visit = (expr: Expr): void => walkVars(expr, planner, note);
  query.targetList.forEach((entry) => visit(entry.expr));
  query.returning.forEach((entry) => visit(entry.expr));
  if (query.having) visit(query.having);
  if (query.onConflict) {
    query.onConflict.set.forEach((entry) => visit(entry.expr));
    if (query.onConflict.where) visit(query.onConflict.where);
  }
  const tree = (node: Tree): void => {
    if (node.kind === 'rel') {
      const entry = planner.entry(node.varno);
      if (entry.kind === 'function') entry.functions.forEach(visit);
      else if (entry.kind === 'values') entry.rows.forEach((row) => row.forEach(visit));
      else if (entry.kind === 'subquery' && entry.lateral) walkQueryVars(entry.query, planner, note);
      return;
    }
    node.quals.forEach(visit);
    if (node.kind === 'join') {
      tree(node.left);
      tree(node.right);
    } else node.items.forEach(tree);
  };
  tree(logical.tree);
  for (const varno of rowIdsOf) note(planner.var(varno, -1));
  return new Map([...needed].map(([varno, columns]) => [varno, [...columns.values()].sort((a, b) => a.attno - b.attno)]));
}

function basePaths(rel: Rel, output: readonly Var[], problem: JoinProblem, wanted: readonly (readonly SortKey[])[], same: SameValue, planner: Planner): void {
  const entry = planner.entry(rel.varno);
  switch (entry.kind) {
    case 'relation': {
      const relation = planner.catalog.relation(entry.relation)!;
      planner.useRelation(relation.oid, 'AccessShareLock');
      relationPaths(rel, relation, output, problem, wanted, same);
      return;
    }
    case 'subquery':
      subqueryPath(rel, entry, output, problem, planner);
      return;
    case 'function':
      functionPath(rel, entry, output, problem, planner);
      return;
    case 'values':
      valuesPath(rel, entry, output, problem, planner);
      return;
    case 'cte':
      ctePath(rel, entry, output, problem, planner);
      return;
    case 'join': case 'result':
      throw new Error(`range table entry of kind ${entry.kind} in FROM`);
  }
}

function filterOf(rel: Rel, problem: JoinProblem): Expr[] {
  return problem.restrictions(rel).map((clause) => clause.expr);
}

/** Other relations of the level that an expression reads: they must be outside, in a nested loop. */
function lateralMask(varnos: Iterable<number>, rel: Rel, problem: JoinProblem): number {
  let mask = 0;
  for (const varno of varnos) if (varno !== rel.varno) mask |= problem.bitOf(varno);
  rel.lateral |= mask;
  return mask;
}

function add(rel: Rel, node: PlanNode, order: readonly SortKey[], required: number, params: readonly ParamBinding[]): void {
  rel.rows = node.cost.rows;
  addPath(rel.paths, { node, order, required, params, enforced: [] });
}

function subqueryPath(rel: Rel, entry: Extract<RangeTableEntry, { kind: 'subquery' }>, output: readonly Var[], problem: JoinProblem, planner: Planner): void {
  const outer = freeVars(entry.query, planner);
  const required = lateralMask(outer.map((node) => node.varno), rel, problem);
  const params: ParamBinding[] = outer.map((node) => ({ id: planner.newParam(node).id, expr: node }));
  const query = outer.length === 0 ? entry.query : mapQuery(entry.query, planner, (node) => {
    if (node.kind !== 'Var') return undefined;
    const at = outer.findIndex((other) => other.varno === node.varno && other.attno === node.attno);
    return at < 0 ? undefined : { kind: 'Param', paramKind: 'exec', id: params[at]!.id, type: node.type, typmod: node.typmod, collation: node.collation, location: -1 };
  });
  const planned = planSelect(query, planner);
  const filter = filterOf(rel, problem);
  const child = planned.node;
  const rows = child.cost.rows * selectivityOf(filter, planner);
  const total = child.cost.total + child.cost.rows * (planner.cost.cpuTuple * (filter.length > 0 ? 1 : 0.1) + exprsCost(filter, planner));
  // The order survives in the columns that are passed on.
  const order: SortKey[] = [];
  for (const sortKey of planned.order) {
    const position = planned.columns.findIndex((expr) => expr === sortKey.expr || (expr.kind === 'Var' && sortKey.expr.kind === 'Var' && expr.varno === sortKey.expr.varno && expr.attno === sortKey.expr.attno));
    if (position < 0) break;
    order.push({ ...sortKey, expr: planner.var(rel.varno, position + 1) });
  }
  add(rel, {
    kind: 'SubqueryScan', varno: rel.varno, child, filter, columns: output.map((variable) => variable.attno - 1), output, cost: makeCost(child.cost.startup, total, rows, widthOf(output, planner)),
  }, order, required, params);
}

function functionPath(rel: Rel, entry: Extract<RangeTableEntry, { kind: 'function' }>, output: readonly Var[], problem: JoinProblem, planner: Planner): void {
  const params: ParamBinding[] = [];
  const required = lateralMask(entry.functions.flatMap((expr) => [...exprVarnos(expr, planner)]), rel, problem);
  const functions = entry.functions.map((expr) => bindOuter(expr, rel, problem, params));
  const filter = filterOf(rel, problem);
  const rows = Math.max(...functions.map((expr) => functionRows(expr, planner)));
  const total = rows * (planner.cost.cpuTuple + exprsCost(filter, planner)) + rows * 0.0;
  add(rel, {
    kind: 'FunctionScan', varno: rel.varno, functions, columnCounts: entry.columnCounts, ordinality: entry.ordinality, filter, output,
    cost: makeCost(0, total, rows * selectivityOf(filter, planner), widthOf(output, planner)),
  }, [], required, params);
}

/** prorows of a set-returning function; generate_series over constants is known. */
export function functionRows(expr: Expr, planner: Planner): number {
  if (expr.kind !== 'FuncExpr' || !expr.returnsSet) return 1;
  const proc = planner.catalog.proc(expr.func);
  if (proc?.proname === 'generate_series' && expr.args.every((arg) => arg.kind === 'Const' && typeof arg.value === 'number')) {
    const [from, to, step] = expr.args.map((arg) => (arg as { value: number }).value);
    return Math.max(1, Math.floor((to! - from!) / (step || 1)) + 1);
  }
  if (proc?.proname === 'unnest' && expr.args[0]?.kind === 'ArrayExpr') return Math.max(1, expr.args[0].elements.length);
  return proc?.proname === 'unnest' || proc?.proname === 'jsonb_array_elements' ? 10 : 1000;
}

function valuesPath(rel: Rel, entry: Extract<RangeTableEntry, { kind: 'values' }>, output: readonly Var[], problem: JoinProblem, planner: Planner): void {
  const params: ParamBinding[] = [];
  const required = lateralMask(entry.lateral ? entry.rows.flatMap((row) => row.flatMap((expr) => [...exprVarnos(expr, planner)])) : [], rel, problem);
  const rows = required === 0 ? entry.rows : entry.rows.map((row) => row.map((expr) => bindOuter(expr, rel, problem, params)));
  const filter = filterOf(rel, problem);
  const cost = makeCost(0, rows.length * (planner.cost.cpuOperator + planner.cost.cpuTuple + exprsCost(filter, planner)), rows.length * selectivityOf(filter, planner), widthOf(output, planner));
  add(rel, { kind: 'ValuesScan', varno: rel.varno, rows, filter, output, cost }, [], required, params);
}

function ctePath(rel: Rel, entry: Extract<RangeTableEntry, { kind: 'cte' }>, output: readonly Var[], problem: JoinProblem, planner: Planner): void {
  const info = planner.cteOf.get(rel.varno)!;
  const filter = filterOf(rel, problem);
  const width = widthOf(output, planner);
  if (entry.selfReference) {
    const rows = Math.max(1, info.rows * 10);
    add(rel, { kind: 'WorkTableScan', varno: rel.varno, recursion: info.id, filter, output, cost: makeCost(0, rows * (planner.cost.cpuTuple + exprsCost(filter, planner)), rows * selectivityOf(filter, planner), width) }, [], 0, []);
    return;
  }
  const planned = planCte(info, planner);
  const rows = planned.plan.cost.rows;
  add(rel, {
    kind: 'CteScan', varno: rel.varno, cte: { id: info.id, name: info.cte.name }, filter, output,
    cost: makeCost(0, rows * (2 * planner.cost.cpuTuple + exprsCost(filter, planner)), rows * selectivityOf(filter, planner), width),
  }, [], 0, []);
}


/** Ways to read one relation: sequential, by index (with and without values from other relations), by ctid. */
import type { Expr, Var } from '../analyzer/query-tree.js';
import type { Index, Relation } from '../catalog/catalog.js';
import { BTREE_AM } from '../catalog/catalog.js';
import { indexAccess } from '../access/index-access.js';
import { rowCompilerOf } from '../executor/row-compiler.js';
import { BLOCK_SIZE } from './cost-settings.js';
import { asksPerRow, COLUMN_SCAN, fetchCost, KERNEL_SHARE, KEY_LOOKUP, LEARNED_FETCH, LEARNED_LOOKUP, lookupCost, readsColumns, rowOperatorCost } from './column-costs.js';
import { exprsCost, makeCost, widthOf } from './cost.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { conjuncts } from './logical.js';
import { indexExpressions, indexPredicate, isLossy, matchColumn, predicateImplied } from './index-match.js';
import type { Clause, JoinProblem, Rel } from './join-problem.js';
import { addPath, type Path, type SameValue } from './path.js';
import type { Cost, IndexCondition, ParamBinding, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { givesColumn, learnedMemory } from '../learned/learned-access.js';
import { isLearned } from '../learned/learned-options.js';
import { mapDeep } from './query-vars.js';
import { relationRows, selectivityOf, variableStats } from './selectivity.js';

interface BaseRelation {
  readonly planner: Planner;
  readonly rel: Rel;
  readonly relation: Relation;
  readonly output: readonly Var[];
  readonly rows: number;
  readonly pages: number;
  readonly width: number;
  readonly quals: readonly Expr[];
}

export function relationPaths(rel: Rel, relation: Relation, output: readonly Var[], problem: JoinProblem, wanted: readonly (readonly SortKey[])[], same: SameValue): void {
  const { planner } = problem;
  const rows = relationRows(relation, planner);
  const width = widthOf(output, planner);
  const pages = Math.max(rows === 0 ? 1 : 1, Math.ceil((rows * (widthOfRelation(relation) + 28)) / BLOCK_SIZE));
  const quals = problem.restrictions(rel).map((clause) => clause.expr);
  const base: BaseRelation = { planner, rel, relation, output, rows, pages, width, quals };
  rel.rows = Math.max(1, rows * selectivityOf(quals, planner));
  seqScan(base);
  tidScan(base);
  for (const index of relation.indexes) {
    if (!index.valid || (index.accessMethod !== BTREE_AM && !isLearned(index))) continue;
    const predicate = indexPredicate(index, relation, rel.varno, planner);
    if (!predicateImplied(predicate, quals, planner)) continue;
    indexPaths(base, index, predicate, problem, wanted, same);
  }
  orPaths(base);
}

function widthOfRelation(relation: Relation): number {
  return relation.attributes.reduce((sum, attribute) => sum + (attribute.attisdropped ? 0 : attribute.attlen > 0 ? attribute.attlen : relation.statistics(attribute.attnum)?.averageWidth ?? 32), 0);
}

function seqScan(base: BaseRelation): void {
  const { planner, rel, relation, output, quals } = base;
  const entry = planner.entry(rel.varno);
  const { cost } = planner;
  const perRow = cost.cpuTuple + exprsCost(quals, planner);
  const columns = !(entry.kind === 'relation' && entry.sample) && readsColumns(relation, output, base.rows, planner);
  if (columns) planner.columnar = true;
  const byKernel = columns && !asksPerRow(quals, planner);
  const total = (byKernel ? COLUMN_SCAN + KERNEL_SHARE * perRow * base.rows : cost.seqPage * base.pages + perRow * base.rows + (columns ? rowOperatorCost(base.rows, planner) : 0)) + cost.penalty('enable_seqscan');
  addPath(rel.paths, {
    node: { kind: 'SeqScan', varno: rel.varno, relation: relation.oid, output, filter: quals, sample: entry.kind === 'relation' ? entry.sample : null, cost: makeCost(cost.penalty('enable_seqscan'), total, rel.rows, base.width) },
    order: [], required: 0, params: [], enforced: [],
  });
}

/** ctid = value, or = ANY (array). */
function tidScan(base: BaseRelation): void {
  const { planner, rel, relation, output, quals } = base;
  const isCtid = (expr: Expr | undefined): boolean => expr?.kind === 'Var' && expr.varno === rel.varno && expr.attno === -1;
  for (const qual of quals) {
    if (qual.kind !== 'OpExpr' && qual.kind !== 'ScalarArrayOpExpr') continue;
    const operator = planner.catalog.operator(qual.operator);
    if (operator?.oprname !== '=' || operator.oprleft !== 27) continue;
    const [left, right] = qual.args as [Expr, Expr];
    const value = isCtid(left) ? right : isCtid(right) && qual.kind === 'OpExpr' ? left : null;
    if (!value || (qual.kind === 'ScalarArrayOpExpr' && !qual.useOr)) continue;
    const count = qual.kind === 'OpExpr' ? 1 : 10;
    addPath(rel.paths, {
      node: {
        kind: 'TidScan', varno: rel.varno, relation: relation.oid, output, tids: [value], isArray: qual.kind === 'ScalarArrayOpExpr', condition: qual, filter: quals,
        cost: makeCost(0, (planner.cost.randomPage + planner.cost.cpuTuple) * count, count, base.width),
      },
      order: [], required: 0, params: [], enforced: [],
    });
    rel.rows = Math.min(rel.rows, count);
  }
}

interface Match { readonly conditions: IndexCondition[]; readonly used: Expr[] }

/** The conditions on leading columns: equalities, then bounds on the column after them. */
function matchIndex(quals: readonly Expr[], index: Index, expressions: readonly Expr[], varno: number, planner: Planner): Match {
  const conditions: IndexCondition[] = [];
  const used: Expr[] = [];
  for (let column = 0; column < expressions.length; column++) {
    const found = quals.map((qual) => ({ qual, matched: matchColumn(qual, index, column, expressions[column]!, varno, planner) })).filter(({ matched }) => matched.length > 0);
    const exact = found.find(({ matched }) => matched[0]!.strategy === '=' || matched[0]!.strategy === 'null') ?? found.find(({ matched }) => matched[0]!.strategy === 'any');
    if (exact) {
      conditions.push(exact.matched[0]!);
      used.push(exact.qual);
      continue;
    }
    for (const { qual, matched } of found) {
      conditions.push(...matched);
      used.push(qual);
    }
    break;
  }
  return { conditions, used };
}

function indexPaths(base: BaseRelation, index: Index, predicate: readonly Expr[], problem: JoinProblem, wanted: readonly (readonly SortKey[])[], same: SameValue): void {
  const { planner, rel, relation, quals } = base;
  const expressions = indexExpressions(index, relation, rel.varno, planner);
  const own = matchIndex(quals, index, expressions, rel.varno, planner);
  if (isLearned(index)) {
    // Its rows come in no order, so conditions are all that it is read for.
    if (own.conditions.length > 0) addPath(rel.paths, indexPath(base, index, own, predicate, [], false, [], coveredBy(base, index), 0, []));
    parameterized(base, index, expressions, predicate, problem, [], coveredBy(base, index));
    return;
  }
  const order = indexOrder(index, expressions, own.conditions);
  const useful = wanted.some((keys) => keys.length > 0 && order.length > 0 && same(order[0]!.expr, keys[0]!.expr));
  const indexOnly = coveredBy(base, index);
  if (own.conditions.length > 0 || useful || (indexOnly && index.predicateText !== null)) {
    addPath(rel.paths, indexPath(base, index, own, predicate, [], false, order, indexOnly, 0, []));
    const backward = order.map((key) => ({ ...key, descending: !key.descending, nullsFirst: !key.nullsFirst }));
    if (useful) addPath(rel.paths, indexPath(base, index, own, predicate, [], true, backward, indexOnly, 0, []));
  }
  parameterized(base, index, expressions, predicate, problem, order, indexOnly);
}

/** Index scans whose conditions take values from other relations: inner sides of nested loops. */
function parameterized(base: BaseRelation, index: Index, expressions: readonly Expr[], predicate: readonly Expr[], problem: JoinProblem, order: readonly SortKey[], indexOnly: boolean): void {
  const { planner, rel, quals } = base;
  const joins = problem.clauses.filter((clause) => (clause.mask & rel.bit) !== 0 && clause.mask !== rel.bit && usableInside(clause, rel, problem));
  const matching = joins.filter((clause) => expressions.some((expression, column) => matchColumn(clause.expr, index, column, expression, rel.varno, planner).length > 0));
  const masks = new Set(matching.map((clause) => clause.mask & ~rel.bit));
  if (masks.size > 1) masks.add([...masks].reduce((all, mask) => all | mask, 0));
  for (const mask of masks) {
    const usable = joins.filter((clause) => (clause.mask & ~rel.bit & ~mask) === 0);
    const bindings: ParamBinding[] = [];
    const bound = usable.map((clause) => bindOuter(clause.expr, rel, problem, bindings));
    const match = matchIndex([...quals, ...bound], index, expressions, rel.varno, planner);
    if (!match.used.some((qual) => bound.includes(qual))) continue;
    // Clauses that the index does not serve stay with the join.
    const enforced = usable.filter((_, i) => match.used.includes(bound[i]!) && !isLossy(bound[i]!, match.conditions));
    const filters = bound.filter((qual) => match.used.includes(qual));
    const usedBindings = bindings.filter((binding) => filters.some((qual) => readsParam(qual, binding.id, planner)));
    addPath(rel.paths, indexPath(base, index, match, predicate, enforced, false, order, indexOnly, mask, usedBindings));
  }
}

/** A clause of an outer join may be applied inside only if the relation is on its nullable side. */
function usableInside(clause: Clause, rel: Rel, problem: JoinProblem): boolean {
  if (clause.of === null) return (problem.nullableMask() & rel.bit) === 0 ? (clause.required & ~clause.mask) === 0 : (clause.required & ~clause.mask) === 0;
  return clause.of.type !== 'full' && clause.of.synRight === rel.bit;
}

export function bindOuter(expr: Expr, rel: Rel, problem: JoinProblem, bindings: ParamBinding[]): Expr {
  const { planner } = problem;
  return mapDeep(expr, planner, (node) => {
    if (node.kind !== 'Var' || node.varno === rel.varno || problem.bitOf(node.varno) === 0) return undefined;
    const known = bindings.find((binding) => binding.expr.kind === 'Var' && binding.expr.varno === node.varno && binding.expr.attno === node.attno);
    const param = planner.newParam(node);
    if (known) return { ...param, id: known.id };
    bindings.push({ id: param.id, expr: node });
    return param;
  });
}

function readsParam(expr: Expr, id: number, planner: Planner): boolean {
  let found = false;
  mapDeep(expr, planner, (node) => {
    if (node.kind === 'Param' && node.paramKind === 'exec' && node.id === id) found = true;
    return undefined;
  });
  return found;
}

/** Order of the index's rows: its columns without those fixed by an equality. IN lists over a leading column keep no order across ranges unless nothing follows. */
function indexOrder(index: Index, expressions: readonly Expr[], conditions: readonly IndexCondition[]): SortKey[] {
  const order: SortKey[] = [];
  for (let column = 0; column < expressions.length; column++) {
    if (conditions.some((condition) => condition.column === column && (condition.strategy === '=' || condition.strategy === 'null'))) continue;
    const key = index.keyColumns[column]!;
    order.push({ expr: expressions[column]!, descending: key.descending, nullsFirst: key.nullsFirst, sortOperator: 0 });
  }
  return order;
}

function coveredBy(base: BaseRelation, index: Index): boolean {
  const { planner, output } = base;
  const attnums = output.map((variable) => variable.attno);
  if (attnums.some((attno) => attno <= 0)) return false;
  if (isLearned(index) && attnums.length > 0 && !givesColumn(index, planner.catalog)) return false;
  return indexAccess(index, planner.catalog, rowCompilerOf(planner.catalog, planner.context)).providesColumns(attnums);
}

function indexPath(
  base: BaseRelation, index: Index, match: Match, predicate: readonly Expr[], enforced: readonly Clause[], backward: boolean, order: readonly SortKey[], indexOnly: boolean, required: number, params: readonly ParamBinding[],
): Path {
  const { planner, rel, relation, output, quals } = base;
  const filter = quals.filter((qual) => (!match.used.includes(qual) || isLossy(qual, match.conditions)) && !predicate.some((implied) => equalExpr(implied, qual)));
  const indexSelectivity = selectivityOfConditions(match, base);
  const rows = required === 0 ? rel.rows : Math.max(1, base.rows * indexSelectivity * selectivityOf(quals.filter((qual) => !match.used.includes(qual)), planner));
  return {
    node: {
      kind: 'IndexScan', varno: rel.varno, relation: relation.oid, index: index.oid, indexOnly, conditions: match.conditions, backward, filter, output,
      cost: indexCost(base, index, match, indexSelectivity, filter, rows, indexOnly, isLearned(index) && isBulk(match, required) && learnedMemory(planner.context) > 0),
    },
    order, required, params, enforced,
  };
}

/** As clauselist_selectivity: two bounds on one column are a range, also where they are parameters. */
function selectivityOfConditions(match: Match, base: BaseRelation): number {
  return Math.max(selectivityOf(match.used, base.planner), 1 / Math.max(1, base.rows) / 10);
}

function indexCost(base: BaseRelation, index: Index, match: Match, fraction: number, filter: readonly Expr[], rows: number, indexOnly: boolean, bulk = false): Cost {
  const { planner } = base;
  const { cost } = planner;
  const unique = index.unique && index.keyColumns.every((_, column) => match.conditions.some((condition) => condition.column === column && condition.strategy === '='));
  const tuples = unique ? 1 : Math.max(1, base.rows * fraction);
  const indexPages = Math.max(1, Math.ceil(tuples / 280));
  const ranges = match.conditions.reduce((n, condition) => (condition.strategy === 'any' ? n * anyCount(condition) : n), 1);
  const descent = bulk ? LEARNED_LOOKUP * ranges : (Math.ceil(Math.log2(Math.max(2, base.rows))) * cost.cpuOperator + 2 * 50 * cost.cpuOperator) * ranges;
  if (!bulk && unique && match.conditions.every(({ value }) => value !== null && isFixed(value))) {
    // One row by its key: two look-ups in trees that are in memory, less than reading even a small table.
    const found = descent + cost.cpuIndexTuple + cost.cpuTuple + exprsCost(filter, planner);
    const penalised = cost.penalty(indexOnly ? 'enable_indexonlyscan' : 'enable_indexscan');
    return makeCost(descent + penalised, found + penalised, rows, base.width);
  }
  let total = descent + (bulk ? 0 : indexPages * cost.randomPage * (match.conditions.length > 0 ? 1 : cost.seqPage / cost.randomPage)) + tuples * (cost.cpuIndexTuple + match.conditions.length * cost.cpuOperator);
  if (!indexOnly) {
    // As a bitmap scan's pages: rows are fetched by key here, so many fetches cost no more than that.
    const fetched = Math.min(base.pages, (2 * base.pages * tuples) / (2 * base.pages + tuples));
    const random = fetched * (cost.randomPage - (cost.randomPage - cost.seqPage) * Math.sqrt(Math.min(1, fetched / base.pages)));
    const sequential = cost.randomPage + Math.max(0, Math.ceil(fraction * base.pages) - 1) * cost.seqPage;
    const first = index.keyColumns[0]!;
    const correlation = first.attnum > 0 ? variableStats(planner.var(base.rel.varno, first.attnum), planner).stats?.correlation ?? 0 : 0;
    const read = fetchCost(random + correlation * correlation * (Math.min(sequential, random) - random), tuples, planner);
    total += bulk && planner.columnar ? Math.min(read, tuples * LEARNED_FETCH) : read;
  }
  total += tuples * (cost.cpuTuple + exprsCost(filter, planner)) + rowOperatorCost(tuples, planner) + (bulk ? 0 : lookupCost(planner));
  if (!bulk && unique && planner.columnar) total = Math.min(total, KEY_LOOKUP + exprsCost(filter, planner));
  const penalty = cost.penalty(indexOnly ? 'enable_indexonlyscan' : 'enable_indexscan');
  // A look-up beside kernels takes the same time however few of its rows are read.
  const startup = bulk || !planner.columnar ? descent : descent + cost.randomPage + lookupCost(planner);
  return makeCost(Math.min(startup, total) + penalty, total + penalty, rows, base.width);
}

/** Look-ups that come many at a time, or a range: what a model in memory answers without the tree. */
function isBulk({ conditions }: Match, required: number): boolean {
  return conditions.every(({ strategy }) => strategy !== 'null' && strategy !== 'not null') && (required !== 0 || conditions.every(({ strategy }) => strategy !== '='));
}

/** Known before the statement runs, or its parameter: not a value from another relation's row. */
function isFixed(value: Expr): boolean {
  return value.kind === 'Const' || (value.kind === 'Param' && value.paramKind !== 'exec');
}

function anyCount(condition: IndexCondition): number {
  const { value } = condition;
  if (value?.kind === 'Const' && value.value !== null) return Math.max(1, (value.value as { elements: readonly unknown[] }).elements.length);
  return value?.kind === 'ArrayExpr' ? Math.max(1, value.elements.length) : 10;
}

/** a = 1 OR b = 2 with an index for each arm. */
function orPaths(base: BaseRelation): void {
  const { planner, rel, relation, output, quals } = base;
  for (const qual of quals) {
    if (qual.kind !== 'BoolExpr' || qual.op !== 'or') continue;
    const parts: { index: number; conditions: readonly IndexCondition[]; cost: Cost }[] = [];
    let total = 0;
    let tuples = 0;
    for (const arm of qual.args) {
      const best = bestIndexFor(conjuncts(arm), base);
      if (!best) break;
      parts.push(best);
      total += best.cost.total;
      tuples += best.cost.rows;
    }
    if (parts.length !== qual.args.length) continue;
    const { cost } = planner;
    const pages = Math.min(base.pages, (2 * base.pages * tuples) / (2 * base.pages + tuples));
    const run = pages * cost.randomPage + tuples * (cost.cpuTuple + exprsCost(quals, planner));
    addPath(rel.paths, {
      node: { kind: 'BitmapScan', varno: rel.varno, relation: relation.oid, parts, recheck: [qual], filter: quals.filter((other) => other !== qual), output, cost: makeCost(total + cost.penalty('enable_bitmapscan'), total + run + cost.penalty('enable_bitmapscan'), rel.rows, base.width) },
      order: [], required: 0, params: [], enforced: [],
    });
  }
}

function bestIndexFor(arm: readonly Expr[], base: BaseRelation): { index: number; conditions: readonly IndexCondition[]; cost: Cost } | null {
  const { planner, relation, rel } = base;
  let best: { index: number; conditions: readonly IndexCondition[]; cost: Cost } | null = null;
  for (const index of relation.indexes) {
    if (!index.valid || index.accessMethod !== BTREE_AM || index.predicateText !== null) continue;
    const match = matchIndex(arm, index, indexExpressions(index, relation, rel.varno, planner), rel.varno, planner);
    if (match.conditions.length === 0) continue;
    const fraction = selectivityOfConditions(match, base);
    const cost = indexCost(base, index, match, fraction, [], base.rows * fraction, true);
    if (!best || cost.total < best.cost.total) best = { index: index.oid, conditions: match.conditions, cost };
  }
  return best;
}

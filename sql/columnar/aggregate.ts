/** Aggregation by kernels: what can be one, as a stage below others and as an operator of its own. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { MAX_BATCH_ROWS, type Batch } from '../executor/batch.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { compileFilter, type RowFilter } from '../executor/row-filter.js';
import { keyComparer, sortedOrder } from '../executor/operators/sort.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { rowsToBatch } from '../executor/vectors.js';
import type { AggNode, SortKey } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { ArrayLease } from './array-lease.js';
import { AggregateSink, type OutputColumn } from './aggregate-sink.js';
import { supportsAggregate } from './aggregates.js';
import { derivedStage } from './derived-stages.js';
import type { KeyFilter } from './key-filter.js';
import { divided, repeatable, WHOLE, type KeyPart } from './key-parts.js';
import { Pipeline } from './pipeline.js';
import { PipelineRun } from './pipeline-run.js';
import { StageBuilder, require as requireOf, type AggStage, type Stage } from './stage.js';
import { NotColumnar, TooMuch } from './segment.js';


export interface AggregatePlan {
  readonly node: AggNode;
  readonly stage: Stage;
  readonly columns: readonly OutputColumn[];
  /** By group: found by the others, only kept. */
  readonly dependent: readonly boolean[];
  readonly having: RowFilter | null;
  /** The order that an aggregate over sorted input promises: sort keys and the group each is. */
  readonly order: { readonly keys: readonly SortKey[]; readonly groups: readonly number[] } | null;
}

/** The aggregation as kernels, null when it has to run on rows. */
export function planAggregate(node: AggNode, compiler: PlanCompiler): AggregatePlan | null {
  if (node.groupingSets !== null) return null;
  let { child } = node;
  let order: AggregatePlan['order'] = null;
  if (node.strategy === 'sorted') {
    if (child.kind !== 'Sort' || child.bound !== null) return null;
    const groups = child.keys.map((key) => node.groups.findIndex((group) => equalExpr(group, key.expr)));
    if (groups.includes(-1)) return null;
    order = { keys: child.keys, groups };
    ({ child } = child);
  }
  const scope = compiler.scope(child.output);
  if (!node.aggs.every((agg) => supportsAggregate(agg, scope))) return null;
  const builder = new StageBuilder(compiler, derivedStage);
  const exprs = aggregateInputs(node);
  if (!builder.supported(exprs, compiler.layout(child.output))) return null;
  const stage = builder.build(child);
  if (builder.scans === 0) return null;
  const columns: OutputColumn[] = [];
  for (const expr of node.output) {
    const agg = node.aggs.findIndex((candidate) => equalExpr(candidate, expr));
    const group = agg >= 0 ? -1 : node.groups.findIndex((candidate) => candidate === expr || equalExpr(candidate, expr));
    if (agg >= 0) columns.push({ agg });
    else if (group >= 0) columns.push({ group });
    else return null;
  }
  requireOf(stage, exprs);
  return { node, stage, columns, dependent: dependentGroups(node, compiler), order, having: compileFilter(node.filter, compiler.scope(node.output)) };
}

/** The aggregation as a stage below others; null when it has to be rows. */
export function aggregateStage(node: AggNode, above: StageBuilder): AggStage | null {
  const { compiler } = above;
  const plan = planAggregate(node, compiler);
  // Sorted groups promise an order that a table does not keep.
  if (!plan || plan.order || node.groups.length === 0 || !above.supported(node.filter, compiler.layout(node.output))) return null;
  above.scans++;
  return {
    kind: 'agg', node, ...above.shared(node),
    *source(run, needed, filters) {
      // A group that nobody above asks for need not be made.
      const ofGroups = filters.flatMap(({ index, filter }) => {
        const column = plan.columns[index]!;
        return 'group' in column ? [{ ...filter, expr: node.groups[column.group]! }] : [];
      });
      const sink = yield* fill(plan, run, WHOLE, ofGroups);
      if (!sink) throw new NotColumnar();
      return sink.asSource(needed.map((index) => plan.columns[index]!), needed.map((index) => node.output[index]!.type));
    },
  };
}

/** The groups of a part of the keys; null when they take more memory than there is. */
function* fill(plan: AggregatePlan, run: PipelineRun, part: KeyPart, filters: readonly KeyFilter[] = []): Generator<Pending, AggregateSink | null> {
  const { node, stage } = plan;
  yield* run.evaluateConstants(aggregateInputs(node), [stage.layout]);
  const sink = new AggregateSink(node, plan.dependent, run, run.compiler.scope(stage.layout.output), part);
  try {
    yield* new Pipeline(run, stage, sink, { filters }).execute();
  } catch (error) {
    if (!(error instanceof TooMuch) || error.sink !== sink) throw error;
    return null;
  }
  return sink;
}

/** What is computed per row. */
export function aggregateInputs(node: AggNode): Expr[] {
  return [...node.groups, ...node.aggs.flatMap((agg) => [...agg.args.map((arg) => arg.expr), ...(agg.filter ? [agg.filter] : [])])];
}

/** Groups whose value follows from the others: columns of a relation whose whole primary key is among the groups. */
function dependentGroups(node: AggNode, compiler: PlanCompiler): boolean[] {
  const { groups } = node;
  return groups.map((group) => {
    if (group.kind !== 'Var' || group.attno <= 0) return false;
    const entry = compiler.plan.rangeTable[group.varno - 1];
    const relation = entry?.kind === 'relation' ? compiler.catalog.relation(entry.relation) : undefined;
    const key = relation?.indexes.find((index) => index.primary && index.valid && index.immediate)?.keyColumns.map((column) => column.attnum);
    if (!key || key.length === 0 || key.includes(group.attno)) return false;
    return key.every((attnum) => groups.some((other) => other.kind === 'Var' && other.varno === group.varno && other.attno === attnum));
  });
}

/** Runs it. Throws NotColumnar before the first batch when the data do not fit. */
export function* runAggregate(plan: AggregatePlan, compiler: PlanCompiler, state: ExecState): Generator<Batch | Pending, void> {
  const { columns, having } = plan;
  const counted = wholeCount(plan, state);
  if (counted !== undefined) {
    yield rowsToBatch([columns.map(() => counted)], columns.length);
    return;
  }
  const whole = new PipelineRun(compiler, state);
  const parts = [WHOLE];
  let passes = 0;
  for (let part = parts.shift(); part; part = parts.shift()) {
    const run = whole.withArrays(new ArrayLease());
    try {
      const sink = yield* fill(plan, run, part);
      if (!sink) {
        const smaller = divided(part);
        if (!smaller || !divisible(plan, compiler)) throw new NotColumnar();
        parts.unshift(...smaller);
        continue;
      }
      passes++;
      for (const batch of yield* groupsOf(plan, sink, run)) {
        const kept = having ? yield* having.apply(batch, state) : batch;
        if (kept) yield kept;
      }
      if (state.instrument && part.of > 1) {
        const { details } = state.instrument(plan.node);
        details.set('HashAgg Batches', passes);
        details.set('Peak Memory Usage', Math.max(Number(details.get('Peak Memory Usage') ?? 0), Math.ceil(sink.table.bytes / 1024)));
        details.set('Disk Usage', 0);
      }
    } finally {
      run.arrays.release();
    }
  }
}

/** Whether the groups may be given out part by part: in any order, and each part for certain once the first one is out. */
function divisible({ node, order, stage }: AggregatePlan, compiler: PlanCompiler): boolean {
  const floats = node.aggs.some((agg) => agg.args.some((arg) => arg.expr.type === FLOAT4 || arg.expr.type === FLOAT8));
  return order === null && !floats && node.groups.length > 0 && repeatable(stage.node, compiler);
}

const FLOAT4 = 700;
const FLOAT8 = 701;

/** All results of a part before the first is given out: one that does not fit must not come after rows. */
function* groupsOf(plan: AggregatePlan, sink: AggregateSink, { compiler, state }: PipelineRun): Generator<Pending, Batch[]> {
  const { columns, order } = plan;
  const { count } = sink.table;
  const batches: Batch[] = [];
  const permutation = order && sortedOrder(count, keyComparer(order.keys, compiler)(order.groups.map((k) => Array.from({ length: count }, (_, group) => sink.groupValue(k, group)))));
  for (let from = 0; from < count; from += MAX_BATCH_ROWS) {
    const rows: Datum[][] = [];
    for (let at = from; at < Math.min(count, from + MAX_BATCH_ROWS); at++) {
      const group = permutation ? permutation[at]! : at;
      rows.push(columns.map((column) => ('group' in column ? sink.groupValue(column.group, group) : sink.aggregates[column.agg]!.result(group, state))));
    }
    batches.push(rowsToBatch(rows, columns.length));
    if (state.shouldYield()) yield TIME_SLICE;
  }
  return batches;
}

/** count(*) of a relation, from the engine's own count where that is exact for the snapshot. */
function wholeCount({ node, stage, having }: AggregatePlan, state: ExecState): number | undefined {
  if (node.groups.length > 0 || having !== null || stage.kind !== 'scan' || stage.node.filter.length > 0 || state.instrument) return undefined;
  if (!node.aggs.every((agg) => agg.star && agg.filter === null && state.catalog.proc(agg.func)?.proname === 'count')) return undefined;
  const relation = state.catalog.relation(stage.node.relation)!;
  // A serializable transaction's reads leave a trace; this one reads nothing.
  if (state.transaction.isolation === 'serializable' || state.snapshot.kind !== 'at') return undefined;
  const committed = state.context.storage.exactCount(relation.storage, state.snapshot);
  const own = committed === undefined ? undefined : state.transaction.ownCount(relation.storage, state.snapshot);
  return own === undefined ? undefined : committed! + own;
}

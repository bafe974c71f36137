/**
 * Sort as the sink of a pipeline: rows as columns, an order over the keys, and datums only for what is given out.
 * With a bound (LIMIT above) the sink keeps the best rows of what it has seen, and the kernel leaves out rows
 * whose first key is beyond them before it reads anything else of them.
 */
import type { Pending } from '../../engine/pending.js';
import { MAX_BATCH_ROWS, type Batch } from '../executor/batch.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import { compareBy } from '../executor/compare.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { anyVector } from '../executor/vectors.js';
import type { PlanNode, SortNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { derivedStage } from './derived-stages.js';
import { Pipeline, type Sink } from './pipeline.js';
import { PipelineRun } from './pipeline-run.js';
import { kernelMemory } from './kernel-memory.js';
import { converter, type RowsPlan } from './rows.js';
import { orderOf, type OrderKey } from './sort-order.js';
import { thresholdFor, type Threshold } from './sort-threshold.js';
import { StageBuilder, require as requireOf, type Stage } from './stage.js';
import { appendRow, ColumnTable, pickDatums } from './table.js';
import { NotColumnar } from './segment.js';
import { threadedRows, threadedTop } from './threaded-rows.js';
import { intValue } from './value.js';

export interface SortPlan extends RowsPlan { readonly node: SortNode; readonly stage: Stage }

/** Estimated groups below which sorting datums is as quick: another kernel would be written for them. */
const MIN_ROWS = 1000;
/** Rows kept beyond the bound before the worst of them are dropped. */
const SPARE_ROWS = 1024;

function readsGroups(node: PlanNode): boolean {
  return node.kind === 'Agg' || ((node.kind === 'Project' || node.kind === 'Filter' || node.kind === 'SubqueryScan') && readsGroups(node.child));
}

/** The sort as kernels, null when it has to run on rows. */
export function planSort(node: SortNode, compiler: PlanCompiler): SortPlan | null {
  if (node.child.cost.rows < MIN_ROWS && readsGroups(node.child)) return null;
  const builder = new StageBuilder(compiler, derivedStage);
  const stage = builder.kernels(node.child);
  if (!stage || builder.scans === 0) return null;
  const keys = node.keys.map((key) => key.expr);
  if (!builder.supported(keys, stage.layout)) return null;
  requireOf(stage, [...node.output, ...keys]);
  return { node, stage };
}

/** Runs it. Throws NotColumnar before the first batch when the data do not fit. */
export function* runSort(plan: SortPlan, compiler: PlanCompiler, state: ExecState): Generator<Batch | Pending, void> {
  const run = new PipelineRun(compiler, state);
  try {
    yield* sorted(plan, run);
  } finally {
    run.arrays.release();
  }
}

function* sorted({ node, stage }: SortPlan, run: PipelineRun): Generator<Batch | Pending, void> {
  const { compiler, state } = run;
  yield* run.evaluateConstants(node.keys.map((key) => key.expr), [stage.layout]);
  const { bound, keys } = node;
  const table = new ColumnTable(run.arrays);
  let order: OrderKey[] = [];
  let threshold: Threshold | null = null;
  let cut = false;
  let later: (((row: number) => Datum) | undefined)[] = [];
  const memory = kernelMemory(state);

  let worstOthers: Datum[] = [];
  /** Whether the keys after the first put a row behind the worst that is kept, or beside it and so too late. */
  const afterWorst = (...others: Datum[]): boolean => {
    for (let k = 0; k < others.length; k++) {
      const found = order[k + 1]!.compare(others[k]!, worstOthers[k]!);
      if (found !== 0) return found > 0;
    }
    return true;
  };

  const sink: Sink = {
    emit(kernel, lowering) {
      const fresh = order.length === 0;
      const first = lowering.value(keys[0]!.expr);
      if (fresh && bound !== null) threshold = thresholdFor(first, keys, run.interner);
      // A row beyond the worst that is kept is left before its other columns are read.
      if (threshold) {
        kernel.line(`if (${threshold.test(kernel, first)}) continue;`);
        if (keys.length > 1) {
          kernel.block(`if (${threshold.ties(kernel, first)})`, () => {
            const others = keys.slice(1).map((key) => lowering.datum(lowering.value(key.expr)));
            kernel.line(`if (${kernel.outside(afterWorst, 'f')}(${others.join(', ')})) continue;`);
          });
        }
      }
      const keyValues = keys.map((key, k) => (k === 0 ? first : lowering.value(key.expr)));
      // Few rows are given out: what can be read then is left where it is.
      const late = node.output.map((expr) => (bound === null ? undefined : lowering.deferred(expr)));
      const values = node.output.map((expr, c) => {
        const { row } = late[c] ?? {};
        return row === undefined ? lowering.value(expr) : intValue(row, null, expr.type, 0, Number.MAX_SAFE_INTEGER);
      });
      if (fresh) {
        for (const value of [...values, ...keyValues]) table.addColumn(value);
        later = late.map((one) => one?.datum);
        order = keys.map((key, k) => {
          const column = table.columns[values.length + k]!;
          return { key, column, compare: compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, compiler.catalog), convert: converter(column, run.interner) };
        });
      } else if (late.some((one, c) => (one === undefined) !== (later[c] === undefined))) throw new NotColumnar();
      appendRow(kernel, table, [...values, ...keyValues].map((value, c) => (table.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)));
    },
    threaded() {
      if (bound === null) return threadedRows(table, state);
      const [{ descending, nullsFirst }] = keys as [(typeof keys)[number]];
      return threshold?.cell ? threadedTop(table, { bound, column: node.output.length, descending, nullsFirst }, threshold.cell, afterWorst, state) : null;
    },
    *drain() {
      if (table.bytes > memory) throw new NotColumnar();
      if (bound !== null && table.count >= bound * 2 + SPARE_ROWS) yield* prune();
    },
  };
  const prune = function* (): Generator<Pending, void> {
    const best = Int32Array.from((yield* orderOf(order, table.count, run.interner, state)).subarray(0, bound!));
    const worst = best[best.length - 1]!;
    if (threshold) {
      const { column, convert } = order[0]!;
      const { data, nulls } = column.data;
      if (!(nulls && nulls[worst] === 1)) {
        threshold.set((data as Float64Array)[worst]!, convert);
        worstOthers = order.slice(1).map((key) => pickDatums(key.column, [worst], key.convert)[0]!);
      }
    }
    // In the order in which they came, so that equal keys stay in it.
    table.keep(best.sort());
    cut = true;
  };
  const pipeline = new Pipeline(run, stage, sink);
  yield* pipeline.execute();
  if (order.length === 0) return;
  const all = yield* orderOf(order, table.count, run.interner, state);
  const found = bound !== null && bound < all.length ? all.subarray(0, bound) : all;
  if (state.instrument) {
    const { details } = state.instrument(node);
    details.set('Sort Method', cut || found.length < all.length ? 'top-N heapsort' : 'quicksort');
    details.set('Sort Space Used', Math.max(25, Math.ceil(table.bytes / 1024)));
  }
  const width = node.output.length;
  const columns = table.columns.slice(0, width).map((column, c) => ({ column, convert: later[c] ?? converter(column, run.interner) }));
  for (let from = 0; from < found.length; from += MAX_BATCH_ROWS) {
    const rows = found.subarray(from, from + MAX_BATCH_ROWS);
    yield { columns: columns.map(({ column, convert }) => anyVector(pickDatums(column, rows, convert))), length: rows.length, selection: null };
    if (state.shouldYield()) yield TIME_SLICE;
  }
}

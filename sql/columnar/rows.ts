/** Rows as the sink of a pipeline: what a scan with a filter, or a join, gives out in batches. */
import type { Pending } from '../../engine/pending.js';
import { MAX_BATCH_ROWS, type Batch } from '../executor/batch.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { anyVector } from '../executor/vectors.js';
import type { PlanNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import { derivedStage } from './derived-stages.js';
import type { Interner } from './interner.js';
import { kernelMemory } from './kernel-memory.js';
import { Pipeline, type Sink } from './pipeline.js';
import { PipelineRun } from './pipeline-run.js';
import { NotColumnar } from './segment.js';
import { StageBuilder, require as requireOf, type Stage } from './stage.js';
import { appendRow, ColumnTable, datumsOf, type TableColumn } from './table.js';
import { threadedRows } from './threaded-rows.js';

export interface RowsPlan { readonly node: PlanNode; readonly stage: Stage }

/** The node as kernels, null when it has to run on rows. */
export function planRows(node: PlanNode, compiler: PlanCompiler): RowsPlan | null {
  const builder = new StageBuilder(compiler, derivedStage);
  const stage = builder.kernels(node);
  if (!stage || builder.scans === 0) return null;
  requireOf(stage, node.output);
  return { node, stage };
}

/** Runs it. Throws NotColumnar before the first batch when the data do not fit. */
export function* runRows(plan: RowsPlan, compiler: PlanCompiler, state: ExecState): Generator<Batch | Pending, void> {
  const run = new PipelineRun(compiler, state);
  try {
    yield* rowsOf(plan, run);
  } finally {
    run.arrays.release();
  }
}

function* rowsOf({ node, stage }: RowsPlan, run: PipelineRun): Generator<Batch | Pending, void> {
  const table = new ColumnTable(run.arrays);
  let ready = false;
  const memory = kernelMemory(run.state);
  // A join that adds unmatched inner rows at the end may find then that they do not fit: nothing goes out before.
  const early = !addsRows(stage);
  const sink: Sink = {
    emit(kernel, lowering) {
      const values = node.output.map((expr) => lowering.value(expr));
      if (!ready) for (const value of values) table.addColumn(value);
      ready = true;
      appendRow(kernel, table, values.map((value, c) => (table.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)));
    },
    // Nothing is given out before all rows are there; where that is not so, who reads them may want few.
    threaded: () => (early ? null : threadedRows(table, run.state)),
    drain() {
      if (!early && table.bytes > memory) throw new NotColumnar();
    },
  };
  const pipeline = new Pipeline(run, stage, sink, { ownFigures: true });
  const convert = table.columns;
  for (const step of pipeline.execute()) {
    yield step;
    if (early && table.count >= MAX_BATCH_ROWS) {
      yield* batches(table, convert, run.interner);
      table.clear();
    }
  }
  yield* batches(table, convert, run.interner);
}

function* batches(table: ColumnTable, columns: readonly TableColumn[], interner: Interner): Generator<Batch | Pending, void> {
  for (let from = 0; from < table.count; from += MAX_BATCH_ROWS) {
    const to = Math.min(table.count, from + MAX_BATCH_ROWS);
    yield { columns: columns.map((column) => anyVector(datumsOf(column, from, to, converter(column, interner)))), length: to - from, selection: null };
  }
}

/** From a column's numbers to datums. */
export function converter({ shape, places }: TableColumn, interner: Interner): (value: number) => Datum {
  switch (shape.kind) {
    case 'bool': return (value) => value === 1;
    case 'decimal': return (value) => Numeric.of(value + 0, shape.scale);
    case 'ref': return places ? interner.textAt : (value) => interner.texts[value]!;
    default: return (value) => value + 0;
  }
}

function addsRows(stage: Stage): boolean {
  switch (stage.kind) {
    case 'scan': case 'rows': case 'agg': case 'made': return false;
    case 'join': return stage.node.joinType === 'right' || stage.node.joinType === 'full' || addsRows(stage.outer);
    default: return addsRows(stage.child);
  }
}

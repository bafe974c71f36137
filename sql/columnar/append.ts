/** UNION ALL below something that kernels run: each branch by a pipeline of its own, then all of them as one source. */
import type { Pending } from '../../engine/pending.js';
import type { AppendNode } from '../planner/plan-node.js';
import { kernelMemory } from './kernel-memory.js';
import { Pipeline, type Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { tableColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { requireColumns, type MadeStage, type Stage, type StageBuilder } from './stage.js';
import { appendRow, ColumnTable } from './table.js';
import { threadedRows } from './threaded-rows.js';
import { unionSource, type ResultPart } from './union-source.js';

export function appendStage(node: AppendNode, builder: StageBuilder): MadeStage | null {
  const stages = node.children.map((child) => builder.build(child));
  return {
    kind: 'made', node, filter: [], ...builder.shared(node),
    requires: (wanted) => stages.forEach((stage) => requireColumns(stage, wanted)),
    *source(run, needed) {
      const parts: ResultPart[] = [];
      let bytes = 0;
      for (const stage of stages) {
        const part = yield* computeRows(run, stage, needed, bytes);
        bytes += part.bytes;
        parts.push(part);
      }
      return unionSource(parts, needed.map((index) => node.output[index]!.type), run.interner);
    },
  };
}

/** These columns of the stage's rows. `used`: bytes that others of the same node have taken. */
export function* computeRows(run: PipelineRun, stage: Stage, needed: readonly number[], used: number): Generator<Pending, ResultPart & { bytes: number }> {
  const table = new ColumnTable(run.arrays, stage.node.cost.rows);
  const memory = kernelMemory(run.state) - used;
  let ready = false;
  const sink: Sink = {
    emit(kernel, lowering) {
      const values = needed.map((index) => lowering.value(stage.layout.output[index]!));
      if (!ready) for (const value of values) table.addColumn(value);
      ready = true;
      appendRow(kernel, table, values.map((value, c) => (table.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)));
    },
    threaded: () => threadedRows(table, run.state),
    drain() {
      if (table.bytes > memory) throw new NotColumnar();
    },
  };
  yield* new Pipeline(run, stage, sink).execute();
  return { columns: table.columns.map(tableColumn), count: table.count, bytes: table.bytes };
}

/** DISTINCT ON, and DISTINCT of rows that are sorted anyway: the first row of each run of equal keys. */
import type { UniqueNode } from '../planner/plan-node.js';
import { KeptExpressions, OrderedRows, sortBelow } from './ordered-rows.js';
import { ResultSource } from './result-source.js';
import { require as requireOf, type MadeStage, type StageBuilder } from './stage.js';
import { inSlices } from './sliced.js';
import { pickResults } from './union-source.js';

export function uniqueStage(node: UniqueNode, builder: StageBuilder): MadeStage | null {
  const { sort, input } = sortBelow(node.child);
  const layout = builder.compiler.layout(input.output);
  const keys = [...node.keys, ...(sort?.keys ?? []).map((key) => key.expr)];
  if (!builder.supported(keys, layout)) return null;
  const stage = builder.build(input);
  return {
    kind: 'made', node, filter: [], ...builder.shared(node),
    requires(positions) {
      requireOf(stage, [...keys, ...[...positions].map((index) => node.output[index]!)]);
    },
    *source(run, needed) {
      const keep = new KeptExpressions();
      const output = needed.map((index) => keep.add(node.output[index]!));
      const keyColumns = node.keys.map((expr) => ({ expr, position: keep.add(expr) }));
      const rows = yield* OrderedRows.collect(run, stage, keep.exprs, sort);
      const same = yield* rows.sameAsBefore(keyColumns);
      const first = new Int32Array(rows.count);
      let count = 0;
      yield* inSlices(rows.count, run.state, (from, to) => {
        for (let i = from; i < to; i++) if (same[i] === 0) first[count++] = i;
      });
      const positions = first.subarray(0, count);
      return new ResultSource(output.map((position) => pickResults(rows.column(position), positions)), count, run.interner);
    },
  };
}

/** ROLLUP, CUBE and GROUPING SETS: one pass over the rows, which advance a group of each set. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import type { AggNode } from '../planner/plan-node.js';
import { aggregateInputs } from './aggregate.js';
import { AggregateSink, type OutputColumn } from './aggregate-sink.js';
import { supportsAggregate } from './aggregates.js';
import { Pipeline, type Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import type { ResultColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { kernelMemory } from './kernel-memory.js';
import { WHOLE } from './key-parts.js';
import { require as requireOf, type MadeStage, type Stage, type StageBuilder } from './stage.js';
import { threadedTogether } from './threaded-rows.js';
import { unionSource, type NullColumn, type ResultPart } from './union-source.js';

type Output = OutputColumn | { readonly grouping: readonly number[] };

const INT4 = 23;

export function groupingSetsStage(node: AggNode, builder: StageBuilder): MadeStage | null {
  const { compiler } = builder;
  const { child } = node;
  const scope = compiler.scope(child.output);
  if (!node.groupingSets || !node.aggs.every((agg) => supportsAggregate(agg, scope))) return null;
  const exprs = aggregateInputs(node);
  if (!builder.supported(exprs, compiler.layout(child.output)) || !builder.supported(node.filter, compiler.layout(node.output))) return null;
  const outputs = node.output.map((expr) => outputOf(expr, node));
  if (outputs.includes(null)) return null;
  const stage = builder.build(child);
  return {
    kind: 'made', node, filter: node.filter, ...builder.shared(node),
    requires: () => requireOf(stage, exprs),
    *source(run, needed) {
      const sets = yield* fillSets(node, stage, run);
      const parts = sets.map(({ members, sink }): ResultPart => ({
        count: sink.table.count,
        columns: needed.map((index) => columnOf(outputs[index]!, node.output[index]!.type, members, sink)),
      }));
      return unionSource(parts, needed.map((index) => node.output[index]!.type), run.interner);
    },
  };
}

function outputOf(expr: Expr, node: AggNode): Output | null {
  if (expr.kind === 'GroupingFunc') return { grouping: expr.refs.map((ref) => node.groupRefs.indexOf(ref)) };
  const agg = node.aggs.findIndex((candidate) => equalExpr(candidate, expr));
  if (agg >= 0) return { agg };
  const same = node.groups.indexOf(expr);
  const group = same >= 0 ? same : node.groups.findIndex((candidate) => equalExpr(candidate, expr));
  return group >= 0 ? { group } : null;
}

interface FilledSet { /** Positions in the node's groups. */ readonly members: readonly number[]; readonly sink: AggregateSink }

function* fillSets(node: AggNode, stage: Stage, run: PipelineRun): Generator<Pending, FilledSet[]> {
  yield* run.evaluateConstants(aggregateInputs(node), [stage.layout]);
  const scope = run.compiler.scope(stage.layout.output);
  const memory = kernelMemory(run.state);
  const sets = node.groupingSets!.map((members): FilledSet => {
    const own: AggNode = { ...node, groups: members.map((member) => node.groups[member]!), groupingSets: null, filter: [] };
    return { members, sink: new AggregateSink(own, members.map(() => false), run, scope, WHOLE) };
  });
  const sink: Sink = {
    emit(kernel, lowering) {
      for (const set of sets) set.sink.emit(kernel, lowering);
    },
    threaded: () => threadedTogether(sets.map((set) => set.sink.threaded())),
    drain() {
      if (sets.reduce((sum, set) => sum + set.sink.table.bytes, 0) > memory) throw new NotColumnar();
    },
  };
  yield* new Pipeline(run, stage, sink).execute();
  return sets;
}

function columnOf(output: Output, type: number, members: readonly number[], sink: AggregateSink): ResultColumn | NullColumn {
  if ('agg' in output) return sink.results([output], [type])[0]!;
  if ('group' in output) {
    const member = members.indexOf(output.group);
    return member < 0 ? { kind: 'null', type } : sink.results([{ group: member }], [type])[0]!;
  }
  // Bit set: the expression is not grouped by in this set; the rightmost argument is the lowest bit.
  const mask = output.grouping.reduce((bits, member) => bits * 2 + (members.includes(member) ? 0 : 1), 0);
  return { kind: 'int', scale: 0, min: mask, max: mask, data: new Float64Array(sink.table.count).fill(mask), nulls: null, type: INT4 };
}

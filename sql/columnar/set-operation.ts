/** INTERSECT and EXCEPT: the rows of both sides are grouped, each group knows how often either side has it. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { OutputLayout } from '../executor/layout.js';
import type { AggNode, SetOpNode } from '../planner/plan-node.js';
import { AggregateSink } from './aggregate-sink.js';
import type { KernelAggregate } from './aggregates.js';
import { computeRows } from './append.js';
import type { GroupTable } from './group-table.js';
import { WHOLE } from './key-parts.js';
import { Pipeline } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { ResultSource, type ResultColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { inSlices } from './sliced.js';
import { requireColumns, type MadeStage, type Stage, type StageBuilder } from './stage.js';
import { pickResults, unionSource, type ResultPart } from './union-source.js';

const INT4 = 23;
/** Most rows that are given out: positions are kept for each. */
const MAX_ROWS = 1 << 26;

export function setOperationStage(node: SetOpNode, builder: StageBuilder): MadeStage | null {
  if (node.output.length === 0) return null;
  const left = builder.build(node.left);
  const right = builder.build(node.right);
  const all = new Set(node.output.keys());
  return {
    kind: 'made', node, filter: [], ...builder.shared(node),
    // Equal rows are equal in all columns, whatever is read of them.
    requires: () => [left, right].forEach((side) => requireColumns(side, all)),
    *source(run, needed) {
      const groups = yield* countedGroups(node, left, right, run);
      const positions = yield* givenOut(node, groups, run);
      const columns = groups.sink.results(needed.map((group) => ({ group })), needed.map((index) => node.output[index]!.type));
      return new ResultSource(columns.map((column) => pickResults(column, positions)), positions.length, run.interner);
    },
  };
}

interface CountedGroups { readonly sink: AggregateSink; readonly left: number; readonly right: number }

function* countedGroups(node: SetOpNode, left: Stage, right: Stage, run: PipelineRun): Generator<Pending, CountedGroups> {
  const columns = [...node.output.keys()];
  const first = yield* computeRows(run, left, columns, 0);
  const second = yield* computeRows(run, right, columns, first.bytes);
  const side: Expr = { kind: 'Const', type: INT4, typmod: -1, collation: 0, value: 0, location: -1 } as Expr;
  const output = [...node.output, side];
  const numbers = columns.concat(columns.length);
  const types = output.map((expr) => expr.type);
  const both: MadeStage = {
    kind: 'made', node, filter: [], layout: new OutputLayout(output), needed: new Set(numbers), requires: () => undefined,
    // eslint-disable-next-line require-yield
    *source() {
      return unionSource([sided(first, 0), sided(second, 1)], types, run.interner);
    },
  };
  const counts = { left: -1, right: -1 };
  const agg: AggNode = { kind: 'Agg', strategy: 'hashed', child: node.left, groups: node.output, groupingSets: null, groupRefs: [], aggs: [], filter: [], output: node.output, cost: node.cost };
  const sink = new AggregateSink(agg, columns.map(() => false), run, run.compiler.scope(output), WHOLE, (table) => [countSides(table, side, counts)]);
  yield* new Pipeline(run, both, sink, { ownFigures: true }).execute();
  return { sink, ...counts };
}

function sided({ columns, count }: ResultPart, side: number): ResultPart {
  const own: ResultColumn = { kind: 'int', scale: 0, min: side, max: side, data: new Uint8Array(count).fill(side), nulls: null, type: INT4 };
  return { columns: [...columns, own], count };
}

function countSides(table: GroupTable, side: Expr, counts: { left: number; right: number }): KernelAggregate {
  counts.left = table.addColumn('float');
  counts.right = table.addColumn('float');
  return {
    step(kernel, lowering, group, arrays) {
      kernel.line(`if (${lowering.value(side).code} === 0) ${arrays.cell(counts.left, group)}++; else ${arrays.cell(counts.right, group)}++;`);
    },
    merge(kernel, group, arrays, part) {
      for (const column of [counts.left, counts.right]) kernel.line(`${arrays.cell(column, group)} += ${part(column)};`);
    },
    result: () => null,
  };
}

/** The groups that are given out, as often as they are. */
function* givenOut(node: SetOpNode, { sink, left, right }: CountedGroups, run: PipelineRun): Generator<Pending, Int32Array> {
  const { table } = sink;
  const lefts = table.columns[left]!.data as Float64Array;
  const rights = table.columns[right]!.data as Float64Array;
  const copies = (group: number): number => {
    const [l, r] = [lefts[group]!, rights[group]!];
    if (node.op === 'intersect') return node.all ? Math.min(l, r) : l > 0 && r > 0 ? 1 : 0;
    return node.all ? Math.max(0, l - r) : l > 0 && r === 0 ? 1 : 0;
  };
  let total = 0;
  yield* inSlices(table.count, run.state, (from, to) => {
    for (let group = from; group < to; group++) total += copies(group);
  });
  if (total > MAX_ROWS) throw new NotColumnar();
  const positions = new Int32Array(total);
  let at = 0;
  yield* inSlices(table.count, run.state, (from, to) => {
    for (let group = from; group < to; group++) for (let n = copies(group); n > 0; n--) positions[at++] = group;
  });
  return positions;
}

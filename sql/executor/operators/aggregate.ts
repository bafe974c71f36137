/**
 * Aggregation. Plain: one group. Sorted: groups arrive one after the other. Hashed: all groups in a
 * table, in order of first appearance. Grouping sets keep one table per set and run over the input once.
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { equalExpr } from '../../analyzer/tree-walk.js';
import type { AggNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { compileAggregate, type Accumulator, type NewAccumulator } from '../aggregation.js';
import { MAX_BATCH_ROWS, type Batch } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { rowKey, type RowKey } from '../row-key.js';
import { rowAt, rowsToBatch } from '../vectors.js';
import { GeneratorOperator, pull, type Run } from './operator.js';
import { MAX_ROWS_IN_MEMORY, tooManyRows } from './sort.js';
import { countRemoved } from './seq-scan.js';

interface GroupState { readonly values: readonly Datum[]; readonly accumulators: readonly Accumulator[] }

/** How a group becomes an output row: the position of a group value, an aggregate, or a GROUPING bitmask. */
type OutputColumn = { readonly group: number } | { readonly agg: number } | { readonly grouping: readonly number[] };

/** One grouping set: which of the groups count, and its key. */
interface SetPlan { readonly members: ReadonlySet<number>; readonly key: RowKey | null }

interface Compiled {
  readonly node: AggNode;
  readonly groups: readonly Scalar[];
  readonly sets: readonly SetPlan[];
  readonly makers: readonly NewAccumulator[];
  readonly columns: readonly OutputColumn[];
  readonly filter: RowFilter | null;
}

export function compileAgg(node: AggNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.child.output);
  const groups = compileAll(node.groups, scope);
  const types = node.groups.map((expr) => compiler.catalog.dataType(expr.type));
  const setOf = (members: readonly number[]): SetPlan => ({
    members: new Set(members),
    key: members.length === 0 ? null : rowKey(members.map((m) => groups[m]!), members.map((m) => types[m]!)),
  });
  const compiled: Compiled = {
    node, groups,
    sets: node.groupingSets ? node.groupingSets.map(setOf) : [setOf(node.groups.map((_, i) => i))],
    makers: node.aggs.map((agg) => compileAggregate(agg, scope)),
    columns: node.output.map((expr) => outputColumn(expr, node)),
    filter: compileFilter(node.filter, compiler.scope(node.output)),
  };
  const child = compiler.open(node.child);
  const sorted = node.strategy === 'sorted' && node.groupingSets === null;
  return (state) => new GeneratorOperator(sorted ? runSorted(compiled, child, state) : runHashed(compiled, child, state));
}

function outputColumn(expr: Expr, node: AggNode): OutputColumn {
  if (expr.kind === 'GroupingFunc') return { grouping: expr.refs.map((ref) => node.groupRefs.indexOf(ref)) };
  const agg = node.aggs.findIndex((candidate) => equalExpr(candidate, expr));
  if (agg >= 0) return { agg };
  const same = node.groups.indexOf(expr);
  if (same >= 0) return { group: same };
  const group = node.groups.findIndex((candidate) => equalExpr(candidate, expr));
  if (group < 0) throw new Error('aggregate output is neither a group nor an aggregate');
  return { group };
}

function newGroup(compiled: Compiled, set: SetPlan, frame: Frame | null): GroupState {
  const values = compiled.groups.map((scalar, i) => (set.members.has(i) && frame ? scalar(frame) : null));
  return { values, accumulators: compiled.makers.map((make) => make()) };
}

function finish(compiled: Compiled, set: SetPlan, group: GroupState, state: ExecState): Datum[] {
  return compiled.columns.map((column) => {
    if ('group' in column) return group.values[column.group]!;
    if ('agg' in column) return group.accumulators[column.agg]!.result(state);
    // Bit set: the expression is not grouped by in this set; the rightmost argument is the lowest bit.
    return column.grouping.reduce((mask, member) => mask * 2 + (set.members.has(member) ? 0 : 1), 0);
  });
}

function* runHashed(compiled: Compiled, child: Open, state: ExecState): Run {
  const { sets, node } = compiled;
  const tables = sets.map(() => new Map<unknown, GroupState>());
  sets.forEach((set, s) => {
    // A set without columns has its one group even over no rows.
    if (set.key === null && (node.groups.length === 0 || node.groupingSets)) tables[s]!.set(null, newGroup(compiled, set, null));
  });
  const input = child(state);
  let groupCount = 0;
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      const frame = new Frame(state).batch(batch);
      for (let s = 0; s < sets.length; s++) {
        const set = sets[s]!;
        const table = tables[s]!;
        const { key } = set;
        for (let i = 0; i < batch.length; i++) {
          frame.row = rowAt(batch, i);
          const k = key === null ? null : key(frame);
          let group = table.get(k);
          if (group === undefined) {
            table.set(k, (group = newGroup(compiled, set, frame)));
            if (++groupCount > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
          }
          const { accumulators } = group;
          for (let a = 0; a < accumulators.length; a++) accumulators[a]!.add(frame);
        }
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    input.close();
  }
  let rows: Datum[][] = [];
  for (let s = 0; s < sets.length; s++) {
    for (const group of tables[s]!.values()) {
      rows.push(finish(compiled, sets[s]!, group, state));
      if (rows.length === MAX_BATCH_ROWS) {
        yield* emit(compiled, rows, state);
        rows = [];
      }
    }
  }
  if (rows.length > 0) yield* emit(compiled, rows, state);
}

function* runSorted(compiled: Compiled, child: Open, state: ExecState): Run {
  const set = compiled.sets[0]!;
  const key = set.key!;
  const input = child(state);
  let rows: Datum[][] = [];
  let group: GroupState | null = null;
  let current: unknown;
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      const frame = new Frame(state).batch(batch);
      for (let i = 0; i < batch.length; i++) {
        frame.row = rowAt(batch, i);
        const k = key(frame);
        if (group === null || k !== current) {
          if (group !== null) rows.push(finish(compiled, set, group, state));
          group = newGroup(compiled, set, frame);
          current = k;
        }
        const { accumulators } = group;
        for (let a = 0; a < accumulators.length; a++) accumulators[a]!.add(frame);
      }
      if (rows.length > 0) {
        yield* emit(compiled, rows, state);
        rows = [];
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    input.close();
  }
  if (group !== null) rows.push(finish(compiled, set, group, state));
  if (rows.length > 0) yield* emit(compiled, rows, state);
}

function* emit(compiled: Compiled, rows: readonly Datum[][], state: ExecState): Run {
  const batch = rowsToBatch(rows, compiled.columns.length);
  const kept: Batch | null = compiled.filter ? yield* compiled.filter.apply(batch, state) : batch;
  if (state.instrument && compiled.filter) countRemoved(state, compiled.node, batch.length - (kept?.length ?? 0));
  if (kept) yield kept;
}

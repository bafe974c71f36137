/**
 * Aggregation. Plain: one group. Sorted: groups arrive one after the other. Hashed: all groups in a
 * table, in order of first appearance. Grouping sets keep one table per set and run over the input once.
 *
 * When the groups of a hashed aggregation take more than work_mem * hash_mem_multiplier, no group is added any more:
 * rows of groups that are not there go into files by their key's hash, which are aggregated one after the other.
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { equalExpr } from '../../analyzer/tree-walk.js';
import type { AggNode } from '../../planner/plan-node.js';
import type { DataType } from '../../types/data-type.js';
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
import { datumBytes, hashMemory } from '../spill/memory.js';
import { MAX_LEVEL, PARTITIONS, Partitions, partitionOf } from '../spill/partitions.js';
import { canSpill } from '../spill/temp-file.js';
import { datumBatch, readVector, rowAt, rowsToBatch } from '../vectors.js';
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
  /** Of the child's columns, for rows that are put off. */
  readonly types: readonly DataType[];
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
    types: node.child.output.map((expr) => compiler.catalog.dataType(expr.type)),
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

/** What a group takes beside its values. */
const GROUP_BYTES = 160;
const ACCUMULATOR_BYTES = 96;

/** The groups of one set, and the rows that wait for a table of their own. */
class GroupTable {
  readonly groups = new Map<unknown, GroupState>();
  private bytes = 0;
  waiting: Partitions | null = null;

  constructor(private readonly compiled: Compiled, readonly set: SetPlan, private readonly level: number, private readonly memory: number, private readonly state: ExecState) {}

  add(frame: Frame, batch: Batch): void {
    const { key } = this.set;
    const k = key === null ? null : key(frame);
    let group = this.groups.get(k);
    if (group === undefined) {
      if (this.bytes > this.memory && key !== null) {
        this.waiting ??= new Partitions(this.state, this.compiled.types);
        this.waiting.add(partitionOf(k, this.level), (c) => readVector(batch.columns[c]!, frame.row));
        return;
      }
      this.groups.set(k, (group = newGroup(this.compiled, this.set, frame)));
      this.bytes += GROUP_BYTES + group.accumulators.length * ACCUMULATOR_BYTES + (typeof k === 'string' ? k.length : 0);
      for (const value of group.values) this.bytes += datumBytes(value);
      if (this.groups.size > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
    }
    const { accumulators } = group;
    for (let a = 0; a < accumulators.length; a++) accumulators[a]!.add(frame);
  }
}

function* runHashed(compiled: Compiled, child: Open, state: ExecState): Run {
  const { sets, node } = compiled;
  const memory = canSpill(state) ? hashMemory(state) / sets.length : Infinity;
  const tables = sets.map((set) => new GroupTable(compiled, set, 0, memory, state));
  sets.forEach((set, s) => {
    // A set without columns has its one group even over no rows.
    if (set.key === null && (node.groups.length === 0 || node.groupingSets)) tables[s]!.groups.set(null, newGroup(compiled, set, null));
  });
  const input = child(state);
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      const frame = new Frame(state).batch(batch);
      for (const table of tables) {
        for (let i = 0; i < batch.length; i++) {
          frame.row = rowAt(batch, i);
          table.add(frame, batch);
        }
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    input.close();
  }
  const figures = { batches: 1, diskBytes: 0 };
  for (const table of tables) yield* emitGroups(compiled, table, 0, memory, figures, state);
  if (state.instrument && figures.diskBytes > 0) {
    const { details } = state.instrument(node);
    details.set('HashAgg Batches', figures.batches);
    details.set('Peak Memory Usage', Math.ceil(memory / 1024));
    details.set('Disk Usage', Math.ceil(figures.diskBytes / 1024));
  }
}

/** A table's groups, then those of the rows that it put off. */
function* emitGroups(compiled: Compiled, table: GroupTable, level: number, memory: number, figures: { batches: number; diskBytes: number }, state: ExecState): Run {
  const { set, groups, waiting } = table;
  let rows: Datum[][] = [];
  for (const group of groups.values()) {
    rows.push(finish(compiled, set, group, state));
    if (rows.length < MAX_BATCH_ROWS) continue;
    yield* emit(compiled, rows, state);
    rows = [];
    if (state.shouldYield()) yield TIME_SLICE;
  }
  if (rows.length > 0) yield* emit(compiled, rows, state);
  if (!waiting) return;
  groups.clear();
  waiting.finish();
  figures.diskBytes += waiting.bytes;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const reader = waiting.reader(partition);
    if (!reader) continue;
    figures.batches++;
    const part = new GroupTable(compiled, set, level + 1, level + 1 < MAX_LEVEL ? memory : Infinity, state);
    for (let block = reader.next(); block !== null; block = reader.next()) {
      const batch: Batch = datumBatch(block.columns, block.length);
      const frame = new Frame(state).batch(batch);
      for (let i = 0; i < batch.length; i++) {
        frame.row = i;
        part.add(frame, batch);
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
    waiting.remove(partition);
    yield* emitGroups(compiled, part, level + 1, memory, figures, state);
  }
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

/**
 * Join filters: where the outer side of a join is far smaller than the work behind its inner side, the outer
 * side is computed first, and the inner side's scan or aggregation leaves out rows whose key it does not have.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { JoinTable } from './join-table.js';
import type { Kernel } from './kernel.js';
import type { PipelineRun } from './pipeline-run.js';
import { inSlices } from './sliced.js';
import type { BottomStage, JoinStage, Stage } from './stage.js';
import type { TableColumn } from './table.js';
import type { Value } from './value.js';

/** Rows whose `expr` is not in the set (not 0 at its place) have no partner. `density`: the part of the range that is in it. */
export interface KeyFilter { readonly expr: Expr; readonly min: number; readonly bits: Uint8Array | Int32Array; readonly density: number }

/** A filter that leaves so little is tested before anything else: the branches behind it are then hardly ever reached. */
export const SELECTIVE = 0.3;

const MAX_SPAN = 1 << 26;
/** Places of a set made for a join beside its hash table: in all, and for each row. */
const FREE_SPAN = 1 << 20;
const BITS_PER_SLICE = 1 << 16;
const SPAN_PER_ROW = 64;
/** Estimated rows of the inner side's source for one of the outer side, and at least. */
const WORTH = 8;
const MIN_WORK = 16384;

export function worthFiltering({ node, inner }: JoinStage): boolean {
  if (node.joinType === 'right' || node.joinType === 'full') return false;
  const work = workOf(inner);
  return work >= MIN_WORK && node.outer.cost.rows * WORTH < work;
}

function workOf(stage: Stage): number {
  switch (stage.kind) {
    case 'rows': case 'made': return 0;
    case 'scan': return stage.node.cost.rows;
    case 'agg': return stage.node.child.cost.rows;
    case 'join': return workOf(stage.outer);
    default: return workOf(stage.child);
  }
}

/** Whether the groups of an aggregation that a join reads are worth leaving out where the inner side does not have them. */
export function worthFilteringGroups({ node }: JoinStage, innerRows: number, bottom: Stage): boolean {
  const { joinType } = node;
  return bottom.kind === 'agg' && (joinType === 'inner' || joinType === 'semi' || joinType === 'right') && innerRows * 2 < bottom.node.cost.rows;
}

/** The numbers of a column as a set; null when they are too far apart. */
export function* keyFilter(expr: Expr, { shape, data: { data, nulls } }: TableColumn, count: number, { arrays, state }: PipelineRun): Generator<Pending, KeyFilter | null> {
  if (shape.kind !== 'int') return null;
  const numbers = data as Float64Array;
  let min = Infinity;
  let max = -Infinity;
  yield* inSlices(count, state, (from, to) => {
    for (let row = from; row < to; row++) {
      if (nulls && nulls[row] === 1) continue;
      const value = numbers[row]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
  });
  if (min > max) return { expr, min: 0, bits: new Uint8Array(1), density: 0 };
  if (max - min >= MAX_SPAN) return null;
  const bits = arrays.uint8(max - min + 1);
  let present = 0;
  yield* inSlices(count, state, (from, to) => {
    for (let row = from; row < to; row++) {
      if (nulls && nulls[row] === 1) continue;
      const at = numbers[row]! - min;
      present += 1 - bits[at]!;
      bits[at] = 1;
    }
  });
  return { expr, min, bits, density: present / bits.length };
}

/**
 * What a join says about the rows of its outer side, before it comes to it: the keys of its inner side. Null where
 * testing them first would leave out too little; `outer` is the range of the outer side's key.
 */
export function* joinFilter({ node }: JoinStage, { rows, keys, set, heads, direct }: JoinTable, outer: { readonly min: number; readonly max: number }, run: PipelineRun): Generator<Pending, KeyFilter | null> {
  const { joinType } = node;
  if (node.keys.length !== 1 || (joinType !== 'inner' && joinType !== 'semi' && joinType !== 'right')) return null;
  const expr = node.keys[0]!.outer;
  const span = outer.max - outer.min + 1;
  if (!(span < Infinity)) return null;
  if (set) {
    // Counting the keys of a wide set would cost more than it tells.
    if (set.bits.length > FREE_SPAN * 4) return null;
    const { bits } = set;
    let present = 0;
    yield* inSlices(bits.length, run.state, (from, to) => {
      for (let at = from; at < to; at++) present += bits[at]!;
    }, BITS_PER_SLICE);
    return present < span * SELECTIVE ? { expr, min: set.parts[0]!.min, bits: set.bits, density: present / span } : null;
  }
  const [key] = keys as [(typeof keys)[number]];
  if (key.boxed || rows.count >= span * SELECTIVE) return null;
  if (direct) return rows.columns[key.column]!.shape.kind === 'int' ? { expr, min: key.min, bits: heads, density: rows.count / span } : null;
  const made = key.span <= Math.max(FREE_SPAN, rows.count * SPAN_PER_ROW) ? yield* keyFilter(expr, rows.columns[key.column]!, rows.count, run) : null;
  return made && { ...made, density: rows.count / span };
}

/** Writes the test; values that are not plain integers pass. */
export function emitKeyFilter(kernel: Kernel, value: Value, { min, bits }: KeyFilter): void {
  if (value.kind !== 'int') return;
  const code = kernel.name('q');
  kernel.line(`const ${code} = ${value.code} - ${kernel.outside(min)};`);
  const tests = value.isNull ? [`!(${value.isNull})`] : [];
  if (!(value.min >= min && value.max < min + bits.length)) tests.push(`${code} >= 0 && ${code} < ${kernel.outside(bits.length)}`);
  tests.push(`${kernel.outside(bits, 'b')}[${code}] !== 0`);
  kernel.line(`if (!(${tests.join(' && ')})) continue;`);
}

/** Where the expression over a stage's rows comes from, if a row without it at the source never counts above. */
export function originOf(stage: Stage, expr: Expr, isBottom: (stage: Stage) => boolean): { stage: Stage; index: number } | null {
  const index = stage.layout.indexOf(expr);
  if (index < 0) return null;
  if (isBottom(stage)) return { stage, index };
  switch (stage.kind) {
    case 'filter': case 'project': return originOf(stage.child, stage.node.output[index]!, isBottom);
    case 'rename': return originOf(stage.child, stage.child.layout.output[stage.node.columns[index]!]!, isBottom);
    case 'join': return stage.node.joinType === 'right' || stage.node.joinType === 'full' ? null : originOf(stage.outer, expr, isBottom);
    default: return { stage: stage as BottomStage, index };
  }
}

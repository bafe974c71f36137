/**
 * Join filters: where the outer side of a join is far smaller than the work behind its inner side, the outer
 * side is computed first, and the inner side's scan or aggregation leaves out rows whose key it does not have.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { JoinTable } from './join-table.js';
import type { Kernel } from './kernel.js';
import type { KeySet } from './key-set.js';
import type { PipelineRun } from './pipeline-run.js';
import { inSlices } from './sliced.js';
import type { BottomStage, JoinStage, Stage } from './stage.js';
import type { TableColumn } from './table.js';
import type { Value } from './value.js';

/**
 * Rows whose `expr` is not in the set have no partner. A bit for each number of min..min+span-1, 32 to a word: what is asked for each row
 * of a scan must stay in the processor's cache. `density`: the part of the range that is in it.
 */
export interface KeyFilter { readonly expr: Expr; readonly min: number; readonly span: number; readonly words: Int32Array; readonly density: number }

/** A filter that leaves so little is tested before anything else: the branches behind it are then hardly ever reached. */
export const SELECTIVE = 0.3;

const MAX_SPAN = 1 << 26;
/** Range of a set made for a join beside its hash table: in all, and for each row. */
const FREE_SPAN = 1 << 23;
const SPAN_PER_ROW = 512;
/** Counting the keys of a wider set would cost more than it tells. */
const MAX_COUNTED = 1 << 22;
const BYTES_PER_SLICE = 1 << 16;
/** A join's own table is asked at once where it is no larger. */
const CACHED_BYTES = 1 << 16;
/** Rows of a key of several columns that may have one of them in common. */
const SHARING_ROWS = 4;
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
  if (min > max) return { expr, min: 0, span: 1, words: new Int32Array(1), density: 0 };
  const span = max - min + 1;
  if (span > MAX_SPAN) return null;
  const words = arrays.int32(Math.ceil(span / 32));
  let present = 0;
  yield* inSlices(count, state, (from, to) => {
    for (let row = from; row < to; row++) {
      if (nulls && nulls[row] === 1) continue;
      const at = numbers[row]! - min;
      const word = words[at >>> 5]!;
      present += 1 - ((word >>> (at & 31)) & 1);
      words[at >>> 5] = word | (1 << (at & 31));
    }
  });
  return { expr, min, span, words, density: present / span };
}

/** What the source of a join's outer side is: its rows, the range of the key, and whether nothing else leaves rows out before the join. */
interface OuterSource { readonly rows: number; readonly min: number; readonly max: number; readonly first: boolean }

/**
 * What a join says about the rows of its outer side by its key `k`, before it comes to it: the keys of its inner side. Null where
 * testing them first would leave out too little.
 */
export function* joinFilter({ node }: JoinStage, k: number, { rows, keys, set, heads }: JoinTable, outer: OuterSource, run: PipelineRun): Generator<Pending, KeyFilter | null> {
  const { joinType } = node;
  if (joinType !== 'inner' && joinType !== 'semi' && joinType !== 'right') return null;
  const expr = node.keys[k]!.outer;
  const span = outer.max - outer.min + 1;
  if (!(span < Infinity) || (outer.first && (set ? set.bits : heads).byteLength <= CACHED_BYTES)) return null;
  let made: KeyFilter | null;
  if (set) {
    if (node.keys.length > 1 || set.bits.length > MAX_COUNTED) return null;
    made = yield* filterOfSet(expr, set, run);
  } else {
    const key = keys[k]!;
    // A key of several columns has rows that share one of them.
    const expected = rows.count / (node.keys.length > 1 ? SHARING_ROWS : 1);
    if (key.boxed || rows.count * 2 > outer.rows || expected >= span * SELECTIVE) return null;
    const column = rows.columns[key.column]!;
    if (node.keys.length === 1 && key.span > Math.max(FREE_SPAN, rows.count * SPAN_PER_ROW)) return null;
    made = yield* keyFilter(expr, column, rows.count, run);
  }
  const density = made ? (made.density * made.span) / span : 1;
  return made && density < SELECTIVE ? { ...made, density } : null;
}

/** A set that has a byte for each key. */
function* filterOfSet(expr: Expr, { bits, parts }: KeySet, { arrays, state }: PipelineRun): Generator<Pending, KeyFilter> {
  const words = arrays.int32(Math.ceil(bits.length / 32));
  let present = 0;
  yield* inSlices(bits.length, state, (from, to) => {
    for (let at = from; at < to; at++) {
      if (bits[at] === 0) continue;
      present++;
      words[at >>> 5]! |= 1 << (at & 31);
    }
  }, BYTES_PER_SLICE);
  return { expr, min: parts[0]!.min, span: bits.length, words, density: present / bits.length };
}

/** Writes the test; values that are not plain integers pass. */
export function emitKeyFilter(kernel: Kernel, value: Value, { min, span, words }: KeyFilter): void {
  if (value.kind !== 'int') return;
  const code = kernel.name('q');
  kernel.line(`const ${code} = ${value.code} - ${kernel.outside(min)};`);
  const tests = value.isNull ? [`!(${value.isNull})`] : [];
  if (!(value.min >= min && value.max < min + span)) tests.push(`${code} >= 0 && ${code} < ${kernel.outside(span)}`);
  tests.push(`(${kernel.outside(words, 'b')}[${code} >>> 5] >>> (${code} & 31) & 1) !== 0`);
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

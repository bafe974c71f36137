/**
 * Sort: rows in memory as columns, an index array sorted over extracted keys; with a bound only
 * that many rows are kept. What goes beyond work_mem is written out in sorted runs, which are merged.
 */
import { DatabaseError } from '../../../engine/errors.js';
import type { Pending } from '../../../engine/pending.js';
import type { SortKey, SortNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch, type Vector } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compareBy, type CompareDatums } from '../compare.js';
import { compileAll } from '../expressions/compile.js';
import { Frame } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { datumBytes, sortMemory } from '../spill/memory.js';
import { slicedOrder } from '../sliced-sort.js';
import { RunMerge } from '../spill/run-merge.js';
import { canSpill } from '../spill/temp-file.js';
import { anyVector, readVector, rowAt } from '../vectors.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

/** Rows of one sort or hash table; beyond it the statement fails with 53200 instead of the process. */
export const MAX_ROWS_IN_MEMORY = 20_000_000;

export function tooManyRows(what: string): DatabaseError {
  return new DatabaseError('53200', 'out of memory', { detail: `${what} of more than ${MAX_ROWS_IN_MEMORY} rows.` });
}

/** A comparison of two row numbers over key columns. */
export function keyComparer(keys: readonly SortKey[], compiler: PlanCompiler): (columns: readonly Datum[][]) => (a: number, b: number) => number {
  const compares = keys.map((key) => compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, compiler.catalog));
  return (columns) => {
    if (compares.length === 1) {
      const [compare] = compares as [CompareDatums];
      const [column] = columns as [Datum[]];
      // Equal keys keep their input order.
      return (a, b) => compare(column[a]!, column[b]!) || a - b;
    }
    return (a, b) => {
      for (let k = 0; k < compares.length; k++) {
        const order = compares[k]!(columns[k]![a]!, columns[k]![b]!);
        if (order !== 0) return order;
      }
      return a - b;
    };
  };
}

export function compileSort(node: SortNode, compiler: PlanCompiler): Open {
  const scalars = compileAll(node.keys.map((key) => key.expr), compiler.scope(node.child.output));
  const comparer = keyComparer(node.keys, compiler);
  const child = compiler.open(node.child);
  const width = node.child.output.length;
  const types = node.child.output.map((expr) => compiler.catalog.dataType(expr.type));
  const compares = node.keys.map((key) => compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, compiler.catalog));
  return (state) => new GeneratorOperator((function* (): Run {
    const columns: Datum[][] = Array.from({ length: width }, () => []);
    const keys: Datum[][] = scalars.map(() => []);
    let count = 0;
    const bound = node.bound;
    let topN = false;
    const memory = canSpill(state) ? sortMemory(state) : Infinity;
    const runs = new RunMerge(state, types, scalars, compares);
    let bytes = 0;
    const spill = function* (): Generator<Pending, void> {
      yield* runs.addRun(columns, yield* slicedOrder(count, comparer(keys), state));
      for (const list of [columns, keys]) list.forEach((_, c) => (list[c] = []));
      count = 0;
      bytes = 0;
    };
    const cut = function* (): Generator<Pending, void> {
      // Keep the first `bound` rows of what has been read.
      const order = (yield* slicedOrder(count, comparer(keys), state)).subarray(0, bound!);
      for (const list of [columns, keys]) list.forEach((column, c) => (list[c] = Array.from(order, (i) => column[i]!)));
      bytes *= order.length / Math.max(count, 1);
      count = order.length;
      topN = true;
    };
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const frame = new Frame(state).batch(batch);
        for (let i = 0; i < batch.length; i++) {
          const row = rowAt(batch, i);
          frame.row = row;
          for (let k = 0; k < scalars.length; k++) keys[k]!.push(scalars[k]!(frame));
          // A sample is enough to know what rows take.
          const weighed = (i & 7) === 0 ? Math.min(8, batch.length - i) : 0;
          for (let c = 0; c < width; c++) {
            const value = readVector(batch.columns[c]!, row);
            columns[c]!.push(value);
            if (weighed > 0) bytes += datumBytes(value) * weighed;
          }
        }
        count += batch.length;
        if (count > MAX_ROWS_IN_MEMORY) throw tooManyRows('A sort');
        if (bound !== null && !runs.hasRuns && (count > bound * 2 + MAX_BATCH_ROWS || (bytes > memory && count > bound))) yield* cut();
        if (bytes > memory) yield* spill();
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
    if (runs.hasRuns) {
      if (count > 0) yield* spill();
      if (state.instrument) {
        const { details } = state.instrument(node);
        details.set('Sort Method', 'external merge');
        details.set('Sort Space Used', Math.ceil(runs.bytes / 1024));
      }
      yield* runs.merged();
      return;
    }
    if (bound !== null && count > bound) yield* cut();
    if (state.instrument) {
      const { details } = state.instrument(node);
      details.set('Sort Method', topN ? 'top-N heapsort' : 'quicksort');
      details.set('Sort Space Used', Math.max(25, Math.ceil((count * (width * 16 + 24)) / 1024)));
    }
    const order = topN ? null : yield* slicedOrder(count, comparer(keys), state);
    for (let at = 0; at < count; at += MAX_BATCH_ROWS) {
      yield slice(columns, order, at, Math.min(MAX_BATCH_ROWS, count - at));
      if (state.shouldYield()) yield TIME_SLICE;
    }
  })());
}

export function sortedOrder(count: number, compare: (a: number, b: number) => number): Int32Array {
  const order = new Int32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  return order.sort(compare);
}

function slice(columns: readonly Datum[][], order: Int32Array | null, at: number, length: number): Batch {
  const vectors: Vector[] = columns.map((column) => {
    const data = new Array<Datum>(length);
    for (let i = 0; i < length; i++) data[i] = column[order === null ? at + i : order[at + i]!]!;
    return anyVector(data);
  });
  return { columns: vectors, length, selection: null };
}

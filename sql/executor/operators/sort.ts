/**
 * Sort: all rows in memory as columns, an index array sorted over extracted keys; with a bound only
 * that many rows are kept. The memory is bounded explicitly (53200) as long as sorts do not spill.
 */
import { DatabaseError } from '../../../engine/errors.js';
import type { SortKey, SortNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch, type Vector } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compareBy, type CompareDatums } from '../compare.js';
import { compileAll } from '../expressions/compile.js';
import { Frame } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
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
  return (state) => new GeneratorOperator((function* (): Run {
    const columns: Datum[][] = Array.from({ length: width }, () => []);
    const keys: Datum[][] = scalars.map(() => []);
    let count = 0;
    const bound = node.bound;
    let topN = false;
    const cut = (): void => {
      // Keep the first `bound` rows of what has been read.
      const order = sortedOrder(count, comparer(keys)).subarray(0, bound!);
      for (const list of [columns, keys]) list.forEach((column, c) => (list[c] = Array.from(order, (i) => column[i]!)));
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
          for (let c = 0; c < width; c++) columns[c]!.push(readVector(batch.columns[c]!, row));
        }
        count += batch.length;
        if (count > MAX_ROWS_IN_MEMORY) throw tooManyRows('A sort');
        if (bound !== null && count > bound * 2 + MAX_BATCH_ROWS) cut();
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
    if (bound !== null && count > bound) cut();
    if (state.instrument) {
      const { details } = state.instrument(node);
      details.set('Sort Method', topN ? 'top-N heapsort' : 'quicksort');
      details.set('Sort Space Used', Math.max(25, Math.ceil((count * (width * 16 + 24)) / 1024)));
    }
    const order = topN ? null : sortedOrder(count, comparer(keys));
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

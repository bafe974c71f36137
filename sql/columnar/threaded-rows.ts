/** Rows that several threads append: each to a table of its own, put together in the order of the source. */
import type { ExecState } from '../executor/exec-state.js';
import { adoptRows } from './kernel-own.js';
import type { OwnResult, OwnSpec, TopSpec } from './kernel-protocol.js';
import type { ThreadedSink } from './thread-run.js';
import type { ColumnTable } from './table.js';

type RowsResult = Extract<OwnResult, { kind: 'rows' }>;

/** Null where rows hold more than numbers. */
export function threadedRows(table: ColumnTable, state: ExecState): ThreadedSink | null {
  const spec = rowsSpec(table, null);
  return spec && { own: [{ value: table, spec }], many: true, combine: (results) => adoptRows(table, results.map(([rows]) => rows as RowsResult), state) };
}

function rowsSpec(table: ColumnTable, top: TopSpec | null): OwnSpec | null {
  if (table.columns.some(({ shape }) => shape.kind === 'any')) return null;
  return { kind: 'rows', columns: table.columns.map(({ nullable, data: { kind, narrow } }) => ({ kind, narrow, nullable })), capacity: table.capacity, top };
}

/**
 * Where only the best rows are wanted: each thread keeps those of its own by the first key, a number. `cell` is where the kernel
 * finds the worst of them, `afterWorst` what decides by the other keys, which threads leave to the end.
 */
export function threadedTop(table: ColumnTable, top: Omit<TopSpec, 'cell'>, cell: Float64Array, afterWorst: unknown, state: ExecState): ThreadedSink | null {
  const spec = rowsSpec(table, { ...top, cell: 0 });
  return spec && {
    own: [{ value: cell, spec: { kind: 'cells', of: 'float64', length: 1, initial: cell[0]! } }, { value: afterWorst, spec: { kind: 'never' } }, { value: table, spec }],
    many: true,
    combine: (results) => adoptRows(table, results.map((own) => own[2] as RowsResult), state),
  };
}

/** Where kernels write into shared arrays what any of them may write in any order. */
export function threadedInPlace(many: boolean): ThreadedSink {
  return { own: [], many, combine: () => undefined };
}

/** Several sinks of one kernel. */
export function threadedTogether(sinks: readonly (ThreadedSink | null)[]): ThreadedSink | null {
  const all = sinks.filter((sink) => sink !== null);
  if (all.length < sinks.length) return null;
  return {
    own: all.flatMap(({ own }) => own),
    many: all.every(({ many }) => many),
    *combine(results) {
      let at = 0;
      for (const { own, combine } of all) {
        const combining = combine(results.map((one) => one.slice(at, at + own.length)));
        if (combining) yield* combining;
        at += own.length;
      }
    },
  };
}

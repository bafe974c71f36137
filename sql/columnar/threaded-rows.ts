/** Rows that several threads append: each to a table of its own, put together in the order of the source. */
import { adoptRows } from './kernel-own.js';
import type { OwnResult } from './kernel-protocol.js';
import type { ThreadedSink } from './thread-run.js';
import type { ColumnTable } from './table.js';

/** Null where rows hold more than numbers. */
export function threadedRows(table: ColumnTable): ThreadedSink | null {
  if (table.columns.some(({ shape }) => shape.kind === 'any')) return null;
  const columns = table.columns.map(({ nullable, data: { kind, narrow } }) => ({ kind, narrow, nullable }));
  return {
    own: [{ value: table, spec: { kind: 'rows', columns, capacity: table.capacity } }],
    many: true,
    combine: (results) => adoptRows(table, results.map(([rows]) => rows as Extract<OwnResult, { kind: 'rows' }>)),
  };
}

/** Where kernels write into shared arrays what any of them may write in any order. */
export function threadedInPlace(many: boolean): ThreadedSink {
  return { own: [], many, combine: () => undefined };
}

/** Walking all rows of a table inside DDL: validation, index builds, rewrites. Gives the event loop a turn now and then. */
import type { RowId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { RowBlock } from '../../engine/storage.js';
import { Slice, turn } from '../../engine/turns.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';

/** Read at once. */
export const FILL_ROWS = 128;

/**
 * Calls `visit` with every current row (values by attnum - 1; with `only`, just those columns are read and the others
 * are null). The table must be locked against writers.
 */
export async function forEachRow(
  context: CommandContext, relation: Relation, visit: (values: Datum[], rowId: RowId) => void | Pending, only: ReadonlySet<number> | null = null,
): Promise<void> {
  const { transaction } = context;
  const access = tableAccess(relation, context.catalog);
  transaction.advanceCommand();
  const snapshot = transaction.latestSnapshot();
  const cursor = transaction.scan(relation.storage, snapshot);
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const columns = only ? [...only] : longColumns(access);
  access.codec.large ??= transaction.largeValues;
  const slice = new Slice(() => context.eval.runtime.clock.monotonicMs());
  try {
    for (;;) {
      const filled = await settle(context, () => cursor.fill(block, FILL_ROWS));
      if (filled === 0) return;
      for (let at = 0; at < filled; ) {
        const end = await loadPortion(context, access, columns, block.tuples, at, filled);
        for (let i = at; i < end; i++) {
          const tuple = block.tuples[i]!;
          const values = only ? pick(access, tuple, only) : access.codec.readAll(tuple);
          const rowId = block.rowIds[i]! as RowId;
          const waited = visit(values, rowId);
          if (waited instanceof Pending) await settle(context, () => visit(values, rowId) ?? true);
          if (slice.over) await slice.turn();
        }
        access.codec.release(at === 0 ? block.tuples : block.tuples.slice(at, end), end - at);
        at = end;
      }
    }
  } finally {
    cursor.close();
    snapshot.release();
  }
}

/** Attribute numbers of the columns whose values may be long. */
export function longColumns(access: TableAccess): number[] {
  return access.codec.variableColumns.map((column) => column + 1);
}

/**
 * Has the long values in `columns` of some of the rows [from, end) read, so that these can be decoded: up to which row. Those of
 * many megabytes are taken few at a time; the codec's `release` lets go of them.
 */
export async function loadPortion(context: CommandContext, access: TableAccess, columns: readonly number[], tuples: readonly Uint8Array[], from: number, end: number): Promise<number> {
  const count = access.portion(columns, tuples, from, end);
  const portion = from === 0 ? tuples : tuples.slice(from, from + count);
  for (let wait = access.load(columns, portion, count); wait; wait = access.load(columns, portion, count)) await context.wait(wait);
  return from + count;
}

function pick(access: TableAccess, tuple: Uint8Array, only: ReadonlySet<number>): Datum[] {
  const values = new Array<Datum>(access.types.length).fill(null);
  for (const attnum of only) values[attnum - 1] = access.codec.read(tuple, attnum - 1);
  return values;
}

export function eventLoopTurn(): Promise<void> {
  return turn();
}

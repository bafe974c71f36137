/** Walking all rows of a table inside DDL: validation, index builds, rewrites. Gives the event loop a turn now and then. */
import type { RowId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { RowBlock } from '../../engine/storage.js';
import { tableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';

const FILL_ROWS = 512;
const BATCHES_PER_TURN = 8;

/** Calls `visit` with every current row (values by attnum - 1). The table must be locked against writers. */
export async function forEachRow(context: CommandContext, relation: Relation, visit: (values: Datum[], rowId: RowId, tuple: Uint8Array) => void | Pending): Promise<void> {
  const { transaction } = context;
  const access = tableAccess(relation, context.catalog);
  transaction.advanceCommand();
  const snapshot = transaction.latestSnapshot();
  const cursor = transaction.scan(relation.storage, snapshot);
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  try {
    for (let batch = 1; ; batch++) {
      const filled = await settle(context, () => cursor.fill(block, FILL_ROWS));
      if (filled === 0) return;
      for (let i = 0; i < filled; i++) {
        const tuple = block.tuples[i]!;
        const values = access.codec.readAll(tuple);
        const rowId = block.rowIds[i]! as RowId;
        const waited = visit(values, rowId, tuple);
        if (waited instanceof Pending) await settle(context, () => visit(values, rowId, tuple) ?? true);
      }
      if (batch % BATCHES_PER_TURN === 0) await eventLoopTurn();
    }
  } finally {
    cursor.close();
    snapshot.release();
  }
}

export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

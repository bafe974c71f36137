/** A table's rows written anew into a new storage: ALTER TYPE, volatile defaults, generated columns. Rolls back by itself. */
import type { StorageId } from '../../engine/ids.js';
import type { RowBlock } from '../../engine/storage.js';
import { Slice } from '../../engine/turns.js';
import { TupleCodec } from '../access/tuple-codec.js';
import { tableAccess } from '../access/table-access.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';
import { rebuildIndex } from './define-index.js';
import { newStorage, updateClass } from './relation-rows.js';
import { FILL_ROWS } from './row-scan.js';

/**
 * Rewrites `relationOid`, whose catalog rows are changed already. `before` is the relation as the old rows were
 * stored; `transform` gets each old row and returns the new one.
 */
export async function rewriteTable(context: CommandContext, before: Relation, relationOid: Oid, transform: (row: Datum[]) => Datum[]): Promise<void> {
  const { transaction } = context;
  const relation = context.catalog.relation(relationOid)!;
  const oldCodec = tableAccess(before, context.catalog).codec;
  const newCodec = tableAccess(relation, context.catalog).codec;
  const storage = newStorage(context, relation.relpersistence);
  await copyRows(context, before.storage, storage, oldCodec, newCodec, transform);
  transaction.dropStorage(before.storage);
  transaction.noteReplaced(before.storage, storage);
  updateClass(context, relationOid, { relfilenode: storage });
  transaction.advanceCommand();
  for (const index of context.catalog.relation(relationOid)!.indexes) await rebuildIndex(context, relationOid, index.oid);
}

async function copyRows(context: CommandContext, from: StorageId, to: StorageId, oldCodec: TupleCodec, newCodec: TupleCodec, transform: (row: Datum[]) => Datum[]): Promise<void> {
  const { transaction } = context;
  transaction.advanceCommand();
  const snapshot = transaction.latestSnapshot();
  const cursor = transaction.scan(from, snapshot);
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const slice = new Slice(() => context.eval.runtime.clock.monotonicMs());
  try {
    for (;;) {
      const filled = await settle(context, () => cursor.fill(block, FILL_ROWS));
      if (filled === 0) return;
      for (let i = 0; i < filled; i++) {
        transaction.insert(to, newCodec.encode(transform(oldCodec.readAll(block.tuples[i]!))));
        if (slice.over) await slice.turn();
      }
      // A transaction beyond memory goes no faster than the engine can apply it.
      const behind = transaction.loadPending();
      if (behind) await context.wait(behind);
    }
  } finally {
    cursor.close();
    snapshot.release();
  }
}

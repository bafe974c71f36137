/** A table's rows written anew into a new storage: ALTER TYPE, volatile defaults, generated columns. Rolls back by itself. */
import type { StorageId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { BulkLoader, LargeValueWriter, RowBlock } from '../../engine/storage.js';
import { Slice } from '../../engine/turns.js';
import { ValueStager } from '../access/large-columns.js';
import type { TupleCodec } from '../access/tuple-codec.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';
import { rebuildIndex } from './define-index.js';
import { newStorage, updateClass } from './relation-rows.js';
import { FILL_ROWS, loadPortion, longColumns } from './row-scan.js';

/**
 * Rewrites `relationOid`, whose catalog rows are changed already. `before` is the relation as the old rows were
 * stored; `transform` gets each old row and returns the new one.
 */
export async function rewriteTable(context: CommandContext, before: Relation, relationOid: Oid, transform: (row: Datum[]) => Datum[]): Promise<void> {
  const { transaction } = context;
  const relation = context.catalog.relation(relationOid)!;
  const storage = newStorage(context, relation.relpersistence);
  await new RowCopy(context, tableAccess(before, context.catalog), tableAccess(relation, context.catalog), storage, transform).run();
  transaction.dropStorage(before.storage);
  transaction.noteReplaced(before.storage, storage);
  updateClass(context, relationOid, { relfilenode: storage });
  transaction.advanceCommand();
  for (const index of context.catalog.relation(relationOid)!.indexes) await rebuildIndex(context, relationOid, index.oid);
}

/** More rows than these go past the write set (engine/mvcc/bulk-load.ts): nobody else sees the new storage yet. */
const LOAD_FROM = 2000;
/** Rows between two looks at how far the engine is. */
const ROWS_PER_LOOK = 256;

class RowCopy {
  private readonly codec: TupleCodec;
  private readonly stager: ValueStager;
  private readonly columns: readonly number[];
  private readonly slice: Slice;
  private loader: BulkLoader | undefined;
  private rows = 0;
  private readonly openValue = (): LargeValueWriter | undefined => this.context.transaction.writeValue(this.to);

  constructor(private readonly context: CommandContext, private readonly from: TableAccess, into: TableAccess, private readonly to: StorageId, private readonly transform: (row: Datum[]) => Datum[]) {
    this.codec = into.codec;
    this.stager = new ValueStager(into.codec.variableColumns, this.openValue);
    this.columns = longColumns(from);
    this.slice = new Slice(() => context.eval.runtime.clock.monotonicMs());
  }

  async run(): Promise<void> {
    const { context, from } = this;
    const { transaction } = context;
    transaction.advanceCommand();
    from.codec.large ??= transaction.largeValues;
    const snapshot = transaction.latestSnapshot();
    const cursor = transaction.scan(from.relation.storage, snapshot);
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    try {
      for (;;) {
        const filled = await settle(context, () => cursor.fill(block, FILL_ROWS));
        if (filled === 0) break;
        await this.copyBlock(block.tuples, filled);
      }
    } finally {
      cursor.close();
      snapshot.release();
    }
    await this.loader?.finish();
  }

  private async copyBlock(tuples: readonly Uint8Array[], filled: number): Promise<void> {
    const { context, from, columns } = this;
    for (let at = 0; at < filled; ) {
      const end = await loadPortion(context, from, columns, tuples, at, filled);
      for (let i = at; i < end; i++) {
        const wait = this.copyRow(this.transform(from.codec.readAll(tuples[i]!)));
        if (wait) await wait;
        if (++this.rows % ROWS_PER_LOOK === 0) await this.keepPace();
        if (this.slice.over) await this.slice.turn();
      }
      from.codec.release(at === 0 ? tuples : tuples.slice(at, end), end - at);
      at = end;
    }
  }

  private copyRow(values: Datum[]): Promise<void> | undefined {
    const refs = this.stager.refs(values);
    if (refs instanceof Pending) return this.context.wait(refs).then(() => this.copyRow(values));
    const { transaction } = this.context;
    const tuple = this.codec.encode(values, refs, this.openValue);
    this.stager.done();
    if (this.loader) this.loader.insert(this.to, tuple, tuple.length);
    else transaction.insert(this.to, tuple);
    return undefined;
  }

  /** A transaction beyond memory goes no faster than the engine can apply it. */
  private async keepPace(): Promise<void> {
    const { transaction, wait } = this.context;
    if (this.rows >= LOAD_FROM) this.loader ??= transaction.bulkLoader(this.to);
    const behind = this.loader ? this.loader.pending() : transaction.loadPending();
    if (behind) await wait(behind);
  }
}

/**
 * Writes to a table: the row and every index entry that follows from it. Unique keys are probed
 * before anything is written, so a call that answers Pending has done nothing and is simply called
 * again. Rows to update or delete must be locked by the caller.
 */
import { equalBytes } from '../../engine/keycode.js';
import type { RowId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { BulkLoader, LargeValueWriter, Transaction } from '../../engine/storage.js';
import type { Catalog, Index, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { uniqueViolation } from './constraint-errors.js';
import { GatheredEntries, type GatherHost } from './gathered-entries.js';
import { indexAccess, type IndexAccess, type RowExpressionCompiler } from './index-access.js';
import { ValueStager } from './large-columns.js';
import { tableAccess, type TableAccess } from './table-access.js';
import { TupleEncoder } from './tuple-encoder.js';

/** A unique key of a deferrable constraint to look at again at the end of the statement or transaction. */
export interface DeferredUniqueCheck {
  readonly index: Index;
  readonly key: Uint8Array;
  readonly rowId: RowId;
  readonly values: readonly Datum[];
}

export interface WriterContext {
  readonly transaction: Transaction;
  readonly catalog: Catalog;
  /** For error details, which show values. */
  readonly evalContext: EvalContext;
  readonly compileRow: RowExpressionCompiler;
  /** Takes checks of deferrable unique constraints; without it they are immediate. */
  deferUnique?(check: DeferredUniqueCheck): void;
  /** Very many rows are about to come in through the loader. */
  loadsInBulk?(relation: Relation, loader: BulkLoader): void;
}

interface Entry { key: Uint8Array; values: Datum[] }

/** From so many inserted rows on, they are kept as bytes (engine/mvcc/write-batch.ts). */
const MANY_FROM = 8;

const EMPTY = new Uint8Array(0);

/** What writing many rows reuses from row to row. */
interface ManyRows {
  readonly row: TupleEncoder;
  /** By index: the row's key, and whether the index covers the row. */
  readonly keys: { bytes: Uint8Array; put: boolean }[];
}

export class TableWriter {
  readonly access: TableAccess;
  private readonly indexes: readonly IndexAccess[];
  /** By index, of the row that is written; and of the one that it replaces. */
  private readonly entries: (Entry | null)[];
  private readonly oldEntries: (Entry | null)[];
  private inserts = 0;
  private many: ManyRows | null | undefined;
  private bulk: BulkLoader | undefined;
  private gathered: GatheredEntries | undefined;
  private readonly stager: ValueStager;
  private readonly openValue = (): LargeValueWriter | undefined => this.context.transaction.writeValue(this.relation.storage);

  constructor(readonly relation: Relation, private readonly context: WriterContext) {
    this.access = tableAccess(relation, context.catalog);
    this.indexes = relation.indexes.filter((index) => index.ready).map((index) => indexAccess(index, context.catalog, context.compileRow));
    this.entries = new Array<Entry | null>(this.indexes.length).fill(null);
    this.oldEntries = new Array<Entry | null>(this.indexes.length).fill(null);
    this.stager = new ValueStager(this.access.codec.variableColumns, this.openValue);
  }

  /** There are no indexes: a row is all there is to write. */
  get plain(): boolean {
    return this.indexes.length === 0;
  }

  /** From now on inserted rows, and entries of indexes that need no look-up, go to the engine's bulk loader; whoever asks calls its `finish`. */
  loadInBulk(): BulkLoader | undefined {
    if (this.bulk) return this.bulk;
    this.bulk = this.context.transaction.bulkLoader(this.relation.storage);
    if (this.bulk) this.context.loadsInBulk?.(this.relation, this.bulk);
    return this.bulk;
  }

  /** As loadInBulk, and all entries are gathered, where that can be: whoever asks `flush`es them. A repeated key is found only then. */
  gatherInBulk(host: Pick<GatherHost, 'wait' | 'breathe'>): GatheredEntries | undefined {
    const loader = this.loadInBulk();
    if (loader && !this.plain && GatheredEntries.takes(this.indexes) && !this.gathered) {
      this.gathered = new GatheredEntries(this.access, this.indexes, loader, { ...host, ...this.context });
      this.many = undefined;
    }
    return this.gathered;
  }

  /** Whether rows may come as bytes once they are loaded in bulk. */
  get takesBytes(): boolean {
    return this.plain || GatheredEntries.takesBytes(this.indexes);
  }

  /** A row as bytes, once rows are loaded in bulk, and what its entries need gathered. */
  insertEncoded(row: TupleEncoder): RowId {
    const rowId = this.bulk!.insert(this.relation.storage, row.buffer, row.length);
    this.gathered?.addEncoded(rowId, row);
    return rowId;
  }

  /** Attribute numbers that index entries are made of; null: cannot be told. */
  get indexedColumns(): ReadonlySet<number> | null {
    const columns = new Set<number>();
    for (const { dependsOn } of this.indexes) {
      if (!dependsOn) return null;
      for (const attnum of dependsOn) columns.add(attnum);
    }
    return columns;
  }

  /** Inserts a row (values by attnum - 1). */
  insert(values: readonly Datum[]): RowId | Pending {
    // A bulk load goes no faster than the engine can apply it.
    if ((++this.inserts & 1023) === 0) {
      const behind = this.context.transaction.loadPending();
      if (behind) return behind;
    }
    if (this.inserts > MANY_FROM && this.many !== null) {
      if (this.many === undefined) this.many = this.manyRows();
      const inserted = this.many ? this.insertOneOfMany(this.many, values) : undefined;
      if (inserted !== undefined) return inserted;
    }
    const deferred: DeferredUniqueCheck[] = [];
    for (let i = 0; !this.gathered && i < this.indexes.length; i++) {
      const entry = this.entryOf(this.indexes[i]!, values);
      this.entries[i] = entry;
      const probed = this.probe(this.indexes[i]!, entry, undefined, deferred);
      if (probed) return probed;
    }
    const refs = this.stager.refs(values);
    if (refs instanceof Pending) return refs;
    const { transaction } = this.context;
    const tuple = this.access.codec.encode(values, refs, this.openValue);
    const rowId = this.bulk ? this.bulk.insert(this.relation.storage, tuple, tuple.length) : transaction.insert(this.relation.storage, tuple);
    this.stager.done();
    if (this.gathered) this.gathered.add(rowId, values);
    else for (let i = 0; i < this.indexes.length; i++) this.put(this.indexes[i]!, this.entries[i]!, rowId, values);
    for (const check of deferred) this.context.deferUnique!({ ...check, rowId });
    return rowId;
  }

  /** Null where something needs more than keys and bytes. */
  private manyRows(): ManyRows | null {
    if (!this.gathered && this.indexes.some(({ index, hasPayload }) => hasPayload || !index.immediate)) return null;
    return { row: new TupleEncoder(this.access.codec), keys: this.indexes.map(() => ({ bytes: EMPTY, put: false })) };
  }

  /** As `insert`, without an object per row or entry. Undefined: not this row, and nothing was done. */
  private insertOneOfMany({ row, keys }: ManyRows, values: readonly Datum[]): RowId | Pending | undefined {
    const { indexes, relation } = this;
    const { transaction } = this.context;
    row.begin();
    const { columns } = this.access.codec;
    for (let i = 0; i < columns.length; i++) if (!row.datum(i, columns[i]!.type === null ? null : (values[i] ?? null))) return undefined;
    row.finish();
    if (this.gathered) {
      const rowId = this.bulk!.insert(relation.storage, row.buffer, row.length);
      this.gathered.add(rowId, values);
      return rowId;
    }
    for (let i = 0; i < indexes.length; i++) {
      const access = indexes[i]!;
      const key = keys[i]!;
      key.put = access.covers(values);
      if (!key.put) continue;
      const made = access.makeKey(values, relation.relname);
      if (key.bytes.length !== made.length) key.bytes = new Uint8Array(made.length);
      for (let b = 0; b < made.length; b++) key.bytes[b] = made.bytes[b]!;
      const { index } = access;
      if (!index.unique || (made.hasNull && !index.nullsNotDistinct)) continue;
      const found = transaction.probeUnique(index.storage, key.bytes);
      if (found instanceof Pending) return found;
      // The general way says so.
      if (found !== 'free') return undefined;
    }
    const rowId = this.bulk ? this.bulk.insert(relation.storage, row.buffer, row.length) : transaction.insertOfMany(relation.storage, row.buffer, row.length);
    for (let i = 0; i < indexes.length; i++) {
      const { bytes, put } = keys[i]!;
      if (!put) continue;
      const { index } = indexes[i]!;
      if (this.bulk && !index.unique) this.bulk.put(index.storage, bytes, 0, bytes.length, rowId, EMPTY);
      else transaction.putEntryOfMany(index.storage, bytes, bytes.length, rowId, EMPTY);
    }
    return rowId;
  }

  /** Replaces a locked row. `changed`: attribute numbers that may differ, when known. */
  update(rowId: RowId, before: readonly Datum[], after: readonly Datum[], changed?: ReadonlySet<number>): Pending | undefined {
    const { transaction } = this.context;
    const { indexes, entries, oldEntries } = this;
    const deferred: DeferredUniqueCheck[] = [];
    for (let i = 0; i < indexes.length; i++) {
      const access = indexes[i]!;
      entries[i] = oldEntries[i] = null;
      if (changed && access.dependsOn && !intersects(access.dependsOn, changed)) continue;
      const old = this.entryOf(access, before);
      const next = this.entryOf(access, after);
      if (old !== null && next !== null && equalBytes(old.key, next.key)) {
        const payload = access.payloadOf(after, next.values);
        if (payload.length === 0 || equalBytes(payload, access.payloadOf(before, old.values))) continue;
      } else {
        const probed = this.probe(access, next, rowId, deferred);
        if (probed) return probed;
      }
      entries[i] = next;
      oldEntries[i] = old;
    }
    const refs = this.stager.refs(after);
    if (refs instanceof Pending) return refs;
    transaction.update(this.relation.storage, rowId, this.access.codec.encode(after, refs, this.openValue));
    this.stager.done();
    for (let i = 0; i < indexes.length; i++) {
      // Also under the same key: the entry with the old payload stays for older snapshots.
      const old = oldEntries[i];
      if (old) transaction.deleteIndexEntry(indexes[i]!.index.storage, old.key, rowId);
      this.put(indexes[i]!, entries[i]!, rowId, after);
    }
    for (const check of deferred) this.context.deferUnique!({ ...check, rowId });
    return undefined;
  }

  /** Deletes a locked row. */
  delete(rowId: RowId, before: readonly Datum[]): void {
    const { transaction } = this.context;
    for (const access of this.indexes) {
      const entry = this.entryOf(access, before);
      if (entry) transaction.deleteIndexEntry(access.index.storage, entry.key, rowId);
    }
    transaction.delete(this.relation.storage, rowId);
  }

  /** ON CONFLICT: the row that stands in the way of `values` in one of the arbiter indexes (all unique ones without a list). */
  probeConflict(values: readonly Datum[], arbiters?: readonly number[]): { index: Index; rowId: RowId } | null | Pending {
    for (const access of this.indexes) {
      const { index } = access;
      if (!index.unique || (arbiters && arbiters.length > 0 && !arbiters.includes(index.oid))) continue;
      const entry = this.entryOf(access, values);
      if (!entry || !this.mustBeUnique(index, entry)) continue;
      const found = this.context.transaction.probeUnique(index.storage, entry.key);
      if (found instanceof Pending) return found;
      if (found !== 'free') return { index, rowId: found.rowId };
    }
    return null;
  }

  /** Adds the entry of an existing row to one index (CREATE INDEX, rewrites). */
  addEntry(access: IndexAccess, rowId: RowId, values: readonly Datum[]): Pending | undefined {
    const entry = this.entryOf(access, values);
    const probed = this.probe(access, entry, undefined, []);
    if (probed) return probed;
    this.put(access, entry, rowId, values);
    return undefined;
  }

  private entryOf(access: IndexAccess, values: readonly Datum[]): Entry | null {
    if (!access.covers(values)) return null;
    const keyValues = access.keyValues(values);
    return { key: access.key(keyValues, this.relation.relname), values: keyValues };
  }

  private mustBeUnique(index: Index, entry: Entry): boolean {
    return index.unique && (index.nullsNotDistinct || !entry.values.includes(null));
  }

  private probe(access: IndexAccess, entry: Entry | null, except: RowId | undefined, deferred: DeferredUniqueCheck[]): Pending | undefined {
    const { index } = access;
    if (!entry || !this.mustBeUnique(index, entry)) return undefined;
    const found = this.context.transaction.probeUnique(index.storage, entry.key, except);
    if (found instanceof Pending) return found;
    if (found === 'free') return undefined;
    if (!index.immediate && this.context.deferUnique) {
      deferred.push({ index, key: entry.key, rowId: 0 as RowId, values: entry.values });
      return undefined;
    }
    this.context.transaction.noteInsertion(this.relation.storage, index.storage, entry.key);
    throw uniqueViolation(this.relation, index, entry.values, this.context.catalog, this.context.evalContext);
  }

  private put(access: IndexAccess, entry: Entry | null, rowId: RowId, values: readonly Datum[]): void {
    if (!entry) return;
    const { index } = access;
    const payload = access.payloadOf(values, entry.values);
    // Whether a unique key is taken is asked of the write set, too.
    if (this.bulk && !index.unique) this.bulk.put(index.storage, entry.key, 0, entry.key.length, rowId, payload);
    else this.context.transaction.putIndexEntry(index.storage, entry.key, rowId, payload);
  }
}

function intersects(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  for (const value of b) if (a.has(value)) return true;
  return false;
}

/** Looks again at a deferred unique key: raises 23505 if another row has it (and this one still does). */
export function recheckUnique(check: DeferredUniqueCheck, context: WriterContext): Pending | undefined {
  const found = context.transaction.probeUnique(check.index.storage, check.key, check.rowId);
  if (found instanceof Pending) return found;
  if (found === 'free') return undefined;
  const relation = context.catalog.relation(check.index.tableOid);
  if (!relation) return undefined;
  const snapshot = context.transaction.latestSnapshot();
  try {
    const access = tableAccess(relation, context.catalog);
    const version = access.fetch(context.transaction, snapshot, check.rowId);
    if (version instanceof Pending) return version;
    if (!version) return undefined;
    const index = indexAccess(check.index, context.catalog, context.compileRow);
    const now = index.key(index.keyValues(access.codec.readAll(version.tuple)), relation.relname);
    if (!equalBytes(now, check.key)) return undefined;
  } finally {
    snapshot.release();
  }
  throw uniqueViolation(relation, check.index, check.values, context.catalog, context.evalContext);
}

/**
 * A table's rows for the executor: scans into vectors of the needed columns, and fetches by row id.
 * One `TableAccess` per Relation object (relations are immutable; DDL makes new ones).
 */
import type { RowId } from '../../engine/ids.js';
import { hasLarge } from '../../engine/mvcc/row-format.js';
import { Pending } from '../../engine/pending.js';
import type { RowBlock, RowCursor, RowVersion, Snapshot, Transaction } from '../../engine/storage.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { Vector } from '../executor/batch.js';
import type { Datum } from '../types/datum.js';
import type { DataType, VectorKind } from '../types/data-type.js';
import { CMAX, CMIN, CTID, TABLEOID, XMAX, XMIN } from './system-columns.js';
import { TupleCodec } from './tuple-codec.js';

export { CMAX, CMIN, CTID, TABLEOID, XMAX, XMIN };

/** Long values decoded at once, in bytes, above one row. */
const PORTION_BYTES = 16 << 20;

export interface RowBatch {
  length: number;
  /** In the order of the columns asked for. */
  columns: Vector[];
  rowIds: number[];
  /** The stored rows; valid until the next call. */
  tuples: Uint8Array[];
}

const accesses = new WeakMap<Relation, TableAccess>();

/** The access object of a relation, made on first use. */
export function tableAccess(relation: Relation, catalog: Catalog): TableAccess {
  let access = accesses.get(relation);
  if (!access) accesses.set(relation, (access = new TableAccess(relation, catalog)));
  return access;
}

export class TableAccess {
  readonly codec: TupleCodec;
  /** By attnum - 1; null for dropped columns. */
  readonly types: readonly (DataType | null)[];

  constructor(readonly relation: Relation, catalog: Catalog) {
    this.types = relation.attributes.map((attribute) => (attribute.attisdropped ? null : catalog.dataType(attribute.atttypid)));
    this.codec = new TupleCodec(relation.attributes.map((attribute, i) => ({
      type: this.types[i]!, droppedWidth: attribute.attlen, missing: attribute.missingValue,
    })), relation.storage);
  }

  /** Reads one column of a stored row; system columns by negative numbers. */
  read(attnum: number, tuple: Uint8Array, rowId: number, xmin: number): Datum {
    return attnum > 0 ? this.codec.read(tuple, attnum - 1) : this.systemColumn(attnum, rowId, xmin);
  }

  systemColumn(attnum: number, rowId: number, xmin: number): Datum {
    switch (attnum) {
      case CTID: return rowId;
      case XMIN: return xmin;
      case TABLEOID: return this.relation.oid;
      case CMIN: case CMAX: case XMAX: return 0;
      default: throw new Error(`no system column ${attnum}`);
    }
  }

  private kindOf(attnum: number): VectorKind {
    if (attnum > 0) return this.types[attnum - 1]?.vector ?? 'any';
    return attnum === CTID ? 'any' : 'float64';
  }

  /** All rows the snapshot sees, `columns` (attribute numbers) of each. */
  scan(transaction: Transaction, snapshot: Snapshot, columns: readonly number[], range?: { from?: RowId; to?: RowId }): TableScan {
    this.codec.large ??= transaction.largeValues;
    return new TableScan(this, transaction.scan(this.relation.storage, snapshot, range), columns);
  }

  /** `keep`: the row may soon be asked for again. */
  fetch(transaction: Transaction, snapshot: Snapshot, rowId: RowId, keep = false): RowVersion | undefined | Pending {
    this.codec.large ??= transaction.largeValues;
    return transaction.get(this.relation.storage, rowId, snapshot, keep);
  }

  /** As `fetch`, for a row asked for by its key. */
  fetchOne(transaction: Transaction, snapshot: Snapshot, rowId: RowId): RowVersion | undefined | Pending {
    this.codec.large ??= transaction.largeValues;
    return transaction.getOne(this.relation.storage, rowId, snapshot);
  }

  /** Before `decode`: has long values read in slices. Pending: call again. Columns as attribute numbers. */
  load(columns: readonly number[], tuples: readonly Uint8Array[], count: number): Pending | undefined {
    for (let i = 0; i < count; i++) if (hasLarge(tuples[i]!)) return this.codec.load(columns.map((attnum) => attnum - 1), tuples, count);
    return undefined;
  }

  /** How many rows from `from` on to decode at once: fewer when their long values are many megabytes. */
  portion(columns: readonly number[], tuples: readonly Uint8Array[], from: number, end: number): number {
    let bytes = 0;
    for (let i = from; i < end; i++) {
      if (!hasLarge(tuples[i]!)) continue;
      for (const attnum of columns) if (attnum > 0) bytes += this.codec.refOf(tuples[i]!, attnum - 1)?.length ?? 0;
      if (bytes > PORTION_BYTES) return Math.max(1, i - from);
    }
    return end - from;
  }

  /** Fresh vectors with `columns` of `count` stored rows. */
  decode(columns: readonly number[], tuples: readonly Uint8Array[], rowIds: readonly number[], xmins: readonly number[], count: number): Vector[] {
    const vectors = columns.map((attnum) => this.vector(attnum, tuples, rowIds, xmins, count));
    this.codec.release(tuples, count);
    return vectors;
  }

  private vector(attnum: number, tuples: readonly Uint8Array[], rowIds: readonly number[], xmins: readonly number[], count: number): Vector {
    const kind = this.kindOf(attnum);
    if (kind === 'any') return this.datums(attnum, tuples, rowIds, xmins, count);
    const data = kind === 'bool' ? new Uint8Array(count) : kind === 'int32' ? new Int32Array(count) : new Float64Array(count);
    let nulls: Uint8Array | null = null;
    for (let i = 0; i < count; i++) {
      const value = this.read(attnum, tuples[i]!, rowIds[i]!, xmins[i]!);
      if (value === null) (nulls ??= new Uint8Array(count))[i] = 1;
      // An int8 beyond 2^53 makes the whole batch exact datums.
      else if (typeof value === 'bigint') return this.datums(attnum, tuples, rowIds, xmins, count);
      else data[i] = value as number;
    }
    return { kind, data, nulls } as Vector;
  }

  private datums(attnum: number, tuples: readonly Uint8Array[], rowIds: readonly number[], xmins: readonly number[], count: number): Vector {
    const data = new Array<Datum>(count);
    for (let i = 0; i < count; i++) data[i] = this.read(attnum, tuples[i]!, rowIds[i]!, xmins[i]!);
    return { kind: 'any', data, nulls: null };
  }
}

/** One running scan. `next` after Pending resumes. The vectors are fresh with each batch. */
export class TableScan {
  private readonly block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  /** Rows of the block handed out, when it is handed out in portions. */
  private at = 0;
  private end = 0;

  constructor(private readonly access: TableAccess, private readonly cursor: RowCursor, private readonly columns: readonly number[]) {}

  next(maxRows: number): RowBatch | null | Pending {
    if (this.at === this.end) {
      const filled = this.cursor.fill(this.block, maxRows);
      if (filled instanceof Pending) return filled;
      if (filled === 0) return null;
      this.at = 0;
      this.end = filled;
    }
    const count = this.access.portion(this.columns, this.block.tuples, this.at, this.end);
    if (count < this.end - this.at || this.at > 0) return this.nextPortion(count);
    const loading = this.access.load(this.columns, this.block.tuples, count);
    if (loading) return loading;
    this.at = this.end;
    const filled = this.end;
    const { tuples, rowIds, xmins } = this.block;
    return { length: filled, columns: this.access.decode(this.columns, tuples, rowIds, xmins, filled), rowIds: rowIds.slice(0, filled), tuples };
  }

  private nextPortion(count: number): RowBatch | Pending {
    const { at } = this;
    const [tuples, rowIds, xmins] = [this.block.tuples.slice(at, at + count), this.block.rowIds.slice(at, at + count), this.block.xmins.slice(at, at + count)];
    const loading = this.access.load(this.columns, tuples, count);
    if (loading) return loading;
    this.at += count;
    return { length: count, columns: this.access.decode(this.columns, tuples, rowIds, xmins, count), rowIds, tuples };
  }

  close(): void {
    this.cursor.close();
  }
}

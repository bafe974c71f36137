/**
 * Index entries: keys from rows, ranges from conditions, columns back from entries.
 *
 * A key is the concatenation of its columns as engine/keycode.ts lays them out. An entry's payload is
 * a tuple (tuple-codec.ts) of the key columns whose encoding loses something (numeric scale, ...)
 * and of the INCLUDE columns; it is empty when there are none. So an index-only read needs no heap,
 * except for entries whose key was cut for its length.
 */
import { isCutKey, KeyReader, KeyWriter, LONG_KEY, MAX_KEY, scanBound } from '../../engine/keycode.js';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { RowId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import { slabCopy } from '../../engine/slab.js';
import type { IndexBlock, IndexCursor, KeyRange, Snapshot, Transaction } from '../../engine/storage.js';
import type { Catalog, Index } from '../catalog/catalog.js';
import type { Datum, Int8 } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import type { DataType, KeyCodec, KeySource } from '../types/data-type.js';
import type { Vector } from '../executor/batch.js';
import { tableAccess, type RowBatch, type TableAccess } from './table-access.js';
import { TupleCodec } from './tuple-codec.js';

/** A compiled expression over one table row (by attnum - 1). */
export type RowEvaluator = (row: readonly Datum[]) => Datum;
/** sql/executor provides it: SQL text of an index expression or predicate over a relation's columns. */
export type RowExpressionCompiler = (tableOid: number, text: string) => RowEvaluator;

interface KeyColumn {
  readonly attnum: number;
  readonly expression: RowEvaluator | null;
  readonly codec: KeyCodec;
  readonly type: DataType;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** Position in the payload when the key alone does not give the value back. */
  readonly payloadPosition: number;
}

/** A condition on the leading columns of an index. */
export interface IndexCondition {
  /** Values that the leading columns equal; null means IS NULL. Of the columns' own types. */
  readonly equal: readonly Datum[];
  /** On the next column. */
  readonly lower?: { readonly value: Datum; readonly inclusive: boolean };
  readonly upper?: { readonly value: Datum; readonly inclusive: boolean };
  /** The next column IS NOT NULL (implied by lower or upper). */
  readonly notNull?: boolean;
  readonly reverse?: boolean;
}

interface MadeKey {
  bytes: Uint8Array;
  length: number;
  /** A column is NULL. */
  hasNull: boolean;
}

const writer = new KeyWriter();
const made: MadeKey = { bytes: new Uint8Array(0), length: 0, hasNull: false };
const EMPTY = new Uint8Array(0);

const accesses = new WeakMap<Index, IndexAccess>();

/** The access object of an index. `compile` is needed for expression and partial indexes that are written. */
export function indexAccess(index: Index, catalog: Catalog, compile: RowExpressionCompiler): IndexAccess {
  let access = accesses.get(index);
  if (!access) accesses.set(index, (access = new IndexAccess(index, catalog, compile)));
  return access;
}

export class IndexAccess {
  private readonly columns: readonly KeyColumn[];
  private readonly payload: TupleCodec | null;
  private readonly payloadAttnums: readonly number[];
  private readonly predicate: RowEvaluator | null;
  /** Attribute numbers that entries depend on; null when an expression hides which. */
  readonly dependsOn: ReadonlySet<number> | null;

  constructor(readonly index: Index, catalog: Catalog, compile: RowExpressionCompiler) {
    const relation = catalog.relation(index.tableOid)!;
    const payloadTypes: DataType[] = [];
    const payloadAttnums: number[] = [];
    // Compiled on first use: readers of an index need no expressions.
    const lazily = (text: string): RowEvaluator => {
      let compiled: RowEvaluator | undefined;
      return (row) => (compiled ??= compile(index.tableOid, text))(row);
    };
    this.columns = index.keyColumns.map((column, i) => {
      const type = catalog.dataType(column.typeOid);
      if (!type.key) throw notSupported(`an index on type ${type.name}`);
      let payloadPosition = -1;
      if (!type.key.lossless) {
        payloadPosition = payloadTypes.length;
        payloadTypes.push(type);
        payloadAttnums.push(-1 - i);
      }
      return {
        attnum: column.attnum, expression: column.expressionText === null ? null : lazily(column.expressionText), codec: type.key, type,
        descending: column.descending, nullsFirst: column.nullsFirst, payloadPosition,
      };
    });
    for (const attnum of index.includeColumns) {
      payloadTypes.push(catalog.dataType(relation.attributes[attnum - 1]!.atttypid));
      payloadAttnums.push(attnum);
    }
    this.payloadAttnums = payloadAttnums;
    this.payload = payloadTypes.length > 0 ? new TupleCodec(payloadTypes.map((type) => ({ type }))) : null;
    this.predicate = index.predicateText === null ? null : lazily(index.predicateText);
    const expressions = this.predicate !== null || index.keyColumns.some((column) => column.attnum === 0);
    this.dependsOn = expressions ? null : new Set([...index.keyColumns.map((column) => column.attnum), ...index.includeColumns]);
  }

  /** False when the row does not belong into this partial index. */
  covers(row: readonly Datum[]): boolean {
    return this.predicate === null || this.predicate(row) === true;
  }

  /** Values of the key columns of a table row. */
  keyValues(row: readonly Datum[]): Datum[] {
    return this.columns.map((column) => (column.expression ? column.expression(row) : row[column.attnum - 1]!));
  }

  private writeColumn(column: KeyColumn, value: Datum): void {
    if (value === null) {
      writer.null(column.nullsFirst);
      return;
    }
    writer.notNull();
    const start = writer.length;
    column.codec.encode(value as never, writer as never);
    if (column.descending) writer.invertFrom(start);
  }

  private checkLength(relationName: string): void {
    if (writer.length <= MAX_KEY) return;
    const size = (writer.length + 16 + 7) & ~7;
    throw new DatabaseError('54000', `index row size ${size} exceeds btree version 4 maximum ${MAX_KEY} for index "${this.index.name}"`, {
      detail: `Index row references tuple in relation "${relationName}".`,
      hint: 'Values larger than 1/3 of a buffer page cannot be indexed.\nConsider a function index of an MD5 hash of the value, or use full text indexing.',
    });
  }

  /** The stored key of these key column values. Raises 54000 for what PostgreSQL would not index either. */
  key(values: readonly Datum[], relationName: string): Uint8Array {
    writer.reset();
    for (let i = 0; i < this.columns.length; i++) this.writeColumn(this.columns[i]!, values[i]!);
    this.checkLength(relationName);
    return writer.length < LONG_KEY ? slabCopy(writer.underlying, 0, writer.length) : writer.finish();
  }

  get hasPayload(): boolean {
    return this.payload !== null;
  }

  /** The stored key of a table row, without a copy: valid until the next key is made. Raises 54000 as `key`. */
  makeKey(row: readonly Datum[], relationName: string): Readonly<MadeKey> {
    writer.reset();
    made.hasNull = false;
    for (const column of this.columns) {
      const value = column.expression ? column.expression(row) : row[column.attnum - 1]!;
      if (value === null) made.hasNull = true;
      this.writeColumn(column, value);
    }
    if (writer.length >= LONG_KEY) {
      this.checkLength(relationName);
      made.bytes = writer.finish();
      made.length = made.bytes.length;
    } else {
      made.bytes = writer.underlying;
      made.length = writer.length;
    }
    return made;
  }

  payloadOf(row: readonly Datum[], keyValues: readonly Datum[]): Uint8Array {
    if (!this.payload) return EMPTY;
    return this.payload.encode(this.payloadAttnums.map((attnum) => (attnum < 0 ? keyValues[-1 - attnum]! : row[attnum - 1]!)));
  }

  /** A range over stored keys, and whether rows must be rechecked because a bound was cut for its length. */
  range(condition: IndexCondition): { range: KeyRange; recheck: boolean } {
    writer.reset();
    condition.equal.forEach((value, i) => this.writeColumn(this.columns[i]!, value));
    const prefixLength = writer.length;
    const column = this.columns[condition.equal.length];
    if (!column || (!condition.lower && !condition.upper && !condition.notNull)) {
      if (prefixLength === 0) return { range: { reverse: condition.reverse }, recheck: false };
      const { bound, cut } = scanBound(writer.copy());
      return { range: { lower: bound, lowerInclusive: true, upper: bound, upperInclusive: true, reverse: condition.reverse }, recheck: cut };
    }
    writer.notNull();
    const notNulls = writer.copy();
    const bound = (side: IndexCondition['lower']): { bytes: Uint8Array; inclusive: boolean; cut: boolean } => {
      if (!side) {
        const whole = scanBound(notNulls);
        return { bytes: whole.bound, inclusive: true, cut: whole.cut };
      }
      writer.rewind(prefixLength);
      this.writeColumn(column, side.value);
      const { bound: bytes, cut } = scanBound(writer.copy());
      return { bytes, inclusive: side.inclusive || cut, cut };
    };
    const lower = bound(column.descending ? condition.upper : condition.lower);
    const upper = bound(column.descending ? condition.lower : condition.upper);
    return {
      range: { lower: lower.bytes, lowerInclusive: lower.inclusive, upper: upper.bytes, upperInclusive: upper.inclusive, reverse: condition.reverse },
      recheck: lower.cut || upper.cut,
    };
  }

  /** Can these table columns be had from entries alone? */
  providesColumns(attnums: readonly number[]): boolean {
    return attnums.every((attnum) => attnum > 0 && this.sourceOf(attnum) !== null);
  }

  private sourceOf(attnum: number): { key: number } | { payload: number } | null {
    const included = this.payloadAttnums.indexOf(attnum);
    if (included >= 0) return { payload: included };
    const position = this.columns.findIndex((column) => column.attnum === attnum);
    if (position < 0) return null;
    const column = this.columns[position]!;
    if (column.payloadPosition >= 0) return { payload: column.payloadPosition };
    return column.codec.decode ? { key: position } : null;
  }

  scan(transaction: Transaction, snapshot: Snapshot, range: KeyRange, columns: readonly number[], catalog: Catalog): IndexScan {
    const table = tableAccess(catalog.relation(this.index.tableOid)!, catalog);
    return new IndexScan(this, table, transaction, snapshot, transaction.scanIndex(this.index.storage, snapshot, range), columns);
  }

  /** A function that reads `attnums` out of an entry that was not cut. */
  entryReader(attnums: readonly number[]): (key: Uint8Array, payload: Uint8Array, out: Datum[]) => void {
    const sources = attnums.map((attnum) => this.sourceOf(attnum)!);
    const lastKey = Math.max(-1, ...sources.map((source) => ('key' in source ? source.key : -1)));
    const reader = new EntryKeyReader();
    const keyDatums = new Array<Datum>(this.columns.length);
    return (key, payload, out) => {
      if (lastKey >= 0) {
        reader.reset(key);
        for (let i = 0; i <= lastKey; i++) keyDatums[i] = reader.column(this.columns[i]!.codec, this.columns[i]!.descending);
      }
      for (let i = 0; i < sources.length; i++) {
        const source = sources[i]!;
        out[i] = 'key' in source ? keyDatums[source.key]! : this.payload!.read(payload, source.payload);
      }
    };
  }
}

/** KeySource over engine/keycode's reader. */
class EntryKeyReader implements KeySource {
  private readonly reader = new KeyReader();

  reset(key: Uint8Array): void {
    this.reader.reset(key);
  }

  column(codec: KeyCodec, descending: boolean): Datum {
    this.reader.descending(false);
    if (this.reader.isNull()) return null;
    this.reader.descending(descending);
    return codec.decode!(this);
  }

  byte(): number { return this.reader.byte(); }
  int32(): number { return this.reader.int32(); }
  int64(): Int8 { return int8FromBigInt(this.reader.int64()); }
  float64(): number { return this.reader.float64(); }
  bytes(): Uint8Array { return this.reader.bytes(); }
  text(): string { return Buffer.from(this.reader.bytes()).toString('utf8'); }
}

/** Rows of a scan that are kept in memory: those of a short range may soon be asked for again. */
const KEPT_ROWS = 256;

/** One running index scan. `next`/`nextCovered` after Pending resume. */
export class IndexScan {
  private readonly block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  private at = 0;
  private available = 0;
  private fetched = 0;
  private tuples: Uint8Array[] = [];
  private rowIds: number[] = [];
  private xmins: number[] = [];
  /** Long values of the rows fetched are being read. */
  private loading = false;
  private covered: Datum[][] = [];
  private readonly readEntry: ((key: Uint8Array, payload: Uint8Array, out: Datum[]) => void) | null;

  constructor(
    private readonly access: IndexAccess, private readonly table: TableAccess, private readonly transaction: Transaction,
    private readonly snapshot: Snapshot, private readonly cursor: IndexCursor, private readonly columns: readonly number[],
  ) {
    this.readEntry = access.providesColumns(columns) ? access.entryReader(columns) : null;
  }

  private refill(max: number): boolean | Pending {
    if (this.at < this.available) return true;
    const filled = this.cursor.fill(this.block, max);
    if (filled instanceof Pending) return filled;
    this.at = 0;
    this.available = filled;
    return filled > 0;
  }

  /** Entries as they are: row ids in index order. The arrays are reused. */
  nextEntries(max: number): IndexBlock | null | Pending {
    const filled = this.cursor.fill(this.block, max);
    if (filled instanceof Pending) return filled;
    return filled === 0 ? null : this.block;
  }

  /** The rows behind the entries, in index order. */
  next(max: number): RowBatch | null | Pending {
    const more = this.loading || this.refill(max);
    if (more instanceof Pending) return more;
    while (this.at < this.available) {
      const rowId = this.block.rowIds[this.at]!;
      const version = this.table.fetch(this.transaction, this.snapshot, rowId as RowId, this.fetched < KEPT_ROWS);
      if (version instanceof Pending) return version;
      this.at++;
      this.fetched++;
      if (!version) continue;
      this.rowIds.push(rowId);
      this.tuples.push(slabCopy(version.tuple, 0, version.tuple.length));
      this.xmins.push(version.xmin);
    }
    const length = this.rowIds.length;
    if (length === 0) return this.available === 0 ? null : this.next(max);
    const { tuples, rowIds } = this;
    const wait = this.table.load(this.columns, tuples, length);
    this.loading = wait !== undefined;
    if (wait) return wait;
    const columns = this.table.decode(this.columns, tuples, rowIds, this.xmins, length);
    this.tuples = [];
    this.rowIds = [];
    this.xmins = [];
    return { length, columns, rowIds, tuples };
  }

  /** The columns from the entries alone (index-only scan); heap rows only for cut keys. */
  nextCovered(max: number): { length: number; columns: Vector[]; rowIds: number[] } | null | Pending {
    if (!this.readEntry) throw new Error('index-only scan of columns that the index does not have');
    const more = this.refill(max);
    if (more instanceof Pending) return more;
    if (!more) return null;
    if (this.rowIds.length === 0) this.covered = this.columns.map(() => []);
    const out = new Array<Datum>(this.columns.length);
    while (this.at < this.available) {
      const i = this.at;
      if (isCutKey(this.block.keys[i]!)) {
        const version = this.table.fetch(this.transaction, this.snapshot, this.block.rowIds[i]! as RowId);
        if (version instanceof Pending) return version;
        this.columns.forEach((attnum, c) => { out[c] = version ? this.table.codec.read(version.tuple, attnum - 1) : null; });
      } else {
        this.readEntry(this.block.keys[i]!, this.block.payloads[i]!, out);
      }
      this.at++;
      this.rowIds.push(this.block.rowIds[i]!);
      for (let c = 0; c < out.length; c++) this.covered[c]!.push(out[c]!);
    }
    const rowIds = this.rowIds;
    this.rowIds = [];
    return { length: rowIds.length, columns: this.covered.map((data, c) => this.toVector(this.columns[c]!, data)), rowIds };
  }

  private toVector(attnum: number, data: Datum[]): Vector {
    const kind = this.table.types[attnum - 1]?.vector ?? 'any';
    if (kind === 'any' || data.some((value) => typeof value === 'bigint')) return { kind: 'any', data, nulls: null };
    const length = data.length;
    const typed = kind === 'bool' ? new Uint8Array(length) : kind === 'int32' ? new Int32Array(length) : new Float64Array(length);
    let nulls: Uint8Array | null = null;
    for (let i = 0; i < length; i++) {
      const value = data[i]!;
      if (value === null) (nulls ??= new Uint8Array(length))[i] = 1;
      else typed[i] = value as number;
    }
    return { kind, data: typed, nulls } as Vector;
  }

  /** Index this scan runs over. */
  get source(): IndexAccess {
    return this.access;
  }

  close(): void {
    this.cursor.close();
  }
}

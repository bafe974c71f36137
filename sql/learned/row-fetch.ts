/**
 * Rows by their ids, many at once, as vectors of the columns asked for: from column segments where they stand (sql/columnar),
 * else from the heap.
 */
import type { RowId } from '../../engine/ids.js';
import { hasLarge } from '../../engine/mvcc/row-format.js';
import { Pending } from '../../engine/pending.js';
import { slabCopy } from '../../engine/slab.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import { columnStore } from '../columnar/relation-columns.js';
import { LIVE, SEGMENT_ROWS, type ColumnVector, type Segment } from '../columnar/segment.js';
import type { Vector } from '../executor/batch.js';
import type { ExecState } from '../executor/exec-state.js';
import { waitFor } from '../executor/operators/operator.js';
import { anyVector, readVector } from '../executor/vectors.js';
import { int8FromBigInt, type Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';

export class RowFetch {
  private readonly table: TableAccess;

  constructor(private readonly relation: Relation, private readonly attnums: readonly number[], private readonly state: ExecState) {
    this.table = tableAccess(relation, state.catalog);
  }

  /** Row `i` of the result is `rowIds[i]`: each is a row that the snapshot sees. */
  *fetch(rowIds: readonly number[], count: number): Generator<Pending, Vector[]> {
    const { attnums, relation, state } = this;
    if (attnums.length === 0) return [];
    const standing = columnStore(state.context.storage).standing(relation, attnums, state);
    if (!standing) return yield* this.fromHeap(rowIds, count);
    const blocks = new Map<number, Segment | undefined>();
    const found = new Array<Segment | undefined>(count);
    const rest: number[] = [];
    for (let i = 0; i < count; i++) {
      const rowId = rowIds[i]!;
      const block = Math.floor(rowId / SEGMENT_ROWS);
      let segment = blocks.get(block);
      if (segment === undefined && !blocks.has(block)) blocks.set(block, (segment = standing(block)));
      if (segment && segment.marks[rowId % SEGMENT_ROWS] === LIVE) found[i] = segment;
      else rest.push(rowId);
    }
    if (rest.length === count) return yield* this.fromHeap(rowIds, count);
    const columns = attnums.map((attnum) => fromSegments(attnum, this.kindOf(attnum), found, rowIds, count));
    if (rest.length === 0) return columns;
    // What the segments said holds for the snapshot, also after this waited.
    const others = yield* this.fromHeap(rest, rest.length);
    return columns.map((column, c) => merged(column, others[c]!, found, count));
  }

  private kindOf(attnum: number): Vector['kind'] {
    return this.table.types[attnum - 1]?.vector ?? 'any';
  }

  /** One after the other as they lie; with long values: all of them first, then what they refer to. */
  private *fromHeap(rowIds: readonly number[], count: number): Generator<Pending, Vector[]> {
    const { table, attnums, state, relation } = this;
    const { transaction, snapshot } = state;
    columnStore(state.context.storage).fetched(relation, attnums, count, state.context);
    const columns = attnums.map(() => new Array<Datum>(count));
    for (let i = 0; i < count; i++) {
      const rowId = rowIds[i]! as RowId;
      let version = table.fetch(transaction, snapshot, rowId);
      while (version instanceof Pending) {
        yield version;
        version = table.fetch(transaction, snapshot, rowId);
      }
      if (!version) throw notThere(rowId);
      if (hasLarge(version.tuple)) return yield* this.withLong(rowIds, count);
      for (let c = 0; c < attnums.length; c++) columns[c]![i] = table.read(attnums[c]!, version.tuple, rowId, version.xmin);
    }
    return columns.map(anyVector);
  }

  private *withLong(rowIds: readonly number[], count: number): Generator<Pending, Vector[]> {
    const { table, attnums, state } = this;
    const tuples = new Array<Uint8Array>(count);
    const xmins = new Array<number>(count);
    for (let i = 0; i < count; i++) {
      const version = yield* waitFor(() => table.fetch(state.transaction, state.snapshot, rowIds[i]! as RowId));
      if (!version) throw notThere(rowIds[i]!);
      tuples[i] = slabCopy(version.tuple, 0, version.tuple.length);
      xmins[i] = version.xmin;
    }
    yield* waitFor(() => table.load(attnums, tuples, count) ?? true);
    return table.decode(attnums, tuples, rowIds, xmins, count);
  }
}

function notThere(rowId: number): Error {
  return new Error(`an index entry leads to row ${rowId}, which is not there`);
}

/** A column of the rows that have a segment; the others' places are left as they are. */
function fromSegments(attnum: number, kind: Vector['kind'], segments: readonly (Segment | undefined)[], rowIds: readonly number[], count: number): Vector {
  if (kind === 'any' || segments.some((segment) => segment?.columns.get(attnum)!.class.kind === 'big')) return datums(attnum, segments, rowIds, count);
  const data = kind === 'int32' ? new Int32Array(count) : kind === 'float64' ? new Float64Array(count) : new Uint8Array(count);
  let nulls: Uint8Array | null = null;
  for (let i = 0; i < count; i++) {
    const segment = segments[i];
    if (!segment) continue;
    const column = segment.columns.get(attnum)!;
    const slot = rowIds[i]! % SEGMENT_ROWS;
    if (column.nulls !== null && column.nulls[slot] === 1) (nulls ??= new Uint8Array(count))[i] = 1;
    // No integer is -0.
    else data[i] = column.class.kind === 'float' ? (column.data[slot] as number) : (column.data[slot] as number) + 0;
  }
  return { kind, data, nulls } as Vector;
}

function datums(attnum: number, segments: readonly (Segment | undefined)[], rowIds: readonly number[], count: number): Vector {
  const data = new Array<Datum>(count).fill(null);
  for (let i = 0; i < count; i++) {
    const segment = segments[i];
    if (segment) data[i] = datumAt(segment.columns.get(attnum)!, rowIds[i]! % SEGMENT_ROWS);
  }
  return anyVector(data);
}

function datumAt(column: ColumnVector, slot: number): Datum {
  if (column.nulls !== null && column.nulls[slot] === 1) return null;
  const value = column.data[slot]!;
  if (typeof value === 'bigint') return int8FromBigInt(value);
  switch (column.class.kind) {
    case 'text': return column.dictionary!.get(value);
    case 'decimal': return Numeric.of(value + 0, column.class.scale);
    case 'bool': return value === 1;
    case 'float': return value;
    default: return value + 0;
  }
}

/** Rows without a segment come from `others`, in order. */
function merged(column: Vector, others: Vector, segments: readonly (Segment | undefined)[], count: number): Vector {
  const data = new Array<Datum>(count);
  for (let i = 0, next = 0; i < count; i++) data[i] = segments[i] ? readVector(column, i) : readVector(others, next++);
  return anyVector(data);
}

/**
 * Window functions as passes over sorted positions. Sums, counts and averages over any frame are differences of running
 * sums, extremes keep candidates in a queue; results are columns in the rows' order.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr, WindowFunc } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { ExecState } from '../executor/exec-state.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import { columnClass } from './column-class.js';
import type { Interner } from './interner.js';
import type { ResultColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { inSlices } from './sliced.js';
import { averageOver, countOver, extremeOver, sumOver } from './window-aggregates.js';
import type { WindowRows } from './window-frames.js';

export interface FunctionInput {
  readonly catalog: Catalog;
  readonly interner: Interner;
  readonly state: ExecState;
  /** Of a constant. */
  readonly valueOf: (expr: Expr) => Datum | undefined;
  /** Of a row argument, in the rows' order. */
  readonly column: (expr: Expr) => ResultColumn;
}

const INT2 = 21;
const INT4 = 23;
const INT8 = 20;
const FLOAT8 = 701;
const NUMERIC = 1700;
const SUMMED = new Set([INT2, INT4, INT8, FLOAT8, NUMERIC]);
/** Functions of users may have the name of a born one. */
const FIRST_OWN_OID = 16384;

const RANKS = new Set(['row_number', 'rank', 'dense_rank', 'percent_rank', 'cume_dist', 'ntile']);
const VALUES = new Set(['lag', 'lead', 'first_value', 'last_value', 'nth_value']);

function nameOf(func: WindowFunc, catalog: Catalog): string {
  return func.func < FIRST_OWN_OID ? catalog.proc(func.func)?.proname ?? '' : '';
}

/** Arguments that are read row by row. */
export function rowArguments(func: WindowFunc, catalog: Catalog): Expr[] {
  const filter = func.filter ? [func.filter] : [];
  const name = nameOf(func, catalog);
  if (VALUES.has(name)) return [func.args[0]!];
  return func.isAggregate ? [...func.args, ...filter] : [];
}

/** Arguments that are the same for all rows. */
export function constantArguments(func: WindowFunc, catalog: Catalog): Expr[] {
  const name = nameOf(func, catalog);
  return name === 'ntile' ? [func.args[0]!] : VALUES.has(name) ? func.args.slice(1) : [];
}

export function supportsFunction(func: WindowFunc, catalog: Catalog, isConstant: (expr: Expr) => boolean): boolean {
  const name = nameOf(func, catalog);
  if (!func.isAggregate) return (RANKS.has(name) || VALUES.has(name)) && constantArguments(func, catalog).every(isConstant);
  if (name === 'count') return func.args.length <= 1;
  const [arg] = func.args;
  if (!arg || func.args.length !== 1) return false;
  if (name === 'sum' || name === 'avg') return SUMMED.has(arg.type);
  if (name !== 'min' && name !== 'max') return false;
  const found = columnClass(arg.type, -1);
  return arg.type === NUMERIC || found?.kind === 'int' || arg.type === FLOAT8;
}

/** The function for all rows. */
export function* computeFunction(func: WindowFunc, rows: WindowRows, input: FunctionInput): Generator<Pending, ResultColumn> {
  const name = nameOf(func, input.catalog);
  if (RANKS.has(name)) return yield* rankOf(name, func, rows, input);
  if (name === 'lag' || name === 'lead') return yield* shifted(name, func, rows, input);
  if (VALUES.has(name)) return yield* framed(name, func, rows, input);
  const filter = func.filter ? input.column(func.filter) : null;
  if (func.args.length === 0) return yield* countOver(null, filter, rows, input.state);
  const argument = input.column(func.args[0]!);
  if (name === 'count') return yield* countOver(argument, filter, rows, input.state);
  if (name === 'sum') return yield* sumOver(argument, filter, func.type, rows, input.state);
  if (name === 'avg') return yield* averageOver(argument, filter, func.type, rows, input.state);
  return yield* extremeOver(argument, filter, name === 'max', func.type, rows, input.state);
}

function integers(data: Float64Array, max: number, type: number): ResultColumn {
  return { kind: 'int', scale: 0, min: 0, max, data, nulls: null, type };
}

function* rankOf(name: string, func: WindowFunc, rows: WindowRows, input: FunctionInput): Generator<Pending, ResultColumn> {
  const { count } = rows;
  const { state } = input;
  const out = new Float64Array(count);
  const { start, end } = yield* rows.partitionBounds();
  if (name === 'row_number') {
    yield* inSlices(count, state, (from, to) => {
      for (let i = from; i < to; i++) out[i] = i - start[i]! + 1;
    });
    return integers(out, count, func.type);
  }
  if (name === 'ntile') {
    const value = input.valueOf(func.args[0]!);
    if (value === null) return { kind: 'int', scale: 0, min: 0, max: 0, data: out, nulls: new Uint8Array(count).fill(1), type: func.type };
    const buckets = Number(value as number);
    // The row operator says what is wrong with it.
    if (!(buckets > 0)) throw new NotColumnar();
    yield* inSlices(count, state, (from, to) => {
      for (let i = from; i < to; i++) out[i] = bucketOf(i - start[i]!, end[i]! - start[i]!, buckets);
    });
    return integers(out, buckets, func.type);
  }
  if (name === 'dense_rank') {
    let rank = 0;
    yield* inSlices(count, state, (from, to) => {
      for (let i = from; i < to; i++) {
        if (rows.samePartition[i] === 0) rank = 1;
        else if (rows.samePeers[i] === 0) rank++;
        out[i] = rank;
      }
    });
    return integers(out, count, func.type);
  }
  const peers = yield* rows.peerBounds();
  yield* inSlices(count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      const size = end[i]! - start[i]!;
      const before = peers.start[i]! - start[i]!;
      if (name === 'rank') out[i] = before + 1;
      else if (name === 'percent_rank') out[i] = size <= 1 ? 0 : before / (size - 1);
      else out[i] = (peers.end[i]! - start[i]!) / size;
    }
  });
  return name === 'rank' ? integers(out, count, func.type) : { kind: 'float', scale: 0, min: -Infinity, max: Infinity, data: out, nulls: null, type: func.type };
}

/** Bucket of the row at `index` of `size` rows: the first ones are larger by one where it does not come out even. */
function bucketOf(index: number, size: number, buckets: number): number {
  const least = Math.floor(size / buckets);
  if (least === 0) return index + 1;
  const larger = size % buckets;
  const inLarger = larger * (least + 1);
  return index < inLarger ? Math.floor(index / (least + 1)) + 1 : larger + Math.floor((index - inLarger) / least) + 1;
}

/** lag and lead: the row some places away in the partition, the default beyond it. */
function* shifted(name: 'lag' | 'lead', func: WindowFunc, rows: WindowRows, input: FunctionInput): Generator<Pending, ResultColumn> {
  const { start, end } = yield* rows.partitionBounds();
  const given = func.args.length > 1 ? input.valueOf(func.args[1]!) : 1;
  const beyond = func.args.length > 2 ? input.valueOf(func.args[2]!) : null;
  if (given === undefined || beyond === undefined) throw new NotColumnar();
  const shift = given === null ? 0 : (name === 'lead' ? 1 : -1) * (given as number);
  const source = new Int32Array(rows.count);
  yield* inSlices(rows.count, input.state, (from, to) => {
    for (let i = from; i < to; i++) {
      const at = i + shift;
      // NULL rows away is NULL, not the default.
      source[i] = given === null ? NONE : at >= start[i]! && at < end[i]! ? at : DEFAULT;
    }
  });
  return yield* taken(input.column(func.args[0]!), source, beyond, func.type, input);
}

/** The first, the last, the n-th row of the frame. */
function* framed(name: string, func: WindowFunc, rows: WindowRows, input: FunctionInput): Generator<Pending, ResultColumn> {
  const frame = yield* rows.frameBounds();
  let nth: Datum | undefined = 1;
  if (name === 'nth_value') nth = input.valueOf(func.args[1]!);
  if (nth === undefined || (nth !== null && !((nth as number) > 0))) throw new NotColumnar();
  const source = new Int32Array(rows.count);
  const offset = (nth as number | null) ?? 0;
  yield* inSlices(rows.count, input.state, (from, to) => {
    for (let i = from; i < to; i++) {
      const first = frame.start[i]!;
      const last = frame.end[i]! - 1;
      const at = name === 'last_value' ? last : first + offset - 1;
      source[i] = nth === null || first > last || at > last ? NONE : at;
    }
  });
  return yield* taken(input.column(func.args[0]!), source, null, func.type, input);
}

const NONE = -1;
const DEFAULT = -2;

/** The column's values at these positions; NONE is NULL, DEFAULT is `beyond`. */
function* taken(column: ResultColumn, source: Int32Array, beyond: Datum, type: number, { interner, state }: FunctionInput): Generator<Pending, ResultColumn> {
  const count = source.length;
  if (column.kind === 'lazy' || column.kind === 'datums') {
    const datum = column.kind === 'lazy' ? column.datum : (row: number) => column.data[row]!;
    return { kind: 'lazy', datum: (row) => (source[row]! >= 0 ? datum(source[row]!) : source[row] === DEFAULT ? beyond : null), type };
  }
  const otherwise = beyond === null ? 0 : codeOf(beyond, column, interner);
  const narrow = column.data instanceof Int32Array && Number.isInteger(otherwise) && Math.abs(otherwise) < 2 ** 31;
  const data = narrow ? new Int32Array(count) : column.kind === 'bool' ? new Uint8Array(count) : new Float64Array(count);
  const nulls = new Uint8Array(count);
  const from = column.data;
  yield* inSlices(count, state, (first, last) => {
    for (let i = first; i < last; i++) {
      const at = source[i]!;
      if (at >= 0) {
        data[i] = from[at]!;
        if (column.nulls !== null) nulls[i] = column.nulls[at]!;
      } else if (at === DEFAULT && beyond !== null) data[i] = otherwise;
      else nulls[i] = 1;
    }
  });
  if (column.kind === 'places') return { ...column, data: data as Int32Array, nulls, type };
  return { ...column, data, nulls, type, min: Math.min(column.min, otherwise), max: Math.max(column.max, otherwise) };
}

/** A default as the column has its values. */
function codeOf(value: Datum, column: Exclude<ResultColumn, { kind: 'lazy' } | { kind: 'datums' }>, interner: Interner): number {
  switch (column.kind) {
    case 'int': case 'float':
      if (typeof value === 'number') return value;
      break;
    case 'bool':
      return value === true ? 1 : 0;
    case 'decimal':
      if (value instanceof Numeric && value.isFinite && value.scale === column.scale && typeof value.coefficient === 'number') return value.coefficient;
      break;
    case 'ref':
      if (typeof value === 'string' && column.padded !== true) return interner.id(value);
      break;
    default:
      break;
  }
  throw new NotColumnar();
}

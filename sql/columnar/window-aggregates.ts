/** Aggregates over the frames of sorted rows: numbers only, each frame from what its neighbours have. */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from '../executor/exec-state.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { NumberColumn, ResultColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { inSlices } from './sliced.js';
import { EXACT } from './value.js';
import type { WindowRows } from './window-frames.js';

const INT8 = 20;
const NUMERIC = 1700;
/** Rows added up at once where each row of a float's frame is added anew. */
const FLOAT_ROWS = 64;

/** 1 where a row does not count: its value is NULL, or the filter leaves it out. Null: all count. */
function* leftOut(argument: ResultColumn | null, filter: ResultColumn | null, count: number, state: ExecState): Generator<Pending, Uint8Array | null> {
  const isNull = argument && nullTest(argument);
  const passes = filter && truthTest(filter);
  if (!isNull && !passes) return null;
  const out = new Uint8Array(count);
  yield* inSlices(count, state, (from, to) => {
    for (let i = from; i < to; i++) if ((isNull && isNull(i)) || (passes && !passes(i))) out[i] = 1;
  });
  return out;
}

function nullTest(column: ResultColumn): ((row: number) => boolean) | null {
  if (column.kind === 'lazy') return (row) => column.datum(row) === null;
  if (column.kind === 'datums') return (row) => column.data[row] === null;
  const { nulls } = column;
  return nulls && ((row) => nulls[row] === 1);
}

function truthTest(column: ResultColumn): (row: number) => boolean {
  if (column.kind === 'lazy') return (row) => column.datum(row) === true;
  if (column.kind === 'datums') return (row) => column.data[row] === true;
  const { data, nulls } = column;
  return (row) => data[row] === 1 && (nulls === null || nulls[row] !== 1);
}

function numbersOf(column: ResultColumn): NumberColumn {
  if (column.kind !== 'int' && column.kind !== 'decimal' && column.kind !== 'float') throw new NotColumnar();
  return column as NumberColumn;
}

/** Rows that count, from the partition's start to each row. */
function* runningCounts(out: Uint8Array | null, rows: WindowRows, state: ExecState): Generator<Pending, Int32Array> {
  const counts = new Int32Array(rows.count);
  let n = 0;
  yield* inSlices(rows.count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      if (rows.samePartition[i] === 0) n = 0;
      if (out === null || out[i] === 0) n++;
      counts[i] = n;
    }
  });
  return counts;
}

/** From running values to those of each row's frame, in place of nothing: a new array. */
function* overFrames<T extends Int32Array | Float64Array>(running: T, result: T, rows: WindowRows, state: ExecState): Generator<Pending, T> {
  const frame = yield* rows.frameBounds();
  const partition = yield* rows.partitionBounds();
  yield* inSlices(rows.count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      const first = frame.start[i]!;
      const end = frame.end[i]!;
      result[i] = end <= first ? 0 : running[end - 1]! - (first > partition.start[i]! ? running[first - 1]! : 0);
    }
  });
  return result;
}

export function* countOver(argument: ResultColumn | null, filter: ResultColumn | null, rows: WindowRows, state: ExecState): Generator<Pending, ResultColumn> {
  const out = yield* leftOut(argument, filter, rows.count, state);
  const data = yield* overFrames(yield* runningCounts(out, rows, state), new Int32Array(rows.count), rows, state);
  return { kind: 'int', scale: 0, min: 0, max: rows.count, data, nulls: null, type: INT8 };
}

interface Sums { readonly sums: Float64Array; readonly counts: Int32Array }

/** Sums of integers and decimals over frames. Throws NotColumnar where doubles might lose a digit. */
function* exactSums({ data }: NumberColumn, out: Uint8Array | null, rows: WindowRows, state: ExecState): Generator<Pending, Sums> {
  const running = new Float64Array(rows.count);
  let sum = 0;
  let largest = 0;
  yield* inSlices(rows.count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      if (rows.samePartition[i] === 0) sum = 0;
      if (out === null || out[i] === 0) sum += data[i]!;
      running[i] = sum;
      const size = Math.abs(sum);
      if (size > largest) largest = size;
    }
    if (!(largest <= EXACT / 2)) throw new NotColumnar();
  });
  const counts = yield* overFrames(yield* runningCounts(out, rows, state), new Int32Array(rows.count), rows, state);
  return { sums: yield* overFrames(running, new Float64Array(rows.count), rows, state), counts };
}

/** Sums of floats, added up in the rows' order as PostgreSQL does: there is no way back from a sum. */
function* floatSums({ data }: NumberColumn, out: Uint8Array | null, rows: WindowRows, state: ExecState): Generator<Pending, Sums> {
  const frame = yield* rows.frameBounds();
  const partition = yield* rows.partitionBounds();
  const counts = yield* overFrames(yield* runningCounts(out, rows, state), new Int32Array(rows.count), rows, state);
  const sums = new Float64Array(rows.count);
  let sum = 0;
  let start = -1;
  let end = -1;
  const grows = frame.start === partition.start;
  yield* inSlices(rows.count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      if (frame.start[i] !== start || frame.end[i]! < end) {
        start = frame.start[i]!;
        end = start;
        sum = 0;
      }
      for (; end < frame.end[i]!; end++) if (out === null || out[end] === 0) sum += data[end]!;
      sums[i] = sum;
      // Overflow and infinities among the rows are told apart by the row operator.
      if (!Number.isFinite(sum)) throw new NotColumnar();
    }
  }, grows ? undefined : FLOAT_ROWS);
  return { sums, counts };
}

function nullsWhereNone(counts: Int32Array): Uint8Array | null {
  let nulls: Uint8Array | null = null;
  for (let i = 0; i < counts.length; i++) if (counts[i] === 0) (nulls ??= new Uint8Array(counts.length))[i] = 1;
  return nulls;
}

export function* sumOver(argument: ResultColumn, filter: ResultColumn | null, type: number, rows: WindowRows, state: ExecState): Generator<Pending, ResultColumn> {
  const numbers = numbersOf(argument);
  const out = yield* leftOut(argument, filter, rows.count, state);
  if (numbers.kind === 'float') {
    const { sums, counts } = yield* floatSums(numbers, out, rows, state);
    return { kind: 'float', scale: 0, min: -Infinity, max: Infinity, data: sums, nulls: nullsWhereNone(counts), type };
  }
  const { sums, counts } = yield* exactSums(numbers, out, rows, state);
  return { kind: type === NUMERIC ? 'decimal' : 'int', scale: numbers.scale, min: -EXACT, max: EXACT, data: sums, nulls: nullsWhereNone(counts), type };
}

export function* averageOver(argument: ResultColumn, filter: ResultColumn | null, type: number, rows: WindowRows, state: ExecState): Generator<Pending, ResultColumn> {
  const numbers = numbersOf(argument);
  const out = yield* leftOut(argument, filter, rows.count, state);
  if (numbers.kind === 'float') {
    const { sums, counts } = yield* floatSums(numbers, out, rows, state);
    for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! / counts[i]!;
    return { kind: 'float', scale: 0, min: -Infinity, max: Infinity, data: sums, nulls: nullsWhereNone(counts), type };
  }
  const { sums, counts } = yield* exactSums(numbers, out, rows, state);
  const { scale } = numbers;
  return { kind: 'lazy', type, datum: (row): Datum => (counts[row] === 0 ? null : Numeric.of(sums[row]! + 0, scale).divide(Numeric.of(counts[row]!, 0))) };
}

/** min and max: rows that may still become the extreme wait in a queue, best first; frames only move forward. */
export function* extremeOver(argument: ResultColumn, filter: ResultColumn | null, greatest: boolean, type: number, rows: WindowRows, state: ExecState): Generator<Pending, ResultColumn> {
  const numbers = numbersOf(argument);
  const { data } = numbers;
  const out = yield* leftOut(argument, filter, rows.count, state);
  const frame = yield* rows.frameBounds();
  const found = new (data.constructor as new (length: number) => Float64Array)(rows.count);
  const nulls = new Uint8Array(rows.count);
  const queue = new Int32Array(rows.count);
  let head = 0;
  let tail = 0;
  let next = 0;
  const isFloat = numbers.kind === 'float';
  // NaN is greater than every number.
  const beats = (x: number, y: number): boolean => {
    if (isFloat && (x !== x || y !== y)) return greatest ? x !== x : y !== y;
    return greatest ? x >= y : x <= y;
  };
  yield* inSlices(rows.count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      if (rows.samePartition[i] === 0) {
        head = tail = 0;
        next = frame.start[i]!;
      }
      for (const end = frame.end[i]!; next < end; next++) {
        if (out !== null && out[next] === 1) continue;
        while (tail > head && beats(data[next]!, data[queue[tail - 1]!]!)) tail--;
        queue[tail++] = next;
      }
      while (head < tail && queue[head]! < frame.start[i]!) head++;
      if (head === tail || frame.end[i]! <= frame.start[i]!) nulls[i] = 1;
      else found[i] = data[queue[head]!]!;
    }
  });
  return { ...numbers, data: found, nulls, type };
}

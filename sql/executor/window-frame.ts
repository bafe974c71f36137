/**
 * Frame bounds of a window: [start, end) of every row of a partition, for ROWS, GROUPS and RANGE
 * with offsets, and the rows that EXCLUDE leaves out. After nodeWindowAgg.c.
 */
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { WindowFrame } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { SortKey } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { bindFunction } from './expressions/calls.js';
import type { CompileScope } from './expressions/scope.js';

/** Types of integers and floats: their datums are numbers. */
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23, 700, 701]);

export interface Bounds { readonly start: Int32Array; readonly end: Int32Array }
/** Peer groups: first row and one past the last of each row's group, and the group's number. */
export interface Peers { readonly start: Int32Array; readonly end: Int32Array; readonly group: Int32Array; readonly groupStarts: readonly number[] }

export function peersOf(count: number, same: (a: number, b: number) => boolean): Peers {
  const start = new Int32Array(count);
  const end = new Int32Array(count);
  const group = new Int32Array(count);
  const groupStarts: number[] = [];
  for (let first = 0; first < count; ) {
    let last = first + 1;
    while (last < count && same(last, first)) last++;
    groupStarts.push(first);
    for (let i = first; i < last; i++) {
      start[i] = first;
      end[i] = last;
      group[i] = groupStarts.length - 1;
    }
    first = last;
  }
  groupStarts.push(count);
  return { start, end, group, groupStarts };
}

export interface FrameOffsets { readonly start: Datum; readonly end: Datum }

export function checkOffsets(frame: WindowFrame, offsets: FrameOffsets): void {
  for (const [value, which] of [[offsets.start, 'starting'], [offsets.end, 'ending']] as const) {
    const used = which === 'starting' ? frame.startOffset : frame.endOffset;
    if (!used) continue;
    if (value === null) throw new DatabaseError('22004', `frame ${which} offset must not be null`);
    if (frame.mode !== 'range' && Number(value as number) < 0) throw new DatabaseError('22013', `frame ${which} offset must not be negative`);
  }
}

/** In-range test of RANGE frames: whether `value` is at or before (`less`) / at or after the bound `base -/+ offset`. */
export type RangeBound = (base: Datum, offset: Datum, subtract: boolean) => (value: Datum) => number;

export function rangeBound(key: SortKey, offsetType: number, scope: CompileScope): RangeBound {
  const { catalog } = scope;
  const type = key.expr.type;
  const operation = (name: '+' | '-') => {
    const operator = catalog.operatorsNamed(name).find((o) => o.oprleft === type && o.oprright === offsetType);
    if (!operator) throw notSupported('RANGE with offset for these types');
    return { ...bindFunction(operator.oprcode, [type, offsetType], operator.oprresult, 0, false, scope), result: operator.oprresult };
  };
  const minus = operation('-');
  const plus = operation('+');
  const zero = isNegative(offsetType, catalog);
  return (base, offset, subtract) => {
    if (zero(offset)) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
    const call = subtract ? minus : plus;
    let bound: Datum;
    try {
      bound = call.evaluate(base, offset);
    } catch (error) {
      // Out of the type's range: beyond every value.
      if (error instanceof DatabaseError && /^22(003|008)$/.test(error.sqlstate)) return () => (subtract ? 1 : -1);
      throw error;
    }
    // A smallint and an integer, a real and a double compare as numbers do.
    if (call.result === type || (NUMBERS.has(call.result) && NUMBERS.has(type))) {
      const compare = catalog.dataType(call.result).compare! as (a: Datum, b: Datum) => number;
      return (value) => compare(value, bound);
    }
    // date +- interval is a timestamp: compare in days of microseconds.
    if (type === 1082) return (value) => Number(value as number) * 86_400_000_000 - Number(bound as number);
    throw notSupported('RANGE with offset for these types');
  };
}

function isNegative(type: number, catalog: Catalog): (value: Datum) => boolean {
  const dataType = catalog.dataType(type);
  return (value) => {
    if (typeof value === 'number' || typeof value === 'bigint') return value < 0;
    return dataType.compare !== undefined && type === 1186 && (dataType.compare as (a: Datum, b: Datum) => number)(value, { months: 0, days: 0, micros: 0 }) < 0;
  };
}

/** Start and end of every row's frame. */
export function frameBounds(frame: WindowFrame, offsets: FrameOffsets, peers: Peers, count: number, keyAt: (row: number) => Datum, bounds: { start: RangeBound | null; end: RangeBound | null }, order: SortKey | null): Bounds {
  const start = new Int32Array(count);
  const end = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    start[i] = edge(frame, true, i);
    end[i] = Math.max(start[i]!, edge(frame, false, i));
  }
  return { start, end };

  function edge(f: WindowFrame, isStart: boolean, i: number): number {
    const kind = isStart ? f.start : f.end;
    switch (kind) {
      case 'unbounded preceding': return 0;
      case 'unbounded following': return count;
      case 'current row':
        if (f.mode === 'rows') return isStart ? i : i + 1;
        return isStart ? peers.start[i]! : peers.end[i]!;
      default: {
        const preceding = kind === 'offset preceding';
        const offset = isStart ? offsets.start : offsets.end;
        if (f.mode === 'rows') {
          const at = i + (preceding ? -Number(offset as number) : Number(offset as number)) + (isStart ? 0 : 1);
          return Math.min(Math.max(at, 0), count);
        }
        if (f.mode === 'groups') {
          const wanted = peers.group[i]! + (preceding ? -Number(offset as number) : Number(offset as number)) + (isStart ? 0 : 1);
          return peers.groupStarts[Math.min(Math.max(wanted, 0), peers.groupStarts.length - 1)]!;
        }
        return rangeEdge(isStart, preceding, offset, i);
      }
    }
  }

  function rangeEdge(isStart: boolean, preceding: boolean, offset: Datum, i: number): number {
    const base = keyAt(i);
    // NULLs are peers of each other and of nothing else.
    if (base === null) return isStart ? peers.start[i]! : peers.end[i]!;
    const descending = order!.descending;
    const compare = (isStart ? bounds.start : bounds.end)!(base, offset, preceding !== descending);
    const sign = descending ? -1 : 1;
    // Rows run in key order with the NULLs at one end: the first row that is not before the bound (start), or past it (end).
    let low = 0;
    let high = count;
    while (low < count && keyAt(low) === null) low++;
    while (high > low && keyAt(high - 1) === null) high--;
    while (low < high) {
      const middle = (low + high) >> 1;
      const against = sign * compare(keyAt(middle));
      if (isStart ? against >= 0 : against > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Is `row` excluded from the frame of `current`? */
export function exclusion(frame: WindowFrame, peers: Peers): ((current: number, row: number) => boolean) | null {
  switch (frame.exclude) {
    case 'no others': return null;
    case 'current row': return (current, row) => row === current;
    case 'group': return (current, row) => row >= peers.start[current]! && row < peers.end[current]!;
    case 'ties': return (current, row) => row !== current && row >= peers.start[current]! && row < peers.end[current]!;
  }
}


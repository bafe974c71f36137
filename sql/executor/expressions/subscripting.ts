/** a[i], a[l:u], and assignment to them. After arraysubs.c and arrayfuncs.c. */
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { SubscriptingRef } from '../../analyzer/query-tree.js';
import type { ArrayValue, Datum } from '../../types/datum.js';
import { bindFunction } from './calls.js';
import { compile } from './compile.js';
import type { Frame, Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

export function compileSubscripting(expr: SubscriptingRef, scope: CompileScope): Scalar {
  const container = compile(expr.container, scope);
  const upper = expr.upper.map((bound) => bound && compile(bound, scope));
  const lower = expr.lower?.map((bound) => bound && compile(bound, scope)) ?? null;
  const isJsonb = expr.containerType === 3802;
  if (isJsonb) return compileJsonbSubscript(expr, container, upper as Scalar[], scope);
  if (expr.assignment) return compileAssignment(expr, container, upper, lower, scope);
  if (lower) return (frame) => readSlice(container(frame) as ArrayValue | null, bounds(lower, frame), bounds(upper, frame), lower, upper);
  return (frame) => {
    const array = container(frame) as ArrayValue | string | null;
    if (array === null) return null;
    // name is an array of "char", counted from 0.
    if (typeof array === 'string') return array[upper[0]!(frame) as number] ?? null;
    return readElement(array, upper.map((bound) => bound!(frame)));
  };
}

function bounds(scalars: readonly (Scalar | null)[], frame: Frame): (Datum | undefined)[] {
  return scalars.map((bound) => (bound ? bound(frame) : undefined));
}

function readElement(array: ArrayValue, indexes: readonly Datum[]): Datum {
  if (indexes.length !== array.dimensions.length) return null;
  let position = 0;
  for (let d = 0; d < indexes.length; d++) {
    const index = indexes[d];
    if (index === null) return null;
    const offset = (index as number) - array.lowerBounds[d]!;
    if (offset < 0 || offset >= array.dimensions[d]!) return null;
    position = position * array.dimensions[d]! + offset;
  }
  return array.elements[position] ?? null;
}

/** Given bounds are clipped to the array; fewer subscripts than dimensions take the others whole. */
function readSlice(array: ArrayValue | null, lower: readonly (Datum | undefined)[], upper: readonly (Datum | undefined)[], lowerGiven: readonly unknown[], upperGiven: readonly unknown[]): Datum {
  if (array === null) return null;
  if (lower.some((b) => b === null) || upper.some((b) => b === null)) return null;
  const empty: ArrayValue = { elementType: array.elementType, dimensions: [], lowerBounds: [], elements: [] };
  const ndim = array.dimensions.length;
  if (ndim === 0 || lower.length > ndim) return empty;
  const from: number[] = [];
  const count: number[] = [];
  for (let d = 0; d < ndim; d++) {
    const low = array.lowerBounds[d]!;
    const high = low + array.dimensions[d]! - 1;
    const l = d < lower.length && lowerGiven[d] ? Math.max(lower[d] as number, low) : low;
    const u = d < upper.length && upperGiven[d] ? Math.min(upper[d] as number, high) : high;
    if (l > u) return empty;
    from.push(l - low);
    count.push(u - l + 1);
  }
  const elements: Datum[] = [];
  const collect = (d: number, base: number): void => {
    for (let i = 0; i < count[d]!; i++) {
      const position = base * array.dimensions[d]! + from[d]! + i;
      if (d === ndim - 1) elements.push(array.elements[position]!);
      else collect(d + 1, position);
    }
  };
  collect(0, 0);
  return { elementType: array.elementType, dimensions: count, lowerBounds: count.map(() => 1), elements };
}

function compileAssignment(expr: SubscriptingRef, container: Scalar, upper: readonly (Scalar | null)[], lower: readonly (Scalar | null)[] | null, scope: CompileScope): Scalar {
  const source = compile(expr.assignment!, scope);
  const { elementType } = expr;
  return (frame) => {
    const array = (container(frame) as ArrayValue | null) ?? { elementType, dimensions: [], lowerBounds: [], elements: [] };
    const outer = frame.caseValue;
    if (lower) {
      const low = bounds(lower, frame);
      const high = bounds(upper, frame);
      if (low.includes(null) || high.includes(null)) throw new DatabaseError('22004', 'array subscript in assignment must not be null');
      const value = source(frame) as ArrayValue | null;
      return value === null ? array : assignSlice(array, low as (number | undefined)[], high as (number | undefined)[], value);
    }
    const indexes = upper.map((bound) => bound!(frame));
    if (indexes.includes(null)) throw new DatabaseError('22004', 'array subscript in assignment must not be null');
    // A nested assignment reads the old element through CaseTestExpr.
    frame.caseValue = readElement(array, indexes);
    const value = source(frame);
    frame.caseValue = outer;
    return assignElement(array, indexes as number[], value);
  };
}

/** Sets one element; a one-dimensional array grows to reach it, with NULLs between. */
function assignElement(array: ArrayValue, indexes: readonly number[], value: Datum): ArrayValue {
  if (array.dimensions.length === 0) {
    return { elementType: array.elementType, dimensions: indexes.map(() => 1), lowerBounds: [...indexes], elements: [value] };
  }
  if (indexes.length !== array.dimensions.length) throw new DatabaseError('2202E', 'wrong number of array subscripts');
  if (indexes.length === 1) {
    const index = indexes[0]!;
    const low = Math.min(array.lowerBounds[0]!, index);
    const high = Math.max(array.lowerBounds[0]! + array.dimensions[0]! - 1, index);
    if (high - low + 1 > 134217727) throw new DatabaseError('54000', 'array size exceeds the maximum allowed (134217727)');
    const elements: Datum[] = new Array<Datum>(high - low + 1).fill(null);
    array.elements.forEach((element, i) => (elements[array.lowerBounds[0]! - low + i] = element));
    elements[index - low] = value;
    return { elementType: array.elementType, dimensions: [elements.length], lowerBounds: [low], elements };
  }
  let position = 0;
  for (let d = 0; d < indexes.length; d++) {
    const offset = indexes[d]! - array.lowerBounds[d]!;
    if (offset < 0 || offset >= array.dimensions[d]!) throw new DatabaseError('2202E', 'array subscript out of range');
    position = position * array.dimensions[d]! + offset;
  }
  const elements = [...array.elements];
  elements[position] = value;
  return { ...array, elements };
}

function assignSlice(array: ArrayValue, lower: readonly (number | undefined)[], upper: readonly (number | undefined)[], source: ArrayValue): ArrayValue {
  if (lower.length !== 1 || array.dimensions.length > 1) throw notSupported('assignment to a slice of a multidimensional array');
  const oldLow = array.lowerBounds[0] ?? 1;
  const oldHigh = oldLow + (array.dimensions[0] ?? 0) - 1;
  const isEmpty = array.dimensions.length === 0;
  if (isEmpty && (lower[0] === undefined || upper[0] === undefined)) throw new DatabaseError('2202E', 'array slice subscript must provide both boundaries', { detail: 'When assigning to a slice of an empty array value, slice boundaries must be fully specified.' });
  const from = lower[0] ?? oldLow;
  const to = upper[0] ?? oldHigh;
  if (from > to) throw new DatabaseError('2202E', 'upper bound cannot be less than lower bound');
  const count = to - from + 1;
  if (source.elements.length < count) throw new DatabaseError('2202E', 'source array too small');
  const low = isEmpty ? from : Math.min(oldLow, from);
  const high = isEmpty ? to : Math.max(oldHigh, to);
  const elements: Datum[] = new Array<Datum>(high - low + 1).fill(null);
  array.elements.forEach((element, i) => (elements[oldLow - low + i] = element));
  for (let i = 0; i < count; i++) elements[from - low + i] = source.elements[i]!;
  return { elementType: array.elementType, dimensions: [elements.length], lowerBounds: [low], elements };
}

/** jsonb['a']['b'] as jsonb_extract_path and jsonb_set. */
function compileJsonbSubscript(expr: SubscriptingRef, container: Scalar, path: readonly Scalar[], scope: CompileScope): Scalar {
  const operator = scope.catalog.operatorsNamed('#>').find((o) => o.oprleft === 3802);
  if (!operator) throw notSupported('jsonb subscripting');
  const extract = bindJsonb(operator.oprcode, [3802, 1009], scope);
  const set = scope.catalog.procsNamed('jsonb_set').find((p) => p.proargtypes[0] === 3802);
  const textOf = expr.upper.map((bound) => scope.catalog.dataType(bound!.type));
  const pathOf = (frame: Frame): ArrayValue | null => {
    const elements: Datum[] = [];
    for (let i = 0; i < path.length; i++) {
      const value = path[i]!(frame);
      if (value === null) return null;
      elements.push(typeof value === 'string' ? value : textOf[i]!.output(value, frame.state.context));
    }
    return { elementType: 25, dimensions: [elements.length], lowerBounds: [1], elements };
  };
  if (!expr.assignment) {
    return (frame) => {
      const value = container(frame);
      const keys = pathOf(frame);
      return value === null || keys === null ? null : extract(frame, [value, keys]);
    };
  }
  const source = compile(expr.assignment, scope);
  const replace = bindJsonb(set?.oid ?? 0, [3802, 1009, 3802, 16], scope);
  return (frame) => {
    const keys = pathOf(frame);
    if (keys === null) throw new DatabaseError('22004', 'jsonb subscript in assignment must not be null');
    const { context } = frame.state;
    const value = source(frame) ?? scope.catalog.dataType(3802).input('null', -1, context);
    const old = container(frame) ?? scope.catalog.dataType(3802).input('{}', -1, context);
    return replace(frame, [old, keys, value, true]);
  };
}

function bindJsonb(func: number, types: readonly number[], scope: CompileScope): (frame: Frame, args: readonly Datum[]) => Datum {
  const { evaluate, needsContext } = bindFunction(func, types, 3802, 0, false, scope);
  return (frame, args) => (needsContext ? evaluate(...args, frame.state.context) : evaluate(...args));
}

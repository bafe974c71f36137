/** Array functions and operators. */
import { DatabaseError } from '../../engine/errors.js';
import { MAX_DIMENSIONS, checkArraySize, equalityOf, makeArray } from '../types/array.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { EvalContext } from './context.js';
import { f, fb, fbc, fc, set } from './define.js';
import type { FunctionCall, SqlFunction } from './function.js';
import { uniform } from './floats.js';

const INT4 = 23;

type Equal = (a: Datum, b: Datum) => boolean;

/** Equality of an array argument's elements, with null equal to null. */
function elementEquality(): (array: ArrayValue, context: EvalContext) => Equal {
  let cached: { oid: number; equal: Equal } | undefined;
  return (array, context) => {
    if (cached?.oid !== array.elementType) {
      const type = context.catalog.dataType(array.elementType);
      const equal = equalityOf(type);
      if (!equal) throw new DatabaseError('42883', `could not identify an equality operator for type ${type.name}`);
      cached = { oid: array.elementType, equal: (a, b) => (a === null || b === null ? a === b : equal(a as never, b as never)) };
    }
    return cached.equal;
  };
}

function elementHash(array: ArrayValue, context: EvalContext): (value: Datum) => unknown {
  const type = context.catalog.dataType(array.elementType);
  return type.hashKey ? (value) => type.hashKey!(value as never) : (value) => value;
}

/** Every non-null element of `b` is in `a` (a null in `b` is in nothing). */
function contains(a: ArrayValue, b: ArrayValue, context: EvalContext): boolean {
  checkSameElements(a, b);
  if (b.elements.length === 0) return true;
  const hash = elementHash(a, context);
  const have = new Set(a.elements.filter((item) => item !== null).map(hash));
  return b.elements.every((item) => item !== null && have.has(hash(item)));
}

function overlap(a: ArrayValue, b: ArrayValue, context: EvalContext): boolean {
  checkSameElements(a, b);
  const hash = elementHash(a, context);
  const have = new Set(a.elements.filter((item) => item !== null).map(hash));
  return b.elements.some((item) => item !== null && have.has(hash(item)));
}

function checkSameElements(a: ArrayValue, b: ArrayValue): void {
  if (a.elementType !== b.elementType && a.elements.length > 0 && b.elements.length > 0) {
    throw new DatabaseError('42804', 'cannot compare arrays of different element types');
  }
}

const resultElement = (call: FunctionCall, context: EvalContext): number => context.catalog.type(call.resultType)?.typelem ?? 0;

function append(array: ArrayValue | null, value: Datum, elementType: number): ArrayValue {
  if (!array || array.elements.length === 0) return makeArray(elementType, [value]);
  if (array.dimensions.length !== 1) throw new DatabaseError('22000', 'argument must be empty or one-dimensional array');
  checkArraySize(array.elements.length + 1);
  return { elementType: array.elementType, dimensions: [array.elements.length + 1], lowerBounds: array.lowerBounds, elements: [...array.elements, value] };
}

function prepend(value: Datum, array: ArrayValue | null, elementType: number): ArrayValue {
  if (!array || array.elements.length === 0) return makeArray(elementType, [value]);
  if (array.dimensions.length !== 1) throw new DatabaseError('22000', 'argument must be empty or one-dimensional array');
  checkArraySize(array.elements.length + 1);
  return { elementType: array.elementType, dimensions: [array.elements.length + 1], lowerBounds: array.lowerBounds, elements: [value, ...array.elements] };
}

export function concatArrays(a: ArrayValue | null, b: ArrayValue | null): ArrayValue | null {
  if (!a) return b;
  if (!b) return a;
  if (a.elements.length === 0) return b;
  if (b.elements.length === 0) return a;
  const incompatible = (detail: string): DatabaseError => new DatabaseError('2202E', 'cannot concatenate incompatible arrays', { detail });
  const [m, n] = [a.dimensions.length, b.dimensions.length];
  const elements = [...a.elements, ...b.elements];
  const build = (dimensions: number[], lowerBounds: readonly number[]): ArrayValue => ({ elementType: a.elementType, dimensions, lowerBounds, elements });
  if (m === n) {
    for (let i = 1; i < m; i++) {
      if (a.dimensions[i] !== b.dimensions[i] || a.lowerBounds[i] !== b.lowerBounds[i]) throw incompatible('Arrays with differing element dimensions are not compatible for concatenation.');
    }
    return build([a.dimensions[0]! + b.dimensions[0]!, ...a.dimensions.slice(1)], a.lowerBounds);
  }
  const same = (outer: ArrayValue, inner: ArrayValue): boolean => inner.dimensions.every((length, i) => length === outer.dimensions[i + 1] && inner.lowerBounds[i] === outer.lowerBounds[i + 1]);
  if (n === m - 1) {
    if (!same(a, b)) throw incompatible('Arrays with differing dimensions are not compatible for concatenation.');
    return build([a.dimensions[0]! + 1, ...a.dimensions.slice(1)], a.lowerBounds);
  }
  if (m === n - 1) {
    if (!same(b, a)) throw incompatible('Arrays with differing dimensions are not compatible for concatenation.');
    return build([b.dimensions[0]! + 1, ...b.dimensions.slice(1)], b.lowerBounds);
  }
  throw incompatible(`Arrays of ${m} and ${n} dimensions are not compatible for concatenation.`);
}

function position(array: ArrayValue | null, value: Datum, start: number | null | undefined, equal: Equal): number | null {
  if (!array) return null;
  if (start === null) throw new DatabaseError('22004', 'initial position must not be null');
  if (array.dimensions.length > 1) throw new DatabaseError('0A000', 'searching for elements in multidimensional arrays is not supported');
  const lower = array.lowerBounds[0] ?? 1;
  const from = start === undefined ? lower : Math.max(start, lower);
  for (let i = from - lower; i < array.elements.length; i++) if (equal(array.elements[i]!, value)) return i + lower;
  return null;
}

function removeFrom(array: ArrayValue | null, value: Datum, equal: Equal): ArrayValue | null {
  if (!array || array.elements.length === 0) return array;
  if (array.dimensions.length > 1) throw new DatabaseError('0A000', 'removing elements from multidimensional arrays is not supported');
  const elements = array.elements.filter((item) => !equal(item, value));
  if (elements.length === array.elements.length) return array;
  return elements.length === 0 ? makeArray(array.elementType, []) : { ...array, dimensions: [elements.length], elements };
}

function fill(value: Datum, lengths: ArrayValue, bounds: ArrayValue | null | undefined, elementType: number): ArrayValue {
  if (lengths.dimensions.length > 1) throw new DatabaseError('2202E', 'wrong number of array subscripts', { detail: 'Dimension array must be one dimensional.' });
  if (lengths.elements.includes(null)) throw new DatabaseError('22004', 'dimension values cannot be null');
  const dimensions = lengths.elements as number[];
  if (dimensions.length > MAX_DIMENSIONS) throw new DatabaseError('54000', `number of array dimensions (${dimensions.length}) exceeds the maximum allowed (${MAX_DIMENSIONS})`);
  let lowerBounds = dimensions.map(() => 1);
  if (bounds) {
    if (bounds.dimensions.length > 1) throw new DatabaseError('2202E', 'wrong number of array subscripts', { detail: 'Dimension array must be one dimensional.' });
    if (bounds.elements.includes(null)) throw new DatabaseError('22004', 'dimension values cannot be null');
    if (bounds.elements.length !== dimensions.length) throw new DatabaseError('2202E', 'wrong number of array subscripts', { detail: 'Low bound array has different size than dimensions array.' });
    lowerBounds = bounds.elements as number[];
  }
  const count = dimensions.length === 0 ? 0 : dimensions.reduce((product, length) => {
    if (length < 0) throw new DatabaseError('54000', `array size exceeds the maximum allowed (134217727)`);
    return product * length;
  }, 1);
  checkArraySize(count);
  if (count === 0) return makeArray(elementType, []);
  return { elementType, dimensions, lowerBounds, elements: new Array<Datum>(count).fill(value) };
}

const dimensionOf = (array: ArrayValue, dimension: number): boolean => dimension >= 1 && dimension <= array.dimensions.length;

function toText(array: ArrayValue | null, separator: string | null, nullText: string | null, context: EvalContext): string | null {
  if (!array || separator === null) return null;
  const type = context.catalog.dataType(array.elementType);
  const parts: string[] = [];
  for (const item of array.elements) {
    if (item !== null) parts.push(type.output(item, context));
    else if (nullText !== null) parts.push(nullText);
  }
  return parts.join(separator);
}

function* subscripts(array: ArrayValue, dimension: number, reverse = false): Generator<number> {
  if (!dimensionOf(array, dimension)) return;
  const low = array.lowerBounds[dimension - 1]!;
  const high = low + array.dimensions[dimension - 1]! - 1;
  if (reverse) for (let i = high; i >= low; i--) yield i;
  else for (let i = low; i <= high; i++) yield i;
}

function trimArray(array: ArrayValue, count: number): ArrayValue {
  const length = array.dimensions[0] ?? 0;
  if (count < 0 || count > length) throw new DatabaseError('2202E', `number of elements to trim must be between 0 and ${length}`);
  if (count === length) return makeArray(array.elementType, []);
  const per = array.elements.length / (length || 1);
  return { ...array, dimensions: [length - count, ...array.dimensions.slice(1)], lowerBounds: array.lowerBounds.map(() => 1), elements: array.elements.slice(0, (length - count) * per) };
}

/** Slices along the first dimension, for shuffle and sample. */
function shuffled(array: ArrayValue, count: number, keepBound: boolean, context: EvalContext): ArrayValue {
  const length = array.dimensions[0] ?? 0;
  if (length === 0 || count === 0) return makeArray(array.elementType, []);
  const per = array.elements.length / length;
  const order = Array.from({ length }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(uniform(context) * (length - i));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const elements = order.slice(0, count).flatMap((i) => array.elements.slice(i * per, (i + 1) * per));
  return { ...array, dimensions: [count, ...array.dimensions.slice(1)], lowerBounds: [keepBound ? array.lowerBounds[0]! : 1, ...array.lowerBounds.slice(1)], elements };
}

function widthBucket(operand: Datum, thresholds: ArrayValue, compare: (a: Datum, b: Datum) => number): number {
  if (thresholds.dimensions.length > 1) throw new DatabaseError('2202E', 'thresholds must be one-dimensional array');
  if (thresholds.elements.includes(null)) throw new DatabaseError('22004', 'thresholds array must not contain NULLs');
  let low = 0;
  let high = thresholds.elements.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(operand, thresholds.elements[middle]!) < 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

export const arrayFunctions: readonly SqlFunction[] = [
  fc('arraycontains(anyarray,anyarray)', contains),
  fc('arraycontained(anyarray,anyarray)', (a: ArrayValue, b: ArrayValue, context: EvalContext) => contains(b, a, context)),
  fc('arrayoverlap(anyarray,anyarray)', overlap),
  fbc('array_append(anycompatiblearray,anycompatible)', (call) => (array: ArrayValue | null, value: Datum, context: EvalContext) => append(array, value, resultElement(call, context))),
  fbc('array_prepend(anycompatible,anycompatiblearray)', (call) => (value: Datum, array: ArrayValue | null, context: EvalContext) => prepend(value, array, resultElement(call, context))),
  f('array_cat(anycompatiblearray,anycompatiblearray)', concatArrays),
  fbc(['array_position(anycompatiblearray,anycompatible)', 'array_position(anycompatiblearray,anycompatible,int4)'], () => {
    const equality = elementEquality();
    return (...args: unknown[]) => {
      const context = args[args.length - 1] as EvalContext;
      const array = args[0] as ArrayValue | null;
      return array && position(array, args[1] as Datum, args.length === 4 ? (args[2] as number | null) : undefined, equality(array, context));
    };
  }),
  fbc('array_positions(anycompatiblearray,anycompatible)', () => {
    const equality = elementEquality();
    return (array: ArrayValue | null, value: Datum, context: EvalContext) => {
      if (!array) return null;
      if (array.dimensions.length > 1) throw new DatabaseError('0A000', 'searching for elements in multidimensional arrays is not supported');
      const equal = equality(array, context);
      const found: number[] = [];
      array.elements.forEach((item, i) => {
        if (equal(item, value)) found.push(i + array.lowerBounds[0]!);
      });
      return makeArray(INT4, found);
    };
  }),
  fbc('array_remove(anycompatiblearray,anycompatible)', () => {
    const equality = elementEquality();
    return (array: ArrayValue | null, value: Datum, context: EvalContext) => array && removeFrom(array, value, equality(array, context));
  }),
  fbc('array_replace(anycompatiblearray,anycompatible,anycompatible)', () => {
    const equality = elementEquality();
    return (array: ArrayValue | null, from: Datum, to: Datum, context: EvalContext) => {
      if (!array) return null;
      const equal = equality(array, context);
      return { ...array, elements: array.elements.map((item) => (equal(item, from) ? to : item)) };
    };
  }),
  fbc(['array_fill(anyelement,_int4)', 'array_fill(anyelement,_int4,_int4)'], (call) => (...args: unknown[]) => {
    const context = args[args.length - 1] as EvalContext;
    if (args[1] === null || (args.length === 4 && args[2] === null)) throw new DatabaseError('22004', 'dimension array or low bound array cannot be null');
    return fill(args[0] as Datum, args[1] as ArrayValue, args.length === 4 ? (args[2] as ArrayValue) : undefined, resultElement(call, context));
  }),
  f('array_ndims(anyarray)', (array: ArrayValue) => (array.dimensions.length === 0 ? null : array.dimensions.length)),
  f('array_dims(anyarray)', (array: ArrayValue) => (array.dimensions.length === 0 ? null : array.dimensions.map((length, i) => `[${array.lowerBounds[i]}:${array.lowerBounds[i]! + length - 1}]`).join(''))),
  f('array_length(anyarray,int4)', (array: ArrayValue, dimension: number) => (dimensionOf(array, dimension) ? array.dimensions[dimension - 1]! : null)),
  f('array_lower(anyarray,int4)', (array: ArrayValue, dimension: number) => (dimensionOf(array, dimension) ? array.lowerBounds[dimension - 1]! : null)),
  f('array_upper(anyarray,int4)', (array: ArrayValue, dimension: number) => (dimensionOf(array, dimension) ? array.lowerBounds[dimension - 1]! + array.dimensions[dimension - 1]! - 1 : null)),
  f('cardinality(anyarray)', (array: ArrayValue) => array.elements.length),
  fc('array_to_string(anyarray,text)', (array: ArrayValue | null, separator: string | null, context: EvalContext) => toText(array, separator, null, context)),
  fc('array_to_string(anyarray,text,text)', toText),
  f('trim_array(anyarray,int4)', trimArray),
  fc('array_shuffle(anyarray)', (array: ArrayValue, context: EvalContext) => (array.elements.length < 2 ? array : shuffled(array, array.dimensions[0]!, true, context))),
  fc('array_sample(anyarray,int4)', (array: ArrayValue, count: number, context: EvalContext) => {
    const length = array.dimensions[0] ?? 0;
    if (count < 0 || count > length) throw new DatabaseError('22023', `sample size must be between 0 and ${length}`);
    return shuffled(array, count, false, context);
  }),
  set('unnest(anyarray)', (array: ArrayValue) => array.elements),
  set(['generate_subscripts(anyarray,int4)', 'generate_subscripts(anyarray,int4,bool)'], subscripts),
  fb('width_bucket(anycompatible,anycompatiblearray)', (call) => {
    const compare = call.type(call.argTypes[0]!).compare as (a: Datum, b: Datum) => number;
    return (operand: Datum, thresholds: ArrayValue) => widthBucket(operand, thresholds, compare);
  }),
];

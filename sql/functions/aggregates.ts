/**
 * Aggregates. Integer sums are exact (a double while it is a safe integer, bigint beyond), numeric
 * sums keep PostgreSQL's display scale, float sums run in input order, and variances use the
 * Youngs-Cramer updates PostgreSQL uses, so that the last digit is the same.
 */
import { DatabaseError } from '../../engine/errors.js';
import { makeArray } from '../types/array.js';
import type { ArrayValue, Datum, Int8, Interval } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import { quoteJson } from '../types/json.js';
import { Jsonb, makeJsonbObject, type JsonbNode } from '../types/jsonb.js';
import { Numeric, bigPowerOfTen, coefficient } from '../types/numeric.js';
import { sqrtToScale } from '../types/numeric-math.js';
import type { EvalContext } from './context.js';
import { aggregate } from './define.js';
import type { BoundAggregate, FunctionCall, SqlFunction } from './function.js';
import { addIntervals, divideInterval, subtractIntervals } from './intervals.js';
import { checkInt8 } from './kernel-helpers.js';
import { datumToJsonText, datumToJsonb, isJsonContainer, jsonKeyText } from './json-convert.js';

// ---- count -------------------------------------------------------------------------------

interface CountState { count: number }

const counting = (skipNulls: boolean) => (): BoundAggregate<CountState> => ({
  skipNulls,
  initial: () => ({ count: 0 }),
  step(state) {
    state.count++;
    return state;
  },
  finish: (state) => state.count,
  combine(left, right) {
    left.count += right.count;
    return left;
  },
  inverse(state) {
    state.count--;
    return state;
  },
});

// ---- exact sums of integers ----------------------------------------------------------------

/** `low` holds the sum while it is safe; what overflows goes to `high`. */
interface IntegerSum { count: number; low: number; high: bigint }

const emptyIntegerSum = (): IntegerSum => ({ count: 0, low: 0, high: 0n });

function addInteger(state: IntegerSum, value: Int8): void {
  if (typeof value === 'number') {
    const sum = state.low + value;
    if (sum <= Number.MAX_SAFE_INTEGER && sum >= -Number.MAX_SAFE_INTEGER) {
      state.low = sum;
      return;
    }
    state.high += BigInt(state.low);
    state.low = value;
  } else state.high += value;
}

const integerTotal = (state: IntegerSum): bigint => state.high + BigInt(state.low);

function integerSum(finish: (state: IntegerSum) => Datum) {
  return (): BoundAggregate<IntegerSum> => ({
    skipNulls: true,
    initial: emptyIntegerSum,
    step(state, value) {
      state.count++;
      addInteger(state, value as Int8);
      return state;
    },
    finish: (state) => (state.count === 0 ? null : finish(state)),
    combine(left, right) {
      left.count += right.count;
      left.high += right.high;
      addInteger(left, right.low);
      return left;
    },
    inverse(state, value) {
      state.count--;
      addInteger(state, typeof value === 'bigint' ? -value : 0 - (value as number));
      return state;
    },
  });
}

const sumAsInt8 = (state: IntegerSum): Datum => (state.high === 0n ? state.low : checkInt8(integerTotal(state)));
const sumAsNumeric = (state: IntegerSum): Datum => (state.high === 0n ? Numeric.of(state.low, 0) : Numeric.fromBig(integerTotal(state), 0));
const averageOfIntegers = (state: IntegerSum): Datum => (sumAsNumeric(state) as Numeric).divide(Numeric.of(state.count, 0));

// ---- numeric sums --------------------------------------------------------------------------

/** Sum at the largest scale seen; specials are counted aside, as numeric's own state does. */
interface NumericSum {
  count: number;
  sum: number | bigint;
  scale: number;
  nan: number;
  positive: number;
  negative: number;
  /** Sum of squares, scale twice `scale`; kept only for variances. */
  squares: bigint;
  /** Values that have exactly `scale` digits: when the last goes, the scale must be found anew. */
  maxScaleCount: number;
}

const emptyNumericSum = (): NumericSum => ({ count: 0, sum: 0, scale: 0, nan: 0, positive: 0, negative: 0, squares: 0n, maxScaleCount: 0 });

function widen(state: NumericSum, scale: number, withSquares: boolean): void {
  const by = scale - state.scale;
  if (state.sum !== 0) state.sum = coefficient(BigInt(state.sum) * bigPowerOfTen(by));
  if (withSquares) state.squares *= bigPowerOfTen(2 * by);
  state.scale = scale;
}

function addNumeric(state: NumericSum, value: Numeric, withSquares: boolean): void {
  if (!value.isFinite) {
    if (value.isNaN) state.nan++;
    else if (value.sign > 0) state.positive++;
    else state.negative++;
    return;
  }
  state.count++;
  if (value.scale > state.scale) {
    widen(state, value.scale, withSquares);
    state.maxScaleCount = 1;
  } else if (value.scale === state.scale) state.maxScaleCount++;
  const c = value.scale === state.scale ? value.coefficient : coefficient(value.scaledTo(state.scale));
  if (withSquares) state.squares += BigInt(c) * BigInt(c);
  if (typeof c === 'number' && typeof state.sum === 'number') {
    const sum = state.sum + c;
    state.sum = Number.isSafeInteger(sum) ? sum : BigInt(state.sum) + BigInt(c);
  } else state.sum = coefficient(BigInt(state.sum) + BigInt(c));
}

const rowsSeen = (state: NumericSum): number => state.count + state.nan + state.positive + state.negative;

function specialSum(state: NumericSum): Numeric | undefined {
  if (state.nan > 0 || (state.positive > 0 && state.negative > 0)) return Numeric.NaN;
  if (state.positive > 0) return Numeric.Infinity;
  return state.negative > 0 ? Numeric.NegativeInfinity : undefined;
}

function numericAggregate(withSquares: boolean, finish: (state: NumericSum) => Datum) {
  return (): BoundAggregate<NumericSum> => ({
    skipNulls: true,
    initial: emptyNumericSum,
    step(state, value) {
      addNumeric(state, value as Numeric, withSquares);
      return state;
    },
    finish: (state) => (rowsSeen(state) === 0 ? null : finish(state)),
    combine(left, right) {
      if (right.scale > left.scale) widen(left, right.scale, withSquares);
      else if (left.scale > right.scale) widen(right, left.scale, withSquares);
      left.count += right.count;
      left.nan += right.nan;
      left.positive += right.positive;
      left.negative += right.negative;
      left.sum = coefficient(BigInt(left.sum) + BigInt(right.sum));
      left.squares += right.squares;
      return left;
    },
  });
}

const numericSum = (state: NumericSum): Datum => specialSum(state) ?? Numeric.result(state.sum, state.scale);
const numericAverage = (state: NumericSum): Datum => specialSum(state) ?? Numeric.of(state.sum, state.scale).divide(Numeric.of(state.count, 0));

/** numeric_stddev_internal: (N*sum(x^2) - sum(x)^2) / (N*(N-1)) or N^2, at the division's own scale. */
function numericVariance(state: NumericSum, sample: boolean, root: boolean): Datum {
  const rows = rowsSeen(state);
  if (rows <= (sample ? 1 : 0)) return null;
  if (specialSum(state)) return Numeric.NaN;
  const n = BigInt(state.count);
  const scale = Math.min(2 * state.scale, 16383);
  const numerator = n * state.squares - BigInt(state.sum) * BigInt(state.sum);
  if (numerator <= 0n) return Numeric.zero;
  const top = Numeric.fromBig(numerator, 2 * state.scale).round(scale);
  const bottom = Numeric.fromBig(sample ? n * (n - 1n) : n * n, 0);
  const divisionScale = top.divisionScale(bottom);
  const variance = top.divideToScale(bottom, divisionScale);
  return root ? sqrtToScale(variance, divisionScale) : variance;
}

const integerNumeric = (withSquares: boolean, finish: (state: NumericSum) => Datum) => (): BoundAggregate<NumericSum> => {
  const base = numericAggregate(withSquares, finish)();
  return { ...base, step: (state, value) => base.step(state, Numeric.fromInteger(value as Int8)) };
};

// ---- floats --------------------------------------------------------------------------------

/** Youngs-Cramer: N, sum of X, sum of squared deviations. */
interface FloatState { n: number; sx: number; sxx: number }

const overflow = (): never => {
  throw new DatabaseError('22003', 'value out of range: overflow');
};

function floatAggregate(finish: (state: FloatState) => Datum) {
  return (): BoundAggregate<FloatState> => ({
    skipNulls: true,
    initial: () => ({ n: 0, sx: 0, sxx: 0 }),
    step(state, untyped) {
      const value = untyped as number;
      const { n, sx } = state;
      state.n = n + 1;
      state.sx = sx + value;
      if (n > 0) {
        const tmp = value * state.n - state.sx;
        state.sxx += (tmp * tmp) / (state.n * n);
        if (!Number.isFinite(state.sx) || !Number.isFinite(state.sxx)) {
          if (Number.isFinite(sx) && Number.isFinite(value)) overflow();
          state.sxx = NaN;
        }
      } else if (!Number.isFinite(value)) state.sxx = NaN;
      return state;
    },
    finish,
  });
}

const floatVariance = (sample: boolean, root: boolean) => (state: FloatState): Datum => {
  if (state.n <= (sample ? 1 : 0)) return null;
  const variance = state.sxx / (sample ? state.n - 1 : state.n);
  return root ? Math.sqrt(variance) : variance;
};

function floatSum(round: (value: number) => number) {
  return (): BoundAggregate<{ seen: boolean; sum: number }> => ({
    skipNulls: true,
    initial: () => ({ seen: false, sum: 0 }),
    step(state, untyped) {
      const value = untyped as number;
      if (!state.seen) {
        state.seen = true;
        state.sum = value;
        return state;
      }
      const sum = round(state.sum + value);
      if (!Number.isFinite(sum) && Number.isFinite(state.sum) && Number.isFinite(value)) overflow();
      state.sum = sum;
      return state;
    },
    finish: (state) => (state.seen ? state.sum : null),
  });
}

/** Two variables: N, Sx, Sxx, Sy, Syy, Sxy. Called with (Y, X). */
interface PairState { n: number; sx: number; sxx: number; sy: number; syy: number; sxy: number }

function regression(name: string, finish: (state: PairState) => Datum): SqlFunction {
  return aggregate<PairState>(`${name}(float8,float8)`, () => ({
    skipNulls: true,
    initial: () => ({ n: 0, sx: 0, sxx: 0, sy: 0, syy: 0, sxy: 0 }),
    step(state, untypedY, untypedX) {
      const y = untypedY as number;
      const x = untypedX as number;
      const { n, sx, sy } = state;
      state.n = n + 1;
      state.sx += x;
      state.sy += y;
      if (n > 0) {
        const tmpX = x * state.n - state.sx;
        const tmpY = y * state.n - state.sy;
        const scale = 1 / (state.n * n);
        state.sxx += tmpX * tmpX * scale;
        state.syy += tmpY * tmpY * scale;
        state.sxy += tmpX * tmpY * scale;
        if (![state.sx, state.sxx, state.sy, state.syy, state.sxy].every(Number.isFinite)) {
          const finiteX = Number.isFinite(sx) && Number.isFinite(x);
          const finiteY = Number.isFinite(sy) && Number.isFinite(y);
          if ((!Number.isFinite(state.sx) || !Number.isFinite(state.sxx)) && finiteX) overflow();
          if ((!Number.isFinite(state.sy) || !Number.isFinite(state.syy)) && finiteY) overflow();
          if (!Number.isFinite(state.sxy) && finiteX && finiteY) overflow();
          if (!Number.isFinite(state.sxx)) state.sxx = NaN;
          if (!Number.isFinite(state.syy)) state.syy = NaN;
          if (!Number.isFinite(state.sxy)) state.sxy = NaN;
        }
      } else {
        if (!Number.isFinite(x)) state.sxx = state.sxy = NaN;
        if (!Number.isFinite(y)) state.syy = state.sxy = NaN;
      }
      return state;
    },
    finish,
  }));
}

const regressions: readonly SqlFunction[] = [
  regression('regr_count', (s) => s.n),
  regression('regr_sxx', (s) => (s.n < 1 ? null : s.sxx)),
  regression('regr_syy', (s) => (s.n < 1 ? null : s.syy)),
  regression('regr_sxy', (s) => (s.n < 1 ? null : s.sxy)),
  regression('regr_avgx', (s) => (s.n < 1 ? null : s.sx / s.n)),
  regression('regr_avgy', (s) => (s.n < 1 ? null : s.sy / s.n)),
  regression('regr_r2', (s) => (s.n < 1 || s.sxx === 0 ? null : s.syy === 0 ? 1 : (s.sxy * s.sxy) / (s.sxx * s.syy))),
  regression('regr_slope', (s) => (s.n < 1 || s.sxx === 0 ? null : s.sxy / s.sxx)),
  regression('regr_intercept', (s) => (s.n < 1 || s.sxx === 0 ? null : (s.sy - (s.sx * s.sxy) / s.sxx) / s.n)),
  regression('covar_pop', (s) => (s.n < 1 ? null : s.sxy / s.n)),
  regression('covar_samp', (s) => (s.n < 2 ? null : s.sxy / (s.n - 1))),
  regression('corr', (s) => (s.n < 1 || s.sxx === 0 || s.syy === 0 ? null : s.sxy / Math.sqrt(s.sxx * s.syy))),
];

// ---- variance families ---------------------------------------------------------------------

function variances(): SqlFunction[] {
  const out: SqlFunction[] = [];
  const family: [string, boolean, boolean][] = [
    ['var_pop', false, false], ['var_samp', true, false], ['variance', true, false], ['stddev_pop', false, true], ['stddev_samp', true, true], ['stddev', true, true],
  ];
  for (const [name, sample, root] of family) {
    for (const type of ['int2', 'int4', 'int8']) out.push(aggregate(`${name}(${type})`, integerNumeric(true, (state) => numericVariance(state, sample, root))));
    out.push(aggregate(`${name}(numeric)`, numericAggregate(true, (state) => numericVariance(state, sample, root))));
    for (const type of ['float4', 'float8']) out.push(aggregate(`${name}(${type})`, floatAggregate(floatVariance(sample, root))));
  }
  return out;
}

// ---- min, max ------------------------------------------------------------------------------

const EXTREME_TYPES = ['anyarray', 'anyenum', 'bpchar', 'date', 'float4', 'float8', 'int2', 'int4', 'int8', 'interval', 'numeric', 'oid', 'pg_lsn', 'text', 'tid', 'time', 'timestamp', 'timestamptz', 'timetz', 'xid8', 'inet'];

function extremes(): SqlFunction[] {
  return EXTREME_TYPES.flatMap((type) => (['min', 'max'] as const).map((name) => aggregate<{ value: Datum }>(`${name}(${type})`, (call) => {
    const dataType = call.type(call.argTypes[0]!);
    const compare = dataType.compare as ((a: unknown, b: unknown) => number) | undefined;
    if (!compare) throw new DatabaseError('42883', `could not identify a comparison function for type ${dataType.name}`);
    const better = name === 'min' ? (order: number) => order < 0 : (order: number) => order > 0;
    const step = (state: { value: Datum }, value: Datum): { value: Datum } => {
      if (state.value === null || better(compare(value, state.value))) state.value = value;
      return state;
    };
    return {
      skipNulls: true,
      initial: () => ({ value: null }),
      step,
      finish: (state) => state.value,
      combine: (left, right) => (right.value === null ? left : step(left, right.value)),
    };
  })));
}

// ---- folds: bool_and, bit_or, ... ------------------------------------------------------------

function fold(signature: string | readonly string[], combine: (a: never, b: never) => Datum): SqlFunction {
  return aggregate<{ value: Datum }>(signature, () => ({
    skipNulls: true,
    initial: () => ({ value: null }),
    step(state, value) {
      state.value = state.value === null ? value : combine(state.value as never, value as never);
      return state;
    },
    finish: (state) => state.value,
    combine(left, right) {
      if (right.value !== null) left.value = left.value === null ? right.value : combine(left.value as never, right.value as never);
      return left;
    },
  }));
}

const bits = (operation: (a: bigint, b: bigint) => bigint) => (a: Int8, b: Int8): Int8 => int8FromBigInt(operation(BigInt(a), BigInt(b)));

// ---- collecting aggregates -------------------------------------------------------------------

interface Collected { items: Datum[] }

function collecting(signature: string | readonly string[], skipNulls: boolean, finish: (items: Datum[], call: FunctionCall, context: EvalContext) => Datum): SqlFunction {
  return aggregate<Collected>(signature, (call) => ({
    skipNulls,
    initial: () => ({ items: [] }),
    step(state, value) {
      state.items.push(value);
      return state;
    },
    finish: (state, context) => finish(state.items, call, context),
  }));
}

/** The element type of an array type: what a result array must say. */
function elementTypeOf(arrayType: number, context: EvalContext): number {
  return context.catalog.type(arrayType)?.typelem ?? 25;
}

function stackArrays(items: Datum[], call: FunctionCall, context: EvalContext): Datum {
  if (items.length === 0) return null;
  const arrays = items as (ArrayValue | null)[];
  const first = arrays[0];
  if (arrays.some((array) => array === null)) throw new DatabaseError('22004', 'cannot accumulate null arrays');
  if (first!.dimensions.length === 0) throw new DatabaseError('2202E', 'cannot accumulate empty arrays');
  for (const array of arrays) {
    if (array!.dimensions.length !== first!.dimensions.length || array!.dimensions.some((length, i) => length !== first!.dimensions[i])) {
      throw new DatabaseError('2202E', 'cannot accumulate arrays of different dimensionality');
    }
  }
  return {
    elementType: elementTypeOf(call.resultType, context),
    dimensions: [arrays.length, ...first!.dimensions],
    lowerBounds: [1, ...first!.lowerBounds],
    elements: arrays.flatMap((array) => array!.elements),
  };
}

interface Concatenation { parts: (string | Uint8Array)[] }

/** string_agg(value, delimiter): the delimiter of the first value is not used. */
function concatenating(signature: string, join: (parts: (string | Uint8Array)[]) => Datum): SqlFunction {
  return aggregate<Concatenation>(signature, () => ({
    skipNulls: false,
    initial: () => ({ parts: [] }),
    step(state, value, delimiter) {
      if (value === null) return state;
      if (state.parts.length > 0 && delimiter !== null) state.parts.push(delimiter as string);
      else if (state.parts.length > 0) state.parts.push(typeof value === 'string' ? '' : new Uint8Array(0));
      state.parts.push(value as string);
      return state;
    },
    finish: (state) => (state.parts.length === 0 ? null : join(state.parts)),
  }));
}

// ---- json aggregates -------------------------------------------------------------------------

/** Arrays and rows start on a line of their own, as json_agg prints them. */
function jsonArray(items: readonly Datum[], type: number, context: EvalContext): Datum {
  if (items.length === 0) return null;
  const spread = isJsonContainer(type, context);
  let text = '[';
  items.forEach((item, i) => {
    if (i > 0) text += spread && item !== null ? ', \n ' : ', ';
    text += datumToJsonText(item, type, context);
  });
  return `${text}]`;
}

interface JsonPairs { keys: Datum[]; values: Datum[]; seen: Set<string> }

function jsonObjectAggregate(name: string, binary: boolean, options: { strict?: true; unique?: true }): SqlFunction {
  return aggregate<JsonPairs>(`${name}(any,any)`, (call) => ({
    skipNulls: false,
    initial: () => ({ keys: [], values: [], seen: new Set() }),
    step(state, key, value) {
      if (key === null) throw new DatabaseError(binary ? '22023' : '22004', binary ? 'field name must not be null' : 'null value not allowed for object key');
      if (options.strict && value === null) return state;
      state.keys.push(key);
      state.values.push(value);
      return state;
    },
    finish(state, context) {
      if (state.keys.length === 0) return null;
      const [keyType, valueType] = call.argTypes as [number, number];
      const keys = state.keys.map((key) => jsonKeyText(key, keyType, context));
      if (options.unique) {
        const seen = new Set<string>();
        for (const key of keys) {
          if (seen.has(key)) throw new DatabaseError('22030', binary ? 'duplicate JSON object key value' : `duplicate JSON object key value: ${quoteJson(key)}`);
          seen.add(key);
        }
      }
      if (binary) return new Jsonb(makeJsonbObject(keys, state.values.map((value) => datumToJsonb(value, valueType, context))));
      return `{ ${keys.map((key, i) => `${quoteJson(key)} : ${datumToJsonText(state.values[i]!, valueType, context)}`).join(', ')} }`;
    },
  }));
}

// ---- ordered-set and hypothetical-set aggregates ----------------------------------------------

/** The executor sorts the rows and evaluates the direct arguments once: they come with `finish`. */
function orderedSet(signature: string, finish: (items: Datum[], direct: readonly Datum[], call: FunctionCall, context: EvalContext) => Datum): SqlFunction {
  return aggregate<Collected>(signature, (call) => ({
    skipNulls: true,
    initial: () => ({ items: [] }),
    step(state, value) {
      state.items.push(value);
      return state;
    },
    finish: (state, context, ...direct) => finish(state.items, direct, call, context),
  }));
}

function checkFraction(fraction: number): void {
  if (fraction < 0 || fraction > 1 || fraction !== fraction) throw new DatabaseError('22003', `percentile value ${fraction} is not between 0 and 1`);
}

function discrete(items: readonly Datum[], fraction: number): Datum {
  checkFraction(fraction);
  if (items.length === 0) return null;
  return items[Math.max(Math.ceil(fraction * items.length), 1) - 1]!;
}

function continuous(items: readonly Datum[], fraction: number, interpolate: (low: never, high: never, part: number) => Datum): Datum {
  checkFraction(fraction);
  if (items.length === 0) return null;
  const position = fraction * (items.length - 1);
  const first = Math.floor(position);
  const second = Math.ceil(position);
  if (first === second) return items[first]!;
  return interpolate(items[first] as never, items[second] as never, position - first);
}

const interpolateFloat = (low: number, high: number, part: number): number => low + part * (high - low);
const interpolateInterval = (low: Interval, high: Interval, part: number): Interval => {
  const difference = subtractIntervals(high, low);
  return addIntervals(low, multiplySpan(difference, part));
};
function multiplySpan(span: Interval, part: number): Interval {
  return part === 0 ? { months: 0, days: 0, micros: 0 } : divideInterval(span, 1 / part);
}

function percentiles(fractions: ArrayValue | null, call: FunctionCall, context: EvalContext, one: (fraction: number) => Datum): Datum {
  if (!fractions) return null;
  const elements = fractions.elements.map((fraction) => (fraction === null ? null : one(fraction as number)));
  return { elementType: elementTypeOf(call.resultType, context), dimensions: fractions.dimensions, lowerBounds: fractions.lowerBounds, elements };
}

function mode(items: readonly Datum[], call: FunctionCall): Datum {
  const type = call.type(call.argTypes[call.argTypes.length - 1]!);
  const equal = (a: Datum, b: Datum): boolean => (type.equal ? type.equal(a as never, b as never) : type.compare!(a as never, b as never) === 0);
  let best: Datum = null;
  let bestCount = 0;
  for (let i = 0; i < items.length;) {
    let j = i + 1;
    while (j < items.length && equal(items[i]!, items[j]!)) j++;
    if (j - i > bestCount) {
      bestCount = j - i;
      best = items[i]!;
    }
    i = j;
  }
  return best;
}

const orderedSets: readonly SqlFunction[] = [
  orderedSet('percentile_disc(float8,anyelement)', (items, [fraction]) => (fraction === null || fraction === undefined ? null : discrete(items, fraction as number))),
  orderedSet('percentile_disc(_float8,anyelement)', (items, [fractions], call, context) => percentiles((fractions ?? null) as ArrayValue | null, call, context, (fraction) => discrete(items, fraction))),
  orderedSet('percentile_cont(float8,float8)', (items, [fraction]) => (fraction === null || fraction === undefined ? null : continuous(items, fraction as number, interpolateFloat))),
  orderedSet('percentile_cont(float8,interval)', (items, [fraction]) => (fraction === null || fraction === undefined ? null : continuous(items, fraction as number, interpolateInterval))),
  orderedSet('percentile_cont(_float8,float8)', (items, [fractions], call, context) => percentiles((fractions ?? null) as ArrayValue | null, call, context, (fraction) => continuous(items, fraction, interpolateFloat))),
  orderedSet('percentile_cont(_float8,interval)', (items, [fractions], call, context) => percentiles((fractions ?? null) as ArrayValue | null, call, context, (fraction) => continuous(items, fraction, interpolateInterval))),
  orderedSet('mode(anyelement)', (items, _direct, call) => mode(items, call)),
];

export const aggregateFunctions: readonly SqlFunction[] = [
  aggregate('count()', counting(false)),
  aggregate('count(any)', counting(true)),
  aggregate(['sum(int2)', 'sum(int4)'], integerSum(sumAsInt8)),
  aggregate('sum(int8)', integerSum(sumAsNumeric)),
  aggregate(['avg(int2)', 'avg(int4)', 'avg(int8)'], integerSum(averageOfIntegers)),
  aggregate('sum(numeric)', numericAggregate(false, numericSum)),
  aggregate('avg(numeric)', numericAggregate(false, numericAverage)),
  aggregate('sum(float8)', floatSum((value) => value)),
  aggregate('sum(float4)', floatSum(Math.fround)),
  aggregate(['avg(float4)', 'avg(float8)'], floatAggregate((state) => (state.n === 0 ? null : state.sx / state.n))),
  aggregate<{ sum: Interval | null; count: number }>('sum(interval)', () => intervalAggregate((state) => state.sum)),
  aggregate<{ sum: Interval | null; count: number }>('avg(interval)', () => intervalAggregate((state) => state.sum && divideInterval(state.sum, state.count))),
  ...variances(),
  ...regressions,
  ...extremes(),
  fold(['bool_and(bool)', 'every(bool)'], (a: boolean, b: boolean) => a && b),
  fold('bool_or(bool)', (a: boolean, b: boolean) => a || b),
  fold(['bit_and(int2)', 'bit_and(int4)'], (a: number, b: number) => a & b),
  fold(['bit_or(int2)', 'bit_or(int4)'], (a: number, b: number) => a | b),
  fold(['bit_xor(int2)', 'bit_xor(int4)'], (a: number, b: number) => a ^ b),
  fold('bit_and(int8)', bits((a, b) => a & b)),
  fold('bit_or(int8)', bits((a, b) => a | b)),
  fold('bit_xor(int8)', bits((a, b) => a ^ b)),
  fold('any_value(anyelement)', (a: never) => a),
  collecting('array_agg(anynonarray)', false, (items, call, context) => (items.length === 0 ? null : makeArray(elementTypeOf(call.resultType, context), [...items]))),
  collecting('array_agg(anyarray)', false, stackArrays),
  concatenating('string_agg(text,text)', (parts) => (parts as string[]).join('')),
  concatenating('string_agg(bytea,bytea)', (parts) => new Uint8Array(Buffer.concat(parts as Uint8Array[]))),
  collecting('json_agg(anyelement)', false, (items, call, context) => jsonArray(items, call.argTypes[0]!, context)),
  collecting('json_agg_strict(anyelement)', true, (items, call, context) => jsonArray(items, call.argTypes[0]!, context)),
  collecting('jsonb_agg(anyelement)', false, (items, call, context) => (items.length === 0 ? null : new Jsonb(items.map((item): JsonbNode => datumToJsonb(item, call.argTypes[0]!, context))))),
  collecting('jsonb_agg_strict(anyelement)', true, (items, call, context) => (items.length === 0 ? null : new Jsonb(items.map((item): JsonbNode => datumToJsonb(item, call.argTypes[0]!, context))))),
  jsonObjectAggregate('json_object_agg', false, {}),
  jsonObjectAggregate('json_object_agg_strict', false, { strict: true }),
  jsonObjectAggregate('json_object_agg_unique', false, { unique: true }),
  jsonObjectAggregate('json_object_agg_unique_strict', false, { strict: true, unique: true }),
  jsonObjectAggregate('jsonb_object_agg', true, {}),
  jsonObjectAggregate('jsonb_object_agg_strict', true, { strict: true }),
  jsonObjectAggregate('jsonb_object_agg_unique', true, { unique: true }),
  jsonObjectAggregate('jsonb_object_agg_unique_strict', true, { strict: true, unique: true }),
  ...orderedSets,
];

function intervalAggregate(finish: (state: { sum: Interval | null; count: number }) => Datum): BoundAggregate<{ sum: Interval | null; count: number }> {
  return {
    skipNulls: true,
    initial: () => ({ sum: null, count: 0 }),
    step(state, value) {
      state.sum = state.sum ? addIntervals(state.sum, value as Interval) : (value as Interval);
      state.count++;
      return state;
    },
    finish,
  };
}


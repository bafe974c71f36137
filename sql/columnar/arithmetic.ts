/** Comparisons and arithmetic of values in a kernel, written out where the known ranges prove that they stay exact; null where they are not. */
import { addFloat, checkInt2, checkInt4, divFloat, mulFloat, subFloat } from '../functions/kernel-helpers.js';
import type { Kernel } from './kernel.js';
import { anyOf, halvesOf, intValue, isExact, rangeOf, type Halves, type Value } from './value.js';

/** Sources of tests, for operands that are not NULL. */
export interface Comparison { readonly whenTrue: string; readonly whenFalse: string; readonly isNull: string | null }

const DAY_MICROS = 86_400_000_000;
const DAYS_AS_MICROS = ` * ${DAY_MICROS})`;
const TURNED: Readonly<Record<string, string>> = { eq: 'eq', ne: 'ne', lt: 'gt', le: 'ge', gt: 'lt', ge: 'le' };
const COMPARISON = /^(?:int2|int4|int8|int24|int42|int28|int82|int48|int84|oid|date|time|timestamp|timestamptz|numeric|float4|float8|float48|float84|bool)_?(eq|ne|lt|le|gt|ge)$/;
const MIXED_DATE = /^(date|timestamp)_(eq|ne|lt|le|gt|ge)_(timestamp|date)$/;
const INTEGER_ARITHMETIC = /^(?:int2|int4|int8|int24|int42|int28|int82|int48|int84)(pl|mi|mul)$/;
const OPERATORS: Readonly<Record<string, string>> = { eq: '===', ne: '!==', lt: '<', le: '<=', gt: '>', ge: '>=', pl: '+', mi: '-', mul: '*', add: '+', sub: '-' };
const INVERSE: Readonly<Record<string, string>> = { eq: 'ne', ne: 'eq', lt: 'ge', le: 'gt', gt: 'le', ge: 'lt' };
const TEXT_EQUALITY = /^(?:text|bpchar|name|char)(eq|ne)$/;
const DATE_ARITHMETIC = /^date_(mi|pli|mii)$/;
const NUMERIC_ARITHMETIC = /^numeric_(add|sub|mul)$/;
const CASTS: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'numeric', 'float8']);
const FLOAT_ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = { float8pl: addFloat, float8mi: subFloat, float8mul: mulFloat, float8div: divFloat };

/** By the name of a born function. */
export function isComparison(name: string): boolean {
  return MIXED_DATE.test(name) || COMPARISON.test(name) || TEXT_EQUALITY.test(name);
}

export function compareValues(name: string, first: Value, second: Value, kernel: Kernel): Comparison | null {
  const mixed = MIXED_DATE.exec(name);
  const operator = mixed ? mixed[2]! : (COMPARISON.exec(name) ?? TEXT_EQUALITY.exec(name))![1]!;
  let left = first;
  let right = second;
  if (mixed) {
    if (mixed[1] === 'date') left = scaleInteger(left, DAY_MICROS);
    if (mixed[3] === 'date') right = scaleInteger(right, DAY_MICROS);
    if (!exact(left) || !exact(right)) return null;
    const days = inDays(operator, left, right, mixed[1] === 'date', kernel);
    if (days) return days;
  }
  const isNull = anyOf(left.isNull, right.isNull);
  if (left.halves || right.halves) {
    const [a, b] = [halvesOf(left), halvesOf(right)];
    return a && b && { whenTrue: wideComparison(operator, a, b), whenFalse: wideComparison(INVERSE[operator]!, a, b), isNull };
  }
  if (isFloaty(left) && isFloaty(right)) {
    // NaN equals itself and is greater than every number.
    return { whenTrue: floatComparison(operator, left.code, right.code), whenFalse: floatComparison(INVERSE[operator]!, left.code, right.code), isNull };
  }
  if (left.kind === 'ref' && right.kind === 'ref') {
    // Padded texts of other lengths may be equal: bpchar's own function knows.
    if (name.startsWith('bpchar') || (operator !== 'eq' && operator !== 'ne')) return null;
  } else if (left.kind === 'bool' ? right.kind !== 'bool' : !isIntegral(left) || !isIntegral(right)) return null;
  const aligned = align(left, right, kernel);
  if (!aligned) return null;
  const [a, b] = aligned;
  return { whenTrue: `${a.code} ${OPERATORS[operator]!} ${b.code}`, whenFalse: `${a.code} ${OPERATORS[INVERSE[operator]!]!} ${b.code}`, isNull };
}

/** A date column beside a constant timestamp: the constant as a day. */
function inDays(operator: string, left: Value, right: Value, leftIsDate: boolean, kernel: Kernel): Comparison | null {
  const [date, moment] = leftIsDate ? [left, right] : [right, left];
  if (moment.min !== moment.max || date.isNull === 'true' || !date.code.endsWith(DAYS_AS_MICROS)) return null;
  const day = date.code.slice(1, -DAYS_AS_MICROS.length);
  const at = moment.min / DAY_MICROS;
  const direct = leftIsDate ? operator : TURNED[operator]!;
  const isNull = anyOf(left.isNull, right.isNull);
  if (direct === 'eq' || direct === 'ne') {
    if (!Number.isInteger(at)) return null;
    return { whenTrue: `${day} ${OPERATORS[direct]!} ${kernel.outside(at)}`, whenFalse: `${day} ${OPERATORS[INVERSE[direct]!]!} ${kernel.outside(at)}`, isNull };
  }
  // d < t and d >= t turn at the first day not before t, d <= t and d > t at the last day not after it.
  const bound = kernel.outside(direct === 'lt' || direct === 'ge' ? Math.ceil(at) : Math.floor(at));
  return { whenTrue: `${day} ${OPERATORS[direct]!} ${bound}`, whenFalse: `${day} ${OPERATORS[INVERSE[direct]!]!} ${bound}`, isNull };
}

/** By the name of a born function. */
export function isArithmetic(name: string): boolean {
  return INTEGER_ARITHMETIC.test(name) || DATE_ARITHMETIC.test(name) || NUMERIC_ARITHMETIC.test(name) || Object.hasOwn(FLOAT_ARITHMETIC, name);
}

export function combineValues(name: string, left: Value, right: Value, type: number, kernel: Kernel): Value | null {
  const integers = INTEGER_ARITHMETIC.exec(name) ?? DATE_ARITHMETIC.exec(name);
  if (integers) {
    const operator = integers[1] === 'pli' ? 'pl' : integers[1] === 'mii' ? 'mi' : integers[1]!;
    const value = integral(operator, left, right, type, false, kernel);
    return value && checked(value, type, kernel);
  }
  const decimals = NUMERIC_ARITHMETIC.exec(name);
  if (decimals) return integral({ mul: 'mul', add: 'pl', sub: 'mi' }[decimals[1] as 'mul' | 'add' | 'sub'], left, right, type, true, kernel);
  if (left.kind !== 'float' || right.kind !== 'float') return null;
  const isNull = anyOf(left.isNull, right.isNull);
  const code = `${kernel.outside(FLOAT_ARITHMETIC[name]!, 'f')}(${left.code}, ${right.code})`;
  return { ...intValue(isNull ? `(${isNull} ? 0 : ${code})` : code, isNull, type, -Infinity, Infinity), kind: 'float' };
}

/** By the name of a born function. */
export function isCast(name: string): boolean {
  return CASTS.has(name);
}

export function castValue(name: string, value: Value, type: number, kernel: Kernel): Value | null {
  if (value.kind === 'int' && (name === 'int8' || name === 'int4' || name === 'int2')) return checked({ ...value, type }, type, kernel);
  if (value.kind === 'int' && name === 'numeric' && value.type !== 700) return { ...value, kind: 'decimal', scale: 0, type };
  if (name === 'float8' && value.kind === 'int') return { ...value, kind: 'float', type, min: -Infinity, max: Infinity };
  // Both are exact in a double, so the quotient is the double nearest to the decimal.
  if (name === 'float8' && value.kind === 'decimal') return { ...value, code: `(${value.code} / ${String(10 ** value.scale)})`, kind: 'float', scale: 0, type, min: -Infinity, max: Infinity };
  if (name === 'float8' && value.kind === 'float') return { ...value, type };
  return null;
}

function integral(operator: string, left: Value, right: Value, type: number, decimals: boolean, kernel: Kernel): Value | null {
  if (!isIntegral(left) || !isIntegral(right)) return null;
  if (operator === 'mul') {
    const { min, max } = rangeOf([left.min * right.min, left.min * right.max, left.max * right.min, left.max * right.max]);
    if (!isExact(min, max)) return null;
    return { kind: decimals ? 'decimal' : 'int', code: `(${left.code} * ${right.code})`, isNull: anyOf(left.isNull, right.isNull), scale: left.scale + right.scale, min, max, type };
  }
  const aligned = align(left, right, kernel);
  if (!aligned) return null;
  const [a, b] = aligned;
  const { min, max } = operator === 'pl' ? { min: a.min + b.min, max: a.max + b.max } : { min: a.min - b.max, max: a.max - b.min };
  if (!isExact(min, max)) return null;
  return { kind: decimals ? 'decimal' : 'int', code: `(${a.code} ${OPERATORS[operator]!} ${b.code})`, isNull: anyOf(a.isNull, b.isNull), scale: a.scale, min, max, type };
}

/** The value as int2 or int4, with PostgreSQL's error where it may be out of range. */
function checked(value: Value, type: number, kernel: Kernel): Value {
  const limit = type === 21 ? 32768 : type === 23 ? 2147483648 : 0;
  if (limit === 0 || (value.min >= -limit && value.max < limit)) return value;
  const check = kernel.outside(type === 21 ? checkInt2 : checkInt4, 'f');
  const code = `${check}(${value.code})`;
  return { ...value, code: value.isNull ? `(${value.isNull} ? 0 : ${code})` : code, min: Math.max(value.min, -limit), max: Math.min(value.max, limit - 1) };
}

/** Two integers or decimals at the same scale; null when that is not exact. */
function align(left: Value, right: Value, kernel: Kernel): [Value, Value] | null {
  if (left.scale === right.scale) return [left, right];
  const by = 10 ** Math.abs(left.scale - right.scale);
  const scaled = (value: Value, scale: number): Value => {
    const product = scaleInteger(value, by);
    const { min, max, isNull } = product;
    return { ...product, scale, ...(min === max && isNull === null && exact(product) ? { code: kernel.outside(min) } : {}) };
  };
  const [a, b] = left.scale < right.scale ? [scaled(left, right.scale), right] : [left, scaled(right, left.scale)];
  return exact(a) && exact(b) ? [a, b] : null;
}

function isIntegral(value: Value): boolean {
  return value.kind === 'int' || (value.kind === 'decimal' && value.shownScale === undefined);
}

function isFloaty(value: Value): boolean {
  return value.kind === 'float';
}

function exact(value: Value): boolean {
  return isExact(value.min, value.max);
}

function scaleInteger(value: Value, by: number): Value {
  return { ...value, code: `(${value.code} * ${String(by)})`, min: value.min * by, max: value.max * by };
}

function wideComparison(operator: string, a: Halves, b: Halves): string {
  if (operator === 'eq') return `(${a.low} === ${b.low} && ${a.high} === ${b.high})`;
  if (operator === 'ne') return `(${a.low} !== ${b.low} || ${a.high} !== ${b.high})`;
  const strict = operator === 'lt' || operator === 'le' ? '<' : '>';
  return `(${a.high} ${strict} ${b.high} || (${a.high} === ${b.high} && (${a.low} >>> 0) ${OPERATORS[operator]!} (${b.low} >>> 0)))`;
}

function floatComparison(operator: string, a: string, b: string): string {
  switch (operator) {
    case 'eq': return `(${a} === ${b} || (${a} !== ${a} && ${b} !== ${b}))`;
    case 'ne': return `(${a} !== ${b} && !(${a} !== ${a} && ${b} !== ${b}))`;
    case 'lt': return `(${a} < ${b} || (${b} !== ${b} && ${a} === ${a}))`;
    case 'gt': return `(${a} > ${b} || (${a} !== ${a} && ${b} === ${b}))`;
    case 'le': return `(${a} <= ${b} || ${b} !== ${b})`;
    default: return `(${a} >= ${b} || ${a} !== ${a})`;
  }
}

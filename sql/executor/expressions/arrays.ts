/** ARRAY[...], element-wise casts, and `x op ANY/ALL (array)`. */
import { DatabaseError } from '../../../engine/errors.js';
import type { ArrayCoerceExpr, ArrayExpr, Expr, ScalarArrayOpExpr } from '../../analyzer/query-tree.js';
import type { DataType } from '../../types/data-type.js';
import type { ArrayValue, Datum } from '../../types/datum.js';
import { bindOperator, callWith } from './calls.js';
import { compile, compileAll } from './compile.js';
import type { Frame, Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

/** From this many constant elements on, = ANY looks up a hash set (as MIN_ARRAY_SIZE_FOR_HASHED_SAOP). */
const HASHED_FROM = 9;

export function compileArrayExpr(expr: ArrayExpr, scope: CompileScope): Scalar {
  const elements = compileAll(expr.elements, scope);
  const { elementType } = expr;
  if (!expr.multidims) {
    const dimensions = elements.length === 0 ? [] : [elements.length];
    const lowerBounds = elements.length === 0 ? [] : [1];
    return (frame): ArrayValue => ({ elementType, dimensions, lowerBounds, elements: elements.map((element) => element(frame)) });
  }
  return (frame) => nestArrays(elements.map((element) => element(frame) as ArrayValue | null), elementType);
}

/** ARRAY[a, b] of arrays: one dimension more. */
export function nestArrays(parts: readonly (ArrayValue | null)[], elementType: number): ArrayValue {
  const present = parts.filter((part): part is ArrayValue => part !== null && part.dimensions.length > 0);
  if (present.length === 0) return { elementType, dimensions: [], lowerBounds: [], elements: [] };
  const { dimensions, lowerBounds } = present[0]!;
  const same = present.length === parts.length && present.every((p) => p.dimensions.length === dimensions.length && p.dimensions.every((d, i) => d === dimensions[i] && p.lowerBounds[i] === lowerBounds[i]));
  if (!same) throw new DatabaseError('2202E', 'multidimensional arrays must have array expressions with matching dimensions');
  if (dimensions.length >= 6) throw new DatabaseError('54000', `number of array dimensions (${dimensions.length + 1}) exceeds the maximum allowed (6)`);
  return { elementType, dimensions: [present.length, ...dimensions], lowerBounds: [1, ...lowerBounds], elements: present.flatMap((part) => part.elements) };
}

export function compileArrayCoerce(expr: ArrayCoerceExpr, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const element = compile(expr.elementExpr, scope);
  const elementType = scope.catalog.type(expr.type)?.typelem || expr.elementExpr.type;
  return (frame) => {
    const value = arg(frame) as ArrayValue | null;
    if (value === null) return null;
    const outer = frame.caseValue;
    try {
      const elements = value.elements.map((item) => {
        frame.caseValue = item;
        return element(frame);
      });
      return { ...value, elementType, elements };
    } finally {
      frame.caseValue = outer;
    }
  };
}

export function compileScalarArrayOp(expr: ScalarArrayOpExpr, scope: CompileScope): Scalar {
  const [leftExpr, rightExpr] = expr.args;
  const elementType = elementTypeOf(rightExpr, scope);
  const callable = bindOperator(expr.operator, expr.func, [leftExpr, { type: elementType }], 16, expr.inputCollation, scope);
  const left = compile(leftExpr, scope);
  const hashed = hashedMembership(expr, left, scope);
  if (hashed) return hashed;
  const right = compile(rightExpr, scope);
  const call = callWith(callable);
  const { useOr } = expr;
  const { strict } = callable;
  return (frame) => {
    const array = right(frame) as ArrayValue | null;
    if (array === null) return null;
    const { elements } = array;
    if (elements.length === 0) return !useOr;
    const value = left(frame);
    if (value === null && strict) return null;
    return anyOrAll(frame, value, elements, call, strict, useOr);
  };
}

function anyOrAll(frame: Frame, value: Datum, elements: readonly Datum[], call: (frame: Frame, a: Datum, b: Datum) => Datum, strict: boolean, useOr: boolean): Datum {
  let result: Datum = !useOr;
  for (const element of elements) {
    const met = element === null && strict ? null : call(frame, value, element);
    if (met === null) result = null;
    else if ((met === true) === useOr) return useOr;
  }
  return result;
}

function elementTypeOf(expr: Expr, scope: CompileScope): number {
  const type = scope.catalog.type(expr.type);
  const base = type?.typtype === 'd' ? scope.catalog.type(type.typbasetype) : type;
  return base?.typelem ?? 0;
}

/** `x = ANY (constant array)` and `x <> ALL (...)` over many constants of one type. */
function hashedMembership(expr: ScalarArrayOpExpr, left: Scalar, scope: CompileScope): Scalar | null {
  const constant = expr.args[1];
  if (constant.kind !== 'Const' || constant.value === null) return null;
  const { elements } = constant.value as ArrayValue;
  if (elements.length < HASHED_FROM) return null;
  const operator = scope.catalog.operator(expr.operator);
  const equality = expr.useOr ? operator : operator && scope.catalog.operator(operator.oprnegate);
  if (!equality || !equality.oprcanhash || equality.oprname !== '=' || (operator!.oprname !== '=' && expr.useOr)) return null;
  if (equality.oprleft !== equality.oprright || !expr.useOr && operator!.oprname !== '<>') return null;
  const key = hashKeyOf(scope.catalog.dataType(elementTypeOf(constant, scope)));
  const set = new Set<unknown>();
  let hasNull = false;
  for (const element of elements) {
    if (element === null) hasNull = true;
    else set.add(key(element));
  }
  const found = expr.useOr;
  const missed = hasNull ? null : !expr.useOr;
  return (frame) => {
    const value = left(frame);
    if (value === null) return null;
    return set.has(key(value)) ? found : missed;
  };
}

/** A value's key in a Map: equal values have the same one. */
export function hashKeyOf(type: DataType): (value: Datum) => unknown {
  if (type.hashKey) return type.hashKey.bind(type) as (value: Datum) => unknown;
  return (value) => value;
}

/** Function and operator calls: strictness, context argument, arity. */
import { notSupported } from '../../../engine/errors.js';
import type { DistinctExpr, Expr, FuncExpr, OpExpr } from '../../analyzer/query-tree.js';
import type { Datum } from '../../types/datum.js';
import { compileAll } from './compile.js';
import type { Frame, Scalar } from './frame.js';
import { functionCall, implementation, operatorFunction, procOf, signatureText, type CompileScope } from './scope.js';

type AnyEvaluate = (...args: unknown[]) => Datum;

/** A bound function: what to call, and how. */
export interface Callable {
  readonly evaluate: AnyEvaluate;
  readonly strict: boolean;
  readonly needsContext: boolean;
}

/** Binds a scalar function to actual types. A function without an implementation raises when called, not when compiled. */
export function bindFunction(func: number, argTypes: readonly number[], resultType: number, collation: number, variadicArray: boolean, scope: CompileScope, columns?: FuncExpr['columnDefinitions']): Callable {
  const proc = procOf(scope, func);
  let found;
  try {
    found = implementation(scope, proc);
  } catch (error) {
    return { evaluate: () => { throw error; }, strict: proc.proisstrict, needsContext: false };
  }
  if (found.kind === 'waiting') {
    const evaluate = found.evaluate as AnyEvaluate;
    return { evaluate, strict: proc.proisstrict, needsContext: found.needsContext === true };
  }
  if (found.kind !== 'scalar') {
    const text = signatureText(scope.catalog, proc);
    return { evaluate: () => { throw notSupported(`a call of ${text} in this place`); }, strict: proc.proisstrict, needsContext: false };
  }
  const evaluate = (found.bind ? found.bind(functionCall(scope, argTypes, resultType, collation, variadicArray, columns)) : found.evaluate!) as AnyEvaluate;
  return { evaluate, strict: proc.proisstrict, needsContext: found.needsContext === true };
}

export function compileFuncExpr(expr: FuncExpr, scope: CompileScope): Scalar {
  if (expr.returnsSet) throw notSupported('a set-returning function in this place');
  const callable = bindFunction(expr.func, expr.args.map((a) => a.type), expr.type, expr.inputCollation, expr.variadic, scope, expr.columnDefinitions);
  return callScalar(callable, compileAll(expr.args, scope));
}

export function compileOpExpr(expr: OpExpr, scope: CompileScope): Scalar {
  return callScalar(bindOperator(expr.operator, expr.func, expr.args, expr.type, expr.inputCollation, scope), compileAll(expr.args, scope));
}

/** The operator as a bound function over arguments of these expressions' types. */
export function bindOperator(operator: number, func: number, args: readonly Pick<Expr, 'type'>[], resultType: number, collation: number, scope: CompileScope): Callable {
  return bindFunction(operatorFunction(scope, operator, func), args.map((a) => a.type), resultType, collation, false, scope);
}

/** a IS DISTINCT FROM b */
export function compileDistinct(expr: DistinctExpr, scope: CompileScope): Scalar {
  const equal = bindOperator(expr.operator, expr.func, expr.args, 16, expr.inputCollation, scope);
  const [left, right] = compileAll(expr.args, scope) as [Scalar, Scalar];
  const call = callWith(equal);
  return (frame) => {
    const a = left(frame);
    const b = right(frame);
    if (a === null || b === null) return a !== b;
    return call(frame, a, b) !== true;
  };
}

/** Calls with two known non-null values. */
export function callWith(callable: Callable): (frame: Frame, a: Datum, b: Datum) => Datum {
  const { evaluate } = callable;
  return callable.needsContext ? (frame, a, b) => evaluate(a, b, frame.state.context) : (_frame, a, b) => evaluate(a, b);
}

/** The closure of a call over compiled arguments. */
export function callScalar(callable: Callable, args: readonly Scalar[]): Scalar {
  const { evaluate, strict, needsContext } = callable;
  if (needsContext) return callInContext(evaluate, strict, args);
  const [first, second, third] = args as [Scalar, Scalar, Scalar];
  switch (args.length) {
    case 0:
      return () => evaluate();
    case 1:
      if (!strict) return (frame) => evaluate(first(frame));
      return (frame) => {
        const a = first(frame);
        return a === null ? null : evaluate(a);
      };
    case 2:
      if (!strict) return (frame) => evaluate(first(frame), second(frame));
      return (frame) => {
        const a = first(frame);
        const b = second(frame);
        return a === null || b === null ? null : evaluate(a, b);
      };
    case 3:
      if (!strict) return (frame) => evaluate(first(frame), second(frame), third(frame));
      return (frame) => {
        const a = first(frame);
        const b = second(frame);
        const c = third(frame);
        return a === null || b === null || c === null ? null : evaluate(a, b, c);
      };
    default:
      return (frame) => {
        const values: Datum[] = [];
        let anyNull = false;
        for (const arg of args) {
          const value = arg(frame);
          if (value === null) anyNull = true;
          values.push(value);
        }
        return strict && anyNull ? null : evaluate(...values);
      };
  }
}

function callInContext(evaluate: AnyEvaluate, strict: boolean, args: readonly Scalar[]): Scalar {
  const [first, second] = args as [Scalar, Scalar];
  switch (args.length) {
    case 0:
      return (frame) => evaluate(frame.state.context);
    case 1:
      return (frame) => {
        const a = first(frame);
        return strict && a === null ? null : evaluate(a, frame.state.context);
      };
    case 2:
      return (frame) => {
        const a = first(frame);
        const b = second(frame);
        return strict && (a === null || b === null) ? null : evaluate(a, b, frame.state.context);
      };
    default:
      return (frame) => {
        const values: unknown[] = [];
        let anyNull = false;
        for (const arg of args) {
          const value = arg(frame);
          if (value === null) anyNull = true;
          values.push(value);
        }
        if (strict && anyNull) return null;
        values.push(frame.state.context);
        return evaluate(...values);
      };
  }
}

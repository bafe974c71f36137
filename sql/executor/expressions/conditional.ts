/** CASE, COALESCE, NULLIF, GREATEST and LEAST: arguments are evaluated only as far as needed. */
import { DatabaseError } from '../../../engine/errors.js';
import type { CaseExpr, CoalesceExpr, MinMaxExpr, NullIfExpr } from '../../analyzer/query-tree.js';
import type { Datum } from '../../types/datum.js';
import { bindOperator, callWith } from './calls.js';
import { compile, compileAll } from './compile.js';
import type { Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

export function compileCase(expr: CaseExpr, scope: CompileScope): Scalar {
  const arg = expr.arg && compile(expr.arg, scope);
  const conditions = expr.whens.map((when) => compile(when.condition, scope));
  const results = expr.whens.map((when) => compile(when.result, scope));
  const otherwise: Scalar = expr.otherwise ? compile(expr.otherwise, scope) : () => null;
  const count = conditions.length;
  if (!arg) {
    return (frame) => {
      for (let i = 0; i < count; i++) if (conditions[i]!(frame) === true) return results[i]!(frame);
      return otherwise(frame);
    };
  }
  return (frame) => {
    const value = arg(frame);
    const outer = frame.caseValue;
    for (let i = 0; i < count; i++) {
      frame.caseValue = value;
      let met: Datum;
      try {
        met = conditions[i]!(frame);
      } finally {
        frame.caseValue = outer;
      }
      if (met === true) return results[i]!(frame);
    }
    return otherwise(frame);
  };
}

export function compileCoalesce(expr: CoalesceExpr, scope: CompileScope): Scalar {
  const args = compileAll(expr.args, scope);
  return (frame) => {
    for (const arg of args) {
      const value = arg(frame);
      if (value !== null) return value;
    }
    return null;
  };
}

export function compileNullIf(expr: NullIfExpr, scope: CompileScope): Scalar {
  const equal = callWith(bindOperator(expr.operator, expr.func, expr.args, 16, expr.inputCollation, scope));
  const [left, right] = compileAll(expr.args, scope) as [Scalar, Scalar];
  return (frame) => {
    const a = left(frame);
    if (a === null) return null;
    const b = right(frame);
    return b !== null && equal(frame, a, b) === true ? null : a;
  };
}

export function compileMinMax(expr: MinMaxExpr, scope: CompileScope): Scalar {
  const args = compileAll(expr.args, scope);
  const type = scope.catalog.dataType(expr.type);
  if (!type.compare) throw new DatabaseError('42883', `could not identify a comparison function for type ${type.name}`);
  const compareValues = type.compare.bind(type) as (a: Datum, b: Datum) => number;
  const sign = expr.op === 'greatest' ? 1 : -1;
  return (frame) => {
    let best: Datum = null;
    for (const arg of args) {
      const value = arg(frame);
      if (value !== null && (best === null || compareValues(value, best) * sign > 0)) best = value;
    }
    return best;
  };
}

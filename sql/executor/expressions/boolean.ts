/** AND, OR, NOT, IS NULL, IS TRUE: three-valued logic, left to right, stopping early. */
import type { BoolExpr, BooleanTest, NullTest } from '../../analyzer/query-tree.js';
import type { RecordValue } from '../../types/datum.js';
import { compile, compileAll } from './compile.js';
import type { Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

export function compileBoolExpr(expr: BoolExpr, scope: CompileScope): Scalar {
  const args = compileAll(expr.args, scope);
  if (expr.op === 'not') {
    const arg = args[0]!;
    return (frame) => {
      const value = arg(frame);
      return value === null ? null : value !== true;
    };
  }
  return expr.op === 'and' ? andOf(args) : orOf(args);
}

export function andOf(args: readonly Scalar[]): Scalar {
  if (args.length === 1) return args[0]!;
  if (args.length === 2) {
    const [left, right] = args as [Scalar, Scalar];
    return (frame) => {
      const a = left(frame);
      if (a === false) return false;
      const b = right(frame);
      if (b === false) return false;
      return a === null || b === null ? null : true;
    };
  }
  return (frame) => {
    let result: true | null = true;
    for (const arg of args) {
      const value = arg(frame);
      if (value === false) return false;
      if (value === null) result = null;
    }
    return result;
  };
}

function orOf(args: readonly Scalar[]): Scalar {
  return (frame) => {
    let result: false | null = false;
    for (const arg of args) {
      const value = arg(frame);
      if (value === true) return true;
      if (value === null) result = null;
    }
    return result;
  };
}

export function compileNullTest(expr: NullTest, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  if (expr.argIsRow) {
    // A row IS NULL when every field is, IS NOT NULL when no field is.
    const wanted = expr.negated;
    return (frame) => {
      const value = arg(frame) as RecordValue | null;
      if (value === null) return !wanted;
      return wanted ? value.values.every((field) => field !== null) : value.values.every((field) => field === null);
    };
  }
  return expr.negated ? (frame) => arg(frame) !== null : (frame) => arg(frame) === null;
}

export function compileBooleanTest(expr: BooleanTest, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  switch (expr.test) {
    case 'true': return (frame) => arg(frame) === true;
    case 'not true': return (frame) => arg(frame) !== true;
    case 'false': return (frame) => arg(frame) === false;
    case 'not false': return (frame) => arg(frame) !== false;
    case 'unknown': return (frame) => arg(frame) === null;
    case 'not unknown': return (frame) => arg(frame) !== null;
  }
}

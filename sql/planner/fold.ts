/**
 * Constant folding: immutable calls over constants become constants, boolean logic is simplified,
 * known parameters are put in. A call that raises an error raises it here, before anything runs, as in
 * PostgreSQL's eval_const_expressions; only what CASE, AND, OR or COALESCE prove unreachable is spared.
 */
import type { Const, Expr } from '../analyzer/query-tree.js';
import { mapChildren } from '../analyzer/tree-walk.js';
import { evaluateConstant } from '../executor/compile-expression.js';
import { implementationOf } from '../executor/function-lookup.js';
import type { Datum } from '../types/datum.js';
import { functionOf } from './logical.js';
import type { Planner } from './planner-state.js';

export function makeConst(value: Datum, like: { type: number; typmod: number; collation: number }): Const {
  return { kind: 'Const', value, type: like.type, typmod: like.typmod, collation: like.collation, location: -1 };
}

export const TRUE: Const = makeConst(true, { type: 16, typmod: -1, collation: 0 });
export const FALSE: Const = makeConst(false, { type: 16, typmod: -1, collation: 0 });

export function isConst(expr: Expr, value: Datum): boolean {
  return expr.kind === 'Const' && expr.value === value;
}

export function foldConstants(expr: Expr, planner: Planner): Expr {
  switch (expr.kind) {
    case 'Const': case 'Var':
      return expr;
    case 'Param':
      if (expr.paramKind === 'external' && planner.paramValues) {
        const value = planner.paramValues[expr.id - 1];
        if (value !== undefined) return makeConst(value, expr);
      }
      return expr;
    case 'SubLink':
      return expr.testExpr ? { ...expr, testExpr: foldConstants(expr.testExpr, planner) } : expr;
    case 'CaseExpr':
      return foldCase(expr, planner);
    case 'BoolExpr':
      return foldLogic(expr, planner);
    case 'CoalesceExpr': {
      const args: Expr[] = [];
      for (const arg of expr.args) {
        const folded = foldConstants(arg, planner);
        if (folded.kind === 'Const' && folded.value === null) continue;
        args.push(folded);
        if (folded.kind === 'Const') break;
      }
      if (args.length === 0) return makeConst(null, expr);
      return args.length === 1 ? args[0]! : { ...expr, args };
    }
    case 'ArrayCoerceExpr': {
      const arg = foldConstants(expr.arg, planner);
      return arg === expr.arg ? expr : { ...expr, arg };
    }
    default: {
      const mapped = mapChildren(expr, (child) => foldConstants(child, planner));
      return foldCall(mapped, planner);
    }
  }
}

function foldCall(expr: Expr, planner: Planner): Expr {
  const { catalog } = planner;
  switch (expr.kind) {
    case 'FuncExpr': case 'OpExpr': case 'DistinctExpr': case 'NullIfExpr': case 'ScalarArrayOpExpr': {
      if (expr.kind === 'FuncExpr' && expr.returnsSet) return expr;
      const proc = catalog.proc(functionOf(expr, catalog));
      if (!proc) return expr;
      const args = expr.args as readonly Expr[];
      const strictNull = (expr.kind === 'FuncExpr' || expr.kind === 'OpExpr') && proc.proisstrict && proc.prokind === 'f' && args.some((arg) => isConst(arg, null));
      if (strictNull && !proc.proretset) return makeConst(null, expr);
      if (proc.provolatile !== 'i' || !args.every((arg) => arg.kind === 'Const')) return expr;
      if (!implementationOf(proc, catalog)) return expr;
      break;
    }
    case 'NullTest':
      if (expr.arg.kind !== 'Const' || expr.argIsRow) return expr;
      return makeConst((expr.arg.value === null) !== expr.negated, expr);
    case 'BooleanTest': case 'MinMaxExpr': case 'RelabelType': case 'FieldSelect': case 'SubscriptingRef': case 'CollateExpr': {
      const children = expr.kind === 'MinMaxExpr' ? expr.args : expr.kind === 'SubscriptingRef' ? [expr.container, ...expr.upper, ...(expr.lower ?? []), expr.assignment] : [expr.arg];
      if (!children.every((child) => child === null || child.kind === 'Const')) return expr;
      break;
    }
    case 'CoerceViaIO': {
      // Output and input functions of most types are immutable; those that depend on settings are stable.
      if (expr.arg.kind !== 'Const' || !immutableText(expr.arg.type) || !immutableText(expr.type)) return expr;
      break;
    }
    case 'ArrayExpr': {
      if (!expr.elements.every((element) => element.kind === 'Const')) return expr;
      break;
    }
    default:
      return expr;
  }
  return makeConst(evaluateConstant(expr, planner.context), expr);
}

/** Types whose text form depends on nothing but the value. */
function immutableText(type: number): boolean {
  return [16, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1700, 2950, 3802].includes(type);
}

function foldCase(expr: Extract<Expr, { kind: 'CaseExpr' }>, planner: Planner): Expr {
  const arg = expr.arg && foldConstants(expr.arg, planner);
  const substitute = (condition: Expr): Expr => {
    if (!arg || arg.kind !== 'Const') return condition;
    const put = (node: Expr): Expr => (node.kind === 'CaseTestExpr' ? { ...arg, type: node.type } as Expr : node.kind === 'CaseExpr' ? node : mapChildren(node, put));
    return put(condition);
  };
  const whens: { condition: Expr; result: Expr }[] = [];
  let otherwise = expr.otherwise;
  for (const when of expr.whens) {
    const condition = foldConstants(substitute(when.condition), planner);
    if (condition.kind === 'Const') {
      if (condition.value !== true) continue;
      otherwise = when.result;
      break;
    }
    whens.push({ condition, result: foldConstants(when.result, planner) });
  }
  const last = otherwise ? foldConstants(otherwise, planner) : makeConst(null, expr);
  if (whens.length === 0) return last;
  return { ...expr, arg, whens, otherwise: last };
}

function foldLogic(expr: Extract<Expr, { kind: 'BoolExpr' }>, planner: Planner): Expr {
  if (expr.op === 'not') {
    const arg = foldConstants(expr.args[0]!, planner);
    if (arg.kind === 'Const') return arg.value === null ? arg : makeConst(arg.value !== true, expr);
    return negate(arg, planner) ?? { ...expr, args: [arg] };
  }
  const decisive = expr.op === 'or';
  const args: Expr[] = [];
  let sawNull = false;
  for (const child of expr.args) {
    const arg = foldConstants(child, planner);
    if (arg.kind === 'Const') {
      if (arg.value === decisive) return makeConst(decisive, expr);
      if (arg.value === null) sawNull = true;
      continue;
    }
    if (arg.kind === 'BoolExpr' && arg.op === expr.op) args.push(...arg.args);
    else args.push(arg);
  }
  if (sawNull) args.push(makeConst(null, expr));
  if (args.length === 0) return makeConst(!decisive, expr);
  return args.length === 1 ? args[0]! : { ...expr, args };
}

/** NOT pushed down: operators by their negators, De Morgan, null tests. */
export function negate(expr: Expr, planner: Planner): Expr | null {
  switch (expr.kind) {
    case 'OpExpr': {
      const negator = planner.catalog.operator(expr.operator)?.oprnegate ?? 0;
      const operator = negator ? planner.catalog.operator(negator) : undefined;
      return operator ? { ...expr, operator: operator.oid, func: operator.oprcode } : null;
    }
    case 'ScalarArrayOpExpr': {
      const negator = planner.catalog.operator(expr.operator)?.oprnegate ?? 0;
      const operator = negator ? planner.catalog.operator(negator) : undefined;
      return operator ? { ...expr, operator: operator.oid, func: operator.oprcode, useOr: !expr.useOr } : null;
    }
    case 'BoolExpr': {
      if (expr.op === 'not') return expr.args[0]!;
      const args = expr.args.map((arg) => negate(arg, planner) ?? ({ ...expr, op: 'not', args: [arg] } as Expr));
      return { ...expr, op: expr.op === 'and' ? 'or' : 'and', args };
    }
    case 'NullTest':
      return expr.argIsRow ? null : { ...expr, negated: !expr.negated };
    case 'BooleanTest': {
      const opposite = { true: 'not true', 'not true': 'true', false: 'not false', 'not false': 'false', unknown: 'not unknown', 'not unknown': 'unknown' } as const;
      return { ...expr, test: opposite[expr.test] };
    }
    default:
      return null;
  }
}

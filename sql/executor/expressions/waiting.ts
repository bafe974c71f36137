/**
 * The awaiting evaluator: expressions that contain a `waiting` function (advisory locks, pg_sleep)
 * or a sub-plan that may suspend are run row by row as generators, which yield what they wait for
 * and keep the order of CASE, AND and OR. Parts without waiting run as ordinary closures.
 */
import { Pending } from '../../../engine/pending.js';
import type { Expr } from '../../analyzer/query-tree.js';
import { childrenOf, mapChildren } from '../../analyzer/tree-walk.js';
import { implementationOf } from '../function-lookup.js';
import type { Datum } from '../../types/datum.js';
import { bindFunction } from './calls.js';
import { compile } from './compile.js';
import type { Frame, Scalar, WaitingScalar } from './frame.js';
import { operatorFunction, type CompileScope } from './scope.js';

/** True when evaluating it may have to wait: then it must be compiled by compileWaiting. */
export function mayWait(expr: Expr, scope: CompileScope): boolean {
  if (scope.layout.resolve(expr)) return false;
  if (expr.kind === 'FuncExpr') {
    const proc = scope.catalog.proc(expr.func);
    if (proc && implementationOf(proc, scope.catalog)?.kind === 'waiting') return true;
  }
  if (expr.kind === 'SubLink' && scope.subLinks?.mayWait(expr)) return true;
  return childrenOf(expr).some((child) => mayWait(child, scope));
}

export function compileWaiting(expr: Expr, scope: CompileScope): WaitingScalar {
  if (!mayWait(expr, scope)) {
    const scalar = compile(expr, scope);
    return function* (frame) {
      return scalar(frame);
    };
  }
  switch (expr.kind) {
    case 'BoolExpr':
      if (expr.op !== 'not') return waitingLogic(expr.args.map((arg) => compileWaiting(arg, scope)), expr.op === 'or');
      break;
    case 'CaseExpr':
      return waitingCase(expr, scope);
    case 'CoalesceExpr': {
      const args = expr.args.map((arg) => compileWaiting(arg, scope));
      return function* (frame) {
        for (const arg of args) {
          const value = yield* arg(frame);
          if (value !== null) return value;
        }
        return null;
      };
    }
    case 'SubLink':
      return scope.subLinks!.waiting(expr, scope);
    case 'FuncExpr': {
      const proc = scope.catalog.proc(expr.func);
      if (proc && implementationOf(proc, scope.catalog)?.kind === 'waiting') return waitingCall(expr, scope);
      break;
    }
    default:
      break;
  }
  return waitingChildren(expr, scope);
}

function waitingLogic(args: readonly WaitingScalar[], or: boolean): WaitingScalar {
  return function* (frame) {
    let result: Datum = !or;
    for (const arg of args) {
      const value = yield* arg(frame);
      if (value === or) return or;
      if (value === null) result = null;
    }
    return result;
  };
}

function waitingCase(expr: Extract<Expr, { kind: 'CaseExpr' }>, scope: CompileScope): WaitingScalar {
  const arg = expr.arg && compileWaiting(expr.arg, scope);
  const conditions = expr.whens.map((when) => compileWaiting(when.condition, scope));
  const results = expr.whens.map((when) => compileWaiting(when.result, scope));
  const otherwise = expr.otherwise && compileWaiting(expr.otherwise, scope);
  return function* (frame) {
    const value = arg ? yield* arg(frame) : null;
    for (let i = 0; i < conditions.length; i++) {
      const outer = frame.caseValue;
      frame.caseValue = arg ? value : outer;
      let met: Datum;
      try {
        met = yield* conditions[i]!(frame);
      } finally {
        frame.caseValue = outer;
      }
      if (met === true) return yield* results[i]!(frame);
    }
    return otherwise ? yield* otherwise(frame) : null;
  };
}

function waitingCall(expr: Extract<Expr, { kind: 'FuncExpr' | 'OpExpr' }>, scope: CompileScope): WaitingScalar {
  const func = expr.kind === 'FuncExpr' ? expr.func : operatorFunction(scope, expr.operator, expr.func);
  const callable = bindFunction(func, expr.args.map((a) => a.type), expr.type, expr.inputCollation, false, scope);
  const args = expr.args.map((arg) => compileWaiting(arg, scope));
  const evaluate = callable.evaluate as (...args: unknown[]) => Datum | Pending | Promise<Datum>;
  return function* (frame) {
    const values: unknown[] = [];
    for (const arg of args) values.push(yield* arg(frame));
    if (callable.strict && values.includes(null)) return null;
    if (callable.needsContext) values.push(frame.state.context);
    for (;;) {
      const answer = evaluate(...values);
      if (answer instanceof Pending) yield answer;
      else if (answer instanceof Promise) return yield* settled(answer);
      else return answer;
    }
  };
}

/** Waits for a promise by yielding until it is settled. */
export function* settled<T>(promise: Promise<T>): Generator<Pending, T> {
  let outcome: { value: T } | { error: unknown } | null = null;
  const until = promise.then(
    (value) => void (outcome = { value }),
    (error: unknown) => void (outcome = { error }),
  );
  while (outcome === null) yield new Pending(until, 'IPC', 'ExpressionWait');
  const done = outcome as { value: T } | { error: unknown };
  if ('error' in done) throw done.error;
  return done.value;
}

/** Any other node: its waiting children first, in order, then the node itself over their results. */
function waitingChildren(expr: Expr, scope: CompileScope): WaitingScalar {
  const parts: WaitingScalar[] = [];
  const slots = new Map<Expr, Scalar>();
  const rest = mapChildren(expr, (child) => {
    if (!mayWait(child, scope)) return child;
    const index = parts.length;
    parts.push(compileWaiting(child, scope));
    const copy = { ...child };
    slots.set(copy, (frame: Frame) => frame.temporaries[index]!);
    return copy;
  });
  const scalar = compile(rest, { ...scope, layout: { resolve: (node) => slots.get(node) ?? scope.layout.resolve(node) } });
  return function* (frame) {
    const values: Datum[] = [];
    for (const part of parts) values.push(yield* part(frame));
    const outer = frame.temporaries;
    frame.temporaries = values;
    try {
      return scalar(frame);
    } finally {
      frame.temporaries = outer;
    }
  };
}

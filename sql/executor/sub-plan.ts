/**
 * Sublinks at run time. Uncorrelated ones run once an execution and keep their result (InitPlans);
 * correlated ones set their parameters and run for each row; `x = ANY (subquery)` over many
 * uncorrelated rows looks up a hash table.
 */
import type { Pending } from '../../engine/pending.js';
import { DatabaseError } from '../../engine/errors.js';
import type { Expr, SubLink } from '../analyzer/query-tree.js';
import { contains } from '../analyzer/tree-walk.js';
import type { SubPlan, PlanNode } from '../planner/plan-node.js';
import { planChildren } from '../planner/plan-walk.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { PlanCompiler } from './compile-plan.js';
import { hashKeyOf, nestArrays } from './expressions/arrays.js';
import { compile } from './expressions/compile.js';
import { Frame, type Scalar, type WaitingScalar } from './expressions/frame.js';
import type { CompileScope, SubLinkRunner } from './expressions/scope.js';
import { pull } from './operators/operator.js';
import { parameterCache } from './parameter-cache.js';
import { readRow, readVector, rowAt } from './vectors.js';

/** Above this estimated cost a sub-plan runs in the awaiting evaluator, so that it can be interrupted; those that run for each row always do. */
const SUSPEND_ABOVE_COST = 1000;

/** Runs with the frame's values and yields waits; the uninterruptible form drains it in place. */
type Evaluator = (frame: Frame) => Generator<Pending, Datum>;

export function makeSubLinkRunner(compiler: PlanCompiler): SubLinkRunner {
  const planOf = (link: SubLink): SubPlan => {
    const plan = compiler.plan.subPlans.get(link.id);
    if (!plan) throw new Error(`sublink ${link.id} has no plan`);
    return plan;
  };
  const evaluator = (link: SubLink, scope: CompileScope): Evaluator => {
    const subPlan = planOf(link);
    return cached(subPlan, bindParams(subPlan, scope, evaluatorOf(subPlan, link, scope, compiler)), compiler);
  };
  return {
    scalar(link, scope): Scalar {
      const run = evaluator(link, scope);
      return (frame) => frame.state.withoutYield(() => {
        const step = run(frame).next();
        if (!step.done) throw new DatabaseError('0A000', 'a subquery that must wait is not supported in this expression');
        return step.value;
      });
    },
    waiting: (link, scope): WaitingScalar => evaluator(link, scope),
    mayWait(link) {
      const { plan, params } = planOf(link);
      return params.length > 0 || plan.cost.total > SUSPEND_ABOVE_COST || locksRows(plan);
    },
  };
}

function locksRows(node: PlanNode): boolean {
  return node.kind === 'LockRows' || node.kind === 'ModifyTable' || planChildren(node).some(locksRows);
}

/**
 * Without parameters of its own the result is computed at the first need and kept, as long as the
 * parameters of sub-plans around it, which its plan may read, stand.
 */
function cached(subPlan: SubPlan, run: Evaluator, compiler: PlanCompiler): Evaluator {
  if (subPlan.params.length > 0 || subPlan.testExpr !== null) return run;
  const cache = parameterCache<{ value: Datum }>(subPlan.plan, compiler);
  return function* (frame) {
    const known = cache.get(frame.state);
    if (known) return known.value;
    const value = yield* run(frame);
    cache.set(frame.state, { value });
    return value;
  };
}

function bindParams(subPlan: SubPlan, scope: CompileScope, run: Evaluator): Evaluator {
  if (subPlan.params.length === 0) return run;
  const bindings = subPlan.params.map(({ id, expr }) => ({ id, value: compile(expr, scope) }));
  return function* (frame) {
    const { exec } = frame.state;
    const saved = bindings.map(({ id }) => exec[id]);
    for (const { id, value } of bindings) exec[id] = value(frame);
    try {
      return yield* run(frame);
    } finally {
      bindings.forEach(({ id }, i) => (exec[id] = saved[i]!));
    }
  };
}

function evaluatorOf(subPlan: SubPlan, link: SubLink, scope: CompileScope, compiler: PlanCompiler): Evaluator {
  const { plan } = subPlan;
  const open = compiler.open(plan);
  switch (subPlan.kind) {
    case 'exists':
      return function* (frame) {
        const operator = open(frame.state);
        try {
          return (yield* pull(operator)) !== null;
        } finally {
          operator.close();
        }
      };
    case 'expr':
      return function* (frame) {
        const row = yield* singleRow(open(frame.state));
        return row === null ? null : row[0]!;
      };
    case 'multiexpr':
      // Its columns are read by SubLinkParams as a record.
      return function* (frame) {
        const row = yield* singleRow(open(frame.state));
        return row === null ? null : { values: row };
      };
    case 'array':
      return arrayEvaluator(link, plan, compiler, open);
    case 'rowcompare': {
      const test = testScalar(subPlan, scope);
      return function* (frame) {
        const row = yield* singleRow(open(frame.state));
        return row === null ? null : test(frame, row);
      };
    }
    case 'any': case 'all':
      return subPlan.hashed ? hashedAny(subPlan, scope, open, compiler) : anyOrAll(subPlan, scope, open, compiler);
  }
}

function* singleRow(operator: ReturnType<ReturnType<PlanCompiler['open']>>): Generator<Pending, Datum[] | null> {
  try {
    let row: Datum[] | null = null;
    for (;;) {
      const batch = yield* pull(operator);
      if (batch === null) return row;
      if (row !== null || batch.length > 1) throw new DatabaseError('21000', 'more than one row returned by a subquery used as an expression');
      row = readRow(batch, rowAt(batch, 0));
    }
  } finally {
    operator.close();
  }
}

function arrayEvaluator(link: SubLink, plan: PlanNode, compiler: PlanCompiler, open: ReturnType<PlanCompiler['open']>): Evaluator {
  const elementType = compiler.catalog.type(link.type)?.typelem ?? plan.output[0]!.type;
  const ofArrays = plan.output[0]!.type === link.type;
  return function* (frame) {
    const operator = open(frame.state);
    const elements: Datum[] = [];
    try {
      for (;;) {
        const batch = yield* pull(operator);
        if (batch === null) break;
        for (let i = 0; i < batch.length; i++) elements.push(readVector(batch.columns[0]!, rowAt(batch, i)));
      }
    } finally {
      operator.close();
    }
    if (ofArrays) return nestArrays(elements as (ArrayValue | null)[], elementType);
    const n = elements.length;
    return { elementType, dimensions: n === 0 ? [] : [n], lowerBounds: n === 0 ? [] : [1], elements };
  };
}

/** The test expression with the subquery's columns read from a row. */
function testScalar(subPlan: SubPlan, scope: CompileScope): (frame: Frame, row: readonly Datum[]) => Datum {
  const test = compile(subPlan.testExpr!, withColumns(scope, (column) => (frame) => frame.temporaries[column - 1]!));
  return (frame, row) => {
    const outer = frame.temporaries;
    frame.temporaries = row as Datum[];
    try {
      return test(frame);
    } finally {
      frame.temporaries = outer;
    }
  };
}

function withColumns(scope: CompileScope, column: (n: number) => Scalar): CompileScope {
  return {
    ...scope,
    layout: { resolve: (expr: Expr) => (expr.kind === 'SubLinkParam' ? column(expr.column) : scope.layout.resolve(expr)) },
  };
}

function anyOrAll(subPlan: SubPlan, scope: CompileScope, open: ReturnType<PlanCompiler['open']>, compiler: PlanCompiler): Evaluator {
  const test = testScalar(subPlan, scope);
  const isAny = subPlan.kind === 'any';
  // An uncorrelated subquery's rows are fetched once and tested again for each outer row.
  const reusable = subPlan.params.length === 0;
  const cache = parameterCache<Datum[][]>(subPlan.plan, compiler);
  return function* (frame) {
    const { state } = frame;
    let rows = reusable ? cache.get(state) : undefined;
    if (!rows) {
      rows = yield* allRows(open(state));
      if (reusable) cache.set(state, rows);
    }
    let result: Datum = !isAny;
    for (const row of rows) {
      const met = test(frame, row);
      if (met === null) result = null;
      else if ((met === true) === isAny) return isAny;
    }
    return result;
  };
}

export function* allRows(operator: ReturnType<ReturnType<PlanCompiler['open']>>): Generator<Pending, Datum[][]> {
  const rows: Datum[][] = [];
  try {
    for (;;) {
      const batch = yield* pull(operator);
      if (batch === null) return rows;
      for (let i = 0; i < batch.length; i++) rows.push(readRow(batch, rowAt(batch, i)));
    }
  } finally {
    operator.close();
  }
}

interface HashedRows { keys: Set<unknown>; withNulls: Datum[][]; empty: boolean }

/** `(a, b) = ANY (subquery)`: NULLs on either side make a miss unknown where the rest could match. */
function hashedAny(subPlan: SubPlan, scope: CompileScope, open: ReturnType<PlanCompiler['open']>, compiler: PlanCompiler): Evaluator {
  const { left } = subPlan.hashed!;
  const values = left.map((expr) => compile(expr, scope));
  const keyOf = left.map((_, i) => hashKeyOf(compiler.catalog.dataType(subPlan.plan.output[i]!.type)));
  const joined = (row: readonly Datum[]): unknown => (row.length === 1 ? keyOf[0]!(row[0]!) : row.map((value, i) => `${typeof keyOf[i]!(value)}${String(keyOf[i]!(value)).length}:${String(keyOf[i]!(value))}`).join(''));
  const cache = parameterCache<HashedRows>(subPlan.plan, compiler);
  return function* (frame) {
    const { state } = frame;
    let table = cache.get(state);
    if (!table) {
      table = { keys: new Set(), withNulls: [], empty: true };
      for (const row of yield* allRows(open(state))) {
        table.empty = false;
        if (row.includes(null)) table.withNulls.push(row);
        else table.keys.add(joined(row));
      }
      cache.set(state, table);
    }
    if (table.empty) return false;
    const row = values.map((value) => value(frame));
    if (!row.includes(null)) {
      if (table.keys.has(joined(row))) return true;
      return table.withNulls.some((other) => couldMatch(row, other, keyOf)) ? null : false;
    }
    if (row.length === 1) return null;
    // Part of the row is NULL: unknown unless no row could match the rest. Rare; answered as unknown only if so.
    if (row.every((value) => value === null)) return null;
    return table.withNulls.some((other) => couldMatch(row, other, keyOf)) || partlyMatches(table.keys, row, keyOf) ? null : false;
  };
}

function couldMatch(row: readonly Datum[], other: readonly Datum[], keyOf: readonly ((value: Datum) => unknown)[]): boolean {
  return row.every((value, i) => value === null || other[i] === null || keyOf[i]!(value) === keyOf[i]!(other[i]!));
}

/** With several columns and a NULL among the left values, the joined keys are searched for the others. */
function partlyMatches(keys: ReadonlySet<unknown>, row: readonly Datum[], keyOf: readonly ((value: Datum) => unknown)[]): boolean {
  const parts = row.map((value, i) => (value === null ? null : `${typeof keyOf[i]!(value)}${String(keyOf[i]!(value)).length}:${String(keyOf[i]!(value))}`));
  for (const key of keys) {
    if (parts.every((part) => part === null || (key as string).includes(part))) return true;
  }
  return false;
}

/** True when the expression's value cannot come from the plan's rows alone. */
export function hasSubLink(expr: Expr): boolean {
  return contains(expr, (node) => node.kind === 'SubLink');
}

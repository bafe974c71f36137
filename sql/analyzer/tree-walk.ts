/** Walking and rewriting expressions and queries. After expression_tree_walker and _mutator (nodeFuncs.c). */
import type { Expr, JoinTreeNode, Query, TargetEntry } from './query-tree.js';

/** Direct sub-expressions of an expression; a SubLink's test expression but not its query. */
export function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case 'Const': case 'Param': case 'Var': case 'CaseTestExpr': case 'CoerceToDomainValue': case 'SQLValueFunction':
    case 'SubLinkParam': case 'SetToDefault': case 'CurrentOfExpr': case 'NextValueExpr':
      return [];
    case 'FuncExpr': case 'OpExpr': case 'DistinctExpr': case 'NullIfExpr': case 'ScalarArrayOpExpr': case 'BoolExpr':
    case 'CoalesceExpr': case 'MinMaxExpr': case 'RowExpr': case 'GroupingFunc':
      return expr.args;
    case 'NullTest': case 'BooleanTest': case 'RelabelType': case 'CoerceViaIO': case 'CoerceToDomain': case 'CollateExpr':
    case 'ConvertRowtypeExpr': case 'FieldSelect':
      return [expr.arg];
    case 'ArrayCoerceExpr':
      return [expr.arg, expr.elementExpr];
    case 'CaseExpr':
      return [...(expr.arg ? [expr.arg] : []), ...expr.whens.flatMap((w) => [w.condition, w.result]), ...(expr.otherwise ? [expr.otherwise] : [])];
    case 'ArrayExpr':
      return expr.elements;
    case 'RowCompareExpr':
      return [...expr.left, ...expr.right];
    case 'FieldStore':
      return [expr.arg, ...expr.newValues];
    case 'SubscriptingRef':
      return [expr.container, ...present(expr.upper), ...present(expr.lower ?? []), ...(expr.assignment ? [expr.assignment] : [])];
    case 'SubLink':
      return expr.testExpr ? [expr.testExpr] : [];
    case 'Aggref':
      return [...expr.directArgs, ...expr.args.map((t) => t.expr), ...(expr.filter ? [expr.filter] : [])];
    case 'WindowFunc':
      return [...expr.args, ...(expr.filter ? [expr.filter] : [])];
  }
}

function present(exprs: readonly (Expr | null)[]): Expr[] {
  return exprs.filter((e): e is Expr => e !== null);
}

/** A copy with each direct sub-expression mapped; the same object when nothing changed. */
export function mapChildren(expr: Expr, map: (child: Expr) => Expr): Expr {
  const list = <E extends Expr>(exprs: readonly E[]): readonly E[] => {
    let changed = false;
    const mapped = exprs.map((child) => {
      const next = map(child) as E;
      if (next !== child) changed = true;
      return next;
    });
    return changed ? mapped : exprs;
  };
  const targets = (entries: readonly TargetEntry[]): readonly TargetEntry[] => {
    let changed = false;
    const mapped = entries.map((entry) => {
      const next = map(entry.expr);
      if (next === entry.expr) return entry;
      changed = true;
      return { ...entry, expr: next };
    });
    return changed ? mapped : entries;
  };
  const optional = (exprs: readonly (Expr | null)[]): readonly (Expr | null)[] => {
    let changed = false;
    const mapped = exprs.map((child) => {
      const next = child === null ? null : map(child);
      if (next !== child) changed = true;
      return next;
    });
    return changed ? mapped : exprs;
  };
  switch (expr.kind) {
    case 'Const': case 'Param': case 'Var': case 'CaseTestExpr': case 'CoerceToDomainValue': case 'SQLValueFunction':
    case 'SubLinkParam': case 'SetToDefault': case 'CurrentOfExpr': case 'NextValueExpr':
      return expr;
    case 'FuncExpr': case 'OpExpr': case 'BoolExpr': case 'CoalesceExpr': case 'MinMaxExpr': case 'RowExpr': case 'GroupingFunc': {
      const args = list(expr.args);
      return args === expr.args ? expr : ({ ...expr, args } as Expr);
    }
    case 'DistinctExpr': case 'NullIfExpr': case 'ScalarArrayOpExpr': {
      const args = list(expr.args as readonly Expr[]);
      return args === (expr.args as readonly Expr[]) ? expr : ({ ...expr, args: [args[0], args[1]] } as Expr);
    }
    case 'NullTest': case 'BooleanTest': case 'RelabelType': case 'CoerceViaIO': case 'CoerceToDomain': case 'CollateExpr':
    case 'ConvertRowtypeExpr': case 'FieldSelect': {
      const arg = map(expr.arg);
      return arg === expr.arg ? expr : ({ ...expr, arg } as Expr);
    }
    case 'ArrayCoerceExpr': {
      const arg = map(expr.arg);
      const elementExpr = map(expr.elementExpr);
      return arg === expr.arg && elementExpr === expr.elementExpr ? expr : { ...expr, arg, elementExpr };
    }
    case 'CaseExpr': {
      const arg = expr.arg && map(expr.arg);
      const otherwise = expr.otherwise && map(expr.otherwise);
      let changed = arg !== expr.arg || otherwise !== expr.otherwise;
      const whens = expr.whens.map((when) => {
        const condition = map(when.condition);
        const result = map(when.result);
        if (condition === when.condition && result === when.result) return when;
        changed = true;
        return { condition, result };
      });
      return changed ? { ...expr, arg, otherwise, whens } : expr;
    }
    case 'ArrayExpr': {
      const elements = list(expr.elements);
      return elements === expr.elements ? expr : { ...expr, elements };
    }
    case 'RowCompareExpr': {
      const left = list(expr.left);
      const right = list(expr.right);
      return left === expr.left && right === expr.right ? expr : { ...expr, left, right };
    }
    case 'FieldStore': {
      const arg = map(expr.arg);
      const newValues = list(expr.newValues);
      return arg === expr.arg && newValues === expr.newValues ? expr : { ...expr, arg, newValues };
    }
    case 'SubscriptingRef': {
      const container = map(expr.container);
      const upper = optional(expr.upper);
      const lower = expr.lower && optional(expr.lower);
      const assignment = expr.assignment && map(expr.assignment);
      const same = container === expr.container && upper === expr.upper && lower === expr.lower && assignment === expr.assignment;
      return same ? expr : { ...expr, container, upper, lower, assignment };
    }
    case 'SubLink': {
      const testExpr = expr.testExpr && map(expr.testExpr);
      return testExpr === expr.testExpr ? expr : { ...expr, testExpr };
    }
    case 'Aggref': {
      const directArgs = list(expr.directArgs);
      const args = targets(expr.args);
      const filter = expr.filter && map(expr.filter);
      return directArgs === expr.directArgs && args === expr.args && filter === expr.filter ? expr : { ...expr, directArgs, args, filter };
    }
    case 'WindowFunc': {
      const args = list(expr.args);
      const filter = expr.filter && map(expr.filter);
      return args === expr.args && filter === expr.filter ? expr : { ...expr, args, filter };
    }
  }
}

/** Depth first; `visit` answering true stops below that node. */
export function walk(expr: Expr, visit: (expr: Expr) => boolean | void): void {
  if (visit(expr)) return;
  for (const child of childrenOf(expr)) walk(child, visit);
}

/** True when some node of the expression satisfies the predicate. */
export function contains(expr: Expr, predicate: (expr: Expr) => boolean): boolean {
  return predicate(expr) || childrenOf(expr).some((child) => contains(child, predicate));
}

/** Every expression that stands directly in a query, not below its subqueries. */
export function expressionsOf(query: Query): Expr[] {
  const out: Expr[] = [];
  const push = (expr: Expr | null | undefined): void => void (expr && out.push(expr));
  query.targetList.forEach((t) => push(t.expr));
  query.returning.forEach((t) => push(t.expr));
  const joins = (node: JoinTreeNode): void => {
    if (node.kind === 'joinExpr') {
      joins(node.left);
      joins(node.right);
      push(node.quals);
    } else if (node.kind === 'fromExpr') {
      node.from.forEach(joins);
      push(node.quals);
    }
  };
  joins(query.jointree);
  push(query.having);
  push(query.limitOffset);
  push(query.limitCount);
  query.windowClause.forEach((w) => {
    push(w.frame.startOffset);
    push(w.frame.endOffset);
  });
  for (const entry of query.rangeTable) {
    if (entry.kind === 'function') entry.functions.forEach(push);
    else if (entry.kind === 'values') entry.rows.forEach((row) => row.forEach(push));
    else if (entry.kind === 'relation' && entry.sample) {
      entry.sample.args.forEach(push);
      push(entry.sample.repeatable);
    }
  }
  if (query.onConflict) {
    query.onConflict.set.forEach((t) => push(t.expr));
    push(query.onConflict.where);
  }
  query.mergeActions.forEach((action) => {
    push(action.condition);
    action.targetList.forEach((t) => push(t.expr));
  });
  return out;
}

/** Subqueries that stand directly in a query: range table, WITH, sublinks. */
export function subqueriesOf(query: Query): Query[] {
  const out: Query[] = [];
  for (const entry of query.rangeTable) if (entry.kind === 'subquery') out.push(entry.query);
  for (const cte of query.ctes) out.push(cte.query);
  for (const expr of expressionsOf(query)) walk(expr, (node) => void (node.kind === 'SubLink' && out.push(node.subquery)));
  return out;
}

/** Calls `visit` for every expression node of the query and of all queries in it; `depth` counts query levels down. */
export function walkQuery(query: Query, visit: (expr: Expr, depth: number) => void, depth = 0): void {
  for (const expr of expressionsOf(query)) walk(expr, (node) => visit(node, depth));
  for (const subquery of subqueriesOf(query)) walkQuery(subquery, visit, depth + 1);
}

/** Structural equality, ignoring source locations. */
export function equalExpr(left: Expr, right: Expr): boolean {
  return left === right || equalValue(left, right);
}

function equalValue(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left)) return Array.isArray(right) && left.length === right.length && left.every((item, i) => equalValue(item, right[i]));
  if (left instanceof Uint8Array) return right instanceof Uint8Array && Buffer.compare(left, right) === 0;
  const leftKeys = Object.keys(left);
  const rightKeys = Object.keys(right);
  if (leftKeys.length !== rightKeys.length) return false;
  return leftKeys.every((key) => key === 'location' || (key in right && equalValue((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key])));
}

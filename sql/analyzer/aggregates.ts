/**
 * Rules about aggregates: at which query level one belongs, where it may stand, and which columns
 * may be used ungrouped. After parse_agg.c.
 */
import type { Node } from '@pgsql/types';
import type { Oid } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { transformExpression } from './expression.js';
import { base } from './make-nodes.js';
import type { ExprKind, ParseState } from './parse-state.js';
import type { Expr, GroupingFunc, Query, RangeTableEntry, TargetEntry, Var } from './query-tree.js';
import { childrenOf, contains, equalExpr, expressionsOf, mapChildren, subqueriesOf, walk } from './tree-walk.js';

/** Where aggregates may not stand, as error messages call it. */
const FORBIDDEN: Readonly<Partial<Record<ExprKind, string>>> = {
  where: 'WHERE', 'join on': 'JOIN conditions', 'join using': 'JOIN conditions', filter: 'FILTER', 'group by': 'GROUP BY', limit: 'LIMIT', offset: 'OFFSET',
  returning: 'RETURNING', values: 'VALUES', 'values single': 'VALUES', 'update source': 'UPDATE', 'update target': 'UPDATE', 'check constraint': 'check constraints', 'domain check': 'check constraints',
  'column default': 'DEFAULT expressions', 'function default': 'DEFAULT expressions', 'index expression': 'index expressions', 'statistics expression': 'statistics expressions', 'index predicate': 'index predicates',
  'alter column transform': 'transform expressions', 'execute parameter': 'EXECUTE parameters', 'generated column': 'column generation expressions', 'call argument': 'CALL arguments',
  'from function': 'functions in FROM', 'window frame range': 'window RANGE', 'window frame rows': 'window ROWS', 'window frame groups': 'window GROUPS', 'merge when': 'MERGE WHEN conditions', 'copy where': 'COPY FROM WHERE conditions',
};

/** Levels up of the query an aggregate belongs to, judged by its arguments (check_agg_arguments). */
export function checkAggregateArguments(state: ParseState, args: readonly Expr[], location: number): number {
  let minVar = -1;
  let minAgg = -1;
  const lower = (current: number, level: number): number => (level < 0 ? current : current < 0 ? level : Math.min(current, level));
  const visitQuery = (query: Query, depth: number): void => {
    for (const expr of expressionsOf(query)) visit(expr, depth);
    for (const subquery of subqueriesOf(query)) visitQuery(subquery, depth + 1);
  };
  const visit = (expr: Expr, depth: number): void => {
    walk(expr, (node) => {
      if (node.kind === 'Var') minVar = lower(minVar, node.levelsUp - depth);
      else if (node.kind === 'Aggref') {
        const level = node.levelsUp - depth;
        minAgg = lower(minAgg, level);
        return level === 0 && depth === 0;
      } else if (node.kind === 'GroupingFunc') minAgg = lower(minAgg, node.levelsUp - depth);
      else if (node.kind === 'WindowFunc' && depth === 0) throw state.error('42803', 'aggregate function calls cannot contain window function calls', node.location);
      else if (node.kind === 'FuncExpr' && node.returnsSet && depth === 0) {
        throw state.error('0A000', 'aggregate function calls cannot contain set-returning function calls', node.location, { hint: 'You might be able to move the set-returning function into a LATERAL FROM item.' });
      } else if (node.kind === 'SubLink') visitQuery(node.subquery, depth + 1);
      return false;
    });
  };
  args.forEach((arg) => visit(arg, 0));
  const level = minVar < 0 ? (minAgg < 0 ? 0 : minAgg) : minAgg < 0 ? minVar : Math.min(minVar, minAgg);
  if (minAgg >= 0 && minAgg === level) throw state.error('42803', 'aggregate function calls cannot be nested', location);
  return level;
}

/** Marks the query level that computes the aggregate and checks that it may stand where it does. */
export function noteAggregate(state: ParseState, levelsUp: number, location: number, what = 'aggregate functions'): void {
  let level = state;
  for (let i = 0; i < levelsUp && level.parent; i++) level = level.parent;
  const forbidden = FORBIDDEN[level.exprKind];
  if (forbidden) throw state.error('42803', `${what} are not allowed in ${forbidden}`, location);
  level.hasAggs = true;
  level.aggregates.push({ location });
}

export function groupingFunction(state: ParseState, nodes: readonly Node[], location: number): Expr {
  if (nodes.length > 31) throw state.error('54023', 'GROUPING must have fewer than 32 arguments', location);
  const args = nodes.map((node) => transformExpression(state, node));
  const levelsUp = checkAggregateArguments(state, args, location);
  noteAggregate(state, levelsUp, location, 'grouping operations');
  return { kind: 'GroupingFunc', args, refs: [], levelsUp, ...base(T.int4, -1, 0, location) };
}

export interface GroupedQuery {
  readonly targetList: readonly TargetEntry[];
  readonly having: Expr | null;
}

/**
 * parseCheckAggregates: every ungrouped column outside aggregates is an error, unless the grouping
 * columns hold a primary key of its table. Resolves GROUPING's refs.
 */
export function checkGrouping(state: ParseState, targetList: readonly TargetEntry[], having: Expr | null, groupRefs: readonly number[], groupingSets: readonly (readonly number[])[] | null): GroupedQuery {
  const groupTargets = groupRefs.map((ref) => targetList.find((t) => t.sortGroupRef === ref)!);
  const groupExprs = groupTargets.map((t) => t.expr);
  // only columns that are in every grouping set may prove functional dependency
  const common = groupingSets === null ? groupTargets : groupTargets.filter((t) => groupingSets.every((set) => set.includes(t.sortGroupRef)));
  const hasNonVars = groupExprs.some((expr) => expr.kind !== 'Var');
  const dependent = new Set<number>();

  const check = (expr: Expr, depth: number, inAggregateArgs = false): Expr => {
    if (expr.kind === 'Const' || expr.kind === 'Param') return expr;
    if (expr.kind === 'Aggref' && expr.levelsUp === depth) {
      // direct arguments of ordered-set aggregates are evaluated outside
      if (expr.directArgs.length > 0) return { ...expr, directArgs: expr.directArgs.map((arg) => check(arg, depth)) };
      return expr;
    }
    if (expr.kind === 'Aggref' && expr.levelsUp > depth) return expr;
    if (expr.kind === 'GroupingFunc') {
      if (expr.levelsUp !== depth) return expr;
      return resolveGrouping(state, expr, depth, groupTargets);
    }
    if (depth === 0 || hasNonVars) {
      const shifted = groupExprs.some((group) => equalExpr(depth === 0 ? group : shift(group, depth), expr));
      if (shifted) return expr;
    }
    if (expr.kind === 'Var') {
      if (expr.levelsUp !== depth) return expr;
      if (groupExprs.some((group) => group.kind === 'Var' && group.varno === expr.varno && group.attno === expr.attno)) return expr;
      const entry = state.rangeTable[expr.varno - 1];
      if (dependent.has(expr.varno)) return expr;
      if (entry.kind === 'relation' && hasPrimaryKey(state, entry.relation, expr.varno, common)) {
        dependent.add(expr.varno);
        return expr;
      }
      if (expr.attno === 0 && entry.columns.every((_, i) => groupExprs.some((g) => g.kind === 'Var' && g.varno === expr.varno && g.attno === i + 1))) return expr;
      throw ungrouped(state, expr, entry, depth);
    }
    if (expr.kind === 'SubLink') {
      checkSubquery(expr.subquery, depth + 1);
      return mapChildren(expr, (child) => check(child, depth, inAggregateArgs));
    }
    return mapChildren(expr, (child) => check(child, depth, inAggregateArgs));
  };
  const checkSubquery = (query: Query, depth: number): void => {
    for (const expr of expressionsOf(query)) check(expr, depth);
    for (const subquery of subqueriesOf(query)) if (!isInSubLink(query, subquery)) checkSubquery(subquery, depth + 1);
  };
  return {
    targetList: targetList.map((target) => {
      const expr = check(target.expr, 0);
      return expr === target.expr ? target : { ...target, expr };
    }),
    having: having && check(having, 0),
  };
}

/** SubLinks are reached through the expressions already. */
function isInSubLink(query: Query, subquery: Query): boolean {
  return expressionsOf(query).some((expr) => contains(expr, (node) => node.kind === 'SubLink' && node.subquery === subquery));
}

function shift(expr: Expr, levels: number): Expr {
  if (expr.kind === 'Var') return { ...expr, levelsUp: expr.levelsUp + levels };
  return mapChildren(expr, (child) => shift(child, levels));
}

function resolveGrouping(state: ParseState, expr: GroupingFunc, depth: number, groupTargets: readonly TargetEntry[]): GroupingFunc {
  const refs = expr.args.map((arg) => {
    const target = groupTargets.find((t) => equalExpr(depth === 0 ? t.expr : shift(t.expr, depth), arg));
    if (!target) throw state.error('42803', 'arguments to GROUPING must be grouping expressions of the associated query level', arg.location);
    return target.sortGroupRef;
  });
  return { ...expr, refs };
}

function hasPrimaryKey(state: ParseState, relationOid: Oid, varno: number, groupTargets: readonly TargetEntry[]): boolean {
  const relation = state.catalog.relation(relationOid);
  const key = relation?.constraints.find((constraint) => constraint.contype === 'p' && !constraint.condeferrable)?.conkey;
  if (!key) return false;
  return key.every((attno) => groupTargets.some((t) => t.expr.kind === 'Var' && t.expr.varno === varno && t.expr.attno === attno));
}

function ungrouped(state: ParseState, expr: Var, entry: RangeTableEntry, depth: number) {
  const column = expr.attno === 0 ? '*' : expr.attno < 0 ? SYSTEM_NAMES[-expr.attno] : entry.columns[expr.attno - 1].name;
  const name = `${entry.name}.${column}`;
  const message = depth === 0
    ? `column "${name}" must appear in the GROUP BY clause or be used in an aggregate function`
    : `subquery uses ungrouped column "${name}" from outer query`;
  return state.error('42803', message, expr.location);
}

const SYSTEM_NAMES = ['', 'ctid', 'xmin', 'cmin', 'xmax', 'cmax', 'tableoid'];

export { childrenOf };

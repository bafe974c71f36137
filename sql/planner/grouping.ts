/** GROUP BY, aggregates, HAVING and grouping sets over the joined rows. */
import type { Aggref, Expr, GroupingFunc, Query } from '../analyzer/query-tree.js';
import { equalExpr, walk } from '../analyzer/tree-walk.js';
import { exprsCost, makeCost, widthOf } from './cost.js';
import { andAll, type Level } from './level.js';
import { conjuncts } from './logical.js';
import { cheapest, satisfies, type Path } from './path.js';
import type { AggNode, PlanNode, SortKey } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { distinctCombinations, selectivityOf } from './selectivity.js';
import { sortNode, targetByRef } from './select.js';
import { withSublinkColumns } from './sublink-columns.js';

export interface Grouped { readonly query: Query; readonly paths: readonly Path[] }

export function planGrouping(level: Level, planner: Planner): Grouped {
  const { query } = level;
  if (!query.hasAggs && query.groupClause.length === 0 && !query.groupingSets && !query.having) return { query, paths: level.paths };
  const groups: Expr[] = [];
  const groupRefs: number[] = [];
  for (const clause of query.groupClause) {
    groups.push(targetByRef(query, clause.ref).expr);
    groupRefs.push(clause.ref);
  }
  const groupingSets = query.groupingSets && expandSets(query, groupRefs);
  const { aggs, groupings, others } = collect(query, groups, planner);
  // Columns that depend on the grouped ones (a primary key is grouped by) ride along.
  const extra = groupingSets ? [] : others;
  const allGroups = groupingSets || groups.length > 0 ? [...groups, ...extra] : groups;
  const output: Expr[] = [...allGroups, ...aggs, ...groupings];
  const having = conjuncts(query.having);
  const rows = groupCount(groups, groupingSets, level.rows, planner);
  const inputs = [...allGroups, ...aggs.flatMap((agg) => [...agg.args.map((arg) => arg.expr), ...(agg.filter ? [agg.filter] : [])])];
  const node = (child: PlanNode, strategy: AggNode['strategy'], startup: number, total: number): PlanNode => ({
    kind: 'Agg', strategy, child: withSublinkColumns(child, inputs, planner), groups: allGroups, groupingSets, groupRefs, aggs, filter: having, output,
    cost: makeCost(startup, total + rows * exprsCost(having, planner), rows * selectivityOf(having, planner), widthOf(output, planner)),
  });
  const { cpuTuple, cpuOperator } = planner.cost;
  const perRow = exprsCost(aggs.flatMap((agg) => agg.args.map((arg) => arg.expr)), planner) + cpuOperator * aggs.length;
  const paths: Path[] = [];
  const best = cheapest(level.paths)!;
  const input = best.node.cost;
  if (groups.length === 0 && !groupingSets) {
    const total = input.total + perRow * input.rows;
    paths.push({ node: node(best.node, 'plain', total, total + cpuTuple), order: [], required: 0, params: [], enforced: [] });
  } else {
    const hashed = input.total + (perRow + cpuOperator * groups.length) * input.rows + planner.cost.penalty('enable_hashagg');
    paths.push({ node: node(best.node, 'hashed', hashed, hashed + cpuTuple * rows), order: [], required: 0, params: [], enforced: [] });
    if (!groupingSets) paths.push(...sortedPaths(level, groups, node, perRow, rows, planner));
  }
  return { query: { ...query, having: andAll([]) }, paths };
}

/** Groups that arrive one after the other: from an ordered input, or sorted for the ORDER BY's sake. */
function sortedPaths(level: Level, groups: readonly Expr[], node: (child: PlanNode, strategy: 'sorted', startup: number, total: number) => PlanNode, perRow: number, rows: number, planner: Planner): Path[] {
  const { query, same } = level;
  const { cpuTuple, cpuOperator } = planner.cost;
  const clauseOf = (expr: Expr): SortKey => {
    const clause = query.groupClause.find((candidate) => targetByRef(query, candidate.ref).expr === expr)!;
    // The ORDER BY's direction, if it sorts by the same.
    const ordered = query.sortClause.find((candidate) => candidate.ref === clause.ref) ?? clause;
    return { expr, descending: ordered.descending, nullsFirst: ordered.nullsFirst, sortOperator: ordered.sortOperator };
  };
  if (query.groupClause.some((clause) => clause.sortOperator === 0)) return [];
  const bySort = query.sortClause.map((clause) => query.targetList.find((target) => target.sortGroupRef === clause.ref)?.expr).filter((expr): expr is Expr => expr !== undefined && groups.includes(expr));
  const keys = [...new Set([...bySort, ...groups])].map(clauseOf);
  const result: Path[] = [];
  const make = (path: Path, child: PlanNode, order: readonly SortKey[]): void => {
    const total = child.cost.total + (perRow + cpuOperator * groups.length) * child.cost.rows + cpuTuple * rows;
    result.push({ ...path, node: node(child, 'sorted', child.cost.startup, total), order });
  };
  for (const path of level.paths) {
    if (path.required !== 0 || path.order.length < groups.length) continue;
    const prefix = path.order.slice(0, groups.length);
    if (groups.every((group) => prefix.some((key) => same(key.expr, group)))) make(path, path.node, prefix);
  }
  const cheapestInput = cheapest(level.paths)!;
  if (!satisfies(cheapestInput.order, keys, same)) make(cheapestInput, sortNode(cheapestInput.node, keys, null, planner), keys);
  return result;
}

/** Positions in the groups for each set's refs; GROUP BY DISTINCT drops repeated sets. */
function expandSets(query: Query, groupRefs: readonly number[]): number[][] {
  const sets = query.groupingSets!.map((set) => [...new Set(set.map((ref) => groupRefs.indexOf(ref)))].filter((position) => position >= 0));
  if (!query.groupDistinct) return sets;
  const seen = new Set<string>();
  return sets.filter((set) => {
    const key = [...set].sort((a, b) => a - b).join(',');
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function groupCount(groups: readonly Expr[], sets: readonly (readonly number[])[] | null, rows: number, planner: Planner): number {
  const count = (members: readonly Expr[]): number => distinctCombinations(members, planner, rows);
  if (sets) return sets.reduce((sum, set) => sum + count(set.map((position) => groups[position]!)), 0);
  return count(groups);
}

function collect(query: Query, groups: readonly Expr[], planner: Planner): { aggs: Aggref[]; groupings: GroupingFunc[]; others: Expr[] } {
  const aggs: Aggref[] = [];
  const groupings: GroupingFunc[] = [];
  const others: Expr[] = [];
  const visit = (expr: Expr): void => walk(expr, (node) => {
    if (groups.some((group) => group === node || equalExpr(group, node))) return true;
    if (node.kind === 'Aggref') {
      if (!aggs.some((other) => equalExpr(other, node))) aggs.push(node);
      return true;
    }
    if (node.kind === 'GroupingFunc') {
      if (!groupings.some((other) => equalExpr(other, node))) groupings.push(node);
      return true;
    }
    if (node.kind === 'Var' && !others.some((other) => equalExpr(other, node))) others.push(node);
    if (node.kind === 'SubLink') {
      planner.subPlans.get(node.id)?.params.forEach((binding) => visit(binding.expr));
    }
    return false;
  });
  query.targetList.forEach((entry) => visit(entry.expr));
  if (query.having) visit(query.having);
  return { aggs, groupings, others };
}

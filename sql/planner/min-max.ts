/**
 * min(x) and max(x) over one relation with an index on x: each becomes a sub-plan that reads the
 * first non-NULL entry from the right end. After planagg.c.
 */
import type { Aggref, Expr, Query, SubLink } from '../analyzer/query-tree.js';
import { equalExpr, walk } from '../analyzer/tree-walk.js';
import { BTREE_AM } from '../catalog/catalog.js';
import { makeCost } from './cost.js';
import { makeConst } from './fold.js';
import { mapExpressions, treeVarnos, type Logical } from './logical.js';
import type { Path } from './path.js';
import type { Planner } from './planner-state.js';
import { mapDeep } from './query-vars.js';
import { planSublinks } from './sublinks.js';
import { emptyFromClause } from './empty-query.js';

export function minMaxByIndex(logical: Logical, planner: Planner): { query: Query; path: Path } | null {
  const { query, tree } = logical;
  if (!query.hasAggs || query.groupClause.length > 0 || query.groupingSets || query.hasWindowFuncs || query.rowMarks.length > 0 || query.hasTargetSRFs) return null;
  const varnos = treeVarnos(tree);
  if (varnos.length !== 1 || tree.kind !== 'from') return null;
  const varno = varnos[0]!;
  const relation = planner.relationOf(varno);
  if (!relation || relation.indexes.length === 0) return null;
  const aggs: Aggref[] = [];
  let plainColumns = false;
  const visit = (expr: Expr): void => walk(expr, (node) => {
    if (node.kind === 'Aggref') {
      if (!aggs.some((other) => equalExpr(other, node))) aggs.push(node);
      return true;
    }
    if (node.kind === 'Var' || node.kind === 'SubLink') plainColumns = true;
    return false;
  });
  query.targetList.forEach((entry) => visit(entry.expr));
  if (query.having) visit(query.having);
  if (plainColumns || aggs.length === 0) return null;
  const links = new Map<Aggref, SubLink>();
  for (const agg of aggs) {
    const sortOperator = planner.catalog.aggregate(agg.func)?.aggsortop ?? 0;
    const operator = sortOperator ? planner.catalog.operator(sortOperator) : undefined;
    const [arg] = agg.args;
    if (!operator || !arg || agg.args.length !== 1 || agg.filter || agg.distinct.length > 0 || agg.orderBy.length > 0 || arg.expr.kind !== 'Var') return null;
    const column = arg.expr;
    const index = relation.indexes.find((candidate) => candidate.valid && candidate.accessMethod === BTREE_AM && candidate.predicateText === null && candidate.keyColumns[0]!.attnum === column.attno);
    if (!index) return null;
    links.set(agg, extreme(logical, varno, column, operator.oprname === '>', sortOperator, agg, planner));
  }
  const replaced = mapExpressions({ query, tree: { kind: 'from', items: [], quals: [] } }, (expr) => mapDeep(expr, planner, (node) => {
    if (node.kind !== 'Aggref') return undefined;
    for (const [agg, link] of links) if (equalExpr(agg, node)) return link;
    return undefined;
  }));
  planSublinks(replaced, planner);
  const having = replaced.query.having;
  return {
    query: { ...replaced.query, hasAggs: false, having: null },
    path: { node: { kind: 'Result', child: null, oneTimeFilter: having ? [having] : [], empty: false, output: [], cost: makeCost(0, planner.cost.cpuTuple, 1, 0) }, order: [], required: 0, params: [], enforced: [] },
  };
}

/** (SELECT x FROM t WHERE ... AND x IS NOT NULL ORDER BY x LIMIT 1) over an entry of its own. */
function extreme(logical: Logical, varno: number, column: Expr, descending: boolean, sortOperator: number, agg: Aggref, planner: Planner): SubLink {
  const own = planner.addEntry(planner.entry(varno));
  const move = (expr: Expr): Expr => mapDeep(expr, planner, (node) => (node.kind === 'Var' && node.varno === varno ? { ...node, varno: own } : undefined));
  const target = move(column);
  const quals = logical.tree.kind === 'from' ? logical.tree.quals.map(move) : [];
  const notNull: Expr = { kind: 'NullTest', arg: target, negated: true, argIsRow: false, type: 16, typmod: -1, collation: 0, location: -1 };
  const all = [...quals, notNull];
  const equality = planner.catalog.operatorsNamed('=').find((operator) => operator.oprleft === target.type && operator.oprright === target.type)?.oid ?? 0;
  const subquery: Query = {
    ...emptyFromClause(logical.query),
    jointree: { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex: own }], quals: all.length === 1 ? all[0]! : { kind: 'BoolExpr', op: 'and', args: all, type: 16, typmod: -1, collation: 0, location: -1 } },
    targetList: [{ expr: target, resno: 1, name: 'value', sortGroupRef: 1, originTable: 0, originColumn: 0, junk: false }],
    sortClause: [{ ref: 1, equalityOperator: equality, sortOperator, descending, nullsFirst: descending, hashable: true }],
    limitCount: makeConst(1, { type: 20, typmod: -1, collation: 0 }),
  };
  return { kind: 'SubLink', subLinkType: 'expr', testExpr: null, operatorName: null, subquery, id: planner.newSublinkId(), type: agg.type, typmod: agg.typmod, collation: agg.collation, location: -1 };
}

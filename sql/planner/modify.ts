/** INSERT, UPDATE and DELETE over the plan of their rows. */
import { notSupported } from '../../engine/errors.js';
import type { Expr, Query, TargetEntry } from '../analyzer/query-tree.js';
import { emptyFromClause } from './empty-query.js';
import { foldConstants } from './fold.js';
import { makeCost, widthOf } from './cost.js';
import { planLevel, prepare } from './level.js';
import { treeVarnos } from './logical.js';
import { cheapest } from './path.js';
import type { ModifyTableNode, PlanNode } from './plan-node.js';
import { planCte } from './plan-cte.js';
import type { Planner } from './planner-state.js';
import { planSelect } from './select.js';
import { withSublinkColumns } from './sublink-columns.js';
import { planExprSublinks } from './sublinks.js';

export function planModify(query: Query, planner: Planner, canSetTag: boolean): ModifyTableNode {
  if (query.commandType === 'merge') throw notSupported('MERGE');
  const entry = planner.entry(query.resultRelation);
  if (entry.kind !== 'relation') throw notSupported('modifying this kind of relation');
  const relation = planner.catalog.relation(entry.relation)!;
  planner.useRelation(relation.oid, 'RowExclusiveLock');
  planner.writes = true;
  for (const cte of query.ctes) {
    const info = planner.cteInfos.get(cte);
    if (info && info.query.commandType !== 'select') planCte(info, planner);
  }
  return query.commandType === 'insert' ? planInsert(query, relation, planner, canSetTag) : planChange(query, relation, planner, canSetTag);
}

type Relation = NonNullable<ReturnType<Planner['relationOf']>>;

function prepareTargets(entries: readonly TargetEntry[], planner: Planner): TargetEntry[] {
  return entries.map((entry) => {
    planExprSublinks(entry.expr, planner);
    return { ...entry, expr: foldConstants(entry.expr, planner) };
  });
}

function finish(node: Omit<ModifyTableNode, 'kind' | 'cost' | 'output'>, planner: Planner): ModifyTableNode {
  const output = node.returning.map((entry) => entry.expr);
  const { cost } = node.child;
  return { ...node, kind: 'ModifyTable', output, cost: makeCost(cost.startup, cost.total, output.length > 0 ? cost.rows : 0, output.length > 0 ? widthOf(output, planner) : 0) };
}

function planInsert(query: Query, relation: Relation, planner: Planner, canSetTag: boolean): ModifyTableNode {
  const source: Query = { ...emptyFromClause(query), jointree: query.jointree, targetList: query.targetList.map((entry) => ({ ...entry, junk: false })), ctes: query.ctes, hasTargetSRFs: query.hasTargetSRFs };
  const planned = planSelect(source, planner);
  const insertValues: (Expr | null)[] = relation.attributes.map(() => null);
  query.targetList.forEach((entry, i) => {
    insertValues[entry.resno - 1] = planned.node.output[i]!;
  });
  const conflict = query.onConflict;
  return finish({
    operation: 'insert', varno: query.resultRelation, relation: relation.oid, child: planned.node, insertValues, set: [], returning: prepareTargets(query.returning, planner),
    onConflict: conflict && {
      action: conflict.action, arbiters: conflict.arbiterIndexes, excludedVarno: conflict.excludedRtindex,
      set: prepareTargets(conflict.set, planner).map((entry) => ({ attno: entry.resno, expr: entry.expr })),
      where: conflict.where && prepared(conflict.where, planner),
    },
    mergeActions: [], canSetTag,
  }, planner);
}

function prepared(expr: Expr, planner: Planner): Expr {
  planExprSublinks(expr, planner);
  return foldConstants(expr, planner);
}

function planChange(query: Query, relation: Relation, planner: Planner, canSetTag: boolean): ModifyTableNode {
  const logical = prepare({ ...query, commandType: 'select' }, planner);
  const relations = treeVarnos(logical.tree).filter((varno) => planner.entry(varno).kind === 'relation');
  const level = planLevel(logical, planner, { rowIdsOf: relations });
  const child: PlanNode = withSublinkColumns(cheapest(level.paths)!.node, logical.query.targetList.map((entry) => entry.expr), planner);
  return finish({
    operation: query.commandType as 'update' | 'delete', varno: query.resultRelation, relation: relation.oid, child, insertValues: [],
    set: query.commandType === 'update' ? logical.query.targetList.filter((entry) => !entry.junk).map((entry) => ({ attno: entry.resno, expr: entry.expr })) : [],
    returning: logical.query.returning, onConflict: null, mergeActions: [], canSetTag,
  }, planner);
}

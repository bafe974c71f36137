/** Every expression that a plan node itself evaluates. */
import type { Expr } from '../analyzer/query-tree.js';
import type { PlanNode } from './plan-node.js';

export function planExpressions(node: PlanNode): Expr[] {
  const own = ownExpressions(node).filter((expr): expr is Expr => expr !== null);
  return [...own, ...node.output];
}

function ownExpressions(node: PlanNode): (Expr | null)[] {
  switch (node.kind) {
    case 'Result': return [...node.oneTimeFilter];
    case 'Filter': return [...node.quals];
    case 'SeqScan': case 'SubqueryScan': case 'CteScan': case 'WorkTableScan': return [...node.filter];
    case 'IndexScan': return [...node.conditions.flatMap((c) => [c.value, c.original]), ...node.filter];
    case 'BitmapScan': return [...node.parts.flatMap((p) => p.conditions.map((c) => c.value)), ...node.recheck, ...node.filter];
    case 'TidScan': return [...node.tids, ...node.filter];
    case 'FunctionScan': return [...node.functions, ...node.filter];
    case 'ValuesScan': return [...node.rows.flat(), ...node.filter];
    case 'NestLoop': return [...node.joinQuals, ...node.filter, ...node.params.map((p) => p.expr)];
    case 'HashJoin': case 'MergeJoin': return [...node.joinQuals, ...node.filter, ...node.keys.flatMap((k) => [k.outer, k.inner])];
    case 'Sort': return node.keys.map((key) => key.expr);
    case 'Limit': return [node.offset, node.count, ...(node.tieKeys ?? []).map((key) => key.expr)];
    case 'Agg': return [...node.groups, ...node.aggs, ...node.filter];
    case 'Unique': return [...node.keys];
    case 'WindowAgg': return [...node.functions, ...node.partition, ...node.order.map((key) => key.expr), node.frame.startOffset, node.frame.endOffset];
    case 'ModifyTable':
      return [
        ...node.insertValues, ...node.set.map((s) => s.expr), ...node.returning.map((t) => t.expr),
        ...(node.onConflict ? [...node.onConflict.set.map((s) => s.expr), node.onConflict.where] : []),
        ...node.mergeActions.flatMap((action) => [action.condition, ...action.values, ...action.set.map((s) => s.expr)]),
      ];
    case 'Project': case 'Materialize': case 'SetOp': case 'Append': case 'RecursiveUnion': case 'ProjectSet': case 'LockRows':
      return [];
  }
}

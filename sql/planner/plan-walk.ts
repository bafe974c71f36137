/** Walking physical plans. */
import type { PlanNode } from './plan-node.js';

export function planChildren(node: PlanNode): readonly PlanNode[] {
  switch (node.kind) {
    case 'SeqScan': case 'IndexScan': case 'BitmapScan': case 'TidScan': case 'FunctionScan': case 'ValuesScan': case 'CteScan': case 'WorkTableScan':
      return [];
    case 'Result':
      return node.child ? [node.child] : [];
    case 'NestLoop': case 'HashJoin': case 'MergeJoin':
      return [node.outer, node.inner];
    case 'SetOp':
      return [node.left, node.right];
    case 'Append':
      return node.children;
    case 'RecursiveUnion':
      return [node.initial, node.recursive];
    default:
      return [node.child];
  }
}

/** Plan nodes whose rows pipelines of their own make before a kernel reads them, each by the file that knows how. */
import type { PlanNode } from '../planner/plan-node.js';
import { aggregateStage } from './aggregate.js';
import { appendStage } from './append.js';
import { uniqueStage } from './distinct-rows.js';
import { groupingSetsStage } from './grouping-sets.js';
import { setOperationStage } from './set-operation.js';
import type { AggStage, MadeStage, StageBuilder } from './stage.js';
import { windowStage } from './window.js';

/** The node as a stage; null when it has to be rows. */
export function derivedStage(node: PlanNode, builder: StageBuilder): AggStage | MadeStage | null {
  switch (node.kind) {
    case 'Agg': return node.groupingSets ? groupingSetsStage(node, builder) : aggregateStage(node, builder);
    case 'Append': return appendStage(node, builder);
    case 'SetOp': return setOperationStage(node, builder);
    case 'Unique': return uniqueStage(node, builder);
    case 'WindowAgg': return windowStage(node, builder);
    default: return null;
  }
}

/** The planner's entry: from an analyzed Query to an immutable PhysicalPlan that can be cached and run many times. */
import { notSupported } from '../../engine/errors.js';
import type { Query } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import type { PhysicalPlan } from './plan-node.js';

export interface PlanOptions {
  readonly catalog: Catalog;
  /** For constant folding and the planner's settings (enable_*, *_cost, work_mem, join_collapse_limit). */
  readonly context: EvalContext;
  /** Known parameter values, for a custom plan; their $n are folded. Absent: a generic plan. */
  readonly params?: readonly Datum[];
  /** Names of rewrite rules that are switched off. */
  readonly disabledRules?: ReadonlySet<string>;
}

export function planQuery(_query: Query, _options: PlanOptions): PhysicalPlan {
  throw notSupported('planning');
}

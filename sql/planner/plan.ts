/** The planner's entry: from an analyzed Query to an immutable PhysicalPlan that can be cached and run many times. */
import type { Query, TargetEntry } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { ResultColumn } from '../executor/row-source.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { globalise } from './globalise.js';
import { planModify } from './modify.js';
import { planCte } from './plan-cte.js';
import type { PhysicalPlan } from './plan-node.js';
import { Planner } from './planner-state.js';
import { UNNEST_AGGREGATES } from './rules/index.js';
import { planSelect } from './select.js';

export interface PlanOptions {
  readonly catalog: Catalog;
  /** For constant folding and the planner's settings (enable_*, *_cost, ...). */
  readonly context: EvalContext;
  /** Known parameter values, for a custom plan; their $n are folded. Absent: a generic plan. */
  readonly params?: readonly Datum[];
  /** Names of rewrite rules that are switched off. */
  readonly disabledRules?: ReadonlySet<string>;
}

/** Plans one SELECT, INSERT, UPDATE or DELETE. Raises what cannot be planned; never reads rows. */
export function planQuery(query: Query, options: PlanOptions): PhysicalPlan {
  const disabled = options.disabledRules ?? new Set<string>();
  const first = planWith(query, options, disabled);
  if (first.unnested === 0) return first.plan;
  const second = planWith(query, options, new Set([...disabled, UNNEST_AGGREGATES]));
  return second.plan.root.cost.total < first.plan.root.cost.total ? second.plan : first.plan;
}

function planWith(query: Query, options: PlanOptions, disabledRules: ReadonlySet<string>): { plan: PhysicalPlan; unnested: number } {
  const planner = new Planner(options.catalog, options.context, options.params ?? null, disabledRules);
  const global = globalise(query, planner);
  for (const info of planner.cteInfos.values()) if (info.resolved && info.query.commandType !== 'select') planCte(info, planner);
  const isSelect = query.commandType === 'select';
  const root = isSelect ? planSelect(global, planner).node : planModify(global, planner, true);
  const plan: PhysicalPlan = {
    commandType: query.commandType,
    root,
    columns: resultColumns(isSelect ? query.targetList : query.returning),
    subPlans: planner.subPlans,
    ctes: planner.ctes,
    rangeTable: planner.rangeTable,
    permissions: query.permissions,
    relations: [...planner.relations.values()],
    catalogVersion: options.catalog.version,
    modifies: planner.writes || planner.locksRows,
    writes: planner.writes,
    settings: new Map(),
  };
  return { plan, unnested: planner.unnested };
}

function resultColumns(targets: readonly TargetEntry[]): ResultColumn[] {
  return targets.filter((entry) => !entry.junk).map((entry) => ({
    name: entry.name ?? '?column?', typeOid: entry.expr.type, typmod: entry.expr.typmod, tableOid: entry.originTable, attributeNumber: entry.originColumn,
  }));
}

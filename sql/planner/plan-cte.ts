/** WITH queries that are computed once: plain, recursive, data-modifying. */
import { notSupported } from '../../engine/errors.js';
import type { RangeTableEntry } from '../analyzer/query-tree.js';
import { makeCost, widthOf } from './cost.js';
import { planModify } from './modify.js';
import type { PlanNode, PlannedCte } from './plan-node.js';
import type { CteInfo, Planner } from './planner-state.js';
import { planSelect } from './select.js';

export function planCte(info: CteInfo, planner: Planner): PlannedCte {
  if (info.planned) return info.planned;
  const { cte } = info;
  const modifying = info.query.commandType !== 'select';
  const plan = cte.recursive ? recursivePlan(info, planner) : modifying ? planModify(info.query, planner, false) : planSelect(info.query, planner).node;
  info.planned = { id: info.id, name: cte.name, plan, modifying };
  info.rows = plan.cost.rows;
  planner.ctes.push(info.planned);
  return info.planned;
}

function recursivePlan(info: CteInfo, planner: Planner): PlanNode {
  const { query, cte } = info;
  if (cte.search || cte.cycle) throw notSupported('SEARCH and CYCLE');
  const top = query.setOperations;
  if (!top || top.kind !== 'setOperation' || top.op !== 'union') throw notSupported('this form of recursive query');
  const side = (node: typeof top.left): PlanNode => {
    if (node.kind !== 'rangeTableRef') return planSelect({ ...query, setOperations: node, sortClause: [], limitCount: null, limitOffset: null }, planner).node;
    const entry: RangeTableEntry = planner.entry(node.rtindex);
    if (entry.kind !== 'subquery') throw notSupported('this form of recursive query');
    return planSelect(entry.query, planner).node;
  };
  const initial = side(top.left);
  info.rows = initial.cost.rows;
  const recursive = side(top.right);
  const rows = initial.cost.rows + recursive.cost.rows * 10;
  return {
    kind: 'RecursiveUnion', recursion: info.id, initial, recursive, distinct: !top.all, types: top.columns.map((column) => column.type), output: initial.output,
    cost: makeCost(initial.cost.startup, initial.cost.total + 10 * recursive.cost.total + rows * planner.cost.cpuTuple, rows, widthOf(initial.output, planner)),
  };
}

/**
 * The door between the row executor and columns: for a plan node that kernels can run, an operator
 * that does so, and falls back to the row operator while nothing has been given out yet.
 */
import { assert } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { Batch } from '../executor/batch.js';
import type { Open, PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { GeneratorOperator, pull } from '../executor/operators/operator.js';
import type { PlanNode } from '../planner/plan-node.js';
import { planAggregate, runAggregate } from './aggregate.js';
import { planRows, runRows, type RowsPlan } from './rows.js';
import { planSort, runSort } from './sorted-rows.js';
import { NotColumnar } from './segment.js';

/** Plans cheaper than this stay with the row executor: they are over before a kernel is written (see planner/column-costs.ts for the unit). */
const MIN_COST = 15;

type Running = (compiler: PlanCompiler, state: ExecState) => Generator<Batch | Pending, void>;

/** `rows` is the node's own operator. Returns it unchanged where columns have no part. */
export function withColumns(node: PlanNode, compiler: PlanCompiler, rows: Open): Open {
  if (node.cost.total < MIN_COST || compiler.plan.modifies) return rows;
  const running = columnar(node, compiler);
  if (!running) return rows;
  return (state) => (state.replacedRows || state.context.settings.get('oxbow.columns') === 'off' ? rows(state) : new GeneratorOperator(run(running, rows, compiler, state)));
}

function columnar(node: PlanNode, compiler: PlanCompiler): Running | null {
  if (node.kind === 'Agg') {
    // Groups that HAVING filters are read like a relation: the others never become rows.
    const filtered = node.filter.length > 0 ? planRows(node, compiler) : null;
    if (filtered) return fromRows(filtered);
    if (node.groupingSets) return fromRows(planRows(node, compiler));
    const plan = planAggregate(node, compiler);
    return plan && ((c, state) => runAggregate(plan, c, state));
  }
  if (node.kind === 'Sort') {
    const sorted = planSort(node, compiler);
    return sorted && ((c, state) => runSort(sorted, c, state));
  }
  // UNION ALL alone gains nothing: its branches are asked one by one.
  return KERNELS.has(node.kind) || (node.kind === 'SeqScan' && node.filter.length > 0) ? fromRows(planRows(node, compiler)) : null;
}

const KERNELS: ReadonlySet<PlanNode['kind']> = new Set(['HashJoin', 'Project', 'Filter', 'WindowAgg', 'SetOp', 'Unique']);

function fromRows(plan: RowsPlan | null): Running | null {
  return plan && ((c, state) => runRows(plan, c, state));
}

function* run(running: Running, rows: Open, compiler: PlanCompiler, state: ExecState): Generator<Batch | Pending, void> {
  let given = false;
  const columns = running(compiler, state);
  try {
    for (const step of columns) {
      if (!(step instanceof Pending)) given = true;
      yield step;
    }
    return;
  } catch (error) {
    if (!(error instanceof NotColumnar)) throw error;
    assert(!given, 'columns gave up after giving out rows');
  }
  const operator = rows(state);
  try {
    for (let batch = yield* pull(operator); batch !== null; batch = yield* pull(operator)) yield batch;
  } finally {
    operator.close();
  }
}

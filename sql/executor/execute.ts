/**
 * Running a plan: what a portal holds. Rows come in batches; a statement that writes runs to its
 * end (modifying WITH queries and constraint checks included) before its first row goes out, as in
 * PostgreSQL, because an error afterwards must not follow rows.
 */
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { Snapshot, Transaction } from '../../engine/storage.js';
import type { EvalContext } from '../functions/context.js';
import type { PhysicalPlan, PlanNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import type { Batch } from './batch.js';
import { planCompiler, type PlanCompiler } from './compile-plan.js';
import { hasDeferredConstraints } from './constraints/queue.js';
import { runDeferredConstraints, runStatementConstraints } from './constraints/foreign-keys.js';
import { ExecState, type NodeInstrumentation } from './exec-state.js';
import { NO_INTERRUPTS, type Interrupts } from './interrupts.js';
import { pull, type Run } from './operators/operator.js';
import { finishCte } from './operators/row-sources.js';
import type { ResultColumn, RowSource } from './row-source.js';
import { headOfBatch, tailOfBatch } from './vectors.js';

export interface StartOptions {
  /** Values of $1.. in order, already of the parameters' types. */
  readonly params?: readonly Datum[];
  readonly transaction: Transaction;
  /** Of this statement; the caller releases it after close(). */
  readonly snapshot: Snapshot;
  readonly context: EvalContext;
  readonly interrupts?: Interrupts;
  /** EXPLAIN ANALYZE: figures of each node. */
  readonly instrument?: (node: PlanNode) => NodeInstrumentation;
}

export interface RunningPlan extends RowSource {
  /** Rows inserted, updated or deleted by the statement itself; rows returned so far of a SELECT. Final when next() has answered null. */
  readonly rowsAffected: number;
}

/** Starts a plan. Table locks and privileges are the caller's. */
export function startPlan(plan: PhysicalPlan, options: StartOptions): RunningPlan {
  return new Execution(plan, options);
}

class Execution implements RunningPlan {
  readonly columns: readonly ResultColumn[];
  private readonly state: ExecState;
  private readonly run: Run;
  private rest: Batch | null = null;
  private returned = 0;

  constructor(private readonly plan: PhysicalPlan, options: StartOptions) {
    this.columns = plan.columns;
    this.state = new ExecState(options.context, options.params ?? [], options.transaction, options.snapshot, options.interrupts ?? NO_INTERRUPTS);
    if (options.instrument) this.state.instrument = options.instrument as (node: object) => NodeInstrumentation;
    if (plan.modifies && options.transaction.readOnly) {
      throw new DatabaseError('25006', `cannot execute ${plan.commandType === 'select' ? 'SELECT FOR UPDATE' : plan.commandType.toUpperCase()} in a read-only transaction`);
    }
    const compiler = planCompiler(plan, options.context.catalog);
    this.run = plan.writes ? buffered(plan, compiler, this.state) : streamed(plan, compiler, this.state);
  }

  get rowsAffected(): number {
    return this.plan.commandType === 'select' ? this.returned : this.state.rowsAffected;
  }

  next(maxRows = Infinity): Batch | null | Pending {
    let batch = this.rest;
    this.rest = null;
    if (batch === null) {
      const step = this.run.next();
      if (step.done) return null;
      if (step.value instanceof Pending) return step.value;
      batch = step.value;
    }
    if (batch.length > maxRows) {
      this.rest = tailOfBatch(batch, maxRows);
      batch = headOfBatch(batch, maxRows);
    }
    this.returned += batch.length;
    return batch;
  }

  close(): void {
    this.rest = null;
    this.run.return();
    this.state.finish();
  }
}

function* streamed(plan: PhysicalPlan, compiler: PlanCompiler, state: ExecState): Run {
  const root = compiler.open(plan.root)(state);
  try {
    for (let batch = yield* pull(root); batch !== null; batch = yield* pull(root)) yield batch;
  } finally {
    root.close();
  }
}

function* buffered(plan: PhysicalPlan, compiler: PlanCompiler, state: ExecState): Run {
  const batches: Batch[] = [];
  const root = compiler.open(plan.root)(state);
  try {
    for (let batch = yield* pull(root); batch !== null; batch = yield* pull(root)) batches.push(batch);
  } finally {
    root.close();
  }
  for (const cte of plan.ctes) if (cte.modifying) yield* finishCte(cte.id, compiler, state);
  yield* runStatementConstraints(state);
  state.transaction.advanceCommand();
  yield* batches;
}

/** Before COMMIT: deferred constraints. undefined when there is nothing to do; else drain it (it yields no rows). */
export function startDeferredConstraints(transaction: Transaction, context: EvalContext, interrupts: Interrupts = NO_INTERRUPTS): RowSource | undefined {
  if (!hasDeferredConstraints(transaction)) return undefined;
  return constraintRun(runDeferredConstraints(new ExecState(context, [], transaction, null as never, interrupts)));
}

/** After SET CONSTRAINTS ... IMMEDIATE: what has become due. */
export function startDueConstraints(transaction: Transaction, context: EvalContext, interrupts: Interrupts = NO_INTERRUPTS): RowSource {
  return constraintRun(runStatementConstraints(new ExecState(context, [], transaction, null as never, interrupts)));
}

function constraintRun(run: Generator<Pending, void>): RowSource {
  return {
    columns: [],
    next() {
      const step = run.next();
      return step.done ? null : step.value;
    },
    close: () => void run.return(),
  };
}

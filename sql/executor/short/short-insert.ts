/** INSERT of one row of values. */
import { Pending } from '../../../engine/pending.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { ModifyTableNode } from '../../planner/plan-node.js';
import { compile } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT, type CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { TIME_SLICE } from '../interrupts.js';
import { relationChecks } from '../relation-checks.js';
import type { Datum } from '../../types/datum.js';
import { isFolded } from './folded.js';
import type { ExecState } from '../exec-state.js';
import { referenceProbes, type ReferenceProbe } from './reference-probe.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredRowLayout } from './stored-row.js';

class ShortInsert implements ShortPlan {
  readonly readOnly = false;

  get takesRows(): boolean {
    // A row that the general way must look at comes too late when others are written.
    return this.returning.length === 0 && this.references.length === 0;
  }

  constructor(
    private readonly relation: Relation, private readonly table: TableAccess, private readonly values: readonly (Scalar | null)[], private readonly returning: readonly Scalar[],
    private readonly references: readonly ReferenceProbe[],
  ) {}

  run(execution: ShortExecution): number | Pending {
    if (execution.rows !== null) return this.runRows(execution, execution.rows);
    const { state } = execution;
    const { transaction, catalog, context } = state;
    const frame = new Frame(state);
    let values = execution.proposed;
    if (values === null) {
      const referred = this.refer(frame, state);
      if (referred !== true) return referred || GENERAL;
      values = execution.proposed = this.values.map((value) => (value ? value(frame) : null));
      relationChecks(this.relation, catalog, context).apply(values, catalog, context);
    }
    const inserted = execution.writer(this.relation).insert(values);
    if (inserted instanceof Pending) return inserted;
    if (this.returning.length > 0) {
      frame.tuple = this.table.codec.encode(values);
      execution.emit(this.returning.map((expr) => expr(frame)));
    }
    transaction.advanceCommand();
    return 1;
  }

  /** Before anything else is computed. True: every row referred to is there, and locked. */
  private refer(frame: Frame, state: ExecState): boolean | Pending {
    for (const reference of this.references) {
      const found = reference.check((column) => this.values[column]?.(frame) ?? null, state);
      if (found !== true) return found;
    }
    return true;
  }

  /** Row by row; what has to wait goes on with the same row. */
  private runRows(execution: ShortExecution, rows: readonly Datum[]): number | Pending {
    const { state } = execution;
    const { transaction, catalog, context } = state;
    const params = state.params as Datum[];
    const frame = new Frame(state);
    const writer = execution.writer(this.relation);
    const checks = relationChecks(this.relation, catalog, context);
    const width = params.length;
    for (let at = execution.done * width; at < rows.length; at += width, execution.done++, execution.proposed = null) {
      let values = execution.proposed;
      if (values === null) {
        if (state.shouldYield()) return TIME_SLICE;
        for (let i = 0; i < width; i++) params[i] = rows[at + i]!;
        values = new Array<Datum>(this.values.length);
        for (let i = 0; i < values.length; i++) values[i] = this.values[i]?.(frame) ?? null;
        checks.apply(values, catalog, context);
        execution.proposed = values;
      }
      const inserted = writer.insert(values);
      if (inserted instanceof Pending) return inserted;
    }
    transaction.advanceCommand();
    return execution.done;
  }
}

export function shortInsert(node: ModifyTableNode, relation: Relation, catalog: Catalog, context: EvalContext): ShortPlan | null {
  const { child } = node;
  if (child.kind !== 'Result' || child.child !== null || child.empty || child.oneTimeFilter.length > 0) return null;
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: EMPTY_LAYOUT, subLinks: null };
  const rowScope: CompileScope = { catalog, layout: new StoredRowLayout(node.varno, table.codec), subLinks: null };
  if (node.insertValues.some((expr) => expr !== null && (!readsOnly(expr, -1) || mayWait(expr, scope)))) return null;
  if (node.returning.some(({ expr }) => !readsOnly(expr, node.varno) || mayWait(expr, rowScope))) return null;
  const references = referenceProbes(relation, catalog, context);
  // Computed twice where the general way must look after all.
  if (!references || references.some(({ columns }) => columns.some((column) => !isFolded(node.insertValues[column] ?? null, catalog)))) return null;
  return new ShortInsert(relation, table, node.insertValues.map((expr) => expr && compile(expr, scope)), node.returning.map(({ expr }) => compile(expr, rowScope)), references);
}

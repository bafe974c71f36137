/**
 * EvalPlanQual: a row that a lock wait found changed is tested again, newest version, with every
 * other relation of the statement held at the row it was joined with.
 */
import type { Pending } from '../../engine/pending.js';
import { DatabaseError } from '../../engine/errors.js';
import type { RowVersion } from '../../engine/storage.js';
import type { PlanNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import type { Batch } from './batch.js';
import type { PlanCompiler } from './compile-plan.js';
import type { ExecState, ReplacedRow } from './exec-state.js';
import { pull } from './operators/operator.js';
import { readVector, rowAt } from './vectors.js';

/** Row ids that a row carries for each range table entry: `varno` -> column of the child's output. */
export type RowIdColumns = ReadonlyMap<number, number>;

export function rowIdColumns(node: PlanNode): RowIdColumns {
  const columns = new Map<number, number>();
  node.output.forEach((expr, index) => {
    if (expr.kind === 'Var' && expr.attno === -1) columns.set(expr.varno, index);
  });
  return columns;
}

/** The row again with `newest` in place of what it had for `varno`; null when it does not qualify any more. */
export function* recheck(
  child: PlanNode, compiler: PlanCompiler, state: ExecState, columns: RowIdColumns, batch: Batch, row: number, newest: ReadonlyMap<number, RowVersion>,
): Generator<Pending, { batch: Batch; row: number } | null> {
  const rows = new Map<number, ReplacedRow | null>();
  for (const [varno, column] of columns) {
    const rowId: Datum = readVector(batch.columns[column]!, row);
    rows.set(varno, rowId === null ? null : { rowId: rowId as number, tuple: null, xmin: 0 });
  }
  for (const [varno, version] of newest) rows.set(varno, { rowId: version.rowId, tuple: version.tuple, xmin: version.xmin });
  const operator = compiler.open(child)(state.forRecheck(rows));
  try {
    const found = yield* pull(operator);
    return found === null ? null : { batch: found, row: rowAt(found, 0) };
  } finally {
    operator.close();
  }
}

/** 40001, for transactions that must not see the newer version. */
export function serializationFailure(how: 'update' | 'delete'): DatabaseError {
  return new DatabaseError('40001', `could not serialize access due to concurrent ${how}`);
}

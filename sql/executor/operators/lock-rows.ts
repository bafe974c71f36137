/** FOR UPDATE/SHARE: locks each row's sources before it goes up; rechecks rows that changed meanwhile. */
import type { RowId, StorageId } from '../../../engine/ids.js';
import type { Pending } from '../../../engine/pending.js';
import type { RowLockResult, RowVersion } from '../../../engine/storage.js';
import { DatabaseError } from '../../../engine/errors.js';
import { tableAccess } from '../../access/table-access.js';
import type { Relation } from '../../catalog/catalog.js';
import { sameColumns } from '../constraints/row-writer.js';
import type { LockRowsNode, PlannedRowMark } from '../../planner/plan-node.js';
import type { Batch } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { recheck, rowIdColumns, serializationFailure, type RowIdColumns } from '../recheck.js';
import { readVector, rowAt } from '../vectors.js';
import { JoinOutput } from './join-output.js';
import { GeneratorOperator, pull, waitFor, type Run } from './operator.js';

export function compileLockRows(node: LockRowsNode, compiler: PlanCompiler): Open {
  const child = compiler.open(node.child);
  const columns = rowIdColumns(node.child);
  return (state) => new GeneratorOperator(run(node, compiler, child, columns, state));
}

/** Locks one row, with the relation's name in 55P03. */
export function* lockRow(storage: StorageId, relationName: string, rowId: number, mark: PlannedRowMark['mark'], state: ExecState): Generator<Pending, RowLockResult> {
  try {
    return yield* waitFor(() => state.transaction.lockRow(storage, rowId as RowId, mark.strength, mark.policy, state.snapshot));
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlstate === '55P03' && mark.policy === 'nowait') {
      throw new DatabaseError('55P03', `could not obtain lock on row in relation "${relationName}"`);
    }
    throw error;
  }
}

function* run(node: LockRowsNode, compiler: PlanCompiler, child: Open, columns: RowIdColumns, state: ExecState): Run {
  const input = child(state);
  const output = new JoinOutput(node.child.output.length, 0);
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      for (let i = 0; i < batch.length; i++) {
        const locked = yield* lockSources(node, compiler, columns, batch, rowAt(batch, i), state);
        if (locked) output.add(locked.batch.columns, locked.row, [], -1);
      }
      const result = output.take();
      if (result) yield result;
    }
  } finally {
    input.close();
  }
}

/** FOR KEY SHARE of a row that was changed since the snapshot, but not in a unique key: the lock is good, the row as it was. */
function* keyStands(relation: Relation, newest: RowVersion, state: ExecState): Generator<Pending, boolean> {
  const tuple = newest.tuple.slice();
  const seen = yield* waitFor(() => tableAccess(relation, state.catalog).fetch(state.transaction, state.snapshot, newest.rowId));
  const columns = relation.indexes.filter((index) => index.unique && index.immediate && index.predicateText === null).flatMap((index) => index.keyColumns.map((key) => key.attnum));
  return seen !== undefined && !columns.includes(0) && sameColumns(relation, columns, seen.tuple, tuple, state.catalog);
}

/** The row to pass on, null when it is gone, skipped or does not qualify any more. */
function* lockSources(node: LockRowsNode, compiler: PlanCompiler, columns: RowIdColumns, batch: Batch, row: number, state: ExecState): Generator<Pending, { batch: Batch; row: number } | null> {
  const newest = new Map<number, RowVersion>();
  for (const mark of node.marks) {
    const rowId = readVector(batch.columns[columns.get(mark.varno)!]!, row) as number | null;
    if (rowId === null) continue;
    const relation = state.catalog.relation(mark.relation)!;
    const result = yield* lockRow(relation.storage, relation.relname, rowId, mark.mark, state);
    switch (result.kind) {
      case 'locked':
        break;
      case 'updated':
        if (state.transaction.isolation !== 'read committed') {
          if (mark.mark.strength === 'key share' && (yield* keyStands(relation, result.version, state))) break;
          throw serializationFailure('update');
        }
        newest.set(mark.varno, { ...result.version, tuple: result.version.tuple.slice() });
        break;
      case 'deleted':
        // PostgreSQL says "update" here, for deletes too.
        if (state.transaction.isolation !== 'read committed') throw serializationFailure('update');
        return null;
      case 'self-modified': case 'skipped':
        return null;
    }
  }
  if (newest.size === 0) return { batch, row };
  return yield* recheck(node.child, compiler, state, columns, batch, row, newest);
}

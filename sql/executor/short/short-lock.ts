/** SELECT ... FROM t WHERE unique key = values FOR UPDATE (or a weaker lock), EvalPlanQual included. */
import { DatabaseError } from '../../../engine/errors.js';
import type { RowId } from '../../../engine/ids.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import type { RowLockResult } from '../../../engine/storage.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { PlanNode, PlannedRowMark } from '../../planner/plan-node.js';
import { andOf } from '../expressions/boolean.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import type { CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import type { ExecState } from '../exec-state.js';
import { serializationFailure } from '../recheck.js';
import { keyLookup, readByKey, type KeyLookup } from './key-lookup.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredRowLayout } from './stored-row.js';

class ShortLock implements ShortPlan {
  readonly readOnly = false;

  constructor(
    private readonly relation: Relation, private readonly table: TableAccess, private readonly lookup: KeyLookup,
    private readonly filter: Scalar | null, private readonly results: readonly Scalar[], private readonly mark: PlannedRowMark['mark'],
  ) {}

  run({ state, emit }: ShortExecution): number | Pending {
    const { table, lookup, filter } = this;
    const { transaction } = state;
    const frame = new Frame(state);
    const rowId = readByKey(frame, state, lookup, table, filter);
    if (rowId === 0 || rowId === GENERAL) return rowId;
    const locked = this.lock(state, rowId);
    if (locked instanceof Pending) return locked;
    switch (locked.kind) {
      case 'self-modified': case 'skipped':
        return 0;
      case 'deleted':
        // PostgreSQL says "update" here, for deletes too.
        if (transaction.isolation !== 'read committed') throw serializationFailure('update');
        return 0;
      case 'updated':
        if (hasLarge(locked.version.tuple)) return GENERAL;
        if (transaction.isolation !== 'read committed') {
          // The lock is taken; whether the key stands is the general way's question.
          if (this.mark.strength === 'key share') return GENERAL;
          throw serializationFailure('update');
        }
        frame.tuple = locked.version.tuple.slice();
        if (!lookup.matches(table.codec.readAll(frame.tuple)) || (filter && filter(frame) !== true)) return 0;
        break;
      case 'locked':
    }
    emit(this.results.map((expr) => expr(frame)));
    return 1;
  }

  private lock({ transaction, snapshot }: ExecState, rowId: RowId): RowLockResult | Pending {
    const { relation, mark } = this;
    try {
      return transaction.lockRow(relation.storage, rowId, mark.strength, mark.policy, snapshot);
    } catch (error) {
      if (error instanceof DatabaseError && error.sqlstate === '55P03' && mark.policy === 'nowait')
        throw new DatabaseError('55P03', `could not obtain lock on row in relation "${relation.relname}"`);
      throw error;
    }
  }
}

export function shortLock(root: PlanNode, catalog: Catalog, context: EvalContext): ShortPlan | null {
  const locking = root.kind === 'Project' ? root.child : root;
  if (locking.kind !== 'LockRows' || locking.marks.length !== 1) return null;
  const scan = locking.child;
  const { mark, varno } = locking.marks[0]!;
  if (scan.kind !== 'IndexScan' || scan.varno !== varno) return null;
  const relation = catalog.relation(scan.relation);
  if (!relation || relation.isCatalog || relation.relkind !== 'r') return null;
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: new StoredRowLayout(varno, table.codec), subLinks: null };
  if ([...scan.filter, ...root.output].some((expr) => !readsOnly(expr, varno) || mayWait(expr, scope))) return null;
  const lookup = keyLookup(scan, catalog, context);
  if (!lookup) return null;
  return new ShortLock(relation, table, lookup, scan.filter.length > 0 ? andOf(compileAll(scan.filter, scope)) : null, root.output.map((expr) => compile(expr, scope)), mark);
}

/** SELECT ... FROM t WHERE unique key = values. */
import { LARGE_MARK } from '../../../engine/mvcc/row-format.js';
import type { Pending } from '../../../engine/pending.js';
import type { RowPlace } from '../../../engine/storage.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { PlanNode } from '../../planner/plan-node.js';
import { andOf } from '../expressions/boolean.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import type { CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { keyLookup, type KeyLookup } from './key-lookup.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredOutput, StoredRowLayout } from './stored-row.js';

const place: RowPlace = { bytes: new Uint8Array(0), start: 0, end: 0 };

class ShortRead implements ShortPlan {
  readonly readOnly = true;

  constructor(private readonly table: TableAccess, private readonly lookup: KeyLookup, private readonly filter: Scalar | null, readonly output: StoredOutput) {}

  run({ state, emitStored }: ShortExecution): number | Pending {
    const frame = new Frame(state);
    const { transaction, snapshot } = state;
    const rowId = this.lookup.find(frame, transaction, snapshot);
    if (rowId <= 0) return rowId === 0 ? 0 : GENERAL;
    if (!transaction.placeOf(this.table.relation.storage, rowId as Exclude<typeof rowId, 0 | -1>, snapshot, place)) return 0;
    if (place.bytes[place.start + 1]! & LARGE_MARK) return GENERAL;
    frame.tuple = place.bytes;
    frame.tupleAt = place.start;
    if (this.filter && this.filter(frame) !== true) return 0;
    emitStored(frame);
    return 1;
  }
}

export function shortRead(root: PlanNode, catalog: Catalog, context: EvalContext): ShortPlan | null {
  const scan = root.kind === 'Project' ? root.child : root;
  if (scan.kind !== 'IndexScan') return null;
  const relation = catalog.relation(scan.relation);
  if (!relation || relation.isCatalog) return null;
  const exprs = [...scan.filter, ...root.output];
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: new StoredRowLayout(scan.varno, table.codec), subLinks: null };
  if (exprs.some((expr) => !readsOnly(expr, scan.varno) || mayWait(expr, scope))) return null;
  const lookup = keyLookup(scan, catalog, context);
  if (!lookup) return null;
  return new ShortRead(table, lookup, scan.filter.length > 0 ? andOf(compileAll(scan.filter, scope)) : null, new StoredOutput(root.output, table.codec, scope));
}

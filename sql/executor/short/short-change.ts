/** UPDATE and DELETE of the row with a unique key's values, EvalPlanQual included. */
import type { RowId } from '../../../engine/ids.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import type { RowLockStrength } from '../../../engine/storage.js';
import { indexAccess } from '../../access/index-access.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { ModifyTableNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { andOf } from '../expressions/boolean.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import type { CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { serializationFailure } from '../recheck.js';
import { relationChecks } from '../relation-checks.js';
import { rowCompilerOf } from '../row-compiler.js';
import { keyLookup, readByKey, type KeyLookup } from './key-lookup.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredRowLayout } from './stored-row.js';

interface Assignment { readonly column: number; readonly value: Scalar }

interface Parts {
  readonly operation: 'update' | 'delete';
  readonly relation: Relation;
  readonly table: TableAccess;
  readonly lookup: KeyLookup;
  readonly filter: Scalar | null;
  readonly set: readonly Assignment[];
  /** Attribute numbers that may change. */
  readonly changed: ReadonlySet<number>;
  /** New values are written over the old ones' bytes: fixed width, in no index, tested by no CHECK. */
  readonly inPlace: boolean;
  readonly strength: RowLockStrength;
  readonly returning: readonly Scalar[];
}

class ShortChange implements ShortPlan {
  readonly readOnly = false;

  constructor(private readonly parts: Parts) {}

  run(execution: ShortExecution): number | Pending {
    const { state } = execution;
    const { parts } = this;
    const { operation, relation, table, lookup, filter } = parts;
    const { transaction, snapshot } = state;
    const frame = new Frame(state);
    // Read first: the row is then at hand when the lock asks for its newest version.
    const rowId = readByKey(frame, state, lookup, table, filter);
    if (rowId === 0 || rowId === GENERAL) return rowId;
    const locked = transaction.lockRow(relation.storage, rowId, parts.strength, 'wait', snapshot);
    if (locked instanceof Pending) return locked;
    switch (locked.kind) {
      case 'self-modified': case 'skipped':
        return 0;
      case 'deleted':
        if (transaction.isolation !== 'read committed') throw serializationFailure('delete');
        return 0;
      case 'updated':
        if (transaction.isolation !== 'read committed') throw serializationFailure('update');
        if (hasLarge(locked.version.tuple)) return GENERAL;
        frame.tuple = locked.version.tuple.slice();
        if (!lookup.matches(table.codec.readAll(frame.tuple)) || (filter && filter(frame) !== true)) return 0;
        break;
      case 'locked':
    }
    const waiting = operation === 'delete' ? this.remove(execution, rowId, frame) : this.update(execution, rowId, frame);
    if (waiting) return waiting;
    this.answer(execution, frame);
    transaction.advanceCommand();
    return 1;
  }

  private remove(execution: ShortExecution, rowId: RowId, frame: Frame): undefined {
    const { relation, table } = this.parts;
    execution.writer(relation).delete(rowId, table.codec.readAll(frame.tuple));
    return undefined;
  }

  /** `frame.tuple` is the old row before and the new one after. */
  private update(execution: ShortExecution, rowId: RowId, frame: Frame): Pending | undefined {
    const { state } = execution;
    const { relation, table, set, inPlace } = this.parts;
    const { transaction, catalog, context } = state;
    const { codec } = table;
    // After a wait the row is the same, because it is locked, and so is what becomes of it.
    if (execution.proposed) return this.write(execution, rowId, frame, codec.readAll(frame.tuple), execution.proposed);
    const results = new Array<Datum>(set.length);
    for (let i = 0; i < set.length; i++) results[i] = set[i]!.value(frame);
    if (inPlace) {
      const next = frame.tuple.slice();
      let patched = true;
      for (let i = 0; i < set.length && patched; i++) patched = codec.patch(next, set[i]!.column, results[i]!);
      if (patched) {
        transaction.update(relation.storage, rowId, next);
        frame.tuple = next;
        return undefined;
      }
    }
    const before = codec.readAll(frame.tuple);
    const after = before.slice();
    for (let i = 0; i < set.length; i++) after[set[i]!.column] = results[i]!;
    relationChecks(relation, catalog, context).apply(after, catalog, context);
    return this.write(execution, rowId, frame, before, after);
  }

  private write(execution: ShortExecution, rowId: RowId, frame: Frame, before: readonly Datum[], after: Datum[]): Pending | undefined {
    const { relation, table, changed, returning } = this.parts;
    const waiting = execution.writer(relation).update(rowId, before, after, changed);
    if (waiting) execution.proposed = after;
    else if (returning.length > 0) frame.tuple = table.codec.encode(after);
    return waiting;
  }

  private answer({ emit }: ShortExecution, frame: Frame): void {
    const { returning } = this.parts;
    if (returning.length > 0) emit(returning.map((expr) => expr(frame)));
  }
}

export function shortChange(node: ModifyTableNode, relation: Relation, catalog: Catalog, context: EvalContext): ShortPlan | null {
  const scan = node.child;
  if (scan.kind !== 'IndexScan' || scan.relation !== relation.oid || scan.varno !== node.varno || node.operation === 'insert' || node.operation === 'merge') return null;
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: new StoredRowLayout(node.varno, table.codec), subLinks: null };
  const exprs = [...scan.filter, ...node.set.map(({ expr }) => expr), ...node.returning.map(({ expr }) => expr)];
  if (exprs.some((expr) => !readsOnly(expr, node.varno) || mayWait(expr, scope))) return null;
  const lookup = keyLookup(scan, catalog, context);
  if (!lookup) return null;
  const changed = new Set(node.set.map(({ attno }) => attno));
  for (const attribute of relation.attributes) if (attribute.attgenerated === 's') changed.add(attribute.attnum);
  const dependents = relation.indexes.filter((index) => index.ready).map((index) => indexAccess(index, catalog, rowCompilerOf(catalog, context)).dependsOn);
  // As ModifyTable: a change of what a foreign key could refer to locks stronger.
  const changesKey = relation.indexes.some((index) => index.unique && index.immediate && index.predicateText === null && index.keyColumns.some((key) => key.attnum === 0 || changed.has(key.attnum)));
  return new ShortChange({
    operation: node.operation, relation, table, lookup,
    filter: scan.filter.length > 0 ? andOf(compileAll(scan.filter, scope)) : null,
    set: node.set.map(({ attno, expr }) => ({ column: attno - 1, value: compile(expr, scope) })),
    changed,
    inPlace: node.operation === 'update' && relation.attributes.every((attribute) => attribute.attgenerated !== 's') && relation.constraints.every((constraint) => constraint.contype !== 'c')
      && dependents.every((columns) => columns !== null && [...columns].every((column) => !changed.has(column))) && [...changed].every((attnum) => table.codec.isFixed(attnum - 1)),
    strength: node.operation === 'delete' || changesKey ? 'update' : 'no key update',
    returning: node.returning.map(({ expr }) => compile(expr, scope)),
  });
}

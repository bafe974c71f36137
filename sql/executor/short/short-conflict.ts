/**
 * INSERT of one row ... ON CONFLICT DO NOTHING or DO UPDATE: what operators/modify-table.ts does at READ COMMITTED, for one row and without operators. Tables
 * with foreign keys of their own are left to the general way: a reference is looked at only where the row is inserted after all.
 */
import type { RowId } from '../../../engine/ids.js';
import { DatabaseError } from '../../../engine/errors.js';
import { Pending } from '../../../engine/pending.js';
import type { RowLockStrength } from '../../../engine/storage.js';
import type { TableWriter } from '../../access/table-writer.js';
import type { Expr } from '../../analyzer/query-tree.js';
import { contains } from '../../analyzer/tree-walk.js';
import type { Catalog, Relation } from '../../catalog/catalog.js';
import type { ModifyTableNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { compile } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT, type CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { relationChecks } from '../relation-checks.js';
import { TargetRowLayout } from '../row-layout.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly } from './stored-row.js';

interface Parts {
  readonly relation: Relation;
  readonly values: readonly (Scalar | null)[];
  readonly action: 'nothing' | 'update';
  readonly arbiters: readonly number[];
  readonly set: readonly { readonly column: number; readonly value: Scalar }[];
  readonly where: Scalar | null;
  /** Attribute numbers that DO UPDATE may change. */
  readonly changed: ReadonlySet<number>;
  readonly strength: RowLockStrength;
  readonly returning: readonly Scalar[];
}

class ShortConflict implements ShortPlan {
  readonly readOnly = false;

  constructor(private readonly parts: Parts) {}

  run(execution: ShortExecution): number | Pending {
    const { state } = execution;
    const { transaction, catalog, context } = state;
    if (transaction.isolation !== 'read committed') return GENERAL;
    const { relation, values, action, arbiters } = this.parts;
    const writer = execution.writer(relation);
    let { proposed } = execution;
    if (proposed === null) {
      const frame = new Frame(state);
      proposed = execution.proposed = values.map((value) => (value ? value(frame) : null));
      relationChecks(relation, catalog, context).apply(proposed, catalog, context);
    }
    for (;;) {
      if (execution.change) return this.write(execution, writer, proposed, execution.change);
      const conflict = writer.probeConflict(proposed, arbiters);
      if (conflict instanceof Pending) return conflict;
      if (conflict === null) {
        // While it waits a rival may take the key: it looks again.
        const inserted = writer.insert(proposed);
        return inserted instanceof Pending ? inserted : this.done(execution, proposed, []);
      }
      if (action === 'nothing') {
        transaction.advanceCommand();
        return 0;
      }
      const met = this.meet(execution, writer, conflict.rowId, proposed);
      if (met instanceof Pending) return met;
      if (met === 'refused') {
        transaction.advanceCommand();
        return 0;
      }
    }
  }

  /** Locks the row that is in the way and computes what becomes of it: `execution.change`. 'gone': the insertion is to be tried again. */
  private meet(execution: ShortExecution, writer: TableWriter, rowId: RowId, proposed: Datum[]): Pending | 'changes' | 'refused' | 'gone' {
    const { state } = execution;
    const { transaction, catalog, context } = state;
    const { relation, set, where, strength } = this.parts;
    const { codec } = writer.access;
    const latest = transaction.latestSnapshot();
    try {
      const locked = transaction.lockRow(relation.storage, rowId, strength, 'wait', latest);
      if (locked instanceof Pending) return locked;
      if (locked.kind === 'deleted' || locked.kind === 'skipped') return 'gone';
      const version = locked.kind === 'updated' ? locked.version : writer.access.fetch(transaction, latest, rowId);
      if (version instanceof Pending) return version;
      if (!version) return 'gone';
      if (locked.kind === 'self-modified' || (transaction.xid !== 0 && version.xmin === transaction.xid && version.command >= state.snapshot.command)) {
        throw new DatabaseError('21000', 'ON CONFLICT DO UPDATE command cannot affect row a second time', {
          hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
        });
      }
      const old = codec.readAll(version.tuple);
      const frame = new Frame(state);
      frame.values = old;
      frame.otherValues = proposed;
      if (where && where(frame) !== true) return 'refused';
      const next = old.slice();
      for (const { column, value } of set) next[column] = value(frame);
      relationChecks(relation, catalog, context).apply(next, catalog, context);
      execution.change = { rowId, old, next };
      return 'changes';
    } finally {
      latest.release();
    }
  }

  /** The row is locked: after a wait it is the same. */
  private write(execution: ShortExecution, writer: TableWriter, proposed: readonly Datum[], { rowId, old, next }: NonNullable<ShortExecution['change']>): number | Pending {
    return writer.update(rowId, old, next, this.parts.changed) ?? this.done(execution, next, proposed);
  }

  private done({ state, emit }: ShortExecution, values: readonly Datum[], proposed: readonly Datum[]): number {
    const { returning } = this.parts;
    if (returning.length > 0) {
      const frame = new Frame(state);
      frame.values = values;
      frame.otherValues = proposed;
      emit(returning.map((expr) => expr(frame)));
    }
    state.transaction.advanceCommand();
    return 1;
  }
}

export function shortConflict(node: ModifyTableNode, relation: Relation, catalog: Catalog): ShortPlan | null {
  const { child, onConflict } = node;
  if (!onConflict || child.kind !== 'Result' || child.child !== null || child.empty || child.oneTimeFilter.length > 0) return null;
  if (relation.constraints.some((constraint) => constraint.contype === 'f')) return null;
  const scope: CompileScope = { catalog, layout: EMPTY_LAYOUT, subLinks: null };
  if (node.insertValues.some((expr) => expr !== null && (!readsOnly(expr, -1) || mayWait(expr, scope)))) return null;
  const rows: CompileScope = { catalog, layout: new TargetRowLayout(node.varno, relation, onConflict.excludedVarno, EMPTY_LAYOUT), subLinks: null };
  const ofRows = [...onConflict.set.map(({ expr }) => expr), ...(onConflict.where ? [onConflict.where] : []), ...node.returning.map(({ expr }) => expr)];
  if (ofRows.some((expr) => contains(expr, (inner) => !isOrdinary(inner)) || mayWait(expr, rows))) return null;
  const changed = new Set(onConflict.set.map(({ attno }) => attno));
  for (const attribute of relation.attributes) if (attribute.attgenerated === 's') changed.add(attribute.attnum);
  const changesKey = relation.indexes.some((index) => index.unique && index.immediate && index.predicateText === null && index.keyColumns.some((key) => key.attnum === 0 || changed.has(key.attnum)));
  return new ShortConflict({
    relation,
    values: node.insertValues.map((expr) => expr && compile(expr, scope)),
    action: onConflict.action, arbiters: onConflict.arbiters,
    set: onConflict.set.map(({ attno, expr }) => ({ column: attno - 1, value: compile(expr, rows) })),
    where: onConflict.where && compile(onConflict.where, rows),
    changed,
    strength: changesKey ? 'update' : 'no key update',
    returning: node.returning.map(({ expr }) => compile(expr, rows)),
  });
}

/** No sub-query, and no system column: those are the general way's. */
function isOrdinary(expr: Expr): boolean {
  return expr.kind !== 'SubLink' && !(expr.kind === 'Param' && expr.paramKind === 'exec') && !(expr.kind === 'Var' && expr.attno <= 0);
}

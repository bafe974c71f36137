/**
 * INSERT, UPDATE and DELETE. Rows to change are locked first; one that a rival changed meanwhile is
 * rechecked (READ COMMITTED) or fails (40001). Foreign keys are queued for the end of the statement.
 */
import type { RowId } from '../../../engine/ids.js';
import { Pending } from '../../../engine/pending.js';
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { BulkLoader, RowLockStrength } from '../../../engine/storage.js';
import type { TableWriter } from '../../access/table-writer.js';
import type { Relation } from '../../catalog/catalog.js';
import type { ModifyTableNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { ConstraintEvents, newWriter } from '../constraints/row-writer.js';
import type { ExecState } from '../exec-state.js';
import { compile } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { LargeRef } from '../../access/large-columns.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { recheck, rowIdColumns, serializationFailure, type RowIdColumns } from '../recheck.js';
import { relationChecks, type RelationChecks } from '../relation-checks.js';
import { TargetRowLayout } from '../row-layout.js';
import { readVector, rowAt, rowsToBatch } from '../vectors.js';
import { GeneratorOperator, pull, waitFor, type Run } from './operator.js';

/** From so many inserted rows on they are loaded in bulk. */
const BULK_FROM = 8192;

interface Assignment { readonly index: number; readonly value: Scalar }

interface Compiled {
  readonly node: ModifyTableNode;
  readonly compiler: PlanCompiler;
  readonly child: Open;
  readonly insertValues: readonly (Scalar | null)[];
  readonly set: readonly Assignment[];
  readonly returning: readonly Scalar[];
  readonly conflictSet: readonly Assignment[];
  readonly conflictWhere: Scalar | null;
  readonly rowIds: RowIdColumns;
}

export function compileModifyTable(node: ModifyTableNode, compiler: PlanCompiler): Open {
  if (node.operation === 'merge') throw notSupported('MERGE');
  const relation = compiler.catalog.relation(node.relation)!;
  const scope = compiler.scope(node.child.output);
  const rowScope = compiler.scopeOf(new TargetRowLayout(node.varno, relation, node.onConflict?.excludedVarno ?? -1, compiler.layout(node.child.output)));
  const assignments = (set: ModifyTableNode['set'], within: typeof scope): Assignment[] => set.map(({ attno, expr }) => ({ index: attno - 1, value: compile(expr, within) }));
  const compiled: Compiled = {
    node, compiler,
    child: compiler.open(node.child),
    insertValues: node.insertValues.map((expr) => expr && compile(expr, scope)),
    set: assignments(node.set, scope),
    returning: node.returning.map((entry) => compile(entry.expr, rowScope)),
    conflictSet: node.onConflict ? assignments(node.onConflict.set, rowScope) : [],
    conflictWhere: node.onConflict?.where ? compile(node.onConflict.where, rowScope) : null,
    rowIds: rowIdColumns(node.child),
  };
  return (state) => new GeneratorOperator(new ModifyTable(compiled, state).run());
}

class ModifyTable {
  private readonly relation: Relation;
  private readonly writer: TableWriter;
  private readonly checks: RelationChecks;
  private readonly events: ConstraintEvents;
  private readonly frame: Frame;
  private results: Datum[][] = [];
  private affected = 0;
  private looked = 0;
  private bulk: BulkLoader | undefined;
  private bulkDone = false;
  /** Attribute numbers that an UPDATE may change. */
  private readonly changed: Set<number>;
  private readonly strength: RowLockStrength;
  private readonly needed: ReadonlySet<number> | null;
  /** The row of which not all was read. */
  private oldTuple: Uint8Array | null = null;

  constructor(private readonly compiled: Compiled, private readonly state: ExecState) {
    const { node } = compiled;
    const { catalog, transaction, context } = state;
    this.relation = catalog.relation(node.relation)!;
    this.writer = newWriter(this.relation, transaction, catalog, context);
    this.checks = relationChecks(this.relation, catalog, context);
    this.events = new ConstraintEvents(this.relation, transaction);
    this.frame = new Frame(state);
    const set = node.onConflict?.action === 'update' ? node.onConflict.set : node.set;
    this.changed = new Set(set.map(({ attno }) => attno));
    for (const attribute of this.relation.attributes) if (attribute.attgenerated === 's') this.changed.add(attribute.attnum);
    this.needed = this.neededColumns();
    this.strength = node.operation === 'delete' || this.changesKey() ? 'update' : 'no key update';
  }

  /** Columns of a unique index that a foreign key could refer to. */
  private changesKey(): boolean {
    return this.relation.indexes.some((index) => index.unique && index.immediate && index.predicateText === null && index.keyColumns.some((key) => key.attnum === 0 || this.changed.has(key.attnum)));
  }

  *run(): Run {
    const { node, child } = this.compiled;
    const { state } = this;
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        for (let i = 0; i < batch.length; i++) {
          const row = rowAt(batch, i);
          if (node.operation === 'insert') yield* this.insert(batch, row);
          else {
            const rest = this.change(batch, row);
            if (rest) yield* rest;
          }
          if (state.shouldYield()) yield TIME_SLICE;
          if (this.results.length === MAX_BATCH_ROWS) yield this.takeResults();
        }
      }
    } finally {
      input.close();
    }
    if (this.bulk) yield* waitFor(() => this.bulkEnd());
    if (this.results.length > 0) yield this.takeResults();
    if (node.canSetTag) state.rowsAffected += this.affected;
  }

  /** Very many rows go past the write set (engine/mvcc/bulk-load.ts), to the pace of the log and the applier. */
  private loadPending(): Pending | undefined {
    if (this.bulk) return this.bulk.pending();
    if (this.affected >= BULK_FROM && !this.compiled.node.onConflict) this.bulk = this.writer.loadInBulk();
    return undefined;
  }

  /** The rows are where the rest of the statement and of the transaction finds them. */
  private bulkEnd(): Pending | true {
    if (this.bulkDone) return true;
    return new Pending(this.bulk!.finish().then(() => void (this.bulkDone = true)), 'IO', 'WALWrite');
  }

  private takeResults(): Batch {
    const batch = rowsToBatch(this.results, this.compiled.returning.length);
    this.results = [];
    return batch;
  }

  private *insert(batch: Batch, row: number): Generator<Pending, void> {
    const { compiled, frame, state } = this;
    frame.columns = batch.columns;
    frame.row = row;
    const values = compiled.insertValues.map((value) => (value ? value(frame) : null));
    this.checks.apply(values, state.catalog, state.context);
    const onConflict = compiled.node.onConflict;
    let rowId: RowId;
    if (!onConflict) {
      rowId = yield* waitFor(() => this.writer.insert(values));
    } else {
      const inserted = yield* this.insertOrConflict(values, batch, row);
      if (inserted === null) return;
      rowId = inserted;
    }
    if ((++this.affected & 255) === 0) yield* waitFor(() => this.loadPending() ?? true);
    if (this.events.any) this.events.inserted(rowId, values);
    this.returnRow(batch, row, values, rowId);
  }

  /** The new row's id, or null when a conflict was met and dealt with. */
  private *insertOrConflict(values: Datum[], batch: Batch, row: number): Generator<Pending, RowId | null> {
    const onConflict = this.compiled.node.onConflict!;
    for (;;) {
      const conflict = this.writer.probeConflict(values, onConflict.arbiters);
      if (conflict instanceof Pending) {
        yield conflict;
        continue;
      }
      if (conflict === null) {
        const inserted = this.writer.insert(values);
        if (!(inserted instanceof Pending)) return inserted;
        // While it waited a rival may have taken the key: look again.
        yield inserted;
        continue;
      }
      if (onConflict.action === 'nothing') {
        yield* this.mustBeVisible(conflict.rowId);
        return null;
      }
      if (yield* this.updateConflicting(conflict.rowId, values, batch, row)) return null;
    }
  }

  /** REPEATABLE READ: a conflict with a row that the snapshot does not see is a serialization failure. */
  private *mustBeVisible(rowId: RowId): Generator<Pending, void> {
    const { transaction, snapshot } = this.state;
    if (transaction.isolation === 'read committed') return;
    const own = transaction.latestSnapshot();
    try {
      const newest = yield* waitFor(() => this.writer.access.fetch(transaction, own, rowId));
      if (newest && transaction.xid !== 0 && newest.xmin === transaction.xid) return;
    } finally {
      own.release();
    }
    const version = yield* waitFor(() => this.writer.access.fetch(transaction, snapshot, rowId));
    if (!version) throw serializationFailure('update');
  }

  /** False when the row vanished and the insertion must be tried again. */
  private *updateConflicting(rowId: RowId, proposed: Datum[], batch: Batch, row: number): Generator<Pending, boolean> {
    const { compiled, state, frame } = this;
    const { transaction, catalog, context } = state;
    yield* this.mustBeVisible(rowId);
    const latest = transaction.latestSnapshot();
    try {
      // Under REPEATABLE READ a version newer than the statement's snapshot must be noticed.
      const repeatable = transaction.isolation !== 'read committed' && (yield* waitFor(() => this.writer.access.fetch(transaction, state.snapshot, rowId))) !== undefined;
      const locked = yield* waitFor(() => transaction.lockRow(this.relation.storage, rowId, this.strength, 'wait', repeatable ? state.snapshot : latest));
      if (repeatable && (locked.kind === 'updated' || locked.kind === 'deleted')) throw serializationFailure(locked.kind === 'updated' ? 'update' : 'delete');
      if (locked.kind === 'deleted') return false;
      const version = locked.kind === 'updated' ? locked.version : yield* waitFor(() => this.writer.access.fetch(transaction, latest, rowId));
      if (!version) return false;
      if (locked.kind === 'self-modified' || (transaction.xid !== 0 && version.xmin === transaction.xid && version.command >= state.snapshot.command)) {
        throw new DatabaseError('21000', 'ON CONFLICT DO UPDATE command cannot affect row a second time', {
          hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
        });
      }
      const old = this.writer.access.codec.readAll(version.tuple);
      frame.columns = batch.columns;
      frame.row = row;
      frame.values = old;
      frame.otherValues = proposed;
      frame.systemValues = [null, rowId, version.xmin, 0, 0, 0, this.relation.oid];
      if (compiled.conflictWhere && compiled.conflictWhere(frame) !== true) return true;
      const values = [...old];
      for (const { index, value } of compiled.conflictSet) values[index] = value(frame);
      this.checks.apply(values, catalog, context);
      yield* waitFor(() => this.writer.update(rowId, old, values, this.changed));
      this.affected++;
      if (this.events.any) this.events.updated(rowId, old, values, catalog);
      this.returnRow(batch, row, values, rowId, proposed);
      return true;
    } finally {
      latest.release();
    }
  }

  /** xmin of the row version that is being changed. */
  private changedXmin = 0;

  /** UPDATE or DELETE of the row whose id the source carries. Answers what is left to do where something has to be waited for. */
  private change(batch: Batch, row: number): Generator<Pending, void> | null {
    const { compiled, state, writer } = this;
    const { transaction, snapshot } = state;
    const rowId = readVector(batch.columns[compiled.rowIds.get(compiled.node.varno)!]!, row) as RowId | null;
    if (rowId === null) return null;
    if ((++this.looked & 255) !== 0) {
      const locked = transaction.lockRow(this.relation.storage, rowId, this.strength, 'wait', snapshot);
      if (!(locked instanceof Pending) && locked.kind === 'locked') {
        const version = writer.access.fetch(transaction, snapshot, rowId);
        if (!version) return null;
        if (!(version instanceof Pending) && !hasLarge(version.tuple)) {
          this.changedXmin = version.xmin;
          return this.apply(rowId, writer.access.codec.readAll(version.tuple), batch, row);
        }
      }
    }
    return this.changeWaiting(batch, row, rowId);
  }

  private *changeWaiting(batch: Batch, row: number, rowId: RowId): Generator<Pending, void> {
    const { compiled, state } = this;
    const { transaction } = state;
    const { node } = compiled;
    // A transaction beyond memory goes no faster than the engine can apply it.
    if ((this.looked & 255) === 0) yield* waitFor(() => transaction.loadPending() ?? true);
    const locked = yield* waitFor(() => transaction.lockRow(this.relation.storage, rowId, this.strength, 'wait', state.snapshot));
    let tuple: Uint8Array;
    let source = { batch, row };
    switch (locked.kind) {
      case 'self-modified': case 'skipped':
        return;
      case 'deleted':
        if (transaction.isolation !== 'read committed') throw serializationFailure('delete');
        return;
      case 'updated': {
        if (transaction.isolation !== 'read committed') throw serializationFailure('update');
        const version = { ...locked.version, tuple: locked.version.tuple.slice() };
        const again = yield* recheck(node.child, compiled.compiler, state, compiled.rowIds, batch, row, new Map([[node.varno, version]]));
        if (again === null) return;
        source = again;
        tuple = version.tuple;
        this.changedXmin = version.xmin;
        break;
      }
      case 'locked': {
        const version = yield* waitFor(() => this.writer.access.fetch(transaction, state.snapshot, rowId));
        if (!version) return;
        tuple = version.tuple;
        this.changedXmin = version.xmin;
        break;
      }
    }
    const rest = this.apply(rowId, yield* this.readOld(tuple), source.batch, source.row);
    if (rest) yield* rest;
  }

  /** Changes a locked row. */
  private apply(rowId: RowId, old: Datum[], batch: Batch, row: number): Generator<Pending, void> | null {
    this.affected++;
    if (this.compiled.node.operation !== 'delete') return this.update(rowId, old, batch, row);
    this.writer.delete(rowId, old);
    if (this.events.any) this.events.deleted(old);
    this.returnRow(batch, row, old, rowId);
    return null;
  }

  /** The row before the change. Long values that nothing here looks at stay where they are, and the new version shares them. */
  private *readOld(tuple: Uint8Array): Generator<Pending, Datum[]> {
    const { access } = this.writer;
    if (!hasLarge(tuple)) return access.codec.readAll(tuple);
    const kept = tuple.slice();
    if (this.needed) {
      this.oldTuple = kept;
      return access.codec.readForChange(kept, this.needed);
    }
    const columns = access.codec.variableColumns.map((column) => column + 1);
    yield* waitFor(() => access.load(columns, [kept], 1) ?? true);
    const values = access.codec.readAll(kept);
    access.codec.release([kept], 1);
    return values;
  }

  /** Attribute numbers whose old values a change looks at; null: maybe all. */
  private neededColumns(): ReadonlySet<number> | null {
    const indexed = this.writer.indexedColumns;
    if (!indexed || this.compiled.returning.length > 0 || this.events.any || this.checks.readsRow) return null;
    return indexed;
  }

  private check(values: Datum[]): void {
    const { catalog, context } = this.state;
    const { oldTuple } = this;
    this.oldTuple = null;
    try {
      this.checks.apply(values, catalog, context);
    } catch (error) {
      if (!oldTuple) throw error;
      // The error shows the row, so now all of it is read.
      const old = this.writer.access.codec.readAll(oldTuple);
      this.checks.apply(values.map((value, i) => ((value as unknown) instanceof LargeRef ? old[i]! : value)), catalog, context);
      throw error;
    }
  }

  private update(rowId: RowId, old: Datum[], batch: Batch, row: number): Generator<Pending, void> | null {
    const { compiled, frame } = this;
    frame.columns = batch.columns;
    frame.row = row;
    const values = [...old];
    for (const { index, value } of compiled.set) values[index] = value(frame);
    this.check(values);
    if (this.writer.update(rowId, old, values, this.changed)) return this.updateWaiting(rowId, old, values, batch, row);
    this.updated(rowId, old, values, batch, row);
    return null;
  }

  private *updateWaiting(rowId: RowId, old: Datum[], values: Datum[], batch: Batch, row: number): Generator<Pending, void> {
    yield* waitFor(() => this.writer.update(rowId, old, values, this.changed));
    this.updated(rowId, old, values, batch, row);
  }

  private updated(rowId: RowId, old: Datum[], values: Datum[], batch: Batch, row: number): void {
    if (this.events.any) this.events.updated(rowId, old, values, this.state.catalog);
    this.returnRow(batch, row, values, rowId);
  }

  private returnRow(batch: Batch, row: number, values: readonly Datum[], rowId: number, proposed: readonly Datum[] = []): void {
    const { returning } = this.compiled;
    if (returning.length === 0) return;
    const { frame } = this;
    frame.columns = batch.columns;
    frame.row = row;
    frame.values = values;
    frame.otherValues = proposed;
    const { xid } = this.state.transaction;
    frame.systemValues = this.compiled.node.operation === 'delete' ? [null, rowId, this.changedXmin, 0, xid, 0, this.relation.oid] : [null, rowId, xid, 0, 0, 0, this.relation.oid];
    this.results.push(returning.map((expr) => expr(frame)));
  }
}

/**
 * FOREIGN KEY enforcement. Checks and actions run after the statement (or at commit) over the newest
 * rows, as PostgreSQL's RI triggers do: a referencing row takes KEY SHARE on the row it refers to;
 * a change of a referenced row looks for referencing rows and does what the constraint says.
 * After ri_triggers.c.
 */
import type { RowId, Xid } from '../../../engine/ids.js';
import type { Pending } from '../../../engine/pending.js';
import { DatabaseError } from '../../../engine/errors.js';
import type { RowLockStrength, RowVersion, Snapshot } from '../../../engine/storage.js';
import { indexAccess } from '../../access/index-access.js';
import { recheckUnique } from '../../access/table-writer.js';
import { tableAccess, XMIN } from '../../access/table-access.js';
import type { Catalog, Constraint, Index, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import { columnDefaultValue } from '../column-default.js';
import type { ExecState } from '../exec-state.js';
import { TIME_SLICE } from '../interrupts.js';
import type { Datum } from '../../types/datum.js';
import { relationChecks } from '../relation-checks.js';
import { rowCompilerOf } from '../row-compiler.js';
import { waitFor } from '../operators/operator.js';
import { serializationFailure } from '../recheck.js';
import { readVector } from '../vectors.js';
import { constraintQueue, type ConstraintEvent } from './queue.js';
import { keyCasts } from './key-casts.js';
import { ConstraintEvents, newWriter, sameColumns, sameDatum, writerContext } from './row-writer.js';

/** Runs the statement's events and those that their actions cause, until there are none. */
export function* runStatementConstraints(state: ExecState): Generator<Pending, void> {
  const queue = constraintQueue(state.transaction);
  while (queue.statement.length > 0) yield* runEvents(queue.takeStatement(), state);
}

/** At COMMIT: everything deferred, and what follows from it. */
export function* runDeferredConstraints(state: ExecState): Generator<Pending, void> {
  const queue = constraintQueue(state.transaction);
  while (queue.deferred.length > 0 || queue.statement.length > 0) {
    yield* runEvents(queue.takeDeferred(), state);
    yield* runStatementConstraints(state);
  }
}

function* runEvents(events: readonly ConstraintEvent[], state: ExecState): Generator<Pending, void> {
  if (events.length === 0) return;
  const { transaction, catalog, context } = state;
  transaction.advanceCommand();
  for (const event of events) {
    if (event.kind === 'unique') {
      yield* waitFor(() => recheckUnique(event.check, writerContext(transaction, catalog, context)));
    } else if (event.kind === 'check') {
      yield* checkReference(event, state);
    } else {
      yield* referencedChanged(event, state);
    }
    if (state.shouldYield()) yield TIME_SLICE;
  }
}

function keyText(relation: Relation, columns: readonly number[], values: readonly Datum[], catalog: Catalog, context: EvalContext): string {
  const names = columns.map((attnum) => relation.attributes[attnum - 1]!.attname).join(', ');
  const texts = columns.map((attnum, i) => (values[i] === null ? 'null' : catalog.dataType(relation.attributes[attnum - 1]!.atttypid).output(values[i]!, context)));
  return `(${names})=(${texts.join(', ')})`;
}

/** Whether a referencing row has a key that is given in another type. */
type Equal = (tuple: Uint8Array) => boolean;

/** Null where both sides have one type: then values are compared as they are, and found by index. */
function equalByCast(constraint: Constraint, child: Relation, parent: Relation, key: readonly Datum[], { catalog, context }: ExecState): Equal | null {
  const casts = keyCasts(constraint, child, parent, catalog, context);
  if (!casts) return null;
  const { codec } = tableAccess(child, catalog);
  const types = constraint.confkey.map((attnum) => parent.attributes[attnum - 1]!.atttypid);
  const row: Datum[] = new Array<Datum>(child.attributes.length).fill(null);
  return (tuple) => {
    for (const attnum of constraint.conkey) row[attnum - 1] = codec.read(tuple, attnum - 1);
    const own = casts.toParent(row, catalog, context);
    return own !== null && own.every((value, i) => value !== null && sameDatum(value, key[i] ?? null, types[i]!, catalog));
  };
}

/** Rows of `relation` whose columns equal the values, newest versions. Uses an index over them if there is one. */
function* rowsEqual(relation: Relation, columns: readonly number[], values: readonly Datum[], snapshot: Snapshot, state: ExecState, equal: Equal | null = null): Generator<Pending, RowVersion[]> {
  const { catalog, transaction, context } = state;
  const access = tableAccess(relation, catalog);
  const types = columns.map((attnum) => relation.attributes[attnum - 1]!.atttypid);
  const matches = (tuple: Uint8Array): boolean => (equal ? equal(tuple) : columns.every((attnum, i) => {
    const value = access.codec.read(tuple, attnum - 1);
    return value !== null && sameDatum(value, values[i] ?? null, types[i]!, catalog);
  }));
  const found: RowVersion[] = [];
  const index = equal ? undefined : indexOver(relation, columns);
  if (index) {
    const byColumn = index.keyColumns.slice(0, columns.length).map((key) => values[columns.indexOf(key.attnum)]!);
    const entries = indexAccess(index, catalog, rowCompilerOf(catalog, context));
    const scan = entries.scan(transaction, snapshot, entries.range({ equal: byColumn }).range, [], catalog);
    try {
      for (;;) {
        const block = yield* waitFor(() => scan.nextEntries(256));
        if (block === null) return found;
        const rowIds = block.rowIds.slice(0, block.length);
        for (const rowId of rowIds) {
          const version = yield* waitFor(() => access.fetch(transaction, snapshot, rowId as RowId));
          if (version && matches(version.tuple)) found.push({ ...version, tuple: version.tuple.slice() });
        }
      }
    } finally {
      scan.close();
    }
  }
  const scan = access.scan(transaction, snapshot, [XMIN]);
  try {
    for (;;) {
      const batch = yield* waitFor(() => scan.next(1024));
      if (batch === null) return found;
      for (let i = 0; i < batch.length; i++) {
        if (matches(batch.tuples[i]!)) found.push({ rowId: batch.rowIds[i] as RowId, tuple: batch.tuples[i]!.slice(), xmin: readVector(batch.columns[0]!, i) as Xid, command: 0 as never });
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    scan.close();
  }
}

/** A complete index whose leading columns are exactly these, in any order. */
function indexOver(relation: Relation, columns: readonly number[]): Index | undefined {
  return relation.indexes.find((index) => index.valid && index.predicateText === null && index.accessMethod === 403 && index.keyColumns.length >= columns.length
    && index.keyColumns.slice(0, columns.length).every((key) => columns.includes(key.attnum)));
}

function* checkReference(event: Extract<ConstraintEvent, { kind: 'check' }>, state: ExecState): Generator<Pending, void> {
  const { constraint, values } = event;
  const { catalog, transaction, context } = state;
  const relation = catalog.relation(constraint.conrelid);
  const parent = catalog.relation(constraint.confrelid);
  if (!relation || !parent) return;
  const key: Datum[] = constraint.conkey.map((attnum) => values[attnum - 1] ?? null);
  const nulls = key.filter((value) => value === null).length;
  if (nulls === key.length || (nulls > 0 && constraint.confmatchtype === 's')) return;
  if (nulls > 0) {
    throw new DatabaseError('23503', `insert or update on table "${relation.relname}" violates foreign key constraint "${constraint.conname}"`, {
      detail: 'MATCH FULL does not allow mixing of null and nonnull key values.', ...place(relation, constraint, catalog),
    });
  }
  const casts = keyCasts(constraint, relation, parent, catalog, context);
  const wanted = casts ? casts.toParent(values, catalog, context) : key;
  for (;;) {
    const snapshot = transaction.latestSnapshot();
    try {
      // The row may have been changed or deleted since: then another event or none is due.
      const own = yield* waitFor(() => tableAccess(relation, catalog).fetch(transaction, snapshot, event.rowId as RowId));
      if (!own) return;
      const codec = tableAccess(relation, catalog).codec;
      const still = constraint.conkey.every((attnum, i) => {
        const now = codec.read(own.tuple, attnum - 1);
        return sameDatum(now, key[i] ?? null, relation.attributes[attnum - 1]!.atttypid, catalog);
      });
      if (!still) return;
      const [row] = wanted ? yield* rowsEqual(parent, constraint.confkey, wanted, snapshot, state) : [];
      if (!row || !wanted) {
        if (wanted && transaction.isolation !== 'read committed' && (yield* seenOnly(parent, constraint.confkey, wanted, state))) throw serializationFailure('update');
        break;
      }
      const version = yield* lockWithKey(parent, row, 'key share', constraint.confkey, wanted, snapshot, state);
      // While it waited a rival may have changed the key: then look for the key again.
      if (!version) continue;
      if (transaction.isolation === 'read committed' || (yield* isKnown(parent, version, state, constraint.confkey))) return;
      break;
    } finally {
      snapshot.release();
    }
  }
  throw new DatabaseError('23503', `insert or update on table "${relation.relname}" violates foreign key constraint "${constraint.conname}"`, {
    detail: `Key ${keyText(relation, constraint.conkey, key, catalog, context)} is not present in table "${parent.relname}".`, ...place(relation, constraint, catalog),
  });
}

function place(relation: Relation, constraint: Constraint, catalog: Catalog): { schema: string | undefined; table: string; constraint: string } {
  return { schema: catalog.namespace(relation.relnamespace)?.nspname, table: relation.relname, constraint: constraint.conname };
}

function* referencedChanged(event: Extract<ConstraintEvent, { kind: 'referenced' }>, state: ExecState): Generator<Pending, void> {
  const { constraint, before, after } = event;
  const { catalog, transaction, context } = state;
  const parent = catalog.relation(constraint.confrelid);
  const child = catalog.relation(constraint.conrelid);
  if (!parent || !child) return;
  const key: Datum[] = constraint.confkey.map((attnum) => before[attnum - 1] ?? null);
  if (key.includes(null)) return;
  const action = after === null ? constraint.confdeltype : constraint.confupdtype;
  const snapshot = transaction.latestSnapshot();
  try {
    if (action === 'a') {
      // Another row may have the key by now.
      const others = yield* rowsEqual(parent, constraint.confkey, key, snapshot, state);
      if (others.length > 0) return;
    }
    const equal = equalByCast(constraint, child, parent, key, state);
    const referencing = yield* rowsEqual(child, constraint.conkey, key, snapshot, state, equal);
    if (action === 'a' || action === 'r') {
      // A rival may be about to take the reference away.
      let still = false;
      for (const row of referencing) still ||= (yield* lockWithKey(child, row, 'key share', constraint.conkey, key, snapshot, state, equal)) !== undefined;
      if (!still) return;
      throw new DatabaseError('23503', `update or delete on table "${parent.relname}" violates foreign key constraint "${constraint.conname}" on table "${child.relname}"`, {
        detail: `Key ${keyText(parent, constraint.confkey, key, catalog, context)} is still referenced from table "${child.relname}".`, ...place(child, constraint, catalog),
      });
    }
    for (const row of referencing) yield* act(action, constraint, child, parent, row, key, after, snapshot, state, equal);
  } finally {
    snapshot.release();
  }
}

/**
 * Locks a row and reads it as it is then: undefined when it is gone or its key is another by now.
 * At REPEATABLE READ a change while waiting is a serialization failure.
 */
function* lockWithKey(
  relation: Relation, row: RowVersion, strength: RowLockStrength, columns: readonly number[], key: readonly Datum[], snapshot: Snapshot, state: ExecState, equal: Equal | null = null,
): Generator<Pending, RowVersion | undefined> {
  const { transaction, catalog } = state;
  const locked = yield* waitFor(() => transaction.lockRow(relation.storage, row.rowId, strength, 'wait', snapshot));
  const access = tableAccess(relation, catalog);
  const found = locked.kind === 'deleted' ? undefined : yield* waitFor(() => access.fetch(transaction, snapshot, row.rowId));
  if (transaction.isolation !== 'read committed' && found?.xmin !== row.xmin) throw serializationFailure('update');
  if (!found) return undefined;
  const version = { ...found, tuple: found.tuple.slice() };
  const same = equal ? equal(version.tuple) : columns.every((attnum, i) => sameDatum(access.codec.read(version.tuple, attnum - 1), key[i] ?? null, relation.attributes[attnum - 1]!.atttypid, catalog));
  return same ? version : undefined;
}

/**
 * REPEATABLE READ: false for a row that the transaction's snapshot does not see; 40001 for one that
 * it sees otherwise. `columns`: only these matter (KEY SHARE goes with changes of the others).
 */
function* isKnown(relation: Relation, version: RowVersion, state: ExecState, columns?: readonly number[]): Generator<Pending, boolean> {
  const { transaction, catalog } = state;
  if (version.xmin === transaction.xid && transaction.xid !== 0) return true;
  const snapshot = transaction.takeSnapshot();
  try {
    const seen = yield* waitFor(() => tableAccess(relation, catalog).fetch(transaction, snapshot, version.rowId));
    if (seen && seen.xmin !== version.xmin && !(columns && sameColumns(relation, columns, seen.tuple, version.tuple, catalog))) throw serializationFailure('update');
    return seen !== undefined;
  } finally {
    snapshot.release();
  }
}

/** REPEATABLE READ: whether the snapshot still has a row with the key, which is gone by now. */
function* seenOnly(relation: Relation, columns: readonly number[], key: readonly Datum[], state: ExecState): Generator<Pending, boolean> {
  const snapshot = state.transaction.takeSnapshot();
  try {
    return (yield* rowsEqual(relation, columns, key, snapshot, state)).length > 0;
  } finally {
    snapshot.release();
  }
}

/** CASCADE, SET NULL or SET DEFAULT on one referencing row. */
function* act(
  action: string, constraint: Constraint, child: Relation, parent: Relation, row: RowVersion, key: readonly Datum[], after: readonly Datum[] | null, snapshot: Snapshot, state: ExecState, equal: Equal | null,
): Generator<Pending, void> {
  const { catalog, transaction, context } = state;
  const deleting = action === 'c' && after === null;
  const version = yield* lockWithKey(child, row, deleting ? 'update' : 'no key update', constraint.conkey, key, snapshot, state, equal);
  if (!version) return;
  if (transaction.isolation !== 'read committed' && !(yield* isKnown(child, version, state))) throw serializationFailure('update');
  const { codec } = tableAccess(child, catalog);
  const old = codec.readAll(version.tuple);
  const writer = newWriter(child, transaction, catalog, context);
  const events = new ConstraintEvents(child, transaction);
  if (deleting) {
    writer.delete(row.rowId, old);
    events.deleted(old);
    return;
  }
  const values = [...old];
  const given = after && (keyCasts(constraint, child, parent, catalog, context)?.toChild(after, context) ?? constraint.confkey.map((attnum) => after[attnum - 1] ?? null));
  constraint.conkey.forEach((attnum, i) => {
    if (action === 'c') values[attnum - 1] = given![i]!;
    else if (after === null && constraint.confdelsetcols && constraint.confdelsetcols.length > 0 && !constraint.confdelsetcols.includes(attnum)) return;
    else values[attnum - 1] = action === 'n' ? null : columnDefaultValue(child, attnum, catalog, context);
  });
  relationChecks(child, catalog, context).apply(values, catalog, context);
  yield* waitFor(() => writer.update(row.rowId, old, values));
  events.updated(row.rowId, old, values, catalog);
}

/**
 * Table locks of a query, taken before it runs: what keeps DDL and queries apart. A query that had
 * to wait is analyzed again, because the relation may have changed meanwhile.
 */
import { Pending } from '../../engine/pending.js';
import type { TableLockMode } from '../../engine/storage.js';
import { relationLockId } from '../access/locks.js';
import type { Query } from '../analyzer/query-tree.js';
import { FIRST_NORMAL_OID } from '../catalog/relation-builder.js';
import { ensureAnalyzed, type PreparedStatement } from './prepared.js';
import type { Session } from './session.js';

interface NeededLock { readonly id: number; readonly mode: TableLockMode }

const needed = new WeakMap<Query, readonly NeededLock[]>();

/** RowExclusive on what is written, RowShare on what FOR UPDATE and its like name, AccessShare on the rest. Catalog tables have no DDL to be kept from. */
function locksOf(query: Query): readonly NeededLock[] {
  let locks = needed.get(query);
  if (!locks) {
    const marked = new Set(query.rowMarks.map((mark) => {
      const entry = query.rangeTable[mark.rtindex - 1];
      return entry?.kind === 'relation' ? entry.relation : 0;
    }));
    const modes = new Map<number, TableLockMode>();
    for (const { relation, privileges } of query.permissions) {
      if (relation < FIRST_NORMAL_OID || modes.get(relation) === 'RowExclusiveLock') continue;
      const writes = privileges.some((privilege) => privilege !== 'select');
      modes.set(relation, writes && !marked.has(relation) ? 'RowExclusiveLock' : marked.has(relation) ? 'RowShareLock' : 'AccessShareLock');
    }
    locks = [...modes].map(([relation, mode]) => ({ id: relationLockId(relation), mode }));
    needed.set(query, locks);
  }
  return locks;
}

/** Relations in which damage was found serve nobody (damage.ts). */
function refuseDamaged(session: Session, query: Query): void {
  if (session.settings.get('oxbow.read_damaged') === 'on') return;
  session.cluster.damaged.refuseAny(session.catalog, query.permissions.map(({ relation }) => relation));
}

/** undefined when all are held at once; else the wait for the rest. */
export function lockRelations(session: Session, statement: PreparedStatement): Promise<void> | undefined {
  const transaction = session.engineTransaction;
  session.cluster.catalogs.raiseFloor(transaction);
  if (session.cluster.damaged.any) refuseDamaged(session, statement.query!);
  for (const { id, mode } of locksOf(statement.query!)) {
    const held = transaction.lockTable(id, mode, 'wait');
    if (held instanceof Pending) return waitForLocks(session, statement, held);
  }
  return undefined;
}

/** Takes them if that needs no waiting; false: `lockRelations` must wait (some may be held already). */
export function lockRelationsNow(session: Session, statement: PreparedStatement): boolean {
  const transaction = session.engineTransaction;
  session.cluster.catalogs.raiseFloor(transaction);
  if (session.cluster.damaged.any) refuseDamaged(session, statement.query!);
  for (const { id, mode } of locksOf(statement.query!)) if (transaction.lockTable(id, mode, 'nowait') !== true) return false;
  return true;
}

async function waitForLocks(session: Session, statement: PreparedStatement, first: Pending): Promise<void> {
  await session.wait(first);
  for (;;) {
    session.cluster.catalogs.raiseFloor(session.engineTransaction);
    // Nothing was described yet in the simple protocol: other columns are fine.
    if (!statement.variableParameters) statement.query = null;
    ensureAnalyzed(statement, session.context);
    const rest = lockRelations(session, statement);
    if (!rest) return;
    await rest;
  }
}

/** Starting a SELECT or DML: permissions, plan (kept with its statement), snapshot, row source. */
import type { Snapshot } from '../../engine/storage.js';
import { DatabaseError } from '../../engine/errors.js';
import type { RowSource } from '../executor/row-source.js';
import { startPlan } from '../executor/execute.js';
import { planQuery, type PlanOptions } from '../planner/plan.js';
import type { PhysicalPlan } from '../planner/plan-node.js';
import type { Query } from '../analyzer/query-tree.js';
import type { Datum } from '../types/datum.js';
import { checkPermissions } from './permissions.js';
import type { PreparedStatement } from './prepared.js';
import type { Session } from './session.js';

export interface RunningQuery {
  readonly source: RowSource;
  readonly snapshot: Snapshot;
  rowsAffected(): number;
}

/** The statement's plan, made anew when it is gone. */
export function planOf(session: Session, statement: PreparedStatement): PhysicalPlan {
  session.cluster.metrics.planCache(statement.plan !== null);
  return (statement.plan ??= planQuery(statement.query!, planEnvironment(session)));
}

export function planEnvironment(session: Session): PlanOptions {
  return { catalog: session.catalog, context: session.context };
}

export function startQuery(session: Session, statement: PreparedStatement, params: readonly Datum[]): RunningQuery {
  const query = statement.query!;
  checkPermissions(query.permissions, session.context);
  refuseInReadOnly(session, query);
  const plan = planOf(session, statement);
  const transaction = session.engineTransaction;
  const snapshot = transaction.takeSnapshot();
  try {
    const source = startPlan(plan, { params, transaction, snapshot, context: session.context, interrupts: session.interrupts });
    return { source, snapshot, rowsAffected: () => source.rowsAffected };
  } catch (error) {
    snapshot.release();
    throw error;
  }
}

export function refuseInReadOnly(session: Session, query: Query): void {
  if (!session.transaction.readOnly) return;
  const writes = query.commandType !== 'select' || query.ctes.some((cte) => cte.query.commandType !== 'select');
  if (writes && !writesTemporaryOnly(session, query)) throw readOnlyError(query.commandType === 'select' ? 'INSERT' : query.commandType.toUpperCase());
  if (query.rowMarks.length > 0) throw readOnlyError(`SELECT ${{ 'key share': 'FOR KEY SHARE', share: 'FOR SHARE', 'no key update': 'FOR NO KEY UPDATE', update: 'FOR UPDATE' }[query.rowMarks[0].strength]}`);
}

function writesTemporaryOnly(session: Session, query: Query): boolean {
  const entry = query.rangeTable[query.resultRelation - 1];
  return entry?.kind === 'relation' && session.catalog.relation(entry.relation)?.relpersistence === 't';
}

export function readOnlyError(tag: string): DatabaseError {
  return new DatabaseError('25006', `cannot execute ${tag} in a read-only transaction`);
}

/**
 * Runs a statement's short path (sql/executor/short): one row by its key, or one row inserted, without a row source,
 * a driver or promises. Everything around it is as in `startQuery` and `drain`: permissions, read-only
 * transactions, table locks, and no row leaves before what it rests on is durable.
 */
import { Pending } from '../../engine/pending.js';
import { ExecState } from '../executor/exec-state.js';
import { Frame } from '../executor/expressions/frame.js';
import { foldedExpressions } from '../executor/short/folded.js';
import { GENERAL, ShortExecution, shortPlanOf, type ShortPlan } from '../executor/short/short-plan.js';
import type { Datum } from '../types/datum.js';
import { planOf, refuseInReadOnly } from './execute-query.js';
import { checkPermissions } from './permissions.js';
import type { Portal } from './portal.js';
import { ensureAnalyzed, type PreparedStatement } from './prepared.js';
import { lockRelationsNow } from './relation-locks.js';
import { expandFormats, RowEncoder } from './row-encoder.js';
import type { Session } from './session.js';

export interface ShortOutcome {
  /** Rows read or changed; GENERAL: nothing was done, the general way must run the statement. */
  readonly count: number;
  /** The result row of a change, when there is one. */
  readonly row: readonly Datum[] | null;
  /** What was read is with the sink already, described if it was to be. */
  readonly sent: boolean;
}

export const NOT_SHORT: ShortOutcome = { count: GENERAL, row: null, sent: false };

/** Analyzes and plans a statement whose constants were lifted out: has it a short path that does what the text would? Raises what analyzing raises. */
export function liftedHasShortPath(session: Session, statement: PreparedStatement): boolean {
  ensureAnalyzed(statement, session.context);
  if (!statement.query) return false;
  const plan = planOf(session, statement);
  statement.folded = foldedExpressions(plan, session.catalog);
  statement.short ??= shortPlanOf(plan, session.catalog, session.context);
  return statement.folded !== null && statement.short !== null;
}

/** A promise only when the statement has to wait for a row or for durability. `describe`: the rows' columns are to be said before them. */
export function runShort(session: Session, portal: Portal, describe: boolean): ShortOutcome | Promise<ShortOutcome> {
  const { statement } = portal;
  const { context } = session;
  if (statement.short === null || session.transaction.isolation === 'serializable') return NOT_SHORT;
  ensureAnalyzed(statement, context);
  const { query } = statement;
  if (!query) return NOT_SHORT;
  checkPermissions(query.permissions, context);
  refuseInReadOnly(session, query);
  const plan = planOf(session, statement);
  if (statement.short === undefined) statement.short = shortPlanOf(plan, context.catalog, context);
  const { short } = statement;
  if (!short || !lockRelationsNow(session, statement)) return NOT_SHORT;
  session.transaction.markStarted();
  if (statement.folded) for (const compute of statement.folded) compute(new Frame(new ExecState(context, portal.params, session.engineTransaction, null as never, session.interrupts)));
  return short.readOnly ? read(session, portal, short, describe) : change(session, portal, short);
}

function read(session: Session, portal: Portal, short: ShortPlan, describe: boolean): ShortOutcome {
  const transaction = session.engineTransaction;
  // What was seen before must be durable before anything leaves: the general way waits for it.
  if (transaction.floorPending()) return NOT_SHORT;
  const state = new ExecState(session.context, portal.params, transaction, transaction.instantSnapshot(), session.interrupts);
  const { sink } = session;
  const { rows } = sink;
  const { output } = short;
  portal.columns = portal.statement.columns;
  const encoder = encoderOf(session, portal);
  // Rows go out as they are read: nothing else can happen meanwhile.
  const mark = rows.mark();
  let count: number | Pending = GENERAL;
  try {
    if (describe) sink.rowDescription(portal.columns!, encoder.formats);
    count = short.run(new ShortExecution(state, (row) => encoder.writeRow(row, rows), (frame) => encoder.writeStored(output!, frame, rows)));
  } finally {
    if (typeof count !== 'number' || count < 0) {
      portal.columns = null;
      rows.undo(mark);
    }
  }
  if (typeof count !== 'number' || count < 0) return NOT_SHORT;
  portal.rowsSent = count;
  session.cluster.metrics.rows(count);
  return { count, row: null, sent: true };
}

const none = (): void => undefined;

function change(session: Session, portal: Portal, short: ShortPlan): ShortOutcome | Promise<ShortOutcome> {
  const transaction = session.engineTransaction;
  const snapshot = transaction.takeSnapshot();
  let row: readonly Datum[] | null = null;
  let waits = false;
  try {
    const execution = new ShortExecution(new ExecState(session.context, portal.params, transaction, snapshot, session.interrupts), (found) => (row = found), none);
    execution.rows = portal.rows;
    const count = short.run(execution);
    const wait = count instanceof Pending ? count : floorOf(session, row);
    if (!wait) return { count: count as number, row, sent: false };
    waits = true;
    return waitAndRun(session, short, execution, count, wait, () => row).finally(() => snapshot.release());
  } finally {
    if (!waits) snapshot.release();
  }
}

/**
 * The wait before what was found may leave. A change that returns no row tells nothing of it: its commit will wait, together with
 * those of all who queue for the same row. Waiting here, a hot row would be changed once per sync.
 */
function floorOf(session: Session, row: readonly Datum[] | null): Pending | undefined {
  return row === null ? undefined : session.driver.floor();
}

async function waitAndRun(session: Session, short: ShortPlan, execution: ShortExecution, first: number | Pending, wait: Pending, row: () => readonly Datum[] | null): Promise<ShortOutcome> {
  let count = first;
  let pending: Pending | undefined = wait;
  while (pending) {
    await session.wait(pending);
    if (count instanceof Pending) count = short.run(execution);
    pending = count instanceof Pending ? count : floorOf(session, row());
  }
  return { count: count as number, row: row(), sent: false };
}

/** The encoder of the portal's rows, kept with its statement. */
export function encoderOf(session: Session, portal: Portal): RowEncoder {
  const { statement, formats } = portal;
  const columns = portal.columns!;
  const kept = statement.encoder;
  if (kept && columns === statement.columns && sameFormats(kept.formats, formats)) return kept;
  const encoder = new RowEncoder(columns, expandFormats(formats, columns.length), session.context);
  if (columns === statement.columns) statement.encoder = encoder;
  return encoder;
}

/** `expanded`: one format per column; `given`: none, one for all, or one per column. */
function sameFormats(expanded: readonly number[], given: readonly number[]): boolean {
  for (let i = 0; i < expanded.length; i++) if (expanded[i] !== (given.length === 0 ? 0 : given.length === 1 ? given[0] : given[i])) return false;
  return given.length <= 1 || given.length === expanded.length;
}

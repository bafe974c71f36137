/** Runs portals: plan, snapshot and row source, rows into the sink, the short paths' answers. */
import { Pending } from '../../engine/pending.js';
import type { Datum } from '../types/datum.js';
import { drain, type Drained } from './driver.js';
import { startQuery } from './execute-query.js';
import type { Portal } from './portal.js';
import { ensureAnalyzed, queryTag, type PreparedStatement } from './prepared.js';
import { lockRelations } from './relation-locks.js';
import type { Session } from './session.js';
import { encoderOf, type ShortOutcome } from './short-statement.js';
import { runUtility } from './utility.js';

/** Utility statements that take no snapshot: the isolation level may still change after them (PlannedStmtRequiresSnapshot). */
const WITHOUT_SNAPSHOT = new Set(['TransactionStmt', 'LockStmt', 'VariableSetStmt', 'VariableShowStmt', 'ConstraintsSetStmt', 'FetchStmt', 'ListenStmt', 'NotifyStmt', 'UnlistenStmt', 'CheckPointStmt']);
/** Utility statements that read as a query does: they wait for a safe snapshot. */
const READS_BY_SNAPSHOT = new Set(['DeclareCursorStmt', 'ExplainStmt', 'CopyStmt', 'ExecuteStmt', 'CreateTableAsStmt']);

export class PortalRunner {
  constructor(private readonly session: Session) {}

  make(name: string, statement: PreparedStatement, params: readonly Datum[], formats: readonly number[]): Portal {
    return {
      name, statement, params, rows: null, formats, source: null, columns: statement.columns, encoder: null, snapshot: null, tag: () => '', rowsSent: 0, finished: false,
      cursor: null, buffer: null, position: 0, createdAt: this.session.context.statementTimestamp,
    };
  }

  /** Starts a portal: a query gets its plan and snapshot, a utility statement runs. */
  start(portal: Portal): Promise<void> | undefined {
    const { statement } = portal;
    if (statement.node === null) return undefined;
    ensureAnalyzed(statement, this.session.context);
    if (!statement.query) return this.#startUtility(portal);
    const safe = this.session.transaction.isolation === 'serializable' ? this.session.transaction.engine.safeSnapshotPending() : undefined;
    if (safe) return this.#startSafely(safe, portal);
    const locking = lockRelations(this.session, statement);
    if (locking) return locking.then(() => this.startQuery(portal));
    this.startQuery(portal);
    return undefined;
  }

  async #startSafely(first: Pending, portal: Portal): Promise<void> {
    await this.#waitForSafeSnapshot(first);
    await this.start(portal);
  }

  /** SERIALIZABLE READ ONLY DEFERRABLE: begins to read when its snapshot can be part of no anomaly. */
  async #waitForSafeSnapshot(first = this.session.transaction.engine.safeSnapshotPending()): Promise<void> {
    for (let pending = first; pending; pending = this.session.transaction.engine.safeSnapshotPending()) await this.session.wait(pending);
  }

  async #startUtility(portal: Portal): Promise<void> {
    const { statement } = portal;
    if (this.session.transaction.isolation === 'serializable' && READS_BY_SNAPSHOT.has(statement.tag)) await this.#waitForSafeSnapshot();
    if (!WITHOUT_SNAPSHOT.has(statement.tag)) this.session.transaction.markStarted();
    const result = await runUtility(this.session, statement, portal.params);
    portal.columns = result.rows?.columns ?? null;
    portal.source = result.rows ?? null;
    portal.tag = (rows) => result.tag(rows);
    if (this.session.transaction.current?.transaction.state === 'active') this.session.transaction.engine.advanceCommand();
  }

  /** Plan, snapshot and row source of a SELECT or DML portal. */
  startQuery(portal: Portal): void {
    const { statement } = portal;
    const query = statement.query!;
    this.session.transaction.markStarted();
    const running = startQuery(this.session, statement, portal.params);
    portal.snapshot = running.snapshot;
    portal.source = running.source;
    portal.columns = statement.columns;
    portal.tag = (rows) => queryTag(query, query.commandType === 'select' ? rows : running.rowsAffected());
  }

  /** Sends rows. Answers the command tag, or '' when suspended by maxRows. */
  drain(portal: Portal, maxRows = 0): string | Promise<string> {
    if (portal.statement.node === null) return '';
    const { source } = portal;
    if (source === null) {
      portal.finished = true;
      return portal.tag(0);
    }
    if (portal.columns && portal.encoder === null) {
      portal.encoder = encoderOf(this.session, portal);
    }
    const { encoder } = portal;
    const outcome = drain(source, portal.columns ? maxRows : 0, (batch) => encoder?.write(batch, this.session.sink.rows), this.session.driver);
    return outcome instanceof Promise ? outcome.then((drained) => this.#drained(portal, drained)) : this.#drained(portal, outcome);
  }

  #drained(portal: Portal, { rows, done }: Drained): string {
    portal.rowsSent += rows;
    this.session.cluster.metrics.rows(rows);
    if (!done) return '';
    portal.finished = true;
    portal.snapshot?.release();
    portal.snapshot = null;
    return portal.tag(portal.statement.query?.commandType === 'select' || !portal.statement.query ? rows : portal.rowsSent);
  }

  /** Sends the row of a short change; what was read has gone. Answers the command tag. */
  answerShort(portal: Portal, { count, row }: ShortOutcome): string {
    const { query, columns } = portal.statement;
    portal.columns = columns;
    portal.finished = true;
    portal.tag = (rows) => queryTag(query!, rows);
    if (row) {
      encoderOf(this.session, portal).writeRow(row, this.session.sink.rows);
      portal.rowsSent = 1;
      this.session.cluster.metrics.rows(1);
    }
    return queryTag(query!, count);
  }
}

/**
 * One client's session, without a socket: what its protocols (simple-protocol.ts, extended-protocol.ts), portals and the transaction
 * around them share. Messages come one at a time; every answer goes to the sink.
 *
 *   parse -> prepared statement -> bind -> portal -> execute -> rows into the sink
 *
 * Invariant: after an error the implicit transaction is gone and a block is failed; the session
 * itself goes on.
 */
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { EngineSession, Transaction } from '../../engine/storage.js';
import type { TransactionStmt } from '@pgsql/types';
import type { Catalog } from '../catalog/catalog.js';
import { endTemporarySchema } from '../catalog/temporary-objects.js';
import { temporaryNamespaceName } from '../analyzer/names.js';
import { startDeferredConstraints } from '../executor/execute.js';
import type { SliceInterrupts } from '../executor/interrupts.js';
import type { RowSource } from '../executor/row-source.js';
import type { BackendInfo } from '../functions/context.js';
import { POSTGRES_EPOCH_MICROS } from './backends.js';
import type { Cluster } from './cluster.js';
import { drain, settleWait, type DriverHooks } from './driver.js';
import { ExtendedProtocol } from './extended-protocol.js';
import { toDatabaseError } from './internal-error.js';
import { NOTIFY_PREFIX, SessionNotifications, type Notification, type NotifyingSession } from './notifications.js';
import { closePortal, type Portal } from './portal.js';
import { PortalRunner } from './portal-runner.js';
import { Portals } from './portals.js';
import { canonicalMoment } from './as-of.js';
import type { PreparedStatement } from './prepared.js';
import { SessionActivity } from './session-activity.js';
import { SessionContext } from './session-context.js';
import { SessionSettings } from './session-settings.js';
import type { NoticeFields, Sink } from './sink.js';
import { SimpleProtocol } from './simple-protocol.js';
import { StatementCache } from './statement-cache.js';
import { timeZoneName } from './time-zone-name.js';
import { SessionTransaction } from './transaction.js';
import { endsFailedBlock, runTransactionStatement } from './transaction-statement.js';

export interface ClientInfo { readonly address: string | null; readonly port: number }

export interface SessionOptions {
  readonly cluster: Cluster;
  readonly pid: number;
  readonly databaseOid: number;
  readonly databaseName: string;
  readonly userOid: number;
  readonly sink: Sink;
  readonly client: ClientInfo;
  /** Settings from the startup packet. */
  readonly settings: ReadonlyMap<string, string>;
  /** Ends the connection (pg_terminate_backend). */
  readonly terminate: (error: DatabaseError) => void;
  /** Internal faults, for the log. */
  readonly onFault?: (error: unknown) => void;
  /** Statements that failed, for the log: no texts and no values. */
  readonly onError?: (sqlstate: string, durationMs: number) => void;
}

export class Session {
  readonly cluster: Cluster;
  readonly pid: number;
  readonly databaseOid: number;
  readonly databaseName: string;
  readonly client: ClientInfo;
  readonly sink: Sink;
  readonly settings: SessionSettings;
  readonly context: SessionContext;
  readonly transaction: SessionTransaction;
  readonly engineSession: EngineSession;
  readonly notifications: SessionNotifications;
  /** The role that logged in, which SET SESSION AUTHORIZATION goes back to. */
  readonly authenticatedUser: number;
  sessionUser: { oid: number; name: string };
  currentUser: { oid: number; name: string; superuser: boolean };

  readonly prepared = new Map<string, PreparedStatement>();
  readonly portals = new Portals();
  /** Work for the end of the transaction, by key (deferred constraints, temporary tables, listens). */
  readonly beforeCommit = new Map<string, () => Promise<void> | void>();
  readonly onTransactionEnd = new Set<(committed: boolean) => void>();

  readonly #activity: SessionActivity;
  readonly simple: SimpleProtocol;
  readonly extended: ExtendedProtocol;
  readonly runner: PortalRunner;
  #closed = false;

  constructor(private readonly options: SessionOptions) {
    this.cluster = options.cluster;
    this.pid = options.pid;
    this.databaseOid = options.databaseOid;
    this.databaseName = options.databaseName;
    this.client = options.client;
    this.sink = options.sink;
    this.engineSession = this.cluster.storage.openSession(this.pid, this.databaseOid);
    const role = this.cluster.catalogs.committed(this.databaseOid).role(options.userOid);
    if (!role) throw new DatabaseError('28000', 'role does not exist', { severity: 'FATAL' });
    this.authenticatedUser = role.oid;
    this.sessionUser = { oid: role.oid, name: role.rolname };
    this.currentUser = { oid: role.oid, name: role.rolname, superuser: role.rolsuper };
    this.settings = new SessionSettings(
      {
        timeZone: timeZoneName,
        roleExists: (name) => this.catalog.roleNamed(name) !== undefined,
        asOf: (text) => canonicalMoment(this, text),
        reported: (name, value) => this.sink.parameterStatus(name, value),
      },
      new Map([...this.cluster.serverSettings, ['session_authorization', role.rolname], ['is_superuser', role.rolsuper ? 'on' : 'off']]),
    );
    this.transaction = new SessionTransaction(this.cluster, this.databaseOid, this.engineSession, this.settings, {
      beforeCommit: () => this.#runBeforeCommit(),
      ended: (committed) => this.#transactionEnded(committed),
      rolledBackTo: (sub) => {
        this.portals.closeAll((portal) => portal.cursor === null);
        if (this.notifications.pending) this.notifications.rolledBackTo(sub);
      },
      warning: (sqlstate, message) => this.notice({ severity: 'WARNING', sqlstate, message }),
    });
    this.engineSession.deadlockTimeoutMs = () => this.settings.number('deadlock_timeout');
    this.notifications = new SessionNotifications(this.cluster.notifications, new NotifyingClient(this));
    this.context = new SessionContext(this);
    for (const [name, value] of options.settings) this.settings.setStartup(name, value);
    this.#activity = new SessionActivity(this, options.terminate);
    const statements = new StatementCache(this);
    this.runner = new PortalRunner(this);
    this.simple = new SimpleProtocol(this, this.#activity, statements, this.runner);
    this.extended = new ExtendedProtocol(this, this.#activity, statements, this.runner);
    this.cluster.backends.add({
      pid: this.pid, info: () => this.info(), cancel: () => this.cancel(), terminate: () => this.#activity.terminate(),
    });
  }

  // ---- what contexts ask ----

  get catalog(): Catalog {
    return this.transaction.current?.catalog ?? this.cluster.catalogs.committed(this.databaseOid);
  }

  get engineTransaction(): Transaction {
    return this.transaction.engine;
  }

  get interrupts(): SliceInterrupts {
    return this.#activity.slices;
  }

  /** Between messages, outside a transaction. */
  get idle(): boolean {
    return this.#activity.state === 'idle' && this.transaction.status === 'idle' && !this.#closed;
  }

  notice(notice: NoticeFields): void {
    const levels = ['debug5', 'debug4', 'debug3', 'debug2', 'debug1', 'log', 'notice', 'warning', 'error'];
    const rank = notice.severity === 'DEBUG' ? 4 : notice.severity === 'LOG' ? 5 : notice.severity === 'NOTICE' ? 6 : notice.severity === 'WARNING' ? 7 : 9;
    const wanted = levels.indexOf(this.settings.stored('client_min_messages') ?? 'notice');
    if (notice.severity === 'INFO' || rank >= wanted) this.sink.notice(notice);
  }

  readonly driver: DriverHooks = {
    check: () => this.checkInterrupt(),
    turn: () => this.cluster.runtime.clock.turn(),
    beginSlice: () => this.#activity.slices.beginSlice(),
    interrupted: () => this.#activity.interrupted(),
    waiting: (event) => this.#activity.setWaiting(event),
    backPressure: () => this.sink.backPressure(),
    floor: () => this.#floor(),
  };

  /**
   * The wait before what was found may leave. Where the transaction ends with the statement, the answer is held back instead, and the
   * transaction's end does not wait: else a row that many change with RETURNING would be changed once per sync.
   */
  #floor(): Pending | undefined {
    const current = this.transaction.current?.transaction;
    const pending = current?.state === 'active' ? current.floorPending() : undefined;
    if (!pending || this.transaction.status !== 'implicit') return pending;
    this.sink.holdUntil(pending.until as Promise<void>);
    return undefined;
  }

  checkInterrupt(): void {
    this.#activity.check();
  }

  /** Runs a source that yields no rows of interest (constraint checks). */
  async drainQuietly(source: RowSource | undefined): Promise<void> {
    if (!source) return;
    try {
      await drain(source, 0, () => undefined, this.driver);
    } finally {
      source.close();
    }
  }

  /** Waits for a Pending with cancel and lock_timeout. */
  wait(pending: Pending): Promise<void> {
    return settleWait(pending, this.driver);
  }

  /** For long loops outside operators: checks for cancel, and now and then gives others a turn. */
  breathe(): Promise<void> | undefined {
    return this.#activity.breathe();
  }

  /** CancelRequest or pg_cancel_backend: only while a statement runs. */
  cancel(): void {
    this.#activity.cancel();
  }

  info(): BackendInfo {
    return this.#activity.info();
  }

  // ---- what both protocols share ----

  /** Before ReadyForQuery: changed settings are reported, notifications handed on. */
  endMessage(): void {
    this.#activity.end();
    this.settings.report();
    if (this.transaction.status === 'idle') this.notifications.passOn();
  }

  /** Counts a statement in the metrics; `started` in milliseconds of the monotonic clock. */
  noteStatement(kind: string, outcome: 'ok' | 'error', started: number): void {
    this.cluster.metrics.statement(kind, outcome, this.cluster.runtime.clock.monotonicMs() - started);
  }

  /** What the answer depends on must be durable before it leaves. */
  settleFloor(): Promise<void> | undefined {
    const pending = this.driver.floor();
    return pending && this.wait(pending);
  }

  /** In a failed block only its end is allowed (25P02). */
  refuseInFailedBlock(statement: PreparedStatement): void {
    if (this.transaction.status !== 'failed' || statement.node === null) return;
    if (statement.tag === 'TransactionStmt' && endsFailedBlock((statement.node as { TransactionStmt: TransactionStmt }).TransactionStmt)) return;
    throw new DatabaseError('25P02', 'current transaction is aborted, commands ignored until end of transaction block');
  }

  transactionStatement(statement: PreparedStatement): string | Promise<string> {
    return runTransactionStatement((statement.node as { TransactionStmt: TransactionStmt }).TransactionStmt, this);
  }

  /** True while several statements of one message share the implicit transaction. */
  inMultiStatementMessage = false;

  /** Begins the implicit transaction when there is none. */
  ensureTransaction(several = false): void {
    this.inMultiStatementMessage = several;
    if (!this.transaction.active) this.transaction.begin('implicit');
    if (this.context.transactionTimestamp === 0) this.context.transactionTimestamp = this.transaction.startMicros - POSTGRES_EPOCH_MICROS;
  }

  /** A message that could not even be read: as a failed simple query. */
  reject(error: unknown): void {
    this.extended.resume();
    this.failed(error);
    this.#activity.end();
    this.settings.report();
  }

  closePortal(name: string): void {
    this.portals.close(name);
  }

  // ---- transaction ends ----

  #runBeforeCommit(): Promise<void> | undefined {
    const transaction = this.transaction.current?.transaction;
    const constraints = transaction && startDeferredConstraints(transaction, this.context, this.#activity.slices);
    return constraints || this.beforeCommit.size > 0 || this.notifications.pending ? this.#workBeforeCommit(constraints) : undefined;
  }

  async #workBeforeCommit(constraints: RowSource | undefined): Promise<void> {
    await this.drainQuietly(constraints);
    for (const work of this.beforeCommit.values()) await work();
    if (!this.notifications.pending) return;
    const { engine } = this.transaction;
    const messages = this.notifications.beforeCommit();
    if (messages.length > 0) engine.assignXid();
    for (const content of messages) engine.addMessage({ prefix: NOTIFY_PREFIX, content });
  }

  #transactionEnded(committed: boolean): void {
    if (this.beforeCommit.size > 0) this.beforeCommit.clear();
    this.notifications.ended(committed);
    this.portals.closeAll(endsWithTransaction);
    this.context.transactionTimestamp = 0;
    for (const listener of this.onTransactionEnd) listener(committed);
  }

  /** A statement failed: the client is told, and the transaction is failed or gone. */
  failed(error: unknown): void {
    const shown = toDatabaseError(error, (fault) => this.options.onFault?.(fault));
    for (const portal of this.portals.list()) if (!portal.finished && portal.source && portal.cursor === null) closePortal(portal);
    this.transaction.fail();
    if (this.transaction.status !== 'failed') this.portals.closeAll((portal) => !(portal.cursor?.hold && portal.source === null));
    this.options.onError?.(shown.sqlstate, this.#activity.statementMs);
    if (shown.severity === 'FATAL') this.options.terminate(shown);
    else this.sink.error(shown);
  }

  /** After the connection is gone: everything is undone and given back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.portals.closeAll(() => true);
    const gone = new DatabaseError('08006', 'connection to client lost', { severity: 'FATAL' });
    this.#activity.close(gone);
    this.transaction.current?.transaction.cancelWaits(gone);
    if (this.transaction.active) this.transaction.rollback();
    void endTemporarySchema(this.cluster.catalogs, this.databaseOid, temporaryNamespaceName(this.pid)).catch((error: unknown) => this.options.onFault?.(error));
    this.notifications.close();
    this.cluster.backends.remove(this.pid);
    this.engineSession.close();
  }
}

/** Portals other than held cursors with their rows at hand. */
function endsWithTransaction(portal: Portal): boolean {
  return !(portal.cursor?.hold && portal.buffer && portal.source === null);
}

/** What the notifications of a session need of it. */
class NotifyingClient implements NotifyingSession {
  constructor(private readonly session: Session) {}
  get pid(): number { return this.session.pid; }
  get databaseOid(): number { return this.session.databaseOid; }
  get idle(): boolean { return this.session.idle; }
  send({ pid, channel, payload }: Notification): void {
    this.session.sink.notification(pid, channel, payload);
  }
  flush(): Promise<void> | undefined {
    return this.session.sink.flush();
  }
}


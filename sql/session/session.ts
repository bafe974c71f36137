/**
 * One client's session, without a socket: simple and extended queries, portals, the transaction
 * around them. Messages come one at a time; every answer goes to the sink.
 *
 *   parse -> prepared statement -> bind -> portal -> execute -> rows into the sink
 *
 * Invariant: after an error the implicit transaction is gone and a block is failed; the session
 * itself goes on.
 */
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { EngineSession, Transaction } from '../../engine/storage.js';
import type { InsertStmt, TransactionStmt } from '@pgsql/types';
import type { Catalog } from '../catalog/catalog.js';
import { endTemporarySchema } from '../catalog/temporary-objects.js';
import { lookupRelation, temporaryNamespaceName } from '../analyzer/names.js';
import { startDeferredConstraints } from '../executor/execute.js';
import { Frame } from '../executor/expressions/frame.js';
import type { SliceInterrupts } from '../executor/interrupts.js';
import type { RowSource } from '../executor/row-source.js';
import type { BackendInfo } from '../functions/context.js';
import { LONG_SQL, type ValuesInPortions } from '../parser/parse-long.js';
import { parse, parserReady, type ParsedText } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';
import { POSTGRES_EPOCH_MICROS } from './backends.js';
import type { Cluster } from './cluster.js';
import { drain, settleWait, type Drained, type DriverHooks } from './driver.js';
import { startQuery } from './execute-query.js';
import { lockRelations } from './relation-locks.js';
import { toDatabaseError } from './internal-error.js';
import { NOTIFY_PREFIX, SessionNotifications, type Notification, type NotifyingSession } from './notifications.js';
import { decodeLarge, decodeParameters, largeTexts } from './parameter-decoding.js';
import { closePortal, type Portal } from './portal.js';
import { canonicalMoment } from './as-of.js';
import { ensureAnalyzed, prepareStatement, queryTag, type PreparedStatement } from './prepared.js';
import { checkFormats, expandFormats } from './row-encoder.js';
import { encoderOf, NOT_SHORT, runShort, type ShortOutcome, type StoredRows } from './short-statement.js';
import { SessionActivity } from './session-activity.js';
import { SessionContext } from './session-context.js';
import { SessionSettings } from './session-settings.js';
import type { NoticeFields, Sink } from './sink.js';
import { StatementCache } from './statement-cache.js';
import { timeZoneName } from './time-zone-name.js';
import { SessionTransaction } from './transaction.js';
import { endsFailedBlock, runTransactionStatement } from './transaction-statement.js';
import { describeUtility, runUtility } from './utility.js';

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
  readonly portals = new Map<string, Portal>();
  /** Work for the end of the transaction, by key (deferred constraints, temporary tables, listens). */
  readonly beforeCommit = new Map<string, () => Promise<void> | void>();
  readonly onTransactionEnd = new Set<(committed: boolean) => void>();

  readonly #activity: SessionActivity;
  readonly #statements = new StatementCache(this);
  #skipToSync = false;
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
        this.#dropPortals((portal) => portal.cursor === null);
        if (this.notifications.pending) this.notifications.rolledBackTo(sub);
      },
      warning: (sqlstate, message) => this.notice({ severity: 'WARNING', sqlstate, message }),
    });
    this.engineSession.deadlockTimeoutMs = () => this.settings.number('deadlock_timeout');
    this.notifications = new SessionNotifications(this.cluster.notifications, new NotifyingClient(this));
    this.context = new SessionContext(this);
    for (const [name, value] of options.settings) this.settings.setStartup(name, value);
    this.#activity = new SessionActivity(this, options.terminate);
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

  // ---- simple protocol ----

  /** Query: all statements of the text, in one implicit transaction block. Ends before ReadyForQuery; undefined when nothing had to wait. */
  simpleQuery(text: string): Promise<void> | undefined {
    this.#skipToSync = false;
    this.#dropStatement('');
    const started = this.cluster.runtime.clock.monotonicMs();
    let kind = '';
    try {
      this.#activity.begin(text);
      const lifted = this.#liftedStatement(text);
      if (lifted) {
        kind = lifted.statement.tag;
        const running = this.#runLifted(lifted, text, started);
        if (running) return running;
        if (lifted.finished) {
          this.#metrics(kind, 'ok', started);
          this.#endSimple();
          return undefined;
        }
      }
      const cached = this.#statements.find(text);
      if (!cached) return this.#simpleText(text, started);
      kind = cached.tag;
      const running = this.#runSimple(cached, true, false);
      if (running) return this.#finishSimple(running, kind, started);
      this.#metrics(kind, 'ok', started);
    } catch (error) {
      this.#failed(error);
      this.#metrics(kind, 'error', started);
    }
    this.#endSimple();
    return undefined;
  }

  async #finishSimple(running: Promise<void>, kind: string, started: number): Promise<void> {
    try {
      await running;
      this.#metrics(kind, 'ok', started);
    } catch (error) {
      this.#failed(error);
      this.#metrics(kind, 'error', started);
    }
    this.#endSimple();
  }

  /** A text whose constants are parameters, where that has a short path; null: it is run as it is. */
  #liftedStatement(text: string): Portal | null {
    const lifted = this.transaction.status === 'failed' ? null : this.#statements.findLifted(text);
    return lifted && { ...this.#makePortal('', lifted.statement, lifted.params, []), rows: lifted.rows };
  }

  /** Undefined with the portal unfinished: it has no short way now, and nothing was done. */
  #runLifted(portal: Portal, text: string, started: number): Promise<void> | undefined {
    this.ensureTransaction();
    const outcome = runShort(this, portal);
    if (outcome instanceof Promise) return this.#finishSimple(this.#runLiftedWaiting(portal, outcome, text), portal.statement.tag, started);
    if (outcome.count < 0) return undefined;
    const completing = this.#completeSimple(this.#sendShort(portal, outcome), true);
    return completing && this.#finishSimple(completing, portal.statement.tag, started);
  }

  async #runLiftedWaiting(portal: Portal, running: Promise<ShortOutcome>, text: string): Promise<void> {
    const outcome = await running;
    if (outcome.count >= 0) await this.#completeSimple(this.#sendShort(portal, outcome), true);
    else for (const statement of await this.#parsedStatements(text)) await this.#runSimple(statement, true, false);
  }

  #endSimple(): void {
    this.#activity.end();
    this.settings.report();
    if (this.transaction.status === 'idle') this.notifications.passOn();
  }

  async #simpleText(text: string, started: number): Promise<void> {
    let kind = '';
    try {
      const long = text.length > LONG_SQL ? await this.cluster.longTexts.parse(text) : null;
      const statements = long ? long.statements.map((_, i) => prepareStatement(long, i, [], false)) : await this.#parsedStatements(text);
      if (statements.length === 0) {
        await this.transaction.commit();
        this.sink.emptyQuery();
      }
      for (let i = 0; i < statements.length; i++) {
        kind = statements[i].tag;
        const portions = long?.portions[i];
        if (portions) await this.#runPortions(statements[i], portions, i === statements.length - 1, statements.length > 1);
        else await this.#runSimple(statements[i], i === statements.length - 1, statements.length > 1);
      }
      this.#metrics(kind, 'ok', started);
    } catch (error) {
      this.#failed(error);
      this.#metrics(kind, 'error', started);
    }
    this.#endSimple();
  }

  #metrics(kind: string, outcome: 'ok' | 'error', started: number): void {
    this.cluster.metrics.statement(kind, outcome, this.cluster.runtime.clock.monotonicMs() - started);
  }

  async #parsedStatements(text: string): Promise<PreparedStatement[]> {
    await parserReady();
    const parsed = parse(text);
    const statements = parsed.statements.map((_, i) => prepareStatement(parsed, i, [], false));
    if (statements.length === 1) this.#statements.keep(text, statements[0]);
    return statements;
  }

  /**
   * An INSERT of very many rows, portion by portion: as one statement, because rows of constants do
   * not depend on each other. Where the end of the statement means something to them, it runs whole.
   */
  async #runPortions(statement: PreparedStatement, portions: ValuesInPortions, isLast: boolean, several: boolean): Promise<void> {
    this.#refuseInFailedBlock(statement);
    this.ensureTransaction(several);
    if (!portions.plain || !insertsIndependently(statement, this.catalog, this.context)) {
      await this.#runSimple({ ...statement, node: await portions.rest() }, isLast, several);
      return;
    }
    let rows = 0;
    for (let node = await portions.next(); node; node = await portions.next()) {
      this.checkInterrupt();
      const portal = this.#makePortal('', { ...statement, node }, [], []);
      try {
        await this.#start(portal);
        rows += Number((await this.#drainPortal(portal)).split(' ')[2]);
      } finally {
        closePortal(portal);
      }
      await this.driver.turn();
    }
    if (isLast && this.transaction.status === 'implicit') await this.transaction.commit();
    else await this.#settleFloor();
    this.sink.commandComplete(`INSERT 0 ${rows}`);
  }

  #runSimple(statement: PreparedStatement, isLast: boolean, several: boolean): Promise<void> | undefined {
    this.#refuseInFailedBlock(statement);
    if (statement.tag === 'TransactionStmt') {
      const tag = this.#transactionStatement(statement);
      if (typeof tag !== 'string') return tag.then((text) => this.sink.commandComplete(text));
      this.sink.commandComplete(tag);
      return undefined;
    }
    this.ensureTransaction(several);
    const portal = this.#makePortal('', statement, [], []);
    let waits = false;
    try {
      const outcome = runShort(this, portal);
      if (outcome instanceof Promise) {
        waits = true;
        return this.#runSimpleWaiting(portal, this.#sendShortWaiting(portal, outcome), isLast);
      }
      const starting = outcome.count < 0 ? this.#start(portal) : undefined;
      if (starting) {
        waits = true;
        return this.#runSimpleWaiting(portal, starting, isLast);
      }
      const tag = outcome.count < 0 ? this.#sendSimple(portal) : this.#sendShort(portal, outcome);
      if (typeof tag !== 'string') {
        waits = true;
        return this.#runSimpleWaiting(portal, tag, isLast);
      }
      closePortal(portal);
      return this.#completeSimple(tag, isLast);
    } finally {
      if (!waits) closePortal(portal);
    }
  }

  /** The answer leaves only when the implicit transaction is safe. */
  #completeSimple(tag: string, isLast: boolean): Promise<void> | undefined {
    const settled = isLast && this.transaction.status === 'implicit' ? this.transaction.commit() : this.#settleFloor();
    if (settled) return settled.then(() => this.sink.commandComplete(tag));
    this.sink.commandComplete(tag);
    return undefined;
  }

  async #runSimpleWaiting(portal: Portal, waiting: Promise<void> | Promise<string>, isLast: boolean): Promise<void> {
    let tag: string;
    try {
      const first = await waiting;
      tag = typeof first === 'string' ? first : await this.#sendSimple(portal);
    } finally {
      closePortal(portal);
    }
    if (isLast && this.transaction.status === 'implicit') await this.transaction.commit();
    else await this.#settleFloor();
    this.sink.commandComplete(tag);
  }

  #sendShort(portal: Portal, outcome: ShortOutcome): string {
    const { columns } = portal.statement;
    if (columns) this.sink.rowDescription(columns, expandFormats(portal.formats, columns.length));
    return this.#answerShort(portal, outcome);
  }

  async #sendShortWaiting(portal: Portal, running: Promise<ShortOutcome>): Promise<string> {
    const outcome = await running;
    if (outcome.count >= 0) return this.#sendShort(portal, outcome);
    await this.#start(portal);
    return this.#sendSimple(portal);
  }

  #sendSimple(portal: Portal): string | Promise<string> {
    if (portal.columns) this.sink.rowDescription(portal.columns, expandFormats(portal.formats, portal.columns.length));
    return this.#drainPortal(portal);
  }

  /** What the answer depends on must be durable before it leaves. */
  #settleFloor(): Promise<void> | undefined {
    const pending = this.driver.floor();
    return pending && this.wait(pending);
  }

  /** In a failed block only its end is allowed (25P02). */
  #refuseInFailedBlock(statement: PreparedStatement): void {
    if (this.transaction.status !== 'failed' || statement.node === null) return;
    if (statement.tag === 'TransactionStmt' && endsFailedBlock((statement.node as { TransactionStmt: TransactionStmt }).TransactionStmt)) return;
    throw new DatabaseError('25P02', 'current transaction is aborted, commands ignored until end of transaction block');
  }

  #transactionStatement(statement: PreparedStatement): string | Promise<string> {
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
    this.#skipToSync = false;
    this.#failed(error);
    this.#activity.end();
    this.settings.report();
  }

  // ---- extended protocol ----

  /** Runs a step of the extended protocol; errors are sent and skip to Sync. False: skipped or failed. */
  extended(step: () => Promise<void> | undefined | void): boolean | Promise<boolean> {
    if (this.#skipToSync) return false;
    try {
      const result = step();
      return result ? this.#extendedWaiting(result) : true;
    } catch (error) {
      this.#skipToSync = true;
      this.#failed(error);
      return false;
    }
  }

  async #extendedWaiting(result: Promise<void>): Promise<boolean> {
    try {
      await result;
      return true;
    } catch (error) {
      this.#skipToSync = true;
      this.#failed(error);
      return false;
    }
  }

  parse(name: string, text: string, parameterTypes: readonly number[]): Promise<void> | undefined {
    this.#activity.begin(text);
    if (text.length > LONG_SQL) return this.#parseLong(name, text, parameterTypes);
    const wait = parserReady();
    if (wait) return wait.then(() => this.#parse(name, text, parameterTypes));
    this.#parse(name, text, parameterTypes);
    return undefined;
  }

  async #parseLong(name: string, text: string, parameterTypes: readonly number[]): Promise<void> {
    const parsed = await this.cluster.longTexts.parse(text);
    const [portions] = parsed.portions;
    const statements = portions ? [{ ...parsed.statements[0], node: await portions.rest() }, ...parsed.statements.slice(1)] : parsed.statements;
    this.#keepParsed(name, { source: parsed.source, statements }, parameterTypes);
  }

  #parse(name: string, text: string, parameterTypes: readonly number[]): void {
    const before = name === '' ? this.#statements.findUnnamed(text, parameterTypes) : undefined;
    if (before) this.#keepStatement('', before);
    else this.#keepParsed(name, parse(text), parameterTypes);
  }

  #keepParsed(name: string, parsed: ParsedText, parameterTypes: readonly number[]): void {
    if (name !== '' && this.prepared.has(name)) throw new DatabaseError('42P05', `prepared statement "${name}" already exists`);
    if (parsed.statements.length > 1) throw new DatabaseError('42601', 'cannot insert multiple commands into a prepared statement');
    const statement = prepareStatement(parsed, 0, parameterTypes, true);
    this.#keepStatement(name, statement);
    if (name === '') this.#statements.keepUnnamed(statement, parameterTypes);
  }

  #keepStatement(name: string, statement: PreparedStatement): void {
    if (name === '') this.#dropStatement('');
    this.#refuseInFailedBlock(statement);
    if (statement.tag !== 'TransactionStmt' && statement.node) {
      this.ensureTransaction();
      ensureAnalyzed(statement, this.context);
    }
    this.prepared.set(name, statement);
  }

  /** `parameters` in the client's formats; they are decoded by the statement's parameter types. */
  bind(portalName: string, statementName: string, parameterFormats: readonly number[], parameters: readonly (Uint8Array | null)[], resultFormats: readonly number[]): void | Promise<void> {
    const statement = this.statement(statementName);
    this.#refuseInFailedBlock(statement);
    const count = statement.parameterTypes.length;
    if (parameters.length !== count)
      throw new DatabaseError('08P01', `bind message supplies ${parameters.length} parameters, but prepared statement "${statementName}" requires ${count}`);
    if (portalName === '') this.closePortal('');
    else if (this.portals.has(portalName)) throw new DatabaseError('42P03', `portal "${portalName}" already exists`);
    if (statement.tag !== 'TransactionStmt' && statement.node) {
      this.ensureTransaction();
      ensureAnalyzed(statement, this.context);
    }
    const large = largeTexts(parameters, parameterFormats);
    if (large) return decodeLarge(parameters, large).then((texts) => this.#bindParameters(portalName, statement, parameters, parameterFormats, texts, resultFormats));
    this.#bindParameters(portalName, statement, parameters, parameterFormats, null, resultFormats);
  }

  #bindParameters(
    portalName: string, statement: PreparedStatement, parameters: readonly (Uint8Array | null)[], formats: readonly number[], texts: ReadonlyMap<number, string> | null, resultFormats: readonly number[],
  ): void {
    const types = parameters.length === 0 ? [] : (statement.inputTypes ??= statement.parameterTypes.map((oid) => this.catalog.dataType(oid)));
    const params = decodeParameters(parameters, formats, types, texts, this.context);
    if (statement.columns) checkFormats(resultFormats, statement.columns.length);
    this.portals.set(portalName, this.#makePortal(portalName, statement, params, resultFormats));
  }

  statement(name: string): PreparedStatement {
    const statement = this.prepared.get(name);
    if (!statement) throw new DatabaseError('26000', name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`);
    return statement;
  }

  portal(name: string): Portal {
    const portal = this.portals.get(name);
    if (!portal) throw new DatabaseError('34000', `portal "${name}" does not exist`);
    return portal;
  }

  /** Describe of a statement: its parameters, and its columns or null. */
  describeStatement(name: string): { parameterTypes: readonly number[]; columns: PreparedStatement['columns'] } {
    const statement = this.statement(name);
    if (statement.node && statement.tag !== 'TransactionStmt' && this.transaction.status !== 'failed') {
      this.ensureTransaction();
      ensureAnalyzed(statement, this.context);
      this.#describeUtility(statement);
    }
    return { parameterTypes: statement.parameterTypes, columns: statement.columns };
  }

  describePortal(name: string): { columns: PreparedStatement['columns']; formats: readonly number[] } {
    const portal = this.portal(name);
    this.#describeUtility(portal.statement);
    const columns = portal.columns ?? portal.statement.columns;
    return { columns, formats: columns ? expandFormats(portal.formats, columns.length) : [] };
  }

  #describeUtility(statement: PreparedStatement): void {
    if (statement.query === null && statement.columns === null && statement.node) statement.columns = describeUtility(this, statement);
  }

  /** Execute: up to maxRows rows (0: all), then CommandComplete, PortalSuspended or EmptyQueryResponse. Undefined when nothing had to wait. */
  execute(name: string, maxRows: number): Promise<void> | undefined {
    const portal = this.portal(name);
    const { statement } = portal;
    this.#activity.begin(statement.text);
    if (statement.node === null) {
      this.sink.emptyQuery();
      return undefined;
    }
    this.#refuseInFailedBlock(statement);
    const started = this.cluster.runtime.clock.monotonicMs();
    if (statement.tag === 'TransactionStmt') {
      if (portal.finished) throw new DatabaseError('55000', `portal "${name}" cannot be run`);
      portal.finished = true;
      const tag = this.#transactionStatement(statement);
      if (typeof tag !== 'string') return tag.then((text) => this.sink.commandComplete(text));
      this.sink.commandComplete(tag);
      return undefined;
    }
    this.ensureTransaction();
    if (portal.finished) {
      // a portal that ran to its end answers again with nothing
      if (portal.columns === null && portal.source === null) throw new DatabaseError('55000', `portal "${name}" cannot be run`);
      this.sink.commandComplete(portal.tag(0));
      return undefined;
    }
    if (portal.source === null) {
      // with a row limit the portal may have to be suspended
      const outcome = maxRows === 0 ? runShort(this, portal) : NOT_SHORT;
      if (outcome instanceof Promise) return this.#executeShortWaiting(portal, outcome, maxRows, started);
      if (outcome.count >= 0) {
        this.#executed(portal, this.#answerShort(portal, outcome), started);
        return undefined;
      }
      const starting = this.#start(portal);
      if (starting) return this.#executeWaiting(portal, starting, maxRows, started);
    }
    const tag = this.#drainPortal(portal, maxRows);
    if (typeof tag !== 'string') return this.#executeWaiting(portal, tag, maxRows, started);
    const settling = this.#settleFloor();
    if (settling) return settling.then(() => this.#executed(portal, tag, started));
    this.#executed(portal, tag, started);
    return undefined;
  }

  async #executeWaiting(portal: Portal, waiting: Promise<void> | Promise<string>, maxRows: number, started: number): Promise<void> {
    const first = await waiting;
    const tag = typeof first === 'string' ? first : await this.#drainPortal(portal, maxRows);
    await this.#settleFloor();
    this.#executed(portal, tag, started);
  }

  async #executeShortWaiting(portal: Portal, running: Promise<ShortOutcome>, maxRows: number, started: number): Promise<void> {
    const outcome = await running;
    if (outcome.count >= 0) this.#executed(portal, this.#answerShort(portal, outcome), started);
    else await this.#executeWaiting(portal, this.#start(portal) ?? Promise.resolve(), maxRows, started);
  }

  /** Sends the row of a short path. Answers the command tag. */
  #answerShort(portal: Portal, { count, row, stored }: ShortOutcome): string {
    const { query, columns } = portal.statement;
    portal.columns = columns;
    portal.finished = true;
    portal.tag = (rows) => queryTag(query!, rows);
    if (row) {
      encoderOf(this, portal).writeRow(row, this.sink.rows);
      portal.rowsSent = 1;
      this.cluster.metrics.rows(1);
    }
    if (stored) this.#sendStored(portal, stored);
    return queryTag(query!, count);
  }

  #sendStored(portal: Portal, { tuples, output, state }: StoredRows): void {
    const encoder = encoderOf(this, portal);
    const frame = new Frame(state);
    for (const tuple of tuples) {
      frame.tuple = tuple;
      encoder.writeStored(tuple, output, frame, this.sink.rows);
    }
    portal.rowsSent = tuples.length;
    this.cluster.metrics.rows(tuples.length);
  }

  #executed(portal: Portal, tag: string, started: number): void {
    if (tag === '') this.sink.portalSuspended();
    else this.sink.commandComplete(tag);
    this.#metrics(portal.statement.tag, 'ok', started);
  }

  closeStatement(name: string): void {
    this.#dropStatement(name);
  }

  closePortal(name: string): void {
    const portal = this.portals.get(name);
    if (!portal) return;
    closePortal(portal);
    this.portals.delete(name);
  }

  #dropStatement(name: string): void {
    this.prepared.delete(name);
  }

  /** Sync: the implicit transaction ends here. The caller then sends ReadyForQuery. */
  sync(): Promise<void> | undefined {
    this.#skipToSync = false;
    try {
      const committing = this.transaction.status === 'implicit' ? this.transaction.commit() : undefined;
      if (committing) return this.#syncWaiting(committing);
    } catch (error) {
      this.#failed(error);
    }
    this.#endSimple();
    return undefined;
  }

  async #syncWaiting(committing: Promise<void>): Promise<void> {
    try {
      await committing;
    } catch (error) {
      this.#failed(error);
    }
    this.#endSimple();
  }

  // ---- portals ----

  #makePortal(name: string, statement: PreparedStatement, params: readonly Datum[], formats: readonly number[]): Portal {
    return {
      name, statement, params, rows: null, formats, source: null, columns: statement.columns, encoder: null, snapshot: null, tag: () => '', rowsSent: 0, finished: false,
      cursor: null, buffer: null, position: 0, createdAt: this.context.statementTimestamp,
    };
  }

  /** Starts a portal: a query gets its plan and snapshot, a utility statement runs. */
  #start(portal: Portal): Promise<void> | undefined {
    const { statement } = portal;
    if (statement.node === null) return undefined;
    ensureAnalyzed(statement, this.context);
    if (!statement.query) return this.#startUtility(portal);
    const safe = this.transaction.isolation === 'serializable' ? this.transaction.engine.safeSnapshotPending() : undefined;
    if (safe) return this.#startSafely(safe, portal);
    const locking = lockRelations(this, statement);
    if (locking) return locking.then(() => this.startQueryPortal(portal));
    this.startQueryPortal(portal);
    return undefined;
  }

  async #startSafely(first: Pending, portal: Portal): Promise<void> {
    await this.#waitForSafeSnapshot(first);
    await this.#start(portal);
  }

  /** SERIALIZABLE READ ONLY DEFERRABLE: begins to read when its snapshot can be part of no anomaly. */
  async #waitForSafeSnapshot(first = this.transaction.engine.safeSnapshotPending()): Promise<void> {
    for (let pending = first; pending; pending = this.transaction.engine.safeSnapshotPending()) await this.wait(pending);
  }

  async #startUtility(portal: Portal): Promise<void> {
    const { statement } = portal;
    if (this.transaction.isolation === 'serializable' && READS_BY_SNAPSHOT.has(statement.tag)) await this.#waitForSafeSnapshot();
    if (!WITHOUT_SNAPSHOT.has(statement.tag)) this.transaction.markStarted();
    const result = await runUtility(this, statement, portal.params);
    portal.columns = result.rows?.columns ?? null;
    portal.source = result.rows ?? null;
    portal.tag = (rows) => result.tag(rows);
    if (this.transaction.current?.transaction.state === 'active') this.transaction.engine.advanceCommand();
  }

  /** Plan, snapshot and row source of a SELECT or DML portal. */
  startQueryPortal(portal: Portal): void {
    const { statement } = portal;
    const query = statement.query!;
    this.transaction.markStarted();
    const running = startQuery(this, statement, portal.params);
    portal.snapshot = running.snapshot;
    portal.source = running.source;
    portal.columns = statement.columns;
    portal.tag = (rows) => queryTag(query, query.commandType === 'select' ? rows : running.rowsAffected());
  }

  /** Sends rows. Answers the command tag, or '' when suspended by maxRows. */
  #drainPortal(portal: Portal, maxRows = 0): string | Promise<string> {
    if (portal.statement.node === null) return '';
    const { source } = portal;
    if (source === null) {
      portal.finished = true;
      return portal.tag(0);
    }
    if (portal.columns && portal.encoder === null) {
      portal.encoder = encoderOf(this, portal);
    }
    const { encoder } = portal;
    const outcome = drain(source, portal.columns ? maxRows : 0, (batch) => encoder?.write(batch, this.sink.rows), this.driver);
    return outcome instanceof Promise ? outcome.then((drained) => this.#drained(portal, drained)) : this.#drained(portal, outcome);
  }

  #drained(portal: Portal, { rows, done }: Drained): string {
    portal.rowsSent += rows;
    this.cluster.metrics.rows(rows);
    if (!done) return '';
    portal.finished = true;
    portal.snapshot?.release();
    portal.snapshot = null;
    return portal.tag(portal.statement.query?.commandType === 'select' || !portal.statement.query ? rows : portal.rowsSent);
  }

  #dropPortals(which: (portal: Portal) => boolean): void {
    for (const [name, portal] of this.portals) {
      if (!which(portal)) continue;
      closePortal(portal);
      this.portals.delete(name);
    }
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
    if (this.portals.size > 0) this.#dropPortals(endsWithTransaction);
    this.context.transactionTimestamp = 0;
    for (const listener of this.onTransactionEnd) listener(committed);
  }

  #failed(error: unknown): void {
    const shown = toDatabaseError(error, (fault) => this.options.onFault?.(fault));
    for (const portal of this.portals.values()) if (!portal.finished && portal.source && portal.cursor === null) closePortal(portal);
    this.transaction.fail();
    if (this.transaction.status !== 'failed') this.#dropPortals((portal) => !(portal.cursor?.hold && portal.source === null));
    this.options.onError?.(shown.sqlstate, this.#activity.statementMs);
    if (shown.severity === 'FATAL') this.options.terminate(shown);
    else this.sink.error(shown);
  }

  /** After the connection is gone: everything is undone and given back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dropPortals(() => true);
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

/** Utility statements that take no snapshot: the isolation level may still change after them (PlannedStmtRequiresSnapshot). */
const WITHOUT_SNAPSHOT = new Set(['TransactionStmt', 'LockStmt', 'VariableSetStmt', 'VariableShowStmt', 'ConstraintsSetStmt', 'FetchStmt', 'ListenStmt', 'NotifyStmt', 'UnlistenStmt', 'CheckPointStmt']);
/** Utility statements that read as a query does: they wait for a safe snapshot. */
const READS_BY_SNAPSHOT = new Set(['DeclareCursorStmt', 'ExplainStmt', 'CopyStmt', 'ExecuteStmt', 'CreateTableAsStmt']);
/** An INSERT whose rows may be written in several goes: no RETURNING, no conflicts to judge, no foreign key from row to row. */
function insertsIndependently(statement: PreparedStatement, catalog: Catalog, context: SessionContext): boolean {
  const { InsertStmt: insert } = statement.node as { InsertStmt: InsertStmt };
  if (insert.onConflictClause || insert.returningList?.length || insert.withClause) return false;
  const relation = lookupRelation({ catalog, context, source: statement.source }, insert.relation!);
  return relation.relkind === 'r' && !relation.constraints.some((constraint) => constraint.contype === 'f' && constraint.confrelid === relation.oid);
}

/**
 * Parse, Bind, Describe, Execute, Close, Sync. After an error everything is skipped to the next Sync.
 */
import { DatabaseError } from '../../engine/errors.js';
import { LONG_SQL } from '../parser/parse-long.js';
import { parse, parserReady, type ParsedText } from '../parser/parse.js';
import { decodeLarge, decodeParameters, largeTexts } from './parameter-decoding.js';
import type { Portal } from './portal.js';
import type { PortalRunner } from './portal-runner.js';
import { ensureAnalyzed, prepareStatement, type PreparedStatement } from './prepared.js';
import { checkFormats, expandFormats } from './row-encoder.js';
import type { SessionActivity } from './session-activity.js';
import type { Session } from './session.js';
import { NOT_SHORT, runShort, type ShortOutcome } from './short-statement.js';
import type { StatementCache } from './statement-cache.js';
import { describeUtility } from './utility.js';

export class ExtendedProtocol {
  #skipToSync = false;

  constructor(
    private readonly session: Session,
    private readonly activity: SessionActivity,
    private readonly statements: StatementCache,
    private readonly runner: PortalRunner,
  ) {}

  /** A simple query or an unreadable message ends the skipping. */
  resume(): void {
    this.#skipToSync = false;
  }

  /** Runs a step of the extended protocol; errors are sent and skip to Sync. False: skipped or failed. */
  step(step: () => Promise<void> | undefined | void): boolean | Promise<boolean> {
    if (this.#skipToSync) return false;
    try {
      const result = step();
      return result ? this.#extendedWaiting(result) : true;
    } catch (error) {
      this.#skipToSync = true;
      this.session.failed(error);
      return false;
    }
  }

  async #extendedWaiting(result: Promise<void>): Promise<boolean> {
    try {
      await result;
      return true;
    } catch (error) {
      this.#skipToSync = true;
      this.session.failed(error);
      return false;
    }
  }

  parse(name: string, text: string, parameterTypes: readonly number[]): Promise<void> | undefined {
    this.activity.begin(text);
    if (text.length > LONG_SQL) return this.#parseLong(name, text, parameterTypes);
    const wait = parserReady();
    if (wait) return wait.then(() => this.#parse(name, text, parameterTypes));
    this.#parse(name, text, parameterTypes);
    return undefined;
  }

  async #parseLong(name: string, text: string, parameterTypes: readonly number[]): Promise<void> {
    const parsed = await this.session.cluster.longTexts.parse(text);
    const [portions] = parsed.portions;
    const statements = portions ? [{ ...parsed.statements[0], node: await portions.rest() }, ...parsed.statements.slice(1)] : parsed.statements;
    this.#keepParsed(name, { source: parsed.source, statements }, parameterTypes);
  }

  #parse(name: string, text: string, parameterTypes: readonly number[]): void {
    const before = name === '' ? this.statements.findUnnamed(text, parameterTypes) : undefined;
    if (before) this.#keepStatement('', before);
    else this.#keepParsed(name, parse(text), parameterTypes);
  }

  #keepParsed(name: string, parsed: ParsedText, parameterTypes: readonly number[]): void {
    if (name !== '' && this.session.prepared.has(name)) throw new DatabaseError('42P05', `prepared statement "${name}" already exists`);
    if (parsed.statements.length > 1) throw new DatabaseError('42601', 'cannot insert multiple commands into a prepared statement');
    const statement = prepareStatement(parsed, 0, parameterTypes, true);
    this.#keepStatement(name, statement);
    if (name === '') this.statements.keepUnnamed(statement, parameterTypes);
  }

  #keepStatement(name: string, statement: PreparedStatement): void {
    if (name === '') this.session.prepared.delete('');
    this.session.refuseInFailedBlock(statement);
    if (statement.tag !== 'TransactionStmt' && statement.node) {
      this.session.ensureTransaction();
      ensureAnalyzed(statement, this.session.context);
    }
    this.session.prepared.set(name, statement);
  }

  /** `parameters` in the client's formats; they are decoded by the statement's parameter types. */
  bind(portalName: string, statementName: string, parameterFormats: readonly number[], parameters: readonly (Uint8Array | null)[], resultFormats: readonly number[]): void | Promise<void> {
    const statement = this.statement(statementName);
    this.session.refuseInFailedBlock(statement);
    const count = statement.parameterTypes.length;
    if (parameters.length !== count)
      throw new DatabaseError('08P01', `bind message supplies ${parameters.length} parameters, but prepared statement "${statementName}" requires ${count}`);
    if (portalName === '') this.session.closePortal('');
    else if (this.session.portals.has(portalName)) throw new DatabaseError('42P03', `portal "${portalName}" already exists`);
    if (statement.tag !== 'TransactionStmt' && statement.node) {
      this.session.ensureTransaction();
      ensureAnalyzed(statement, this.session.context);
    }
    const large = largeTexts(parameters, parameterFormats);
    if (large) return decodeLarge(parameters, large).then((texts) => this.#bindParameters(portalName, statement, parameters, parameterFormats, texts, resultFormats));
    this.#bindParameters(portalName, statement, parameters, parameterFormats, null, resultFormats);
  }

  #bindParameters(
    portalName: string, statement: PreparedStatement, parameters: readonly (Uint8Array | null)[], formats: readonly number[], texts: ReadonlyMap<number, string> | null, resultFormats: readonly number[],
  ): void {
    const types = parameters.length === 0 ? [] : (statement.inputTypes ??= statement.parameterTypes.map((oid) => this.session.catalog.dataType(oid)));
    const params = decodeParameters(parameters, formats, types, texts, this.session.context);
    if (statement.columns) checkFormats(resultFormats, statement.columns.length);
    this.session.portals.set(portalName, this.runner.make(portalName, statement, params, resultFormats));
  }

  statement(name: string): PreparedStatement {
    const statement = this.session.prepared.get(name);
    if (!statement) throw new DatabaseError('26000', name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`);
    return statement;
  }

  portal(name: string): Portal {
    const portal = this.session.portals.get(name);
    if (!portal) throw new DatabaseError('34000', `portal "${name}" does not exist`);
    return portal;
  }

  /** Describe of a statement: its parameters, and its columns or null. */
  describeStatement(name: string): { parameterTypes: readonly number[]; columns: PreparedStatement['columns'] } {
    const statement = this.statement(name);
    if (statement.node && statement.tag !== 'TransactionStmt' && this.session.transaction.status !== 'failed') {
      this.session.ensureTransaction();
      ensureAnalyzed(statement, this.session.context);
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
    if (statement.query === null && statement.columns === null && statement.node) statement.columns = describeUtility(this.session, statement);
  }

  /** Execute: up to maxRows rows (0: all), then CommandComplete, PortalSuspended or EmptyQueryResponse. Undefined when nothing had to wait. */
  execute(name: string, maxRows: number): Promise<void> | undefined {
    const portal = this.portal(name);
    const { statement } = portal;
    this.activity.begin(statement.text);
    if (statement.node === null) {
      this.session.sink.emptyQuery();
      return undefined;
    }
    this.session.refuseInFailedBlock(statement);
    const started = this.session.cluster.runtime.clock.monotonicMs();
    if (statement.tag === 'TransactionStmt') {
      if (portal.finished) throw new DatabaseError('55000', `portal "${name}" cannot be run`);
      portal.finished = true;
      const tag = this.session.transactionStatement(statement);
      if (typeof tag !== 'string') return tag.then((text) => this.session.sink.commandComplete(text));
      this.session.sink.commandComplete(tag);
      return undefined;
    }
    this.session.ensureTransaction();
    if (portal.finished) {
      // a portal that ran to its end answers again with nothing
      if (portal.columns === null && portal.source === null) throw new DatabaseError('55000', `portal "${name}" cannot be run`);
      this.session.sink.commandComplete(portal.tag(0));
      return undefined;
    }
    if (portal.source === null) {
      // with a row limit the portal may have to be suspended
      const outcome = maxRows === 0 ? runShort(this.session, portal, false) : NOT_SHORT;
      if (outcome instanceof Promise) return this.#executeShortWaiting(portal, outcome, maxRows, started);
      if (outcome.count >= 0) {
        this.#executed(portal, this.runner.answerShort(portal, outcome), started);
        return undefined;
      }
      const starting = this.runner.start(portal);
      if (starting) return this.#executeWaiting(portal, starting, maxRows, started);
    }
    const tag = this.runner.drain(portal, maxRows);
    if (typeof tag !== 'string') return this.#executeWaiting(portal, tag, maxRows, started);
    const settling = this.session.settleFloor();
    if (settling) return settling.then(() => this.#executed(portal, tag, started));
    this.#executed(portal, tag, started);
    return undefined;
  }

  async #executeWaiting(portal: Portal, waiting: Promise<void> | Promise<string>, maxRows: number, started: number): Promise<void> {
    const first = await waiting;
    const tag = typeof first === 'string' ? first : await this.runner.drain(portal, maxRows);
    await this.session.settleFloor();
    this.#executed(portal, tag, started);
  }

  async #executeShortWaiting(portal: Portal, running: Promise<ShortOutcome>, maxRows: number, started: number): Promise<void> {
    const outcome = await running;
    if (outcome.count >= 0) this.#executed(portal, this.runner.answerShort(portal, outcome), started);
    else await this.#executeWaiting(portal, this.runner.start(portal) ?? Promise.resolve(), maxRows, started);
  }

  #executed(portal: Portal, tag: string, started: number): void {
    if (tag === '') this.session.sink.portalSuspended();
    else this.session.sink.commandComplete(tag);
    this.session.noteStatement(portal.statement.tag, 'ok', started);
  }

  closeStatement(name: string): void {
    this.session.prepared.delete(name);
  }

  /** Sync: the implicit transaction ends here. The caller then sends ReadyForQuery. */
  sync(): Promise<void> | undefined {
    this.#skipToSync = false;
    try {
      const committing = this.session.transaction.status === 'implicit' ? this.session.transaction.commit() : undefined;
      if (committing) return this.#syncWaiting(committing);
    } catch (error) {
      this.session.failed(error);
    }
    this.session.endMessage();
    return undefined;
  }

  async #syncWaiting(committing: Promise<void>): Promise<void> {
    try {
      await committing;
    } catch (error) {
      this.session.failed(error);
    }
    this.session.endMessage();
  }
}

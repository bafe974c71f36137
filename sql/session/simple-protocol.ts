/**
 * Query: all statements of a text, in one implicit transaction block. A text that came before, as it is or with other constants,
 * runs without being parsed again; where nothing has to wait, nothing here awaits.
 */
import type { InsertStmt } from '@pgsql/types';
import { lookupRelation } from '../analyzer/names.js';
import type { Catalog } from '../catalog/catalog.js';
import { LONG_SQL, type ValuesInPortions } from '../parser/parse-long.js';
import { parse, parserReady } from '../parser/parse.js';
import { closePortal, type Portal } from './portal.js';
import type { PortalRunner } from './portal-runner.js';
import { prepareStatement, type PreparedStatement } from './prepared.js';
import { expandFormats } from './row-encoder.js';
import type { SessionActivity } from './session-activity.js';
import type { SessionContext } from './session-context.js';
import type { Session } from './session.js';
import { runShort, type ShortOutcome } from './short-statement.js';
import type { StatementCache } from './statement-cache.js';

export class SimpleProtocol {
  constructor(
    private readonly session: Session,
    private readonly activity: SessionActivity,
    private readonly statements: StatementCache,
    private readonly runner: PortalRunner,
  ) {}

  /** Query: all statements of the text, in one implicit transaction block. Ends before ReadyForQuery; undefined when nothing had to wait. */
  run(text: string): Promise<void> | undefined {
    this.session.extended.resume();
    this.session.prepared.delete('');
    const started = this.session.cluster.runtime.clock.monotonicMs();
    let kind = '';
    try {
      this.activity.begin(text);
      const lifted = this.#liftedStatement(text);
      if (lifted) {
        kind = lifted.statement.tag;
        const running = this.#runLifted(lifted, text, started);
        if (running) return running;
        if (lifted.finished) {
          this.session.noteStatement(kind, 'ok', started);
          this.session.endMessage();
          return undefined;
        }
      }
      const cached = this.statements.find(text);
      if (!cached) return this.#simpleText(text, started);
      kind = cached.tag;
      const running = this.#runSimple(cached, true, false);
      if (running) return this.#finishSimple(running, kind, started);
      this.session.noteStatement(kind, 'ok', started);
    } catch (error) {
      this.session.failed(error);
      this.session.noteStatement(kind, 'error', started);
    }
    this.session.endMessage();
    return undefined;
  }

  async #finishSimple(running: Promise<void>, kind: string, started: number): Promise<void> {
    try {
      await running;
      this.session.noteStatement(kind, 'ok', started);
    } catch (error) {
      this.session.failed(error);
      this.session.noteStatement(kind, 'error', started);
    }
    this.session.endMessage();
  }

  /** A text whose constants are parameters, where that has a short path; null: it is run as it is. */
  #liftedStatement(text: string): Portal | null {
    const lifted = this.session.transaction.status === 'failed' ? null : this.statements.findLifted(text);
    return lifted && { ...this.runner.make('', lifted.statement, lifted.params, []), rows: lifted.rows };
  }

  /** Undefined with the portal unfinished: it has no short way now, and nothing was done. */
  #runLifted(portal: Portal, text: string, started: number): Promise<void> | undefined {
    this.session.ensureTransaction();
    const outcome = runShort(this.session, portal, true);
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

  async #simpleText(text: string, started: number): Promise<void> {
    let kind = '';
    try {
      const long = text.length > LONG_SQL ? await this.session.cluster.longTexts.parse(text) : null;
      const statements = long ? long.statements.map((_, i) => prepareStatement(long, i, [], false)) : await this.#parsedStatements(text);
      if (statements.length === 0) {
        await this.session.transaction.commit();
        this.session.sink.emptyQuery();
      }
      for (let i = 0; i < statements.length; i++) {
        kind = statements[i].tag;
        const portions = long?.portions[i];
        if (portions) await this.#runPortions(statements[i], portions, i === statements.length - 1, statements.length > 1);
        else await this.#runSimple(statements[i], i === statements.length - 1, statements.length > 1);
      }
      this.session.noteStatement(kind, 'ok', started);
    } catch (error) {
      this.session.failed(error);
      this.session.noteStatement(kind, 'error', started);
    }
    this.session.endMessage();
  }

  async #parsedStatements(text: string): Promise<PreparedStatement[]> {
    await parserReady();
    const parsed = parse(text);
    const statements = parsed.statements.map((_, i) => prepareStatement(parsed, i, [], false));
    if (statements.length === 1) this.statements.keep(text, statements[0]);
    return statements;
  }

  /**
   * An INSERT of very many rows, portion by portion: as one statement, because rows of constants do
   * not depend on each other. Where the end of the statement means something to them, it runs whole.
   */
  async #runPortions(statement: PreparedStatement, portions: ValuesInPortions, isLast: boolean, several: boolean): Promise<void> {
    this.session.refuseInFailedBlock(statement);
    this.session.ensureTransaction(several);
    if (!portions.plain || !insertsIndependently(statement, this.session.catalog, this.session.context)) {
      await this.#runSimple({ ...statement, node: await portions.rest() }, isLast, several);
      return;
    }
    let rows = 0;
    for (let node = await portions.next(); node; node = await portions.next()) {
      this.session.checkInterrupt();
      const portal = this.runner.make('', { ...statement, node }, [], []);
      try {
        await this.runner.start(portal);
        rows += Number((await this.runner.drain(portal)).split(' ')[2]);
      } finally {
        closePortal(portal);
      }
      await this.session.driver.turn();
    }
    if (isLast && this.session.transaction.status === 'implicit') await this.session.transaction.commit();
    else await this.session.settleFloor();
    this.session.sink.commandComplete(`INSERT 0 ${rows}`);
  }

  #runSimple(statement: PreparedStatement, isLast: boolean, several: boolean): Promise<void> | undefined {
    this.session.refuseInFailedBlock(statement);
    if (statement.tag === 'TransactionStmt') {
      const tag = this.session.transactionStatement(statement);
      if (typeof tag !== 'string') return tag.then((text) => this.session.sink.commandComplete(text));
      this.session.sink.commandComplete(tag);
      return undefined;
    }
    this.session.ensureTransaction(several);
    const portal = this.runner.make('', statement, [], []);
    let waits = false;
    try {
      const outcome = runShort(this.session, portal, true);
      if (outcome instanceof Promise) {
        waits = true;
        return this.#runSimpleWaiting(portal, this.#sendShortWaiting(portal, outcome), isLast);
      }
      const starting = outcome.count < 0 ? this.runner.start(portal) : undefined;
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
    const settled = isLast && this.session.transaction.status === 'implicit' ? this.session.transaction.commit() : this.session.settleFloor();
    if (settled) return settled.then(() => this.session.sink.commandComplete(tag));
    this.session.sink.commandComplete(tag);
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
    if (isLast && this.session.transaction.status === 'implicit') await this.session.transaction.commit();
    else await this.session.settleFloor();
    this.session.sink.commandComplete(tag);
  }

  #sendShort(portal: Portal, outcome: ShortOutcome): string {
    const { columns } = portal.statement;
    if (columns && !outcome.sent) this.session.sink.rowDescription(columns, expandFormats(portal.formats, columns.length));
    return this.runner.answerShort(portal, outcome);
  }

  async #sendShortWaiting(portal: Portal, running: Promise<ShortOutcome>): Promise<string> {
    const outcome = await running;
    if (outcome.count >= 0) return this.#sendShort(portal, outcome);
    await this.runner.start(portal);
    return this.#sendSimple(portal);
  }

  #sendSimple(portal: Portal): string | Promise<string> {
    if (portal.columns) this.session.sink.rowDescription(portal.columns, expandFormats(portal.formats, portal.columns.length));
    return this.runner.drain(portal);
  }
}

/** An INSERT whose rows may be written in several goes: no RETURNING, no conflicts to judge, no foreign key from row to row. */
function insertsIndependently(statement: PreparedStatement, catalog: Catalog, context: SessionContext): boolean {
  const { InsertStmt: insert } = statement.node as { InsertStmt: InsertStmt };
  if (insert.onConflictClause || insert.returningList?.length || insert.withClause) return false;
  const relation = lookupRelation({ catalog, context, source: statement.source }, insert.relation!);
  return relation.relkind === 'r' && !relation.constraints.some((constraint) => constraint.contype === 'f' && constraint.confrelid === relation.oid);
}

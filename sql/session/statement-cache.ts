/** Statements of simple queries that came before: by text, and by text with the constants lifted out. */
import { parse, parserReady } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';
import { liftConstants, type LiftedText } from './lift-constants.js';
import { isValid, prepareStatement, type PreparedStatement } from './prepared.js';
import type { Session } from './session.js';
import { liftedHasShortPath } from './short-statement.js';

const MOST = 256;
const LONGEST_TEXT = 10_000;
const CACHEABLE = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'TransactionStmt']);

export class StatementCache {
  readonly #texts = new Map<string, PreparedStatement>();
  /** By key; without a statement: seen once, or not to be lifted at this catalog version. */
  readonly #lifted = new Map<string, { statement: PreparedStatement | null; triedAt: number }>();

  constructor(private readonly session: Session) {}

  /** The statement that this very text made before. */
  find(text: string): PreparedStatement | undefined {
    const cached = this.#texts.get(text);
    // Other than a named statement, a text may give other columns after DDL.
    if (cached && !isValid(cached, this.session.context)) {
      cached.query = null;
      cached.plan = null;
      cached.short = undefined;
    }
    return cached;
  }

  /** Keeps the only statement of a text. */
  keep(text: string, statement: PreparedStatement): void {
    if (text.length >= LONGEST_TEXT || !CACHEABLE.has(statement.tag)) return;
    makeRoom(this.#texts);
    this.#texts.set(text, statement);
  }

  /** A text whose constants are parameters, where that has a short path; null: it is run as it is. */
  findLifted(text: string): { readonly statement: PreparedStatement; readonly params: Datum[] } | null {
    const lifted = liftConstants(text);
    if (!lifted) return null;
    const { catalog, context } = this.session;
    let entry = this.#lifted.get(lifted.key);
    if (!entry) {
      // made when it comes a second time
      makeRoom(this.#lifted);
      this.#lifted.set(lifted.key, { statement: null, triedAt: -1 });
      return null;
    }
    if (!entry.statement || !isValid(entry.statement, context)) {
      const { version } = catalog;
      if (!entry.statement && entry.triedAt === version) return null;
      entry.triedAt = version;
      entry.statement = this.#prepare(lifted);
      if (!entry.statement) return null;
    }
    const { statement } = entry;
    const types = (statement.inputTypes ??= statement.parameterTypes.map((oid) => catalog.dataType(oid)));
    const params = new Array<Datum>(types.length);
    try {
      for (let i = 0; i < params.length; i++) params[i] = types[i].input(lifted.values[i], -1, context);
    } catch {
      // the text as it is gives the error, with its position
      return null;
    }
    return { statement, params };
  }

  #prepare(lifted: LiftedText): PreparedStatement | null {
    if (parserReady()) return null;
    try {
      const parsed = parse(lifted.text);
      if (parsed.statements.length !== 1) return null;
      const statement = prepareStatement(parsed, 0, lifted.types, true);
      this.session.ensureTransaction();
      return liftedHasShortPath(this.session, statement) ? statement : null;
    } catch {
      return null;
    }
  }
}

function makeRoom(map: Map<string, unknown>): void {
  if (map.size >= MOST) map.delete(map.keys().next().value!);
}

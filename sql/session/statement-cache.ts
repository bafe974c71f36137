/** Statements of simple queries that came before: by text, and by text with the constants lifted out. */
import { parse, parserReady } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';
import { liftConstants, type LiftedText } from './lift-constants.js';
import { liftRows, type LiftedRows } from './lift-rows.js';
import { isValid, prepareStatement, type PreparedStatement } from './prepared.js';
import type { Session } from './session.js';
import { liftedHasShortPath } from './short-statement.js';

const MOST = 256;
/** A list of rows with so many constants is worth a statement of its own at once. */
const MANY_VALUES = 100;
const LONGEST_TEXT = 10_000;
const CACHEABLE = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'TransactionStmt']);

export interface LiftedStatement {
  readonly statement: PreparedStatement;
  /** Of the first row. */
  readonly params: Datum[];
  /** Of all rows, one after the other, where the text has several. */
  readonly rows: readonly Datum[] | null;
}

export class StatementCache {
  readonly #texts = new Map<string, PreparedStatement>();
  /** null: came once. */
  readonly #unnamed = new Map<string, PreparedStatement | null>();
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

  /** The unnamed statement that Parse made of this very text before: drivers that name none send each text again and again. */
  findUnnamed(text: string, types: readonly number[]): PreparedStatement | undefined {
    const cached = this.#unnamed.get(unnamedKey(text, types));
    return cached && (cached.tag === 'TransactionStmt' || isValid(cached, this.session.context)) ? cached : undefined;
  }

  keepUnnamed(statement: PreparedStatement, types: readonly number[]): void {
    const { text } = statement.source;
    if (text.length >= LONGEST_TEXT || !CACHEABLE.has(statement.tag)) return;
    const key = unnamedKey(text, types);
    const seen = this.#unnamed.has(key);
    if (!seen) makeRoom(this.#unnamed);
    this.#unnamed.set(key, seen ? statement : null);
  }

  /** A text whose constants are parameters, where that has a short path; null: it is run as it is. */
  findLifted(text: string): LiftedStatement | null {
    const rows = isInsert(text) ? liftRows(text) : null;
    if (rows) return this.#withRows(rows);
    const lifted = liftConstants(text);
    const statement = lifted && this.#ofLifted(lifted, false);
    if (!lifted || !statement) return null;
    const params = this.#params(statement, lifted.values);
    return params && { statement, params, rows: null };
  }

  /** A list of rows: the statement for one, and the parameters of all. */
  #withRows(lifted: LiftedRows): LiftedStatement | null {
    const statement = this.#ofLifted(lifted, lifted.values.length >= MANY_VALUES);
    if (!statement?.short?.takesRows) return null;
    const rows = this.#params(statement, lifted.values);
    return rows && { statement, params: rows.slice(0, lifted.types.length), rows };
  }

  /** `soon`: it is worth it the first time. */
  #ofLifted(lifted: Pick<LiftedText, 'key' | 'text' | 'types'>, soon: boolean): PreparedStatement | null {
    const { catalog, context } = this.session;
    let entry = this.#lifted.get(lifted.key);
    if (!entry) {
      // made when it comes a second time
      makeRoom(this.#lifted);
      this.#lifted.set(lifted.key, (entry = { statement: null, triedAt: -1 }));
      if (!soon) return null;
    }
    if (!entry.statement || !isValid(entry.statement, context)) {
      const { version } = catalog;
      if (!entry.statement && entry.triedAt === version) return null;
      entry.triedAt = version;
      entry.statement = this.#prepare(lifted);
      if (!entry.statement) return null;
    }
    return entry.statement;
  }

  /** The constants of one row, or of several, by the statement's parameter types; null: one of them is wrong. */
  #params(statement: PreparedStatement, values: readonly (string | null)[]): Datum[] | null {
    const { catalog, context } = this.session;
    const types = (statement.inputTypes ??= statement.parameterTypes.map((oid) => catalog.dataType(oid)));
    const params = new Array<Datum>(values.length);
    try {
      for (let i = 0, column = 0; i < values.length; i++) {
        const value = values[i];
        params[i] = value === null ? null : types[column].input(value, -1, context);
        if (++column === types.length) column = 0;
      }
    } catch {
      // the text as it is gives the error, with its position
      return null;
    }
    return params;
  }

  #prepare(lifted: Pick<LiftedText, 'text' | 'types'>): PreparedStatement | null {
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

const unnamedKey = (text: string, types: readonly number[]): string => (types.length === 0 ? text : `${types.join(' ')} ${text}`);

const isInsert = (text: string): boolean => (text.charCodeAt(0) | 0x20) === 0x69;

function makeRoom(map: Map<string, unknown>): void {
  if (map.size >= MOST) map.delete(map.keys().next().value!);
}

import type { SqlState } from './sqlstate.js';

export type Severity = 'ERROR' | 'FATAL' | 'PANIC';

/** Optional fields of an ErrorResponse, as PostgreSQL names them. */
export interface ErrorFields {
  severity?: Severity;
  detail?: string;
  hint?: string;
  /** 1-based position in characters (code points) in the statement's text. */
  position?: number;
  internalPosition?: number;
  internalQuery?: string;
  where?: string;
  schema?: string;
  table?: string;
  column?: string;
  dataType?: string;
  constraint?: string;
  /** The underlying fault, for the log only. */
  cause?: unknown;
}

/**
 * The one error class for everything that reaches a client. ERROR ends the statement, FATAL the
 * session, PANIC the process. Assertions (`assert`) are for our own bugs, never for user input.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly sqlstate: SqlState;
  readonly severity: Severity;
  readonly detail?: string;
  readonly hint?: string;
  position?: number;
  internalPosition?: number;
  internalQuery?: string;
  where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;

  constructor(sqlstate: SqlState, message: string, fields: ErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.sqlstate = sqlstate;
    this.severity = fields.severity ?? 'ERROR';
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.position = fields.position;
    this.internalPosition = fields.internalPosition;
    this.internalQuery = fields.internalQuery;
    this.where = fields.where;
    this.schema = fields.schema;
    this.table = fields.table;
    this.column = fields.column;
    this.dataType = fields.dataType;
    this.constraint = fields.constraint;
  }
}

/** SQLSTATE 0A000: what PostgreSQL has and Oxbow does not (yet), said plainly. */
export function notSupported(what: string, fields: ErrorFields = {}): DatabaseError {
  return new DatabaseError('0A000', `${what} is not supported`, fields);
}

/** For our own bugs only. Reaches the client as XX000. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/**
 * The interface between utility statements and whoever runs them (session and portal).
 *
 *     const tag = await executeCommand(node, context)    // registry.ts
 *
 * Commands are async functions: they wait for locks by `settle`. They read the catalog through
 * `context.catalog` (always with own changes) and write it through `context.changes`. Whatever needs the
 * analyzer or the executor goes through `hooks`, so that this folder depends on neither.
 */
import type { Node } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { Transaction } from '../../engine/storage.js';
import type { ColumnInfo, Expr, Query } from '../analyzer/query-tree.js';
import type { RowEvaluator } from '../access/index-access.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { CatalogTransaction } from '../catalog/catalog-store.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { EvalContext } from '../functions/context.js';
import type { SourceText } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';

/** What an expression inside DDL is for. */
export interface ExpressionRequest {
  readonly kind: 'check constraint' | 'domain check' | 'column default' | 'index expression' | 'index predicate' | 'statistics expression' | 'generated column' | 'alter column transform';
  /** Whose columns it may use. */
  readonly relation?: Relation;
  /** Type of VALUE in a domain's check. */
  readonly domainType?: { readonly type: Oid; readonly typmod: number };
  /** Coerced to this as in an assignment (defaults, transforms) or to boolean. */
  readonly target?: { readonly type: Oid; readonly typmod: number; readonly columnName?: string };
}

export interface AnalyzedExpression {
  readonly expr: Expr;
  /** SQL text as pg_get_expr prints it; analyzing it again gives the same expression. */
  readonly text: string;
}

export interface AnalyzedQuery {
  readonly query: Query;
  readonly columns: readonly ColumnInfo[];
  /** SELECT text as pg_get_viewdef prints it. */
  readonly text: string;
}

export interface CommandHooks {
  /** The catalog given is the one to use: it has this command's own changes. */
  analyzeExpression(node: Node, request: ExpressionRequest, context: EvalContext, source: SourceText): AnalyzedExpression;
  /** Stored SQL text, analyzed again. */
  analyzeExpressionText(text: string, request: ExpressionRequest, context: EvalContext): Expr;
  analyzeQuery(node: Node, context: EvalContext, source: SourceText): AnalyzedQuery;
  /** An expression over one row of a relation (values by attnum - 1). */
  compileRow(relation: Relation, expr: Expr, context: EvalContext): RowEvaluator;
  /** Deparses an expression over a relation's columns (after renames). */
  deparse(expr: Expr, relation: Relation | null, context: EvalContext): string;
  /** Analyzes a view's text now and returns what deparses it later, after names changed. */
  viewDeparser?(text: string, context: EvalContext): (context: EvalContext) => string;
  /** Runs a SELECT (text or parse node); `onRow` gets each row. Returns the number of rows. */
  runQuery(query: Node | string, context: EvalContext, source: SourceText | null, onRow: (row: Datum[]) => void | Promise<void>): Promise<number>;
}

export interface CommandContext {
  /** Its `catalog` is a live getter for `changes.catalog`. */
  readonly eval: EvalContext;
  readonly changes: CatalogTransaction;
  readonly transaction: Transaction;
  readonly hooks: CommandHooks;
  /** Text of the whole message that the statement's locations point into. */
  readonly source: SourceText;
  /** Text of this statement. */
  readonly statementText: string;
  /** Inside BEGIN ... COMMIT or a multi-statement message: what CREATE DATABASE, VACUUM and others refuse. */
  readonly inTransactionBlock: boolean;
  /** Waits for a Pending; the session adds cancel and timeouts. */
  wait(pending: Pending): Promise<void>;
  /** DDL that must happen outside any transaction commits what it has so far and goes on in a new one (CREATE DATABASE after a copy, ...). */
  readonly catalog: CatalogView;
  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', message: string, fields?: { sqlstate?: string; detail?: string; hint?: string }): void;
  /** SET CONSTRAINTS: all or these constraints' OIDs. */
  setConstraints(constraints: readonly Oid[] | 'all', deferred: boolean): void | Promise<void>;
  /** Other sessions connected to a database (DROP DATABASE). */
  otherSessions(databaseOid: Oid): number;
}

/** Runs one utility statement and returns its command tag. */
export type Command<T> = (statement: T, context: CommandContext) => Promise<string> | string;

export interface CommandParts {
  eval: EvalContext;
  changes: CatalogTransaction;
  hooks: CommandHooks;
  source: SourceText;
  statementText: string;
  inTransactionBlock: boolean;
  wait?: (pending: Pending) => Promise<void>;
  setConstraints?: CommandContext['setConstraints'];
  otherSessions?: (databaseOid: Oid) => number;
}

/** Makes the context that commands run in. */
export function commandContext(parts: CommandParts): CommandContext {
  const evalContext = Object.create(parts.eval, {
    catalog: { get: () => parts.changes.catalog },
  }) as EvalContext;
  return {
    eval: evalContext,
    changes: parts.changes,
    transaction: parts.changes.transaction,
    hooks: parts.hooks,
    source: parts.source,
    statementText: parts.statementText,
    inTransactionBlock: parts.inTransactionBlock,
    wait: parts.wait ?? ((pending) => pending.until),
    get catalog() { return parts.changes.catalog; },
    notice: (severity, message, fields) => parts.eval.notice(severity, message, fields),
    setConstraints: parts.setConstraints ?? (() => { throw new DatabaseError('0A000', 'SET CONSTRAINTS is not supported here'); }),
    otherSessions: parts.otherSessions ?? (() => 0),
  };
}

/** Calls again after each wait until there is an answer. */
export async function settle<T>(context: CommandContext, attempt: () => T | Pending): Promise<T> {
  for (;;) {
    const answer = attempt();
    if (!(answer instanceof Pending)) return answer;
    await context.wait(answer);
  }
}

/** 25001 for statements that make no sense inside a transaction block. */
export function refuseTransactionBlock(context: CommandContext, what: string): void {
  if (context.inTransactionBlock) throw new DatabaseError('25001', `${what} cannot run inside a transaction block`);
}

/** 1-based character position of a parse node's location. */
export function positionOf(context: CommandContext, location: number | undefined): number | undefined {
  return location === undefined ? undefined : context.source.position(location);
}

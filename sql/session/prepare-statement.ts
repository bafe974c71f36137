/** PREPARE, EXECUTE, DEALLOCATE. */
import type { ExecuteStmt, Node, PrepareStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { coerceToTargetType } from '../analyzer/coerce.js';
import { makeEnvironment } from '../analyzer/analyze.js';
import { transformExpression } from '../analyzer/expression.js';
import { formatType, resolveTypeName } from '../analyzer/names.js';
import { ParseState } from '../analyzer/parse-state.js';
import { compileExpression } from '../executor/compile-expression.js';
import type { ResultColumn } from '../executor/row-source.js';
import { nodeTag } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';
import { ensureAnalyzed, NEVER_VALID, queryTag, type PreparedStatement } from './prepared.js';
import { startQuery } from './execute-query.js';
import type { Session } from './session.js';
import { describeUtility, runUtility, tagged, type UtilityResult } from './utility.js';

/** A statement inside another one (PREPARE, EXPLAIN, DECLARE), as a prepared statement. */
export function innerStatement(outer: PreparedStatement, node: Node, types: readonly number[], variable: boolean): PreparedStatement {
  return {
    source: outer.source, text: outer.text, node, tag: nodeTag(node), parameterTypes: types, inputTypes: null, declaredTypes: types, variableParameters: variable,
    query: null, columns: null, plan: null, short: undefined, encoder: null, validity: NEVER_VALID,
  };
}

export function prepareNamed(session: Session, node: PrepareStmt, outer: PreparedStatement): UtilityResult {
  const name = node.name ?? '';
  if (name === '') throw new DatabaseError('26000', 'invalid statement name: must not be empty');
  const environment = { catalog: session.catalog, context: session.context, source: outer.source };
  const types = (node.argtypes ?? []).map((type) => resolveTypeName(environment, (type as { TypeName: never }).TypeName).type.oid);
  const statement = innerStatement(outer, node.query as Node, types, true);
  ensureAnalyzed(statement, session.context);
  if (session.prepared.has(name)) throw new DatabaseError('42P05', `prepared statement "${name}" already exists`);
  session.prepared.set(name, statement);
  return tagged('PREPARE');
}

function lookup(session: Session, name: string): PreparedStatement {
  const statement = session.prepared.get(name);
  if (!statement) throw new DatabaseError('26000', `prepared statement "${name}" does not exist`);
  return statement;
}

export function describeExecute(session: Session, node: ExecuteStmt): readonly ResultColumn[] | null {
  const statement = lookup(session, node.name ?? '');
  ensureAnalyzed(statement, session.context);
  return statement.columns ?? (statement.query || !statement.node ? null : describeUtility(session, statement));
}

/** Values of EXECUTE's arguments, coerced to the declared types. */
export function executeArguments(session: Session, node: ExecuteStmt, statement: PreparedStatement, outer: PreparedStatement): Datum[] {
  const args = node.params ?? [];
  const types = statement.parameterTypes;
  if (args.length !== types.length) {
    throw new DatabaseError('42601', `wrong number of parameters for prepared statement "${node.name}"`, { detail: `Expected ${types.length} parameters but got ${args.length}.` });
  }
  const state = new ParseState(makeEnvironment({ catalog: session.catalog, context: session.context, source: outer.source }), null);
  state.exprKind = 'execute parameter';
  return args.map((arg, i) => {
    const expr = transformExpression(state, arg);
    const coerced = coerceToTargetType(state, expr, types[i], -1, 'assignment', 'implicit cast', -1);
    if (!coerced) {
      throw state.error('42804', `parameter $${i + 1} of type ${formatType(session.catalog, expr.type)} cannot be coerced to the expected type ${formatType(session.catalog, types[i])}`, expr.location, { hint: 'You will need to rewrite or cast the expression.' });
    }
    return compileExpression(coerced, session.catalog)([], session.context);
  });
}

export async function executePrepared(session: Session, node: ExecuteStmt, outer: PreparedStatement): Promise<UtilityResult> {
  const statement = lookup(session, node.name ?? '');
  ensureAnalyzed(statement, session.context);
  const params = executeArguments(session, node, statement, outer);
  if (!statement.query) return runUtility(session, statement, params);
  const { query } = statement;
  const running = startQuery(session, statement, params);
  const { source } = running;
  // a query without result columns still has to run: its source is drained, nothing is sent
  return {
    tag: (rows) => queryTag(query, query.commandType === 'select' ? rows : running.rowsAffected()),
    rows: {
      columns: statement.columns as readonly ResultColumn[],
      next: (max) => source.next(max),
      close: () => {
        source.close();
        running.snapshot.release();
      },
    },
  };
}

export function deallocate(session: Session, node: { name?: string; isall?: boolean }): UtilityResult {
  if (!node.name) {
    session.prepared.clear();
    return tagged('DEALLOCATE ALL');
  }
  lookup(session, node.name);
  session.prepared.delete(node.name);
  return tagged('DEALLOCATE');
}

/** Statements ready to run: parsed, analyzed, with a plan kept as long as nothing it rests on changed. */
import type { Node } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { analyzeStatement, isAnalyzable } from '../analyzer/analyze.js';
import { ParameterTypes } from '../analyzer/parameters.js';
import type { Query, TargetEntry } from '../analyzer/query-tree.js';
import type { ResultColumn } from '../executor/row-source.js';
import type { Scalar } from '../executor/expressions/frame.js';
import type { ShortPlan } from '../executor/short/short-plan.js';
import type { RowEncoder } from './row-encoder.js';
import type { PhysicalPlan } from '../planner/plan-node.js';
import { nodeTag, type ParsedText, type SourceText } from '../parser/parse.js';
import type { Catalog } from '../catalog/catalog.js';
import type { DataType } from '../types/data-type.js';
import type { EvalContext } from '../functions/context.js';

export interface PreparedStatement {
  /** Text of the message the parse tree's locations point into. */
  readonly source: SourceText;
  /** Text of this statement alone. */
  readonly text: string;
  /** null for an empty query. */
  readonly node: Node | null;
  /** Tag of the parse node. */
  readonly tag: string;
  parameterTypes: readonly number[];
  /** Their behaviour, once it was asked for. */
  inputTypes: readonly DataType[] | null;
  /** Declared types, for analyzing anew. */
  readonly declaredTypes: readonly number[];
  readonly variableParameters: boolean;
  /** SELECT and DML only. */
  query: Query | null;
  /** Result columns; null for none. Utility statements: set when they are described. */
  columns: readonly ResultColumn[] | null;
  plan: PhysicalPlan | null;
  /** The plan's short path, null when it has none; undefined until it is looked for. */
  short: ShortPlan | null | undefined;
  /** Of a statement whose constants were lifted out: what is computed before anything else. */
  folded?: readonly Scalar[] | null;
  /** Of the last execution: reused under the same formats. */
  encoder: RowEncoder | null;
  /** What query and plan rest on. */
  validity: Validity;
}

/** Versions and identity that an analyzed query and its plan depend on. */
export interface Validity { readonly catalog: number; readonly settings: number; readonly user: number }

export const NEVER_VALID: Validity = { catalog: -1, settings: -1, user: -1 };

export function resultColumns(list: readonly TargetEntry[]): ResultColumn[] {
  return list.filter((t) => !t.junk).map((t) => ({
    name: t.name ?? '?column?', typeOid: t.expr.type, typmod: t.expr.typmod, tableOid: t.originTable, attributeNumber: t.originColumn,
  }));
}

/** As clients are told: a domain is its base type. */
function clientColumns(columns: ResultColumn[] | null, catalog: Catalog): ResultColumn[] | null {
  return columns && columns.map((column) => {
    let type = catalog.type(column.typeOid);
    let { typmod } = column;
    for (; type?.typtype === 'd'; type = catalog.type(type.typbasetype)) typmod = type.typtypmod;
    return !type || type.oid === column.typeOid ? column : { ...column, typeOid: type.oid, typmod };
  });
}

/** Columns a query returns; null for DML without RETURNING. */
export function queryColumns(query: Query): ResultColumn[] | null {
  if (query.commandType === 'select') return resultColumns(query.targetList);
  return query.returning.length > 0 ? resultColumns(query.returning) : null;
}

type ValidityContext = EvalContext & { settings: { searchPathVersion: number; version: number } };

/** Whether nothing changed that the statement's query and plan depend on. */
export function isValid({ validity }: PreparedStatement, context: ValidityContext): boolean {
  return validity.settings === context.settings.version && validity.catalog === context.catalog.version && validity.user === context.session.currentUser.oid;
}

function validityOf(context: ValidityContext): Validity {
  return { catalog: context.catalog.version, settings: context.settings.version, user: context.session.currentUser.oid };
}

/** Makes one statement of a parsed text; `variable`: parameters may be used undeclared. */
export function prepareStatement(parsed: ParsedText, index: number, declaredTypes: readonly number[], variable: boolean): PreparedStatement {
  const raw = parsed.statements[index];
  return {
    source: parsed.source, text: raw?.text ?? '', node: raw?.node ?? null, tag: raw ? nodeTag(raw.node) : '', parameterTypes: declaredTypes, inputTypes: null, declaredTypes, variableParameters: variable,
    query: null, columns: null, plan: null, short: undefined, encoder: null, validity: NEVER_VALID,
  };
}

/** Analyzes (again, where something changed). Utility statements have nothing to analyze. */
export function ensureAnalyzed(statement: PreparedStatement, context: ValidityContext): void {
  if (statement.query && isValid(statement, context)) return;
  if (statement.node === null || !isAnalyzable(statement.node)) return;
  const validity = validityOf(context);
  const declared = statement.query ? statement.parameterTypes : statement.declaredTypes;
  const parameters = new ParameterTypes(declared, statement.variableParameters && !statement.query);
  const query = analyzeStatement(statement.node, { catalog: context.catalog, context, source: statement.source, parameters });
  parameters.checkResolved();
  const columns = clientColumns(queryColumns(query), context.catalog);
  if (statement.query && !sameColumns(statement.columns, columns)) throw new DatabaseError('0A000', 'cached plan must not change result type');
  statement.query = query;
  statement.parameterTypes = parameters.types;
  statement.inputTypes = null;
  statement.columns = columns;
  statement.plan = null;
  statement.short = undefined;
  statement.encoder = null;
  statement.validity = validity;
}

function sameColumns(left: readonly ResultColumn[] | null, right: readonly ResultColumn[] | null): boolean {
  if (left === null || right === null) return left === right;
  return left.length === right.length && left.every((column, i) => column.typeOid === right[i].typeOid && column.typmod === right[i].typmod && column.name === right[i].name);
}

/** Command tag of a finished query, e.g. "SELECT 3" or "INSERT 0 1". */
export function queryTag(query: Query, rows: number): string {
  switch (query.commandType) {
    case 'select': return `SELECT ${rows}`;
    case 'insert': return `INSERT 0 ${rows}`;
    case 'update': return `UPDATE ${rows}`;
    case 'delete': return `DELETE ${rows}`;
    case 'merge': return `MERGE ${rows}`;
  }
}

/** COPY between a client and a table or query. */
import type { CopyStmt, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { makeEnvironment } from '../analyzer/analyze.js';
import { coerceToBoolean } from '../analyzer/coerce.js';
import { transformExpression } from '../analyzer/expression.js';
import { itemFor, relationEntry } from '../analyzer/from-clause.js';
import { lookupRelation, namesOf } from '../analyzer/names.js';
import { ParseState } from '../analyzer/parse-state.js';
import type { Attribute, Relation } from '../catalog/catalog.js';
import { columnStore } from '../columnar/relation-columns.js';
import { MIN_ROWS } from '../columnar/stage.js';
import { binaryHeader, binaryTrailer } from '../copy/binary-tuples.js';
import { copyIn } from '../copy/copy-in.js';
import { headerLine, rowFormatter } from '../copy/copy-out.js';
import { copyOptions, type CopyOptions } from '../copy/options.js';
import { compileExpression, type RowExpression } from '../executor/compile-expression.js';
import { startDueConstraints } from '../executor/execute.js';
import { Pending } from '../../engine/pending.js';
import { drain } from './driver.js';
import { readOnlyError, startQuery } from './execute-query.js';
import { checkPermissions } from './permissions.js';
import { ensureAnalyzed, type PreparedStatement } from './prepared.js';
import { innerStatement } from './prepare-statement.js';
import type { Session } from './session.js';
import { tagged, type UtilityResult } from './utility.js';

export async function copyStatement(session: Session, node: CopyStmt, outer: PreparedStatement): Promise<UtilityResult> {
  if (node.filename || node.is_program) throw notSupported(node.is_program ? 'COPY from or to a program' : 'COPY from or to a file of the server', { hint: 'Use COPY ... FROM STDIN or TO STDOUT, or psql\'s \\copy.' });
  const options = copyOptions(node.options, node.is_from ?? false);
  const rows = node.is_from ? await copyFrom(session, node, options, outer) : await copyTo(session, node, options, outer);
  return tagged(`COPY ${rows}`);
}

function copyColumns(relation: Relation, node: CopyStmt): Attribute[] {
  const names = namesOf(node.attlist);
  if (names.length === 0) return relation.attributes.filter((a) => !a.attisdropped && a.attgenerated === '');
  const out: Attribute[] = [];
  for (const name of names) {
    const attribute = relation.attributes.find((a) => a.attname === name && !a.attisdropped);
    if (!attribute) throw new DatabaseError('42703', `column "${name}" of relation "${relation.relname}" does not exist`);
    if (attribute.attgenerated !== '') throw new DatabaseError('42P10', `column "${name}" is a generated column`, { detail: 'Generated columns cannot be used in COPY.' });
    if (out.includes(attribute)) throw new DatabaseError('42701', `column "${name}" specified more than once`);
    out.push(attribute);
  }
  return out;
}

function checkForced(list: CopyOptions['forceNull'], columns: readonly Attribute[], relation: Relation, option: string): void {
  if (list === 'all') return;
  for (const name of list) {
    if (!relation.attributes.some((a) => a.attname === name && !a.attisdropped)) throw new DatabaseError('42703', `column "${name}" of relation "${relation.relname}" does not exist`);
    if (!columns.some((column) => column.attname === name)) throw new DatabaseError('42P10', `${option} column "${name}" not referenced by COPY`);
  }
}

async function copyFrom(session: Session, node: CopyStmt, options: CopyOptions, outer: PreparedStatement): Promise<number> {
  const environment = { catalog: session.catalog, context: session.context, source: outer.source };
  const relation = lookupRelation(environment, node.relation!);
  if (relation.relkind !== 'r') {
    const kind = relation.relkind === 'v' ? 'view' : relation.relkind === 'S' ? 'sequence' : relation.relkind === 'm' ? 'materialized view' : 'non-table relation';
    throw new DatabaseError('42809', `cannot copy to ${kind} "${relation.relname}"`);
  }
  if (session.transaction.readOnly && relation.relpersistence !== 't') throw readOnlyError('COPY FROM');
  const columns = copyColumns(relation, node);
  checkForced(options.forceNotNull, columns, relation, 'FORCE_NOT_NULL');
  checkForced(options.forceNull, columns, relation, 'FORCE_NULL');
  checkPermissions([{ relation: relation.oid, privileges: ['insert'], selected: [], inserted: columns.map((c) => c.attnum), updated: [], checkAsUser: 0 }], session.context);
  const where = node.whereClause ? compileWhere(session, relation, node.whereClause, outer) : null;
  const transaction = session.engineTransaction;
  for (let held = transaction.lockTable(relation.oid, 'RowExclusiveLock', 'wait'); held !== true; held = transaction.lockTable(relation.oid, 'RowExclusiveLock', 'wait')) {
    if (held instanceof Pending) await session.wait(held);
  }
  const stream = session.sink.copyInResponse(options.format === 'binary', columns.length);
  const count = await copyIn(relation, columns, options, where, stream, {
    context: session.context,
    wait: (pending) => session.wait(pending),
    breathe: () => session.breathe(),
  });
  await session.drainQuietly(startDueConstraints(transaction, session.context, session.interrupts));
  if (count >= MIN_ROWS) columnStore(session.context.storage).loaded(relation, session.context);
  return count;
}

function compileWhere(session: Session, relation: Relation, node: Node, outer: PreparedStatement): RowExpression {
  const state = new ParseState(makeEnvironment({ catalog: session.catalog, context: session.context, source: outer.source }), null);
  state.addRangeTableEntry(relationEntry(relation));
  state.namespace = [itemFor(state, 1, relation.oid)];
  state.exprKind = 'copy where';
  return compileExpression(coerceToBoolean(state, transformExpression(state, node), 'WHERE'), session.catalog);
}

async function copyTo(session: Session, node: CopyStmt, options: CopyOptions, outer: PreparedStatement): Promise<number> {
  const statement = node.query ? innerStatement(outer, node.query, [], false) : innerStatement(outer, tableQuery(session, node, outer), [], false);
  ensureAnalyzed(statement, session.context);
  if (!statement.columns) throw new DatabaseError('0A000', 'COPY query must have a RETURNING clause');
  const { columns } = statement;
  if (options.forceQuote !== 'all') {
    for (const name of options.forceQuote) if (!columns.some((c) => c.name === name)) throw new DatabaseError('42703', `column "${name}" does not exist`);
  }
  const running = startQuery(session, statement, []);
  const { sink } = session;
  sink.copyOutResponse(options.format === 'binary', columns.length);
  const format = rowFormatter(columns, options, session.context);
  try {
    if (options.format === 'binary') sink.copyData(binaryHeader());
    else if (options.header !== 'none') sink.copyData(headerLine(columns, options));
    const { rows } = await drain(running.source, 0, (batch) => {
      for (let i = 0; i < batch.length; i++) sink.copyData(format(batch, batch.selection ? batch.selection[i] : i));
    }, session.driver);
    if (options.format === 'binary') sink.copyData(binaryTrailer());
    sink.copyDone();
    return rows;
  } finally {
    running.source.close();
    running.snapshot.release();
  }
}

/** COPY table TO is SELECT columns FROM ONLY table. */
function tableQuery(session: Session, node: CopyStmt, outer: PreparedStatement): Node {
  const relation = lookupRelation({ catalog: session.catalog, context: session.context, source: outer.source }, node.relation!);
  if (relation.relkind === 'v') throw new DatabaseError('42809', `cannot copy from view "${relation.relname}"`, { hint: 'Try the COPY (SELECT ...) TO variant.' });
  if (relation.relkind === 'S') throw new DatabaseError('42809', `cannot copy from sequence "${relation.relname}"`);
  if (relation.relkind !== 'r' && relation.relkind !== 'm') throw new DatabaseError('42809', `cannot copy from non-table relation "${relation.relname}"`);
  const columns = copyColumns(relation, node);
  const targetList = columns.map((column) => ({ ResTarget: { val: { ColumnRef: { fields: [{ String: { sval: column.attname } }] } } } }) as Node);
  return { SelectStmt: { targetList, fromClause: [{ RangeVar: { ...node.relation, inh: false, alias: undefined } }], op: 'SETOP_NONE', limitOption: 'LIMIT_OPTION_DEFAULT' } } as unknown as Node;
}

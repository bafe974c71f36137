/** CREATE TABLE AS, SELECT INTO, CREATE MATERIALIZED VIEW and REFRESH. */
import type { CreateTableAsStmt, IntoClause, Node, RefreshMatViewStmt, SelectStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { stringOf } from '../analyzer/names.js';
import { tableAccess } from '../access/table-access.js';
import type { Oid } from '../catalog/catalog.js';
import type { CommandContext } from './command.js';
import { rebuildIndex, storageOptions } from './define-index.js';
import { checkOwner, creationNamespace, currentUser, openRelation, relationExists, reserveRelationName } from './names.js';
import { addRelation, newStorage, updateClass, type NewColumn } from './relation-rows.js';
import { setViewQuery } from './view-command.js';

export async function createTableAs(statement: CreateTableAsStmt, context: CommandContext): Promise<string> {
  const materialized = statement.objtype === 'OBJECT_MATVIEW';
  return createFromQuery(context, statement.query!, statement.into!, materialized, statement.if_not_exists ?? false);
}

/** SELECT ... INTO: the same with the clause inside the query. */
export async function selectInto(statement: SelectStmt, context: CommandContext): Promise<string> {
  const { intoClause, ...rest } = statement;
  return createFromQuery(context, { SelectStmt: rest } as Node, intoClause!, false, false);
}

async function createFromQuery(context: CommandContext, queryNode: Node, into: IntoClause, materialized: boolean, ifNotExists: boolean): Promise<string> {
  const range = into.rel!;
  const tag = materialized ? 'CREATE MATERIALIZED VIEW' : 'CREATE TABLE AS';
  const namespace = await creationNamespace(context, range);
  await reserveRelationName(context, namespace.oid, range.relname!);
  if (relationExists(context, namespace.oid, range.relname!, ifNotExists)) return tag;
  const analyzed = context.hooks.analyzeQuery(queryNode, context.eval, context.source);
  const names = (into.colNames ?? []).map((node) => stringOf(node as Node));
  if (names.length > analyzed.columns.length) throw new DatabaseError('42601', 'too many column names were specified');
  const columns: NewColumn[] = analyzed.columns.map((column, i) => ({
    name: names[i] ?? column.name, type: column.type === 705 ? 25 : column.type, typmod: column.typmod, collation: column.collation,
  }));
  const persistence = namespace.temporary ? 't' : range.relpersistence === 'u' ? 'u' : 'p';
  const oid = addRelation(context, {
    name: range.relname!, namespace: namespace.oid, kind: materialized ? 'm' : 'r', persistence, owner: currentUser(context).oid, columns,
    storage: newStorage(context, persistence), accessMethod: 0, withRowType: true, options: storageOptions(into.options as Node[] | undefined),
  });
  if (materialized) setViewQuery(context, oid, analyzed);
  if (into.skipData) {
    if (materialized) updateClass(context, oid, { relispopulated: false });
    return tag;
  }
  const rows = await fill(context, oid, queryNode);
  return `SELECT ${rows}`;
}

async function fill(context: CommandContext, oid: Oid, query: Node | string): Promise<number> {
  const relation = context.catalog.relation(oid)!;
  const access = tableAccess(relation, context.catalog);
  return context.hooks.runQuery(query, context.eval, typeof query === 'string' ? null : context.source, (row) => {
    context.transaction.insert(relation.storage, access.codec.encode(row));
  });
}

export async function refreshMaterializedView(statement: RefreshMatViewStmt, context: CommandContext): Promise<string> {
  const relation = await openRelation(context, statement.relation!, 'AccessExclusiveLock');
  if (relation.relkind !== 'm') throw new DatabaseError('0A000', `"${relation.relname}" is not a materialized view`);
  checkOwner(context, relation);
  if (statement.concurrent && statement.skipData) throw new DatabaseError('42601', 'REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together');
  const text = relation.viewText!;
  context.transaction.dropStorage(relation.storage);
  updateClass(context, relation.oid, { relfilenode: newStorage(context, relation.relpersistence), relispopulated: !statement.skipData });
  if (!statement.skipData) await fill(context, relation.oid, text);
  context.transaction.advanceCommand();
  for (const index of context.catalog.relation(relation.oid)!.indexes) await rebuildIndex(context, relation.oid, index.oid);
  return 'REFRESH MATERIALIZED VIEW';
}

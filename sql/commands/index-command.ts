/** CREATE INDEX and REINDEX. CONCURRENTLY does the same work under the same lock: it is accepted for its syntax and rules. */
import type { IndexStmt, ReindexStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { ownsAs, mustBeOwner } from '../catalog/acl.js';
import type { Oid } from '../catalog/catalog.js';
import { refuseTransactionBlock, type CommandContext } from './command.js';
import { defineIndex, rebuildIndex } from './define-index.js';
import { checkOwner, currentUser, KIND_NAMES, lockRelation, openRelation, openRelationIfExists, qualifiedName, refuseCatalog, relationExists } from './names.js';

export async function createIndex(statement: IndexStmt, context: CommandContext): Promise<string> {
  if (statement.concurrent) refuseTransactionBlock(context, 'CREATE INDEX CONCURRENTLY');
  const relation = await openRelation(context, statement.relation!, 'ShareLock');
  if (relation.relkind !== 'r' && relation.relkind !== 'm') {
    throw new DatabaseError('42809', `cannot create index on relation "${relation.relname}"`, { detail: `This operation is not supported for ${KIND_NAMES[relation.relkind]}${relation.relkind === 'i' ? 'es' : 's'}.` });
  }
  refuseCatalog(relation);
  checkOwner(context, relation);
  if (statement.idxname && statement.if_not_exists && relationExists(context, relation.relnamespace, statement.idxname, true)) return 'CREATE INDEX';
  await defineIndex(context, relation, { name: statement.idxname ?? null, statement, constraint: null, deferrable: false, initiallyDeferred: false });
  return 'CREATE INDEX';
}

export async function reindex(statement: ReindexStmt, context: CommandContext): Promise<string> {
  const concurrently = (statement.params ?? []).some((node) => (node as { DefElem?: { defname?: string } }).DefElem?.defname === 'concurrently');
  if (concurrently) refuseTransactionBlock(context, 'REINDEX CONCURRENTLY');
  switch (statement.kind) {
    case 'REINDEX_OBJECT_INDEX': {
      const range = statement.relation!;
      const relation = await openRelationIfExists(context, range, 'AccessExclusiveLock');
      if (!relation) throw new DatabaseError('42704', `index "${qualifiedName(range)}" does not exist`);
      if (relation.relkind !== 'i') throw new DatabaseError('42809', `"${relation.relname}" is not an index`);
      checkOwner(context, relation);
      const index = context.catalog.index(relation.oid)!;
      if (relation.oid >= 16384) {
        await lockRelation(context, index.tableOid, 'ShareLock');
        await rebuildIndex(context, index.tableOid, index.oid);
      }
      return 'REINDEX';
    }
    case 'REINDEX_OBJECT_TABLE': {
      const relation = await openRelation(context, statement.relation!, 'ShareLock');
      checkOwner(context, relation);
      if (relation.indexes.length === 0 && relation.oid >= 16384) context.notice('NOTICE', `table "${relation.relname}" has no indexes to reindex`, { sqlstate: '00000' });
      await reindexTable(context, relation.oid);
      return 'REINDEX';
    }
    case 'REINDEX_OBJECT_SCHEMA': {
      refuseTransactionBlock(context, 'REINDEX SCHEMA');
      const namespace = context.catalog.namespaceNamed(statement.name ?? '');
      if (!namespace) throw new DatabaseError('3F000', `schema "${statement.name}" does not exist`);
      if (!ownsAs(context.catalog, currentUser(context).oid, namespace.nspowner)) throw mustBeOwner('schema', namespace.nspname);
      for (const oid of tablesOf(context, namespace.oid)) await reindexTable(context, oid);
      return 'REINDEX';
    }
    default: {
      refuseTransactionBlock(context, statement.kind === 'REINDEX_OBJECT_SYSTEM' ? 'REINDEX SYSTEM' : 'REINDEX DATABASE');
      if (statement.name && statement.name !== context.eval.session.databaseName) throw new DatabaseError('0A000', 'can only reindex the currently open database');
      if (statement.kind === 'REINDEX_OBJECT_DATABASE') for (const oid of tablesOf(context, null)) await reindexTable(context, oid);
      return 'REINDEX';
    }
  }
}

function tablesOf(context: CommandContext, namespace: Oid | null): Oid[] {
  return [...context.catalog.rows.all('pg_class')].map((entry) => entry.values!)
    .filter((row) => (row[0] as Oid) >= 16384 && (row[16] === 'r' || row[16] === 'm') && (namespace === null || row[2] === namespace)).map((row) => row[0] as Oid);
}

async function reindexTable(context: CommandContext, oid: Oid): Promise<void> {
  if (oid < 16384) return;
  await lockRelation(context, oid, 'ShareLock');
  for (const index of context.catalog.relation(oid)!.indexes) {
    await lockRelation(context, index.oid, 'AccessExclusiveLock');
    await rebuildIndex(context, oid, index.oid);
  }
}

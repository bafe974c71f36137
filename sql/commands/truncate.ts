/** TRUNCATE: a new, empty storage for each table and index. Rolls back like anything else. */
import type { RangeVar, TruncateStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { hasRelationPrivilege, permissionDenied } from '../catalog/acl.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { CommandContext } from './command.js';
import { rebuildIndex } from './define-index.js';
import { currentUser, lockRelation, openRelation, refuseCatalog } from './names.js';
import { newStorage, updateClass } from './relation-rows.js';
import { ownedSequences, restartSequence } from './sequence-command.js';

export async function truncate(statement: TruncateStmt, context: CommandContext): Promise<string> {
  const relations = new Map<Oid, Relation>();
  for (const node of statement.relations ?? []) {
    const relation = await openRelation(context, (node as { RangeVar: RangeVar }).RangeVar, 'AccessExclusiveLock');
    check(context, relation);
    relations.set(relation.oid, relation);
  }
  if (statement.behavior === 'DROP_CASCADE') await addReferencing(context, relations);
  else refuseReferenced(context, relations);
  for (const relation of relations.values()) {
    context.transaction.dropStorage(relation.storage);
    updateClass(context, relation.oid, { relfilenode: newStorage(context, relation.relpersistence), reltuples: -1, relpages: 0 });
    for (const index of relation.indexes) await rebuildIndex(context, relation.oid, index.oid, true);
    if (!statement.restart_seqs) continue;
    for (const sequence of ownedSequences(context, relation.oid)) {
      await lockRelation(context, sequence, 'AccessExclusiveLock');
      restartSequence(context, sequence);
    }
  }
  return 'TRUNCATE TABLE';
}

function check(context: CommandContext, relation: Relation): void {
  if (relation.relkind !== 'r') throw new DatabaseError('42809', `"${relation.relname}" is not a table`);
  if (!hasRelationPrivilege(context.catalog, currentUser(context).oid, relation, 'D')) throw permissionDenied('table', relation.relname);
  refuseCatalog(relation);
}

async function addReferencing(context: CommandContext, relations: Map<Oid, Relation>): Promise<void> {
  const queue = [...relations.values()];
  for (let relation = queue.shift(); relation; relation = queue.shift()) {
    for (const constraint of relation.referencedBy) {
      if (relations.has(constraint.conrelid)) continue;
      await lockRelation(context, constraint.conrelid, 'AccessExclusiveLock');
      const other = context.catalog.relation(constraint.conrelid);
      if (!other) continue;
      context.notice('NOTICE', `truncate cascades to table "${other.relname}"`, { sqlstate: '00000' });
      check(context, other);
      relations.set(other.oid, other);
      queue.push(other);
    }
  }
}

function refuseReferenced(context: CommandContext, relations: ReadonlyMap<Oid, Relation>): void {
  for (const relation of relations.values()) {
    for (const constraint of relation.referencedBy) {
      if (relations.has(constraint.conrelid)) continue;
      throw new DatabaseError('0A000', 'cannot truncate a table referenced in a foreign key constraint', {
        detail: `Table "${context.catalog.relation(constraint.conrelid)?.relname}" references "${relation.relname}".`,
        hint: `Truncate table "${context.catalog.relation(constraint.conrelid)?.relname}" at the same time, or use TRUNCATE ... CASCADE.`,
      });
    }
  }
}

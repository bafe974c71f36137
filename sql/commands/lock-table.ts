/** LOCK TABLE and SET CONSTRAINTS. */
import type { ConstraintsSetStmt, LockStmt, RangeVar } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import type { TableLockMode } from '../../engine/storage.js';
import { hasRelationPrivilege, permissionDenied } from '../catalog/acl.js';
import type { Oid } from '../catalog/catalog.js';
import type { CommandContext } from './command.js';
import { currentUser, openRelationIfExists, qualifiedName } from './names.js';

/** By the number that the grammar gives (lockdefs.h). */
const MODES: readonly TableLockMode[] = [
  'AccessShareLock', 'AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock',
];

export async function lockTable(statement: LockStmt, context: CommandContext): Promise<string> {
  if (!context.inTransactionBlock) throw new DatabaseError('25P01', 'LOCK TABLE can only be used in transaction blocks');
  const mode = MODES[statement.mode ?? 8] ?? 'AccessExclusiveLock';
  for (const node of statement.relations ?? []) {
    const range = (node as { RangeVar: RangeVar }).RangeVar;
    const relation = await openRelationIfExists(context, range, mode, statement.nowait ?? false);
    if (!relation) throw new DatabaseError('42P01', `relation "${qualifiedName(range)}" does not exist`);
    if (relation.relkind !== 'r' && relation.relkind !== 'v' && relation.relkind !== 'p') {
      throw new DatabaseError('42809', `cannot lock relation "${relation.relname}"`, { detail: 'This operation is not supported for this kind of relation.' });
    }
    const enough = mode === 'AccessShareLock' ? 'rawdD' : mode === 'RowShareLock' || mode === 'RowExclusiveLock' ? 'awdD' : 'wdD';
    if (![...enough].some((letter) => hasRelationPrivilege(context.catalog, currentUser(context).oid, relation, letter))) throw permissionDenied('table', relation.relname);
  }
  return 'LOCK TABLE';
}

export async function setConstraints(statement: ConstraintsSetStmt, context: CommandContext): Promise<string> {
  const deferred = statement.deferred ?? false;
  if (!statement.constraints?.length) {
    await context.setConstraints('all', deferred);
    return 'SET CONSTRAINTS';
  }
  const oids: Oid[] = [];
  for (const node of statement.constraints) {
    const range = (node as { RangeVar: RangeVar }).RangeVar;
    const namespaces = range.schemaname ? [context.catalog.namespaceNamed(range.schemaname)?.oid ?? 0] : context.eval.session.searchPathOids;
    const found = namespaces.flatMap((namespace) => context.catalog.rows.rows('pg_constraint', 'connamespace', namespace).filter((row) => row[1] === range.relname));
    if (found.length === 0) throw new DatabaseError('42704', `constraint "${range.relname}" does not exist`);
    const deferrable = found.filter((row) => row[4] === true);
    if (deferrable.length === 0) throw new DatabaseError('42809', `constraint "${range.relname}" is not deferrable`);
    oids.push(...deferrable.map((row) => row[0] as Oid));
  }
  await context.setConstraints(oids, deferred);
  return 'SET CONSTRAINTS';
}

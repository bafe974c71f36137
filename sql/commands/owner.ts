/** ALTER ... OWNER TO. */
import type { AlterOwnerStmt, Node, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { resolveTypeName } from '../analyzer/names.js';
import { aclArray, inheritedRoles, mustBeOwner, ownsAs, parseAclItem } from '../catalog/acl.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { Oid, PgRole } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteSharedDependencies, recordSharedDependency } from '../catalog/dependency.js';
import type { CommandContext } from './command.js';
import { currentUser, isSuper, nameEnvironment, nameList, roleOfSpec } from './names.js';
import { classEntry, updateClass } from './relation-rows.js';
import { ownedSequences } from './sequence-command.js';
import { giveStatistics, ownStatistics } from './statistics-command.js';

/** Items of the old owner become the new one's (aclnewowner). */
function ownedAcl(acl: Datum, before: string, after: string): Datum {
  if (acl === null) return null;
  const rename = (name: string): string => (name === before ? after : name);
  return aclArray(((acl as ArrayValue).elements as string[]).map(parseAclItem).map((item) => ({ ...item, grantee: rename(item.grantee), grantor: rename(item.grantor) })));
}

function moveOwnership(context: CommandContext, classOid: Oid, oid: Oid, owner: Oid): void {
  const object = address(classOid, oid);
  deleteSharedDependencies(context.changes, object, 'o');
  recordSharedDependency(context.changes, object, ClassOid.pg_authid, owner, 'o');
}

/** Must be able to SET ROLE to the new owner. */
function checkNewOwner(context: CommandContext, owner: PgRole): void {
  if (!isSuper(context) && !inheritedRoles(context.catalog, currentUser(context).oid, false).has(owner.oid)) {
    throw new DatabaseError('42501', `must be able to SET ROLE "${owner.rolname}"`);
  }
}

/** A relation with its indexes, owned sequences and row type. */
export function changeOwner(context: CommandContext, relationOid: Oid, owner: PgRole): void {
  const entry = classEntry(context, relationOid);
  const before = entry.values![5] as Oid;
  if (before === owner.oid) return;
  checkNewOwner(context, owner);
  const oldName = context.catalog.role(before)?.rolname ?? '';
  updateClass(context, relationOid, { relowner: owner.oid, relacl: ownedAcl(entry.values![30]!, oldName, owner.rolname) });
  moveOwnership(context, ClassOid.pg_class, relationOid, owner.oid);
  const rowType = entry.values![3] as Oid;
  if (rowType) {
    for (const oid of [rowType, context.catalog.type(rowType)?.typarray ?? 0]) {
      const type = context.catalog.rows.find('pg_type', 'oid', oid)[0];
      if (type) context.changes.update('pg_type', type, { typowner: owner.oid });
    }
  }
  for (const row of context.catalog.rows.rows('pg_index', 'indrelid', relationOid)) updateClass(context, row[0] as Oid, { relowner: owner.oid });
  for (const sequence of ownedSequences(context, relationOid)) changeOwner(context, sequence, owner);
}

export function alterOwner(statement: AlterOwnerStmt, context: CommandContext): string {
  const owner = roleOfSpec(context, statement.newowner!);
  const { catalog } = context;
  const user = currentUser(context).oid;
  const simple = (table: string, column: string, aclColumn: string, oid: Oid, before: Oid, classOid: Oid, noun: string, name: string): void => {
    if (!ownsAs(catalog, user, before)) throw mustBeOwner(noun, name);
    checkNewOwner(context, owner);
    const entry = catalog.rows.find(table, 'oid', oid)[0]!;
    const acl = (entry.values as readonly Datum[]).at(-1) ?? null;
    context.changes.update(table, entry, { [column]: owner.oid, [aclColumn]: ownedAcl(acl, catalog.role(before)?.rolname ?? '', owner.rolname) });
    moveOwnership(context, classOid, oid, owner.oid);
  };
  switch (statement.objectType) {
    case 'OBJECT_SCHEMA': {
      const name = nameList(statement.object)[0]!;
      const namespace = catalog.namespaceNamed(name);
      if (!namespace) throw new DatabaseError('3F000', `schema "${name}" does not exist`);
      simple('pg_namespace', 'nspowner', 'nspacl', namespace.oid, namespace.nspowner, ClassOid.pg_namespace, 'schema', name);
      return 'ALTER SCHEMA';
    }
    case 'OBJECT_DATABASE': {
      const name = nameList(statement.object)[0]!;
      const database = catalog.databaseNamed(name);
      if (!database) throw new DatabaseError('3D000', `database "${name}" does not exist`);
      simple('pg_database', 'datdba', 'datacl', database.oid, database.datdba, ClassOid.pg_database, 'database', name);
      return 'ALTER DATABASE';
    }
    case 'OBJECT_STATISTIC_EXT': {
      const row = ownStatistics(context, nameList(statement.object));
      checkNewOwner(context, owner);
      giveStatistics(context, row, owner.oid);
      moveOwnership(context, ClassOid.pg_statistic_ext, row[0] as Oid, owner.oid);
      return 'ALTER STATISTICS';
    }
    case 'OBJECT_TYPE': case 'OBJECT_DOMAIN': {
      const names = (statement.object as { List?: { items?: Node[] } }).List?.items;
      const typeName = names ? { names } as TypeName : (statement.object as { TypeName: TypeName }).TypeName;
      const { type } = resolveTypeName(nameEnvironment(context), { ...typeName, typemod: -1 });
      const row = catalog.rows.one('pg_type', 'oid', type.oid)!;
      simple('pg_type', 'typowner', 'typacl', type.oid, row[3] as Oid, ClassOid.pg_type, 'type', type.typname);
      return statement.objectType === 'OBJECT_TYPE' ? 'ALTER TYPE' : 'ALTER DOMAIN';
    }
    default: throw notSupported(`ALTER ${String(statement.objectType).replace('OBJECT_', '')} OWNER TO`);
  }
}

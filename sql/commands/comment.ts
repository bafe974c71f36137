/** COMMENT ON. */
import type { CommentStmt, Node, ObjectWithArgs, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { functionsNamed, resolveTypeName } from '../analyzer/names.js';
import { mustBeOwner, ownsAs } from '../catalog/acl.js';
import type { Oid } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import type { CommandContext } from './command.js';
import { findColumn } from './constraints.js';
import { checkOwner, currentUser, isSuper, nameEnvironment, nameList, openRelation, rangeOf } from './names.js';
import { ownStatistics } from './statistics-command.js';

/** Sets, replaces or (null, empty) removes a comment. */
export function setComment(context: CommandContext, classOid: Oid, objectOid: Oid, subId: number, comment: string | null, shared: boolean): void {
  const table = shared ? 'pg_shdescription' : 'pg_description';
  const entry = context.catalog.rows.find(table, 'objoid,classoid', objectOid, classOid).find((candidate) => shared || candidate.values![2] === subId);
  if (comment === null || comment === '') {
    if (entry) context.changes.delete(table, entry);
  } else if (entry) {
    context.changes.update(table, entry, { description: comment });
  } else {
    context.changes.insert(table, { objoid: objectOid, classoid: classOid, ...(shared ? {} : { objsubid: subId }), description: comment });
  }
}

/** Removes all comments of an object that is dropped (subId: only that column's). */
export function removeComments(context: CommandContext, classOid: Oid, objectOid: Oid, subId = 0): void {
  for (const entry of context.catalog.rows.find('pg_description', 'objoid,classoid', objectOid, classOid)) {
    if (subId === 0 || entry.values![2] === subId) context.changes.delete('pg_description', entry);
  }
}

const RELATION_KINDS: Readonly<Record<string, readonly [string, string]>> = {
  OBJECT_TABLE: ['rp', 'a table'], OBJECT_VIEW: ['v', 'a view'], OBJECT_INDEX: ['iI', 'an index'], OBJECT_SEQUENCE: ['S', 'a sequence'], OBJECT_MATVIEW: ['m', 'a materialized view'],
};

export async function commentOn(statement: CommentStmt, context: CommandContext): Promise<string> {
  const target = await findTarget(statement, context);
  if (!target) return 'COMMENT';
  setComment(context, target.classOid, target.oid, target.subId ?? 0, statement.comment ?? null, target.shared ?? false);
  return 'COMMENT';
}

interface Target { classOid: Oid; oid: Oid; subId?: number; shared?: boolean }

/** null: a warning was enough. */
async function findTarget(statement: CommentStmt, context: CommandContext): Promise<Target | null> {
  const { catalog } = context;
  const object = statement.object as Node;
  const names = nameList(object);
  switch (statement.objtype) {
    case 'OBJECT_TABLE': case 'OBJECT_VIEW': case 'OBJECT_INDEX': case 'OBJECT_SEQUENCE': case 'OBJECT_MATVIEW': {
      const relation = await openRelation(context, rangeOf(names), 'ShareUpdateExclusiveLock');
      const [kinds, article] = RELATION_KINDS[statement.objtype]!;
      if (!kinds.includes(relation.relkind)) throw new DatabaseError('42809', `"${relation.relname}" is not ${article}`);
      checkOwner(context, relation);
      return { classOid: ClassOid.pg_class, oid: relation.oid };
    }
    case 'OBJECT_COLUMN': {
      const relation = await openRelation(context, rangeOf(names.slice(0, -1)), 'ShareUpdateExclusiveLock');
      checkOwner(context, relation);
      const column = findColumn(relation, names.at(-1)!);
      if (!column) throw new DatabaseError('42703', `column "${names.at(-1)}" of relation "${relation.relname}" does not exist`);
      return { classOid: ClassOid.pg_class, oid: relation.oid, subId: column.attnum };
    }
    case 'OBJECT_TABCONSTRAINT': {
      const relation = await openRelation(context, rangeOf(names.slice(0, -1)), 'ShareUpdateExclusiveLock');
      checkOwner(context, relation);
      const constraint = relation.constraints.find((candidate) => candidate.conname === names.at(-1));
      if (!constraint) throw new DatabaseError('42704', `constraint "${names.at(-1)}" for table "${relation.relname}" does not exist`);
      return { classOid: ClassOid.pg_constraint, oid: constraint.oid };
    }
    case 'OBJECT_SCHEMA': {
      const namespace = catalog.namespaceNamed(names[0]!);
      if (!namespace) throw new DatabaseError('3F000', `schema "${names[0]}" does not exist`);
      if (!ownsAs(catalog, currentUser(context).oid, namespace.nspowner)) throw mustBeOwner('schema', namespace.nspname);
      return { classOid: ClassOid.pg_namespace, oid: namespace.oid };
    }
    case 'OBJECT_DATABASE': {
      const database = catalog.databaseNamed(names[0]!);
      if (!database) {
        context.notice('WARNING', `database "${names[0]}" does not exist`, { sqlstate: '3D000' });
        return null;
      }
      if (!ownsAs(catalog, currentUser(context).oid, database.datdba)) throw mustBeOwner('database', database.datname);
      return { classOid: ClassOid.pg_database, oid: database.oid, shared: true };
    }
    case 'OBJECT_ROLE': {
      const role = catalog.roleNamed(names[0]!);
      if (!role) throw new DatabaseError('42704', `role "${names[0]}" does not exist`);
      if (!isSuper(context) && role.oid !== currentUser(context).oid) throw new DatabaseError('42501', 'permission denied');
      return { classOid: ClassOid.pg_authid, oid: role.oid, shared: true };
    }
    case 'OBJECT_TYPE': case 'OBJECT_DOMAIN': {
      const { type } = resolveTypeName(nameEnvironment(context), (object as { TypeName: TypeName }).TypeName);
      return { classOid: ClassOid.pg_type, oid: type.oid };
    }
    case 'OBJECT_FUNCTION': case 'OBJECT_AGGREGATE': case 'OBJECT_PROCEDURE': {
      const withArgs = (object as { ObjectWithArgs: ObjectWithArgs }).ObjectWithArgs;
      const functionNames = nameList(withArgs.objname as Node[]);
      const types = (withArgs.objargs ?? []).map((node) => resolveTypeName(nameEnvironment(context), (node as { TypeName: TypeName }).TypeName).type.oid);
      const proc = functionsNamed(nameEnvironment(context), functionNames).find((candidate) => candidate.proargtypes.join() === types.join());
      if (!proc) throw new DatabaseError('42883', `function ${functionNames.join('.')} does not exist`);
      return { classOid: ClassOid.pg_proc, oid: proc.oid };
    }
    case 'OBJECT_STATISTIC_EXT': return { classOid: ClassOid.pg_statistic_ext, oid: ownStatistics(context, names)[0] as Oid };
    case 'OBJECT_EXTENSION': {
      const row = catalog.rows.one('pg_extension', 'extname', names[0]!);
      if (!row) throw new DatabaseError('42704', `extension "${names[0]}" does not exist`);
      return { classOid: ClassOid.pg_extension, oid: row[0] as Oid };
    }
    default: throw notSupported(`COMMENT ON ${String(statement.objtype).replace('OBJECT_', '')}`);
  }
}

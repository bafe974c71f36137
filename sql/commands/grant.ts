/** GRANT and REVOKE on objects, ALTER DEFAULT PRIVILEGES. After aclchk.c. */
import type { AccessPriv, AlterDefaultPrivilegesStmt, DefElem, GrantStmt, Node, ObjectWithArgs, RangeVar, RoleSpec, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { functionsNamed, resolveTypeName, stringOf } from '../analyzer/names.js';
import {
  aclArray, aclItems, ALL_PRIVILEGES, grantableBy, grantPrivileges, ownsAs, parseAclItem, permissionDenied, PRIVILEGE_LETTERS, relationKind, revokePrivileges, type AclItem, type AclObjectKind,
} from '../catalog/acl.js';
import { bornTable } from '../catalog/born-rows.js';
import type { Oid, PgRole, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, updateAclDependencies, type ObjectAddress } from '../catalog/dependency.js';
import type { CatalogEntry } from '../catalog/layers.js';
import type { ArrayValue } from '../types/datum.js';
import type { CommandContext } from './command.js';
import { findColumn } from './constraints.js';
import { currentUser, nameEnvironment, nameList, openRelation, roleOfSpec } from './names.js';
import { attributeEntry, classEntry } from './relation-rows.js';

/** An object whose ACL is changed. */
interface Target {
  readonly table: string;
  readonly entry: CatalogEntry;
  readonly aclColumn: string;
  readonly kind: AclObjectKind;
  readonly noun: string;
  readonly name: string;
  readonly owner: Oid;
  readonly object: ObjectAddress;
}

interface Change {
  readonly isGrant: boolean;
  readonly grantOption: boolean;
  readonly cascade: boolean;
  /** '' is PUBLIC. */
  readonly grantees: readonly string[];
}

const TAGS = { grant: 'GRANT', revoke: 'REVOKE' } as const;

export async function grant(statement: GrantStmt, context: CommandContext): Promise<string> {
  const found = await targets(statement, context);
  const change = changeOf(statement, context);
  if (statement.grantor) {
    const grantor = roleOfSpec(context, statement.grantor);
    if (grantor.oid !== currentUser(context).oid) throw new DatabaseError('0A000', 'grantor must be current user');
  }
  const privileges = (statement.privileges ?? []).map((node) => (node as { AccessPriv: AccessPriv }).AccessPriv);
  for (const target of found) {
    const whole: string[] = [];
    const byColumn: { letters: string; columns: string[] }[] = [];
    for (const privilege of privileges) {
      const letters = lettersOf(privilege.priv_name, target.kind);
      if (privilege.cols?.length) byColumn.push({ letters, columns: privilege.cols.map((node) => stringOf(node as Node)) });
      else whole.push(letters);
    }
    if (privileges.length === 0) whole.push(ALL_PRIVILEGES[target.kind]);
    if (whole.length > 0) apply(context, target, whole.join(''), change, privileges.length === 0);
    for (const { letters, columns } of byColumn) applyToColumns(context, target, letters, columns, change);
  }
  return statement.is_grant ? TAGS.grant : TAGS.revoke;
}

function changeOf(statement: GrantStmt, context: CommandContext): Change {
  const grantees = (statement.grantees ?? []).map((node) => {
    const spec = (node as { RoleSpec: RoleSpec }).RoleSpec;
    return spec.roletype === 'ROLESPEC_PUBLIC' ? '' : roleOfSpec(context, spec).rolname;
  });
  const grantOption = statement.grant_option ?? false;
  if (statement.is_grant && grantOption && grantees.includes('')) throw new DatabaseError('0LP01', 'grant options can only be granted to roles');
  return { isGrant: statement.is_grant ?? false, grantOption, cascade: statement.behavior === 'DROP_CASCADE', grantees };
}

function lettersOf(name: string | undefined, kind: AclObjectKind): string {
  if (!name) return ALL_PRIVILEGES[kind];
  const letter = PRIVILEGE_LETTERS[name.toLowerCase()];
  if (!letter) throw new DatabaseError('42601', `unrecognized privilege type "${name}"`);
  if (!ALL_PRIVILEGES[kind].includes(letter)) throw new DatabaseError('0LP01', `invalid privilege type ${name.toUpperCase()} for ${kind === 'table' && letter !== 'U' ? 'relation' : kind}`);
  return letter;
}

function relationTarget(context: CommandContext, relation: Relation): Target {
  const kind = relationKind(relation);
  return {
    table: 'pg_class', entry: classEntry(context, relation.oid), aclColumn: 'relacl', kind, noun: kind, name: relation.relname, owner: relation.relowner,
    object: address(ClassOid.pg_class, relation.oid),
  };
}

async function targets(statement: GrantStmt, context: CommandContext): Promise<Target[]> {
  const objects = (statement.objects ?? []) as Node[];
  const { catalog } = context;
  if (statement.targtype === 'ACL_TARGET_ALL_IN_SCHEMA') return allInSchema(statement, context, objects.map((node) => nameList(node)[0]!));
  const found: Target[] = [];
  const simple = (table: string, oid: Oid, aclColumn: string, ownerColumn: string, kind: AclObjectKind, name: string, classId: Oid): Target => {
    const entry = catalog.rows.find(table, 'oid', oid)[0]!;
    const owner = entry.values![bornTable(table).def.position[ownerColumn]!] as Oid;
    return { table, entry, aclColumn, kind, noun: kind, name, owner, object: address(classId, oid) };
  };
  for (const node of objects) {
    switch (statement.objtype) {
      case 'OBJECT_TABLE': case 'OBJECT_SEQUENCE': {
        const relation = await openRelation(context, (node as { RangeVar: RangeVar }).RangeVar, 'AccessShareLock');
        if (relation.relkind === 'i') throw new DatabaseError('42809', `"${relation.relname}" is an index`);
        if (relation.relkind === 'c') throw new DatabaseError('42809', `"${relation.relname}" is a composite type`);
        if (statement.objtype === 'OBJECT_SEQUENCE' && relation.relkind !== 'S') throw new DatabaseError('42809', `"${relation.relname}" is not a sequence`);
        found.push(relationTarget(context, relation));
        break;
      }
      case 'OBJECT_SCHEMA': {
        const name = nameList(node)[0]!;
        const namespace = catalog.namespaceNamed(name);
        if (!namespace) throw new DatabaseError('3F000', `schema "${name}" does not exist`);
        found.push(simple('pg_namespace', namespace.oid, 'nspacl', 'nspowner', 'schema', name, ClassOid.pg_namespace));
        break;
      }
      case 'OBJECT_DATABASE': {
        const name = nameList(node)[0]!;
        const database = catalog.databaseNamed(name);
        if (!database) throw new DatabaseError('3D000', `database "${name}" does not exist`);
        found.push(simple('pg_database', database.oid, 'datacl', 'datdba', 'database', name, ClassOid.pg_database));
        break;
      }
      case 'OBJECT_FUNCTION': case 'OBJECT_PROCEDURE': case 'OBJECT_ROUTINE': {
        const object = (node as { ObjectWithArgs: ObjectWithArgs }).ObjectWithArgs;
        const names = nameList(object.objname as Node[]);
        const types = (object.objargs ?? []).map((type) => resolveTypeName(nameEnvironment(context), (type as { TypeName: TypeName }).TypeName).type.oid);
        const candidates = functionsNamed(nameEnvironment(context), names);
        const proc = object.args_unspecified ? candidates[0] : candidates.find((candidate) => candidate.proargtypes.join() === types.join());
        if (!proc) throw new DatabaseError('42883', `function ${names.join('.')} does not exist`);
        found.push(simple('pg_proc', proc.oid, 'proacl', 'proowner', 'function', proc.proname, ClassOid.pg_proc));
        break;
      }
      case 'OBJECT_TYPE': case 'OBJECT_DOMAIN': {
        const { type } = resolveTypeName(nameEnvironment(context), { names: ((node as { List: { items: Node[] } }).List?.items), typemod: -1 } as TypeName);
        found.push(simple('pg_type', type.oid, 'typacl', 'typowner', 'type', type.typname, ClassOid.pg_type));
        break;
      }
      case 'OBJECT_LANGUAGE': {
        const row = catalog.rows.one('pg_language', 'lanname', nameList(node)[0]!);
        if (!row) throw new DatabaseError('42704', `language "${nameList(node)[0]}" does not exist`);
        found.push(simple('pg_language', row[0] as Oid, 'lanacl', 'lanowner', 'language', row[1] as string, ClassOid.pg_language));
        break;
      }
      default: throw notSupported(`GRANT ON ${String(statement.objtype).replace('OBJECT_', '')}`);
    }
  }
  return found;
}

function allInSchema(statement: GrantStmt, context: CommandContext, schemas: readonly string[]): Target[] {
  const kinds = statement.objtype === 'OBJECT_SEQUENCE' ? 'S' : statement.objtype === 'OBJECT_TABLE' ? 'rvmfp' : '';
  const found: Target[] = [];
  for (const schema of schemas) {
    const namespace = context.catalog.namespaceNamed(schema);
    if (!namespace) throw new DatabaseError('3F000', `schema "${schema}" does not exist`);
    if (kinds === '') {
      for (const entry of context.catalog.rows.find('pg_proc', 'pronamespace', namespace.oid)) {
        found.push({ table: 'pg_proc', entry, aclColumn: 'proacl', kind: 'function', noun: 'function', name: entry.values![1] as string, owner: entry.values![3] as Oid, object: address(ClassOid.pg_proc, entry.values![0] as Oid) });
      }
      continue;
    }
    for (const row of context.catalog.rows.rows('pg_class', 'relnamespace', namespace.oid)) {
      if (kinds.includes(row[16] as string)) found.push(relationTarget(context, context.catalog.relation(row[0] as Oid)!));
    }
  }
  return found;
}

/** Who grants: the owner for members of the owning role, else the current user by grant options. */
function grantorOf(context: CommandContext, target: Target, items: readonly AclItem[], wanted: string, all: boolean, isGrant: boolean): { name: string; letters: string } {
  const user = currentUser(context);
  const owner = context.catalog.role(target.owner)!.rolname;
  if (ownsAs(context.catalog, user.oid, target.owner)) return { name: owner, letters: wanted };
  const may = grantableBy(context.catalog, user.oid, items, target.owner, target.kind);
  const letters = [...wanted].filter((letter) => may.includes(letter)).join('');
  if (may === '' && !items.some((item) => item.grantee === user.name || item.grantee === '')) throw permissionDenied(target.noun, target.name);
  if (letters === '') {
    context.notice('WARNING', `no privileges ${isGrant ? 'were granted' : 'could be revoked'} for "${target.name}"`, { sqlstate: isGrant ? '01007' : '01006' });
  } else if (letters.length < wanted.length && !all) {
    context.notice('WARNING', `not all privileges ${isGrant ? 'were granted' : 'could be revoked'} for "${target.name}"`, { sqlstate: isGrant ? '01007' : '01006' });
  }
  return { name: user.name, letters };
}

function change(items: readonly AclItem[], grantor: string, letters: string, how: Change): AclItem[] {
  let after = [...items];
  for (const grantee of how.grantees) {
    if (how.isGrant) after = grantPrivileges(after, grantee, grantor, letters, how.grantOption);
    else after = revokeFrom(after, grantee, grantor, letters, how);
  }
  return after;
}

/** Privileges that the grantee passed on fall too (CASCADE) or stand in the way. */
function revokeFrom(items: readonly AclItem[], grantee: string, grantor: string, letters: string, how: Change): AclItem[] {
  const before = items.find((item) => item.grantee === grantee && item.grantor === grantor);
  let after = revokePrivileges(items, grantee, grantor, letters, how.grantOption);
  const lost = [...(before?.grantable ?? '')].filter((letter) => letters.includes(letter) && !after.some((item) => item.grantee === grantee && item.grantable.includes(letter))).join('');
  if (lost === '' || grantee === '') return after;
  for (const item of items) {
    if (item.grantor !== grantee || ![...lost].some((letter) => item.privileges.includes(letter))) continue;
    if (!how.cascade) throw new DatabaseError('2BP01', 'dependent privileges exist', { hint: 'Use CASCADE to revoke them too.' });
    after = revokeFrom(after, item.grantee, grantee, lost, { ...how, grantOption: false });
  }
  return after;
}

function rolesOf(context: CommandContext, items: readonly AclItem[], owner: Oid): Oid[] {
  return items.flatMap((item) => [item.grantee, item.grantor]).filter((name) => name !== '').map((name) => context.catalog.roleNamed(name)?.oid ?? 0).filter((oid) => oid !== 0 && oid !== owner);
}

function apply(context: CommandContext, target: Target, wanted: string, how: Change, all: boolean): void {
  const position = bornTable(target.table).def.position[target.aclColumn]!;
  const stored = target.entry.values![position] as ArrayValue | null;
  const items = aclItems(stored && (stored.elements as string[]), target.kind, context.catalog.role(target.owner)!.rolname);
  const { name, letters } = grantorOf(context, target, items, wanted, all, how.isGrant);
  if (letters === '') return;
  const after = change(items, name, letters, how);
  context.changes.update(target.table, target.entry, { [target.aclColumn]: aclArray(after) });
  updateAclDependencies(context.changes, target.object, rolesOf(context, after, target.owner));
}

function applyToColumns(context: CommandContext, target: Target, letters: string, columns: readonly string[], how: Change): void {
  if (target.kind !== 'table') throw new DatabaseError('0LP01', 'column privileges are only valid for relations');
  for (const letter of letters) if (!ALL_PRIVILEGES.column.includes(letter)) throw new DatabaseError('0LP01', 'invalid privilege type for column');
  const relation = context.catalog.relation(target.object.objectId)!;
  for (const name of columns) {
    const column = findColumn(relation, name);
    if (!column) throw new DatabaseError('42703', `column "${name}" of relation "${relation.relname}" does not exist`);
    const entry = attributeEntry(context, relation.oid, column.attnum);
    const stored = entry.values![22] as ArrayValue | null;
    const items = stored ? (stored.elements as string[]).map(parseAclItem) : [];
    const tableItems = aclItems(relation.relacl, 'table', context.catalog.role(relation.relowner)!.rolname);
    const { name: grantor, letters: allowed } = grantorOf(context, target, [...items, ...tableItems], letters, false, how.isGrant);
    if (allowed === '') continue;
    const after = change(items, grantor, allowed, how);
    context.changes.update('pg_attribute', entry, { attacl: after.length > 0 ? aclArray(after) : null });
    updateAclDependencies(context.changes, address(ClassOid.pg_class, relation.oid, column.attnum), rolesOf(context, after, relation.relowner));
  }
}

/** DROP OWNED: takes every privilege of a role in this database away. */
export function revokeAllFrom(context: CommandContext, role: PgRole): void {
  for (const entry of [...context.catalog.rows.all('pg_attribute')]) {
    const stored = entry.values![22] as ArrayValue | null;
    if (!stored) continue;
    const items = (stored.elements as string[]).map(parseAclItem);
    const after = items.filter((item) => item.grantee !== role.rolname && item.grantor !== role.rolname);
    if (after.length === items.length) continue;
    context.changes.update('pg_attribute', entry, { attacl: after.length > 0 ? aclArray(after) : null });
    updateAclDependencies(context.changes, address(ClassOid.pg_class, entry.values![0] as Oid, entry.values![4] as number), rolesOf(context, after, 0));
  }
  for (const [table, column, classId] of [
    ['pg_class', 'relacl', ClassOid.pg_class], ['pg_namespace', 'nspacl', ClassOid.pg_namespace], ['pg_proc', 'proacl', ClassOid.pg_proc], ['pg_type', 'typacl', ClassOid.pg_type],
  ] as const) {
    const position = bornTable(table).def.position[column]!;
    for (const entry of [...context.catalog.rows.all(table)]) {
      const stored = entry.values![position] as ArrayValue | null;
      if (!stored) continue;
      const items = (stored.elements as string[]).map(parseAclItem);
      const after = items.filter((item) => item.grantee !== role.rolname && item.grantor !== role.rolname);
      if (after.length === items.length) continue;
      context.changes.update(table, entry, { [column]: aclArray(after) });
      updateAclDependencies(context.changes, address(classId, entry.values![0] as Oid), rolesOf(context, after, 0));
    }
  }
}

const DEFAULT_TYPES: Readonly<Record<string, readonly [string, AclObjectKind]>> = {
  OBJECT_TABLE: ['r', 'table'], OBJECT_SEQUENCE: ['S', 'sequence'], OBJECT_FUNCTION: ['f', 'function'], OBJECT_TYPE: ['T', 'type'], OBJECT_SCHEMA: ['n', 'schema'],
};

export function alterDefaultPrivileges(statement: AlterDefaultPrivilegesStmt, context: CommandContext): string {
  const options = new Map((statement.options ?? []).map((node) => [(node as { DefElem: DefElem }).DefElem.defname!, (node as { DefElem: DefElem }).DefElem]));
  const listOf = (name: string): Node[] => (options.get(name)?.arg as { List?: { items?: Node[] } } | undefined)?.List?.items ?? [];
  const roles = options.has('roles') ? listOf('roles').map((node) => roleOfSpec(context, (node as { RoleSpec: RoleSpec }).RoleSpec)) : [context.catalog.role(currentUser(context).oid)!];
  const namespaces = options.has('schemas') ? listOf('schemas').map((node) => {
    const namespace = context.catalog.namespaceNamed(stringOf(node));
    if (!namespace) throw new DatabaseError('3F000', `schema "${stringOf(node)}" does not exist`);
    return namespace.oid;
  }) : [0];
  const action = statement.action!;
  const type = DEFAULT_TYPES[action.objtype ?? ''];
  if (!type) throw notSupported(`ALTER DEFAULT PRIVILEGES ON ${String(action.objtype)}`);
  const how = changeOf(action, context);
  const privileges = (action.privileges ?? []).map((node) => (node as { AccessPriv: AccessPriv }).AccessPriv);
  const letters = privileges.length === 0 ? ALL_PRIVILEGES[type[1]] : privileges.map((privilege) => lettersOf(privilege.priv_name, type[1])).join('');
  for (const role of roles) {
    for (const namespace of namespaces) {
      const entry = [...context.catalog.rows.all('pg_default_acl')].find((candidate) => candidate.values![1] === role.oid && candidate.values![2] === namespace && candidate.values![3] === type[0]);
      const stored = entry?.values![4] as ArrayValue | undefined;
      const items = stored ? (stored.elements as string[]).map(parseAclItem) : namespace === 0 ? aclItems(null, type[1], role.rolname) : [];
      const after = change(items, role.rolname, letters, how);
      if (entry) context.changes.update('pg_default_acl', entry, { defaclacl: aclArray(after) });
      else context.changes.insert('pg_default_acl', { oid: context.changes.newOid(), defaclrole: role.oid, defaclnamespace: namespace, defaclobjtype: type[0], defaclacl: aclArray(after) });
    }
  }
  return 'ALTER DEFAULT PRIVILEGES';
}

/**
 * Privileges: aclitem arrays and checks. An aclitem datum is its text, `grantee=privileges/grantor`
 * with names quoted where needed and `*` after a privilege that may be granted on; renaming a role
 * rewrites them. NULL stands for the object type's default.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { ArrayValue } from '../types/datum.js';
import { arrayOf } from './born-rows.js';
import type { Catalog, Oid, PgRole, Relation } from './catalog.js';
import type { CatalogView } from './catalog-view.js';

export type AclObjectKind = 'table' | 'sequence' | 'schema' | 'database' | 'function' | 'type' | 'language' | 'column' | 'tablespace';

export interface AclItem {
  /** '' is PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  /** Letters in aclitem order. */
  readonly privileges: string;
  readonly grantable: string;
}

/** PostgreSQL's order of privilege letters. */
const ORDER = 'arwdDxtXUCTcsA';

export const PRIVILEGE_LETTERS: Readonly<Record<string, string>> = {
  insert: 'a', select: 'r', update: 'w', delete: 'd', truncate: 'D', references: 'x', trigger: 't', execute: 'X', usage: 'U', create: 'C',
  temporary: 'T', temp: 'T', connect: 'c', set: 's', 'alter system': 'A',
};

/** All privileges of each kind of object. */
export const ALL_PRIVILEGES: Readonly<Record<AclObjectKind, string>> = {
  table: 'arwdDxt', sequence: 'rwU', schema: 'UC', database: 'CTc', function: 'X', type: 'U', language: 'U', column: 'arwx', tablespace: 'C',
};

/** What PUBLIC has without any ACL. */
const PUBLIC_DEFAULTS: Readonly<Partial<Record<AclObjectKind, string>>> = { database: 'Tc', function: 'X', type: 'U', language: 'U' };

function sortLetters(letters: Iterable<string>): string {
  const set = new Set(letters);
  return [...ORDER].filter((letter) => set.has(letter)).join('');
}

function quoteRole(name: string): string {
  return /^[a-zA-Z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function formatAclItem(item: AclItem): string {
  const letters = [...item.privileges].map((letter) => (item.grantable.includes(letter) ? `${letter}*` : letter)).join('');
  return `${quoteRole(item.grantee)}=${letters}/${quoteRole(item.grantor)}`;
}

export function parseAclItem(text: string): AclItem {
  const match = /^(?:"((?:[^"]|"")*)"|([^"=]*))=([a-zA-Z*]*)\/(?:"((?:[^"]|"")*)"|(.*))$/s.exec(text);
  if (!match) throw new DatabaseError('22P02', `invalid input syntax for type aclitem: "${text}"`);
  const grantee = (match[1] ?? match[2] ?? '').replaceAll('""', '"');
  const grantor = (match[4] ?? match[5] ?? '').replaceAll('""', '"');
  let privileges = '';
  let grantable = '';
  for (const letter of match[3]!) {
    if (letter === '*') grantable += privileges.at(-1) ?? '';
    else privileges += letter;
  }
  return { grantee, grantor, privileges, grantable };
}

/** acldefault: what NULL means for an object owned by `owner`. */
export function defaultAcl(kind: AclObjectKind, owner: string): AclItem[] {
  const items: AclItem[] = [];
  const forPublic = PUBLIC_DEFAULTS[kind];
  if (forPublic) items.push({ grantee: '', grantor: owner, privileges: forPublic, grantable: '' });
  if (kind !== 'column') items.push({ grantee: owner, grantor: owner, privileges: sortLetters(ALL_PRIVILEGES[kind]), grantable: '' });
  return items;
}

export function aclItems(acl: readonly string[] | null, kind: AclObjectKind, owner: string): AclItem[] {
  return acl === null ? defaultAcl(kind, owner) : acl.map(parseAclItem);
}

export function aclArray(items: readonly AclItem[]): ArrayValue {
  return arrayOf(1033, items.map(formatAclItem));
}

export function grantPrivileges(items: readonly AclItem[], grantee: string, grantor: string, letters: string, withGrant: boolean): AclItem[] {
  const out = [...items];
  const at = out.findIndex((item) => item.grantee === grantee && item.grantor === grantor);
  const before = at >= 0 ? out[at]! : { grantee, grantor, privileges: '', grantable: '' };
  const after = {
    grantee, grantor, privileges: sortLetters(before.privileges + letters),
    grantable: withGrant ? sortLetters(before.grantable + letters) : before.grantable,
  };
  if (at >= 0) out[at] = after;
  else out.push(after);
  return out;
}

export function revokePrivileges(items: readonly AclItem[], grantee: string, grantor: string, letters: string, grantOptionOnly: boolean): AclItem[] {
  return items.map((item) => {
    if (item.grantee !== grantee || item.grantor !== grantor) return item;
    const without = (text: string): string => [...text].filter((letter) => !letters.includes(letter)).join('');
    return { ...item, privileges: grantOptionOnly ? item.privileges : without(item.privileges), grantable: without(item.grantable) };
  }).filter((item) => item.privileges !== '');
}

/** Roles whose privileges `role` has: itself and what it inherits, transitively. */
export function inheritedRoles(catalog: Catalog, role: Oid, onlyInherit = true): Set<Oid> {
  const found = new Set<Oid>([role]);
  const { rows } = catalog as CatalogView;
  const queue = [role];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const membership of rows.rows('pg_auth_members', 'member', next)) {
      // oid, roleid, member, grantor, admin_option, inherit_option, set_option
      if (onlyInherit && membership[5] !== true) continue;
      const granted = membership[1] as Oid;
      if (!found.has(granted)) {
        found.add(granted);
        queue.push(granted);
      }
    }
  }
  return found;
}

export function isSuperuser(catalog: Catalog, role: Oid): boolean {
  return catalog.role(role)?.rolsuper === true;
}

/** Does the role own the object, itself or by membership? */
export function ownsAs(catalog: Catalog, role: Oid, owner: Oid): boolean {
  return role === owner || isSuperuser(catalog, role) || inheritedRoles(catalog, role).has(owner);
}

/** Which of `letters` the role has, all grants added up. */
export function privilegesOf(catalog: Catalog, role: Oid, items: readonly AclItem[], owner: Oid, kind: AclObjectKind): string {
  if (isSuperuser(catalog, role)) return ALL_PRIVILEGES[kind];
  const roles = inheritedRoles(catalog, role);
  const names = new Set([...roles].map((oid) => catalog.role(oid)?.rolname));
  let letters = '';
  for (const item of items) if (item.grantee === '' || names.has(item.grantee)) letters += item.privileges;
  void owner;
  return sortLetters(letters);
}

/** Letters that the role may grant on. */
export function grantableBy(catalog: Catalog, role: Oid, items: readonly AclItem[], owner: Oid, kind: AclObjectKind): string {
  if (ownsAs(catalog, role, owner)) return ALL_PRIVILEGES[kind];
  const names = new Set([...inheritedRoles(catalog, role)].map((oid) => catalog.role(oid)?.rolname));
  return sortLetters(items.filter((item) => names.has(item.grantee)).flatMap((item) => [...item.grantable]));
}

function roleName(catalog: Catalog, oid: Oid): string {
  return catalog.role(oid)?.rolname ?? String(oid);
}

export function relationKind(relation: Pick<Relation, 'relkind'>): 'table' | 'sequence' {
  return relation.relkind === 'S' ? 'sequence' : 'table';
}

/** Does the role have this privilege (a letter) on the whole relation? */
export function hasRelationPrivilege(catalog: Catalog, role: Oid, relation: Relation, letter: string): boolean {
  if (isSuperuser(catalog, role)) return true;
  const kind = relationKind(relation);
  const items = aclItems(relation.relacl, kind, roleName(catalog, relation.relowner));
  if (privilegesOf(catalog, role, items, relation.relowner, kind).includes(letter)) return true;
  return predefinedRelationPrivilege(catalog, role, relation, letter);
}

/** pg_read_all_data and pg_write_all_data. */
function predefinedRelationPrivilege(catalog: Catalog, role: Oid, relation: Relation, letter: string): boolean {
  if (relation.relnamespace === 11) return false;
  const roles = inheritedRoles(catalog, role);
  return (letter === 'r' && roles.has(6181)) || ('awd'.includes(letter) && roles.has(6182));
}

/** The same for one column: by the table's privileges or the column's own. */
export function hasColumnPrivilege(catalog: Catalog, role: Oid, relation: Relation, attnum: number, letter: string): boolean {
  if (hasRelationPrivilege(catalog, role, relation, letter)) return true;
  const row = (catalog as CatalogView).rows.rows('pg_attribute', 'attrelid', relation.oid).find((candidate) => candidate[4] === attnum);
  const acl = row?.[22] as ArrayValue | null | undefined;
  if (!acl) return false;
  return privilegesOf(catalog, role, (acl.elements as string[]).map(parseAclItem), relation.relowner, 'column').includes(letter);
}

export function hasNamespacePrivilege(catalog: Catalog, role: Oid, namespace: Oid, letter: string): boolean {
  const row = (catalog as CatalogView).rows.one('pg_namespace', 'oid', namespace);
  if (!row) return false;
  if (isSuperuser(catalog, role)) return true;
  const owner = row[2] as Oid;
  const acl = row[3] as ArrayValue | null;
  const items = aclItems(acl && (acl.elements as string[]), 'schema', roleName(catalog, owner));
  return privilegesOf(catalog, role, items, owner, 'schema').includes(letter) || (letter === 'U' && [6181, 6182].some((oid) => inheritedRoles(catalog, role).has(oid)));
}

export function hasDatabasePrivilege(catalog: Catalog, role: Oid, database: Oid, letter: string): boolean {
  const view = catalog as CatalogView;
  const row = view.rows.one('pg_database', 'oid', database);
  if (!row) return false;
  if (isSuperuser(catalog, role)) return true;
  const owner = row[2] as Oid;
  const acl = row.at(-1) as ArrayValue | null;
  const items = aclItems(acl && (acl.elements as string[]), 'database', roleName(catalog, owner));
  return privilegesOf(catalog, role, items, owner, 'database').includes(letter);
}

/** 42501 with PostgreSQL's wording. */
export function permissionDenied(kind: string, name: string): DatabaseError {
  return new DatabaseError('42501', `permission denied for ${kind} ${name}`);
}

export function mustBeOwner(kind: string, name: string): DatabaseError {
  return new DatabaseError('42501', `must be owner of ${kind} ${name}`);
}

/** Role by name, or 42704. */
export function requireRole(catalog: Catalog, name: string): PgRole {
  const role = catalog.roleNamed(name);
  if (!role) throw new DatabaseError('42704', `role "${name}" does not exist`);
  return role;
}

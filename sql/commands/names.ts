/** Finding, locking and naming the objects that commands work on. */
import type { Node, RangeVar, RoleSpec } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import type { TableLockMode } from '../../engine/storage.js';
import { findRelation, stringOf, temporaryNamespaceName } from '../analyzer/names.js';
import { nameLockId, relationLockId } from '../access/locks.js';
import { hasNamespacePrivilege, mustBeOwner, ownsAs, permissionDenied } from '../catalog/acl.js';
import type { Catalog, Oid, PgRole, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { positionOf, settle, type CommandContext } from './command.js';

export const KIND_NAMES: Readonly<Record<string, string>> = {
  r: 'table', i: 'index', S: 'sequence', v: 'view', m: 'materialized view', c: 'type', t: 'TOAST table', p: 'table', I: 'index', f: 'foreign table',
};

/** Environment for the analyzer's name look-ups. */
export function nameEnvironment(context: CommandContext): { catalog: Catalog; context: CommandContext['eval']; source: CommandContext['source'] } {
  return { catalog: context.catalog, context: context.eval, source: context.source };
}

export function qualifiedName(range: RangeVar): string {
  return range.schemaname ? `${range.schemaname}.${range.relname}` : (range.relname ?? '');
}

export async function lockRelation(context: CommandContext, oid: Oid, mode: TableLockMode, nowait = false): Promise<boolean> {
  const held = await settle(context, () => context.transaction.lockTable(relationLockId(oid), mode, nowait ? 'nowait' : 'wait'));
  context.changes.store.raiseFloor(context.transaction);
  return held;
}

/** The relation a RangeVar names, locked; undefined when it does not exist. Looks again after waiting, as the name may mean another one by then. */
export async function openRelationIfExists(context: CommandContext, range: RangeVar, mode: TableLockMode, nowait = false): Promise<Relation | undefined> {
  for (;;) {
    const found = findRelation(nameEnvironment(context), range.schemaname ?? null, range.relname ?? '');
    if (!found) return undefined;
    if (!(await lockRelation(context, found.oid, mode, nowait))) {
      throw new DatabaseError('55P03', `could not obtain lock on relation "${range.relname}"`);
    }
    const again = findRelation(nameEnvironment(context), range.schemaname ?? null, range.relname ?? '');
    if (again?.oid === found.oid) return again;
  }
}

/** The same, or 42P01; utility statements report no position, except where the parser looks names up. */
export async function openRelation(context: CommandContext, range: RangeVar, mode: TableLockMode, withPosition = false): Promise<Relation> {
  const relation = await openRelationIfExists(context, range, mode);
  if (!relation) throw new DatabaseError('42P01', `relation "${qualifiedName(range)}" does not exist`, withPosition ? { position: positionOf(context, range.location) } : {});
  return relation;
}

export function currentUser(context: CommandContext): { oid: Oid; name: string } {
  return context.eval.session.currentUser;
}

export function isSuper(context: CommandContext): boolean {
  return context.catalog.role(currentUser(context).oid)?.rolsuper === true;
}

/** 42501 unless the current user owns the relation. */
export function checkOwner(context: CommandContext, relation: Relation): void {
  if (relation.oid < 16384 && !isSuper(context)) throw permissionDenied(KIND_NAMES[relation.relkind]!, relation.relname);
  if (!ownsAs(context.catalog, currentUser(context).oid, relation.relowner)) throw mustBeOwner(KIND_NAMES[relation.relkind] ?? 'relation', relation.relname);
}

/** System catalogs are not to be changed. */
export function refuseCatalog(relation: Relation): void {
  if (relation.oid < 16384) throw new DatabaseError('42501', `permission denied: "${relation.relname}" is a system catalog`);
}

/** Schema to create an object in: the named one, the session's temporary one, or the first of the path. */
export async function creationNamespace(context: CommandContext, range: RangeVar): Promise<{ oid: Oid; name: string; temporary: boolean }> {
  const namespace = findCreationNamespace(context, range);
  refuseSystemNamespace(namespace, range.relname ?? '');
  return namespace;
}

function findCreationNamespace(context: CommandContext, range: RangeVar): { oid: Oid; name: string; temporary: boolean } {
  const temporary = range.relpersistence === 't' || range.schemaname === 'pg_temp';
  if (temporary) {
    if (range.schemaname && range.schemaname !== 'pg_temp' && range.schemaname !== temporaryNamespaceName(context.eval.session.pid)) {
      throw new DatabaseError('42P16', 'cannot create temporary relation in non-temporary schema', { position: positionOf(context, range.location) });
    }
    return temporaryNamespace(context);
  }
  return creationNamespaceNamed(context, range.schemaname, range.location);
}

export function creationNamespaceNamed(context: CommandContext, schema: string | undefined, location?: number): { oid: Oid; name: string; temporary: boolean } {
  const { catalog } = context;
  if (schema !== undefined) {
    const namespace = catalog.namespaceNamed(schema);
    if (!namespace) throw new DatabaseError('3F000', `schema "${schema}" does not exist`, { position: positionOf(context, location) });
    checkCreate(context, namespace.oid, schema);
    return { oid: namespace.oid, name: schema, temporary: schema.startsWith('pg_temp_') };
  }
  for (const name of context.eval.settings.searchPath) {
    const namespace = catalog.namespaceNamed(name === '$user' ? currentUser(context).name : name);
    if (!namespace || namespace.oid === 11 && name !== 'pg_catalog') continue;
    checkCreate(context, namespace.oid, namespace.nspname);
    return { oid: namespace.oid, name: namespace.nspname, temporary: false };
  }
  throw new DatabaseError('3F000', 'no schema has been selected to create in', { position: positionOf(context, location) });
}

function checkCreate(context: CommandContext, oid: Oid, name: string): void {
  if (!hasNamespacePrivilege(context.catalog, currentUser(context).oid, oid, 'C')) throw permissionDenied('schema', name);
}

/** The session's temporary schema, made on first use. */
function temporaryNamespace(context: CommandContext): { oid: Oid; name: string; temporary: boolean } {
  const name = temporaryNamespaceName(context.eval.session.pid);
  const existing = context.catalog.namespaceNamed(name);
  if (existing) return { oid: existing.oid, name, temporary: true };
  const oid = context.changes.newOid();
  context.changes.insert('pg_namespace', { oid, nspname: name, nspowner: 10, nspacl: null });
  return { oid, name, temporary: true };
}

/** pg_catalog is not for users' objects, not even a superuser's. */
export function refuseSystemNamespace(namespace: { oid: Oid; name: string }, objectName: string): void {
  if (namespace.oid !== 11) return;
  throw new DatabaseError('42501', `permission denied to create "${namespace.name}.${objectName}"`, { detail: 'System catalog modifications are currently disallowed.' });
}

/** Keeps rivals from making an object of this name until this transaction ends. */
export async function reserveName(context: CommandContext, classOid: Oid, namespace: Oid, name: string): Promise<void> {
  await settle(context, () => context.transaction.lockTable(nameLockId(context.changes.databaseOid, classOid, namespace, name), 'ExclusiveLock', 'wait'));
  context.changes.store.raiseFloor(context.transaction);
}

export async function reserveRelationName(context: CommandContext, namespace: Oid, name: string): Promise<void> {
  await reserveName(context, ClassOid.pg_class, namespace, name);
}

/** 42P07, or the NOTICE of IF NOT EXISTS (then true). */
export function relationExists(context: CommandContext, namespace: Oid, name: string, ifNotExists: boolean): boolean {
  if (context.catalog.relationOid(namespace, name) === undefined) return false;
  if (!ifNotExists) throw new DatabaseError('42P07', `relation "${name}" already exists`);
  context.notice('NOTICE', `relation "${name}" already exists, skipping`, { sqlstate: '42P07' });
  return true;
}

/** PostgreSQL's name for made objects: parts joined by _, cut to 63 bytes, numbered while taken. */
export function chooseName(first: string, second: string | null, label: string, taken: (name: string) => boolean): string {
  for (let pass = 0; ; pass++) {
    const name = makeObjectName(first, second, pass === 0 ? label : `${label}${pass}`);
    if (!taken(name)) return name;
  }
}

/** makeObjectName: cuts the longer of the two parts first. */
export function makeObjectName(first: string, second: string | null, label: string): string {
  const bytes = (text: string): number => Buffer.byteLength(text);
  const overhead = (label ? bytes(label) + 1 : 0) + (second === null ? 0 : 1);
  const available = 63 - overhead;
  let a = bytes(first);
  let b = second === null ? 0 : bytes(second);
  while (a + b > available) {
    if (a > b) a--;
    else b--;
  }
  const clip = (text: string, length: number): string => {
    const buffer = Buffer.from(text);
    let end = Math.min(length, buffer.length);
    while (end > 0 && end < buffer.length && (buffer[end]! & 0xc0) === 0x80) end--;
    return buffer.toString('utf8', 0, end);
  };
  return [clip(first, a), ...(second === null ? [] : [clip(second, b)]), ...(label ? [label] : [])].join('_');
}

/** Names longer than 63 bytes are cut with a NOTICE by PostgreSQL's scanner; the parser has done so already. */
export function roleOfSpec(context: CommandContext, spec: RoleSpec): PgRole {
  const { session } = context.eval;
  const byOid = (oid: Oid): PgRole => context.catalog.role(oid)!;
  switch (spec.roletype) {
    case 'ROLESPEC_CURRENT_ROLE': case 'ROLESPEC_CURRENT_USER': return byOid(session.currentUser.oid);
    case 'ROLESPEC_SESSION_USER': return byOid(session.sessionUser.oid);
    case 'ROLESPEC_PUBLIC': throw new DatabaseError('42704', 'role "public" does not exist', { position: positionOf(context, spec.location) });
    default: {
      const role = context.catalog.roleNamed(spec.rolename ?? '');
      if (!role) throw new DatabaseError('42704', `role "${spec.rolename}" does not exist`);
      return role;
    }
  }
}

/** A dotted name in the AST (List of String, or one String) as strings. */
export function nameList(node: Node | readonly Node[] | undefined): string[] {
  if (node === undefined) return [];
  if (Array.isArray(node)) return node.map((item: Node) => stringOf(item));
  const wrapped = node as { List?: { items?: Node[] }; String?: { sval?: string } };
  if (wrapped.List) return (wrapped.List.items ?? []).map((item) => stringOf(item));
  return [wrapped.String?.sval ?? ''];
}

export function rangeOf(names: readonly string[]): RangeVar {
  return names.length > 1 ? { schemaname: names.at(-2), relname: names.at(-1) } : { relname: names[0] };
}

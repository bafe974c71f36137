/** CREATE, ALTER and DROP ROLE, membership, REASSIGN and DROP OWNED, per-role settings. */
import type {
  AlterDatabaseSetStmt, AlterRoleSetStmt, AlterRoleStmt, CreateRoleStmt, DefElem, DropOwnedStmt, DropRoleStmt, GrantRoleStmt, Node, ReassignOwnedStmt, RoleSpec, VariableSetStmt,
} from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { inheritedRoles, requireRole } from '../catalog/acl.js';
import { arrayOf, factList } from '../catalog/born-rows.js';
import type { Oid, PgRole } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address } from '../catalog/dependency.js';
import { parseScramVerifier, scramVerifier } from '../catalog/scram.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { CommandContext } from './command.js';
import { setComment } from './comment.js';
import { describeObject, performDeletion } from './drop.js';
import { revokeAllFrom } from './grant.js';
import { currentUser, isSuper, reserveName, roleOfSpec } from './names.js';
import { changeOwner } from './owner.js';

const SALT_BYTES = 16;

function elements(options: readonly Node[] | undefined): Map<string, DefElem> {
  const found = new Map<string, DefElem>();
  for (const node of options ?? []) {
    const element = (node as { DefElem: DefElem }).DefElem;
    if (found.has(element.defname!)) throw new DatabaseError('42601', 'conflicting or redundant options');
    found.set(element.defname!, element);
  }
  return found;
}

function flag(options: ReadonlyMap<string, DefElem>, name: string): boolean | undefined {
  const element = options.get(name);
  return element && ((element.arg as { Boolean?: { boolval?: boolean } } | undefined)?.Boolean?.boolval ?? false);
}

function text(element: DefElem | undefined): string | null {
  return (element?.arg as { String?: { sval?: string } } | undefined)?.String?.sval ?? null;
}

function roleList(element: DefElem | undefined): RoleSpec[] {
  return ((element?.arg as { List?: { items?: Node[] } } | undefined)?.List?.items ?? []).map((node) => (node as { RoleSpec: RoleSpec }).RoleSpec);
}

/** The verifier to store: plain passwords are hashed here, verifiers taken as they are, an empty one means none. */
function storedPassword(context: CommandContext, password: string | null): string | null {
  if (password === null) return null;
  if (parseScramVerifier(password)) return password;
  if (/^md5[0-9a-f]{32}$/.test(password)) throw new DatabaseError('0A000', 'md5 passwords are not supported', { hint: 'Give the password itself: it is stored as a SCRAM-SHA-256 verifier.' });
  if (password === '') {
    context.notice('NOTICE', 'empty string is not a valid password, clearing password', { sqlstate: '00000' });
    return null;
  }
  return scramVerifier(password, context.eval.runtime.random.bytes(SALT_BYTES));
}

function validUntil(context: CommandContext, element: DefElem | undefined): Datum {
  const value = text(element);
  return value === null ? null : context.catalog.dataType(1184).input(value, -1, context.eval);
}

function connectionLimit(options: ReadonlyMap<string, DefElem>): number | undefined {
  const element = options.get('connectionlimit');
  if (!element) return undefined;
  const value = (element.arg as { Integer?: { ival?: number } }).Integer?.ival;
  // The grammar's JSON drops negative numbers: only -1 is allowed among them.
  return value ?? -1;
}

const FLAGS: Readonly<Record<string, string>> = {
  superuser: 'rolsuper', inherit: 'rolinherit', createrole: 'rolcreaterole', createdb: 'rolcreatedb', canlogin: 'rolcanlogin', isreplication: 'rolreplication', bypassrls: 'rolbypassrls',
};

const FLAG_NAMES: Readonly<Record<string, string>> = { superuser: 'SUPERUSER', isreplication: 'REPLICATION', bypassrls: 'BYPASSRLS', createdb: 'CREATEDB' };

/** Who is no superuser may only give what he has. */
function checkFlags(context: CommandContext, options: ReadonlyMap<string, DefElem>, verb: 'create' | 'alter'): void {
  if (isSuper(context)) return;
  const me = context.catalog.role(currentUser(context).oid)!;
  const has: Readonly<Record<string, boolean>> = { superuser: false, isreplication: me.rolreplication, bypassrls: me.rolbypassrls, createdb: me.rolcreatedb };
  for (const name in FLAG_NAMES) {
    if (flag(options, name) && !has[name]) {
      const label = FLAG_NAMES[name]!;
      throw new DatabaseError('42501', `permission denied to ${verb} role`, { detail: `Only roles with the ${label} attribute may ${verb === 'create' ? 'create roles with' : 'change'} the ${label} attribute.` });
    }
  }
}

function checkRoleName(name: string): void {
  if (name.startsWith('pg_')) throw new DatabaseError('42939', `role name "${name}" is reserved`, { detail: 'Role names starting with "pg_" are reserved.' });
  if (name === 'public' || name === 'none') throw new DatabaseError('42939', `role name "${name}" is reserved`);
}

export async function createRole(statement: CreateRoleStmt, context: CommandContext): Promise<string> {
  const name = statement.role!;
  const options = elements(statement.options as Node[] | undefined);
  checkRoleName(name);
  const me = context.catalog.role(currentUser(context).oid)!;
  if (!isSuper(context) && !me.rolcreaterole) {
    throw new DatabaseError('42501', 'permission denied to create role', { detail: 'Only roles with the CREATEROLE attribute may create roles.' });
  }
  checkFlags(context, options, 'create');
  await reserveName(context, ClassOid.pg_authid, 0, name);
  if (context.catalog.roleNamed(name)) throw new DatabaseError('42710', `role "${name}" already exists`);
  const oid = context.changes.newOid();
  context.changes.insert('pg_authid', {
    oid, rolname: name, rolsuper: flag(options, 'superuser') ?? false, rolinherit: flag(options, 'inherit') ?? true, rolcreaterole: flag(options, 'createrole') ?? false,
    rolcreatedb: flag(options, 'createdb') ?? false, rolcanlogin: flag(options, 'canlogin') ?? statement.stmt_type === 'ROLESTMT_USER',
    rolreplication: flag(options, 'isreplication') ?? false, rolbypassrls: flag(options, 'bypassrls') ?? false, rolconnlimit: connectionLimit(options) ?? -1,
    rolpassword: storedPassword(context, text(options.get('password'))), rolvaliduntil: validUntil(context, options.get('validUntil')),
  });
  const role = context.catalog.role(oid)!;
  if (!isSuper(context)) addMember(context, role, me, context.catalog.role(10)!, true, false, false);
  const grantor = grantorFor(context);
  for (const spec of roleList(options.get('addroleto'))) addMember(context, roleOfSpec(context, spec), role, grantor, false);
  for (const spec of roleList(options.get('rolemembers'))) addMember(context, role, roleOfSpec(context, spec), grantor, false);
  for (const spec of roleList(options.get('adminmembers'))) addMember(context, role, roleOfSpec(context, spec), grantor, true);
  return 'CREATE ROLE';
}

export async function alterRole(statement: AlterRoleStmt, context: CommandContext): Promise<string> {
  const role = roleOfSpec(context, statement.role!);
  const options = elements(statement.options as Node[] | undefined);
  const me = context.catalog.role(currentUser(context).oid)!;
  const onlyOwnPassword = role.oid === me.oid && [...options.keys()].every((name) => name === 'password');
  if (role.rolname.startsWith('pg_')) throw new DatabaseError('42939', `role name "${role.rolname}" is reserved`, { detail: 'Cannot alter reserved roles.' });
  if (!isSuper(context) && !onlyOwnPassword) {
    if (role.rolsuper || !me.rolcreaterole || !isAdminOf(context, me.oid, role.oid)) {
      throw new DatabaseError('42501', 'permission denied to alter role', { detail: role.rolsuper ? 'Only roles with the SUPERUSER attribute may alter roles with the SUPERUSER attribute.' : `Only roles with the CREATEROLE attribute and the ADMIN option on role "${role.rolname}" may alter this role.` });
    }
    checkFlags(context, options, 'alter');
  }
  if (role.oid === 10 && flag(options, 'superuser') === false) {
    throw new DatabaseError('0A000', 'permission denied to alter role', { detail: 'The bootstrap user must have the SUPERUSER attribute.' });
  }
  const values: Record<string, Datum> = {};
  for (const name in FLAGS) {
    const value = flag(options, name);
    if (value !== undefined) values[FLAGS[name]!] = value;
  }
  const limit = connectionLimit(options);
  if (limit !== undefined) values.rolconnlimit = limit;
  if (options.has('password')) values.rolpassword = storedPassword(context, text(options.get('password')));
  if (options.has('validUntil')) values.rolvaliduntil = validUntil(context, options.get('validUntil'));
  if (Object.keys(values).length > 0) context.changes.update('pg_authid', context.catalog.rows.find('pg_authid', 'oid', role.oid)[0]!, values);
  for (const spec of roleList(options.get('rolemembers'))) {
    const member = roleOfSpec(context, spec);
    if (statement.action === -1) removeMember(context, role, member, 'all');
    else addMember(context, role, member, grantorFor(context), false);
  }
  return 'ALTER ROLE';
}

function isAdminOf(context: CommandContext, member: Oid, role: Oid): boolean {
  return context.catalog.rows.rows('pg_auth_members', 'roleid', role).some((row) => row[2] === member && row[4] === true);
}

function grantorFor(context: CommandContext): PgRole {
  return isSuper(context) ? context.catalog.role(10)! : context.catalog.role(currentUser(context).oid)!;
}

function addMember(context: CommandContext, role: PgRole, member: PgRole, grantor: PgRole, admin: boolean, inherit?: boolean, set?: boolean): void {
  if (inheritedRoles(context.catalog, role.oid, false).has(member.oid)) {
    throw new DatabaseError('0LP01', `role "${role.rolname}" is a member of role "${member.rolname}"`);
  }
  const existing = context.catalog.rows.find('pg_auth_members', 'roleid', role.oid).find((entry) => entry.values![2] === member.oid && entry.values![3] === grantor.oid);
  if (existing) {
    const values = existing.values!;
    if (values[4] === admin && (inherit === undefined || values[5] === inherit) && (set === undefined || values[6] === set)) {
      context.notice('NOTICE', `role "${member.rolname}" has already been granted membership in role "${role.rolname}" by role "${grantor.rolname}"`, { sqlstate: '00000' });
      return;
    }
    context.changes.update('pg_auth_members', existing, { admin_option: admin || (values[4] as boolean), inherit_option: inherit ?? values[5]!, set_option: set ?? values[6]! });
    return;
  }
  context.changes.insert('pg_auth_members', {
    oid: context.changes.newOid(), roleid: role.oid, member: member.oid, grantor: grantor.oid, admin_option: admin, inherit_option: inherit ?? member.rolinherit, set_option: set ?? true,
  });
}

function removeMember(context: CommandContext, role: PgRole, member: PgRole, what: 'all' | 'admin' | 'inherit' | 'set'): void {
  const entries = context.catalog.rows.find('pg_auth_members', 'roleid', role.oid).filter((entry) => entry.values![2] === member.oid);
  if (entries.length === 0) {
    context.notice('WARNING', `role "${member.rolname}" has not been granted membership in role "${role.rolname}" by role "${grantorFor(context).rolname}"`, { sqlstate: '01000' });
  }
  for (const entry of entries) {
    if (what === 'all') context.changes.delete('pg_auth_members', entry);
    else context.changes.update('pg_auth_members', entry, { [`${what}_option`]: false });
  }
}

export function grantRole(statement: GrantRoleStmt, context: CommandContext): string {
  const options = elements(statement.opt as Node[] | undefined);
  // Grantees are looked up first, as their absence is what is reported.
  const grantees = statement.grantee_roles ?? [];
  for (const spec of grantees) roleOfSpec(context, (spec as { RoleSpec: RoleSpec }).RoleSpec);
  for (const grantedNode of statement.granted_roles ?? []) {
    const role = requireRole(context.catalog, (grantedNode as { AccessPriv: { priv_name?: string } }).AccessPriv.priv_name ?? '');
    const me = currentUser(context).oid;
    if (!isSuper(context) && !(context.catalog.role(me)?.rolcreaterole && !role.rolsuper) && !isAdminOf(context, me, role.oid)) {
      throw new DatabaseError('42501', `permission denied to ${statement.is_grant ? 'grant' : 'revoke'} role "${role.rolname}"`, { detail: `Only roles with the ADMIN option on role "${role.rolname}" may ${statement.is_grant ? 'grant' : 'revoke'} this role.` });
    }
    for (const spec of grantees) {
      const member = roleOfSpec(context, (spec as { RoleSpec: RoleSpec }).RoleSpec);
      if (statement.is_grant) addMember(context, role, member, grantorFor(context), flag(options, 'admin') ?? false, flag(options, 'inherit'), flag(options, 'set'));
      else removeMember(context, role, member, options.has('admin') ? 'admin' : options.has('inherit') ? 'inherit' : options.has('set') ? 'set' : 'all');
    }
  }
  return statement.is_grant ? 'GRANT ROLE' : 'REVOKE ROLE';
}

export function dropRole(statement: DropRoleStmt, context: CommandContext): string {
  const me = context.catalog.role(currentUser(context).oid)!;
  if (!isSuper(context) && !me.rolcreaterole) {
    throw new DatabaseError('42501', 'permission denied to drop role', { detail: 'Only roles with the CREATEROLE attribute and the ADMIN option on the target roles may drop roles.' });
  }
  for (const node of statement.roles ?? []) {
    const spec = (node as { RoleSpec: RoleSpec }).RoleSpec;
    if (spec.roletype !== 'ROLESPEC_CSTRING') throw new DatabaseError('42601', 'cannot use special role specifier in DROP ROLE');
    const name = spec.rolename!;
    const role = context.catalog.roleNamed(name);
    if (!role) {
      if (!statement.missing_ok) throw new DatabaseError('42704', `role "${name}" does not exist`);
      context.notice('NOTICE', `role "${name}" does not exist, skipping`, { sqlstate: '00000' });
      continue;
    }
    if (role.oid === me.oid) throw new DatabaseError('55006', 'current user cannot be dropped');
    if (role.oid === context.eval.session.sessionUser.oid) throw new DatabaseError('55006', 'session user cannot be dropped');
    if (role.rolsuper && !isSuper(context)) throw new DatabaseError('42501', 'permission denied to drop role', { detail: 'Only roles with the SUPERUSER attribute may drop roles with the SUPERUSER attribute.' });
    if (role.oid < 16384) throw new DatabaseError('2BP01', `cannot drop role ${name} because it is required by the database system`);
    refuseOwner(context, role);
    for (const entry of context.catalog.rows.find('pg_auth_members', 'roleid', role.oid)) context.changes.delete('pg_auth_members', entry);
    for (const entry of context.catalog.rows.find('pg_auth_members', 'member', role.oid)) context.changes.delete('pg_auth_members', entry);
    for (const entry of context.catalog.rows.all('pg_db_role_setting')) if (entry.values![1] === role.oid) context.changes.delete('pg_db_role_setting', entry);
    setComment(context, ClassOid.pg_authid, role.oid, 0, null, true);
    context.changes.delete('pg_authid', context.catalog.rows.find('pg_authid', 'oid', role.oid)[0]!);
  }
  return 'DROP ROLE';
}

/** 2BP01 while anything depends on the role. */
function refuseOwner(context: CommandContext, role: PgRole): void {
  const rows = context.catalog.rows.rows('pg_shdepend', 'refclassid,refobjid', ClassOid.pg_authid, role.oid);
  if (rows.length === 0) return;
  const lines: string[] = [];
  const others = new Map<Oid, number>();
  for (const [databaseOid, classId, objectId, subId, , , kind] of rows) {
    if (databaseOid === context.changes.databaseOid || databaseOid === 0) {
      const object = classId === ClassOid.pg_database ? `database ${context.catalog.database(objectId as Oid)?.datname}` : describeObject(context, address(classId as Oid, objectId as Oid, subId as number));
      lines.push(kind === 'o' ? `owner of ${object}` : `privileges for ${object}`);
    } else {
      others.set(databaseOid as Oid, (others.get(databaseOid as Oid) ?? 0) + 1);
    }
  }
  for (const [databaseOid, count] of others) lines.push(`${count} object${count === 1 ? '' : 's'} in database ${context.catalog.database(databaseOid)?.datname}`);
  throw new DatabaseError('2BP01', `role "${role.rolname}" cannot be dropped because some objects depend on it`, { detail: lines.join('\n') });
}

export function reassignOwned(statement: ReassignOwnedStmt, context: CommandContext): string {
  const target = roleOfSpec(context, statement.newrole!);
  for (const node of statement.roles ?? []) {
    const role = roleOfSpec(context, (node as { RoleSpec: RoleSpec }).RoleSpec);
    for (const [databaseOid, classId, objectId, , , , kind] of context.catalog.rows.rows('pg_shdepend', 'refclassid,refobjid', ClassOid.pg_authid, role.oid)) {
      if (kind !== 'o' || (databaseOid !== context.changes.databaseOid && databaseOid !== 0)) continue;
      if (classId === ClassOid.pg_class) changeOwner(context, objectId as Oid, target);
      else setOwnerColumn(context, classId as Oid, objectId as Oid, target.oid);
    }
  }
  return 'REASSIGN OWNED';
}

const OWNER_COLUMNS: Readonly<Record<number, readonly [string, string]>> = {
  [ClassOid.pg_namespace]: ['pg_namespace', 'nspowner'], [ClassOid.pg_database]: ['pg_database', 'datdba'], [ClassOid.pg_type]: ['pg_type', 'typowner'], [ClassOid.pg_proc]: ['pg_proc', 'proowner'],
  [ClassOid.pg_statistic_ext]: ['pg_statistic_ext', 'stxowner'],
};

function setOwnerColumn(context: CommandContext, classId: Oid, oid: Oid, owner: Oid): void {
  const target = OWNER_COLUMNS[classId];
  if (!target) return;
  const entry = context.catalog.rows.find(target[0], 'oid', oid)[0];
  if (entry) context.changes.update(target[0], entry, { [target[1]]: owner });
  for (const row of context.catalog.rows.find('pg_shdepend', 'dbid,classid,objid', classId === ClassOid.pg_database ? 0 : context.changes.databaseOid, classId, oid)) {
    if (row.values![6] !== 'o') continue;
    if (owner < 16384) context.changes.delete('pg_shdepend', row);
    else context.changes.update('pg_shdepend', row, { refobjid: owner });
  }
}

export async function dropOwned(statement: DropOwnedStmt, context: CommandContext): Promise<string> {
  for (const node of statement.roles ?? []) {
    const role = roleOfSpec(context, (node as { RoleSpec: RoleSpec }).RoleSpec);
    const rows = context.catalog.rows.rows('pg_shdepend', 'refclassid,refobjid', ClassOid.pg_authid, role.oid).filter((row) => row[0] === context.changes.databaseOid);
    const owned = rows.filter((row) => row[6] === 'o').map((row) => address(row[1] as Oid, row[2] as Oid));
    if (owned.length > 0) await performDeletion(context, owned, statement.behavior === 'DROP_CASCADE');
    revokeAllFrom(context, role);
  }
  return 'DROP OWNED';
}

/** Text of a SET's arguments as pg_db_role_setting keeps it. */
function settingText(statement: VariableSetStmt): string {
  const parts = (statement.args ?? []).map((node) => {
    const constant = (node as { A_Const?: { sval?: { sval?: string }; ival?: { ival?: number }; fval?: { fval?: string }; boolval?: { boolval?: boolean } } }).A_Const;
    if (constant?.sval) return constant.sval.sval ?? '';
    if (constant?.ival) return String(constant.ival.ival ?? 0);
    if (constant?.boolval) return constant.boolval.boolval ? 'true' : 'false';
    return constant?.fval?.fval ?? '';
  });
  const list = ['search_path', 'datestyle', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries'].includes(statement.name!.toLowerCase());
  return parts.map((part) => (list && parts.length > 1 && !/^[a-z_][a-z0-9_$]*$/.test(part) ? `"${part}"` : part)).join(', ');
}

function changeSetting(context: CommandContext, databaseOid: Oid, roleOid: Oid, statement: VariableSetStmt): void {
  const entry = context.catalog.rows.find('pg_db_role_setting', 'setdatabase,setrole', databaseOid, roleOid)[0];
  const before = ((entry?.values![2] as ArrayValue | null)?.elements ?? []) as string[];
  let after: string[];
  if (statement.kind === 'VAR_RESET_ALL') after = [];
  else {
    const known = factList('settings').rows.find((row) => (row[0] as string).toLowerCase() === statement.name!.toLowerCase());
    if (!known && !statement.name!.includes('.')) throw new DatabaseError('42704', `unrecognized configuration parameter "${statement.name}"`);
    const name = (known?.[0] as string | undefined) ?? statement.name!;
    after = before.filter((setting) => !setting.startsWith(`${name}=`));
    if (statement.kind === 'VAR_SET_VALUE') after.push(`${name}=${settingText(statement)}`);
    else if (statement.kind === 'VAR_SET_CURRENT') after.push(`${name}=${context.eval.settings.get(name) ?? ''}`);
  }
  if (after.length === 0) {
    if (entry) context.changes.delete('pg_db_role_setting', entry);
  } else if (entry) context.changes.update('pg_db_role_setting', entry, { setconfig: arrayOf(25, after) });
  else context.changes.insert('pg_db_role_setting', { setdatabase: databaseOid, setrole: roleOid, setconfig: arrayOf(25, after) });
}

export function alterRoleSet(statement: AlterRoleSetStmt, context: CommandContext): string {
  const role = statement.role ? roleOfSpec(context, statement.role) : null;
  let databaseOid = 0;
  if (statement.database) {
    const database = context.catalog.databaseNamed(statement.database);
    if (!database) throw new DatabaseError('3D000', `database "${statement.database}" does not exist`);
    databaseOid = database.oid;
  }
  const me = context.catalog.role(currentUser(context).oid)!;
  if (!isSuper(context) && role?.oid !== me.oid && !(me.rolcreaterole && role && !role.rolsuper)) throw new DatabaseError('42501', 'permission denied to alter setting');
  changeSetting(context, databaseOid, role?.oid ?? 0, statement.setstmt!);
  return 'ALTER ROLE';
}

export function alterDatabaseSet(statement: AlterDatabaseSetStmt, context: CommandContext): string {
  const database = context.catalog.databaseNamed(statement.dbname!);
  if (!database) throw new DatabaseError('3D000', `database "${statement.dbname}" does not exist`);
  if (!isSuper(context) && database.datdba !== currentUser(context).oid) throw new DatabaseError('42501', `must be owner of database ${database.datname}`);
  changeSetting(context, database.oid, 0, statement.setstmt!);
  return 'ALTER DATABASE';
}


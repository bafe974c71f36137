/** has_*_privilege, pg_has_role and the functions on aclitem. */
import { DatabaseError } from '../../engine/errors.js';
import { splitQualifiedName, findRelation, findType } from '../analyzer/names.js';
import {
  aclArray, aclItems, ALL_PRIVILEGES, defaultAcl, formatAclItem, hasColumnPrivilege, inheritedRoles, isSuperuser, ownsAs, parseAclItem, PRIVILEGE_LETTERS, privilegesOf,
  type AclObjectKind,
} from '../catalog/acl.js';
import { bornTable } from '../catalog/born-rows.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import { SourceText } from '../parser/parse.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { EvalContext } from './context.js';
import { f, fc, setc } from './define.js';
import type { SqlFunction } from './function.js';

const PUBLIC = 0;

function rowsOf(context: EvalContext): CatalogView['rows'] {
  return (context.catalog as CatalogView).rows;
}

/** Splits a dotted name as it is written in SQL: folded to lower case unless quoted. */
export function textToNames(text: string): string[] {
  const names: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^".\s]+))\s*(\.|$)/gy;
  let end = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    names.push(match[1] !== undefined ? match[1].replaceAll('""', '"') : match[2]!.toLowerCase());
    end = pattern.lastIndex;
    if (match[3] === '') break;
  }
  if (end !== text.length || names.length === 0) throw new DatabaseError('42602', 'invalid name syntax');
  return names;
}

function environment(context: EvalContext): { catalog: EvalContext['catalog']; context: EvalContext; source: SourceText } {
  return { catalog: context.catalog, context, source: new SourceText('') };
}

export function relationByText(context: EvalContext, text: string): Relation {
  const names = textToNames(text);
  const { schema, name } = splitQualifiedName(environment(context), names);
  if (schema !== null && !context.catalog.namespaceNamed(schema)) throw new DatabaseError('3F000', `schema "${schema}" does not exist`);
  const relation = findRelation(environment(context), schema, name);
  if (!relation) throw new DatabaseError('42P01', `relation "${names.join('.')}" does not exist`);
  return relation;
}

function roleByName(context: EvalContext, name: string): Oid {
  if (name === 'public') return PUBLIC;
  const role = context.catalog.roleNamed(name);
  if (!role) throw new DatabaseError('42704', `role "${name}" does not exist`);
  return role.oid;
}

/** `SELECT, UPDATE WITH GRANT OPTION`: any of them is enough. */
function parsePrivileges(text: string, allowed: string): { letter: string; grantOption: boolean }[] {
  return text.split(',').map((part) => {
    const word = part.trim().toLowerCase();
    const grantOption = word.endsWith(' with grant option');
    const name = grantOption ? word.slice(0, -' with grant option'.length) : word;
    const letter = name === 'rule' ? '' : PRIVILEGE_LETTERS[name];
    if (letter === undefined || (letter !== '' && !allowed.includes(letter))) throw new DatabaseError('22023', `unrecognized privilege type: "${part.trim()}"`);
    return { letter, grantOption };
  });
}

interface Checked { kind: AclObjectKind; owner: Oid; acl: readonly string[] | null }

function check(context: EvalContext, role: Oid, object: Checked, privilege: string): boolean {
  const { catalog } = context;
  const items = aclItems(object.acl, object.kind, catalog.role(object.owner)?.rolname ?? '');
  const wanted = parsePrivileges(privilege, ALL_PRIVILEGES[object.kind]);
  if (role !== PUBLIC && isSuperuser(catalog, role)) return true;
  return wanted.some(({ letter, grantOption }) => {
    if (letter === '') return false;
    if (!grantOption) {
      if (role === PUBLIC) return items.some((item) => item.grantee === '' && item.privileges.includes(letter));
      return privilegesOf(catalog, role, items, object.owner, object.kind).includes(letter);
    }
    if (role !== PUBLIC && ownsAs(catalog, role, object.owner)) return true;
    const names = new Set([...inheritedRoles(catalog, role)].map((oid) => catalog.role(oid)?.rolname));
    return items.some((item) => names.has(item.grantee) && item.grantable.includes(letter));
  });
}

function storedObject(context: EvalContext, table: string, oid: Oid, kind: AclObjectKind, ownerColumn: string, aclColumn: string): Checked | null {
  const row = rowsOf(context).one(table, 'oid', oid);
  if (!row) return null;
  const { position } = bornTable(table).def;
  const acl = row[position[aclColumn]!] as ArrayValue | null;
  return { kind, owner: row[position[ownerColumn]!] as Oid, acl: acl && (acl.elements as string[]) };
}

function relationObject(context: EvalContext, oid: Oid, kind: 'table' | 'sequence'): Checked | null {
  const relation = context.catalog.relation(oid);
  return relation ? { kind: relation.relkind === 'S' ? 'sequence' : kind, owner: relation.relowner, acl: relation.relacl } : null;
}

type Find = (context: EvalContext, object: string) => Oid;
type Load = (context: EvalContext, oid: Oid) => Checked | null;

/** The six forms of one has_X_privilege function. */
function family(name: string, find: Find, load: Load): SqlFunction[] {
  const run = (context: EvalContext, role: Oid, oid: Oid, privilege: string): boolean | null => {
    const object = load(context, oid);
    return object ? check(context, role, object, privilege) : null;
  };
  const me = (context: EvalContext): Oid => context.session.currentUser.oid;
  return [
    fc(`${name}(name,text,text)`, ((user: string, object: string, privilege: string, context: EvalContext) => run(context, roleByName(context, user), find(context, object), privilege)) as never),
    fc(`${name}(name,oid,text)`, ((user: string, oid: Oid, privilege: string, context: EvalContext) => run(context, roleByName(context, user), oid, privilege)) as never),
    fc(`${name}(oid,text,text)`, ((role: Oid, object: string, privilege: string, context: EvalContext) => run(context, role, find(context, object), privilege)) as never),
    fc(`${name}(oid,oid,text)`, ((role: Oid, oid: Oid, privilege: string, context: EvalContext) => run(context, role, oid, privilege)) as never),
    fc(`${name}(text,text)`, ((object: string, privilege: string, context: EvalContext) => run(context, me(context), find(context, object), privilege)) as never),
    fc(`${name}(oid,text)`, ((oid: Oid, privilege: string, context: EvalContext) => run(context, me(context), oid, privilege)) as never),
  ];
}

function byName(table: string, index: string, noun: string, sqlstate: string): Find {
  return (context, name) => {
    const row = rowsOf(context).one(table, index, textToNames(name)[0]!) ?? rowsOf(context).one(table, index, name);
    if (!row) throw new DatabaseError(sqlstate, `${noun} "${name}" does not exist`);
    return row[0] as Oid;
  };
}

const findTable: Find = (context, name) => relationByText(context, name).oid;

/** name(argtypes) */
const findFunction: Find = (context, text) => {
  const match = /^(.*)\((.*)\)$/s.exec(text);
  if (!match) throw new DatabaseError('22P02', 'expected a left parenthesis');
  const names = textToNames(match[1]!);
  const types = match[2]!.trim() === '' ? [] : match[2]!.split(',').map((part) => findTypeText(context, part.trim()));
  const proc = context.catalog.procsNamed(names.at(-1)!).find((candidate) => candidate.proargtypes.join() === types.join());
  if (!proc) throw new DatabaseError('42883', `function "${text}" does not exist`);
  return proc.oid;
};

const TYPE_ALIASES: Readonly<Record<string, string>> = {
  int: 'int4', integer: 'int4', bigint: 'int8', smallint: 'int2', boolean: 'bool', real: 'float4', 'double precision': 'float8', 'character varying': 'varchar', character: 'bpchar',
  decimal: 'numeric', 'timestamp without time zone': 'timestamp', 'timestamp with time zone': 'timestamptz', 'time without time zone': 'time', 'time with time zone': 'timetz',
};

function findTypeText(context: EvalContext, text: string): Oid {
  const array = text.endsWith('[]');
  const bare = array ? text.slice(0, -2) : text;
  const names = TYPE_ALIASES[bare.toLowerCase()] ? [TYPE_ALIASES[bare.toLowerCase()]!] : textToNames(bare);
  const type = findType(environment(context), names.length > 1 ? names[0]! : null, names.at(-1)!);
  if (!type) throw new DatabaseError('42704', `type "${text}" does not exist`);
  return array ? type.typarray : type.oid;
}

function anyColumn(context: EvalContext, role: Oid, oid: Oid, privilege: string): boolean | null {
  const relation = context.catalog.relation(oid);
  if (!relation) return null;
  const object = relationObject(context, oid, 'table')!;
  if (check(context, role, { ...object, kind: 'table' }, privilege)) return true;
  return parsePrivileges(privilege, ALL_PRIVILEGES.column).some(({ letter }) => relation.attributes.some((attribute) => !attribute.attisdropped && hasColumnPrivilege(context.catalog, role, relation, attribute.attnum, letter)));
}

function column(context: EvalContext, role: Oid, oid: Oid, target: string | number, privilege: string): boolean | null {
  const relation = context.catalog.relation(oid);
  if (!relation) return null;
  const attribute = typeof target === 'number' ? relation.attributes[target - 1] : relation.attributes.find((candidate) => candidate.attname === target && !candidate.attisdropped);
  if (!attribute || attribute.attisdropped) {
    if (typeof target === 'number') return null;
    throw new DatabaseError('42703', `column "${target}" of relation "${relation.relname}" does not exist`);
  }
  return parsePrivileges(privilege, ALL_PRIVILEGES.column).some(({ letter }) => hasColumnPrivilege(context.catalog, role, relation, attribute.attnum, letter));
}

function columnFamily(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const [userType, role] of [['name', roleByName], ['oid', (_c: EvalContext, oid: Oid) => oid]] as const) {
    for (const [tableType, find] of [['text', findTable], ['oid', (_c: EvalContext, oid: Oid) => oid]] as const) {
      for (const columnType of ['text', 'int2']) {
        out.push(fc(`has_column_privilege(${userType},${tableType},${columnType},text)`, ((user: never, table: never, target: string | number, privilege: string, context: EvalContext) =>
          column(context, role(context, user), find(context, table), target, privilege)) as never));
      }
    }
  }
  for (const [tableType, find] of [['text', findTable], ['oid', (_c: EvalContext, oid: Oid) => oid]] as const) {
    for (const columnType of ['text', 'int2']) {
      out.push(fc(`has_column_privilege(${tableType},${columnType},text)`, ((table: never, target: string | number, privilege: string, context: EvalContext) =>
        column(context, context.session.currentUser.oid, find(context, table), target, privilege)) as never));
    }
  }
  return out;
}

function anyColumnFamily(): SqlFunction[] {
  const me = (context: EvalContext): Oid => context.session.currentUser.oid;
  return [
    fc('has_any_column_privilege(name,text,text)', (user: string, table: string, p: string, c: EvalContext) => anyColumn(c, roleByName(c, user), findTable(c, table), p)),
    fc('has_any_column_privilege(name,oid,text)', (user: string, oid: Oid, p: string, c: EvalContext) => anyColumn(c, roleByName(c, user), oid, p)),
    fc('has_any_column_privilege(oid,text,text)', (role: Oid, table: string, p: string, c: EvalContext) => anyColumn(c, role, findTable(c, table), p)),
    fc('has_any_column_privilege(oid,oid,text)', (role: Oid, oid: Oid, p: string, c: EvalContext) => anyColumn(c, role, oid, p)),
    fc('has_any_column_privilege(text,text)', (table: string, p: string, c: EvalContext) => anyColumn(c, me(c), findTable(c, table), p)),
    fc('has_any_column_privilege(oid,text)', (oid: Oid, p: string, c: EvalContext) => anyColumn(c, me(c), oid, p)),
  ];
}

/** USAGE: inherits its privileges; MEMBER: may SET ROLE to it, directly or not; with ADMIN: may grant it. */
function hasRole(context: EvalContext, member: Oid, role: Oid, privilege: string): boolean {
  return privilege.split(',').some((part) => {
    const word = part.trim().toLowerCase();
    const admin = /with (grant|admin) option$/.test(word);
    const kind = word.replace(/ with (grant|admin) option$/, '');
    if (!['usage', 'member', 'set'].includes(kind)) throw new DatabaseError('22023', `unrecognized privilege type: "${part.trim()}"`);
    if (isSuperuser(context.catalog, member)) return true;
    if (admin) return rowsOf(context).rows('pg_auth_members', 'roleid', role).some((row) => row[4] === true && inheritedRoles(context.catalog, member, false).has(row[2] as Oid));
    return inheritedRoles(context.catalog, member, kind === 'usage').has(role);
  });
}

const NAMES_OF_LETTERS: Readonly<Record<string, string>> = {
  a: 'INSERT', r: 'SELECT', w: 'UPDATE', d: 'DELETE', D: 'TRUNCATE', x: 'REFERENCES', t: 'TRIGGER', X: 'EXECUTE', U: 'USAGE', C: 'CREATE', T: 'TEMPORARY', c: 'CONNECT', s: 'SET', A: 'ALTER SYSTEM',
};

const DEFAULT_KINDS: Readonly<Record<string, AclObjectKind>> = { r: 'table', c: 'column', s: 'sequence', d: 'database', f: 'function', l: 'language', n: 'schema', t: 'tablespace', T: 'type' };

export const catalogAclFunctions: readonly SqlFunction[] = [
  ...family('has_table_privilege', findTable, (context, oid) => { const found = relationObject(context, oid, 'table'); return found && { ...found, kind: 'table' }; }),
  ...family('has_sequence_privilege', findTable, (context, oid) => relationObject(context, oid, 'sequence')),
  ...family('has_schema_privilege', byName('pg_namespace', 'nspname', 'schema', '3F000'), (context, oid) => storedObject(context, 'pg_namespace', oid, 'schema', 'nspowner', 'nspacl')),
  ...family('has_database_privilege', byName('pg_database', 'datname', 'database', '3D000'), (context, oid) => storedObject(context, 'pg_database', oid, 'database', 'datdba', 'datacl')),
  ...family('has_function_privilege', findFunction, (context, oid) => storedObject(context, 'pg_proc', oid, 'function', 'proowner', 'proacl')),
  ...family('has_language_privilege', byName('pg_language', 'lanname', 'language', '42704'), (context, oid) => storedObject(context, 'pg_language', oid, 'language', 'lanowner', 'lanacl')),
  ...family('has_type_privilege', findTypeText, (context, oid) => storedObject(context, 'pg_type', oid, 'type', 'typowner', 'typacl')),
  ...family('has_tablespace_privilege', byName('pg_tablespace', 'spcname', 'tablespace', '42704'), (context, oid) => storedObject(context, 'pg_tablespace', oid, 'tablespace', 'spcowner', 'spcacl')),
  ...family('has_foreign_data_wrapper_privilege', byName('pg_foreign_data_wrapper', 'oid', 'foreign-data wrapper', '42704'), () => null),
  ...family('has_server_privilege', byName('pg_foreign_server', 'oid', 'server', '42704'), () => null),
  ...columnFamily(),
  ...anyColumnFamily(),
  fc('has_parameter_privilege(text,text)', (_name: string, _privilege: string, c: EvalContext) => c.session.currentUser.superuser),
  fc('has_parameter_privilege(name,text,text)', (user: string, _name: string, _privilege: string, c: EvalContext) => isSuperuser(c.catalog, roleByName(c, user))),
  fc('has_parameter_privilege(oid,text,text)', (role: Oid, _name: string, _privilege: string, c: EvalContext) => isSuperuser(c.catalog, role)),
  fc('pg_has_role(name,name,text)', (user: string, role: string, p: string, c: EvalContext) => hasRole(c, roleByName(c, user), roleByName(c, role), p)),
  fc('pg_has_role(name,oid,text)', (user: string, role: Oid, p: string, c: EvalContext) => hasRole(c, roleByName(c, user), role, p)),
  fc('pg_has_role(oid,name,text)', (user: Oid, role: string, p: string, c: EvalContext) => hasRole(c, user, roleByName(c, role), p)),
  fc('pg_has_role(oid,oid,text)', (user: Oid, role: Oid, p: string, c: EvalContext) => hasRole(c, user, role, p)),
  fc('pg_has_role(name,text)', (role: string, p: string, c: EvalContext) => hasRole(c, c.session.currentUser.oid, roleByName(c, role), p)),
  fc('pg_has_role(oid,text)', (role: Oid, p: string, c: EvalContext) => hasRole(c, c.session.currentUser.oid, role, p)),
  setc('aclexplode(_aclitem)', (acl: ArrayValue, context: EvalContext) => {
    const out: Datum[][] = [];
    for (const text of acl.elements as string[]) {
      const item = parseAclItem(text);
      const grantor = context.catalog.roleNamed(item.grantor)?.oid ?? 0;
      const grantee = item.grantee === '' ? 0 : (context.catalog.roleNamed(item.grantee)?.oid ?? 0);
      for (const letter of item.privileges) out.push([grantor, grantee, NAMES_OF_LETTERS[letter]!, item.grantable.includes(letter)]);
    }
    return out;
  }),
  fc('acldefault(char,oid)', (kind: string, owner: Oid, context: EvalContext) => {
    // Parameters: nobody but the owner, who may set and alter them.
    const name = context.catalog.role(owner)?.rolname ?? String(owner);
    if (kind === 'p') return aclArray([{ grantee: name, grantor: name, privileges: 'sA', grantable: '' }]);
    const object = DEFAULT_KINDS[kind];
    if (!object) throw new DatabaseError('XX000', `unrecognized object type abbreviation: ${kind}`);
    return aclArray(defaultAcl(object, name));
  }),
  fc('makeaclitem(oid,oid,text,bool)', (grantee: Oid, grantor: Oid, privileges: string, grantable: boolean, context: EvalContext) => {
    const letters = privileges.split(',').map((part) => PRIVILEGE_LETTERS[part.trim().toLowerCase()] ?? '').join('');
    const name = (oid: Oid): string => (oid === 0 ? '' : (context.catalog.role(oid)?.rolname ?? String(oid)));
    return formatAclItem({ grantee: name(grantee), grantor: name(grantor), privileges: letters, grantable: grantable ? letters : '' });
  }),
  f('aclcontains(_aclitem,aclitem)', (acl: ArrayValue, wanted: string) => {
    const item = parseAclItem(wanted);
    return (acl.elements as string[]).map(parseAclItem).some((held) => held.grantee === item.grantee && held.grantor === item.grantor && [...item.privileges].every((letter) => held.privileges.includes(letter)));
  }),
  f('aclitemeq(aclitem,aclitem)', (a: string, b: string) => a === b),
];

/** CREATE, ALTER and DROP DATABASE. A new database needs no copy of born rows; what a template has of its own is copied. */
import type { AlterDatabaseStmt, CreatedbStmt, DefElem, DropdbStmt, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { mustBeOwner, ownsAs } from '../catalog/acl.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteSharedDependencies, recordSharedDependency } from '../catalog/dependency.js';
import { refuseTransactionBlock, type CommandContext } from './command.js';
import { setComment } from './comment.js';
import { currentUser, lockRelation, reserveName } from './names.js';

function optionMap(options: readonly Node[] | undefined): Map<string, DefElem> {
  return new Map((options ?? []).map((node) => [(node as { DefElem: DefElem }).DefElem.defname!, (node as { DefElem: DefElem }).DefElem]));
}

function optionText(element: DefElem | undefined): string | undefined {
  const arg = element?.arg as { String?: { sval?: string }; Integer?: { ival?: number }; Boolean?: { boolval?: boolean }; TypeName?: unknown } | undefined;
  if (arg?.String) return arg.String.sval ?? '';
  if (arg?.Integer) return String(arg.Integer.ival ?? 0);
  if (arg?.Boolean) return String(arg.Boolean.boolval ?? false);
  return undefined;
}

function truth(element: DefElem | undefined, fallback: boolean): boolean {
  const text = optionText(element);
  return text === undefined ? fallback : /^(t|true|on|yes|y|1)$/i.test(text);
}

function limitOf(element: DefElem | undefined, fallback: number): number {
  return element ? ((element.arg as { Integer?: { ival?: number } } | undefined)?.Integer?.ival ?? -1) : fallback;
}

const KNOWN = new Set(['template', 'encoding', 'owner', 'locale', 'lc_collate', 'lc_ctype', 'tablespace', 'connection_limit', 'is_template', 'allow_connections', 'strategy', 'locale_provider', 'oid', 'collation_version', 'location']);
const OUR_LOCALES = /^(C|POSIX|C\.UTF-?8|en_US\.UTF-?8)$/i;

export async function createDatabase(statement: CreatedbStmt, context: CommandContext): Promise<string> {
  refuseTransactionBlock(context, 'CREATE DATABASE');
  const name = statement.dbname!;
  const options = optionMap(statement.options as Node[] | undefined);
  for (const option of options.keys()) if (!KNOWN.has(option)) throw new DatabaseError('42601', `option "${option}" not recognized`);
  const me = context.catalog.role(currentUser(context).oid)!;
  if (!me.rolsuper && !me.rolcreatedb) throw new DatabaseError('42501', 'permission denied to create database');
  const ownerName = optionText(options.get('owner'));
  const owner = ownerName === undefined ? me : context.catalog.roleNamed(ownerName);
  if (!owner) throw new DatabaseError('42704', `role "${ownerName}" does not exist`);
  await reserveName(context, ClassOid.pg_database, 0, name);
  if (context.catalog.databaseNamed(name)) throw new DatabaseError('42P04', `database "${name}" already exists`);
  const templateName = optionText(options.get('template')) ?? 'template1';
  const template = context.catalog.databaseNamed(templateName);
  if (!template) throw new DatabaseError('3D000', `template database "${templateName}" does not exist`);
  if (!template.datistemplate && !ownsAs(context.catalog, me.oid, template.datdba)) throw new DatabaseError('42501', `permission denied to copy database "${templateName}"`);
  const encoding = optionText(options.get('encoding'));
  if (encoding !== undefined && !/^utf-?8$|^unicode$|^6$/i.test(encoding)) {
    if (/^[a-z]/i.test(encoding) && !/^(sql_ascii|latin\d*|win\d+|iso[-_0-9]+|euc_\w+|koi8.*|mule_internal|big5|gbk|gb18030|sjis|uhc|johab)$/i.test(encoding)) throw new DatabaseError('42704', `${encoding} is not a valid encoding name`);
    throw notSupported(`encoding ${encoding} (databases are UTF8)`);
  }
  for (const option of ['locale', 'lc_collate', 'lc_ctype']) {
    const locale = optionText(options.get(option));
    if (locale !== undefined && !OUR_LOCALES.test(locale)) throw new DatabaseError('42809', `invalid locale name: "${locale}"`);
  }
  if (optionText(options.get('locale_provider')) && optionText(options.get('locale_provider')) !== 'libc') throw notSupported('locale provider other than libc');
  const others = context.otherSessions(template.oid);
  if (others > 0) throw new DatabaseError('55006', `source database "${templateName}" is being accessed by other users`, { detail: `There ${others === 1 ? 'is 1 other session' : `are ${others} other sessions`} using the database.` });
  const oid = context.changes.newOid();
  const row = context.catalog.rows.one('pg_database', 'oid', template.oid)!;
  context.changes.insert('pg_database', {
    oid, datname: name, datdba: owner.oid, encoding: 6, datlocprovider: 'c', datistemplate: truth(options.get('is_template'), false),
    datallowconn: truth(options.get('allow_connections'), true), datconnlimit: limitOf(options.get('connection_limit'), -1), datfrozenxid: row[8]!, datminmxid: row[9]!,
    dattablespace: 1663, datcollate: optionText(options.get('lc_collate')) ?? optionText(options.get('locale')) ?? row[11]!,
    datctype: optionText(options.get('lc_ctype')) ?? optionText(options.get('locale')) ?? row[12]!,
  });
  recordSharedDependency(context.changes, address(ClassOid.pg_database, oid), ClassOid.pg_authid, owner.oid, 'o');
  await context.changes.copyDatabase(template.oid, oid, context.wait);
  return 'CREATE DATABASE';
}

export async function dropDatabase(statement: DropdbStmt, context: CommandContext): Promise<string> {
  refuseTransactionBlock(context, 'DROP DATABASE');
  const name = statement.dbname!;
  const database = context.catalog.databaseNamed(name);
  if (!database) {
    if (!statement.missing_ok) throw new DatabaseError('3D000', `database "${name}" does not exist`);
    context.notice('NOTICE', `database "${name}" does not exist, skipping`, { sqlstate: '00000' });
    return 'DROP DATABASE';
  }
  if (!ownsAs(context.catalog, currentUser(context).oid, database.datdba)) throw mustBeOwner('database', name);
  if (database.oid === context.changes.databaseOid) throw new DatabaseError('55006', 'cannot drop the currently open database');
  if (database.datistemplate) throw new DatabaseError('42809', 'cannot drop a template database');
  await lockRelation(context, database.oid, 'AccessExclusiveLock');
  const force = optionMap(statement.options as Node[] | undefined).has('force');
  const others = context.otherSessions(database.oid);
  if (others > 0) {
    if (!force) throw new DatabaseError('55006', `database "${name}" is being accessed by other users`, { detail: `There ${others === 1 ? 'is 1 other session' : `are ${others} other sessions`} using the database.` });
    for (const backend of context.eval.session.backends.list()) if (backend.databaseOid === database.oid) context.eval.session.backends.terminate(backend.pid);
  }
  setComment(context, ClassOid.pg_database, database.oid, 0, null, true);
  deleteSharedDependencies(context.changes, address(ClassOid.pg_database, database.oid));
  for (const entry of context.catalog.rows.all('pg_shdepend')) if (entry.values![0] === database.oid) context.changes.delete('pg_shdepend', entry);
  for (const entry of context.catalog.rows.all('pg_db_role_setting')) if (entry.values![0] === database.oid) context.changes.delete('pg_db_role_setting', entry);
  context.changes.delete('pg_database', context.catalog.rows.find('pg_database', 'oid', database.oid)[0]!);
  context.changes.dropDatabase(database.oid);
  return 'DROP DATABASE';
}

export function alterDatabase(statement: AlterDatabaseStmt, context: CommandContext): string {
  const database = context.catalog.databaseNamed(statement.dbname!);
  if (!database) throw new DatabaseError('3D000', `database "${statement.dbname}" does not exist`);
  if (!ownsAs(context.catalog, currentUser(context).oid, database.datdba)) throw mustBeOwner('database', database.datname);
  const options = optionMap(statement.options as Node[] | undefined);
  if (options.has('tablespace')) throw notSupported('ALTER DATABASE SET TABLESPACE');
  const entry = context.catalog.rows.find('pg_database', 'oid', database.oid)[0]!;
  const allow = truth(options.get('allow_connections'), database.datallowconn);
  if (!allow && database.oid === context.changes.databaseOid) throw new DatabaseError('22023', 'cannot disallow connections for current database');
  context.changes.update('pg_database', entry, {
    datconnlimit: limitOf(options.get('connection_limit'), database.datconnlimit), datallowconn: allow, datistemplate: truth(options.get('is_template'), database.datistemplate),
  });
  return 'ALTER DATABASE';
}


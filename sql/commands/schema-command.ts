/** CREATE SCHEMA. Its elements run as statements of their own with the schema in front of the path. */
import type { CreateSchemaStmt, Node, RangeVar } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { hasDatabasePrivilege, permissionDenied } from '../catalog/acl.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, recordSharedDependency } from '../catalog/dependency.js';
import type { CommandContext } from './command.js';
import { currentUser, reserveName, roleOfSpec } from './names.js';

export async function createSchema(statement: CreateSchemaStmt, context: CommandContext, run: (node: Node, inner: CommandContext) => Promise<string>): Promise<string> {
  const owner = statement.authrole ? roleOfSpec(context, statement.authrole) : context.catalog.role(currentUser(context).oid)!;
  const name = statement.schemaname ?? owner.rolname;
  if (!hasDatabasePrivilege(context.catalog, currentUser(context).oid, context.changes.databaseOid, 'C')) throw permissionDenied('database', context.eval.session.databaseName);
  if (name.startsWith('pg_')) throw new DatabaseError('42939', `unacceptable schema name "${name}"`, { detail: 'The prefix "pg_" is reserved for system schemas.' });
  await reserveName(context, ClassOid.pg_namespace, 0, name);
  if (context.catalog.namespaceNamed(name)) {
    if (!statement.if_not_exists) throw new DatabaseError('42P06', `schema "${name}" already exists`);
    context.notice('NOTICE', `schema "${name}" already exists, skipping`, { sqlstate: '42P06' });
    return 'CREATE SCHEMA';
  }
  const oid = context.changes.newOid();
  context.changes.insert('pg_namespace', { oid, nspname: name, nspowner: owner.oid });
  recordSharedDependency(context.changes, address(ClassOid.pg_namespace, oid), ClassOid.pg_authid, owner.oid, 'o');
  for (const element of statement.schemaElts ?? []) await run(qualify(element, name), withSchemaFirst(context, oid, name));
  return 'CREATE SCHEMA';
}

/** The elements see the new schema in front of the search path. */
function withSchemaFirst(context: CommandContext, oid: number, name: string): CommandContext {
  const outer = context.eval;
  const session = Object.create(outer.session, { searchPathOids: { value: [oid, ...outer.session.searchPathOids] } }) as typeof outer.session;
  const settings = Object.create(outer.settings, { searchPath: { value: [name, ...outer.settings.searchPath] } }) as typeof outer.settings;
  const inner = Object.create(outer, { session: { value: session }, settings: { value: settings } }) as typeof outer;
  return Object.create(context, { eval: { value: inner } }) as CommandContext;
}

/** Gives the object that an element creates the schema's name. */
function qualify(element: Node, schema: string): Node {
  const node = element as Record<string, { relation?: RangeVar; view?: RangeVar; sequence?: RangeVar; objects?: Node[] }>;
  const [tag] = Object.keys(node);
  const body = node[tag!]!;
  const range = body.relation ?? body.view ?? body.sequence;
  if (tag === 'GrantStmt') return element;
  if (!range) throw notSupported(`${tag} inside CREATE SCHEMA`);
  if (range.schemaname && range.schemaname !== schema) {
    throw new DatabaseError('42P15', `CREATE specifies a schema (${range.schemaname}) different from the one being created (${schema})`);
  }
  const qualified = { ...range, schemaname: schema };
  return { [tag!]: { ...body, ...(body.relation ? { relation: qualified } : body.view ? { view: qualified } : { sequence: qualified }) } } as unknown as Node;
}

/** CREATE TYPE (enum, composite), CREATE DOMAIN, ALTER TYPE ... ADD VALUE, ALTER DOMAIN. */
import type { AlterDomainStmt, AlterEnumStmt, ColumnDef, CompositeTypeStmt, Constraint, CreateDomainStmt, CreateEnumStmt, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { findType, formatType, resolveTypeName, stringOf } from '../analyzer/names.js';
import { mustBeOwner, ownsAs } from '../catalog/acl.js';
import type { Oid, PgType } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, recordDependency, recordSharedDependency } from '../catalog/dependency.js';
import type { CommandContext } from './command.js';
import { columnCollation, constraintOf, planColumn } from './column-definition.js';
import { performDeletion } from './drop.js';
import { recordExpressionDependencies } from './expression-references.js';
import { chooseName, creationNamespaceNamed, currentUser, nameEnvironment, nameList, rangeOf, relationExists, reserveName } from './names.js';
import { addArrayType, addRelation, addType } from './relation-rows.js';

async function newTypeName(context: CommandContext, nodes: readonly Node[] | undefined): Promise<{ name: string; namespace: Oid }> {
  const names = nameList(nodes as Node[]);
  const namespace = creationNamespaceNamed(context, names.length > 1 ? names.at(-2) : undefined).oid;
  const name = names.at(-1)!;
  await reserveName(context, ClassOid.pg_type, namespace, name);
  if (context.catalog.typeNamed(namespace, name)) throw new DatabaseError('42710', `type "${name}" already exists`);
  return { name, namespace };
}

function recordType(context: CommandContext, oid: Oid, arrayOid: Oid, namespace: Oid, owner: Oid): void {
  const object = address(ClassOid.pg_type, oid);
  recordDependency(context.changes, object, address(ClassOid.pg_namespace, namespace), 'n');
  recordSharedDependency(context.changes, object, ClassOid.pg_authid, owner, 'o');
  recordDependency(context.changes, address(ClassOid.pg_type, arrayOid), object, 'i');
}

const ENUM = { input: 3506, output: 3507, receive: 3532, send: 3533 };

export async function createEnum(statement: CreateEnumStmt, context: CommandContext): Promise<string> {
  const { name, namespace } = await newTypeName(context, statement.typeName as Node[]);
  const labels = (statement.vals ?? []).map((node) => stringOf(node as Node));
  const oid = context.changes.newOid();
  labels.forEach((label, i) => {
    checkLabel(label);
    if (labels.indexOf(label) !== i) throw new DatabaseError('23505', 'duplicate key value violates unique constraint "pg_enum_typid_label_index"', { detail: `Key (enumtypid, enumlabel)=(${oid}, ${label}) already exists.` });
  });
  const arrayOid = context.changes.newOid();
  const owner = currentUser(context).oid;
  addType(context, { oid, name, namespace, owner, length: 4, byValue: true, kind: 'e', category: 'E', array: arrayOid, ...ENUM, align: 'i', storage: 'p' });
  addArrayType(context, arrayOid, oid, name, namespace, owner, 'i');
  recordType(context, oid, arrayOid, namespace, owner);
  labels.forEach((label, i) => context.changes.insert('pg_enum', { oid: context.changes.newOid(), enumtypid: oid, enumsortorder: i + 1, enumlabel: label }));
  return 'CREATE TYPE';
}

function checkLabel(label: string): void {
  if (Buffer.byteLength(label) > 63) throw new DatabaseError('42602', `invalid enum label "${label}"`, { detail: 'Labels must be 63 bytes or less.' });
}

export function alterEnum(statement: AlterEnumStmt, context: CommandContext): string {
  const names = nameList(statement.typeName as Node[]);
  const type = findType(nameEnvironment(context), names.length > 1 ? names.at(-2)! : null, names.at(-1)!);
  if (!type) throw new DatabaseError('42704', `type "${names.join('.')}" does not exist`);
  if (type.typtype !== 'e') throw new DatabaseError('42809', `"${names.join('.')}" is not an enum`);
  checkTypeOwner(context, type);
  const labels = context.catalog.enumLabels(type.oid);
  if (statement.oldVal !== undefined) {
    const old = labels.find((label) => label.label === statement.oldVal);
    if (!old) throw new DatabaseError('22023', `"${statement.oldVal}" is not an existing enum label`);
    if (labels.some((label) => label.label === statement.newVal)) throw new DatabaseError('42710', `enum label "${statement.newVal}" already exists`);
    context.changes.update('pg_enum', context.catalog.rows.find('pg_enum', 'oid', old.oid)[0]!, { enumlabel: statement.newVal! });
    return 'ALTER TYPE';
  }
  const label = statement.newVal!;
  checkLabel(label);
  if (labels.some((candidate) => candidate.label === label)) {
    if (!statement.skipIfNewValExists) throw new DatabaseError('42710', `enum label "${label}" already exists`);
    context.notice('NOTICE', `enum label "${label}" already exists, skipping`, { sqlstate: '42710' });
    return 'ALTER TYPE';
  }
  let order = (labels.at(-1)?.sortOrder ?? 0) + 1;
  if (statement.newValNeighbor !== undefined) {
    const at = labels.findIndex((candidate) => candidate.label === statement.newValNeighbor);
    if (at < 0) throw new DatabaseError('22023', `"${statement.newValNeighbor}" is not an existing enum label`);
    const here = labels[at]!.sortOrder;
    const other = statement.newValIsAfter ? labels[at + 1]?.sortOrder : labels[at - 1]?.sortOrder;
    order = other === undefined ? here + (statement.newValIsAfter ? 1 : -1) : Math.fround((here + other) / 2);
  }
  context.changes.insert('pg_enum', { oid: context.changes.newOid(), enumtypid: type.oid, enumsortorder: order, enumlabel: label });
  return 'ALTER TYPE';
}

function checkTypeOwner(context: CommandContext, type: PgType): void {
  const owner = context.catalog.rows.one('pg_type', 'oid', type.oid)![3] as Oid;
  if (!ownsAs(context.catalog, currentUser(context).oid, owner)) throw mustBeOwner('type', type.typname);
}

export async function createComposite(statement: CompositeTypeStmt, context: CommandContext): Promise<string> {
  const range = statement.typevar!;
  const namespace = creationNamespaceNamed(context, range.schemaname).oid;
  const name = range.relname!;
  await reserveName(context, ClassOid.pg_type, namespace, name);
  relationExists(context, namespace, name, false);
  if (context.catalog.typeNamed(namespace, name)) throw new DatabaseError('42710', `type "${name}" already exists`);
  const columns = (statement.coldeflist ?? []).map((node) => planColumn(context, name, (node as { ColumnDef: ColumnDef }).ColumnDef, []).column);
  addRelation(context, { name, namespace, kind: 'c', persistence: 'p', owner: currentUser(context).oid, columns, storage: 0, accessMethod: 0, withRowType: true });
  return 'CREATE TYPE';
}

export async function createDomain(statement: CreateDomainStmt, context: CommandContext): Promise<string> {
  const { name, namespace } = await newTypeName(context, statement.domainname as Node[]);
  const { type: base, typmod } = resolveTypeName(nameEnvironment(context), statement.typeName!);
  if (base.typtype === 'p') throw new DatabaseError('42804', `"${formatType(context.catalog, base.oid)}" is not a valid base type for a domain`);
  const row = context.catalog.rows.one('pg_type', 'oid', base.oid)!;
  let notNull = false;
  let defaultNode: Node | null = null;
  const checks: Constraint[] = [];
  for (const node of statement.constraints ?? []) {
    const constraint = constraintOf(node);
    switch (constraint.contype) {
      case 'CONSTR_NOTNULL': notNull = true; break;
      case 'CONSTR_NULL': notNull = false; break;
      case 'CONSTR_DEFAULT':
        if (defaultNode) throw new DatabaseError('42601', 'multiple default expressions');
        defaultNode = constraint.raw_expr ?? null;
        break;
      case 'CONSTR_CHECK': checks.push(constraint); break;
      case 'CONSTR_UNIQUE': throw new DatabaseError('42601', 'unique constraints not possible for domains');
      case 'CONSTR_PRIMARY': throw new DatabaseError('42601', 'primary key constraints not possible for domains');
      case 'CONSTR_FOREIGN': throw new DatabaseError('42601', 'foreign key constraints not possible for domains');
      default: throw new DatabaseError('42601', 'specifying constraint deferrability not supported for domains');
    }
  }
  const defaultValue = defaultNode && context.hooks.analyzeExpression(defaultNode, { kind: 'column default', target: { type: base.oid, typmod, columnName: name } }, context.eval, context.source);
  const oid = context.changes.newOid();
  const arrayOid = context.changes.newOid();
  const owner = currentUser(context).oid;
  const collation = columnCollation(context, { collClause: statement.collClause } as ColumnDef, base.typcollation, base.oid);
  addType(context, {
    oid, name, namespace, owner, length: base.typlen, byValue: base.typbyval, kind: 'd', category: base.typcategory, array: arrayOid, delimiter: base.typdelim,
    input: 2597, output: row[16] as Oid, receive: 2598, send: row[18] as Oid, analyze: row[21] as Oid, align: row[22] as string, storage: row[23] as string,
    base: base.oid, typmod, notNull, ndims: statement.typeName?.arrayBounds?.length ?? 0, collation, defaultExpression: defaultValue?.text ?? null, default: defaultValue?.text ?? null,
  });
  addArrayType(context, arrayOid, oid, name, namespace, owner, row[22] as string);
  recordType(context, oid, arrayOid, namespace, owner);
  recordDependency(context.changes, address(ClassOid.pg_type, oid), address(ClassOid.pg_type, base.oid), 'n');
  for (const check of checks) addDomainCheck(context, oid, name, namespace, base.oid, typmod, check);
  return 'CREATE DOMAIN';
}

function addDomainCheck(context: CommandContext, domain: Oid, name: string, namespace: Oid, base: Oid, typmod: number, node: Constraint): void {
  const taken = (candidate: string): boolean => context.catalog.rows.rows('pg_constraint', 'contypid', domain).some((row) => row[1] === candidate);
  if (node.conname && taken(node.conname)) throw new DatabaseError('42710', `constraint "${node.conname}" for domain "${name}" already exists`);
  const conname = node.conname ?? chooseName(name, null, 'check', taken);
  const analyzed = context.hooks.analyzeExpression(node.raw_expr!, { kind: 'domain check', domainType: { type: base, typmod }, target: { type: 16, typmod: -1 } }, context.eval, context.source);
  const oid = context.changes.newOid();
  context.changes.insert('pg_constraint', {
    oid, conname, connamespace: namespace, contype: 'c', convalidated: !node.skip_validation, contypid: domain, confupdtype: ' ', confdeltype: ' ', confmatchtype: ' ',
    conislocal: true, conbin: analyzed.text,
  });
  recordDependency(context.changes, address(ClassOid.pg_constraint, oid), address(ClassOid.pg_type, domain), 'a');
  recordExpressionDependencies(context.changes, address(ClassOid.pg_constraint, oid), analyzed.expr, 0, 'n');
}

/** subtype: T default, N drop not null, O set not null, C add constraint, X drop constraint, V validate. */
export async function alterDomain(statement: AlterDomainStmt, context: CommandContext): Promise<string> {
  const range = rangeOf(nameList(statement.typeName as Node[]));
  const type = findType(nameEnvironment(context), range.schemaname ?? null, range.relname!);
  if (!type) throw new DatabaseError('42704', `type "${range.relname}" does not exist`);
  if (type.typtype !== 'd') throw new DatabaseError('42809', `"${range.relname}" is not a domain`);
  checkTypeOwner(context, type);
  const entry = context.catalog.rows.find('pg_type', 'oid', type.oid)[0]!;
  switch (statement.subtype) {
    case 'T': {
      const analyzed = statement.def && context.hooks.analyzeExpression(statement.def, { kind: 'column default', target: { type: type.typbasetype, typmod: type.typtypmod, columnName: type.typname } }, context.eval, context.source);
      context.changes.update('pg_type', entry, { typdefaultbin: analyzed?.text ?? null, typdefault: analyzed?.text ?? null });
      break;
    }
    case 'N': context.changes.update('pg_type', entry, { typnotnull: false }); break;
    case 'O':
      await checkUsers(context, type, `${'VALUE'} IS NOT NULL`, (relation, column) => new DatabaseError('23502', `column "${column}" of table "${relation}" contains null values`));
      context.changes.update('pg_type', entry, { typnotnull: true });
      break;
    case 'C': {
      const node = (statement.def as { Constraint: Constraint }).Constraint;
      addDomainCheck(context, type.oid, type.typname, type.typnamespace, type.typbasetype, type.typtypmod, node);
      if (!node.skip_validation) {
        const added = context.catalog.rows.rows('pg_constraint', 'contypid', type.oid).at(-1)!;
        await checkUsers(context, type, added[25] as string, (relation, column) => new DatabaseError('23514', `column "${column}" of table "${relation}" contains values that violate the new constraint`));
      }
      break;
    }
    case 'X': {
      const constraint = context.catalog.rows.rows('pg_constraint', 'contypid', type.oid).find((row) => row[1] === statement.name);
      if (!constraint) {
        if (!statement.missing_ok) throw new DatabaseError('42704', `constraint "${statement.name}" of domain "${type.typname}" does not exist`);
        context.notice('NOTICE', `constraint "${statement.name}" of domain "${type.typname}" does not exist, skipping`, { sqlstate: '00000' });
        break;
      }
      await performDeletion(context, [address(ClassOid.pg_constraint, constraint[0] as Oid)], statement.behavior === 'DROP_CASCADE');
      break;
    }
    default: throw notSupported('ALTER DOMAIN VALIDATE CONSTRAINT');
  }
  return 'ALTER DOMAIN';
}

/** Existing values of a domain must keep a new rule; `condition` is over VALUE. */
async function checkUsers(context: CommandContext, type: PgType, condition: string, violation: (relation: string, column: string) => DatabaseError): Promise<void> {
  for (const row of [...context.catalog.rows.all('pg_attribute')]) {
    const [relationOid, column, atttypid] = row.values!;
    if (atttypid !== type.oid) continue;
    const relation = context.catalog.relation(relationOid as Oid);
    if (relation?.relkind !== 'r') continue;
    const schema = context.catalog.namespace(relation.relnamespace)!.nspname;
    const quoted = `"${(column as string).replaceAll('"', '""')}"`;
    const text = `SELECT 1 FROM "${schema}"."${relation.relname}" WHERE NOT (${condition.replace(/\bVALUE\b/g, quoted)}) LIMIT 1`;
    await context.hooks.runQuery(text, context.eval, null, () => { throw violation(relation.relname, column as string); });
  }
}

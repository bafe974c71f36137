/** ALTER TABLE (also for indexes, views and sequences where PostgreSQL allows it). After tablecmds.c. */
import type { AlterTableCmd, AlterTableStmt, ColumnDef, Constraint, DefElem, Node, RoleSpec, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { RowEvaluator } from '../access/index-access.js';
import { nextval } from '../access/sequence.js';
import { formatType, resolveTypeName } from '../analyzer/names.js';
import { arrayOf } from '../catalog/born-rows.js';
import type { Attribute, Oid, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteDependenciesOf, dependentsOf } from '../catalog/dependency.js';
import { checkLearnedOptions, isLearned } from '../learned/learned-options.js';
import type { Datum } from '../types/datum.js';
import { parseExpression } from '../parser/parse.js';
import type { CommandContext } from './command.js';
import { columnCollation, planColumn, type ConstraintPlan } from './column-definition.js';
import { addConstraint, current, dropDefault, findColumn, setDefault, storeDefault, validateCheck, validateForeignKey, validateNotNull } from './constraints.js';
import { columnSequence, finishColumns } from './create-table.js';
import { defaultOpclass, storageOptions } from './define-index.js';
import { describeObject, performDeletion } from './drop.js';
import { recordExpressionDependencies } from './expression-references.js';
import { checkOwner, KIND_NAMES, nameEnvironment, openRelationIfExists, qualifiedName, refuseCatalog, roleOfSpec } from './names.js';
import { changeOwner } from './owner.js';
import { attributeEntry, attributeValues, checkColumnType, classEntry, recordColumnDependencies, refuseSystemName, updateClass } from './relation-rows.js';
import { forgetJointStatistics } from './statistics-command.js';
import { rewriteTable } from './rewrite-table.js';
import { changeSequence, ownSequence } from './sequence-command.js';

/** What all subcommands of one statement share. */
interface AlterState {
  readonly context: CommandContext;
  readonly oid: Oid;
  /** The relation as its rows are stored; set when a rewrite is needed. */
  before: Relation | null;
  /** New values of columns in a rewrite, over the old row; others are copied. */
  readonly transforms: Map<number, RowEvaluator>;
  /** Columns to fill from their default or generation expression in a rewrite. */
  readonly computed: Set<number>;
  readonly notNullToCheck: Set<number>;
  readonly checksToValidate: Oid[];
}

const TAGS: Readonly<Record<string, string>> = {
  OBJECT_TABLE: 'ALTER TABLE', OBJECT_INDEX: 'ALTER INDEX', OBJECT_VIEW: 'ALTER VIEW', OBJECT_SEQUENCE: 'ALTER SEQUENCE', OBJECT_MATVIEW: 'ALTER MATERIALIZED VIEW', OBJECT_TYPE: 'ALTER TYPE',
};

/** PostgreSQL's passes: drops first, then types, columns, constraints, the rest. */
const PASSES: Readonly<Record<string, number>> = {
  AT_DropColumn: 0, AT_DropConstraint: 0, AT_DropNotNull: 0, AT_DropIdentity: 0, AT_DropExpression: 0,
  AT_AlterColumnType: 1, AT_AddColumn: 2, AT_SetExpression: 3, AT_ColumnDefault: 4, AT_AddIdentity: 4, AT_SetIdentity: 4, AT_SetNotNull: 4, AT_AddConstraint: 5,
};

export async function alterTable(statement: AlterTableStmt, context: CommandContext): Promise<string> {
  const tag = TAGS[statement.objtype ?? ''] ?? 'ALTER TABLE';
  const range = statement.relation!;
  const relation = await openRelationIfExists(context, range, 'AccessExclusiveLock');
  if (!relation) {
    if (!statement.missing_ok) throw new DatabaseError('42P01', `relation "${qualifiedName(range)}" does not exist`);
    context.notice('NOTICE', `relation "${range.relname}" does not exist, skipping`, { sqlstate: '00000' });
    return tag;
  }
  refuseCatalog(relation);
  checkKind(statement, relation);
  checkOwner(context, relation);
  const commands = (statement.cmds ?? []).map((node) => (node as { AlterTableCmd: AlterTableCmd }).AlterTableCmd);
  const state: AlterState = {
    context, oid: relation.oid, before: null, transforms: new Map(), computed: new Set(), notNullToCheck: new Set(), checksToValidate: [],
  };
  const ordered = commands.map((command, i) => ({ command, i, pass: PASSES[command.subtype ?? ''] ?? 6 })).sort((a, b) => a.pass - b.pass || a.i - b.i);
  let rewritten = false;
  for (const { command, pass } of ordered) {
    // Constraints look at rows: what rewrites must be done by then.
    if (pass >= 5 && !rewritten) {
      await finishRewrite(state);
      rewritten = true;
    }
    await alterOne(state, command);
  }
  if (!rewritten) await finishRewrite(state);
  else await validate(state);
  return tag;
}

function checkKind(statement: AlterTableStmt, relation: Relation): void {
  const wanted: Readonly<Record<string, readonly [string, string]>> = {
    OBJECT_INDEX: ['iI', 'an index'], OBJECT_VIEW: ['v', 'a view'], OBJECT_SEQUENCE: ['S', 'a sequence'], OBJECT_MATVIEW: ['m', 'a materialized view'], OBJECT_TYPE: ['c', 'a composite type'],
  };
  const kind = wanted[statement.objtype ?? ''];
  if (kind && !kind[0].includes(relation.relkind)) throw new DatabaseError('42809', `"${relation.relname}" is not ${kind[1]}`);
}

function requireTable(relation: Relation, command: string): void {
  if (relation.relkind === 'r' || relation.relkind === 'p') return;
  throw new DatabaseError('42809', `ALTER action ${command} cannot be performed on relation "${relation.relname}"`, {
    detail: `This operation is not supported for ${KIND_NAMES[relation.relkind]}${relation.relkind === 'i' ? 'es' : 's'}.`,
  });
}

function requireColumn(relation: Relation, name: string | undefined): Attribute {
  const column = findColumn(relation, name ?? '');
  if (!column) {
    if (['ctid', 'xmin', 'cmin', 'xmax', 'cmax', 'tableoid'].includes(name ?? '')) throw new DatabaseError('0A000', `cannot alter system column "${name}"`);
    throw new DatabaseError('42703', `column "${name}" of relation "${relation.relname}" does not exist`);
  }
  return column;
}

async function alterOne(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context } = state;
  const relation = current(context, state.oid);
  switch (command.subtype) {
    case 'AT_AddColumn': return addColumn(state, command);
    case 'AT_DropColumn': return dropColumn(state, command);
    case 'AT_AlterColumnType': return alterColumnType(state, command);
    case 'AT_ColumnDefault': return columnDefault(state, command);
    case 'AT_SetNotNull': {
      requireTable(relation, 'ALTER COLUMN ... SET NOT NULL');
      const column = requireColumn(relation, command.name);
      if (column.attnotnull) return;
      context.changes.update('pg_attribute', attributeEntry(context, state.oid, column.attnum), { attnotnull: true });
      state.notNullToCheck.add(column.attnum);
      return;
    }
    case 'AT_DropNotNull': return dropNotNull(state, requireColumn(relation, command.name));
    case 'AT_AddConstraint': {
      requireTable(relation, 'ADD CONSTRAINT');
      return addConstraint(context, relation, (command.def as { Constraint: Constraint }).Constraint, null, false);
    }
    case 'AT_DropConstraint': return dropConstraint(state, command);
    case 'AT_ValidateConstraint': return validateConstraint(state, command.name!);
    case 'AT_AlterConstraint': return alterConstraint(state, (command.def as { Constraint: Constraint }).Constraint);
    case 'AT_ChangeOwner': return changeOwner(context, relation.oid, roleOfSpec(context, command.newowner as RoleSpec));
    case 'AT_AddIdentity': return addIdentity(state, command);
    case 'AT_SetIdentity': return setIdentity(state, command);
    case 'AT_DropIdentity': return dropIdentity(state, command);
    case 'AT_DropExpression': {
      const column = requireColumn(relation, command.name);
      if (column.attgenerated === '') {
        if (!command.missing_ok) throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" is not a stored generated column`);
        context.notice('NOTICE', `column "${column.attname}" of relation "${relation.relname}" is not a stored generated column, skipping`, { sqlstate: '00000' });
        return;
      }
      deleteDependenciesOf(context.changes, address(ClassOid.pg_class, state.oid, column.attnum), (dependency) => dependency.referenced.classId === ClassOid.pg_class && dependency.referenced.subId > 0);
      dropDefault(context, state.oid, column.attnum);
      context.changes.update('pg_attribute', attributeEntry(context, state.oid, column.attnum), { attgenerated: '' });
      return;
    }
    case 'AT_SetStatistics': {
      const value = (command.def as { Integer?: { ival?: number } }).Integer?.ival ?? 0;
      const column = command.name ? requireColumn(relation, command.name) : relation.attributes[(command.num ?? 1) - 1]!;
      context.changes.update('pg_attribute', attributeEntry(context, state.oid, column.attnum), { attstattarget: Math.min(value, 10000) });
      return;
    }
    case 'AT_SetStorage': {
      const column = requireColumn(relation, command.name);
      const storage = { plain: 'p', external: 'e', extended: 'x', main: 'm' }[((command.def as { String?: { sval?: string } }).String?.sval ?? '').toLowerCase()];
      if (!storage) throw new DatabaseError('22023', `invalid storage type "${(command.def as { String?: { sval?: string } }).String?.sval}"`);
      context.changes.update('pg_attribute', attributeEntry(context, state.oid, column.attnum), { attstorage: storage });
      return;
    }
    case 'AT_SetRelOptions': case 'AT_ResetRelOptions': return relationOptions(state, command);
    case 'AT_ReplicaIdentity': {
      const kind = (command.def as { ReplicaIdentityStmt?: { identity_type?: string } }).ReplicaIdentityStmt?.identity_type ?? 'd';
      updateClass(context, state.oid, { relreplident: kind });
      return;
    }
    case 'AT_ClusterOn': case 'AT_DropCluster': {
      for (const index of relation.indexes) {
        const entry = context.catalog.rows.find('pg_index', 'indexrelid', index.oid)[0]!;
        const clustered = command.subtype === 'AT_ClusterOn' && index.name === command.name;
        if (entry.values![9] !== clustered) context.changes.update('pg_index', entry, { indisclustered: clustered });
      }
      if (command.subtype === 'AT_ClusterOn' && !relation.indexes.some((index) => index.name === command.name)) throw new DatabaseError('42704', `index "${command.name}" for table "${relation.relname}" does not exist`);
      return;
    }
    case 'AT_SetLogged': case 'AT_SetUnLogged':
      updateClass(context, state.oid, { relpersistence: command.subtype === 'AT_SetLogged' ? 'p' : 'u' });
      for (const index of relation.indexes) updateClass(context, index.oid, { relpersistence: command.subtype === 'AT_SetLogged' ? 'p' : 'u' });
      return;
    default: throw notSupported(`ALTER TABLE ${spell(command.subtype)}`);
  }
}

/** AT_EnableRowSecurity -> ENABLE ROW SECURITY */
function spell(subtype: string | undefined): string {
  return (subtype ?? '').replace(/^AT_/, '').replace(/Trig(?=All|User|$)/, 'Trigger').replace(/([a-z])([A-Z])/g, '$1 $2').toUpperCase();
}

async function addColumn(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  if (relation.relkind !== 'r' && relation.relkind !== 'c') requireTable(relation, 'ADD COLUMN');
  const definition = (command.def as { ColumnDef: ColumnDef }).ColumnDef;
  const name = definition.colname!;
  if (findColumn(relation, name)) {
    if (!command.missing_ok) throw new DatabaseError('42701', `column "${name}" of relation "${relation.relname}" already exists`);
    context.notice('NOTICE', `column "${name}" of relation "${relation.relname}" already exists, skipping`, { sqlstate: '42701' });
    return;
  }
  refuseSystemName(name);
  const constraints: ConstraintPlan[] = [];
  const plan = planColumn(context, relation.relname, definition, constraints);
  checkColumnType(context, plan.column);
  if (relation.attributes.length >= 1600) throw new DatabaseError('54011', 'tables can have at most 1600 columns');
  const attnum = relation.attributes.length + 1;
  const before = state.before ?? relation;
  context.changes.insert('pg_attribute', attributeValues(context, oid, attnum, plan.column));
  updateClass(context, oid, { relnatts: attnum });
  recordColumnDependencies(context, oid, attnum, plan.column);
  const computed = await finishColumns(context, oid, [plan], attnum - 1);
  if (relation.relkind === 'r') {
    if (computed.includes(attnum)) {
      state.before ??= before;
      state.computed.add(attnum);
    } else {
      fillMissing(state, attnum);
    }
    if (plan.column.notNull) state.notNullToCheck.add(attnum);
  }
  if (constraints.length > 0) await finishRewrite(state);
  for (const constraint of constraints) await addConstraint(context, current(context, oid), constraint.node, constraint.column, false);
}

/** A constant default is kept once, for all rows that are there. */
function fillMissing(state: AlterState, attnum: number): void {
  const { context, oid } = state;
  const relation = current(context, oid);
  const attribute = relation.attributes[attnum - 1]!;
  let text = attribute.defaultText;
  if (text === null) {
    const type = context.catalog.type(attribute.atttypid);
    if (type?.typtype !== 'd' || type.typdefault === null) return;
    text = context.catalog.rows.one('pg_type', 'oid', attribute.atttypid)![29] as string | null;
    if (text === null) return;
  }
  const expr = context.hooks.analyzeExpressionText(text, {
    kind: 'column default', relation, target: { type: attribute.atttypid, typmod: attribute.atttypmod, columnName: attribute.attname },
  }, context.eval);
  const value = context.hooks.compileRow(relation, expr, context.eval)([]);
  if (value === null) return;
  context.changes.update('pg_attribute', attributeEntry(context, oid, attnum), { atthasmissing: true, attmissingval: arrayOf(attribute.atttypid, [value]) });
}

async function dropColumn(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  if (relation.relkind !== 'r' && relation.relkind !== 'c') requireTable(relation, 'DROP COLUMN');
  const column = findColumn(relation, command.name!);
  if (!column) {
    if (!command.missing_ok) throw new DatabaseError('42703', `column "${command.name}" of relation "${relation.relname}" does not exist`);
    context.notice('NOTICE', `column "${command.name}" of relation "${relation.relname}" does not exist, skipping`, { sqlstate: '00000' });
    return;
  }
  await performDeletion(context, [address(ClassOid.pg_class, oid, column.attnum)], command.behavior === 'DROP_CASCADE');
}

async function alterColumnType(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  if (relation.relkind === 'c') throw notSupported('ALTER TYPE ... ALTER ATTRIBUTE');
  requireTable(relation, 'ALTER COLUMN ... SET DATA TYPE');
  const column = requireColumn(relation, command.name);
  const definition = (command.def as { ColumnDef: ColumnDef }).ColumnDef;
  const { type, typmod } = resolveTypeName(nameEnvironment(context), definition.typeName as TypeName);
  const collation = columnCollation(context, definition, type.typcollation, type.oid);
  if (column.attgenerated !== '' && definition.raw_default) throw new DatabaseError('42611', 'cannot specify USING when altering type of generated column', { detail: `Column "${column.attname}" is a generated column.` });
  refuseDependents(context, relation, column);
  const before = state.before ?? relation;
  // The old value becomes the new one by USING or an assignment cast, over the row as it was.
  const using = definition.raw_default ?? ({ ColumnRef: { fields: [{ String: { sval: column.attname } }], location: -1 } } as Node);
  let transform;
  try {
    transform = context.hooks.analyzeExpression(using, {
      kind: 'alter column transform', relation: before, target: { type: type.oid, typmod, columnName: column.attname },
    }, context.eval, context.source);
  } catch (error) {
    if (definition.raw_default || !(error instanceof DatabaseError) || error.sqlstate !== '42804') throw error;
    throw new DatabaseError('42804', `column "${column.attname}" cannot be cast automatically to type ${formatType(context.catalog, type.oid, typmod)}`, {
      hint: column.attgenerated ? undefined : `You might need to specify "USING ${column.attname}::${formatType(context.catalog, type.oid, typmod)}".`,
    });
  }
  const evaluate = context.hooks.compileRow(before, transform.expr, context.eval);
  state.before = before;
  if (column.attgenerated === '') state.transforms.set(column.attnum, evaluate);
  const oldDefault = column.defaultText;
  const entry = attributeEntry(context, oid, column.attnum);
  const fresh = attributeValues(context, oid, column.attnum, { name: column.attname, type: type.oid, typmod, collation, ndims: definition.typeName?.arrayBounds?.length ?? 0 });
  const { atttypid, attlen, atttypmod, attndims, attbyval, attalign, attstorage, attcollation } = fresh as Record<string, Datum>;
  context.changes.update('pg_attribute', entry, {
    atttypid: atttypid!, attlen: attlen!, atttypmod: atttypmod!, attndims: attndims!, attbyval: attbyval!, attalign: attalign!, attstorage: attstorage!, attcollation: attcollation!,
    atthasmissing: false, attmissingval: null,
  });
  deleteDependenciesOf(context.changes, address(ClassOid.pg_class, oid, column.attnum), (dependency) => dependency.referenced.classId === ClassOid.pg_type || dependency.referenced.classId === ClassOid.pg_collation);
  recordColumnDependencies(context, oid, column.attnum, { type: type.oid, collation });
  for (const statistic of context.catalog.rows.find('pg_statistic', 'starelid', oid)) if (statistic.values![1] === column.attnum) context.changes.delete('pg_statistic', statistic);
  forgetJointStatistics(context, oid, column.attnum);
  if (oldDefault !== null) convertDefault(context, oid, column, oldDefault, type.oid, typmod);
  refreshIndexes(context, oid, column.attnum);
  for (const constraint of current(context, oid).constraints) {
    if (constraint.contype === 'c' && constraint.conkey.includes(column.attnum)) refreshCheck(context, oid, constraint.oid);
  }
}

/** Views and generated columns must not use a column whose type changes. */
function refuseDependents(context: CommandContext, relation: Relation, column: Attribute): void {
  for (const dependency of dependentsOf(context.catalog.rows, address(ClassOid.pg_class, relation.oid, column.attnum))) {
    if (dependency.dependent.classId === ClassOid.pg_rewrite) {
      const rule = describeObject(context, dependency.dependent);
      throw new DatabaseError('0A000', 'cannot alter type of a column used by a view or rule', { detail: `${rule} depends on column "${column.attname}"` });
    }
    if (dependency.dependent.classId === ClassOid.pg_class && dependency.dependent.objectId === relation.oid && dependency.dependent.subId > 0) {
      const other = relation.attributes[dependency.dependent.subId - 1]!;
      throw new DatabaseError('0A000', 'cannot alter type of a column used by a generated column', { detail: `Column "${column.attname}" is used by generated column "${other.attname}".` });
    }
  }
}

function convertDefault(context: CommandContext, oid: Oid, column: Attribute, text: string, type: Oid, typmod: number): void {
  const generated = column.attgenerated !== '';
  let expr;
  try {
    expr = context.hooks.analyzeExpression(parseExpression(text), {
      kind: generated ? 'generated column' : 'column default', relation: current(context, oid), target: { type, typmod, columnName: column.attname },
    }, context.eval, context.source);
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.sqlstate !== '42804') throw error;
    throw new DatabaseError('42804', `${generated ? 'generation expression' : 'default'} for column "${column.attname}" cannot be cast automatically to type ${formatType(context.catalog, type, typmod)}`);
  }
  storeDefault(context, oid, column.attnum, expr.text, expr.expr, generated);
}

/** Index columns take the new type, expressions are analyzed anew; the index itself is rebuilt with the rewrite. */
function refreshIndexes(context: CommandContext, oid: Oid, attnum: number): void {
  const relation = current(context, oid);
  const column = relation.attributes[attnum - 1]!;
  for (const index of relation.indexes) {
    refreshIndexExpressions(context, relation, index);
    const position = index.keyColumns.findIndex((key) => key.attnum === attnum);
    const included = index.includeColumns.indexOf(attnum);
    const indexAttnum = position >= 0 ? position + 1 : included >= 0 ? index.keyColumns.length + included + 1 : 0;
    if (indexAttnum === 0) continue;
    const values = attributeValues(context, index.oid, indexAttnum, { name: column.attname, type: column.atttypid, typmod: column.atttypmod, collation: column.attcollation });
    const { atttypid, attlen, atttypmod, attbyval, attalign, attstorage, attcollation } = values as Record<string, Datum>;
    context.changes.update('pg_attribute', attributeEntry(context, index.oid, indexAttnum), {
      atttypid: atttypid!, attlen: attlen!, atttypmod: atttypmod!, attbyval: attbyval!, attalign: attalign!, attstorage: attstorage!, attcollation: attcollation!,
    });
    if (position < 0) continue;
    const entry = context.catalog.rows.find('pg_index', 'indexrelid', index.oid)[0]!;
    const opclasses = [...(entry.values![17] as { elements: Oid[] }).elements];
    const collations = [...(entry.values![16] as { elements: Oid[] }).elements];
    const opclass = defaultOpclassFor(context, index.accessMethod, column.atttypid);
    opclasses[position] = opclass;
    collations[position] = column.attcollation;
    context.changes.update('pg_index', entry, { indclass: arrayOf(26, opclasses, 0), indcollation: arrayOf(26, collations, 0) });
  }
}

function refreshIndexExpressions(context: CommandContext, relation: Relation, index: Relation['indexes'][number]): void {
  const texts = index.keyColumns.filter((key) => key.expressionText !== null).map((key) => key.expressionText!);
  if (texts.length === 0 && index.predicateText === null) return;
  const again = (text: string, kind: 'index expression' | 'index predicate'): string =>
    context.hooks.analyzeExpression(parseExpression(text), { kind, relation }, context.eval, context.source).text;
  context.changes.update('pg_index', context.catalog.rows.find('pg_index', 'indexrelid', index.oid)[0]!, {
    indexprs: texts.length > 0 ? JSON.stringify(texts.map((text) => again(text, 'index expression'))) : null,
    indpred: index.predicateText === null ? null : again(index.predicateText, 'index predicate'),
  });
}

function defaultOpclassFor(context: CommandContext, accessMethod: Oid, type: Oid): Oid {
  const opclass = defaultOpclass(context, accessMethod, type);
  if (!opclass) throw new DatabaseError('42704', `data type ${formatType(context.catalog, type)} has no default operator class for access method "btree"`);
  return opclass.oid;
}

function refreshCheck(context: CommandContext, oid: Oid, constraintOid: Oid): void {
  const constraint = context.catalog.constraint(constraintOid)!;
  const analyzed = context.hooks.analyzeExpression(parseExpression(constraint.expressionText!), {
    kind: 'check constraint', relation: current(context, oid), target: { type: 16, typmod: -1 },
  }, context.eval, context.source);
  const entry = context.catalog.rows.find('pg_constraint', 'oid', constraintOid)[0]!;
  context.changes.update('pg_constraint', entry, { conbin: analyzed.text });
  recordExpressionDependencies(context.changes, address(ClassOid.pg_constraint, constraintOid), { ...analyzed.expr }, oid, 'n');
}

function columnDefault(state: AlterState, command: AlterTableCmd): void {
  const { context, oid } = state;
  const relation = current(context, oid);
  const column = requireColumn(relation, command.name);
  if (column.attidentity !== '') {
    throw new DatabaseError('42601', `column "${column.attname}" of relation "${relation.relname}" is an identity column`, { hint: command.def ? undefined : 'Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.' });
  }
  if (column.attgenerated !== '') {
    throw new DatabaseError('42601', `column "${column.attname}" of relation "${relation.relname}" is a generated column`, { hint: command.def ? undefined : 'Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead.' });
  }
  if (command.def) setDefault(context, relation, column.attnum, command.def, false);
  else dropDefault(context, oid, column.attnum);
}

function dropNotNull(state: AlterState, column: Attribute): void {
  const { context, oid } = state;
  const relation = current(context, oid);
  if (!column.attnotnull) return;
  if (column.attidentity !== '') throw new DatabaseError('42601', `column "${column.attname}" of relation "${relation.relname}" is an identity column`);
  if (relation.indexes.some((index) => index.primary && index.keyColumns.some((key) => key.attnum === column.attnum))) {
    throw new DatabaseError('42P16', `column "${column.attname}" is in a primary key`);
  }
  context.changes.update('pg_attribute', attributeEntry(context, oid, column.attnum), { attnotnull: false });
}

async function dropConstraint(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  const constraint = relation.constraints.find((candidate) => candidate.conname === command.name);
  if (!constraint) {
    if (!command.missing_ok) throw new DatabaseError('42704', `constraint "${command.name}" of relation "${relation.relname}" does not exist`);
    context.notice('NOTICE', `constraint "${command.name}" of relation "${relation.relname}" does not exist, skipping`, { sqlstate: '00000' });
    return;
  }
  await performDeletion(context, [address(ClassOid.pg_constraint, constraint.oid)], command.behavior === 'DROP_CASCADE');
}

async function validateConstraint(state: AlterState, name: string): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  const constraint = relation.constraints.find((candidate) => candidate.conname === name);
  if (!constraint) throw new DatabaseError('42704', `constraint "${name}" of relation "${relation.relname}" does not exist`);
  if (constraint.contype !== 'c' && constraint.contype !== 'f') throw new DatabaseError('42809', `constraint "${name}" of relation "${relation.relname}" is not a foreign key or check constraint`);
  if (constraint.convalidated) return;
  if (constraint.contype === 'c') await validateCheck(context, oid, constraint.oid);
  else await validateForeignKey(context, constraint);
  context.changes.update('pg_constraint', context.catalog.rows.find('pg_constraint', 'oid', constraint.oid)[0]!, { convalidated: true });
}

function alterConstraint(state: AlterState, node: Constraint): void {
  const { context, oid } = state;
  const relation = current(context, oid);
  const constraint = relation.constraints.find((candidate) => candidate.conname === node.conname);
  if (!constraint) throw new DatabaseError('42704', `constraint "${node.conname}" of relation "${relation.relname}" does not exist`);
  if (constraint.contype !== 'f') throw new DatabaseError('42809', `constraint "${node.conname}" of relation "${relation.relname}" is not a foreign key constraint`);
  context.changes.update('pg_constraint', context.catalog.rows.find('pg_constraint', 'oid', constraint.oid)[0]!, {
    condeferrable: node.deferrable ?? false, condeferred: node.initdeferred ?? false,
  });
}

function addIdentity(state: AlterState, command: AlterTableCmd): void {
  const { context, oid } = state;
  const relation = current(context, oid);
  const column = requireColumn(relation, command.name);
  const node = (command.def as { Constraint: Constraint }).Constraint;
  if (!column.attnotnull) throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" must be declared NOT NULL before identity can be added`);
  if (column.attidentity !== '') throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" is already an identity column`);
  if (column.atthasdef) throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" already has a default value`);
  if (![20, 21, 23].includes(column.atttypid)) throw new DatabaseError('22023', 'identity column type must be smallint, integer, or bigint');
  const options = (node.options ?? []).map((option) => (option as { DefElem: DefElem }).DefElem);
  const sequence = columnSequence(context, relation, column.attname, options, column.atttypid);
  ownSequence(context, sequence.oid, oid, column.attnum, 'i');
  context.changes.update('pg_attribute', attributeEntry(context, oid, column.attnum), { attidentity: node.generated_when === 'a' ? 'a' : 'd' });
}

async function setIdentity(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  const column = requireColumn(relation, command.name);
  if (column.attidentity === '') throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" is not an identity column`);
  const elements = ((command.def as { List?: { items?: Node[] } }).List?.items ?? []).map((node) => (node as { DefElem: DefElem }).DefElem);
  const rest = elements.filter((element) => element.defname !== 'generated');
  const generated = elements.find((element) => element.defname === 'generated');
  if (generated) {
    const value = (generated.arg as { Integer?: { ival?: number } }).Integer?.ival ?? 0;
    context.changes.update('pg_attribute', attributeEntry(context, oid, column.attnum), { attidentity: value === 'a'.charCodeAt(0) ? 'a' : 'd' });
  }
  if (rest.length > 0) await changeSequence(context, context.catalog.identitySequence(oid, column.attnum), rest);
}

async function dropIdentity(state: AlterState, command: AlterTableCmd): Promise<void> {
  const { context, oid } = state;
  const relation = current(context, oid);
  const column = requireColumn(relation, command.name);
  if (column.attidentity === '') {
    if (!command.missing_ok) throw new DatabaseError('55000', `column "${column.attname}" of relation "${relation.relname}" is not an identity column`);
    context.notice('NOTICE', `column "${column.attname}" of relation "${relation.relname}" is not an identity column, skipping`, { sqlstate: '00000' });
    return;
  }
  const sequence = context.catalog.identitySequence(oid, column.attnum);
  context.changes.update('pg_attribute', attributeEntry(context, oid, column.attnum), { attidentity: '' });
  deleteDependenciesOf(context.changes, address(ClassOid.pg_class, sequence), (dependency) => dependency.kind === 'i');
  await performDeletion(context, [address(ClassOid.pg_class, sequence)], false);
}

function relationOptions(state: AlterState, command: AlterTableCmd): void {
  const { context, oid } = state;
  const before = (classEntry(context, oid).values![31] as { elements: string[] } | null)?.elements ?? [];
  const options = new Map(before.map((text) => [text.slice(0, text.indexOf('=')), text]));
  for (const node of (command.def as { List?: { items?: Node[] } }).List?.items ?? []) {
    const name = (node as { DefElem: DefElem }).DefElem.defname!;
    if (command.subtype === 'AT_ResetRelOptions') options.delete(name);
    else options.set(name, storageOptions([node])[0]!);
  }
  const index = context.catalog.index(oid);
  if (index && isLearned(index)) checkLearnedOptions([...options.values()]);
  updateClass(context, oid, { reloptions: options.size > 0 ? arrayOf(25, [...options.values()]) : null });
}

/** Writes the rows anew where needed, then checks what must hold for all of them. */
async function finishRewrite(state: AlterState): Promise<void> {
  const { context, oid, before } = state;
  if (before) {
    const after = current(context, oid);
    const fill = computedColumns(state, after);
    await rewriteTable(context, before, oid, (row) => {
      const out: Datum[] = after.attributes.map((attribute, i) => {
        if (attribute.attisdropped) return null;
        const transform = state.transforms.get(attribute.attnum);
        if (transform) return transform(row);
        return i < row.length ? row[i]! : null;
      });
      for (const { attnum, evaluate } of fill) out[attnum - 1] = evaluate(out);
      return out;
    });
    for (const attribute of after.attributes) {
      if (attribute.missingValue !== undefined) context.changes.update('pg_attribute', attributeEntry(context, oid, attribute.attnum), { atthasmissing: false, attmissingval: null });
    }
    state.before = null;
    state.transforms.clear();
    state.computed.clear();
    for (const constraint of current(context, oid).constraints) if (constraint.contype === 'c' && constraint.convalidated) state.checksToValidate.push(constraint.oid);
  }
  await validate(state);
}

function computedColumns(state: AlterState, after: Relation): { attnum: number; evaluate: RowEvaluator }[] {
  const { context } = state;
  const generated = after.attributes.filter((attribute) => attribute.attgenerated !== '' && !attribute.attisdropped);
  const others = after.attributes.filter((attribute) => state.computed.has(attribute.attnum) && attribute.attgenerated === '');
  return [...others, ...generated].map((attribute) => {
    if (attribute.attidentity !== '') {
      const sequence = context.catalog.identitySequence(after.oid, attribute.attnum);
      return { attnum: attribute.attnum, evaluate: () => nextval(context.eval, sequence) };
    }
    const expr = context.hooks.analyzeExpressionText(attribute.defaultText!, {
      kind: attribute.attgenerated !== '' ? 'generated column' : 'column default', relation: after,
      target: { type: attribute.atttypid, typmod: attribute.atttypmod, columnName: attribute.attname },
    }, context.eval);
    return { attnum: attribute.attnum, evaluate: context.hooks.compileRow(after, expr, context.eval) };
  });
}

async function validate(state: AlterState): Promise<void> {
  const { context, oid } = state;
  if (state.notNullToCheck.size > 0) await validateNotNull(context, current(context, oid), [...state.notNullToCheck]);
  state.notNullToCheck.clear();
  for (const constraint of state.checksToValidate.splice(0)) await validateCheck(context, oid, constraint);
}

/**
 * DROP of everything, with RESTRICT and CASCADE. After dependency.c: first all that would go is
 * collected along pg_depend, then either refused with the list or removed, dependents first.
 */
import type { DropStmt, Node, ObjectWithArgs, TypeName } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { findType, formatType, functionsNamed, relationSearchPath, resolveTypeName } from '../analyzer/names.js';
import { mustBeOwner, ownsAs } from '../catalog/acl.js';
import { bornTable } from '../catalog/born-rows.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, addressKey, deleteDependenciesOf, deleteSharedDependencies, dependenciesOf, dependentsOf, isPinned, type Dependency, type ObjectAddress } from '../catalog/dependency.js';
import { describeCatalogObject, visibleRelationName } from '../catalog/describe-object.js';
import type { CommandContext } from './command.js';
import { removeComments } from './comment.js';
import { checkOwner, currentUser, KIND_NAMES, lockRelation, nameEnvironment, nameList, openRelationIfExists, qualifiedName, rangeOf, refuseCatalog } from './names.js';
import { attributeEntry, classEntry, updateClass } from './relation-rows.js';
import { findStatistics, ownStatistics } from './statistics-command.js';

/** Name as in messages: qualified unless the search path finds it. */
export function relationName(context: CommandContext, oid: Oid): string {
  return visibleRelationName(context.catalog, relationSearchPath(nameEnvironment(context)), oid);
}

/** getObjectDescription for what messages mention. */
export function describeObject(context: CommandContext, object: ObjectAddress): string {
  return describeCatalogObject(context.catalog, relationSearchPath(nameEnvironment(context)), object) ?? `object ${object.objectId}`;
}

interface Doomed { readonly object: ObjectAddress; readonly original: boolean; readonly silent: boolean }

/** Objects that go when `targets` go, dependents before what they need; RESTRICT raises 2BP01. */
function collect(context: CommandContext, targets: readonly ObjectAddress[], cascade: boolean): Doomed[] {
  const { rows } = context.catalog;
  const originals = new Set(targets.map(addressKey));
  const ordered: ObjectAddress[] = [];
  /** What made an object go first, and whether something took it along silently. */
  const visited = new Map<string, { because: ObjectAddress | null; silent: boolean }>();
  for (const target of targets) {
    const owner = dependenciesOf(rows, target).find((dependency) => dependency.kind === 'i' && dependency.dependent.subId === target.subId);
    if (!owner || originals.has(addressKey(owner.referenced))) continue;
    const needed = describeObject(context, owner.referenced);
    throw new DatabaseError('2BP01', `cannot drop ${describeObject(context, target)} because ${needed} requires it`, { hint: `You can drop ${needed} instead.` });
  }
  const visit = (object: ObjectAddress, because: ObjectAddress | null, silent: boolean): void => {
    // A column of a table that goes as a whole goes with it.
    const whole = { ...object, subId: 0 };
    if (object.subId !== 0 && (originals.has(addressKey(whole)) || visited.has(addressKey(whole)))) return;
    const key = addressKey(object);
    const before = visited.get(key);
    if (before) {
      before.silent ||= silent;
      return;
    }
    visited.set(key, { because, silent });
    for (const dependency of newestFirst(dependentsOf(rows, object))) {
      const { kind } = dependency;
      let { dependent } = dependency;
      if (kind !== 'i') {
        // Part of something else (an index of a constraint, a rule of a view): that one stands for it.
        const owner = dependenciesOf(rows, dependent).find((candidate) => candidate.kind === 'i' && candidate.dependent.subId === dependent.subId && addressKey(candidate.referenced) !== key);
        if (owner) dependent = owner.referenced;
      }
      if (addressKey(dependent) !== key) visit(dependent, object, kind !== 'n');
    }
    ordered.push(object);
  };
  for (const target of targets) visit(target, null, false);
  const partOfOther = (object: ObjectAddress): boolean => object.subId !== 0 && visited.has(addressKey({ ...object, subId: 0 }));
  const doomed = ordered.filter((object) => !partOfOther(object)).map((object) => ({ object, original: originals.has(addressKey(object)), silent: visited.get(addressKey(object))!.silent }));
  const blockers = doomed.filter((item) => !item.original && !item.silent).reverse();
  if (!cascade && blockers.length > 0) {
    const subject = targets.length === 1 ? `cannot drop ${describeObject(context, targets[0]!)} because other objects depend on it` : 'cannot drop desired object(s) because other objects depend on them';
    throw new DatabaseError('2BP01', subject, {
      detail: blockers.map(({ object }) => `${describeObject(context, object)} depends on ${describeObject(context, visited.get(addressKey(object))!.because!)}`).join('\n'),
      hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
    });
  }
  return doomed;
}

/** PostgreSQL's order, which shows in messages: by OID, newest first. */
function newestFirst(dependencies: Dependency[]): Dependency[] {
  return dependencies.sort((a, b) => b.dependent.objectId - a.dependent.objectId || a.dependent.classId - b.dependent.classId || a.dependent.subId - b.dependent.subId);
}

/** Drops objects and whatever goes with them; reports cascades as PostgreSQL does. */
export async function performDeletion(context: CommandContext, targets: readonly ObjectAddress[], cascade: boolean, quiet = false): Promise<void> {
  const doomed = collect(context, targets, cascade);
  const reported = doomed.filter((item) => !item.original && !item.silent).reverse().map((item) => `drop cascades to ${describeObject(context, item.object)}`);
  if (!quiet && reported.length === 1) context.notice('NOTICE', reported[0]!, { sqlstate: '00000' });
  else if (!quiet && reported.length > 1) context.notice('NOTICE', `drop cascades to ${reported.length} other objects`, { sqlstate: '00000', detail: reported.join('\n') });
  for (const { object } of doomed) {
    if (object.classId === ClassOid.pg_class && object.subId === 0) await lockRelation(context, object.objectId, 'AccessExclusiveLock');
    if (object.classId === ClassOid.pg_constraint) {
      const constraint = context.catalog.constraint(object.objectId);
      if (constraint?.conrelid) await lockRelation(context, constraint.conrelid, 'AccessExclusiveLock');
    }
  }
  for (const { object } of doomed) removeObject(context, object);
}

/** Removes the rows of one object. */
function removeObject(context: CommandContext, object: ObjectAddress): void {
  const { changes } = context;
  switch (object.classId) {
    case ClassOid.pg_class:
      if (object.subId !== 0) removeColumn(context, object);
      else removeRelation(context, object.objectId);
      break;
    case ClassOid.pg_constraint: removeConstraint(context, object.objectId); break;
    case ClassOid.pg_attrdef: {
      const entry = context.catalog.rows.find('pg_attrdef', 'oid', object.objectId)[0];
      if (!entry) break;
      const [, relation, attnum] = entry.values!;
      changes.delete('pg_attrdef', entry);
      if (context.catalog.rows.one('pg_class', 'oid', relation!)) {
        const column = context.catalog.rows.find('pg_attribute', 'attrelid', relation!).find((candidate) => candidate.values![4] === attnum);
        if (column) changes.update('pg_attribute', column, { atthasdef: false, attgenerated: '' });
      }
      break;
    }
    default: removeByOid(context, object);
  }
  if (object.subId === 0) {
    deleteDependenciesOf(changes, object);
    deleteSharedDependencies(changes, object);
  } else {
    deleteDependenciesOf(changes, object, (dependency) => dependency.dependent.subId === object.subId);
  }
  for (const dependency of dependentsOf(context.catalog.rows, object)) changes.delete('pg_depend', dependency.entry);
  removeComments(context, object.classId, object.objectId, object.subId);
}

const TABLE_OF_CLASS: Readonly<Record<number, string>> = {
  [ClassOid.pg_type]: 'pg_type', [ClassOid.pg_namespace]: 'pg_namespace', [ClassOid.pg_rewrite]: 'pg_rewrite', [ClassOid.pg_proc]: 'pg_proc',
  [ClassOid.pg_extension]: 'pg_extension', [ClassOid.pg_trigger]: 'pg_trigger', [ClassOid.pg_default_acl]: 'pg_default_acl', [ClassOid.pg_policy]: 'pg_policy', [ClassOid.pg_statistic_ext]: 'pg_statistic_ext',
};

function removeByOid(context: CommandContext, object: ObjectAddress): void {
  const table = TABLE_OF_CLASS[object.classId];
  if (!table) throw notSupported(`dropping an object of catalog ${object.classId}`);
  if (table === 'pg_statistic_ext') {
    for (const entry of context.catalog.rows.find('pg_statistic_ext_data', 'stxoid', object.objectId)) context.changes.delete('pg_statistic_ext_data', entry);
  }
  for (const entry of context.catalog.rows.find(table, 'oid', object.objectId)) context.changes.delete(table, entry);
  if (table === 'pg_type') {
    for (const entry of context.catalog.rows.find('pg_enum', 'enumtypid', object.objectId)) context.changes.delete('pg_enum', entry);
    for (const entry of context.catalog.rows.find('pg_constraint', 'contypid', object.objectId)) context.changes.delete('pg_constraint', entry);
  }
}

function removeRelation(context: CommandContext, oid: Oid): void {
  const { changes } = context;
  const { rows } = context.catalog;
  const entry = rows.find('pg_class', 'oid', oid)[0];
  if (!entry) return;
  const position = bornTable('pg_class').def.position;
  const storage = entry.values![position.relfilenode!] as number;
  if (storage) context.transaction.dropStorage(storage as Relation['storage']);
  // What serializable transactions read of an index must be remembered of its table.
  const index = context.catalog.index(oid);
  const table = index && context.catalog.relation(index.tableOid);
  if (table) context.transaction.noteReplaced(index.storage, table.storage);
  for (const [table, index] of [
    ['pg_attribute', 'attrelid'], ['pg_attrdef', 'adrelid'], ['pg_statistic', 'starelid'], ['pg_rewrite', 'ev_class'], ['pg_sequence', 'seqrelid'], ['pg_index', 'indexrelid'],
  ] as const) {
    for (const row of rows.find(table, index, oid)) changes.delete(table, row);
  }
  changes.delete('pg_class', classEntry(context, oid));
}

function removeConstraint(context: CommandContext, oid: Oid): void {
  const entry = context.catalog.rows.find('pg_constraint', 'oid', oid)[0];
  if (!entry) return;
  const constraint = context.catalog.constraint(oid)!;
  context.changes.delete('pg_constraint', entry);
  if (constraint.contype === 'c' && constraint.conrelid && context.catalog.rows.one('pg_class', 'oid', constraint.conrelid)) {
    const checks = context.catalog.rows.rows('pg_constraint', 'conrelid', constraint.conrelid).filter((row) => row[3] === 'c').length;
    updateClass(context, constraint.conrelid, { relchecks: checks });
  }
}

/** A dropped column keeps its place; its name says so. */
function removeColumn(context: CommandContext, object: ObjectAddress): void {
  const { objectId: relation, subId: attnum } = object;
  const entry = attributeEntry(context, relation, attnum);
  const type = context.catalog.dataType(entry.values![2] as Oid);
  context.changes.update('pg_attribute', entry, {
    attname: `........pg.dropped.${attnum}........`, atttypid: 0, attlen: type.row.width === 0 ? -1 : type.row.width, attnotnull: false, atthasdef: false, atthasmissing: false,
    attmissingval: null, attidentity: '', attgenerated: '', attisdropped: true, attstattarget: 0, attacl: null,
  });
  for (const row of context.catalog.rows.find('pg_statistic', 'starelid', relation)) if (row.values![1] === attnum) context.changes.delete('pg_statistic', row);
}

const DROP_KINDS: Readonly<Record<string, { kinds: string; noun: string; tag: string }>> = {
  OBJECT_TABLE: { kinds: 'rp', noun: 'table', tag: 'DROP TABLE' }, OBJECT_VIEW: { kinds: 'v', noun: 'view', tag: 'DROP VIEW' },
  OBJECT_INDEX: { kinds: 'iI', noun: 'index', tag: 'DROP INDEX' }, OBJECT_SEQUENCE: { kinds: 'S', noun: 'sequence', tag: 'DROP SEQUENCE' },
  OBJECT_MATVIEW: { kinds: 'm', noun: 'materialized view', tag: 'DROP MATERIALIZED VIEW' },
};

export async function drop(statement: DropStmt, context: CommandContext): Promise<string> {
  const cascade = statement.behavior === 'DROP_CASCADE';
  const objects = (statement.objects ?? []) as Node[];
  const missingOk = statement.missing_ok ?? false;
  const relationDrop = DROP_KINDS[statement.removeType ?? ''];
  if (relationDrop) {
    const targets: ObjectAddress[] = [];
    for (const object of objects) {
      const target = await findRelationToDrop(context, nameList(object), relationDrop, missingOk);
      if (target) targets.push(target);
    }
    await performDeletion(context, targets, cascade);
    return relationDrop.tag;
  }
  const targets: ObjectAddress[] = [];
  let tag: string;
  switch (statement.removeType) {
    case 'OBJECT_SCHEMA':
      tag = 'DROP SCHEMA';
      for (const object of objects) {
        const name = nameList(object)[0]!;
        const namespace = context.catalog.namespaceNamed(name);
        if (!namespace) {
          missing(context, missingOk, '3F000', `schema "${name}" does not exist`);
          continue;
        }
        if (!ownsAs(context.catalog, currentUser(context).oid, namespace.nspowner)) throw mustBeOwner('schema', name);
        if (isPinned(address(ClassOid.pg_namespace, namespace.oid))) throw new DatabaseError('2BP01', `cannot drop schema ${name} because it is required by the database system`);
        targets.push(address(ClassOid.pg_namespace, namespace.oid));
      }
      break;
    case 'OBJECT_TYPE': case 'OBJECT_DOMAIN': {
      tag = statement.removeType === 'OBJECT_TYPE' ? 'DROP TYPE' : 'DROP DOMAIN';
      for (const object of objects) {
        const target = findTypeToDrop(context, (object as { TypeName: TypeName }).TypeName, statement.removeType === 'OBJECT_DOMAIN', missingOk);
        if (target) targets.push(target);
      }
      break;
    }
    case 'OBJECT_FUNCTION': case 'OBJECT_PROCEDURE': case 'OBJECT_ROUTINE': case 'OBJECT_AGGREGATE':
      tag = `DROP ${statement.removeType.replace('OBJECT_', '')}`;
      for (const object of objects) findFunctionToDrop(context, (object as { ObjectWithArgs: ObjectWithArgs }).ObjectWithArgs, missingOk, targets);
      break;
    case 'OBJECT_STATISTIC_EXT':
      tag = 'DROP STATISTICS';
      for (const object of objects) {
        const names = nameList(object);
        if (findStatistics(context, names)) targets.push(address(ClassOid.pg_statistic_ext, ownStatistics(context, names)[0] as Oid));
        else missing(context, missingOk, '42704', `statistics object "${names.join('.')}" does not exist`);
      }
      break;
    case 'OBJECT_EXTENSION':
      tag = 'DROP EXTENSION';
      for (const object of objects) {
        const name = nameList(object)[0]!;
        const row = context.catalog.rows.one('pg_extension', 'extname', name);
        if (row) targets.push(address(ClassOid.pg_extension, row[0] as Oid));
        else missing(context, missingOk, '42704', `extension "${name}" does not exist`);
      }
      break;
    default: throw notSupported(`DROP ${String(statement.removeType).replace('OBJECT_', '')}`);
  }
  await performDeletion(context, targets, cascade);
  return tag;
}

function missing(context: CommandContext, missingOk: boolean, sqlstate: string, message: string): void {
  if (!missingOk) throw new DatabaseError(sqlstate, message);
  context.notice('NOTICE', `${message}, skipping`, { sqlstate: '00000' });
}

async function findRelationToDrop(context: CommandContext, names: readonly string[], what: { kinds: string; noun: string }, missingOk: boolean): Promise<ObjectAddress | null> {
  const range = rangeOf(names);
  if (range.schemaname && range.schemaname !== 'pg_temp' && !context.catalog.namespaceNamed(range.schemaname)) {
    missing(context, missingOk, missingOk ? '00000' : '3F000', `schema "${range.schemaname}" does not exist`);
    return null;
  }
  const relation = await openRelationIfExists(context, range, 'AccessExclusiveLock');
  if (!relation) {
    missing(context, missingOk, what.noun === 'index' ? '42704' : '42P01', `${what.noun} "${missingOk ? range.relname : qualifiedName(range)}" does not exist`);
    return null;
  }
  if (!what.kinds.includes(relation.relkind)) {
    const isNow = KIND_NAMES[relation.relkind]!;
    const article = /^[aeiou]/.test(what.noun) ? 'an' : 'a';
    throw new DatabaseError('42809', `"${relation.relname}" is not ${article} ${what.noun}`, { hint: `Use DROP ${isNow.toUpperCase()} to remove ${/^[aeiou]/.test(isNow) ? 'an' : 'a'} ${isNow}.` });
  }
  refuseCatalog(relation);
  checkOwner(context, relation);
  return address(ClassOid.pg_class, relation.oid);
}

function findTypeToDrop(context: CommandContext, typeName: TypeName, domain: boolean, missingOk: boolean): ObjectAddress | null {
  const names = nameList(typeName.names as Node[]);
  const type = findType(nameEnvironment(context), names.length > 1 ? names.at(-2)! : null, names.at(-1)!);
  if (!type) {
    missing(context, missingOk, '42704', `type "${names.join('.')}" does not exist`);
    return null;
  }
  const owner = context.catalog.rows.one('pg_type', 'oid', type.oid)![3] as Oid;
  if (!ownsAs(context.catalog, currentUser(context).oid, owner)) throw mustBeOwner('type', names.join('.'));
  if (domain && type.typtype !== 'd') throw new DatabaseError('42809', `"${names.join('.')}" is not a domain`);
  const object = address(ClassOid.pg_type, type.oid);
  if (isPinned(object)) throw new DatabaseError('2BP01', `cannot drop type ${formatType(context.catalog, type.oid)} because it is required by the database system`);
  if (type.typrelid && context.catalog.relation(type.typrelid)?.relkind !== 'c') {
    throw new DatabaseError('2BP01', `cannot drop type ${names.join('.')} because table ${relationName(context, type.typrelid)} requires it`, { hint: `You can drop table ${relationName(context, type.typrelid)} instead.` });
  }
  return object;
}

function findFunctionToDrop(context: CommandContext, object: ObjectWithArgs, missingOk: boolean, targets: ObjectAddress[]): void {
  const names = nameList(object.objname as Node[]);
  const types = (object.objargs ?? []).map((node) => resolveTypeName(nameEnvironment(context), (node as { TypeName: TypeName }).TypeName).type.oid);
  const candidates = functionsNamed(nameEnvironment(context), names);
  const proc = object.args_unspecified ? candidates[0] : candidates.find((candidate) => candidate.proargtypes.join() === types.join());
  const signature = `${names.join('.')}(${types.map((type) => formatType(context.catalog, type)).join(', ')})`;
  if (!proc) return missing(context, missingOk, '42883', `function ${signature} does not exist`);
  const target = address(ClassOid.pg_proc, proc.oid);
  if (isPinned(target)) throw new DatabaseError('2BP01', `cannot drop function ${signature} because it is required by the database system`);
  targets.push(target);
}

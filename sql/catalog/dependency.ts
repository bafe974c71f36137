/**
 * pg_depend: what needs what. After PostgreSQL's dependency.c: `n`ormal dependents stop a RESTRICT
 * drop, `a`utomatic ones go along, `i`nternal ones are part of their owner.
 */
import type { Oid } from './catalog.js';
import type { CatalogTransaction } from './catalog-store.js';
import type { CatalogEntry, LayeredRows } from './layers.js';
import { FIRST_NORMAL_OID } from './relation-builder.js';

export interface ObjectAddress { readonly classId: Oid; readonly objectId: Oid; readonly subId: number }
export type DependencyKind = 'n' | 'a' | 'i';

export function address(classId: Oid, objectId: Oid, subId = 0): ObjectAddress {
  return { classId, objectId, subId };
}

export function addressKey(object: ObjectAddress): string {
  return `${object.classId}:${object.objectId}:${object.subId}`;
}

/** Born objects are pinned: nothing records that it needs them. */
export function isPinned(object: ObjectAddress): boolean {
  return object.objectId < FIRST_NORMAL_OID && object.objectId !== 2200;
}

export function recordDependency(changes: CatalogTransaction, dependent: ObjectAddress, referenced: ObjectAddress, kind: DependencyKind): void {
  if (isPinned(referenced)) return;
  changes.insert('pg_depend', {
    classid: dependent.classId, objid: dependent.objectId, objsubid: dependent.subId,
    refclassid: referenced.classId, refobjid: referenced.objectId, refobjsubid: referenced.subId, deptype: kind,
  });
}

export interface Dependency { readonly entry: CatalogEntry; readonly dependent: ObjectAddress; readonly referenced: ObjectAddress; readonly kind: DependencyKind }

function toDependency(entry: CatalogEntry): Dependency {
  const [classId, objectId, subId, refClassId, refObjectId, refSubId, kind] = entry.values!;
  return {
    entry,
    dependent: address(classId as Oid, objectId as Oid, subId as number),
    referenced: address(refClassId as Oid, refObjectId as Oid, refSubId as number),
    kind: kind as DependencyKind,
  };
}

/** Who needs this object; for a whole table also who needs one of its columns. */
export function dependentsOf(rows: LayeredRows, object: ObjectAddress): Dependency[] {
  return rows.find('pg_depend', 'refclassid,refobjid', object.classId, object.objectId).map(toDependency)
    .filter((dependency) => object.subId === 0 || dependency.referenced.subId === object.subId);
}

/** What this object needs. */
export function dependenciesOf(rows: LayeredRows, object: ObjectAddress): Dependency[] {
  return rows.find('pg_depend', 'classid,objid', object.classId, object.objectId).map(toDependency)
    .filter((dependency) => object.subId === 0 || dependency.dependent.subId === object.subId);
}

/** Removes what is recorded about the object's own needs; `keep` decides per dependency. */
export function deleteDependenciesOf(changes: CatalogTransaction, object: ObjectAddress, which: (dependency: Dependency) => boolean = () => true): void {
  for (const dependency of dependenciesOf(changes.catalog.rows, object)) if (which(dependency)) changes.delete('pg_depend', dependency.entry);
}

/** pg_shdepend: roles and other shared objects that an object needs (owner 'o', ACL entry 'a'). */
export function recordSharedDependency(changes: CatalogTransaction, dependent: ObjectAddress, refClassId: Oid, refObjectId: Oid, kind: 'o' | 'a'): void {
  if (refObjectId < FIRST_NORMAL_OID) return;
  const databaseOid = isSharedClass(dependent.classId) ? 0 : changes.databaseOid;
  changes.insert('pg_shdepend', {
    dbid: databaseOid, classid: dependent.classId, objid: dependent.objectId, objsubid: dependent.subId, refclassid: refClassId, refobjid: refObjectId, deptype: kind,
  });
}

function isSharedClass(classId: Oid): boolean {
  return classId === 1262 || classId === 1260 || classId === 1213;
}

/** Of the object itself, or (subId given, `exact`) of one column; without `exact` also of its columns. */
export function deleteSharedDependencies(changes: CatalogTransaction, object: ObjectAddress, kind?: 'o' | 'a', exact = false): void {
  const databaseOid = isSharedClass(object.classId) ? 0 : changes.databaseOid;
  for (const entry of changes.catalog.rows.find('pg_shdepend', 'dbid,classid,objid', databaseOid, object.classId, object.objectId)) {
    if ((kind === undefined || entry.values![6] === kind) && (!exact || entry.values![3] === object.subId)) changes.delete('pg_shdepend', entry);
  }
}

/** Replaces the roles that an object's ACL mentions. */
export function updateAclDependencies(changes: CatalogTransaction, object: ObjectAddress, roles: Iterable<Oid>): void {
  deleteSharedDependencies(changes, object, 'a', true);
  for (const role of new Set(roles)) recordSharedDependency(changes, object, 1260, role, 'a');
}

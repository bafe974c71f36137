/**
 * Everything in a session's temporary schema goes when the session does, and what a crash left
 * behind goes at the next start. Nothing permanent can depend on a temporary object, so rows are simply
 * removed.
 */
import type { StorageId } from '../../engine/ids.js';
import type { Storage } from '../../engine/storage.js';
import type { CatalogStore, CatalogTransaction } from './catalog-store.js';
import { ClassOid } from './class-oids.js';
import type { Oid } from './catalog.js';
import { address, deleteDependenciesOf, deleteSharedDependencies, dependentsOf } from './dependency.js';

/** Any database shows the shared catalogs. */
const TEMPLATE1 = 1;
const TEMPORARY = /^pg_temp_\d+$/;

/** Removes the objects of one temporary schema and the schema. */
export function dropTemporarySchema(changes: CatalogTransaction, name: string, storage: Storage): void {
  const namespace = changes.catalog.namespaceNamed(name);
  if (!namespace) return;
  const remove = (table: string, index: string, oid: Oid): void => {
    for (const entry of changes.catalog.rows.find(table, index, oid)) changes.delete(table, entry);
  };
  const forget = (classId: Oid, oid: Oid): void => {
    const object = address(classId, oid);
    deleteDependenciesOf(changes, object);
    deleteSharedDependencies(changes, object);
    for (const dependency of dependentsOf(changes.catalog.rows, object)) changes.delete('pg_depend', dependency.entry);
    for (const entry of changes.catalog.rows.find('pg_description', 'objoid,classoid', oid, classId)) changes.delete('pg_description', entry);
  };
  for (const entry of changes.catalog.rows.find('pg_class', 'relnamespace', namespace.oid)) {
    const oid = entry.values![0] as Oid;
    const relation = changes.catalog.relation(oid);
    if (relation && relation.storage !== 0 && storage.isTemporary(relation.storage)) storage.discardTemporaryStorage(relation.storage as StorageId);
    for (const constraint of changes.catalog.rows.find('pg_constraint', 'conrelid', oid)) {
      forget(ClassOid.pg_constraint, constraint.values![0] as Oid);
      changes.delete('pg_constraint', constraint);
    }
    for (const fallback of changes.catalog.rows.find('pg_attrdef', 'adrelid', oid)) forget(ClassOid.pg_attrdef, fallback.values![0] as Oid);
    for (const rule of changes.catalog.rows.find('pg_rewrite', 'ev_class', oid)) forget(ClassOid.pg_rewrite, rule.values![0] as Oid);
    remove('pg_attrdef', 'adrelid', oid);
    remove('pg_rewrite', 'ev_class', oid);
    remove('pg_attribute', 'attrelid', oid);
    remove('pg_index', 'indexrelid', oid);
    remove('pg_sequence', 'seqrelid', oid);
    remove('pg_statistic', 'starelid', oid);
    forget(ClassOid.pg_class, oid);
    changes.delete('pg_class', entry);
  }
  for (const entry of changes.catalog.rows.find('pg_type', 'typnamespace', namespace.oid)) {
    forget(ClassOid.pg_type, entry.values![0] as Oid);
    remove('pg_enum', 'enumtypid', entry.values![0] as Oid);
    changes.delete('pg_type', entry);
  }
  forget(ClassOid.pg_namespace, namespace.oid);
  remove('pg_namespace', 'oid', namespace.oid);
}

/** At start: temporary schemas of sessions that never ended. */
export async function dropLeftoverTemporarySchemas(store: CatalogStore): Promise<void> {
  for (const entry of [...store.committed(TEMPLATE1).scan('pg_database')]) {
    const databaseOid = entry.values![0] as Oid;
    const names = [...store.committed(databaseOid).scan('pg_namespace')].map((row) => row.values![1] as string).filter((name) => TEMPORARY.test(name));
    if (names.length === 0) continue;
    const changes = store.begin(databaseOid, store.storage.begin());
    for (const name of names) dropTemporarySchema(changes, name, store.storage);
    await changes.commit();
  }
}

/** When a session ends. */
export async function endTemporarySchema(store: CatalogStore, databaseOid: Oid, name: string): Promise<void> {
  if (!store.committed(databaseOid).namespaceNamed(name)) return;
  const changes = store.begin(databaseOid, store.storage.begin());
  dropTemporarySchema(changes, name, store.storage);
  await changes.commit();
}

/** Checks every relation of every database of a cluster, and names storages as people know them. */
import { DatabaseError } from '../../engine/errors.js';
import type { StorageId } from '../../engine/ids.js';
import type { Finding, Findings } from '../../engine/verify/findings.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import { catalogStorage } from '../catalog/catalog-store.js';
import type { Cluster } from '../session/cluster.js';
import { Session } from '../session/session.js';
import type { Sink } from '../session/sink.js';
import { RelationCheck } from './relation-check.js';

const BOOTSTRAP_SUPERUSER = 10;

export interface DatabaseCheckHooks {
  turn(): Promise<void> | undefined;
  /** It waited for something else. */
  resumed?(): void;
  progress?(relation: string, rows: number): void;
}

/** Storages by the names that people know them under. */
export function storageNames(cluster: Cluster): (storage: StorageId) => string | undefined {
  const names = new Map<StorageId, string>();
  for (const { oid, name } of databasesOf(cluster)) {
    const catalog = cluster.catalogs.committed(oid);
    for (const relation of catalog.relations()) {
      if (relation.isCatalog) {
        names.set(catalogStorage(oid, relation.oid), `catalog ${relation.relname} in database "${name}"`);
        names.set(catalogStorage(0, relation.oid), `catalog ${relation.relname}`);
        continue;
      }
      const full = qualified(catalog, relation);
      if (relation.storage > 0 && relation.relkind !== 'i') names.set(relation.storage, `${relation.relkind === 'S' ? 'sequence' : 'table'} ${full} in database "${name}"`);
      for (const index of relation.indexes) names.set(index.storage, `index "${index.name}" of table ${full} in database "${name}"`);
    }
  }
  return (storage) => names.get(storage);
}

/** One line for people. */
export function describeFinding(finding: Finding, nameOf: (storage: StorageId) => string | undefined): string {
  const about = finding.storage === undefined ? '' : `${nameOf(finding.storage) ?? `storage ${finding.storage}`}: `;
  const where = finding.where === undefined ? '' : ` (${finding.where})`;
  return `${finding.part === 'relation' || finding.part === 'process' ? '' : `${finding.part}: `}${about}${finding.message}${where}`;
}

/** Reads all relations with their indexes and constraints. Returns how many relations and rows. */
export async function checkRelations(cluster: Cluster, findings: Findings, hooks: DatabaseCheckHooks): Promise<{ relations: number; rows: number }> {
  const totals = { relations: 0, rows: 0 };
  for (const { oid, name } of databasesOf(cluster)) {
    const pid = cluster.backends.allocatePid();
    const session = new Session({
      cluster, pid, databaseOid: oid, databaseName: name, userOid: BOOTSTRAP_SUPERUSER, sink: silentSink(), client: { address: null, port: -1 }, settings: new Map(), terminate: () => undefined,
    });
    // It is no client's.
    cluster.backends.remove(pid);
    try {
      for (const relation of [...cluster.catalogs.committed(oid).relations()]) {
        if (!isChecked(cluster, relation)) continue;
        // It may have been dropped or rewritten meanwhile.
        const current = cluster.catalogs.committed(oid).relation(relation.oid);
        if (!current) continue;
        totals.rows += await checkOne(cluster, session, current, findings, hooks);
        totals.relations++;
        hooks.progress?.(qualified(cluster.catalogs.committed(oid), current), totals.rows);
      }
    } finally {
      await session.close();
    }
  }
  return totals;
}

async function checkOne(cluster: Cluster, session: Session, relation: Relation, findings: Findings, hooks: DatabaseCheckHooks): Promise<number> {
  const catalog = cluster.catalogs.committed(session.databaseOid);
  const transaction = cluster.storage.begin({ isolation: 'repeatable read', readOnly: true });
  cluster.catalogs.raiseFloor(transaction);
  const snapshot = transaction.takeSnapshot();
  const context = Object.create(session.context, { transaction: { value: transaction }, catalog: { value: catalog } }) as typeof session.context;
  try {
    const check = new RelationCheck(relation, { catalog, transaction, snapshot, eval: context, findings, turn: hooks.turn, resumed: () => hooks.resumed?.() });
    await check.run();
    return check.rows;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    // The server stops, memory is short: that says nothing of the relation.
    if (/^5[37]/.test(error.sqlstate)) throw error;
    // The snapshot was too old: the next pass meets it again.
    if (error.sqlstate !== '72000') findings.add({ part: 'relation', storage: relation.storage, message: `cannot be read: ${error.message}` });
    return 0;
  } finally {
    snapshot.release();
    transaction.rollback();
  }
}

function isChecked(cluster: Cluster, relation: Relation): boolean {
  return (relation.relkind === 'r' || relation.relkind === 'm') && !relation.isCatalog && relation.storage > 0 && !cluster.storage.isTemporary(relation.storage);
}

function qualified(catalog: Catalog, relation: Relation): string {
  return `"${catalog.namespace(relation.relnamespace)?.nspname ?? relation.relnamespace}.${relation.relname}"`;
}

function databasesOf(cluster: Cluster): { oid: number; name: string }[] {
  const shared = cluster.catalogs.committed(1);
  return [...shared.scan('pg_database')].map((entry) => shared.database(entry.values![0] as number)!).map(({ oid, datname }) => ({ oid, name: datname }));
}

/** The check asks no statements of its session. */
function silentSink(): Sink {
  const nothing = (): undefined => undefined;
  return new Proxy({} as Sink, { get: () => nothing });
}

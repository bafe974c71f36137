/** The superuser's password, set at start; and which roles could log in without one. */
import { CatalogTransaction } from '../sql/catalog/catalog-store.js';
import { scramVerifier } from '../sql/catalog/scram.js';
import type { Cluster } from '../sql/session/cluster.js';

const TEMPLATE1 = 1;
const BOOTSTRAP_SUPERUSER = 10;

export async function setSuperuserPassword(cluster: Cluster, password: string): Promise<void> {
  const transaction = cluster.storage.begin();
  const changes = new CatalogTransaction(cluster.catalogs, TEMPLATE1, transaction);
  const entry = [...changes.catalog.scan('pg_authid')].find((candidate) => candidate.values![0] === BOOTSTRAP_SUPERUSER)!;
  changes.update('pg_authid', entry, { rolpassword: scramVerifier(password, cluster.runtime.random.bytes(16)) });
  await changes.commit();
}

export function rolesWithoutPassword(cluster: Cluster): string[] {
  const view = cluster.catalogs.committed(TEMPLATE1);
  const names: string[] = [];
  for (const entry of view.scan('pg_authid')) {
    const role = view.role(entry.values![0] as number);
    if (role?.rolcanlogin && role.rolpassword === null) names.push(role.rolname);
  }
  return names;
}

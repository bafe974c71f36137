/** From search_path's names to the OIDs of the schemas that exist. After namespace.c. */
import { temporaryNamespaceName } from '../analyzer/names.js';
import { PG_CATALOG_NAMESPACE, type Catalog } from '../catalog/catalog.js';

/** pg_catalog comes first unless the path names it. Names without a schema are skipped. */
export function lookupSearchPath(catalog: Catalog, names: readonly string[], userName: string, pid: number): number[] {
  const out: number[] = [];
  for (const name of names) {
    const resolved = name === '$user' ? userName : name === 'pg_temp' ? temporaryNamespaceName(pid) : name;
    const namespace = catalog.namespaceNamed(resolved);
    if (namespace && !out.includes(namespace.oid)) out.push(namespace.oid);
  }
  return out.includes(PG_CATALOG_NAMESPACE) ? out : [PG_CATALOG_NAMESPACE, ...out];
}

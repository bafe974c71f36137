/** From a pg_proc row to its implementation, remembered per OID. */
import type { Catalog, PgProc } from '../catalog/catalog.js';
import type { SqlFunction } from '../functions/function.js';

type Lookup = (proc: PgProc, catalog: Catalog) => SqlFunction | undefined;

let lookup: Lookup = () => undefined;

/** Tests and the function registry say where implementations are found. */
export function useFunctions(by: Lookup): void {
  lookup = by;
}

export function implementationOf(proc: PgProc, catalog: Catalog): SqlFunction | undefined {
  return lookup(proc, catalog);
}

/** 'name(type,type)' with pg_type names: the key implementations are registered under. */
export function signatureOf(proc: PgProc, catalog: Catalog): string {
  return `${proc.proname}(${proc.proargtypes.map((oid) => catalog.type(oid)?.typname ?? String(oid)).join(',')})`;
}

/** Rows of catalog tables, which the catalog serves itself. */
import { scanCatalogRows } from '../access/catalog-scan.js';
import type { Relation } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import type { ExecState } from './exec-state.js';

type CatalogRows = (relation: Relation, attnums: readonly number[], state: ExecState) => Iterable<readonly Datum[]>;

let source: CatalogRows = scanCatalogRows;

/** Another source than the catalog, for tests. */
export function useCatalogRows(rows: CatalogRows): void {
  source = rows;
}

export function catalogRows(relation: Relation, attnums: readonly number[], state: ExecState): Iterable<readonly Datum[]> {
  return source(relation, attnums, state);
}

/** A query analyzed before a rename, with the names that its relations and columns have now. */
import type { Query, RangeTableEntry } from '../analyzer/query-tree.js';
import { relationColumns } from '../analyzer/from-clause.js';
import type { Catalog } from '../catalog/catalog.js';

export function withCurrentNames(query: Query, catalog: Catalog): Query {
  return rename(query, catalog) as Query;
}

/** Range table entries can be anywhere in the tree (sublinks, CTEs): everything is walked. */
function rename(node: unknown, catalog: Catalog): unknown {
  if (node === null || typeof node !== 'object' || node instanceof Uint8Array) return node;
  if (Array.isArray(node)) return node.map((item) => rename(item, catalog));
  const entry = node as Partial<RangeTableEntry> & { relation?: unknown; columns?: unknown };
  const copy: Record<string, unknown> = {};
  for (const key in node) copy[key] = rename((node as Record<string, unknown>)[key], catalog);
  if (entry.kind === 'relation' && typeof entry.relation === 'number') {
    const relation = catalog.relation(entry.relation);
    if (relation) {
      copy.columns = relationColumns(relation);
      if (!entry.aliased) copy.name = relation.relname;
    }
  } else if (entry.kind === 'subquery' && typeof (entry as { view?: unknown }).view === 'number' && (entry as { view: number }).view !== 0) {
    const view = catalog.relation((entry as { view: number }).view);
    if (view) {
      copy.columns = relationColumns(view);
      if (!entry.aliased) copy.name = view.relname;
    }
  }
  return copy;
}

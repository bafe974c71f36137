/**
 * What reading by column segments (sql/columnar) costs beside rows. A kernel spends nanoseconds on a row
 * where row operators spend a microsecond; PostgreSQL's parameters know only one price. Measured in the
 * unit of an index look-up (8 units, 15 us here): a row through a kernel about 0.003, through a row operator 0.3.
 */
import type { Expr, Var } from '../analyzer/query-tree.js';
import { contains } from '../analyzer/tree-walk.js';
import type { Relation } from '../catalog/catalog.js';
import { columnClass } from '../columnar/column-class.js';
import type { Planner } from './planner-state.js';

/** Rows from which on a relation is worth columns. */
export const MIN_COLUMN_ROWS = 8192;
/** Part of a row's CPU cost that a kernel takes. */
export const KERNEL_SHARE = 0.15;
/** What a row operator adds for each row, where kernels are the alternative. */
const ROW_OPERATOR = 0.15;
const LOOKUP = 3;
/** What a scan of segments costs before its first row: finding them, what changed since, the kernels (0.6 ms). */
export const COLUMN_SCAN = 300;
/** A row of a range fetched by key, beside it: between these, however many pages PostgreSQL would read. */
const FETCH = { least: 1, most: 1.2 } as const;

/** A look-up by a model in memory, one of many (0.4 us), and the row that it leads to, from columns or the heap (1 to 2 us, bench/learned). */
export const LEARNED_LOOKUP = 0.25;
export const LEARNED_FETCH = 1.2;

/** Cost of fetching `tuples` rows by an index, of which PostgreSQL's formula says `pages`. */
export function fetchCost(pages: number, tuples: number, planner: Planner): number {
  if (!planner.columnar) return pages;
  return Math.max(tuples * FETCH.least, Math.min(pages, planner.cost.randomPage + (tuples - 1) * FETCH.most));
}

/** A row by its whole unique key for another relation's row, beside kernels (operators/key-scan.ts: 4 us), however many pages PostgreSQL would read. */
export const KEY_LOOKUP = 2.5;

/** Whether a scan of the relation for these columns will read segments. */
export function readsColumns(relation: Relation, output: readonly Var[], rows: number, planner: Planner): boolean {
  if (rows < MIN_COLUMN_ROWS || planner.writes || planner.locksRows || planner.context.settings.get('oxbow.columns') === 'off') return false;
  if (relation.isCatalog || (relation.relkind !== 'r' && relation.relkind !== 'm') || relation.relpersistence === 't') return false;
  return output.every(({ attno }) => {
    const attribute = attno > 0 ? relation.attributes[attno - 1] : undefined;
    return attribute !== undefined && columnClass(attribute.atttypid, attribute.atttypmod) !== null;
  });
}

/** Whether the expressions ask subqueries anew for each row: no kernel can (columnar/stage.ts). */
export function asksPerRow(exprs: readonly Expr[], planner: Planner): boolean {
  if (planner.subPlans.size === 0) return false;
  return exprs.some((expr) => contains(expr, (node) => node.kind === 'SubLink' && (planner.subPlans.get(node.id)?.params.length ?? 0) > 0));
}

/** What is left of the CPU cost of hashing and probing. */
export function hashingShare(planner: Planner): number {
  return planner.columnar ? KERNEL_SHARE : 1;
}

/** Extra cost of one look-up in an index, beside kernels: however few of its rows are asked for. */
export function lookupCost(planner: Planner): number {
  return planner.columnar ? LOOKUP : 0;
}

/** Extra cost of taking `rows` rows through an operator that has no kernel. */
export function rowOperatorCost(rows: number, planner: Planner): number {
  return planner.columnar ? rows * ROW_OPERATOR : 0;
}

/** One entry of the planner's global range table: what EXPLAIN and the executor need of it. */
import type { ColumnInfo } from '../analyzer/query-tree.js';

export interface PlannedRte {
  readonly kind: string;
  /** Alias or own name. */
  readonly name: string;
  readonly aliased: boolean;
  readonly columns: readonly ColumnInfo[];
  /** OID of a relation entry, else 0. */
  readonly relation: number;
}

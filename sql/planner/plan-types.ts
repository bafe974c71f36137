/** The query tree's types that plans use, and references between plans. */
export type {
  Aggref, Expr, GroupingSet, RelationPermission, RowMark, SubLink, TableSample, TargetEntry, Var, WindowFrame, WindowFunc,
} from '../analyzer/query-tree.js';

/** A WITH query of the plan, by its number in PhysicalPlan.ctes. */
export interface CteReference { readonly id: number; readonly name: string }

/**
 * Physical plans: immutable trees, discriminated by `kind`. Expressions keep the planner's global
 * Vars (one range table for all query levels); each node's `output` says what its rows hold, and the
 * executor resolves an expression against its input's output when it compiles it.
 */
import type { Expr, RelationPermission, RowMark, SubLink, TableSample, Var, WindowFrame, Aggref, WindowFunc, GroupingSet, TargetEntry, CteReference } from './plan-types.js';
import type { ResultColumn } from '../executor/row-source.js';
import type { RangeTableEntry } from '../analyzer/query-tree.js';

export interface Cost { readonly startup: number; readonly total: number; readonly rows: number; readonly width: number }

export interface SortKey {
  readonly expr: Expr;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** The < or > operator, for EXPLAIN's USING. */
  readonly sortOperator: number;
}

/** Value handed from outside into a subtree (nested loop, correlated sub-plan): exec parameter `id` := `expr`. */
export interface ParamBinding { readonly id: number; readonly expr: Expr }

interface NodeBase {
  readonly cost: Cost;
  readonly output: readonly Expr[];
}

/** Rows computed without input (one row), or none if the one-time filter fails. */
export interface ResultNode extends NodeBase { readonly kind: 'Result'; readonly oneTimeFilter: readonly Expr[]; readonly child: PlanNode | null; /** No row at all (WHERE false). */ readonly empty: boolean }
/** Computes `output` over its child; EXPLAIN shows it as part of the child. */
export interface ProjectNode extends NodeBase { readonly kind: 'Project'; readonly child: PlanNode }
/** Rows that satisfy the quals where the child cannot test them itself. EXPLAIN shows it as the child's Filter. */
export interface FilterNode extends NodeBase { readonly kind: 'Filter'; readonly child: PlanNode; readonly quals: readonly Expr[] }
export interface SeqScanNode extends NodeBase { readonly kind: 'SeqScan'; readonly varno: number; readonly relation: number; readonly filter: readonly Expr[]; readonly sample: TableSample | null }

/** One bound on an index column; `values` has several for = ANY. */
export interface IndexCondition {
  readonly column: number;
  readonly strategy: '<' | '<=' | '=' | '>=' | '>' | 'any' | 'null' | 'not null';
  /** Value (or array for 'any') to compare with; null for the null tests. Free of this relation's Vars. */
  readonly value: Expr | null;
  /** The condition as it was written, for EXPLAIN and rechecks. */
  readonly original: Expr;
}
export interface IndexScanNode extends NodeBase {
  readonly kind: 'IndexScan';
  readonly varno: number;
  readonly relation: number;
  readonly index: number;
  readonly indexOnly: boolean;
  readonly conditions: readonly IndexCondition[];
  readonly backward: boolean;
  readonly filter: readonly Expr[];
}
/** Row ids from several index scans, each once, in row id order. */
export interface BitmapScanNode extends NodeBase {
  readonly kind: 'BitmapScan';
  readonly varno: number;
  readonly relation: number;
  readonly parts: readonly { readonly index: number; readonly conditions: readonly IndexCondition[]; readonly cost: Cost }[];
  /** The OR itself, rechecked. */
  readonly recheck: readonly Expr[];
  readonly filter: readonly Expr[];
}
export interface TidScanNode extends NodeBase { readonly kind: 'TidScan'; readonly varno: number; readonly relation: number; readonly tids: readonly Expr[]; readonly isArray: boolean; readonly condition: Expr; readonly filter: readonly Expr[] }
/** A subquery's rows under the names of its range table entry. */
export interface SubqueryScanNode extends NodeBase { readonly kind: 'SubqueryScan'; readonly varno: number; readonly child: PlanNode; readonly filter: readonly Expr[]; /** Child column of each output column. */ readonly columns: readonly number[] }
export interface FunctionScanNode extends NodeBase { readonly kind: 'FunctionScan'; readonly varno: number; readonly functions: readonly Expr[]; readonly columnCounts: readonly number[]; readonly ordinality: boolean; readonly filter: readonly Expr[] }
export interface ValuesScanNode extends NodeBase { readonly kind: 'ValuesScan'; readonly varno: number; readonly rows: readonly (readonly Expr[])[]; readonly filter: readonly Expr[] }
export interface CteScanNode extends NodeBase { readonly kind: 'CteScan'; readonly varno: number; readonly cte: CteReference; readonly filter: readonly Expr[] }
export interface WorkTableScanNode extends NodeBase { readonly kind: 'WorkTableScan'; readonly varno: number; readonly recursion: number; readonly filter: readonly Expr[] }

export type PlanJoinType = 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti';
interface JoinBase extends NodeBase {
  readonly joinType: PlanJoinType;
  readonly outer: PlanNode;
  readonly inner: PlanNode;
  /** Decide what matches (beyond the keys). */
  readonly joinQuals: readonly Expr[];
  /** Tested on the joined row, null-extended ones included. */
  readonly filter: readonly Expr[];
  /** Each outer row has at most one match. */
  readonly innerUnique: boolean;
}
export interface NestLoopNode extends JoinBase { readonly kind: 'NestLoop'; readonly params: readonly ParamBinding[] }
export interface JoinKey { readonly outer: Expr; readonly inner: Expr; readonly operator: number; readonly original: Expr }
export interface HashJoinNode extends JoinBase { readonly kind: 'HashJoin'; readonly keys: readonly JoinKey[] }
export interface MergeJoinNode extends JoinBase { readonly kind: 'MergeJoin'; readonly keys: readonly JoinKey[]; readonly descending: readonly boolean[]; readonly nullsFirst: readonly boolean[] }

export interface MaterializeNode extends NodeBase { readonly kind: 'Materialize'; readonly child: PlanNode }
export interface SortNode extends NodeBase { readonly kind: 'Sort'; readonly child: PlanNode; readonly keys: readonly SortKey[]; /** Only so many rows are needed (LIMIT above), when that is a constant. */ readonly bound: number | null }
export interface LimitNode extends NodeBase { readonly kind: 'Limit'; readonly child: PlanNode; readonly offset: Expr | null; readonly count: Expr | null; readonly tieKeys: readonly SortKey[] | null }

export interface AggNode extends NodeBase {
  readonly kind: 'Agg';
  readonly strategy: 'plain' | 'sorted' | 'hashed';
  readonly child: PlanNode;
  readonly groups: readonly Expr[];
  /** Each set lists positions in `groups`; null for a simple GROUP BY. */
  readonly groupingSets: readonly GroupingSet[] | null;
  /** GROUPING() arguments are positions in `groups` by their refs. */
  readonly groupRefs: readonly number[];
  readonly aggs: readonly Aggref[];
  readonly filter: readonly Expr[];
}
export interface UniqueNode extends NodeBase { readonly kind: 'Unique'; readonly child: PlanNode; readonly keys: readonly Expr[] }
export interface SetOpNode extends NodeBase { readonly kind: 'SetOp'; readonly op: 'intersect' | 'except'; readonly all: boolean; readonly left: PlanNode; readonly right: PlanNode; readonly types: readonly number[] }
export interface AppendNode extends NodeBase { readonly kind: 'Append'; readonly children: readonly PlanNode[] }
export interface RecursiveUnionNode extends NodeBase { readonly kind: 'RecursiveUnion'; readonly recursion: number; readonly initial: PlanNode; readonly recursive: PlanNode; readonly distinct: boolean; readonly types: readonly number[] }
export interface WindowAggNode extends NodeBase {
  readonly kind: 'WindowAgg';
  readonly child: PlanNode;
  readonly functions: readonly WindowFunc[];
  readonly partition: readonly Expr[];
  readonly order: readonly SortKey[];
  readonly frame: WindowFrame;
}
export interface ProjectSetNode extends NodeBase { readonly kind: 'ProjectSet'; readonly child: PlanNode }
export interface LockRowsNode extends NodeBase { readonly kind: 'LockRows'; readonly child: PlanNode; readonly marks: readonly PlannedRowMark[] }
export interface PlannedRowMark { readonly mark: RowMark; readonly varno: number; readonly relation: number }

export interface ModifyTableNode extends NodeBase {
  readonly kind: 'ModifyTable';
  readonly operation: 'insert' | 'update' | 'delete' | 'merge';
  readonly varno: number;
  readonly relation: number;
  readonly child: PlanNode;
  /** insert: one expression per column (attno - 1), null where a generated column computes it. */
  readonly insertValues: readonly (Expr | null)[];
  /** update: assigned columns with their values. */
  readonly set: readonly { readonly attno: number; readonly expr: Expr }[];
  readonly returning: readonly TargetEntry[];
  readonly onConflict: PlannedOnConflict | null;
  readonly mergeActions: readonly PlannedMergeAction[];
  /** WITH CHECK OPTION and the like come here later. */
  readonly canSetTag: boolean;
}
export interface PlannedOnConflict {
  readonly action: 'nothing' | 'update';
  readonly arbiters: readonly number[];
  readonly set: readonly { readonly attno: number; readonly expr: Expr }[];
  readonly where: Expr | null;
  readonly excludedVarno: number;
}
export interface PlannedMergeAction {
  readonly matched: boolean;
  readonly condition: Expr | null;
  readonly command: 'insert' | 'update' | 'delete' | 'nothing';
  readonly values: readonly (Expr | null)[];
  readonly set: readonly { readonly attno: number; readonly expr: Expr }[];
}

export type PlanNode =
  | ResultNode | ProjectNode | FilterNode | SeqScanNode | IndexScanNode | BitmapScanNode | TidScanNode | SubqueryScanNode
  | FunctionScanNode | ValuesScanNode | CteScanNode | WorkTableScanNode | NestLoopNode | HashJoinNode | MergeJoinNode
  | MaterializeNode | SortNode | LimitNode | AggNode | UniqueNode | SetOpNode | AppendNode | RecursiveUnionNode
  | WindowAggNode | ProjectSetNode | LockRowsNode | ModifyTableNode;

/** How a SubLink runs: `link.id` finds it. */
export interface SubPlan {
  readonly id: number;
  /** EXPLAIN's name: 'InitPlan 1 (returns $0)', 'SubPlan 2', ... */
  readonly number: number;
  readonly kind: SubLink['subLinkType'];
  readonly plan: PlanNode;
  /** Correlated: set before each run. Empty: the result is computed once. */
  readonly params: readonly ParamBinding[];
  /** any: the test is `left = column` pairs over hashable types, kept in a table. */
  readonly hashed: { readonly left: readonly Expr[]; readonly operators: readonly number[] } | null;
  readonly testExpr: Expr | null;
}

export interface PlannedCte {
  readonly id: number;
  readonly name: string;
  readonly plan: PlanNode;
  readonly modifying: boolean;
}

export interface PhysicalPlan {
  readonly commandType: 'select' | 'insert' | 'update' | 'delete' | 'merge';
  readonly root: PlanNode;
  /** Columns of the result; empty for a modification without RETURNING. */
  readonly columns: readonly ResultColumn[];
  readonly subPlans: ReadonlyMap<number, SubPlan>;
  readonly ctes: readonly PlannedCte[];
  /** Of all query levels; Vars' varno index it. */
  readonly rangeTable: readonly RangeTableEntry[];
  /** To check before each run. */
  readonly permissions: readonly RelationPermission[];
  /** What it reads or writes, with the lock to take first. */
  readonly relations: readonly PlanRelation[];
  readonly catalogVersion: number;
  /** Writes rows or locks them: not allowed in a read-only transaction. */
  readonly modifies: boolean;
  /** Writes rows (itself or in a WITH query): runs to its end before the first row goes out. */
  readonly writes: boolean;
  /** Only the first batch is wanted soon (cursors, LIMIT). */
  readonly settings: ReadonlyMap<string, string>;
}
export interface PlanRelation { readonly oid: number; readonly lock: 'AccessShareLock' | 'RowShareLock' | 'RowExclusiveLock' }

export type { Expr, Var };

/**
 * The analyzer's output: PostgreSQL's Query tree (parsenodes.h, primnodes.h) with its names and
 * its meanings. Every expression knows its type; every function, operator and coercion is resolved
 * to an OID. Trees are immutable; the planner rewrites by copying.
 *
 * Conventions: range table indexes (`varno`) are 1-based; attribute numbers 1-based, 0 is the whole
 * row, negative ones system columns; `location` is a 0-based character offset in the source text,
 * -1 unknown.
 */
import type { Datum } from '../types/datum.js';
import type { RowLockStrength, WaitPolicy } from '../../engine/storage.js';

export type Oid = number;

export interface ExprBase {
  readonly type: Oid;
  readonly typmod: number;
  readonly collation: Oid;
  readonly location: number;
}

export interface Const extends ExprBase { readonly kind: 'Const'; readonly value: Datum }

/** $n of the statement ('external'), or a value that the planner passes between plan nodes ('exec', made by the planner only). */
export interface Param extends ExprBase { readonly kind: 'Param'; readonly paramKind: 'external' | 'exec'; readonly id: number }

/** A column of range table entry `varno`, `levelsUp` query levels out. */
export interface Var extends ExprBase { readonly kind: 'Var'; readonly varno: number; readonly attno: number; readonly levelsUp: number }

export type CoercionForm = 'call' | 'explicit cast' | 'implicit cast' | 'sql syntax';

export interface FuncExpr extends ExprBase {
  readonly kind: 'FuncExpr';
  readonly func: Oid;
  readonly args: readonly Expr[];
  readonly returnsSet: boolean;
  /** Called as VARIADIC array; otherwise variadic arguments were gathered into an ArrayExpr (except VARIADIC "any"). */
  readonly variadic: boolean;
  readonly form: CoercionForm;
  /** In FROM, of a function returning record: the columns its caller named. */
  readonly columnDefinitions?: readonly { readonly name: string; readonly typeOid: Oid; readonly typmod: number }[];
  readonly inputCollation: Oid;
}

export interface OpExpr extends ExprBase {
  readonly kind: 'OpExpr';
  readonly operator: Oid;
  readonly func: Oid;
  /** One (prefix) or two. */
  readonly args: readonly Expr[];
  readonly inputCollation: Oid;
}

/** IS DISTINCT FROM; `operator` is the = operator. */
export interface DistinctExpr extends ExprBase { readonly kind: 'DistinctExpr'; readonly operator: Oid; readonly func: Oid; readonly args: readonly [Expr, Expr]; readonly inputCollation: Oid }
export interface NullIfExpr extends ExprBase { readonly kind: 'NullIfExpr'; readonly operator: Oid; readonly func: Oid; readonly args: readonly [Expr, Expr]; readonly inputCollation: Oid }

/** left op ANY/ALL (array) */
export interface ScalarArrayOpExpr extends ExprBase { readonly kind: 'ScalarArrayOpExpr'; readonly operator: Oid; readonly func: Oid; readonly useOr: boolean; readonly args: readonly [Expr, Expr]; readonly inputCollation: Oid }

export interface BoolExpr extends ExprBase { readonly kind: 'BoolExpr'; readonly op: 'and' | 'or' | 'not'; readonly args: readonly Expr[] }
export interface NullTest extends ExprBase { readonly kind: 'NullTest'; readonly arg: Expr; readonly negated: boolean; /** The argument is a composite: test its fields. */ readonly argIsRow: boolean }
export interface BooleanTest extends ExprBase { readonly kind: 'BooleanTest'; readonly arg: Expr; readonly test: 'true' | 'not true' | 'false' | 'not false' | 'unknown' | 'not unknown' }

export interface CaseExpr extends ExprBase {
  readonly kind: 'CaseExpr';
  /** Simple CASE: each `when` condition contains CaseTestExpr in its place. */
  readonly arg: Expr | null;
  readonly whens: readonly { readonly condition: Expr; readonly result: Expr }[];
  readonly otherwise: Expr | null;
}
/** Stands for the CASE argument inside its WHEN conditions (also the element in ArrayCoerceExpr). */
export interface CaseTestExpr extends ExprBase { readonly kind: 'CaseTestExpr' }
/** Stands for the value being checked in a domain constraint (VALUE). */
export interface CoerceToDomainValue extends ExprBase { readonly kind: 'CoerceToDomainValue' }

export interface CoalesceExpr extends ExprBase { readonly kind: 'CoalesceExpr'; readonly args: readonly Expr[] }
export interface MinMaxExpr extends ExprBase { readonly kind: 'MinMaxExpr'; readonly op: 'greatest' | 'least'; readonly args: readonly Expr[]; readonly inputCollation: Oid }

/** No-op change of type label (binary coercible). */
export interface RelabelType extends ExprBase { readonly kind: 'RelabelType'; readonly arg: Expr; readonly form: CoercionForm }
/** Cast by the output function of one type and the input function of another. */
export interface CoerceViaIO extends ExprBase { readonly kind: 'CoerceViaIO'; readonly arg: Expr; readonly form: CoercionForm }
/** Casts each element: `elementExpr` over CaseTestExpr. */
export interface ArrayCoerceExpr extends ExprBase { readonly kind: 'ArrayCoerceExpr'; readonly arg: Expr; readonly elementExpr: Expr; readonly form: CoercionForm }
export interface CoerceToDomain extends ExprBase { readonly kind: 'CoerceToDomain'; readonly arg: Expr; readonly form: CoercionForm }
export interface CollateExpr extends ExprBase { readonly kind: 'CollateExpr'; readonly arg: Expr; readonly collationOid: Oid }
/** A row of one named type as a row of another (whole-row of a child, record to composite). */
export interface ConvertRowtypeExpr extends ExprBase { readonly kind: 'ConvertRowtypeExpr'; readonly arg: Expr }

export interface ArrayExpr extends ExprBase { readonly kind: 'ArrayExpr'; readonly elementType: Oid; readonly elements: readonly Expr[]; /** Elements are arrays themselves. */ readonly multidims: boolean }
export interface RowExpr extends ExprBase { readonly kind: 'RowExpr'; readonly args: readonly Expr[]; readonly fieldNames: readonly string[]; readonly form: 'call' | 'implicit cast' }
/** (a,b) < (c,d): lexicographic. For = and <> the analyzer makes BoolExprs. `operators` per column. */
export interface RowCompareExpr extends ExprBase { readonly kind: 'RowCompareExpr'; readonly op: '<' | '<=' | '>' | '>='; readonly operators: readonly Oid[]; readonly left: readonly Expr[]; readonly right: readonly Expr[] }
export interface FieldSelect extends ExprBase { readonly kind: 'FieldSelect'; readonly arg: Expr; readonly fieldNumber: number }
/** Composite assignment: UPDATE t SET c.f = ... */
export interface FieldStore extends ExprBase { readonly kind: 'FieldStore'; readonly arg: Expr; readonly fieldNumbers: readonly number[]; readonly newValues: readonly Expr[] }

/** a[i], a[l:u], jsonb['k']; with `assignment` it yields the changed container. */
export interface SubscriptingRef extends ExprBase {
  readonly kind: 'SubscriptingRef';
  readonly containerType: Oid;
  readonly elementType: Oid;
  readonly container: Expr;
  readonly upper: readonly (Expr | null)[];
  /** Present for slices, same length as `upper`. */
  readonly lower: readonly (Expr | null)[] | null;
  readonly assignment: Expr | null;
}

export interface SQLValueFunction extends ExprBase {
  readonly kind: 'SQLValueFunction';
  readonly op: 'current_date' | 'current_time' | 'current_timestamp' | 'localtime' | 'localtimestamp'
    | 'current_role' | 'current_user' | 'user' | 'session_user' | 'current_catalog' | 'current_schema';
}

export interface SubLink extends ExprBase {
  readonly kind: 'SubLink';
  /** expr: scalar; multiexpr: (a,b) = (SELECT ..) in UPDATE; array: ARRAY(SELECT ..) */
  readonly subLinkType: 'exists' | 'any' | 'all' | 'rowcompare' | 'expr' | 'multiexpr' | 'array';
  /** any/all/rowcompare: the test, with exec-like SubLinkParam nodes standing for the subquery's columns. */
  readonly testExpr: Expr | null;
  readonly operatorName: string | null;
  readonly subquery: Query;
  /** multiexpr: number shared by the SubLinkParams of one row assignment. */
  readonly id: number;
}
/** Column `column` (1-based) of the subquery, inside a SubLink's testExpr; or of multiexpr sublink `id`. */
export interface SubLinkParam extends ExprBase { readonly kind: 'SubLinkParam'; readonly id: number; readonly column: number }

export interface Aggref extends ExprBase {
  readonly kind: 'Aggref';
  readonly func: Oid;
  /** n normal, o ordered-set, h hypothetical */
  readonly aggKind: 'n' | 'o' | 'h';
  readonly star: boolean;
  readonly directArgs: readonly Expr[];
  /** Aggregated arguments and extra ORDER BY expressions (junk). */
  readonly args: readonly TargetEntry[];
  readonly orderBy: readonly SortGroupClause[];
  readonly distinct: readonly SortGroupClause[];
  readonly filter: Expr | null;
  readonly variadic: boolean;
  readonly levelsUp: number;
  readonly inputCollation: Oid;
  readonly argTypes: readonly Oid[];
}
export interface WindowFunc extends ExprBase {
  readonly kind: 'WindowFunc';
  readonly func: Oid;
  readonly args: readonly Expr[];
  readonly filter: Expr | null;
  /** Index into Query.windowClause (1-based, winref). */
  readonly winref: number;
  readonly star: boolean;
  /** A plain aggregate used as a window function. */
  readonly isAggregate: boolean;
  readonly inputCollation: Oid;
}
/** GROUPING(a, b): indexes into groupClause refs. */
export interface GroupingFunc extends ExprBase { readonly kind: 'GroupingFunc'; readonly args: readonly Expr[]; readonly refs: readonly number[]; readonly levelsUp: number }

/** DEFAULT in VALUES or SET, replaced by the rewriter with the column's default. */
export interface SetToDefault extends ExprBase { readonly kind: 'SetToDefault' }
/** CURRENT OF cursor */
export interface CurrentOfExpr extends ExprBase { readonly kind: 'CurrentOfExpr'; readonly varno: number; readonly cursorName: string }
/** nextval of an identity column (privilege-free), or of its own sequence. */
export interface NextValueExpr extends ExprBase { readonly kind: 'NextValueExpr'; readonly sequence: Oid }

export type Expr =
  | Const | Param | Var | FuncExpr | OpExpr | DistinctExpr | NullIfExpr | ScalarArrayOpExpr | BoolExpr | NullTest | BooleanTest
  | CaseExpr | CaseTestExpr | CoerceToDomainValue | CoalesceExpr | MinMaxExpr | RelabelType | CoerceViaIO | ArrayCoerceExpr
  | CoerceToDomain | CollateExpr | ConvertRowtypeExpr | ArrayExpr | RowExpr | RowCompareExpr | FieldSelect | FieldStore
  | SubscriptingRef | SQLValueFunction | SubLink | SubLinkParam | Aggref | WindowFunc | GroupingFunc | SetToDefault
  | CurrentOfExpr | NextValueExpr;

export interface TargetEntry {
  readonly expr: Expr;
  /** 1-based position; for INSERT/UPDATE the target column's attribute number. */
  readonly resno: number;
  readonly name: string | null;
  /** Not 0: referenced by a SortGroupClause's `ref`. */
  readonly sortGroupRef: number;
  /** Origin of a plain column, for RowDescription. */
  readonly originTable: Oid;
  readonly originColumn: number;
  /** Not part of the result (ORDER BY expressions and the like). */
  readonly junk: boolean;
}

export interface SortGroupClause {
  /** Equals a TargetEntry's sortGroupRef. */
  readonly ref: number;
  readonly equalityOperator: Oid;
  /** < or > operator; 0 when not sortable (grouping by hash only). */
  readonly sortOperator: Oid;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  readonly hashable: boolean;
}

/** Grouping sets already expanded: ROLLUP, CUBE and nested sets become lists of refs. */
export type GroupingSet = readonly number[];

export interface WindowClause {
  readonly winref: number;
  readonly name: string | null;
  readonly partitionBy: readonly SortGroupClause[];
  readonly orderBy: readonly SortGroupClause[];
  readonly frame: WindowFrame;
}
export interface WindowFrame {
  readonly mode: 'range' | 'rows' | 'groups';
  readonly start: 'unbounded preceding' | 'current row' | 'offset preceding' | 'offset following' | 'unbounded following';
  readonly end: 'unbounded preceding' | 'current row' | 'offset preceding' | 'offset following' | 'unbounded following';
  readonly startOffset: Expr | null;
  readonly endOffset: Expr | null;
  /** RANGE with offset: the type of the offset that the in_range support function for the sort column takes, 0 otherwise. */
  readonly startInRange: Oid;
  readonly endInRange: Oid;
  readonly exclude: 'no others' | 'current row' | 'group' | 'ties';
  /** False when the clause was not written (default frame). */
  readonly explicit: boolean;
}

export interface ColumnInfo { readonly name: string; readonly type: Oid; readonly typmod: number; readonly collation: Oid }

export interface RteBase {
  /** Alias or own name. */
  readonly name: string;
  readonly aliased: boolean;
  /** Columns by attno - 1 as seen by Vars; dropped table columns have name ''. */
  readonly columns: readonly ColumnInfo[];
  readonly lateral: boolean;
}
export type RangeTableEntry = RteBase & (
  | { readonly kind: 'relation'; readonly relation: Oid; readonly relkind: string; readonly only: boolean; readonly sample: TableSample | null }
  /** Also views, expanded by the analyzer; `view` is then its OID. */
  | { readonly kind: 'subquery'; readonly query: Query; readonly view: Oid }
  | { readonly kind: 'join'; readonly joinType: JoinType; readonly aliasVars: readonly Expr[]; readonly mergedColumns: number }
  /** ROWS FROM / function in FROM; `columnCounts[i]` columns come from functions[i]; then maybe ordinality. */
  | { readonly kind: 'function'; readonly functions: readonly Expr[]; readonly columnCounts: readonly number[]; readonly ordinality: boolean }
  | { readonly kind: 'values'; readonly rows: readonly (readonly Expr[])[] }
  /** Reference to a WITH query `levelsUp` levels out; `selfReference` inside its recursive term. */
  | { readonly kind: 'cte'; readonly cteName: string; readonly levelsUp: number; readonly selfReference: boolean }
  /** FROM-less SELECT needs none; this is INSERT/ON CONFLICT's excluded row or a view's own placeholder. */
  | { readonly kind: 'result' }
);
export interface TableSample { readonly method: string; readonly args: readonly Expr[]; readonly repeatable: Expr | null }

export type JoinType = 'inner' | 'left' | 'right' | 'full';
export type JoinTreeNode =
  | { readonly kind: 'rangeTableRef'; readonly rtindex: number }
  | { readonly kind: 'joinExpr'; readonly joinType: JoinType; readonly left: JoinTreeNode; readonly right: JoinTreeNode; readonly quals: Expr | null; readonly rtindex: number }
  | FromExpr;
export interface FromExpr { readonly kind: 'fromExpr'; readonly from: readonly JoinTreeNode[]; readonly quals: Expr | null }

export interface CommonTableExpr {
  readonly name: string;
  readonly query: Query;
  readonly recursive: boolean;
  readonly materialized: 'default' | 'always' | 'never';
  readonly columns: readonly ColumnInfo[];
  /** References to it outside its own definition. */
  readonly refCount: number;
  readonly search: SearchClause | null;
  readonly cycle: CycleClause | null;
}
export interface SearchClause { readonly columns: readonly string[]; readonly breadthFirst: boolean; readonly sequenceColumn: string }
export interface CycleClause { readonly columns: readonly string[]; readonly markColumn: string; readonly markValue: Expr; readonly markDefault: Expr; readonly pathColumn: string; readonly markType: Oid }

export type SetOperationNode =
  | { readonly kind: 'setOperation'; readonly op: 'union' | 'intersect' | 'except'; readonly all: boolean; readonly left: SetOperationNode; readonly right: SetOperationNode; readonly columns: readonly ColumnInfo[]; readonly groupClauses: readonly SortGroupClause[] }
  /** A leaf is a subquery RTE. */
  | { readonly kind: 'rangeTableRef'; readonly rtindex: number };

export interface RowMark { readonly rtindex: number; readonly strength: RowLockStrength; readonly policy: WaitPolicy; /** Came from locking a subquery. */ readonly pushedDown: boolean }

export interface OnConflict {
  readonly action: 'nothing' | 'update';
  /** Arbiter indexes (OIDs); empty: any unique index. */
  readonly arbiterIndexes: readonly Oid[];
  readonly set: readonly TargetEntry[];
  readonly where: Expr | null;
  /** RTE of the pseudo relation `excluded`. */
  readonly excludedRtindex: number;
}

export interface MergeAction { readonly matched: boolean; readonly condition: Expr | null; readonly command: 'insert' | 'update' | 'delete' | 'nothing'; readonly targetList: readonly TargetEntry[]; readonly override: 'none' | 'user' | 'system' }

export interface Query {
  readonly commandType: 'select' | 'insert' | 'update' | 'delete' | 'merge';
  readonly rangeTable: readonly RangeTableEntry[];
  readonly jointree: FromExpr;
  /** INSERT/UPDATE: resno = attribute number; INSERT has every non-dropped column, defaults filled in. */
  readonly targetList: readonly TargetEntry[];
  /** rtindex of the target of INSERT/UPDATE/DELETE/MERGE, else 0. */
  readonly resultRelation: number;
  readonly hasAggs: boolean;
  readonly hasWindowFuncs: boolean;
  readonly hasTargetSRFs: boolean;
  readonly hasSubLinks: boolean;
  readonly groupClause: readonly SortGroupClause[];
  readonly groupDistinct: boolean;
  /** null without GROUPING SETS; else each set's refs. */
  readonly groupingSets: readonly GroupingSet[] | null;
  readonly having: Expr | null;
  readonly windowClause: readonly WindowClause[];
  readonly distinctClause: readonly SortGroupClause[];
  readonly hasDistinctOn: boolean;
  readonly sortClause: readonly SortGroupClause[];
  readonly limitOffset: Expr | null;
  readonly limitCount: Expr | null;
  readonly withTies: boolean;
  readonly rowMarks: readonly RowMark[];
  readonly setOperations: SetOperationNode | null;
  readonly ctes: readonly CommonTableExpr[];
  readonly hasRecursive: boolean;
  readonly returning: readonly TargetEntry[];
  readonly onConflict: OnConflict | null;
  readonly mergeActions: readonly MergeAction[];
  /** Relations to check before running: OID, what is needed, and columns read or written (attnums). */
  readonly permissions: readonly RelationPermission[];
  readonly override: 'none' | 'user' | 'system';
}

export interface RelationPermission {
  readonly relation: Oid;
  readonly privileges: readonly ('select' | 'insert' | 'update' | 'delete')[];
  readonly selected: readonly number[];
  readonly inserted: readonly number[];
  readonly updated: readonly number[];
  /** Role to check as: a view's owner, 0 for the current user. */
  readonly checkAsUser: Oid;
}

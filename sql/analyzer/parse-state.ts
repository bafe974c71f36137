/**
 * What the analyzer knows while it walks one query level: range table, visible names, WITH
 * queries, and the environment shared by all levels of a statement. After parse_node.h.
 */
import { DatabaseError, type ErrorFields } from '../../engine/errors.js';
import type { Catalog, Oid } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { SourceText } from '../parser/parse.js';
import type { ColumnInfo, CommonTableExpr, Expr, RangeTableEntry, Query, WindowClause, RelationPermission } from './query-tree.js';
import type { ParameterTypes } from './parameters.js';

/** Shared by all query levels of one statement. */
export interface AnalyzerEnvironment {
  readonly catalog: Catalog;
  /** For input functions of literals and the search path. */
  readonly context: EvalContext;
  readonly source: SourceText;
  readonly parameters: ParameterTypes;
  /** Named tuple stores visible as relations and the like would hang here. */
  readonly permissions: Map<string, MutablePermission>;
  /** Depth of the expression or query being analyzed; bounded so that the stack is never exhausted. */
  depth: number;
}

export interface MutablePermission {
  relation: Oid;
  privileges: Set<RelationPermission['privileges'][number]>;
  selected: Set<number>;
  inserted: Set<number>;
  updated: Set<number>;
  checkAsUser: Oid;
}

/** Where an expression stands: decides which constructs are allowed and what errors say. After ParseExprKind. */
export type ExprKind =
  | 'none' | 'other' | 'join on' | 'join using' | 'from subselect' | 'from function' | 'where' | 'policy' | 'having' | 'filter'
  | 'window partition' | 'window order' | 'window frame range' | 'window frame rows' | 'window frame groups'
  | 'select target' | 'insert target' | 'update source' | 'update target' | 'group by' | 'order by' | 'distinct on'
  | 'limit' | 'offset' | 'returning' | 'values' | 'values single' | 'check constraint' | 'domain check' | 'column default'
  | 'function default' | 'index expression' | 'statistics expression' | 'index predicate' | 'alter column transform' | 'execute parameter'
  | 'generated column' | 'call argument' | 'merge when' | 'cycle mark' | 'copy where';

/** A column visible through a namespace item: the expression it stands for. */
export interface NamespaceColumn extends ColumnInfo {
  /** A Var of this level, or for join columns the underlying expression. '' names are hidden. */
  readonly expr: Expr;
}

export interface NamespaceItem {
  readonly name: string;
  /** 0 for a join. */
  readonly rtindex: number;
  /** Schema and relation for qualified references; 0 when not a plain relation or it has an alias. */
  readonly relationOid: Oid;
  readonly columns: readonly NamespaceColumn[];
  relationVisible: boolean;
  columnsVisible: boolean;
  lateralOnly: boolean;
  lateralOk: boolean;
}

export interface VisibleCte {
  readonly name: string;
  readonly columns: () => readonly ColumnInfo[];
  readonly selfReference: () => boolean;
  refCount: number;
  cte: CommonTableExpr | null;
  readonly recursiveAllowed: (location: number) => void;
}

export class ParseState {
  readonly rangeTable: RangeTableEntry[] = [];
  namespace: NamespaceItem[] = [];
  /** WITH items of this level, visible here and below. */
  visibleCtes: VisibleCte[] = [];
  ctes: CommonTableExpr[] = [];
  hasRecursive = false;
  /** WITH names defined later at this level, for the error hint. */
  futureCtes: string[] = [];
  windowClauses: WindowClause[] = [];
  exprKind: ExprKind = 'none';
  hasAggs = false;
  hasWindowFuncs = false;
  hasTargetSRFs = false;
  hasSubLinks = false;
  lateralActive = false;
  /** Target of INSERT/UPDATE/DELETE. */
  resultRelation = 0;
  /** Column references of a merged row assignment share one sublink. */
  nextSubLinkId = 1;
  /** False in a leaf of UNION and its kin, whose literals take the type of the whole. */
  resolveUnknowns = true;
  /** FOR UPDATE in an outer level names this subquery. */
  lockedFromParent = false;
  /** What VALUE stands for in a domain's check. */
  domainValue: Expr | null = null;
  /** Aggregates found at this level, with their location, for the grouping checks. */
  readonly aggregates: { location: number }[] = [];

  constructor(
    readonly env: AnalyzerEnvironment,
    readonly parent: ParseState | null,
  ) {}

  get catalog(): Catalog {
    return this.env.catalog;
  }

  /** An error with the statement's position for a byte offset of the parse tree. */
  error(sqlstate: string, message: string, location = -1, fields: ErrorFields = {}): DatabaseError {
    return new DatabaseError(sqlstate, message, { ...fields, position: this.env.source.position(location) });
  }

  addRangeTableEntry(entry: RangeTableEntry): number {
    this.rangeTable.push(entry);
    return this.rangeTable.length;
  }

  /** Runs `body` with another expression kind. */
  withKind<T>(kind: ExprKind, body: () => T): T {
    const saved = this.exprKind;
    this.exprKind = kind;
    try {
      return body();
    } finally {
      this.exprKind = saved;
    }
  }

  /** Notes that the statement reads or writes a relation. */
  permission(relation: Oid, privilege: RelationPermission['privileges'][number] | null, column?: number, checkAsUser: Oid = 0): void {
    const key = `${relation}:${checkAsUser}`;
    let entry = this.env.permissions.get(key);
    if (!entry) {
      entry = { relation, privileges: new Set(), selected: new Set(), inserted: new Set(), updated: new Set(), checkAsUser };
      this.env.permissions.set(key, entry);
    }
    if (privilege) entry.privileges.add(privilege);
    if (column === undefined) return;
    if (privilege === 'insert') entry.inserted.add(column);
    else if (privilege === 'update') entry.updated.add(column);
    else entry.selected.add(column);
  }
}

/** Analysis and deparse recurse over trees that users shape: past this many levels they get 54001 instead of a dead stack. */
const MAX_DEPTH = 2500;

/** Bounds recursion over user-shaped trees. */
export function deeper<T>(env: AnalyzerEnvironment, body: () => T): T {
  if (++env.depth > MAX_DEPTH) {
    env.depth = 0;
    throw new DatabaseError('54001', 'stack depth limit exceeded', {
      hint: 'Increase the configuration parameter "max_stack_depth" (currently 2048kB), after ensuring the platform\'s stack depth limit is adequate.',
    });
  }
  try {
    return body();
  } finally {
    env.depth--;
  }
}

export type { Query };

/**
 * One planning run: the global range table of all query levels, numbers for parameters, sub-plans and
 * WITH queries, and the settings that steer it. Every Var's varno indexes the one global range table
 * and its levelsUp is 0: whether a Var belongs to an outer query is seen from its varno alone.
 */
import type { CommonTableExpr, Expr, Param, Query, RangeTableEntry, Var } from '../analyzer/query-tree.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { CostSettings } from './cost-settings.js';
import type { ParamBinding, PlannedCte, PlanRelation, SubPlan } from './plan-node.js';

export interface CteInfo {
  readonly id: number;
  readonly cte: CommonTableExpr;
  /** With global Vars; mapped along with the queries around it. Made at the first reference. */
  query: Query;
  resolved: boolean;
  /** A copy of its own for a reference that takes the query's place. */
  readonly copy: () => Query;
  planned: PlannedCte | null;
  /** Estimated rows, known once planned. */
  rows: number;
}

export class Planner {
  /** 1-based: rangeTable[varno - 1]. Entries' expressions are global. */
  readonly rangeTable: RangeTableEntry[] = [];
  /** WITH query behind a 'cte' entry. */
  readonly cteOf = new Map<number, CteInfo>();
  readonly cteInfos = new Map<CommonTableExpr, CteInfo>();
  readonly subPlans = new Map<number, SubPlan>();
  readonly ctes: PlannedCte[] = [];
  readonly relations = new Map<number, PlanRelation>();
  /** Aggregates of an outer query inside a sublink: parameters to set before it runs, by sublink id. */
  readonly linkBindings = new Map<number, ParamBinding[]>();
  readonly cost: CostSettings;
  private readonly orCorrections = new WeakMap<Expr, number>();
  private params = 0;
  private sublinks = 0;
  private cteIds = 0;
  private initPlans = 0;
  /** Subqueries that were turned into joins by a rule that does not always pay. */
  unnested = 0;
  /** Some relation of the statement is read by columns. */
  columnar = false;
  writes = false;
  locksRows = false;

  constructor(readonly catalog: Catalog, readonly context: EvalContext, readonly paramValues: readonly Datum[] | null, private readonly disabledRules: ReadonlySet<string>) {
    this.cost = new CostSettings(context.settings);
  }

  /** Factor on the selectivity of an OR, parts of which are counted elsewhere. */
  orCorrection(expr: Expr): number {
    return this.orCorrections.get(expr) ?? 1;
  }

  correctOr(expr: Expr, factor: number): void {
    this.orCorrections.set(expr, this.orCorrection(expr) * factor);
  }

  ruleEnabled(name: string): boolean {
    return !this.disabledRules.has(name);
  }

  entry(varno: number): RangeTableEntry {
    return this.rangeTable[varno - 1]!;
  }

  addEntry(entry: RangeTableEntry): number {
    return this.rangeTable.push(entry);
  }

  relationOf(varno: number): Relation | undefined {
    const entry = this.entry(varno);
    return entry.kind === 'relation' ? this.catalog.relation(entry.relation) : undefined;
  }

  /** The number of columns of a range table entry. */
  var(varno: number, attno: number): Var {
    const entry = this.entry(varno);
    const column = entry.columns[attno - 1];
    if (attno === -1) return { kind: 'Var', varno, attno, levelsUp: 0, type: 27, typmod: -1, collation: 0, location: -1 };
    if (attno === 0 || !column) {
      const relation = this.relationOf(varno);
      return { kind: 'Var', varno, attno, levelsUp: 0, type: relation?.reltype ?? 2249, typmod: -1, collation: 0, location: -1 };
    }
    return { kind: 'Var', varno, attno, levelsUp: 0, type: column.type, typmod: column.typmod, collation: column.collation, location: -1 };
  }

  newParam(of: Expr): Param {
    return { kind: 'Param', paramKind: 'exec', id: this.params++, type: of.type, typmod: of.typmod, collation: of.collation, location: -1 };
  }

  newSublinkId(): number {
    return ++this.sublinks;
  }

  newCteId(): number {
    return ++this.cteIds;
  }

  nextSubPlanNumber(): number {
    return ++this.initPlans;
  }

  useRelation(oid: number, lock: PlanRelation['lock']): void {
    const known = this.relations.get(oid);
    const order = ['AccessShareLock', 'RowShareLock', 'RowExclusiveLock'];
    if (!known || order.indexOf(lock) > order.indexOf(known.lock)) this.relations.set(oid, { oid, lock });
  }
}

/** Expressions of a plan as EXPLAIN prints them: columns with their table's name, parameters by what they stand for. */
import type { Expr, RangeTableEntry } from '../../analyzer/query-tree.js';
import { mapChildren } from '../../analyzer/tree-walk.js';
import { deparseExpr, type DeparseContext } from '../../deparse/expression.js';
import type { EvalContext } from '../../functions/context.js';
import { planExpressions } from '../../planner/plan-expressions.js';
import type { PhysicalPlan, PlanNode, SortKey, SubPlan } from '../../planner/plan-node.js';
import { planChildren } from '../../planner/plan-walk.js';

export class PlanText {
  private readonly context: DeparseContext;
  /** Quals of a scan name its own columns without the table. */
  private readonly scanContext: DeparseContext;
  private readonly names: string[];
  /** What exec parameters of nested loops stand for. */
  private readonly bindings = new Map<number, Expr>();
  private readonly texts: string[] = [];

  constructor(readonly plan: PhysicalPlan, evalContext: EvalContext, verbose: boolean) {
    const used = new Set<number>();
    const visit = (node: PlanNode): void => {
      if ('varno' in node && node.varno > 0) used.add(node.varno);
      if (node.kind === 'NestLoop') node.params.forEach(({ id, expr }) => this.bindings.set(id, expr));
      planChildren(node).forEach(visit);
    };
    const roots = [plan.root, ...plan.ctes.map((cte) => cte.plan), ...[...plan.subPlans.values()].map((sub) => sub.plan)];
    roots.forEach(visit);
    plan.subPlans.forEach((sub) => sub.params.forEach(({ id, expr }) => this.bindings.set(id, expr)));
    this.names = uniqueNames(plan.rangeTable, used);
    this.context = {
      catalog: evalContext.catalog, eval: evalContext, pretty: false, qualify: used.size > 1 || verbose, indent: -1, namesHidden: true,
      levels: [{ rangeTable: plan.rangeTable, names: this.names, windows: [], targetList: [] }],
      param: (id) => (id > 1_000_000 ? this.texts[id - 1_000_001]! : `$${id}`),
    };
    this.scanContext = { ...this.context, qualify: verbose };
  }

  name(varno: number): string {
    return this.names[varno - 1] ?? '';
  }

  expr(expr: Expr): string {
    return deparseExpr(this.prepare(expr), this.context);
  }

  /** A list of conjuncts as one condition. */
  condition(quals: readonly Expr[], ofScan = false): string {
    const texts = quals.map((qual) => deparseExpr(this.prepare(qual), ofScan ? this.scanContext : this.context));
    return texts.length === 1 ? texts[0]! : `(${texts.join(' AND ')})`;
  }

  sortKey(key: SortKey): string {
    const text = this.expr(key.expr);
    const shown = key.expr.kind === 'Var' || text.startsWith('(') || key.expr.kind === 'Aggref' || key.expr.kind === 'FuncExpr' ? text : `(${text})`;
    const nulls = key.nullsFirst === key.descending ? '' : key.nullsFirst ? ' NULLS FIRST' : ' NULLS LAST';
    return `${shown}${key.descending ? ' DESC' : ''}${nulls}`;
  }

  private prepare(expr: Expr): Expr {
    if (expr.kind === 'Param' && expr.paramKind === 'exec') {
      const bound = this.bindings.get(expr.id);
      return this.text(bound ? this.expr(bound) : `$${expr.id}`, expr);
    }
    if (expr.kind === 'SubLink') {
      const sub = this.plan.subPlans.get(expr.id);
      if (sub) return this.text(subPlanReference(sub), expr);
    }
    return mapChildren(expr, (child) => this.prepare(child));
  }

  private text(text: string, like: Expr): Expr {
    this.texts.push(text);
    return { kind: 'Param', paramKind: 'external', id: 1_000_000 + this.texts.length, type: like.type, typmod: like.typmod, collation: like.collation, location: -1 };
  }

  /** Sub-plans that the node's own expressions run. */
  subPlansOf(node: PlanNode): SubPlan[] {
    const found = new Set<SubPlan>();
    const visit = (expr: Expr): void => {
      if (expr.kind === 'SubLink') {
        const sub = this.plan.subPlans.get(expr.id);
        if (sub) found.add(sub);
      }
      mapChildren(expr, (child) => {
        visit(child);
        return child;
      });
    };
    planExpressions(node).forEach(visit);
    return [...found];
  }
}

export function isInitPlan(sub: SubPlan): boolean {
  return sub.params.length === 0 && sub.testExpr === null;
}

function subPlanReference(sub: SubPlan): string {
  if (isInitPlan(sub)) return `$${sub.number - 1}`;
  return `(${sub.hashed ? 'hashed ' : ''}SubPlan ${sub.number})`;
}

/** Aliases, made unique as PostgreSQL does: t, t_1, t_2. */
function uniqueNames(rangeTable: readonly RangeTableEntry[], used: ReadonlySet<number>): string[] {
  const taken = new Set<string>();
  return rangeTable.map((entry, i) => {
    if (!used.has(i + 1)) return entry.name;
    let name = entry.name;
    for (let n = 1; taken.has(name); n++) name = `${entry.name}_${n}`;
    taken.add(name);
    return name;
  });
}

/**
 * Results kept across re-openings of a subtree (hash tables, materialised rows): valid while the exec
 * parameters that the subtree reads have the values they had. Subtrees that read a recursion's
 * work table or call volatile functions through parameters of their own are not kept at all.
 */
import type { Expr } from '../analyzer/query-tree.js';
import { walk } from '../analyzer/tree-walk.js';
import { planExpressions } from '../planner/plan-expressions.js';
import type { PhysicalPlan, PlanNode, PlannedCte } from '../planner/plan-node.js';
import { planChildren } from '../planner/plan-walk.js';
import type { Datum } from '../types/datum.js';
import type { PlanCompiler } from './compile-plan.js';
import type { ExecState } from './exec-state.js';

export interface ParameterCache<T> {
  get(state: ExecState): T | undefined;
  set(state: ExecState, value: T): void;
}

interface Kept<T> { readonly values: readonly Datum[]; readonly value: T }

export function parameterCache<T>(subtree: PlanNode, compiler: PlanCompiler): ParameterCache<T> {
  const used = usedParameters(subtree, compiler.plan);
  const key = { cacheOf: subtree };
  if (used === null) return { get: () => undefined, set: () => undefined };
  const ids = [...used];
  // A recheck holds relations at single rows: what was read of them before does not stand.
  const readsRelations = scansOf(subtree);
  return {
    get(state) {
      if (state.replacedRows && readsRelations) return undefined;
      const kept = state.shared.get(key) as Kept<T> | undefined;
      return kept && ids.every((id, i) => state.exec[id] === kept.values[i]) ? kept.value : undefined;
    },
    set(state, value) {
      state.shared.set(key, { values: ids.map((id) => state.exec[id]!), value });
    },
  };
}

function scansOf(node: PlanNode): boolean {
  return node.kind === 'SeqScan' || node.kind === 'IndexScan' || node.kind === 'BitmapScan' || node.kind === 'TidScan' || planChildren(node).some(scansOf);
}

/** Exec parameters that a subtree reads from outside; null when it must not be kept. */
export function usedParameters(root: PlanNode, plan: PhysicalPlan): Set<number> | null {
  const { subPlans, ctes } = plan;
  const seen = new Set<PlannedCte>();
  const used = new Set<number>();
  const bound = new Set<number>();
  let keep = true;
  /** Work tables of recursions inside the subtree are its own. */
  const recursions = new Set<number>();
  const visitExpr = (expr: Expr): void => walk(expr, (node) => {
    if (node.kind === 'Param' && node.paramKind === 'exec') used.add(node.id);
    if (node.kind === 'SubLink') {
      const plan = subPlans.get(node.id);
      if (plan) {
        plan.params.forEach((param) => {
          visitExpr(param.expr);
          bound.add(param.id);
        });
        visit(plan.plan);
      }
    }
  });
  const visit = (node: PlanNode): void => {
    if (node.kind === 'WorkTableScan' && !recursions.has(node.recursion)) keep = false;
    if (node.kind === 'RecursiveUnion') recursions.add(node.recursion);
    if (node.kind === 'CteScan') {
      const cte = ctes.find((planned) => planned.id === node.cte.id);
      if (cte && !seen.has(cte)) {
        seen.add(cte);
        visit(cte.plan);
      }
    }
    if (node.kind === 'NestLoop') node.params.forEach((param) => bound.add(param.id));
    planExpressions(node).forEach(visitExpr);
    planChildren(node).forEach(visit);
  };
  visit(root);
  if (!keep) return null;
  for (const id of bound) used.delete(id);
  return used;
}

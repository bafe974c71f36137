/**
 * Compiles a physical plan once into functions that open operators; a cached plan's compiled form
 * is kept beside it and shared by all its executions.
 */
import type { Catalog } from '../catalog/catalog.js';
import type { Expr } from '../analyzer/query-tree.js';
import { withColumns } from '../columnar/open.js';
import type { PhysicalPlan, PlanNode } from '../planner/plan-node.js';
import type { Operator } from './batch.js';
import type { ExecState } from './exec-state.js';
import type { CompileScope, Layout, SubLinkRunner } from './expressions/scope.js';
import { EMPTY_LAYOUT } from './expressions/scope.js';
import { instrumented } from './instrument.js';
import { OutputLayout } from './layout.js';
import { nodeCompilers } from './operators/index.js';
import { makeSubLinkRunner } from './sub-plan.js';

/** Starts a node's operator in one execution. */
export type Open = (state: ExecState) => Operator;

export class PlanCompiler {
  private readonly opened = new Map<PlanNode, Open>();
  private readonly layouts = new Map<readonly Expr[], OutputLayout>();
  readonly subLinks: SubLinkRunner;

  constructor(readonly plan: PhysicalPlan, readonly catalog: Catalog) {
    this.subLinks = makeSubLinkRunner(this);
  }

  open(node: PlanNode): Open {
    let open = this.opened.get(node);
    if (!open) {
      const compiled = withColumns(node, this, (nodeCompilers[node.kind] as (node: PlanNode, compiler: PlanCompiler) => Open)(node, this));
      open = (state) => (state.instrument ? instrumented(compiled(state), state.instrument(node)) : compiled(state));
      this.opened.set(node, open);
    }
    return open;
  }

  layout(output: readonly Expr[]): OutputLayout {
    let layout = this.layouts.get(output);
    if (!layout) this.layouts.set(output, (layout = new OutputLayout(output)));
    return layout;
  }

  /** Expressions over rows of `output`; without it, over no row. */
  scope(output?: readonly Expr[]): CompileScope {
    return this.scopeOf(output ? this.layout(output) : EMPTY_LAYOUT);
  }

  scopeOf(layout: Layout): CompileScope {
    return { catalog: this.catalog, layout, subLinks: this.subLinks };
  }
}

const compilers = new WeakMap<PhysicalPlan, PlanCompiler>();

export function planCompiler(plan: PhysicalPlan, catalog: Catalog): PlanCompiler {
  let compiler = compilers.get(plan);
  if (!compiler) compilers.set(plan, (compiler = new PlanCompiler(plan, catalog)));
  return compiler;
}

/**
 * The part of a plan that runs as kernels: scans, filters, projections and hash joins below one
 * consumer. What cannot be written as a kernel is a source of rows, whose operator runs as ever.
 * Decided once per plan; nothing here depends on an execution.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { childrenOf } from '../analyzer/tree-walk.js';
import type { Open, PlanCompiler } from '../executor/compile-plan.js';
import { mayWait } from '../executor/expressions/waiting.js';
import { OutputLayout } from '../executor/layout.js';
import type { AggNode, AppendNode, FilterNode, HashJoinNode, PlanNode, ProjectNode, SeqScanNode, SetOpNode, SubqueryScanNode, UniqueNode, WindowAggNode } from '../planner/plan-node.js';
import { columnClass } from './column-class.js';
import type { KeyFilter } from './key-filter.js';
import { memberOf } from './member-set.js';
import type { PipelineRun } from './pipeline-run.js';
import type { Source } from './source.js';

interface StageBase {
  readonly layout: OutputLayout;
  /** Positions of the output that something above reads. */
  readonly needed: Set<number>;
}
export interface ScanStage extends StageBase { readonly kind: 'scan'; readonly node: SeqScanNode }
export interface RowsStage extends StageBase { readonly kind: 'rows'; readonly node: PlanNode; readonly open: Open }
export interface ProjectStage extends StageBase { readonly kind: 'project'; readonly node: ProjectNode; readonly child: Stage }
export interface FilterStage extends StageBase { readonly kind: 'filter'; readonly node: FilterNode; readonly child: Stage }
export interface RenameStage extends StageBase { readonly kind: 'rename'; readonly node: SubqueryScanNode; readonly child: Stage }
export interface JoinStage extends StageBase { readonly kind: 'join'; readonly node: HashJoinNode; readonly outer: Stage; readonly inner: Stage }
/** The groups of an aggregation below: filled by a pipeline of its own, then read like a relation. */
export interface AggStage extends StageBase { readonly kind: 'agg'; readonly node: AggNode; readonly source: (run: PipelineRun, needed: readonly number[], filters: readonly { readonly index: number; readonly filter: KeyFilter }[]) => Generator<Pending, Source> }
/** Rows that pipelines of their own make, which are then read like a relation: windows, distinct and appended rows, set operations, grouping sets. */
export interface MadeStage extends StageBase {
  readonly kind: 'made';
  readonly node: AppendNode | SetOpNode | UniqueNode | WindowAggNode | AggNode;
  /** Tested on the rows that were made. */
  readonly filter: readonly Expr[];
  /** Told once which positions of the output are read. */
  readonly requires: (wanted: ReadonlySet<number>) => void;
  readonly source: (run: PipelineRun, needed: readonly number[]) => Generator<Pending, Source>;
}
/** Stages without a child: what a kernel loops over. */
export type BottomStage = ScanStage | RowsStage | AggStage | MadeStage;
export type Stage = BottomStage | ProjectStage | FilterStage | RenameStage | JoinStage;

/** Whether a kernel loops over the stage's rows, whatever an execution does. */
export function isBottomStage(stage: Stage): stage is BottomStage {
  return stage.kind === 'scan' || stage.kind === 'rows' || stage.kind === 'agg' || stage.kind === 'made';
}

/** Rows from which on columns are worth their making. */
export const MIN_ROWS = 8192;

export class StageBuilder {
  /** Relations worth it that are read by columns; small ones beside them are read so too. */
  scans = 0;

  constructor(readonly compiler: PlanCompiler, /** Makes a node whose rows pipelines of its own compute a stage (derived-stages.ts). */ private readonly derived: (node: PlanNode, builder: StageBuilder) => AggStage | MadeStage | null) {}

  build(node: PlanNode): Stage {
    return this.kernels(node) ?? { kind: 'rows', node, open: this.compiler.open(node), ...this.shared(node) };
  }

  shared(node: PlanNode): { layout: OutputLayout; needed: Set<number> } {
    return { layout: this.compiler.layout(node.output), needed: new Set() };
  }

  /** The node as kernels; null when it has to be rows of its own operator. */
  kernels(node: PlanNode): Stage | null {
    switch (node.kind) {
      case 'SeqScan':
        if (!this.scannable(node)) return null;
        if (this.isLarge(node)) this.scans++;
        return { kind: 'scan', node, ...this.shared(node) };
      case 'Project':
        if (!this.supported(node.output, this.compiler.layout(node.child.output))) return null;
        return { kind: 'project', node, child: this.build(node.child), ...this.shared(node) };
      case 'Filter':
        if (!this.conditions(node.quals, this.compiler.layout(node.child.output))) return null;
        return { kind: 'filter', node, child: this.build(node.child), ...this.shared(node) };
      case 'SubqueryScan':
        if (!this.supported(node.filter, this.compiler.layout(node.output)) || node.columns.includes(-1)) return null;
        return { kind: 'rename', node, child: this.build(node.child), ...this.shared(node) };
      case 'HashJoin': {
        const outer = this.compiler.layout(node.outer.output);
        const inner = this.compiler.layout(node.inner.output);
        if (!this.supported(node.keys.map((key) => key.outer), outer) || !this.supported(node.keys.map((key) => key.inner), inner)) return null;
        if (!this.supported([...node.joinQuals, ...node.filter], outer, inner)) return null;
        return { kind: 'join', node, outer: this.build(node.outer), inner: this.build(node.inner), ...this.shared(node) };
      }
      default:
        return this.derived(node, this);
    }
  }

  private scannable(node: SeqScanNode): boolean {
    if (node.sample) return false;
    const relation = this.compiler.catalog.relation(node.relation);
    if (!relation || relation.isCatalog || relation.relkind !== 'r' && relation.relkind !== 'm') return false;
    if (relation.relpersistence === 't') return false;
    for (const expr of node.output) {
      if (expr.kind !== 'Var' || expr.attno <= 0) return false;
      const attribute = relation.attributes[expr.attno - 1];
      if (!attribute || columnClass(attribute.atttypid, attribute.atttypmod) === null) return false;
    }
    return this.conditions(node.filter, this.compiler.layout(node.output));
  }

  private isLarge(node: SeqScanNode): boolean {
    const relation = this.compiler.catalog.relation(node.relation)!;
    return relation.reltuples < 0 || relation.reltuples >= MIN_ROWS || node.cost.total >= MIN_ROWS / 100;
  }

  /** Whether kernels can compute the expressions over rows of these layouts. */
  supported(exprs: readonly Expr[], ...layouts: readonly OutputLayout[]): boolean {
    return exprs.every((expr) => this.supports(expr, layouts));
  }

  /** The same for conditions of a filter, which may ask whether a value is among a subquery's. */
  conditions(exprs: readonly Expr[], ...layouts: readonly OutputLayout[]): boolean {
    return exprs.every((expr) => {
      if (expr.kind === 'BoolExpr') return this.conditions(expr.args, ...layouts);
      const member = memberOf(expr, this.compiler);
      return member ? this.supports(member.left, layouts) : this.supports(expr, layouts);
    });
  }

  private supports(expr: Expr, layouts: readonly OutputLayout[]): boolean {
    if (layouts.some((layout) => layout.indexOf(expr) >= 0)) return true;
    const { catalog } = this.compiler;
    switch (expr.kind) {
      case 'Var': case 'Aggref': case 'WindowFunc': case 'GroupingFunc': case 'SetToDefault': case 'CurrentOfExpr': case 'NextValueExpr': case 'SubLinkParam':
        return false;
      case 'Param':
        return expr.paramKind === 'external';
      case 'SubLink':
        return isConstant(expr, this.compiler);
      case 'FuncExpr':
        if (expr.returnsSet || catalog.proc(expr.func)?.provolatile === 'v') return false;
        if (mayWait({ ...expr, args: [] }, this.compiler.scope())) return false;
        break;
      default:
        break;
    }
    return childrenOf(expr).every((child) => this.supports(child, layouts));
  }
}

/** Without columns, and the same for the whole execution. */
export function isConstant(expr: Expr, compiler: PlanCompiler): boolean {
  switch (expr.kind) {
    case 'Var': case 'CaseTestExpr': case 'CoerceToDomainValue': case 'SubLinkParam': case 'Aggref': case 'WindowFunc': case 'GroupingFunc':
      return false;
    case 'Param':
      return expr.paramKind === 'external';
    case 'SubLink': {
      const plan = compiler.plan.subPlans.get(expr.id);
      return expr.subLinkType === 'expr' && plan !== undefined && plan.params.length === 0 && plan.testExpr === null && !readsParameters(expr, compiler);
    }
    case 'FuncExpr':
      if (expr.returnsSet || compiler.catalog.proc(expr.func)?.provolatile === 'v') return false;
      break;
    default:
      break;
  }
  return childrenOf(expr).every((child) => isConstant(child, compiler));
}

function readsParameters(expr: Extract<Expr, { kind: 'SubLink' }>, compiler: PlanCompiler): boolean {
  const plan = compiler.plan.subPlans.get(expr.id);
  return plan === undefined || plan.kind !== 'expr';
}

/** Adds the maximal constant parts of `expr`, plain constants aside. */
export function constantParts(expr: Expr, layouts: readonly OutputLayout[], compiler: PlanCompiler, into: Set<Expr>): void {
  if (expr.kind === 'Const' || layouts.some((layout) => layout.indexOf(expr) >= 0)) return;
  if (isConstant(expr, compiler)) {
    into.add(expr);
    return;
  }
  for (const child of childrenOf(expr)) constantParts(child, layouts, compiler, into);
}

// ---- what is read of whom

/** Notes that these expressions over the stage's rows are computed. */
export function require(stage: Stage, exprs: readonly Expr[]): void {
  const wanted = new Set<number>();
  for (const expr of exprs) leaves(expr, [stage.layout], (_layout, index) => wanted.add(index));
  requireColumns(stage, wanted);
}

export function requireColumns(stage: Stage, wanted: ReadonlySet<number>): void {
  for (const index of wanted) stage.needed.add(index);
  const all = [...stage.needed];
  switch (stage.kind) {
    case 'scan': case 'agg':
      for (const expr of stage.node.filter) leaves(expr, [stage.layout], (_layout, index) => stage.needed.add(index));
      return;
    case 'rows':
      return;
    case 'made':
      for (const expr of stage.filter) leaves(expr, [stage.layout], (_layout, index) => stage.needed.add(index));
      stage.requires(stage.needed);
      return;
    case 'project':
      require(stage.child, all.map((index) => stage.node.output[index]!));
      return;
    case 'filter':
      require(stage.child, [...stage.node.quals, ...all.map((index) => stage.node.output[index]!)]);
      return;
    case 'rename': {
      const filtered = new Set(all);
      for (const expr of stage.node.filter) leaves(expr, [stage.layout], (_layout, index) => filtered.add(index));
      for (const index of filtered) stage.needed.add(index);
      requireColumns(stage.child, new Set([...filtered].map((index) => stage.node.columns[index]!)));
      return;
    }
    case 'join': {
      const { node, outer, inner } = stage;
      const fromOuter = new Set<number>();
      const fromInner = new Set<number>();
      const both = [...node.joinQuals, ...node.filter, ...all.map((index) => node.output[index]!)];
      for (const expr of both) leaves(expr, [outer.layout, inner.layout], (layout, index) => (layout === 0 ? fromOuter : fromInner).add(index));
      for (const key of node.keys) {
        leaves(key.outer, [outer.layout], (_layout, index) => fromOuter.add(index));
        leaves(key.inner, [inner.layout], (_layout, index) => fromInner.add(index));
      }
      requireColumns(outer, fromOuter);
      requireColumns(inner, fromInner);
      return;
    }
  }
}

function leaves(expr: Expr, layouts: readonly OutputLayout[], found: (layout: number, index: number) => void): void {
  for (let at = 0; at < layouts.length; at++) {
    const index = layouts[at]!.indexOf(expr);
    if (index < 0) continue;
    found(at, index);
    return;
  }
  for (const child of childrenOf(expr)) leaves(child, layouts, found);
}

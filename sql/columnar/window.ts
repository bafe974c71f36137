/**
 * Window functions over columns: the rows of the stage below are kept and put in the window's order, then each function
 * goes over the positions. What is sorted are row numbers; values are read where a function asks for them.
 */
import type { Expr, WindowFunc } from '../analyzer/query-tree.js';
import type { WindowAggNode } from '../planner/plan-node.js';
import { KeptExpressions, OrderedRows, sortBelow } from './ordered-rows.js';
import { ResultSource, type ResultColumn } from './result-source.js';
import { isConstant, require as requireOf, type MadeStage, type StageBuilder } from './stage.js';
import { supportsFrame, WindowRows } from './window-frames.js';
import { computeFunction, constantArguments, rowArguments, supportsFunction } from './window-functions.js';

export function windowStage(node: WindowAggNode, builder: StageBuilder): MadeStage | null {
  const { compiler } = builder;
  const { sort, input } = sortBelow(node.child);
  const constant = (expr: Expr): boolean => expr.kind === 'Const' || isConstant(expr, compiler);
  if (!supportsFrame(node.frame, node.order, constant) || !node.functions.every((func) => supportsFunction(func, compiler.catalog, constant))) return null;
  const inner = input.output.length;
  const keys = [...node.partition, ...node.order.map((key) => key.expr)];
  const computed = [...keys, ...(sort?.keys ?? []).map((key) => key.expr), ...node.functions.flatMap((func) => rowArguments(func, compiler.catalog))];
  if (!builder.supported(computed, compiler.layout(input.output))) return null;
  const stage = builder.build(input);
  const asked = new Set<WindowFunc>();
  return {
    kind: 'made', node, filter: [], ...builder.shared(node),
    requires(wanted) {
      for (const index of wanted) if (index >= inner) asked.add(node.output[index] as WindowFunc);
      requireOf(stage, [...computed, ...[...wanted].filter((index) => index < inner).map((index) => node.output[index]!)]);
    },
    *source(run, needed) {
      const functions = node.functions.filter((func) => asked.has(func));
      const constants = [...functions.flatMap((func) => constantArguments(func, compiler.catalog)), ...[node.frame.startOffset, node.frame.endOffset].filter((expr) => expr !== null)];
      yield* run.evaluateConstants(constants, []);
      const valueOf = (expr: Expr) => (expr.kind === 'Const' ? expr.value : run.constants.get(expr));
      const keep = new KeptExpressions();
      for (const index of needed) if (index < inner) keep.add(node.output[index]!);
      for (const expr of keys) keep.add(expr);
      for (const func of functions) for (const expr of rowArguments(func, compiler.catalog)) keep.add(expr);
      const rows = yield* OrderedRows.collect(run, stage, keep.exprs, sort);
      const located = (exprs: readonly Expr[]) => exprs.map((expr) => ({ expr, position: keep.add(expr) }));
      const samePartition = yield* rows.sameAsBefore(located(node.partition));
      const samePeers = node.order.length === 0 ? samePartition : yield* rows.sameAsBefore(located(keys));
      const [first] = node.order;
      const frameKey = first ? { column: rows.column(keep.add(first.expr)), type: first.expr.type, descending: first.descending } : null;
      const windows = new WindowRows(rows.count, samePartition, samePeers, node.frame, frameKey, valueOf, run.state);
      const results = new Map<Expr, ResultColumn>();
      for (const func of functions) {
        results.set(func, yield* computeFunction(func, windows, { catalog: compiler.catalog, interner: run.interner, state: run.state, valueOf, column: (expr) => rows.column(keep.add(expr)) }));
      }
      return new ResultSource(needed.map((index) => (index < inner ? rows.column(keep.add(node.output[index]!)) : results.get(node.output[index]!)!)), rows.count, run.interner);
    },
  };
}

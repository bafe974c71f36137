/**
 * Set-returning functions in the target list: all of them advance together, those that are
 * exhausted give NULL until the longest one is (ROWS FROM semantics, as since PostgreSQL 10).
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { contains } from '../../analyzer/tree-walk.js';
import type { ProjectSetNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compile } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { rowAt, rowsToBatch } from '../vectors.js';
import { GeneratorOperator, pull, type Run } from './operator.js';
import { compileSet, type SetEvaluator } from './row-sources.js';

export function compileProjectSet(node: ProjectSetNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.child.output);
  const layout = compiler.layout(node.child.output);
  const columns: ({ set: SetEvaluator; composite: number | null } | { scalar: Scalar })[] = node.output.map((expr) => {
    if (isSet(expr) && layout.indexOf(expr) < 0) {
      const isRow = expr.type === 2249 || compiler.catalog.type(expr.type)?.typtype === 'c';
      return { set: compileSet(expr, scope), composite: isRow ? expr.type : null };
    }
    return { scalar: compile(expr, scope) };
  });
  const child = compiler.open(node.child);
  return (state) => new GeneratorOperator((function* (): Run {
    const input = child(state);
    let rows: Datum[][] = [];
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const frame = new Frame(state).batch(batch);
        for (let i = 0; i < batch.length; i++) {
          frame.row = rowAt(batch, i);
          const fixed = columns.map((column) => ('scalar' in column ? column.scalar(frame) : null));
          const iterators = columns.map((column) => ('set' in column ? column.set(frame)[Symbol.iterator]() : null));
          for (;;) {
            let any = false;
            const row = fixed.slice();
            iterators.forEach((iterator, c) => {
              const step = iterator?.next();
              if (!step || step.done) return;
              any = true;
              row[c] = asDatum(step.value, (columns[c] as { composite: number | null }).composite);
            });
            if (!any) break;
            rows.push(row);
            if (rows.length === MAX_BATCH_ROWS) {
              yield rowsToBatch(rows, node.output.length);
              rows = [];
              if (state.shouldYield()) yield TIME_SLICE;
            }
          }
        }
        if (rows.length > 0) {
          yield rowsToBatch(rows, node.output.length);
          rows = [];
        }
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
  })());
}

function isSet(expr: Expr): boolean {
  return expr.kind === 'FuncExpr' && expr.returnsSet;
}

/** Several OUT columns become one record. */
function asDatum(value: Datum | readonly Datum[], composite: number | null): Datum {
  if (!Array.isArray(value)) return value as Datum;
  return { typeOid: composite ?? 2249, types: value.map(() => 0), values: value as readonly Datum[] };
}

export function containsSet(expr: Expr): boolean {
  return contains(expr, isSet);
}

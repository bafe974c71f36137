/**
 * Set-returning functions in the target list: all of them advance together, those that are
 * exhausted give NULL until the longest one is (ROWS FROM semantics, as since PostgreSQL 10).
 */
import type { Expr, FuncExpr } from '../../analyzer/query-tree.js';
import type { Catalog } from '../../catalog/catalog.js';
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
  const columns: ({ set: SetEvaluator; record: RecordShape } | { scalar: Scalar })[] = node.output.map((expr) => {
    if (expr.kind === 'FuncExpr' && expr.returnsSet && layout.indexOf(expr) < 0) return { set: compileSet(expr, scope), record: recordShape(expr, compiler.catalog) };
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
              row[c] = asDatum(step.value, (columns[c] as { record: RecordShape }).record);
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

/** What several OUT columns are as one record. */
interface RecordShape { readonly typeOid: number; readonly types: readonly number[]; readonly names: readonly string[] }

function recordShape(expr: FuncExpr, catalog: Catalog): RecordShape {
  const relation = catalog.relation(catalog.type(expr.type)?.typrelid ?? 0);
  if (relation) {
    const live = relation.attributes.filter((attribute) => !attribute.attisdropped);
    return { typeOid: expr.type, types: live.map((attribute) => attribute.atttypid), names: live.map((attribute) => attribute.attname) };
  }
  const proc = catalog.proc(expr.func);
  const out = (proc?.proallargtypes ?? []).flatMap((type, i) => (['o', 'b', 't'].includes(proc!.proargmodes?.[i] ?? 'i') ? [{ type, name: proc!.proargnames?.[i] ?? `column${i}` }] : []));
  return { typeOid: 2249, types: out.map(({ type }) => type), names: out.map(({ name }) => name) };
}

/** Several OUT columns become one record. */
function asDatum(value: Datum | readonly Datum[], record: RecordShape): Datum {
  if (!Array.isArray(value)) return value as Datum;
  return { ...record, values: value as readonly Datum[] };
}

export function containsSet(expr: Expr): boolean {
  return contains(expr, isSet);
}

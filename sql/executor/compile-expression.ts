/**
 * Expressions over one row given as an array of values: defaults, CHECK constraints, generated
 * columns, index expressions and predicates, COPY's WHERE. A Var's attno - 1 is its position.
 */
import type { Expr } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum, RecordValue } from '../types/datum.js';
import { ExecState } from './exec-state.js';
import { compile } from './expressions/compile.js';
import { Frame, type Scalar } from './expressions/frame.js';
import type { Layout } from './expressions/scope.js';
import { NO_INTERRUPTS } from './interrupts.js';

/** Evaluates over `values` (by attno - 1). Throws DatabaseError as the expression does. */
export type RowExpression = (values: readonly Datum[], context: EvalContext) => Datum;

/**
 * Compiles an analyzed expression without subqueries. Vars of any varno read `values[attno - 1]`;
 * a whole-row Var (attno 0) is the row as a record. `$n` parameters, if any, come from `params`.
 */
export function compileExpression(expr: Expr, catalog: Catalog, params: readonly Datum[] = []): RowExpression {
  const scalar = compile(expr, { catalog, layout: valuesLayout(catalog), subLinks: null });
  return (values, context) => {
    const frame = new Frame(new ExecState(context, params, context.transaction, null as never, NO_INTERRUPTS));
    frame.values = values;
    return scalar(frame);
  };
}

/** As compileExpression, for a whole list over the same row: one frame for all. */
export function compileExpressions(exprs: readonly Expr[], catalog: Catalog): (values: readonly Datum[], context: EvalContext) => Datum[] {
  const scalars = exprs.map((expr) => compile(expr, { catalog, layout: valuesLayout(catalog), subLinks: null }));
  return (values, context) => {
    const frame = new Frame(new ExecState(context, [], context.transaction, null as never, NO_INTERRUPTS));
    frame.values = values;
    return scalars.map((scalar) => scalar(frame));
  };
}

/** Vars read `frame.values`. */
export function valuesLayout(catalog: Catalog): Layout {
  return {
    resolve(expr): Scalar | undefined {
      if (expr.kind !== 'Var') return undefined;
      if (expr.attno > 0) {
        const index = expr.attno - 1;
        return (frame) => frame.values[index] ?? null;
      }
      if (expr.attno === 0) {
        const typeOid = expr.type;
        const relation = catalog.relation(catalog.type(typeOid)?.typrelid ?? 0);
        const types = relation?.attributes.map((attribute) => attribute.atttypid) ?? [];
        return (frame): RecordValue => ({ typeOid, types, values: frame.values });
      }
      return undefined;
    },
  };
}

/** Evaluates an expression that reads no row. */
export function evaluateConstant(expr: Expr, context: EvalContext, params: readonly Datum[] = []): Datum {
  return compileExpression(expr, context.catalog, params)([], context);
}

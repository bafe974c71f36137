/**
 * SQL text of an index expression, predicate or default to a compiled function. The analyzer is
 * handed in by whoever assembles the layers, because text is its business.
 */
import type { Expr } from '../analyzer/query-tree.js';
import type { RowExpressionCompiler } from '../access/index-access.js';
import type { Catalog } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import { compileExpression } from './compile-expression.js';
import { analyzeRelationExpression } from './relation-expression.js';

/** Compiles text over a relation's columns for rows given as arrays. */
export function rowCompilerOf(catalog: Catalog, context: EvalContext): RowExpressionCompiler {
  return (tableOid, text) => {
    const expr: Expr = analyzeRelationExpression(text, tableOid, catalog, context);
    const compiled = compileExpression(expr, catalog);
    return (row) => compiled(row, context);
  };
}

/** Stored SQL text over one relation's columns (index expressions, CHECK, defaults) to analyzed expressions, remembered per relation. */
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Expr } from '../analyzer/query-tree.js';
import { makeEnvironment } from '../analyzer/analyze.js';
import { coerceToTargetType } from '../analyzer/coerce.js';
import { transformExpression } from '../analyzer/expression.js';
import { itemFor, relationColumns } from '../analyzer/from-clause.js';
import { ParseState, type ExprKind } from '../analyzer/parse-state.js';
import { parseExpression, SourceText } from '../parser/parse.js';

const remembered = new WeakMap<Relation, Map<string, Expr>>();

/** The expression over the relation as range table index 1. With `target`, cast to that type as an assignment. */
export function analyzeRelationExpression(
  text: string, tableOid: number, catalog: Catalog, context: EvalContext, kind: ExprKind = 'other', target: { type: number; typmod: number } | null = null,
): Expr {
  const relation = catalog.relation(tableOid)!;
  let known = remembered.get(relation);
  if (!known) remembered.set(relation, (known = new Map()));
  const key = target ? `${target.type}/${target.typmod}:${text}` : text;
  let expr = known.get(key);
  if (!expr) {
    const state = new ParseState(makeEnvironment({ catalog, context, source: new SourceText(text) }), null);
    const rtindex = state.addRangeTableEntry({
      kind: 'relation', name: relation.relname, aliased: false, columns: relationColumns(relation), lateral: false,
      relation: relation.oid, relkind: relation.relkind, only: false, sample: null,
    });
    state.namespace = [itemFor(state, rtindex, relation.oid)];
    expr = state.withKind(kind, () => transformExpression(state, parseExpression(text)));
    if (target) expr = coerceToTargetType(state, expr, target.type, target.typmod, 'assignment', 'implicit cast', -1) ?? expr;
    known.set(key, expr);
  }
  return expr;
}

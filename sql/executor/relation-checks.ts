/** What every row written to a table must satisfy: generated columns are computed, NOT NULL and CHECK are tested. */
import { checkViolation, notNullViolation } from '../access/constraint-errors.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { compileExpression, type RowExpression } from './compile-expression.js';
import { analyzeRelationExpression } from './relation-expression.js';

export class RelationChecks {
  private readonly generated: readonly { readonly index: number; readonly compute: RowExpression }[];
  private readonly notNull: readonly number[];
  private readonly checks: readonly { readonly name: string; readonly test: RowExpression }[];

  constructor(private readonly relation: Relation, catalog: Catalog, context: EvalContext) {
    this.generated = relation.attributes.filter((attribute) => attribute.attgenerated === 's' && !attribute.attisdropped).map((attribute) => ({
      index: attribute.attnum - 1,
      compute: compileExpression(
        analyzeRelationExpression(attribute.defaultText!, relation.oid, catalog, context, 'generated column', { type: attribute.atttypid, typmod: attribute.atttypmod }), catalog),
    }));
    this.notNull = relation.attributes.filter((attribute) => attribute.attnotnull && !attribute.attisdropped).map((attribute) => attribute.attnum);
    this.checks = relation.constraints.filter((constraint) => constraint.contype === 'c' && constraint.expressionText !== null)
      .sort((a, b) => (a.conname < b.conname ? -1 : 1))
      .map((constraint) => ({ name: constraint.conname, test: compileExpression(analyzeRelationExpression(constraint.expressionText!, relation.oid, catalog, context, 'check constraint'), catalog) }));
  }

  /** Whether the row's other columns are looked at when one is written. NOT NULL of all of them is: an error shows the row. */
  get readsRow(): boolean {
    return this.generated.length > 0 || this.checks.length > 0;
  }

  get hasGenerated(): boolean {
    return this.generated.length > 0;
  }

  /** Computes the generated columns in place, then tests the row. Throws 23502 or 23514. */
  apply(values: Datum[], catalog: Catalog, context: EvalContext): void {
    for (const { index, compute } of this.generated) values[index] = compute(values, context);
    for (const attnum of this.notNull) if (values[attnum - 1] === null) throw notNullViolation(this.relation, attnum, values, catalog, context);
    for (const { name, test } of this.checks) if (test(values, context) === false) throw checkViolation(this.relation, name, values, catalog, context);
  }
}

const remembered = new WeakMap<Relation, RelationChecks>();

export function relationChecks(relation: Relation, catalog: Catalog, context: EvalContext): RelationChecks {
  let checks = remembered.get(relation);
  if (!checks) remembered.set(relation, (checks = new RelationChecks(relation, catalog, context)));
  return checks;
}

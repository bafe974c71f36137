/** The value a column has when none is given. */
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { compileExpression } from './compile-expression.js';
import { analyzeRelationExpression } from './relation-expression.js';

export function columnDefaultValue(relation: Relation, attnum: number, catalog: Catalog, context: EvalContext): Datum {
  const attribute = relation.attributes[attnum - 1]!;
  if (attribute.defaultText === null || attribute.attgenerated !== '') return null;
  const expr = analyzeRelationExpression(attribute.defaultText, relation.oid, catalog, context, 'column default', { type: attribute.atttypid, typmod: attribute.atttypmod });
  return compileExpression(expr, catalog)([], context);
}

/** Expressions over a target row given as values, the row proposed for insertion, and the source's columns. */
import type { Expr } from '../analyzer/query-tree.js';
import type { RecordValue } from '../types/datum.js';
import type { Relation } from '../catalog/catalog.js';
import type { Scalar } from './expressions/frame.js';
import type { Layout } from './expressions/scope.js';

export class TargetRowLayout implements Layout {
  constructor(private readonly target: number, private readonly relation: Relation, private readonly excluded: number, private readonly source: Layout) {}

  resolve(expr: Expr): Scalar | undefined {
    if (expr.kind === 'Var' && (expr.varno === this.target || expr.varno === this.excluded)) {
      const other = expr.varno === this.excluded;
      const { attno } = expr;
      if (attno > 0) return other ? (frame) => frame.otherValues[attno - 1]! : (frame) => frame.values[attno - 1]!;
      if (attno < 0) return (frame) => frame.systemValues[-attno] ?? null;
      const types = this.relation.attributes.map((attribute) => attribute.atttypid);
      const typeOid = this.relation.reltype;
      return (frame): RecordValue => ({ typeOid, types, values: other ? frame.otherValues : frame.values });
    }
    return this.source.resolve(expr);
  }
}

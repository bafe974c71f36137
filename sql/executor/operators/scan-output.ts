/** What a scan of a relation reads: attribute numbers of its output Vars, whole rows included. */
import { notSupported } from '../../../engine/errors.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { Relation } from '../../catalog/catalog.js';
import type { Datum, RecordValue } from '../../types/datum.js';
import type { Vector } from '../batch.js';
import { anyVector, readVector } from '../vectors.js';

export class ScanOutput {
  /** Attribute numbers to read from storage. */
  readonly attnums: readonly number[];
  /** Columns of the result: position in attnums, or the positions that make a whole row. */
  private readonly columns: readonly (number | readonly number[])[];
  private readonly plain: boolean;
  private readonly rowTypes: readonly number[];

  constructor(private readonly relation: Relation, output: readonly Expr[]) {
    const attnums: number[] = [];
    const position = (attnum: number): number => {
      let at = attnums.indexOf(attnum);
      if (at < 0) at = attnums.push(attnum) - 1;
      return at;
    };
    this.columns = output.map((expr) => {
      if (expr.kind !== 'Var') throw notSupported('a computed column in a scan');
      if (expr.attno !== 0) return position(expr.attno);
      return relation.attributes.map((attribute) => (attribute.attisdropped ? -1 : position(attribute.attnum)));
    });
    this.attnums = attnums;
    this.rowTypes = relation.attributes.map((attribute) => attribute.atttypid);
    this.plain = this.columns.every((column, i) => column === i) && this.columns.length === attnums.length;
  }

  /** The result's vectors from those of `attnums`. */
  vectors(read: readonly Vector[], length: number): Vector[] {
    if (this.plain) return read as Vector[];
    return this.columns.map((column) => {
      if (typeof column === 'number') return read[column]!;
      const data = new Array<Datum>(length);
      for (let row = 0; row < length; row++) {
        const record: RecordValue = { typeOid: this.relation.reltype, types: this.rowTypes, values: column.map((c) => (c < 0 ? null : readVector(read[c]!, row))) };
        data[row] = record;
      }
      return anyVector(data);
    });
  }
}

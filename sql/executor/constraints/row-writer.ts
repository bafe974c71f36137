/** Writing rows with everything that follows: indexes, row checks, and the constraint events of each change. */
import type { Transaction } from '../../../engine/storage.js';
import { tableAccess } from '../../access/table-access.js';
import { TableWriter, type WriterContext } from '../../access/table-writer.js';
import type { Catalog, Constraint, Relation } from '../../catalog/catalog.js';
import { columnStore } from '../../columnar/relation-columns.js';
import type { EvalContext } from '../../functions/context.js';
import type { Datum } from '../../types/datum.js';
import { rowCompilerOf } from '../row-compiler.js';
import { constraintQueue, type ConstraintQueue } from './queue.js';

export function writerContext(transaction: Transaction, catalog: Catalog, context: EvalContext): WriterContext {
  return {
    transaction, catalog, evalContext: context, compileRow: rowCompilerOf(catalog, context),
    deferUnique(check) {
      const relation = catalog.relation(check.index.tableOid);
      const constraint = relation?.constraints.find((candidate) => candidate.conindid === check.index.oid && (candidate.contype === 'u' || candidate.contype === 'p'));
      // Made when there is something to check: most transactions have no queue.
      constraintQueue(transaction).push({ kind: 'unique', constraint: constraint ?? null, check });
    },
    loadsInBulk: (relation, loader) => columnStore(context.storage).follow(relation, loader, transaction, context),
  };
}

/** Notes the foreign key checks that a row's change asks for. */
export class ConstraintEvents {
  private readonly queue: ConstraintQueue;
  private readonly foreignKeys: readonly Constraint[];
  private readonly referencedBy: readonly Constraint[];

  constructor(private readonly relation: Relation, transaction: Transaction) {
    this.queue = constraintQueue(transaction);
    this.foreignKeys = relation.constraints.filter((constraint) => constraint.contype === 'f');
    this.referencedBy = relation.referencedBy;
  }

  get any(): boolean {
    return this.foreignKeys.length > 0 || this.referencedBy.length > 0;
  }

  inserted(rowId: number, values: readonly Datum[]): void {
    for (const constraint of this.foreignKeys) this.queue.push({ kind: 'check', constraint, rowId, values });
  }

  updated(rowId: number, before: readonly Datum[], after: readonly Datum[], catalog: Catalog): void {
    for (const constraint of this.foreignKeys) {
      if (this.keyChanged(constraint.conkey, before, after, catalog)) this.queue.push({ kind: 'check', constraint, rowId, values: after });
    }
    for (const constraint of this.referencedBy) {
      if (this.keyChanged(constraint.confkey, before, after, catalog)) this.queue.push({ kind: 'referenced', constraint, before, after });
    }
  }

  deleted(before: readonly Datum[]): void {
    for (const constraint of this.referencedBy) this.queue.push({ kind: 'referenced', constraint, before, after: null });
  }

  private keyChanged(columns: readonly number[], before: readonly Datum[], after: readonly Datum[], catalog: Catalog): boolean {
    return columns.some((attnum) => !sameDatum(before[attnum - 1]!, after[attnum - 1]!, this.relation.attributes[attnum - 1]!.atttypid, catalog));
  }
}

/** Whether two versions of a row agree in these columns. */
export function sameColumns(relation: Relation, columns: readonly number[], a: Uint8Array, b: Uint8Array, catalog: Catalog): boolean {
  const { codec } = tableAccess(relation, catalog);
  return columns.every((attnum) => sameDatum(codec.read(a, attnum - 1), codec.read(b, attnum - 1), relation.attributes[attnum - 1]!.atttypid, catalog));
}

export function sameDatum(a: Datum, b: Datum, type: number, catalog: Catalog): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  const dataType = catalog.dataType(type);
  if (dataType.equal) return (dataType.equal as (x: Datum, y: Datum) => boolean)(a, b);
  return dataType.compare ? (dataType.compare as (x: Datum, y: Datum) => number)(a, b) === 0 : false;
}

/** New writers for the relation in this transaction. */
export function newWriter(relation: Relation, transaction: Transaction, catalog: Catalog, context: EvalContext): TableWriter {
  return new TableWriter(relation, writerContext(transaction, catalog, context));
}

/**
 * A foreign key of a row to insert, where the row it refers to is found by one unique key: one look-up and the lock (KEY SHARE)
 * that the check at the statement's end would take. It comes before the row is written, so whatever is not plainly
 * there is left to the general way, which also says what is wrong.
 */
import { LONG_KEY, equalBytes } from '../../../engine/keycode.js';
import type { RowId } from '../../../engine/ids.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import { indexAccess, type IndexAccess } from '../../access/index-access.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog, Constraint, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { Datum } from '../../types/datum.js';
import type { ExecState } from '../exec-state.js';
import { rowCompilerOf } from '../row-compiler.js';
import { FIXED, TEXT } from './key-lookup.js';

export class ReferenceProbe {
  constructor(
    private readonly parent: Relation, private readonly table: TableAccess, private readonly index: IndexAccess,
    /** By column of the index: the referring column's position, and the referred one's. */
    readonly columns: readonly number[], private readonly parentColumns: readonly number[],
  ) {}

  /** `value`: of a column, by position. True: the row is there and locked. False: the general way must look. */
  check(value: (column: number) => Datum, { transaction }: ExecState): boolean | Pending {
    if (transaction.isolation !== 'read committed') return false;
    const wanted = new Array<Datum>(this.columns.length);
    for (let i = 0; i < wanted.length; i++) {
      const own = value(this.columns[i]!);
      if (own === null) return this.columns.every((column) => value(column) === null);
      wanted[i] = own;
    }
    const { parent, index, table } = this;
    const key = index.key(wanted, parent.relname);
    if (key.length >= LONG_KEY) return false;
    const rowId = transaction.lookup(index.index.storage, key, transaction.instantSnapshot());
    if (rowId <= 0) return false;
    const latest = transaction.latestSnapshot();
    try {
      const locked = transaction.lockRow(parent.storage, rowId as RowId, 'key share', 'wait', latest);
      if (locked instanceof Pending) return locked;
      if (locked.kind !== 'locked') return false;
      const newest = table.fetchOne(transaction, latest, rowId as RowId);
      if (!newest || newest instanceof Pending || hasLarge(newest.tuple)) return false;
      return equalBytes(index.key(this.parentColumns.map((column) => table.codec.read(newest.tuple, column)), parent.relname), key);
    } finally {
      latest.release();
    }
  }
}

/** A probe for each foreign key of the relation; null where one cannot be checked so. */
export function referenceProbes(relation: Relation, catalog: Catalog, context: EvalContext): ReferenceProbe[] | null {
  const probes: ReferenceProbe[] = [];
  for (const constraint of relation.constraints) {
    if (constraint.contype !== 'f') continue;
    const probe = probeOf(constraint, relation, catalog, context);
    if (!probe) return null;
    probes.push(probe);
  }
  return probes;
}

function probeOf(constraint: Constraint, relation: Relation, catalog: Catalog, context: EvalContext): ReferenceProbe | undefined {
  const parent = catalog.relation(constraint.confrelid);
  if (constraint.condeferrable || !parent || parent.relkind !== 'r') return undefined;
  const index = parent.indexes.find((candidate) => candidate.unique && candidate.immediate && candidate.valid && candidate.predicateText === null
    && candidate.keyColumns.length === constraint.confkey.length && candidate.keyColumns.every((key) => constraint.confkey.includes(key.attnum)));
  if (!index) return undefined;
  const columns: number[] = [];
  for (const { attnum, typeOid } of index.keyColumns) {
    const own = constraint.conkey[constraint.confkey.indexOf(attnum)]!;
    if (relation.attributes[own - 1]!.atttypid !== typeOid || relation.attributes[own - 1]!.attgenerated !== '' || !(typeOid in FIXED || typeOid in TEXT)) return undefined;
    columns.push(own - 1);
  }
  return new ReferenceProbe(parent, tableAccess(parent, catalog), indexAccess(index, catalog, rowCompilerOf(catalog, context)), columns, index.keyColumns.map((key) => key.attnum - 1));
}

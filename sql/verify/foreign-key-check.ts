/** Whether a row's foreign key leads to a row of the other table: by that table's unique index, as of the check's snapshot. */
import { Pending } from '../../engine/pending.js';
import type { IndexBlock } from '../../engine/storage.js';
import { indexAccess } from '../access/index-access.js';
import type { Constraint } from '../catalog/catalog.js';
import { keyCasts } from '../executor/constraints/key-casts.js';
import { rowCompilerOf } from '../executor/row-compiler.js';
import type { Datum } from '../types/datum.js';
import type { CheckContext } from './relation-check.js';

const INTEGERS: ReadonlySet<number> = new Set([20, 21, 23]);

export interface ForeignKeyCheck {
  /** What is wrong with the row; null when nothing is. */
  problem(values: readonly Datum[]): string | null;
}

export function foreignKeyCheck(constraint: Constraint, context: CheckContext): ForeignKeyCheck | undefined {
  const { catalog, transaction, snapshot } = context;
  const parent = catalog.relation(constraint.confrelid);
  const child = catalog.relation(constraint.conrelid);
  if (!parent || !child) return undefined;
  const keys = constraint.confkey;
  const index = parent.indexes.find(
    (candidate) => candidate.unique && candidate.ready && candidate.predicateText === null && candidate.keyColumns.length === keys.length && candidate.keyColumns.every((column) => keys.includes(column.attnum)),
  );
  if (!index) return undefined;
  /** By position in the index: which column of the child. */
  const columns = index.keyColumns.map((column) => constraint.conkey[keys.indexOf(column.attnum)]!);
  const casts = keyCasts(constraint, child, parent, catalog, context.eval);
  const order = index.keyColumns.map((column) => keys.indexOf(column.attnum));
  const access = indexAccess(index, catalog, rowCompilerOf(catalog, context.eval));
  const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  return {
    problem(values) {
      let key = columns.map((attnum) => values[attnum - 1]!);
      const nulls = key.filter((value) => value === null).length;
      if (nulls > 0) return constraint.confmatchtype === 'f' && nulls < key.length ? `foreign key "${constraint.conname}" is null in part` : null;
      if (casts) {
        const cast = casts.toParent(values, catalog, context.eval);
        if (!cast) return missing(constraint);
        key = order.map((i) => cast[i]!);
      }
      // Beyond what the other side's type can hold.
      if (key.some((value) => typeof value === 'bigint') && !index.keyColumns.every((column) => column.typeOid === 20 || !INTEGERS.has(column.typeOid))) return missing(constraint);
      const bytes = access.key(key, parent.relname).slice();
      const cursor = transaction.scanIndex(index.storage, snapshot, { lower: bytes, lowerInclusive: true, upper: bytes, upperInclusive: true });
      try {
        const filled = cursor.fill(block, 1);
        return filled instanceof Pending || filled > 0 ? null : missing(constraint);
      } finally {
        cursor.close();
      }
    },
  };
}

function missing(constraint: Constraint): string {
  return `violates foreign key "${constraint.conname}": the row that it refers to is not there`;
}

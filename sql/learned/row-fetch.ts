/** Rows by their ids, many at once, as vectors of the columns asked for. */
import type { RowId } from '../../engine/ids.js';
import type { Pending } from '../../engine/pending.js';
import { slabCopy } from '../../engine/slab.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import type { Vector } from '../executor/batch.js';
import type { ExecState } from '../executor/exec-state.js';
import { waitFor } from '../executor/operators/operator.js';

export class RowFetch {
  private readonly table: TableAccess;

  constructor(relation: Relation, private readonly attnums: readonly number[], private readonly state: ExecState) {
    this.table = tableAccess(relation, state.catalog);
  }

  /** Row `i` of the result is `rowIds[i]`: each is a row that the snapshot sees. */
  *fetch(rowIds: readonly number[], count: number): Generator<Pending, Vector[]> {
    const { table, attnums, state } = this;
    if (attnums.length === 0) return [];
    const tuples = new Array<Uint8Array>(count);
    const xmins = new Array<number>(count);
    for (let i = 0; i < count; i++) {
      const version = yield* waitFor(() => table.fetch(state.transaction, state.snapshot, rowIds[i]! as RowId));
      if (!version) throw new Error(`an index entry leads to row ${rowIds[i]}, which is not there`);
      tuples[i] = slabCopy(version.tuple, 0, version.tuple.length);
      xmins[i] = version.xmin;
    }
    yield* waitFor(() => table.load(attnums, tuples, count) ?? true);
    return table.decode(attnums, tuples, rowIds, xmins, count);
  }
}

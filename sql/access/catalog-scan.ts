/** Rows of catalog tables and of sequences, which no plain storage holds in the form that SELECT shows. */
import { Pending } from '../../engine/pending.js';
import type { Snapshot, Transaction } from '../../engine/storage.js';
import type { Relation } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { CatalogEntry } from '../catalog/layers.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { CTID, sequenceRowId, TABLEOID, XMIN } from './system-columns.js';
import { sequenceRow } from './sequence.js';

export interface CatalogScanState {
  readonly context: EvalContext;
  readonly transaction: Transaction;
  readonly snapshot: Snapshot;
}

/** Born rows come first in a catalog table's ctids. */
const FIRST_OWN_CTID = 65536 * 16;

function systemColumn(attnum: number, relation: Relation, entry: CatalogEntry): Datum {
  switch (attnum) {
    case CTID: return entry.identity < 0 ? -entry.identity : FIRST_OWN_CTID + entry.identity;
    case XMIN: return entry.xmin;
    case TABLEOID: return relation.oid;
    default: return 0;
  }
}

/** `attnums` of every row that the snapshot sees. */
export function* scanCatalogRows(relation: Relation, attnums: readonly number[], state: CatalogScanState): Generator<readonly Datum[]> {
  if (relation.relkind === 'S') {
    const values = sequenceRow(state.context, relation);
    yield attnums.map((attnum) => (attnum > 0 ? values[attnum - 1]! : systemColumn(attnum, relation, { identity: -sequenceRowId, rowId: 0, xmin: 2, values: null })));
    return;
  }
  const view = state.context.catalog as CatalogView;
  const seen = view.entriesAt(state.transaction, state.snapshot, relation.oid);
  const entries = seen instanceof Pending ? view.scan(relation.relname) : seen;
  for (const entry of entries) {
    yield attnums.map((attnum) => (attnum > 0 ? (entry.values![attnum - 1] ?? null) : systemColumn(attnum, relation, entry)));
  }
}

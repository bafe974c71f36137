/** What a replay gathered (replay-cache.ts) goes to the state, in key order: each row and entry once, with what it came to. */
import type { RowId, StorageId } from '../ids.js';
import { writeUint48 } from '../keycode.js';
import { NO_TUPLE } from './change-writer.js';
import type { ChangeWriter } from './change-writer.js';
import type { ReplayCache, ReplayedRow } from './replay-cache.js';
import { HEAP_KEY, ROW_HEADER, hasLarge, heapKey } from './row-format.js';

/** Dead lists of a replay are apart from those of the records, under whatever LSN they come to stand. */
const FIRST_LIST = 1 << 20;

const ascending = (a: number, b: number): number => a - b;

export class ReplayWriter {
  private lists = FIRST_LIST;
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly keyScratch = new Uint8Array(2048);

  constructor(private readonly changes: ChangeWriter) {}

  flush(replayed: ReplayCache): void {
    if (replayed.empty) return;
    const { changes } = this;
    const { lsn, xid, flags } = changes;
    changes.flags = 0;
    changes.flushDeadList();
    changes.dead.piece = this.lists;
    for (const storage of [...replayed.rows.keys()].sort(ascending)) {
      const rows = replayed.rows.get(storage)!;
      for (const rowId of Float64Array.from(rows.keys()).sort()) this.putRow(storage, rowId as RowId, rows.get(rowId as RowId)!);
    }
    for (const index of [...replayed.entries.keys()].sort(ascending)) this.putEntries(index, replayed);
    replayed.clear();
    changes.lsn = lsn;
    changes.xid = xid;
    changes.flags = flags;
    changes.flushDeadList();
    this.lists = changes.dead.piece;
    changes.dead.piece = 0;
  }

  private putRow(storage: StorageId, rowId: RowId, row: ReplayedRow): void {
    const { changes, rowKey } = this;
    const { writer, undo } = changes;
    const info = changes.info(storage);
    changes.dirty.add(info);
    if (rowId >= info.nextRowId) info.nextRowId = (rowId + 1) as RowId;
    changes.lsn = row.lsn;
    changes.xid = row.xid;
    if (undo.aborted.size > 0) undo.row(writer, storage, rowId);
    const found = writer.get('heap', heapKey(rowKey, storage, rowId));
    if (found) {
      const old = found.subarray(ROW_HEADER);
      changes.tally(info, rowId, old, -1);
      if (hasLarge(old)) changes.freeSuperseded(storage, old.slice(), row.tuple ?? NO_TUPLE);
      if (!row.tuple) writer.delete('heap', heapKey(rowKey, storage, rowId));
    }
    if (!row.tuple) return;
    changes.tally(info, rowId, row.tuple, 1);
    changes.putRow(storage, rowId, 0, row.tuple);
  }

  private putEntries(index: StorageId, replayed: ReplayCache): void {
    const { changes, keyScratch } = this;
    const { writer, undo } = changes;
    const entries = replayed.entries.get(index)!;
    for (const name of [...entries.keys()].sort()) {
      const entry = entries.get(name)!;
      const full = keyScratch.subarray(0, 6 + name.length);
      writeUint48(full, 0, index);
      for (let i = 0; i < name.length; i++) full[6 + i] = name.charCodeAt(i);
      if (undo.aborted.size > 0) undo.entry(writer, full);
      if (entry.payload) changes.putEntry(full, entry.lsn, entry.payload);
      else writer.delete('index', full);
    }
  }
}

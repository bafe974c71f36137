/**
 * Committed rows of a range of row ids, read by another thread from the state alone. The state must have
 * applied everything up to `s`. What it cannot decide (a row that changed after `s`, or whose transaction is open) it
 * says so, and the asker reads that row through the engine. Rows deleted after `s` are not among them: the asker
 * knows from a ChangeWatch that was there before.
 */
import { readUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { Chunk, KeyValueStore, Walker } from '../kv/key-value-store.js';
import { metaKey } from './meta.js';
import { Flag, HEAP_KEY, ROW_HEADER, heapKey, isRow, verifyRow } from './row-format.js';

/**
 * A row's tuple where it lies, bytes [start, end) and the same as `view`: valid during the call. null: one that the engine must
 * be asked for; these come again at the end.
 */
export interface BlockVisitor {
  (rowId: RowId, bytes: Uint8Array | null, view: DataView, start: number, end: number): void;
}

const NO_VIEW = new DataView(new ArrayBuffer(0));

export class BlockReader {
  private readonly chunk: Chunk = { keys: [], values: [] };
  private readonly lower = new Uint8Array(HEAP_KEY);
  private readonly upper = new Uint8Array(HEAP_KEY);

  constructor(private readonly kv: KeyValueStore) {}

  /**
   * Rows from..to (both included). What `own` wrote counts as committed: it is read ahead of its commit, for then. The caller
   * knows by itself what becomes of it.
   */
  read(storage: StorageId, from: RowId, to: RowId, s: Lsn, own: ReadonlySet<Xid>, each: BlockVisitor): void {
    this.kv.bulk((walker) => this.readState(walker, storage, from, to, s, own, each));
  }

  private readState(walker: Walker, storage: StorageId, from: RowId, to: RowId, s: Lsn, own: ReadonlySet<Xid>, each: BlockVisitor): void {
    const { chunk, lower, upper, kv } = this;
    const fates = this.fates();
    for (const xid of own) fates.set(xid, 0 as Lsn);
    let viewed: Uint8Array | undefined;
    let view: DataView | undefined;
    let valued: Uint8Array | undefined;
    let valueView: DataView = NO_VIEW;
    heapKey(lower, storage, from);
    heapKey(upper, storage, (to + 1) as RowId);
    walker.walk('heap', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd, checked) => {
      if (keys !== viewed) {
        viewed = keys;
        view = new DataView(keys.buffer, keys.byteOffset, keys.length);
      }
      const rowId = readUint48(keys, keyStart + 6) as RowId;
      const decided = values[valueStart]! & Flag.provisional ? (fates.get(readUint48(values, valueStart + 7) as Xid) ?? Infinity) : readUint48(values, valueStart + 1);
      if (decided > s) {
        each(rowId, null, view!, 0, 0);
        return false;
      }
      if (!checked && (values !== keys || !isRow(view!, keyStart, keyEnd, valueStart, valueEnd))) verifyRow(values.subarray(valueStart, valueEnd), keys.subarray(keyStart, keyEnd));
      if (values !== valued) {
        valued = values;
        valueView = values === keys ? view! : new DataView(values.buffer, values.byteOffset, values.length);
      }
      each(rowId, values, valueView, valueStart + ROW_HEADER, valueEnd);
      return false;
    }, true);
    // Deaths that are undecided, or of transactions that were rolled back and are not undone yet: the row may stand.
    chunk.keys.length = chunk.values.length = 0;
    const dead = kv.scan('deleted', heapKey(lower, storage, from), heapKey(upper, storage, (to + 1) as RowId), false, Infinity, chunk);
    for (let i = 0; i < dead; i++) {
      const death = chunk.values[i]!;
      const decided = death[12] === 1 ? (fates.get(readUint48(death, 6) as Xid) ?? Infinity) : readUint48(death, 0);
      if (decided > s) each(readUint48(chunk.keys[i]!, 6) as RowId, null, NO_VIEW, 0, 0);
    }
  }

  /** Commits of transactions that wrote ahead. */
  private fates(): Map<Xid, Lsn> {
    const found: Chunk = { keys: [], values: [] };
    this.kv.scan('meta', metaKey('x', 0), metaKey('y', 0), false, Infinity, found);
    return new Map(found.keys.flatMap((key, i): [Xid, Lsn][] => {
      const lsn = readUint48(found.values[i]!, 0) as Lsn;
      return lsn > 0 ? [[readUint48(key, 1) as Xid, lsn]] : [];
    }));
  }
}

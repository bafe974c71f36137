/**
 * Row ids of a short index range without a cursor: the stored entries where they lie (KeyValueStore.indexRows), and among them those of the
 * overlay. Where anything else has a say (own writes in the range, entries dead since the snapshot) only a scan can tell.
 */
import type { Lsn, StorageId } from '../ids.js';
import { writeUint48 } from '../keycode.js';
import type { IndexRows } from '../kv/key-value-store.js';
import type { KeyRange } from '../storage.js';
import { entryBounds } from './index-scan.js';
import type { VersionStore } from './version-store.js';
import type { IndexWrite } from './write.js';
import type { StorageWrites } from './write-set.js';

/** What a scan must tell. */
export const UNTOLD = -1;
/** More entries than these of the overlay in one range are left to a scan. */
const MOST_RECENT = 64;
const EMPTY = new Uint8Array(0);
const PREFIX = 6;
const NO_STOPS: readonly Uint8Array[] = [];

export class RangeRows {
  private readonly keys: Uint8Array[] = [];
  private readonly writes: IndexWrite[] = [];
  private readonly rows: IndexRows;
  private scratch = new Float64Array(320);

  constructor(private readonly store: VersionStore) {
    this.rows = { rowIds: this.scratch, stops: NO_STOPS, before: [], fates: store.staged };
  }

  /** Fills `into`, which has room for them, with at most `max` row ids; answers how many, or UNTOLD. */
  read(index: StorageId, s: Lsn, own: StorageWrites | undefined, range: KeyRange, max: number, into: Float64Array): number {
    const { store, rows } = this;
    if (!store.kv.indexRows || store.mergesDead(index, s)) return UNTOLD;
    const bounds = entryBounds(range);
    if (!bounds) return 0;
    const reverse = range.reverse === true;
    const { lower, upper } = bounds;
    if (own?.hasEntries && this.collect(own, lower, upper, reverse, 1) > 0) return UNTOLD;
    const recent = store.overlay.find(index);
    const found = recent?.hasEntries ? this.collect(recent, lower, upper, reverse, MOST_RECENT) : 0;
    if (found === MOST_RECENT) return UNTOLD;
    const from = bounded(index, lower);
    const to = upper ? bounded(index, upper) : bounded((index + 1) as StorageId, EMPTY);
    if (found === 0) {
      rows.stops = NO_STOPS;
      rows.rowIds = into;
      return store.kv.indexRows(from, to, reverse, s, max, rows);
    }
    return this.merged(index, s, from, to, reverse, max, into, found);
  }

  private collect(writes: StorageWrites, lower: Uint8Array, upper: Uint8Array | undefined, reverse: boolean, max: number): number {
    this.keys.length = 0;
    this.writes.length = 0;
    return writes.entries.collect(lower, upper, reverse, max, this.keys, this.writes);
  }

  /** The overlay wins: what it says of an entry counts, and not what is stored. */
  private merged(index: StorageId, s: Lsn, from: Uint8Array, to: Uint8Array, reverse: boolean, max: number, into: Float64Array, found: number): number {
    const { store, rows, keys, writes } = this;
    const stops: Uint8Array[] = [];
    const added: number[] = [];
    for (let i = 0; i < found; i++) {
      let write: IndexWrite | undefined = writes[i];
      while (write && write.lsn > s) write = write.older;
      if (!write) continue;
      stops.push(bounded(index, keys[i]!));
      added.push(write.payload ? write.rowId : 0);
    }
    rows.stops = stops;
    if (this.scratch.length < max) this.scratch = new Float64Array(max);
    rows.rowIds = this.scratch;
    const stored = store.kv.indexRows!(from, to, reverse, s, max, rows);
    if (stored < 0) return UNTOLD;
    const { before, rowIds } = rows;
    let count = 0;
    for (let i = 0, stop = 0; count < max; i++) {
      for (; stop < before.length && before[stop] === i && count < max; stop++) if (added[stop] !== 0) into[count++] = added[stop]!;
      if (i >= stored || count >= max) break;
      into[count++] = rowIds[i]!;
    }
    return count;
  }
}

function bounded(storage: StorageId, bound: Uint8Array): Uint8Array {
  const out = new Uint8Array(PREFIX + bound.length);
  writeUint48(out, 0, storage);
  for (let i = 0; i < bound.length; i++) out[PREFIX + i] = bound[i]!;
  return out;
}

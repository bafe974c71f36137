/**
 * A scan of a storage in row id order. Each fill copies one chunk of the heap, merges what the
 * overlay and the transaction itself changed, and, for snapshots older than the storage's last
 * delete, the rows deleted since. Nothing is held between fills but the next row id.
 */
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { readUint48 } from '../keycode.js';
import type { Chunk } from '../kv/key-value-store.js';
import type { RowBlock, RowCursor, RowVersion, RowVisitor, Snapshot } from '../storage.js';
import { slabCopy } from '../slab.js';
import { HEAP_KEY, ROW_HEADER, damaged, heapKey, isRow, verifyRow, xidOf } from './row-format.js';
import { Hit } from './version-store.js';
import type { OwnVersions, VersionStore } from './version-store.js';
import type { StorageWrites } from './write-set.js';

const LAST_ROW = 2 ** 48 - 2;
const MAX_CHUNK = 1024;
/** From so many rows on a scan is a long one, which asks for so many at once that pinning a state pays. */
const LONG_SCAN = 1024;
const LONG_FILL = 256;
const PAGES_CHUNK = 2048;

/** What a scan asks of its transaction for rows that it or the overlay changed. */
export interface RowResolver {
  /** Throws 72000 when the versions that it needs may be gone. */
  checkAge(): void;
  /** What it wrote ahead, as the snapshot sees it. */
  ownVersions(snapshot: Snapshot): OwnVersions | undefined;
  /** Under 'latest': a version of this LSN was met. */
  sawVersion(lsn: Lsn): void;
  resolveRow(storage: StorageId, rowId: RowId, snapshot: Snapshot, s: Lsn): RowVersion | undefined;
}

export class HeapScan implements RowCursor {
  private next: number;
  private readonly last: number;
  private readonly extras: RowId[];
  private extra = 0;
  private chunk: Chunk = { keys: [], values: [] };
  private dead: Chunk = { keys: [], values: [] };
  /** Rows read so far. */
  private looked = 0;
  /** So many rows are merged at least, because none of those before could be seen. */
  private unseen = 0;
  /** The last chunk had few gaps between row ids. */
  private dense = true;
  private readonly hit = new Hit();
  private readonly single: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  private readonly lower = new Uint8Array(HEAP_KEY);
  private readonly upper = new Uint8Array(HEAP_KEY);

  constructor(
    private readonly resolver: RowResolver,
    private readonly store: VersionStore,
    private readonly storage: StorageId,
    private readonly snapshot: Snapshot,
    /** The snapshot's LSN; a fixed one for 'latest'. */
    private readonly s: Lsn,
    own: StorageWrites | undefined,
    from: number,
    to: number,
  ) {
    this.next = from;
    this.last = Math.min(to, LAST_ROW);
    this.extras = changedRows(own, store.overlay.find(storage), from, this.last);
  }

  fill(block: RowBlock, max: number): number {
    this.resolver.checkAge();
    block.length = 0;
    this.unseen = 0;
    while (block.length === 0 && this.next <= this.last) {
      if (this.extras.length === 0 && !this.mergesDead()) this.fillPlain(block, max);
      else this.fillMerged(block, max);
    }
    return block.length;
  }

  private mergesDead(): boolean {
    return this.store.mergesDead(this.storage, this.s);
  }

  private read(max: number): number {
    this.chunk.keys.length = 0;
    this.chunk.values.length = 0;
    heapKey(this.lower, this.storage, this.next as RowId);
    heapKey(this.upper, this.storage, (this.last + 1) as RowId);
    return this.store.kv.scan('heap', this.lower, this.upper, false, max, this.chunk);
  }

  private fillPlain(block: RowBlock, max: number): void {
    const limit = Math.min(max, MAX_CHUNK, this.last - this.next + 1);
    if (this.looked >= LONG_SCAN && limit >= LONG_FILL) return this.fillPages(block, Math.min(max, PAGES_CHUNK));
    this.looked += limit;
    if (this.dense && this.fillRun(block, limit)) return;
    const count = this.read(limit);
    const { keys, values } = this.chunk;
    for (let i = 0; i < count; i++) this.emitStored(block, readUint48(keys[i]!, 6) as RowId, keys[i]!, values[i]!);
    const first = this.next;
    this.next = count < limit ? this.last + 1 : readUint48(keys[count - 1]!, 6) + 1;
    this.dense = this.next - first < 2 * limit;
  }

  private fillPages(block: RowBlock, limit: number): void {
    this.visitPages(limit, (rowId, xmin, bytes, _, start, end) => push(block, rowId, slabCopy(bytes, start, end), xmin));
  }

  visit(max: number, each: RowVisitor): number | undefined {
    this.resolver.checkAge();
    while (this.next <= this.last) {
      if (this.looked < LONG_SCAN || this.extras.length > 0 || this.mergesDead()) return undefined;
      const count = this.visitPages(Math.min(max, PAGES_CHUNK), each);
      if (count > 0) return count;
    }
    return 0;
  }

  /** From the store's pages: a tenth of what asking for each row costs, and its check is made where it lies. */
  private visitPages(limit: number, each: RowVisitor): number {
    const { store, storage, s, single } = this;
    heapKey(this.lower, storage, this.next as RowId);
    heapKey(this.upper, storage, (this.last + 1) as RowId);
    let looked = 0;
    let given = 0;
    let viewed: Uint8Array | undefined;
    let view!: DataView;
    const all = store.kv.bulk((walker) =>
      walker.walk('heap', this.lower, this.upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd, checked) => {
        if (looked++ === limit) return true;
        const rowId = readUint48(keys, keyStart + 6) as RowId;
        this.next = rowId + 1;
        if (values !== keys || valueEnd - valueStart < ROW_HEADER || store.decidedStampAt(values, valueStart) > s) {
          single.length = 0;
          const key = keys.slice(keyStart, keyEnd);
          this.emitStored(single, rowId, key, checked ? store.kv.get('heap', key)!.slice() : values.slice(valueStart, valueEnd));
          if (single.length === 0) return false;
          const tuple = single.tuples[0]!;
          given++;
          each(rowId, single.xmins[0]! as Xid, tuple, new DataView(tuple.buffer, tuple.byteOffset, tuple.length), 0, tuple.length);
          return false;
        }
        if (keys !== viewed) {
          viewed = keys;
          view = new DataView(keys.buffer, keys.byteOffset, keys.length);
        }
        if (!checked && !isRow(view, keyStart, keyEnd, valueStart, valueEnd)) throw damaged('row', keys.slice(keyStart, keyEnd));
        given++;
        each(rowId, readUint48(values, valueStart + 7) as Xid, values, view, valueStart + ROW_HEADER, valueEnd);
        return false;
      }, true),
    );
    if (all) this.next = this.last + 1;
    return given;
  }

  /** Row ids without gaps, which most are: the next ones are asked for by key. False: there is none with the next id. */
  private fillRun(block: RowBlock, limit: number): boolean {
    const { values } = this.chunk;
    values.length = 0;
    const key = heapKey(this.lower, this.storage, this.next as RowId);
    const count = this.store.kv.run('heap', key, limit, values);
    for (let i = 0; i < count; i++, this.next++) this.emitStored(block, this.next as RowId, heapKey(this.lower, this.storage, this.next as RowId), values[i]!);
    return count > 0;
  }

  /** Adds the version of a heap row that the snapshot sees. */
  private emitStored(block: RowBlock, rowId: RowId, key: Uint8Array, value: Uint8Array): void {
    if (this.store.decidedStamp(value) <= this.s) {
      verifyRow(value, key);
      push(block, rowId, value.subarray(ROW_HEADER), xidOf(value));
      return;
    }
    if (!this.store.readChain(this.storage, rowId, value, this.s, this.resolver.ownVersions(this.snapshot), this.hit)) return;
    // A version from history is only lent.
    push(block, rowId, this.hit.tuple.slice(), this.hit.xid);
  }

  private fillMerged(block: RowBlock, max: number): void {
    // Rows that nobody sees yet, of a load in progress say, are passed over in ever larger steps.
    const limit = Math.min(Math.max(max, this.unseen), MAX_CHUNK);
    this.unseen = Math.min(MAX_CHUNK, limit * 2);
    const count = this.read(limit);
    const { keys, values } = this.chunk;
    let bound = count < limit ? this.last : readUint48(keys[count - 1]!, 6);
    let deadCount = 0;
    if (this.mergesDead()) {
      this.dead.keys.length = 0;
      this.dead.values.length = 0;
      heapKey(this.upper, this.storage, (bound + 1) as RowId);
      deadCount = this.store.kv.scan('deleted', this.lower, this.upper, false, limit, this.dead);
      if (deadCount === limit) bound = Math.min(bound, readUint48(this.dead.keys[deadCount - 1]!, 6));
    }
    let h = 0;
    let d = 0;
    const { extras } = this;
    while (this.extra < extras.length && extras[this.extra]! < this.next) this.extra++;
    while (block.length < max) {
      const heapRow = h < count ? readUint48(keys[h]!, 6) : Infinity;
      const deadRow = d < deadCount ? readUint48(this.dead.keys[d]!, 6) : Infinity;
      const extraRow = this.extra < extras.length ? extras[this.extra]! : Infinity;
      const rowId = Math.min(heapRow, deadRow, extraRow);
      if (rowId > bound) {
        this.next = bound + 1;
        return;
      }
      if (rowId === extraRow) {
        const version = this.resolver.resolveRow(this.storage, rowId as RowId, this.snapshot, this.s);
        if (version) push(block, rowId as RowId, version.tuple.slice(), version.xmin);
        this.extra++;
      } else if (rowId === heapRow) this.emitStored(block, rowId as RowId, keys[h]!, values[h]!);
      else {
        if (this.store.readDead(this.storage, rowId as RowId, this.dead.values[d]!, this.s, this.resolver.ownVersions(this.snapshot), this.hit))
          push(block, rowId as RowId, this.hit.tuple.slice(), this.hit.xid);
      }
      if (heapRow === rowId) h++;
      if (deadRow === rowId) d++;
      this.next = rowId + 1;
    }
  }

  close(): void {
    this.next = this.last + 1;
  }
}

function push(block: RowBlock, rowId: RowId, tuple: Uint8Array, xmin: Xid): void {
  const at = block.length++;
  block.rowIds[at] = rowId;
  block.tuples[at] = tuple;
  block.xmins[at] = xmin;
}

/** Row ids in [from, to] that the transaction or the overlay changed, ascending. */
function changedRows(own: StorageWrites | undefined, overlay: StorageWrites | undefined, from: number, to: number): RowId[] {
  const rows: RowId[] = [];
  if (own) for (const rowId of own.rows.keys()) if (rowId >= from && rowId <= to) rows.push(rowId);
  if (overlay) for (const rowId of overlay.rows.keys()) if (rowId >= from && rowId <= to && !own?.rows.has(rowId)) rows.push(rowId);
  let ascending = true;
  for (let i = 1; i < rows.length && ascending; i++) ascending = rows[i]! > rows[i - 1]!;
  return ascending ? rows : rows.sort((a, b) => a - b);
}

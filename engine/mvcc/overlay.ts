/**
 * What is committed and not yet applied: per row and per index entry the chain of its versions,
 * newest first. Readers look here before the key-value store and the overlay wins, so an entry that
 * is in both is never seen twice. Trimmed in LSN order as the applier advances, and only after
 * `refresh()` of the store in this thread, so that nothing is ever in neither.
 */
import type { Lsn, RowId, StorageId } from '../ids.js';
import type { RowCache } from './row-cache.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import type { RowWrite, Write } from './write.js';
import { StorageWrites } from './write-set.js';

interface Committed {
  readonly lsn: Lsn;
  readonly writes: readonly Change[];
}

export class Overlay {
  private readonly storages = new Map<StorageId, StorageWrites>();
  /** Batches that nobody has looked into, by storage, oldest first. */
  private readonly closed = new Map<StorageId, WriteBatch[]>();
  private queue: Committed[] = [];
  private head = 0;
  rowCount = 0;

  constructor(private readonly cache: RowCache) {}

  has(storage: StorageId): boolean {
    return this.storages.has(storage) || this.closed.has(storage);
  }

  find(storage: StorageId): StorageWrites | undefined {
    if (this.closed.size > 0 && this.closed.has(storage)) this.takeApart(storage);
    return this.storages.get(storage);
  }

  /** The newest version of a row. */
  findRow(storage: StorageId, rowId: RowId): RowWrite | undefined {
    if (this.closed.size > 0 && this.closed.get(storage)?.some((batch) => batch.mayHaveRow(rowId))) this.takeApart(storage);
    return this.storages.get(storage)?.rows.get(rowId);
  }

  /** Where entries with this key are, if there are any. */
  findKey(index: StorageId, key: Uint8Array): StorageWrites | undefined {
    if (this.closed.size > 0 && this.closed.get(index)?.some((batch) => batch.mayHaveKey(key))) this.takeApart(index);
    return this.storages.get(index);
  }

  add(lsn: Lsn, writes: readonly Change[]): void {
    for (const write of writes) {
      write.lsn = lsn;
      if (write instanceof WriteBatch) this.addBatch(write);
      else this.addWrite(write);
    }
    this.queue.push({ lsn, writes });
  }

  private addWrite(write: Write): void {
    const id = write.isRow ? write.storage : write.index;
    // What is born has no version or entry before it, so none in a batch.
    let storage = write.born ? this.storages.get(id) : this.find(id);
    if (!storage) this.storages.set(id, (storage = new StorageWrites()));
    if (write.isRow) {
      if (!write.born) this.cache.dropRow(id, write.rowId);
      write.older = storage.rows.get(write.rowId);
      if (write.older) write.older.newer = write;
      storage.rows.set(write.rowId, write);
    } else {
      this.cache.dropKey(id, write.key);
      write.older = storage.entries.set(write.entry, write);
      if (write.older) write.older.newer = write;
    }
    this.rowCount++;
  }

  private addBatch(batch: WriteBatch): void {
    const { storage } = batch;
    if (batch.writes) {
      // A rival's look came between the commit's list and here.
      for (const write of batch.writes) {
        write.lsn = batch.lsn;
        write.xid = batch.xid;
        this.addWrite(write);
      }
      return;
    }
    if (!batch.isRow && !this.cache.empty) batch.forEachEntry((key) => this.cache.dropKey(storage, key));
    const list = this.closed.get(storage);
    if (list) list.push(batch);
    else this.closed.set(storage, [batch]);
    this.rowCount += batch.count;
  }

  /** Somebody reads the storage. */
  private takeApart(storage: StorageId): void {
    const batches = this.closed.get(storage)!;
    this.closed.delete(storage);
    for (const batch of batches) {
      this.rowCount -= batch.count;
      for (const write of batch.apart()) this.addWrite(write);
    }
  }

  /** Forgets versions of commits at or before `applied`. */
  trim(applied: Lsn): void {
    while (this.head < this.queue.length && this.queue[this.head]!.lsn <= applied) {
      const { writes } = this.queue[this.head]!;
      this.queue[this.head++] = undefined as never;
      for (const write of writes) {
        if (!(write instanceof WriteBatch)) this.remove(write);
        else if (write.writes) for (const single of write.writes) this.remove(single);
        else this.removeBatch(write);
      }
    }
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }

  /** The oldest of its storage. */
  private removeBatch(batch: WriteBatch): void {
    const list = this.closed.get(batch.storage)!;
    list.shift();
    if (list.length === 0) this.closed.delete(batch.storage);
    this.rowCount -= batch.count;
  }

  /** `write` is the oldest of its chain: commits are trimmed in order. */
  private remove(write: Write): void {
    this.rowCount--;
    const id = write.isRow ? write.storage : write.index;
    const storage = this.storages.get(id);
    if (!storage) return;
    if (write.newer) write.newer.older = undefined;
    else if (write.isRow) storage.rows.delete(write.rowId);
    else storage.entries.delete(write.entry);
    if (storage.empty) this.storages.delete(id);
  }
}

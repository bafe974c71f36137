/**
 * What is committed and not yet applied: per row and per index entry the chain of its versions,
 * newest first. Readers look here before the key-value store and the overlay wins, so an entry that
 * is in both is never seen twice. Trimmed in LSN order as the applier advances, and only after
 * `refresh()` of the store in this thread, so that nothing is ever in neither.
 */
import type { Lsn, StorageId } from '../ids.js';
import type { RowCache } from './row-cache.js';
import type { Write } from './write-set.js';
import { StorageWrites } from './write-set.js';

interface Committed {
  readonly lsn: Lsn;
  readonly writes: readonly Write[];
}

export class Overlay {
  private readonly storages = new Map<StorageId, StorageWrites>();
  private queue: Committed[] = [];
  private head = 0;
  rowCount = 0;

  constructor(private readonly cache: RowCache) {}

  find(storage: StorageId): StorageWrites | undefined {
    return this.storages.get(storage);
  }

  add(lsn: Lsn, writes: readonly Write[]): void {
    for (const write of writes) {
      write.lsn = lsn;
      const id = write.isRow ? write.storage : write.index;
      let storage = this.storages.get(id);
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
    }
    this.rowCount += writes.length;
    this.queue.push({ lsn, writes });
  }

  /** Forgets versions of commits at or before `applied`. */
  trim(applied: Lsn): void {
    while (this.head < this.queue.length && this.queue[this.head]!.lsn <= applied) {
      const { writes } = this.queue[this.head]!;
      this.queue[this.head++] = undefined as never;
      this.rowCount -= writes.length;
      for (const write of writes) this.remove(write);
    }
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }

  /** `write` is the oldest of its chain: commits are trimmed in order. */
  private remove(write: Write): void {
    const id = write.isRow ? write.storage : write.index;
    const storage = this.storages.get(id);
    if (!storage) return;
    if (write.newer) write.newer.older = undefined;
    else if (write.isRow) storage.rows.delete(write.rowId);
    else storage.entries.delete(write.entry);
    if (storage.empty) this.storages.delete(id);
  }
}

/**
 * Which rows commits changed since somebody began to watch a storage: what caches of rows by row id
 * (column segments) leave out and read from the row store instead; and which entries of an index, for
 * what knows entries by key (engine/learned). A storage that nobody watches costs one check a commit.
 */
import type { Lsn, StorageId } from '../ids.js';
import type { ChangeWatch, EntryListener } from '../storage.js';
import { WATCH_BLOCK_ROWS } from '../storage.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';

class Watch implements ChangeWatch {
  /** LSN of the last listed change per block. */
  private readonly lastChange = new Map<number, Lsn>();
  private readonly marks = new Map<number, Set<Uint8Array>>();
  /** The last commit that changed rows without saying of which blocks, and how many there were. */
  private unlistedAt = 0 as Lsn;
  private unlisted = 0;
  /** Per block the last commit that did not list the rows, and how many there were. */
  private readonly unlistedIn = new Map<number, { at: Lsn; count: number }>();
  gone = false;

  constructor(readonly since: Lsn) {}

  note(rowId: number, lsn: Lsn): void {
    const block = Math.floor(rowId / WATCH_BLOCK_ROWS);
    this.lastChange.set(block, lsn);
    const marks = this.marks.get(block);
    if (marks) for (const bytes of marks) bytes[rowId % WATCH_BLOCK_ROWS] = 1;
  }

  /** Rows from..to are written and not committed. */
  noteAhead(from: number, to: number): void {
    if (this.marks.size === 0) return;
    for (let rowId = from; rowId <= to; ) {
      const block = Math.floor(rowId / WATCH_BLOCK_ROWS);
      const last = Math.min(to, (block + 1) * WATCH_BLOCK_ROWS - 1);
      for (const bytes of this.marks.get(block) ?? []) bytes.fill(1, rowId % WATCH_BLOCK_ROWS, (last % WATCH_BLOCK_ROWS) + 1);
      rowId = last + 1;
    }
  }

  /** `blocks` undefined: any. */
  noteUnlisted(lsn: Lsn, blocks: Iterable<number> | undefined): void {
    if (!blocks) {
      this.unlistedAt = lsn;
      this.unlisted++;
      return;
    }
    for (const block of blocks) {
      const known = this.unlistedIn.get(block);
      if (!known) this.unlistedIn.set(block, { at: lsn, count: 1 });
      else {
        known.at = lsn;
        known.count++;
      }
    }
  }

  changedAfter(block: number, lsn: Lsn): boolean {
    return this.since > lsn || this.unlistedAfter(block, lsn) || (this.lastChange.get(block) ?? 0) > lsn;
  }

  unlistedAfter(block: number, lsn: Lsn): boolean {
    return this.unlistedAt > lsn || (this.unlistedIn.get(block)?.at ?? 0) > lsn;
  }

  unlistedCount(block: number): number {
    return this.unlisted + (this.unlistedIn.get(block)?.count ?? 0);
  }

  addMarks(block: number, marks: Uint8Array): void {
    let set = this.marks.get(block);
    if (!set) this.marks.set(block, (set = new Set()));
    set.add(marks);
  }

  removeMarks(block: number, marks: Uint8Array): void {
    const set = this.marks.get(block);
    if (set?.delete(marks) && set.size === 0) this.marks.delete(block);
  }
}

export class ChangeWatches {
  private readonly watches = new Map<StorageId, Watch>();
  private readonly listeners = new Map<StorageId, Set<EntryListener>>();

  /** Starts watching, or finds the watch. `assigned`: everything up to it counts as changed before. */
  watch(storage: StorageId, assigned: Lsn): ChangeWatch {
    let watch = this.watches.get(storage);
    if (!watch) this.watches.set(storage, (watch = new Watch(assigned)));
    return watch;
  }

  unwatch(storage: StorageId): void {
    this.watches.delete(storage);
  }

  /** Tells of the entries that commits from now on put or delete. Returns how to stop. */
  listen(index: StorageId, listener: EntryListener): () => void {
    let listening = this.listeners.get(index);
    if (!listening) this.listeners.set(index, (listening = new Set()));
    listening.add(listener);
    return () => {
      if (listening.delete(listener) && listening.size === 0) this.listeners.delete(index);
    };
  }

  /** The storage is gone. */
  forget(storage: StorageId): void {
    const watch = this.watches.get(storage);
    if (watch) watch.gone = true;
    this.unwatch(storage);
    this.lose(storage);
  }

  private lose(index: StorageId): void {
    const listening = this.listeners.get(index);
    if (!listening) return;
    this.listeners.delete(index);
    for (const listener of listening) listener.lost();
  }

  /** A commit's listed writes. */
  note(lsn: Lsn, writes: readonly Change[]): void {
    if (this.listeners.size > 0) this.tell(writes);
    if (this.watches.size === 0) return;
    let storage = -1;
    let watch: Watch | undefined;
    for (const write of writes) {
      if (!write.isRow) continue;
      if (write instanceof WriteBatch) {
        const watched = this.watches.get(write.storage);
        if (watched) write.forEachRow((rowId) => watched.note(rowId, lsn));
        continue;
      }
      if (write.storage !== storage) {
        storage = write.storage;
        watch = this.watches.get(write.storage);
      }
      watch?.note(write.rowId, lsn);
    }
  }

  private tell(writes: readonly Change[]): void {
    for (const write of writes) {
      if (write.isRow) continue;
      const listening = this.listeners.get(write instanceof WriteBatch ? write.storage : write.index);
      if (!listening) continue;
      for (const listener of listening) {
        if (write instanceof WriteBatch) write.forEachEntry((key) => listener.changed(key));
        else listener.changed(write.key);
      }
    }
  }

  /** A transaction wrote rows from..to ahead of its commit: from now on they count as changed. */
  noteAhead(storage: StorageId, from: number, to: number): void {
    this.watches.get(storage)?.noteAhead(from, to);
  }

  /** A commit changed rows of `storages` that it does not list (written ahead). `blocksOf`: where they are; undefined: not known. */
  noteUnlisted(lsn: Lsn, storages: Iterable<StorageId>, blocksOf: (storage: StorageId) => Iterable<number> | undefined): void {
    if (this.watches.size === 0 && this.listeners.size === 0) return;
    for (const storage of storages) {
      this.lose(storage);
      this.watches.get(storage)?.noteUnlisted(lsn, blocksOf(storage));
    }
  }
}

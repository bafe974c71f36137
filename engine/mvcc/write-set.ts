/**
 * What a transaction wrote: newest write per row and per index entry, older own writes chained
 * below it (a suspended portal sees them up to its own command), and the order of all writes, so
 * that a savepoint undoes by walking back. At commit the very same objects become the overlay's
 * versions: `older` then leads to the committed version before.
 */
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';
import { OrderedMap } from '../kv/ordered-map.js';

export class RowWrite {
  readonly isRow = true;
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  /** Written to the log ahead of the commit (staging.ts). */
  streamed = false;
  /** In the overlay: the version above this one. */
  newer: RowWrite | undefined;
  constructor(
    readonly storage: StorageId,
    readonly rowId: RowId,
    /** undefined: the row was deleted. */
    readonly tuple: Uint8Array | undefined,
    readonly command: CommandId,
    readonly sub: SubId,
    /** The row did not exist before this transaction. */
    readonly born: boolean,
    public older: RowWrite | undefined,
  ) {}
}

export class IndexWrite {
  readonly isRow = false;
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  streamed = false;
  newer: IndexWrite | undefined;
  constructor(
    readonly index: StorageId,
    /** key and row id, see entryKey. */
    readonly entry: Uint8Array,
    readonly rowId: RowId,
    /** undefined: the entry was deleted. */
    readonly payload: Uint8Array | undefined,
    readonly command: CommandId,
    readonly sub: SubId,
    /** The entry was not there before this transaction. */
    readonly born: boolean,
    public older: IndexWrite | undefined,
  ) {}

  get key(): Uint8Array {
    return this.entry.subarray(0, this.entry.length - 6);
  }
}

export type Write = RowWrite | IndexWrite;

/** A storage's part of a write set or of the overlay. */
export class StorageWrites {
  readonly rows = new Map<RowId, RowWrite>();
  private orderedEntries: OrderedMap<IndexWrite> | undefined;

  get entries(): OrderedMap<IndexWrite> {
    return (this.orderedEntries ??= new OrderedMap<IndexWrite>());
  }

  get hasEntries(): boolean {
    return this.orderedEntries !== undefined && this.orderedEntries.size > 0;
  }

  get empty(): boolean {
    return this.rows.size === 0 && !this.hasEntries;
  }
}

/** What a write costs in memory beside its bytes, roughly. */
const WRITE_OVERHEAD = 200;

export function writeBytes(write: Write): number {
  return WRITE_OVERHEAD + (write.isRow ? (write.tuple?.length ?? 0) : write.entry.length + (write.payload?.length ?? 0));
}

/** Cuts `write`, the oldest of the chain, off below `newest`. */
function cut(newest: Write | undefined, write: Write): void {
  for (let above: Write | undefined = newest; above; above = above.older) if (above.older === write) above.older = undefined;
}

export class WriteSet {
  readonly storages = new Map<StorageId, StorageWrites>();
  /** Every write in order. */
  order: Write[] = [];
  bytes = 0;
  private lastId = -1 as StorageId;
  private last: StorageWrites | undefined;

  find(storage: StorageId): StorageWrites | undefined {
    if (storage === this.lastId) return this.last;
    const found = this.storages.get(storage);
    if (found) {
      this.lastId = storage;
      this.last = found;
    }
    return found;
  }

  private for(storage: StorageId): StorageWrites {
    let writes = this.find(storage);
    if (!writes) {
      this.storages.set(storage, (writes = new StorageWrites()));
      this.lastId = storage;
      this.last = writes;
    }
    return writes;
  }

  row(storage: StorageId, rowId: RowId, tuple: Uint8Array | undefined, command: CommandId, sub: SubId, insert: boolean): void {
    const { rows } = this.for(storage);
    const older = insert ? undefined : rows.get(rowId);
    const write = new RowWrite(storage, rowId, tuple, command, sub, older ? older.born && !older.streamed : insert, older);
    rows.set(rowId, write);
    this.order.push(write);
    this.bytes += writeBytes(write);
  }

  entry(index: StorageId, entry: Uint8Array, rowId: RowId, payload: Uint8Array | undefined, command: CommandId, sub: SubId): void {
    const { entries } = this.for(index);
    const older = entries.get(entry);
    const write = new IndexWrite(index, entry, rowId, payload, command, sub, older ? older.born && !older.streamed : payload !== undefined, older);
    entries.set(entry, write);
    this.order.push(write);
    this.bytes += writeBytes(write);
  }

  /** Undoes the writes after the first `length`. */
  undoTo(length: number): void {
    while (this.order.length > length) {
      const write = this.order.pop()!;
      this.bytes -= writeBytes(write);
      if (write.isRow) {
        const { rows } = this.storages.get(write.storage)!;
        if (write.older) rows.set(write.rowId, write.older);
        else rows.delete(write.rowId);
      } else {
        const { entries } = this.storages.get(write.index)!;
        if (write.older) entries.set(write.entry, write.older);
        else entries.delete(write.entry);
      }
    }
  }

  /** Takes in a write of a transaction that is made anew (two-phase commit): one per row and entry. */
  adopt(write: Write): void {
    if (write.isRow) this.for(write.storage).rows.set(write.rowId, write);
    else this.for(write.index).entries.set(write.entry, write);
    this.order.push(write);
    this.bytes += writeBytes(write);
  }

  forget(storage: StorageId): void {
    this.storages.delete(storage);
    this.lastId = -1 as StorageId;
    this.last = undefined;
  }

  /** Forgets a streamed write that reads find in the key-value store now. */
  settle(write: Write): void {
    if (write.isRow) {
      const rows = this.storages.get(write.storage)?.rows;
      const newest = rows?.get(write.rowId);
      if (newest === write) rows!.delete(write.rowId);
      else cut(newest, write);
      return;
    }
    const storage = this.storages.get(write.index);
    const newest = storage?.entries.get(write.entry);
    if (newest === write) storage!.entries.delete(write.entry);
    else cut(newest, write);
  }

  /** Undoes a streamed write that a savepoint's rollback takes back: what was below it is the newest again. */
  unwrite(write: Write): void {
    if (write.isRow) {
      const rows = this.storages.get(write.storage)?.rows;
      if (rows?.get(write.rowId) !== write) return;
      if (write.older) rows.set(write.rowId, write.older);
      else rows.delete(write.rowId);
      return;
    }
    const storage = this.storages.get(write.index);
    if (storage?.entries.get(write.entry) !== write) return;
    if (write.older) storage.entries.set(write.entry, write.older);
    else storage.entries.delete(write.entry);
  }

  /** True when the write is the last word on its row or entry and says something new. */
  isFinal(write: Write): boolean {
    if (write.isRow) return this.storages.get(write.storage)?.rows.get(write.rowId) === write && !(write.born && !write.tuple);
    return this.storages.get(write.index)?.entries.get(write.entry) === write && !(write.born && !write.payload);
  }
}

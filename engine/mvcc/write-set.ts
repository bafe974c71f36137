/**
 * What a transaction wrote: newest write per row and per index entry, older own writes chained
 * below it (a suspended portal sees them up to its own command), and the order of all writes, so
 * that a savepoint undoes by walking back. At commit the very same objects become the overlay's
 * versions: `older` then leads to the committed version before.
 */
import type { CommandId, RowId, StorageId, SubId } from '../ids.js';
import { OrderedMap } from '../kv/ordered-map.js';
import { WriteBatch } from './write-batch.js';
import type { Change } from './write-batch.js';
import { IndexWrite, RowWrite, writeBytes } from './write.js';
import type { Write } from './write.js';

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

/** Cuts `write`, the oldest of the chain, off below `newest`. */
function cut(newest: Write | undefined, write: Write): void {
  for (let above: Write | undefined = newest; above; above = above.older) if (above.older === write) above.older = undefined;
}

/** Never written to. */
const NO_STORAGES = new Map<StorageId, StorageWrites>();
const NONE_CLOSED = new Map<StorageId, WriteBatch[]>();

export class WriteSet {
  /** The same empty one for all until the first write: most transactions only read. */
  private storages: Map<StorageId, StorageWrites> = NO_STORAGES;
  /** Every write in order, but those of `batches`. */
  order: Write[] = [];
  /** Rows and entries added in many, behind all of `order`; empty while there are savepoints. */
  private batches: WriteBatch[] = [];
  /** Those among them that nobody has looked into, by storage. */
  private closed: Map<StorageId, WriteBatch[]> = NONE_CLOSED;
  bytes = 0;
  private lastId = -1 as StorageId;
  private last: StorageWrites | undefined;

  get empty(): boolean {
    return this.pieces === 0;
  }

  /** Single writes and batches in order. */
  get pieces(): number {
    return this.order.length + this.batches.length;
  }

  has(storage: StorageId): boolean {
    return this.storages.has(storage) || this.closed.has(storage);
  }

  find(storage: StorageId): StorageWrites | undefined {
    if (this.closed.size > 0 && this.closed.has(storage)) this.takeApart(storage);
    return this.peek(storage);
  }

  /** What there is of one row. */
  findRow(storage: StorageId, rowId: RowId): RowWrite | undefined {
    if (this.closed.size > 0 && this.closed.get(storage)?.some((batch) => batch.mayHaveRow(rowId))) this.takeApart(storage);
    return this.peek(storage)?.rows.get(rowId);
  }

  /** Where entries with this key are, if there are any. */
  findKey(index: StorageId, key: Uint8Array): StorageWrites | undefined {
    if (this.closed.size > 0 && this.closed.get(index)?.some((batch) => batch.mayHaveKey(key))) this.takeApart(index);
    return this.peek(index);
  }

  /** Like `find` without what was only added in many, none of which was deleted or replaced. */
  peek(storage: StorageId): StorageWrites | undefined {
    if (storage === this.lastId) return this.last;
    const found = this.storages.get(storage);
    if (found) {
      this.lastId = storage;
      this.last = found;
    }
    return found;
  }

  private for(storage: StorageId): StorageWrites {
    let writes = this.peek(storage);
    if (!writes) {
      if (this.storages === NO_STORAGES) this.storages = new Map();
      this.storages.set(storage, (writes = new StorageWrites()));
      this.lastId = storage;
      this.last = writes;
    }
    return writes;
  }

  row(storage: StorageId, rowId: RowId, tuple: Uint8Array | undefined, command: CommandId, sub: SubId, insert: boolean): void {
    if (!insert) this.find(storage);
    const { rows } = this.for(storage);
    const older = insert ? undefined : rows.get(rowId);
    const write = new RowWrite(storage, rowId, tuple, command, sub, older ? older.born && !older.streamed : insert, older);
    rows.set(rowId, write);
    this.order.push(write);
    this.bytes += writeBytes(write);
  }

  entry(index: StorageId, entry: Uint8Array, rowId: RowId, payload: Uint8Array | undefined, command: CommandId, sub: SubId): void {
    if (!payload) this.find(index);
    const { entries } = this.for(index);
    const older = entries.get(entry);
    const write = new IndexWrite(index, entry, rowId, payload, command, sub, older ? older.born && !older.streamed : payload !== undefined, older);
    entries.set(entry, write);
    this.order.push(write);
    this.bytes += writeBytes(write);
  }

  /** Bytes of log that this comes to, at most. */
  get logBytes(): number {
    let { bytes } = this;
    for (const { cost, length } of this.batches) bytes += length - cost;
    return bytes;
  }

  /** One of many rows, which are kept as bytes. Not while there are savepoints. */
  manyRows(storage: StorageId, rowId: RowId, tuple: Uint8Array, length: number, command: CommandId, sub: SubId): void {
    this.bytes += this.batch(storage, true, command, sub).row(rowId, tuple, length);
  }

  manyEntries(index: StorageId, key: Uint8Array, length: number, rowId: RowId, payload: Uint8Array, command: CommandId, sub: SubId): void {
    this.bytes += this.batch(index, false, command, sub).entry(key, length, rowId, payload);
  }

  /** Where the next of many goes. */
  private batch(storage: StorageId, isRow: boolean, command: CommandId, sub: SubId): WriteBatch {
    let list = this.closed.get(storage);
    if (!list) {
      if (this.closed === NONE_CLOSED) this.closed = new Map();
      this.closed.set(storage, (list = []));
    }
    let batch = list.at(-1);
    if (!batch || batch.full || batch.command !== command || batch.sub !== sub) {
      batch = new WriteBatch(storage, isRow, command, sub);
      list.push(batch);
      this.batches.push(batch);
    }
    return batch;
  }

  /** Somebody reads the storage: its batches are single writes from now on. */
  private takeApart(storage: StorageId): void {
    const list = this.closed.get(storage)!;
    this.closed.delete(storage);
    const { rows, entries } = this.for(storage);
    for (const batch of list) {
      for (const write of batch.apart()) {
        if (write.isRow) rows.set(write.rowId, write);
        else entries.set(write.entry, write);
      }
    }
  }

  /** All in order, one by one: for who cuts the order somewhere. */
  flatten(): void {
    if (this.batches.length === 0) return;
    for (const storage of [...this.closed.keys()]) this.takeApart(storage);
    for (const { writes } of this.batches) this.order.push(...writes!);
    this.batches = [];
  }

  /** Takes the oldest batch that nobody has looked into out of the order: it is written ahead. Reads find it until it is settled. */
  takeClosed(): WriteBatch | undefined {
    const at = this.closed.size === 0 ? -1 : this.batches.findIndex((batch) => !batch.writes);
    if (at < 0) return undefined;
    const [batch] = this.batches.splice(at, 1);
    this.bytes -= batch!.cost;
    batch!.seal();
    return batch;
  }

  /** What the transaction comes to: batches as they are, where nobody looked into them. */
  final(): Change[] {
    const final: Change[] = this.order.filter((write) => this.isFinal(write));
    for (const batch of this.batches) final.push(...this.finalOf(batch));
    return final;
  }

  finalOf(change: Change): Change[] {
    if (!(change instanceof WriteBatch)) return this.isFinal(change) ? [change] : [];
    if (change.writes) return change.writes.filter((write) => this.isFinal(write));
    return this.closed.get(change.storage)?.includes(change) ? [change] : [];
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
    this.closed.delete(storage);
    this.batches = this.batches.filter((batch) => batch.storage !== storage);
    this.storages.delete(storage);
    this.lastId = -1 as StorageId;
    this.last = undefined;
  }

  /** Forgets a streamed write that reads find in the key-value store now. */
  settle(write: Change): void {
    if (write instanceof WriteBatch) {
      if (write.writes) for (const single of write.writes) this.settle(single);
      else this.removeClosed(write);
      return;
    }
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

  private removeClosed(batch: WriteBatch): void {
    const list = this.closed.get(batch.storage);
    const at = list?.indexOf(batch) ?? -1;
    if (at < 0) return;
    list!.splice(at, 1);
    if (list!.length === 0) this.closed.delete(batch.storage);
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

/**
 * What goes when the horizon passes a record: keys in `dead`, and large values. It stands in history under the record's LSN,
 * in pieces.
 */
import type { Lsn, StorageId, Xid } from '../ids.js';
import { writeUint48 } from '../keycode.js';
import type { KeyValueWriter } from '../kv/key-value-store.js';
import { HISTORY_KEY, historyKey, sealDeadList } from './row-format.js';

const PIECE_MAX = 32 << 10;

/** In place of a length: storage and id of a large value follow. */
export const DEAD_VALUE = 0x8000;

/** First in a list: what follows counts only if the xid that follows committed. */
export const DEAD_IF_COMMITTED = 0x8001;

export class DeadList {
  /** Number of the next piece under the record's LSN. */
  piece = 0;
  private keys: Uint8Array[] = [];
  /** Beside `keys`: what the list has in place of the length. */
  private marks: number[] = [];
  private bytes = 0;
  private readonly historyKey = new Uint8Array(HISTORY_KEY);

  clear(): void {
    this.keys = [];
    this.marks = [];
    this.bytes = 0;
    this.piece = 0;
  }

  /** True when there is enough for a piece. */
  get full(): boolean {
    return this.bytes > PIECE_MAX;
  }

  addEntry(deadKey: Uint8Array): void {
    this.add(deadKey, deadKey.length);
  }

  addValue(storage: StorageId, id: number): void {
    const value = new Uint8Array(12);
    writeUint48(value, 0, storage);
    writeUint48(value, 6, id);
    this.add(value, DEAD_VALUE);
  }

  private add(key: Uint8Array, mark: number): void {
    this.keys.push(key);
    this.marks.push(mark);
    this.bytes += key.length + 2;
  }

  /** Writes a piece under `lsn`, to count only if `ifCommitted` (0: anyhow) does. False when there is nothing to write. */
  flush(writer: KeyValueWriter, lsn: Lsn, ifCommitted: Xid | 0): boolean {
    if (this.keys.length === 0) return false;
    const list = new Uint8Array(this.bytes + (ifCommitted ? 8 : 0));
    let at = 0;
    if (ifCommitted) {
      list[0] = DEAD_IF_COMMITTED >>> 8;
      list[1] = DEAD_IF_COMMITTED & 0xff;
      writeUint48(list, 2, ifCommitted);
      at = 8;
    }
    for (let i = 0; i < this.keys.length; i++) {
      const key = this.keys[i]!;
      list[at] = this.marks[i]! >>> 8;
      list[at + 1] = this.marks[i]!;
      list.set(key, at + 2);
      at += 2 + key.length;
    }
    const key = historyKey(this.historyKey, lsn, 0, this.piece++);
    writer.put('history', key, sealDeadList(list, key));
    this.keys = [];
    this.marks = [];
    this.bytes = 0;
    return true;
  }
}

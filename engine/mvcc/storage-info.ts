/**
 * What is known per storage, kept in memory by the applier and in the `storages` keyspace:
 *
 *      0  f64  live rows                       32  u48  LSN of the last death of a row or entry
 *      8  f64  bytes of their tuples           38  u48  next row id
 *     16  16B  sum of their hashes
 */
import type { Lsn, RowId, StorageId } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';

export const STORAGE_RECORD = 44;

export class StorageInfo {
  count = 0;
  bytes = 0;
  /** 128-bit sum of the hashes of live rows, as little-endian words. */
  readonly hash = new Uint32Array(4);
  /** Snapshots at or after this need neither `deleted` nor `dead`. */
  lastDeath = 0 as Lsn;
  nextRowId = 1 as RowId;

  constructor(readonly id: StorageId) {}

  encode(): Uint8Array {
    const out = new Uint8Array(STORAGE_RECORD);
    const view = new DataView(out.buffer);
    view.setFloat64(0, this.count);
    view.setFloat64(8, this.bytes);
    this.hash.forEach((word, i) => view.setUint32(16 + i * 4, word));
    writeUint48(out, 32, this.lastDeath);
    writeUint48(out, 38, this.nextRowId);
    return out;
  }

  static decode(id: StorageId, record: Uint8Array): StorageInfo {
    const info = new StorageInfo(id);
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    info.count = view.getFloat64(0);
    info.bytes = view.getFloat64(8);
    for (let i = 0; i < 4; i++) info.hash[i] = view.getUint32(16 + i * 4);
    info.lastDeath = readUint48(record, 32) as Lsn;
    info.nextRowId = readUint48(record, 38) as RowId;
    return info;
  }
}

/**
 * What a replay of the log comes to. After a restart no snapshot is older than the log's end, so of
 * all versions of a row that the log holds only the last one matters: rows and entries are gathered
 * here, last writer wins, and reach the state once, in key order, without history. A row of TPC-B's
 * branches that was updated 50,000 times is one put.
 */
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { IndexOp } from '../log/batch.js';
import type { IndexVisitor, RowVisitor } from '../log/batch.js';

export interface ReplayedRow {
  /** undefined: deleted. */
  tuple: Uint8Array | undefined;
  lsn: Lsn;
  xid: Xid;
}

export interface ReplayedEntry {
  /** undefined: deleted. */
  payload: Uint8Array | undefined;
  lsn: Lsn;
}

export class ReplayCache implements RowVisitor, IndexVisitor {
  readonly rows = new Map<StorageId, Map<RowId, ReplayedRow>>();
  /** By index, then by (key, row id) as one character a byte, which sorts as the bytes do. */
  readonly entries = new Map<StorageId, Map<string, ReplayedEntry>>();
  /** The record being replayed. */
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  private pieces: Uint8Array[] = [];
  private lastRows: { id: number; map: Map<RowId, ReplayedRow> } = { id: -1, map: new Map() };

  /** `superseded`: a version that the state will never hold is replaced by another. */
  constructor(private readonly superseded: (storage: StorageId, old: Uint8Array, next: Uint8Array | undefined) => void) {}

  get empty(): boolean {
    return this.rows.size === 0 && this.entries.size === 0;
  }

  piece(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }

  row(_op: number, storage: StorageId, rowId: RowId, bytes: Uint8Array | undefined, pieces: boolean): void {
    let tuple = bytes;
    if (pieces) {
      tuple = Buffer.concat(this.pieces);
      this.pieces = [];
    }
    if (this.lastRows.id !== storage) {
      let map = this.rows.get(storage);
      if (!map) this.rows.set(storage, (map = new Map()));
      this.lastRows = { id: storage, map };
    }
    const { map } = this.lastRows;
    const known = map.get(rowId);
    if (!known) {
      map.set(rowId, { tuple, lsn: this.lsn, xid: this.xid });
      return;
    }
    if (known.tuple) this.superseded(storage, known.tuple, tuple);
    known.tuple = tuple;
    known.lsn = this.lsn;
    known.xid = this.xid;
  }

  index(op: number, index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array | undefined): void {
    let map = this.entries.get(index);
    if (!map) this.entries.set(index, (map = new Map()));
    const row = String.fromCharCode((rowId / 2 ** 40) & 0xff, (rowId / 2 ** 32) & 0xff, (rowId >>> 24) & 0xff, (rowId >>> 16) & 0xff, (rowId >>> 8) & 0xff, rowId & 0xff);
    const name = Buffer.from(key.buffer, key.byteOffset, key.length).latin1Slice(0, key.length) + row;
    map.set(name, { payload: op === IndexOp.delete ? undefined : payload, lsn: this.lsn });
  }

  forget(storage: StorageId): void {
    this.rows.delete(storage);
    this.entries.delete(storage);
    this.lastRows = { id: -1, map: new Map() };
  }

  clear(): void {
    this.rows.clear();
    this.entries.clear();
    this.lastRows = { id: -1, map: new Map() };
  }
}

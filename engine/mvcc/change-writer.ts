/**
 * Rows and index entries of log records to the state: the newest version to the heap, what it supersedes to history, what dies to
 * `deleted` and `dead`, with the storages' counts and sums. The record's place and kind are set by the applier before each.
 */
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { KeyValueWriter } from '../kv/key-value-store.js';
import { IndexOp, Op } from '../log/batch.js';
import type { IndexVisitor, RowVisitor } from '../log/batch.js';
import { forEachPacked } from '../packed/block.js';
import { ROW_BLOCK_LEAST, RowGatherer } from '../packed/row-block.js';
import { DeadList } from './dead-list.js';
import type { Fates } from './fates.js';
import { metaKey } from './meta.js';
import {
  ENTRY_HEADER, Flag, HEAP_KEY, HISTORY_KEY, ROW_HEADER, SEQUENCE_ROW, SEQUENCE_STATE, addHash, doomed, hasLarge, hashRow, hashRowAt, heapKey, historyKey, indexKey, largeIds, markDeath,
  sequenceStamp, stageOf, stampOf, writeEntryValue, writeRowValue,
} from './row-format.js';
import { StorageInfo } from './storage-info.js';
import type { Undo } from './undo.js';

/** Rows of a commit go together from so many bytes on: those of few are changed again soon. */
const GATHER_FROM = 16 << 10;

export const NO_TUPLE = new Uint8Array(0);

export class ChangeWriter implements RowVisitor, IndexVisitor {
  readonly infos = new Map<StorageId, StorageInfo>();
  /** Infos changed in this key-value transaction. */
  readonly dirty = new Set<StorageInfo>();
  writer!: KeyValueWriter;

  // The record being applied.
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  flags = 0;
  pieces: Uint8Array[] = [];
  readonly dead = new DeadList();
  /** Rows and entries come behind all others, as far as the record has shown. */
  appendsRows = false;
  appendsEntries = false;
  private readonly gathered = new RowGatherer();
  /** Inserted rows of the record go together: `endRows` behind them. */
  private gathersRows = false;

  // Scratch.
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly oldKey = new Uint8Array(HISTORY_KEY);
  private readonly keyScratch = new Uint8Array(2048);
  private readonly deadScratch = new Uint8Array(2048);
  private value = new Uint8Array(16 << 10);
  private readonly hash = new Uint32Array(4);
  private readonly lastStorage: { id: StorageId; info: StorageInfo | undefined } = { id: -1 as StorageId, info: undefined };

  /** `historyCount`: entries that history had at the start, and got since. */
  constructor(readonly undo: Undo, private readonly fates: Fates, public historyCount: number) {}

  /** Nothing of a record is left. */
  reset(): void {
    this.gathered.clear();
    this.pieces = [];
    this.dead.clear();
    this.flags = 0;
    this.appendsRows = false;
    this.appendsEntries = false;
    this.dirty.clear();
    this.forgetLast();
  }

  /** A section of so many bytes of rows begins. */
  beginRows(bytes: number): void {
    this.gathersRows = this.writer.putRowBlock !== undefined && ((this.flags & Flag.provisional) !== 0 || bytes >= GATHER_FROM);
  }

  info(storage: StorageId): StorageInfo {
    if (this.lastStorage.id === storage && this.lastStorage.info) return this.lastStorage.info;
    let info = this.infos.get(storage);
    if (!info) this.infos.set(storage, (info = new StorageInfo(storage)));
    this.lastStorage.id = storage;
    this.lastStorage.info = info;
    return info;
  }

  /** `infos` has changed otherwise. */
  forgetLast(): void {
    this.lastStorage.id = -1 as StorageId;
  }

  /** `past`: its former state is kept in history. A replay comes to one moment: only what holds then is kept. */
  putSequence(sequence: StorageId, state: Uint8Array, past: boolean): void {
    const key = metaKey('s', sequence);
    const before = past ? this.writer.get('meta', key) : undefined;
    if (before) {
      const old = new Uint8Array(ROW_HEADER + SEQUENCE_STATE);
      writeRowValue(old, 0, sequenceStamp(before), 0 as Xid, before.subarray(0, SEQUENCE_STATE), heapKey(this.rowKey, sequence, SEQUENCE_ROW));
      this.writer.put('history', historyKey(this.oldKey, this.lsn, sequence, SEQUENCE_ROW), old);
      this.historyCount++;
    }
    const value = new Uint8Array(SEQUENCE_STATE + 6);
    value.set(state);
    writeUint48(value, SEQUENCE_STATE, this.lsn);
    this.writer.put('meta', key, value);
  }

  piece(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }

  /** An inserted row whose tuple is bytes [start, end), of which `view` is a view. */
  insertAt(storage: StorageId, rowId: RowId, bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const info = this.info(storage);
    this.dirty.add(info);
    if (rowId >= info.nextRowId) info.nextRowId = (rowId + 1) as RowId;
    hashRowAt(this.hash, rowId, view, start, end);
    this.count(info, end - start, 1);
    const { gathered } = this;
    if (!this.gathersRows) this.putRow(storage, rowId, this.flags, bytes.subarray(start, end));
    else {
      if (!gathered.continues(storage, rowId)) {
        this.endRows();
        gathered.begin(storage, rowId);
      }
      if (!gathered.add(rowId, bytes, start, end)) this.putRow(storage, rowId, this.flags, bytes.subarray(start, end));
    }
  }

  /** Rows that were gathered go to the state: as a block, unless they are few. */
  endRows(): void {
    const { gathered } = this;
    if (gathered.count === 0) return;
    const storage = gathered.storage as StorageId;
    let packed = false;
    if (gathered.count >= ROW_BLOCK_LEAST) {
      const { key, value } = gathered.finish(this.flags, this.lsn, this.xid);
      packed = this.writer.putRowBlock!(key, value);
    }
    if (!packed) gathered.forEach((rowId, tuple) => this.putRow(storage, rowId as RowId, this.flags, tuple));
    gathered.clear();
  }

  row(op: number, storage: StorageId, rowId: RowId, bytes: Uint8Array | undefined, pieces: boolean): void {
    this.endRows();
    let tuple = bytes ?? NO_TUPLE;
    if (pieces) {
      tuple = Buffer.concat(this.pieces);
      this.pieces = [];
    }
    const info = this.info(storage);
    this.dirty.add(info);
    if (rowId >= info.nextRowId) info.nextRowId = (rowId + 1) as RowId;
    if (op === Op.insert) {
      this.tally(info, rowId, tuple, 1);
      this.putRow(storage, rowId, this.flags, tuple);
      return;
    }
    if (this.undo.aborted.size > 0) this.undo.row(this.writer, storage, rowId);
    const key = heapKey(this.rowKey, storage, rowId);
    const found = this.writer.get('heap', key);
    if (!found || stampOf(found) >= this.lsn) return;
    const old = found.slice();
    this.tally(info, rowId, old.subarray(ROW_HEADER), -1);
    if (op === Op.delete) markDeath(old);
    this.writer.put('history', historyKey(this.oldKey, this.lsn, storage, rowId), old);
    this.historyCount++;
    if (hasLarge(old.subarray(ROW_HEADER))) this.freeSuperseded(storage, old.subarray(ROW_HEADER), tuple);
    if (op === Op.update) {
      this.tally(info, rowId, tuple, 1);
      this.putRow(storage, rowId, this.flags | Flag.hasPrevious, tuple);
      return;
    }
    this.writer.delete('heap', key);
    const provisional = (this.flags & Flag.provisional) !== 0;
    writeUint48(this.value, 0, this.lsn);
    writeUint48(this.value, 6, this.xid);
    this.value[12] = 1;
    this.writer.put('deleted', key, this.value.subarray(0, provisional ? 13 : 12));
    info.lastDeath = this.lsn;
  }

  freeReplaced(storage: StorageId, old: Uint8Array, next: Uint8Array | undefined): void {
    if (hasLarge(old)) this.freeSuperseded(storage, old, next ?? NO_TUPLE);
  }

  /** Large values of a version that its successor does not share. */
  freeSuperseded(storage: StorageId, old: Uint8Array, next: Uint8Array): void {
    const kept = largeIds(next);
    for (const id of largeIds(old)) if (!kept.includes(id)) this.freeLater(storage, id);
  }

  /** Has the collector free a value once the horizon has passed this record. */
  freeLater(storage: StorageId, id: number): void {
    this.dead.addValue(storage, id);
    if (this.dead.full) this.flushDeadList();
  }

  putRow(storage: StorageId, rowId: RowId, flags: number, tuple: Uint8Array): void {
    if (tuple.length + ROW_HEADER > this.value.length) this.value = new Uint8Array((tuple.length + ROW_HEADER) * 2);
    const key = heapKey(this.rowKey, storage, rowId);
    const length = writeRowValue(this.value, flags, this.lsn, this.xid, tuple, key);
    const value = this.value.subarray(0, length);
    if (this.appendsRows && (this.appendsRows = this.writer.append('heap', key, value))) return;
    this.writer.put('heap', key, value);
  }

  index(op: number, index: StorageId, key: Uint8Array, rowId: RowId, payload: Uint8Array | undefined): void {
    const full = indexKey(this.keyScratch, index, key, rowId);
    if (this.flags & Flag.provisional) this.fates.tally(this.xid, index, this.lsn);
    if (op !== IndexOp.put) this.killEntry(index, full);
    if (!payload) return;
    this.putEntry(full, this.flags & Flag.provisional ? this.xid : this.lsn, payload);
  }

  packed(index: StorageId, keys: Uint8Array): void {
    const provisional = this.flags & Flag.provisional;
    if (!this.writer.putPacked) {
      forEachPacked(keys, (key, rowId) => this.index(IndexOp.put, index, key, rowId as RowId, NO_TUPLE));
      return;
    }
    if (provisional) this.fates.tally(this.xid, index, this.lsn);
    this.writer.putPacked(index, keys, provisional, provisional ? this.xid : this.lsn, provisional ? this.lsn : 0);
  }

  putEntry(full: Uint8Array, birth: number, payload: Uint8Array): void {
    if (payload.length + ENTRY_HEADER + 6 > this.value.length) this.value = new Uint8Array((payload.length + ENTRY_HEADER + 6) * 2);
    const length = writeEntryValue(this.value, this.flags, birth, payload, full, this.lsn);
    const value = this.value.subarray(0, length);
    if (this.appendsEntries && (this.appendsEntries = this.writer.append('index', full, value))) return;
    this.writer.put('index', full, value);
  }

  private killEntry(index: StorageId, full: Uint8Array): void {
    if (this.undo.aborted.size > 0) this.undo.entry(this.writer, full);
    const value = this.writer.get('index', full);
    if (!value) return;
    const born = value[0]! & Flag.provisional ? stageOf(value) : readUint48(value, 1);
    if (born >= this.lsn) return;
    this.deadScratch.set(full);
    writeUint48(this.deadScratch, full.length, this.lsn);
    const dead = this.deadScratch.slice(0, full.length + 6);
    this.writer.put('dead', dead, this.flags & Flag.provisional ? doomed(value, this.xid, full) : value.slice());
    this.dead.addEntry(dead);
    if (this.dead.full) this.flushDeadList();
    const info = this.info(index);
    info.lastDeath = this.lsn;
    this.dirty.add(info);
    this.writer.delete('index', full);
  }

  /** What goes when the horizon passes this record. */
  flushDeadList(): void {
    if (this.dead.flush(this.writer, this.lsn, this.flags & Flag.provisional ? this.xid : 0)) this.historyCount++;
  }

  /** The record is over. */
  endDeadList(): void {
    this.flushDeadList();
    this.dead.piece = 0;
  }

  tally(info: StorageInfo, rowId: RowId, tuple: Uint8Array, sign: 1 | -1): void {
    hashRow(this.hash, rowId, tuple);
    this.count(info, tuple.length, sign);
  }

  /** A row of which `hash` has the hash. */
  private count(info: StorageInfo, bytes: number, sign: 1 | -1): void {
    let into: { count: number; bytes: number; readonly hash: Uint32Array } = info;
    if (this.flags & Flag.provisional) into = this.fates.tally(this.xid, info.id, this.lsn);
    into.count += sign;
    into.bytes += sign * bytes;
    addHash(into.hash, this.hash, sign);
  }
}

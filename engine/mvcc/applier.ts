/**
 * The one function from log to state: batches in, key-value writes out. It reads no clock and no
 * random numbers, and remembers how far it came in the same key-value transaction as the rows, so
 * applying again, or going on after a crash in the middle, gives the same state.
 *
 * Parts of a transaction that had more to say than one record holds are kept until its commit
 * record comes; "replay from" stays at the oldest such part. Provisional records (bulk loads) are
 * applied at once with a mark that readers resolve by the xid's fate.
 */
import { assert } from '../errors.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { KeyValueStore, KeyValueWriter } from '../kv/key-value-store.js';
import { COMMIT_HAS_PARTS, COMMIT_HAS_PROVISIONAL, BATCH_HEADER, IndexOp, Op, RecordKind, RecordReader, Section } from '../log/batch.js';
import type { IndexVisitor, RowVisitor } from '../log/batch.js';
import {
  ENTRY_HEADER, Flag, HEAP_KEY, HISTORY_KEY, ROW_HEADER, SEQUENCE_ROW, SEQUENCE_STATE, VALUE_CHUNK, VALUE_HEADER, VALUE_KEY, addHash, doomed, hasLarge, hashRow, heapKey, historyKey, indexKey, largeIds, markDeath,
  sealChunk, sequenceStamp, stageOf, stampOf, storagePrefix, valueKey,
  writeEntryValue, writeRowValue,
} from './row-format.js';
import { CommitTimes } from './commit-times.js';
import { DeadList } from './dead-list.js';
import { Fates } from './fates.js';
import { META, metaKey } from './meta.js';
import { OpenValues } from './open-values.js';
import { Undo } from './undo.js';
import { ReplayCache } from './replay-cache.js';
import type { ReplayedRow } from './replay-cache.js';
import { StorageInfo } from './storage-info.js';

const NO_TUPLE = new Uint8Array(0);
/** A record of a transaction whose end has not come. */
export interface StagedPart {
  readonly batch: Uint8Array;
  readonly offset: number;
  readonly lsn: Lsn;
}

/** Live rows of a storage and the sum of their hashes. */
export interface StorageSum {
  readonly storage: StorageId;
  readonly count: number;
  readonly hash: Uint32Array;
}

/** Sums as of the record at `at`: what the log carries for whoever restores. */
export interface StateSums {
  readonly at: Lsn;
  readonly storages: readonly StorageSum[];
}

/** So much log is kept for transactions that wrote ahead and have not come to their end. */
const KEPT_AHEAD_BYTES = 256 << 20;

export interface StateMark {
  readonly at: Lsn;
  readonly replayFrom: Lsn;
  readonly lastCommitMicros: number;
  /** Records of the `storages` keyspace. */
  readonly storages: readonly { readonly id: StorageId; readonly record: Uint8Array }[];
  /** Entries of the meta keyspace. */
  readonly sequences: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly reserve: Uint8Array | undefined;
  /** Dropped and not yet removed. */
  readonly dropped: readonly StorageId[];
  /** Transactions that the log began and did not end. */
  readonly open: readonly Xid[];
  /** Those among them that wrote ahead into the state, from records that need not be in the log any more, and the first of these; 0: unknown. */
  readonly ahead: readonly { readonly xid: Xid; readonly first: Lsn }[];
}

export class Applier implements RowVisitor, IndexVisitor {
  readonly infos = new Map<StorageId, StorageInfo>();
  /** LSN of the last record applied. */
  applied = 0 as Lsn;
  lastCommitMicros = 0;
  /** A restart needs the log from here: `applied`, or the oldest part of a transaction still open. */
  replayFrom = 0 as Lsn;
  private readonly dirty = new Set<StorageInfo>();
  /** Infos changed since `takeChanged`. */
  private changed = new Set<StorageInfo>();
  /** Storages whose sums changed since `takeSums`. */
  private unsummed = new Set<StorageInfo>();
  private parts = new Map<Xid, StagedPart[]>();
  /** Transactions whose prepare record came: their parts outlive a restart. */
  private prepared = new Set<Xid>();
  private readonly fates: Fates;
  private readonly values = new OpenValues();
  /** What `restore` goes back to. */
  private before: { parts: Map<Xid, StagedPart[]>; prepared: Set<Xid>; history: number; restoreFates(): void; restoreValues(): void } | undefined;
  private readonly reader = new RecordReader();
  private readonly partReader = new RecordReader();
  private writer!: KeyValueWriter;
  /** Takes back what aborted transactions wrote ahead. */
  readonly undo: Undo;
  /** In a replay: rows and entries on their way to the state. */
  private replayed: ReplayCache | undefined;
  private replayLists = 1 << 20;
  private readonly times = new CommitTimes();

  // The record being applied.
  private lsn = 0 as Lsn;
  private xid = 0 as Xid;
  private flags = 0;
  private pieces: Uint8Array[] = [];
  private readonly dead = new DeadList();
  /** Rows and entries come behind all others, as far as the record has shown. */
  private appendsRows = false;
  private appendsEntries = false;

  // Scratch.
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly oldKey = new Uint8Array(HISTORY_KEY);
  private readonly keyScratch = new Uint8Array(2048);
  private readonly deadScratch = new Uint8Array(2048);
  private value = new Uint8Array(16 << 10);
  private readonly hash = new Uint32Array(4);
  private readonly lastStorage: { id: StorageId; info: StorageInfo | undefined } = { id: -1 as StorageId, info: undefined };

  /**
   * For a restore: up to `until` only records of these transactions are applied, because the state
   * has all that others did by then.
   */
  only: { readonly until: Lsn; readonly xids: ReadonlySet<Xid> } | undefined;

  /** Entries that history had at the start and got since: versions, lists of what else goes with them. */
  historyCount: number;

  constructor(private readonly kv: KeyValueStore) {
    this.undo = new Undo(kv);
    this.fates = new Fates(this.undo.aborted);
    this.historyCount = kv.entryCount('history');
  }

  /** Reads how far the state is. */
  load(): { replayFrom: Lsn } {
    this.infos.clear();
    this.parts.clear();
    this.prepared.clear();
    this.lastStorage.id = -1 as StorageId;
    const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
    this.kv.scan('storages', new Uint8Array(0), Uint8Array.of(0xff), false, Infinity, chunk);
    chunk.keys.forEach((key, i) => {
      const id = readUint48(key, 0) as StorageId;
      this.infos.set(id, StorageInfo.decode(id, chunk.values[i]!));
    });
    this.fates.load(this.kv);
    this.values.load(this.kv);
    const applied = this.kv.get('meta', META.applied);
    if (!applied) return { replayFrom: 0 as Lsn };
    this.applied = readUint48(applied, 0) as Lsn;
    this.lastCommitMicros = new DataView(applied.buffer, applied.byteOffset, applied.length).getFloat64(12);
    this.replayFrom = readUint48(applied, 6) as Lsn;
    return { replayFrom: this.replayFrom };
  }

  /** The storages that `xid` wrote ahead to, and its first record. */
  stagedBy(xid: Xid): { first: Lsn; storages: StorageId[] } {
    return this.fates.of(xid);
  }

  /**
   * The log is kept from here on: what a restart replays, and what transactions in progress or prepared wrote ahead, so that a backup
   * need not wait for them; unless that is long ago.
   */
  get keepFrom(): Lsn {
    let from = this.replayFrom;
    for (const xid of this.unfinished()) {
      const first = this.firstRecord(xid);
      if (first > this.applied - KEPT_AHEAD_BYTES && first > 0 && first < from) from = first;
    }
    return from;
  }

  /** LSN of the first record of a transaction that wrote ahead; 0: unknown, because it is being undone. */
  private firstRecord(xid: Xid): Lsn {
    if (this.undo.aborted.has(xid)) return 0 as Lsn;
    let first = this.fates.of(xid).first || Infinity;
    // A value's id is the LSN of its first record.
    for (const [id] of this.values.of(xid)) first = Math.min(first, id);
    return (first === Infinity ? 0 : first) as Lsn;
  }

  /** Transactions that wrote ahead (rows, large values) and whose end the log has not shown. */
  unfinished(): Xid[] {
    return [...new Set([...this.fates.inProgress(), ...this.values.xids(), ...this.undo.aborted.keys()])];
  }

  /**
   * Applies records of `batch` from `offset` on, in one key-value transaction, until `stop` says
   * so. Returns the offset to go on from (the batch's length: all of it).
   */
  apply(batch: Uint8Array, offset: number, stop: (() => boolean) | undefined): number {
    return this.applyAll([batch], offset || BATCH_HEADER, stop).offset;
  }

  /** The same over several batches; returns where it stopped. */
  applyAll(batches: readonly Uint8Array[], offset: number, stop: (() => boolean) | undefined, replay = false): { batch: number; offset: number } {
    let index = 0;
    let at = offset;
    this.before = {
      parts: new Map([...this.parts].map(([xid, parts]) => [xid, [...parts]])),
      prepared: new Set(this.prepared),
      history: this.historyCount,
      restoreFates: this.fates.checkpoint(),
      restoreValues: this.values.checkpoint(),
    };
    this.replayed = replay ? new ReplayCache((storage, old, next) => this.freeReplaced(storage, old, next)) : undefined;
    this.kv.write((writer) => {
      this.writer = writer;
      let halted = false;
      for (; index < batches.length && !halted; index++) {
        const batch = batches[index]!;
        this.reader.open(batch, at);
        while (this.reader.nextRecord()) {
          this.applyRecord(batch);
          if (stop?.()) {
            halted = true;
            break;
          }
        }
        at = this.reader.nextOffset;
        if (halted && at < batch.length) break;
        at = BATCH_HEADER;
      }
      this.flushReplayed();
      this.saveProgress();
    });
    this.replayed = undefined;
    return { batch: index, offset: at };
  }

  /** After an `applyAll` that failed and undid its key-value transaction: the memory goes back too. */
  restore(): void {
    const { before } = this;
    this.times.clear();
    this.dirty.clear();
    this.pieces = [];
    this.dead.clear();
    this.flags = 0;
    this.appendsRows = false;
    this.appendsEntries = false;
    this.kv.refresh();
    this.applied = 0 as Lsn;
    this.load();
    if (!before) return;
    this.parts = before.parts;
    this.prepared = before.prepared;
    before.restoreValues();
    before.restoreFates();
    this.historyCount = before.history;
  }

  /** Storages whose counts changed since the last call. */
  takeChanged(): Set<StorageInfo> {
    const { changed } = this;
    this.changed = new Set();
    return changed;
  }

  /** Counts and hash sums that changed since the last call, as of `applied`; undefined when none did. */
  takeSums(): StateSums | undefined {
    if (this.unsummed.size === 0) return undefined;
    const storages: StorageSum[] = [];
    for (const info of this.unsummed) if (this.infos.get(info.id) === info) storages.push({ storage: info.id, count: info.count, hash: info.hash.slice() });
    this.unsummed = new Set();
    return storages.length > 0 ? { at: this.applied, storages } : undefined;
  }

  /** Everything about the state at `applied` that is not rows or entries: what a backup begins with. */
  mark(): StateMark {
    const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
    this.kv.refresh();
    this.kv.scan('meta', metaKey('s', 0), metaKey('t', 0), false, Infinity, chunk);
    const dropped = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
    this.kv.scan('meta', metaKey('d', 0, 0), metaKey('e', 0), false, Infinity, dropped);
    return {
      at: this.applied,
      replayFrom: this.replayFrom,
      lastCommitMicros: this.lastCommitMicros,
      storages: [...this.infos.values()].map((info) => ({ id: info.id, record: info.encode() })),
      sequences: chunk.keys.map((key, i) => ({ key, value: chunk.values[i]! })),
      reserve: this.kv.get('meta', META.reserve)?.slice(),
      dropped: dropped.keys.map((key) => readUint48(key, 7) as StorageId),
      open: [...new Set([...this.parts.keys(), ...this.fates.inProgress(), ...this.values.xids()])],
      ahead: this.unfinished().map((xid) => ({ xid, first: this.firstRecord(xid) })),
    };
  }

  private applyRecord(batch: Uint8Array): void {
    const { reader } = this;
    if (this.only && reader.lsn <= this.only.until && !this.only.xids.has(reader.xid)) return;
    if (reader.kind === RecordKind.part || reader.kind === RecordKind.prepare) {
      const list = this.parts.get(reader.xid);
      const part = { batch, offset: reader.start - 12, lsn: reader.lsn };
      if (list) list.push(part);
      else this.parts.set(reader.xid, [part]);
      if (reader.kind === RecordKind.prepare) this.prepared.add(reader.xid);
    }
    if (reader.lsn <= this.applied) {
      // Applied before; its parts are not wanted any more.
      if (reader.kind === RecordKind.commit || reader.kind === RecordKind.abort) this.forgetParts(reader.xid);
      return;
    }
    this.lsn = reader.lsn;
    this.xid = reader.xid;
    this.flags = 0;
    switch (reader.kind) {
      case RecordKind.part:
      case RecordKind.prepare:
        break;
      case RecordKind.values:
        this.applySections(reader);
        break;
      case RecordKind.provisional:
        this.flags = Flag.provisional;
        this.fates.beginRecord();
        this.appendsRows = true;
        this.appendsEntries = true;
        this.applySections(reader);
        this.appendsRows = false;
        this.appendsEntries = false;
        this.endDeadList();
        this.flags = 0;
        break;
      case RecordKind.commit:
        this.commit();
        break;
      case RecordKind.abort:
        this.forgetParts(this.xid);
        this.applySections(reader);
        for (const [id, storage] of this.values.of(this.xid)) this.freeLater(storage, id);
        this.values.settle(this.writer, this.xid);
        this.endDeadList();
        this.fates.abort(this.writer, this.xid);
        break;
      case RecordKind.system:
        this.applySections(reader);
        break;
      default:
        assert(false, `unknown log record kind ${reader.kind}`);
    }
    this.applied = this.lsn;
  }

  private forgetParts(xid: Xid): void {
    this.parts.delete(xid);
    this.prepared.delete(xid);
  }

  /**
   * After recovery: parts of prepared transactions, to be made anew and handed (`adopt`) to the
   * applier that goes on. Parts of others will never be committed and are forgotten.
   */
  keepPrepared(): ReadonlyMap<Xid, readonly StagedPart[]> {
    for (const xid of [...this.parts.keys()]) if (!this.prepared.has(xid)) this.parts.delete(xid);
    return this.parts;
  }

  adopt(parts: ReadonlyMap<Xid, readonly StagedPart[]>): void {
    for (const [xid, list] of parts) {
      this.parts.set(xid, [...list]);
      this.prepared.add(xid);
    }
  }

  private commit(): void {
    if (this.reader.flags & COMMIT_HAS_PROVISIONAL) this.commitProvisional(this.xid);
    if (this.reader.flags & COMMIT_HAS_PARTS) {
      for (const part of this.parts.get(this.xid) ?? []) {
        this.partReader.open(part.batch, part.offset);
        this.partReader.nextRecord();
        this.applySections(this.partReader);
      }
      this.forgetParts(this.xid);
    }
    this.applySections(this.reader);
    this.values.settle(this.writer, this.xid);
    this.endDeadList();
    assert(this.pieces.length === 0, 'pieces of a value without the value');
  }

  private applySections(reader: RecordReader): void {
    while (reader.nextSection()) {
      switch (reader.tag) {
        case Section.time:
          this.lastCommitMicros = reader.time();
          this.times.note(this.lastCommitMicros, this.lsn);
          break;
        case Section.rows:
          reader.rows(this.sink());
          break;
        case Section.derived:
          reader.derived(this.sink());
          break;
        case Section.drops:
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 6) this.dropLater(reader.uint48(at) as StorageId);
          break;
        case Section.xids:
          // In a prepare record they stand for the commit to come.
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 6) this.commitProvisional(reader.uint48(at) as Xid);
          break;
        case Section.value:
          this.putValue(reader.uint48(reader.sectionStart) as StorageId, reader.uint48(reader.sectionStart + 6), reader.uint32(reader.sectionStart + 12), reader.bytes(reader.sectionStart + 16, reader.sectionEnd));
          break;
        case Section.free:
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 12) this.freeLater(reader.uint48(at) as StorageId, reader.uint48(at + 6));
          break;
        case Section.sequence:
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 19) this.putSequence(reader.uint48(at) as StorageId, reader.bytes(at + 6, at + 19));
          break;
        case Section.reserve:
          this.writer.put('meta', META.reserve, reader.bytes(reader.sectionStart, reader.sectionEnd).slice());
          break;
        default:
          // Messages and sums are for other readers of the log.
          break;
      }
    }
  }

  /** Where rows and entries of the record go: to the state, or in a replay to where they are gathered. */
  private sink(): RowVisitor & IndexVisitor {
    const { replayed } = this;
    if (!replayed) return this;
    if (this.flags & Flag.provisional) {
      this.flushReplayed();
      return this;
    }
    replayed.lsn = this.lsn;
    replayed.xid = this.xid;
    return replayed;
  }

  /** Puts what a replay gathered into the state, in key order. */
  private flushReplayed(): void {
    const { replayed } = this;
    if (!replayed || replayed.empty) return;
    const { lsn, xid, flags } = this;
    this.flags = 0;
    // Dead lists of this place are apart from those of the records, under whatever LSN they come to stand.
    this.flushDeadList();
    this.dead.piece = this.replayLists;
    const ascending = (a: number, b: number): number => a - b;
    for (const storage of [...replayed.rows.keys()].sort(ascending)) {
      const rows = replayed.rows.get(storage)!;
      for (const rowId of Float64Array.from(rows.keys()).sort()) this.putReplayed(storage, rowId as RowId, rows.get(rowId as RowId)!);
    }
    for (const index of [...replayed.entries.keys()].sort(ascending)) {
      const entries = replayed.entries.get(index)!;
      for (const name of [...entries.keys()].sort()) {
        const entry = entries.get(name)!;
        const full = this.keyScratch.subarray(0, 6 + name.length);
        writeUint48(full, 0, index);
        for (let i = 0; i < name.length; i++) full[6 + i] = name.charCodeAt(i);
        if (this.undo.aborted.size > 0) this.undo.entry(this.writer, full);
        if (entry.payload) this.putEntry(full, entry.lsn, entry.payload);
        else this.writer.delete('index', full);
      }
    }
    replayed.clear();
    this.lsn = lsn;
    this.xid = xid;
    this.flags = flags;
    this.flushDeadList();
    this.replayLists = this.dead.piece;
    this.dead.piece = 0;
  }

  private putReplayed(storage: StorageId, rowId: RowId, row: ReplayedRow): void {
    const info = this.info(storage);
    this.dirty.add(info);
    if (rowId >= info.nextRowId) info.nextRowId = (rowId + 1) as RowId;
    this.lsn = row.lsn;
    this.xid = row.xid;
    if (this.undo.aborted.size > 0) this.undo.row(this.writer, storage, rowId);
    const found = this.writer.get('heap', heapKey(this.rowKey, storage, rowId));
    if (found) {
      const old = found.subarray(ROW_HEADER);
      this.tally(info, rowId, old, -1);
      if (hasLarge(old)) this.freeSuperseded(storage, old.slice(), row.tuple ?? NO_TUPLE);
      if (!row.tuple) this.writer.delete('heap', heapKey(this.rowKey, storage, rowId));
    }
    if (!row.tuple) return;
    this.tally(info, rowId, row.tuple, 1);
    this.putRow(storage, rowId, 0, row.tuple);
  }

  private putSequence(sequence: StorageId, state: Uint8Array): void {
    const key = metaKey('s', sequence);
    // A replay comes to one moment: only what holds then is kept.
    const before = this.replayed ? undefined : this.writer.get('meta', key);
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

  private putValue(storage: StorageId, id: number, firstChunk: number, bytes: Uint8Array): void {
    this.values.add(this.xid, storage, id);
    const key = new Uint8Array(VALUE_KEY);
    for (let at = 0, chunk = firstChunk; at < bytes.length; at += VALUE_CHUNK, chunk++) {
      const part = bytes.subarray(at, at + VALUE_CHUNK);
      const value = new Uint8Array(VALUE_HEADER + part.length);
      value.set(part, VALUE_HEADER);
      valueKey(key, storage, id, chunk);
      sealChunk(value, key);
      this.writer.put('values', key, value);
    }
  }

  /** Has the collector free a value once the horizon has passed this record. */
  private freeLater(storage: StorageId, id: number): void {
    this.dead.addValue(storage, id);
    if (this.dead.full) this.flushDeadList();
  }

  info(storage: StorageId): StorageInfo {
    if (this.lastStorage.id === storage && this.lastStorage.info) return this.lastStorage.info;
    let info = this.infos.get(storage);
    if (!info) this.infos.set(storage, (info = new StorageInfo(storage)));
    this.lastStorage.id = storage;
    this.lastStorage.info = info;
    return info;
  }

  piece(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }

  row(op: number, storage: StorageId, rowId: RowId, bytes: Uint8Array | undefined, pieces: boolean): void {
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

  private freeReplaced(storage: StorageId, old: Uint8Array, next: Uint8Array | undefined): void {
    if (hasLarge(old)) this.freeSuperseded(storage, old, next ?? NO_TUPLE);
  }

  /** Large values of a version that its successor does not share. */
  private freeSuperseded(storage: StorageId, old: Uint8Array, next: Uint8Array): void {
    const kept = largeIds(next);
    for (const id of largeIds(old)) if (!kept.includes(id)) this.freeLater(storage, id);
  }

  private putRow(storage: StorageId, rowId: RowId, flags: number, tuple: Uint8Array): void {
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

  private putEntry(full: Uint8Array, birth: number, payload: Uint8Array): void {
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
  private flushDeadList(): void {
    if (this.dead.flush(this.writer, this.lsn, this.flags & Flag.provisional ? this.xid : 0)) this.historyCount++;
  }

  /** The record is over. */
  private endDeadList(): void {
    this.flushDeadList();
    this.dead.piece = 0;
  }

  private tally(info: StorageInfo, rowId: RowId, tuple: Uint8Array, sign: 1 | -1): void {
    hashRow(this.hash, rowId, tuple);
    let into: { count: number; bytes: number; readonly hash: Uint32Array } = info;
    if (this.flags & Flag.provisional) into = this.fates.tally(this.xid, info.id, this.lsn);
    into.count += sign;
    into.bytes += sign * tuple.length;
    addHash(into.hash, this.hash, sign);
  }

  private commitProvisional(xid: Xid): void {
    for (const [storage, tally] of this.fates.commit(this.writer, xid, this.lsn)) {
      const info = this.info(storage);
      if (info.lastDeath > 0) info.lastDeath = this.lsn;
      info.count += tally.count;
      info.bytes += tally.bytes;
      addHash(info.hash, tally.hash, 1);
      this.dirty.add(info);
    }
  }

  private dropLater(storage: StorageId): void {
    this.replayed?.forget(storage);
    this.writer.put('meta', metaKey('d', this.lsn, storage), NO_TUPLE);
    this.writer.delete('storages', storagePrefix(storage));
    this.fates.forgetStorage(storage);
    const info = this.infos.get(storage);
    if (info) this.dirty.delete(info);
    this.infos.delete(storage);
    this.lastStorage.id = -1 as StorageId;
  }

  private saveProgress(): void {
    for (const info of this.dirty) {
      this.writer.put('storages', storagePrefix(info.id), info.encode());
      this.changed.add(info);
      this.unsummed.add(info);
    }
    this.dirty.clear();
    this.values.save(this.writer);
    this.times.flush(this.writer);
    this.fates.save(this.writer);
    let replayFrom = this.applied;
    for (const parts of this.parts.values()) if (parts[0]!.lsn < replayFrom) replayFrom = parts[0]!.lsn;
    this.replayFrom = replayFrom;
    const value = new Uint8Array(20);
    writeUint48(value, 0, this.applied);
    writeUint48(value, 6, replayFrom);
    new DataView(value.buffer).setFloat64(12, this.lastCommitMicros);
    this.writer.put('meta', META.applied, value);
  }
}

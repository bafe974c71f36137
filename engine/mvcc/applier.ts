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
import type { Lsn, StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { KeyValueStore, KeyValueWriter } from '../kv/key-value-store.js';
import { COMMIT_HAS_PARTS, COMMIT_HAS_PROVISIONAL, BATCH_HEADER, RecordKind, RecordReader, Section } from '../log/batch.js';
import type { IndexVisitor, RowVisitor } from '../log/batch.js';
import { Flag, VALUE_CHUNK, VALUE_HEADER, VALUE_KEY, addHash, sealChunk, storagePrefix, valueKey } from './row-format.js';
import { ChangeWriter, NO_TUPLE } from './change-writer.js';
import { CommitTimes } from './commit-times.js';
import { Fates } from './fates.js';
import { META, metaKey } from './meta.js';
import { OpenValues } from './open-values.js';
import { Undo } from './undo.js';
import { ReplayCache } from './replay-cache.js';
import { ReplayWriter } from './replay-writer.js';
import type { StagedPart, StateMark, StateSums, StorageSum } from './state-mark.js';
import { StorageInfo } from './storage-info.js';

/** So much log is kept for transactions that wrote ahead and have not come to their end. */
const KEPT_AHEAD_BYTES = 256 << 20;

export class Applier {
  /** What rows and entries of the record become in the state. */
  private readonly changes: ChangeWriter;
  readonly infos: Map<StorageId, StorageInfo>;
  /** LSN of the last record applied. */
  applied = 0 as Lsn;
  lastCommitMicros = 0;
  /** A restart needs the log from here: `applied`, or the oldest part of a transaction still open. */
  replayFrom = 0 as Lsn;
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
  private readonly replayWriter: ReplayWriter;
  private readonly times = new CommitTimes();

  // The record being applied.
  private lsn = 0 as Lsn;
  private xid = 0 as Xid;

  /**
   * For a restore: up to `until` only records of these transactions are applied, because the state
   * has all that others did by then.
   */
  only: { readonly until: Lsn; readonly xids: ReadonlySet<Xid> } | undefined;

  constructor(private readonly kv: KeyValueStore) {
    this.undo = new Undo(kv);
    this.fates = new Fates(this.undo.aborted);
    this.changes = new ChangeWriter(this.undo, this.fates, kv.entryCount('history'));
    this.infos = this.changes.infos;
    this.replayWriter = new ReplayWriter(this.changes);
  }

  /** Entries that history had at the start and got since: versions, lists of what else goes with them. */
  get historyCount(): number {
    return this.changes.historyCount;
  }

  /** Reads how far the state is. */
  load(): { replayFrom: Lsn } {
    this.infos.clear();
    this.parts.clear();
    this.prepared.clear();
    this.changes.forgetLast();
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
    this.replayed = replay ? new ReplayCache((storage, old, next) => this.changes.freeReplaced(storage, old, next)) : undefined;
    this.kv.write((writer) => {
      this.writer = writer;
      this.changes.writer = writer;
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
    this.changes.reset();
    this.kv.refresh();
    this.applied = 0 as Lsn;
    this.load();
    if (!before) return;
    this.parts = before.parts;
    this.prepared = before.prepared;
    before.restoreValues();
    before.restoreFates();
    this.changes.historyCount = before.history;
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
    const { changes } = this;
    this.lsn = changes.lsn = reader.lsn;
    this.xid = changes.xid = reader.xid;
    changes.flags = 0;
    switch (reader.kind) {
      case RecordKind.part:
      case RecordKind.prepare:
        break;
      case RecordKind.values:
        this.applySections(reader);
        break;
      case RecordKind.provisional:
        changes.flags = Flag.provisional;
        this.fates.beginRecord();
        changes.appendsRows = true;
        changes.appendsEntries = true;
        this.applySections(reader);
        changes.appendsRows = false;
        changes.appendsEntries = false;
        changes.endDeadList();
        changes.flags = 0;
        break;
      case RecordKind.commit:
        this.commit();
        break;
      case RecordKind.abort:
        this.forgetParts(this.xid);
        this.applySections(reader);
        for (const [id, storage] of this.values.of(this.xid)) this.changes.freeLater(storage, id);
        this.values.settle(this.writer, this.xid);
        this.changes.endDeadList();
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
    this.changes.endDeadList();
    assert(this.changes.pieces.length === 0, 'pieces of a value without the value');
  }

  private applySections(reader: RecordReader): void {
    while (reader.nextSection()) {
      switch (reader.tag) {
        case Section.time:
          this.lastCommitMicros = reader.time();
          this.times.note(this.lastCommitMicros, this.lsn);
          break;
        case Section.rows: {
          const sink = this.sink();
          this.changes.beginRows(reader.sectionEnd - reader.sectionStart);
          reader.rows(sink);
          this.changes.endRows();
          break;
        }
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
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 12) this.changes.freeLater(reader.uint48(at) as StorageId, reader.uint48(at + 6));
          break;
        case Section.sequence:
          for (let at = reader.sectionStart; at < reader.sectionEnd; at += 19) this.changes.putSequence(reader.uint48(at) as StorageId, reader.bytes(at + 6, at + 19), !this.replayed);
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
    const { replayed, changes } = this;
    if (!replayed) return changes;
    if (changes.flags & Flag.provisional) {
      this.flushReplayed();
      return changes;
    }
    replayed.lsn = this.lsn;
    replayed.xid = this.xid;
    return replayed;
  }

  private flushReplayed(): void {
    if (this.replayed) this.replayWriter.flush(this.replayed);
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

  private commitProvisional(xid: Xid): void {
    for (const [storage, tally] of this.fates.commit(this.writer, xid, this.lsn)) {
      const info = this.changes.info(storage);
      if (info.lastDeath > 0) info.lastDeath = this.lsn;
      info.count += tally.count;
      info.bytes += tally.bytes;
      addHash(info.hash, tally.hash, 1);
      this.changes.dirty.add(info);
    }
  }

  private dropLater(storage: StorageId): void {
    this.replayed?.forget(storage);
    this.writer.put('meta', metaKey('d', this.lsn, storage), NO_TUPLE);
    this.writer.delete('storages', storagePrefix(storage));
    this.fates.forgetStorage(storage);
    const info = this.infos.get(storage);
    if (info) this.changes.dirty.delete(info);
    this.infos.delete(storage);
    this.changes.forgetLast();
  }

  private saveProgress(): void {
    for (const info of this.changes.dirty) {
      this.writer.put('storages', storagePrefix(info.id), info.encode());
      this.changed.add(info);
      this.unsummed.add(info);
    }
    this.changes.dirty.clear();
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

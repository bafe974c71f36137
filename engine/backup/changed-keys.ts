/**
 * Which keys of the state a stretch of the log may have changed: what an incremental backup looks up.
 * Every record counts, also of transactions that were rolled back or are open: a look-up of a key that
 * did not change costs little, and no record has to be understood.
 */
import type { RowId, StorageId, Xid } from '../ids.js';
import { BATCH_HEADER, RecordKind, RecordReader, Section } from '../log/batch.js';
import type { IndexVisitor, RowVisitor } from '../log/batch.js';
import { HEAP_KEY, VALUE_KEY, heapKey, indexKey, valueKey, writeUint32 } from '../mvcc/row-format.js';
import { ENTRY_HEAD, EntryWriter } from './entries.js';

/** Bytes of keys sent in one request. */
const REQUEST_BYTES = 512 << 10;

export class ChangedKeys implements RowVisitor, IndexVisitor {
  private rows = new Map<StorageId, Set<RowId>>();
  /** Key and row id as one character a byte. */
  private entries = new Map<StorageId, Set<string>>();
  private values = new Map<StorageId, Set<number>>();
  private readonly dropsOf = new Map<Xid, StorageId[]>();
  /** Storages that committed transactions dropped. */
  readonly dropped = new Set<StorageId>();
  private readonly reader = new RecordReader();
  private readonly scratch = new Uint8Array(4096);
  size = 0;

  batch(batch: Uint8Array, until: number): void {
    const { reader } = this;
    reader.open(batch, BATCH_HEADER);
    while (reader.nextRecord()) {
      if (reader.lsn > until) return;
      while (reader.nextSection()) this.section();
      if (reader.kind === RecordKind.abort) this.dropsOf.delete(reader.xid);
      if (reader.kind !== RecordKind.commit) continue;
      for (const storage of this.dropsOf.get(reader.xid) ?? []) this.drop(storage);
      this.dropsOf.delete(reader.xid);
    }
  }

  private section(): void {
    const { reader } = this;
    const { sectionStart: start, sectionEnd: end } = reader;
    if (reader.tag === Section.rows) reader.rows(this);
    else if (reader.tag === Section.derived) reader.derived(this);
    else if (reader.tag === Section.value) this.add(this.values, reader.uint48(start) as StorageId, reader.uint48(start + 6));
    else if (reader.tag === Section.drops) {
      const drops = this.dropsOf.get(reader.xid) ?? [];
      for (let at = start; at < end; at += 6) drops.push(reader.uint48(at) as StorageId);
      this.dropsOf.set(reader.xid, drops);
    }
  }

  private add<T>(map: Map<StorageId, Set<T>>, storage: StorageId, key: T): void {
    let set = map.get(storage);
    if (!set) map.set(storage, (set = new Set()));
    const before = set.size;
    set.add(key);
    this.size += set.size - before;
  }

  private drop(storage: StorageId): void {
    this.dropped.add(storage);
    for (const map of [this.rows, this.entries, this.values]) {
      this.size -= map.get(storage)?.size ?? 0;
      map.delete(storage);
    }
  }

  piece(): void {
    // The insert or update behind the pieces names the row.
  }

  row(_op: number, storage: StorageId, rowId: RowId): void {
    this.add(this.rows, storage, rowId);
  }

  index(_op: number, index: StorageId, key: Uint8Array, rowId: RowId): void {
    const full = indexKey(this.scratch, index, key, rowId);
    this.add(this.entries, index, Buffer.from(full.buffer, full.byteOffset + 6, full.length - 6).latin1Slice());
  }

  /** The keys in their order, as entries without values in pieces of about 512 kB; they are forgotten. */
  *take(): Generator<Uint8Array> {
    const ascending = (a: number, b: number): number => a - b;
    let out = new EntryWriter(REQUEST_BYTES + 4096);
    const { rows, entries, values } = this;
    this.rows = new Map();
    this.entries = new Map();
    this.values = new Map();
    this.size = 0;
    const key = new Uint8Array(HEAP_KEY);
    for (const storage of [...rows.keys()].sort(ascending))
      for (const rowId of Float64Array.from(rows.get(storage)!).sort()) {
        out.put('heap', heapKey(key, storage, rowId as RowId), undefined);
        if (out.byteLength >= REQUEST_BYTES) {
          yield out.take();
          out = new EntryWriter(REQUEST_BYTES + 4096);
        }
      }
    for (const index of [...entries.keys()].sort(ascending))
      for (const name of [...entries.get(index)!].sort()) {
        const full = new Uint8Array(6 + name.length);
        heapKey(this.scratch, index, 0 as RowId);
        full.set(this.scratch.subarray(0, 6));
        for (let i = 0; i < name.length; i++) full[6 + i] = name.charCodeAt(i);
        out.put('index', full, undefined);
        if (out.byteLength >= REQUEST_BYTES) {
          yield out.take();
          out = new EntryWriter(REQUEST_BYTES + 4096);
        }
      }
    const chunk = new Uint8Array(VALUE_KEY);
    for (const storage of [...values.keys()].sort(ascending))
      for (const id of Float64Array.from(values.get(storage)!).sort()) out.put('values', valueKey(chunk, storage, id, 0), undefined);
    if (out.byteLength > 0) yield out.take();
  }
}

/** A key list from where a look-up stopped: without the first `bytes`, and the first value from `chunk` on. */
export function remaining(keys: Uint8Array, bytes: number, chunk: number): Uint8Array {
  const rest = keys.slice(bytes);
  if (chunk > 0) writeUint32(rest, ENTRY_HEAD + 12, chunk);
  return rest;
}

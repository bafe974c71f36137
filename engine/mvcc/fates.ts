/**
 * What becomes of transactions that wrote ahead: per xid a record with its commit, where it began, and
 * what it adds to each storage once it commits.
 *
 *     "x" u48 xid -> u48 commit LSN (0: in progress or aborted), u48 LSN of its first record (0: aborted), then per
 *                    storage u48 id, f64 rows, f64 bytes, 16B hash sum added so far
 */
import type { Lsn, StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { KeyValueStore, KeyValueWriter } from '../kv/key-value-store.js';
import { metaKey } from './meta.js';

/** Live rows that a provisional transaction adds to a storage once it commits. */
export interface Tally {
  count: number;
  bytes: number;
  readonly hash: Uint32Array;
}

interface Provisional {
  /** LSN of its first record. */
  readonly first: Lsn;
  readonly tallies: Map<StorageId, Tally>;
  changed: boolean;
}

/** Bytes of a fate record before its storages, and per storage. */
export const FATE_HEADER = 12;
export const FATE_STORAGE = 38;

export class Fates {
  private provisional = new Map<Xid, Provisional>();
  /** Where the last row or entry of the record being applied counted. */
  private last: { readonly storage: StorageId; readonly tally: Tally } | undefined;

  /** `aborted`: those that are to be undone, with the storages they wrote to. */
  constructor(private readonly aborted: Map<Xid, readonly StorageId[]>) {}

  load(kv: KeyValueStore): void {
    this.provisional.clear();
    this.aborted.clear();
    this.last = undefined;
    const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
    kv.scan('meta', metaKey('x', 0), metaKey('y', 0), false, Infinity, chunk);
    chunk.keys.forEach((key, n) => {
      const fate = chunk.values[n]!;
      if (readUint48(fate, 0) !== 0) return;
      const view = new DataView(fate.buffer, fate.byteOffset, fate.length);
      const tallies = new Map<StorageId, Tally>();
      for (let at = FATE_HEADER; at < fate.length; at += FATE_STORAGE)
        tallies.set(readUint48(fate, at) as StorageId, {
          count: view.getFloat64(at + 6),
          bytes: view.getFloat64(at + 14),
          hash: Uint32Array.from({ length: 4 }, (_, i) => view.getUint32(at + 22 + i * 4)),
        });
      const xid = readUint48(key, 1) as Xid;
      const first = readUint48(fate, 6) as Lsn;
      if (first === 0) this.aborted.set(xid, [...tallies.keys()]);
      else this.provisional.set(xid, { first, tallies, changed: false });
    });
  }

  /** Transactions in progress that wrote ahead. */
  inProgress(): IterableIterator<Xid> {
    return this.provisional.keys();
  }

  /** The storages that `xid` wrote ahead to, and its first record. */
  of(xid: Xid): { first: Lsn; storages: StorageId[] } {
    const known = this.provisional.get(xid);
    return { first: known?.first ?? (0 as Lsn), storages: known ? [...known.tallies.keys()] : [...(this.aborted.get(xid) ?? [])] };
  }

  /** A new record begins. */
  beginRecord(): void {
    this.last = undefined;
  }

  /** Where a row or entry that the record at `lsn` of `xid` writes to the storage counts. */
  tally(xid: Xid, storage: StorageId, lsn: Lsn): Tally {
    if (this.last?.storage === storage) return this.last.tally;
    let known = this.provisional.get(xid);
    if (!known) this.provisional.set(xid, (known = { first: lsn, tallies: new Map(), changed: true }));
    known.changed = true;
    let tally = known.tallies.get(storage);
    if (!tally) known.tallies.set(storage, (tally = { count: 0, bytes: 0, hash: new Uint32Array(4) }));
    this.last = { storage, tally };
    return tally;
  }

  /** It committed at `lsn`: what it adds, by storage. */
  commit(writer: KeyValueWriter, xid: Xid, lsn: Lsn): ReadonlyMap<StorageId, Tally> {
    const known = this.provisional.get(xid);
    if (!known) return new Map();
    this.provisional.delete(xid);
    put(writer, xid, lsn, known);
    return known.tallies;
  }

  /** The record stays, as the sweeper's list of what to visit. */
  abort(writer: KeyValueWriter, xid: Xid): void {
    const known = this.provisional.get(xid);
    if (!known) return;
    put(writer, xid, 0 as Lsn, { ...known, first: 0 as Lsn });
    this.provisional.delete(xid);
    this.aborted.set(xid, [...known.tallies.keys()]);
  }

  forgetStorage(storage: StorageId): void {
    for (const known of this.provisional.values()) known.tallies.delete(storage);
  }

  /** Writes what changed since the last call. */
  save(writer: KeyValueWriter): void {
    for (const [xid, known] of this.provisional) if (known.changed) put(writer, xid, 0 as Lsn, known);
  }

  /** Remembers how things are; the function answered brings that back. */
  checkpoint(): () => void {
    const copy = new Map([...this.provisional].map(([xid, known]) => [xid, copyOf(known)]));
    return () => {
      this.provisional = copy;
      this.last = undefined;
    };
  }
}

function put(writer: KeyValueWriter, xid: Xid, commitLsn: Lsn, known: Provisional): void {
  const value = new Uint8Array(FATE_HEADER + known.tallies.size * FATE_STORAGE);
  const view = new DataView(value.buffer);
  writeUint48(value, 0, commitLsn);
  writeUint48(value, 6, known.first);
  let at = FATE_HEADER;
  for (const [storage, tally] of known.tallies) {
    writeUint48(value, at, storage);
    view.setFloat64(at + 6, tally.count);
    view.setFloat64(at + 14, tally.bytes);
    tally.hash.forEach((word, i) => view.setUint32(at + 22 + i * 4, word));
    at += FATE_STORAGE;
  }
  known.changed = false;
  writer.put('meta', metaKey('x', xid), value);
}

function copyOf(known: Provisional): Provisional {
  const tallies = new Map([...known.tallies].map(([storage, tally]): [StorageId, Tally] => [storage, { ...tally, hash: tally.hash.slice() }]));
  return { first: known.first, tallies, changed: known.changed };
}

/**
 * A backup (a full one and the incremental ones on top of it) into an empty key-value store: the
 * state as of the last one's LSN. Rows are counted and their hashes summed on the way in, and the
 * result is compared per storage with what the server's applier had kept: an entry that was lost or
 * changed anywhere between is found here.
 */
import { createHash } from 'node:crypto';
import { DatabaseError } from '../errors.js';
import { compareBytes, readUint48, writeUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId } from '../ids.js';
import { KEYSPACES } from '../kv/key-value-store.js';
import type { Builder, Chunk, KeyValueStore, KeyValueWriter, Keyspace, RowKeyspace } from '../kv/key-value-store.js';
import { META } from '../mvcc/meta.js';
import { ROW_HEADER, addHash, hasLarge, hashRow, largeIds, storagePrefix } from '../mvcc/row-format.js';
import { StorageInfo } from '../mvcc/storage-info.js';
import { decodePart } from './data-part.js';
import type { PartHead } from './data-part.js';
import { placeEntries, readEntries } from './entries.js';
import type { Manifest, ManifestObject } from './manifest.js';
import { DamagedObject, unseal } from './sealed.js';
import type { Target } from './target.js';

export interface LoadOptions {
  readonly key: Uint8Array | undefined;
  /** Told as it goes: bytes of entries put, and how many there are. */
  readonly progress: (done: number, total: number) => void;
}

const AHEAD = 4;
/** Bytes of entries in one key-value transaction. */
const WRITE_BYTES = 4 << 20;
const HEAP = KEYSPACES.indexOf('heap');
const SWEEP_CHUNK = 2000;
const SPACES: readonly Keyspace[] = ['heap', 'index', 'values'];

interface Sum {
  count: number;
  readonly hash: Uint32Array;
}

/** Reads and checks an object of a backup; what it says is named when it is damaged. */
export async function readObject(target: Target, { name, bytes, sha256 }: ManifestObject, key: Uint8Array | undefined): Promise<Uint8Array> {
  const object = await target.get(name);
  if (!object) throw new DamagedObject(name, 'it is missing');
  if (object.length !== bytes) throw new DamagedObject(name, `it has ${object.length} bytes instead of ${bytes}`);
  if (createHash('sha256').update(object).digest('hex') !== sha256) throw new DamagedObject(name, 'its SHA-256 is not the one in the manifest');
  return unseal(name, object, key);
}

/** Loads `chain` (manifest.ts: chainOf) into `kv`, which is empty, and has it compared. */
export async function loadBackup(kv: KeyValueStore, target: Target, chain: readonly Manifest[], options: LoadOptions): Promise<void> {
  let loader = new Loader(kv);
  const total = chain.reduce((sum, manifest) => sum + manifest.objects.reduce((bytes, object) => bytes + object.rawBytes, 0), 0);
  let done = 0;
  const each = async ({ objects }: Manifest, take: (bytes: Uint8Array) => number | undefined): Promise<void> => {
    for await (const { object, head, bytes } of partsOf(target, objects, options.key)) {
      if (take(bytes) !== head.entries) throw new DamagedObject(object.name, 'it lacks entries');
      options.progress((done += object.rawBytes), total);
    }
  };
  for (const [level, manifest] of chain.entries()) {
    if (level > 0) loader.drop(manifest.dropped);
    else {
      const building = loader;
      if (await kv.fill?.((builder) => each(manifest, (bytes) => building.build(builder, bytes)))) continue;
      // There is no such way, or the entries are in another order than they should be.
      loader = new Loader(kv);
      done = 0;
    }
    await each(manifest, (bytes) => loader.put(bytes, level > 0));
  }
  const last = chain.at(-1)!;
  loader.finish(last);
}

/** The parts of a backup, of which the next few are read and opened while one is used. */
async function* partsOf(target: Target, objects: readonly ManifestObject[], key: Uint8Array | undefined): AsyncGenerator<{ object: ManifestObject; head: PartHead; bytes: Uint8Array }> {
  const ahead: Promise<Uint8Array>[] = [];
  for (let i = 0; i < objects.length; i++) {
    for (let next = i + ahead.length; next < objects.length && ahead.length < AHEAD; next++) {
      const read = readObject(target, objects[next]!, key);
      read.catch(() => undefined);
      ahead.push(read);
    }
    yield { object: objects[i]!, ...decodePart(await ahead.shift()!) };
  }
}

class Loader {
  private readonly sums = new Map<StorageId, Sum>();
  private readonly hash = new Uint32Array(4);
  private building = -1;
  private last: { readonly storage: number; readonly sum: Sum } = { storage: -1, sum: { count: 0, hash: this.hash } };

  constructor(private readonly kv: KeyValueStore) {}

  private sum(storage: StorageId): Sum {
    if (storage === this.last.storage) return this.last.sum;
    let sum = this.sums.get(storage);
    if (!sum) this.sums.set(storage, (sum = { count: 0, hash: new Uint32Array(4) }));
    this.last = { storage, sum };
    return sum;
  }

  /** The next part of a full backup; returns the number of entries, undefined: it is none. */
  build(builder: Builder, bytes: Uint8Array): number | undefined {
    const { hash } = this;
    return placeEntries(bytes, (space, keyStart, valueStart, valueEnd) => {
      if (space !== this.building) {
        builder.begin(KEYSPACES[space]!);
        this.building = space;
      }
      if (space === HEAP) {
        const sum = this.sum(readUint48(bytes, keyStart) as StorageId);
        sum.count++;
        hashRow(hash, readUint48(bytes, keyStart + 6) as RowId, bytes, valueStart + ROW_HEADER, valueEnd);
        addHash(sum.hash, hash, 1);
      }
      builder.add(bytes, keyStart, valueStart, valueEnd);
    });
  }

  private tally(key: Uint8Array, value: Uint8Array, sign: 1 | -1): void {
    const sum = this.sum(readUint48(key, 0) as StorageId);
    sum.count += sign;
    hashRow(this.hash, readUint48(key, 6) as RowId, value.subarray(ROW_HEADER));
    addHash(sum.hash, this.hash, sign);
  }

  /** Returns the number of entries. `over`: they may replace what is there. */
  put(bytes: Uint8Array, over: boolean): number {
    let entries = 0;
    for (let at = 0; at < bytes.length; ) {
      this.kv.write((writer) => {
        at = readEntries(bytes, at, (space, key, value) => {
          entries++;
          if (space === 'heap') this.row(writer, key, value, over);
          if (!value) writer.delete(space, key);
          else if (over || space === 'values' || !writer.append(space as RowKeyspace, key, value)) writer.put(space, key, value);
        }, at + WRITE_BYTES);
      });
    }
    return entries;
  }

  private row(writer: KeyValueWriter, key: Uint8Array, value: Uint8Array | undefined, over: boolean): void {
    const old = over ? writer.get('heap', key) : undefined;
    if (old) this.tally(key, old, -1);
    if (value) this.tally(key, value, 1);
  }

  /** Storages that were dropped between two backups. */
  drop(storages: readonly StorageId[]): void {
    for (const storage of storages) {
      this.sums.delete(storage);
      this.last = { storage: -1, sum: this.last.sum };
      for (const space of SPACES) deleteRange(this.kv, space, storagePrefix(storage), storagePrefix(storage + 1));
    }
  }

  finish(manifest: Manifest): void {
    const { mark } = manifest;
    const known = new Map(mark.storages.map(({ id, record }) => [id, StorageInfo.decode(id, Buffer.from(record, 'base64'))]));
    for (const [storage, sum] of this.sums) if (sum.count !== 0 && !known.has(storage)) throw mismatch(manifest, `storage ${storage} has ${sum.count} rows but was not known`);
    for (const [storage, info] of known) {
      const sum = this.sums.get(storage) ?? { count: 0, hash: new Uint32Array(4) };
      if (sum.count !== info.count || sum.hash.some((word, i) => word !== info.hash[i])) throw mismatch(manifest, `storage ${storage} has ${sum.count} rows where ${info.count} belong, or others`);
      sweepValues(this.kv, storage);
    }
    this.kv.write((writer) => {
      for (const [storage, info] of known) {
        // The state has no past: nothing of it is dead.
        info.lastDeath = 0 as Lsn;
        writer.put('storages', storagePrefix(storage), info.encode());
      }
      const dropped = new Set<number>(mark.dropped);
      for (const { key, value } of mark.sequences) {
        const name = Buffer.from(key, 'base64');
        if (!dropped.has(readUint48(name, 1))) writer.put('meta', name, Buffer.from(value, 'base64'));
      }
      if (mark.reserve !== undefined) writer.put('meta', META.reserve, Buffer.from(mark.reserve, 'base64'));
      writeProgress(writer, mark.open.length > 0 ? ((manifest.logFrom - 1) as Lsn) : mark.at, manifest.logFrom, mark.lastCommitMicros);
    });
  }
}

export function writeProgress(writer: KeyValueWriter, applied: Lsn, replayFrom: Lsn, lastCommitMicros: number): void {
  const value = new Uint8Array(20);
  writeUint48(value, 0, applied);
  writeUint48(value, 6, replayFrom);
  new DataView(value.buffer).setFloat64(12, lastCommitMicros);
  writer.put('meta', META.applied, value);
}

function mismatch(manifest: Manifest, detail: string): DatabaseError {
  return new DatabaseError('XX001', `backup ${manifest.id} does not hold the state that the server had`, { detail });
}

function deleteRange(kv: KeyValueStore, space: Keyspace, lower: Uint8Array, upper: Uint8Array): void {
  for (let more = true; more; ) kv.write((writer) => void (more = writer.clear(space, lower, upper, SWEEP_CHUNK)));
}

/** Removes large values that no row of the storage refers to: versions that were older than the backup had them. */
function sweepValues(kv: KeyValueStore, storage: StorageId): void {
  const chunk: Chunk = { keys: [], values: [] };
  const upper = storagePrefix(storage + 1);
  kv.refresh();
  if (kv.scan('values', storagePrefix(storage), upper, false, 1, chunk) === 0) return;
  const referred = new Set<number>();
  forEach(kv, 'heap', storagePrefix(storage), upper, (_, value) => {
    const tuple = value.subarray(ROW_HEADER);
    if (hasLarge(tuple)) for (const id of largeIds(tuple)) referred.add(id);
  });
  const unused: Uint8Array[] = [];
  forEach(kv, 'values', storagePrefix(storage), upper, (key) => {
    if (!referred.has(readUint48(key, 6))) unused.push(key);
  });
  for (let at = 0; at < unused.length; at += SWEEP_CHUNK)
    kv.write((writer) => {
      for (const key of unused.slice(at, at + SWEEP_CHUNK)) writer.delete('values', key);
    });
}

/** Every entry of [lower, upper), chunk by chunk. */
export function forEach(kv: KeyValueStore, space: Keyspace, lower: Uint8Array, upper: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => void): void {
  const chunk: Chunk = { keys: [], values: [] };
  let from = lower;
  for (;;) {
    chunk.keys.length = chunk.values.length = 0;
    const count = kv.scan(space, from, upper, false, SWEEP_CHUNK, chunk);
    for (let i = 0; i < count; i++) visit(chunk.keys[i]!, chunk.values[i]!);
    if (count < SWEEP_CHUNK) return;
    const last = chunk.keys[count - 1]!;
    from = new Uint8Array(last.length + 1);
    from.set(last);
    if (compareBytes(from, upper) >= 0) return;
  }
}

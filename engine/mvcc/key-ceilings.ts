/**
 * The greatest key that each unique index has had since it was first asked about: committed, dead, or written by a transaction
 * that may yet roll back. A key beyond it is nobody's, so inserting ascending keys (serials, times) looks nothing up. A
 * ceiling never comes down; too high a one only costs the look-up.
 */
import type { StorageId } from '../ids.js';
import { compareBytes } from '../keycode.js';
import type { Chunk, KeyValueStore, Keyspace } from '../kv/key-value-store.js';
import { storagePrefix } from './row-format.js';
import type { StorageWrites } from './write-set.js';

const NO_KEY = new Uint8Array(0);

/** Whether the first `length` bytes of `key` are beyond `known`. */
function isBeyond(key: Uint8Array, length: number, known: Uint8Array): boolean {
  const common = Math.min(length, known.length);
  for (let i = 0; i < common; i++) if (key[i] !== known[i]) return key[i]! > known[i]!;
  return length > known.length;
}

export class KeyCeilings {
  private readonly greatest = new Map<StorageId, Uint8Array>();

  /** `writes`: what transactions and the overlay have of an index. */
  constructor(private readonly kv: KeyValueStore, private readonly writes: (index: StorageId) => Iterable<StorageWrites>) {}

  /** No entry with this key (or one beyond it) was ever put. */
  isBeyond(index: StorageId, key: Uint8Array): boolean {
    return isBeyond(key, key.length, this.of(index));
  }

  /** An entry is put: from now on its key, the first `length` bytes, is somebody's. Of an index that was never asked about nothing is kept. */
  note(index: StorageId, key: Uint8Array, length: number): void {
    const known = this.greatest.get(index);
    if (!known || !isBeyond(key, length, known)) return;
    if (known.length === length) for (let i = 0; i < length; i++) known[i] = key[i]!;
    else this.greatest.set(index, key.slice(0, length));
  }

  /** Entries came on another way: it is looked up anew. */
  forget(index: StorageId): void {
    this.greatest.delete(index);
  }

  private of(index: StorageId): Uint8Array {
    let found = this.greatest.get(index);
    if (found) return found;
    found = NO_KEY;
    for (const key of this.stored(index)) if (compareBytes(key, found) > 0) found = key;
    this.greatest.set(index, found);
    return found;
  }

  private *stored(index: StorageId): Iterable<Uint8Array> {
    yield this.last('index', index, 6);
    yield this.last('dead', index, 12);
    for (const writes of this.writes(index)) {
      if (!writes.hasEntries) continue;
      const keys: Uint8Array[] = [];
      writes.entries.collect(NO_KEY, undefined, true, 1, keys, []);
      for (const entry of keys) yield entry.slice(0, entry.length - 6);
    }
  }

  /** The last key of the index in a keyspace, whose keys have `behind` bytes behind it. */
  private last(space: Keyspace, index: StorageId, behind: number): Uint8Array {
    const chunk: Chunk = { keys: [], values: [] };
    this.kv.scan(space, storagePrefix(index), storagePrefix(index + 1), true, 1, chunk);
    const key = chunk.keys[0];
    return key ? key.slice(6, key.length - behind) : NO_KEY;
  }
}

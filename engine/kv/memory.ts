/** KeyValueStore in memory: the model that property tests compare others with, and the store of memory engines. */
import type { Capabilities, Chunk, Entry, KeyValueStore, KeyValueWriter, Keyspace, RowKeyspace, Walker } from './key-value-store.js';
import { KEYSPACES, clearByScan, nextKey } from './key-value-store.js';
import { OrderedMap } from './ordered-map.js';
import { walkByScans } from './walk-by-scans.js';

type Undo = { map: OrderedMap<Uint8Array>; key: Uint8Array; former: Uint8Array | undefined };

export class MemoryKeyValueStore implements KeyValueStore, KeyValueWriter {
  readonly capabilities: Capabilities = { synchronous: true, maxKeyBytes: 1978, maxValueBytes: 2 ** 31 };
  private readonly spaces = Object.fromEntries(KEYSPACES.map((space) => [space, new OrderedMap<Uint8Array>()])) as Record<Keyspace, OrderedMap<Uint8Array>>;
  private bytes = 0;
  private undo: Undo[] | undefined;

  get(space: Keyspace, key: Uint8Array): Uint8Array | undefined {
    return this.spaces[space].get(key);
  }

  scan(space: Keyspace, lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk, past = false): number {
    const count = this.spaces[space].collect(lower, upper, reverse, max, into.keys, into.values);
    if (past && !reverse && count < max) this.spaces[space].collect(upper, undefined, false, 1, into.keys, into.values);
    return count;
  }

  run(space: RowKeyspace, key: Uint8Array, max: number, values: Uint8Array[]): number {
    let count = 0;
    for (; count < max; count++) {
      const value = this.spaces[space].get(key);
      if (!value) break;
      values.push(value);
      nextKey(key);
    }
    return count;
  }

  seek(space: Keyspace, lower: Uint8Array, into: Entry): boolean {
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    if (this.spaces[space].collect(lower, undefined, false, 1, keys, values) === 0) return false;
    into.key = keys[0]!;
    into.value = values[0]!;
    return true;
  }

  refresh(): void {}

  bulk<T>(action: (walker: Walker) => T): T {
    return action({ walk: (space, lower, upper, visit) => walkByScans(this, space, lower, upper, visit) });
  }

  write(action: (writer: KeyValueWriter) => void): void {
    this.undo = [];
    try {
      action(this);
    } catch (error) {
      for (const { map, key, former } of this.undo.reverse()) {
        if (former) map.set(key, former);
        else map.delete(key);
      }
      throw error;
    } finally {
      this.undo = undefined;
    }
  }

  put(space: Keyspace, key: Uint8Array, value: Uint8Array): void {
    const map = this.spaces[space];
    const ownKey = key.slice();
    const former = map.set(ownKey, value.slice());
    this.bytes += value.length - (former ? former.length : -key.length);
    this.undo?.push({ map, key: ownKey, former });
  }

  append(space: RowKeyspace, key: Uint8Array, value: Uint8Array): boolean {
    if (this.spaces[space].collect(key, undefined, false, 1, [], []) > 0) return false;
    this.put(space, key, value);
    return true;
  }

  delete(space: Keyspace, key: Uint8Array): boolean {
    const map = this.spaces[space];
    const former = map.get(key);
    if (!former) return false;
    map.delete(key);
    this.bytes -= former.length + key.length;
    this.undo?.push({ map, key: key.slice(), former });
    return true;
  }

  clear(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean {
    return clearByScan(this, space, lower, upper, max);
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  entryCount(space: Keyspace): number {
    return this.spaces[space].size;
  }

  byteSize(): number {
    return this.bytes;
  }

  close(): void {}
}

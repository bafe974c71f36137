/**
 * A store that is read and never written: what is put into it stays in memory, over the one below. So a
 * check can bring the state to the log's end, as a start would, and leave every byte as it was.
 */
import { compareBytes } from '../keycode.js';
import { KEYSPACES, clearByScan, nextKey } from '../kv/key-value-store.js';
import type { Capabilities, Chunk, Entry, KeyValueReader, KeyValueStore, KeyValueWriter, Keyspace, RowKeyspace, Walker } from '../kv/key-value-store.js';
import { OrderedMap } from '../kv/ordered-map.js';
import { walkByScans } from '../kv/walk-by-scans.js';

const LAST = new Uint8Array(12).fill(0xff);

/** A change over the base; null: deleted. */
type Change = { readonly value: Uint8Array | null };

export class LayeredKeyValueStore implements KeyValueStore, KeyValueWriter {
  readonly capabilities: Capabilities;
  private readonly changes = Object.fromEntries(KEYSPACES.map((space) => [space, new OrderedMap<Change>()])) as Record<Keyspace, OrderedMap<Change>>;
  private readonly below: Chunk = { keys: [], values: [] };

  constructor(private readonly base: KeyValueReader & { readonly capabilities: Capabilities; byteSize(): number; entryCount(space: Keyspace): number }) {
    this.capabilities = base.capabilities;
  }

  get(space: Keyspace, key: Uint8Array): Uint8Array | undefined {
    const change = this.changes[space].get(key);
    return change ? (change.value ?? undefined) : this.base.get(space, key);
  }

  scan(space: Keyspace, lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk): number {
    const changes = this.changes[space];
    if (changes.size === 0) return this.base.scan(space, lower, upper, reverse, max, into);
    let from = lower;
    let to = upper;
    let count = 0;
    // Chunk by chunk: both sides up to the nearer end of what each gave.
    for (;;) {
      const want = Math.min(max - count, 1024);
      if (want <= 0) return count;
      const { keys, values } = this.below;
      keys.length = values.length = 0;
      const stored = this.base.scan(space, from, to, reverse, want, this.below);
      const changedKeys: Uint8Array[] = [];
      const changed: Change[] = [];
      const over = changes.collect(from, to, reverse, want, changedKeys, changed);
      const direction = reverse ? -1 : 1;
      let limit: Uint8Array | undefined;
      if (stored === want) limit = keys[stored - 1];
      if (over === want && (!limit || compareBytes(changedKeys[over - 1]!, limit) * direction < 0)) limit = changedKeys[over - 1];
      let [i, j] = [0, 0];
      while (count < max && (i < stored || j < over)) {
        const order = i >= stored ? 1 : j >= over ? -1 : compareBytes(keys[i]!, changedKeys[j]!) * direction;
        const key = order <= 0 ? keys[i]! : changedKeys[j]!;
        if (limit && compareBytes(key, limit) * direction > 0) break;
        const value = order < 0 ? values[i]! : changed[j]!.value;
        if (order <= 0) i++;
        if (order >= 0) j++;
        if (!value) continue;
        into.keys.push(key);
        into.values.push(value);
        count++;
      }
      if (!limit || count >= max) return count;
      if (reverse) to = limit;
      else {
        from = new Uint8Array(limit.length + 1);
        from.set(limit);
      }
    }
  }

  run(space: RowKeyspace, key: Uint8Array, max: number, values: Uint8Array[]): number {
    let count = 0;
    for (; count < max; count++) {
      const value = this.get(space, key);
      if (!value) break;
      values.push(value.slice());
      nextKey(key);
    }
    return count;
  }

  /** Nothing is known of the order below: never. */
  append(): boolean {
    return false;
  }

  seek(space: Keyspace, lower: Uint8Array, into: Entry): boolean {
    const found: Chunk = { keys: [], values: [] };
    if (this.scan(space, lower, LAST, false, 1, found) === 0) return false;
    into.key = found.keys[0]!;
    into.value = found.values[0]!;
    return true;
  }

  put(space: Keyspace, key: Uint8Array, value: Uint8Array): void {
    this.changes[space].set(key.slice(), { value: value.slice() });
  }

  delete(space: Keyspace, key: Uint8Array): boolean {
    const there = this.get(space, key) !== undefined;
    if (there) this.changes[space].set(key.slice(), { value: null });
    return there;
  }

  clear(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean {
    return clearByScan(this, space, lower, upper, max);
  }

  /** Not undone by an exception: whoever meets one gives the store up. */
  write(action: (writer: KeyValueWriter) => void): void {
    action(this);
  }

  refresh(): void {}

  bulk<T>(action: (walker: Walker) => T): T {
    return action({ walk: (space, lower, upper, visit) => walkByScans(this, space, lower, upper, visit) });
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  /** Of what lies below. */
  entryCount(space: Keyspace): number {
    return this.base.entryCount(space);
  }

  byteSize(): number {
    return this.base.byteSize();
  }

  close(): void {}
}

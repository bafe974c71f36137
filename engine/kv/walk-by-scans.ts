/** A bulk read for stores that have no quicker way than their scans. */
import type { Chunk, EntryVisitor, KeyValueReader, Keyspace } from './key-value-store.js';

const CHUNK_ENTRIES = 512;

export function walkByScans(reader: KeyValueReader, space: Keyspace, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor): boolean {
  const chunk: Chunk = { keys: [], values: [] };
  for (let from = lower; ; ) {
    chunk.keys.length = chunk.values.length = 0;
    const count = reader.scan(space, from, upper, false, CHUNK_ENTRIES, chunk);
    for (let i = 0; i < count; i++) {
      const key = chunk.keys[i]!;
      const value = chunk.values[i]!;
      if (visit(key, 0, key.length, value, 0, value.length)) return false;
    }
    if (count < CHUNK_ENTRIES) return true;
    const last = chunk.keys[count - 1]!;
    from = new Uint8Array(last.length + 1);
    from.set(last);
  }
}

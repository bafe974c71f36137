/** A memory KeyValueStore that goes back to its last synced state in a power cut, as LMDB does. */
import type { Chunk, KeyValueStore, KeyValueWriter } from '../../engine/kv/key-value-store.js';
import { KEYSPACES } from '../../engine/kv/key-value-store.js';
import { MemoryKeyValueStore } from '../../engine/kv/memory.js';

export class PowerCutKeyValueStore extends MemoryKeyValueStore {
  private synced: KeyValueStore = new MemoryKeyValueStore();
  private syncs = 0;

  override sync(): Promise<void> {
    this.syncs++;
    this.synced = copy(this);
    return Promise.resolve();
  }

  /** What a restart finds after kill -9: everything that was written. */
  killed(): PowerCutKeyValueStore {
    const after = new PowerCutKeyValueStore();
    fill(after, this);
    after.synced = this.synced;
    return after;
  }

  /** What a restart finds: the synced state, or (random < 0.3) one that happened to be written back whole. */
  powerCut(random: () => number): PowerCutKeyValueStore {
    const after = new PowerCutKeyValueStore();
    fill(after, random() < 0.3 ? this : this.synced);
    after.synced = copy(after);
    return after;
  }
}

function copy(from: KeyValueStore): KeyValueStore {
  const to = new MemoryKeyValueStore();
  fill(to, from);
  return to;
}

function fill(to: KeyValueStore, from: KeyValueStore): void {
  to.write((writer: KeyValueWriter) => {
    for (const space of KEYSPACES) {
      const chunk: Chunk = { keys: [], values: [] };
      from.scan(space, new Uint8Array(0), new Uint8Array(40).fill(0xff), false, Infinity, chunk);
      chunk.keys.forEach((key, i) => writer.put(space, key, chunk.values[i]!));
    }
  });
}

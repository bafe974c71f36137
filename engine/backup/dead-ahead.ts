/**
 * What is dead, key by key beside a walk over what lives: deleted rows beside the heap, dead entries (whose keys end
 * in an LSN) beside an index. Reads a little ahead.
 */
import type { Chunk, KeyValueReader } from '../kv/key-value-store.js';

const CHUNK_ENTRIES = 256;
const LAST = new Uint8Array(7).fill(0xff);
const SUFFIX = { deleted: 0, dead: 6 } as const;

export class DeadAhead {
  private readonly chunk: Chunk = { keys: [], values: [] };
  private reader: KeyValueReader | undefined;
  private space: 'deleted' | 'dead' = 'deleted';
  private at = 0;
  /** The next one; undefined: there is none. */
  key: Uint8Array | undefined;
  value: Uint8Array | undefined;

  start(reader: KeyValueReader, space: 'deleted' | 'dead', from: Uint8Array): void {
    this.reader = reader;
    this.space = space;
    this.fill(from);
  }

  private fill(from: Uint8Array): void {
    const { chunk } = this;
    chunk.keys.length = chunk.values.length = this.at = 0;
    this.reader!.scan(this.space, from, LAST, false, CHUNK_ENTRIES, chunk);
    this.show();
  }

  private show(): void {
    this.key = this.chunk.keys[this.at];
    this.value = this.chunk.values[this.at];
  }

  advance(): void {
    const { chunk } = this;
    if (++this.at < chunk.keys.length || chunk.keys.length < CHUNK_ENTRIES) return this.show();
    const last = chunk.keys.at(-1)!;
    const from = new Uint8Array(last.length + 1);
    from.set(last);
    this.fill(from);
  }

  /** Under which key the next one stood while it lived. */
  get living(): Uint8Array | undefined {
    const { key } = this;
    return key && SUFFIX[this.space] > 0 ? key.subarray(0, key.length - SUFFIX[this.space]) : key;
  }

  /** How that key compares to the one at [start, end) of `keys`; positive without a next one. */
  order(keys: Uint8Array, start: number, end: number): number {
    const { key } = this;
    if (!key) return 1;
    const length = key.length - SUFFIX[this.space];
    const common = Math.min(length, end - start);
    for (let i = 0; i < common; i++) {
      const difference = key[i]! - keys[start + i]!;
      if (difference !== 0) return difference;
    }
    return length - (end - start);
  }
}

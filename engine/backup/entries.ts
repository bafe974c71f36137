/**
 * Entries of the state as a backup carries them: what the key-value store of a restored server
 * holds, so that a restore needs no knowledge of rows. Nothing in them depends on the machine.
 *
 *     u8 place of the keyspace in KEYSPACES, bit 7: removed (incremental backups)
 *     u16 key length, u32 value length (little-endian), key, value
 */
import { KEYSPACES } from '../kv/key-value-store.js';
import type { Keyspace } from '../kv/key-value-store.js';

/** Bytes before an entry's key. */
export const ENTRY_HEAD = 7;
const REMOVED = 0x80;

/** Longer runs are copied by the library. */
const COPIED_HERE = 96;

export class EntryWriter {
  private buffer: Uint8Array<ArrayBuffer>;
  private view: DataView;
  private used = 0;
  entries = 0;

  constructor(capacity: number) {
    this.buffer = new Uint8Array(capacity);
    this.view = new DataView(this.buffer.buffer);
  }

  get byteLength(): number {
    return this.used;
  }

  /** `value` undefined: the entry is removed. */
  put(space: Keyspace, key: Uint8Array, value: Uint8Array | undefined): void {
    const at = this.begin(KEYSPACES.indexOf(space) | (value ? 0 : REMOVED), key.length, value ? value.length : 0);
    this.buffer.set(key, at);
    if (value) this.buffer.set(value, at + key.length);
  }

  /**
   * Entry with key and value as they lie side by side in `bytes`, of which `source` is a view; of the value `gap` bytes from `gapStart` on
   * are left out. Returns where the key stands in `target`.
   */
  copy(space: number, bytes: Uint8Array, source: DataView, keyStart: number, valueStart: number, valueEnd: number, gapStart = valueEnd, gap = 0): number {
    const at = this.begin(space, valueStart - keyStart, valueEnd - valueStart - gap);
    this.run(bytes, source, keyStart, gapStart, at);
    if (gap > 0) this.run(bytes, source, gapStart + gap, valueEnd, at + gapStart - keyStart);
    return at;
  }

  private run(bytes: Uint8Array, source: DataView, start: number, end: number, at: number): void {
    const length = end - start;
    const { view, buffer } = this;
    if (length > COPIED_HERE) {
      buffer.set(bytes.subarray(start, end), at);
      return;
    }
    let i = 0;
    for (const last = length - 3; i < last; i += 4) view.setInt32(at + i, source.getInt32(start + i, true), true);
    for (; i < length; i++) buffer[at + i] = bytes[start + i]!;
  }

  /** What `copy` returned a place in; valid until the next entry. */
  get target(): DataView {
    return this.view;
  }

  private begin(head: number, keyLength: number, valueLength: number): number {
    const { used } = this;
    const end = used + ENTRY_HEAD + keyLength + valueLength;
    if (end > this.buffer.length) {
      const grown = new Uint8Array(Math.max(this.buffer.length * 2, end));
      grown.set(this.buffer.subarray(0, used));
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    const { view } = this;
    view.setUint8(used, head);
    view.setUint16(used + 1, keyLength, true);
    view.setUint32(used + 3, valueLength, true);
    this.used = end;
    this.entries++;
    return used + ENTRY_HEAD;
  }

  /** What was written; the writer is done. The bytes may be the begin of a larger allocation. */
  take(): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(0, this.used);
  }
}

/** Where an entry lies: its keyspace, and the places of its key and value in the bytes. */
export interface PlacedVisitor {
  (space: number, keyStart: number, valueStart: number, valueEnd: number): void;
}

/** Calls back for each entry of a full backup's part with its places. Returns how many; undefined: it is not one. */
export function placeEntries(bytes: Uint8Array, visit: PlacedVisitor): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let entries = 0;
  for (let at = 0; at < bytes.length; entries++) {
    const space = bytes[at]!;
    if (at + ENTRY_HEAD > bytes.length || space >= KEYSPACES.length) return undefined;
    const key = at + ENTRY_HEAD;
    const value = key + view.getUint16(at + 1, true);
    const end = value + view.getUint32(at + 3, true);
    if (end > bytes.length) return undefined;
    visit(space, key, value, end);
    at = end;
  }
  return entries;
}

export interface EntryVisitor {
  (space: Keyspace, key: Uint8Array, value: Uint8Array | undefined): void;
}

/** Calls back for each entry from `at` on, until one ends at or beyond `until`; keys and values are views. */
export function readEntries(bytes: Uint8Array, at: number, visit: EntryVisitor, until = bytes.length): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  while (at < bytes.length && at < until) {
    const head = bytes[at]!;
    const keyEnd = at + ENTRY_HEAD + view.getUint16(at + 1, true);
    const end = keyEnd + view.getUint32(at + 3, true);
    visit(KEYSPACES[head & 0x7f]!, bytes.subarray(at + ENTRY_HEAD, keyEnd), head & REMOVED ? undefined : bytes.subarray(keyEnd, end));
    at = end;
  }
  return at;
}

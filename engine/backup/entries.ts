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

export class EntryWriter {
  private buffer: Buffer;
  private used = 0;
  entries = 0;

  constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafe(capacity);
  }

  get byteLength(): number {
    return this.used;
  }

  /** `value` undefined: the entry is removed. */
  put(space: Keyspace, key: Uint8Array, value: Uint8Array | undefined): void {
    const length = ENTRY_HEAD + key.length + (value ? value.length : 0);
    if (this.used + length > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.used + length));
      this.buffer.copy(grown, 0, 0, this.used);
      this.buffer = grown;
    }
    const { buffer, used } = this;
    buffer[used] = KEYSPACES.indexOf(space) | (value ? 0 : REMOVED);
    buffer.writeUInt16LE(key.length, used + 1);
    buffer.writeUInt32LE(value ? value.length : 0, used + 3);
    buffer.set(key, used + ENTRY_HEAD);
    if (value) buffer.set(value, used + ENTRY_HEAD + key.length);
    this.used += length;
    this.entries++;
  }

  /** What was written, as an allocation of its own. */
  take(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.used);
    out.set(this.buffer.subarray(0, this.used));
    return out;
  }
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

/**
 * The different texts of a column by their UTF-8 bytes, each with a code in order of appearance: no string is made for a row.
 * What 4,096 texts and fewer come to are strings in the end; of more the bytes are the dictionary.
 */
import { blobDictionary, makeDictionary, MAX_STRINGS, type Dictionary } from './dictionary.js';

const FIRST_SLOTS = 64;
const FIRST_BYTES = 1024;

export class ByteTexts {
  private offsets = new Uint32Array(FIRST_SLOTS);
  private data = Buffer.allocUnsafe(FIRST_BYTES);
  private slots = new Int32Array(FIRST_SLOTS * 2);
  private hashes = new Int32Array(FIRST_SLOTS);
  length = 0;
  private last = -1;

  /** Code of the text at [start, end) of `bytes`; -1 where it would be one too many. */
  code(bytes: Uint8Array, start: number, end: number, most: number): number {
    // Rows that follow each other often have the same.
    if (this.last >= 0 && this.is(this.last, bytes, start, end)) return this.last;
    const hash = hashOf(bytes, start, end);
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    for (let code = this.slots[slot]!; code !== 0; code = this.slots[slot]!) {
      if (this.hashes[code - 1] === hash && this.is(code - 1, bytes, start, end)) return (this.last = code - 1);
      slot = (slot + 1) & mask;
    }
    if (this.length >= most) return -1;
    return (this.last = this.add(hash, slot, bytes, start, end));
  }

  private is(code: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { data } = this;
    let at = this.offsets[code]!;
    if (this.offsets[code + 1]! - at !== end - start) return false;
    for (let i = start; i < end; i++) if (bytes[i] !== data[at++]) return false;
    return true;
  }

  private add(hash: number, slot: number, bytes: Uint8Array, start: number, end: number): number {
    const code = this.length++;
    if (code + 2 > this.offsets.length) {
      this.offsets = grown(this.offsets);
      this.hashes = grown(this.hashes);
    }
    const at = this.offsets[code]!;
    const after = at + end - start;
    if (after > this.data.length) {
      const larger = Buffer.allocUnsafe(Math.max(after, this.data.length * 2));
      this.data.copy(larger, 0, 0, at);
      this.data = larger;
    }
    for (let i = start, to = at; i < end; i++, to++) this.data[to] = bytes[i]!;
    this.offsets[code + 1] = after;
    this.hashes[code] = hash;
    this.slots[slot] = code + 1;
    if (this.length * 2 > this.slots.length) this.rehash();
    return code;
  }

  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 4);
    const mask = slots.length - 1;
    for (let code = 0; code < this.length; code++) {
      let slot = this.hashes[code]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = code + 1;
    }
    this.slots = slots;
  }

  dictionary(): Dictionary {
    const { length, offsets, data } = this;
    if (length > MAX_STRINGS) return blobDictionary(offsets.subarray(0, length + 1), data.subarray(0, offsets[length]));
    return makeDictionary(Array.from({ length }, (_, code) => data.toString('utf8', offsets[code], offsets[code + 1])));
  }
}

function grown<T extends Int32Array | Uint32Array>(array: T): T {
  const larger = new (array.constructor as new (length: number) => T)(array.length * 2);
  larger.set(array);
  return larger;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let h = end - start;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  h ^= h >>> 15;
  h = Math.imul(h, 0x85ebca6b);
  return h ^ (h >>> 13);
}

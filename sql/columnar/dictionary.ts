import { matchAll, type LikePattern } from './like.js';
import { characterLength, compareText } from '../types/utf8.js';

/** The texts of a column by code: as strings while they are few, as bytes decoded on demand where nearly every row has its own. */
export interface Dictionary {
  readonly length: number;
  readonly bytes: number;
  /** Characters that every text has, trailing blanks included; -1 where they differ. */
  readonly characters: number;
  get(code: number): string;
  /** Order of a text beside one that is given both ways: by UTF-8 bytes. */
  compare(code: number, text: string, bytes: Buffer): number;
  /** Which texts match, by code; null when it is as quick to ask for each. */
  like(pattern: LikePattern): Uint8Array | null;
  pack(): PackedDictionary;
}

/** Most texts kept as strings. */
export const MAX_STRINGS = 4096;

/** A dictionary as it travels between threads: texts, or bytes in shared memory. */
export type PackedDictionary = { readonly texts: readonly string[] } | { readonly offsets: Uint32Array; readonly data: Uint8Array; readonly characters: number };

export function unpackDictionary(packed: PackedDictionary): Dictionary {
  return 'texts' in packed ? new Strings(packed.texts) : Blob.of(packed.offsets, Buffer.from(packed.data.buffer, packed.data.byteOffset, packed.data.length), packed.characters);
}

export function makeDictionary(texts: readonly string[]): Dictionary {
  return texts.length <= MAX_STRINGS ? new Strings(texts) : Blob.from(texts);
}

/** Of bytes that lie one after the other; they are copied. */
export function blobDictionary(offsets: Uint32Array, data: Uint8Array): Dictionary {
  const sharedOffsets = new Uint32Array(new SharedArrayBuffer(offsets.byteLength));
  sharedOffsets.set(offsets);
  const sharedData = Buffer.from(new SharedArrayBuffer(data.length));
  sharedData.set(data);
  return Blob.of(sharedOffsets, sharedData, commonCharacters(offsets, data));
}

/** As commonLength, of UTF-8. */
function commonCharacters(offsets: Uint32Array, data: Uint8Array): number {
  let common = -1;
  for (let code = 0; code + 1 < offsets.length; code++) {
    let characters = 0;
    for (let i = offsets[code]!; i < offsets[code + 1]!; i++) if ((data[i]! & 0xc0) !== 0x80) characters++;
    if (common >= 0 && characters !== common) return -1;
    common = characters;
  }
  return common;
}

function commonLength(texts: readonly string[]): number {
  let common = -1;
  for (const text of texts) {
    const length = characterLength(text);
    if (common >= 0 && length !== common) return -1;
    common = length;
  }
  return common;
}

class Strings implements Dictionary {
  readonly bytes: number;
  readonly characters: number;

  constructor(private readonly texts: readonly string[]) {
    this.characters = commonLength(texts);
    this.bytes = texts.reduce((sum, text) => sum + 32 + text.length, 0);
  }

  get length(): number {
    return this.texts.length;
  }

  get(code: number): string {
    return this.texts[code]!;
  }

  compare(code: number, text: string): number {
    return compareText(this.texts[code]!, text);
  }

  like(): null {
    return null;
  }

  pack(): PackedDictionary {
    return { texts: this.texts };
  }
}

class Blob implements Dictionary {
  private constructor(private readonly offsets: Uint32Array, private readonly data: Buffer, readonly characters: number) {}

  static of(offsets: Uint32Array, data: Buffer, characters: number): Blob {
    return new Blob(offsets, data, characters);
  }

  static from(texts: readonly string[]): Blob {
    const offsets = new Uint32Array(new SharedArrayBuffer(4 * (texts.length + 1)));
    let size = 0;
    texts.forEach((text, code) => (offsets[code + 1] = size += Buffer.byteLength(text)));
    const data = Buffer.from(new SharedArrayBuffer(size));
    texts.forEach((text, code) => data.write(text, offsets[code]));
    return new Blob(offsets, data, commonLength(texts));
  }

  pack(): PackedDictionary {
    return { offsets: this.offsets, data: new Uint8Array(this.data.buffer, this.data.byteOffset, this.data.length), characters: this.characters };
  }

  get length(): number {
    return this.offsets.length - 1;
  }

  get bytes(): number {
    return this.data.length + this.offsets.byteLength;
  }

  like(pattern: LikePattern): Uint8Array {
    const out = new Uint8Array(this.length);
    matchAll(this.data, this.offsets, pattern, out);
    return out;
  }

  compare(code: number, _text: string, bytes: Buffer): number {
    return this.data.compare(bytes, 0, bytes.length, this.offsets[code], this.offsets[code + 1]);
  }

  get(code: number): string {
    return this.data.toString('utf8', this.offsets[code], this.offsets[code + 1]);
  }
}

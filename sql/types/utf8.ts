/**
 * UTF-8 at the edge of strings: decoding row bytes fast, checking what clients send, and the code
 * point order that C.UTF-8 gives text (JavaScript's `<` is UTF-16 order: wrong above U+FFFF).
 */
import { DatabaseError } from '../../engine/errors.js';
import { LARGE_TEXT, piecesOf } from './large-text.js';

interface Slicer {
  utf8Slice(this: Uint8Array, start: number, end: number): string;
  latin1Slice(this: Uint8Array, start: number, end: number): string;
}
const { utf8Slice, latin1Slice } = Buffer.prototype as unknown as Slicer;
const encoder = new TextEncoder();

/** Bytes known to be UTF-8 (a stored row) to a string. */
export function decodeUtf8(bytes: Uint8Array): string {
  const { length } = bytes;
  if (length <= 12) {
    let text = '';
    for (let i = 0; i < length; i++) {
      const b = bytes[i]!;
      if (b >= 0x80) return utf8Slice.call(bytes, 0, length);
      text += String.fromCharCode(b);
    }
    return text;
  }
  return utf8Slice.call(bytes, 0, length);
}

export function latin1(bytes: Uint8Array): string {
  return latin1Slice.call(bytes, 0, bytes.length);
}

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes from a client to a string; 22021 for what is not UTF-8 and for NUL. */
export function decodeUtf8Checked(bytes: Uint8Array): string {
  for (let i = 0; i < bytes.length;) {
    const length = sequenceLength(bytes, i);
    if (length === 0) throw invalidUtf8(bytes, i);
    i += length;
  }
  return utf8Slice.call(bytes, 0, bytes.length);
}

function sequenceLength(bytes: Uint8Array, at: number): number {
  const b = bytes[at]!;
  if (b === 0) return 0;
  if (b < 0x80) return 1;
  const c1 = bytes[at + 1] ?? 0;
  const continues = (c: number): boolean => (c & 0xc0) === 0x80;
  if (b >= 0xc2 && b <= 0xdf) return continues(c1) ? 2 : 0;
  const c2 = bytes[at + 2] ?? 0;
  if (b >= 0xe0 && b <= 0xef) {
    if (!continues(c1) || !continues(c2) || (b === 0xe0 && c1 < 0xa0) || (b === 0xed && c1 > 0x9f)) return 0;
    return 3;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    const c3 = bytes[at + 3] ?? 0;
    if (!continues(c1) || !continues(c2) || !continues(c3) || (b === 0xf0 && c1 < 0x90) || (b === 0xf4 && c1 > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

function invalidUtf8(bytes: Uint8Array, at: number): DatabaseError {
  const b = bytes[at]!;
  const length = b < 0x80 ? 1 : (b & 0xe0) === 0xc0 ? 2 : (b & 0xf0) === 0xe0 ? 3 : (b & 0xf8) === 0xf0 ? 4 : 1;
  const shown = Array.from(bytes.subarray(at, at + length), (x) => `0x${x.toString(16).padStart(2, '0')}`).join(' ');
  return new DatabaseError('22021', `invalid byte sequence for encoding "UTF8": ${shown}`);
}

/** By code point, which is also UTF-8 byte order. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const length = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) {
      // A surrogate stands for a code point above all the rest.
      if (x >= 0xd800 && y >= 0xd800) return (x >= 0xe000 ? x - 0x2800 : x) - (y >= 0xe000 ? y - 0x2800 : y);
      return x - y;
    }
  }
  return a.length - b.length;
}

// eslint-disable-next-line no-control-regex
const NON_ASCII = /[^\x00-\x7f]/;

export function isAscii(text: string): boolean {
  return !NON_ASCII.test(text);
}

/** Length in bytes of the UTF-8 form. */
export function utf8Length(text: string): number {
  return isAscii(text) ? text.length : Buffer.byteLength(text, 'utf8');
}

const SURROGATE = /[\ud800-\udfff]/;

/** True when every UTF-16 unit is one character. */
export function isBasicPlane(text: string): boolean {
  return !SURROGATE.test(text);
}

/** Length in characters (code points). */
export function characterLength(text: string): number {
  if (text.length > LARGE_TEXT) {
    let sum = 0;
    for (const piece of piecesOf(text)) sum += characterLength(piece);
    return sum;
  }
  if (isBasicPlane(text)) return text.length;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0xd800 && c <= 0xdbff) i++;
    count++;
  }
  return count;
}

/** UTF-16 index of the character at 0-based position `characters`. */
export function characterIndex(text: string, characters: number): number {
  let i = 0;
  for (; characters > 0 && i < text.length; characters--) {
    const c = text.charCodeAt(i);
    i += c >= 0xd800 && c <= 0xdbff ? 2 : 1;
  }
  return i;
}

/** The characters [start, end), 0-based. */
export function sliceCharacters(text: string, start: number, end: number): string {
  if (isBasicPlane(text)) return text.slice(start, end);
  const from = characterIndex(text, start);
  const tail = text.slice(from);
  return end >= text.length ? tail : tail.slice(0, characterIndex(tail, end - start));
}

/** Cut to at most `limit` bytes of UTF-8 without splitting a character. */
export function truncateBytes(text: string, limit: number): string {
  if (text.length * 3 <= limit || utf8Length(text) <= limit) return text;
  const bytes = encodeUtf8(text);
  let end = limit;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return decodeUtf8(bytes.subarray(0, end));
}

/** bytea: hex (\x..) and escape text forms. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { encodeUtf8, latin1 } from './utf8.js';

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right);
}

const HEX = '0123456789abcdef';

function hexDigit(code: number, text: string, at: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  if (code >= 65 && code <= 70) return code - 55;
  throw new DatabaseError('22023', `invalid hexadecimal digit: "${String.fromCodePoint(text.codePointAt(at) ?? code)}"`);
}

/** Digits in pairs, blanks between pairs allowed. */
export function decodeHex(text: string, from: number): Uint8Array {
  const out = new Uint8Array((text.length - from) >> 1);
  let length = 0;
  for (let i = from; i < text.length;) {
    const code = text.charCodeAt(i);
    if (code === 32 || code === 10 || code === 9 || code === 13) {
      i++;
      continue;
    }
    const high = hexDigit(code, text, i++);
    if (i >= text.length) throw new DatabaseError('22023', 'invalid hexadecimal data: odd number of digits');
    out[length++] = (high << 4) | hexDigit(text.charCodeAt(i), text, i);
    i++;
  }
  return length === out.length ? out : out.slice(0, length);
}

export function decodeEscape(text: string): Uint8Array {
  if (!text.includes('\\')) return encodeUtf8(text);
  const bytes = encodeUtf8(text);
  const out = new Uint8Array(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length;) {
    if (bytes[i] !== 92) {
      out[length++] = bytes[i++]!;
    } else if (bytes[i + 1] === 92) {
      out[length++] = 92;
      i += 2;
    } else {
      const octal = latin1(bytes.subarray(i + 1, i + 4));
      if (!/^[0-3][0-7][0-7]$/.test(octal)) throw new DatabaseError('22P02', 'invalid input syntax for type bytea');
      out[length++] = parseInt(octal, 8);
      i += 4;
    }
  }
  return out.slice(0, length);
}

export function encodeHex(bytes: Uint8Array): string {
  if (bytes.length > 32) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i]! >> 4]! + HEX[bytes[i]! & 15]!;
  return text;
}

export function encodeEscape(bytes: Uint8Array, printableOnly = true): string {
  let text = '';
  for (const b of bytes) {
    if (b === 92) text += '\\\\';
    else if (b >= 128 || (printableOnly ? b < 32 || b > 126 : b === 0)) text += `\\${b.toString(8).padStart(3, '0')}`;
    else text += String.fromCharCode(b);
  }
  return text;
}

export function byteaInput(text: string): Uint8Array {
  return text.startsWith('\\x') ? decodeHex(text, 2) : decodeEscape(text);
}

export const byteaType: DataType = {
  name: 'bytea',
  vector: 'any',
  input: byteaInput,
  output: (value, context) => (context.settings.byteaOutput === 'hex' ? `\\x${encodeHex(value as Uint8Array)}` : encodeEscape(value as Uint8Array)),
  receive: (bytes) => bytes.slice(),
  send: (value) => value as Uint8Array,
  compare: compareBytes,
  equal: (left: Uint8Array, right: Uint8Array) => left.length === right.length && compareBytes(left, right) === 0,
  hashKey: (value: Uint8Array) => latin1(value),
  key: { lossless: true, encode: (value: Uint8Array, out) => out.bytes(value), decode: (source) => source.bytes() },
  row: { width: 0, encode: (value: Uint8Array) => value, decode: (bytes) => bytes.slice() },
};

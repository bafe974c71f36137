/** bytea functions, encodings and hashes. */
import { createHash } from 'node:crypto';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { decodeEscape, decodeHex, encodeEscape, encodeHex } from '../types/bytea.js';
import type { Int8 } from '../types/datum.js';
import { decodeUtf8Checked, encodeUtf8 } from '../types/utf8.js';
import { f } from './define.js';
import type { SqlFunction } from './function.js';

function encode(bytes: Uint8Array, format: string): string {
  switch (format.toLowerCase()) {
    case 'hex': return encodeHex(bytes);
    case 'base64': return Buffer.from(bytes).toString('base64').replace(/.{76}(?=.)/g, '$&\n');
    case 'escape': return encodeEscape(bytes, false);
    default: throw new DatabaseError('22023', `unrecognized encoding: "${format}"`);
  }
}

function decodeBase64(text: string): Uint8Array {
  const clean = text.replace(/[ \t\n\r]/g, '');
  const bad = /[^A-Za-z0-9+/=]/.exec(clean);
  if (bad) throw new DatabaseError('22023', `invalid symbol "${bad[0]}" found while decoding base64 sequence`);
  if (/=[^=]/.test(clean)) throw new DatabaseError('22023', 'unexpected "=" while decoding base64 sequence');
  if (clean.length % 4 !== 0) throw new DatabaseError('22023', 'invalid base64 end sequence', { hint: 'Input data is missing padding, is truncated, or is otherwise corrupted.' });
  return new Uint8Array(Buffer.from(clean, 'base64'));
}

function decode(text: string, format: string): Uint8Array {
  switch (format.toLowerCase()) {
    case 'hex': return decodeHex(text, 0);
    case 'base64': return decodeBase64(text);
    case 'escape': return decodeEscape(text);
    default: throw new DatabaseError('22023', `unrecognized encoding: "${format}"`);
  }
}

const digest = (algorithm: string) => (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash(algorithm).update(bytes).digest());
const md5 = (bytes: Uint8Array | string): string => createHash('md5').update(bytes).digest('hex');

function indexOutOfRange(index: Int8, last: number): DatabaseError {
  return new DatabaseError('2202E', `index ${index} out of valid range, 0..${last}`);
}

function getByte(bytes: Uint8Array, index: number): number {
  if (index < 0 || index >= bytes.length) throw indexOutOfRange(index, bytes.length - 1);
  return bytes[index]!;
}

function setByte(bytes: Uint8Array, index: number, value: number): Uint8Array {
  if (index < 0 || index >= bytes.length) throw indexOutOfRange(index, bytes.length - 1);
  const out = bytes.slice();
  out[index] = value;
  return out;
}

function getBit(bytes: Uint8Array, index: Int8): number {
  if (index < 0 || index >= bytes.length * 8) throw indexOutOfRange(index, bytes.length * 8 - 1);
  const at = Number(index);
  return (bytes[at >> 3]! >> (at & 7)) & 1;
}

function setBit(bytes: Uint8Array, index: Int8, bit: number): Uint8Array {
  if (index < 0 || index >= bytes.length * 8) throw indexOutOfRange(index, bytes.length * 8 - 1);
  if (bit !== 0 && bit !== 1) throw new DatabaseError('22023', 'new bit must be 0 or 1');
  const out = bytes.slice();
  const at = Number(index);
  out[at >> 3] = bit ? out[at >> 3]! | (1 << (at & 7)) : out[at >> 3]! & ~(1 << (at & 7));
  return out;
}

function substring(bytes: Uint8Array, start: number, length?: number): Uint8Array {
  if (length !== undefined && length < 0) throw new DatabaseError('22011', 'negative substring length not allowed');
  const end = length === undefined ? Infinity : start + length;
  const from = Math.max(start, 1);
  return end <= from ? new Uint8Array(0) : bytes.slice(from - 1, end === Infinity ? undefined : end - 1);
}

function overlay(bytes: Uint8Array, replacement: Uint8Array, start: number, length = replacement.length): Uint8Array {
  if (start <= 0) throw new DatabaseError('22011', 'negative substring length not allowed');
  return new Uint8Array(Buffer.concat([substring(bytes, 1, start - 1), replacement, substring(bytes, start + length)]));
}

const trim = (left: boolean, right: boolean) => (bytes: Uint8Array, set: Uint8Array): Uint8Array => {
  let start = 0;
  let end = bytes.length;
  if (left) while (start < end && set.includes(bytes[start]!)) start++;
  if (right) while (end > start && set.includes(bytes[end - 1]!)) end--;
  return bytes.slice(start, end);
};

const normalizeEncoding = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

function checkEncoding(name: string, role: 'source' | 'destination'): string {
  const normal = normalizeEncoding(name);
  if (normal === 'utf8' || normal === 'unicode') return 'utf8';
  if (normal === 'latin1' || normal === 'iso88591') return 'latin1';
  if (normal === 'sqlascii') return 'sqlascii';
  if (/^(euc|sjis|big5|gb|uhc|win|koi8|latin|iso8859|johab|mule)/.test(normal)) throw notSupported(`encoding ${name}`);
  throw new DatabaseError('22023', `invalid ${role} encoding name "${name}"`);
}

function convertFrom(bytes: Uint8Array, encoding: string): string {
  const from = checkEncoding(encoding, 'source');
  return from === 'latin1' ? Buffer.from(bytes).toString('latin1') : decodeUtf8Checked(bytes);
}

function convertTo(text: string, encoding: string): Uint8Array {
  if (checkEncoding(encoding, 'destination') !== 'latin1') return encodeUtf8(text);
  for (const c of text) {
    if (c.codePointAt(0)! > 255) {
      const shown = Array.from(encodeUtf8(c), (b) => `0x${b.toString(16)}`).join(' ');
      throw new DatabaseError('22P05', `character with byte sequence ${shown} in encoding "UTF8" has no equivalent in encoding "LATIN1"`);
    }
  }
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function bitCount(bytes: Uint8Array): Int8 {
  let count = 0;
  for (const byte of bytes) for (let b = byte; b; b &= b - 1) count++;
  return count;
}

export const bytesFunctions: readonly SqlFunction[] = [
  f('encode(bytea,text)', encode),
  f('decode(text,text)', decode),
  f('md5(text)', md5),
  f('md5(bytea)', md5),
  f('sha224(bytea)', digest('sha224')),
  f('sha256(bytea)', digest('sha256')),
  f('sha384(bytea)', digest('sha384')),
  f('sha512(bytea)', digest('sha512')),
  f(['length(bytea)', 'octet_length(bytea)'], (bytes: Uint8Array) => bytes.length),
  f('length(bytea,name)', (bytes: Uint8Array, encoding: string) => [...convertFrom(bytes, encoding)].length),
  f('bit_length(bytea)', (bytes: Uint8Array) => bytes.length * 8),
  f('bit_count(bytea)', bitCount),
  f('get_byte(bytea,int4)', getByte),
  f('set_byte(bytea,int4,int4)', setByte),
  f('get_bit(bytea,int8)', getBit),
  f('set_bit(bytea,int8,int4)', setBit),
  f(['substring(bytea,int4)', 'substring(bytea,int4,int4)', 'substr(bytea,int4)', 'substr(bytea,int4,int4)'], substring),
  f('position(bytea,bytea)', (bytes: Uint8Array, search: Uint8Array) => Buffer.from(bytes).indexOf(search) + 1),
  f(['overlay(bytea,bytea,int4)', 'overlay(bytea,bytea,int4,int4)'], overlay),
  f('btrim(bytea,bytea)', trim(true, true)),
  f('ltrim(bytea,bytea)', trim(true, false)),
  f('rtrim(bytea,bytea)', trim(false, true)),
  f('convert_from(bytea,name)', convertFrom),
  f('convert_to(text,name)', convertTo),
  f('convert(bytea,name,name)', (bytes: Uint8Array, from: string, to: string) => convertTo(convertFrom(bytes, from), to)),
];

/** bit(n) and bit varying(n): the datum is a string of '0' and '1'. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { decodeUtf8 } from './utf8.js';
import { sendInt32, viewOf } from './wire-bytes.js';

const MAX_LENGTH = 83886080;

function parseBits(text: string): string {
  let digits = text;
  let hexadecimal = false;
  if (/^[bB]/.test(text)) digits = text.slice(1);
  else if (/^[xX]/.test(text)) {
    digits = text.slice(1);
    hexadecimal = true;
  }
  const bad = (hexadecimal ? /[^0-9a-fA-F]/u : /[^01]/u).exec(digits);
  if (bad) throw new DatabaseError('22P02', `"${String.fromCodePoint(digits.codePointAt(bad.index)!)}" is not a valid ${hexadecimal ? 'hexadecimal' : 'binary'} digit`);
  return hexadecimal ? [...digits].map((digit) => parseInt(digit, 16).toString(2).padStart(4, '0')).join('') : digits;
}

function applyBit(value: string, typmod: number, explicit: boolean): string {
  if (typmod <= 0 || value.length === typmod) return value;
  if (!explicit) throw new DatabaseError('22026', `bit string length ${value.length} does not match type bit(${typmod})`);
  return value.slice(0, typmod).padEnd(typmod, '0');
}

function applyVarbit(value: string, typmod: number, explicit: boolean): string {
  if (typmod <= 0 || value.length <= typmod) return value;
  if (!explicit) throw new DatabaseError('22001', `bit string too long for type bit varying(${typmod})`);
  return value.slice(0, typmod);
}

/** Bytes of a bit string, the last one filled with zeros. */
export function packBits(value: string): Uint8Array {
  const out = new Uint8Array(Math.ceil(value.length / 8));
  for (let i = 0; i < value.length; i++) if (value[i] === '1') out[i >> 3]! |= 128 >> (i & 7);
  return out;
}

function bitType(name: 'bit' | 'varbit', apply: typeof applyBit): DataType {
  return {
    name,
    vector: 'any',
    input: (text, typmod) => apply(parseBits(text), typmod, false),
    output: (value) => value as string,
    receive(bytes, typmod) {
      const length = viewOf(bytes).getInt32(0);
      if (length < 0) throw new DatabaseError('22P03', 'invalid length in external bit string');
      let text = '';
      for (const byte of bytes.subarray(4)) text += byte.toString(2).padStart(8, '0');
      return apply(text.slice(0, length), typmod, false);
    },
    send(value) {
      const packed = packBits(value as string);
      const out = new Uint8Array(4 + packed.length);
      out.set(sendInt32((value as string).length));
      out.set(packed, 4);
      return out;
    },
    compare: (left: string, right: string) => (left < right ? -1 : left > right ? 1 : 0),
    equal: (left: string, right: string) => left === right,
    applyTypmod: apply,
    typmodIn(modifiers) {
      const length = Number(modifiers[0]);
      if (modifiers.length !== 1 || !Number.isInteger(length)) throw new DatabaseError('22023', 'invalid type modifier');
      if (length < 1) throw new DatabaseError('22023', `length for type ${name} must be at least 1`);
      if (length > MAX_LENGTH) throw new DatabaseError('22023', `length for type ${name} cannot exceed ${MAX_LENGTH}`);
      return length;
    },
    typmodOut: (typmod) => (typmod >= 0 ? `(${typmod})` : ''),
    key: { lossless: true, encode: (value: string, out) => out.text(value), decode: (source) => source.text() },
    row: { width: 0, encode: (value: string) => value, decode: decodeUtf8 },
  };
}

export const bitDataType = bitType('bit', applyBit);
export const varbitType = bitType('varbit', applyVarbit);

/** bool: accepts any unique prefix of true, false, yes, no, on, off and 1, 0. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { expectLength } from './wire-bytes.js';

/** parse_bool_with_len; undefined for what is no boolean. */
export function parseBool(text: string): boolean | undefined {
  const word = text.toLowerCase();
  if (word === '') return undefined;
  if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1') return true;
  if ('false'.startsWith(word) || 'no'.startsWith(word) || (word.length >= 2 && 'off'.startsWith(word)) || word === '0') return false;
  return undefined;
}

export const boolType: DataType = {
  name: 'bool',
  vector: 'bool',
  input(text) {
    if (text === 't') return true;
    if (text === 'f') return false;
    const value = parseBool(text.replace(/^[ \t\n\r\f\v]+|[ \t\n\r\f\v]+$/g, ''));
    if (value === undefined) throw new DatabaseError('22P02', `invalid input syntax for type boolean: "${text}"`);
    return value;
  },
  output: (value) => (value ? 't' : 'f'),
  receive(bytes) {
    expectLength(bytes, 1);
    return bytes[0] !== 0;
  },
  send: (value) => Uint8Array.of(value ? 1 : 0),
  compare: (left: boolean, right: boolean) => Number(left) - Number(right),
  equal: (left: boolean, right: boolean) => left === right,
  hashKey: (value: boolean) => (value ? 1 : 0),
  key: {
    lossless: true,
    encode: (value: boolean, out) => out.byte(value ? 1 : 0),
    decode: (source) => source.byte() !== 0,
  },
  row: {
    width: 1,
    write: (value: boolean, into, offset) => into.setUint8(offset, value ? 1 : 0),
    read: (from, offset) => from.getUint8(offset) !== 0,
  },
};

/**
 * Character strings: text, varchar, bpchar, name, "char", unknown, cstring. All are JS strings that
 * order by code point; bpchar is stored padded and compares without its trailing blanks.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType, KeyCodec, RowCodec } from './data-type.js';
import { characterLength, compareText, decodeUtf8, decodeUtf8Checked, encodeUtf8, sliceCharacters, truncateBytes } from './utf8.js';

const MAX_LENGTH = 10485760;
/** typmod of a character type is its length plus the old header size. */
const TYPMOD_OFFSET = 4;

export const textRow: RowCodec = { width: 0, encode: (value: string) => value, decode: decodeUtf8 };
const textKey: KeyCodec = { lossless: true, encode: (value: string, out) => out.text(value), decode: (source) => source.text() };
const same = (left: string, right: string): boolean => left === right;

export const textType: DataType = {
  name: 'text',
  vector: 'any',
  input: (text) => text,
  output: (value) => value as string,
  receive: (bytes) => decodeUtf8Checked(bytes),
  send: (value) => encodeUtf8(value as string),
  compare: compareText,
  equal: same,
  key: textKey,
  row: textRow,
};

function lengthTypmodIn(typeName: string): (modifiers: readonly string[]) => number {
  return (modifiers) => {
    if (modifiers.length !== 1) throw new DatabaseError('22023', 'invalid type modifier');
    const length = Number(modifiers[0]);
    if (!Number.isInteger(length)) throw new DatabaseError('22P02', `invalid input syntax for type integer: "${modifiers[0]}"`);
    if (length < 1) throw new DatabaseError('22023', `length for type ${typeName} must be at least 1`);
    if (length > MAX_LENGTH) throw new DatabaseError('22023', `length for type ${typeName} cannot exceed ${MAX_LENGTH}`);
    return length + TYPMOD_OFFSET;
  };
}

const lengthTypmodOut = (typmod: number): string => (typmod > TYPMOD_OFFSET ? `(${typmod - TYPMOD_OFFSET})` : '');

/** Cuts to `limit` characters; only blanks may go unless the cast is explicit. */
function fit(value: string, limit: number, explicit: boolean, typeName: string): string {
  if (value.length <= limit) return value;
  if (characterLength(value) <= limit) return value;
  const kept = sliceCharacters(value, 0, limit);
  if (!explicit && !/^ *$/.test(value.slice(kept.length))) {
    throw new DatabaseError('22001', `value too long for type ${typeName}(${limit})`);
  }
  return kept;
}

function applyVarcharTypmod(value: string, typmod: number, explicit: boolean): string {
  return typmod < TYPMOD_OFFSET ? value : fit(value, typmod - TYPMOD_OFFSET, explicit, 'character varying');
}

function applyBpcharTypmod(value: string, typmod: number, explicit: boolean): string {
  if (typmod < TYPMOD_OFFSET) return value;
  const length = typmod - TYPMOD_OFFSET;
  const fitted = fit(value, length, explicit, 'character');
  const missing = length - characterLength(fitted);
  return missing > 0 ? fitted + ' '.repeat(missing) : fitted;
}

export const varcharType: DataType = {
  ...textType,
  name: 'varchar',
  input: (text, typmod) => applyVarcharTypmod(text, typmod, false),
  receive: (bytes, typmod) => applyVarcharTypmod(decodeUtf8Checked(bytes), typmod, false),
  applyTypmod: applyVarcharTypmod,
  typmodIn: lengthTypmodIn('varchar'),
  typmodOut: lengthTypmodOut,
};

/** Without trailing blanks: what counts of a bpchar. */
export function trimBlanks(value: string): string {
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === 32) end--;
  return end === value.length ? value : value.slice(0, end);
}

export const bpcharType: DataType = {
  ...textType,
  name: 'bpchar',
  input: (text, typmod) => applyBpcharTypmod(text, typmod, false),
  receive: (bytes, typmod) => applyBpcharTypmod(decodeUtf8Checked(bytes), typmod, false),
  compare: (left: string, right: string) => compareText(trimBlanks(left), trimBlanks(right)),
  equal: (left: string, right: string) => trimBlanks(left) === trimBlanks(right),
  hashKey: trimBlanks,
  applyTypmod: applyBpcharTypmod,
  typmodIn: lengthTypmodIn('char'),
  typmodOut: lengthTypmodOut,
  key: { lossless: false, encode: (value: string, out) => out.text(trimBlanks(value)), decode: (source) => source.text() },
};

/** Identifiers hold at most 63 bytes; longer ones are cut. */
export function truncateName(text: string): string {
  return truncateBytes(text, 63);
}

export const nameType: DataType = {
  ...textType,
  name: 'name',
  input: truncateName,
  receive(bytes) {
    const text = decodeUtf8Checked(bytes);
    if (bytes.length >= 64) throw new DatabaseError('42622', 'identifier too long', { detail: 'Identifier must be less than 64 characters.' });
    return text;
  },
};

/** One byte as a string of one character below U+0100, or '' for zero. */
export function charInput(text: string): string {
  const octal = /^\\([0-3][0-7][0-7])$/.exec(text);
  const byte = octal ? parseInt(octal[1]!, 8) : (encodeUtf8(text.slice(0, 2))[0] ?? 0);
  return byte === 0 ? '' : String.fromCharCode(byte);
}

export function charOutput(value: string): string {
  const byte = value === '' ? 0 : value.charCodeAt(0);
  return byte >= 128 ? `\\${byte.toString(8)}` : value;
}

export const charType: DataType = {
  name: 'char',
  vector: 'any',
  input: charInput,
  output: (value) => charOutput(value as string),
  receive: (bytes) => (bytes[0] ? String.fromCharCode(bytes[0]) : ''),
  send: (value) => Uint8Array.of(value === '' ? 0 : (value as string).charCodeAt(0)),
  compare: (left: string, right: string) => (left === '' ? 0 : left.charCodeAt(0)) - (right === '' ? 0 : right.charCodeAt(0)),
  equal: same,
  key: {
    lossless: true,
    encode: (value: string, out) => out.byte(value === '' ? 0 : value.charCodeAt(0)),
    decode(source) {
      const byte = source.byte();
      return byte === 0 ? '' : String.fromCharCode(byte);
    },
  },
  row: {
    width: 1,
    write: (value: string, into, offset) => into.setUint8(offset, value === '' ? 0 : value.charCodeAt(0)),
    read(from, offset) {
      const byte = from.getUint8(offset);
      return byte === 0 ? '' : String.fromCharCode(byte);
    },
  },
};

export const unknownType: DataType = { ...textType, name: 'unknown' };
export const cstringType: DataType = { ...textType, name: 'cstring' };
/** Text without comparison operators of its own. */
export const refcursorType: DataType = { ...textType, name: 'refcursor', compare: undefined, equal: undefined };
export const pgNodeTreeType: DataType = {
  ...textType,
  name: 'pg_node_tree',
  compare: undefined,
  equal: undefined,
  input() {
    throw new DatabaseError('0A000', 'cannot accept a value of type pg_node_tree');
  },
};

/** txid_snapshot and pg_snapshot: xmin:xmax:list of transactions in progress. */
export function snapshotType(name: string): DataType {
  const input = (text: string): string => {
    const match = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
    if (!match || match[1] === '0' || Number(match[2]) < Number(match[1])) throw new DatabaseError('22P02', `invalid input syntax for type ${name}: "${text}"`);
    return text;
  };
  return { ...textType, name, compare: undefined, equal: undefined, key: undefined, input };
}

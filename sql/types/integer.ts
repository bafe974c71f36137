/**
 * The integer types and the identifiers that are integers: int2, int4, int8, oid, xid, cid, xid8,
 * tid and pg_lsn. Text input is PostgreSQL 16's: blanks around, a sign, decimal, 0x, 0o, 0b, and
 * underscores between digits.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType, RowCodec } from './data-type.js';
import { int8FromBigInt, type Int8 } from './datum.js';
import { expectLength, readInt64, sendInt16, sendInt32, sendInt64, viewOf } from './wire-bytes.js';

const PLAIN = /^-?\d{1,15}$/;
const GENERAL = /^[ \t\n\r\f\v]*([+-]?)(\d(?:_?\d)*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)[ \t\n\r\f\v]*$/;

/** The exact integer a text stands for, or undefined when it is none. */
export function parseInteger(text: string): Int8 | undefined {
  if (PLAIN.test(text)) {
    const value = Number(text);
    return value === 0 ? 0 : value;
  }
  const match = GENERAL.exec(text);
  if (!match) return undefined;
  const digits = match[2]!.replaceAll('_', '');
  const magnitude = digits.length <= 15 ? BigInt(Number(digits)) : BigInt(digits);
  return int8FromBigInt(match[1] === '-' ? -magnitude : magnitude);
}

function integerInput(typeName: string, min: Int8, max: Int8): (text: string) => Int8 {
  return (text) => {
    const value = parseInteger(text);
    if (value === undefined) throw new DatabaseError('22P02', `invalid input syntax for type ${typeName}: "${text}"`);
    if (value < min || value > max) throw new DatabaseError('22003', `value "${text}" is out of range for type ${typeName}`);
    return value;
  };
}

export const compareNumbers = (left: number, right: number): number => left - right;
const compareInt8 = (left: Int8, right: Int8): number => (left < right ? -1 : left > right ? 1 : 0);
const same = (left: Int8, right: Int8): boolean => left === right;
const print = (value: unknown): string => String(value);

export const int32Row: RowCodec = {
  width: 4,
  write: (value: number, into, offset) => into.setInt32(offset, value, true),
  read: (from, offset) => from.getInt32(offset, true),
};

export const uint32Row: RowCodec = {
  width: 4,
  write: (value: number, into, offset) => into.setUint32(offset, value, true),
  read: (from, offset) => from.getUint32(offset, true),
};

export function writeInt64(value: Int8, into: DataView, offset: number): void {
  if (typeof value === 'bigint') into.setBigInt64(offset, value, true);
  else {
    const high = Math.floor(value / 0x100000000);
    into.setUint32(offset, value - high * 0x100000000, true);
    into.setInt32(offset + 4, high, true);
  }
}

export const int64Row: RowCodec = {
  width: 8,
  write: writeInt64,
  read: (from, offset) => readInt64(from, offset, true),
};

export const int2Type: DataType = {
  name: 'int2',
  vector: 'int32',
  input: integerInput('smallint', -32768, 32767),
  output: print,
  receive(bytes) {
    expectLength(bytes, 2);
    return viewOf(bytes).getInt16(0);
  },
  send: (value) => sendInt16(value as number),
  compare: compareNumbers,
  equal: same,
  key: { lossless: true, encode: (value: number, out) => out.int32(value), decode: (source) => source.int32() },
  row: {
    width: 2,
    write: (value: number, into, offset) => into.setInt16(offset, value, true),
    read: (from, offset) => from.getInt16(offset, true),
  },
};

export const int4Type: DataType = {
  name: 'int4',
  vector: 'int32',
  input: integerInput('integer', -2147483648, 2147483647),
  output: print,
  receive(bytes) {
    expectLength(bytes, 4);
    return viewOf(bytes).getInt32(0);
  },
  send: (value) => sendInt32(value as number),
  compare: compareNumbers,
  equal: same,
  key: { lossless: true, encode: (value: number, out) => out.int32(value), decode: (source) => source.int32() },
  row: int32Row,
};

const canonical = (value: Int8): Int8 => (typeof value === 'bigint' ? int8FromBigInt(value) : value);

export const int8Type: DataType = {
  name: 'int8',
  vector: 'float64',
  input: integerInput('bigint', -9223372036854775808n, 9223372036854775807n),
  output: print,
  receive(bytes) {
    expectLength(bytes, 8);
    return readInt64(viewOf(bytes), 0, false);
  },
  send: (value) => sendInt64(value as Int8),
  compare: compareInt8,
  equal: same,
  key: { lossless: true, encode: (value: Int8, out) => out.int64(value), decode: (source) => canonical(source.int64()) },
  row: int64Row,
};

/** uint32in_subr: decimal, octal or hex as strtoul takes them; a minus wraps round. */
export function parseOid(text: string, typeName: string): number {
  const match = /^[ \t\n\r\f\v]*([+-]?)(0[xX][0-9a-fA-F]+|\d+)[ \t\n\r\f\v]*$/.exec(text);
  if (!match) throw new DatabaseError('22P02', `invalid input syntax for type ${typeName}: "${text}"`);
  const digits = match[2]!;
  const magnitude = /^0[0-7]+$/.test(digits) ? parseInt(digits, 8) : Number(digits);
  const value = match[1] === '-' ? -magnitude : magnitude;
  if (value > 4294967295 || value < -2147483648) throw new DatabaseError('22003', `value "${text}" is out of range for type ${typeName}`);
  return value < 0 ? value + 4294967296 : value;
}

function unsignedType(name: string, ordered: boolean): DataType {
  return {
    name,
    vector: 'float64',
    input: (text) => parseOid(text, name),
    output: print,
    receive(bytes) {
      expectLength(bytes, 4);
      return viewOf(bytes).getUint32(0);
    },
    send: (value) => sendInt32(value as number),
    ...(ordered ? { compare: compareNumbers } : {}),
    equal: same,
    key: {
      lossless: true,
      encode: (value: number, out) => out.int32((value ^ 0x80000000) | 0),
      decode: (source) => (source.int32() ^ 0x80000000) >>> 0,
    },
    row: uint32Row,
  };
}

export const oidType = unsignedType('oid', true);
export const xidType = unsignedType('xid', false);
export const cidType = unsignedType('cid', false);

export const xid8Type: DataType = {
  ...int8Type,
  name: 'xid8',
  input(text) {
    const match = /^[ \t\n\r\f\v]*([+-]?)(\d+|0[xX][0-9a-fA-F]+)[ \t\n\r\f\v]*$/.exec(text);
    if (!match) throw new DatabaseError('22P02', `invalid input syntax for type xid8: "${text}"`);
    const value = match[1] === '-' ? BigInt.asUintN(64, -BigInt(match[2]!)) : BigInt(match[2]!);
    if (value > 0xffffffffffffffffn) throw new DatabaseError('22003', `value "${text}" is out of range for type xid8`);
    return int8FromBigInt(value);
  },
};

/** A row id: block in the high 32 bits, offset in the low 16. */
export const tidType: DataType = {
  name: 'tid',
  vector: 'float64',
  input(text) {
    const match = /^\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*$/.exec(text);
    if (!match || Number(match[1]) > 4294967295 || Number(match[2]) > 65535) throw new DatabaseError('22P02', `invalid input syntax for type tid: "${text}"`);
    return Number(match[1]) * 65536 + Number(match[2]);
  },
  output: (value) => `(${Math.floor((value as number) / 65536)},${(value as number) % 65536})`,
  receive(bytes) {
    expectLength(bytes, 6);
    const view = viewOf(bytes);
    return view.getUint32(0) * 65536 + view.getUint16(4);
  },
  send(value) {
    const out = new Uint8Array(6);
    const view = viewOf(out);
    view.setUint32(0, Math.floor((value as number) / 65536));
    view.setUint16(4, (value as number) % 65536);
    return out;
  },
  compare: compareNumbers,
  equal: same,
  key: { lossless: true, encode: (value: number, out) => out.int64(value), decode: (source) => Number(source.int64()) },
  row: int64Row,
};

/** pg_lsn: an unsigned 64-bit position, printed as two hexadecimal halves. */
export const pgLsnType: DataType = {
  ...int8Type,
  name: 'pg_lsn',
  input(text) {
    const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
    if (!match) throw new DatabaseError('22P02', `invalid input syntax for type pg_lsn: "${text}"`);
    return int8FromBigInt((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`));
  },
  output(value) {
    const big = BigInt(value as Int8);
    return `${(big >> 32n).toString(16).toUpperCase()}/${(big & 0xffffffffn).toString(16).toUpperCase()}`;
  },
};

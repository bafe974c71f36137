/**
 * float4 and float8. Output is the shortest text that reads back the same (extra_float_digits > 0,
 * the default) in the layout of PostgreSQL's Ryu printer, or %.*g for fewer digits.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { expectLength, viewOf } from './wire-bytes.js';

const FLOAT = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const HEX_FLOAT = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)(?:[pP]([+-]?\d+))?$/;

function special(text: string): number | undefined {
  switch (text.toLowerCase()) {
    case 'nan': case '+nan': case '-nan': return NaN;
    case 'infinity': case '+infinity': case 'inf': case '+inf': return Infinity;
    case '-infinity': case '-inf': return -Infinity;
    default: return undefined;
  }
}

/** float8in/float4in; `typeName` as messages have it. */
export function parseFloatText(text: string, typeName: 'double precision' | 'real'): number {
  const trimmed = text.replace(/^[ \t\n\r\f\v]+|[ \t\n\r\f\v]+$/g, '');
  if (FLOAT.test(trimmed)) {
    const value = typeName === 'real' ? Math.fround(Number(trimmed)) : Number(trimmed);
    if (value === Infinity || value === -Infinity || (value === 0 && /^[^eE]*[1-9]/.test(trimmed))) {
      throw new DatabaseError('22003', `"${trimmed}" is out of range for type ${typeName}`);
    }
    return value;
  }
  const known = special(trimmed);
  if (known !== undefined) return known;
  const hex = HEX_FLOAT.exec(trimmed);
  if (hex && (hex[2] || hex[3])) {
    const magnitude = Number(BigInt(`0x${hex[2]}${hex[3]}` as string)) * 2 ** (Number(hex[4] ?? 0) - 4 * hex[3]!.length);
    const value = hex[1] === '-' ? -magnitude : magnitude;
    return typeName === 'real' ? Math.fround(value) : value;
  }
  throw new DatabaseError('22P02', `invalid input syntax for type ${typeName}: "${text}"`);
}

function withExponent(mantissaDigits: string, exponent: number): string {
  const fraction = mantissaDigits.length > 1 ? `${mantissaDigits[0]}.${mantissaDigits.slice(1)}` : mantissaDigits;
  const magnitude = Math.abs(exponent);
  return `${fraction}e${exponent < 0 ? '-' : '+'}${magnitude < 10 ? '0' : ''}${magnitude}`;
}

/** Digits (no leading or trailing zeros) and decimal exponent, laid out as PostgreSQL does. */
function layout(negative: boolean, digits: string, exponent: number, scientificFrom: number): string {
  const sign = negative ? '-' : '';
  if (exponent < -4 || exponent >= scientificFrom) return sign + withExponent(digits, exponent);
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

/** toExponential text -> digits without trailing zeros, and the exponent. */
function split(text: string): [string, number] {
  const e = text.indexOf('e');
  const digits = text.slice(0, e).replace('.', '').replace(/0+$/, '');
  return [digits === '' ? '0' : digits, Number(text.slice(e + 1))];
}

function nonFinite(value: number): string {
  return value !== value ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
}

const bits = new DataView(new ArrayBuffer(8));

/**
 * PostgreSQL's printer does not accept a text that lies exactly half-way to a neighbour, though it
 * would read back by rounding to even. Such texts exist only among the integers from 2^53 on.
 */
function isHalfWay(magnitude: number, digits: string, exponent: number): boolean {
  if (magnitude < 9007199254740992 || digits.length > exponent + 1) return false;
  const difference = BigInt(digits) * 10n ** BigInt(exponent + 1 - digits.length) - BigInt(magnitude);
  if (difference === 0n) return false;
  bits.setFloat64(0, magnitude);
  const raw = bits.getBigUint64(0);
  const spacing = 1n << ((raw >> 52n) - 1075n);
  // Below a power of two the neighbour is nearer.
  if (difference < 0n && (raw & 0xfffffffffffffn) === 0n) return -difference * 4n >= spacing;
  return (difference < 0n ? -difference : difference) * 2n >= spacing;
}

function shortestDigits(magnitude: number): [string, number] {
  let [digits, exponent] = split(magnitude.toExponential());
  for (let precision = digits.length; precision < 17 && isHalfWay(magnitude, digits, exponent); precision++) [digits, exponent] = split(magnitude.toExponential(precision));
  return [digits, exponent];
}

/** Shortest float8 text. */
export function printFloat8(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const magnitude = Math.abs(value);
  // In this range JavaScript's own layout is the same.
  if (magnitude >= 1e-4 && magnitude < 1e15) return String(value);
  if (magnitude === Infinity || value !== value) return nonFinite(value);
  const [digits, exponent] = shortestDigits(magnitude);
  return layout(value < 0, digits, exponent, 15);
}

const floatBits = new DataView(new ArrayBuffer(4));

/** The same for float4, whose midpoints are exact as doubles. */
function isHalfWayFloat4(magnitude: number, read: number): boolean {
  if (read === magnitude) return false;
  floatBits.setFloat32(0, magnitude);
  floatBits.setUint32(0, floatBits.getUint32(0) + (read > magnitude ? 1 : -1));
  return read === (magnitude + floatBits.getFloat32(0)) / 2;
}

/** toExponential rounds exact halves up; PostgreSQL takes the even digit. */
function roundHalfEven(magnitude: number, text: string, precision: number): string {
  const last = text.charCodeAt(precision + 1);
  if (last % 2 === 0) return text;
  const exact = magnitude.toExponential(precision + 20);
  if (!/^50*e/.test(exact.slice(precision + 2))) return text;
  return text.slice(0, precision + 1) + String.fromCharCode(last - 1) + text.slice(precision + 2);
}

/** Shortest text that reads back as the same float4. */
export function printFloat4(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const magnitude = Math.abs(value);
  if (magnitude === Infinity || value !== value) return nonFinite(value);
  if (magnitude < 1e6 && Number.isInteger(value)) return String(value);
  for (let precision = 0; precision < 9; precision++) {
    const text = magnitude.toExponential(precision);
    const read = Number(text);
    if (Math.fround(read) === magnitude && !isHalfWayFloat4(magnitude, read)) {
      const [digits, exponent] = split(precision < 6 ? text : roundHalfEven(magnitude, text, precision));
      return layout(value < 0, digits, exponent, 6);
    }
  }
  return String(value);
}

/** C's %.*g. */
export function printGeneral(value: number, precision: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  if (!Number.isFinite(value)) return nonFinite(value);
  const wanted = Math.max(precision, 1);
  const [digits, exponent] = split(Math.abs(value).toExponential(wanted - 1));
  return layout(value < 0, digits, exponent, wanted);
}

/** float8 by the session's extra_float_digits. */
export function formatFloat8(value: number, extraDigits: number): string {
  return extraDigits > 0 ? printFloat8(value) : printGeneral(value, 15 + extraDigits);
}

export function formatFloat4(value: number, extraDigits: number): string {
  return extraDigits > 0 ? printFloat4(value) : printGeneral(value, 6 + extraDigits);
}

/** NaN is equal to itself and above everything; -0 equals 0. */
export function compareFloat(left: number, right: number): number {
  if (left < right) return -1;
  if (left > right) return 1;
  if (left === right) return 0;
  return left !== left ? (right !== right ? 0 : 1) : -1;
}

const equalFloat = (left: number, right: number): boolean => left === right || (left !== left && right !== right);

export const float8Type: DataType = {
  name: 'float8',
  vector: 'float64',
  input: (text) => parseFloatText(text, 'double precision'),
  output: (value, context) => formatFloat8(value as number, context.settings.extraFloatDigits),
  receive(bytes) {
    expectLength(bytes, 8);
    return viewOf(bytes).getFloat64(0);
  },
  send(value) {
    const out = new Uint8Array(8);
    viewOf(out).setFloat64(0, value as number);
    return out;
  },
  compare: compareFloat,
  equal: equalFloat,
  // NaN equals itself here, but not in JavaScript
  hashKey: (value: number) => (value === 0 ? 0 : value === value ? value : 'NaN'),
  key: { lossless: false, encode: (value: number, out) => out.float64(value), decode: (source) => source.float64() },
  row: {
    width: 8,
    write: (value: number, into, offset) => into.setFloat64(offset, value, true),
    read: (from, offset) => from.getFloat64(offset, true),
  },
};

export const float4Type: DataType = {
  ...float8Type,
  name: 'float4',
  input: (text) => parseFloatText(text, 'real'),
  output: (value, context) => formatFloat4(value as number, context.settings.extraFloatDigits),
  receive(bytes) {
    expectLength(bytes, 4);
    return viewOf(bytes).getFloat32(0);
  },
  send(value) {
    const out = new Uint8Array(4);
    viewOf(out).setFloat32(0, value as number);
    return out;
  },
  row: {
    width: 4,
    write: (value: number, into, offset) => into.setFloat32(offset, value, true),
    read: (from, offset) => from.getFloat32(offset, true),
  },
};

/** Rounds half to even, as rint does. */
export function rint(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

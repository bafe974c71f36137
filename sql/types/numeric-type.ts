/** The type numeric: text and binary I/O, typmod, and codecs over the Numeric class. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType, KeySink } from './data-type.js';
import { Numeric, NUMERIC_MAX_SCALE, bigPowerOfTen, coefficient, compareNumeric, numericOverflow } from './numeric.js';
import { WireReader } from './wire-bytes.js';

const MAX_PRECISION = 1000;

/** numeric_in: blanks around, special values, decimal, and 0x/0o/0b integers. */
export function numericInput(text: string): Numeric {
  const trimmed = text.replace(/^[ \t\n\r\f\v]+|[ \t\n\r\f\v]+$/g, '');
  const value = Numeric.parse(trimmed);
  if (value) return value;
  switch (trimmed.toLowerCase()) {
    case 'nan': return Numeric.NaN;
    case 'infinity': case '+infinity': case 'inf': case '+inf': return Numeric.Infinity;
    case '-infinity': case '-inf': return Numeric.NegativeInfinity;
    default:
  }
  const match = /^([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)$/.exec(trimmed);
  if (match) {
    const magnitude = BigInt(match[2]!.replaceAll('_', ''));
    return Numeric.fromBig(match[1] === '-' ? -magnitude : magnitude, 0);
  }
  throw new DatabaseError('22P02', `invalid input syntax for type numeric: "${text}"`);
}

export const typmodPrecision = (typmod: number): number => ((typmod - 4) >> 16) & 0xffff;
/** 11-bit two's complement. */
export const typmodScale = (typmod: number): number => (((typmod - 4) & 0x7ff) ^ 1024) - 1024;

/** apply_typmod: rounds to the scale, 22003 beyond the precision. */
export function applyNumericTypmod(value: Numeric, typmod: number): Numeric {
  if (typmod < 4) return value;
  const precision = typmodPrecision(typmod);
  const scale = typmodScale(typmod);
  if (!value.isFinite) {
    if (value.isNaN) return value;
    throw overflow(precision, scale, 'A field with precision %, scale % cannot hold an infinite value.');
  }
  const rounded = value.round(scale);
  const { coefficient: c } = rounded;
  if (typeof c === 'number' && rounded.scale === scale && precision <= 15) {
    if (c < 10 ** precision && c > -(10 ** precision)) return rounded;
  } else if (rounded.isZero || rounded.decimalExponent + 1 <= precision - scale) return rounded;
  throw overflow(precision, scale, `A field with precision %, scale % must round to an absolute value less than ${precision - scale !== 0 ? `10^${precision - scale}` : '1'}.`);
}

function overflow(precision: number, scale: number, detail: string): DatabaseError {
  return new DatabaseError('22003', 'numeric field overflow', { detail: detail.replace('%', String(precision)).replace('%', String(scale)) });
}

function typmodIn(modifiers: readonly string[]): number {
  const numbers = modifiers.map((text) => {
    const value = Number(text);
    if (!Number.isInteger(value)) throw new DatabaseError('22P02', `invalid input syntax for type integer: "${text}"`);
    return value;
  });
  const [precision, scale = 0] = numbers;
  if (precision === undefined || numbers.length > 2) throw new DatabaseError('22023', 'invalid NUMERIC type modifier');
  if (precision < 1 || precision > MAX_PRECISION) throw new DatabaseError('22023', `NUMERIC precision ${precision} must be between 1 and ${MAX_PRECISION}`);
  if (scale < -1000 || scale > 1000) throw new DatabaseError('22023', `NUMERIC scale ${scale} must be between -1000 and 1000`);
  return ((precision << 16) | (scale & 0x7ff)) + 4;
}

/** Binary: base-10000 digits. */
function send(value: Numeric): Uint8Array {
  const signs = { finite: value.sign < 0 ? 0x4000 : 0, NaN: 0xc000, Infinity: 0xd000, '-Infinity': 0xf000 };
  const groups: number[] = [];
  let weight = 0;
  if (value.isFinite && !value.isZero) {
    weight = value.weight;
    const count = Math.ceil(value.digits.replace(/0+$/, '').length / 4) + 1;
    for (let i = 0; i < count; i++) groups.push(value.baseDigit(i));
    while (groups.length > 0 && groups[groups.length - 1] === 0) groups.pop();
  }
  const out = new Uint8Array(8 + groups.length * 2);
  const view = new DataView(out.buffer);
  view.setUint16(0, groups.length);
  view.setInt16(2, weight);
  view.setUint16(4, signs[value.kind]);
  view.setUint16(6, value.isFinite ? value.scale : value.isNaN ? 0 : 32);
  groups.forEach((group, i) => view.setUint16(8 + i * 2, group));
  return out;
}

function receive(bytes: Uint8Array): Numeric {
  const reader = new WireReader(bytes);
  const count = reader.uint16();
  const weight = reader.int16();
  const sign = reader.uint16();
  const scale = reader.uint16();
  if (sign === 0xc000) return Numeric.NaN;
  if (sign === 0xd000) return Numeric.Infinity;
  if (sign === 0xf000) return Numeric.NegativeInfinity;
  if (sign !== 0 && sign !== 0x4000) throw new DatabaseError('22P03', 'invalid sign in external "numeric" value');
  if (scale > NUMERIC_MAX_SCALE) throw new DatabaseError('22P03', 'invalid scale in external "numeric" value');
  let c = 0n;
  for (let i = 0; i < count; i++) {
    const digit = reader.uint16();
    if (digit >= 10000) throw new DatabaseError('22P03', 'invalid digit in external "numeric" value');
    c = c * 10000n + BigInt(digit);
  }
  // c stands for c * 10000^(weight + 1 - count); bring it to `scale` digits, dropping what is beyond.
  const shift = (weight + 1 - count) * 4 + scale;
  if (c !== 0n && weight * 4 > 131072) throw numericOverflow();
  c = shift >= 0 ? c * bigPowerOfTen(shift) : c / bigPowerOfTen(-shift);
  return Numeric.result(coefficient(sign === 0 ? c : -c), scale);
}

/** Kind byte, then for finite values exponent and digits without trailing zeros; for negatives all inverted. */
function encodeKey(value: Numeric, out: KeySink): void {
  if (!value.isFinite) {
    out.byte(value.isNaN ? 6 : value.sign > 0 ? 5 : 1);
    return;
  }
  if (value.isZero) {
    out.byte(3);
    return;
  }
  const digits = value.digits.replace(/0+$/, '');
  if (value.sign > 0) {
    out.byte(4);
    out.int32(value.decimalExponent);
    out.text(digits);
  } else {
    out.byte(2);
    out.int32(-value.decimalExponent);
    let inverted = '';
    for (let i = 0; i < digits.length; i++) inverted += String.fromCharCode(105 - digits.charCodeAt(i));
    out.text(`${inverted}:`); // ':' is above '9': the shorter negative is the greater
  }
}

/** Equal values have one key, whatever their scale. */
export function numericHashKey(value: Numeric): number | string | bigint {
  if (!value.isFinite) return value.kind;
  let { coefficient: c, scale } = value;
  if (typeof c === 'number') {
    while (scale > 0 && c % 10 === 0) {
      c /= 10;
      scale--;
      if (c === 0) return 0;
    }
    return scale === 0 ? c : `${c}e${scale}`;
  }
  const trimmed = value.trimScale();
  return trimmed.scale === 0 ? trimmed.coefficient : `${trimmed.coefficient}e${trimmed.scale}`;
}

const KINDS = ['finite', 'finite', 'NaN', 'Infinity', '-Infinity'] as const;

/** Row form: kind/sign byte, scale (2 bytes), magnitude little-endian without leading zeros. */
function encodeRow(value: Numeric): Uint8Array {
  if (!value.isFinite) return Uint8Array.of(KINDS.indexOf(value.kind, 2));
  const { coefficient: c, scale } = value;
  if (typeof c === 'number') {
    let magnitude = Math.abs(c);
    const length = magnitude === 0 ? 0 : magnitude < 0x100 ? 1 : magnitude < 0x10000 ? 2 : magnitude < 0x1000000 ? 3 : magnitude < 0x100000000 ? 4 : magnitude < 0x10000000000 ? 5 : magnitude < 0x1000000000000 ? 6 : 7;
    const out = new Uint8Array(3 + length);
    out[0] = c < 0 ? 1 : 0;
    out[1] = scale & 0xff;
    out[2] = scale >> 8;
    for (let i = 3; i < out.length; i++) {
      out[i] = magnitude & 0xff;
      magnitude = Math.floor(magnitude / 256);
    }
    return out;
  }
  let hex = (c < 0n ? -c : c).toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  const out = new Uint8Array(3 + hex.length / 2);
  out[0] = c < 0n ? 1 : 0;
  out[1] = scale & 0xff;
  out[2] = scale >> 8;
  out.set(Buffer.from(hex, 'hex').reverse(), 3);
  return out;
}

function decodeRow(bytes: Uint8Array): Numeric {
  const kind = bytes[0]!;
  if (kind >= 2) return kind === 2 ? Numeric.NaN : kind === 3 ? Numeric.Infinity : Numeric.NegativeInfinity;
  const scale = bytes[1]! | (bytes[2]! << 8);
  if (bytes.length <= 9) {
    let magnitude = 0;
    for (let i = bytes.length - 1; i >= 3; i--) magnitude = magnitude * 256 + bytes[i]!;
    return Numeric.of(kind === 1 ? -magnitude : magnitude, scale);
  }
  const magnitude = BigInt(`0x${Buffer.from(bytes.subarray(3)).reverse().toString('hex')}`);
  return Numeric.of(coefficient(kind === 1 ? -magnitude : magnitude), scale);
}

export const numericType: DataType = {
  name: 'numeric',
  vector: 'any',
  input: (text, typmod) => applyNumericTypmod(numericInput(text), typmod),
  output: (value) => (value as Numeric).toString(),
  receive: (bytes, typmod) => applyNumericTypmod(receive(bytes), typmod),
  send: (value) => send(value as Numeric),
  compare: compareNumeric,
  equal: (left: Numeric, right: Numeric) => compareNumeric(left, right) === 0,
  hashKey: numericHashKey,
  applyTypmod: applyNumericTypmod,
  typmodIn,
  typmodOut: (typmod) => (typmod >= 4 ? `(${typmodPrecision(typmod)},${typmodScale(typmod)})` : ''),
  key: { lossless: false, encode: encodeKey },
  row: { width: 0, encode: encodeRow, decode: decodeRow },
};

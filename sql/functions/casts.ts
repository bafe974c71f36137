/** Functions behind pg_cast: conversions between number types, strings, and the like. */
import { DatabaseError } from '../../engine/errors.js';
import type { Datum, Int8 } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import { rint } from '../types/float.js';
import { JsonbObject, type Jsonb, type JsonbNode } from '../types/jsonb.js';
import { Numeric } from '../types/numeric.js';
import { lookupRelation } from '../types/reg.js';
import { bpcharType, charInput, trimBlanks, truncateName, varcharType } from '../types/text.js';
import { f, fc } from './define.js';
import type { EvalContext } from './context.js';
import type { SqlFunction } from './function.js';
import { checkInt2, checkInt4, checkInt8 } from './kernel-helpers.js';

const range = (type: string): DatabaseError => new DatabaseError('22003', `${type} out of range`);

function int8ToInt4(value: Int8): number {
  if (typeof value === 'bigint') throw range('integer');
  return checkInt4(value);
}

function int8ToInt2(value: Int8): number {
  if (typeof value === 'bigint') throw range('smallint');
  return checkInt2(value);
}

/** Rounds half to even, as rint, then checks. */
function floatToInt(type: string, min: number, max: number): (value: number) => number {
  return (value) => {
    const rounded = rint(value);
    if (!(rounded >= min && rounded <= max)) throw range(type);
    return rounded === 0 ? 0 : rounded;
  };
}

function floatToInt8(value: number): Int8 {
  const rounded = rint(value);
  if (!(rounded >= -9223372036854775808 && rounded < 9223372036854775808)) throw range('bigint');
  return Number.isSafeInteger(rounded) ? (rounded === 0 ? 0 : rounded) : int8FromBigInt(BigInt(rounded));
}

function requireFinite(value: Numeric, type: string): void {
  if (value.isNaN) throw new DatabaseError('0A000', `cannot convert NaN to ${type}`);
  if (!value.isFinite) throw new DatabaseError('0A000', `cannot convert infinity to ${type}`);
}

function numericToInt8(value: Numeric): Int8 {
  requireFinite(value, 'bigint');
  const integer = value.toInteger();
  return typeof integer === 'number' ? integer : checkInt8(integer);
}

function numericToSmall(type: 'integer' | 'smallint'): (value: Numeric) => number {
  const [min, max] = type === 'integer' ? [-2147483648, 2147483647] : [-32768, 32767];
  return (value) => {
    requireFinite(value, type);
    const integer = value.toInteger();
    if (integer < min || integer > max) throw range(type);
    return Number(integer);
  };
}

const numericToInt4 = numericToSmall('integer');
const numericToInt2 = numericToSmall('smallint');

function toFloat4(value: number): number {
  const result = Math.fround(value);
  if (Math.abs(result) === Infinity && Math.abs(value) !== Infinity) throw new DatabaseError('22003', 'value out of range: overflow');
  if (result === 0 && value !== 0) throw new DatabaseError('22003', 'value out of range: underflow');
  return result;
}

function numericToFloat8(value: Numeric): number {
  const result = value.toNumber();
  if (value.isFinite && !Number.isFinite(result)) throw new DatabaseError('22003', `"${value.toString()}" is out of range for type double precision`);
  return result;
}

function numericToFloat4(value: Numeric): number {
  const result = Math.fround(value.toNumber());
  if (value.isFinite && !Number.isFinite(result)) throw new DatabaseError('22003', `"${value.toString()}" is out of range for type real`);
  return result;
}

function oidFromInt8(value: Int8): number {
  if (value < 0 || value > 4294967295) throw new DatabaseError('22003', 'OID out of range');
  return Number(value);
}

function jsonbKind(node: JsonbNode): string {
  if (node === null) return 'null';
  if (typeof node === 'string') return 'string';
  if (typeof node === 'boolean') return 'boolean';
  if (node instanceof Numeric) return 'numeric';
  return node instanceof JsonbObject ? 'object' : 'array';
}

function cannotCast(node: JsonbNode, type: string): DatabaseError {
  return new DatabaseError('22023', `cannot cast jsonb ${jsonbKind(node)} to type ${type}`);
}

function fromJsonbNumber(type: string, convert: (value: Numeric) => Datum): (value: Jsonb) => Datum {
  return ({ value }) => {
    if (!(value instanceof Numeric)) throw cannotCast(value, type);
    return convert(value);
  };
}

function charToInt4(value: string): number {
  const code = value === '' ? 0 : value.charCodeAt(0);
  return code >= 128 ? code - 256 : code;
}

function int4ToChar(value: number): string {
  if (value < -128 || value > 127) throw new DatabaseError('22003', '"char" out of range');
  return value === 0 ? '' : String.fromCharCode(value & 255);
}

const identity = (value: Datum): Datum => value;
const alias = ([a]: readonly string[]): string => `(${a})`;

export const castFunctions: readonly SqlFunction[] = [
  f(['int4(int2)', 'int8(int2)', 'int8(int4)', 'float8(int2)', 'float8(int4)', 'float8(float4)', 'float4(int2)'], identity, alias),
  f('float4(int4)', (value: number) => Math.fround(value)),
  f('int2(int4)', checkInt2, ([a]) => `checkInt2(${a})`),
  f('int4(int8)', int8ToInt4),
  f('int2(int8)', int8ToInt2),
  f(['float8(int8)'], (value: Int8) => Number(value)),
  f(['float4(int8)'], (value: Int8) => Math.fround(Number(value))),
  f(['int8(float8)', 'int8(float4)'], floatToInt8),
  f(['int4(float8)', 'int4(float4)'], floatToInt('integer', -2147483648, 2147483647)),
  f(['int2(float8)', 'int2(float4)'], floatToInt('smallint', -32768, 32767)),
  f('float4(float8)', toFloat4),
  f(['numeric(int2)', 'numeric(int4)', 'numeric(int8)'], (value: Int8) => Numeric.fromInteger(value)),
  f('numeric(float8)', (value: number) => Numeric.fromFloat(value, 15)),
  f('numeric(float4)', (value: number) => Numeric.fromFloat(value, 6)),
  f('int8(numeric)', numericToInt8),
  f('int4(numeric)', numericToInt4),
  f('int2(numeric)', numericToInt2),
  f('float8(numeric)', numericToFloat8),
  f('float4(numeric)', numericToFloat4),
  f('int4(bool)', (value: boolean) => (value ? 1 : 0)),
  f('bool(int4)', (value: number) => value !== 0),
  f('oid(int8)', oidFromInt8),
  f('int8(oid)', identity, alias),
  f('bool(jsonb)', ({ value }: Jsonb) => {
    if (typeof value !== 'boolean') throw cannotCast(value, 'boolean');
    return value;
  }),
  f('numeric(jsonb)', fromJsonbNumber('numeric', identity as (value: Numeric) => Datum)),
  f('int2(jsonb)', fromJsonbNumber('smallint', numericToInt2)),
  f('int4(jsonb)', fromJsonbNumber('integer', numericToInt4)),
  f('int8(jsonb)', fromJsonbNumber('bigint', numericToInt8)),
  f('float4(jsonb)', fromJsonbNumber('real', numericToFloat4)),
  f('float8(jsonb)', fromJsonbNumber('double precision', numericToFloat8)),
  f('text(bool)', (value: boolean) => (value ? 'true' : 'false')),
  f('text(name)', identity, alias),
  f('text(bpchar)', trimBlanks),
  f('text(char)', identity, alias),
  f('bpchar(char)', identity, alias),
  f('bpchar(name)', identity, alias),
  f('varchar(name)', identity, alias),
  f(['name(bpchar)'], (value: string) => truncateName(trimBlanks(value))),
  f('name(text)', truncateName),
  f('name(varchar)', truncateName),
  f('char(text)', (value: string) => charInput(value)),
  f('char(int4)', int4ToChar),
  f('int4(char)', charToInt4),
  fc('bpchar(bpchar,int4,bool)', (value: string, typmod: number, explicit: boolean, context: EvalContext) => bpcharType.applyTypmod!(value as never, typmod, explicit, context)),
  fc('varchar(varchar,int4,bool)', (value: string, typmod: number, explicit: boolean, context: EvalContext) => varcharType.applyTypmod!(value as never, typmod, explicit, context)),
  fc('regclass(text)', (value: string, context: EvalContext) => {
    const oid = lookupRelation(value, context);
    if (oid === undefined) throw new DatabaseError('42P01', `relation "${value}" does not exist`);
    return oid;
  }),
  f('xid(xid8)', (value: Int8) => Number(BigInt(value) & 0xffffffffn)),
];

/** Functions and operators of bit strings. */
import { DatabaseError } from '../../engine/errors.js';
import { bitDataType, packBits, varbitType } from '../types/bits.js';
import type { Int8 } from '../types/datum.js';
import { aggregate, comparisons, f, fc } from './define.js';
import type { EvalContext } from './context.js';
import type { SqlFunction } from './function.js';
import { checkInt8 } from './kernel-helpers.js';

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function sameLength(name: string, combine: (a: boolean, b: boolean) => boolean) {
  return (a: string, b: string): string => {
    if (a.length !== b.length) throw new DatabaseError('22026', `cannot ${name} bit strings of different sizes`);
    let out = '';
    for (let i = 0; i < a.length; i++) out += combine(a[i] === '1', b[i] === '1') ? '1' : '0';
    return out;
  };
}

const and = sameLength('AND', (a, b) => a && b);
const or = sameLength('OR', (a, b) => a || b);
const xor = sameLength('XOR', (a, b) => a !== b);

function shift(value: string, by: number): string {
  const length = value.length;
  const distance = Math.min(Math.abs(by), length);
  return by >= 0 ? value.slice(distance) + '0'.repeat(distance) : '0'.repeat(distance) + value.slice(0, length - distance);
}

function substring(value: string, start: number, length?: number): string {
  if (length !== undefined && length < 0) throw new DatabaseError('22011', 'negative substring length not allowed');
  const end = length === undefined ? Infinity : start + length;
  const from = Math.max(start, 1);
  return end <= from ? '' : value.slice(from - 1, end === Infinity ? undefined : end - 1);
}

function bitAt(value: string, index: number): void {
  if (index < 0 || index >= value.length) throw new DatabaseError('2202E', `bit index ${index} out of valid range (0..${value.length - 1})`);
}

/** The low `length` bits of an integer, sign-extended. */
function fromInteger(width: 32 | 64) {
  return (value: Int8, length: number): string => {
    const size = length <= 0 ? 1 : length;
    const text = BigInt.asUintN(width, BigInt(value)).toString(2).padStart(width, '0');
    return size <= width ? text.slice(width - size) : (value < 0 ? '1' : '0').repeat(size - width) + text;
  };
}

function toInteger(width: 32 | 64, type: string) {
  return (value: string): Int8 => {
    if (value.length > width) throw new DatabaseError('22003', `${type} out of range`);
    const result = value === '' ? 0n : BigInt(`0b${value}`);
    return width === 32 ? Number(BigInt.asIntN(32, result)) : checkInt8(BigInt.asIntN(64, result));
  };
}

function fold(name: string, combine: (a: string, b: string) => string): SqlFunction {
  return aggregate<{ value: string | null }>(`${name}(bit)`, () => ({
    skipNulls: true,
    initial: () => ({ value: null }),
    step(state, value) {
      state.value = state.value === null ? (value as string) : combine(state.value, value as string);
      return state;
    },
    finish: (state) => state.value,
  }));
}

export const bitFunctions: readonly SqlFunction[] = [
  ...comparisons('bit,bit', (operation) => `bit${operation}`, compare, { cmp: 'bitcmp' }),
  ...comparisons('varbit,varbit', (operation) => `varbit${operation}`, compare, { cmp: 'varbitcmp' }),
  f('bitand(bit,bit)', and),
  f('bitor(bit,bit)', or),
  f('bitxor(bit,bit)', xor),
  f('bitnot(bit)', (value: string) => value.replace(/[01]/g, (bit) => (bit === '1' ? '0' : '1'))),
  f('bitshiftleft(bit,int4)', shift),
  f('bitshiftright(bit,int4)', (value: string, by: number) => shift(value, -by)),
  f('bitcat(varbit,varbit)', (a: string, b: string) => a + b),
  f(['length(bit)', 'bit_length(bit)'], (value: string) => value.length),
  f('octet_length(bit)', (value: string) => packBits(value).length),
  f('bit_count(bit)', (value: string) => value.replaceAll('0', '').length),
  f('position(bit,bit)', (value: string, search: string) => value.indexOf(search) + 1),
  f(['substring(bit,int4)', 'substring(bit,int4,int4)'], substring),
  f(['overlay(bit,bit,int4)', 'overlay(bit,bit,int4,int4)'], (value: string, replacement: string, start: number, length = replacement.length) => substring(value, 1, start - 1) + replacement + substring(value, start + length)),
  f('get_bit(bit,int4)', (value: string, index: number) => {
    bitAt(value, index);
    return Number(value[index]);
  }),
  f('set_bit(bit,int4,int4)', (value: string, index: number, bit: number) => {
    bitAt(value, index);
    if (bit !== 0 && bit !== 1) throw new DatabaseError('22023', 'new bit must be 0 or 1');
    return value.slice(0, index) + String(bit) + value.slice(index + 1);
  }),
  fc('bit(bit,int4,bool)', (value: string, typmod: number, explicit: boolean, context: EvalContext) => bitDataType.applyTypmod!(value as never, typmod, explicit, context)),
  fc('varbit(varbit,int4,bool)', (value: string, typmod: number, explicit: boolean, context: EvalContext) => varbitType.applyTypmod!(value as never, typmod, explicit, context)),
  f('bit(int4,int4)', fromInteger(32)),
  f('bit(int8,int4)', fromInteger(64)),
  f('int4(bit)', toInteger(32, 'integer')),
  f('int8(bit)', toInteger(64, 'bigint')),
  fold('bit_and', and),
  fold('bit_or', or),
  fold('bit_xor', xor),
];

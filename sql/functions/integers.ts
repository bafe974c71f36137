/** Operators and functions of int2, int4 and int8, mixed ones included. */
import { DatabaseError } from '../../engine/errors.js';
import { int8FromBigInt, type Int8 } from '../types/datum.js';
import { binary, f } from './define.js';
import type { SqlFunction } from './function.js';
import { addInt8, checkInt2, checkInt4, checkInt8, divInt4, divInt8, modInt4, modInt8, mulInt8, subInt8 } from './kernel-helpers.js';

const WIDTHS = ['2', '4', '8'] as const;
type Width = (typeof WIDTHS)[number];

const compare = (a: Int8, b: Int8): number => (a < b ? -1 : a > b ? 1 : 0);

function comparisonFunctions(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const left of WIDTHS) {
    for (const right of WIDTHS) {
      const name = left === right ? left : left + right;
      const types = `(int${left},int${right})`;
      out.push(
        f(`int${name}eq${types}`, (a: Int8, b: Int8) => a === b, binary('===')),
        f(`int${name}ne${types}`, (a: Int8, b: Int8) => a !== b, binary('!==')),
        f(`int${name}lt${types}`, (a: Int8, b: Int8) => a < b, binary('<')),
        f(`int${name}le${types}`, (a: Int8, b: Int8) => a <= b, binary('<=')),
        f(`int${name}gt${types}`, (a: Int8, b: Int8) => a > b, binary('>')),
        f(`int${name}ge${types}`, (a: Int8, b: Int8) => a >= b, binary('>=')),
        f(`btint${name}cmp${types}`, compare),
      );
    }
  }
  return out;
}

function arithmetic(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const left of WIDTHS) {
    for (const right of WIDTHS) {
      const name = left === right ? left : left + right;
      const types = `(int${left},int${right})`;
      const width: Width = left > right ? left : right;
      if (width === '8') {
        out.push(
          f(`int${name}pl${types}`, addInt8, ([a, b]) => `addInt8(${a}, ${b})`),
          f(`int${name}mi${types}`, subInt8, ([a, b]) => `subInt8(${a}, ${b})`),
          f(`int${name}mul${types}`, mulInt8, ([a, b]) => `mulInt8(${a}, ${b})`),
          f(`int${name}div${types}`, divInt8, ([a, b]) => `divInt8(${a}, ${b})`),
        );
      } else {
        const check = width === '4' ? checkInt4 : checkInt2;
        const checkName = width === '4' ? 'checkInt4' : 'checkInt2';
        out.push(
          f(`int${name}pl${types}`, (a: number, b: number) => check(a + b), ([a, b]) => `${checkName}(${a} + ${b})`),
          f(`int${name}mi${types}`, (a: number, b: number) => check(a - b), ([a, b]) => `${checkName}(${a} - ${b})`),
          f(`int${name}mul${types}`, (a: number, b: number) => check(a * b || 0), ([a, b]) => `${checkName}(${a} * ${b} || 0)`),
          f(`int${name}div${types}`, (a: number, b: number) => check(divInt4(a, b)), ([a, b]) => `${checkName}(divInt4(${a}, ${b}))`),
        );
      }
    }
  }
  return out;
}

const abs8 = (a: Int8): Int8 => (a < 0 ? checkInt8(-BigInt(a)) : a);

function gcd(a: Int8, b: Int8): bigint {
  let x = BigInt(a);
  let y = BigInt(b);
  if (x < 0n) x = -x;
  if (y < 0n) y = -y;
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

function lcm(a: Int8, b: Int8): bigint {
  if (a === 0 || b === 0) return 0n;
  const product = (BigInt(a) / gcd(a, b)) * BigInt(b);
  return product < 0n ? -product : product;
}

const asInt4 = (value: bigint): number => checkInt4(Number(value));
const wide = (operation: (a: bigint, b: bigint) => bigint) => (a: Int8, b: Int8): Int8 => int8FromBigInt(BigInt.asIntN(64, operation(BigInt(a), BigInt(b))));

function unary(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const width of ['2', '4'] as const) {
    const t = `int${width}`;
    const check = width === '4' ? checkInt4 : checkInt2;
    const checkName = width === '4' ? 'checkInt4' : 'checkInt2';
    out.push(
      f(`${t}um(${t})`, (a: number) => check(0 - a), ([a]) => `${checkName}(0 - ${a})`),
      f(`${t}up(${t})`, (a: number) => a, ([a]) => `(${a})`),
      f([`${t}abs(${t})`, `abs(${t})`], (a: number) => check(Math.abs(a)), ([a]) => `${checkName}(Math.abs(${a}))`),
      f([`${t}mod(${t},${t})`, `mod(${t},${t})`], modInt4, ([a, b]) => `modInt4(${a}, ${b})`),
      f(`${t}and(${t},${t})`, (a: number, b: number) => a & b, binary('&')),
      f(`${t}or(${t},${t})`, (a: number, b: number) => a | b, binary('|')),
      f(`${t}xor(${t},${t})`, (a: number, b: number) => a ^ b, binary('^')),
      f(`${t}not(${t})`, (a: number) => ~a, ([a]) => `(~${a})`),
      f(`${t}shl(${t},int4)`, width === '4' ? (a: number, b: number) => a << b : (a: number, b: number) => ((a << b) << 16) >> 16),
      f(`${t}shr(${t},int4)`, (a: number, b: number) => a >> b),
    );
  }
  for (const width of WIDTHS) {
    const t = `int${width}`;
    out.push(
      f(`${t}larger(${t},${t})`, (a: Int8, b: Int8) => (a > b ? a : b)),
      f(`${t}smaller(${t},${t})`, (a: Int8, b: Int8) => (a < b ? a : b)),
    );
  }
  out.push(
    f('int8um(int8)', (a: Int8) => subInt8(0, a), ([a]) => `subInt8(0, ${a})`),
    f('int8up(int8)', (a: Int8) => a),
    f(['int8abs(int8)', 'abs(int8)'], abs8),
    f(['int8mod(int8,int8)', 'mod(int8,int8)'], modInt8, ([a, b]) => `modInt8(${a}, ${b})`),
    f('int8and(int8,int8)', wide((a, b) => a & b)),
    f('int8or(int8,int8)', wide((a, b) => a | b)),
    f('int8xor(int8,int8)', wide((a, b) => a ^ b)),
    f('int8not(int8)', (a: Int8) => int8FromBigInt(~BigInt(a))),
    f('int8shl(int8,int4)', (a: Int8, b: number) => int8FromBigInt(BigInt.asIntN(64, BigInt(a) << BigInt(b & 63)))),
    f('int8shr(int8,int4)', (a: Int8, b: number) => int8FromBigInt(BigInt(a) >> BigInt(b & 63))),
    f('int4inc(int4)', (a: number) => checkInt4(a + 1)),
    f('int8inc(int8)', (a: Int8) => addInt8(a, 1)),
    f('int8dec(int8)', (a: Int8) => subInt8(a, 1)),
    f('gcd(int4,int4)', (a: number, b: number) => asInt4(gcd(a, b))),
    f('gcd(int8,int8)', (a: Int8, b: Int8) => checkInt8(gcd(a, b))),
    f('lcm(int4,int4)', (a: number, b: number) => asInt4(lcm(a, b))),
    f('lcm(int8,int8)', (a: Int8, b: Int8) => checkInt8(lcm(a, b))),
  );
  return out;
}

/** in_range(value, base, offset, sub, less) for RANGE frames. */
function inRange(): SqlFunction[] {
  const evaluate = (value: Int8, base: Int8, offset: Int8, subtract: boolean, less: boolean): boolean => {
    if (offset < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
    const bound = BigInt(base) + (subtract ? -BigInt(offset) : BigInt(offset));
    return less ? BigInt(value) <= bound : BigInt(value) >= bound;
  };
  return ['int8,int8,int8', 'int4,int4,int8', 'int4,int4,int4', 'int4,int4,int2', 'int2,int2,int8', 'int2,int2,int4', 'int2,int2,int2'].map((types) => f(`in_range(${types},bool,bool)`, evaluate));
}

export const integerFunctions: readonly SqlFunction[] = [...comparisonFunctions(), ...arithmetic(), ...unary(), ...inRange()];

/** Operators and functions of numeric. */
import { DatabaseError } from '../../engine/errors.js';
import { Numeric, compareNumeric, coefficient, numericOverflow } from '../types/numeric.js';
import { expNumeric, lnNumeric, logNumeric, powerNumeric, sqrtNumeric } from '../types/numeric-math.js';
import type { Int8 } from '../types/datum.js';
import { applyNumericTypmod } from '../types/numeric-type.js';
import { f, comparisons } from './define.js';
import type { SqlFunction } from './function.js';

function gcd(a: bigint, b: bigint): bigint {
  let x = a < 0n ? -a : a;
  let y = b < 0n ? -b : b;
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

function gcdNumeric(a: Numeric, b: Numeric): Numeric {
  if (!a.isFinite || !b.isFinite) return Numeric.NaN;
  const scale = Math.max(a.scale, b.scale);
  return Numeric.fromBig(gcd(a.scaledTo(scale), b.scaledTo(scale)), scale);
}

function lcmNumeric(a: Numeric, b: Numeric): Numeric {
  if (!a.isFinite || !b.isFinite) return Numeric.NaN;
  const scale = Math.max(a.scale, b.scale);
  const x = a.scaledTo(scale);
  const y = b.scaledTo(scale);
  if (x === 0n || y === 0n) return Numeric.of(0, scale);
  const product = (x / gcd(x, y)) * y;
  return Numeric.fromBig(product < 0n ? -product : product, scale);
}

function factorial(n: Int8): Numeric {
  if (n < 0) throw new DatabaseError('22003', 'factorial of a negative number is undefined');
  if (n > 32177) throw numericOverflow();
  let result = 1n;
  for (let i = 2n; i <= BigInt(n); i++) result *= i;
  return Numeric.of(coefficient(result), 0);
}

function widthBucket(operand: Numeric, low: Numeric, high: Numeric, count: number): number {
  if (count <= 0) throw new DatabaseError('2201G', 'count must be greater than zero');
  if (operand.isNaN || low.isNaN || high.isNaN) throw new DatabaseError('2201G', 'operand, lower bound, and upper bound cannot be NaN');
  if (!low.isFinite || !high.isFinite) throw new DatabaseError('2201G', 'lower and upper bounds must be finite');
  const direction = compareNumeric(low, high);
  if (direction === 0) throw new DatabaseError('2201G', 'lower bound cannot equal upper bound');
  const beyond = (): number => {
    if (count + 1 > 2147483647) throw new DatabaseError('22003', 'integer out of range');
    return count + 1;
  };
  if (direction < 0 ? compareNumeric(operand, low) < 0 : compareNumeric(operand, low) > 0) return 0;
  if (direction < 0 ? compareNumeric(operand, high) >= 0 : compareNumeric(operand, high) <= 0) return beyond();
  const scale = Math.max(operand.scale, low.scale, high.scale);
  const [x, l, h] = [operand.scaledTo(scale), low.scaledTo(scale), high.scaledTo(scale)];
  return Number(((x - l) * BigInt(count)) / (h - l)) + 1;
}

function inRange(value: Numeric, base: Numeric, offset: Numeric, subtract: boolean, less: boolean): boolean {
  if (offset.isNaN || offset.sign < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
  if (value.isNaN) return base.isNaN ? true : !less;
  if (base.isNaN) return less;
  if (!offset.isFinite && base.kind === (subtract ? 'Infinity' : '-Infinity')) return true;
  const order = compareNumeric(value, subtract ? base.subtract(offset) : base.add(offset));
  return less ? order <= 0 : order >= 0;
}

const TEN = Numeric.of(10, 0);

export const numericFunctions: readonly SqlFunction[] = [
  ...comparisons('numeric,numeric', (operation) => `numeric_${operation}`, compareNumeric, { cmp: 'numeric_cmp' }),
  f('numeric_add(numeric,numeric)', (a: Numeric, b: Numeric) => a.add(b)),
  f('numeric_sub(numeric,numeric)', (a: Numeric, b: Numeric) => a.subtract(b)),
  f('numeric_mul(numeric,numeric)', (a: Numeric, b: Numeric) => a.multiply(b)),
  f('numeric_div(numeric,numeric)', (a: Numeric, b: Numeric) => a.divide(b)),
  f(['numeric_div_trunc(numeric,numeric)', 'div(numeric,numeric)'], (a: Numeric, b: Numeric) => a.divideTruncating(b)),
  f(['numeric_mod(numeric,numeric)', 'mod(numeric,numeric)'], (a: Numeric, b: Numeric) => a.mod(b)),
  f('numeric_uminus(numeric)', (a: Numeric) => a.negate()),
  f('numeric_uplus(numeric)', (a: Numeric) => a),
  f(['numeric_abs(numeric)', 'abs(numeric)'], (a: Numeric) => a.abs()),
  f('numeric_inc(numeric)', (a: Numeric) => a.add(Numeric.one)),
  f('numeric_larger(numeric,numeric)', (a: Numeric, b: Numeric) => (compareNumeric(a, b) > 0 ? a : b)),
  f('numeric_smaller(numeric,numeric)', (a: Numeric, b: Numeric) => (compareNumeric(a, b) < 0 ? a : b)),
  f('sign(numeric)', (a: Numeric) => (a.isNaN ? a : Numeric.of(a.sign, 0))),
  f('round(numeric,int4)', (a: Numeric, scale: number) => a.round(clampScale(scale))),
  f('round(numeric)', (a: Numeric) => a.round(0)),
  f('trunc(numeric,int4)', (a: Numeric, scale: number) => a.truncate(clampScale(scale))),
  f('trunc(numeric)', (a: Numeric) => a.truncate(0)),
  f(['ceil(numeric)', 'ceiling(numeric)'], (a: Numeric) => a.ceil()),
  f('floor(numeric)', (a: Numeric) => a.floor()),
  f(['sqrt(numeric)', 'numeric_sqrt(numeric)'], sqrtNumeric),
  f(['exp(numeric)', 'numeric_exp(numeric)'], expNumeric),
  f(['ln(numeric)', 'numeric_ln(numeric)'], lnNumeric),
  f(['log(numeric,numeric)', 'numeric_log(numeric,numeric)'], logNumeric),
  f(['log(numeric)', 'log10(numeric)'], (a: Numeric) => logNumeric(TEN, a)),
  f(['power(numeric,numeric)', 'pow(numeric,numeric)', 'numeric_power(numeric,numeric)'], powerNumeric),
  f('factorial(int8)', factorial),
  f('gcd(numeric,numeric)', gcdNumeric),
  f('lcm(numeric,numeric)', lcmNumeric),
  f('scale(numeric)', (a: Numeric) => (a.isFinite ? a.scale : null)),
  f('min_scale(numeric)', (a: Numeric) => (a.isFinite ? a.minScale() : null)),
  f('trim_scale(numeric)', (a: Numeric) => a.trimScale()),
  f('width_bucket(numeric,numeric,numeric,int4)', widthBucket),
  f('in_range(numeric,numeric,numeric,bool,bool)', inRange),
  f('numeric(numeric,int4)', applyNumericTypmod),
];

function clampScale(scale: number): number {
  return Math.min(Math.max(scale, -2000), 16383);
}

/** Operators and functions of float4 and float8: arithmetic with PostgreSQL's range checks, and the math library. */
import { DatabaseError } from '../../engine/errors.js';
import { compareFloat, rint } from '../types/float.js';
import { f, fc } from './define.js';
import type { SqlFunction } from './function.js';
import type { EvalContext } from './context.js';
import { addFloat, divFloat, divisionByZero, mulFloat, subFloat, toFloat4 } from './kernel-helpers.js';

const SIZES = ['4', '8'] as const;

function comparisonFunctions(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const left of SIZES) {
    for (const right of SIZES) {
      const name = left === right ? `float${left}` : `float${left}${right}`;
      const types = `(float${left},float${right})`;
      out.push(
        f(`${name}eq${types}`, (a: number, b: number) => a === b || (a !== a && b !== b), ([a, b]) => `(${a} === ${b} || (${a} !== ${a} && ${b} !== ${b}))`),
        f(`${name}ne${types}`, (a: number, b: number) => a !== b && (a === a || b === b), ([a, b]) => `(${a} !== ${b} && (${a} === ${a} || ${b} === ${b}))`),
        f(`${name}lt${types}`, (a: number, b: number) => a < b || (b !== b && a === a), ([a, b]) => `(${a} < ${b} || (${b} !== ${b} && ${a} === ${a}))`),
        f(`${name}le${types}`, (a: number, b: number) => a <= b || b !== b, ([a, b]) => `(${a} <= ${b} || ${b} !== ${b})`),
        f(`${name}gt${types}`, (a: number, b: number) => a > b || (a !== a && b === b), ([a, b]) => `(${a} > ${b} || (${a} !== ${a} && ${b} === ${b}))`),
        f(`${name}ge${types}`, (a: number, b: number) => a >= b || a !== a, ([a, b]) => `(${a} >= ${b} || ${a} !== ${a})`),
        f(`bt${name}cmp${types}`, compareFloat),
      );
      if (left === '4' && right === '4') {
        out.push(
          f(`float4pl${types}`, (a: number, b: number) => toFloat4(a + b, a, b), ([a, b]) => `toFloat4(${a} + ${b}, ${a}, ${b})`),
          f(`float4mi${types}`, (a: number, b: number) => toFloat4(a - b, a, b), ([a, b]) => `toFloat4(${a} - ${b}, ${a}, ${b})`),
          f(`float4mul${types}`, (a: number, b: number) => float4Product(a, b)),
          f(`float4div${types}`, (a: number, b: number) => float4Quotient(a, b)),
        );
      } else {
        out.push(
          f(`${name}pl${types}`, addFloat, ([a, b]) => `addFloat(${a}, ${b})`),
          f(`${name}mi${types}`, subFloat, ([a, b]) => `subFloat(${a}, ${b})`),
          f(`${name}mul${types}`, mulFloat, ([a, b]) => `mulFloat(${a}, ${b})`),
          f(`${name}div${types}`, divFloat, ([a, b]) => `divFloat(${a}, ${b})`),
        );
      }
    }
  }
  return out;
}

function underflow(): never {
  throw new DatabaseError('22003', 'value out of range: underflow');
}
function overflow(): never {
  throw new DatabaseError('22003', 'value out of range: overflow');
}

function float4Product(a: number, b: number): number {
  const product = toFloat4(a * b, a, b);
  return product === 0 && a !== 0 && b !== 0 ? underflow() : product;
}

function float4Quotient(a: number, b: number): number {
  if (b === 0 && a === a) return divisionByZero();
  const quotient = toFloat4(a / b, a, 0);
  return quotient === 0 && a !== 0 && Number.isFinite(b) ? underflow() : quotient;
}

/** A math library function: infinite from finite is overflow. */
function checked(result: number, argument: number): number {
  return !Number.isFinite(result) && result === result && Number.isFinite(argument) ? overflow() : result;
}

const inputOutOfRange = (): never => {
  throw new DatabaseError('22003', 'input is out of range');
};

function squareRoot(a: number): number {
  if (a < 0) throw new DatabaseError('2201F', 'cannot take square root of a negative number');
  return Math.sqrt(a);
}

function power(a: number, b: number): number {
  if (a !== a) return b === 0 ? 1 : NaN;
  if (b !== b) return a === 1 ? 1 : NaN;
  if (a === 0 && b < 0) throw new DatabaseError('2201F', 'zero raised to a negative power is undefined');
  if (a < 0 && Math.floor(b) !== b) throw new DatabaseError('2201F', 'a negative number raised to a non-integer power yields a complex result');
  if (b === Infinity || b === -Infinity) {
    const magnitude = Math.abs(a);
    if (magnitude === 1) return 1;
    return magnitude > 1 === b > 0 ? Infinity : 0;
  }
  const result = a ** b;
  if (Number.isFinite(a)) {
    if (!Number.isFinite(result)) return overflow();
    if (result === 0 && a !== 0) return underflow();
  }
  return result;
}

function exponential(a: number): number {
  if (a !== a) return a;
  if (!Number.isFinite(a)) return a > 0 ? a : 0;
  const result = Math.exp(a);
  if (result === Infinity) return overflow();
  return result === 0 ? underflow() : result;
}

function logarithm(fn: (a: number) => number): (a: number) => number {
  return (a) => {
    if (a === 0) throw new DatabaseError('2201E', 'cannot take logarithm of zero');
    if (a < 0) throw new DatabaseError('2201E', 'cannot take logarithm of a negative number');
    return fn(a);
  };
}

function inverseDomain(fn: (a: number) => number, low: number, high: number): (a: number) => number {
  return (a) => {
    if (a !== a) return a;
    if (a < low || a > high) return inputOutOfRange();
    return fn(a);
  };
}

function trigonometric(fn: (a: number) => number): (a: number) => number {
  return (a) => {
    if (a !== a) return a;
    if (!Number.isFinite(a)) return inputOutOfRange();
    return checked(fn(a), a);
  };
}

// ---- degrees: exact at multiples of 30 and 45, as float.c takes care to be ----------------------

const RADIANS = 0.0174532925199432957692;
const sin30 = Math.sin(30 * RADIANS);
const oneMinusCos60 = 1 - Math.cos(60 * RADIANS);
const asin05 = Math.asin(0.5);
const acos05 = Math.acos(0.5);
const tan45 = sindQ1(45) / cosdQ1(45);
const cot45 = cosdQ1(45) / sindQ1(45);
const atan1 = Math.atan(1);

function sind0to30(x: number): number {
  return Math.sin(x * RADIANS) / sin30 / 2;
}
function cosd0to60(x: number): number {
  return 1 - ((1 - Math.cos(x * RADIANS)) / oneMinusCos60) / 2;
}
function sindQ1(x: number): number {
  return x <= 30 ? sind0to30(x) : cosd0to60(90 - x);
}
function cosdQ1(x: number): number {
  return x <= 60 ? cosd0to60(x) : sind0to30(90 - x);
}

function degreeArgument(a: number): number {
  if (!Number.isFinite(a) && a === a) inputOutOfRange();
  return a % 360;
}

function sind(a: number): number {
  if (a !== a) return a;
  let x = degreeArgument(a);
  let sign = 1;
  if (x < 0) {
    x = -x;
    sign = -sign;
  }
  if (x > 180) {
    x = 360 - x;
    sign = -sign;
  }
  if (x > 90) x = 180 - x;
  return sign * sindQ1(x);
}

function cosd(a: number): number {
  if (a !== a) return a;
  let x = Math.abs(degreeArgument(a));
  let sign = 1;
  if (x > 180) x = 360 - x;
  if (x > 90) {
    x = 180 - x;
    sign = -sign;
  }
  return sign * cosdQ1(x);
}

function tanCotd(a: number, cotangent: boolean): number {
  if (a !== a) return a;
  let x = degreeArgument(a);
  let sign = 1;
  if (x < 0) {
    x = -x;
    sign = -sign;
  }
  if (x > 180) {
    x = 360 - x;
    sign = -sign;
  }
  if (x > 90) {
    x = 180 - x;
    sign = -sign;
  }
  const ratio = cotangent ? cosdQ1(x) / sindQ1(x) : sindQ1(x) / cosdQ1(x);
  const result = sign * (ratio / (cotangent ? cot45 : tan45));
  return result === 0 ? 0 : result;
}

const asindQ1 = (x: number): number => (x <= 0.5 ? (Math.asin(x) / asin05) * 30 : 90 - (Math.acos(x) / acos05) * 60);
const acosdQ1 = (x: number): number => (x <= 0.5 ? 90 - (Math.asin(x) / asin05) * 30 : (Math.acos(x) / acos05) * 60);

/** erf by W. J. Cody's rational approximations, to double precision. */
function erfcore(x: number, complement: boolean): number {
  const y = Math.abs(x);
  if (y <= 0.46875) {
    const a = [3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3, 1.85777706184603153e-1];
    const b = [2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3];
    const z = y > 1.11e-16 ? y * y : 0;
    let top = a[4]! * z;
    let bottom = z;
    for (let i = 0; i < 3; i++) {
      top = (top + a[i]!) * z;
      bottom = (bottom + b[i]!) * z;
    }
    const result = (x * (top + a[3]!)) / (bottom + b[3]!);
    return complement ? 1 - result : result;
  }
  let result: number;
  if (y <= 4) {
    const c = [5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3, 2.15311535474403846e-8];
    const d = [1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3];
    let top = c[8]! * y;
    let bottom = y;
    for (let i = 0; i < 7; i++) {
      top = (top + c[i]!) * y;
      bottom = (bottom + d[i]!) * y;
    }
    result = (top + c[7]!) / (bottom + d[7]!);
  } else {
    const p = [3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4, 1.63153871373020978e-2];
    const q = [2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3];
    if (y >= 26.543) return complement ? (x > 0 ? 0 : 2) : Math.sign(x);
    const z = 1 / (y * y);
    let top = p[5]! * z;
    let bottom = z;
    for (let i = 0; i < 4; i++) {
      top = (top + p[i]!) * z;
      bottom = (bottom + q[i]!) * z;
    }
    result = (z * (top + p[4]!)) / (bottom + q[4]!);
    result = (5.6418958354775628695e-1 - result) / y;
  }
  const cut = Math.trunc(y * 16) / 16;
  result *= Math.exp(-cut * cut) * Math.exp(-(y - cut) * (y + cut));
  if (complement) return x < 0 ? 2 - result : result;
  return x < 0 ? result - 1 : 1 - result;
}

function widthBucket(operand: number, low: number, high: number, count: number): number {
  if (count <= 0) throw new DatabaseError('2201G', 'count must be greater than zero');
  if (operand !== operand || low !== low || high !== high) throw new DatabaseError('2201G', 'operand, lower bound, and upper bound cannot be NaN');
  if (!Number.isFinite(low) || !Number.isFinite(high)) throw new DatabaseError('2201G', 'lower and upper bounds must be finite');
  if (low === high) throw new DatabaseError('2201G', 'lower bound cannot equal upper bound');
  const beyond = (): number => {
    if (count + 1 > 2147483647) throw new DatabaseError('22003', 'integer out of range');
    return count + 1;
  };
  if (low < high) {
    if (operand < low) return 0;
    if (operand >= high) return beyond();
    const range = high - low;
    const at = Number.isFinite(range) ? count * ((operand - low) / range) : count * ((operand / 2 - low / 2) / (high / 2 - low / 2));
    return Math.min(Math.trunc(at), count - 1) + 1;
  }
  if (operand > low) return 0;
  if (operand <= high) return beyond();
  const range = low - high;
  const at = Number.isFinite(range) ? count * ((low - operand) / range) : count * ((low / 2 - operand / 2) / (low / 2 - high / 2));
  return Math.min(Math.trunc(at), count - 1) + 1;
}

function inRange(value: number, base: number, offset: number, subtract: boolean, less: boolean): boolean {
  if (offset !== offset || offset < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
  if (value !== value) return base !== base ? true : !less;
  if (base !== base) return less;
  if (offset === Infinity && base === (subtract ? Infinity : -Infinity)) return true;
  const bound = subtract ? base - offset : base + offset;
  return less ? value <= bound : value >= bound;
}

function unary(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const size of SIZES) {
    const t = `float${size}`;
    out.push(
      f(`${t}um(${t})`, (a: number) => -a, ([a]) => `(-${a})`),
      f(`${t}up(${t})`, (a: number) => a),
      f([`${t}abs(${t})`, `abs(${t})`], (a: number) => Math.abs(a), ([a]) => `Math.abs(${a})`),
      f(`${t}larger(${t},${t})`, (a: number, b: number) => (compareFloat(a, b) > 0 ? a : b)),
      f(`${t}smaller(${t},${t})`, (a: number, b: number) => (compareFloat(a, b) < 0 ? a : b)),
    );
  }
  return out;
}

/** Marsaglia's polar method, as PostgreSQL's pg_prng_double_normal draws. */
function randomNormal(mean: number, deviation: number, context: EvalContext): number {
  const u1 = 1 - uniform(context);
  const u2 = uniform(context);
  return mean + deviation * Math.sqrt(-2 * Math.log(u1)) * Math.sin(2 * Math.PI * u2);
}

interface Generator {
  seed: number | undefined;
}

/** random(): the runtime's source, or the session's own sequence after setseed(). */
export function uniform(context: EvalContext): number {
  const generator = context.session.state<Generator>('random', () => ({ seed: undefined }));
  if (generator.seed === undefined) return context.runtime.random.uniform();
  // mulberry32, twice for 53 bits
  const next = (): number => {
    generator.seed = (generator.seed! + 0x6d2b79f5) | 0;
    let t = Math.imul(generator.seed ^ (generator.seed >>> 15), 1 | generator.seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  return (next() * 0x200000 + (next() >>> 11)) / 2 ** 53;
}

function setSeed(seed: number, context: EvalContext): string {
  if (!(seed >= -1 && seed <= 1)) throw new DatabaseError('22023', `setseed parameter ${seed} is out of allowed range [-1,1]`);
  context.session.state<Generator>('random', () => ({ seed: undefined })).seed = Math.floor(seed * 2147483647) | 0;
  return '';
}

const mathFunctions: readonly SqlFunction[] = [
  f(['ceil(float8)', 'ceiling(float8)'], Math.ceil),
  f('floor(float8)', Math.floor),
  f(['round(float8)', 'dround(float8)'], rint),
  f(['trunc(float8)', 'dtrunc(float8)'], Math.trunc),
  f('sign(float8)', (a: number) => (a > 0 ? 1 : a < 0 ? -1 : a !== a ? a : 0)),
  f(['sqrt(float8)', 'dsqrt(float8)'], squareRoot),
  f(['cbrt(float8)', 'dcbrt(float8)'], Math.cbrt),
  f(['power(float8,float8)', 'pow(float8,float8)', 'dpow(float8,float8)'], power),
  f(['exp(float8)', 'dexp(float8)'], exponential),
  f(['ln(float8)', 'dlog1(float8)'], logarithm(Math.log)),
  f(['log(float8)', 'log10(float8)', 'dlog10(float8)'], logarithm(Math.log10)),
  f('acos(float8)', inverseDomain(Math.acos, -1, 1)),
  f('asin(float8)', inverseDomain(Math.asin, -1, 1)),
  f('atan(float8)', Math.atan),
  f('atan2(float8,float8)', Math.atan2),
  f('cos(float8)', trigonometric(Math.cos)),
  f('sin(float8)', trigonometric(Math.sin)),
  f('tan(float8)', trigonometric(Math.tan)),
  f('cot(float8)', (a: number) => {
    if (a !== a) return a;
    return Number.isFinite(a) ? 1 / Math.tan(a) : inputOutOfRange();
  }),
  f('sinh(float8)', Math.sinh),
  f('cosh(float8)', Math.cosh),
  f('tanh(float8)', Math.tanh),
  f('asinh(float8)', Math.asinh),
  f('acosh(float8)', inverseDomain(Math.acosh, 1, Infinity)),
  f('atanh(float8)', inverseDomain(Math.atanh, -1, 1)),
  f('sind(float8)', sind),
  f('cosd(float8)', cosd),
  f('tand(float8)', (a: number) => tanCotd(a, false)),
  f('cotd(float8)', (a: number) => tanCotd(a, true)),
  f('asind(float8)', inverseDomain((a) => (a >= 0 ? asindQ1(a) : -asindQ1(-a)), -1, 1)),
  f('acosd(float8)', inverseDomain((a) => (a >= 0 ? acosdQ1(a) : 90 + asindQ1(-a)), -1, 1)),
  f('atand(float8)', (a: number) => (Math.atan(a) / atan1) * 45),
  f('atan2d(float8,float8)', (a: number, b: number) => (Math.atan2(a, b) / atan1) * 45),
  f('degrees(float8)', (a: number) => checked(a / RADIANS, a)),
  f('radians(float8)', (a: number) => a * RADIANS),
  f('pi()', () => Math.PI),
  f('erf(float8)', (a: number) => erfcore(a, false)),
  f('erfc(float8)', (a: number) => erfcore(a, true)),
  f('width_bucket(float8,float8,float8,int4)', widthBucket),
  f(['in_range(float8,float8,float8,bool,bool)', 'in_range(float4,float4,float8,bool,bool)'], inRange),
  fc('random()', uniform),
  fc('random_normal(float8,float8)', randomNormal),
  fc('setseed(float8)', setSeed),
];

export const floatFunctions: readonly SqlFunction[] = [...comparisonFunctions(), ...unary(), ...mathFunctions];

/**
 * Exact decimal numbers as PostgreSQL's numeric: a coefficient, a display scale, NaN and the
 * infinities.
 *
 *     value = coefficient * 10^-scale
 *
 * The coefficient is a JS number while it is a safe integer and a bigint beyond (canonical: never a
 * bigint where a number would do, never -0), so that everyday sums cost no allocation besides the
 * result. Scales, rounding (half away from zero) and limits are PostgreSQL's; where its rules talk
 * about base-10000 digits (`weight`), they are derived from the decimal digits.
 */
import { DatabaseError } from '../../engine/errors.js';

export type Coefficient = number | bigint;
type Kind = 'finite' | 'NaN' | 'Infinity' | '-Infinity';

/** Most digits behind the point that a value can carry, and that a result is given by itself. */
export const NUMERIC_MAX_SCALE = 16383;
export const NUMERIC_MAX_DISPLAY_SCALE = 1000;
export const NUMERIC_MIN_SIG_DIGITS = 16;
/** Digits before the point: (0x7FFF + 1) groups of four. */
export const NUMERIC_MAX_INTEGER_DIGITS = 131072;

const SAFE = Number.MAX_SAFE_INTEGER;
const POWERS: number[] = [];
for (let i = 0; i <= 15; i++) POWERS.push(10 ** i);
const BIG_POWERS: bigint[] = [1n];

/** 10^exponent as a bigint, cached for what is usual. */
export function bigPowerOfTen(exponent: number): bigint {
  if (exponent > 400) return 10n ** BigInt(exponent);
  for (let i = BIG_POWERS.length; i <= exponent; i++) BIG_POWERS.push(BIG_POWERS[i - 1]! * 10n);
  return BIG_POWERS[exponent]!;
}

/** Canonical form of an exact integer. */
export function coefficient(value: bigint): Coefficient {
  return value <= 9007199254740991n && value >= -9007199254740991n ? Number(value) : value;
}

/** Decimal digits of a safe integer's magnitude, 1 for 0. */
function digitCount(magnitude: number): number {
  let count = 1;
  while (count <= 15 && magnitude >= POWERS[count]!) count++;
  return count;
}

function digitsOf(c: Coefficient): string {
  const text = c.toString();
  return text.charCodeAt(0) === 45 ? text.slice(1) : text;
}

function scaleUp(c: Coefficient, by: number): Coefficient {
  if (by === 0 || c === 0) return c;
  if (typeof c === 'number' && by <= 15) {
    const product = c * POWERS[by]!;
    if (product <= SAFE && product >= -SAFE) return product;
  }
  return coefficient(BigInt(c) * bigPowerOfTen(by));
}

/** c / 10^by, rounded half away from zero. */
function scaleDown(c: Coefficient, by: number): Coefficient {
  if (by === 0 || c === 0) return c;
  if (typeof c === 'number') {
    if (by > 15) return by === 16 && Math.abs(c) >= 5e15 ? (c < 0 ? -1 : 1) : 0;
    const power = POWERS[by]!;
    const rest = c % power;
    const quotient = (c - rest) / power;
    if (Math.abs(rest) * 2 >= power) return c < 0 ? quotient - 1 : quotient + 1;
    return quotient === 0 ? 0 : quotient;
  }
  return coefficient(divideRounded(c, bigPowerOfTen(by)));
}

/** Truncated instead of rounded. */
function scaleDownTruncating(c: Coefficient, by: number): Coefficient {
  if (by === 0 || c === 0) return c;
  if (typeof c === 'number') {
    if (by > 15) return 0;
    const quotient = (c - (c % POWERS[by]!)) / POWERS[by]!;
    return quotient === 0 ? 0 : quotient;
  }
  return coefficient(c / bigPowerOfTen(by));
}

/** a / b rounded half away from zero. */
export function divideRounded(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  const rest = a - quotient * b;
  const twice = (rest < 0n ? -rest : rest) * 2n;
  if (twice < (b < 0n ? -b : b)) return quotient;
  return (a < 0n) === (b < 0n) ? quotient + 1n : quotient - 1n;
}

export function numericOverflow(): DatabaseError {
  return new DatabaseError('22003', 'value overflows numeric format');
}

export class Numeric {
  private constructor(
    readonly kind: Kind,
    readonly coefficient: Coefficient,
    readonly scale: number,
  ) {}

  static readonly NaN = new Numeric('NaN', 0, 0);
  static readonly Infinity = new Numeric('Infinity', 0, 0);
  static readonly NegativeInfinity = new Numeric('-Infinity', 0, 0);
  static readonly zero = new Numeric('finite', 0, 0);
  static readonly one = new Numeric('finite', 1, 0);

  /** From a canonical coefficient (a safe integer or a bigint beyond). */
  static of(c: Coefficient, scale: number): Numeric {
    return new Numeric('finite', c, scale);
  }

  /** Like `of`, with the checks a computed result needs: size, and at most 16,383 digits behind the point. */
  static result(c: Coefficient, scale: number): Numeric {
    if (scale > NUMERIC_MAX_SCALE) {
      c = scaleDown(c, scale - NUMERIC_MAX_SCALE);
      scale = NUMERIC_MAX_SCALE;
    }
    // A bigint of fewer than 2^(131072 * 3.32) is certainly in range; only giants are measured.
    if (typeof c === 'bigint' && (c > OVERFLOW_GUARD || c < NEGATIVE_GUARD) && digitsOf(c).length - scale > NUMERIC_MAX_INTEGER_DIGITS) throw numericOverflow();
    return new Numeric('finite', c, scale);
  }

  static fromInteger(value: number | bigint): Numeric {
    return new Numeric('finite', typeof value === 'bigint' ? coefficient(value) : value === 0 ? 0 : value, 0);
  }

  static fromBig(value: bigint, scale: number): Numeric {
    return Numeric.result(coefficient(value), scale);
  }

  /** As casts from float8 (15 digits) and float4 (6 digits) do. */
  static fromFloat(value: number, significantDigits: number): Numeric {
    if (value !== value) return Numeric.NaN;
    if (value === Infinity) return Numeric.Infinity;
    if (value === -Infinity) return Numeric.NegativeInfinity;
    if (value === 0) return Numeric.zero;
    const [mantissa, exponent] = value.toExponential(significantDigits - 1).split('e') as [string, string];
    let [whole, fraction = ''] = mantissa.split('.') as [string, string?];
    fraction = fraction.replace(/0+$/, '');
    const scale = fraction.length - Number(exponent);
    const c = coefficient(BigInt(whole + fraction));
    return scale >= 0 ? Numeric.result(c, scale) : Numeric.result(scaleUp(c, -scale), 0);
  }

  /** Strict parse of digits with point and exponent, or undefined; special values and spaces are the type's business. */
  static parse(text: string): Numeric | undefined {
    const match = /^([+-]?)(\d+(?:_\d+)*)?(?:\.(\d+(?:_\d+)*)?)?(?:[eE]([+-]?\d+(?:_\d+)*))?$/.exec(text);
    if (!match || (match[2] === undefined && match[3] === undefined)) return undefined;
    let digits = (match[2] ?? '') + (match[3] ?? '');
    let scale = (match[3] ?? '').length;
    if (digits.includes('_')) {
      scale = (match[3] ?? '').replaceAll('_', '').length;
      digits = digits.replaceAll('_', '');
    }
    if (match[4] !== undefined) {
      const exponent = Number(match[4].replaceAll('_', ''));
      if (Math.abs(exponent) > 1073741823) throw numericOverflow();
      scale -= exponent;
    }
    if (digits.length <= 15 && scale >= 0 && scale <= NUMERIC_MAX_SCALE) {
      const magnitude = Number(digits);
      return new Numeric('finite', magnitude === 0 ? 0 : match[1] === '-' ? -magnitude : magnitude, scale);
    }
    const stripped = digits.replace(/^0+/, '');
    if (stripped === '') return new Numeric('finite', 0, Math.min(Math.max(scale, 0), NUMERIC_MAX_SCALE));
    if (stripped.length - scale > NUMERIC_MAX_INTEGER_DIGITS) throw numericOverflow();
    let magnitude: bigint;
    if (scale < 0) {
      magnitude = BigInt(stripped) * bigPowerOfTen(-scale);
      scale = 0;
    } else if (scale > NUMERIC_MAX_SCALE) {
      const drop = scale - NUMERIC_MAX_SCALE;
      magnitude = drop > stripped.length ? 0n : divideRounded(BigInt(stripped), bigPowerOfTen(drop));
      scale = NUMERIC_MAX_SCALE;
    } else magnitude = BigInt(stripped);
    return Numeric.result(coefficient(match[1] === '-' ? -magnitude : magnitude), scale);
  }

  get isFinite(): boolean {
    return this.kind === 'finite';
  }
  get isNaN(): boolean {
    return this.kind === 'NaN';
  }
  get isZero(): boolean {
    return this.kind === 'finite' && this.coefficient === 0;
  }
  /** -1, 0 or 1; 0 for NaN. */
  get sign(): number {
    if (this.kind === 'finite') return this.coefficient < 0 ? -1 : this.coefficient > 0 ? 1 : 0;
    return this.kind === 'Infinity' ? 1 : this.kind === '-Infinity' ? -1 : 0;
  }

  toString(): string {
    if (this.kind !== 'finite') return this.kind;
    const { scale } = this;
    if (scale === 0) return this.coefficient.toString();
    const negative = this.coefficient < 0;
    let digits = digitsOf(this.coefficient);
    if (digits.length <= scale) digits = digits.padStart(scale + 1, '0');
    const point = digits.length - scale;
    return (negative ? '-' : '') + digits.slice(0, point) + '.' + digits.slice(point);
  }

  toNumber(): number {
    switch (this.kind) {
      case 'NaN': return NaN;
      case 'Infinity': return Infinity;
      case '-Infinity': return -Infinity;
      case 'finite':
        if (this.scale === 0) return Number(this.coefficient);
        // Both operands exact: one correctly rounded division.
        if (typeof this.coefficient === 'number' && this.scale <= 22) return this.coefficient / 10 ** this.scale;
        return Number(this.toString());
    }
  }

  /** Decimal digits of the absolute coefficient, '0' for zero. */
  get digits(): string {
    return digitsOf(this.coefficient);
  }

  /** Exponent of the first significant decimal digit (0 for zero): 123.4 -> 2, 0.01 -> -2. */
  get decimalExponent(): number {
    const c = this.coefficient;
    if (c === 0) return 0;
    return (typeof c === 'number' ? digitCount(Math.abs(c)) : digitsOf(c).length) - this.scale - 1;
  }

  /** Index of the first base-10000 digit. */
  get weight(): number {
    return Math.floor(this.decimalExponent / 4);
  }

  /** The base-10000 digit at `position` (0 the first significant one). */
  baseDigit(position: number): number {
    const digits = digitsOf(this.coefficient);
    const exponent = this.decimalExponent;
    const firstLength = exponent - Math.floor(exponent / 4) * 4 + 1;
    const start = position === 0 ? 0 : firstLength + (position - 1) * 4;
    const length = position === 0 ? firstLength : 4;
    return Number(digits.slice(start, start + length).padEnd(length, '0'));
  }

  private firstBaseDigit(): number {
    const c = this.coefficient;
    if (typeof c !== 'number') return this.baseDigit(0);
    const magnitude = Math.abs(c);
    const count = digitCount(magnitude);
    const exponent = count - this.scale - 1;
    const length = exponent - Math.floor(exponent / 4) * 4 + 1;
    return count > length ? Math.floor(magnitude / 10 ** (count - length)) : magnitude * 10 ** (length - count);
  }

  negate(): Numeric {
    if (this.kind === 'finite') return this.coefficient === 0 ? this : new Numeric('finite', -this.coefficient, this.scale);
    return this.kind === 'NaN' ? this : this.kind === 'Infinity' ? Numeric.NegativeInfinity : Numeric.Infinity;
  }

  abs(): Numeric {
    return this.sign < 0 ? this.negate() : this;
  }

  add(other: Numeric): Numeric {
    if (this.kind !== 'finite' || other.kind !== 'finite') return addSpecial(this, other);
    const a = this.coefficient;
    const b = other.coefficient;
    if (this.scale === other.scale) {
      if (typeof a === 'number' && typeof b === 'number') {
        const sum = a + b;
        if (sum <= SAFE && sum >= -SAFE) return new Numeric('finite', sum, this.scale);
      }
      return Numeric.result(coefficient(BigInt(a) + BigInt(b)), this.scale);
    }
    const scale = this.scale > other.scale ? this.scale : other.scale;
    const x = scaleUp(a, scale - this.scale);
    const y = scaleUp(b, scale - other.scale);
    if (typeof x === 'number' && typeof y === 'number') {
      const sum = x + y;
      if (sum <= SAFE && sum >= -SAFE) return new Numeric('finite', sum, scale);
    }
    return Numeric.result(coefficient(BigInt(x) + BigInt(y)), scale);
  }

  subtract(other: Numeric): Numeric {
    if (this.kind === 'finite' && other.kind === 'finite' && this.scale === other.scale
      && typeof this.coefficient === 'number' && typeof other.coefficient === 'number') {
      const difference = this.coefficient - other.coefficient;
      if (difference <= SAFE && difference >= -SAFE) return new Numeric('finite', difference, this.scale);
    }
    return this.add(other.negate());
  }

  multiply(other: Numeric): Numeric {
    if (this.kind !== 'finite' || other.kind !== 'finite') return multiplySpecial(this, other);
    const a = this.coefficient;
    const b = other.coefficient;
    const scale = this.scale + other.scale;
    if (typeof a === 'number' && typeof b === 'number') {
      const product = a * b;
      if (product <= SAFE && product >= -SAFE && scale <= NUMERIC_MAX_SCALE) return new Numeric('finite', product === 0 ? 0 : product, scale);
    }
    return Numeric.result(coefficient(BigInt(a) * BigInt(b)), scale);
  }

  /** The scale PostgreSQL gives to this / divisor: at least 16 significant digits and neither operand's scale lost. */
  divisionScale(divisor: Numeric): number {
    let quotientWeight = this.weight - divisor.weight;
    const first = this.coefficient === 0 ? 0 : this.firstBaseDigit();
    if (first <= divisor.firstBaseDigit()) quotientWeight--;
    const scale = Math.max(NUMERIC_MIN_SIG_DIGITS - quotientWeight * 4, this.scale, divisor.scale, 0);
    return Math.min(scale, NUMERIC_MAX_DISPLAY_SCALE);
  }

  divide(divisor: Numeric): Numeric {
    if (this.kind !== 'finite' || divisor.kind !== 'finite') return divideSpecial(this, divisor);
    if (divisor.coefficient === 0) throw divisionByZero();
    return this.divideToScale(divisor, this.divisionScale(divisor));
  }

  /** Both finite, divisor not zero; rounded half away from zero. */
  divideToScale(divisor: Numeric, scale: number): Numeric {
    if (this.coefficient === 0) return new Numeric('finite', 0, scale);
    const shift = scale + divisor.scale - this.scale;
    let numerator = BigInt(this.coefficient);
    let denominator = BigInt(divisor.coefficient);
    if (shift >= 0) numerator *= bigPowerOfTen(shift);
    else denominator *= bigPowerOfTen(-shift);
    return Numeric.result(coefficient(divideRounded(numerator, denominator)), scale);
  }

  /** div(): the integer part of the quotient. */
  divideTruncating(divisor: Numeric): Numeric {
    if (this.kind !== 'finite' || divisor.kind !== 'finite') return divideTruncSpecial(this, divisor);
    if (divisor.coefficient === 0) throw divisionByZero();
    const shift = divisor.scale - this.scale;
    let numerator = BigInt(this.coefficient);
    let denominator = BigInt(divisor.coefficient);
    if (shift >= 0) numerator *= bigPowerOfTen(shift);
    else denominator *= bigPowerOfTen(-shift);
    return Numeric.result(coefficient(numerator / denominator), 0);
  }

  /** Remainder with the dividend's sign. */
  mod(divisor: Numeric): Numeric {
    if (this.kind === 'NaN' || divisor.kind === 'NaN') return Numeric.NaN;
    if (this.kind !== 'finite') {
      if (divisor.isZero) throw divisionByZero();
      return Numeric.NaN;
    }
    if (divisor.kind !== 'finite') return this;
    if (divisor.coefficient === 0) throw divisionByZero();
    const scale = Math.max(this.scale, divisor.scale);
    const a = scaleUp(this.coefficient, scale - this.scale);
    const b = scaleUp(divisor.coefficient, scale - divisor.scale);
    if (typeof a === 'number' && typeof b === 'number') {
      const rest = a % b;
      return new Numeric('finite', rest === 0 ? 0 : rest, scale);
    }
    return new Numeric('finite', coefficient(BigInt(a) % BigInt(b)), scale);
  }

  /** Rounded half away from zero to `scale` digits behind the point; negative scales round before it. */
  round(scale: number): Numeric {
    if (this.kind !== 'finite' || scale === this.scale) return this;
    if (scale > this.scale) return Numeric.result(scaleUp(this.coefficient, scale - this.scale), scale);
    if (scale >= 0) return Numeric.result(scaleDown(this.coefficient, this.scale - scale), scale);
    return Numeric.result(scaleUp(scaleDown(this.coefficient, this.scale - scale), -scale), 0);
  }

  truncate(scale: number): Numeric {
    if (this.kind !== 'finite' || scale === this.scale) return this;
    if (scale > this.scale) return Numeric.result(scaleUp(this.coefficient, scale - this.scale), scale);
    if (scale >= 0) return new Numeric('finite', scaleDownTruncating(this.coefficient, this.scale - scale), scale);
    return new Numeric('finite', scaleUp(scaleDownTruncating(this.coefficient, this.scale - scale), -scale), 0);
  }

  floor(): Numeric {
    if (this.kind !== 'finite') return this;
    const whole = this.truncate(0);
    return this.coefficient < 0 && compareNumeric(whole, this) !== 0 ? whole.subtract(Numeric.one) : whole;
  }

  ceil(): Numeric {
    if (this.kind !== 'finite') return this;
    const whole = this.truncate(0);
    return this.coefficient > 0 && compareNumeric(whole, this) !== 0 ? whole.add(Numeric.one) : whole;
  }

  /** Same value with the least scale. */
  trimScale(): Numeric {
    if (this.kind !== 'finite' || this.scale === 0) return this;
    return this.truncate(this.minScale());
  }

  /** Digits behind the point that are needed. */
  minScale(): number {
    if (this.coefficient === 0) return 0;
    const digits = digitsOf(this.coefficient);
    let scale = this.scale;
    for (let i = digits.length - 1; scale > 0 && digits.charCodeAt(i) === 48; i--) scale--;
    return scale;
  }

  /** The integer nearest to the value (half away from zero); only for finite values. */
  toBigInt(): bigint {
    return BigInt(scaleDown(this.coefficient, this.scale));
  }

  toInteger(): Coefficient {
    return scaleDown(this.coefficient, this.scale);
  }

  /** The value as an exact integer at `scale` digits behind the point, `scale` at least the value's own. */
  scaledTo(scale: number): bigint {
    return BigInt(scaleUp(this.coefficient, scale - this.scale));
  }
}

const OVERFLOW_GUARD = 1n << 400000n;
const NEGATIVE_GUARD = -OVERFLOW_GUARD;

export function divisionByZero(): DatabaseError {
  return new DatabaseError('22012', 'division by zero');
}

/** Btree order: -Infinity, finite by value, Infinity, NaN. */
export function compareNumeric(a: Numeric, b: Numeric): number {
  if (a.kind !== 'finite' || b.kind !== 'finite') return rank(a) - rank(b);
  if (a.scale === b.scale) return a.coefficient < b.coefficient ? -1 : a.coefficient > b.coefficient ? 1 : 0;
  const scale = Math.max(a.scale, b.scale);
  const x = scaleUp(a.coefficient, scale - a.scale);
  const y = scaleUp(b.coefficient, scale - b.scale);
  return x < y ? -1 : x > y ? 1 : 0;
}

function rank(a: Numeric): number {
  return a.kind === 'finite' ? 0 : a.kind === 'NaN' ? 2 : a.kind === 'Infinity' ? 1 : -1;
}

function addSpecial(a: Numeric, b: Numeric): Numeric {
  if (a.isNaN || b.isNaN) return Numeric.NaN;
  if (a.isFinite) return b;
  if (b.isFinite || a.kind === b.kind) return a;
  return Numeric.NaN;
}

function multiplySpecial(a: Numeric, b: Numeric): Numeric {
  const sign = a.sign * b.sign;
  if (a.isNaN || b.isNaN || sign === 0) return Numeric.NaN;
  return sign > 0 ? Numeric.Infinity : Numeric.NegativeInfinity;
}

function divideSpecial(a: Numeric, b: Numeric): Numeric {
  if (a.isNaN || b.isNaN) return Numeric.NaN;
  if (!a.isFinite) {
    if (!b.isFinite) return Numeric.NaN;
    if (b.isZero) throw divisionByZero();
    return a.sign * b.sign > 0 ? Numeric.Infinity : Numeric.NegativeInfinity;
  }
  return Numeric.zero; // finite / infinite
}

function divideTruncSpecial(a: Numeric, b: Numeric): Numeric {
  return divideSpecial(a, b);
}

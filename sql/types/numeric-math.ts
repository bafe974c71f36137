/**
 * sqrt, exp, ln, log and power over Numeric, with the result scales PostgreSQL chooses (numeric.c).
 * Everything is computed in fixed-point bigints with guard digits and rounded once at the end.
 */
import { DatabaseError } from '../../engine/errors.js';
import { Numeric, NUMERIC_MAX_DISPLAY_SCALE, NUMERIC_MIN_SIG_DIGITS, bigPowerOfTen, coefficient, compareNumeric, divideRounded, divisionByZero, numericOverflow } from './numeric.js';

/** Beyond e^(3 * this) results overflow or are nothing. */
const MAX_RESULT_SCALE = 2000;
const LOG10_E = 0.434294481903252;

function clampScale(scale: number, ...atLeast: number[]): number {
  return Math.min(Math.max(scale, 0, ...atLeast), NUMERIC_MAX_DISPLAY_SCALE);
}

/** Floor of the square root. */
export function integerSqrt(n: bigint): bigint {
  if (n < 2n) return n;
  let x = n < 1n << 1000n ? BigInt(Math.floor(Math.sqrt(Number(n)))) : 1n << BigInt((n.toString(16).length * 4) / 2 + 1);
  if (x === 0n) x = 1n;
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y === x || y === x + 1n || y === x - 1n) {
      x = y;
      while (x * x > n) x--;
      while ((x + 1n) * (x + 1n) <= n) x++;
      return x;
    }
    x = y;
  }
}

export function sqrtNumeric(value: Numeric): Numeric {
  if (value.isNaN || value.kind === 'Infinity') return value;
  if (value.sign < 0) throw new DatabaseError('2201F', 'cannot take square root of a negative number');
  const sqrtWeight = value.weight * 2 + 1;
  return sqrtToScale(value, clampScale(NUMERIC_MIN_SIG_DIGITS - sqrtWeight, value.scale));
}

/** The square root of a finite value that is not negative, rounded to `scale`. */
export function sqrtToScale(value: Numeric, scale: number): Numeric {
  if (value.isZero) return Numeric.of(0, scale);
  // Two more digits than wanted; an exact half cannot come up unless the root is exact.
  const work = scale + 2;
  const shift = 2 * work - value.scale;
  const radicand = shift >= 0 ? BigInt(value.coefficient) * bigPowerOfTen(shift) : BigInt(value.coefficient) / bigPowerOfTen(-shift);
  return Numeric.fromBig(divideRounded(integerSqrt(radicand), 100n), scale);
}

/** `value` as an integer scaled by 10^digits, truncated when it has more. */
function fixed(value: Numeric, digits: number): bigint {
  return value.scale <= digits ? value.scaledTo(digits) : BigInt(value.coefficient) / bigPowerOfTen(value.scale - digits);
}

const lnTenCache: { digits: number; value: bigint } = { digits: -1, value: 0n };

/** 2 * atanh(num/den) * 10^digits. */
function twiceAtanh(num: bigint, den: bigint, one: bigint): bigint {
  let term = (num * one) / den;
  const squareNum = num * num;
  const squareDen = den * den;
  let sum = 0n;
  for (let k = 1n; term !== 0n; k += 2n) {
    sum += term / k;
    term = (term * squareNum) / squareDen;
  }
  return sum * 2n;
}

/** ln(10) * 10^digits. */
function lnTen(digits: number): bigint {
  if (lnTenCache.digits >= digits) return lnTenCache.value / bigPowerOfTen(lnTenCache.digits - digits);
  const one = bigPowerOfTen(digits + 10);
  // ln 10 = 3 ln 2 + ln(10/8); ln 2 = 2 atanh(1/3), ln(5/4) = 2 atanh(1/9)
  const value = (3n * twiceAtanh(1n, 3n, one) + twiceAtanh(1n, 9n, one)) / 10n ** 10n;
  lnTenCache.digits = digits;
  lnTenCache.value = value;
  return value;
}

/** ln(value) * 10^digits for value > 0. */
function lnFixed(value: Numeric, digits: number): bigint {
  const guard = digits + 15;
  const one = bigPowerOfTen(guard);
  const exponent = value.decimalExponent;
  // m = value / 10^exponent in [1, 10)
  const shift = guard - value.scale - exponent;
  const c = BigInt(value.coefficient);
  let m: bigint;
  if (shift >= 0) m = c * bigPowerOfTen(shift);
  else m = c / bigPowerOfTen(-shift);
  // Near 1 the exponent split would cancel: 0.9... = 9.9... / 10
  let tens = exponent;
  if (m > 3n * one) {
    tens += 1;
    m = shift >= 1 ? c * bigPowerOfTen(shift - 1) : c / bigPowerOfTen(1 - shift);
  }
  // Square roots bring m near 1, then atanh converges fast.
  let doublings = 0n;
  const near = one / 100n;
  const near1 = (d: bigint): boolean => (d < 0n ? -d : d) < near;
  while (!near1(m - one)) {
    m = integerSqrt(m * one);
    doublings++;
  }
  const ln = lnByAtanh(m, one) * (1n << doublings);
  const total = ln + (tens === 0 ? 0n : BigInt(tens) * lnTen(guard));
  return divideRounded(total, bigPowerOfTen(guard - digits));
}

function lnByAtanh(m: bigint, one: bigint): bigint {
  const z = ((m - one) * one) / (m + one);
  const square = (z * z) / one;
  let term = z;
  let sum = 0n;
  for (let k = 1n; term !== 0n && k < 100000n; k += 2n) {
    sum += term / k;
    term = (term * square) / one;
  }
  return sum * 2n;
}

/** e^(x / 10^digits) * 10^digits. */
function expFixed(x: bigint, digits: number): bigint {
  const magnitude = Number(x / bigPowerOfTen(Math.max(digits - 3, 0))) / (digits >= 3 ? 1000 : 10 ** digits);
  const halvings = Math.max(0, Math.ceil(Math.log2(Math.abs(magnitude) + 1)) + 8);
  const guard = digits + 12 + Math.ceil(halvings * 0.7) + Math.max(0, Math.ceil(magnitude * LOG10_E));
  const one = bigPowerOfTen(guard);
  let reduced = (x * bigPowerOfTen(guard - digits)) >> BigInt(halvings);
  let term = one;
  let sum = one;
  for (let k = 1n; term !== 0n; k++) {
    term = (term * reduced) / one / k;
    if (term === -1n) break; // division truncates: -1 would stay for ever
    sum += term;
  }
  for (let i = 0; i < halvings; i++) sum = (sum * sum) / one;
  reduced = sum;
  return divideRounded(reduced, bigPowerOfTen(guard - digits));
}

export function expNumeric(value: Numeric): Numeric {
  if (value.isNaN || value.kind === 'Infinity') return value;
  if (value.kind === '-Infinity') return Numeric.zero;
  const approximate = value.toNumber();
  const weight = Math.min(Math.max(approximate * LOG10_E, -MAX_RESULT_SCALE), MAX_RESULT_SCALE);
  const scale = clampScale(NUMERIC_MIN_SIG_DIGITS - Math.trunc(weight), value.scale);
  return expToScale(value, scale);
}

function expToScale(value: Numeric, scale: number): Numeric {
  const approximate = value.toNumber();
  if (Math.abs(approximate) >= MAX_RESULT_SCALE * 3) {
    if (approximate > 0) throw numericOverflow();
    return Numeric.of(0, scale);
  }
  const digits = Math.max(scale, value.scale) + 5 + Math.max(0, Math.ceil(approximate * LOG10_E));
  const result = expFixed(fixed(value, digits), digits);
  return Numeric.fromBig(divideRounded(result, bigPowerOfTen(digits - scale)), scale);
}

/** Decimal exponent of ln(value), estimated as PostgreSQL does: the result scale hangs on it. */
function estimateLnWeight(value: Numeric): number {
  if (value.sign <= 0) return 0;
  if (compareNumeric(value, Numeric.of(9, 1)) >= 0 && compareNumeric(value, Numeric.of(11, 1)) <= 0) {
    const x = value.subtract(Numeric.one);
    if (x.isZero) return 0;
    return x.weight * 4 + Math.trunc(Math.log10(x.baseDigit(0)));
  }
  let digits = value.baseDigit(0);
  let weight = value.weight * 4;
  const exponent = value.decimalExponent;
  const firstLength = exponent - Math.floor(exponent / 4) * 4 + 1;
  if (value.digits.replace(/0+$/, '').length > firstLength) {
    digits = digits * 10000 + value.baseDigit(1);
    weight -= 4;
  }
  return Math.trunc(Math.log10(Math.abs(Math.log(digits) + weight * 2.302585092994046)));
}

function checkLogarithm(value: Numeric): void {
  if (value.sign < 0) throw new DatabaseError('2201E', 'cannot take logarithm of a negative number');
  if (value.isZero) throw new DatabaseError('2201E', 'cannot take logarithm of zero');
}

export function lnNumeric(value: Numeric): Numeric {
  if (value.isNaN) return value;
  checkLogarithm(value);
  if (!value.isFinite) return value;
  const scale = clampScale(NUMERIC_MIN_SIG_DIGITS - estimateLnWeight(value), value.scale);
  return lnToScale(value, scale);
}

function lnToScale(value: Numeric, scale: number): Numeric {
  return Numeric.fromBig(divideRounded(lnFixed(value, scale + 5), bigPowerOfTen(5)), scale);
}

export function logNumeric(base: Numeric, value: Numeric): Numeric {
  if (base.isNaN || value.isNaN) return Numeric.NaN;
  checkLogarithm(base);
  checkLogarithm(value);
  if (!base.isFinite || !value.isFinite) {
    if (!base.isFinite && !value.isFinite) return Numeric.NaN;
    return base.isFinite ? Numeric.Infinity : Numeric.zero;
  }
  const weight = estimateLnWeight(value) - estimateLnWeight(base);
  const scale = clampScale(NUMERIC_MIN_SIG_DIGITS - weight, base.scale, value.scale);
  const digits = scale + 20 + Math.max(0, -estimateLnWeight(base)) + Math.max(0, -estimateLnWeight(value));
  const denominator = lnFixed(base, digits);
  if (denominator === 0n) throw divisionByZero();
  return Numeric.fromBig(divideRounded(lnFixed(value, digits) * bigPowerOfTen(scale), denominator), scale);
}

export function powerNumeric(base: Numeric, exponent: Numeric): Numeric {
  if (!base.isFinite || !exponent.isFinite) return powerSpecial(base, exponent);
  if (base.isZero && exponent.sign < 0) throw new DatabaseError('2201F', 'zero raised to a negative power is undefined');
  const integral = exponent.minScale() === 0;
  if (integral) {
    const n = exponent.toInteger();
    if (n >= -2147483648 && n <= 2147483647) return powerInteger(base, Number(n), exponent.scale);
  }
  if (base.isZero) return Numeric.of(0, NUMERIC_MIN_SIG_DIGITS);
  if (base.sign < 0 && !integral) throw new DatabaseError('2201F', 'a negative number raised to a non-integer power yields a complex result');
  const negative = base.sign < 0 && BigInt(exponent.toInteger()) % 2n !== 0n;
  const positive = base.abs();
  const lnWeight = estimateLnWeight(positive);
  const roughScale = Math.max(8 - lnWeight, 0);
  const rough = lnToScale(positive, roughScale).multiply(exponent).round(roughScale).toNumber();
  if (Math.abs(rough) > MAX_RESULT_SCALE * 3.01) {
    if (rough > 0) throw numericOverflow();
    return Numeric.of(0, NUMERIC_MAX_DISPLAY_SCALE);
  }
  const weight = rough * LOG10_E;
  const scale = clampScale(NUMERIC_MIN_SIG_DIGITS - Math.trunc(weight), base.scale, exponent.scale);
  const digits = scale + 20 + Math.max(0, Math.ceil(weight)) + Math.max(0, exponent.decimalExponent);
  const product = (lnFixed(positive, digits) * fixed(exponent, digits)) / bigPowerOfTen(digits);
  const result = divideRounded(expFixed(product, digits), bigPowerOfTen(digits - scale));
  return Numeric.fromBig(negative ? -result : result, scale);
}

function powerInteger(base: Numeric, exponent: number, exponentScale: number): Numeric {
  let weight = 0;
  if (!base.isZero) {
    let f = base.baseDigit(0);
    let p = base.weight * 4;
    const groups = Math.ceil((base.digits.replace(/0+$/, '').length - (base.decimalExponent - base.weight * 4 + 1)) / 4) + 1;
    for (let i = 1; i < groups && i * 4 < 16; i++) {
      f = f * 10000 + base.baseDigit(i);
      p -= 4;
    }
    weight = exponent * (Math.log10(f) + p);
  }
  if (weight > 32768 * 4) throw numericOverflow();
  if (weight + 1 < -NUMERIC_MAX_DISPLAY_SCALE) return Numeric.of(0, NUMERIC_MAX_DISPLAY_SCALE);
  const scale = clampScale(NUMERIC_MIN_SIG_DIGITS - Math.trunc(weight), base.scale, exponentScale);
  if (exponent === 0) return Numeric.fromBig(bigPowerOfTen(scale), scale);
  if (exponent === 1) return base.round(scale);
  if (exponent === -1) return Numeric.one.divideToScale(base, scale);
  if (base.isZero) {
    if (exponent < 0) throw divisionByZero();
    return Numeric.of(0, scale);
  }
  if (exponent === 2) return base.multiply(base).round(scale);
  const n = Math.abs(exponent);
  const c = BigInt(base.coefficient);
  if (base.digits.length * n <= 5000) {
    const exact = c ** BigInt(n);
    if (exponent > 0) return Numeric.fromBig(exact, base.scale * n > 16383 ? base.scale * n : base.scale * n).round(scale);
    return Numeric.one.divideToScale(unchecked(exact, base.scale * n), scale);
  }
  return powerByApproximation(base, exponent, scale, weight);
}

function unchecked(c: bigint, scale: number): Numeric {
  return Numeric.of(coefficient(c), scale);
}

/** Repeated squaring on truncated mantissas with enough guard digits. */
function powerByApproximation(base: Numeric, exponent: number, scale: number, weight: number): Numeric {
  const keep = Math.max(0, Math.ceil(weight)) + scale + 20 + Math.ceil(Math.log10(Math.abs(exponent)) * 2);
  const cut = (value: { c: bigint; e: number }): { c: bigint; e: number } => {
    const length = value.c.toString().length;
    return length > keep ? { c: value.c / bigPowerOfTen(length - keep), e: value.e + length - keep } : value;
  };
  let result = { c: 1n, e: 0 };
  let square = cut({ c: BigInt(base.coefficient), e: -base.scale });
  for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = cut({ c: result.c * square.c, e: result.e + square.e });
    if (n > 1) square = cut({ c: square.c * square.c, e: square.e * 2 });
  }
  if (exponent < 0) {
    const digits = keep + result.c.toString().length;
    result = { c: bigPowerOfTen(digits) / result.c, e: -digits - result.e };
  }
  const shift = result.e + scale;
  return Numeric.fromBig(shift >= 0 ? result.c * bigPowerOfTen(shift) : divideRounded(result.c, bigPowerOfTen(-shift)), scale);
}

function powerSpecial(base: Numeric, exponent: Numeric): Numeric {
  if (base.isNaN) return exponent.isFinite && exponent.isZero ? Numeric.one : Numeric.NaN;
  if (exponent.isNaN) return base.isFinite && compareNumeric(base, Numeric.one) === 0 ? Numeric.one : Numeric.NaN;
  const sign = base.sign;
  if (!base.isFinite && exponent.isFinite) {
    if (exponent.isZero) return Numeric.one;
    if (exponent.sign < 0) return Numeric.zero;
    if (sign > 0) return base;
    if (exponent.minScale() !== 0) throw new DatabaseError('2201F', 'a negative number raised to a non-integer power yields a complex result');
    return BigInt(exponent.toInteger()) % 2n === 0n ? Numeric.Infinity : Numeric.NegativeInfinity;
  }
  if (base.isZero && exponent.sign < 0) throw new DatabaseError('2201F', 'zero raised to a negative power is undefined');
  const magnitude = compareNumeric(base.abs(), Numeric.one);
  if (base.isFinite && compareNumeric(base, Numeric.one) === 0) return Numeric.one;
  if (sign < 0 && base.isFinite && magnitude === 0) return Numeric.one;
  if (exponent.sign > 0) return magnitude > 0 ? Numeric.Infinity : Numeric.zero;
  return magnitude > 0 ? Numeric.zero : Numeric.Infinity;
}

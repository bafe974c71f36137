/**
 * What inline sources of functions may call by name. Pure, on non-null arguments; each stands for
 * one PostgreSQL function body where a bare JavaScript operator is not enough.
 */
import { DatabaseError } from '../../engine/errors.js';
import { int8FromBigInt, type Int8 } from '../types/datum.js';
import { compareText } from '../types/utf8.js';

const outOfRange = (type: string): never => {
  throw new DatabaseError('22003', `${type} out of range`);
};

export const divisionByZero = (): never => {
  throw new DatabaseError('22012', 'division by zero');
};

export function checkInt2(value: number): number {
  return value >= -32768 && value <= 32767 ? value : outOfRange('smallint');
}

export function checkInt4(value: number): number {
  return value >= -2147483648 && value <= 2147483647 ? value : outOfRange('integer');
}

const MIN8 = -9223372036854775808n;
const MAX8 = 9223372036854775807n;

/** An exact bigint as int8. */
export function checkInt8(value: bigint): Int8 {
  return value >= MIN8 && value <= MAX8 ? int8FromBigInt(value) : outOfRange('bigint');
}

export function addInt8(a: Int8, b: Int8): Int8 {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (sum <= 9007199254740991 && sum >= -9007199254740991) return sum;
  }
  return checkInt8(BigInt(a) + BigInt(b));
}

export function subInt8(a: Int8, b: Int8): Int8 {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (difference <= 9007199254740991 && difference >= -9007199254740991) return difference;
  }
  return checkInt8(BigInt(a) - BigInt(b));
}

export function mulInt8(a: Int8, b: Int8): Int8 {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b;
    if (product <= 9007199254740991 && product >= -9007199254740991) return product === 0 ? 0 : product;
  }
  return checkInt8(BigInt(a) * BigInt(b));
}

export function divInt8(a: Int8, b: Int8): Int8 {
  if (b === 0) return divisionByZero();
  if (typeof a === 'number' && typeof b === 'number') {
    const rest = a % b;
    const quotient = (a - rest) / b;
    return quotient === 0 ? 0 : quotient;
  }
  return checkInt8(BigInt(a) / BigInt(b));
}

export function modInt8(a: Int8, b: Int8): Int8 {
  if (b === 0) return divisionByZero();
  if (typeof a === 'number' && typeof b === 'number') {
    const rest = a % b;
    return rest === 0 ? 0 : rest;
  }
  return int8FromBigInt(BigInt(a) % BigInt(b));
}

export function divInt4(a: number, b: number): number {
  if (b === 0) return divisionByZero();
  const quotient = Math.trunc(a / b);
  return quotient === 2147483648 ? outOfRange('integer') : quotient | 0;
}

export function modInt4(a: number, b: number): number {
  return b === 0 ? divisionByZero() : (a % b) | 0;
}

const overflow = (): never => {
  throw new DatabaseError('22003', 'value out of range: overflow');
};
const underflow = (): never => {
  throw new DatabaseError('22003', 'value out of range: underflow');
};
const infinite = (value: number): boolean => value === Infinity || value === -Infinity;

export function addFloat(a: number, b: number): number {
  const sum = a + b;
  return infinite(sum) && !infinite(a) && !infinite(b) ? overflow() : sum;
}

export function subFloat(a: number, b: number): number {
  const difference = a - b;
  return infinite(difference) && !infinite(a) && !infinite(b) ? overflow() : difference;
}

export function mulFloat(a: number, b: number): number {
  const product = a * b;
  if (infinite(product) && !infinite(a) && !infinite(b)) return overflow();
  return product === 0 && a !== 0 && b !== 0 ? underflow() : product;
}

export function divFloat(a: number, b: number): number {
  if (b === 0 && a === a) return divisionByZero();
  const quotient = a / b;
  if (infinite(quotient) && !infinite(a)) return overflow();
  return quotient === 0 && a !== 0 && !infinite(b) ? underflow() : quotient;
}

/** Rounds to float4 with float4's range checks; `a` and `b` are what it was computed from. */
export function toFloat4(value: number, a: number, b: number): number {
  const rounded = Math.fround(value);
  if (infinite(rounded) && !infinite(a) && !infinite(b)) return overflow();
  return rounded;
}

/** The functions by name, for `new Function`. */
export const KERNEL_HELPERS = {
  checkInt2, checkInt4, checkInt8, addInt8, subInt8, mulInt8, divInt8, modInt8, divInt4, modInt4,
  addFloat, subFloat, mulFloat, divFloat, toFloat4, compareText,
} as const;

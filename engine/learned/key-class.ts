/**
 * Keys that a model can be made of: indexes of one column whose keys are a marker byte and 4 or 8 bytes (engine/keycode.ts). As
 * values they are the numbers that order them:
 *
 *     int32    4 bytes, signed
 *     int64    8 bytes, signed: a number while it is below 2^53, a bigint beyond; the two ends of the type are -Infinity and Infinity
 *     float64  8 bytes: the double, NaN above all
 */
import { KeyWriter } from '../keycode.js';

export type KeyClass = 'int32' | 'int64' | 'float64';
export type KeyValue = number | bigint;

const HALF = 0x100000000;
const NOT_NULL = 2;
const EXACT = Number.MAX_SAFE_INTEGER;
const bytes = new Uint8Array(8);
const view = new DataView(bytes.buffer);

/** An int64 by its halves. */
export function int64Value(high: number, low: number): KeyValue {
  const near = high * HALF + low;
  if (near <= EXACT && near >= -EXACT) return near;
  if (high === -0x80000000 && low === 0) return -Infinity;
  if (high === 0x7fffffff && low === 0xffffffff) return Infinity;
  return (BigInt(high) << 32n) | BigInt(low);
}

/** An int64 as it stands in rows (a number or a bigint) as a key's value. */
export function int64Key(value: KeyValue): KeyValue {
  if (typeof value === 'number') return (value <= EXACT && value >= -EXACT) || value - value !== 0 ? value : BigInt(value);
  if (value >= -9007199254740991n && value <= 9007199254740991n) return Number(value);
  if (value === -0x8000000000000000n) return -Infinity;
  return value === 0x7fffffffffffffffn ? Infinity : value;
}

/** Inverse of int64Key. */
export function int64Of(key: KeyValue): KeyValue {
  return key === -Infinity ? -0x8000000000000000n : key === Infinity ? 0x7fffffffffffffffn : key;
}

export function highHalf(key: Uint8Array, at: number): number {
  return ((key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!) ^ 0x80000000;
}

export function lowHalf(key: Uint8Array, at: number): number {
  return ((key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!) >>> 0;
}

export function floatAt(key: Uint8Array, at: number): number {
  const flip = key[at]! & 0x80 ? 0 : 0xff;
  for (let i = 0; i < 8; i++) bytes[i] = key[at + i]! ^ flip;
  if (flip === 0) bytes[0]! ^= 0x80;
  return view.getFloat64(0);
}

/** The key's value; null for NULL. */
export function keyValue(of: KeyClass, key: Uint8Array): KeyValue | null {
  if (key[0] !== NOT_NULL) return null;
  if (of === 'int32') return highHalf(key, 1);
  if (of === 'int64') return int64Value(highHalf(key, 1), lowHalf(key, 5));
  return floatAt(key, 1);
}

const writer = new KeyWriter();

/** The key of a value. */
export function keyBytes(of: KeyClass, value: KeyValue): Uint8Array {
  writer.reset().notNull();
  if (of === 'int32') writer.int32(value as number);
  else if (of === 'int64') writer.int64(int64Of(value));
  else writer.float64(value as number);
  return writer.copy();
}

/** As the tree orders them: NaN above all. */
export function compareKeys(a: KeyValue, b: KeyValue): number {
  if (a < b) return -1;
  if (a > b) return 1;
  return a === b ? 0 : Number(a !== a) - Number(b !== b);
}

/** Whether the bytes are a key of the class at all. */
export function isKeyOf(of: KeyClass, length: number): boolean {
  return length === (of === 'int32' ? 5 : 9);
}

/** PostgreSQL's hash functions (Bob Jenkins' lookup3), bit for bit: applications use hashtext() for lock keys and sharding. */
import type { Datum, Int8, Interval, TimeTz } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import { intervalMeasure } from '../types/date-time.js';
import { trimBlanks } from '../types/text.js';
import { encodeUtf8 } from '../types/utf8.js';
import { uuidBytes } from '../types/uuid.js';
import { f } from './define.js';
import type { SqlFunction } from './function.js';

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/** Runs over `bytes`; answers both result words. */
function hashWords(bytes: Uint8Array, seed: bigint): { b: number; c: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let length = bytes.length;
  let a = (0x9e3779b9 + length + 3923095) | 0;
  let b = a;
  let c = a;
  const mix = (): void => {
    a = (a - c) ^ rotate(c, 4); c = (c + b) | 0;
    b = (b - a) ^ rotate(a, 6); a = (a + c) | 0;
    c = (c - b) ^ rotate(b, 8); b = (b + a) | 0;
    a = (a - c) ^ rotate(c, 16); c = (c + b) | 0;
    b = (b - a) ^ rotate(a, 19); a = (a + c) | 0;
    c = (c - b) ^ rotate(b, 4); b = (b + a) | 0;
  };
  if (seed !== 0n) {
    a = (a + Number(BigInt.asIntN(32, seed >> 32n))) | 0;
    b = (b + Number(BigInt.asIntN(32, seed))) | 0;
    mix();
  }
  let p = 0;
  for (; length >= 12; length -= 12, p += 12) {
    a = (a + view.getInt32(p, true)) | 0;
    b = (b + view.getInt32(p + 4, true)) | 0;
    c = (c + view.getInt32(p + 8, true)) | 0;
    mix();
  }
  // The lowest byte of c is reserved for the length.
  for (let i = 0; i < length; i++) {
    const byte = bytes[p + i]!;
    if (i < 4) a = (a + (byte << (8 * i))) | 0;
    else if (i < 8) b = (b + (byte << (8 * (i - 4)))) | 0;
    else c = (c + (byte << (8 * (i - 7)))) | 0;
  }
  c = (c ^ b) - rotate(b, 14);
  a = (a ^ c) - rotate(c, 11);
  b = (b ^ a) - rotate(a, 25);
  c = (c ^ b) - rotate(b, 16);
  a = (a ^ c) - rotate(c, 4);
  b = (b ^ a) - rotate(a, 14);
  c = (c ^ b) - rotate(b, 24);
  return { b, c: c | 0 };
}

const scratch = new DataView(new ArrayBuffer(8));
const word = new Uint8Array(scratch.buffer, 0, 4);
const double = new Uint8Array(scratch.buffer);

/** hash_uint32's argument as the four bytes it stands for. */
function int32Bytes(value: number): Uint8Array {
  scratch.setInt32(0, value | 0, true);
  return word;
}

/** int8 folds its halves, so that equal int4 and int8 values hash alike. */
function int8Bytes(value: Int8): Uint8Array {
  const big = BigInt(value);
  const low = Number(BigInt.asIntN(32, big));
  const high = Number(BigInt.asIntN(32, big >> 32n));
  return int32Bytes(low ^ (big >= 0n ? high : ~high));
}

function floatBytes(value: number): Uint8Array {
  scratch.setFloat64(0, value === 0 ? 0 : value, true);
  return double;
}

type ToBytes = (value: never) => Uint8Array;

const charCode = (value: string): number => {
  const code = value === '' ? 0 : value.charCodeAt(0);
  return code >= 128 ? code - 256 : code;
};

const TYPES: readonly (readonly [name: string, type: string, toBytes: ToBytes])[] = [
  ['hashint2', 'int2', int32Bytes], ['hashint4', 'int4', int32Bytes], ['hashint8', 'int8', int8Bytes], ['hashoid', 'oid', int32Bytes], ['hashenum', 'anyenum', int32Bytes],
  ['hashchar', 'char', (value: string) => int32Bytes(charCode(value))], ['hashtext', 'text', encodeUtf8], ['hashname', 'name', encodeUtf8],
  ['hashbpchar', 'bpchar', (value: string) => encodeUtf8(trimBlanks(value))], ['hashfloat4', 'float4', floatBytes], ['hashfloat8', 'float8', floatBytes],
  ['uuid_hash', 'uuid', uuidBytes], ['time_hash', 'time', int8Bytes], ['timestamp_hash', 'timestamp', int8Bytes], ['pg_lsn_hash', 'pg_lsn', int8Bytes],
];

const ZERO_FLOATS = new Set(['hashfloat4', 'hashfloat8']);

function family(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const [name, type, toBytes] of TYPES) {
    const zero = ZERO_FLOATS.has(name);
    out.push(
      f(`${name}(${type})`, (value: Datum) => (zero && value === 0 ? 0 : hashWords(toBytes(value as never), 0n).c)),
      f(`${name}${name.endsWith('_hash') ? '_extended' : 'extended'}(${type},int8)`, (value: Datum, seed: Int8) => {
        if (zero && value === 0) return seed;
        const { b, c } = hashWords(toBytes(value as never), BigInt.asUintN(64, BigInt(seed)));
        return int8FromBigInt(BigInt.asIntN(64, (BigInt(b >>> 0) << 32n) | BigInt(c >>> 0)));
      }),
    );
  }
  return out;
}

export const hashFunctions: readonly SqlFunction[] = [
  ...family(),
  f('interval_hash(interval)', (value: Interval) => hashWords(int8Bytes(BigInt.asIntN(64, BigInt(intervalMeasure(value)))), 0n).c),
  f('timetz_hash(timetz)', (value: TimeTz) => hashWords(int8Bytes(value.micros), 0n).c ^ hashWords(int32Bytes(value.zone), 0n).c),
];

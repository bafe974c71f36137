/**
 * Order-preserving key encoding: the bytes of two keys compare (memcmp) as the values do.
 *
 * A key is a concatenation of columns. Each column is a marker byte, then the value:
 *
 *     0x01            NULL, sorted first
 *     0x02 value      not NULL; under DESC every byte of `value` is inverted (the marker is not,
 *                     so NULLS FIRST/LAST is independent of DESC)
 *     0x03            NULL, sorted last
 *
 *     int16/32/48/64  big-endian two's complement with the sign bit flipped
 *     float64         IEEE bits, sign bit flipped; all bits flipped when negative; -0 = 0, NaN greatest
 *     bytes, text     0x00 becomes 0x00 0xFF, the end is 0x00 0x00
 *
 * Every value is self-delimiting, so no key of an index is a prefix of another and a range over
 * leading columns is a range over prefixes. Indexes without NULL handling (catalog, engine) may
 * write values without markers.
 *
 * Keys of LONG_KEY (1,000) bytes and more are stored as their first 984 bytes and a 16-byte hash
 * of the whole (`storedKey`). A stored key of exactly LONG_KEY bytes is thus always a cut one:
 * equal keys are still equal bytes, but keys that share 984 bytes are in no order, and range bounds
 * cover the whole shared prefix (`lowerBound`, `upperBound`): the reader sorts and rechecks them.
 */
import { createHash } from 'node:crypto';

export const LONG_KEY = 1000;
const LONG_PREFIX = LONG_KEY - 16;
/** PostgreSQL's limit of an index row (btree version 4); beyond it SQLSTATE 54000. */
export const MAX_KEY = 2704;

const NULL_FIRST = 0x01;
const NOT_NULL = 0x02;
const NULL_LAST = 0x03;

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);
const encoder = new TextEncoder();

/** A growing buffer that keys are written into; one per caller, reused key after key. */
export class KeyWriter {
  private buffer = new Uint8Array(256);
  private position = 0;

  get length(): number {
    return this.position;
  }

  reset(): this {
    this.position = 0;
    return this;
  }

  /** Forgets what was written after `position` (a former `length`). */
  rewind(position: number): this {
    this.position = position;
    return this;
  }

  private reserve(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.position));
    this.buffer = grown;
  }

  null(nullsFirst: boolean): this {
    this.reserve(1);
    this.buffer[this.position++] = nullsFirst ? NULL_FIRST : NULL_LAST;
    return this;
  }

  /** The marker before a value in a column that may be NULL. */
  notNull(): this {
    this.reserve(1);
    this.buffer[this.position++] = NOT_NULL;
    return this;
  }

  byte(value: number): this {
    this.reserve(1);
    this.buffer[this.position++] = value;
    return this;
  }

  bool(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  int16(value: number): this {
    this.reserve(2);
    const v = value ^ 0x8000;
    this.buffer[this.position++] = (v >>> 8) & 0xff;
    this.buffer[this.position++] = v & 0xff;
    return this;
  }

  int32(value: number): this {
    return this.uint32((value ^ 0x80000000) >>> 0);
  }

  uint32(value: number): this {
    this.reserve(4);
    const b = this.buffer;
    let p = this.position;
    b[p++] = value >>> 24;
    b[p++] = (value >>> 16) & 0xff;
    b[p++] = (value >>> 8) & 0xff;
    b[p++] = value & 0xff;
    this.position = p;
    return this;
  }

  /** Unsigned, below 2^48: row ids, storage ids, LSNs. */
  uint48(value: number): this {
    this.reserve(6);
    writeUint48(this.buffer, this.position, value);
    this.position += 6;
    return this;
  }

  /** int8 from an integral double (exact within 2^53) or a bigint: the same bytes for the same value. */
  int64(value: number | bigint): this {
    if (typeof value === 'bigint') {
      const flipped = BigInt.asUintN(64, value) ^ 0x8000000000000000n;
      return this.uint32(Number(flipped >> 32n)).uint32(Number(flipped & 0xffffffffn));
    }
    const high = Math.floor(value / 0x100000000);
    return this.uint32((high ^ 0x80000000) >>> 0).uint32(value - high * 0x100000000);
  }

  float64(value: number): this {
    this.reserve(8);
    float[0] = value === 0 ? 0 : value;
    const b = this.buffer;
    const p = this.position;
    if (value < 0) {
      for (let i = 0; i < 8; i++) b[p + i] = ~floatBytes[7 - i]!;
    } else {
      for (let i = 0; i < 8; i++) b[p + i] = floatBytes[7 - i]!;
      b[p] = value !== value ? 0xff : b[p]! | 0x80;
    }
    this.position = p + 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.reserve(value.length * 2 + 2);
    const b = this.buffer;
    let p = this.position;
    for (let i = 0; i < value.length; i++) {
      const byte = value[i]!;
      b[p++] = byte;
      if (byte === 0) b[p++] = 0xff;
    }
    b[p++] = 0;
    b[p++] = 0;
    this.position = p;
    return this;
  }

  /** UTF-8 bytes: orders by code point as C.UTF-8 does. PostgreSQL text holds no NUL, so nothing needs escaping. */
  text(value: string): this {
    this.reserve(value.length * 3 + 2);
    const { written } = encoder.encodeInto(value, this.buffer.subarray(this.position));
    this.position += written;
    this.buffer[this.position++] = 0;
    this.buffer[this.position++] = 0;
    return this;
  }

  /** Bytes that are order-preserving and self-delimiting already (a type's own codec). */
  raw(value: Uint8Array): this {
    this.reserve(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
    return this;
  }

  /** Inverts everything from `start` on: call after the value of a DESC column, with the length before it (after its marker). */
  invertFrom(start: number): this {
    const b = this.buffer;
    for (let i = start; i < this.position; i++) b[i] = ~b[i]!;
    return this;
  }

  /** A copy of what was written, whole. */
  copy(): Uint8Array {
    return this.buffer.slice(0, this.position);
  }

  /** What was written, uncopied: valid until the next write. */
  view(): Uint8Array {
    return this.buffer.subarray(0, this.position);
  }

  /** The buffer itself: its first `length` bytes are what was written, until the next write. */
  get underlying(): Uint8Array {
    return this.buffer;
  }

  /** A copy as it goes into an index: cut by the rule for long keys. */
  finish(): Uint8Array {
    return this.position < LONG_KEY ? this.copy() : storedKey(this.view());
  }
}

/** Reads back what KeyWriter wrote, column by column (index-only scans over lossless keys). */
export class KeyReader {
  position = 0;
  private flip = 0;

  constructor(private key: Uint8Array = new Uint8Array(0)) {}

  reset(key: Uint8Array): this {
    this.key = key;
    this.position = 0;
    this.flip = 0;
    return this;
  }

  /** Values read from here on are un-inverted (a DESC column) or not. */
  descending(on: boolean): this {
    this.flip = on ? 0xff : 0;
    return this;
  }

  /** Consumes the marker; true when the column is NULL. */
  isNull(): boolean {
    return this.key[this.position++] !== NOT_NULL;
  }

  byte(): number {
    return this.key[this.position++]! ^ this.flip;
  }

  bool(): boolean {
    return this.byte() !== 0;
  }

  int16(): number {
    const v = (this.byte() << 8) | this.byte();
    return ((v ^ 0x8000) << 16) >> 16;
  }

  uint32(): number {
    return ((this.byte() << 24) | (this.byte() << 16) | (this.byte() << 8) | this.byte()) >>> 0;
  }

  int32(): number {
    return (this.uint32() ^ 0x80000000) | 0;
  }

  uint48(): number {
    const high = (this.byte() << 8) | this.byte();
    return high * 0x100000000 + this.uint32();
  }

  int64(): bigint {
    const high = BigInt(this.int32());
    return (high << 32n) | BigInt(this.uint32());
  }

  /** int64 as a double: exact within 2^53, as the caller must know. */
  int64Number(): number {
    const high = this.int32();
    return high * 0x100000000 + this.uint32();
  }

  float64(): number {
    const first = this.byte();
    if (first & 0x80) {
      floatBytes[7] = first & 0x7f;
      for (let i = 6; i >= 0; i--) floatBytes[i] = this.byte();
    } else {
      floatBytes[7] = ~first;
      for (let i = 6; i >= 0; i--) floatBytes[i] = ~this.byte();
    }
    return float[0]!;
  }

  bytes(): Uint8Array {
    const out: number[] = [];
    for (;;) {
      const b = this.byte();
      if (b === 0) {
        if (this.byte() === 0) return Uint8Array.from(out);
        out.push(0);
      } else out.push(b);
    }
  }
}

/** What an index stores for `key`: itself, or its first 984 bytes and a hash of all of it. */
export function storedKey(key: Uint8Array): Uint8Array {
  if (key.length < LONG_KEY) return key;
  const out = new Uint8Array(LONG_KEY);
  out.set(key.subarray(0, LONG_PREFIX));
  out.set(createHash('sha256').update(key).digest().subarray(0, 16), LONG_PREFIX);
  return out;
}

/** True for a stored key that was cut: order within its prefix is unknown and rows must be rechecked. */
export function isCutKey(stored: Uint8Array): boolean {
  return stored.length === LONG_KEY;
}

/** The bound to scan with for a whole key: long ones become the prefix that all their kin share. Then use it as inclusive. */
export function scanBound(key: Uint8Array): { bound: Uint8Array; cut: boolean } {
  return key.length > LONG_PREFIX ? { bound: key.slice(0, LONG_PREFIX), cut: true } : { bound: key, cut: false };
}

/** memcmp. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < n; i++) {
    const d = a[i]! - b[i]!;
    if (d !== 0) return d;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}

/** The smallest key above every key that starts with `prefix`; undefined when there is none (all 0xFF). */
export function prefixSuccessor(prefix: Uint8Array): Uint8Array | undefined {
  let end = prefix.length;
  while (end > 0 && prefix[end - 1] === 0xff) end--;
  if (end === 0) return undefined;
  const out = prefix.slice(0, end);
  out[end - 1]!++;
  return out;
}

export function writeUint48(buffer: Uint8Array, position: number, value: number): void {
  const high = Math.floor(value / 0x100000000);
  const low = value >>> 0;
  buffer[position] = high >>> 8;
  buffer[position + 1] = high;
  buffer[position + 2] = low >>> 24;
  buffer[position + 3] = low >>> 16;
  buffer[position + 4] = low >>> 8;
  buffer[position + 5] = low;
}

export function readUint48(buffer: Uint8Array, position: number): number {
  return (
    ((buffer[position]! << 8) | buffer[position + 1]!) * 0x100000000 +
    (((buffer[position + 2]! << 24) | (buffer[position + 3]! << 16) | (buffer[position + 4]! << 8) | buffer[position + 5]!) >>> 0)
  );
}

/** Big-endian pieces of the binary wire format. */
import { DatabaseError } from '../../engine/errors.js';
import type { Int8 } from './datum.js';

export function sendInt16(value: number): Uint8Array {
  const out = new Uint8Array(2);
  out[0] = value >> 8;
  out[1] = value;
  return out;
}

export function sendInt32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  out[0] = value >>> 24;
  out[1] = value >>> 16;
  out[2] = value >>> 8;
  out[3] = value;
  return out;
}

export function sendInt64(value: Int8): Uint8Array {
  const out = new Uint8Array(8);
  const view = new DataView(out.buffer);
  if (typeof value === 'bigint') view.setBigInt64(0, value);
  else {
    const high = Math.floor(value / 0x100000000);
    view.setInt32(0, high);
    view.setUint32(4, value - high * 0x100000000);
  }
  return out;
}

export function readInt64(view: DataView, offset: number, littleEndian: boolean): Int8 {
  const high = view.getInt32(littleEndian ? offset + 4 : offset, littleEndian);
  if (high >= -0x200000 + 1 && high < 0x200000) return high * 0x100000000 + view.getUint32(littleEndian ? offset : offset + 4, littleEndian);
  const value = view.getBigInt64(offset, littleEndian);
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Raises PostgreSQL's error when a binary value has not exactly `length` bytes. */
export function expectLength(bytes: Uint8Array, length: number): void {
  if (bytes.length < length) throw new DatabaseError('08P01', 'insufficient data left in message');
  if (bytes.length > length) throw new DatabaseError('22P03', 'incorrect binary data format');
}

/** Reads a binary message part by part. */
export class WireReader {
  private readonly view: DataView;
  position = 0;
  constructor(private readonly bytes: Uint8Array) {
    this.view = viewOf(bytes);
  }
  private take(length: number): number {
    const at = this.position;
    if (length < 0 || at + length > this.bytes.length) throw new DatabaseError('08P01', 'insufficient data left in message');
    this.position = at + length;
    return at;
  }
  get remaining(): number {
    return this.bytes.length - this.position;
  }
  uint8(): number {
    return this.view.getUint8(this.take(1));
  }
  int16(): number {
    return this.view.getInt16(this.take(2));
  }
  uint16(): number {
    return this.view.getUint16(this.take(2));
  }
  int32(): number {
    return this.view.getInt32(this.take(4));
  }
  uint32(): number {
    return this.view.getUint32(this.take(4));
  }
  int64(): Int8 {
    return readInt64(this.view, this.take(8), false);
  }
  float64(): number {
    return this.view.getFloat64(this.take(8));
  }
  slice(length: number): Uint8Array {
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }
}

/** Writes a binary message part by part. */
export class WireWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;
  bytes(part: Uint8Array): this {
    this.parts.push(part);
    this.length += part.length;
    return this;
  }
  byte(value: number): this {
    return this.bytes(Uint8Array.of(value));
  }
  int16(value: number): this {
    return this.bytes(sendInt16(value));
  }
  int32(value: number): this {
    return this.bytes(sendInt32(value));
  }
  int64(value: Int8): this {
    return this.bytes(sendInt64(value));
  }
  finish(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

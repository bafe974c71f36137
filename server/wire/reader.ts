/** Reads the fields of one message body; a body that is too short raises 08P01. */
import { DatabaseError } from '../../engine/errors.js';

export class MessageReader {
  #position = 0;
  constructor(readonly body: Buffer) {}

  get remaining(): number {
    return this.body.length - this.#position;
  }

  byte(): number {
    this.#need(1);
    return this.body[this.#position++];
  }

  int16(): number {
    this.#need(2);
    const value = this.body.readInt16BE(this.#position);
    this.#position += 2;
    return value;
  }

  uint16(): number {
    return this.int16() & 0xffff;
  }

  int32(): number {
    this.#need(4);
    const value = this.body.readInt32BE(this.#position);
    this.#position += 4;
    return value;
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  cstring(): string {
    const end = this.body.indexOf(0, this.#position);
    if (end < 0) throw new DatabaseError('08P01', 'invalid string in message');
    const start = this.#position;
    this.#position = end + 1;
    return decodeText(this.body, start, end);
  }

  bytes(length: number): Buffer {
    this.#need(length);
    const value = this.body.subarray(this.#position, this.#position + length);
    this.#position += length;
    return value;
  }

  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  /** The body must be used up. */
  end(): void {
    if (this.remaining !== 0) throw new DatabaseError('08P01', 'invalid message format');
  }

  #need(count: number): void {
    if (count < 0 || this.remaining < count) throw new DatabaseError('08P01', 'insufficient data left in message');
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 of a client, checked: 22021 names the offending bytes as PostgreSQL does. */
export function decodeText(bytes: Buffer, start = 0, end = bytes.length): string {
  if (start === end) return '';
  let ascii = true;
  for (let i = start; i < end; i++) {
    if (bytes[i] > 127) {
      ascii = false;
      break;
    }
  }
  if (ascii) return bytes.latin1Slice(start, end);
  try {
    return strict.decode(bytes.subarray(start, end));
  } catch {
    throw invalidUtf8(bytes, start, end);
  }
}

function invalidUtf8(bytes: Buffer, start: number, end: number): DatabaseError {
  let i = start;
  while (i < end) {
    const lead = bytes[i];
    const length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    const sequence = bytes.subarray(i, Math.min(end, i + Math.max(1, length)));
    let valid = length > 0 && sequence.length === length;
    if (valid && length > 1) {
      try {
        strict.decode(sequence);
      } catch {
        valid = false;
      }
    }
    if (!valid) {
      // PostgreSQL shows as many bytes as the lead byte announces
      const announced = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
      const shown = [...bytes.subarray(i, Math.min(end, i + announced))].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(' ');
      return new DatabaseError('22021', `invalid byte sequence for encoding "UTF8": ${shown}`);
    }
    i += length;
  }
  return new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8"');
}

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
  }
}

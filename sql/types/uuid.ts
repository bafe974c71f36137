/** uuid: kept as its canonical text, whose order is the byte order. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { encodeHex } from './bytea.js';
import { expectLength } from './wire-bytes.js';

const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Accepts hyphens after any group of four digits, and braces around. */
export function parseUuid(text: string): string {
  if (CANONICAL.test(text)) return text;
  const inner = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  if (!/^(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}$/.test(inner)) throw new DatabaseError('22P02', `invalid input syntax for type uuid: "${text}"`);
  return formatUuid(inner.replaceAll('-', '').toLowerCase());
}

function formatUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function uuidFromBytes(bytes: Uint8Array): string {
  return formatUuid(encodeHex(bytes));
}

export function uuidBytes(uuid: string): Uint8Array {
  return new Uint8Array(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
}

export const uuidType: DataType = {
  name: 'uuid',
  vector: 'any',
  input: parseUuid,
  output: (value) => value as string,
  receive(bytes) {
    expectLength(bytes, 16);
    return uuidFromBytes(bytes);
  },
  send: (value) => uuidBytes(value as string),
  compare: (left: string, right: string) => (left < right ? -1 : left > right ? 1 : 0),
  equal: (left: string, right: string) => left === right,
  key: {
    lossless: true,
    encode(value: string, out) {
      const bytes = uuidBytes(value);
      for (let i = 0; i < 16; i++) out.byte(bytes[i]!);
    },
    decode(source) {
      const bytes = new Uint8Array(16);
      for (let i = 0; i < 16; i++) bytes[i] = source.byte();
      return uuidFromBytes(bytes);
    },
  },
  row: {
    width: 16,
    write(value: string, into, offset) {
      const bytes = uuidBytes(value);
      for (let i = 0; i < 16; i++) into.setUint8(offset + i, bytes[i]!);
    },
    read: (from, offset) => uuidFromBytes(new Uint8Array(from.buffer, from.byteOffset + offset, 16)),
  },
};

/** inet and cidr: an IPv4 or IPv6 address with a prefix length. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';

export interface Inet {
  readonly family: 4 | 6;
  /** Prefix length. */
  readonly bits: number;
  /** 4 or 16 bytes. */
  readonly bytes: Uint8Array;
}

function parseV4(text: string, minimumParts: number): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length > 4 || parts.length < minimumParts || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return undefined;
  const out = new Uint8Array(4);
  parts.forEach((part, i) => {
    out[i] = Number(part);
  });
  return out;
}

function parseV6(text: string): Uint8Array | undefined {
  let source = text;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const v4 = parseV4(tail[2]!, 4);
    if (!v4) return undefined;
    source = `${tail[1]}${((v4[0]! << 8) | v4[1]!).toString(16)}:${((v4[2]! << 8) | v4[3]!).toString(16)}`;
  }
  const halves = source.split('::');
  if (halves.length > 2) return undefined;
  const groups = (half: string): string[] => (half === '' ? [] : half.split(':'));
  const left = groups(halves[0]!);
  const right = halves.length === 2 ? groups(halves[1]!) : [];
  if ([...left, ...right].some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 0) return undefined;
  const out = new Uint8Array(16);
  [...left, ...new Array<string>(Math.max(missing, 0)).fill('0'), ...right].forEach((group, i) => {
    const value = parseInt(group, 16);
    out[2 * i] = value >> 8;
    out[2 * i + 1] = value & 255;
  });
  return out;
}

/** Bits behind the prefix are all zero. */
function hostIsZero(value: Inet): boolean {
  for (let i = value.bits; i < value.bytes.length * 8; i++) if (value.bytes[i >> 3]! & (128 >> (i & 7))) return false;
  return true;
}

export function parseInet(text: string, cidr: boolean): Inet {
  const typeName = cidr ? 'cidr' : 'inet';
  const invalid = (): DatabaseError => new DatabaseError('22P02', `invalid input syntax for type ${typeName}: "${text}"`);
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const prefix = slash < 0 ? undefined : text.slice(slash + 1);
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) throw invalid();
  const v6 = address.includes(':');
  const bytes = v6 ? parseV6(address) : parseV4(address, cidr || prefix !== undefined ? 1 : 4);
  if (!bytes) throw invalid();
  const max = v6 ? 128 : 32;
  let bits = prefix === undefined ? max : Number(prefix);
  if (prefix === undefined && cidr && !v6) {
    const parts = address.split('.').length;
    // Classful default, at least what was written.
    const first = bytes[0]!;
    if (parts < 4) bits = Math.max(first >= 240 ? 32 : first >= 224 ? 8 : first >= 192 ? 24 : first >= 128 ? 16 : 8, parts * 8);
  }
  if (bits > max) throw invalid();
  const value: Inet = { family: v6 ? 6 : 4, bits, bytes };
  if (cidr && !hostIsZero(value)) throw new DatabaseError('22P02', `invalid cidr value: "${text}"`, { detail: 'Value has bits set to right of mask.' });
  return value;
}

function printV6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  const v4Tail = best.start === 0 && (best.length === 6 || (best.length === 5 && groups[5] === 0xffff));
  const dotted = `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  if (v4Tail) return best.length === 6 ? `::${dotted}` : `::ffff:${dotted}`;
  const text = (list: readonly number[]): string => list.map((group) => group.toString(16)).join(':');
  return best.start < 0 ? text(groups) : `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

export function printHost(value: Inet): string {
  return value.family === 4 ? value.bytes.join('.') : printV6(value.bytes);
}

export const maxBits = (value: Inet): number => (value.family === 4 ? 32 : 128);

export function printInet(value: Inet, withPrefix: boolean): string {
  return printHost(value) + (withPrefix || value.bits !== maxBits(value) ? `/${value.bits}` : '');
}

/** Number of leading bits in which two addresses agree, at most `limit`. */
export function commonBits(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let i = 0; i < limit; i++) if ((a[i >> 3]! ^ b[i >> 3]!) & (128 >> (i & 7))) return i;
  return limit;
}

/** network_cmp: family, common prefix, prefix length, then the whole address. */
export function compareInet(a: Inet, b: Inet): number {
  if (a.family !== b.family) return a.family - b.family;
  const shared = Math.min(a.bits, b.bits);
  const at = commonBits(a.bytes, b.bytes, shared);
  if (at < shared) return a.bytes[at >> 3]! & (128 >> (at & 7)) ? 1 : -1;
  return a.bits - b.bits || Buffer.compare(a.bytes, b.bytes);
}

function networkType(name: 'inet' | 'cidr'): DataType {
  const cidr = name === 'cidr';
  return {
    name,
    vector: 'any',
    input: (text) => parseInet(text, cidr),
    output: (value) => printInet(value as Inet, cidr),
    receive(bytes) {
      const family = bytes[0] === 2 ? 4 : bytes[0] === 3 ? 6 : undefined;
      if (!family) throw new DatabaseError('22P03', `invalid address family in external "${name}" value`);
      const address = bytes.slice(4);
      if (address.length !== (family === 4 ? 4 : 16)) throw new DatabaseError('22P03', `invalid length in external "${name}" value`);
      if (bytes[1]! > address.length * 8) throw new DatabaseError('22P03', `invalid bits in external "${name}" value`);
      return { family, bits: bytes[1]!, bytes: address };
    },
    send(value) {
      const { family, bits, bytes } = value as Inet;
      const out = new Uint8Array(4 + bytes.length);
      out.set([family === 4 ? 2 : 3, bits, cidr ? 1 : 0, bytes.length]);
      out.set(bytes, 4);
      return out;
    },
    compare: compareInet,
    equal: (left: Inet, right: Inet) => compareInet(left, right) === 0,
    hashKey: (value: Inet) => printInet(value, true),
    row: {
      width: 0,
      encode(value: Inet) {
        const out = new Uint8Array(1 + value.bytes.length);
        out[0] = value.bits;
        out.set(value.bytes, 1);
        return out;
      },
      decode: (bytes) => ({ family: bytes.length === 5 ? 4 : 6, bits: bytes[0]!, bytes: bytes.slice(1) }) satisfies Inet,
    },
  };
}

export const inetType = networkType('inet');
export const cidrType = networkType('cidr');

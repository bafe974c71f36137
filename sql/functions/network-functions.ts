/** Functions and operators of inet and cidr, and the addresses of the connection. */
import { DatabaseError } from '../../engine/errors.js';
import { int8FromBigInt, type Int8 } from '../types/datum.js';
import { commonBits, compareInet, maxBits, parseInet, printHost, printInet, type Inet } from '../types/network.js';
import { checkInt8 } from './kernel-helpers.js';
import type { EvalContext } from './context.js';
import { comparisons, f, fc } from './define.js';
import type { SqlFunction } from './function.js';

/** `a` lies in the network of `b`. */
function within(a: Inet, b: Inet): boolean {
  return a.family === b.family && a.bits >= b.bits && commonBits(a.bytes, b.bytes, b.bits) === b.bits;
}

/** A byte of the mask of `bits` ones. */
const maskByte = (bits: number, index: number): number => (bits >= (index + 1) * 8 ? 255 : bits <= index * 8 ? 0 : 256 - (1 << (8 - (bits - index * 8))));

function mapBytes(value: Inet, map: (byte: number, mask: number) => number, bits = value.bits): Inet {
  return { family: value.family, bits, bytes: value.bytes.map((byte, i) => map(byte, maskByte(value.bits, i)) & 255) };
}

const network = (value: Inet): Inet => mapBytes(value, (byte, mask) => byte & mask);

function setMask(value: Inet, bits: number, clear: boolean): Inet {
  const wanted = bits === -1 ? maxBits(value) : bits;
  if (wanted < 0 || wanted > maxBits(value)) throw new DatabaseError('22023', `invalid mask length: ${bits}`);
  const result = { ...value, bits: wanted };
  return clear ? network(result) : result;
}

function pairwise(name: string, combine: (a: number, b: number) => number) {
  return (a: Inet, b: Inet): Inet => {
    if (a.family !== b.family) throw new DatabaseError('22023', `cannot ${name} inet values of different sizes`);
    return { family: a.family, bits: Math.max(a.bits, b.bits), bytes: a.bytes.map((byte, i) => combine(byte, b.bytes[i]!) & 255) };
  };
}

const toBig = (value: Inet): bigint => value.bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

function addTo(value: Inet, by: Int8): Inet {
  let sum = toBig(value) + BigInt(by);
  const out = new Uint8Array(value.bytes.length);
  if (sum < 0n || sum >= 1n << BigInt(out.length * 8)) throw new DatabaseError('22003', 'result is out of range');
  for (let i = out.length - 1; i >= 0; i--) {
    out[i] = Number(sum & 255n);
    sum >>= 8n;
  }
  return { ...value, bytes: out };
}

function difference(a: Inet, b: Inet): Int8 {
  if (a.family !== b.family) throw new DatabaseError('22023', 'cannot subtract inet values of different sizes');
  const result = toBig(a) - toBig(b);
  if (result > 9223372036854775807n || result < -9223372036854775808n) throw new DatabaseError('22003', 'result is out of range');
  return checkInt8(result);
}

/** Without the zero bytes behind the prefix: 10.1.0.0/16 is 10.1/16. */
function abbreviateCidr(value: Inet): string {
  if (value.family === 6) return printInet(value, true);
  const bytes = Math.max(Math.ceil(value.bits / 8), 1);
  return `${[...value.bytes.slice(0, bytes)].join('.')}/${value.bits}`;
}

const address = (text: string | null): Inet | null => {
  if (text === null || text === '' || text.startsWith('/')) return null;
  return parseInet(text.replace(/^::ffff:(?=\d+\.)/, ''), false);
};

export const networkFunctions: readonly SqlFunction[] = [
  ...comparisons('inet,inet', (operation) => `network_${operation}`, compareInet, { cmp: 'network_cmp' }),
  f('network_larger(inet,inet)', (a: Inet, b: Inet) => (compareInet(a, b) > 0 ? a : b)),
  f('network_smaller(inet,inet)', (a: Inet, b: Inet) => (compareInet(a, b) < 0 ? a : b)),
  f('network_sub(inet,inet)', (a: Inet, b: Inet) => a.bits > b.bits && within(a, b)),
  f('network_subeq(inet,inet)', within),
  f('network_sup(inet,inet)', (a: Inet, b: Inet) => b.bits > a.bits && within(b, a)),
  f('network_supeq(inet,inet)', (a: Inet, b: Inet) => within(b, a)),
  f('network_overlap(inet,inet)', (a: Inet, b: Inet) => within(a, b) || within(b, a)),
  f('host(inet)', printHost),
  f('text(inet)', (value: Inet) => printInet(value, true)),
  f('abbrev(inet)', (value: Inet) => printInet(value, false)),
  f('abbrev(cidr)', abbreviateCidr),
  f('family(inet)', (value: Inet) => value.family),
  f('masklen(inet)', (value: Inet) => value.bits),
  f('network(inet)', network),
  f('cidr(inet)', network),
  f('broadcast(inet)', (value: Inet) => mapBytes(value, (byte, mask) => byte | (~mask & 255))),
  f('netmask(inet)', (value: Inet) => mapBytes(value, (_byte, mask) => mask, maxBits(value))),
  f('hostmask(inet)', (value: Inet) => mapBytes(value, (_byte, mask) => ~mask & 255, maxBits(value))),
  f('set_masklen(inet,int4)', (value: Inet, bits: number) => setMask(value, bits, false)),
  f('set_masklen(cidr,int4)', (value: Inet, bits: number) => setMask(value, bits, true)),
  f('inet_same_family(inet,inet)', (a: Inet, b: Inet) => a.family === b.family),
  f('inet_merge(inet,inet)', (a: Inet, b: Inet) => {
    if (a.family !== b.family) throw new DatabaseError('22023', 'cannot merge addresses from different families');
    return network({ ...a, bits: commonBits(a.bytes, b.bytes, Math.min(a.bits, b.bits)) });
  }),
  f('inetand(inet,inet)', pairwise('AND', (a, b) => a & b)),
  f('inetor(inet,inet)', pairwise('OR', (a, b) => a | b)),
  f('inetnot(inet)', (value: Inet) => ({ ...value, bytes: value.bytes.map((byte) => ~byte & 255) })),
  f('inetpl(inet,int8)', addTo),
  f('int8pl_inet(int8,inet)', (by: Int8, value: Inet) => addTo(value, by)),
  f('inetmi_int8(inet,int8)', (value: Inet, by: Int8) => addTo(value, int8FromBigInt(-BigInt(by)))),
  f('inetmi(inet,inet)', difference),
  fc('inet_client_addr()', (context: EvalContext) => address(context.session.clientAddress)),
  fc('inet_client_port()', (context: EvalContext) => (address(context.session.clientAddress) ? context.session.clientPort : null)),
  fc('inet_server_addr()', (context: EvalContext) => (address(context.session.clientAddress) ? parseInet('127.0.0.1', false) : null)),
  fc('inet_server_port()', (context: EvalContext) => (address(context.session.clientAddress) ? Number(context.settings.get('port') ?? 5432) : null)),
];

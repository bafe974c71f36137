/**
 * Who may connect from where and how: the lines of a hosts file, in pg_hba.conf's syntax.
 *
 *     host  DATABASE  USER  ADDRESS  METHOD       (hostssl, hostnossl, local is ignored)
 *
 * METHOD is trust, scram-sha-256 or reject. The first line that fits decides.
 */
import { BlockList, isIPv4 } from 'node:net';
import { DatabaseError } from '../../engine/errors.js';

export type AuthMethod = 'trust' | 'scram-sha-256' | 'reject';

export interface HostRule {
  readonly tls: boolean | null;
  readonly databases: readonly string[];
  readonly users: readonly string[];
  readonly matches: (address: string) => boolean;
  readonly method: AuthMethod;
}

const METHODS: readonly string[] = ['trust', 'scram-sha-256', 'reject'];

function normalAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

function addressMatcher(text: string, mask: string | undefined): (address: string) => boolean {
  if (text === 'all') return () => true;
  if (text === 'samehost' || text === 'localhost') return isLoopback;
  const list = new BlockList();
  const [network, bits] = text.split('/');
  const family = isIPv4(network) ? 'ipv4' : 'ipv6';
  const prefix = bits !== undefined ? Number(bits) : mask !== undefined ? maskBits(mask) : family === 'ipv4' ? 32 : 128;
  list.addSubnet(network, prefix, family);
  return (address) => {
    const plain = normalAddress(address);
    return list.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
  };
}

function maskBits(mask: string): number {
  return mask.split('.').reduce((bits, part) => bits + Number(part).toString(2).replaceAll('0', '').length, 0);
}

export function isLoopback(address: string): boolean {
  const plain = normalAddress(address);
  return plain === '::1' || plain.startsWith('127.') || plain === 'localhost';
}

/** Parses a hosts file. Errors name the line. */
export function parseHostRules(text: string): HostRule[] {
  const rules: HostRule[] = [];
  text.split(/\r?\n/).forEach((raw, index) => {
    const line = raw.replace(/#.*$/, '').trim();
    if (line === '') return;
    const bad = (why: string): DatabaseError => new DatabaseError('F0000', `line ${index + 1} of the hosts file: ${why}`);
    const words = line.match(/"[^"]*"|\S+/g)!.map((word) => word.replace(/^"(.*)"$/, '$1'));
    const [type, databases, users, address, ...rest] = words;
    if (type === 'local') return;
    if (!['host', 'hostssl', 'hostnossl'].includes(type)) throw bad(`connection type "${type}" is not one of host, hostssl, hostnossl`);
    const method = rest.length > 1 ? rest[1] : rest[0];
    if (!address || !method) throw bad('expected: host DATABASE USER ADDRESS METHOD');
    if (!METHODS.includes(method)) throw bad(`authentication method "${method}" is not one of ${METHODS.join(', ')}`);
    try {
      rules.push({
        tls: type === 'hostssl' ? true : type === 'hostnossl' ? false : null, databases: databases.split(','), users: users.split(','),
        matches: addressMatcher(address, rest.length > 1 ? rest[0] : undefined), method: method as AuthMethod,
      });
    } catch {
      throw bad(`invalid address "${address}"`);
    }
  });
  return rules;
}

/** Rules without a hosts file: loopback by the method given, everybody else by password. */
export function defaultHostRules(loopback: AuthMethod): HostRule[] {
  const all = { tls: null, databases: ['all'], users: ['all'] } as const;
  return [{ ...all, matches: isLoopback, method: loopback }, { ...all, matches: () => true, method: 'scram-sha-256' }];
}

export function methodFor(rules: readonly HostRule[], address: string, tls: boolean, user: string, database: string): AuthMethod | null {
  const fits = (names: readonly string[], name: string): boolean => names.includes('all') || names.includes(name) || (names.includes('sameuser') && user === database);
  for (const rule of rules) {
    if (rule.tls !== null && rule.tls !== tls) continue;
    if (fits(rule.databases, database) && (rule.users.includes('all') || rule.users.includes(user)) && rule.matches(address)) return rule.method;
  }
  return null;
}

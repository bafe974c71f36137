/** LIKE and ILIKE: patterns are compiled once into the cheapest test that decides them, and cached. */
import { DatabaseError } from '../../engine/errors.js';
import { isAscii } from '../types/utf8.js';
import { latin1 } from '../types/utf8.js';
import { f } from './define.js';
import type { SqlFunction } from './function.js';

type Test = (text: string) => boolean;

/** One piece of a pattern: literal code points, '_' or '%'. */
type Piece = { readonly kind: 'literal'; readonly text: string } | { readonly kind: 'one' } | { readonly kind: 'any' } | { readonly kind: 'dangling escape' };

function pieces(pattern: string): Piece[] {
  const out: Piece[] = [];
  let literal = '';
  const flush = (): void => {
    if (literal !== '') out.push({ kind: 'literal', text: literal });
    literal = '';
  };
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === '\\') {
      if (i + 1 >= pattern.length) {
        flush();
        out.push({ kind: 'dangling escape' });
      } else literal += pattern[++i]!;
    } else if (c === '%') {
      flush();
      if (out[out.length - 1]?.kind !== 'any') out.push({ kind: 'any' });
    } else if (c === '_') {
      flush();
      out.push({ kind: 'one' });
    } else literal += c;
  }
  flush();
  return out;
}

/** UTF-16 length of the character at `at`. */
function width(text: string, at: number): number {
  const c = text.charCodeAt(at);
  return c >= 0xd800 && c <= 0xdbff ? 2 : 1;
}

/** Tries `list` from piece `from` at text position `at`; stops before the next '%': where it ended, or -1. */
function matchRun(text: string, list: readonly Piece[], from: number, to: number, at: number): number {
  for (let i = from; i < to; i++) {
    const piece = list[i]!;
    if (piece.kind === 'literal') {
      if (!text.startsWith(piece.text, at)) return -1;
      at += piece.text.length;
    } else {
      if (at >= text.length) return -1;
      if (piece.kind === 'dangling escape') throw new DatabaseError('22025', 'LIKE pattern must not end with escape character');
      at += width(text, at);
    }
  }
  return at;
}

function compile(pattern: string): Test {
  const list = pieces(pattern);
  const anys = list.filter((piece) => piece.kind === 'any').length;
  const ones = list.some((piece) => piece.kind === 'one' || piece.kind === 'dangling escape');
  if (!ones) {
    const literals = list.filter((piece): piece is Extract<Piece, { kind: 'literal' }> => piece.kind === 'literal').map((piece) => piece.text);
    if (anys === 0) {
      const exact = literals[0] ?? '';
      return (text) => text === exact;
    }
    if (literals.length === 0) return () => true;
    if (literals.length === 1) {
      const literal = literals[0]!;
      if (anys === 2) return (text) => text.includes(literal);
      return list[0]!.kind === 'any' ? (text) => text.endsWith(literal) : (text) => text.startsWith(literal);
    }
  }
  if (anys === 0) return (text) => matchRun(text, list, 0, list.length, 0) === text.length;
  // Runs between the '%'s: the first is anchored, the middle ones take their leftmost place, the last must reach the end.
  const runs: [number, number][] = [];
  let start = 0;
  list.forEach((piece, i) => {
    if (piece.kind === 'any') {
      runs.push([start, i]);
      start = i + 1;
    }
  });
  runs.push([start, list.length]);
  const [first, last] = [runs[0]!, runs[runs.length - 1]!];
  const lastIsEmpty = last[0] === last[1];
  const middle = runs.slice(1, -1);
  return (text) => {
    let at = matchRun(text, list, first[0], first[1], 0);
    if (at < 0) return false;
    for (const [from, to] of middle) {
      const lead = list[from]!;
      for (;;) {
        if (lead.kind === 'literal') {
          at = text.indexOf(lead.text, at);
          if (at < 0) return false;
        } else if (at > text.length) return false;
        const end = matchRun(text, list, from, to, at);
        if (end >= 0) {
          at = end;
          break;
        }
        if (at >= text.length) return false;
        at += width(text, at);
      }
    }
    if (lastIsEmpty) return true;
    for (; at <= text.length; at += width(text, at)) {
      if (matchRun(text, list, last[0], last[1], at) === text.length) return true;
      if (at === text.length) break;
    }
    return false;
  };
}

const cache = new Map<string, Test>();

/** The compiled test of a LIKE pattern. */
export function likeTest(pattern: string): Test {
  let test = cache.get(pattern);
  if (!test) {
    test = compile(pattern);
    if (cache.size >= 512) cache.clear();
    cache.set(pattern, test);
  }
  return test;
}

/** Case mapping as C.UTF-8 has it: character by character, so the number of characters stays. */
export function lowerText(text: string): string {
  return isAscii(text) ? text.toLowerCase() : mapCharacters(text, (c) => c.toLowerCase());
}

export function upperText(text: string): string {
  return isAscii(text) ? text.toUpperCase() : mapCharacters(text, (c) => c.toUpperCase());
}

function mapCharacters(text: string, map: (c: string) => string): string {
  let out = '';
  for (const c of text) {
    const mapped = map(c);
    out += mapped.length === c.length ? mapped : c;
  }
  return out;
}

const like = (text: string, pattern: string): boolean => likeTest(pattern)(text);
const notLike = (text: string, pattern: string): boolean => !likeTest(pattern)(text);
const ilike = (text: string, pattern: string): boolean => likeTest(lowerText(pattern))(lowerText(text));
const notIlike = (text: string, pattern: string): boolean => !ilike(text, pattern);
const bytesLike = (value: Uint8Array, pattern: Uint8Array): boolean => like(latin1(value), latin1(pattern));

/** like_escape: rewrites a pattern with another escape character to one with backslash. */
export function likeEscape(pattern: string, escape: string): string {
  if (escape === '') return pattern.replaceAll('\\', '\\\\');
  if ([...escape].length > 1) throw new DatabaseError('22019', 'invalid escape string', { hint: 'Escape string must be empty or one character.' });
  if (escape === '\\') return pattern;
  let out = '';
  let after = false;
  for (const c of pattern) {
    if (c === escape && !after) {
      out += '\\';
      after = true;
    } else if (c === '\\') {
      out += '\\';
      if (!after) out += '\\';
      after = false;
    } else {
      out += c;
      after = false;
    }
  }
  return out;
}

export const likeFunctions: readonly SqlFunction[] = [
  f(['textlike(text,text)', 'namelike(name,text)', 'bpcharlike(bpchar,text)', 'like(text,text)', 'like(name,text)'], like),
  f(['textnlike(text,text)', 'namenlike(name,text)', 'bpcharnlike(bpchar,text)', 'notlike(text,text)', 'notlike(name,text)'], notLike),
  f(['texticlike(text,text)', 'nameiclike(name,text)', 'bpchariclike(bpchar,text)'], ilike),
  f(['texticnlike(text,text)', 'nameicnlike(name,text)', 'bpcharicnlike(bpchar,text)'], notIlike),
  f(['bytealike(bytea,bytea)', 'like(bytea,bytea)'], bytesLike),
  f(['byteanlike(bytea,bytea)', 'notlike(bytea,bytea)'], (value: Uint8Array, pattern: Uint8Array) => !bytesLike(value, pattern)),
  f('like_escape(text,text)', likeEscape),
  f('like_escape(bytea,bytea)', (pattern: Uint8Array, escape: Uint8Array) => Uint8Array.from(Buffer.from(likeEscape(latin1(pattern), latin1(escape)), 'latin1'))),
];

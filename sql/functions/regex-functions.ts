/** ~ and its kin, SIMILAR TO, and the regexp_* functions. */
import { DatabaseError } from '../../engine/errors.js';
import { makeArray } from '../types/array.js';
import type { Datum } from '../types/datum.js';
import { characterIndex, characterLength } from '../types/utf8.js';
import { f, set } from './define.js';
import type { SqlFunction } from './function.js';
import { defaultFlags, parseFlags, regex, type Match, type Regex, type RegexFlags } from './regex.js';

const TEXT = 25;
const plain = defaultFlags();
const ignoringCase: RegexFlags = { ...plain, icase: true };

/** All matches (or the first); `ignoreDegenerate` drops empty ones at either end and after a match, as splitting wants. */
function* matches(re: Regex, text: string, global: boolean, ignoreDegenerate = false, from = 0): Generator<Match> {
  let previousEnd = 0;
  for (let at = from; at <= text.length;) {
    const match = re.exec(text, at);
    if (!match) return;
    const start = match.starts[0]!;
    const end = match.ends[0]!;
    if (!ignoreDegenerate || (start < text.length && end > previousEnd)) yield match;
    previousEnd = end;
    if (!global) return;
    at = end;
    if (start === end) at += text.charCodeAt(at) >= 0xd800 && text.charCodeAt(at) <= 0xdbff ? 2 : 1;
  }
}

function captured(text: string, match: Match, group: number): string | null {
  const start = match.starts[group]!;
  return start < 0 ? null : text.slice(start, match.ends[group]);
}

/** The groups of a match as text[], or the whole match where there are none. */
function groupsOf(text: string, match: Match, re: Regex): Datum {
  if (re.groups === 0) return makeArray(TEXT, [captured(text, match, 0)]);
  return makeArray(TEXT, Array.from({ length: re.groups }, (_, i) => captured(text, match, i + 1)));
}

function refuseGlobal(flags: RegexFlags, name: string, hint?: string): void {
  if (flags.global) throw new DatabaseError('22023', `${name}() does not support the "global" option`, hint ? { hint } : {});
}

function regexpMatch(text: string, pattern: string, options?: string): Datum {
  const flags = parseFlags(options ?? null);
  refuseGlobal(flags, 'regexp_match', 'Use the regexp_matches function instead.');
  const re = regex(pattern, flags);
  const match = re.exec(text);
  return match ? groupsOf(text, match, re) : null;
}

function* regexpMatches(text: string, pattern: string, options?: string): Generator<Datum> {
  const flags = parseFlags(options ?? null);
  const re = regex(pattern, flags);
  for (const match of matches(re, text, flags.global)) yield groupsOf(text, match, re);
}

/** Replacement text with \1..\9, \& and \\ resolved. */
function expand(replacement: string, text: string, match: Match): string {
  if (!replacement.includes('\\')) return replacement;
  let out = '';
  for (let i = 0; i < replacement.length; i++) {
    const c = replacement[i]!;
    if (c !== '\\' || i + 1 >= replacement.length) {
      out += c;
      continue;
    }
    const next = replacement[++i]!;
    if (next >= '1' && next <= '9') {
      const group = Number(next);
      if (group < match.starts.length) out += captured(text, match, group) ?? '';
    } else if (next === '&') out += captured(text, match, 0);
    else if (next === '\\') out += '\\';
    else out += c + next;
  }
  return out;
}

/** `n`: 0 replaces all, else only the n-th match from `start` (1-based characters). */
function replaceMatches(text: string, re: Regex, replacement: string, start: number, n: number): string {
  const from = characterIndex(text, start - 1);
  let out = '';
  let copied = 0;
  let seen = 0;
  if (start - 1 > characterLength(text)) return text;
  for (const match of matches(re, text, true, false, from)) {
    seen++;
    if (n > 0 && seen < n) continue;
    out += text.slice(copied, match.starts[0]) + expand(replacement, text, match);
    copied = match.ends[0]!;
    if (n > 0) break;
  }
  return out + text.slice(copied);
}

function regexpReplace(text: string, pattern: string, replacement: string, options?: string): string {
  if (options !== undefined && /^[0-9]/.test(options)) {
    throw new DatabaseError('22023', `invalid regular expression option: "${options[0]}"`, { hint: 'If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.' });
  }
  const flags = parseFlags(options ?? null);
  return replaceMatches(text, regex(pattern, flags), replacement, 1, flags.global ? 0 : 1);
}

function positive(value: number, name: string): void {
  if (value <= 0) throw new DatabaseError('22023', `invalid value for parameter "${name}": ${value}`);
}

function notNegative(value: number, name: string): void {
  if (value < 0) throw new DatabaseError('22023', `invalid value for parameter "${name}": ${value}`);
}

function regexpReplaceExtended(text: string, pattern: string, replacement: string, start: number, n?: number, options?: string): string {
  positive(start, 'start');
  if (n !== undefined) notNegative(n, 'n');
  const flags = parseFlags(options ?? null);
  return replaceMatches(text, regex(pattern, flags), replacement, start, n ?? (flags.global ? 0 : 1));
}

function* splitText(text: string, pattern: string, options: string | undefined, name: string): Generator<string> {
  const flags = parseFlags(options ?? null);
  refuseGlobal(flags, name);
  let at = 0;
  for (const match of matches(regex(pattern, flags), text, true, true)) {
    yield text.slice(at, match.starts[0]);
    at = match.ends[0]!;
  }
  yield text.slice(at);
}

function regexpCount(text: string, pattern: string, start = 1, options?: string): number {
  positive(start, 'start');
  const flags = parseFlags(options ?? null);
  refuseGlobal(flags, 'regexp_count');
  if (start - 1 > characterLength(text)) return 0;
  let count = 0;
  for (const _ of matches(regex(pattern, flags), text, true, false, characterIndex(text, start - 1))) count++;
  return count;
}

function nthMatch(name: string, text: string, pattern: string, start: number, n: number, options: string | undefined): { match: Match; re: Regex } | undefined {
  positive(start, 'start');
  positive(n, 'n');
  const flags = parseFlags(options ?? null);
  refuseGlobal(flags, name);
  const re = regex(pattern, flags);
  if (start - 1 > characterLength(text)) return undefined;
  let seen = 0;
  for (const match of matches(re, text, true, false, characterIndex(text, start - 1))) if (++seen === n) return { match, re };
  return undefined;
}

function regexpInstr(text: string, pattern: string, start = 1, n = 1, endOption = 0, options?: string, subexpression = 0): number {
  if (endOption !== 0 && endOption !== 1) throw new DatabaseError('22023', `invalid value for parameter "endoption": ${endOption}`);
  notNegative(subexpression, 'subexpr');
  const found = nthMatch('regexp_instr', text, pattern, start, n, options);
  if (!found || subexpression > found.re.groups) return 0;
  const at = endOption === 1 ? found.match.ends[subexpression]! : found.match.starts[subexpression]!;
  return at < 0 ? 0 : characterLength(text.slice(0, at)) + 1;
}

function regexpSubstr(text: string, pattern: string, start = 1, n = 1, options?: string, subexpression = 0): string | null {
  notNegative(subexpression, 'subexpr');
  const found = nthMatch('regexp_substr', text, pattern, start, n, options);
  if (!found || subexpression > found.re.groups) return null;
  return captured(text, found.match, subexpression);
}

/** substring(text from pattern): the first group where there is one. */
function regexSubstring(text: string, pattern: string): string | null {
  const re = regex(pattern, plain);
  const match = re.exec(text);
  return match ? captured(text, match, re.groups > 0 ? 1 : 0) : null;
}

/** similar_escape_internal: a SQL pattern as an advanced regular expression. */
export function similarToRegex(pattern: string, escape: string | null): string {
  if (escape !== null && [...escape].length > 1) throw new DatabaseError('22019', 'invalid escape string', { hint: 'Escape string must be empty or one character.' });
  const escapeCharacter = escape ?? '\\';
  let out = '^(?:';
  let afterEscape = false;
  let inBracket = false;
  let bracketStart = false;
  let quotes = 0;
  for (const c of pattern) {
    if (afterEscape) {
      if (c === '"' && !inBracket) {
        if (quotes === 0) out += '){1,1}?(';
        else if (quotes === 1) out += '){1,1}(?:';
        else throw new DatabaseError('2200C', 'SQL regular expression may not contain more than two escape-double-quote separators');
        quotes++;
      } else out += `\\${c}`;
      afterEscape = false;
    } else if (c === escapeCharacter) afterEscape = true;
    else if (inBracket) {
      if (c === '\\') out += '\\';
      out += c;
      if (c === ']' && !bracketStart) inBracket = false;
      bracketStart = c === '^' && bracketStart;
    } else if (c === '[') {
      out += c;
      inBracket = true;
      bracketStart = true;
    } else if (c === '%') out += '.*';
    else if (c === '_') out += '.';
    else if (c === '(') out += '(?:';
    else if (c === '\\' || c === '.' || c === '^' || c === '$') out += `\\${c}`;
    else out += c;
  }
  return `${out})$`;
}

const names = (prefix: string, suffix: string): string[] => [`text${suffix}(text,text)`, `name${suffix}(name,text)`, `bpchar${suffix}(bpchar,text)`].map((name) => prefix + name);

export const regexFunctions: readonly SqlFunction[] = [
  f(names('', 'regexeq'), (text: string, pattern: string) => regex(pattern, plain).test(text)),
  f(names('', 'regexne'), (text: string, pattern: string) => !regex(pattern, plain).test(text)),
  f(names('', 'icregexeq'), (text: string, pattern: string) => regex(pattern, ignoringCase).test(text)),
  f(names('', 'icregexne'), (text: string, pattern: string) => !regex(pattern, ignoringCase).test(text)),
  f('substring(text,text)', regexSubstring),
  f('substring(text,text,text)', (text: string, pattern: string, escape: string) => regexSubstring(text, similarToRegex(pattern, escape))),
  f('similar_to_escape(text)', (pattern: string) => similarToRegex(pattern, null)),
  f('similar_to_escape(text,text)', similarToRegex),
  f('similar_escape(text,text)', (pattern: string | null, escape: string | null) => (pattern === null ? null : similarToRegex(pattern, escape))),
  f(['regexp_match(text,text)', 'regexp_match(text,text,text)'], regexpMatch),
  set(['regexp_matches(text,text)', 'regexp_matches(text,text,text)'], regexpMatches),
  f(['regexp_replace(text,text,text)', 'regexp_replace(text,text,text,text)'], regexpReplace),
  f(['regexp_replace(text,text,text,int4)', 'regexp_replace(text,text,text,int4,int4)', 'regexp_replace(text,text,text,int4,int4,text)'], regexpReplaceExtended),
  f(['regexp_split_to_array(text,text)', 'regexp_split_to_array(text,text,text)'], (text: string, pattern: string, options?: string) => makeArray(TEXT, [...splitText(text, pattern, options, 'regexp_split_to_array')])),
  set(['regexp_split_to_table(text,text)', 'regexp_split_to_table(text,text,text)'], (text: string, pattern: string, options?: string) => splitText(text, pattern, options, 'regexp_split_to_table')),
  f(['regexp_count(text,text)', 'regexp_count(text,text,int4)', 'regexp_count(text,text,int4,text)'], regexpCount),
  f(['regexp_instr(text,text)', 'regexp_instr(text,text,int4)', 'regexp_instr(text,text,int4,int4)', 'regexp_instr(text,text,int4,int4,int4)', 'regexp_instr(text,text,int4,int4,int4,text)', 'regexp_instr(text,text,int4,int4,int4,text,int4)'], regexpInstr),
  f(['regexp_like(text,text)', 'regexp_like(text,text,text)'], (text: string, pattern: string, options?: string) => {
    const flags = parseFlags(options ?? null);
    refuseGlobal(flags, 'regexp_like');
    return regex(pattern, flags).test(text);
  }),
  f(['regexp_substr(text,text)', 'regexp_substr(text,text,int4)', 'regexp_substr(text,text,int4,int4)', 'regexp_substr(text,text,int4,int4,text)', 'regexp_substr(text,text,int4,int4,text,int4)'], regexpSubstr),
];

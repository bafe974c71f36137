/**
 * PostgreSQL's regular expressions on a linear-time engine (RE2): the pattern is translated from the
 * "advanced" dialect. What needs backtracking (back references, lookaround) raises 0A000, as no
 * pattern may hold the server up. As in PostgreSQL a whole expression prefers the longest or the
 * shortest match; its first quantified atom decides which.
 */
import { RE2JS } from 're2js';
import { DatabaseError, notSupported } from '../../engine/errors.js';

export interface RegexFlags {
  icase: boolean;
  /** '.' and [^...] do not match a newline. */
  newlineStops: boolean;
  /** ^ and $ match at newlines too. */
  newlineAnchors: boolean;
  expanded: boolean;
  literal: boolean;
  global: boolean;
}

export function defaultFlags(): RegexFlags {
  return { icase: false, newlineStops: false, newlineAnchors: false, expanded: false, literal: false, global: false };
}

/** Flags of regexp_* functions; 22023 for an unknown letter. */
export function parseFlags(text: string | null): RegexFlags {
  const flags = defaultFlags();
  for (const c of text ?? '') if (!applyFlag(flags, c, true)) throw new DatabaseError('22023', `invalid regular expression option: "${c}"`);
  return flags;
}

function applyFlag(flags: RegexFlags, c: string, globalAllowed: boolean): boolean {
  switch (c) {
    case 'g':
      if (!globalAllowed) return false;
      flags.global = true;
      return true;
    case 'b': throw notSupported('basic regular expression syntax');
    case 'c': flags.icase = false; return true;
    case 'i': flags.icase = true; return true;
    case 'm': case 'n': flags.newlineStops = flags.newlineAnchors = true; return true;
    case 'p': flags.newlineStops = true; flags.newlineAnchors = false; return true;
    case 's': flags.newlineStops = flags.newlineAnchors = false; return true;
    case 'w': flags.newlineStops = false; flags.newlineAnchors = true; return true;
    case 'q': flags.literal = true; return true;
    case 'x': flags.expanded = true; return true;
    case 't': flags.expanded = false; return true;
    case 'e': return true;
    default: return false;
  }
}

function invalid(what: string): DatabaseError {
  return new DatabaseError('2201B', `invalid regular expression: ${what}`);
}

const SPACE = '\\t-\\r \\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200a}\\x{2028}\\x{2029}\\x{205f}\\x{3000}';
const WORD = '\\p{L}\\p{N}_';
const CLASSES: Readonly<Record<string, string>> = {
  alpha: '\\p{L}', digit: '0-9', alnum: '\\p{L}\\p{N}', upper: '\\p{Lu}', lower: '\\p{Ll}', space: SPACE, blank: ' \\t', word: WORD, xdigit: '0-9A-Fa-f',
  punct: '!-/:-@\\[-`{-~\\p{P}\\p{S}', cntrl: '\\x00-\\x1f\\x7f', graph: '\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}', print: ' \\p{L}\\p{M}\\p{N}\\p{P}\\p{S}', ascii: '\\x00-\\x7f',
};

function literal(codePoint: number): string {
  const c = String.fromCodePoint(codePoint);
  if (/[A-Za-z0-9_]/.test(c)) return c;
  return `\\x{${codePoint.toString(16)}}`;
}

const isWordChar = (c: string | undefined): boolean => c !== undefined && /[\p{L}\p{N}_]/u.test(c);

/** Whether an expression prefers the longest or the shortest match: its first quantified atom decides. */
type Preference = 'none' | 'greedy' | 'lazy';

/** One translation. `lazy` makes every quantifier non-greedy: the whole expression prefers the shortest match. */
class Translator {
  private p = 0;
  private out = '';
  private depth = 0;
  preference: Preference = 'none';
  groups = 0;

  constructor(private readonly source: string, private readonly flags: RegexFlags, private readonly lazy: boolean) {}

  run(): string {
    this.preference = this.alternatives();
    if (this.p < this.source.length) throw invalid('parentheses () not balanced');
    return this.out;
  }

  private peek(): string | undefined {
    return this.source[this.p];
  }

  private skipExpanded(): void {
    for (;;) {
      if (this.source.startsWith('(?#', this.p)) {
        const end = this.source.indexOf(')', this.p);
        this.p = end < 0 ? this.source.length : end + 1;
      } else if (this.flags.expanded && /\s/.test(this.peek() ?? '')) this.p++;
      else if (this.flags.expanded && this.peek() === '#') {
        while (this.p < this.source.length && this.peek() !== '\n') this.p++;
      } else return;
    }
  }

  private alternatives(): Preference {
    let preference = this.branch();
    while (this.peek() === '|') {
      this.p++;
      this.out += '|';
      this.branch();
      preference = 'greedy';
    }
    return preference;
  }

  private branch(): Preference {
    let preference: Preference = 'none';
    for (;;) {
      this.skipExpanded();
      const c = this.peek();
      if (c === undefined || c === '|' || (c === ')' && this.depth > 0)) return preference;
      this.groupPreference = 'none';
      const quantifiable = this.atom();
      const own = this.groupPreference;
      this.skipExpanded();
      const quantified = this.quantifier(quantifiable);
      if (preference === 'none') preference = quantified === 'none' ? own : quantified;
    }
  }

  /** Of the atom just read, where it is a group. */
  private groupPreference: Preference = 'none';

  /** Emits one atom or constraint; false for constraints, which take no quantifier. */
  private atom(): boolean {
    const c = this.source[this.p]!;
    switch (c) {
      case '(': return this.group();
      case '[':
        if (this.source.startsWith('[[:<:]]', this.p)) {
          this.p += 7;
          this.wordStart();
          return false;
        }
        if (this.source.startsWith('[[:>:]]', this.p)) {
          this.p += 7;
          this.wordEnd();
          return false;
        }
        this.bracket();
        return true;
      case '.':
        this.p++;
        this.out += '.';
        return true;
      case '^':
        this.p++;
        this.out += '^';
        return false;
      case '$':
        this.p++;
        this.out += '$';
        return false;
      case '*': case '+': case '?':
        throw invalid('quantifier operand invalid');
      case '{':
        if (/^\{\d/.test(this.source.slice(this.p))) throw invalid('quantifier operand invalid');
        this.p++;
        this.out += '\\{';
        return true;
      case ')':
        throw invalid('parentheses () not balanced');
      case '\\': return this.escape();
      default: {
        const codePoint = this.source.codePointAt(this.p)!;
        this.p += codePoint > 0xffff ? 2 : 1;
        this.out += literal(codePoint);
        return true;
      }
    }
  }

  private group(): boolean {
    this.p++;
    if (this.peek() === '?') {
      const next = this.source[this.p + 1];
      if (next === ':') {
        this.p += 2;
        this.out += '(?:';
      } else if (next === '=' || next === '!') throw notSupported('lookahead in regular expressions');
      else if (next === '<') throw notSupported('lookbehind in regular expressions');
      else throw invalid('quantifier operand invalid');
    } else {
      this.groups++;
      this.out += '(';
    }
    this.depth++;
    const preference = this.alternatives();
    this.groupPreference = preference;
    if (this.peek() !== ')') throw invalid('parentheses () not balanced');
    this.p++;
    this.depth--;
    this.out += ')';
    return true;
  }

  private wordStart(): void {
    const rest = this.source.slice(this.p);
    if (!isWordChar(rest[0]) && !/^\\[wd]|^\(+\w|^\[(?:\[:(?:alpha|alnum|word|digit):\]|[A-Za-z0-9_])/.test(rest)) throw notSupported('\\m before anything but a word character in regular expressions');
    this.out += '\\b';
  }

  private wordEnd(): void {
    if (!/(?:[\p{L}\p{N}_)+*\]]|\\p\{[LN]\}_?\])$/u.test(this.out)) throw notSupported('\\M after anything but a word character in regular expressions');
    this.out += '\\b';
  }

  /** A code point by a numeric or letter escape shared by atoms and brackets; undefined for class escapes. */
  private characterEscape(): number | undefined {
    const rest = this.source.slice(this.p + 1);
    const c = rest[0];
    const take = (length: number, value: number): number => {
      this.p += 1 + length;
      return value;
    };
    const hex = (pattern: RegExp): number => {
      const match = pattern.exec(rest.slice(1));
      if (!match) throw invalid('invalid escape \\ sequence');
      const value = parseInt(match[0].slice(-8), 16);
      if (value > 0x10ffff) throw invalid('invalid escape \\ sequence');
      return take(1 + match[0].length, value);
    };
    switch (c) {
      case undefined: throw invalid('invalid escape \\ sequence');
      case 'a': return take(1, 7);
      case 'b': return take(1, 8);
      case 'B': return take(1, 92);
      case 'c': return take(2, (rest.codePointAt(1) ?? 0) & 31);
      case 'e': return take(1, 27);
      case 'f': return take(1, 12);
      case 'n': return take(1, 10);
      case 'r': return take(1, 13);
      case 't': return take(1, 9);
      case 'v': return take(1, 11);
      case 'u': return hex(/^[0-9a-fA-F]{4}/);
      case 'U': return hex(/^[0-9a-fA-F]{8}/);
      case 'x': return hex(/^[0-9a-fA-F]+/);
      case '0': {
        const match = /^0[0-7]{0,2}/.exec(rest)!;
        return take(match[0].length, parseInt(match[0], 8));
      }
      default:
    }
    if (/[A-Za-z0-9]/.test(c)) return undefined;
    const codePoint = rest.codePointAt(0)!;
    return take(codePoint > 0xffff ? 2 : 1, codePoint);
  }

  private escape(): boolean {
    const c = this.source[this.p + 1];
    const constraint = (text: string): boolean => {
      this.p += 2;
      this.out += text;
      return false;
    };
    const classOf = (text: string): boolean => {
      this.p += 2;
      this.out += text;
      return true;
    };
    switch (c) {
      case 'A': return constraint('\\A');
      case 'Z': return constraint('\\z');
      case 'y': return constraint('\\b');
      case 'Y': return constraint('\\B');
      case 'm':
        this.p += 2;
        this.wordStart();
        return false;
      case 'M':
        this.p += 2;
        this.wordEnd();
        return false;
      case 'd': return classOf('[0-9]');
      case 'D': return classOf(this.flags.newlineStops ? '[^0-9\\n]' : '[^0-9]');
      case 's': return classOf(`[${SPACE}]`);
      case 'S': return classOf(`[^${SPACE}]`);
      case 'w': return classOf(`[${WORD}]`);
      case 'W': return classOf(this.flags.newlineStops ? `[^${WORD}\\n]` : `[^${WORD}]`);
      default:
    }
    if (c !== undefined && /[1-9]/.test(c)) {
      const digits = /^\d+/.exec(this.source.slice(this.p + 1))![0];
      if (digits.length === 1 || Number(digits) <= this.groups) throw notSupported('back references in regular expressions');
      const octal = /^[0-7]{2,3}/.exec(digits);
      if (!octal) throw notSupported('back references in regular expressions');
      this.p += 1 + octal[0].length;
      this.out += literal(parseInt(octal[0], 8));
      return true;
    }
    const codePoint = this.characterEscape();
    if (codePoint === undefined) throw invalid('invalid escape \\ sequence');
    this.out += literal(codePoint);
    return true;
  }

  private bracket(): void {
    this.p++;
    let body = '';
    let negated = false;
    if (this.peek() === '^') {
      negated = true;
      this.p++;
    }
    for (let first = true; ; first = false) {
      const c = this.peek();
      if (c === undefined) throw invalid('brackets [] not balanced');
      if (c === ']' && !first) break;
      const named = /^\[([:.=])(.*?)\1\]/s.exec(this.source.slice(this.p));
      if (named && named[1] === ':') {
        const cls = CLASSES[named[2]!];
        if (cls === undefined) throw invalid('invalid character class');
        body += this.flags.icase && (named[2] === 'upper' || named[2] === 'lower') ? CLASSES.alpha! : cls;
        this.p += named[0].length;
        continue;
      }
      if (c === '\\' && /[dswDSW]/.test(this.source[this.p + 1] ?? '')) {
        const which = this.source[this.p + 1]!;
        const inner = which === 'd' ? '0-9' : which === 's' ? SPACE : which === 'w' ? WORD : undefined;
        if (inner === undefined) throw invalid('invalid escape \\ sequence');
        body += inner;
        this.p += 2;
        continue;
      }
      const low = this.bracketPoint();
      if (this.peek() === '-' && this.source[this.p + 1] !== ']' && this.source[this.p + 1] !== undefined) {
        this.p++;
        const high = this.bracketPoint();
        if (high < low) throw invalid('invalid character range');
        body += `${literal(low)}-${literal(high)}`;
      } else body += literal(low);
    }
    this.p++;
    this.out += `[${negated ? '^' : ''}${body}${negated && this.flags.newlineStops ? '\\n' : ''}]`;
  }

  private bracketPoint(): number {
    const collating = /^\[([.=])(.*?)\1\]/s.exec(this.source.slice(this.p));
    if (collating) {
      const name = collating[2]!;
      if ([...name].length !== 1) throw invalid('invalid collating element');
      this.p += collating[0].length;
      return name.codePointAt(0)!;
    }
    if (this.peek() === '\\') {
      const codePoint = this.characterEscape();
      if (codePoint === undefined) throw invalid('invalid escape \\ sequence');
      return codePoint;
    }
    const codePoint = this.source.codePointAt(this.p);
    if (codePoint === undefined) throw invalid('brackets [] not balanced');
    this.p += codePoint > 0xffff ? 2 : 1;
    return codePoint;
  }

  private quantifier(quantifiable: boolean): Preference {
    const c = this.peek();
    let text: string;
    if (c === '*' || c === '+' || c === '?') {
      text = c;
      this.p++;
    } else if (c === '{') {
      const rest = this.source.slice(this.p);
      if (!/^\{\d/.test(rest)) return 'none';
      const match = /^\{(\d+)(,(\d*))?\}/.exec(rest);
      if (!match) throw invalid(rest.includes('}') ? 'invalid repetition count(s)' : 'braces {} not balanced');
      const min = Number(match[1]);
      const max = match[3] === undefined || match[3] === '' ? min : Number(match[3]);
      if (min > 255 || max > 255 || max < min) throw invalid('invalid repetition count(s)');
      text = match[0];
      this.p += match[0].length;
    } else return 'none';
    if (!quantifiable) throw invalid('quantifier operand invalid');
    const fixed = /^\{\d+\}$/.test(text) || text === '{1,1}';
    let preference: Preference = fixed ? 'none' : 'greedy';
    if (this.peek() === '?') {
      this.p++;
      preference = fixed ? 'none' : 'lazy';
    }
    if (/^[*+?]/.test(this.peek() ?? '') || /^\{\d/.test(this.source.slice(this.p))) throw invalid('quantifier operand invalid');
    this.out += this.lazy && !fixed ? `${text}?` : text;
    return preference;
  }
}

/** One match as [start, end] pairs by group; -1 for groups that took no part. */
export interface Match {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

export class Regex {
  private readonly re: RE2JS;
  readonly groups: number;

  constructor(pattern: string, given: RegexFlags) {
    const flags = { ...given };
    let source = pattern;
    if (source.startsWith('***')) {
      if (source[3] === '=') {
        flags.literal = true;
        source = source.slice(4);
      } else if (source[3] === ':') source = source.slice(4);
      else throw invalid('quantifier operand invalid');
    }
    const embedded = flags.literal ? null : /^\(\?([a-z]+)\)/.exec(source);
    if (embedded) {
      for (const c of embedded[1]!) if (!applyFlag(flags, c, false)) throw invalid('invalid embedded option');
      source = source.slice(embedded[0].length);
    }
    let translated: string;
    let lazy = false;
    if (flags.literal) {
      translated = [...source].map((c) => literal(c.codePointAt(0)!)).join('');
      this.groups = 0;
    } else {
      const translator = new Translator(source, flags, false);
      translated = translator.run();
      lazy = translator.preference === 'lazy';
      if (lazy) translated = new Translator(source, flags, true).run();
      this.groups = translator.groups;
    }
    const options = (flags.icase ? RE2JS.CASE_INSENSITIVE : 0) | (flags.newlineStops ? 0 : RE2JS.DOTALL) | (flags.newlineAnchors ? RE2JS.MULTILINE : 0) | (lazy ? 0 : RE2JS.LONGEST_MATCH);
    try {
      this.re = RE2JS.compile(translated, options);
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error));
    }
  }

  test(text: string): boolean {
    return this.re.matcher(text).find();
  }

  /** First match at or after UTF-16 index `from`. */
  exec(text: string, from = 0): Match | undefined {
    const matcher = this.re.matcher(text);
    if (!matcher.find(from)) return undefined;
    const starts: number[] = [];
    const ends: number[] = [];
    for (let group = 0; group <= this.groups; group++) {
      starts.push(matcher.start(group));
      ends.push(matcher.end(group));
    }
    return { starts, ends };
  }
}

const cache = new Map<string, Regex>();

/** The compiled regex, cached by pattern and flags. */
export function regex(pattern: string, flags: RegexFlags): Regex {
  const key = `${flags.icase ? 'i' : ''}${flags.newlineStops ? 'p' : ''}${flags.newlineAnchors ? 'w' : ''}${flags.expanded ? 'x' : ''}${flags.literal ? 'q' : ''}/${pattern}`;
  let found = cache.get(key);
  if (!found) {
    found = new Regex(pattern, flags);
    if (cache.size >= 256) cache.clear();
    cache.set(key, found);
  }
  return found;
}

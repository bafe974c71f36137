/** String functions: pieces, padding, searching, quoting, case. Positions count characters, not UTF-16 units. */
import { DatabaseError } from '../../engine/errors.js';
import { makeArray } from '../types/array.js';
import type { ArrayValue, Datum, Int8 } from '../types/datum.js';
import { quoteIdentifier } from '../types/identifier.js';
import { trimBlanks } from '../types/text.js';
import { LARGE_TEXT, PIECE_LENGTH, rememberPieces } from '../types/large-text.js';
import { characterLength, isBasicPlane, sliceCharacters, utf8Length } from '../types/utf8.js';
import type { EvalContext } from './context.js';
import { f, fbc, set } from './define.js';
import type { FunctionCall, SqlFunction } from './function.js';
import { lowerText, upperText } from './like.js';

const TEXT = 25;
/** PostgreSQL allows 1 GB; a JavaScript string ends at half of that. */
const MAX_BYTES = 0x1fffffe8;

const tooLarge = (): DatabaseError => new DatabaseError('54000', 'requested length too large');

/** SQL's substring: `start` 1-based and possibly before the text, `length` cut accordingly. */
function substring(text: string, start: number, length?: number): string {
  let end = Infinity;
  if (length !== undefined) {
    if (length < 0 && start + length < start) throw new DatabaseError('22011', 'negative substring length not allowed');
    end = start + length;
  }
  const from = Math.max(start, 1);
  if (end <= from) return '';
  return sliceCharacters(text, from - 1, end === Infinity ? text.length : end - 1);
}

function position(text: string, search: string): number {
  const at = text.indexOf(search);
  if (at < 0) return 0;
  return isBasicPlane(text) ? at + 1 : characterLength(text.slice(0, at)) + 1;
}

function overlay(text: string, replacement: string, start: number, length = characterLength(replacement)): string {
  if (start <= 0) throw new DatabaseError('22011', 'negative substring length not allowed');
  return substring(text, 1, start - 1) + replacement + substring(text, start + length);
}

function trimmer(set: string, left: boolean, right: boolean): (text: string) => string {
  const characters = new Set(set);
  if (isBasicPlane(set)) {
    return (text) => {
      let start = 0;
      let end = text.length;
      if (left) while (start < end && characters.has(text[start]!)) start++;
      if (right) while (end > start && characters.has(text[end - 1]!)) end--;
      return text.slice(start, end);
    };
  }
  return (text) => {
    const list = [...text];
    let start = 0;
    let end = list.length;
    if (left) while (start < end && characters.has(list[start]!)) start++;
    if (right) while (end > start && characters.has(list[end - 1]!)) end--;
    return list.slice(start, end).join('');
  };
}

function pad(text: string, length: number, fill: string, left: boolean): string {
  const wanted = Math.max(length, 0);
  const have = characterLength(text);
  if (have >= wanted) return sliceCharacters(text, 0, wanted);
  if (fill === '') return text;
  if (wanted * 4 > MAX_BYTES) throw tooLarge();
  const missing = wanted - have;
  const fillLength = characterLength(fill);
  const padding = fill.repeat(Math.floor(missing / fillLength)) + sliceCharacters(fill, 0, missing % fillLength);
  return left ? padding + text : text + padding;
}

/** lpad cuts from the end too, also when the fill is empty. */
function padText(left: boolean) {
  return (text: string, length: number, fill = ' '): string => (fill === '' ? sliceCharacters(text, 0, Math.max(length, 0)) : pad(text, length, fill, left));
}

function leftPart(text: string, count: number): string {
  return count >= 0 ? sliceCharacters(text, 0, count) : sliceCharacters(text, 0, Math.max(characterLength(text) + count, 0));
}

function rightPart(text: string, count: number): string {
  const length = characterLength(text);
  return sliceCharacters(text, count >= 0 ? Math.max(length - count, 0) : Math.min(-count, length), length);
}

/** Long results are put together from few parts, which the way to the store or the client goes along. */
function repeatText(text: string, count: number): string {
  const result = text.repeat(count);
  if (result.length <= LARGE_TEXT || text.length > PIECE_LENGTH) return result;
  const perPiece = Math.floor(PIECE_LENGTH / text.length);
  const piece = text.repeat(perPiece);
  const pieces = Array<string>(Math.floor(count / perPiece)).fill(piece);
  if (count % perPiece > 0) pieces.push(text.repeat(count % perPiece));
  return rememberPieces(result, pieces);
}

function repeat(text: string, count: number): string {
  if (count <= 0 || text === '') return '';
  if (utf8Length(text) * count > MAX_BYTES) throw tooLarge();
  return repeatText(text, count);
}

function replace(text: string, search: string, replacement: string): string {
  return search === '' ? text : text.replaceAll(search, () => replacement);
}

function translate(text: string, from: string, to: string): string {
  const target = [...to];
  const map = new Map<string, string>();
  [...from].forEach((c, i) => {
    if (!map.has(c)) map.set(c, target[i] ?? '');
  });
  let out = '';
  for (const c of text) out += map.get(c) ?? (map.has(c) ? '' : c);
  return out;
}

function reverse(text: string): string {
  return [...text].reverse().join('');
}

const ALNUM = /[\p{L}\p{N}]/u;

function initcap(text: string): string {
  let out = '';
  let inWord = false;
  for (const c of text) {
    out += inWord ? lowerText(c) : upperText(c);
    inWord = ALNUM.test(c);
  }
  return out;
}

function splitPart(text: string, separator: string, field: number): string {
  if (field === 0) throw new DatabaseError('22023', 'field position must not be zero');
  if (text === '') return '';
  if (separator === '') return field === 1 || field === -1 ? text : '';
  const parts = text.split(separator);
  return (field > 0 ? parts[field - 1] : parts[parts.length + field]) ?? '';
}

function splitToList(text: string, separator: string | null, nullText: string | null): (string | null)[] {
  if (text === '') return [];
  const parts = separator === null ? [...text] : separator === '' ? [text] : text.split(separator);
  return nullText === null ? parts : parts.map((part) => (part === nullText ? null : part));
}

function ascii(text: string): number {
  return text === '' ? 0 : text.codePointAt(0)!;
}

function chr(code: number): string {
  if (code < 0) throw new DatabaseError('54000', 'character number must be positive');
  if (code === 0) throw new DatabaseError('54000', 'null character not permitted');
  if (code > 0x10ffff) throw new DatabaseError('54000', `requested character too large for encoding: ${code}`);
  if (code >= 0xd800 && code <= 0xdfff) throw new DatabaseError('54000', `requested character not valid for encoding: ${code}`);
  return String.fromCodePoint(code);
}

function toHex(bits: 32 | 64): (value: Int8) => string {
  return (value) => BigInt.asUintN(bits, BigInt(value)).toString(16);
}

export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}

// ---- concatenation of anything -----------------------------------------------------------------

/** Texts of a variadic "any" call's arguments from `first` on; null where NULL. */
function texts(call: FunctionCall, first: number): (args: readonly Datum[], context: EvalContext) => (string | null)[] | null {
  if (call.variadicArray) {
    return (args, context) => {
      const array = args[first] as ArrayValue | null;
      if (array === null) return null;
      const type = context.catalog.dataType(array.elementType);
      return array.elements.map((item) => (item === null ? null : type.output(item, context)));
    };
  }
  const types = call.argTypes.map((oid) => call.type(oid));
  return (args, context) => args.slice(first).map((value, i) => (value === null ? null : types[first + i]!.output(value, context)));
}

const splitContext = (args: unknown[]): [Datum[], EvalContext] => [args.slice(0, -1) as Datum[], args[args.length - 1] as EvalContext];

const concat = fbc('concat(any)', (call) => {
  const list = texts(call, 0);
  return (...all: unknown[]) => {
    const [args, context] = splitContext(all);
    const items = list(args, context);
    return items === null ? null : items.filter((item) => item !== null).join('');
  };
});

const concatWs = fbc('concat_ws(text,any)', (call) => {
  const list = texts(call, 1);
  return (...all: unknown[]) => {
    const [args, context] = splitContext(all);
    const separator = args[0] as string | null;
    if (separator === null) return null;
    const items = list(args, context);
    return items === null ? null : items.filter((item) => item !== null).join(separator);
  };
});

/** format(): %s %I %L with positions, width and '-'. */
function format(template: string, values: readonly (string | null)[]): string {
  const terminated = (): DatabaseError => new DatabaseError('22023', 'unterminated format() type specifier', { hint: 'For a single "%" use "%%".' });
  const tooFew = (): DatabaseError => new DatabaseError('22023', 'too few arguments for format()');
  let out = '';
  let next = 0;
  for (let i = 0; i < template.length; i++) {
    const c = template[i]!;
    if (c !== '%') {
      out += c;
      continue;
    }
    if (++i >= template.length) throw terminated();
    if (template[i] === '%') {
      out += '%';
      continue;
    }
    const spec = /^(?:(\d+)\$)?(-*)(?:(\d+)|\*(?:(\d+)\$)?)?/.exec(template.slice(i))!;
    const argument = (position: string | undefined): string | null => {
      if (position !== undefined) {
        if (Number(position) === 0) throw new DatabaseError('22023', 'format specifies argument 0, but arguments are numbered from 1');
        next = Number(position) - 1;
      }
      if (next >= values.length) throw tooFew();
      return values[next++]!;
    };
    let width = spec[3] !== undefined ? Number(spec[3]) : 0;
    let leftAlign = spec[2] !== '';
    if (spec[0].includes('*')) {
      const value = argument(spec[4]);
      width = value === null ? 0 : Number(value);
      if (width < 0) {
        leftAlign = true;
        width = -width;
      }
    }
    i += spec[0].length;
    if (i >= template.length) throw terminated();
    const kind = template[i]!;
    if (kind !== 's' && kind !== 'I' && kind !== 'L') {
      throw new DatabaseError('22023', `unrecognized format() type specifier "${String.fromCodePoint(template.codePointAt(i)!)}"`, { hint: 'For a single "%" use "%%".' });
    }
    const value = argument(spec[1]);
    let text: string;
    if (value === null) {
      if (kind === 'I') throw new DatabaseError('22004', 'null values cannot be formatted as an SQL identifier');
      text = kind === 'L' ? 'NULL' : '';
    } else text = kind === 's' ? value : kind === 'I' ? quoteIdentifier(value) : quoteLiteral(value);
    const missing = width - characterLength(text);
    out += missing <= 0 ? text : leftAlign ? text + ' '.repeat(missing) : ' '.repeat(missing) + text;
  }
  return out;
}

const formatFunction = fbc('format(text,any)', (call) => {
  const list = texts(call, 1);
  return (...all: unknown[]) => {
    const [args, context] = splitContext(all);
    return args[0] === null ? null : format(args[0] as string, list(args, context) ?? []);
  };
});

/** unistr(): \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX. */
function unistr(text: string): string {
  const invalid = (): DatabaseError => new DatabaseError('42601', 'invalid Unicode escape', { hint: 'Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.' });
  const pair = (): DatabaseError => new DatabaseError('42601', 'invalid Unicode surrogate pair');
  let high: number | undefined;
  let out = '';
  for (let i = 0; i < text.length;) {
    if (text[i] !== '\\') {
      if (high !== undefined) throw pair();
      out += text[i++]!;
      continue;
    }
    if (text[i + 1] === '\\') {
      if (high !== undefined) throw pair();
      out += '\\';
      i += 2;
      continue;
    }
    const match = /^\\(?:([0-9a-fA-F]{4})|u([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|U([0-9a-fA-F]{8}))/.exec(text.slice(i));
    if (!match) throw invalid();
    const code = parseInt(match[1] ?? match[2] ?? match[3] ?? match[4]!, 16);
    i += match[0].length;
    if (code === 0 || code > 0x10ffff) throw new DatabaseError('22023', `invalid Unicode code point: ${code.toString(16).toUpperCase().padStart(4, '0')}`);
    if (high !== undefined) {
      if (code < 0xdc00 || code > 0xdfff) throw pair();
      out += String.fromCharCode(high, code);
      high = undefined;
    } else if (code >= 0xd800 && code <= 0xdbff) high = code;
    else if (code >= 0xdc00 && code <= 0xdfff) throw pair();
    else out += String.fromCodePoint(code);
  }
  if (high !== undefined) throw pair();
  return out;
}

function normalForm(form: string): 'NFC' | 'NFD' | 'NFKC' | 'NFKD' {
  const upper = form.toUpperCase();
  if (upper !== 'NFC' && upper !== 'NFD' && upper !== 'NFKC' && upper !== 'NFKD') throw new DatabaseError('22023', `invalid normalization form: ${form}`);
  return upper;
}

/** parse_ident. */
function parseIdent(text: string, strict = true): Datum {
  const invalid = (detail?: string): DatabaseError => new DatabaseError('22023', `string is not a valid identifier: "${text}"`, detail ? { detail } : {});
  const parts: string[] = [];
  let p = 0;
  const skip = (): void => {
    while (/\s/.test(text[p] ?? '')) p++;
  };
  for (skip(); ;) {
    if (text[p] === '"') {
      let name = '';
      for (p++; ; p++) {
        if (p >= text.length) throw invalid('String has unclosed double quotes.');
        if (text[p] === '"') {
          if (text[p + 1] !== '"') break;
          p++;
        }
        name += text[p]!;
      }
      p++;
      if (name === '') throw invalid('Quoted identifier must not be empty.');
      parts.push(name);
    } else {
      const match = /^[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/.exec(text.slice(p));
      if (!match) throw text[p] === '.' ? invalid('No valid identifier before ".".') : parts.length > 0 && p >= text.length ? invalid('No valid identifier after ".".') : invalid();
      parts.push(match[0].replace(/[A-Z]/g, (c) => c.toLowerCase()));
      p += match[0].length;
    }
    skip();
    if (text[p] === '.') {
      p++;
      skip();
      continue;
    }
    if (p >= text.length) break;
    if (strict) throw invalid();
    break;
  }
  return makeArray(TEXT, parts);
}

const binaryConcat = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
};

const trim = (left: boolean, right: boolean) => (text: string, characters = ' '): string => trimmer(characters, left, right)(text);

export const stringFunctions: readonly SqlFunction[] = [
  f('textcat(text,text)', (a: string, b: string) => a + b, ([a, b]) => `(${a} + ${b})`),
  fbc('textanycat(text,anynonarray)', (call) => {
    const type = call.type(call.argTypes[1]!);
    return (text: string, value: Datum, context: EvalContext) => text + asText(type, value, context);
  }),
  fbc('anytextcat(anynonarray,text)', (call) => {
    const type = call.type(call.argTypes[0]!);
    return (value: Datum, text: string, context: EvalContext) => asText(type, value, context) + text;
  }),
  f('byteacat(bytea,bytea)', binaryConcat),
  concat,
  concatWs,
  formatFunction,
  f('format(text)', (template: string | null) => (template === null ? null : format(template, []))),
  f(['length(text)', 'char_length(text)', 'character_length(text)', 'textlen(text)'], characterLength),
  f(['length(bpchar)', 'char_length(bpchar)', 'character_length(bpchar)'], (text: string) => characterLength(trimBlanks(text))),
  f('octet_length(text)', utf8Length),
  f('octet_length(bpchar)', utf8Length),
  f('bit_length(text)', (text: string) => utf8Length(text) * 8),
  f('lower(text)', lowerText),
  f('upper(text)', upperText),
  f('initcap(text)', initcap),
  f(['substring(text,int4)', 'substring(text,int4,int4)', 'substr(text,int4)', 'substr(text,int4,int4)'], substring),
  f(['position(text,text)', 'strpos(text,text)'], position),
  f(['overlay(text,text,int4)', 'overlay(text,text,int4,int4)'], overlay),
  f(['btrim(text)', 'btrim(text,text)'], trim(true, true)),
  f(['ltrim(text)', 'ltrim(text,text)'], trim(true, false)),
  f(['rtrim(text)', 'rtrim(text,text)'], trim(false, true)),
  f(['lpad(text,int4)', 'lpad(text,int4,text)'], padText(true)),
  f(['rpad(text,int4)', 'rpad(text,int4,text)'], padText(false)),
  f('left(text,int4)', leftPart),
  f('right(text,int4)', rightPart),
  f('repeat(text,int4)', repeat),
  f('replace(text,text,text)', replace),
  f('translate(text,text,text)', translate),
  f('reverse(text)', reverse),
  f('split_part(text,text,int4)', splitPart),
  f(['string_to_array(text,text)', 'string_to_array(text,text,text)'], (text: string | null, separator: string | null, nullText: string | null = null) => (text === null ? null : makeArray(TEXT, splitToList(text, separator, nullText)))),
  set(['string_to_table(text,text)', 'string_to_table(text,text,text)'], (text: string | null, separator: string | null, nullText: string | null = null) => (text === null ? [] : splitToList(text, separator, nullText))),
  f('ascii(text)', ascii),
  f('chr(int4)', chr),
  f('to_hex(int4)', toHex(32)),
  f('to_hex(int8)', toHex(64)),
  f('quote_ident(text)', quoteIdentifier),
  f('quote_literal(text)', quoteLiteral),
  f('quote_nullable(text)', (text: string | null) => (text === null ? 'NULL' : quoteLiteral(text))),
  fbc('quote_literal(anyelement)', (call) => {
    const type = call.type(call.argTypes[0]!);
    return (value: Datum, context: EvalContext) => quoteLiteral(asText(type, value, context));
  }),
  fbc('quote_nullable(anyelement)', (call) => {
    const type = call.type(call.argTypes[0]!);
    return (value: Datum, context: EvalContext) => (value === null ? 'NULL' : quoteLiteral(asText(type, value, context)));
  }),
  f('unistr(text)', unistr),
  f('normalize(text,text)', (text: string, form: string) => text.normalize(normalForm(form))),
  f('is_normalized(text,text)', (text: string, form: string) => text.normalize(normalForm(form)) === text),
  f('parse_ident(text,bool)', parseIdent),
  f('nameconcatoid(name,oid)', (name: string, oid: number) => {
    const suffix = `_${oid}`;
    return name.slice(0, Math.min(name.length, 63 - suffix.length)) + suffix;
  }),
];

/** What a cast to text gives: booleans in words, character types as they are. */
function asText(type: { name: string; output(value: Datum, context: EvalContext): string }, value: Datum, context: EvalContext): string {
  if (type.name === 'bool') return value ? 'true' : 'false';
  if (type.name === 'bpchar') return trimBlanks(value as string);
  return type.output(value, context);
}

/**
 * JSON text: PostgreSQL's lexer and grammar with its error details, and the type json, which keeps
 * the text as it came. A builder decides what a parse yields: nothing (json's validation), a tree
 * with text positions (json functions) or jsonb values.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { textType } from './text.js';

export interface JsonBuilder<T> {
  object(keys: string[], values: T[], start: number, end: number): T;
  array(values: T[], start: number, end: number): T;
  string(value: string, start: number, end: number): T;
  number(text: string, start: number, end: number): T;
  literal(value: boolean | null, start: number, end: number): T;
}

/** Deeper than this PostgreSQL's stack would be exhausted too. */
const MAX_DEPTH = 6400;

type Token = '{' | '}' | '[' | ']' | ',' | ':' | 'string' | 'number' | 'true' | 'false' | 'null' | 'end';

class JsonParser<T> {
  private position = 0;
  private token: Token = 'end';
  private tokenStart = 0;
  private value = '';
  private depth = 0;

  constructor(private readonly text: string, private readonly builder: JsonBuilder<T>, private readonly unescape: boolean) {}

  parse(): T {
    this.advance();
    const result = this.parseValue();
    if (this.token !== 'end') throw this.unexpected('Expected end of input, but found');
    return result;
  }

  private parseValue(): T {
    const start = this.tokenStart;
    switch (this.token) {
      case '{': return this.parseObject(start);
      case '[': return this.parseArray(start);
      case 'string': {
        const { value } = this;
        const end = this.position;
        this.advance();
        return this.builder.string(value, start, end);
      }
      case 'number': {
        const end = this.position;
        this.advance();
        return this.builder.number(this.text.slice(start, end), start, end);
      }
      case 'true': case 'false': case 'null': {
        const { token } = this;
        const end = this.position;
        this.advance();
        return this.builder.literal(token === 'null' ? null : token === 'true', start, end);
      }
      default:
        throw this.unexpected('Expected JSON value, but found');
    }
  }

  private enter(): void {
    if (++this.depth > MAX_DEPTH) throw new DatabaseError('54001', 'stack depth limit exceeded');
  }

  private parseObject(start: number): T {
    this.enter();
    const keys: string[] = [];
    const values: T[] = [];
    this.advance();
    if ((this.token as Token) !== '}') {
      if ((this.token as Token) !== 'string') throw this.unexpected('Expected string or "}", but found');
      for (;;) {
        if ((this.token as Token) !== 'string') throw this.unexpected('Expected string, but found');
        keys.push(this.value);
        this.advance();
        if ((this.token as Token) !== ':') throw this.unexpected('Expected ":", but found');
        this.advance();
        values.push(this.parseValue());
        if ((this.token as Token) === ',') {
          this.advance();
          continue;
        }
        if ((this.token as Token) === '}') break;
        throw this.unexpected('Expected "," or "}", but found');
      }
    }
    const end = this.position;
    this.advance();
    this.depth--;
    return this.builder.object(keys, values, start, end);
  }

  private parseArray(start: number): T {
    this.enter();
    const values: T[] = [];
    this.advance();
    if ((this.token as Token) !== ']') {
      for (;;) {
        values.push(this.parseValue());
        if ((this.token as Token) === ',') {
          this.advance();
          continue;
        }
        if ((this.token as Token) === ']') break;
        throw this.unexpected('Expected "," or "]", but found');
      }
    }
    const end = this.position;
    this.advance();
    this.depth--;
    return this.builder.array(values, start, end);
  }

  private advance(): void {
    const { text } = this;
    let p = this.position;
    let c = text.charCodeAt(p);
    while (c === 32 || c === 9 || c === 10 || c === 13) c = text.charCodeAt(++p);
    this.tokenStart = p;
    if (p >= text.length) {
      this.position = p;
      this.token = 'end';
      return;
    }
    switch (c) {
      case 123: case 125: case 91: case 93: case 44: case 58:
        this.token = text[p] as Token;
        this.position = p + 1;
        return;
      case 34:
        this.lexString(p);
        return;
      default:
    }
    if (c === 45 || (c >= 48 && c <= 57)) {
      this.lexNumber(p);
      return;
    }
    let end = p;
    while (end < text.length && isWordCode(text.charCodeAt(end))) end++;
    if (end === p) {
      this.position = p + (c >= 0xd800 && c <= 0xdbff ? 2 : 1);
      throw this.invalidToken();
    }
    this.position = end;
    const word = text.slice(p, end);
    if (word !== 'true' && word !== 'false' && word !== 'null') throw this.invalidToken();
    this.token = word;
  }

  private lexNumber(start: number): void {
    const { text } = this;
    let p = start;
    let bad = false;
    if (text.charCodeAt(p) === 45) p++;
    const digit = (at: number): boolean => text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57;
    if (text.charCodeAt(p) === 48) p++;
    else if (digit(p)) while (digit(p)) p++;
    else bad = true;
    if (text.charCodeAt(p) === 46) {
      p++;
      if (!digit(p)) bad = true;
      while (digit(p)) p++;
    }
    if (text[p] === 'e' || text[p] === 'E') {
      p++;
      if (text[p] === '+' || text[p] === '-') p++;
      if (!digit(p)) bad = true;
      while (digit(p)) p++;
    }
    while (p < text.length && isWordCode(text.charCodeAt(p))) {
      bad = true;
      p++;
    }
    this.position = p;
    if (bad) throw this.invalidToken();
    this.token = 'number';
  }

  private lexString(start: number): void {
    const { text } = this;
    let p = start + 1;
    let from = p;
    let value = '';
    for (;;) {
      if (p >= text.length) {
        this.position = text.length;
        throw this.invalidToken();
      }
      const c = text.charCodeAt(p);
      if (c === 34) break;
      if (c < 32) {
        this.position = p;
        throw this.failure(`Character with value 0x${c.toString(16).padStart(2, '0')} must be escaped.`, p);
      }
      if (c !== 92) {
        p++;
        continue;
      }
      value += text.slice(from, p);
      const escape = text[p + 1];
      switch (escape) {
        case '"': case '\\': case '/': value += escape; break;
        case 'b': value += '\b'; break;
        case 'f': value += '\f'; break;
        case 'n': value += '\n'; break;
        case 'r': value += '\r'; break;
        case 't': value += '\t'; break;
        case 'u': {
          const hex = /^[0-9a-fA-F]{4}/.exec(text.slice(p + 2, p + 6));
          if (!hex) {
            this.position = Math.min(p + 6, text.length);
            throw this.failure('"\\u" must be followed by four hexadecimal digits.', this.position);
          }
          const unit = parseInt(hex[0], 16);
          this.position = p + 6;
          if (this.unescape) this.checkUnit(unit, value);
          value += String.fromCharCode(unit);
          p += 4;
          break;
        }
        default: {
          if (escape === undefined) {
            this.position = text.length;
            throw this.invalidToken();
          }
          const shown = String.fromCodePoint(text.codePointAt(p + 1)!);
          this.position = p + 1 + shown.length;
          throw this.failure(`Escape sequence "\\${shown}" is invalid.`, this.position);
        }
      }
      p += 2;
      from = p;
      if (this.unescape && isHighSurrogate(value.charCodeAt(value.length - 1)) && !(text[p] === '\\' && text[p + 1] === 'u')) {
        this.position = p + 1;
        throw this.failure('Unicode low surrogate must follow a high surrogate.', Math.min(p + 1, text.length));
      }
    }
    this.value = from === start + 1 ? text.slice(from, p) : value + text.slice(from, p);
    this.position = p + 1;
    this.token = 'string';
  }

  private checkUnit(unit: number, before: string): void {
    const afterHigh = before.length > 0 && isHighSurrogate(before.charCodeAt(before.length - 1));
    if (unit === 0) {
      throw new DatabaseError('22P05', 'unsupported Unicode escape sequence', { detail: '\\u0000 cannot be converted to text.', where: this.where(this.position) });
    }
    if (isHighSurrogate(unit) && afterHigh) throw this.failure('Unicode high surrogate must not follow a high surrogate.', this.position);
    const low = unit >= 0xdc00 && unit <= 0xdfff;
    if (low !== afterHigh) throw this.failure('Unicode low surrogate must follow a high surrogate.', this.position);
  }

  private invalidToken(): DatabaseError {
    return this.failure(`Token "${this.text.slice(this.tokenStart, this.position)}" is invalid.`, this.position);
  }

  private unexpected(expectation: string): DatabaseError {
    if (this.token === 'end') return this.failure('The input string ended unexpectedly.', this.text.length);
    return this.failure(`${expectation} "${this.text.slice(this.tokenStart, this.position)}".`, this.position);
  }

  private failure(detail: string, end: number): DatabaseError {
    return new DatabaseError('22P02', 'invalid input syntax for type json', { detail, where: this.where(end) });
  }

  /** report_json_context: the line up to the offending token, cut to about 50 bytes before it. */
  private where(end: number): string {
    const { text } = this;
    let lineStart = 0;
    let line = 1;
    for (let i = 0; i < this.tokenStart; i++) {
      if (text[i] === '\n') {
        lineStart = i + 1;
        line++;
      }
    }
    let start = lineStart;
    while (end - start >= 50) start++;
    if (start - lineStart <= 3) start = lineStart;
    const prefix = start > lineStart ? '...' : '';
    const suffix = end < text.length && text[end] !== '\n' && text[end] !== '\r' ? '...' : '';
    return `JSON data, line ${line}: ${prefix}${text.slice(start, end)}${suffix}`;
  }
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;

function isWordCode(c: number): boolean {
  return (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95 || c >= 0x80;
}

/** Parses `text`; raises 22P02 as PostgreSQL does. `unescape`: \u escapes must denote real characters. */
export function parseJson<T>(text: string, builder: JsonBuilder<T>, unescape: boolean): T {
  return new JsonParser(text, builder, unescape).parse();
}

const nothing = (): undefined => undefined;
const validator: JsonBuilder<undefined> = { object: nothing, array: nothing, string: nothing, number: nothing, literal: nothing };

export function validateJson(text: string): void {
  parseJson(text, validator, false);
}

/** A parsed json value that remembers where it stood in the text. */
export interface JsonNode {
  readonly kind: 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';
  readonly start: number;
  readonly end: number;
  /** Of an object, as written, duplicates included. */
  readonly keys?: readonly string[];
  readonly children?: readonly JsonNode[];
  /** Of a string, unescaped. */
  readonly text?: string;
}

const treeBuilder: JsonBuilder<JsonNode> = {
  object: (keys, children, start, end) => ({ kind: 'object', keys, children, start, end }),
  array: (children, start, end) => ({ kind: 'array', children, start, end }),
  string: (text, start, end) => ({ kind: 'string', text, start, end }),
  number: (_text, start, end) => ({ kind: 'number', start, end }),
  literal: (value, start, end) => ({ kind: value === null ? 'null' : 'boolean', start, end }),
};

export function parseJsonTree(text: string): JsonNode {
  return parseJson(text, treeBuilder, true);
}

const PLAIN_STRING = /^[^"\\\u0000-\u001f]*$/;

/** A JSON string literal, escaped as escape_json does. */
export function quoteJson(text: string): string {
  if (PLAIN_STRING.test(text)) return `"${text}"`;
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    switch (c) {
      case 8: out += '\\b'; break;
      case 12: out += '\\f'; break;
      case 10: out += '\\n'; break;
      case 13: out += '\\r'; break;
      case 9: out += '\\t'; break;
      case 34: out += '\\"'; break;
      case 92: out += '\\\\'; break;
      default: out += c < 32 ? `\\u${c.toString(16).padStart(4, '0')}` : text[i]!;
    }
  }
  return `${out}"`;
}

export const jsonType: DataType = {
  ...textType,
  name: 'json',
  compare: undefined,
  equal: undefined,
  key: undefined,
  input(text) {
    validateJson(text);
    return text;
  },
  receive(bytes, typmod, context) {
    const text = textType.receive(bytes, typmod, context) as string;
    validateJson(text);
    return text;
  },
};

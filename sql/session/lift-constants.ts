/**
 * Constants lifted out of a statement's text, so that `... WHERE id = 17` and `... WHERE id = 18` are one statement with a
 * parameter. A lexer for plain texts only: what it does not know for sure (comments, dollar quotes, escape strings,
 * ordinals of ORDER BY, parameters, several statements) leaves the text as it is.
 *
 * Each constant keeps the type that PostgreSQL's grammar gives it: int4, int8 or numeric by its size and
 * form, unknown for a string. The key names these types, so that a text with a larger number is another statement.
 */
export const BOOL = 16;
export const INT4 = 23;
export const INT8 = 20;
export const NUMERIC = 1700;
/** As in Parse: to be found by the analyzer. */
export const UNKNOWN = 0;
const MAX_TEXT = 2000;
const MAX_CONSTANTS = 100;

export interface LiftedText {
  /** The text with $1, $2, ... and the constants' types. */
  readonly key: string;
  /** The text with $1, $2, ... */
  readonly text: string;
  readonly types: readonly number[];
  readonly values: readonly string[];
}

const OTHER = 0;
const LETTER = 1;
const DIGIT = 2;
const QUOTE = 3;
const DOUBLE_QUOTE = 4;
const REFUSED = 5;
const SEMICOLON = 6;

const CLASSES = new Uint8Array(128);
for (let c = 0; c < 128; c++) {
  const char = String.fromCharCode(c);
  CLASSES[c] = /[A-Za-z_]/.test(char) ? LETTER : /[0-9]/.test(char) ? DIGIT : char === '\'' ? QUOTE : char === '"' ? DOUBLE_QUOTE : /[$\\\0]/.test(char) ? REFUSED : char === ';' ? SEMICOLON : OTHER;
}

/** Words after which a number may be the position of an output column. */
const REFUSED_WORDS = /^(?:order|group|distinct)$/i;

/** null: to be taken as it is. */
export function liftConstants(text: string): LiftedText | null {
  if (text.length > MAX_TEXT || !startsRight(text)) return null;
  let lifted = '';
  let tags = '';
  let from = 0;
  const types: number[] = [];
  const values: string[] = [];
  const { length } = text;
  const lift = (start: number, end: number, type: number, value: string): void => {
    types.push(type);
    values.push(value);
    tags += type === INT4 ? 'i' : type === INT8 ? 'l' : type === NUMERIC ? 'n' : 's';
    lifted += `${text.slice(from, start)}$${types.length}`;
    from = end;
  };
  for (let at = 0; at < length;) {
    const code = text.charCodeAt(at);
    switch (code < 128 ? CLASSES[code] : REFUSED) {
      case LETTER: {
        const start = at;
        while (++at < length && isWordPart(text.charCodeAt(at)));
        // E'...', B'...', U&'...'
        if (text.charCodeAt(at) === 0x27 || (text.charCodeAt(at) === 0x26 && at - start === 1)) return null;
        if (at - start >= 5 && REFUSED_WORDS.test(text.slice(start, at))) return null;
        break;
      }
      case DIGIT: {
        const start = at;
        while (++at < length && isDigit(text.charCodeAt(at)));
        let type = INT4;
        if (text.charCodeAt(at) === 0x2e) {
          if (!isDigit(text.charCodeAt(at + 1))) return null;
          while (++at < length && isDigit(text.charCodeAt(at)));
          type = NUMERIC;
        } else if (at - start > 9) {
          const value = Number(text.slice(start, at));
          if (value > 2147483647) type = INT8;
          if (value > 9e18) return null;
        }
        if (at < length && (isWordPart(text.charCodeAt(at)) || text.charCodeAt(at) === 0x2e)) return null;
        if (start > 0 && text.charCodeAt(start - 1) === 0x2e) return null;
        // the grammar makes a sign before a constant part of it
        const sign = isSign(text, start - 1) && text.charCodeAt(at) !== 0x3a ? start - 1 : start;
        lift(sign, at, type, text.slice(sign, at));
        break;
      }
      case QUOTE: {
        const start = at;
        let escaped = false;
        for (;;) {
          at = text.indexOf('\'', at + 1);
          if (at < 0) return null;
          if (text.charCodeAt(at + 1) !== 0x27) break;
          escaped = true;
          at++;
        }
        at++;
        const value = text.slice(start + 1, at - 1);
        lift(start, at, UNKNOWN, escaped ? value.replaceAll('\'\'', '\'') : value);
        break;
      }
      case DOUBLE_QUOTE:
        at = text.indexOf('"', at + 1);
        if (at < 0) return null;
        at++;
        break;
      case REFUSED:
        return null;
      case SEMICOLON:
        if (text.slice(at + 1).trim() !== '') return null;
        at = length;
        break;
      default:
        // comments
        if ((code === 0x2d && text.charCodeAt(at + 1) === 0x2d) || (code === 0x2f && text.charCodeAt(at + 1) === 0x2a)) return null;
        at++;
    }
    if (types.length > MAX_CONSTANTS) return null;
  }
  if (types.length === 0) return null;
  lifted += text.slice(from);
  return { key: `${tags} ${lifted}`, text: lifted, types, values };
}

/** SELECT, INSERT, UPDATE, DELETE, without blanks before. */
function startsRight(text: string): boolean {
  switch (text.charCodeAt(0) | 0x20) {
    case 0x73: return /^select\s/i.test(text);
    case 0x69: return /^insert\s/i.test(text);
    case 0x75: return /^update\s/i.test(text);
    case 0x64: return /^delete\s/i.test(text);
    default: return false;
  }
}

/** A minus right before a number that has nothing to its left to be taken from. */
function isSign(text: string, at: number): boolean {
  if (text.charCodeAt(at) !== 0x2d) return false;
  let before = at - 1;
  while (before >= 0 && text.charCodeAt(before) === 0x20) before--;
  return before >= 0 && '(,=<>+*/%'.includes(text[before]);
}

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

export function isWordPart(code: number): boolean {
  return code > 127 || CLASSES[code] === LETTER || CLASSES[code] === DIGIT || code === 0x24;
}

/**
 * `INSERT INTO t VALUES (1, 'a'), (2, 'b'), ...`: the text of the same statement for one row with parameters, and the constants
 * of all rows. In an INSERT each row's constants are coerced on their own, so a list of rows is that statement for one row
 * after the other. Like lift-constants.ts it knows plain texts only, and leaves every other as it is: whoever parses it
 * says what is wrong.
 */
import { BOOL, INT4, INT8, isDigit, isWordPart, NUMERIC, UNKNOWN } from './lift-constants.js';

/** Longer texts go through the parser in portions, and let others run meanwhile. */
const MAX_TEXT = 256 << 10;
const HEAD = /insert\s+into\s+(?:[a-z_][a-z_0-9]*|"[^"]+")(?:\.(?:[a-z_][a-z_0-9]*|"[^"]+"))?\s*(?:\((?:[^()'"$\\;/-]|"[^"]+")*\)\s*)?values\s*(?=\()/iy;

export interface LiftedRows {
  /** The text for one row, with $1, $2, ... and the constants' types. */
  readonly key: string;
  readonly text: string;
  readonly types: readonly number[];
  /** Constants of all rows, one after the other; null: NULL. */
  readonly values: readonly (string | null)[];
}

const [QUOTE, OPEN, CLOSE, COMMA, MINUS, POINT, SEMICOLON, SPACE] = [0x27, 0x28, 0x29, 0x2c, 0x2d, 0x2e, 0x3b, 0x20];

/** null: not such a text, or only one row. */
export function liftRows(text: string): LiftedRows | null {
  if (text.length > MAX_TEXT) return null;
  HEAD.lastIndex = 0;
  const head = HEAD.exec(text)?.[0];
  if (head === undefined) return null;
  const scanner = new RowScanner(text, head.length);
  if (!scanner.rows() || scanner.rowCount < 2) return null;
  const types = scanner.types.map((type) => (type < 0 ? UNKNOWN : type));
  const row = `${head}(${types.map((_, i) => `$${i + 1}`).join(', ')})`;
  return { key: `${types.join(' ')} ${row}`, text: row, types, values: scanner.values };
}

class RowScanner {
  readonly values: (string | null)[] = [];
  /** By column; -1: only NULL so far. */
  readonly types: number[] = [];
  rowCount = 0;

  constructor(private readonly text: string, private at: number) {}

  /** False: there is something here that is not a row of constants. */
  rows(): boolean {
    for (;;) {
      if (this.text.charCodeAt(this.at) !== OPEN) return false;
      this.at++;
      if (!this.row()) return false;
      this.rowCount++;
      this.blanks();
      const next = this.text.charCodeAt(this.at);
      if (next !== COMMA) return Number.isNaN(next) || (next === SEMICOLON && this.text.slice(this.at + 1).trim() === '');
      this.at++;
      this.blanks();
    }
  }

  private row(): boolean {
    for (let column = 0; ; column++) {
      this.blanks();
      if ((column >= this.types.length && this.rowCount > 0) || !this.constant(column)) return false;
      this.blanks();
      const next = this.text.charCodeAt(this.at++);
      if (next === CLOSE) return column === this.types.length - 1;
      if (next !== COMMA) return false;
    }
  }

  private blanks(): void {
    for (let code = this.text.charCodeAt(this.at); code === SPACE || (code >= 9 && code <= 13); code = this.text.charCodeAt(this.at)) this.at++;
  }

  private constant(column: number): boolean {
    const code = this.text.charCodeAt(this.at);
    if (code === QUOTE) return this.string(column);
    if (isDigit(code) || code === MINUS) return this.number(column);
    return this.word(column);
  }

  /** Takes `value` as column `column`, whose type is the widest of its constants'. */
  private take(column: number, type: number, value: string | null): boolean {
    this.values.push(value);
    if (column === this.types.length) this.types.push(type);
    const known = this.types[column];
    if (known === type || value === null) return true;
    if (known < 0) this.types[column] = type;
    else if (!isNumber(known) || !isNumber(type)) return false;
    else if (type === NUMERIC || known === INT4) this.types[column] = type;
    return true;
  }

  private string(column: number): boolean {
    const { text } = this;
    const start = this.at + 1;
    let end = this.at;
    let escaped = false;
    for (;;) {
      end = text.indexOf('\'', end + 1);
      if (end < 0) return false;
      if (text.charCodeAt(end + 1) !== QUOTE) break;
      escaped = true;
      end++;
    }
    this.at = end + 1;
    const value = text.slice(start, end);
    return this.take(column, UNKNOWN, escaped ? value.replaceAll('\'\'', '\'') : value);
  }

  private number(column: number): boolean {
    const { text } = this;
    const start = this.at;
    let at = text.charCodeAt(start) === MINUS ? start + 1 : start;
    const first = at;
    while (isDigit(text.charCodeAt(at))) at++;
    if (at === first) return false;
    let type = INT4;
    if (text.charCodeAt(at) === POINT) {
      if (!isDigit(text.charCodeAt(++at))) return false;
      while (isDigit(text.charCodeAt(at))) at++;
      type = NUMERIC;
    } else if (at - first > 9) {
      const value = Number(text.slice(first, at));
      if (value > 9e18) return false;
      if (value > 2147483647) type = INT8;
    }
    const next = text.charCodeAt(at);
    if (isWordPart(next) || next === POINT) return false;
    this.at = at;
    return this.take(column, type, text.slice(start, at));
  }

  private word(column: number): boolean {
    const { text } = this;
    const start = this.at;
    let at = start;
    while (at < text.length && isWordPart(text.charCodeAt(at))) at++;
    this.at = at;
    switch (text.slice(start, at).toLowerCase()) {
      case 'null': return this.take(column, -1, null);
      case 'true': return this.take(column, BOOL, 'true');
      case 'false': return this.take(column, BOOL, 'false');
      default: return false;
    }
  }
}

const isNumber = (type: number): boolean => type === INT4 || type === INT8 || type === NUMERIC;

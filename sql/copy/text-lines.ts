/**
 * COPY's text format. A line is one row; fields are separated by the delimiter; backslash escapes
 * special characters and \N (or the NULL option) stands for NULL.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { CopyOptions } from './options.js';

/** null: NULL; undefined: the column's default. */
export type CopyField = string | null | undefined;

/**
 * Cuts chunks of bytes into lines, without their ends:
 *
 *     splitter.push(chunk);
 *     while (splitter.next()) ... bytes [start, end) of data
 */
export class LineSplitter {
  data: Buffer = EMPTY;
  start = 0;
  end = 0;
  #at = 0;
  /** A line without its end so far, chunk by chunk: joined once, when the end has come. */
  #rest: Buffer[] = [];
  #ended = false;
  /** \r\n line ends, judged by the first line. */
  #carriage: boolean | null = null;

  /** What is there is done with. Bytes after the \. marker are ignored. */
  push(chunk: Uint8Array): void {
    this.data = EMPTY;
    this.#at = 0;
    if (this.#ended) return;
    const data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const last = data.lastIndexOf(10);
    if (last < 0) {
      // the client's buffer may be reused: keep a copy of what is left
      this.#rest.push(Buffer.from(data));
      return;
    }
    this.data = this.#rest.length > 0 ? Buffer.concat([...this.#rest, data.subarray(0, last + 1)]) : data.subarray(0, last + 1);
    this.#rest = last + 1 < data.length ? [Buffer.from(data.subarray(last + 1))] : [];
  }

  next(): boolean {
    const { data } = this;
    if (this.#at >= data.length || this.#ended) return false;
    const found = data.indexOf(10, this.#at);
    const end = found < 0 ? data.length : found;
    this.#line(this.#at, end);
    this.#at = end + 1;
    return !this.#ended;
  }

  /** What came last may be a line without its newline: call `next` once more. */
  finish(): void {
    this.data = this.#ended ? EMPTY : Buffer.concat(this.#rest);
    this.#at = 0;
    this.#rest = [];
  }

  /** The line as text, its encoding checked. */
  text(): string {
    const { data, start, end } = this;
    const carriage = data.indexOf(13, start);
    if (carriage >= 0 && carriage < end) throw new DatabaseError('22P04', 'literal carriage return found in data', { hint: 'Use "\\r" to represent carriage return.' });
    return decode(data, start, end);
  }

  #line(start: number, end: number): void {
    const { data } = this;
    const carriage = end > start && data[end - 1] === 13;
    this.#carriage ??= carriage;
    this.start = start;
    this.end = this.#carriage && carriage ? end - 1 : end;
    this.#ended = this.end === start + 2 && data[start] === 92 && data[start + 1] === 46;
  }
}

const EMPTY = Buffer.alloc(0);
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8, checked. Short ASCII lines take the fast way. */
export function decode(data: Buffer, start: number, end: number): string {
  for (let i = start; i < end; i++) {
    if (data[i] > 127) {
      try {
        return strict.decode(data.subarray(start, end));
      } catch {
        throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8"');
      }
    }
    if (data[i] === 0) throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  }
  return data.toString('latin1', start, end);
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Fields of a line. */
export function splitTextLine(line: string, options: CopyOptions): CopyField[] {
  const { delimiter, nullText, defaultText } = options;
  const raw = splitRaw(line, delimiter);
  return raw.map((field) => {
    if (field === nullText) return null;
    if (defaultText !== null && field === defaultText) return undefined;
    return field.includes('\\') ? unescape(field) : field;
  });
}

/** Splits at delimiters that no backslash escapes. */
function splitRaw(line: string, delimiter: string): string[] {
  if (!line.includes('\\')) return line.split(delimiter);
  const out: string[] = [];
  let start = 0;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '\\') i++;
    else if (line[i] === delimiter) {
      out.push(line.slice(start, i));
      start = i + 1;
    }
  }
  out.push(line.slice(start));
  return out;
}

function unescape(field: string): string {
  // octal and hexadecimal escapes give bytes, which must be UTF-8 together with what stands around them
  if (/\\[0-7x]/.test(field)) return unescapeBytes(field);
  return field.replace(/\\(.?)/gs, (_, next: string) => ESCAPES[next] ?? next);
}

function unescapeBytes(field: string): string {
  const parts: Buffer[] = [];
  const pattern = /\\x([0-9a-fA-F]{1,2})|\\([0-7]{1,3})|\\(.?)|([^\\]+)/gsu;
  for (const match of field.matchAll(pattern)) {
    if (match[1] !== undefined) parts.push(Buffer.from([parseInt(match[1], 16)]));
    else if (match[2] !== undefined) parts.push(Buffer.from([parseInt(match[2], 8) & 0xff]));
    else parts.push(Buffer.from(match[4] ?? ESCAPES[match[3]] ?? match[3]));
  }
  const bytes = Buffer.concat(parts);
  return decode(bytes, 0, bytes.length);
}

const WRITTEN: Readonly<Record<string, string>> = { '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v' };

/** One line, with its newline. */
export function textLine(fields: readonly (string | null)[], options: CopyOptions): string {
  const { delimiter, nullText } = options;
  let out = '';
  for (let i = 0; i < fields.length; i++) {
    if (i > 0) out += delimiter;
    const field = fields[i];
    out += field === null ? nullText : escapeText(field, delimiter);
  }
  return `${out}\n`;
}

function escapeText(field: string, delimiter: string): string {
  // eslint-disable-next-line no-control-regex
  const special = /[\\\b\f\n\r\t\v]/.test(field);
  if (!special && !field.includes(delimiter)) return field;
  let out = '';
  for (const character of field) out += WRITTEN[character] ?? (character === delimiter ? `\\${character}` : character);
  return out;
}

/**
 * COPY's text format. A line is one row; fields are separated by the delimiter; backslash escapes
 * special characters and \N (or the NULL option) stands for NULL.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { CopyOptions } from './options.js';

/** null: NULL; undefined: the column's default. */
export type CopyField = string | null | undefined;

/** Cuts chunks of bytes into lines, without their ends. `end` is the \. marker. */
export class LineSplitter {
  /** A line without its end so far, chunk by chunk: joined once, when the end has come. */
  #rest: Buffer[] = [];
  #ended = false;
  /** \r\n line ends, judged by the first line. */
  #carriage: boolean | null = null;

  /** Lines completed by the chunk. Bytes after the \. marker are ignored. */
  push(chunk: Uint8Array): string[] {
    if (this.#ended) return [];
    let data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#rest.length > 0) {
      // the client's buffer may be reused: keep a copy of what is left
      if (data.indexOf(10) < 0) {
        this.#rest.push(Buffer.from(data));
        return [];
      }
      data = Buffer.concat([...this.#rest, data]);
      this.#rest = [];
    }
    const lines: string[] = [];
    let start = 0;
    for (;;) {
      const end = data.indexOf(10, start);
      if (end < 0) break;
      const line = this.#line(data, start, end);
      start = end + 1;
      if (line === '\\.') {
        this.#ended = true;
        return lines;
      }
      lines.push(line);
    }
    if (start < data.length) this.#rest = [Buffer.from(data.subarray(start))];
    return lines;
  }

  /** A last line without its newline. */
  finish(): string[] {
    if (this.#ended || this.#rest.length === 0) return [];
    const rest = Buffer.concat(this.#rest);
    const line = this.#line(rest, 0, rest.length);
    this.#rest = [];
    return line === '\\.' ? [] : [line];
  }

  #line(data: Buffer, start: number, end: number): string {
    const carriage = end > start && data[end - 1] === 13;
    this.#carriage ??= carriage;
    return decode(data, start, this.#carriage && carriage ? end - 1 : end);
  }
}

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
  if (line.includes('\r')) throw new DatabaseError('22P04', 'literal carriage return found in data', { hint: 'Use "\\r" to represent carriage return.' });
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

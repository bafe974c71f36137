/** COPY's CSV format: records may span lines inside quotes. */
import { StringDecoder } from 'node:string_decoder';
import { DatabaseError } from '../../engine/errors.js';
import type { CopyOptions } from './options.js';
import type { CopyField } from './text-lines.js';

interface RawField { readonly text: string; readonly quoted: boolean }

/** Cuts chunks into records of raw fields. */
export class CsvParser {
  readonly #decoder = new StringDecoder('utf8');
  #fields: RawField[] = [];
  #field = '';
  #quoted = false;
  #inQuotes = false;
  /** The last character was a quote (or escape) inside quotes whose meaning the next one decides. */
  #pendingQuote = false;
  #pendingEscape = false;
  #pendingCarriage = false;
  #recordEmpty = true;
  #ended = false;
  /** Line number of the record that is being read, for error contexts. */
  line = 1;

  constructor(private readonly options: CopyOptions) {}

  push(chunk: Uint8Array): RawField[][] {
    return this.#feed(this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)));
  }

  finish(): RawField[][] {
    const out = this.#feed(this.#decoder.end());
    if (this.#pendingQuote) {
      this.#pendingQuote = false;
      this.#inQuotes = false;
    }
    if (this.#inQuotes) throw new DatabaseError('22P04', 'unterminated CSV quoted field');
    if (!this.#recordEmpty || this.#fields.length > 0 || this.#field !== '') this.#endRecord(out);
    return out;
  }

  #feed(text: string): RawField[][] {
    const { quote, escape, delimiter } = this.options;
    const out: RawField[][] = [];
    if (this.#ended) return out;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (this.#pendingEscape) {
        this.#pendingEscape = false;
        if (c === quote || c === escape) {
          this.#field += c;
          continue;
        }
        this.#field += escape;
      }
      if (this.#pendingQuote) {
        this.#pendingQuote = false;
        if (c === quote) {
          this.#field += quote;
          continue;
        }
        this.#inQuotes = false;
      }
      if (this.#inQuotes) {
        if (c === quote && quote === escape) this.#pendingQuote = true;
        else if (c === escape) this.#pendingEscape = true;
        else if (c === quote) this.#inQuotes = false;
        else this.#field += c;
        continue;
      }
      if (this.#pendingCarriage) {
        this.#pendingCarriage = false;
        this.#endRecord(out);
        if (this.#ended) return out;
        if (c === '\n') continue;
      }
      if (c === '\n') {
        this.#endRecord(out);
        if (this.#ended) return out;
      } else if (c === '\r') this.#pendingCarriage = true;
      else if (c === delimiter) this.#endField();
      else if (c === quote) {
        this.#inQuotes = true;
        this.#quoted = true;
        this.#recordEmpty = false;
      } else {
        this.#field += c;
        this.#recordEmpty = false;
      }
    }
    return out;
  }

  #endField(): void {
    this.#fields.push({ text: this.#field, quoted: this.#quoted });
    this.#field = '';
    this.#quoted = false;
    this.#recordEmpty = false;
  }

  #endRecord(out: RawField[][]): void {
    this.#endField();
    const fields = this.#fields;
    this.#fields = [];
    this.#recordEmpty = true;
    if (fields.length === 1 && fields[0].text === '\\.' && !fields[0].quoted) {
      this.#ended = true;
      return;
    }
    out.push(fields);
  }
}

/** NULL, DEFAULT and the FORCE options applied. `names` are the columns' names. */
export function csvFields(raw: readonly RawField[], names: readonly string[], options: CopyOptions): CopyField[] {
  const forced = (list: CopyOptions['forceNull'], i: number): boolean => list === 'all' || list.includes(names[i]);
  return raw.map(({ text, quoted }, i) => {
    if (text === options.nullText) {
      if (!quoted) return forced(options.forceNotNull, i) ? text : null;
      if (forced(options.forceNull, i)) return null;
    }
    if (!quoted && options.defaultText !== null && text === options.defaultText) return undefined;
    return text;
  });
}

/** One record, with its newline. */
export function csvLine(fields: readonly (string | null)[], names: readonly string[], options: CopyOptions): string {
  const { delimiter, nullText, quote, escape, forceQuote } = options;
  const out = fields.map((field, i) => {
    if (field === null) return nullText;
    const force = forceQuote === 'all' || forceQuote.includes(names[i]);
    const needs = force || field === nullText || (fields.length === 1 && field === '\\.') || field.includes(delimiter) || field.includes(quote) || /[\r\n]/.test(field);
    if (!needs) return field;
    const escaped = quote === escape ? field.replaceAll(quote, quote + quote) : field.replaceAll(escape, escape + escape).replaceAll(quote, escape + quote);
    return quote + escaped + quote;
  });
  return `${out.join(delimiter)}\n`;
}

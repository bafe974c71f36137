/**
 * A line of COPY's text format to a stored row, from bytes to bytes: integers, numerics, dates and character strings without
 * a string or datum in between. What is unusual in any way (escapes, a value out of range, an error) is left alone: `encode`
 * answers false and the line goes the general way, which says what is wrong with it.
 */
import type { Attribute, Relation } from '../catalog/catalog.js';
import { TypeOid } from '../catalog/type-oids.js';
import { TupleEncoder } from '../access/tuple-encoder.js';
import type { TupleCodec } from '../access/tuple-codec.js';
import { LARGE_VALUE } from '../access/large-columns.js';
import type { EvalContext } from '../functions/context.js';
import { daysFromDate, daysInMonth } from '../types/calendar.js';
import { typmodPrecision, typmodScale } from '../types/numeric-type.js';
import type { CopyOptions } from './options.js';

/** Takes bytes [start, end) of `data` as column `column`; false: not in this way. */
type FieldEncoder = (row: TupleEncoder, column: number, data: Buffer, start: number, end: number) => boolean;

const [BACKSLASH, CARRIAGE, MINUS, POINT, ZERO] = [92, 13, 45, 46, 48];

const POWERS = Array.from({ length: 16 }, (_, i) => 10 ** i);

/** Null when the options leave no such way. */
export function textRowEncoder(relation: Relation, columns: readonly Attribute[], codec: TupleCodec, options: CopyOptions, context: EvalContext): TextRowEncoder | null {
  const ascending = columns.every((column, i) => i === 0 || column.attnum > columns[i - 1].attnum);
  const delimiter = Buffer.from(options.delimiter);
  if (!ascending || delimiter.length !== 1 || delimiter[0] === BACKSLASH) return null;
  // A NOT NULL column that is not written at all: the general way says so.
  if (relation.attributes.some((attribute) => attribute.attnotnull && !attribute.attisdropped && !columns.includes(attribute))) return null;
  const fields = columns.map((column) => fieldEncoder(column, context));
  return new TextRowEncoder(new TupleEncoder(codec), columns, fields, delimiter[0], Buffer.from(options.nullText));
}

export class TextRowEncoder {
  readonly #special = new Uint8Array(256);
  readonly #attnums: readonly number[];
  readonly #notNull: readonly boolean[];

  constructor(
    readonly row: TupleEncoder,
    columns: readonly Attribute[],
    private readonly fields: readonly FieldEncoder[],
    private readonly delimiter: number,
    private readonly nullText: Buffer,
  ) {
    for (const byte of [delimiter, BACKSLASH, CARRIAGE, 0]) this.#special[byte] = 1;
    this.#attnums = columns.map((column) => column.attnum);
    this.#notNull = columns.map((column) => column.attnotnull);
  }

  encode(data: Buffer, start: number, end: number): boolean {
    const { row, fields, delimiter } = this;
    const special = this.#special;
    row.begin();
    let from = start;
    for (let i = 0; i < fields.length; i++) {
      let to = from;
      while (to < end && special[data[to]] === 0) to++;
      const isNull = this.#isNull(data, from, end);
      if (isNull >= 0) {
        to = isNull;
        if (this.#notNull[i]) return false;
        row.null(this.#attnums[i] - 1);
      }
      const last = i === fields.length - 1;
      if (last ? to !== end : to >= end || data[to] !== delimiter) return false;
      if (isNull < 0 && !fields[i](row, this.#attnums[i] - 1, data, from, to)) return false;
      from = to + 1;
    }
    row.finish();
    return true;
  }

  /** Where the NULL that stands at `from` ends; -1 when there is none. */
  #isNull(data: Buffer, from: number, end: number): number {
    const { nullText } = this;
    const to = from + nullText.length;
    if (to > end || (to < end && data[to] !== this.delimiter)) return -1;
    for (let i = 0; i < nullText.length; i++) if (data[from + i] !== nullText[i]) return -1;
    return to;
  }
}

function fieldEncoder(column: Attribute, context: EvalContext): FieldEncoder {
  const type = context.catalog.dataType(column.atttypid);
  const { atttypmod: typmod } = column;
  switch (column.atttypid) {
    case TypeOid.int2: return integer(-32768, 32767, (row, i, value) => row.int16(i, value));
    case TypeOid.int4: return integer(-2147483648, 2147483647, (row, i, value) => row.int32(i, value));
    case TypeOid.int8: return integer(-Infinity, Infinity, (row, i, value) => row.int64(i, value));
    case TypeOid.numeric: return numeric(typmod);
    case TypeOid.date: return date;
    case TypeOid.text: return characters(-1, false);
    case TypeOid.varchar: return characters(typmod < 4 ? -1 : typmod - 4, false);
    case TypeOid.bpchar: return characters(typmod < 4 ? -1 : typmod - 4, true);
    default:
      return (row, i, data, start, end) => {
        try {
          return row.datum(i, type.input(data.toString('utf8', start, end), typmod, context));
        } catch {
          return false;
        }
      };
  }
}

/** At most 15 digits, so that a double is exact. */
function integer(min: number, max: number, put: (row: TupleEncoder, column: number, value: number) => void): FieldEncoder {
  return (row, column, data, start, end) => {
    const negative = data[start] === MINUS;
    const first = negative ? start + 1 : start;
    if (end === first || end - first > 15) return false;
    let value = 0;
    for (let i = first; i < end; i++) {
      const digit = data[i] - ZERO;
      if (digit < 0 || digit > 9) return false;
      value = value * 10 + digit;
    }
    if (negative) value = value === 0 ? 0 : -value;
    if (value < min || value > max) return false;
    put(row, column, value);
    return true;
  };
}

function numeric(typmod: number): FieldEncoder {
  const free = typmod < 4;
  const scale = free ? 0 : typmodScale(typmod);
  const limit = 10 ** typmodPrecision(typmod);
  if (scale < 0 || scale > 15) return () => false;
  return (row, column, data, start, end) => {
    const negative = data[start] === MINUS;
    const first = negative ? start + 1 : start;
    if (end === first || end - first > 16) return false;
    let magnitude = 0;
    let point = -1;
    for (let i = first; i < end; i++) {
      const digit = data[i] - ZERO;
      if (digit >= 0 && digit <= 9) magnitude = magnitude * 10 + digit;
      else if (data[i] === POINT && point < 0 && i > first && i < end - 1) point = i;
      else return false;
    }
    let decimals = point < 0 ? 0 : end - point - 1;
    if (end - first - (point < 0 ? 0 : 1) > 15) return false;
    if (!free) {
      if (decimals > scale) return false;
      magnitude *= POWERS[scale - decimals];
      decimals = scale;
      if (magnitude >= limit || magnitude > Number.MAX_SAFE_INTEGER) return false;
    }
    row.numeric(column, negative && magnitude > 0, magnitude, decimals);
    return true;
  };
}

/** yyyy-mm-dd, which every DateStyle reads alike. */
function date(row: TupleEncoder, column: number, data: Buffer, start: number, end: number): boolean {
  if (end - start !== 10 || data[start + 4] !== MINUS || data[start + 7] !== MINUS) return false;
  const year = digits(data, start, start + 4);
  const month = digits(data, start + 5, start + 7);
  const day = digits(data, start + 8, end);
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false;
  row.int32(column, daysFromDate(year, month, day));
  return true;
}

/** -1 when they are not all digits. */
function digits(data: Buffer, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = data[i] - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function characters(limit: number, padded: boolean): FieldEncoder {
  return (row, column, data, start, end) => {
    const size = end - start;
    if (size > LARGE_VALUE / 3) return false;
    let blanks = 0;
    if (limit >= 0) {
      let length = size;
      for (let i = start; i < end; i++) if ((data[i] & 0xc0) === 0x80) length--;
      if (length > limit) return false;
      if (padded) blanks = limit - length;
      if (size + blanks > LARGE_VALUE / 3) return false;
    }
    row.bytes(column, data, start, end, blanks);
    return true;
  };
}

/** The types date, time, timetz, timestamp, timestamptz and interval. */
import { DatabaseError } from '../../engine/errors.js';
import type { EvalContext } from '../functions/context.js';
import { EPOCH_JULIAN, END_DATE, MICROS_PER_DAY, MICROS_PER_SECOND, MIN_DATE, clockToTimestamp, dateFromDays, isValidDate, isValidTimestamp, julianDay, microsOfDay } from './calendar.js';
import type { DataType, RowCodec } from './data-type.js';
import { int8FromBigInt, type Int8, type Interval, type TimeTz } from './datum.js';
import { dateTimeError } from './datetime-fields.js';
import { decodeDateTime, decodeTimeOnly } from './datetime-parse.js';
import { printDateParts, printInterval, printTime, printTimeTz, printTimestamp, printTimestamptz } from './datetime-print.js';
import { int64Row, writeInt64 } from './integer.js';
import { FULL_PRECISION, FULL_RANGE, RANGE, parseInterval } from './interval-parse.js';
import { expectLength, readInt64, sendInt32, sendInt64, viewOf } from './wire-bytes.js';

/** timestamp '1970-01-01'. */
export const UNIX_EPOCH_TIMESTAMP = -946684800000000;
const NO_BEGIN = -9223372036854775808n;
const NO_END = 9223372036854775807n;

const compareAny = (left: Int8, right: Int8): number => (left < right ? -1 : left > right ? 1 : 0);
const same = (left: Int8, right: Int8): boolean => left === right;

// ---- date --------------------------------------------------------------------------------

export function dateInput(text: string, context: EvalContext): number {
  const decoded = decodeDateTime(text, 'date', context);
  switch (decoded.kind) {
    case 'infinity': return Infinity;
    case '-infinity': return -Infinity;
    case 'epoch': return -10957;
    case 'time only': throw dateTimeError('bad format', text, 'date');
    case 'date':
  }
  const { year, month, day } = decoded.clock;
  const days = julianDay(year, month, day) - EPOCH_JULIAN;
  if (year < -4713 || days < MIN_DATE || days >= END_DATE) throw new DatabaseError('22008', `date out of range: "${text}"`);
  return days;
}

const dateToWire = (days: number): number => (days === Infinity ? 2147483647 : days === -Infinity ? -2147483648 : days);
const dateFromWire = (wire: number): number => (wire === 2147483647 ? Infinity : wire === -2147483648 ? -Infinity : wire);

export const dateType: DataType = {
  name: 'date',
  vector: 'float64',
  input: (text, _typmod, context) => dateInput(text, context),
  output(value, context) {
    if (value === Infinity) return 'infinity';
    if (value === -Infinity) return '-infinity';
    return printDateParts(dateFromDays(value as number), context.settings);
  },
  receive(bytes) {
    expectLength(bytes, 4);
    const days = dateFromWire(viewOf(bytes).getInt32(0));
    if (Number.isFinite(days) && !isValidDate(days)) throw new DatabaseError('22008', 'date out of range');
    return days;
  },
  send: (value) => sendInt32(dateToWire(value as number)),
  compare: compareAny,
  equal: same,
  key: { lossless: true, encode: (value: number, out) => out.int32(dateToWire(value)), decode: (source) => dateFromWire(source.int32()) },
  row: {
    width: 4,
    write: (value: number, into, offset) => into.setInt32(offset, dateToWire(value), true),
    read: (from, offset) => dateFromWire(from.getInt32(offset, true)),
  },
};

// ---- precision typmods -------------------------------------------------------------------

function precisionTypmodIn(typeName: string, zoned: boolean): (modifiers: readonly string[]) => number {
  return (modifiers) => {
    if (modifiers.length !== 1) throw new DatabaseError('22023', 'invalid type modifier');
    const precision = Number(modifiers[0]);
    if (!Number.isInteger(precision)) throw new DatabaseError('22P02', `invalid input syntax for type integer: "${modifiers[0]}"`);
    if (precision < 0) throw new DatabaseError('22023', `${typeName}(${precision})${zoned ? ' WITH TIME ZONE' : ''} precision must not be negative`);
    return Math.min(precision, 6);
  };
}

const precisionTypmodOut = (typmod: number): string => (typmod >= 0 ? `(${typmod})` : '');

/** Rounds microseconds to `precision` digits, halves away from zero. */
export function roundMicros(value: Int8, precision: number): Int8 {
  if (precision < 0 || precision >= 6) return value;
  const unit = 10 ** (6 - precision);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return value;
    const half = unit / 2;
    const rounded = value >= 0 ? value + half - ((value + half) % unit) : -(half - value - ((half - value) % unit));
    return rounded === 0 ? 0 : rounded;
  }
  const big = BigInt(unit);
  const half = big / 2n;
  return int8FromBigInt(value >= 0n ? ((value + half) / big) * big : -(((half - value) / big) * big));
}

// ---- timestamp, timestamptz ----------------------------------------------------------------

function timestampFromText(text: string, typeName: string, zoned: boolean, context: EvalContext): Int8 {
  const decoded = decodeDateTime(text, typeName, context);
  switch (decoded.kind) {
    case 'infinity': return Infinity;
    case '-infinity': return -Infinity;
    case 'epoch': return UNIX_EPOCH_TIMESTAMP;
    case 'time only': throw dateTimeError('bad format', text, typeName);
    case 'date':
  }
  const value = clockToTimestamp(decoded.clock, zoned ? decoded.zone : 0);
  if (value === undefined) throw new DatabaseError('22008', `timestamp out of range: "${text}"`);
  return value;
}

const timestampToWire = (value: Int8): Int8 => (value === Infinity ? NO_END : value === -Infinity ? NO_BEGIN : value);

function timestampFromWire(value: Int8): Int8 {
  if (typeof value === 'bigint') {
    if (value === NO_END) return Infinity;
    if (value === NO_BEGIN) return -Infinity;
    return int8FromBigInt(value);
  }
  return value;
}

const timestampRow: RowCodec = {
  width: 8,
  write(value: Int8, into, offset) {
    writeInt64(timestampToWire(value), into, offset);
  },
  read: (from, offset) => timestampFromWire(readInt64(from, offset, true)),
};

const FAST_ISO = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/;

/** The commonest spelling, without the tokenizer; undefined for anything else. */
function fastTimestamp(text: string): number | undefined {
  const match = FAST_ISO.exec(text);
  if (!match) return undefined;
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  const hour = Number(match[4]);
  const minute = Number(match[5]);
  const second = Number(match[6]);
  if (year < 1900 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59) return undefined;
  const micros = match[7] === undefined ? 0 : Number(match[7].padEnd(6, '0'));
  return (julianDay(year, month, day) - EPOCH_JULIAN) * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros;
}

function timestampType(name: 'timestamp' | 'timestamptz'): DataType {
  const zoned = name === 'timestamptz';
  const typeName = zoned ? 'timestamp with time zone' : 'timestamp';
  return {
    name,
    vector: 'float64',
    input(text, typmod, context) {
      const fast = zoned ? undefined : fastTimestamp(text);
      return roundMicros(fast ?? timestampFromText(text, typeName, zoned, context), typmod);
    },
    output: (value, context) => (zoned ? printTimestamptz(value as Int8, context.settings) : printTimestamp(value as Int8, context.settings)),
    receive(bytes, typmod) {
      expectLength(bytes, 8);
      const value = timestampFromWire(readInt64(viewOf(bytes), 0, false));
      if (!isValidTimestamp(value)) throw new DatabaseError('22008', 'timestamp out of range');
      return roundMicros(value, typmod);
    },
    send: (value) => sendInt64(timestampToWire(value as Int8)),
    compare: compareAny,
    equal: same,
    applyTypmod: (value: Int8, typmod: number) => roundMicros(value, typmod),
    typmodIn: precisionTypmodIn('TIMESTAMP', zoned),
    typmodOut: precisionTypmodOut,
    key: { lossless: true, encode: (value: Int8, out) => out.int64(timestampToWire(value)), decode: (source) => timestampFromWire(canonical(source.int64())) },
    row: timestampRow,
  };
}

const canonical = (value: Int8): Int8 => (typeof value === 'bigint' ? int8FromBigInt(value) : value);

export const timestampDataType = timestampType('timestamp');
export const timestamptzDataType = timestampType('timestamptz');

// ---- time, timetz --------------------------------------------------------------------------

export const timeType: DataType = {
  name: 'time',
  vector: 'float64',
  input(text, typmod, context) {
    const { clock } = decodeTimeOnly(text, 'time', context);
    return roundMicros(microsOfDay(clock), typmod);
  },
  output: (value) => printTime(value as number),
  receive(bytes, typmod) {
    expectLength(bytes, 8);
    const value = readInt64(viewOf(bytes), 0, false);
    if (value < 0 || value > MICROS_PER_DAY) throw new DatabaseError('22008', 'time out of range');
    return roundMicros(value, typmod);
  },
  send: (value) => sendInt64(value as number),
  compare: compareAny,
  equal: same,
  applyTypmod: (value: number, typmod: number) => roundMicros(value, typmod),
  typmodIn: precisionTypmodIn('TIME', false),
  typmodOut: precisionTypmodOut,
  key: { lossless: true, encode: (value: number, out) => out.int64(value), decode: (source) => Number(source.int64()) },
  row: int64Row,
};

/** By the instant in UTC, then by zone, east first. */
export function compareTimeTz(left: TimeTz, right: TimeTz): number {
  return left.micros + left.zone * MICROS_PER_SECOND - (right.micros + right.zone * MICROS_PER_SECOND) || left.zone - right.zone;
}

export const timetzType: DataType = {
  name: 'timetz',
  vector: 'any',
  input(text, typmod, context) {
    const { clock, zone } = decodeTimeOnly(text, 'time with time zone', context);
    return { micros: roundMicros(microsOfDay(clock), typmod), zone };
  },
  output: (value) => printTimeTz(value as TimeTz),
  receive(bytes, typmod) {
    expectLength(bytes, 12);
    const view = viewOf(bytes);
    const micros = readInt64(view, 0, false);
    if (micros < 0 || micros > MICROS_PER_DAY) throw new DatabaseError('22008', 'time out of range');
    const zone = view.getInt32(8);
    if (Math.abs(zone) >= 16 * 3600) throw new DatabaseError('22009', 'time zone displacement out of range');
    return { micros: roundMicros(micros, typmod), zone };
  },
  send(value) {
    const out = new Uint8Array(12);
    out.set(sendInt64((value as TimeTz).micros));
    out.set(sendInt32((value as TimeTz).zone), 8);
    return out;
  },
  compare: compareTimeTz,
  equal: (left: TimeTz, right: TimeTz) => left.micros === right.micros && left.zone === right.zone,
  hashKey: (value: TimeTz) => `${value.micros}/${value.zone}`,
  applyTypmod: (value: TimeTz, typmod: number) => ({ micros: roundMicros(value.micros, typmod) as number, zone: value.zone }),
  typmodIn: precisionTypmodIn('TIME', true),
  typmodOut: precisionTypmodOut,
  key: {
    lossless: true,
    encode(value: TimeTz, out) {
      out.int64(value.micros + value.zone * MICROS_PER_SECOND);
      out.int32(value.zone);
    },
    decode(source) {
      const utc = Number(source.int64());
      const zone = source.int32();
      return { micros: utc - zone * MICROS_PER_SECOND, zone };
    },
  },
  row: {
    width: 12,
    write(value: TimeTz, into, offset) {
      writeInt64(value.micros, into, offset);
      into.setInt32(offset + 8, value.zone, true);
    },
    read: (from, offset) => ({ micros: readInt64(from, offset, true) as number, zone: from.getInt32(offset + 8, true) }),
  },
};

// ---- interval ------------------------------------------------------------------------------

/** A month is 30 days, a day 24 hours: the measure intervals are compared by. */
export function intervalMeasure(value: Interval): Int8 {
  const days = value.months * 30 + value.days;
  if (typeof value.micros === 'number' && Math.abs(days) < 50000 && Math.abs(value.micros) < 4e15) return days * MICROS_PER_DAY + value.micros;
  return int8FromBigInt(BigInt(days) * 86_400_000_000n + BigInt(value.micros));
}

export function compareInterval(left: Interval, right: Interval): number {
  return compareAny(intervalMeasure(left), intervalMeasure(right));
}

const rangeOf = (typmod: number): number => (typmod < 0 ? FULL_RANGE : (typmod >> 16) & FULL_RANGE);
const precisionOf = (typmod: number): number => (typmod < 0 ? FULL_PRECISION : typmod & FULL_PRECISION);

function truncateTo(micros: Int8, unit: number): Int8 {
  if (typeof micros === 'number') {
    const result = Math.trunc(micros / unit) * unit;
    return result === 0 ? 0 : result;
  }
  return int8FromBigInt((micros / BigInt(unit)) * BigInt(unit));
}

/** AdjustIntervalForTypmod: fields below the range's last go, the seconds are rounded. */
export function adjustInterval(value: Interval, typmod: number): Interval {
  if (typmod < 0) return value;
  const { year, month, day, hour, minute, second } = RANGE;
  const range = rangeOf(typmod);
  const precision = precisionOf(typmod);
  let { months, days, micros } = value;
  if (range === year) {
    months = Math.trunc(months / 12) * 12;
    days = 0;
    micros = 0;
  } else if (range === month || range === (year | month)) {
    days = 0;
    micros = 0;
  } else if (range === day) micros = 0;
  else if (range === hour || range === (day | hour)) micros = truncateTo(micros, 3_600_000_000);
  else if (range === minute || range === (day | hour | minute) || range === (hour | minute)) micros = truncateTo(micros, 60_000_000);
  else if (range !== FULL_RANGE && !(range & second)) throw new DatabaseError('XX000', `unrecognized interval typmod: ${typmod}`);
  if (precision !== FULL_PRECISION) micros = roundMicros(micros, precision);
  return { months: months === 0 ? 0 : months, days, micros };
}

const RANGE_NAMES: readonly [number, string][] = [
  [RANGE.year, ' year'], [RANGE.month, ' month'], [RANGE.day, ' day'], [RANGE.hour, ' hour'], [RANGE.minute, ' minute'], [RANGE.second, ' second'],
  [RANGE.year | RANGE.month, ' year to month'], [RANGE.day | RANGE.hour, ' day to hour'], [RANGE.day | RANGE.hour | RANGE.minute, ' day to minute'],
  [RANGE.day | RANGE.hour | RANGE.minute | RANGE.second, ' day to second'], [RANGE.hour | RANGE.minute, ' hour to minute'],
  [RANGE.hour | RANGE.minute | RANGE.second, ' hour to second'], [RANGE.minute | RANGE.second, ' minute to second'],
];

function intervalTypmodIn(modifiers: readonly string[]): number {
  const numbers = modifiers.map(Number);
  const [range, precision] = numbers;
  if (range === undefined || numbers.length > 2) throw new DatabaseError('22023', 'invalid INTERVAL type modifier');
  if (range !== FULL_RANGE && !RANGE_NAMES.some(([mask]) => mask === range)) throw new DatabaseError('22023', 'invalid INTERVAL type modifier');
  if (precision === undefined) return range === FULL_RANGE ? -1 : FULL_PRECISION | (range << 16);
  if (precision < 0) throw new DatabaseError('22023', `INTERVAL(${precision}) precision must not be negative`);
  return Math.min(precision, 6) | (range << 16);
}

function intervalTypmodOut(typmod: number): string {
  if (typmod < 0) return '';
  const name = RANGE_NAMES.find(([mask]) => mask === rangeOf(typmod))?.[1] ?? '';
  const precision = precisionOf(typmod);
  return name + (precision === FULL_PRECISION ? '' : `(${precision})`);
}

export const intervalType: DataType = {
  name: 'interval',
  vector: 'any',
  input: (text, typmod, context) => adjustInterval(parseInterval(text, rangeOf(typmod), context), typmod),
  output: (value, context) => printInterval(value as Interval, context.settings.intervalStyle),
  receive(bytes, typmod) {
    expectLength(bytes, 16);
    const view = viewOf(bytes);
    return adjustInterval({ micros: readInt64(view, 0, false), days: view.getInt32(8), months: view.getInt32(12) }, typmod);
  },
  send(value) {
    const { months, days, micros } = value as Interval;
    const out = new Uint8Array(16);
    out.set(sendInt64(micros));
    out.set(sendInt32(days), 8);
    out.set(sendInt32(months), 12);
    return out;
  },
  compare: compareInterval,
  equal: (left: Interval, right: Interval) => intervalMeasure(left) === intervalMeasure(right),
  hashKey: intervalMeasure,
  applyTypmod: (value: Interval, typmod: number) => adjustInterval(value, typmod),
  typmodIn: intervalTypmodIn,
  typmodOut: intervalTypmodOut,
  key: {
    lossless: false,
    // 128 bits of microseconds: the quotient by 2^53 and the rest.
    encode(value: Interval, out) {
      const total = BigInt(value.months * 30 + value.days) * 86_400_000_000n + BigInt(value.micros);
      out.int64(total >> 53n);
      out.int64(Number(total & 0x1fffffffffffffn));
    },
  },
  row: {
    width: 16,
    write(value: Interval, into, offset) {
      writeInt64(value.micros, into, offset);
      into.setInt32(offset + 8, value.days, true);
      into.setInt32(offset + 12, value.months, true);
    },
    read: (from, offset) => ({ months: from.getInt32(offset + 12, true), days: from.getInt32(offset + 8, true), micros: readInt64(from, offset, true) }),
  },
};


/**
 * Reads intervals: PostgreSQL's traditional and verbose forms, SQL standard and ISO 8601, limited to
 * the fields of an `interval ... to ...` typmod. A port of datetime.c's DecodeInterval.
 */
import type { EvalContext } from '../functions/context.js';
import { DatabaseError } from '../../engine/errors.js';
import { MICROS_PER_DAY } from './calendar.js';
import { int8FromBigInt, type Interval } from './datum.js';
import { DecodeFailure, dateTimeError, dateToken, fail, tokenize, type Failure } from './datetime-fields.js';
import { decodeClock, parseFraction } from './datetime-numbers.js';
import { rint } from './float.js';

type Unit = 'microsecond' | 'millisecond' | 'second' | 'minute' | 'hour' | 'day' | 'week' | 'month' | 'quarter' | 'year' | 'decade' | 'century' | 'millennium';

const UNIT_WORDS: Readonly<Record<Unit, readonly string[]>> = {
  microsecond: ['us', 'usec', 'usecs', 'usecond', 'useconds', 'microsecon', 'microsecond', 'microseconds'],
  millisecond: ['ms', 'msec', 'msecs', 'msecond', 'mseconds', 'millisecon', 'millisecond', 'milliseconds'],
  second: ['s', 'sec', 'secs', 'second', 'seconds'],
  minute: ['m', 'min', 'mins', 'minute', 'minutes'],
  hour: ['h', 'hr', 'hrs', 'hour', 'hours'],
  day: ['d', 'day', 'days'],
  week: ['w', 'week', 'weeks'],
  month: ['mon', 'mons', 'month', 'months'],
  quarter: ['qtr', 'quarter'],
  year: ['y', 'yr', 'yrs', 'year', 'years'],
  decade: ['dec', 'decs', 'decade', 'decades'],
  century: ['c', 'cent', 'century', 'centuries'],
  millennium: ['mil', 'mils', 'millennium', 'millennia'],
};

const UNITS = new Map<string, Unit>();
for (const [unit, words] of Object.entries(UNIT_WORDS)) for (const word of words) UNITS.set(word, unit as Unit);

/** A unit word of intervals, extract and date_trunc. */
export function intervalUnit(word: string): Unit | undefined {
  return UNITS.get(word);
}

/** Bits of interval range typmods (INTERVAL_MASK). */
export const RANGE = { month: 1 << 1, year: 1 << 2, day: 1 << 3, hour: 1 << 10, minute: 1 << 11, second: 1 << 12 } as const;
export const FULL_RANGE = 0x7fff;
export const FULL_PRECISION = 0xffff;

/** What has been read: micros is exact. */
class Accumulator {
  years = 0;
  months = 0;
  days = 0;
  micros = 0n;

  addMicros(value: bigint, fraction: number, scale: number): void {
    this.micros += value * BigInt(scale);
    this.addFractionMicros(fraction, scale);
    this.check();
  }

  addFractionMicros(fraction: number, scale: number): void {
    if (fraction === 0) return;
    const scaled = fraction * scale;
    const whole = Math.trunc(scaled);
    const rest = scaled - whole;
    this.micros += BigInt(whole) + (rest > 0.5 ? 1n : rest < -0.5 ? -1n : 0n);
    this.check();
  }

  addDays(value: bigint, scale: number): void {
    this.days += Number(value) * scale;
    this.check();
  }

  addFractionDays(fraction: number, scale: number): void {
    if (fraction === 0) return;
    const scaled = fraction * scale;
    const whole = Math.trunc(scaled);
    this.days += whole;
    this.addFractionMicros(scaled - whole, MICROS_PER_DAY);
    this.check();
  }

  addMonths(value: bigint): void {
    this.months += Number(value);
    this.check();
  }

  addYears(value: bigint, fraction: number, scale: number): void {
    this.years += Number(value) * scale;
    this.months += rint(fraction * scale * 12);
    this.check();
  }

  private check(): void {
    if (this.micros > 9223372036854775807n || this.micros < -9223372036854775808n) fail('field overflow');
    for (const n of [this.years, this.months, this.days]) if (n > 2147483647 || n < -2147483648) fail('field overflow');
  }

  negate(): void {
    this.years = 0 - this.years;
    this.months = 0 - this.months;
    this.days = 0 - this.days;
    this.micros = -this.micros;
  }

  finish(): Interval {
    const months = this.years * 12 + this.months;
    if (months > 2147483647 || months < -2147483648) fail('field overflow');
    return { months, days: this.days, micros: int8FromBigInt(this.micros) };
  }
}

/** Bits for DecodeInterval's duplicate check. */
const MASKS: Readonly<Record<Unit, number>> = {
  microsecond: 1, millisecond: 2, second: 4, minute: 8, hour: 16, day: 32, week: 64, month: 128, quarter: 0, year: 256, decade: 512, century: 1024, millennium: 2048,
};
const ALL_SECONDS = 7;
const TIME_BITS = 4 | 8 | 16;

function addUnit(into: Accumulator, unit: Unit, value: bigint, fraction: number): number {
  switch (unit) {
    case 'microsecond': into.addMicros(value, fraction, 1); break;
    case 'millisecond': into.addMicros(value, fraction, 1000); break;
    case 'second':
      into.addMicros(value, fraction, 1_000_000);
      return fraction === 0 ? MASKS.second : ALL_SECONDS;
    case 'minute': into.addMicros(value, fraction, 60_000_000); break;
    case 'hour': into.addMicros(value, fraction, 3_600_000_000); break;
    case 'day':
      into.addDays(value, 1);
      into.addFractionMicros(fraction, MICROS_PER_DAY);
      break;
    case 'week':
      into.addDays(value, 7);
      into.addFractionDays(fraction, 7);
      break;
    case 'month':
      into.addMonths(value);
      into.addFractionDays(fraction, 30);
      break;
    case 'year': into.addYears(value, fraction, 1); break;
    case 'decade': into.addYears(value, fraction, 10); break;
    case 'century': into.addYears(value, fraction, 100); break;
    case 'millennium': into.addYears(value, fraction, 1000); break;
    case 'quarter': fail('bad format');
  }
  return MASKS[unit];
}

/** The unit of a number without one, by the typmod's range. */
function defaultUnit(range: number): Unit {
  const { year, month, day, hour, minute } = RANGE;
  switch (range) {
    case year: return 'year';
    case month: case year | month: return 'month';
    case day: return 'day';
    case hour: case day | hour: return 'hour';
    case minute: case hour | minute: case day | hour | minute: return 'minute';
    default: return 'second';
  }
}

const addClock = (into: Accumulator, text: string, range: number): bigint => {
  const time = decodeClock(text, range === (RANGE.minute | RANGE.second));
  const micros = BigInt(time.hour) * 3_600_000_000n + BigInt(time.minute * 60 + time.second) * 1_000_000n + BigInt(time.micros);
  if (micros > 9223372036854775807n) fail('field overflow');
  into.micros += micros;
  return micros;
};

/** "+02:03" as a time of its own; false when it is none. */
function addSignedClock(into: Accumulator, text: string, range: number): boolean {
  if (text.indexOf(':', 1) < 0) return false;
  try {
    addClock(into, text.slice(1), range);
  } catch (error) {
    if (error instanceof DecodeFailure) return false;
    throw error;
  }
  if (text.startsWith('-')) into.micros = -into.micros;
  return true;
}

function decodeTraditional(text: string, range: number, context: EvalContext): Interval {
  const fields = tokenize(text);
  const into = new Accumulator();
  let unit: Unit | undefined;
  let before = false;
  let pendingUnit = false;
  let seen = 0;
  let forceNegative = false;
  if (context.settings.intervalStyle === 'sql_standard' && fields[0]?.text.startsWith('-')) {
    forceNegative = !fields.slice(1).some((field) => /^[+-]/.test(field.text));
  }
  const forced = (): void => {
    if (forceNegative && into.micros > 0n) into.micros = -into.micros;
  };
  for (let i = fields.length - 1; i >= 0; i--) {
    const field = fields[i]!;
    let mask = 0;
    switch (field.kind) {
      case 'time':
        addClock(into, field.text, range);
        forced();
        mask = TIME_BITS;
        unit = 'day';
        pendingUnit = false;
        break;
      case 'tz':
      case 'date':
      case 'number': {
        if (field.kind === 'tz' && addSignedClock(into, field.text, range)) {
          forced();
          mask = TIME_BITS;
          unit = 'day';
          pendingUnit = false;
          break;
        }
        unit ??= defaultUnit(range);
        const match = /^([+-]?\d*)(.*)$/s.exec(field.text)!;
        let value = match[1] === '' || match[1] === '-' || match[1] === '+' ? 0n : BigInt(match[1]!);
        if (value > 9223372036854775807n || value < -9223372036854775808n) fail('field overflow');
        const rest = match[2]!;
        let fraction = 0;
        const negative = field.text.startsWith('-');
        if (rest.startsWith('-')) {
          const months = /^-(\d*)$/.exec(rest);
          if (!months) return fail('bad format');
          if (Number(months[1]) >= 12) fail('field overflow');
          unit = 'month';
          value = value * 12n + (negative ? -BigInt(months[1] || 0) : BigInt(months[1] || 0));
        } else if (rest.startsWith('.')) {
          fraction = parseFraction(rest);
          if (negative) fraction = -fraction;
        } else if (rest !== '') fail('bad format');
        if (forceNegative) {
          if (value > 0n) value = -value;
          if (fraction > 0) fraction = -fraction;
        }
        mask = addUnit(into, unit, value, fraction);
        if (unit === 'hour') unit = 'day';
        pendingUnit = false;
        break;
      }
      default: {
        if (pendingUnit) fail('bad format');
        const word = field.text.slice(0, 10);
        if (field.text === '@') continue;
        const found = UNITS.get(field.text) ?? UNITS.get(word);
        if (found) {
          unit = found;
          pendingUnit = true;
        } else if (field.text === 'ago') {
          before = true;
          unit = undefined;
        } else if (dateToken(field.text)?.type === 'ignore') continue;
        else fail('bad format');
      }
    }
    if (mask & seen) fail('bad format');
    seen |= mask;
  }
  if (seen === 0 || pendingUnit) fail('bad format');
  if (before) into.negate();
  return into.finish();
}

/** DecodeISO8601Interval: P1Y2M3DT4H5M6.7S and the alternative P0001-02-03T04:05:06. */
function decodeIso(text: string): Interval {
  const into = new Accumulator();
  if (text.length < 2 || text[0] !== 'P') fail('bad format');
  let p = 1;
  let datePart = true;
  let haveField = false;
  const number = (): { value: bigint; fraction: number } => {
    const match = /^([+-]?\d*)(\.\d*)?/.exec(text.slice(p))!;
    if (match[0] === '' || match[0] === '+' || match[0] === '-') return fail('bad format');
    p += match[0].length;
    const negative = match[0].startsWith('-');
    const value = match[1] === '' || match[1] === '-' || match[1] === '+' ? 0n : BigInt(match[1]!);
    if (value > 9223372036854775807n || value < -9223372036854775808n) fail('field overflow');
    const fraction = match[2] === undefined || match[2] === '.' ? 0 : Number(match[2]);
    return { value, fraction: negative ? -fraction : fraction };
  };
  while (p < text.length) {
    if (text[p] === 'T') {
      datePart = false;
      haveField = false;
      p++;
      continue;
    }
    const start = p;
    const { value, fraction } = number();
    const unit = text[p++];
    if (datePart) {
      switch (unit) {
        case 'Y': into.addYears(value, fraction, 1); break;
        case 'M': addUnit(into, 'month', value, fraction); break;
        case 'W': addUnit(into, 'week', value, fraction); break;
        case 'D': addUnit(into, 'day', value, fraction); break;
        case 'T': case '-': case undefined: {
          const digits = text.slice(start, p - 1).replace(/^[+-]/, '');
          if (digits.length === 8 && !haveField && unit !== '-') {
            into.years += Number(value / 10000n);
            into.months += Number((value / 100n) % 100n);
            into.days += Number(value % 100n);
            into.addFractionMicros(fraction, MICROS_PER_DAY);
            if (unit === undefined) return into.finish();
            datePart = false;
            haveField = false;
            continue;
          }
          if (haveField) fail('bad format');
          into.addYears(value, fraction, 1);
          if (unit === undefined) return into.finish();
          if (unit === 'T') {
            datePart = false;
            haveField = false;
            continue;
          }
          const months = number();
          addUnit(into, 'month', months.value, months.fraction);
          if (p >= text.length) return into.finish();
          if (text[p] === 'T') {
            datePart = false;
            haveField = false;
            continue;
          }
          if (text[p] !== '-') fail('bad format');
          p++;
          const days = number();
          addUnit(into, 'day', days.value, days.fraction);
          if (p >= text.length) return into.finish();
          if (text[p] === 'T') {
            datePart = false;
            haveField = false;
            continue;
          }
          return fail('bad format');
        }
        default: fail('bad format');
      }
    } else {
      switch (unit) {
        case 'H': addUnit(into, 'hour', value, fraction); break;
        case 'M': addUnit(into, 'minute', value, fraction); break;
        case 'S': addUnit(into, 'second', value, fraction); break;
        case undefined: case ':': {
          if (unit === undefined && text.slice(start).replace(/^[+-]/, '').replace(/\..*/, '').length === 6 && !haveField) {
            into.addMicros((value / 10000n) * 3600n + ((value / 100n) % 100n) * 60n + (value % 100n), fraction, 1_000_000);
            return into.finish();
          }
          if (haveField) fail('bad format');
          addUnit(into, 'hour', value, fraction);
          if (unit === undefined) return into.finish();
          const minutes = number();
          addUnit(into, 'minute', minutes.value, minutes.fraction);
          if (p >= text.length) return into.finish();
          if (text[p] !== ':') fail('bad format');
          p++;
          const seconds = number();
          addUnit(into, 'second', seconds.value, seconds.fraction);
          if (p >= text.length) return into.finish();
          return fail('bad format');
        }
        default: fail('bad format');
      }
    }
    haveField = true;
  }
  return into.finish();
}

/** interval_in without the typmod's precision. */
export function parseInterval(text: string, range: number, context: EvalContext): Interval {
  let failure: Failure;
  try {
    return decodeTraditional(text, range, context);
  } catch (error) {
    if (!(error instanceof DecodeFailure)) throw error;
    failure = error.failure;
  }
  if (failure === 'bad format') {
    try {
      return decodeIso(text);
    } catch (error) {
      if (!(error instanceof DecodeFailure)) throw error;
      failure = error.failure;
    }
  }
  throw intervalError(failure, text);
}

function intervalError(failure: Failure, text: string): DatabaseError {
  return dateTimeError(failure === 'field overflow' ? 'interval overflow' : failure, text, 'interval');
}

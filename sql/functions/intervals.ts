/** Arithmetic on intervals and on timestamps with intervals (timestamp.c), shared by operators, series and aggregates. */
import { DatabaseError } from '../../engine/errors.js';
import type { EvalContext } from './context.js';
import { EPOCH_JULIAN, MICROS_PER_DAY, MICROS_PER_SECOND, addInt8, clockToTimestamp, daysInMonth, isValidTimestamp, joinTimestamp, julianDay, splitTimestamp, subtractInt8, timestampToClock } from '../types/calendar.js';
import { int8FromBigInt, type Int8, type Interval } from '../types/datum.js';
import { rint } from '../types/float.js';
import { zonedClock } from '../types/datetime-print.js';
import { sessionZone, zoneOffsetAtLocal, type Zone } from '../types/timezone.js';

export const timestampOutOfRange = (): DatabaseError => new DatabaseError('22008', 'timestamp out of range');
export const intervalOutOfRange = (): DatabaseError => new DatabaseError('22008', 'interval out of range');

const MIN8 = -9223372036854775808n;
const MAX8 = 9223372036854775807n;

export function isInfinite(value: Int8): boolean {
  return value === Infinity || value === -Infinity;
}

function checkMicros(value: Int8): Int8 {
  if (typeof value === 'bigint' && (value < MIN8 || value > MAX8)) throw intervalOutOfRange();
  return value;
}

function checkInt(value: number): number {
  if (value > 2147483647 || value < -2147483648) throw intervalOutOfRange();
  return value === 0 ? 0 : value;
}

export function makeInterval(months: number, days: number, micros: Int8): Interval {
  return { months: checkInt(months), days: checkInt(days), micros: checkMicros(micros) };
}

export function negateInterval(a: Interval): Interval {
  return makeInterval(0 - a.months, 0 - a.days, subtractInt8(0, a.micros));
}

export function addIntervals(a: Interval, b: Interval): Interval {
  return makeInterval(a.months + b.months, a.days + b.days, addInt8(a.micros, b.micros));
}

export function subtractIntervals(a: Interval, b: Interval): Interval {
  return makeInterval(a.months - b.months, a.days - b.days, subtractInt8(a.micros, b.micros));
}

/** rint(x * 10^6) / 10^6 */
const roundTime = (value: number): number => rint(value * 1000000) / 1000000;

function doubleToMicros(value: number): Int8 {
  const rounded = rint(value);
  if (!(rounded >= -9223372036854775808 && rounded < 9223372036854775808)) throw intervalOutOfRange();
  return Number.isSafeInteger(rounded) ? (rounded === 0 ? 0 : rounded) : int8FromBigInt(BigInt(rounded));
}

/** interval * factor (or / divisor), with the fractions cascading down: months to days, days to time. */
export function scaleInterval(span: Interval, apply: (value: number) => number): Interval {
  const scaledMonths = apply(span.months);
  const scaledDays = apply(span.days);
  for (const value of [scaledMonths, scaledDays]) if (!(value <= 2147483647 && value >= -2147483648)) throw intervalOutOfRange();
  const months = Math.trunc(scaledMonths);
  let days = Math.trunc(scaledDays);
  const monthRemainder = roundTime((scaledMonths - months) * 30);
  const wholeDays = Math.trunc(monthRemainder);
  let seconds = roundTime((scaledDays - days + monthRemainder - wholeDays) * 86400);
  if (Math.abs(seconds) >= 86400) {
    const carried = Math.trunc(seconds / 86400);
    days += carried;
    seconds -= carried * 86400;
  }
  return makeInterval(months, days + wholeDays, doubleToMicros(apply(Number(span.micros)) + seconds * MICROS_PER_SECOND));
}

export function multiplyInterval(span: Interval, factor: number): Interval {
  if (factor !== factor) throw intervalOutOfRange();
  return scaleInterval(span, (value) => value * factor);
}

export function divideInterval(span: Interval, divisor: number): Interval {
  if (divisor === 0) throw new DatabaseError('22012', 'division by zero');
  if (divisor !== divisor) throw intervalOutOfRange();
  return scaleInterval(span, (value) => value / divisor);
}

function addMonths<T extends { year: number; month: number; day: number }>(clock: T, months: number): T {
  const total = clock.year * 12 + clock.month - 1 + months;
  const year = Math.floor(total / 12);
  const month = total - year * 12 + 1;
  return { ...clock, year, month, day: Math.min(clock.day, daysInMonth(year, month)) };
}

export function addToTimestamp(timestamp: Int8, span: Interval): Int8 {
  if (isInfinite(timestamp)) return timestamp;
  let value = timestamp;
  if (span.months !== 0) {
    const moved = clockToTimestamp(addMonths(timestampToClock(value), span.months));
    if (moved === undefined) throw timestampOutOfRange();
    value = moved;
  }
  if (span.days !== 0) {
    const { days, micros } = splitTimestamp(value);
    value = joinTimestamp(days + span.days, micros);
    if (days + span.days < -EPOCH_JULIAN || !isValidTimestamp(value)) throw timestampOutOfRange();
  }
  value = addInt8(value, span.micros);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}

/** Months and days are added to local time, the rest to the instant. */
export function addToTimestamptz(timestamp: Int8, span: Interval, zone: Zone): Int8 {
  if (isInfinite(timestamp)) return timestamp;
  let value = timestamp;
  const relocate = (clock: ReturnType<typeof zonedClock>['clock']): Int8 => {
    const moved = clockToTimestamp(clock, -zoneOffsetAtLocal(zone, clock));
    if (moved === undefined) throw timestampOutOfRange();
    return moved;
  };
  if (span.months !== 0) value = relocate(addMonths(zonedClock(value, zone).clock, span.months));
  if (span.days !== 0) {
    const { clock } = zonedClock(value, zone);
    const julian = julianDay(clock.year, clock.month, clock.day) + span.days;
    if (julian < 0 || julian > 109203528) throw timestampOutOfRange();
    const date = timestampToClock(joinTimestamp(julian - EPOCH_JULIAN, 0));
    value = relocate({ ...clock, year: date.year, month: date.month, day: date.day });
  }
  value = addInt8(value, span.micros);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}

export function zoneOf(context: EvalContext): Zone {
  return sessionZone(context.settings.timeZone);
}

/** timestamp - timestamp: days and time. */
export function subtractTimestamps(a: Int8, b: Int8): Interval {
  if (isInfinite(a) || isInfinite(b)) throw new DatabaseError('22008', 'cannot subtract infinite timestamps');
  const difference = subtractInt8(a, b);
  if (typeof difference === 'bigint' && (difference < MIN8 || difference > MAX8)) throw intervalOutOfRange();
  return justifyHours({ months: 0, days: 0, micros: difference });
}

function divideDays(micros: Int8): { days: number; rest: Int8 } {
  if (typeof micros === 'number') {
    const rest = micros % MICROS_PER_DAY;
    return { days: (micros - rest) / MICROS_PER_DAY || 0, rest: rest === 0 ? 0 : rest };
  }
  const days = micros / 86_400_000_000n;
  return { days: Number(days), rest: int8FromBigInt(micros - days * 86_400_000_000n) };
}

export function justifyHours(span: Interval): Interval {
  const whole = divideDays(span.micros);
  let days = span.days + whole.days;
  let micros = whole.rest as number;
  if (days > 0 && micros < 0) {
    micros += MICROS_PER_DAY;
    days--;
  } else if (days < 0 && micros > 0) {
    micros -= MICROS_PER_DAY;
    days++;
  }
  return makeInterval(span.months, days, micros);
}

export function justifyDays(span: Interval): Interval {
  const whole = Math.trunc(span.days / 30);
  let days = span.days - whole * 30;
  let months = span.months + whole;
  if (months > 0 && days < 0) {
    days += 30;
    months--;
  } else if (months < 0 && days > 0) {
    days -= 30;
    months++;
  }
  return makeInterval(months, days, span.micros);
}

export function justifyInterval(span: Interval): Interval {
  const whole = divideDays(span.micros);
  let days = span.days + whole.days;
  let micros = whole.rest as number;
  const wholeMonths = Math.trunc(days / 30);
  days -= wholeMonths * 30;
  let months = span.months + wholeMonths;
  if (months > 0 && (days < 0 || (days === 0 && micros < 0))) {
    days += 30;
    months--;
  } else if (months < 0 && (days > 0 || (days === 0 && micros > 0))) {
    days -= 30;
    months++;
  }
  if (days > 0 && micros < 0) {
    micros += MICROS_PER_DAY;
    days--;
  } else if (days < 0 && micros > 0) {
    micros -= MICROS_PER_DAY;
    days++;
  }
  return makeInterval(months, days, micros);
}

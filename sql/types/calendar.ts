/**
 * The proleptic Gregorian calendar by Julian day numbers, and timestamps (microseconds since
 * 2000-01-01) taken apart and put together. Years are astronomical: 0 is 1 BC.
 */
import { int8FromBigInt, type Int8 } from './datum.js';

/** Julian day of 2000-01-01. */
export const EPOCH_JULIAN = 2451545;
/** Days from 1970-01-01 to 2000-01-01. */
export const UNIX_EPOCH_DAYS = 10957;
export const UNIX_EPOCH_SECONDS = 946684800;
export const MICROS_PER_SECOND = 1_000_000;
export const MICROS_PER_MINUTE = 60_000_000;
export const MICROS_PER_HOUR = 3_600_000_000;
export const MICROS_PER_DAY = 86_400_000_000;
/** 4714-11-24 BC and the first day that dates and timestamps cannot have. */
export const MIN_DATE = -2451545;
export const END_DATE = 2147483494 - EPOCH_JULIAN;
export const END_TIMESTAMP_DATE = 109203528 - EPOCH_JULIAN;

const MIN_TIMESTAMP = -211813488000000000n;
const END_TIMESTAMP = 9223371331200000000n;

export interface Clock {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  micros: number;
}

export function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export function daysInMonth(year: number, month: number): number {
  return month === 2 && isLeapYear(year) ? 29 : MONTH_DAYS[month - 1]!;
}

export function julianDay(year: number, month: number, day: number): number {
  let m: number;
  let y: number;
  if (month > 2) {
    m = month + 1;
    y = year + 4800;
  } else {
    m = month + 13;
    y = year + 4799;
  }
  const century = Math.floor(y / 100);
  return y * 365 - 32167 + Math.floor(y / 4) - century + Math.floor(century / 4) + Math.floor((7834 * m) / 256) + day;
}

/** Days since 2000-01-01. */
export function daysFromDate(year: number, month: number, day: number): number {
  return julianDay(year, month, day) - EPOCH_JULIAN;
}

export function dateFromJulian(julian: number): { year: number; month: number; day: number } {
  // Fliegel and Van Flandern over 400-year cycles.
  const a = julian + 32044;
  const b = Math.floor((4 * a + 3) / 146097);
  const c = a - Math.floor((146097 * b) / 4);
  const d = Math.floor((4 * c + 3) / 1461);
  const e = c - Math.floor((1461 * d) / 4);
  const m = Math.floor((5 * e + 2) / 153);
  return { year: 100 * b + d - 4800 + Math.floor(m / 10), month: m + 3 - 12 * Math.floor(m / 10), day: e - Math.floor((153 * m + 2) / 5) + 1 };
}

export function dateFromDays(days: number): { year: number; month: number; day: number } {
  return dateFromJulian(days + EPOCH_JULIAN);
}

/** 0 is Sunday. */
export function dayOfWeek(julian: number): number {
  const weekday = (julian + 1) % 7;
  return weekday < 0 ? weekday + 7 : weekday;
}

/** Whole days since 2000-01-01 of a finite timestamp, and the microseconds of that day. */
export function splitTimestamp(timestamp: Int8): { days: number; micros: number } {
  if (typeof timestamp === 'number') {
    let days = Math.floor(timestamp / MICROS_PER_DAY);
    let micros = timestamp - days * MICROS_PER_DAY;
    if (micros < 0) {
      days--;
      micros += MICROS_PER_DAY;
    } else if (micros >= MICROS_PER_DAY) {
      days++;
      micros -= MICROS_PER_DAY;
    }
    return { days, micros };
  }
  let days = timestamp / 86_400_000_000n;
  let micros = timestamp - days * 86_400_000_000n;
  if (micros < 0n) {
    days -= 1n;
    micros += 86_400_000_000n;
  }
  return { days: Number(days), micros: Number(micros) };
}

/** The timestamp of a day and microseconds (any, also negative). */
export function joinTimestamp(days: number, micros: number): Int8 {
  const value = days * MICROS_PER_DAY + micros;
  if (Math.abs(days) < 104000 && Math.abs(micros) < 1e13) return value;
  return int8FromBigInt(BigInt(days) * 86_400_000_000n + BigInt(micros));
}

export function isValidTimestamp(value: Int8): boolean {
  if (typeof value === 'number') return true; // safe integers all lie inside
  return value >= MIN_TIMESTAMP && value < END_TIMESTAMP;
}

export function isValidDate(days: number): boolean {
  return days >= MIN_DATE && days < END_DATE;
}

export function timestampToClock(timestamp: Int8): Clock {
  const { days, micros } = splitTimestamp(timestamp);
  return withTime(dateFromDays(days), micros);
}

export function withTime(date: { year: number; month: number; day: number }, micros: number): Clock {
  const seconds = Math.floor(micros / MICROS_PER_SECOND);
  const minutes = Math.floor(seconds / 60);
  const hour = Math.floor(minutes / 60);
  return { year: date.year, month: date.month, day: date.day, hour, minute: minutes - hour * 60, second: seconds - minutes * 60, micros: micros - seconds * MICROS_PER_SECOND };
}

export function microsOfDay(clock: { hour: number; minute: number; second: number; micros: number }): number {
  return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * MICROS_PER_SECOND + clock.micros;
}

/** The timestamp of a clock's local time, or undefined when it is out of range. */
export function clockToTimestamp(clock: Clock, zoneSecondsWest = 0): Int8 | undefined {
  const julian = julianDay(clock.year, clock.month, clock.day);
  if (clock.year < -4713 || julian < 0 || clock.year > 5874898) return undefined;
  const value = joinTimestamp(julian - EPOCH_JULIAN, microsOfDay(clock) + zoneSecondsWest * MICROS_PER_SECOND);
  return isValidTimestamp(value) ? value : undefined;
}

/** Exact sum in canonical form. */
export function addInt8(a: Int8, b: Int8): Int8 {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return int8FromBigInt(BigInt(a) + BigInt(b));
}

export function subtractInt8(a: Int8, b: Int8): Int8 {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (Number.isSafeInteger(difference)) return difference;
  }
  return int8FromBigInt(BigInt(a) - BigInt(b));
}

/** ISO 8601 week of a date. */
export function isoWeek(year: number, month: number, day: number): number {
  const today = julianDay(year, month, day);
  let fourth = julianDay(year, 1, 4);
  let offset = (fourth % 7 + 7) % 7;
  if (today < fourth - offset) {
    fourth = julianDay(year - 1, 1, 4);
    offset = (fourth % 7 + 7) % 7;
  }
  let week = Math.floor((today - (fourth - offset)) / 7) + 1;
  if (week >= 52) {
    fourth = julianDay(year + 1, 1, 4);
    offset = (fourth % 7 + 7) % 7;
    if (today >= fourth - offset) week = Math.floor((today - (fourth - offset)) / 7) + 1;
  }
  return week;
}

/** The year an ISO week belongs to (astronomical). */
export function isoYear(year: number, month: number, day: number): number {
  const week = isoWeek(year, month, day);
  if (month === 1 && week >= 52) return year - 1;
  if (month === 12 && week === 1) return year + 1;
  return year;
}

/** Julian day of the Monday of an ISO week. */
export function isoWeekStart(year: number, week: number): number {
  const fourth = julianDay(year, 1, 4);
  return (week - 1) * 7 + (fourth - ((fourth % 7 + 7) % 7));
}

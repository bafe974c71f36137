/** extract, date_part, date_trunc, date_bin, age, make_* and time zone conversion. */
import { DatabaseError } from '../../engine/errors.js';
import {
  MICROS_PER_DAY, MICROS_PER_SECOND, addInt8, clockToTimestamp, dateFromDays, dateFromJulian, dayOfWeek, daysFromDate, daysInMonth, isValidDate, isValidTimestamp, isoWeek, isoWeekStart, isoYear, julianDay, microsOfDay, subtractInt8, timestampToClock, type Clock,
} from '../types/calendar.js';
import type { Datum, Int8, Interval, TimeTz } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import { UNIX_EPOCH_TIMESTAMP, intervalMeasure } from '../types/date-time.js';
import { decodeNumericZone } from '../types/datetime-numbers.js';
import { rint } from '../types/float.js';
import { printInterval, splitIntervalTime, unixSeconds, zonedClock } from '../types/datetime-print.js';
import { intervalUnit } from '../types/interval-parse.js';
import { Numeric } from '../types/numeric.js';
import { abbreviationOffset, findAbbreviation, findZone, zoneOffsetAtLocal, type Zone } from '../types/timezone.js';
import type { EvalContext } from './context.js';
import { dateToTimestamp, instantToLocal, localToInstant } from './date-time-operators.js';
import { f, fc } from './define.js';
import type { SqlFunction } from './function.js';
import { addToTimestamptz, intervalOutOfRange, isInfinite, makeInterval, negateInterval, timestampOutOfRange, zoneOf } from './intervals.js';
import { requireZone } from './series.js';

type Unit = NonNullable<ReturnType<typeof intervalUnit>> | 'dow' | 'isodow' | 'doy' | 'isoyear' | 'julian' | 'epoch' | 'timezone' | 'timezone_hour' | 'timezone_minute';

const OTHER_UNITS: Readonly<Record<string, Unit>> = {
  dow: 'dow', isodow: 'isodow', doy: 'doy', isoyear: 'isoyear', julian: 'julian', jd: 'julian', j: 'julian', epoch: 'epoch', timezone: 'timezone', timezone_h: 'timezone_hour', timezone_hour: 'timezone_hour', timezone_m: 'timezone_minute', timezone_minute: 'timezone_minute',
};

function unitOf(text: string, typeName: string): Unit {
  const word = text.toLowerCase();
  const unit = intervalUnit(word) ?? intervalUnit(word.slice(0, 10)) ?? (OTHER_UNITS[word] as Unit | undefined);
  if (!unit) throw new DatabaseError('22023', `unit "${text}" not recognized for type ${typeName}`);
  return unit;
}

function unsupported(unit: string, typeName: string): DatabaseError {
  return new DatabaseError('0A000', `unit "${unit}" not supported for type ${typeName}`);
}

/** A part: exact integer with digits behind the point. */
interface Part {
  readonly value: Int8 | bigint;
  readonly scale: number;
}

const whole = (value: Int8): Part => ({ value, scale: 0 });
const scaled = (value: Int8 | bigint, scale: number): Part => ({ value, scale });

function yearPart(year: number, unit: Unit): number {
  switch (unit) {
    case 'year': return year > 0 ? year : year - 1;
    case 'decade': return year >= 0 ? Math.trunc(year / 10) : -Math.trunc((8 - (year - 1)) / 10);
    case 'century': return year > 0 ? Math.trunc((year + 99) / 100) : -Math.trunc((99 - (year - 1)) / 100);
    default: return year > 0 ? Math.trunc((year + 999) / 1000) : -Math.trunc((999 - (year - 1)) / 1000);
  }
}

/** Fields of a calendar date; undefined when the unit is not one of them. */
function datePart(unit: Unit, year: number, month: number, day: number): Part | undefined {
  switch (unit) {
    case 'day': return whole(day);
    case 'month': return whole(month);
    case 'quarter': return whole(Math.floor((month - 1) / 3) + 1);
    case 'week': return whole(isoWeek(year, month, day));
    case 'year': case 'decade': case 'century': case 'millennium': return whole(yearPart(year, unit));
    case 'isoyear': {
      const result = isoYear(year, month, day);
      return whole(result <= 0 ? result - 1 : result);
    }
    case 'dow': return whole(dayOfWeek(julianDay(year, month, day)));
    case 'isodow': return whole(dayOfWeek(julianDay(year, month, day)) || 7);
    case 'doy': return whole(julianDay(year, month, day) - julianDay(year, 1, 1) + 1);
    default: return undefined;
  }
}

function timePart(unit: Unit, hour: Int8, minute: number, second: number, micros: number): Part | undefined {
  switch (unit) {
    case 'microsecond': return whole(second * MICROS_PER_SECOND + micros);
    case 'millisecond': return scaled(second * MICROS_PER_SECOND + micros, 3);
    case 'second': return scaled(second * MICROS_PER_SECOND + micros, 6);
    case 'minute': return whole(minute);
    case 'hour': return whole(hour);
    default: return undefined;
  }
}

type Extracted = Part | 'infinite' | '-infinite' | null | { readonly exact: Numeric; readonly float: number };

/** An infinite timestamp: units that only grow are infinite, the others unknown. */
function infinitePart(unit: Unit, negative: boolean): Extracted {
  switch (unit) {
    case 'year': case 'decade': case 'century': case 'millennium': case 'julian': case 'isoyear': case 'epoch':
      return negative ? '-infinite' : 'infinite';
    default: return null;
  }
}

function julianPart(clock: Clock): Extracted {
  const day = julianDay(clock.year, clock.month, clock.day);
  const micros = microsOfDay(clock);
  const exact = Numeric.of(day, 0).add(Numeric.of(micros, 0).divide(Numeric.of(MICROS_PER_DAY, 0)));
  return { exact, float: day + micros / MICROS_PER_DAY };
}

function extractClock(text: string, unit: Unit, clock: Clock, typeName: string): Extracted {
  const part = timePart(unit, clock.hour, clock.minute, clock.second, clock.micros) ?? datePart(unit, clock.year, clock.month, clock.day);
  if (part) return part;
  if (unit === 'julian') return julianPart(clock);
  throw unsupported(text.toLowerCase(), typeName);
}

function extractTimestamp(text: string, value: Int8): Extracted {
  const typeName = 'timestamp without time zone';
  const unit = unitOf(text, typeName);
  if (isInfinite(value)) {
    if (unit.startsWith('timezone')) throw unsupported(text.toLowerCase(), typeName);
    return infinitePart(unit, value < 0);
  }
  if (unit === 'epoch') return scaled(subtractInt8(value, UNIX_EPOCH_TIMESTAMP), 6);
  return extractClock(text, unit, timestampToClock(value), typeName);
}

function extractTimestamptz(text: string, value: Int8, context: EvalContext): Extracted {
  const typeName = 'timestamp with time zone';
  const unit = unitOf(text, typeName);
  if (isInfinite(value)) return infinitePart(unit, value < 0);
  if (unit === 'epoch') return scaled(subtractInt8(value, UNIX_EPOCH_TIMESTAMP), 6);
  const { clock, west } = zonedClock(value, zoneOf(context));
  return zonePart(unit, west) ?? extractClock(text, unit, clock, typeName);
}

function zonePart(unit: Unit, west: number): Part | undefined {
  switch (unit) {
    case 'timezone': return whole(0 - west);
    case 'timezone_minute': return whole(Math.trunc((0 - west) / 60) % 60 || 0);
    case 'timezone_hour': return whole(Math.trunc((0 - west) / 3600) || 0);
    default: return undefined;
  }
}

function extractDate(text: string, days: number): Extracted {
  const unit = unitOf(text, 'date');
  if (!Number.isFinite(days)) {
    const inf = infinitePart(unit, days < 0);
    if (inf === null && !datePart(unit, 2000, 1, 1)) throw unsupported(text.toLowerCase(), 'date');
    return inf;
  }
  if (unit === 'epoch') return whole((days + 10957) * 86400);
  const { year, month, day } = dateFromDays(days);
  if (unit === 'julian') return whole(julianDay(year, month, day));
  const part = datePart(unit, year, month, day);
  if (!part) throw unsupported(text.toLowerCase(), 'date');
  return part;
}

function extractTime(text: string, micros: number): Extracted {
  const typeName = 'time without time zone';
  const unit = unitOf(text, typeName);
  if (unit === 'epoch') return scaled(micros, 6);
  const { hour, minute, second, micros: rest } = splitIntervalTime(micros);
  const part = timePart(unit, hour, minute, second, rest);
  if (!part) throw unsupported(text.toLowerCase(), typeName);
  return part;
}

function extractTimeTz(text: string, value: TimeTz): Extracted {
  const typeName = 'time with time zone';
  const unit = unitOf(text, typeName);
  if (unit === 'epoch') return scaled(value.micros + value.zone * MICROS_PER_SECOND, 6);
  const { hour, minute, second, micros } = splitIntervalTime(value.micros);
  const part = timePart(unit, hour, minute, second, micros) ?? zonePart(unit, value.zone);
  if (!part) throw unsupported(text.toLowerCase(), typeName);
  return part;
}

function extractInterval(text: string, span: Interval): Extracted {
  const unit = unitOf(text, 'interval');
  const years = Math.trunc(span.months / 12);
  const months = span.months % 12;
  switch (unit) {
    case 'epoch': {
      // Years count 365.25 days.
      const seconds = (1461n * BigInt(years) + 120n * BigInt(months) + 4n * BigInt(span.days)) * 21600n;
      return scaled(seconds * 1000000n + BigInt(span.micros), 6);
    }
    case 'day': return whole(span.days);
    case 'month': return whole(months === 0 ? 0 : months);
    case 'quarter': return whole(Math.trunc(months / 3) + 1);
    case 'year': return whole(years === 0 ? 0 : years);
    case 'decade': return whole(Math.trunc(years / 10) || 0);
    case 'century': return whole(Math.trunc(years / 100) || 0);
    case 'millennium': return whole(Math.trunc(years / 1000) || 0);
    default:
  }
  const time = splitIntervalTime(span.micros);
  const sign = time.negative ? -1 : 1;
  const part = timePart(unit, typeof time.hour === 'bigint' ? int8FromBigInt(time.hour * BigInt(sign)) : time.hour * sign || 0, time.minute * sign || 0, time.second * sign || 0, time.micros * sign || 0);
  if (!part) throw unsupported(text.toLowerCase(), 'interval');
  return part;
}

function asNumeric(part: Extracted): Datum {
  if (part === null) return null;
  if (part === 'infinite') return Numeric.Infinity;
  if (part === '-infinite') return Numeric.NegativeInfinity;
  if ('exact' in part) return part.exact;
  return typeof part.value === 'bigint' ? Numeric.fromBig(part.value, part.scale) : Numeric.of(part.value, part.scale);
}

function asFloat(part: Extracted): Datum {
  if (part === null) return null;
  if (part === 'infinite') return Infinity;
  if (part === '-infinite') return -Infinity;
  if ('float' in part) return part.float;
  return Number(part.value) / 10 ** part.scale;
}

function parts(type: string, extract: (unit: string, value: never, context: EvalContext) => Extracted): SqlFunction[] {
  return [
    fc(`extract(text,${type})`, (unit: string, value: never, context: EvalContext) => asNumeric(extract(unit, value, context))),
    fc(`date_part(text,${type})`, (unit: string, value: never, context: EvalContext) => asFloat(extract(unit, value, context))),
  ];
}

// ---- date_trunc ------------------------------------------------------------------------------

/** Truncates a clock; answers whether the day changed (a zone's offset must be found anew). */
function truncateClock(clock: Clock, unit: Unit): boolean | undefined {
  const zeroTime = (): void => {
    clock.hour = clock.minute = clock.second = clock.micros = 0;
  };
  switch (unit) {
    case 'microsecond': return false;
    case 'millisecond':
      clock.micros -= clock.micros % 1000;
      return false;
    case 'second':
      clock.micros = 0;
      return false;
    case 'minute':
      clock.micros = clock.second = 0;
      return false;
    case 'hour':
      clock.micros = clock.second = clock.minute = 0;
      return false;
    case 'day':
      zeroTime();
      return true;
    case 'week': {
      const week = isoWeek(clock.year, clock.month, clock.day);
      const year = week >= 52 && clock.month === 1 ? clock.year - 1 : week <= 1 && clock.month === 12 ? clock.year + 1 : clock.year;
      Object.assign(clock, dateFromJulian(isoWeekStart(year, week)));
      zeroTime();
      return true;
    }
    case 'month':
      clock.day = 1;
      zeroTime();
      return true;
    case 'quarter':
      clock.month = 3 * Math.floor((clock.month - 1) / 3) + 1;
      clock.day = 1;
      zeroTime();
      return true;
    case 'year': case 'decade': case 'century': case 'millennium': {
      const { year } = clock;
      if (unit === 'decade') clock.year = year > 0 ? Math.trunc(year / 10) * 10 : -Math.trunc((8 - (year - 1)) / 10) * 10;
      else if (unit === 'century') clock.year = year > 0 ? Math.trunc((year + 99) / 100) * 100 - 99 : -Math.trunc((99 - (year - 1)) / 100) * 100 + 1;
      else if (unit === 'millennium') clock.year = year > 0 ? Math.trunc((year + 999) / 1000) * 1000 - 999 : -Math.trunc((999 - (year - 1)) / 1000) * 1000 + 1;
      clock.month = clock.day = 1;
      zeroTime();
      return true;
    }
    default: return undefined;
  }
}

function truncateTimestamp(text: string, value: Int8): Int8 {
  const typeName = 'timestamp without time zone';
  if (isInfinite(value)) return value;
  const unit = unitOf(text, typeName);
  const clock = timestampToClock(value);
  if (truncateClock(clock, unit) === undefined) throw unsupported(text.toLowerCase(), typeName);
  const result = clockToTimestamp(clock);
  if (result === undefined) throw timestampOutOfRange();
  return result;
}

function truncateTimestamptz(text: string, value: Int8, zone: Zone): Int8 {
  const typeName = 'timestamp with time zone';
  if (isInfinite(value)) return value;
  const unit = unitOf(text, typeName);
  const { clock, west } = zonedClock(value, zone);
  const dayChanged = truncateClock(clock, unit);
  if (dayChanged === undefined) throw unsupported(text.toLowerCase(), typeName);
  const result = clockToTimestamp(clock, dayChanged ? 0 - zoneOffsetAtLocal(zone, clock) : west);
  if (result === undefined) throw timestampOutOfRange();
  return result;
}

function truncateInterval(text: string, span: Interval): Interval {
  const unit = unitOf(text, 'interval');
  const cut = (size: number): Int8 => {
    if (typeof span.micros === 'number') return Math.trunc(span.micros / size) * size || 0;
    return int8FromBigInt((span.micros / BigInt(size)) * BigInt(size));
  };
  const months = (count: number): Interval => ({ months: Math.trunc(span.months / count) * count || 0, days: 0, micros: 0 });
  switch (unit) {
    case 'microsecond': return span;
    case 'millisecond': return { ...span, micros: cut(1000) };
    case 'second': return { ...span, micros: cut(MICROS_PER_SECOND) };
    case 'minute': return { ...span, micros: cut(60 * MICROS_PER_SECOND) };
    case 'hour': return { ...span, micros: cut(3600 * MICROS_PER_SECOND) };
    case 'day': return { ...span, micros: 0 };
    case 'month': return months(1);
    case 'quarter': return months(3);
    case 'year': return months(12);
    case 'decade': return months(120);
    case 'century': return months(1200);
    case 'millennium': return months(12000);
    case 'week': throw new DatabaseError('0A000', `unit "${text.toLowerCase()}" not supported for type interval`, { detail: 'Months usually have fractional weeks.' });
    default: throw unsupported(text.toLowerCase(), 'interval');
  }
}

function dateBin(stride: Interval, value: Int8, origin: Int8): Int8 {
  if (isInfinite(value)) return value;
  if (isInfinite(origin)) throw new DatabaseError('22008', 'origin out of range');
  if (stride.months !== 0) throw new DatabaseError('0A000', 'timestamps cannot be binned into intervals containing months or years');
  const width = BigInt(intervalMeasure(stride));
  if (width > 9223372036854775807n) throw intervalOutOfRange();
  if (width <= 0n) throw new DatabaseError('22008', 'stride must be greater than zero');
  const difference = BigInt(value) - BigInt(origin);
  if (difference > 9223372036854775807n || difference < -9223372036854775808n) throw intervalOutOfRange();
  const modulo = difference % width;
  let result = BigInt(origin) + difference - modulo;
  if (modulo < 0n) result -= width;
  const canonical = int8FromBigInt(result);
  if (!isValidTimestamp(canonical)) throw timestampOutOfRange();
  return canonical;
}

// ---- age -------------------------------------------------------------------------------------

/** Symbolic difference: years, months, days and time, borrowing from the calendar. */
function ageOf(a: Clock, b: Clock, order: number): Interval {
  let fields = [a.year - b.year, a.month - b.month, a.day - b.day, a.hour - b.hour, a.minute - b.minute, a.second - b.second, a.micros - b.micros] as [number, number, number, number, number, number, number];
  if (order < 0) fields = fields.map((value) => -value) as typeof fields;
  let [year, month, day, hour, minute, second, micros] = fields;
  while (micros < 0) { micros += MICROS_PER_SECOND; second--; }
  while (second < 0) { second += 60; minute--; }
  while (minute < 0) { minute += 60; hour--; }
  while (hour < 0) { hour += 24; day--; }
  while (day < 0) {
    day += order < 0 ? daysInMonth(a.year, a.month) : daysInMonth(b.year, b.month);
    month--;
  }
  while (month < 0) { month += 12; year--; }
  const sign = order < 0 ? -1 : 1;
  return makeInterval(sign * (year * 12 + month), sign * day || 0, sign * microsOfDay({ hour, minute, second, micros }) || 0);
}

function age(a: Int8, b: Int8): Interval {
  if (isInfinite(a) || isInfinite(b)) throw timestampOutOfRange();
  return ageOf(timestampToClock(a), timestampToClock(b), a < b ? -1 : 1);
}

function ageTz(a: Int8, b: Int8, context: EvalContext): Interval {
  if (isInfinite(a) || isInfinite(b)) throw timestampOutOfRange();
  const zone = zoneOf(context);
  return ageOf(zonedClock(a, zone).clock, zonedClock(b, zone).clock, a < b ? -1 : 1);
}

/** Midnight of today, local. */
function today(context: EvalContext): Int8 {
  const { clock } = zonedClock(context.transactionTimestamp, zoneOf(context));
  return dateToTimestamp(daysFromDate(clock.year, clock.month, clock.day));
}

// ---- make_* ----------------------------------------------------------------------------------

const pad2 = (n: number): string => (n < 0 ? String(n) : String(n).padStart(2, '0'));

function checkedDate(year: number, month: number, day: number): { year: number; month: number; day: number } {
  const bad = (): DatabaseError => new DatabaseError('22008', `date field value out of range: ${year}-${pad2(month)}-${pad2(day)}`);
  if (year === 0) throw bad();
  const astronomical = year < 0 ? year + 1 : year;
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(astronomical, month)) throw bad();
  return { year: astronomical, month, day };
}

function makeDate(year: number, month: number, day: number): number {
  const date = checkedDate(year, month, day);
  const days = daysFromDate(date.year, month, day);
  if (date.year < -4713 || !isValidDate(days)) throw new DatabaseError('22008', `date out of range: ${year}-${pad2(month)}-${pad2(day)}`);
  return days;
}

function makeTime(hour: number, minute: number, seconds: number): number {
  const bad = (): DatabaseError => new DatabaseError('22008', `time field value out of range: ${hour}:${pad2(minute)}:${Number.isFinite(seconds) && seconds < 10 && seconds >= 0 ? `0${seconds}` : String(seconds)}`);
  if (seconds !== seconds || hour < 0 || minute < 0 || minute > 59 || hour > 24 || seconds < 0 || seconds > 60) throw bad();
  const micros = (hour * 60 + minute) * 60 * MICROS_PER_SECOND + rint(seconds * MICROS_PER_SECOND);
  if (micros > MICROS_PER_DAY) throw bad();
  return micros;
}

function makeTimestamp(year: number, month: number, day: number, hour: number, minute: number, seconds: number): Int8 {
  const date = checkedDate(year, month, day);
  const time = makeTime(hour, minute, seconds);
  const start = clockToTimestamp({ ...date, hour: 0, minute: 0, second: 0, micros: 0 });
  const value = start === undefined ? undefined : addInt8(start, time);
  if (value === undefined || !isValidTimestamp(value)) throw new DatabaseError('22008', `timestamp out of range: ${year}-${pad2(month)}-${pad2(day)} ${hour}:${pad2(minute)}:${seconds}`);
  return value;
}

/** A zone argument: numeric offset, abbreviation or name, as its rule for local and instants. */
interface ZoneArgument {
  readonly toInstant: (local: Int8) => Int8;
  readonly toLocal: (instant: Int8) => Int8;
  /** Seconds west at an instant. */
  readonly west: (instant: Int8) => number;
}

function fixedOffset(east: number): ZoneArgument {
  const shift = (value: Int8, by: number): Int8 => {
    if (isInfinite(value)) return value;
    const result = addInt8(value, by * MICROS_PER_SECOND);
    if (!isValidTimestamp(result)) throw timestampOutOfRange();
    return result;
  };
  return { toInstant: (local) => shift(local, -east), toLocal: (instant) => shift(instant, east), west: () => 0 - east };
}

function zoneArgument(name: string): ZoneArgument {
  const abbreviation = findAbbreviation(name);
  if (abbreviation && !('zone' in abbreviation)) return fixedOffset(abbreviation.offset);
  if (abbreviation) {
    const { zone } = abbreviation;
    const eastAt = (instant: Int8): number => zone.abbreviation(name, unixSeconds(instant))?.offset ?? zone.typeAt(unixSeconds(instant)).offset;
    return {
      toInstant: (local) => (isInfinite(local) ? local : fixedOffset(abbreviationOffset(zone, name, timestampToClock(local))).toInstant(local)),
      toLocal: (instant) => (isInfinite(instant) ? instant : fixedOffset(eastAt(instant)).toLocal(instant)),
      west: (instant) => 0 - eastAt(instant),
    };
  }
  const zone = findZone(name);
  if (!zone) throw new DatabaseError('22023', `time zone "${name}" not recognized`);
  return {
    toInstant: (local) => localToInstant(local, zone),
    toLocal: (instant) => instantToLocal(instant, zone),
    west: (instant) => 0 - zone.typeAt(unixSeconds(instant)).offset,
  };
}

function intervalZone(span: Interval): ZoneArgument {
  if (span.months !== 0 || span.days !== 0) throw new DatabaseError('22023', `interval time zone "${printInterval(span, 'postgres')}" must not include months or days`);
  return fixedOffset(Math.trunc(Number(span.micros) / MICROS_PER_SECOND));
}

function shiftTimeTz(value: TimeTz, west: number): TimeTz {
  let micros = value.micros + (value.zone - west) * MICROS_PER_SECOND;
  micros = ((micros % MICROS_PER_DAY) + MICROS_PER_DAY) % MICROS_PER_DAY;
  return { micros, zone: west };
}

function makeTimestamptzIn(zoneName: string, local: Int8): Int8 {
  if (/^[+-]\d/.test(zoneName)) return fixedOffset(0 - decodeNumericZone(zoneName)).toInstant(local);
  if (/^\d/.test(zoneName)) throw new DatabaseError('22023', `invalid input syntax for type numeric time zone: "${zoneName}"`, { hint: 'Numeric time zones must have "-" or "+" as first character.' });
  return zoneArgument(zoneName).toInstant(local);
}

export const extractFunctions: readonly SqlFunction[] = [
  ...parts('timestamp', extractTimestamp),
  ...parts('timestamptz', extractTimestamptz),
  ...parts('date', extractDate),
  ...parts('time', extractTime),
  ...parts('timetz', extractTimeTz),
  ...parts('interval', extractInterval),
  f('date_trunc(text,timestamp)', truncateTimestamp),
  fc('date_trunc(text,timestamptz)', (unit: string, value: Int8, context: EvalContext) => truncateTimestamptz(unit, value, zoneOf(context))),
  f('date_trunc(text,timestamptz,text)', (unit: string, value: Int8, zone: string) => truncateTimestamptz(unit, value, requireZone(zone))),
  f('date_trunc(text,interval)', truncateInterval),
  f(['date_bin(interval,timestamp,timestamp)', 'date_bin(interval,timestamptz,timestamptz)'], dateBin),
  fc('date_add(timestamptz,interval)', (value: Int8, span: Interval, context: EvalContext) => addToTimestamptz(value, span, zoneOf(context))),
  f('date_add(timestamptz,interval,text)', (value: Int8, span: Interval, zone: string) => addToTimestamptz(value, span, requireZone(zone))),
  fc('date_subtract(timestamptz,interval)', (value: Int8, span: Interval, context: EvalContext) => addToTimestamptz(value, negateInterval(span), zoneOf(context))),
  f('date_subtract(timestamptz,interval,text)', (value: Int8, span: Interval, zone: string) => addToTimestamptz(value, negateInterval(span), requireZone(zone))),
  f('age(timestamp,timestamp)', age),
  fc('age(timestamptz,timestamptz)', ageTz),
  fc('age(timestamp)', (value: Int8, context: EvalContext) => age(today(context), value)),
  fc('age(timestamptz)', (value: Int8, context: EvalContext) => ageTz(localToInstant(today(context), zoneOf(context)), value, context)),
  f('make_date(int4,int4,int4)', makeDate),
  f('make_time(int4,int4,float8)', makeTime),
  f('make_timestamp(int4,int4,int4,int4,int4,float8)', makeTimestamp),
  fc('make_timestamptz(int4,int4,int4,int4,int4,float8)', (y: number, m: number, d: number, h: number, mi: number, s: number, context: EvalContext) => localToInstant(makeTimestamp(y, m, d, h, mi, s), zoneOf(context))),
  f('make_timestamptz(int4,int4,int4,int4,int4,float8,text)', (y: number, m: number, d: number, h: number, mi: number, s: number, zone: string) => makeTimestamptzIn(zone, makeTimestamp(y, m, d, h, mi, s))),
  f('make_interval(int4,int4,int4,int4,int4,int4,float8)', (years: number, months: number, weeks: number, days: number, hours: number, minutes: number, seconds: number) => {
    if (!Number.isFinite(seconds)) throw intervalOutOfRange();
    const micros = BigInt(hours) * 3600000000n + BigInt(minutes) * 60000000n + BigInt(rint(seconds * MICROS_PER_SECOND));
    return makeInterval(years * 12 + months, weeks * 7 + days, int8FromBigInt(micros));
  }),
  f('timezone(text,timestamp)', (zone: string, value: Int8) => zoneArgument(zone).toInstant(value)),
  f('timezone(text,timestamptz)', (zone: string, value: Int8) => zoneArgument(zone).toLocal(value)),
  fc('timezone(text,timetz)', (zone: string, value: TimeTz, context: EvalContext) => shiftTimeTz(value, zoneArgument(zone).west(context.transactionTimestamp))),
  f('timezone(interval,timestamp)', (span: Interval, value: Int8) => intervalZone(span).toInstant(value)),
  f('timezone(interval,timestamptz)', (span: Interval, value: Int8) => intervalZone(span).toLocal(value)),
  f('timezone(interval,timetz)', (span: Interval, value: TimeTz) => shiftTimeTz(value, intervalZone(span).west(0))),
  f('to_timestamp(float8)', (seconds: number) => {
    if (seconds !== seconds) throw new DatabaseError('22008', 'timestamp cannot be NaN');
    if (!Number.isFinite(seconds)) return seconds;
    const bad = (): DatabaseError => new DatabaseError('22008', `timestamp out of range: "${seconds}"`);
    const micros = rint((seconds - 946684800) * 1000000);
    if (!(Math.abs(micros) < 9.3e18)) throw bad();
    const value = Number.isSafeInteger(micros) ? micros : int8FromBigInt(BigInt(micros));
    if (!isValidTimestamp(value)) throw bad();
    return value;
  }),
];

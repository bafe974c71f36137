/** Comparison, arithmetic and casts of the date/time types. Extracting, truncating and formatting stand in files of their own. */
import { DatabaseError } from '../../engine/errors.js';
import {
  END_TIMESTAMP_DATE, MICROS_PER_DAY, MICROS_PER_SECOND, UNIX_EPOCH_SECONDS, addInt8, isValidDate, isValidTimestamp, joinTimestamp, splitTimestamp, timestampToClock,
} from '../types/calendar.js';
import { adjustInterval, compareInterval, compareTimeTz, roundMicros } from '../types/date-time.js';
import { unixSeconds, zonedClock } from '../types/datetime-print.js';
import type { Int8, Interval, TimeTz } from '../types/datum.js';
import { zoneOffsetAtLocal, type Zone } from '../types/timezone.js';
import type { EvalContext } from './context.js';
import { comparisons, f, fc } from './define.js';
import type { SqlFunction } from './function.js';
import {
  addIntervals, addToTimestamp, addToTimestamptz, divideInterval, isInfinite, justifyDays, justifyHours, justifyInterval, multiplyInterval, negateInterval, subtractIntervals, subtractTimestamps, timestampOutOfRange, zoneOf,
} from './intervals.js';

const compareInt8 = (a: Int8, b: Int8): number => (a < b ? -1 : a > b ? 1 : 0);

// ---- conversions ---------------------------------------------------------------------------

export function dateToTimestamp(days: number): Int8 {
  if (!Number.isFinite(days)) return days;
  if (days >= END_TIMESTAMP_DATE) throw new DatabaseError('22008', 'date out of range for timestamp');
  return joinTimestamp(days, 0);
}

/** A local timestamp as an instant. */
export function localToInstant(local: Int8, zone: Zone): Int8 {
  if (isInfinite(local)) return local;
  const clock = timestampToClock(local);
  const value = addInt8(local, -zoneOffsetAtLocal(zone, clock) * MICROS_PER_SECOND);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}

/** An instant as the zone's local timestamp. */
export function instantToLocal(instant: Int8, zone: Zone): Int8 {
  if (isInfinite(instant)) return instant;
  const { offset } = zone.typeAt(unixSeconds(instant));
  const value = offset === 0 ? instant : addInt8(instant, offset * MICROS_PER_SECOND);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}

export function dateToTimestamptz(days: number, zone: Zone): Int8 {
  if (!Number.isFinite(days)) return days;
  return localToInstant(dateToTimestamp(days), zone);
}

export function timestampToDate(timestamp: Int8): number {
  return isInfinite(timestamp) ? Number(timestamp) : splitTimestamp(timestamp).days;
}

function timeOf(timestamp: Int8): number | null {
  return isInfinite(timestamp) ? null : splitTimestamp(timestamp).micros;
}

function addDays(days: number, by: number): number {
  if (!Number.isFinite(days)) return days;
  const result = days + by;
  if (!isValidDate(result)) throw new DatabaseError('22008', 'date out of range');
  return result;
}

const wrapDay = (micros: number): number => ((micros % MICROS_PER_DAY) + MICROS_PER_DAY) % MICROS_PER_DAY;

function shiftTime(time: number, span: Interval, sign: 1 | -1): number {
  const micros = typeof span.micros === 'number' ? span.micros % MICROS_PER_DAY : Number(span.micros % 86_400_000_000n);
  return wrapDay(time + sign * micros);
}

// ---- comparisons across types ----------------------------------------------------------------

/** Dates beyond the timestamp range still compare: as the infinity of their side. */
function dateForComparison(days: number): Int8 {
  return Number.isFinite(days) && days >= END_TIMESTAMP_DATE ? Number.POSITIVE_INFINITY : dateToTimestamp(days);
}

type Comparer = (a: never, b: never, context: EvalContext) => number;

function crossComparisons(types: string, prefix: string, suffix: string, compare: Comparer): SqlFunction[] {
  const entry = (operation: string, holds: (order: number) => boolean): SqlFunction =>
    fc(`${prefix}_${operation}_${suffix}(${types})`, (a: never, b: never, context: EvalContext) => holds(compare(a, b, context)));
  return [
    entry('eq', (order) => order === 0), entry('ne', (order) => order !== 0), entry('lt', (order) => order < 0),
    entry('le', (order) => order <= 0), entry('gt', (order) => order > 0), entry('ge', (order) => order >= 0),
    fc(`${prefix}_cmp_${suffix}(${types})`, (a: never, b: never, context: EvalContext) => Math.sign(compare(a, b, context))),
  ];
}

function safeLocalToInstant(local: Int8, context: EvalContext): Int8 {
  return localToInstant(local, zoneOf(context));
}

const crossed: readonly SqlFunction[] = [
  ...crossComparisons('date,timestamp', 'date', 'timestamp', (a: number, b: Int8) => compareInt8(dateForComparison(a), b)),
  ...crossComparisons('timestamp,date', 'timestamp', 'date', (a: Int8, b: number) => compareInt8(a, dateForComparison(b))),
  ...crossComparisons('date,timestamptz', 'date', 'timestamptz', (a: number, b: Int8, context) => compareInt8(safeLocalToInstant(dateForComparison(a), context), b)),
  ...crossComparisons('timestamptz,date', 'timestamptz', 'date', (a: Int8, b: number, context) => compareInt8(a, safeLocalToInstant(dateForComparison(b), context))),
  ...crossComparisons('timestamp,timestamptz', 'timestamp', 'timestamptz', (a: Int8, b: Int8, context) => compareInt8(safeLocalToInstant(a, context), b)),
  ...crossComparisons('timestamptz,timestamp', 'timestamptz', 'timestamp', (a: Int8, b: Int8, context) => compareInt8(a, safeLocalToInstant(b, context))),
];

function ordered(type: string, compare: (a: never, b: never) => number, options: { primitive?: true } = {}): SqlFunction[] {
  const pick = (greater: boolean) => (a: never, b: never): never => ((compare(a, b) > 0) === greater ? a : b);
  return [
    ...comparisons(`${type},${type}`, (operation) => `${type}_${operation}`, compare, { cmp: `${type}_cmp`, ...options }),
    f(`${type}_larger(${type},${type})`, pick(true)),
    f(`${type}_smaller(${type},${type})`, pick(false)),
  ];
}

// ---- overlaps ------------------------------------------------------------------------------

/** SQL's OVERLAPS over [start, end) pairs with nulls (overlaps_timestamp). */
export function overlaps<T>(compare: (a: T, b: T) => number, s1: T | null, e1: T | null, s2: T | null, e2: T | null): boolean | null {
  const order = (start: T | null, end: T | null): [T, T | null] | undefined => {
    if (start === null) return end === null ? undefined : [end, null];
    if (end !== null && compare(start, end) > 0) return [end, start];
    return [start, end];
  };
  const first = order(s1, e1);
  const second = order(s2, e2);
  if (!first || !second) return null;
  const [ts1, te1] = first;
  const [ts2, te2] = second;
  const side = compare(ts1, ts2);
  if (side > 0) {
    if (te2 === null) return null;
    if (compare(ts1, te2) < 0) return true;
    return te1 === null ? null : false;
  }
  if (side < 0) {
    if (te1 === null) return null;
    if (compare(ts2, te1) < 0) return true;
    return te2 === null ? null : false;
  }
  return te1 === null || te2 === null ? null : true;
}

type Plus = (start: never, span: Interval, context: EvalContext) => unknown;

function overlapsFamily(type: string, compare: (a: never, b: never) => number, plus: Plus): SqlFunction[] {
  const end = (start: unknown, value: unknown, isSpan: boolean, context: EvalContext): unknown =>
    (isSpan ? (start === null || value === null ? null : plus(start as never, value as Interval, context)) : value);
  const variant = (first: boolean, second: boolean): SqlFunction =>
    fc(`overlaps(${type},${first ? 'interval' : type},${type},${second ? 'interval' : type})`, (s1: unknown, e1: unknown, s2: unknown, e2: unknown, context: EvalContext) =>
      overlaps(compare as (a: unknown, b: unknown) => number, s1, end(s1, e1, first, context), s2, end(s2, e2, second, context)));
  return [variant(false, false), variant(true, false), variant(false, true), variant(true, true)];
}

// ---- now() ---------------------------------------------------------------------------------

export function clockTimestamp(context: EvalContext): number {
  return context.runtime.clock.nowMicros() - UNIX_EPOCH_SECONDS * MICROS_PER_SECOND;
}

function inRange(add: (base: never, span: Interval, context: EvalContext) => Int8) {
  return (value: Int8, base: never, offset: Interval, subtract: boolean, less: boolean, context: EvalContext): boolean => {
    if (compareInterval(offset, { months: 0, days: 0, micros: 0 }) < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
    const bound = add(base, subtract ? negateInterval(offset) : offset, context);
    return less ? value <= bound : value >= bound;
  };
}

export const dateTimeFunctions: readonly SqlFunction[] = [
  ...ordered('date', compareInt8, { primitive: true }),
  ...ordered('time', compareInt8, { primitive: true }),
  ...ordered('timetz', compareTimeTz),
  ...ordered('timestamp', compareInt8, { primitive: true }),
  ...ordered('timestamptz', compareInt8, { primitive: true }),
  ...ordered('interval', compareInterval),
  ...crossed,

  f('date_pli(date,int4)', addDays),
  f('integer_pl_date(int4,date)', (by: number, days: number) => addDays(days, by)),
  f('date_mii(date,int4)', (days: number, by: number) => addDays(days, -by)),
  f('date_mi(date,date)', (a: number, b: number) => {
    if (!Number.isFinite(a) || !Number.isFinite(b)) throw new DatabaseError('22008', 'cannot subtract infinite dates');
    return a - b;
  }),
  f('date_pl_interval(date,interval)', (days: number, span: Interval) => addToTimestamp(dateToTimestamp(days), span)),
  f('interval_pl_date(interval,date)', (span: Interval, days: number) => addToTimestamp(dateToTimestamp(days), span)),
  f('date_mi_interval(date,interval)', (days: number, span: Interval) => addToTimestamp(dateToTimestamp(days), negateInterval(span))),
  f('datetime_pl(date,time)', (days: number, time: number) => joinDateTime(days, time)),
  f('timedate_pl(time,date)', (time: number, days: number) => joinDateTime(days, time)),
  f('datetimetz_pl(date,timetz)', (days: number, time: TimeTz) => joinDateTimeTz(days, time)),
  f('timetzdate_pl(timetz,date)', (time: TimeTz, days: number) => joinDateTimeTz(days, time)),

  f('timestamp_pl_interval(timestamp,interval)', addToTimestamp),
  f('interval_pl_timestamp(interval,timestamp)', (span: Interval, value: Int8) => addToTimestamp(value, span)),
  f('timestamp_mi_interval(timestamp,interval)', (value: Int8, span: Interval) => addToTimestamp(value, negateInterval(span))),
  f(['timestamp_mi(timestamp,timestamp)', 'timestamptz_mi(timestamptz,timestamptz)'], subtractTimestamps),
  fc('timestamptz_pl_interval(timestamptz,interval)', (value: Int8, span: Interval, context: EvalContext) => addToTimestamptz(value, span, zoneOf(context))),
  fc('interval_pl_timestamptz(interval,timestamptz)', (span: Interval, value: Int8, context: EvalContext) => addToTimestamptz(value, span, zoneOf(context))),
  fc('timestamptz_mi_interval(timestamptz,interval)', (value: Int8, span: Interval, context: EvalContext) => addToTimestamptz(value, negateInterval(span), zoneOf(context))),
  f('time_pl_interval(time,interval)', (time: number, span: Interval) => shiftTime(time, span, 1)),
  f('interval_pl_time(interval,time)', (span: Interval, time: number) => shiftTime(time, span, 1)),
  f('time_mi_interval(time,interval)', (time: number, span: Interval) => shiftTime(time, span, -1)),
  f('time_mi_time(time,time)', (a: number, b: number) => ({ months: 0, days: 0, micros: a - b })),
  f('timetz_pl_interval(timetz,interval)', (time: TimeTz, span: Interval) => ({ micros: shiftTime(time.micros, span, 1), zone: time.zone })),
  f('interval_pl_timetz(interval,timetz)', (span: Interval, time: TimeTz) => ({ micros: shiftTime(time.micros, span, 1), zone: time.zone })),
  f('timetz_mi_interval(timetz,interval)', (time: TimeTz, span: Interval) => ({ micros: shiftTime(time.micros, span, -1), zone: time.zone })),
  f('interval_pl(interval,interval)', addIntervals),
  f('interval_mi(interval,interval)', subtractIntervals),
  f('interval_um(interval)', negateInterval),
  f('interval_mul(interval,float8)', multiplyInterval),
  f('mul_d_interval(float8,interval)', (factor: number, span: Interval) => multiplyInterval(span, factor)),
  f('interval_div(interval,float8)', divideInterval),
  f('justify_hours(interval)', justifyHours),
  f('justify_days(interval)', justifyDays),
  f('justify_interval(interval)', justifyInterval),
  f('interval(interval,int4)', adjustInterval),
  f('interval(time)', (time: number) => ({ months: 0, days: 0, micros: time })),
  f(['isfinite(date)', 'isfinite(timestamp)', 'isfinite(timestamptz)'], (value: Int8) => !isInfinite(value)),
  f('isfinite(interval)', () => true),

  f('timestamp(date)', dateToTimestamp),
  f('timestamp(date,time)', (days: number, time: number) => joinDateTime(days, time)),
  f(['timestamp(timestamp,int4)', 'timestamptz(timestamptz,int4)'], (value: Int8, typmod: number) => roundMicros(value, typmod)),
  fc('timestamp(timestamptz)', (value: Int8, context: EvalContext) => instantToLocal(value, zoneOf(context))),
  fc('timestamptz(timestamp)', (value: Int8, context: EvalContext) => localToInstant(value, zoneOf(context))),
  fc('timestamptz(date)', (days: number, context: EvalContext) => dateToTimestamptz(days, zoneOf(context))),
  fc('timestamptz(date,time)', (days: number, time: number, context: EvalContext) => localToInstant(joinDateTime(days, time), zoneOf(context))),
  f('timestamptz(date,timetz)', (days: number, time: TimeTz) => joinDateTimeTz(days, time)),
  f('date(timestamp)', timestampToDate),
  fc('date(timestamptz)', (value: Int8, context: EvalContext) => timestampToDate(instantToLocal(value, zoneOf(context)))),
  f('time(timestamp)', timeOf),
  fc('time(timestamptz)', (value: Int8, context: EvalContext) => timeOf(instantToLocal(value, zoneOf(context)))),
  f('time(timetz)', (value: TimeTz) => value.micros),
  f('time(interval)', (span: Interval) => wrapDay(typeof span.micros === 'number' ? span.micros : Number(span.micros % 86_400_000_000n))),
  f('time(time,int4)', (value: number, typmod: number) => roundMicros(value, typmod)),
  f('timetz(timetz,int4)', (value: TimeTz, typmod: number) => ({ micros: roundMicros(value.micros, typmod), zone: value.zone })),
  fc('timetz(timestamptz)', (value: Int8, context: EvalContext) => {
    if (isInfinite(value)) return null;
    const { clock, west } = zonedClock(value, zoneOf(context));
    return { micros: ((clock.hour * 60 + clock.minute) * 60 + clock.second) * MICROS_PER_SECOND + clock.micros, zone: west };
  }),
  fc('timetz(time)', (value: number, context: EvalContext) => {
    const zone = zoneOf(context);
    const today = zonedClock(context.transactionTimestamp, zone).clock;
    const seconds = Math.floor(value / MICROS_PER_SECOND);
    const clock = { ...today, hour: Math.floor(seconds / 3600), minute: Math.floor(seconds / 60) % 60, second: seconds % 60, micros: 0 };
    return { micros: value, zone: 0 - zoneOffsetAtLocal(zone, clock) };
  }),

  fc(['now()', 'transaction_timestamp()'], (context: EvalContext) => context.transactionTimestamp),
  fc('statement_timestamp()', (context: EvalContext) => context.statementTimestamp),
  fc('clock_timestamp()', clockTimestamp),

  ...overlapsFamily('timestamp', compareInt8, addToTimestamp),
  ...overlapsFamily('timestamptz', compareInt8, (value: Int8, span, context) => addToTimestamptz(value, span, zoneOf(context))),
  ...overlapsFamily('time', compareInt8, (value: number, span) => shiftTime(value, span, 1)),
  f('overlaps(timetz,timetz,timetz,timetz)', (s1: TimeTz | null, e1: TimeTz | null, s2: TimeTz | null, e2: TimeTz | null) => overlaps(compareTimeTz, s1, e1, s2, e2)),

  fc('in_range(date,date,interval,bool,bool)', (value: number, base: number, offset: Interval, subtract: boolean, less: boolean, context: EvalContext) =>
    inRange(addToTimestamp as never)(dateToTimestamp(value), dateToTimestamp(base) as never, offset, subtract, less, context)),
  fc('in_range(timestamp,timestamp,interval,bool,bool)', inRange(addToTimestamp as never)),
  fc('in_range(timestamptz,timestamptz,interval,bool,bool)', inRange(((base: Int8, span: Interval, context: EvalContext) => addToTimestamptz(base, span, zoneOf(context))) as never)),
  f('in_range(interval,interval,interval,bool,bool)', (value: Interval, base: Interval, offset: Interval, subtract: boolean, less: boolean) => {
    if (compareInterval(offset, { months: 0, days: 0, micros: 0 }) < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
    const order = compareInterval(value, subtract ? subtractIntervals(base, offset) : addIntervals(base, offset));
    return less ? order <= 0 : order >= 0;
  }),
  f('in_range(time,time,interval,bool,bool)', (value: number, base: number, offset: Interval, subtract: boolean, less: boolean) => {
    const micros = Number(offset.micros);
    if (micros < 0) throw new DatabaseError('22013', 'invalid preceding or following size in window function');
    const bound = subtract ? base - micros : base + micros;
    return less ? value <= bound : value >= bound;
  }),
];

function joinDateTime(days: number, time: number): Int8 {
  const start = dateToTimestamp(days);
  if (isInfinite(start)) return start;
  const value = addInt8(start, time);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}

function joinDateTimeTz(days: number, time: TimeTz): Int8 {
  const start = dateToTimestamp(days);
  if (isInfinite(start)) return start;
  const value = addInt8(start, time.micros + time.zone * MICROS_PER_SECOND);
  if (!isValidTimestamp(value)) throw timestampOutOfRange();
  return value;
}


/** Prints dates, times and intervals in every DateStyle and IntervalStyle (datetime.c's Encode*). */
import type { SettingsReader } from '../functions/context.js';
import { MICROS_PER_SECOND, UNIX_EPOCH_SECONDS, dayOfWeek, julianDay, splitTimestamp, timestampToClock, withTime, type Clock } from './calendar.js';
import { addInt8 } from './calendar.js';
import type { Int8, Interval, TimeTz } from './datum.js';
import { sessionZone, type Zone } from './timezone.js';

export function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}

/** Year as printed: 1 BC is 0, printed 1. */
function yearText(year: number): string {
  return String(year > 0 ? year : 1 - year).padStart(4, '0');
}

/** ".123" without trailing zeros, '' for none. */
function fractionText(micros: number): string {
  if (micros === 0) return '';
  let text = String(micros).padStart(6, '0');
  let end = 6;
  while (text.charCodeAt(end - 1) === 48) end--;
  text = text.slice(0, end);
  return `.${text}`;
}

export function timeText(clock: { hour: number; minute: number; second: number; micros: number }): string {
  return `${two(clock.hour)}:${two(clock.minute)}:${two(clock.second)}${fractionText(clock.micros)}`;
}

/** "+08", "-03:30": from seconds west. */
export function zoneText(west: number): string {
  const magnitude = Math.abs(west);
  const hour = Math.floor(magnitude / 3600);
  const minute = Math.floor(magnitude / 60) % 60;
  const second = magnitude % 60;
  return `${west <= 0 ? '+' : '-'}${two(hour)}${minute !== 0 || second !== 0 ? `:${two(minute)}` : ''}${second !== 0 ? `:${two(second)}` : ''}`;
}

type DateSettings = Pick<SettingsReader, 'dateStyle' | 'dateOrder'>;

const WEEKDAY_NAMES = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTH_NAMES = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export function printDateParts(date: { year: number; month: number; day: number }, settings: DateSettings): string {
  const { year, month, day } = date;
  const era = year > 0 ? '' : ' BC';
  switch (settings.dateStyle) {
    case 'ISO': return `${yearText(year)}-${two(month)}-${two(day)}${era}`;
    case 'SQL': return `${settings.dateOrder === 'DMY' ? `${two(day)}/${two(month)}` : `${two(month)}/${two(day)}`}/${yearText(year)}${era}`;
    case 'German': return `${two(day)}.${two(month)}.${yearText(year)}${era}`;
    case 'Postgres': return `${settings.dateOrder === 'DMY' ? `${two(day)}-${two(month)}` : `${two(month)}-${two(day)}`}-${yearText(year)}${era}`;
  }
}

/** EncodeDateTime; `zone` is given for timestamptz. */
export function printClock(clock: Clock, settings: DateSettings, zone?: { west: number; abbreviation: string | undefined }): string {
  const era = clock.year > 0 ? '' : ' BC';
  const time = timeText(clock);
  switch (settings.dateStyle) {
    case 'ISO': return `${yearText(clock.year)}-${two(clock.month)}-${two(clock.day)} ${time}${zone ? zoneText(zone.west) : ''}${era}`;
    case 'SQL': {
      const date = settings.dateOrder === 'DMY' ? `${two(clock.day)}/${two(clock.month)}` : `${two(clock.month)}/${two(clock.day)}`;
      return `${date}/${yearText(clock.year)} ${time}${zoneName(zone)}${era}`;
    }
    case 'German': return `${two(clock.day)}.${two(clock.month)}.${yearText(clock.year)} ${time}${zoneName(zone)}${era}`;
    case 'Postgres': {
      const weekday = WEEKDAY_NAMES[dayOfWeek(julianDay(clock.year, clock.month, clock.day))]!;
      const month = MONTH_NAMES[clock.month - 1]!;
      const date = settings.dateOrder === 'DMY' ? `${two(clock.day)} ${month}` : `${month} ${two(clock.day)}`;
      // Unlike the other styles, a numeric zone is set off by a blank: it would read as part of the year.
      const zonePart = zone ? (zone.abbreviation !== undefined ? ` ${zone.abbreviation}` : ` ${zoneText(zone.west)}`) : '';
      return `${weekday} ${date} ${time} ${yearText(clock.year)}${zonePart}${era}`;
    }
  }
}

function zoneName(zone: { west: number; abbreviation: string | undefined } | undefined): string {
  if (!zone) return '';
  return zone.abbreviation !== undefined ? ` ${zone.abbreviation}` : zoneText(zone.west);
}

/** The local clock of a finite timestamptz. */
export function zonedClock(timestamp: Int8, zone: Zone): { clock: Clock; west: number; abbreviation: string } {
  const type = zone.typeAt(unixSeconds(timestamp));
  const local = type.offset === 0 ? timestamp : addInt8(timestamp, type.offset * MICROS_PER_SECOND);
  return { clock: timestampToClock(local), west: 0 - type.offset, abbreviation: type.abbreviation };
}

/** Whole seconds since the Unix epoch at or before a finite timestamp. */
export function unixSeconds(timestamp: Int8): number {
  const { days, micros } = splitTimestamp(timestamp);
  return days * 86400 + Math.floor(micros / MICROS_PER_SECOND) + UNIX_EPOCH_SECONDS;
}

function infinite(value: Int8 | number): string | undefined {
  return value === Infinity ? 'infinity' : value === -Infinity ? '-infinity' : undefined;
}

export function printTimestamp(timestamp: Int8, settings: DateSettings): string {
  return infinite(timestamp) ?? printClock(timestampToClock(timestamp), settings);
}

export function printTimestamptz(timestamp: Int8, settings: DateSettings & Pick<SettingsReader, 'timeZone'>): string {
  const special = infinite(timestamp);
  if (special !== undefined) return special;
  const { clock, west, abbreviation } = zonedClock(timestamp, sessionZone(settings.timeZone));
  // Numeric abbreviations such as "+03" are no names.
  return printClock(clock, settings, { west, abbreviation });
}

export function printTime(micros: number): string {
  return timeText(withTime({ year: 0, month: 0, day: 0 }, micros));
}

export function printTimeTz(value: TimeTz): string {
  return printTime(value.micros) + zoneText(value.zone);
}

/** An interval's time part cut into hours (any size), minutes, seconds, micros, all of the sign. */
export function splitIntervalTime(micros: Int8): { negative: boolean; hour: number | bigint; minute: number; second: number; micros: number } {
  if (typeof micros === 'number') {
    const negative = micros < 0;
    const magnitude = Math.abs(micros);
    const seconds = Math.floor(magnitude / MICROS_PER_SECOND);
    const minutes = Math.floor(seconds / 60);
    const hour = Math.floor(minutes / 60);
    return { negative, hour, minute: minutes - hour * 60, second: seconds - minutes * 60, micros: magnitude - seconds * MICROS_PER_SECOND };
  }
  const negative = micros < 0n;
  const magnitude = negative ? -micros : micros;
  const hour = magnitude / 3_600_000_000n;
  const rest = Number(magnitude - hour * 3_600_000_000n);
  const seconds = Math.floor(rest / MICROS_PER_SECOND);
  return { negative, hour, minute: Math.floor(seconds / 60), second: seconds % 60, micros: rest - seconds * MICROS_PER_SECOND };
}

export function printInterval(interval: Interval, style: SettingsReader['intervalStyle']): string {
  const year = Math.trunc(interval.months / 12);
  const month = interval.months - year * 12;
  const { days } = interval;
  const time = splitIntervalTime(interval.micros);
  const hasTime = interval.micros !== 0;
  const sign = time.negative ? '-' : '';
  const clock = `${String(time.hour).padStart(2, '0')}:${two(time.minute)}:${two(time.second)}${fractionText(time.micros)}`;
  switch (style) {
    case 'postgres': {
      const parts: string[] = [];
      let afterNegative = false;
      const add = (value: number, unit: string): void => {
        if (value === 0) return;
        parts.push(`${afterNegative && value > 0 ? '+' : ''}${value} ${unit}${value !== 1 ? 's' : ''}`);
        afterNegative = value < 0;
      };
      add(year, 'year');
      add(month, 'mon');
      add(days, 'day');
      if (parts.length === 0 || hasTime) parts.push(`${time.negative ? '-' : afterNegative ? '+' : ''}${clock}`);
      return parts.join(' ');
    }
    case 'sql_standard': return sqlStandard(year, month, days, time, hasTime, sign, clock);
    case 'iso_8601': {
      if (interval.months === 0 && days === 0 && !hasTime) return 'PT0S';
      let text = 'P';
      if (year !== 0) text += `${year}Y`;
      if (month !== 0) text += `${month}M`;
      if (days !== 0) text += `${days}D`;
      if (!hasTime) return text;
      text += 'T';
      if (time.hour !== 0 && time.hour !== 0n) text += `${sign}${time.hour}H`;
      if (time.minute !== 0) text += `${sign}${time.minute}M`;
      if (time.second !== 0 || time.micros !== 0) text += `${sign}${time.second}${fractionText(time.micros)}S`;
      return text;
    }
    case 'postgres_verbose': {
      let isBefore = false;
      let isZero = true;
      let text = '@';
      const add = (value: number | bigint, unit: string): void => {
        if (value === 0 || value === 0n) return;
        let shown = value;
        if (isZero) {
          isBefore = value < 0;
          shown = value < 0 ? -value : value;
        } else if (isBefore) shown = -value;
        text += ` ${shown} ${unit}${shown !== 1 && shown !== 1n ? 's' : ''}`;
        isZero = false;
      };
      const signed = (value: number | bigint): number | bigint => (time.negative ? -value : value);
      add(year, 'year');
      add(month, 'mon');
      add(days, 'day');
      add(signed(time.hour), 'hour');
      add(signed(time.minute), 'min');
      if (time.second !== 0 || time.micros !== 0) {
        if (time.negative) {
          if (isZero) isBefore = true;
          else if (!isBefore) text += ' -';
        } else if (isBefore) text += ' -';
        if (!text.endsWith('-')) text += ' ';
        text += `${time.second}${fractionText(time.micros)} sec${time.second !== 1 || time.micros !== 0 ? 's' : ''}`;
        isZero = false;
      }
      if (isZero) text += ' 0';
      if (isBefore) text += ' ago';
      return text;
    }
  }
}

function sqlStandard(year: number, month: number, days: number, time: ReturnType<typeof splitIntervalTime>, hasTime: boolean, sign: string, clock: string): string {
  const hasNegative = year < 0 || month < 0 || days < 0 || (hasTime && time.negative);
  const hasPositive = year > 0 || month > 0 || days > 0 || (hasTime && !time.negative);
  const hasYearMonth = year !== 0 || month !== 0;
  const hasDayTime = days !== 0 || hasTime;
  const standard = !(hasNegative && hasPositive) && !(hasYearMonth && hasDayTime);
  const sqlClock = `${String(time.hour)}:${clock.slice(clock.indexOf(':') + 1)}`;
  let prefix = '';
  let [y, m, d] = [year, month, days];
  if (hasNegative && standard) {
    prefix = '-';
    [y, m, d] = [-y, -m, -d];
  }
  if (!hasNegative && !hasPositive) return '0';
  if (!standard) {
    const s = (value: number): string => (value < 0 ? '-' : '+');
    return `${year < 0 || month < 0 ? '-' : '+'}${Math.abs(year)}-${Math.abs(month)} ${s(days)}${Math.abs(days)} ${sign === '-' ? '-' : '+'}${sqlClock}`;
  }
  if (hasYearMonth) return `${prefix}${y}-${m}`;
  if (d !== 0) return `${prefix}${d} ${sqlClock}`;
  return `${prefix}${sqlClock}`;
}

/** The numbers in dates and times as datetime.c reads them: integers, fractions, clocks, zones in digits. */
import { MICROS_PER_DAY, MICROS_PER_SECOND, microsOfDay } from './calendar.js';
import { fail } from './datetime-fields.js';
import { rint } from './float.js';

const MAX_INT = 2147483647;

/** strtoint: leading integer and where it ends. */
export function leadingInteger(text: string): { value: number; end: number } {
  const match = /^[+-]?\d+/.exec(text);
  if (!match) return { value: 0, end: 0 };
  const value = Number(match[0]);
  if (value > MAX_INT || value < -MAX_INT - 1) fail('field overflow');
  return { value, end: match[0].length };
}

/** '.123' -> 0.123; what follows must be nothing. */
export function parseFraction(text: string): number {
  if (text === '.') return 0;
  if (!/^\.\d+$/.test(text)) return fail('bad format');
  return Number(text);
}

/** '.123' as microseconds. */
export const fractionMicros = (text: string): number => rint(parseFraction(text) * MICROS_PER_SECOND);

/** "+08", "-0330", "+5:30:15": seconds west. */
export function decodeNumericZone(text: string): number {
  if (text[0] !== '+' && text[0] !== '-') fail('bad format');
  const body = text.slice(1);
  let { value: hour, end } = leadingInteger(body);
  let minute = 0;
  let second = 0;
  let rest = body.slice(end);
  if (rest.startsWith(':')) {
    const m = leadingInteger(rest.slice(1));
    minute = m.value;
    rest = rest.slice(1 + m.end);
    if (rest.startsWith(':')) {
      const s = leadingInteger(rest.slice(1));
      second = s.value;
      rest = rest.slice(1 + s.end);
    }
  } else if (rest === '' && text.length > 3) {
    minute = hour % 100;
    hour = Math.floor(hour / 100);
  }
  if (hour < 0 || hour > 15 || minute < 0 || minute > 59 || second < 0 || second > 59) fail('zone overflow');
  if (rest !== '') fail('bad format');
  const seconds = (hour * 60 + minute) * 60 + second;
  return text[0] === '-' ? seconds : 0 - seconds;
}

export interface DecodedTime {
  hour: number;
  minute: number;
  second: number;
  micros: number;
}

/** hh:mm[:ss[.f]] or mm:ss.f; `minuteToSecond`: two fields are mm:ss. */
export function decodeClock(text: string, minuteToSecond = false): DecodedTime {
  const match = /^(\d+):(\d*)(?:(?=\.)|:(\d*)|$)(\.\d*)?$/.exec(text);
  if (!match) return fail('bad format');
  let hour = Number(match[1]);
  let minute = Number(match[2] === '' ? 0 : match[2]);
  let second = 0;
  let micros = 0;
  if (match[3] !== undefined) {
    second = Number(match[3] === '' ? 0 : match[3]);
    if (match[4] !== undefined) micros = fractionMicros(match[4]);
  } else if (match[4] !== undefined || minuteToSecond) {
    if (match[4] !== undefined) micros = fractionMicros(match[4]);
    second = minute;
    minute = hour;
    hour = 0;
  }
  if (minute > MAX_INT || second > MAX_INT) fail('field overflow');
  if (minute > 59 || second > 60 || micros > MICROS_PER_SECOND) fail('field overflow');
  return { hour, minute, second, micros };
}

export function timeOverflows(time: DecodedTime): boolean {
  return time.hour < 0 || time.hour > 24 || time.minute < 0 || time.minute > 59 || time.second < 0 || time.second > 60
    || time.micros < 0 || time.micros > MICROS_PER_SECOND || microsOfDay(time) > MICROS_PER_DAY;
}

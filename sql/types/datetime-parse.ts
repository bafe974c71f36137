/**
 * Reads dates and times in all the forms PostgreSQL takes: a port of datetime.c's tokenizer and
 * decoders, field by field with bit masks of what is known already. Failures are codes until the
 * type that asked turns them into its message (`dateTimeError`).
 */
import { DatabaseError } from '../../engine/errors.js';
import type { EvalContext } from '../functions/context.js';
import { EPOCH_JULIAN, MICROS_PER_DAY, MICROS_PER_SECOND, UNIX_EPOCH_SECONDS, dateFromJulian, daysInMonth, julianDay, microsOfDay, timestampToClock, withTime, type Clock } from './calendar.js';
import { findAbbreviation, findZone, sessionZone, type Zone } from './timezone.js';

export type FieldKind = 'number' | 'string' | 'date' | 'time' | 'tz' | 'special';
export interface Field {
  readonly kind: FieldKind;
  text: string;
}

export type Failure = 'bad format' | 'field overflow' | 'month/day overflow' | 'interval overflow' | 'zone overflow' | { badZone: string };

/** Thrown inside the decoders only. */
export class DecodeFailure extends Error {
  constructor(readonly failure: Failure) {
    super('date/time input');
  }
}

export const fail = (failure: Failure): never => {
  throw new DecodeFailure(failure);
};

/** DateTimeParseError. */
export function dateTimeError(failure: Failure, text: string, typeName: string): DatabaseError {
  if (typeof failure === 'object') return new DatabaseError('22023', `time zone "${failure.badZone}" not recognized`);
  switch (failure) {
    case 'field overflow': return new DatabaseError('22008', `date/time field value out of range: "${text}"`);
    case 'month/day overflow': return new DatabaseError('22008', `date/time field value out of range: "${text}"`, { hint: 'Perhaps you need a different "datestyle" setting.' });
    case 'interval overflow': return new DatabaseError('22015', `interval field value out of range: "${text}"`);
    case 'zone overflow': return new DatabaseError('22009', `time zone displacement out of range: "${text}"`);
    case 'bad format': return new DatabaseError('22007', `invalid input syntax for type ${typeName}: "${text}"`);
  }
}

const isDigit = (c: string | undefined): boolean => c !== undefined && c >= '0' && c <= '9';
const isAlpha = (c: string | undefined): boolean => c !== undefined && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
const isSpace = (c: string | undefined): boolean => c === ' ' || (c !== undefined && c >= '\t' && c <= '\r');

/** Bits for what has been read. */
const YEAR = 1;
const MONTH = 2;
const DAY = 4;
const HOUR = 8;
const MINUTE = 16;
const SECOND = 32;
const ZONE = 64;
const DST_ZONE = 128;
const DST_MODIFIER = 256;
const DAY_OF_YEAR = 512;
const DAY_OF_WEEK = 1024;
const AM_PM = 2048;
const ERA = 4096;
const RESERVED = 8192;
const DATE_MASK = YEAR | MONTH | DAY;
const TIME_MASK = HOUR | MINUTE | SECOND;

type Token =
  | { readonly type: 'month' | 'dow' | 'ampm' | 'era' | 'dstmod'; readonly value: number }
  | { readonly type: 'reserved'; readonly value: 'now' | 'today' | 'tomorrow' | 'yesterday' | 'zulu' | 'epoch' | 'infinity' | '-infinity' }
  | { readonly type: 'units'; readonly value: string }
  | { readonly type: 'ignore' | 'isotime' };

export const MONTHS = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
export const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
export const PM = 12;
const BC = 1;

const TOKENS = new Map<string, Token>([
  ['-infinity', { type: 'reserved', value: '-infinity' }], ['infinity', { type: 'reserved', value: 'infinity' }],
  ['now', { type: 'reserved', value: 'now' }], ['today', { type: 'reserved', value: 'today' }], ['tomorrow', { type: 'reserved', value: 'tomorrow' }],
  ['yesterday', { type: 'reserved', value: 'yesterday' }], ['epoch', { type: 'reserved', value: 'epoch' }], ['allballs', { type: 'reserved', value: 'zulu' }],
  ['ad', { type: 'era', value: 0 }], ['bc', { type: 'era', value: BC }], ['am', { type: 'ampm', value: 0 }], ['pm', { type: 'ampm', value: PM }],
  ['at', { type: 'ignore' }], ['on', { type: 'ignore' }], ['dst', { type: 'dstmod', value: 3600 }], ['t', { type: 'isotime' }],
  ['d', { type: 'units', value: 'day' }], ['dow', { type: 'units', value: 'dow' }], ['doy', { type: 'units', value: 'doy' }], ['h', { type: 'units', value: 'hour' }],
  ['isodow', { type: 'units', value: 'isodow' }], ['isoyear', { type: 'units', value: 'isoyear' }], ['j', { type: 'units', value: 'julian' }], ['jd', { type: 'units', value: 'julian' }],
  ['julian', { type: 'units', value: 'julian' }], ['m', { type: 'units', value: 'month' }], ['mm', { type: 'units', value: 'minute' }], ['s', { type: 'units', value: 'second' }], ['y', { type: 'units', value: 'year' }],
  ['sept', { type: 'month', value: 9 }], ['tues', { type: 'dow', value: 2 }], ['thur', { type: 'dow', value: 4 }], ['thurs', { type: 'dow', value: 4 }], ['weds', { type: 'dow', value: 3 }],
]);
MONTHS.forEach((name, i) => {
  TOKENS.set(name, { type: 'month', value: i + 1 });
  TOKENS.set(name.slice(0, 3), { type: 'month', value: i + 1 });
});
WEEKDAYS.forEach((name, i) => {
  TOKENS.set(name, { type: 'dow', value: i });
  TOKENS.set(name.slice(0, 3), { type: 'dow', value: i });
});

export function dateToken(word: string): Token | undefined {
  return TOKENS.get(word);
}

/** ParseDateTime: cuts the text into fields. */
export function tokenize(text: string): Field[] {
  const fields: Field[] = [];
  let p = 0;
  const span = (test: (c: string) => boolean): void => {
    while (p < text.length && test(text[p]!)) p++;
  };
  while (p < text.length) {
    const c = text[p]!;
    if (isSpace(c)) {
      p++;
      continue;
    }
    const start = p;
    let kind: FieldKind;
    let value: string | undefined;
    if (isDigit(c)) {
      span(isDigit);
      const delimiter = text[p];
      if (delimiter === ':') {
        kind = 'time';
        span((d) => isDigit(d) || d === ':' || d === '.');
      } else if (delimiter === '-' || delimiter === '/' || delimiter === '.') {
        p++;
        if (isDigit(text[p])) {
          kind = delimiter === '.' ? 'number' : 'date';
          span(isDigit);
          if (text[p] === delimiter) {
            kind = 'date';
            span((d) => isDigit(d) || d === delimiter);
          }
        } else {
          kind = 'date';
          span((d) => isDigit(d) || isAlpha(d) || d === delimiter);
        }
      } else kind = 'number';
    } else if (c === '.') {
      p++;
      span(isDigit);
      kind = 'number';
    } else if (isAlpha(c)) {
      kind = 'string';
      span(isAlpha);
      const next = text[p];
      const looksLikeDate = next === '-' || next === '/' || next === '.' || ((next === '+' || isDigit(next)) && !TOKENS.has(text.slice(start, p).toLowerCase()));
      if (looksLikeDate) {
        kind = 'date';
        span((d) => d === '+' || d === '-' || d === '/' || d === '_' || d === '.' || d === ':' || isDigit(d) || isAlpha(d));
      }
    } else if (c === '+' || c === '-') {
      p++;
      span(isSpace);
      const from = p;
      if (isDigit(text[p])) {
        kind = 'tz';
        span((d) => isDigit(d) || d === ':' || d === '.' || d === '-');
      } else if (isAlpha(text[p])) {
        kind = 'special';
        span(isAlpha);
      } else return fail('bad format');
      value = c + text.slice(from, p);
    } else if (/[!-/:-@[-`{-~]/.test(c)) {
      p++;
      continue;
    } else return fail('bad format');
    fields.push({ kind, text: (value ?? text.slice(start, p)).toLowerCase() });
    if (fields.length > 25) fail('bad format');
  }
  return fields;
}

const MAX_INT = 2147483647;

/** strtoint: leading integer and where it ends. */
function leadingInteger(text: string): { value: number; end: number } {
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

/** Rounds half to even, as rint does. */
export function rint(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

const fractionMicros = (text: string): number => rint(parseFraction(text) * MICROS_PER_SECOND);

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

export interface DecodedDateTime {
  readonly kind: 'date' | 'epoch' | 'infinity' | '-infinity' | 'time only';
  readonly clock: Clock;
  /** Seconds west of UTC. */
  readonly zone: number;
}

/** State of one decode. */
class Decoder {
  private readonly clock: Clock = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, micros: 0 };
  private yday = 0;
  private known = 0;
  private is2Digits = false;
  private bc = false;
  private meridian: 'none' | 'am' | 'pm' = 'none';
  private julian = false;
  private haveTextMonth = false;
  private expecting: string | undefined;
  private zone = 0;
  private namedZone: Zone | undefined;
  private abbreviation: { zone: Zone; name: string } | undefined;
  private result: DecodedDateTime['kind'] = 'date';

  constructor(private readonly fields: readonly Field[], private readonly context: EvalContext, private readonly timeOnly: boolean) {}

  run(): DecodedDateTime {
    this.fields.forEach((field, i) => {
      const mask = this.decodeField(field, i);
      if (mask & this.known) fail('bad format');
      this.known |= mask;
    });
    this.validateDate();
    const { clock } = this;
    if (this.meridian !== 'none' && clock.hour > 12) fail('field overflow');
    if (this.meridian === 'am' && clock.hour === 12) clock.hour = 0;
    else if (this.meridian === 'pm' && clock.hour !== 12) clock.hour += 12;
    if (this.timeOnly) return this.finishTime();
    if (this.result === 'date') {
      if ((this.known & DATE_MASK) !== DATE_MASK) {
        if ((this.known & TIME_MASK) === TIME_MASK) return { kind: 'time only', clock, zone: 0 };
        fail('bad format');
      }
      this.resolveZone(clock);
    }
    return { kind: this.result, clock, zone: this.zone };
  }

  private finishTime(): DecodedDateTime {
    const { clock } = this;
    if (timeOverflows(clock)) fail('field overflow');
    if ((this.known & TIME_MASK) !== TIME_MASK) fail('bad format');
    const hasDate = (this.known & DATE_MASK) === DATE_MASK;
    if (this.namedZone && !hasDate) {
      const { fixed } = this.namedZone;
      if (this.known & DST_MODIFIER || !fixed) fail('bad format');
      this.zone = -fixed!.offset;
      this.namedZone = undefined;
    } else {
      const today = hasDate ? clock : this.now();
      this.resolveZone({ ...clock, year: today.year, month: today.month, day: today.day });
    }
    return { kind: 'date', clock, zone: this.zone };
  }

  private resolveZone(clock: Clock): void {
    if ((this.namedZone || this.abbreviation || !(this.known & ZONE)) && this.known & DST_MODIFIER) fail('bad format');
    if (this.namedZone) this.zone = -zoneOffsetAtLocal(this.namedZone, clock);
    else if (this.abbreviation) {
      const { zone, name } = this.abbreviation;
      this.zone = -abbreviationOffset(zone, name, clock);
    } else if (!(this.known & ZONE)) this.zone = -zoneOffsetAtLocal(sessionZone(this.context.settings.timeZone), clock);
  }

  /** The transaction's time in the session's zone. */
  private now(): Clock & { zoneWest: number } {
    const utc = this.context.transactionTimestamp;
    const { offset } = sessionZone(this.context.settings.timeZone).typeAt(Math.floor(utc / MICROS_PER_SECOND) + UNIX_EPOCH_SECONDS);
    return { ...timestampToClock(utc + offset * MICROS_PER_SECOND), zoneWest: -offset };
  }

  private decodeField(field: Field, index: number): number {
    switch (field.kind) {
      case 'date': return this.decodeDateField(field, index);
      case 'time': {
        if (this.expecting !== undefined) {
          if (this.expecting !== 'time') fail('bad format');
          this.expecting = undefined;
        }
        const time = decodeClock(field.text);
        Object.assign(this.clock, time);
        if (timeOverflows(time)) fail('field overflow');
        return TIME_MASK;
      }
      case 'tz':
        this.zone = decodeNumericZone(field.text);
        return ZONE;
      case 'number': return this.decodeNumericField(field, index);
      default: return this.decodeWord(field, index);
    }
  }

  private decodeDateField(field: Field, index: number): number {
    const { text } = field;
    if (this.expecting === 'julian') {
      const { value, end } = leadingInteger(text);
      if (value < 0) fail('field overflow');
      this.setJulian(value);
      this.zone = decodeNumericZone(text.slice(end));
      this.expecting = undefined;
      return DATE_MASK | TIME_MASK | ZONE;
    }
    const isTail = this.timeOnly
      ? !(index === 0 && this.fields.length >= 2 && (this.fields[this.fields.length - 1]!.kind === 'date' || this.fields[1]!.kind === 'time'))
      : this.expecting !== undefined || (this.known & (MONTH | DAY)) === (MONTH | DAY);
    if (!isTail) return this.decodeDate(text);
    if (isDigit(text[0]) || this.expecting !== undefined) {
      if (this.expecting !== undefined && this.expecting !== 'time') fail('bad format');
      this.expecting = undefined;
      if ((this.known & TIME_MASK) === TIME_MASK) fail('bad format');
      const dash = text.indexOf('-');
      if (dash < 0) fail('bad format');
      this.zone = decodeNumericZone(text.slice(dash));
      return this.decodeConcatenated(text.slice(0, dash), this.timeOnly ? this.known | DATE_MASK : this.known) | ZONE;
    }
    return this.decodeZoneName(text);
  }

  private decodeZoneName(text: string): number {
    this.namedZone = findZone(text);
    if (!this.namedZone) fail({ badZone: text });
    return ZONE;
  }

  private setJulian(day: number): void {
    Object.assign(this.clock, dateFromJulian(day));
    this.julian = true;
  }

  private decodeNumericField(field: Field, index: number): number {
    const { text } = field;
    if (this.expecting !== undefined) {
      const { expecting } = this;
      this.expecting = undefined;
      const { value, end } = leadingInteger(text);
      const rest = text.slice(end);
      if (rest !== '' && rest[0] !== '.') fail('bad format');
      if (expecting === 'julian') {
        if (value < 0) fail('field overflow');
        this.setJulian(value);
        if (rest === '') return DATE_MASK;
        const { hour, minute, second, micros } = withTime(this.clock, Math.floor(parseFraction(rest) * MICROS_PER_DAY));
        Object.assign(this.clock, { hour, minute, second, micros });
        return DATE_MASK | TIME_MASK;
      }
      if (expecting === 'time') {
        const mask = this.decodeConcatenated(text, this.known | DATE_MASK);
        if (mask !== TIME_MASK) fail('bad format');
        return mask;
      }
      return fail('bad format');
    }
    const point = text.indexOf('.');
    if (this.timeOnly) {
      const known = this.known | DATE_MASK;
      if (point >= 0) {
        if (index === 0 && this.fields.length >= 2 && this.fields[this.fields.length - 1]!.kind === 'date') return this.decodeDate(text);
        if (point > 2) return this.decodeConcatenated(text, known);
        return fail('bad format');
      }
      return text.length > 4 ? this.decodeConcatenated(text, known) : this.decodeNumber(text, false, known);
    }
    if (point >= 0 && !(this.known & DATE_MASK)) return this.decodeDate(text);
    if (point > 2) return this.decodeConcatenated(text, this.known);
    if (text.length >= 6 && (!(this.known & DATE_MASK) || !(this.known & TIME_MASK))) return this.decodeConcatenated(text, this.known);
    return this.decodeNumber(text, this.haveTextMonth, this.known);
  }

  private decodeWord(field: Field, index: number): number {
    const { text } = field;
    const abbreviation = findAbbreviation(text);
    if (abbreviation) {
      if ('zone' in abbreviation) {
        this.abbreviation = { zone: abbreviation.zone, name: text };
        return ZONE;
      }
      this.zone = -abbreviation.offset;
      return abbreviation.dst ? ZONE | DST_ZONE : ZONE;
    }
    const token = dateToken(text);
    if (!token) {
      this.namedZone = findZone(text);
      if (!this.namedZone) fail('bad format');
      return ZONE;
    }
    switch (token.type) {
      case 'ignore': return 0;
      case 'reserved': return this.decodeReserved(token.value);
      case 'month': {
        let mask = MONTH;
        if (this.known & MONTH && !this.haveTextMonth && !(this.known & DAY) && this.clock.month >= 1 && this.clock.month <= 31) {
          this.clock.day = this.clock.month;
          mask = DAY;
        }
        this.haveTextMonth = true;
        this.clock.month = token.value;
        return mask;
      }
      case 'dstmod':
        this.zone -= token.value;
        return DST_MODIFIER | DST_ZONE;
      case 'ampm':
        this.meridian = token.value === PM ? 'pm' : 'am';
        return AM_PM;
      case 'era':
        this.bc = token.value === BC;
        return ERA;
      case 'dow': return DAY_OF_WEEK;
      case 'units':
        this.expecting = token.value;
        return 0;
      case 'isotime': {
        if (!this.timeOnly && (this.known & DATE_MASK) !== DATE_MASK) fail('bad format');
        const next = this.fields[index + 1]?.kind;
        if (next !== 'number' && next !== 'time' && next !== 'date') fail('bad format');
        this.expecting = 'time';
        return 0;
      }
    }
  }

  private decodeReserved(word: string): number {
    const { clock } = this;
    if (this.timeOnly && word !== 'now' && word !== 'zulu') return fail('bad format');
    switch (word) {
      case 'now': {
        const { zoneWest, ...now } = this.now();
        if (this.timeOnly) {
          Object.assign(clock, { hour: now.hour, minute: now.minute, second: now.second, micros: now.micros });
          return TIME_MASK;
        }
        Object.assign(clock, now);
        this.zone = zoneWest;
        return DATE_MASK | TIME_MASK | ZONE;
      }
      case 'today': case 'tomorrow': case 'yesterday': {
        const now = this.now();
        const shift = word === 'today' ? 0 : word === 'tomorrow' ? 1 : -1;
        Object.assign(clock, dateFromJulian(julianDay(now.year, now.month, now.day) + shift));
        return DATE_MASK;
      }
      case 'zulu':
        Object.assign(clock, { hour: 0, minute: 0, second: 0 });
        this.zone = 0;
        return TIME_MASK | ZONE;
      default:
        this.result = word as DecodedDateTime['kind'];
        return RESERVED | DATE_MASK | TIME_MASK | ZONE;
    }
  }

  /** DecodeDate: a date in one field, with a month name or all numeric. */
  private decodeDate(text: string): number {
    const parts: (string | undefined)[] = [];
    let p = 0;
    while (p < text.length && parts.length < 25) {
      while (p < text.length && !isDigit(text[p]) && !isAlpha(text[p])) p++;
      if (p >= text.length) fail('bad format');
      const start = p;
      const test = isDigit(text[p]) ? isDigit : isAlpha;
      while (p < text.length && test(text[p])) p++;
      parts.push(text.slice(start, p));
      if (p < text.length) p++;
    }
    let known = this.known;
    let mask = 0;
    let textMonth = false;
    const add = (bits: number): void => {
      if (known & bits) fail('bad format');
      known |= bits;
      mask |= bits;
    };
    parts.forEach((part, i) => {
      if (part === undefined || !isAlpha(part[0])) return;
      const token = dateToken(part);
      if (token?.type === 'ignore') return;
      if (token?.type !== 'month') return fail('bad format');
      this.clock.month = token.value;
      textMonth = true;
      add(MONTH);
      parts[i] = undefined;
    });
    for (const part of parts) {
      if (part === undefined) continue;
      if (isAlpha(part[0])) continue;
      add(this.decodeNumber(part, textMonth, known));
    }
    if ((known & ~(DAY_OF_YEAR | ZONE)) !== DATE_MASK) fail('bad format');
    return mask;
  }

  /** DecodeNumber: one numeric field, by what is known already and DateStyle's order. */
  private decodeNumber(text: string, textMonth: boolean, known: number): number {
    const { clock } = this;
    const order = this.context.settings.dateOrder;
    const { value, end } = leadingInteger(text);
    if (end === 0) fail('bad format');
    const rest = text.slice(end);
    if (rest[0] === '.') {
      if (end > 2) return this.decodeConcatenated(text, known | DATE_MASK);
      clock.micros = fractionMicros(rest);
    } else if (rest !== '') fail('bad format');
    if (text.length === 3 && (known & DATE_MASK) === YEAR && value >= 1 && value <= 366) {
      this.yday = value;
      return DAY_OF_YEAR | MONTH | DAY;
    }
    let mask: number;
    switch (known & DATE_MASK) {
      case 0:
        mask = text.length >= 3 || order === 'YMD' ? YEAR : order === 'DMY' ? DAY : MONTH;
        break;
      case YEAR:
        mask = MONTH;
        break;
      case MONTH:
        mask = textMonth && (text.length >= 3 || order === 'YMD') ? YEAR : DAY;
        break;
      case YEAR | MONTH:
        mask = DAY;
        if (textMonth && text.length >= 3 && this.is2Digits) {
          clock.day = clock.year;
          clock.year = value;
          this.is2Digits = false;
          return DAY;
        }
        break;
      case DAY:
        mask = MONTH;
        break;
      case MONTH | DAY:
        mask = YEAR;
        break;
      case DATE_MASK:
        return this.decodeConcatenated(text, known);
      default:
        return fail('bad format');
    }
    if (mask === YEAR) {
      clock.year = value;
      this.is2Digits = text.length <= 2;
    } else if (mask === MONTH) clock.month = value;
    else clock.day = value;
    return mask;
  }

  /** DecodeNumberField: yyyymmdd, yymmdd, hhmmss[.f], hhmm. */
  private decodeConcatenated(text: string, known: number): number {
    const { clock } = this;
    const point = text.indexOf('.');
    let digits = text;
    if (point >= 0) {
      const fraction = /^\.\d*/.exec(text.slice(point))![0];
      clock.micros = fraction === '.' ? 0 : rint(Number(fraction) * MICROS_PER_SECOND);
      digits = text.slice(0, point);
    } else if ((known & DATE_MASK) !== DATE_MASK && digits.length >= 6) {
      clock.day = Number(digits.slice(-2));
      clock.month = Number(digits.slice(-4, -2));
      clock.year = Number(digits.slice(0, -4));
      if (digits.length === 6) this.is2Digits = true;
      return DATE_MASK;
    }
    if ((known & TIME_MASK) !== TIME_MASK && (digits.length === 6 || digits.length === 4)) {
      clock.hour = Number(digits.slice(0, 2));
      clock.minute = Number(digits.slice(2, 4));
      clock.second = digits.length === 6 ? Number(digits.slice(4)) : 0;
      return TIME_MASK;
    }
    return fail('bad format');
  }

  private validateDate(): void {
    const { clock, known } = this;
    if (known & YEAR && this.result === 'date') {
      if (this.julian || known & RESERVED) {
        // the year is right as it is
      } else if (this.bc) {
        if (clock.year <= 0) fail('field overflow');
        clock.year = -(clock.year - 1);
      } else if (this.is2Digits) {
        if (clock.year < 70) clock.year += 2000;
        else if (clock.year < 100) clock.year += 1900;
      } else if (clock.year <= 0 && !this.isComputedDate()) fail('field overflow');
    }
    if (this.result !== 'date') return;
    if (known & DAY_OF_YEAR) Object.assign(clock, dateFromJulian(julianDay(clock.year, 1, 1) + this.yday - 1));
    if (known & MONTH && (clock.month < 1 || clock.month > 12)) fail('month/day overflow');
    if (known & DAY && (clock.day < 1 || clock.day > 31)) fail('month/day overflow');
    if ((known & DATE_MASK) === DATE_MASK && clock.day > daysInMonth(clock.year, clock.month)) fail('field overflow');
  }

  private isComputedDate(): boolean {
    return this.fields.some(({ text }) => text === 'now' || text === 'today' || text === 'tomorrow' || text === 'yesterday');
  }
}

/** Seconds since the Unix epoch of a clock read as UTC. */
export function localSeconds(clock: Clock): number {
  return (julianDay(clock.year, clock.month, clock.day) - EPOCH_JULIAN) * 86400 + UNIX_EPOCH_SECONDS + (clock.hour * 60 + clock.minute) * 60 + clock.second;
}

/** DetermineTimeZoneOffset, seconds east. */
export function zoneOffsetAtLocal(zone: Zone, clock: Clock): number {
  return zone.typeAtLocal(localSeconds(clock)).offset;
}

/** DetermineTimeZoneAbbrevOffset, seconds east. */
export function abbreviationOffset(zone: Zone, name: string, clock: Clock): number {
  const local = localSeconds(clock);
  const zoneOffset = zone.typeAtLocal(local).offset;
  return zone.abbreviation(name, local - zoneOffset)?.offset ?? zoneOffset;
}

/** ParseDateTime and DecodeDateTime; failures become `typeName`'s errors. */
export function decodeDateTime(text: string, typeName: string, context: EvalContext): DecodedDateTime {
  return guarded(text, typeName, () => new Decoder(tokenize(text), context, false).run());
}

export function decodeTimeOnly(text: string, typeName: string, context: EvalContext): DecodedDateTime {
  return guarded(text, typeName, () => new Decoder(tokenize(text), context, true).run());
}

export function guarded<T>(text: string, typeName: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeFailure) throw dateTimeError(error.failure, text, typeName);
    throw error;
  }
}

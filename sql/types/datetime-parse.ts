/**
 * Reads dates and times in all the forms PostgreSQL takes: a port of datetime.c's decoders, field by field with bit masks of what is known
 * already. What the fields are, and what failures become, stands in `datetime-fields.ts`.
 */
import type { EvalContext } from '../functions/context.js';
import { MICROS_PER_DAY, MICROS_PER_SECOND, UNIX_EPOCH_SECONDS, dateFromJulian, daysInMonth, julianDay, timestampToClock, withTime, type Clock } from './calendar.js';
import { BC, PM, dateToken, fail, guarded, isAlpha, isDigit, tokenize, type Field } from './datetime-fields.js';
import { decodeClock, decodeNumericZone, fractionMicros, leadingInteger, parseFraction, timeOverflows } from './datetime-numbers.js';
import { rint } from './float.js';
import { abbreviationOffset, findAbbreviation, findZone, sessionZone, zoneOffsetAtLocal, type Zone } from './timezone.js';

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

/** ParseDateTime and DecodeDateTime; failures become `typeName`'s errors. */
export function decodeDateTime(text: string, typeName: string, context: EvalContext): DecodedDateTime {
  return guarded(text, typeName, () => new Decoder(tokenize(text), context, false).run());
}

export function decodeTimeOnly(text: string, typeName: string, context: EvalContext): DecodedDateTime {
  return guarded(text, typeName, () => new Decoder(tokenize(text), context, true).run());
}

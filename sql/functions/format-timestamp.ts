/** to_char, to_timestamp and to_date for dates and times: formatting.c's templates. */
import { DatabaseError } from '../../engine/errors.js';
import { clockToTimestamp, dateFromJulian, dayOfWeek, daysFromDate, daysInMonth, isValidDate, isoWeek, isoWeekStart, isoYear, julianDay, timestampToClock, type Clock } from '../types/calendar.js';
import type { Int8, Interval } from '../types/datum.js';
import { MONTHS, WEEKDAYS } from '../types/datetime-fields.js';
import { splitIntervalTime, two, zonedClock } from '../types/datetime-print.js';
import { findAbbreviation, zoneOffsetAtLocal } from '../types/timezone.js';
import type { EvalContext } from './context.js';
import { f, fc } from './define.js';
import { ordinalSuffix, toRoman } from './format-number.js';
import type { SqlFunction } from './function.js';
import { isInfinite, zoneOf } from './intervals.js';

const KEYWORDS = [
  'Y,YYY', 'SSSSS', 'A.D.', 'A.M.', 'B.C.', 'P.M.', 'HH24', 'HH12', 'IDDD', 'IYYY', 'MONTH', 'Month', 'SSSS', 'YYYY', 'a.d.', 'a.m.', 'b.c.', 'p.m.', 'DAY', 'DDD', 'Day', 'FF1', 'FF2', 'FF3', 'FF4', 'FF5', 'FF6', 'IYY', 'MON', 'Mon', 'TZH', 'TZM', 'YYY',
  'AD', 'AM', 'BC', 'CC', 'DD', 'DY', 'Dy', 'FX', 'HH', 'ID', 'IW', 'IY', 'MI', 'MM', 'MS', 'OF', 'PM', 'RM', 'SS', 'TZ', 'US', 'WW', 'YY', 'D', 'I', 'J', 'Q', 'W', 'Y',
];

interface Action {
  /** Upper-case keyword. */
  readonly key: string;
  /** As written: decides the case of names. */
  readonly written: string;
  readonly fill: boolean;
  readonly ordinal: 'TH' | 'th' | undefined;
}
type Node = Action | { readonly text: string; readonly separator: boolean };

/** Keywords are all upper case, all lower case, or capitalized names. */
function keywordAt(template: string, p: number): string | undefined {
  for (const word of KEYWORDS) {
    if (template.startsWith(word, p)) return word;
    const lower = word.toLowerCase();
    if (word === word.toUpperCase() && template.startsWith(lower, p)) return lower;
  }
  return undefined;
}

function parse(template: string): Node[] {
  const nodes: Node[] = [];
  for (let p = 0; p < template.length;) {
    let fill = false;
    const prefix = /^(?:FM|fm|TM|tm)/.exec(template.slice(p));
    if (prefix) {
      fill = /FM/i.test(prefix[0]);
      p += 2;
      if (!fill && p >= template.length) break;
    }
    const word = p < template.length ? keywordAt(template, p) : undefined;
    if (word !== undefined) {
      p += word.length;
      const suffix = /^(?:TH|th|SP)/.exec(template.slice(p))?.[0];
      if (suffix) p += 2;
      nodes.push({ key: word.toUpperCase(), written: word, fill: fill || prefix !== null, ordinal: suffix === 'TH' || suffix === 'th' ? suffix : undefined });
      continue;
    }
    if (p >= template.length) break;
    if (template[p] === '"') {
      p++;
      while (p < template.length && template[p] !== '"') {
        if (template[p] === '\\' && p + 1 < template.length) p++;
        const c = String.fromCodePoint(template.codePointAt(p)!);
        nodes.push({ text: c, separator: false });
        p += c.length;
      }
      p++;
      continue;
    }
    if (template[p] === '\\' && template[p + 1] === '"') p++;
    const c = String.fromCodePoint(template.codePointAt(p)!);
    nodes.push({ text: c, separator: /[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e\s]/.test(c) });
    p += c.length;
  }
  return nodes;
}

const cache = new Map<string, Node[]>();

function nodesOf(template: string): Node[] {
  let nodes = cache.get(template);
  if (!nodes) {
    nodes = parse(template);
    if (cache.size >= 100) cache.clear();
    cache.set(template, nodes);
  }
  return nodes;
}

/** What is printed: hours of an interval may be any number. */
interface Source {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly micros: number;
  readonly interval: boolean;
  readonly zone?: { readonly west: number; readonly abbreviation: string };
}

function zeroPad(value: number, width: number, fill: boolean): string {
  if (fill) return String(value);
  const digits = String(Math.abs(value));
  return value < 0 ? `-${digits.padStart(width, '0')}` : digits.padStart(width, '0');
}

function named(name: string, written: string, fill: boolean, width: number): string {
  const cased = written === written.toUpperCase() ? name.toUpperCase() : written === written.toLowerCase() ? name.toLowerCase() : name[0]!.toUpperCase() + name.slice(1).toLowerCase();
  return fill ? cased : cased.padEnd(width);
}

function refuseInterval(source: Source): void {
  if (source.interval) throw new DatabaseError('22007', 'invalid format specification for an interval value', { hint: 'Intervals are not tied to specific calendar dates.' });
}

function meridian(action: Action, source: Source): string {
  const pm = source.hour % 24 >= 12;
  const letters = action.key.includes('.') ? (pm ? 'P.M.' : 'A.M.') : pm ? 'PM' : 'AM';
  return action.written === action.written.toLowerCase() ? letters.toLowerCase() : letters;
}

function era(action: Action, source: Source): string {
  refuseInterval(source);
  const bc = source.year <= 0;
  const letters = action.key.includes('.') ? (bc ? 'B.C.' : 'A.D.') : bc ? 'BC' : 'AD';
  return action.written === action.written.toLowerCase() ? letters.toLowerCase() : letters;
}

function printAction(action: Action, source: Source): string {
  const { fill } = action;
  const { year, month, day, hour, minute, second, micros, interval } = source;
  const adjusted = (y: number): number => (interval ? y : y <= 0 ? -(y - 1) : y);
  const julian = (): number => julianDay(year, month, day);
  switch (action.key) {
    case 'A.M.': case 'P.M.': case 'AM': case 'PM': return meridian(action, source);
    case 'HH': case 'HH12': return zeroPad(hour % 12 === 0 ? 12 : hour % 12, 2, fill);
    case 'HH24': return zeroPad(hour, 2, fill);
    case 'MI': return zeroPad(minute, 2, fill);
    case 'SS': return zeroPad(second, 2, fill);
    case 'FF1': return String(Math.trunc(micros / 100000));
    case 'FF2': return String(Math.trunc(micros / 10000)).padStart(2, '0');
    case 'FF3': case 'MS': return String(Math.trunc(micros / 1000)).padStart(3, '0');
    case 'FF4': return String(Math.trunc(micros / 100)).padStart(4, '0');
    case 'FF5': return String(Math.trunc(micros / 10)).padStart(5, '0');
    case 'FF6': case 'US': return String(micros).padStart(6, '0');
    case 'SSSS': case 'SSSSS': return String(hour * 3600 + minute * 60 + second);
    case 'TZ': {
      refuseInterval(source);
      const name = source.zone?.abbreviation ?? '';
      return action.written === 'tz' ? name.toLowerCase() : name;
    }
    case 'TZH': case 'TZM': case 'OF': {
      refuseInterval(source);
      const east = 0 - (source.zone?.west ?? 0);
      const magnitude = Math.abs(east);
      const minutes = Math.floor(magnitude / 60) % 60;
      if (action.key === 'TZM') return two(minutes);
      const hours = `${east >= 0 ? '+' : '-'}${fill && action.key === 'OF' ? Math.floor(magnitude / 3600) : two(Math.floor(magnitude / 3600))}`;
      return action.key === 'TZH' || minutes === 0 ? hours : `${hours}:${two(minutes)}`;
    }
    case 'A.D.': case 'B.C.': case 'AD': case 'BC': return era(action, source);
    case 'MONTH': case 'MON':
      refuseInterval(source);
      if (month === 0) return '';
      return action.key === 'MON' ? named(MONTHS[month - 1]!.slice(0, 3), action.written, true, 3) : named(MONTHS[month - 1]!, action.written, fill, 9);
    case 'MM': return zeroPad(month, 2, fill);
    case 'DAY': case 'DY': {
      refuseInterval(source);
      const name = WEEKDAYS[dayOfWeek(julian())]!;
      return action.key === 'DY' ? named(name.slice(0, 3), action.written, true, 3) : named(name, action.written, fill, 9);
    }
    case 'DDD': return zeroPad(interval ? source.year * 12 * 30 + month * 30 + day : julian() - julianDay(year, 1, 1) + 1, 3, fill);
    case 'IDDD': return zeroPad(julian() - isoWeekStart(isoYear(year, month, day), 1) + 1, 3, fill);
    case 'DD': return zeroPad(day, 2, fill);
    case 'D':
      refuseInterval(source);
      return String(dayOfWeek(julian()) + 1);
    case 'ID':
      refuseInterval(source);
      return String(dayOfWeek(julian()) || 7);
    case 'WW': return zeroPad(Math.floor((julian() - julianDay(year, 1, 1)) / 7) + 1, 2, fill);
    case 'IW': return zeroPad(isoWeek(year, month, day), 2, fill);
    case 'W': return String(Math.floor((day - 1) / 7) + 1);
    case 'Q': return month === 0 ? '' : String(Math.floor((month - 1) / 3) + 1);
    case 'CC': {
      const century = interval ? Math.trunc(year / 100) : year > 0 ? Math.floor((year - 1) / 100) + 1 : Math.trunc(year / 100) - 1;
      return century <= 99 && century >= -99 ? zeroPad(century, 2, fill) : String(century);
    }
    case 'Y,YYY': {
      const y = adjusted(year);
      return `${Math.trunc(y / 1000)},${String(Math.abs(y % 1000)).padStart(3, '0')}`;
    }
    case 'YYYY': return zeroPad(adjusted(year), 4, fill);
    case 'IYYY': return zeroPad(adjusted(isoYear(year, month, day)), 4, fill);
    case 'YYY': return zeroPad(adjusted(year) % 1000, 3, fill);
    case 'IYY': return zeroPad(adjusted(isoYear(year, month, day)) % 1000, 3, fill);
    case 'YY': return zeroPad(adjusted(year) % 100, 2, fill);
    case 'IY': return zeroPad(adjusted(isoYear(year, month, day)) % 100, 2, fill);
    case 'Y': return String(adjusted(year) % 10);
    case 'I': return String(adjusted(isoYear(year, month, day)) % 10);
    case 'RM': {
      if (month === 0 && !interval) return '';
      if (month === 0) return '';
      const roman = toRoman(month < 0 ? month + 12 : month);
      const text = action.written === 'rm' ? roman.toLowerCase() : roman;
      return fill ? text : text.padEnd(4);
    }
    case 'J': return String(julian());
    default: return '';
  }
}

const NUMERIC_KEYS = /^(HH|HH12|HH24|MI|SS|MS|US|FF\d|SSSSS?|MM|DDD|IDDD|DD|D|ID|WW|IW|Q|CC|Y,YYY|I?YYYY|I?YYY|I?YY|Y|I|W|J)$/;

function toChar(source: Source, template: string): string | null {
  let out = '';
  for (const node of nodesOf(template)) {
    if ('text' in node) {
      out += node.text;
      continue;
    }
    const text = printAction(node, source);
    out += text;
    if (node.ordinal && NUMERIC_KEYS.test(node.key)) out += ordinalSuffix(text, node.ordinal === 'TH');
  }
  return out;
}

function clockSource(clock: Clock, zone?: { west: number; abbreviation: string }): Source {
  return { ...clock, interval: false, ...(zone ? { zone } : {}) };
}

function intervalToChar(span: Interval, template: string): string | null {
  if (template === '') return null;
  const time = splitIntervalTime(span.micros);
  const sign = time.negative ? -1 : 1;
  const years = Math.trunc(span.months / 12);
  return toChar({
    year: years, month: span.months - years * 12, day: span.days, hour: Number(time.hour) * sign || 0, minute: time.minute * sign || 0, second: time.second * sign || 0, micros: time.micros * sign || 0, interval: true,
  }, template);
}

// ---- input ---------------------------------------------------------------------------------------

interface Parsed {
  hour: number;
  minute: number;
  second: number;
  micros: number;
  secondsOfDay?: number;
  pm?: boolean;
  twelve: boolean;
  day?: number;
  dayOfYear?: number;
  month?: number;
  year?: number;
  yearDigits: number;
  bc: boolean;
  century?: number;
  week?: number;
  weekOfMonth?: number;
  weekday?: number;
  isoDay?: number;
  isoDayOfYear?: number;
  isoWeek?: number;
  isoMode?: boolean;
  julian?: number;
  zoneSign?: number;
  zoneHour?: number;
  zoneMinute?: number;
  zoneEast?: number;
}

const invalidFormat = (message: string, detail?: string, hint?: string): DatabaseError => new DatabaseError('22007', message, { ...(detail ? { detail } : {}), ...(hint ? { hint } : {}) });

/** Longest name of a list at `p`, case-insensitively. */
function nameAt(text: string, p: number, names: readonly string[], length?: number): { index: number; length: number } | undefined {
  const rest = text.slice(p).toLowerCase();
  for (let index = 0; index < names.length; index++) {
    const name = length === undefined ? names[index]! : names[index]!.slice(0, length);
    if (rest.startsWith(name)) return { index, length: name.length };
  }
  return undefined;
}

const FIXED_WIDTH: Readonly<Record<string, number>> = {
  HH: 2, HH12: 2, HH24: 2, MI: 2, SS: 2, SSSS: 5, SSSSS: 5, MS: 3, US: 6, FF1: 1, FF2: 2, FF3: 3, FF4: 4, FF5: 5, FF6: 6, MM: 2, DDD: 3, IDDD: 3, DD: 2, D: 1, ID: 1, WW: 2, IW: 2, W: 1, Q: 1, CC: 2, YYYY: 4, IYYY: 4, YYY: 3, IYY: 3, YY: 2, IY: 2, Y: 1, I: 1, TZH: 2, TZM: 2, J: 7,
};

class TemplateReader {
  private p = 0;
  private exact = false;
  readonly result: Parsed = { hour: 0, minute: 0, second: 0, micros: 0, twelve: false, yearDigits: 0, bc: false };

  constructor(private readonly text: string, private readonly nodes: readonly Node[]) {}

  read(): Parsed {
    const first = this.nodes[0];
    if (first && !('text' in first) && first.key === 'FX') this.exact = true;
    for (let i = 0; i < this.nodes.length && this.p < this.text.length; i++) {
      const node = this.nodes[i]!;
      if ('text' in node) {
        this.literal(node);
        continue;
      }
      if (node.key === 'FX') {
        this.exact = true;
        continue;
      }
      if (!this.exact) while (/\s/.test(this.text[this.p] ?? '')) this.p++;
      if (this.p >= this.text.length && !this.exact) break;
      this.action(node, this.nodes[i + 1]);
    }
    return this.result;
  }

  private literal(node: { text: string; separator: boolean }): void {
    const c = this.text[this.p]!;
    if (this.exact) {
      this.p += String.fromCodePoint(this.text.codePointAt(this.p)!).length;
      return;
    }
    if (node.separator || node.text === ' ') {
      if (/\s/.test(c) || /[!-/:-@[-`{-~]/.test(c)) {
        this.p++;
        while (/\s/.test(this.text[this.p] ?? '')) this.p++;
      }
      return;
    }
    while (/\s/.test(this.text[this.p] ?? '')) this.p++;
    this.p += String.fromCodePoint(this.text.codePointAt(this.p) ?? 32).length;
  }

  private integer(node: Action, next: Node | undefined): number {
    // Another separator than the template's may stand before a number.
    if (!this.exact) while (/[\s!-*,./:;-@[-`{-~]/.test(this.text[this.p] ?? '') && !/[+-]/.test(this.text[this.p]!)) this.p++;
    const width = FIXED_WIDTH[node.key];
    const variable = node.fill || width === undefined || this.nextIsSeparator(next);
    const rest = this.text.slice(this.p);
    const match = (variable ? /^[+-]?\d+/ : new RegExp(`^[+-]?\\d{1,${width}}`)).exec(rest);
    if (!match) throw invalidFormat(`invalid value "${rest.slice(0, width ?? 4)}" for "${node.written}"`, 'Value must be an integer.');
    this.p += match[0].length;
    const value = Number(match[0]);
    if (Math.abs(value) > 2147483647) throw new DatabaseError('22008', `value for "${node.written}" in source string is out of range`, { detail: 'Value must be in the range -2147483648 to 2147483647.' });
    if (node.ordinal) this.p += 2;
    return value;
  }

  /** The number ends where a non-digit must come: it may have any number of digits. */
  private nextIsSeparator(next: Node | undefined): boolean {
    if (!next) return true;
    if ('text' in next) return !/\d/.test(next.text);
    return /^(MONTH|MON|DAY|DY|A\.?M\.?|P\.?M\.?|A\.?D\.?|B\.?C\.?|RM|TZ|OF)$/.test(next.key);
  }

  private fraction(node: Action, digits: number): number {
    const match = new RegExp(`^\\d{1,${node.fill ? 9 : digits}}`).exec(this.text.slice(this.p));
    if (!match) throw invalidFormat(`invalid value "${this.text.slice(this.p, this.p + digits)}" for "${node.written}"`, 'Value must be an integer.');
    this.p += match[0].length;
    return Math.round(Number(`0.${match[0]}`) * 1e6);
  }

  private word(node: Action, names: readonly string[], length?: number): number {
    const found = nameAt(this.text, this.p, names, length);
    if (!found) {
      const shown = /^\S*/.exec(this.text.slice(this.p))![0];
      throw invalidFormat(`invalid value "${length ? this.text.slice(this.p, this.p + Math.max(shown.length, 1)) : shown}" for "${node.written}"`, 'The given value did not match any of the allowed values for this field.');
    }
    this.p += found.length;
    return found.index;
  }

  private year(node: Action, next: Node | undefined, digits: number): void {
    const start = this.p;
    let value = this.integer(node, next);
    const length = this.text.slice(start, this.p).replace(/\D/g, '').length;
    if (digits < 4 && length < 4) {
      if (value < 70) value += 2000;
      else if (value < 100) value += 1900;
      else if (value < 520) value += 2000;
      else if (value < 1000) value += 1000;
    }
    this.result.yearDigits = digits;
    this.set('year', value, node);
    this.result.isoMode = node.key.startsWith('I');
  }

  private set<K extends keyof Parsed>(field: K, value: Parsed[K], node: Action): void {
    const known = this.result[field];
    if (known !== undefined && known !== value && field !== 'hour' && field !== 'minute' && field !== 'second' && field !== 'micros') {
      throw invalidFormat(`conflicting values for "${node.written}" field in formatting string`, 'This value contradicts a previous setting for the same field type.');
    }
    this.result[field] = value;
  }

  private action(node: Action, next: Node | undefined): void {
    const { result } = this;
    switch (node.key) {
      case 'A.M.': case 'P.M.': result.pm = this.word(node, ['a.m.', 'p.m.']) === 1; result.twelve = true; break;
      case 'AM': case 'PM': result.pm = this.word(node, ['am', 'pm']) === 1; result.twelve = true; break;
      case 'HH': case 'HH12': result.hour = this.integer(node, next); result.twelve = true; break;
      case 'HH24': result.hour = this.integer(node, next); break;
      case 'MI': result.minute = this.integer(node, next); break;
      case 'SS': result.second = this.integer(node, next); break;
      case 'MS': result.micros += Math.trunc(this.fraction(node, 3)); break;
      case 'US': result.micros += this.fraction(node, 6); break;
      case 'FF1': case 'FF2': case 'FF3': case 'FF4': case 'FF5': case 'FF6': result.micros += this.fraction(node, Number(node.key[2])); break;
      case 'SSSS': case 'SSSSS': result.secondsOfDay = this.integer(node, next); break;
      case 'TZ': {
        const match = /^[A-Za-z]+/.exec(this.text.slice(this.p));
        const abbreviation = match ? findAbbreviation(match[0]) : undefined;
        if (!abbreviation || 'zone' in abbreviation) throw new DatabaseError('0A000', 'formatting field "TZ" is only supported in to_char');
        throw new DatabaseError('0A000', 'formatting field "TZ" is only supported in to_char');
      }
      case 'OF': throw new DatabaseError('0A000', 'formatting field "OF" is only supported in to_char');
      case 'TZH': {
        const sign = this.text[this.p];
        result.zoneSign = sign === '-' ? -1 : 1;
        if (sign === '+' || sign === '-' || sign === ' ') this.p++;
        result.zoneHour = this.integer(node, next);
        break;
      }
      case 'TZM':
        result.zoneSign ??= 1;
        result.zoneMinute = this.integer(node, next);
        break;
      case 'A.D.': case 'B.C.': result.bc = this.word(node, ['a.d.', 'b.c.']) === 1; break;
      case 'AD': case 'BC': result.bc = this.word(node, ['ad', 'bc']) === 1; break;
      case 'MONTH': this.set('month', this.word(node, MONTHS) + 1, node); break;
      case 'MON': this.set('month', this.word(node, MONTHS, 3) + 1, node); break;
      case 'MM': this.set('month', this.integer(node, next), node); break;
      case 'DAY': result.weekday = this.word(node, WEEKDAYS) + 1; break;
      case 'DY': result.weekday = this.word(node, WEEKDAYS, 3) + 1; break;
      case 'DDD': this.set('dayOfYear', this.integer(node, next), node); break;
      case 'IDDD': this.set('isoDayOfYear', this.integer(node, next), node); result.isoMode = true; break;
      case 'DD': this.set('day', this.integer(node, next), node); break;
      case 'D': result.weekday = this.integer(node, next); break;
      case 'ID': result.isoDay = this.integer(node, next); result.isoMode = true; break;
      case 'WW': this.set('week', this.integer(node, next), node); break;
      case 'IW': this.set('isoWeek', this.integer(node, next), node); result.isoMode = true; break;
      case 'W': this.set('weekOfMonth', this.integer(node, next), node); break;
      case 'Q': this.integer(node, next); break;
      case 'CC': this.set('century', this.integer(node, next), node); break;
      case 'Y,YYY': {
        const match = /^(\d+),(\d{3})/.exec(this.text.slice(this.p));
        if (!match) throw invalidFormat('invalid input string for "Y,YYY"');
        this.p += match[0].length;
        result.yearDigits = 4;
        this.set('year', Number(match[1]) * 1000 + Number(match[2]), node);
        break;
      }
      case 'YYYY': case 'IYYY': this.year(node, next, 4); break;
      case 'YYY': case 'IYY': this.year(node, next, 3); break;
      case 'YY': case 'IY': this.year(node, next, 2); break;
      case 'Y': case 'I': this.year(node, next, 1); break;
      case 'RM': {
        const romans = ['viii', 'vii', 'iii', 'xii', 'vi', 'iv', 'ix', 'xi', 'ii', 'v', 'x', 'i'];
        const values = [8, 7, 3, 12, 6, 4, 9, 11, 2, 5, 10, 1];
        this.set('month', values[this.word(node, romans)]!, node);
        break;
      }
      case 'J': this.set('julian', this.integer(node, next), node); break;
      default:
    }
  }
}

const outOfRange = (text: string): DatabaseError => new DatabaseError('22008', `date/time field value out of range: "${text}"`);

/** do_to_timestamp: the fields as a clock. */
function assemble(text: string, template: string): { clock: Clock; zoneWest: number | undefined; micros: number } {
  const parsed = new TemplateReader(text, nodesOf(template)).read();
  let { hour, minute, second } = parsed;
  if (parsed.secondsOfDay !== undefined) {
    hour = Math.floor(parsed.secondsOfDay / 3600);
    minute = Math.floor(parsed.secondsOfDay / 60) % 60;
    second = parsed.secondsOfDay % 60;
  }
  if (parsed.twelve) {
    if (hour < 1 || hour > 12) throw invalidFormat(`hour "${hour}" is invalid for the 12-hour clock`, undefined, 'Use the 24-hour clock, or give an hour between 1 and 12.');
    if (parsed.pm === true && hour < 12) hour += 12;
    else if (parsed.pm !== true && parsed.pm !== undefined && hour === 12) hour = 0;
  }
  let year = parsed.year;
  if (year !== undefined) {
    if (parsed.century !== undefined && parsed.yearDigits <= 2) {
      const cc = parsed.bc ? -parsed.century : parsed.century;
      year %= 100;
      if (year !== 0) year = cc >= 0 ? year + (cc - 1) * 100 : (cc + 1) * 100 - year + 1;
      else year = cc * 100 + (cc >= 0 ? 0 : 1);
    } else if (parsed.bc) year = year <= 0 ? year : 1 - year;
    else if (year < 0) year += 1;
  } else if (parsed.century !== undefined) {
    const cc = parsed.bc ? -parsed.century : parsed.century;
    year = cc >= 0 ? (cc - 1) * 100 + 1 : cc * 100 + 1;
  }
  let date = { year: year ?? 0, month: parsed.month ?? 1, day: parsed.day ?? 1 };
  if (parsed.julian !== undefined) date = dateFromJulian(parsed.julian);
  if (parsed.week !== undefined) {
    const dayOfYear = (parsed.week - 1) * 7 + 1;
    date = dateFromJulian(julianDay(date.year, 1, 1) + dayOfYear - 1);
  }
  if (parsed.weekOfMonth !== undefined) date.day = (parsed.weekOfMonth - 1) * 7 + 1;
  if (parsed.isoWeek !== undefined) {
    const start = isoWeekStart(year ?? 0, parsed.isoWeek);
    const weekday = parsed.isoDay ?? (parsed.weekday !== undefined ? (parsed.weekday === 1 ? 7 : parsed.weekday - 1) : 1);
    date = dateFromJulian(start + weekday - 1);
  }
  if (parsed.isoDayOfYear !== undefined) date = dateFromJulian(isoWeekStart(year ?? 0, 1) + parsed.isoDayOfYear - 1);
  if (parsed.dayOfYear !== undefined && parsed.month === undefined && parsed.day === undefined) {
    if (year === undefined) throw invalidFormat('cannot calculate day of year without year information');
    if (parsed.dayOfYear < 1 || parsed.dayOfYear > (daysInMonth(date.year, 2) === 29 ? 366 : 365)) throw outOfRange(text);
    date = dateFromJulian(julianDay(date.year, 1, 1) + parsed.dayOfYear - 1);
  }
  if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > daysInMonth(date.year, date.month)) throw outOfRange(text);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) throw outOfRange(text);
  let zoneWest: number | undefined;
  if (parsed.zoneSign !== undefined) {
    if ((parsed.zoneHour ?? 0) > 15 || (parsed.zoneMinute ?? 0) > 59) throw outOfRange(text);
    zoneWest = -parsed.zoneSign * ((parsed.zoneHour ?? 0) * 3600 + (parsed.zoneMinute ?? 0) * 60);
  }
  return { clock: { ...date, hour, minute, second, micros: 0 }, zoneWest, micros: parsed.micros };
}

function toTimestamp(text: string, template: string, context: EvalContext): Int8 {
  const { clock, zoneWest, micros } = assemble(text, template);
  const west = zoneWest ?? 0 - zoneOffsetAtLocal(zoneOf(context), clock);
  const value = clockToTimestamp({ ...clock, micros }, west);
  if (value === undefined) throw new DatabaseError('22008', 'timestamp out of range');
  return value;
}

function toDate(text: string, template: string): number {
  const { clock } = assemble(text, template);
  const days = daysFromDate(clock.year, clock.month, clock.day);
  if (clock.year < -4713 || !isValidDate(days)) throw new DatabaseError('22008', `date out of range: "${text}"`);
  return days;
}

export const timestampFormatFunctions: readonly SqlFunction[] = [
  f('to_char(timestamp,text)', (value: Int8, template: string) => (template === '' || isInfinite(value) ? null : toChar(clockSource(timestampToClock(value)), template))),
  fc('to_char(timestamptz,text)', (value: Int8, template: string, context: EvalContext) => {
    if (template === '' || isInfinite(value)) return null;
    const { clock, west, abbreviation } = zonedClock(value, zoneOf(context));
    return toChar(clockSource(clock, { west, abbreviation }), template);
  }),
  f('to_char(interval,text)', intervalToChar),
  fc('to_timestamp(text,text)', toTimestamp),
  f('to_date(text,text)', toDate),
];

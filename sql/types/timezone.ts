/**
 * Time zones: PostgreSQL 16's own tz data (data/timezones.json), POSIX TZ strings for what comes
 * after the tables, and abbreviations. Offsets are seconds east of UTC unless a name says west;
 * instants are seconds since the Unix epoch.
 */
import { DatabaseError } from '../../engine/errors.js';
import { EPOCH_JULIAN, UNIX_EPOCH_DAYS, UNIX_EPOCH_SECONDS, dateFromDays, dayOfWeek, daysInMonth, isLeapYear, julianDay, type Clock } from './calendar.js';
import { loadFacts } from './facts.js';

interface ZoneFile {
  readonly at: readonly number[];
  readonly to: readonly number[];
  readonly types: readonly (readonly [number, number, string])[];
  readonly rule: string;
}

interface Facts {
  readonly zones: Readonly<Record<string, number>>;
  readonly abbreviations: Readonly<Record<string, readonly [number, number] | string>>;
  readonly files: readonly ZoneFile[];
}

export interface LocalType {
  readonly offset: number;
  readonly dst: boolean;
  readonly abbreviation: string;
}

/** A change of local time: the types before and after it. */
interface Boundary {
  readonly at: number;
  readonly before: LocalType;
  readonly after: LocalType;
}

let loaded: Facts | undefined;
let canonicalNames: Map<string, string> | undefined;
const zones = new Map<string, Zone | null>();

function facts(): Facts {
  loaded ??= loadFacts<Facts>('sql/types/data/timezones.json');
  return loaded;
}

/** Rule of a POSIX TZ string: a date (Mm.w.d, Jn or n) and seconds of local time. */
interface RuleDate {
  readonly kind: 'month' | 'julian' | 'day';
  readonly month: number;
  readonly week: number;
  readonly day: number;
  readonly seconds: number;
}

interface PosixRule {
  readonly standard: LocalType;
  readonly daylight?: LocalType;
  readonly start?: RuleDate;
  readonly end?: RuleDate;
}

function parsePosix(text: string): PosixRule | undefined {
  let rest = text;
  const name = (): string | undefined => {
    const match = /^(?:<([A-Za-z0-9+-]+)>|([A-Za-z]{3,}))/.exec(rest);
    if (!match) return undefined;
    rest = rest.slice(match[0].length);
    return match[1] ?? match[2];
  };
  const time = (): number | undefined => {
    const match = /^([+-]?)(\d{1,3})(?::(\d{1,2})(?::(\d{1,2}))?)?/.exec(rest);
    if (!match) return undefined;
    rest = rest.slice(match[0].length);
    const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60 + Number(match[4] ?? 0);
    return match[1] === '-' ? -seconds : seconds;
  };
  const date = (): RuleDate | undefined => {
    const match = /^,(?:M(\d+)\.(\d)\.(\d)|J(\d+)|(\d+))(\/)?/.exec(rest);
    if (!match) return undefined;
    rest = rest.slice(match[0].length);
    const seconds = match[6] ? time() : 7200;
    if (seconds === undefined) return undefined;
    if (match[1] !== undefined) return { kind: 'month', month: Number(match[1]), week: Number(match[2]), day: Number(match[3]), seconds };
    return { kind: match[4] !== undefined ? 'julian' : 'day', month: 0, week: 0, day: Number(match[4] ?? match[5]), seconds };
  };
  const standardName = name();
  if (standardName === undefined) return undefined;
  const west = time();
  if (west === undefined) return undefined;
  const standard = { offset: -west, dst: false, abbreviation: standardName };
  if (rest === '') return { standard };
  const daylightName = name();
  if (daylightName === undefined) return undefined;
  const daylightWest = rest !== '' && !rest.startsWith(',') ? time() : undefined;
  const daylight = { offset: daylightWest === undefined ? standard.offset + 3600 : -daylightWest, dst: true, abbreviation: daylightName };
  if (rest === '') rest = ',M3.2.0,M11.1.0';
  const start = date();
  const end = date();
  if (!start || !end || rest !== '') return undefined;
  return { standard, daylight, start, end };
}

/** Local seconds since the Unix epoch (as if UTC) at which a rule date falls in `year`. */
function ruleSeconds(rule: RuleDate, year: number): number {
  const newYear = julianDay(year, 1, 1);
  let julian: number;
  if (rule.kind === 'month') {
    const first = julianDay(year, rule.month, 1);
    let day = rule.day - dayOfWeek(first);
    if (day < 0) day += 7;
    for (let i = 1; i < rule.week && day + 7 < daysInMonth(year, rule.month); i++) day += 7;
    julian = first + day;
  } else if (rule.kind === 'julian') julian = newYear + rule.day - 1 + (isLeapYear(year) && rule.day >= 60 ? 1 : 0);
  else julian = newYear + rule.day;
  return (julian - 2440588) * 86400 + rule.seconds;
}

export class Zone {
  private readonly types: LocalType[];
  private readonly at: readonly number[];
  private readonly to: readonly number[];
  private readonly rule: PosixRule | undefined;
  private lastIndex = -1;
  private readonly yearCache = new Map<number, readonly Boundary[]>();

  constructor(readonly name: string, file: ZoneFile) {
    this.types = file.types.map(([offset, dst, abbreviation]) => ({ offset, dst: dst === 1, abbreviation }));
    this.at = file.at;
    this.to = file.to;
    this.rule = file.rule === '' ? undefined : parsePosix(file.rule);
  }

  /** The zone never changes its offset. */
  get fixed(): LocalType | undefined {
    if (this.at.length > 0 || this.rule?.daylight) return undefined;
    return this.rule?.standard ?? this.types[0];
  }

  private get initial(): LocalType {
    return this.types[0] ?? this.rule!.standard;
  }

  private lastType(): LocalType {
    return this.at.length === 0 ? this.initial : this.types[this.to[this.to.length - 1]!]!;
  }

  /** Changes that the rule makes in a year, in order. */
  private ruleBoundaries(year: number): readonly Boundary[] {
    const { rule } = this;
    if (!rule?.daylight || !rule.start || !rule.end) return [];
    let found = this.yearCache.get(year);
    if (!found) {
      const { standard, daylight } = rule;
      const list: Boundary[] = [
        { at: ruleSeconds(rule.start, year) - standard.offset, before: standard, after: daylight },
        { at: ruleSeconds(rule.end, year) - daylight.offset, before: daylight, after: standard },
      ];
      found = list.sort((a, b) => a.at - b.at);
      if (this.yearCache.size > 400) this.yearCache.clear();
      this.yearCache.set(year, found);
    }
    return found;
  }

  /** Number of transitions at or before `instant`. */
  private countUntil(instant: number): number {
    const { at } = this;
    const hint = this.lastIndex;
    if (hint > 0 && hint <= at.length && at[hint - 1]! <= instant && (hint === at.length || at[hint]! > instant)) return hint;
    let low = 0;
    let high = at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[middle]! <= instant) low = middle + 1;
      else high = middle;
    }
    this.lastIndex = low;
    return low;
  }

  /** Local time type in force at an instant. */
  typeAt(instant: number): LocalType {
    const { fixed } = this;
    if (fixed) return fixed;
    const count = this.countUntil(instant);
    if (count < this.at.length || !this.rule) return count === 0 ? this.initial : this.types[this.to[count - 1]!]!;
    if (!this.rule.daylight) return this.at.length > 0 ? this.lastType() : this.rule.standard;
    const year = yearOf(instant);
    let current: LocalType | undefined;
    for (const boundary of [...this.ruleBoundaries(year - 1), ...this.ruleBoundaries(year), ...this.ruleBoundaries(year + 1)]) {
      if (boundary.at <= instant) current = boundary.after;
    }
    return current ?? this.lastType();
  }

  /** First change after `instant`. */
  nextBoundary(instant: number): Boundary | undefined {
    const count = this.countUntil(instant);
    if (count < this.at.length) {
      return { at: this.at[count]!, before: count === 0 ? this.initial : this.types[this.to[count - 1]!]!, after: this.types[this.to[count]!]! };
    }
    const year = yearOf(instant);
    for (let y = year - 1; y <= year + 1; y++) {
      for (const boundary of this.ruleBoundaries(y)) if (boundary.at > instant) return boundary;
    }
    return undefined;
  }

  /** Type that a local time (seconds as if UTC) means: gaps take the time before, overlaps the time after. */
  typeAtLocal(local: number): LocalType {
    const { fixed } = this;
    if (fixed) return fixed;
    const boundary = this.nextBoundary(local - 86400);
    if (!boundary) return this.typeAt(local - 86400);
    const beforeTime = local - boundary.before.offset;
    const afterTime = local - boundary.after.offset;
    if (beforeTime < boundary.at && afterTime < boundary.at) return boundary.before;
    if (beforeTime > boundary.at && afterTime >= boundary.at) return boundary.after;
    return beforeTime > afterTime ? boundary.before : boundary.after;
  }

  /** What the abbreviation meant in this zone around `instant`: its last use until then, or its first after. */
  abbreviation(name: string, instant: number): LocalType | undefined {
    const upper = name.toUpperCase();
    const matches = (type: LocalType): boolean => type.abbreviation.toUpperCase() === upper;
    const now = this.typeAt(instant);
    if (matches(now)) return now;
    if (this.rule) {
      if (instant >= (this.at[this.at.length - 1] ?? -Infinity)) {
        if (this.rule.daylight && matches(this.rule.daylight)) return this.rule.daylight;
        if (matches(this.rule.standard)) return this.rule.standard;
      }
    }
    const count = this.countUntil(instant);
    for (let i = count - 1; i >= 0; i--) {
      const type = this.types[this.to[i]!]!;
      if (matches(type)) return type;
    }
    if (matches(this.initial)) return this.initial;
    for (let i = count; i < this.to.length; i++) {
      const type = this.types[this.to[i]!]!;
      if (matches(type)) return type;
    }
    return undefined;
  }
}

function yearOf(instant: number): number {
  return dateFromDays(Math.floor(instant / 86400) - UNIX_EPOCH_DAYS).year;
}

/** A zone by name (any case), or by a POSIX string such as EST5EDT or <+03>-3; undefined when there is none. */
export function findZone(name: string): Zone | undefined {
  const cached = zones.get(name);
  if (cached !== undefined) return cached ?? undefined;
  const table = facts();
  canonicalNames ??= new Map(Object.keys(table.zones).map((zone) => [zone.toLowerCase(), zone]));
  const canonical = canonicalNames.get(name.toLowerCase());
  let zone: Zone | null = null;
  if (canonical !== undefined) zone = new Zone(canonical, table.files[table.zones[canonical]!]!);
  else {
    const rule = name.length < 256 ? parsePosix(name) : undefined;
    if (rule) zone = new Zone(name.toUpperCase() === name ? name : name.toUpperCase(), { at: [], to: [], types: [], rule: name });
  }
  if (zones.size > 2000) zones.clear();
  zones.set(name, zone);
  return zone ?? undefined;
}

/** A zone of a fixed offset, as SET TIME ZONE -7 makes it. */
export function fixedZone(secondsEast: number, name: string): Zone {
  return new Zone(name, { at: [], to: [], types: [[secondsEast, 0, name]], rule: '' });
}

/** The session's zone; its setting was checked when it was set. */
export function sessionZone(setting: string): Zone {
  const zone = findZone(setting);
  if (!zone) throw new DatabaseError('22023', `time zone "${setting}" not recognized`);
  return zone;
}

export type Abbreviation = { readonly offset: number; readonly dst: boolean } | { readonly zone: Zone };

/** A time zone abbreviation of the default set. */
export function findAbbreviation(name: string): Abbreviation | undefined {
  const entry = facts().abbreviations[name.toUpperCase()];
  if (entry === undefined) return undefined;
  if (typeof entry === 'string') {
    const zone = findZone(entry);
    return zone && { zone };
  }
  return { offset: entry[0], dst: entry[1] === 1 };
}

export function zoneNames(): string[] {
  return Object.keys(facts().zones).filter((name) => name !== 'posixrules' && name !== 'localtime');
}

export function abbreviationNames(): string[] {
  return Object.keys(facts().abbreviations);
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

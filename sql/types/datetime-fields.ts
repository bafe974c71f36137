/**
 * Dates and times as PostgreSQL's datetime.c reads them, first half: the text cut into fields, the words it knows, and failures as codes until the
 * type that asked turns them into its message (`dateTimeError`).
 */
import { DatabaseError } from '../../engine/errors.js';

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

export const isDigit = (c: string | undefined): boolean => c !== undefined && c >= '0' && c <= '9';
export const isAlpha = (c: string | undefined): boolean => c !== undefined && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
const isSpace = (c: string | undefined): boolean => c === ' ' || (c !== undefined && c >= '\t' && c <= '\r');

export type Token =
  | { readonly type: 'month' | 'dow' | 'ampm' | 'era' | 'dstmod'; readonly value: number }
  | { readonly type: 'reserved'; readonly value: 'now' | 'today' | 'tomorrow' | 'yesterday' | 'zulu' | 'epoch' | 'infinity' | '-infinity' }
  | { readonly type: 'units'; readonly value: string }
  | { readonly type: 'ignore' | 'isotime' };

export const MONTHS = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
export const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
export const PM = 12;
export const BC = 1;

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

/** Turns a failure of the decoders into `typeName`'s error. */
export function guarded<T>(text: string, typeName: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeFailure) throw dateTimeError(error.failure, text, typeName);
    throw error;
  }
}

/** Reading and printing setting values: units, enums, lists. After guc.c. */
import { DatabaseError } from '../../engine/errors.js';
import type { SettingDefinition } from './settings-table.js';

/** Units by base unit: name -> how many base units. Largest first. */
const MEMORY_KB: readonly (readonly [string, number])[] = [['TB', 1024 ** 3], ['GB', 1024 ** 2], ['MB', 1024], ['kB', 1], ['B', 1 / 1024]];
const TIME_MS: readonly (readonly [string, number])[] = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000], ['ms', 1], ['us', 0.001]];

function unitsOf(unit: string): { units: readonly (readonly [string, number])[]; base: number } {
  switch (unit) {
    case 'B': return { units: MEMORY_KB, base: 1 / 1024 };
    case 'kB': return { units: MEMORY_KB, base: 1 };
    case '8kB': return { units: MEMORY_KB, base: 8 };
    case 'MB': return { units: MEMORY_KB, base: 1024 };
    case 's': return { units: TIME_MS, base: 1000 };
    case 'min': return { units: TIME_MS, base: 60_000 };
    default: return { units: TIME_MS, base: 1 };
  }
}

function invalid(definition: SettingDefinition, value: string, hint?: string): DatabaseError {
  return new DatabaseError('22023', `invalid value for parameter "${definition.name}": "${value}"`, { hint });
}

const BOOLEANS: readonly (readonly [string, boolean])[] = [['true', true], ['false', false], ['yes', true], ['no', false], ['on', true], ['off', false]];

/** parse_bool: unambiguous prefixes of the words, 1 and 0. */
export function parseBoolean(text: string): boolean | null {
  const value = text.toLowerCase().trim();
  if (value === '1') return true;
  if (value === '0') return false;
  if (value === 'o' || value === '') return null;
  const found = BOOLEANS.find(([word]) => word.startsWith(value));
  return found ? found[1] : null;
}

/** Checks a new value and brings it into the stored form (base unit, lower-case enum). 22023 with PostgreSQL's hints. */
export function normalizeSetting(definition: SettingDefinition, value: string): string {
  switch (definition.type) {
    case 'bool': {
      const parsed = parseBoolean(value);
      if (parsed === null) throw new DatabaseError('22023', `parameter "${definition.name}" requires a Boolean value`);
      return parsed ? 'on' : 'off';
    }
    case 'enum': {
      const found = definition.enumValues?.find((candidate) => candidate.toLowerCase() === value.toLowerCase()) ?? hiddenEnumValue(definition, value);
      if (found === undefined) throw invalid(definition, value, `Available values: ${definition.enumValues?.join(', ')}.`);
      return found;
    }
    case 'integer':
    case 'real':
      return normalizeNumber(definition, value);
    default:
      return value;
  }
}

/** Spellings that guc.c takes without listing them. */
function hiddenEnumValue(definition: SettingDefinition, value: string): string | undefined {
  const bool = parseBoolean(value);
  if (bool !== null && definition.enumValues?.includes('on')) return bool ? 'on' : 'off';
  if (definition.name === 'client_min_messages' && value.toLowerCase() === 'debug') return 'debug2';
  return undefined;
}

function normalizeNumber(definition: SettingDefinition, value: string): string {
  const match = /^\s*([+-]?(?:0x[0-9a-f]+|\d*\.?\d+(?:e[+-]?\d+)?|\d+\.))\s*([a-zA-Z]*)\s*$/i.exec(value);
  if (!match) throw invalid(definition, value);
  let number = Number(match[1]);
  if (match[2] !== '') {
    if (definition.unit === null) throw invalid(definition, value);
    const { units, base } = unitsOf(definition.unit);
    const unit = units.find(([name]) => name === match[2]);
    if (!unit) {
      throw invalid(definition, value, units === MEMORY_KB
        ? 'Valid units for this parameter are "B", "kB", "MB", "GB", and "TB".'
        : 'Valid units for this parameter are "us", "ms", "s", "min", "h", and "d".');
    }
    number = (number * unit[1]) / base;
  }
  if (definition.type === 'integer') number = Math.round(number);
  if ((definition.min !== null && number < definition.min) || (definition.max !== null && number > definition.max)) {
    const unit = definition.unit ? ` ${definition.unit}` : '';
    throw new DatabaseError('22023', `${number}${unit} is outside the valid range for parameter "${definition.name}" (${definition.min}${unit} .. ${definition.max}${unit})`.replace(/ (kB|8kB|MB|B|ms|s|min) \.\./, ' $1 ..'));
  }
  return String(number);
}

/** As SHOW prints it: with the largest unit that divides it. */
export function displaySetting(definition: SettingDefinition, stored: string): string {
  if ((definition.type !== 'integer' && definition.type !== 'real') || definition.unit === null) return stored;
  const number = Number(stored);
  if (number <= 0 || !Number.isFinite(number)) return stored;
  const { units, base } = unitsOf(definition.unit);
  for (const [name, size] of units) {
    const inUnit = (number * base) / size;
    if (Number.isInteger(inUnit)) return `${inUnit}${name}`;
  }
  return stored;
}

/** Splits a list setting (search_path, DateStyle): identifiers, maybe quoted, between commas. */
export function splitIdentifierList(text: string): string[] | null {
  const out: string[] = [];
  let i = 0;
  const space = (): void => {
    while (i < text.length && /\s/.test(text[i])) i++;
  };
  space();
  if (i === text.length) return out;
  for (;;) {
    space();
    if (text[i] === '"') {
      let name = '';
      for (i++; ; i++) {
        if (i >= text.length) return null;
        if (text[i] === '"') {
          if (text[i + 1] !== '"') break;
          i++;
        }
        name += text[i];
      }
      i++;
      out.push(name);
    } else {
      const start = i;
      while (i < text.length && text[i] !== ',' && !/\s/.test(text[i])) i++;
      if (i === start) return null;
      out.push(text.slice(start, i).toLowerCase());
    }
    space();
    if (i === text.length) return out;
    if (text[i] !== ',') return null;
    i++;
  }
}

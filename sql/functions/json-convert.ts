/**
 * Any datum as JSON (to_json, json_build_*, row_to_json, the JSON aggregates): numbers and booleans
 * as they are, json as it stands, arrays and records as containers, dates in ISO 8601, a type with a
 * cast to json through it, all else as its text.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { ArrayValue, Datum, Int8, RecordValue } from '../types/datum.js';
import { printDateParts, printTimestamp, printTimestamptz } from '../types/datetime-print.js';
import { dateFromDays } from '../types/calendar.js';
import { quoteJson } from '../types/json.js';
import { Jsonb, makeJsonbObject, parseJsonb, printJsonbNode, type JsonbNode } from '../types/jsonb.js';
import { Numeric } from '../types/numeric.js';
import { liveAttributes } from '../types/record.js';
import type { EvalContext } from './context.js';

type Category = 'null' | 'bool' | 'number' | 'date' | 'timestamp' | 'timestamptz' | 'json' | 'jsonb' | 'array' | 'record' | 'text';

const BOOL = 16;
const NUMBERS = new Set([20, 21, 23, 700, 701, 1700]);
const DATE = 1082;
const TIMESTAMP = 1114;
const TIMESTAMPTZ = 1184;
const JSON_OID = 114;
const JSONB = 3802;
const RECORD = 2249;

/** What a domain stands on. */
function baseType(oid: number, context: EvalContext): number {
  for (let type = context.catalog.type(oid); type?.typtype === 'd'; type = context.catalog.type(oid)) oid = type.typbasetype;
  return oid;
}

function categorize(oid: number, context: EvalContext): Category {
  switch (oid) {
    case BOOL: return 'bool';
    case DATE: return 'date';
    case TIMESTAMP: return 'timestamp';
    case TIMESTAMPTZ: return 'timestamptz';
    case JSON_OID: return 'json';
    case JSONB: return 'jsonb';
    case RECORD: return 'record';
    default:
  }
  if (NUMBERS.has(oid)) return 'number';
  const type = context.catalog.type(oid);
  if (type?.typtype === 'c') return 'record';
  if (type && type.typelem !== 0 && type.typlen === -1) return 'array';
  return 'text';
}

/** Prints as a JSON array or object of its own. */
export function isJsonContainer(typeOid: number, context: EvalContext): boolean {
  const category = categorize(baseType(typeOid, context), context);
  return category === 'array' || category === 'record';
}

const ISO = { dateStyle: 'ISO', dateOrder: 'MDY' } as const;

function isoText(category: Category, value: Datum, context: EvalContext): string {
  if (value === Infinity) return 'infinity';
  if (value === -Infinity) return '-infinity';
  if (category === 'date') return printDateParts(dateFromDays(value as number), ISO);
  const text = category === 'timestamp' ? printTimestamp(value as Int8, ISO) : withMinutes(printTimestamptz(value as Int8, { ...ISO, timeZone: context.settings.timeZone }));
  return text.replace(' ', 'T');
}

/** "+00" becomes "+00:00", as JSON dates are ISO 8601. */
function withMinutes(text: string): string {
  return text.replace(/([+-]\d\d)( BC)?$/, '$1:00$2');
}

function columnsOf(record: RecordValue, context: EvalContext): { name: string; type: number }[] {
  const names = (record as RecordValue & { names?: readonly string[] }).names;
  if (names) return record.types.map((type, i) => ({ name: names[i] ?? `f${i + 1}`, type }));
  const type = record.typeOid === RECORD ? undefined : context.catalog.type(record.typeOid);
  if (type && type.typrelid !== 0) return liveAttributes(type, context.catalog).map((attribute) => ({ name: attribute.attname, type: attribute.atttypid }));
  return record.types.map((columnType, i) => ({ name: `f${i + 1}`, type: columnType }));
}

function arrayText(array: ArrayValue, context: EvalContext, pretty: boolean, separator = ','): string {
  if (array.elements.length === 0) return '[]';
  let next = 0;
  const level = (depth: number): string => {
    const parts: string[] = [];
    for (let i = 0; i < array.dimensions[depth]!; i++) {
      parts.push(depth === array.dimensions.length - 1 ? datumToJsonText(array.elements[next++]!, array.elementType, context) : level(depth + 1));
    }
    return `[${parts.join(pretty && depth === 0 ? `${separator}\n ` : separator)}]`;
  };
  return level(0);
}

/** composite_to_json. */
export function recordToJsonText(record: RecordValue, context: EvalContext, pretty = false): string {
  const separator = pretty ? ',\n ' : ',';
  return `{${columnsOf(record, context).map(({ name, type }, i) => `${quoteJson(name)}:${datumToJsonText(record.values[i]!, type, context)}`).join(separator)}}`;
}

export function arrayToJsonText(array: ArrayValue, context: EvalContext, pretty = false): string {
  return arrayText(array, context, pretty);
}

export function datumToJsonText(value: Datum, typeOid: number, context: EvalContext): string {
  if (value === null) return 'null';
  const oid = baseType(typeOid, context);
  const category = categorize(oid, context);
  switch (category) {
    case 'bool': return value ? 'true' : 'false';
    case 'number': {
      const text = context.catalog.dataType(oid).output(value, context);
      return /^-?\d/.test(text) ? text : quoteJson(text);
    }
    case 'date': case 'timestamp': case 'timestamptz': return quoteJson(isoText(category, value, context));
    case 'json': return value as string;
    case 'jsonb': return printJsonbNode((value as Jsonb).value);
    case 'array': return arrayText(value as ArrayValue, context, false);
    case 'record': return recordToJsonText(value as RecordValue, context);
    default: return quoteJson(context.catalog.dataType(oid).output(value, context));
  }
}

export function datumToJsonb(value: Datum, typeOid: number, context: EvalContext): JsonbNode {
  if (value === null) return null;
  const oid = baseType(typeOid, context);
  const category = categorize(oid, context);
  switch (category) {
    case 'bool': return value as boolean;
    case 'number': {
      if (value instanceof Numeric) return value.isFinite ? value : value.toString();
      const text = context.catalog.dataType(oid).output(value, context);
      return Numeric.parse(text) ?? text;
    }
    case 'date': case 'timestamp': case 'timestamptz': return isoText(category, value, context);
    case 'json': return parseJsonb(value as string).value;
    case 'jsonb': return (value as Jsonb).value;
    case 'array': {
      const array = value as ArrayValue;
      if (array.elements.length === 0) return [];
      let next = 0;
      const level = (depth: number): JsonbNode => {
        const parts: JsonbNode[] = [];
        for (let i = 0; i < array.dimensions[depth]!; i++) parts.push(depth === array.dimensions.length - 1 ? datumToJsonb(array.elements[next++]!, array.elementType, context) : level(depth + 1));
        return parts;
      };
      return level(0);
    }
    case 'record': {
      const record = value as RecordValue;
      const columns = columnsOf(record, context);
      return makeJsonbObject(columns.map(({ name }) => name), columns.map(({ type }, i) => datumToJsonb(record.values[i]!, type, context)));
    }
    default: return context.catalog.dataType(oid).output(value, context);
  }
}

/** A datum as an object key: its text; containers and json are refused. */
export function jsonKeyText(value: Datum, typeOid: number, context: EvalContext): string {
  if (value === null) throw new DatabaseError('22023', 'null value not allowed for object key');
  const oid = baseType(typeOid, context);
  const category = categorize(oid, context);
  if (category === 'array' || category === 'record' || category === 'json' || category === 'jsonb') {
    throw new DatabaseError('22023', 'key value must be scalar, not array, composite, or json');
  }
  if (category === 'bool') return value ? 'true' : 'false';
  if (category === 'date' || category === 'timestamp' || category === 'timestamptz') return isoText(category, value, context);
  return context.catalog.dataType(oid).output(value, context);
}


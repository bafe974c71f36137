/**
 * Catalog rows as tuples in the engine: JSON, because they are few, self-describing and readable in a
 * dump, and because decoding them must not depend on the types that they themselves describe.
 *
 *     {"b": n, "v": [...]}   the n-th born row, changed; {"b": n} alone: deleted
 *     {"v": [...]}           a row of its own
 *
 * Values are in the form of the data files. anyarray (attmissingval, stavalues) is
 * {"e": element type, "x": [base64 of each element's row encoding]}; integers beyond 2^53 and
 * infinities are strings.
 */
import type { ArrayValue, Datum } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';
import { fromJson, type CatalogTableDef, type Row } from './born-rows.js';

export type TypeLookup = (oid: number) => DataType;

interface TupleJson { b?: number; v?: unknown[] }

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One datum by its type's row encoding. */
export function encodeDatum(type: DataType, value: Datum): Uint8Array {
  const codec = type.row;
  if (codec.width === 0) {
    const encoded = codec.encode(value as never);
    return typeof encoded === 'string' ? encoder.encode(encoded) : encoded;
  }
  const bytes = new Uint8Array(codec.width);
  codec.write(value as never, new DataView(bytes.buffer), 0);
  return bytes;
}

export function decodeDatum(type: DataType, bytes: Uint8Array): Datum {
  const codec = type.row;
  return codec.width === 0 ? codec.decode(bytes) : codec.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
}

function toJson(type: string, value: Datum, types: TypeLookup): unknown {
  if (value === null) return null;
  if (type === 'anyarray') {
    const array = value as ArrayValue;
    const element = types(array.elementType);
    return { e: array.elementType, x: array.elements.map((item) => (item === null ? null : Buffer.from(encodeDatum(element, item)).toString('base64'))) };
  }
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value === 'object' && 'elements' in value) return (value as ArrayValue).elements;
  return value;
}

function readJson(type: string, value: unknown, types: TypeLookup): Datum {
  if (type === 'anyarray' && value !== null && typeof value === 'object') {
    const { e, x } = value as { e: number; x: (string | null)[] };
    const element = types(e);
    const elements = x.map((item) => (item === null ? null : decodeDatum(element, new Uint8Array(Buffer.from(item, 'base64')))));
    return { elementType: e, dimensions: elements.length ? [elements.length] : [], lowerBounds: elements.length ? [1] : [], elements } satisfies ArrayValue;
  }
  if (typeof value === 'string') {
    if (type === 'int8') return int8FromBigInt(BigInt(value));
    if (type === 'timestamptz' || type.startsWith('float')) return Number(value);
  }
  return fromJson(type, value);
}

export function encodeTuple(def: CatalogTableDef, bornIndex: number | undefined, values: Row | null, types: TypeLookup): Uint8Array {
  const tuple: TupleJson = {};
  if (bornIndex !== undefined) tuple.b = bornIndex;
  if (values) tuple.v = values.map((value, i) => toJson(def.columns[i]!.type, value, types));
  return encoder.encode(JSON.stringify(tuple));
}

export function decodeTuple(def: CatalogTableDef, bytes: Uint8Array, types: TypeLookup): { bornIndex: number | undefined; values: Row | null } {
  const tuple = JSON.parse(decoder.decode(bytes)) as TupleJson;
  return { bornIndex: tuple.b, values: tuple.v ? def.columns.map((column, i) => readJson(column.type, tuple.v![i], types)) : null };
}

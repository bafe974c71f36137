/**
 * How values of a type stand in columns: exact integers and scaled decimals as numbers in typed
 * arrays, texts as codes into a dictionary. A type without a class has no columns: plans that
 * need it run on rows.
 */
import type { Catalog } from '../catalog/catalog.js';
import type { DataType } from '../types/data-type.js';
import { typmodPrecision, typmodScale } from '../types/numeric-type.js';

export type ColumnClass =
  /** int2, int4, date, oid (Int32Array or Float64Array for oid); int8 and timestamps while exact in a double (wide). */
  | { readonly kind: 'int'; readonly wide: boolean }
  /** int8 of which some are beyond 2^53, as 64-bit integers: kernels take them as datums. */
  | { readonly kind: 'big' }
  | { readonly kind: 'float' }
  /** numeric(p,s) with p <= 15: value * 10^scale, exact in a double. */
  | { readonly kind: 'decimal'; readonly scale: number }
  | { readonly kind: 'bool' }
  | { readonly kind: 'text' };

/** What a type alone says; `big` is found out by its values. */
export type DeclaredClass = Exclude<ColumnClass, { readonly kind: 'big' }>;

const NARROW = new Set([21, 23, 1082]);
const WIDE = new Set([20, 26, 1083, 1114, 1184]);
const FLOATS = new Set([700, 701]);
const TEXTS = new Set([25, 1043, 1042, 19, 18]);
const NUMERIC = 1700;
const BOOL = 16;
/** Decimal digits that a double holds exactly. */
const MAX_PRECISION = 15;

export function columnClass(typeOid: number, typmod: number): DeclaredClass | null {
  if (NARROW.has(typeOid)) return { kind: 'int', wide: false };
  if (WIDE.has(typeOid)) return { kind: 'int', wide: true };
  if (FLOATS.has(typeOid)) return { kind: 'float' };
  if (TEXTS.has(typeOid)) return { kind: 'text' };
  if (typeOid === BOOL) return { kind: 'bool' };
  if (typeOid === NUMERIC && typmod >= 4) {
    const scale = typmodScale(typmod);
    if (typmodPrecision(typmod) <= MAX_PRECISION && scale >= 0 && scale <= MAX_PRECISION) return { kind: 'decimal', scale };
  }
  return null;
}

export function isTextType(typeOid: number): boolean {
  return TEXTS.has(typeOid);
}

/** Whether equal values of the type always have one text form (so a dictionary may stand for them). */
export function textual(type: DataType, catalog: Catalog): boolean {
  return [...TEXTS].some((oid) => catalog.type(oid)?.typname === type.name);
}

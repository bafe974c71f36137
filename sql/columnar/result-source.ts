/** Results of an earlier kernel, groups or rows, as what the next one loops over. */
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { Source } from './source.js';
import type { ColumnTable, TableColumn } from './table.js';
import { anyValue, type Value } from './value.js';

/** Results as numbers: the first `count` of `data` count. Refs are numbers of the execution's texts. */
export interface NumberColumn extends Pick<Value, 'kind' | 'scale' | 'min' | 'max' | 'padded'> {
  readonly data: Float64Array | Int32Array | Uint8Array;
  readonly nulls: Uint8Array | null;
}

/** Results that are computed when a kernel asks for them. */
interface LazyColumn { readonly kind: 'lazy'; readonly datum: (group: number) => Datum }

/** Datums, as an earlier kernel left them. */
interface AnyColumn { readonly kind: 'datums'; readonly data: readonly Datum[] }

/** Texts by their places (interner.ts). */
export interface PlaceColumn { readonly kind: 'places'; readonly data: Int32Array; readonly nulls: Uint8Array | null; readonly padded?: boolean }

export type ResultColumn = (NumberColumn | LazyColumn | AnyColumn | PlaceColumn) & { readonly type: number };

export function lazyColumn(datum: (group: number) => Datum, type: number): ResultColumn {
  return { kind: 'lazy', datum, type };
}

export class ResultSource extends Source {
  constructor(private readonly columns: readonly ResultColumn[], count: number, interner: Interner) {
    super([{
      rows: count, skip: null,
      columns: columns.map((column) => ({ class: null, data: column.kind === 'lazy' ? [] : column.data, nulls: 'nulls' in column ? column.nulls : null, dictionary: null })),
    }], columns.map((column) => column.type), interner);
  }

  override bounds(column: number): { min: number; max: number } {
    const found = this.columns[column]!;
    return found.kind === 'lazy' || found.kind === 'datums' || found.kind === 'places' ? { min: -Infinity, max: Infinity } : { min: found.min, max: found.max };
  }

  protected override datumAt(column: number, row: number): Datum {
    return resultDatum(this.columns[column]!, row, this.interner);
  }

  override value(kernel: Kernel, column: number): Value {
    const found = this.columns[column]!;
    const key = `column${column}`;
    if (found.kind === 'lazy') {
      const read = kernel.outside(found.datum, 'f');
      return anyValue(kernel.once(key, 'v', () => `${read}(i)`), found.type);
    }
    if (found.kind === 'datums') {
      const data = kernel.viewArray('data', column);
      return anyValue(kernel.once(key, 'v', () => `${data}[i]`), found.type);
    }
    const nulls = found.nulls ? kernel.viewArray('nulls', column) : null;
    const data = kernel.viewArray('data', column);
    const isNull = nulls && kernel.once(`null${column}`, 'u', () => `${nulls}[i] === 1`);
    if (found.kind === 'places') {
      const { interner } = this;
      const place = kernel.once(key, 'v', () => `${data}[i]`);
      const number = (): string => kernel.once(`${place}:text`, 'r', () => `${isNull ? `${isNull} ? -1 : ` : ''}${kernel.outside(interner.idAt, 'f')}(${place})`);
      return {
        kind: 'ref', scale: 0, min: 0, max: Infinity, type: found.type, ...(found.padded ? { padded: true } : {}), isNull, place,
        get code() {
          return number();
        },
      };
    }
    const { kind, scale, min, max, padded, type } = found;
    return {
      kind, scale, min, max, type, ...(padded ? { padded } : {}),
      code: kernel.once(key, 'v', () => `${data}[i]`),
      isNull,
    };
  }
}

/** One result as a datum. */
export function resultDatum(found: ResultColumn, row: number, interner: Interner): Datum {
  if (found.kind === 'lazy') return found.datum(row);
  if (found.kind === 'datums') return found.data[row]!;
  const { data, nulls } = found;
  if (nulls && nulls[row] === 1) return null;
  const value = data[row]!;
  switch (found.kind) {
    case 'places': return interner.textAt(value);
    case 'ref': return interner.texts[value]!;
    case 'bool': return value === 1;
    case 'decimal': return Numeric.of(value + 0, found.scale);
    case 'float': return value;
    default: return value + 0;
  }
}

/** A table's columns, in the given order. */
export function tableSource(table: ColumnTable, positions: readonly number[], interner: Interner): Source {
  return new ResultSource(positions.map((position) => tableColumn(table.columns[position]!)), table.count, interner);
}

/** A table's column as results. */
export function tableColumn({ shape, data, places }: TableColumn): ResultColumn {
  if (shape.kind === 'any') return { kind: 'datums', data: data.data as Datum[], type: shape.type };
  if (places) return { kind: 'places', data: data.data as Int32Array, nulls: data.nulls, type: shape.type, ...(shape.padded ? { padded: true } : {}) };
  return { ...shape, data: data.data as Float64Array, nulls: data.nulls };
}

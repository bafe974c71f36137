/**
 * Results of several pipelines one after the other, as what one kernel loops over: a view for each. A column whose
 * values stand alike in all parts stays numbers; otherwise it is read as datums, when a kernel asks for one.
 */
import { characterLength } from '../types/utf8.js';
import type { Datum } from '../types/datum.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { ResultSource, resultDatum, type NumberColumn, type PlaceColumn, type ResultColumn } from './result-source.js';
import { Source } from './source.js';
import { anyValue, type Value } from './value.js';

/** A column in which every row is NULL. */
export interface NullColumn { readonly kind: 'null'; readonly type: number }

export interface ResultPart { readonly columns: readonly (ResultColumn | NullColumn)[]; readonly count: number }

type Numbers = NumberColumn & { readonly type: number };
type Places = PlaceColumn & { readonly type: number };

/** A column over all parts; `parts` has the data of each. */
type Merged =
  | { readonly form: 'numbers'; readonly like: Numbers; readonly min: number; readonly max: number; readonly padded: boolean; readonly parts: readonly (Numbers | NullColumn)[] }
  | { readonly form: 'places'; readonly like: Places; readonly padded: boolean; readonly parts: readonly (Places | NullColumn)[] }
  | { readonly form: 'datums'; readonly type: number; readonly datum: (position: number) => Datum };

export function unionSource(parts: readonly ResultPart[], types: readonly number[], interner: Interner): Source {
  const filled = parts.filter((part) => part.count > 0);
  if (filled.length === 0) return new ResultSource(types.map((type) => nulls(type, 0)), 0, interner);
  const [only] = filled as [ResultPart];
  if (filled.length === 1) return new ResultSource(only.columns.map((column) => (column.kind === 'null' ? nulls(column.type, only.count) : column)), only.count, interner);
  return new UnionSource(filled, types, interner);
}

function nulls(type: number, count: number): ResultColumn {
  return { kind: 'int', scale: 0, min: 0, max: 0, data: new Uint8Array(count), nulls: new Uint8Array(count).fill(1), type };
}

class UnionSource extends Source {
  private readonly merged: readonly Merged[];

  constructor(parts: readonly ResultPart[], types: readonly number[], interner: Interner) {
    const starts: number[] = [];
    parts.reduce((sum, part) => {
      starts.push(sum);
      return sum + part.count;
    }, 0);
    const merged = types.map((type, c) => mergedColumn(parts.map((part) => part.columns[c]!), parts.map((part) => part.count), starts, type, interner));
    super(parts.map((part, v) => ({
      rows: part.count, skip: null,
      columns: merged.map((column) => {
        const own = column.form === 'datums' ? null : column.parts[v]!;
        if (own === null) return { class: null, data: [], nulls: null, dictionary: null };
        if (own.kind === 'null') return { class: null, data: new Uint8Array(part.count), nulls: new Uint8Array(part.count).fill(1), dictionary: null };
        return { class: null, data: own.data, nulls: own.nulls, dictionary: null };
      }),
    })), types, interner);
    this.merged = merged;
  }

  override bounds(column: number): { min: number; max: number } {
    const found = this.merged[column]!;
    return found.form === 'numbers' ? { min: found.min, max: found.max } : { min: -Infinity, max: Infinity };
  }

  protected override datumAt(column: number, position: number): Datum {
    const found = this.merged[column]!;
    if (found.form === 'datums') return found.datum(position);
    let v = this.kernelViews.length - 1;
    while (this.kernelViews[v]!.base > position) v--;
    const own = found.parts[v]!;
    return own.kind === 'null' ? null : resultDatum(own, position - this.kernelViews[v]!.base, this.interner);
  }

  override value(kernel: Kernel, column: number): Value {
    const found = this.merged[column]!;
    const key = `column${column}`;
    if (found.form === 'datums') {
      const read = kernel.outside(found.datum, 'f');
      return anyValue(kernel.once(key, 'v', () => `${read}(${kernel.base()} + i)`), found.type);
    }
    const data = kernel.viewArray('data', column);
    const nullable = this.kernelViews.some((view) => view.nulls[column] !== null);
    const own = nullable ? kernel.viewArray('nulls', column) : null;
    const isNull = own && kernel.once(`null${column}`, 'u', () => `${own} !== null && ${own}[i] === 1`);
    const padded = found.padded ? { padded: true } : {};
    if (found.form === 'places') {
      const place = kernel.once(key, 'v', () => `${data}[i]`);
      const number = (): string => kernel.once(`${place}:text`, 'r', () => `${isNull ? `${isNull} ? -1 : ` : ''}${kernel.outside(this.interner.idAt, 'f')}(${place})`);
      return {
        kind: 'ref', scale: 0, min: 0, max: Infinity, type: found.like.type, ...padded, isNull, place,
        get code() {
          return number();
        },
      };
    }
    const { kind, scale, type } = found.like;
    return { kind, scale, min: found.min, max: found.max, type, ...padded, code: kernel.once(key, 'v', () => `${data}[i]`), isNull };
  }
}

function mergedColumn(parts: readonly (ResultColumn | NullColumn)[], counts: readonly number[], starts: readonly number[], type: number, interner: Interner): Merged {
  const present = parts.filter((part) => part.kind !== 'null');
  if (present.length > 0 && present.every((part) => part.kind === 'places' || part.kind === 'ref')) {
    const all = present as (Numbers | Places)[];
    const padded = type === BPCHAR && all.every((part) => part.padded === true) && sameLength(parts, counts, interner);
    if (all.every((part) => part.kind === 'places')) return { form: 'places', like: all[0] as Places, padded, parts: parts as readonly (Places | NullColumn)[] };
    const numbers = parts.map((part, v): Numbers | NullColumn => (part.kind === 'places' ? numbered(part, counts[v]!, interner) : part as Numbers | NullColumn));
    return { form: 'numbers', like: numbers.find((part) => part.kind !== 'null') as Numbers, ...range(numbers), padded, parts: numbers };
  }
  const plain = present.filter((part): part is Numbers => part.kind !== 'lazy' && part.kind !== 'datums' && part.kind !== 'places');
  const [first] = plain;
  if (first && plain.length === present.length && plain.every((part) => part.kind === first.kind && part.scale === first.scale)) {
    const numbers = parts as readonly (Numbers | NullColumn)[];
    return { form: 'numbers', like: first, ...range(numbers), padded: false, parts: numbers };
  }
  return {
    form: 'datums', type,
    datum: (position) => {
      let v = parts.length - 1;
      while (starts[v]! > position) v--;
      const part = parts[v]!;
      return part.kind === 'null' ? null : resultDatum(part, position - starts[v]!, interner);
    },
  };
}

const BPCHAR = 1042;

function range(parts: readonly (Numbers | NullColumn)[]): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (const part of parts) {
    if (part.kind === 'null') continue;
    if (part.min < min) min = part.min;
    if (part.max > max) max = part.max;
  }
  return { min, max };
}

/** The same texts by their numbers. */
function numbered({ data, nulls, type }: Places, count: number, interner: Interner): Numbers {
  const ids = new Int32Array(count);
  for (let row = 0; row < count; row++) ids[row] = nulls && nulls[row] === 1 ? 0 : interner.idAt(data[row]!);
  return { kind: 'ref', scale: 0, min: 0, max: Infinity, data: ids, nulls, type };
}

/** Whether padded texts of all parts have one length, so that equal ones have one number. Asked of numbers only: places may be too many. */
function sameLength(parts: readonly (ResultColumn | NullColumn)[], counts: readonly number[], interner: Interner): boolean {
  const seen = new Uint8Array(interner.texts.length);
  let length = -1;
  for (let v = 0; v < parts.length; v++) {
    const part = parts[v]!;
    if (part.kind === 'null') continue;
    if (part.kind !== 'ref') return false;
    for (let row = 0; row < counts[v]!; row++) {
      const id = part.data[row]!;
      if (part.nulls?.[row] === 1 || seen[id] === 1) continue;
      seen[id] = 1;
      const own = characterLength(interner.texts[id]!);
      if (length >= 0 && own !== length) return false;
      length = own;
    }
  }
  return true;
}

/** Results at these positions. */
export function pickResults(column: ResultColumn, positions: ArrayLike<number>): ResultColumn {
  const count = positions.length;
  if (column.kind === 'lazy') return { ...column, datum: (row) => column.datum(positions[row]!) };
  if (column.kind === 'datums') {
    const data = new Array<Datum>(count);
    for (let row = 0; row < count; row++) data[row] = column.data[positions[row]!]!;
    return { ...column, data };
  }
  const data = new (column.data.constructor as new (length: number) => Float64Array)(count);
  for (let row = 0; row < count; row++) data[row] = column.data[positions[row]!]!;
  let picked: Uint8Array | null = null;
  if (column.nulls) {
    picked = new Uint8Array(count);
    for (let row = 0; row < count; row++) picked[row] = column.nulls[positions[row]!]!;
  }
  return { ...column, data, nulls: picked } as ResultColumn;
}

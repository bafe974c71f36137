/**
 * Rows that kernels append to and later read by number: the inner side of a hash join, results.
 * Kernels hold the arrays in local variables and take them anew after `grow`.
 */
import type { Datum } from '../types/datum.js';
import type { ArrayLease } from './array-lease.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { NotColumnar } from './segment.js';
import { GrowableColumn, isNarrow } from './growable.js';
import { anyOf, type Value } from './value.js';

export interface TableColumn { readonly shape: Omit<Value, 'code' | 'isNull'>; readonly nullable: boolean; /** Texts by their places (interner.ts), not their numbers. */ readonly places: boolean; readonly data: GrowableColumn }

const FIRST_CAPACITY = 1024;
/** Most room made before there are rows. */
const MOST_CAPACITY = 1 << 20;

export class ColumnTable {
  count = 0;
  capacity: number;
  readonly columns: TableColumn[] = [];

  /** `expected` rows: an estimate, so that growing is the exception. */
  constructor(private readonly lease: ArrayLease, expected = FIRST_CAPACITY) {
    this.capacity = Math.max(FIRST_CAPACITY, Math.min(MOST_CAPACITY, Math.ceil(expected * 1.1)));
  }

  /** A column for values like this one; its position. */
  addColumn(value: Value): number {
    const { kind, scale, min, max, type, padded } = value;
    // A scale that differs from row to row has no column: such values are kept as datums.
    const boxed = value.shownScale !== undefined;
    const data = new GrowableColumn(this.lease, boxed ? 'any' : kind, value.isNull !== null, this.capacity, kind === 'int' || kind === 'decimal' ? isNarrow(min, max) : false, false);
    const places = value.place !== undefined;
    return this.columns.push({ places, shape: { kind: boxed ? 'any' : kind, scale, min, max, type, ...(padded ? { padded } : {}) }, nullable: value.isNull !== null, data }) - 1;
  }

  /** Room for twice as many rows. */
  readonly grow = (): void => {
    this.capacity *= 2;
    for (const column of this.columns) column.data.grow(this.capacity);
  };

  /** Keeps these rows, which are in ascending order. */
  keep(rows: ArrayLike<number>): void {
    for (const { data: { data, nulls } } of this.columns) {
      const cells = data as unknown[];
      for (let at = 0; at < rows.length; at++) cells[at] = cells[rows[at]!];
      if (nulls) for (let at = 0; at < rows.length; at++) nulls[at] = nulls[rows[at]!]!;
      if (Array.isArray(data)) data.length = rows.length;
    }
    this.count = rows.length;
  }

  /** Of the rows in it. */
  get bytes(): number {
    return this.columns.reduce((sum, { data: { data } }) => sum + this.count * ('BYTES_PER_ELEMENT' in data ? data.BYTES_PER_ELEMENT : 16), 0);
  }

  clear(): void {
    this.count = 0;
    for (const column of this.columns) if (column.data.kind === 'any') column.data.data = [];
  }
}

/** Writes the appending of a row to `table`; `values` by column, any values as datums. */
export function appendRow(kernel: Kernel, table: ColumnTable, values: readonly Pick<Value, 'code' | 'isNull' | 'place'>[]): void {
  const name = kernel.outside(table, 't');
  const count = kernel.name('n');
  const capacity = kernel.name('m');
  kernel.before(`let ${count} = ${name}.count, ${capacity} = ${name}.capacity;`);
  const arrays = table.columns.map((column, c) => {
    const data = kernel.name('a');
    kernel.before(`let ${data} = ${name}.columns[${c}].data.data;`);
    const nulls = column.data.nulls ? kernel.name('b') : null;
    if (nulls) kernel.before(`let ${nulls} = ${name}.columns[${c}].data.nulls;`);
    return { data, nulls };
  });
  const reload = arrays.map(({ data, nulls }, c) => `${data} = ${name}.columns[${c}].data.data;${nulls ? ` ${nulls} = ${name}.columns[${c}].data.nulls;` : ''}`).join(' ');
  kernel.line(`if (${count} === ${capacity}) { ${name}.grow(); ${capacity} = ${name}.capacity; ${reload} }`);
  values.forEach((value, c) => {
    const { data, nulls } = arrays[c]!;
    const { isNull } = value;
    const { places } = table.columns[c]!;
    if (places && value.place === undefined && isNull !== 'true') throw new NotColumnar();
    const code = places ? value.place ?? '0' : value.code;
    if (nulls && isNull) kernel.line(`if (${isNull}) { ${nulls}[${count}] = 1; ${data}[${count}] = 0; } else { ${nulls}[${count}] = 0; ${data}[${count}] = ${code}; }`);
    // A row may stand where one with NULL stood before.
    else kernel.line(`${nulls ? `${nulls}[${count}] = 0; ` : ''}${data}[${count}] = ${code};`);
  });
  kernel.line(`${count}++;`);
  kernel.after(`${name}.count = ${count};`);
}

/** The column's value in row `row` of a table that no longer grows; `missing` is a test for a row that is not there. */
export function readTable(kernel: Kernel, table: ColumnTable, column: number, row: string, missing: string | null, interner: Interner): Value {
  const { shape, data, places } = table.columns[column]!;
  const array = kernel.outside(data.data, 'a');
  const none = shape.kind === 'any' ? 'null' : shape.kind === 'ref' ? '-1' : '0';
  const read = kernel.once(`${array}[${row}]${missing ?? ''}`, 'v', () => (missing ? `${missing} ? ${none} : ${array}[${row}]` : `${array}[${row}]`));
  if (shape.kind === 'any') return { ...shape, code: read, isNull: `${read} === null` };
  const isNull = anyOf(missing, data.nulls ? `${kernel.outside(data.nulls, 'b')}[${row}] === 1` : null);
  if (places) {
    const number = (): string => kernel.once(`${read}:text`, 'r', () => `${isNull ? `${isNull} ? -1 : ` : ''}${kernel.outside(interner.idAt, 'f')}(${read})`);
    return {
      ...shape, isNull, place: read,
      get code() {
        return number();
      },
    };
  }
  return { ...shape, code: read, isNull };
}

/** Some rows of a column as datums. */
export function pickDatums(column: TableColumn, rows: ArrayLike<number>, convert: (value: number) => Datum): Datum[] {
  const { data, nulls } = column.data;
  const out = new Array<Datum>(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    out[i] = column.shape.kind === 'any' ? (data as Datum[])[row]! : nulls && nulls[row] === 1 ? null : convert((data as Float64Array)[row]!);
  }
  return out;
}

/** The columns as datums. */
export function datumsOf(column: TableColumn, from: number, to: number, convert: (value: number) => Datum): Datum[] {
  const { data, nulls } = column.data;
  const out = new Array<Datum>(to - from);
  if (column.shape.kind === 'any') {
    for (let i = from; i < to; i++) out[i - from] = (data as Datum[])[i]!;
    return out;
  }
  const numbers = data as Float64Array;
  for (let i = from; i < to; i++) out[i - from] = nulls && nulls[i] === 1 ? null : convert(numbers[i]!);
  return out;
}

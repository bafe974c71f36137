/** Groups of an aggregation as what the next kernel loops over. */
import type { Datum } from '../types/datum.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { Source } from './source.js';
import { anyValue, type Value } from './value.js';

/** Results as numbers: the first `count` of `data` count. Refs are numbers of the execution's texts. */
export interface NumberColumn extends Pick<Value, 'kind' | 'scale' | 'min' | 'max' | 'padded'> {
  readonly data: Float64Array | Int32Array | Uint8Array;
  readonly nulls: Uint8Array | null;
}

/** Results that are computed when a kernel asks for them. */
interface LazyColumn { readonly kind: 'lazy'; readonly datum: (group: number) => Datum }

type GroupColumn = (NumberColumn | LazyColumn) & { readonly type: number };

export function lazyColumn(datum: (group: number) => Datum, type: number): GroupColumn {
  return { kind: 'lazy', datum, type };
}

export class GroupSource extends Source {
  constructor(private readonly columns: readonly GroupColumn[], count: number, interner: Interner) {
    super([{
      rows: count, skip: null,
      columns: columns.map((column) => ({ class: null, data: column.kind === 'lazy' ? [] : column.data, nulls: column.kind === 'lazy' ? null : column.nulls, dictionary: null })),
    }], columns.map((column) => column.type), interner);
  }

  override value(kernel: Kernel, column: number): Value {
    const found = this.columns[column]!;
    const key = `column${column}`;
    if (found.kind === 'lazy') {
      const read = kernel.outside(found.datum, 'f');
      return anyValue(kernel.once(key, 'v', () => `${read}(i)`), found.type);
    }
    const { kind, scale, min, max, padded, type } = found;
    const nulls = found.nulls ? kernel.viewArray('nulls', column) : null;
    const data = kernel.viewArray('data', column);
    return {
      kind, scale, min, max, type, ...(padded ? { padded } : {}),
      code: kernel.once(key, 'v', () => `${data}[i]`),
      isNull: nulls && kernel.once(`null${column}`, 'u', () => `${nulls}[i] === 1`),
    };
  }
}

/** Comparing rows by sort keys. */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';

export interface Ordering { readonly type: number; readonly descending: boolean; readonly nullsFirst: boolean }
export type CompareDatums = (a: Datum, b: Datum) => number;

/** Compares two datums of one type as its default btree operator class does, NULLs included. */
export function compareBy({ type, descending, nullsFirst }: Ordering, catalog: Catalog): CompareDatums {
  const dataType = catalog.dataType(type);
  if (!dataType.compare) throw new DatabaseError('42883', `could not identify an ordering operator for type ${dataType.name}`);
  const compare = dataType.compare.bind(dataType) as CompareDatums;
  const nullSign = nullsFirst ? -1 : 1;
  const sign = descending ? -1 : 1;
  return (a, b) => {
    if (a === null) return b === null ? 0 : nullSign;
    if (b === null) return -nullSign;
    return sign * compare(a, b);
  };
}

/** What an index USING learned may be, and its options. */
import type { IndexStmt } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { LEARNED_AM, LEARNED_TYPES } from '../catalog/own-rows.js';
import type { Catalog, Index } from '../catalog/catalog.js';

/** By how many keys the model may be off: the search after it is among twice as many. */
const DEFAULT_EPSILON = 16;
const MIN_EPSILON = 2;
const MAX_EPSILON = 65536;

export function isLearned(index: Pick<Index, 'accessMethod'>): boolean {
  return index.accessMethod === LEARNED_AM;
}

/** Raises 0A000 for what one model over one column cannot be. */
export function checkLearnedShape(statement: Pick<IndexStmt, 'indexParams' | 'indexIncludingParams'>): void {
  const cannot = (what: string): DatabaseError => new DatabaseError('0A000', `access method "learned" does not support ${what}`);
  if ((statement.indexParams?.length ?? 0) > 1) throw cannot('multicolumn indexes');
  if (statement.indexIncludingParams?.length) throw cannot('included columns');
}

export function checkLearnedOrdering(element: { ordering?: string; nulls_ordering?: string }): void {
  if (element.ordering && element.ordering !== 'SORTBY_DEFAULT') throw new DatabaseError('0A000', 'access method "learned" does not support ASC/DESC options');
  if (element.nulls_ordering && element.nulls_ordering !== 'SORTBY_NULLS_DEFAULT') throw new DatabaseError('0A000', 'access method "learned" does not support NULLS FIRST/LAST options');
}

/** `name`: the type as it is shown. */
export function checkLearnedType(catalog: Catalog, type: number, name: string): void {
  if (LEARNED_TYPES.has(baseType(catalog, type))) return;
  const notLearned = notSupported(`an index using learned on type ${name}`);
  throw new DatabaseError('0A000', notLearned.message, { hint: 'A learned index takes one column of type smallint, integer, bigint, oid, date, timestamp, timestamp with time zone or double precision.' });
}

export function baseType(catalog: Catalog, type: number): number {
  const found = catalog.type(type);
  return found?.typtype === 'd' ? baseType(catalog, found.typbasetype) : type;
}

/** `options`: as reloptions has them. Raises 22023. */
export function checkLearnedOptions(options: readonly string[]): void {
  for (const option of options) {
    const at = option.indexOf('=');
    const name = option.slice(0, at);
    const text = option.slice(at + 1);
    if (name !== 'epsilon') throw new DatabaseError('22023', `unrecognized parameter "${name}"`);
    if (!/^[+-]?\d+$/.test(text.trim())) throw new DatabaseError('22023', `invalid value for integer option "epsilon": ${text}`);
    const value = Number(text);
    if (value < MIN_EPSILON || value > MAX_EPSILON) {
      throw new DatabaseError('22023', `value ${text} out of bounds for option "epsilon"`, { detail: `Valid values are between "${MIN_EPSILON}" and "${MAX_EPSILON}".` });
    }
  }
}

/** The error bound of an index. */
export function epsilonOf(index: Index): number {
  const option = index.options.find((text) => text.startsWith('epsilon='));
  return option ? Number(option.slice('epsilon='.length)) : DEFAULT_EPSILON;
}

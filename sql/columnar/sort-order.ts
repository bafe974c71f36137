/**
 * The order of a table's rows by some of its columns. Keys that are integers of known ranges go, as many as fit, into one
 * double with the row's number, which the runtime sorts natively; rows that are equal in these are then sorted by the others, and what
 * is no such integer is compared row by row.
 */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { slicedNumbers, slicedOrder } from '../executor/sliced-sort.js';
import type { CompareDatums } from '../executor/compare.js';
import type { SortKey } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import type { Interner } from './interner.js';
import type { TableColumn } from './table.js';

export interface OrderKey { readonly key: SortKey; readonly column: TableColumn; readonly compare: CompareDatums; readonly convert: (value: number) => Datum }

/** An integer per row whose order is the key's; NULL included. */
interface Ranks { readonly ranks: Float64Array; readonly span: number }

const PACKED = Number.MAX_SAFE_INTEGER;

/** Rows of one run that are sorted by comparing them. */
const FEW_ROWS = 32;

/** Row numbers 0..count-1 in order; equal rows keep theirs. */
export function* orderOf(keys: readonly OrderKey[], count: number, interner: Interner, state: ExecState): Generator<Pending, Int32Array> {
  const ranked = keys.map((key) => ranksOf(key, count, interner));
  const compares = keys.map((key, k) => {
    const own = ranked[k];
    if (own) return (a: number, b: number): number => own.ranks[a]! - own.ranks[b]!;
    return compareCells(key, count);
  });
  const rows = new Int32Array(count);
  for (let row = 0; row < count; row++) rows[row] = row;
  return yield* orderRows(rows, 0, { ranked, compares, state });
}

interface Sorting { readonly ranked: readonly (Ranks | null)[]; readonly compares: readonly ((a: number, b: number) => number)[]; readonly state: ExecState }

/** The rows, which stand in their own order, by the keys from `first` on: by as many as fit in one number, then each run of equal ones by the others. */
function* orderRows(rows: Int32Array, first: number, sorting: Sorting): Generator<Pending, Int32Array> {
  const { ranked, compares, state } = sorting;
  const count = rows.length;
  let next = first;
  let spans = Math.max(count, 1);
  while (next < ranked.length && ranked[next] !== null && spans * ranked[next]!.span <= PACKED) spans *= ranked[next++]!.span;
  if (next === first) {
    if (first === ranked.length) return rows;
    const order = yield* slicedOrder(count, (a, b) => compareFrom(compares, first, rows[a]!, rows[b]!) || a - b, state);
    return order.map((at) => rows[at]!);
  }
  const sorted = yield* slicedNumbers(packed(rows, ranked.slice(first, next) as Ranks[]), state);
  const order = new Int32Array(count);
  for (let at = 0; at < count; at++) order[at] = rows[sorted[at]! % count]!;
  if (next === ranked.length) return order;
  let start = 0;
  for (let at = 1; at <= count; at++) {
    if (at < count && Math.floor(sorted[at]! / count) === Math.floor(sorted[start]! / count)) continue;
    if (at - start > FEW_ROWS) order.set(yield* orderRows(order.slice(start, at), next, sorting), start);
    else if (at - start > 1) sortFew(order, start, at, compares, next);
    start = at;
    if (state.shouldYield()) yield TIME_SLICE;
  }
  return order;
}

/** Per row the keys' ranks and its place among the rows in one number. */
function packed(rows: Int32Array, keys: readonly Ranks[]): Float64Array {
  const count = rows.length;
  const out = new Float64Array(count);
  for (const { ranks, span } of keys) for (let at = 0; at < count; at++) out[at] = out[at]! * span + ranks[rows[at]!]!;
  for (let at = 0; at < count; at++) out[at] = out[at]! * count + at;
  return out;
}

function compareFrom(compares: Sorting['compares'], first: number, a: number, b: number): number {
  for (let k = first; k < compares.length; k++) {
    const difference = compares[k]!(a, b);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** By insertion, equal ones as they stand. */
function sortFew(order: Int32Array, start: number, end: number, compares: Sorting['compares'], first: number): void {
  for (let at = start + 1; at < end; at++) {
    const row = order[at]!;
    let to = at;
    while (to > start && compareFrom(compares, first, order[to - 1]!, row) > 0) {
      order[to] = order[to - 1]!;
      to--;
    }
    order[to] = row;
  }
}

function ranksOf({ key, column, compare, convert }: OrderKey, count: number, interner: Interner): Ranks | null {
  const { shape, data: { data, nulls }, places } = column;
  if (shape.kind === 'ref' ? places : shape.kind !== 'int' && shape.kind !== 'decimal' && shape.kind !== 'bool') return null;
  const numbers = data as Float64Array;
  const byText = shape.kind === 'ref' ? textRanks(numbers, nulls, count, compare, convert, interner) : null;
  let min = Infinity;
  let max = -Infinity;
  for (let row = 0; row < count; row++) {
    if (nulls && nulls[row] === 1) continue;
    const value = byText ? byText[numbers[row]!]! : numbers[row]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (min > max) [min, max] = [0, 0];
  if (!(max - min < PACKED)) return null;
  const span = max - min + (nulls ? 2 : 1);
  const ranks = new Float64Array(count);
  const low = nulls && key.nullsFirst ? 1 : 0;
  const whenNull = key.nullsFirst ? 0 : span - 1;
  // The comparison of texts knows of the direction already.
  const downwards = key.descending && !byText;
  for (let row = 0; row < count; row++) {
    if (nulls && nulls[row] === 1) ranks[row] = whenNull;
    else {
      const value = byText ? byText[numbers[row]!]! : numbers[row]!;
      ranks[row] = (downwards ? max - value : value - min) + low;
    }
  }
  return { ranks, span };
}

/** Place of each text among those of the column, by the text's number. */
function textRanks(ids: Float64Array | Int32Array, nulls: Uint8Array | null, count: number, compare: CompareDatums, convert: (value: number) => Datum, interner: Interner): Int32Array {
  const ranks = new Int32Array(interner.texts.length);
  const present: number[] = [];
  for (let row = 0; row < count; row++) {
    const id = ids[row]!;
    if ((nulls && nulls[row] === 1) || ranks[id] === 1) continue;
    ranks[id] = 1;
    present.push(id);
  }
  const texts = new Map(present.map((id) => [id, convert(id)]));
  present.sort((a, b) => compare(texts.get(a)!, texts.get(b)!));
  let rank = 0;
  present.forEach((id, n) => {
    // Texts that differ may be equal (char(n)).
    if (n > 0 && compare(texts.get(present[n - 1]!)!, texts.get(id)!) !== 0) rank++;
    ranks[id] = rank;
  });
  return ranks;
}

/** A comparison of datums, made of all cells at once. */
function compareCells({ column, compare, convert }: OrderKey, count: number): (a: number, b: number) => number {
  const { shape, data: { data, nulls } } = column;
  const cells: Datum[] = new Array<Datum>(count);
  for (let row = 0; row < count; row++) cells[row] = shape.kind === 'any' ? (data as Datum[])[row]! : nulls && nulls[row] === 1 ? null : convert((data as Float64Array)[row]!);
  return (a, b) => compare(cells[a]!, cells[b]!);
}

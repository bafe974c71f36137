/**
 * The order of a table's rows by some of its columns. Keys that are integers of known ranges go into one double
 * with the row's number, which the runtime sorts natively; others are compared row by row.
 */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from '../executor/exec-state.js';
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

/** Row numbers 0..count-1 in order; equal rows keep theirs. */
export function* orderOf(keys: readonly OrderKey[], count: number, interner: Interner, state: ExecState): Generator<Pending, Int32Array | Float64Array> {
  const ranked = keys.map((key) => ranksOf(key, count, interner));
  const spans = ranked.reduce((product, one) => product * (one?.span ?? Infinity), Math.max(count, 1));
  if (spans <= PACKED) return yield* packedOrder(ranked as Ranks[], count, state);
  const compares = keys.map((key, k) => {
    const own = ranked[k];
    if (own) return (a: number, b: number): number => own.ranks[a]! - own.ranks[b]!;
    return compareCells(key, count);
  });
  return yield* slicedOrder(count, (a, b) => {
    for (const compare of compares) {
      const difference = compare(a, b);
      if (difference !== 0) return difference;
    }
    return a - b;
  }, state);
}

function* packedOrder(keys: readonly Ranks[], count: number, state: ExecState): Generator<Pending, Float64Array> {
  const packed = new Float64Array(count);
  for (const { ranks, span } of keys) for (let row = 0; row < count; row++) packed[row] = packed[row]! * span + ranks[row]!;
  for (let row = 0; row < count; row++) packed[row] = packed[row]! * count + row;
  const order = yield* slicedNumbers(packed, state);
  for (let row = 0; row < count; row++) order[row] = order[row]! % count;
  return order;
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

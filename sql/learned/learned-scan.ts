/**
 * Index scans by what was learned: positions of keys and ends of ranges from the model, row ids from the array. Keys that
 * changed since are looked up in the tree. Rows come in no particular order: such an index promises none.
 */
import type { Generation } from '../../engine/learned/learned-store.js';
import { compareKeys, type KeyValue } from '../../engine/learned/key-class.js';
import type { Pending } from '../../engine/pending.js';
import { indexAccess, type IndexAccess, type IndexCondition as KeyCondition } from '../access/index-access.js';
import { MAX_BATCH_ROWS } from '../executor/batch.js';
import type { ExecState } from '../executor/exec-state.js';
import { rowCompilerOf } from '../executor/row-compiler.js';
import type { Datum } from '../types/datum.js';
import { keyConverter, learnedOptions, type LearnedAccess } from './learned-access.js';
import { TreeEntries } from './tree-entries.js';

/** With more changed keys in a range than this, and than unchanged ones, the tree reads all of it. */
const MAX_CHANGED = 1024;

export class LearnedScan {
  private readonly bounds: IndexAccess;
  private readonly tree: TreeEntries;
  private readonly convert: (value: Datum) => KeyValue;

  constructor(private readonly access: LearnedAccess, state: ExecState) {
    const { catalog, context } = state;
    this.bounds = indexAccess(access.index, catalog, rowCompilerOf(catalog, context));
    this.tree = new TreeEntries(access.index, learnedOptions(access.index, catalog).class, state);
    this.convert = keyConverter(access.index, catalog);
  }

  /** Row ids of all conditions' entries, some at a time, in arrays that may be reused. */
  *rowIds(conditions: readonly KeyCondition[]): Generator<Pending | readonly number[], void> {
    const { access, convert, tree } = this;
    let found: number[] = [];
    for (const condition of conditions) {
      access.lookups++;
      const generation = access.current();
      const [equal] = condition.equal;
      if (!generation || equal === null || (equal === undefined && !condition.lower && !condition.upper)) {
        yield* tree.range(this.bounds.range(condition).range);
      } else if (equal === undefined) {
        yield* this.range(generation, condition);
      } else {
        const value = convert(equal);
        if (generation.changed.values.has(value)) yield* tree.key(value, found);
        else {
          access.hits++;
          const { entries } = generation;
          const at = entries.find(value);
          if (at >= 0) for (let row = entries.firstRow(at), end = entries.firstRow(at + 1); row < end; row++) found.push(entries.rows[row]!);
        }
        if (found.length < MAX_BATCH_ROWS) continue;
        yield found;
        found = [];
      }
    }
    if (found.length > 0) yield found;
  }

  /** What is said of the range now holds for the snapshot whatever commits while rows are read. */
  private *range({ entries, changed }: Generation, condition: KeyCondition): Generator<Pending | readonly number[], void> {
    const { access, convert, tree } = this;
    const lower = condition.lower && convert(condition.lower.value);
    const upper = condition.upper && convert(condition.upper.value);
    const from = lower === undefined ? 0 : condition.lower!.inclusive ? entries.lowerBound(lower) : entries.upperBound(lower);
    const to = upper === undefined ? entries.keys.length : condition.upper!.inclusive ? entries.upperBound(upper) : entries.lowerBound(upper);
    const apart = changed.within(lower, upper);
    if (apart.length > MAX_CHANGED && apart.length > to - from) {
      yield* tree.range(this.bounds.range(condition).range);
      return;
    }
    access.hits++;
    if (apart.length === 0) {
      yield* chunks(entries.rows, from < to ? entries.firstRow(from) : 0, from < to ? entries.firstRow(to) : 0);
      return;
    }
    // Between two changed keys all stands as it was.
    let at = from;
    for (const value of apart) {
      const place = Math.min(to, Math.max(at, entries.lowerBound(value)));
      if (at < place) yield* chunks(entries.rows, entries.firstRow(at), entries.firstRow(place));
      at = Math.max(at, Math.min(to, entries.upperBound(value)));
    }
    if (at < to) yield* chunks(entries.rows, entries.firstRow(at), entries.firstRow(to));
    const found: number[] = [];
    for (const value of apart) {
      // The bounds themselves, where they are left out.
      if ((lower !== undefined && !condition.lower!.inclusive && compareKeys(value, lower) === 0) || (upper !== undefined && !condition.upper!.inclusive && compareKeys(value, upper) === 0)) continue;
      yield* tree.key(value, found);
      if (found.length < MAX_BATCH_ROWS) continue;
      yield found;
      found.length = 0;
    }
    if (found.length > 0) yield found;
  }
}

function* chunks(rows: Uint32Array | Float64Array, from: number, to: number): Generator<readonly number[], void> {
  for (let at = from; at < to; at += MAX_BATCH_ROWS) yield Array.from(rows.subarray(at, Math.min(to, at + MAX_BATCH_ROWS)));
}

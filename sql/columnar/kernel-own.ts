/**
 * What each thread has for itself while it runs a kernel: made from a description, handed back as arrays, and taken over by
 * the statement. One thread's things become the statement's as they are; rows of several are put in the order of the source.
 */
import type { Pending } from '../../engine/pending.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { ArrayLease } from './array-lease.js';
import { GroupTable, PairSet, WidePairSet } from './group-table.js';
import { GrowableColumn } from './growable.js';
import type { ColumnArrays, Numbers, OwnResult, OwnSpec, TopSpec } from './kernel-protocol.js';
import { ColumnTable } from './table.js';

interface Yielding { shouldYield(): boolean }

/** A thread's own thing: `value` is what the kernel gets. */
export interface OwnThing {
  readonly value: unknown;
  readonly bytes: number;
  /** After some rows. */
  settle?(): void;
  /** A morsel is done. */
  passed?(morsel: number): void;
  result(): OwnResult;
}

/** `before`: the task's own things so far. */
export function makeOwn(spec: OwnSpec, lease: ArrayLease, before: readonly OwnThing[]): OwnThing {
  switch (spec.kind) {
    case 'groups': return ownGroups(spec, lease);
    case 'rows': return ownRows(spec, lease, spec.top && (before[spec.top.cell]!.value as Float64Array));
    case 'never': return { value: () => false, bytes: 0, result: () => ({ kind: 'never' }) };
    case 'cells': {
      const array = spec.of === 'int32' ? lease.int32(spec.length) : lease.float64(spec.length);
      if (spec.initial !== 0) array.fill(spec.initial);
      return { value: array, bytes: 0, result: () => ({ kind: 'cells', array }) };
    }
    case 'pairs': {
      const pairs = spec.wide ? new WidePairSet(lease) : new PairSet(lease);
      return {
        value: pairs.add, result: () => ({ kind: 'pairs', ...pairs.state }),
        get bytes() {
          return pairs.bytes;
        },
      };
    }
  }
}

function arraysOf({ data, nulls }: GrowableColumn): ColumnArrays {
  return { data: data as Numbers, nulls };
}

function ownGroups({ columns, capacity, count }: Extract<OwnSpec, { kind: 'groups' }>, lease: ArrayLease): OwnThing {
  const table = new GroupTable(lease);
  for (const { kind, narrow } of columns) table.addColumn(kind, narrow);
  for (let group = 0; group < count; group++) table.add(0, group);
  table.reserve(capacity);
  return {
    value: table,
    get bytes() {
      return table.bytes;
    },
    result: () => ({ kind: 'groups', count: table.count, capacity: table.capacity, mask: table.mask, slots: table.slots, hashes: table.hashes.data, columns: table.columns.map(arraysOf) }),
  };
}

/** The statement's table, empty so far, becomes what a thread filled. */
export function adoptGroups(table: GroupTable, { count, capacity, mask, slots, hashes, columns }: Extract<OwnResult, { kind: 'groups' }>): void {
  table.count = count;
  table.capacity = capacity;
  table.mask = mask;
  table.slots = slots;
  table.hashes.data = hashes;
  columns.forEach(({ data, nulls }, c) => {
    table.columns[c]!.data = data as Float64Array;
    table.columns[c]!.nulls = nulls;
  });
}

function ownRows({ columns, capacity, top }: Extract<OwnSpec, { kind: 'rows' }>, lease: ArrayLease, cell: Float64Array | null): OwnThing {
  const table = new ColumnTable(lease, capacity);
  for (const { kind, narrow, nullable } of columns) {
    table.columns.push({ places: false, nullable, shape: { kind, scale: 0, min: 0, max: 0, type: 0 }, data: new GrowableColumn(lease, kind, nullable, table.capacity, narrow, false) });
  }
  const runs: number[] = [];
  let passed = 0;
  let limit = top ? top.bound * 2 + SPARE_ROWS : Infinity;
  return {
    value: table,
    settle() {
      if (!top || table.count < limit) return;
      keepTop(table, top, cell!);
      limit = Math.max(limit, table.count * 2);
    },
    passed(morsel) {
      // Of the best rows the order is that of their keys.
      if (top) return;
      if (table.count > passed) runs.push(morsel, passed, table.count);
      passed = table.count;
    },
    get bytes() {
      return table.bytes;
    },
    result: () => ({ kind: 'rows', count: table.count, columns: table.columns.map(({ data }) => arraysOf(data)), runs }),
  };
}

/** Rows kept beyond the bound before the worst of them are dropped. */
const SPARE_ROWS = 1024;

/** Drops the rows whose first key is beyond the worst that is needed, and tells the kernel of that one. */
function keepTop(table: ColumnTable, { bound, column, descending, nullsFirst }: TopSpec, cell: Float64Array): void {
  const { data: found, nulls } = table.columns[column]!.data;
  const data = found as Float64Array;
  const keys = new Float64Array(table.count);
  let known = 0;
  for (let row = 0; row < table.count; row++) if (!nulls || nulls[row] === 0) keys[known++] = data[row]!;
  const needed = nullsFirst ? bound - (table.count - known) : bound;
  if (needed > known) return;
  const sorted = keys.subarray(0, known).sort();
  const worst = needed <= 0 ? (descending ? Infinity : -Infinity) : descending ? sorted[known - needed]! : sorted[needed - 1]!;
  const kept: number[] = [];
  for (let row = 0; row < table.count; row++) {
    if (nulls && nulls[row] === 1 ? nullsFirst : descending ? data[row]! >= worst : data[row]! <= worst) kept.push(row);
  }
  table.keep(kept);
  if (needed > 0) cell[0] = worst;
}

/** The statement's table, empty so far, gets the threads' rows in the order of their morsels. */
export function* adoptRows(table: ColumnTable, results: readonly Extract<OwnResult, { kind: 'rows' }>[], state: Yielding): Generator<Pending, void> {
  const filled = results.filter(({ count }) => count > 0);
  if (filled.length === 0) return;
  table.count = filled.reduce((sum, { count }) => sum + count, 0);
  if (filled.length === 1) {
    const [{ columns }] = filled as [(typeof filled)[number]];
    table.capacity = columns.reduce((least, { data }) => Math.min(least, data.length), Infinity);
    if (columns.length === 0) table.capacity = table.count;
    columns.forEach(({ data, nulls }, c) => {
      table.columns[c]!.data.data = data as Float64Array;
      table.columns[c]!.data.nulls = nulls;
    });
    return;
  }
  const runs = filled.flatMap(({ runs: own, columns, count }) => (own.length === 0 ? [{ morsel: 0, from: 0, to: count, columns }] : Array.from({ length: own.length / 3 }, (_, n) => ({ morsel: own[n * 3]!, from: own[n * 3 + 1]!, to: own[n * 3 + 2]!, columns }))));
  runs.sort((a, b) => a.morsel - b.morsel);
  table.capacity = table.count;
  for (const [c, { data: column }] of table.columns.entries()) {
    column.empty(table.capacity);
    const data = column.data as Float64Array;
    const { nulls } = column;
    let at = 0;
    for (const { from, to, columns } of runs) {
      const own = columns[c]!;
      data.set((own.data as Float64Array).subarray(from, to), at);
      if (nulls) nulls.set(own.nulls!.subarray(from, to), at);
      at += to - from;
      if (state.shouldYield()) yield TIME_SLICE;
    }
  }
}

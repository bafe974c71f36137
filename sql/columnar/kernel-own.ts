/**
 * What each thread has for itself while it runs a kernel: made from a description, handed back as arrays, and taken over by
 * the statement. One thread's things become the statement's as they are; rows of several are put in the order of the source.
 */
import type { ArrayLease } from './array-lease.js';
import { GroupTable, PairSet, WidePairSet } from './group-table.js';
import { GrowableColumn } from './growable.js';
import type { ColumnArrays, Numbers, OwnResult, OwnSpec } from './kernel-protocol.js';
import { ColumnTable } from './table.js';

/** A thread's own thing: `value` is what the kernel gets. */
export interface OwnThing {
  readonly value: unknown;
  readonly bytes: number;
  /** A morsel is done. */
  passed(morsel: number): void;
  result(): OwnResult;
}

export function makeOwn(spec: OwnSpec, lease: ArrayLease): OwnThing {
  switch (spec.kind) {
    case 'groups': return ownGroups(spec, lease);
    case 'rows': return ownRows(spec, lease);
    case 'cells': {
      const array = spec.of === 'int32' ? lease.int32(spec.length) : lease.float64(spec.length);
      return { value: array, bytes: 0, passed: nothing, result: () => ({ kind: 'cells', array }) };
    }
    case 'pairs': {
      const pairs = spec.wide ? new WidePairSet(lease) : new PairSet(lease);
      return {
        value: pairs.add, passed: nothing, result: () => ({ kind: 'pairs', ...pairs.state }),
        get bytes() {
          return pairs.bytes;
        },
      };
    }
  }
}

function nothing(): void {
  // Only rows have an order.
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
    value: table, passed: nothing,
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

function ownRows({ columns, capacity }: Extract<OwnSpec, { kind: 'rows' }>, lease: ArrayLease): OwnThing {
  const table = new ColumnTable(lease, capacity);
  for (const { kind, narrow, nullable } of columns) {
    table.columns.push({ places: false, nullable, shape: { kind, scale: 0, min: 0, max: 0, type: 0 }, data: new GrowableColumn(lease, kind, nullable, table.capacity, narrow, false) });
  }
  const runs: number[] = [];
  let passed = 0;
  return {
    value: table,
    passed(morsel) {
      if (table.count > passed) runs.push(morsel, passed, table.count);
      passed = table.count;
    },
    get bytes() {
      return table.bytes;
    },
    result: () => ({ kind: 'rows', count: table.count, columns: table.columns.map(({ data }) => arraysOf(data)), runs }),
  };
}

/** The statement's table, empty so far, gets the threads' rows in the order of their morsels. */
export function adoptRows(table: ColumnTable, results: readonly Extract<OwnResult, { kind: 'rows' }>[]): void {
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
  const runs = filled.flatMap(({ runs: own, columns }) => Array.from({ length: own.length / 3 }, (_, n) => ({ morsel: own[n * 3]!, from: own[n * 3 + 1]!, to: own[n * 3 + 2]!, columns })));
  runs.sort((a, b) => a.morsel - b.morsel);
  table.capacity = table.count;
  table.columns.forEach(({ data: column }, c) => {
    column.empty(table.capacity);
    const data = column.data as Float64Array;
    const { nulls } = column;
    let at = 0;
    for (const { from, to, columns } of runs) {
      const own = columns[c]!;
      data.set((own.data as Float64Array).subarray(from, to), at);
      if (nulls) nulls.set(own.nulls!.subarray(from, to), at);
      at += to - from;
    }
  });
}

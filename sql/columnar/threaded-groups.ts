/**
 * Groups that several threads make: the first thread's table becomes the statement's, the groups of the others go into it by
 * a kernel that reads them like rows. Where there are many groups for each row that would cost as much as the rows themselves, and one thread makes all.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { KernelAggregate } from './aggregates.js';
import type { GroupTable } from './group-table.js';
import { adoptGroups } from './kernel-own.js';
import type { OwnResult } from './kernel-protocol.js';
import { Kernel, NO_VIEW } from './kernel.js';
import { Lowering } from './lower-expression.js';
import type { PipelineRun } from './pipeline-run.js';
import { Source } from './source.js';
import type { Own, ThreadedSink } from './thread-run.js';
import type { Value } from './value.js';

/** Source of another thread's number in a column of the group table. */
type Part = (column: number) => string;

interface GroupsOfThreads {
  readonly table: GroupTable;
  readonly aggregates: readonly KernelAggregate[];
  readonly run: PipelineRun;
  /** Groups that are expected. */
  readonly fewGroups: number;
  /** Where groups are found by their number alone. */
  readonly slots: { get(): Int32Array; set(slots: Int32Array): void } | null;
  /** Writes the merging of a group. */
  merge(kernel: Kernel, lowering: Lowering, part: Part): void;
  /** A grouping expression's value in another thread's table. */
  groupValue(expr: Expr, part: Part): Value;
}

/** Estimated groups beyond which one thread makes all of them. */
const MOST_MERGED = 16384;
const SLICE_GROUPS = 1024;

type GroupsResult = Extract<OwnResult, { kind: 'groups' }>;

export function threadedGroups(groups: GroupsOfThreads): ThreadedSink {
  const { table, aggregates, slots, fewGroups } = groups;
  const pairs = aggregates.flatMap((aggregate) => aggregate.pairs ?? []);
  const own: Own[] = [
    { value: table, spec: { kind: 'groups', count: table.count, capacity: table.reserved, columns: table.columns.map(({ kind, narrow }) => ({ kind, narrow })) } },
    ...(slots ? [{ value: slots.get(), spec: { kind: 'cells', of: 'int32', length: slots.get().length, initial: 0 } } satisfies Own] : []),
    ...pairs.map(({ value, wide }): Own => ({ value, spec: { kind: 'pairs', wide } })),
  ];
  return {
    own,
    many: fewGroups <= MOST_MERGED && aggregates.every(({ merge }) => merge !== undefined),
    *combine(results) {
      const [first, ...others] = results;
      if (!first) return;
      adoptGroups(table, first[0] as GroupsResult);
      let at = 1;
      if (slots) slots.set((first[at++] as Extract<OwnResult, { kind: 'cells' }>).array as Int32Array);
      for (const one of pairs) one.adopt(first[at++] as Extract<OwnResult, { kind: 'pairs' }>);
      for (const other of others) yield* mergeGroups(groups, other[0] as GroupsResult);
    },
  };
}

function* mergeGroups({ run, merge, groupValue }: GroupsOfThreads, { columns, count }: GroupsResult): Generator<Pending, void> {
  const { state, interner, constants, members } = run;
  const kernel = new Kernel();
  const part: Part = (column) => `${kernel.outside(columns[column]!.data, 'a')}[i]`;
  const lowering = new Lowering({ kernel, state, interner, source: new Source([], [], interner), constants, members, maxRows: Infinity }, (expr) => groupValue(expr, part));
  kernel.block('for (let i = from; i < to; i++)', () => merge(kernel, lowering, part));
  const compiled = kernel.compile(NO_VIEW);
  for (let from = 0; from < count; from += SLICE_GROUPS) {
    compiled(kernel.values, NO_VIEW, from, Math.min(count, from + SLICE_GROUPS));
    if (state.shouldYield()) yield TIME_SLICE;
  }
}

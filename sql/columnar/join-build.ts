/** What a join needs before it can be probed: the inner side as a table, and sometimes the outer side first. */
import type { Pending } from '../../engine/pending.js';
import { besideKeys, isPlainNumber, joinsByNumber } from './join-keys.js';
import { JoinTable } from './join-table.js';
import { kernelMemory } from './kernel-memory.js';
import { keyFilter, type KeyFilter } from './key-filter.js';
import { emitPart, type KeyPart } from './key-parts.js';
import { addToSet, fitsSet, keySet } from './key-set.js';
import type { Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { NotColumnar, TooMuch } from './segment.js';
import type { JoinStage, Stage } from './stage.js';
import { appendRow, ColumnTable } from './table.js';
import { threadedInPlace, threadedRows } from './threaded-rows.js';
import { numbered } from './value.js';

/** Runs a stage in a pipeline of its own. */
export type Execute = (stage: Stage, sink: Sink, filters: readonly KeyFilter[]) => Generator<Pending, void>;

/** Rows computed ahead, and where each of the stage's columns stands. */
export interface ComputedRows { readonly table: ColumnTable; readonly positions: ReadonlyMap<number, number> }

/** The outer side as rows, and what its keys say about the inner side. Null when it takes too much memory. */
export function* computeOuter(stage: JoinStage, run: PipelineRun, execute: Execute): Generator<Pending, { outer: ComputedRows; filters: KeyFilter[] } | null> {
  const { outer, node } = stage;
  const table = new ColumnTable(run.arrays, node.outer.cost.rows);
  const wanted = [...outer.needed];
  const memory = kernelMemory(run.state);
  const sink: Sink = {
    emit(kernel, lowering) {
      const columns = wanted.map((index) => lowering.value(outer.layout.output[index]!));
      if (table.columns.length === 0) columns.forEach((value) => table.addColumn(value));
      appendRow(kernel, table, columns.map((value, c) => (table.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)));
    },
    threaded: () => threadedRows(table, run.state),
    drain() {
      if (table.bytes > memory) throw new TooMuch(sink);
    },
  };
  try {
    yield* execute(outer, sink, []);
  } catch (error) {
    if (!(error instanceof TooMuch) || error.sink !== sink) throw error;
    return null;
  }
  const filters: KeyFilter[] = [];
  for (const key of node.keys) {
    const position = wanted.indexOf(outer.layout.indexOf(key.outer));
    const made = position < 0 ? null : yield* keyFilter(key.inner, table.columns[position]!, table.count, run);
    if (made) filters.push(made);
  }
  return { outer: { table, positions: new Map(wanted.map((index, position) => [index, position])) }, filters };
}

/** The inner side: its rows by key, or only its keys where that is all the join asks. Null when it takes more than `memory`. */
export function* buildInner(stage: JoinStage, filters: readonly KeyFilter[], run: PipelineRun, execute: Execute, part: KeyPart, memory: number): Generator<Pending, JoinTable | null> {
  const table = new JoinTable(run.arrays, stage.node.inner.cost.rows);
  const wanted = [...stage.inner.needed];
  let ready = false;
  const { joinType } = stage.node;
  const partial = joinType === 'semi' || joinType === 'anti';
  const condition = partial ? besideKeys(stage, run.state.catalog) : null;
  const presence = partial && (stage.node.joinQuals.length === 0 || condition !== null);
  const sink: Sink = {
    emit(kernel, lowering) {
      const plain = stage.node.keys.map((key) => lowering.value(key.inner));
      const boxed = plain.map((value, k) => (ready ? table.keys[k]!.boxed : !joinsByNumber(value) || !run.isKey(value)));
      const keys = plain.map((value, k) => (boxed[k]! ? run.boxedKey(value, lowering, kernel) : numbered(value)));
      emitPart(kernel, keys, part);
      const fresh = !ready;
      if (presence && (fresh || table.set)) {
        const beside = condition && lowering.value(condition.inner);
        const fits = !boxed.includes(true) && (beside === null || isPlainNumber(beside));
        if (fresh && fits) table.set = keySet(keys, lowering.sourceRows, beside, run.arrays);
        if (table.set) {
          ready = true;
          if (!fits || !fitsSet(table.set, keys, beside)) throw new NotColumnar();
          if (fresh) keys.forEach((key, k) => table.addKey(key, boxed[k]!));
          addToSet(kernel, table.set, keys, beside);
          return;
        }
      }
      const columns = wanted.map((index) => lowering.value(stage.inner.layout.output[index]!));
      ready = true;
      if (fresh) {
        wanted.forEach((index, c) => table.columns.set(index, table.rows.addColumn(columns[c]!)));
        keys.forEach((key, k) => table.addKey(key, boxed[k]!));
      }
      appendRow(kernel, table.rows, [
        ...columns.map((value, c) => (table.rows.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)),
        ...keys,
      ]);
    },
    threaded: () => (table.set ? threadedInPlace(table.set.least === null) : threadedRows(table.rows, run.state)),
    drain() {
      if (table.rows.bytes > memory) throw new TooMuch(sink);
    },
  };
  try {
    yield* execute(stage.inner, sink, filters);
  } catch (error) {
    if (!(error instanceof TooMuch) || error.sink !== sink) throw error;
    return null;
  }
  if (!table.set) yield* table.finish(run, stage.node.outer.cost.rows);
  if (stage.node.joinType === 'right' || stage.node.joinType === 'full') table.matched = run.arrays.uint8(table.rows.count);
  return table;
}

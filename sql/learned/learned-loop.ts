/**
 * Nested loops whose inner side looks up one key in an index USING learned: the keys of a whole batch of outer rows are found
 * together, their rows fetched together, and pairs made of vectors. The order of the outer rows stays.
 *
 *     outer batch -> keys -> positions (model), row ids of changed keys (tree)
 *                 -> chunks of at most 1,024 pairs: inner rows -> inner filter -> join quals -> output
 */
import type { KeyValue } from '../../engine/learned/key-class.js';
import type { Expr } from '../analyzer/query-tree.js';
import { contains, mapChildren } from '../analyzer/tree-walk.js';
import type { Index } from '../catalog/catalog.js';
import { MAX_BATCH_ROWS, type Batch, type Vector } from '../executor/batch.js';
import type { Open, PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { compile } from '../executor/expressions/compile.js';
import { Frame, type Scalar } from '../executor/expressions/frame.js';
import { mayWait } from '../executor/expressions/waiting.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { passes, type CompiledJoin } from '../executor/operators/join-common.js';
import { pull, type Run } from '../executor/operators/operator.js';
import { ScanOutput } from '../executor/operators/scan-output.js';
import { countRemoved } from '../executor/operators/seq-scan.js';
import { compileFilter, type RowFilter } from '../executor/row-filter.js';
import { anyVector, readVector, rowAt } from '../executor/vectors.js';
import type { IndexScanNode, NestLoopNode, ParamBinding } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { givesColumn, keyConverter, LearnedAccess, learnedOptions } from './learned-access.js';
import { isLearned } from './learned-options.js';
import { gatherTyped } from './pair-vectors.js';
import { RowFetch } from './row-fetch.js';
import { TreeEntries } from './tree-entries.js';

interface LearnedLoop {
  readonly node: NestLoopNode;
  readonly inner: IndexScanNode;
  readonly join: CompiledJoin;
  readonly outer: Open;
  /** The key that an outer row asks for. */
  readonly key: Scalar;
  /** Its column, where it is one. */
  readonly keyColumn: number;
  readonly filter: RowFilter | null;
}

/** null: the loop runs the inner side once for each row. */
export function compileLearnedLoop(node: NestLoopNode, join: CompiledJoin, outer: Open, compiler: PlanCompiler): ((state: ExecState) => Run) | null {
  const { inner } = node;
  if (inner.kind !== 'IndexScan' || inner.conditions.length !== 1) return null;
  const index = compiler.catalog.index(inner.index);
  const [condition] = inner.conditions;
  if (!index || !isLearned(index) || condition!.strategy !== '=' || !condition!.value || node.params.length === 0) return null;
  const ofLoop = (expr: Expr): boolean => expr.kind === 'Param' && expr.paramKind === 'exec' && node.params.some((param) => param.id === expr.id);
  if (inner.filter.some((qual) => contains(qual, ofLoop)) || inner.output.some((expr) => expr.kind !== 'Var')) return null;
  const scope = compiler.scope(node.outer.output);
  const keyExpr = bound(condition!.value, node.params);
  if (mayWait(keyExpr, scope) || contains(keyExpr, (expr) => expr.kind === 'SubLink')) return null;
  const loop: LearnedLoop = {
    node, inner, join, outer, key: compile(keyExpr, scope), keyColumn: node.outer.output.findIndex((column) => column === keyExpr),
    filter: compileFilter(inner.filter, compiler.scope(inner.output)),
  };
  return (state) => new LoopRun(loop, index, state).run();
}

/** The expression with the values that the loop binds to parameters in their place. */
function bound(expr: Expr, params: readonly ParamBinding[]): Expr {
  if (expr.kind === 'Param' && expr.paramKind === 'exec') {
    const binding = params.find((param) => param.id === expr.id);
    if (binding) return binding.expr;
  }
  return mapChildren(expr, (child) => bound(child, params));
}

class LoopRun {
  private readonly access: LearnedAccess;
  private readonly tree: TreeEntries;
  private readonly output: ScanOutput;
  private readonly fetch: RowFetch;
  private readonly convert: (value: Datum) => KeyValue;
  private readonly frame: Frame;
  private readonly keyFrame: Frame;
  /** Inner columns are the key itself, or none at all. */
  private readonly keyOnly: boolean;
  private readonly stopAtFirst: boolean;
  private readonly emitsUnmatched: boolean;
  // Of one outer batch.
  private readonly values = new Float64Array(MAX_BATCH_ROWS);
  private readonly skip = new Uint8Array(MAX_BATCH_ROWS);
  private readonly found = new Int32Array(MAX_BATCH_ROWS);
  /** 1: the tree must be asked. */
  private readonly ask = new Uint8Array(MAX_BATCH_ROWS);
  private readonly matched = new Uint8Array(MAX_BATCH_ROWS);
  private beyond: Map<number, bigint> | null = null;
  // Pairs of one chunk: position of the outer row in the batch, inner row id.
  private readonly pairOuter = new Int32Array(MAX_BATCH_ROWS);
  private rowIds: number[] = [];

  constructor(private readonly loop: LearnedLoop, index: Index, private readonly state: ExecState) {
    const { node, inner } = loop;
    const { catalog } = state;
    const relation = catalog.relation(inner.relation)!;
    this.access = new LearnedAccess(index, state);
    this.tree = new TreeEntries(index, learnedOptions(index, catalog).class, state);
    this.output = new ScanOutput(relation, inner.output);
    this.fetch = new RowFetch(relation, this.output.attnums, state);
    this.convert = keyConverter(index, catalog);
    this.frame = new Frame(state);
    this.keyFrame = new Frame(state);
    this.stopAtFirst = node.joinType === 'semi' || node.joinType === 'anti' || node.innerUnique;
    this.emitsUnmatched = node.joinType === 'left' || node.joinType === 'anti';
    const key = index.keyColumns[0]!.attnum;
    this.keyOnly = this.output.attnums.every((attnum) => attnum === key && key > 0 && givesColumn(index, catalog));
  }

  *run(): Run {
    const { loop, state } = this;
    const input = loop.outer(state);
    let first = true;
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        // Sources may give more than a batch at once.
        for (let from = 0; from < batch.length; from += MAX_BATCH_ROWS) {
          if (first) {
            first = false;
            if (!this.access.current()) yield* this.access.await(loop.node.outer.cost.rows);
          }
          yield* this.batch(batch, from, Math.min(MAX_BATCH_ROWS, batch.length - from));
        }
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      this.access.report(loop.inner);
      input.close();
    }
  }

  /** Rows from..from + count of an outer batch. */
  private *batch(batch: Batch, from: number, count: number): Run {
    const { access, values, skip, found, matched } = this;
    const figures = this.state.instrument?.(this.loop.inner);
    const begun = figures ? this.state.context.runtime.clock.monotonicMs() : 0;
    this.readKeys(batch, from, count);
    const generation = access.current();
    if (generation) generation.entries.findMany(values, this.beyond, skip, count, found);
    // What the model says holds for the snapshot from here on, whatever commits while rows are read.
    const { ask } = this;
    const changed = generation?.changed.values;
    for (let i = 0; i < count; i++) ask[i] = !changed || (changed.size > 0 && skip[i] === 0 && changed.has(this.keyOf(i))) ? 1 : 0;
    matched.fill(0, 0, count);
    if (figures) {
      figures.loops += count;
      figures.totalMs += this.state.context.runtime.clock.monotonicMs() - begun;
    }
    let pairs = 0;
    let done = 0;
    this.rowIds = [];
    const scratch: number[] = [];
    for (let i = 0; i < count; i++) {
      if (skip[i] !== 0) continue;
      access.lookups++;
      if (!generation || ask[i] !== 0) {
        scratch.length = 0;
        yield* this.tree.key(this.keyOf(i), scratch);
        for (let n = 0; n < scratch.length; n++) {
          this.pairOuter[pairs] = i;
          this.rowIds.push(scratch[n]!);
          if (++pairs === MAX_BATCH_ROWS) {
            const last = n === scratch.length - 1;
            yield* this.pairs(batch, from, pairs, done, last ? i + 1 : i);
            done = last ? i + 1 : i;
            pairs = 0;
          }
          if (this.enough(i)) break;
        }
        continue;
      }
      access.hits++;
      const at = found[i]!;
      if (at < 0) continue;
      const { entries } = generation;
      const end = entries.firstRow(at + 1);
      for (let row = entries.firstRow(at); row < end; row++) {
        this.pairOuter[pairs] = i;
        this.rowIds.push(entries.rows[row]!);
        if (++pairs === MAX_BATCH_ROWS) {
          const last = row === end - 1;
          yield* this.pairs(batch, from, pairs, done, last ? i + 1 : i);
          done = last ? i + 1 : i;
          pairs = 0;
        }
        if (this.enough(i)) break;
      }
    }
    yield* this.pairs(batch, from, pairs, done, count);
  }

  /** No further inner row of outer row `i` is wanted. */
  private enough(i: number): boolean {
    if (!this.stopAtFirst) return false;
    if (this.matched[i] !== 0) return true;
    // Its first entry is a match when nothing tests the pair.
    return this.loop.filter === null && this.loop.node.joinQuals.length === 0;
  }

  private keyOf(i: number): KeyValue {
    return this.beyond?.get(i) ?? this.values[i]!;
  }

  private readKeys(batch: Batch, from: number, count: number): void {
    const { values, skip, convert, keyFrame } = this;
    const { key, keyColumn } = this.loop;
    const vector = keyColumn < 0 ? null : batch.columns[keyColumn]!;
    keyFrame.batch(batch);
    this.beyond = null;
    for (let i = 0; i < count; i++) {
      const row = rowAt(batch, from + i);
      let value: Datum;
      if (vector) value = readVector(vector, row);
      else {
        keyFrame.row = row;
        value = key(keyFrame);
      }
      skip[i] = value === null ? 1 : 0;
      if (value === null) continue;
      const converted = convert(value);
      if (typeof converted === 'bigint') (this.beyond ??= new Map()).set(i, converted);
      else values[i] = converted;
    }
  }

  /** Emits what `pairs` pairs, and the outer rows done..until, whose pairs are over with these, come to. */
  private *pairs(batch: Batch, from: number, pairs: number, done: number, until: number): Run {
    const { loop, state, pairOuter, matched, frame, emitsUnmatched } = this;
    const { node, join } = loop;
    const rowIds = this.rowIds;
    this.rowIds = [];
    const figures = state.instrument?.(loop.inner);
    const begun = figures ? state.context.runtime.clock.monotonicMs() : 0;
    let inner: readonly Vector[] = [];
    let kept: Batch | null = null;
    if (pairs > 0) {
      const read = this.keyOnly ? this.keyVectors(batch, from, pairs) : yield* this.fetch.fetch(rowIds, pairs);
      inner = this.output.vectors(read, pairs);
      kept = { columns: inner as Vector[], length: pairs, selection: null };
      if (loop.filter) {
        kept = yield* loop.filter.apply(kept, state);
        if (figures) countRemoved(state, loop.inner, pairs - (kept?.length ?? 0));
      }
    }
    if (figures) {
      figures.rows += kept?.length ?? 0;
      figures.totalMs += state.context.runtime.clock.monotonicMs() - begun;
    }
    const outOuter = new Int32Array(pairs + (emitsUnmatched ? until - done : 0));
    const outInner = new Int32Array(outOuter.length);
    let out = 0;
    let next = done;
    const unmatchedTo = (end: number): void => {
      for (; next < end; next++) {
        if (matched[next] !== 0) continue;
        outOuter[out] = rowAt(batch, from + next);
        outInner[out++] = -1;
      }
    };
    frame.outerColumns = batch.columns;
    frame.columns = inner;
    const length = kept?.length ?? 0;
    const tested = node.joinQuals.length > 0;
    for (let n = 0; n < length; n++) {
      const pair = kept!.selection ? kept!.selection[n]! : n;
      const i = pairOuter[pair]!;
      if (this.stopAtFirst && matched[i] !== 0) continue;
      const row = rowAt(batch, from + i);
      if (tested) {
        frame.outerRow = row;
        frame.row = pair;
        if (!(yield* passes(join.test, frame))) continue;
      }
      if (emitsUnmatched) unmatchedTo(Math.min(i, until));
      matched[i] = 1;
      if (node.joinType === 'anti') continue;
      outOuter[out] = row;
      outInner[out++] = pair;
    }
    if (emitsUnmatched) unmatchedTo(until);
    if (out === 0) return;
    const columns = batch.columns.map((vector) => gatherTyped(vector, outOuter, out));
    if (!join.outerOnly) for (const vector of inner.length > 0 ? inner : this.output.vectors(this.output.attnums.map(() => anyVector([])), 0)) columns.push(gatherTyped(vector, outInner, out));
    const result: Batch = { columns, length: out, selection: null };
    const passed = join.filter ? yield* join.filter.apply(result, state) : result;
    if (state.instrument && join.filter) countRemoved(state, node, out - (passed?.length ?? 0));
    if (passed) yield passed;
    if (state.shouldYield()) yield TIME_SLICE;
  }

  /** The key column of inner rows, from what was asked for. */
  private keyVectors(batch: Batch, from: number, pairs: number): Vector[] {
    const { attnums } = this.output;
    if (attnums.length === 0) return [];
    const { key, keyColumn } = this.loop;
    const vector = keyColumn < 0 ? null : batch.columns[keyColumn]!;
    const data = new Array<Datum>(pairs);
    this.keyFrame.batch(batch);
    for (let n = 0; n < pairs; n++) {
      const row = rowAt(batch, from + this.pairOuter[n]!);
      if (vector) data[n] = readVector(vector, row);
      else {
        this.keyFrame.row = row;
        data[n] = key(this.keyFrame);
      }
    }
    return [anyVector(data)];
  }
}

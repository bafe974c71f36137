/**
 * Runs a stage tree: inner sides of joins first, each by a pipeline of its own, then one kernel (kernel-writer.ts) over the source
 * at the bottom left, here in slices or on threads (thread-run.ts).
 */
import type { Pending } from '../../engine/pending.js';
import { sliceMs } from '../../engine/turns.js';
import type { Expr } from '../analyzer/query-tree.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { pull } from '../executor/operators/operator.js';
import { MAX_ROWS_IN_MEMORY } from '../executor/operators/sort.js';
import { readVector, rowAt } from '../executor/vectors.js';
import type { Datum } from '../types/datum.js';
import { columnClass } from './column-class.js';
import { computeOuter, type ComputedRows, type Execute } from './join-build.js';
import { JoinParts } from './join-parts.js';
import type { JoinTable } from './join-table.js';
import { joinFilter, keyFilter, originOf, worthFiltering, worthFilteringGroups, type KeyFilter } from './key-filter.js';
import { NO_VIEW, type Kernel, type KernelView } from './kernel.js';
import { expectedMs, noteKernelSpeed, RunSpeed } from './kernel-costs.js';
import { KernelWriter, type Tail } from './kernel-writer.js';
import type { Lowering } from './lower-expression.js';
import type { PipelineRun } from './pipeline-run.js';
import { columnStore } from './relation-columns.js';
import { NotColumnar } from './segment.js';
import { Source, TextsToLift } from './source.js';
import { isBottomStage, type BottomStage, type JoinStage, type Stage } from './stage.js';
import { tableSource } from './result-source.js';
import { plannedThreads, runOnThreads, type ThreadedSink } from './thread-run.js';

/** Takes the rows of a pipeline. `emit` writes into the kernel what happens with a row; it may be called for several kernels. */
export interface Sink {
  emit(kernel: Kernel, lowering: Lowering): void;
  /** After each slice of the source: may give rows out. */
  drain?(): void | Generator<Pending, void>;
  /** Once a kernel is written: how other threads can run it. Absent or null where they cannot. */
  threaded?(): ThreadedSink | null;
}

interface PipelineOptions {
  /** The top stage's figures are measured by whoever reads its rows. */
  readonly ownFigures?: boolean;
  /** Over the top stage's rows: those they leave out may be left out anywhere below. */
  readonly filters?: readonly KeyFilter[];
}

const FIRST_SLICE = 1024;
const LAST_SLICE = 16384;
const LEAST_SLICE = 64;
/** Asking so often makes sure that the clock is read. */
const CHECKS_PER_SLICE = 4;

/** One view of what a kernel loops over. */
interface Stretch { readonly view: KernelView; readonly first: number; readonly rows: number }


export class Pipeline {
  private readonly tables = new Map<JoinStage, JoinTable>();
  private readonly counters = new Map<Stage, Float64Array>();
  /** Join filters to be tested on the source's rows, and on the rows of the top stage. */
  private below: readonly KeyFilter[] = [];
  private above: readonly KeyFilter[] = [];
  private readonly tails: Tail[] = [];

  /** Outer sides of joins that were computed before their inner sides. */
  private readonly computed = new Map<Stage, ComputedRows>();
  private readonly isBottom = (stage: Stage): boolean => isBottomStage(stage) || this.computed.has(stage);

  private readonly nestedIn = (run: PipelineRun): Execute => (stage, sink, filters) => new Pipeline(run, stage, sink, { filters }).execute();
  private readonly parts: JoinParts;

  constructor(private readonly run: PipelineRun, private readonly stage: Stage, private readonly sink: Sink, private readonly options: PipelineOptions = {}) {
    this.parts = new JoinParts(run, stage, this.nestedIn);
  }

  /** Runs to the end. Throws NotColumnar, before the sink has had any row, when the data do not fit. */
  *execute(): Generator<Pending, void> {
    yield* this.prepare(this.stage);
    const start = this.now();
    const { filters = [] } = this.options;
    const bottom = this.bottom();
    const origins = filters.map((filter) => ({ filter, origin: originOf(this.stage, filter.expr, this.isBottom) }));
    const below = [...origins.flatMap(({ filter, origin }) => (origin ? [{ filter, index: origin.index }] : [])), ...(yield* this.groupFilters(bottom))];
    const source = yield* this.source(bottom, below);
    const atSource = bottom.kind === 'agg' && !this.computed.has(bottom) ? [] : below.map(({ filter, index }) => ({ ...filter, expr: bottom.layout.output[index]! }));
    this.above = origins.flatMap(({ filter, origin }) => (origin ? [] : [filter]));
    for (let more = true; more; ) {
      this.below = [...atSource, ...(yield* this.joinFilters(bottom, source))].sort((a, b) => a.density - b.density);
      yield* this.pass(source, bottom);
      const next = yield* this.parts.next();
      if (next) this.tables.set(next.stage, next.table);
      more = next !== null;
    }
    this.report(this.now() - start);
  }

  /** The whole source through one kernel. */
  private *pass(source: Source, bottom: Stage): Generator<Pending, void> {
    const { run, sink, stage, tables, computed, parts, below, above, counters, tails } = this;
    const writer = new KernelWriter({ run, stage, sink, source, tables, computed, parts, below, above, counters, tails });
    const kernel = yield* this.written(writer);
    const stretches = source.kernelViews.map((view, v): Stretch => ({ view, first: source.views[v]!.first ?? 0, rows: source.views[v]!.rows }));
    // What threads fill takes the place of what is there: not of an earlier part's.
    const threaded = parts.active ? null : (sink.threaded?.() ?? null);
    const planned = threaded === null ? 0 : plannedThreads(run, expectedMs(kernel, stretches, this.joinedRows()), threaded.many);
    if (threaded === null || planned === 0 || !(yield* runOnThreads({ run, kernel, source, sink, threaded, planned, counters: counters.values(), node: bottom.node }))) yield* this.loop(kernel, stretches);
    // Tails may have tails of their own: those of joins above, met by rows that a tail sends up.
    for (let tail = tails.shift(); tail; tail = tails.shift()) yield* this.loop(writer.writeTail(tail), [{ view: NO_VIEW, first: 0, rows: tail.table.rows.count }]);
  }

  /** Estimated rows that the joins above the source make. */
  private joinedRows(): number {
    let rows = 0;
    for (let at = this.stage; !this.isBottom(at); at = at.kind === 'join' ? at.outer : (at as Exclude<Stage, BottomStage | JoinStage>).child) if (at.kind === 'join') rows += at.node.cost.rows;
    return rows;
  }

  // ---- figures for EXPLAIN ANALYZE

  private now(): number {
    return this.run.state.instrument ? this.run.state.context.runtime.clock.monotonicMs() : 0;
  }

  private report(elapsedMs: number): void {
    const { instrument } = this.run.state;
    if (!instrument) return;
    for (const [stage, counter] of this.counters) {
      if (stage === this.stage && this.options.ownFigures) continue;
      const figures = instrument(stage.node);
      figures.loops++;
      figures.rows += counter[0]!;
      figures.totalMs += elapsedMs;
    }
  }

  private *loop(kernel: Kernel, stretches: readonly Stretch[]): Generator<Pending, void> {
    const { state, arrays } = this.run;
    const { clock } = state.context.runtime;
    arrays.settle();
    let slice = FIRST_SLICE;
    for (const { view, first, rows } of stretches) {
      const run = kernel.compile(view);
      const speed = new RunSpeed();
      let to = first;
      for (let from = first; from < rows; from = to) {
        to = Math.min(rows, from + slice);
        const began = clock.monotonicMs();
        run(kernel.values, view, from, to);
        const elapsed = clock.monotonicMs() - began;
        speed.passed(to - from, elapsed);
        // Rows that call functions take microseconds each: sessions wait for the end of a slice.
        const most = sliceMs();
        if (elapsed > most && slice > LEAST_SLICE) slice /= 2;
        else if (elapsed < most / 2 && slice < LAST_SLICE) slice *= 2;
        const draining = this.sink.drain?.();
        if (draining) yield* draining;
        for (let n = 0; n < CHECKS_PER_SLICE; n++) {
          if (!state.shouldYield()) continue;
          yield TIME_SLICE;
          break;
        }
      }
      noteKernelSpeed(kernel.source(view), speed);
    }
  }

  /** The kernel; what takes long to compute ahead of it takes turns. */
  private *written(writer: KernelWriter): Generator<Pending, Kernel> {
    for (;;) {
      try {
        return writer.write();
      } catch (error) {
        if (!(error instanceof TextsToLift)) throw error;
        yield* error.compute(this.run.state);
      }
    }
  }

  // ---- inputs

  /** Builds the inner sides and evaluates constants, from the bottom up. */
  private *prepare(stage: Stage): Generator<Pending, void> {
    const { run } = this;
    switch (stage.kind) {
      case 'scan': case 'agg':
        yield* run.evaluateConstants(stage.node.filter, [stage.layout]);
        return;
      case 'rows':
        return;
      case 'made':
        yield* run.evaluateConstants(stage.filter, [stage.layout]);
        return;
      case 'project':
        yield* this.prepare(stage.child);
        yield* run.evaluateConstants(stage.node.output, [stage.child.layout]);
        return;
      case 'filter':
        yield* this.prepare(stage.child);
        yield* run.evaluateConstants(stage.node.quals, [stage.child.layout]);
        return;
      case 'rename':
        yield* this.prepare(stage.child);
        yield* run.evaluateConstants(stage.node.filter, [stage.layout]);
        return;
      case 'join': {
        const { node } = stage;
        yield* run.evaluateConstants([...node.keys.flatMap((key) => [key.outer, key.inner]), ...node.joinQuals, ...node.filter], [stage.outer.layout, stage.inner.layout]);
        if (worthFiltering(stage)) {
          const computed = yield* computeOuter(stage, run, this.nestedIn(run));
          if (computed) {
            this.computed.set(stage.outer, computed.outer);
            this.tables.set(stage, yield* this.parts.build(stage, computed.filters));
            return;
          }
        }
        this.tables.set(stage, yield* this.parts.build(stage, []));
        yield* this.prepare(stage.outer);
        return;
      }
    }
  }

  /** What the joins above an aggregation say about its groups. */
  private *groupFilters(bottom: Stage): Generator<Pending, { filter: KeyFilter; index: number }[]> {
    const made: { filter: KeyFilter; index: number }[] = [];
    for (let at = this.stage; !this.isBottom(at); at = at.kind === 'join' ? at.outer : (at as Exclude<Stage, BottomStage | JoinStage>).child) {
      if (at.kind !== 'join' || this.parts.isDivided(at)) continue;
      const { rows, keys, set } = this.tables.get(at)!;
      if (set || !worthFilteringGroups(at, rows.count, bottom)) continue;
      for (const [k, key] of at.node.keys.entries()) {
        const origin = keys[k]!.boxed ? null : originOf(at.outer, key.outer, this.isBottom);
        const filter = origin && (yield* keyFilter(bottom.layout.output[origin.index]!, rows.columns[keys[k]!.column]!, rows.count, this.run));
        if (filter) made.push({ filter, index: origin.index });
      }
    }
    return made;
  }

  private bottom(): Stage {
    let at = this.stage;
    while (!this.isBottom(at)) at = at.kind === 'join' ? at.outer : (at as Exclude<Stage, BottomStage | JoinStage>).child;
    return at;
  }

  private *source(stage: Stage, filters: readonly { readonly index: number; readonly filter: KeyFilter }[]): Generator<Pending, Source> {
    const { run } = this;
    const computed = this.computed.get(stage);
    if (computed) return tableSource(computed.table, [...stage.needed].map((index) => computed.positions.get(index)!), run.interner);
    if (!isBottomStage(stage)) throw new Error('the stage has no source');
    const { state, interner } = run;
    const needed = [...stage.needed];
    if (stage.kind === 'agg') return yield* stage.source(run, needed, filters);
    if (stage.kind === 'made') {
      const source = yield* stage.source(run, needed);
      state.instrument?.(stage.node).details.set('Columns', 'kernels');
      return source;
    }
    const types = needed.map((index) => stage.layout.output[index]!.type);
    if (stage.kind === 'scan') {
      const relation = state.catalog.relation(stage.node.relation)!;
      const attnums = needed.map((index) => (stage.layout.output[index] as Extract<Expr, { kind: 'Var' }>).attno);
      const store = columnStore(state.context.storage);
      if (!store.serves(relation, attnums, state)) throw new NotColumnar();
      const views = yield* store.views(relation, attnums, state);
      state.instrument?.(stage.node).details.set('Columns', `${views.length} ${views.length === 1 ? 'segment' : 'segments'}`);
      return new Source(views, types, interner);
    }
    const columns: Datum[][] = needed.map(() => []);
    let rows = 0;
    const input = stage.open(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        for (let c = 0; c < needed.length; c++) {
          const vector = batch.columns[needed[c]!]!;
          const column = columns[c]!;
          for (let i = 0; i < batch.length; i++) column.push(readVector(vector, rowAt(batch, i)));
        }
        rows += batch.length;
        if (rows > MAX_ROWS_IN_MEMORY) throw new NotColumnar();
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
    return Source.ofRows(columns, rows, needed.map((index) => columnClass(stage.layout.output[index]!.type, -1)), types, interner);
  }

  /** Joins above that leave little of the source, told to it ahead of its own filter and of the joins before them. */
  private *joinFilters(bottom: Stage, source: Source): Generator<Pending, KeyFilter[]> {
    const made: KeyFilter[] = [];
    // What stands between the source and a join: with nothing there, the join itself is the first test.
    let between = bottom.kind === 'scan' && !this.computed.has(bottom) && bottom.node.filter.length > 0;
    const needed = [...bottom.needed];
    const path: Stage[] = [];
    for (let at = this.stage; !this.isBottom(at); at = at.kind === 'join' ? at.outer : (at as Exclude<Stage, BottomStage | JoinStage>).child) path.unshift(at);
    for (const at of path) {
      if (at.kind !== 'join') {
        if (at.kind !== 'project') between = true;
        continue;
      }
      for (const [k, key] of at.node.keys.entries()) {
        const origin = originOf(at.outer, key.outer, this.isBottom);
        if (!origin) continue;
        const outer = { ...source.bounds(needed.indexOf(origin.index)), rows: source.rows, first: !between };
        const found = yield* joinFilter(at, k, this.tables.get(at)!, outer, this.run);
        if (found) made.push({ ...found, expr: bottom.layout.output[origin.index]! });
      }
      between = true;
    }
    return made;
  }
}

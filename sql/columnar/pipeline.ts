/**
 * Runs a stage tree: inner sides of joins first, each by a pipeline of its own, then one kernel over
 * the source at the bottom left, which filters, projects, probes and hands each row to the sink.
 * A kernel is written when its inputs are there, so their ranges and sizes decide what it looks like.
 */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { OutputLayout } from '../executor/layout.js';
import { pull } from '../executor/operators/operator.js';
import { MAX_ROWS_IN_MEMORY } from '../executor/operators/sort.js';
import { readVector, rowAt } from '../executor/vectors.js';
import type { Datum } from '../types/datum.js';
import { columnClass } from './column-class.js';
import type { Interner } from './interner.js';
import { NUMERIC, besideKeys, isPlainNumber, joinsByNumber, scaledKey } from './join-keys.js';
import { computeOuter, type ComputedRows, type Execute } from './join-build.js';
import { JoinParts } from './join-parts.js';
import type { JoinTable } from './join-table.js';
import { SELECTIVE, emitKeyFilter, joinFilter, keyFilter, originOf, worthFiltering, worthFilteringGroups, type KeyFilter } from './key-filter.js';
import { probeSet } from './key-set.js';
import { Kernel } from './kernel.js';
import { Lowering, type Later, type Resolve } from './lower-expression.js';
import type { PipelineRun } from './pipeline-run.js';
import { columnStore } from './relation-columns.js';
import { NotColumnar } from './segment.js';
import { Source, TextsToLift } from './source.js';
import type { BottomStage, JoinStage, Stage } from './stage.js';
import { tableSource } from './result-source.js';
import { readTable } from './table.js';
import { runOnThreads, type ThreadedSink } from './thread-run.js';
import { changed, intValue, type Value } from './value.js';

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
const LEAST_SLICE = 256;
const SLOW_SLICE_MS = 1.5;

type Consume = (lowering: Lowering) => void;

export class Pipeline {
  private readonly tables = new Map<JoinStage, JoinTable>();
  /** Rows of inner sides without a match, to be emitted at the end. */
  private readonly counters = new Map<Stage, Float64Array>();
  /** Join filters to be tested on the source's rows, and on the rows of the top stage. */
  private below: readonly KeyFilter[] = [];
  private above: readonly KeyFilter[] = [];
  private tails: { stage: JoinStage; table: JoinTable }[] = [];

  /** Outer sides of joins that were computed before their inner sides. */
  private readonly computed = new Map<Stage, ComputedRows>();
  private readonly isBottom = (stage: Stage): boolean => isBottom(stage) || this.computed.has(stage);

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
    const below = [...origins.flatMap(({ filter, origin }) => (origin ? [{ filter, index: origin.index }] : [])), ...this.groupFilters(bottom)];
    const source = yield* this.source(bottom, below);
    const atSource = bottom.kind === 'agg' && !this.computed.has(bottom) ? [] : below.map(({ filter, index }) => ({ ...filter, expr: bottom.layout.output[index]! }));
    this.above = origins.flatMap(({ filter, origin }) => (origin ? [] : [filter]));
    for (let more = true; more; ) {
      this.below = [...atSource, ...this.joinFilters(bottom, source)].sort((a, b) => a.density - b.density);
      yield* this.pass(source, bottom);
      const next = yield* this.parts.next();
      if (next) this.tables.set(next.stage, next.table);
      more = next !== null;
    }
    this.report(this.now() - start);
  }

  /** The whole source through one kernel. */
  private *pass(source: Source, bottom: Stage): Generator<Pending, void> {
    const kernel = yield* this.written(source);
    // What threads fill takes the place of what is there: not of an earlier part's.
    const threaded = this.parts.active ? null : this.sink.threaded?.();
    if (!threaded || !(yield* runOnThreads({ run: this.run, kernel, source, sink: this.sink, threaded, counters: this.counters.values(), node: bottom.node }))) yield* this.loop(kernel, source.kernelViews.map((view, v) => ({ view, first: source.views[v]!.first ?? 0, rows: source.views[v]!.rows })));
    // Tails may have tails of their own: those of joins above, met by rows that a tail sends up.
    for (let tail = this.tails.shift(); tail; tail = this.tails.shift()) yield* this.runTail(tail, source);
  }

  // ---- figures for EXPLAIN ANALYZE

  private now(): number {
    return this.run.state.instrument ? this.run.state.context.runtime.clock.monotonicMs() : 0;
  }

  /** Counts a row that the stage gives out. The kernel is one for all stages, so they share its time. */
  private count(stage: Stage, kernel: Kernel): void {
    if (!this.run.state.instrument || stage.kind === 'rows') return;
    let counter = this.counters.get(stage);
    if (!counter) this.counters.set(stage, (counter = new Float64Array(1)));
    kernel.line(`${kernel.outside(counter, 'c')}[0]++;`);
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

  private *loop(kernel: Kernel, views: readonly { view: Parameters<ReturnType<Kernel['compile']>>[1]; first: number; rows: number }[]): Generator<Pending, void> {
    const { clock } = this.run.state.context.runtime;
    this.run.arrays.settle();
    let slice = FIRST_SLICE;
    for (const { view, first, rows } of views) {
      const run = kernel.compile(view);
      let to = first;
      for (let from = first; from < rows; from = to) {
        to = Math.min(rows, from + slice);
        const began = clock.monotonicMs();
        run(kernel.values, view, from, to);
        const elapsed = clock.monotonicMs() - began;
        // Rows that call functions take microseconds each: sessions wait for the end of a slice.
        if (elapsed > SLOW_SLICE_MS && slice > LEAST_SLICE) slice /= 2;
        else if (elapsed < SLOW_SLICE_MS / 2 && slice < LAST_SLICE) slice *= 2;
        const draining = this.sink.drain?.();
        if (draining) yield* draining;
        for (let n = 0; n < CHECKS_PER_SLICE; n++) {
          if (!this.run.state.shouldYield()) continue;
          yield TIME_SLICE;
          break;
        }
      }
    }
  }

  /** The kernel; what takes long to compute ahead of it takes turns. */
  private *written(source: Source): Generator<Pending, Kernel> {
    for (;;) {
      const kernel = new Kernel();
      try {
        this.write(kernel, source);
        return kernel;
      } catch (error) {
        if (!(error instanceof TextsToLift)) throw error;
        yield* error.compute(this.run.state);
      }
    }
  }

  private write(kernel: Kernel, source: Source): void {
    const lowering = new Lowering({ kernel, state: this.run.state, interner: this.run.interner, source, constants: this.run.constants, members: this.run.members, maxRows: source.rows * this.multiplier(this.stage) }, () => undefined);
    kernel.block('for (let i = from; i < to; i++)', () => {
      if (source.skips) {
        kernel.before('const skip = V.skip;');
        kernel.late((view) => (view.skip === null ? '' : 'if (skip[i] !== 0) continue;'));
      }
      this.produce(this.stage, kernel, lowering, (rows) => {
        for (const one of this.above) emitKeyFilter(kernel, rows.value(one.expr), one);
        this.sink.emit(kernel, rows);
      }, (stage) => sourceColumns(stage, source, kernel), (stage) => laterColumns(stage, source, kernel));
    });
  }

  /** Most rows above for one of the source. */
  private multiplier(stage: Stage): number {
    if (this.isBottom(stage)) return 1;
    switch (stage.kind) {
      case 'scan': case 'rows': case 'agg': case 'made': return 1;
      case 'join': {
        const { joinType } = stage.node;
        // The next part's keys may be otherwise.
        if (joinType === 'right' || joinType === 'full' || this.parts.isDivided(stage)) return Infinity;
        const table = this.tables.get(stage)!;
        const own = joinType === 'semi' || joinType === 'anti' || table.unique ? 1 : Math.max(1, table.rows.count);
        return own * this.multiplier(stage.outer);
      }
      default: return this.multiplier(stage.child);
    }
  }

  private *runTail({ stage, table }: { stage: JoinStage; table: JoinTable }, source: Source): Generator<Pending, void> {
    const kernel = new Kernel();
    const lowering = new Lowering({ kernel, state: this.run.state, interner: this.run.interner, source, constants: this.run.constants, members: this.run.members, maxRows: Infinity }, () => undefined);
    kernel.block('for (let i = from; i < to; i++)', () => {
      kernel.line(`if (${kernel.outside(table.matched, 'b')}[i] === 1) continue;`);
      this.climb(stage, kernel, lowering, joined(stage, kernel, table, 'i', null, (index) => missingValue(stage.outer.layout.output[index]!), this.run.interner));
    });
    yield* this.loop(kernel, [{ view: { base: 0, data: [], halves: [], nulls: [], skip: null, refs: [], places: [], dictionaries: [], lifted: [] }, first: 0, rows: table.rows.count }]);
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
  private groupFilters(bottom: Stage): { filter: KeyFilter; index: number }[] {
    const made: { filter: KeyFilter; index: number }[] = [];
    for (let at = this.stage; !this.isBottom(at); at = at.kind === 'join' ? at.outer : (at as Exclude<Stage, BottomStage | JoinStage>).child) {
      if (at.kind !== 'join' || this.parts.isDivided(at)) continue;
      const { rows, keys, set } = this.tables.get(at)!;
      if (set || !worthFilteringGroups(at, rows.count, bottom)) continue;
      at.node.keys.forEach((key, k) => {
        const origin = keys[k]!.boxed ? null : originOf((at as JoinStage).outer, key.outer, this.isBottom);
        const filter = origin && keyFilter(bottom.layout.output[origin.index]!, rows.columns[keys[k]!.column]!, rows.count, this.run.arrays);
        if (filter) made.push({ filter, index: origin.index });
      });
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
    if (!isBottom(stage)) throw new Error('the stage has no source');
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

  // ---- writing the kernel

  /** Writes what happens with each row of the source up to `stage`, then `consume` with its columns. */
  private produce(stage: Stage, kernel: Kernel, lowering: Lowering, consume: Consume, columns: (stage: Stage) => Resolve, later: (stage: Stage) => Later): void {
    if (this.computed.has(stage)) {
      consume(this.filtered(this.filtered(lowering.over(columns(stage), later(stage)), kernel, true), kernel, false));
      return;
    }
    if (isBottom(stage)) {
      const rows = lowering.over(columns(stage), later(stage));
      const first = this.filtered(rows, kernel, true);
      if (stage.kind !== 'rows') filter(stage.kind === 'made' ? stage.filter : stage.node.filter, first, kernel);
      this.count(stage, kernel);
      consume(this.filtered(rows, kernel, false));
      return;
    }
    this.produce(stage.kind === 'join' ? stage.outer : stage.child, kernel, lowering, (rows) => this.apply(stage, kernel, rows, consume), columns, later);
  }

  private filtered(rows: Lowering, kernel: Kernel, selective: boolean): Lowering {
    for (const one of this.below) if (selective === one.density < SELECTIVE) emitKeyFilter(kernel, rows.value(one.expr), one);
    return rows;
  }

  /** Joins above that leave little of the source, told to it ahead of its own filter and of the joins before them. */
  private joinFilters(bottom: Stage, source: Source): KeyFilter[] {
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
      const [key] = at.node.keys;
      const origin = between && key ? originOf(at.outer, key.outer, this.isBottom) : null;
      if (origin) {
        const found = joinFilter(at, this.tables.get(at)!, source.bounds(needed.indexOf(origin.index)), this.run.arrays);
        if (found) made.push({ ...found, expr: bottom.layout.output[origin.index]! });
      }
      between = true;
    }
    return made;
  }

  /** From the rows of the stage's (outer) child to its own. */
  private apply(stage: Exclude<Stage, BottomStage>, kernel: Kernel, rows: Lowering, further: Consume): void {
    const consume: Consume = (own) => {
      this.count(stage, kernel);
      further(own);
    };
    switch (stage.kind) {
      case 'filter':
        filter(stage.node.quals, rows, kernel);
        consume(rows);
        return;
      case 'project':
        consume(rows.over(outputs(stage.layout, (index) => rows.value(stage.node.output[index]!)), outputs(stage.layout, (index) => rows.deferred(stage.node.output[index]!))));
        return;
      case 'rename': {
        const below = (index: number): Expr => stage.child.layout.output[stage.node.columns[index]!]!;
        const renamed = rows.over(outputs(stage.layout, (index) => rows.value(below(index))), outputs(stage.layout, (index) => rows.deferred(below(index))));
        filter(stage.node.filter, renamed, kernel);
        consume(renamed);
        return;
      }
      case 'join':
        this.join(stage, kernel, rows, consume);
    }
  }

  private join(stage: JoinStage, kernel: Kernel, rows: Lowering, consume: Consume): void {
    const { node } = stage;
    const table = this.tables.get(stage)!;
    const { joinType } = node;
    const keys = node.keys.map((key, k) => {
      const value = rows.value(key.outer);
      const { boxed, scale } = table.keys[k]!;
      if (boxed) return this.run.boxedKey(value, rows, kernel);
      if (value.type === NUMERIC) return scaledKey(value, scale, rows, kernel);
      if (!joinsByNumber(value) || !this.run.isKey(value)) throw new NotColumnar();
      return value;
    });
    this.parts.emit(stage, kernel, keys);
    if (table.set) {
      const condition = besideKeys(stage, this.run.state.catalog);
      const beside = condition && { value: rows.value(condition.outer), operator: condition.operator };
      if (beside && (!isPlainNumber(beside.value) || (table.set.least !== null) !== (condition !== null))) throw new NotColumnar();
      kernel.line(`if (${joinType === 'semi' ? '!' : ''}${probeSet(kernel, table.set, keys, beside)}) continue;`);
      filter(node.filter, rows, kernel);
      consume(rows);
      return;
    }
    const outerColumn = (index: number): Value => {
      const value = rows.value(stage.outer.layout.output[index]!);
      // The rows that come at the end have none: whoever makes room for the column must know now.
      return table.matched && value.isNull === null ? changed(value, { isNull: 'false' }) : value;
    };
    const { first, test, next } = table.probe(kernel, keys);
    const row = kernel.name('w');
    const candidates = (): { pair: Lowering; tests: string[] } => {
      const pair = rows.over(joined(stage, kernel, table, row, null, outerColumn, this.run.interner));
      return { pair, tests: [...(test ? [test.replace('ROW', row)] : [])] };
    };
    if (joinType === 'semi' || joinType === 'anti') {
      if (node.joinQuals.length === 0 && test === null) kernel.line(`if (${first} ${joinType === 'semi' ? '===' : '!=='} 0) continue;`);
      else {
        const found = kernel.name('z');
        kernel.line(`let ${found} = false;`);
        kernel.block(`for (let x = ${first}; x !== 0; x = ${next}[x - 1])`, () => {
          kernel.line(`const ${row} = x - 1;`);
          const { pair, tests } = candidates();
          for (const one of tests) kernel.line(`if (!(${one})) continue;`);
          filter(node.joinQuals, pair, kernel);
          kernel.line(`${found} = true; break;`);
        });
        kernel.line(`if (${joinType === 'semi' ? '!' : ''}${found}) continue;`);
      }
      filter(node.filter, rows, kernel);
      consume(rows);
      return;
    }
    const keepOuter = joinType === 'left' || joinType === 'full';
    if (table.matched && !this.tails.some((tail) => tail.stage === stage)) this.tails.push({ stage, table });
    const matched = table.matched ? kernel.outside(table.matched, 'b') : null;
    if (!keepOuter && table.unique) {
      kernel.line(`if (${first} === 0) continue;`);
      kernel.line(`const ${row} = ${first} - 1;`);
      const { pair } = candidates();
      filter(node.joinQuals, pair, kernel);
      if (matched) kernel.line(`${matched}[${row}] = 1;`);
      filter(node.filter, pair, kernel);
      consume(pair);
      return;
    }
    if (!keepOuter) {
      const cursor = kernel.name('x');
      kernel.block(`for (let ${cursor} = ${first}; ${cursor} !== 0; ${cursor} = ${next}[${cursor} - 1])`, () => {
        kernel.line(`const ${row} = ${cursor} - 1;`);
        const { pair, tests } = candidates();
        for (const one of tests) kernel.line(`if (!(${one})) continue;`);
        filter(node.joinQuals, pair, kernel);
        if (matched) kernel.line(`${matched}[${row}] = 1;`);
        filter(node.filter, pair, kernel);
        consume(pair);
      });
      return;
    }
    // Each match, and once more with nothing if there was none.
    const cursor = kernel.name('x');
    const met = kernel.name('z');
    kernel.line(`let ${met} = false;`);
    kernel.block(`for (let ${cursor} = ${first}, end = false; !end; ${cursor} = ${cursor} === 0 ? 0 : ${next}[${cursor} - 1])`, () => {
      kernel.line(`if (${cursor} === 0) { end = true; if (${met}) break; }`);
      kernel.line(`const ${row} = ${cursor} - 1;`);
      const missing = `${row} < 0`;
      const { pair, tests } = candidates();
      kernel.block(`if (${row} >= 0)`, () => {
        for (const one of tests) kernel.line(`if (!(${one})) continue;`);
        filter(node.joinQuals, pair, kernel);
        kernel.line(`${met} = true;`);
        if (matched) kernel.line(`${matched}[${row}] = 1;`);
      });
      const extended = rows.over(joined(stage, kernel, table, row, missing, outerColumn, this.run.interner));
      filter(node.filter, extended, kernel);
      consume(extended);
    });
  }

  /** From a join's rows up to the sink: for rows that do not come from the source. */
  private climb(from: JoinStage, kernel: Kernel, lowering: Lowering, resolve: Resolve): void {
    const path: Exclude<Stage, BottomStage>[] = [];
    for (let stage: Stage = this.stage; stage !== from; stage = stage.kind === 'join' ? stage.outer : stage.child) {
      if (isBottom(stage)) throw new Error('the join is not below the stage');
      path.unshift(stage);
    }
    const step = (at: number, rows: Lowering): void => {
      if (at === path.length) this.sink.emit(kernel, rows);
      else this.apply(path[at]!, kernel, rows, (up) => step(at + 1, up));
    };
    const rows = lowering.over(resolve);
    filter(from.node.filter, rows, kernel);
    this.count(from, kernel);
    step(0, rows);
  }
}

const CHECKS_PER_SLICE = 64;

function isBottom(stage: Stage): stage is BottomStage {
  return stage.kind === 'scan' || stage.kind === 'rows' || stage.kind === 'agg' || stage.kind === 'made';
}

function sourceColumns(stage: Stage, source: Source, kernel: Kernel): Resolve {
  const position = new Map([...stage.needed].map((index, at) => [index, at]));
  return outputs(stage.layout, (index) => source.value(kernel, position.get(index)!));
}

/** The same by position, for what is wanted of few rows. */
function laterColumns(stage: Stage, source: Source, kernel: Kernel): Later {
  const position = new Map([...stage.needed].map((index, at) => [index, at]));
  return outputs(stage.layout, (index) => source.deferred(kernel, position.get(index)!));
}

function outputs<T>(layout: OutputLayout, value: (index: number) => T): (expr: Expr) => T | undefined {
  return (expr) => {
    const index = layout.indexOf(expr);
    return index < 0 ? undefined : value(index);
  };
}

/** Source that calls a function: not to be computed for rows that another test leaves out. */
const CALLS = /\b[a-z]\d+\(/;

function filter(quals: readonly Expr[], rows: Lowering, kernel: Kernel): void {
  // Tests without a branch between them cost a third of one branch after the other, where none is mostly true or false.
  let plain: string[] = [];
  const flush = (): void => {
    if (plain.length === 1) kernel.line(`if (!(${plain[0]!})) continue;`);
    else if (plain.length > 1) kernel.line(`if ((${plain.join(' & ')}) === 0) continue;`);
    plain = [];
  };
  for (const qual of quals) {
    for (const test of rows.tests(qual)) {
      if (!CALLS.test(test)) plain.push(test);
      else {
        flush();
        kernel.line(`if (!${test}) continue;`);
      }
    }
  }
  flush();
}

/** Pairs: columns of the outer side as they are, of the inner side from the table. */
function joined(stage: JoinStage, kernel: Kernel, table: JoinTable, row: string, missing: string | null, outerColumn: (index: number) => Value, interner: Interner): Resolve {
  return (expr) => {
    const outer = stage.outer.layout.indexOf(expr);
    if (outer >= 0) return outerColumn(outer);
    const inner = stage.inner.layout.indexOf(expr);
    if (inner < 0) return undefined;
    return readTable(kernel, table.rows, table.columns.get(inner)!, row, missing, interner);
  };
}

function missingValue(expr: Expr): Value {
  const found = columnClass(expr.type, -1);
  if (found?.kind === 'text') return { kind: 'ref', code: '-1', isNull: 'true', scale: 0, min: 0, max: 0, type: expr.type };
  if (found !== null) return { ...intValue('0', 'true', expr.type, 0, 0), kind: found.kind };
  return { kind: 'any', code: 'null', isNull: 'true', scale: 0, min: 0, max: 0, type: expr.type };
}

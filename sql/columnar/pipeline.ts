/**
 * Runs a stage tree: inner sides of joins first, each by a pipeline of its own, then one kernel over
 * the source at the bottom left, which filters, projects, probes and hands each row to the sink.
 * A kernel is written when its inputs are there, so their ranges and sizes decide what it looks like.
 */
import type { Pending } from '../../engine/pending.js';
import { DatabaseError } from '../../engine/errors.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { hashKeyOf } from '../executor/expressions/arrays.js';
import { Frame } from '../executor/expressions/frame.js';
import { compileWaiting } from '../executor/expressions/waiting.js';
import { hasSubLink } from '../executor/sub-plan.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { OutputLayout } from '../executor/layout.js';
import { pull } from '../executor/operators/operator.js';
import { MAX_ROWS_IN_MEMORY, tooManyRows } from '../executor/operators/sort.js';
import { readVector, rowAt } from '../executor/vectors.js';
import type { Datum } from '../types/datum.js';
import { columnClass } from './column-class.js';
import { Interner } from './interner.js';
import { addToSet, JoinTable, keySet } from './join-table.js';
import { Kernel } from './kernel.js';
import { Lowering, type Resolve } from './lower-expression.js';
import { columnStore } from './relation-columns.js';
import { NotColumnar } from './segment.js';
import { Source } from './source.js';
import { constantParts, type JoinStage, type RowsStage, type ScanStage, type Stage } from './stage.js';
import { appendRow, readTable } from './table.js';
import { intValue, type Value } from './value.js';

/** Takes the rows of a pipeline. `emit` writes into the kernel what happens with a row; it may be called for several kernels. */
export interface Sink {
  emit(kernel: Kernel, lowering: Lowering): void;
  /** After each slice of the source: may give rows out. */
  drain?(): void;
}

const FIRST_SLICE = 1024;
const LAST_SLICE = 16384;

type Consume = (lowering: Lowering) => void;

/** What all pipelines of one execution share. */
export class PipelineRun {
  readonly interner = new Interner();
  readonly constants = new Map<Expr, Datum>();
  private readonly keyIds = new Map<unknown, number>();
  private readonly frame: Frame;

  constructor(readonly compiler: PlanCompiler, readonly state: ExecState) {
    this.frame = new Frame(state);
  }

  /** A number for a key value that is not one itself. */
  readonly keyId = (key: unknown): number => {
    let id = this.keyIds.get(key);
    if (id === undefined) this.keyIds.set(key, (id = this.keyIds.size));
    return id;
  };

  /** Evaluates the parts of these expressions that no row changes. */
  *evaluateConstants(exprs: readonly Expr[], layouts: readonly OutputLayout[]): Generator<Pending, void> {
    const parts = new Set<Expr>();
    for (const expr of exprs) constantParts(expr, layouts, this.compiler, parts);
    for (const part of parts) {
      if (this.constants.has(part)) continue;
      try {
        this.constants.set(part, yield* compileWaiting(part, this.compiler.scope())(this.frame));
      } catch (error) {
        // An error that no row may ever ask for: it is raised where it is asked for.
        if (!(error instanceof DatabaseError) || hasSubLink(part)) throw error;
      }
    }
  }

  /** Whether the value is itself a number that equal values share. */
  isKey(value: Value): boolean {
    return value.kind === 'int' || value.kind === 'bool' || (value.kind === 'decimal' && value.shownScale === undefined) || (value.kind === 'ref' && value.type !== BPCHAR);
  }

  /** The same for groups, where all values are of one source: padded texts are equal when their texts are. */
  isGroupKey(value: Value): boolean {
    return this.isKey(value) || (value.kind === 'ref' && value.padded === true);
  }

  /** A number that stands for the value in keys: equal values have equal ones. */
  boxedKey(value: Value, lowering: Lowering, kernel: Kernel): Value {
    const key = hashKeyOf(this.state.catalog.dataType(value.type));
    const id = (datum: Datum): number => (datum === null ? -1 : this.keyId(key(datum)));
    const code = kernel.name('v');
    kernel.line(`const ${code} = ${kernel.outside(id, 'f')}(${lowering.datum(value)});`);
    return intValue(code, value.isNull === null ? null : `${code} < 0`, value.type, 0, 2 ** 31);
  }
}

const BPCHAR = 1042;

export class Pipeline {
  private readonly tables = new Map<JoinStage, JoinTable>();
  /** Rows of inner sides without a match, to be emitted at the end. */
  private readonly counters = new Map<Stage, Float64Array>();
  private tails: { stage: JoinStage; table: JoinTable }[] = [];

  constructor(private readonly run: PipelineRun, private readonly stage: Stage, private readonly sink: Sink, /** The top stage's figures are measured by whoever reads its rows. */ private readonly ownFigures = false) {}

  /** Runs to the end. Throws NotColumnar, before the sink has had any row, when the data do not fit. */
  *execute(): Generator<Pending, void> {
    yield* this.prepare(this.stage);
    const start = this.now();
    const source = yield* this.source(bottom(this.stage));
    const kernel = new Kernel();
    this.write(kernel, source);
    yield* this.loop(kernel, source.kernelViews.map((view, v) => ({ view, rows: source.views[v]!.rows })));
    // Tails may have tails of their own: those of joins above, met by rows that a tail sends up.
    for (let tail = this.tails.shift(); tail; tail = this.tails.shift()) yield* this.runTail(tail, source);
    this.report(this.now() - start);
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
      if (stage === this.stage && this.ownFigures) continue;
      const figures = instrument(stage.node);
      figures.loops++;
      figures.rows += counter[0]!;
      figures.totalMs += elapsedMs;
    }
  }

  private *loop(kernel: Kernel, views: readonly { view: Parameters<ReturnType<Kernel['compile']>>[1]; rows: number }[]): Generator<Pending, void> {
    let slice = FIRST_SLICE;
    for (const { view, rows } of views) {
      const run = kernel.compile(view);
      for (let from = 0; from < rows; from += slice) {
        if (slice < LAST_SLICE) slice *= 2;
        run(kernel.values, view, from, Math.min(rows, from + slice));
        this.sink.drain?.();
        for (let n = 0; n < CHECKS_PER_SLICE; n++) {
          if (!this.run.state.shouldYield()) continue;
          yield TIME_SLICE;
          break;
        }
      }
    }
  }

  private write(kernel: Kernel, source: Source): void {
    const lowering = new Lowering({ kernel, state: this.run.state, interner: this.run.interner, source, constants: this.run.constants, maxRows: source.rows * this.multiplier(this.stage) }, () => undefined);
    kernel.block('for (let i = from; i < to; i++)', () => {
      if (source.skips) {
        kernel.before('const skip = V.skip;');
        kernel.line('if (skip !== null && skip[i] !== 0) continue;');
      }
      this.produce(this.stage, kernel, lowering, (rows) => this.sink.emit(kernel, rows), (stage) => sourceColumns(stage, source, kernel));
    });
  }

  /** Most rows above for one of the source. */
  private multiplier(stage: Stage): number {
    switch (stage.kind) {
      case 'scan': case 'rows': return 1;
      case 'join': {
        const { joinType } = stage.node;
        if (joinType === 'right' || joinType === 'full') return Infinity;
        const table = this.tables.get(stage)!;
        const own = joinType === 'semi' || joinType === 'anti' || table.unique ? 1 : Math.max(1, table.rows.count);
        return own * this.multiplier(stage.outer);
      }
      default: return this.multiplier(stage.child);
    }
  }

  private *runTail({ stage, table }: { stage: JoinStage; table: JoinTable }, source: Source): Generator<Pending, void> {
    const kernel = new Kernel();
    const lowering = new Lowering({ kernel, state: this.run.state, interner: this.run.interner, source, constants: this.run.constants, maxRows: Infinity }, () => undefined);
    kernel.block('for (let i = from; i < to; i++)', () => {
      kernel.line(`if (${kernel.outside(table.matched, 'b')}[i] === 1) continue;`);
      this.climb(stage, kernel, lowering, joined(stage, kernel, table, 'i', null, (index) => missingValue(stage.outer.layout.output[index]!)));
    });
    yield* this.loop(kernel, [{ view: { data: [], nulls: [], skip: null, refs: [], dictionaries: [], lifted: [] }, rows: table.rows.count }]);
  }

  // ---- inputs

  /** Builds the inner sides and evaluates constants, from the bottom up. */
  private *prepare(stage: Stage): Generator<Pending, void> {
    const { run } = this;
    switch (stage.kind) {
      case 'scan':
        yield* run.evaluateConstants(stage.node.filter, [stage.layout]);
        return;
      case 'rows':
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
        this.tables.set(stage, yield* this.buildInner(stage));
        yield* this.prepare(stage.outer);
        return;
      }
    }
  }

  private *buildInner(stage: JoinStage): Generator<Pending, JoinTable> {
    const { run } = this;
    const table = new JoinTable();
    const wanted = [...stage.inner.needed];
    let ready = false;
    const { joinType } = stage.node;
    const presence = (joinType === 'semi' || joinType === 'anti') && stage.node.joinQuals.length === 0;
    const sink: Sink = {
      emit(kernel, lowering) {
        const columns = presence ? [] : wanted.map((index) => lowering.value(stage.inner.layout.output[index]!));
        const plain = stage.node.keys.map((key) => lowering.value(key.inner));
        const boxed = plain.map((value, k) => (ready ? table.keys[k]!.boxed : !joinsByNumber(value) || !run.isKey(value)));
        const keys = plain.map((value, k) => (boxed[k]! ? run.boxedKey(value, lowering, kernel) : value));
        if (!ready && presence && !boxed.includes(true)) table.set = keySet(keys, lowering.sourceRows);
        if (table.set) {
          if (!ready) keys.forEach((key, k) => table.addKey(key, boxed[k]!));
          else if (keys.some((key, k) => key.min < table.set!.parts[k]!.min || key.max > table.set!.parts[k]!.max)) throw new NotColumnar();
          ready = true;
          addToSet(kernel, table.set, keys);
          return;
        }
        if (!ready) {
          ready = true;
          if (!presence) wanted.forEach((index, c) => table.columns.set(index, table.rows.addColumn(columns[c]!)));
          keys.forEach((key, k) => table.addKey(key, boxed[k]!));
        }
        appendRow(kernel, table.rows, [
          ...columns.map((value, c) => (table.rows.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)),
          ...keys,
        ]);
      },
      drain() {
        if (table.rows.count > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
      },
    };
    yield* new Pipeline(run, stage.inner, sink).execute();
    if (!table.set) yield* table.finish(run.state);
    if (stage.node.joinType === 'right' || stage.node.joinType === 'full') table.matched = new Uint8Array(table.rows.count);
    return table;
  }

  private *source(stage: ScanStage | RowsStage): Generator<Pending, Source> {
    const { run } = this;
    const { state, interner } = run;
    const needed = [...stage.needed];
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
        if (rows > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
    return Source.ofRows(columns, rows, needed.map((index) => columnClass(stage.layout.output[index]!.type, -1)), types, interner);
  }

  // ---- writing the kernel

  /** Writes what happens with each row of the source up to `stage`, then `consume` with its columns. */
  private produce(stage: Stage, kernel: Kernel, lowering: Lowering, consume: Consume, columns: (stage: ScanStage | RowsStage) => Resolve): void {
    if (stage.kind === 'scan' || stage.kind === 'rows') {
      const rows = lowering.over(columns(stage));
      if (stage.kind === 'scan') filter(stage.node.filter, rows, kernel);
      this.count(stage, kernel);
      consume(rows);
      return;
    }
    this.produce(stage.kind === 'join' ? stage.outer : stage.child, kernel, lowering, (rows) => this.apply(stage, kernel, rows, consume), columns);
  }

  /** From the rows of the stage's (outer) child to its own. */
  private apply(stage: Exclude<Stage, ScanStage | RowsStage>, kernel: Kernel, rows: Lowering, further: Consume): void {
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
        consume(rows.over(outputs(stage.layout, (index) => rows.value(stage.node.output[index]!))));
        return;
      case 'rename': {
        const renamed = rows.over(outputs(stage.layout, (index) => rows.value(stage.child.layout.output[stage.node.columns[index]!]!)));
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
      if (table.keys[k]!.boxed) return this.run.boxedKey(value, rows, kernel);
      if (!joinsByNumber(value) || !this.run.isKey(value)) throw new NotColumnar();
      return value;
    });
    if (table.set) {
      kernel.line(`if (${joinType === 'semi' ? '!' : ''}${table.probeSet(kernel, keys)}) continue;`);
      filter(node.filter, rows, kernel);
      consume(rows);
      return;
    }
    const outerColumn = (index: number): Value => {
      const value = rows.value(stage.outer.layout.output[index]!);
      // The rows that come at the end have none: whoever makes room for the column must know now.
      return table.matched && value.isNull === null ? { ...value, isNull: 'false' } : value;
    };
    const { first, test, next } = table.probe(kernel, keys);
    const row = kernel.name('w');
    const candidates = (): { pair: Lowering; tests: string[] } => {
      const pair = rows.over(joined(stage, kernel, table, row, null, outerColumn));
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
      const extended = rows.over(joined(stage, kernel, table, row, missing, outerColumn));
      filter(node.filter, extended, kernel);
      consume(extended);
    });
  }

  /** From a join's rows up to the sink: for rows that do not come from the source. */
  private climb(from: JoinStage, kernel: Kernel, lowering: Lowering, resolve: Resolve): void {
    const path: Exclude<Stage, ScanStage | RowsStage>[] = [];
    for (let stage: Stage = this.stage; stage !== from; stage = stage.kind === 'join' ? stage.outer : stage.child) {
      if (stage.kind === 'scan' || stage.kind === 'rows') throw new Error('the join is not below the stage');
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

function bottom(stage: Stage): ScanStage | RowsStage {
  let at = stage;
  while (at.kind !== 'scan' && at.kind !== 'rows') at = at.kind === 'join' ? at.outer : at.child;
  return at;
}

function sourceColumns(stage: ScanStage | RowsStage, source: Source, kernel: Kernel): Resolve {
  const position = new Map([...stage.needed].map((index, at) => [index, at]));
  return outputs(stage.layout, (index) => source.value(kernel, position.get(index)!));
}

function outputs(layout: OutputLayout, value: (index: number) => Value): Resolve {
  return (expr) => {
    const index = layout.indexOf(expr);
    return index < 0 ? undefined : value(index);
  };
}

function filter(quals: readonly Expr[], rows: Lowering, kernel: Kernel): void {
  for (const qual of quals) kernel.line(`if (!${rows.isTrue(qual)}) continue;`);
}

/** Pairs: columns of the outer side as they are, of the inner side from the table. */
function joined(stage: JoinStage, kernel: Kernel, table: JoinTable, row: string, missing: string | null, outerColumn: (index: number) => Value): Resolve {
  return (expr) => {
    const outer = stage.outer.layout.indexOf(expr);
    if (outer >= 0) return outerColumn(outer);
    const inner = stage.inner.layout.indexOf(expr);
    if (inner < 0) return undefined;
    return readTable(kernel, table.rows, table.columns.get(inner)!, row, missing);
  };
}

function missingValue(expr: Expr): Value {
  const found = columnClass(expr.type, -1);
  if (found?.kind === 'text') return { kind: 'ref', code: '-1', isNull: 'true', scale: 0, min: 0, max: 0, type: expr.type };
  if (found !== null) return { ...intValue('0', 'true', expr.type, 0, 0), kind: found.kind };
  return { kind: 'any', code: 'null', isNull: 'true', scale: 0, min: 0, max: 0, type: expr.type };
}

/** Whether the number alone says what equals what: decimals of two scales, and bool, have none in common. */
function joinsByNumber(value: Value): boolean {
  return value.kind === 'int' || value.kind === 'ref';
}

/**
 * Writes a pipeline's kernel: for each row of the source what filters, projections and probes of joins make of it on the way up to
 * the sink. It is written when its inputs are there, so their ranges and sizes decide what it looks like.
 */
import type { Expr } from '../analyzer/query-tree.js';
import type { OutputLayout } from '../executor/layout.js';
import { columnClass } from './column-class.js';
import type { Interner } from './interner.js';
import { NUMERIC, besideKeys, isPlainNumber, joinsByNumber, scaledKey } from './join-keys.js';
import type { ComputedRows } from './join-build.js';
import type { JoinParts } from './join-parts.js';
import type { JoinTable } from './join-table.js';
import { SELECTIVE, emitKeyFilter, type KeyFilter } from './key-filter.js';
import { probeSet } from './key-set.js';
import { Kernel } from './kernel.js';
import { Lowering, type Later, type Resolve } from './lower-expression.js';
import type { Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { NotColumnar } from './segment.js';
import type { Source } from './source.js';
import { isBottomStage, type BottomStage, type JoinStage, type Stage } from './stage.js';
import { readTable } from './table.js';
import { changed, intValue, type Value } from './value.js';

type Consume = (lowering: Lowering) => void;

/** Rows of an inner side without a match, to be emitted at the end. */
export interface Tail { readonly stage: JoinStage; readonly table: JoinTable }

/** What is known when the kernel is written. */
export interface WriterInput {
  readonly run: PipelineRun;
  readonly stage: Stage;
  readonly sink: Sink;
  readonly source: Source;
  readonly tables: ReadonlyMap<JoinStage, JoinTable>;
  /** Outer sides of joins that were computed before their inner sides: sources like stages without a child. */
  readonly computed: ReadonlyMap<Stage, ComputedRows>;
  readonly parts: JoinParts;
  /** Join filters to be tested on the source's rows, and on the rows of the top stage. */
  readonly below: readonly KeyFilter[];
  readonly above: readonly KeyFilter[];
  /** Counts of rows for EXPLAIN ANALYZE, by stage: made here. */
  readonly counters: Map<Stage, Float64Array>;
  /** Found here. */
  readonly tails: Tail[];
}

export class KernelWriter {
  constructor(private readonly input: WriterInput) {}

  /** The kernel over the source. Throws TextsToLift where something has to be computed first. */
  write(): Kernel {
    const { stage, source, sink, above } = this.input;
    const kernel = new Kernel();
    const lowering = this.lowering(kernel, source.rows * this.multiplier(stage));
    kernel.block('for (let i = from; i < to; i++)', () => {
      if (source.skips) {
        kernel.before('const skip = V.skip;');
        kernel.late((view) => (view.skip === null ? '' : 'if (skip[i] !== 0) continue;'));
      }
      this.produce(stage, kernel, lowering, (rows) => {
        for (const one of above) emitKeyFilter(kernel, rows.value(one.expr), one);
        sink.emit(kernel, rows);
      }, (at) => sourceColumns(at, source, kernel), (at) => laterColumns(at, source, kernel));
    });
    return kernel;
  }

  /** A kernel over the rows of a join's inner side that met nobody. */
  writeTail({ stage, table }: Tail): Kernel {
    const kernel = new Kernel();
    const lowering = this.lowering(kernel, Infinity);
    kernel.block('for (let i = from; i < to; i++)', () => {
      kernel.line(`if (${kernel.outside(table.matched, 'b')}[i] === 1) continue;`);
      this.climb(stage, kernel, lowering, joined(stage, kernel, table, 'i', null, (index) => missingValue(stage.outer.layout.output[index]!), this.input.run.interner));
    });
    return kernel;
  }

  private lowering(kernel: Kernel, maxRows: number): Lowering {
    const { run: { state, interner, constants, members }, source } = this.input;
    return new Lowering({ kernel, state, interner, source, constants, members, maxRows }, () => undefined);
  }

  private isBottom(stage: Stage): boolean {
    return isBottomStage(stage) || this.input.computed.has(stage);
  }

  /** Counts a row that the stage gives out. The kernel is one for all stages, so they share its time. */
  private count(stage: Stage, kernel: Kernel): void {
    const { run, counters } = this.input;
    if (!run.state.instrument || stage.kind === 'rows') return;
    let counter = counters.get(stage);
    if (!counter) counters.set(stage, (counter = new Float64Array(1)));
    kernel.line(`${kernel.outside(counter, 'c')}[0]++;`);
  }

  /** Most rows above for one of the source. */
  private multiplier(stage: Stage): number {
    if (this.isBottom(stage)) return 1;
    switch (stage.kind) {
      case 'scan': case 'rows': case 'agg': case 'made': return 1;
      case 'join': {
        const { joinType } = stage.node;
        // The next part's keys may be otherwise.
        if (joinType === 'right' || joinType === 'full' || this.input.parts.isDivided(stage)) return Infinity;
        const table = this.input.tables.get(stage)!;
        const own = joinType === 'semi' || joinType === 'anti' || table.unique ? 1 : Math.max(1, table.rows.count);
        return own * this.multiplier(stage.outer);
      }
      default: return this.multiplier(stage.child);
    }
  }

  /** Writes what happens with each row of the source up to `stage`, then `consume` with its columns. */
  private produce(stage: Stage, kernel: Kernel, lowering: Lowering, consume: Consume, columns: (stage: Stage) => Resolve, later: (stage: Stage) => Later): void {
    if (this.input.computed.has(stage)) {
      consume(this.filtered(this.filtered(lowering.over(columns(stage), later(stage)), kernel, true), kernel, false));
      return;
    }
    if (isBottomStage(stage)) {
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
    for (const one of this.input.below) if (selective === one.density < SELECTIVE) emitKeyFilter(kernel, rows.value(one.expr), one);
    return rows;
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
    const table = this.input.tables.get(stage)!;
    const { joinType } = node;
    const keys = node.keys.map((key, k) => {
      const value = rows.value(key.outer);
      const { boxed, scale } = table.keys[k]!;
      if (boxed) return this.input.run.boxedKey(value, rows, kernel);
      if (value.type === NUMERIC) return scaledKey(value, scale, rows, kernel);
      if (!joinsByNumber(value) || !this.input.run.isKey(value)) throw new NotColumnar();
      return value;
    });
    this.input.parts.emit(stage, kernel, keys);
    if (table.set) {
      const condition = besideKeys(stage, this.input.run.state.catalog);
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
      const pair = rows.over(joined(stage, kernel, table, row, null, outerColumn, this.input.run.interner));
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
    if (table.matched && !this.input.tails.some((tail) => tail.stage === stage)) this.input.tails.push({ stage, table });
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
      const extended = rows.over(joined(stage, kernel, table, row, missing, outerColumn, this.input.run.interner));
      filter(node.filter, extended, kernel);
      consume(extended);
    });
  }

  /** From a join's rows up to the sink: for rows that do not come from the source. */
  private climb(from: JoinStage, kernel: Kernel, lowering: Lowering, resolve: Resolve): void {
    const path: Exclude<Stage, BottomStage>[] = [];
    for (let stage: Stage = this.input.stage; stage !== from; stage = stage.kind === 'join' ? stage.outer : stage.child) {
      if (isBottomStage(stage)) throw new Error('the join is not below the stage');
      path.unshift(stage);
    }
    const step = (at: number, rows: Lowering): void => {
      if (at === path.length) this.input.sink.emit(kernel, rows);
      else this.apply(path[at]!, kernel, rows, (up) => step(at + 1, up));
    };
    const rows = lowering.over(resolve);
    filter(from.node.filter, rows, kernel);
    this.count(from, kernel);
    step(0, rows);
  }
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

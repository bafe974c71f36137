/**
 * Aggregates inside kernels. count, sum, avg, min and max of numbers have columns in the group table;
 * any other aggregate keeps its state as the row executor's does and is stepped with datums.
 */
import type { Aggref } from '../analyzer/query-tree.js';
import type { ExecState } from '../executor/exec-state.js';
import { functionCall, implementation, procOf, type CompileScope } from '../executor/expressions/scope.js';
import type { BoundAggregate } from '../functions/function.js';
import { checkInt8 } from '../functions/kernel-helpers.js';
import type { Datum } from '../types/datum.js';
import { coefficient, Numeric } from '../types/numeric.js';
import { compareText } from '../types/utf8.js';
import { PairSet, WidePairSet, type GroupTable, type PairState } from './group-table.js';
import type { NumberColumn } from './result-source.js';
import type { Kernel } from './kernel.js';
import type { Lowering } from './lower-expression.js';
import type { PipelineRun } from './pipeline-run.js';
import { NotColumnar } from './segment.js';
import { EXACT, anyOf, type Value, type ValueKind } from './value.js';

/** One aggregate of a running aggregation. */
export interface KernelAggregate {
  /** Writes how a row advances group number `group`. */
  step(kernel: Kernel, lowering: Lowering, group: string, arrays: GroupArrays): void;
  /** Writes how a group of another thread's table goes into group number `group`; `part` is source of that thread's number. Absent where only rows can. */
  merge?(kernel: Kernel, group: string, arrays: GroupArrays, part: (column: number) => string): void;
  /** What it fills beside the group table, for other threads to have their own; null where they cannot. */
  readonly pairs?: { readonly value: unknown; readonly wide: boolean; adopt(state: PairState): void };
  result(group: number, state: ExecState): Datum;
  /** All results as numbers, where they are that. */
  column?(count: number): NumberColumn | null;
}

/** The group table's columns in the kernel being written. */
export interface GroupArrays {
  /** Source of the number of `group` in a column, to read and to assign. */
  cell(column: number, group: string): string;
  /** Has the rows of each group counted, once for all who ask. */
  countRows(): void;
}

/** What the aggregates of one node share. */
export interface SharedColumns { /** Rows by group, whatever they hold; made when first asked for. */ rows(): number }

const INT8 = 20;
const FLOAT8 = 701;
const NUMERIC = 1700;
const MAX_ROWS = 2 ** 31;
const CARRY = 4294967296;

/** Whether kernels can run the aggregate. */
export function supportsAggregate(agg: Aggref, scope: CompileScope): boolean {
  if (agg.aggKind !== 'n' || agg.orderBy.length > 0 || agg.directArgs.length > 0 || agg.levelsUp !== 0) return false;
  const proc = scope.catalog.proc(agg.func);
  if (!proc) return false;
  if (agg.distinct.length > 0) return proc.proname === 'count' && agg.args.length === 1;
  return true;
}

export function kernelAggregate(agg: Aggref, table: GroupTable, run: PipelineRun, scope: CompileScope, shared: SharedColumns): KernelAggregate {
  const name = procOf(scope, agg.func).proname;
  const exprs = agg.args.map((arg) => arg.expr);
  if (name === 'count' && agg.distinct.length > 0) return countDistinct(agg, table, run);
  if (name === 'count') return counting(agg, table, shared);
  if ((name === 'sum' || name === 'avg' || name === 'min' || name === 'max') && exprs.length === 1) return new Adaptive(agg, name, table, run, scope, shared);
  return new Stepped(agg, scope);
}

function guarded(agg: Aggref, kernel: Kernel, lowering: Lowering, isNull: string | null, body: () => void): void {
  const tests: string[] = [];
  if (agg.filter) tests.push(lowering.isTrue(agg.filter));
  if (isNull !== null) tests.push(`!(${isNull})`);
  if (tests.length === 0) body();
  else kernel.block(`if (${tests.join(' && ')})`, body);
}

function numbers(table: GroupTable): number {
  return table.addColumn('float');
}

function counting(agg: Aggref, table: GroupTable, shared: SharedColumns): KernelAggregate {
  let column = -1;
  let everyRow = false;
  return {
    step(kernel, lowering, group, arrays) {
      const isNull = anyOf(...agg.args.map((arg) => nullTest(lowering.value(arg.expr))));
      if (column < 0) {
        everyRow = isNull === null && agg.filter === null;
        column = everyRow ? shared.rows() : numbers(table);
      } else if (everyRow && isNull !== null) throw new NotColumnar();
      if (everyRow) arrays.countRows();
      else guarded(agg, kernel, lowering, isNull, () => kernel.line(`${arrays.cell(column, group)}++;`));
    },
    merge(kernel, group, arrays, part) {
      if (everyRow) arrays.countRows();
      else kernel.line(`${arrays.cell(column, group)} += ${part(column)};`);
    },
    result: (group) => (table.columns[column]!.data as Float64Array)[group]!,
    column: (count) => integers(table.columns[column]!.data as Float64Array, null, count),
  };
}

function nullTest(value: Value): string | null {
  return value.kind === 'any' && !value.halves ? `(${value.code}) === null` : value.isNull;
}

function countDistinct(agg: Aggref, table: GroupTable, run: PipelineRun): KernelAggregate {
  const column = numbers(table);
  const pairs = new PairSet(run.arrays);
  const wide = new WidePairSet(run.arrays);
  let halved: boolean | null = null;
  return {
    get pairs() {
      const set = halved ? wide : pairs;
      return { value: set.add, wide: halved === true, adopt: (state: PairState) => set.adopt(state) };
    },
    step(kernel, lowering, group, arrays) {
      const plain = lowering.value(agg.args[0]!.expr);
      halved ??= plain.halves !== undefined;
      if (halved !== (plain.halves !== undefined)) throw new NotColumnar();
      if (plain.halves) {
        guarded(agg, kernel, lowering, plain.isNull, () => kernel.line(`if (${kernel.outside(wide.add, 'f')}(${group}, ${plain.halves!.high}, ${plain.halves!.low})) ${arrays.cell(column, group)}++;`));
        return;
      }
      guarded(agg, kernel, lowering, plain.kind === 'any' ? null : plain.isNull, () => {
        const key = run.isKey(plain) ? plain : run.boxedKey(plain, lowering, kernel);
        const add = `${kernel.outside(pairs.add, 'f')}(${group}, ${key.code})`;
        kernel.line(`if (${plain.kind === 'any' ? `${key.code} >= 0 && ` : ''}${add}) ${arrays.cell(column, group)}++;`);
      });
    },
    result: (group) => (table.columns[column]!.data as Float64Array)[group]!,
    column: (count) => integers(table.columns[column]!.data as Float64Array, null, count),
  };
}

/** Chooses its form when it sees what kind of values its argument has. */
class Adaptive implements KernelAggregate {
  private chosen: KernelAggregate | null = null;
  private kind: ValueKind = 'any';
  private scale = 0;

  constructor(private readonly agg: Aggref, private readonly name: 'sum' | 'avg' | 'min' | 'max', private readonly table: GroupTable, private readonly run: PipelineRun, private readonly scope: CompileScope, private readonly shared: SharedColumns) {}

  step(kernel: Kernel, lowering: Lowering, group: string, arrays: GroupArrays): void {
    const value = lowering.value(this.agg.args[0]!.expr);
    if (!this.chosen) {
      this.kind = value.kind;
      this.scale = value.scale;
      this.chosen = this.choose(value, lowering.maxRows);
    } else if (!(this.chosen instanceof Stepped) && (value.kind !== this.kind || value.scale !== this.scale)) throw new NotColumnar();
    this.chosen.step(kernel, lowering, group, arrays);
  }

  private choose(value: Value, maxRows: number): KernelAggregate {
    const { agg, name, table, run, scope, shared } = this;
    const integral = value.kind === 'int' || value.kind === 'decimal';
    if (name === 'sum' || name === 'avg') {
      if (integral && value.min >= -EXACT / 2 && value.max <= EXACT / 2) return exactSum(agg, name, table, value, shared, maxRows);
      if (value.halves) return wideSum(agg, name, table);
      if (value.kind === 'float' && value.type === FLOAT8) return floatSum(agg, name, table);
    } else {
      if (integral && value.shownScale === undefined) return extreme(agg, name, table, value, (number) => (value.kind === 'int' ? number + 0 : Numeric.of(number + 0, value.scale)));
      if (value.kind === 'float') return extreme(agg, name, table, value, (number) => number);
      if (value.kind === 'ref') return extremeText(agg, name, table, run);
    }
    return new Stepped(agg, scope);
  }

  get merge(): KernelAggregate['merge'] {
    return this.chosen?.merge;
  }

  result(group: number, state: ExecState): Datum {
    return this.chosen!.result(group, state);
  }

  column(count: number): NumberColumn | null {
    return this.chosen!.column?.(count) ?? null;
  }
}

/** Integers and decimals: a low part that carries into a high one when it could lose digits. */
function exactSum(agg: Aggref, name: 'sum' | 'avg', table: GroupTable, value: Value, shared: SharedColumns, maxRows: number): KernelAggregate {
  const low = numbers(table);
  const high = numbers(table);
  const everyRow = value.isNull === null && agg.filter === null;
  const counts = everyRow ? shared.rows() : numbers(table);
  const shown = value.shownScale === undefined ? -1 : numbers(table);
  const magnitude = Math.max(Math.abs(value.min), Math.abs(value.max));
  const carries = magnitude * Math.min(MAX_ROWS, maxRows) > EXACT;
  const add = (kernel: Kernel, group: string, arrays: GroupArrays, code: string): void => {
    const sum = arrays.cell(low, group);
    if (!carries) kernel.line(`${sum} += ${code};`);
    else {
      const next = kernel.name('s');
      kernel.line(`const ${next} = ${sum} + ${code};`);
      kernel.line(`if (${next} > ${EXACT / 4} || ${next} < ${-EXACT / 4}) { const c = Math.trunc(${next} / ${CARRY}); ${arrays.cell(high, group)} += c; ${sum} = ${next} - c * ${CARRY}; } else ${sum} = ${next};`);
    }
  };
  return {
    step(kernel, lowering, group, arrays) {
      const found = lowering.value(agg.args[0]!.expr);
      // Written for other rows than the first time: the bounds do not hold for them.
      if ((everyRow && found.isNull !== null) || Math.max(Math.abs(found.min), Math.abs(found.max)) > magnitude || (!carries && lowering.maxRows > maxRows)) throw new NotColumnar();
      guarded(agg, kernel, lowering, found.isNull, () => {
        if (everyRow) arrays.countRows();
        else kernel.line(`${arrays.cell(counts, group)}++;`);
        if (shown >= 0) kernel.line(`if (${found.shownScale ?? String(found.scale)} > ${arrays.cell(shown, group)}) ${arrays.cell(shown, group)} = ${found.shownScale ?? String(found.scale)};`);
        add(kernel, group, arrays, found.code);
      });
    },
    merge(kernel, group, arrays, part) {
      if (everyRow) arrays.countRows();
      else kernel.line(`${arrays.cell(counts, group)} += ${part(counts)};`);
      if (shown >= 0) kernel.line(`if (${part(shown)} > ${arrays.cell(shown, group)}) ${arrays.cell(shown, group)} = ${part(shown)};`);
      kernel.line(`${arrays.cell(high, group)} += ${part(high)};`);
      add(kernel, group, arrays, part(low));
    },
    result(group) {
      const at = (column: number): number => (table.columns[column]!.data as Float64Array)[group]!;
      const rows = at(counts);
      if (rows === 0) return null;
      const total = BigInt(at(high)) * BigInt(CARRY) + BigInt(at(low));
      if (name === 'sum' && agg.type === INT8) return checkInt8(total);
      // Where rows differ in scale the sum has the largest of them; the number itself is at `value.scale`.
      const scale = shown >= 0 ? at(shown) : value.scale;
      const sum = Numeric.of(coefficient(scale === value.scale ? total : total / 10n ** BigInt(value.scale - scale)), scale);
      return name === 'sum' ? sum : sum.divide(Numeric.of(rows, 0));
    },
    column(count) {
      if (name !== 'sum' || shown >= 0 || (table.columns[high]!.data as Float64Array).some((part) => part !== 0)) return null;
      const found = integers(table.columns[low]!.data as Float64Array, emptyGroups(table.columns[counts]!.data as Float64Array, count), count);
      if (!(found.min >= -EXACT && found.max <= EXACT)) return null;
      return agg.type === NUMERIC ? { ...found, kind: 'decimal', scale: value.scale } : found;
    },
  };
}

/** Integers of 64 bits by halves: each part carries into the one above before it could lose digits. */
function wideSum(agg: Aggref, name: 'sum' | 'avg', table: GroupTable): KernelAggregate {
  const [low, high, top, counts] = [numbers(table), numbers(table), numbers(table), numbers(table)];
  const carry = (kernel: Kernel, a: string, b: string, c: string): void => {
    kernel.line(`if (${a} > ${EXACT / 4}) { const c = Math.floor(${a} / ${CARRY}); ${b} += c; ${a} -= c * ${CARRY}; }`);
    kernel.line(`if (${b} > ${EXACT / 4} || ${b} < ${-EXACT / 4}) { const c = Math.trunc(${b} / ${CARRY}); ${c} += c; ${b} -= c * ${CARRY}; }`);
  };
  return {
    step(kernel, lowering, group, arrays) {
      const found = lowering.value(agg.args[0]!.expr);
      const { halves } = found;
      if (!halves) throw new NotColumnar();
      guarded(agg, kernel, lowering, found.isNull, () => {
        const [a, b, c] = [low, high, top].map((column) => arrays.cell(column, group)) as [string, string, string];
        kernel.line(`${arrays.cell(counts, group)}++; ${a} += ${halves.low} >>> 0; ${b} += ${halves.high};`);
        carry(kernel, a, b, c);
      });
    },
    merge(kernel, group, arrays, part) {
      const [a, b, c] = [low, high, top].map((column) => arrays.cell(column, group)) as [string, string, string];
      kernel.line(`${arrays.cell(counts, group)} += ${part(counts)}; ${a} += ${part(low)}; ${b} += ${part(high)}; ${c} += ${part(top)};`);
      carry(kernel, a, b, c);
    },
    result(group) {
      const at = (column: number): number => (table.columns[column]!.data as Float64Array)[group]!;
      const rows = at(counts);
      if (rows === 0) return null;
      const total = (BigInt(at(top)) << 64n) + (BigInt(at(high)) << 32n) + BigInt(at(low));
      const sum = Numeric.of(coefficient(total), 0);
      return name === 'sum' ? sum : sum.divide(Numeric.of(rows, 0));
    },
  };
}

/** Integers of the first `count` groups with their range. */
function integers(data: Float64Array, nulls: Uint8Array | null, count: number): NumberColumn {
  let min = Infinity;
  let max = -Infinity;
  for (let group = 0; group < count; group++) {
    if (nulls && nulls[group] === 1) continue;
    const value = data[group]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { kind: 'int', scale: 0, min: min > max ? 0 : min, max: min > max ? 0 : max, data, nulls };
}

/** 1 where `counts` is 0; null when none is. */
function emptyGroups(counts: ArrayLike<number>, count: number): Uint8Array | null {
  let nulls: Uint8Array | null = null;
  for (let group = 0; group < count; group++) if (counts[group] === 0) (nulls ??= new Uint8Array(count))[group] = 1;
  return nulls;
}

/** float8 sums run in row order, as PostgreSQL's do. */
function floatSum(agg: Aggref, name: 'sum' | 'avg', table: GroupTable): KernelAggregate {
  const sum = numbers(table);
  const count = numbers(table);
  return {
    step(kernel, lowering, group, arrays) {
      const found = lowering.value(agg.args[0]!.expr);
      guarded(agg, kernel, lowering, found.isNull, () => kernel.line(`${arrays.cell(sum, group)} += ${found.code}; ${arrays.cell(count, group)}++;`));
    },
    result(group) {
      const rows = (table.columns[count]!.data as Float64Array)[group]!;
      if (rows === 0) return null;
      const total = (table.columns[sum]!.data as Float64Array)[group]!;
      // Overflow and infinities among the rows are told apart by the row executor.
      if (!Number.isFinite(total)) throw new NotColumnar();
      return name === 'sum' ? total : total / rows;
    },
  };
}

function extreme(agg: Aggref, name: 'min' | 'max', table: GroupTable, value: Value, datum: (number: number) => Datum): KernelAggregate {
  const best = numbers(table);
  const seen = table.addColumn('bool');
  const consider = (kernel: Kernel, group: string, arrays: GroupArrays, code: string): void => {
    const current = arrays.cell(best, group);
    const x = kernel.name('x');
    kernel.line(`const ${x} = ${code};`);
    // NaN is greater than every number.
    const nan = value.kind !== 'float' ? '' : name === 'max' ? ` || ${x} !== ${x}` : ` || ${current} !== ${current}`;
    kernel.line(`if (${arrays.cell(seen, group)} === 0 || ${x} ${name === 'min' ? '<' : '>'} ${current}${nan}) { ${current} = ${x}; ${arrays.cell(seen, group)} = 1; }`);
  };
  return {
    step(kernel, lowering, group, arrays) {
      const found = lowering.value(agg.args[0]!.expr);
      guarded(agg, kernel, lowering, found.isNull, () => consider(kernel, group, arrays, found.code));
    },
    merge: (kernel, group, arrays, part) => kernel.block(`if (${part(seen)} === 1)`, () => consider(kernel, group, arrays, part(best))),
    result: (group) => ((table.columns[seen]!.data as Uint8Array)[group] === 0 ? null : datum((table.columns[best]!.data as Float64Array)[group]!)),
    column(count) {
      if (value.kind !== 'int' && value.kind !== 'decimal') return null;
      const found = integers(table.columns[best]!.data as Float64Array, emptyGroups(table.columns[seen]!.data as Uint8Array, count), count);
      return { ...found, kind: value.kind, scale: value.scale };
    },
  };
}

function extremeText(agg: Aggref, name: 'min' | 'max', table: GroupTable, run: PipelineRun): KernelAggregate {
  // 1 + the number of the text; 0 before the first.
  const best = numbers(table);
  const { texts } = run.interner;
  const sign = name === 'min' ? 1 : -1;
  const better = (candidate: number, current: number): boolean => current === 0 || (candidate !== current - 1 && sign * compareText(texts[candidate]!, texts[current - 1]!) < 0);
  return {
    step(kernel, lowering, group, arrays) {
      const found = lowering.value(agg.args[0]!.expr);
      guarded(agg, kernel, lowering, found.isNull, () => {
        const current = arrays.cell(best, group);
        const x = kernel.name('x');
        kernel.line(`const ${x} = ${found.code};`);
        kernel.line(`if (${kernel.outside(better, 'f')}(${x}, ${current})) ${current} = ${x} + 1;`);
      });
    },
    result(group) {
      const at = (table.columns[best]!.data as Float64Array)[group]!;
      return at === 0 ? null : texts[at - 1]!;
    },
  };
}

/** The aggregate's own state, by group. */
class Stepped implements KernelAggregate {
  private readonly bound: BoundAggregate;
  private readonly states: unknown[] = [];

  constructor(private readonly agg: Aggref, scope: CompileScope) {
    const found = implementation(scope, procOf(scope, agg.func));
    if (found.kind !== 'aggregate') throw new NotColumnar();
    this.bound = found.bind(functionCall(scope, agg.argTypes, agg.type, agg.inputCollation, agg.variadic));
  }

  step(kernel: Kernel, lowering: Lowering, group: string): void {
    const { bound, states } = this;
    const advance = (at: number, ...values: Datum[]): void => {
      if (bound.skipNulls && values.includes(null)) return;
      if (!(at in states)) states[at] = bound.initial();
      states[at] = bound.step(states[at], ...values);
    };
    const call = `${kernel.outside(advance, 'f')}(${[group, ...this.agg.args.map((arg) => lowering.datum(lowering.value(arg.expr)))].join(', ')});`;
    guarded(this.agg, kernel, lowering, null, () => kernel.line(call));
  }

  result(group: number, state: ExecState): Datum {
    return this.bound.finish(group in this.states ? this.states[group] : this.bound.initial(), state.context);
  }
}

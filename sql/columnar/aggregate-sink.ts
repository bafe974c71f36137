/** Groups in a hash table over number columns, filled by a pipeline's rows, on one thread or several. */
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { AggNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { ArrayLease } from './array-lease.js';
import { kernelAggregate, type GroupArrays, type KernelAggregate } from './aggregates.js';
import { GroupTable } from './group-table.js';
import { kernelMemory } from './kernel-memory.js';
import { emitPart, type KeyPart } from './key-parts.js';
import type { Kernel } from './kernel.js';
import type { Lowering } from './lower-expression.js';
import type { Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { ResultSource, lazyColumn, type NumberColumn, type PlaceColumn, type ResultColumn } from './result-source.js';
import type { Source } from './source.js';
import { threadedGroups } from './threaded-groups.js';
import type { ThreadedSink } from './thread-run.js';
import { intValue, joinHalves, type Value } from './value.js';
import { NotColumnar, TooMuch } from './segment.js';

/** How a group becomes an output row. */
export type OutputColumn = { readonly group: number } | { readonly agg: number };

/** Columns of the group table by position, -1 for none: the number of the value or its place (interner.ts), whether it is NULL, the value itself. */
interface GroupColumn { readonly value: Value; readonly key: number; /** Upper half of a 64-bit integer, whose lower half is `key`. */ readonly high: number; readonly places: boolean; readonly nulls: number; readonly datum: number }

const NO_COLUMN: GroupColumn = { value: intValue('0', null, 0, 0, 0), key: -1, high: -1, places: false, nulls: -1, datum: -1 };

/** Groups that are found by their number alone: no hashing. */
interface Direct { slots: Int32Array; readonly parts: readonly { readonly min: number; readonly span: number; readonly max: number }[] }

export class AggregateSink implements Sink {
  readonly table: GroupTable;
  readonly aggregates: readonly KernelAggregate[];
  private groups: GroupColumn[] | null = null;
  private direct: Direct | null = null;
  private rows = -1;
  private readonly memory: number;

  constructor(private readonly node: AggNode, private readonly dependent: readonly boolean[], private readonly run: PipelineRun, scope: ReturnType<PlanCompiler['scope']>, private readonly part: KeyPart, /** Beside the node's own. */ more: (table: GroupTable) => readonly KernelAggregate[] = () => []) {
    this.table = new GroupTable(run.arrays);
    this.memory = kernelMemory(run.state);
    const shared = { rows: () => (this.rows >= 0 ? this.rows : (this.rows = this.table.addColumn('float'))) };
    this.aggregates = [...node.aggs.map((agg) => kernelAggregate(agg, this.table, run, scope, shared)), ...more(this.table)];
    // Without groups there is one, even over no rows.
    if (node.groups.length === 0) this.table.add(0, 0);
  }

  emit(kernel: Kernel, lowering: Lowering): void {
    const counting = this.write(kernel, lowering, (aggregate, group, arrays) => aggregate.step(kernel, lowering, group, arrays));
    if (counting) kernel.line(`${counting}++;`);
  }

  /** Other threads may have tables of their own, unless a group or an aggregate keeps more than numbers. */
  threaded(): ThreadedSink {
    const { direct } = this;
    return threadedGroups({
      table: this.table, aggregates: this.aggregates, run: this.run, fewGroups: this.node.cost.rows, slots: direct && { get: () => direct.slots, set: (slots) => { this.run.arrays.forget(direct.slots); direct.slots = slots; } },
      merge: (kernel, lowering, part) => {
        const counting = this.write(kernel, lowering, (aggregate, group, arrays) => aggregate.merge!(kernel, group, arrays, part));
        if (counting) kernel.line(`${counting} += ${part(this.rows)};`);
      },
      groupValue: (expr, part) => {
        const { value: { kind, scale, min, max, type, padded }, key, high, places, nulls } = this.groups![this.node.groups.indexOf(expr)]!;
        const code = part(key);
        return {
          kind, scale, min, max, type, code, isNull: nulls < 0 ? null : `${part(nulls)} === 1`, ...(padded ? { padded } : {}),
          ...(places ? { place: code } : {}), ...(high < 0 ? {} : { halves: { low: code, high: part(high) } }),
        };
      },
    });
  }

  /** Writes the finding of a row's group and `step` for each aggregate; answers the cell that counts the group's rows, if one is asked for. */
  private write(kernel: Kernel, lowering: Lowering, step: (aggregate: KernelAggregate, group: string, arrays: GroupArrays) => void): string | null {
    const { table, node } = this;
    const name = kernel.outside(table, 't');
    const used = new Map<number, string>();
    const reload: string[] = [];
    const data = (column: number): string => {
      let found = used.get(column);
      if (found === undefined) {
        used.set(column, (found = kernel.name('g')));
        kernel.before(`let ${found} = ${name}.columns[${column}].data;`);
        reload.push(`${found} = ${name}.columns[${column}].data;`);
      }
      return found;
    };
    const locals = new Map<number, string>();
    // The only group lives in local variables.
    const local = (column: number): string => {
      let found = locals.get(column);
      if (found === undefined) {
        locals.set(column, (found = kernel.name('g')));
        kernel.before(`let ${found} = ${name}.columns[${column}].data[0];`);
        kernel.after(`${name}.columns[${column}].data[0] = ${found};`);
      }
      return found;
    };
    let counting = false;
    const alone = node.groups.length === 0;
    const arrays: GroupArrays = {
      cell: (column, group) => (alone ? local(column) : `${data(column)}[${group}]`),
      countRows: () => void (counting = true),
    };
    const group = alone ? '0' : this.findGroup(kernel, lowering, data, name, reload);
    // The steps name their arrays while they are written; the reloading before them must know all.
    for (const aggregate of this.aggregates) step(aggregate, group, arrays);
    return counting ? arrays.cell(this.rows, group) : null;
  }

  private findGroup(kernel: Kernel, lowering: Lowering, data: (column: number) => string, name: string, reload: string[]): string {
    const { table, node, run, dependent } = this;
    const fresh = this.groups === null;
    const group = kernel.name('w');
    const values = node.groups.map((expr, k) => (dependent[k] ? null : lowering.value(expr)));
    const boxed = values.map((value, k) => value !== null && (this.groups ? this.groups[k]!.datum >= 0 : !run.isGroupKey(value) && !value.halves));
    const keys = values.map((value, k) => (value && boxed[k]! ? run.boxedKey(value, lowering, kernel) : value));
    if (this.groups && values.some((value, k) => value && !boxed[k]! && (this.groups![k]!.high >= 0 ? !value.halves : !run.isGroupKey(value)))) throw new NotColumnar();
    emitPart(kernel, keys.filter((key) => key !== null), this.part);
    // Groups are made by later kernels too, whose values must fit the same columns.
    this.groups ??= values.map((value, k) => {
      const key = keys[k];
      if (!value || !key) return NO_COLUMN;
      const { halves } = key;
      return {
        value, places: false,
        key: halves ? table.addColumn('int', true) : table.addColumn(key.kind === 'ref' ? 'ref' : 'float'),
        high: halves ? table.addColumn('int', true) : -1,
        nulls: key.isNull === null ? -1 : table.addColumn('bool'),
        datum: boxed[k]! ? table.addColumn('any') : -1,
      };
    });
    const columns = this.groups;
    const parts: { code: string; isNull: string | null; column: number; k: number }[] = [];
    keys.forEach((key, k) => {
      if (!key) return;
      if (columns[k]!.nulls < 0 && key.isNull !== null) throw new NotColumnar();
      const isNull = columns[k]!.nulls >= 0 ? kernel.name('u') : null;
      if (isNull) kernel.line(`const ${isNull} = ${key.isNull ?? 'false'} ? 1 : 0;`);
      const part = (source: string, column: number, ofNull: string | null): void => {
        const code = kernel.name('q');
        kernel.line(`const ${code} = ${isNull ? `${isNull} === 1 ? 0 : ` : ''}${source};`);
        parts.push({ code, isNull: ofNull, column, k });
      };
      const { key: lower, high } = columns[k]!;
      if (high < 0) part(key.code, lower, isNull);
      else {
        part(key.halves!.low, lower, isNull);
        part(key.halves!.high, high, null);
      }
    });
    const present = keys.filter((key) => key !== null);
    if (fresh) {
      this.direct = directGroups(present, lowering.sourceRows, run.arrays);
      const expected = Math.ceil(node.cost.rows * (node.filter.length > 0 ? HAVING_KEEPS : 1));
      table.reserve(Math.min(expected, lowering.sourceRows, this.direct?.slots.length ?? Infinity));
    }
    const direct = this.direct;
    if (direct && present.some((key, n) => key.isNull !== 'true' && (key.min < direct.parts[n]!.min || key.max > direct.parts[n]!.max))) throw new NotColumnar();
    let added: string;
    if (direct) {
      const slots = kernel.outside(direct.slots, 's');
      const index = parts.reduce((sum, { code, isNull }, n) => {
        const { min, span } = direct.parts[n]!;
        const own = min === 0 ? code : `${code} - ${kernel.outside(min)}`;
        const offset = isNull ? `(${isNull} === 1 ? ${span - 1} : ${own})` : own;
        return sum === '' ? offset : `(${sum}) * ${span} + ${offset}`;
      }, '');
      const slot = kernel.name('p');
      kernel.line(`const ${slot} = ${index};`);
      kernel.line(`let ${group} = ${slots}[${slot}] - 1;`);
      added = `${name}.addDirect(); ${slots}[${slot}] = ${group} + 1;`;
    } else {
      const hash = kernel.name('h');
      kernel.line(`let ${hash} = 0;`);
      parts.forEach(({ code, isNull }) => {
        kernel.line(`${hash} = Math.imul(${hash} ^ (${code} | 0), -1640531535) ^ ((${code} / 4294967296) | 0)${isNull ? ` ^ ${isNull}` : ''}; ${hash} ^= ${hash} >>> 15;`);
      });
      const slots = kernel.name('s');
      const mask = kernel.name('m');
      kernel.before(`let ${slots} = ${name}.slots, ${mask} = ${name}.mask;`);
      const slot = kernel.name('p');
      const same = parts.map(({ code, isNull, column, k }) => `${data(column)}[${group}] === ${code}${isNull ? ` && ${data(columns[k]!.nulls)}[${group}] === ${isNull}` : ''}`);
      kernel.line(`let ${slot} = ${hash} & ${mask}, ${group};`);
      kernel.line(`while ((${group} = ${slots}[${slot}] - 1) >= 0 && !(${same.join(' && ')})) ${slot} = (${slot} + 1) & ${mask};`);
      added = `${name}.add(${hash}, ${slot}); ${slots} = ${name}.slots; ${mask} = ${name}.mask;`;
    }
    kernel.block(`if (${group} < 0)`, () => {
      kernel.late(() => `${group} = ${added} ${reload.join(' ')}`);
      for (const { code, isNull, column, k } of parts) {
        const { nulls, datum } = columns[k]!;
        kernel.line(`${data(column)}[${group}] = ${code};${isNull ? ` ${data(nulls)}[${group}] = ${isNull};` : ''}`);
        if (datum >= 0) kernel.line(`${data(datum)}[${group}] = ${lowering.datum(values[k]!)};`);
      }
      node.groups.forEach((expr, k) => {
        if (dependent[k]) this.keepDependent(k, lowering.value(expr), fresh, kernel, lowering, data, group);
      });
    });
    return group;
  }

  /** Writes the keeping of a value that follows from the group's key: as a number where that is enough. */
  private keepDependent(k: number, value: Value, fresh: boolean, kernel: Kernel, lowering: Lowering, data: (column: number) => string, group: string): void {
    const { table } = this;
    const groups = this.groups!;
    const places = value.place !== undefined;
    const plain = places || value.kind === 'ref' || value.kind === 'int' || value.kind === 'bool' || (value.kind === 'decimal' && value.shownScale === undefined);
    if (fresh) {
      groups[k] = plain
        ? { value, places, high: -1, key: table.addColumn(value.kind === 'ref' ? 'ref' : value.kind === 'bool' ? 'bool' : 'float'), nulls: value.isNull === null ? -1 : table.addColumn('bool'), datum: -1 }
        : { ...NO_COLUMN, datum: table.addColumn('any') };
    }
    const column = groups[k]!;
    if (column.datum >= 0) {
      kernel.line(`${data(column.datum)}[${group}] = ${lowering.datum(value)};`);
      return;
    }
    const known = column.value;
    if (!plain || places !== column.places || value.kind !== known.kind || value.scale !== known.scale || (value.isNull !== null && column.nulls < 0)) throw new NotColumnar();
    const code = value.place ?? value.code;
    kernel.line(`${data(column.key)}[${group}] = ${value.isNull === null ? code : `${value.isNull} ? 0 : ${code}`};`);
    if (column.nulls >= 0) kernel.line(`${data(column.nulls)}[${group}] = ${value.isNull ?? 'false'} ? 1 : 0;`);
  }

  drain(): void {
    if (this.table.bytes > this.memory) throw new TooMuch(this);
  }

  /** The groups as what a kernel reads: numbers where results are, functions where they are computed when asked for. */
  asSource(columns: readonly OutputColumn[], types: readonly number[]): Source {
    return new ResultSource(this.results(columns, types), this.table.count, this.run.interner);
  }

  results(columns: readonly OutputColumn[], types: readonly number[]): ResultColumn[] {
    const { table, run } = this;
    return columns.map((column, c) => {
      const found = 'group' in column ? this.groupColumn(column.group) : this.aggregates[column.agg]!.column?.(table.count) ?? null;
      const datum = 'group' in column ? (group: number) => this.groupValue(column.group, group) : (group: number) => this.aggregates[column.agg]!.result(group, run.state);
      return found ? { ...found, type: types[c]! } : lazyColumn(datum, types[c]!);
    });
  }

  private groupColumn(k: number): NumberColumn | PlaceColumn | null {
    const { value, key, places, nulls, datum } = this.groups![k]!;
    if (datum >= 0 || value.kind === 'any') return null;
    const { columns } = this.table;
    if (places) return { kind: 'places', data: columns[key]!.data as Int32Array, nulls: nulls >= 0 ? (columns[nulls]!.data as Uint8Array) : null, ...(value.padded ? { padded: true } : {}) };
    return {
      kind: value.kind, scale: value.scale, min: value.min, max: value.max, ...(value.padded ? { padded: true } : {}),
      data: columns[key]!.data as Float64Array, nulls: nulls >= 0 ? (columns[nulls]!.data as Uint8Array) : null,
    };
  }

  groupValue(k: number, group: number): Datum {
    const { value, key, high, places, nulls, datum } = this.groups![k]!;
    const { columns } = this.table;
    if (datum >= 0) return (columns[datum]!.data as Datum[])[group]!;
    if (nulls >= 0 && (columns[nulls]!.data as Uint8Array)[group] === 1) return null;
    const number = (columns[key]!.data as Float64Array)[group]!;
    if (high >= 0) return joinHalves((columns[high]!.data as Int32Array)[group]!, number);
    switch (value.kind) {
      case 'bool': return number === 1;
      case 'decimal': return Numeric.of(number + 0, value.scale);
      case 'ref': return places ? this.run.interner.textAt(number) : this.run.interner.texts[number]!;
      default: return number + 0;
    }
  }
}

/** What the estimate for HAVING is undone by. */
const HAVING_KEEPS = 4;
/** Most slots of a direct look-up for each row of the source. */
const DIRECT_SLOTS_PER_ROW = 4;
const FREE_DIRECT_SLOTS = 65536;

function directGroups(keys: readonly Value[], sourceRows: number, arrays: ArrayLease): Direct | null {
  let product = 1;
  const parts = keys.map(({ min, max, isNull }) => {
    const span = max - min + 1 + (isNull === null ? 0 : 1);
    product *= span;
    return { min, max, span };
  });
  if (keys.length === 0 || keys.some((key) => key.kind !== 'int' && key.kind !== 'ref' && key.kind !== 'bool' && key.kind !== 'decimal')) return null;
  if (!(product <= Math.max(FREE_DIRECT_SLOTS, sourceRows * DIRECT_SLOTS_PER_ROW))) return null;
  return { slots: arrays.int32Later(product), parts };
}

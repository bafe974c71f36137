/**
 * What a kernel loops over: a list of views with the same columns. Knows the bounds over all views,
 * which decide how expressions over them are written.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { ColumnClass } from './column-class.js';
import type { Dictionary } from './dictionary.js';
import type { Interner } from './interner.js';
import { keepResults, keptResults, MIN_KEPT_TEXTS, type LiftKey, type Results } from './lift-cache.js';
import type { LikePattern } from './like.js';
import type { Kernel, KernelView } from './kernel.js';
import { ColumnBuilder, NotColumnar, type ColumnData, type ColumnVector } from './segment.js';
import type { ColumnView } from './relation-columns.js';
import { anyValue, boolValue, intValue, type Deferred, type Value } from './value.js';

/** How an expression over one text is computed for all texts of a dictionary. */
export interface TextLift {
  readonly expr: Expr;
  readonly evaluate: (text: string | null) => Datum;
  /** Results in a form that outlives the execution, and from there to the table that a kernel reads. */
  readonly make: (results: readonly Datum[]) => Results;
  readonly unmake: (results: Results) => unknown;
  readonly pattern: LikePattern | null;
  readonly keyOf: (nullable: boolean) => LiftKey | null;
}

/** Texts of a dictionary up to which all are numbered before the kernel runs. */
const MAX_EAGER_TEXTS = 1024;

/** One column of one view: typed, or plain datums. */
export type SourceColumn = ColumnVector | { readonly class: null; readonly data: readonly Datum[] | ColumnData; readonly nulls: Uint8Array | null; readonly dictionary: null };

export interface SourceView { /** Slots before it do not count. */ readonly first?: number; readonly rows: number; readonly skip: Uint8Array | null; readonly columns: readonly SourceColumn[] }

export class Source {
  readonly kernelViews: KernelView[];
  private readonly bases: readonly number[];
  readonly rows: number;

  constructor(readonly views: readonly SourceView[], private readonly types: readonly number[], protected readonly interner: Interner) {
    let slots = 0;
    this.bases = views.map((view) => (slots += view.rows) - view.rows);
    this.kernelViews = views.map((view, v) => ({
      base: this.bases[v]!,
      data: view.columns.map((column) => column.data),
      halves: view.columns.map(({ data }) => (data instanceof BigInt64Array ? new Int32Array(data.buffer, data.byteOffset, data.length * 2) : null)),
      nulls: view.columns.map((column) => column.nulls),
      skip: view.skip,
      refs: view.columns.map(() => null),
      places: view.columns.map(() => 0),
      dictionaries: view.columns.map((column) => column.dictionary),
      lifted: [],
    }));
    this.rows = views.reduce((sum, view) => sum + view.rows - (view.first ?? 0), 0);
  }

  static ofSegments(views: readonly ColumnView[], types: readonly number[], interner: Interner): Source {
    return new Source(views, types, interner);
  }

  /** From datums by column. */
  static ofRows(columns: readonly Datum[][], rows: number, classes: readonly (ColumnClass | null)[], types: readonly number[], interner: Interner): Source {
    const built = columns.map((values, c) => columnOf(values, rows, classes[c]!));
    return new Source(rows === 0 ? [] : [{ rows, skip: null, columns: built }], types, interner);
  }

  get skips(): boolean {
    return this.views.some((view) => view.skip !== null);
  }

  bounds(column: number): { min: number; max: number } {
    let min = Infinity;
    let max = -Infinity;
    for (const view of this.views) {
      const found = view.columns[column]!;
      if (found.class === null || found.class.kind === 'big') return { min: -Infinity, max: Infinity };
      if (found.min < min) min = found.min;
      if (found.max > max) max = found.max;
    }
    return min > max ? { min: 0, max: 0 } : { min, max };
  }

  hasNulls(column: number): boolean {
    return this.views.some((view) => view.columns[column]!.nulls !== null);
  }

  /** Class that all views share; null when one of them holds plain datums. */
  classOf(column: number): ColumnClass | null {
    if (this.views.some((view) => view.columns[column]!.class === null)) return null;
    return this.views.find((view) => view.columns[column]!.class!.kind === 'big')?.columns[column]!.class ?? this.views[0]?.columns[column]!.class ?? null;
  }

  /** The column in the row `i` of the running kernel. */
  value(kernel: Kernel, column: number): Value {
    const type = this.types[column]!;
    const data = this.array(kernel, 'data', column);
    const found = this.classOf(column);
    if (found === null) return anyValue(kernel.once(`any${column}`, 'v', () => `${data}[i]`), type);
    if (found.kind === 'big') {
      // A view in which all are in a double's range has them as doubles.
      const halves = this.array(kernel, 'halves', column);
      const split = (upper: boolean) => (view: KernelView): string =>
        (view.data[column] instanceof BigInt64Array ? `${halves}[2 * i${upper ? ' + 1' : ''}]` : upper ? `Math.floor(${data}[i] / 4294967296)` : `${data}[i] | 0`);
      const high = (): string => kernel.onceLate(`high${column}`, 'v', split(true));
      const low = (): string => kernel.onceLate(`low${column}`, 'v', split(false));
      const datum = (): string => kernel.once(`any${column}`, 'v', () => `${kernel.outside(integerAt, 'f')}(${data}, ${this.array(kernel, 'nulls', column)}, i)`);
      return {
        kind: 'any', isNull: this.nullTest(kernel, column), scale: 0, min: -Infinity, max: Infinity, type,
        get halves() {
          return { high: high(), low: low() };
        },
        get code() {
          return datum();
        },
      };
    }
    const isNull = this.nullTest(kernel, column);
    const { min, max } = this.bounds(column);
    const origin = { source: 0, column };
    switch (found.kind) {
      case 'bool': return { ...boolValue(this.read(kernel, data, column), isNull), column: origin };
      case 'int': return { ...intValue(this.read(kernel, data, column), isNull, type, min, max), column: origin };
      case 'decimal': return { ...intValue(this.read(kernel, data, column), isNull, type, min, max), kind: 'decimal', scale: found.scale, column: origin };
      case 'float': return { ...intValue(this.read(kernel, data, column), isNull, type, -Infinity, Infinity), kind: 'float', column: origin };
      case 'text': {
        const common = { kind: 'ref', isNull, scale: 0, min: 0, type, column: origin, ...(this.isPadded(column) ? { padded: true } : {}) } as const;
        // A NULL's code is 0 and an all-NULL column has no dictionary at all.
        const nullable = (code: string): string => (isNull === null ? code : `${isNull} ? -1 : ${code}`);
        if (this.isSmall(column)) {
          this.number(column, true);
          const code = (): string => kernel.once(`ref${column}`, 'r', () => nullable(`${this.array(kernel, 'refs', column)}[${data}[i]]`));
          return {
            ...common, max: this.largestNumber(column),
            get code() {
              return code();
            },
          };
        }
        const code = (): string => {
          this.number(column, false);
          const refs = this.array(kernel, 'refs', column);
          const dictionary = this.array(kernel, 'dictionaries', column);
          const intern = kernel.outside(internAt(this.interner), 'f');
          return kernel.once(`ref${column}`, 'r', () => nullable(`(${refs}[${data}[i]] >= 0 ? ${refs}[${data}[i]] : ${intern}(${refs}, ${dictionary}, ${data}[i]))`));
        };
        return {
          ...common,
          max: Infinity,
          place: `(${this.placeOf(kernel, column)} + ${data}[i])`,
          get code() {
            return code();
          },
        };
      }
    }
  }

  /** A column of the row at a position, to be read when it is wanted. */
  deferred(kernel: Kernel, column: number): Deferred {
    return { row: kernel.once('position', 'n', () => `${kernel.base()} + i`), datum: (position) => this.datumAt(column, position) };
  }

  protected datumAt(column: number, position: number): Datum {
    let v = this.bases.length - 1;
    while (this.bases[v]! > position) v--;
    const { class: of, data, nulls, dictionary } = this.views[v]!.columns[column]!;
    const row = position - this.bases[v]!;
    if (of === null) return (data as readonly Datum[])[row]!;
    if (nulls !== null && nulls[row] === 1) return null;
    const value = (data as Float64Array)[row]!;
    switch (of.kind) {
      case 'big': return integerAt(data as BigInt64Array, nulls, row);
      case 'bool': return value === 1;
      case 'decimal': return Numeric.of(value + 0, of.scale);
      case 'text': return dictionary!.get(value);
      case 'float': return value;
      case 'int': return value + 0;
    }
  }

  private nullTest(kernel: Kernel, column: number): string | null {
    if (!this.hasNulls(column)) return null;
    const nulls = this.array(kernel, 'nulls', column);
    return kernel.once(`null${column}`, 'u', () => `${nulls} !== null && ${nulls}[i] === 1`);
  }

  private isSmall(column: number): boolean {
    return this.kernelViews.every((view) => (view.dictionaries[column]?.length ?? 0) <= MAX_EAGER_TEXTS);
  }

  private placeOf(kernel: Kernel, column: number): string {
    for (const view of this.kernelViews) {
      const dictionary = view.dictionaries[column];
      if (dictionary) view.places[column] = this.interner.firstPlace(dictionary);
    }
    return this.array(kernel, 'places', column);
  }

  /** Makes room for the numbers of a column's texts, and finds them all where they are few. */
  private number(column: number, all: boolean): void {
    for (const { refs, dictionaries } of this.kernelViews) {
      const dictionary = dictionaries[column];
      if (!dictionary || refs[column]) continue;
      const codes = (refs[column] = this.interner.refs(dictionary));
      if (all) for (let code = 0; code < codes.length; code++) if (codes[code]! < 0) codes[code] = this.interner.id(dictionary.get(code));
    }
  }

  private largestNumber(column: number): number {
    let max = 0;
    for (const { refs } of this.kernelViews) for (const id of refs[column] ?? []) if (id > max) max = id;
    return max;
  }

  private isPadded(column: number): boolean {
    const lengths = new Set(this.kernelViews.map((view) => view.dictionaries[column]).filter((dictionary) => dictionary && dictionary.length > 0).map((dictionary) => dictionary!.characters));
    return lengths.size <= 1 && !lengths.has(-1);
  }

  private read(kernel: Kernel, data: string, column: number): string {
    return kernel.once(`column${column}`, 'v', () => `${data}[i]`);
  }

  private array(kernel: Kernel, what: 'data' | 'halves' | 'nulls' | 'refs' | 'dictionaries' | 'places', column: number): string {
    return kernel.viewArray(what, column);
  }

  /** By expression: its results for the texts of large dictionaries; null where a text gives an error, which only rows may raise. */
  private readonly liftedTexts = new Map<Expr, Map<Dictionary, Results> | null>();

  private *liftInTurns(dictionaries: readonly Dictionary[], nullable: boolean, { expr, evaluate, make, pattern, keyOf }: TextLift, state: ExecState): Generator<Pending, void> {
    const done = this.liftedTexts.get(expr) ?? new Map<Dictionary, Results>();
    this.liftedTexts.set(expr, done);
    try {
      for (const dictionary of dictionaries) {
        let made = pattern && matches(dictionary, pattern, nullable);
        if (!made) {
          const results: Datum[] = [];
          for (let code = 0; code < dictionary.length; code++) {
            results.push(evaluate(dictionary.get(code)));
            if (code % TEXTS_PER_STEP === 0 && state.shouldYield()) yield TIME_SLICE;
          }
          if (nullable) results.push(evaluate(null));
          made = make(results);
        }
        done.set(dictionary, made);
        const key = keyOf(nullable);
        if (key) keepResults(dictionary, key, made);
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.sqlstate.startsWith('57')) throw error;
      this.liftedTexts.set(expr, null);
    }
  }

  /**
   * `evaluate` over each text of a column, NULL included, in tables per view: source of the index
   * and of the table, null when a text gives an error. The tables hold what `make` makes of the results.
   */
  liftText(kernel: Kernel, column: number, lift: TextLift): { table: string; index: string; tables: readonly unknown[] } | null {
    const { expr, evaluate, make, unmake, pattern, keyOf } = lift;
    const at = this.kernelViews[0]?.lifted.length ?? 0;
    const nullable = this.hasNulls(column);
    let tables;
    const done = this.liftedTexts.get(expr);
    if (done === null) return null;
    const kept = keyOf(nullable);
    const unknown = this.views.map((view) => view.columns[column]!.dictionary!).filter((dictionary) => !done?.has(dictionary) && !(kept && dictionary.length >= MIN_KEPT_TEXTS && keptResults(dictionary, kept)));
    if (unknown.reduce((sum, dictionary) => sum + dictionary.length, 0) > MOST_AT_ONCE) throw new TextsToLift((state) => this.liftInTurns(unknown, nullable, lift, state));
    try {
      tables = this.views.map((view) => {
        const dictionary = view.columns[column]!.dictionary!;
        const ready = done?.get(dictionary);
        if (ready) return unmake(ready);
        const key = dictionary.length < MIN_KEPT_TEXTS ? null : keyOf(nullable);
        const known = key && keptResults(dictionary, key);
        if (known) return unmake(known);
        const matched = pattern && matches(dictionary, pattern, nullable);
        if (matched) {
          if (key) keepResults(dictionary, key, matched);
          return matched.table;
        }
        const results: Datum[] = [];
        for (let code = 0; code < dictionary.length; code++) results.push(evaluate(dictionary.get(code)));
        if (nullable) results.push(evaluate(null));
        const made = make(results);
        if (key) keepResults(dictionary, key, made);
        return unmake(made);
      });
    } catch (error) {
      // Only rows may raise it.
      if (error instanceof DatabaseError) return null;
      throw error;
    }
    tables.forEach((table, v) => this.kernelViews[v]!.lifted.push(table));
    const table = kernel.viewArray('lifted', at);
    const data = kernel.viewArray('data', column);
    if (!nullable) return { table, index: `${data}[i]`, tables };
    const nulls = kernel.viewArray('nulls', column);
    const dictionary = kernel.viewArray('dictionaries', column);
    return { table, tables, index: `(${nulls} !== null && ${nulls}[i] === 1 ? ${dictionary}.length : ${data}[i])` };
  }
}

/** Texts for which a LIKE is true, all at once. */
function matches(dictionary: Dictionary, pattern: LikePattern, nullable: boolean): Results | null {
  const matched = dictionary.like(pattern);
  if (!matched) return null;
  // NULL LIKE anything is NULL.
  const table = nullable ? new Uint8Array(matched.length + 1).fill(2) : matched;
  if (nullable) table.set(matched);
  return { texts: null, table, bytes: table.length };
}

/** Thrown while a kernel is written: an expression has to be computed for so many texts first that it takes turns. Then it is written anew. */
export class TextsToLift extends Error {
  constructor(readonly compute: (state: ExecState) => Generator<Pending, void>) {
    super();
  }
}

/** Texts for which an expression is computed in one step. */
const MOST_AT_ONCE = 2048;
const TEXTS_PER_STEP = 128;

/** An int8 as a datum; of a view in which all are in a double's range, or one in which some are not. */
function integerAt(data: BigInt64Array | Float64Array, nulls: Uint8Array | null, i: number): Datum {
  if (nulls !== null && nulls[i] === 1) return null;
  const value = data[i]!;
  if (typeof value === 'number') return value + 0;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function internAt(interner: Interner): (refs: Int32Array, dictionary: Dictionary, code: number) => number {
  let made = interning.get(interner);
  if (!made) {
    made = (refs, dictionary, code) => (refs[code] = interner.id(dictionary.get(code)));
    interning.set(interner, made);
  }
  return made;
}

const interning = new WeakMap<Interner, (refs: Int32Array, dictionary: Dictionary, code: number) => number>();

function columnOf(values: readonly Datum[], rows: number, found: ColumnClass | null): SourceColumn {
  if (found !== null) {
    const builder = new ColumnBuilder(found, rows);
    try {
      for (let i = 0; i < rows; i++) builder.set(i, values[i]!);
      return builder.finish();
    } catch (error) {
      if (!(error instanceof NotColumnar)) throw error;
    }
  }
  return { class: null, data: values, nulls: null, dictionary: null };
}

/**
 * The inner side of a hash join: its rows as columns, and for each key the first row, rows of one key
 * chained. A key of several columns becomes one number, by the ranges that the inner side has; a
 * small range needs no hashing at all.
 */
import type { Pending } from '../../engine/pending.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { ArrayLease } from './array-lease.js';
import { Kernel } from './kernel.js';
import type { PipelineRun } from './pipeline-run.js';
import { NotColumnar } from './segment.js';
import { inSlices } from './sliced.js';
import { Source } from './source.js';
import { ColumnTable } from './table.js';
import { plannedThreads, runOnThreads } from './thread-run.js';
import { threadedInPlace } from './threaded-rows.js';
import type { KeySet } from './key-set.js';
import type { Value } from './value.js';

interface KeyPart { readonly column: number; /** The numbers stand for datums (PipelineRun.boxedKey). */ readonly boxed: boolean; /** Of decimals: what the numbers are multiples of. */ readonly scale: number; min: number; span: number }

const SLICE_ROWS = 16384;
/** What it takes to link a row. */
const LINK_MS = 1e-5;
const FREE_DIRECT_SLOTS = 65536;
const DIRECT_SLOTS_PER_PROBE = 2;
const MAX_DIRECT_SLOTS = 1 << 24;
const MULTIPLIER = 0x9e3779b1;
const MULTIPLIER_2 = 0x85ebca6b;

export class JoinTable {
  readonly rows: ColumnTable;
  /** Position in `rows` of each needed column of the inner side. */
  readonly columns = new Map<number, number>();
  readonly keys: KeyPart[] = [];
  /** 1 + the row, 0 for none. */
  heads: Int32Array = new Int32Array(0);
  next: Int32Array = new Int32Array(0);
  /** Combined key by row; unused when `direct`. */
  combined: Float64Array = new Float64Array(0);
  direct = false;
  /** Keys may be beyond 2^31. */
  private wide = false;
  /** Instead of rows, where only the presence of keys counts. */
  set: KeySet | null = null;
  /** Each key has one row: known of direct tables only. */
  unique = false;
  mask = 0;
  /** Rows that met a match, where the join keeps the others. */
  matched: Uint8Array | null = null;

  constructor(private readonly lease: ArrayLease, expectedRows: number) {
    this.rows = new ColumnTable(lease, expectedRows);
  }

  addKey(value: Value, boxed: boolean): void {
    this.keys.push({ column: this.rows.addColumn(value), boxed, scale: value.kind === 'decimal' ? value.scale : 0, min: 0, span: 1 });
  }

  /** After the last row: chains, in the rows' order. */
  *finish(run: PipelineRun, probes: number): Generator<Pending, void> {
    const { rows, keys } = this;
    const { state } = run;
    const { count } = rows;
    let product = 1;
    for (const key of keys) {
      const { data, nulls } = rows.columns[key.column]!.data;
      const numbers = data as Float64Array;
      let min = Infinity;
      let max = -Infinity;
      yield* inSlices(count, state, (from, to) => {
        for (let i = from; i < to; i++) {
          if (nulls && nulls[i] === 1) continue;
          const value = numbers[i]!;
          if (value < min) min = value;
          if (value > max) max = value;
        }
      });
      key.min = min > max ? 0 : min;
      key.span = min > max ? 1 : max - min + 1;
      product *= key.span;
    }
    if (product > Number.MAX_SAFE_INTEGER) throw new NotColumnar();
    this.direct = product <= Math.max(FREE_DIRECT_SLOTS, count * 4, Math.min(MAX_DIRECT_SLOTS, probes * DIRECT_SLOTS_PER_PROBE));
    this.wide = product > 2 ** 31;
    this.unique = this.direct;
    let size = 1024;
    while (size < count * 2) size *= 2;
    this.mask = size - 1;
    this.heads = this.lease.int32Later(this.direct ? product : size);
    this.next = this.lease.int32(count);
    this.combined = this.direct ? new Float64Array(0) : this.lease.dirtyFloat64(count);
    if (yield* this.linkElsewhere(run)) return;
    this.lease.settle();
    for (let end = count; end > 0; end -= SLICE_ROWS) {
      this.link(Math.max(0, end - SLICE_ROWS), end);
      if (state.shouldYield()) yield TIME_SLICE;
    }
  }

  /** The same on a thread, where there are many rows; false: they are to be linked here. */
  private *linkElsewhere(run: PipelineRun): Generator<Pending, boolean> {
    const { rows: { count, columns }, direct, wide } = this;
    const planned = plannedThreads(run, count * LINK_MS, false);
    if (planned === 0) return false;
    const kernel = new Kernel();
    const heads = kernel.outside(this.heads, 'h');
    const next = kernel.outside(this.next, 'h');
    const repeated = this.lease.int32(1);
    kernel.before(`if (from === 0) ${heads}.fill(0);`);
    kernel.block('for (let i = from; i < to; i++)', () => {
      kernel.line(`const row = ${kernel.outside(count)} - 1 - i;`);
      let key = '';
      for (const { column, min, span } of this.keys) {
        const { data, nulls } = columns[column]!.data;
        if (nulls) kernel.line(`if (${kernel.outside(nulls, 'b')}[row] === 1) continue;`);
        const part = `(${kernel.outside(data, 'a')}[row] - ${kernel.outside(min)})`;
        key = key === '' ? part : `(${key} * ${kernel.outside(span)} + ${part})`;
      }
      kernel.line(`const key = ${key};`);
      if (direct) kernel.line('const at = key;');
      else {
        kernel.line(`${kernel.outside(this.combined, 'h')}[row] = key;`);
        kernel.line(`const at = ${hashSource('key', wide)} >>> 7 & ${kernel.outside(this.mask)};`);
      }
      kernel.line(`const head = ${heads}[at]; if (head !== 0) ${kernel.outside(repeated, 'h')}[0] = 1;`);
      kernel.line(`${next}[row] = head; ${heads}[at] = row + 1;`);
    });
    const source = new Source([{ rows: count, skip: null, columns: [] }], [], run.interner);
    if (!(yield* runOnThreads({ run, kernel, source, sink: this, threaded: threadedInPlace(false), planned, counters: [], node: null }))) return false;
    this.lease.forget(this.heads);
    if (repeated[0] === 1) this.unique = false;
    return true;
  }

  private link(from: number, end: number): void {
    const { rows, keys, heads, next, combined, direct, mask } = this;
    const parts = keys.map((key) => ({ ...key, data: rows.columns[key.column]!.data.data as Float64Array, nulls: rows.columns[key.column]!.data.nulls }));
    rows: for (let row = end - 1; row >= from; row--) {
      let key = 0;
      for (const part of parts) {
        if (part.nulls && part.nulls[row] === 1) continue rows;
        key = key * part.span + (part.data[row]! - part.min);
      }
      let at = key;
      if (!direct) {
        combined[row] = key;
        at = (this.wide ? hash(key) : Math.imul(key, MULTIPLIER) >>> 7) & mask;
      }
      const head = heads[at]!;
      if (head !== 0) this.unique = false;
      next[row] = head;
      heads[at] = row + 1;
    }
  }

  /** Writes the look-up of a key; the result is the name of 1 + the first candidate, 0 for none. */
  probe(kernel: Kernel, values: readonly Value[]): { first: string; test: string | null; next: string } {
    const heads = kernel.outside(this.heads, 'h');
    const next = kernel.outside(this.next, 'h');
    const tests: string[] = [];
    let key = '';
    values.forEach((value, k) => {
      const { min, span } = this.keys[k]!;
      const part = kernel.name('q');
      kernel.line(`const ${part} = ${value.code} - ${kernel.outside(min)};`);
      if (value.isNull) tests.push(`!(${value.isNull})`);
      if (!(value.min >= min && value.max < min + span)) tests.push(`${part} >= 0 && ${part} < ${kernel.outside(span)}`);
      key = key === '' ? part : `(${key} * ${kernel.outside(span)} + ${part})`;
    });
    const inside = tests.length > 0 ? tests.join(' && ') : 'true';
    const first = kernel.name('p');
    if (this.direct) {
      kernel.line(`const ${first} = ${inside} ? ${heads}[${key}] : 0;`);
      return { first, test: null, next };
    }
    const whole = kernel.name('q');
    kernel.line(`const ${whole} = ${key};`);
    kernel.line(`const ${first} = ${inside} ? ${heads}[${hashSource(whole, this.wide)} >>> 7 & ${kernel.outside(this.mask)}] : 0;`);
    return { first, test: `${kernel.outside(this.combined, 'h')}[ROW] === ${whole}`, next };
  }
}

/** Source of a key's hash. */
function hashSource(key: string, wide: boolean): string {
  const low = `Math.imul(${key} | 0, ${MULTIPLIER | 0})`;
  return wide ? `(${low} ^ Math.imul((${key} / 4294967296) | 0, ${MULTIPLIER_2 | 0}))` : low;
}

function hash(key: number): number {
  return (Math.imul(key | 0, MULTIPLIER) ^ Math.imul((key / 4294967296) | 0, MULTIPLIER_2)) >>> 7;
}

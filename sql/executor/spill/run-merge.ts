/**
 * Sorted runs in one temporary file, merged by a tournament over their next rows. More runs than are merged at
 * once are merged to fewer, longer ones first.
 */
import { TIME_SLICE } from '../interrupts.js';
import type { Pending } from '../../../engine/pending.js';
import type { DataType } from '../../types/data-type.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch } from '../batch.js';
import type { CompareDatums } from '../compare.js';
import type { ExecState } from '../exec-state.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { anyVector } from '../vectors.js';
import { RowReader, RowWriter } from './row-file.js';
import { TempFile } from './temp-file.js';

const MAX_RUNS = 128;

interface Run { readonly file: TempFile; readonly from: number; readonly to: number }

/** Reads one run; `keys` are those of the rows in memory. */
class Cursor {
  columns: readonly Datum[][] = [];
  keys: readonly Datum[][] = [];
  row = 0;
  private length = 0;
  private readonly reader: RowReader;

  constructor({ file, from, to }: Run, types: readonly DataType[], readonly number: number, private readonly keyScalars: readonly Scalar[], private readonly frame: Frame) {
    this.reader = new RowReader(file, types, from, to);
  }

  /** False at the end. */
  advance(): boolean {
    if (++this.row < this.length) return true;
    const block = this.reader.next();
    if (!block) return false;
    this.columns = block.columns;
    this.length = block.length;
    this.row = 0;
    const { frame } = this;
    frame.columns = block.columns.map(anyVector);
    this.keys = this.keyScalars.map((scalar) => {
      const values = new Array<Datum>(block.length);
      for (let i = 0; i < block.length; i++) {
        frame.row = i;
        values[i] = scalar(frame);
      }
      return values;
    });
    return true;
  }

  begin(): boolean {
    this.row = 0;
    this.length = 0;
    return this.advance();
  }
}

export class RunMerge {
  private runs: Run[] = [];
  private file: TempFile | null = null;
  /** Bytes of all runs as first written. */
  bytes = 0;

  constructor(private readonly state: ExecState, private readonly types: readonly DataType[], private readonly keys: readonly Scalar[], private readonly compares: readonly CompareDatums[]) {}

  get hasRuns(): boolean {
    return this.runs.length > 0;
  }

  /** Writes a run: these rows in this order. */
  *addRun(columns: readonly Datum[][], order: Int32Array): Generator<Pending, void> {
    this.file ??= TempFile.create(this.state);
    const from = this.file.size;
    const writer = new RowWriter(this.file, this.types);
    for (let i = 0; i < order.length; i++) {
      const row = order[i]!;
      writer.add((c) => columns[c]![row]!);
      if ((i & 255) === 0 && this.state.shouldYield()) yield TIME_SLICE;
    }
    writer.flush();
    this.runs.push({ file: this.file, from, to: this.file.size });
    this.bytes += this.file.size - from;
  }

  /** All rows in order; equal ones as they came. */
  *merged(): Generator<Batch | Pending, void> {
    while (this.runs.length > MAX_RUNS) yield* this.shorten();
    yield* this.mergeOf(this.runs);
    this.file?.remove();
  }

  /** Merges neighbours, which keeps equal rows in order. */
  private *shorten(): Generator<Pending, void> {
    const file = TempFile.create(this.state);
    const longer: Run[] = [];
    for (let at = 0; at < this.runs.length; at += MAX_RUNS) {
      const from = file.size;
      const writer = new RowWriter(file, this.types);
      for (const step of this.mergeOf(this.runs.slice(at, at + MAX_RUNS))) {
        if (!('columns' in step)) {
          yield step;
          continue;
        }
        const columns = step.columns.map((vector) => vector.data as readonly Datum[]);
        for (let i = 0; i < step.length; i++) writer.add((c) => columns[c]![i]!);
      }
      writer.flush();
      longer.push({ file, from, to: file.size });
    }
    this.file!.remove();
    this.file = file;
    this.runs = longer;
  }

  private *mergeOf(runs: readonly Run[]): Generator<Batch | Pending, void> {
    const { state, compares, types } = this;
    const frame = new Frame(state);
    const heap = runs.map((run, n) => new Cursor(run, types, n, this.keys, frame)).filter((cursor) => cursor.begin());
    const before = (a: Cursor, b: Cursor): boolean => {
      for (let k = 0; k < compares.length; k++) {
        const order = compares[k]!(a.keys[k]![a.row]!, b.keys[k]![b.row]!);
        if (order !== 0) return order < 0;
      }
      return a.number < b.number;
    };
    const sink = (from: number): void => {
      const cursor = heap[from]!;
      let at = from;
      for (;;) {
        let child = at * 2 + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
        if (!before(heap[child]!, cursor)) break;
        heap[at] = heap[child]!;
        at = child;
      }
      heap[at] = cursor;
    };
    for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(at);
    const newColumns = (): Datum[][] => types.map(() => []);
    let columns = newColumns();
    let count = 0;
    while (heap.length > 0) {
      const least = heap[0]!;
      for (let c = 0; c < columns.length; c++) columns[c]!.push(least.columns[c]![least.row]!);
      count++;
      if (least.advance()) sink(0);
      else {
        const last = heap.pop()!;
        if (heap.length > 0) {
          heap[0] = last;
          sink(0);
        }
      }
      if (count === MAX_BATCH_ROWS) {
        yield { columns: columns.map(anyVector), length: count, selection: null };
        columns = newColumns();
        count = 0;
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
    if (count > 0) yield { columns: columns.map(anyVector), length: count, selection: null };
  }
}

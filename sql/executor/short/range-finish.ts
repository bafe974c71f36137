/**
 * What becomes of the rows of a short range: they are answered as they come, or aggregated into one row, or sorted (and made distinct) first.
 * A finish is made with its plan and used by one execution at a time: nothing waits between `begin` and `end`.
 */
import type { SortKey } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import type { TupleCodec } from '../../access/tuple-codec.js';
import type { Accumulator, NewAccumulator } from '../aggregation.js';
import type { CompareDatums } from '../compare.js';
import type { Frame, Scalar } from '../expressions/frame.js';
import type { ShortExecution } from './short-plan.js';

export interface RangeFinish {
  /** Rows are counted without being read. */
  readonly blind: boolean;
  /** As many rows as LIMIT says are enough. */
  readonly stopsAtLimit: boolean;
  begin(): void;
  /** Takes the frame's row, valid during the call. False: the general way must do it. */
  row(frame: Frame, execution: ShortExecution): boolean;
  /** Answers what is left, at most `limit` rows in all; how many rows there are in all. */
  end(frame: Frame, execution: ShortExecution, limit: number): number;
}

/** Rows as they come. */
export class PlainRows implements RangeFinish {
  readonly blind = false;
  readonly stopsAtLimit = true;
  private count = 0;

  begin(): void {
    this.count = 0;
  }

  row(frame: Frame, { emitStored }: ShortExecution): boolean {
    this.count++;
    emitStored(frame);
    return true;
  }

  end(): number {
    return this.count;
  }
}

/** One row of aggregates. */
export class AggregatedRows implements RangeFinish {
  readonly stopsAtLimit = false;
  private accumulators: Accumulator[] = [];

  /** `output` reads the aggregates' results as `frame.values`. */
  constructor(private readonly makers: readonly NewAccumulator[], private readonly output: readonly Scalar[], readonly blind: boolean) {}

  begin(): void {
    this.accumulators = this.makers.map((make) => make());
  }

  row(frame: Frame): boolean {
    for (const accumulator of this.accumulators) accumulator.add(frame);
    return true;
  }

  end(frame: Frame, execution: ShortExecution, limit: number): number {
    frame.values = this.accumulators.map((accumulator) => accumulator.result(frame.state));
    this.accumulators = [];
    if (limit < 1) return 0;
    execution.emit(this.output.map((scalar) => scalar(frame)));
    return 1;
  }
}

/** A column to sort by. */
export interface RangeSortKey {
  readonly column: number;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** 'text': by its bytes where they lie; 'blanks': the same without blanks at the end; else by value. */
  readonly compare: CompareDatums | 'text' | 'blanks';
}

/** text and varchar by their bytes, which is their order (C.UTF-8); char(n) without its padding. */
export function sortKeyOf({ expr, descending, nullsFirst }: SortKey, compare: CompareDatums): RangeSortKey | null {
  if (expr.kind !== 'Var') return null;
  const { type } = expr;
  return { column: expr.attno - 1, descending, nullsFirst, compare: type === 25 || type === 1043 ? 'text' : type === 1042 ? 'blanks' : compare };
}

const BLANK = 0x20;
const PREFIX_BYTES = 6;
/** Keys that are NULL, as number of their first bytes. */
const NULL_LAST = Infinity;
const NULL_FIRST = -Infinity;

/** All rows in another order, or one of each. */
export class SortedRows implements RangeFinish {
  readonly blind = false;
  readonly stopsAtLimit = false;
  private arena = new Uint8Array(32 << 10);
  private used = 0;
  private count = 0;
  private starts = new Int32Array(64);
  /** By row: where a text key lies, key by key; -1: it is NULL. */
  private keyStarts: Int32Array;
  private keyEnds: Int32Array;
  private readonly values: Datum[][];
  /** The first key's first bytes as a number, with its direction. */
  private prefixes = new Float64Array(64);
  private order = new Int32Array(64);

  constructor(private readonly codec: TupleCodec, private readonly keys: readonly RangeSortKey[], private readonly distinct: boolean) {
    this.keyStarts = new Int32Array(64 * keys.length);
    this.keyEnds = new Int32Array(64 * keys.length);
    this.values = keys.map(() => []);
  }

  begin(): void {
    this.used = 0;
    this.count = 0;
  }

  row({ tuple, tupleAt, tupleEnd }: Frame): boolean {
    const row = this.count++;
    if (row === this.starts.length) this.growRows();
    const length = tupleEnd - tupleAt;
    if (this.used + length > this.arena.length) this.growArena(length);
    const { arena, used, keys, codec } = this;
    if (length <= 64) for (let i = 0; i < length; i++) arena[used + i] = tuple[tupleAt + i]!;
    else arena.set(tuple.subarray(tupleAt, tupleEnd), used);
    this.starts[row] = used;
    this.used += length;
    for (let k = 0; k < keys.length; k++) {
      const { column, compare } = keys[k]!;
      if (typeof compare !== 'string') {
        this.values[k]![row] = codec.read(arena, column, used);
        continue;
      }
      const where = codec.locate(arena, column, used);
      if (where === 'elsewhere') return false;
      const at = row * keys.length + k;
      let { end } = codec;
      if (compare === 'blanks') while (end > codec.start && arena[end - 1] === BLANK) end--;
      this.keyStarts[at] = where === 'null' ? -1 : codec.start;
      this.keyEnds[at] = end;
    }
    this.prefixes[row] = this.prefixOf(row);
    return true;
  }

  /** Sorts as the whole key does, where it decides. */
  private prefixOf(row: number): number {
    const { descending, nullsFirst, compare } = this.keys[0]!;
    let prefix: number;
    if (typeof compare === 'string') {
      const at = row * this.keys.length;
      const start = this.keyStarts[at]!;
      if (start < 0) return nullsFirst ? NULL_FIRST : NULL_LAST;
      prefix = 0;
      const end = this.keyEnds[at]!;
      for (let i = start; i < start + PREFIX_BYTES; i++) prefix = prefix * 256 + (i < end ? this.arena[i]! : 0);
    } else {
      if (this.values[0]![row] === null) return nullsFirst ? NULL_FIRST : NULL_LAST;
      prefix = 0;
    }
    return descending ? -prefix : prefix;
  }

  private compareRows(a: number, b: number): number {
    const { keys, arena, keyStarts, keyEnds } = this;
    for (let k = 0; k < keys.length; k++) {
      const { compare, descending, nullsFirst } = keys[k]!;
      if (typeof compare !== 'string') {
        const order = compare(this.values[k]![a]!, this.values[k]![b]!);
        if (order !== 0) return order;
        continue;
      }
      const at = a * keys.length + k;
      const bt = b * keys.length + k;
      const start = keyStarts[at]!;
      const other = keyStarts[bt]!;
      if (start < 0 || other < 0) {
        if (start === other) continue;
        return (start < 0) === nullsFirst ? -1 : 1;
      }
      const length = keyEnds[at]! - start;
      const otherLength = keyEnds[bt]! - other;
      const common = Math.min(length, otherLength);
      let order = 0;
      for (let i = 0; i < common && order === 0; i++) order = arena[start + i]! - arena[other + i]!;
      if (order === 0) order = length - otherLength;
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  }

  /** By insertion: they are few, and mostly the first bytes decide. */
  private sort(): void {
    const { prefixes, order, count } = this;
    for (let n = 0; n < count; n++) {
      const prefix = prefixes[n]!;
      let at = n;
      for (; at > 0; at--) {
        const before = order[at - 1]!;
        const other = prefixes[before]!;
        if (other < prefix || (other === prefix && this.compareRows(before, n) <= 0)) break;
        order[at] = before;
      }
      order[at] = n;
    }
  }

  end(frame: Frame, { emitStored }: ShortExecution, limit: number): number {
    this.sort();
    const { order, count, starts, distinct } = this;
    frame.tuple = this.arena;
    let given = 0;
    for (let i = 0; i < count && given < limit; i++) {
      if (distinct && i > 0 && this.compareRows(order[i - 1]!, order[i]!) === 0) continue;
      frame.tupleAt = starts[order[i]!]!;
      given++;
      emitStored(frame);
    }
    for (const values of this.values) values.length = 0;
    return given;
  }

  private growRows(): void {
    const grow = <T extends Int32Array | Float64Array>(former: T, make: (length: number) => T): T => {
      const grown = make(former.length * 2);
      grown.set(former);
      return grown;
    };
    this.starts = grow(this.starts, (length) => new Int32Array(length));
    this.order = grow(this.order, (length) => new Int32Array(length));
    this.keyStarts = grow(this.keyStarts, (length) => new Int32Array(length));
    this.keyEnds = grow(this.keyEnds, (length) => new Int32Array(length));
    this.prefixes = grow(this.prefixes, (length) => new Float64Array(length));
  }

  private growArena(more: number): void {
    const grown = new Uint8Array(Math.max(this.arena.length * 2, this.used + more));
    grown.set(this.arena.subarray(0, this.used));
    this.arena = grown;
  }
}

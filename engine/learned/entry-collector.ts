/** Takes the entries of an index in order and makes arrays of them: keys, each once, and the row ids behind each. */
import { floatAt, highHalf, lowHalf, type KeyClass } from './key-class.js';
import { finiteRange, narrowOrder, type NarrowArray } from './narrow-keys.js';
import { fitLevels, type Level } from './pieces.js';
import { wideOrder, type Halves } from './wide-keys.js';

export type RowArray = Uint32Array | Float64Array;

/** What another thread hands over: plain arrays. */
export interface LearnedArrays {
  readonly class: KeyClass;
  readonly error: number;
  readonly keys: NarrowArray | Halves;
  /** Where each key's rows begin, and at last their number; null: each key has one row. */
  readonly starts: Uint32Array | null;
  readonly rows: RowArray;
  readonly levels: readonly Level[];
}

const HALF = 0x100000000;
const EXACT = Number.MAX_SAFE_INTEGER;
const MIN_HIGH = -0x80000000;
const MAX_HIGH = 0x7fffffff;
/** Keys copied between two looks at the clock. */
const STEP = 1 << 16;

export class EntryCollector {
  private entries = 0;
  private count = 0;
  private rows: RowArray = new Uint32Array(1024);
  private ints = new Int32Array(0);
  private lows = new Uint32Array(0);
  private floats = new Float64Array(0);
  private starts: Uint32Array | null = null;
  /** An int64 that no double holds was met. */
  private wide = false;

  constructor(private readonly of: KeyClass) {
    this.growKeys();
  }

  get length(): number {
    return this.entries;
  }

  /** The value begins at `at` of `key`, behind its marker. */
  add(key: Uint8Array, at: number, rowId: number): void {
    const { of } = this;
    const last = this.count - 1;
    let repeated: boolean;
    if (this.count === this.capacity) this.growKeys();
    if (of === 'float64') {
      const value = floatAt(key, at);
      repeated = last >= 0 && (this.floats[last] === value || (value !== value && this.floats[last] !== this.floats[last]));
      if (!repeated) this.floats[this.count] = value;
    } else {
      const high = highHalf(key, at);
      repeated = last >= 0 && this.ints[last] === high;
      if (of === 'int64') {
        const low = lowHalf(key, at + 4);
        repeated &&= this.lows[last] === low;
        if (!repeated) {
          this.lows[this.count] = low;
          const near = high * HALF + low;
          if ((near > EXACT || near < -EXACT) && !(high === MIN_HIGH && low === 0) && !(high === MAX_HIGH && low === 0xffffffff)) this.wide = true;
        }
      }
      if (!repeated) this.ints[this.count] = high;
    }
    if (repeated) {
      this.starts ??= Uint32Array.from({ length: this.capacity + 1 }, (_, i) => i);
    } else {
      if (this.starts) this.starts[this.count] = this.entries;
      this.count++;
    }
    if (this.entries === this.rows.length || (rowId >= HALF && this.rows instanceof Uint32Array)) this.growRows(rowId);
    this.rows[this.entries++] = rowId;
  }

  private get capacity(): number {
    return this.of === 'float64' ? this.floats.length : this.ints.length;
  }

  private growKeys(): void {
    const size = Math.max(1024, Math.ceil(this.capacity * 1.5));
    if (this.of === 'float64') this.floats = copied(this.floats, new Float64Array(size));
    else this.ints = copied(this.ints, new Int32Array(size));
    if (this.of === 'int64') this.lows = copied(this.lows, new Uint32Array(size));
    if (this.starts) this.starts = copied(this.starts, new Uint32Array(size + 1));
  }

  private growRows(rowId: number): void {
    const size = this.entries === this.rows.length ? Math.ceil(this.rows.length * 1.5) : this.rows.length;
    this.rows = rowId >= HALF || this.rows instanceof Float64Array ? copied(this.rows, new Float64Array(size)) : copied(this.rows, new Uint32Array(size));
  }

  /** The arrays, and the model over them. Yields now and then. */
  *finish(error: number): Generator<void, LearnedArrays> {
    const { of, count } = this;
    let keys: NarrowArray | Halves;
    if (of === 'float64') keys = this.floats.slice(0, count);
    else if (of === 'int32') keys = this.ints.slice(0, count);
    else if (this.wide) keys = { high: this.ints.slice(0, count), low: this.lows.slice(0, count) };
    else keys = yield* this.doubles();
    this.floats = new Float64Array(0);
    this.ints = new Int32Array(0);
    this.lows = new Uint32Array(0);
    const rows = this.rows.slice(0, this.entries);
    let starts: Uint32Array | null = null;
    if (this.starts) {
      starts = this.starts.slice(0, count + 1);
      starts[count] = this.entries;
    }
    yield;
    let levels: Level[];
    if ('high' in keys) levels = yield* fitLevels(wideOrder(keys), error);
    else {
      const { first, end } = finiteRange(keys);
      levels = yield* fitLevels(narrowOrder(keys, first, end), error);
    }
    return { class: of, error, keys, starts, rows, levels };
  }

  private *doubles(): Generator<void, Float64Array> {
    const { count, ints, lows } = this;
    const keys = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const high = ints[i]!;
      const low = lows[i]!;
      keys[i] = high === MIN_HIGH && low === 0 ? -Infinity : high === MAX_HIGH && low === 0xffffffff ? Infinity : high * HALF + low;
      if ((i & (STEP - 1)) === STEP - 1) yield;
    }
    return keys;
  }
}

function copied<T extends Int32Array | Uint32Array | Float64Array>(from: Int32Array | Uint32Array | Float64Array, into: T): T {
  into.set(from);
  return into;
}

/** Buffers that change hands with the arrays. */
export function buffersOf({ keys, starts, rows, levels }: LearnedArrays): ArrayBuffer[] {
  const arrays = ['high' in keys ? [keys.high, keys.low] : [keys], starts ? [starts] : [], [rows], levels.flatMap((level) => [level.starts, level.slopes, level.intercepts])].flat();
  return arrays.map((array) => array.buffer as ArrayBuffer);
}

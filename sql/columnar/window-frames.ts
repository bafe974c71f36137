/** Where the partition, the peers and the frame of each row begin and end, as positions among all sorted rows. */
import type { Pending } from '../../engine/pending.js';
import type { Expr, WindowFrame } from '../analyzer/query-tree.js';
import type { ExecState } from '../executor/exec-state.js';
import type { SortKey } from '../planner/plan-node.js';
import type { Datum, Interval } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { ResultColumn } from './result-source.js';
import { NotColumnar } from './segment.js';
import { inSlices, inSlicesBackwards } from './sliced.js';

/** Frames without exclusions, whose offsets are the same for all rows. */
export function supportsFrame(frame: WindowFrame, order: readonly SortKey[], isConstant: (expr: Expr) => boolean): boolean {
  if (frame.exclude !== 'no others') return false;
  const offsets = [frame.startOffset, frame.endOffset].filter((expr) => expr !== null);
  if (!offsets.every(isConstant)) return false;
  return offsets.length === 0 || frame.mode !== 'range' || (order.length === 1 && SHIFTED.has(order[0]!.expr.type));
}

/** What RANGE's offsets are added to: the key of each row. */
export interface FrameKey { readonly column: ResultColumn; readonly type: number; readonly descending: boolean }

const INTEGERS: ReadonlySet<number> = new Set([20, 21, 23]);
const NUMERIC = 1700;
const DATE = 1082;
const TIMESTAMP = 1114;
const TIMESTAMPTZ = 1184;
const SHIFTED: ReadonlySet<number> = new Set([...INTEGERS, NUMERIC, DATE, TIMESTAMP, TIMESTAMPTZ]);
const DAY_MICROS = 86_400_000_000;

type Bounds = { readonly start: Int32Array; readonly end: Int32Array };

export class WindowRows {
  private partitions: { start: Int32Array; end: Int32Array } | null = null;
  private peers: { start: Int32Array; end: Int32Array } | null = null;
  private frames: { start: Int32Array; end: Int32Array } | null = null;

  /** `samePartition`, `samePeers`: 1 where a row is in the partition, the peer group, of the row before it. */
  constructor(readonly count: number, readonly samePartition: Uint8Array, readonly samePeers: Uint8Array, private readonly frame: WindowFrame, private readonly key: FrameKey | null, private readonly valueOf: (expr: Expr) => Datum | undefined, private readonly state: ExecState) {}

  *partitionBounds(): Generator<Pending, { start: Int32Array; end: Int32Array }> {
    return (this.partitions ??= yield* bounds(this.samePartition, this.state));
  }

  *peerBounds(): Generator<Pending, { start: Int32Array; end: Int32Array }> {
    return (this.peers ??= this.samePeers === this.samePartition ? yield* this.partitionBounds() : yield* bounds(this.samePeers, this.state));
  }

  /** [start, end) of each row's frame, within its partition. */
  *frameBounds(): Generator<Pending, { start: Int32Array; end: Int32Array }> {
    if (this.frames) return this.frames;
    const { frame, count } = this;
    const partitions = yield* this.partitionBounds();
    if (frame.start === 'unbounded preceding' && frame.end === 'unbounded following') return (this.frames = partitions);
    const peers = yield* this.peerBounds();
    const start = frame.start === 'unbounded preceding' ? partitions.start : frame.start === 'current row' && frame.mode !== 'rows' ? peers.start : new Int32Array(count);
    const end = frame.end === 'unbounded following' ? partitions.end : frame.end === 'current row' && frame.mode !== 'rows' ? peers.end : new Int32Array(count);
    const fixedStart = start === partitions.start || start === peers.start;
    const fixedEnd = end === partitions.end || end === peers.end;
    if (frame.mode !== 'rows') {
      const edges = frame.mode === 'groups' ? this.byGroups.bind(this) : this.byKeys.bind(this);
      if (!fixedStart) yield* edges(start, true, partitions, peers);
      if (!fixedEnd) yield* edges(end, false, partitions, peers);
      return (this.frames = { start, end });
    }
    const from = fixedStart ? null : this.shift(frame.start, frame.startOffset);
    const to = fixedEnd ? null : this.shift(frame.end, frame.endOffset) + 1;
    yield* inSlices(count, this.state, (first, last) => {
      for (let i = first; i < last; i++) {
        const low = partitions.start[i]!;
        const high = partitions.end[i]!;
        if (from !== null) start[i] = Math.min(Math.max(i + from, low), high);
        if (to !== null) end[i] = Math.min(Math.max(i + to, low), high);
      }
    });
    return (this.frames = { start, end });
  }

  /** Rows, or peer groups, from the current one to a bound. */
  private shift(bound: WindowFrame['start'], offset: Expr | null): number {
    if (bound === 'current row') return 0;
    const rows = Number((this.offset(offset) as number | bigint | null) ?? NaN);
    // What is wrong with it the row operator says.
    if (!(rows >= 0) || !Number.isSafeInteger(rows)) throw new NotColumnar();
    return bound === 'offset preceding' ? -rows : rows;
  }

  private offset(offset: Expr | null): Datum {
    return offset === null ? null : this.valueOf(offset) ?? null;
  }

  /** GROUPS: bounds so many peer groups away. */
  private *byGroups(edge: Int32Array, isStart: boolean, partitions: Bounds, peers: Bounds): Generator<Pending, void> {
    const { frame, count } = this;
    const shift = isStart ? this.shift(frame.start, frame.startOffset) : this.shift(frame.end, frame.endOffset) + 1;
    const firsts: number[] = [];
    const groups = new Int32Array(count);
    yield* inSlices(count, this.state, (from, to) => {
      for (let i = from; i < to; i++) {
        if (peers.start[i] === i) firsts.push(i);
        groups[i] = firsts.length - 1;
      }
    });
    yield* inSlices(count, this.state, (from, to) => {
      for (let i = from; i < to; i++) {
        const group = groups[i]! + shift;
        edge[i] = group < 0 ? partitions.start[i]! : group >= firsts.length ? partitions.end[i]! : Math.min(Math.max(firsts[group]!, partitions.start[i]!), partitions.end[i]!);
      }
    });
  }

  /** RANGE: bounds by the key and what is added to it. Rows without a key have their peers. */
  private *byKeys(edge: Int32Array, isStart: boolean, partitions: Bounds, peers: Bounds): Generator<Pending, void> {
    const { column, type, descending } = this.key!;
    if (column.kind !== 'int' && column.kind !== 'decimal') throw new NotColumnar();
    const { data, nulls } = column;
    const bound = isStart ? this.frame.start : this.frame.end;
    const offset = keyOffset(this.offset(isStart ? this.frame.startOffset : this.frame.endOffset), type, column.scale);
    const preceding = bound === 'offset preceding';
    // Keys are whole: the bound is the outermost of them that is still within, counted in the direction of the rows.
    const shift = preceding ? -(isStart ? Math.floor(offset) : Math.ceil(offset)) : isStart ? Math.ceil(offset) : Math.floor(offset);
    const sign = descending ? -1 : 1;
    let at = 0;
    yield* inSlices(this.count, this.state, (from, to) => {
      for (let i = from; i < to; i++) {
        if (nulls !== null && nulls[i] === 1) {
          edge[i] = isStart ? peers.start[i]! : peers.end[i]!;
          continue;
        }
        if (peers.start[i] !== i) {
          edge[i] = edge[i - 1]!;
          continue;
        }
        const own = sign * data[i]!;
        if (!Number.isFinite(own)) throw new NotColumnar();
        const wanted = own + shift;
        const end = partitions.end[i]!;
        // Bounds only move forward. Rows without a key stand at one end of the partition.
        if (at < partitions.start[i]!) at = partitions.start[i]!;
        for (; at < end; at++) {
          if (nulls !== null && nulls[at] === 1) {
            if (at < i) continue;
            break;
          }
          const key = sign * data[at]!;
          if (isStart ? key >= wanted : key > wanted) break;
        }
        edge[i] = at;
      }
    });
  }
}

/** What is added to a key, in the key's unit; it need not be whole. Throws NotColumnar where that is not the same for all keys, or wrong. */
function keyOffset(offset: Datum, type: number, scale: number): number {
  let found = NaN;
  if (INTEGERS.has(type)) found = typeof offset === 'number' || typeof offset === 'bigint' ? Number(offset) : NaN;
  else if (type === NUMERIC) found = offset instanceof Numeric && offset.isFinite && typeof offset.coefficient === 'number' ? atScale(offset.coefficient, scale - offset.scale) : NaN;
  else if (offset !== null && typeof offset === 'object' && 'micros' in offset) {
    const { months, days, micros } = offset as Interval;
    // Days of a moment with a time zone are not all as long.
    if (months === 0 && (type !== TIMESTAMPTZ || days === 0)) found = (days * DAY_MICROS + Number(micros)) / (type === DATE ? DAY_MICROS : 1);
  }
  if (!(found >= 0 && found <= Number.MAX_SAFE_INTEGER / 4)) throw new NotColumnar();
  return found;
}

/** Without what multiplying by a tenth adds. */
function atScale(coefficient: number, by: number): number {
  return by < 0 ? coefficient / 10 ** -by : coefficient * 10 ** by;
}

function* bounds(same: Uint8Array, state: ExecState): Generator<Pending, { start: Int32Array; end: Int32Array }> {
  const count = same.length;
  const start = new Int32Array(count);
  const end = new Int32Array(count);
  let first = 0;
  yield* inSlices(count, state, (from, to) => {
    for (let i = from; i < to; i++) {
      if (same[i] === 0) first = i;
      start[i] = first;
    }
  });
  let last = count;
  yield* inSlicesBackwards(count, state, (from, to) => {
    for (let i = to - 1; i >= from; i--) {
      end[i] = last;
      if (same[i] === 0) last = i;
    }
  });
  return { start, end };
}

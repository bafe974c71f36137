/** Where the partition, the peers and the frame of each row begin and end, as positions among all sorted rows. */
import type { Pending } from '../../engine/pending.js';
import type { Expr, WindowFrame } from '../analyzer/query-tree.js';
import type { ExecState } from '../executor/exec-state.js';
import type { Datum } from '../types/datum.js';
import { NotColumnar } from './segment.js';
import { inSlices, inSlicesBackwards } from './sliced.js';

/** Frames whose bounds are positions: with offsets of rows, not of values or peer groups, and without exclusions. */
export function supportsFrame(frame: WindowFrame, isConstant: (expr: Expr) => boolean): boolean {
  if (frame.exclude !== 'no others') return false;
  const offsets = [frame.startOffset, frame.endOffset].filter((expr) => expr !== null);
  return offsets.length === 0 || (frame.mode === 'rows' && offsets.every(isConstant));
}

export class WindowRows {
  private partitions: { start: Int32Array; end: Int32Array } | null = null;
  private peers: { start: Int32Array; end: Int32Array } | null = null;
  private frames: { start: Int32Array; end: Int32Array } | null = null;

  /** `samePartition`, `samePeers`: 1 where a row is in the partition, the peer group, of the row before it. */
  constructor(readonly count: number, readonly samePartition: Uint8Array, readonly samePeers: Uint8Array, private readonly frame: WindowFrame, private readonly valueOf: (expr: Expr) => Datum | undefined, private readonly state: ExecState) {}

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
    const from = start === partitions.start || start === peers.start ? null : this.shift(frame.start, frame.startOffset);
    const to = end === partitions.end || end === peers.end ? null : this.shift(frame.end, frame.endOffset) + 1;
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

  /** Rows from the current one to a bound. */
  private shift(bound: WindowFrame['start'], offset: Expr | null): number {
    if (bound === 'current row') return 0;
    const value = offset === null ? null : this.valueOf(offset) ?? null;
    const rows = value === null ? NaN : Number(value as number);
    // What is wrong with it the row operator says.
    if (!(rows >= 0) || !Number.isSafeInteger(rows)) throw new NotColumnar();
    return bound === 'offset preceding' ? -rows : rows;
  }
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

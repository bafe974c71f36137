/** Passes over many rows that give the thread back in between. */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';

const ROWS = 8192;

/** Calls `step` for consecutive ranges of 0..count. `rows`: how many at once, where a row is more than a few operations. */
export function* inSlices(count: number, state: ExecState, step: (from: number, to: number) => void, rows = ROWS): Generator<Pending, void> {
  for (let from = 0; from < count; from += rows) {
    step(from, Math.min(count, from + rows));
    if (state.shouldYield()) yield TIME_SLICE;
  }
}

/** The same from the end to the beginning. */
export function* inSlicesBackwards(count: number, state: ExecState, step: (from: number, to: number) => void): Generator<Pending, void> {
  for (let to = count; to > 0; to -= ROWS) {
    step(Math.max(0, to - ROWS), to);
    if (state.shouldYield()) yield TIME_SLICE;
  }
}

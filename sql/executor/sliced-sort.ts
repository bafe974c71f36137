/** Sorting row numbers in slices: a sort of a million rows must not hold the thread. Pieces are sorted, then merged pairwise. */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from './exec-state.js';
import { TIME_SLICE } from './interrupts.js';

/** Rows sorted at once: about a millisecond with a comparison in JavaScript. */
const PIECE_ROWS = 2048;
/** The same with numbers, which the runtime compares itself. */
const PIECE_NUMBERS = 16384;

/** Row numbers 0..count-1 in the order of `compare`, which must tell any two apart. */
export function* slicedOrder(count: number, compare: (a: number, b: number) => number, state: ExecState): Generator<Pending, Int32Array> {
  const order = new Int32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  for (let from = 0; from < count; from += PIECE_ROWS) {
    order.subarray(from, from + PIECE_ROWS).sort(compare);
    if (state.shouldYield()) yield TIME_SLICE;
  }
  let source = order;
  let target = count > PIECE_ROWS ? new Int32Array(count) : order;
  for (let width = PIECE_ROWS; width < count; width *= 2) {
    for (let from = 0; from < count; from += width * 2) {
      const middle = Math.min(from + width, count);
      const to = Math.min(middle + width, count);
      let left = from;
      let right = middle;
      for (let at = from; at < to; at++) {
        if (right === to || (left < middle && compare(source[left]!, source[right]!) <= 0)) target[at] = source[left++]!;
        else target[at] = source[right++]!;
        if ((at & 1023) === 0 && state.shouldYield()) yield TIME_SLICE;
      }
    }
    [source, target] = [target, source];
  }
  return source;
}

/** The numbers in ascending order; in place or in another array. */
export function* slicedNumbers(numbers: Float64Array, state: ExecState): Generator<Pending, Float64Array> {
  const count = numbers.length;
  for (let from = 0; from < count; from += PIECE_NUMBERS) {
    numbers.subarray(from, from + PIECE_NUMBERS).sort();
    if (state.shouldYield()) yield TIME_SLICE;
  }
  let source = numbers;
  let target = count > PIECE_NUMBERS ? new Float64Array(count) : numbers;
  for (let width = PIECE_NUMBERS; width < count; width *= 2) {
    for (let from = 0; from < count; from += width * 2) {
      const middle = Math.min(from + width, count);
      const to = Math.min(middle + width, count);
      let left = from;
      let right = middle;
      let at = from;
      while (at < to) {
        const until = Math.min(to, at + PIECE_NUMBERS);
        for (; at < until; at++) {
          if (right === to || (left < middle && source[left]! <= source[right]!)) target[at] = source[left++]!;
          else target[at] = source[right++]!;
        }
        if (state.shouldYield()) yield TIME_SLICE;
      }
    }
    [source, target] = [target, source];
  }
  return source;
}

/** Sorting row numbers in slices: a sort of a million rows must not hold the thread. Pieces are sorted, then merged pairwise. */
import type { Pending } from '../../engine/pending.js';
import type { ExecState } from './exec-state.js';
import { TIME_SLICE } from './interrupts.js';

/** Rows sorted at once. */
const RUN = 256;
/** A fraction of a millisecond with a comparison in JavaScript. */
const COMPARISONS_PER_STEP = 2048;
/** Rows sorted at once where they are numbers, which the runtime compares itself. */
const PIECE_NUMBERS = 16384;

/** Row numbers 0..count-1 in the order of `compare`, equal ones as they came. */
export function* slicedOrder(count: number, compare: (a: number, b: number) => number, state: ExecState): Generator<Pending, Int32Array> {
  const steps = sortSteps(count, compare);
  let step = steps.next();
  for (; !step.done; step = steps.next()) if (state.shouldYield()) yield TIME_SLICE;
  return step.value;
}

/** The order in which 0 to count - 1 stand in sequence by `compare`, equal ones as they came. Each step is a fraction of a millisecond's work. */
export function* sortSteps(count: number, compare: (a: number, b: number) => number): Generator<void, Int32Array> {
  let from = new Int32Array(count);
  for (let i = 0; i < count; i++) from[i] = i;
  for (let at = 0; at < count; at += RUN) {
    from.subarray(at, Math.min(count, at + RUN)).sort(compare);
    if (at + RUN < count) yield;
  }
  let to = count > RUN ? new Int32Array(count) : from;
  let left = COMPARISONS_PER_STEP;
  for (let width = RUN; width < count; width *= 2) {
    for (let low = 0; low < count; low += 2 * width) {
      const middle = Math.min(low + width, count);
      const high = Math.min(low + 2 * width, count);
      let a = low;
      let b = middle;
      let out = low;
      // Already in order, as much of what is sorted is.
      if (b >= high || compare(from[b - 1]!, from[b]!) <= 0) {
        to.set(from.subarray(low, high), low);
        continue;
      }
      while (a < middle && b < high) {
        to[out++] = compare(from[a]!, from[b]!) <= 0 ? from[a++]! : from[b++]!;
        if (--left > 0) continue;
        left = COMPARISONS_PER_STEP;
        yield;
      }
      if (a < middle) to.set(from.subarray(a, middle), out);
      else to.set(from.subarray(b, high), out);
    }
    [from, to] = [to, from];
    yield;
  }
  return from;
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

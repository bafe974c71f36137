import { expect, test } from 'vitest';
import { ArrayLease } from './array-lease.js';

test('what an execution gives back is what the next one gets, zeroed', () => {
  const first = new ArrayLease();
  const numbers = first.int32(5000).fill(7);
  const doubles = first.float64(3000).fill(1.5);
  first.release();
  const second = new ArrayLease();
  const again = second.int32(5001);
  expect(again.buffer === numbers.buffer || again.buffer === doubles.buffer).toBe(true);
  expect(again.length).toBe(5001);
  expect(again.every((value) => value === 0)).toBe(true);
  second.release();
});

test('two that live at once share nothing, and what is small or asked for after the end is nobody else\'s', () => {
  const one = new ArrayLease();
  const two = new ArrayLease();
  const arrays = [one.uint8(8192), two.uint8(8192), one.dirtyInt32(2048), two.dirtyFloat64(1024)];
  expect(new Set(arrays.map((array) => array.buffer)).size).toBe(4);
  expect(one.int32(10).byteLength).toBe(40);
  one.release();
  const late = one.int32(4096);
  two.release();
  expect(new ArrayLease().int32(4096).buffer).not.toBe(late.buffer);
});

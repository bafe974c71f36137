import { expect, test } from 'vitest';
import { compareBytes } from '../../engine/keycode.js';
import { sortedPositions } from './entry-sort.js';

test.each([1, 2, 3, 4, 5])('positions are those of a plain sort (seed %i)', (seed) => {
  let state = seed;
  const pick = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
  const keys = Array.from({ length: 3000 }, () => Uint8Array.from({ length: seed === 1 ? 5 : 1 + pick(9) }, (_, i) => (seed > 3 && i < 2 ? 1 : pick(seed === 3 ? 2 : 256))));
  const expected = keys.map((_, i) => i).sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b);
  expect([...sortedPositions(keys)]).toEqual(expected);
});

test('none and one', () => {
  expect([...sortedPositions([])]).toEqual([]);
  expect([...sortedPositions([Uint8Array.of(1)])]).toEqual([0]);
});

import { expect, test } from 'vitest';
import { compareBytes } from '../../engine/keycode.js';
import { EntrySorter } from './entry-sort.js';

function sorted(keys: readonly Uint8Array[]): number[] {
  const sorter = new EntrySorter();
  keys.forEach((key, i) => sorter.add(key, key.length, 7 * i, Uint8Array.of(i & 255)));
  const order = new Uint32Array(keys.length);
  for (const step of sorter.sort(order)) expect(step).toBeUndefined();
  keys.forEach((key, i) => {
    const start = sorter.starts[i]!;
    expect(compareBytes(sorter.bytes.subarray(start, start + sorter.keyLengths[i]!), key)).toBe(0);
    expect(sorter.bytes[start + key.length]).toBe(i & 255);
    expect(sorter.rowIds[i]).toBe(7 * i);
  });
  return [...order];
}

test.each(Array.from({ length: 12 }, (_, i) => i + 1))('positions are those of a plain sort (seed %i)', (seed) => {
  let state = seed;
  const pick = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
  const shared = seed % 3 === 0 ? 6 : 0;
  const keys = Array.from({ length: 3000 }, () =>
    Uint8Array.from({ length: seed === 1 ? 5 : 1 + shared + pick(seed > 8 ? 40 : 9) }, (_, i) => (i < shared ? 1 : pick(seed % 2 === 0 ? 2 : 256))));
  const expected = keys.map((_, i) => i).sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b);
  expect(sorted(keys)).toEqual(expected);
});

test('many keys, none, one, and keys in order', () => {
  const keys = Array.from({ length: 200_000 }, (_, i) => {
    const value = Math.imul(i, 7919) % 100_003;
    return Uint8Array.of(2, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
  });
  const expected = keys.map((_, i) => i).sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b);
  const sorter = new EntrySorter();
  keys.forEach((key, i) => sorter.add(key, 4, i, new Uint8Array(0)));
  const order = new Uint32Array(keys.length);
  for (const step of sorter.sort(order)) void step;
  expect(Buffer.compare(Buffer.from(order.buffer), Buffer.from(Uint32Array.from(expected).buffer))).toBe(0);
  expect(sorted([])).toEqual([]);
  expect(sorted([Uint8Array.of(1)])).toEqual([0]);
  expect(sorted([Uint8Array.of(1), Uint8Array.of(1, 0), Uint8Array.of(2)])).toEqual([0, 1, 2]);
});

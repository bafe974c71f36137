import { expect, test } from 'vitest';
import { compareBytes } from '../../engine/keycode.js';
import { EntrySorter, type SortedEntry } from './entry-sort.js';

function sorted(keys: readonly Uint8Array[]): number[] {
  const sorter = new EntrySorter();
  keys.forEach((key, i) => sorter.add(key, key.length, 7 * i, Uint8Array.of(i & 255)));
  const order = new Uint32Array(keys.length);
  for (const step of sorter.sort(order)) expect(step).toBeUndefined();
  const entry: SortedEntry = { bytes: new Uint8Array(0), start: 0, length: 0, payloadLength: 0, rowId: 0 };
  keys.forEach((key, i) => {
    sorter.read(i, entry);
    const { bytes, start } = entry;
    expect(compareBytes(bytes.subarray(start, start + entry.length), key)).toBe(0);
    expect(entry).toMatchObject({ length: key.length, payloadLength: 1, rowId: 7 * i });
    expect(bytes[start + key.length]).toBe(i & 255);
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

test('few keys again and again, also such as differ by zeros at their ends', () => {
  const few = [Uint8Array.of(65), Uint8Array.of(65, 0), Uint8Array.of(65, 0, 0), Uint8Array.of(66, 1, 2, 3, 4, 5, 6, 7, 8, 9), Uint8Array.of(66, 1, 2, 3, 4, 5, 6, 7, 8)];
  const keys = Array.from({ length: 100_000 }, (_, i) => few[Math.imul(i, 7919) % few.length]!);
  const sorter = new EntrySorter();
  keys.forEach((key, i) => sorter.add(key, key.length, i, new Uint8Array(0)));
  const order = new Uint32Array(keys.length);
  let longestMs = 0;
  for (let began = performance.now(), steps = sorter.sort(order); !steps.next().done; began = performance.now()) longestMs = Math.max(longestMs, performance.now() - began);
  const expected = keys.map((_, i) => i).sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b);
  expect(Buffer.compare(Buffer.from(order.buffer), Buffer.from(Uint32Array.from(expected).buffer))).toBe(0);
  // A step is a fraction of a millisecond; a plain sort of them all takes 30.
  expect(longestMs).toBeLessThan(100);
});

import { expect, it } from 'vitest';
import type { RowId } from '../ids.js';
import { hashRow, hashRowAt } from './row-format.js';

it('a row has one hash, byte by byte and word by word, wherever it lies', () => {
  const bytes = Uint8Array.from({ length: 200 }, (_, i) => (i * 7919 + (i >> 3)) & 255);
  const [one, other] = [new Uint32Array(4), new Uint32Array(4)];
  const seen = new Set<string>();
  for (let length = 0; length < 100; length++) {
    for (const [start, rowId] of [[0, 1], [3, 2 ** 33 + 5], [64, 2 ** 47]] as const) {
      hashRow(one, rowId as RowId, bytes, start, start + length);
      hashRowAt(other, rowId as RowId, new DataView(bytes.buffer), start, start + length);
      expect([...other]).toEqual([...one]);
      seen.add(one.join());
    }
  }
  expect(seen.size).toBe(300);
});

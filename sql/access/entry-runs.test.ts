import { expect, test } from 'vitest';
import { compareBytes } from '../../engine/keycode.js';
import { EntryRuns } from './entry-runs.js';

test.each(Array.from({ length: 10 }, (_, i) => i + 1))('several runs read as one order, and find what they have (seed %i)', async (seed) => {
  let state = seed;
  const pick = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
  let turns = 0;
  const runs = new EntryRuns(() => Promise.resolve(void turns++), 8000 + pick(40_000));
  const entries: { key: Uint8Array; rowId: number; payload: Uint8Array }[] = [];
  for (let i = 0; i < 4000; i++) {
    const key = Uint8Array.from({ length: 1 + pick(seed % 2 === 0 ? 4 : 30) }, () => pick(seed % 3 === 0 ? 3 : 256));
    const entry = { key, rowId: 2 ** 40 + 3 * i, payload: new Uint8Array(seed % 4 === 0 ? pick(5) : 0).fill(i) };
    entries.push(entry);
    expect(runs.add(key, key.length, entry.rowId, entry.payload)).toBe(true);
    if (runs.full) await runs.keep();
  }
  expect(runs.length).toBe(entries.length);
  const sorted = [...entries].sort((a, b) => compareBytes(a.key, b.key) || a.rowId - b.rowId);
  const keys = await runs.finish();
  for (let pass = 0; pass < 2; pass++) {
    const cursor = keys.cursor();
    for (const { key, rowId, payload } of sorted) {
      expect(cursor.next()).toBe(true);
      const end = cursor.start + cursor.length;
      expect([compareBytes(cursor.bytes.subarray(cursor.start, end), key), cursor.rowId, [...cursor.bytes.subarray(end, end + cursor.payloadLength)]]).toEqual([0, rowId, [...payload]]);
    }
    expect(cursor.next()).toBe(false);
  }
  const known = new Set(entries.map(({ key }) => Buffer.from(key).toString('hex')));
  for (let n = 0; n < 500; n++) {
    const key = n % 2 === 0 ? entries[pick(entries.length)]!.key : Uint8Array.from({ length: 1 + pick(6) }, () => pick(seed % 3 === 0 ? 3 : 256));
    expect(keys.has(key)).toBe(known.has(Buffer.from(key).toString('hex')));
  }
});

test('none at all', async () => {
  const keys = await new EntryRuns(() => Promise.resolve()).finish();
  expect(keys.cursor().next()).toBe(false);
  expect(keys.has(Uint8Array.of(1))).toBe(false);
});

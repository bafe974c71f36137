import { describe, expect, it } from 'vitest';
import { KeyReader, KeyWriter, compareBytes } from '../keycode.js';
import { EntryCollector } from './entry-collector.js';
import { int64Key, keyValue, type KeyClass, type KeyValue } from './key-class.js';
import { LearnedEntries } from './learned-entries.js';
import { NarrowKeys } from './narrow-keys.js';

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
let state = seed;
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n: number): number => Math.floor(random() * n);

const writer = new KeyWriter();
function encode(of: KeyClass, value: number | bigint): Uint8Array {
  writer.reset().notNull();
  if (of === 'int32') writer.int32(value as number);
  else if (of === 'int64') writer.int64(value);
  else writer.float64(value as number);
  return writer.copy();
}

/** Entries as the tree holds them, sorted by key and row id. */
function entriesOf(of: KeyClass, values: readonly (number | bigint)[]): { key: Uint8Array; rowId: number; value: number | bigint }[] {
  return values.map((value, i) => ({ key: encode(of, value), rowId: i + 1, value })).sort((a, b) => compareBytes(a.key, b.key) || a.rowId - b.rowId);
}

function learn(of: KeyClass, entries: readonly { key: Uint8Array; rowId: number }[], error: number): LearnedEntries {
  const collector = new EntryCollector(of);
  for (const { key, rowId } of entries) collector.add(key, 1, rowId);
  const steps = collector.finish(error);
  for (;;) {
    const step = steps.next();
    if (step.done) return new LearnedEntries(step.value);
  }
}

function check(of: KeyClass, values: readonly (number | bigint)[], probes: readonly (number | bigint)[], error: number): void {
  const entries = entriesOf(of, values);
  const learned = learn(of, entries, error);
  const byKey = new Map<string, number[]>();
  for (const { key, rowId } of entries) {
    const text = Buffer.from(key).toString('hex');
    if (!byKey.has(text)) byKey.set(text, []);
    byKey.get(text)!.push(rowId);
  }
  const distinct = [...byKey.keys()];
  expect(learned.keys.length).toBe(distinct.length);
  const asKey = (value: number | bigint): KeyValue => (of === 'int64' ? int64Key(value) : value);
  const wanted = [...values, ...probes];
  const numbers = new Float64Array(wanted.length);
  const beyond = new Map<number, bigint>();
  const skip = new Uint8Array(wanted.length);
  const found = new Int32Array(wanted.length);
  wanted.forEach((value, i) => {
    const key = asKey(value);
    if (typeof key === 'bigint') beyond.set(i, key);
    else numbers[i] = key;
    skip[i] = i % 97 === 96 ? 1 : 0;
  });
  learned.findMany(numbers, beyond, skip, wanted.length, found);
  wanted.forEach((value, i) => {
    const bytes = encode(of, value);
    const text = Buffer.from(bytes).toString('hex');
    expect(asKey(value)).toStrictEqual(keyValue(of, bytes) === 0 ? asKey(value) : keyValue(of, bytes));
    const at = distinct.indexOf(text);
    const position = learned.find(asKey(value));
    expect(position, `seed ${seed}: ${value}`).toBe(at);
    expect(found[i]).toBe(skip[i] ? -1 : at);
    let lower = 0;
    while (lower < distinct.length && distinct[lower]! < text) lower++;
    expect(learned.lowerBound(asKey(value)), `seed ${seed}: lower bound of ${value}`).toBe(lower);
    expect(learned.upperBound(asKey(value))).toBe(lower + (at >= 0 ? 1 : 0));
    if (at >= 0) expect([...learned.rows.subarray(learned.firstRow(at), learned.firstRow(at + 1))]).toEqual(byKey.get(text));
  });
  expect(learned.keys.misses, `seed ${seed}: look-ups beyond the bound`).toBe(0);
}

const ERRORS = [1, 4, 16, 64];

describe('entries found by a model', () => {
  it('finds every int32, and none that is not there', () => {
    for (const error of ERRORS) {
      const spread = [10, 500, 100_000, 2 ** 32][below(4)]!;
      const values = Array.from({ length: 400 }, () => (below(spread) - Math.floor(spread / 2)) | 0);
      check('int32', [...values, -(2 ** 31), 2 ** 31 - 1], Array.from({ length: 200 }, () => (below(spread) - Math.floor(spread / 2)) | 0), error);
    }
  });

  it('int64: small, at the edge of 2^53, the ends of the type', () => {
    for (const error of ERRORS) {
      const values = Array.from({ length: 300 }, () => below(2 ** 53) * (random() < 0.5 ? 1 : -1));
      check('int64', [...values, 0, 1, -1, 2 ** 53 - 1, -(2 ** 53 - 1), -0x8000000000000000n, 0x7fffffffffffffffn], [2 ** 53, 9007199254740993n, -9007199254740993n, 5, 0x7ffffffffffffffen], error);
    }
  });

  it('int64 beyond what doubles hold', () => {
    for (const error of ERRORS) {
      const base = (1n << 62n) + BigInt(below(2 ** 31));
      const values: (number | bigint)[] = Array.from({ length: 300 }, (_, i) => base + BigInt(i * below(7)));
      for (let i = 0; i < 200; i++) values.push(BigInt.asIntN(64, (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32))));
      values.push(below(1000), -below(1000), -0x8000000000000000n, 0x7fffffffffffffffn);
      check('int64', values, [base - 1n, base + 10_000n, 0, 7, 0x7ffffffffffffffen, -0x7fffffffffffffffn], error);
    }
  });

  it('float64: both zeros, NaN, infinities, the smallest and the greatest', () => {
    for (const error of ERRORS) {
      const values = Array.from({ length: 300 }, () => (random() - 0.5) * 10 ** (below(600) - 300));
      check('float64', [...values, 0, -0, NaN, NaN, Infinity, -Infinity, 5e-324, -5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 1, 1 + Number.EPSILON], [0.5, 2 ** 52, 1e308, -1e-320], error);
      check('float64', Array.from({ length: 300 }, () => random()), [NaN, Infinity, -Infinity, 2, -1], error);
    }
  });

  it('only what is not finite, one key many times, nothing at all', () => {
    check('float64', [NaN, Infinity, -Infinity, -Infinity, NaN], [0, -0, 1], 16);
    check('int32', Array.from({ length: 1000 }, () => 7), [6, 7, 8], 16);
    check('int32', [], [0, 5], 16);
    check('int64', [0x7fffffffffffffffn, 0x7fffffffffffffffn], [1], 16);
  });

  it('the bound holds for each key, and few pieces do for even spacing', () => {
    for (const error of ERRORS) {
      for (const of of ['even', 'random', 'clustered'] as const) {
        let at = 0;
        const values = Array.from({ length: 20_000 }, (_, i) => {
          if (of === 'even') return i * 3;
          at += of === 'random' ? 1 + below(1000) : random() < 0.001 ? 10_000_000 : 1 + below(3);
          return at;
        });
        const learned = learn('int64', entriesOf('int64', values), error);
        const [level] = learned.keys.levels;
        const keys = (learned.keys as NarrowKeys).keys;
        let worst = 0;
        for (let piece = 0; piece < level!.slopes.length; piece++) {
          const first = level!.starts[piece]!;
          for (let i = first; i < level!.starts[piece + 1]!; i++) {
            const predicted = Math.floor(level!.intercepts[piece]! + level!.slopes[piece]! * (keys[i]! - keys[first]!));
            worst = Math.max(worst, Math.abs(predicted - i));
          }
        }
        expect(worst, `seed ${seed}, ${of}`).toBeLessThanOrEqual(error);
        if (of === 'even') expect(learned.pieces).toBe(1);
        expect(learned.levels).toBeLessThan(6);
      }
    }
  });

  it('no other division has fewer pieces: a greedy one with exact arithmetic needs as many', () => {
    const error = 8;
    let at = 0;
    const values = Array.from({ length: 3000 }, () => (at += 1 + below(50)));
    const learned = learn('int32', entriesOf('int32', values), error);
    expect(learned.pieces, `seed ${seed}`).toBe(greedyPieces(values, error));
  });

  it('reads values back from keys', () => {
    for (const value of [0, 1, -1, 5e-324, -5e-324, Infinity, -Infinity, NaN, 1.5, -2.25e300]) expect(keyValue('float64', encode('float64', value))).toBe(value);
    const key = encode('int64', -5);
    expect(keyValue('int64', key)).toBe(-5);
    expect(new KeyReader(key.subarray(1)).int64()).toBe(-5n);
    expect(keyValue('int32', Uint8Array.of(1))).toBe(null);
  });
});

/** Fewest pieces: a line fits points while the greatest lower slope stays below the least upper one, over all pairs (exact for small integers). */
function greedyPieces(values: readonly number[], error: number): number {
  let pieces = 0;
  for (let start = 0; start < values.length; ) {
    pieces++;
    let least = -Infinity;
    let most = Infinity;
    let end = start + 1;
    grow: for (; end < values.length; end++) {
      for (let i = start; i < end; i++) {
        const dx = values[end]! - values[i]!;
        least = Math.max(least, (end - i - 2 * error) / dx);
        most = Math.min(most, (end - i + 2 * error) / dx);
      }
      if (least > most) break grow;
    }
    start = end;
  }
  return pieces;
}

/** The checker itself: planted histories, each of which it must name. */
import { describe, expect, test } from 'vitest';
import { findAnomalies, type History, type Transaction } from './checker.js';

let ids = 0;
function transaction(outcome: Transaction['outcome'], reads: [number, number | null][], writes: [number, number][]): Transaction {
  return { id: ++ids, outcome, reads: reads.map(([key, value]) => ({ key, value })), writes: writes.map(([key, value]) => ({ key, value })) };
}
const history = (versions: Record<number, number[]>, ...transactions: Transaction[]): History => ({ transactions, versions: new Map(Object.entries(versions).map(([key, values]) => [Number(key), values])) });
const kinds = (h: History): string[] => findAnomalies(h).map((anomaly) => anomaly.kind);

describe('planted histories', () => {
  test('a serial one has none', () => {
    expect(kinds(history({ 1: [10, 11], 2: [20] }, transaction('committed', [[1, null]], [[1, 10], [2, 20]]), transaction('committed', [[1, 10], [2, 20]], [[1, 11]]), transaction('committed', [[1, 11]], []), transaction('aborted', [[1, 10]], [[1, 99]])))).toEqual([]);
  });
  test('G0: two writers in different orders', () => {
    expect(kinds(history({ 1: [10, 11], 2: [21, 20] }, transaction('committed', [], [[1, 10], [2, 20]]), transaction('committed', [], [[1, 11], [2, 21]])))).toContain('G0');
  });
  test('G1a: a read of what was rolled back, and one that stayed', () => {
    expect(kinds(history({ 1: [] }, transaction('aborted', [], [[1, 10]]), transaction('committed', [[1, 10]], [])))).toContain('G1a');
    expect(kinds(history({ 1: [10] }, transaction('aborted', [], [[1, 10]])))).toContain('G1a');
  });
  test('G1b: a read of an intermediate version', () => {
    expect(kinds(history({ 1: [10, 11] }, transaction('committed', [], [[1, 10], [1, 11]]), transaction('committed', [[1, 10]], [])))).toContain('G1b');
  });
  test('G1c: two that read each other', () => {
    expect(kinds(history({ 1: [10], 2: [20] }, transaction('committed', [[2, 20]], [[1, 10]]), transaction('committed', [[1, 10]], [[2, 20]])))).toContain('G1c');
  });
  test('G-single: read skew, and a lost update', () => {
    expect(kinds(history({ 1: [10], 2: [20] }, transaction('committed', [], [[1, 10], [2, 20]]), transaction('committed', [[1, 10], [2, null]], [])))).toContain('G-single');
    expect(kinds(history({ 1: [10, 11, 12] }, transaction('committed', [], [[1, 10]]), transaction('committed', [[1, 10]], [[1, 11]]), transaction('committed', [[1, 10]], [[1, 12]])))).toContain('G-single');
  });
  test('G2: write skew', () => {
    expect(kinds(history({ 1: [10], 2: [20] }, transaction('committed', [[2, null]], [[1, 10]]), transaction('committed', [[1, null]], [[2, 20]])))).toEqual(['G2']);
  });
  test('G2 over three: the read-only anomaly', () => {
    // batch reads both, writer changes 2, reader sees the writer but not the batch, which then changes 1
    expect(kinds(history({ 1: [10], 2: [20] }, transaction('committed', [[1, null], [2, null]], [[1, 10]]), transaction('committed', [[2, null]], [[2, 20]]), transaction('committed', [[1, null], [2, 20]], [])))).toEqual(['G2']);
  });
  test('what was acknowledged and is gone; an unknown outcome may be either', () => {
    expect(kinds(history({ 1: [] }, transaction('committed', [], [[1, 10]])))).toContain('lost write');
    expect(kinds(history({ 1: [] }, transaction('unknown', [], [[1, 10]])))).toEqual([]);
    expect(kinds(history({ 1: [10] }, transaction('unknown', [], [[1, 10]]), transaction('committed', [[1, 10]], [])))).toEqual([]);
  });
});

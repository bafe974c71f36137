/** rank, dense_rank, percent_rank and cume_dist WITHIN GROUP: where a hypothetical row would stand. After orderedsetaggs.c. */
import { notSupported } from '../../engine/errors.js';
import type { Datum } from '../types/datum.js';
import type { CompareDatums } from './compare.js';
import type { ExecState } from './exec-state.js';

export function hypotheticalResult(name: string, rows: readonly Datum[][], direct: readonly Datum[], compares: readonly CompareDatums[], _state: ExecState): Datum {
  const order = (row: readonly Datum[], other: readonly Datum[]): number => {
    for (let i = 0; i < compares.length; i++) {
      const result = compares[i]!(row[i]!, other[i]!);
      if (result !== 0) return result;
    }
    return 0;
  };
  const before = rows.filter((row) => order(row, direct) < 0);
  const rank = before.length + 1;
  switch (name) {
    case 'rank':
      return rank;
    case 'dense_rank': {
      const sorted = [...before].sort(order);
      return 1 + sorted.filter((row, i) => i === 0 || order(row, sorted[i - 1]!) !== 0).length;
    }
    case 'percent_rank':
      return rows.length === 0 ? 0 : (rank - 1) / rows.length;
    case 'cume_dist':
      return (rows.filter((row) => order(row, direct) <= 0).length + 1) / (rows.length + 1);
    default:
      throw notSupported(`hypothetical-set aggregate ${name}`);
  }
}

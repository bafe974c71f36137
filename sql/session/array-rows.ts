/** Rows that stand in memory, as a RowSource: SHOW, EXPLAIN and other utility results. */
import type { Batch } from '../executor/batch.js';
import type { ResultColumn, RowSource } from '../executor/row-source.js';
import type { Datum } from '../types/datum.js';

export class ArrayRows implements RowSource {
  #next = 0;
  constructor(readonly columns: readonly ResultColumn[], private readonly rows: readonly (readonly Datum[])[]) {}

  next(maxRows = 1024): Batch | null {
    const rows = this.rows.slice(this.#next, this.#next + Math.min(maxRows, 1024));
    if (rows.length === 0) return null;
    this.#next += rows.length;
    return { length: rows.length, selection: null, columns: this.columns.map((_, c) => ({ kind: 'any', data: rows.map((row) => row[c]), nulls: null })) };
  }

  close(): void {}
}

export function textColumn(name: string, typeOid = 25): ResultColumn {
  return { name, typeOid, typmod: -1, tableOid: 0, attributeNumber: 0 };
}

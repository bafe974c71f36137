/** Reading and making vectors. */
import type { Datum } from '../types/datum.js';
import type { Batch, Vector } from './batch.js';

export function readVector(vector: Vector, row: number): Datum {
  switch (vector.kind) {
    case 'any':
      return vector.data[row]!;
    case 'bool':
      if (vector.nulls !== null && vector.nulls[row] === 1) return null;
      return vector.data[row] === 1;
    default:
      if (vector.nulls !== null && vector.nulls[row] === 1) return null;
      return vector.data[row]!;
  }
}

export function anyVector(data: Datum[]): Vector {
  return { kind: 'any', data, nulls: null };
}

export function makeBatch(columns: Vector[], length: number): Batch {
  return { columns, length, selection: null };
}

/** A batch of plain datum columns; `length` counts for batches without columns. */
export function datumBatch(columns: Datum[][], length: number): Batch {
  return { columns: columns.map(anyVector), length, selection: null };
}

/** Physical position of the live row `i`. */
export function rowAt(batch: Batch, i: number): number {
  return batch.selection === null ? i : batch.selection[i]!;
}

/** The row's values as an array of its own. */
export function readRow(batch: Batch, row: number): Datum[] {
  const { columns } = batch;
  const values = new Array<Datum>(columns.length);
  for (let i = 0; i < columns.length; i++) values[i] = readVector(columns[i]!, row);
  return values;
}

export function rowsToBatch(rows: readonly (readonly Datum[])[], width: number): Batch {
  const columns: Datum[][] = [];
  for (let c = 0; c < width; c++) {
    const column = new Array<Datum>(rows.length);
    for (let r = 0; r < rows.length; r++) column[r] = rows[r]![c]!;
    columns.push(column);
  }
  return datumBatch(columns, rows.length);
}

/** The vector's values at `positions[0..count)`; position -1 gives NULL (outer joins). */
export function gather(vector: Vector, positions: ArrayLike<number>, count: number): Vector {
  const out = new Array<Datum>(count);
  if (vector.kind === 'any') {
    const { data } = vector;
    for (let i = 0; i < count; i++) {
      const p = positions[i]!;
      out[i] = p < 0 ? null : data[p]!;
    }
  } else {
    for (let i = 0; i < count; i++) {
      const p = positions[i]!;
      out[i] = p < 0 ? null : readVector(vector, p);
    }
  }
  return anyVector(out);
}

/** Same rows without a selection. */
export function compactBatch(batch: Batch): Batch {
  const { selection } = batch;
  if (selection === null) return batch;
  return { columns: batch.columns.map((v) => gather(v, selection, batch.length)), length: batch.length, selection: null };
}

/** First `count` live rows. */
export function headOfBatch(batch: Batch, count: number): Batch {
  if (count >= batch.length) return batch;
  return { columns: batch.columns, length: count, selection: batch.selection };
}

/** Live rows from the `skip`th on. */
export function tailOfBatch(batch: Batch, skip: number): Batch {
  if (skip <= 0) return batch;
  const length = batch.length - skip;
  const selection = new Int32Array(length);
  for (let i = 0; i < length; i++) selection[i] = rowAt(batch, i + skip);
  return { columns: batch.columns, length, selection };
}

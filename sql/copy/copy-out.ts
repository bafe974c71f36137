/** COPY TO STDOUT: rows of a query as text, CSV or binary. One CopyData message per row. */
import type { Batch } from '../executor/batch.js';
import { readVector } from '../executor/vectors.js';
import type { ResultColumn } from '../executor/row-source.js';
import type { EvalContext } from '../functions/context.js';
import { binaryTuple } from './binary-tuples.js';
import { csvLine } from './csv-records.js';
import type { CopyOptions } from './options.js';
import { textLine } from './text-lines.js';

export type RowFormatter = (batch: Batch, row: number) => Uint8Array;

/** Turns one row of a batch into its bytes. */
export function rowFormatter(columns: readonly ResultColumn[], options: CopyOptions, context: EvalContext): RowFormatter {
  const types = columns.map((column) => context.catalog.dataType(column.typeOid));
  const names = columns.map((column) => column.name);
  if (options.format === 'binary') {
    return (batch, row) => binaryTuple(batch.columns.map((vector, i) => {
      const value = readVector(vector, row);
      return value === null ? null : types[i].send(value, context);
    }));
  }
  const line = options.format === 'csv' ? (fields: (string | null)[]): string => csvLine(fields, names, options) : (fields: (string | null)[]): string => textLine(fields, options);
  return (batch, row) => Buffer.from(line(batch.columns.map((vector, i) => {
    const value = readVector(vector, row);
    return value === null ? null : types[i].output(value, context);
  })), 'utf8');
}

/** The header line with the columns' names. */
export function headerLine(columns: readonly ResultColumn[], options: CopyOptions): Uint8Array {
  const names = columns.map((column) => column.name);
  return Buffer.from(options.format === 'csv' ? csvLine(names, names, { ...options, forceQuote: [] }) : textLine(names, options), 'utf8');
}

/** From batches to fields: one encoder per result column, chosen by type and format. */
import { DatabaseError } from '../../engine/errors.js';
import type { Batch, Vector } from '../executor/batch.js';
import type { Frame } from '../executor/expressions/frame.js';
import type { StoredOutput } from '../executor/short/stored-row.js';
import type { ResultColumn } from '../executor/row-source.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import type { RowWriter } from './sink.js';

type FieldEncoder = (vector: Vector, row: number, writer: RowWriter) => void;
type ValueEncoder = (value: Datum, writer: RowWriter) => void;

/** text, varchar, bpchar, json: sent as they are stored, in both formats. */
const AS_STORED: ReadonlySet<number> = new Set([25, 1043, 1042, 114]);

export class RowEncoder {
  readonly #encoders: FieldEncoder[];
  readonly #values: ValueEncoder[];
  /** Columns whose stored bytes are what is sent. */
  readonly #asStored: boolean[];

  /** `formats`: none (all text), one for all, or one per column. */
  constructor(columns: readonly ResultColumn[], readonly formats: readonly number[], context: EvalContext) {
    this.#values = columns.map((column, i) => valueEncoder(column, formats[i] ?? 0, context));
    this.#asStored = columns.map((column) => AS_STORED.has(column.typeOid));
    this.#encoders = this.#values.map(fieldEncoder);
  }

  /** One row given as values. */
  writeRow(row: readonly Datum[], writer: RowWriter): void {
    const encoders = this.#values;
    writer.beginRow(encoders.length);
    for (let c = 0; c < encoders.length; c++) {
      const value = row[c]!;
      if (value === null) writer.nullField();
      else encoders[c](value, writer);
    }
    writer.endRow();
  }

  /** One row as it is stored (`frame.tuple`): texts go from bytes to bytes. */
  writeStored({ codec, columns, scalars }: StoredOutput, frame: Frame, writer: RowWriter): void {
    const { tuple, tupleAt } = frame;
    const encoders = this.#values;
    writer.beginRow(encoders.length);
    for (let c = 0; c < encoders.length; c++) {
      const column = columns[c]!;
      const where = column >= 0 && this.#asStored[c] ? codec.locate(tuple, column, tupleAt) : 'elsewhere';
      if (where === 'here') writer.rangeField(tuple, codec.start, codec.end);
      else {
        const value = where === 'null' ? null : column >= 0 ? codec.read(tuple, column, tupleAt) : scalars[c]!(frame);
        if (value === null) writer.nullField();
        else encoders[c](value, writer);
      }
    }
    writer.endRow();
  }

  write(batch: Batch, writer: RowWriter): void {
    const { selection, length, columns } = batch;
    const encoders = this.#encoders;
    for (let i = 0; i < length; i++) {
      const row = selection ? selection[i] : i;
      writer.beginRow(encoders.length);
      for (let c = 0; c < encoders.length; c++) encoders[c](columns[c], row, writer);
      writer.endRow();
    }
  }
}

/** Raises 08P01 for a list of formats that does not fit. */
export function checkFormats(formats: readonly number[], columns: number): void {
  if (formats.length > 1 && formats.length !== columns) throw new DatabaseError('08P01', `bind message has ${formats.length} result formats but query has ${columns} columns`);
}

/** Expands the client's format list to one format per column. */
export function expandFormats(formats: readonly number[], columns: number): number[] {
  if (formats.length === 0) return Array<number>(columns).fill(0);
  if (formats.length === 1) return Array<number>(columns).fill(formats[0]);
  checkFormats(formats, columns);
  return [...formats];
}

function valueEncoder(column: ResultColumn, format: number, context: EvalContext): ValueEncoder {
  const type = context.catalog.dataType(column.typeOid);
  return format === 1
    ? (value, writer) => writer.bytesField(type.send(value, context))
    : (value, writer) => writer.textField(type.output(value, context));
}

function fieldEncoder(one: ValueEncoder): FieldEncoder {
  return (vector, row, writer) => {
    if (vector.kind === 'any') {
      const value = vector.data[row];
      if (value === null || value === undefined) writer.nullField();
      else one(value, writer);
      return;
    }
    if (vector.nulls !== null && vector.nulls[row] === 1) writer.nullField();
    else one(vector.kind === 'bool' ? vector.data[row] === 1 : vector.data[row], writer);
  };
}

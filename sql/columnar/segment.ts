/**
 * Column segments: the rows of one block of 65,536 row ids in typed arrays, as they were at one LSN.
 *
 * A slot of a segment is a row id's offset in the block. `marks` says what stands in it: a live row,
 * none, or a row that a later commit changed (the engine's ChangeWatch sets that), which readers
 * leave out and fetch from the row store. So a segment answers for every snapshot at or after its LSN.
 */
import type { Lsn } from '../../engine/ids.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { PackedColumn } from './build-protocol.js';
import { makeDictionary, unpackDictionary, type Dictionary } from './dictionary.js';
import { ByteTexts } from './byte-texts.js';
import type { ColumnClass } from './column-class.js';

export const SEGMENT_ROWS = 65536;

export const LIVE = 0;
export const CHANGED = 1;
export const ABSENT = 2;

export type ColumnData = Int32Array | Float64Array | Uint8Array | Uint16Array | Int16Array | BigInt64Array;

export interface ColumnVector {
  readonly class: ColumnClass;
  readonly data: ColumnData;
  /** 1 is NULL; null: there is none. */
  readonly nulls: Uint8Array | null;
  /** Of the numbers in it; Infinity and -Infinity without one. */
  readonly min: number;
  readonly max: number;
  /** Texts by code. */
  readonly dictionary: Dictionary | null;
  readonly bytes: number;
}

export class Segment {
  readonly marks = new Uint8Array(SEGMENT_ROWS).fill(ABSENT);
  readonly columns = new Map<number, ColumnVector>();
  /** Per column of it ticks of the store's clock when it was last read. */
  readonly columnUsed = new Map<number, number>();
  /** Columns that have a file, and its bytes. */
  readonly stored = new Map<number, number>();
  /** The marks in runs, as they were last listed. */
  listed: { readonly at: Lsn; readonly runs: readonly number[] } | null = null;
  /** Slots up to here may be in use. */
  slots = 0;
  /** What `marks` said when last looked at: good for snapshots that no change of the block came after. */
  summary: { readonly at: Lsn; readonly skip: Uint8Array | null; readonly changed: readonly number[]; /** Nothing stands before it. */ readonly first: number } | null = null;
  /** Ticks of the store's clock when it was last read. */
  used = 0;

  /** `lsn` changes once: when a segment that was read ahead of a commit is known to be of that commit. */
  constructor(readonly block: number, public lsn: Lsn) {}

  put(attnum: number, column: ColumnVector): void {
    this.columns.set(attnum, column);
    this.columnUsed.set(attnum, this.used);
  }

  get bytes(): number {
    let total = SEGMENT_ROWS + (this.summary?.skip?.byteLength ?? 0);
    for (const column of this.columns.values()) total += column.bytes;
    return total;
  }
}

/** A value that has no place in the column's class (an int8 beyond 2^53, an infinite date, NaN as numeric). */
export class NotColumnar extends Error {}

/** What a sink keeps takes more memory than there is. */
export class TooMuch extends NotColumnar {
  constructor(readonly sink: object) {
    super();
  }
}

/** Fills one column. Slots may be set in any order, each once. */
export class ColumnBuilder {
  private data: Int32Array | Float64Array | Uint8Array;
  private nulls: Uint8Array | null = null;
  /** Instead of `data`, from the first value on that a double does not hold. */
  private big: BigInt64Array | null = null;
  private min = Infinity;
  private max = -Infinity;
  private readonly codes: Map<string, number> | null;
  private readonly texts: string[] = [];
  private byteTexts: ByteTexts | null = null;
  /** More texts than were allowed: the column is not to be used. */
  abandoned = false;

  constructor(readonly columnClass: ColumnClass, private readonly slots: number, private readonly maxTexts = Infinity) {
    const { kind } = columnClass;
    this.codes = kind === 'text' ? new Map() : null;
    if (kind === 'bool') this.data = new Uint8Array(slots);
    else if (kind === 'text' || (kind === 'int' && !columnClass.wide)) this.data = new Int32Array(slots);
    else this.data = new Float64Array(slots);
  }

  set(slot: number, value: Datum): void {
    if (value === null) {
      (this.nulls ??= new Uint8Array(this.slots))[slot] = 1;
      return;
    }
    const { columnClass } = this;
    switch (columnClass.kind) {
      case 'text': {
        const text = value as string;
        let code = this.codes!.get(text);
        if (code === undefined) {
          if (this.texts.length >= this.maxTexts) {
            this.abandoned = true;
            return;
          }
          code = this.texts.push(text) - 1;
          this.codes!.set(text, code);
        }
        this.data[slot] = code;
        return;
      }
      case 'bool':
        this.data[slot] = value === true ? 1 : 0;
        return;
      case 'big':
        throw new NotColumnar();
      case 'float':
        this.data[slot] = value as number;
        return;
      case 'decimal': {
        const { coefficient, scale, isFinite } = value as Numeric;
        if (typeof coefficient !== 'number' || scale !== columnClass.scale || !isFinite) throw new NotColumnar();
        this.number(slot, coefficient);
        return;
      }
      case 'int':
        if (this.big || typeof value === 'bigint') {
          if (!columnClass.wide || (typeof value !== 'bigint' && !Number.isSafeInteger(value))) throw new NotColumnar();
          this.big ??= BigInt64Array.from(this.data, (number) => BigInt(number));
          this.big[slot] = BigInt(value as bigint | number);
          return;
        }
        if (typeof value !== 'number' || !Number.isFinite(value)) throw new NotColumnar();
        this.number(slot, value);
        return;
    }
  }

  /** A text by its UTF-8. The others of the column come in the same way. */
  setBytes(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const code = (this.byteTexts ??= new ByteTexts()).code(bytes, start, end, this.maxTexts);
    if (code < 0) this.abandoned = true;
    else this.data[slot] = code;
  }

  /** A numeric as it stands in its row (sql/types/numeric-type.ts): kind, scale, magnitude. */
  setNumeric(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const kind = bytes[start]!;
    // Seven bytes may be beyond what a double holds exactly.
    if (kind > 1 || end - start > 10 || (end - start === 10 && bytes[end - 1]! >= 0x20) || this.columnClass.kind !== 'decimal' || (bytes[start + 1]! | (bytes[start + 2]! << 8)) !== this.columnClass.scale) throw new NotColumnar();
    let magnitude = 0;
    for (let i = end - 1; i >= start + 3; i--) magnitude = magnitude * 256 + bytes[i]!;
    this.number(slot, kind === 1 ? -magnitude : magnitude);
  }

  private number(slot: number, value: number): void {
    this.data[slot] = value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
  }

  /** `slots`: those that may be in use, where there are fewer than were asked for. `kept`: worth making it small; for one statement alone it would only vary the kernels. */
  finish(slots = this.slots, kept = false): ColumnVector {
    const { columnClass } = this;
    const texts = this.byteTexts ?? this.texts;
    const nulls = this.nulls && slots < this.slots ? this.nulls.slice(0, slots) : this.nulls;
    if (this.big) {
      const data = this.big.slice(0, slots);
      return { class: { kind: 'big' }, data, nulls, min: -Infinity, max: Infinity, dictionary: null, bytes: data.byteLength + (nulls?.byteLength ?? 0) };
    }
    let data: ColumnData = slots < this.slots ? this.data.slice(0, slots) : this.data;
    if (kept && (columnClass.kind === 'decimal' || columnClass.kind === 'int')) data = narrowest(data, this.min, this.max);
    else if (columnClass.kind === 'decimal' && this.min >= -2147483648 && this.max <= 2147483647) data = Int32Array.from(data);
    if (columnClass.kind === 'text') {
      if (texts.length <= 256) data = Uint8Array.from(data);
      else if (texts.length <= 65536) data = Uint16Array.from(data);
    }
    if (columnClass.kind === 'bool' || columnClass.kind === 'text') {
      this.min = 0;
      this.max = Math.max(texts.length - 1, 1);
    }
    const dictionary = columnClass.kind === 'text' ? (this.byteTexts?.dictionary() ?? makeDictionary(this.texts)) : null;
    const bytes = data.byteLength + (nulls?.byteLength ?? 0) + (dictionary?.bytes ?? 0);
    return { class: columnClass, data, nulls, min: this.min, max: this.max, dictionary, bytes };
  }
}

/**
 * Integers in as few bytes as they need. Two bytes only up to half of what they hold: the first segment of an ascending key
 * would otherwise be the only one of its kind, and need kernels of its own.
 */
function narrowest(data: Int32Array | Float64Array | Uint8Array, min: number, max: number): Int32Array | Float64Array | Uint8Array | Int16Array {
  if (min > max) return data;
  if (min >= 0 && max <= 255) return Uint8Array.from(data);
  if (min >= -32768 && max <= 32767) return Int16Array.from(data);
  return data instanceof Float64Array && min >= -2147483648 && max <= 2147483647 ? Int32Array.from(data) : data;
}

/** In memory that threads share, so that handing it over copies nothing. */
export function shared<T extends ColumnData>(data: T): T {
  const copy = new (data.constructor as new (buffer: SharedArrayBuffer) => T)(new SharedArrayBuffer(data.byteLength));
  copy.set(data as never);
  return copy;
}

/** The column with its numbers in shared memory. */
export function sharedColumn(column: ColumnVector): ColumnVector {
  return { ...column, data: shared(column.data), nulls: column.nulls && shared(column.nulls) };
}

export function packColumn(attnum: number, { class: of, data, nulls, min, max, dictionary, bytes }: ColumnVector): PackedColumn {
  return { attnum, class: of, data: shared(data), nulls: nulls && shared(nulls), min, max, dictionary: dictionary && dictionary.pack(), bytes };
}

export function unpackColumn({ class: of, data, nulls, min, max, dictionary, bytes }: PackedColumn): ColumnVector {
  return { class: of, data, nulls, min, max, dictionary: dictionary && unpackDictionary(dictionary), bytes };
}

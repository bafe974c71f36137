/**
 * A stored row written column by column into one reused buffer: for bulk loads, which have values as bytes and want neither
 * datums nor an array per row. The layout is tuple-codec.ts's. Columns are set in ascending order, each once; one that was
 * not set is NULL.
 */
import { writeInt64 } from '../types/integer.js';
import type { Datum } from '../types/datum.js';
import { LARGE_VALUE } from './large-columns.js';
import type { TupleCodec } from './tuple-codec.js';

const BLANK = 32;
/** Below this a loop is faster than the native encoder. */
const SHORT_TEXT = 32;
const encoder = new TextEncoder();

export class TupleEncoder {
  buffer = new Uint8Array(1 << 12);
  /** Of `buffer`. */
  view = new DataView(this.buffer.buffer);
  /** The row's bytes are the first `length` of `buffer`. */
  length = 0;
  private readonly head: Uint8Array;
  private readonly base: number;
  private readonly variableBase: number;
  private next = 0;

  constructor(private readonly codec: TupleCodec) {
    const n = codec.columns.length;
    this.base = 2 + ((n + 7) >> 3);
    this.variableBase = this.base + codec.slotBytes;
    this.head = new Uint8Array(this.variableBase);
    this.head[0] = n & 0xff;
    this.head[1] = n >> 8;
  }

  begin(): void {
    const { head, buffer } = this;
    if (head.length <= 64) for (let i = 0; i < head.length; i++) buffer[i] = head[i]!;
    else {
      this.reserve(head.length);
      this.buffer.set(head);
    }
    this.length = this.variableBase;
    this.next = 0;
  }

  private reserve(size: number): void {
    if (size <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(size, this.buffer.length * 2));
    grown.set(this.buffer);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }

  /** Columns before `column` that were passed over are NULL. */
  private reach(column: number): void {
    for (; this.next < column; this.next++) this.setNull(this.next);
    this.next = column + 1;
  }

  private setNull(column: number): void {
    this.buffer[2 + (column >> 3)]! |= 1 << (column & 7);
    if (!this.codec.hasWidth(column)) this.endVariable(column);
  }

  private endVariable(column: number): void {
    this.view.setUint32(this.base + this.codec.slotOffset(column), this.length - this.variableBase, true);
  }

  null(column: number): void {
    this.reach(column);
    this.setNull(column);
  }

  int16(column: number, value: number): void {
    this.reach(column);
    this.view.setInt16(this.base + this.codec.slotOffset(column), value, true);
  }

  int32(column: number, value: number): void {
    this.reach(column);
    this.view.setInt32(this.base + this.codec.slotOffset(column), value, true);
  }

  int64(column: number, value: number): void {
    this.reach(column);
    writeInt64(value, this.view, this.base + this.codec.slotOffset(column));
  }

  /** A variable value: bytes [start, end) of `from`, and blanks behind them. */
  bytes(column: number, from: Uint8Array, start: number, end: number, blanks: number): void {
    this.reach(column);
    const size = end - start;
    this.reserve(this.length + size + blanks);
    const { buffer, length: at } = this;
    if (size <= 128) for (let i = 0; i < size; i++) buffer[at + i] = from[start + i]!;
    else buffer.set(from.subarray(start, end), at);
    if (blanks > 0) buffer.fill(BLANK, at + size, at + size + blanks);
    this.length = at + size + blanks;
    this.endVariable(column);
  }

  private text(column: number, text: string): void {
    this.reach(column);
    this.reserve(this.length + text.length * 3);
    const { buffer, length: at } = this;
    let i = 0;
    if (text.length <= SHORT_TEXT) {
      for (; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (code > 127) break;
        buffer[at + i] = code;
      }
    }
    this.length = at + (i === text.length ? i : encoder.encodeInto(text, buffer.subarray(at)).written);
    this.endVariable(column);
  }

  /** A numeric with an integral coefficient: numeric-type.ts's row form. */
  numeric(column: number, negative: boolean, magnitude: number, scale: number): void {
    this.reach(column);
    this.reserve(this.length + 11);
    const { buffer } = this;
    let at = this.length;
    buffer[at++] = negative ? 1 : 0;
    buffer[at++] = scale & 0xff;
    buffer[at++] = scale >> 8;
    for (let rest = magnitude; rest > 0; rest = Math.floor(rest / 256)) buffer[at++] = rest & 0xff;
    this.length = at;
    this.endVariable(column);
  }

  /** Any value; false, and the row is to be begun anew, when it is too long to stay in its row. */
  datum(column: number, value: Datum): boolean {
    if (value === null) {
      this.null(column);
      return true;
    }
    const { row } = this.codec.columns[column]!.type!;
    if (row.width !== 0) {
      this.reach(column);
      row.write(value as never, this.view, this.base + this.codec.slotOffset(column));
      return true;
    }
    const encoded = row.encode(value as never);
    if (encoded.length > LARGE_VALUE / 3) return false;
    if (typeof encoded === 'string') this.text(column, encoded);
    else this.bytes(column, encoded, 0, encoded.length, 0);
    return true;
  }

  finish(): void {
    this.reach(this.codec.columns.length);
  }
}

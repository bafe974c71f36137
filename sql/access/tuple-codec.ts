/**
 * Rows of datums to bytes and back, such that one column is read without decoding the others.
 *
 *     u16  attribute count n of this row (older rows have fewer: the rest comes from attmissingval)
 *     ceil(n/8) bytes, bit set = NULL
 *     n slots: a fixed-width value in place, or u32 end of the value in the variable part
 *     variable part: values one after the other; each starts where the one before ends
 *
 * Slots have constant offsets (NULL keeps its slot), so a column is found by one addition. Columns
 * are only ever appended; a dropped one keeps its slot's width (attlen) and is written as NULL.
 */
import type { Datum } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';

export interface TupleColumn {
  /** null for a dropped column. */
  readonly type: DataType | null;
  /** For a dropped column: width of its slot's value, -1 variable. */
  readonly droppedWidth?: number;
  /** Value in rows that were stored before the column existed. */
  readonly missing?: Datum;
}

interface Slot {
  readonly fixed: boolean;
  readonly offset: number;
  /** Offset of the slot of the variable column before, -1 for the first. */
  readonly previousEnd: number;
  readonly type: DataType | null;
  readonly plainText: boolean;
  readonly missing: Datum;
}

/** Types whose row encoding is their UTF-8 text: decoded by Node's native slice, without a view per value. */
const PLAIN_TEXT = new Set(['text', 'varchar', 'bpchar', 'name', 'json', 'unknown', 'xml', 'pg_node_tree']);

const utf8Slice = (Buffer.prototype as unknown as { utf8Slice(this: Uint8Array, start: number, end: number): string }).utf8Slice;
const encoder = new TextEncoder();

export class TupleCodec {
  private readonly slots: readonly Slot[];
  /** slotEnd[n]: size of the slots of the first n columns. */
  private readonly slotEnd: readonly number[];
  private buffer = new Uint8Array(1024);
  private writeView = new DataView(this.buffer.buffer);
  private readBuffer: ArrayBufferLike | null = null;
  private readView: DataView = new DataView(new ArrayBuffer(0));

  constructor(readonly columns: readonly TupleColumn[]) {
    let offset = 0;
    let previousEnd = -1;
    const slotEnd = [0];
    this.slots = columns.map((column) => {
      const width = column.type ? column.type.row.width : Math.max(column.droppedWidth ?? 0, 0);
      const fixed = width > 0;
      const slot: Slot = { fixed, offset, previousEnd, type: column.type, plainText: column.type !== null && PLAIN_TEXT.has(column.type.name), missing: column.missing ?? null };
      if (!fixed) previousEnd = offset;
      offset += fixed ? width : 4;
      slotEnd.push(offset);
      return slot;
    });
    this.slotEnd = slotEnd;
  }

  private reserve(size: number): void {
    if (size <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(size, this.buffer.length * 2));
    grown.set(this.buffer);
    this.buffer = grown;
    this.writeView = new DataView(grown.buffer);
  }

  /** A stored row. `values` by column; the result is the caller's own. */
  encode(values: readonly Datum[]): Uint8Array {
    const { slots } = this;
    const n = slots.length;
    const base = 2 + ((n + 7) >> 3);
    const variableBase = base + this.slotEnd[n]!;
    let end = variableBase;
    this.reserve(end);
    this.buffer.fill(0, 0, end);
    this.buffer[0] = n & 0xff;
    this.buffer[1] = n >> 8;
    for (let i = 0; i < n; i++) {
      const slot = slots[i]!;
      const value = slot.type === null ? null : (values[i] ?? null);
      if (value === null) {
        this.buffer[2 + (i >> 3)]! |= 1 << (i & 7);
      } else {
        const codec = slot.type!.row;
        if (codec.width !== 0) {
          codec.write(value as never, this.writeView, base + slot.offset);
        } else {
          const encoded = codec.encode(value as never);
          if (typeof encoded === 'string') {
            this.reserve(end + encoded.length * 3);
            end += encoder.encodeInto(encoded, this.buffer.subarray(end)).written;
          } else {
            this.reserve(end + encoded.length);
            this.buffer.set(encoded, end);
            end += encoded.length;
          }
        }
      }
      if (!slot.fixed) this.writeView.setUint32(base + slot.offset, end - variableBase, true);
    }
    return this.buffer.slice(0, end);
  }

  /** A DataView over the tuple's buffer; kept per buffer because the rows of a block may share one. */
  private viewOf(tuple: Uint8Array): DataView {
    if (tuple.buffer !== this.readBuffer) {
      this.readBuffer = tuple.buffer;
      this.readView = new DataView(tuple.buffer);
    }
    return this.readView;
  }

  /** One column (0-based) of a stored row. */
  read(tuple: Uint8Array, column: number): Datum {
    const slot = this.slots[column]!;
    const n = tuple[0]! | (tuple[1]! << 8);
    if (column >= n) return slot.missing;
    if ((tuple[2 + (column >> 3)]! & (1 << (column & 7))) !== 0 || slot.type === null) return null;
    const base = 2 + ((n + 7) >> 3);
    const view = this.viewOf(tuple);
    const codec = slot.type.row;
    if (codec.width !== 0) return codec.read(view, tuple.byteOffset + base + slot.offset);
    const variableBase = base + this.slotEnd[n]!;
    const start = slot.previousEnd < 0 ? 0 : view.getUint32(tuple.byteOffset + base + slot.previousEnd, true);
    const end = view.getUint32(tuple.byteOffset + base + slot.offset, true);
    if (slot.plainText) return utf8Slice.call(tuple, variableBase + start, variableBase + end);
    return codec.decode(tuple.subarray(variableBase + start, variableBase + end));
  }

  /** All columns, dropped ones null. */
  readAll(tuple: Uint8Array): Datum[] {
    const out = new Array<Datum>(this.slots.length);
    for (let i = 0; i < out.length; i++) out[i] = this.read(tuple, i);
    return out;
  }
}

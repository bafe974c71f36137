/**
 * Rows of datums to bytes and back, such that one column is read without decoding the others.
 *
 *     u16  attribute count n of this row (older rows have fewer: the rest comes from attmissingval)
 *     ceil(n/8) bytes, bit set = NULL
 *     n slots: a fixed-width value in place, or u32 end of the value in the variable part
 *     variable part: values one after the other; each starts where the one before ends
 *
 * A value too long for its row stands elsewhere (large-columns.ts): bit 31 of its end is set, and its
 * place holds u48 id, u48 length. Such a row has bit 15 of its count set and the ids behind the
 * variable part, by which the engine knows what the row refers to (engine/mvcc/row-format.ts).
 *
 * Slots have constant offsets (NULL keeps its slot), so a column is found by one addition. Columns
 * are only ever appended; a dropped one keeps its slot's width (attlen) and is written as NULL.
 */
import { appendLargeIds, hasLarge, largeIdsLength } from '../../engine/mvcc/row-format.js';
import { readUint48, writeUint48 } from '../../engine/keycode.js';
import type { StorageId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import { DatabaseError } from '../../engine/errors.js';
import type { LargeValueReader, LargeValueWriter } from '../../engine/storage.js';
import { LARGE_VALUE, LargeRef, SLICED, readSliced, writeNow } from './large-columns.js';
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
const decodeText = (bytes: Uint8Array): string => utf8Slice.call(bytes, 0, bytes.length);
/** In a slot's end: the value is elsewhere. */
const ELSEWHERE = 0x80000000;
const REF_BYTES = 12;

export class TupleCodec {
  private readonly slots: readonly Slot[];
  /** slotEnd[n]: size of the slots of the first n columns. */
  private readonly slotEnd: readonly number[];
  private buffer = new Uint8Array(1024);
  private writeView = new DataView(this.buffer.buffer);
  private readBuffer: ArrayBufferLike | null = null;
  private readView: DataView = new DataView(new ArrayBuffer(0));
  /** Where values that are not in their row are read; set with the first access to the table. */
  large: LargeValueReader | null = null;
  /** Values read ahead for rows about to be decoded, by id. */
  private readonly loaded = new Map<number, Datum>();
  /** Columns whose values may be long. */
  readonly variableColumns: readonly number[];

  constructor(readonly columns: readonly TupleColumn[], private readonly storage: StorageId = 0 as StorageId) {
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
    this.variableColumns = this.slots.flatMap((slot, i) => (slot.fixed || slot.type === null ? [] : [i]));
  }

  private reserve(size: number): void {
    if (size <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(size, this.buffer.length * 2));
    grown.set(this.buffer);
    this.buffer = grown;
    this.writeView = new DataView(grown.buffer);
  }

  /**
   * A stored row. `values` by column, or where they are already (`refs`; a LargeRef among the values).
   * `open` takes long values out of the row; without it they stay. The result is the caller's own.
   */
  encode(values: readonly (Datum | LargeRef)[], refs?: readonly (LargeRef | undefined)[], open?: () => LargeValueWriter | undefined): Uint8Array {
    let ids: number[] | null = null;
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
      } else if (refs?.[i] || value instanceof LargeRef) {
        const ref = refs?.[i] ?? (value as LargeRef);
        end = this.putRef(ref, end);
        (ids ??= []).push(ref.id);
        this.writeView.setUint32(base + slot.offset, (end - variableBase + ELSEWHERE) >>> 0, true);
        continue;
      } else {
        const codec = slot.type!.row;
        if (codec.width !== 0) {
          codec.write(value as never, this.writeView, base + slot.offset);
        } else {
          const encoded = codec.encode(value as never);
          const writer = encoded.length > LARGE_VALUE ? open?.() : undefined;
          if (writer) {
            const ref = writeNow(writer, encoded);
            end = this.putRef(ref, end);
            (ids ??= []).push(ref.id);
            this.writeView.setUint32(base + slot.offset, (end - variableBase + ELSEWHERE) >>> 0, true);
            continue;
          }
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
    if (ids) {
      this.reserve(end + largeIdsLength(ids.length));
      end = appendLargeIds(this.buffer, end, ids);
    }
    return this.buffer.slice(0, end);
  }

  private putRef(ref: LargeRef, at: number): number {
    this.reserve(at + REF_BYTES);
    writeUint48(this.buffer, at, ref.id);
    writeUint48(this.buffer, at + 6, ref.length);
    return at + REF_BYTES;
  }

  /** Bytes of all slots. */
  get slotBytes(): number {
    return this.slotEnd[this.slots.length]!;
  }

  slotOffset(column: number): number {
    return this.slots[column]!.offset;
  }

  /** The column's values stand in its slot. */
  hasWidth(column: number): boolean {
    return this.slots[column]!.fixed;
  }

  /** A column of fixed width can be replaced in place in rows that hold a value there. */
  isFixed(column: number): boolean {
    return this.slots[column]!.fixed && this.slots[column]!.type !== null;
  }

  /** Replaces the value of a fixed-width column in place. False, with nothing done, where the row has NULL or not that column. */
  patch(tuple: Uint8Array, column: number, value: Datum): boolean {
    const n = tuple[0]! | (tuple[1]! << 8);
    if (value === null || n !== this.slots.length || (tuple[2 + (column >> 3)]! & (1 << (column & 7))) !== 0) return false;
    const slot = this.slots[column]!;
    const codec = slot.type!.row;
    if (codec.width === 0) return false;
    codec.write(value as never, this.viewOf(tuple), tuple.byteOffset + 2 + ((n + 7) >> 3) + slot.offset);
    return true;
  }

  /** A DataView over the tuple's buffer; kept per buffer because the rows of a block may share one. */
  private viewOf(tuple: Uint8Array): DataView {
    if (tuple.buffer !== this.readBuffer) {
      this.readBuffer = tuple.buffer;
      this.readView = new DataView(tuple.buffer);
    }
    return this.readView;
  }

  /** One column (0-based) of a stored row, which begins at `at` of `tuple`. */
  read(tuple: Uint8Array, column: number, at = 0): Datum {
    const slot = this.slots[column]!;
    const n = tuple[at]! | ((tuple[at + 1]! & 0x7f) << 8);
    if (column >= n) return slot.missing;
    if ((tuple[at + 2 + (column >> 3)]! & (1 << (column & 7))) !== 0 || slot.type === null) return null;
    const base = at + 2 + ((n + 7) >> 3);
    const view = this.viewOf(tuple);
    const codec = slot.type.row;
    if (codec.width !== 0) return codec.read(view, tuple.byteOffset + base + slot.offset);
    const variableBase = base + this.slotEnd[n]!;
    const start = slot.previousEnd < 0 ? 0 : view.getUint32(tuple.byteOffset + base + slot.previousEnd, true) & ~ELSEWHERE;
    const end = view.getUint32(tuple.byteOffset + base + slot.offset, true);
    if (end >= ELSEWHERE) return this.readElsewhere(slot, new LargeRef(readUint48(tuple, variableBase + start), readUint48(tuple, variableBase + start + 6)));
    if (slot.plainText) return utf8Slice.call(tuple, variableBase + start, variableBase + end);
    return codec.decode(tuple.subarray(variableBase + start, variableBase + end));
  }

  /** A column of fixed width (`isFixed`) of a row that begins at `start` of `bytes`, of which `view` is a view. */
  readFixed(bytes: Uint8Array, view: DataView, start: number, column: number): Datum {
    const slot = this.slots[column]!;
    const n = bytes[start]! | ((bytes[start + 1]! & 0x7f) << 8);
    if (column >= n) return slot.missing;
    if ((bytes[start + 2 + (column >> 3)]! & (1 << (column & 7))) !== 0) return null;
    const codec = slot.type!.row;
    return codec.width === 0 ? null : codec.read(view, start + 2 + ((n + 7) >> 3) + slot.offset);
  }

  /** Where `locate` found a value's bytes. */
  start = 0;
  end = 0;

  /** Where the UTF-8 of a text column lies in the row, which begins at `at`: 'here' (start, end), 'null', or 'elsewhere' (or in no such column): `read` it. */
  locate(tuple: Uint8Array, column: number, at = 0): 'here' | 'null' | 'elsewhere' {
    const slot = this.slots[column]!;
    const n = tuple[at]! | ((tuple[at + 1]! & 0x7f) << 8);
    if (column >= n || !slot.plainText) return 'elsewhere';
    if ((tuple[at + 2 + (column >> 3)]! & (1 << (column & 7))) !== 0) return 'null';
    const base = at + 2 + ((n + 7) >> 3);
    const variableBase = base + this.slotEnd[n]!;
    const end = readUint32LE(tuple, base + slot.offset);
    if (end >= ELSEWHERE) return 'elsewhere';
    this.start = variableBase + (slot.previousEnd < 0 ? 0 : (readUint32LE(tuple, base + slot.previousEnd) & ~ELSEWHERE) >>> 0);
    this.end = variableBase + end;
    return 'here';
  }

  /**
   * As `locate`, of any column with a value in a row that begins at `at` of `bytes`, of which `view` is a view; `start` and `end` are
   * places in `bytes`. 'missing': the row is older than the column.
   */
  locateAt(bytes: Uint8Array, view: DataView, at: number, column: number): 'here' | 'null' | 'missing' | 'elsewhere' {
    const slot = this.slots[column]!;
    const n = bytes[at]! | ((bytes[at + 1]! & 0x7f) << 8);
    if (column >= n) return 'missing';
    if ((bytes[at + 2 + (column >> 3)]! & (1 << (column & 7))) !== 0) return 'null';
    const base = at + 2 + ((n + 7) >> 3);
    if (slot.fixed) {
      this.start = base + slot.offset;
      return 'here';
    }
    const variableBase = base + this.slotEnd[n]!;
    const end = view.getUint32(base + slot.offset, true);
    if (end >= ELSEWHERE) return 'elsewhere';
    this.start = variableBase + (slot.previousEnd < 0 ? 0 : (view.getUint32(base + slot.previousEnd, true) & ~ELSEWHERE) >>> 0);
    this.end = variableBase + end;
    return 'here';
  }

  private readElsewhere(slot: Slot, ref: LargeRef): Datum {
    const loaded = this.loaded.get(ref.id);
    if (loaded !== undefined) return loaded;
    const bytes = this.reader().read(this.storage, ref.id, 0, ref.length);
    return slot.plainText ? decodeText(bytes) : (slot.type!.row as { decode(bytes: Uint8Array): Datum }).decode(bytes);
  }

  private reader(): LargeValueReader {
    if (!this.large) throw new DatabaseError('XX000', 'a large value is read without its store');
    return this.large;
  }

  /** Where a column's value is when it is not in the row. */
  refOf(tuple: Uint8Array, column: number): LargeRef | null {
    if (!hasLarge(tuple)) return null;
    const slot = this.slots[column]!;
    const n = tuple[0]! | ((tuple[1]! & 0x7f) << 8);
    if (column >= n || slot.fixed || slot.type === null || (tuple[2 + (column >> 3)]! & (1 << (column & 7))) !== 0) return null;
    const base = 2 + ((n + 7) >> 3);
    const view = this.viewOf(tuple);
    if (view.getUint32(tuple.byteOffset + base + slot.offset, true) < ELSEWHERE) return null;
    const start = slot.previousEnd < 0 ? 0 : view.getUint32(tuple.byteOffset + base + slot.previousEnd, true) & ~ELSEWHERE;
    const at = base + this.slotEnd[n]! + start;
    return new LargeRef(readUint48(tuple, at), readUint48(tuple, at + 6));
  }

  /**
   * Before `count` rows are decoded: reads what is long, in slices. Pending: call again. `release`
   * afterwards. Columns by position.
   */
  load(columns: readonly number[], tuples: readonly Uint8Array[], count: number): Pending | undefined {
    let wanted: { slot: Slot; ref: LargeRef }[] | null = null;
    for (let i = 0; i < count; i++) {
      const tuple = tuples[i]!;
      if (!hasLarge(tuple)) continue;
      for (const column of columns) {
        const ref = column < 0 ? null : this.refOf(tuple, column);
        if (ref && ref.length > SLICED && !this.loaded.has(ref.id)) (wanted ??= []).push({ slot: this.slots[column]!, ref });
      }
    }
    return wanted ? new Pending(this.loadAll(wanted), 'IO', 'DataFileRead') : undefined;
  }

  private async loadAll(wanted: readonly { slot: Slot; ref: LargeRef }[]): Promise<void> {
    for (const { slot, ref } of wanted) {
      const whole = (bytes: Uint8Array): Datum => (slot.type!.row as { decode(bytes: Uint8Array): Datum }).decode(bytes);
      this.loaded.set(ref.id, await readSliced(this.reader(), this.storage, ref, slot.plainText ? decodeText : null, whole));
    }
  }

  /** Forgets what was loaded for these rows. */
  release(tuples: readonly Uint8Array[], count: number): void {
    if (this.loaded.size === 0) return;
    for (let i = 0; i < count; i++)
      if (hasLarge(tuples[i]!)) for (const column of this.variableColumns) {
        const ref = this.refOf(tuples[i]!, column);
        if (ref) this.loaded.delete(ref.id);
      }
  }

  /** All columns, dropped ones null; long values of columns other than `needed` as references, to be written back as they are. */
  readForChange(tuple: Uint8Array, needed: ReadonlySet<number>): Datum[] {
    const out = new Array<Datum>(this.slots.length);
    // A LargeRef is no datum: the caller hands it on to `encode` and to nothing else.
    for (let i = 0; i < out.length; i++) out[i] = needed.has(i + 1) ? this.read(tuple, i) : ((this.refOf(tuple, i) as unknown as Datum | null) ?? this.read(tuple, i));
    return out;
  }

  /** All columns, dropped ones null. */
  readAll(tuple: Uint8Array): Datum[] {
    const out = new Array<Datum>(this.slots.length);
    for (let i = 0; i < out.length; i++) out[i] = this.read(tuple, i);
    return out;
  }
}

function readUint32LE(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/**
 * Rows in a temporary file, in the types' storage form. A block is its length and rows; a row is a byte per eight
 * columns (1: NULL) and the values, those of variable length behind their length.
 *
 *     block:  u32 bytes | u32 rows | rows
 */
import type { DataType } from '../../types/data-type.js';
import type { Datum } from '../../types/datum.js';
import { TempFile } from './temp-file.js';

const BLOCK_BYTES = 1 << 16;
const HEADER = 8;

export class RowWriter {
  private buffer = Buffer.allocUnsafe(HEADER + 4096);
  private view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.length);
  private at = HEADER;
  private rows = 0;
  private readonly nullBytes: number;
  /** Rows written in all. */
  count = 0;

  constructor(readonly file: TempFile, private readonly types: readonly DataType[]) {
    this.nullBytes = (types.length + 7) >> 3;
  }

  /** The row's values by column. */
  add(value: (column: number) => Datum): void {
    const { types, nullBytes } = this;
    this.room(nullBytes + types.length * 20);
    const nulls = this.at;
    this.buffer.fill(0, nulls, nulls + nullBytes);
    this.at += nullBytes;
    for (let c = 0; c < types.length; c++) {
      const datum = value(c);
      if (datum === null) {
        this.buffer[nulls + (c >> 3)]! |= 1 << (c & 7);
        continue;
      }
      const { row } = types[c]!;
      if (row.width > 0) {
        (row as { write(value: never, into: DataView, offset: number): void }).write(datum as never, this.view, this.at);
        this.at += row.width;
        continue;
      }
      const bytes = (row as { encode(value: never): Uint8Array | string }).encode(datum as never);
      const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
      this.room(4 + length + (types.length - c) * 20);
      this.view.setUint32(this.at, length, true);
      this.at += 4;
      if (typeof bytes === 'string') this.buffer.write(bytes, this.at);
      else this.buffer.set(bytes, this.at);
      this.at += length;
    }
    this.rows++;
    this.count++;
    if (this.at >= BLOCK_BYTES) this.flush();
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
    this.view = new DataView(larger.buffer, larger.byteOffset, larger.length);
  }

  /** Writes what is still in memory; the file's size is then where the rows so far end. */
  flush(): void {
    if (this.rows === 0) return;
    this.view.setUint32(0, this.at, true);
    this.view.setUint32(4, this.rows, true);
    this.file.append(this.buffer.subarray(0, this.at));
    this.at = HEADER;
    this.rows = 0;
  }
}

/** The rows of a part of a file, block by block as columns. */
export class RowReader {
  private readonly header = Buffer.allocUnsafe(HEADER);

  constructor(private readonly file: TempFile, private readonly types: readonly DataType[], private position: number, private readonly end: number) {}

  /** The next rows by column; null at the end. */
  next(): { readonly columns: Datum[][]; readonly length: number } | null {
    if (this.position >= this.end) return null;
    const { header, types, file } = this;
    file.read(header, this.position);
    const size = header.readUInt32LE(0);
    const length = header.readUInt32LE(4);
    // A buffer of its own: values may keep parts of it.
    const buffer = Buffer.allocUnsafeSlow(size - HEADER);
    if (file.read(buffer, this.position + HEADER) < buffer.length) throw new Error('a temporary file is shorter than what was written to it');
    this.position += size;
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    const columns = types.map(() => new Array<Datum>(length));
    const nullBytes = (types.length + 7) >> 3;
    let at = 0;
    for (let i = 0; i < length; i++) {
      const nulls = at;
      at += nullBytes;
      for (let c = 0; c < types.length; c++) {
        if ((buffer[nulls + (c >> 3)]! >> (c & 7)) & 1) {
          columns[c]![i] = null;
          continue;
        }
        const { row } = types[c]!;
        if (row.width > 0) {
          columns[c]![i] = (row as { read(from: DataView, offset: number): Datum }).read(view, at);
          at += row.width;
        } else {
          const bytes = view.getUint32(at, true);
          at += 4;
          columns[c]![i] = (row as { decode(bytes: Uint8Array): Datum }).decode(buffer.subarray(at, at + bytes));
          at += bytes;
        }
      }
    }
    return { columns, length };
  }
}

/** One datum by its type's row codec, standing alone: elements of stored arrays and fields of stored records. */
import type { DataType } from './data-type.js';
import type { Datum } from './datum.js';
import { encodeUtf8 } from './utf8.js';
import { viewOf } from './wire-bytes.js';

export function encodeRowValue(type: DataType, value: Datum): Uint8Array {
  const { row } = type;
  if (row.width === 0) {
    const encoded = row.encode(value as never);
    return typeof encoded === 'string' ? encodeUtf8(encoded) : encoded;
  }
  const bytes = new Uint8Array(row.width);
  row.write(value as never, viewOf(bytes), 0);
  return bytes;
}

export function decodeRowValue(type: DataType, bytes: Uint8Array): Datum {
  const { row } = type;
  return row.width === 0 ? row.decode(bytes) : row.read(viewOf(bytes), 0);
}

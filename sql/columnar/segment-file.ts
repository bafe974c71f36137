/**
 * A column of a segment as a file: a cache that says itself what it stands for, and that it is whole.
 *
 *     0   "OXBCOL1\n"
 *     8   u32 CRC-32 of everything behind it
 *     12  u32 length of the head
 *     16  head, JSON: storage, block, LSN and attribute number, class, range, kinds and lengths of what follows
 *         data, NULLs (a byte each), dictionary: u32 ends of the texts, their UTF-8; each padded to 8 bytes
 */
import { crc32 } from '../../engine/log/checksum.js';
import type { ColumnClass } from './column-class.js';
import type { PackedColumn } from './build-protocol.js';
import type { PackedDictionary } from './dictionary.js';

const MAGIC = Buffer.from('OXBCOL1\n', 'latin1');
const HEAD = 16;

/** What a file stands for. */
export interface ColumnIdentity {
  readonly storage: number;
  readonly block: number;
  readonly lsn: number;
  readonly attnum: number;
}

const ARRAYS = { Int32Array, Float64Array, Uint8Array, Uint16Array, Int16Array, BigInt64Array };
type ArrayName = keyof typeof ARRAYS;

interface Head extends ColumnIdentity {
  readonly class: ColumnClass;
  /** JSON has no infinities. */
  readonly range: readonly [number | string, number | string];
  readonly array: ArrayName;
  readonly length: number;
  readonly nulls: boolean;
  readonly texts: { readonly count: number; readonly bytes: number; readonly strings: boolean; readonly characters: number } | null;
  readonly bytes: number;
}

const padded = (bytes: number): number => (bytes + 7) & ~7;

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Ends of texts and their bytes. */
function textBytes(dictionary: PackedDictionary): { ends: Uint32Array; data: Uint8Array } {
  if (!('texts' in dictionary)) return { ends: dictionary.offsets.subarray(1), data: dictionary.data };
  const parts = dictionary.texts.map((text) => Buffer.from(text));
  let end = 0;
  return { ends: Uint32Array.from(parts, (part) => (end += part.length)), data: Buffer.concat(parts) };
}

export function encodeColumn(identity: ColumnIdentity, column: PackedColumn): Uint8Array {
  const { data, nulls, dictionary, min, max } = column;
  const texts = dictionary && textBytes(dictionary);
  const head: Head = {
    storage: identity.storage, block: identity.block, lsn: identity.lsn, attnum: identity.attnum, class: column.class, range: [jsonNumber(min), jsonNumber(max)],
    array: data.constructor.name as ArrayName, length: data.length, nulls: nulls !== null, bytes: column.bytes,
    texts: texts && { count: texts.ends.length, bytes: texts.data.length, strings: 'texts' in dictionary!, characters: 'texts' in dictionary! ? -1 : dictionary!.characters },
  };
  const text = Buffer.from(JSON.stringify(head));
  const parts = [text, bytesOf(data), ...(nulls ? [nulls] : []), ...(texts ? [bytesOf(texts.ends), texts.data] : [])];
  const file = Buffer.alloc(parts.reduce((sum, part) => sum + padded(part.length), HEAD));
  file.set(MAGIC);
  file.writeUInt32LE(text.length, 12);
  let at = HEAD;
  for (const part of parts) {
    file.set(part, at);
    at += padded(part.length);
  }
  file.writeUInt32LE(crc32(file.subarray(12)), 8);
  return file;
}

/** The column, in memory that threads share; undefined when the file is damaged or stands for something else. */
export function decodeColumn(identity: ColumnIdentity, file: Uint8Array): PackedColumn | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.length < HEAD || !bytes.subarray(0, 8).equals(MAGIC) || bytes.readUInt32LE(8) !== crc32(bytes.subarray(12))) return undefined;
  const textLength = bytes.readUInt32LE(12);
  const head = JSON.parse(bytes.toString('utf8', HEAD, HEAD + textLength)) as Head;
  if (head.storage !== identity.storage || head.block !== identity.block || head.lsn !== identity.lsn || head.attnum !== identity.attnum) return undefined;
  let at = HEAD + padded(textLength);
  const take = (length: number): SharedArrayBuffer => {
    const buffer = new SharedArrayBuffer(length);
    new Uint8Array(buffer).set(bytes.subarray(at, at + length));
    at += padded(length);
    return buffer;
  };
  const make = ARRAYS[head.array];
  const data = new make(take(head.length * make.BYTES_PER_ELEMENT) as never);
  const nulls = head.nulls ? new Uint8Array(take(head.length)) : null;
  let dictionary: PackedDictionary | null = null;
  if (head.texts) {
    const { count, bytes: length, strings, characters } = head.texts;
    const offsets = new Uint32Array(new SharedArrayBuffer(4 * (count + 1)));
    new Uint8Array(offsets.buffer, 4).set(bytes.subarray(at, at + 4 * count));
    at += padded(4 * count);
    if (strings) {
      const start = at;
      dictionary = { texts: Array.from({ length: count }, (_, code) => bytes.toString('utf8', start + offsets[code]!, start + offsets[code + 1]!)) };
    } else dictionary = { offsets, data: new Uint8Array(take(length)), characters };
  }
  return { attnum: head.attnum, class: head.class, data, nulls, min: Number(head.range[0]), max: Number(head.range[1]), dictionary, bytes: head.bytes };
}

function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

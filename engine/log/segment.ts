/**
 * One file of the local log. Preallocated with zeros (so that fdatasync has no metadata to write
 * and a commit cannot meet a full disk) and recycled when trimmed.
 *
 *     0     8B   magic "OXBOWLOG"        28   16B  hash of the batch before the first
 *     8     u16  format (1)              44   u32  CRC-32 of bytes 0..44
 *    10     u48  segment number          4096      batches, one after the other
 *    16     u48  LSN of the first batch
 *    22     u48  term it was begun in
 *
 * A batch never spans two segments; what is left of a segment stays unused. A recycled segment
 * still holds old batches: their LSNs are below the expected one, so they are not taken for data.
 */
import type { Lsn } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { FileHandle } from '../runtime.js';
import { crc32 } from './checksum.js';

export const SEGMENT_HEADER = 4096;
export const SEGMENT_FORMAT = 1;
const MAGIC = Uint8Array.from(Buffer.from('OXBOWLOG'));
const HEADER_BYTES = 48;

export interface SegmentHeader {
  readonly number: number;
  readonly firstLsn: Lsn;
  readonly term: number;
  readonly previousHash: Uint8Array;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES);
  out.set(MAGIC);
  out[8] = SEGMENT_FORMAT;
  writeUint48(out, 10, header.number);
  writeUint48(out, 16, header.firstLsn);
  writeUint48(out, 22, header.term);
  out.set(header.previousHash, 28);
  new DataView(out.buffer).setUint32(44, crc32(out.subarray(0, 44)), true);
  return out;
}

export function readSegmentHeader(file: FileHandle): SegmentHeader | undefined {
  const bytes = new Uint8Array(HEADER_BYTES);
  if (file.readSync(bytes, 0) < HEADER_BYTES) return undefined;
  if (MAGIC.some((byte, i) => bytes[i] !== byte) || bytes[8] !== SEGMENT_FORMAT) return undefined;
  if (new DataView(bytes.buffer).getUint32(44, true) !== crc32(bytes.subarray(0, 44))) return undefined;
  return { number: readUint48(bytes, 10), firstLsn: readUint48(bytes, 16) as Lsn, term: readUint48(bytes, 22), previousHash: bytes.slice(28, 44) };
}

export function segmentName(number: number): string {
  return `${number.toString(16).padStart(12, '0')}.log`;
}

/** The number in a segment's file name; undefined for other files. */
export function segmentNumber(name: string): number | undefined {
  return /^[0-9a-f]{12}\.log$/.test(name) ? parseInt(name, 16) : undefined;
}

/** Reads the whole file. */
export function readAll(file: FileHandle): Uint8Array {
  const bytes = new Uint8Array(file.size());
  let at = 0;
  while (at < bytes.length) {
    const count = file.readSync(bytes.subarray(at), at);
    if (count === 0) break;
    at += count;
  }
  return bytes.subarray(0, at);
}

/** Writes all of `bytes`, however many calls it takes. */
export function writeAll(file: FileHandle, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += file.writeSync(bytes.subarray(at), position + at);
}

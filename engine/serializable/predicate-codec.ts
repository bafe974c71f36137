/**
 * What a prepared transaction has read, as the log keeps it, so that it can still be in conflict after a restart.
 * Per storage, in one section:
 *
 *     storage u48, whole u8, then unless whole:
 *     rows u32, each u48; prefixes u32, each length u16 and bytes; ranges u32, each lower (u16, bytes), bounded u8, upper (u16, bytes)
 *
 * A storage of which more was read than fits counts as read whole: that can only cause more failures.
 */
import type { RowId, StorageId } from '../ids.js';
import type { BatchBuilder, RecordReader } from '../log/batch.js';
import { Section } from '../log/batch.js';

export interface PredicateReads {
  readonly storage: StorageId;
  readonly whole: boolean;
  readonly rows: Iterable<RowId>;
  readonly prefixes: Iterable<Uint8Array>;
  readonly ranges: Iterable<{ readonly lower: Uint8Array; readonly upper: Uint8Array | undefined }>;
}

/** A section stays well below a batch. */
const MAX_BYTES = 64 << 10;
/** What the counts and the storage take, and a row, and a key beside its bytes. */
const HEAD_BYTES = 24;
const ROW_BYTES = 6;
const KEY_BYTES = 3;

function byteLength(reads: PredicateReads): number {
  let bytes = HEAD_BYTES;
  bytes += [...reads.rows].length * ROW_BYTES;
  for (const prefix of reads.prefixes) bytes += KEY_BYTES + prefix.length;
  for (const { lower, upper } of reads.ranges) bytes += 2 * KEY_BYTES + lower.length + (upper?.length ?? 0);
  return bytes;
}

export function writePredicates(builder: BatchBuilder, reads: PredicateReads): void {
  const whole = reads.whole || byteLength(reads) > MAX_BYTES;
  const key = (bytes: Uint8Array): void => {
    builder.uint16(bytes.length);
    builder.bytes(bytes);
  };
  builder.beginSection(Section.predicates);
  builder.uint48(reads.storage);
  builder.uint8(whole ? 1 : 0);
  if (!whole) {
    const rows = [...reads.rows];
    builder.uint32(rows.length);
    for (const row of rows) builder.uint48(row);
    const prefixes = [...reads.prefixes];
    builder.uint32(prefixes.length);
    for (const prefix of prefixes) key(prefix);
    const ranges = [...reads.ranges];
    builder.uint32(ranges.length);
    for (const { lower, upper } of ranges) {
      key(lower);
      builder.uint8(upper ? 1 : 0);
      if (upper) key(upper);
    }
  }
  builder.endSection();
}

/** Reads the section that the reader stands at. */
export function readPredicates(reader: RecordReader): PredicateReads {
  let at = reader.sectionStart;
  const uint32 = (): number => reader.uint32((at += 4) - 4);
  const key = (): Uint8Array => {
    const length = reader.uint16(at);
    at += 2 + length;
    return reader.bytes(at - length, at).slice();
  };
  const storage = reader.uint48(at) as StorageId;
  const whole = reader.uint8(at + 6) === 1;
  at += 7;
  if (whole) return { storage, whole, rows: [], prefixes: [], ranges: [] };
  const rows = Array.from({ length: uint32() }, () => reader.uint48((at += 6) - 6) as RowId);
  const prefixes = Array.from({ length: uint32() }, key);
  const ranges = Array.from({ length: uint32() }, () => {
    const lower = key();
    const bounded = reader.uint8(at++) === 1;
    return { lower, upper: bounded ? key() : undefined };
  });
  return { storage, whole, rows, prefixes, ranges };
}

/**
 * Which segments have files, as of one LSN: what a start trusts. `columns/manifest` holds a line with a CRC-32 and JSON. A segment's
 * marks are in it (in runs), so that a file stands for what it stood for when it was listed. The log from that LSN on tells what
 * changed since; it is held for that.
 */
import { crc32 } from '../../engine/log/checksum.js';
import { RecordKind, RecordReader, Section, type RowVisitor } from '../../engine/log/batch.js';
import type { Lsn } from '../../engine/ids.js';
import type { Storage } from '../../engine/storage.js';
import { CHANGED, SEGMENT_ROWS, type Segment } from './segment.js';

const TITLE = 'oxbow columns 1';
/** More log than this is not read: what a start would wait for costs more than building columns anew. */
const MAX_LOG_BYTES = 128 << 20;
/** Marks that come and go more often are not listed. */
export const MAX_RUNS = 4096;

export interface ListedSegment {
  readonly block: number;
  readonly lsn: number;
  readonly slots: number;
  /** Mark and length in turn. */
  readonly runs: readonly number[];
  /** Attribute numbers, and bytes of their files. */
  readonly columns: readonly (readonly [number, number])[];
}

export interface ListedRelation {
  readonly storage: number;
  readonly relation: number;
  readonly database: number;
  readonly blocks: number;
  readonly lookedAt: number;
  readonly segments: readonly ListedSegment[];
}

export interface Manifest {
  readonly lsn: number;
  readonly relations: readonly ListedRelation[];
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const body = JSON.stringify(manifest);
  return Buffer.from(`${TITLE} ${crc32(Buffer.from(body)).toString(16)}\n${body}`);
}

/** Undefined when it is damaged. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const line = text.indexOf('\n');
  const body = text.slice(line + 1);
  if (line < 0 || text.slice(0, line) !== `${TITLE} ${crc32(Buffer.from(body)).toString(16)}`) return undefined;
  return JSON.parse(body) as Manifest;
}

/** The marks in runs; null where there are too many. */
export function runsOf({ marks }: Segment): number[] | null {
  const runs: number[] = [];
  for (let slot = 0; slot < SEGMENT_ROWS; ) {
    const mark = marks[slot]!;
    let end = slot + 1;
    while (end < SEGMENT_ROWS && marks[end] === mark) end++;
    runs.push(mark, end - slot);
    if (runs.length > MAX_RUNS) return null;
    slot = end;
  }
  return runs;
}

export function setRuns({ marks }: Segment, runs: readonly number[]): void {
  let slot = 0;
  for (let i = 0; i < runs.length; i += 2) {
    marks.fill(runs[i]!, slot, slot + runs[i + 1]!);
    slot += runs[i + 1]!;
  }
}

/** Sets the marks of what the log changed since the manifest. False: that cannot be told. */
export async function markChanges(storage: Storage, from: Lsn, segments: ReadonlyMap<number, readonly (Segment | undefined)[]>): Promise<boolean> {
  if (from > storage.watermarks.assigned || storage.watermarks.assigned - from > MAX_LOG_BYTES) return false;
  const tail = await storage.maintenance.readLog(from);
  if (!tail) return false;
  const reader = new RecordReader();
  /** Changes at or before this LSN are in a segment. */
  let at: number;
  const visitor: RowVisitor = {
    row(_op, id, rowId) {
      const segment = segments.get(id)?.[Math.floor(rowId / SEGMENT_ROWS)];
      if (segment && at > segment.lsn) segment.marks[rowId % SEGMENT_ROWS] = CHANGED;
    },
    piece: () => undefined,
  };
  for await (const batch of tail) {
    reader.open(batch);
    while (reader.nextRecord()) {
      // What is written ahead becomes true with its commit; of parts it is not known when that is.
      at = reader.kind === RecordKind.commit ? reader.lsn : reader.kind === RecordKind.provisional ? (storage.stagedCommit(reader.xid) ?? Infinity) : Infinity;
      while (reader.nextSection()) if (reader.tag === Section.rows) reader.rows(visitor);
    }
  }
  return true;
}

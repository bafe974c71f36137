/**
 * Reads the log's files beside the store that writes them, on whatever thread: for the archiver and
 * for backups. Only what the caller knows to be durable is read, and only segments that a hold
 * keeps from being recycled.
 */
import type { Lsn } from '../ids.js';
import type { Runtime } from '../runtime.js';
import { BATCH_MAX, readBatchHeader } from './batch.js';
import { SEGMENT_HEADER, readSegmentHeader, segmentNumber } from './segment.js';

export type LogRange =
  /** Whole batches in [from, to); `closed`: nothing follows in the segment they end in. */
  | { readonly kind: 'batches'; readonly from: Lsn; readonly to: Lsn; readonly bytes: Uint8Array; readonly closed: boolean }
  | { readonly kind: 'trimmed'; readonly oldest: Lsn };

interface Place {
  readonly number: number;
  readonly lsn: number;
  readonly offset: number;
}

export class SegmentReader {
  private place: Place | undefined;

  constructor(private readonly runtime: Runtime, private readonly directory: string) {}

  private segments(): { number: number; path: string }[] {
    const out: { number: number; path: string }[] = [];
    for (const name of this.runtime.files.list(this.directory)) {
      const number = segmentNumber(name);
      if (number !== undefined) out.push({ number, path: `${this.directory}/${name}` });
    }
    return out.sort((a, b) => a.number - b.number);
  }

  private firstLsn(path: string): Lsn | undefined {
    try {
      const file = this.runtime.files.open(path, 'read');
      try {
        return readSegmentHeader(file)?.firstLsn;
      } finally {
        file.close();
      }
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Position of the first batch that is still there. */
  oldest(): Lsn | undefined {
    const first = this.segments()[0];
    return first && this.firstLsn(first.path);
  }

  /**
   * Batches from the one that begins at or holds `from`, of one segment, up to `durable` and about
   * `maxBytes`. `from` = `durable` gives an empty range.
   */
  read(from: Lsn, durable: Lsn, maxBytes: number): LogRange {
    const segments = this.segments();
    let place = this.place;
    if (!place || place.lsn !== from || !segments.some((segment) => segment.number === place!.number)) {
      place = undefined;
      let oldest: Lsn | undefined;
      for (const segment of segments) {
        const firstLsn = this.firstLsn(segment.path);
        if (firstLsn === undefined) continue;
        oldest ??= firstLsn;
        if (firstLsn <= from) place = { number: segment.number, lsn: firstLsn, offset: SEGMENT_HEADER };
      }
      if (!place) return { kind: 'trimmed', oldest: oldest ?? durable };
    }
    return this.readAt(segments, place, from, durable, maxBytes);
  }

  private readAt(segments: { number: number; path: string }[], place: Place, from: Lsn, durable: Lsn, maxBytes: number): LogRange {
    const { files } = this.runtime;
    const segment = segments.find((candidate) => candidate.number === place.number)!;
    const file = files.open(segment.path, 'read');
    const parts: Uint8Array[] = [];
    let { lsn, offset } = place;
    let start = -1;
    let total = 0;
    try {
      const size = file.size();
      let buffer: Uint8Array = new Uint8Array(0);
      let bufferAt = offset;
      while (lsn < durable && total < maxBytes) {
        let header = readBatchHeader(buffer, offset - bufferAt);
        if (!header && bufferAt + buffer.length < size) {
          buffer = new Uint8Array(Math.min(size - offset, 4 * BATCH_MAX));
          bufferAt = offset;
          buffer = buffer.subarray(0, file.readSync(buffer, offset));
          header = readBatchHeader(buffer, 0);
        }
        if (!header || header.firstLsn !== lsn) break;
        const at = offset - bufferAt;
        if (lsn + header.byteLength > from) {
          if (start < 0) start = lsn;
          parts.push(buffer.subarray(at, at + header.byteLength));
          total += header.byteLength;
        }
        lsn += header.byteLength;
        offset += header.byteLength;
      }
    } finally {
      file.close();
    }
    const next = segments.find((candidate) => candidate.number === place.number + 1);
    const closed = next !== undefined && this.firstLsn(next.path) === lsn;
    this.place = closed ? { number: place.number + 1, lsn, offset: SEGMENT_HEADER } : { number: place.number, lsn, offset };
    if (total === 0 && closed && lsn < durable) return this.read(lsn as Lsn, durable, maxBytes);
    return { kind: 'batches', from: (start < 0 ? lsn : start) as Lsn, to: lsn as Lsn, bytes: joined(parts, total), closed };
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Reads the local log without changing anything: every segment, every batch, the chain between them, and
 * what the term file says of its end. What a start would refuse is a finding here, by name.
 */
import type { Lsn } from '../ids.js';
import { BATCH_HEADER, BATCH_MAGIC, FIRST_LSN, batchHash, readBatchHeader } from '../log/batch.js';
import { readTermFile } from '../log/file-store.js';
import { NO_HASH } from '../log/log-store.js';
import { SEGMENT_HEADER, readAll, readSegmentHeader, segmentName, segmentNumber } from '../log/segment.js';
import type { Runtime } from '../runtime.js';
import { DatabaseError } from '../errors.js';
import type { Findings } from './findings.js';

export interface LogWalk {
  /** The log from its oldest batch, as far as it is whole. */
  readonly batches: Uint8Array[];
  readonly first: Lsn;
  readonly end: Lsn;
  readonly endHash: Uint8Array;
  readonly segments: number;
  /** Closed in order; false after a crash. */
  readonly clean: boolean;
}

interface Opened {
  readonly number: number;
  readonly firstLsn: Lsn;
  readonly previousHash: Uint8Array;
  readonly bytes: Uint8Array;
}

/** `keepFrom`: batches that end before it are checked and not kept in memory. */
export async function walkLog(runtime: Runtime, directory: string, findings: Findings, keepFrom: Lsn, visit: (batch: Uint8Array) => void, turn: () => Promise<void> | undefined = () => undefined): Promise<LogWalk> {
  const { files } = runtime;
  const report = (message: string): void => findings.add({ part: 'log', message });
  let closedAt = 0;
  let known = false;
  try {
    ({ closedAt } = readTermFile(runtime, `${directory}/term`));
    known = files.exists(`${directory}/term`);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    report('log/term is damaged');
  }
  const numbers = files.exists(directory) ? files.list(directory).map((name) => segmentNumber(name)).filter((number) => number !== undefined).sort((a, b) => a - b) : [];
  if (numbers.length === 0) {
    report('there is no log segment');
    return { batches: [], first: FIRST_LSN, end: FIRST_LSN, endHash: NO_HASH, segments: 0, clean: false };
  }
  const batches: Uint8Array[] = [];
  let first: Lsn | undefined;
  let end = 0 as Lsn;
  let endHash: Uint8Array = NO_HASH;
  let broken = false;
  for (const [i, number] of numbers.entries()) {
    const name = `log/${segmentName(number)}`;
    if (i > 0 && number !== numbers[i - 1]! + 1) {
      report(`log/${segmentName(number - 1)} is missing`);
      broken = true;
    }
    const segment = openSegment(runtime, directory, number);
    if (!segment) {
      report(`${name}: its header is damaged`);
      broken = true;
      continue;
    }
    if (first === undefined) {
      first = end = segment.firstLsn;
      endHash = segment.previousHash;
    } else if (!broken && (segment.firstLsn !== end || Buffer.compare(segment.previousHash, endHash) !== 0)) {
      report(`${name}: begins at ${segment.firstLsn}, but the log before it ends at ${end}`);
      broken = true;
    }
    if (broken) {
      // Whatever follows cannot be chained to what is known; its own batches are still looked at.
      end = segment.firstLsn;
      endHash = segment.previousHash;
    }
    let at = SEGMENT_HEADER;
    for (;;) {
      const header = readBatchHeader(segment.bytes, at);
      if (!header || header.firstLsn !== end || Buffer.compare(header.previousHash, endHash) !== 0) break;
      const batch = segment.bytes.subarray(at, at + header.byteLength);
      endHash = batchHash(batch).slice();
      end = (end + header.byteLength) as Lsn;
      at += header.byteLength;
      if (!broken) {
        visit(batch);
        if (end > keepFrom) batches.push(batch);
      }
      const wait = turn();
      if (wait) await wait;
    }
    if (i < numbers.length - 1) {
      const later = wholeBatchBehind(segment.bytes, at, end);
      if (later !== undefined) {
        report(`${name}: the batch at ${end} (byte ${at} of the file) is damaged`);
        broken = true;
      }
      continue;
    }
    const later = wholeBatchBehind(segment.bytes, at, end);
    if (later !== undefined) report(`${name}: the batch at ${end} (byte ${at} of the file) is damaged; a later one at ${later} is whole`);
    else if (end < closedAt) report(`${name}: the log ends at ${end}, but was closed at ${closedAt}: the batch at ${end} (byte ${at} of the file) is damaged or missing`);
  }
  return { batches, first: first ?? FIRST_LSN, end, endHash, segments: numbers.length, clean: known && closedAt > 0 };
}

function openSegment(runtime: Runtime, directory: string, number: number): Opened | undefined {
  const file = runtime.files.open(`${directory}/${segmentName(number)}`, 'read');
  try {
    const header = readSegmentHeader(file);
    if (!header || header.number !== number) return undefined;
    return { number, firstLsn: header.firstLsn, previousHash: header.previousHash.slice(), bytes: readAll(file) };
  } finally {
    file.close();
  }
}

/** The LSN of a whole batch behind a tail that is newer than it: then the tail was synced once. */
function wholeBatchBehind(bytes: Uint8Array, tail: number, end: Lsn): Lsn | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = tail + 1; at + BATCH_HEADER <= bytes.length; at++) {
    if (bytes[at] !== 0x4f || view.getUint32(at, true) !== BATCH_MAGIC) continue;
    const header = readBatchHeader(bytes, at);
    if (header && header.firstLsn > end) return header.firstLsn;
  }
  return undefined;
}

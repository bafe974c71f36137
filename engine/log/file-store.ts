/**
 * LogStore in local files: `log/000000000001.log` and on (see segment.ts), `log/spare-N` (prepared
 * segments), `log/term`.
 *
 * What the tail may look like after a crash: one append is outstanding at a time, so at most the
 * last batch is torn, and it was never acknowledged: it is cut. If a whole later batch stands
 * behind a bad one, the bad one had been synced: that is damage, and opening fails.
 *
 * `term` holds the leadership counter, where the log ended when it was closed (0 while it is open: a crash
 * leaves 0), and a CRC: damage to the last batches of a log that was closed is told from a torn tail by it.
 *
 * What a killed process wrote and did not sync is whole in the kernel's cache and not on the disk: after an unclean
 * end the last batches are written anew and synced before anybody relies on them. (Written, not only synced: after an
 * fdatasync that failed the kernel takes the pages for clean.)
 *
 * An fdatasync error is never retried (the kernel may have dropped the pages): it throws, and the
 * process must end.
 */
import { DatabaseError, assert } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { FileHandle, Runtime } from '../runtime.js';
import { crc32 } from './checksum.js';
import { BATCH_HEADER, BATCH_MAGIC, BATCH_MAX, FIRST_LSN, batchFirstLsn, batchHash, readBatchHeader } from './batch.js';
import type { BatchHeader } from './batch.js';
import { NO_HASH } from './log-store.js';
import type { AppendResult, Lead, LogStore, LogStoreStats, Tail } from './log-store.js';
import { SEGMENT_HEADER, encodeSegmentHeader, readAll, readSegmentHeader, segmentName, segmentNumber, writeAll } from './segment.js';

export interface FileLogOptions {
  readonly directory: string;
  /** Bytes per segment, at least two batches' worth. */
  readonly segmentBytes?: number;
  /** False: no fsync at all (tests, throw-away servers): a power cut loses the log's tail. */
  readonly sync?: boolean;
  /** Where a new log begins (by default at FIRST_LSN), and the hash of what went before. */
  readonly begin?: { readonly lsn: Lsn; readonly hash: Uint8Array };
}

interface Segment {
  readonly number: number;
  readonly firstLsn: Lsn;
  readonly path: string;
}

const SPARES = 2;
const BUCKETS_MS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, Infinity];

export class FileLogStore implements LogStore {
  private readonly directory: string;
  private readonly segmentBytes: number;
  private readonly syncs: boolean;
  private segments: Segment[] = [];
  private spares: string[] = [];
  private spareCounter = 0;
  private preparing: Promise<void> | undefined;
  private current: FileHandle | undefined;
  private position = SEGMENT_HEADER;
  private end: Lsn = FIRST_LSN;
  private endHash: Uint8Array = NO_HASH;
  /** The batch appended last, of which `endHash` is not known yet: it is asked for once per segment. */
  private lastBatch: Uint8Array | undefined;
  private term = 0;
  private lastId = -1;
  private lastLsn = -1;
  private closed = false;
  private fsyncCount = 0;
  private fsyncMsTotal = 0;
  private fsyncMsMax = 0;
  private readonly buckets = BUCKETS_MS.map((leMs) => ({ leMs, count: 0 }));

  constructor(private readonly runtime: Runtime, options: FileLogOptions) {
    this.directory = options.directory;
    this.segmentBytes = options.segmentBytes ?? 16 << 20;
    this.syncs = options.sync ?? true;
    if (options.begin) {
      this.end = options.begin.lsn;
      this.endHash = options.begin.hash;
    }
    assert(this.segmentBytes >= SEGMENT_HEADER + 2 * BATCH_MAX, 'segments must hold two batches');
  }

  private path(name: string): string {
    return `${this.directory}/${name}`;
  }

  async lead(): Promise<Lead> {
    const { files } = this.runtime;
    if (!files.exists(this.directory)) files.mkdir(this.directory);
    const former = readTermFile(this.runtime, this.path('term'));
    this.term = former.term + 1;
    this.current?.close();
    this.segments = [];
    this.spares = [];
    this.findSegments();
    const unclean = this.segments.length > 0 && former.closedAt === 0;
    if (this.segments.length > 0) this.recover(unclean);
    if (this.end < former.closedAt)
      throw corrupt(`the log ends at ${this.end}, but was closed at ${former.closedAt}: its last batches are damaged or missing`);
    this.writeTermFile(0);
    if (this.segments.length === 0) await this.beginSegment(1);
    this.prepareSpare();
    return { term: this.term, tail: this.end, tailHash: this.endHash, unclean };
  }

  private writeTermFile(closedAt: number): void {
    const { files } = this.runtime;
    const next = this.path('term.new');
    files.remove(next);
    const file = files.open(next, 'create');
    writeAll(file, encodeTermFile(this.term, closedAt), 0);
    file.dataSyncSync();
    file.close();
    files.rename(next, this.path('term'));
    files.syncDirectory(this.directory);
  }

  private findSegments(): void {
    const { files } = this.runtime;
    for (const name of files.list(this.directory)) {
      if (name.startsWith('spare-')) this.adoptSpare(name);
      const number = segmentNumber(name);
      if (number === undefined) continue;
      const file = files.open(this.path(name), 'read');
      const header = readSegmentHeader(file);
      file.close();
      if (!header || header.number !== number) throw corrupt(`segment ${name} has no valid header`);
      this.segments.push({ number, firstLsn: header.firstLsn, path: this.path(name) });
    }
    this.segments.sort((a, b) => a.number - b.number);
    for (let i = 1; i < this.segments.length; i++)
      if (this.segments[i]!.number !== this.segments[i - 1]!.number + 1) throw corrupt(`segment ${segmentName(this.segments[i]!.number - 1)} is missing`);
  }

  /** A prepared segment from before, if it is whole; else it goes. */
  private adoptSpare(name: string): void {
    const { files } = this.runtime;
    this.spareCounter = Math.max(this.spareCounter, Number(name.slice(6).replace(/\D.*/, '')) || 0);
    const file = files.open(this.path(name), 'read');
    const whole = file.size() === this.segmentBytes && !name.endsWith('.new');
    file.close();
    if (whole && this.spares.length < SPARES) this.spares.push(this.path(name));
    else files.remove(this.path(name));
  }

  /** Walks all batches, checks the chain, and finds where to go on. */
  private recover(unclean: boolean): void {
    const first = this.segments[0]!;
    this.end = first.firstLsn;
    for (const [i, segment] of this.segments.entries()) {
      const file = this.runtime.files.open(segment.path, 'readwrite');
      const header = readSegmentHeader(file)!;
      if (i === 0) this.endHash = header.previousHash.slice();
      if (segment.firstLsn !== this.end || Buffer.compare(header.previousHash, this.endHash) !== 0)
        throw corrupt(`the log is broken at ${this.end}: segment ${segmentName(segment.number)} begins at ${segment.firstLsn}`);
      const bytes = readAll(file);
      this.position = this.walk(bytes);
      if (i < this.segments.length - 1) {
        file.close();
        continue;
      }
      this.checkTorn(bytes, this.position);
      if (unclean && this.syncs) this.secureTail(file, bytes);
      this.current = file;
    }
  }

  /** Follows batches from the segment's start; returns the position behind the last good one. */
  private walk(bytes: Uint8Array): number {
    let at = SEGMENT_HEADER;
    for (;;) {
      const header = readBatchHeader(bytes, at);
      if (!header || header.firstLsn !== this.end || Buffer.compare(header.previousHash, this.endHash) !== 0) return at;
      const batch = bytes.subarray(at, at + header.byteLength);
      this.endHash = batchHash(batch);
      this.end = (this.end + header.byteLength) as Lsn;
      at += header.byteLength;
    }
  }

  /** Writes the batches of the last segment anew that the last one does not say are durable. */
  private secureTail(file: FileHandle, bytes: Uint8Array): void {
    let last: BatchHeader | undefined;
    for (let at = SEGMENT_HEADER; at < this.position; at += last.byteLength) last = readBatchHeader(bytes, at)!;
    if (!last) return;
    let from = SEGMENT_HEADER;
    for (;;) {
      const header = readBatchHeader(bytes, from)!;
      if (header.firstLsn + header.byteLength > last.durable) break;
      from += header.byteLength;
    }
    writeAll(file, bytes.subarray(from, this.position), from);
    this.timeSync(() => file.dataSyncSync());
  }

  /** Anything whole behind the tail means that the tail was synced once. */
  private checkTorn(bytes: Uint8Array, tail: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = tail + 1; at + BATCH_HEADER <= bytes.length; at++) {
      if (bytes[at] !== 0x4f || view.getUint32(at, true) !== BATCH_MAGIC) continue;
      const header = readBatchHeader(bytes, at);
      if (header && header.firstLsn > this.end)
        throw corrupt(`the batch at ${this.end} is damaged, but a later one at ${header.firstLsn} is whole (durable to ${header.durable})`);
    }
  }

  // ---- appending

  append(term: number, previousLsn: Lsn, batch: Uint8Array, id: number, lone: boolean): AppendResult | Promise<AppendResult> {
    if (term !== this.term || this.closed) return { kind: 'fenced' };
    if (id === this.lastId && previousLsn === this.lastLsn) return { kind: 'appended', durable: this.end };
    assert(previousLsn === this.end && batchFirstLsn(batch) === this.end, 'append out of order');
    if (this.position + batch.length > this.segmentBytes) return this.appendInNext(batch, id);
    const file = this.current!;
    if (!this.syncs) {
      writeAll(file, batch, this.position);
      return this.appended(batch, id);
    }
    if (lone) {
      this.timeSync(() => this.writeDurably(file, batch));
      return this.appended(batch, id);
    }
    return this.appendAsync(file, batch, id);
  }

  private writeDurably(file: FileHandle, batch: Uint8Array): void {
    if (file.writeThroughSync) {
      for (let at = 0; at < batch.length; ) at += file.writeThroughSync(at === 0 ? batch : batch.subarray(at), this.position + at);
      return;
    }
    writeAll(file, batch, this.position);
    file.dataSyncSync();
  }

  /** Off this thread, in one call: the write itself takes as long as what a statement does. */
  private async appendAsync(file: FileHandle, batch: Uint8Array, id: number): Promise<AppendResult> {
    const start = this.runtime.clock.monotonicMs();
    if (file.writeThrough) for (let at = 0; at < batch.length; ) at += await file.writeThrough(at === 0 ? batch : batch.subarray(at), this.position + at);
    else {
      if (batch.length <= 64 << 10) writeAll(file, batch, this.position);
      else for (let at = 0; at < batch.length; ) at += await file.write(batch.subarray(at), this.position + at);
      await file.dataSync();
    }
    this.countSync(this.runtime.clock.monotonicMs() - start);
    return this.appended(batch, id);
  }

  private async appendInNext(batch: Uint8Array, id: number): Promise<AppendResult> {
    await this.beginSegment(this.segments.at(-1)!.number + 1);
    this.prepareSpare();
    return this.syncs ? this.appendAsync(this.current!, batch, id) : this.append(this.term, this.end, batch, id, false);
  }

  private appended(batch: Uint8Array, id: number): AppendResult {
    this.position += batch.length;
    this.end = (this.end + batch.length) as Lsn;
    this.lastBatch = batch;
    this.lastId = id;
    this.lastLsn = batchFirstLsn(batch);
    return { kind: 'appended', durable: this.end };
  }

  private async beginSegment(number: number): Promise<void> {
    const { files } = this.runtime;
    if (this.spares.length === 0) {
      await this.preparing;
      if (this.spares.length === 0) await this.createSpare();
    }
    const spare = this.spares.shift()!;
    if (this.lastBatch) this.endHash = batchHash(this.lastBatch);
    this.lastBatch = undefined;
    const path = this.path(segmentName(number));
    const file = files.open(spare, 'readwrite');
    writeAll(file, encodeSegmentHeader({ number, firstLsn: this.end, term: this.term, previousHash: this.endHash }), 0);
    if (this.syncs) this.timeSync(() => file.dataSyncSync());
    files.rename(spare, path);
    if (this.syncs) files.syncDirectory(this.directory);
    this.current?.close();
    this.current = file;
    this.position = SEGMENT_HEADER;
    this.segments.push({ number, firstLsn: this.end, path });
  }

  /** Keeps spare segments ready, off the commit's path. A failure shows in `hasRoom`. */
  private prepareSpare(): void {
    if (this.preparing || this.closed || this.spares.length >= SPARES) return;
    const done = (again: boolean) => (): void => {
      this.preparing = undefined;
      if (again) this.prepareSpare();
    };
    // After a failure (a full disk) the next look for room tries again.
    this.preparing = this.createSpare().then(done(true), done(false));
  }

  private async createSpare(): Promise<void> {
    const { files } = this.runtime;
    const name = this.path(`spare-${++this.spareCounter}`);
    const file = files.open(`${name}.new`, 'create');
    try {
      const zeros = new Uint8Array(1 << 20);
      for (let at = 0; at < this.segmentBytes; ) {
        const count = await file.write(zeros.subarray(0, Math.min(zeros.length, this.segmentBytes - at)), at);
        at += count;
      }
      if (this.syncs) await file.dataSync();
    } catch (error) {
      file.close();
      files.remove(`${name}.new`);
      throw error;
    }
    file.close();
    files.rename(`${name}.new`, name);
    this.spares.push(name);
  }

  hasRoom(bytes: number): boolean {
    const usable = this.segmentBytes - SEGMENT_HEADER - BATCH_MAX;
    const prepared = Math.max(0, this.segmentBytes - this.position - BATCH_MAX) + this.spares.length * usable;
    if (prepared >= bytes) return true;
    if (this.runtime.files.freeBytes(this.directory) < bytes + 2 * this.segmentBytes) return false;
    this.prepareSpare();
    return true;
  }

  private timeSync(sync: () => void): void {
    const start = this.runtime.clock.monotonicMs();
    sync();
    this.countSync(this.runtime.clock.monotonicMs() - start);
  }

  private countSync(ms: number): void {
    this.fsyncCount++;
    this.fsyncMsTotal += ms;
    if (ms > this.fsyncMsMax) this.fsyncMsMax = ms;
    this.buckets.find((bucket) => ms <= bucket.leMs)!.count++;
  }

  // ---- reading and trimming

  async confirm(): Promise<Lsn> {
    return this.end;
  }

  async tail(from: Lsn): Promise<Tail> {
    const oldest = this.segments[0]!.firstLsn;
    if (from < oldest) return { kind: 'trimmed', oldest };
    return { kind: 'batches', batches: this.read(from) };
  }

  private async *read(from: Lsn): AsyncGenerator<Uint8Array> {
    let lsn = 0;
    for (let i = 0; i < this.segments.length; i++) {
      const segment = this.segments[i]!;
      const next = this.segments[i + 1];
      if (next && next.firstLsn <= from) continue;
      const file = this.runtime.files.open(segment.path, 'read');
      const bytes = readAll(file);
      file.close();
      lsn = segment.firstLsn;
      for (let at = SEGMENT_HEADER; lsn < this.end; ) {
        const header = readBatchHeader(bytes, at);
        if (!header || header.firstLsn !== lsn) break;
        if (lsn + header.byteLength > from) yield bytes.subarray(at, at + header.byteLength);
        at += header.byteLength;
        lsn += header.byteLength;
      }
    }
  }

  async trim(term: number, upTo: Lsn): Promise<void> {
    if (term !== this.term) return;
    const { files } = this.runtime;
    while (this.segments.length > 1 && this.segments[1]!.firstLsn <= upTo) {
      const { path } = this.segments[0]!;
      if (this.spares.length < SPARES) {
        const spare = this.path(`spare-${++this.spareCounter}`);
        files.rename(path, spare);
        this.spares.push(spare);
      } else files.remove(path);
      // One after the other, and none is forgotten whose removal failed: a hole would look like lost log.
      this.segments.shift();
      if (this.syncs) files.syncDirectory(this.directory);
    }
  }

  stats(): LogStoreStats {
    return { fsyncCount: this.fsyncCount, fsyncMsTotal: this.fsyncMsTotal, fsyncMsMax: this.fsyncMsMax, fsyncBuckets: this.buckets };
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.preparing;
    this.current?.close();
    this.current = undefined;
    try {
      this.writeTermFile(this.end);
    } catch {
      // A disk that takes no more: the next start treats it as after a crash.
    }
  }
}

function encodeTermFile(term: number, closedAt: number): Uint8Array {
  const text = `${term} ${closedAt} `;
  return Buffer.from(`${text}${crc32(Buffer.from(text)).toString(16).padStart(8, '0')}\n`);
}

/** XX001 when the file is damaged; zeros when there is none. */
export function readTermFile(runtime: Runtime, path: string): { term: number; closedAt: number } {
  if (!runtime.files.exists(path)) return { term: 0, closedAt: 0 };
  const file = runtime.files.open(path, 'read');
  const bytes = readAll(file);
  file.close();
  const [term, closedAt] = Buffer.from(bytes).toString('latin1').split(' ').map(Number);
  if (Buffer.compare(bytes, encodeTermFile(term!, closedAt!)) !== 0) throw corrupt('the term file is damaged');
  return { term: term!, closedAt: closedAt! };
}

function corrupt(detail: string): DatabaseError {
  return new DatabaseError('XX001', 'the commit log is damaged', { severity: 'FATAL', detail, hint: 'Restore from a backup; do not remove files by hand.' });
}

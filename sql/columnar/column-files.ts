/**
 * Segments' columns in files, below `columns/` of the data directory: a cache of a cache. Written in the background once a segment is
 * kept, read when a statement wants a column that memory has let go of, or that was there before a restart.
 *
 *     columns/manifest                           what the files stand for (manifest.ts)
 *     columns/STORAGE/BLOCK-LSN-ATTNUM.col       a column (segment-file.ts)
 *
 * Losing or damaging any of them costs time only: a file that is not what it should be is as good as none.
 */
import { AskedThread } from '../../engine/asked-thread.js';
import type { Lsn, StorageId } from '../../engine/ids.js';
import { readAll } from '../../engine/log/segment.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { Runtime } from '../../engine/runtime.js';
import type { Hold, Storage } from '../../engine/storage.js';
import type { Relation } from '../catalog/catalog.js';
import type { PackedColumn } from './build-protocol.js';
import { columnPath, type FileAnswer, type FileRequest, type FileWorkerData, type SegmentPlace } from './file-protocol.js';
import { decodeManifest, encodeManifest, markChanges, runsOf, setRuns, type ListedRelation, type ListedSegment, type Manifest } from './manifest.js';
import type { ColumnStore, RelationSegments } from './relation-columns.js';
import { Segment, unpackColumn } from './segment.js';
import { classOf } from './view-builder.js';

export const COLUMN_FOLDER = 'columns';
const MANIFEST = 'manifest';
const IDLE_MS = 30_000;
/** How often what changed is listed. */
const LIST_MS = 2_000;
/** The log is held from the last list on: so much of it at most. */
const LIST_BYTES = 16 << 20;
/** After a write that failed (no space), nothing is written for so long. */
const RETRY_MS = 60_000;
/** Segments asked for in one request. */
const READ_TOGETHER = 16;
/** How long the end of the process waits for what is not written yet. */
const CLOSE_MS = 10_000;

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

export class ColumnFiles {
  private readonly thread: AskedThread<FileRequest, FileAnswer>;
  private readonly folder: string;
  private readonly queue = new Map<Segment, RelationSegments>();
  private working: Promise<void> | null = null;
  private retryAt = -Infinity;
  private bytes = 0;
  /** What is not listed as it is. */
  private changed = false;
  private listing = false;
  private hold: Hold | undefined;
  private closed = false;
  private stopTicks: () => void;
  /** Of the bytes of all files. */
  private most = Infinity;

  constructor(private readonly store: ColumnStore, private readonly storage: Storage, private readonly runtime: Runtime, directory: string) {
    this.folder = `${directory}/${COLUMN_FOLDER}`;
    const data: FileWorkerData = { folder: this.folder };
    this.thread = new AskedThread(runtime, { module: compiledModule('sql/columnar/file-worker.js', import.meta.url), data, purpose: 'keeps files of columns', idleMs: IDLE_MS });
    const tick = (): void => {
      void this.tick();
      if (!this.closed) this.stopTicks = runtime.clock.after(LIST_MS, tick);
    };
    this.stopTicks = runtime.clock.after(LIST_MS, tick);
  }

  get bound(): number {
    return this.most;
  }

  set bound(bytes: number) {
    if (bytes === this.most) return;
    this.most = bytes;
    this.makeRoom(0);
  }

  private async ask(request: Unnumbered<FileRequest>): Promise<FileAnswer> {
    const answer = await this.thread.ask(request as FileRequest);
    if (answer.error !== null) throw new Error(answer.error);
    return answer;
  }

  // ---- writing

  /** The segment's columns are to be written, those that are not yet. */
  enqueue(known: RelationSegments, segment: Segment): void {
    if (this.closed || this.bound === 0) return;
    this.queue.set(segment, known);
    this.working ??= this.work().finally(() => (this.working = null));
  }

  private async work(): Promise<void> {
    // Who builds goes on first.
    await this.runtime.clock.turn();
    while (this.queue.size > 0) {
      const [[segment, known]] = this.queue as unknown as [[Segment, RelationSegments]];
      this.queue.delete(segment);
      if (!this.isCurrent(known, segment) || this.runtime.clock.monotonicMs() < this.retryAt) continue;
      await this.whenDurable(segment.lsn);
      const columns = [...segment.columns].filter(([attnum]) => !segment.stored.has(attnum)).map(([attnum, column]): PackedColumn => ({ ...column, attnum, dictionary: column.dictionary && column.dictionary.pack() }));
      const bytes = columns.reduce((sum, column) => sum + column.bytes, 0);
      if (columns.length === 0 || !this.makeRoom(bytes)) continue;
      const place = placeOf(known, segment);
      try {
        const { written } = await this.ask({ kind: 'write', place, columns });
        if (!this.isCurrent(known, segment)) this.remove(written.map(([attnum]) => columnPath(place, attnum)));
        else for (const [attnum, size] of written) this.stored(segment, attnum, size);
      } catch {
        this.retryAt = this.runtime.clock.monotonicMs() + RETRY_MS;
      }
    }
  }

  /** A snapshot's LSN may be where the log ends, and nothing may come behind it. */
  private whenDurable(lsn: Lsn): Promise<void> | undefined {
    return lsn <= this.storage.watermarks.durable ? undefined : this.storage.whenDurable(lsn);
  }

  /** Resolves when what is kept is written, as far as it can be. */
  async drained(): Promise<void> {
    await this.working;
  }

  private isCurrent(known: RelationSegments, segment: Segment): boolean {
    return known.segments[segment.block] === segment && !known.watch.gone && this.store.relations.get(known.storage) === known;
  }

  private stored(segment: Segment, attnum: number, size: number): void {
    segment.stored.set(attnum, size);
    this.bytes += size;
    this.changed = true;
  }

  /** Removes files least used, until there is room for more. */
  private makeRoom(bytes: number): boolean {
    if (this.bytes + bytes <= this.bound) return true;
    const all: { known: RelationSegments; segment: Segment; attnum: number; used: number }[] = [];
    for (const known of this.store.relations.values()) {
      for (const segment of known.segments) if (segment) for (const attnum of segment.stored.keys()) all.push({ known, segment, attnum, used: segment.columnUsed.get(attnum) ?? 0 });
    }
    all.sort((a, b) => a.used - b.used);
    for (const { known, segment, attnum } of all) {
      if (this.bytes + bytes <= this.bound) break;
      this.forgetColumn(known, segment, attnum);
    }
    return this.bytes + bytes <= this.bound;
  }

  private forgetColumn(known: RelationSegments, segment: Segment, attnum: number): void {
    const size = segment.stored.get(attnum);
    if (size === undefined) return;
    segment.stored.delete(attnum);
    this.bytes -= size;
    this.changed = true;
    this.remove([columnPath(placeOf(known, segment), attnum)]);
  }

  /** The segment is gone, and its files. */
  dropped(known: RelationSegments, segment: Segment): void {
    this.queue.delete(segment);
    for (const attnum of [...segment.stored.keys()]) this.forgetColumn(known, segment, attnum);
  }

  private remove(paths: readonly string[]): void {
    if (paths.length > 0) this.ask({ kind: 'remove', paths }).catch(() => undefined);
  }

  // ---- reading

  /** Reads columns into a segment. Undefined: there are no files of them. */
  read(known: RelationSegments, relation: Relation, segment: Segment, attnums: readonly number[]): Promise<void> | undefined {
    const wanted = attnums.filter((attnum) => segment.stored.has(attnum));
    return wanted.length === 0 ? undefined : this.readSome(known, relation, [{ segment, attnums: wanted }]);
  }

  /** The same for many segments. */
  async readMany(known: RelationSegments, relation: Relation, segments: readonly Segment[], attnums: readonly number[]): Promise<void> {
    const wanted = segments.map((segment) => ({ segment, attnums: attnums.filter((attnum) => !segment.columns.has(attnum) && segment.stored.has(attnum)) })).filter((one) => one.attnums.length > 0);
    const requests: Promise<void>[] = [];
    for (let from = 0; from < wanted.length; from += READ_TOGETHER) requests.push(this.readSome(known, relation, wanted.slice(from, from + READ_TOGETHER)));
    await Promise.all(requests);
  }

  private async readSome(known: RelationSegments, relation: Relation, wanted: readonly { readonly segment: Segment; readonly attnums: readonly number[] }[]): Promise<void> {
    let answer: FileAnswer;
    try {
      answer = await this.ask({ kind: 'read', wanted: wanted.map(({ segment, attnums }) => ({ place: placeOf(known, segment), attnums })) });
    } catch {
      return;
    }
    wanted.forEach(({ segment, attnums }, i) => {
      for (const attnum of attnums) {
        const found = answer.read[i]!.find((column) => column.attnum === attnum);
        const declared = classOf(relation, attnum);
        if (found && declared && (found.class.kind === declared.kind || found.class.kind === 'big') && (found.class.kind !== 'decimal' || found.class.scale === (declared as typeof found.class).scale)) {
          if (!segment.columns.has(attnum)) segment.put(attnum, unpackColumn(found));
          known.reads++;
        } else this.forgetColumn(known, segment, attnum);
      }
    });
  }

  // ---- the list

  private async tick(): Promise<void> {
    for (const known of [...this.store.relations.values()]) if (known.watch.gone) this.store.gone(known);
    if (this.listing || this.queue.size > 0) return;
    const { assigned } = this.storage.watermarks;
    if (!this.changed && (!this.hold || assigned - this.hold.lsn < LIST_BYTES)) return;
    this.listing = true;
    try {
      const found = await this.list();
      if (found) await this.ask({ kind: 'replace', path: MANIFEST, bytes: found.bytes });
      found?.done();
    } catch {
      // Once more with the next tick.
      this.changed = true;
    } finally {
      this.listing = false;
    }
  }

  /** What there is, as of an LSN that is durable; `done` once it is written. Undefined when nothing can be listed now. */
  private async list(): Promise<{ readonly bytes: Uint8Array; done(): void } | undefined> {
    // What they wrote ahead before a restart is not known.
    if (this.storage.preparedTransactions().length > 0) return undefined;
    // A snapshot may be of the log's end, behind its last record.
    const { assigned, durable } = this.storage.watermarks;
    const lsn = Math.max(assigned, durable) as Lsn;
    const hold = this.storage.maintenance.holdLog(lsn);
    this.changed = false;
    try {
      const relations: ListedRelation[] = [];
      for (const known of [...this.store.relations.values()]) {
        const segments: ListedSegment[] = [];
        for (const segment of known.segments) {
          const listed = segment && segment.lsn <= lsn ? this.listed(known, segment) : null;
          if (listed) segments.push(listed);
        }
        const { storage, relation, database, blocks, lookedAt } = known;
        if (segments.length > 0) relations.push({ storage, relation, database, blocks, lookedAt, segments });
        await this.runtime.clock.turn();
      }
      await this.whenDurable(lsn);
      return {
        bytes: encodeManifest({ lsn, relations }),
        done: () => {
          this.hold?.release();
          this.hold = hold;
        },
      };
    } catch (error) {
      hold.release();
      throw error;
    }
  }

  private listed(known: RelationSegments, segment: Segment): ListedSegment | null {
    const { block, lsn, slots, stored } = segment;
    if (stored.size === 0 || known.watch.gone || known.watch.unlistedAfter(block, lsn) || this.storage.hasRowsAhead(known.storage, block)) return null;
    const kept = segment.listed;
    if (kept && !known.watch.changedAfter(block, kept.at)) return { block, lsn, slots, runs: kept.runs, columns: [...stored] };
    const at = this.storage.watermarks.assigned;
    const runs = runsOf(segment);
    if (runs) segment.listed = { at, runs };
    return runs && { block, lsn, slots, runs, columns: [...stored] };
  }

  // ---- start and end

  /** Takes over what an earlier process left. Before anything is committed. */
  async open(): Promise<void> {
    const { files } = this.runtime;
    if (!files.exists(this.folder)) return;
    try {
      const manifest = this.readManifest();
      if (manifest) await this.adopt(manifest);
    } catch {
      // Then there is nothing to take over.
    }
    this.changed = true;
    this.sweep();
  }

  private readManifest(): Manifest | undefined {
    const path = `${this.folder}/${MANIFEST}`;
    if (!this.runtime.files.exists(path)) return undefined;
    const file = this.runtime.files.open(path, 'read');
    try {
      return decodeManifest(readAll(file));
    } finally {
      file.close();
    }
  }

  private async adopt({ lsn, relations }: Manifest): Promise<void> {
    const segments = new Map<number, (Segment | undefined)[]>();
    for (const relation of relations) {
      const found: (Segment | undefined)[] = [];
      for (const listed of relation.segments) {
        const segment = new Segment(listed.block, listed.lsn as Lsn);
        segment.slots = listed.slots;
        setRuns(segment, listed.runs);
        found[listed.block] = segment;
      }
      segments.set(relation.storage, found);
    }
    if (!(await markChanges(this.storage, lsn as Lsn, segments))) return;
    for (const relation of relations) {
      const { storage, segments: listed } = relation;
      // Dropped since.
      if (this.storage.nextRow(storage as StorageId) <= 1) continue;
      const known = this.store.adopt(relation);
      for (const { block, columns } of listed) {
        const segment = segments.get(storage)![block]!;
        known.watch.addMarks(block, segment.marks);
        known.segments[block] = segment;
        for (const [attnum, size] of columns) this.stored(segment, attnum, size);
      }
    }
  }

  /** Removes what nobody knows of. */
  private sweep(): void {
    const { files } = this.runtime;
    const unknown: string[] = [];
    for (const name of files.list(this.folder)) {
      if (name === MANIFEST) continue;
      const known = this.store.relations.get(Number(name) as StorageId);
      if (!known || !files.isDirectory(`${this.folder}/${name}`)) {
        unknown.push(name);
        continue;
      }
      const expected = new Set(known.segments.flatMap((segment) => (segment ? [...segment.stored.keys()].map((attnum) => columnPath(placeOf(known, segment), attnum)) : [])));
      for (const file of files.list(`${this.folder}/${name}`)) if (!expected.has(`${name}/${file}`)) unknown.push(`${name}/${file}`);
    }
    this.remove(unknown);
  }

  /** The relation is gone, with all its files. */
  removeAll(known: RelationSegments): void {
    for (const segment of known.segments) {
      if (!segment) continue;
      this.queue.delete(segment);
      for (const size of segment.stored.values()) this.bytes -= size;
      segment.stored.clear();
    }
    this.changed = true;
    this.remove([String(known.storage)]);
  }

  /** Writes what there is to write, and the list of it. The engine is still open, and nobody uses it. */
  async close(): Promise<void> {
    this.closed = true;
    this.stopTicks();
    try {
      const late = new Promise<void>((resolve) => this.runtime.clock.after(CLOSE_MS, resolve));
      await Promise.race([this.working, late]);
      this.queue.clear();
      const found = this.runtime.files.exists(this.folder) ? await Promise.race([this.list(), late]) : undefined;
      if (found) await Promise.race([this.ask({ kind: 'replace', path: MANIFEST, bytes: found.bytes }), late]);
    } catch {
      // The next start builds columns anew.
    }
    this.thread.end();
  }
}

function placeOf(known: RelationSegments, { block, lsn }: Segment): SegmentPlace {
  return { storage: known.storage, block, lsn };
}

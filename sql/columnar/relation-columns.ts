/**
 * The column segments of the server's relations: which there are, how long they are kept, and who has them built.
 *
 * Segments are built while rows are loaded (load-follower.ts), after loads and ANALYZE in the background, and when a statement first
 * needs them, from its own snapshot (view-builder.ts). Their columns are kept within a bound of memory, least used out first. They
 * are a cache: nothing else depends on them.
 */
import type { Pending } from '../../engine/pending.js';
import type { StorageId } from '../../engine/ids.js';
import type { BulkLoader, ChangeWatch, Storage, Transaction } from '../../engine/storage.js';

import type { Relation } from '../catalog/catalog.js';
import { ExecState } from '../executor/exec-state.js';
import type { EvalContext } from '../functions/context.js';
import { BuildThread } from './build-thread.js';
import { ColumnFiles } from './column-files.js';
import { KernelThreads } from './kernel-threads.js';
import type { ListedRelation } from './manifest.js';
import { LoadFollower } from './load-follower.js';
import { NotColumnar, SEGMENT_ROWS, Segment, type ColumnVector } from './segment.js';
import { ViewBuilder, classOf } from './view-builder.js';

/** Kilobytes of segments kept where the setting is not known. */
const DEFAULT_KILOBYTES = 1 << 20;
const WARM_AFTER_MS = 50;
const WARM_TRIES = 8;
/** After so many rows, and this part of all, were read one by one, columns are built. */
const FETCHED_LEAST = 8192;
const FETCHED_PART = 0.25;
/** Bytes that a value of a column is taken to need before it is built. */
const GUESSED_BYTES = 3;
/** Where so much of the bound is used nothing is built that nobody waits for, unless it can go to files. */
const FULL_PART = 0.9;
/** Of the bound on memory, what segments may take that are read ahead of their commit. */
const AHEAD_PART = 0.5;

/** Rows of one source as columns, in the order the statement asked for. */
export interface ColumnView {
  /** Slots first..rows-1. */
  readonly first: number;
  readonly rows: number;
  /** Not 0: the slot does not count. null: all do. */
  readonly skip: Uint8Array | null;
  readonly columns: readonly ColumnVector[];
}

export interface RelationSegments {
  readonly storage: StorageId;
  /** The relation as it was last asked for. */
  readonly relation: number;
  readonly database: number;
  readonly watch: ChangeWatch;
  readonly segments: (Segment | undefined)[];
  /** Attribute numbers whose values did not fit their class. */
  readonly refused: Set<number>;
  /** Blocks that somebody is building. */
  readonly building: Map<number, Promise<void>>;
  /** Blocks that held rows when all were last looked at, of so many that row ids had come to. */
  blocks: number;
  lookedAt: number;
  /** Segments that statements found, columns that were read from files, builds from rows. */
  hits: number;
  reads: number;
  builds: number;
}

/** What there is of one relation, for oxbow_stat_columns(). */
export interface ColumnFigures {
  readonly database: number;
  readonly relation: number;
  readonly blocks: number;
  readonly ready: number;
  /** Columns that every segment has in memory. */
  readonly columns: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly hits: number;
  readonly reads: number;
  readonly builds: number;
}

const stores = new WeakMap<Storage, ColumnStore>();

/** The column store that belongs to an engine. */
export function columnStore(storage: Storage): ColumnStore {
  let store = stores.get(storage);
  if (!store) stores.set(storage, (store = new ColumnStore(storage)));
  return store;
}

export class ColumnStore {
  readonly relations = new Map<StorageId, RelationSegments>();
  private clock = 0;
  private readonly warming = new Set<StorageId>();
  /** Rows read one by one since columns were last asked for. */
  private readonly fetches = new Map<StorageId, number>();
  /** Builds segments beside the sessions; null where the state is only here. */
  readonly thread: BuildThread | null;
  /** Runs kernels beside the sessions; null where threads have no place (the simulation). */
  readonly kernels: KernelThreads | null;
  /** Keeps columns in files; null where there is no data directory. */
  readonly files: ColumnFiles | null;
  private readonly loads = new Set<LoadFollower>();
  private listening = false;

  constructor(readonly storage: Storage) {
    const reader = storage.stateReader;
    this.thread = reader ? new BuildThread(reader) : null;
    this.kernels = reader ? new KernelThreads(reader.runtime) : null;
    const { directory } = storage.maintenance;
    this.files = reader && directory !== undefined ? new ColumnFiles(this, storage, reader.runtime, directory) : null;
  }

  /** Whether the relation's columns can serve this execution at all. */
  serves(relation: Relation, attnums: readonly number[], state: ExecState): boolean {
    if (relation.isCatalog || relation.relkind === 'S' || this.storage.isTemporary(relation.storage)) return false;
    if (state.snapshot.kind !== 'at' || state.transaction.changed(relation.storage)) return false;
    const known = this.relations.get(relation.storage);
    return attnums.every((attnum) => !known?.refused.has(attnum) && classOf(relation, attnum) !== null);
  }

  /** The views of all rows that the statement sees. Throws NotColumnar when a value does not fit. */
  *views(relation: Relation, attnums: readonly number[], state: ExecState): Generator<Pending, ColumnView[]> {
    const known = this.known(relation, state.context);
    const scan = new ViewBuilder(this, relation, attnums, state, known);
    try {
      return yield* scan.run();
    } catch (error) {
      if (error instanceof NotColumnar && scan.refusedAttnum > 0) known.refused.add(scan.refusedAttnum);
      throw error;
    } finally {
      this.evict(relation.storage, state.context);
    }
  }

  /**
   * After many rows came in: has their columns built in the background, once they are committed. Only by the thread;
   * without it the first statement that needs them does.
   */
  loaded(relation: Relation, context: EvalContext, attnums: readonly number[] = []): void {
    if (!this.warms(relation, context) || this.warming.has(relation.storage)) return;
    this.warming.add(relation.storage);
    let tries = 0;
    const attempt = (): void => void this.warm(relation, context, attnums).then((done) => {
      if (done || ++tries >= WARM_TRIES) this.warming.delete(relation.storage);
      else context.runtime.clock.after(WARM_AFTER_MS * 2 ** tries, attempt);
    });
    context.runtime.clock.after(WARM_AFTER_MS, attempt);
  }

  private warms(relation: Relation, context: EvalContext): boolean {
    return this.thread !== null && !relation.isCatalog && !this.storage.isTemporary(relation.storage) && context.settings.get('oxbow.columns') !== 'off';
  }

  /** Very many rows are about to come in through the loader: their columns are built while they do. */
  follow(relation: Relation, loader: BulkLoader, transaction: Transaction, context: EvalContext): void {
    if (!this.warms(relation, context)) return;
    if (!this.listening) {
      this.listening = true;
      this.storage.onCommit(() => {
        for (const load of this.loads) load.settle();
      });
    }
    const load = new LoadFollower(this, this.known(relation, context), relation, transaction, context, () => {
      this.loads.delete(load);
      // A table whose creation was rolled back, too.
      if (this.relations.get(relation.storage)?.segments.length === 0 && transaction.state !== 'committed') this.forget(relation.storage);
    });
    this.loads.add(load);
    loader.onRows = (storage, upTo, lsn, xid) => load.rowsCame(storage, upTo, lsn, xid);
  }

  /** Bytes that segments may take which are read ahead of a commit, beside those of other loads. */
  aheadRoom({ settings }: EvalContext): number {
    let taken = 0;
    for (const load of this.loads) taken += load.bytes;
    return kilobytes(settings.get('oxbow.column_memory')) * 1024 * AHEAD_PART - taken;
  }

  /** So many rows were read from the heap one by one for these columns: in the end columns cost less. */
  fetched(relation: Relation, attnums: readonly number[], count: number, context: EvalContext): void {
    const total = (this.fetches.get(relation.storage) ?? 0) + count;
    this.fetches.set(relation.storage, total);
    const rows = this.storage.rowCount(relation.storage);
    if (total < FETCHED_LEAST || total < rows * FETCHED_PART || context.settings.get('oxbow.columns') === 'off') return;
    this.fetches.delete(relation.storage);
    if (attnums.every((attnum) => classOf(relation, attnum) !== null && !this.relations.get(relation.storage)?.refused.has(attnum))) this.loaded(relation, context, attnums);
  }

  /** Whether there were rows to build of. */
  async warm(relation: Relation, context: EvalContext, attnums: readonly number[] = []): Promise<boolean> {
    // Not committed yet, or written to again: its rows would all be passed over.
    if (this.storage.isWrittenAhead(relation.storage)) return false;
    const transaction = this.storage.begin({ readOnly: true });
    const snapshot = transaction.takeSnapshot();
    try {
      const known = this.known(relation, context);
      const state = new ExecState(context, [], transaction, snapshot);
      const views = new ViewBuilder(this, relation, attnums, state, known, true);
      for (const step of views.run()) await step.until;
      return known.segments.length > 0;
    } catch {
      // A cache that could not be filled: who reads the relation will say what is wrong.
      return true;
    } finally {
      snapshot.release();
      void transaction.rollback();
      this.evict(relation.storage, context);
    }
  }

  /**
   * Segments that are there, for who reads single rows: those that stand for the statement's snapshot and have all these
   * columns. A slot counts where its mark is LIVE. Asked anew after each wait.
   */
  standing(relation: Relation, attnums: readonly number[], state: ExecState): ((block: number) => Segment | undefined) | null {
    const known = this.relations.get(relation.storage);
    if (!known || !this.serves(relation, attnums, state) || state.context.settings.get('oxbow.columns') === 'off') return null;
    const { lsn } = state.snapshot;
    return (block) => {
      const segment = known.segments[block];
      if (!segment || segment.lsn > lsn || known.watch.unlistedAfter(block, segment.lsn) || !attnums.every((attnum) => segment.columns.has(attnum))) return undefined;
      this.touch(segment, attnums);
      return segment;
    };
  }

  /** Takes over the files of an earlier process. Before anything is committed. */
  async open(): Promise<void> {
    await this.files?.open();
  }

  async close(): Promise<void> {
    await this.files?.close();
    this.thread?.end();
    this.kernels?.end();
  }

  /** The columns are read now. */
  touch(segment: Segment, attnums: readonly number[]): void {
    segment.used = ++this.clock;
    for (const attnum of attnums) segment.columnUsed.set(attnum, segment.used);
  }

  /** A new segment, in place of what there was of its block. */
  keep(known: RelationSegments, segment: Segment): void {
    const rival = known.segments[segment.block];
    if (rival) this.drop(known, rival);
    if (segment.used === 0) this.touch(segment, [...segment.columns.keys()]);
    known.segments[segment.block] = segment;
    this.grown(known, segment);
  }

  /** The segment has columns that it did not have. */
  grown(known: RelationSegments, segment: Segment): void {
    this.files?.enqueue(known, segment);
  }

  /** The relation was dropped. */
  gone(known: RelationSegments): void {
    this.files?.removeAll(known);
    if (this.relations.get(known.storage) === known) this.relations.delete(known.storage);
    this.fetches.delete(known.storage);
  }

  /** What files say of a relation. */
  adopt({ storage, relation, database, blocks, lookedAt }: ListedRelation): RelationSegments {
    const known = { ...newRelation(storage as StorageId, relation, database, this.storage.watchChanges(storage as StorageId)), blocks, lookedAt };
    this.relations.set(known.storage, known);
    return known;
  }

  drop(known: RelationSegments, segment: Segment): void {
    this.files?.dropped(known, segment);
    known.watch.removeMarks(segment.block, segment.marks);
    if (known.segments[segment.block] === segment) known.segments[segment.block] = undefined;
  }

  private known(relation: Relation, { session }: EvalContext): RelationSegments {
    const watch = this.storage.watchChanges(relation.storage);
    let known = this.relations.get(relation.storage);
    if (!known || known.watch !== watch) {
      known = newRelation(relation.storage, relation.oid, session.databaseOid, watch);
      this.relations.set(relation.storage, known);
    }
    return known;
  }

  /** Bytes held, for the metrics. */
  get bytes(): number {
    let total = 0;
    for (const { segments } of this.relations.values()) for (const segment of segments) total += segment?.bytes ?? 0;
    return total;
  }

  figures(): ColumnFigures[] {
    return [...this.relations.values()].filter(({ watch }) => !watch.gone).map((known) => {
      const { database, relation, segments, hits, reads, builds } = known;
      const standing = segments.filter((segment) => segment !== undefined);
      const common = standing.length === 0 ? [] : [...standing[0]!.columns.keys()].filter((attnum) => standing.every((segment) => segment.columns.has(attnum)));
      return {
        database, relation, blocks: Math.max(known.blocks + this.blocksUsed(known.storage) - known.lookedAt, standing.length), ready: standing.length, columns: common.length,
        memoryBytes: standing.reduce((sum, segment) => sum + segment.bytes, 0),
        diskBytes: standing.reduce((sum, { stored }) => sum + [...stored.values()].reduce((all, size) => all + size, 0), 0), hits, reads, builds,
      };
    });
  }

  /** Blocks that row ids have come to. */
  blocksUsed(storage: StorageId): number {
    const next = this.storage.nextRow(storage);
    return next <= 1 ? 0 : Math.ceil(next / SEGMENT_ROWS);
  }

  private boundOf({ settings }: EvalContext): number {
    if (this.files) this.files.bound = kilobytes(settings.get('oxbow.column_disk')) * 1024;
    return kilobytes(settings.get('oxbow.column_memory')) * 1024;
  }

  /** Whether columns that nobody has asked for have a place in memory, for all blocks of the relation that have no segment. */
  fitsAlong(known: RelationSegments, columns: number, context: EvalContext): boolean {
    const missing = this.blocksUsed(known.storage) - known.segments.reduce((count, segment) => (segment ? count + 1 : count), 0);
    return this.bytes + missing * SEGMENT_ROWS * (1 + columns * GUESSED_BYTES) <= this.boundOf(context);
  }

  /** For who builds what nobody waits for, before the next block: false when there is no more room. Waits until what is built is in files. */
  async roomToBuild(context: EvalContext): Promise<boolean> {
    const bound = this.boundOf(context);
    if (this.bytes <= bound * FULL_PART) return true;
    await this.files?.drained();
    this.evictColumns(bound * FULL_PART, (segment, attnum) => segment.stored.has(attnum));
    return this.bytes <= bound;
  }

  private evict(current: StorageId, context: EvalContext): void {
    const bound = this.boundOf(context);
    if (this.bytes <= bound) return;
    // What has a file can be had again for little.
    const excess = this.evictColumns(bound, (segment, attnum) => segment.stored.has(attnum)) && this.evictColumns(bound, () => true);
    if (excess > 0) this.evictMarks(excess);
    for (const [storage, known] of this.relations) if (storage !== current && known.building.size === 0 && known.segments.every((kept) => kept === undefined)) this.forget(storage);
  }

  /** Lets go of columns, used longest ago first, until there are `bound` bytes at most. Answers how many are still too many. */
  private evictColumns(bound: number, among: (segment: Segment, attnum: number) => boolean): number {
    let { bytes } = this;
    const all: { known: RelationSegments; segment: Segment; attnum: number; used: number }[] = [];
    for (const known of this.relations.values()) {
      for (const segment of known.segments) {
        if (segment) for (const attnum of segment.columns.keys()) if (among(segment, attnum)) all.push({ known, segment, attnum, used: segment.columnUsed.get(attnum) ?? 0 });
      }
    }
    all.sort((a, b) => a.used - b.used);
    for (const { known, segment, attnum } of all) {
      if (bytes <= bound) break;
      bytes -= segment.bytes;
      segment.columns.delete(attnum);
      if (segment.columns.size > 0 || segment.stored.size > 0) bytes += segment.bytes;
      else this.drop(known, segment);
    }
    return Math.max(0, bytes - bound);
  }

  /** Where even the marks of segments that are in files alone take too much. */
  private evictMarks(excess: number): void {
    const all: { known: RelationSegments; segment: Segment }[] = [];
    for (const known of this.relations.values()) for (const segment of known.segments) if (segment?.columns.size === 0) all.push({ known, segment });
    all.sort((a, b) => a.segment.used - b.segment.used);
    for (const { known, segment } of all) {
      if (excess <= 0) break;
      excess -= segment.bytes;
      this.drop(known, segment);
    }
  }

  private forget(storage: StorageId): void {
    if ([...this.loads].some((load) => load.storage === storage)) return;
    this.relations.delete(storage);
    this.fetches.delete(storage);
    this.storage.unwatchChanges(storage);
  }
}

function newRelation(storage: StorageId, relation: number, database: number, watch: ChangeWatch): RelationSegments {
  return { storage, relation, database, watch, segments: [], refused: new Set(), building: new Map(), blocks: 0, lookedAt: 0, hits: 0, reads: 0, builds: 0 };
}

/** A memory setting as SHOW prints it ('1GB', '64MB', '100kB'). */
function kilobytes(shown: string | undefined): number {
  const found = /^(\d+)(kB|MB|GB|TB)?$/.exec(shown ?? '');
  if (!found) return DEFAULT_KILOBYTES;
  return Number(found[1]) * { kB: 1, MB: 1024, GB: 1 << 20, TB: 1 << 30 }[(found[2] ?? 'kB') as 'kB'];
}

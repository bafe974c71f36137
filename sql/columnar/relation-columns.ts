/**
 * The column segments of the server's relations, and the views that one statement reads: segments
 * that stand for its snapshot, and the rows that they leave out in segments of the moment.
 *
 * Segments are built when a statement first needs them, from the statement's own snapshot, and kept
 * within a bound of memory, least used out first. They are a cache: nothing else depends on them.
 */
import { Pending } from '../../engine/pending.js';
import type { RowId, StorageId } from '../../engine/ids.js';
import { hasLarge } from '../../engine/mvcc/row-format.js';
import type { ChangeWatch, RowBlock, Storage } from '../../engine/storage.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';

import type { Relation } from '../catalog/catalog.js';
import { ExecState } from '../executor/exec-state.js';
import type { EvalContext } from '../functions/context.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import { columnClass, type ColumnClass } from './column-class.js';
import type { BuildAnswer, RowColumn } from './build-protocol.js';
import { BuildThread } from './build-thread.js';
import { KernelThreads } from './kernel-threads.js';
import { ABSENT, CHANGED, ColumnBuilder, LIVE, NotColumnar, SEGMENT_ROWS, Segment, shared, sharedColumn, unpackColumn, type ColumnVector } from './segment.js';

/** Kilobytes of segments kept where the setting is not known. */
const DEFAULT_KILOBYTES = 1 << 20;
/** A segment with more changed rows than this is built anew when it can be. */
const REBUILD_CHANGED = 2048;
const FILL_ROWS = 1024;
const WARM_AFTER_MS = 50;
const WARM_TRIES = 8;
/** After so many rows, and this part of all, were read one by one, columns are built. */
const FETCHED_LEAST = 8192;
const FETCHED_PART = 0.25;
/** Texts of a column that come along unasked: up to so many different ones in a segment. */
const CHEAP_TEXTS = 256;

/** Rows of one source as columns, in the order the statement asked for. */
export interface ColumnView {
  /** Slots first..rows-1. */
  readonly first: number;
  readonly rows: number;
  /** Not 0: the slot does not count. null: all do. */
  readonly skip: Uint8Array | null;
  readonly columns: readonly ColumnVector[];
}

interface RelationSegments {
  readonly watch: ChangeWatch;
  readonly segments: (Segment | undefined)[];
  /** Attribute numbers whose values did not fit their class. */
  readonly refused: Set<number>;
}

const stores = new WeakMap<Storage, ColumnStore>();

/** The column store that belongs to an engine. */
export function columnStore(storage: Storage): ColumnStore {
  let store = stores.get(storage);
  if (!store) stores.set(storage, (store = new ColumnStore(storage)));
  return store;
}

export class ColumnStore {
  private readonly relations = new Map<StorageId, RelationSegments>();
  private clock = 0;
  private readonly warming = new Set<StorageId>();
  /** Rows read one by one since columns were last asked for. */
  private readonly fetches = new Map<StorageId, number>();
  /** Builds segments beside the sessions; null where the state is only here. */
  readonly thread: BuildThread | null;
  /** Runs kernels beside the sessions; null where threads have no place (the simulation). */
  readonly kernels: KernelThreads | null;

  constructor(private readonly storage: Storage) {
    const reader = storage.stateReader;
    this.thread = reader ? new BuildThread(reader) : null;
    this.kernels = reader ? new KernelThreads(reader.runtime) : null;
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
    const scan = new ViewBuilder(this, relation, attnums, state, this.known(relation));
    try {
      return yield* scan.run();
    } catch (error) {
      if (error instanceof NotColumnar && scan.refusedAttnum > 0) this.known(relation).refused.add(scan.refusedAttnum);
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
    if (!this.thread || this.warming.has(relation.storage) || relation.isCatalog || this.storage.isTemporary(relation.storage)) return;
    this.warming.add(relation.storage);
    let tries = 0;
    const attempt = (): void => void this.warm(relation, context, attnums).then((done) => {
      if (done || ++tries >= WARM_TRIES) this.warming.delete(relation.storage);
      else context.runtime.clock.after(WARM_AFTER_MS * 2 ** tries, attempt);
    });
    context.runtime.clock.after(WARM_AFTER_MS, attempt);
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
  private async warm(relation: Relation, context: EvalContext, attnums: readonly number[]): Promise<boolean> {
    // Not committed yet, or written to again: its rows would all be passed over.
    if (this.storage.isWrittenAhead(relation.storage)) return false;
    const transaction = this.storage.begin({ readOnly: true });
    const snapshot = transaction.takeSnapshot();
    try {
      const state = new ExecState(context, [], transaction, snapshot);
      const views = new ViewBuilder(this, relation, attnums, state, this.known(relation), true);
      for (const step of views.run()) await step.until;
      return this.known(relation).segments.length > 0;
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
      if (!segment || segment.lsn > lsn || known.watch.unlistedAt > segment.lsn || !attnums.every((attnum) => segment.columns.has(attnum))) return undefined;
      segment.used = this.tick();
      return segment;
    };
  }

  close(): void {
    this.thread?.end();
    this.kernels?.end();
  }

  tick(): number {
    return ++this.clock;
  }

  private known(relation: Relation): RelationSegments {
    const watch = this.storage.watchChanges(relation.storage);
    let known = this.relations.get(relation.storage);
    if (!known || known.watch !== watch) this.relations.set(relation.storage, (known = { watch, segments: [], refused: new Set() }));
    return known;
  }

  /** Bytes held, for the metrics. */
  get bytes(): number {
    let total = 0;
    for (const { segments } of this.relations.values()) for (const segment of segments) total += segment?.bytes ?? 0;
    return total;
  }

  private evict(current: StorageId, { settings }: EvalContext): void {
    const bound = kilobytes(settings.get('oxbow.column_memory')) * 1024;
    let { bytes } = this;
    if (bytes <= bound) return;
    const all: { storage: StorageId; known: RelationSegments; segment: Segment }[] = [];
    for (const [storage, known] of this.relations) for (const segment of known.segments) if (segment) all.push({ storage, known, segment });
    all.sort((a, b) => a.segment.used - b.segment.used);
    for (const { storage, known, segment } of all) {
      if (bytes <= bound) break;
      known.segments[segment.block] = undefined;
      known.watch.removeMarks(segment.block, segment.marks);
      bytes -= segment.bytes;
      if (storage !== current && known.segments.every((kept) => kept === undefined)) this.forget(storage);
    }
  }

  private forget(storage: StorageId): void {
    this.relations.delete(storage);
    this.fetches.delete(storage);
    this.storage.unwatchChanges(storage);
  }
}

/** A memory setting as SHOW prints it ('1GB', '64MB', '100kB'). */
function kilobytes(shown: string | undefined): number {
  const found = /^(\d+)(kB|MB|GB|TB)?$/.exec(shown ?? '');
  if (!found) return DEFAULT_KILOBYTES;
  return Number(found[1]) * { kB: 1, MB: 1024, GB: 1 << 20, TB: 1 << 30 }[(found[2] ?? 'kB') as 'kB'];
}

export function classOf(relation: Relation, attnum: number): ColumnClass | null {
  const attribute = relation.attributes[attnum - 1];
  return attribute && !attribute.attisdropped ? columnClass(attribute.atttypid, attribute.atttypmod) : null;
}

/** The row format for another thread: types by name, as far as columns have them. */
function rowColumns(relation: Relation, { types }: TableAccess): RowColumn[] {
  return relation.attributes.map((attribute, i) => {
    const type = types[i]!;
    const { missingValue: missing = null } = attribute;
    const plain = missing === null || typeof missing !== 'object';
    if (!type) return { type: null, width: Math.max(attribute.attlen, 0), missing: null };
    return { type: plain && classOf(relation, attribute.attnum) !== null ? type.name : null, width: type.row.width, missing: plain ? missing : null };
  });
}

class ViewBuilder {
  private readonly access: TableAccess;
  private readonly classes: readonly ColumnClass[];
  private readonly views: ColumnView[] = [];
  /** Rows outside of segments that stand: gathered into a view of their own. */
  private loose: { rows: number; builders: ColumnBuilder[] } | null = null;
  private readonly block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  refusedAttnum = 0;

  constructor(
    private readonly store: ColumnStore,
    private readonly relation: Relation,
    private readonly attnums: readonly number[],
    private readonly state: ExecState,
    private readonly known: RelationSegments,
    /** Nobody waits for the rows: segments are all that is wanted. */
    private readonly buildOnly = false,
  ) {
    this.access = tableAccess(relation, state.catalog);
    this.classes = attnums.map((attnum) => classOf(relation, attnum)!);
  }

  *run(): Generator<Pending, ColumnView[]> {
    const { known, state } = this;
    const { lsn } = state.snapshot;
    state.transaction.noteRead(this.relation.storage, state.snapshot);
    let block = 0;
    for (; block < known.segments.length; block++) yield* this.readBlock(block);
    // What lies behind the last segment.
    for (;;) {
      const first = yield* this.firstRowFrom(block * SEGMENT_ROWS);
      if (first < 0) break;
      block = Math.floor(first / SEGMENT_ROWS);
      if (known.watch.changedAfter(block, lsn)) yield* this.readLoose(block);
      else yield* this.buildSegment(block);
      block++;
    }
    this.flushLoose();
    return this.views;
  }

  private *firstRowFrom(from: number): Generator<Pending, number> {
    const cursor = this.state.transaction.scan(this.relation.storage, this.state.snapshot, { from: from as RowId });
    try {
      for (;;) {
        const filled = cursor.fill(this.block, 1);
        if (filled instanceof Pending) yield filled;
        else return filled === 0 ? -1 : this.block.rowIds[0]!;
      }
    } finally {
      cursor.close();
    }
  }

  private *readBlock(block: number): Generator<Pending, void> {
    const { known, state } = this;
    const { lsn } = state.snapshot;
    let segment = known.segments[block];
    if (segment && (known.watch.unlistedAt > segment.lsn || this.changedCount(segment) > REBUILD_CHANGED) && !known.watch.changedAfter(block, lsn)) {
      known.watch.removeMarks(block, segment.marks);
      segment = known.segments[block] = undefined;
    }
    if (segment && (known.watch.unlistedAt > segment.lsn || segment.lsn > lsn)) {
      yield* this.readLoose(block);
      return;
    }
    if (!segment) {
      if (known.watch.changedAfter(block, lsn)) yield* this.readLoose(block);
      else yield* this.buildSegment(block);
      return;
    }
    const missing = this.attnums.filter((attnum) => !segment.columns.has(attnum));
    if (missing.length > 0) {
      const { slots } = segment;
      const built = known.watch.unlistedAt <= segment.lsn && (yield* this.buildElsewhere(segment, missing, false));
      if (built && known.watch.unlistedAt > segment.lsn) {
        for (const attnum of missing) segment.columns.delete(attnum);
        yield* this.readLoose(block);
        return;
      }
      if (!built) yield* this.fill(segment, missing, null);
      if (segment.slots !== slots) throw new Error('a standing segment has grown');
    }
    yield* this.useSegment(segment);
  }

  private changedCount(segment: Segment): number {
    if (!this.known.watch.changedAfter(segment.block, segment.lsn)) return 0;
    let count = 0;
    for (const mark of segment.marks) if (mark === CHANGED) count++;
    return count;
  }

  private *buildSegment(block: number): Generator<Pending, void> {
    const { known, relation } = this;
    const segment = new Segment(block, this.state.snapshot.lsn);
    known.watch.addMarks(block, segment.marks);
    let kept = false;
    try {
      if (!(yield* this.buildElsewhere(segment, this.attnums, true))) {
        // The scan costs more than the decoding: numbers and texts of few values come along for later.
        const others = relation.attributes.map((attribute) => attribute.attnum).filter((attnum) => !this.attnums.includes(attnum) && !known.refused.has(attnum) && classOf(relation, attnum) !== null);
        yield* this.fill(segment, this.attnums, others);
      } else if (known.watch.unlistedAt > segment.lsn) {
        // A commit that does not say what it changed came in between.
        yield* this.readLoose(block);
        return;
      }
      this.keep(segment);
      kept = true;
    } finally {
      if (!kept) known.watch.removeMarks(block, segment.marks);
    }
    yield* this.useSegment(segment);
  }

  private keep(segment: Segment): void {
    const { known } = this;
    // Another statement may have built it meanwhile.
    const rival = known.segments[segment.block];
    if (rival) known.watch.removeMarks(segment.block, rival.marks);
    known.segments[segment.block] = segment;
  }

  /** Has the builder's thread read columns of a block into a segment. False: it is to be done here. */
  private *buildElsewhere(segment: Segment, attnums: readonly number[], fresh: boolean): Generator<Pending, boolean> {
    const { relation, known } = this;
    const thread = this.store.thread;
    if (!thread || !this.state.canWait || !thread.reader.plain(relation.storage, this.state.snapshot.lsn)) return false;
    const row = rowColumns(relation, this.access);
    if (attnums.some((attnum) => row[attnum - 1]!.type === null)) return false;
    const others = fresh ? relation.attributes.map((attribute) => attribute.attnum).filter((attnum) => !attnums.includes(attnum) && !known.refused.has(attnum) && classOf(relation, attnum) !== null && row[attnum - 1]!.type !== null) : [];
    const wanted = [...attnums, ...others].map((attnum, c) => ({ attnum, class: classOf(relation, attnum)!, maxTexts: c < attnums.length ? Infinity : CHEAP_TEXTS }));
    let answer: BuildAnswer | undefined;
    yield new Pending(
      thread.build({ storage: relation.storage, block: segment.block, s: this.state.snapshot.lsn, row, wanted }).then((found) => void (answer = found), () => undefined),
      'IO', 'DataFileRead',
    );
    if (!answer) return false;
    const refused = answer.refused.find((attnum) => attnums.includes(attnum));
    if (refused !== undefined) {
      this.refusedAttnum = refused;
      throw new NotColumnar();
    }
    if (fresh) {
      // What commits marked meanwhile stays marked.
      for (let slot = 0; slot < SEGMENT_ROWS; slot++) if (segment.marks[slot] !== CHANGED) segment.marks[slot] = answer.marks[slot]!;
      segment.slots = answer.slots;
    }
    for (const column of answer.columns) segment.columns.set(column.attnum, unpackColumn(column));
    return true;
  }

  /** Reads columns of a block into a segment: a new one, with the others that prove cheap, or a standing one (`others` null). */
  private *fill(segment: Segment, wanted: readonly number[], others: readonly number[] | null): Generator<Pending, void> {
    const fresh = others !== null;
    const attnums = [...wanted, ...(others ?? [])];
    const from = segment.block * SEGMENT_ROWS;
    const builders = attnums.map((attnum, c) => new ColumnBuilder(classOf(this.relation, attnum)!, SEGMENT_ROWS, c < wanted.length ? Infinity : CHEAP_TEXTS));
    const { marks } = segment;
    yield* this.scan(from, from + SEGMENT_ROWS - 1, (rowId, tuple) => {
      const slot = rowId - from;
      if (fresh) {
        if (marks[slot] === ABSENT) marks[slot] = LIVE;
        if (slot >= segment.slots) segment.slots = slot + 1;
      } else if (marks[slot] !== LIVE) return;
      for (let c = 0; c < attnums.length; c++) if (!builders[c]!.abandoned) this.set(builders[c]!, slot, tuple, attnums[c]!);
    });
    attnums.forEach((attnum, c) => {
      if (!builders[c]!.abandoned) segment.columns.set(attnum, sharedColumn(builders[c]!.finish(segment.slots, true)));
    });
  }

  private set(builder: ColumnBuilder, slot: number, tuple: Uint8Array, attnum: number): void {
    const { codec } = this.access;
    try {
      // A value that is too long for its row is too long for a column.
      if (hasLarge(tuple) && codec.refOf(tuple, attnum - 1)) throw new NotColumnar();
      builder.set(slot, codec.read(tuple, attnum - 1));
    } catch (error) {
      if (!this.attnums.includes(attnum)) {
        builder.abandoned = true;
        return;
      }
      this.refusedAttnum = attnum;
      throw error;
    }
  }

  private *scan(from: number, to: number, each: (rowId: number, tuple: Uint8Array) => void): Generator<Pending, void> {
    const { state, block } = this;
    const cursor = state.transaction.scan(this.relation.storage, state.snapshot, { from: from as RowId, to: to as RowId });
    try {
      for (;;) {
        const filled = cursor.fill(block, FILL_ROWS);
        if (filled instanceof Pending) {
          yield filled;
          continue;
        }
        if (filled === 0) return;
        for (let i = 0; i < filled; i++) each(block.rowIds[i]!, block.tuples[i]!);
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      cursor.close();
    }
  }

  private *useSegment(segment: Segment): Generator<Pending, void> {
    if (this.buildOnly) return;
    const { state, relation } = this;
    segment.used = this.store.tick();
    const { skip, changed, first } = this.summary(segment);
    const columns = this.attnums.map((attnum) => segment.columns.get(attnum)!);
    this.views.push({ first, rows: segment.slots, skip, columns });
    for (const rowId of changed) {
      let version;
      while ((version = state.transaction.get(relation.storage, rowId as RowId, state.snapshot)) instanceof Pending) yield version;
      if (version) this.addLoose(version.tuple);
    }
  }

  /** Which slots do not count, and the rows to be read from the row store. */
  private summary(segment: Segment): NonNullable<Segment['summary']> {
    const { lsn } = this.state.snapshot;
    // Marks are set when a commit takes its LSN: without a change after `at` they are as they were.
    if (segment.summary && !this.known.watch.changedAfter(segment.block, segment.summary.at)) return segment.summary;
    let skip: Uint8Array | null = null;
    const from = segment.block * SEGMENT_ROWS;
    const changed: number[] = [];
    const { marks } = segment;
    // Row ids begin at 1: one slot without a row would cost every row a test.
    let first = 0;
    while (first < segment.slots && marks[first] === ABSENT) first++;
    for (let slot = first; slot < SEGMENT_ROWS; slot++) {
      const mark = marks[slot]!;
      if (mark === LIVE) continue;
      if (mark === CHANGED) changed.push(from + slot);
      if (slot < segment.slots && skip === null) skip = shared(marks.subarray(0, segment.slots));
    }
    return (segment.summary = { at: lsn, skip, changed, first });
  }

  private *readLoose(block: number): Generator<Pending, void> {
    if (this.buildOnly) return;
    const from = block * SEGMENT_ROWS;
    yield* this.scan(from, from + SEGMENT_ROWS - 1, (_rowId, tuple) => this.addLoose(tuple));
  }

  private addLoose(tuple: Uint8Array): void {
    if (this.loose === null || this.loose.rows === SEGMENT_ROWS) {
      this.flushLoose();
      this.loose = { rows: 0, builders: this.classes.map((one) => new ColumnBuilder(one, SEGMENT_ROWS)) };
    }
    const { loose } = this;
    const slot = loose.rows++;
    for (let c = 0; c < this.attnums.length; c++) this.set(loose.builders[c]!, slot, tuple, this.attnums[c]!);
  }

  private flushLoose(): void {
    if (this.loose) this.views.push({ first: 0, rows: this.loose.rows, skip: null, columns: this.loose.builders.map((builder) => builder.finish()) });
    this.loose = null;
  }
}

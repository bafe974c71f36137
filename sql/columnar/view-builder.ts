/**
 * The views of one relation that one statement reads: segments that stand for its snapshot, built where they miss, and the rows
 * that they leave out in segments of the moment.
 */
import type { RowId } from '../../engine/ids.js';
import { hasLarge } from '../../engine/mvcc/row-format.js';
import { Pending } from '../../engine/pending.js';
import type { RowBlock } from '../../engine/storage.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { BuildAnswer, RowColumn, WantedColumn } from './build-protocol.js';
import { columnClass, type ColumnClass } from './column-class.js';
import type { ColumnStore, ColumnView, RelationSegments } from './relation-columns.js';
import { ABSENT, CHANGED, ColumnBuilder, LIVE, NotColumnar, SEGMENT_ROWS, Segment, shared, sharedColumn, unpackColumn } from './segment.js';

/** A segment with more changed rows than this is built anew when it can be. */
const REBUILD_CHANGED = 2048;
const FILL_ROWS = 1024;
/** A block that somebody else builds is waited for so long. */
const RIVAL_MS = 1000;
/** Texts of a column that come along unasked: up to so many different ones in a segment. */
const CHEAP_TEXTS = 256;

export function classOf(relation: Relation, attnum: number): ColumnClass | null {
  const attribute = relation.attributes[attnum - 1];
  return attribute && !attribute.attisdropped ? columnClass(attribute.atttypid, attribute.atttypmod) : null;
}

/** The row format for another thread: types by name, as far as columns have them. */
export function rowColumns(relation: Relation, { types }: TableAccess): RowColumn[] {
  return relation.attributes.map((attribute, i) => {
    const type = types[i]!;
    const { missingValue: missing = null } = attribute;
    const plain = missing === null || typeof missing !== 'object';
    if (!type) return { type: null, width: Math.max(attribute.attlen, 0), missing: null };
    return { type: plain && classOf(relation, attribute.attnum) !== null ? type.name : null, width: type.row.width, missing: plain ? missing : null };
  });
}

/** What comes along with the columns that are asked for. */
export function otherColumns(relation: Relation, row: readonly RowColumn[], known: RelationSegments, attnums: readonly number[]): number[] {
  return relation.attributes.map((attribute) => attribute.attnum).filter((attnum) => !attnums.includes(attnum) && !known.refused.has(attnum) && classOf(relation, attnum) !== null && row[attnum - 1]!.type !== null);
}

export function wantedColumns(relation: Relation, attnums: readonly number[], others: readonly number[]): WantedColumn[] {
  return [...attnums, ...others].map((attnum, c) => ({ attnum, class: classOf(relation, attnum)!, maxTexts: c < attnums.length ? Infinity : CHEAP_TEXTS }));
}

/** A segment with more changed rows than this is built anew where nobody waits for it. */
export const REBUILD_AHEAD = 256;

export function countChanged({ marks }: Segment): number {
  let count = 0;
  for (const mark of marks) if (mark === CHANGED) count++;
  return count;
}

/** What was found there, unless commits have marked it meanwhile. */
export function mergeMarks({ marks }: Segment, answer: BuildAnswer): void {
  for (let slot = 0; slot < SEGMENT_ROWS; slot++) if (marks[slot] !== CHANGED) marks[slot] = answer.marks[slot]!;
}

export class ViewBuilder {
  private readonly access: TableAccess;
  private readonly classes: readonly ColumnClass[];
  private readonly views: ColumnView[] = [];
  /** Rows outside of segments that stand: gathered into a view of their own. */
  private loose: { rows: number; builders: ColumnBuilder[] } | null = null;
  private readonly block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  refusedAttnum = 0;
  /** Blocks that another builder was waited for. */
  private readonly awaited = new Set<number>();
  /** Blocks that hold rows, as far as this looked. */
  private found = 0;

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
    const used = this.store.blocksUsed(this.relation.storage);
    state.transaction.noteRead(this.relation.storage, state.snapshot);
    const stored = state.canWait ? known.segments.filter((segment) => segment !== undefined && segment.lsn <= lsn && this.attnums.some((attnum) => !segment.columns.has(attnum) && segment.stored.has(attnum))) : [];
    if (stored.length > 0) yield new Pending(this.store.files!.readMany(known, this.relation, stored as Segment[], this.attnums), 'IO', 'DataFileRead');
    let block = 0;
    for (; block < known.segments.length; block++) {
      // What has no segment may have no rows either.
      if (known.segments[block] || (yield* this.firstRowFrom(block * SEGMENT_ROWS, (block + 1) * SEGMENT_ROWS - 1)) >= 0) {
        this.found++;
        yield* this.readBlock(block);
        if (!(yield* this.goesOn())) return this.views;
      }
    }
    // What lies behind the last segment.
    for (;;) {
      const first = yield* this.firstRowFrom(block * SEGMENT_ROWS);
      if (first < 0) break;
      block = Math.floor(first / SEGMENT_ROWS);
      this.found++;
      yield* this.readBlock(block);
      block++;
      if (!(yield* this.goesOn())) return this.views;
    }
    this.flushLoose();
    known.blocks = this.found;
    known.lookedAt = used;
    return this.views;
  }

  /** Who builds what nobody waits for stops where there is no room for it. */
  private *goesOn(): Generator<Pending, boolean> {
    if (!this.buildOnly) return true;
    let room = true;
    const asked = this.store.roomToBuild(this.state.context).then((found) => void (room = found));
    yield new Pending(asked, 'IO', 'DataFileWrite');
    return room;
  }

  private *firstRowFrom(from: number, to = Infinity): Generator<Pending, number> {
    const cursor = this.state.transaction.scan(this.relation.storage, this.state.snapshot, { from: from as RowId, to: to as RowId });
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
    if (segment && (known.watch.unlistedAfter(block, segment.lsn) || this.changedCount(segment) > (this.buildOnly ? REBUILD_AHEAD : REBUILD_CHANGED)) && !known.watch.changedAfter(block, lsn)) {
      this.store.drop(known, segment);
      segment = undefined;
    }
    if (segment && (known.watch.unlistedAfter(block, segment.lsn) || segment.lsn > lsn)) {
      yield* this.readLoose(block);
      return;
    }
    if (!segment) {
      if (known.watch.changedAfter(block, lsn)) yield* this.readLoose(block);
      else yield* this.buildSegment(block);
      return;
    }
    if (!this.buildOnly) known.hits++;
    let missing = this.attnums.filter((attnum) => !segment.columns.has(attnum));
    if (missing.length > 0) missing = yield* this.readStored(segment, missing);
    if (missing.length > 0) {
      const { slots } = segment;
      known.builds++;
      const built = !known.watch.unlistedAfter(block, segment.lsn) && (yield* this.buildElsewhere(segment, missing, false));
      if (built && known.watch.unlistedAfter(block, segment.lsn)) {
        for (const attnum of missing) segment.columns.delete(attnum);
        yield* this.readLoose(block);
        return;
      }
      if (!built) yield* this.fill(segment, missing, null);
      if (segment.slots !== slots) throw new Error('a standing segment has grown');
      this.store.grown(known, segment);
    }
    yield* this.useSegment(segment);
  }

  /** Columns of a segment that stand in files; answers which still miss. */
  private *readStored(segment: Segment, missing: readonly number[]): Generator<Pending, number[]> {
    const { store, known, state, relation } = this;
    const reading = state.canWait ? store.files?.read(known, relation, segment, missing) : undefined;
    if (reading) yield new Pending(reading, 'IO', 'DataFileRead');
    return missing.filter((attnum) => !segment.columns.has(attnum));
  }

  private changedCount(segment: Segment): number {
    if (!this.known.watch.changedAfter(segment.block, segment.lsn)) return 0;
    return countChanged(segment);
  }

  private *buildSegment(block: number): Generator<Pending, void> {
    const { known, relation } = this;
    const rival = this.state.canWait ? known.building.get(block) : undefined;
    if (rival && !this.awaited.has(block)) {
      // Somebody builds it already: once more when that is done.
      this.awaited.add(block);
      const { clock } = this.state.context.runtime;
      const waited = new Promise<void>((resolve) => {
        void rival.then(resolve);
        clock.after(RIVAL_MS, resolve);
      });
      yield new Pending(waited, 'IPC', 'ParallelFinish');
      yield* this.readBlock(block);
      return;
    }
    const segment = new Segment(block, this.state.snapshot.lsn);
    known.builds++;
    known.watch.addMarks(block, segment.marks);
    let over: () => void = () => undefined;
    const building = new Promise<void>((resolve) => (over = resolve));
    if (!rival) known.building.set(block, building);
    let kept = false;
    try {
      if (!(yield* this.buildElsewhere(segment, this.attnums, true))) {
        // The scan costs more than the decoding: numbers and texts of few values come along for later.
        const others = this.others(rowColumns(relation, this.access));
        yield* this.fill(segment, this.attnums, others);
      } else if (known.watch.unlistedAfter(block, segment.lsn)) {
        // A commit that does not say what it changed came in between.
        yield* this.readLoose(block);
        return;
      }
      this.store.keep(known, segment);
      kept = true;
    } finally {
      if (known.building.get(block) === building) known.building.delete(block);
      over();
      if (!kept) known.watch.removeMarks(block, segment.marks);
    }
    yield* this.useSegment(segment);
  }

  /** Has the builder's thread read columns of a block into a segment. False: it is to be done here. */
  private *buildElsewhere(segment: Segment, attnums: readonly number[], fresh: boolean): Generator<Pending, boolean> {
    const { relation } = this;
    const thread = this.store.thread;
    if (!thread || !this.state.canWait || !thread.reader.plain(relation.storage, this.state.snapshot.lsn)) return false;
    const row = rowColumns(relation, this.access);
    if (attnums.some((attnum) => row[attnum - 1]!.type === null)) return false;
    const others = fresh ? this.others(row) : [];
    const wanted = wantedColumns(relation, attnums, others);
    let answer: BuildAnswer | undefined;
    yield new Pending(
      thread.build({ storage: relation.storage, block: segment.block, s: this.state.snapshot.lsn, own: [], row, wanted }).then((found) => void (answer = found), () => undefined),
      'IO', 'DataFileRead',
    );
    if (!answer) return false;
    const refused = answer.refused.find((attnum) => attnums.includes(attnum));
    if (refused !== undefined) {
      this.refusedAttnum = refused;
      throw new NotColumnar();
    }
    if (fresh) {
      mergeMarks(segment, answer);
      segment.slots = answer.slots;
    }
    for (const column of answer.columns) segment.put(column.attnum, unpackColumn(column));
    return true;
  }

  /** What comes along: where somebody waits, only what there is room for. */
  private others(row: readonly RowColumn[]): number[] {
    const others = otherColumns(this.relation, row, this.known, this.attnums);
    return this.buildOnly || this.store.fitsAlong(this.known, others.length, this.state.context) ? others : [];
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
      if (!builders[c]!.abandoned) segment.put(attnum, sharedColumn(builders[c]!.finish(segment.slots, true)));
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
    this.store.touch(segment, this.attnums);
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

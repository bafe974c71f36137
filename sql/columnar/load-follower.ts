/**
 * Builds the columns of rows while a bulk load brings them in: each time a block of row ids is full and in the log, the builder's
 * thread reads it from the state as the load's transaction will leave it. The segment waits for the commit:
 *
 *     block full, its rows in the log --> marks registered --> in the state --> read, own rows as if committed
 *                                                                                   |
 *     commit at L: segment stands as of L  <---- only this commit changed the block unlisted since ----+
 *     abort, savepoint rolled back, others' unlisted changes: it is dropped
 *
 * Whatever the same transaction or others do to the block's rows meanwhile sets marks (ChangeWatch.noteAhead, note), so those rows are
 * read from the row store. What is not built at the commit is built after it, in the background.
 */
import type { Lsn, RowId, StorageId, Xid } from '../../engine/ids.js';
import type { Transaction } from '../../engine/storage.js';
import { tableAccess } from '../access/table-access.js';
import type { Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { BuildAnswer, RowColumn } from './build-protocol.js';
import type { ColumnStore, RelationSegments } from './relation-columns.js';
import { SEGMENT_ROWS, Segment, unpackColumn } from './segment.js';
import { REBUILD_AHEAD, countChanged, mergeMarks, otherColumns, rowColumns, wantedColumns } from './view-builder.js';

interface Ahead {
  readonly segment: Segment;
  readonly xid: Xid;
  /** How many commits had changed the block without listing rows when its marks were registered. */
  readonly unlisted: number;
}

/** How often a load is looked at that may have ended without a commit. */
const LOOK_MS = 1000;

export class LoadFollower {
  private readonly ahead: Ahead[] = [];
  private readonly row: readonly RowColumn[];
  private readonly queue: { readonly block: number; readonly xid: Xid }[] = [];
  private next = -1;
  private working = false;
  private over = false;
  private stopLooking: () => void;

  constructor(
    private readonly store: ColumnStore,
    private readonly known: RelationSegments,
    private readonly relation: Relation,
    private readonly transaction: Transaction,
    private readonly context: EvalContext,
    private readonly ended: () => void,
  ) {
    this.row = rowColumns(relation, tableAccess(relation, context.catalog));
    const look = (): void => {
      this.settle();
      if (!this.over) this.stopLooking = context.runtime.clock.after(LOOK_MS, look);
    };
    this.stopLooking = context.runtime.clock.after(LOOK_MS, look);
  }

  get storage(): StorageId {
    return this.relation.storage;
  }

  /** Of what waits for the commit. */
  get bytes(): number {
    return this.ahead.reduce((sum, { segment }) => sum + segment.bytes, 0);
  }

  /** Rows up to `upTo` are in the log. */
  rowsCame(storage: StorageId, upTo: RowId, _lsn: Lsn, xid: Xid): void {
    if (storage !== this.storage || this.over) return;
    const behind = Math.floor(upTo / SEGMENT_ROWS);
    // The first block of a load may hold rows of others.
    if (this.next < 0) this.next = behind;
    while (this.next < behind) this.queue.push({ block: this.next++, xid });
    if (this.queue.length > 0 && !this.working) void this.work();
  }

  private async work(): Promise<void> {
    this.working = true;
    try {
      while (this.queue.length > 0 && !this.over && this.store.aheadRoom(this.context) > 0) {
        const { block, xid } = this.queue.shift()!;
        const built = await this.build(block, xid);
        if (!built) continue;
        if (this.over) this.settleOne(built);
        else this.ahead.push(built);
      }
    } catch {
      // A thread that cannot: statements will have it built, and say what is wrong.
    } finally {
      this.working = false;
    }
  }

  private async build(block: number, xid: Xid): Promise<Ahead | undefined> {
    const { store, known, relation, row } = this;
    const { watch } = known;
    const thread = store.thread!;
    const s = store.storage.watermarks.assigned;
    const segment = new Segment(block, s);
    const made: Ahead = { segment, xid, unlisted: watch.unlistedCount(block) };
    watch.addMarks(block, segment.marks);
    let over: () => void = () => undefined;
    const building = new Promise<void>((resolve) => (over = resolve));
    known.building.set(block, building);
    let answer: BuildAnswer | undefined;
    try {
      await thread.reader.whenAppliedTo(s);
      answer = await thread.build({ storage: relation.storage, block, s, own: [xid], row, wanted: wantedColumns(relation, [], otherColumns(relation, row, known, [])) });
    } finally {
      if (known.building.get(block) === building) known.building.delete(block);
      over();
      if (!answer) watch.removeMarks(block, segment.marks);
    }
    mergeMarks(segment, answer);
    segment.slots = answer.slots;
    for (const column of answer.columns) segment.put(column.attnum, unpackColumn(column));
    known.builds++;
    return made;
  }

  /** A commit became visible, or time has passed: is the load's transaction over? */
  settle(): void {
    const { state } = this.transaction;
    if (this.over || state === 'active' || state === 'committing') return;
    this.over = true;
    this.stopLooking();
    this.queue.length = 0;
    const { store, relation, context } = this;
    for (const one of this.ahead.splice(0)) this.settleOne(one);
    this.ended();
    if (state !== 'committed') return;
    // The last rows, and what the thread did not come to. From a snapshot that sees them.
    void Promise.resolve(store.storage.whenDurable(store.storage.watermarks.assigned)).then(() => store.warm(relation, context), () => undefined);
  }

  private settleOne({ segment, xid, unlisted }: Ahead): void {
    const { store, known } = this;
    const { watch } = known;
    const lsn = store.storage.stagedCommit(xid);
    const alone = watch.unlistedCount(segment.block) === unlisted + 1 && !watch.gone && store.relations.get(known.storage) === known;
    // The first rows of a load come in the usual way, listed: they would all be read one by one.
    if (lsn === undefined || !alone || countChanged(segment) > REBUILD_AHEAD) {
      watch.removeMarks(segment.block, segment.marks);
      return;
    }
    segment.lsn = lsn;
    store.keep(known, segment);
  }
}

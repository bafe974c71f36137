/**
 * Filling an index from its table: keys straight from the stored rows into a sorter, sorted, and handed to the engine's bulk
 * loader in order, which the store takes fastest. A unique key is checked where neighbours meet; no key needs a lock, because
 * nobody else sees the index yet.
 */
import type { RowId } from '../../engine/ids.js';
import type { BulkLoader, RowBlock, RowVisitor, Transaction } from '../../engine/storage.js';
import { Slice } from '../../engine/turns.js';
import { indexAccess, type IndexAccess, type RowExpressionCompiler } from '../access/index-access.js';
import { uniqueViolation } from '../access/constraint-errors.js';
import { EntryRuns } from '../access/entry-runs.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Index, Relation } from '../catalog/catalog.js';
import type { DatabaseError } from '../../engine/errors.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';
import { updateClass } from './relation-rows.js';

/** For relpages, which tools show: pages as PostgreSQL would roughly have them. */
const ENTRIES_PER_PAGE = 366;
/** Read at once: a fraction of a millisecond. */
const FILL_ROWS = 512;
/** Sorted entries written between two looks at the clock. */
const ENTRIES_PER_LOOK = 64;
/** Fewer entries go the usual way, which waits for nothing before the commit. */
const LOAD_FROM = 2000;

/** Row expressions of stored index texts, compiled through the hooks. */
export function rowCompiler(context: CommandContext): RowExpressionCompiler {
  return (tableOid, text) => {
    const relation = context.catalog.relation(tableOid)!;
    const expr = context.hooks.analyzeExpressionText(text, { kind: 'index expression', relation }, context.eval);
    return context.hooks.compileRow(relation, expr, context.eval);
  };
}

/** Fills an empty index from its table, which is locked against writers. Raises 23505 when keys of a unique index repeat. */
export async function fillIndex(context: CommandContext, relation: Relation, index: Index): Promise<void> {
  const { transaction } = context;
  transaction.advanceCommand();
  const entries = await new IndexBuild(context, relation, index).run();
  transaction.advanceCommand();
  updateClass(context, index.oid, { reltuples: entries, relpages: entries === 0 ? 1 : 1 + Math.ceil(entries / ENTRIES_PER_PAGE) });
}

class IndexBuild {
  private readonly access: IndexAccess;
  private readonly table: TableAccess;
  private readonly transaction: Transaction;
  private loader: BulkLoader | undefined;
  private readonly runs = new EntryRuns(() => (this.slice.over ? this.slice.turn() : undefined));
  private entries = 0;
  /** Rows with a NULL in the key: they repeat no key. */
  private readonly withNulls = new Set<number>();
  private readonly slice: Slice;

  constructor(private readonly context: CommandContext, private readonly relation: Relation, private readonly index: Index) {
    this.access = indexAccess(index, context.catalog, rowCompiler(context));
    this.table = tableAccess(relation, context.catalog);
    this.transaction = context.transaction;
    this.slice = new Slice(() => context.eval.runtime.clock.monotonicMs());
  }

  async run(): Promise<number> {
    await this.readRows();
    await this.writeEntries();
    await this.loader?.finish();
    return this.entries;
  }

  private async readRows(): Promise<void> {
    const snapshot = this.transaction.latestSnapshot();
    const cursor = this.transaction.scan(this.relation.storage, snapshot);
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    const visitor = this.visitor();
    try {
      for (;;) {
        const seen = visitor && cursor.visit(FILL_ROWS, visitor);
        const filled = seen ?? (await settle(this.context, () => cursor.fill(block, FILL_ROWS)));
        if (filled === 0) return;
        if (seen === undefined) await this.addRows(block);
        if (this.runs.full) await this.runs.keep();
        if (this.slice.over) await this.slice.turn();
      }
    } finally {
      cursor.close();
      snapshot.release();
    }
  }

  /** Takes rows where they lie, when all that their entries need are columns of fixed width. */
  private visitor(): RowVisitor | undefined {
    const { access, table } = this;
    const { codec } = table;
    if (!access.dependsOn || ![...access.dependsOn].every((attnum) => attnum > 0 && codec.isFixed(attnum - 1))) return undefined;
    const columns = [...access.dependsOn].map((attnum) => attnum - 1);
    const values: Datum[] = new Array<Datum>(table.types.length).fill(null);
    return (rowId, _, bytes, view, start) => {
      for (let i = 0; i < columns.length; i++) values[columns[i]!] = codec.readFixed(bytes, view, start, columns[i]!);
      this.addEntry(rowId, values);
    };
  }

  /** A block whose long values are read first, some rows at a time. */
  private async addRows(block: RowBlock): Promise<void> {
    const { table, access, relation } = this;
    table.codec.large ??= this.transaction.largeValues;
    const columns = access.dependsOn ? [...access.dependsOn] : relation.attributes.map(({ attnum }) => attnum).filter((attnum) => attnum > 0);
    for (let from = 0; from < block.length; ) {
      const end = table.portion(columns, block.tuples, from, block.length);
      const tuples = from === 0 && end === block.length ? block.tuples : block.tuples.slice(from, end);
      for (let wait = table.load(columns, tuples, end - from); wait; wait = table.load(columns, tuples, end - from)) await this.context.wait(wait);
      this.addBlock(block, from, end);
      from = end;
    }
  }

  private addBlock(block: RowBlock, from: number, end: number): void {
    const { access, table } = this;
    const only = access.dependsOn ? [...access.dependsOn] : null;
    const { codec } = table;
    let values: Datum[] = new Array<Datum>(table.types.length).fill(null);
    for (let i = from; i < end; i++) {
      const tuple = block.tuples[i]!;
      if (only) for (const attnum of only) values[attnum - 1] = codec.read(tuple, attnum - 1);
      else {
        values = codec.readAll(tuple);
        if (!access.covers(values)) continue;
      }
      this.addEntry(block.rowIds[i]!, values);
    }
  }

  private addEntry(rowId: number, values: readonly Datum[]): void {
    const { access, runs, index } = this;
    const made = access.makeKey(values, this.relation.relname);
    if (made.hasNull && index.unique && !index.nullsNotDistinct) this.withNulls.add(rowId);
    const payload = access.payloadOf(values, access.hasPayload ? access.keyValues(values) : values);
    if (!runs.add(made.bytes, made.length, rowId, payload)) this.transaction.putIndexEntry(index.storage, made.bytes.slice(0, made.length), rowId as RowId, payload);
    this.entries++;
  }

  private async writeEntries(): Promise<void> {
    const { index, runs, slice } = this;
    if (runs.length >= LOAD_FROM) this.loader ??= this.transaction.bulkLoader(index.storage);
    const { loader } = this;
    const cursor = (await runs.finish()).cursor();
    let previous: Uint8Array = NO_PAYLOAD;
    let previousStart = 0;
    let previousLength = -1;
    for (let n = 1; cursor.next(); n++) {
      const { bytes, start, length, rowId } = cursor;
      if (index.unique) {
        if (length === previousLength && same(previous, previousStart, bytes, start, length) && !this.withNulls.has(rowId)) throw await this.duplicate(rowId as RowId);
        previous = bytes;
        previousStart = start;
        previousLength = length;
      }
      const end = start + length;
      const payload = cursor.payloadLength === 0 ? NO_PAYLOAD : bytes.subarray(end, end + cursor.payloadLength);
      if (loader) loader.put(index.storage, bytes, start, length, rowId as RowId, payload);
      else this.transaction.putIndexEntry(index.storage, bytes.slice(start, end), rowId as RowId, payload.slice());
      if (n % ENTRIES_PER_LOOK !== 0 || !slice.over) continue;
      const wait = loader?.pending() ?? this.transaction.loadPending();
      await (wait ? this.context.wait(wait) : slice.turn());
    }
  }

  private async duplicate(rowId: RowId): Promise<DatabaseError> {
    const snapshot = this.transaction.latestSnapshot();
    try {
      const version = await settle(this.context, () => this.table.fetch(this.transaction, snapshot, rowId));
      return uniqueViolation(this.relation, this.index, this.access.keyValues(this.table.codec.readAll(version!.tuple)), this.context.catalog, this.context.eval, true);
    } finally {
      snapshot.release();
    }
  }
}

function same(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

const NO_PAYLOAD = new Uint8Array(0);

/**
 * Filling an index from its table: keys straight from the stored rows into a sorter, sorted, and handed to the engine's bulk
 * loader in order, which the store takes fastest. A unique key is checked where neighbours meet; no key needs a lock, because
 * nobody else sees the index yet.
 */
import type { RowId } from '../../engine/ids.js';
import type { BulkLoader, IndexBlock, RowBlock, RowVisitor, Transaction } from '../../engine/storage.js';
import { equalBytes } from '../../engine/keycode.js';
import { Slice } from '../../engine/turns.js';
import { indexAccess, type IndexAccess, type RowExpressionCompiler } from '../access/index-access.js';
import { uniqueViolation } from '../access/constraint-errors.js';
import { EntrySorter } from '../access/entry-sort.js';
import type { SortedEntry } from '../access/entry-sort.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Index, Relation } from '../catalog/catalog.js';
import type { DatabaseError } from '../../engine/errors.js';
import type { Datum } from '../types/datum.js';
import { settle, type CommandContext } from './command.js';
import { updateClass } from './relation-rows.js';

/** For relpages, which tools show: pages as PostgreSQL would roughly have them. */
const ENTRIES_PER_PAGE = 366;
/** Entries are sorted in runs of at most so many bytes. */
const RUN_BYTES = 512 << 20;
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
  private sorter = new EntrySorter();
  private runs = 0;
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
    if (this.sorter.length > 0) await this.writeRun(this.runs === 0);
    await this.loader?.finish();
    if (this.index.unique && this.runs > 1) await this.checkWhole();
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
        if (this.sorter.byteLength > RUN_BYTES) await this.writeRun(false);
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
    const { access, sorter, index } = this;
    const made = access.makeKey(values, this.relation.relname);
    if (made.hasNull && index.unique && !index.nullsNotDistinct) this.withNulls.add(rowId);
    const payload = access.payloadOf(values, access.hasPayload ? access.keyValues(values) : values);
    if (!sorter.add(made.bytes, made.length, rowId, payload)) this.transaction.putIndexEntry(index.storage, made.bytes.slice(0, made.length), rowId as RowId, payload);
    this.entries++;
  }

  /** `only`: there is no other run. */
  private async writeRun(only: boolean): Promise<void> {
    const { sorter, index } = this;
    if (sorter.length >= LOAD_FROM) this.loader ??= this.transaction.bulkLoader(index.storage);
    const { loader } = this;
    if (!only) loader?.inRuns(index.storage);
    this.sorter = new EntrySorter();
    this.runs++;
    const order = new Uint32Array(sorter.length);
    const { slice } = this;
    for (const steps = sorter.sort(order); !steps.next().done; ) if (slice.over) await slice.turn();
    const entry: SortedEntry = { bytes: NO_PAYLOAD, start: 0, keyLength: 0, payloadLength: 0, rowId: 0 };
    for (let i = 0; i < order.length; i++) {
      const at = order[i]!;
      sorter.read(at, entry);
      const { bytes, start, keyLength, payloadLength } = entry;
      const rowId = entry.rowId as RowId;
      if (index.unique && i > 0 && sorter.sameKey(order[i - 1]!, at) && !this.withNulls.has(rowId)) throw await this.duplicate(rowId);
      const end = start + keyLength;
      const payload = payloadLength === 0 ? NO_PAYLOAD : bytes.subarray(end, end + payloadLength);
      if (loader) loader.put(index.storage, bytes, start, keyLength, rowId, payload);
      else this.transaction.putIndexEntry(index.storage, bytes.slice(start, end), rowId, payload.slice());
      if (i % ENTRIES_PER_LOOK !== ENTRIES_PER_LOOK - 1 || !slice.over) continue;
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

  /** Keys may repeat across runs: the finished index is in order. */
  private async checkWhole(): Promise<void> {
    this.transaction.advanceCommand();
    const snapshot = this.transaction.latestSnapshot();
    const cursor = this.transaction.scanIndex(this.index.storage, snapshot, {});
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    let previous: Uint8Array | null = null;
    try {
      for (;;) {
        const filled = await settle(this.context, () => cursor.fill(block, FILL_ROWS));
        if (filled === 0) return;
        for (let i = 0; i < filled; i++) {
          const key = block.keys[i]!;
          if (this.withNulls.has(block.rowIds[i]!)) continue;
          if (previous && equalBytes(previous, key)) throw await this.duplicate(block.rowIds[i]! as RowId);
          previous = key.slice();
        }
        if (this.slice.over) await this.slice.turn();
      }
    } finally {
      cursor.close();
      snapshot.release();
    }
  }
}

const NO_PAYLOAD = new Uint8Array(0);

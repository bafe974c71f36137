/**
 * Index entries of rows that are loaded in bulk: gathered while the rows go to the log, sorted, checked where they are to be unique,
 * and handed over in order, which the store takes in blocks. A row costs its keys and no look-up; a repeated key is found late, but named by its first row.
 */
import type { DatabaseError } from '../../engine/errors.js';
import type { RowId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { BulkLoader, SortedKeys, Transaction } from '../../engine/storage.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { uniqueViolation } from './constraint-errors.js';
import { EntryRuns } from './entry-runs.js';
import type { IndexAccess } from './index-access.js';
import type { TableAccess } from './table-access.js';
import type { TupleEncoder } from './tuple-encoder.js';

/** Of one index, before they are sorted. */
const RUN_BYTES = 64 << 20;
/** Of all indexes: then they go to the store, and the next ones later. */
const MOST_BYTES = 256 << 20;
/** Entries handed over between two looks at the clock. */
const ENTRIES_PER_LOOK = 256;

export interface GatherHost {
  readonly transaction: Transaction;
  readonly catalog: Catalog;
  readonly evalContext: EvalContext;
  wait(pending: Pending): Promise<void>;
  /** Gives others a turn when it is time. */
  breathe(): Promise<void> | undefined;
}

interface Gathered {
  readonly access: IndexAccess;
  runs: EntryRuns;
  keys: SortedKeys | undefined;
  /** Rows with a NULL in the key: they repeat no key. */
  withNulls: Set<number>;
}

/** A row whose key is taken, and what to say. */
export interface Taken {
  readonly rowId: RowId;
  readonly error: DatabaseError;
}

export class GatheredEntries {
  private readonly indexes: readonly Gathered[];
  private readonly columns: readonly number[];
  private readonly fixed: boolean;
  private readonly values: Datum[];
  private readonly turn = (): Promise<void> | undefined => this.host.breathe();

  constructor(private readonly table: TableAccess, indexes: readonly IndexAccess[], private readonly loader: BulkLoader, private readonly host: GatherHost) {
    this.indexes = indexes.map((access) => ({ access, runs: new EntryRuns(this.turn, RUN_BYTES), keys: undefined, withNulls: new Set<number>() }));
    this.columns = [...new Set(indexes.flatMap((access) => [...(access.dependsOn ?? [])]))].map((attnum) => attnum - 1);
    this.fixed = this.columns.every((column) => table.codec.isFixed(column));
    this.values = new Array<Datum>(table.types.length).fill(null);
  }

  /** Whether entries of all these indexes can be gathered. */
  static takes(indexes: readonly IndexAccess[]): boolean {
    return indexes.every(({ index }) => (index.immediate || !index.unique) && index.includeColumns.length === 0);
  }

  /** Whether rows are enough as bytes. */
  static takesBytes(indexes: readonly IndexAccess[]): boolean {
    return GatheredEntries.takes(indexes) && indexes.every(({ dependsOn }) => dependsOn !== null && [...dependsOn].every((attnum) => attnum > 0));
  }

  addEncoded(rowId: RowId, row: TupleEncoder): void {
    const { values, columns } = this;
    const { codec } = this.table;
    if (this.fixed) for (let i = 0; i < columns.length; i++) values[columns[i]!] = codec.readFixed(row.buffer, row.view, 0, columns[i]!);
    else {
      const tuple = row.buffer.subarray(0, row.length);
      for (const column of columns) values[column] = codec.read(tuple, column);
    }
    this.add(rowId, values);
  }

  add(rowId: RowId, values: readonly Datum[]): void {
    for (const gathered of this.indexes) {
      const { access } = gathered;
      if (!access.covers(values)) continue;
      const { index } = access;
      const made = access.makeKey(values, this.relation.relname);
      if (made.hasNull && index.unique && !index.nullsNotDistinct) gathered.withNulls.add(rowId);
      gathered.runs.add(made.bytes, made.length, rowId, access.hasPayload ? access.payloadOf(values, access.keyValues(values)) : EMPTY);
    }
  }

  private get relation(): Relation {
    return this.table.relation;
  }

  /** What is gathered is to be made smaller: call `relieve`. */
  get full(): boolean {
    return this.indexes.some(({ runs }) => runs.full);
  }

  async relieve(): Promise<Taken | undefined> {
    let bytes = 0;
    for (const { runs } of this.indexes) {
      if (runs.full) await runs.keep();
      bytes += runs.byteLength;
    }
    return bytes > MOST_BYTES ? this.flush() : undefined;
  }

  /** Claims all keys, and looks for the first row that repeats one. The claims stay; what is gathered does, too. */
  async check(): Promise<Taken | undefined> {
    let first: { rowId: RowId; access: IndexAccess } | undefined;
    for (const gathered of this.indexes) {
      gathered.keys ??= await gathered.runs.finish();
      const { access: { index }, withNulls } = gathered;
      if (!index.unique) continue;
      const taken = await this.loader.claim(index.storage, gathered.keys, (rowId) => withNulls.size > 0 && withNulls.has(rowId), { wait: this.host.wait, turn: this.host.breathe });
      if (taken !== undefined && (!first || taken < first.rowId)) first = { rowId: taken, access: gathered.access };
    }
    return first && { rowId: first.rowId, error: await this.violation(first.rowId, first.access) };
  }

  /** Hands over what was gathered, unless a key is taken; it is in the state then. */
  async flush(): Promise<Taken | undefined> {
    const { loader } = this;
    try {
      const taken = await this.check();
      if (taken) return taken;
      for (const gathered of this.indexes) {
        await this.handOver(gathered.access.index.storage, gathered.keys!);
        gathered.runs = new EntryRuns(this.turn, RUN_BYTES);
        gathered.keys = undefined;
        gathered.withNulls = new Set();
      }
      await loader.finish();
      return undefined;
    } finally {
      loader.release();
    }
  }

  private async handOver(storage: Parameters<BulkLoader['put']>[0], keys: SortedKeys): Promise<void> {
    const { loader, host } = this;
    const cursor = keys.cursor();
    for (let n = 1; cursor.next(); n++) {
      const end = cursor.start + cursor.length;
      const payload = cursor.payloadLength === 0 ? EMPTY : cursor.bytes.subarray(end, end + cursor.payloadLength);
      loader.put(storage, cursor.bytes, cursor.start, cursor.length, cursor.rowId as RowId, payload);
      if (n % ENTRIES_PER_LOOK !== 0) continue;
      const pending = loader.pending();
      const turn = pending ? host.wait(pending) : host.breathe();
      if (turn) await turn;
    }
  }

  private async violation(rowId: RowId, access: IndexAccess): Promise<DatabaseError> {
    const { host, table } = this;
    const { transaction } = host;
    await this.loader.finish();
    transaction.advanceCommand();
    const snapshot = transaction.latestSnapshot();
    try {
      for (;;) {
        const version = table.fetch(transaction, snapshot, rowId);
        if (version instanceof Pending) await host.wait(version);
        else return uniqueViolation(this.relation, access.index, access.keyValues(table.codec.readAll(version!.tuple)), host.catalog, host.evalContext);
      }
    } finally {
      snapshot.release();
    }
  }
}

const EMPTY = new Uint8Array(0);

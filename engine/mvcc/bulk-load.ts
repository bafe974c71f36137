/**
 * Rows and entries in bulk: from the caller's bytes straight into provisional log records, past the write set. Nothing is
 * kept in memory per row, so until `finish` this transaction cannot read what it loads, and nobody can lock or probe it:
 *
 *     insert, put --> operations of a record in the making --192 kB--> log (provisional) --> applier: marked versions
 *
 * Entries that come in order go together, in blocks of keys (engine/packed), which the state keeps as they are.
 *
 * What staging.ts says about marked versions holds: only the transaction's commit makes them true, an abort (or a crash) has
 * them undone. A record is written within one synchronous step, so nothing of others comes between its operations.
 *
 * Entries of a unique index that others can see are claimed first (key-claims.ts): rivals look for keys in write sets and in the
 * state, and what is on its way between log and state is in neither.
 */
import type { CommandId, Lsn, RowId, StorageId } from '../ids.js';
import { RecordKind, Section } from '../log/batch.js';
import { Pending } from '../pending.js';
import type { BulkLoader, SortedKeys } from '../storage.js';
import type { ApplierDriver } from './applier-driver.js';
import type { Engine } from './engine.js';
import { findTaken, type KeyCheckHost } from './key-claims.js';
import type { EngineTransaction } from './transaction.js';
import { BLOCK_LEAST, BlockPacker, forEachPacked } from '../packed/block.js';
import { Operations } from './write-batch.js';

/** A record is written at this size. */
const RECORD_BYTES = 192 << 10;
const BUFFER_BYTES = RECORD_BYTES + (64 << 10);
/** Headers of a record with two sections. */
const RECORD_OVERHEAD = 32;
/** Rows larger than this go the usual way. */
const ROW_MAX = 32 << 10;
/** The loader waits while so much of its own is not in the log file: others' commits queue behind it. */
const UNLOGGED_MAX = 2 << 20;
/** And while so much waits for the applier. */
const UNAPPLIED_MAX = 12 << 20;

const NO_PAYLOAD = new Uint8Array(0);
/** After so many blocks in a row that were not worth it the index's keys are taken to come in no order. */
const SCATTERED_MAX = 32;

interface Run {
  readonly index: StorageId;
  readonly packer: BlockPacker;
  scattered: number;
}

export class BulkLoad implements BulkLoader {
  private readonly rows = new Operations(new Uint8Array(BUFFER_BYTES));
  private readonly entries = new Operations(new Uint8Array(BUFFER_BYTES));
  private readonly storages = new Set<StorageId>();
  /** Records on their way to the state, oldest first. */
  private readonly sent: { readonly lsn: Lsn; readonly bytes: number }[] = [];
  private sentBytes = 0;
  /** Per index the keys that are being gathered. */
  private readonly runs = new Map<StorageId, Run>();
  private lastRun: Run | undefined;
  private lastStorage = -1;
  /** Rows since the last record: of which storage, the first and the last one. */
  private rowsOf = -1 as StorageId;
  private firstRow = 0 as RowId;
  private lastRow = 0 as RowId;
  onRows: BulkLoader['onRows'];
  private command: CommandId;
  /** Each gives up what was claimed of an index. */
  private readonly claims: (() => void)[] = [];

  constructor(private readonly engine: Engine, private readonly applier: ApplierDriver, private readonly transaction: EngineTransaction) {
    this.command = transaction.currentCommand;
  }

  insert(storage: StorageId, bytes: Uint8Array, length: number): RowId {
    if (length > ROW_MAX) return this.transaction.insert(storage, bytes.slice(0, length));
    const rowId = this.engine.nextRowId(storage);
    this.touch(storage);
    if (storage !== this.rowsOf) this.beginRows(storage, rowId);
    this.lastRow = rowId;
    this.rows.row(storage, rowId, bytes, length);
    if (this.rows.length >= RECORD_BYTES) this.flush();
    return rowId;
  }

  private beginRows(storage: StorageId, rowId: RowId): void {
    // One record is of one storage's rows.
    if (this.rows.length > 0) this.flush();
    this.rowsOf = storage;
    this.firstRow = rowId;
  }

  put(index: StorageId, keys: Uint8Array, start: number, length: number, rowId: RowId, payload: Uint8Array): void {
    this.touch(index);
    const run = this.lastRun?.index === index ? this.lastRun : this.runOf(index);
    if (payload.length > 0 || run.scattered > SCATTERED_MAX) {
      this.close(run);
      this.entries.entry(index, keys, start, length, rowId, payload);
    } else if (!run.packer.add(keys, start, length, rowId)) {
      this.close(run);
      if (!run.packer.add(keys, start, length, rowId)) this.entries.entry(index, keys, start, length, rowId, payload);
    }
    if (this.entries.length >= RECORD_BYTES) this.flush();
  }

  private runOf(index: StorageId): Run {
    let run = this.runs.get(index);
    if (!run) this.runs.set(index, (run = { index, packer: new BlockPacker(), scattered: 0 }));
    return (this.lastRun = run);
  }

  /** The keys gathered go among the record's operations. */
  private close({ index, packer }: Run): void {
    const { count } = packer;
    if (count === 0) return;
    const run = this.runs.get(index)!;
    run.scattered = count < BLOCK_LEAST ? run.scattered + 1 : 0;
    const length = packer.finish();
    if (count >= BLOCK_LEAST) this.entries.packed(index, packer.bytes, length);
    else forEachPacked(packer.bytes.subarray(0, length), (key, rowId) => this.entries.entry(index, key, 0, key.length, rowId as RowId, NO_PAYLOAD));
  }

  private touch(storage: StorageId): void {
    if (storage === this.lastStorage) return;
    this.lastStorage = storage;
    this.storages.add(storage);
  }

  private flush(): void {
    const { rows, entries, transaction } = this;
    for (const run of this.runs.values()) this.close(run);
    const bytes = rows.length + entries.length;
    if (bytes === 0) return;
    const { log, staging } = this.engine;
    log.checkRoom(bytes);
    const xid = staging.adoptLoad(transaction, this.storages, this.command);
    const builder = log.open(bytes + RECORD_OVERHEAD);
    const lsn = builder.beginRecord(RecordKind.provisional, 0, xid);
    if (rows.length > 0) {
      builder.beginSection(Section.rows);
      builder.bytes(rows.buffer.subarray(0, rows.length));
      builder.endSection();
    }
    if (entries.length > 0) {
      builder.beginSection(Section.derived);
      builder.bytes(entries.buffer.subarray(0, entries.length));
      builder.endSection();
    }
    builder.endRecord();
    log.wrote(lsn);
    log.flushSoon();
    if (rows.length > 0) {
      staging.loadedRows(transaction, this.rowsOf, this.firstRow, this.lastRow);
      this.onRows?.(this.rowsOf, this.lastRow, lsn, xid);
      this.rowsOf = -1 as StorageId;
    }
    rows.clear();
    entries.clear();
    this.sent.push({ lsn, bytes });
    this.sentBytes += bytes;
  }

  pending(): Pending | undefined {
    const { log } = this.engine;
    this.trim();
    if (this.sentBytes > UNAPPLIED_MAX) return this.wait(this.oldestBeyond(UNAPPLIED_MAX / 2), (lsn) => this.engine.whenApplied(lsn));
    if (log.queuedBytes > UNLOGGED_MAX) return this.wait(this.oldestBeyond(UNLOGGED_MAX / 2), (lsn) => log.whenDurable(lsn));
    return undefined;
  }

  claim(index: StorageId, keys: SortedKeys, exempt: (rowId: number) => boolean, host: KeyCheckHost): Promise<RowId | undefined> {
    this.claims.push(this.engine.claims.claim(index, this.transaction, keys));
    return findTaken(this.engine, this.transaction, index, keys, exempt, host);
  }

  release(): void {
    for (const release of this.claims.splice(0)) release();
  }

  private wait(lsn: Lsn, until: (lsn: Lsn) => Promise<void> | undefined): Pending | undefined {
    const over = until(lsn);
    // Whoever is cancelled before it waits does not hear of a failure; the process then ends anyway.
    over?.catch(() => undefined);
    return over && new Pending(over, 'IO', 'WALWrite');
  }

  /** The last record behind which at most so many bytes were sent. */
  private oldestBeyond(bytes: number): Lsn {
    let i = this.sent.length - 1;
    for (let after = 0; i > 0 && after < bytes; i--) after += this.sent[i]!.bytes;
    return this.sent[Math.max(i, 0)]!.lsn;
  }

  private trim(): void {
    const { applied } = this.applier;
    let done = 0;
    while (done < this.sent.length && this.sent[done]!.lsn <= applied) this.sentBytes -= this.sent[done++]!.bytes;
    if (done > 0) this.sent.splice(0, done);
  }

  async finish(): Promise<void> {
    this.flush();
    const last = this.sent.at(-1);
    if (!last) return;
    await this.engine.whenApplied(last.lsn);
    this.trim();
    for (const storage of this.storages) this.engine.ceilings.forget(storage);
    this.command = this.transaction.currentCommand;
  }
}

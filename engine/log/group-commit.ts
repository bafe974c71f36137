/**
 * From records to durable batches: whoever commits writes a record into the batch that is being
 * built and takes its LSN; one append is outstanding at a time, and whatever came meanwhile forms
 * the next. Owns the watermarks `assigned` and `durable`.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { Clock } from '../runtime.js';
import { BATCH_MAX, BatchBuilder, batchHash } from './batch.js';
import type { AppendResult, Lead, LogStore } from './log-store.js';

/** A batch is closed when the next record might not fit; records are at most about 400 kB. */
const CLOSE_AT = 512 << 10;

interface Waiter {
  readonly lsn: Lsn;
  /** Nobody's answer waits for it. */
  readonly patient: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

interface Closed {
  readonly batch: Uint8Array;
  readonly firstLsn: Lsn;
  readonly id: number;
}

export class GroupCommit {
  private builder: BatchBuilder;
  private closed: Closed[] = [];
  private inFlight = false;
  private scheduled = false;
  private waiters: Waiter[] = [];
  private failure: DatabaseError | undefined;
  private previousHash: Uint8Array;
  private nextId: number;
  readonly term: number;
  /** LSN of the newest record. */
  assigned: Lsn;
  /** Everything before this position survives a power cut. */
  durable: Lsn;
  batches = 0;
  bytes = 0;
  queuedBytes = 0;

  /** Called with each batch once it is durable, in order. */
  onDurable: (batch: Uint8Array, durable: Lsn) => void = () => undefined;
  onFailure: (error: DatabaseError) => void = () => undefined;
  /** How many transactions are running: a lone committer is synced synchronously. */
  activeCount: () => number = () => 0;

  constructor(private readonly store: LogStore, lead: Lead, private readonly clock: Clock, firstId: number) {
    this.term = lead.term;
    this.previousHash = lead.tailHash;
    this.durable = lead.tail;
    this.assigned = lead.tail;
    this.nextId = firstId;
    this.builder = new BatchBuilder(lead.tail);
  }

  get failed(): boolean {
    return this.failure !== undefined;
  }

  /**
   * The batch to write the next record into, which takes `bytes`, or, where that is not known, less than half a batch. Call
   * `wrote` with the record's LSN afterwards.
   */
  open(bytes?: number): BatchBuilder {
    if (this.failure) throw this.failure;
    if (this.builder.byteLength > (bytes === undefined ? CLOSE_AT : BATCH_MAX - bytes)) this.close();
    return this.builder;
  }

  /** Throws 53100 unless the store has room for `bytes` more: afterwards a commit cannot fail for space. */
  checkRoom(bytes: number): void {
    if (this.failure) throw this.failure;
    if (!this.store.hasRoom(this.queuedBytes + this.builder.byteLength + bytes))
      throw new DatabaseError('53100', 'could not extend the commit log: No space left on device', { hint: 'Check free disk space.' });
  }

  wrote(lsn: Lsn): void {
    this.assigned = lsn;
  }

  /** Has what was written so far appended soon; the caller need not wait. */
  flushSoon(): void {
    if (this.scheduled || this.inFlight) return;
    this.scheduled = true;
    this.clock.after(0, () => {
      this.scheduled = false;
      this.pump();
    });
  }

  isDurable(lsn: Lsn): boolean {
    return lsn < this.durable;
  }

  /** Undefined when the record at `lsn` is durable. */
  whenDurable(lsn: Lsn, patient = false): Promise<void> | undefined {
    if (lsn < this.durable) return undefined;
    const { failure } = this;
    if (!failure) this.flushSoon();
    const until = failure ? Promise.reject(failure) : new Promise<void>((resolve, reject) => this.waiters.push({ lsn, patient, resolve, reject }));
    // Who gave up waiting (a cancelled statement) does not hear of a failure; everybody hears of it by `onFailure`.
    until.catch(() => undefined);
    return until;
  }

  /** Resolves when everything written so far is durable. */
  async drain(): Promise<void> {
    if (!this.builder.empty || this.closed.length > 0 || this.inFlight) await this.whenDurable(this.assigned, true);
  }

  private close(): void {
    const { builder } = this;
    const id = this.nextId++;
    const batch = builder.finish(this.term, this.durable, this.previousHash, id);
    this.previousHash = batchHash(batch);
    this.closed.push({ batch, firstLsn: builder.firstLsn, id });
    this.queuedBytes += batch.length;
    this.builder = new BatchBuilder(builder.endLsn, batch.length);
  }

  private pump(): void {
    while (!this.inFlight && !this.failure) {
      if (this.closed.length === 0) {
        if (this.builder.empty) return;
        this.close();
      }
      const next = this.closed.shift()!;
      this.inFlight = true;
      const lone = this.waiters.length === 1 && !this.waiters[0]!.patient && this.activeCount() <= 1 && next.batch.length < 64 << 10;
      let result: AppendResult | Promise<AppendResult>;
      try {
        result = this.store.append(this.term, next.firstLsn, next.batch, next.id, lone);
      } catch (error) {
        this.fail(error);
        return;
      }
      if (result instanceof Promise) {
        result.then(
          (value) => {
            this.appended(next, value);
            this.pump();
          },
          (error: unknown) => this.fail(error),
        );
        return;
      }
      this.appended(next, result);
    }
  }

  private appended(closed: Closed, result: AppendResult): void {
    this.inFlight = false;
    if (result.kind !== 'appended') {
      this.fail(
        result.kind === 'fenced'
          ? new DatabaseError('57P01', 'another server leads this commit log', { severity: 'PANIC' })
          : new DatabaseError('08007', 'the fate of the transaction is unknown', { severity: 'FATAL' }),
      );
      return;
    }
    this.durable = (closed.firstLsn + closed.batch.length) as Lsn;
    this.queuedBytes -= closed.batch.length;
    this.batches++;
    this.bytes += closed.batch.length;
    this.onDurable(closed.batch, this.durable);
    const { waiters, durable } = this;
    let kept = 0;
    for (const waiter of waiters) {
      if (waiter.lsn < durable) waiter.resolve();
      else waiters[kept++] = waiter;
    }
    waiters.length = kept;
  }

  private fail(cause: unknown): void {
    this.inFlight = false;
    this.failure =
      cause instanceof DatabaseError
        ? cause
        : new DatabaseError('58030', `could not write the commit log: ${cause instanceof Error ? cause.message : String(cause)}`, { severity: 'PANIC', cause });
    for (const waiter of this.waiters) waiter.reject(this.failure);
    this.waiters = [];
    this.onFailure(this.failure);
  }
}

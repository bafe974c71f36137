/** The applier on the thread that reads: in slices between events. Used by simulations, tests and memory engines. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { BATCH_HEADER } from '../log/batch.js';
import type { Clock } from '../runtime.js';
import { Applier } from './applier.js';
import type { StateMark, StateSums } from './state-mark.js';
import { SUMS_EVERY_BYTES, SUMS_EVERY_MS } from './applier-driver.js';
import type { ApplierDriver } from './applier-driver.js';
import { Collector } from './collector.js';

const SLICE_MS = 2;
const COLLECT_SLICE = 2000;

export class InlineApplier implements ApplierDriver {
  private queue: Uint8Array[] = [];
  private offset = BATCH_HEADER;
  private scheduled = false;
  private readonly collector: Collector;
  private waiters: { bytes: number; resolve(): void }[] = [];
  versionsCollected = 0;
  private historyRemoved = 0;
  queuedBytes = 0;
  readonly stalled = false;
  onApplied: (applied: Lsn) => void = () => undefined;
  onFailure: (error: unknown) => void = () => undefined;
  onSums: (sums: StateSums) => void = () => undefined;
  private sinceSums = 0;
  private summedMs: number;

  constructor(
    private readonly kv: KeyValueStore,
    readonly applier: Applier,
    private readonly clock: Clock,
    private readonly sumsEveryMs = SUMS_EVERY_MS,
  ) {
    this.collector = new Collector(kv);
    this.summedMs = clock.monotonicMs();
  }

  private reportSums(): void {
    if (this.sinceSums < SUMS_EVERY_BYTES && this.clock.monotonicMs() - this.summedMs < this.sumsEveryMs) return;
    this.sinceSums = 0;
    this.summedMs = this.clock.monotonicMs();
    const sums = this.applier.takeSums();
    if (sums) this.onSums(sums);
  }

  async mark(): Promise<StateMark> {
    await this.drain();
    return this.applier.mark();
  }

  get applied(): Lsn {
    return this.applier.applied;
  }

  get versionsInHistory(): number {
    return Math.max(0, this.applier.historyCount - this.applier.undo.restored - this.historyRemoved);
  }

  rowCount(storage: StorageId): number {
    return this.applier.infos.get(storage)?.count ?? 0;
  }

  byteSize(storage: StorageId): number {
    return this.applier.infos.get(storage)?.bytes ?? 0;
  }

  feed(batch: Uint8Array): void {
    this.queue.push(batch);
    this.queuedBytes += batch.length;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled || this.queue.length === 0) return;
    this.scheduled = true;
    this.clock.after(0, () => {
      this.scheduled = false;
      this.slice(SLICE_MS);
      this.schedule();
    });
  }

  private slice(maxMs: number): void {
    if (this.queue.length === 0) return;
    const end = this.clock.monotonicMs() + maxMs;
    let records = 0;
    const stop = (): boolean => (++records & 15) === 0 && this.clock.monotonicMs() >= end;
    try {
      const at = this.applier.applyAll(this.queue, this.offset, stop);
      for (const done of this.queue.splice(0, at.batch)) {
        this.queuedBytes -= done.length;
        this.sinceSums += done.length;
      }
      this.offset = at.offset;
    } catch (error) {
      this.onFailure(error);
      return;
    }
    this.kv.refresh();
    this.onApplied(this.applied);
    this.reportSums();
    this.waiters = this.waiters.filter((waiter) => {
      if (this.queuedBytes > waiter.bytes) return true;
      waiter.resolve();
      return false;
    });
  }

  hurry(): void {
    this.schedule();
  }

  async drain(): Promise<void> {
    if (this.queue.length === 0) return;
    await new Promise<void>((resolve) => this.waiters.push({ bytes: 0, resolve }));
  }

  async drainTo(bytes: number): Promise<void> {
    if (this.queuedBytes > bytes) await new Promise<void>((resolve) => this.waiters.push({ bytes, resolve }));
  }

  async sync(): Promise<Lsn> {
    const from = this.applier.keepFrom;
    await this.kv.sync();
    return from;
  }

  async collect(horizon: () => Lsn): Promise<{ versions: number; entries: number }> {
    const total = { versions: 0, entries: 0 };
    for (;;) {
      const slice = this.collector.collect(horizon(), COLLECT_SLICE);
      total.versions += slice.versions;
      total.entries += slice.entries;
      this.versionsCollected += slice.versions;
      this.historyRemoved += slice.history;
      if (slice.finished) break;
      await new Promise<void>((resolve) => this.clock.after(0, resolve));
    }
    this.kv.refresh();
    return total;
  }

  async sweep(xid: Xid): Promise<void> {
    while (!this.applier.undo.sweep(xid, COLLECT_SLICE)) await new Promise<void>((resolve) => this.clock.after(0, resolve));
    this.kv.refresh();
  }

  halt(): Promise<void> {
    this.queue = [];
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.drain();
    await this.kv.sync();
  }
}

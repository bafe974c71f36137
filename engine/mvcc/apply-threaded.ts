/** The applier on its own thread, fed through the ring: what a server uses. */
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { batchFirstLsn } from '../log/batch.js';
import { compiledModule } from '../runtime-node.js';
import type { Runtime, Thread } from '../runtime.js';
import type { Applier } from './applier.js';
import type { StateMark, StateSums } from './state-mark.js';
import type { ApplierDriver } from './applier-driver.js';
import type { ApplyWorkerData, FromApplier, ToApplier } from './apply-protocol.js';
import { RingWriter, createRing } from './ring.js';

const RING_BYTES = 32 << 20;
/**
 * The applier sleeps so long beside a trickle of commits, which the overlay holds meanwhile: what it applies is flushed to
 * disk each time, beside the log's syncs that clients wait for, and rows changed again and again are written once.
 */
const WAKE_MS = 100;
/** It is woken at once when so much waits. */
const WAKE_BYTES = 1 << 20;

export class ThreadedApplier implements ApplierDriver {
  private readonly ring: RingWriter;
  private readonly thread: Thread;
  private readonly infos = new Map<StorageId, { count: number; bytes: number }>();
  /** Batches that found the ring full. */
  private backlog: Uint8Array[] = [];
  private fedEnd = 0;
  private doneEnd = 0;
  private nextRequest = 1;
  private readonly requests = new Map<number, (message: FromApplier) => void>();
  private drainers: { end: number; bytes: number; resolve(): void }[] = [];
  private stopping = false;
  private gone = false;
  private unseenBytes = 0;
  private cancelWake: (() => void) | null = null;
  private becameReady: () => void = () => undefined;
  /** Resolves when the thread has opened the state. */
  readonly ready: Promise<void>;
  applied: Lsn;
  queuedBytes = 0;
  stalled = false;
  versionsCollected = 0;
  private historyCount: number;
  private historyRemoved = 0;
  onApplied: (applied: Lsn) => void = () => undefined;
  onFailure: (error: unknown) => void = () => undefined;
  onSums: (sums: StateSums) => void = () => undefined;

  /** `applier` has recovered the state on this thread and writes no more. */
  constructor(
    private readonly runtime: Runtime,
    private readonly kv: KeyValueStore,
    path: string,
    applier: Applier,
    sumsEveryMs: number,
  ) {
    const memory = createRing(RING_BYTES);
    this.ring = new RingWriter(memory);
    this.applied = applier.applied;
    this.historyCount = applier.historyCount;
    for (const info of applier.infos.values()) this.infos.set(info.id, { count: info.count, bytes: info.bytes });
    this.ready = new Promise((resolve) => (this.becameReady = resolve));
    this.thread = runtime.threads.start(compiledModule('engine/mvcc/apply-worker.js', import.meta.url), {
      path, ring: memory, prepared: applier.keepPrepared(), sumsEveryMs,
    } satisfies ApplyWorkerData);
    this.thread.onMessage((message) => this.receive(message as FromApplier));
    this.thread.onExit((code, error) => {
      this.gone = true;
      for (const drainer of this.drainers) drainer.resolve();
      if (!this.stopping) this.failed(`its thread ended with code ${code}${error instanceof Error ? `: ${error.stack}` : ''}`);
    });
  }

  private failed(reason: string): void {
    this.onFailure(new DatabaseError('XX000', `the applier failed: ${reason}`, { severity: 'PANIC' }));
  }

  private receive(message: FromApplier): void {
    switch (message.kind) {
      case 'ready':
        this.becameReady();
        return;
      case 'applied':
        this.progress(message);
        return;
      case 'stalled':
        this.stalled = true;
        return;
      case 'sums':
        this.onSums(message.sums);
        return;
      case 'failed':
        this.failed(message.message);
        return;
      default: {
        const answer = this.requests.get(message.id);
        this.requests.delete(message.id);
        answer?.(message);
      }
    }
  }

  private progress(message: Extract<FromApplier, { kind: 'applied' }>): void {
    this.stalled = false;
    for (const [storage, count, bytes] of message.infos) this.infos.set(storage, { count, bytes });
    this.historyCount = message.historyCount;
    this.queuedBytes -= message.bytes;
    this.applied = message.applied;
    // This thread's reads must see what the overlay is about to forget.
    this.kv.refresh();
    this.onApplied(message.applied);
    if (message.end > 0) this.doneEnd = message.end;
    let sent = 0;
    while (sent < this.backlog.length && this.ring.write(this.backlog[sent]!)) sent++;
    if (sent > 0) {
      this.backlog.splice(0, sent);
      this.wake();
    }
    if (this.drainers.length === 0) return;
    this.drainers = this.drainers.filter((drainer) => {
      if (drainer.end > this.doneEnd && this.queuedBytes > drainer.bytes) return true;
      drainer.resolve();
      return false;
    });
  }

  get versionsInHistory(): number {
    return Math.max(0, this.historyCount - this.historyRemoved);
  }

  rowCount(storage: StorageId): number {
    return this.infos.get(storage)?.count ?? 0;
  }

  byteSize(storage: StorageId): number {
    return this.infos.get(storage)?.bytes ?? 0;
  }

  feed(batch: Uint8Array): void {
    this.queuedBytes += batch.length;
    this.fedEnd = batchFirstLsn(batch) + batch.length;
    if (this.backlog.length > 0 || !this.ring.write(batch)) this.backlog.push(batch);
    this.unseenBytes += batch.length;
    if (this.unseenBytes >= WAKE_BYTES || this.drainers.length > 0) this.wake();
    else this.cancelWake ??= this.runtime.clock.after(WAKE_MS, () => this.wake());
  }

  hurry(): void {
    if (this.fedEnd > this.doneEnd) this.wake();
  }

  private wake(): void {
    this.cancelWake?.();
    this.cancelWake = null;
    this.unseenBytes = 0;
    this.ring.wake();
  }

  async drain(): Promise<void> {
    if (this.fedEnd <= this.doneEnd) return;
    this.wake();
    await new Promise<void>((resolve) => this.drainers.push({ end: this.fedEnd, bytes: -1, resolve }));
  }

  async drainTo(bytes: number): Promise<void> {
    if (this.queuedBytes <= bytes) return;
    this.wake();
    await new Promise<void>((resolve) => this.drainers.push({ end: Infinity, bytes, resolve }));
  }

  private request(make: (id: number) => ToApplier): Promise<FromApplier> {
    const id = this.nextRequest++;
    return new Promise((resolve) => {
      this.requests.set(id, resolve);
      this.thread.post(make(id));
    });
  }

  async sync(): Promise<Lsn> {
    const answer = await this.request((id) => ({ kind: 'sync', id }));
    return answer.kind === 'synced' ? answer.keepFrom : (0 as Lsn);
  }

  async collect(horizon: () => Lsn): Promise<{ versions: number; entries: number }> {
    const answer = await this.request((id) => ({ kind: 'collect', id, horizon: horizon() }));
    this.kv.refresh();
    if (answer.kind !== 'collected') return { versions: 0, entries: 0 };
    this.versionsCollected += answer.versions;
    this.historyRemoved += answer.history;
    return { versions: answer.versions, entries: answer.entries };
  }

  async sweep(xid: Xid): Promise<void> {
    const answer = await this.request((id) => ({ kind: 'sweep', id, xid }));
    if (answer.kind === 'swept') this.historyCount = answer.historyCount;
    this.kv.refresh();
  }

  async mark(): Promise<StateMark> {
    await this.drain();
    const answer = await this.request((id) => ({ kind: 'mark', id }));
    if (answer.kind !== 'marked') throw new DatabaseError('57P01', 'the applier has stopped');
    return answer.mark;
  }

  async halt(): Promise<void> {
    if (this.gone) return;
    this.stopping = true;
    const gone = new Promise<void>((resolve) => this.thread.onExit(() => resolve()));
    this.thread.post({ kind: 'halt' } satisfies ToApplier);
    this.ring.wake();
    await gone;
  }

  async close(): Promise<void> {
    if (!this.stalled) await this.drain();
    this.stopping = true;
    const gone = new Promise<void>((resolve) => this.thread.onExit(() => resolve()));
    this.thread.post({ kind: 'stop' } satisfies ToApplier);
    await gone;
  }
}

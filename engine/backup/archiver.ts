/**
 * Runs the archiver's thread beside a server and keeps the log until it is archived.
 *
 * The log that waits for an archive that is away is bounded: at half of `maxLagBytes` the alert is
 * raised; at the bound either the oldest log is let go (policy `drop`: the archive then has a gap, and
 * only backups from after it reach further) or commits are refused until the archive is back
 * (policy `refuse`).
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { compiledModule } from '../runtime-node.js';
import type { Runtime, Thread } from '../runtime.js';
import type { Hold, Storage } from '../storage.js';
import type { ArchiveWorkerData, FromArchiver, ToArchiver } from './archive-protocol.js';
import { lineageOf } from './lineage.js';

export interface ArchiveOptions {
  readonly target: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly key: Uint8Array | undefined;
  readonly timeoutMs: number;
  readonly maxLagBytes: number;
  readonly policy: 'drop' | 'refuse';
}

export interface ArchiveStatus {
  readonly archivedLsn: Lsn;
  readonly lagBytes: number;
  /** Since everything durable was archived. */
  readonly lagSeconds: number;
  readonly objects: number;
  readonly bytes: number;
  readonly failures: number;
  readonly lastError: string | undefined;
  readonly gaps: number;
  readonly fenced: boolean;
  /** The lag is beyond half its bound, or log was dropped, or another server archives. */
  readonly alert: boolean;
}

const WATCH_MS = 250;
const RESTART_MS = 1000;

export class Archiver {
  private thread: Thread;
  private readonly data: ArchiveWorkerData;
  private readonly hold: Hold;
  private readonly durable: Float64Array;
  private stopWatching: () => void = () => undefined;
  private flushed: ((lsn: Lsn) => void)[] = [];
  private stopped: (() => void) | undefined;
  private stopping = false;
  private archivedLsn: Lsn;
  private readonly startLsn: number;
  private caughtUpMs: number;
  private objects = 0;
  private bytes = 0;
  private failures = 0;
  private lastError: string | undefined;
  private gaps = 0;
  private fenced = false;
  /** Told what an operator should read in the log. */
  onEvent: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void = () => undefined;

  constructor(private readonly runtime: Runtime, private readonly storage: Storage, private readonly options: ArchiveOptions) {
    const { maintenance } = storage;
    const { directory } = maintenance;
    if (directory === undefined) throw new DatabaseError('0A000', 'a server in memory has no log to archive');
    this.durable = new Float64Array(maintenance.durableCell);
    // Until the thread says how far the archive is, nothing goes.
    this.hold = maintenance.holdLog(0 as Lsn);
    this.archivedLsn = 0 as Lsn;
    this.startLsn = this.durable[0]!;
    this.caughtUpMs = runtime.clock.monotonicMs();
    this.data = {
      target: options.target, environment: options.environment, key: options.key, timeoutMs: options.timeoutMs,
      logDirectory: `${directory}/log`, lineage: lineageOf(runtime, directory), durable: maintenance.durableCell,
    };
    this.thread = this.start();
    this.watch();
  }

  private start(): Thread {
    const thread = this.runtime.threads.start(compiledModule('engine/backup/archive-worker.js', import.meta.url), this.data);
    thread.onMessage((message) => this.receive(message as FromArchiver));
    thread.onExit((code, error) => {
      this.stopped?.();
      if (this.stopping) return;
      // It finds by itself where to go on.
      this.failures++;
      this.lastError = error instanceof Error ? error.message : `exit code ${code}`;
      this.onEvent('error', 'the archiver ended and is started again', { code, err: error });
      this.runtime.clock.after(RESTART_MS, () => {
        if (this.stopping) return;
        this.thread = this.start();
        for (let i = 0; i < this.flushed.length; i++) this.thread.post({ kind: 'flush' } satisfies ToArchiver);
      });
    });
    return thread;
  }

  private receive(message: FromArchiver): void {
    switch (message.kind) {
      case 'archived':
        this.archivedLsn = message.lsn;
        this.objects += message.objects;
        this.bytes += message.bytes;
        this.lastError = undefined;
        if (message.lsn > this.hold.lsn) this.hold.lsn = message.lsn;
        if (message.lsn >= this.durable[0]!) this.caughtUpMs = this.runtime.clock.monotonicMs();
        return;
      case 'failed':
        this.failures++;
        this.lastError = message.message;
        this.onEvent('warn', 'archiving failed and is tried again', { reason: message.message, failures: message.failures });
        return;
      case 'gap':
        this.gaps++;
        this.onEvent('error', 'the archive has a gap: take a backup now', { from: message.from, to: message.to });
        return;
      case 'fenced':
        this.fenced = true;
        this.onEvent('error', 'archiving has stopped: another server writes this archive', { reason: message.message });
        return;
      case 'flushed':
        for (const done of this.flushed.splice(0)) done(message.lsn);
        return;
      case 'stopped':
        this.stopped?.();
    }
  }

  /** Where the log begins that waits; while the archive was not reached since the start, what came since then. */
  private get waitingFrom(): number {
    return this.archivedLsn > 0 ? this.archivedLsn : this.startLsn;
  }

  /** Keeps the waiting log within its bound. */
  private watch(): void {
    const { maintenance } = this.storage;
    const { maxLagBytes, policy } = this.options;
    const durable = this.durable[0]!;
    if (this.archivedLsn >= durable) this.caughtUpMs = this.runtime.clock.monotonicMs();
    const over = durable - this.waitingFrom > maxLagBytes;
    if (policy === 'drop' && over) this.hold.lsn = Math.max(this.hold.lsn, durable - maxLagBytes) as Lsn;
    if (policy === 'refuse') {
      maintenance.refuseCommits = over
        ? new DatabaseError('53100', 'commits are refused: too much of the log waits for the archive', { detail: `${durable - this.waitingFrom} bytes wait; the bound is ${maxLagBytes}.`, hint: 'See to the archive target, or start with another --archive-max-lag or --archive-policy drop.' })
        : undefined;
    }
    this.stopWatching = this.runtime.clock.after(WATCH_MS, () => this.watch());
  }

  status(): ArchiveStatus {
    const lagBytes = Math.max(0, this.durable[0]! - this.waitingFrom);
    return {
      archivedLsn: this.archivedLsn,
      lagBytes,
      lagSeconds: lagBytes === 0 ? 0 : (this.runtime.clock.monotonicMs() - this.caughtUpMs) / 1000,
      objects: this.objects,
      bytes: this.bytes,
      failures: this.failures,
      lastError: this.lastError,
      gaps: this.gaps,
      fenced: this.fenced,
      alert: this.fenced || this.gaps > 0 || lagBytes > this.options.maxLagBytes / 2,
    };
  }

  /** Archives everything durable now; resolves with how far the archive is (not further than before when it is fenced). */
  flush(): Promise<Lsn> {
    return new Promise((resolve) => {
      this.flushed.push(resolve);
      this.thread.post({ kind: 'flush' } satisfies ToArchiver);
    });
  }

  /** Archives what is left, if that works within `graceMs`, and ends the thread. */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    this.stopWatching();
    const done = new Promise<void>((resolve) => (this.stopped = resolve));
    this.thread.post({ kind: 'stop' } satisfies ToArchiver);
    await Promise.race([done, new Promise<void>((resolve) => this.runtime.clock.after(graceMs, resolve))]);
    await this.thread.terminate();
    this.hold.release();
  }
}

/**
 * What the engine does by itself: the horizon, the collection of versions below it, the bound on old versions, and letting go of
 * log that no restart needs.
 */
import type { Lsn } from '../ids.js';
import type { LogStore } from '../log/log-store.js';
import type { Runtime } from '../runtime.js';
import type { ApplierDriver } from './applier-driver.js';
import type { Engine } from './engine.js';
import type { EngineTransaction } from './transaction.js';

export class Housekeeping {
  #snapshotsExpired = 0;
  #stopCollecting: (() => void) | undefined;
  #closing = false;
  #trimming = false;
  #sinceTrim = 0;

  constructor(
    private readonly engine: Engine,
    private readonly runtime: Runtime,
    private readonly applier: ApplierDriver,
    private readonly logStore: LogStore,
  ) {}

  get snapshotsExpired(): number {
    return this.#snapshotsExpired;
  }

  start(): void {
    this.#scheduleCollection();
  }

  stop(): void {
    this.#closing = true;
    this.#stopCollecting?.();
  }

  /** So much more log is durable. */
  logGrew(bytes: number): void {
    this.#sinceTrim += bytes;
    if (this.#sinceTrim >= this.engine.options.trimEveryBytes) this.#trimSoon();
  }

  /** The oldest LSN that any snapshot reads at, or will. */
  horizon(): Lsn {
    const { keepFrom } = this.engine.past;
    let oldest = Math.min(keepFrom, this.engine.visibleLsn, this.engine.pins.oldest) as Lsn;
    for (const transaction of this.engine.transactions.active) {
      const lsn = transaction.oldestSnapshot();
      if (lsn < oldest) oldest = lsn;
    }
    return this.engine.staging.hold(oldest);
  }

  /** The horizon, and from now on nobody reads before it. */
  readonly #collectTo = (): Lsn => {
    const horizon = this.horizon();
    if (horizon > this.engine.past.collected) this.engine.past.collected = horizon;
    return horizon;
  };

  async vacuum(): Promise<{ versionsRemoved: number; indexEntriesRemoved: number }> {
    await this.engine.log.drain();
    await this.applier.drain();
    await this.engine.staging.idle();
    this.engine.past.tick();
    const { versions, entries } = await this.applier.collect(this.#collectTo);
    return { versionsRemoved: versions, indexEntriesRemoved: entries };
  }

  /** Too many old versions: the transaction whose snapshot holds back most of them loses it. */
  #boundVersions(): void {
    if (this.applier.versionsInHistory <= this.engine.options.maxVersions) return;
    let oldest: EngineTransaction | undefined;
    for (const transaction of this.engine.transactions.active)
      if (transaction.oldestSnapshot() < (oldest?.oldestSnapshot() ?? this.engine.visibleLsn)) oldest = transaction;
    if (this.engine.past.keepFrom < (oldest?.oldestSnapshot() ?? this.engine.visibleLsn)) {
      this.engine.past.shorten();
      return;
    }
    if (!oldest) return;
    oldest.expire();
    this.#snapshotsExpired++;
  }

  #scheduleCollection(): void {
    const every = this.engine.options.collectEveryMs;
    if (every <= 0 || this.#closing) return;
    this.#stopCollecting = this.runtime.clock.after(every, () => {
      this.engine.past.tick();
      this.#boundVersions();
      this.applier
        .collect(this.#collectTo)
        .catch((error: unknown) => this.engine.fail(error))
        .finally(() => this.#scheduleCollection());
    });
  }

  async checkpoint(): Promise<void> {
    await this.engine.log.drain();
    await this.applier.drain();
    await this.#trimLog();
  }

  /** Lets go of the log that no restart needs any more: what the synced state has applied. */
  async #trimLog(): Promise<void> {
    const needed = await this.applier.sync();
    if (needed > 0) await this.logStore.trim(this.engine.log.term, Math.min(needed, this.engine.logHolds.oldest) as Lsn);
  }

  #trimSoon(): void {
    if (this.#trimming) return;
    this.#trimming = true;
    this.#sinceTrim = 0;
    this.#trimLog()
      .catch((error: unknown) => this.engine.fail(error))
      .finally(() => (this.#trimming = false));
  }
}

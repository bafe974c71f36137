/** The snapshots of one transaction: taken by its isolation level, held until released, and how old they may get. */
import { DatabaseError } from '../errors.js';
import type { CommandId, Lsn, StorageId } from '../ids.js';
import { Pending } from '../pending.js';
import type { Snapshot, SnapshotKind } from '../storage.js';
import type { Engine } from './engine.js';
import { ALL_COMMANDS } from './staging.js';
import type { EngineTransaction } from './transaction.js';
import { FOREVER } from './version-store.js';

class TransactionSnapshot implements Snapshot {
  constructor(
    private readonly owner: Snapshots,
    readonly kind: SnapshotKind,
    readonly lsn: Lsn,
    readonly command: CommandId,
  ) {}

  release(): void {
    this.owner.release(this);
  }
}

export class Snapshots {
  /** Oldest LSN that a scan under 'latest' reads at. */
  #latestPin = FOREVER;
  /** Snapshots in use; their LSNs hold the horizon. */
  readonly #taken: Snapshot[] = [];
  #fixedLsn: Lsn | undefined;
  /** Where the first snapshot is to be. */
  importedLsn: Lsn | undefined;
  #tooOld = false;

  constructor(
    private readonly engine: Engine,
    private readonly transaction: EngineTransaction,
  ) {}

  clear(): void {
    this.#taken.length = 0;
    this.#fixedLsn = undefined;
    this.#latestPin = FOREVER;
  }

  take(): Snapshot {
    this.checkAge();
    let lsn = this.#fixedLsn;
    if (lsn === undefined) {
      lsn = this.importedLsn ?? this.engine.snapshotLsn(this.transaction.session);
      if (this.transaction.isolation !== 'read committed') {
        this.#fixedLsn = lsn;
        this.transaction.snapshotXids = this.engine.transactions.bounds();
        if (this.transaction.isolation === 'serializable') this.transaction.serializable = this.engine.serializable.begin(this.transaction, lsn, this.transaction.readOnly);
      }
    }
    return this.#register(new TransactionSnapshot(this, 'at', lsn, this.transaction.currentCommand));
  }

  instant(): Snapshot {
    const lsn = this.#fixedLsn ?? (this.transaction.isolation === 'read committed' ? this.engine.snapshotLsn(this.transaction.session) : undefined);
    // The first snapshot of a REPEATABLE READ transaction stays.
    return lsn === undefined ? this.take() : new TransactionSnapshot(this, 'at', lsn, this.transaction.currentCommand);
  }

  latest(): Snapshot {
    return new TransactionSnapshot(this, 'latest', FOREVER, ALL_COMMANDS);
  }

  #register(snapshot: Snapshot): Snapshot {
    this.engine.transactions.join(this.transaction);
    this.#taken.push(snapshot);
    return snapshot;
  }

  release(snapshot: Snapshot): void {
    const at = this.#taken.lastIndexOf(snapshot);
    if (at < 0) return;
    const last = this.#taken.pop()!;
    if (at < this.#taken.length) this.#taken[at] = last;
  }

  /** The versions that its snapshots need may go from now on: whoever reads with them is told (72000). */
  expire(): void {
    this.#tooOld = true;
  }

  get expired(): boolean {
    return this.#tooOld;
  }

  checkAge(): void {
    if (this.#tooOld) throw new DatabaseError('72000', 'snapshot too old', { hint: 'It held back more old row versions than the server keeps. Use shorter transactions.' });
  }

  /** Oldest LSN this transaction still reads at. */
  oldest(): Lsn {
    if (this.#tooOld) return FOREVER;
    let oldest = this.#fixedLsn ?? this.importedLsn ?? FOREVER;
    if (this.#latestPin < oldest) oldest = this.#latestPin;
    for (const snapshot of this.#taken) if (snapshot.lsn < oldest) oldest = snapshot.lsn;
    return oldest;
  }

  safeSnapshotPending(): Pending | undefined {
    if (this.transaction.isolation !== 'serializable' || !this.transaction.deferrable || !this.transaction.readOnly) return undefined;
    const { serializable, log } = this.engine;
    for (;;) {
      if (this.#fixedLsn === undefined) {
        // A snapshot that misses commits which took their place already could only be unsafe again.
        const durable = log.whenDurable(log.assigned);
        if (durable) return new Pending(durable, 'IPC', 'SafeSnapshot');
        this.take().release();
      }
      const me = this.transaction.serializable;
      if (!me || me.safe) return undefined;
      if (!me.unsafe) return new Pending(serializable.whenDecided(me)!, 'IPC', 'SafeSnapshot');
      serializable.aborted(me);
      this.transaction.serializable = undefined;
      this.#fixedLsn = undefined;
    }
  }

  /** No snapshot of this transaction is of an earlier command. */
  oldestCommand(): CommandId {
    let oldest = this.transaction.currentCommand;
    for (const snapshot of this.#taken) if (snapshot.command < oldest) oldest = snapshot.command;
    return oldest;
  }

  /** A scan under 'latest' sees what is committed when it starts, throughout. */
  scanLsn(storage: StorageId, snapshot: Snapshot): Lsn {
    if (this.engine.isTemporary(storage)) return FOREVER;
    if (snapshot.kind === 'at') return snapshot.lsn;
    const { assigned } = this.engine.log;
    // What the scan will read may be superseded while it runs: it must not be collected.
    if (assigned < this.#latestPin) {
      this.#latestPin = assigned;
      this.engine.transactions.join(this.transaction);
    }
    return assigned;
  }
}

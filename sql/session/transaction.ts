/**
 * A session's transaction: none, the implicit one around a message, a block, or a failed block.
 * BEGIN to RELEASE stand here as PostgreSQL's transaction block state machine has them (xact.c).
 */
import { importedSnapshot } from '../functions/exported-snapshots.js';
import type { Lsn } from '../../engine/ids.js';
import { DatabaseError } from '../../engine/errors.js';
import type { SubId } from '../../engine/ids.js';
import type { EngineSession, IsolationLevel, Transaction } from '../../engine/storage.js';
import { CatalogTransaction } from '../catalog/catalog-store.js';
import { lsnOfMoment } from './as-of.js';
import type { Cluster } from './cluster.js';
import type { SessionSettings } from './session-settings.js';

/** idle; implicit: around one message; block: after BEGIN; failed: a block that only ROLLBACK ends. */
export type TransactionStatus = 'idle' | 'implicit' | 'block' | 'failed';

interface Savepoint {
  readonly name: string;
  readonly sub: SubId;
  readonly catalogMark: number;
  readonly settingsMark: number;
}

export interface TransactionModes {
  isolation?: IsolationLevel;
  readOnly?: boolean;
  deferrable?: boolean;
}

const NO_MODES: TransactionModes = {};
const NOTHING = {};

/** However a transaction was begun: the past is one snapshot, and nobody changes it. */
const PAST_MODES: Required<TransactionModes> = { isolation: 'repeatable read', readOnly: true, deferrable: false };

/** Work that others want done at the ends of a transaction: deferred constraints, cursors, temporary tables. */
export interface TransactionHooks {
  /** Before the commit record: may raise and so undo everything. */
  beforeCommit(): Promise<void> | undefined;
  ended(committed: boolean): void;
  /** A savepoint was rolled back. */
  rolledBackTo(sub: SubId): void;
  warning(sqlstate: string, message: string): void;
}

export class SessionTransaction {
  status: TransactionStatus = 'idle';
  #catalog: CatalogTransaction | null = null;
  #savepoints: Savepoint[] = [];
  #modes: Required<TransactionModes> = { isolation: 'read committed', readOnly: false, deferrable: false };
  /** As asked for: what `#modes` is made of, unless the past is read. */
  #wanted = this.#modes;
  #defaults = this.#modes;
  #defaultsOf: object | null = null;
  #published: object | null = null;
  #publishedVersion = -1;
  #started = false;
  /** Wall clock microseconds since the Unix epoch when it began. */
  startMicros = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly databaseOid: number,
    private readonly engineSession: EngineSession,
    private readonly settings: SessionSettings,
    private readonly hooks: TransactionHooks,
  ) {}

  get active(): boolean {
    return this.#catalog !== null;
  }

  /** The running transaction; one is begun if there is none (implicit). */
  get changes(): CatalogTransaction {
    if (!this.#catalog) this.begin('implicit');
    return this.#catalog!;
  }

  get current(): CatalogTransaction | null {
    return this.#catalog;
  }

  get engine(): Transaction {
    return this.changes.transaction;
  }

  /** 'I', 'T' or 'E' for ReadyForQuery. */
  get indicator(): 'I' | 'T' | 'E' {
    return this.status === 'block' ? 'T' : this.status === 'failed' ? 'E' : 'I';
  }

  get isolation(): IsolationLevel {
    return this.#modes.isolation;
  }

  get readOnly(): boolean {
    return this.#modes.readOnly;
  }

  begin(status: 'implicit' | 'block', modes: TransactionModes = NO_MODES): void {
    const defaults = this.#defaultModes();
    this.#wanted = modes === NO_MODES ? defaults : {
      isolation: modes.isolation ?? defaults.isolation,
      readOnly: modes.readOnly ?? defaults.readOnly,
      deferrable: modes.deferrable ?? defaults.deferrable,
    };
    this.#open();
    this.status = status;
    this.startMicros = this.cluster.runtime.clock.nowMicros();
    this.settings.beginTransaction();
    this.#publishModes();
  }

  /** The same object until a setting changes. */
  #defaultModes(): Required<TransactionModes> {
    const { statement } = this.settings;
    if (statement !== this.#defaultsOf) {
      this.#defaultsOf = statement;
      this.#defaults = { isolation: normalIsolation(statement.defaultIsolation), readOnly: statement.defaultReadOnly, deferrable: statement.defaultDeferrable };
    }
    return this.#defaults;
  }

  #open(snapshotLsn?: Lsn): void {
    const { asOf } = this.settings.statement;
    this.#modes = asOf === '' ? this.#wanted : PAST_MODES;
    const { isolation, readOnly, deferrable } = this.#modes;
    const moment = asOf === '' ? undefined : lsnOfMoment(asOf, this.cluster.storage);
    if (moment !== undefined && snapshotLsn !== undefined && snapshotLsn !== moment) throw new DatabaseError('22023', 'the snapshot is not of the moment that oxbow.as_of names');
    const past = moment === undefined ? null : this.cluster.catalogs.past(this.databaseOid, moment);
    const at = moment !== undefined ? { asOf: moment } : snapshotLsn === undefined ? NOTHING : { snapshotLsn };
    const transaction = this.cluster.storage.begin({ isolation, readOnly, deferrable, session: this.engineSession, ...at });
    this.#catalog = new CatalogTransaction(this.cluster.catalogs, this.databaseOid, transaction, past);
    if (this.#savepoints.length > 0) this.#savepoints = [];
    this.#started = false;
  }

  /** oxbow.as_of was set: a transaction that has not begun to read goes there. */
  momentChanged(): void {
    if (!this.#catalog) return;
    if (this.#started) throw new DatabaseError('25001', 'oxbow.as_of must be set before any query');
    if (this.#savepoints.length > 0) throw new DatabaseError('25001', 'oxbow.as_of must not be set in a subtransaction');
    this.#catalog.transaction.rollback();
    this.#open();
    this.#publishModes();
  }

  #publishModes(): void {
    // Most transactions have the modes of the one before.
    if (this.#published === this.#modes && this.#publishedVersion === this.settings.version) return;
    this.settings.setInternal('transaction_isolation', this.#modes.isolation);
    this.settings.setInternal('transaction_read_only', this.#modes.readOnly ? 'on' : 'off');
    this.settings.setInternal('transaction_deferrable', this.#modes.deferrable ? 'on' : 'off');
    this.#published = this.#modes;
    this.#publishedVersion = this.settings.version;
  }

  /** A statement took a snapshot: the isolation level is fixed from now on. */
  markStarted(): void {
    this.#started = true;
  }

  /** SET TRANSACTION */
  setModes(modes: TransactionModes): void {
    if (this.#started && modes.isolation && modes.isolation !== this.#modes.isolation)
      throw new DatabaseError('25001', 'SET TRANSACTION ISOLATION LEVEL must be called before any query');
    if (this.#savepoints.length > 0 && modes.isolation && modes.isolation !== this.#modes.isolation)
      throw new DatabaseError('25001', 'SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction');
    if (this.#started && this.#modes.readOnly && modes.readOnly === false)
      throw new DatabaseError('25001', 'transaction read-write mode must be set before any query');
    const inPast = this.settings.statement.asOf !== '';
    if (inPast && modes.readOnly === false) throw new DatabaseError('0A000', 'cannot set transaction read-write mode while oxbow.as_of is set');
    this.#wanted = { ...this.#wanted, ...Object.fromEntries(Object.entries(modes).filter(([, value]) => value !== undefined)) };
    if (!this.#started && this.#catalog) {
      // nothing has been read or written yet: begin anew with the right modes
      this.#catalog.transaction.rollback();
      this.#open();
    } else if (!inPast) this.#modes = this.#wanted;
    this.#publishModes();
  }

  /** SET TRANSACTION SNAPSHOT */
  importSnapshot(name: string): void {
    if (this.#started) throw new DatabaseError('25001', 'SET TRANSACTION SNAPSHOT must be called before any query');
    if (this.#modes.isolation === 'read committed') throw notSupportedAs('a snapshot-importing transaction must have isolation level SERIALIZABLE or REPEATABLE READ');
    const { snapshot, transaction } = importedSnapshot(name, this.cluster.storage, this.databaseOid);
    if (this.#modes.isolation === 'serializable') {
      if (transaction.isolation !== 'serializable') throw notSupportedAs('a serializable transaction cannot import a snapshot from a non-serializable transaction');
      if (transaction.readOnly && !this.#modes.readOnly) throw notSupportedAs('a non-read-only serializable transaction cannot import a snapshot from a read-only transaction');
    }
    this.#catalog?.transaction.rollback();
    this.#open(snapshot.lsn);
  }

  /** BEGIN / START TRANSACTION */
  beginBlock(modes: TransactionModes): void {
    if (this.status === 'block' || this.status === 'failed') {
      this.hooks.warning('25001', 'there is already a transaction in progress');
      if (Object.keys(modes).length > 0) this.setModes(modes);
      return;
    }
    if (this.status === 'implicit') {
      // earlier statements of the same message become part of the block
      this.status = 'block';
      if (modes.isolation !== undefined || modes.readOnly !== undefined || modes.deferrable !== undefined) this.setModes(modes);
      return;
    }
    this.begin('block', modes);
  }

  /** COMMIT. Answers the command tag: a failed block rolls back. */
  commitBlock(chain: boolean): string | Promise<string> {
    const modes = this.#wanted;
    if (this.status === 'failed') {
      this.rollback();
      if (chain) this.begin('block', modes);
      return 'ROLLBACK';
    }
    if (this.status !== 'block') {
      if (chain) throw new DatabaseError('25P01', 'COMMIT AND CHAIN can only be used in transaction blocks');
      this.hooks.warning('25P01', 'there is no transaction in progress');
    }
    const committed = (): string => {
      if (chain) this.begin('block', modes);
      return 'COMMIT';
    };
    const committing = this.commit();
    return committing ? committing.then(committed) : committed();
  }

  /** ROLLBACK */
  rollbackBlock(chain: boolean): void {
    const modes = this.#wanted;
    if (this.status !== 'block' && this.status !== 'failed') {
      if (chain) throw new DatabaseError('25P01', 'ROLLBACK AND CHAIN can only be used in transaction blocks');
      this.hooks.warning('25P01', 'there is no transaction in progress');
    }
    this.rollback();
    if (chain) this.begin('block', modes);
  }

  /** Commits whatever is open; undefined when nothing had to wait. On error everything is undone and the error raised. */
  commit(): Promise<void> | undefined {
    const catalog = this.#catalog;
    if (!catalog) {
      this.status = 'idle';
      return undefined;
    }
    try {
      const before = this.hooks.beforeCommit();
      if (before || !catalog.commitNow()) return this.#commitLater(catalog, before);
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.#committed();
    return undefined;
  }

  /** PREPARE TRANSACTION: the block goes over to the engine; on error everything is undone and the error raised. */
  async prepare(gid: string, info: Uint8Array): Promise<void> {
    try {
      await this.hooks.beforeCommit();
      await this.changes.transaction.prepare(gid, info);
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.#committed();
  }

  async #commitLater(catalog: CatalogTransaction, before: Promise<void> | undefined): Promise<void> {
    try {
      if (before) await before;
      await catalog.commit({ synchronous: this.settings.statement.synchronousCommit });
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.#committed();
  }

  #committed(): void {
    this.#catalog = null;
    if (this.#savepoints.length > 0) this.#savepoints = [];
    this.status = 'idle';
    this.settings.commit();
    this.cluster.metrics.transaction('commit');
    this.hooks.ended(true);
  }

  rollback(): void {
    const catalog = this.#catalog;
    this.#catalog = null;
    this.#savepoints = [];
    this.status = 'idle';
    if (!catalog) return;
    if (catalog.transaction.state === 'active') {
      catalog.rollbackTo(0);
      catalog.transaction.rollback();
    }
    this.settings.rollback();
    this.cluster.metrics.transaction('rollback');
    this.hooks.ended(false);
  }

  /** After an error: an implicit transaction is gone, a block waits for ROLLBACK [TO]. */
  fail(): void {
    if (this.status === 'implicit' || this.status === 'idle') {
      this.rollback();
      return;
    }
    if (this.status === 'failed') return;
    this.status = 'failed';
    const last = this.#savepoints[this.#savepoints.length - 1];
    if (last && this.#catalog?.transaction.state === 'active') {
      this.#undoTo(last);
      return;
    }
    // nothing can bring it back: give up its locks and writes now, as PostgreSQL does
    if (this.#catalog?.transaction.state === 'active') {
      this.#catalog.rollbackTo(0);
      this.#catalog.transaction.rollback();
    }
    this.settings.rollbackTo(0);
  }

  savepoint(name: string): void {
    this.#requireBlock('SAVEPOINT');
    const catalog = this.changes;
    this.#savepoints.push({ name, sub: catalog.transaction.savepoint(), catalogMark: catalog.mark, settingsMark: this.settings.mark });
  }

  releaseSavepoint(name: string): void {
    this.#requireBlock('RELEASE SAVEPOINT');
    const index = this.#find(name);
    this.changes.transaction.release(this.#savepoints[index].sub);
    this.#savepoints.length = index;
  }

  rollbackToSavepoint(name: string): void {
    this.#requireBlock('ROLLBACK TO SAVEPOINT');
    const index = this.#find(name);
    const savepoint = this.#savepoints[index];
    this.#undoTo(savepoint);
    this.#savepoints.length = index + 1;
    this.status = 'block';
  }

  #undoTo(savepoint: Savepoint): void {
    const catalog = this.changes;
    catalog.transaction.rollbackTo(savepoint.sub);
    catalog.rollbackTo(savepoint.catalogMark);
    this.settings.rollbackTo(savepoint.settingsMark);
    this.hooks.rolledBackTo(savepoint.sub);
  }

  #requireBlock(what: string): void {
    if (this.status === 'idle' || this.status === 'implicit') throw new DatabaseError('25P01', `${what} can only be used in transaction blocks`);
  }

  #find(name: string): number {
    for (let i = this.#savepoints.length - 1; i >= 0; i--) if (this.#savepoints[i].name === name) return i;
    throw new DatabaseError('3B001', `savepoint "${name}" does not exist`);
  }
}

export function normalIsolation(level: string): IsolationLevel {
  if (level === 'serializable') return 'serializable';
  return level === 'repeatable read' ? 'repeatable read' : 'read committed';
}

function notSupportedAs(message: string): DatabaseError {
  return new DatabaseError('0A000', message);
}

/** The EvalContext of a session: what types and functions see. Commands derive objects from it (Object.create), so it has no #private fields. */
import type { Runtime } from '../../engine/runtime.js';
import type { Storage, Transaction } from '../../engine/storage.js';
import type { Catalog } from '../catalog/catalog.js';
import type { BackendDirectory, EvalContext, SessionInfo } from '../functions/context.js';
import { lookupSearchPath } from './search-path.js';
import type { Session } from './session.js';

export class SessionContext implements EvalContext, SessionInfo {
  private readonly states = new Map<string, unknown>();
  private pathKey = '';
  private path: readonly number[] = [];
  /** Microseconds since 2000-01-01. */
  transactionTimestamp = 0;
  statementTimestamp = 0;

  constructor(private readonly owner: Session) {}

  get settings() {
    return this.owner.settings;
  }
  get runtime(): Runtime {
    return this.owner.cluster.runtime;
  }
  get storage(): Storage {
    return this.owner.cluster.storage;
  }
  get catalog(): Catalog {
    return this.owner.catalog;
  }
  get transaction(): Transaction {
    return this.owner.engineTransaction;
  }
  get session(): SessionInfo {
    return this;
  }

  get pid(): number {
    return this.owner.pid;
  }
  get databaseOid(): number {
    return this.owner.databaseOid;
  }
  get databaseName(): string {
    return this.owner.databaseName;
  }
  get sessionUser() {
    return this.owner.sessionUser;
  }
  get currentUser() {
    return this.owner.currentUser;
  }
  get clientAddress(): string | null {
    return this.owner.client.address;
  }
  get clientPort(): number {
    return this.owner.client.port;
  }
  get backends(): BackendDirectory {
    return this.owner.cluster.backends;
  }

  get searchPathOids(): readonly number[] {
    const { catalog } = this.owner;
    const key = `${catalog.version}:${this.owner.settings.searchPathVersion}:${this.owner.currentUser.oid}`;
    if (key !== this.pathKey) {
      this.path = lookupSearchPath(catalog, this.owner.settings.searchPath, this.owner.currentUser.name, this.owner.pid);
      this.pathKey = key;
    }
    return this.path;
  }

  notify(channel: string, payload: string): void {
    this.owner.notifications.notify(channel, payload, this.owner.engineTransaction.currentSub);
  }
  get listeningChannels(): Iterable<string> {
    return this.owner.notifications.channels;
  }
  get notificationQueueUsage(): number {
    return this.owner.cluster.notifications.usage;
  }

  unlockAllAdvisory(): void {
    this.owner.engineSession.unlockAllAdvisory();
  }

  setSetting(name: string, value: string, local: boolean): string {
    return this.owner.settings.set(name, value, local, this.owner.currentUser.superuser);
  }

  state<T>(key: string, make: () => T): T {
    let value = this.states.get(key) as T | undefined;
    if (value === undefined) this.states.set(key, (value = make()));
    return value;
  }

  /** DISCARD ALL and DISCARD SEQUENCES. */
  forgetState(key?: string): void {
    if (key === undefined) this.states.clear();
    else this.states.delete(key);
  }

  notice(severity: 'DEBUG' | 'LOG' | 'INFO' | 'NOTICE' | 'WARNING', message: string, fields: { sqlstate?: string; detail?: string; hint?: string } = {}): void {
    const sqlstate = fields.sqlstate ?? (severity === 'WARNING' ? '01000' : '00000');
    this.owner.notice({ severity, sqlstate, message, detail: fields.detail, hint: fields.hint });
  }
}

/**
 * What types and functions may ask of the session that evaluates them. One object lives as long
 * as the session's current statement; functions get it as their last argument when they declare
 * `needsContext`, types always.
 */
import type { Transaction, Storage } from '../../engine/storage.js';
import type { Runtime } from '../../engine/runtime.js';
import type { Catalog } from '../catalog/catalog.js';

export interface EvalContext {
  readonly settings: SettingsReader;
  readonly runtime: Runtime;
  readonly catalog: Catalog;
  /** Absent only in unit tests of pure functions. */
  readonly transaction: Transaction;
  readonly storage: Storage;
  readonly session: SessionInfo;
  /** Microseconds since 2000-01-01 UTC: transaction_timestamp(), statement_timestamp(). */
  readonly transactionTimestamp: number;
  readonly statementTimestamp: number;
  notice(severity: 'DEBUG' | 'LOG' | 'INFO' | 'NOTICE' | 'WARNING', message: string, fields?: { sqlstate?: string; detail?: string; hint?: string }): void;
}

/** Parsed values of the settings that evaluation needs often; `get` has any of them by name. */
export interface SettingsReader {
  readonly dateStyle: 'ISO' | 'SQL' | 'Postgres' | 'German';
  readonly dateOrder: 'MDY' | 'DMY' | 'YMD';
  readonly intervalStyle: 'postgres' | 'postgres_verbose' | 'sql_standard' | 'iso_8601';
  readonly timeZone: string;
  readonly extraFloatDigits: number;
  readonly byteaOutput: 'hex' | 'escape';
  readonly searchPath: readonly string[];
  /** Current text value as SHOW prints it; undefined when there is no such setting. */
  get(name: string): string | undefined;
}

/** Facts about the session and hooks into it (backend functions). */
export interface SessionInfo {
  readonly pid: number;
  readonly databaseOid: number;
  readonly databaseName: string;
  readonly sessionUser: { readonly oid: number; readonly name: string };
  readonly currentUser: { readonly oid: number; readonly name: string; readonly superuser: boolean };
  /** OIDs of the effective search path, pg_catalog included where it is implicit. */
  readonly searchPathOids: readonly number[];
  readonly clientAddress: string | null;
  readonly clientPort: number;
  /** Changes a setting as SET / set_config does. */
  setSetting(name: string, value: string, local: boolean): string;
  /** lastval()/currval() state, advisory locks and the like hang here by key, made on first use. */
  state<T>(key: string, make: () => T): T;
  /** Releases the session's advisory locks (pg_advisory_unlock_all). */
  unlockAllAdvisory?(): void;
  /** NOTIFY, at commit. */
  notify?(channel: string, payload: string): void;
  readonly listeningChannels?: Iterable<string>;
  /** 0 to 1. */
  readonly notificationQueueUsage?: number;
  /** The server's view of all sessions: pg_stat_activity, pg_cancel_backend, pg_terminate_backend. */
  readonly backends: BackendDirectory;
}

export interface BackendInfo {
  readonly pid: number;
  readonly databaseOid: number;
  readonly databaseName: string;
  readonly userOid: number;
  readonly userName: string;
  readonly applicationName: string;
  readonly clientAddress: string | null;
  readonly clientPort: number;
  /** Microseconds since 2000-01-01 UTC. */
  readonly backendStart: number;
  readonly transactionStart: number | null;
  readonly queryStart: number | null;
  readonly stateChange: number | null;
  readonly state: 'active' | 'idle' | 'idle in transaction' | 'idle in transaction (aborted)';
  readonly query: string;
  readonly waitEventType: string | null;
  readonly waitEvent: string | null;
  readonly xid: number;
  /** Number of its transaction. */
  readonly virtualId: number;
}

export interface BackendDirectory {
  list(): readonly BackendInfo[];
  cancel(pid: number): boolean;
  terminate(pid: number): boolean;
  readonly serverStart: number;
  readonly serverVersionNum: number;
}

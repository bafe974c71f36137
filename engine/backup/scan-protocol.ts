/** Messages between the engine's thread and the one that reads the state and the log for backups. */
import type { Lsn, StorageId } from '../ids.js';
import type { LogRange } from '../log/segment-reader.js';
import type { LookedUp, ScanCursor, ScanPart } from './state-scan.js';

export interface ScanWorkerData {
  readonly statePath: string;
  readonly logDirectory: string;
}

export type ToScanner =
  | { readonly kind: 'read'; readonly id: number; readonly s: Lsn; readonly dropped: readonly StorageId[]; readonly cursor: ScanCursor; readonly maxBytes: number }
  | { readonly kind: 'lookup'; readonly id: number; readonly s: Lsn; readonly dropped: readonly StorageId[]; readonly keys: Uint8Array; readonly maxBytes: number }
  | { readonly kind: 'log'; readonly id: number; readonly from: Lsn; readonly durable: Lsn; readonly maxBytes: number };

export type FromScanner =
  | { readonly kind: 'part'; readonly id: number; readonly part: ScanPart }
  | { readonly kind: 'found'; readonly id: number; readonly found: LookedUp }
  | { readonly kind: 'range'; readonly id: number; readonly range: LogRange }
  | { readonly kind: 'error'; readonly id: number; readonly sqlstate: string; readonly message: string; readonly detail: string | undefined };

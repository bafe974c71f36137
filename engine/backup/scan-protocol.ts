/** Messages between the engine's thread and the one that reads the state and the log for backups. */
import type { Lsn, StorageId } from '../ids.js';
import type { LogRange } from '../log/segment-reader.js';
import type { ScanCursor, ScanPart } from './state-scan.js';
import type { Findings } from './walk.js';

export interface ScanWorkerData {
  readonly statePath: string;
  readonly logDirectory: string;
}

export type ToScanner =
  | { readonly kind: 'read'; readonly id: number; readonly s: Lsn; readonly dropped: readonly StorageId[]; readonly cursor: ScanCursor; readonly maxBytes: number }
  | { readonly kind: 'log'; readonly id: number; readonly from: Lsn; readonly durable: Lsn; readonly maxBytes: number }
  | { readonly kind: 'walk'; readonly id: number; readonly s: Lsn; readonly dropped: readonly StorageId[]; readonly storages: readonly { readonly id: StorageId; readonly record: Uint8Array }[]; readonly pauseMs: number };

export type FromScanner =
  | { readonly kind: 'part'; readonly id: number; readonly part: ScanPart }
  | { readonly kind: 'range'; readonly id: number; readonly range: LogRange }
  | { readonly kind: 'walked'; readonly id: number; readonly findings: Findings }
  | { readonly kind: 'error'; readonly id: number; readonly sqlstate: string; readonly message: string; readonly detail: string | undefined };

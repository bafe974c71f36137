/** Messages between the engine's thread and the archiver's. */
import type { Lsn } from '../ids.js';
import type { Lineage } from './lineage.js';

export interface ArchiveWorkerData {
  readonly target: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logDirectory: string;
  readonly lineage: Lineage;
  readonly key: Uint8Array | undefined;
  readonly timeoutMs: number;
  /** One f64: everything before this LSN is durable. */
  readonly durable: SharedArrayBuffer;
}

export type ToArchiver = { readonly kind: 'flush' } | { readonly kind: 'stop' };

export type FromArchiver =
  | { readonly kind: 'archived'; readonly lsn: Lsn; readonly bytes: number; readonly objects: number }
  /** It is tried again; `archivedLsn` stands still meanwhile. */
  | { readonly kind: 'failed'; readonly message: string; readonly failures: number }
  /** Log was lost to the archive's bound: [from, to) is in no object. */
  | { readonly kind: 'gap'; readonly from: Lsn; readonly to: Lsn }
  /** Somebody else writes this lineage: nothing is archived any more. */
  | { readonly kind: 'fenced'; readonly message: string }
  /** Answer to `flush` and `stop`. */
  | { readonly kind: 'flushed'; readonly lsn: Lsn }
  | { readonly kind: 'stopped'; readonly lsn: Lsn };

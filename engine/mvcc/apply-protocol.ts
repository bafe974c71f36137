/** Messages between the engine's thread and the applier's. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { StagedPart, StateMark, StateSums } from './state-mark.js';
import type { RingMemory } from './ring.js';

export interface ApplyWorkerData {
  readonly path: string;
  readonly ring: RingMemory;
  /** What recovery found of prepared transactions. */
  readonly prepared: ReadonlyMap<Xid, readonly StagedPart[]>;
  /** Counts and hash sums are reported this often. */
  readonly sumsEveryMs: number;
}

export type ToApplier =
  | { readonly kind: 'sync'; readonly id: number }
  | { readonly kind: 'collect'; readonly id: number; readonly horizon: Lsn }
  | { readonly kind: 'sweep'; readonly id: number; readonly xid: Xid }
  | { readonly kind: 'mark'; readonly id: number }
  | { readonly kind: 'halt' }
  | { readonly kind: 'stop' };

export type FromApplier =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'applied';
      readonly applied: Lsn;
      /** Everything before this position of the log is applied. */
      readonly end: number;
      readonly historyCount: number;
      /** id, count, bytes per storage changed. */
      readonly infos: readonly (readonly [StorageId, number, number])[];
      /** Bytes of the batches that are done. */
      readonly bytes: number;
    }
  | { readonly kind: 'stalled'; readonly message: string }
  | { readonly kind: 'synced'; readonly id: number; readonly keepFrom: Lsn }
  | { readonly kind: 'collected'; readonly id: number; readonly versions: number; readonly history: number; readonly entries: number }
  | { readonly kind: 'swept'; readonly id: number; readonly historyCount: number }
  | { readonly kind: 'marked'; readonly id: number; readonly mark: StateMark }
  | { readonly kind: 'sums'; readonly sums: StateSums }
  | { readonly kind: 'failed'; readonly message: string };

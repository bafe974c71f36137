/** What the thread that learns indexes is told, and what it answers. */
import type { StorageId } from '../ids.js';
import type { LearnedArrays } from './entry-collector.js';
import type { KeyClass, KeyValue } from './key-class.js';

export interface LearnWorkerData { readonly statePath: string }

export interface LearnRequest {
  readonly id: number;
  readonly index: StorageId;
  readonly class: KeyClass;
  readonly error: number;
}

export interface LearnAnswer {
  readonly id: number;
  /** null: the index's keys are none that can be learned, or reading them failed. */
  readonly arrays: LearnedArrays | null;
  /** Keys with entries whose transaction's fate is open, or that was rolled back and is not undone: the tree must be asked. */
  readonly doubtful: readonly KeyValue[];
  readonly failure: string | null;
}

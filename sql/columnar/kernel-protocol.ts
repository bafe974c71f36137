/**
 * What a thread that runs kernels is told, and what it answers. A kernel travels as its source and a description of its
 * values from outside; typed arrays are in shared memory (small ones are copied), functions go by name. What a
 * kernel fills (a table of groups, rows, a set of pairs) is made anew by each thread and handed back as its arrays.
 */
import type { Speed } from './kernel-costs.js';
import type { ValueKind } from './value.js';

export type Numbers = Int32Array | Float64Array | Uint8Array | Uint16Array | Int16Array | Uint32Array | BigInt64Array;

/** One of a kernel's values from outside. */
export type Argument =
  | { readonly kind: 'plain'; readonly value: number | string | boolean | bigint | null | undefined }
  | { readonly kind: 'array'; readonly array: Numbers }
  | { readonly kind: 'function'; readonly name: string }
  /** One of the task's own, by its position among them. */
  | { readonly kind: 'own'; readonly own: number };

export interface GroupColumn { readonly kind: ValueKind; readonly narrow: boolean }
export interface RowColumn { readonly kind: ValueKind; readonly narrow: boolean; readonly nullable: boolean }

/** What each thread has for itself while it runs a task. */
export type OwnSpec =
  | { readonly kind: 'groups'; readonly columns: readonly GroupColumn[]; readonly capacity: number; /** Groups that are there from the start. */ readonly count: number }
  | { readonly kind: 'rows'; readonly columns: readonly RowColumn[]; readonly capacity: number; readonly top: TopSpec | null }
  | { readonly kind: 'cells'; readonly of: 'int32' | 'float64'; readonly length: number; readonly initial: number }
  /** A function that always says no. */
  | { readonly kind: 'never' }
  | { readonly kind: 'pairs'; readonly wide: boolean };

/** Of rows only the best by their first key are wanted, and what ties with the worst of them. */
export interface TopSpec {
  readonly bound: number;
  readonly column: number;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** Position among the own things of the cell where the kernel finds the worst key. */
  readonly cell: number;
}

export interface ColumnArrays { readonly data: Numbers; readonly nulls: Uint8Array | null }

/** What a thread's own things are at the end. */
export type OwnResult =
  | { readonly kind: 'groups'; readonly count: number; readonly capacity: number; readonly mask: number; readonly slots: Int32Array; readonly hashes: Int32Array; readonly columns: readonly ColumnArrays[] }
  /** `runs`: in threes, a morsel's number, its first row and the one behind its last. */
  | { readonly kind: 'rows'; readonly count: number; readonly columns: readonly ColumnArrays[]; readonly runs: readonly number[] }
  | { readonly kind: 'cells'; readonly array: Int32Array | Float64Array }
  | { readonly kind: 'never' }
  | { readonly kind: 'pairs'; readonly arrays: readonly (Int32Array | Float64Array)[]; readonly size: number };

/** Number of an array that is sent to each thread once; 0: none. */
export type ArrayId = number;

/** A view as KernelView has it, with only what the kernel reads. */
export interface TaskView {
  readonly source: number;
  readonly base: number;
  readonly data: readonly ArrayId[];
  /** Columns that are read by halves too. */
  readonly halves: readonly number[];
  readonly nulls: readonly ArrayId[];
  readonly refs: readonly ArrayId[];
  readonly lifted: readonly ArrayId[];
  readonly places: readonly number[];
  /** Only their lengths. */
  readonly dictionaries: readonly ({ readonly length: number } | null)[];
  readonly skip: ArrayId;
}

export interface KernelTask {
  readonly kind: 'run';
  readonly id: number;
  readonly sources: readonly string[];
  readonly views: readonly TaskView[];
  /** Those of the views' that the thread does not have yet. */
  readonly arrays: readonly (readonly [ArrayId, Numbers])[];
  readonly values: readonly Argument[];
  readonly own: readonly OwnSpec[];
  /** In threes: a view, its first row and the one behind its last. Threads take them in order. */
  readonly morsels: Int32Array;
  /** Shared by the task's threads: the next morsel, and whether to stop. */
  readonly control: Int32Array;
  /** Bytes that the thread's own things may take. */
  readonly memory: number;
}

export const CONTROL_NEXT = 0;
export const CONTROL_STOP = 1;
export const CONTROL_LENGTH = 2;

/** The arrays of these tasks' results are no longer read. */
export interface ReleaseTask { readonly kind: 'release'; readonly id: number }

/** Nobody will name these arrays any more. */
export interface ForgetArrays { readonly kind: 'forget'; readonly ids: readonly ArrayId[] }

export type KernelRequest = KernelTask | ReleaseTask | ForgetArrays;

export interface KernelAnswer {
  readonly id: number;
  /** null: it failed, or was stopped. */
  readonly own: readonly OwnResult[] | null;
  /** The data do not fit, or not the memory: the row operators take over. */
  readonly refused: boolean;
  readonly error: { readonly sqlstate: string; readonly message: string } | null;
  /** By source. */
  readonly speeds: readonly Speed[];
}

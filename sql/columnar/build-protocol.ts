/** What the thread that builds segments is told, and what it answers. */
import type { Lsn, StorageId, Xid } from '../../engine/ids.js';
import type { Datum } from '../types/datum.js';
import type { ColumnClass } from './column-class.js';
import type { PackedDictionary } from './dictionary.js';

export interface BuildWorkerData { readonly statePath: string }

/** How a column stands in rows: enough to read it, or to read past it. */
export interface RowColumn {
  /** Name of a born type; null: only its width counts. */
  readonly type: string | null;
  readonly width: number;
  readonly missing: Datum;
}

export interface WantedColumn {
  readonly attnum: number;
  readonly class: ColumnClass;
  /** Texts beyond which the column is left out. */
  readonly maxTexts: number;
}

export interface BuildRequest {
  readonly id: number;
  readonly storage: StorageId;
  readonly block: number;
  readonly s: Lsn;
  /** Transactions whose rows count as committed. */
  readonly own: readonly Xid[];
  readonly row: readonly RowColumn[];
  readonly wanted: readonly WantedColumn[];
}

export interface PackedColumn {
  readonly attnum: number;
  readonly class: ColumnClass;
  readonly data: Int32Array | Float64Array | Uint8Array | Uint16Array | Int16Array | BigInt64Array;
  readonly nulls: Uint8Array | null;
  readonly min: number;
  readonly max: number;
  readonly dictionary: PackedDictionary | null;
  readonly bytes: number;
}

export interface BuildAnswer {
  readonly id: number;
  /** Per slot: a row stands there, none does, or the row store must be asked (the marks of segment.ts). */
  readonly marks: Uint8Array;
  readonly slots: number;
  readonly columns: readonly PackedColumn[];
  /** Columns with a value that has no place in their class. */
  readonly refused: readonly number[];
  readonly error: string | null;
}

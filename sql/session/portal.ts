/** A statement bound to parameters and being run, maybe in pieces. */
import type { Snapshot } from '../../engine/storage.js';
import type { ResultColumn, RowSource } from '../executor/row-source.js';
import type { Datum } from '../types/datum.js';
import type { PreparedStatement } from './prepared.js';
import type { RowEncoder } from './row-encoder.js';

export interface Portal {
  readonly name: string;
  readonly statement: PreparedStatement;
  readonly params: readonly Datum[];
  /** An INSERT of several rows of constants: the parameters of all. */
  readonly rows: readonly Datum[] | null;
  /** Format codes as the client gave them. */
  readonly formats: readonly number[];
  /** Set when it was started. */
  source: RowSource | null;
  columns: readonly ResultColumn[] | null;
  encoder: RowEncoder | null;
  snapshot: Snapshot | null;
  /** Command tag once it has run to completion, from the number of rows. */
  tag: (rows: number) => string;
  rowsSent: number;
  finished: boolean;
  /** Made by DECLARE CURSOR. */
  readonly cursor: CursorOptions | null;
  /** Rows already read: SCROLL cursors and held ones go back over them. */
  buffer: Datum[][] | null;
  /** Cursor position in the buffer: rows before it have been fetched; 0 is before the first. */
  position: number;
  /** Microseconds since 2000-01-01. */
  readonly createdAt: number;
}

export interface CursorOptions {
  readonly scroll: boolean;
  readonly hold: boolean;
  readonly binary: boolean;
  /** The DECLARE statement's text, for pg_cursors. */
  readonly text: string;
}

export function closePortal(portal: Portal): void {
  portal.source?.close();
  portal.source = null;
  portal.snapshot?.release();
  portal.snapshot = null;
}

/** Where a session's answers go. The server writes them to the wire; tests collect them. */
import type { DatabaseError } from '../../engine/errors.js';
import type { ResultColumn } from '../executor/row-source.js';

/** Fields of one row, as the wire writer takes them. */
export interface RowWriter {
  beginRow(columns: number): void;
  textField(value: string): void;
  bytesField(value: Uint8Array): void;
  /** As bytesField, of bytes [start, end). */
  rangeField(bytes: Uint8Array, start: number, end: number): void;
  nullField(): void;
  endRow(): void;
  /** What was written so far. Until anything may leave, `undo` takes back what came since. */
  mark(): number;
  undo(mark: number): void;
}

export interface NoticeFields {
  readonly severity: 'DEBUG' | 'LOG' | 'INFO' | 'NOTICE' | 'WARNING';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** COPY ... FROM STDIN: chunks as the client sends them; null at CopyDone. Rejects on CopyFail. */
export interface CopyInStream {
  next(): Promise<Uint8Array | null>;
}

export interface Sink {
  rowDescription(columns: readonly ResultColumn[], formats: readonly number[]): void;
  readonly rows: RowWriter;
  commandComplete(tag: string): void;
  emptyQuery(): void;
  portalSuspended(): void;
  notice(notice: NoticeFields): void;
  error(error: DatabaseError): void;
  copyInResponse(binary: boolean, columns: number): CopyInStream;
  copyOutResponse(binary: boolean, columns: number): void;
  copyData(data: Uint8Array): void;
  /** As copyData, for much that nobody changes any more. */
  copyDataLent(data: Uint8Array): void;
  copyDone(): void;
  parameterStatus(name: string, value: string): void;
  notification(pid: number, channel: string, payload: string): void;
  /** Sends what was written outside of any statement; a promise while the client does not keep up. */
  flush(): Promise<void> | undefined;
  /** Nothing that was written and has not left, or is written from now on, leaves before `durable` resolves. A later call replaces it. */
  holdUntil(durable: Promise<void>): void;
  /** Resolves when the client has read enough for more to be sent; undefined: go on. */
  backPressure(): Promise<void> | undefined;
}

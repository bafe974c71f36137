/** The session's answers as protocol messages in the connection's buffer. */
import type { DatabaseError } from '../engine/errors.js';
import type { ResultColumn } from '../sql/executor/row-source.js';
import type { CopyInStream, NoticeFields, RowWriter, Sink } from '../sql/session/sink.js';
import * as backend from './wire/backend.js';
import type { WireWriter } from './wire/writer.js';

/** What the sink needs of its connection. */
export interface SinkTransport {
  /** Sends what is buffered when it is much; undefined: the client keeps up. */
  relieve(): Promise<void> | undefined;
  flush(): void;
  copyIn(): CopyInStream;
  holdUntil(durable: Promise<void>): void;
  typeLength(oid: number): number;
}

/** RowDescription messages by the columns they describe: a prepared statement's are the same each time. */
const descriptions = new WeakMap<readonly ResultColumn[], { readonly formats: readonly number[]; readonly bytes: Uint8Array }>();
const MAX_KEPT_COLUMNS = 100;

function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export class WireSink implements Sink {
  readonly rows: RowWriter;

  constructor(private readonly writer: WireWriter, private readonly transport: SinkTransport) {
    this.rows = {
      beginRow: (columns) => {
        writer.begin(backend.DATA_ROW);
        writer.int16(columns);
      },
      textField: (value) => writer.textField(value),
      bytesField: (value) => writer.bytesField(value),
      rangeField: (bytes, start, end) => writer.rangeField(bytes, start, end),
      nullField: () => writer.nullField(),
      endRow: () => writer.end(),
      mark: () => writer.mark(),
      undo: (mark) => writer.undo(mark),
    };
  }

  rowDescription(columns: readonly ResultColumn[], formats: readonly number[]): void {
    const known = descriptions.get(columns);
    if (known && sameNumbers(known.formats, formats)) {
      this.writer.bytes(known.bytes);
      return;
    }
    const bytes = backend.rowDescription(this.writer, columns, formats, (oid) => this.transport.typeLength(oid));
    if (columns.length < MAX_KEPT_COLUMNS) descriptions.set(columns, { formats: [...formats], bytes });
  }
  commandComplete(tag: string): void {
    backend.commandComplete(this.writer, tag);
  }
  emptyQuery(): void {
    backend.emptyQueryResponse(this.writer);
  }
  portalSuspended(): void {
    backend.portalSuspended(this.writer);
  }
  notice(notice: NoticeFields): void {
    backend.noticeResponse(this.writer, notice);
  }
  error(error: DatabaseError): void {
    backend.errorResponse(this.writer, error);
  }
  copyInResponse(binary: boolean, columns: number): CopyInStream {
    backend.copyResponse(this.writer, 'in', binary, columns);
    this.transport.flush();
    return this.transport.copyIn();
  }
  copyOutResponse(binary: boolean, columns: number): void {
    backend.copyResponse(this.writer, 'out', binary, columns);
  }
  copyData(data: Uint8Array): void {
    backend.copyData(this.writer, data);
  }
  copyDataLent(data: Uint8Array): void {
    backend.copyDataLent(this.writer, data);
  }
  copyDone(): void {
    backend.copyDone(this.writer);
  }
  parameterStatus(name: string, value: string): void {
    backend.parameterStatus(this.writer, name, value);
  }
  notification(pid: number, channel: string, payload: string): void {
    backend.notification(this.writer, pid, channel, payload);
  }
  flush(): Promise<void> | undefined {
    const slow = this.transport.relieve();
    this.transport.flush();
    return slow;
  }
  holdUntil(durable: Promise<void>): void {
    this.transport.holdUntil(durable);
  }
  backPressure(): Promise<void> | undefined {
    return this.transport.relieve();
  }
}

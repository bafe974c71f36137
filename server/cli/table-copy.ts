/** Rows of a table from one server to another by COPY, as fast as the slower one goes; over node-postgres. */
import type pg from 'pg';

interface Wire {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
  readonly stream: { pause(): void; resume(): void; writableNeedDrain: boolean; once(event: 'drain', listener: () => void): void };
}

/** What node-postgres calls on a query while it runs. */
class CopyQuery {
  wire: Wire | undefined;

  constructor(
    private readonly text: string,
    private readonly settle: (error: Error | undefined) => void,
    private readonly onData: (chunk: Buffer) => void = () => undefined,
    private readonly onReady: () => void = () => undefined,
  ) {}

  private failed = false;

  submit(connection: Wire): void {
    this.wire = connection;
    connection.query(this.text);
  }
  handleCopyInResponse(): void {
    this.onReady();
  }
  handleCopyData(message: { chunk: Buffer }): void {
    this.onData(message.chunk);
  }
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleError(error: Error): void {
    this.failed = true;
    this.settle(error);
  }
  handleReadyForQuery(): void {
    if (!this.failed) this.settle(undefined);
  }
}

/** `out` is a COPY ... TO STDOUT on `from`, `into` a COPY ... FROM STDIN on `to`. Returns the bytes copied. */
export async function copyBetween(from: pg.Client, out: string, to: pg.Client, into: string): Promise<number> {
  let bytes = 0;
  let ready: () => void = () => undefined;
  let refused: (error: Error) => void = () => undefined;
  const writable = new Promise<void>((resolve, reject) => {
    ready = resolve;
    refused = reject;
  });
  let writer: CopyQuery | undefined;
  const written = new Promise<void>((resolve, reject) => {
    writer = new CopyQuery(into, (error) => {
      if (!error) return resolve();
      refused(error);
      reject(error);
    }, undefined, ready);
    to.query(writer as unknown as pg.Submittable);
  });
  written.catch(() => undefined);
  await writable;
  const { wire } = writer!;
  try {
    await new Promise<void>((resolve, reject) => {
      const reader: CopyQuery = new CopyQuery(out, (error) => (error ? reject(error) : resolve()), (chunk) => {
        bytes += chunk.length;
        wire!.sendCopyFromChunk(Buffer.from(chunk));
        if (!wire!.stream.writableNeedDrain) return;
        const source = reader.wire!.stream;
        source.pause();
        wire!.stream.once('drain', () => source.resume());
      });
      from.query(reader as unknown as pg.Submittable);
    });
  } catch (error) {
    wire!.sendCopyFail('the source failed');
    await written.catch(() => undefined);
    throw error;
  }
  wire!.endCopyFrom();
  await written;
  return bytes;
}

/** A Sink that keeps a statement's answer as text. */
import type { DatabaseError } from '../../engine/errors.js';
import type { CopyInStream, RowWriter, Sink } from '../../sql/session/sink.js';

export interface Answer {
  readonly rows: readonly (readonly (string | null)[])[];
  readonly tag: string;
  readonly error: DatabaseError | undefined;
}

export class CollectingSink implements Sink {
  private collected: (string | null)[][] = [];
  private tag = '';
  private failed: DatabaseError | undefined;

  readonly rows: RowWriter = {
    beginRow: () => void this.collected.push([]),
    textField: (value) => void this.collected.at(-1)!.push(value),
    bytesField: (value) => void this.collected.at(-1)!.push(Buffer.from(value).toString()),
    rangeField: (bytes, start, end) => void this.collected.at(-1)!.push(Buffer.from(bytes.subarray(start, end)).toString()),
    nullField: () => void this.collected.at(-1)!.push(null),
    endRow: () => undefined,
    mark: () => this.collected.length,
    undo: (mark) => void (this.collected.length = mark),
  };

  take(): Answer {
    const answer = { rows: this.collected, tag: this.tag, error: this.failed };
    this.collected = [];
    this.tag = '';
    this.failed = undefined;
    return answer;
  }

  commandComplete(tag: string): void {
    this.tag = tag;
  }

  error(error: DatabaseError): void {
    this.failed = error;
  }

  rowDescription(): void {}
  emptyQuery(): void {}
  portalSuspended(): void {}
  notice(): void {}
  copyOutResponse(): void {}
  copyData(): void {}
  copyDataLent(): void {}
  copyDone(): void {}
  parameterStatus(): void {}
  notification(): void {}

  copyInResponse(): CopyInStream {
    throw new Error('the simulation copies nothing');
  }

  flush(): undefined {
    return undefined;
  }

  /** The answer is taken when the transaction has ended, which waits for what it saw. */
  holdUntil(): void {}

  backPressure(): undefined {
    return undefined;
  }
}

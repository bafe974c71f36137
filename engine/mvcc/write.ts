/** One write of a transaction, and later of the overlay: a version of a row, or an index entry. */
import type { CommandId, Lsn, RowId, StorageId, SubId, Xid } from '../ids.js';

export class RowWrite {
  readonly isRow = true;
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  /** Written to the log ahead of the commit (staging.ts). */
  streamed = false;
  /** In the overlay: the version above this one. */
  newer: RowWrite | undefined;
  constructor(
    readonly storage: StorageId,
    readonly rowId: RowId,
    /** undefined: the row was deleted. */
    readonly tuple: Uint8Array | undefined,
    readonly command: CommandId,
    readonly sub: SubId,
    /** The row did not exist before this transaction. */
    readonly born: boolean,
    public older: RowWrite | undefined,
  ) {}
}

export class IndexWrite {
  readonly isRow = false;
  lsn = 0 as Lsn;
  xid = 0 as Xid;
  streamed = false;
  newer: IndexWrite | undefined;
  constructor(
    readonly index: StorageId,
    /** key and row id, see entryKey. */
    readonly entry: Uint8Array,
    readonly rowId: RowId,
    /** undefined: the entry was deleted. */
    readonly payload: Uint8Array | undefined,
    readonly command: CommandId,
    readonly sub: SubId,
    /** The entry was not there before this transaction. */
    readonly born: boolean,
    public older: IndexWrite | undefined,
  ) {}

  /** The entry's first bytes are the key. */
  get keyLength(): number {
    return this.entry.length - 6;
  }

  get key(): Uint8Array {
    return this.entry.subarray(0, this.keyLength);
  }
}

export type Write = RowWrite | IndexWrite;

/** What a write costs in memory beside its bytes, roughly. */
export const WRITE_OVERHEAD = 200;

export function writeBytes(write: Write): number {
  return WRITE_OVERHEAD + (write.isRow ? (write.tuple?.length ?? 0) : write.entry.length + (write.payload?.length ?? 0));
}

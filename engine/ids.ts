/**
 * Branded identifiers. All are plain JS numbers below 2^48 (6 bytes on disk), never BigInt.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Position in the commit log: bytes of encoded log before the record. */
export type Lsn = Branded<'Lsn'>;
/** Transaction id, taken at the first write; 0 means none yet. */
export type Xid = Branded<'Xid'>;
/** Heap key of a row within its storage; appended, never reused. */
export type RowId = Branded<'RowId'>;
/** Physical storage of a relation or index. A rewrite or TRUNCATE makes a new one. */
export type StorageId = Branded<'StorageId'>;
/** Command counter within a transaction: a command sees the writes of earlier commands only. */
export type CommandId = Branded<'CommandId'>;
/** Subtransaction id within a transaction; 1 is the top level. */
export type SubId = Branded<'SubId'>;

export const MAX_ID = 2 ** 48 - 1;
export const NO_XID = 0 as Xid;

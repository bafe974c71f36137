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
/**
 * Storages in [2^46, 2^47) have fixed ids, made by the catalog from database and catalog table OIDs (so that a
 * start finds them without a directory): `allocateStorageId` never gives one of these.
 */
export const FIXED_STORAGE_START = 2 ** 46;
export const FIXED_STORAGE_END = 2 ** 47;
export const NO_XID = 0 as Xid;

/**
 * Ordered bytes: what the engine needs of a key-value store, and no more. One writer (the
 * applier), any number of readers. A store is a fixed list of keyspaces, opened once.
 *
 * Reads see one committed state, at least as new as the last `refresh()`; within one synchronous
 * stretch of code after it they all see the same. No iterator outlives a call: scans copy a chunk.
 */
export const KEYSPACES = ['meta', 'storages', 'heap', 'history', 'deleted', 'index', 'dead', 'values'] as const;
export type Keyspace = (typeof KEYSPACES)[number];

/** Those that hold most of the bytes. */
export type RowKeyspace = 'heap' | 'index';

export interface Capabilities {
  /** False for a remote store; the engine as it stands demands true. */
  readonly synchronous: boolean;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
}

/** Entries copied by a scan: parallel arrays, appended to. */
export interface Chunk {
  keys: Uint8Array[];
  values: Uint8Array[];
}

export interface KeyValueReader {
  /** The value's bytes: valid until the next call of this store unless copied. */
  get(space: Keyspace, key: Uint8Array): Uint8Array | undefined;
  /**
   * Appends at most `max` entries of [lower, upper), reversed if asked, as copies. Returns how many. `past`, for stores over others: when there are
   * fewer, the first entry at or behind `upper` is appended, too, and not counted (not reversed).
   */
  scan(space: Keyspace, lower: Uint8Array, upper: Uint8Array, reverse: boolean, max: number, into: Chunk, past?: boolean): number;
  /**
   * Appends copies of the values of at most `max` keys, of which each is the one before plus 1 in its last six bytes, as
   * long as there are such keys. Returns how many. Changes `key`. Cheaper than a scan where keys have no gaps.
   */
  run(space: RowKeyspace, key: Uint8Array, max: number, values: Uint8Array[]): number;
  /** The first entry at or behind `lower`, into `into`; false without one. Cheaper than a scan for one entry. */
  seek(space: Keyspace, lower: Uint8Array, into: Entry): boolean;
}

/**
 * An entry where it lies: key and value are ranges of bytes that are valid during the call. True: no more. `checked`: the value was found to be whole, and
 * has no check of its own.
 */
export interface EntryVisitor {
  (keys: Uint8Array, keyStart: number, keyEnd: number, values: Uint8Array, valueStart: number, valueEnd: number, checked?: boolean): boolean;
}

/** Reads many entries of one state. */
export interface Walker {
  /**
   * Calls back for the entries of [lower, upper) in order until the visitor wants no more; true: that was all. The visitor may read, but not walk. `trusts`: it
   * takes values as `checked`.
   */
  walk(space: Keyspace, lower: Uint8Array, upper: Uint8Array, visit: EntryVisitor, trusts?: boolean): boolean;
}

/** Row ids of a range's entries, and where others come among them. */
export interface IndexRows {
  /** With room for as many as are read at most. */
  rowIds: Float64Array;
  /** Entries (storage, key, row id) in the order of the scan that are not taken from the store, should they stand there, too. */
  stops: readonly Uint8Array[];
  /** How many of `rowIds` come before each stop. */
  readonly before: number[];
  /** Commit LSNs of transactions that wrote ahead, by the xid that their entries have as birth. */
  readonly fates: ReadonlyMap<number, number>;
}

/** One entry, as copies. */
export interface Entry {
  key: Uint8Array;
  value: Uint8Array;
}

/** Inside `write`: reads see the transaction's own writes. Keys and values are copied at once. */
export interface KeyValueWriter extends KeyValueReader {
  put(space: Keyspace, key: Uint8Array, value: Uint8Array): void;
  /** As put, for a key behind all others of the keyspace: cheaper. False, with nothing done, when it is not behind them. */
  append(space: RowKeyspace, key: Uint8Array, value: Uint8Array): boolean;
  delete(space: Keyspace, key: Uint8Array): boolean;
  /** Deletes about `max` entries (or more at once) of whole storages, [lower, upper); false: none was left. */
  clear(space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean;
  /**
   * Puts many entries of an index without payloads, given as a block of keys (engine/packed/block.ts), in one piece; the bytes are copied. Where this is missing they are
   * put one by one.
   */
  /** Puts a block of new rows (engine/packed/row-block.ts); false, with nothing done, when rows of their group stand in one. Where this is missing they are put one by one. */
  putRowBlock?(key: Uint8Array, value: Uint8Array): boolean;
  putPacked?(index: number, keys: Uint8Array, provisional: number, birth: number, stage: number): void;
}

/** Takes the entries of an empty store in order: keyspace after keyspace, each one's keys ascending. */
export interface Builder {
  begin(space: Keyspace): void;
  /** Key and value stand side by side in `bytes`. */
  add(bytes: Uint8Array, keyStart: number, valueStart: number, valueEnd: number): void;
}

/** A place among the entries of a keyspace, for short ranges: key and value are ranges of `bytes`, valid until it moves. */
export interface HeldCursor {
  readonly bytes: Uint8Array;
  /** Of the same bytes. */
  readonly view: DataView;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** The value is too long to lie here: only its length is known. */
  readonly elsewhere: boolean;
  /** To the first entry at or behind `key`; false: behind the last one. */
  seek(key: Uint8Array): boolean;
  next(): boolean;
  previous(): boolean;
}

export interface KeyValueStore extends KeyValueReader {
  readonly capabilities: Capabilities;
  /** Told of stored values that do not match the store's own check, which then count as absent; unset, reading one raises XX001. */
  onDamage?: ((space: Keyspace, key: Uint8Array) => void) | undefined;
  /** From here on reads see everything committed so far, by whichever thread. */
  refresh(): void;
  /**
   * Runs `action` on the newest state, with a walker that costs a fraction of a scan per entry. Every other read within `action`
   * sees the same state, unless it calls `refresh`. Not inside `write`.
   */
  bulk<T>(action: (walker: Walker) => T): T;
  /**
   * A cursor over a keyspace's stored entries in one state, at least as new as the last `refresh` and let go by the next. The same one each time. Undefined where there
   * is no such way.
   */
  held?(space: RowKeyspace): HeldCursor | undefined;
  /** Of stores with entries in blocks: see engine/packed/index-rows.ts. */
  indexRows?(lower: Uint8Array, upper: Uint8Array, reverse: boolean, s: number, max: number, into: IndexRows): number;
  /**
   * Fills heap, index and values of a store that is empty and that nobody else has open, durably and several times as fast as `write`. False, with nothing
   * done, when that is not so, when there is no such way, or when the entries did not come in order: then they have to be put.
   */
  fill?(action: (builder: Builder) => Promise<void>): Promise<boolean>;
  /** One atomic transaction. It is visible when this returns and durable after `sync`. An exception undoes it. */
  write(action: (writer: KeyValueWriter) => void): void;
  /** Resolves when everything written before the call survives a power cut. */
  sync(): Promise<void>;
  /** Entries in a keyspace. */
  entryCount(space: Keyspace): number;
  /** Bytes on disk (or about so in memory). */
  byteSize(): number;
  close(): void;
}

/** `clear` for stores that have no quicker way. */
export function clearByScan(writer: KeyValueWriter, space: Keyspace, lower: Uint8Array, upper: Uint8Array, max: number): boolean {
  const chunk: Chunk = { keys: [], values: [] };
  if (writer.scan(space, lower, upper, false, max, chunk) === 0) return false;
  for (const key of chunk.keys) writer.delete(space, key);
  return true;
}

/** Adds 1 to the number in a key's last six bytes. */
export function nextKey(key: Uint8Array): void {
  for (let i = key.length - 1; i >= key.length - 6; i--) {
    key[i] = (key[i]! + 1) & 0xff;
    if (key[i] !== 0) return;
  }
}

/**
 * The whole state, looked at: every value against its checksum and key, keys in strictly ascending
 * order, rows counted and their hashes summed per storage and compared with what the applier keeps,
 * and each chunk of every large value that a row refers to. It is how a page that LMDB lost or gives
 * twice is found, because LMDB itself has no checksums.
 *
 * (That each index has an entry for each row that it should, and no other, is sql's to judge: it
 * takes the index definitions.)
 */
import { compareBytes, readUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { ROW_HEADER, VALUE_HEADER, addHash, hasLarge, hashRow, largeIds } from '../mvcc/row-format.js';
import { StorageInfo } from '../mvcc/storage-info.js';
import { readEntries } from './entries.js';
import { SCAN_START, StateScan } from './state-scan.js';
import type { ScanCursor, ScanPart } from './state-scan.js';

export interface Findings {
  readonly lsn: Lsn;
  readonly rows: number;
  readonly indexEntries: number;
  readonly valueChunks: number;
  readonly storages: number;
  /** What is wrong, in words; empty: nothing was found. */
  readonly problems: readonly string[];
}

export interface WalkInput {
  readonly s: Lsn;
  readonly dropped: readonly StorageId[];
  /** The applier's records as of `s`. */
  readonly storages: readonly { readonly id: StorageId; readonly record: Uint8Array }[];
}

const PART_BYTES = 1 << 20;
const MAX_PROBLEMS = 50;

/** Walks the state as of `s` in short reads, calling `rest` between them. */
export async function walkState(kv: KeyValueStore, { s, dropped, storages }: WalkInput, rest: () => Promise<void>): Promise<Findings> {
  const walk = new Walk();
  const scan = new StateScan(kv, s, new Set(dropped));
  let cursor: ScanCursor | undefined = SCAN_START;
  while (cursor) {
    const { space } = cursor;
    try {
      const part: ScanPart = scan.read(cursor, PART_BYTES);
      walk.entries(part.bytes);
      cursor = part.next;
    } catch (error) {
      walk.problem(`${(error as Error).message}${(error as { detail?: string }).detail ? ` (${(error as { detail?: string }).detail})` : ''}`);
      // What lies behind a damaged value in this space cannot be judged: go on with the next.
      cursor = space === 'heap' ? { space: 'index', key: Uint8Array.of(0) } : space === 'index' ? { space: 'values', key: Uint8Array.of(0) } : undefined;
      walk.incomplete = true;
    }
    await rest();
  }
  walk.compare(storages);
  return walk.findings(s, storages.length);
}

export class Walk {
  private readonly sums = new Map<StorageId, { count: number; bytes: number; hash: Uint32Array }>();
  private readonly referred = new Map<string, number>();
  private readonly problems: string[] = [];
  private readonly hash = new Uint32Array(4);
  private lastKey: Uint8Array = new Uint8Array(0);
  private lastSpace = '';
  private rows = 0;
  private indexEntries = 0;
  private valueChunks = 0;
  /** Part of the state could not be read: sums then say nothing. */
  incomplete = false;

  problem(text: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text);
  }

  entries(bytes: Uint8Array): void {
    readEntries(bytes, 0, (space, key, value) => {
      if (space === this.lastSpace && compareBytes(this.lastKey, key) >= 0) this.problem(`keys of ${space} are out of order at ${Buffer.from(key).toString('hex')}`);
      this.lastSpace = space;
      this.lastKey = key;
      if (space === 'heap') this.row(key, value!);
      else if (space === 'index') this.indexEntries++;
      else this.chunk(key, value!);
    });
    this.lastKey = this.lastKey.slice();
  }

  private row(key: Uint8Array, value: Uint8Array): void {
    this.rows++;
    const storage = readUint48(key, 0) as StorageId;
    let sum = this.sums.get(storage);
    if (!sum) this.sums.set(storage, (sum = { count: 0, bytes: 0, hash: new Uint32Array(4) }));
    const tuple = value.subarray(ROW_HEADER);
    sum.count++;
    sum.bytes += tuple.length;
    hashRow(this.hash, readUint48(key, 6) as RowId, tuple);
    addHash(sum.hash, this.hash, 1);
    if (hasLarge(tuple)) for (const id of largeIds(tuple)) this.referred.set(`${storage}/${id}`, 0);
  }

  private chunk(key: Uint8Array, value: Uint8Array): void {
    this.valueChunks++;
    const name = `${readUint48(key, 0)}/${readUint48(key, 6)}`;
    const seen = this.referred.get(name);
    if (seen === undefined) return;
    const number = key[12]! * 0x1000000 + ((key[13]! << 16) | (key[14]! << 8) | key[15]!);
    if (number !== seen) this.problem(`large value ${name} lacks chunk ${seen}`);
    this.referred.set(name, value.length < VALUE_HEADER ? seen : number + 1);
  }

  /** Against the records that the applier keeps per storage. */
  compare(storages: readonly { readonly id: StorageId; readonly record: Uint8Array }[]): void {
    for (const [name, chunks] of this.referred) if (chunks === 0) this.problem(`large value ${name} is missing`);
    if (this.incomplete) return;
    const known = new Set<StorageId>();
    for (const { id, record } of storages) {
      const info = StorageInfo.decode(id, record);
      known.add(id);
      const sum = this.sums.get(id);
      const count = sum?.count ?? 0;
      if (count !== info.count) this.problem(`storage ${id} has ${count} rows, but ${info.count} were counted`);
      else if (sum ? sum.hash.some((word, i) => word !== info.hash[i]) : info.hash.some((word) => word !== 0)) this.problem(`storage ${id} has ${count} rows whose hash sum is not the one kept`);
    }
    for (const id of this.sums.keys()) if (!known.has(id)) this.problem(`storage ${id} has rows but is not known`);
  }

  findings(lsn: Lsn, storages: number): Findings {
    return { lsn, rows: this.rows, indexEntries: this.indexEntries, valueChunks: this.valueChunks, storages, problems: this.problems };
  }
}

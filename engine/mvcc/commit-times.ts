/**
 * When each commit was: what turns a moment into an LSN. The applier adds one entry to meta per slice of
 * log that it applies; the collector removes what lies behind the horizon.
 *
 *     "c" u48 micros >> 24, u48 micros & 0xffffff   of the first commit in the entry
 *         -> f64 micros, u48 LSN per commit, in the log's order (times never go back)
 */
import type { Lsn } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { Chunk, KeyValueReader, KeyValueWriter } from '../kv/key-value-store.js';

const LETTER = 'c'.charCodeAt(0);
const ENTRY = 14;
/** Commits per entry: one look-up reads one entry. */
const ENTRY_COMMITS = 4096;

export interface CommitTime {
  readonly lsn: Lsn;
  /** Wall clock microseconds since the Unix epoch. */
  readonly micros: number;
}

function timeKey(micros: number): Uint8Array {
  const key = new Uint8Array(13);
  key[0] = LETTER;
  writeUint48(key, 1, Math.floor(micros / 2 ** 24));
  writeUint48(key, 7, micros % 2 ** 24);
  return key;
}

const FIRST = Uint8Array.of(LETTER);
const END = Uint8Array.of(LETTER + 1);

export class CommitTimes {
  private readonly micros: number[] = [];
  private readonly lsns: Lsn[] = [];

  note(micros: number, lsn: Lsn): void {
    this.micros.push(micros);
    this.lsns.push(lsn);
  }

  clear(): void {
    this.micros.length = 0;
    this.lsns.length = 0;
  }

  /** Writes what was noted since the last call. */
  flush(writer: KeyValueWriter): void {
    for (let from = 0; from < this.lsns.length; from += ENTRY_COMMITS) this.put(writer, from, Math.min(from + ENTRY_COMMITS, this.lsns.length));
    this.clear();
  }

  private put(writer: KeyValueWriter, from: number, to: number): void {
    const key = timeKey(this.micros[from]!);
    // The entry before may have begun in the same microsecond.
    const before = writer.get('meta', key)?.slice();
    const start = before?.length ?? 0;
    const value = new Uint8Array(start + (to - from) * ENTRY);
    if (before) value.set(before);
    const view = new DataView(value.buffer);
    for (let i = from, at = start; i < to; i++, at += ENTRY) {
      view.setFloat64(at, this.micros[i]!);
      writeUint48(value, at + 8, this.lsns[i]!);
    }
    writer.put('meta', key, value);
  }
}

/** The last commit at or before `micros` that the state knows of. */
export function lastCommitAt(kv: KeyValueReader, micros: number): CommitTime | undefined {
  const chunk: Chunk = { keys: [], values: [] };
  const key = timeKey(micros);
  // The upper bound of a scan is exclusive.
  kv.scan('meta', FIRST, Uint8Array.from([...key, 0]), true, 1, chunk);
  const [value] = chunk.values;
  if (!value) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  let low = 0;
  let high = value.length / ENTRY - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (view.getFloat64(middle * ENTRY) <= micros) low = middle;
    else high = middle - 1;
  }
  return { micros: view.getFloat64(low * ENTRY), lsn: readUint48(value, low * ENTRY + 8) as Lsn };
}

/** The last commit at or before `lsn` and the first one after it, as far as the state knows. */
export function commitsAround(kv: KeyValueReader, lsn: Lsn): { before: CommitTime | undefined; after: CommitTime | undefined } {
  const chunk: Chunk = { keys: [], values: [] };
  let before: CommitTime | undefined;
  for (let from = FIRST; ; from = Uint8Array.from([...chunk.keys[chunk.keys.length - 1]!, 0])) {
    chunk.keys.length = 0;
    chunk.values.length = 0;
    if (kv.scan('meta', from, END, false, 8, chunk) === 0) return { before, after: undefined };
    for (const value of chunk.values) {
      const view = new DataView(value.buffer, value.byteOffset, value.length);
      for (let at = 0; at < value.length; at += ENTRY) {
        const commit = { micros: view.getFloat64(at), lsn: readUint48(value, at + 8) as Lsn };
        if (commit.lsn > lsn) return { before, after: commit };
        before = commit;
      }
    }
  }
}

/** Entries that no moment at or after the horizon needs: all before the one that holds the last commit at or before it. At most `max`. */
export function outdatedTimes(kv: KeyValueReader, horizon: Lsn, max: number): Uint8Array[] {
  const chunk: Chunk = { keys: [], values: [] };
  kv.scan('meta', FIRST, END, false, max + 1, chunk);
  let outdated = 0;
  while (outdated + 1 < chunk.keys.length && readUint48(chunk.values[outdated + 1]!, 8) <= horizon) outdated++;
  return chunk.keys.slice(0, outdated);
}

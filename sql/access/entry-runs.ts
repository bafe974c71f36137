/**
 * Index entries in order, however many: a sorter's at once, or several sorted runs that are merged as they are read. A run that waits
 * for others is kept as bytes, a third of what its sorter takes.
 *
 *     add ... add --RUN_BYTES--> sort --> run --+
 *     add ... add ------------->  sort --> run --+--> cursor: one order
 *     add ... ------------------> sort ----------+
 */
import type { KeyCursor, SortedKeys } from '../../engine/storage.js';
import { EntrySorter } from './entry-sort.js';

/** Entries are sorted in runs of at most so many bytes. */
const RUN_BYTES = 256 << 20;
const PIECE_BYTES = 1 << 20;
const HEAD = 10;
/** Entries between two marks of a kept run. */
const MARK_EVERY = 32;
/** Entries copied between two looks at the clock. */
const ENTRIES_PER_LOOK = 512;

/** Gathers entries; `finish` gives them in order. */
export class EntryRuns {
  private sorter = new EntrySorter();
  private readonly kept: KeptRun[] = [];
  private keptBytes = 0;
  private keptEntries = 0;

  /** `turn`: gives others one when it is time. */
  constructor(private readonly turn: () => Promise<void> | undefined, private readonly runBytes = RUN_BYTES) {}

  get length(): number {
    return this.keptEntries + this.sorter.length;
  }

  /** Memory in use. */
  get byteLength(): number {
    return this.keptBytes + this.sorter.byteLength;
  }

  /** See EntrySorter.add. */
  add(key: Uint8Array, length: number, rowId: number, payload: Uint8Array): boolean {
    return this.sorter.add(key, length, rowId, payload);
  }

  /** A run is full: `keep` it before there is more. */
  get full(): boolean {
    return this.sorter.byteLength > this.runBytes;
  }

  async keep(): Promise<void> {
    const run = new KeptRun();
    const from = (await this.sorted()).cursor();
    this.sorter = new EntrySorter();
    for (let n = 1; from.next(); n++) {
      run.add(from);
      if (n % ENTRIES_PER_LOOK !== 0) continue;
      const turn = this.turn();
      if (turn) await turn;
    }
    this.kept.push(run);
    this.keptBytes += run.byteLength;
    this.keptEntries += run.count;
  }

  private async sorted(): Promise<SortedRun> {
    const { sorter } = this;
    const order = new Uint32Array(sorter.length);
    for (const steps = sorter.sort(order); !steps.next().done; ) {
      const turn = this.turn();
      if (turn) await turn;
    }
    return new SortedRun(sorter, order);
  }

  async finish(): Promise<SortedKeys> {
    const last = await this.sorted();
    return this.kept.length === 0 ? last : new MergedRuns([...this.kept, last]);
  }
}

/** What a sorter has, in its order. */
class SortedRun implements SortedKeys {
  constructor(private readonly sorter: EntrySorter, private readonly order: Uint32Array) {}

  has(key: Uint8Array): boolean {
    const at = this.sorter.lowerBound(this.order, key);
    return at < this.order.length && this.sorter.compareKey(this.order[at]!, key) === 0;
  }

  cursor(): KeyCursor {
    return new SorterCursor(this.sorter, this.order);
  }
}

class SorterCursor implements KeyCursor {
  bytes: Uint8Array = EMPTY;
  start = 0;
  length = 0;
  payloadLength = 0;
  rowId = 0;
  private at = 0;

  constructor(private readonly sorter: EntrySorter, private readonly order: Uint32Array) {}

  next(): boolean {
    if (this.at === this.order.length) return false;
    this.sorter.read(this.order[this.at++]!, this);
    return true;
  }
}

/** A sorted run: u16 key length, u16 payload length, u48 row id, key, payload, one after the other in pieces. */
class KeptRun implements SortedKeys {
  readonly pieces: Uint8Array[] = [];
  /** Where each piece ends. */
  readonly ends: number[] = [];
  /** Every so many entries: piece and place. */
  private readonly marks: number[] = [];
  private used = 0;
  count = 0;
  byteLength = 0;

  add(entry: KeyCursor): void {
    const size = HEAD + entry.length + entry.payloadLength;
    let piece = this.pieces.at(-1);
    if (!piece || this.used + size > piece.length) {
      piece = new Uint8Array(Math.max(PIECE_BYTES, size));
      this.pieces.push(piece);
      this.ends.push(0);
      this.byteLength += piece.length;
      this.used = 0;
    }
    if (this.count++ % MARK_EVERY === 0) this.marks.push(this.pieces.length - 1, this.used);
    let at = this.used;
    piece[at++] = entry.length >>> 8;
    piece[at++] = entry.length;
    piece[at++] = entry.payloadLength >>> 8;
    piece[at++] = entry.payloadLength;
    let high = Math.floor(entry.rowId / 0x100000000);
    const low = entry.rowId >>> 0;
    piece[at++] = high >>> 8;
    piece[at++] = high;
    high = low;
    piece[at++] = high >>> 24;
    piece[at++] = high >>> 16;
    piece[at++] = high >>> 8;
    piece[at++] = high;
    const { bytes, start } = entry;
    for (let i = start, end = start + entry.length + entry.payloadLength; i < end; i++) piece[at++] = bytes[i]!;
    this.used = this.ends[this.ends.length - 1] = at;
  }

  cursor(): KeptCursor {
    return new KeptCursor(this, 0, 0);
  }

  has(key: Uint8Array): boolean {
    const { marks } = this;
    let low = 0;
    let high = marks.length / 2;
    // The last mark whose key is not behind the one sought.
    while (low < high) {
      const middle = (low + high) >>> 1;
      const cursor = new KeptCursor(this, marks[2 * middle]!, marks[2 * middle + 1]!);
      cursor.next();
      if (compareTo(cursor, key, 0, key.length) <= 0) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return false;
    // Equal keys may begin before the mark found.
    const cursor = new KeptCursor(this, marks[2 * low - 2]!, marks[2 * low - 1]!);
    while (cursor.next()) {
      const order = compareTo(cursor, key, 0, key.length);
      if (order === 0) return true;
      if (order > 0) return false;
    }
    return false;
  }
}

class KeptCursor implements KeyCursor {
  bytes: Uint8Array;
  start = 0;
  length = 0;
  payloadLength = 0;
  rowId = 0;

  constructor(private readonly run: KeptRun, private piece: number, private at: number) {
    this.bytes = run.pieces[piece] ?? EMPTY;
  }

  next(): boolean {
    const { run } = this;
    while (this.piece < run.pieces.length && this.at === run.ends[this.piece]) {
      this.bytes = run.pieces[++this.piece] ?? EMPTY;
      this.at = 0;
    }
    if (this.piece >= run.pieces.length) return false;
    const { bytes, at } = this;
    this.length = (bytes[at]! << 8) | bytes[at + 1]!;
    this.payloadLength = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    this.rowId = ((bytes[at + 4]! << 8) | bytes[at + 5]!) * 0x100000000 + (((bytes[at + 6]! << 24) | (bytes[at + 7]! << 16) | (bytes[at + 8]! << 8) | bytes[at + 9]!) >>> 0);
    this.start = at + HEAD;
    this.at = this.start + this.length + this.payloadLength;
    return true;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

/** The cursor's key against `length` bytes of `key`. */
function compareTo(cursor: KeyCursor, key: Uint8Array, start: number, length: number): number {
  const { bytes, start: own } = cursor;
  const common = Math.min(cursor.length, length);
  for (let i = 0; i < common; i++) {
    const difference = bytes[own + i]! - key[start + i]!;
    if (difference !== 0) return difference;
  }
  return cursor.length - length;
}

/** Several runs, of which a later one has the later rows. */
class MergedRuns implements SortedKeys {
  constructor(private readonly runs: readonly SortedKeys[]) {}

  has(key: Uint8Array): boolean {
    return this.runs.some((run) => run.has(key));
  }

  cursor(): KeyCursor {
    return new MergingCursor(this.runs.map((run) => run.cursor()));
  }
}

class MergingCursor implements KeyCursor {
  bytes: Uint8Array = EMPTY;
  start = 0;
  length = 0;
  payloadLength = 0;
  rowId = 0;
  private sources: KeyCursor[];
  /** Whose entry was given last. */
  private current: KeyCursor | undefined;

  constructor(sources: KeyCursor[]) {
    this.sources = sources.filter((source) => source.next());
  }

  next(): boolean {
    if (this.current && !this.current.next()) this.sources = this.sources.filter((source) => source !== this.current);
    const { sources } = this;
    let least = sources[0];
    if (!least) return false;
    // Of equal keys the earlier run's first.
    for (let i = 1; i < sources.length; i++) if (compareTo(sources[i]!, least.bytes, least.start, least.length) < 0) least = sources[i]!;
    this.current = least;
    this.bytes = least.bytes;
    this.start = least.start;
    this.length = least.length;
    this.payloadLength = least.payloadLength;
    this.rowId = least.rowId;
    return true;
  }
}

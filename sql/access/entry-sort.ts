/**
 * Index entries gathered and put in key order, in typed arrays outside the heap: a radix sort, eight bytes of the keys at a
 * time behind what all of them share. Keys that come in order already are not sorted. It works in steps, so that whoever
 * drives it can let others in between; for the same reason what is gathered stands in pieces: nothing is ever copied to grow.
 */

/** Entries between two steps. */
const STEP = 1 << 14;
/** Fewer than so many entries with the same eight bytes are compared key by key. */
const SMALL = 24;
/** Bytes of keys and payloads in one piece; no entry lies in two. */
const PIECE_BITS = 20;
const PIECE = 1 << PIECE_BITS;
const IN_PIECE = PIECE - 1;
/** Entries in one part. */
const PART_BITS = 16;
const PART = 1 << PART_BITS;
const IN_PART = PART - 1;

/** So many entries that came one after the other. */
class Part {
  /** Place of the key: number of the piece and place in it. */
  readonly starts = new Uint32Array(PART);
  readonly keyLengths = new Uint16Array(PART);
  readonly payloadLengths = new Uint16Array(PART);
  readonly rowIds = new Float64Array(PART);
}

/** One entry, where it stands. */
export interface SortedEntry {
  bytes: Uint8Array;
  start: number;
  /** Of the key. */
  length: number;
  /** Behind the key. */
  payloadLength: number;
  rowId: number;
}

export class EntrySorter {
  private readonly pieces: Uint8Array[] = [];
  /** Bytes taken in the last piece. */
  private used = PIECE;
  private readonly parts: Part[] = [];
  length = 0;
  /** The first entry's bytes that all others begin with. */
  private shared = 0;
  private ascending = true;
  private longest = 0;
  private shortest = 0xffff;

  /** Adds an entry; its key is the first `length` bytes of `key`. Payloads of 64 kB and more do not fit: false. */
  add(key: Uint8Array, length: number, rowId: number, payload: Uint8Array): boolean {
    if (payload.length > 0xffff) return false;
    if (this.used + length + payload.length > PIECE) {
      this.pieces.push(new Uint8Array(PIECE));
      this.used = 0;
    }
    const n = this.length;
    if ((n & IN_PART) === 0) this.parts.push(new Part());
    const piece = this.pieces.length - 1;
    const bytes = this.pieces[piece]!;
    const at = this.used;
    for (let i = 0; i < length; i++) bytes[at + i] = key[i]!;
    if (payload.length > 0) bytes.set(payload, at + length);
    if (n === 0) this.shared = length;
    else {
      const { shared } = this;
      const first = this.pieces[0]!;
      let i = 0;
      while (i < shared && i < length && bytes[at + i] === first[i]) i++;
      this.shared = i;
      if (this.ascending) this.ascending = this.compareTo(n - 1, bytes, at, length) <= 0;
    }
    if (length > this.longest) this.longest = length;
    if (length < this.shortest) this.shortest = length;
    const part = this.parts[n >>> PART_BITS]!;
    const i = n & IN_PART;
    part.starts[i] = piece * PIECE + at;
    part.keyLengths[i] = length;
    part.payloadLengths[i] = payload.length;
    part.rowIds[i] = rowId;
    this.used = at + length + payload.length;
    this.length = n + 1;
    return true;
  }

  /** `into` says where the entry stands; its bytes are not copied. */
  read(entry: number, into: SortedEntry): void {
    const part = this.parts[entry >>> PART_BITS]!;
    const i = entry & IN_PART;
    const start = part.starts[i]!;
    into.bytes = this.pieces[start >>> PIECE_BITS]!;
    into.start = start & IN_PIECE;
    into.length = part.keyLengths[i]!;
    into.payloadLength = part.payloadLengths[i]!;
    into.rowId = part.rowIds[i]!;
  }

  get byteLength(): number {
    return this.pieces.length * PIECE + this.length * 34;
  }

  private keyLength(entry: number): number {
    return this.parts[entry >>> PART_BITS]!.keyLengths[entry & IN_PART]!;
  }

  /** Entry `entry`'s key against `length` bytes at `at`. */
  private compareTo(entry: number, other: Uint8Array, at: number, length: number): number {
    const part = this.parts[entry >>> PART_BITS]!;
    const place = part.starts[entry & IN_PART]!;
    const own = part.keyLengths[entry & IN_PART]!;
    const bytes = this.pieces[place >>> PIECE_BITS]!;
    const start = place & IN_PIECE;
    const common = own < length ? own : length;
    for (let i = 0; i < common; i++) {
      const difference = bytes[start + i]! - other[at + i]!;
      if (difference !== 0) return difference;
    }
    return own - length;
  }

  private compare(a: number, b: number): number {
    const place = this.parts[b >>> PART_BITS]!.starts[b & IN_PART]!;
    return this.compareTo(a, this.pieces[place >>> PIECE_BITS]!, place & IN_PIECE, this.keyLength(b));
  }

  /** The first of the positions in `order`, which is sorted, whose key is at or behind `key`. */
  lowerBound(order: Uint32Array, key: Uint8Array): number {
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compareKey(order[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Entry `entry`'s key against `key`. */
  compareKey(entry: number, key: Uint8Array): number {
    return this.compareTo(entry, key, 0, key.length);
  }

  /** Puts the positions of all entries into `order` in key order, equal keys as they were added. Yields now and then. */
  *sort(order: Uint32Array): Generator<void> {
    yield* count(order, this.length);
    if (!this.ascending && this.length > 1) yield* this.sortRange(order, 0, this.length, this.shared);
  }

  /** Orders positions [from, to), whose keys agree in their first `depth` bytes. */
  private *sortRange(order: Uint32Array, from: number, to: number, depth: number): Generator<void> {
    const size = to - from;
    const high = new Uint32Array(size);
    const low = new Uint32Array(size);
    const { parts, pieces } = this;
    let highVaries = 0;
    let lowVaries = 0;
    for (let i = 0; i < size; i++) {
      const entry = order[from + i]!;
      const part = parts[entry >>> PART_BITS]!;
      const place = part.starts[entry & IN_PART]!;
      const bytes = pieces[place >>> PIECE_BITS]!;
      const start = (place & IN_PIECE) + depth;
      const left = part.keyLengths[entry & IN_PART]! - depth;
      high[i] = word(bytes, start, left);
      low[i] = left > 4 ? word(bytes, start + 4, left - 4) : 0;
      highVaries |= high[i]! ^ high[0]!;
      lowVaries |= low[i]! ^ low[0]!;
      if ((i & (STEP - 1)) === STEP - 1) yield;
    }
    let places: Uint32Array<ArrayBufferLike> = new Uint32Array(size);
    let other: Uint32Array<ArrayBufferLike> = new Uint32Array(size);
    yield* count(places, size);
    const digitBits = size > 1 << 17 ? 16 : 8;
    for (let shift = 0; shift < 64; shift += digitBits) {
      const words = shift < 32 ? low : high;
      const mask = (1 << digitBits) - 1;
      const varies = shift < 32 ? lowVaries : highVaries;
      if (((varies >>> (shift & 31)) & mask) === 0) continue;
      yield* scatter(words, shift & 31, mask, places, other);
      [places, other] = [other, places];
    }
    for (let i = 0; i < size; i++) {
      other[i] = order[from + places[i]!]!;
      if ((i & (STEP - 1)) === STEP - 1) yield;
    }
    for (let i = 0; i < size; i += 16 * STEP) {
      order.set(other.subarray(i, Math.min(size, i + 16 * STEP)), from + i);
      yield;
    }
    if (this.longest <= depth + 8 && this.longest === this.shortest) return;
    yield* this.sortEqual(order, from, places, high, low, depth);
  }

  /** Entries whose eight bytes are equal, by what follows. */
  private *sortEqual(order: Uint32Array, from: number, places: Uint32Array, high: Uint32Array, low: Uint32Array, depth: number): Generator<void> {
    const size = places.length;
    let looked = 0;
    for (let first = 0; first < size; ) {
      let next = first + 1;
      while (next < size && high[places[next]!] === high[places[first]!] && low[places[next]!] === low[places[first]!]) {
        next++;
        if ((next & (STEP - 1)) === 0) yield;
      }
      const equal = next - first;
      if (equal > SMALL && (yield* this.anyLonger(order, from + first, from + next, depth + 8))) yield* this.sortRange(order, from + first, from + next, depth + 8);
      else if (equal > 1 && equal <= SMALL) order.subarray(from + first, from + next).sort((a, b) => this.compare(a, b) || a - b);
      else if (equal > 1) yield* this.sortByLength(order, from + first, from + next);
      first = next;
      looked += equal > 1 ? 8 * Math.min(equal, SMALL) : 1;
      if (looked < STEP) continue;
      looked = 0;
      yield;
    }
  }

  /** What is left of many keys that agree but for zero bytes at their ends. */
  private *sortByLength(order: Uint32Array, from: number, to: number): Generator<void> {
    // The usual case, the same key again and again, is in order: the radix sort is stable.
    let ordered = true;
    for (let i = from + 1; i < to && ordered; i++) {
      ordered = this.keyLength(order[i - 1]!) <= this.keyLength(order[i]!);
      if ((i & (STEP - 1)) === 0) yield;
    }
    if (!ordered) order.subarray(from, to).sort((a, b) => this.keyLength(a) - this.keyLength(b) || a - b);
  }

  private *anyLonger(order: Uint32Array, from: number, to: number, depth: number): Generator<void, boolean> {
    for (let i = from; i < to; i++) {
      if (this.keyLength(order[i]!) > depth) return true;
      if ((i & (STEP - 1)) === 0) yield;
    }
    return false;
  }
}

/** 0, 1, 2 and so on. */
function* count(into: Uint32Array, length: number): Generator<void> {
  for (let i = 0; i < length; i++) {
    into[i] = i;
    if ((i & (8 * STEP - 1)) === 8 * STEP - 1) yield;
  }
}

/** Four bytes, most significant first; zeros behind the end of the key. */
function word(bytes: Uint8Array, at: number, left: number): number {
  if (left >= 4) return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  let value = 0;
  for (let i = 0; i < 4; i++) value = (value << 8) | (i < left ? bytes[at + i]! : 0);
  return value >>> 0;
}

/** One pass of a radix sort: `from` to `into`, by a digit of `words`; stable. */
function* scatter(words: Uint32Array, shift: number, mask: number, from: Uint32Array, into: Uint32Array): Generator<void> {
  const counts = new Uint32Array(mask + 2);
  for (let i = 0; i < words.length; i++) {
    counts[((words[i]! >>> shift) & mask) + 1]!++;
    if ((i & (4 * STEP - 1)) === 4 * STEP - 1) yield;
  }
  for (let digit = 1; digit <= mask; digit++) counts[digit]! += counts[digit - 1]!;
  yield;
  for (let i = 0; i < from.length; i++) {
    const place = from[i]!;
    into[counts[(words[place]! >>> shift) & mask]!++] = place;
    if ((i & (STEP - 1)) === STEP - 1) yield;
  }
}

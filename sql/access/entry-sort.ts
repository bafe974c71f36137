/**
 * Index entries gathered and put in key order, in typed arrays outside the heap: a radix sort, eight bytes of the keys at a
 * time behind what all of them share. Keys that come in order already are not sorted. It works in steps, so that whoever
 * drives it can let others in between.
 */

/** Entries between two steps. */
const STEP = 1 << 15;
/** Fewer than so many entries with the same eight bytes are compared key by key. */
const SMALL = 24;

export class EntrySorter {
  /** Key and payload of each entry, one after the other. */
  bytes = new Uint8Array(1 << 20);
  private used = 0;
  length = 0;
  starts = new Float64Array(1 << 14);
  keyLengths = new Uint16Array(1 << 14);
  payloadLengths = new Uint16Array(1 << 14);
  rowIds = new Float64Array(1 << 14);
  /** The first entry's bytes that all others begin with. */
  private shared = 0;
  private ascending = true;
  private longest = 0;
  private shortest = 0xffff;

  /** Adds an entry; its key is the first `length` bytes of `key`. Payloads of 64 kB and more do not fit: false. */
  add(key: Uint8Array, length: number, rowId: number, payload: Uint8Array): boolean {
    if (payload.length > 0xffff) return false;
    this.reserve(length + payload.length);
    const { bytes, used: at } = this;
    for (let i = 0; i < length; i++) bytes[at + i] = key[i]!;
    if (payload.length > 0) bytes.set(payload, at + length);
    const n = this.length;
    if (n === 0) this.shared = length;
    else {
      const { shared } = this;
      let i = 0;
      while (i < shared && i < length && bytes[at + i] === bytes[i]) i++;
      this.shared = i;
      if (this.ascending) this.ascending = this.compare(n - 1, at, length) <= 0;
    }
    if (length > this.longest) this.longest = length;
    if (length < this.shortest) this.shortest = length;
    this.starts[n] = at;
    this.keyLengths[n] = length;
    this.payloadLengths[n] = payload.length;
    this.rowIds[n] = rowId;
    this.used = at + length + payload.length;
    this.length = n + 1;
    return true;
  }

  get byteLength(): number {
    return this.used + this.length * 34;
  }

  private reserve(more: number): void {
    if (this.used + more > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.used + more, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    if (this.length < this.starts.length) return;
    const size = this.length * 2;
    this.starts = grow(this.starts, new Float64Array(size));
    this.rowIds = grow(this.rowIds, new Float64Array(size));
    this.keyLengths = grow(this.keyLengths, new Uint16Array(size));
    this.payloadLengths = grow(this.payloadLengths, new Uint16Array(size));
  }

  /** Entry `entry`'s key against `length` bytes at `at`. */
  private compare(entry: number, at: number, length: number): number {
    const { bytes } = this;
    const start = this.starts[entry]!;
    const own = this.keyLengths[entry]!;
    const common = own < length ? own : length;
    for (let i = 0; i < common; i++) {
      const difference = bytes[start + i]! - bytes[at + i]!;
      if (difference !== 0) return difference;
    }
    return own - length;
  }

  sameKey(a: number, b: number): boolean {
    return this.keyLengths[a] === this.keyLengths[b] && this.compare(a, this.starts[b]!, this.keyLengths[b]!) === 0;
  }

  /** Puts the positions of all entries into `order` in key order, equal keys as they were added. Yields now and then. */
  *sort(order: Uint32Array): Generator<void> {
    for (let i = 0; i < this.length; i++) order[i] = i;
    if (!this.ascending && this.length > 1) yield* this.sortRange(order, 0, this.length, this.shared);
  }

  /** Orders positions [from, to), whose keys agree in their first `depth` bytes. */
  private *sortRange(order: Uint32Array, from: number, to: number, depth: number): Generator<void> {
    const count = to - from;
    const high = new Uint32Array(count);
    const low = new Uint32Array(count);
    const { bytes, starts, keyLengths } = this;
    let highVaries = 0;
    let lowVaries = 0;
    for (let i = 0; i < count; i++) {
      const entry = order[from + i]!;
      const start = starts[entry]! + depth;
      const left = keyLengths[entry]! - depth;
      high[i] = word(bytes, start, left);
      low[i] = left > 4 ? word(bytes, start + 4, left - 4) : 0;
      highVaries |= high[i]! ^ high[0]!;
      lowVaries |= low[i]! ^ low[0]!;
      if ((i & (STEP - 1)) === STEP - 1) yield;
    }
    let places: Uint32Array<ArrayBufferLike> = new Uint32Array(count);
    let other: Uint32Array<ArrayBufferLike> = new Uint32Array(count);
    for (let i = 0; i < count; i++) places[i] = i;
    const digitBits = count > 1 << 17 ? 16 : 8;
    for (let shift = 0; shift < 64; shift += digitBits) {
      const words = shift < 32 ? low : high;
      const mask = (1 << digitBits) - 1;
      const varies = shift < 32 ? lowVaries : highVaries;
      if (((varies >>> (shift & 31)) & mask) === 0) continue;
      yield* scatter(words, shift & 31, mask, places, other);
      [places, other] = [other, places];
    }
    for (let i = 0; i < count; i++) other[i] = order[from + places[i]!]!;
    order.set(other, from);
    yield;
    if (this.longest <= depth + 8 && this.longest === this.shortest) return;
    yield* this.sortEqual(order, from, places, high, low, depth);
  }

  /** Entries whose eight bytes are equal, by what follows. */
  private *sortEqual(order: Uint32Array, from: number, places: Uint32Array, high: Uint32Array, low: Uint32Array, depth: number): Generator<void> {
    const count = places.length;
    let steps = 0;
    for (let first = 0; first < count; ) {
      let next = first + 1;
      while (next < count && high[places[next]!] === high[places[first]!] && low[places[next]!] === low[places[first]!]) next++;
      const size = next - first;
      if (size > SMALL && this.anyLonger(order, from + first, from + next, depth + 8)) yield* this.sortRange(order, from + first, from + next, depth + 8);
      else if (size > 1) order.subarray(from + first, from + next).sort((a, b) => this.compare(a, this.starts[b]!, this.keyLengths[b]!) || a - b);
      first = next;
      if ((++steps & 1023) === 0) yield;
    }
  }

  private anyLonger(order: Uint32Array, from: number, to: number, depth: number): boolean {
    for (let i = from; i < to; i++) if (this.keyLengths[order[i]!]! > depth) return true;
    return false;
  }
}

function grow<T extends Float64Array | Uint16Array>(from: T, to: T): T {
  to.set(from);
  return to;
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
  for (let i = 0; i < words.length; i++) counts[((words[i]! >>> shift) & mask) + 1]!++;
  for (let digit = 1; digit <= mask; digit++) counts[digit]! += counts[digit - 1]!;
  yield;
  for (let i = 0; i < from.length; i++) {
    const place = from[i]!;
    into[counts[(words[place]! >>> shift) & mask]!++] = place;
    if ((i & (STEP - 1)) === STEP - 1) yield;
  }
}

/**
 * Granted locks: (tag, owner) -> set of modes, in typed arrays outside the JavaScript heap, about
 * 36 bytes an entry. Entries are hashed by tag and chained in their bucket; each owner's entries
 * are also chained newest first, so that releasing, and releasing back to a savepoint, walks only
 * what goes away. Entry numbers are stable while the entry lives.
 *
 *     tagA   f64  lock class in the low 3 bits, object (storage id, lock id, advisory high) above
 *     tagB   f64  row id, hash of a unique key, advisory low, virtual id
 *     owner  i32  number of the holder
 *     mask   u8   bit per mode held
 *     next   i32  next entry of the bucket; of the free list when free
 *     older  i32  the owner's entry taken before this one
 *     newer  i32  the one taken after it; says nothing in the owner's newest
 */
import { DatabaseError } from '../errors.js';

export const NONE = -1;

export class LockTable {
  tagA = new Float64Array(1024);
  tagB = new Float64Array(1024);
  owner = new Int32Array(1024);
  mask = new Uint8Array(1024);
  older = new Int32Array(1024);
  private newer = new Int32Array(1024);
  private next = new Int32Array(1024);
  private buckets = new Int32Array(1024).fill(NONE);
  private free = NONE;
  private used = 0;
  size = 0;

  constructor(private readonly maxEntries = 1 << 25) {}

  private bucket(a: number, b: number): number {
    let h = Math.imul(a | 0, 0x9e3779b1) ^ Math.imul((a / 4294967296) | 0, 0x85ebca6b);
    h ^= Math.imul(b | 0, 0xc2b2ae35) ^ Math.imul((b / 4294967296) | 0, 0x27d4eb2f);
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    return (h ^ (h >>> 13)) & (this.buckets.length - 1);
  }

  find(a: number, b: number, owner: number): number {
    for (let e = this.buckets[this.bucket(a, b)]!; e !== NONE; e = this.next[e]!)
      if (this.owner[e] === owner && this.tagB[e] === b && this.tagA[e] === a) return e;
    return NONE;
  }

  /** The first holder of (a, b), whoever it is; `nextHolder` gives the others. */
  firstHolder(a: number, b: number): number {
    let e = this.buckets[this.bucket(a, b)]!;
    while (e !== NONE && (this.tagB[e] !== b || this.tagA[e] !== a)) e = this.next[e]!;
    return e;
  }

  nextHolder(entry: number): number {
    const a = this.tagA[entry];
    const b = this.tagB[entry];
    let e = this.next[entry]!;
    while (e !== NONE && (this.tagB[e] !== b || this.tagA[e] !== a)) e = this.next[e]!;
    return e;
  }

  /** A new entry; the caller links it into the owner's chain by `older`. */
  add(a: number, b: number, owner: number, mask: number, older: number): number {
    let e = this.free;
    if (e !== NONE) this.free = this.next[e]!;
    else {
      if (this.used === this.owner.length) this.grow();
      e = this.used++;
    }
    this.tagA[e] = a;
    this.tagB[e] = b;
    this.owner[e] = owner;
    this.mask[e] = mask;
    this.older[e] = older;
    if (older !== NONE) this.newer[older] = e;
    const bucket = this.bucket(a, b);
    this.next[e] = this.buckets[bucket]!;
    this.buckets[bucket] = e;
    this.size++;
    return e;
  }

  /** Takes an entry out of its owner's chain, whose newest is `newest`; returns the newest of what is left. */
  unlink(entry: number, newest: number): number {
    const older = this.older[entry]!;
    if (entry === newest) return older;
    const newer = this.newer[entry]!;
    this.older[newer] = older;
    if (older !== NONE) this.newer[older] = newer;
    return newest;
  }

  remove(entry: number): void {
    const bucket = this.bucket(this.tagA[entry]!, this.tagB[entry]!);
    let e = this.buckets[bucket]!;
    if (e === entry) this.buckets[bucket] = this.next[entry]!;
    else {
      while (this.next[e] !== entry) e = this.next[e]!;
      this.next[e] = this.next[entry]!;
    }
    this.owner[entry] = NONE;
    this.next[entry] = this.free;
    this.free = entry;
    this.size--;
  }

  /** Every entry, for listings. */
  forEach(visit: (entry: number) => void): void {
    for (let e = 0; e < this.used; e++) if (this.owner[e] !== NONE) visit(e);
  }

  private grow(): void {
    const capacity = this.owner.length * 2;
    if (capacity > this.maxEntries)
      throw new DatabaseError('53200', 'out of shared memory', { hint: 'A transaction holds too many row locks.' });
    const grown = <T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T => {
      to.set(from as never);
      return to;
    };
    this.tagA = grown(this.tagA, new Float64Array(capacity));
    this.tagB = grown(this.tagB, new Float64Array(capacity));
    this.owner = grown(this.owner, new Int32Array(capacity));
    this.mask = grown(this.mask, new Uint8Array(capacity));
    this.older = grown(this.older, new Int32Array(capacity));
    this.newer = grown(this.newer, new Int32Array(capacity));
    this.next = grown(this.next, new Int32Array(capacity));
    this.buckets = new Int32Array(capacity).fill(NONE);
    for (let e = 0; e < this.used; e++) {
      if (this.owner[e] === NONE) continue;
      const bucket = this.bucket(this.tagA[e]!, this.tagB[e]!);
      this.next[e] = this.buckets[bucket]!;
      this.buckets[bucket] = e;
    }
  }
}

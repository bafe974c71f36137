/** Groups of an aggregation by open addressing over number columns. Kernels look up in place and call `add` for a new group. */
import type { ArrayLease } from './array-lease.js';
import { GrowableColumn } from './growable.js';
import type { ValueKind } from './value.js';

/** Most room made before there are groups. */
const MOST_CAPACITY = 1 << 20;

export class GroupTable {
  count = 0;
  reserved = 0;
  capacity = 1024;
  mask = 4095;
  /** 1 + the group. */
  slots: Int32Array;
  readonly hashes: { data: Int32Array };
  readonly columns: GrowableColumn[] = [];

  constructor(private readonly lease: ArrayLease) {
    this.slots = lease.int32(this.mask + 1);
    this.hashes = { data: lease.int32(this.capacity) };
  }

  /** Groups that are expected: when there is no room for another there will be for all of them. */
  reserve(groups: number): void {
    this.reserved = Math.min(MOST_CAPACITY, groups);
  }

  /** About what the groups take. */
  get bytes(): number {
    return this.count * (8 + this.columns.length * 8);
  }

  addColumn(kind: ValueKind, narrow = false): number {
    return this.columns.push(new GrowableColumn(this.lease, kind, false, this.capacity, narrow)) - 1;
  }

  /** A new group with this hash, whose place is `slot`; returns its number. Arrays may be other ones afterwards. */
  readonly add = (hash: number, slot: number): number => {
    if (this.count === this.capacity) {
      this.grow();
      const hashes = this.lease.int32(this.capacity);
      hashes.set(this.hashes.data);
      this.hashes.data = hashes;
    }
    const group = this.count++;
    this.hashes.data[group] = hash;
    this.slots[slot] = group + 1;
    if (this.count * 2 > this.mask) this.rehash();
    return group;
  };

  /** A new group that its caller finds again by itself. */
  readonly addDirect = (): number => {
    if (this.count === this.capacity) this.grow();
    return this.count++;
  };

  private grow(): void {
    this.capacity = Math.max(this.capacity * 2, this.reserved);
    for (const column of this.columns) column.grow(this.capacity);
  }

  private rehash(): void {
    let size = (this.mask + 1) * 4;
    while (size < this.reserved * 2) size *= 4;
    this.mask = size - 1;
    this.slots = this.lease.int32(size);
    for (let group = 0; group < this.count; group++) {
      let slot = this.hashes.data[group]! & this.mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & this.mask;
      this.slots[slot] = group + 1;
    }
  }
}

/** What a set of pairs stands on. */
export interface PairState { readonly arrays: readonly (Int32Array | Float64Array)[]; readonly size: number }

const FIRST_PAIRS = 1024;

/** Pairs of (group, key), for DISTINCT. */
export class PairSet {
  private size = 0;
  private mask = FIRST_PAIRS - 1;
  private groups: Int32Array;
  private keys: Float64Array;

  constructor(private readonly lease: ArrayLease) {
    this.groups = lease.dirtyInt32(FIRST_PAIRS).fill(-1);
    this.keys = lease.dirtyFloat64(FIRST_PAIRS);
  }

  get bytes(): number {
    return this.groups.byteLength + this.keys.byteLength;
  }

  get state(): PairState {
    return { arrays: [this.groups, this.keys], size: this.size };
  }

  /** The set, empty so far, becomes one that another thread filled. */
  adopt({ arrays, size }: PairState): void {
    [this.groups, this.keys] = arrays as [Int32Array, Float64Array];
    this.size = size;
    this.mask = this.groups.length - 1;
  }

  /** Whether the pair is new. */
  readonly add = (group: number, key: number): boolean => {
    let at = this.place(group, key);
    while (this.groups[at] !== -1) {
      if (this.groups[at] === group && this.keys[at] === key) return false;
      at = (at + 1) & this.mask;
    }
    this.groups[at] = group;
    this.keys[at] = key;
    if (++this.size * 2 > this.mask) this.rehash();
    return true;
  };

  private place(group: number, key: number): number {
    return ((Math.imul(key | 0, 0x9e3779b1) ^ Math.imul((key / 4294967296) | 0, 0x85ebca6b) ^ Math.imul(group, 0xc2b2ae35)) >>> 7) & this.mask;
  }

  private rehash(): void {
    const { groups, keys } = this;
    this.mask = (this.mask + 1) * 4 - 1;
    this.groups = this.lease.dirtyInt32(this.mask + 1).fill(-1);
    this.keys = this.lease.dirtyFloat64(this.mask + 1);
    for (let i = 0; i < groups.length; i++) {
      if (groups[i] === -1) continue;
      let at = this.place(groups[i]!, keys[i]!);
      while (this.groups[at] !== -1) at = (at + 1) & this.mask;
      this.groups[at] = groups[i]!;
      this.keys[at] = keys[i]!;
    }
  }
}

/** The same with keys of 64 bits in two halves. */
export class WidePairSet {
  private size = 0;
  private mask = FIRST_PAIRS - 1;
  private groups: Int32Array;
  private highs: Int32Array;
  private lows: Int32Array;

  constructor(private readonly lease: ArrayLease) {
    this.groups = lease.dirtyInt32(FIRST_PAIRS).fill(-1);
    this.highs = lease.dirtyInt32(FIRST_PAIRS);
    this.lows = lease.dirtyInt32(FIRST_PAIRS);
  }

  get bytes(): number {
    return this.groups.byteLength * 3;
  }

  get state(): PairState {
    return { arrays: [this.groups, this.highs, this.lows], size: this.size };
  }

  /** The set, empty so far, becomes one that another thread filled. */
  adopt({ arrays, size }: PairState): void {
    [this.groups, this.highs, this.lows] = arrays as [Int32Array, Int32Array, Int32Array];
    this.size = size;
    this.mask = this.groups.length - 1;
  }

  /** Whether the pair is new. */
  readonly add = (group: number, high: number, low: number): boolean => {
    let at = this.place(group, high, low);
    while (this.groups[at] !== -1) {
      if (this.lows[at] === low && this.highs[at] === high && this.groups[at] === group) return false;
      at = (at + 1) & this.mask;
    }
    this.groups[at] = group;
    this.highs[at] = high;
    this.lows[at] = low;
    if (++this.size * 2 > this.mask) this.rehash();
    return true;
  };

  private place(group: number, high: number, low: number): number {
    return ((Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b) ^ Math.imul(group, 0xc2b2ae35)) >>> 7) & this.mask;
  }

  private rehash(): void {
    const { groups, highs, lows } = this;
    this.mask = (this.mask + 1) * 4 - 1;
    this.groups = this.lease.dirtyInt32(this.mask + 1).fill(-1);
    this.highs = this.lease.dirtyInt32(this.mask + 1);
    this.lows = this.lease.dirtyInt32(this.mask + 1);
    for (let i = 0; i < groups.length; i++) {
      if (groups[i] === -1) continue;
      let at = this.place(groups[i]!, highs[i]!, lows[i]!);
      while (this.groups[at] !== -1) at = (at + 1) & this.mask;
      this.groups[at] = groups[i]!;
      this.highs[at] = highs[i]!;
      this.lows[at] = lows[i]!;
    }
  }
}

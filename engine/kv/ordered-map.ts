/**
 * A map ordered by key bytes (memcmp), in memory: the memory KeyValueStore, a transaction's own
 * index entries, and the index side of the overlay stand on it.
 *
 * Two levels: leaves of at most 128 entries in parallel arrays, and the array of leaves. A look-up
 * is two binary searches; an insert moves at most a leaf, and every 64th splits one.
 */
import { compareBytes } from '../keycode.js';

const LEAF_MAX = 128;

interface Leaf<V> {
  keys: Uint8Array[];
  values: V[];
}

export class OrderedMap<V> {
  private leaves: Leaf<V>[] = [];
  size = 0;

  get(key: Uint8Array): V | undefined {
    if (this.leaves.length === 0) return undefined;
    const leaf = this.leaves[this.leafFor(key)]!;
    const at = lowerBound(leaf.keys, key);
    return at < leaf.keys.length && compareBytes(leaf.keys[at]!, key) === 0 ? leaf.values[at] : undefined;
  }

  /** Is there a key that begins with these bytes? */
  hasPrefix(prefix: Uint8Array): boolean {
    if (this.leaves.length === 0) return false;
    let index = this.leafFor(prefix);
    let at = lowerBound(this.leaves[index]!.keys, prefix);
    if (at >= this.leaves[index]!.keys.length) {
      if (++index >= this.leaves.length) return false;
      at = 0;
    }
    const key = this.leaves[index]!.keys[at]!;
    if (key.length < prefix.length) return false;
    for (let i = 0; i < prefix.length; i++) if (key[i] !== prefix[i]) return false;
    return true;
  }

  /** Keeps `key` itself: hand over a copy that nobody changes. Returns the former value. */
  set(key: Uint8Array, value: V): V | undefined {
    if (this.leaves.length === 0) {
      this.leaves.push({ keys: [key], values: [value] });
      this.size = 1;
      return undefined;
    }
    const index = this.leafFor(key);
    const leaf = this.leaves[index]!;
    const last = leaf.keys.length - 1;
    // Ascending inserts (the usual bulk case) go to the end without a search.
    const at = compareBytes(leaf.keys[last]!, key) < 0 ? last + 1 : lowerBound(leaf.keys, key);
    if (at <= last && compareBytes(leaf.keys[at]!, key) === 0) {
      const former = leaf.values[at];
      leaf.values[at] = value;
      return former;
    }
    insertAt(leaf.keys, at, key);
    insertAt(leaf.values, at, value);
    this.size++;
    if (leaf.keys.length > LEAF_MAX) this.split(index, at === last + 1);
    return undefined;
  }

  delete(key: Uint8Array): boolean {
    if (this.leaves.length === 0) return false;
    const index = this.leafFor(key);
    const leaf = this.leaves[index]!;
    const at = lowerBound(leaf.keys, key);
    if (at >= leaf.keys.length || compareBytes(leaf.keys[at]!, key) !== 0) return false;
    removeAt(leaf.keys, at);
    removeAt(leaf.values, at);
    this.size--;
    if (leaf.keys.length === 0) this.leaves.splice(index, 1);
    return true;
  }

  /**
   * Appends at most `max` entries of [lower, upper) to the two arrays, in order or reversed, and
   * returns how many. `undefined` bounds are open.
   */
  collect(lower: Uint8Array | undefined, upper: Uint8Array | undefined, reverse: boolean, max: number, keys: Uint8Array[], values: V[]): number {
    return reverse ? this.collectDown(lower, upper, max, keys, values) : this.collectUp(lower, upper, max, keys, values);
  }

  private collectUp(lower: Uint8Array | undefined, upper: Uint8Array | undefined, max: number, keys: Uint8Array[], values: V[]): number {
    if (this.leaves.length === 0) return 0;
    let index = lower ? this.leafFor(lower) : 0;
    let at = lower ? lowerBound(this.leaves[index]!.keys, lower) : 0;
    let count = 0;
    while (count < max) {
      const leaf = this.leaves[index]!;
      if (at >= leaf.keys.length) {
        if (++index >= this.leaves.length) break;
        at = 0;
        continue;
      }
      const key = leaf.keys[at]!;
      if (upper && compareBytes(key, upper) >= 0) break;
      keys.push(key);
      values.push(leaf.values[at]!);
      count++;
      at++;
    }
    return count;
  }

  private collectDown(lower: Uint8Array | undefined, upper: Uint8Array | undefined, max: number, keys: Uint8Array[], values: V[]): number {
    if (this.leaves.length === 0) return 0;
    let index = upper ? this.leafFor(upper) : this.leaves.length - 1;
    let at = (upper ? lowerBound(this.leaves[index]!.keys, upper) : this.leaves[index]!.keys.length) - 1;
    let count = 0;
    while (count < max) {
      if (at < 0) {
        if (--index < 0) break;
        at = this.leaves[index]!.keys.length - 1;
        continue;
      }
      const leaf = this.leaves[index]!;
      const key = leaf.keys[at]!;
      if (lower && compareBytes(key, lower) < 0) break;
      keys.push(key);
      values.push(leaf.values[at]!);
      count++;
      at--;
    }
    return count;
  }

  /** The last leaf whose first key is at or below `key` (or the first leaf). */
  private leafFor(key: Uint8Array): number {
    const leaves = this.leaves;
    let low = 0;
    let high = leaves.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareBytes(leaves[middle]!.keys[0]!, key) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private split(index: number, ascending: boolean): void {
    const leaf = this.leaves[index]!;
    // Under ascending inserts the left half stays full.
    const at = ascending ? leaf.keys.length - 1 : leaf.keys.length >>> 1;
    this.leaves.splice(index + 1, 0, { keys: leaf.keys.splice(at), values: leaf.values.splice(at) });
  }
}

/** As splice, which makes an array for what it takes out. */
function insertAt<T>(into: T[], at: number, item: T): void {
  let to = into.length;
  into.push(item);
  for (; to > at; to--) into[to] = into[to - 1]!;
  into[at] = item;
}

function removeAt<T>(from: T[], at: number): void {
  const last = from.length - 1;
  for (; at < last; at++) from[at] = from[at + 1]!;
  from.pop();
}

function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

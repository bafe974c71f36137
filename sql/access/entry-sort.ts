/**
 * The order of many keys. By the first four bytes in which they differ, packed with their position into doubles (a native sort
 * without calls); whole keys are compared only where those are equal. An integer key is decided by them.
 */
import { compareBytes } from '../../engine/keycode.js';

/** Keys at once: positions take 18 bits beside 32 of the key. */
export const MAX_SORTED_KEYS = 1 << 18;

/** Positions of `keys` in ascending order. */
export function sortedPositions(keys: readonly Uint8Array[]): Float64Array {
  const shared = sharedPrefix(keys);
  const packed = new Float64Array(keys.length);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    packed[i] = ((byteAt(key, shared) * 256 + byteAt(key, shared + 1)) * 65536 + byteAt(key, shared + 2) * 256 + byteAt(key, shared + 3)) * MAX_SORTED_KEYS + i;
  }
  packed.sort();
  for (let from = 0; from < packed.length; ) {
    const prefix = Math.floor(packed[from]! / MAX_SORTED_KEYS);
    let to = from;
    while (to < packed.length && Math.floor(packed[to]! / MAX_SORTED_KEYS) === prefix) packed[to++]! %= MAX_SORTED_KEYS;
    if (to - from > 1) packed.subarray(from, to).sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b);
    from = to;
  }
  return packed;
}

function byteAt(key: Uint8Array, at: number): number {
  return at < key.length ? key[at]! : 0;
}

/** How many bytes all keys begin with. */
function sharedPrefix(keys: readonly Uint8Array[]): number {
  const first = keys[0];
  if (!first) return 0;
  let shared = first.length;
  for (const key of keys) {
    let i = 0;
    while (i < shared && i < key.length && key[i] === first[i]) i++;
    shared = i;
  }
  return shared;
}

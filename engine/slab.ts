/**
 * Copies cut from shared allocations: an ArrayBuffer for every key and value costs more (in garbage collection, and
 * in the view that each needs to be read) than the copying itself.
 */

/** Bytes per allocation. */
const SLAB_BYTES = 64 << 10;
/** Larger values get an allocation of their own. */
const SLAB_MAX = 8 << 10;
/** Up to here a loop is faster than the native copy. */
const LOOP_MAX = 64;

let slab = new Uint8Array(SLAB_BYTES);
let slabUsed = 0;

/** So many bytes (at most SLAB_MAX) to be filled by the caller, with what was there before in them. */
export function slabTake(length: number): Uint8Array {
  if (slabUsed + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabUsed = 0;
  }
  const taken = new Uint8Array(slab.buffer, slabUsed, length);
  slabUsed += length;
  return taken;
}

/** A copy of bytes [start, end) of the memory that `source` begins in; its own length does not matter. */
export function slabCopy(source: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SLAB_MAX) return new Uint8Array(source.buffer, source.byteOffset + start, length).slice();
  if (slabUsed + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabUsed = 0;
  }
  const copy = new Uint8Array(slab.buffer, slabUsed, length);
  slabUsed += length;
  if (length <= LOOP_MAX) for (let i = 0; i < length; i++) copy[i] = source[start + i]!;
  else copy.set(new Uint8Array(source.buffer, source.byteOffset + start, length));
  return copy;
}

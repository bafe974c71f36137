/**
 * Typed arrays that live as long as one execution. What they stand on is kept and handed to the next
 * execution: arrays of megabytes made anew cost page faults, and their size drives V8 into full collections.
 */

type Made = Int32Array | Float64Array | Uint8Array;

/** Smaller arrays are made as ever. */
const MIN_BYTES = 4096;
/** Larger ones are given back to the system. */
const MAX_BYTES = 1 << 25;
/** Most that is kept while nobody uses it. */
const MAX_KEPT_BYTES = 1 << 26;

const free = new Map<number, ArrayBuffer[]>();
let keptBytes = 0;

export class ArrayLease {
  private readonly taken: ArrayBuffer[] = [];
  private ended = false;

  /** All zero. */
  int32(length: number): Int32Array {
    return this.zeroed(length * 4, (buffer) => new Int32Array(buffer, 0, length)) ?? new Int32Array(length);
  }

  float64(length: number): Float64Array {
    return this.zeroed(length * 8, (buffer) => new Float64Array(buffer, 0, length)) ?? new Float64Array(length);
  }

  uint8(length: number): Uint8Array {
    return this.zeroed(length, (buffer) => new Uint8Array(buffer, 0, length)) ?? new Uint8Array(length);
  }

  /** The same with anything in it, for what is written before it is read. */
  dirtyInt32(length: number): Int32Array {
    const found = this.take(length * 4);
    return found ? new Int32Array(found.buffer, 0, length) : new Int32Array(length);
  }

  dirtyFloat64(length: number): Float64Array {
    const found = this.take(length * 8);
    return found ? new Float64Array(found.buffer, 0, length) : new Float64Array(length);
  }

  private zeroed<T extends Made>(bytes: number, view: (buffer: ArrayBuffer) => T): T | null {
    const found = this.take(bytes);
    if (!found) return null;
    const array = view(found.buffer);
    if (found.used) array.fill(0);
    return array;
  }

  /** Of at least so many bytes; null where pooling does not pay. */
  private take(bytes: number): { buffer: ArrayBuffer; used: boolean } | null {
    if (bytes < MIN_BYTES || bytes > MAX_BYTES || this.ended) return null;
    const size = 2 ** Math.ceil(Math.log2(bytes));
    const kept = free.get(size)?.pop();
    const buffer = kept ?? new ArrayBuffer(size);
    if (kept) keptBytes -= size;
    this.taken.push(buffer);
    return { buffer, used: kept !== undefined };
  }

  /** The execution is over: nobody reads its arrays any more. */
  release(): void {
    this.ended = true;
    for (const buffer of this.taken) {
      const size = buffer.byteLength;
      if (keptBytes + size > MAX_KEPT_BYTES) continue;
      let list = free.get(size);
      if (!list) free.set(size, (list = []));
      list.push(buffer);
      keptBytes += size;
    }
    this.taken.length = 0;
  }
}

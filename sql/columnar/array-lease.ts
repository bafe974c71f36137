/**
 * Typed arrays that live as long as one execution, in memory that threads share. What they stand on is kept and handed to
 * the next execution: arrays of megabytes made anew cost page faults, and V8 does not know how much shared memory it could free.
 */

type Made = Int32Array | Float64Array | Uint8Array;

/** Smaller arrays are made as ever. */
const MIN_BYTES = 4096;
/** Larger ones are given back to the system. */
const MAX_BYTES = 1 << 26;
/** Most that is kept while nobody uses it. */
const MAX_KEPT_BYTES = 1 << 26;

const free = new Map<number, SharedArrayBuffer[]>();
let keptBytes = 0;

export class ArrayLease {
  private readonly taken: SharedArrayBuffer[] = [];
  private ended = false;
  private holders = 0;
  private readonly unsettled: Int32Array[] = [];
  private readonly atEnd: (() => void)[] = [];

  /** All zero. */
  int32(length: number): Int32Array {
    return this.zeroed(length * 4, (buffer) => new Int32Array(buffer, 0, length)) ?? new Int32Array(new SharedArrayBuffer(length * 4));
  }

  /** All zero once `settle` was called: who has a thread fill its own need not have it zeroed here. */
  int32Later(length: number): Int32Array {
    const found = this.take(length * 4);
    const array = new Int32Array(found?.buffer ?? new SharedArrayBuffer(length * 4), 0, length);
    if (found?.used) this.unsettled.push(array);
    return array;
  }

  settle(): void {
    for (const array of this.unsettled) array.fill(0);
    this.unsettled.length = 0;
  }

  /** The array is not read any more. */
  forget(array: Int32Array): void {
    const at = this.unsettled.indexOf(array);
    if (at >= 0) this.unsettled.splice(at, 1);
  }

  float64(length: number): Float64Array {
    return this.zeroed(length * 8, (buffer) => new Float64Array(buffer, 0, length)) ?? new Float64Array(new SharedArrayBuffer(length * 8));
  }

  uint8(length: number): Uint8Array {
    return this.zeroed(length, (buffer) => new Uint8Array(buffer, 0, length)) ?? new Uint8Array(new SharedArrayBuffer(length));
  }

  /** The same with anything in it, for what is written before it is read. */
  dirtyInt32(length: number): Int32Array {
    const found = this.take(length * 4);
    return found ? new Int32Array(found.buffer, 0, length) : new Int32Array(new SharedArrayBuffer(length * 4));
  }

  dirtyFloat64(length: number): Float64Array {
    const found = this.take(length * 8);
    return found ? new Float64Array(found.buffer, 0, length) : new Float64Array(new SharedArrayBuffer(length * 8));
  }

  private zeroed<T extends Made>(bytes: number, view: (buffer: SharedArrayBuffer) => T): T | null {
    const found = this.take(bytes);
    if (!found) return null;
    const array = view(found.buffer);
    if (found.used) array.fill(0);
    return array;
  }

  /** Of at least so many bytes; null where pooling does not pay. */
  private take(bytes: number): { buffer: SharedArrayBuffer; used: boolean } | null {
    if (bytes < MIN_BYTES || bytes > MAX_BYTES || this.ended) return null;
    const size = 2 ** Math.ceil(Math.log2(bytes));
    const kept = free.get(size)?.pop();
    const buffer = kept ?? new SharedArrayBuffer(size);
    if (kept) keptBytes -= size;
    this.taken.push(buffer);
    return { buffer, used: kept !== undefined };
  }

  /** Another thread has the arrays now: until the answer is called they are not handed on. */
  hold(): () => void {
    this.holders++;
    return () => {
      if (--this.holders === 0 && this.ended) this.handOn();
    };
  }

  /** Calls back when nobody needs the arrays any more. */
  whenOver(callback: () => void): void {
    this.atEnd.push(callback);
  }

  /** The execution is over: nobody reads its arrays any more, threads that still hold them aside. */
  release(): void {
    this.ended = true;
    if (this.holders === 0) this.handOn();
  }

  private handOn(): void {
    for (const callback of this.atEnd) callback();
    this.atEnd.length = 0;
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

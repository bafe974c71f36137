/**
 * A ring of batches in shared memory, one writer and one reader on different threads.
 *
 *     control (Int32)   0 head: units written, 1 tail: units read, 2 calls: how often the reader was woken; all wrap at 2^32
 *     data              frames of whole 8-byte units: u32 length, 4 unused bytes, the batch
 *
 * A frame never wraps: when the rest of the ring is too short for it, a length of 0xFFFFFFFF says
 * "go on at the beginning". The writer wakes the reader through `calls`, when it is told to: a wake costs as much as a small
 * transaction, and a reader that looked at `head` would be led on by a steady trickle.
 */
const UNIT = 8;
const SKIP = 0xffffffff;
const HEAD = 0;
const TAIL = 1;
const CALLS = 2;

export interface RingMemory {
  readonly control: SharedArrayBuffer;
  readonly data: SharedArrayBuffer;
}

export function createRing(bytes: number): RingMemory {
  return { control: new SharedArrayBuffer(12), data: new SharedArrayBuffer(Math.ceil(bytes / UNIT) * UNIT) };
}

const unitsOf = (bytes: number): number => 1 + Math.ceil(bytes / UNIT);

export class RingWriter {
  private readonly control: Int32Array;
  private readonly data: Uint8Array;
  private readonly words: Uint32Array;
  private readonly capacity: number;
  private head = 0;

  constructor(memory: RingMemory) {
    this.control = new Int32Array(memory.control);
    this.data = new Uint8Array(memory.data);
    this.words = new Uint32Array(memory.data);
    this.capacity = memory.data.byteLength / UNIT;
  }

  /** False when there is no room now. */
  write(batch: Uint8Array): boolean {
    const units = unitsOf(batch.length);
    const used = (this.head - Atomics.load(this.control, TAIL)) >>> 0;
    let at = (this.head >>> 0) % this.capacity;
    const skip = at + units > this.capacity ? this.capacity - at : 0;
    if (used + skip + units > this.capacity) return false;
    if (skip > 0) {
      this.words[at * 2] = SKIP;
      at = 0;
    }
    this.words[at * 2] = batch.length;
    this.data.set(batch, at * UNIT + UNIT);
    this.head = (this.head + skip + units) | 0;
    Atomics.store(this.control, HEAD, this.head);
    return true;
  }

  /** Has the reader look at what was written. */
  wake(): void {
    Atomics.add(this.control, CALLS, 1);
    Atomics.notify(this.control, CALLS);
  }
}

type WaitAsync = (array: Int32Array, index: number, value: number, timeout: number) => { async: boolean; value: Promise<string> | string };

export class RingReader {
  private readonly control: Int32Array;
  private readonly data: Uint8Array;
  private readonly words: Uint32Array;
  private readonly capacity: number;
  private tail = 0;
  /** As of the last `look`. */
  private calls = 0;
  private seen = 0;

  constructor(memory: RingMemory) {
    this.control = new Int32Array(memory.control);
    this.data = new Uint8Array(memory.data);
    this.words = new Uint32Array(memory.data);
    this.capacity = memory.data.byteLength / UNIT;
  }

  /** Copies the next batch out; undefined when there is none. */
  read(): Uint8Array | undefined {
    for (;;) {
      if (Atomics.load(this.control, HEAD) === this.tail) return undefined;
      const at = (this.tail >>> 0) % this.capacity;
      const length = this.words[at * 2]!;
      if (length === SKIP) {
        this.advance(this.capacity - at);
        continue;
      }
      const batch = this.data.slice(at * UNIT + UNIT, at * UNIT + UNIT + length);
      this.advance(unitsOf(length));
      return batch;
    }
  }

  private advance(units: number): void {
    this.tail = (this.tail + units) | 0;
    Atomics.store(this.control, TAIL, this.tail);
  }

  /** Before reading: what is there now is to be read before the next `wait` waits. */
  look(): void {
    this.calls = Atomics.load(this.control, CALLS);
    this.seen = Atomics.load(this.control, HEAD);
  }

  /** Resolves when the reader was woken since its last `look`, or left something of that time unread, or after `timeoutMs`. */
  async wait(timeoutMs: number): Promise<void> {
    if (((this.seen - this.tail) | 0) > 0) return;
    const { waitAsync } = Atomics as unknown as { waitAsync: WaitAsync };
    await waitAsync(this.control, CALLS, this.calls, timeoutMs).value;
  }

  /** Ends a `wait` of this thread. */
  wake(): void {
    Atomics.add(this.control, CALLS, 1);
    Atomics.notify(this.control, CALLS);
  }
}

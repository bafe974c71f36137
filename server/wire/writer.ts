/**
 * A growing buffer of backend messages. One per connection, reused: messages of one event turn leave
 * in one write. Pure: no sockets.
 *
 * Fields of many megabytes are not copied in: they stand beside the buffer with their place, and
 * whoever sends takes segments (`takeSegments`) and writes those fields slice by slice.
 */
import { LARGE_TEXT, utf8LengthOf } from '../../sql/types/large-text.js';

const INITIAL_BYTES = 4096;
/** A buffer that grew beyond this is given back after it was taken. */
const KEEP_BYTES = 64 * 1024;

/** A field that is sent in slices. */
interface LargeField {
  /** Where in the buffer it belongs. */
  readonly at: number;
  readonly value: string | Uint8Array;
  readonly bytes: number;
}

/** Bytes, or a large value still to be encoded. */
export type Segment = Buffer | { readonly value: string | Uint8Array };

const NONE = Buffer.alloc(0);
/** Buffers of INITIAL_BYTES that nobody writes to: an idle connection has none. */
const pool: Buffer[] = [];
const MAX_POOLED = 256;

export class WireWriter {
  #buffer: Buffer = NONE;
  #length = 0;
  #messageStart = 0;
  #open = false;
  #large: LargeField[] = [];
  #largeBytes = 0;

  /** Bytes written and not taken yet. */
  get length(): number {
    return this.#length + this.#largeBytes;
  }

  get hasLarge(): boolean {
    return this.#large.length > 0;
  }

  /**
   * Starts a message; its length word is filled in by `end`. A message that was begun and not ended
   * (a value that could not be printed) is dropped, so that an error can follow it.
   */
  begin(code: number): void {
    if (this.#open) this.#drop();
    this.#open = true;
    this.#ensure(5);
    this.#buffer[this.#length] = code;
    this.#messageStart = this.#length + 1;
    this.#length += 5;
  }

  end(): void {
    this.#open = false;
    let size = this.#length - this.#messageStart;
    for (let i = this.#large.length - 1; i >= 0 && this.#large[i].at > this.#messageStart; i--) size += this.#large[i].bytes;
    this.#buffer.writeInt32BE(size, this.#messageStart);
  }

  /** A copy of the message that was ended last. */
  lastMessage(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#buffer, this.#messageStart - 1, this.#length);
  }

  /** Forgets the message that was begun and not ended. */
  #drop(): void {
    this.undo(this.#messageStart - 1);
  }

  /** Between two messages: a place to which `undo` goes back as long as nothing was taken. */
  mark(): number {
    return this.#length;
  }

  undo(mark: number): void {
    this.#open = false;
    this.#length = mark;
    while (this.#large.length > 0 && this.#large[this.#large.length - 1].at > mark) this.#largeBytes -= this.#large.pop()!.bytes;
  }

  #largeField(value: string | Uint8Array, bytes: number): void {
    this.int32(bytes);
    this.#large.push({ at: this.#length, value, bytes });
    this.#largeBytes += bytes;
  }

  /** Everything written so far, in order, large fields as they are; starts anew. */
  takeSegments(): Segment[] {
    const segments: Segment[] = [];
    let from = 0;
    for (const { at, value } of this.#large) {
      segments.push(this.#buffer.subarray(from, at), { value });
      from = at;
    }
    segments.push(this.#buffer.subarray(from, this.#length));
    this.#large = [];
    this.#largeBytes = 0;
    this.detach();
    return segments;
  }

  byte(value: number): void {
    this.#ensure(1);
    this.#buffer[this.#length++] = value;
  }

  int16(value: number): void {
    this.#ensure(2);
    this.#buffer[this.#length++] = (value >> 8) & 0xff;
    this.#buffer[this.#length++] = value & 0xff;
  }

  int32(value: number): void {
    this.#ensure(4);
    this.#length = this.#buffer.writeInt32BE(value | 0, this.#length);
  }

  uint32(value: number): void {
    this.#ensure(4);
    this.#length = this.#buffer.writeUInt32BE(value >>> 0, this.#length);
  }

  /** Zero-terminated UTF-8. */
  cstring(value: string): void {
    this.text(value);
    this.byte(0);
  }

  /** UTF-8 without length or terminator. */
  text(value: string): void {
    this.#ensure(value.length * 3);
    this.#length += this.#buffer.utf8Write(value, this.#length);
  }

  bytes(value: Uint8Array): void {
    this.#ensure(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** As bytes, but sent from where they lie: nobody changes them any more. For many. */
  lend(value: Uint8Array): void {
    this.#large.push({ at: this.#length, value, bytes: value.length });
    this.#largeBytes += value.length;
  }

  /** A field of a DataRow in text: length word and UTF-8. */
  textField(value: string): void {
    const size = value.length;
    if (size > LARGE_TEXT) {
      this.#largeField(value, utf8LengthOf(value));
      return;
    }
    this.#ensure(4 + size * 3);
    const buffer = this.#buffer;
    const start = this.#length + 4;
    // short ASCII values are the rule: cheaper by hand than through the native encoder
    if (size < 24) {
      let i = 0;
      for (; i < size; i++) {
        const code = value.charCodeAt(i);
        if (code > 127) break;
        buffer[start + i] = code;
      }
      if (i === size) {
        buffer[start - 4] = 0;
        buffer[start - 3] = 0;
        buffer[start - 2] = 0;
        buffer[start - 1] = size;
        this.#length = start + size;
        return;
      }
    }
    const written = buffer.utf8Write(value, start);
    buffer.writeInt32BE(written, start - 4);
    this.#length = start + written;
  }

  bytesField(value: Uint8Array): void {
    if (value.length > LARGE_TEXT) {
      this.#largeField(value, value.length);
      return;
    }
    this.int32(value.length);
    this.bytes(value);
  }

  /** As bytesField, of bytes [start, end); they are few. */
  rangeField(bytes: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.int32(size);
    this.#ensure(size);
    const buffer = this.#buffer;
    const to = this.#length;
    // cheaper by hand than a view and a native copy
    if (size <= 64) for (let i = 0; i < size; i++) buffer[to + i] = bytes[start + i]!;
    else buffer.set(bytes.subarray(start, end), to);
    this.#length = to + size;
  }

  nullField(): void {
    this.int32(-1);
  }

  /** Everything written so far, in place. Follow it by `rewind` or `detach`. */
  written(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written has been sent: the buffer is used anew. */
  rewind(): void {
    this.#length = 0;
    if (this.#buffer.length === INITIAL_BYTES && pool.length < MAX_POOLED) {
      pool.push(this.#buffer);
      this.#buffer = NONE;
    } else if (this.#buffer.length > KEEP_BYTES) this.#buffer = NONE;
  }

  /** Somebody keeps the bytes of `written`: a new buffer for what comes. */
  detach(): void {
    this.#buffer = NONE;
    this.#length = 0;
  }

  /** Hands over everything written so far and starts anew. */
  take(): Buffer {
    const out = this.written();
    this.detach();
    return out;
  }

  #ensure(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    if (this.#buffer.length === 0 && needed <= INITIAL_BYTES) {
      this.#buffer = pool.pop() ?? Buffer.allocUnsafeSlow(INITIAL_BYTES);
      return;
    }
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, needed));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

declare global {
  interface Buffer {
    /** Node's fast UTF-8 writer; writes at `offset` and answers the bytes written. */
    utf8Write(value: string, offset?: number, length?: number): number;
  }
}

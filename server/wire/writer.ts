/**
 * A growing buffer of backend messages. One per connection, reused: messages of one event turn leave
 * in one write. Pure: no sockets.
 */
const INITIAL_BYTES = 4096;
/** A buffer that grew beyond this is given back after it was taken. */
const KEEP_BYTES = 64 * 1024;

export class WireWriter {
  #buffer: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;
  #messageStart = 0;
  #open = false;

  /** Bytes written and not taken yet. */
  get length(): number {
    return this.#length;
  }

  /**
   * Starts a message; its length word is filled in by `end`. A message that was begun and not ended
   * (a value that could not be printed) is dropped, so that an error can follow it.
   */
  begin(code: number): void {
    if (this.#open) this.#length = this.#messageStart - 1;
    this.#open = true;
    this.#ensure(5);
    this.#buffer[this.#length] = code;
    this.#messageStart = this.#length + 1;
    this.#length += 5;
  }

  end(): void {
    this.#open = false;
    this.#buffer.writeInt32BE(this.#length - this.#messageStart, this.#messageStart);
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

  /** A field of a DataRow in text: length word and UTF-8. */
  textField(value: string): void {
    const size = value.length;
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
    this.int32(value.length);
    this.bytes(value);
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
    if (this.#buffer.length > KEEP_BYTES) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }

  /** Somebody keeps the bytes of `written`: a new buffer for what comes. */
  detach(): void {
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(Math.max(INITIAL_BYTES, this.#length), KEEP_BYTES));
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

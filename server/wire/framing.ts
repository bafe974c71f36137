/**
 * Cuts a byte stream into messages. The one place that knows about partial packets. Chunks are kept
 * in a list until a message is whole; a large one is put together as it comes, so that a message of any
 * size is copied once, and never all at once.
 */
import { DatabaseError } from '../../engine/errors.js';
import { isFrontendCode } from './frontend.js';

/** Startup packets may not be longer than this (MAX_STARTUP_PACKET_LENGTH). */
const LARGE_MESSAGE = 1 << 20;
const MAX_STARTUP_BYTES = 10_000;
/** PQ_LARGE_MESSAGE_LIMIT: a gigabyte less one. */
export const MAX_MESSAGE_BYTES = 0x3fffffff - 1;

export interface Frame {
  /** 0 for startup packets. */
  readonly code: number;
  readonly body: Buffer;
}

const EMPTY = Buffer.alloc(0);

export class Framing {
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk handed out already. */
  #at = 0;
  #buffered = 0;
  /** The large message that is coming in. */
  #large: { readonly code: number; readonly body: Buffer; filled: number } | null = null;
  /** Set once the client has sent its startup packet: messages have a code byte from then on. */
  startupDone = false;
  /** Longest message accepted; short until the client has authenticated. */
  maxMessageBytes = MAX_MESSAGE_BYTES;

  /** Bytes received and not handed out yet. */
  get buffered(): number {
    return this.#buffered;
  }

  /** First byte received and not consumed; undefined without one. */
  get firstByte(): number | undefined {
    return this.#chunks[0]?.[this.#at];
  }

  push(chunk: Buffer): void {
    const large = this.#large;
    if (large && large.filled < large.body.length) {
      const taken = chunk.copy(large.body, large.filled);
      large.filled += taken;
      if (taken === chunk.length) return;
      chunk = chunk.subarray(taken);
    }
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /** The next whole message, or null. Raises FATAL 08P01 for what cannot be one. */
  next(): Frame | null {
    return this.startupDone ? this.#message() : this.#startup();
  }

  /** Everything left, for a TLS handshake that takes the stream over. */
  takeRest(): Buffer {
    return this.#consume(this.#buffered);
  }

  #startup(): Frame | null {
    if (this.#buffered < 4) return null;
    const length = this.#peek(4).readInt32BE(0);
    if (length < 8 || length > MAX_STARTUP_BYTES) throw new DatabaseError('08P01', 'invalid length of startup packet', { severity: 'FATAL' });
    if (this.#buffered < length) return null;
    return { code: 0, body: this.#consume(length).subarray(4) };
  }

  #message(): Frame | null {
    if (this.#large) {
      const { code, body, filled } = this.#large;
      if (filled < body.length) return null;
      this.#large = null;
      return { code, body };
    }
    if (this.#buffered === 0) return null;
    let first = this.#chunks[0];
    // a wrong code is said at once, not after its length has come
    const code = first[this.#at];
    if (!isFrontendCode(code)) throw new DatabaseError('08P01', `invalid frontend message type ${code}`, { severity: 'FATAL' });
    if (this.#buffered < 5) return null;
    if (first.length - this.#at < 5) first = this.#joined();
    const length = first.readInt32BE(this.#at + 1);
    if (length < 4 || length > this.maxMessageBytes) throw new DatabaseError('08P01', 'invalid message length', { severity: 'FATAL' });
    if (this.#buffered < length + 1) {
      if (length > LARGE_MESSAGE) this.#beginLarge(code, length - 4);
      return null;
    }
    if (first.length - this.#at < length + 1) first = this.#joined();
    const start = this.#at + 5;
    this.#at += length + 1;
    this.#buffered -= length + 1;
    if (this.#at === first.length) {
      this.#chunks.shift();
      this.#at = 0;
    }
    return { code, body: length === 4 ? EMPTY : first.subarray(start, start + length - 4) };
  }

  /** All chunks as one, without what was handed out. */
  #joined(): Buffer {
    const [first, ...rest] = this.#chunks;
    const kept = first.subarray(this.#at);
    this.#at = 0;
    this.#chunks = [rest.length === 0 ? kept : Buffer.concat([kept, ...rest])];
    return this.#chunks[0];
  }

  #beginLarge(code: number, size: number): void {
    const body = Buffer.allocUnsafeSlow(size);
    let filled = -5;
    if (this.#at > 0) this.#joined();
    for (const chunk of this.#chunks) {
      if (filled < 0) chunk.copy(body, 0, -filled);
      else chunk.copy(body, filled);
      filled += chunk.length;
    }
    this.#chunks = [];
    this.#buffered = 0;
    this.#large = { code, body, filled };
  }

  #peek(count: number): Buffer {
    const first = this.#chunks[0];
    return this.#at === 0 && first.length >= count ? first : this.#joined();
  }

  #consume(count: number): Buffer {
    if (this.#buffered === 0) return EMPTY;
    const first = this.#peek(count);
    this.#buffered -= count;
    if (first.length === count) {
      this.#chunks.shift();
      return first;
    }
    this.#chunks[0] = first.subarray(count);
    return first.subarray(0, count);
  }
}

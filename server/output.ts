/**
 * What goes out on one connection. Output gathers in one buffer and leaves in one write when there is nothing left to process, or when it
 * has grown large; a client that does not read holds its own session only. What rests on a commit that is not on disk is held back.
 */
import type { Socket } from 'node:net';
import { turn } from '../engine/turns.js';
import { forgetPieces, piecesOf } from '../sql/types/large-text.js';
import { DirectWrites } from './direct-writes.js';
import { WireWriter, type Segment } from './wire/writer.js';

/** Output is sent early beyond this. */
const FLUSH_BYTES = 64 * 1024;
/** The session waits while the socket holds more than this. */
const PRESSURE_BYTES = 256 * 1024;

export class Output {
  readonly writer = new WireWriter();
  #socket: Socket;
  #direct: DirectWrites | undefined;
  #closed = false;
  /** Whoever waits for the client to read. */
  #waiting: (() => void)[] = [];
  /** Until it resolves, nothing is sent. */
  #held: Promise<void> | null = null;
  /** Something was to be sent meanwhile. */
  #flushHeld = false;
  /** What waits for a large value ahead of it to be sent. */
  #outbox: Segment[] = [];
  #sending: Promise<void> | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** From now on it goes to this socket; `direct`: by its handle, where that can be done. */
  to(socket: Socket, direct: boolean): void {
    this.#socket = socket;
    socket.on('drain', this.#drained);
    this.#direct = direct ? DirectWrites.on(socket, this.#drained) : undefined;
  }

  readonly #drained = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  };

  /** Bytes that the client has not taken. */
  get #pending(): number {
    return this.#direct ? this.#direct.pending : this.#socket.writableLength;
  }

  /** The connection is gone: nobody waits any longer. */
  close(): void {
    this.#closed = true;
    this.#drained();
  }

  /** What a statement found may rest on a commit that is not on disk: its answer waits here, while the session goes on and lets go of its locks. */
  holdUntil(durable: Promise<void>): void {
    this.#held = durable;
    durable.then(
      () => {
        if (this.#held !== durable) return;
        this.#held = null;
        if (this.#flushHeld) this.flush();
      },
      // The log has failed, and the process ends.
      () => undefined,
    );
  }

  flush(): void {
    const { writer } = this;
    if (writer.length === 0 || this.#closed) return;
    this.#flushHeld = this.#held !== null;
    if (this.#flushHeld) return;
    if (this.#sending || writer.hasLarge) {
      this.#outbox.push(...writer.takeSegments());
      this.#sending ??= this.#sendOutbox();
      return;
    }
    // What the kernel took at once needs its buffer no longer.
    if (this.#write(writer.written())) writer.rewind();
    else writer.detach();
  }

  /** True: all of it has gone. */
  #write(bytes: Uint8Array): boolean {
    if (this.#direct) return this.#direct.write(bytes);
    this.#socket.write(bytes);
    return this.#socket.writableLength === 0;
  }

  /** Sends segments, large values slice by slice as the client takes them. */
  async #sendOutbox(): Promise<void> {
    for (let segment = this.#outbox.shift(); segment && !this.#closed; segment = this.#outbox.shift()) {
      if (Buffer.isBuffer(segment)) this.#write(segment);
      else {
        for (const slice of slicesOf(segment.value)) {
          this.#write(slice);
          await this.#keepsUp();
          if (this.#closed) break;
        }
        if (typeof segment.value === 'string') forgetPieces(segment.value);
      }
    }
    this.#outbox = [];
    this.#sending = null;
  }

  /** A turn for others, or longer while the client does not read. */
  #keepsUp(): Promise<void> {
    return this.#pending < PRESSURE_BYTES ? turn() : this.#drain();
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Flushes what is large; a promise while the client does not keep up. */
  relieve(): Promise<void> | undefined {
    if (this.writer.length < FLUSH_BYTES) return undefined;
    if (this.#held) return this.#held;
    this.flush();
    if (this.#sending) return this.#sending;
    return this.#pending < PRESSURE_BYTES || this.#closed ? undefined : this.#drain();
  }

  /** Sends what there is and says no more. */
  end(): void {
    if (this.#held) {
      const end = (): void => this.#endNow();
      void this.#held.then(end, end);
      return;
    }
    this.#endNow();
  }

  #endNow(): void {
    this.flush();
    if (this.#sending) void this.#sending.then(() => this.#socket.end());
    else this.#socket.end();
  }
}

/** A large value as buffers of some hundred kilobytes. */
function* slicesOf(value: string | Uint8Array): Generator<Uint8Array> {
  if (typeof value === 'string') for (const piece of piecesOf(value)) yield Buffer.from(piece, 'utf8');
  else for (let at = 0; at < value.length; at += FLUSH_BYTES * 4) yield value.subarray(at, at + FLUSH_BYTES * 4);
}

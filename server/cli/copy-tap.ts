/**
 * Takes the data of COPY messages off a connection of node-postgres before its parser sees them: that one copies each
 * byte three times, which is most of a backup's time. All other messages go to it unchanged.
 */
import type { Socket } from 'node:net';

const COPY_DATA = 0x64;
const HEAD = 5;

type DataListener = (chunk: Buffer) => void;

export class CopyTap {
  private chunks: Buffer[] = [];
  private readonly head = Buffer.alloc(HEAD);
  private headBytes = 0;
  /** Bytes of the current message still to come. */
  private left = 0;
  private taken = false;
  private readonly listeners: DataListener[];

  /** `stream`: the connection's, once it is established (behind TLS, if there is any). */
  constructor(stream: Socket) {
    this.listeners = stream.listeners('data') as DataListener[];
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => this.received(chunk));
  }

  /** What came since the last call, as views of what the socket gave. */
  take(): Buffer[] {
    const { chunks } = this;
    this.chunks = [];
    return chunks;
  }

  private received(chunk: Buffer): void {
    // What the parser gets of this chunk begins here; -1: nothing open.
    let pass = this.left > 0 && !this.taken ? 0 : -1;
    let at = 0;
    while (at < chunk.length) {
      if (this.left === 0) {
        const took = chunk.copy(this.head, this.headBytes, at, Math.min(chunk.length, at + HEAD - this.headBytes));
        const began = at;
        at += took;
        this.headBytes += took;
        if (this.headBytes < HEAD) {
          // Not decided yet: what was open ends before it.
          if (pass >= 0 && began > pass) this.pass(chunk.subarray(pass, began));
          return;
        }
        this.headBytes = 0;
        this.left = this.head.readUInt32BE(1) - 4;
        const taken = this.head[0] === COPY_DATA;
        if (taken) {
          if (pass >= 0 && began > pass) this.pass(chunk.subarray(pass, began));
          pass = -1;
        } else if (took < HEAD) {
          // Its head came in two chunks.
          this.pass(Buffer.from(this.head));
          pass = at;
        } else if (pass < 0) pass = began;
        this.taken = taken;
        continue;
      }
      const end = Math.min(chunk.length, at + this.left);
      if (this.taken) this.chunks.push(chunk.subarray(at, end));
      this.left -= end - at;
      at = end;
    }
    if (pass >= 0 && at > pass) this.pass(chunk.subarray(pass, at));
  }

  private pass(bytes: Buffer): void {
    for (const listener of this.listeners) listener(bytes);
  }
}

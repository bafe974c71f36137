/**
 * Writing to a socket by its handle. What Node's streams do around a write (state, a callback by process.nextTick, an object per write) costs as much
 * main thread as reading a row by its key; mostly the kernel takes all at once and there is nothing to remember.
 *
 * What it does not take waits in libuv's queue, in order, also before a later `end` of the socket. An error destroys the socket, whose `close`
 * event says so to everybody. Where this Node has no such handles (or under TLS) the socket is written to as usual.
 */
import type { Socket } from 'node:net';

interface WriteRequest {
  oncomplete: (status: number) => void;
  buffer: Uint8Array | null;
}

interface Handle {
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number;
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

/** Node's own, by the door that it keeps open for modules from before there were others. */
function streamBinding(): StreamBinding | undefined {
  try {
    const binding = (process as unknown as { binding(name: string): Partial<StreamBinding> }).binding('stream_wrap');
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding;
    return WriteWrap && streamBaseState && typeof kLastWriteWasAsync === 'number' ? { WriteWrap, streamBaseState, kLastWriteWasAsync } : undefined;
  } catch {
    return undefined;
  }
}

const binding = streamBinding();

export class DirectWrites {
  /** Bytes that the kernel has not taken yet. */
  pending = 0;
  /** Used again as long as writes end at once. */
  #request: WriteRequest;

  private constructor(private readonly socket: Socket, private readonly handle: Required<Handle>, private readonly stream: StreamBinding, private readonly drained: () => void) {
    this.#request = new stream.WriteWrap();
  }

  /** undefined: the socket must be written to as usual. `drained`: nothing is pending any more. */
  static on(socket: Socket, drained: () => void): DirectWrites | undefined {
    const handle = (socket as unknown as { _handle: Handle | null })._handle;
    if (!binding || typeof handle?.writeBuffer !== 'function' || socket.writableLength > 0 || socket.destroyed) return undefined;
    return new DirectWrites(socket, handle as Required<Handle>, binding, drained);
  }

  /** True: the kernel has all of it, and the bytes may be changed. Else they must stay as they are. */
  write(bytes: Uint8Array): boolean {
    const { socket, stream } = this;
    // Its handle has gone with it, or it says no more.
    if (socket.destroyed || socket.writableEnded) return true;
    const request = this.#request;
    const error = this.handle.writeBuffer(request, bytes);
    if (error !== 0) {
      socket.destroy();
      return true;
    }
    if (stream.streamBaseState[stream.kLastWriteWasAsync] === 0) return true;
    this.#request = new stream.WriteWrap();
    this.pending += bytes.length;
    request.buffer = bytes;
    request.oncomplete = (status) => {
      request.buffer = null;
      this.pending -= bytes.length;
      if (status < 0) socket.destroy();
      else if (this.pending === 0) this.drained();
    };
    return false;
  }
}

/**
 * Reading into one buffer that all connections share. Node otherwise allocates 64 KB for each read of each socket and trims
 * it afterwards: a fifth of a key read's time on the main thread, and garbage.
 *
 * Node offers this (`onread`) only for sockets that it makes itself from options, so a socket that the listener accepted is
 * taken over by its handle. Where that is not possible (another Node, TLS) the socket is used as it is.
 */
import { Socket } from 'node:net';

const shared = Buffer.allocUnsafeSlow(64 << 10);

/** What Node's sockets have beyond their declared interface. */
interface Inner {
  _handle: { readStop?(): number; reading?: boolean } | null;
  _server: unknown;
}

interface HandleOptions {
  readonly handle: object;
  readonly readable: true;
  readonly writable: true;
  readonly onread: { readonly buffer: Uint8Array; callback(length: number, buffer: Uint8Array): boolean };
}

/**
 * A socket on the same connection that hands what arrives to `received`, each chunk a copy of its own. `accepted` is not
 * to be used any more. undefined: it must be used as it is.
 */
export function withSharedReads(accepted: Socket, received: (chunk: Buffer) => void): Socket | undefined {
  const inner = accepted as unknown as Inner;
  const handle = inner._handle;
  if (!handle || typeof handle.readStop !== 'function' || accepted.readableLength > 0 || accepted.writableLength > 0 || accepted.destroyed) return undefined;
  handle.readStop();
  handle.reading = false;
  accepted.removeAllListeners();
  const options: HandleOptions = {
    handle, readable: true, writable: true,
    onread: {
      buffer: shared,
      callback: (length) => {
        received(Buffer.from(shared.subarray(0, length)));
        return true;
      },
    },
  };
  const socket = new Socket(options as object);
  // The listener's count of connections goes with the handle.
  (socket as unknown as Inner)._server = inner._server;
  inner._server = null;
  inner._handle = null;
  return socket;
}

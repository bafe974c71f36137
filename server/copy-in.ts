/** Messages of COPY FROM STDIN, until CopyDone or CopyFail. */
import { DatabaseError } from '../engine/errors.js';
import type { CopyInStream } from '../sql/session/sink.js';
import type { Frame } from './wire/framing.js';
import { decodeFrontend } from './wire/frontend.js';

/** Rows are handed on in chunks of this size, as far as they have come. */
const COPY_CHUNK = 64 * 1024;
const COPY_DATA = 'd'.charCodeAt(0);

/** Where messages come from. */
export interface CopySource {
  /** The next message that has come whole, or null. */
  arrived(): Frame | null;
  /** The next message, or null when the client is gone. */
  next(): Promise<Frame | null>;
}

export function copyIn(source: CopySource): CopyInStream {
  // A message that ended a run of small ones.
  let held: Frame | null = null;
  const take = async (): Promise<Frame> => {
    const frame = held ?? (await source.next());
    held = null;
    if (!frame) throw new DatabaseError('08006', 'connection to client lost', { severity: 'FATAL' });
    return frame;
  };
  /** Some clients send a message for each row: what has come is handed on together. */
  const gather = (first: Buffer): Buffer => {
    const parts = [first];
    for (let bytes = first.length; bytes < COPY_CHUNK; ) {
      const frame = source.arrived();
      if (!frame) break;
      if (frame.code !== COPY_DATA) {
        held = frame;
        break;
      }
      parts.push(frame.body);
      bytes += frame.body.length;
    }
    return parts.length === 1 ? first : Buffer.concat(parts);
  };
  return {
    next: async () => {
      for (;;) {
        const frame = await take();
        const message = decodeFrontend(frame.code, frame.body);
        switch (message.type) {
          case 'copyData': return gather(message.data);
          case 'copyDone': return null;
          case 'copyFail': throw new DatabaseError('57014', `COPY from stdin failed: ${message.reason}`);
          case 'flush': case 'sync': break;
          default: throw new DatabaseError('08P01', `unexpected message type 0x${frame.code.toString(16).toUpperCase()} during COPY from stdin`, { severity: 'FATAL' });
        }
      }
    },
  };
}

/**
 * A data object of a backup before it is sealed: u32 length of the head, the head as JSON, entries
 * (entries.ts). The head holds the position of the scan behind it, so that an interrupted backup goes on.
 */
import type { RemoteCursor } from './remote.js';

export interface PartHead {
  readonly entries: number;
  readonly next: RemoteCursor | null;
}

export function encodePart(head: PartHead, ...bytes: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json, ...bytes]);
}

export function decodePart(raw: Uint8Array): { head: PartHead; bytes: Uint8Array } {
  const buffer = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
  const end = 4 + buffer.readUInt32LE(0);
  return { head: JSON.parse(buffer.toString('utf8', 4, end)) as PartHead, bytes: raw.subarray(end) };
}

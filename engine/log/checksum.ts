/** CRC-32 (IEEE) of log batches: zlib's native one where Node has it (20.15, 22.2), a table otherwise. */
import * as zlib from 'node:zlib';

type Crc = (data: Uint8Array, seed?: number) => number;

const native = (zlib as { crc32?: Crc }).crc32;

const table = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  table[n] = c >>> 0;
}

/** `seed`: the CRC of what stands before `data`. */
export function crc32Portable(data: Uint8Array, seed = 0): number {
  let c = ~seed;
  for (let i = 0; i < data.length; i++) c = table[(c ^ data[i]!) & 0xff]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

export const crc32: Crc = native ? (data, seed) => native(data, seed) >>> 0 : crc32Portable;

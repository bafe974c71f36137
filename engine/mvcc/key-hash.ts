/** 48 bits of a key (the first `length` bytes): two keys that collide wait for each other for nothing, no more. */
export function hashKey(key: Uint8Array, length: number = key.length): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < length; i++) {
    a = Math.imul(a ^ key[i]!, 0x01000193);
    b = Math.imul(b ^ key[i]!, 0x5bd1e995) ^ (b >>> 15);
  }
  return (a >>> 0) + (b & 0xffff) * 0x100000000;
}

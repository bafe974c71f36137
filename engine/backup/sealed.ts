/**
 * Every object of a target is sealed: compressed, optionally encrypted, and bound to its name, so
 * that a damaged, cut or exchanged object is always noticed.
 *
 *      0   8B  magic "OXBSEAL1"
 *      8   u8  compression: 0 none, 1 brotli, 2 gzip
 *      9   u8  encryption: 0 none, 1 AES-256-GCM under HKDF-SHA256(key, salt)
 *     10  u16  0
 *     12  u32  bytes before compression
 *     16  16B  salt
 *     32  32B  SHA-256 of name, bytes 0..32 and the rest from 64 on
 *     64       payload; encrypted: followed by the 16-byte tag, with name and bytes 0..32 as associated data
 *
 * The derived key is used for this one object, so the nonce can be fixed.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, brotliCompressSync, brotliDecompress, constants, gunzip } from 'node:zlib';
import { DatabaseError } from '../errors.js';
import type { RandomSource } from '../runtime.js';

const MAGIC = Buffer.from('OXBSEAL1');
const HEADER = 64;
const TAG = 16;
const NONCE = new Uint8Array(12);
const PARAMETERS = { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_LGWIN]: 20 };
const compressAsync = promisify(brotliCompress);
const decompressBrotli = promisify(brotliDecompress);
const decompressGzip = promisify(gunzip);

const Compression = { none: 0, brotli: 1, gzip: 2 } as const;

export interface Sealing {
  readonly random: RandomSource;
  /** 32 bytes; undefined: not encrypted. */
  readonly key: Uint8Array | undefined;
}

function brotliOptions(bytes: number): { params: Record<number, number>; chunkSize: number } {
  return { params: { ...PARAMETERS, [constants.BROTLI_PARAM_SIZE_HINT]: bytes }, chunkSize: chunkFor(bytes / 8) };
}

/** Node's zlib goes to its thread and back for each so many bytes of output. */
const chunkFor = (bytes: number): number => Math.min(Math.max(Math.ceil(bytes), 16 << 10), 32 << 20);

/** Compresses on libuv's threads. */
export async function seal(name: string, raw: Uint8Array, sealing: Sealing): Promise<Uint8Array> {
  return finish(name, raw, await compressAsync(raw, brotliOptions(raw.length)), sealing);
}

/** Compresses on this thread: for threads of their own, which leave libuv's to the log's syncs. */
export function sealSync(name: string, raw: Uint8Array, sealing: Sealing): Uint8Array {
  return finish(name, raw, brotliCompressSync(raw, brotliOptions(raw.length)), sealing);
}

function finish(name: string, raw: Uint8Array, compressed: Uint8Array, { random, key }: Sealing): Uint8Array {
  const smaller = compressed.length < raw.length;
  const body = smaller ? compressed : raw;
  const out = Buffer.alloc(HEADER + body.length + (key ? TAG : 0));
  MAGIC.copy(out);
  out[8] = smaller ? Compression.brotli : Compression.none;
  out[9] = key ? 1 : 0;
  out.writeUInt32LE(raw.length, 12);
  out.set(random.bytes(16), 16);
  if (key) {
    const cipher = createCipheriv('aes-256-gcm', objectKey(key, out.subarray(16, 32)), NONCE);
    cipher.setAAD(Buffer.concat([Buffer.from(name), out.subarray(0, 32)]));
    cipher.update(body).copy(out, HEADER);
    cipher.final();
    cipher.getAuthTag().copy(out, HEADER + body.length);
  } else out.set(body, HEADER);
  sealHash(name, out).copy(out, 32);
  return out;
}

function objectKey(key: Uint8Array, salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, 'oxbow backup object', 32));
}

function sealHash(name: string, object: Uint8Array): Buffer {
  return createHash('sha256').update(name).update(object.subarray(0, 32)).update(object.subarray(HEADER)).digest();
}

export class DamagedObject extends DatabaseError {
  constructor(readonly object: string, why: string) {
    super('XX001', `object "${object}" is damaged: ${why}`);
  }
}

/** Whether the object is whole and belongs to its name; needs no key. */
export function checkSeal(name: string, object: Uint8Array): void {
  const bytes = Buffer.from(object.buffer, object.byteOffset, object.length);
  if (bytes.length < HEADER || bytes.compare(MAGIC, 0, 8, 0, 8) !== 0) throw new DamagedObject(name, bytes.length < HEADER ? `it has only ${bytes.length} bytes` : 'its first bytes are wrong');
  if (sealHash(name, bytes).compare(bytes, 32, HEADER) !== 0) throw new DamagedObject(name, 'its SHA-256 does not match');
}

/** Checks and opens a sealed object. Raises DamagedObject, or 22023 when the key is missing or wrong. */
export async function unseal(name: string, object: Uint8Array, key: Uint8Array | undefined): Promise<Uint8Array> {
  checkSeal(name, object);
  const bytes = Buffer.from(object.buffer, object.byteOffset, object.length);
  let body: Uint8Array = bytes.subarray(HEADER);
  if (bytes[9] === 1) {
    if (!key) throw new DatabaseError('22023', `object "${name}" is encrypted and no key was given`, { hint: 'Use --key-file or --key-command.' });
    const decipher = createDecipheriv('aes-256-gcm', objectKey(key, bytes.subarray(16, 32)), NONCE);
    decipher.setAAD(Buffer.concat([Buffer.from(name), bytes.subarray(0, 32)]));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG));
    try {
      body = Buffer.concat([decipher.update(bytes.subarray(HEADER, bytes.length - TAG)), decipher.final()]);
    } catch {
      throw new DatabaseError('22023', `object "${name}" cannot be decrypted with this key`);
    }
  }
  const output = { chunkSize: chunkFor(bytes.readUInt32LE(12) + 1) };
  const raw = bytes[8] === Compression.brotli ? await decompressBrotli(body, output) : bytes[8] === Compression.gzip ? await decompressGzip(body, output) : body;
  if (raw.length !== bytes.readUInt32LE(12)) throw new DamagedObject(name, 'its length does not match');
  return new Uint8Array(raw.buffer, raw.byteOffset, raw.length);
}

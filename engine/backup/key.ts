/** The key that backups are encrypted with: from a file, or from what a command prints (a KMS client, a vault). */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { DatabaseError } from '../errors.js';

export interface KeyOptions {
  readonly keyFile?: string | null;
  readonly keyCommand?: string | null;
}

/** 32 bytes, or undefined when neither a file nor a command is given. */
export function loadKey({ keyFile, keyCommand }: KeyOptions): Uint8Array | undefined {
  if (keyFile && keyCommand) throw new DatabaseError('22023', 'give a key file or a key command, not both');
  if (keyFile) return parseKey(readFileSync(keyFile), `key file "${keyFile}"`);
  if (!keyCommand) return undefined;
  const { status, stdout, error } = spawnSync('/bin/sh', ['-c', keyCommand], { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 16 });
  if (error || status !== 0) throw new DatabaseError('22023', `the key command failed${status === null ? '' : ` with exit code ${status}`}`);
  return parseKey(stdout, 'what the key command printed');
}

/** 32 raw bytes, 64 hexadecimal digits, or base64 of 32 bytes. */
function parseKey(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length === 32) return Uint8Array.from(bytes);
  const text = Buffer.from(bytes).toString('latin1').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(Buffer.from(text, 'hex'));
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Uint8Array.from(Buffer.from(text, 'base64'));
  throw new DatabaseError('22023', `${what} is not a key`, { hint: 'A key is 32 bytes: raw, as 64 hexadecimal digits (openssl rand -hex 32), or in base64.' });
}

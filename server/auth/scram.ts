/**
 * SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), over verifiers as PostgreSQL stores them:
 * SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. Without channel binding.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { DatabaseError } from '../../engine/errors.js';
import type { ScramVerifier } from '../../sql/catalog/scram.js';

function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

function attribute(part: string | undefined, name: string): string {
  if (!part?.startsWith(`${name}=`)) throw new DatabaseError('08P01', 'malformed SCRAM message', { severity: 'FATAL', detail: `Expected attribute "${name}".` });
  return part.slice(2);
}

/**
 * One exchange. A user without a password gets a mock verifier, so that the exchange does not tell
 * which users exist.
 */
export class ScramExchange {
  #clientFirstBare = '';
  #serverFirst = '';
  #nonce = '';
  #gs2 = '';

  constructor(
    private readonly verifier: ScramVerifier | null,
    private readonly mock: ScramVerifier,
    private readonly serverNonce: string,
  ) {}

  /** client-first-message -> server-first-message */
  first(message: string): string {
    const match = /^(([ny]|p=[^,]+),([^,]*),)(.*)$/s.exec(message);
    if (!match) throw new DatabaseError('08P01', 'malformed SCRAM message', { severity: 'FATAL' });
    if (match[2].startsWith('p=')) throw new DatabaseError('08P01', 'malformed SCRAM message', { severity: 'FATAL', detail: 'The client selected channel binding, which was not offered.' });
    this.#gs2 = match[1];
    this.#clientFirstBare = match[4];
    const parts = this.#clientFirstBare.split(',');
    if (parts[0]?.startsWith('m=')) throw new DatabaseError('0A000', 'client requires an unsupported SCRAM extension', { severity: 'FATAL' });
    attribute(parts[0], 'n');
    const clientNonce = attribute(parts[1], 'r');
    const verifier = this.verifier ?? this.mock;
    this.#nonce = clientNonce + this.serverNonce;
    this.#serverFirst = `r=${this.#nonce},s=${Buffer.from(verifier.salt).toString('base64')},i=${verifier.iterations}`;
    return this.#serverFirst;
  }

  /** client-final-message -> server-final-message, or null when the proof is wrong. */
  final(message: string): string | null {
    const proofAt = message.lastIndexOf(',p=');
    if (proofAt < 0) throw new DatabaseError('08P01', 'malformed SCRAM message', { severity: 'FATAL' });
    const withoutProof = message.slice(0, proofAt);
    const parts = withoutProof.split(',');
    if (attribute(parts[0], 'c') !== Buffer.from(this.#gs2).toString('base64'))
      throw new DatabaseError('08P01', 'unexpected SCRAM channel-binding attribute in client-final-message', { severity: 'FATAL' });
    if (attribute(parts[1], 'r') !== this.#nonce) throw new DatabaseError('08P01', 'invalid SCRAM response', { severity: 'FATAL', detail: 'Nonce does not match.' });
    const proof = Buffer.from(message.slice(proofAt + 3), 'base64');
    const { storedKey, serverKey } = this.verifier ?? this.mock;
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, authMessage);
    if (proof.length !== signature.length) return null;
    const clientKey = Buffer.from(proof.map((byte, i) => byte ^ signature[i]));
    const matches = timingSafeEqual(createHash('sha256').update(clientKey).digest(), storedKey);
    return matches && this.verifier ? `v=${hmac(serverKey, authMessage).toString('base64')}` : null;
  }
}

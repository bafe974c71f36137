/** TLS on an accepted connection. */
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import { DatabaseError } from '../engine/errors.js';

/** The first byte of a TLS client hello: TLS without SSLRequest, by ALPN "postgresql". */
export const CLIENT_HELLO = 0x16;

/** The handshake. `received`: bytes of it that have been read already. */
export async function upgradeToTls(raw: Socket, secureContext: SecureContext, received: Buffer, requireAlpn: boolean): Promise<TLSSocket> {
  raw.removeAllListeners('data');
  raw.removeAllListeners('end');
  raw.pause();
  if (received.length > 0) raw.unshift(received);
  const secure = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] });
  await new Promise<void>((resolve, reject) => {
    secure.once('secure', resolve);
    secure.once('error', (error: Error) => reject(new DatabaseError('08P01', `could not accept SSL connection: ${error.message}`, { severity: 'FATAL' })));
    raw.once('close', () => reject(new DatabaseError('08006', 'connection lost during the TLS handshake', { severity: 'FATAL' })));
  });
  if (requireAlpn && secure.alpnProtocol !== 'postgresql') throw new DatabaseError('08P01', 'received direct SSL connection request without ALPN protocol negotiation extension', { severity: 'FATAL' });
  return secure;
}

/** Authentication of a connection by the method its rule names. */
import { createHmac } from 'node:crypto';
import { DatabaseError } from '../../engine/errors.js';
import type { PgRole } from '../../sql/catalog/catalog.js';
import * as backend from '../wire/backend.js';
import { MessageReader } from '../wire/reader.js';
import type { WireWriter } from '../wire/writer.js';
import { parseScramVerifier, type ScramVerifier } from '../../sql/catalog/scram.js';
import { ScramExchange } from './scram.js';

export interface AuthTransport {
  readonly writer: WireWriter;
  flush(): void;
  /** Body of the next authentication message. */
  response(): Promise<Buffer>;
  random(length: number): Uint8Array;
}

/** A verifier that no password fits, stable per user, so that absent users look like others. */
function mockVerifier(user: string, secret: Buffer): ScramVerifier {
  const salt = createHmac('sha256', secret).update(user).digest().subarray(0, 16);
  return { iterations: 4096, salt, storedKey: Buffer.alloc(32), serverKey: Buffer.alloc(32) };
}

/** Runs SCRAM-SHA-256. Raises 28P01 when the password is wrong, expired or absent. */
export async function authenticateScram(transport: AuthTransport, user: string, role: PgRole | undefined, mockSecret: Buffer, nowMicros: number): Promise<void> {
  const failed = new DatabaseError('28P01', `password authentication failed for user "${user}"`, { severity: 'FATAL' });
  const expired = role?.rolvaliduntil !== null && role?.rolvaliduntil !== undefined && Number(role.rolvaliduntil) < nowMicros;
  const verifier = role?.rolpassword && !expired ? (parseScramVerifier(role.rolpassword) ?? null) : null;
  const exchange = new ScramExchange(verifier, mockVerifier(user, mockSecret), Buffer.from(transport.random(18)).toString('base64'));
  backend.saslMechanisms(transport.writer, ['SCRAM-SHA-256']);
  transport.flush();
  const initial = new MessageReader(await transport.response());
  const mechanism = initial.cstring();
  if (mechanism !== 'SCRAM-SHA-256') throw new DatabaseError('08P01', 'client selected an invalid SASL authentication mechanism', { severity: 'FATAL' });
  const length = initial.int32();
  const first = length < 0 ? '' : initial.bytes(length).toString('utf8');
  backend.saslContinue(transport.writer, exchange.first(first));
  transport.flush();
  const answer = exchange.final((await transport.response()).toString('utf8'));
  if (answer === null) throw failed;
  backend.saslFinal(transport.writer, answer);
}

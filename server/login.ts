/** Who a client is: host rules, password, role, database. */
import { DatabaseError } from '../engine/errors.js';
import { authenticateScram } from './auth/authenticate.js';
import { methodFor } from './auth/host-rules.js';
import type { Output } from './output.js';
import type { ServerState } from './server-state.js';
import type { StartupSettings } from './startup.js';
import type { Frame } from './wire/framing.js';
import { decodeFrontend } from './wire/frontend.js';

/** Roles and databases are shared rows: any database shows them. */
const TEMPLATE1 = 1;

export interface Login { readonly roleOid: number; readonly databaseOid: number; readonly databaseName: string; readonly superuser: boolean }

/** Raises FATAL errors for whoever may not come in. `next`: the client's next message. */
export async function logIn(
  server: ServerState, { user, database, replication }: StartupSettings, address: string, tls: boolean, output: Output, next: () => Promise<Frame | null>,
): Promise<Login> {
  const shared = server.cluster.catalogs.committed(TEMPLATE1);
  const role = shared.roleNamed(user);
  const method = methodFor(server.hostRules, address, tls, user, database);
  if (method === null || method === 'reject') {
    throw new DatabaseError('28000', `no pg_hba.conf entry for host "${address}", user "${user}", database "${database}", ${tls ? 'SSL encryption' : 'no encryption'}`, { severity: 'FATAL' });
  }
  if (method === 'scram-sha-256') {
    await authenticateScram(
      { writer: output.writer, flush: () => output.flush(), response: () => response(next), random: (n) => server.runtime.random.bytes(n) },
      user, role, server.mockSecret, server.runtime.clock.nowMicros() - 946_684_800_000_000,
    );
  }
  if (!role) throw new DatabaseError('28000', `role "${user}" does not exist`, { severity: 'FATAL' });
  if (!role.rolcanlogin) throw new DatabaseError('28000', `role "${user}" is not permitted to log in`, { severity: 'FATAL' });
  const target = shared.databaseNamed(database);
  if (!target) throw new DatabaseError('3D000', `database "${database}" does not exist`, { severity: 'FATAL' });
  if (!target.datallowconn) throw new DatabaseError('55000', `database "${database}" is not currently accepting connections`, { severity: 'FATAL' });
  if (replication && !role.rolsuper && !role.rolreplication) throw new DatabaseError('42501', 'permission denied to start WAL sender', { severity: 'FATAL', detail: 'Only roles with the REPLICATION attribute may start a WAL sender process.' });
  server.admit(role.rolsuper);
  return { roleOid: role.oid, databaseOid: target.oid, databaseName: target.datname, superuser: role.rolsuper };
}

async function response(next: () => Promise<Frame | null>): Promise<Buffer> {
  const frame = await next();
  if (!frame) throw new DatabaseError('08006', 'connection to client lost', { severity: 'FATAL' });
  const message = decodeFrontend(frame.code, frame.body);
  if (message.type !== 'authentication') throw new DatabaseError('08P01', `expected SASL response, got message type ${frame.code}`, { severity: 'FATAL' });
  return message.body;
}

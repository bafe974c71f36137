/**
 * PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED. The engine holds what is prepared, over
 * restarts too; here stand PostgreSQL's rules about who may, and what a prepared transaction must not have done.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { PreparedTransaction } from '../../engine/storage.js';
import type { Session } from './session.js';

const MAX_GID = 199;

/** What is kept with a prepared transaction. */
interface PreparedInfo { readonly owner: number; readonly database: number }

export function preparedInfo(prepared: PreparedTransaction): PreparedInfo {
  return JSON.parse(Buffer.from(prepared.info).toString('utf8')) as PreparedInfo;
}

/** Answers the command tag: outside a block, or in a failed one, it is a ROLLBACK. */
export async function prepareTransaction(session: Session, gid: string): Promise<string> {
  const { transaction } = session;
  if (transaction.status !== 'block') {
    if (transaction.status !== 'failed') session.notice({ severity: 'WARNING', sqlstate: '25P01', message: 'there is no transaction in progress' });
    transaction.rollback();
    return 'ROLLBACK';
  }
  try {
    checkPreparable(session, gid);
  } catch (error) {
    // A failed PREPARE ends the transaction, as a failed COMMIT does.
    transaction.rollback();
    throw error;
  }
  const info: PreparedInfo = { owner: session.currentUser.oid, database: session.databaseOid };
  await transaction.prepare(gid, Buffer.from(JSON.stringify(info), 'utf8'));
  return 'PREPARE TRANSACTION';
}

function checkPreparable(session: Session, gid: string): void {
  const { cluster } = session;
  if (Buffer.byteLength(gid) > MAX_GID) throw new DatabaseError('22023', `transaction identifier "${gid}" is too long`);
  const max = session.settings.number('max_prepared_transactions');
  if (max === 0) throw new DatabaseError('55000', 'prepared transactions are disabled', { hint: 'Set max_prepared_transactions to a nonzero value.' });
  if (session.notifications.pending) throw new DatabaseError('0A000', 'cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY');
  if (session.portals.list().some((portal) => portal.cursor?.hold && portal.source)) throw new DatabaseError('0A000', 'cannot PREPARE a transaction that has created a cursor WITH HOLD');
  const prepared = cluster.storage.preparedTransactions();
  if (prepared.some((other) => other.gid === gid)) throw new DatabaseError('42710', `transaction identifier "${gid}" is already in use`);
  if (prepared.length >= max)
    throw new DatabaseError('53400', 'maximum number of prepared transactions reached', { hint: `Increase max_prepared_transactions (currently ${max}).` });
}

export async function finishPrepared(session: Session, gid: string, commit: boolean): Promise<string> {
  const tag = commit ? 'COMMIT PREPARED' : 'ROLLBACK PREPARED';
  const { storage } = session.cluster;
  if (session.transaction.status === 'block' || session.inMultiStatementMessage) throw new DatabaseError('25001', `${tag} cannot run inside a transaction block`);
  const found = storage.preparedTransactions().find((prepared) => prepared.gid === gid);
  if (!found) throw new DatabaseError('42704', `prepared transaction with identifier "${gid}" does not exist`);
  const { owner, database } = preparedInfo(found);
  if (owner !== session.currentUser.oid && !session.currentUser.superuser)
    throw new DatabaseError('42501', 'permission denied to finish prepared transaction', { hint: 'Must be superuser or the user that prepared the transaction.' });
  if (database !== session.databaseOid)
    throw new DatabaseError('0A000', 'prepared transaction belongs to another database', { hint: 'Connect to the database where the transaction was prepared to finish it.' });
  const rows = commit ? storage.preparedRows(gid) : [];
  const done = commit ? storage.commitPrepared(gid) : storage.rollbackPrepared(gid);
  const ended = !storage.preparedTransactions().some((prepared) => prepared.gid === gid);
  if (ended && rows.length > 0) session.cluster.catalogs.publishWritten(database, rows, found.xid, storage.watermarks.assigned);
  await done;
  return tag;
}

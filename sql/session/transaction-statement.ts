/** TransactionStmt: BEGIN, COMMIT, ROLLBACK, SAVEPOINT and the rest, from their parse nodes. */
import type { Node, TransactionStmt } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import { finishPrepared, prepareTransaction } from './prepared-transaction.js';
import type { Session } from './session.js';
import { normalIsolation, type TransactionModes } from './transaction.js';

interface DefElemNode { readonly DefElem: { readonly defname?: string; readonly arg?: Node } }

/** transaction_isolation, transaction_read_only, transaction_deferrable of BEGIN and SET TRANSACTION. */
export function transactionModes(options: readonly Node[] | undefined): TransactionModes {
  const modes: TransactionModes = {};
  for (const option of options ?? []) {
    const { defname, arg } = (option as DefElemNode).DefElem;
    const constant = (arg as { A_Const?: { sval?: { sval?: string }; ival?: { ival?: number } } } | undefined)?.A_Const;
    if (defname === 'transaction_isolation') modes.isolation = normalIsolation(constant?.sval?.sval ?? '');
    else if (defname === 'transaction_read_only') modes.readOnly = (constant?.ival?.ival ?? 0) === 1;
    else if (defname === 'transaction_deferrable') modes.deferrable = (constant?.ival?.ival ?? 0) === 1;
  }
  return modes;
}

/** May this statement run in a failed transaction block? */
export function endsFailedBlock(statement: TransactionStmt): boolean {
  return ['TRANS_STMT_COMMIT', 'TRANS_STMT_ROLLBACK', 'TRANS_STMT_ROLLBACK_TO', 'TRANS_STMT_PREPARE'].includes(statement.kind ?? '');
}

/** Runs it and answers its command tag. */
export function runTransactionStatement(statement: TransactionStmt, session: Session): string | Promise<string> {
  const { transaction } = session;
  switch (statement.kind) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      transaction.beginBlock(transactionModes(statement.options));
      return statement.kind === 'TRANS_STMT_BEGIN' ? 'BEGIN' : 'START TRANSACTION';
    case 'TRANS_STMT_COMMIT':
      return transaction.commitBlock(statement.chain ?? false);
    case 'TRANS_STMT_ROLLBACK':
      transaction.rollbackBlock(statement.chain ?? false);
      return 'ROLLBACK';
    case 'TRANS_STMT_SAVEPOINT':
      transaction.savepoint(statement.savepoint_name ?? '');
      return 'SAVEPOINT';
    case 'TRANS_STMT_RELEASE':
      transaction.releaseSavepoint(statement.savepoint_name ?? '');
      return 'RELEASE';
    case 'TRANS_STMT_ROLLBACK_TO':
      transaction.rollbackToSavepoint(statement.savepoint_name ?? '');
      return 'ROLLBACK';
    case 'TRANS_STMT_PREPARE':
      return prepareTransaction(session, statement.gid ?? '');
    case 'TRANS_STMT_COMMIT_PREPARED':
      return finishPrepared(session, statement.gid ?? '', true);
    case 'TRANS_STMT_ROLLBACK_PREPARED':
      return finishPrepared(session, statement.gid ?? '', false);
    default:
      throw notSupported(`transaction statement ${statement.kind}`);
  }
}

/**
 * pg_export_snapshot() and SET TRANSACTION SNAPSHOT: a snapshot under a name, as long as the transaction
 * that exported it lives, for others to read at the same moment (pg_dump -j).
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Snapshot, Storage, Transaction } from '../../engine/storage.js';
import type { EvalContext } from './context.js';
import { fc } from './define.js';

export interface ExportedSnapshot {
  readonly snapshot: Snapshot;
  readonly transaction: Transaction;
  readonly databaseOid: number;
}

const exported = new WeakMap<Storage, Map<string, ExportedSnapshot>>();
/** Snapshots exported by one transaction so far, for their names. */
const counts = new WeakMap<Transaction, number>();

function exportSnapshot(context: EvalContext): string {
  const { transaction, storage } = context;
  if (transaction.inSavepoint) throw new DatabaseError('25001', 'cannot export a snapshot from a subtransaction');
  let known = exported.get(storage);
  if (!known) exported.set(storage, (known = new Map()));
  for (const [name, { transaction: of }] of known) if (of.state !== 'active') known.delete(name);
  const count = (counts.get(transaction) ?? 0) + 1;
  counts.set(transaction, count);
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  const name = `${hex(context.session.pid)}-${hex(transaction.virtualId)}-${count}`;
  // Never released by itself: it lasts as long as the transaction does.
  known.set(name, { snapshot: transaction.takeSnapshot(), transaction, databaseOid: context.session.databaseOid });
  return name;
}

/** The snapshot that `name` stands for. */
export function importedSnapshot(name: string, storage: Storage, databaseOid: number): ExportedSnapshot {
  const found = exported.get(storage)?.get(name);
  if (!found || found.transaction.state !== 'active') throw new DatabaseError('22023', `invalid snapshot identifier: "${name}"`);
  if (found.databaseOid !== databaseOid) throw new DatabaseError('0A000', 'cannot import a snapshot from a different database');
  return found;
}

export const exportedSnapshotFunctions = [fc('pg_export_snapshot()', exportSnapshot)];

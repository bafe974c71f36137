/** Locking a row: in the lock table, and by the mark in the state that a version written ahead carries. */
import { DatabaseError } from '../errors.js';
import type { CommandId, RowId, StorageId } from '../ids.js';
import { NO_XID } from '../ids.js';
import { LockClass, ROW_MODE } from '../locks/modes.js';
import { Pending } from '../pending.js';
import type { RowLockResult, RowLockStrength, Snapshot, WaitPolicy } from '../storage.js';
import type { Engine } from './engine.js';
import { ALL_COMMANDS } from './staging.js';
import type { EngineTransaction } from './transaction.js';
import { FOREVER, Hit } from './version-store.js';

const LOCKED: RowLockResult = { kind: 'locked' };
const DELETED: RowLockResult = { kind: 'deleted' };
const SELF_MODIFIED: RowLockResult = { kind: 'self-modified' };
const SKIPPED: RowLockResult = { kind: 'skipped' };

const hit = new Hit();

/** See Transaction.lockRow. */
export function lockRow(engine: Engine, transaction: EngineTransaction, storage: StorageId, rowId: RowId, strength: RowLockStrength, policy: WaitPolicy, snapshot: Snapshot): RowLockResult | Pending {
  const own = transaction.writes.findRow(storage, rowId);
  if (own) {
    if (own.command >= snapshot.command) return SELF_MODIFIED;
    return own.tuple ? LOCKED : DELETED;
  }
  if (engine.isTemporary(storage)) return LOCKED;
  if (transaction.xid === NO_XID) transaction.assignXid();
  const held = engine.locks.acquire(transaction.lockOwner(), storage * 8 + LockClass.row, rowId, ROW_MODE[strength], policy === 'wait');
  if (held instanceof Pending) return held;
  if (!held) {
    if (policy === 'skip') return SKIPPED;
    throw new DatabaseError('55P03', 'could not obtain lock on row');
  }
  const found = engine.storeOf(storage).read(storage, rowId, FOREVER, transaction.staged?.asOf(ALL_COMMANDS), hit);
  // Its mark in the store is the lock of a row that was written ahead.
  const rival = hit.undecided === 0 ? undefined : engine.transactions.running(hit.undecided);
  if (rival && rival !== transaction) {
    if (policy === 'skip') return SKIPPED;
    if (policy === 'nowait') throw new DatabaseError('55P03', 'could not obtain lock on row');
    return engine.locks.awaitOwner(transaction.lockOwner(), rival.lockOwner()) ?? lockRow(engine, transaction, storage, rowId, strength, policy, snapshot);
  }
  if (hit.mine) {
    if (!transaction.staged!.asOf(snapshot.command).sees(hit.stamp)) return SELF_MODIFIED;
    return found ? LOCKED : DELETED;
  }
  if (!found) {
    transaction.sawVersion(hit.stamp);
    return DELETED;
  }
  if (hit.stamp <= snapshot.lsn) return LOCKED;
  transaction.sawVersion(hit.stamp);
  return { kind: 'updated', version: { rowId, tuple: hit.tuple, xmin: hit.xid, command: 0 as CommandId } };
}

/** The bound on what one transaction keeps in memory. */
import { DatabaseError } from '../errors.js';
import type { StorageId } from '../ids.js';
import type { EngineTransaction } from './transaction.js';

export class BulkLoad {
  /** Called when the write set is above the bound. */
  relieve(transaction: EngineTransaction): void {
    throw new DatabaseError('53200', 'out of memory', {
      detail: `The transaction has ${transaction.writes.bytes} bytes of uncommitted changes.`,
      hint: 'Commit in smaller pieces.',
    });
  }

  discard(_transaction: EngineTransaction, _storage: StorageId): void {}

  abort(_transaction: EngineTransaction): void {}
}

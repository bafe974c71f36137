/** An index that was just made is learned as soon as it is committed, so that nobody has to wait for that. */
import { learnedStore } from '../../engine/learned/learned-store.js';
import type { Transaction } from '../../engine/storage.js';
import type { Catalog, Index } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import { learnedMemory, learnedOptions } from './learned-access.js';

const FIRST_TRY_MS = 5;
/** Each waits twice as long as the one before: some minutes in all. */
const TRIES = 15;

export function learnSoon(index: Index, catalog: Catalog, transaction: Transaction, context: EvalContext): void {
  const { storage, runtime } = context;
  const { xid } = transaction;
  const options = learnedOptions(index, catalog);
  const bound = learnedMemory(context);
  let tries = 0;
  const attempt = (): void => {
    const status = storage.xidStatus(xid);
    if (status === 'committed') learnedStore(storage, runtime.clock).use(index.storage, options, bound);
    else if (status === 'in progress' && ++tries < TRIES) runtime.clock.after(FIRST_TRY_MS * 2 ** tries, attempt);
  };
  runtime.clock.after(FIRST_TRY_MS, attempt);
}

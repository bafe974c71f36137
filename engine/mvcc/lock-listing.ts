/** What is locked, waited for and read, as pg_locks shows it. */
import { assert } from '../errors.js';
import type { Xid } from '../ids.js';
import type { LockManager } from '../locks/lock-manager.js';
import { LockClass, modeName } from '../locks/modes.js';
import type { SerializableTransactions } from '../serializable/serializable.js';
import type { LockListing } from '../storage.js';

/** `byXid`: transactions in progress that have an xid. */
export function listLocks(locks: LockManager, byXid: ReadonlyMap<Xid, { readonly processId: number; readonly virtualId: number }>, serializable: SerializableTransactions): LockListing[] {
  const listing: LockListing[] = [];
  const none = 0 as Xid;
  locks.forEachHeld((owner, tagA, tagB, mode) => {
    // An owner's lock on itself only serves those who wait for its end: it is listed by xid below.
    if (tagA % 8 !== LockClass.transaction)
      listing.push({ ...describeTag(tagA, tagB), mode: modeName(tagA % 8, mode), granted: true, processId: owner.processId, virtualId: owner.virtualId, xid: owner.xid as Xid, blockerXid: none, waitStartMicros: 0 });
  });
  locks.forEachWait((wait) => {
    const { owner, tagA, tagB, mode, startMicros } = wait;
    const blockerXid = (locks.firstBlocker(wait)?.xid ?? 0) as Xid;
    listing.push({ ...describeTag(tagA, tagB), mode: modeName(tagA % 8, mode), granted: false, processId: owner.processId, virtualId: owner.virtualId, xid: owner.xid as Xid, blockerXid, waitStartMicros: startMicros });
  });
  for (const [xid, { processId, virtualId }] of byXid)
    listing.push({ kind: 'transaction', objectId: xid, subId: virtualId, keyKind: 0, mode: 'ExclusiveLock', granted: true, processId, virtualId, xid, blockerXid: none, waitStartMicros: 0 });
  serializable.forEachRead(({ processId, virtualId }, xid, { storage, kind, rowId }) =>
    listing.push({ kind: `read of ${kind}`, objectId: storage, subId: rowId, keyKind: 0, mode: 'SIReadLock', granted: true, processId, virtualId, xid, blockerXid: none, waitStartMicros: 0 }),
  );
  return listing;
}

function describeTag(tagA: number, tagB: number): Pick<LockListing, 'kind' | 'objectId' | 'subId' | 'keyKind'> {
  const lockClass = tagA % 8;
  const objectId = Math.floor(tagA / 8);
  switch (lockClass) {
    case LockClass.row:
      return { kind: 'row', objectId, subId: tagB, keyKind: 0 };
    case LockClass.uniqueKey:
      return { kind: 'unique key', objectId, subId: 0, keyKind: 0 };
    case LockClass.table:
      return { kind: 'table', objectId, subId: 0, keyKind: 0 };
    case LockClass.advisory:
      return { kind: 'advisory', objectId, subId: tagB % 0x100000000, keyKind: 1 };
    case LockClass.advisoryPair:
      return { kind: 'advisory', objectId, subId: tagB % 0x100000000, keyKind: 2 };
    default:
      assert(lockClass === LockClass.transaction, 'unknown lock class');
      return { kind: 'transaction', objectId: 0, subId: tagB, keyKind: 0 };
  }
}


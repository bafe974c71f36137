/** Lock identities: what `Transaction.lockTable` is given, the same for statements and DDL. */

/** A relation's lock. OIDs are unique in the cluster, except for catalog tables, where sharing a lock does no harm. */
export function relationLockId(oid: number): number {
  return oid;
}

/** Above all relations: names that are being created (see `nameLockId`). */
export const NAME_LOCKS = 2 ** 40;

/** Taken before an object of this name is made, so that two sessions do not make it twice. */
export function nameLockId(databaseOid: number, classOid: number, namespace: number, name: string): number {
  let hash = (databaseOid * 31 + classOid) * 31 + namespace;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
  return NAME_LOCKS + (hash >>> 0);
}

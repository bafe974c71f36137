/** Privileges as a query's permission list asks for them (ExecCheckRTPerms). */
import { hasColumnPrivilege, hasRelationPrivilege as hasWhole } from '../catalog/acl.js';
import type { Catalog, Oid, Relation } from '../catalog/catalog.js';

const LETTERS = { select: 'r', insert: 'a', update: 'w', delete: 'd' } as const;

/**
 * On the whole relation, or on every column named (0 is the whole row: then on all). A SELECT that
 * reads no column at all needs the privilege on any one of them.
 */
export function hasRelationPrivilege(catalog: Catalog, relation: Relation, role: Oid, privilege: 'select' | 'insert' | 'update' | 'delete', columns: readonly number[]): boolean {
  const letter = LETTERS[privilege];
  if (hasWhole(catalog, role, relation, letter)) return true;
  if (privilege === 'delete') return false;
  const live = relation.attributes.filter((attribute) => !attribute.attisdropped).map((attribute) => attribute.attnum);
  const has = (attnum: number): boolean => hasColumnPrivilege(catalog, role, relation, attnum, letter);
  if (columns.length === 0) return live.some(has);
  return columns.every((attnum) => (attnum === 0 ? live.every(has) : attnum < 0 ? live.some(has) : has(attnum)));
}

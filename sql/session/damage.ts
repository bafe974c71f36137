/**
 * Relations in which a check found damage (engine/verify). A value that fails its checksum is never served
 * anyway; but entries that a damaged page hides would be missing without a word. So statements that use
 * such a relation fail with XX001, until it is made anew, unless a superuser sets oxbow.read_damaged to
 * save what can still be read. A damaged index fails its table's statements, too: REINDEX gives it a new storage.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { StorageId } from '../../engine/ids.js';
import type { Catalog, Relation } from '../catalog/catalog.js';

export class DamagedRelations {
  private byStorage: ReadonlyMap<StorageId, string> = new Map();

  get any(): boolean {
    return this.byStorage.size > 0;
  }

  /** What is known from now on: a finding for each storage. */
  set(found: ReadonlyMap<StorageId, string>): void {
    this.byStorage = found;
  }

  /** Throws XX001 when the relation or one of its indexes is damaged. */
  refuse(relation: Relation): void {
    const own = this.byStorage.get(relation.storage);
    if (own !== undefined)
      throw new DatabaseError('XX001', `relation "${relation.relname}" is damaged`, {
        detail: own, hint: 'Stop the server and make the state anew: oxbow rebuild. SET oxbow.read_damaged = on reads what is left.', table: relation.relname,
      });
    for (const index of relation.indexes) {
      const found = this.byStorage.get(index.storage);
      if (found === undefined) continue;
      throw new DatabaseError('XX001', `index "${index.name}" of relation "${relation.relname}" is damaged`, {
        detail: found, hint: `REINDEX INDEX makes it anew from the table.`, table: relation.relname,
      });
    }
  }

  /** The same for relations by OID; those that are not there any more are somebody else's error. */
  refuseAny(catalog: Catalog, relations: Iterable<number>): void {
    for (const oid of relations) {
      const relation = catalog.relation(oid);
      if (relation) this.refuse(relation);
    }
  }
}

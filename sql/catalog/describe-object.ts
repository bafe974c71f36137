/** Objects in words, as messages and pg_describe_object say them (getObjectDescription). */
import type { Oid } from './catalog.js';
import type { CatalogView } from './catalog-view.js';
import { ClassOid } from './class-oids.js';
import { address, type ObjectAddress } from './dependency.js';
import { quoteIdentifier, quoteQualified } from './identifiers.js';
import { formatType } from '../analyzer/names.js';

const RELATION_KINDS: Readonly<Record<string, string>> = {
  r: 'table', p: 'table', i: 'index', I: 'index', S: 'sequence', t: 'toast table', v: 'view', m: 'materialized view', c: 'composite type', f: 'foreign table',
};

/** The name alone where `path` finds the relation, else with its schema. */
export function visibleRelationName(catalog: CatalogView, path: readonly Oid[], oid: Oid): string {
  const row = catalog.rows.one('pg_class', 'oid', oid);
  if (!row) return String(oid);
  const name = row[1] as string;
  for (const schema of path) {
    const found = catalog.relationOid(schema, name);
    if (found === oid) return quoteIdentifier(name);
    if (found !== undefined) break;
  }
  return quoteQualified(catalog.namespace(row[2] as Oid)?.nspname ?? null, name);
}

/** null when there is no such object. */
export function describeCatalogObject(catalog: CatalogView, path: readonly Oid[], object: ObjectAddress): string | null {
  const { rows } = catalog;
  const describe = (other: ObjectAddress): string => describeCatalogObject(catalog, path, other) ?? String(other.objectId);
  const named = (table: string, noun: string, column = 1): string | null => {
    const row = rows.one(table, 'oid', object.objectId);
    return row ? `${noun} ${quoteIdentifier(row[column] as string)}` : null;
  };
  switch (object.classId) {
    case ClassOid.pg_class: {
      const row = rows.one('pg_class', 'oid', object.objectId);
      if (!row) return null;
      const name = `${RELATION_KINDS[row[16] as string] ?? 'relation'} ${visibleRelationName(catalog, path, object.objectId)}`;
      if (object.subId === 0) return name;
      const column = rows.rows('pg_attribute', 'attrelid', object.objectId).find((candidate) => candidate[4] === object.subId);
      return column ? `column ${quoteIdentifier(column[1] as string)} of ${name}` : null;
    }
    case ClassOid.pg_constraint: {
      const constraint = catalog.constraint(object.objectId);
      if (!constraint) return null;
      const name = `constraint ${quoteIdentifier(constraint.conname)}`;
      return constraint.conrelid ? `${name} on ${describe(address(ClassOid.pg_class, constraint.conrelid))}` : `${name} on ${describe(address(ClassOid.pg_type, constraint.contypid))}`;
    }
    case ClassOid.pg_attrdef: {
      const row = rows.one('pg_attrdef', 'oid', object.objectId);
      return row ? `default value for ${describe(address(ClassOid.pg_class, row[1] as Oid, row[2] as number))}` : null;
    }
    case ClassOid.pg_rewrite: {
      const row = rows.one('pg_rewrite', 'oid', object.objectId);
      return row ? `rule ${row[1] as string} on ${describe(address(ClassOid.pg_class, row[2] as Oid))}` : null;
    }
    case ClassOid.pg_proc: {
      const proc = catalog.proc(object.objectId);
      return proc ? `function ${quoteIdentifier(proc.proname)}(${proc.proargtypes.map((type) => formatType(catalog, type)).join(',')})` : null;
    }
    case ClassOid.pg_type: return catalog.type(object.objectId) ? `type ${formatType(catalog, object.objectId)}` : null;
    case ClassOid.pg_namespace: return named('pg_namespace', 'schema');
    case ClassOid.pg_extension: return named('pg_extension', 'extension');
    case ClassOid.pg_authid: return named('pg_authid', 'role');
    case ClassOid.pg_database: return named('pg_database', 'database');
    case ClassOid.pg_tablespace: return named('pg_tablespace', 'tablespace');
    case ClassOid.pg_language: return named('pg_language', 'language');
    case ClassOid.pg_collation: return named('pg_collation', 'collation');
    case ClassOid.pg_am: return named('pg_am', 'access method');
    case ClassOid.pg_statistic_ext: {
      const row = rows.one('pg_statistic_ext', 'oid', object.objectId);
      if (!row) return null;
      const hidden = path.find((schema) => rows.rows('pg_statistic_ext', 'stxnamespace', schema).some((other) => other[2] === row[2])) !== row[3];
      return `statistics object ${hidden ? quoteQualified(catalog.namespace(row[3] as Oid)?.nspname ?? null, row[2] as string) : quoteIdentifier(row[2] as string)}`;
    }
    case ClassOid.pg_default_acl: return 'default privileges';
    default: return null;
  }
}

/** Sizes of relations and databases. Bytes are what the engine counts for their rows and entries. */
import { DatabaseError } from '../../engine/errors.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { EvalContext } from './context.js';
import { f, fc, set } from './define.js';
import type { SqlFunction } from './function.js';

const PAGE = 8192;

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

function ownSize(context: EvalContext, relation: Relation): number {
  if (relation.relkind === 'S') return PAGE;
  if (relation.storage === 0) return relation.relpages * PAGE;
  return pages(context.storage.byteSize(relation.storage));
}

function indexesSize(context: EvalContext, relation: Relation): number {
  let bytes = 0;
  for (const row of (context.catalog as CatalogView).rows.rows('pg_index', 'indrelid', relation.oid)) {
    const index = context.catalog.relation(row[0] as Oid);
    if (index) bytes += ownSize(context, index);
  }
  return bytes;
}

function relationFunction(signature: string, size: (context: EvalContext, relation: Relation) => number): SqlFunction {
  return fc(signature, ((oid: number, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    return relation ? size(context, relation) : null;
  }) as never);
}

function databaseSize(context: EvalContext, oid: Oid): number {
  if (!context.catalog.database(oid)) throw new DatabaseError('3D000', `database with OID ${oid} does not exist`);
  if (oid !== context.catalog.databaseOid) return 7_500_000;
  let bytes = 7_500_000;
  for (const entry of (context.catalog as CatalogView).rows.all('pg_class')) {
    const relation = (entry.values![0] as Oid) >= 16384 ? context.catalog.relation(entry.values![0] as Oid) : undefined;
    if (relation) bytes += ownSize(context, relation);
  }
  return bytes;
}

export const catalogSizeFunctions: readonly SqlFunction[] = [
  relationFunction('pg_relation_size(regclass)', ownSize),
  fc('pg_relation_size(regclass,text)', (oid: number, fork: string, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    if (!['main', 'fsm', 'vm', 'init'].includes(fork)) throw new DatabaseError('22023', 'invalid fork name', { hint: 'Valid fork names are "main", "fsm", "vm", and "init".' });
    return relation ? (fork === 'main' ? ownSize(context, relation) : 0) : null;
  }),
  relationFunction('pg_table_size(regclass)', ownSize),
  relationFunction('pg_indexes_size(regclass)', indexesSize),
  relationFunction('pg_total_relation_size(regclass)', (context, relation) => ownSize(context, relation) + indexesSize(context, relation)),
  fc('pg_database_size(oid)', (oid: number, context: EvalContext) => databaseSize(context, oid)),
  fc('pg_database_size(name)', (name: string, context: EvalContext) => {
    const database = context.catalog.databaseNamed(name);
    if (!database) throw new DatabaseError('3D000', `database "${name}" does not exist`);
    return databaseSize(context, database.oid);
  }),
  fc('pg_tablespace_size(oid)', (_oid: number, context: EvalContext) => context.storage.stats().keyValueBytes),
  fc('pg_tablespace_size(name)', (_name: string, context: EvalContext) => context.storage.stats().keyValueBytes),
  set('pg_options_to_table(_text)', (options: ArrayValue) => (options.elements as string[]).map((option): Datum[] => {
    const at = option.indexOf('=');
    return at < 0 ? [option, null] : [option.slice(0, at), option.slice(at + 1)];
  })),
  f('pg_extension_config_dump(regclass,text)', () => ''),
];

/** oxbow_stat_columns(): what column segments there are (sql/columnar/relation-columns.ts), by relation. */
import { columnStore } from '../columnar/relation-columns.js';
import type { Datum } from '../types/datum.js';
import type { EvalContext } from './context.js';
import { setc } from './define.js';
import type { SqlFunction } from './function.js';

/** Names of relations of other databases are not known here. */
function rows(context: EvalContext): Datum[][] {
  const { catalog, storage } = context;
  return columnStore(storage).figures().map(({ database, relation, blocks, ready, columns, memoryBytes, diskBytes, hits, reads, builds }) => [
    database, catalog.database(database)?.datname ?? null, relation, database === catalog.databaseOid ? (catalog.relation(relation)?.relname ?? null) : null, blocks, ready, columns, memoryBytes, diskBytes, hits, reads, builds,
  ]);
}

export const columnStatisticsFunctions: readonly SqlFunction[] = [setc('oxbow_stat_columns()', (context: EvalContext) => rows(context))];

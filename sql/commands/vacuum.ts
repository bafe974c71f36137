/** VACUUM, ANALYZE and CHECKPOINT. */
import type { DefElem, Node, RangeVar, VacuumRelation, VacuumStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { ownsAs } from '../catalog/acl.js';
import type { Oid, Relation } from '../catalog/catalog.js';
import { analyzeRelation } from './analyze.js';
import { refuseTransactionBlock, type CommandContext } from './command.js';
import { findColumn } from './constraints.js';
import { currentUser, lockRelation, nameList, openRelation } from './names.js';
import { updateClass } from './relation-rows.js';
import { rewriteTable } from './rewrite-table.js';

const KNOWN = new Set([
  'analyze', 'verbose', 'full', 'freeze', 'disable_page_skipping', 'skip_locked', 'index_cleanup', 'process_main', 'process_toast', 'truncate', 'parallel',
  'skip_database_stats', 'only_database_stats', 'buffer_usage_limit',
]);

export async function vacuum(statement: VacuumStmt, context: CommandContext): Promise<string> {
  const isVacuum = statement.is_vacuumcmd ?? false;
  const options = new Map((statement.options ?? []).map((node) => {
    const element = (node as { DefElem: DefElem }).DefElem;
    return [element.defname!, truth(element)] as const;
  }));
  for (const option of options.keys()) {
    if (!KNOWN.has(option)) throw new DatabaseError('42601', `unrecognized ${isVacuum ? 'VACUUM' : 'ANALYZE'} option "${option}"`);
  }
  if (isVacuum) refuseTransactionBlock(context, 'VACUUM');
  const analyze = !isVacuum || options.get('analyze') === true;
  const targets = await listTargets(statement, context, isVacuum, analyze);
  for (const { relation, columns } of targets) {
    const current = context.catalog.relation(relation.oid);
    if (!current) continue;
    await lockRelation(context, relation.oid, options.get('full') ? 'AccessExclusiveLock' : 'ShareUpdateExclusiveLock');
    if (isVacuum) await vacuumRelation(context, current, options.get('full') === true, options.get('verbose') === true);
    if (analyze) await analyzeRelation(context, context.catalog.relation(relation.oid)!, columns);
  }
  return isVacuum ? 'VACUUM' : 'ANALYZE';
}

function truth(element: DefElem): boolean {
  const arg = element.arg as { Boolean?: { boolval?: boolean }; String?: { sval?: string }; Integer?: { ival?: number } } | undefined;
  if (!arg) return true;
  if (arg.Boolean) return arg.Boolean.boolval ?? false;
  if (arg.String) return /^(on|true|auto|yes)$/i.test(arg.String.sval ?? '');
  return (arg.Integer?.ival ?? 0) !== 0;
}

interface Target { relation: Relation; columns: number[] | null }

async function listTargets(statement: VacuumStmt, context: CommandContext, isVacuum: boolean, analyze: boolean): Promise<Target[]> {
  const verb = isVacuum ? 'vacuum' : 'analyze';
  if (!statement.rels?.length) {
    const all: Target[] = [];
    for (const entry of context.catalog.rows.all('pg_class')) {
      const [oid, , , , , owner] = entry.values!;
      const kind = entry.values![16];
      if ((oid as Oid) < 16384 || (kind !== 'r' && kind !== 'm')) continue;
      if (ownsAs(context.catalog, currentUser(context).oid, owner as Oid)) all.push({ relation: context.catalog.relation(oid as Oid)!, columns: null });
    }
    return all;
  }
  const found: Target[] = [];
  for (const node of statement.rels) {
    const target = (node as { VacuumRelation: VacuumRelation }).VacuumRelation;
    const relation = await openRelation(context, target.relation as RangeVar, 'ShareUpdateExclusiveLock');
    const names = nameList((target.va_cols ?? []) as Node[]);
    if (names.length > 0 && !analyze) throw new DatabaseError('0A000', 'ANALYZE option must be specified when a column list is provided');
    const columns = names.length === 0 ? null : names.map((name) => {
      const column = findColumn(relation, name);
      if (!column) throw new DatabaseError('42703', `column "${name}" of relation "${relation.relname}" does not exist`);
      return column.attnum;
    });
    if (!ownsAs(context.catalog, currentUser(context).oid, relation.relowner)) {
      context.notice('WARNING', `permission denied to ${verb} "${relation.relname}", skipping it`, { sqlstate: '01000' });
    } else if (relation.relkind !== 'r' && relation.relkind !== 'm') {
      context.notice('WARNING', `skipping "${relation.relname}" --- cannot ${verb} non-tables or special system tables`, { sqlstate: '01000' });
    } else if (!relation.isCatalog) {
      found.push({ relation, columns });
    }
  }
  return found;
}

async function vacuumRelation(context: CommandContext, relation: Relation, full: boolean, verbose: boolean): Promise<void> {
  const { storage } = context.eval;
  if (full) {
    await rewriteTable(context, relation, relation.oid, (row) => row);
    return;
  }
  const versions = (await storage.vacuum(relation.storage)).versionsRemoved;
  let entries = 0;
  for (const index of relation.indexes) entries += (await storage.vacuum(index.storage)).indexEntriesRemoved;
  const rows = storage.rowCount(relation.storage);
  const pages = Math.ceil(storage.byteSize(relation.storage) / 8192);
  if (verbose) {
    context.notice('INFO', `vacuuming "${context.eval.session.databaseName}.${context.catalog.namespace(relation.relnamespace)?.nspname}.${relation.relname}"`, { sqlstate: '00000' });
    context.notice('INFO', `removed ${versions} row versions and ${entries} index entries; ${rows} rows remain`, { sqlstate: '00000' });
  }
  if (relation.reltuples !== rows || relation.relpages !== pages) updateClass(context, relation.oid, { reltuples: rows, relpages: pages, relallvisible: pages });
}

export async function checkpoint(context: CommandContext): Promise<string> {
  const { catalog } = context;
  const role = catalog.role(currentUser(context).oid);
  if (!role?.rolsuper) throw new DatabaseError('42501', 'permission denied to execute CHECKPOINT command', { detail: 'Only roles with privileges of the "pg_checkpoint" role may execute this command.' });
  await context.eval.storage.checkpoint();
  return 'CHECKPOINT';
}

/** What pg_stat_*, pg_locks, pg_settings and their like are views over. Counters that nobody keeps are 0. */
import { DatabaseError } from '../../engine/errors.js';
import { NAME_LOCKS } from '../access/locks.js';
import { arrayOf, factList } from '../catalog/born-rows.js';
import type { Oid } from '../catalog/catalog.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { BackendInfo, EvalContext } from './context.js';
import { f, fc, set, setc } from './define.js';
import type { SqlFunction } from './function.js';
import { parseInet } from '../types/network.js';

const ZERO_BY_OID = [
  'numscans', 'tuples_returned', 'tuples_fetched', 'tuples_inserted', 'tuples_updated', 'tuples_deleted', 'tuples_hot_updated', 'tuples_newpage_updated', 'blocks_fetched', 'blocks_hit',
  'vacuum_count', 'autovacuum_count', 'analyze_count', 'autoanalyze_count', 'mod_since_analyze', 'ins_since_vacuum', 'dead_tuples', 'function_calls',
  'xact_numscans', 'xact_tuples_returned', 'xact_tuples_fetched', 'xact_tuples_inserted', 'xact_tuples_updated', 'xact_tuples_deleted', 'xact_tuples_hot_updated',
  'xact_tuples_newpage_updated', 'xact_blocks_fetched', 'xact_blocks_hit', 'xact_function_calls', 'function_total_time', 'function_self_time', 'xact_function_total_time', 'xact_function_self_time',
  'db_xact_commit', 'db_xact_rollback', 'db_blocks_fetched', 'db_blocks_hit', 'db_tuples_returned', 'db_tuples_fetched', 'db_tuples_inserted', 'db_tuples_updated', 'db_tuples_deleted',
  'db_conflict_tablespace', 'db_conflict_lock', 'db_conflict_snapshot', 'db_conflict_bufferpin', 'db_conflict_startup_deadlock', 'db_conflict_logicalslot', 'db_conflict_all', 'db_temp_files', 'db_temp_bytes',
  'db_deadlocks', 'db_sessions', 'db_sessions_abandoned', 'db_sessions_fatal', 'db_sessions_killed', 'db_blk_read_time', 'db_blk_write_time', 'db_session_time',
  'db_active_time', 'db_idle_in_transaction_time',
];

const NULL_BY_OID = [
  'last_vacuum_time', 'last_autovacuum_time', 'last_analyze_time', 'last_autoanalyze_time', 'lastscan', 'db_stat_reset_time', 'db_checksum_failures', 'db_checksum_last_failure',
];

const ZERO = [
  'bgwriter_timed_checkpoints', 'bgwriter_requested_checkpoints', 'bgwriter_buf_written_checkpoints', 'bgwriter_buf_written_clean', 'bgwriter_maxwritten_clean', 'buf_written_backend',
  'buf_fsync_backend', 'buf_alloc', 'checkpoint_write_time', 'checkpoint_sync_time',
];

/** Columns of pg_stat_get_activity. */
function activityRow(backend: BackendInfo, context: EvalContext): Datum[] {
  const shown = context.session.currentUser.superuser || backend.userOid === context.session.currentUser.oid;
  const hidden = (value: Datum): Datum => (shown ? value : null);
  return [
    backend.databaseOid, backend.pid, backend.userOid, backend.applicationName, hidden(backend.state), shown ? backend.query : '<insufficient privilege>', hidden(backend.waitEventType),
    hidden(backend.waitEvent), hidden(backend.transactionStart), hidden(backend.queryStart), hidden(backend.backendStart), hidden(backend.stateChange), hidden(backend.clientAddress === null ? null : parseInet(backend.clientAddress, false)), null,
    hidden(backend.clientPort), backend.xid || null, null, 'client backend', false, null, null, null, null, null, null, false, null, false, false, null, null,
  ];
}

/** SHOW prints numbers with units; pg_settings has the bare number in the base unit. */
function settingRow(row: readonly unknown[], context: EvalContext): Datum[] {
  const [name, category, shortDesc, extraDesc, settingContext, vartype, unit, min, max, enumvals, boot] = row as (string | null)[];
  const shown = context.settings.get(name!) ?? boot;
  const setting = unit && shown !== null && boot !== null ? bareValue(shown, unit) : shown;
  const values = (enumvals as unknown as string[] | null) ?? null;
  return [
    name!, setting, unit ?? null, category!, shortDesc!, extraDesc ?? null, settingContext!, vartype!, setting === boot ? 'default' : 'session', min ?? null, max ?? null,
    values ? arrayOf(25, values) : null, boot ?? null, boot ?? null, null, null, false,
  ];
}

const MEMORY: Readonly<Record<string, number>> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };
const TIME: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

function bareValue(shown: string, unit: string): string {
  const match = /^(-?[\d.]+)\s*([a-zA-Z]+)$/.exec(shown);
  if (!match) return shown;
  const base = /^(\d*)([a-zA-Z]+)$/.exec(unit);
  const scale = base ? (Number(base[1]) || 1) * (MEMORY[base[2]!] ?? TIME[base[2]!] ?? 1) : 1;
  const factor = MEMORY[match[2]!] ?? TIME[match[2]!];
  return factor === undefined ? shown : String((Number(match[1]) * factor) / scale);
}

/**
 * pg_locks as PostgreSQL fills it: locks on rows and keys are the rows' own and not listed, but who
 * waits for one waits for the transaction that has it. Reads of SERIALIZABLE ones are by relation,
 * range ("page") and row.
 */
function lockRows(context: EvalContext): Datum[][] {
  const rows: Datum[][] = [];
  const { databaseOid, backends } = context.session;
  let byStorage: Map<number, number> | undefined;
  const relationOf = (storage: number): number | null => {
    if (!byStorage) {
      byStorage = new Map();
      for (const relation of context.catalog.relations()) {
        byStorage.set(relation.storage, relation.oid);
        for (const index of relation.indexes) byStorage.set(index.storage, index.oid);
      }
    }
    return byStorage.get(storage) ?? null;
  };
  for (const backend of backends.list()) {
    if (backend.transactionStart === null) continue;
    const name = `${backend.pid}/${backend.virtualId}`;
    rows.push(['virtualxid', null, null, null, null, name, null, null, null, null, name, backend.pid, 'ExclusiveLock', true, true, null]);
  }
  for (const lock of context.storage.listLocks()) {
    if (lock.kind === 'table' && lock.objectId >= NAME_LOCKS) continue;
    const owner: Datum[] = [`${lock.processId}/${lock.virtualId}`, lock.processId || null];
    const start = lock.waitStartMicros ? lock.waitStartMicros - 946_684_800_000_000 : null;
    const end = (mode: string): Datum[] => [...owner, mode, lock.granted, false, start];
    switch (lock.kind) {
      case 'table':
        rows.push(['relation', databaseOid, lock.objectId, null, null, null, null, null, null, null, ...end(lock.mode)]);
        break;
      case 'advisory':
        rows.push(['advisory', databaseOid, null, null, null, null, null, lock.objectId, lock.subId, lock.keyKind, ...end(lock.mode)]);
        break;
      case 'transaction':
        rows.push(['transactionid', null, null, null, null, null, lock.granted ? lock.objectId : lock.blockerXid, null, null, null, ...end(lock.granted ? 'ExclusiveLock' : 'ShareLock')]);
        break;
      case 'row': case 'unique key':
        if (!lock.granted) rows.push(['transactionid', null, null, null, null, null, lock.blockerXid, null, null, null, ...end('ShareLock')]);
        break;
      case 'read of relation':
        rows.push(['relation', databaseOid, relationOf(lock.objectId), null, null, null, null, null, null, null, ...end(lock.mode)]);
        break;
      case 'read of range':
        rows.push(['page', databaseOid, relationOf(lock.objectId), lock.subId, null, null, null, null, null, null, ...end(lock.mode)]);
        break;
      case 'read of row':
        rows.push(['tuple', databaseOid, relationOf(lock.objectId), Math.floor(lock.subId / 65536), lock.subId % 65536, null, null, null, null, null, ...end(lock.mode)]);
    }
  }
  return rows;
}

export const catalogStatisticsFunctions: readonly SqlFunction[] = [
  ...ZERO_BY_OID.map((name) => f(`pg_stat_get_${name}(oid)`, () => 0)),
  ...NULL_BY_OID.map((name) => f(`pg_stat_get_${name}(oid)`, () => null)),
  ...ZERO.map((name) => f(`pg_stat_get_${name}()`, () => 0)),
  f('pg_stat_get_bgwriter_stat_reset_time()', () => null),
  f('pg_stat_get_snapshot_timestamp()', () => null),
  fc('pg_stat_get_live_tuples(oid)', (oid: Oid, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    return relation?.storage ? context.storage.rowCount(relation.storage) : 0;
  }),
  fc('pg_stat_get_db_numbackends(oid)', (oid: Oid, context: EvalContext) => context.session.backends.list().filter((backend) => backend.databaseOid === oid).length),
  { kind: 'set', signature: 'pg_stat_get_activity(int4)', needsContext: true, rows: ((pid: number | null, context: EvalContext) =>
    context.session.backends.list().filter((backend) => pid === null || backend.pid === pid).map((backend) => activityRow(backend, context))) as never },
  setc('pg_stat_get_backend_idset()', (context: EvalContext) => context.session.backends.list().map((_, i) => i + 1)),
  fc('pg_stat_get_backend_pid(int4)', (id: number, context: EvalContext) => context.session.backends.list()[id - 1]?.pid ?? null),
  fc('pg_stat_get_backend_dbid(int4)', (id: number, context: EvalContext) => context.session.backends.list()[id - 1]?.databaseOid ?? null),
  fc('pg_stat_get_backend_userid(int4)', (id: number, context: EvalContext) => context.session.backends.list()[id - 1]?.userOid ?? null),
  fc('pg_stat_get_backend_activity(int4)', (id: number, context: EvalContext) => context.session.backends.list()[id - 1]?.query ?? '<backend information not available>'),
  set('pg_stat_get_progress_info(text)', () => []),
  set('pg_stat_get_wal_senders()', () => []),
  set('pg_stat_get_slru()', () => []),
  set('pg_get_replication_slots()', () => []),
  set('pg_show_replication_origin_status()', () => []),
  set('pg_show_all_file_settings()', () => []),
  set('pg_hba_file_rules()', () => []),
  set('pg_get_publication_tables(_text)', () => []),
  setc('pg_prepared_xact()', (context: EvalContext) => context.storage.preparedTransactions().map(({ xid, gid, preparedMicros, info }): Datum[] => {
    const { owner, database } = JSON.parse(Buffer.from(info).toString('utf8')) as { owner: number; database: number };
    return [xid, gid, preparedMicros - 946_684_800_000_000, owner, database];
  })),
  set('pg_get_shmem_allocations()', () => []),
  set('pg_get_backend_memory_contexts()', () => []),
  f('pg_stat_get_wal()', () => ({ typeOid: 2249, types: [20, 20, 1700, 20, 20, 20, 701, 701, 1184], values: [0, 0, null, 0, 0, 0, 0, 0, null] })),
  f('pg_stat_get_archiver()', () => ({ typeOid: 2249, types: [20, 25, 1184, 20, 25, 1184, 1184], values: [0, null, null, 0, null, null, null] })),
  setc('pg_lock_status()', (context: EvalContext) => lockRows(context)),
  setc('pg_show_all_settings()', (context: EvalContext) => factList('settings').rows.map((row) => settingRow(row, context))),
  f('pg_settings_get_flags(text)', (name: string) => {
    const row = factList('settings').rows.find((candidate) => (candidate[0] as string).toLowerCase() === name.toLowerCase());
    return row ? arrayOf(25, row[11] as string[]) : null;
  }),
  set('pg_config()', () => [['VERSION', 'PostgreSQL 16.14 (Oxbow)']]),
  fc('pg_blocking_pids(int4)', (pid: number, context: EvalContext) => arrayOf(23, context.storage.blockingProcesses(pid))),
  fc('pg_safe_snapshot_blocking_pids(int4)', (pid: number, context: EvalContext) => arrayOf(23, context.storage.safeSnapshotBlockers(pid))),
  fc('pg_isolation_test_session_is_blocked(int4,_int4)', (pid: number, by: ArrayValue, context: EvalContext) =>
    context.storage.blockingProcesses(pid).some((blocker) => by.elements.includes(blocker)) || context.storage.safeSnapshotBlockers(pid).length > 0),
  fc('pg_cancel_backend(int4)', (pid: number, context: EvalContext) => signal(context, pid, 'cancel')),
  fc('pg_terminate_backend(int4,int8)', (pid: number, _timeout: number, context: EvalContext) => signal(context, pid, 'terminate')),
];

/** Own sessions and those of roles one has; superusers' only by superusers. */
function signal(context: EvalContext, pid: number, what: 'cancel' | 'terminate'): boolean {
  const { backends, currentUser } = context.session;
  const target = backends.list().find((backend) => backend.pid === pid);
  if (!target) {
    context.notice('WARNING', `PID ${pid} is not a PostgreSQL backend process`, { sqlstate: '01000' });
    return false;
  }
  if (!currentUser.superuser && target.userOid !== currentUser.oid) {
    throw new DatabaseError('42501', `permission denied to ${what === 'cancel' ? 'cancel query' : 'terminate process'}`, {
      detail: `Only roles with privileges of the role whose ${what === 'cancel' ? 'query is being canceled' : 'process is being terminated'} or with privileges of the "pg_signal_backend" role may ${what === 'cancel' ? 'cancel this query' : 'terminate this process'}.`,
    });
  }
  return what === 'cancel' ? backends.cancel(pid) : backends.terminate(pid);
}

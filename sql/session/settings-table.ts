/**
 * The settings (GUCs) that exist, as PostgreSQL 16 has them: facts in catalog/data/settings.json, plus
 * what Oxbow says differently and the settings of its own. One row each; SHOW, pg_settings and SET follow.
 */
import { factList } from '../catalog/born-rows.js';

export type SettingType = 'bool' | 'integer' | 'real' | 'enum' | 'string';
export type SettingContext = 'internal' | 'postmaster' | 'sighup' | 'superuser-backend' | 'superuser' | 'backend' | 'user';

export interface SettingDefinition {
  readonly name: string;
  readonly category: string;
  readonly shortDescription: string;
  readonly extraDescription: string | null;
  readonly context: SettingContext;
  readonly type: SettingType;
  readonly unit: string | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly enumValues: readonly string[] | null;
  /** In the unit, as pg_settings.boot_val. */
  readonly bootValue: string | null;
  readonly flags: readonly string[];
}

/** PostgreSQL release whose behaviour is served. */
export const SERVER_VERSION = '16.14';
export const SERVER_VERSION_NUM = 160014;

/** Values that differ from PostgreSQL's built-in defaults, each for a reason. */
const DEFAULTS: Readonly<Record<string, string>> = {
  // what initdb would have chosen for a C.UTF-8 cluster
  lc_messages: 'C.UTF-8', lc_monetary: 'C.UTF-8', lc_numeric: 'C.UTF-8', lc_time: 'C.UTF-8',
  default_text_search_config: 'pg_catalog.english', log_timezone: 'UTC', TimeZone: 'Etc/UTC',
  server_version: SERVER_VERSION, server_version_num: String(SERVER_VERSION_NUM), server_encoding: 'UTF8', client_encoding: 'UTF8',
  max_connections: '10000', shared_buffers: '16384', dynamic_shared_memory_type: 'posix',
};

/** Settings that PostgreSQL leaves out of pg_settings (GUC_NO_SHOW_ALL), so they are not among the facts. */
function hidden(name: string, type: SettingType, context: SettingContext, bootValue: string): SettingDefinition {
  return { name, category: 'Ungrouped', shortDescription: '', extraDescription: null, context, type, unit: null, min: null, max: null, enumValues: null, bootValue, flags: ['NO_SHOW_ALL', 'NO_RESET_ALL'] };
}

const OWN: readonly SettingDefinition[] = [
  hidden('session_authorization', 'string', 'user', ''),
  hidden('role', 'string', 'user', 'none'),
  hidden('is_superuser', 'bool', 'internal', 'off'),
  hidden('seed', 'real', 'user', '0'),
  {
    name: 'oxbow.transaction_memory', category: 'Resource Usage / Memory', shortDescription: 'Sets the most memory one transaction\'s writes may take.', extraDescription: null,
    context: 'user', type: 'integer', unit: 'kB', min: 1024, max: 2147483647, enumValues: null, bootValue: '1048576', flags: [],
  },
  {
    name: 'oxbow.column_memory', category: 'Resource Usage / Memory', shortDescription: 'Sets the most memory that column segments of all relations are kept in.',
    extraDescription: 'Segments used longest ago go first. What one statement reads may go beyond it.',
    context: 'superuser', type: 'integer', unit: 'kB', min: 0, max: 2147483647, enumValues: null, bootValue: '1048576', flags: [],
  },
  {
    name: 'oxbow.column_disk', category: 'Resource Usage / Disk', shortDescription: 'Sets the most space that files of column segments of all relations take.',
    extraDescription: 'They are a cache below the data directory; files used longest ago go first. 0: none are written.',
    context: 'superuser', type: 'integer', unit: 'kB', min: 0, max: 2147483647, enumValues: null, bootValue: '16777216', flags: [],
  },
  {
    name: 'oxbow.learned_memory', category: 'Resource Usage / Memory', shortDescription: 'Sets the most memory that learned indexes are kept in.',
    extraDescription: 'Those used longest ago go first; an index that is too large alone is read by its tree. 0: none is kept.',
    context: 'superuser', type: 'integer', unit: 'kB', min: 0, max: 2147483647, enumValues: null, bootValue: '524288', flags: [],
  },
  {
    name: 'oxbow.as_of', category: 'Client Connection Defaults / Statement Behavior', shortDescription: 'Sets the moment of the past that transactions read.',
    extraDescription: 'A time, a time ago ("-10 minutes") or a position of the log ("0/1A2B3C"); empty: now. Transactions are read-only while it is set.',
    context: 'user', type: 'string', unit: null, min: null, max: null, enumValues: null, bootValue: '', flags: [],
  },
  {
    name: 'oxbow.retention', category: 'Resource Usage / Disk', shortDescription: 'Shows how long old row versions are kept for oxbow.as_of.', extraDescription: null,
    context: 'postmaster', type: 'integer', unit: 'ms', min: 0, max: 2147483647, enumValues: null, bootValue: '0', flags: [],
  },
  {
    name: 'oxbow.read_damaged', category: 'Developer Options', shortDescription: 'Lets statements read relations in which damage was found.', extraDescription: null,
    context: 'superuser', type: 'bool', unit: null, min: null, max: null, enumValues: null, bootValue: 'off', flags: [],
  },
];

function load(): ReadonlyMap<string, SettingDefinition> {
  const { columns, rows } = factList('settings');
  const at = (name: string): number => columns.indexOf(name);
  const map = new Map<string, SettingDefinition>();
  for (const row of rows) {
    const name = row[at('name')] as string;
    const number = (value: unknown): number | null => (value === null ? null : Number(value));
    map.set(name.toLowerCase(), {
      name, category: row[at('category')] as string, shortDescription: row[at('short_desc')] as string, extraDescription: row[at('extra_desc')] as string | null,
      context: row[at('context')] as SettingContext, type: row[at('vartype')] as SettingType, unit: row[at('unit')] as string | null, min: number(row[at('min_val')]), max: number(row[at('max_val')]),
      enumValues: row[at('enumvals')] as string[] | null, bootValue: DEFAULTS[name] ?? (row[at('boot_val')] as string | null), flags: (row[at('flags')] as string[] | null) ?? [],
    });
  }
  for (const own of OWN) map.set(own.name, own);
  return map;
}

let table: ReadonlyMap<string, SettingDefinition> | null = null;

/** By lower-case name. */
export function settingDefinitions(): ReadonlyMap<string, SettingDefinition> {
  return (table ??= load());
}

export function settingDefinition(name: string): SettingDefinition | undefined {
  return settingDefinitions().get(name.toLowerCase());
}

/** Settings whose changes are reported to the client (GUC_REPORT), in the order PostgreSQL sends them. */
export const REPORTED: readonly string[] = [
  'in_hot_standby', 'integer_datetimes', 'TimeZone', 'IntervalStyle', 'is_superuser', 'application_name', 'default_transaction_read_only', 'scram_iterations',
  'DateStyle', 'standard_conforming_strings', 'session_authorization', 'client_encoding', 'server_version', 'server_encoding',
];

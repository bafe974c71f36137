/** Functions about the session, the server, transactions and types: version(), current_setting(), pg_typeof(), txid_*, sizes in words, and what PostgreSQL answers on a server without a standby. */
import { DatabaseError } from '../../engine/errors.js';
import { makeArray } from '../types/array.js';
import { UNIX_EPOCH_SECONDS } from '../types/calendar.js';
import type { ArrayValue, Datum, Int8, RecordValue } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';
import { formatType, parseTypeName } from '../types/format-type.js';
import { zonedClock } from '../types/datetime-print.js';
import { Numeric, compareNumeric } from '../types/numeric.js';
import { lookupCollation, lookupNamespace, lookupOperator, lookupOperatorWithTypes, lookupProc, lookupProcedure, lookupRelation, lookupRole, lookupType } from '../types/reg.js';
import { RECORD_OID } from '../types/record.js';
import { encodeRowValue } from '../types/row-value.js';
import { abbreviationNames, findAbbreviation, findZone, zoneNames } from '../types/timezone.js';
import { uuidFromBytes } from '../types/uuid.js';
import type { EvalContext } from './context.js';
import { clockTimestamp } from './date-time-operators.js';
import { f, fb, fbc, fc, setc } from './define.js';
import type { FunctionCall, SqlFunction } from './function.js';
import { checkInt8 } from './kernel-helpers.js';

const NAME = 19;

function versionText(context: EvalContext): string {
  const version = context.settings.get('server_version') ?? '16';
  return `PostgreSQL ${version} (Oxbow 0.1.0) on ${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-pc-linux-gnu, compiled by tsc, 64-bit`;
}

function currentSchemas(includeImplicit: boolean, context: EvalContext): string[] {
  const { catalog, session } = context;
  const named = new Set(context.settings.searchPath.map((name) => (name === '$user' ? session.currentUser.name : name)));
  const out: string[] = [];
  for (const oid of session.searchPathOids) {
    const name = catalog.namespace(oid)?.nspname;
    if (name !== undefined && (includeImplicit || named.has(name))) out.push(name);
  }
  return out;
}

function currentSetting(name: string, missingOk: boolean, context: EvalContext): string | null {
  const value = context.settings.get(name);
  if (value !== undefined) return value;
  if (missingOk) return null;
  throw new DatabaseError('42704', `unrecognized configuration parameter "${name}"`);
}

function uuidV4(context: EvalContext): string {
  const bytes = Uint8Array.from(context.runtime.random.bytes(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return uuidFromBytes(bytes);
}

// ---- sizes ---------------------------------------------------------------------------------

const UNITS: readonly { readonly name: string; readonly limit: number; readonly round: boolean; readonly bits: number }[] = [
  { name: 'bytes', limit: 10 * 1024, round: false, bits: 0 }, { name: 'kB', limit: 20 * 1024 - 1, round: true, bits: 10 }, { name: 'MB', limit: 20 * 1024 - 1, round: true, bits: 20 },
  { name: 'GB', limit: 20 * 1024 - 1, round: true, bits: 30 }, { name: 'TB', limit: 20 * 1024 - 1, round: true, bits: 40 }, { name: 'PB', limit: 20 * 1024 - 1, round: true, bits: 50 },
];

function prettySize(given: Int8): string {
  let size = BigInt(given);
  for (let i = 0; ; i++) {
    const unit = UNITS[i]!;
    const next = UNITS[i + 1];
    const magnitude = size < 0n ? -size : size;
    if (!next || magnitude < BigInt(unit.limit)) {
      if (unit.round) size = (size + (size < 0n ? -1n : 1n)) / 2n;
      return `${size} ${unit.name}`;
    }
    // One extra bit is kept for rounding once a unit rounds.
    const bits = next.bits - unit.bits - (next.round ? 1 : 0) + (unit.round ? 1 : 0);
    size /= 1n << BigInt(bits);
  }
}

function prettyNumeric(size: Numeric): string {
  if (!size.isFinite) return `${size.toString()} bytes`;
  let value = size;
  for (let i = 0; ; i++) {
    const unit = UNITS[i]!;
    const next = UNITS[i + 1];
    if (!next || compareNumeric(value.abs(), Numeric.of(unit.limit, 0)) < 0) {
      if (unit.round) value = value.add(Numeric.of(value.sign < 0 ? -1 : 1, 0)).divideTruncating(Numeric.of(2, 0));
      return `${value.toString()} ${unit.name}`;
    }
    const bits = next.bits - unit.bits - (next.round ? 1 : 0) + (unit.round ? 1 : 0);
    value = value.divideTruncating(Numeric.of(2 ** bits, 0));
  }
}

function sizeBytes(text: string): Int8 {
  const invalid = (): DatabaseError => new DatabaseError('22023', `invalid size: "${text}"`);
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  if (!match) throw invalid();
  const powers: Record<string, number> = { '': 0, b: 0, bytes: 0, kb: 10, mb: 20, gb: 30, tb: 40, pb: 50 };
  const power = powers[match[2]!.toLowerCase()];
  if (power === undefined) {
    throw new DatabaseError('22023', `invalid size: "${text}"`, { detail: `Invalid size unit: "${match[2]}".`, hint: 'Valid units are "bytes", "B", "kB", "MB", "GB", "TB", and "PB".' });
  }
  const value = Numeric.parse(match[1]!)!.multiply(Numeric.of(2 ** power, 0));
  return checkInt8(value.toBigInt());
}

/** Bytes a datum takes on disk, header included, as PostgreSQL counts them. */
function columnSize(value: Datum, call: FunctionCall, context: EvalContext): number | null {
  if (value === null) return null;
  const type = context.catalog.type(call.argTypes[0]!);
  if (type && type.typlen > 0) return type.typlen;
  const bytes = encodeRowValue(call.type(call.argTypes[0]!), value).length;
  return bytes < 127 ? bytes + 1 : bytes + 4;
}

// ---- transactions ----------------------------------------------------------------------------

interface SnapshotText {
  readonly xmin: number;
  readonly xmax: number;
  readonly active: readonly number[];
}

function snapshotNow(context: EvalContext): SnapshotText {
  const { next, active } = context.transaction.snapshotXids ?? context.storage.xidBounds();
  const running = new Set<number>(active);
  // One above the last that has ended; the own one is not listed, as in PostgreSQL.
  let xmax: number = next;
  while (running.has(xmax - 1)) xmax--;
  const listed = [...active].filter((xid) => xid < xmax && xid !== context.transaction.xid).sort((a, b) => a - b);
  return { xmin: Math.min(active[0] ?? next, xmax), xmax, active: listed };
}

function parseSnapshot(text: string): SnapshotText {
  const [xmin, xmax, list] = text.split(':');
  return { xmin: Number(xmin), xmax: Number(xmax), active: list ? list.split(',').map(Number) : [] };
}

const printSnapshot = ({ xmin, xmax, active }: SnapshotText): string => `${xmin}:${xmax}:${active.join(',')}`;

function visibleIn(xid: Int8, text: string): boolean {
  const { xmin, xmax, active } = parseSnapshot(text);
  if (xid < xmin) return true;
  return xid < xmax && !active.includes(Number(xid));
}

function xactStatus(xid: Int8, context: EvalContext): string | null {
  const { next } = context.storage.xidBounds();
  if (xid >= next) throw new DatabaseError('22023', `transaction ID ${xid} is in the future`);
  return context.storage.xidStatus(Number(xid) as never) ?? null;
}

// ---- input checks ------------------------------------------------------------------------------

function inputError(text: string, typeText: string, context: EvalContext): DatabaseError | undefined {
  const type = parseTypeName(typeText, context);
  if (!type) throw new DatabaseError('42704', `type "${typeText}" does not exist`);
  try {
    context.catalog.dataType(type.oid).input(text, type.typmod, context);
    return undefined;
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
}

function countNulls(nulls: boolean): (call: FunctionCall) => (...args: Datum[]) => Datum {
  return (call) => (...args) => {
    let values: readonly Datum[] = args;
    if (call.variadicArray) {
      const array = args[0] as ArrayValue | null;
      if (array === null) return null;
      values = array.elements;
    }
    let count = 0;
    for (const value of values) if ((value === null) === nulls) count++;
    return count;
  };
}

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function timeOfDay(context: EvalContext): string {
  const now = clockTimestamp(context);
  const zone = findZone(context.settings.timeZone)!;
  const { clock, abbreviation } = zonedClock(now, zone);
  const weekday = WEEKDAYS[new Date(Date.UTC(clock.year, clock.month - 1, clock.day)).getUTCDay()]!;
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${weekday} ${MONTHS[clock.month - 1]} ${two(clock.day)} ${two(clock.hour)}:${two(clock.minute)}:${two(clock.second)}.${String(clock.micros).padStart(6, '0')} ${clock.year} ${abbreviation}`;
}

const toReg = (lookup: (text: string, context: EvalContext) => number | undefined) => (text: string, context: EvalContext): Datum => {
  if (/^\d+$/.test(text)) return null;
  try {
    return lookup(text, context) ?? null;
  } catch (error) {
    if (error instanceof DatabaseError && /^(42725|42601|3F000|42704|22P02|42602)$/.test(error.sqlstate)) return null;
    throw error;
  }
};

const noRecovery = (): DatabaseError => new DatabaseError('55000', 'recovery is not in progress', { hint: 'Recovery control functions can only be executed during recovery.' });

export const sessionFunctions: readonly SqlFunction[] = [
  fc('version()', versionText),
  fc('current_database()', (context: EvalContext) => context.session.databaseName),
  fc(['current_user()', 'getpgusername()'], (context: EvalContext) => context.session.currentUser.name),
  fc('session_user()', (context: EvalContext) => context.session.sessionUser.name),
  f('system_user()', () => null),
  fc('current_schema()', (context: EvalContext) => currentSchemas(false, context)[0] ?? null),
  fc('current_schemas(bool)', (implicit: boolean, context: EvalContext) => makeArray(NAME, currentSchemas(implicit, context))),
  fc('current_setting(text)', (name: string, context: EvalContext) => currentSetting(name, false, context)),
  fc('current_setting(text,bool)', currentSetting),
  fc('set_config(text,text,bool)', (name: string | null, value: string | null, local: boolean | null, context: EvalContext) => {
    if (name === null) throw new DatabaseError('22004', 'SET requires parameter name');
    return context.session.setSetting(name, value ?? '', local ?? false);
  }),
  fc('current_query()', (context: EvalContext) => context.session.backends.list().find((backend) => backend.pid === context.session.pid)?.query ?? null),
  fc('pg_backend_pid()', (context: EvalContext) => context.session.pid),
  fc('pg_postmaster_start_time()', (context: EvalContext) => context.session.backends.serverStart),
  fc('pg_conf_load_time()', (context: EvalContext) => context.session.backends.serverStart),
  fc('timeofday()', timeOfDay),
  fc('gen_random_uuid()', uuidV4),
  fb('pg_typeof(any)', (call) => () => call.argTypes[0]!),
  fb('num_nulls(any)', countNulls(true)),
  fb('num_nonnulls(any)', countNulls(false)),
  f('pg_size_pretty(int8)', prettySize),
  f('pg_size_pretty(numeric)', prettyNumeric),
  f('pg_size_bytes(text)', sizeBytes),
  fbc('pg_column_size(any)', (call) => (value: Datum, context: EvalContext) => columnSize(value, call, context)),
  f('pg_column_compression(any)', () => null),
  fbc('pg_collation_for(any)', (call) => (_value: Datum, context: EvalContext) => {
    const type = context.catalog.type(call.argTypes[0]!);
    if (type?.typname === 'unknown') return null;
    if (!type || type.typcollation === 0) throw new DatabaseError('42804', `collations are not supported by type ${type?.typname ?? 'unknown'}`);
    const collation = context.catalog.collation(call.collation || type.typcollation);
    return collation ? `"${collation.collname}"` : null;
  }),

  fc(['txid_current()', 'pg_current_xact_id()'], (context: EvalContext) => context.transaction.assignXid()),
  fc(['txid_current_if_assigned()', 'pg_current_xact_id_if_assigned()'], (context: EvalContext) => context.transaction.xid || null),
  fc(['txid_status(int8)', 'pg_xact_status(xid8)'], xactStatus),
  fc(['txid_current_snapshot()', 'pg_current_snapshot()'], (context: EvalContext) => printSnapshot(snapshotNow(context))),
  f(['txid_snapshot_xmin(txid_snapshot)', 'pg_snapshot_xmin(pg_snapshot)'], (text: string) => parseSnapshot(text).xmin),
  f(['txid_snapshot_xmax(txid_snapshot)', 'pg_snapshot_xmax(pg_snapshot)'], (text: string) => parseSnapshot(text).xmax),
  setc(['txid_snapshot_xip(txid_snapshot)', 'pg_snapshot_xip(pg_snapshot)'], (text: string) => parseSnapshot(text).active),
  f(['txid_visible_in_snapshot(int8,txid_snapshot)', 'pg_visible_in_snapshot(xid8,pg_snapshot)'], visibleIn),
  fc('age(xid)', (xid: number, context: EvalContext) => (xid < 3 ? 2147483647 : (context.storage.xidBounds().next - xid) | 0)),

  f('pg_is_in_recovery()', () => false),
  f('pg_is_wal_replay_paused()', () => {
    throw noRecovery();
  }),
  f(['pg_last_wal_receive_lsn()', 'pg_last_wal_replay_lsn()', 'pg_last_xact_replay_timestamp()'], () => null),
  fc(['pg_current_wal_lsn()', 'pg_current_wal_insert_lsn()'], (context: EvalContext) => context.storage.watermarks.assigned),
  fc('pg_current_wal_flush_lsn()', (context: EvalContext) => context.storage.watermarks.durable),
  f('pg_lsn_mi(pg_lsn,pg_lsn)', (a: Int8, b: Int8) => Numeric.fromInteger(int8FromBigInt(BigInt(a) - BigInt(b)))),
  f('pg_wal_lsn_diff(pg_lsn,pg_lsn)', (a: Int8, b: Int8) => Numeric.fromInteger(int8FromBigInt(BigInt(a) - BigInt(b)))),
  f('pg_lsn_pli(pg_lsn,numeric)', (lsn: Int8, by: Numeric) => shiftLsn(lsn, by)),
  f('numeric_pl_pg_lsn(numeric,pg_lsn)', (by: Numeric, lsn: Int8) => shiftLsn(lsn, by)),
  f('pg_lsn_mii(pg_lsn,numeric)', (lsn: Int8, by: Numeric) => shiftLsn(lsn, by.negate())),
  f('pg_lsn(numeric)', (value: Numeric) => shiftLsn(0, value)),
  f('pg_jit_available()', () => false),
  setc('pg_listening_channels()', (context: EvalContext) => [...(context.session.listeningChannels ?? [])]),
  fc('pg_notify(text,text)', (channel: string | null, payload: string | null, context: EvalContext) => {
    context.session.notify?.(channel ?? '', payload ?? '');
    return '';
  }),
  fc('oidvectortypes(oidvector)', (value: ArrayValue, context: EvalContext) => value.elements.map((oid) => formatType(oid as number, context)).join(', ')),
  f('pg_trigger_depth()', () => 0),
  fc('pg_notification_queue_usage()', (context: EvalContext) => context.session.notificationQueueUsage ?? 0),

  fc('to_regclass(text)', toReg(lookupRelation)),
  fc('to_regtype(text)', toReg(lookupType)),
  fc('to_regproc(text)', toReg(lookupProc)),
  fc('to_regprocedure(text)', toReg(lookupProcedure)),
  fc('to_regoper(text)', toReg(lookupOperator)),
  fc('to_regoperator(text)', toReg(lookupOperatorWithTypes)),
  fc('to_regnamespace(text)', toReg(lookupNamespace)),
  fc('to_regrole(text)', toReg(lookupRole)),
  fc('to_regcollation(text)', toReg(lookupCollation)),

  fc('pg_input_is_valid(text,text)', (text: string, type: string, context: EvalContext) => inputError(text, type, context) === undefined),
  fc('pg_input_error_info(text,text)', (text: string, type: string, context: EvalContext): RecordValue => {
    const error = inputError(text, type, context);
    return { typeOid: RECORD_OID, types: [25, 25, 25, 25], values: error ? [error.message, error.detail ?? null, error.hint ?? null, error.sqlstate] : [null, null, null, null] };
  }),

  setc('pg_timezone_names()', function* (context: EvalContext) {
    const now = Math.floor(context.transactionTimestamp / 1e6) + UNIX_EPOCH_SECONDS;
    for (const name of zoneNames()) {
      const type = findZone(name)!.typeAt(now);
      yield [name, type.abbreviation, { months: 0, days: 0, micros: type.offset * 1e6 }, type.dst];
    }
  }),
  setc('pg_timezone_abbrevs()', function* (context: EvalContext) {
    const now = Math.floor(context.transactionTimestamp / 1e6) + UNIX_EPOCH_SECONDS;
    for (const name of abbreviationNames().sort()) {
      const abbreviation = findAbbreviation(name)!;
      const type = 'zone' in abbreviation ? (abbreviation.zone.abbreviation(name, now) ?? abbreviation.zone.typeAt(now)) : abbreviation;
      yield [name, { months: 0, days: 0, micros: type.offset * 1e6 }, type.dst];
    }
  }),
  fbc('enum_first(anyenum)', (call) => (_value: Datum, context: EvalContext) => enumLabels(call, context)[0] ?? null),
  fbc('enum_last(anyenum)', (call) => (_value: Datum, context: EvalContext) => enumLabels(call, context).at(-1) ?? null),
  fbc('enum_range(anyenum)', (call) => (_value: Datum, context: EvalContext) => makeArray(call.argTypes[0]!, enumLabels(call, context))),
  fbc('enum_range(anyenum,anyenum)', (call) => (from: number | null, to: number | null, context: EvalContext) => {
    const labels = enumLabels(call, context);
    return makeArray(call.argTypes[0]!, labels.slice(from === null ? 0 : labels.indexOf(from), to === null ? undefined : labels.indexOf(to) + 1));
  }),
];

function enumLabels(call: FunctionCall, context: EvalContext): number[] {
  return [...context.catalog.enumLabels(call.argTypes[0]!)].sort((a, b) => a.sortOrder - b.sortOrder).map((label) => label.oid);
}

function shiftLsn(lsn: Int8, by: Numeric): Int8 {
  if (by.isNaN) throw new DatabaseError('0A000', 'cannot add NaN to pg_lsn');
  const result = BigInt(lsn) + by.toBigInt();
  if (result < 0n || result > 0xffffffffffffffffn) throw new DatabaseError('22003', 'pg_lsn out of range');
  return int8FromBigInt(result);
}

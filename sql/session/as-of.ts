/**
 * oxbow.as_of: the moment of the past that a session's transactions read. Its canonical form is absolute,
 * so that every transaction until the next SET reads the same moment: a UTC time or a position of the log.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Lsn } from '../../engine/ids.js';
import type { Storage } from '../../engine/storage.js';
import { inheritedRoles } from '../catalog/acl.js';
import type { EvalContext } from '../functions/context.js';
import type { Interval } from '../types/datum.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { POSTGRES_EPOCH_MICROS } from './backends.js';
import type { Session } from './session.js';

const LSN = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i;
/** "-10 minutes", "1 hour ago" */
const TIME_AGO = /^-|\bago$/i;
const CANONICAL = /^(\d+)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6})\+00$/;
const DAY_MICROS = 86_400_000_000;
const PG_READ_ALL_DATA = 6181;

/**
 * What SET and SHOW call the moment. Raises 22007 (22023, 42501) when the text means none. Only who may
 * read everything may read the past: what was revoked since, or a row policy added, would not protect it.
 */
export function canonicalMoment(session: Session, text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const { currentUser, cluster, databaseOid } = session;
  if (!currentUser.superuser && !inheritedRoles(cluster.catalogs.committed(databaseOid), currentUser.oid).has(PG_READ_ALL_DATA))
    throw new DatabaseError('42501', 'permission denied to set parameter "oxbow.as_of"', { detail: 'Only roles with privileges of the "pg_read_all_data" role may read the past.' });
  const position = LSN.exec(trimmed);
  if (position) return `${Number.parseInt(position[1]!, 16).toString(16).toUpperCase()}/${Number.parseInt(position[2]!, 16).toString(16).toUpperCase()}`;
  return printMoment(TIME_AGO.test(trimmed) ? timeAgo(trimmed, session.context) : time(trimmed, session.context));
}

function time(text: string, context: EvalContext): number {
  const micros = context.catalog.dataType(T.timestamptz).input(text, -1, context) as number;
  if (!Number.isFinite(micros)) throw new DatabaseError('22023', 'oxbow.as_of must be a finite time');
  return micros + POSTGRES_EPOCH_MICROS;
}

function timeAgo(text: string, context: EvalContext): number {
  const { months, days, micros } = context.catalog.dataType(T.interval).input(text, -1, context) as Interval;
  if (months !== 0) throw new DatabaseError('22023', 'a time ago in oxbow.as_of must be of days or less', { hint: 'Give a date for what lies further back.' });
  return context.runtime.clock.nowMicros() + days * DAY_MICROS + Number(micros);
}

function printMoment(micros: number): string {
  // Year 1 to 9999: as far as the canonical form goes.
  if (micros < -62_135_596_800_000_000 || micros >= 253_402_300_800_000_000) throw new DatabaseError('22008', 'timestamp out of range');
  const seconds = Math.floor(micros / 1e6);
  const fraction = String(micros - seconds * 1e6).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')}.${fraction}+00`;
}

/** The log position whose state is that of the moment. Raises 72000 when it is too long ago, 22023 for the future. */
export function lsnOfMoment(moment: string, storage: Storage): Lsn {
  const position = LSN.exec(moment);
  if (position) {
    const lsn = (Number.parseInt(position[1]!, 16) * 2 ** 32 + Number.parseInt(position[2]!, 16)) as Lsn;
    storage.past.check(lsn);
    return lsn;
  }
  const [, year, month, day, hour, minute, second, fraction] = CANONICAL.exec(moment)!;
  return storage.past.lsnAt(Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) * 1000 + Number(fraction));
}

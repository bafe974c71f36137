/**
 * Names of the objects in a target.
 *
 *     log/LINEAGE/lineage                 where the lineage comes from
 *     log/LINEAGE/owner/EPOCH             claimed by each archiver that begins; a higher one fences the lower
 *     log/LINEAGE/FROM-TO-EPOCH           batches of the log in [FROM, TO)
 *     backups/ID/begun                    what an unfinished backup needs to be taken up again
 *     backups/ID/owner-0001               claimed by each process that writes it; a higher one fences the lower
 *     backups/ID/data-000000              entries of the state, in key order
 *     backups/ID/manifest                 written last: a backup without one is not there
 *     backups/ID/proven-MICROS            a verification restored it
 *
 * LSNs are 12 hexadecimal digits, so names sort as their ranges do.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

export interface LogPiece {
  readonly name: string;
  readonly bytes: number;
  readonly from: Lsn;
  readonly to: Lsn;
  readonly epoch: number;
}

export const logPrefix = (lineage: string): string => `log/${lineage}/`;
export const lineageName = (lineage: string): string => `log/${lineage}/lineage`;
export const ownerPrefix = (lineage: string): string => `log/${lineage}/owner/`;
export const ownerName = (lineage: string, epoch: number): string => `log/${lineage}/owner/${hex(epoch, 8)}`;
export const pieceName = (lineage: string, from: Lsn, to: Lsn, epoch: number): string => `log/${lineage}/${hex(from, 12)}-${hex(to, 12)}-${hex(epoch, 8)}`;

export function parsePiece(name: string, bytes: number): LogPiece | undefined {
  const match = /\/([0-9a-f]{12})-([0-9a-f]{12})-([0-9a-f]{8})$/.exec(name);
  if (!match) return undefined;
  return { name, bytes, from: parseInt(match[1]!, 16) as Lsn, to: parseInt(match[2]!, 16) as Lsn, epoch: parseInt(match[3]!, 16) };
}

export function parseOwner(name: string): number | undefined {
  const match = /\/owner\/([0-9a-f]{8})$/.exec(name);
  return match ? parseInt(match[1]!, 16) : undefined;
}

export const backupPrefix = (id: string): string => `backups/${id}/`;
export const manifestName = (id: string): string => `backups/${id}/manifest`;
export const begunName = (id: string): string => `backups/${id}/begun`;
export const writerName = (id: string, number: number): string => `backups/${id}/owner-${String(number).padStart(4, '0')}`;
export const dataName = (id: string, number: number): string => `backups/${id}/data-${String(number).padStart(6, '0')}`;
export const provenName = (id: string, micros: number): string => `backups/${id}/proven-${String(micros).padStart(17, '0')}`;

/** Sorts by time: when it was begun, its LSN, F(ull) or I(ncremental). */
export function backupId(startedMicros: number, lsn: Lsn, kind: 'full' | 'incremental'): string {
  const time = new Date(startedMicros / 1000).toISOString().replace(/[-:]/g, '').replace(/\.(\d{3})Z/, '$1Z');
  return `${time}-${hex(lsn, 12)}${kind === 'full' ? 'F' : 'I'}`;
}

/** LSNs as PostgreSQL prints them. */
export function formatLsn(lsn: number): string {
  return `${Math.floor(lsn / 2 ** 32).toString(16).toUpperCase()}/${(lsn % 2 ** 32).toString(16).toUpperCase()}`;
}

export function formatTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, -1)}${String(Math.floor(micros) % 1000).padStart(3, '0')}Z`;
}

/** "0/1000000" or a plain number. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i.exec(text.trim());
  const lsn = match ? parseInt(match[1]!, 16) * 2 ** 32 + parseInt(match[2]!, 16) : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(lsn < 2 ** 48)) throw new DatabaseError('22P02', `"${text}" is not an LSN such as 0/1000000`);
  return lsn as Lsn;
}

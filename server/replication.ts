/**
 * Commands of a replication connection, PostgreSQL's way to speak to a server about its log and its
 * data as a whole. They come as simple queries; everything else goes to the session.
 *
 *     IDENTIFY_SYSTEM                         as PostgreSQL
 *     OXBOW_BACKUP_BEGIN {}                   one row of JSON: lease, lineage, mark, logFrom
 *     OXBOW_BACKUP_READ {lease, cursor, bytes}   COPY OUT: a JSON line {entries, next}, then bytes
 *     OXBOW_BACKUP_LOOKUP {lease, keys, bytes}   COPY OUT: a JSON line {entries, done, chunk}, then bytes
 *     OXBOW_BACKUP_END {lease}
 *     OXBOW_LOG_READ {from, bytes}            COPY OUT: a JSON line {from, to, closed} or {trimmed}, then whole batches
 *     OXBOW_ARCHIVE_FLUSH {}                  archives what is durable now; one row of JSON {archived}
 *
 * Bytes in JSON are base64.
 */
import type { BackupService } from '../engine/backup/service.js';
import { formatLsn } from '../engine/backup/layout.js';
import type { ScanCursor } from '../engine/backup/state-scan.js';
import { DatabaseError } from '../engine/errors.js';
import type { Lsn } from '../engine/ids.js';
import type { ResultColumn } from '../sql/executor/row-source.js';
import type { Session } from '../sql/session/session.js';
import { toDatabaseError } from '../sql/session/internal-error.js';

const COMMANDS = /^\s*(IDENTIFY_SYSTEM|OXBOW_[A-Z_]+)\s*(\{[\s\S]*\})?\s*;?\s*$/;
const TEXT = 25;
const INT4 = 23;

interface Arguments {
  readonly lease?: string;
  readonly cursor?: { readonly space: ScanCursor['space']; readonly key: string };
  readonly bytes?: number;
  readonly from?: number;
  readonly keys?: string;
}

/** What the server offers besides the engine. */
export interface ReplicationHooks {
  /** Archives everything durable; undefined without an archive. */
  flushArchive(): Promise<Lsn> | undefined;
}

/** Runs `text` if it is such a command; undefined: it is for the session. */
export function replicationCommand(text: string, session: Session, backups: BackupService, hooks: ReplicationHooks): Promise<void> | undefined {
  const match = COMMANDS.exec(text);
  if (!match) return undefined;
  const run = async (): Promise<void> => {
    try {
      let args: Arguments;
      try {
        args = JSON.parse(match[2] ?? '{}') as Arguments;
      } catch {
        throw new DatabaseError('42601', 'the arguments of a replication command are a JSON object');
      }
      await perform(match[1]!, args, session, backups, hooks);
    } catch (error) {
      session.sink.error(toDatabaseError(error, () => undefined));
    }
  };
  return run();
}

async function perform(command: string, args: Arguments, session: Session, backups: BackupService, hooks: ReplicationHooks): Promise<void> {
  switch (command) {
    case 'IDENTIFY_SYSTEM': {
      const { lineage } = backups;
      const { storage } = session.cluster;
      return row(session, command, [
        ['systemid', TEXT, BigInt.asIntN(63, BigInt(`0x${lineage.id}`)).toString()], ['timeline', INT4, '1'],
        ['xlogpos', TEXT, formatLsn(storage.watermarks.durable)], ['dbname', TEXT, session.databaseName],
      ]);
    }
    case 'OXBOW_BACKUP_BEGIN':
      return json(session, command, await backups.begin());
    case 'OXBOW_BACKUP_READ': {
      const cursor = args.cursor ?? { space: 'heap', key: 'AA==' };
      const part = await backups.read(required(args.lease, 'lease'), { space: cursor.space, key: Buffer.from(cursor.key, 'base64') }, clamp(args.bytes, 4 << 20));
      return stream(session, command, { entries: part.entries, next: part.next ? { space: part.next.space, key: Buffer.from(part.next.key).toString('base64') } : null }, part.bytes);
    }
    case 'OXBOW_BACKUP_LOOKUP': {
      const found = await backups.lookup(required(args.lease, 'lease'), Buffer.from(required(args.keys, 'keys'), 'base64'), clamp(args.bytes, 4 << 20));
      return stream(session, command, { entries: found.entries, done: found.done, chunk: found.chunk }, found.bytes);
    }
    case 'OXBOW_BACKUP_END':
      backups.end(required(args.lease, 'lease'));
      return session.sink.commandComplete(command);
    case 'OXBOW_LOG_READ': {
      const range = await backups.readLog(required(args.from, 'from') as Lsn, clamp(args.bytes, 4 << 20));
      if (range.kind === 'trimmed') return stream(session, command, { trimmed: range.oldest }, new Uint8Array(0));
      return stream(session, command, { from: range.from, to: range.to, closed: range.closed }, range.bytes);
    }
    case 'OXBOW_ARCHIVE_FLUSH':
      return json(session, command, { archived: (await hooks.flushArchive()) ?? null });
    default:
      throw new DatabaseError('42601', `unknown replication command ${command}`);
  }
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new DatabaseError('22023', `"${name}" is missing`);
  return value;
}

const clamp = (bytes: number | undefined, most: number): number => Math.min(Math.max(bytes ?? most, 64 << 10), 16 << 20);

function row({ sink }: Session, command: string, fields: readonly (readonly [string, number, string])[]): void {
  const columns = fields.map(([name, typeOid]): ResultColumn => ({ name, typeOid, typmod: -1, tableOid: 0, attributeNumber: 0 }));
  sink.rowDescription(columns, []);
  sink.rows.beginRow(fields.length);
  for (const [, , value] of fields) sink.rows.textField(value);
  sink.rows.endRow();
  sink.commandComplete(command);
}

function json(session: Session, command: string, value: unknown): void {
  row(session, command, [['json', TEXT, JSON.stringify(value, (_, field: unknown) => (field instanceof Uint8Array ? Buffer.from(field).toString('base64') : field))]]);
}

async function stream({ sink }: Session, command: string, head: unknown, bytes: Uint8Array): Promise<void> {
  sink.copyOutResponse(true, 1);
  sink.copyData(Buffer.from(`${JSON.stringify(head)}\n`));
  if (bytes.length > 0) {
    sink.copyDataLent(bytes);
    const wait = sink.backPressure();
    if (wait) await wait;
  }
  sink.copyDone();
  sink.commandComplete(command);
}

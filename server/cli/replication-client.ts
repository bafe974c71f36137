/** The client's side of server/replication.ts, over node-postgres. */
import type { Socket } from 'node:net';
import pg from 'pg';
import type { Lsn } from '../../engine/ids.js';
import { DatabaseError } from '../../engine/errors.js';
import type { Remote, RemoteBegun, RemoteCursor, RemoteFound, RemoteLog, RemotePart } from '../../engine/backup/remote.js';
import { CopyTap } from './copy-tap.js';

/** What node-postgres wants of a query that reads a COPY: the methods its connection calls. */
class CopyOut {
  private error: Error | undefined;

  constructor(private readonly text: string, private readonly done: (error: Error | undefined) => void) {}

  submit(connection: { query(text: string): void }): void {
    connection.query(this.text);
  }
  /** The tap has taken it. */
  handleCopyData(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleError(error: Error): void {
    this.error = error;
    this.done(error);
  }
  handleReadyForQuery(): void {
    if (!this.error) this.done(undefined);
  }
}

export class ReplicationClient implements Remote {
  private readonly tap: CopyTap;

  private constructor(private readonly client: pg.Client) {
    this.tap = new CopyTap((client as unknown as { connection: { stream: Socket } }).connection.stream);
  }

  static async connect(url: string): Promise<ReplicationClient> {
    const client = new pg.Client({ connectionString: url, replication: 'database', application_name: 'oxbow backup' } as pg.ClientConfig);
    client.on('error', () => undefined);
    await client.connect();
    return new ReplicationClient(client);
  }

  async command<T>(name: string, args: unknown = {}): Promise<T> {
    try {
      const { rows } = await this.client.query<{ json: string }>(`${name} ${JSON.stringify(args)}`);
      return JSON.parse(rows[0]?.json ?? 'null') as T;
    } catch (error) {
      throw asDatabaseError(error);
    }
  }

  /** The first line of the answer as JSON, and the rest in the pieces it came in. */
  private copy(name: string, args: unknown): Promise<{ head: unknown; pieces: Uint8Array[] }> {
    return new Promise((resolve, reject) => {
      const query = new CopyOut(`${name} ${JSON.stringify(args)}`, (error) => {
        const pieces = this.tap.take();
        if (error) return reject(asDatabaseError(error));
        let line = '';
        for (;;) {
          const piece = pieces.shift();
          if (!piece) return reject(new DatabaseError('08P01', `the answer to ${name} is not complete`));
          const end = piece.indexOf(10);
          line += piece.toString('utf8', 0, end < 0 ? piece.length : end);
          if (end < 0) continue;
          if (end + 1 < piece.length) pieces.unshift(piece.subarray(end + 1));
          return resolve({ head: JSON.parse(line) as unknown, pieces });
        }
      });
      this.client.query(query as unknown as pg.Submittable);
    });
  }

  begin(): Promise<RemoteBegun> {
    return this.command<RemoteBegun>('OXBOW_BACKUP_BEGIN');
  }

  async read(lease: string, cursor: RemoteCursor | undefined, bytes: number): Promise<RemotePart> {
    const answer = await this.copy('OXBOW_BACKUP_READ', { lease, cursor, bytes });
    return { ...(answer.head as Omit<RemotePart, 'pieces'>), pieces: answer.pieces };
  }

  async readLog(from: Lsn, bytes: number): Promise<RemoteLog> {
    const answer = await this.copy('OXBOW_LOG_READ', { from, bytes });
    const head = answer.head as { trimmed: Lsn } | { from: Lsn; to: Lsn; closed: boolean };
    return 'trimmed' in head ? head : { ...head, bytes: Buffer.concat(answer.pieces) };
  }

  async end(lease: string): Promise<void> {
    await this.command('OXBOW_BACKUP_END', { lease });
  }

  async lookup(lease: string, keys: Uint8Array, bytes: number): Promise<RemoteFound> {
    const answer = await this.copy('OXBOW_BACKUP_LOOKUP', { lease, keys: Buffer.from(keys).toString('base64'), bytes });
    return { ...(answer.head as { entries: number; done: number; chunk: number }), bytes: Buffer.concat(answer.pieces) };
  }

  async flushArchive(): Promise<Lsn | null> {
    return (await this.command<{ archived: Lsn | null }>('OXBOW_ARCHIVE_FLUSH')).archived;
  }

  async close(): Promise<void> {
    await this.client.end().catch(() => undefined);
  }
}

function asDatabaseError(error: unknown): Error {
  const { code, message, detail, hint } = error as { code?: string; message: string; detail?: string; hint?: string };
  if (code === undefined || code.length !== 5) return error as Error;
  return new DatabaseError(code, message, { ...(detail ? { detail } : {}), ...(hint ? { hint } : {}) });
}

/** What the listener and all connections share. */
import type { SecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { Lsn } from '../engine/ids.js';
import type { Runtime } from '../engine/runtime.js';
import { DatabaseError } from '../engine/errors.js';
import type { BackupService } from '../engine/backup/service.js';
import type { Cluster } from '../sql/session/cluster.js';
import type { HostRule } from './auth/host-rules.js';
import type { Connection } from './connection.js';
import type { Spinner } from './spinner.js';
import { EndOfTurn } from './turn.js';

/** superuser_reserved_connections */
const RESERVED = 3;

export class ServerState {
  readonly connections = new Set<Connection>();
  readonly #byPid = new Map<number, Connection>();
  readonly endOfTurn: EndOfTurn;
  draining = false;
  /** Archives everything durable; undefined without an archive. */
  flushArchive: () => Promise<Lsn> | undefined = () => undefined;
  /** Called with +1 and -1, for the metrics. */
  onConnections: (count: number) => void = () => undefined;

  constructor(
    readonly runtime: Runtime,
    readonly cluster: Cluster,
    readonly log: Logger,
    readonly hostRules: readonly HostRule[],
    readonly secureContext: SecureContext | null,
    readonly maxConnections: number,
    /** Keys the mock SCRAM verifiers. */
    readonly mockSecret: Buffer,
    readonly backups: BackupService,
    readonly spinner: Spinner,
  ) {
    this.endOfTurn = new EndOfTurn(runtime.clock);
  }

  /** Refuses a session beyond max_connections, or while the server shuts down. */
  admit(superuser: boolean): void {
    if (this.draining) throw new DatabaseError('57P03', 'the database system is shutting down', { severity: 'FATAL' });
    const limit = superuser ? this.maxConnections : this.maxConnections - RESERVED;
    if (this.#byPid.size >= limit) throw new DatabaseError('53300', 'sorry, too many clients already', { severity: 'FATAL' });
  }

  opened(connection: Connection): void {
    this.#byPid.set(connection.pid, connection);
    this.onConnections(this.#byPid.size);
  }

  closed(connection: Connection): void {
    this.connections.delete(connection);
    if (connection.pid && this.#byPid.delete(connection.pid)) this.onConnections(this.#byPid.size);
  }

  /** A CancelRequest: works only with the right key, and never says whether it did. */
  cancel(pid: number, secret: number): void {
    const connection = this.#byPid.get(pid);
    if (connection?.cancelledBy(secret)) connection.session?.cancel();
  }

  get sessionCount(): number {
    return this.#byPid.size;
  }
}

/**
 * One client connection: startup, authentication, then messages in their order. The session behind
 * it knows no socket; this file knows no SQL. What goes out is output.ts's, what a message means message-handler.ts's.
 */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { DatabaseError } from '../engine/errors.js';
import { toDatabaseError } from '../sql/session/internal-error.js';
import { Session } from '../sql/session/session.js';
import { REPORTED } from '../sql/session/settings-table.js';
import { copyIn } from './copy-in.js';
import { logIn } from './login.js';
import { MessageHandler } from './message-handler.js';
import { Output } from './output.js';
import { withSharedReads } from './shared-reads.js';
import type { ServerState } from './server-state.js';
import { startupSettings, type StartupRequest } from './startup.js';
import { CLIENT_HELLO, upgradeToTls } from './tls.js';
import * as backend from './wire/backend.js';
import { Framing, type Frame } from './wire/framing.js';
import { decodeStartup } from './wire/frontend.js';
import { WireSink } from './wire-sink.js';

/** One connection's messages are processed for so long before others get a turn. */
const TURN_MS = 4;
/** The clock is looked at every so many messages. */
const MESSAGES_PER_LOOK = 32;
/** The socket is paused while this much input waits to be processed. */
const INPUT_BYTES = 1024 * 1024;
/** A client has this long to authenticate (authentication_timeout). */
const STARTUP_TIMEOUT_MS = 60_000;

export class Connection {
  readonly #framing = new Framing();
  readonly #output: Output;
  #socket: Socket;
  #tls = false;
  #wake: (() => void) | null = null;
  #ended = false;
  /** A message is being processed that had to wait, or the connection is not served yet. */
  #busy = false;
  /** Set while messages are processed as they come: ends #serve. */
  #served: { resolve(): void; reject(error: unknown): void } | null = null;
  /** Its output leaves at the end of this turn. */
  #flushing = false;
  #session: Session | null = null;
  #handler: MessageHandler | null = null;
  /** Of the session, made when something is to be said. */
  #sessionLog: Logger | null = null;
  #identity: { readonly session: number; readonly user: string; readonly database: string } | null = null;
  #secret = 0;
  #idleTimer: (() => void) | null = null;
  pid = 0;

  constructor(socket: Socket, private readonly server: ServerState) {
    this.#socket = socket;
    this.#output = new Output(socket);
    this.#attach(socket);
  }

  get #log(): Logger {
    return this.#identity ? (this.#sessionLog ??= this.server.log.child(this.#identity)) : this.server.log;
  }

  get session(): Session | null {
    return this.#session;
  }

  // ---- socket ----

  #attach(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('data', this.#received);
    this.#listen(socket, false);
  }

  readonly #received = (chunk: Buffer): void => {
    this.server.spinner.arrived();
    this.#framing.push(chunk);
    if (this.#busy && this.#framing.buffered > INPUT_BYTES) this.#socket.pause();
    if (this.#wake) this.#wake();
    else if (this.#served && !this.#busy) this.#process();
  };

  #listen(socket: Socket, direct: boolean): void {
    this.#output.to(socket, direct);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#gone());
    socket.on('end', () => this.#gone());
  }

  #gone(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#idleTimer?.();
    this.#wake?.();
    this.#output.close();
    this.#served?.resolve();
    this.#session?.close();
    this.#socket.destroy();
    this.server.closed(this);
  }

  /** Sends at the end of this turn. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.server.endOfTurn.add(this.#flushNow);
  }

  readonly #flushNow = (): void => {
    this.#flushing = false;
    this.#output.flush();
    this.server.spinner.kick();
  };

  /** Resolves when more has come, or the client has gone. */
  #arrival(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  /** Next message, or null when the client is gone. Output is flushed before waiting. */
  readonly #nextFrame = async (): Promise<Frame | null> => {
    for (;;) {
      if (this.#ended) return null;
      const frame = this.#framing.next();
      if (frame) return frame;
      this.#output.flush();
      if (this.#socket.isPaused()) this.#socket.resume();
      await this.#arrival();
    }
  };

  // ---- life ----

  /** Runs the connection to its end. Never rejects. */
  async run(): Promise<void> {
    const stopTimer = this.server.runtime.clock.after(STARTUP_TIMEOUT_MS, () => {
      if (!this.#session) this.#gone();
    });
    try {
      const request = await this.#startup();
      if (request) {
        await this.#begin(request);
        stopTimer();
        await this.#serve();
      }
    } catch (error) {
      this.#fatal(toDatabaseError(error, (fault) => this.#log.error({ err: fault }, 'internal fault in a connection')));
    } finally {
      stopTimer();
      this.#gone();
    }
  }

  #fatal(error: DatabaseError): void {
    if (this.#ended) return;
    const shown = error.severity === 'ERROR' ? new DatabaseError(error.sqlstate, error.message, { severity: 'FATAL', detail: error.detail, hint: error.hint }) : error;
    this.#log.info({ sqlstate: shown.sqlstate, message: shown.message }, 'connection ended by an error');
    backend.errorResponse(this.#output.writer, shown);
    this.#output.end();
  }

  /** Ends the connection with a FATAL error (shutdown, pg_terminate_backend). */
  terminate(error: DatabaseError): void {
    this.#fatal(error);
    setImmediate(() => this.#gone());
  }

  /** Negotiation before the startup packet: TLS, GSS, cancel. Null when that was all. */
  async #startup(): Promise<StartupRequest | null> {
    await this.#directTls();
    for (;;) {
      const frame = await this.#nextFrame();
      if (!frame) return null;
      const packet = decodeStartup(frame.body);
      switch (packet.type) {
        case 'ssl':
          if (this.#framing.buffered > 0) throw new DatabaseError('08P01', 'received unencrypted data after SSL request', { severity: 'FATAL' });
          if (this.server.secureContext && !this.#tls) {
            this.#socket.write('S');
            await this.#upgrade(Buffer.alloc(0), false);
          } else this.#socket.write('N');
          break;
        case 'gssenc':
          this.#socket.write('N');
          break;
        case 'cancel':
          this.server.cancel(packet.pid, packet.secret);
          return null;
        case 'startup':
          if (packet.major !== 3) {
            throw new DatabaseError('0A000', `unsupported frontend protocol ${packet.major}.${packet.minor}: server supports 3.0 to 3.0`, { severity: 'FATAL' });
          }
          return { parameters: packet.parameters, minor: packet.minor };
      }
    }
  }

  /** TLS without SSLRequest. */
  async #directTls(): Promise<void> {
    while (this.#framing.buffered === 0 && !this.#ended) await this.#arrival();
    if (this.#ended || this.#framing.firstByte !== CLIENT_HELLO) return;
    if (!this.server.secureContext) throw new DatabaseError('08P01', 'TLS is not enabled on this server', { severity: 'FATAL' });
    await this.#upgrade(this.#framing.takeRest(), true);
  }

  async #upgrade(received: Buffer, requireAlpn: boolean): Promise<void> {
    const secure = await upgradeToTls(this.#socket, this.server.secureContext!, received, requireAlpn);
    this.#tls = true;
    this.#socket = secure;
    this.#attach(secure);
  }

  /** Logs in and makes the session. */
  async #begin({ parameters, minor }: StartupRequest): Promise<void> {
    this.#framing.startupDone = true;
    const { cluster } = this.server;
    const output = this.#output;
    const { writer } = output;
    const wanted = startupSettings(parameters);
    if (minor > 0 || wanted.unknownOptions.length > 0) backend.negotiateProtocolVersion(writer, 0, wanted.unknownOptions);
    const address = this.#socket.remoteAddress ?? '';
    const login = await logIn(this.server, wanted, address, this.#tls, output, this.#nextFrame);
    this.pid = cluster.backends.allocatePid();
    this.#secret = Buffer.from(this.server.runtime.random.bytes(4)).readInt32BE(0);
    this.#identity = { session: this.pid, user: wanted.user, database: wanted.database };
    const sink = new WireSink(writer, {
      relieve: () => output.relieve(), flush: () => output.flush(), copyIn: () => copyIn({ arrived: () => this.#framing.next(), next: this.#nextFrame }),
      holdUntil: (durable) => output.holdUntil(durable), typeLength: (oid) => this.#session?.catalog.type(oid)?.typlen ?? -1,
    });
    const session = (this.#session = new Session({
      cluster, pid: this.pid, databaseOid: login.databaseOid, databaseName: login.databaseName, userOid: login.roleOid, sink,
      client: { address, port: this.#socket.remotePort ?? -1 }, settings: wanted.settings,
      terminate: (error) => this.terminate(error),
      onError: (sqlstate, durationMs) => this.#log.info({ sqlstate, durationMs }, 'statement failed'),
      onFault: (fault) => this.#log.error({ err: fault, sqlstate: 'XX000' }, 'internal fault'),
    }));
    this.#handler = new MessageHandler(session, output, this.server, wanted.replication, this.#ready);
    backend.authenticationOk(writer);
    for (const name of REPORTED) backend.parameterStatus(writer, name, session.settings.get(name) ?? '');
    backend.backendKeyData(writer, this.pid, this.#secret);
    this.server.opened(this);
    if (this.server.log.isLevelEnabled('debug')) this.#log.debug({ address, tls: this.#tls }, 'session started');
    this.#ready();
  }

  /** Does a CancelRequest's key belong to this connection? */
  cancelledBy(secret: number): boolean {
    return secret === this.#secret;
  }

  // ---- messages ----

  readonly #ready = (): void => {
    backend.readyForQuery(this.#output.writer, this.#session!.transaction.indicator);
    this.#startIdleTimer();
  };

  /** idle_in_transaction_session_timeout and idle_session_timeout. */
  #startIdleTimer(): void {
    const session = this.#session!;
    const { idleInTransactionTimeoutMs, idleTimeoutMs } = session.settings.statement;
    if (idleInTransactionTimeoutMs <= 0 && idleTimeoutMs <= 0) return;
    const inBlock = session.transaction.indicator !== 'I';
    const timeoutMs = inBlock ? idleInTransactionTimeoutMs : idleTimeoutMs;
    if (timeoutMs <= 0) return;
    this.#idleTimer = this.server.runtime.clock.after(timeoutMs, () => {
      this.terminate(inBlock
        ? new DatabaseError('25P03', 'terminating connection due to idle-in-transaction timeout', { severity: 'FATAL' })
        : new DatabaseError('57P05', 'terminating connection due to idle-session timeout', { severity: 'FATAL' }));
    });
  }

  /** Processes messages until the client goes. */
  #serve(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#served = { resolve, reject };
      if (!this.#tls) this.#shareReads();
      this.#process();
    });
  }

  #shareReads(): void {
    const socket = withSharedReads(this.#socket, this.#received);
    if (!socket) return;
    this.#socket = socket;
    this.#listen(socket, true);
  }

  /** All messages that are there, without a promise as long as none has to wait; then one write. */
  #process(): void {
    try {
      const { clock } = this.server.runtime;
      const output = this.#output;
      let since = 0;
      for (let count = 1; !this.#ended; count++) {
        const frame = this.#framing.next();
        if (!frame) break;
        const wait = this.#message(frame) ?? output.relieve();
        if (wait) {
          this.#continueAfter(wait);
          return;
        }
        if (count % MESSAGES_PER_LOOK !== 0) continue;
        const now = clock.monotonicMs();
        if (since === 0) since = now;
        else if (now - since > TURN_MS) {
          this.#continueAfter(new Promise((resolve) => setImmediate(resolve)));
          return;
        }
      }
      this.#flushSoon();
      if (this.#socket.isPaused()) this.#socket.resume();
    } catch (error) {
      this.#served!.reject(error);
    }
  }

  #continueAfter(wait: Promise<void>): void {
    this.#busy = true;
    wait.then(
      () => {
        this.#busy = false;
        this.#process();
      },
      (error: unknown) => this.#served!.reject(error),
    );
  }

  #message(frame: Frame): Promise<void> | undefined {
    if (this.#idleTimer) {
      this.#idleTimer();
      this.#idleTimer = null;
    }
    const wait = this.#handler!.handle(frame);
    if (wait !== 'terminate') return wait;
    this.#served!.resolve();
    this.#gone();
    return undefined;
  }
}

/**
 * One client connection: startup, authentication, then messages in their order. The session behind
 * it knows no socket; this file knows no SQL.
 *
 * Output gathers in one buffer and leaves in one write when there is nothing left to process, or
 * when it has grown large; a client that does not read holds its own session only.
 */
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { DatabaseError } from '../engine/errors.js';
import { turn } from '../engine/turns.js';
import { toDatabaseError } from '../sql/session/internal-error.js';
import { Session } from '../sql/session/session.js';
import { forgetPieces, piecesOf } from '../sql/types/large-text.js';
import { REPORTED } from '../sql/session/settings-table.js';
import type { CopyInStream } from '../sql/session/sink.js';
import { authenticateScram } from './auth/authenticate.js';
import { methodFor } from './auth/host-rules.js';
import { withSharedReads } from './shared-reads.js';
import { replicationCommand } from './replication.js';
import type { ServerState } from './server-state.js';
import { startupSettings, type StartupRequest } from './startup.js';
import * as backend from './wire/backend.js';
import { Framing, type Frame } from './wire/framing.js';
import { decodeFrontend, decodeStartup, type FrontendMessage } from './wire/frontend.js';
import { WireWriter, type Segment } from './wire/writer.js';
import { WireSink } from './wire-sink.js';

/** Output is sent early beyond this. */
const FLUSH_BYTES = 64 * 1024;
/** The session waits while the socket holds more than this. */
const PRESSURE_BYTES = 256 * 1024;
/** One connection's messages are processed for so long before others get a turn. */
const TURN_MS = 4;
/** The clock is looked at every so many messages. */
const MESSAGES_PER_LOOK = 32;
/** The socket is paused while this much input waits to be processed. */
const INPUT_BYTES = 1024 * 1024;
/** Rows of COPY are handed on in chunks of this size, as far as they have come. */
const COPY_CHUNK = 64 * 1024;
const COPY_DATA = 'd'.charCodeAt(0);
/** A client has this long to authenticate (authentication_timeout). */
const STARTUP_TIMEOUT_MS = 60_000;
/** Roles and databases are shared rows: any database shows them. */
const TEMPLATE1 = 1;

export class Connection {
  readonly #framing = new Framing();
  readonly #writer = new WireWriter();
  #socket: Socket;
  #tls = false;
  #wake: (() => void) | null = null;
  #drained: (() => void) | null = null;
  #ended = false;
  /** A message is being processed that had to wait, or the connection is not served yet. */
  #busy = false;
  /** Set while messages are processed as they come: ends #serve. */
  #served: { resolve(): void; reject(error: unknown): void } | null = null;
  /** Its output leaves at the end of this turn. */
  #flushing = false;
  /** Until it resolves, nothing is sent. */
  #held: Promise<void> | null = null;
  /** Something was to be sent meanwhile. */
  #flushHeld = false;
  /** What waits for a large value ahead of it to be sent. */
  #outbox: Segment[] = [];
  #sending: Promise<void> | null = null;
  #session: Session | null = null;
  /** Of the session, made when something is to be said. */
  #sessionLog: Logger | null = null;
  #identity: { readonly session: number; readonly user: string; readonly database: string } | null = null;
  #secret = 0;
  #replication = false;
  #idleTimer: (() => void) | null = null;
  pid = 0;

  constructor(socket: Socket, private readonly server: ServerState) {
    this.#socket = socket;
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
    this.#listen(socket);
  }

  readonly #received = (chunk: Buffer): void => {
    this.#framing.push(chunk);
    if (this.#busy && this.#framing.buffered > INPUT_BYTES) this.#socket.pause();
    if (this.#wake) this.#wake();
    else if (this.#served && !this.#busy) this.#process();
  };

  #listen(socket: Socket): void {
    socket.on('drain', () => this.#drained?.());
    socket.on('error', () => undefined);
    socket.on('close', () => this.#gone());
    socket.on('end', () => this.#gone());
  }

  #gone(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#idleTimer?.();
    this.#wake?.();
    this.#drained?.();
    this.#served?.resolve();
    this.#session?.close();
    this.#socket.destroy();
    this.server.closed(this);
  }

  /** What a statement found may rest on a commit that is not on disk: its answer waits here, while the session goes on and lets go of its locks. */
  #holdUntil(durable: Promise<void>): void {
    this.#held = durable;
    durable.then(
      () => {
        if (this.#held !== durable) return;
        this.#held = null;
        if (this.#flushHeld) this.#flush();
      },
      // The log has failed, and the process ends.
      () => undefined,
    );
  }

  #flush(): void {
    if (this.#writer.length === 0 || this.#ended) return;
    this.#flushHeld = this.#held !== null;
    if (this.#flushHeld) return;
    if (this.#sending || this.#writer.hasLarge) {
      this.#outbox.push(...this.#writer.takeSegments());
      this.#sending ??= this.#sendOutbox();
      return;
    }
    this.#socket.write(this.#writer.written());
    // What the kernel took at once needs its buffer no longer.
    if (this.#socket.writableLength === 0) this.#writer.rewind();
    else this.#writer.detach();
  }

  /** Sends segments, large values slice by slice as the client takes them. */
  async #sendOutbox(): Promise<void> {
    for (let segment = this.#outbox.shift(); segment && !this.#ended; segment = this.#outbox.shift()) {
      if (Buffer.isBuffer(segment)) this.#socket.write(segment);
      else {
        for (const slice of slicesOf(segment.value)) {
          this.#socket.write(slice);
          await this.#keepsUp();
          if (this.#ended) break;
        }
        if (typeof segment.value === 'string') forgetPieces(segment.value);
      }
    }
    this.#outbox = [];
    this.#sending = null;
  }

  /** A turn for others, or longer while the client does not read. */
  #keepsUp(): Promise<void> {
    if (this.#socket.writableLength < PRESSURE_BYTES) return turn();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
  }

  /** Sends at the end of this turn. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.server.endOfTurn.add(this.#flushNow);
  }

  readonly #flushNow = (): void => {
    this.#flushing = false;
    this.#flush();
    this.server.spinner.kick();
  };

  /** Flushes what is large; a promise while the client does not keep up. */
  #relieve(): Promise<void> | undefined {
    if (this.#writer.length < FLUSH_BYTES) return undefined;
    if (this.#held) return this.#held;
    this.#flush();
    if (this.#sending) return this.#sending;
    if (this.#socket.writableLength < PRESSURE_BYTES || this.#ended) return undefined;
    return new Promise((resolve) => {
      this.#drained = () => {
        this.#drained = null;
        resolve();
      };
    });
  }

  /** Next message, or null when the client is gone. Output is flushed before waiting. */
  async #nextFrame(): Promise<Frame | null> {
    for (;;) {
      if (this.#ended) return null;
      const frame = this.#framing.next();
      if (frame) return frame;
      this.#flush();
      if (this.#socket.isPaused()) this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = () => {
          this.#wake = null;
          resolve();
        };
      });
    }
  }

  // ---- life ----

  /** Runs the connection to its end. Never rejects. */
  async run(): Promise<void> {
    const stopTimer = this.server.runtime.clock.after(STARTUP_TIMEOUT_MS, () => {
      if (!this.#session) this.#gone();
    });
    try {
      const request = await this.#startup();
      if (request) {
        await this.#authenticate(request);
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
    backend.errorResponse(this.#writer, shown);
    if (this.#held) {
      void this.#held.finally(() => this.#end());
      return;
    }
    this.#end();
  }

  #end(): void {
    this.#flush();
    if (this.#sending) void this.#sending.then(() => this.#socket.end());
    else this.#socket.end();
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
            await this.#upgrade(this.server.secureContext, Buffer.alloc(0));
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

  /** A TLS client hello as the first byte: TLS without SSLRequest, by ALPN "postgresql". */
  async #directTls(): Promise<void> {
    while (this.#framing.buffered === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = () => {
          this.#wake = null;
          resolve();
        };
      });
    }
    if (this.#ended || this.#framing.firstByte !== 0x16) return;
    if (!this.server.secureContext) throw new DatabaseError('08P01', 'TLS is not enabled on this server', { severity: 'FATAL' });
    await this.#upgrade(this.server.secureContext, this.#framing.takeRest(), true);
  }

  async #upgrade(secureContext: SecureContext, received: Buffer, requireAlpn = false): Promise<void> {
    const raw = this.#socket;
    raw.removeAllListeners('data');
    raw.removeAllListeners('end');
    raw.pause();
    if (received.length > 0) raw.unshift(received);
    const secure = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] });
    await new Promise<void>((resolve, reject) => {
      secure.once('secure', resolve);
      secure.once('error', (error: Error) => reject(new DatabaseError('08P01', `could not accept SSL connection: ${error.message}`, { severity: 'FATAL' })));
      raw.once('close', () => reject(new DatabaseError('08006', 'connection lost during the TLS handshake', { severity: 'FATAL' })));
    });
    if (requireAlpn && secure.alpnProtocol !== 'postgresql') throw new DatabaseError('08P01', 'received direct SSL connection request without ALPN protocol negotiation extension', { severity: 'FATAL' });
    this.#tls = true;
    this.#socket = secure;
    this.#attach(secure);
  }

  async #authenticate({ parameters, minor }: StartupRequest): Promise<void> {
    this.#framing.startupDone = true;
    const { cluster } = this.server;
    const { user, database, settings, replication, unknownOptions } = startupSettings(parameters);
    if (minor > 0 || unknownOptions.length > 0) backend.negotiateProtocolVersion(this.#writer, 0, unknownOptions);
    const address = this.#socket.remoteAddress ?? '';
    const shared = cluster.catalogs.committed(TEMPLATE1);
    const role = shared.roleNamed(user);
    const method = methodFor(this.server.hostRules, address, this.#tls, user, database);
    if (method === null || method === 'reject') {
      throw new DatabaseError('28000', `no pg_hba.conf entry for host "${address}", user "${user}", database "${database}", ${this.#tls ? 'SSL encryption' : 'no encryption'}`, { severity: 'FATAL' });
    }
    if (method === 'scram-sha-256') {
      await authenticateScram(
        { writer: this.#writer, flush: () => this.#flush(), response: () => this.#authResponse(), random: (n) => this.server.runtime.random.bytes(n) },
        user, role, this.server.mockSecret, this.server.runtime.clock.nowMicros() - 946_684_800_000_000,
      );
    }
    if (!role) throw new DatabaseError('28000', `role "${user}" does not exist`, { severity: 'FATAL' });
    if (!role.rolcanlogin) throw new DatabaseError('28000', `role "${user}" is not permitted to log in`, { severity: 'FATAL' });
    const target = shared.databaseNamed(database);
    if (!target) throw new DatabaseError('3D000', `database "${database}" does not exist`, { severity: 'FATAL' });
    if (!target.datallowconn) throw new DatabaseError('55000', `database "${database}" is not currently accepting connections`, { severity: 'FATAL' });
    if (replication && !role.rolsuper && !role.rolreplication) throw new DatabaseError('42501', 'permission denied to start WAL sender', { severity: 'FATAL', detail: 'Only roles with the REPLICATION attribute may start a WAL sender process.' });
    this.#replication = replication;
    this.server.admit(role.rolsuper);
    this.pid = cluster.backends.allocatePid();
    this.#secret = Buffer.from(this.server.runtime.random.bytes(4)).readInt32BE(0);
    this.#identity = { session: this.pid, user, database };
    const sink = new WireSink(this.#writer, {
      relieve: () => this.#relieve(), flush: () => this.#flush(), copyIn: () => this.#copyIn(), holdUntil: (durable) => this.#holdUntil(durable),
      typeLength: (oid) => this.#session?.catalog.type(oid)?.typlen ?? -1,
    });
    this.#session = new Session({
      cluster, pid: this.pid, databaseOid: target.oid, databaseName: target.datname, userOid: role.oid, sink, client: { address, port: this.#socket.remotePort ?? -1 }, settings,
      terminate: (error) => this.terminate(error),
      onError: (sqlstate, durationMs) => this.#log.info({ sqlstate, durationMs }, 'statement failed'),
      onFault: (fault) => this.#log.error({ err: fault, sqlstate: 'XX000' }, 'internal fault'),
    });
    backend.authenticationOk(this.#writer);
    for (const name of REPORTED) backend.parameterStatus(this.#writer, name, this.#session.settings.get(name) ?? '');
    backend.backendKeyData(this.#writer, this.pid, this.#secret);
    this.server.opened(this);
    if (this.server.log.isLevelEnabled('debug')) this.#log.debug({ address, tls: this.#tls }, 'session started');
    this.#ready();
  }

  async #authResponse(): Promise<Buffer> {
    const frame = await this.#nextFrame();
    if (!frame) throw new DatabaseError('08006', 'connection to client lost', { severity: 'FATAL' });
    const message = decodeFrontend(frame.code, frame.body);
    if (message.type !== 'authentication') throw new DatabaseError('08P01', `expected SASL response, got message type ${frame.code}`, { severity: 'FATAL' });
    return message.body;
  }

  /** Does a CancelRequest's key belong to this connection? */
  cancelledBy(secret: number): boolean {
    return secret === this.#secret;
  }

  // ---- messages ----

  #ready(): void {
    backend.readyForQuery(this.#writer, this.#session!.transaction.indicator);
    this.#startIdleTimer();
  }

  /** idle_in_transaction_session_timeout and idle_session_timeout. */
  #startIdleTimer(): void {
    const session = this.#session!;
    const inBlock = session.transaction.indicator !== 'I';
    const { idleInTransactionTimeoutMs, idleTimeoutMs } = session.settings.statement;
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
    this.#listen(socket);
  }

  /** All messages that are there, without a promise as long as none has to wait; then one write. */
  #process(): void {
    try {
      const { clock } = this.server.runtime;
      let since = 0;
      for (let count = 1; !this.#ended; count++) {
        const frame = this.#framing.next();
        if (!frame) break;
        const wait = this.#message(frame) ?? this.#relieve();
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
    let message: FrontendMessage;
    try {
      message = decodeFrontend(frame.code, frame.body);
    } catch (error) {
      // a body that does not fit its format costs one error; a wrong code costs the connection
      if (error instanceof DatabaseError && error.severity === 'FATAL') throw error;
      this.#malformed(frame.code, error);
      return undefined;
    }
    if (message.type === 'terminate') {
      this.#served!.resolve();
      this.#gone();
      return undefined;
    }
    return this.#handle(message);
  }

  #malformed(code: number, error: unknown): void {
    const session = this.#session!;
    if (code === 0x51) {
      session.reject(error);
      this.#ready();
    } else {
      void session.extended.step(() => {
        throw error;
      });
    }
  }

  /** What follows a step of the extended protocol, unless it failed. */
  #answer(done: boolean | Promise<boolean>, answer: (writer: WireWriter) => void): Promise<void> | undefined {
    if (typeof done !== 'boolean') return done.then((ok) => void (ok && answer(this.#writer)));
    if (done) answer(this.#writer);
    return undefined;
  }

  /** Undefined when nothing had to wait. */
  #handle(message: FrontendMessage): Promise<void> | undefined {
    const session = this.#session!;
    switch (message.type) {
      case 'query':
        if (this.#replication) return this.#readyAfter(replicationCommand(message.text, session, this.server.backups, this.server) ?? session.simple.run(message.text));
        return this.#readyAfter(session.simple.run(message.text));
      case 'parse':
        return this.#answer(session.extended.step(() => session.extended.parse(message.name, message.text, message.parameterTypes)), backend.parseComplete);
      case 'bind':
        return this.#answer(
          session.extended.step(() => session.extended.bind(message.portal, message.statement, message.parameterFormats, message.parameters, message.resultFormats)), backend.bindComplete);
      case 'describe':
        return this.#answer(session.extended.step(() => this.#describe(message.what, message.name)), nothing);
      case 'execute':
        return this.#answer(session.extended.step(() => session.extended.execute(message.portal, message.maxRows)), nothing);
      case 'close':
        return this.#answer(
          session.extended.step(() => (message.what === 'statement' ? session.extended.closeStatement(message.name) : session.closePortal(message.name))), backend.closeComplete);
      case 'sync':
        return this.#readyAfter(session.extended.sync());
      case 'flush':
        this.#flush();
        return undefined;
      case 'copyData': case 'copyDone': case 'copyFail':
        // left over from a COPY that failed
        return undefined;
      case 'functionCall':
        session.reject(new DatabaseError('0A000', 'fastpath function calls are not supported'));
        this.#ready();
        return undefined;
      default:
        throw new DatabaseError('08P01', `unexpected message type "${message.type}"`, { severity: 'FATAL' });
    }
  }

  #readyAfter(wait: Promise<void> | undefined): Promise<void> | undefined {
    if (wait) return wait.then(() => this.#ready());
    this.#ready();
    return undefined;
  }

  #describe(what: 'statement' | 'portal', name: string): void {
    const session = this.#session!;
    const writer = this.#writer;
    if (what === 'statement') {
      const { parameterTypes, columns } = session.extended.describeStatement(name);
      backend.parameterDescription(writer, parameterTypes);
      if (columns) session.sink.rowDescription(columns, []);
      else backend.noData(writer);
    } else {
      const { columns, formats } = session.extended.describePortal(name);
      if (columns) session.sink.rowDescription(columns, formats);
      else backend.noData(writer);
    }
  }

  /** Messages of COPY FROM STDIN, until CopyDone or CopyFail. */
  #copyIn(): CopyInStream {
    // A message that ended a run of small ones.
    let held: Frame | null = null;
    const take = async (): Promise<Frame> => {
      const frame = held ?? (await this.#nextFrame());
      held = null;
      if (!frame) throw new DatabaseError('08006', 'connection to client lost', { severity: 'FATAL' });
      return frame;
    };
    /** Some clients send a message for each row: what has come is handed on together. */
    const gather = (first: Buffer): Buffer => {
      const parts = [first];
      for (let bytes = first.length; bytes < COPY_CHUNK; ) {
        const frame = this.#framing.next();
        if (!frame) break;
        if (frame.code !== COPY_DATA) {
          held = frame;
          break;
        }
        parts.push(frame.body);
        bytes += frame.body.length;
      }
      return parts.length === 1 ? first : Buffer.concat(parts);
    };
    return {
      next: async () => {
        for (;;) {
          const frame = await take();
          const message = decodeFrontend(frame.code, frame.body);
          switch (message.type) {
            case 'copyData': return gather(message.data);
            case 'copyDone': return null;
            case 'copyFail': throw new DatabaseError('57014', `COPY from stdin failed: ${message.reason}`);
            case 'flush': case 'sync': break;
            default: throw new DatabaseError('08P01', `unexpected message type 0x${frame.code.toString(16).toUpperCase()} during COPY from stdin`, { severity: 'FATAL' });
          }
        }
      },
    };
  }
}

function nothing(): void {
  // The step has answered itself.
}

/** A large value as buffers of some hundred kilobytes. */
function* slicesOf(value: string | Uint8Array): Generator<Uint8Array> {
  if (typeof value === 'string') for (const piece of piecesOf(value)) yield Buffer.from(piece, 'utf8');
  else for (let at = 0; at < value.length; at += FLUSH_BYTES * 4) yield value.subarray(at, at + FLUSH_BYTES * 4);
}

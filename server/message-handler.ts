/** What a session does for each message of its client, and what is answered to it. */
import { DatabaseError } from '../engine/errors.js';
import type { Session } from '../sql/session/session.js';
import type { Output } from './output.js';
import { replicationCommand } from './replication.js';
import type { ServerState } from './server-state.js';
import * as backend from './wire/backend.js';
import type { Frame } from './wire/framing.js';
import { decodeFrontend, type FrontendMessage } from './wire/frontend.js';
import type { WireWriter } from './wire/writer.js';

const QUERY = 'Q'.charCodeAt(0);

export class MessageHandler {
  readonly #writer: WireWriter;

  constructor(
    private readonly session: Session, private readonly output: Output, private readonly server: ServerState,
    /** It also understands the commands of replication.ts. */
    private readonly replication: boolean,
    /** Says ReadyForQuery. */
    private readonly ready: () => void,
  ) {
    this.#writer = output.writer;
  }

  /** A promise when something had to wait; 'terminate': the client says goodbye. */
  handle(frame: Frame): Promise<void> | 'terminate' | undefined {
    let message: FrontendMessage;
    try {
      message = decodeFrontend(frame.code, frame.body);
    } catch (error) {
      // a body that does not fit its format costs one error; a wrong code costs the connection
      if (error instanceof DatabaseError && error.severity === 'FATAL') throw error;
      this.#malformed(frame.code, error);
      return undefined;
    }
    return message.type === 'terminate' ? 'terminate' : this.#handle(message);
  }

  #malformed(code: number, error: unknown): void {
    const { session } = this;
    if (code === QUERY) {
      session.reject(error);
      this.ready();
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

  #handle(message: Exclude<FrontendMessage, { type: 'terminate' }>): Promise<void> | undefined {
    const { session } = this;
    switch (message.type) {
      case 'query':
        if (this.replication) return this.#readyAfter(replicationCommand(message.text, session, this.server.backups, this.server) ?? session.simple.run(message.text));
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
        this.output.flush();
        return undefined;
      case 'copyData': case 'copyDone': case 'copyFail':
        // left over from a COPY that failed
        return undefined;
      case 'functionCall':
        session.reject(new DatabaseError('0A000', 'fastpath function calls are not supported'));
        this.ready();
        return undefined;
      default:
        throw new DatabaseError('08P01', `unexpected message type "${message.type}"`, { severity: 'FATAL' });
    }
  }

  #readyAfter(wait: Promise<void> | undefined): Promise<void> | undefined {
    if (wait) return wait.then(() => this.ready());
    this.ready();
    return undefined;
  }

  #describe(what: 'statement' | 'portal', name: string): void {
    const { session } = this;
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
}

function nothing(): void {
  // The step has answered itself.
}

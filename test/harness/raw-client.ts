/** A client that speaks the protocol message by message: pg-protocol writes and reads, the test decides what. */
import { connect, type Socket } from 'node:net';
import { parse, serialize } from 'pg-protocol';

export interface BackendMessage { readonly name: string; readonly [field: string]: unknown }

export class RawClient {
  readonly received: BackendMessage[] = [];
  #waiters: (() => void)[] = [];
  closed = false;

  private constructor(readonly socket: Socket) {
    void parse(socket, (message) => {
      this.received.push(message as unknown as BackendMessage);
      this.#wake();
    }).catch(() => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
    socket.on('error', () => undefined);
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** Connected and past ReadyForQuery. */
  static async start(port: number, parameters: Record<string, string> = { user: 'postgres', database: 'postgres' }): Promise<RawClient> {
    const client = await RawClient.open(port);
    client.send(serialize.startup(parameters));
    await client.until('readyForQuery');
    return client;
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** Waits for a message of that name; answers everything received up to it and forgets it. */
  async until(name: string, timeoutMs = 10_000): Promise<BackendMessage[]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const index = this.received.findIndex((message) => message.name === name);
      if (index >= 0) return this.received.splice(0, index + 1);
      if (this.closed) throw new Error(`connection closed while waiting for ${name}; received ${JSON.stringify(this.received)}`);
      if (Date.now() > deadline) throw new Error(`no ${name} in time; received ${JSON.stringify(this.received)}`);
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve);
        setTimeout(resolve, 50).unref();
      });
    }
  }

  async query(sql: string): Promise<BackendMessage[]> {
    this.send(serialize.query(sql));
    return this.until('readyForQuery');
  }

  end(): void {
    this.socket.destroy();
  }
}

export { serialize };

/** Names of messages, with what tells them apart. */
export function names(messages: readonly BackendMessage[]): string[] {
  return messages.map((message) => (message.name === 'commandComplete' ? `commandComplete ${String(message.text)}` : message.name === 'error' ? `error ${String(message.code)}` : message.name === 'readyForQuery' ? `readyForQuery ${String(message.status)}` : message.name));
}

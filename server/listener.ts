/** The listening socket: accepts connections and drains them at shutdown. */
import { createServer, type Server } from 'node:net';
import { DatabaseError } from '../engine/errors.js';
import { Connection } from './connection.js';
import type { ServerState } from './server-state.js';

export class Listener {
  #server: Server | null = null;

  constructor(private readonly state: ServerState) {}

  /** Resolves with the port listened on. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: false, pauseOnConnect: false }, (socket) => {
        const connection = new Connection(socket, this.state);
        this.state.connections.add(connection);
        void connection.run();
      });
      server.once('error', reject);
      server.listen({ host, port, backlog: 1024 }, () => {
        this.#server = server;
        const address = server.address();
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  /**
   * Stops accepting; idle sessions end at once, busy ones when their statement is over, all of them
   * after `graceMs`.
   */
  async drain(graceMs: number): Promise<void> {
    this.state.draining = true;
    this.#server?.close();
    const error = new DatabaseError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' });
    const deadline = this.state.runtime.clock.monotonicMs() + graceMs;
    for (;;) {
      const late = this.state.runtime.clock.monotonicMs() >= deadline;
      for (const connection of this.state.connections) {
        const session = connection.session;
        if (!session || late || session.info().state !== 'active') connection.terminate(error);
      }
      if (this.state.connections.size === 0 || late) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

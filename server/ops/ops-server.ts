/** The side port: /metrics, and the probes /livez, /readyz, /startupz. */
import { createServer, type Server } from 'node:http';
import type { Metrics } from './metrics.js';

export interface Health {
  /** Recovery is over and the listener accepts. */
  started(): boolean;
  /** Why no traffic should come; null when all is well. */
  notReady(): string | null;
}

interface Answer { readonly status: number; readonly type: string; readonly body: string }

const text = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` });

export class OpsServer {
  readonly #server: Server;
  #metrics: Metrics | null = null;

  constructor(private readonly health: Health) {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://localhost').pathname;
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { allow: 'GET, HEAD' }).end();
        return;
      }
      void this.#answer(path).then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(request.method === 'HEAD' ? undefined : body);
      }).catch(() => response.writeHead(500).end());
    });
  }

  set metrics(metrics: Metrics) {
    this.#metrics = metrics;
  }

  async #answer(path: string): Promise<Answer> {
    switch (path) {
      case '/livez': return text(200, 'ok');
      case '/startupz': return this.health.started() ? text(200, 'ok') : text(503, 'starting');
      case '/readyz': {
        const reason = this.health.notReady();
        return reason === null ? text(200, 'ok') : text(503, reason);
      }
      case '/metrics': return this.#metrics
        ? { status: 200, type: this.#metrics.registry.contentType, body: await this.#metrics.registry.metrics() }
        : text(503, 'starting');
      default: return text(404, 'not found: try /metrics, /livez, /readyz, /startupz');
    }
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** The side port: /metrics, the probes /livez, /readyz, /startupz, and POST /verify, which checks the whole state now. */
import { createServer, type Server } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { Scrubber } from '../scrubber.js';
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
  #scrubber: Scrubber | null = null;

  constructor(private readonly health: Health) {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://localhost').pathname;
      if (request.method === 'POST' && path === '/verify') {
        // Not from a page that a browser shows.
        if (request.headers.origin !== undefined) response.writeHead(403).end();
        else void this.#verify(response);
        return;
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { allow: 'GET, HEAD' }).end();
        return;
      }
      void this.#answer(path).then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(request.method === 'HEAD' ? undefined : body);
      }).catch(() => response.writeHead(500).end());
    });
  }

  set scrubber(scrubber: Scrubber) {
    this.#scrubber = scrubber;
  }

  /** Lines of JSON as `oxbow verify` prints them; the last one says how it ended. */
  async #verify(response: ServerResponse): Promise<void> {
    const scrubber = this.#scrubber;
    if (!scrubber) {
      response.writeHead(503).end('starting\n');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    const say = (message: object): void => void response.write(`${JSON.stringify(message)}\n`);
    try {
      const result = await scrubber.pass('asked for', undefined, (what, done) => say({ kind: 'progress', what, done }));
      for (const text of result.findings) say({ kind: 'finding', text });
      say({ kind: 'done', findings: result.total, summary: result.summary });
    } catch (error) {
      say({ kind: 'refused', text: (error as Error).message });
    }
    response.end();
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
      default: return text(404, 'not found: try /metrics, /livez, /readyz, /startupz, POST /verify');
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

/** A server of the compiled build as a child process, on a free port and a directory of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compiledEntry, mainEntry } from './entry.js';

export interface TestServer {
  readonly port: number;
  readonly opsPort: number;
  readonly directory: string;
  readonly process: ChildProcess;
  /** Tells a faulty server (`faulty: true`) what to do; resolves when it knows. */
  command(message: object): Promise<void>;
  /** Everything the server logged so far. */
  log(): string;
  /** SIGTERM and wait; answers the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL and wait. */
  kill(): Promise<void>;
}

export interface TestServerOptions {
  readonly directory?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs test/crash/faulty-server.ts, which obeys `command`. */
  readonly faulty?: boolean;
  /** Removes the directory when the server stops. */
  readonly keep?: boolean;
}

const faultyEntry = compiledEntry('test/crash/faulty-server.js');

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'oxbow-test-'));
  const child = spawn(process.execPath, [...(options.faulty ? [faultyEntry] : [mainEntry, 'serve']), '--data', directory, '--port', '0', '--ops-port', '0', '--log-format', 'json', ...(options.args ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe', ...(options.faulty ? ['ipc' as const] : [])], env: { ...process.env, ...options.env },
  });
  let logged = '';
  let out = '';
  child.stderr!.on('data', (chunk: Buffer) => (logged += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const ready = await new Promise<RegExpExecArray>((resolve, reject) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      const match = /^oxbow ready postgresql:\/\/\S+?:(\d+)\/\S*(?: ops http:\/\/\S+?:(\d+))?/m.exec(out);
      if (match) resolve(match);
    });
    void exited.then((code) => reject(new Error(`the server ended with ${code} before it was ready:\n${logged}`)));
  });
  const cleanup = (): void => {
    if (!options.keep && !options.directory) rmSync(directory, { recursive: true, force: true });
  };
  return {
    port: Number(ready[1]), opsPort: Number(ready[2] ?? 0), directory, process: child, log: () => logged,
    command: (message) => new Promise<void>((resolve) => {
      child.once('message', () => resolve());
      // Told to die, it may do so before it answers.
      void exited.then(() => resolve());
      child.send(message);
    }),
    async stop() {
      child.kill('SIGTERM');
      const code = await exited;
      cleanup();
      return code;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
      cleanup();
    },
  };
}

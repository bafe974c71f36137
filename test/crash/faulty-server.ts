/**
 * The whole server in a process of its own, over files and threads that obey the test: they kill the
 * process or fail at a named point of a commit's way to the disk. Commands come as IPC messages, each
 * answered by "ok"; arguments are the server's.
 *
 *     { full: true }                        the disk is full: files cannot grow, nothing is free
 *     { slowSyncMs: n }                     each sync of the log takes so much longer
 *     { keepLog: true }                     checkpoints do nothing, and no log is trimmed
 *     { endKernelThreads: true }            threads that run kernels of queries end
 *     { busyPool: true }                    libuv's pool is busy when something fails
 *     { at: point, count: n, action }       at the n-th passage of the point: kill | EIO | ENOSPC
 *
 * The points are what the engine asks of its Runtime, so the engine has no test code in it.
 */
import { pbkdf2 } from 'node:crypto';
import { Command } from 'commander';
import type { FileHandle, FileSystem, Runtime, Thread } from '../../engine/runtime.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { makeConfig, OPTIONS } from '../../server/config.js';
import { makeLogger } from '../../server/logging.js';
import { startServer } from '../../server/serve.js';
import type { FaultCommand, FaultPoint } from './fault-points.js';

let full = false;
let keepLog = false;
let slowSyncMs = 0;
let busyPool = false;
let armed: { readonly at: FaultPoint; left: number; readonly action: 'kill' | 'EIO' | 'ENOSPC' } | null = null;

const failure = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

/** Where the engine passes; dies or throws if this is the place. */
function pass(point: FaultPoint): void {
  if (armed?.at !== point || --armed.left > 0) return;
  const { action } = armed;
  armed = null;
  if (action === 'kill') process.kill(process.pid, 'SIGKILL');
  // SIGKILL is delivered when the call returns; nothing may happen in between.
  while (action === 'kill') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  if (busyPool) for (let i = 0; i < 20; i++) pbkdf2('a', 'b', 20_000, 32, 'sha256', () => undefined);
  throw failure(action);
}

class FaultyHandle implements FileHandle {
  constructor(private readonly inner: FileHandle, private readonly kind: 'log' | 'spare' | 'other') {}

  private beforeWrite(length: number, position: number): void {
    if (this.kind === 'log') pass('log write');
    if (this.kind === 'spare') pass('segment prepare');
    if (full && position + length > this.inner.size()) throw failure('ENOSPC');
  }
  private written(count: number): number {
    if (this.kind === 'log') pass('log written');
    return count;
  }
  readSync(buffer: Uint8Array, position: number): number {
    return this.inner.readSync(buffer, position);
  }
  writeSync(buffer: Uint8Array, position: number): number {
    this.beforeWrite(buffer.length, position);
    return this.written(this.inner.writeSync(buffer, position));
  }
  async write(buffer: Uint8Array, position: number): Promise<number> {
    this.beforeWrite(buffer.length, position);
    return this.written(await this.inner.write(buffer, position));
  }
  dataSyncSync(): void {
    if (this.kind === 'log') pass('log sync');
    if (this.kind === 'log' && slowSyncMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, slowSyncMs);
    this.inner.dataSyncSync();
    if (this.kind === 'log') pass('log synced');
  }
  async dataSync(): Promise<void> {
    if (this.kind === 'log') pass('log sync');
    if (this.kind === 'log' && slowSyncMs > 0) await new Promise((resolve) => setTimeout(resolve, slowSyncMs));
    await this.inner.dataSync();
    if (this.kind === 'log') pass('log synced');
  }
  size(): number {
    return this.inner.size();
  }
  truncate(length: number): void {
    this.inner.truncate(length);
  }
  close(): void {
    this.inner.close();
  }
}

function faultyFiles(inner: FileSystem): FileSystem {
  const name = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
  const isSegment = (path: string): boolean => /^\d+\.log$/.test(name(path));
  return {
    ...inner,
    // a spare that is opened for writing becomes the next segment
    open: (path, mode) => {
      if (full && mode === 'create') throw failure('ENOSPC');
      const kind = isSegment(path) || (name(path).startsWith('spare-') && mode === 'readwrite') ? 'log' : name(path).startsWith('spare-') ? 'spare' : 'other';
      return new FaultyHandle(inner.open(path, mode), kind);
    },
    rename(from, to) {
      if (isSegment(to)) pass('segment switch');
      if (isSegment(from)) pass('segment trim');
      inner.rename(from, to);
      if (isSegment(to)) pass('segment switched');
    },
    remove(path) {
      if (isSegment(path)) pass('segment trim');
      inner.remove(path);
    },
    exists: (path) => inner.exists(path),
    list: (path) => inner.list(path),
    mkdir: (path) => inner.mkdir(path),
    syncDirectory: (path) => inner.syncDirectory(path),
    freeBytes: (path) => (full ? 0 : inner.freeBytes(path)),
  };
}

const ASKED: Readonly<Record<string, FaultPoint>> = { sync: 'checkpoint', collect: 'vacuum', sweep: 'undo' };
const ANSWERED: Readonly<Record<string, FaultPoint>> = { synced: 'checkpoint done', collected: 'vacuum done', applied: 'applied', swept: 'undo done' };
const kindOf = (message: unknown): string => String((message as { kind?: unknown }).kind);

/** Threads that were told to run something. */
const kernelThreads = new Set<Thread>();

function faultyThread(inner: Thread): Thread {
  let answer: (message: unknown) => void = () => undefined;
  return {
    post: (message) => {
      if (keepLog && kindOf(message) === 'sync') {
        setImmediate(() => answer({ kind: 'synced', id: (message as { id: number }).id, keepFrom: 0 }));
        return;
      }
      const point = ASKED[kindOf(message)];
      if (point) pass(point);
      if (kindOf(message) === 'run') kernelThreads.add(inner);
      inner.post(message);
    },
    onMessage: (listener) => inner.onMessage(answer = (message) => {
      const point = ANSWERED[kindOf(message)];
      if (point) pass(point);
      listener(message);
    }),
    onExit: (listener) => inner.onExit(listener),
    terminate: () => inner.terminate(),
  };
}

const base = nodeRuntime();
const runtime: Runtime = { ...base, files: faultyFiles(base.files), threads: { start: (...given) => faultyThread(base.threads.start(...given)) } };

process.on('message', (command: FaultCommand) => {
  if ('full' in command) ({ full } = command);
  else if ('slowSyncMs' in command) ({ slowSyncMs } = command);
  else if ('keepLog' in command) ({ keepLog } = command);
  else if ('busyPool' in command) busyPool = true;
  else if ('endKernelThreads' in command) for (const thread of kernelThreads) void thread.terminate();
  else armed = command.at === null ? null : { at: command.at, left: command.count, action: command.action };
  process.send!('ok');
});

const command = new Command();
for (const { flags } of OPTIONS) command.option(flags);
command.parse(process.argv);
const config = makeConfig(command.opts(), process.env);
const server = await startServer(config, makeLogger(config, false), process.env, runtime);
process.stdout.write(`oxbow ready ${server.url}${server.opsUrl ? ` ops ${server.opsUrl}` : ''}\n`);
process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)));

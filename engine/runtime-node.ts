/** The production Runtime: Node's clock, crypto randomness, node:fs and worker_threads. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import { Worker, parentPort, workerData } from 'node:worker_threads';
import { turn } from './turns.js';
import type { Clock, FileHandle, FileSystem, Processes, RandomSource, Runtime, Thread, Threads } from './runtime.js';

export function nodeRuntime(): Runtime {
  return { clock: nodeClock(), random: nodeRandom(), files: nodeFiles(), threads: nodeThreads(), processes: nodeProcesses() };
}

/** The system's clock is looked at this often. */
const STEER_EVERY_MS = 1;

function nodeClock(): Clock {
  // The wall clock is read once and carried on monotonically within the microsecond; resteered when the system's moves.
  let baseMicros = Date.now() * 1000;
  let baseMs = performance.now();
  let steeredMs = baseMs;
  return {
    nowMicros() {
      const ms = performance.now();
      let micros = baseMicros + (ms - baseMs) * 1000;
      if (ms - steeredMs < STEER_EVERY_MS) return Math.floor(micros);
      steeredMs = ms;
      if (Math.abs(micros - Date.now() * 1000) > 2000) {
        baseMicros = Date.now() * 1000;
        baseMs = ms;
        micros = baseMicros;
      }
      return Math.floor(micros);
    },
    monotonicMs: () => performance.now(),
    turn,
    after(delayMs, callback) {
      if (delayMs <= 0) {
        const immediate = setImmediate(callback);
        return () => clearImmediate(immediate);
      }
      const timer = setTimeout(callback, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}

function nodeRandom(): RandomSource {
  return { bytes: (length) => randomBytes(length), uniform: () => Math.random() };
}

const OPEN_FLAGS = { read: 'r', readwrite: 'r+', create: 'wx+' } as const;

function nodeFiles(): FileSystem {
  return {
    open: (path, mode) => new NodeFile(fs.openSync(path, OPEN_FLAGS[mode])),
    exists: (path) => fs.existsSync(path),
    list: (directory) => fs.readdirSync(directory),
    isDirectory: (path) => fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
    mkdir: (path) => void fs.mkdirSync(path, { recursive: true, mode: 0o700 }),
    remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
    rename: (from, to) => fs.renameSync(from, to),
    link: (existing, name) => fs.linkSync(existing, name),
    syncDirectory(path) {
      const fd = fs.openSync(path, 'r');
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    },
    freeBytes(path) {
      const { bavail, bsize } = fs.statfsSync(path);
      return bavail * bsize;
    },
  };
}

class NodeFile implements FileHandle {
  /** The same file opened for writes that are synced; undefined: not asked for yet, -1: there is no such way here. */
  private through: number | undefined;

  constructor(private readonly fd: number) {}

  private openThrough(): number {
    try {
      // By the descriptor: the file may have got another name since it was opened.
      return fs.openSync(`/proc/self/fd/${this.fd}`, fs.constants.O_WRONLY | fs.constants.O_DSYNC);
    } catch {
      return -1;
    }
  }

  writeThroughSync(buffer: Uint8Array, position: number): number {
    const fd = (this.through ??= this.openThrough());
    if (fd >= 0) return fs.writeSync(fd, buffer, 0, buffer.length, position);
    const written = this.writeSync(buffer, position);
    this.dataSyncSync();
    return written;
  }

  async writeThrough(buffer: Uint8Array, position: number): Promise<number> {
    const fd = (this.through ??= this.openThrough());
    if (fd >= 0) return new Promise((resolve, reject) => fs.write(fd, buffer, 0, buffer.length, position, (error, written) => (error ? reject(error) : resolve(written))));
    const written = this.writeSync(buffer, position);
    await this.dataSync();
    return written;
  }

  readSync(buffer: Uint8Array, position: number): number {
    return fs.readSync(this.fd, buffer, 0, buffer.length, position);
  }

  writeSync(buffer: Uint8Array, position: number): number {
    return fs.writeSync(this.fd, buffer, 0, buffer.length, position);
  }

  write(buffer: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.write(this.fd, buffer, 0, buffer.length, position, (error, written) => (error ? reject(error) : resolve(written))),
    );
  }

  dataSyncSync(): void {
    fs.fdatasyncSync(this.fd);
  }

  dataSync(): Promise<void> {
    return new Promise((resolve, reject) => fs.fdatasync(this.fd, (error) => (error ? reject(error) : resolve())));
  }

  size(): number {
    return fs.fstatSync(this.fd).size;
  }

  truncate(length: number): void {
    fs.ftruncateSync(this.fd, length);
  }

  close(): void {
    if (this.through !== undefined && this.through >= 0) fs.closeSync(this.through);
    this.through = -1;
    fs.closeSync(this.fd);
  }
}

function nodeThreads(): Threads {
  return {
    start(entry, workerData, transfer) {
      const worker = new Worker(entry, { workerData, ...(transfer ? { transferList: [...transfer] } : {}) });
      return new NodeThread(worker);
    },
  };
}

class NodeThread implements Thread {
  constructor(private readonly worker: Worker) {}

  post(message: unknown): void {
    this.worker.postMessage(message);
  }

  onMessage(listener: (message: unknown) => void): void {
    this.worker.on('message', listener);
  }

  onExit(listener: (code: number, error?: unknown) => void): void {
    // An uncaught exception in the worker arrives as 'error' before 'exit'; 'exit' alone decides.
    let cause: unknown;
    this.worker.on('error', (error) => (cause = error));
    this.worker.on('exit', (code) => listener(code, cause));
  }

  async terminate(): Promise<void> {
    await this.worker.terminate();
  }
}

/** "pid start-time boot-id"; without /proc only the pid. */
function nodeProcesses(): Processes {
  const startTime = (pid: number): string => {
    try {
      // Field 22, after the command's closing parenthesis (the command may hold spaces).
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
    } catch {
      return '-';
    }
  };
  const bootId = (): string => {
    try {
      return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    } catch {
      return '-';
    }
  };
  return {
    identity: () => `${process.pid} ${startTime(process.pid)} ${bootId()}`,
    isAlive(identity) {
      const [pid, start, boot] = identity.trim().split(' ');
      if (boot !== undefined && boot !== '-' && boot !== bootId()) return false;
      try {
        process.kill(Number(pid), 0);
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'EPERM';
      }
      return start === undefined || start === '-' || start === startTime(Number(pid));
    },
  };
}

/** What a thread started by `Threads.start` sees of its starter. */
export interface WorkerContext<Data, In, Out> {
  readonly data: Data;
  /** `transfer`: what changes hands instead of being copied. */
  post(message: Out, transfer?: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: In) => void): void;
  exit(): never;
}

export function workerContext<Data, In, Out>(): WorkerContext<Data, In, Out> {
  const port = parentPort!;
  return {
    data: workerData as Data,
    post: (message, transfer) => port.postMessage(message, transfer ? [...transfer] : []),
    onMessage: (listener) => void port.on('message', listener),
    exit: () => process.exit(0),
  };
}

/** URL of the project's root (ends with /), from that of a module which runs from source (tests), compiled, or bundled (deploy/bundle.js). */
export function projectRoot(from: string): string {
  const dist = from.lastIndexOf('/dist/');
  if (dist >= 0) return from.slice(0, dist + 1);
  return from.slice(0, Math.max(...['/engine/', '/sql/', '/server/', '/test/', '/bench/'].map((folder) => from.lastIndexOf(folder))) + 1);
}

/** URL of the module `path` (compiled, from the project's root) for a thread or process of its own; bundled where the asking module is. */
export function compiledModule(path: string, from: string): URL {
  return new URL(`${projectRoot(from)}dist/${from.includes('/dist/bundle/') ? 'bundle/' : ''}${path}`);
}

const LOWEST_PRIORITY = 19;

/** Has the calling thread give way to others (Linux; elsewhere nothing happens): for threads whose work can wait. `nice`: 1 to 19, below the process's own. */
export function lowerThreadPriority(nice: number): void {
  try {
    // On Linux a thread has a priority of its own, under its thread id.
    const tid = Number(fs.readlinkSync('/proc/thread-self').split('/').pop());
    if (tid > 0) os.setPriority(tid, Math.min(LOWEST_PRIORITY, os.getPriority(process.pid) + nice));
  } catch {
    // It runs as the others do.
  }
}

/** Threads that can run at once. */
export function coreCount(): number {
  return os.availableParallelism();
}

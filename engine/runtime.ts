/**
 * The one source of clock, randomness, files and threads. Production uses `nodeRuntime()`; the
 * seeded simulation and the fault tests inject their own, so nothing in engine/, sql/ or server/
 * may call Date.now, Math.random, node:fs or node:worker_threads directly (tidy checks it).
 */
export interface Runtime {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly files: FileSystem;
  readonly threads: Threads;
  readonly processes: Processes;
}

/** Which process holds a data directory: identities that survive neither reboot nor reuse of a pid. */
export interface Processes {
  identity(): string;
  isAlive(identity: string): boolean;
}

export interface Clock {
  /** Wall clock, microseconds since the Unix epoch. */
  nowMicros(): number;
  /** Monotonic, milliseconds with fraction. */
  monotonicMs(): number;
  /** Calls back after at least `delayMs`; returns a cancel function. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
  /** Resolves in a later turn of the event loop, after who asked before: what takes long lets others in. */
  turn(): Promise<void>;
}

export interface RandomSource {
  /** Cryptographically strong in production. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  uniform(): number;
}

/** Files as the engine needs them: positional, with explicit durability. All errors are Node's (`code`: 'EIO', 'ENOSPC', ...). */
export interface FileSystem {
  open(path: string, mode: 'read' | 'readwrite' | 'create'): FileHandle;
  exists(path: string): boolean;
  list(directory: string): string[];
  isDirectory(path: string): boolean;
  mkdir(path: string): void;
  remove(path: string): void;
  rename(from: string, to: string): void;
  /** Gives a file a second name; EEXIST when the name is taken, atomically. */
  link(existing: string, name: string): void;
  /** fsync of a directory, so that creations and renames in it are durable. */
  syncDirectory(path: string): void;
  /** Bytes free on the file system that holds `path`. */
  freeBytes(path: string): number;
}

export interface FileHandle {
  readSync(buffer: Uint8Array, position: number): number;
  writeSync(buffer: Uint8Array, position: number): number;
  write(buffer: Uint8Array, position: number): Promise<number>;
  dataSyncSync(): void;
  dataSync(): Promise<void>;
  /** As a write and a dataSync, in one call of the system where it can: what was written is on disk. */
  writeThroughSync?(buffer: Uint8Array, position: number): number;
  writeThrough?(buffer: Uint8Array, position: number): Promise<number>;
  size(): number;
  truncate(length: number): void;
  close(): void;
}

export interface Threads {
  /** Starts the compiled module at `entry` (a file: URL inside dist) on a thread of its own. */
  start(entry: URL, workerData: unknown, transfer?: readonly ArrayBuffer[]): Thread;
}

export interface Thread {
  post(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** `error`: the exception that ended it, if one did. */
  onExit(listener: (code: number, error?: unknown) => void): void;
  terminate(): Promise<void>;
}

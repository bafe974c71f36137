/** All backends of the server: pg_stat_activity, cancel and terminate. */
import type { BackendDirectory, BackendInfo } from '../functions/context.js';
import { SERVER_VERSION_NUM } from './settings-table.js';

/** Seconds between the Unix epoch and 2000-01-01, in microseconds: PostgreSQL's epoch. */
export const POSTGRES_EPOCH_MICROS = 946_684_800_000_000;

/** What the directory asks of a session. */
export interface Backend {
  readonly pid: number;
  readonly info: () => BackendInfo;
  cancel(): void;
  terminate(): void;
}

export class Backends implements BackendDirectory {
  readonly #byPid = new Map<number, Backend>();
  #nextPid = 1;
  readonly serverStart: number;
  readonly serverVersionNum = SERVER_VERSION_NUM;

  constructor(nowMicros: number) {
    this.serverStart = nowMicros - POSTGRES_EPOCH_MICROS;
  }

  /** A process id for a new backend: a number of its own, not the operating system's. */
  allocatePid(): number {
    do this.#nextPid = (this.#nextPid % 0x7fffffff) + 1;
    while (this.#byPid.has(this.#nextPid));
    return this.#nextPid;
  }

  add(backend: Backend): void {
    this.#byPid.set(backend.pid, backend);
  }

  remove(pid: number): void {
    this.#byPid.delete(pid);
  }

  get(pid: number): Backend | undefined {
    return this.#byPid.get(pid);
  }

  get count(): number {
    return this.#byPid.size;
  }

  list(): readonly BackendInfo[] {
    return [...this.#byPid.values()].map((backend) => backend.info());
  }

  all(): Iterable<Backend> {
    return this.#byPid.values();
  }

  cancel(pid: number): boolean {
    const backend = this.#byPid.get(pid);
    backend?.cancel();
    return backend !== undefined;
  }

  terminate(pid: number): boolean {
    const backend = this.#byPid.get(pid);
    backend?.terminate();
    return backend !== undefined;
  }
}

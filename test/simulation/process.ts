/**
 * A server process that can be killed at any moment: engine, cluster and sessions over the simulation's disk,
 * clock and state. Whatever of it still runs after `kill` finds every file call failing, so nothing that it does
 * reaches what the next process opens.
 */
import type { FileHandle, FileSystem } from '../../engine/runtime.js';
import { FileLogStore } from '../../engine/log/file-store.js';
import { openParts } from '../../engine/open.js';
import { PackedKeyValueStore } from '../../engine/packed/store.js';
import type { Storage } from '../../engine/storage.js';
import { Cluster } from '../../sql/session/cluster.js';
import { Session } from '../../sql/session/session.js';
import type { PowerCutKeyValueStore } from '../crash/power-cut-kv.js';
import { simulatedRuntime } from '../crash/simulated-runtime.js';
import type { SimulatedRuntime } from '../crash/simulated-runtime.js';
import { CollectingSink } from './collecting-sink.js';
import type { Answer } from './collecting-sink.js';

const POSTGRES_DATABASE = 5;
const SUPERUSER = 10;

export interface ProcessOptions {
  readonly bulkThreshold?: number;
  readonly collectEveryMs: number;
  /** False: a server that does not sync, which the simulation must find out. */
  readonly sync?: boolean;
}

/** The connection went away: what was asked last may or may not have been done. */
export class ConnectionLost extends Error {}

export class SimulatedProcess {
  readonly runtime: SimulatedRuntime;
  storage!: Storage;
  cluster!: Cluster;
  alive = true;
  /** Why the engine gave up; the process is then to be ended. */
  fatal: unknown;
  private readonly lost: ((error: Error) => void)[] = [];

  constructor(disk: FileSystem, readonly kv: PowerCutKeyValueStore, seed: number, startMs: number, private readonly options: ProcessOptions) {
    const runtime = simulatedRuntime(seed);
    runtime.clock.advanceTo(startMs);
    this.runtime = { ...runtime, files: this.guard(disk) };
  }

  async start(): Promise<void> {
    const log = new FileLogStore(this.runtime, { directory: 'log', segmentBytes: 2.25 * 2 ** 20, sync: this.options.sync ?? true });
    this.storage = await openParts(this.runtime, { kv: new PackedKeyValueStore(this.kv), log }, { trimEveryBytes: 1 << 20, cacheBytes: 1 << 20, sumsEveryMs: 50, ...this.options });
    this.storage.onFatal((error) => (this.fatal ??= error));
    this.cluster = await Cluster.open(this.runtime, this.storage);
  }

  /** Calls of a killed process fail. */
  private guard(files: FileSystem): FileSystem {
    const check = (): void => {
      if (!this.alive) throw Object.assign(new Error('the process is gone'), { code: 'EKILLED' });
    };
    const guarded = <T extends object>(inner: T): T => new Proxy(inner, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => {
          check();
          const result = (value as (...args: unknown[]) => unknown).apply(target, given);
          return name === 'open' ? guarded(result as FileHandle) : result;
        };
      },
    });
    return guarded(files);
  }

  connect(): SimulatedConnection {
    return new SimulatedConnection(this);
  }

  /** kill -9. */
  kill(): void {
    this.alive = false;
    for (const lose of this.lost.splice(0)) lose(new ConnectionLost());
  }

  /** Rejects when the process is killed. */
  whenLost(): { promise: Promise<never>; forget(): void } {
    let lose!: (error: Error) => void;
    const promise = new Promise<never>((_, reject) => (lose = reject));
    promise.catch(() => undefined);
    this.lost.push(lose);
    return { promise, forget: () => void this.lost.splice(this.lost.indexOf(lose), 1) };
  }
}

export class SimulatedConnection {
  private readonly sink = new CollectingSink();
  readonly session: Session;

  constructor(private readonly process: SimulatedProcess) {
    const { cluster } = process;
    this.session = new Session({
      cluster, pid: cluster.backends.allocatePid(), databaseOid: POSTGRES_DATABASE, databaseName: 'postgres', userOid: SUPERUSER, sink: this.sink, client: { address: null, port: -1 },
      settings: new Map([['deadlock_timeout', '20ms']]), terminate: () => undefined,
    });
  }

  /** Runs a text as the simple protocol does. Throws ConnectionLost when the process dies meanwhile. */
  async query(text: string): Promise<Answer> {
    if (!this.process.alive) throw new ConnectionLost();
    const lost = this.process.whenLost();
    try {
      const running = this.session.simple.run(text);
      if (running) await Promise.race([running, lost.promise]);
      // An answer leaves the server only while it lives.
      if (!this.process.alive) throw new ConnectionLost();
      return this.sink.take();
    } finally {
      lost.forget();
    }
  }
}

/**
 * The asking side of the threads that run kernels: started when first needed, at most one per core and as many as
 * max_parallel_workers allows, ended when idle. A thread that dies fails the statements that use it, and no others.
 */
import { DatabaseError } from '../../engine/errors.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { Runtime, Thread } from '../../engine/runtime.js';
import type { SqlState } from '../../engine/sqlstate.js';
import { answersGiven } from '../../engine/turns.js';
import type { Speed } from './kernel-costs.js';
import { CONTROL_STOP, type ArrayId, type KernelAnswer, type KernelRequest, type KernelTask, type Numbers, type OwnResult } from './kernel-protocol.js';

const IDLE_MS = 60_000;
/** Requests answered in a second by which the sessions' thread counts as busy, and how long they are counted at least. */
const BUSY_RATE = 500;
const COUNTED_MS = 50;

/** A task on its threads. */
export interface RunningTask {
  readonly finished: boolean;
  readonly until: Promise<void>;
  readonly threads: number;
  /** Of each thread, its own things. */
  readonly results: readonly (readonly OwnResult[])[];
  readonly refused: boolean;
  readonly error: Error | null;
  /** Of each thread, by source of the task. */
  readonly speeds: readonly (readonly Speed[])[];
  /** The threads stop within a slice; `until` says when all have. */
  stop(): void;
  /** Nobody reads the results any more. */
  release(): void;
}

class Started implements RunningTask {
  finished = false;
  readonly until: Promise<void>;
  readonly results: (readonly OwnResult[])[] = [];
  refused = false;
  error: Error | null = null;
  readonly speeds: (readonly Speed[])[] = [];
  private outstanding: number;
  private done: () => void = () => undefined;

  constructor(readonly id: number, private readonly control: Int32Array, readonly members: readonly Member[]) {
    this.outstanding = members.length;
    this.until = new Promise((resolve) => (this.done = resolve));
  }

  get threads(): number {
    return this.members.length;
  }

  answered({ own, refused, error, speeds }: KernelAnswer): void {
    this.speeds.push(speeds);
    if (own) this.results.push(own);
    if (refused) this.refused = true;
    if (error) this.error ??= new DatabaseError(error.sqlstate as SqlState, error.message);
    this.left();
  }

  lost(cause: string): void {
    this.error ??= new DatabaseError('XX000', 'lost connection to parallel worker', { cause });
    this.stop();
    this.left();
  }

  private left(): void {
    if (--this.outstanding > 0) return;
    this.finished = true;
    this.done();
  }

  stop(): void {
    Atomics.store(this.control, CONTROL_STOP, 1);
  }

  release(): void {
    for (const member of this.members) member.post({ kind: 'release', id: this.id });
  }
}

class Member {
  readonly tasks = new Map<number, Started>();
  /** Arrays that the thread has. */
  readonly arrays = new Set<ArrayId>();
  private thread: Thread | null;

  constructor(thread: Thread, ended: (member: Member) => void, idle: () => void) {
    this.thread = thread;
    thread.onMessage((raw) => {
      const answer = raw as KernelAnswer;
      const task = this.tasks.get(answer.id);
      this.tasks.delete(answer.id);
      task?.answered(answer);
      if (this.tasks.size === 0) idle();
    });
    thread.onExit((code, error) => {
      this.thread = null;
      ended(this);
      for (const task of this.tasks.values()) task.lost(`it ended with code ${code}${error instanceof Error ? `: ${error.message}` : ''}`);
      this.tasks.clear();
    });
  }

  post(request: KernelRequest): void {
    this.thread?.post(request);
  }

  end(): void {
    void this.thread?.terminate();
  }
}

export class KernelThreads {
  private members: Member[] = [];
  private nextId = 1;
  private stopIdle: () => void = () => undefined;

  private readonly ids = new WeakMap<Numbers, ArrayId>();
  private nextArray = 1;
  private gone: ArrayId[] = [];
  /** Threads keep arrays of segments as long as somebody here does. */
  private readonly collected = new FinalizationRegistry<ArrayId>((id) => {
    if (this.gone.push(id) === 1) this.runtime.clock.after(0, () => this.forget());
  });
  private counted = { at: 0, answers: 0, busy: false };

  constructor(private readonly runtime: Runtime) {}

  /** Whether the sessions' thread has much to do beside what runs here: then it keeps a core. */
  get sessionsAreBusy(): boolean {
    const now = this.runtime.clock.monotonicMs();
    const { at, answers, busy } = this.counted;
    if (now - at < COUNTED_MS) return busy;
    const given = answersGiven();
    this.counted = { at: now, answers: given, busy: (given - answers) * 1000 > (now - at) * BUSY_RATE };
    return this.counted.busy;
  }

  /** The number by which threads know an array, which is in shared memory or never changes. */
  arrayId(array: Numbers): ArrayId {
    let id = this.ids.get(array);
    if (id === undefined) {
      this.ids.set(array, (id = this.nextArray++));
      this.collected.register(array, id);
    }
    return id;
  }

  private forget(): void {
    const ids = this.gone;
    this.gone = [];
    for (const member of this.members) {
      const known = ids.filter((id) => member.arrays.delete(id));
      if (known.length > 0) member.post({ kind: 'forget', ids: known });
    }
  }

  /** Has up to `wanted` threads run the task, of at most `most` that there are. */
  start(task: Omit<KernelTask, 'kind' | 'id' | 'arrays'>, arrays: ReadonlyMap<ArrayId, Numbers>, wanted: number, most: number): RunningTask {
    this.stopIdle();
    while (this.members.length < most && this.members.filter(({ tasks }) => tasks.size === 0).length < wanted) this.members.push(this.member());
    const chosen = [...this.members].sort((a, b) => a.tasks.size - b.tasks.size).slice(0, wanted);
    const id = this.nextId++;
    const started = new Started(id, task.control, chosen);
    for (const member of chosen) {
      member.tasks.set(id, started);
      const fresh = [...arrays].filter(([array]) => !member.arrays.has(array));
      try {
        member.post({ kind: 'run', id, ...task, arrays: fresh });
      } catch (error) {
        // Others may have begun.
        member.tasks.delete(id);
        started.lost(`it could not be told: ${String(error)}`);
        continue;
      }
      for (const [array] of fresh) member.arrays.add(array);
    }
    return started;
  }

  private member(): Member {
    const thread = this.runtime.threads.start(compiledModule('sql/columnar/kernel-worker.js', import.meta.url), null);
    const ended = (gone: Member): void => void (this.members = this.members.filter((member) => member !== gone));
    return new Member(thread, ended, () => this.idle());
  }

  private idle(): void {
    if (this.members.some(({ tasks }) => tasks.size > 0)) return;
    this.stopIdle();
    this.stopIdle = this.runtime.clock.after(IDLE_MS, () => this.end());
  }

  end(): void {
    this.stopIdle();
    for (const member of this.members) member.end();
    this.members = [];
  }
}

/** The asking side of the thread that learns indexes: one per engine, started when it is first needed, ended when idle. */
import { DatabaseError } from '../errors.js';
import { compiledModule } from '../runtime-node.js';
import type { Thread } from '../runtime.js';
import type { StateReader } from '../storage.js';
import type { LearnAnswer, LearnRequest, LearnWorkerData } from './build-protocol.js';

const IDLE_MS = 10_000;

export class LearnThread {
  private thread: Thread | undefined;
  private readonly waiting = new Map<number, { resolve(answer: LearnAnswer): void; reject(error: unknown): void }>();
  private nextId = 1;
  private stopIdle: () => void = () => undefined;

  constructor(readonly reader: StateReader) {}

  /** Of all that is committed now. */
  async learn(request: Omit<LearnRequest, 'id'>): Promise<LearnAnswer> {
    await this.reader.whenApplied(request.index);
    const id = this.nextId++;
    const thread = (this.thread ??= this.start());
    this.stopIdle();
    try {
      const answer = await new Promise<LearnAnswer>((resolve, reject) => {
        this.waiting.set(id, { resolve, reject });
        thread.post({ ...request, id });
      });
      if (answer.failure !== null) throw new DatabaseError('XX000', `learning an index failed: ${answer.failure}`);
      return answer;
    } finally {
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.stopIdle = this.reader.runtime.clock.after(IDLE_MS, () => this.end());
    }
  }

  private start(): Thread {
    const data: LearnWorkerData = { statePath: this.reader.path };
    const thread = this.reader.runtime.threads.start(compiledModule('engine/learned/learn-worker.js', import.meta.url), data);
    thread.onMessage((raw) => {
      const answer = raw as LearnAnswer;
      this.waiting.get(answer.id)?.resolve(answer);
    });
    thread.onExit((code, error) => {
      if (this.thread === thread) this.thread = undefined;
      for (const { reject } of this.waiting.values()) reject(new DatabaseError('XX000', `the thread that learns indexes ended with code ${code}${error instanceof Error ? `: ${error.message}` : ''}`));
    });
    return thread;
  }

  end(): void {
    this.stopIdle();
    void this.thread?.terminate();
    this.thread = undefined;
  }
}

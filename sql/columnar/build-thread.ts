/** The asking side of the thread that builds segments: one per engine, started when it is first needed, ended when idle. */
import { DatabaseError } from '../../engine/errors.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { Thread } from '../../engine/runtime.js';
import type { StateReader } from '../../engine/storage.js';
import type { BuildAnswer, BuildRequest, BuildWorkerData } from './build-protocol.js';

const IDLE_MS = 30_000;

export class BuildThread {
  private thread: Thread | undefined;
  private readonly waiting = new Map<number, { resolve(answer: BuildAnswer): void; reject(error: unknown): void }>();
  private nextId = 1;
  private stopIdle: () => void = () => undefined;

  constructor(readonly reader: StateReader) {}

  /** Resolves when the block is built. Rejects when the thread cannot: the asker reads rows instead. */
  async build(request: Omit<BuildRequest, 'id'>): Promise<BuildAnswer> {
    await this.reader.whenApplied(request.storage);
    const id = this.nextId++;
    const thread = (this.thread ??= this.start());
    this.stopIdle();
    try {
      const answer = await new Promise<BuildAnswer>((resolve, reject) => {
        this.waiting.set(id, { resolve, reject });
        thread.post({ ...request, id });
      });
      if (answer.error !== null) throw new DatabaseError('XX000', `building columns failed: ${answer.error}`);
      return answer;
    } finally {
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.stopIdle = this.reader.runtime.clock.after(IDLE_MS, () => this.end());
    }
  }

  private start(): Thread {
    const data: BuildWorkerData = { statePath: this.reader.path };
    const thread = this.reader.runtime.threads.start(compiledModule('sql/columnar/build-worker.js', import.meta.url), data);
    thread.onMessage((raw) => {
      const answer = raw as BuildAnswer;
      this.waiting.get(answer.id)?.resolve(answer);
    });
    thread.onExit((code, error) => {
      if (this.thread === thread) this.thread = undefined;
      for (const { reject } of this.waiting.values()) reject(new DatabaseError('XX000', `the thread that builds columns ended with code ${code}${error instanceof Error ? `: ${error.message}` : ''}`));
    });
    return thread;
  }

  end(): void {
    this.stopIdle();
    void this.thread?.terminate();
    this.thread = undefined;
  }
}

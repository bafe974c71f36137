/** A thread that answers requests, several at once by number: started when it is first asked, ended when nobody has asked for a while. */
import { DatabaseError } from './errors.js';
import type { Runtime, Thread } from './runtime.js';

export interface AskedThreadOptions {
  /** The thread's module (compiledModule), and what it is started with. */
  readonly module: URL;
  readonly data: unknown;
  /** What it does, for errors: "builds columns". */
  readonly purpose: string;
  readonly idleMs: number;
}

export class AskedThread<Request extends { readonly id: number }, Answer extends { readonly id: number }> {
  private thread: Thread | undefined;
  private readonly waiting = new Map<number, { resolve(answer: Answer): void; reject(error: unknown): void }>();
  private nextId = 1;
  private stopIdle: () => void = () => undefined;

  constructor(private readonly runtime: Runtime, private readonly options: AskedThreadOptions) {}

  /** Rejects when the thread ends before it answers (XX000). */
  async ask(request: Omit<Request, 'id'>): Promise<Answer> {
    const id = this.nextId++;
    const thread = (this.thread ??= this.start());
    this.stopIdle();
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.waiting.set(id, { resolve, reject });
        thread.post({ ...request, id });
      });
    } finally {
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.stopIdle = this.runtime.clock.after(this.options.idleMs, () => this.end());
    }
  }

  private start(): Thread {
    const { module, data, purpose } = this.options;
    const thread = this.runtime.threads.start(module, data);
    thread.onMessage((raw) => {
      const answer = raw as Answer;
      this.waiting.get(answer.id)?.resolve(answer);
    });
    thread.onExit((code, error) => {
      if (this.thread === thread) this.thread = undefined;
      for (const { reject } of this.waiting.values()) reject(new DatabaseError('XX000', `the thread that ${purpose} ended with code ${code}${error instanceof Error ? `: ${error.message}` : ''}`));
    });
    return thread;
  }

  end(): void {
    this.stopIdle();
    void this.thread?.terminate();
    this.thread = undefined;
  }
}

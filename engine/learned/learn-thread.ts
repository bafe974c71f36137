/** The asking side of the thread that learns indexes: one per engine. */
import { AskedThread } from '../asked-thread.js';
import { DatabaseError } from '../errors.js';
import { compiledModule } from '../runtime-node.js';
import type { StateReader } from '../storage.js';
import type { LearnAnswer, LearnRequest, LearnWorkerData } from './build-protocol.js';

const IDLE_MS = 10_000;

export class LearnThread {
  private readonly thread: AskedThread<LearnRequest, LearnAnswer>;

  constructor(readonly reader: StateReader) {
    const data: LearnWorkerData = { statePath: reader.path };
    this.thread = new AskedThread(reader.runtime, { module: compiledModule('engine/learned/learn-worker.js', import.meta.url), data, purpose: 'learns indexes', idleMs: IDLE_MS });
  }

  /** Of all that is committed now. */
  async learn(request: Omit<LearnRequest, 'id'>): Promise<LearnAnswer> {
    await this.reader.whenApplied(request.index);
    const answer = await this.thread.ask(request);
    if (answer.failure !== null) throw new DatabaseError('XX000', `learning an index failed: ${answer.failure}`);
    return answer;
  }

  end(): void {
    this.thread.end();
  }
}

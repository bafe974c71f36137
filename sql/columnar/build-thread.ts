/** The asking side of the thread that builds segments: one per engine. */
import { AskedThread } from '../../engine/asked-thread.js';
import { DatabaseError } from '../../engine/errors.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { StateReader } from '../../engine/storage.js';
import type { BuildAnswer, BuildRequest, BuildWorkerData } from './build-protocol.js';

const IDLE_MS = 30_000;

export class BuildThread {
  private readonly thread: AskedThread<BuildRequest, BuildAnswer>;

  constructor(readonly reader: StateReader) {
    const data: BuildWorkerData = { statePath: reader.path };
    this.thread = new AskedThread(reader.runtime, { module: compiledModule('sql/columnar/build-worker.js', import.meta.url), data, purpose: 'builds columns', idleMs: IDLE_MS });
  }

  /** Resolves when the block is built. Rejects when the thread cannot: the asker reads rows instead. */
  async build(request: Omit<BuildRequest, 'id'>): Promise<BuildAnswer> {
    await this.reader.whenApplied(request.storage);
    const answer = await this.thread.ask(request);
    if (answer.error !== null) throw new DatabaseError('XX000', `building columns failed: ${answer.error}`);
    return answer;
  }

  end(): void {
    this.thread.end();
  }
}
